/* SPDX-License-Identifier: MIT */
/*
 * group.h - groups of receivers on the virtual LAN: multicast addresses of both families, and the
 * broadcast of IPv4 as one more group, to which every node belongs.
 *
 * A group by its address alone. Its receivers are querier.h's (this machine) and grouptell.h's
 * (what members tell each other). Thread-safe.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"

struct pv_group {
    uint8_t version; /* 4 or 6; 0 = none */
    uint8_t ip[16];  /* IPv4: the first 4, the rest zero */
};

enum pv_group_kind {
    /* Never leaves this machine: scopes that are one host's or are reserved (RFC 4291 s2.7), the
     * groups of reports themselves, and solicited nodes, since a TUN asks for no neighbours. */
    PV_GROUP_LOCAL,
    /* By these programs find each other: broadcasts and all nodes, mDNS (RFC 6762), SSDP and
     * WS-Discovery, LLMNR (RFC 4795), all routers. */
    PV_GROUP_DISCOVERY,
    /* A program joined it because it wants what is sent there. */
    PV_GROUP_JOINED,
};

/* dst: 4 or 16 bytes, a multicast address or 255.255.255.255. All hosts (224.0.0.1) is the same
 * group as the broadcast. */
struct pv_group pv_group_of(uint8_t version, const uint8_t *dst);
/* The broadcast of IPv4. */
struct pv_group pv_group_broadcast(void);
enum pv_group_kind pv_group_kind(const struct pv_group *g);
/* Does every node belong to it without a word: the broadcast, and all nodes of IPv6? */
bool pv_group_is_everybodys(const struct pv_group *g);

bool pv_group_equal(const struct pv_group *a, const struct pv_group *b);
/* An order of all groups, IPv4 first; as memcmp(). */
int pv_group_compare(const struct pv_group *a, const struct pv_group *b);
struct pv_addr pv_group_addr(const struct pv_group *g); /* port 0 */

/* The discovery groups by number, for whoever lists them; version 0 ends. */
struct pv_group pv_group_discovery(size_t i);
