/* SPDX-License-Identifier: MIT */
/*
 * routes.h - part "routes": prefixes that members carry for each other (adr 0037). It joins what
 * nodes offer (type 19), what admins allow (type 16) and what the user of this node wants, decides
 * by whom each prefix goes (gateways.h), and tells the packet threads and the host.
 *
 * A prefix is used when some member offers it, an admin in office allowed that, the user wants it,
 * and it is nobody else's: not of the network's own range, not of a network this host is connected
 * to, not carried by this node itself.
 *
 * Writes: what is carried in node.fp, and the plan of the host's network (PV_JOB_NETPLAN). Signs
 * nothing (routesedit.h).
 */
#pragma once

#include "base/netplan.h"
#include "daemon/core/node/part.h"
#include "daemon/core/route/gateways.h"
#include "daemon/core/route/routeuse.h"

enum {
    PV_ROUTES_MAX = 256, /* ours: prefixes that are looked at; what is above is said in `status` */
};

extern const struct pv_part pv_part_routes;

/* Why a prefix goes the way it does. */
enum pv_route_why {
    PV_ROUTE_USED,
    PV_ROUTE_HERE,       /* this node carries it */
    PV_ROUTE_UNWANTED,   /* by the user's choice */
    PV_ROUTE_IN_NETWORK, /* part of the network's own range */
    PV_ROUTE_CONNECTED,  /* this host is in that network itself */
    PV_ROUTE_TAKEN,      /* a static peer has it */
    PV_ROUTE_TOO_MANY,   /* PV_NETPLAN_USED are used already */
};

/* What packets have shown of a prefix that is used, since the host's routes and rules changed. */
enum pv_route_proof {
    PV_ROUTE_UNPROVEN, /* no packet has come into the interface for it */
    PV_ROUTE_PROVEN,   /* one has */
    PV_ROUTE_DROPPED,  /* a program sent one on purpose, and it did not come */
};
/* ours: packets of other programs do not outweigh a lost one for so long */
#define PV_ROUTE_LOST PV_S(10)

/* A member that carries the prefix with an admin's permission. */
struct pv_route_gateway {
    uint8_t pk[PV_SIGN_PK_LEN];
    uint8_t flags; /* of its offer */
    bool wanted;   /* by the user */
};

/* A prefix that somebody offers and may carry. */
struct pv_route {
    struct pv_prefix prefix;
    enum pv_route_why why;
    char ifname[PV_NETPLAN_IFNAME]; /* CONNECTED: through which interface */
    struct pv_route_gateway by[PV_GATEWAYS_MAX];
    size_t n;
    struct pv_gateways gateways; /* of those that are wanted */
    pv_ns lost_at;               /* a probe to it was lost; 0: none was, or a later one passed */
};

/* All of them in order; valid until the next call into the part. */
const struct pv_route *pv_routes_all(const struct pv_node *n, size_t *ret_n);
const struct pv_routeuse *pv_routes_use(const struct pv_node *n);
enum pv_route_proof pv_routes_proof(const struct pv_node *n, const struct pv_route *route);
/* Notes whether a program's packet to this address, which was sent to try it, came into the
 * interface. */
void pv_routes_tried(struct pv_node *n, const struct pv_addr *to, bool came, pv_ns now);
/* Did the host refuse the exit that the user chose? Nothing goes by it then; where nothing may go
 * around it nothing goes out. */
bool pv_routes_is_refused(const struct pv_node *n);
/* Has an admin in office allowed that this node carries the prefix? */
bool pv_routes_is_allowed(const struct pv_node *n, const uint8_t pk[static PV_SIGN_PK_LEN],
                          const struct pv_prefix *prefix);
/* Does the node offer the prefix? Then *ret_offer is what it says. */
bool pv_routes_is_offered(const struct pv_node *n, const uint8_t pk[static PV_SIGN_PK_LEN],
                          const struct pv_prefix *prefix, struct pv_offer *ret_offer);

/* The node's offer, with what its host says of it now: PV_OFFER_LINKED and the like. */
uint8_t pv_routes_reach(const struct pv_node *n, const struct pv_offer *offer);
