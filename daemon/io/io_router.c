/* SPDX-License-Identifier: MIT */
/* The routers: who they are, and the sockets on which PCP is spoken with them. */
#include "daemon/io/io_router.h"

#include <stdlib.h>
#include <string.h>

#include "proto/stun/portmap.h"
#include "sys/net/route.h"
#include "sys/net/routersock.h"

enum {
    DATAGRAMS_A_TURN = 16, /* ours: then other descriptors get their turn */
};

struct pv_io_router {
    struct pv_io_turn *turn;
    bool open; /* the sockets were opened, as far as they could be */
    struct pv_routersock socks;
    struct pv_watch *watches[PV_ROUTERSOCK_FDS];
    struct pv_engine_router routers[PV_NODE_ROUTERS]; /* as they were found last */
};

int pv_io_router_new(struct pv_io_router **ret_router, struct pv_io_turn *turn)
{
    struct pv_io_router *router = calloc(1, sizeof(*router));
    if (router == NULL)
        return PV_ERR_NOMEM;
    router->turn = turn;
    *ret_router = router;
    return PV_OK;
}

/* Answers, and announcements that the router has restarted (RFC 6887 s14.1). */
static void receive(struct pv_io_router *router, size_t i, pv_ns now)
{
    uint8_t buf[PV_ROUTERSOCK_MAX];
    struct pv_addr src;
    size_t len = 0;
    pv_io_turn_begin(router->turn, now);
    for (unsigned k = 0; k < DATAGRAMS_A_TURN; k++) {
        if (pv_routersock_recv(&router->socks, i, buf, &src, &len) < 0)
            return;
        pv_engine_handle_router_datagram(router->turn->engine, &src, pv_view(buf, len), now);
    }
}

static void on_requests4(void *ctx, unsigned ready, pv_ns now)
{
    (void)ready;
    receive(ctx, 0, now);
}

static void on_requests6(void *ctx, unsigned ready, pv_ns now)
{
    (void)ready;
    receive(ctx, 1, now);
}

static void on_announced4(void *ctx, unsigned ready, pv_ns now)
{
    (void)ready;
    receive(ctx, 2, now);
}

static void on_announced6(void *ctx, unsigned ready, pv_ns now)
{
    (void)ready;
    receive(ctx, 3, now);
}

/* With the first request: who asks nobody hears nobody. */
static void open_socks(struct pv_io_router *router)
{
    static void (*const on[PV_ROUTERSOCK_FDS])(void *, unsigned, pv_ns) = {
        on_requests4, on_requests6, on_announced4, on_announced6};
    if (router->open)
        return;
    router->open = true;
    pv_routersock_open(&router->socks, PV_PORTMAP_ANNOUNCE_PORT);
    for (size_t i = 0; i < PV_ROUTERSOCK_FDS; i++) {
        int fd = router->socks.fds[i];
        if (fd < 0 || pv_watch_new(&router->watches[i], router->turn->loop, fd, PV_LOOP_READ, on[i],
                                   router) < 0)
            pv_log(router->turn->log, PV_LOG_DEBUG,
                   "what=\"a socket for routers is not there\" n=%zu", i);
    }
}

struct pv_io_router *pv_io_router_free(struct pv_io_router *router)
{
    if (router == NULL)
        return NULL;
    for (size_t i = 0; i < PV_ROUTERSOCK_FDS; i++)
        pv_watch_free(router->watches[i]);
    if (router->open)
        pv_routersock_close(&router->socks);
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
        if (pv_route_gateway(families[i], &addr, &ifindex) < 0 || ifindex == tun_index)
            continue;
        routers[i].addr.family = addr.family;
        memcpy(routers[i].addr.ip, addr.ip, sizeof(addr.ip));
        routers[i].ifindex = ifindex;
    }
    bool changed = memcmp(routers, router->routers, sizeof(routers)) != 0;
    memcpy(router->routers, routers, sizeof(routers));
    pv_engine_handle_routers(router->turn->engine, routers, now);
    return changed;
}

void pv_io_router_send(struct pv_io_router *router, const struct pv_engine_transmit *tx)
{
    const struct pv_engine_router *r = &router->routers[tx->dst.family == PV_AF_INET6 ? 1 : 0];
    open_socks(router);
    int e = pv_routersock_send(&router->socks, &tx->dst, &tx->local, r->ifindex,
                               pv_view(tx->buf, tx->len));
    if (e < 0)
        pv_log(router->turn->log, PV_LOG_DEBUG, "what=\"router not asked\" why=\"%s\"",
               pv_strstatus(e));
}
