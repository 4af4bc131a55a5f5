/* SPDX-License-Identifier: MIT */
/*
 * ifacejob.h - how the interface shall look: this node's addresses in the network, those of a plain
 * WireGuard node, routes to static peers, and the zone that is asked here.
 */
#ifndef PV_IFACEJOB_H
#define PV_IFACEJOB_H

#include "daemon/core/node/node.h"

/* Fills i, which is zeroed. dns: the name server listens on the addresses. routes: the allowed-ips
 * of static peers. A prefix that does not fit is left out (PV_IFACE_MAX_PREFIXES). */
void pv_iface_fill(struct pv_job_iface *i, const struct pv_node *n, bool dns,
                   const struct pv_prefix *routes, size_t n_routes);

#endif /* PV_IFACEJOB_H */
