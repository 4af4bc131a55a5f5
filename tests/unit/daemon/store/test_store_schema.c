/* SPDX-License-Identifier: MIT */
/* The daemon's database when its schema is not the one that this program knows. */
#include "base/text.h"
#include "daemon/store/store.h"
#include "tests/unit/database.h"
#include "tests/unit/test_dir.h"

static char dir[64], path[96];

static int setup(void **state)
{
    if (test_dir_make(dir, sizeof(dir)) == NULL)
        return -1;
    (void)snprintf(path, sizeof(path), "%s/p2pvpnd.db", dir);
    return 0;
}

static int teardown(void **state)
{
    return test_dir_remove(dir);
}

PV_TEST_WORLD(setup, teardown);

static void make_database(void)
{
    struct pv_store *s = NULL;
    char error[PV_JOB_ERROR_MAX] = "";
    if (pv_store_open(&s, dir, error) < 0)
        fail_msg("%s", error);
    pv_store_close(s);
}

/* Its file is named, and has not changed. */
static void expect_refusal(int schema)
{
    struct pv_store *s = NULL;
    char error[PV_JOB_ERROR_MAX] = "";
    database_exec(path, PV_STR("PRAGMA user_version = %d", schema));
    char *before = database_dump(path);
    assert_int_equal(pv_store_open(&s, dir, error), PV_ERR_UNSUPPORTED);
    test_shows_as(path, "PATH");
    assert_shows("open", error);
    char *after = database_dump(path);
    assert_string_equal(after, before);
    free(before);
    free(after);
}

PV_TEST(a_newer_database_is_refused_with_both_versions_and_the_remedy)
{
    make_database();
    expect_refusal(77);
}

PV_TEST(an_older_database_is_refused_with_both_versions_and_the_remedy)
{
    make_database();
    expect_refusal(6);
}
