/* SPDX-License-Identifier: MIT */
/*
 * route.h - the way out of this machine, as the kernel has it.
 *
 * A picture of now; no watching (netlink.h says when to look again).
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"

/* The router of this family's default route with the lowest metric; port 0; and the interface that
 * leads to it, which a link-local address of IPv6 needs. PV_ERR_NOT_FOUND: no such route, or one
 * without a router (a point-to-point link). -errno. */
PV_MUST_CHECK int pv_route_gateway(uint16_t family, struct pv_addr *ret_router,
                                   uint32_t *ret_ifindex);
