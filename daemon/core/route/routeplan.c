/* SPDX-License-Identifier: MIT */
/* routeplan.c - what the packet threads and the host's network are told of routes: who carries
 * what, and the plan that the helper keeps (base/netplan.h). */
#include <stdlib.h>
#include <string.h>

#include "daemon/core/member/rules.h"
#include "daemon/core/route/routes_int.h"
#include "proto/roster/roster.h"

/* A prefix taken by a static peer is tried again each time: the peer may be gone. */
static size_t fill_carried(struct pv_routes *r, struct pv_fp_carried *carried,
                           struct pv_route *routes[static PV_FP_MAX_CARRIED])
{
    size_t n = 0;
    for (size_t i = 0; i < r->n && n < PV_FP_MAX_CARRIED; i++) {
        struct pv_route *route = &r->all[i];
        if ((route->why != PV_ROUTE_USED && route->why != PV_ROUTE_TAKEN) || route->gateways.n == 0)
            continue;
        carried[n].prefix = route->prefix;
        pv_gateways_order(&route->gateways, &carried[n]);
        routes[n++] = route;
    }
    return n;
}

int pv_routeplan_tell_packets(struct pv_routes *r, pv_ns now)
{
    struct pv_fp_carried carried[PV_FP_MAX_CARRIED] = {{.n = 0}};
    struct pv_route *routes[PV_FP_MAX_CARRIED];
    struct pv_prefix here[PV_FP_MAX_HERE] = {{.bits = 0}};
    bool up = r->node->up && !r->node->removed;
    size_t n = up ? fill_carried(r, carried, routes) : 0;
    size_t n_here = 0;
    for (size_t i = 0; i < r->n_here && up; i++) {
        if ((pv_routes_reach(r->node, &r->here[i]) & PV_OFFER_AWAY) == 0)
            here[n_here++] = r->here[i].prefix;
    }
    /* Rules before packets. */
    int status = pv_rules_set_carried(r->node, here, n_here, now);
    if (status != PV_OK)
        return status;
    status = pv_fp_builder_set_carried(r->node->fp, carried, n, here, n_here, &r->node->rng);
    for (size_t i = 0; i < n && status == PV_OK; i++)
        routes[i]->why = carried[i].taken ? PV_ROUTE_USED : PV_ROUTE_TAKEN;
    return status;
}

/* Is there anybody to send to? */
static bool is_alive(const struct pv_route *route)
{
    for (size_t i = 0; i < route->gateways.n; i++) {
        if (pv_gateway_is_alive(&route->gateways.g[i]))
            return true;
    }
    return false;
}

/* A family whose exit does not live goes around it again, unless the user said that nothing may. */
static void plan_exit(const struct pv_routes *r, struct pv_netplan *plan)
{
    for (size_t i = 0; i < r->n; i++) {
        const struct pv_route *route = &r->all[i];
        if (route->prefix.bits != 0 || route->why != PV_ROUTE_USED ||
            !(is_alive(route) || r->use.exit_block))
            continue;
        plan->exit4 = plan->exit4 || route->prefix.base.family == PV_AF_INET;
        plan->exit6 = plan->exit6 || route->prefix.base.family == PV_AF_INET6;
    }
    plan->exit =
        r->use.exit && r->fault[0] == '\0' && (plan->exit4 || plan->exit6 || r->use.exit_block);
    plan->exit_lan = plan->exit && r->use.exit_lan;
    plan->exit_block = plan->exit && r->use.exit_block;
}

/* A prefix stays in the plan while its gateways are away: its packets shall be answered, and not
 * leave by the default route, where strangers read them. */
static void make_plan(const struct pv_routes *r, struct pv_netplan *plan)
{
    const struct pv_node *n = r->node;
    memset(plan, 0, sizeof(*plan));
    memcpy(plan->ifname, n->tun_name, sizeof(plan->ifname));
    if (n->roster == NULL || pv_node_self(n) == NULL || !n->up || n->removed)
        return;
    plan->overlay4 = pv_roster_network(n->roster)->range;
    plan->overlay6 = pv_network_ula(pv_roster_network_id(n->roster));
    for (size_t i = 0; i < r->n; i++) {
        const struct pv_route *route = &r->all[i];
        if (route->why == PV_ROUTE_USED && route->prefix.bits != 0 && route->gateways.n > 0)
            plan->used[plan->n_used++].prefix = route->prefix;
    }
    for (size_t i = 0; i < r->n_here; i++)
        plan->offered[plan->n_offered++] = (struct pv_netplan_offered){
            .prefix = r->here[i].prefix,
            .snat = (r->here[i].flags & PV_OFFER_NO_NAT) == 0,
            .linked = (pv_routes_reach(n, &r->here[i]) & PV_OFFER_LINKED) != 0};
    plan_exit(r, plan);
}

int pv_routeplan_tell_host(struct pv_routes *r)
{
    struct pv_netplan plan;
    uint8_t bytes[PV_NETPLAN_BYTES];
    make_plan(r, &plan);
    int len = pv_netplan_encode(&plan, bytes, sizeof(bytes));
    if (len < 0)
        return len;
    if (r->plan_len == len && memcmp(bytes, r->plan, (size_t)len) == 0)
        return PV_OK;
    struct pv_job *job = pv_job_new(PV_JOB_NETPLAN);
    if (job == NULL)
        return PV_ERR_NOMEM;
    job->u.netplan = malloc(sizeof(*job->u.netplan));
    if (job->u.netplan == NULL) {
        pv_job_free(job);
        return PV_ERR_NOMEM;
    }
    *job->u.netplan = plan;
    if (!pv_jobqueue_submit(&r->node->jobs, job, pv_routes_plan_done, r, 0))
        return PV_ERR_NOMEM;
    memcpy(r->plan, bytes, (size_t)len);
    r->plan_len = len;
    r->n_plans++;
    r->n_used = plan.n_used;
    return PV_OK;
}
