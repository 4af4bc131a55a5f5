/* SPDX-License-Identifier: MIT */
/*
 * closed.h - whether the rules of the network are known here: of part "rules", which lets in
 * answers only as long as they are not.
 *
 * A node that joins knows no rules at first, and whoever tells it of them may leave some out. So it
 * stays closed until all of these are so:
 *
 *   - the coordinator has listed all that it has, or an admin has what this node has
 *   - the rules here are those that an admin's word names; where no admin named others they may be
 *     those that its token vouches for (token.h)
 *   - no member names other rules. Each that does is asked first: an admin for as long as it can be
 *     talked to, another one for PV_CLOSED_ASK, as anybody can name anything
 *
 *   OPEN    --this node joins-->   CLOSED    kept by the store: a restart opens nothing
 *   CLOSED  --all of the above-->  OPEN      for as long as this node stays in the network
 *
 * A word is what an admin answers within a session (in-band type 13), so nobody can repeat an old
 * one; an admin that is closed itself has none. Paths to admins are woken.
 */
#pragma once

#include "daemon/core/node/node.h"
#include "proto/roster/token.h"

struct pv_peer;

#define PV_CLOSED_ASK  PV_S(10) /* ours: the rules go there and back within seconds */
#define PV_CLOSED_WAKE PV_S(10) /* ours: between wishes for paths to admins */
/* Ours: between looks at what no fact tells, while somebody is being asked. */
#define PV_CLOSED_LOOK PV_S(1)

struct pv_closed {
    bool is;
    uint8_t mark[PV_TOKEN_RULES_LEN]; /* of the rules that the token vouches for */
    bool listed;                      /* the coordinator, or an admin, has told all that it has */
    pv_ns wake_at, look_at;
};

/* This node is about to enter a network by a token with this mark; what the store keeps for it is
 * the caller's to write (PV_CLOSED_META). */
#define PV_CLOSED_META "rules_mark"
void pv_closed_begin(struct pv_closed *c, const struct pv_node *n,
                     const uint8_t mark[static PV_TOKEN_RULES_LEN], pv_ns now);
/* The kept state of the store: a node that was closed is closed. */
void pv_closed_restore(struct pv_closed *c, struct pv_view kept, pv_ns now);
/* A description of a member named its rules. */
void pv_closed_named(struct pv_closed *c, const struct pv_node *n, struct pv_peer *p,
                     const uint8_t rules[static PV_STATEMENT_HASH_LEN], pv_ns now);
/* Something is new about a peer: an admin that can be talked to now is asked. */
void pv_closed_meets(struct pv_closed *c, const struct pv_node *n, struct pv_peer *p, pv_ns now);
/* In-band type 13, of whoever asks and whoever is asked. */
void pv_closed_take(struct pv_closed *c, const struct pv_node *n, struct pv_peer *p,
                    struct pv_view body, pv_ns now);
/* Has it just become open? There is a roster, and its statements are settled. */
bool pv_closed_opens(struct pv_closed *c, const struct pv_node *n, pv_ns now);
/* Asks admins, and wakes the paths to them. */
void pv_closed_handle_timeout(struct pv_closed *c, const struct pv_node *n, pv_ns now);
pv_ns pv_closed_next_timeout(const struct pv_closed *c); /* PV_NEVER: it is open */
/* Closed: what is missing, and what to do about it. */
struct pv_reason pv_closed_why(const struct pv_closed *c, const struct pv_node *n, pv_ns now);
