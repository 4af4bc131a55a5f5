/* SPDX-License-Identifier: MIT */
/*
 * roster_quota.c - for which statements there is room.
 *
 * A key may make statements about itself without anybody's consent. Of each kind the best few are
 * kept, so that every roster keeps the same ones in whatever order they come; "best" is what counts
 * anyway, the newest. The limit of the whole set has a reserve for revocations and for root, and
 * does not count what removed nodes brought: so a roster that somebody filled can be repaired.
 */
#include <string.h>

#include "proto/roster/roster_int.h"

enum pv_roster_quota pv_roster_quota_of(uint8_t type)
{
    /* Without a default: the compiler names a type that is missing. */
    switch ((enum pv_statement_type)type) {
    case PV_ST_MEMBER:
        return PV_ROSTER_QUOTA_MEMBER;
    case PV_ST_TRANSPORT:
        return PV_ROSTER_QUOTA_TRANSPORT;
    case PV_ST_PLACE:
        return PV_ROSTER_QUOTA_PLACE;
    case PV_ST_LEAVE:
        return PV_ROSTER_QUOTA_LEAVE;
    case PV_ST_COORDINATORS:
        return PV_ROSTER_QUOTA_COORDINATORS;
    case PV_ST_ROUTE:
        return PV_ROSTER_QUOTA_ROUTES;
    case PV_ST_OFFERS:
        return PV_ROSTER_QUOTA_OFFERS;
    case PV_ST_TAG:
        return PV_ROSTER_QUOTA_TAGS;
    case PV_ST_RULE:
        return PV_ROSTER_QUOTA_RULES;
    case PV_ST_ABLE:
        return PV_ROSTER_QUOTA_ABLE;
    case PV_ST_NETWORK:
    case PV_ST_ADMIN:
    case PV_ST_INVITE:
    case PV_ST_REVOCATION:
    case PV_ST_END:
    case PV_ST_CONDITIONAL:
    case PV_ST_ADMISSION:
        return PV_ROSTER_QUOTA_NONE;
    case PV_ST_RECEIPT:
        break;
    }
    return PV_ROSTER_QUOTA_UNKNOWN;
}

static size_t places_of(enum pv_roster_quota quota)
{
    if (quota == PV_ROSTER_QUOTA_COORDINATORS)
        return PV_ROSTER_MAX_RECORDS;
    return quota == PV_ROSTER_QUOTA_UNKNOWN ? PV_ROSTER_MAX_UNKNOWN : PV_ROSTER_MAX_SELF;
}

/* The number by which statements of a kind follow each other. */
static uint64_t number_of(const struct pv_statement *st)
{
    switch (st->type) {
    case PV_ST_MEMBER:
        return st->u.member.serial;
    case PV_ST_TRANSPORT:
        return st->u.transport.serial;
    case PV_ST_PLACE:
        return st->u.place.serial;
    case PV_ST_LEAVE:
        return st->u.leave.serial;
    case PV_ST_COORDINATORS:
        return st->u.coordinators.seq;
    case PV_ST_ROUTE:
    case PV_ST_TAG:
    case PV_ST_RULE:
        return pv_roster_slot_of(st).seq;
    case PV_ST_OFFERS:
        return st->u.offers.serial;
    case PV_ST_ABLE:
        return st->u.able.serial;
    default:
        return 0;
    }
}

/* Is a kept rather than b? The higher number, then the lower hash. */
static bool is_better(const struct pv_statement *a, const struct pv_statement *b)
{
    if (number_of(a) != number_of(b))
        return number_of(a) > number_of(b);
    return memcmp(a->hash, b->hash, sizeof(a->hash)) < 0;
}

/* The statement that has the place which st wants; NULL: there is room. Routes, tags and rules have
 * places of their own, so that what is said of one takes no other one's. */
static struct pv_roster_item *find_worst(const struct pv_roster_key *k, enum pv_roster_quota quota,
                                         const struct pv_statement *st)
{
    struct pv_roster_item *worst = NULL;

    if (pv_roster_is_rule(st)) {
        worst = k->kept[quota];
        while (worst != NULL &&
               pv_roster_slot_of(&worst->pub.st).number != pv_roster_slot_of(st).number)
            worst = worst->next_kept;
        return worst;
    }
    if (k->n_kept[quota] < places_of(quota))
        return NULL;

    for (struct pv_roster_item *e = k->kept[quota]; e != NULL; e = e->next_kept) {
        if (worst == NULL || is_better(&worst->pub.st, &e->pub.st))
            worst = e;
    }
    return worst;
}

/* Root's own reserve is larger than that of the admins: none of them can fill it. */
static size_t most_statements(const struct pv_roster *r, const struct pv_statement *st)
{
    if (memcmp(st->signer, r->root, sizeof(r->root)) == 0)
        return PV_ROSTER_MAX_STATEMENTS + PV_ROSTER_RESERVE;
    return st->type == PV_ST_REVOCATION || st->type == PV_ST_END
               ? PV_ROSTER_MAX_STATEMENTS + PV_ROSTER_RESERVE / 2
               : PV_ROSTER_MAX_STATEMENTS;
}

int pv_roster_find_room(const struct pv_roster *r, const struct pv_statement *st,
                        struct pv_roster_item **ret_drop)
{
    enum pv_roster_quota quota = pv_roster_quota_of(st->type);
    const struct pv_roster_key *k = NULL;

    *ret_drop = NULL;
    if (quota != PV_ROSTER_QUOTA_NONE)
        k = pv_roster_key(r, quota == PV_ROSTER_QUOTA_MEMBER  ? st->u.member.node
                             : quota == PV_ROSTER_QUOTA_PLACE ? st->u.place.node
                                                              : st->signer);
    struct pv_roster_item *worst = k == NULL ? NULL : find_worst(k, quota, st);
    if (worst != NULL) {
        if (!is_better(st, &worst->pub.st))
            return PV_ERR_LIMIT;
        *ret_drop = worst;
        return PV_OK;
    }
    size_t most = most_statements(r, st);
    /* Statements that do not count any more have a limit too: somebody may go on bringing them. */
    if (r->size - r->n_dead >= most || r->size >= most + PV_ROSTER_MAX_STATEMENTS)
        return PV_ERR_LIMIT;
    return PV_OK;
}

int pv_roster_check_room(const struct pv_roster *r, const struct pv_statement *st)
{
    struct pv_roster_item *drop;
    return pv_roster_find_room(r, st, &drop);
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

struct pv_roster_item *pv_roster_quota_find(const struct pv_roster_key *k,
                                            enum pv_roster_quota quota, const uint8_t *hash)
{
    struct pv_roster_item *e = k->kept[quota];

    while (e != NULL && memcmp(e->pub.st.hash, hash, PV_STATEMENT_HASH_LEN) != 0)
        e = e->next_kept;
    return e;
}

/* Does a statement of a former admin count no more? */
static bool is_dead(const struct pv_roster *r, const struct pv_roster_item *e)
{
    switch (e->pub.st.type) {
    case PV_ST_INVITE:
    case PV_ST_CONDITIONAL:
    case PV_ST_ADMISSION:
        return !pv_roster_signer_counts(r, e, NULL);
    case PV_ST_REVOCATION:
    case PV_ST_END:
        return !e->effective;
    default:
        return false;
    }
}

/* Of a removed node its own statements; of a former admin also its invites, if they admit nobody,
 * and revocations that are void. */
void pv_roster_count_dead(struct pv_roster *r, struct pv_roster_key *k)
{
    uint32_t n = k->member.state == PV_MEMBER_REVOKED ? k->n_self : 0;

    for (const struct pv_roster_item *e = pv_roster_rights_of(k) != k->rights ? k->issued : NULL;
         e != NULL; e = e->next_issued)
        n += is_dead(r, e) ? 1 : 0;
    r->n_dead = r->n_dead - k->n_dead + n;
    k->n_dead = n;
}
