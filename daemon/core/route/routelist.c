/* SPDX-License-Identifier: MIT */
/* routelist.c - every prefix that somebody offers or may carry, and why it goes as it does. */
#include "daemon/core/route/routelist.h"

#include <stdio.h>
#include <string.h>

#include "daemon/core/member/rules.h"
#include "daemon/core/node/statuspage.h"
#include "daemon/core/peer/peer_show.h"
#include "daemon/core/peer/peers.h"
#include "proto/control/jsonline.h"
#include "proto/local/ctlapi.h"
#include "proto/local/ctlapi_pack.h"
#include "proto/roster/roster.h"

enum {
    SENTENCE = 280,   /* bytes of why, or of a command, with the NUL */
    MAX_PROBLEMS = 3, /* ours: offers that `status` names; the others are counted */
};

/* One prefix by one member. */
struct row {
    char prefix[PV_ADDR_TEXT];
    char peer[PV_NODE_WHO]; /* who offers it, or may carry it */
    bool self;              /* that is this node */
    bool offered, allowed;
    const uint8_t *pk;      /* of the one that offers it, or may */
    bool automatic;         /* offered with --auto */
    bool nat;               /* hosts there see its gateway */
    const char *state;      /* a word of PROTOCOL-LOCAL.md "Control socket" */
    char why[SENTENCE];     /* a sentence about it */
    char command[SENTENCE]; /* what to type to have it; "": nothing is missing */
    double rtt_ms;          /* < 0: null */
};

static void list_row(json_t **out, const struct row *r)
{
    pv_ctlapi_put(out, "routes",
                  pv_ctlapi_pack("{s:s, s:s, s:o, s:b, s:b, s:b, s:b, s:b, s:s, s:s, s:s?, s:o}",
                                 "prefix", r->prefix, "peer", r->peer, "key", pv_ctlapi_key(r->pk),
                                 "self", r->self, "offered", r->offered, "allowed", r->allowed,
                                 "auto", r->automatic, "nat", r->nat, "state", r->state, "why",
                                 r->why, "command", r->command[0] != '\0' ? r->command : NULL,
                                 "rtt_ms", pv_ctlapi_real(r->rtt_ms)));
}

/* By key: another machine may have had this node's name. */
static bool is_self(const struct pv_node *n, const uint8_t *pk)
{
    return memcmp(pk, n->identity->sign_pk, PV_SIGN_PK_LEN) == 0;
}

/* As commands take it, in text or not: both default routes have one word. */
PV_MUST_CHECK static const char *word_of(const struct pv_prefix *p, char text[static PV_ADDR_TEXT])
{
    return p->bits == 0 ? "default" : pv_prefix_format(p, text);
}

/* The name is that of today; who was removed since is known by its last one. */
static void begin(struct row *row, const struct pv_node *n, const uint8_t *pk,
                  const struct pv_prefix *prefix)
{
    *row = (struct row){.rtt_ms = -1, .pk = pk, .self = is_self(n, pk)};
    (void)pv_prefix_format(prefix, row->prefix);
    snprintf(row->peer, sizeof(row->peer), "%s", PV_WHO_STR(n, pk));
}

/* The command that the user has to type, to be copied as it stands. */
static void set_command(struct row *row, const char *command, const char *peer,
                        const struct pv_prefix *prefix)
{
    char text[PV_ADDR_TEXT];
    snprintf(row->command, sizeof(row->command), "%s%s%s %s", command, peer[0] == '\0' ? "" : " ",
             peer, word_of(prefix, text));
}

/* The packet threads' first choice for new flows. */
static bool is_in_front(const struct pv_route *route, const struct pv_peer *p)
{
    return p != NULL && route->gateways.front == pv_peer_id(p);
}

/* The facts known of this member as a gateway; NULL: it is not wanted for that prefix. */
static const struct pv_gateway *gateway_of(const struct pv_route *route, const struct pv_peer *p)
{
    for (size_t i = 0; p != NULL && i < route->gateways.n; i++) {
        if (route->gateways.g[i].id == pv_peer_id(p))
            return &route->gateways.g[i];
    }
    return NULL;
}

/* The traffic by a member that a rule denies. */
struct denial {
    const char *what; /* "HTTPS is", ...; NULL: nothing of what is asked about */
    uint16_t rule;
};

/* Rules may know ports: of what is carried those are asked about that nearly everybody needs. */
static struct denial denied_there(const struct pv_node *n, const uint8_t *pk,
                                  const struct pv_prefix *prefix)
{
    static const struct pv_port_range https = {.proto = 6, .first = 443, .last = 443},
                                      dns = {.proto = 17, .first = 53, .last = 53};
    const uint8_t *self = n->identity->sign_pk;
    const struct pv_verdict v = pv_rules_decide_beyond(n, self, pk, prefix, https);
    const struct pv_verdict d =
        prefix->bits == 0 ? pv_rules_decide_beyond(n, self, pk, prefix, dns) : v;
    return (struct denial){.what = v.allow && d.allow            ? NULL
                                   : v.allow                     ? "DNS is"
                                   : d.allow || prefix->bits > 0 ? "HTTPS is"
                                                                 : "HTTPS and DNS are",
                           .rule = v.allow ? d.rule : v.rule};
}

/* The words for each proof. The peer's name stands behind those of PROVEN. */
static const struct {
    const char *state, *why;
} proofs[] = {
    [PV_ROUTE_UNPROVEN] = {"ready", "in place, not used by a packet yet"},
    [PV_ROUTE_PROVEN] = {"used", "packets go by "},
    [PV_ROUTE_DROPPED] = {"dropped", "in place, but this machine drops what programs send there: "
                                     "`sudo p2pvpnctl doctor` says by what"},
};

/* A prefix that is used, at one of those who carry it. */
static void say_used(struct row *row, const struct pv_node *n, const struct pv_route *route,
                     const struct pv_peer *p, uint8_t flags)
{
    const struct pv_gateway *g = gateway_of(route, p);
    const struct pv_peer *front = pv_peers_by_id(n->peers, route->gateways.front);
    bool alive = g != NULL && pv_gateway_is_alive(g);
    if (alive && is_in_front(route, p)) {
        const enum pv_route_proof proof = pv_routes_proof(n, route);
        const struct denial x = denied_there(n, pv_peer_pk(p), &route->prefix);
        struct pv_text why = pv_text_in(row->why, sizeof(row->why));
        pv_text_add(&why, "%s%s", proofs[proof].why, proof == PV_ROUTE_PROVEN ? row->peer : "");
        row->state = proofs[proof].state;
        if (x.what != NULL)
            pv_text_add(&why, "; %s denied by %s", x.what, PV_RULE_STR(x.rule));
    } else if (alive) {
        row->state = "standby";
        snprintf(row->why, sizeof(row->why), "packets go by %s; %s takes over when it fails",
                 front == NULL ? "another" : pv_peer_name(front), row->peer);
    } else {
        row->state = "away";
        snprintf(row->why, sizeof(row->why),
                 (flags & PV_OFFER_AWAY) != 0 ? "%s does not reach it now" : "%s does not answer",
                 row->peer);
    }
}

/* How a user comes to a prefix that is offered and allowed, and not used. */
static void say_unwanted(struct row *row, const struct pv_prefix *prefix)
{
    row->state = "off";
    if (prefix->bits == 0) {
        snprintf(row->why, sizeof(row->why), "an exit is used only on demand");
        snprintf(row->command, sizeof(row->command), "exit use %s", row->peer);
        return;
    }
    snprintf(row->why, sizeof(row->why),
             row->automatic ? "`route use` says not to use it" : "it is used only on demand");
    set_command(row, "route use", "", prefix);
}

/* A state that nobody can change by a command of this program has a reason and no command. */
static void say_refused(struct row *row, const struct pv_route *route)
{
    row->state = "refused";
    if (route->why == PV_ROUTE_IN_NETWORK)
        snprintf(row->why, sizeof(row->why), "it is a part of the network's own range");
    else if (route->why == PV_ROUTE_CONNECTED)
        snprintf(row->why, sizeof(row->why), "this machine is in that network itself, by %s",
                 route->ifname);
    else if (route->why == PV_ROUTE_TAKEN)
        snprintf(row->why, sizeof(row->why), "a static peer has it in its allowed-ips");
    else
        snprintf(row->why, sizeof(row->why), "%d prefixes are used already", PV_NETPLAN_USED);
}

/* Somebody else on the host may have a route that goes before ours, or another network of ours be
 * the first that uses the prefix: then it is used in part, or in name only. */
static void say_overlap(struct row *row, const struct pv_node *n, const struct pv_route *route)
{
    for (size_t i = 0; i < n->host.plan.n_overlaps; i++) {
        const struct pv_netplan_overlap *o = &n->host.plan.overlaps[i];
        size_t len = strlen(row->why);
        if (pv_route_compare(&o->used, &route->prefix) != 0)
            continue;
        if (o->taken) {
            row->state = "refused";
            len = 0;
        }
        if (o->table != 0) {
            char text[PV_NETPLAN_WAY];
            snprintf(row->why, sizeof(row->why), "%s", pv_netplan_stray_text(o, text));
            return;
        }
        snprintf(row->why + len, sizeof(row->why) - len, "%son this machine %s goes by %s",
                 len > 0 ? "; " : "", PV_PREFIX_STR(&o->other.prefix),
                 o->other.ifname[0] != '\0'
                     ? o->other.ifname
                     : "another network, whose p2pvpnd does not run (`p2pvpnctl "
                       "networks`)");
        return;
    }
}

/* Does this node offer what it does not reach any more? A host without any network has not been
 * looked at yet: packets wait for that, and users are told of no fault until then. */
static bool is_away(const struct pv_node *n, const struct pv_prefix *prefix, uint8_t flags)
{
    const struct pv_offer offer = {.prefix = *prefix, .flags = flags};
    return n->host.plan.n_lan > 0 && (pv_routes_reach(n, &offer) & PV_OFFER_AWAY) != 0;
}

/* One row for each member that carries the prefix, since each has a reason of its own. */
static void say_route(struct row *row, const struct pv_node *n, const struct pv_route *route,
                      const struct pv_route_gateway *g)
{
    struct pv_peer *p = pv_peers_by_pk(n->peers, g->pk);
    struct pv_ctlapi_path path;
    row->offered = row->allowed = true;
    row->automatic = (g->flags & PV_OFFER_AUTO) != 0;
    row->nat = (g->flags & PV_OFFER_NO_NAT) == 0;
    if (p != NULL) {
        pv_peer_show_path(p, &path);
        row->rtt_ms = path.rtt_ms;
    }
    if (row->self) {
        bool away = is_away(n, &route->prefix, g->flags);
        row->state = route->why != PV_ROUTE_HERE ? "refused" : away ? "away" : "here";
        snprintf(row->why, sizeof(row->why), "%s",
                 away ? "no interface of this machine is in it now"
                      : "this node carries it for members");
        return;
    }
    if (route->why == PV_ROUTE_HERE) {
        row->state = "refused";
        snprintf(row->why, sizeof(row->why), "this node carries it itself");
    } else if (route->why == PV_ROUTE_USED && g->wanted && route->prefix.bits == 0 &&
               pv_routes_is_refused(n)) {
        row->state = "refused";
        snprintf(row->why, sizeof(row->why),
                 "this machine cannot use it: `p2pvpnctl status` says why");
    } else if (route->why == PV_ROUTE_USED && g->wanted) {
        say_used(row, n, route, p, g->flags);
        say_overlap(row, n, route);
    } else if (route->why == PV_ROUTE_USED || route->why == PV_ROUTE_UNWANTED) {
        say_unwanted(row, &route->prefix);
    } else {
        say_refused(row, route);
    }
}

/* Rows beyond the limit are counted: the list says how many it left out. */
struct listing {
    const struct pv_node *n;
    json_t *out;
    size_t rows;
};

static void add_routes(struct listing *l)
{
    size_t n_routes;
    const struct pv_route *all = pv_routes_all(l->n, &n_routes);
    for (size_t i = 0; i < n_routes; i++) {
        for (size_t k = 0; k < all[i].n; k++) {
            struct row row;
            if (l->rows++ >= PV_ROUTELIST_MAX)
                continue;
            begin(&row, l->n, all[i].by[k].pk, &all[i].prefix);
            say_route(&row, l->n, &all[i], &all[i].by[k]);
            list_row(&l->out, &row);
        }
    }
}

/* --- what an admin has not allowed ---------------------------------------------------------- */

/* Each offer of a member that nobody allowed. In a network of thousands this is a walk over all,
 * and made only when somebody asks. */
typedef void unallowed_fn(void *arg, const uint8_t *pk, const struct pv_offer *offer);
static void each_unallowed(const struct pv_node *n, unallowed_fn *fn, void *arg)
{
    for (const struct pv_member *m = pv_roster_next(n->roster, NULL); m != NULL;
         m = pv_roster_next(n->roster, m)) {
        const struct pv_st_card *card = pv_roster_card(n->roster, m->node);
        struct pv_view list = card == NULL ? pv_view(NULL, 0) : card->offers;
        struct pv_offer offer;
        while (pv_offerlist_next(&list, &offer)) {
            if (!pv_routes_is_allowed(n, m->node, &offer.prefix))
                fn(arg, m->node, &offer);
        }
    }
}

/* With the command that an admin types, for whoever reads it. */
static void list_unallowed(void *arg, const uint8_t *pk, const struct pv_offer *offer)
{
    struct listing *l = arg;
    struct row row;
    if (l->rows++ >= PV_ROUTELIST_MAX)
        return;
    begin(&row, l->n, pk, &offer->prefix);
    row.offered = true;
    row.automatic = (offer->flags & PV_OFFER_AUTO) != 0;
    row.nat = (offer->flags & PV_OFFER_NO_NAT) == 0;
    row.state = "offered";
    snprintf(row.why, sizeof(row.why), "no admin has allowed it");
    set_command(&row, "route allow", row.peer, &offer->prefix);
    list_row(&l->out, &row);
}

/* Permissions that nobody makes use of: without them an admin could not find what to take back. */
static void list_unoffered(struct listing *l)
{
    const struct pv_roster_entry *e = NULL;
    while ((e = pv_roster_next_route(l->n->roster, e)) != NULL) {
        const struct pv_st_route *st = &e->st.u.route;
        const struct pv_member *phone;
        struct pv_offer offer;
        struct row row;
        if (pv_roster_by_node(l->n->roster, st->node) != NULL &&
            pv_routes_is_offered(l->n, st->node, &st->prefix, &offer))
            continue;
        /* That of which member is a phone's gateway goes with the phone, which the list of peers
         * has. */
        if (pv_roster_names_gateway(l->n->roster, &e->st, &phone) != NULL)
            continue;
        if (l->rows++ >= PV_ROUTELIST_MAX)
            continue;
        begin(&row, l->n, st->node, &st->prefix);
        row.allowed = true;
        row.state = "allowed";
        snprintf(row.why, sizeof(row.why), "%s does not offer it", row.peer);
        list_row(&l->out, &row);
    }
}

/* --- the whole ------------------------------------------------------------------------------- */

/* The exit of this node. */
struct exit {
    const char *peer; /* NULL: none is used */
    bool lan, block;
    bool works;           /* it is in place, and answers */
    bool used, dropped;   /* packets showed that it is used, or that this host drops them */
    struct denial denied; /* of what goes by it */
    bool down;            /* none do before this machine is up again, and nothing is blocked */
    bool refused;         /* the host cannot use it until a try succeeds, */
    bool guarded;         /* or another network's exit is the only way out */
    /* Programs' packets leave by another way; NULL: they do not. */
    const struct pv_netplan_overlap *stray;
};

static json_t *exit_json(const struct exit *x)
{
    if (x->peer == NULL)
        return json_null();
    return pv_ctlapi_pack("{s:s, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b}", "peer", x->peer,
                          "lan", x->lan, "block", x->block, "works", x->works, "used", x->used,
                          "dropped", x->dropped, "down", x->down, "refused", x->refused, "guarded",
                          x->guarded, "beside", x->stray != NULL);
}

/* Of two families one that works is enough: the other one is blocked, not lost. It is called by
 * who. */
static struct exit show_exit(const struct pv_node *n, char who[static PV_NODE_WHO])
{
    const struct pv_routeuse *use = pv_routes_use(n);
    size_t n_routes;
    const struct pv_route *all = pv_routes_all(n, &n_routes);
    struct exit x = {.lan = use->exit_lan,
                     .block = use->exit_block || n->host.plan.guarded,
                     .guarded = n->host.plan.guarded,
                     .down = !n->up,
                     .refused = pv_routes_is_refused(n)};
    x.peer = use->exit ? pv_node_who(n, use->exit_pk, who) : NULL;
    for (size_t i = 0; !x.down && !x.refused && i < n_routes; i++) {
        if (all[i].prefix.bits != 0 || all[i].why != PV_ROUTE_USED)
            continue;
        const struct pv_netplan_overlap *stray = pv_netplan_stray(&n->host.plan, &all[i].prefix);
        if (stray != NULL) {
            x.stray = stray;
            continue;
        }
        bool alive = false;
        for (size_t k = 0; k < all[i].gateways.n; k++)
            alive = alive || pv_gateway_is_alive(&all[i].gateways.g[k]);
        const enum pv_route_proof proof = pv_routes_proof(n, &all[i]);
        x.works = x.works || alive;
        x.used = x.used || (alive && proof == PV_ROUTE_PROVEN);
        x.dropped = x.dropped || (alive && proof == PV_ROUTE_DROPPED);
        const struct denial d = denied_there(n, use->exit_pk, &all[i].prefix);
        if (d.what != NULL)
            x.denied = d;
    }
    return x;
}

/* Each member and prefix that `route use` named since the mode was last said, in that order. */
static void list_named(const struct pv_node *n, json_t **out)
{
    const struct pv_routeuse *use = pv_routes_use(n);
    for (size_t i = 0; i < use->n; i++) {
        const struct pv_routeuse_entry *e = &use->entries[i];
        char prefix[PV_ADDR_TEXT], who[PV_NODE_WHO];
        pv_ctlapi_put(out, "named",
                      pv_ctlapi_pack("{s:s, s:b}", "what",
                                     e->is_prefix ? pv_prefix_format(&e->prefix, prefix)
                                                  : pv_node_who(n, e->pk, who),
                                     "use", e->on));
    }
}

/* Built whole or not at all: a list without its end would be read as one that has ended. */
json_t *pv_routelist_json(const struct pv_node *n, const char *fault)
{
    static const char *const modes[] = {
        [PV_ROUTEUSE_AUTO] = "auto", [PV_ROUTEUSE_ALL] = "all", [PV_ROUTEUSE_OFF] = "off"};
    const char *why = fault[0] != '\0'                ? fault
                      : n->host.plan.fault[0] != '\0' ? n->host.plan.fault
                                                      : NULL;
    struct listing l = {.n = n,
                        .out = pv_ctlapi_pack("{s:i, s:[], s:i, s:s, s:[], s:n, s:s?}", "version",
                                              PV_CTLAPI_FORMAT, "routes", "more", 0, "use",
                                              modes[pv_routes_use(n)->mode], "named", "exit",
                                              "fault", why)};
    char who[PV_NODE_WHO];
    const struct exit x = show_exit(n, who);
    add_routes(&l);
    each_unallowed(n, list_unallowed, &l);
    list_unoffered(&l);
    list_named(n, &l.out);
    size_t more = l.rows > PV_ROUTELIST_MAX ? l.rows - PV_ROUTELIST_MAX : 0;
    pv_jsonline_set(&l.out, "exit", exit_json(&x));
    pv_jsonline_set(&l.out, "more", json_integer((json_int_t)more));
    return l.out;
}

struct naming {
    const struct pv_node *n;
    struct pv_statuspage *st;
    bool admin;
    size_t found;
};

/* An admin is asked; the node that offers is told whom to ask. */
static void name_unallowed(void *arg, const uint8_t *pk, const struct pv_offer *offer)
{
    struct naming *x = arg;
    const struct pv_member *m = pv_roster_known(x->n->roster, pk);
    char text[PV_ADDR_TEXT];
    if ((!x->admin && !is_self(x->n, pk)) || x->found++ >= MAX_PROBLEMS || m == NULL)
        return;
    const char *word = word_of(&offer->prefix, text);
    pv_statuspage_todo(x->st,
                       PV_STR("%s offers to carry %s, which no admin has allowed: ", m->name,
                              PV_PREFIX_STR(&offer->prefix)),
                       x->admin ? PV_DO(allow_route, m->name, word)
                                : PV_DO(ask_to_allow_route, m->name, word));
}

/* An exit that does not work is the first thing that a user has to know: either nothing goes out,
 * or everything is seen by the network that was to be avoided. */
static void name_exit(const struct exit *x, struct pv_statuspage *st)
{
    if (x->peer != NULL && x->works && x->denied.what != NULL) {
        const uint16_t rule = x->denied.rule;
        const char *number = PV_STR("%u", rule);
        const struct pv_remedy todo = rule == PV_RULE_DEFAULT ? PV_DO(allow_internet)
                                      : rule <= PV_RULES_MAX  ? PV_DO(remove_rule, number, number)
                                                              : PV_DO_NOTHING;
        const char *text =
            PV_STR("%s denied by %s where it goes by the exit %.96s%s", x->denied.what,
                   PV_RULE_STR(rule), x->peer, todo.id != PV_REMEDY_NONE ? ": " : "");
        pv_statuspage_todo(st, text, todo);
    }
    if (x->peer != NULL && x->stray != NULL) {
        char text[PV_NETPLAN_WAY], todo[PV_NETPLAN_WAY];
        pv_statuspage_todo(st,
                           PV_STR("the exit %.96s is not used: %s, and they are dropped: ", x->peer,
                                  pv_netplan_stray_text(x->stray, text)),
                           pv_remedy_said(pv_netplan_stray_remedy(x->stray, todo)));
        return;
    }
    /* Of a guard the host's fault says whose it is. */
    if (x->peer == NULL || x->works || x->down || x->guarded || (x->refused && !x->block))
        return;
    const char *what = x->refused
                           ? PV_STR("this machine cannot use the exit %.96s: ", x->peer)
                           : PV_STR("the exit %.96s does not answer, or is none now: ", x->peer);
    if (x->refused || x->block)
        pv_statuspage_todo(
            st, PV_STR("%snothing goes out until it %s: ", what, x->refused ? "can" : "does"),
            PV_DO(exit_off));
    else
        pv_statuspage_problem(st, what, "all goes out as without it");
}

/* Of members and used prefixes, as it was looked up. */
static void name_strays(const struct pv_node *n, struct pv_statuspage *st)
{
    for (size_t i = 0; i < n->host.plan.n_overlaps; i++) {
        const struct pv_netplan_overlap *o = &n->host.plan.overlaps[i];
        char text[PV_NETPLAN_WAY], todo[PV_NETPLAN_WAY];
        if (o->table != 0 && o->own != 0)
            pv_statuspage_todo(st, PV_STR("%s: ", pv_netplan_stray_text(o, text)),
                               pv_remedy_said(pv_netplan_stray_remedy(o, todo)));
    }
}

/* A program's packet that was lost on this host: the next one is too, as a rule. */
static void name_dropped(const struct pv_node *n, const struct pv_route *route,
                         struct pv_statuspage *st)
{
    char range[PV_ADDR_TEXT];
    if (route->why != PV_ROUTE_USED || pv_routes_proof(n, route) != PV_ROUTE_DROPPED)
        return;
    const char *to = route->prefix.bits != 0 ? pv_prefix_format(&route->prefix, range)
                     : route->prefix.base.family == PV_AF_INET6
                         ? "the internet by the exit over IPv6"
                         : "the internet by the exit over IPv4";
    pv_statuspage_todo(st, PV_STR("this machine drops what programs send to %s: ", to),
                       PV_DO(doctor_as_root));
}

/* The prefixes that others carry now, or nobody does. */
static void name_away(const struct pv_node *n, const struct pv_route *route,
                      struct pv_statuspage *st)
{
    const char *prefix = PV_PREFIX_STR(&route->prefix);
    for (size_t i = 0; i < route->n && route->why == PV_ROUTE_HERE; i++) {
        if (!is_self(n, route->by[i].pk) || !is_away(n, &route->prefix, route->by[i].flags))
            continue;
        pv_statuspage_todo(st,
                           PV_STR("%s is not carried for members: no interface of this machine is "
                                  "in it any more: ",
                                  prefix),
                           PV_DO(offer_again, prefix));
    }
}

/* Members are walked over only because somebody asked for `status`. */
void pv_routelist_status(const struct pv_node *n, struct pv_statuspage *st)
{
    struct naming x = {.n = n, .st = st};
    size_t n_routes;
    const struct pv_route *all = pv_routes_all(n, &n_routes);
    if (n->roster == NULL)
        return;
    const bool takes_part = pv_node_takes_part(n);
    int used = 0, ready = 0, carried = 0;
    char who[PV_NODE_WHO];
    const struct exit exit = show_exit(n, who);
    for (size_t i = 0; i < n_routes; i++) {
        const bool counts = takes_part && all[i].why == PV_ROUTE_USED && all[i].prefix.bits != 0;
        const bool proven = counts && pv_routes_proof(n, &all[i]) == PV_ROUTE_PROVEN;
        used += proven ? 1 : 0;
        ready += counts && !proven ? 1 : 0;
        carried += takes_part && all[i].why == PV_ROUTE_HERE ? 1 : 0;
        if (takes_part) {
            name_away(n, &all[i], st);
            name_dropped(n, &all[i], st);
        }
    }
    pv_statuspage_put(st, PV_STATUS_ROUTES,
                      pv_ctlapi_pack("{s:i, s:i, s:i, s:o}", "used", used, "ready", ready,
                                     "carried", carried, "exit", exit_json(&exit)));
    name_exit(&exit, st);
    if (takes_part)
        name_strays(n, st);
    if (pv_node_self(n) == NULL || n->removed)
        return;
    x.admin = (pv_roster_rights(n->roster, n->identity->sign_pk) & PV_RIGHT_REVOKE) != 0;
    each_unallowed(n, name_unallowed, &x);
    if (x.found > MAX_PROBLEMS) {
        const char *text = PV_STR("%zu more offers that no admin has allowed: `p2pvpnctl route "
                                  "list` shows all",
                                  x.found - MAX_PROBLEMS);
        pv_statuspage_problem(st, text, "");
    }
}
