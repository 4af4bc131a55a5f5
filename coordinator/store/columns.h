/* SPDX-License-Identifier: MIT */
/* columns.h - rows of a database as the core knows them, the same in every kind of store. Lengths
 * are checked: a database may have been written by anybody. */
#ifndef PV_COLUMNS_H
#define PV_COLUMNS_H

#include "coordinator/core/member/storeop.h"

/* The values of a row of statements but for its place, as they are selected. */
enum pv_row_column {
    PV_ROW_NETWORK,
    PV_ROW_HASH,
    PV_ROW_STATEMENT,
    PV_ROW_RECEIPT,
    PV_ROW_FOREIGN, /* may be empty */
    PV_ROW_MARK,    /* ditto */
    PV_ROW_COLUMNS,
};

/* Fills *row, whose place is set, with views of these. PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_row_take(struct pv_storerow *row, const struct pv_view v[PV_ROW_COLUMNS]);

/* The values that name a copy. */
enum pv_copy_column {
    PV_COPY_NETWORK,
    PV_COPY_FROM,
    PV_COPY_TO,
    PV_COPY_KEY,
    PV_COPY_COLUMNS,
};

/* Fills *copy, whose time is set. PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_copy_take(struct pv_storeop_copy *copy,
                               const struct pv_view v[PV_COPY_COLUMNS]);

/* Databases have signed integers; this keeps the order of unsigned ones. */
static inline int64_t pv_column_sortable(uint64_t v)
{
    return (int64_t)(v ^ ((uint64_t)1 << 63));
}

#endif /* PV_COLUMNS_H */
