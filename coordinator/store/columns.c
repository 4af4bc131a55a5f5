/* SPDX-License-Identifier: MIT */
/* Values of a database into the core's structs. */
#include "coordinator/store/columns.h"

#include <string.h>

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

int pv_copy_take(struct pv_storeop_copy *copy, const struct pv_view v[PV_COPY_COLUMNS])
{
    return take(copy->network, sizeof(copy->network), v[PV_COPY_NETWORK]) &&
                   take(copy->from, sizeof(copy->from), v[PV_COPY_FROM]) &&
                   take(copy->to, sizeof(copy->to), v[PV_COPY_TO]) &&
                   take(copy->key, sizeof(copy->key), v[PV_COPY_KEY])
               ? PV_OK
               : PV_ERR_MALFORMED;
}
