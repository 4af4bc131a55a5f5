/* SPDX-License-Identifier: MIT */
/*
 * roster_settle.c - settling: which claims are eligible, who is a member, and what changed.
 * Statements since the last time mark keys; only these are looked at again. Each step is a function
 * of the statements and receipts held, and the steps go one way: revocations, coordinators, claims,
 * contest, members. Settling needs no memory that merging has not reserved, so it cannot fail: else
 * a roster would answer by less than it holds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/roster/roster_int.h"

/* --- is a claim eligible --------------------------------------------------------------------- */

size_t pv_roster_claims_by(const struct pv_roster_key *node, const struct pv_roster_key *signer)
{
    size_t n = 0;

    for (struct pv_roster_item *e = node->kept[PV_ROSTER_QUOTA_MEMBER]; e != NULL; e = e->next_kept)
        n += e->signer == signer ? 1 : 0;
    return n;
}

/* May the claim count as far as its invite or admin goes? The uses of an invite are counted by the
 * coordinator when it lets a node in, and not here: whoever could make claims that come before
 * those of members could else throw these out (adr 0019). */
static enum pv_roster_refusal judge_admitter(const struct pv_roster *r,
                                             const struct pv_roster_key *node,
                                             const struct pv_roster_item *e)
{
    const struct pv_roster_key *signer = e->signer;

    if (!pv_roster_needs_receipt(signer, PV_ST_MEMBER))
        return pv_roster_signer_counts(r, e, node->pk) ? PV_ROSTER_REFUSE_NONE
                                                       : PV_ROSTER_REFUSE_ADMITTER;

    const struct pv_roster_item *invite = pv_roster_invite_entry(r, signer);
    if (invite == NULL ||
        (signer->revoked_invite && !pv_roster_stays(signer, PV_REVOKE_INVITE, node->pk)) ||
        !pv_roster_signer_counts(r, invite, node->pk))
        return PV_ROSTER_REFUSE_ADMITTER;
    if (e->pub.st.u.member.expires != 0)
        return PV_ROSTER_REFUSE_EXPIRY;
    if (!pv_roster_is_ordered(e->receipt))
        return PV_ROSTER_REFUSE_RECEIPT;
    const struct pv_st_invite *terms = &invite->pub.st.u.invite;
    if (!pv_roster_in_window(terms, e->receipt->time))
        return PV_ROSTER_REFUSE_WINDOW;
    return terms->flags == 0 || pv_roster_find_admission(r, node) != NULL ? PV_ROSTER_REFUSE_NONE
                                                                          : PV_ROSTER_REFUSE_WAITS;
}

/* --- the state of one node ------------------------------------------------------------------- */

/* Has the node itself withdrawn this claim, and all before it? */
static bool has_left(const struct pv_roster_key *k, const struct pv_roster_item *claim)
{
    const struct pv_roster_item *leave = pv_roster_next_best(k, PV_ROSTER_QUOTA_LEAVE, NULL);
    return leave != NULL && pv_st_number(&leave->pub.st) >= pv_st_number(&claim->pub.st);
}

/* A claim that came when its invite or admin was revoked already is worth a report; one that was
 * there before has simply gone with it. */
static bool comes_after_revocation(const struct pv_roster_item *claim)
{
    for (const struct pv_roster_item *e = claim->signer->about; e != NULL; e = e->next_about) {
        if (e->pub.st.type == PV_ST_REVOCATION && e->receipt != NULL && claim->receipt != NULL &&
            pv_roster_cmp_receipts(e->receipt, claim->receipt) < 0)
            return true;
    }
    return false;
}

/* The claim that the node makes: the best one that is eligible, whether or not somebody else has
 * its name; NULL when none is, and *ret_why says why the best one is not, *ret_waits which one only
 * lacks an admission. */
static struct pv_roster_item *choose_claim(struct pv_roster *r, struct pv_roster_key *k,
                                           enum pv_roster_refusal *ret_why,
                                           struct pv_roster_item **ret_waits)
{
    *ret_why = PV_ROSTER_REFUSE_NONE;
    for (struct pv_roster_item *e = pv_roster_next_best(k, PV_ROSTER_QUOTA_MEMBER, NULL); e != NULL;
         e = pv_roster_next_best(k, PV_ROSTER_QUOTA_MEMBER, e)) {
        if (has_left(k, e))
            return NULL;
        enum pv_roster_refusal why = judge_admitter(r, k, e);
        if (why == PV_ROSTER_REFUSE_NONE)
            return e;
        if (*ret_why == PV_ROSTER_REFUSE_NONE)
            *ret_why = why;
        if (why == PV_ROSTER_REFUSE_WAITS)
            *ret_waits = *ret_waits == NULL ? e : *ret_waits;
        else if (why != PV_ROSTER_REFUSE_ADMITTER || comes_after_revocation(e))
            pv_roster_report_refusal(r, e, why);
    }
    return NULL;
}

/* Does a removed node claim by this, which came after the removal? */
static bool comes_back(const struct pv_roster_key *k, const struct pv_roster_item *claim)
{
    for (const struct pv_roster_item *e = k->about; e != NULL; e = e->next_about) {
        if (e->pub.st.type == PV_ST_REVOCATION && e->effective && e->receipt != NULL &&
            claim->receipt != NULL && pv_roster_cmp_receipts(e->receipt, claim->receipt) < 0)
            return true;
    }
    return false;
}

static void report_return(struct pv_roster *r, struct pv_roster_key *k)
{
    struct pv_roster_item *claim = pv_roster_next_best(k, PV_ROSTER_QUOTA_MEMBER, NULL);

    if (claim != NULL && comes_back(k, claim))
        pv_roster_report_refusal(r, claim, PV_ROSTER_REFUSE_REVOKED);
}

/* An invite that let in more than it allows: its claims come last from now on, and people are told,
 * because a coordinator has lied or forgotten. */
static void settle_uses(struct pv_roster *r, struct pv_roster_key *k)
{
    const struct pv_roster_item *invite = k->is_invite ? pv_roster_invite_entry(r, k) : NULL;
    bool over = invite != NULL && k->claims > invite->pub.st.u.invite.uses;

    if (over == k->is_overclaimed)
        return;
    k->is_overclaimed = over;
    for (struct pv_roster_item *e = k->issued; e != NULL; e = e->next_issued) {
        if (e->pub.st.type == PV_ST_MEMBER)
            pv_roster_mark(r, e->subject);
    }
    if (over)
        pv_roster_report(r, PV_ROSTER_EV_BREAK, NULL,
                         "invite %s for %u uses let in %u machines: a coordinator let in more than "
                         "it allows: remove those you do not know, and revoke it",
                         PV_KEY_STR(k->pk), invite->pub.st.u.invite.uses, k->claims);
}

/* A node says the same transport key again to show that it lives. Such a claim keeps its place in
 * order: else somebody who claims the same value in vain would get it with the repetition. NULL:
 * none is newer than its member statement. */
static struct pv_roster_item *first_transport(const struct pv_roster_key *k,
                                              const struct pv_roster_item *claim)
{
    const enum pv_roster_binding_kind kind = PV_ROSTER_BIND_TRANSPORT;
    struct pv_roster_item *e = pv_roster_next_best(k, PV_ROSTER_QUOTA_TRANSPORT, NULL), *first = e;

    if (e == NULL || pv_st_number(&e->pub.st) <= pv_st_number(&claim->pub.st))
        return NULL;
    for (struct pv_roster_item *x = k->kept[PV_ROSTER_QUOTA_TRANSPORT]; x != NULL;
         x = x->next_kept) {
        if (pv_st_number(&x->pub.st) > pv_st_number(&claim->pub.st) &&
            pv_roster_goes_first(x, first) && x->values[kind] == e->values[kind])
            first = x;
    }
    return first;
}

/* Does a place newer than the claim say where the node is? To another address than its first one a
 * node moves itself only with a receipt: coordinators give none for an address that another machine
 * had until lately, as others may let in by address. An admin's word from its time in office
 * outlives that, and an end that lets a node stay gives a former admin no word about it. */
bool pv_roster_place_counts(const struct pv_roster *r, const struct pv_roster_key *k,
                            const struct pv_roster_item *claim, const struct pv_roster_item *e)
{
    if (e->signer != k)
        return pv_roster_was_in_office(r, e);
    return e->values[PV_ROSTER_BIND_IP4] == claim->values[PV_ROSTER_BIND_IP4] ||
           pv_roster_is_ordered(e->receipt);
}

/* The node's newest place by itself or by somebody who was in office; NULL: none is newer than its
 * member statement, which says where it is then. */
static struct pv_roster_item *choose_place(const struct pv_roster *r, const struct pv_roster_key *k,
                                           const struct pv_roster_item *claim)
{
    for (struct pv_roster_item *e = pv_roster_next_best(k, PV_ROSTER_QUOTA_PLACE, NULL);
         e != NULL && pv_st_number(&e->pub.st) > pv_st_number(&claim->pub.st);
         e = pv_roster_next_best(k, PV_ROSTER_QUOTA_PLACE, e)) {
        if (pv_roster_place_counts(r, k, claim, e))
            return e;
    }
    return NULL;
}

/* The first in order of those by which the node has the name, or the address, of the newest place e
 * without a break: whoever claims it in vain gets it neither with a repetition nor because the node
 * changes the other one. A node that was elsewhere in between has let it go: what it said before
 * that takes it from nobody who got it since. */
static struct pv_roster_item *first_place(const struct pv_roster *r, const struct pv_roster_key *k,
                                          const struct pv_roster_item *claim,
                                          struct pv_roster_item *e,
                                          enum pv_roster_binding_kind kind)
{
    struct pv_roster_item *first = e;

    for (struct pv_roster_item *x = e;
         x != NULL && pv_st_number(&x->pub.st) > pv_st_number(&claim->pub.st);
         x = pv_roster_next_best(k, PV_ROSTER_QUOTA_PLACE, x)) {
        if (!pv_roster_place_counts(r, k, claim, x))
            continue;
        if (x->values[kind] != e->values[kind])
            break;
        if (pv_roster_goes_first(x, first))
            first = x;
    }
    return first;
}

static void set_waiting(struct pv_roster_key *k, struct pv_roster_item *claim);

/* The claim of the node from now on. */
static void settle_claim(struct pv_roster *r, struct pv_roster_key *k)
{
    struct pv_roster_item *e = NULL, *waits = NULL;
    struct pv_roster_claims by = {.member = NULL};

    settle_uses(r, k);
    k->why = PV_ROSTER_REFUSE_NONE;
    if (k->revoked_node)
        report_return(r, k);
    else
        e = choose_claim(r, k, &k->why, &waits);
    set_waiting(k, e == NULL ? waits : NULL);
    if (e != NULL) {
        const struct pv_st_invite *terms = pv_roster_terms(r, e);
        by.member = e;
        if (terms != NULL && terms->flags != 0)
            by.admission = pv_roster_find_admission(r, k);
        struct pv_roster_item *place = choose_place(r, k, e);
        by.further[PV_ROSTER_BIND_NAME] = first_place(r, k, e, place, PV_ROSTER_BIND_NAME);
        by.further[PV_ROSTER_BIND_IP4] = first_place(r, k, e, place, PV_ROSTER_BIND_IP4);
        by.further[PV_ROSTER_BIND_TRANSPORT] = first_transport(k, e);
    }
    pv_roster_stake(r, k, &by);
}

/* --- members --------------------------------------------------------------------------------- */

static void queue_member_event(struct pv_roster *r, struct pv_roster_key *k)
{
    r->key_news_sorted = false;
    if (k->in.news)
        return;
    k->in.news = true;
    k->next_news = NULL;
    if (r->key_news_last == NULL)
        r->key_news_first = k;
    else
        r->key_news_last->next_news = k;
    r->key_news_last = k;
}

/* A key is in one of the two lists at most. One that is in neither has no next. */
static void take_out(struct pv_roster_key **list, struct pv_roster_key *k)
{
    PV_LIST_DEL_BY(*list, k, prev_active, next_active);
    k->next_active = NULL;
}

/* The list of active members is kept in the order of joining, in which listings show them; by_pk
 * has room for every key that there is, and is put in order when somebody asks. */
static void append_active(struct pv_roster *r, struct pv_roster_key *k)
{
    if (!k->in.by_pk)
        r->by_pk[r->n_by_pk++] = k;
    k->in.by_pk = true;
    PV_LIST_ADD_BY(r->active, k, prev_active, next_active);
    r->n_active++;
}

static void remove_active(struct pv_roster *r, struct pv_roster_key *k)
{
    take_out(&r->active, k);
    r->n_active--;
}

/* A key that leaves the list of members is taken out of that before. */
static void set_aside(struct pv_roster *r, struct pv_roster_key *k, bool aside)
{
    if (aside == k->in.aside)
        return;
    k->in.aside = aside;
    if (aside)
        PV_LIST_ADD_BY(r->aside, k, prev_active, next_active);
    else
        take_out(&r->aside, k);
    r->n_aside += aside ? 1 : (size_t)-1;
}

/* As it claims by e, which counts or waits to do so. */
static struct pv_member describe_member(const struct pv_roster_key *k,
                                        const struct pv_roster_item *e)
{
    const struct pv_st_member *st = &e->pub.st.u.member;
    const struct pv_roster_claim *transport = k->further[PV_ROSTER_BIND_TRANSPORT];
    const struct pv_roster_claim *name = k->further[PV_ROSTER_BIND_NAME];
    const struct pv_roster_claim *ip4 = k->further[PV_ROSTER_BIND_IP4];
    const struct pv_roster_item *card = k->kept[PV_ROSTER_QUOTA_CARD];
    struct pv_member m;

    memset(&m, 0, sizeof(m));
    memcpy(m.node, k->pk, sizeof(m.node));
    m.state = PV_MEMBER_ACTIVE;
    m.rights = pv_roster_rights_of(k);
    memcpy(m.transport,
           pv_roster_wins(transport) ? transport->item->pub.st.u.transport.transport
                                     : st->transport,
           sizeof(m.transport));
    memcpy(m.name, pv_roster_wins(name) ? name->item->pub.st.u.place.name : st->name,
           sizeof(m.name));
    m.ip4 = pv_addr4_u32(
        pv_load_be32(pv_roster_wins(ip4) ? ip4->item->pub.st.u.place.ip4 : st->ip4), 0);
    m.ip6 = pv_addr6(st->ip6, 0);
    m.abilities = card == NULL ? 0 : card->pub.st.u.card.abilities;
    m.serial = st->serial;
    m.issued = st->issued;
    memcpy(m.admitted_by, e->signer->pk, sizeof(m.admitted_by));
    m.joined = e->receipt == NULL ? 0 : e->receipt->time;
    return m;
}

const struct pv_st_card *pv_roster_card(const struct pv_roster *r,
                                        const uint8_t node[static PV_SIGN_PK_LEN])
{
    const struct pv_roster_key *k = pv_roster_key(r, node);
    const struct pv_roster_item *e = k == NULL ? NULL : k->kept[PV_ROSTER_QUOTA_CARD];
    return e == NULL ? NULL : &e->pub.st.u.card;
}

/* The changes about which the owner would do something; `joined` and the derived IPv6 address do
 * not count. */
static bool same_member(const struct pv_member *a, const struct pv_member *b)
{
    return a->rights == b->rights && a->abilities == b->abilities &&
           memcmp(a->transport, b->transport, sizeof(a->transport)) == 0 &&
           strcmp(a->name, b->name) == 0 && pv_addr_equal_ip(&a->ip4, &b->ip4) &&
           a->serial == b->serial && a->expires == b->expires && a->issued == b->issued &&
           a->lifetime == b->lifetime &&
           memcmp(a->admitted_by, b->admitted_by, sizeof(a->admitted_by)) == 0;
}

/* The state of a node that is no member: removed, with its invite or admin, by itself, or never
 * one. */
static enum pv_member_state absent_state(const struct pv_roster_key *k)
{
    const struct pv_roster_item *claim = pv_roster_next_best(k, PV_ROSTER_QUOTA_MEMBER, NULL);

    if (k->revoked_node)
        return PV_MEMBER_REVOKED;
    if (claim == NULL)
        return PV_MEMBER_NONE;
    if (has_left(k, claim))
        return PV_MEMBER_LEFT;
    if (k->waits != NULL)
        return PV_MEMBER_WAITING;
    return k->why == PV_ROSTER_REFUSE_ADMITTER ? PV_MEMBER_REVOKED : PV_MEMBER_NONE;
}

bool pv_roster_keeps_card(const struct pv_roster_key *k)
{
    const enum pv_member_state state = absent_state(k);
    return state != PV_MEMBER_REVOKED && state != PV_MEMBER_LEFT;
}

static const enum pv_roster_refusal lacking[PV_ROSTER_BIND_KINDS + 1] = {
    [PV_ROSTER_BIND_NAME] = PV_ROSTER_REFUSE_NAME,
    [PV_ROSTER_BIND_IP4] = PV_ROSTER_REFUSE_IP4,
    [PV_ROSTER_BIND_IP6] = PV_ROSTER_REFUSE_IP6,
    [PV_ROSTER_BIND_TRANSPORT] = PV_ROSTER_REFUSE_TRANSPORT,
    [PV_ROSTER_BIND_KINDS] = PV_ROSTER_REFUSE_NONE,
};

/* Why a present claim of its node that e makes lost; a place may make two. ret_claims: it makes
 * one. */
static enum pv_roster_refusal lost_by(const struct pv_roster_item *e, bool *ret_claims)
{
    const struct pv_roster_key *k = e->subject;
    enum pv_roster_binding_kind kind = PV_ROSTER_BIND_KINDS;

    *ret_claims = k->claim.item == e;
    if (*ret_claims)
        kind = pv_roster_lacks(&k->claim);
    for (size_t i = 0; kind == PV_ROSTER_BIND_KINDS && i < PV_ROSTER_BIND_KINDS; i++) {
        if (k->further[i] == NULL || k->further[i]->item != e)
            continue;
        *ret_claims = true;
        kind = pv_roster_lacks(k->further[i]);
    }
    return lacking[kind];
}

static void report_claim(struct pv_roster *r, struct pv_roster_item *e)
{
    bool claims;
    if (e != NULL)
        pv_roster_report_refusal(r, e, lost_by(e, &claims));
}

/* Claims that lost are reported, those that won may be reported again when they lose. */
static void report_outcome(struct pv_roster *r, struct pv_roster_key *k)
{
    report_claim(r, k->claim.item);
    for (size_t i = 0; k->claim.wins && i < PV_ROSTER_BIND_KINDS; i++)
        report_claim(r, k->further[i] == NULL ? NULL : k->further[i]->item);
}

/* Of a member statement that is not its node's present claim. Older ones are said no more. */
static enum pv_roster_refusal refusal_of_best(const struct pv_roster_item *e)
{
    const struct pv_roster_key *k = e->subject;

    if (e != pv_roster_next_best(k, PV_ROSTER_QUOTA_MEMBER, NULL) || has_left(k, e))
        return PV_ROSTER_REFUSE_NONE;
    if (k->revoked_node)
        return comes_back(k, e) ? PV_ROSTER_REFUSE_REVOKED : PV_ROSTER_REFUSE_NONE;
    if (k->why == PV_ROSTER_REFUSE_WAITS ||
        (k->why == PV_ROSTER_REFUSE_ADMITTER && !comes_after_revocation(e)))
        return PV_ROSTER_REFUSE_NONE;
    return k->why;
}

/* By what is held alone: the reason that was reported last may be one of the past. */
enum pv_roster_refusal pv_roster_refusal_now(const struct pv_roster_item *e)
{
    /* A word against somebody that has no effect has none for ever, and nobody can end it. */
    if (!e->listed || e->subject == NULL || pv_st_does(&e->pub.st, PV_DOES_TAKE))
        return PV_ROSTER_REFUSE_NONE;
    bool claims;
    const enum pv_roster_refusal why = lost_by(e, &claims);
    return claims || e->pub.st.type != PV_ST_MEMBER ? why : refusal_of_best(e);
}

/* The name that the node had last: by its newest place, unless a member had that name first, and
 * has it still. */
static const char *last_name(const struct pv_roster *r, const struct pv_roster_key *k,
                             const struct pv_roster_item *claim)
{
    const struct pv_roster_item *place =
        first_place(r, k, claim, choose_place(r, k, claim), PV_ROSTER_BIND_NAME);
    if (place == NULL)
        return claim->pub.st.u.member.name;
    const struct pv_roster_claim *owner = place->values[PV_ROSTER_BIND_NAME]->owner;
    bool refused = owner != NULL && owner->key != k && pv_roster_goes_first(owner->item, place);
    return refused ? claim->pub.st.u.member.name : place->pub.st.u.place.name;
}

/* A node that is no member: by what people know it. */
static struct pv_member describe_absent(const struct pv_roster *r, const struct pv_roster_key *k)
{
    const struct pv_roster_item *claim = pv_roster_next_best(k, PV_ROSTER_QUOTA_MEMBER, NULL);
    struct pv_member m = k->member;

    m.state = absent_state(k);
    if (m.state == PV_MEMBER_WAITING) {
        m = describe_member(k, k->waits);
        m.state = PV_MEMBER_WAITING;
    } else if (claim != NULL) {
        memcpy(m.name, last_name(r, k, claim), sizeof(m.name));
        memcpy(m.admitted_by, claim->signer->pk, sizeof(m.admitted_by));
    }
    m.rights = pv_roster_rights_of(k);
    return m;
}

static bool judge_life(struct pv_roster *r, struct pv_roster_key *k, struct pv_member *m);

/* A node whose claim won or lost, or whose time is over: is it a member now, and does the owner
 * have to know? */
static void settle_member(struct pv_roster *r, struct pv_roster_key *k)
{
    bool was = k->member.state == PV_MEMBER_ACTIVE, waited = k->member.state == PV_MEMBER_WAITING;
    struct pv_member now = k->member;

    if (k->claim.wins) {
        now = describe_member(k, k->claim.item);
        if (judge_life(r, k, &now))
            now.state = PV_MEMBER_EXPIRED;
    } else if (k->is_node || k->revoked_node) {
        now = describe_absent(r, k);
    }
    bool is = now.state == PV_MEMBER_ACTIVE, waits = now.state == PV_MEMBER_WAITING;
    bool same = same_member(&k->member, &now);
    r->members_ok = r->members_ok && k->digest_ok && is == was && (same || !is);
    k->digest_ok = k->digest_ok && same;
    if (was && !is)
        remove_active(r, k);
    set_aside(r, k, waits || now.state == PV_MEMBER_EXPIRED);
    if (is && !was)
        append_active(r, k);
    k->changed = k->changed || (is && (!was || !same));
    k->member = now;
    if (k->kept[PV_ROSTER_QUOTA_CARD] != NULL && !pv_roster_keeps_card(k))
        pv_roster_drop_item(r, k->kept[PV_ROSTER_QUOTA_CARD]);
    report_outcome(r, k); /* by the name that it has now */
    if (is != was || (is && !same) || waits != waited)
        queue_member_event(r, k);
    pv_roster_count_dead(r, k);
}

/* --- all of it ------------------------------------------------------------------------------- */

/* Settling a claim looks at the revocations of those who admitted its node. */
static size_t cost_of(const struct pv_roster_key *k)
{
    size_t n = 1;

    for (const struct pv_roster_item *e = k->kept[PV_ROSTER_QUOTA_MEMBER]; e != NULL;
         e = e->next_kept)
        n += 1 + e->signer->n_about / PV_ROSTER_CHEAP;
    return n;
}

/* Claims: deciding who wins marks members, whose transport key statement counts only now. False:
 * the steps ended. */
static bool settle_claims(struct pv_roster *r)
{
    while (r->dirty != NULL || r->queue != NULL) {
        while (r->dirty != NULL) {
            struct pv_roster_key *k = r->dirty;
            if (!pv_roster_spend(r, cost_of(k)))
                return false;
            r->dirty = k->next_dirty;
            k->in.dirty = false;
            settle_claim(r, k);
        }
        if (!pv_roster_contest(r))
            return false;
    }
    return true;
}

static void settle_time(struct pv_roster *r);

/* Each step leaves the roster whole, so that it can be asked and go on later. */
bool pv_roster_settle_some(struct pv_roster *r, size_t steps)
{
    r->steps = steps;
    while (r->anew.admins || r->revoked != NULL || r->anew.records || r->anew.rules ||
           r->dirty != NULL || r->queue != NULL) {
        if (!pv_roster_settle_revocations(r))
            return false;
        pv_roster_settle_records(r);
        pv_roster_settle_rules(r);
        if (!settle_claims(r))
            return false;
    }
    settle_time(r);
    while (r->touched != NULL) {
        struct pv_roster_key *k = r->touched;
        if (!pv_roster_spend(r, 1))
            return false;
        r->touched = k->next_touched;
        k->in.touched = false;
        settle_member(r, k);
    }
    pv_roster_find_breaks(r);
    return true;
}

void pv_roster_settle(struct pv_roster *r)
{
    while (!pv_roster_settle_some(r, SIZE_MAX))
        ;
}

/* --- conditions of invites (adr/0022) ----------------------------------------------- */

/* A newcomer waits for an admission, or a membership expires. The time follows from the receipts of
 * the coordinator that the network uses first, so that all rosters with the same statements decide
 * alike, whatever their clocks say. */

/* Two admins may have signed the same invite key. The choice must not depend on the order of
 * arrival, hence the lowest hash. */
struct pv_roster_item *pv_roster_invite_entry(const struct pv_roster *r,
                                              const struct pv_roster_key *k)
{
    struct pv_roster_item *best = NULL;
    bool best_counts = false;

    for (struct pv_roster_item *e = k->about; e != NULL; e = e->next_about) {
        if (e->pub.st.type != PV_ST_INVITE)
            continue;
        bool counts = pv_roster_signer_counts(r, e, NULL);
        if (best == NULL || (counts && !best_counts) ||
            (counts == best_counts &&
             memcmp(e->pub.st.hash, best->pub.st.hash, PV_STATEMENT_HASH_LEN) < 0)) {
            best = e;
            best_counts = counts;
        }
    }
    return best;
}

/* --- conditions: the time -------------------------------------------------------------------- */

/* Few receipts ever go, so it is looked for anew only when the last one of the latest time went, or
 * when another coordinator is root's. */
static void find_time(struct pv_roster *r)
{
    r->anew.time = false;
    r->time = 0;
    r->n_latest = 0;
    for (const struct pv_roster_item *e = r->first; e != NULL; e = e->next)
        pv_roster_count_time(r, e, true);
}

/* When the network's time has passed the next expiry, or has gone back: touches all members whose
 * membership may end, so that settling judges them by the time of now. */
static void settle_time(struct pv_roster *r)
{
    if (r->anew.time)
        find_time(r);
    if (r->time == r->judged_at || (r->time > r->judged_at && r->time <= r->next_expiry)) {
        r->judged_at = r->time;
        return;
    }
    r->judged_at = r->time;
    r->next_expiry = UINT64_MAX;
    for (struct pv_roster_key *k = r->mortals; k != NULL; k = k->next_mortal)
        pv_roster_touch(r, k);
}

/* --- conditions: admissions ------------------------------------------------------------------ */

struct pv_roster_item *pv_roster_find_admission(const struct pv_roster *r,
                                                const struct pv_roster_key *k)
{
    struct pv_roster_item *best = NULL;

    for (struct pv_roster_item *e = k->about; e != NULL; e = e->next_about) {
        if (e->pub.st.type == PV_ST_ADMISSION && pv_roster_signer_counts(r, e, k->pk) &&
            (best == NULL || pv_roster_goes_first(e, best)))
            best = e;
    }
    return best;
}

static void want_values(const struct pv_roster_item *claim, uint32_t by)
{
    claim->values[PV_ROSTER_BIND_NAME]->wanted += by;
    claim->values[PV_ROSTER_BIND_IP4]->wanted += by;
}

/* k waits for an admission by this statement from now on; NULL: it does not wait. Names and
 * addresses of those who wait are kept from others. */
static void set_waiting(struct pv_roster_key *k, struct pv_roster_item *claim)
{
    if (k->waits != NULL)
        want_values(k->waits, (uint32_t)-1);
    if (claim != NULL)
        want_values(claim, 1);
    k->waits = claim;
}

/* --- conditions: expiry ---------------------------------------------------------------------- */

const struct pv_st_invite *pv_roster_terms(const struct pv_roster *r,
                                           const struct pv_roster_item *claim)
{
    const struct pv_roster_item *invite = NULL;

    if (pv_roster_needs_receipt(claim->signer, PV_ST_MEMBER))
        invite = pv_roster_invite_entry(r, claim->signer);
    return invite == NULL ? NULL : &invite->pub.st.u.invite;
}

/* Is e a word of k itself, or of those who let it in? */
static bool shows_life(const struct pv_roster *r, const struct pv_roster_key *k,
                       const struct pv_roster_item *e)
{
    if (!pv_kind_of(e->pub.st.type)->shows_life)
        return false;
    return pv_st_does(&e->pub.st, PV_DOES_CLAIM) || e->signer == k ||
           (pv_st_does(&e->pub.st, PV_DOES_ADMIT) && pv_roster_signer_counts(r, e, k->pk));
}

static uint64_t last_heard(const struct pv_roster *r, const struct pv_roster_key *k)
{
    uint64_t last = 0;

    for (const struct pv_roster_item *e = k->about; e != NULL; e = e->next_about) {
        if (pv_roster_is_ordered(e->receipt) && e->receipt->time > last && shows_life(r, k, e))
            last = e->receipt->time;
    }
    return last;
}

/* Fills in lifetime and end of the membership that k claims, and notes that it may expire. True:
 * it has expired. */
static bool judge_life(struct pv_roster *r, struct pv_roster_key *k, struct pv_member *m)
{
    const struct pv_st_invite *terms = pv_roster_terms(r, k->claim.item);
    /* Only an admin can set it, and nothing renews it but another statement. */
    const uint64_t fixed = k->claim.item->pub.st.u.member.expires;

    m->lifetime = terms == NULL ? 0 : terms->lifetime;
    m->expires = fixed;
    if (m->lifetime == 0 && fixed == 0)
        return false;
    if (!k->in.mortals) {
        k->in.mortals = true;
        k->next_mortal = r->mortals;
        r->mortals = k;
    }
    if (fixed == 0) {
        uint64_t last = last_heard(r, k);
        m->expires = last > UINT64_MAX - m->lifetime ? UINT64_MAX : last + m->lifetime;
    }
    bool expired = m->expires < r->time;
    if (!expired && m->expires < r->next_expiry)
        r->next_expiry = m->expires;
    return expired;
}
