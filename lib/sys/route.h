/* SPDX-License-Identifier: MIT */
/*
 * route.h - the way out of this machine, as the kernel has it.
 *
 * A picture of now; no watching (netlink.h says when to look again).
 */
#ifndef PV_ROUTE_H
#define PV_ROUTE_H

#include "base/addr.h"
#include "base/pv.h"

/* The router of the default route of IPv4 with the lowest metric; port 0. PV_ERR_NOT_FOUND: no such
 * route, or one without a router (a point-to-point link). -errno. */
PV_MUST_CHECK int pv_route_gateway4(struct pv_addr *ret_router);

#endif /* PV_ROUTE_H */
