/* SPDX-License-Identifier: MIT */
/* routes.c - the part: joins offers, permissions and wishes, and decides which prefixes are used.
 */
#include "daemon/core/route/routes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/node/saved.h"
#include "daemon/core/node/statuspage.h"
#include "daemon/core/peer/peers.h"
#include "daemon/core/route/routelist.h"
#include "daemon/core/route/routes_int.h"

#define RETRY PV_S(1) /* ours: after a change for which there was no memory */

static struct pv_routes *of(const struct pv_node *n)
{
    return pv_node_part(n, &pv_part_routes);
}

const struct pv_route *pv_routes_all(const struct pv_node *n, size_t *ret_n)
{
    const struct pv_routes *r = of(n);
    *ret_n = r->n;
    return r->all;
}

const struct pv_routeuse *pv_routes_use(const struct pv_node *n)
{
    return &of(n)->use;
}

const struct pv_route *pv_routes_find(const struct pv_node *n, const struct pv_prefix *prefix)
{
    const struct pv_routes *r = of(n);
    return pv_routeset_find(r->all, r->n, prefix);
}

/* --- what is used --------------------------------------------------------------------------- */

/* This node needs no other one for what it carries itself. */
static bool is_here(const struct pv_routes *r, const struct pv_route *route)
{
    return pv_routeset_has(route, r->node->identity->sign_pk);
}

/* The faults of a prefix are looked at before the wish: the list says why it cannot be used, also
 * to a user who has not asked for it yet. */
static enum pv_route_why judge(struct pv_routes *r, struct pv_route *route, size_t n_used)
{
    const struct pv_netplan_link *link = pv_routes_connected(r->node, &route->prefix);
    bool wanted = false;
    for (size_t i = 0; i < route->n; i++) {
        struct pv_route_gateway *g = &route->by[i];
        const struct pv_offer offer = {.prefix = route->prefix, .flags = g->flags};
        g->wanted = pv_routeuse_wants(&r->use, g->pk, &offer);
        wanted = wanted || g->wanted;
    }
    if (is_here(r, route))
        return PV_ROUTE_HERE;
    if (pv_routes_in_network(r->node, &route->prefix))
        return PV_ROUTE_IN_NETWORK;
    if (link != NULL) {
        memcpy(route->ifname, link->ifname, sizeof(route->ifname));
        return PV_ROUTE_CONNECTED;
    }
    if (!wanted)
        return PV_ROUTE_UNWANTED;
    return route->prefix.bits != 0 && n_used >= PV_NETPLAN_USED ? PV_ROUTE_TOO_MANY : PV_ROUTE_USED;
}

/* The prefixes that this node carries for members: only while it is one, and up. */
static void add_here(struct pv_routes *r, const struct pv_route *route)
{
    struct pv_offer offer;
    if (r->n_here < PV_FP_MAX_HERE && !pv_routes_in_network(r->node, &route->prefix) &&
        pv_routes_is_offered(r->node, r->node->identity->sign_pk, &route->prefix, &offer))
        r->here[r->n_here++] = offer;
}

/* Members whose peer is not made yet (no memory) come later: a fact tells. */
static void set_gateways(const struct pv_routes *r, struct pv_route *route)
{
    uint32_t ids[PV_GATEWAYS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < route->n && route->why == PV_ROUTE_USED; i++) {
        const struct pv_peer *p = pv_peers_by_pk(r->node->peers, route->by[i].pk);
        if (route->by[i].wanted && p != NULL)
            ids[n++] = pv_peer_id(p);
    }
    pv_gateways_set(&route->gateways, ids, n);
    /* Without an exit all goes out as before, so its death must be noticed. */
    route->gateways.alone_too = route->prefix.bits == 0;
}

/* In order of the prefixes, so that those beyond the limit are the same ones at each look. */
static void decide(struct pv_routes *r)
{
    size_t used = 0;
    r->n_here = 0;
    for (size_t i = 0; i < r->n; i++) {
        struct pv_route *route = &r->all[i];
        route->why = judge(r, route, used);
        used += route->why == PV_ROUTE_USED && route->prefix.bits != 0 ? 1 : 0;
        set_gateways(r, route);
        if (route->why == PV_ROUTE_HERE)
            add_here(r, route);
    }
}

/* --- the look ------------------------------------------------------------------------------- */

/* Everything from the beginning: the roster changes rarely, and permissions are few. */
void pv_routes_look(struct pv_routes *r, bool anew, pv_ns now)
{
    int status = anew ? pv_routeset_gather(r) : PV_OK;
    r->look_at = PV_NEVER;
    if (status == PV_OK)
        decide(r);
    for (size_t i = 0; i < r->n; i++) {
        pv_routewatch_look(r, &r->all[i], now);
        r->look_at = pv_min_ns(r->look_at, pv_gateways_next(&r->all[i].gateways, now));
    }
    pv_routereach_look(r, now, &r->look_at);
    if (status == PV_OK)
        status = pv_routeplan_tell_packets(r, now);
    if (status == PV_OK)
        status = pv_routeplan_tell_host(r);
    if (status != PV_OK) {
        r->pending = true;
        r->look_at = now + RETRY;
    }
}

static void run_list(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                     pv_ns now)
{
    struct pv_routes *r = part;
    (void)req;
    (void)p;
    pv_routes_look(r, false, now); /* round trips and reach as they are */
    pv_ctlsrv_answer(r->node->ctl, handle, pv_routelist_json(r->node, r->fault));
}

static const struct pv_command commands[] = {
    {PV_CTLAPI_ROUTES, PV_NEEDS_NETWORK, run_list},
    {PV_CTLAPI_ROUTE_USE, PV_NEEDS_NETWORK, pv_routechoice_use},
    {PV_CTLAPI_EXIT_USE, PV_NEEDS_MEMBER, pv_routechoice_exit_use},
    {PV_CTLAPI_EXIT_OFF, PV_NEEDS_NETWORK, pv_routechoice_exit_off},
};

/* --- life ------------------------------------------------------------------------------------ */

static int make_routes(struct pv_node *node, const struct pv_engine_config *cfg, pv_ns now,
                       void **ret_part)
{
    struct pv_routes *r = calloc(1, sizeof(*r));
    (void)cfg;
    (void)now;
    if (r == NULL)
        return PV_ERR_NOMEM;
    r->node = node;
    r->look_at = PV_NEVER;
    *ret_part = r;
    return PV_OK;
}

static void free_routes(void *part)
{
    struct pv_routes *r = part;
    free(r->all);
    free(r);
}

/* The host hears of a plan in any case: it may still have what a former life of this daemon wanted.
 */
static int restore_routes(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct pv_routes *r = part;
    struct pv_view value = pv_saved_value(cfg->saved, PV_ROUTES_META);
    (void)now;
    if (value.len > 0 && pv_routeuse_decode(value, &r->use) != PV_OK) {
        memset(&r->use, 0, sizeof(r->use));
        pv_log(r->node->log, PV_LOG_WARN,
               "what=\"the choice of routes in the store cannot be read: say it again by "
               "p2pvpnctl route use\"");
    }
    r->pending = true;
    return PV_OK;
}

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct pv_routes *r = part;
    (void)now;
    if ((facts & PV_FACT_STORE) != 0)
        pv_routechoice_save(r);
    bool said = r->use.exit || r->use.n > 0 || r->use.mode != PV_ROUTEUSE_AUTO;
    if ((facts & PV_FACT_NETWORK) != 0 && r->node->roster == NULL && said) {
        memset(&r->use, 0, sizeof(r->use)); /* it was about members of the network that is left */
        pv_routechoice_save(r);
    }
    r->pending = r->pending || (facts & (PV_FACT_NETWORK | PV_FACT_ROSTER | PV_FACT_STATEMENTS |
                                         PV_FACT_UP | PV_FACT_HOSTNET)) != 0;
}

/* Only gateways matter, and when one becomes a peer or is none any more. */
static void on_peer(void *part, struct pv_peer *p, unsigned facts, pv_ns now)
{
    struct pv_routes *r = part;
    (void)facts;
    for (size_t i = 0; i < r->n; i++) {
        const struct pv_gateways *x = &r->all[i].gateways;
        for (size_t k = 0; k < x->n; k++) {
            if (x->g[k].id == pv_peer_id(p))
                r->look_at = pv_min_ns(r->look_at, now);
        }
    }
    r->pending = r->pending || (r->n > 0 && (facts & PV_PEER_FACT_MEMBER) != 0);
}

/* Not in on_facts(): it may ask peers, which raises facts. */
static void run_routes(void *part, pv_ns now)
{
    struct pv_routes *r = part;
    if (!r->pending)
        return;
    r->pending = false;
    pv_routes_look(r, true, now);
}

static void handle_timeout(void *part, pv_ns now)
{
    struct pv_routes *r = part;
    if (now >= r->look_at)
        pv_routes_look(r, r->pending, now);
}

static pv_ns next_timeout(const void *part)
{
    const struct pv_routes *r = part;
    return r->look_at;
}

/* The host refuses an exit alone (netplan.h says of everything else what is not in force). It is
 * left out then, so that the rest of the plan holds. */
void pv_routes_plan_done(struct pv_jobwait *wait, struct pv_job_result *result, pv_ns now)
{
    struct pv_routes *r = wait->self;
    (void)now;
    if (result->status == PV_OK) {
        pv_routechoice_answer(r, "");
        return;
    }
    pv_log(r->node->log, PV_LOG_ERROR, "what=\"routes not set\" why=\"%s\"", result->error);
    snprintf(r->fault, sizeof(r->fault), "%s", result->error);
    pv_routechoice_answer(r, r->fault);
    r->pending = true; /* without the exit */
}

static void on_cancel(void *part, uint64_t handle, pv_ns now)
{
    struct pv_routes *r = part;
    (void)now;
    if (r->asked == handle)
        r->asked = 0;
}

static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct pv_routes *r = part;
    (void)now;
    pv_routelist_status(r->node, st);
    if (r->fault[0] != '\0')
        pv_statuspage_problem(st, r->fault, "");
    if (r->node->hostnet.fault[0] != '\0')
        pv_statuspage_problem(st, r->node->hostnet.fault, "");
    if (r->cut)
        pv_statuspage_problem(st, "members may carry more prefixes than this node looks at (256): ",
                              "an admin can deny some: `p2pvpnctl route list`");
}

/* Numbers of what is decided here; packets are counted with all others. */
static void put_metrics(void *part, struct pv_metrics *m, pv_ns now)
{
    const struct pv_routes *r = part;
    (void)now;
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_routes_used",
                      "Prefixes that go by members, default routes excepted.");
    pv_metrics_count(m, r->n_used, NULL);
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_routes_carried",
                      "Prefixes that this node carries for members.");
    pv_metrics_count(m, r->n_here, NULL);
}

const struct pv_part pv_part_routes = {
    .name = "routes",
    .make = make_routes,
    .free = free_routes,
    .restore = restore_routes,
    .on_facts = on_facts,
    .on_peer = on_peer,
    .run = run_routes,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .on_cancel = on_cancel,
    .commands = commands,
    .n_commands = PV_ARRAY_LEN(commands),
    .status = show,
    .metrics = put_metrics,
};
