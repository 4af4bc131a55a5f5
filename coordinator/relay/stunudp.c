/* SPDX-License-Identifier: MIT */
/* UDP sockets by address and port, and which of them stand for each other (RFC 5780 s6): which one
 * a datagram came to, and from which one an answer has to leave. */
#include "coordinator/relay/stunudp.h"

#include <stdlib.h>
#include <unistd.h>

#include "sys/net/udp.h"

enum {
    FAMILIES = 2, /* IPv4, IPv6 */
};

struct stun_sock {
    int fd;               /* owned */
    struct pv_addr bound; /* with port */
    uint16_t second_port; /* 0: none */
};

/* Two addresses of one family that stand for each other. */
struct alternate_pair {
    struct pv_addr first, second; /* port 0; no family: not set */
};

struct pv_stunudp {
    struct stun_sock socks[PV_STUNUDP_SOCKETS];
    size_t n_socks;
    struct alternate_pair pairs[FAMILIES];
};

int pv_stunudp_new(struct pv_stunudp **ret_udp)
{
    struct pv_stunudp *u = calloc(1, sizeof(*u));
    if (u == NULL)
        return PV_ERR_NOMEM;
    *ret_udp = u;
    return PV_OK;
}

struct pv_stunudp *pv_stunudp_free(struct pv_stunudp *udp)
{
    if (udp == NULL)
        return NULL;
    for (size_t i = 0; i < udp->n_socks; i++)
        close(udp->socks[i].fd);
    free(udp);
    return NULL;
}

/* --- which socket ---------------------------------------------------------------------------- */

size_t pv_stunudp_count(const struct pv_stunudp *udp)
{
    return udp->n_socks;
}

int pv_stunudp_fd(const struct pv_stunudp *udp, size_t i)
{
    return udp->socks[i].fd;
}

/* One pair of alternate addresses for each family. */
static size_t pair_of(uint16_t family)
{
    return family == PV_AF_INET6 ? 1 : 0;
}

/* A socket bound to all addresses sends from each of them; a more exact one is not preferred, as
 * both would do. */
int pv_stunudp_at(const struct pv_stunudp *udp, const struct pv_addr *at, size_t *ret_i)
{
    for (size_t i = 0; i < udp->n_socks; i++) {
        const struct pv_addr *b = &udp->socks[i].bound;
        if (b->port == at->port && b->family == at->family &&
            (pv_addr_is_unspecified(b) || pv_addr_equal_ip(b, at))) {
            *ret_i = i;
            return PV_OK;
        }
    }
    return PV_ERR_NOT_FOUND;
}

/* A second address is only told where all four sockets exist (RFC 5780 s6): without a second port
 * no change can be granted. */
struct pv_stuns_place pv_stunudp_place(const struct pv_stunudp *udp, size_t i,
                                       const struct pv_addr *local)
{
    const struct stun_sock *s = &udp->socks[i];
    const struct alternate_pair *pair = &udp->pairs[pair_of(local->family)];
    struct pv_stuns_place place = {.local = *local};
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

/* --- opening --------------------------------------------------------------------------------- */

/* GRO lets the relay read many datagrams at once, and its buffers have room for that. DF on all:
 * by itself the kernel leaves it off where a run of datagrams (UDP_SEGMENT) is longer than the
 * interface's MTU, so a probe in a run would come through in fragments where a packet alone does
 * not. */
int pv_stunudp_take(struct pv_stunudp *udp, int fd, const struct pv_addr *bound)
{
    if (udp->n_socks == PV_STUNUDP_SOCKETS) {
        close(fd);
        return PV_ERR_LIMIT;
    }
    int r = pv_udp_set_df(fd, bound->family, true);
    if (r < 0) {
        close(fd);
        return r;
    }
    pv_udp_set_gro(fd);
    udp->socks[udp->n_socks++] = (struct stun_sock){.fd = fd, .bound = *bound};
    return PV_OK;
}

/* Opens a socket there, unless one that is open can send from there. */
static int open_at(struct pv_stunudp *u, const struct pv_addr *at)
{
    static const struct pv_udp_opts opts = {0};
    int fd = -1;
    size_t i = 0;
    if (pv_stunudp_at(u, at, &i) == PV_OK)
        return PV_OK;
    int r = pv_udp_open(at, &opts, &fd);
    return r < 0 ? r : pv_stunudp_take(u, fd, at);
}

/* When a second port is in use, the server is only a little worse at measuring NATs, so that is no
 * error. */
int pv_stunudp_open_ports(struct pv_stunudp *udp)
{
    size_t n = udp->n_socks;
    for (size_t i = 0; i < n; i++) {
        struct pv_addr at = udp->socks[i].bound;
        if (at.port == UINT16_MAX || udp->socks[i].second_port != 0)
            continue;
        at.port++;
        size_t own = 0;
        if (pv_stunudp_at(udp, &at, &own) == PV_OK) /* a listening address of its own */
            continue;
        int r = open_at(udp, &at);
        if (r == PV_ERR_LIMIT)
            return r;
        if (r < 0)
            continue;
        udp->socks[i].second_port = at.port;
        udp->socks[udp->n_socks - 1].second_port = udp->socks[i].bound.port;
    }
    return PV_OK;
}

/* The operator asked for this address, so here failing is an error. base is the socket that serves
 * `first`; its ports are opened on `second` as well. */
int pv_stunudp_set_second(struct pv_stunudp *udp, const struct pv_addr *first,
                          const struct pv_addr *second, struct pv_addr *ret_at)
{
    const struct stun_sock *base = NULL;
    for (size_t i = 0; base == NULL && i < udp->n_socks; i++) {
        struct pv_addr at = *first;
        at.port = udp->socks[i].bound.port;
        size_t k = 0;
        if (pv_stunudp_at(udp, &at, &k) == PV_OK && k == i)
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
    struct alternate_pair *pair = &udp->pairs[pair_of(first->family)];
    pair->first = *first;
    pair->second = *second;
    pair->first.port = 0;
    pair->second.port = 0;
    return PV_OK;
}
