/* SPDX-License-Identifier: MIT */
/*
 * mapper_part.h - the part that has the router map our port (nat/mapper.h): it tells the mapper
 * where the router is, has the shell ask by NAT-PMP or UPnP, and hands what is mapped and proven
 * from outside to the gatherer as a candidate. Asks only while this node is up in a network.
 */
#pragma once

#include "daemon/core/node/node.h"

extern const struct pv_part pv_part_mapper;

/* A datagram from a router's PCP port to the socket that asks routers, or to everybody on the
 * link. */
void pv_mapper_part_router(struct pv_node *n, const struct pv_addr *src, struct pv_view datagram,
                           pv_ns now);
/* The mapper, to look at. */
const struct pv_mapper *pv_mapper_of(const struct pv_node *n);
