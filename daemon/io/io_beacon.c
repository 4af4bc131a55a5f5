/* SPDX-License-Identifier: MIT */
/* io_beacon.c - hears the beacons of members in the LAN, and tells the engine by which interface
 * they came. */
#include "daemon/io/io_beacon.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/control/beacon.h"
#include "sys/net/sockaddr.h"

enum {
    SOCKETS = 2,                /* IPv4, IPv6 */
    DATAGRAMS_A_TURN = 64,      /* ours: then the socket is left alone for PAUSE */
    RECEIVE_BYTES = 256 * 1024, /* ours: about 100 datagrams, by the kernel's count */
};
/* Ours: a flood costs 1,280 datagrams a second and socket, and the kernel drops the rest. */
#define PAUSE PV_MS(50)

struct pv_io_beacon {
    struct pv_io *io;
    struct beaconsock {
        int fd; /* -1: not there */
        uint16_t family;
        struct pv_io_beacon *beacon; /* back, for the watch */
        struct pv_watch *watch;
    } socks[SOCKETS];
    pv_ns again; /* sockets that are left alone are watched again; PV_NEVER: none is */
};

/* The control messages of a datagram. */
struct beside {
    struct pv_addr dst;
    uint32_t ifindex;
    int hops;
};

static void read_beside(struct msghdr *msg, struct beside *b)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            b->ifindex = (uint32_t)info.ipi_ifindex;
            b->dst.family = PV_AF_INET;
            memcpy(b->dst.ip, &info.ipi_addr, PV_IP4_LEN);
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            b->ifindex = info.ipi6_ifindex;
            b->dst = pv_addr6(info.ipi6_addr.s6_addr, 0);
        } else if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TTL) ||
                   (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_HOPLIMIT)) {
            memcpy(&b->hops, CMSG_DATA(c), sizeof(b->hops));
        }
    }
}

/* False: nothing waits. A datagram that is longer than a beacon stays so here. */
static bool take_one(const struct beaconsock *s, pv_ns now)
{
    const struct pv_addr group = pv_beacon_group(s->family);
    _Alignas(struct cmsghdr)
        uint8_t control[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int))];
    uint8_t buf[PV_BEACON_LEN + 1];
    struct sockaddr_storage ss = {0};
    struct iovec iov = {.iov_base = buf, .iov_len = sizeof(buf)};
    struct msghdr msg = {.msg_name = &ss,
                         .msg_namelen = sizeof(ss),
                         .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    struct beside beside = {.hops = 0};
    ssize_t n = recvmsg(s->fd, &msg, MSG_DONTWAIT);
    if (n < 0)
        return false;
    read_beside(&msg, &beside);
    const struct pv_addr src = pv_sockaddr_to(&ss);
    if (pv_addr_equal_ip(&beside.dst, &group) && beside.hops > 0 && beside.hops <= UINT8_MAX)
        pv_engine_handle_beacon(s->beacon->io->engine, &src, beside.ifindex, (uint8_t)beside.hops,
                                pv_view(buf, (size_t)n), now);
    return true;
}

static void on_readable(void *ctx, unsigned ready, pv_ns now)
{
    struct beaconsock *s = ctx;
    struct pv_io_beacon *b = s->beacon;
    unsigned n = 0;
    pv_io_turn_begin(b->io, now);
    while (n < DATAGRAMS_A_TURN && take_one(s, now))
        n++;
    if (n < DATAGRAMS_A_TURN)
        return;
    pv_watch_set(s->watch, 0);
    b->again = pv_min_ns(b->again, now + PAUSE);
}

pv_ns pv_io_beacon_timeout(struct pv_io_beacon *b, pv_ns now)
{
    if (now < b->again)
        return b->again;
    for (size_t i = 0; i < SOCKETS; i++) {
        if (b->socks[i].watch != NULL)
            pv_watch_set(b->socks[i].watch, PV_LOOP_READ);
    }
    b->again = PV_NEVER;
    return b->again;
}

static bool set_option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) == 0;
}

/* Several daemons of this host hear the same port. The socket of IPv4 is bound to the group; one of
 * IPv6 would need an interface for that, so it takes what comes to the port. */
static bool set_up(int fd, uint16_t family)
{
    struct pv_addr at = pv_beacon_group(family);
    struct sockaddr_storage ss;
    if (family == PV_AF_INET6)
        memset(at.ip, 0, sizeof(at.ip));
    const socklen_t len = pv_sockaddr_from(&at, &ss);
    const bool options = family == PV_AF_INET6
                             ? set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) &&
                                   set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) &&
                                   set_option(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1)
                             : set_option(fd, IPPROTO_IP, IP_PKTINFO, 1) &&
                                   set_option(fd, IPPROTO_IP, IP_RECVTTL, 1);
    (void)set_option(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BYTES);
    return options && set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) &&
           bind(fd, (struct sockaddr *)&ss, len) == 0;
}

static void open_socket(struct beaconsock *s)
{
    struct pv_io *io = s->beacon->io;
    s->fd = socket(s->family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->fd >= 0 && set_up(s->fd, s->family) &&
        pv_watch_new(&s->watch, io->loop, s->fd, PV_LOOP_READ, on_readable, s) == PV_OK)
        return;
    pv_log(io->log, PV_LOG_DEBUG, "what=\"beacons are not heard\" family=%s why=\"%s\"",
           s->family == PV_AF_INET6 ? "IPv6" : "IPv4", pv_strstatus(-errno));
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

int pv_io_beacon_new(struct pv_io_beacon **ret_beacon, struct pv_io *io)
{
    static const uint16_t families[SOCKETS] = {PV_AF_INET, PV_AF_INET6};
    struct pv_io_beacon *b = calloc(1, sizeof(*b));
    if (b == NULL)
        return PV_ERR_NOMEM;
    b->io = io;
    b->again = PV_NEVER;
    for (size_t i = 0; i < SOCKETS; i++) {
        b->socks[i] = (struct beaconsock){.fd = -1, .family = families[i], .beacon = b};
        if (io->cfg.beacon)
            open_socket(&b->socks[i]);
    }
    *ret_beacon = b;
    return PV_OK;
}

struct pv_io_beacon *pv_io_beacon_free(struct pv_io_beacon *b)
{
    if (b == NULL)
        return NULL;
    for (size_t i = 0; i < SOCKETS; i++) {
        pv_watch_free(b->socks[i].watch);
        if (b->socks[i].fd >= 0)
            close(b->socks[i].fd);
    }
    free(b);
    return NULL;
}
