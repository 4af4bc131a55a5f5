/* SPDX-License-Identifier: MIT */
/* deliver.c - tells all parts what has changed, round by round, until nothing is left to tell. The
 * number of rounds is bounded, so that a mistake in two parts cannot hang the daemon. */
#include "daemon/core/deliver.h"

#include "daemon/core/peer/peers.h"

enum {
    /* Rounds of facts that parts raise while others are told; more mean that two parts answer each
     * other for ever. */
    MAX_ROUNDS = 64,
};

/* One peer a turn: telling about it may free it, or give others news that come first. */
static void deliver_peer(struct pv_node *n, pv_ns now)
{
    unsigned facts;
    struct pv_peer *p = pv_peers_take_news(n->peers, &facts);
    uint32_t id = pv_peer_id(p);
    PV_EACH_PART(n, slot) {
        /* One part's action may end the membership that made the peer. */
        if (slot->part->on_peer != NULL && pv_peers_by_id(n->peers, id) == p)
            slot->part->on_peer(slot->self, p, facts, now);
    }
    if (pv_peers_by_id(n->peers, id) == p)
        pv_peers_told(n->peers, p, now);
}

/* The set is emptied before anybody is told: what parts raise meanwhile belongs to the next round.
 */
static void deliver_facts(struct pv_node *n, pv_ns now)
{
    unsigned facts = n->facts;
    n->facts = 0;
    PV_EACH_PART(n, slot) {
        if (facts != 0 && slot->part->on_facts != NULL)
            slot->part->on_facts(slot->self, facts, now);
    }
}

/* All peers may have news in each round, each told in a turn of its own; and there may be more
 * peers with each turn. */
static size_t most_turns(const struct pv_node *n)
{
    return MAX_ROUNDS * (1 + pv_peers_count_members(n->peers) + pv_peers_count_statics(n->peers));
}

bool pv_deliver(struct pv_node *n, pv_ns now)
{
    size_t rounds = 0, turns = 0;
    while (n->facts != 0 || pv_peers_has_news(n->peers)) {
        if (n->facts != 0 ? rounds++ == MAX_ROUNDS : turns++ == most_turns(n)) {
            pv_log(n->log, PV_LOG_ERROR, "what=\"facts do not end\" facts=%#x", n->facts);
            return false;
        }
        /* Facts about the node come first: what a part does about a peer may depend on it. */
        if (n->facts != 0)
            deliver_facts(n, now);
        else
            deliver_peer(n, now);
    }
    return true;
}
