/* SPDX-License-Identifier: MIT */
/* links.h - the addresses of this machine's interfaces, as the shell tells them. */
#pragma once

#include "base/addr.h"
#include "base/pv.h"
#include "daemon/core/jobs/job.h"

enum {
    PV_NODE_LINKS = 64, /* ours: local addresses considered */
};

/* One address of one interface of this machine. */
struct pv_link_addr {
    struct pv_prefix addr; /* base.ip = the address itself, bits = prefix length */
    uint32_t ifindex;
    char ifname[PV_JOB_IFNAME];
    bool loopback;
    bool tunnel;    /* point-to-point, tun, wireguard */
    bool container; /* bridge or veth of a container runtime */
    bool up;        /* usable now */
    bool way_out;   /* datagrams into the internet leave by its interface */
};

/* The router of a default route. */
struct pv_engine_router {
    struct pv_addr addr; /* port 0; PV_AF_NONE: none */
    uint32_t ifindex;
};
enum {
    PV_NODE_ROUTERS = 2, /* IPv4, IPv6 */
};
