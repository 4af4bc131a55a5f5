/* SPDX-License-Identifier: MIT */
/*
 * store.h - what the network needs of the disk: one SQLite database and the key files of the state
 * directory. Chat has a database of its own (chatstore.h).
 *
 * Serves the store kinds of job.h. Jobs that wait together are one transaction, so that a power
 * cut leaves each done or not done and one fsync serves many. One thread at a time (the store's
 * worker; the main thread before it starts).
 */
#pragma once

#include "base/pv.h"
#include "daemon/core/engine.h"
#include "daemon/core/jobs/job.h"
#include "daemon/store/keeper.h"

enum {
    PV_STORE_SCHEMA = 7, /* PRAGMA user_version */
    PV_STORE_MAX_STATEMENTS = 1 << 18,
    PV_STORE_MAX_META = 65536,
    PV_STORE_BATCH = 64, /* jobs of one call */
};

struct pv_store; /* opaque */

/*
 * Opens dir/p2pvpnd.db, made when missing. A database that is damaged, foreign or of another schema
 * is an error and stays as it is: PV_ERR_MALFORMED, PV_ERR_UNSUPPORTED, -errno; then "what failed:
 * why: what to do" is in ret_error.
 */
PV_MUST_CHECK int pv_store_open(struct pv_store **ret_store, const char *dir,
                                char ret_error[static PV_JOB_ERROR_MAX]);
struct pv_store *pv_store_close(struct pv_store *store); /* NULL is fine; returns NULL */
/* The keeper of the root key, borrowed. Before a job that is about that. */
void pv_store_set_keeper(struct pv_store *store, struct pv_keeper *keeper);

/* Is this kind of job the store's? */
bool pv_store_serves(enum pv_job_kind kind);
/* Runs n jobs, at most PV_STORE_BATCH, in order, results[i] for jobs[i] (written whole). The
 * secrets of KEEP_ROOT and SAVE_KEYS are wiped from their jobs. A job that fails does not undo the
 * others. */
void pv_store_run(struct pv_store *store, struct pv_job *const *jobs, struct pv_job_result *results,
                  size_t n);

/* The stored state, for pv_engine_new(). Owns everything saved points to. */
struct pv_store_saved {
    struct pv_saved saved;
    struct pv_stored_statement *statements;
    struct pv_view *entries;
    struct pv_saved_meta *meta;
    struct pv_saved_endpoint *endpoints;
    uint8_t *bytes; /* of all but endpoints */
};
/* PV_ERR_NOMEM, PV_ERR_LIMIT, PV_ERR_MALFORMED (damaged); ret_error. */
PV_MUST_CHECK int pv_store_load(struct pv_store *store, struct pv_store_saved *ret_saved,
                                char ret_error[static PV_JOB_ERROR_MAX]);
void pv_store_saved_done(struct pv_store_saved *saved);
