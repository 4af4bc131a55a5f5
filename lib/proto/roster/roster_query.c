/* SPDX-License-Identifier: MIT */
/*
 * roster_query.c - answers questions about a roster, gives its events, and makes what two rosters
 * compare. Answers are those of the last settling, which pv_roster_poll_event() does first.
 */
#include <string.h>

#include "proto/roster/roster_int.h"

const uint8_t *pv_roster_network_id(const struct pv_roster *r)
{
    return r->record->pub.st.network_id;
}

const uint8_t *pv_roster_root(const struct pv_roster *r)
{
    return r->root;
}

const struct pv_st_network *pv_roster_network(const struct pv_roster *r)
{
    return &r->record->pub.st.u.network;
}

bool pv_roster_has_range(const struct pv_roster *r, const struct pv_prefix *p)
{
    const struct pv_prefix nets[] = {pv_roster_network(r)->range,
                                     pv_network_ula(pv_roster_network_id(r))};
    for (size_t i = 0; i < PV_ARRAY_LEN(nets); i++) {
        if (p->bits >= nets[i].bits && pv_prefix_contains(&nets[i], &p->base))
            return true;
    }
    return false;
}

/* pub is the first member of struct pv_roster_item. NULL of NULL. */
static const struct pv_roster_item *item_of(const struct pv_roster_entry *entry)
{
    return (const struct pv_roster_item *)(const void *)entry;
}

/* --- members --------------------------------------------------------------------------------- */

static const struct pv_member *member_of(const struct pv_roster_key *k)
{
    return k == NULL ? NULL : &k->member;
}

/* A node that has expired keeps what it has, and is no member. */
static const struct pv_member *active_of(const struct pv_roster_key *k)
{
    return k == NULL || k->member.state != PV_MEMBER_ACTIVE ? NULL : &k->member;
}

const struct pv_member *pv_roster_known(const struct pv_roster *r,
                                        const uint8_t node[static PV_SIGN_PK_LEN])
{
    const struct pv_roster_key *k = pv_roster_key(r, node);
    return k != NULL && k->is_node ? &k->member : NULL;
}

const struct pv_member *pv_roster_by_node(const struct pv_roster *r,
                                          const uint8_t node[static PV_SIGN_PK_LEN])
{
    return active_of(pv_roster_key(r, node));
}

const struct pv_member *pv_roster_enrolled(const struct pv_roster *r,
                                           const uint8_t node[static PV_SIGN_PK_LEN])
{
    const struct pv_roster_key *k = pv_roster_key(r, node);
    return k != NULL && (k->member.state == PV_MEMBER_ACTIVE || k->in.aside) ? &k->member : NULL;
}

uint64_t pv_roster_time(const struct pv_roster *r)
{
    return r->time;
}

static bool is_free(const struct pv_roster *r, const uint8_t *node,
                    enum pv_roster_binding_kind kind, const void *value, size_t len)
{
    const struct pv_roster_value *v = pv_roster_value(r, kind, value, len);
    const struct pv_roster_key *k = pv_roster_key(r, node);
    if (v == NULL)
        return true;
    if (v->owner != NULL && v->owner->key != k)
        return false;
    return v->wanted == (k != NULL && k->waits != NULL && k->waits->values[kind] == v ? 1u : 0u);
}

const struct pv_member *pv_roster_by_name(const struct pv_roster *r, const char *name)
{
    const struct pv_member *m =
        active_of(pv_roster_owner(r, PV_ROSTER_BIND_NAME, name, strnlen(name, PV_NAME_BUF)));
    /* A member keeps the name that it had at first from others, although it has another one. */
    return m == NULL || strcmp(m->name, name) == 0 ? m : NULL;
}

bool pv_roster_name_is_free(const struct pv_roster *r, const char *name,
                            const uint8_t node[static PV_SIGN_PK_LEN])
{
    return is_free(r, node, PV_ROSTER_BIND_NAME, name, strnlen(name, PV_NAME_BUF));
}

bool pv_roster_ip4_is_free(const struct pv_roster *r, const uint8_t ip4[static PV_IP4_LEN],
                           const uint8_t node[static PV_SIGN_PK_LEN])
{
    return is_free(r, node, PV_ROSTER_BIND_IP4, ip4, PV_IP4_LEN);
}

const struct pv_member *pv_roster_by_ip(const struct pv_roster *r, const struct pv_addr *ip)
{
    if (ip->family == PV_AF_INET) {
        const struct pv_member *m =
            active_of(pv_roster_owner(r, PV_ROSTER_BIND_IP4, ip->ip, PV_IP4_LEN));
        return m == NULL || pv_addr_equal_ip(&m->ip4, ip) ? m : NULL;
    }
    return ip->family == PV_AF_INET6
               ? active_of(pv_roster_owner(r, PV_ROSTER_BIND_IP6, ip->ip, PV_IP6_LEN))
               : NULL;
}

const struct pv_member *pv_roster_by_transport(const struct pv_roster *r,
                                               const uint8_t transport[static PV_DH_LEN])
{
    const struct pv_member *m =
        active_of(pv_roster_owner(r, PV_ROSTER_BIND_TRANSPORT, transport, PV_DH_LEN));
    /* A member keeps the key that it had at first from others, although it uses another one. */
    return m == NULL || memcmp(m->transport, transport, PV_DH_LEN) == 0 ? m : NULL;
}

bool pv_roster_had_transport(const struct pv_roster *r, const uint8_t node[static PV_SIGN_PK_LEN],
                             const uint8_t transport[static PV_DH_LEN])
{
    const struct pv_roster_key *k = pv_roster_key(r, node);
    if (k == NULL)
        return false;
    for (const struct pv_roster_item *e = k->kept[PV_ROSTER_QUOTA_TRANSPORT]; e != NULL;
         e = e->next_kept) {
        if (memcmp(e->pub.st.u.transport.transport, transport, PV_DH_LEN) == 0)
            return true;
    }
    for (const struct pv_roster_item *e = k->kept[PV_ROSTER_QUOTA_MEMBER]; e != NULL;
         e = e->next_kept) {
        if (memcmp(e->pub.st.u.member.transport, transport, PV_DH_LEN) == 0)
            return true;
    }
    return false;
}

/* By key and not by pointer, so that the owner may keep its place while the roster changes. */
const struct pv_member *pv_roster_next(const struct pv_roster *r, const struct pv_member *prev)
{
    if (prev == NULL)
        return member_of(r->active);
    const struct pv_roster_key *k = pv_roster_key(r, prev->node);
    return k == NULL ? NULL : member_of(k->next_active);
}

size_t pv_roster_count_aside(const struct pv_roster *r)
{
    return r->n_aside;
}

const struct pv_member *pv_roster_next_aside(const struct pv_roster *r,
                                             const struct pv_member *prev)
{
    if (prev == NULL)
        return member_of(r->aside);
    const struct pv_roster_key *k = pv_roster_key(r, prev->node);
    return k == NULL || !k->in.aside ? NULL : member_of(k->next_active);
}

/* When a claim was made, or ended: by its receipt, else by its own word. */
static uint64_t time_of(const struct pv_roster_item *e)
{
    return e->receipt != NULL ? e->receipt->time : pv_st_time(&e->pub.st);
}

static uint64_t latest(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* When a node let go of what it had and has no more: its last move, leave or removal; 0: it was
 * never a member. */
static uint64_t let_go_at(const struct pv_roster *r, const struct pv_roster_key *k)
{
    uint64_t at = 0;

    if (k->member.state == PV_MEMBER_NONE || k->member.state == PV_MEMBER_WAITING)
        return 0;
    for (const struct pv_roster_item *e = k->about; e != NULL; e = e->next_about) {
        if ((e->pub.st.type == PV_ST_PLACE && !pv_roster_is_void_place(r, e)) ||
            e->pub.st.type == PV_ST_LEAVE || (e->pub.st.type == PV_ST_REVOCATION && e->effective))
            at = latest(at, time_of(e));
    }
    if (k->member.state != PV_MEMBER_REVOKED || k->revoked_node)
        return at;
    /* It went with its invite, or with the admin who let it in. */
    for (const struct pv_roster_item *m = k->kept[PV_ROSTER_QUOTA_MEMBER]; m != NULL;
         m = m->next_kept) {
        for (const struct pv_roster_item *e = m->signer->about; e != NULL; e = e->next_about)
            if (e->pub.st.type == PV_ST_REVOCATION && e->effective)
                at = latest(at, time_of(e));
    }
    return at;
}

uint64_t pv_roster_gone(const struct pv_roster *r, const uint8_t node[static PV_SIGN_PK_LEN])
{
    const struct pv_roster_key *k = pv_roster_key(r, node);
    return k == NULL ? 0 : let_go_at(r, k);
}

static bool could_count(const struct pv_roster *r, const struct pv_roster_item *e);
static uint64_t let_go_of(const struct pv_roster *r, const struct pv_roster_item *claim,
                          enum pv_roster_binding_kind kind);

/* Was the claim in vain, as k had the address before it and beyond its end? */
static bool was_kept_by(const struct pv_roster *r, const struct pv_roster_key *k,
                        const struct pv_roster_item *e)
{
    const enum pv_roster_binding_kind kind = PV_ROSTER_BIND_IP4;

    if (k == NULL)
        return false;
    for (const struct pv_roster_item *x = k->kept[PV_ROSTER_QUOTA_PLACE]; x != NULL;
         x = x->next_kept) {
        if (x->values[kind] == e->values[kind] && pv_roster_goes_first(x, e) &&
            let_go_of(r, x, kind) >= let_go_of(r, e, kind))
            return true;
    }
    return false;
}

uint64_t pv_roster_ip4_rests(const struct pv_roster *r, const uint8_t ip4[static PV_IP4_LEN],
                             const uint8_t node[static PV_SIGN_PK_LEN])
{
    const struct pv_roster_value *v = pv_roster_value(r, PV_ROSTER_BIND_IP4, ip4, PV_IP4_LEN);
    const struct pv_roster_key *k = pv_roster_key(r, node);
    uint64_t at = 0;

    for (const struct pv_roster_item *e = v == NULL ? NULL : r->first; e != NULL; e = e->next) {
        if (e->values[PV_ROSTER_BIND_IP4] == v && e->subject != k && could_count(r, e) &&
            !was_kept_by(r, k, e))
            at = latest(at, let_go_at(r, e->subject));
    }
    return at == 0 ? 0 : at > UINT64_MAX - PV_ROSTER_REST ? UINT64_MAX : at + PV_ROSTER_REST;
}

/* Could its node ever be a member, or where it says, by this? One that asked and was denied had
 * nothing. */
static bool could_count(const struct pv_roster *r, const struct pv_roster_item *e)
{
    const struct pv_roster_key *k = e->subject;
    const struct pv_roster_item *claim = pv_roster_next_best(k, PV_ROSTER_QUOTA_MEMBER, NULL);
    const struct pv_st_invite *terms = claim == NULL ? NULL : pv_roster_terms(r, claim);

    if (claim == NULL || (terms != NULL && (terms->flags & PV_INVITE_APPROVAL) != 0 &&
                          pv_roster_find_admission(r, k) == NULL))
        return false;
    return e->pub.st.type != PV_ST_PLACE || pv_roster_place_counts(r, k, claim, e);
}

/* Had this other node the value, and has it no more? A claim that never counted, because somebody
 * else had it, is none: its node is no member, and never was one. */
static bool has_lost(const struct pv_roster_key *k, enum pv_roster_binding_kind kind,
                     const struct pv_roster_value *v)
{
    if (k->member.state == PV_MEMBER_ACTIVE || k->member.state == PV_MEMBER_EXPIRED) {
        const struct pv_roster_item *by = pv_roster_has_by(k, kind);
        return by == NULL || by->values[kind] != v;
    }
    return k->member.state != PV_MEMBER_NONE && k->member.state != PV_MEMBER_WAITING;
}

static int find_former(const struct pv_roster *r, const struct pv_member *m,
                       enum pv_roster_binding_kind kind, struct pv_roster_former *ret_former)
{
    const struct pv_roster_key *holder = pv_roster_key(r, m->node);
    const struct pv_roster_item *best = NULL;

    if (holder == NULL || !holder->claim.wins)
        return PV_ERR_NOT_FOUND;
    const struct pv_roster_item *by = pv_roster_has_by(holder, kind);
    const struct pv_roster_value *v = by->values[kind];
    if (v->refs == 1)
        return PV_ERR_NOT_FOUND; /* nobody else ever claimed it */
    uint64_t since = time_of(by);
    /* A claim that comes later in order was in vain. */
    for (const struct pv_roster_item *e = r->first; e != NULL; e = e->next) {
        if (e->values[kind] != v || e->subject == holder || !pv_roster_goes_first(e, by) ||
            !has_lost(e->subject, kind, v) || !could_count(r, e))
            continue;
        if (best == NULL || pv_roster_goes_first(best, e))
            best = e;
    }
    if (best == NULL)
        return PV_ERR_NOT_FOUND;
    /* A node that goes and comes back is the same one: its first claim since then counts. */
    for (const struct pv_roster_item *e = r->first; e != NULL; e = e->next) {
        if (e->values[kind] == v && e->subject == holder && time_of(e) >= time_of(best) &&
            time_of(e) < since)
            since = time_of(e);
    }
    memcpy(ret_former->node, best->subject->pk, sizeof(ret_former->node));
    ret_former->since = since;
    return PV_OK;
}

int pv_roster_former(const struct pv_roster *r, const struct pv_member *m,
                     struct pv_roster_former *ret_former)
{
    return find_former(r, m, PV_ROSTER_BIND_NAME, ret_former);
}

/* When the node of this claim let go of the value: by its next place with another one, else when it
 * went, with which alone it lets go of its first one. */
static uint64_t let_go_of(const struct pv_roster *r, const struct pv_roster_item *claim,
                          enum pv_roster_binding_kind kind)
{
    uint64_t at = let_go_at(r, claim->subject);
    if (claim->pub.st.type == PV_ST_MEMBER)
        return at;
    for (const struct pv_roster_item *e = claim->subject->kept[PV_ROSTER_QUOTA_PLACE]; e != NULL;
         e = e->next_kept) {
        if (pv_st_number(&e->pub.st) > pv_st_number(&claim->pub.st) &&
            e->values[kind] != claim->values[kind] && !pv_roster_is_void_place(r, e) &&
            time_of(e) < at)
            at = time_of(e);
    }
    return at;
}

/* Of two claims of a name one was refused while the other held it, so the one that let go of it
 * later had it later. */
const struct pv_member *pv_roster_last_holder(const struct pv_roster *r, const char *name)
{
    const struct pv_roster_item *found = NULL;
    uint64_t latest_end = 0;
    const struct pv_roster_value *v =
        pv_roster_value(r, PV_ROSTER_BIND_NAME, (const uint8_t *)name, strlen(name));
    const struct pv_member *owner = v == NULL || v->owner == NULL ? NULL : member_of(v->owner->key);
    if (owner != NULL && owner->state == PV_MEMBER_ACTIVE && strcmp(owner->name, name) != 0)
        return owner;                        /* its first name */
    uint32_t left = v == NULL ? 0 : v->refs; /* claims of it: the walk ends behind the last */
    for (const struct pv_roster_item *e = r->first; e != NULL && left > 0; e = e->next) {
        if (e->values[PV_ROSTER_BIND_NAME] != v)
            continue;
        left--;
        const struct pv_member *m = &e->subject->member;
        const bool is_former = m->state == PV_MEMBER_LEFT || m->state == PV_MEMBER_REVOKED;
        if (!is_former && (m->state != PV_MEMBER_ACTIVE || strcmp(m->name, name) == 0))
            continue;
        const uint64_t end = let_go_of(r, e, PV_ROSTER_BIND_NAME);
        if (!could_count(r, e) || (found != NULL && end < latest_end) ||
            (found != NULL && end == latest_end && pv_roster_goes_first(e, found)))
            continue;
        found = e;
        latest_end = end;
    }
    return found == NULL ? NULL : &found->subject->member;
}

int pv_roster_former_ip4(const struct pv_roster *r, const struct pv_member *m,
                         struct pv_roster_former *ret_former)
{
    return find_former(r, m, PV_ROSTER_BIND_IP4, ret_former);
}

bool pv_member_is_ephemeral(const struct pv_member *m)
{
    return m->lifetime > 0 && m->lifetime < PV_ROSTER_EPHEMERAL_BELOW;
}

size_t pv_roster_count(const struct pv_roster *r)
{
    return r->n_active;
}

uint8_t pv_roster_rights(const struct pv_roster *r, const uint8_t pk[static PV_SIGN_PK_LEN])
{
    const struct pv_roster_key *k = pv_roster_key(r, pk);
    return k == NULL ? 0 : pv_roster_rights_of(k);
}

bool pv_roster_in_force(const struct pv_roster_entry *entry)
{
    return item_of(entry)->effective || entry->st.type == PV_ST_COORDINATORS;
}

/* --- phones ----------------------------------------------------------------------------------- */

/* A member that has rights, or a p2pvpnd, is not to be spoken for, whatever an admin signs. */
static bool may_have_gateway(const struct pv_member *m)
{
    return m->rights == 0 && m->abilities == 0;
}

static bool is_about(const struct pv_st_route *route, const struct pv_addr *ip)
{
    return route->prefix.bits == 8 * PV_IP4_LEN && pv_addr_equal_ip(&route->prefix.base, ip) &&
           ip->family == PV_AF_INET;
}

static bool was_said_before(const struct pv_statement *a, const struct pv_statement *b)
{
    if (a->u.route.time != b->u.route.time)
        return a->u.route.time < b->u.route.time;
    return memcmp(a->hash, b->hash, sizeof(a->hash)) < 0;
}

/* Only of the key that let the phone in: another admin, who may remove it, shall not have somebody
 * else speak for it. A permission that is older than the phone is about another one, which had the
 * address before. */
const struct pv_member *pv_roster_gateway(const struct pv_roster *r, const struct pv_member *m)
{
    const struct pv_roster_entry *e = NULL, *first = NULL;
    const struct pv_member *by = NULL;

    if (!may_have_gateway(m))
        return NULL;
    while ((e = pv_roster_next_route(r, e)) != NULL) {
        const struct pv_member *one = pv_roster_by_node(r, e->st.u.route.node);
        if (one == NULL || one == m || !is_about(&e->st.u.route, &m->ip4) ||
            memcmp(e->st.signer, m->admitted_by, sizeof(m->admitted_by)) != 0 ||
            e->st.u.route.time < m->issued ||
            (first != NULL && !was_said_before(&e->st, &first->st)))
            continue;
        first = e;
        by = one;
    }
    return by;
}

const struct pv_member *pv_roster_names_gateway(const struct pv_roster *r,
                                                const struct pv_statement *st,
                                                const struct pv_member **ret_phone)
{
    const struct pv_member *m = pv_roster_by_ip(r, &st->u.route.prefix.base);
    if (m == NULL || !is_about(&st->u.route, &m->ip4))
        return NULL;
    *ret_phone = m;
    return pv_roster_gateway(r, m);
}

const uint8_t *pv_roster_lost_gateway(const struct pv_roster *r, const struct pv_member *m)
{
    const struct pv_roster_entry *e = NULL;
    if (!may_have_gateway(m) || pv_roster_gateway(r, m) != NULL)
        return NULL;
    while ((e = pv_roster_next_route(r, e)) != NULL) {
        const struct pv_st_route *route = &e->st.u.route;
        if (is_about(route, &m->ip4) && route->time >= m->issued &&
            pv_roster_by_node(r, route->node) == NULL)
            return route->node;
    }
    return NULL;
}

/* --- statements ------------------------------------------------------------------------------ */

bool pv_roster_is_lasting(const struct pv_roster *r, const struct pv_roster_entry *entry)
{
    const struct pv_roster_item *e = item_of(entry);
    return e->signer == r->record->signer || pv_roster_is_ordered(e->receipt);
}

bool pv_roster_was_admin(const struct pv_roster *r, const uint8_t pk[static PV_SIGN_PK_LEN])
{
    const struct pv_roster_key *k = pv_roster_key(r, pk);
    return k != NULL && k->grants != NULL;
}

bool pv_roster_would_end(const struct pv_roster *r, const struct pv_statement *st)
{
    const struct pv_roster_item e = {.pub.st = *st,
                                     .signer = pv_roster_key(r, st->signer),
                                     .subject = pv_roster_key(r, pv_st_subject(st))};
    return e.signer != NULL && pv_roster_was_in_office(r, &e);
}

const struct pv_roster_entry *pv_roster_next_grant(const struct pv_roster *r,
                                                   const uint8_t pk[static PV_SIGN_PK_LEN],
                                                   const struct pv_roster_entry *prev)
{
    const struct pv_roster_key *k = pv_roster_key(r, pk);
    const struct pv_roster_item *e = prev != NULL ? item_of(prev)->next_office
                                     : k != NULL  ? k->grants
                                                  : NULL;

    while (e != NULL && e->ended_by != NULL)
        e = e->next_office;
    return e == NULL ? NULL : &e->pub;
}

const struct pv_roster_entry *pv_roster_next_proof(const struct pv_roster *r,
                                                   const uint8_t pk[static PV_SIGN_PK_LEN],
                                                   const struct pv_roster_entry *prev)
{
    const struct pv_roster_key *k = pv_roster_key(r, pk);
    if (pv_roster_next_grant(r, pk, NULL) != NULL)
        return pv_roster_next_grant(r, pk, prev);
    const struct pv_roster_item *e = prev != NULL ? item_of(prev)->next_office
                                     : k != NULL  ? k->grants
                                                  : NULL;
    return e == NULL ? NULL : &e->pub;
}

/* Did the key say this, and is it not shown to be of before since? */
static bool is_word_of(const struct pv_roster_item *word, const uint8_t *pk, uint64_t since)
{
    return word != NULL && memcmp(word->signer->pk, pk, PV_SIGN_PK_LEN) == 0 &&
           !(pv_roster_is_ordered(word->receipt) && word->receipt->time < since);
}

bool pv_roster_rests_on(const struct pv_roster *r, const struct pv_member *m,
                        const uint8_t pk[static PV_SIGN_PK_LEN], uint64_t since)
{
    const struct pv_roster_key *k = pv_roster_key(r, m->node);
    const struct pv_roster_item *word = k == NULL ? NULL : k->claim.item, *invite = NULL;

    if (word != NULL && pv_roster_needs_receipt(word->signer, PV_ST_MEMBER))
        word = invite = pv_roster_invite_entry(r, word->signer);
    return is_word_of(word, pk, since) ||
           (invite != NULL && (invite->pub.st.u.invite.flags & PV_INVITE_APPROVAL) != 0 &&
            is_word_of(pv_roster_find_admission(r, k), pk, since));
}

const struct pv_roster_entry *pv_roster_admission(const struct pv_roster *r,
                                                  const uint8_t node[static PV_SIGN_PK_LEN])
{
    const struct pv_roster_key *k = pv_roster_key(r, node);
    const struct pv_roster_item *e = k == NULL ? NULL : pv_roster_find_admission(r, k);
    return e == NULL ? NULL : &e->pub;
}

const struct pv_roster_entry *pv_roster_coordinators_record(const struct pv_roster *r)
{
    return r->in_force == NULL ? NULL : &r->in_force->pub;
}

struct pv_view pv_roster_coordinators(const struct pv_roster *r)
{
    return r->in_force == NULL ? pv_view(NULL, 0) : r->in_force->pub.st.u.coordinators.list;
}

const struct pv_roster_entry *pv_roster_next_record(const struct pv_roster *r,
                                                    const struct pv_roster_entry *prev)
{
    const struct pv_roster_item *e = prev == NULL ? r->records : item_of(prev)->next_record;
    return e == NULL ? NULL : &e->pub;
}

static uint64_t number_behind(uint64_t serial)
{
    return serial == UINT64_MAX ? UINT64_MAX : serial + 1;
}

/* Refused statements count too: a node must not sign two different ones with one serial. So does a
 * place that somebody else says out of office, as the order of ends may still put it before the end
 * - but for one far above all others, by which a former admin would use up the numbers. */
uint64_t pv_roster_next_serial(const struct pv_roster *r, const uint8_t node[static PV_SIGN_PK_LEN])
{
    const struct pv_roster_key *k = pv_roster_key(r, node);
    uint64_t next = 0, beside = 0;

    for (const struct pv_roster_item *e = k == NULL ? NULL : k->about; e != NULL;
         e = e->next_about) {
        if (pv_kind_of(e->pub.st.type)->number != 0 && !pv_roster_is_void_place(r, e))
            next = latest(next, number_behind(pv_st_number(&e->pub.st)));
    }
    for (const struct pv_roster_item *e = k == NULL ? NULL : k->about; e != NULL;
         e = e->next_about) {
        uint64_t serial = pv_st_number(&e->pub.st);
        if (pv_roster_is_void_place(r, e) && (serial < next || serial - next <= UINT32_MAX))
            beside = latest(beside, number_behind(serial));
    }
    return latest(next, beside);
}

/* Did no other node ever claim this address? */
static bool is_unused(const struct pv_roster *r, const uint8_t *node, const uint8_t *ip4)
{
    const struct pv_roster_value *v = pv_roster_value(r, PV_ROSTER_BIND_IP4, ip4, PV_IP4_LEN);
    const struct pv_roster_key *k = pv_roster_key(r, node);
    uint32_t own = 0;

    if (v == NULL || k == NULL)
        return v == NULL;
    for (const struct pv_roster_item *e = k->kept[PV_ROSTER_QUOTA_MEMBER]; e != NULL;
         e = e->next_kept)
        own += e->values[PV_ROSTER_BIND_IP4] == v;
    for (const struct pv_roster_item *e = k->kept[PV_ROSTER_QUOTA_PLACE]; e != NULL;
         e = e->next_kept)
        own += e->values[PV_ROSTER_BIND_IP4] == v;
    return own == v->refs;
}

/* Notes in each address that somebody claimed when it was let go last. */
static void find_let_go(const struct pv_roster *r)
{
    for (const struct pv_roster_item *e = r->first; e != NULL; e = e->next) {
        if (e->values[PV_ROSTER_BIND_IP4] != NULL)
            e->values[PV_ROSTER_BIND_IP4]->let_go = 0;
    }
    for (const struct pv_roster_item *e = r->first; e != NULL; e = e->next) {
        struct pv_roster_value *v = e->values[PV_ROSTER_BIND_IP4];
        if (v != NULL)
            v->let_go = latest(v->let_go, let_go_at(r, e->subject));
    }
}

/* The node that wants an address, and what the caller has promised already. */
struct search {
    const struct pv_roster *r;
    const uint8_t *node;
    bool (*taken)(const void *ctx, uint32_t ip4);
    const void *ctx;
};

static bool may_give(const struct search *s, uint32_t ip4, uint8_t be[static PV_IP4_LEN])
{
    pv_store_be32(be, ip4);
    return is_free(s->r, s->node, PV_ROSTER_BIND_IP4, be, PV_IP4_LEN) &&
           (s->taken == NULL || !s->taken(s->ctx, ip4));
}

/* Where all have been used: the one that was let go first. */
static int find_rested(const struct search *s, const struct pv_prefix *range, uint32_t own,
                       uint32_t *ret_ip4)
{
    const struct pv_roster_value *best = NULL;
    uint8_t be[PV_IP4_LEN];

    find_let_go(s->r);
    for (uint32_t n = 0; n < pv_ip4_tries(range); n++) {
        uint32_t ip4 = pv_ip4_try(range, own, n);
        const struct pv_roster_value *v =
            may_give(s, ip4, be) ? pv_roster_value(s->r, PV_ROSTER_BIND_IP4, be, sizeof(be)) : NULL;
        if (v != NULL && (best == NULL || v->let_go < best->let_go)) {
            best = v;
            *ret_ip4 = ip4;
        }
    }
    return best != NULL ? PV_OK : PV_ERR_LIMIT;
}

/* Each node begins its search at an address of its own (from its key), so that two nodes that join
 * at once rarely ask for the same one. `taken` lets a coordinator reserve what it has promised but
 * not yet seen signed. */
int pv_roster_free_ip4(const struct pv_roster *r, const uint8_t node[static PV_SIGN_PK_LEN],
                       bool (*taken)(const void *ctx, uint32_t ip4), const void *ctx,
                       uint32_t *ret_ip4)
{
    const struct search s = {.r = r, .node = node, .taken = taken, .ctx = ctx};
    const struct pv_prefix *range = &pv_roster_network(r)->range;
    uint32_t own = pv_ip4_first(range, node);
    uint8_t be[PV_IP4_LEN];

    for (uint32_t n = 0; n < pv_ip4_tries(range); n++) {
        uint32_t ip4 = pv_ip4_try(range, own, n);
        if (may_give(&s, ip4, be) && is_unused(r, node, be)) {
            *ret_ip4 = ip4;
            return PV_OK;
        }
    }
    return find_rested(&s, range, own, ret_ip4);
}

/* --- invites --------------------------------------------------------------------------------- */

static void describe_invite(const struct pv_roster *r, const struct pv_roster_key *k,
                            const struct pv_roster_item *e, struct pv_roster_invite *ret_invite)
{
    const struct pv_st_invite *st = &e->pub.st.u.invite;
    struct pv_roster_invite inv = {
        .not_before = st->not_before,
        .not_after = st->not_after,
        .uses = st->uses,
        .used = k->claims,
        .flags = st->flags,
        .lifetime = st->lifetime,
        .revoked = k->revoked_invite || !pv_roster_signer_counts(r, e, NULL),
    };
    memcpy(inv.invite, k->pk, sizeof(inv.invite));
    memcpy(inv.signer, e->signer->pk, sizeof(inv.signer));
    *ret_invite = inv;
}

int pv_roster_invite(const struct pv_roster *r, const uint8_t invite[static PV_SIGN_PK_LEN],
                     struct pv_roster_invite *ret_invite)
{
    const struct pv_roster_key *k = pv_roster_key(r, invite);
    const struct pv_roster_item *e = k == NULL ? NULL : pv_roster_invite_entry(r, k);

    if (e == NULL)
        return PV_ERR_NOT_FOUND;
    describe_invite(r, k, e, ret_invite);
    return PV_OK;
}

/* The order is that of the hash table's insertions, which stays as long as nothing is added. */
int pv_roster_next_invite(const struct pv_roster *r, const void **iter,
                          struct pv_roster_invite *ret_invite)
{
    const struct pv_roster_key *k =
        *iter == NULL ? r->keys : ((const struct pv_roster_key *)*iter)->hh.next;

    while (k != NULL && !k->is_invite)
        k = k->hh.next;
    if (k == NULL)
        return PV_ERR_NOT_FOUND;
    *iter = k;
    const struct pv_roster_item *e = pv_roster_invite_entry(r, k);
    if (e == NULL)
        return PV_ERR_NOT_FOUND;
    describe_invite(r, k, e, ret_invite);
    return PV_OK;
}

/* Was the node of this claim ever let in by the invite that signed it? */
static bool let_in(const struct pv_roster *r, const struct pv_roster_item *claim)
{
    const struct pv_st_invite *terms = pv_roster_terms(r, claim);
    if (claim->subject->member.state == PV_MEMBER_NONE)
        return false;
    return terms == NULL || terms->flags == 0 ||
           pv_roster_find_admission(r, claim->subject) != NULL;
}

/* A node may have claimed by one invite several times: one of these claims stands for all. */
static bool stands_for_all(const struct pv_roster_item *claim)
{
    const struct pv_roster_item *e = claim->subject->kept[PV_ROSTER_QUOTA_MEMBER];
    while (e->signer != claim->signer)
        e = e->next_kept;
    return e == claim;
}

const struct pv_roster_entry *pv_roster_next_let_in(const struct pv_roster *r,
                                                    const uint8_t invite[static PV_SIGN_PK_LEN],
                                                    const struct pv_roster_entry *prev)
{
    const struct pv_roster_key *k = prev != NULL ? NULL : pv_roster_key(r, invite);
    const struct pv_roster_item *e = prev != NULL ? item_of(prev)->next_issued
                                     : k != NULL  ? k->issued
                                                  : NULL;
    while (e != NULL && (e->pub.st.type != PV_ST_MEMBER || !stands_for_all(e) || !let_in(r, e)))
        e = e->next_issued;
    return e == NULL ? NULL : &e->pub;
}

/* A node that used the invite before may use it again: its statement may have been lost on the way
 * back, and a second joining costs no further use. */
int pv_roster_check_invite(const struct pv_roster *r, const uint8_t invite[static PV_SIGN_PK_LEN],
                           const uint8_t node[static PV_SIGN_PK_LEN], uint64_t wall)
{
    const struct pv_roster_key *k = pv_roster_key(r, invite);
    const struct pv_roster_key *n = pv_roster_key(r, node);
    const struct pv_roster_item *e = k == NULL ? NULL : pv_roster_invite_entry(r, k);

    if (e == NULL)
        return PV_ERR_NOT_FOUND;
    if ((n != NULL && n->revoked_node) ||
        (k->revoked_invite && !pv_roster_stays(k, PV_REVOKE_INVITE, node)) ||
        !pv_roster_signer_counts(r, e, node))
        return PV_ERR_REFUSED;
    if (!pv_roster_in_window(&e->pub.st.u.invite, wall))
        return PV_ERR_EXPIRED;
    bool again = n != NULL && pv_roster_claims_by(n, k) > 0;
    return again || k->claims < e->pub.st.u.invite.uses ? PV_OK : PV_ERR_EXPIRED;
}

/* The checks of a member statement that the roster does not hold; signer and node are what it knows
 * of these keys, NULL = nothing. */
static int check_new_member(const struct pv_roster *r, const struct pv_statement *st,
                            const struct pv_roster_key *signer, const struct pv_roster_key *node,
                            uint64_t wall)
{
    const struct pv_st_member *m = &st->u.member;

    if (signer == NULL || !pv_roster_signer_may(r, signer, st))
        return PV_ERR_NOT_FOUND;
    if (pv_roster_needs_receipt(signer, PV_ST_MEMBER)) {
        int status = pv_roster_check_invite(r, st->signer, m->node, wall);
        if (status != PV_OK)
            return status;
        if (m->expires != 0)
            return PV_ERR_REFUSED;
    } else if ((pv_roster_rights_of(signer) & PV_RIGHT_INVITE) == 0 ||
               (node != NULL && node->revoked_node)) {
        return PV_ERR_REFUSED;
    }
    return m->serial < pv_roster_next_serial(r, m->node) ? PV_ERR_REPLAY : PV_OK;
}

/* Same verdict as settling would give, asked before the receipt exists: a coordinator must not sign
 * receipts for claims that no roster would count. */
int pv_roster_check_verified(const struct pv_roster *r, const struct pv_statement *st,
                             uint64_t wall)
{
    const struct pv_st_member *m = &st->u.member;
    const struct pv_roster_key *n = pv_roster_key(r, m->node),
                               *signer = pv_roster_key(r, st->signer);
    int form = pv_roster_check_fields(r, st);
    if (form != PV_OK)
        return form;
    if (pv_roster_find(r, st->hash) == NULL) {
        int status = check_new_member(r, st, signer, n, wall);
        if (status != PV_OK)
            return status;
    } else if (n == NULL || n->revoked_node) {
        return PV_ERR_REFUSED;
    }
    return is_free(r, m->node, PV_ROSTER_BIND_NAME, m->name, strlen(m->name)) &&
                   is_free(r, m->node, PV_ROSTER_BIND_IP4, m->ip4, sizeof(m->ip4)) &&
                   is_free(r, m->node, PV_ROSTER_BIND_IP6, m->ip6, sizeof(m->ip6)) &&
                   is_free(r, m->node, PV_ROSTER_BIND_TRANSPORT, m->transport, sizeof(m->transport))
               ? PV_OK
               : PV_ERR_EXISTS;
}

/* --- events ---------------------------------------------------------------------------------- */

/* A member that is gone is told first: somebody else may have the name and the address by now, and
 * the owner has room for one of each. */
static void sort_key_news(struct pv_roster *r)
{
    struct pv_roster_key *lists[2] = {NULL, NULL}, **ends[2] = {&lists[0], &lists[1]};

    if (r->key_news_sorted)
        return;
    for (struct pv_roster_key *k = r->key_news_first, *next; k != NULL; k = next) {
        bool active = k->member.state == PV_MEMBER_ACTIVE;
        next = k->next_news;
        k->next_news = NULL;
        *ends[active] = k;
        ends[active] = &k->next_news;
        if (active || lists[1] == NULL)
            r->key_news_last = k;
    }
    *ends[0] = lists[1];
    r->key_news_first = lists[0];
    r->key_news_sorted = true;
}

/* Only what differs from what the owner was told last is told: a member that came and went within
 * one batch is no news. */
static bool poll_member(struct pv_roster *r, struct pv_roster_event *ev)
{
    sort_key_news(r);
    while (r->key_news_first != NULL) {
        struct pv_roster_key *k = r->key_news_first;
        bool active = k->member.state == PV_MEMBER_ACTIVE;
        bool waits = k->member.state == PV_MEMBER_WAITING, waited = k->told == PV_MEMBER_WAITING;
        bool was = k->told == PV_MEMBER_ACTIVE, changed = k->changed;

        r->key_news_first = k->next_news;
        if (r->key_news_first == NULL)
            r->key_news_last = NULL;
        k->in.news = k->changed = false;
        k->told = k->member.state;
        if (!active && !was && (!waits || waited))
            continue;
        if (active && was && !changed)
            continue;
        ev->type = !active && !was ? PV_ROSTER_EV_MEMBER_WAITS
                   : !active       ? PV_ROSTER_EV_MEMBER_GONE
                   : was           ? PV_ROSTER_EV_MEMBER_CHANGED
                                   : PV_ROSTER_EV_MEMBER_ADDED;
        ev->member = &k->member;
        return true;
    }
    return false;
}

/* The next statement to be stored. One that was dropped before it could be told is told as dropped
 * all the same: whoever added it may have looked it up. */
static struct pv_roster_item *next_statement_news(struct pv_roster *r)
{
    struct pv_roster_item *e;

    while ((e = pv_roster_list_pop(&r->news)) != NULL) {
        e->is_news = false;
        if (!e->gone)
            return e;
        pv_roster_list_push(&r->dropped, e);
    }
    return NULL;
}

/* Statements come first, because the owner has to store them before it acts on what follows from
 * them; dropped ones before new ones, as the owner may hold views of those it was told of. */
int pv_roster_poll_event(struct pv_roster *r, struct pv_roster_event *ret_event)
{
    struct pv_roster_event ev;
    struct pv_roster_report report;

    memset(&ev, 0, sizeof(ev));
    pv_roster_settle(r);
    pv_roster_free_item(r, r->told_dropped);
    r->told_dropped = pv_roster_list_pop(&r->dropped);
    struct pv_roster_item *e = r->told_dropped == NULL ? next_statement_news(r) : NULL;
    if (e == NULL && r->told_dropped == NULL)
        r->told_dropped = pv_roster_list_pop(&r->dropped); /* all the news had gone */
    if (r->told_dropped != NULL) {
        ev.type = PV_ROSTER_EV_DROPPED;
        ev.entry = &r->told_dropped->pub;
    } else if (e != NULL) {
        ev.type = PV_ROSTER_EV_STATEMENT;
        ev.entry = &e->pub;
    } else if (r->coordinators_news) {
        r->coordinators_news = false;
        ev.type = PV_ROSTER_EV_COORDINATORS;
    } else if (pv_roster_take_report(r, &report) == PV_OK) {
        ev.type = report.type;
        ev.member = member_of(report.key);
        memcpy(ev.text, report.text, sizeof(ev.text));
    } else if (!poll_member(r, &ev)) {
        return PV_ERR_AGAIN;
    }
    *ret_event = ev;
    return PV_OK;
}

bool pv_roster_saw_newer(const struct pv_roster *r)
{
    return r->saw_newer;
}

const struct pv_roster_entry *pv_roster_next_refused(const struct pv_roster *r,
                                                     const struct pv_roster_entry *prev,
                                                     const uint8_t self[static PV_SIGN_PK_LEN],
                                                     char ret_text[static PV_ROSTER_REFUSED])
{
    const struct pv_roster_item *e = prev == NULL ? r->first : item_of(prev)->next;

    for (; e != NULL; e = e->next) {
        const enum pv_roster_refusal why = pv_roster_refusal_now(e);
        if (why != PV_ROSTER_REFUSE_NONE) {
            pv_roster_explain_refusal(e, why, self, ret_text);
            return &e->pub;
        }
    }
    return NULL;
}

bool pv_roster_waits_for(const struct pv_roster *r, const struct pv_roster_entry *entry,
                         const struct pv_member *m)
{
    static const enum pv_roster_binding_kind kinds[] = {PV_ROSTER_BIND_NAME, PV_ROSTER_BIND_IP4};
    const struct pv_roster_item *e = item_of(entry);
    const struct pv_roster_key *k = e->subject, *other = pv_roster_key(r, m->node);

    if (k == NULL || other == NULL || other->claim.item == NULL || k == other)
        return false;
    for (size_t i = 0; i < PV_ARRAY_LEN(kinds); i++) {
        const struct pv_roster_claim *c = k->claim.item == e ? &k->claim : k->further[kinds[i]];
        const struct pv_roster_value *v = e->values[kinds[i]];
        if (v != NULL && v == pv_roster_has_by(other, kinds[i])->values[kinds[i]] && c != NULL &&
            c->item == e && !c->wins)
            return true;
    }
    return false;
}

const struct pv_roster_entry *pv_roster_next_entry(const struct pv_roster *r,
                                                   const struct pv_roster_entry *prev)
{
    const struct pv_roster_item *e = prev == NULL ? r->first : item_of(prev)->next;

    return e == NULL ? NULL : &e->pub;
}
