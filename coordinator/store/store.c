/* SPDX-License-Identifier: MIT */
/* Calls the kind of store that was opened, and turns values of a database into the core's structs.
 */
#include "coordinator/store/store.h"

#include <string.h>

#include "proto/roster/logst.h"

int pv_coordstore_load(struct pv_coordstore *store, int (*take)(void *ctx, struct pv_storerow *row),
                       void *ctx, char ret_error[static PV_STOREOP_ERROR_MAX])
{
    return store->ops->load(store, take, ctx, ret_error);
}

void pv_coordstore_run(struct pv_coordstore *store, struct pv_storeop *const *ops,
                       struct pv_storeop_result *results, size_t n)
{
    store->ops->run(store, ops, results, n);
}

int pv_coordstore_copies(struct pv_coordstore *store,
                         int (*take)(void *ctx, const struct pv_storeop_copy *copy,
                                     struct pv_view box),
                         void *ctx, char ret_error[static PV_STOREOP_ERROR_MAX])
{
    return store->ops->copies(store, take, ctx, ret_error);
}

int pv_coordstore_entries(struct pv_coordstore *store,
                          int (*take)(void *ctx, struct pv_storerow *row), void *ctx,
                          char ret_error[static PV_STOREOP_ERROR_MAX])
{
    return store->ops->entries(store, take, ctx, ret_error);
}

int pv_coordstore_hold(struct pv_coordstore *store, char ret_error[static PV_STOREOP_ERROR_MAX])
{
    return store->ops->hold(store, ret_error);
}

int pv_coordstore_keep(struct pv_coordstore *store, char ret_error[static PV_STOREOP_ERROR_MAX])
{
    return store->ops->keep(store, ret_error);
}

void pv_coordstore_stop(struct pv_coordstore *store)
{
    if (store->ops->stop != NULL)
        store->ops->stop(store);
}

struct pv_coordstore *pv_coordstore_close(struct pv_coordstore *store)
{
    return store == NULL ? NULL : store->ops->close(store);
}

/* --- values of a database --------------------------------------------------------------------- */

/* A value that is not as long as its place is damage, or somebody else's. */
static bool take(void *dst, size_t len, struct pv_view v)
{
    if (v.len != len)
        return false;
    memcpy(dst, v.ptr, len);
    return true;
}

/* A mark of another length is none: the row is verified, and gets one. */
int pv_row_take(struct pv_storerow *row, const struct pv_view v[PV_ROW_COLUMNS])
{
    if (!take(row->network, sizeof(row->network), v[PV_ROW_NETWORK]) ||
        !take(row->hash, sizeof(row->hash), v[PV_ROW_HASH]))
        return PV_ERR_MALFORMED;
    row->statement = v[PV_ROW_STATEMENT];
    row->receipt = v[PV_ROW_RECEIPT];
    row->foreign = v[PV_ROW_FOREIGN];
    row->has_mark = take(row->mark, sizeof(row->mark), v[PV_ROW_MARK]);
    return PV_OK;
}

int pv_entry_take(struct pv_storerow *row, const struct pv_view v[PV_ENTRY_COLUMNS])
{
    if (!take(row->network, sizeof(row->network), v[PV_ENTRY_NETWORK]) ||
        !take(row->hash, sizeof(row->hash), v[PV_ENTRY_HASH]))
        return PV_ERR_MALFORMED;
    row->statement = v[PV_ENTRY_ENTRY];
    return PV_OK;
}

const uint8_t *pv_entry_prev(const struct pv_storerow *row)
{
    return row->statement.len < PV_ENTRY_HEAD_LEN ? NULL : row->statement.ptr;
}

int pv_copy_take(struct pv_storeop_copy *copy, const struct pv_view v[PV_COPY_COLUMNS])
{
    return take(copy->network, sizeof(copy->network), v[PV_COPY_NETWORK]) &&
                   take(copy->from, sizeof(copy->from), v[PV_COPY_FROM]) &&
                   take(copy->to, sizeof(copy->to), v[PV_COPY_TO]) &&
                   take(copy->key, sizeof(copy->key), v[PV_COPY_KEY])
               ? PV_OK
               : PV_ERR_MALFORMED;
}
