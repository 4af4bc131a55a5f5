/* SPDX-License-Identifier: MIT */
/*
 * roster_contest.c - who has a name, address or transport key that several claim.
 *
 * Claims have one order, by their receipts, which all rosters compute alike. A claim wins when
 * nobody who comes before it has any of its values; so the outcome is that of looking at all
 * claims once in order, however they came. It is kept as claims come and go: a claim that might win
 * is queued, one that wins takes its values from those after it, and values that become free queue
 * those that wait for them.
 */
#include <stdlib.h>
#include <string.h>

#include "proto/roster/roster_int.h"

enum {
    BATCH = 4096,              /* ours: claims that are sorted at once where others wait */
    KEY_MAX = 1 + PV_NAME_MAX, /* bytes: kind of value, and value */
};

/* --- values ----------------------------------------------------------------------------------- */

/* Returns its length. */
static size_t value_key(uint8_t key[static KEY_MAX], enum pv_roster_binding_kind kind,
                        const void *value, size_t len)
{
    key[0] = (uint8_t)kind;
    memcpy(key + 1, value, len);
    return 1 + len;
}

struct pv_roster_value *pv_roster_value(const struct pv_roster *r, enum pv_roster_binding_kind kind,
                                        const void *value, size_t len)
{
    uint8_t key[KEY_MAX];
    struct pv_roster_value *v;

    if (len > PV_NAME_MAX)
        return NULL;
    size_t key_len = value_key(key, kind, value, len);
    PV_MAP_FIND(&r->value_map, r->values, key, key_len, v);
    return v;
}

struct pv_roster_key *pv_roster_owner(const struct pv_roster *r, enum pv_roster_binding_kind kind,
                                      const void *value, size_t len)
{
    const struct pv_roster_value *v = pv_roster_value(r, kind, value, len);
    return v == NULL || v->owner == NULL ? NULL : v->owner->key;
}

/* The values that one statement claims, on their way into the table. */
struct wanted {
    size_t n;
    uint32_t hash[PV_ROSTER_BIND_KINDS];
    size_t len[PV_ROSTER_BIND_KINDS]; /* of key */
    uint8_t key[PV_ROSTER_BIND_KINDS][KEY_MAX];
};

static void want(const struct pv_roster *r, struct wanted *w, enum pv_roster_binding_kind kind,
                 const void *value, size_t len)
{
    w->len[w->n] = value_key(w->key[w->n], kind, value, len);
    w->hash[w->n] = pv_map_hash(&r->value_map, w->key[w->n], w->len[w->n]);
    PV_MAP_FETCH(r->values, w->hash[w->n]);
    w->n++;
}

static void want_values(const struct pv_roster *r, const struct pv_statement *st, struct wanted *w)
{
    const struct pv_st_member *m = &st->u.member;
    const struct pv_st_place *p = &st->u.place;
    bool is_place = st->type == PV_ST_PLACE;

    if (st->type == PV_ST_TRANSPORT)
        want(r, w, PV_ROSTER_BIND_TRANSPORT, st->u.transport.transport, PV_DH_LEN);
    if (st->type != PV_ST_MEMBER && !is_place)
        return;
    const char *name = is_place ? p->name : m->name;
    want(r, w, PV_ROSTER_BIND_NAME, name, strlen(name));
    want(r, w, PV_ROSTER_BIND_IP4, is_place ? p->ip4 : m->ip4, PV_IP4_LEN);
    if (is_place)
        return;
    want(r, w, PV_ROSTER_BIND_IP6, m->ip6, sizeof(m->ip6));
    want(r, w, PV_ROSTER_BIND_TRANSPORT, m->transport, sizeof(m->transport));
}

static int link_value(struct pv_roster *r, struct pv_roster_item *e, const uint8_t *key, size_t len,
                      uint32_t hash)
{
    struct pv_roster_value *v;
    int status = PV_OK;

    PV_MAP_FIND_HASHED(r->values, hash, key, len, v);
    if (v == NULL) {
        v = calloc(1, sizeof(*v) + len);
        if (v == NULL)
            return PV_ERR_NOMEM;
        memcpy(v->key, key, len);
        PV_MAP_ADD_HASHED(&r->value_map, r->values, hash, v->key, len, v, status);
        if (status != PV_OK) {
            free(v);
            return status;
        }
    }
    v->refs++;
    e->values[key[0]] = v;
    return PV_OK;
}

int pv_roster_link_values(struct pv_roster *r, struct pv_roster_item *e)
{
    struct wanted w;
    int status = PV_OK;

    w.n = 0;
    want_values(r, &e->pub.st, &w);
    for (size_t i = 0; i < w.n; i++)
        PV_MAP_FETCH_FIRST(r->values, w.hash[i]);
    for (size_t i = 0; i < w.n && status == PV_OK; i++)
        status = link_value(r, e, w.key[i], w.len[i], w.hash[i]);
    if (status != PV_OK)
        pv_roster_unlink_values(r, e);
    return status;
}

void pv_roster_unlink_values(struct pv_roster *r, struct pv_roster_item *e)
{
    for (size_t i = 0; i < PV_ROSTER_BIND_KINDS; i++) {
        struct pv_roster_value *v = e->values[i];
        e->values[i] = NULL;
        if (v == NULL || --v->refs > 0)
            continue;
        PV_MAP_DEL(r->values, v);
        free(v);
    }
}

/* --- order ------------------------------------------------------------------------------------ */

static int cmp_bool(bool a, bool b)
{
    return (int)a - (int)b;
}

static int cmp_u64(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

/* Claims under an invite that let in more than it allows come last: somebody has lied about that
 * invite, and must not take from those of other invites. Claims without receipts come after all
 * that have one, as nobody can say when they were made. The rest go by the coordinator's time. */
static int cmp_ranks(const struct pv_roster_rank *a, const struct pv_roster_rank *b)
{
    int c = cmp_bool(a->overclaimed, b->overclaimed);

    if (c == 0)
        c = cmp_bool(a->bare, b->bare);
    if (c == 0)
        c = cmp_u64(a->time, b->time);
    if (c == 0)
        c = cmp_u64(a->epoch, b->epoch);
    if (c == 0)
        c = cmp_u64(a->n, b->n);
    if (c == 0)
        c = memcmp(a->coordinator, b->coordinator, sizeof(a->coordinator));
    if (c == 0)
        c = memcmp(a->hash, b->hash, PV_STATEMENT_HASH_LEN);
    return c != 0 ? c : a->turn - b->turn;
}

static struct pv_roster_rank rank_of(const struct pv_roster_item *e)
{
    struct pv_roster_rank rank = {.bare = true, .hash = e->pub.st.hash};

    rank.overclaimed = e->pub.st.type == PV_ST_MEMBER && e->signer->is_overclaimed &&
                       pv_roster_needs_receipt(e->signer, PV_ST_MEMBER);
    if (pv_roster_is_ordered(e->receipt)) {
        rank.bare = false;
        rank.time = e->receipt->time;
        rank.epoch = e->receipt->epoch;
        rank.n = e->receipt->n;
        memcpy(rank.coordinator, e->receipt->by->pk, sizeof(rank.coordinator));
    }
    return rank;
}

bool pv_roster_goes_first(const struct pv_roster_item *a, const struct pv_roster_item *b)
{
    struct pv_roster_rank x = rank_of(a), y = rank_of(b);
    return cmp_ranks(&x, &y) < 0;
}

static bool same_rank(const struct pv_roster_rank *a, const struct pv_roster_rank *b)
{
    return a->hash == b->hash && cmp_ranks(a, b) == 0;
}

/* --- the queue -------------------------------------------------------------------------------- */

static void queue_claim(struct pv_roster *r, struct pv_roster_claim *c)
{
    if (c->queued || c->item == NULL)
        return;
    c->queued = true;
    c->next = r->queue;
    r->queue = c;
}

/* Merges two sorted lists. */
static struct pv_roster_claim *merge(struct pv_roster_claim *a, struct pv_roster_claim *b)
{
    struct pv_roster_claim *first = NULL, **end = &first;

    while (a != NULL && b != NULL) {
        struct pv_roster_claim **least = cmp_ranks(&a->rank, &b->rank) <= 0 ? &a : &b;
        *end = *least;
        *least = (*least)->next;
        end = &(*end)->next;
    }
    *end = a != NULL ? a : b;
    return first;
}

/* Sorts the queue without memory, so that settling cannot fail. runs[i] is a sorted list of 2^i
 * claims. In order, a batch of claims to one value moves it once instead of once for each. */
static struct pv_roster_claim *sort_claims(struct pv_roster_claim *list)
{
    struct pv_roster_claim *runs[32] = {NULL};

    while (list != NULL) {
        struct pv_roster_claim *run = list;
        size_t i = 0;
        list = list->next;
        run->next = NULL;
        for (; i < PV_ARRAY_LEN(runs) - 1 && runs[i] != NULL; i++) {
            run = merge(runs[i], run);
            runs[i] = NULL;
        }
        runs[i] = merge(runs[i], run);
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(runs); i++)
        list = merge(runs[i], list);
    return list;
}

/* --- winning and losing ----------------------------------------------------------------------- */

void pv_roster_touch(struct pv_roster *r, struct pv_roster_key *k)
{
    if (k->in.touched)
        return;
    k->in.touched = true;
    k->next_touched = r->touched;
    r->touched = k;
}

/* All who wait for it may try. */
static void free_value(struct pv_roster *r, struct pv_roster_value *v)
{
    v->owner = NULL;
    for (struct pv_roster_stake *s = v->stakes; s != NULL; s = s->next) {
        if (!s->claim->wins)
            queue_claim(r, s->claim);
    }
}

static void withdraw(struct pv_roster *r, struct pv_roster_claim *c);

/* c no longer has its values. One that has a new owner already is not free. */
static void lose(struct pv_roster *r, struct pv_roster_claim *c)
{
    c->wins = false;
    pv_roster_touch(r, c->key);
    for (size_t i = 0; i < PV_ROSTER_BIND_KINDS; i++) {
        struct pv_roster_value *v = c->stakes[i].value;
        if (v != NULL && v->owner == c)
            free_value(r, v);
    }
    /* Without its membership a node has no other transport key, name or address either. */
    for (size_t i = 0; c == &c->key->claim && i < PV_ROSTER_BIND_KINDS; i++) {
        if (c->key->further[i] != NULL)
            withdraw(r, c->key->further[i]);
    }
}

static void withdraw(struct pv_roster *r, struct pv_roster_claim *c)
{
    bool won = c->wins;

    for (size_t i = 0; i < PV_ROSTER_BIND_KINDS; i++) {
        struct pv_roster_stake *s = &c->stakes[i];
        if (s->value != NULL)
            PV_LIST_DEL(s->value->stakes, s);
    }
    if (won)
        lose(r, c);
    for (size_t i = 0; i < PV_ROSTER_BIND_KINDS; i++)
        c->stakes[i].value = NULL;
    c->item = NULL; /* still queued, it is passed over */
}

static void enter(struct pv_roster *r, struct pv_roster_claim *c, struct pv_roster_key *k,
                  struct pv_roster_item *e, const struct pv_roster_rank *rank)
{
    c->key = k;
    c->item = e;
    c->rank = *rank;
    for (size_t i = 0; i < PV_ROSTER_BIND_KINDS; i++) {
        struct pv_roster_value *v = e->values[i];
        struct pv_roster_stake *s = &c->stakes[i];
        if (v == NULL || (c != &k->claim && c != k->further[i]))
            continue;
        *s = (struct pv_roster_stake){.value = v, .claim = c};
        PV_LIST_ADD_FIRST(v->stakes, s);
    }
    queue_claim(r, c);
}

/* A claim never changes: one that is made anew leaves and enters, so that those who waited for it
 * are asked. */
static void set_claim(struct pv_roster *r, struct pv_roster_claim *c, struct pv_roster_key *k,
                      struct pv_roster_item *e, const struct pv_roster_rank *rank)
{
    if (c->item == e && (e == NULL || same_rank(&c->rank, rank)))
        return;
    if (c->item != NULL)
        withdraw(r, c);
    if (e != NULL)
        enter(r, c, k, e, rank);
}

/* A further claim of a member, by e; NULL: none. It is looked at once the node is a member, and
 * comes after the node's own claim, or two members could each wait for the other. A node need not
 * win again what it has by that. */
static void stake_further(struct pv_roster *r, struct pv_roster_key *k,
                          enum pv_roster_binding_kind kind, struct pv_roster_item *e)
{
    struct pv_roster_claim *c = k->further[kind];
    struct pv_roster_rank rank;

    if (c == NULL)
        return;
    if (e == NULL || !k->claim.wins || e->values[kind] == k->claim.item->values[kind]) {
        set_claim(r, c, k, NULL, NULL);
        return;
    }
    rank = rank_of(e);
    if (cmp_ranks(&rank, &k->claim.rank) < 0)
        rank = k->claim.rank; /* with its hash: by the lower one of e it could come before it */
    rank.turn = 1 + (uint8_t)kind;
    set_claim(r, c, k, e, &rank);
}

/* A claim that waited comes in order when it was admitted: a coordinator that dates it back takes
 * nothing from anybody. */
static struct pv_roster_rank rank_of_member(const struct pv_roster_claims *by)
{
    struct pv_roster_rank rank = {.bare = true}, admitted;

    if (by->member == NULL)
        return rank;
    rank = rank_of(by->member);
    if (by->admission == NULL)
        return rank;
    admitted = rank_of(by->admission);
    admitted.overclaimed = rank.overclaimed;
    return cmp_ranks(&rank, &admitted) < 0 ? admitted : rank;
}

void pv_roster_stake(struct pv_roster *r, struct pv_roster_key *k,
                     const struct pv_roster_claims *by)
{
    struct pv_roster_rank rank = rank_of_member(by);

    k->claim.key = k;
    set_claim(r, &k->claim, k, by->member, &rank);
    for (enum pv_roster_binding_kind i = 0; i < PV_ROSTER_BIND_KINDS; i++)
        stake_further(r, k, i, by->further[i]);
    pv_roster_touch(r, k);
}

enum pv_roster_binding_kind pv_roster_lacks(const struct pv_roster_claim *c)
{
    for (enum pv_roster_binding_kind i = 0; i < PV_ROSTER_BIND_KINDS; i++) {
        const struct pv_roster_value *v = c->stakes[i].value;
        if (v != NULL && v->owner != NULL && v->owner != c &&
            cmp_ranks(&v->owner->rank, &c->rank) < 0)
            return i;
    }
    return PV_ROSTER_BIND_KINDS;
}

/* c takes what it claims, unless somebody before it has any of that. */
static void contest(struct pv_roster *r, struct pv_roster_claim *c)
{
    struct pv_roster_claim *losers[PV_ROSTER_BIND_KINDS];
    size_t n = 0;

    if (c->item == NULL || c->wins || pv_roster_lacks(c) != PV_ROSTER_BIND_KINDS)
        return;
    for (size_t i = 0; i < PV_ROSTER_BIND_KINDS; i++) {
        struct pv_roster_value *v = c->stakes[i].value;
        if (v == NULL)
            continue;
        if (v->owner != NULL)
            losers[n++] = v->owner;
        v->owner = c;
    }
    c->wins = true;
    pv_roster_touch(r, c->key);
    pv_roster_mark(r, c->key); /* its transport key statement may count now */
    for (size_t i = 0; i < n; i++) {
        if (losers[i]->wins)
            lose(r, losers[i]);
    }
}

/* Takes the first n claims off the queue; fewer when there are no more. */
static struct pv_roster_claim *take_claims(struct pv_roster *r, size_t n)
{
    struct pv_roster_claim *first = r->queue, **end = &first;

    while (n > 0 && *end != NULL) {
        end = &(*end)->next;
        n--;
    }
    r->queue = *end;
    *end = NULL;
    return first;
}

bool pv_roster_contest(struct pv_roster *r)
{
    while (r->queue != NULL) {
        size_t n = r->steps < BATCH ? r->steps : BATCH;
        if (!pv_roster_spend(r, n))
            return false;
        struct pv_roster_claim *list = sort_claims(take_claims(r, n));
        while (list != NULL) {
            struct pv_roster_claim *c = list;
            list = c->next;
            c->queued = false;
            /* The values of the next one come out of memory meanwhile. */
            for (size_t i = 0; list != NULL && i < PV_ROSTER_BIND_KINDS; i++)
                __builtin_prefetch(list->stakes[i].value);
            contest(r, c);
        }
    }
    return true;
}
