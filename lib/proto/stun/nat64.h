/* SPDX-License-Identifier: MIT */
/*
 * nat64.h - IPv4 addresses inside IPv6 ones (RFC 6052), as a NAT64 takes them: a host with IPv6
 * alone writes to prefix + IPv4 address, and the network translates.
 */
#pragma once

#include "base/addr.h"

#define PV_NAT64_NAME "ipv4only.arpa" /* RFC 7050: what DNS64 makes of it shows the prefix */

/* Finds the prefix of 32, 40, 48, 56, 64 or 96 bits in an address of PV_NAT64_NAME, before
 * 192.0.0.170 or 192.0.0.171 (RFC 7050 s3). Returns false if there is none. */
bool pv_nat64_find(const struct pv_addr *addr, struct pv_prefix *ret_prefix);

/* Returns the IPv6 address that reaches this IPv4 address through the NAT64, with the same port.
 * Returns an IPv6 address as it is, and every address if prefix has no family. */
struct pv_addr pv_nat64_make(const struct pv_prefix *prefix, const struct pv_addr *addr);
/* Returns the IPv4 address inside an address of this prefix, and any other address as it is. */
struct pv_addr pv_nat64_undo(const struct pv_prefix *prefix, const struct pv_addr *addr);
