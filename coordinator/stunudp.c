/* SPDX-License-Identifier: MIT */
#include "coordinator/stunudp.h"

#include <stdlib.h>
#include <unistd.h>

#include "sys/udp.h"

enum {
    DATAGRAMS = 64,      /* a receive call */
    DATAGRAM_MAX = 2048, /* bytes; longer ones are dropped */
    FAMILIES = 2,
};

struct sock {
    struct pv_stunudp *udp;
    int fd;
    struct pv_addr bound;
    uint16_t second_port; /* 0: none */
    struct pv_watch *watch;
    struct pv_udp_counts counts;
};

/* Two addresses of one family that stand for each other. */
struct pair {
    struct pv_addr first, second; /* port 0; no family: not set */
};

struct pv_stunudp {
    struct pv_loop *loop;
    struct pv_coord *coord;
    struct pv_relay *relay;
    struct sock socks[PV_STUNUDP_SOCKETS];
    size_t n_socks;
    struct pair pairs[FAMILIES];
    struct pv_udp_receiver *rx;
};

int pv_stunudp_new(struct pv_stunudp **ret_udp, struct pv_loop *loop, struct pv_coord *coord,
                   struct pv_relay *relay)
{
    struct pv_stunudp *u = calloc(1, sizeof(*u));
    if (u == NULL)
        return PV_ERR_NOMEM;
    u->loop = loop;
    u->coord = coord;
    u->relay = relay;
    if (pv_udp_receiver_new(&u->rx, DATAGRAMS, DATAGRAM_MAX) < 0) {
        free(u);
        return PV_ERR_NOMEM;
    }
    *ret_udp = u;
    return PV_OK;
}

struct pv_stunudp *pv_stunudp_free(struct pv_stunudp *udp)
{
    if (udp == NULL)
        return NULL;
    for (size_t i = 0; i < udp->n_socks; i++) {
        pv_watch_free(udp->socks[i].watch);
        close(udp->socks[i].fd);
    }
    pv_udp_receiver_free(udp->rx);
    free(udp);
    return NULL;
}

/* --- datagrams ----------------------------------------------------------------------------- */

static struct pair *pair_of(struct pv_stunudp *u, uint16_t family)
{
    return &u->pairs[family == PV_AF_INET6 ? 1 : 0];
}

/* The socket that sends from that address and port. */
static struct sock *sock_at(struct pv_stunudp *u, const struct pv_addr *at)
{
    for (size_t i = 0; i < u->n_socks; i++) {
        const struct pv_addr *b = &u->socks[i].bound;
        if (b->port == at->port && b->family == at->family &&
            (pv_addr_is_unspecified(b) || pv_addr_equal_ip(b, at)))
            return &u->socks[i];
    }
    return NULL;
}

static struct pv_stuns_place place_of(struct sock *s, const struct pv_addr *local)
{
    struct pv_stuns_place place = {.local = *local};
    const struct pair *pair = pair_of(s->udp, local->family);
    place.local.port = s->bound.port;
    if (s->second_port == 0)
        return place;
    if (pair->second.family != PV_AF_NONE && pv_addr_equal_ip(local, &pair->first))
        place.other = pair->second;
    else if (pair->second.family != PV_AF_NONE && pv_addr_equal_ip(local, &pair->second))
        place.other = pair->first;
    place.other.port = s->second_port;
    return place;
}

static void on_datagrams(void *ctx, unsigned ready, pv_ns now)
{
    struct sock *s = ctx;
    struct pv_stunudp *u = s->udp;
    struct pv_udp_in *in = NULL;
    size_t n = 0;
    struct pv_stuns_reply replies[DATAGRAMS];
    struct pv_udp_out out[DATAGRAMS];
    struct pv_turns_in turn[DATAGRAMS];
    size_t n_out = 0;
    size_t n_turn = 0;
    (void)ready;
    if (pv_udp_recv(u->rx, s->fd, &in, &n) < 0)
        return;
    for (size_t i = 0; i < n && i < DATAGRAMS; i++) {
        if (!in[i].cut && pv_turns_is_turn(pv_view(in[i].ptr, in[i].len))) {
            turn[n_turn++] = (struct pv_turns_in){.src = in[i].src,
                                                  .local = in[i].local,
                                                  .sock = (uint32_t)(s - u->socks),
                                                  .ptr = in[i].ptr,
                                                  .len = in[i].len};
            continue;
        }
        struct pv_stuns_reply *reply = &replies[n_out];
        struct pv_stuns_place place = place_of(s, &in[i].local);
        if (in[i].cut || pv_coord_handle_datagram(u->coord, &in[i].src, &place,
                                                  pv_view(in[i].ptr, in[i].len), now, reply) < 0)
            continue;
        struct sock *from = sock_at(u, &reply->from);
        /* The address matters: a NAT or firewall tells senders apart by it. */
        out[n_out] = (struct pv_udp_out){
            .dst = reply->to, .local = reply->from, .data = pv_view(reply->buf, reply->len)};
        if (from == s)
            n_out++;
        else if (from != NULL)
            pv_udp_send(from->fd, &out[n_out], 1, &from->counts);
    }
    pv_udp_send(s->fd, out, n_out, &s->counts);
    if (n_turn > 0)
        pv_relay_batch(u->relay, turn, n_turn, now);
}

/* --- opening ------------------------------------------------------------------------------- */

int pv_stunudp_take(struct pv_stunudp *udp, int fd, const struct pv_addr *bound)
{
    struct sock *s = &udp->socks[udp->n_socks];
    if (udp->n_socks == PV_STUNUDP_SOCKETS) {
        close(fd);
        return PV_ERR_LIMIT;
    }
    *s = (struct sock){.udp = udp, .fd = fd, .bound = *bound};
    udp->n_socks++;
    int r = pv_relay_add_listener(udp->relay, (uint32_t)(s - udp->socks), fd);
    return r < 0 ? r : pv_watch_new(&s->watch, udp->loop, fd, PV_LOOP_READ, on_datagrams, s);
}

static int open_at(struct pv_stunudp *u, const struct pv_addr *at)
{
    static const struct pv_udp_opts opts = {0};
    int fd = -1;
    if (sock_at(u, at) != NULL)
        return PV_OK;
    int r = pv_udp_open(at, &opts, &fd);
    return r < 0 ? r : pv_stunudp_take(u, fd, at);
}

int pv_stunudp_open_ports(struct pv_stunudp *udp)
{
    size_t n = udp->n_socks;
    for (size_t i = 0; i < n; i++) {
        struct pv_addr at = udp->socks[i].bound;
        if (at.port == UINT16_MAX || udp->socks[i].second_port != 0)
            continue;
        at.port++;
        if (sock_at(udp, &at) != NULL) /* a listening address of its own */
            continue;
        int r = open_at(udp, &at);
        if (r == PV_ERR_NOMEM || r == PV_ERR_LIMIT)
            return r;
        if (r < 0)
            continue;
        udp->socks[i].second_port = at.port;
        udp->socks[udp->n_socks - 1].second_port = udp->socks[i].bound.port;
    }
    return PV_OK;
}

int pv_stunudp_set_second(struct pv_stunudp *udp, const struct pv_addr *first,
                          const struct pv_addr *second, struct pv_addr *ret_at)
{
    const struct sock *base = NULL;
    for (size_t i = 0; base == NULL && i < udp->n_socks; i++) {
        struct pv_addr at = *first;
        at.port = udp->socks[i].bound.port;
        if (sock_at(udp, &at) == &udp->socks[i])
            base = &udp->socks[i];
    }
    *ret_at = *first;
    if (base == NULL)
        return PV_ERR_NOT_FOUND;
    uint16_t ports[] = {base->bound.port, base->second_port};
    ret_at->port = (uint16_t)(ports[0] + 1);
    if (ports[1] == 0)
        return PV_ERR_EXISTS;
    for (size_t i = 0; i < PV_ARRAY_LEN(ports); i++) {
        *ret_at = *second;
        ret_at->port = ports[i];
        size_t before = udp->n_socks;
        int r = open_at(udp, ret_at);
        if (r < 0)
            return r;
        if (udp->n_socks > before)
            udp->socks[before].second_port = ports[1 - i];
    }
    struct pair *pair = pair_of(udp, first->family);
    pair->first = *first;
    pair->second = *second;
    pair->first.port = 0;
    pair->second.port = 0;
    return PV_OK;
}
