/* SPDX-License-Identifier: MIT */
/* One operation for some hundred rows, one for each copy, as if the core had ordered them. */
#include "coordinator/store/transfer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROWS = 256,            /* of an operation */
    ROW_BYTES = 4096,      /* for each; the longest row fits in all of it */
    BOXES = 64,            /* copies in one go */
    BOXES_BYTES = 4 << 20, /* ditto */
};

struct transfer {
    struct pv_coordstore *to;
    struct pv_storeop *rows; /* statements, or entries of one log, that wait; NULL: none */
    struct pv_storeop *boxes[BOXES];
    size_t n_boxes, n_bytes;
    struct pv_transfer done;
    char error[PV_STOREOP_ERROR_MAX];
};

/* Every answer must be good: half a transfer is an error, with the first reason. */
static int run(struct transfer *t, struct pv_storeop **ops, size_t n)
{
    struct pv_storeop_result results[BOXES];
    int r = PV_OK;
    pv_coordstore_run(t->to, ops, results, n);
    for (size_t i = 0; i < n; i++) {
        if (results[i].status != PV_OK && r == PV_OK) {
            r = results[i].status;
            snprintf(t->error, sizeof(t->error), "%s",
                     r != PV_ERR_REFUSED                 ? results[i].error
                     : ops[i]->kind == PV_STOREOP_APPEND ? "the log of a network is broken"
                                                         : "there is no room for the copies of "
                                                           "members");
        }
        free(results[i].collected);
        ops[i] = pv_storeop_free(ops[i]);
    }
    return r;
}

static int flush_rows(struct transfer *t)
{
    return t->rows == NULL ? PV_OK : run(t, &t->rows, 1);
}

static int flush_boxes(struct transfer *t)
{
    int r = t->n_boxes == 0 ? PV_OK : run(t, t->boxes, t->n_boxes);
    t->n_boxes = t->n_bytes = 0;
    return r;
}

static int add_row(struct transfer *t, enum pv_storeop_kind kind, const struct pv_storerow *row)
{
    int r = t->rows == NULL ? PV_ERR_NO_SPACE : pv_storeop_add(t->rows, row);
    if (r == PV_ERR_NO_SPACE) { /* of rows, or of bytes */
        r = flush_rows(t);
        if (r == PV_OK)
            r = pv_storeop_new(kind, ROWS, (size_t)ROWS * ROW_BYTES, &t->rows);
        if (r == PV_OK)
            r = pv_storeop_add(t->rows, row);
    }
    return r;
}

static int take_row(void *ctx, struct pv_storerow *row)
{
    struct transfer *t = ctx;
    t->done.statements++;
    return add_row(t, PV_STOREOP_PUT, row);
}

/* Entries of two networks are two operations. */
static int take_entry(void *ctx, struct pv_storerow *row)
{
    struct transfer *t = ctx;
    int r = PV_OK;
    if (t->rows != NULL && memcmp(t->rows->rows[0].network, row->network, PV_NETWORK_ID_LEN) != 0)
        r = flush_rows(t);
    return r == PV_OK ? add_row(t, PV_STOREOP_APPEND, row) : r;
}

/* Copies may be large, so they are counted by bytes too. */
static int take_copy(void *ctx, const struct pv_storeop_copy *copy, struct pv_view box)
{
    struct transfer *t = ctx;
    int r = t->n_boxes == BOXES || t->n_bytes + box.len > BOXES_BYTES ? flush_boxes(t) : PV_OK;
    if (r == PV_OK)
        r = pv_storeop_new_copy(PV_STOREOP_KEEP, copy, box, &t->boxes[t->n_boxes]);
    if (r < 0)
        return r;
    t->n_boxes++;
    t->n_bytes += box.len;
    t->done.copies++;
    return PV_OK;
}

int pv_transfer(struct pv_coordstore *from, struct pv_coordstore *to,
                struct pv_transfer *ret_transfer, char ret_error[static PV_STOREOP_ERROR_MAX])
{
    struct transfer *t = calloc(1, sizeof(*t));
    if (t == NULL) {
        snprintf(ret_error, PV_STOREOP_ERROR_MAX, "out of memory");
        return PV_ERR_NOMEM;
    }
    t->to = to;
    ret_error[0] = '\0';
    int r = pv_coordstore_hold(from, ret_error);
    if (r == PV_OK)
        r = pv_coordstore_hold(to, ret_error);
    if (r == PV_OK)
        r = pv_coordstore_load(from, take_row, t, ret_error);
    if (r == PV_OK)
        r = flush_rows(t);
    if (r == PV_OK)
        r = pv_coordstore_entries(from, take_entry, t, ret_error);
    if (r == PV_OK)
        r = flush_rows(t);
    if (r == PV_OK)
        r = pv_coordstore_copies(from, take_copy, t, ret_error);
    if (r == PV_OK)
        r = flush_boxes(t);
    if (r == PV_OK)
        r = pv_coordstore_keep(to, ret_error);
    if (r == PV_OK)
        r = pv_coordstore_keep(from, ret_error); /* nothing has changed there: it is let go */
    /* The target's error is nearer to the cause than what its source makes of that. */
    if (r < 0 && t->error[0] != '\0')
        memcpy(ret_error, t->error, sizeof(t->error));
    for (size_t i = 0; i < t->n_boxes; i++)
        pv_storeop_free(t->boxes[i]);
    pv_storeop_free(t->rows);
    *ret_transfer = t->done;
    free(t);
    return r;
}
