/* SPDX-License-Identifier: MIT */
/*
 * bindings.h - the part that measures how long the own NAT keeps a binding, once per network
 * (TRAVERSAL 4), with sockets of its own (proto/stun/natlife.h). Its finding sets how often
 * everybody refreshes.
 *
 * State:  NONE --behind a NAT--> WAITING (60 s) --online--> MEASURING --done--> KNOWN
 *         any --another network--> NONE;  MEASURING --a socket fails--> WAITING (600 s)
 */
#pragma once

#include "daemon/core/node/node.h"

enum {
    /* Ids of the sockets of this part and of the standby socket's; hardnat's end below. */
    PV_BINDINGS_SOCK = 0xff00,
    PV_STANDBY_SOCK = 0xff40,
};

extern const struct pv_part pv_part_bindings;

/* The age at which the NAT ends every binding, whatever passes; 0: no such end was seen. */
pv_ns pv_bindings_end(const struct pv_node *n);
