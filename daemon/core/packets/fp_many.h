/* SPDX-License-Identifier: MIT */
/*
 * fp_many.h - packets from the TUN that are for many: broadcast and multicast, copied to the
 * members that want them (adr/0031). Internal to the fast path.
 *
 * The members that want a group stand in the snapshot (pv_fp_builder_set_groups()). Discovery goes
 * to members in use only and counts as no use, so that machines that look for each other all day
 * keep no pair awake; what programs joined is data as any other. Only packets of this node's own
 * addresses are copied: what came in from the overlay never goes out again. Each group has a budget
 * of packets and bytes a second. Nothing is cut in the middle: when the results are full, the rest
 * of the copies follows with the next call.
 */
#pragma once

#include "daemon/core/packets/fp_worker.h"
#include "proto/group/group.h"
#include "proto/ip/ippkt.h"

/* A packet from the TUN, which may hold many. */
struct pv_fp_inner {
    struct pv_ippkt ip;
    struct pv_cutter cut;
};

/* Copies it to everybody who wants it, hands it up, or drops it; its destination is
 * pv_fp_is_to_many(). False: no room for all; call again with the same packet. */
bool pv_fp_send_to_many(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                        const struct pv_fp_inner *in, pv_ns now);

/* The group of such a destination. */
struct pv_group pv_fp_group_of(uint8_t version, const uint8_t *dst);
/* Returns true if the packet is discovery, which does not count as use of the peer. */
bool pv_fp_is_quiet(const struct pv_fp_snapshot *snap, const struct pv_ippkt *ip);

/* --- fp_tx.c, for fp_many.c ----------------------------------------------------------------- */

/* To one peer. False: no room in the results, nothing done. */
bool pv_fp_send_to_one(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                       const struct pv_fp_peer *peer, const struct pv_fp_inner *in, pv_ns now);
/* Packets noted from here on count as use of the peer, or do not. */
void pv_fp_count_as_use(struct pv_fp_worker *w, bool use, pv_ns now);
