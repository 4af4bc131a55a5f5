/* SPDX-License-Identifier: MIT */
/* transact.c - a transaction for all jobs that wait, a savepoint for each. */
#include "sys/file/transact.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"

/* A log that a crash left. */
static bool has_log(const char *dir, const char *name)
{
    struct stat st;
    return stat(PV_STR("%s/%s-wal", dir, name), &st) == 0 && st.st_size > 0;
}

int pv_transact_open(struct pv_transact *t, const struct pv_sqlite_kind *kind, const char *dir,
                     const char *name, int (*schema)(sqlite3 *db),
                     char ret_error[static PV_SQLITE_ERROR_MAX])
{
    t->log_has_deleted = has_log(dir, name);
    int r = pv_sqlite_open(&t->file, kind, dir, name, ret_error);
    if (r < 0)
        return r;
    t->db = pv_sqlite_handle(t->file);
    r = pv_sqlite_exec(t->file, "PRAGMA secure_delete = ON") < 0 || schema(t->db) < 0
            ? pv_sqlite_explain(t->file, "open", ret_error)
            : pv_sqlite_commit(t->file, ret_error);
    if (r < 0)
        pv_transact_close(t);
    return r;
}

void pv_transact_close(struct pv_transact *t)
{
    t->file = pv_sqlite_close(t->file);
    t->db = NULL;
}

void pv_transact_forget_pages(const struct pv_transact *t)
{
    (void)sqlite3_db_release_memory(t->db);
}

static bool is_done(const struct pv_transact_jobs *jobs, size_t i)
{
    return jobs->is_done != NULL && jobs->is_done(jobs->ctx, i);
}

static void drop(const struct pv_transact_jobs *jobs, size_t i)
{
    if (jobs->drop != NULL)
        jobs->drop(jobs->ctx, i);
}

/* SQLite's last failure, of the job. */
static int explain(struct pv_transact *t, char ret_error[static PV_SQLITE_ERROR_MAX])
{
    int r = pv_sqlite_explain(t->file, "write", ret_error);
    t->is_damaged = t->is_damaged || r == PV_ERR_MALFORMED;
    return r;
}

/* A savepoint each: what one job did goes back alone when it fails. */
static void run_one(struct pv_transact *t, const struct pv_transact_jobs *jobs, size_t i,
                    struct pv_transact_result *result)
{
    *result = (struct pv_transact_result){.status = PV_OK};
    if (is_done(jobs, i))
        return;
    int r = pv_sqlite_exec(t->file, "SAVEPOINT job");
    if (r >= 0)
        r = jobs->run(jobs->ctx, i);
    if (r < 0) {
        /* Statuses above -1000 are errno values, for which SQLite has the better text. */
        result->status = r > -1000 ? explain(t, result->error) : r;
        if (r <= -1000)
            snprintf(result->error, sizeof(result->error), "write %.150s: %s",
                     pv_sqlite_path(t->file), pv_strstatus(r));
        drop(jobs, i);
        (void)!pv_sqlite_exec(t->file, "ROLLBACK TO job");
    }
    /* ROLLBACK TO leaves the savepoint open, so it is released in both cases. */
    (void)!pv_sqlite_exec(t->file, "RELEASE job");
}

/* Nothing of the jobs from first to end was stored; what needs no database was. */
static void fail_all(const struct pv_transact_jobs *jobs, size_t first, size_t end,
                     const struct pv_transact_result *why, struct pv_transact_result *results)
{
    const struct pv_transact_result failed = *why; /* may be one of the results */
    for (size_t i = first; i < end; i++) {
        if (is_done(jobs, i))
            continue;
        results[i] = failed;
        drop(jobs, i);
    }
}

/* The jobs from first to end in one transaction. A status: why nothing is stored. */
static int run_batch(struct pv_transact *t, const struct pv_transact_jobs *jobs, size_t first,
                     size_t end, struct pv_transact_result *results)
{
    struct pv_transact_result failed = {.status = PV_OK};
    for (size_t i = first; i < end; i++)
        results[i] = failed;
    /* IMMEDIATE takes the write lock at once: a later statement cannot fail for lack of it. */
    int r = pv_sqlite_exec(t->file, "BEGIN IMMEDIATE");
    for (size_t i = first; r >= 0 && i < end; i++) {
        run_one(t, jobs, i, &results[i]);
        /* A full disk makes SQLite take back the whole transaction, not only the statement. */
        if (sqlite3_get_autocommit(t->db) != 0) {
            r = results[i].status;
            fail_all(jobs, first, end, &results[i], results);
            return r;
        }
    }
    if (r >= 0)
        r = pv_sqlite_exec(t->file, "COMMIT");
    if (r < 0) {
        r = failed.status = explain(t, failed.error);
        fail_all(jobs, first, end, &failed, results);
        /* A COMMIT that failed may have left the transaction open. */
        if (sqlite3_get_autocommit(t->db) == 0)
            (void)!pv_sqlite_exec(t->file, "ROLLBACK");
    }
    return r;
}

void pv_transact(struct pv_transact *t, const struct pv_transact_jobs *jobs,
                 struct pv_transact_result *results)
{
    int r = run_batch(t, jobs, 0, jobs->n, results);
    /* On a full disk a job that writes would fail the jobs beside it that only read. So each job
     * gets a transaction of its own then. A lock of another program is waited for once. */
    for (size_t i = 0; r == -ENOSPC && jobs->n > 1 && i < jobs->n; i++)
        if (!is_done(jobs, i))
            (void)!run_batch(t, jobs, i, i + 1, results);
    bool more = false;
    for (size_t i = 0; jobs->deletes != NULL && i < jobs->n; i++)
        if (results[i].status == PV_OK && jobs->deletes(jobs->ctx, i, &more))
            t->log_has_deleted = true;
    /* SQLite overwrites what it deletes (secure_delete), but the log has what was written of it.
     * While another program reads the database the log cannot be emptied: with the next write. */
    if (t->log_has_deleted && !more)
        t->log_has_deleted = !pv_sqlite_empty_log(t->file);
    pv_transact_forget_pages(t);
}
