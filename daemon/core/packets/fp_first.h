/* SPDX-License-Identifier: MIT */
/*
 * fp_first.h - the first packets after silence (adr/0077): a path that was not heard for
 * PV_FP_SURE_FOR may be forgotten by a NAT on it. Until an answer shows that it lives, datagrams go
 * by the relay as well, and the first few are repeated as they are, by the ways there are by then.
 * The receiver's replay window drops what comes twice. A path that rested, and was heard in the
 * second before talk begins again, lives, most likely: the first few are sent again only when
 * another one takes over.
 * Internal to the fast path; tx.
 */
#pragma once

#include "daemon/core/packets/fp_worker.h"

/* Returns true if a packet that leaves for this member now is among the first after silence or a
 * rest. Call it before the packet counts as sent. */
bool pv_fp_first_is_due(const struct pv_fp_peer *peer, pv_ns now);
/* The send added last is one of these. */
void pv_fp_first_mark(struct pv_fp_worker *w);
/* All sends are sealed. Marked packets are kept, and also leave by the spare way if the path is
 * silent. */
void pv_fp_first_double(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap, pv_ns now);
/* Sends again what is due and still not heard of; before it, snap may be NULL. */
void pv_fp_first_repeat(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap, pv_ns now);
/* When something is due; PV_NEVER. */
pv_ns pv_fp_first_next(const struct pv_fp_worker *w);
