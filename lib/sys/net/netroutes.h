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
    bool via;                /* by a router: not connected */
    struct pv_addr router;   /* the first that it names, port 0; PV_AF_NONE: none */
    uint32_t router_ifindex; /* leads to that one */
};

/* Which routes. */
struct pv_net_route_query {
    uint32_t table;   /* 0: all */
    uint8_t proto;    /* 0: of all */
    uint32_t ifindex; /* by this interface alone; 0: by any */
    bool inside;      /* of the network that our interface is in (inside.h) */
};

/* At most cap routes of both families, in the kernel's order; those of the kernel for its own
 * addresses, and of caches, are left out. *ret_n = cap: there may be more. -errno. */
PV_MUST_CHECK int pv_net_routes(const struct pv_net_route_query *query,
                                struct pv_net_route *ret_routes, size_t cap, size_t *ret_n);
/* The interface by which a datagram with this mark would leave for dst now, as routes and policy
 * rules have it; nothing is sent. PV_ERR_NOT_FOUND: no way leads there. -errno. */
PV_MUST_CHECK int pv_net_way(const struct pv_addr *dst, uint32_t mark, uint32_t *ret_ifindex);
/* The router of this family's default route with the lowest metric; port 0; and the interface that
 * leads to it, which a link-local address of IPv6 needs. PV_ERR_NOT_FOUND: no such route, or one
 * without a router (a point-to-point link). -errno. */
PV_MUST_CHECK int pv_net_router(uint16_t family, struct pv_addr *ret_router, uint32_t *ret_ifindex);
/* How many policy rules of one family have this protocol number. -errno. */
PV_MUST_CHECK int pv_net_rules(uint16_t family, uint8_t proto, size_t *ret_n);
