/* SPDX-License-Identifier: MIT */
/*
 * roster_set.c - the set of statements by their hashes, and what two rosters compare: the head over
 * all statements, digests of buckets, and the digest of the members. Two rosters with one head hold
 * the same statements; with one members' digest they also decided alike.
 */
#include <stdlib.h>
#include <string.h>

#include "crypto/hash.h"
#include "proto/roster/roster_int.h"

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

/* Position of the first statement of the bucket that is not below hash (len bytes of it). */
static size_t bucket_search(const struct pv_roster_bucket *b, const uint8_t *hash, size_t len)
{
    size_t lo = 0, hi = b->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (memcmp(b->v[mid]->pub.st.hash, hash, len) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct pv_roster_item *pv_roster_set_find(const struct pv_roster *r, const uint8_t *hash,
                                          size_t len)
{
    const struct pv_roster_bucket *b = &r->buckets[hash[0]];
    size_t i = bucket_search(b, hash, len);

    return i < b->n && memcmp(b->v[i]->pub.st.hash, hash, len) == 0 ? b->v[i] : NULL;
}

int pv_roster_set_reserve(struct pv_roster *r, const uint8_t *hash)
{
    struct pv_roster_bucket *b = &r->buckets[hash[0]];

    if (b->n_held == b->cap) {
        uint32_t cap = b->cap == 0 ? 4 : b->cap * 2;
        struct pv_roster_item **v = realloc(b->v, cap * sizeof(struct pv_roster_item *));
        if (v == NULL)
            return PV_ERR_NOMEM;
        b->v = v;
        b->cap = cap;
    }
    if (r->n_held == r->scratch_cap) {
        size_t cap = r->scratch_cap == 0 ? 64 : r->scratch_cap * 2;
        uint8_t *scratch = realloc(r->scratch, cap * PV_STATEMENT_HASH_LEN);
        if (scratch == NULL)
            return PV_ERR_NOMEM;
        r->scratch = scratch;
        r->scratch_cap = cap;
    }
    return PV_OK;
}

void pv_roster_set_hold(struct pv_roster *r, const struct pv_roster_item *e)
{
    r->buckets[e->pub.st.hash[0]].n_held++;
    r->n_held++;
}

void pv_roster_set_let_go(struct pv_roster *r, const struct pv_roster_item *e)
{
    r->buckets[e->pub.st.hash[0]].n_held--;
    r->n_held--;
}

void pv_roster_set_list(struct pv_roster *r, struct pv_roster_item *e)
{
    struct pv_roster_bucket *b = &r->buckets[e->pub.st.hash[0]];
    size_t i = bucket_search(b, e->pub.st.hash, PV_STATEMENT_HASH_LEN);

    memmove(b->v + i + 1, b->v + i, (b->n - i) * sizeof(struct pv_roster_item *));
    b->v[i] = e;
    b->n++;
    r->size++;
    e->listed = true;
    pv_roster_count_time(r, e, true);
    b->digest_ok = r->head_ok = false;
}

void pv_roster_set_unlist(struct pv_roster *r, struct pv_roster_item *e)
{
    struct pv_roster_bucket *b = &r->buckets[e->pub.st.hash[0]];
    size_t i = bucket_search(b, e->pub.st.hash, PV_STATEMENT_HASH_LEN);

    b->n--;
    memmove(b->v + i, b->v + i + 1, (b->n - i) * sizeof(struct pv_roster_item *));
    r->size--;
    pv_roster_count_time(r, e, false);
    e->listed = false;
    b->digest_ok = r->head_ok = false;
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

/* Hash over the ascending hashes of n_buckets buckets from the first on. The scratch was reserved
 * when the statements were merged, so comparing rosters cannot fail for want of memory. */
static void hash_buckets(struct pv_roster *r, size_t first, size_t n_buckets,
                         uint8_t out[static PV_BLAKE2B_LEN])
{
    struct pv_view none = pv_view(NULL, 0);
    uint8_t *p = r->scratch;

    for (size_t b = first; b < first + n_buckets; b++) {
        for (size_t i = 0; i < r->buckets[b].n; i++, p += PV_STATEMENT_HASH_LEN)
            memcpy(p, r->buckets[b].v[i]->pub.st.hash, PV_STATEMENT_HASH_LEN);
    }
    pv_blake2b(out, pv_view(r->scratch, (size_t)(p - r->scratch)), none, none);
}

void pv_roster_head(struct pv_roster *r, uint8_t ret_head[static PV_STATEMENT_HASH_LEN])
{
    if (!r->head_ok) {
        hash_buckets(r, 0, PV_ROSTER_BUCKETS, r->head);
        r->head_ok = true;
    }
    memcpy(ret_head, r->head, sizeof(r->head));
}

uint32_t pv_roster_bucket_digest(struct pv_roster *r, uint8_t bucket)
{
    struct pv_roster_bucket *b = &r->buckets[bucket];

    if (!b->digest_ok) {
        uint8_t hash[PV_BLAKE2B_LEN];
        hash_buckets(r, bucket, 1, hash);
        b->digest = b->n == 0 ? 0 : pv_load_be32(hash);
        b->digest_ok = true;
    }
    return b->digest;
}

const struct pv_roster_entry *pv_roster_bucket_at(const struct pv_roster *r, uint8_t bucket,
                                                  size_t i)
{
    const struct pv_roster_bucket *b = &r->buckets[bucket];
    return i < b->n ? &b->v[i]->pub : NULL;
}

/* --- members ---------------------------------------------------------------------------------- */

/* What other nodes have to know alike of a member. */
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
        v[i]->is_by_pk = v[i]->member.state == PV_MEMBER_ACTIVE;
        if (v[i]->is_by_pk)
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

/* Asked for only when heads agree and members do not, so it is computed anew each time. */
uint32_t pv_roster_receipts_digest(const struct pv_roster *r, uint8_t bucket)
{
    const struct pv_roster_bucket *b = &r->buckets[bucket];
    uint8_t hash[PV_BLAKE2B_LEN] = {0};

    for (size_t i = 0; i < b->n; i++)
        pv_blake2b(hash, pv_view(hash, sizeof(hash)),
                   pv_view(b->v[i]->pub.st.hash, PV_STATEMENT_HASH_LEN), b->v[i]->pub.receipt);
    return b->n == 0 ? 0 : pv_load_be32(hash);
}
