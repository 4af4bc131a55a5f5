/* SPDX-License-Identifier: MIT */
/*
 * routesedit.h - part "routesedit": `route offer`, `route withdraw`, and an admin's `route allow`
 * and `route deny`. It signs the statements and answers when those who are there know them. The
 * node's offers stand in its own statement in the roster, and nowhere else. Keeps nothing.
 */
#pragma once

#include "daemon/core/node/part.h"

extern const struct pv_part pv_part_routesedit;

/* Says all own offers anew, with what this host reaches of them now. Returns the errors of
 * statements.
 */
PV_MUST_CHECK int pv_routesedit_say_again(struct pv_node *n, pv_ns now);
