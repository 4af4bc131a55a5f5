/* SPDX-License-Identifier: MIT */
/* The tables in PostgreSQL: they are made wholly or not at all, by one of many coordinators, by
 * nobody who may not, and never over tables of another version. */
#include <errno.h>
#include <poll.h>

#include "coordinator/store/pg/pg_lease.h"
#include "coordinator/store/pg/pg_schema.h"
#include "coordinator/store/pg/pg_view.h"
#include "sys/proc/clock.h"
#include "tests/unit/coordinator/store/pg_program.h"

enum {
    WAIT_S = 60, /* for what takes moments */
};

/* Everything that a schema is made of, whatever the white space of its functions. */
static const char *catalog(void)
{
    return pg_sql(&server, test_given("everything that a schema is made of"));
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

/* Tables as a coordinator whose schema has this version left them. */
static void make_version(int version)
{
    char error[PV_PG_ERROR_MAX] = "";
    assert_ok(start_as("postgres", error));
    pg_sql(&server, PV_STR("UPDATE p2pvpn.version SET version = %d", version));
}

static int setup(void **state)
{
    pg_sql_wait(&server);
    return 0;
}

static int teardown(void **state)
{
    pg_sql(&server, "DROP SCHEMA IF EXISTS p2pvpn CASCADE");
    return 0;
}

PV_TEST_WORLD(setup, teardown);

/* --- tests ----------------------------------------------------------------------------------- */

/* The operator lists homes. */
static int look(char error[static PV_PG_ERROR_MAX])
{
    const struct pv_pgview view = {.ctx = NULL};
    return pv_pgview_read(pg_server_conninfo(&server, "postgres"), &view, error);
}

PV_TEST(a_database_without_tables_has_nothing_to_show_and_stays_as_it_is)
{
    char error[PV_PG_ERROR_MAX] = "";
    assert_int_equal(look(error), PV_ERR_NOT_FOUND);
    assert_shows("error", error);
    assert_string_equal(pg_sql(&server, "SELECT to_regnamespace('p2pvpn') IS NULL"), "t");
}

static void show_refusal(int version)
{
    char error[PV_PG_ERROR_MAX] = "", before[PV_PG_ERROR_MAX];
    make_version(version);
    snprintf(before, sizeof(before), "%s", catalog());
    assert_int_equal(start_as("postgres", error), PV_ERR_UNSUPPORTED);
    assert_shows("start", error);
    assert_int_equal(look(error), PV_ERR_UNSUPPORTED);
    assert_shows("look", error);
    assert_string_equal(catalog(), before);
    assert_int_equal(strtol(pg_sql(&server, "SELECT version FROM p2pvpn.version"), NULL, 10),
                     version);
    pg_sql(&server, "DROP SCHEMA p2pvpn CASCADE");
}

PV_TEST(tables_of_another_version_are_refused_and_stay_as_they_are)
{
    show_refusal(77);
    show_refusal(3);
}

PV_TEST(a_start_that_fails_leaves_what_was_there)
{
    char error[PV_PG_ERROR_MAX] = "", before[PV_PG_ERROR_MAX];
    pg_sql(&server, test_given("CREATE SCHEMA p2pvpn CREATE")); /* in the way */
    snprintf(before, sizeof(before), "%s", catalog());
    assert_int_equal(start_as("postgres", error), -EIO);
    assert_has(error, "homes");
    assert_string_equal(catalog(), before);
    pg_sql(&server, "DROP TABLE p2pvpn.homes");
    assert_ok(start_as("postgres", error));
}

/* A newer coordinator makes its tables while this one waits to make its own. */
PV_TEST(of_two_versions_that_start_at_once_one_makes_the_tables)
{
    int status = 0;
    struct pv_pg *newer = pg_sql_open(&server);
    pg_sql_in(newer, test_given("BEGIN SET LOCAL SELECT"));
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char error[PV_PG_ERROR_MAX] = "";
        int r = start_as("postgres", error);
        _exit(r == PV_ERR_UNSUPPORTED && strstr(error, "newer p2pvpn-coordinator (version 9") ? 0
                                                                                              : 1);
    }
    const pv_ns until = pv_clock_now() + PV_S(WAIT_S);
    while (strcmp(pg_sql_in(newer, test_given("SELECT count FROM pg_locks")), "1") != 0 &&
           pv_clock_now() < until)
        poll(NULL, 0, 20);
    pg_sql_in(newer, test_given("CREATE SCHEMA p2pvpn CREATE 2"));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_string_equal(pg_sql_in(newer, "SELECT version FROM p2pvpn.version"), "9");
    pv_pg_free(newer);
}

PV_TEST(a_user_who_may_not_make_tables_is_told_who_may)
{
    char error[PV_PG_ERROR_MAX] = "";
    pg_sql(&server, test_given("DO BEGIN CREATE ROLE few LOGIN"));
    assert_int_equal(start_as("few", error), -EACCES);
    assert_shows("error", error);
    pg_sql(&server, "DROP OWNED BY few; DROP ROLE few");
}
