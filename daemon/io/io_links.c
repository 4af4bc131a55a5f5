/* SPDX-License-Identifier: MIT */
/* This host's addresses and routers, told to the engine whenever they are not what they were. */
#include "daemon/io/io_links.h"

#include <string.h>

#include "daemon/io/io_iface.h"
#include "daemon/io/io_router.h"
#include "sys/helper/networds.h"
#include "sys/net/netroutes.h"

#define AGAIN_AFTER PV_S(1) /* a look that failed: for want of descriptors, of memory */

static void find_ways_out(struct pv_net_way ret_ways[static 2])
{
    static const uint16_t families[] = {PV_AF_INET, PV_AF_INET6};
    const struct pv_net_sender us = {.mark = PV_NETWORDS_MARK, .uid = PV_NET_SELF};
    for (size_t f = 0; f < PV_ARRAY_LEN(families); f++) {
        const struct pv_addr far = pv_net_far(families[f]);
        if (pv_net_way(&far, &us, &ret_ways[f]) < 0)
            ret_ways[f] = (struct pv_net_way){.ifindex = 0};
    }
}

struct look {
    const char *own; /* the interface that does not count */
    struct pv_net_way ways[2];
    struct pv_links links;
};

static void take_addr(void *ctx, const struct pv_net_addr *a)
{
    struct look *look = ctx;
    const struct pv_net_way *way = &look->ways[a->addr.base.family == PV_AF_INET6];
    const bool source = pv_addr_equal_ip(&way->source, &a->addr.base);
    struct pv_link_addr link;
    if (strcmp(a->ifname, look->own) == 0)
        return;
    memset(&link, 0, sizeof(link)); /* padding too: pictures are compared as bytes */
    link.addr = a->addr;
    link.ifindex = a->ifindex;
    memcpy(link.ifname, a->ifname, sizeof(link.ifname));
    /* A router's own address is often on lo or dummy0, and the route to the internet names it as
     * its source. Answers to the address of the interface between would not come back. */
    link.loopback = a->loopback && !source;
    link.tunnel = a->tunnel;
    link.container = a->container;
    link.up = a->up;
    link.way_out = way->ifindex == a->ifindex || source;
    link.source = source;
    pv_links_add(&look->links, &link);
}

void pv_io_links_look(struct pv_io *io, bool must, pv_ns now)
{
    struct pv_io_links *l = &io->links;
    struct look look = {.own = io->cfg.tun_name};
    pv_links_init(&look.links, PV_NODE_LINKS);
    find_ways_out(look.ways);
    int r = pv_net_each_addr(false, take_addr, &look);
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
    must = pv_io_router_look(io->router, pv_io_iface_index(io->iface), now) || must;
    if (!must && memcmp(&look.links, &l->known, sizeof(l->known)) == 0)
        return;
    memcpy(&l->known, &look.links, sizeof(l->known));
    pv_engine_handle_links(io->engine, &l->known, now);
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
