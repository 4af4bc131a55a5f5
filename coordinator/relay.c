/* SPDX-License-Identifier: MIT */
#include "coordinator/relay.h"

#include <stdlib.h>
#include <unistd.h>

enum {
    SOCKETS_MAX = 65536, /* relay socket numbers; the core's own limit is lower */
};

/* One relay socket. */
struct sock {
    struct pv_relay *relay;
    uint32_t number;
    uint16_t family;
    int fd;
    bool df;
    struct pv_watch *watch;
};

struct pv_relay {
    struct pv_loop *loop;
    struct pv_coord *coord;
    struct pv_turns *turns;            /* of it */
    int listeners[PV_RELAY_LISTENERS]; /* -1: none */
    struct sock **socks;               /* by number - PV_TURNS_RELAY0 */
    size_t n_socks;
    struct pv_udp_receiver *rx;
    struct pv_udp_counts counts;
};

int pv_relay_new(struct pv_relay **ret_relay, struct pv_loop *loop, struct pv_coord *coord)
{
    struct pv_relay *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return PV_ERR_NOMEM;
    r->loop = loop;
    r->coord = coord;
    r->turns = pv_coord_turns(coord);
    for (size_t i = 0; i < PV_RELAY_LISTENERS; i++)
        r->listeners[i] = -1;
    if (pv_udp_receiver_new(&r->rx, PV_TURNS_BATCH, PV_TURNS_DATAGRAM_MAX) < 0) {
        free(r);
        return PV_ERR_NOMEM;
    }
    *ret_relay = r;
    return PV_OK;
}

static void close_sock(struct pv_relay *r, uint32_t number)
{
    size_t i = number - PV_TURNS_RELAY0;
    struct sock *s = i < r->n_socks ? r->socks[i] : NULL;
    if (s == NULL)
        return; /* it could not be opened */
    r->socks[i] = NULL;
    pv_watch_free(s->watch);
    close(s->fd);
    free(s);
}

struct pv_relay *pv_relay_free(struct pv_relay *relay)
{
    if (relay == NULL)
        return NULL;
    for (size_t i = 0; i < relay->n_socks; i++)
        close_sock(relay, (uint32_t)(PV_TURNS_RELAY0 + i));
    free(relay->socks);
    pv_udp_receiver_free(relay->rx);
    free(relay);
    return NULL;
}

int pv_relay_add_listener(struct pv_relay *relay, uint32_t sock, int fd)
{
    if (sock >= PV_RELAY_LISTENERS)
        return PV_ERR_LIMIT;
    relay->listeners[sock] = fd;
    return PV_OK;
}

/* --- sending ------------------------------------------------------------------------------- */

/* The descriptor for one output, its DF set as wanted; -1: gone. */
static int fd_for(struct pv_relay *r, const struct pv_turns_out *out)
{
    if (out->sock < PV_RELAY_LISTENERS)
        return r->listeners[out->sock];
    size_t i = out->sock - PV_TURNS_RELAY0;
    struct sock *s = out->sock >= PV_TURNS_RELAY0 && i < r->n_socks ? r->socks[i] : NULL;
    if (s == NULL)
        return -1;
    if (s->df != out->df && pv_udp_set_df(s->fd, s->family, out->df) == PV_OK)
        s->df = out->df;
    return s->fd;
}

static void send_all(struct pv_relay *r)
{
    struct pv_udp_out batch[PV_TURNS_BATCH];
    size_t n = 0;
    const struct pv_turns_out *out = pv_turns_out(r->turns, &n);
    for (size_t i = 0; i < n;) {
        size_t k = 0;
        if (out[i].stream != 0) {
            pv_coord_relay_stream(r->coord, &out[i++]);
            continue;
        }
        uint32_t sock = out[i].sock;
        bool df = out[i].df;
        int fd = fd_for(r, &out[i]);
        for (; i < n && out[i].stream == 0 && out[i].sock == sock && out[i].df == df; i++)
            batch[k++] =
                (struct pv_udp_out){.dst = out[i].dst, .local = out[i].local, .data = out[i].data};
        if (fd >= 0)
            pv_udp_send(fd, batch, k, &r->counts);
    }
}

void pv_relay_from_stream(struct pv_relay *relay)
{
    struct pv_turns_out out;
    while (pv_coord_poll_datagram(relay->coord, &out) == PV_OK) {
        const struct pv_udp_out one = {.dst = out.dst, .local = out.local, .data = out.data};
        int fd = fd_for(relay, &out);
        if (fd >= 0)
            pv_udp_send(fd, &one, 1, &relay->counts);
    }
}

/* --- relay sockets --------------------------------------------------------------------------- */

static void on_peers(void *ctx, unsigned ready, pv_ns now)
{
    struct sock *s = ctx;
    struct pv_udp_in *in = NULL;
    struct pv_turns_in batch[PV_TURNS_BATCH];
    size_t n = 0;
    size_t k = 0;
    (void)ready;
    if (pv_udp_recv(s->relay->rx, s->fd, &in, &n) < 0)
        return;
    for (size_t i = 0; i < n && i < PV_TURNS_BATCH; i++) {
        if (!in[i].cut)
            batch[k++] = (struct pv_turns_in){.src = in[i].src,
                                              .local = in[i].local,
                                              .sock = s->number,
                                              .ptr = in[i].ptr,
                                              .len = in[i].len};
    }
    pv_relay_batch(s->relay, batch, k, now);
}

/* Room for the slot of that number. */
static int grow(struct pv_relay *r, size_t i)
{
    if (i < r->n_socks)
        return PV_OK;
    size_t n = r->n_socks == 0 ? 64 : r->n_socks * 2;
    if (i >= SOCKETS_MAX)
        return PV_ERR_LIMIT;
    while (n <= i)
        n *= 2;
    struct sock **socks = realloc(r->socks, n * sizeof(struct sock *));
    if (socks == NULL)
        return PV_ERR_NOMEM;
    for (size_t k = r->n_socks; k < n; k++)
        socks[k] = NULL;
    r->socks = socks;
    r->n_socks = n;
    return PV_OK;
}

static int open_sock(struct pv_relay *r, const struct pv_turns_socket *op)
{
    static const struct pv_udp_opts opts = {0};
    size_t i = op->sock - PV_TURNS_RELAY0;
    int e = grow(r, i);
    struct sock *s = e < 0 ? NULL : calloc(1, sizeof(*s));
    if (s == NULL)
        return PV_ERR_NOMEM;
    *s = (struct sock){.relay = r, .number = op->sock, .family = op->addr.family, .fd = -1};
    e = pv_udp_open(&op->addr, &opts, &s->fd);
    /* A relayed packet is fragmented unless its sender asked for DF (RFC 8656 s14). */
    if (e == PV_OK)
        e = pv_udp_set_df(s->fd, s->family, false);
    if (e == PV_OK)
        e = pv_watch_new(&s->watch, r->loop, s->fd, PV_LOOP_READ, on_peers, s);
    if (e < 0) {
        if (s->fd >= 0)
            close(s->fd);
        free(s);
        return e;
    }
    r->socks[i] = s;
    return PV_OK;
}

void pv_relay_settle(struct pv_relay *relay, pv_ns now)
{
    struct pv_turns_socket op;
    while (pv_turns_poll_socket(relay->turns, &op) == PV_OK) {
        if (!op.open) {
            close_sock(relay, op.sock);
            continue;
        }
        pv_turns_opened(relay->turns, op.sock, open_sock(relay, &op), now);
        send_all(relay);
    }
}

void pv_relay_batch(struct pv_relay *relay, const struct pv_turns_in *in, size_t n, pv_ns now)
{
    pv_turns_batch(relay->turns, in, n, now);
    send_all(relay);
    pv_relay_settle(relay, now);
}
