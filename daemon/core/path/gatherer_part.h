/* SPDX-License-Identifier: MIT */
/*
 * gatherer_part.h - the part that knows at which addresses this node can be reached: its own, what
 * STUN servers see of it, what the router maps, what peers see while no server tells, and the
 * addresses that relays gave it (RFC 8445 s5.1.1). It composes them for the peers' descriptions.
 *
 * It owns the gatherer (nat/gatherer.h; node.ways.gatherer), which others tell what they learn. It
 * raises PV_FACT_CANDIDATES when the composed list has changed, PV_FACT_MOVED when the addresses of
 * this machine or its NAT are others.
 */
#pragma once

#include "daemon/core/node/node.h"

extern const struct pv_part pv_part_gatherer;

/* Composes the list anew: a relay's address came or went. Peers are told. */
void pv_candidates_compose(struct pv_node *n, pv_ns now);

/* Does nobody tell this node an address at which others could reach it, since the coordinator that
 * it asks is on its side of the NAT, in its own LAN? */
bool pv_candidates_are_unseen(const struct pv_node *n);
