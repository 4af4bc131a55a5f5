/* SPDX-License-Identifier: MIT */
/*
 * signals.h - the part that carries descriptions (peer/descx.h) to peers and back: in-band where a
 * path exists, sealed as signals through the coordinator, and where that cannot bring them through
 * members whom both sides know (inband.h, type 5). Each signal carries the head of the roster, and
 * to somebody who may not know this node what admits it.
 */
#pragma once

#include "daemon/core/node/part.h"
#include "proto/roster/roster.h"

extern const struct pv_part pv_part_signals;

/* A signal without a description: the head of the roster, and these statements (at most
 * PV_SIGNAL_CHAIN_MAX; the last are left out where they are too long), by the coordinator and by
 * common peers. The receiver of some takes those of an admin, and answers with
 * its own head. */
void pv_signals_tell(struct pv_node *n, struct pv_peer *p,
                     const struct pv_roster_entry *const *entries, size_t count, pv_ns now);
