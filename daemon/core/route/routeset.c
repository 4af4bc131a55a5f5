/* SPDX-License-Identifier: MIT */
/*
 * routeset.c - what the roster says of one prefix, and what this node and its host have of it
 * themselves. Looked up anew each time: a copy of it could differ from what is in force.
 */
#include <string.h>

#include "daemon/core/node/node.h"
#include "daemon/core/route/routes.h"
#include "proto/roster/roster.h"

/* A node offers few prefixes, so the list is read from its beginning. */
bool pv_routes_is_offered(const struct pv_node *n, const uint8_t pk[static PV_SIGN_PK_LEN],
                          const struct pv_prefix *prefix, struct pv_offer *ret_offer)
{
    const struct pv_st_offers *offers = n->roster == NULL ? NULL : pv_roster_offers(n->roster, pk);
    struct pv_view list = offers == NULL ? pv_view(NULL, 0) : offers->list;
    while (pv_offerlist_next(&list, ret_offer)) {
        if (pv_route_compare(&ret_offer->prefix, prefix) == 0)
            return true;
    }
    return false;
}

/* Permissions are few, and any admin's will do. */
bool pv_routes_is_allowed(const struct pv_node *n, const uint8_t pk[static PV_SIGN_PK_LEN],
                          const struct pv_prefix *prefix)
{
    const struct pv_roster_entry *e = NULL;
    while (n->roster != NULL && (e = pv_roster_next_route(n->roster, e)) != NULL) {
        if (memcmp(e->st.u.route.node, pk, PV_SIGN_PK_LEN) == 0 &&
            pv_route_compare(&e->st.u.route.prefix, prefix) == 0)
            return true;
    }
    return false;
}

/* The network's own addresses are members', and nobody else's. */
bool pv_routes_in_network(const struct pv_node *n, const struct pv_prefix *p)
{
    const struct pv_prefix nets[] = {pv_roster_network(n->roster)->range,
                                     pv_network_ula(pv_roster_network_id(n->roster))};
    for (size_t i = 0; i < PV_ARRAY_LEN(nets); i++) {
        if (p->bits >= nets[i].bits && pv_prefix_contains(&nets[i], &p->base))
            return true;
    }
    return false;
}

/* The network that this host is in itself, and that the prefix is, or is a part of: packets to it
 * must not leave by a member. A prefix around it is fine: the kernel takes the longer one. */
const struct pv_netplan_link *pv_routes_connected(const struct pv_node *n,
                                                  const struct pv_prefix *p)
{
    for (size_t i = 0; i < n->hostnet.n_lan; i++) {
        const struct pv_netplan_link *l = &n->hostnet.lan[i];
        if (p->bits != 0 && p->bits >= l->prefix.bits && pv_prefix_contains(&l->prefix, &p->base))
            return l;
    }
    return NULL;
}
