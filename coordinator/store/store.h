/* SPDX-License-Identifier: MIT */
/*
 * store.h - where a coordinator keeps what must outlive it: the operations of
 * core/member/storeop.h, served by SQLite (store_sqlite.h) or by PostgreSQL (pg/store_pg.h).
 *
 * One thread at a time uses a store: the main thread before the store's worker starts, that worker
 * from then on.
 */
#pragma once

#include "base/pv.h"
#include "coordinator/core/member/storeop.h"

struct pv_coordstore;

/* The calls of every kind of store; see the functions below, which call these. */
struct pv_coordstore_ops {
    int (*load)(struct pv_coordstore *store, int (*take)(void *ctx, struct pv_storerow *row),
                void *ctx, char ret_error[static PV_STOREOP_ERROR_MAX]);
    void (*run)(struct pv_coordstore *store, struct pv_storeop *const *ops,
                struct pv_storeop_result *results, size_t n);
    int (*copies)(struct pv_coordstore *store,
                  int (*take)(void *ctx, const struct pv_storeop_copy *copy, struct pv_view box),
                  void *ctx, char ret_error[static PV_STOREOP_ERROR_MAX]);
    int (*entries)(struct pv_coordstore *store, int (*take)(void *ctx, struct pv_storerow *row),
                   void *ctx, char ret_error[static PV_STOREOP_ERROR_MAX]);
    int (*hold)(struct pv_coordstore *store, char ret_error[static PV_STOREOP_ERROR_MAX]);
    int (*keep)(struct pv_coordstore *store, char ret_error[static PV_STOREOP_ERROR_MAX]);
    void (*stop)(struct pv_coordstore *store); /* NULL: nothing waits */
    struct pv_coordstore *(*close)(struct pv_coordstore *store);
};

/* The first member of each kind's own struct. */
struct pv_coordstore {
    const struct pv_coordstore_ops *ops;
};

/* Gives every row to take, in ascending (epoch, n), until it fails: its status, or PV_ERR_MALFORMED
 * (damaged), -errno with ret_error. Rows are valid during the call; a mark that take sets is
 * stored by SQLite, while all rows of PostgreSQL are read at once by an export alone. */
PV_MUST_CHECK int pv_coordstore_load(struct pv_coordstore *store,
                                     int (*take)(void *ctx, struct pv_storerow *row), void *ctx,
                                     char ret_error[static PV_STOREOP_ERROR_MAX]);

/* Runs n operations in order; results[i], written whole, answers ops[i]. */
void pv_coordstore_run(struct pv_coordstore *store, struct pv_storeop *const *ops,
                       struct pv_storeop_result *results, size_t n);

/* Gives every copy that waits for a member to take, the oldest first, as it was kept; room is 0.
 * Errors as above. */
PV_MUST_CHECK int pv_coordstore_copies(struct pv_coordstore *store,
                                       int (*take)(void *ctx, const struct pv_storeop_copy *copy,
                                                   struct pv_view box),
                                       void *ctx, char ret_error[static PV_STOREOP_ERROR_MAX]);

/* Gives every entry of every log to take, each network's in ascending order; as PV_STOREOP_APPEND
 * has them. Errors as above. */
PV_MUST_CHECK int pv_coordstore_entries(struct pv_coordstore *store,
                                        int (*take)(void *ctx, struct pv_storerow *row), void *ctx,
                                        char ret_error[static PV_STOREOP_ERROR_MAX]);

/* Operations from now on are done wholly, by pv_coordstore_keep(), or, when one of them fails or
 * the store is closed before, not at all. Nobody else gets the store meanwhile. -errno,
 * PV_ERR_CLOSED, PV_ERR_REFUSED (another coordinator has it), with ret_error. */
PV_MUST_CHECK int pv_coordstore_hold(struct pv_coordstore *store,
                                     char ret_error[static PV_STOREOP_ERROR_MAX]);
PV_MUST_CHECK int pv_coordstore_keep(struct pv_coordstore *store,
                                     char ret_error[static PV_STOREOP_ERROR_MAX]);

/* The program ends, as any thread may say: operations that wait for a database to come back are
 * given up, and answered as failed although they may have been done. */
void pv_coordstore_stop(struct pv_coordstore *store);

struct pv_coordstore *pv_coordstore_close(struct pv_coordstore *store); /* NULL is fine */

/* --- rows ------------------------------------------------------------------------------------ */

/*
 * Rows of a database as the core knows them, the same in every kind of store. Lengths
 * are checked: a database may have been written by anybody.
 */

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

/* The values of a row of logs but for its place. */
enum pv_entry_column {
    PV_ENTRY_NETWORK,
    PV_ENTRY_HASH,
    PV_ENTRY_ENTRY,
    PV_ENTRY_COLUMNS,
};

/* Fills *row, whose n is set, with views of these. PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_entry_take(struct pv_storerow *row, const struct pv_view v[PV_ENTRY_COLUMNS]);

/* The hash of the entry before this one, as its bytes say; NULL: it is too short to be an entry. */
const uint8_t *pv_entry_prev(const struct pv_storerow *row);

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
