/* SPDX-License-Identifier: MIT */
/*
 * store_sqlite.h - the coordinator's disk: one SQLite database in the state directory, which serves
 * the operations of core/storeop.h.
 *
 * WAL and synchronous = FULL: an answered change survives a power cut. Operations that wait
 * together are one transaction, so that one fsync serves many; each is a savepoint of it and done
 * wholly or not at all.
 */
#pragma once

#include "coordinator/store/store.h"
#include "sys/file/sqlite.h"

enum {
    PV_COORDSTORE_SCHEMA = 4, /* PRAGMA user_version */
};

#define PV_COORDSTORE_FILE "coordinator.db"

/* The marks of a coordinator's database, for a program that opens it beside a running one. */
extern const struct pv_sqlite_kind pv_coordstore_kind;

/*
 * Opens dir/coordinator.db, made when missing. A database that is damaged, foreign or of another
 * schema is an error and stays as it is: PV_ERR_MALFORMED, PV_ERR_UNSUPPORTED, -errno; then "what
 * failed: why: what to do" is in ret_error.
 */
PV_MUST_CHECK int pv_coordstore_open_sqlite(struct pv_coordstore **ret_store, const char *dir,
                                            char ret_error[static PV_STOREOP_ERROR_MAX]);

/* Calls each with the bytes of a network's copies, as the database of a state directory has them,
 * also beside a coordinator that runs; for none when it cannot be read. */
void pv_coordstore_bytes(const char *dir,
                         void (*each)(void *ctx, const uint8_t network[static PV_NETWORK_ID_LEN],
                                      uint64_t bytes),
                         void *ctx);
