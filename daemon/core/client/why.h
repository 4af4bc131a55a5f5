/* SPDX-License-Identifier: MIT */
/*
 * why.h - the part behind `why PEER` and `trace PEER`: the reason why a peer is reached as it is,
 * in words with the evidence, and the events behind it. The diagnosis itself is cause.h. It has no
 * state.
 */
#pragma once

#include "daemon/core/client/cause.h"
#include "daemon/core/node/part.h"

extern const struct pv_part pv_part_why;

/* The text of an event: p is reached now, and how, or no longer, and why. */
void pv_why_reached(struct pv_peer *p, char buf[static PV_CTLAPI_ERROR_BUF], pv_ns now);
/* Its cause, as this node sees itself now. */
void pv_why_cause(struct pv_peer *p, struct pv_cause *ret_cause, pv_ns now);
