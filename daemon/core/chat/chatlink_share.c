/* SPDX-License-Identifier: MIT */
/* chatlink_share.c - who may have how much in memory of what the disk does not have yet. Each peer
 * has a share of its own, whatever the others do: there is one for each connection. The rest is for
 * those that need more. Of it a peer may have as much as is left free, so that one alone gets half
 * of it, and several that want more than there is come to equal parts. A peer without room waits:
 * its stream is not read on, and what it goes on to send stays with it. */
#include <stdlib.h>

#include "daemon/core/chat/chatlink_int.h"

_Static_assert(sizeof(struct pv_chatlink_pending) + sizeof(struct pv_chatlink_ack) <=
                   PV_CHATLINK_MESSAGE_BYTES,
               "all that is kept of a message beside its text is counted");

enum {
    REST = PV_CHATLINK_MAX_UNSTORED - PV_CHATLINK_MAX_CONNS * PV_CHATLINK_SHARE,
};
_Static_assert(REST / 2 >= 2 * (PV_CHATLINK_MAX_PENDING_BYTES +
                                PV_CHATLINK_MAX_PENDING * PV_CHATLINK_MESSAGE_BYTES),
               "one that sends alone never waits");

size_t pv_chatlink_cost(size_t n, size_t text_bytes)
{
    return n * PV_CHATLINK_MESSAGE_BYTES + text_bytes;
}

/* How much of this is more than the own share. */
static size_t beyond(size_t unstored)
{
    return unstored > PV_CHATLINK_SHARE ? unstored - PV_CHATLINK_SHARE : 0;
}

bool pv_chatlink_has_room(const struct pv_chatlink *link, const struct pv_chatlink_peer *peer,
                          size_t text_len)
{
    size_t cost = pv_chatlink_cost(1, text_len);
    size_t more = beyond(peer->unstored + cost);
    return link->unstored + cost <= PV_CHATLINK_MAX_UNSTORED &&
           (more == 0 || link->beyond + more <= REST);
}

void pv_chatlink_charge(struct pv_chatlink *link, struct pv_chatlink_peer *peer, size_t cost)
{
    link->beyond += beyond(peer->unstored + cost) - beyond(peer->unstored);
    link->unstored += cost;
    peer->unstored += cost;
}

void pv_chatlink_discharge(struct pv_chatlink *link, struct pv_chatlink_peer *peer, size_t cost)
{
    link->unstored -= cost;
    link->beyond -= beyond(peer->unstored) - beyond(peer->unstored - cost);
    peer->unstored -= cost;
}

/* The peer that has least goes first. There must be room for the longest text, so that a turn is
 * worth its while whatever comes. */
struct pv_chatlink_conn *pv_chatlink_next_turn(const struct pv_chatlink *link)
{
    struct pv_chatlink_conn *best = NULL;
    for (struct pv_chatlink_conn *c = link->n_waiting == 0 ? NULL : link->conns; c != NULL;
         c = c->hh.next) {
        if (c->waits && pv_chatlink_has_room(link, c->peer, PV_CHAT_TEXT_MAX) &&
            (best == NULL || c->peer->unstored < best->peer->unstored))
            best = c;
    }
    return best;
}
