/* SPDX-License-Identifier: MIT */
/*
 * netreport.h - the part that says in `status` and `metrics` how this node stands in its network:
 * membership, interface, coordinator and clock, and what chat, rooms and copies threw away. It has
 * no state; each of them tells by its own header what there is to say.
 */
#ifndef PV_NETREPORT_H
#define PV_NETREPORT_H

#include "daemon/core/node/part.h"

extern const struct pv_part pv_part_netreport;

#endif /* PV_NETREPORT_H */
