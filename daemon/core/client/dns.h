/* SPDX-License-Identifier: MIT */
/*
 * dns.h - the part that is the optional name server on the overlay address ([dns] listen): it
 * answers NAME.NETWORK.p2p and the addresses of the overlay from the roster, and nothing else
 * (docs/PROTOCOL-LOCAL.md "Name server"). Only members are answered, each a bounded number of times
 * a second.
 */
#pragma once

#include "daemon/core/node/node.h"
#include "proto/local/dns.h"

extern const struct pv_part pv_part_dns;

/* A datagram that came to port 53 of the overlay address. True: the answer for src is in buf;
 * false: none. */
PV_MUST_CHECK bool pv_dns_serve(struct pv_node *n, const struct pv_addr *src, struct pv_view packet,
                                uint8_t buf[static PV_DNS_MAX], size_t *ret_len, pv_ns now);
