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
#include "sys/net/netroutes.h"
#include "sys/net/sockaddr.h"

/* --- sockets for PCP (RFC 6887) -------------------------------------------------------------- */

/* One a family is for requests, one a family for what routers announce to everybody on the link.
 * They are apart from the main sockets, so that nothing a router says goes near the packets' way,
 * and because an IPv6 router is reached at a link-local address, which needs its interface. A
 * socket that cannot be opened is done without. */

enum {
    ROUTERSOCK_FDS = 4,
    ROUTERSOCK_MAX = 1104, /* bytes; a PCP message has at most 1100 (RFC 6887 s7) */
};

struct routersock {
    int fds[ROUTERSOCK_FDS]; /* -1: not there */
};

enum {
    REQUESTS4,
    REQUESTS6,
    ANNOUNCED4,
    ANNOUNCED6,
};

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

/* announce_port: PV_PORTMAP_ANNOUNCE_PORT. */
static void routersock_open(struct routersock *rs, uint16_t announce_port)
{
    const struct pv_addr any4 = {.family = PV_AF_INET};
    const struct pv_addr any6 = {.family = PV_AF_INET6};
    /* 224.0.0.1 and ff02::1: every host is in these groups. A socket bound to a link-local group
     * needs an interface, so the IPv6 one takes what comes to the port. */
    const struct pv_addr all4 = pv_addr4(224, 0, 0, 1, announce_port);
    const struct pv_addr all6 = {.family = PV_AF_INET6, .port = announce_port};
    rs->fds[REQUESTS4] = open_router_socket(&any4, false);
    rs->fds[REQUESTS6] = open_router_socket(&any6, false);
    rs->fds[ANNOUNCED4] = open_router_socket(&all4, true);
    rs->fds[ANNOUNCED6] = open_router_socket(&all6, true);
}

static void routersock_close(struct routersock *rs)
{
    for (size_t i = 0; i < ROUTERSOCK_FDS; i++) {
        if (rs->fds[i] >= 0)
            close(rs->fds[i]);
        rs->fds[i] = -1;
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
static int routersock_send(const struct routersock *rs, const struct pv_addr *dst,
                           const struct pv_addr *local, uint32_t ifindex, struct pv_view data)
{
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct in6_pktinfo))] = {0};
    uint8_t bytes[ROUTERSOCK_MAX];
    struct sockaddr_storage ss;
    socklen_t len = pv_sockaddr_from(dst, &ss);
    int fd = rs->fds[dst->family == PV_AF_INET6 ? REQUESTS6 : REQUESTS4];
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

/* The next datagram on that socket. PV_ERR_AGAIN: none (errors are eaten). A longer one is cut. */
static int routersock_recv(const struct routersock *rs, size_t i,
                           uint8_t buf[static ROUTERSOCK_MAX], struct pv_addr *ret_src,
                           size_t *ret_len)
{
    struct sockaddr_storage ss = {0};
    socklen_t len = sizeof(ss);
    ssize_t n = recvfrom(rs->fds[i], buf, ROUTERSOCK_MAX, 0, (struct sockaddr *)&ss, &len);
    if (n < 0)
        return PV_ERR_AGAIN;
    *ret_src = pv_sockaddr_to(&ss);
    *ret_len = (size_t)n;
    return PV_OK;
}

/* --- the routers ----------------------------------------------------------------------------- */

enum {
    DATAGRAMS_A_TURN = 16, /* ours: then other descriptors get their turn */
};

struct pv_io_router {
    struct pv_io *io;
    bool open; /* the sockets were opened, as far as they could be */
    struct routersock socks;
    struct watched {
        struct pv_io_router *router; /* back, for the watch */
        struct pv_watch *watch;
    } watched[ROUTERSOCK_FDS];
    struct pv_engine_router routers[PV_NODE_ROUTERS]; /* as they were found last */
};

int pv_io_router_new(struct pv_io_router **ret_router, struct pv_io *io)
{
    struct pv_io_router *router = calloc(1, sizeof(*router));
    if (router == NULL)
        return PV_ERR_NOMEM;
    router->io = io;
    *ret_router = router;
    return PV_OK;
}

/* Answers, and announcements that the router has restarted (RFC 6887 s14.1). */
static void on_readable(void *ctx, unsigned ready, pv_ns now)
{
    struct watched *w = ctx;
    struct pv_io_router *router = w->router;
    uint8_t buf[ROUTERSOCK_MAX];
    struct pv_addr src;
    size_t len = 0;
    pv_io_turn_begin(router->io, now);
    for (unsigned k = 0; k < DATAGRAMS_A_TURN; k++) {
        if (routersock_recv(&router->socks, (size_t)(w - router->watched), buf, &src, &len) < 0)
            return;
        pv_engine_handle_router_datagram(router->io->engine, &src, pv_view(buf, len), now);
    }
}

/* With the first request: who asks nobody hears nobody. */
static void open_socks(struct pv_io_router *router)
{
    if (router->open)
        return;
    router->open = true;
    routersock_open(&router->socks, PV_PORTMAP_ANNOUNCE_PORT);
    for (size_t i = 0; i < ROUTERSOCK_FDS; i++) {
        struct watched *w = &router->watched[i];
        int fd = router->socks.fds[i];
        w->router = router;
        if (fd < 0 ||
            pv_watch_new(&w->watch, router->io->loop, fd, PV_LOOP_READ, on_readable, w) < 0)
            pv_log(router->io->log, PV_LOG_DEBUG,
                   "what=\"a socket for routers is not there\" n=%zu", i);
    }
}

struct pv_io_router *pv_io_router_free(struct pv_io_router *router)
{
    if (router == NULL)
        return NULL;
    for (size_t i = 0; i < ROUTERSOCK_FDS; i++)
        pv_watch_free(router->watched[i].watch);
    if (router->open)
        routersock_close(&router->socks);
    free(router);
    return NULL;
}

bool pv_io_router_look(struct pv_io_router *router, uint32_t tun_index, pv_ns now)
{
    static const uint16_t families[PV_NODE_ROUTERS] = {PV_AF_INET, PV_AF_INET6};
    struct pv_engine_router routers[PV_NODE_ROUTERS];
    memset(routers, 0, sizeof(routers)); /* padding too: compared as bytes */
    for (size_t i = 0; i < PV_NODE_ROUTERS; i++) {
        struct pv_addr addr;
        uint32_t ifindex;
        /* A tunnel of our own that leads everywhere has no router. */
        if (pv_net_router(families[i], &addr, &ifindex) < 0 || ifindex == tun_index)
            continue;
        routers[i].addr.family = addr.family;
        memcpy(routers[i].addr.ip, addr.ip, sizeof(addr.ip));
        routers[i].ifindex = ifindex;
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
    int e = routersock_send(&router->socks, &tx->dst, &tx->local, r->ifindex,
                            pv_view(tx->buf, tx->len));
    if (e < 0)
        pv_log(router->io->log, PV_LOG_DEBUG, "what=\"router not asked\" why=\"%s\"",
               pv_strstatus(e));
}
