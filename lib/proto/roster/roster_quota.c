/* SPDX-License-Identifier: MIT */
/*
 * roster_quota.c - for which statements there is room.
 *
 * A key may make statements about itself without anybody's consent. Of each kind the best few are
 * kept, so that every roster keeps the same ones in whatever order they come; "best" is what counts
 * anyway, the newest. A statement that needs a right is kept twice over: the newest, and the newest
 * of what a coordinator has put in order, so that a former admin who goes on talking takes nothing
 * back of what it said in office: coordinators give it no receipts any more. Of places the newest
 * of each signer is kept, too, so that it keeps no other admin from saying one. The limit of the
 * whole set has a reserve for revocations and for root, and does not count what removed nodes
 * brought, nor what former admins say: so a roster that somebody filled can be repaired.
 */
#include <string.h>

#include "proto/roster/roster_int.h"

static size_t places_of(enum pv_roster_quota quota)
{
    if (quota == PV_ROSTER_QUOTA_CARD)
        return 1;
    return quota == PV_ROSTER_QUOTA_COORDINATORS ? PV_ROSTER_MAX_RECORDS : PV_ROSTER_MAX_SELF;
}

bool pv_roster_is_better(const struct pv_statement *a, const struct pv_statement *b)
{
    if (pv_st_number(a) != pv_st_number(b))
        return pv_st_number(a) > pv_st_number(b);
    return memcmp(a->hash, b->hash, sizeof(a->hash)) < 0;
}

struct pv_roster_item *pv_roster_next_best(const struct pv_roster_key *k,
                                           enum pv_roster_quota quota,
                                           const struct pv_roster_item *after)
{
    struct pv_roster_item *best = NULL;

    for (struct pv_roster_item *e = k->kept[quota]; e != NULL; e = e->next_kept) {
        if (after != NULL && !pv_roster_is_better(&after->pub.st, &e->pub.st))
            continue;
        if (best == NULL || pv_roster_is_better(&e->pub.st, &best->pub.st))
            best = e;
    }
    return best;
}

/* Do both want the same places? Routes, tags and rules have places of their own, so that what is
 * said of one takes no other one's. */
static bool competes(const struct pv_statement *a, const struct pv_statement *b)
{
    return !pv_st_does(a, PV_DOES_SLOT) || a->u.slotted.slot.number == b->u.slotted.slot.number;
}

/* Of these kinds the best are kept of what is proven to have been said in office, too: by the right
 * that nobody ends, or with a receipt. */
static bool is_proven(const struct pv_roster *r, const struct pv_statement *st, bool ordered)
{
    const struct pv_kind *kind = pv_kind_of(st->type);

    if (!kind->by_receipt || kind->right == 0)
        return false;
    return ordered || memcmp(st->signer, r->root, sizeof(r->root)) == 0;
}

/* A statement that is held, or that wants to be. */
struct contender {
    const struct pv_statement *st;
    const struct pv_roster_receipt *receipt; /* NULL = none */
    bool proven;
};

static struct contender contender_of(const struct pv_roster *r, const struct pv_roster_item *e)
{
    return (struct contender){
        .st = &e->pub.st,
        .receipt = e->receipt,
        .proven = is_proven(r, &e->pub.st, pv_roster_is_ordered(e->receipt)),
    };
}

/* In the order of claims: of two statements of one node. */
static bool was_first(const struct contender *a, const struct contender *b)
{
    bool ordered = pv_roster_is_ordered(a->receipt);

    if (ordered != pv_roster_is_ordered(b->receipt))
        return ordered;
    int c = !ordered ? 0 : pv_roster_cmp_receipts(a->receipt, b->receipt);
    return c != 0 ? c < 0 : memcmp(a->st->hash, b->st->hash, sizeof(a->st->hash)) < 0;
}

static bool says_the_same(const struct pv_statement *a, const struct pv_statement *b)
{
    return a->type == PV_ST_TRANSPORT && b->type == PV_ST_TRANSPORT &&
           memcmp(a->u.transport.transport, b->u.transport.transport, PV_DH_LEN) == 0;
}

/* The rivals of x, of those held and of one that wants to be. */
struct rivals {
    size_t better, proven; /* better ones; those of them that are proven */
    bool repeated;         /* a better one says the same again */
    bool newer;            /* a better one is by the same signer */
    bool first;            /* nobody said the same before x */
};

static void count_rival(struct rivals *of, const struct contender *x, const struct contender *other)
{
    bool same = says_the_same(x->st, other->st);

    of->first = of->first && !(same && was_first(other, x));
    if (!pv_roster_is_better(other->st, x->st))
        return;
    of->better++;
    of->proven += other->proven ? 1 : 0;
    of->repeated = of->repeated || same;
    of->newer = of->newer || memcmp(other->st->signer, x->st->signer, PV_SIGN_PK_LEN) == 0;
}

/* Are as many better ones held as there are places, or held together with `other`? Renewals repeat
 * a transport key, and have the place in order of who said it first, which stays for that. Of
 * where a node is the newest word of each signer is kept besides, unless as many proven ones are
 * newer: a former admin that goes on talking takes no place of another one. */
static bool is_superfluous(const struct pv_roster *r, const struct pv_roster_key *k,
                           const struct contender *x, const struct contender *other)
{
    enum pv_roster_quota quota = pv_roster_quota_of(x->st->type);
    size_t places = pv_st_does(x->st, PV_DOES_SLOT) ? 1 : places_of(quota);
    struct rivals of = {.first = true};

    if (other != NULL)
        count_rival(&of, x, other);
    for (const struct pv_roster_item *e = k->kept[quota]; e != NULL; e = e->next_kept) {
        const struct contender held = contender_of(r, e);
        if (held.st != x->st && competes(held.st, x->st))
            count_rival(&of, x, &held);
    }
    const bool newest = x->st->type == PV_ST_PLACE && !of.newer;
    return of.better >= places && (of.proven >= places || !(x->proven || newest)) &&
           !(of.repeated && of.first);
}

/* One of those that compete with x and are not needed beside it; NULL: there is none. other: x, if
 * it is not held yet. */
static struct pv_roster_item *find_superfluous(const struct pv_roster *r,
                                               const struct pv_roster_key *k,
                                               const struct pv_statement *x,
                                               const struct contender *other)
{
    enum pv_roster_quota quota = pv_roster_quota_of(x->type);
    struct pv_roster_item *e = k->kept[quota];

    if (!pv_st_does(x, PV_DOES_SLOT) &&
        k->n_kept[quota] + (other != NULL ? 1u : 0u) <= places_of(quota))
        return NULL;
    for (; e != NULL; e = e->next_kept) {
        const struct contender held = contender_of(r, e);
        if (competes(held.st, x) && is_superfluous(r, k, &held, other))
            return e;
    }
    return NULL;
}

struct pv_roster_item *pv_roster_quota_excess(const struct pv_roster *r,
                                              const struct pv_roster_item *e)
{
    return pv_roster_quota_of(e->pub.st.type) == PV_ROSTER_QUOTA_NONE
               ? NULL
               : find_superfluous(r, e->subject != NULL ? e->subject : e->signer, &e->pub.st, NULL);
}

/* Root's own reserve is larger than that of the admins: none of them can fill it. */
static size_t most_statements(const struct pv_roster *r, const struct pv_statement *st)
{
    if (memcmp(st->signer, r->root, sizeof(r->root)) == 0)
        return PV_ROSTER_MAX_STATEMENTS + PV_ROSTER_RESERVE;
    return pv_st_does(st, PV_DOES_TAKE) ? PV_ROSTER_MAX_STATEMENTS + PV_ROSTER_RESERVE / 2
                                        : PV_ROSTER_MAX_STATEMENTS;
}

/* Is there room for x? *ret_drop: the one that gives way, or NULL. PV_ERR_REPLAY: newer ones have
 * replaced it; PV_ERR_LIMIT. */
static int find_room(const struct pv_roster *r, const struct contender *x,
                     struct pv_roster_item **ret_drop)
{
    const struct pv_statement *st = x->st;
    enum pv_roster_quota quota = pv_roster_quota_of(st->type);
    const struct pv_roster_key *k = NULL;

    *ret_drop = NULL;
    const uint8_t *about = pv_st_subject(st);

    if (quota != PV_ROSTER_QUOTA_NONE)
        k = pv_roster_key(r, about != NULL ? about : st->signer);
    if (k != NULL && is_superfluous(r, k, x, NULL))
        return PV_ERR_REPLAY;
    *ret_drop = k == NULL ? NULL : find_superfluous(r, k, st, x);
    if (*ret_drop != NULL)
        return PV_OK;
    if (pv_st_does(st, PV_DOES_SHOW))
        return r->n_cards < PV_ROSTER_MAX_CARDS ? PV_OK : PV_ERR_LIMIT;
    size_t most = most_statements(r, st);
    /* Statements that do not count any more have a limit too: somebody may go on bringing them. */
    if (r->size >= most + r->n_dead || r->size >= most + PV_ROSTER_MAX_STATEMENTS)
        return PV_ERR_LIMIT;
    return PV_OK;
}

int pv_roster_find_room(const struct pv_roster *r, const struct pv_statement *st,
                        const struct pv_roster_receipt *receipt, struct pv_roster_item **ret_drop)
{
    const struct contender x = {
        .st = st,
        .receipt = receipt,
        .proven = is_proven(r, st, pv_roster_is_ordered(receipt)),
    };
    return find_room(r, &x, ret_drop);
}

/* With the receipt that it is to get: everything was said before it. */
static int find_room_in_order(const struct pv_roster *r, const struct pv_statement *st,
                              struct pv_roster_item **ret_drop)
{
    const struct contender x = {.st = st, .proven = is_proven(r, st, true)};
    return find_room(r, &x, ret_drop);
}

int pv_roster_check_room(const struct pv_roster *r, const struct pv_statement *st)
{
    struct pv_roster_item *drop;
    return find_room_in_order(r, st, &drop);
}

bool pv_roster_replaces(const struct pv_roster *r, const struct pv_statement *st)
{
    struct pv_roster_item *drop;
    return find_room_in_order(r, st, &drop) == PV_OK && drop != NULL;
}

void pv_roster_quota_add(struct pv_roster_key *k, struct pv_roster_item *e)
{
    enum pv_roster_quota quota = pv_roster_quota_of(e->pub.st.type);

    e->next_kept = k->kept[quota];
    k->kept[quota] = e;
    k->n_kept[quota]++;
}

void pv_roster_quota_remove(struct pv_roster_key *k, struct pv_roster_item *e)
{
    enum pv_roster_quota quota = pv_roster_quota_of(e->pub.st.type);
    struct pv_roster_item **at = &k->kept[quota];

    while (*at != e)
        at = &(*at)->next_kept;
    *at = e->next_kept;
    k->n_kept[quota]--;
}

/* Does a statement of a former admin count no more? Words about itself do. */
static bool is_dead(const struct pv_roster *r, const struct pv_roster_item *e)
{
    switch (pv_kind_of(e->pub.st.type)->does) {
    case PV_DOES_INVITE:
    case PV_DOES_ADMIT:
        return !pv_roster_signer_counts(r, e, NULL);
    case PV_DOES_TAKE:
        return !e->effective;
    case PV_DOES_TELL:
        return pv_roster_is_void_place(r, e);
    case PV_DOES_FOUND:
    case PV_DOES_GRANT:
    case PV_DOES_CLAIM:
    case PV_DOES_APPOINT:
    case PV_DOES_SLOT:
    case PV_DOES_SHOW:
        break;
    }
    return false;
}

/* Of a removed node its own statements; of a former admin also its invites, if they admit nobody,
 * and revocations and places that are void. */
void pv_roster_count_dead(struct pv_roster *r, struct pv_roster_key *k)
{
    const bool removed = k->member.state == PV_MEMBER_REVOKED;
    uint32_t n = removed ? k->n_self : 0;

    /* Void places count with their signers. */
    for (const struct pv_roster_item *e = removed ? k->kept[PV_ROSTER_QUOTA_PLACE] : NULL;
         e != NULL; e = e->next_kept)
        n -= pv_roster_is_void_place(r, e) ? 1 : 0;
    for (const struct pv_roster_item *e = pv_roster_rights_of(k) != k->rights ? k->issued : NULL;
         e != NULL; e = e->next_issued)
        n += is_dead(r, e) ? 1 : 0;
    r->n_dead = r->n_dead - k->n_dead + n;
    k->n_dead = n;
}
