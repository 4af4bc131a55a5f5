/* SPDX-License-Identifier: MIT */
/*
 * tcptry.h - does a machine answer TCP at all? Where it refuses a port it has nothing on, packets
 * reach its kernel; where it is silent although it is there, a firewall of its own drops them.
 */
#pragma once

#include "base/addr.h"

enum pv_tcptry {
    PV_TCPTRY_ANSWERS, /* it takes the connection, which is closed, or refuses it */
    PV_TCPTRY_SILENT,
    PV_TCPTRY_UNKNOWN, /* this machine cannot ask, or has not the address `from` */
};

/* Connects from an address of this machine to a port, and waits so many milliseconds. */
enum pv_tcptry pv_tcptry(const struct pv_addr *from, const struct pv_addr *to, int timeout_ms);
