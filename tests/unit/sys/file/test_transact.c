/* SPDX-License-Identifier: MIT */
/* Jobs on a database: what is one transaction, and what a job that fails takes back. */
#include "base/text.h"
#include "sys/file/transact.h"
#include "tests/unit/test_dir.h"
#include "tests/unit/test_util.h"

static const struct pv_sqlite_kind kind = {.application_id = 1,
                                           .schema = 1,
                                           .program = "the test",
                                           .damaged = PV_REMEDY_move_network_away};

static char dir[64];
static struct pv_transact t;

static void sql(sqlite3 *db, const char *text)
{
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
}

static int make_tables(sqlite3 *db)
{
    return sqlite3_exec(db, "CREATE TABLE IF NOT EXISTS t(name)", NULL, NULL, NULL) == SQLITE_OK
               ? PV_OK
               : -1;
}

/* The jobs of one call: names; NULL needs no database. */
struct jobs {
    const char *const *names;
    void *answers[4];
};

/* Writes the job's name, and then fails if that is "half". */
static int run_job(void *ctx, size_t i)
{
    struct jobs *j = ctx;
    assert_int_equal(sqlite3_get_autocommit(t.db), 0);
    sql(t.db, PV_STR("INSERT INTO t VALUES('%s')", j->names[i]));
    j->answers[i] = test_alloc(1);
    return strcmp(j->names[i], "half") == 0 ? PV_ERR_LIMIT : PV_OK;
}

static void drop(void *ctx, size_t i)
{
    struct jobs *j = ctx;
    free(j->answers[i]);
    j->answers[i] = NULL;
}

static bool is_done(void *ctx, size_t i)
{
    const struct jobs *j = ctx;
    return j->names[i] == NULL;
}

static int setup(void **state)
{
    char error[PV_SQLITE_ERROR_MAX];
    t = (struct pv_transact){.file = NULL};
    return test_dir_make(dir, sizeof(dir)) == NULL ||
           pv_transact_open(&t, &kind, dir, "t.db", make_tables, error) < 0;
}

static int teardown(void **state)
{
    pv_transact_close(&t);
    return test_dir_remove(dir);
}

PV_TEST_WORLD(setup, teardown);

static void run(size_t n, const char *const *names, struct pv_transact_result *results)
{
    struct jobs j = {.names = names};
    const struct pv_transact_jobs jobs = {
        .n = n, .ctx = &j, .run = run_job, .drop = drop, .is_done = is_done};
    assert_true(n <= PV_ARRAY_LEN(j.answers));
    pv_transact(&t, &jobs, results);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(results[i].status < 0, results[i].error[0] != '\0');
        assert_int_equal(results[i].status < 0 || names[i] == NULL, j.answers[i] == NULL);
        free(j.answers[i]);
    }
}

static int count_rows(void)
{
    sqlite3_stmt *q = NULL;
    assert_int_equal(sqlite3_prepare_v2(t.db, "SELECT count(*) FROM t", -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    int n = sqlite3_column_int(q, 0);
    sqlite3_finalize(q);
    return n;
}

PV_TEST(a_job_that_fails_takes_only_its_own_work_back)
{
    struct pv_transact_result results[3];
    run(3, (const char *const[]){"a", "half", "b"}, results);
    assert_ok(results[0].status);
    assert_int_equal(results[1].status, PV_ERR_LIMIT);
    assert_ok(results[2].status);
    assert_int_equal(count_rows(), 2);
}

PV_TEST(a_job_that_needs_no_database_keeps_its_result_when_the_others_fail)
{
    struct pv_transact_result results[2];
    sql(t.db, "PRAGMA query_only = ON");
    run(2, (const char *const[]){"a", NULL}, results);
    assert_true(results[0].status < 0);
    assert_ok(results[1].status);
}
