/* SPDX-License-Identifier: MIT */
/*
 * dns.h - the part that is the optional name server on the overlay address ([dns] listen): it
 * answers NAME.NETWORK.p2p and the addresses of the overlay from the roster (docs/PROTOCOL-LOCAL.md
 * "Name server"). Only members are answered, each a bounded number of times a second. A phone of
 * this node has no other name server, so what it asks besides this host's own are asked.
 */
#pragma once

#include "daemon/core/node/node.h"
#include "proto/local/dns.h"

extern const struct pv_part pv_part_dns;

/* A datagram that came from src to port 53 of the overlay address; *ret_reply is what to do. */
void pv_dns_serve(struct pv_node *n, const struct pv_addr *src, struct pv_view packet,
                  struct pv_dns_reply *ret_reply, pv_ns now);
