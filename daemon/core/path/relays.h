/* SPDX-License-Identifier: MIT */
/*
 * relays.h - the part that keeps the relays of this node ready, the coordinator's first (DESIGN 6):
 * an allocation at each, a channel for each peer in use, and the way to them when UDP does not get
 * through, which it watches (nat/udpwatch.h).
 *
 * A relay is known by its number: 0 is the coordinator's, the others are those of the configuration
 * (turnservers.h). It writes node.ways.udp_blocked.
 */
#pragma once

#include "daemon/core/node/node.h"
#include "daemon/core/path/turnservers.h"

extern const struct pv_part pv_part_relays;

/* The name of relay via, for logs, status and metrics. */
const char *pv_relays_name(const struct pv_node *n, uint16_t via,
                           char buf[static PV_TURNSERVERS_NAME]);
#define PV_RELAY_STR(n, via) pv_relays_name(n, via, (char[PV_TURNSERVERS_NAME]){0})
/* Where the coordinator should answer by UDP, for whoever is to open that; and what else may be the
 * matter, where its control connection is at another address. */
enum {
    PV_RELAYS_UDP = 2 * PV_ADDR_TEXT + 60,
};
const char *pv_relays_udp(const struct pv_node *n, char buf[static PV_RELAYS_UDP]);
#define PV_RELAYS_UDP_STR(n) pv_relays_udp(n, (char[PV_RELAYS_UDP]){0})
const struct pv_udpwatch *pv_relays_udpwatch(const struct pv_node *n);

/* Streams to relays, which the shell opens and closes (relay/relayway.h). PV_ERR_AGAIN. */
PV_MUST_CHECK int pv_relays_poll_op(struct pv_node *n, struct pv_relaystream_op *ret_op);
void pv_relays_connected(struct pv_node *n, uint16_t stream, pv_ns now);
/* It could not be opened, or is no longer. */
void pv_relays_closed(struct pv_node *n, uint16_t stream, const char *why, pv_ns now);
