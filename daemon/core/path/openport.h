/* SPDX-License-Identifier: MIT */
/*
 * openport.h - the address at which strangers reach this node's UDP port: hosts that know only this
 * address, as the app of a phone does (docs/PROTOCOL-NETWORK.md "Roster").
 *
 * It looks at what others found out and keeps nothing. Control thread only.
 */
#pragma once

#include "daemon/core/node/node.h"

/* A port that the router maps, proven from outside, or the port at a public IPv4 address of this
 * machine itself, of which a server saw no other one; else one that it maps for IPv6; else the
 * phone port at the coordinator, while it is open (node.ways.phone_port); else a public IPv6
 * address of this machine. PV_ERR_NOT_FOUND: there is none, and *ret_why says why, and what helps.
 * PV_ERR_AGAIN: the same, but a server is still being asked. */
PV_MUST_CHECK int pv_openport(const struct pv_node *n, struct pv_addr *ret_addr,
                              struct pv_reason *ret_why);
/* Returns true if addr is one of these addresses, the first or another. */
bool pv_openport_leads(const struct pv_node *n, const struct pv_addr *addr);
/* Returns true if addr is the phone port's address. */
bool pv_openport_is_phone_port(const struct pv_node *n, const struct pv_addr *addr);
/* The one by which a stranger came: by the phone port, or from an address of that family. False: by
 * none that this node knows of, such as a port that was forwarded by hand. */
bool pv_openport_taken(const struct pv_node *n, bool by_phone_port, uint16_t family,
                       struct pv_addr *ret_addr);
/* Returns true if only a phone port, open or not, certainly leads here. */
bool pv_openport_lacks(const struct pv_node *n);
