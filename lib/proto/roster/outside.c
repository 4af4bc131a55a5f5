/* SPDX-License-Identifier: MIT */
/*
 * outside.c - statements outside the log. They lie in one array in the order of importance within
 * their group: a group is root, a grant, or a member that leaves; takings come before rows, then
 * the lower hash. So the last of a group is the one that goes when the group is full.
 */
#include "proto/roster/outside.h"

#include <stdlib.h>
#include <string.h>

#include "base/vec.h"

enum group {
    GROUP_ROOT,
    GROUP_GRANT,
    GROUP_LEAVE,
};

struct item {
    struct {
        uint8_t group;  /* enum group */
        uint8_t of[32]; /* the grant, or the member */
        uint8_t is_row; /* takings go before rows */
        uint8_t hash[PV_LOGST_HASH_LEN];
    } key;        /* bytes alone, compared as such */
    uint32_t age; /* at an apply: of its grant; UINT32_MAX: not in the log */
    bool ends;    /* at an apply: it would end an office */
    bool took;    /* it counted at the last apply */
    size_t len;
    uint8_t raw[];
};

struct pv_outside {
    uint8_t root[PV_SIGN_PK_LEN];
    size_t grant_max;
    struct item **items; /* ascending by key */
    size_t n, cap;
    size_t bytes;
    struct item **took; /* those that counted, in order; room for all */
    size_t n_took, cap_took;
};

int pv_outside_new(const uint8_t root[static PV_SIGN_PK_LEN], size_t grant_max,
                   struct pv_outside **ret_outside)
{
    struct pv_outside *o = calloc(1, sizeof(*o));
    if (o == NULL)
        return PV_ERR_NOMEM;
    memcpy(o->root, root, sizeof(o->root));
    o->grant_max = grant_max;
    *ret_outside = o;
    return PV_OK;
}

struct pv_outside *pv_outside_free(struct pv_outside *o)
{
    if (o != NULL) {
        for (size_t i = 0; i < o->n; i++)
            free(o->items[i]);
        free(o->items);
        free(o->took);
        free(o);
    }
    return NULL;
}

static bool is_root(const struct pv_outside *o, const struct pv_logst *st)
{
    return memcmp(st->signer, o->root, sizeof(o->root)) == 0;
}

/* It was decoded before it was kept, so this cannot fail. */
static struct pv_logst st_of(const struct item *item)
{
    struct pv_logst st;
    int r = pv_logst_decode(pv_view(item->raw, item->len), &st);
    (void)r;
    return st;
}

/* --- which are kept -------------------------------------------------------------------------- */

static void set_key(const struct pv_outside *o, const struct pv_logst *st, struct item *item)
{
    bool leave = st->type == PV_LOGST_LEAVE;
    bool root = !leave && is_root(o, st);

    item->key.group = root ? GROUP_ROOT : leave ? GROUP_LEAVE : GROUP_GRANT;
    if (!root)
        memcpy(item->key.of, leave ? st->signer : st->grant, sizeof(item->key.of));
    item->key.is_row = st->type == PV_LOGST_ROW;
    memcpy(item->key.hash, st->hash, sizeof(item->key.hash));
}

/* The place of the first item from this key on. */
static size_t place_of(const struct pv_outside *o, const struct item *key)
{
    size_t lo = 0, hi = o->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (memcmp(&o->items[mid]->key, &key->key, sizeof(key->key)) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static bool is_at(const struct pv_outside *o, size_t i, const struct item *key)
{
    return i < o->n && memcmp(&o->items[i]->key, &key->key, sizeof(key->key)) == 0;
}

/* Places of a group: from *ret_first to below the result. */
static size_t group_of(const struct pv_outside *o, const struct item *key, size_t *ret_first)
{
    struct item lowest = {.key.group = key->key.group}, highest = {.key.group = key->key.group};

    memcpy(lowest.key.of, key->key.of, sizeof(lowest.key.of));
    memcpy(highest.key.of, key->key.of, sizeof(highest.key.of));
    highest.key.is_row = UINT8_MAX;
    *ret_first = place_of(o, &lowest);
    return place_of(o, &highest);
}

/* A grant of root's that is outside, too. */
static bool is_granted_outside(const struct pv_outside *o, const struct pv_logst *st)
{
    struct item key = {.key.group = GROUP_ROOT};

    memcpy(key.key.hash, st->grant, sizeof(key.key.hash));
    size_t i = place_of(o, &key);
    if (!is_at(o, i, &key))
        return false;
    struct pv_logst grant = st_of(o->items[i]);
    return grant.type == PV_LOGST_GRANT &&
           memcmp(grant.about, st->signer, sizeof(grant.about)) == 0;
}

/* PV_OK if the statement may count after this log, now or later: only such take up room. */
static int may_count(const struct pv_outside *o, const struct pv_fold *fold,
                     const struct pv_logst *st)
{
    enum pv_why why = pv_fold_why(fold, st, pv_fold_now(fold)->time);

    if (why == PV_WHY_COUNTED)
        return PV_ERR_EXISTS;
    if (!pv_logst_is_free(st->type) || why == PV_WHY_ENDED || why == PV_WHY_TAKEN_BACK)
        return PV_ERR_REFUSED;
    if (st->type == PV_LOGST_LEAVE || is_root(o, st))
        return PV_OK;
    if (st->type == PV_LOGST_GRANT)
        return PV_ERR_REFUSED;
    const struct pv_said *g = pv_fold_said(fold, st->grant);
    if (g != NULL && g->ended)
        return PV_ERR_REFUSED;
    if (g == NULL || g->kind != PV_SAID_GRANT)
        return is_granted_outside(o, st) ? PV_OK : PV_ERR_NOT_FOUND;
    return memcmp(g->u.grant.of->key, st->signer, PV_SIGN_PK_LEN) == 0 ? PV_OK : PV_ERR_REFUSED;
}

static void drop(struct pv_outside *o, size_t i)
{
    o->bytes -= o->items[i]->len;
    free(o->items[i]);
    memmove(&o->items[i], &o->items[i + 1], (o->n - i - 1) * sizeof(o->items[0]));
    o->n--;
    o->n_took = 0;
}

static size_t group_max(const struct pv_outside *o, uint8_t group)
{
    return group == GROUP_ROOT ? PV_OUTSIDE_ROOT_MAX : group == GROUP_GRANT ? o->grant_max : 1;
}

/* The last of a full group gives way, unless the statement would be the last. */
static int insert(struct pv_outside *o, const struct pv_logst *st, const struct item *key)
{
    size_t first, i = place_of(o, key), end = group_of(o, key, &first);
    bool full = end - first >= group_max(o, key->key.group);

    if (full && i == end)
        return PV_ERR_LIMIT;
    if ((!full && o->n >= PV_OUTSIDE_MAX) || o->bytes + st->raw.len > PV_OUTSIDE_BYTES)
        return PV_ERR_LIMIT;
    struct item **items = pv_vec_room(o->items, o->n, &o->cap, 16, sizeof(o->items[0]));
    if (items == NULL)
        return PV_ERR_NOMEM;
    o->items = items;
    struct item *item = calloc(1, sizeof(*item) + st->raw.len);
    if (item == NULL)
        return PV_ERR_NOMEM;
    item->key = key->key;
    item->len = st->raw.len;
    memcpy(item->raw, st->raw.ptr, st->raw.len);
    memmove(&o->items[i + 1], &o->items[i], (o->n - i) * sizeof(o->items[0]));
    o->items[i] = item;
    o->n++;
    o->bytes += item->len;
    if (full)
        drop(o, end);
    return PV_OK;
}

int pv_outside_put(struct pv_outside *o, const struct pv_fold *fold, const struct pv_logst *st)
{
    struct item key = {0};
    int r = may_count(o, fold, st);

    set_key(o, st, &key);
    if (r == PV_OK && is_at(o, place_of(o, &key), &key))
        r = PV_ERR_EXISTS;
    if (r == PV_OK && st->type == PV_LOGST_LEAVE) {
        const struct pv_keyrec *k = pv_fold_key(fold, st->signer);
        if (k == NULL || !k->is_member)
            r = PV_ERR_NOT_FOUND;
    }
    if (r != PV_OK)
        return r;
    o->n_took = 0;
    return insert(o, st, &key);
}

void pv_outside_prune(struct pv_outside *o, const struct pv_fold *fold)
{
    for (size_t i = o->n; i-- > 0;) {
        struct pv_logst st = st_of(o->items[i]);
        if (may_count(o, fold, &st) != PV_OK)
            drop(o, i);
    }
}

/* --- how they count -------------------------------------------------------------------------- */

/* Ends of offices go by the age of its signer's grant; ages are equal in the other steps. */
static int by_age(const void *a, const void *b)
{
    const struct item *x = *(struct item *const *)a, *y = *(struct item *const *)b;
    if (x->age != y->age)
        return x->age < y->age ? -1 : 1;
    return memcmp(x->key.hash, y->key.hash, sizeof(x->key.hash));
}

/* The steps of rule 5. */
enum step {
    STEP_GRANTS, /* root's grants */
    STEP_ROOT,   /* root's others */
    STEP_ENDS,   /* what ends an office */
    STEP_ALL,
    STEPS,
};

static bool is_of(const struct item *item, enum step step)
{
    if (step == STEP_ENDS || step == STEP_ALL)
        return step == STEP_ALL || item->ends;
    return item->key.group == GROUP_ROOT &&
           (item->raw[1] == PV_LOGST_GRANT) == (step == STEP_GRANTS);
}

/* Puts the statements in the order of a step. Ages and ends are those of after root's statements.
 */
static void arrange(struct pv_outside *o, const struct pv_fold *fold, struct item **order,
                    enum step step)
{
    for (size_t i = 0; i < o->n; i++) {
        struct item *item = order[i];
        item->age = 0;
        if (step != STEP_ENDS)
            continue;
        struct pv_logst st = st_of(item);
        const struct pv_said *g = pv_fold_said(fold, st.grant);
        bool own = g != NULL && g->kind == PV_SAID_GRANT &&
                   memcmp(g->u.grant.of->key, st.signer, PV_SIGN_PK_LEN) == 0;
        item->age = own ? g->u.grant.age : UINT32_MAX;
        item->ends = pv_fold_ends(fold, &st);
    }
    qsort(order, o->n, sizeof(order[0]), by_age);
}

static int apply_step(struct pv_outside *o, struct pv_fold *fold, struct item **order,
                      enum step step)
{
    for (size_t i = 0; i < o->n; i++) {
        struct pv_logst st;
        enum pv_why why;
        if (order[i]->took || !is_of(order[i], step))
            continue;
        st = st_of(order[i]);
        int r = pv_fold_apply(fold, &st, pv_fold_now(fold)->time, &why);
        if (r != PV_OK)
            return r;
        order[i]->took = why == PV_WHY_ALLOWED;
        if (order[i]->took)
            o->took[o->n_took++] = order[i];
    }
    return PV_OK;
}

int pv_outside_apply(struct pv_outside *o, struct pv_fold *fold)
{
    o->n_took = 0;
    pv_fold_mark(fold);
    if (o->n == 0)
        return PV_OK;
    if (o->cap_took < o->n) {
        struct item **took = reallocarray(o->took, o->n, sizeof(o->took[0]));
        if (took == NULL)
            return PV_ERR_NOMEM;
        o->took = took;
        o->cap_took = o->n;
    }
    struct item **order = calloc(o->n, sizeof(order[0]));
    if (order == NULL)
        return PV_ERR_NOMEM;
    memcpy(order, o->items, o->n * sizeof(order[0]));
    for (size_t i = 0; i < o->n; i++)
        order[i]->took = false;
    int r = PV_OK;
    for (enum step step = STEP_GRANTS; r == PV_OK && step < STEPS; step++) {
        arrange(o, fold, order, step);
        r = apply_step(o, fold, order, step);
    }
    free(order);
    return r;
}

bool pv_outside_took(const struct pv_outside *o, size_t i, struct pv_logst *ret_st)
{
    if (i >= o->n_took)
        return false;
    *ret_st = st_of(o->took[i]);
    return true;
}

size_t pv_outside_count(const struct pv_outside *o)
{
    return o->n;
}

struct pv_view pv_outside_at(const struct pv_outside *o, size_t i)
{
    return pv_view(o->items[i]->raw, o->items[i]->len);
}
