/* SPDX-License-Identifier: MIT */
/* The connections of the coordinator: bytes go from their sockets to the core and back, plain or
 * through TLS. Limits and protocols are the core's. */
#include <stdlib.h>
#include <unistd.h>

#include "base/heap.h"
#include "base/list.h"
#include "coordinator/server_int.h"
#include "sys/net/stream.h"
#include "sys/proc/clock.h"

enum {
    ACCEPTS_A_TURN = 64, /* ours: connections taken before others get their turn */
    ACCEPTS_BUSY =
        1, /* ours: the same, while strangers wait: each takes two steps to become a member */
};

/* Connections that are not accepted wait in the kernel's queue. */
void pv_server_watch_listeners(struct pv_coordserver *s, bool on)
{
    if (s->accepting == on)
        return;
    s->accepting = on;
    for (size_t i = 0; i < s->n_listeners; i++)
        pv_watch_set(s->listeners[i].tcp_watch, on ? PV_LOOP_READ : 0);
}

static void unqueue(struct pv_server_peer *p)
{
    if (p->queue == NULL)
        return;
    PV_LIST_DEL_BY(*p->queue, p, queue_prev, queue_next);
    p->queue = NULL;
}

/* The core has forgotten it, or is told first (peer_lost). */
void pv_server_peer_free(struct pv_server_peer *p)
{
    struct pv_coordserver *s = p->server;
    PV_MAP_DEL(s->peers, p);
    unqueue(p);
    pv_watch_free(p->watch);
    pv_peerio_done(&p->io);
    free(p);
}

/* Closes a connection whose transport has ended, and tells the core, as its node is offline now. */
static void peer_lost(struct pv_server_peer *p, pv_ns now)
{
    pv_coord_closed(p->server->coord, p->id, now);
    pv_server_peer_free(p);
}

/* Writes what the kernel takes and sets what is waited for. False: the connection is gone. TLS may
 * hold bytes of an earlier write, so it is flushed before and after. */
static bool peer_io(struct pv_server_peer *p, pv_ns now)
{
    struct pv_coordserver *s = p->server;
    int r = pv_peerio_flush(&p->io);
    struct pv_view out = pv_coord_out(s->coord, p->id);
    while (out.len > 0 && r == PV_OK) {
        size_t n = 0;
        r = pv_peerio_write(&p->io, out, &n);
        if (r < 0)
            break;
        pv_ns began = pv_clock_now();
        pv_coord_wrote(s->coord, p->id, n, now);
        pv_coord_bill(s->coord, pv_clock_now() - began, now);
        out = pv_coord_out(s->coord, p->id);
    }
    if (r == PV_OK)
        r = pv_peerio_flush(&p->io);
    if (r < 0 && r != PV_ERR_AGAIN) {
        peer_lost(p, now);
        return false;
    }
    pv_watch_set(p->watch, (p->io.full ? PV_LOOP_WRITE : 0u) |
                               (pv_coord_wants_bytes(s->coord, p->id) ? PV_LOOP_READ : 0u));
    return true;
}

/* A step of a TLS handshake. The core must know that it has begun: it ends whoever says nothing. */
static void handshake_io(struct pv_server_peer *p, pv_ns now)
{
    if (p->io.tls != NULL)
        pv_coord_speaks_tls(p->server->coord, p->id);
    (void)peer_io(p, now);
}

/* A step in the life of a connection whose descriptor is ready. Writing comes first, as it may make
 * the room that the core wants before it reads on. There is one read a turn, so that no connection
 * keeps the others waiting. */
static void serve_peer(struct pv_server_peer *p, unsigned ready, pv_ns now)
{
    struct pv_coordserver *s = p->server;
    size_t n = 0;
    if ((ready & PV_LOOP_WRITE) != 0 && !peer_io(p, now))
        return;
    if ((ready & PV_LOOP_READ) == 0)
        return;
    if (!pv_coord_wants_bytes(s->coord, p->id)) {
        pv_watch_set(p->watch, p->io.full ? PV_LOOP_WRITE : 0u); /* until the core wants some */
        return;
    }
    int r = pv_peerio_read(&p->io, s->cert.ctx, s->buf, sizeof(s->buf), &n, now);
    if (r == PV_OK) {
        pv_ns began = pv_clock_now();
        pv_coord_handle_bytes(s->coord, p->id, pv_view(s->buf, n), now);
        pv_coord_bill(s->coord, pv_clock_now() - began, now);
    } else if (r == PV_ERR_AGAIN)
        handshake_io(p, now);
    else
        peer_lost(p, now);
    if (r == PV_ERR_LIMIT) {
        s->gate_refused++;
        pv_log(s->log, PV_LOG_WARN, "too many TLS handshakes at once: new ones are turned away");
    }
}

/* --- turns ----------------------------------------------------------------------------------- */

/* The next connection to be served. False: there is none. */
static bool poll_ready(struct pv_coordserver *s, struct pv_coord_ready *ret_ready, pv_ns now)
{
    pv_ns began = pv_clock_now();
    bool found = pv_coord_poll_ready(s->coord, ret_ready, now) == PV_OK;
    pv_coord_bill(s->coord, pv_clock_now() - began, now);
    return found;
}

/* Written to, or closed when the core is done with it. */
static void serve_ready(struct pv_coordserver *s, const struct pv_coord_ready *ready, pv_ns now)
{
    struct pv_server_peer *p = NULL;
    PV_MAP_FIND(&s->map, s->peers, &ready->id, sizeof(ready->id), p);
    if (p != NULL && ready->kind == PV_COORD_READY_CLOSE)
        pv_server_peer_free(p);
    else if (p != NULL)
        (void)peer_io(p, now);
}

/* A connection that waits is known to be ready: it is not watched, or the system would say so again
 * each turn of all that wait. */
static void enqueue(struct pv_server_peer **q, struct pv_server_peer *p)
{
    pv_watch_set(p->watch, 0);
    p->queue = q;
    PV_LIST_ADD_BY(*q, p, queue_prev, queue_next);
}

/* A member is served at once while the turn has time, whoever else waits. */
static void on_peer(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_server_peer *p = ctx;
    struct pv_coordserver *s = p->server;
    s->happened = true;
    p->ready |= ready;
    if (p->queue != NULL)
        return;
    if (!pv_coord_is_member(s->coord, p->id))
        enqueue(&s->strangers, p);
    else if (pv_clock_now() - now >= PV_SERVER_TURN)
        enqueue(&s->members, p);
    else {
        p->ready = 0;
        serve_peer(p, ready, now);
    }
}

/* Serves a queue until this time; the first of it in any case. */
static void serve_queue(struct pv_coordserver *s, struct pv_server_peer **q, pv_ns until, pv_ns now)
{
    while (*q != NULL) {
        struct pv_server_peer *p = *q;
        unsigned ready = p->ready;
        unqueue(p);
        pv_watch_set(p->watch, PV_LOOP_READ | (p->io.full ? PV_LOOP_WRITE : 0u));
        p->ready = 0;
        serve_peer(p, ready, now);
        if (pv_clock_now() >= until)
            break;
    }
    s->more |= *q != NULL;
}

/* The answers to members go out before strangers have their part of the turn. */
void pv_server_serve_queues(struct pv_coordserver *s, pv_ns now)
{
    struct pv_coord_ready ready;
    serve_queue(s, &s->members, now + PV_SERVER_TURN, now);
    while (pv_coord_is_urgent(s->coord) && pv_clock_now() - now < PV_SERVER_TURN &&
           poll_ready(s, &ready, now))
        serve_ready(s, &ready, now);
    pv_ns until = pv_min_ns(pv_clock_now() + PV_SERVER_STRANGERS, now + PV_SERVER_TURN);
    serve_queue(s, &s->strangers, until, now);
}

/* The core's own deadline is longer, and each handshake costs memory. */
void pv_server_end_overdue(struct pv_coordserver *s, pv_ns now)
{
    struct pv_tlsgate_pass *pass;
    while ((pass = pv_tlsgate_overdue(&s->gate, now)) != NULL)
        peer_lost(PV_CONTAINER_OF(pass, struct pv_server_peer, io.pass), now);
}

/* Every limit is the core's: a connection that it does not accept is closed without a word. */
static void add_peer(struct pv_coordserver *s, int fd, const struct pv_addr *remote,
                     const struct pv_addr *local, pv_ns now)
{
    struct pv_addr source = pv_addr_unmap(*remote);
    struct pv_server_peer *p = calloc(1, sizeof(*p));
    int r = p == NULL ? PV_ERR_NOMEM : PV_OK;
    if (r == PV_OK) {
        p->server = s;
        p->id = s->next_id++;
        p->io = (struct pv_peerio){.fd = fd,
                                   .gate = &s->gate,
                                   .source = source,
                                   .regular = pv_coord_is_regular(s->coord, &source, now)};
        PV_MAP_ADD(&s->map, s->peers, id, p, r);
    }
    if (r < 0) {
        free(p);
        close(fd);
        return;
    }
    r = pv_watch_new(&p->watch, s->loop, fd, PV_LOOP_READ, on_peer, p);
    if (r == PV_OK)
        r = pv_coord_accept(s->coord, p->id, &source, now);
    if (r < 0)
        pv_server_peer_free(p);
    else
        pv_coord_came_to(s->coord, p->id, local);
}

/* While strangers wait to be served, others wait in the kernel's queue: there they cost nothing,
 * here they would take each other's places before their turn comes, and all that was done for them
 * would be lost. Those who connect and say nothing are not waited for. */
static int accepts_now(const struct pv_coordserver *s)
{
    return s->strangers != NULL ? ACCEPTS_BUSY : ACCEPTS_A_TURN;
}

/* When the descriptors are used up, the listeners rest for a second: else the loop would spin on a
 * queue that cannot shrink. */
void pv_server_on_accept(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_server_listener *l = ctx;
    l->server->happened = true;
    int most = accepts_now(l->server);
    for (int i = 0; i < most && pv_clock_now() - now < PV_SERVER_TURN; i++) {
        int fd = -1;
        struct pv_addr remote;
        struct pv_addr local;
        int r = pv_stream_accept(l->tcp, &fd, &remote, &local);
        if (r == PV_ERR_LIMIT) {
            pv_log(l->server->log, PV_LOG_WARN, "out of descriptors: new connections wait");
            l->server->no_fds++;
            pv_server_watch_listeners(l->server, false);
            l->server->accept_at = now + PV_S(1);
            return;
        }
        if (r < 0)
            return;
        add_peer(l->server, fd, &remote, &local, now);
    }
}

/* Is the turn over? Statements had a little of it, however late they came to be sent. */
static bool is_over(pv_ns spent, bool bulk, pv_ns bulk_time)
{
    return spent > PV_SERVER_TURN ||
           (bulk && spent > PV_SERVER_BULK && bulk_time > PV_SERVER_BULK_LEAST);
}

/* Connections that changed. At least one in each turn, however long what came before took. */
void pv_server_drain_ready(struct pv_coordserver *s, pv_ns now)
{
    struct pv_coord_ready ready;
    pv_ns at = pv_clock_now(), bulk_time = 0;
    bool over = false;
    while (!over && (pv_coord_is_urgent(s->coord) || at >= s->bulk_at) &&
           poll_ready(s, &ready, now)) {
        serve_ready(s, &ready, now);
        pv_ns end = pv_clock_now();
        bulk_time += ready.bulk ? end - at : 0;
        at = end;
        over = is_over(at - now, ready.bulk, bulk_time);
    }
    if (bulk_time > 0 && pv_coord_strangers(s->coord) > 0)
        s->bulk_at = at + (PV_SERVER_BULK_SHARE - 1) * bulk_time;
    s->more |= over && pv_coord_is_urgent(s->coord);
}
