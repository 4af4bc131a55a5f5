/* SPDX-License-Identifier: MIT */
/* The routers: who they are, and the sockets on which PCP is spoken with them. */
#include "daemon/io/io_router.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/stun/portmap.h"
#include "sys/helper/networds.h"
#include "sys/net/netroutes.h"
#include "sys/net/sockaddr.h"

/* One socket a family is for requests of PCP (RFC 6887), one a family for what routers announce to
 * everybody on the link. They are apart from the main sockets, so that nothing a router says goes
 * near the packets' way, and because an IPv6 router is reached at a link-local address, which needs
 * its interface. A socket that cannot be opened is done without. */
enum {
    REQUESTS4,
    REQUESTS6,
    ANNOUNCED4,
    ANNOUNCED6,
    SOCKETS,
};

enum {
    DATAGRAMS_A_TURN = 16, /* ours: then other descriptors get their turn */
    DATAGRAM_MAX = 1104,   /* bytes; a PCP message has at most 1100 (RFC 6887 s7) */
};

struct pv_io_router {
    struct pv_io *io;
    bool open; /* the sockets were opened, as far as they could be */
    struct routersock {
        int fd;                      /* -1: not there */
        struct pv_io_router *router; /* back, for the watch */
        struct pv_watch *watch;
    } socks[SOCKETS];
    struct pv_engine_router routers[PV_NODE_ROUTERS]; /* as they were found last */
};

/* --- the sockets ----------------------------------------------------------------------------- */

/* Several programs of this host may listen to announcements (RFC 6887 s14.1.3). */
static int open_router_socket(const struct pv_addr *at, bool shared)
{
    struct sockaddr_storage ss;
    socklen_t len = pv_sockaddr_from(at, &ss);
    int one = 1;
    int fd = socket(at->family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if ((at->family == PV_AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0) ||
        (shared && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0) ||
        bind(fd, (struct sockaddr *)&ss, len) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Answers, and announcements that the router has restarted (RFC 6887 s14.1). A longer datagram is
 * cut. */
static void on_readable(void *ctx, unsigned ready, pv_ns now)
{
    struct routersock *s = ctx;
    struct pv_io *io = s->router->io;
    uint8_t buf[DATAGRAM_MAX];
    pv_io_turn_begin(io, now);
    for (unsigned k = 0; k < DATAGRAMS_A_TURN; k++) {
        struct sockaddr_storage ss = {0};
        socklen_t len = sizeof(ss);
        ssize_t n = recvfrom(s->fd, buf, sizeof(buf), 0, (struct sockaddr *)&ss, &len);
        if (n < 0)
            return;
        const struct pv_addr src = pv_sockaddr_to(&ss);
        pv_engine_handle_router_datagram(io->engine, &src, pv_view(buf, (size_t)n), now);
    }
}

/* With the first request: a node that asks nobody hears nobody. */
static void open_socks(struct pv_io_router *router)
{
    /* 224.0.0.1 and ff02::1: every host is in these groups. A socket bound to a link-local group
     * needs an interface, so the IPv6 one takes what comes to the port. */
    const struct pv_addr at[SOCKETS] = {
        [REQUESTS4] = {.family = PV_AF_INET},
        [REQUESTS6] = {.family = PV_AF_INET6},
        [ANNOUNCED4] = pv_addr4(224, 0, 0, 1, PV_PORTMAP_ANNOUNCE_PORT),
        [ANNOUNCED6] = {.family = PV_AF_INET6, .port = PV_PORTMAP_ANNOUNCE_PORT},
    };
    if (router->open)
        return;
    router->open = true;
    for (size_t i = 0; i < SOCKETS; i++) {
        struct routersock *s = &router->socks[i];
        *s = (struct routersock){.router = router,
                                 .fd = open_router_socket(&at[i], i >= ANNOUNCED4)};
        if (s->fd < 0 ||
            pv_watch_new(&s->watch, router->io->loop, s->fd, PV_LOOP_READ, on_readable, s) < 0)
            pv_log(router->io->log, PV_LOG_DEBUG,
                   "what=\"a socket for routers is not there\" n=%zu", i);
    }
}

/* The source address: the one the mapping is for (RFC 6887 s16.4). */
static void put_source(struct msghdr *msg, const struct pv_addr *local, uint32_t ifindex)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(msg);
    if (local->family == PV_AF_INET) {
        struct in_pktinfo info = {.ipi_ifindex = 0};
        memcpy(&info.ipi_spec_dst, local->ip, 4);
        c->cmsg_level = IPPROTO_IP;
        c->cmsg_type = IP_PKTINFO;
        c->cmsg_len = CMSG_LEN(sizeof(info));
        memcpy(CMSG_DATA(c), &info, sizeof(info));
    } else {
        struct in6_pktinfo info = {.ipi6_ifindex = ifindex};
        memcpy(&info.ipi6_addr, local->ip, 16);
        c->cmsg_level = IPPROTO_IPV6;
        c->cmsg_type = IPV6_PKTINFO;
        c->cmsg_len = CMSG_LEN(sizeof(info));
        memcpy(CMSG_DATA(c), &info, sizeof(info));
    }
    msg->msg_controllen = c->cmsg_len;
}

/* local: the source address, without port. ifindex: the way to a link-local dst, else unused.
 * -errno; PV_ERR_UNSUPPORTED: no socket of that family.
 * The source address is set for each datagram, since the mapping is made for the address that it
 * comes from (RFC 6887 s8.1). */
static int send_request(const struct pv_io_router *router, const struct pv_addr *dst,
                        const struct pv_addr *local, uint32_t ifindex, struct pv_view data)
{
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct in6_pktinfo))] = {0};
    uint8_t bytes[DATAGRAM_MAX];
    struct sockaddr_storage ss;
    socklen_t len = pv_sockaddr_from(dst, &ss);
    int fd = router->socks[dst->family == PV_AF_INET6 ? REQUESTS6 : REQUESTS4].fd;
    if (fd < 0 || len == 0 || local->family != dst->family || data.len > sizeof(bytes))
        return PV_ERR_UNSUPPORTED;
    memcpy(bytes, data.ptr, data.len);
    if (dst->family == PV_AF_INET6 && pv_addr_is_link_local(dst)) {
        struct sockaddr_in6 in6;
        memcpy(&in6, &ss, sizeof(in6));
        in6.sin6_scope_id = ifindex;
        memcpy(&ss, &in6, sizeof(in6));
    } else {
        ifindex = 0;
    }
    struct iovec iov = {.iov_base = bytes, .iov_len = data.len};
    struct msghdr msg = {.msg_name = &ss,
                         .msg_namelen = len,
                         .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    put_source(&msg, local, ifindex);
    return sendmsg(fd, &msg, MSG_NOSIGNAL) < 0 ? -errno : PV_OK;
}

/* --- the routers ----------------------------------------------------------------------------- */

int pv_io_router_new(struct pv_io_router **ret_router, struct pv_io *io)
{
    struct pv_io_router *router = calloc(1, sizeof(*router));
    if (router == NULL)
        return PV_ERR_NOMEM;
    router->io = io;
    *ret_router = router;
    return PV_OK;
}

struct pv_io_router *pv_io_router_free(struct pv_io_router *router)
{
    if (router == NULL)
        return NULL;
    for (size_t i = 0; i < SOCKETS && router->open; i++) {
        pv_watch_free(router->socks[i].watch);
        if (router->socks[i].fd >= 0)
            close(router->socks[i].fd);
    }
    free(router);
    return NULL;
}

bool pv_io_router_look(struct pv_io_router *router, uint32_t tun_index, pv_ns now)
{
    static const uint16_t families[PV_NODE_ROUTERS] = {PV_AF_INET, PV_AF_INET6};
    const struct pv_net_sender us = {.mark = PV_NETWORDS_MARK, .uid = PV_NET_SELF};
    struct pv_engine_router routers[PV_NODE_ROUTERS];
    memset(routers, 0, sizeof(routers)); /* padding too: compared as bytes */
    for (size_t i = 0; i < PV_NODE_ROUTERS; i++) {
        const struct pv_addr far = pv_net_far(families[i]);
        struct pv_net_way way;
        /* A tunnel of our own that leads everywhere has no router. */
        if (pv_net_way(&far, &us, &way) < 0 || way.ifindex == tun_index ||
            way.router.family == PV_AF_NONE)
            continue;
        routers[i].addr.family = way.router.family;
        memcpy(routers[i].addr.ip, way.router.ip, sizeof(way.router.ip));
        routers[i].ifindex = way.ifindex;
    }
    bool changed = memcmp(routers, router->routers, sizeof(routers)) != 0;
    memcpy(router->routers, routers, sizeof(routers));
    pv_engine_handle_routers(router->io->engine, routers, now);
    return changed;
}

void pv_io_router_send(struct pv_io_router *router, const struct pv_engine_transmit *tx)
{
    const struct pv_engine_router *r = &router->routers[tx->dst.family == PV_AF_INET6 ? 1 : 0];
    open_socks(router);
    int e = send_request(router, &tx->dst, &tx->local, r->ifindex, pv_view(tx->buf, tx->len));
    if (e < 0)
        pv_log(router->io->log, PV_LOG_DEBUG, "what=\"router not asked\" why=\"%s\"",
               pv_strstatus(e));
}
