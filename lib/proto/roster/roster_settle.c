/* SPDX-License-Identifier: MIT */
/*
 * roster_settle.c - settling: which claims count, who holds which name and address, and what
 * changed. Several nodes may claim one name or address. All rosters must decide alike without
 * talking to each other, so claims are looked at in the order of their receipts (time at the
 * coordinator), then of keys; and what was once settled stays, so that a late claim with an early
 * receipt throws nobody out.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/roster/roster_int.h"

/* --- bindings -------------------------------------------------------------------------------- */

static void binding_key(uint8_t key[static ROSTER_BINDING_LEN], enum pv_roster_binding_kind kind,
                        const void *value, size_t len)
{
    memset(key, 0, ROSTER_BINDING_LEN);
    key[0] = (uint8_t)kind;
    memcpy(key + 1, value, len);
}

struct pv_roster_key *pv_roster_owner(const struct pv_roster *r, enum pv_roster_binding_kind kind,
                                      const void *value, size_t len)
{
    uint8_t key[ROSTER_BINDING_LEN];
    struct pv_roster_binding *b;

    if (len > PV_NAME_MAX)
        return NULL;
    binding_key(key, kind, value, len);
    PV_MAP_FIND(&r->binding_map, r->bindings, key, sizeof(key), b);
    return b == NULL ? NULL : b->owner;
}

/* Claims that were refused for a conflict wait for any binding to be freed: which one, is not
 * recorded, since conflicts are rare and settling them anew is cheap. */
static void unbind_value(struct pv_roster *r, struct pv_roster_key *k,
                         enum pv_roster_binding_kind kind)
{
    struct pv_roster_binding *b = &k->bound[kind];

    if (b->owner == NULL)
        return;
    PV_MAP_DEL(r->bindings, b);
    b->owner = NULL;
    /* Somebody may have been waiting for exactly this. */
    while (r->waiting != NULL) {
        struct pv_roster_key *w = r->waiting;
        r->waiting = w->next_waiting;
        w->is_waiting = false;
        pv_roster_mark(r, w);
    }
}

/* Binds it to k, which is known to be possible but for memory. */
static int bind_value(struct pv_roster *r, struct pv_roster_key *k,
                      enum pv_roster_binding_kind kind, const void *value, size_t len)
{
    struct pv_roster_binding *b = &k->bound[kind];
    uint8_t key[ROSTER_BINDING_LEN];
    int status;

    binding_key(key, kind, value, len);
    if (b->owner != NULL && memcmp(b->key, key, sizeof(key)) == 0)
        return PV_OK;
    unbind_value(r, k, kind);
    memcpy(b->key, key, sizeof(key));
    PV_MAP_ADD(&r->binding_map, r->bindings, key, b, status);
    if (status == PV_OK)
        b->owner = k;
    return status;
}

/* --- does a claim count ---------------------------------------------------------------------- */

/* Two admins may have signed the same invite key. The choice must not depend on the order of
 * arrival, hence the lowest hash. */
struct pv_roster_item *pv_roster_invite_entry(const struct pv_roster_key *k)
{
    struct pv_roster_item *best = NULL;

    for (struct pv_roster_item *e = k->about; e != NULL; e = e->next_about) {
        if (e->pub.st.type != PV_ST_INVITE)
            continue;
        if (best == NULL || (best->signer->revoked_node && !e->signer->revoked_node) ||
            (best->signer->revoked_node == e->signer->revoked_node &&
             memcmp(e->pub.st.hash, best->pub.st.hash, PV_STATEMENT_HASH_LEN) < 0))
            best = e;
    }
    return best;
}

size_t pv_roster_claims_by(const struct pv_roster_key *node, const struct pv_roster_key *signer)
{
    size_t n = 0;

    for (struct pv_roster_item *e = node->about; e != NULL; e = e->next_about)
        n += e->pub.st.type == PV_ST_MEMBER && e->signer == signer ? 1 : 0;
    return n;
}

bool pv_roster_stays(const struct pv_roster_key *k, enum pv_st_revoked_kind kind,
                     const uint8_t *node)
{
    for (const struct pv_roster_item *e = k->about; e != NULL; e = e->next_about) {
        const struct pv_st_revocation *rv = &e->pub.st.u.revocation;
        if (e->pub.st.type != PV_ST_REVOCATION || !e->effective || rv->kind != kind)
            continue;
        for (size_t i = 0; i < rv->stay.len; i += PV_SIGN_PK_LEN) {
            if (memcmp(rv->stay.ptr + i, node, PV_SIGN_PK_LEN) == 0)
                return true;
        }
    }
    return false;
}

bool pv_roster_in_window(const struct pv_st_invite *invite, uint64_t time)
{
    uint64_t from = invite->not_before > PV_ROSTER_WINDOW_SLACK
                        ? invite->not_before - PV_ROSTER_WINDOW_SLACK
                        : 0;
    uint64_t to = invite->not_after < UINT64_MAX - PV_ROSTER_WINDOW_SLACK
                      ? invite->not_after + PV_ROSTER_WINDOW_SLACK
                      : UINT64_MAX;
    return time >= from && time <= to;
}

/* The lowest receipt that node has under this invite: a node that joined twice has used it once. */
static struct pv_roster_receipt *lowest_under(const struct pv_roster_key *node,
                                              const struct pv_roster_key *invite)
{
    struct pv_roster_receipt *low = NULL;

    for (struct pv_roster_item *e = node->about; e != NULL; e = e->next_about) {
        if (e->pub.st.type == PV_ST_MEMBER && e->signer == invite && e->receipt != NULL &&
            (low == NULL || pv_receipt_cmp(&e->receipt->r, &low->r) < 0))
            low = e->receipt;
    }
    return low;
}

static int cmp_receipts(const void *a, const void *b)
{
    const struct pv_roster_receipt *const *ra = a, *const *rb = b;
    return pv_receipt_cmp(&(*ra)->r, &(*rb)->r);
}

/* The receipt of the invite's last use: the first `uses` different nodes count, in the order of
 * their lowest receipts. Costs a sort, so the result is kept until a claim changes. NULL without
 * memory, so that the question is asked again. */
static struct pv_roster_receipt *find_cutoff(const struct pv_roster_key *invite, uint32_t uses)
{
    struct pv_roster_receipt **all = malloc(invite->claims * sizeof(struct pv_roster_receipt *));
    struct pv_roster_receipt *cutoff = NULL;
    size_t n = 0;

    if (all == NULL)
        return NULL;
    for (struct pv_roster_item *e = invite->issued; e != NULL; e = e->next_issued) {
        if (e->pub.st.type == PV_ST_MEMBER && e->receipt != NULL &&
            lowest_under(e->subject, invite) == e->receipt)
            all[n++] = e->receipt;
    }
    qsort(all, n, sizeof(struct pv_roster_receipt *), cmp_receipts);
    if (n > 0)
        cutoff = all[n < uses ? n - 1 : uses - 1];
    free(all);
    return cutoff;
}

/* Is node among the first `uses` different nodes of this invite? As long as there are no more
 * claims than uses, nobody has to ask for the order. */
static bool within_uses(struct pv_roster_key *invite, uint32_t uses,
                        const struct pv_roster_key *node)
{
    if (invite->claims <= uses)
        return true;
    if (invite->cutoff == NULL)
        invite->cutoff = find_cutoff(invite, uses);
    const struct pv_roster_receipt *low = lowest_under(node, invite);
    return invite->cutoff != NULL && low != NULL &&
           pv_receipt_cmp(&low->r, &invite->cutoff->r) <= 0;
}

/* May the claim count as far as its invite or admin goes? Time window and uses are looked at only
 * until the claim has counted once: later they may close, and members must not drop out for
 * that. */
static enum pv_roster_refusal judge_admitter(const struct pv_roster_key *node,
                                             const struct pv_roster_item *e)
{
    struct pv_roster_key *signer = e->signer;

    if (!pv_roster_needs_receipt(signer, PV_ST_MEMBER))
        return signer->revoked_node && !pv_roster_stays(signer, PV_REVOKE_NODE, node->pk)
                   ? REFUSE_ADMITTER
                   : REFUSE_NONE;

    struct pv_roster_item *invite = pv_roster_invite_entry(signer);
    if (invite == NULL ||
        (signer->revoked_invite && !pv_roster_stays(signer, PV_REVOKE_INVITE, node->pk)) ||
        (invite->signer->revoked_node &&
         !pv_roster_stays(invite->signer, PV_REVOKE_NODE, node->pk)))
        return REFUSE_ADMITTER;
    if (e->counted)
        return REFUSE_NONE;
    if (e->pub.st.u.member.expires != 0)
        return REFUSE_EXPIRY;
    if (e->receipt == NULL || !pv_roster_in_window(&invite->pub.st.u.invite, e->receipt->r.time))
        return REFUSE_WINDOW;
    return within_uses(signer, invite->pub.st.u.invite.uses, node) ? REFUSE_NONE : REFUSE_USES;
}

static bool is_taken(const struct pv_roster *r, const struct pv_roster_key *k,
                     enum pv_roster_binding_kind kind, const void *value, size_t len)
{
    const struct pv_roster_key *owner = pv_roster_owner(r, kind, value, len);
    return owner != NULL && owner != k;
}

static enum pv_roster_refusal judge_bindings(const struct pv_roster *r,
                                             const struct pv_roster_key *k,
                                             const struct pv_st_member *m)
{
    if (is_taken(r, k, BIND_NAME, m->name, strlen(m->name)))
        return REFUSE_NAME;
    if (is_taken(r, k, BIND_IP4, m->ip4, sizeof(m->ip4)) ||
        is_taken(r, k, BIND_IP6, m->ip6, sizeof(m->ip6)))
        return REFUSE_ADDRESS;
    return is_taken(r, k, BIND_TRANSPORT, m->transport, sizeof(m->transport)) ? REFUSE_TRANSPORT
                                                                              : REFUSE_NONE;
}

/* --- reports --------------------------------------------------------------------------------- */

static const char *owner_name(const struct pv_roster *r, enum pv_roster_binding_kind kind,
                              const void *value, size_t len)
{
    const struct pv_roster_key *owner = pv_roster_owner(r, kind, value, len);
    return owner == NULL ? "somebody else" : owner->member.name;
}

/* Reported once for each reason: a person wants to know why a machine is not a member, not how
 * often that was computed. */
static void report_refusal(struct pv_roster *r, struct pv_roster_item *e,
                           enum pv_roster_refusal why)
{
    const struct pv_st_member *m = &e->pub.st.u.member;
    char who[PV_NAME_BUF + PV_KEY_TEXT_BUF + 8], key[PV_KEY_TEXT_BUF], ip[PV_ADDR_TEXT];
    enum pv_roster_event_type type = PV_ROSTER_EV_REFUSED;
    struct pv_addr ip4 = pv_addr4_u32(pv_load_be32(m->ip4), 0);

    if (e->refused == why)
        return;
    e->refused = why;
    snprintf(who, sizeof(who), "\"%s\" (%s)", m->name, pv_key_format(e->subject->pk, key));
    switch (why) {
    case REFUSE_NAME:
        pv_roster_report(r, type, e->subject, "%s claims a name that belongs to another key", who);
        break;
    case REFUSE_ADDRESS:
        pv_roster_report(r, type, e->subject, "%s claims %s, which belongs to \"%s\"", who,
                         pv_addr_format_ip(&ip4, ip),
                         owner_name(r, BIND_IP4, m->ip4, sizeof(m->ip4)));
        break;
    case REFUSE_TRANSPORT:
        pv_roster_report(r, type, e->subject, "%s claims the transport key of \"%s\"", who,
                         owner_name(r, BIND_TRANSPORT, m->transport, sizeof(m->transport)));
        break;
    case REFUSE_WINDOW:
        pv_roster_report(r, type, e->subject, "%s joined outside the time of its invite", who);
        break;
    case REFUSE_USES:
        pv_roster_report(r, type, e->subject, "%s joined by an invite that was used up", who);
        break;
    case REFUSE_EXPIRY:
        pv_roster_report(r, type, e->subject, "%s has an expiry without an admin's signature", who);
        break;
    case REFUSE_ADMITTER:
        pv_roster_report(r, type, e->subject, "%s was admitted by a revoked invite or admin", who);
        break;
    case REFUSE_REVOKED:
        pv_roster_report(r, type, e->subject, "%s was removed and claims to be a member", who);
        break;
    case REFUSE_NONE:
        break;
    }
}

/* --- the state of one node ------------------------------------------------------------------- */

bool pv_roster_serial(const struct pv_roster_item *e, uint64_t *ret_serial)
{
    switch (e->pub.st.type) {
    case PV_ST_MEMBER:
        *ret_serial = e->pub.st.u.member.serial;
        return true;
    case PV_ST_TRANSPORT:
        *ret_serial = e->pub.st.u.transport.serial;
        return true;
    case PV_ST_LEAVE:
        *ret_serial = e->pub.st.u.leave.serial;
        return true;
    default:
        return false;
    }
}

static uint64_t serial_of(const struct pv_roster_item *e)
{
    uint64_t serial = 0;
    (void)pv_roster_serial(e, &serial);
    return serial;
}

/* Higher serial first, then lower hash. Serials order a node's own statements; the hash decides
 * between two of one serial, which only a node that lost its memory makes. */
static bool goes_before(const struct pv_roster_item *a, const struct pv_roster_item *b)
{
    if (serial_of(a) != serial_of(b))
        return serial_of(a) > serial_of(b);
    return memcmp(a->pub.st.hash, b->pub.st.hash, PV_STATEMENT_HASH_LEN) < 0;
}

/* The best statement of a type about k that comes after `after` in order; NULL when none does. */
static struct pv_roster_item *next_best(const struct pv_roster_key *k, uint8_t type,
                                        const struct pv_roster_item *after)
{
    struct pv_roster_item *best = NULL;

    for (struct pv_roster_item *e = k->about; e != NULL; e = e->next_about) {
        if (e->pub.st.type != type)
            continue;
        if (after != NULL && !goes_before(after, e))
            continue;
        if (best == NULL || goes_before(e, best))
            best = e;
    }
    return best;
}

/* The transport key that goes with a member statement: the latest type 5 after it whose key is not
 * another node's. A stolen claim to a key must not cut off its owner, so the claim is skipped and
 * reported. */
static const uint8_t *transport_of(struct pv_roster *r, struct pv_roster_key *k,
                                   const struct pv_roster_item *member)
{
    for (struct pv_roster_item *e = next_best(k, PV_ST_TRANSPORT, NULL);
         e != NULL && serial_of(e) > serial_of(member); e = next_best(k, PV_ST_TRANSPORT, e)) {
        const uint8_t *pk = e->pub.st.u.transport.transport;
        if (!is_taken(r, k, BIND_TRANSPORT, pk, PV_DH_LEN))
            return pk;
        if (e->refused != REFUSE_TRANSPORT) {
            char key[PV_KEY_TEXT_BUF];
            e->refused = REFUSE_TRANSPORT;
            pv_roster_report(r, PV_ROSTER_EV_REFUSED, k,
                             "\"%s\" (%s) claims the transport key of \"%s\"",
                             member->pub.st.u.member.name, pv_key_format(k->pk, key),
                             owner_name(r, BIND_TRANSPORT, pk, PV_DH_LEN));
        }
    }
    return member->pub.st.u.member.transport;
}

static void wait_for_binding(struct pv_roster *r, struct pv_roster_key *k)
{
    if (k->is_waiting)
        return;
    k->is_waiting = true;
    k->next_waiting = r->waiting;
    r->waiting = k;
}

/* A claim that came when its invite or admin was revoked already is worth a report; one that was
 * there before has simply gone with it. */
static bool comes_after_revocation(const struct pv_roster_item *claim)
{
    for (const struct pv_roster_item *e = claim->signer->about; e != NULL; e = e->next_about) {
        if (e->pub.st.type == PV_ST_REVOCATION && e->receipt != NULL && claim->receipt != NULL &&
            pv_receipt_cmp(&e->receipt->r, &claim->receipt->r) < 0)
            return true;
    }
    return false;
}

/* The claim that counts, best first; NULL when none does, and *ret_why says why the best one does
 * not. A leave with a serial at least as high ends the search: the node itself has withdrawn all
 * earlier claims. */
static struct pv_roster_item *choose_claim(struct pv_roster *r, struct pv_roster_key *k,
                                           enum pv_roster_refusal *ret_why)
{
    struct pv_roster_item *leave = next_best(k, PV_ST_LEAVE, NULL);

    *ret_why = REFUSE_NONE;
    for (struct pv_roster_item *e = next_best(k, PV_ST_MEMBER, NULL); e != NULL;
         e = next_best(k, PV_ST_MEMBER, e)) {
        if (leave != NULL && serial_of(leave) >= serial_of(e))
            return NULL;
        enum pv_roster_refusal why = judge_admitter(k, e);
        if (why == REFUSE_NONE) {
            why = judge_bindings(r, k, &e->pub.st.u.member);
            if (why != REFUSE_NONE)
                wait_for_binding(r, k);
        }
        if (why == REFUSE_NONE) {
            e->refused = REFUSE_NONE;
            return e;
        }
        if (*ret_why == REFUSE_NONE)
            *ret_why = why;
        if (why != REFUSE_ADMITTER || comes_after_revocation(e))
            report_refusal(r, e, why);
    }
    return NULL;
}

static void queue_member_event(struct pv_roster *r, struct pv_roster_key *k)
{
    if (k->is_news)
        return;
    k->is_news = true;
    k->next_news = NULL;
    if (r->key_news_last == NULL)
        r->key_news_first = k;
    else
        r->key_news_last->next_news = k;
    r->key_news_last = k;
}

/* The bindings are freed at once, within the round, so that others of the same round can have
 * them. */
static void deactivate(struct pv_roster *r, struct pv_roster_key *k, enum pv_member_state state)
{
    if (k->member.state == state)
        return;
    bool was_active = k->member.state == PV_MEMBER_ACTIVE;
    k->member.state = state;
    k->member.rights = k->revoked_node ? 0 : k->rights;
    k->force = NULL;
    if (!was_active)
        return;
    for (enum pv_roster_binding_kind kind = 0; kind < BIND_KINDS; kind++)
        unbind_value(r, k, kind);
    if (k->prev_active != NULL)
        k->prev_active->next_active = k->next_active;
    else
        r->active_first = k->next_active;
    if (k->next_active != NULL)
        k->next_active->prev_active = k->prev_active;
    else
        r->active_last = k->prev_active;
    k->prev_active = k->next_active = NULL;
    r->n_active--;
    queue_member_event(r, k);
}

/* The list of active members is kept in the order of joining, in which listings show them. */
static void append_active(struct pv_roster *r, struct pv_roster_key *k)
{
    k->next_active = NULL;
    k->prev_active = r->active_last;
    if (r->active_last == NULL)
        r->active_first = k;
    else
        r->active_last->next_active = k;
    r->active_last = k;
    r->n_active++;
}

static struct pv_member describe_member(const struct pv_roster_key *k,
                                        const struct pv_roster_item *e, const uint8_t *transport)
{
    const struct pv_st_member *st = &e->pub.st.u.member;
    struct pv_member m;

    memset(&m, 0, sizeof(m));
    memcpy(m.node, k->pk, sizeof(m.node));
    m.state = PV_MEMBER_ACTIVE;
    m.rights = k->rights;
    memcpy(m.transport, transport, sizeof(m.transport));
    memcpy(m.name, st->name, sizeof(m.name));
    m.ip4 = pv_addr4_u32(pv_load_be32(st->ip4), 0);
    m.ip6 = pv_addr6(st->ip6, 0);
    m.serial = st->serial;
    m.issued = st->issued;
    m.expires = st->expires;
    memcpy(m.admitted_by, e->signer->pk, sizeof(m.admitted_by));
    m.joined = e->receipt == NULL ? 0 : e->receipt->r.time;
    return m;
}

/* What the owner would do something about; `joined` and the derived IPv6 address do not count. */
static bool same_member(const struct pv_member *a, const struct pv_member *b)
{
    return a->rights == b->rights &&
           memcmp(a->transport, b->transport, sizeof(a->transport)) == 0 &&
           strcmp(a->name, b->name) == 0 && pv_addr_equal_ip(&a->ip4, &b->ip4) &&
           a->serial == b->serial && a->expires == b->expires && a->issued == b->issued &&
           memcmp(a->admitted_by, b->admitted_by, sizeof(a->admitted_by)) == 0;
}

/* All four bindings are known to be free; only memory can fail, and then the node stays as it was
 * and is settled again. */
static int activate(struct pv_roster *r, struct pv_roster_key *k, struct pv_roster_item *e)
{
    const struct pv_st_member *st = &e->pub.st.u.member;
    const uint8_t *transport = transport_of(r, k, e);
    int status = bind_value(r, k, BIND_NAME, st->name, strlen(st->name));

    if (status == PV_OK)
        status = bind_value(r, k, BIND_IP4, st->ip4, sizeof(st->ip4));
    if (status == PV_OK)
        status = bind_value(r, k, BIND_IP6, st->ip6, sizeof(st->ip6));
    if (status == PV_OK)
        status = bind_value(r, k, BIND_TRANSPORT, transport, PV_DH_LEN);
    if (status != PV_OK)
        return status;

    struct pv_member now = describe_member(k, e, transport);
    if (k->member.state != PV_MEMBER_ACTIVE)
        append_active(r, k);
    if (k->member.state != PV_MEMBER_ACTIVE || !same_member(&k->member, &now)) {
        k->changed = true;
        queue_member_event(r, k);
    }
    k->member = now;
    k->force = e;
    e->counted = true;
    return PV_OK;
}

/* The state of a node that no claim makes a member: revoked, left, or what it was. */
static enum pv_member_state absent_state(const struct pv_roster_key *k, enum pv_roster_refusal why)
{
    const struct pv_roster_item *leave = next_best(k, PV_ST_LEAVE, NULL);

    if (k->revoked_node)
        return PV_MEMBER_REVOKED;
    if (leave != NULL && serial_of(leave) >= k->member.serial)
        return PV_MEMBER_LEFT;
    return why == REFUSE_ADMITTER && k->member.state != PV_MEMBER_NONE ? PV_MEMBER_REVOKED
                                                                       : k->member.state;
}

/* A revoked node's claim is reported only when it is newer than the removal: the older ones have
 * simply gone with it. */
static int settle_node(struct pv_roster *r, struct pv_roster_key *k)
{
    enum pv_roster_refusal why = REFUSE_NONE;

    if (!k->is_node && k->member.state == PV_MEMBER_NONE && !k->revoked_node)
        return PV_OK;
    struct pv_roster_item *e = k->revoked_node ? NULL : choose_claim(r, k, &why);
    if (e != NULL)
        return activate(r, k, e);

    bool was_revoked = k->member.state == PV_MEMBER_REVOKED;
    enum pv_member_state state = absent_state(k, why);
    if (state == PV_MEMBER_ACTIVE)
        state = PV_MEMBER_REVOKED; /* its only claim is gone for a reason that came later */
    deactivate(r, k, state);
    if (k->revoked_node && was_revoked) {
        struct pv_roster_item *claim = next_best(k, PV_ST_MEMBER, NULL);
        if (claim != NULL && !claim->counted && serial_of(claim) > k->member.serial)
            report_refusal(r, claim, REFUSE_REVOKED);
    }
    return PV_OK;
}

/* --- order ----------------------------------------------------------------------------------- */

/* The receipt of a node's best claim decides whose claim is looked at first; none (an admin's word)
 * goes before all. */
static const struct pv_roster_receipt *claim_order(const struct pv_roster_key *k)
{
    const struct pv_roster_item *e = next_best(k, PV_ST_MEMBER, NULL);
    return e == NULL ? NULL : e->receipt;
}

static int cmp_claims(const void *a, const void *b)
{
    const struct pv_roster_key *const *ka = a, *const *kb = b;
    const struct pv_roster_receipt *ra = claim_order(*ka), *rb = claim_order(*kb);

    int by_receipt = (ra != NULL) - (rb != NULL);
    if (ra != NULL && rb != NULL)
        by_receipt = pv_receipt_cmp(&ra->r, &rb->r);
    return by_receipt != 0 ? by_receipt : memcmp((*ka)->pk, (*kb)->pk, PV_SIGN_PK_LEN);
}

/* Is an active member certain to lose its place, whatever others claim? */
static bool is_leaving(const struct pv_roster_key *k)
{
    const struct pv_roster_item *leave = next_best(k, PV_ST_LEAVE, NULL);

    if (k->revoked_node || judge_admitter(k, k->force) != REFUSE_NONE)
        return true;
    return leave != NULL && serial_of(leave) >= serial_of(k->force);
}

/* One round over what is dirty now. Those that go are first, so that what they held is free; then
 * all by the order of their receipts. Freed bindings may mark others, which the next round
 * settles. */
static int settle_round(struct pv_roster *r)
{
    size_t n = 0, i = 0;

    for (struct pv_roster_key *k = r->dirty; k != NULL; k = k->next_dirty)
        n++;
    struct pv_roster_key **keys = malloc(n * sizeof(struct pv_roster_key *));
    if (keys == NULL)
        return PV_ERR_NOMEM;
    for (struct pv_roster_key *k = r->dirty; k != NULL; k = k->next_dirty) {
        k->is_dirty = false;
        keys[i++] = k;
    }
    r->dirty = NULL;
    for (i = 0; i < n; i++) {
        if (keys[i]->member.state == PV_MEMBER_ACTIVE && is_leaving(keys[i]))
            deactivate(r, keys[i], absent_state(keys[i], REFUSE_ADMITTER));
    }
    qsort(keys, n, sizeof(struct pv_roster_key *), cmp_claims);
    int status = PV_OK;
    for (i = 0; i < n; i++) {
        int one = settle_node(r, keys[i]);
        if (one != PV_OK) {
            pv_roster_mark(r, keys[i]); /* without memory now: tried again with the next event */
            status = one;
        }
    }
    free(keys);
    return status;
}

void pv_roster_settle(struct pv_roster *r)
{
    while (r->dirty != NULL) {
        if (settle_round(r) != PV_OK)
            return;
    }
}
