/* SPDX-License-Identifier: MIT */
/*
 * copies_mem.h - the coordinator's copies in memory, for tests and the simulator; the same
 * operations and quotas as coordinator/store/store_sqlite.c (test_coordstore.c runs one list over
 * both). Aborts without memory.
 */
#ifndef PV_COPIES_MEM_H
#define PV_COPIES_MEM_H

#include <stdlib.h>
#include <string.h>

#include "coordinator/core/member/storeop.h"

struct copymem_row {
    struct pv_storeop_copy copy;
    uint64_t n;
    uint8_t *box;
    size_t len;
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

static inline int copymem_keep(struct copymem *m, const struct pv_storeop *op)
{
    const struct pv_storeop_copy *w = &op->copy;
    size_t to = 0, to_bytes = op->box.len, from = 0, from_bytes = op->box.len;
    size_t pair = 0, pair_bytes = op->box.len;
    for (size_t i = 0; i < m->n_rows; i++) {
        const struct copymem_row *r = &m->rows[i];
        if (memcmp(r->copy.network, w->network, sizeof(w->network)) != 0)
            continue;
        bool same_to = memcmp(r->copy.to, w->to, sizeof(w->to)) == 0;
        bool same_from = memcmp(r->copy.from, w->from, sizeof(w->from)) == 0;
        if (same_to && same_from && memcmp(r->copy.key, w->key, sizeof(w->key)) == 0)
            return PV_OK;
        to += same_to;
        to_bytes += same_to ? r->len : 0;
        pair += same_to && same_from;
        pair_bytes += same_to && same_from ? r->len : 0;
        from += same_from;
        from_bytes += same_from ? r->len : 0;
    }
    if (to >= PV_STOREOP_COPY_TO || to_bytes > PV_STOREOP_COPY_TO_BYTES ||
        from >= PV_STOREOP_COPY_FROM || from_bytes > PV_STOREOP_COPY_FROM_BYTES ||
        ((pair >= PV_STOREOP_COPY_PAIR || pair_bytes > PV_STOREOP_COPY_PAIR_BYTES) &&
         (to >= PV_STOREOP_COPY_TO / 2 || to_bytes > PV_STOREOP_COPY_TO_BYTES / 2)))
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

#endif /* PV_COPIES_MEM_H */
