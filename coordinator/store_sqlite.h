/* SPDX-License-Identifier: MIT */
/*
 * store_sqlite.h - the coordinator's disk: one SQLite database in the state directory, which serves
 * the operations of core/storeop.h.
 *
 * WAL and synchronous = FULL: an answered change survives a power cut. Operations that wait
 * together are one transaction, so that one fsync serves many; each is a savepoint of it and done
 * wholly or not at all. One thread at a time (the store's worker; the main thread before it
 * starts).
 */
#ifndef PV_STORE_SQLITE_H
#define PV_STORE_SQLITE_H

#include "base/pv.h"
#include "coordinator/core/member/storeop.h"
#include "sys/file/sqlite.h"

enum {
    PV_COORDSTORE_SCHEMA = 2, /* PRAGMA user_version */
};

struct pv_coordstore; /* opaque */

#define PV_COORDSTORE_FILE "coordinator.db"

/* What makes a database the coordinator's, for who opens it beside a running one. */
extern const struct pv_sqlite_kind pv_coordstore_kind;

/*
 * Opens dir/coordinator.db, made when missing. One of an older version is brought up to date, or
 * stays whole, after a copy was kept (coordinator.db.before-vN, sqlite.h). A database that is
 * damaged, foreign or newer than this program is an error and stays as it is: PV_ERR_MALFORMED,
 * PV_ERR_UNSUPPORTED, -errno; then "what failed: why: what to do" is in ret_error.
 */
PV_MUST_CHECK int pv_coordstore_open(struct pv_coordstore **ret_store, const char *dir,
                                     char ret_error[static PV_STOREOP_ERROR_MAX]);
struct pv_coordstore *pv_coordstore_close(struct pv_coordstore *store); /* NULL is fine */

/* Calls each with the bytes of a network's copies, as the database of a state directory has them,
 * also beside a coordinator that runs; for none when it cannot be read. */
void pv_coordstore_copies(const char *dir,
                          void (*each)(void *ctx, const uint8_t network[static PV_NETWORK_ID_LEN],
                                       uint64_t bytes),
                          void *ctx);

/* Gives every row to take, in ascending (epoch, n), until it fails: its status, or PV_ERR_MALFORMED
 * (damaged), -errno with ret_error. Rows are valid during the call. */
PV_MUST_CHECK int pv_coordstore_load(struct pv_coordstore *store,
                                     int (*take)(void *ctx, struct pv_storerow *row), void *ctx,
                                     char ret_error[static PV_STOREOP_ERROR_MAX]);

/* Runs n operations in order; results[i], written whole, answers ops[i]. */
void pv_coordstore_run(struct pv_coordstore *store, struct pv_storeop *const *ops,
                       struct pv_storeop_result *results, size_t n);

#endif /* PV_STORE_SQLITE_H */
