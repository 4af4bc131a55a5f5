/* SPDX-License-Identifier: MIT */
/* The control half's end of the link to the relay: answers and data for connections that speak STUN
 * or TURN. */
#include "coordinator/core/coord_int.h"

enum {
    NEWS_A_TURN = 256, /* ours: messages for streams, then connections have their turn */
};

struct pv_relaycore *pv_coord_relay(struct pv_coord *c)
{
    return c->relay;
}

/* Counters only: any thread may read them, while everything else of the relay is its thread's. */
const struct pv_relaystats *pv_coord_relay_stats(const struct pv_coord *c)
{
    return pv_turns_counters(pv_relaycore_turns(c->relay));
}

bool pv_coord_wakes_relay(struct pv_coord *c)
{
    return pv_relaylink_take_wake_relay(c->link);
}

/* A client with an allocation has shown who it is: it is no guest, and its connection lives as long
 * as the allocation. One that lost it gets as long as a new connection to begin anew. */
static void note_holds(struct pv_coord *c, struct pv_conn *s, bool holds, pv_ns now)
{
    if (holds == s->relaying)
        return;
    s->relaying = holds;
    if (holds) {
        pv_place_leave(&s->place);
        return;
    }
    if (pv_coord_seat(c, s, now) < 0)
        pv_coord_drop(c, s, now);
    pv_heap_set(&c->timers, &s->timer, now + PV_S(PV_COORD_HELLO_S));
}

/* One message of the relay about a connection: an answer or data to write, an order to end it, or
 * just whether it still holds an allocation. */
static void handle_news(struct pv_coord *c, struct pv_conn *s, const struct pv_relaynews *news,
                        pv_ns now)
{
    if (news->broken) {
        c->stats.failed++;
        pv_coord_drop(c, s, now);
        return;
    }
    note_holds(c, s, news->holds, now);
    if (s->dead)
        return;
    /* A message that does not fit is dropped, as on any full line. */
    if (pv_stunconn_put(s->stun, news->data) < 0)
        pv_relaylink_dropped(c->link);
    pv_coord_mark_ready(c, s);
}

/* Each message is taken out of the ring only when it has been copied to its connection, which may
 * be gone by now. */
bool pv_coord_handle_relay(struct pv_coord *c, pv_ns now)
{
    struct pv_relaynews news;
    for (int i = 0; i < NEWS_A_TURN; i++) {
        if (pv_relaylink_poll(c->link, &news) < 0)
            return true;
        struct pv_conn *s = pv_coord_find(c, news.stream);
        if (s != NULL && s->stun != NULL && !s->dead && s->state != PV_CONN_CLOSING)
            handle_news(c, s, &news, now);
        pv_relaylink_polled(c->link);
    }
    return false;
}
