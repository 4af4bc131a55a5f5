/* SPDX-License-Identifier: MIT */
/*
 * recall.h - the part that finds members again while there is no coordinator to ask (DESIGN 5
 * "Without the coordinator"), and learns our own address from peers.
 *
 * It keeps up to four addresses a member at which that was reached directly, newest first, on disk,
 * too. While the coordinator is away it tries them: a WireGuard initiation to each, at 0, 1, 3 and
 * 5 s, then every 15 s, for at most PV_RECALL_AT_ONCE members at a time, those first that are
 * wanted or were reached last. A member is left alone when it is reached, and 10 minutes after the
 * last wish, start or change of our own addresses. The address that peers see of us stands
 * meanwhile for what a STUN server would say.
 *
 * State of a member, while the coordinator is away:
 *   WAITING --a place is free, or it is wanted--> TRYING  (0 s)
 *   TRYING --not wanted, six trials, others wait--> WAITING (behind them)
 *   any     --reached-->                          REACHED
 *   REACHED --path gone-->                        WAITING
 *   any     --10 minutes without a reason-->      QUIET
 *   QUIET   --want, moved, away anew-->           WAITING
 */
#pragma once

#include "daemon/core/node/node.h"

struct pv_peer;

enum {
    PV_RECALL_AT_ONCE = 32, /* members tried at once */
};
#define PV_RECALL_GRACE   PV_MS(300) /* ours: the coordinator gets that long to answer first */
#define PV_RECALL_EVERY   PV_S(15)   /* DESIGN 5 */
#define PV_RECALL_FOR     PV_S(600)  /* ours: as long as an idle path is kept */
#define PV_RECALL_ANEW    PV_S(5)    /* ours: a new wish does not begin the quick trials earlier */
#define PV_RECALL_STORE   PV_S(5)    /* ours: between two stores of one member's new addresses */
#define PV_RECALL_REFRESH PV_S(600)  /* ours: between two stores of nothing but a newer time */

extern const struct pv_part pv_part_recall;

/* The addresses that are known of a peer, newest first, as long as the peer is there; 0: none. */
size_t pv_recall_addrs(const struct pv_peer *p, const struct pv_recall_addr **ret_addrs);
/* Is it being tried? */
bool pv_recall_is_trying(const struct pv_peer *p);
/* Returns true if the coordinator of this member is missed: it is wanted, and there is no
 * connection. */
bool pv_recall_is_away(const struct pv_node *n);
