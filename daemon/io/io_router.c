/* SPDX-License-Identifier: MIT */
/* The routers: who they are, and the sockets on which PCP is spoken with them. */
#include <string.h>

#include "daemon/io/io_int.h"
#include "proto/stun/portmap.h"
#include "sys/net/route.h"

enum {
    DATAGRAMS_A_TURN = 16,
};

static void receive(struct pv_io *io, size_t i, pv_ns now)
{
    uint8_t buf[PV_ROUTERSOCK_MAX];
    struct pv_addr src;
    size_t len = 0;
    pv_io_begin(io, now);
    for (unsigned k = 0; k < DATAGRAMS_A_TURN; k++) {
        if (pv_routersock_recv(&io->router_socks, i, buf, &src, &len) < 0)
            return;
        pv_engine_handle_router_datagram(io->cfg.engine, &src, pv_view(buf, len), now);
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
static void open_socks(struct pv_io *io)
{
    static void (*const on[PV_ROUTERSOCK_FDS])(void *, unsigned, pv_ns) = {
        on_requests4, on_requests6, on_announced4, on_announced6};
    if (io->router_open)
        return;
    io->router_open = true;
    pv_routersock_open(&io->router_socks, PV_PORTMAP_ANNOUNCE_PORT);
    for (size_t i = 0; i < PV_ROUTERSOCK_FDS; i++) {
        int fd = io->router_socks.fds[i];
        if (fd < 0 ||
            pv_watch_new(&io->router_watches[i], io->loop, fd, PV_LOOP_READ, on[i], io) < 0)
            pv_log(io->cfg.log, PV_LOG_DEBUG, "what=\"a socket for routers is not there\" n=%zu",
                   i);
    }
}

void pv_io_router_done(struct pv_io *io)
{
    for (size_t i = 0; i < PV_ROUTERSOCK_FDS; i++)
        pv_watch_free(io->router_watches[i]);
    if (io->router_open)
        pv_routersock_close(&io->router_socks);
}

bool pv_io_router_look(struct pv_io *io, pv_ns now)
{
    static const uint16_t families[PV_ENGINE_ROUTERS] = {PV_AF_INET, PV_AF_INET6};
    struct pv_engine_router routers[PV_ENGINE_ROUTERS];
    memset(routers, 0, sizeof(routers)); /* padding too: compared as bytes */
    for (size_t i = 0; i < PV_ENGINE_ROUTERS; i++) {
        struct pv_addr addr;
        uint32_t ifindex;
        /* A tunnel of our own that leads everywhere has no router. */
        if (pv_route_gateway(families[i], &addr, &ifindex) < 0 || ifindex == io->tun_index)
            continue;
        routers[i].addr.family = addr.family;
        memcpy(routers[i].addr.ip, addr.ip, sizeof(addr.ip));
        routers[i].ifindex = ifindex;
    }
    bool changed = memcmp(routers, io->routers, sizeof(routers)) != 0;
    memcpy(io->routers, routers, sizeof(routers));
    pv_engine_handle_routers(io->cfg.engine, routers, now);
    return changed;
}

void pv_io_router_send(struct pv_io *io, const struct pv_engine_transmit *tx)
{
    const struct pv_engine_router *r = &io->routers[tx->dst.family == PV_AF_INET6 ? 1 : 0];
    open_socks(io);
    int e = pv_routersock_send(&io->router_socks, &tx->dst, &tx->local, r->ifindex,
                               pv_view(tx->buf, tx->len));
    if (e < 0)
        pv_log(io->cfg.log, PV_LOG_DEBUG, "what=\"router not asked\" why=\"%s\"", pv_strstatus(e));
}
