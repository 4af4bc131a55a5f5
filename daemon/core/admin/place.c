/* SPDX-License-Identifier: MIT */
/*
 * place.c - the part that gives members other names and addresses at the user's wish: `rename`,
 * `address set`, and `replace`, by which a reinstalled machine takes the place of its dead self.
 *
 * A node says it of itself, an admin of anybody (type 10, adr 0022). A name or address of somebody
 * else is refused here, before anything is signed; a node that loses the race for one has its first
 * one, and waits (adr 0112).
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/remedy.h"
#include "daemon/core/admin/admin.h"
#include "daemon/core/admin/ending.h"
#include "daemon/core/admin/rootkey.h"
#include "daemon/core/admin/rulesedit.h"
#include "daemon/core/member/membership.h"
#include "daemon/core/member/owed.h"
#include "daemon/core/node/part.h"
#include "daemon/core/peer/peer_show.h"
#include "daemon/core/peer/peers.h"
#include "proto/local/ctlapi.h"
#include "proto/local/ctlapi_request.h"
#include "proto/roster/roster_make.h"

enum {
    DAY_S = 86400,
};

static const char LAST_NUMBER[] = "its machine has signed the last number there is: remove it, "
                                  "and let it join again after `sudo p2pvpnctl leave --forget`";

/* Every refusal names the command, as p2pvpnctl prints it alone. */
static void fail(struct pv_node *n, uint64_t handle, enum pv_ctlapi_code code, const char *what,
                 const char *text)
{
    pv_ctlsrv_failf(n->ctl, handle, code, "%s: %s", what, text);
}

/* The member that is meant: req->peer, or this node where none is named. NULL: it was answered why
 * there is none, or that this node may not say it. */
static const struct pv_member *subject(struct pv_node *n, const struct pv_ctlapi_request *req,
                                       const char *what, uint64_t handle)
{
    const struct pv_member *self;
    const struct pv_peer *p;
    if (!pv_node_need_network(n, what, handle))
        return NULL;
    self = pv_node_self(n);
    if (self != NULL && (req->peer[0] == '\0' || pv_node_is_self(n, req->peer))) {
        if (!n->up)
            fail(n, handle, PV_CTLAPI_FAILED, what, PV_STR("this node is down: %s", PV_DO_STR(up)));
        return n->up ? self : NULL;
    }
    p = pv_peer_need(n, req->peer, what, PV_NEEDS_MEMBER, handle);
    if (p == NULL ||
        (!pv_rootkey_is_here(n) && !pv_admin_may_sign(n, what, PV_RIGHT_INVITE, handle)))
        return NULL;
    return pv_roster_by_node(n->roster, pv_peer_pk(p));
}

/* The word of the node itself, or of root or an admin about another one. */
static int sign_place(struct pv_node *n, const struct pv_st_place *place, struct pv_made *ret_made)
{
    bool own = memcmp(place->node, n->identity->sign_pk, sizeof(place->node)) == 0;
    return pv_make_place(pv_roster_network_id(n->roster),
                         own ? pv_node_signer(n) : pv_rootkey_signer(n), place, ret_made);
}

static int say_place(struct pv_node *n, struct pv_st_place *place, struct pv_made *ret_made,
                     pv_ns now)
{
    place->serial = pv_roster_next_serial(n->roster, place->node);
    place->time = pv_node_wall_s(n, now);
    int r = sign_place(n, place, ret_made);
    return r == PV_OK ? pv_membership_say(n, pv_made_view(ret_made), now) : r;
}

/* The contents of the statement; who it is about, its number and its time follow at the signing. */
static struct pv_st_place at(const char *name, const struct pv_addr *ip4)
{
    struct pv_st_place to = {.serial = 0};
    snprintf(to.name, sizeof(to.name), "%s", name);
    memcpy(to.ip4, ip4->ip, sizeof(to.ip4));
    return to;
}

/* Is the member where this says? A machine that has signed the last number there is would let
 * nobody say anything after it. */
static bool is_there(const struct pv_node *n, const struct pv_st_place *place)
{
    const struct pv_member *m = pv_roster_by_node(n->roster, place->node);
    return m != NULL && strcmp(m->name, place->name) == 0 &&
           memcmp(m->ip4.ip, place->ip4, sizeof(place->ip4)) == 0;
}

/* Or will it be, when the coordinator gives a receipt? Its own new address needs one. */
static bool is_on_its_way(const struct pv_node *n, const struct pv_st_place *place,
                          const struct pv_made *made)
{
    uint8_t hash[PV_STATEMENT_HASH_LEN];
    pv_statement_hash(pv_made_view(made), hash);
    return memcmp(place->node, n->identity->sign_pk, sizeof(place->node)) == 0 &&
           pv_roster_find(n->roster, hash) != NULL &&
           pv_roster_next_serial(n->roster, place->node) > place->serial;
}

/* Others may let in by address, so an address that another machine had rests; of one that a member
 * has today move() says so. False: the client is told. */
static bool has_rested(struct pv_node *n, const struct pv_member *m, const uint8_t *ip4,
                       const char *what, uint64_t handle, pv_ns now)
{
    const struct pv_addr ip = pv_addr4(ip4[0], ip4[1], ip4[2], ip4[3], 0);
    uint64_t until = pv_roster_ip4_rests(n->roster, ip4, m->node), wall = pv_node_wall_s(n, now);
    if (pv_roster_by_ip(n->roster, &ip) != NULL)
        return true;
    if (until > wall)
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_REFUSED,
                        "%s: another machine had that address until lately, so it is given to "
                        "nobody for %" PRIu64 " days more; choose another, or give its whole "
                        "place to a machine with `sudo p2pvpnctl node replace`",
                        what, (until - wall + DAY_S - 1) / DAY_S);
    return until <= wall;
}

/* Has all that was said of where the member is a receipt? Of words without one the newest alone are
 * kept, also of those that count for nothing. */
static bool is_all_stored(const struct pv_node *n, const struct pv_member *m)
{
    const struct pv_roster_entry *x = NULL;
    while ((x = pv_roster_next_entry(n->roster, x)) != NULL) {
        if (x->st.type == PV_ST_PLACE && x->receipt.len == 0 &&
            memcmp(x->st.u.place.node, m->node, sizeof(m->node)) == 0)
            return false;
    }
    return true;
}

/* The request that a change of place answers. */
struct order {
    const char *what;
    uint64_t handle;
    struct pv_ctlapi_told told; /* beside the change itself */
};

/* Moves a member to this name and address. It must be free, or the statement would be for nothing.
 * The coordinator may refuse the address, or be away, so the name is said without it first, unless
 * it is said already and stored. */
static void move(struct pv_node *n, const struct pv_member *m, const struct pv_st_place *to,
                 const struct order *o, pv_ns now)
{
    const char *name = to->name;
    const uint8_t *ip4 = to->ip4;
    struct pv_st_place place = *to;
    const struct pv_st_network *net = pv_roster_network(n->roster);
    struct pv_made made;
    /* A machine that waits to be admitted may want what this one has, and gets it from nobody. */
    if ((strcmp(name, m->name) != 0 && !pv_roster_name_is_free(n->roster, name, m->node)) ||
        strcmp(name, net->name) == 0) {
        pv_ctlsrv_failf(n->ctl, o->handle, PV_CTLAPI_REFUSED,
                        "%s: %s is taken: it is, or was at first, the name of another member, or "
                        "that of the network. Choose another name.",
                        o->what, name);
        return;
    }
    if (!pv_ip4_is_usable(&net->range, pv_load_be32(ip4)) ||
        (memcmp(ip4, m->ip4.ip, PV_IP4_LEN) != 0 &&
         !pv_roster_ip4_is_free(n->roster, ip4, m->node))) {
        pv_ctlsrv_failf(n->ctl, o->handle, PV_CTLAPI_REFUSED,
                        "%s: that address is another member's, or not one for members in %s, of "
                        "which the first and the last are nobody's: choose another",
                        o->what, PV_PREFIX_STR(&net->range));
        return;
    }
    if (memcmp(m->ip4.ip, ip4, sizeof(place.ip4)) != 0 && pv_roster_gateway(n->roster, m) != NULL) {
        fail(n, o->handle, PV_CTLAPI_REFUSED, o->what,
             "that is a phone, and the file of its app has its address: remove it and export it "
             "anew");
        return;
    }
    memcpy(place.node, m->node, sizeof(place.node));
    int r = PV_OK;
    if (m == pv_node_self(n) && memcmp(ip4, m->ip4.ip, sizeof(place.ip4)) != 0 &&
        (strcmp(name, m->name) != 0 || !is_all_stored(n, m))) {
        struct pv_st_place named = at(name, &m->ip4);
        memcpy(named.node, m->node, sizeof(named.node));
        r = say_place(n, &named, &made, now);
    }
    if (r == PV_OK)
        r = say_place(n, &place, &made, now);
    struct pv_ctlapi_told told = o->told;
    told.pending = r == PV_OK && !is_there(n, &place);
    if (r == PV_OK && (!told.pending || is_on_its_way(n, &place, &made)))
        pv_admin_answer_with(n, o->handle, &told, now);
    else
        fail(n, o->handle, PV_CTLAPI_FAILED, o->what,
             place.serial == UINT64_MAX ? LAST_NUMBER
             : r != PV_OK               ? pv_strstatus(r)
                          : "another machine was first: `p2pvpnctl peers`, then again");
}

/* A statement says name and address: what this node has asked for while the coordinator is away is
 * asked for with the next order, too. NULL: nothing. */
static const struct pv_st_place *wish_of(const struct pv_node *n, const struct pv_member *m)
{
    return m == pv_node_self(n) ? pv_owed_wish(n) : NULL;
}

static void run_rename(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                       uint64_t handle, pv_ns now)
{
    struct pv_node *n = part;
    const struct pv_member *m = subject(n, req, "rename", handle);
    if (m == NULL)
        return;
    struct pv_st_place to = at(req->u.member.name, &m->ip4);
    const struct pv_st_place *wish = wish_of(n, m);
    if (wish != NULL)
        memcpy(to.ip4, wish->ip4, sizeof(to.ip4));
    move(n, m, &to, &(struct order){.what = "rename", .handle = handle}, now);
}

static void run_address_set(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                            uint64_t handle, pv_ns now)
{
    static const char what[] = "address set";
    struct pv_node *n = part;
    struct pv_addr ip4;
    if (pv_addr_parse_ip(req->u.member.address, &ip4) != PV_OK || ip4.family != PV_AF_INET) {
        fail(n, handle, PV_CTLAPI_USAGE, what, "give an IPv4 address such as 10.66.0.9");
        return;
    }
    const struct pv_member *m = subject(n, req, what, handle);
    if (m == NULL)
        return;
    const struct pv_st_place *wish = wish_of(n, m);
    struct pv_st_place to = at(wish == NULL ? m->name : wish->name, &ip4);
    if (!has_rested(n, m, ip4.ip, what, handle, now))
        return;
    move(n, m, &to, &(struct order){.what = what, .handle = handle}, now);
}

/* A machine that claims name or address of the old one in vain, or waits with it to be admitted,
 * would be before the new one. False: the client is told. */
static bool nobody_waits(struct pv_node *n, const struct pv_member *old,
                         const struct pv_member *fresh, uint64_t handle)
{
    char text[PV_ROSTER_REFUSED];
    const struct pv_roster_entry *e = NULL;
    while ((e = pv_roster_next_refused(n->roster, e, n->identity->sign_pk, text)) != NULL) {
        if (!pv_roster_waits_for(n->roster, e, old) ||
            memcmp(pv_st_subject(&e->st), fresh->node, PV_SIGN_PK_LEN) == 0)
            continue;
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_REFUSED, "replace: it would get that then: %s",
                        text);
        return false;
    }
    if (pv_roster_name_is_free(n->roster, old->name, old->node) &&
        pv_roster_ip4_is_free(n->roster, old->ip4.ip, old->node))
        return true;
    pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_REFUSED,
                    "replace: a machine that waits to be admitted wants name or address of %s, "
                    "too: `sudo p2pvpnctl admit` or `deny` first",
                    old->name);
    return false;
}

/* The user hears of a surprise before anything is done. */
static bool may_replace(struct pv_node *n, const struct pv_ctlapi_request *req,
                        const struct pv_member *old, const struct pv_member *fresh, uint64_t handle)
{
    const struct pv_peer *p = pv_peers_by_pk(n->peers, old->node);
    bool online = p != NULL && pv_peer_reach(p) != PV_REACH_NO;
    if (!req->u.member.force && online)
        pv_ctlsrv_failf(
            n->ctl, handle, PV_CTLAPI_REFUSED,
            "replace: %s is online, and would be removed for good: name the machine that is "
            "gone first and the reinstalled one behind it (`p2pvpnctl node -h`), or "
            "say --force",
            old->name);
    else if (pv_roster_gateway(n->roster, fresh) != NULL)
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_REFUSED,
                        "replace: %s is a phone, and the file of its app has its address: remove "
                        "both and export it anew",
                        fresh->name);
    else if (!req->u.member.force && old->rights != 0 && fresh->rights == 0 &&
             !pv_rootkey_is_here(n))
        pv_ctlsrv_failf(
            n->ctl, handle, PV_CTLAPI_REFUSED,
            "replace: %s is an admin, and its rights stay with its key, as the root "
            "key is not here: do it there, or with --force, and there `sudo p2pvpnctl admin "
            "grant %s`",
            old->name, old->name);
    else if (pv_roster_next_serial(n->roster, fresh->node) == UINT64_MAX)
        fail(n, handle, PV_CTLAPI_REFUSED, "replace", LAST_NUMBER);
    else
        return true;
    return false;
}

/* The network's words about the old machine become those about the new one. A phone's carrier has
 * nothing more to carry: the new one is a member that comes by itself. */
static int carry_over(struct pv_node *n, const uint8_t *old, const uint8_t *fresh, bool rights,
                      pv_ns now)
{
    const struct pv_member *m = pv_roster_by_node(n->roster, old);
    const struct pv_addr ip4 = m->ip4;
    int r = PV_OK;
    if (pv_roster_gateway(n->roster, m) != NULL)
        r = pv_rulesedit_drop_gateway(n, &ip4, true, now);
    if (r == PV_OK)
        r = pv_rulesedit_carry(n, old, fresh, now);
    if (r == PV_OK && rights && pv_rootkey_is_here(n))
        r = pv_rootkey_grant(n, fresh, now);
    return r;
}

/* The old one is removed for good, which frees what it had; then the new one is there. */
static void run_replace(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                        uint64_t handle, pv_ns now)
{
    static const char what[] = "replace";
    struct pv_node *n = part;
    const struct pv_member *fresh = pv_roster_by_name(n->roster, req->u.member.name);
    const struct pv_member *old = pv_roster_by_node(n->roster, pv_peer_pk(p));
    uint8_t old_pk[PV_SIGN_PK_LEN];
    if (!pv_admin_may_sign(n, what, PV_RIGHT_INVITE | PV_RIGHT_REVOKE, handle))
        return;
    if (fresh == NULL && pv_peer_fail_known(n, req->u.member.name, what, handle))
        return;
    if (fresh == NULL || old == NULL || fresh == old) {
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_UNKNOWN_PEER,
                        "replace: no other member is called %s: the reinstalled machine joins "
                        "first, by any name",
                        req->u.member.name);
        return;
    }
    if (!may_replace(n, req, old, fresh, handle) || !nobody_waits(n, old, fresh, handle))
        return;
    struct pv_st_place to = at(old->name, &old->ip4);
    struct order order = {.what = what, .handle = handle};
    memcpy(old_pk, old->node, sizeof(old_pk));
    int r = carry_over(n, old_pk, fresh->node, old->rights != 0 && fresh->rights == 0, now);
    old = pv_roster_by_node(n->roster, old_pk);
    if (r == PV_OK && old != NULL)
        r = pv_ending_invite_of(n, old, false, &order.told, now);
    if (r == PV_OK)
        r = pv_ending_remove(n, old_pk, now);
    fresh = pv_roster_by_name(n->roster, req->u.member.name);
    if (r != PV_OK || fresh == NULL)
        fail(n, handle, PV_CTLAPI_FAILED, what,
             r == PV_ERR_LIMIT ? "this node has said as many rules as there is room for: let "
                                 "another admin do it, or take some back (`p2pvpnctl rules`)"
                               : pv_strstatus(r));
    else
        move(n, fresh, &to, &order, now);
}

static const struct pv_command_handler commands[] = {
    {PV_CTLAPI_RENAME, PV_NEEDS_NOTHING, run_rename},
    {PV_CTLAPI_ADDRESS_SET, PV_NEEDS_NOTHING, run_address_set},
    {PV_CTLAPI_REPLACE, PV_NEEDS_MEMBER, run_replace},
};

const struct pv_part pv_part_place = {
    .name = "place",
    .commands = commands,
    .n_commands = PV_ARRAY_LEN(commands),
};
