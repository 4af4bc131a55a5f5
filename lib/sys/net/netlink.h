/* SPDX-License-Identifier: MIT */
/*
 * netlink.h - the machine's interface addresses by rtnetlink: the picture now, and when to look
 * again.
 *
 * Listens and dumps only; sets nothing (the helper does, by ip). A message from the kernel means
 * "look again": changes come in bursts and some come without any message of their own.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"

enum {
    PV_NET_IFNAME = 16,
    /* Quiet time before the picture is taken again, and how long a burst may put it off. */
    PV_NET_QUIET_MS = 250,
    PV_NET_LATEST_MS = 1000,
};

/* One address of one interface. All padding is zero: pictures may be compared with memcmp(). */
struct pv_net_addr {
    struct pv_prefix addr; /* base.ip = the address itself, bits = prefix length */
    uint32_t ifindex;
    char ifname[PV_NET_IFNAME];
    bool loopback;
    bool tunnel;    /* point-to-point, tun, wireguard and the like */
    bool container; /* bridge or veth of a container runtime or hypervisor */
    bool up;        /* interface up with carrier, address usable (no longer tentative) */
    bool off;       /* interface set down by somebody: its addresses may stay, its routes go */
};

typedef void pv_net_take_addr(void *ctx, const struct pv_net_addr *addr);
/* Asks the kernel, at most 1 s, and gives every address to take, in the kernel's order; link-local
 * ones are left out. inside: of the network that the interface is in (inside.h). PV_ERR_NOMEM,
 * -errno: some may have been given. */
PV_MUST_CHECK int pv_net_each_addr(bool inside, pv_net_take_addr *take, void *ctx);
/* The same as a list, of at most cap addresses. Those of interfaces that are down, or of loopback,
 * give way to others. */
PV_MUST_CHECK int pv_net_addrs(struct pv_net_addr *ret_addrs, size_t cap, size_t *ret_n);

struct pv_net_link {
    uint32_t index;
    char name[PV_NET_IFNAME];
    bool loopback, tunnel, container, up, off; /* as above; up: whatever its addresses */
};

/* All interfaces, those without addresses too; at most cap. -errno. */
PV_MUST_CHECK int pv_net_links(struct pv_net_link *ret_links, size_t cap, size_t *ret_n);

/* The interface of this name. PV_ERR_NOT_FOUND, PV_ERR_NOMEM, -errno. */
PV_MUST_CHECK int pv_net_find_link(const char *name, struct pv_net_link *ret_link);

struct pv_net_monitor; /* opaque */

/* -errno, PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_net_monitor_new(struct pv_net_monitor **ret_mon);
struct pv_net_monitor *pv_net_monitor_free(struct pv_net_monitor *mon);
int pv_net_monitor_fd(const struct pv_net_monitor *mon); /* watch for reading */
/* The descriptor is readable: takes what the kernel says. Messages about the interface with this
 * index (0 = none) are not about the world: it is our own. */
void pv_net_monitor_ready(struct pv_net_monitor *mon, uint32_t ignore_ifindex, pv_ns now);
/* When the next look is due; PV_NEVER when nothing happened. */
pv_ns pv_net_monitor_next(const struct pv_net_monitor *mon);
/* Returns true if a look is due, and counts it as done. *ret_rerouted: a default route changed too,
 * so the world may look different even though the addresses are the same. */
bool pv_net_monitor_due(struct pv_net_monitor *mon, pv_ns now, bool *ret_rerouted);
/* The same of our own interface, link, addresses and routes: we or somebody else changed it. */
pv_ns pv_net_monitor_next_own(const struct pv_net_monitor *mon);
bool pv_net_monitor_own_due(struct pv_net_monitor *mon, pv_ns now);

/* --- messages of netlink sockets, cut into pieces -------------------------------------------- */

struct nlmsghdr; /* linux/netlink.h */

struct pv_nl_attr {
    unsigned short type;
    struct pv_view value;
};

/* Cuts the next attribute off the front; false at the end or when it does not fit. */
bool pv_nl_attr_next(struct pv_view *rest, struct pv_nl_attr *ret);
/* The same with the next message. */
bool pv_nl_message_next(struct pv_view *rest, struct nlmsghdr *ret_hdr, struct pv_view *ret_body);
/* For messages of these groups. inside: of the interface's network (inside.h). -errno. */
PV_MUST_CHECK int pv_nl_route_socket(uint32_t groups, int flags, bool inside, int *ret_fd);

typedef void pv_nl_take(void *ctx, uint16_t type, struct pv_view body);
/* Sends the request that begins with this header, and gives each message of the dump, or the one
 * answer to what asks for none, to take; 1 s at most. By a socket of its own: answers are never
 * mixed with messages of a monitor. inside: as above. -EIO: the kernel refuses. -errno. */
PV_MUST_CHECK int pv_nl_ask(const struct nlmsghdr *req, bool inside, pv_nl_take *take, void *ctx);
