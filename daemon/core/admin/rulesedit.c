/* SPDX-License-Identifier: MIT */
/* rulesedit.c - makes rules and tags, takes them back, and says what they mean. */
#include "daemon/core/admin/rulesedit.h"

#include <stdio.h>
#include <string.h>

#include "daemon/core/admin/admin.h"
#include "daemon/core/admin/ending.h"
#include "daemon/core/member/membership.h"
#include "daemon/core/member/rules.h"
#include "daemon/core/node/node.h"
#include "daemon/core/peer/peer_show.h"
#include "proto/local/ctlapi.h"
#include "proto/local/ctlapi_pack.h"
#include "proto/local/ctlapi_request.h"

#define STEP \
    (UINT64_C(1) << 32) /* ours: between the places of two rules, for others between them */

enum {
    TAKE_BACK_MAX = 256, /* ours: statements that say one and the same, of as many admins */
};

/* Of all that may go wrong when signing, users can mend the lack of slots, and of places. */
static void fail_made(struct pv_node *n, uint64_t handle, const char *what, int status)
{
    if (status == PV_ERR_LIMIT)
        pv_ctlsrv_failf(
            n->ctl, handle, PV_CTLAPI_FAILED,
            "%s: this node has said %d of them, which is all there is room for: take some back "
            "(`p2pvpnctl rules`), or let another admin say it",
            what, (int)PV_RULE_SLOTS);
    else if (status == PV_ERR_EXISTS)
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_FAILED,
                        "%s: the last rule stands where no other can stand behind it: remove that "
                        "one and make it again (`p2pvpnctl rules`)",
                        what);
    else
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_FAILED, "%s: %s: try again", what,
                        pv_strstatus(status));
}

/* --- whom a word means -------------------------------------------------------------------- */

/* The identity key of the member that text names, this node included; NULL: there is none. */
static const uint8_t *find_node(const struct pv_node *n, const char *text)
{
    const struct pv_member *m = pv_node_member(n, text);
    return m == NULL ? NULL : m->node;
}

const uint8_t *pv_rulesedit_need_node(struct pv_node *n, const char *what, const char *text,
                                      uint64_t handle)
{
    const uint8_t *node = find_node(n, text);
    if (node == NULL && !pv_peer_fail_known(n, text, what, handle))
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_UNKNOWN_PEER,
                        "%s: nobody is called %.70s: `p2pvpnctl peers` lists the members", what,
                        text);
    return node;
}

const uint8_t *pv_rulesedit_need_known(struct pv_node *n, const char *what, const char *text,
                                       uint64_t handle)
{
    const struct pv_member *m = n->roster == NULL ? NULL : pv_node_member(n, text);
    if (m == NULL && n->roster != NULL)
        m = pv_node_aside(n, text);
    if (m == NULL)
        m = pv_node_former_member(n, text);
    return m != NULL ? m->node : pv_rulesedit_need_node(n, what, text, handle);
}

/* The tag is a valid name, so it fits. */
static struct pv_selector tag_selector(const char *tag)
{
    struct pv_selector s = {.kind = PV_SELECT_TAG, .len = (uint8_t)strlen(tag)};
    memcpy(s.value, tag, s.len);
    return s;
}

/* "192.168.1.0/24", or an address of no member; false: it is neither. */
static bool read_prefix(const struct pv_node *n, const char *text, struct pv_prefix *ret)
{
    struct pv_addr ip;
    if (find_node(n, text) != NULL)
        return false;
    bool ok = pv_node_ip(text, &ip); /* also in brackets */
    if (ok)
        *ret = (struct pv_prefix){.base = ip, .bits = (uint8_t)(8 * pv_addr_ip_len(&ip))};
    return (ok || pv_prefix_parse(text, ret) == PV_OK) && pv_route_is_valid(ret);
}

/* The user of a tag may mean the machine that was called so. */
static bool is_former_name(struct pv_node *n, const char *what, const char *text, uint64_t handle)
{
    const struct pv_member *renamed = pv_node_renamed(n, text);
    if (renamed != NULL)
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_USAGE,
                        "%s: %.63s is a tag, and a member that is called %s now: say tag:%.63s or "
                        "%s",
                        what, text, renamed->name, text, renamed->name);
    else if (pv_node_former_member(n, text) != NULL)
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_USAGE,
                        "%s: %.63s is a tag, and a machine that is no member any more: say "
                        "tag:%.63s if the tag is meant",
                        what, text, text);
    else
        return false;
    return true;
}

/* "any", a member's name, address or key, "tag:NAME", or a tag that nobody's name is. A rule binds
 * to the member's key, so it stays about the same machine whatever that is called later. */
static bool select_who(struct pv_node *n, const char *what, const char *text, uint64_t handle,
                       struct pv_selector *ret)
{
    const struct pv_policy *policy = pv_rules_policy(n);
    const uint8_t *node = find_node(n, text);
    const char *word = strncmp(text, "tag:", 4) == 0 ? text + 4 : text;
    char tag[PV_NAME_BUF] = "";
    bool valid = pv_name_parse(word, strlen(word), tag) == PV_OK;
    bool is_tag = word != text || (valid && policy != NULL && pv_policy_has_tag(policy, tag));
    *ret = (struct pv_selector){.kind = PV_SELECT_ANY};
    if (strcmp(text, "any") == 0 || strcmp(text, "all") == 0) {
        /* A machine that joins chooses its name, and p2pvpnctl is not the only way to join. */
        if (node != NULL)
            pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_USAGE,
                            "%s: %s means everybody, and a member is called so: give that another "
                            "name first (`sudo p2pvpnctl rename %s NAME`)",
                            what, text, text);
        return node == NULL;
    }
    if (word != text && !valid) {
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_USAGE,
                        "%s: \"%.70s\" is no tag: use 1 to 63 of a-z 0-9 and -", what, word);
        return false;
    }
    if (node != NULL && is_tag && word == text) {
        pv_ctlsrv_failf(
            n->ctl, handle, PV_CTLAPI_USAGE,
            "%s: %.70s is a member and a tag: say tag:%.70s, or give the member's address", what,
            text, text);
        return false;
    }
    if (node == NULL && is_tag && word == text && is_former_name(n, what, text, handle))
        return false;
    struct pv_prefix prefix;
    if (node == NULL && strchr(text, '/') != NULL && read_prefix(n, text, &prefix)) {
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_USAGE,
                        "%s: FROM is no prefix such as %.60s, TO alone may be one: name the member "
                        "that packets come from, its tag as tag:NAME, or any",
                        what, text);
        return false;
    }
    if (node == NULL && !is_tag && strchr(text, '/') != NULL &&
        pv_prefix_parse(text, &prefix) == PV_OK) {
        pv_ctlsrv_failf(
            n->ctl, handle, PV_CTLAPI_USAGE,
            "%s: nobody can carry %.60s: give a prefix of /8 or longer (IPv6: /16) that "
            "is not loopback, link-local or multicast, or any",
            what, text);
        return false;
    }
    if (node == NULL && !is_tag && strchr(text, '/') != NULL) {
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_USAGE,
                        "%s: \"%.60s\" is no prefix: give the first address of a network and how "
                        "many bits of it count, as 192.168.1.0/24",
                        what, text);
        return false;
    }
    if (node == NULL && !is_tag) {
        if (pv_peer_fail_known(n, text, what, handle))
            return false;
        pv_ctlsrv_failf(
            n->ctl, handle, PV_CTLAPI_UNKNOWN_PEER,
            "%s: nobody is called %.70s: give a member (`p2pvpnctl peers`), a tag as tag:NAME, "
            "any, "
            "or, to reach it, a prefix such as 192.168.1.0/24",
            what, text);
        return false;
    }
    if (is_tag) {
        *ret = tag_selector(tag);
        return true;
    }
    ret->kind = PV_SELECT_NODE;
    ret->len = PV_SIGN_PK_LEN;
    memcpy(ret->value, node, PV_SIGN_PK_LEN);
    return true;
}

/* Whom or what a rule is about at its other end: networks behind members, too. */
static bool select_what(struct pv_node *n, const char *what, const char *text, uint64_t handle,
                        struct pv_selector *ret)
{
    struct pv_prefix prefix;
    if (!read_prefix(n, text, &prefix))
        return select_who(n, what, text, handle, ret);
    /* A prefix is about what is behind members. */
    if (pv_roster_has_range(n->roster, &prefix)) {
        if (prefix.bits == 8 * pv_addr_ip_len(&prefix.base))
            return select_who(n, what, PV_IP_STR(&prefix.base), handle, ret);
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_USAGE,
                        "%s: %.60s is a part of the network's own range: give members, tag:NAME or "
                        "any; a prefix is for what is behind them",
                        what, text);
        return false;
    }
    *ret = pv_selector_of_prefix(&prefix);
    return true;
}

/* Accounts are opened, never closed: a rule that denies sshd's port closes all of them. */
static bool read_logins(struct pv_node *n, const char *what, const char *text, uint64_t handle,
                        struct pv_st_rule *rule)
{
    const int r = pv_logins_parse(text, &rule->ports, &rule->logins);
    const bool fits = rule->kind == PV_RULE_ALLOW && rule->to.kind != PV_SELECT_PREFIX;
    if (r == PV_ERR_LIMIT)
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_USAGE,
                        "%s: at most %d characters of accounts fit in one rule: make two", what,
                        (int)PV_LOGINS_MAX);
    else if (r != PV_OK)
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_USAGE,
                        "%s: \"%.80s\" are no accounts: give ssh:ada,bob, or ssh/2222:ada for "
                        "another TCP port of sshd",
                        what, text);
    else if (rule->kind != PV_RULE_ALLOW)
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_USAGE,
                        "%s: only `allow` names accounts: deny sshd's port, such as ssh, or remove "
                        "the rule that opens the account",
                        what);
    else if (!fits)
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_USAGE,
                        "%s: accounts are those of members, not of hosts behind them", what);
    return r == PV_OK && fits;
}

static bool read_ports(struct pv_node *n, const char *what, const char *text, uint64_t handle,
                       struct pv_ports *ret)
{
    int r = pv_ports_parse(text, ret);
    if (r == PV_OK && pv_ports_have_zero(ret))
        r = PV_ERR_MALFORMED;
    if (r == PV_ERR_LIMIT)
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_USAGE,
                        "%s: at most %d ranges of ports fit in one rule: make two", what,
                        (int)PV_PORTS_MAX);
    else if (r != PV_OK)
        pv_ctlsrv_failf(
            n->ctl, handle, PV_CTLAPI_USAGE,
            "%s: \"%.80s\" are no ports: give all, ping, chat, files, ssh, tcp/22, udp/5000-5010, "
            "22 (TCP and UDP) or proto/47, with commas between, or ssh:ACCOUNT",
            what, text);
    return r == PV_OK;
}

/* --- saying ------------------------------------------------------------------------------- */

/* Into a slot in which nothing is in force any more. */
static int say_rule(struct pv_node *n, struct pv_st_rule *rule, pv_ns now)
{
    struct pv_made made;
    int r = pv_roster_free_slot(n->roster, n->identity->sign_pk, PV_ST_RULE, &rule->slot);
    rule->time = pv_node_wall_s(n, now);
    if (r == PV_OK)
        r = pv_make_rule(pv_roster_network_id(n->roster), n->identity->sign_sk, rule, &made);
    return r == PV_OK ? pv_membership_say(n, pv_made_view(&made), now) : r;
}

/* It takes its own word back in the same slot, which is free again then, and ends another admin's
 * by name. */
int pv_rulesedit_take_back(struct pv_node *n, const struct pv_statement *st, pv_ns now)
{
    struct pv_made made;
    int r = PV_ERR_LIMIT;
    if (memcmp(st->signer, n->identity->sign_pk, PV_SIGN_PK_LEN) == 0)
        r = pv_make_slot_empty(st, n->identity->sign_sk, pv_node_wall_s(n, now), &made);
    if (r == PV_ERR_LIMIT)
        r = pv_make_end(pv_roster_network_id(n->roster), pv_node_signer(n), st,
                        pv_node_wall_s(n, now), &made);
    return r == PV_OK ? pv_membership_say(n, pv_made_view(&made), now) : r;
}

/* --- who has which tag ------------------------------------------------------------------------ */

/* Tags are compared as they are written: they are names, in lower case. */
static bool has_tag(const struct pv_statement *st, const uint8_t *node, const char *tag)
{
    return st->type == PV_ST_TAG && strcmp(st->u.tag.tag, tag) == 0 &&
           memcmp(st->u.tag.node, node, PV_SIGN_PK_LEN) == 0;
}

/* The first statement in force that says so; another admin may have said it, too. */
static const struct pv_statement *find_tag(const struct pv_node *n, const uint8_t *node,
                                           const char *tag)
{
    const struct pv_roster_entry *e = NULL;
    while ((e = pv_roster_next_rule(n->roster, e)) != NULL && !has_tag(&e->st, node, tag))
        ;
    return e == NULL ? NULL : &e->st;
}

/* By the invite that the machine came by, as all who came by it. */
static const struct pv_statement *find_tag_of_invite(const struct pv_node *n, const uint8_t *node,
                                                     const char *tag)
{
    const uint8_t *by = pv_rules_came_by(n, node);
    return by == NULL ? NULL : find_tag(n, by, tag);
}

static int set_tag(struct pv_node *n, const uint8_t *node, const char *name, pv_ns now)
{
    struct pv_made made;
    int r = pv_rules_make_tag(n, node, name, now, &made);
    return r == PV_OK ? pv_membership_say(n, pv_made_view(&made), now) : r;
}

bool pv_rulesedit_give_tag(struct pv_node *n, const char *what,
                           const uint8_t node[static PV_SIGN_PK_LEN], const char *name,
                           uint64_t handle, pv_ns now)
{
    int r = PV_OK;
    if (!pv_admin_may_sign(n, what, PV_RIGHT_REVOKE, handle) ||
        !pv_rules_may_be_tag(n, what, name, handle))
        return false;
    if (find_tag(n, node, name) == NULL && find_tag_of_invite(n, node, name) == NULL)
        r = set_tag(n, node, name, now);
    if (r != PV_OK)
        fail_made(n, handle, what, r);
    return r == PV_OK;
}

/* --- one machine in another one's place ------------------------------------------------------- */

static bool is_node(const struct pv_selector *s, const uint8_t *pk)
{
    return s->kind == PV_SELECT_NODE && memcmp(s->value, pk, PV_SIGN_PK_LEN) == 0;
}

/* Puts `to` wherever the statement names `from`. False: nowhere. */
static bool rename_key(struct pv_statement *st, const uint8_t *from, const uint8_t *to)
{
    uint8_t *at[2] = {NULL, NULL};
    if (st->type == PV_ST_TAG && memcmp(st->u.tag.node, from, PV_SIGN_PK_LEN) == 0)
        at[0] = st->u.tag.node;
    if (st->type == PV_ST_ROUTE && memcmp(st->u.route.node, from, PV_SIGN_PK_LEN) == 0)
        at[0] = st->u.route.node;
    if (st->type == PV_ST_RULE && is_node(&st->u.rule.from, from))
        at[0] = st->u.rule.from.value;
    if (st->type == PV_ST_RULE && is_node(&st->u.rule.to, from))
        at[1] = st->u.rule.to.value;
    for (size_t i = 0; i < PV_ARRAY_LEN(at); i++)
        if (at[i] != NULL)
            memcpy(at[i], to, PV_SIGN_PK_LEN);
    return at[0] != NULL || at[1] != NULL;
}

/* The next one in force, routes behind rules. */
static const struct pv_roster_entry *next_said(const struct pv_roster *r,
                                               const struct pv_roster_entry *prev)
{
    const struct pv_roster_entry *x = NULL;
    if (prev == NULL || prev->st.type != PV_ST_ROUTE)
        x = pv_roster_next_rule(r, prev);
    return x != NULL ? x
                     : pv_roster_next_route(r, prev != NULL && prev->st.type == PV_ST_ROUTE ? prev
                                                                                            : NULL);
}

/* The tags of the invite that `from` came by: `to` came by another one, and has them by name. */
static int carry_tags_of_invite(struct pv_node *n, const uint8_t *from, const uint8_t *to,
                                pv_ns now)
{
    const struct pv_roster_entry *e = NULL;
    const uint8_t *by = pv_rules_came_by(n, from);
    int r = PV_OK;
    while (by != NULL && r == PV_OK && (e = pv_roster_next_rule(n->roster, e)) != NULL) {
        const struct pv_st_tag *t = &e->st.u.tag;
        if (!has_tag(&e->st, by, t->tag) || find_tag(n, to, t->tag) != NULL)
            continue;
        r = set_tag(n, to, t->tag, now);
        e = NULL; /* the list is another one */
    }
    return r;
}

/* The one in force that names `from` first; what was carried over names it no more. */
int pv_rulesedit_carry(struct pv_node *n, const uint8_t from[static PV_SIGN_PK_LEN],
                       const uint8_t to[static PV_SIGN_PK_LEN], pv_ns now)
{
    const struct pv_roster_entry *x = NULL;
    while ((x = next_said(n->roster, x)) != NULL) {
        struct pv_made_long made;
        struct pv_statement st = x->st;
        if (!rename_key(&st, from, to))
            continue;
        int r = pv_make_again(n->roster, pv_node_signer(n), &st, pv_node_wall_s(n, now), &made);
        if (r == PV_OK)
            r = pv_membership_say(n, pv_view(made.raw, made.len), now);
        if (r == PV_OK)
            r = pv_rulesedit_take_back(n, &x->st, now);
        if (r != PV_OK)
            return r;
        x = NULL; /* it may be gone; from the start, as there are few */
    }
    return carry_tags_of_invite(n, from, to, now);
}

int pv_rulesedit_drop_gateway(struct pv_node *n, const struct pv_addr *ip4, bool all, pv_ns now)
{
    const struct pv_roster_entry *e = NULL;
    while ((e = pv_roster_next_route(n->roster, e)) != NULL) {
        const struct pv_st_route *route = &e->st.u.route;
        const bool own = memcmp(e->st.signer, n->identity->sign_pk, PV_SIGN_PK_LEN) == 0;
        if (route->prefix.bits != 8 * PV_IP4_LEN || !pv_addr_equal_ip(&route->prefix.base, ip4) ||
            !(own || all))
            continue;
        int r = pv_rulesedit_take_back(n, &e->st, now);
        if (r != PV_OK)
            return r;
        e = NULL; /* the roster is another one */
    }
    return PV_OK;
}

/* A place before the rule of this number once that went `back`, or behind all (0). False: there is
 * none between two. */
static bool find_place(const struct pv_policy *p, size_t before, uint64_t back, uint64_t *ret_place)
{
    size_t n = pv_policy_count(p), last = before == 0 ? n : before - 1;
    uint64_t lo = last == 0 ? 0 : pv_policy_at(p, last)->place;
    uint64_t hi = before == 0 ? UINT64_MAX : pv_policy_at(p, before)->place + back;
    *ret_place = hi - lo > 2 * STEP && before == 0 ? lo + STEP : lo + (hi - lo) / 2;
    return *ret_place > lo;
}

/* The same rule at another place. */
static int move_rule(struct pv_node *n, const struct pv_statement *of, uint64_t place, pv_ns now)
{
    struct pv_made_long made;
    struct pv_statement st = *of, old = *of;
    st.u.rule.place = place;
    int r = pv_make_again(n->roster, pv_node_signer(n), &st, pv_node_wall_s(n, now), &made);
    if (r == PV_OK)
        r = pv_membership_say(n, pv_view(made.raw, made.len), now);
    return r == PV_OK ? pv_rulesedit_take_back(n, &old, now) : r;
}

/* Each rule halves what is left before another one. Where nothing is, that and those behind it go
 * back: the last one first, and of several at one place each to its own, so that the order is the
 * same all the while. PV_ERR_EXISTS: the last one stands where none can stand behind it. */
static int make_room(struct pv_node *n, size_t before, uint64_t *ret_place, pv_ns now)
{
    const struct pv_policy *p = pv_rules_policy(n);
    size_t i = pv_policy_count(p);
    if (before == 0 || pv_policy_at(p, i)->place > UINT64_MAX - 2 * STEP ||
        !find_place(p, before, STEP / 2, ret_place))
        return PV_ERR_EXISTS;
    uint64_t next = UINT64_MAX;
    int r = PV_OK;
    for (; i >= before && r == PV_OK; i--) {
        p = pv_rules_policy(n); /* it may be another one, in the same order */
        const struct pv_roster_entry *e = pv_roster_find(n->roster, pv_policy_at(p, i)->id);
        const uint64_t place = pv_policy_at(p, i)->place + STEP;
        next = place < next ? place : next - 1;
        r = e == NULL ? PV_OK : move_rule(n, &e->st, next, now);
    }
    return r;
}

/* Of all that have a tag, also who left and would come back without it. An invite that two of them
 * came by ends once, and no tag with it. */
static int shut_doors(struct pv_node *n, const char *tag, struct pv_ctlapi_told *told, pv_ns now)
{
    const struct pv_roster_entry *e = NULL;
    int r = PV_OK;
    while (r == PV_OK && (e = pv_roster_next_rule(n->roster, e)) != NULL) {
        struct pv_ctlapi_told one = {.online = 0};
        const struct pv_member *m = NULL;
        if (e->st.type == PV_ST_TAG && strcmp(e->st.u.tag.tag, tag) == 0)
            m = pv_roster_known(n->roster, e->st.u.tag.node);
        if (m != NULL)
            r = pv_ending_invite_of(n, m, false, &one, now);
        told->invites += one.invite == PV_CTLAPI_INVITE_ENDED;
    }
    return r;
}

/* A rule is about a key, and whom it denies something could come back with another one by the token
 * it has: the invite goes as with a removal. */
static int shut_door(struct pv_node *n, const struct pv_st_rule *rule, bool keep,
                     struct pv_ctlapi_told *told, pv_ns now)
{
    const struct pv_member *m = NULL;
    if (rule->kind != PV_RULE_DENY)
        return PV_OK;
    if (rule->from.kind == PV_SELECT_TAG)
        return keep ? PV_OK : shut_doors(n, (const char *)rule->from.value, told, now);
    if (rule->from.kind == PV_SELECT_NODE)
        m = pv_roster_known(n->roster, rule->from.value);
    return m == NULL ? PV_OK : pv_ending_invite_of(n, m, keep, told, now);
}

/* Has a member the tag, or will somebody who comes by an invite, or waits? The tag of a machine
 * that is gone is in force, and nobody's. */
static bool is_had(const struct pv_node *n, const struct pv_selector *s)
{
    const struct pv_roster_entry *e = NULL;
    while ((e = pv_roster_next_rule(n->roster, e)) != NULL) {
        const struct pv_st_tag *t = &e->st.u.tag;
        if (e->st.type == PV_ST_TAG && strcmp(t->tag, (const char *)s->value) == 0 &&
            (pv_roster_enrolled(n->roster, t->node) != NULL ||
             pv_roster_known(n->roster, t->node) == NULL))
            return true;
    }
    return false;
}

/* A mistyped tag, or one name twice, makes a rule that does nothing. */
static unsigned doubts_of(const struct pv_node *n, const struct pv_st_rule *rule)
{
    const struct pv_selector *from = &rule->from, *to = &rule->to;
    const struct pv_prefix *range = &pv_roster_network(n->roster)->range;
    const struct pv_prefix range6 = pv_network_ula(pv_roster_network_id(n->roster));
    struct pv_prefix prefix;
    unsigned doubts = 0;
    if (from->kind == PV_SELECT_NODE && is_node(to, from->value))
        doubts |= PV_CTLAPI_DOUBT_SELF;
    if (from->kind == PV_SELECT_TAG && !is_had(n, from))
        doubts |= PV_CTLAPI_DOUBT_FROM;
    if (to->kind == PV_SELECT_TAG && !is_had(n, to))
        doubts |= PV_CTLAPI_DOUBT_TO;
    /* The internet by an exit is meant as it is said. */
    if (pv_selector_prefix(to, &prefix) && prefix.bits > 0 &&
        (pv_prefix_contains(&prefix, &range->base) || pv_prefix_contains(&prefix, &range6.base)))
        doubts |= PV_CTLAPI_DOUBT_RANGE;
    return doubts;
}

static bool is_same_who(const struct pv_selector *a, const struct pv_selector *b)
{
    return a->kind == b->kind && a->len == b->len && memcmp(a->value, b->value, a->len) == 0;
}

/* Two lists of one order: others may mean the same and are another rule. */
static bool are_same_ports(const struct pv_ports *a, const struct pv_ports *b)
{
    size_t i = 0;
    while (i < a->n && i < b->n && a->v[i].proto == b->v[i].proto &&
           a->v[i].first == b->v[i].first && a->v[i].last == b->v[i].last)
        i++;
    return i == a->n && i == b->n;
}

/* The number of the rule that says the same of all that this one would be asked about; 0: none
 * does. One behind its place counts for nothing: what is between may say otherwise. */
static uint32_t find_same(const struct pv_policy *p, const struct pv_st_rule *rule, size_t before)
{
    size_t last = before == 0 ? pv_policy_count(p) : before - 1;
    for (size_t i = 1; i <= last; i++) {
        const struct pv_policy_rule *x = pv_policy_at(p, i);
        if (x->allow == (rule->kind == PV_RULE_ALLOW) && is_same_who(&x->from, &rule->from) &&
            is_same_who(&x->to, &rule->to) && are_same_ports(&x->ports, &rule->ports) &&
            strcmp(x->logins.names, rule->logins.names) == 0)
            return (uint32_t)i;
    }
    return 0;
}

static bool is_within(const struct pv_selector *who, const struct pv_selector *of)
{
    struct pv_prefix inner, outer;
    return of->kind == PV_SELECT_ANY || is_same_who(who, of) ||
           (pv_selector_prefix(who, &inner) && pv_selector_prefix(of, &outer) &&
            outer.bits <= inner.bits && pv_prefix_contains(&outer, &inner.base));
}

/* Of sets in their one form: a range of `some` lies in one of `all`, or partly outside. */
static bool are_within(const struct pv_ports *some, const struct pv_ports *all)
{
    size_t found = 0;
    for (size_t i = 0; i < some->n; i++) {
        for (size_t k = 0; k < all->n; k++) {
            const struct pv_port_range *x = &some->v[i], *of = &all->v[k];
            found += of->proto == PV_PORTS_PROTO_ALL ||
                     (of->proto == x->proto && of->first <= x->first && x->last <= of->last);
        }
    }
    return found == some->n;
}

/* A deny to a member or tag is also about what lies behind it as a gateway, and an allow is not. */
static bool is_to_within(const struct pv_st_rule *rule, const struct pv_policy_rule *x)
{
    const bool beyond = rule->kind != PV_RULE_ALLOW && x->allow &&
                        (rule->to.kind == PV_SELECT_NODE || rule->to.kind == PV_SELECT_TAG);
    return beyond ? x->to.kind == PV_SELECT_ANY : is_within(&rule->to, &x->to);
}

/* Does x open all accounts that the rule opens? */
static bool are_opened(const struct pv_st_rule *rule, const struct pv_policy_rule *x)
{
    char account[PV_LOGIN_MAX + 1];
    bool all = true;
    for (const char *at = rule->logins.names; pv_logins_next(&at, account);)
        all = all && pv_logins_have(&x->logins, account);
    return all;
}

/* A rule behind one that is about all of the same is hardly asked: most people meant it to go
 * before. Members gain and lose tags, so a tag covers nobody by name. */
static void find_deciding(const struct pv_policy *p, const struct pv_st_rule *rule, size_t before,
                          struct pv_ctlapi_told *told)
{
    size_t last = before == 0 ? pv_policy_count(p) + 1 : before;
    told->number = told->exists != 0 ? told->exists : (uint32_t)last;
    for (uint32_t i = 1; i < told->number && told->decided_by == 0; i++) {
        const struct pv_policy_rule *x = pv_policy_at(p, i);
        if (!is_within(&rule->from, &x->from) || !is_to_within(rule, x) ||
            !are_within(&rule->ports, &x->ports) || (x->allow && !are_opened(rule, x)))
            continue;
        told->decided_by = i;
        told->decides_same = x->allow == (rule->kind == PV_RULE_ALLOW);
    }
}

/* All that may be wrong is said before anything is signed: a rule that nobody meant would hold at
 * every node. */
static void run_add(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                    pv_ns now)
{
    struct pv_node *n = part;
    bool allow = strcmp(req->u.rule.verdict, "allow") == 0;
    struct pv_st_rule rule = {.kind = allow ? PV_RULE_ALLOW : PV_RULE_DENY};
    const char *what = allow ? "allow" : "deny";
    const struct pv_policy *policy = pv_rules_policy(n);
    if (!pv_admin_may_sign(n, what, PV_RIGHT_REVOKE, handle) ||
        !select_who(n, what, req->u.rule.from, handle, &rule.from) ||
        !select_what(n, what, req->u.rule.to, handle, &rule.to) ||
        !(pv_logins_are_meant(req->text) ? read_logins(n, what, req->text, handle, &rule)
                                         : read_ports(n, what, req->text, handle, &rule.ports)))
        return;
    if (!allow && strcmp(req->u.rule.verdict, "deny") != 0) {
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_USAGE, "rule_add: the verdict is allow or deny");
        return;
    }
    if (policy == NULL || req->u.rule.number > pv_policy_count(policy)) {
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_USAGE,
                        "%s: there is no rule %u: `p2pvpnctl rules` lists them", what,
                        req->u.rule.number);
        return;
    }
    struct pv_ctlapi_told told = {.doubts = doubts_of(n, &rule),
                                  .exists = find_same(policy, &rule, req->u.rule.number)};
    find_deciding(policy, &rule, req->u.rule.number, &told);
    int r = shut_door(n, &rule, req->u.rule.keep_invite, &told, now);
    if (r == PV_OK && told.exists == 0 && !find_place(policy, req->u.rule.number, 0, &rule.place))
        r = make_room(n, req->u.rule.number, &rule.place, now);
    if (r == PV_OK && told.exists == 0)
        r = say_rule(n, &rule, now);
    if (r == PV_OK)
        pv_admin_answer_with(n, handle, &told, now);
    else
        fail_made(n, handle, what, r);
}

/* By its number of this moment; the statement is what is taken back, whatever its number is by the
 * time others hear of it. */
static void run_remove(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                       uint64_t handle, pv_ns now)
{
    static const char what[] = "rules remove";
    struct pv_node *n = part;
    const struct pv_policy *policy = pv_rules_policy(n);
    if (!pv_admin_may_sign(n, what, PV_RIGHT_REVOKE, handle))
        return;
    if (policy == NULL || req->u.rule.number == 0 || req->u.rule.number > pv_policy_count(policy)) {
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_USAGE,
                        "%s: there is no rule %u: `p2pvpnctl rules` lists them", what,
                        req->u.rule.number);
        return;
    }
    const uint8_t *id = pv_policy_at(policy, req->u.rule.number)->id;
    /* Others may have made and removed rules since the list was read. */
    if (req->u.rule.id[0] != '\0' && strcmp(req->u.rule.id, PV_KEY_STR(id)) != 0) {
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_FAILED,
                        "%s: rule %u is another one by now: `p2pvpnctl rules` lists them", what,
                        req->u.rule.number);
        return;
    }
    const struct pv_roster_entry *e = pv_roster_find(n->roster, id);
    int r = e == NULL ? PV_ERR_NOT_FOUND : pv_rulesedit_take_back(n, &e->st, now);
    if (r == PV_OK)
        pv_admin_answer_when_told(n, handle, now);
    else
        fail_made(n, handle, what, r);
}

static bool denies_by_default(const struct pv_statement *st)
{
    return st->type == PV_ST_RULE && st->u.rule.kind == PV_RULE_DENY_DEFAULT;
}

/* Several admins may each have said that nothing is allowed by default: all of it is taken back. */
static int allow_by_default(struct pv_node *n, pv_ns now)
{
    const struct pv_roster_entry *e = NULL;
    int r = PV_OK;
    for (size_t left = TAKE_BACK_MAX; r == PV_OK && left > 0; left--) {
        e = NULL; /* the list is another one each time */
        while ((e = pv_roster_next_rule(n->roster, e)) != NULL && !denies_by_default(&e->st))
            ;
        if (e == NULL)
            return PV_OK;
        r = pv_rulesedit_take_back(n, &e->st, now);
    }
    return r == PV_OK ? PV_ERR_STATE : r;
}

/* To deny what is denied already needs no statement; to allow takes back every one that denies. */
static void run_default(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                        uint64_t handle, pv_ns now)
{
    static const char what[] = "rules default";
    struct pv_node *n = part;
    struct pv_st_rule rule = {.kind = PV_RULE_DENY_DEFAULT,
                              .ports = {.v = {{PV_PORTS_PROTO_ALL, 0, UINT16_MAX}}, .n = 1}};
    bool deny = strcmp(req->u.rule.verdict, "deny") == 0;
    int r = PV_OK;
    if (!pv_admin_may_sign(n, what, PV_RIGHT_REVOKE, handle))
        return;
    if (!deny && strcmp(req->u.rule.verdict, "allow") != 0) {
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_USAGE, "%s: give allow or deny", what);
        return;
    }
    const struct pv_policy *policy = pv_rules_policy(n);
    if (!deny)
        r = allow_by_default(n, now);
    else if (policy == NULL || !pv_policy_denies_by_default(policy))
        r = say_rule(n, &rule, now);
    if (r == PV_OK)
        pv_admin_answer_when_told(n, handle, now);
    else
        fail_made(n, handle, what, r);
}

/* --- tags --------------------------------------------------------------------------------- */

/* Any admin may have said so: of a tag that two have given, both are taken back. */
static int drop_tag(struct pv_node *n, const uint8_t *node, const char *name, pv_ns now)
{
    const struct pv_statement *st;
    int r = PV_OK;
    for (size_t left = TAKE_BACK_MAX; r == PV_OK && left > 0; left--) {
        st = find_tag(n, node, name);
        if (st == NULL)
            return PV_OK;
        r = pv_rulesedit_take_back(n, st, now);
    }
    return r == PV_OK ? PV_ERR_STATE : r;
}

/* The next machine that came by the invite and is there, but for one, without the tag of its own.
 */
static const uint8_t *next_untagged(const struct pv_node *n, const uint8_t *invite,
                                    const uint8_t *but, const char *tag)
{
    const struct pv_roster_entry *e = NULL;
    while ((e = pv_roster_next_let_in(n->roster, invite, e)) != NULL) {
        const uint8_t *node = e->st.u.member.node;
        if (memcmp(node, but, PV_SIGN_PK_LEN) != 0 && pv_roster_enrolled(n->roster, node) != NULL &&
            find_tag(n, node, tag) == NULL)
            return node;
    }
    return NULL;
}

/* One of those that came by an invite loses its tag: the others get it by name, and nobody comes by
 * that invite any more, who would be without it: neither a machine that waits to be admitted, nor
 * one that came in time where this node has not heard of it. */
static int drop_tag_of_invite(struct pv_node *n, const uint8_t *node, const char *tag,
                              struct pv_ctlapi_told *told, pv_ns now)
{
    struct pv_roster_invite inv;
    uint8_t copy[PV_SIGN_PK_LEN], other[PV_SIGN_PK_LEN];
    const uint8_t *next;
    memcpy(copy, node, sizeof(copy)); /* it may be the roster's, which changes */
    int r = pv_roster_invite(n->roster, pv_roster_known(n->roster, node)->admitted_by, &inv);
    if (r == PV_OK && !inv.revoked) {
        r = pv_ending_revoke(n, pv_node_signer(n), PV_REVOKE_INVITE, inv.invite, now);
        told->invite = PV_CTLAPI_INVITE_ENDED;
        told->uses_left = inv.used < inv.uses ? inv.uses - inv.used : 0;
        memcpy(told->invite_id, inv.invite, sizeof(told->invite_id));
    }
    while (r == PV_OK && (next = next_untagged(n, inv.invite, copy, tag)) != NULL) {
        memcpy(other, next, sizeof(other));
        r = set_tag(n, other, tag, now);
    }
    return r == PV_OK ? drop_tag(n, inv.invite, tag, now) : r;
}

static int untag(struct pv_node *n, const uint8_t *node, const char *tag,
                 struct pv_ctlapi_told *told, pv_ns now)
{
    int r = PV_OK;
    if (find_tag_of_invite(n, node, tag) != NULL)
        r = drop_tag_of_invite(n, node, tag, told, now);
    return r == PV_OK ? drop_tag(n, node, tag, now) : r;
}

/* Does some rule deny something to who has this tag? */
static bool is_denied(const struct pv_node *n, const char *tag)
{
    const struct pv_policy *p = pv_rules_policy(n);
    for (size_t i = 1; p != NULL && i <= pv_policy_count(p); i++) {
        const struct pv_policy_rule *rule = pv_policy_at(p, i);
        if (!rule->allow && rule->from.kind == PV_SELECT_TAG &&
            strcmp((const char *)rule->from.value, tag) == 0)
            return true;
    }
    return false;
}

/* A tag that is there already, or is taken from nobody, needs no statement. */
static void tag(struct pv_node *n, const struct pv_ctlapi_request *req, bool set, uint64_t handle,
                pv_ns now)
{
    const char *what = set ? "tag" : "untag";
    if (!pv_admin_may_sign(n, what, PV_RIGHT_REVOKE, handle))
        return;
    /* A machine that waits has its tag before it is let in, and so is never a member without. */
    const struct pv_member *aside =
        set && find_node(n, req->peer) == NULL ? pv_node_aside(n, req->peer) : NULL;
    const uint8_t *node = aside != NULL ? aside->node
                          : set         ? pv_rulesedit_need_node(n, what, req->peer, handle)
                                        : pv_rulesedit_need_known(n, what, req->peer, handle);
    if (node == NULL || (set && !pv_rules_may_be_tag(n, what, req->u.member.name, handle)))
        return;
    bool has = find_tag(n, node, req->u.member.name) != NULL ||
               find_tag_of_invite(n, node, req->u.member.name) != NULL;
    if (!set && !has) {
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_FAILED,
                        "%s: %.70s has no tag %s: `p2pvpnctl rules` lists the tags", what,
                        req->peer, req->u.member.name);
        return;
    }
    struct pv_ctlapi_told told = {.online = 0};
    const struct pv_member *m = set && !has ? pv_roster_by_node(n->roster, node) : NULL;
    int r = PV_OK;
    if (m != NULL && is_denied(n, req->u.member.name))
        r = pv_ending_invite_of(n, m, req->u.member.keep_invite, &told, now);
    if (r == PV_OK && set != has)
        r = set ? set_tag(n, node, req->u.member.name, now)
                : untag(n, node, req->u.member.name, &told, now);
    if (r == PV_OK)
        pv_admin_answer_with(n, handle, &told, now);
    else
        fail_made(n, handle, what, r);
}

static void run_tag(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                    pv_ns now)
{
    tag(part, req, true, handle, now);
}

static void run_untag(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                      pv_ns now)
{
    tag(part, req, false, handle, now);
}

/* --- can ---------------------------------------------------------------------------------- */

/* "rule 3: deny tag:guest any all", "the default", … */
static void say_why(const struct pv_node *n, struct pv_verdict v, char *text, size_t size)
{
    const struct pv_policy *policy = pv_rules_policy(n);
    char from[PV_RULES_WHO], to[PV_RULES_WHO];
    if (v.rule == PV_RULE_DEFAULT || v.rule > PV_RULES_MAX || policy == NULL) {
        snprintf(text, size, "%s", PV_RULE_STR(v.rule));
        return;
    }
    const struct pv_policy_rule *rule = pv_policy_at(policy, v.rule);
    snprintf(text, size, "%s: %s %s %s %s", PV_RULE_STR(v.rule), rule->allow ? "allow" : "deny",
             pv_rules_who(n, &rule->from, from), pv_rules_who(n, &rule->to, to),
             PV_ABOUT_STR(&rule->logins, &rule->ports));
}

/* One port, not many: a bare number is TCP's, as most people mean it. */
static bool read_port(struct pv_node *n, const char *text, uint64_t handle,
                      struct pv_port_range *ret)
{
    struct pv_ports ports;
    uint64_t number;
    if (pv_u64_parse(text, 1, UINT16_MAX, &number) == PV_OK) {
        *ret = (struct pv_port_range){PV_PORTS_TCP, (uint16_t)number, (uint16_t)number};
        return true;
    }
    int r = pv_ports_parse(text, &ports);
    bool one = r == PV_OK && ports.n == 1 && ports.v[0].proto != PV_PORTS_PROTO_ALL &&
               (ports.v[0].first == ports.v[0].last || ports.v[0].first == 0) &&
               !pv_ports_have_zero(&ports);
    if (one && ports.v[0].first != ports.v[0].last)
        one = ports.v[0].proto != PV_PORTS_TCP && ports.v[0].proto != PV_PORTS_UDP &&
              ports.v[0].proto != PV_PORTS_ICMP;
    if (!one)
        pv_ctlsrv_failf(
            n->ctl, handle, PV_CTLAPI_USAGE,
            "can: \"%.80s\" is not one port: give 22, udp/53, ping, proto/47, chat or files", text);
    else
        *ret = ports.v[0];
    return one;
}

/* The member that carries this address, by what is offered and allowed: the longest prefix. NULL:
 * nobody. An exit carries nothing private. Of several gateways each keeps the same rules, but for
 * those about itself. */
static const uint8_t *gateway_to(const struct pv_node *n, const struct pv_prefix *to)
{
    const struct pv_roster_entry *e = NULL, *best = NULL;
    while ((e = pv_roster_next_route(n->roster, e)) != NULL) {
        const struct pv_st_route *r = &e->st.u.route;
        const struct pv_st_card *card = pv_roster_card(n->roster, r->node);
        struct pv_view list = card == NULL ? pv_view(NULL, 0) : card->offers;
        struct pv_offer offer;
        bool offered = false;
        if (r->prefix.bits == 0 && pv_addr_is_private(&to->base))
            continue;
        while (!offered && pv_offerlist_next(&list, &offer))
            offered = pv_route_compare(&offer.prefix, &r->prefix) == 0;
        if (offered && r->prefix.bits <= to->bits && pv_prefix_contains(&r->prefix, &to->base) &&
            pv_roster_by_node(n->roster, r->node) != NULL &&
            (best == NULL || r->prefix.bits > best->st.u.route.prefix.bits))
            best = e;
    }
    return best == NULL ? NULL : best->st.u.route.node;
}

struct decision {
    struct pv_verdict v;
    struct pv_logins logins; /* the one account that is asked about, or none */
    struct pv_port_range port;
    const uint8_t *to; /* the node that keeps it */
    bool itself;       /* from and to are one machine, which asks no rule */
};

/* "ssh:ada", or a port. */
static bool read_about(struct pv_node *n, const char *text, bool beyond, uint64_t handle,
                       struct decision *ret)
{
    struct pv_ports ports;
    ret->logins = (struct pv_logins){.names = ""};
    if (!pv_logins_are_meant(text))
        return read_port(n, text, handle, &ret->port);
    if (beyond || pv_logins_parse(text, &ports, &ret->logins) != PV_OK ||
        strchr(ret->logins.names, ',') != NULL) {
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_USAGE,
                        "can: \"%.80s\" is not one account of a member: give ssh:ada", text);
        return false;
    }
    ret->port = ports.v[0];
    return true;
}

/* An account is open if a rule names it and the port that the rule names lets packets in. */
static struct pv_verdict decide_login(const struct pv_node *n, const uint8_t *from,
                                      const uint8_t *to, const char *account)
{
    const struct pv_policy *policy = pv_rules_policy(n);
    struct pv_verdict v = {.allow = false, .rule = PV_RULE_DEFAULT};
    if (policy != NULL)
        v = pv_policy_login(policy, from, to, account);
    if (!v.allow)
        return v;
    const uint16_t port = pv_policy_at(policy, v.rule)->ports.v[0].first;
    const struct pv_verdict way = pv_rules_decide(n, from, to, PV_PORTS_TCP, port);
    return way.allow ? v : way;
}

/* The rules' verdict on this way; false: the client is answered. */
static bool decide(struct pv_node *n, const struct pv_ctlapi_request *req, uint64_t handle,
                   struct decision *ret)
{
    struct pv_prefix prefix;
    const uint8_t *from = pv_rulesedit_need_node(n, "can", req->u.rule.from, handle);
    bool beyond = from != NULL && read_prefix(n, req->u.rule.to, &prefix);
    const uint8_t *to = from == NULL ? NULL
                        : beyond     ? gateway_to(n, &prefix)
                                     : pv_rulesedit_need_node(n, "can", req->u.rule.to, handle);
    if (beyond && to == NULL)
        pv_ctlsrv_failf(
            n->ctl, handle, PV_CTLAPI_UNKNOWN_PEER,
            "can: no member has %.50s, or carries it: `p2pvpnctl route list` shows what is carried",
            req->u.rule.to);
    if (to == NULL || !read_about(n, req->text, beyond, handle, ret))
        return false;
    ret->to = to;
    ret->itself = !beyond && memcmp(from, to, PV_SIGN_PK_LEN) == 0;
    if (ret->itself)
        ret->v =
            (struct pv_verdict){.allow = pv_logins_are_none(&ret->logins), .rule = PV_RULE_DEFAULT};
    else if (!pv_logins_are_none(&ret->logins))
        ret->v = decide_login(n, from, to, ret->logins.names);
    else if (beyond)
        ret->v = pv_rules_decide_beyond(n, from, to, &prefix, ret->port);
    else
        ret->v = pv_rules_decide(n, from, to, ret->port.proto, ret->port.first);
    return true;
}

/* About any two members: an admin asks here what others may do there. */
static void run_can(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                    pv_ns now)
{
    struct pv_node *n = part;
    struct decision d;
    char why[PV_CTLAPI_ERROR_BUF], text[PV_PORTS_TEXT];
    if (!decide(n, req, handle, &d))
        return;
    const bool login = !pv_logins_are_none(&d.logins);
    const struct pv_ports one = {.v = {d.port}, .n = 1};
    if (login && !d.v.allow && d.v.rule == PV_RULE_DEFAULT)
        snprintf(why, sizeof(why), "no rule names this account");
    else if (d.itself)
        snprintf(why, sizeof(why), "no rule: what a machine sends to itself asks none");
    else
        say_why(n, d.v, why, sizeof(why));
    unsigned rule = d.v.rule > PV_RULES_MAX ? 0 : d.v.rule;
    const struct pv_member *m = pv_roster_by_node(n->roster, d.to);
    pv_ctlsrv_answer(n->ctl, handle,
                     pv_ctlapi_pack("{s:b, s:o, s:s, s:s, s:s, s:s, s:s?, s:b, s:b, s:b}",
                                    "allowed", d.v.allow, "rule",
                                    rule == 0 ? json_null() : json_integer(rule), "from",
                                    req->u.rule.from, "to", req->u.rule.to, "port",
                                    login ? PV_LOGINS_STR(&d.logins, &one)
                                          : pv_ports_format_one(d.port.proto, d.port.first, text),
                                    "why", why, "peer", m == NULL ? NULL : m->name, "self",
                                    memcmp(d.to, n->identity->sign_pk, PV_SIGN_PK_LEN) == 0,
                                    "itself", d.itself, "login", login));
}

static const struct pv_command_handler commands[] = {
    {PV_CTLAPI_RULE_ADD, PV_NEEDS_NOTHING, run_add},
    {PV_CTLAPI_RULE_REMOVE, PV_NEEDS_NOTHING, run_remove},
    {PV_CTLAPI_RULES_DEFAULT, PV_NEEDS_NOTHING, run_default},
    {PV_CTLAPI_TAG, PV_NEEDS_NOTHING, run_tag},
    {PV_CTLAPI_UNTAG, PV_NEEDS_NOTHING, run_untag},
    {PV_CTLAPI_CAN, PV_NEEDS_NETWORK, run_can},
};

const struct pv_part pv_part_rulesedit = {
    .name = "rulesedit",
    .commands = commands,
    .n_commands = PV_ARRAY_LEN(commands),
};
