/* SPDX-License-Identifier: MIT */
/*
 * nat64.h - IPv4 addresses inside IPv6 ones (RFC 6052), as a NAT64 takes them: a host with IPv6
 * alone writes to prefix + IPv4 address, and the network translates.
 */
#pragma once

#include "base/addr.h"

#define PV_NAT64_NAME "ipv4only.arpa" /* RFC 7050: what DNS64 makes of it shows the prefix */

/* From an address of PV_NAT64_NAME (RFC 7050 s3): the prefix of 32, 40, 48, 56, 64 or 96 bits
 * before 192.0.0.170 or 192.0.0.171. False: there is none in it. */
bool pv_nat64_find(const struct pv_addr *addr, struct pv_prefix *ret_prefix);

/* The address by which this one of IPv4 is reached, with its port; one of IPv6 stays. prefix: of a
 * length above, or without a family: every address stays. */
struct pv_addr pv_nat64_make(const struct pv_prefix *prefix, const struct pv_addr *addr);
/* The IPv4 address that this one stands for; any other stays. */
struct pv_addr pv_nat64_undo(const struct pv_prefix *prefix, const struct pv_addr *addr);
