/* SPDX-License-Identifier: MIT */
/* routesedit.c - what this node offers, and what its user, as an admin, allows. */
#include "daemon/core/route/routesedit.h"

#include <stdio.h>
#include <string.h>

#include "daemon/core/admin/admin.h"
#include "daemon/core/admin/rulesedit.h"
#include "daemon/core/member/card.h"
#include "daemon/core/member/membership.h"
#include "daemon/core/node/node.h"
#include "daemon/core/route/routes.h"
#include "proto/local/ctlapi_request.h"
#include "proto/roster/roster_make.h"

enum {
    MAX_PREFIXES = 2,    /* of one command: both default routes */
    TAKE_BACK_MAX = 256, /* ours: statements that allow one and the same, of as many admins */
};

/* The prefixes of a command. */
struct prefixes {
    struct pv_prefix p[MAX_PREFIXES];
    size_t n;
};

/* --- prefixes --------------------------------------------------------------------------------- */

/* "192.168.1.7/24": what was meant is clear, and is said. True: the client is answered. */
static bool name_range(struct pv_node *n, const char *what, const char *text, uint64_t handle)
{
    char ip[PV_ADDR_TEXT];
    const char *slash = strchr(text, '/');
    struct pv_prefix p;
    uint64_t bits;
    if (slash == NULL || (size_t)(slash - text) >= sizeof(ip))
        return false;
    snprintf(ip, sizeof(ip), "%.*s", (int)(slash - text), text);
    if (pv_addr_parse_ip(ip, &p.base) != PV_OK ||
        pv_u64_parse(slash + 1, 0, 8 * pv_addr_ip_len(&p.base), &bits) != PV_OK)
        return false;
    p.bits = (uint8_t)bits;
    p = pv_netplan_range(&p);
    pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_USAGE,
                    "%s: %.60s is an address in a network: give %s", what, text, PV_PREFIX_STR(&p));
    return true;
}

/* A prefix, or "default" for everything, IPv4 and IPv6. False: the client is answered. */
static bool read_prefixes(struct pv_node *n, const char *what, const char *text, uint64_t handle,
                          struct prefixes *ret)
{
    static const char *const all[MAX_PREFIXES] = {"0.0.0.0/0", "::/0"};
    const char *one[MAX_PREFIXES] = {text, NULL};
    bool everything = strcmp(text, "default") == 0;
    ret->n = 0;
    for (size_t i = 0; i < (everything ? MAX_PREFIXES : 1); i++) {
        struct pv_prefix p;
        if (pv_prefix_parse(everything ? all[i] : one[i], &p) != PV_OK) {
            if (!name_range(n, what, text, handle))
                pv_ctlsrv_failf(
                    n->ctl, handle, PV_CTLAPI_USAGE,
                    "%s: \"%.60s\" is no prefix: give one such as 192.168.1.0/24, or default for "
                    "everything",
                    what, text);
            return false;
        }
        if (!pv_route_is_valid(&p)) {
            pv_ctlsrv_failf(
                n->ctl, handle, PV_CTLAPI_USAGE,
                "%s: nobody can carry %.60s: give a prefix of /8 or longer (IPv6: /16) that is "
                "not loopback, link-local or multicast, or default",
                what, text);
            return false;
        }
        ret->p[ret->n++] = p;
    }
    return true;
}

/* Members carry the network's own range as it is. True: the client is answered. */
static bool is_own_range(struct pv_node *n, const char *what, const struct pv_prefix *p,
                         uint64_t handle)
{
    if (!pv_roster_has_range(n->roster, p))
        return false;
    pv_ctlsrv_failf(
        n->ctl, handle, PV_CTLAPI_USAGE,
        "%s: that is a part of the network's own range, in which members have their addresses: "
        "give a prefix outside of it",
        what);
    return true;
}

/* --- offers ----------------------------------------------------------------------------------- */

/* The place of the prefix in the list; the list's end when it is not there. */
static size_t find_offer(const struct pv_card *o, const struct pv_prefix *p)
{
    size_t i = 0;
    while (i < o->n_offers && pv_route_compare(&o->offers[i].prefix, p) != 0)
        i++;
    return i;
}

int pv_routesedit_say_again(struct pv_node *n, pv_ns now)
{
    struct pv_card o;
    pv_card_last(n, &o);
    for (size_t i = 0; i < o.n_offers; i++)
        o.offers[i].flags = pv_routes_reach(n, &o.offers[i]);
    return pv_card_offer(n, &o, now);
}

/* Asked, not demanded: who is no admin offers, and another one allows. */
static bool may_allow(const struct pv_node *n)
{
    return (pv_roster_rights(n->roster, n->identity->sign_pk) & PV_RIGHT_REVOKE) != 0;
}

/* A route that is allowed already needs no statement, whichever admin said it. */
static int allow(struct pv_node *n, const uint8_t *node, const struct pv_prefix *p, pv_ns now)
{
    struct pv_st_route route = {
        .kind = PV_ROUTE_ALLOW, .prefix = *p, .time = pv_node_wall_s(n, now)};
    struct pv_made made;
    if (pv_routes_is_allowed(n, node, p))
        return PV_OK;
    memcpy(route.node, node, sizeof(route.node));
    int r = pv_roster_free_slot(n->roster, n->identity->sign_pk, PV_ST_ROUTE, &route.slot);
    if (r == PV_OK)
        r = pv_make_route(pv_roster_network_id(n->roster), n->identity->sign_sk, &route, &made);
    return r == PV_OK ? pv_membership_say(n, pv_made_view(&made), now) : r;
}

/* Of all that may go wrong when signing, users can mend only the lack of room. */
static void answer(struct pv_node *n, const char *what, int status, uint64_t handle, pv_ns now)
{
    if (status == PV_OK)
        pv_admin_answer_when_told(n, handle, now);
    else if (status == PV_ERR_LIMIT)
        pv_ctlsrv_failf(
            n->ctl, handle, PV_CTLAPI_FAILED,
            "%s: there is no room for more: `p2pvpnctl route list` shows what can be taken back",
            what);
    else
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_FAILED, "%s: %s: try again", what,
                        pv_strstatus(status));
}

/* A node that carries everything uses nobody for it, so the offer would end what it uses. True: the
 * client is answered. */
static bool is_going_elsewhere(struct pv_node *n, const struct pv_prefix *p, uint64_t handle)
{
    char who[PV_NODE_WHO];
    const struct pv_routeuse *use = pv_routes_use(n);
    if (p->bits != 0 || !use->exit)
        return false;
    pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_REFUSED,
                    "exit offer: all of this machine goes by %s: `sudo p2pvpnctl exit off` first",
                    pv_node_who(n, use->exit_pk, who));
    return true;
}

/* An admin allows its own offers as well: there is nobody else whom it would have to ask. */
static void run_offer(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                      pv_ns now)
{
    static const char what[] = "route offer";
    struct pv_node *n = part;
    struct prefixes prefixes;
    struct pv_card o;
    int status = PV_OK;
    if (n->given.inside != 0) {
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_FAILED,
                        "%s: p2pvpnd --user carries nothing for others: a gateway or an exit is a "
                        "p2pvpnd that root starts",
                        what);
        return;
    }
    if (!pv_node_need_network(n, what, handle) ||
        !read_prefixes(n, what, req->u.route.prefix, handle, &prefixes) ||
        is_own_range(n, what, &prefixes.p[0], handle) ||
        is_going_elsewhere(n, &prefixes.p[0], handle))
        return;
    pv_card_last(n, &o);
    for (size_t i = 0; i < prefixes.n; i++) {
        size_t at = find_offer(&o, &prefixes.p[i]);
        if (at == PV_OFFERS_MAX) {
            pv_ctlsrv_failf(
                n->ctl, handle, PV_CTLAPI_FAILED,
                "%s: a node offers %d prefixes at most: `sudo p2pvpnctl route withdraw` makes room",
                what, (int)PV_OFFERS_MAX);
            return;
        }
        o.n_offers += at == o.n_offers ? 1 : 0;
        o.offers[at] =
            (struct pv_offer){.prefix = prefixes.p[i],
                              .flags = (uint8_t)((req->u.route.automatic ? PV_OFFER_AUTO : 0) |
                                                 (req->u.route.no_snat ? PV_OFFER_NO_NAT : 0))};
        o.offers[at].flags = pv_routes_reach(n, &o.offers[at]);
    }
    status = pv_card_offer(n, &o, now);
    for (size_t i = 0; i < prefixes.n && status == PV_OK && may_allow(n); i++)
        status = allow(n, n->identity->sign_pk, &prefixes.p[i], now);
    answer(n, what, status, handle, now);
}

/* The permission stays: who withdraws for a day need not ask an admin again. */
static void run_withdraw(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                         uint64_t handle, pv_ns now)
{
    static const char what[] = "route withdraw";
    struct pv_node *n = part;
    struct prefixes prefixes;
    struct pv_card o;
    size_t found = 0;
    if (!pv_node_need_network(n, what, handle) ||
        !read_prefixes(n, what, req->u.route.prefix, handle, &prefixes))
        return;
    pv_card_last(n, &o);
    for (size_t i = 0; i < prefixes.n; i++) {
        size_t at = find_offer(&o, &prefixes.p[i]);
        if (at == o.n_offers)
            continue;
        o.offers[at] = o.offers[--o.n_offers];
        found++;
    }
    if (found == 0) {
        pv_ctlsrv_failf(
            n->ctl, handle, PV_CTLAPI_FAILED,
            "%s: this node does not offer %.60s: `p2pvpnctl route list` shows what it offers", what,
            req->u.route.prefix);
        return;
    }
    answer(n, what, pv_card_offer(n, &o, now), handle, now);
}

/* --- permissions ------------------------------------------------------------------------------ */

/* Before the node offers it, too: then it is used as soon as it does. */
static void run_allow(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                      pv_ns now)
{
    static const char what[] = "route allow";
    struct pv_node *n = part;
    struct prefixes prefixes;
    int status = PV_OK;
    if (!pv_admin_may_sign(n, what, PV_RIGHT_REVOKE, handle) ||
        !read_prefixes(n, what, req->u.route.prefix, handle, &prefixes) ||
        is_own_range(n, what, &prefixes.p[0], handle))
        return;
    const uint8_t *node = pv_rulesedit_need_node(n, what, req->peer, handle);
    for (size_t i = 0; node != NULL && i < prefixes.n && status == PV_OK; i++)
        status = allow(n, node, &prefixes.p[i], now);
    if (node != NULL)
        answer(n, what, status, handle, now);
}

/* The first statement in force that allows it; another admin may have said so, too. */
static const struct pv_statement *find_permission(const struct pv_node *n, const uint8_t *node,
                                                  const struct pv_prefix *p)
{
    const struct pv_roster_entry *e = NULL;
    while ((e = pv_roster_next_route(n->roster, e)) != NULL) {
        if (memcmp(e->st.u.route.node, node, PV_SIGN_PK_LEN) == 0 &&
            pv_route_compare(&e->st.u.route.prefix, p) == 0)
            return &e->st;
    }
    return NULL;
}

/* Any admin may have said so: of two permissions both are taken back. */
static int take_back_all(struct pv_node *n, const uint8_t *node, const struct pv_prefix *p,
                         size_t *found, pv_ns now)
{
    const struct pv_statement *st;
    for (size_t left = TAKE_BACK_MAX; left > 0; left--, ++*found) {
        st = find_permission(n, node, p);
        int r = st == NULL ? PV_OK : pv_rulesedit_take_back(n, st, now);
        if (st == NULL || r != PV_OK)
            return r;
    }
    return PV_ERR_STATE;
}

/* Both default routes are denied together; that one of them was never allowed is no error. */
static void run_deny(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                     pv_ns now)
{
    static const char what[] = "route deny";
    struct pv_node *n = part;
    struct prefixes prefixes;
    size_t found = 0;
    int status = PV_OK;
    if (!pv_admin_may_sign(n, what, PV_RIGHT_REVOKE, handle) ||
        !read_prefixes(n, what, req->u.route.prefix, handle, &prefixes))
        return;
    const uint8_t *node = pv_rulesedit_need_known(n, what, req->peer, handle);
    for (size_t i = 0; node != NULL && i < prefixes.n && status == PV_OK; i++)
        status = take_back_all(n, node, &prefixes.p[i], &found, now);
    if (node != NULL && found == 0 && status == PV_OK)
        pv_ctlsrv_failf(
            n->ctl, handle, PV_CTLAPI_FAILED,
            "%s: nobody allowed %.70s to carry %.50s: `p2pvpnctl route list` shows what is allowed",
            what, req->peer, req->u.route.prefix);
    else if (node != NULL)
        answer(n, what, status, handle, now);
}

static const struct pv_command_handler commands[] = {
    {PV_CTLAPI_ROUTE_OFFER, PV_NEEDS_NOTHING, run_offer},
    {PV_CTLAPI_ROUTE_WITHDRAW, PV_NEEDS_NOTHING, run_withdraw},
    {PV_CTLAPI_ROUTE_ALLOW, PV_NEEDS_NOTHING, run_allow},
    {PV_CTLAPI_ROUTE_DENY, PV_NEEDS_NOTHING, run_deny},
};

const struct pv_part pv_part_routesedit = {
    .name = "routesedit",
    .commands = commands,
    .n_commands = PV_ARRAY_LEN(commands),
};
