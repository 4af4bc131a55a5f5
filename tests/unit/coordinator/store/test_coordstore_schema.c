/* SPDX-License-Identifier: MIT */
/* The tables of an earlier version in PostgreSQL: they are changed wholly or not at all, by one of
 * many, by nobody who may not, and never back. */
#include <errno.h>
#include <poll.h>

#include "coordinator/core/member/home.h"
#include "coordinator/store/pg_lease.h"
#include "coordinator/store/pg_schema.h"
#include "coordinator/store/store_pg.h"
#include "sys/proc/clock.h"
#include "tests/unit/coordinator/store/pg_program.h"
#include "tests/unit/coordinator/store/store_ops.h"

enum {
    OLD_FENCE = 5, /* of the lease in an earlier database */
    WAIT_S = 60,   /* for what takes moments */
};

/* Everything that a schema is made of, whatever the white space of its functions. */
static const char catalog[] =
    "SELECT md5(string_agg(regexp_replace(t, '\\s+', ' ', 'g'), ' ' ORDER BY t)) FROM ("
    " SELECT pg_get_functiondef(p.oid) AS t FROM pg_proc p WHERE pronamespace = "
    "  'p2pvpn'::regnamespace"
    " UNION ALL SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable,"
    "  column_default) FROM information_schema.columns WHERE table_schema = 'p2pvpn'"
    " UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'p2pvpn'"
    " UNION ALL SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c"
    "  ON c.oid = t.tgrelid WHERE c.relnamespace = 'p2pvpn'::regnamespace"
    " UNION ALL SELECT conrelid::regclass || pg_get_constraintdef(oid) FROM pg_constraint"
    "  WHERE connamespace = 'p2pvpn'::regnamespace) q";

static int64_t
    member; /* number of the coordinator that open_ok() is the store of; 0: the lease's */
static uint64_t epoch;

static struct pv_coordstore *open_ok(void)
{
    const struct pv_store_pg_config cfg = {.conninfo = pg_server_conninfo(&server, "postgres"),
                                           .fence = OLD_FENCE,
                                           .member = member,
                                           .epoch = epoch};
    char error[PV_STOREOP_ERROR_MAX] = "";
    struct pv_coordstore *s = NULL;
    if (pv_coordstore_open_pg(&s, &cfg, error) != PV_OK)
        fail_msg("%s", error);
    return s;
}

static struct pv_pg_lease *lease_of(const char *user)
{
    char error[PV_PG_ERROR_MAX] = "";
    struct pv_pg_lease *l = NULL;
    const struct pv_pg_lease_config cfg = {.conninfo = pg_server_conninfo(&server, user),
                                           .pk = {1},
                                           .holder = {9},
                                           .name = "new machine",
                                           .shared = true};
    if (pv_pg_lease_new(&l, &cfg, error) != PV_OK)
        fail_msg("%s", error);
    return l;
}

/* The fate of a coordinator of this version that starts as this user. */
static int start_as(const char *user, char error[static PV_PG_ERROR_MAX])
{
    char other[PV_PG_NAME_MAX];
    struct pv_pg_lease *l = lease_of(user);
    int r = pv_pg_lease_take(l, other, error);
    pv_pg_lease_free(l);
    return r;
}

/* A database as coordinators of this version left it. */
static void make_old(int version)
{
    pg_sql_script(&server, PV_STR("coordinator-pg-v%d", version));
    pg_sql(&server, "INSERT INTO p2pvpn.installation(pk) VALUES(decode('01' || repeat('00', 31),"
                    " 'hex')); UPDATE p2pvpn.lease SET fence = 5, holder = '\\x07'");
    assert_int_equal(strtol(pg_sql(&server, "SELECT version FROM p2pvpn.version"), NULL, 10),
                     version);
}

static int setup(void **state)
{
    pg_sql_wait(&server);
    list_begin();
    member = 0;
    return 0;
}

static int teardown(void **state)
{
    pg_sql(&server, "DROP SCHEMA IF EXISTS p2pvpn CASCADE");
    return test_teardown(state);
}

PV_TEST_WORLD(setup, teardown);

/* --- tests ----------------------------------------------------------------------------------- */

static void keep_one(struct pv_coordstore *s, uint8_t key)
{
    const struct pv_storeop_copy m = {
        .network = {1}, .from = {2}, .to = {3}, .key = {key}, .wall_s = 1795161600};
    const uint8_t box[] = {7, 8, 9};
    struct pv_storeop *op = NULL;
    assert_ok(pv_storeop_new_copy(PV_STOREOP_KEEP, &m, pv_view(box, sizeof(box)), &op));
    assert_ok(run(s, op).status);
}

/* Takes the home of the network that the old database has, with its rows. */
static void take_home(struct pv_coordstore *s, size_t rows)
{
    struct pv_storeop_copy what = {.wall_s = 0};
    struct pv_storeop *op = NULL;
    memcpy(what.network, world->created.network_id, sizeof(what.network));
    assert_ok(pv_storeop_new_copy(PV_STOREOP_HOME, &what, pv_view(NULL, 0), &op));
    op->id = 3;
    struct pv_storeop_result res = run(s, op);
    if (res.status != PV_OK)
        fail_msg("%d %s", res.status, res.error);
    assert_int_equal(res.home->verdict, PV_HOME_TAKE);
    assert_int_equal(res.home->rows->n_rows, rows);
    assert_true(res.home->epoch > 7); /* that of the rows */
    pv_home_answer_free(res.home);
}

/* Rows of today in tables of then: what a row is has not changed, and the old tables' triggers
 * count them. */
static struct seen make_old_with(int version, const struct cw_node *a)
{
    char error[PV_PG_ERROR_MAX] = "";
    assert_ok(start_as("postgres", error));
    pg_sql(&server, "UPDATE p2pvpn.lease SET fence = 5");
    struct pv_coordstore *s = open_ok();
    assert_ok(run(s, network_op(1)).status);
    assert_ok(run(s, member_op(a, 9, 0, 2)).status);
    keep_one(s, 4);
    const struct seen all = all_of(s);
    pv_coordstore_close(s);
    pg_sql(&server, "CREATE SCHEMA aside; CREATE TABLE aside.statements AS TABLE p2pvpn.statements;"
                    "CREATE TABLE aside.mail AS TABLE p2pvpn.mail; DROP SCHEMA p2pvpn CASCADE");
    make_old(version);
    pg_sql(&server, "INSERT INTO p2pvpn.statements TABLE aside.statements;"
                    "INSERT INTO p2pvpn.mail TABLE aside.mail; DROP SCHEMA aside CASCADE");
    return all;
}

static void expect_all_rows_kept(int version)
{
    char other[PV_PG_NAME_MAX], error[PV_PG_ERROR_MAX] = "", made[PV_PG_ERROR_MAX];
    struct cw_node a = cw_node_make(world), b = cw_node_make(world), c = cw_node_make(world);
    const struct seen before = make_old_with(version, &a);
    struct pv_pg_lease *l = lease_of("postgres");
    assert_int_equal(pv_pg_lease_schema_was(l), -1);
    if (pv_pg_lease_take(l, other, error) != PV_OK)
        fail_msg("%s", error);
    assert_int_equal(pv_pg_lease_schema_was(l), version);
    assert_int_equal(strtol(pg_sql(&server, "SELECT version FROM p2pvpn.version"), NULL, 10),
                     PV_PG_SCHEMA);
    member = pv_pg_lease_fence(l);
    epoch = pv_pg_lease_epoch(l);
    struct pv_coordstore *s = open_ok();
    const struct seen after = all_of(s);
    assert_memory_equal(&before, &after, sizeof(after));
    take_home(s, 5);
    assert_ok(run(s, member_op(&b, 10, 0, 2)).status);
    assert_int_equal(run(s, member_op(&c, 11, 0, 2)).status, PV_ERR_EXPIRED);
    pv_coordstore_close(s);
    pv_pg_lease_free(l);
    assert_string_equal(pg_sql(&server, "SELECT encode(box, 'hex') FROM p2pvpn.mail"), "070809");

    /* It is the same as one that was made anew. */
    snprintf(made, sizeof(made), "%s", pg_sql(&server, catalog));
    pg_sql(&server, "DROP SCHEMA p2pvpn CASCADE");
    assert_ok(start_as("postgres", error));
    assert_string_equal(pg_sql(&server, catalog), made);
}

PV_TEST(a_database_of_version_1_keeps_all_its_rows)
{
    expect_all_rows_kept(1);
}

PV_TEST(a_database_of_version_2_keeps_all_its_rows)
{
    expect_all_rows_kept(2);
}

/* As a coordinator of version 1 or 2 keeps a copy: with 16 values, prepared. */
static const char prepare_keep[] =
    "PREPARE keep AS SELECT p2pvpn.keep('\\x01', '\\x03', '\\x02', $1::bytea, 0, '\\x070809', 0, 0,"
    " 2000, 16777216, 2000, 16777216, 1073741824, 250, 2097152, 67108864)";

/* Version 3 changes a function that coordinators of version 2 have prepared, and go on to call. */
PV_TEST(a_coordinator_that_runs_goes_on_while_the_functions_change)
{
    char error[PV_PG_ERROR_MAX] = "";
    int was = 0;
    make_old(2);
    struct pv_pg *older = pg_sql_open(&server), *newer = pg_sql_open(&server);
    pg_sql_in(older, prepare_keep);
    assert_string_equal(pg_sql_in(older, "EXECUTE keep('\\x01')"), "0");
    if (pv_pg_migrate(newer, &was, error) != PV_OK)
        fail_msg("%s", error);
    assert_int_equal(was, 2);
    pv_pg_free(newer);
    assert_string_equal(pg_sql_in(older, "EXECUTE keep('\\x02')"), "0");
    assert_string_equal(pg_sql(&server, "SELECT count(*) FROM p2pvpn.mail"), "2");
    pv_pg_free(older);
}

PV_TEST(a_change_that_fails_leaves_what_was_there)
{
    char error[PV_PG_ERROR_MAX] = "", before[PV_PG_ERROR_MAX];
    make_old(1);
    pg_sql(&server, "CREATE TABLE p2pvpn.homes()"); /* in the way */
    snprintf(before, sizeof(before), "%s", pg_sql(&server, catalog));
    assert_int_equal(start_as("postgres", error), -EIO);
    assert_has(error, "homes");
    assert_string_equal(pg_sql(&server, catalog), before);
    assert_string_equal(pg_sql(&server, "SELECT version FROM p2pvpn.version"), "1");
    pg_sql(&server, "DROP TABLE p2pvpn.homes");
    assert_ok(start_as("postgres", error));
}

/* A later version makes its tables while this one waits to make its own. */
PV_TEST(of_two_versions_that_start_at_once_the_later_one_stays)
{
    int status = 0;
    make_old(1);
    struct pv_pg *later = pg_sql_open(&server);
    pg_sql_in(later, "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0;"
                     "SELECT pg_advisory_xact_lock(1882353763)");
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char error[PV_PG_ERROR_MAX] = "";
        int r = start_as("postgres", error);
        _exit(r == PV_ERR_UNSUPPORTED && strstr(error, "newer p2pvpn-coordinator (version 9") ? 0
                                                                                              : 1);
    }
    const pv_ns until = pv_clock_now() + PV_S(WAIT_S);
    while (strcmp(pg_sql_in(later, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
                                   " AND objid = 1882353763 AND NOT granted"),
                  "1") != 0 &&
           pv_clock_now() < until)
        poll(NULL, 0, 20);
    pg_sql_in(later, "UPDATE p2pvpn.version SET version = 9; COMMIT");
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_string_equal(pg_sql_in(later, "SELECT version FROM p2pvpn.version"), "9");
    pv_pg_free(later);
}

PV_TEST(a_user_who_may_not_make_tables_is_told_who_may)
{
    char error[PV_PG_ERROR_MAX] = "";
    pg_sql(&server, "DO $$ BEGIN CREATE ROLE few LOGIN; EXCEPTION WHEN duplicate_object THEN NULL;"
                    " END $$");
    assert_int_equal(start_as("few", error), -EACCES);
    assert_has(error, "has no tables");
    assert_has(error, "start it once as the user who owns the database");
    make_old(1);
    pg_sql(&server, "GRANT USAGE ON SCHEMA p2pvpn TO few;"
                    "GRANT SELECT ON ALL TABLES IN SCHEMA p2pvpn TO few");
    assert_int_equal(start_as("few", error), -EACCES);
    assert_has(error, "lacks tables of this version");
    assert_string_equal(pg_sql(&server, "SELECT version FROM p2pvpn.version"), "1");
    pg_sql(&server, "DROP OWNED BY few; DROP ROLE few");
}
