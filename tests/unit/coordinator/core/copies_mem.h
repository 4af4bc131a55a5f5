/* SPDX-License-Identifier: MIT */
/*
 * copies_mem.h - the coordinator's copies in memory, for tests and the simulator; the same
 * operations and quotas as coordinator/store/store_sqlite.c (test_coordstore.c runs one list over
 * both). Aborts without memory.
 */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "coordinator/core/member/storeop.h"

struct copymem_row {
    struct pv_storeop_copy copy;
    uint64_t n;
    uint8_t *box;
    size_t len;
    bool leaves;  /* gives way, when there is room then for the one that is being kept */
    bool counted; /* see copymem_weigh() */
};

/* A zeroed one is empty. */
struct copymem {
    struct copymem_row *rows; /* ascending by n */
    size_t n_rows;
    uint64_t last_n;
};

static inline void copymem_drop(struct copymem *m, size_t i)
{
    free(m->rows[i].box);
    memmove(m->rows + i, m->rows + i + 1, (--m->n_rows - i) * sizeof(m->rows[0]));
}

static inline void copymem_done(struct copymem *m)
{
    while (m->n_rows > 0)
        copymem_drop(m, m->n_rows - 1);
    free(m->rows);
    m->rows = NULL;
}

/* The sums of a receiver, of a sender, and of both together, as of now. */
struct copymem_sums {
    size_t to, to_bytes, from, from_bytes, pair, pair_bytes;
};

static inline bool copymem_same_to(const struct copymem_row *r, const struct pv_storeop_copy *w)
{
    return memcmp(r->copy.network, w->network, sizeof(w->network)) == 0 &&
           memcmp(r->copy.to, w->to, sizeof(w->to)) == 0 && !r->leaves;
}

/* The bytes of box count as if it were there. */
static inline struct copymem_sums copymem_add_up(const struct copymem *m,
                                                 const struct pv_storeop_copy *w, size_t len)
{
    struct copymem_sums x = {.to_bytes = len, .from_bytes = len, .pair_bytes = len};
    for (size_t i = 0; i < m->n_rows; i++) {
        const struct copymem_row *r = &m->rows[i];
        if (memcmp(r->copy.network, w->network, sizeof(w->network)) != 0)
            continue;
        bool same_to = copymem_same_to(r, w);
        bool same_from = memcmp(r->copy.from, w->from, sizeof(w->from)) == 0;
        x.to += same_to;
        x.to_bytes += same_to ? r->len : 0;
        x.pair += same_to && same_from;
        x.pair_bytes += same_to && same_from ? r->len : 0;
        x.from += same_from;
        x.from_bytes += same_from ? r->len : 0;
    }
    return x;
}

/* The weight of the sender of row i at the receiver of w; its rows are counted then. */
static inline size_t copymem_weigh(struct copymem *m, const struct pv_storeop_copy *w, size_t i)
{
    size_t weight = 0;
    for (size_t k = i; k < m->n_rows; k++) {
        struct copymem_row *r = &m->rows[k];
        if (!copymem_same_to(r, w) ||
            memcmp(r->copy.from, m->rows[i].copy.from, sizeof(r->copy.from)) != 0)
            continue;
        weight += r->len + PV_STOREOP_COPY_EACH;
        r->counted = true;
    }
    return weight;
}

/* Of the sender that has most the newest leaves; false: nobody else has more than own. */
static inline bool copymem_give_way(struct copymem *m, const struct pv_storeop_copy *w, size_t own)
{
    size_t most = own;
    uint8_t greedy[PV_SIGN_PK_LEN] = {0};
    for (size_t i = 0; i < m->n_rows; i++)
        m->rows[i].counted = false;
    for (size_t i = 0; i < m->n_rows; i++) {
        const struct copymem_row *r = &m->rows[i];
        if (r->counted || !copymem_same_to(r, w) ||
            memcmp(r->copy.from, w->from, sizeof(w->from)) == 0)
            continue;
        size_t weight = copymem_weigh(m, w, i);
        if (weight > most)
            memcpy(greedy, r->copy.from, sizeof(greedy));
        most = weight > most ? weight : most;
    }
    if (most == own)
        return false;
    size_t i = m->n_rows;
    while (i-- > 0 && (!copymem_same_to(&m->rows[i], w) ||
                       memcmp(m->rows[i].copy.from, greedy, sizeof(greedy)) != 0))
        ;
    m->rows[i].leaves = true;
    return true;
}

static inline bool copymem_is_full(const struct copymem_sums *x)
{
    return x->to >= PV_STOREOP_COPY_TO || x->to_bytes > PV_STOREOP_COPY_TO_BYTES;
}

static inline bool copymem_make_room(struct copymem *m, const struct pv_storeop *op)
{
    struct copymem_sums x = copymem_add_up(m, &op->copy, op->box.len);
    if (x.from >= PV_STOREOP_COPY_FROM || x.from_bytes > PV_STOREOP_COPY_FROM_BYTES ||
        ((x.pair >= PV_STOREOP_COPY_PAIR || x.pair_bytes > PV_STOREOP_COPY_PAIR_BYTES) &&
         (x.to >= PV_STOREOP_COPY_TO / 2 || x.to_bytes > PV_STOREOP_COPY_TO_BYTES / 2)))
        return false;
    const size_t own = x.pair_bytes + (x.pair + 1) * PV_STOREOP_COPY_EACH;
    bool going = true;
    while (going && copymem_is_full(&x)) {
        going = copymem_give_way(m, &op->copy, own);
        x = copymem_add_up(m, &op->copy, op->box.len);
    }
    for (size_t i = m->n_rows; i-- > 0;) {
        if (m->rows[i].leaves && going)
            copymem_drop(m, i);
        else
            m->rows[i].leaves = false;
    }
    return going;
}

static inline int copymem_keep(struct copymem *m, const struct pv_storeop *op)
{
    const struct pv_storeop_copy *w = &op->copy;
    for (size_t i = 0; i < m->n_rows; i++) {
        const struct copymem_row *r = &m->rows[i];
        if (copymem_same_to(r, w) && memcmp(r->copy.from, w->from, sizeof(w->from)) == 0 &&
            memcmp(r->copy.key, w->key, sizeof(w->key)) == 0)
            return PV_OK;
    }
    if (!copymem_make_room(m, op))
        return PV_ERR_REFUSED;
    m->rows = reallocarray(m->rows, m->n_rows + 1, sizeof(*m->rows));
    uint8_t *box = malloc(op->box.len + 1);
    if (m->rows == NULL || box == NULL)
        abort();
    memcpy(box, op->box.ptr, op->box.len);
    m->rows[m->n_rows++] =
        (struct copymem_row){.copy = *w, .n = ++m->last_n, .box = box, .len = op->box.len};
    return PV_OK;
}

static inline void copymem_collect(struct copymem *m, const struct pv_storeop *op,
                                   struct pv_storeop_result *res)
{
    for (size_t i = 0; i < m->n_rows; i++) {
        const struct copymem_row *r = &m->rows[i];
        if (memcmp(r->copy.network, op->copy.network, sizeof(r->copy.network)) != 0 ||
            memcmp(r->copy.to, op->copy.to, sizeof(r->copy.to)) != 0)
            continue;
        if (r->n == op->copy.n) {
            copymem_drop(m, i--);
            continue;
        }
        if (r->n <= op->copy.after || res->collected != NULL)
            continue;
        res->collected = malloc(sizeof(*res->collected) + r->len);
        if (res->collected == NULL)
            abort();
        res->collected->n = r->n;
        memcpy(res->collected->from, r->copy.from, sizeof(res->collected->from));
        res->collected->len = r->len;
        memcpy(res->collected->box, r->box, r->len);
    }
}

/* Serves KEEP and COLLECT; false: another kind. The caller frees res->collected. */
static inline bool copymem_run(struct copymem *m, const struct pv_storeop *op,
                               struct pv_storeop_result *res)
{
    if (op->kind != PV_STOREOP_KEEP && op->kind != PV_STOREOP_COLLECT)
        return false;
    for (size_t i = 0; i < m->n_rows; i++) {
        if (m->rows[i].copy.wall_s + PV_STOREOP_COPY_S < op->copy.wall_s)
            copymem_drop(m, i--);
    }
    if (op->kind == PV_STOREOP_KEEP)
        res->status = copymem_keep(m, op);
    else
        copymem_collect(m, op, res);
    return true;
}
