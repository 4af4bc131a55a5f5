/* SPDX-License-Identifier: MIT */
/*
 * coordshow.h - what people are told of the connection to the coordinator: in `status` where it is,
 * how far, and what is wrong with it, its clock and its keys included; in `metrics` its numbers.
 */
#ifndef PV_COORDSHOW_H
#define PV_COORDSHOW_H

#include "daemon/core/coord/coordaddrs.h"
#include "daemon/core/node/node.h"

/* addrs: of the coordinator that is tried or used; has_kem: this node can make hybrid keys. */
void pv_coordshow_status(const struct pv_node *n, const struct pv_coordaddrs *addrs, bool has_kem,
                         struct pv_statuspage *st, pv_ns now);
void pv_coordshow_metrics(const struct pv_node *n, struct pv_metrics *m);

#endif /* PV_COORDSHOW_H */
