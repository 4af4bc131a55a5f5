/* SPDX-License-Identifier: MIT */
/*
 * hostnet.h - keeps this host's network as the plan says, for the helper only: routes, policy
 * rules, one table of netfilter, switches of the kernel; against what others do to them meanwhile,
 * and until the daemon has ended.
 *
 * States: nothing known (what an earlier life left stays as it is); a plan is in force (others'
 * changes are noticed, and answered within a second); ended.
 */
#pragma once

#include <poll.h>

#include "base/netplan.h"
#include "base/pv.h"

enum {
    PV_HOSTNET_FDS = 2, /* to poll for reading */
    PV_HOSTNET_ERROR_MAX = 240,
};

struct pv_hostnet; /* opaque */

/* The host that a plan is set into; nothing of it comes from the daemon after its start. */
struct pv_hostnet_config {
    uint32_t uids[2]; /* whose packets are our own: users that nobody else is */
    size_t n_uids;    /* 0: an exit cannot be used, but where alone */
    bool alone;       /* no packets of our own are in this network: it is the inside */
    const char *path; /* of a file that remembers what was before; NULL: none */
};

PV_MUST_CHECK int pv_hostnet_new(struct pv_hostnet **ret_net, const struct pv_hostnet_config *cfg);
/* A plan is in force from now on. An exit that was asked for and cannot be used is an error, and
 * everything else that fails is told in the host's answer. ret_error: why. */
PV_MUST_CHECK int pv_hostnet_set(struct pv_hostnet *net, const struct pv_netplan *plan,
                                 char ret_error[static PV_HOSTNET_ERROR_MAX]);
/* The interface was made, changed or removed; "": there is none. */
void pv_hostnet_iface(struct pv_hostnet *net, const char *ifname);
/* The port of the daemon's sockets. */
void pv_hostnet_port(struct pv_hostnet *net, uint16_t udp_port);

void pv_hostnet_poll(const struct pv_hostnet *net, struct pollfd ret_fds[static PV_HOSTNET_FDS]);
/* Milliseconds until pv_hostnet_work() is due; -1: nothing is. */
int pv_hostnet_timeout(const struct pv_hostnet *net, pv_ns now);
/* Descriptors are readable, or time has passed. */
void pv_hostnet_work(struct pv_hostnet *net, pv_ns now);

/* The host's answer when it has changed since the last call that said so, or again. */
bool pv_hostnet_report(struct pv_hostnet *net, bool again, struct pv_netplan_host *ret_host);

/* The daemon has ended: everything goes, but for an exit that shall block. Frees; NULL is fine;
 * returns NULL. */
struct pv_hostnet *pv_hostnet_end(struct pv_hostnet *net);
