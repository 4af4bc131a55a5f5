/* SPDX-License-Identifier: MIT */
/* The coordinator's database as every earlier version wrote it, opened by this one. */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "coordinator/store/store_sqlite.h"
#include "tests/unit/old_database.h"
#include "tests/unit/test_dir.h"

static const char *const versions[] = {"coordinator-v1-first", "coordinator-v1-mail",
                                       "coordinator-v1-marks"};

static char dir[64], path[96], kept[128];

static void make_old(const char *name)
{
    assert_non_null(test_dir_make(dir, sizeof(dir)));
    (void)snprintf(path, sizeof(path), "%s/coordinator.db", dir);
    (void)snprintf(kept, sizeof(kept), "%s.before-v%d", path, PV_COORDSTORE_SCHEMA);
    old_database_make(path, name);
}

static int count_row(void *ctx, struct pv_storerow *row)
{
    size_t *n = ctx;
    assert_true(row->epoch == 7 && row->n == *n + 1);
    assert_int_equal(row->hash[0], *n == 0 ? 0x22 : 0x11);
    (*n)++;
    return PV_OK;
}

static void expect_statements(void)
{
    struct pv_coordstore *s = NULL;
    char error[PV_STOREOP_ERROR_MAX] = "";
    size_t n = 0;
    if (pv_coordstore_open_sqlite(&s, dir, error) < 0)
        fail_msg("%s", error);
    assert_int_equal(pv_coordstore_load(s, count_row, &n, error), PV_OK);
    assert_int_equal(n, 2);
    pv_coordstore_close(s);
}

PV_TEST(every_earlier_version_is_migrated_and_kept)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(versions); i++) {
        struct stat st;
        make_old(versions[i]);
        char *before = old_database_dump(path);
        expect_statements();
        assert_int_equal(old_database_int(path, "PRAGMA user_version"), PV_COORDSTORE_SCHEMA);
        assert_int_equal(old_database_int(path, "SELECT ifnull(sum(bytes), 0) FROM mail_use"),
                         i == 0 ? 0 : 3);
        assert_int_equal(old_database_int(path, "SELECT ifnull(sum(bytes), 0) FROM mail_share"),
                         i == 0 ? 0 : 3);
        char *copy = old_database_dump(kept);
        assert_string_equal(copy, before);
        assert_int_equal(stat(kept, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        free(before);
        free(copy);
        assert_int_equal(test_dir_remove(dir), 0);
    }
}

/* A table of ours that is a view cannot get its trigger: the migration fails in its midst. */
PV_TEST(a_migration_that_breaks_off_leaves_the_old_database_whole)
{
    char error[PV_STOREOP_ERROR_MAX] = "";
    struct pv_coordstore *s = NULL;
    make_old("coordinator-v1-first");
    old_database_exec(path, "CREATE VIEW mail AS SELECT 1 AS network");
    char *before = old_database_dump(path);
    assert_true(pv_coordstore_open_sqlite(&s, dir, error) < 0);
    assert_non_null(strstr(error, "open "));
    char *after = old_database_dump(path);
    assert_string_equal(after, before);
    old_database_exec(path, "DROP VIEW mail");
    expect_statements();
    free(before);
    free(after);
    assert_int_equal(test_dir_remove(dir), 0);
}

PV_TEST(a_newer_database_is_refused_with_both_versions_and_the_remedy)
{
    char error[PV_STOREOP_ERROR_MAX] = "";
    struct pv_coordstore *s = NULL;
    make_old("coordinator-v1-marks");
    old_database_exec(path, "PRAGMA user_version = 77");
    assert_int_equal(pv_coordstore_open_sqlite(&s, dir, error), PV_ERR_UNSUPPORTED);
    assert_non_null(strstr(error, "newer p2pvpn-coordinator (schema 77; this one knows up to 2): "
                                  "install that version"));
    assert_int_equal(test_dir_remove(dir), 0);
}
