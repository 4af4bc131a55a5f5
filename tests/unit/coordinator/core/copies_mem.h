/* SPDX-License-Identifier: MIT */
/*
 * copies_mem.h - the coordinator's copies in memory, for tests and the simulator: the operations of
 * coordinator/store/store_sqlite.c without its quotas. Aborts without memory.
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

/* Does this row wait for the receiver of w? */
static inline bool copymem_same_to(const struct copymem_row *r, const struct pv_storeop_copy *w)
{
    return memcmp(r->copy.network, w->network, sizeof(w->network)) == 0 &&
           memcmp(r->copy.to, w->to, sizeof(w->to)) == 0;
}

static inline void copymem_keep(struct copymem *m, const struct pv_storeop *op)
{
    const struct pv_storeop_copy *w = &op->copy;
    for (size_t i = 0; i < m->n_rows; i++) {
        const struct copymem_row *r = &m->rows[i];
        if (copymem_same_to(r, w) && memcmp(r->copy.from, w->from, sizeof(w->from)) == 0 &&
            memcmp(r->copy.key, w->key, sizeof(w->key)) == 0)
            return;
    }
    m->rows = reallocarray(m->rows, m->n_rows + 1, sizeof(*m->rows));
    uint8_t *box = malloc(op->box.len + 1);
    if (m->rows == NULL || box == NULL)
        abort();
    memcpy(box, op->box.ptr, op->box.len);
    m->rows[m->n_rows++] =
        (struct copymem_row){.copy = *w, .n = ++m->last_n, .box = box, .len = op->box.len};
}

static inline void copymem_collect(struct copymem *m, const struct pv_storeop *op,
                                   struct pv_storeop_result *res)
{
    for (size_t i = 0; i < m->n_rows; i++) {
        const struct copymem_row *r = &m->rows[i];
        if (!copymem_same_to(r, &op->copy))
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
        copymem_keep(m, op);
    else
        copymem_collect(m, op, res);
    return true;
}
