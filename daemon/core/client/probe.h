/* SPDX-License-Identifier: MIT */
/*
 * probe.h - the part behind the request `probe`: whether a packet of a member reaches a program of
 * this host, and a program's packet the tunnel. Nothing is inferred from rules: the packet is made,
 * and what the kernel does with it is seen.
 *
 * The client has a socket at this node's overlay address. Of "in-tcp" and "in-udp" the daemon
 * writes to the TUN what a member would begin towards that socket, and waits for the answer. Of
 * "out-tcp" and "out-udp" it waits for what the socket sends to the member, and answers it in the
 * member's place. The same of an address behind members. The packets go to nobody else. One probe
 * is under way at a time.
 */
#pragma once

#include "base/pv.h"
#include "daemon/core/node/part.h"

#define PV_PROBE_SETTLE PV_MS(20)  /* ours: until every packet thread has the snapshot */
#define PV_PROBE_AGAIN  PV_MS(250) /* ours: until what a member begins is repeated */
#define PV_PROBE_TIME   PV_MS(700) /* ours: the kernel of this host answers in microseconds */

extern const struct pv_part pv_part_probe;

/* A packet that a packet thread took for one of the probe's (PV_FP_PUNT_PROBE). */
void pv_probe_take(struct pv_node *n, struct pv_view packet, pv_ns now);
