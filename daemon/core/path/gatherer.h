/* SPDX-License-Identifier: MIT */
/*
 * gatherer.h - the part that knows at which addresses this node can be reached (RFC 8445 s5.1.1):
 * its own, what STUN servers see of each of them (DESIGN 5 "Gathering"), what the router maps, what
 * peers see while no server tells, and the addresses that relays gave it. It composes them for the
 * peers' descriptions.
 *
 * One list for all peers: the candidates are the same for every agent. Bindings are refreshed,
 * which also keeps the NAT's mapping to the coordinator open, and made anew when the interfaces
 * change, after a suspend, and on demand. It raises PV_FACT_CANDIDATES when the composed list has
 * changed, PV_FACT_MOVED when the addresses of this machine or its NAT are others.
 */
#pragma once

#include "daemon/core/node/node.h"

enum {
    PV_GATHERER_MAX_BASES = 8, /* host addresses offered; half of PV_ICE_MAX_LOCAL */
};
#define PV_GATHERER_REFRESH PV_S(25) /* DESIGN 6; below the 30 s of unreplied mappings */

struct pv_gatherer; /* opaque; node.ways.gatherer */

extern const struct pv_part pv_part_gatherer;

/* --- what others learn ----------------------------------------------------------------------- */

/* Sets the socket and port of the IPv4 addresses. What servers saw of the former socket no longer
 * holds. */
void pv_gatherer_set_socket(struct pv_gatherer *g, uint16_t sock, uint16_t port, pv_ns now);
/* node.ways.binding_lifetime is another: so long between refreshes from now on. */
void pv_gatherer_lifetime_changed(struct pv_gatherer *g, pv_ns now);
/* Our port at this local address (without port) is mapped by the router and proven to work:
 * external is offered; no family: nothing is, for the family of local. */
void pv_gatherer_set_mapped(struct pv_gatherer *g, const struct pv_addr *local,
                            const struct pv_addr *external);
/* Ask again now: after a suspend, or when a path fails and the NAT may have forgotten us. Soon
 * after the last time it waits until half a second has passed. */
void pv_gatherer_refresh(struct pv_gatherer *g, pv_ns now);
/* Another service at the server's address sees the main socket at `mapped`: as good as an answer of
 * the server while it has given none. */
void pv_gatherer_note_mapped(struct pv_gatherer *g, const struct pv_addr *server,
                             const struct pv_addr *mapped);

/* Composes the list anew: a relay's address came or went. Peers are told. */
void pv_candidates_compose(struct pv_node *n, pv_ns now);

/* --- questions ------------------------------------------------------------------------------- */

/* Since when the server of this family owes an answer to every address of ours that asks it;
 * PV_NEVER: one of them has its answer, or none asks. */
pv_ns pv_gatherer_unanswered(const struct pv_gatherer *g, uint16_t family);
/* Returns true if addr is an address of the machine itself, or an address at which a server sees
 * one. */
bool pv_gatherer_is_seen_at(const struct pv_gatherer *g, const struct pv_addr *addr);
/* Returns true if nobody tells this node an address at which others could reach it, because the
 * coordinator that it asks is in its own LAN, on its side of the NAT. */
bool pv_candidates_are_unseen(const struct pv_node *n);
/* Where a server with a public address sees this node: at a private address of none of its
 * networks, as something in between hides addresses. NULL: it does not. */
const struct pv_addr *pv_candidates_hidden_as(const struct pv_node *n);
