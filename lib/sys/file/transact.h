/* SPDX-License-Identifier: MIT */
/*
 * transact.h - jobs on a database. Jobs that wait together are one transaction, so that a power cut
 * leaves each done or not done and one fsync serves many. One thread at a time for each database.
 */
#pragma once

#include <sqlite3.h>

#include "base/pv.h"
#include "sys/file/sqlite.h"

struct pv_transact {
    struct pv_sqlite *file; /* owned; NULL: the database is not open */
    sqlite3 *db;            /* of file */
    bool log_has_deleted;   /* the database's log may have what users had deleted */
    bool is_damaged;        /* SQLite said so of a job; stays */
};

/* How a job ended: 0, or a negative status and why. */
struct pv_transact_result {
    int status;
    char error[PV_SQLITE_ERROR_MAX];
};

/* The jobs of one call, by their numbers, below n. */
struct pv_transact_jobs {
    size_t n;
    void *ctx; /* the first argument of all functions */
    /* Does a job. Fails with PV_ERR_, or with -EIO and SQLite's error set; what the job did is then
     * undone. */
    int (*run)(void *ctx, size_t i);
    /* Frees what the job has read: its caller must not see rows of a change that was taken back.
     * NULL: it has read nothing. */
    void (*drop)(void *ctx, size_t i);
    /* Returns true if the job needs no database. NULL: no job is like that. */
    bool (*is_done)(void *ctx, size_t i);
    /* Returns true if the job, which is done, deleted what its user does not want to be on the disk
     * any longer. Sets *ret_more if jobs that delete the rest follow. NULL: no job deletes. */
    bool (*deletes)(void *ctx, size_t i, bool *ret_more);
};

/* Opens dir/name and makes the tables of schema. Fails as pv_sqlite_open() does, with its sentence;
 * then nothing is open. */
PV_MUST_CHECK int pv_transact_open(struct pv_transact *t, const struct pv_sqlite_kind *kind,
                                   const char *dir, const char *name, int (*schema)(sqlite3 *db),
                                   char ret_error[static PV_SQLITE_ERROR_MAX]);
void pv_transact_close(struct pv_transact *t); /* also without a database */

/* Runs the jobs in order, and writes results[i] of job i; PV_OK if job i needs no database. A job
 * that fails does not undo the others. */
void pv_transact(struct pv_transact *t, const struct pv_transact_jobs *jobs,
                 struct pv_transact_result *results);

/* Gives the memory of cached pages back. SQLite keeps up to 2 MB of pages for the next question,
 * which comes seldom and costs microseconds: the kernel has the file in its own memory. */
void pv_transact_forget_pages(const struct pv_transact *t);
