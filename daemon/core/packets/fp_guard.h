/* SPDX-License-Identifier: MIT */
/*
 * fp_guard.h - whether a packet of a peer may enter: its rules, and the flows that this node began.
 * Internal to the fast path. rx asks, tx tells of what leaves; a peer without rules costs both one
 * branch, which is the caller's.
 *
 * A packet enters when the peer's table allows its port, or when it belongs to a flow that this
 * node began. The beginner of a flow is the sender of its first packet: of TCP the SYN; of others
 * what came or left first. A flow that the peer began and the rules allowed stays the peer's, also
 * when the rules change: what this node then sends in it makes it none of its own.
 */
#pragma once

#include "daemon/core/packets/fp_state.h"
#include "proto/ip/ippkt.h"

struct pv_fp_worker;
struct pv_fp_ahead;

/* Reads a packet of peer, which has rules and whose turn comes soon. last: the one before it in
 * this call, and another place than ret_ahead; what is the same is not looked up again. NULL: none.
 * False: it is no IP packet. */
bool pv_fp_guard_read(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                      const struct pv_fp_peer *peer, struct pv_view packet,
                      const struct pv_fp_ahead *last, struct pv_fp_ahead *ret_ahead);
/* Returns true if the packet may enter. If not, it is counted as dropped, and its rule is told
 * once. */
bool pv_fp_guard_admits(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                        const struct pv_fp_peer *peer, const struct pv_fp_ahead *a, pv_ns now);

/* Returns true if a packet may leave for peer, a phone with rules about what this node sends. A
 * member's packet was judged when it came in. Packets of others, also of a network behind this
 * node, count as this node's own. */
bool pv_fp_guard_lets_out(const struct pv_fp_snapshot *snap, const struct pv_fp_peer *peer,
                          const struct pv_ippkt *ip, pv_ns now);
/* A packet leaves for peer, which has rules; for a phone's addresses the phone, whoever carries
 * it. */
void pv_fp_guard_note(const struct pv_fp_snapshot *snap, const struct pv_fp_peer *peer,
                      const struct pv_ippkt *ip, pv_ns now);
