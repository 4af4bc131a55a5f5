/* SPDX-License-Identifier: MIT */
/*
 * routeset.c - what the roster says of prefixes: which members offer and may carry them. And what
 * this node and its host have of one themselves. Of a single prefix it is looked up anew each time:
 * a copy of it could differ from what is in force.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/core/route/routes_int.h"
#include "proto/roster/roster.h"

/* --- one prefix ------------------------------------------------------------------------------- */

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

/* --- all of them ------------------------------------------------------------------------------ */

/* A prefix is found by walking: there are few, and packets do not come this way. */
struct pv_route *pv_routeset_find(struct pv_route *all, size_t n, const struct pv_prefix *prefix)
{
    for (size_t i = 0; i < n; i++) {
        if (pv_route_compare(&all[i].prefix, prefix) == 0)
            return &all[i];
    }
    return NULL;
}

/* Of two admins who allow the same the first is enough. */
bool pv_routeset_has(const struct pv_route *route, const uint8_t *pk)
{
    for (size_t i = 0; i < route->n; i++) {
        if (memcmp(route->by[i].pk, pk, PV_SIGN_PK_LEN) == 0)
            return true;
    }
    return false;
}

/* A prefix that is new takes a place. A prefix that finds none is told in `status` rather than that
 * another prefix gives way: an admin decides which. */
static void add_gateway(struct pv_routes *r, struct pv_route *all, size_t *n, const uint8_t *pk,
                        const struct pv_offer *offer)
{
    struct pv_route *route = pv_routeset_find(all, *n, &offer->prefix);
    if (route == NULL && *n == PV_ROUTES_MAX) {
        r->cut = true;
        return;
    }
    if (route == NULL) {
        route = &all[(*n)++];
        memset(route, 0, sizeof(*route));
        route->prefix = offer->prefix;
    }
    if (route->n == PV_GATEWAYS_MAX || pv_routeset_has(route, pk))
        return;
    struct pv_route_gateway *g = &route->by[route->n++];
    memcpy(g->pk, pk, sizeof(g->pk));
    g->flags = offer->flags;
}

/* The order must not depend on that of the roster, or restarts would show another list, and another
 * prefix would be the one too many. */
static int compare_routes(const void *a, const void *b)
{
    return pv_route_compare(&((const struct pv_route *)a)->prefix,
                            &((const struct pv_route *)b)->prefix);
}

static int compare_gateways(const void *a, const void *b)
{
    return memcmp(((const struct pv_route_gateway *)a)->pk,
                  ((const struct pv_route_gateway *)b)->pk, PV_SIGN_PK_LEN);
}

/* The knowledge of a former list about the gateways of a prefix is kept: who is dead, and who is in
 * front. */
static void keep_known(const struct pv_routes *r, struct pv_route *all, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct pv_route *old = pv_routeset_find(r->all, r->n, &all[i].prefix);
        if (old != NULL)
            all[i].gateways = old->gateways;
    }
}

/* A permission that nobody offers, or an offer that nobody permits, makes no route. */
int pv_routeset_gather(struct pv_routes *r)
{
    const struct pv_node *n = r->node;
    const struct pv_roster_entry *e = NULL;
    struct pv_route *all = NULL;
    size_t count = 0;
    r->n_here = 0;
    r->cut = false;
    bool none = n->roster == NULL || pv_node_self(n) == NULL ||
                pv_roster_next_route(n->roster, NULL) == NULL;
    if (!none && (all = calloc(PV_ROUTES_MAX, sizeof(*all))) == NULL)
        return PV_ERR_NOMEM;
    while (!none && (e = pv_roster_next_route(n->roster, e)) != NULL) {
        const struct pv_st_route *st = &e->st.u.route;
        struct pv_offer offer;
        if (pv_roster_by_node(n->roster, st->node) == NULL ||
            !pv_routes_is_offered(n, st->node, &st->prefix, &offer))
            continue;
        add_gateway(r, all, &count, st->node, &offer);
    }
    if (count > 0)
        qsort(all, count, sizeof(*all), compare_routes);
    for (size_t i = 0; i < count; i++)
        qsort(all[i].by, all[i].n, sizeof(all[i].by[0]), compare_gateways);
    keep_known(r, all, count);
    free(r->all);
    r->all = all;
    r->n = count;
    return PV_OK;
}
