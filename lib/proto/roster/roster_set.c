/* SPDX-License-Identifier: MIT */
/*
 * roster_set.c - statements and cards by their hashes, and what two rosters compare: the head over
 * all statements, digests of cards and of buckets, and the digest of the members. Two rosters with
 * one head hold the same statements; with one members' digest they also decided alike.
 */
#include <stdlib.h>
#include <string.h>

#include "crypto/hash.h"
#include "proto/roster/roster_int.h"

enum {
    FEW_MAX = 64,      /* ours: statements that one bucket has before each first byte gets one */
    BUCKET_FIRST = 4,  /* ours: places of a bucket that grows */
    SCRATCH_FIRST = 8, /* ours: hashes */
};

void pv_roster_list_push(struct pv_roster_list *list, struct pv_roster_item *e)
{
    e->next_news = NULL;
    if (list->last == NULL)
        list->first = e;
    else
        list->last->next_news = e;
    list->last = e;
}

struct pv_roster_item *pv_roster_list_pop(struct pv_roster_list *list)
{
    struct pv_roster_item *e = list->first;

    if (e == NULL)
        return NULL;
    list->first = e->next_news;
    if (list->first == NULL)
        list->last = NULL;
    return e;
}

/* --- buckets --------------------------------------------------------------------------------- */

static uint64_t prefix_of(const uint8_t *hash, size_t len)
{
    uint8_t prefix[PV_ROSTER_PREFIX_LEN] = {0};
    memcpy(prefix, hash, len < sizeof(prefix) ? len : sizeof(prefix));
    return pv_load_be64(prefix);
}

static bool is_below(const struct pv_roster_slot *slot, uint64_t prefix, const uint8_t *hash,
                     size_t len)
{
    if (slot->prefix != prefix || len <= PV_ROSTER_PREFIX_LEN)
        return slot->prefix < prefix;
    return memcmp(slot->item->pub.st.hash, hash, len) < 0;
}

/* Position of the first statement of the bucket that is not below hash (len bytes of it). */
static size_t bucket_search(const struct pv_roster_bucket *b, const uint8_t *hash, size_t len)
{
    uint64_t prefix = prefix_of(hash, len);
    size_t lo = 0, hi = b->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (is_below(&b->v[mid], prefix, hash, len))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static struct pv_roster_bucket *bucket_of(const struct pv_roster *r, const uint8_t *hash)
{
    return r->buckets == NULL ? (struct pv_roster_bucket *)(uintptr_t)&r->few
                              : &r->buckets[hash[0]];
}

/* The statements whose hashes begin with this byte, ascending; returns how many. */
static size_t statements_of(const struct pv_roster *r, uint8_t bucket,
                            const struct pv_roster_slot **ret_first)
{
    const struct pv_roster_bucket *b = bucket_of(r, &bucket);
    uint8_t behind = (uint8_t)(bucket + 1);

    *ret_first = b->v;
    if (r->buckets != NULL)
        return b->n;
    size_t from = bucket_search(b, &bucket, 1);
    *ret_first += from;
    return (behind == 0 ? b->n : bucket_search(b, &behind, 1)) - from;
}

struct pv_roster_item *pv_roster_set_find(const struct pv_roster *r, const uint8_t *hash,
                                          size_t len)
{
    const struct pv_roster_bucket *b = bucket_of(r, hash);
    size_t i = bucket_search(b, hash, len);

    return i < b->n && memcmp(b->v[i].item->pub.st.hash, hash, len) == 0 ? b->v[i].item : NULL;
}

static int grow_bucket(struct pv_roster_bucket *b, uint32_t cap)
{
    struct pv_roster_slot *v = realloc(b->v, cap * sizeof(*v));

    if (v == NULL)
        return PV_ERR_NOMEM;
    b->v = v;
    b->cap = cap;
    return PV_OK;
}

static void free_buckets(struct pv_roster_bucket *buckets)
{
    for (size_t i = 0; buckets != NULL && i < PV_ROSTER_BUCKETS; i++)
        free(buckets[i].v);
    free(buckets);
}

/* Gives each first byte a bucket of its own. Without memory all stay in one, which costs more time
 * and is tried again with the next statement. */
static void split_few(struct pv_roster *r)
{
    struct pv_roster_bucket *buckets = calloc(PV_ROSTER_BUCKETS, sizeof(*buckets));

    if (buckets == NULL)
        return;
    /* They come in the order that the buckets need. */
    for (size_t i = 0; i < r->few.n; i++) {
        struct pv_roster_bucket *b = &buckets[r->few.v[i].item->pub.st.hash[0]];
        if (b->n == b->cap && grow_bucket(b, b->cap == 0 ? BUCKET_FIRST : b->cap * 2) < 0) {
            free_buckets(buckets);
            return;
        }
        b->v[b->n++] = r->few.v[i];
    }
    free(r->few.v);
    r->few = (struct pv_roster_bucket){.v = NULL};
    r->buckets = buckets;
}

int pv_roster_set_reserve(struct pv_roster *r, const uint8_t *hash)
{
    if (r->buckets == NULL && r->few.n >= FEW_MAX)
        split_few(r);
    struct pv_roster_bucket *b = bucket_of(r, hash);
    if (b->n == b->cap) {
        int status = grow_bucket(b, b->cap == 0 ? BUCKET_FIRST : b->cap * 2);
        if (status != PV_OK)
            return status;
    }
    void *scratch = pv_vec_room(r->scratch, r->size + r->n_cards, &r->scratch_cap, SCRATCH_FIRST,
                                PV_STATEMENT_HASH_LEN);
    if (scratch == NULL)
        return PV_ERR_NOMEM;
    r->scratch = scratch;
    return PV_OK;
}

void pv_roster_set_done(struct pv_roster *r)
{
    free_buckets(r->buckets);
    free(r->few.v);
    free(r->scratch);
}

static bool is_card(const struct pv_roster_item *e)
{
    return pv_st_does(&e->pub.st, PV_DOES_SHOW);
}

/* Cards have a digest of their own: they are no part of the set. */
static void count_item(struct pv_roster *r, struct pv_roster_bucket *b,
                       const struct pv_roster_item *e, size_t by)
{
    b->digest_ok = false;
    if (is_card(e)) {
        r->n_cards += by;
        r->cards_ok = false;
    } else {
        r->size += by;
        r->head_ok = false;
    }
}

void pv_roster_set_list(struct pv_roster *r, struct pv_roster_item *e)
{
    struct pv_roster_bucket *b = bucket_of(r, e->pub.st.hash);
    size_t i = bucket_search(b, e->pub.st.hash, PV_STATEMENT_HASH_LEN);

    memmove(b->v + i + 1, b->v + i, (b->n - i) * sizeof(*b->v));
    b->v[i] = (struct pv_roster_slot){prefix_of(e->pub.st.hash, PV_ROSTER_PREFIX_LEN), e};
    b->n++;
    e->listed = true;
    pv_roster_count_time(r, e, true);
    count_item(r, b, e, 1);
}

void pv_roster_set_unlist(struct pv_roster *r, struct pv_roster_item *e)
{
    struct pv_roster_bucket *b = bucket_of(r, e->pub.st.hash);
    size_t i = bucket_search(b, e->pub.st.hash, PV_STATEMENT_HASH_LEN);

    b->n--;
    memmove(b->v + i, b->v + i + 1, (b->n - i) * sizeof(*b->v));
    pv_roster_count_time(r, e, false);
    e->listed = false;
    count_item(r, b, e, (size_t)-1);
}

const struct pv_roster_entry *pv_roster_find(const struct pv_roster *r,
                                             const uint8_t hash[static PV_STATEMENT_HASH_LEN])
{
    struct pv_roster_item *e = pv_roster_set_find(r, hash, PV_STATEMENT_HASH_LEN);
    return e == NULL ? NULL : &e->pub;
}

const struct pv_roster_entry *
pv_roster_find_prefix(const struct pv_roster *r, const uint8_t prefix[static PV_ROSTER_PREFIX_LEN])
{
    struct pv_roster_item *e = pv_roster_set_find(r, prefix, PV_ROSTER_PREFIX_LEN);
    return e == NULL ? NULL : &e->pub;
}

/* --- comparing ------------------------------------------------------------------------------- */

size_t pv_roster_size(const struct pv_roster *r)
{
    return r->size;
}

static uint8_t *put_hash(uint8_t *p, const struct pv_roster_item *e)
{
    memcpy(p, e->pub.st.hash, PV_STATEMENT_HASH_LEN);
    return p + PV_STATEMENT_HASH_LEN;
}

/* Of statements, or of cards, in a bucket. */
static uint8_t *put_hashes(uint8_t *p, const struct pv_roster_bucket *b, bool cards)
{
    for (size_t i = 0; i < b->n; i++)
        p = is_card(b->v[i].item) == cards ? put_hash(p, b->v[i].item) : p;
    return p;
}

/* The scratch was reserved when the statements were merged, so comparing rosters cannot fail for
 * want of memory. */
static void hash_scratch(const struct pv_roster *r, const uint8_t *end,
                         uint8_t out[static PV_BLAKE2B_LEN])
{
    struct pv_view none = pv_view(NULL, 0);
    pv_blake2b(out, pv_view(r->scratch, (size_t)(end - r->scratch)), none, none);
}

/* Over all statements, or over all cards. */
static void hash_all(const struct pv_roster *r, bool cards, uint8_t out[static PV_BLAKE2B_LEN])
{
    uint8_t *p = put_hashes(r->scratch, &r->few, cards);
    for (size_t i = 0; r->buckets != NULL && i < PV_ROSTER_BUCKETS; i++)
        p = put_hashes(p, &r->buckets[i], cards);
    hash_scratch(r, p, out);
}

void pv_roster_head(struct pv_roster *r, uint8_t ret_head[static PV_STATEMENT_HASH_LEN])
{
    if (!r->head_ok)
        hash_all(r, false, r->head);
    r->head_ok = true;
    memcpy(ret_head, r->head, sizeof(r->head));
}

void pv_roster_cards(struct pv_roster *r, uint8_t ret_digest[static PV_STATEMENT_HASH_LEN])
{
    if (!r->cards_ok)
        hash_all(r, true, r->cards);
    r->cards_ok = true;
    memcpy(ret_digest, r->cards, sizeof(r->cards));
}

/* Of few statements it is computed anew each time. */
uint32_t pv_roster_bucket_digest(struct pv_roster *r, uint8_t bucket)
{
    struct pv_roster_bucket *b = bucket_of(r, &bucket);
    const struct pv_roster_slot *v;
    size_t n = statements_of(r, bucket, &v);

    if (r->buckets == NULL || !b->digest_ok) {
        uint8_t hash[PV_BLAKE2B_LEN];
        uint8_t *p = r->scratch;
        for (size_t i = 0; i < n; i++)
            p = put_hash(p, v[i].item);
        hash_scratch(r, p, hash);
        b->digest = n == 0 ? 0 : pv_load_be32(hash);
        b->digest_ok = true;
    }
    return b->digest;
}

const struct pv_roster_entry *pv_roster_bucket_at(const struct pv_roster *r, uint8_t bucket,
                                                  size_t i)
{
    const struct pv_roster_slot *v;
    return i < statements_of(r, bucket, &v) ? &v[i].item->pub : NULL;
}

/* --- members ---------------------------------------------------------------------------------- */

/* The facts of a member that other nodes have to know alike. */
static void hash_member(struct pv_roster_key *k)
{
    const struct pv_member *m = &k->member;
    uint8_t fixed[PV_SIGN_PK_LEN + PV_DH_LEN + PV_IP4_LEN + 1];
    struct pv_writer w = pv_writer(fixed, sizeof(fixed));
    struct pv_view name = pv_view(m->name, strlen(m->name));

    pv_put_bytes(&w, m->node, sizeof(m->node));
    pv_put_bytes(&w, m->transport, sizeof(m->transport));
    pv_put_u32(&w, pv_addr_u32(&m->ip4));
    pv_put_u8(&w, m->rights);
    pv_blake2b(k->digest, pv_written(&w), name, pv_view(NULL, 0));
    k->digest_ok = true;
}

static int cmp_pk(const void *a, const void *b)
{
    const struct pv_roster_key *const *x = a, *const *y = b;
    return memcmp((*x)->pk, (*y)->pk, PV_SIGN_PK_LEN);
}

/* Takes those that are no members any more out of n of by_pk, when they are most of it: they may
 * come back. Returns how many are left. */
static size_t sift_active(const struct pv_roster *r, struct pv_roster_key **v, size_t n)
{
    size_t kept = 0;

    if (r->n_by_pk / 2 <= r->n_active)
        return n;
    for (size_t i = 0; i < n; i++) {
        v[i]->in.by_pk = v[i]->member.state == PV_MEMBER_ACTIVE;
        if (v[i]->in.by_pk)
            v[kept++] = v[i];
    }
    return kept;
}

/* Puts the active members in order of their keys. Those that came since the last time are sorted
 * and moved to their places, from the last on, so that each of the others moves once, however many
 * came. The scratch has room for them. */
static void order_active(struct pv_roster *r)
{
    struct pv_roster_key **v = r->by_pk, **late = (void *)r->scratch;
    size_t n = sift_active(r, v, r->n_ordered);
    size_t n_late = sift_active(r, v + r->n_ordered, r->n_by_pk - r->n_ordered);

    if (n_late > 0) {
        memcpy(late, v + r->n_ordered, n_late * sizeof(struct pv_roster_key *));
        qsort(late, n_late, sizeof(struct pv_roster_key *), cmp_pk);
    }
    r->n_by_pk = r->n_ordered = n + n_late;
    while (n_late > 0) {
        struct pv_roster_key *k = late[--n_late];
        size_t lo = 0, hi = n;
        while (lo < hi) {
            size_t mid = lo + (hi - lo) / 2;
            if (memcmp(v[mid]->pk, k->pk, PV_SIGN_PK_LEN) < 0)
                lo = mid + 1;
            else
                hi = mid;
        }
        memmove(v + lo + n_late + 1, v + lo, (n - lo) * sizeof(struct pv_roster_key *));
        v[lo + n_late] = k;
        n = lo;
    }
}

/* The scratch has room for as many hashes as there are statements, so also for the members. */
void pv_roster_members(struct pv_roster *r, uint8_t ret_digest[static PV_STATEMENT_HASH_LEN])
{
    struct pv_view none = pv_view(NULL, 0);
    uint8_t *p = r->scratch;

    if (!r->members_ok)
        order_active(r);
    for (size_t i = 0; !r->members_ok && i < r->n_by_pk; i++) {
        if (r->by_pk[i]->member.state != PV_MEMBER_ACTIVE)
            continue;
        if (!r->by_pk[i]->digest_ok)
            hash_member(r->by_pk[i]);
        memcpy(p, r->by_pk[i]->digest, PV_STATEMENT_HASH_LEN);
        p += PV_STATEMENT_HASH_LEN;
    }
    if (!r->members_ok) {
        pv_blake2b(r->members, pv_view(r->scratch, (size_t)(p - r->scratch)), none, none);
        r->members_ok = true;
    }
    memcpy(ret_digest, r->members, sizeof(r->members));
}

static bool is_rule(const struct pv_roster_item *e, const uint8_t *but)
{
    const struct pv_statement *st = &e->pub.st;
    if (st->type == PV_ST_TAG && but != NULL && memcmp(st->u.tag.node, but, PV_SIGN_PK_LEN) == 0)
        return false;
    return pv_kind_of(st->type)->list == PV_LIST_RULES && e->effective;
}

/* All statements are walked over: their order is kept there. */
void pv_roster_rules_but(struct pv_roster *r, const uint8_t *but,
                         uint8_t ret_digest[static PV_STATEMENT_HASH_LEN])
{
    const struct pv_roster_slot *v;
    uint8_t *p = r->scratch;
    for (size_t b = 0; b < PV_ROSTER_BUCKETS; b++) {
        size_t n = statements_of(r, (uint8_t)b, &v);
        for (size_t i = 0; i < n; i++) {
            if (is_rule(v[i].item, but))
                p = put_hash(p, v[i].item);
        }
    }
    hash_scratch(r, p, ret_digest);
}

/* Rules change seldom. */
void pv_roster_rules(struct pv_roster *r, uint8_t ret_digest[static PV_STATEMENT_HASH_LEN])
{
    if (!r->rules_ok)
        pv_roster_rules_but(r, NULL, r->rules_digest);
    r->rules_ok = true;
    memcpy(ret_digest, r->rules_digest, sizeof(r->rules_digest));
}

/* Asked for only when heads agree and members do not, so it is computed anew each time. */
uint32_t pv_roster_receipts_digest(const struct pv_roster *r, uint8_t bucket)
{
    const struct pv_roster_slot *v;
    size_t n = statements_of(r, bucket, &v);
    uint8_t hash[PV_BLAKE2B_LEN] = {0};

    for (size_t i = 0; i < n; i++) {
        const struct pv_roster_entry *e = &v[i].item->pub;
        if (!is_card(v[i].item))
            pv_blake2b(hash, pv_view(hash, sizeof(hash)), pv_view(e->st.hash, sizeof(e->st.hash)),
                       e->receipt);
    }
    return n == 0 ? 0 : pv_load_be32(hash);
}
