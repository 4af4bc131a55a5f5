/* SPDX-License-Identifier: MIT */
/* ifacejob.c - addresses, routes and zone of the interface, from what the node is. */
#include "daemon/core/member/ifacejob.h"

#include <stdio.h>
#include <string.h>

/* An own address with the length of its range: on-link for the kernel. */
static void add_addr(struct pv_job_iface *i, const struct pv_addr *ip, uint8_t bits)
{
    if (i->n_addrs == PV_IFACE_MAX_PREFIXES)
        return;
    i->addrs[i->n_addrs].base = *ip;
    i->addrs[i->n_addrs].base.port = 0;
    i->addrs[i->n_addrs++].bits = bits;
}

static bool is_on_link(const struct pv_job_iface *i, const struct pv_prefix *route)
{
    for (size_t k = 0; k < i->n_addrs; k++) {
        if (route->bits >= i->addrs[k].bits && pv_prefix_contains(&i->addrs[k], &route->base))
            return true;
    }
    return false;
}

/* A plain WireGuard node has addresses of its own and no network: its interface is up regardless of
 * what the network does. */
void pv_iface_fill(struct pv_job_iface *i, const struct pv_node *n, bool dns,
                   const struct pv_prefix *routes, size_t n_routes)
{
    const struct pv_member *self = pv_node_self(n);
    memcpy(i->name, n->tun_name, sizeof(i->name));
    i->mtu = n->mtu;
    if (self != NULL && !n->removed && n->up) {
        add_addr(i, &self->ip4, pv_roster_network(n->roster)->range.bits);
        add_addr(i, &self->ip6, 64);
        if (dns)
            snprintf(i->zone, sizeof(i->zone), "%s", pv_roster_network(n->roster)->name);
    }
    for (size_t k = 0; k < n->n_own_addrs; k++)
        add_addr(i, &n->own_addrs[k].base, n->own_addrs[k].bits);
    for (size_t k = 0; k < n_routes && i->n_routes < PV_IFACE_MAX_PREFIXES; k++) {
        if (!is_on_link(i, &routes[k]))
            i->routes[i->n_routes++] = routes[k];
    }
}
