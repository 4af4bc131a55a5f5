/* SPDX-License-Identifier: MIT */
/* chatlink_places.c - who gets one of the few connections: proven before unproven, each peer its
 * first before anybody a second one, the silent give way. So no number of connections of some
 * members, or of users of their machines, keeps the others out. */
#include "daemon/core/chat/chatlink_int.h"

enum {
    IDLE_S = 10, /* a peer's only connection gives way when it was silent for so long */
};

/* Everybody on the peer's machine may open one that proves nothing. */
static bool is_unproven(const struct pv_chatlink_conn *c)
{
    return !c->opened && !c->speaks;
}

static size_t count_of_kind(const struct pv_chatlink_peer *peer, bool unproven)
{
    size_t n = 0;
    for (const struct pv_chatlink_conn *c = peer->conns; c != NULL; c = c->next_of_peer)
        n += is_unproven(c) == unproven;
    return n;
}

/* Is a a better one to close than b, both of one kind? Of the peer that has most, else the one that
 * was silent longest. */
static bool gives_way_before(const struct pv_chatlink_conn *a, const struct pv_chatlink_conn *b)
{
    size_t of_a = count_of_kind(a->peer, is_unproven(a));
    size_t of_b = count_of_kind(b->peer, is_unproven(b));
    return of_a != of_b ? of_a > of_b : a->last_heard < b->last_heard;
}

/* May this proven connection be closed for another one? One that carries an outbox keeps its place,
 * unless its peer has a second one; so does one that was heard of lately, unless this node has
 * something to say and the peer opened it, who can do so again. */
static bool is_spare(const struct pv_chatlink_conn *c, bool opened, pv_ns now)
{
    bool silent = now - c->last_heard >= PV_S(IDLE_S);
    return count_of_kind(c->peer, false) > 1 ||
           (c->ack_deadline == PV_NEVER && (silent || (opened && !c->opened)));
}

/* Which connection gives way to a new one, which this node opens or not; NULL: none does. */
static struct pv_chatlink_conn *victim(const struct pv_chatlink *link, bool unproven, bool opened,
                                       pv_ns now)
{
    struct pv_chatlink_conn *best = NULL;
    for (struct pv_chatlink_conn *c = link->conns; c != NULL; c = c->hh.next) {
        bool spare = unproven || is_spare(c, opened, now);
        if (is_unproven(c) == unproven && spare && (best == NULL || gives_way_before(c, best)))
            best = c;
    }
    return best;
}

/* The peer's longest silent of one kind, but keep. */
static struct pv_chatlink_conn *oldest_of(const struct pv_chatlink_peer *peer, bool unproven,
                                          const struct pv_chatlink_conn *keep)
{
    struct pv_chatlink_conn *oldest = NULL;
    for (struct pv_chatlink_conn *c = peer->conns; c != NULL; c = c->next_of_peer) {
        if (c != keep && c->connected && is_unproven(c) == unproven &&
            (oldest == NULL || c->last_heard < oldest->last_heard))
            oldest = c;
    }
    return oldest;
}

/* Its peer opens another one later, when it has something to say. c may be NULL. */
static void close_for_another(struct pv_chatlink *link, struct pv_chatlink_conn *c, pv_ns now)
{
    if (c == NULL)
        return;
    struct pv_chatlink_peer *peer = c->peer;
    pv_chatlink_lost_conn(link, c, true, now);
    pv_chatlink_back_off(link, peer, now); /* not in this turn: the place is for another */
    pv_chatlink_pump(link, peer, now);
}

void pv_chatlink_make_place(struct pv_chatlink *link, struct pv_chatlink_peer *peer, bool opened,
                            pv_ns now)
{
    size_t unproven = 0;
    struct pv_chatlink_conn *c = NULL;
    /* The newest connection is let in even at the limit: after a crash the peer's old ones look
     * alive here for a while, and must not lock it out. */
    if (!opened &&
        count_of_kind(peer, true) + count_of_kind(peer, false) >= PV_CHATLINK_MAX_PEER_CONNS) {
        c = oldest_of(peer, true, NULL);
        close_for_another(link, c != NULL ? c : oldest_of(peer, false, NULL), now);
    }
    for (c = link->conns; c != NULL; c = c->hh.next)
        unproven += is_unproven(c);
    bool full = HASH_CNT(hh, link->conns) >= PV_CHATLINK_MAX_CONNS;
    c = NULL;
    if ((!opened && unproven >= PV_CHATLINK_MAX_UNPROVEN) || (full && unproven > 0))
        c = victim(link, true, opened, now);
    else if (full)
        c = victim(link, false, opened, now);
    close_for_another(link, c, now);
}

void pv_chatlink_keep_proven(struct pv_chatlink *link, struct pv_chatlink_conn *newest, pv_ns now)
{
    struct pv_chatlink_conn *c;
    /* newest is still counted as unproven when it was accepted, and as proven when we opened it. */
    size_t n = count_of_kind(newest->peer, false) + is_unproven(newest);
    while (n-- > PV_CHATLINK_MAX_PROVEN && (c = oldest_of(newest->peer, false, newest)) != NULL)
        pv_chatlink_lost_conn(link, c, true, now);
}
