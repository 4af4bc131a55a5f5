/* SPDX-License-Identifier: MIT */
/*
 * mail_mem.h - the coordinator's parcels in memory, for tests and the simulator; the same
 * operations and quotas as coordinator/store_sqlite.c (test_coordstore.c runs one list over both).
 * Aborts without memory.
 */
#ifndef PV_MAIL_MEM_H
#define PV_MAIL_MEM_H

#include <stdlib.h>
#include <string.h>

#include "coordinator/core/member/storeop.h"

struct mailmem_row {
    struct pv_storeop_mail mail;
    uint64_t n;
    uint8_t *box;
    size_t len;
};

/* A zeroed one is empty. */
struct mailmem {
    struct mailmem_row *rows; /* ascending by n */
    size_t n_rows;
    uint64_t last_n;
};

static inline void mailmem_drop(struct mailmem *m, size_t i)
{
    free(m->rows[i].box);
    memmove(m->rows + i, m->rows + i + 1, (--m->n_rows - i) * sizeof(m->rows[0]));
}

static inline void mailmem_done(struct mailmem *m)
{
    while (m->n_rows > 0)
        mailmem_drop(m, m->n_rows - 1);
    free(m->rows);
    m->rows = NULL;
}

static inline int mailmem_keep(struct mailmem *m, const struct pv_storeop *op)
{
    const struct pv_storeop_mail *w = &op->mail;
    size_t to = 0, to_bytes = op->box.len, from = 0, from_bytes = op->box.len;
    for (size_t i = 0; i < m->n_rows; i++) {
        const struct mailmem_row *r = &m->rows[i];
        if (memcmp(r->mail.network, w->network, sizeof(w->network)) != 0)
            continue;
        bool same_to = memcmp(r->mail.to, w->to, sizeof(w->to)) == 0;
        bool same_from = memcmp(r->mail.from, w->from, sizeof(w->from)) == 0;
        if (same_to && same_from && memcmp(r->mail.key, w->key, sizeof(w->key)) == 0)
            return PV_OK;
        to += same_to;
        to_bytes += same_to ? r->len : 0;
        from += same_from;
        from_bytes += same_from ? r->len : 0;
    }
    if (to >= PV_STOREOP_MAIL_TO || to_bytes > PV_STOREOP_MAIL_TO_BYTES ||
        from >= PV_STOREOP_MAIL_FROM || from_bytes > PV_STOREOP_MAIL_FROM_BYTES)
        return PV_ERR_REFUSED;
    m->rows = reallocarray(m->rows, m->n_rows + 1, sizeof(*m->rows));
    uint8_t *box = malloc(op->box.len + 1);
    if (m->rows == NULL || box == NULL)
        abort();
    memcpy(box, op->box.ptr, op->box.len);
    m->rows[m->n_rows++] =
        (struct mailmem_row){.mail = *w, .n = ++m->last_n, .box = box, .len = op->box.len};
    return PV_OK;
}

static inline void mailmem_collect(struct mailmem *m, const struct pv_storeop *op,
                                   struct pv_storeop_result *res)
{
    for (size_t i = 0; i < m->n_rows; i++) {
        const struct mailmem_row *r = &m->rows[i];
        if (memcmp(r->mail.network, op->mail.network, sizeof(r->mail.network)) != 0 ||
            memcmp(r->mail.to, op->mail.to, sizeof(r->mail.to)) != 0)
            continue;
        if (r->n == op->mail.n) {
            mailmem_drop(m, i--);
            continue;
        }
        if (r->n <= op->mail.after || res->parcel != NULL)
            continue;
        res->parcel = malloc(sizeof(*res->parcel) + r->len);
        if (res->parcel == NULL)
            abort();
        res->parcel->n = r->n;
        memcpy(res->parcel->from, r->mail.from, sizeof(res->parcel->from));
        res->parcel->len = r->len;
        memcpy(res->parcel->box, r->box, r->len);
    }
}

/* Serves KEEP and COLLECT; false: another kind. The caller frees res->parcel. */
static inline bool mailmem_run(struct mailmem *m, const struct pv_storeop *op,
                               struct pv_storeop_result *res)
{
    if (op->kind != PV_STOREOP_KEEP && op->kind != PV_STOREOP_COLLECT)
        return false;
    for (size_t i = 0; i < m->n_rows; i++) {
        if (m->rows[i].mail.wall_s + PV_STOREOP_MAIL_S < op->mail.wall_s)
            mailmem_drop(m, i--);
    }
    if (op->kind == PV_STOREOP_KEEP)
        res->status = mailmem_keep(m, op);
    else
        mailmem_collect(m, op, res);
    return true;
}

#endif /* PV_MAIL_MEM_H */
