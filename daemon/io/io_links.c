/* SPDX-License-Identifier: MIT */
/* This host's addresses and routers, told to the engine whenever they are not what they were. */
#include "daemon/io/io_links.h"

#include <string.h>

#include "daemon/io/io_iface.h"
#include "daemon/io/io_router.h"
#include "sys/helper/networds.h"
#include "sys/net/netroutes.h"

enum {
    HOST_ADDRS = 256, /* addresses of this host looked at; ours */
};
#define AGAIN_AFTER PV_S(1) /* a look that failed: for want of descriptors, of memory */

static void find_ways_out(struct pv_link_addr *links, size_t n)
{
    static const uint16_t families[] = {PV_AF_INET, PV_AF_INET6};
    const struct pv_net_sender us = {.mark = PV_NETWORDS_MARK, .uid = PV_NET_SELF};
    for (size_t f = 0; f < PV_ARRAY_LEN(families); f++) {
        const struct pv_addr far = pv_net_far(families[f]);
        struct pv_net_way way;
        if (pv_net_way(&far, &us, &way) < 0)
            continue;
        for (size_t i = 0; i < n; i++)
            if (links[i].addr.base.family == families[f] && links[i].ifindex == way.ifindex)
                links[i].way_out = true;
    }
}

void pv_io_links_look(struct pv_io *io, bool must, pv_ns now)
{
    struct pv_io_links *l = &io->links;
    struct pv_net_addr host[HOST_ADDRS];
    struct pv_link_addr links[PV_ENGINE_MAX_LINKS];
    size_t n = 0, n_links = 0;
    int r = pv_net_addrs(host, HOST_ADDRS, &n);
    must = must || l->must;
    if (r < 0) {
        if (l->again == PV_NEVER)
            pv_log(io->log, PV_LOG_WARN, "what=\"own addresses not read\" why=\"%s\"",
                   pv_strstatus(r));
        l->again = now + AGAIN_AFTER;
        l->must = must;
        return;
    }
    l->again = PV_NEVER;
    l->must = false;
    memset(links, 0, sizeof(links)); /* padding too: pictures are compared as bytes */
    for (size_t i = 0; i < n && n_links < PV_ENGINE_MAX_LINKS; i++) {
        if (strcmp(host[i].ifname, io->cfg.tun_name) == 0)
            continue;
        struct pv_link_addr *link = &links[n_links++];
        link->addr = host[i].addr;
        link->ifindex = host[i].ifindex;
        memcpy(link->ifname, host[i].ifname, sizeof(link->ifname));
        link->loopback = host[i].loopback;
        link->tunnel = host[i].tunnel;
        link->container = host[i].container;
        link->up = host[i].up;
    }
    find_ways_out(links, n_links);
    must = pv_io_router_look(io->router, pv_io_iface_index(io->iface), now) || must;
    if (!must && n_links == l->n_links && memcmp(links, l->links, sizeof(links)) == 0)
        return;
    memcpy(l->links, links, sizeof(links));
    l->n_links = n_links;
    pv_engine_handle_links(io->engine, links, n_links, now);
}

static void on_net(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_io *io = ctx;
    pv_net_monitor_ready(io->monitor, pv_io_iface_index(io->iface), now);
}

void pv_io_links_timeout(struct pv_io *io, pv_ns now)
{
    bool rerouted = false;
    if (pv_net_monitor_due(io->monitor, now, &rerouted) || now >= io->links.again)
        pv_io_links_look(io, rerouted, now);
}

pv_ns pv_io_links_next(const struct pv_io *io)
{
    return pv_min_ns(pv_net_monitor_next(io->monitor), io->links.again);
}

int pv_io_links_watch(struct pv_io *io)
{
    io->links.again = PV_NEVER;
    return pv_watch_new(&io->links.watch, io->loop, pv_net_monitor_fd(io->monitor), PV_LOOP_READ,
                        on_net, io);
}
