/* SPDX-License-Identifier: MIT */
/*
 * netroutes.h - the kernel's routes and policy rules, as they are now.
 *
 * Reads only; sets nothing (the helper does, by ip).
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"

enum {
    PV_NET_PROTO_OWN = 112, /* ours: of routes and rules that the helper sets */
};
#define PV_NET_SELF UINT32_MAX

enum pv_net_route_type {
    PV_NET_ROUTE_UNICAST,
    PV_NET_ROUTE_THROW,       /* looks on in the next table */
    PV_NET_ROUTE_UNREACHABLE, /* and the like: nothing goes there */
};

struct pv_net_route {
    struct pv_prefix dst;
    enum pv_net_route_type type;
    uint32_t table;
    uint32_t ifindex; /* 0: none, or several */
    uint32_t metric;
    uint8_t proto;
    bool via; /* by a router: not connected */
};

/* Which routes. */
struct pv_net_route_query {
    uint32_t table;   /* 0: all */
    uint8_t proto;    /* 0: of all */
    uint32_t ifindex; /* by this interface alone; 0: by any */
    bool inside;      /* of the network that our interface is in (inside.h) */
};

typedef void pv_net_take_route(void *ctx, const struct pv_net_route *route);
/* Gives every route of both families to take, in the kernel's order. Leaves out routes that the
 * kernel made for its own addresses, and routes of caches. -errno: some may have been given. */
PV_MUST_CHECK int pv_net_each_route(const struct pv_net_route_query *query, pv_net_take_route *take,
                                    void *ctx);
/* The same as a list, of at most cap routes. *ret_n = cap: there may be more. -errno. */
PV_MUST_CHECK int pv_net_routes(const struct pv_net_route_query *query,
                                struct pv_net_route *ret_routes, size_t cap, size_t *ret_n);
/* The sender of the datagram whose way is asked for. */
struct pv_net_sender {
    uint32_t mark;
    uint32_t uid; /* PV_NET_SELF: of this process */
};

/* The way of a datagram. */
struct pv_net_way {
    uint32_t ifindex;      /* of the interface by which it would leave */
    uint32_t table;        /* whose route leads it there */
    struct pv_addr router; /* port 0; PV_AF_NONE: none, or one of the other family */
    struct pv_addr source; /* what the kernel sends from by default; port 0; PV_AF_NONE: none */
};

/* The way that a datagram to dst would have now, as routes and policy rules have it; nothing is
 * sent. PV_ERR_NOT_FOUND: no way leads there, or dst is this host. -errno. */
PV_MUST_CHECK int pv_net_way(const struct pv_addr *dst, const struct pv_net_sender *from,
                             struct pv_net_way *ret_way);
/* An address to ask about: of a root name server, which lies in no network of this host's or a
 * VPN's own, so whatever leads to it leads to the internet. A VPN that takes everything is found
 * so, however it takes it: by a default route, by two halves, by a policy rule. */
struct pv_addr pv_net_far(uint16_t family);
/* The priority of the first policy rule of one family that looks into this table.
 * PV_ERR_NOT_FOUND: none does. -errno. */
PV_MUST_CHECK int pv_net_rule_of(uint16_t family, uint32_t table, uint32_t *ret_priority);
/* How many policy rules of one family have this protocol number. -errno. */
PV_MUST_CHECK int pv_net_rules(uint16_t family, uint8_t proto, size_t *ret_n);
