/* SPDX-License-Identifier: MIT */
/*
 * transact.h - jobs on one of the daemon's databases: those that wait together are one transaction,
 * so that a power cut leaves each done or not done and one fsync serves many. One thread at a time
 * for each database.
 */
#pragma once

#include <sqlite3.h>

#include "base/pv.h"
#include "daemon/core/jobs/job.h"
#include "sys/file/sqlite.h"

/* Serves a job. Fails with PV_ERR_, or with -EIO and SQLite's error set; what the job did is then
 * undone. */
typedef int pv_transact_fn(void *ctx, const struct pv_job *job, struct pv_job_result *result);

struct pv_transact {
    struct pv_sqlite *file; /* owned; NULL: the database is not open */
    sqlite3 *db;            /* of file */
    pv_transact_fn *run;
    void *ctx;                                 /* of run */
    bool (*is_done)(const struct pv_job *job); /* needs no database; NULL: no job is like that */
    /* Returns true if the job deleted what its user does not want to be on the disk any longer.
     * Sets *ret_more if jobs that delete the rest follow. NULL: no job deletes. */
    bool (*deletes)(const struct pv_job_result *result, bool *ret_more);
    bool log_has_deleted; /* the database's log may have what users had deleted */
    bool is_damaged;      /* SQLite said so of a job; stays */
};

/* Opens dir/name and makes the tables of schema. The caller has set run, ctx and is_done. Fails as
 * pv_sqlite_open() does, with its sentence; then nothing is open. */
PV_MUST_CHECK int pv_transact_open(struct pv_transact *t, const struct pv_sqlite_kind *kind,
                                   const char *dir, const char *name, int (*schema)(sqlite3 *db),
                                   char ret_error[static PV_SQLITE_ERROR_MAX]);
void pv_transact_close(struct pv_transact *t); /* also without a database */

/* Prepares the result of each job, zeroed but for id and kind. */
void pv_transact_begin(struct pv_job *const *jobs, struct pv_job_result *results, size_t n);
/* Runs n jobs in order, results[i] for jobs[i]. A job that fails does not undo the others. */
void pv_transact(struct pv_transact *t, struct pv_job *const *jobs, struct pv_job_result *results,
                 size_t n);

/* Gives the memory of cached pages back. SQLite keeps up to 2 MB of pages for the next question,
 * which comes seldom and costs microseconds: the kernel has the file in its own memory. */
void pv_transact_forget_pages(const struct pv_transact *t);
