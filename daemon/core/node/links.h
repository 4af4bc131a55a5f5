/* SPDX-License-Identifier: MIT */
/*
 * links.h - the addresses of this machine's interfaces, and which of them count when a table has
 * fewer places.
 *
 * An address of an interface that is down, or of loopback, counts nowhere. Each family's source
 * address on the way to the internet has a place, whatever its interface, and each family has one.
 * After them come two addresses of each network, then further ones, by the kind of interface. The
 * order in which the kernel lists addresses decides between equals alone.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"
#include "daemon/core/jobs/job.h"

enum {
    PV_NODE_LINKS = 64,      /* ours: local addresses considered */
    PV_LINK_RANK_TUNNEL = 3, /* the last rank */
};

/* One address of one interface of this machine. */
struct pv_link_addr {
    struct pv_prefix addr; /* base.ip = the address itself, bits = prefix length */
    uint32_t ifindex;
    char ifname[PV_JOB_IFNAME];
    bool loopback;  /* and not the source */
    bool tunnel;    /* point-to-point, tun, wireguard */
    bool container; /* bridge or veth of a container runtime */
    bool up;        /* usable now */
    bool way_out;   /* datagrams into the internet leave by its interface, or from this address */
    bool source;    /* they leave from this address, unless a socket names another */
};

/* The best addresses of those added, in the order in which they were added. */
struct pv_links {
    struct pv_link_addr of[PV_NODE_LINKS + 1];
    unsigned before[PV_NODE_LINKS + 1]; /* better ones of the same network */
    size_t n, cap;
    size_t left_out; /* addresses that would count, and have no place */
};

/* cap: places, PV_NODE_LINKS at most. */
void pv_links_init(struct pv_links *set, size_t cap);
/* Takes the address, and leaves out the least of a set that is full. */
void pv_links_add(struct pv_links *set, const struct pv_link_addr *link);
/* Returns how good the kind of interface is; 0 is the best, and PV_LINK_RANK_TUNNEL the worst. */
unsigned pv_link_rank(const struct pv_link_addr *link);

/* The router of a default route. */
struct pv_engine_router {
    struct pv_addr addr; /* port 0; PV_AF_NONE: none */
    uint32_t ifindex;
};
enum {
    PV_NODE_ROUTERS = 2, /* IPv4, IPv6 */
};
