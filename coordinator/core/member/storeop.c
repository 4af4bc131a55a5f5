/* SPDX-License-Identifier: MIT */
/* Operations for the store, each in one block of memory with all its bytes: it crosses to another
 * thread, and is freed there by one call. */
#include "coordinator/core/member/storeop.h"

#include <stdlib.h>
#include <string.h>

/* Operation, rows and bytes in one block. */
struct op_block {
    struct pv_storeop op; /* first: pv_storeop_free() gets its address */
    size_t cap_rows;
    uint8_t *bytes;
    size_t cap_bytes;
    size_t used_bytes;
};

/* Rows, then bytes, behind the operation: rows need alignment, bytes do not. */
int pv_storeop_new(enum pv_storeop_kind kind, size_t n_rows, size_t bytes,
                   struct pv_storeop **ret_op)
{
    struct op_block *b = calloc(1, sizeof(*b) + n_rows * sizeof(struct pv_storerow) + bytes);
    if (b == NULL)
        return PV_ERR_NOMEM;
    b->op.kind = kind;
    b->op.rows = (struct pv_storerow *)(void *)(b + 1);
    b->cap_rows = n_rows;
    b->bytes = (uint8_t *)(b->op.rows + n_rows);
    b->cap_bytes = bytes;
    *ret_op = &b->op;
    return PV_OK;
}

/* Copies v into the block. Room was checked by the caller. */
static struct pv_view copy_bytes(struct op_block *b, struct pv_view v)
{
    uint8_t *dst = b->bytes + b->used_bytes;
    if (v.len == 0)
        return pv_view(NULL, 0);
    memcpy(dst, v.ptr, v.len);
    b->used_bytes += v.len;
    return pv_view(dst, v.len);
}

/* Either the whole row fits or nothing of it is added. */
int pv_storeop_add(struct pv_storeop *op, const struct pv_storerow *row)
{
    struct op_block *b = (struct op_block *)(void *)op;
    size_t need = row->statement.len + row->receipt.len + row->foreign.len;
    if (op->n_rows == b->cap_rows || need > b->cap_bytes - b->used_bytes)
        return PV_ERR_NO_SPACE;
    struct pv_storerow *dst = &op->rows[op->n_rows++];
    *dst = *row;
    dst->statement = copy_bytes(b, row->statement);
    dst->receipt = copy_bytes(b, row->receipt);
    dst->foreign = copy_bytes(b, row->foreign);
    return PV_OK;
}

/* No rows: a copy is no statement. */
int pv_storeop_new_copy(enum pv_storeop_kind kind, const struct pv_storeop_copy *copy,
                        struct pv_view box, struct pv_storeop **ret_op)
{
    struct pv_storeop *op = NULL;
    int r = pv_storeop_new(kind, 0, box.len, &op);
    if (r < 0)
        return r;
    op->copy = *copy;
    op->box = copy_bytes((struct op_block *)(void *)op, box);
    *ret_op = op;
    return PV_OK;
}

struct pv_storeop *pv_storeop_free(struct pv_storeop *op)
{
    free(op);
    return NULL;
}
