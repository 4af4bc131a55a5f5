/* SPDX-License-Identifier: MIT */
/* chatlink_conn.c - connections of chatlink: their table, buffers and timers. Their contents are
 * for the other files. */
#include <stdlib.h>
#include <string.h>

#include "daemon/core/chat/chatlink_int.h"
#include "daemon/core/node/stream.h"

struct pv_chatlink_conn *pv_chatlink_conn_find(const struct pv_chatlink *link, uint32_t sid)
{
    struct pv_chatlink_conn *c = NULL;
    PV_MAP_FIND(&link->conn_map, link->conns, &sid, sizeof(sid), c);
    return c;
}

int pv_chatlink_conn_new(struct pv_chatlink *link, struct pv_chatlink_peer *peer,
                         struct pv_chatlink_conn **ret_conn)
{
    size_t n = HASH_CNT(hh, link->conns);
    if (n >= PV_CHATLINK_MAX_CONNS)
        return PV_ERR_LIMIT;
    struct pv_chatlink_conn *c = calloc(1, sizeof(*c));
    /* The timer's place is reserved here: arming it later cannot fail. */
    if (c == NULL || pv_heap_reserve(&link->conn_timers, n + 1) < 0) {
        free(c);
        return PV_ERR_NOMEM;
    }
    do {
        /* Numbers are used again as late as possible: what the shell still says about an ended
         * connection must not hit a new one. */
        link->last_sid = link->last_sid >= PV_STREAM_LOCAL_MASK ? 1 : link->last_sid + 1;
    } while (pv_chatlink_conn_find(link, link->last_sid) != NULL);
    c->sid = link->last_sid;
    c->ack_deadline = PV_NEVER;
    c->owner_until = PV_NEVER;

    int r = PV_OK;
    PV_MAP_ADD(&link->conn_map, link->conns, sid, c, r);
    if (r < 0) {
        free(c);
        return r;
    }
    c->peer = peer;
    c->next_of_peer = peer->conns;
    peer->conns = c;
    *ret_conn = c;
    return PV_OK;
}

void pv_chatlink_conn_speaks(struct pv_chatlink *link, struct pv_chatlink_conn *c)
{
    if (c->speaks)
        return;
    c->speaks = true;
    /* A connection that speaks ends at a daemon. Rooms never use one on which somebody sends plain
     * text. */
    c->peer->wanted = false;
    pv_chatlink_event_of_peer(link, PV_CHATLINK_FOR_ROOMS, PV_CHATLINK_UP, c->peer->pk);
}

/* The connection for lines: that of the outbox, else any. */
static struct pv_chatlink_conn *speaking(const struct pv_chatlink_peer *peer)
{
    struct pv_chatlink_conn *c = peer->active;
    if (c != NULL)
        return c;
    for (c = peer->conns; c != NULL && !(c->connected && c->speaks); c = c->next_of_peer)
        ;
    return c;
}

int pv_chatlink_say(struct pv_chatlink *link, const uint8_t *pk, struct pv_view line)
{
    struct pv_chatlink_peer *peer = pv_chatlink_peer_find(link, pk);
    struct pv_chatlink_conn *c = peer == NULL ? NULL : speaking(peer);
    return c == NULL ? PV_ERR_NOT_FOUND
                     : pv_chatlink_conn_put(link, c, (const char *)line.ptr, line.len);
}

void pv_chatlink_conn_free(struct pv_chatlink *link, struct pv_chatlink_conn *c)
{
    struct pv_chatlink_peer *peer = c->peer;
    bool spoke = c->speaks;
    for (struct pv_chatlink_conn **p = &peer->conns; *p != NULL; p = &(*p)->next_of_peer) {
        if (*p == c) {
            *p = c->next_of_peer;
            break;
        }
    }
    for (struct pv_chatlink_conn **p = &link->writable; *p != NULL; p = &(*p)->next_writable) {
        if (*p == c) {
            *p = c->next_writable;
            break;
        }
    }
    if (peer->active == c)
        peer->active = NULL;
    link->n_waiting -= c->waits;
    pv_heap_set(&link->conn_timers, &c->timer, PV_NEVER);
    PV_MAP_DEL(link->conns, c);
    pv_outbuf_done(&c->out);
    free(c->in);
    free(c->told);
    free(c);
    /* Rooms hear of the loss only when no other connection of the peer can carry their lines. */
    if (spoke && speaking(peer) == NULL)
        pv_chatlink_event_of_peer(link, PV_CHATLINK_FOR_ROOMS, PV_CHATLINK_DOWN, peer->pk);
}

int pv_chatlink_op_push(struct pv_chatlink *link, bool open, const struct pv_chatlink_conn *c)
{
    struct pv_chatlink_stream_op op = {.open = open, .sid = c->sid, .addr = c->peer->addr};
    memcpy(op.pk, c->peer->pk, sizeof(op.pk));
    /* The port is never the peer's choice. */
    op.addr.port = PV_CHAT_PORT;
    return pv_fifo_put(&link->ops, &op, sizeof(op));
}

void pv_chatlink_conn_close(struct pv_chatlink *link, struct pv_chatlink_conn *c)
{
    /* Without memory for it the stream stays open at the shell, where what comes for an unknown
     * sid is ignored, until the other side closes it. */
    (void)!pv_chatlink_op_push(link, false, c);
    pv_chatlink_conn_free(link, c);
}

int pv_chatlink_conn_put(struct pv_chatlink *link, struct pv_chatlink_conn *c, const char *bytes,
                         size_t len)
{
    int r = pv_outbuf_put(&c->out, pv_view(bytes, len), PV_CHATLINK_MAX_OUT);
    if (r < 0)
        return r;
    c->out_put += len;
    pv_chatlink_conn_wake(link, c);
    return PV_OK;
}

void pv_chatlink_conn_wake(struct pv_chatlink *link, struct pv_chatlink_conn *c)
{
    if (c->in_writable)
        return;
    c->in_writable = true;
    c->next_writable = link->writable;
    link->writable = c;
}

void pv_chatlink_conn_wait(struct pv_chatlink *link, struct pv_chatlink_conn *c, bool waits)
{
    if (c->waits == waits)
        return;
    c->waits = waits;
    if (waits)
        link->n_waiting++;
    else
        link->n_waiting--;
    pv_chatlink_conn_wake(link, c);
}

void pv_chatlink_conn_rearm(struct pv_chatlink *link, struct pv_chatlink_conn *c)
{
    /* A connection that is being made has less patience than one that is idle: the outbox waits for
     * it. */
    bool ready = c->speaks || !c->opened;
    pv_ns silence = PV_S(ready ? PV_CHATLINK_IDLE_S : PV_CHATLINK_CONNECT_S);
    pv_ns next = pv_min_ns(c->last_heard + silence, c->ack_deadline);
    pv_heap_set(&link->conn_timers, &c->timer, pv_min_ns(next, c->owner_until));
}

int pv_chatlink_poll_stream_op(struct pv_chatlink *link, struct pv_chatlink_stream_op *ret_op)
{
    return pv_fifo_take(&link->ops, ret_op);
}

/* A connection is out of the list until it has output again, so each has its turn. */
int pv_chatlink_poll_writable(struct pv_chatlink *link, uint32_t *ret_sid)
{
    struct pv_chatlink_conn *c = link->writable;
    if (c == NULL)
        return PV_ERR_AGAIN;
    link->writable = c->next_writable;
    c->next_writable = NULL;
    c->in_writable = false;
    *ret_sid = c->sid;
    return PV_OK;
}

bool pv_chatlink_is_full(const struct pv_chatlink *link, uint32_t sid)
{
    const struct pv_chatlink_conn *c = pv_chatlink_conn_find(link, sid);
    return c != NULL && c->waits;
}

struct pv_view pv_chatlink_out(struct pv_chatlink *link, uint32_t sid)
{
    const struct pv_chatlink_conn *c = pv_chatlink_conn_find(link, sid);
    return c == NULL || !c->connected ? pv_view(NULL, 0) : pv_outbuf_view(&c->out);
}
