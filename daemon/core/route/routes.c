/* SPDX-License-Identifier: MIT */
/* routes.c - the part: joins offers, permissions and wishes, decides which prefixes are used and
 * which gateways live, and tells packet threads and host. */
#include "daemon/core/route/routes.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/member/rules.h"
#include "daemon/core/node/node.h"
#include "daemon/core/node/saved.h"
#include "daemon/core/node/statuspage.h"
#include "daemon/core/peer/peer_show.h"
#include "daemon/core/peer/peers.h"
#include "daemon/core/route/phones.h"
#include "daemon/core/route/routelist.h"
#include "daemon/core/route/routesedit.h"
#include "proto/local/ctlapi.h"
#include "proto/local/ctlapi_request.h"
#include "proto/roster/roster.h"

/* The host's network is like the plan, or is not. */
static pv_job_done plan_done;
static pv_job_done choice_saved;

/* The name of the user's choice in the store. */
#define ROUTES_META "routes"

struct pv_routes {
    struct pv_node *node;
    struct pv_routeuse use;
    struct pv_routeuse before; /* the last `exit use` or `exit off` */
    struct pv_route *all;      /* owned; in order */
    size_t n;
    bool cut;     /* more than PV_ROUTES_MAX */
    bool pending; /* something changed: look */
    pv_ns look_at;
    struct pv_offer here[PV_FP_MAX_HERE]; /* what this node carries, or would if it reached it */
    size_t n_here;
    /* The news due about the own offers. */
    pv_ns differs_since;    /* 0: what was said holds */
    pv_ns back_wait;        /* before one that was away is offered again */
    pv_ns away_at;          /* when one was said to be away; 0: never */
    struct pv_netplan plan; /* the last one that was handed on; */
    size_t n_plans;         /* so many were */
    /* Why the host did not set it, which is tried again; "" = it is in force. An exit that it
     * cannot use is none of that: the host says so (pv_netplan_host). */
    char fault[PV_JOB_ERROR_MAX];
    uint64_t asked;    /* the client that changed the choice and waits; 0 = none */
    bool asks_exit;    /* the plan that is being made is for it: the host may refuse it; */
    uint64_t set_plan; /* the number of that plan; 0: it waits for none */
    bool saving;       /* for the disk, */
    bool unsaved;      /* which did not take it */
    uint64_t saves;    /* of the choice; the last one counts */
    const char
        *lwip; /* why lwIP is in the kernel's place, which has no routes then; NULL: it is not */
};

#define RETRY     PV_S(1)  /* ours: after a change for which there was no memory */
#define TRY_AGAIN PV_S(30) /* ours: a plan that the host did not set */

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

enum pv_route_proof pv_routes_proof(const struct pv_node *n, const struct pv_route *route)
{
    const pv_ns gone = pv_fp_builder_gone_at(n->fp, &route->prefix);
    const pv_ns changed = n->host.changed_at;
    if (route->lost_at > changed && gone < route->lost_at + PV_ROUTE_LOST)
        return PV_ROUTE_DROPPED;
    return gone > changed ? PV_ROUTE_PROVEN : PV_ROUTE_UNPROVEN;
}

/* By the longest prefix, as the kernel and the packet threads choose. */
void pv_routes_tried(struct pv_node *n, const struct pv_addr *to, bool came, pv_ns now)
{
    struct pv_routes *r = of(n);
    struct pv_route *best = NULL;
    for (size_t i = 0; r != NULL && i < r->n; i++) {
        struct pv_route *route = &r->all[i];
        if (route->why == PV_ROUTE_USED && pv_prefix_contains(&route->prefix, to) &&
            (best == NULL || route->prefix.bits > best->prefix.bits))
            best = route;
    }
    if (best != NULL)
        best->lost_at = came ? 0 : now;
}

bool pv_routes_is_refused(const struct pv_node *n)
{
    const struct pv_routes *r = of(n);
    return r->use.exit && (n->host.plan.exit_refused || n->host.plan.guarded || r->lwip != NULL);
}

/* --- what members offer and may carry -------------------------------------------------------- */

/* Of a single prefix it is looked up anew each time what the roster, this node and its host have
 * of it: a copy could differ from what is in force. */

/* A node offers few prefixes, so the list is read from its beginning. */
bool pv_routes_is_offered(const struct pv_node *n, const uint8_t pk[static PV_SIGN_PK_LEN],
                          const struct pv_prefix *prefix, struct pv_offer *ret_offer)
{
    const struct pv_st_card *card = n->roster == NULL ? NULL : pv_roster_card(n->roster, pk);
    struct pv_view list = card == NULL ? pv_view(NULL, 0) : card->offers;
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

/* The network that this host is in itself, and that the prefix is, or is a part of: packets to it
 * must not leave by a member. A prefix around it is fine: the kernel takes the longer one. */
static const struct pv_netplan_link *connected(const struct pv_node *n, const struct pv_prefix *p)
{
    for (size_t i = 0; i < n->host.plan.n_lan; i++) {
        const struct pv_netplan_link *l = &n->host.plan.lan[i];
        if (p->bits != 0 && p->bits >= l->prefix.bits && pv_prefix_contains(&l->prefix, &p->base))
            return l;
    }
    return NULL;
}

/* --- all prefixes that members offer and may carry ------------------------------------------- */

/* NULL: there is no such route. A prefix is found by walking: there are few, and packets do not
 * come this way. */
static struct pv_route *find_route(struct pv_route *all, size_t n, const struct pv_prefix *prefix)
{
    for (size_t i = 0; i < n; i++) {
        if (pv_route_compare(&all[i].prefix, prefix) == 0)
            return &all[i];
    }
    return NULL;
}

/* May this member carry it, and does it offer that? Of two admins who allow the same the first is
 * enough. */
static bool has_gateway(const struct pv_route *route, const uint8_t *pk)
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
    struct pv_route *route = find_route(all, *n, &offer->prefix);
    if (route == NULL && *n == PV_ROUTES_MAX) {
        r->cut = true;
        return;
    }
    if (route == NULL) {
        route = &all[(*n)++];
        memset(route, 0, sizeof(*route));
        route->prefix = offer->prefix;
    }
    if (route->n == PV_GATEWAYS_MAX || has_gateway(route, pk))
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
        const struct pv_route *old = find_route(r->all, r->n, &all[i].prefix);
        if (old != NULL) {
            all[i].gateways = old->gateways;
            all[i].lost_at = old->lost_at;
        }
    }
}

/* The prefixes by what the roster says now. PV_ERR_NOMEM: as it was. A permission that nobody
 * offers, or an offer that nobody permits, makes no route. */
static int gather(struct pv_routes *r)
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

/* --- which gateways live --------------------------------------------------------------------- */

/* The state of their paths says it, and echoes to those of whom too little is known. gateways.h
 * says which of them is in front. */

/* An echo without filler asks whether a path lives, and no rule is about that. Where there is no
 * path it is sought: a gateway that nobody can reach carries nothing. */
static void ask(struct pv_node *n, struct pv_peer *p, pv_ns now)
{
    /* the answer is known by its coming */
    const struct pv_inband_echo echo = {.token = pv_rng_u64(&n->rng) | 1};
    pv_peer_want(p, "route", now);
    if (pv_peer_can_talk(p, now)) {
        pv_peers_echo(n->peers, p, echo);
        pv_peer_note_asked(p, now);
    }
    pv_peers_touch(n->peers, p, now);
}

/* A member that was sought in vain is not there, whatever the coordinator says. Nor does one count
 * that says that it does not reach the prefix. */
static struct pv_gateway_seen see(const struct pv_node *n, struct pv_peer *p, uint8_t flags)
{
    const struct pv_fp_live *live = pv_fp_builder_live(n->fp, pv_peer_id(p));
    struct pv_ctlapi_path path;
    struct pv_gateway_seen seen = {
        .reachable = (flags & PV_OFFER_AWAY) == 0 &&
                     (pv_peer_reach(p) == PV_REACH_PATH ||
                      (pv_peer_reach(p) == PV_REACH_ONLINE && pv_peer_state(p) != PV_PEER_FAILED)),
        .doubtful = (flags & PV_OFFER_DOUBT) != 0,
    };
    pv_peer_show_path(p, &path);
    if (path.rtt_ms > 0)
        seen.rtt = (pv_ns)(path.rtt_ms * 1e6);
    if (live != NULL) {
        seen.last_rx = atomic_load_explicit(&live->last_rx_any, memory_order_relaxed);
        seen.last_tx = atomic_load_explicit(&live->last_tx_data, memory_order_relaxed);
    }
    return seen;
}

static uint8_t flags_of(const struct pv_route *route, const uint8_t *pk)
{
    for (size_t i = 0; i < route->n; i++) {
        if (memcmp(route->by[i].pk, pk, PV_SIGN_PK_LEN) == 0)
            return route->by[i].flags;
    }
    return 0;
}

/* Looks at the gateways of one prefix, and asks those that it wants to hear of. */
static void look_at_gateways(struct pv_routes *r, struct pv_route *route, pv_ns now)
{
    struct pv_gateways *x = &route->gateways;
    uint32_t front = x->front;
    for (size_t i = 0; i < x->n; i++) {
        struct pv_peer *p = pv_peers_by_id(r->node->peers, x->g[i].id);
        x->g[i].seen = p == NULL ? (struct pv_gateway_seen){.reachable = false}
                                 : see(r->node, p, flags_of(route, pv_peer_pk(p)));
    }
    unsigned mask = pv_gateways_look(x, now);
    for (size_t i = 0; i < x->n; i++) {
        struct pv_peer *p = pv_peers_by_id(r->node->peers, x->g[i].id);
        if (p != NULL && (mask & 1u << i) != 0)
            ask(r->node, p, now);
    }
    const struct pv_peer *p = pv_peers_by_id(r->node->peers, x->front);
    if (x->front != front && p != NULL)
        pv_log(r->node->log, PV_LOG_INFO, "peer=%s what=\"carries a prefix\" prefix=%s",
               pv_peer_name(p), PV_PREFIX_STR(&route->prefix));
}

/* --- what this node reaches of what it offers ------------------------------------------------ */

/* A prefix that one of its interfaces was in is carried only while one is: behind the default route
 * there would be nobody, or somebody else. Members hear of it by the offers, whose flags last as
 * long as they do, so neither a restart nor a coordinator that is away makes them forget. */

/* Ours. With the host's look and the statement's way less than the 3 s within which another gateway
 * takes over. */
#define AWAY_WAIT PV_S(1)
/* Ours. A cable that is loose must not fill the network with statements. */
#define BACK_WAIT_MIN PV_S(5)
#define BACK_WAIT_MAX PV_S(640)
#define CALM          PV_S(3600)

static bool is_linked(const struct pv_node *n, const struct pv_prefix *p)
{
    for (size_t i = 0; i < n->host.plan.n_lan; i++) {
        if (pv_prefix_overlaps(p, &n->host.plan.lan[i].prefix))
            return true;
    }
    return false;
}

uint8_t pv_routes_reach(const struct pv_node *n, const struct pv_offer *offer)
{
    unsigned flags = offer->flags & ~(unsigned)(PV_OFFER_AWAY | PV_OFFER_DOUBT);
    if (offer->prefix.bits != 0 && is_linked(n, &offer->prefix))
        flags |= PV_OFFER_LINKED;
    else if ((flags & PV_OFFER_LINKED) != 0)
        flags |= PV_OFFER_AWAY;
    if (n->host.plan.blocked)
        flags |= PV_OFFER_DOUBT;
    return (uint8_t)flags;
}

/* How long what has changed has to last; 0: nothing has. A host without any network has not been
 * looked at yet, or nobody would hear. */
static pv_ns wait_of(const struct pv_routes *r, bool *ret_worse)
{
    const unsigned bad = PV_OFFER_AWAY | PV_OFFER_DOUBT;
    pv_ns wait = 0;
    *ret_worse = false;
    for (size_t i = 0; i < r->n_here && r->node->host.plan.n_lan > 0; i++) {
        unsigned said = r->here[i].flags, now = pv_routes_reach(r->node, &r->here[i]);
        *ret_worse = *ret_worse || (now & ~said & bad) != 0;
        pv_ns own = (said & ~now & bad) != 0 ? r->back_wait : AWAY_WAIT;
        if (now != said && own > wait)
            wait = own;
    }
    return *ret_worse ? AWAY_WAIT : wait;
}

static void say(struct pv_routes *r, bool worse, pv_ns now)
{
    r->differs_since = 0;
    if (worse) {
        bool calm = r->away_at == 0 || now - r->away_at > CALM;
        r->back_wait = calm ? BACK_WAIT_MIN : pv_min_ns(2 * r->back_wait, BACK_WAIT_MAX);
        r->away_at = now;
    }
    int status = pv_routesedit_say_again(r->node, now);
    if (status != PV_OK)
        pv_log(r->node->log, PV_LOG_WARN, "what=\"offers not said anew\" why=\"%s\"",
               pv_strstatus(status));
}

/* Has one of the own offers to be said anew, since what this node reaches has changed? Then that is
 * done when the change has lasted, and *look_at is when. */
static void look_at_reach(struct pv_routes *r, pv_ns now, pv_ns *look_at)
{
    bool up = r->node->roster != NULL && r->node->up && !r->node->removed;
    bool worse = false;
    if (r->back_wait == 0)
        r->back_wait = BACK_WAIT_MIN;
    pv_ns wait = up ? wait_of(r, &worse) : 0;
    if (wait == 0) {
        r->differs_since = 0;
        return;
    }
    if (r->differs_since == 0)
        r->differs_since = now;
    if (now - r->differs_since >= wait) {
        say(r, worse, now);
        return;
    }
    *look_at = pv_min_ns(*look_at, r->differs_since + wait);
}

/* --- what packet threads and host are told --------------------------------------------------- */

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

/* The packet threads know first: they are ready when the kernel's first packet comes. */
static int tell_packets(struct pv_routes *r, pv_ns now)
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
        r->use.exit && r->lwip == NULL && (plan->exit4 || plan->exit6 || r->use.exit_block);
    plan->exit_lan = plan->exit && r->use.exit_lan;
    plan->exit_block = plan->exit && r->use.exit_block;
    plan->exit_asked = plan->exit && r->asks_exit;
}

/* A prefix stays in the plan while its gateways are away: its packets shall be answered, and not
 * leave by the default route, where strangers read them. An admin who removes this node, or lets
 * its membership end, ends what admins allowed, and does not open what its user blocked. */
static void make_plan(const struct pv_routes *r, struct pv_netplan *plan)
{
    const struct pv_node *n = r->node;
    const bool blocks = !pv_node_takes_part(n) && r->use.exit_block;
    memset(plan, 0, sizeof(*plan));
    memcpy(plan->ifname, n->given.tun_name, sizeof(plan->ifname));
    if (n->roster == NULL || !n->up || !(blocks || pv_node_takes_part(n)))
        return;
    plan->overlay4 = pv_roster_network(n->roster)->range;
    plan->overlay6 = pv_network_ula(pv_roster_network_id(n->roster));
    plan_exit(r, plan);
    if (blocks)
        return;
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
    if (pv_phones_are_here(n)) {
        plan->offered[plan->n_offered++].prefix = plan->overlay4;
        plan->offered[plan->n_offered++].prefix = plan->overlay6;
    }
}

/* PV_ERR_NOMEM. A plan that the host has already is not sent again. */
static int tell_host(struct pv_routes *r)
{
    struct pv_netplan plan;
    make_plan(r, &plan);
    int status = pv_netplan_check(&plan);
    const bool failed = r->fault[0] != '\0';
    if (status < 0 ||
        (r->n_plans > 0 && !failed && !plan.exit_asked && pv_netplan_is_same(&plan, &r->plan)))
        return status;
    struct pv_job *job = pv_job_new(PV_JOB_NETPLAN);
    if (job == NULL)
        return PV_ERR_NOMEM;
    job->u.netplan = malloc(sizeof(*job->u.netplan));
    if (job->u.netplan == NULL) {
        pv_job_free(job);
        return PV_ERR_NOMEM;
    }
    *job->u.netplan = plan;
    if (!pv_jobqueue_submit(&r->node->jobs, job, plan_done, r, r->n_plans + 1))
        return PV_ERR_NOMEM;
    r->plan = plan;
    r->n_plans++;
    return PV_OK;
}

/* --- what is used --------------------------------------------------------------------------- */

/* This node needs no other one for what it carries itself. */
static bool is_here(const struct pv_routes *r, const struct pv_route *route)
{
    return has_gateway(route, r->node->identity->sign_pk);
}

/* The faults of a prefix are looked at before the wish: the list says why it cannot be used, also
 * to a user who has not asked for it yet. */
static enum pv_route_why judge(struct pv_routes *r, struct pv_route *route, size_t n_used)
{
    const struct pv_netplan_link *link = connected(r->node, &route->prefix);
    bool wanted = false;
    for (size_t i = 0; i < route->n; i++) {
        struct pv_route_gateway *g = &route->by[i];
        const struct pv_offer offer = {.prefix = route->prefix, .flags = g->flags};
        g->wanted = pv_routeuse_wants(&r->use, g->pk, &offer);
        wanted = wanted || g->wanted;
    }
    if (is_here(r, route))
        return PV_ROUTE_HERE;
    if (pv_roster_has_range(r->node->roster, &route->prefix))
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
    if (r->n_here < PV_FP_MAX_HERE && !pv_roster_has_range(r->node->roster, &route->prefix) &&
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

/* Looks at everything and tells what came of it; anew: at what members offer and may carry, too.
 * Everything from the beginning: the roster changes rarely, and permissions are few. */
static void look(struct pv_routes *r, bool anew, pv_ns now)
{
    int status = anew ? gather(r) : PV_OK;
    r->look_at = r->fault[0] != '\0' ? now + TRY_AGAIN : PV_NEVER;
    if (status == PV_OK)
        decide(r);
    for (size_t i = 0; i < r->n; i++) {
        look_at_gateways(r, &r->all[i], now);
        r->look_at = pv_min_ns(r->look_at, pv_gateways_next(&r->all[i].gateways, now));
    }
    look_at_reach(r, now, &r->look_at);
    if (status == PV_OK)
        status = tell_packets(r, now);
    if (status == PV_OK)
        status = tell_host(r);
    if (status != PV_OK) {
        r->pending = true;
        r->look_at = now + RETRY;
    }
}

/* --- what the user says of routes and exits -------------------------------------------------- */

/* The whole choice is one value: half of it would be another choice. */
static void save_choice(struct pv_routes *r)
{
    uint8_t buf[PV_ROUTEUSE_BYTES];
    size_t len = pv_routeuse_encode(&r->use, buf);
    r->saving =
        pv_node_put_meta_for(r->node, ROUTES_META, pv_view(buf, len), choice_saved, r, ++r->saves);
    r->unsaved = !r->saving;
}

/* Answers the client that waits, if there is one. fault: why not; "" = done. */
static void answer_waiting(struct pv_routes *r, const char *fault)
{
    if (r->asked != 0 && fault[0] == '\0')
        pv_ctlsrv_done(r->node->ctl, r->asked);
    else if (r->asked != 0)
        pv_ctlsrv_fail(r->node->ctl, r->asked, PV_CTLAPI_FAILED, fault);
    r->asked = 0;
}

/* A user who relies on an exit must hear that the next start will know nothing of it. */
static void answer_settled(struct pv_routes *r)
{
    if (r->set_plan != 0 || r->saving)
        return;
    answer_waiting(r, r->unsaved
                          ? PV_STR("it is in force until p2pvpnd is restarted, and this machine's "
                                   "disk does not have it (%.200s): p2pvpnd tries again every 30 s",
                                   r->node->store.error)
                          : "");
}

static void choice_saved(struct pv_jobwait *wait, struct pv_job_result *result, pv_ns now)
{
    struct pv_routes *r = wait->self;
    pv_node_stored(r->node, result);
    if (wait->tag != r->saves)
        return;
    r->saving = false;
    r->unsaved = result->status != PV_OK;
    answer_settled(r);
}

/* It is answered by the disk, a change of the exit by the host as well. */
static void use_changed(struct pv_routes *r, bool exit, uint64_t handle, pv_ns now)
{
    const size_t plans = r->n_plans;
    r->asks_exit = exit;
    look(r, false, now);
    r->asks_exit = false;
    answer_waiting(r, "another choice came meanwhile: `p2pvpnctl exit` shows what holds");
    r->asked = handle;
    r->set_plan = exit && plans != r->n_plans ? r->n_plans : 0;
    if (r->set_plan == 0) /* else once the host has taken it */
        save_choice(r);
    answer_settled(r);
}

/* A prefix or a member; a prefix that nobody offers yet is fine. False: the client is answered. */
static bool read_entry(struct pv_routes *r, const char *text, uint64_t handle,
                       struct pv_routeuse_entry *ret)
{
    const struct pv_peer *p = pv_peers_find(r->node->peers, text);
    memset(ret, 0, sizeof(*ret));
    if (p != NULL && pv_peer_is_member(p)) {
        memcpy(ret->pk, pv_peer_pk(p), sizeof(ret->pk));
        return true;
    }
    if (pv_node_is_self(r->node, text)) {
        pv_ctlsrv_failf(r->node->ctl, handle, PV_CTLAPI_UNKNOWN_PEER,
                        "route use: %s is this machine: name another", text);
        return false;
    }
    ret->is_prefix = true;
    if (strchr(text, '/') == NULL || pv_prefix_parse(text, &ret->prefix) != PV_OK ||
        !pv_route_is_valid(&ret->prefix)) {
        if (pv_peer_fail_known(r->node, text, "route use", handle))
            return false;
        pv_ctlsrv_failf(
            r->node->ctl, handle, PV_CTLAPI_UNKNOWN_PEER,
            "route use: \"%.70s\" is neither a member nor a prefix: give all, auto, off, a name of "
            "`p2pvpnctl peers`, or a prefix of `p2pvpnctl route list`",
            text);
        return false;
    }
    if (ret->prefix.bits == 0) {
        pv_ctlsrv_failf(
            r->node->ctl, handle, PV_CTLAPI_USAGE,
            "route use: %s is everything: `sudo p2pvpnctl exit use PEER` sends all by a member",
            text);
        return false;
    }
    return true;
}

/* False: the client is answered. */
static bool has_kernel(const struct pv_routes *r, const char *what, uint64_t handle)
{
    if (r->lwip == NULL)
        return true;
    pv_ctlsrv_failf(r->node->ctl, handle, PV_CTLAPI_FAILED,
                    "%s: routes and exits need the kernel's network, and lwIP is in its place: %s",
                    what, r->lwip);
    return false;
}

/* Words before names: nobody is called all, auto or off in this place. */
/* A choice that is made meanwhile would be one about an exit that the host may refuse. */
static bool is_setting(struct pv_routes *r, const char *what, uint64_t handle)
{
    if (r->set_plan != 0)
        pv_ctlsrv_failf(r->node->ctl, handle, PV_CTLAPI_FAILED,
                        "%s: another choice is being set: try again", what);
    return r->set_plan != 0;
}

static bool take_mode(struct pv_routes *r, const char *word)
{
    static const char *const modes[] = {
        [PV_ROUTEUSE_AUTO] = "auto", [PV_ROUTEUSE_ALL] = "all", [PV_ROUTEUSE_OFF] = "off"};
    size_t i = 0;
    while (i < PV_ARRAY_LEN(modes) && strcmp(word, modes[i]) != 0)
        i++;
    if (i < PV_ARRAY_LEN(modes))
        pv_routeuse_set_mode(&r->use, (enum pv_routeuse_mode)i);
    return i < PV_ARRAY_LEN(modes);
}

static void run_use(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                    pv_ns now)
{
    struct pv_routes *r = part;
    struct pv_routeuse_entry entry;
    if ((strcmp(req->peer, "off") != 0 && !has_kernel(r, "route use", handle)) ||
        is_setting(r, "route use", handle))
        return;
    if (take_mode(r, req->peer)) {
        use_changed(r, false, handle, now);
        return;
    }
    if (!read_entry(r, req->peer, handle, &entry))
        return;
    entry.on = !req->u.route.off;
    if (pv_routeuse_set(&r->use, &entry) != PV_OK) {
        pv_ctlsrv_failf(r->node->ctl, handle, PV_CTLAPI_FAILED,
                        "route use: %d members and prefixes were named already: `sudo p2pvpnctl "
                        "route use auto`, all or off begins anew",
                        PV_ROUTEUSE_MAX);
        return;
    }
    use_changed(r, false, handle, now);
}

/* A node that carries everything for members uses nobody for it. */
static bool offers_all(const struct pv_node *n)
{
    static const struct pv_prefix all[] = {{.base.family = PV_AF_INET},
                                           {.base.family = PV_AF_INET6}};
    struct pv_offer offer;
    return pv_routes_is_offered(n, n->identity->sign_pk, &all[0], &offer) ||
           pv_routes_is_offered(n, n->identity->sign_pk, &all[1], &offer);
}

/* A peer that is no exit is refused here and now: with --block nothing would go out any more. */
static void run_exit_use(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                         uint64_t handle, pv_ns now)
{
    struct pv_routes *r = part;
    bool offered = false;
    if (!has_kernel(r, "exit use", handle) || is_setting(r, "exit use", handle))
        return;
    if (offers_all(r->node)) {
        pv_ctlsrv_failf(r->node->ctl, handle, PV_CTLAPI_REFUSED,
                        "exit use: this machine offers to be an exit itself: `sudo p2pvpnctl exit "
                        "withdraw` first");
        return;
    }
    for (size_t i = 0; i < r->n; i++)
        offered = offered || (r->all[i].prefix.bits == 0 && has_gateway(&r->all[i], pv_peer_pk(p)));
    if (!offered) {
        pv_ctlsrv_failf(
            r->node->ctl, handle, PV_CTLAPI_REFUSED,
            "exit use: %s is no exit: there `sudo p2pvpnctl exit offer`, and an admin's "
            "`sudo p2pvpnctl route allow %s default`",
            pv_peer_name(p), pv_peer_name(p));
        return;
    }
    r->before = r->use;
    r->use.exit = true;
    r->use.exit_lan = req->u.route.lan;
    r->use.exit_block = req->u.route.block;
    memcpy(r->use.exit_pk, pv_peer_pk(p), sizeof(r->use.exit_pk));
    pv_peer_want(p, "exit", now);
    pv_peers_touch(r->node->peers, p, now);
    use_changed(r, true, handle, now);
}

/* Always possible, whatever has become of the exit. */
static void run_exit_off(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                         uint64_t handle, pv_ns now)
{
    struct pv_routes *r = part;
    if (r->set_plan == 0)
        r->before = r->use;
    r->use.exit = r->use.exit_lan = r->use.exit_block = false;
    memset(r->use.exit_pk, 0, sizeof(r->use.exit_pk));
    use_changed(r, true, handle, now);
}

static void run_list(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                     pv_ns now)
{
    struct pv_routes *r = part;
    look(r, false, now); /* round trips and reach as they are */
    pv_ctlsrv_answer(r->node->ctl, handle, pv_routelist_json(r->node, r->fault));
}

static const struct pv_command_handler commands[] = {
    {PV_CTLAPI_ROUTES, PV_NEEDS_ROSTER, run_list},
    {PV_CTLAPI_ROUTE_USE, PV_NEEDS_ROSTER, run_use},
    {PV_CTLAPI_EXIT_USE, PV_NEEDS_MEMBER, run_exit_use},
    {PV_CTLAPI_EXIT_OFF, PV_NEEDS_ROSTER, run_exit_off},
};

/* --- life ------------------------------------------------------------------------------------ */

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct pv_routes *r = part;
    if (cfg->stack != NULL && strcmp(cfg->stack, "lwip") == 0)
        r->lwip = cfg->stack_why != NULL && cfg->stack_why[0] != '\0' ? cfg->stack_why
                                                                      : "started with --stack lwip";
    r->look_at = PV_NEVER;
    return PV_OK;
}

static void free_routes(void *part)
{
    struct pv_routes *r = part;
    free(r->all);
}

/* The host hears of a plan in any case: it may still have what a former life of this daemon wanted.
 */
static int restore_routes(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct pv_routes *r = part;
    struct pv_view value = pv_saved_value(cfg->saved, ROUTES_META);
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
    if ((facts & PV_FACT_STORE) != 0 && r->set_plan == 0)
        save_choice(r);
    bool said = r->use.exit || r->use.n > 0 || r->use.mode != PV_ROUTEUSE_AUTO;
    if ((facts & PV_FACT_NETWORK) != 0 && r->node->roster == NULL && said) {
        memset(&r->use, 0, sizeof(r->use)); /* it was about members of the network that is left */
        r->set_plan = 0;
        answer_waiting(r, "this machine has left the network");
        save_choice(r);
    }
    r->pending = r->pending || (facts & (PV_FACT_NETWORK | PV_FACT_ROSTER | PV_FACT_STATEMENTS |
                                         PV_FACT_UP | PV_FACT_HOSTNET)) != 0;
}

/* Only gateways matter, and when one becomes a peer or is none any more. */
static void on_peer(void *part, struct pv_peer *p, unsigned facts, pv_ns now)
{
    struct pv_routes *r = part;
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
    look(r, true, now);
}

static void on_due(void *part, pv_ns now)
{
    struct pv_routes *r = part;
    look(r, r->pending, now);
}

/* A command that the host refused failed, so the exit is the one of before. The host itself says
 * what else it could not set (netplan.h). */
static void plan_done(struct pv_jobwait *wait, struct pv_job_result *result, pv_ns now)
{
    struct pv_routes *r = wait->self;
    const bool asked = wait->tag == r->set_plan, failed = result->status != PV_OK;
    const char *why = !failed                    ? ""
                      : result->error[0] != '\0' ? result->error
                                                 : pv_strstatus(result->status);
    if (asked)
        r->set_plan = 0;
    if (failed && (asked || strcmp(r->fault, why) != 0))
        pv_log(r->node->log, PV_LOG_ERROR, "what=\"routes not set\" why=\"%s\"", why);
    snprintf(r->fault, sizeof(r->fault), "%s", why);
    if (failed && asked) {
        answer_waiting(r, why);
        r->use.exit = r->before.exit;
        r->use.exit_lan = r->before.exit_lan;
        r->use.exit_block = r->before.exit_block;
        memcpy(r->use.exit_pk, r->before.exit_pk, sizeof(r->use.exit_pk));
        save_choice(r);
        r->pending = true;
    } else if (failed) {
        r->look_at = pv_min_ns(r->look_at, now + TRY_AGAIN);
    } else if (asked) {
        save_choice(r);
        answer_settled(r);
    }
}

static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct pv_routes *r = part;
    pv_routelist_status(r->node, st);
    if (r->fault[0] != '\0' && strcmp(r->fault, r->node->host.plan.fault) != 0)
        pv_statuspage_problem(st, r->fault, "");
    if (r->node->host.plan.fault[0] != '\0')
        pv_statuspage_problem(st, r->node->host.plan.fault, "");
    if (r->cut)
        pv_statuspage_todo(st, "members may carry more prefixes than this node looks at (256): ",
                           PV_DO(deny_routes));
}

/* Numbers of what is decided here; packets are counted with all others. */
static void put_metrics(void *part, struct pv_metrics *m, pv_ns now)
{
    const struct pv_routes *r = part;
    pv_metrics_one(m, PV_METRICS_GAUGE, "p2pvpn_routes_used",
                   "Prefixes with a route by members, default routes excepted.", r->plan.n_used);
    pv_metrics_one(m, PV_METRICS_GAUGE, "p2pvpn_routes_carried",
                   "Prefixes that this node carries for members.", r->n_here);
}

const struct pv_part pv_part_routes = {
    .name = "routes",
    .size = PV_PART_SIZE(struct pv_routes),
    .start = start,
    .free = free_routes,
    .restore = restore_routes,
    .on_facts = on_facts,
    .on_peer = on_peer,
    .run = run_routes,
    .due = PV_PART_DUE(struct pv_routes, look_at),
    .on_due = on_due,
    .commands = commands,
    .n_commands = PV_ARRAY_LEN(commands),
    .status = show,
    .metrics = put_metrics,
};
