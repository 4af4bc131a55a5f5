/* SPDX-License-Identifier: MIT */
/* The daemon's database as every earlier version wrote it, opened by this one. */
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/store/store.h"
#include "tests/unit/old_database.h"
#include "tests/unit/test_dir.h"

static const char *const versions[] = {"p2pvpnd-v1-first", "p2pvpnd-v1-chat",    "p2pvpnd-v1-order",
                                       "p2pvpnd-v2-rooms", "p2pvpnd-v2-budgets", "p2pvpnd-v3-rooms",
                                       "p2pvpnd-v4-rooms"};

static char dir[64], path[96], kept[128];

static void make_old(const char *name)
{
    assert_non_null(test_dir_make(dir, sizeof(dir)));
    (void)snprintf(path, sizeof(path), "%s/p2pvpnd.db", dir);
    (void)snprintf(kept, sizeof(kept), "%s.before-v%d", path, PV_STORE_SCHEMA);
    if (name != NULL)
        old_database_make(path, name);
}

static struct pv_store *open_store(void)
{
    struct pv_store *s = NULL;
    char error[PV_JOB_ERROR_MAX] = "";
    if (pv_store_open(&s, dir, error) < 0)
        fail_msg("%s", error);
    return s;
}

/* The common part of all scripts. */
static void expect_network(struct pv_store *s)
{
    struct pv_store_saved saved;
    char error[PV_JOB_ERROR_MAX] = "";
    assert_ok(pv_store_load(s, &saved, error));
    assert_true(saved.saved.has_network);
    assert_string_equal(saved.saved.network_name, "home");
    assert_string_equal(saved.saved.node_name, "anna");
    assert_int_equal(saved.saved.n_meta, 1);
    assert_int_equal(saved.saved.n_statements, 2);
    bool first = saved.saved.statements[0].statement.ptr[0] == 0x11;
    assert_int_equal(saved.saved.statements[first ? 0 : 1].receipt.len, 2);
    assert_false(saved.saved.statements[0].has_mark || saved.saved.statements[1].has_mark);
    pv_store_saved_done(&saved);
}

PV_TEST(every_earlier_version_is_migrated_and_kept)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(versions); i++) {
        struct stat st;
        make_old(versions[i]);
        char *before = old_database_dump(path);
        int messages = strstr(before, "chat_message") == NULL
                           ? 0
                           : old_database_int(path, "SELECT count(*) FROM chat_message");
        struct pv_store *s = open_store();
        expect_network(s);
        pv_store_close(s);
        assert_int_equal(old_database_int(path, "PRAGMA user_version"), PV_STORE_SCHEMA);
        assert_int_equal(old_database_int(path, "SELECT count(*) FROM chat_message"), messages);
        assert_int_equal(old_database_int(path, "SELECT ifnull(sum(unread), 0) FROM chat_usage"
                                                " WHERE author <> x''"),
                         messages > 0);
        char *copy = old_database_dump(kept);
        assert_string_equal(copy, before);
        assert_int_equal(stat(kept, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        /* The second start finds nothing to do. */
        assert_int_equal(unlink(kept), 0);
        s = open_store();
        expect_network(s);
        pv_store_close(s);
        assert_int_equal(access(kept, F_OK), -1);
        free(before);
        free(copy);
        assert_int_equal(test_dir_remove(dir), 0);
    }
}

PV_TEST(a_new_database_leaves_no_copy)
{
    make_old(NULL);
    pv_store_close(open_store());
    assert_int_equal(access(kept, F_OK), -1);
    assert_int_equal(test_dir_remove(dir), 0);
}

/* A table of ours that is a view cannot get its index: the migration fails in its midst. */
PV_TEST(a_migration_that_breaks_off_leaves_the_old_database_whole)
{
    for (size_t i = 0; i < 3; i++) {
        char error[PV_JOB_ERROR_MAX] = "";
        struct pv_store *s = NULL;
        make_old(versions[i]);
        old_database_exec(path, "CREATE VIEW chat_gone AS SELECT 1 AS arrived_s");
        char *before = old_database_dump(path);
        assert_true(pv_store_open(&s, dir, error) < 0);
        assert_has(error, "views may not be indexed");
        char *after = old_database_dump(path);
        assert_string_equal(after, before);
        old_database_exec(path, "DROP VIEW chat_gone");
        s = open_store();
        expect_network(s);
        pv_store_close(s);
        free(before);
        free(after);
        assert_int_equal(test_dir_remove(dir), 0);
    }
}

/* The name of the copy is taken by what cannot be replaced. */
PV_TEST(without_a_copy_nothing_is_migrated)
{
    char error[PV_JOB_ERROR_MAX] = "", inside[160];
    struct pv_store *s = NULL;
    make_old("p2pvpnd-v2-rooms");
    (void)snprintf(inside, sizeof(inside), "%s/full", kept);
    assert_int_equal(mkdir(kept, 0700) | mkdir(inside, 0700), 0);
    char *before = old_database_dump(path);
    assert_true(pv_store_open(&s, dir, error) < 0);
    assert_has(error, "copy the database to");
    assert_has(error, "before-v");
    char *after = old_database_dump(path);
    assert_string_equal(after, before);
    (void)snprintf(inside, sizeof(inside), "%s.part", kept);
    assert_int_equal(access(inside, F_OK), -1);
    free(before);
    free(after);
    assert_int_equal(test_dir_remove(dir), 0);
}

PV_TEST(a_newer_database_is_refused_with_both_versions_and_the_remedy)
{
    char error[PV_JOB_ERROR_MAX] = "", older[128];
    struct pv_store *s = NULL;
    make_old(NULL);
    pv_store_close(open_store());
    old_database_exec(path, "PRAGMA user_version = 77");
    assert_int_equal(pv_store_open(&s, dir, error), PV_ERR_UNSUPPORTED);
    assert_has(error, "schema 77; this one knows up to 5): install that version");
    assert_lacks(error, "before-v");
    (void)snprintf(older, sizeof(older), "%s.before-v77", path);
    old_database_exec(older, "CREATE TABLE t(x)");
    assert_int_equal(pv_store_open(&s, dir, error), PV_ERR_UNSUPPORTED);
    assert_non_null(
        strstr(error, ", or put the older copy in its place, with the end .before-v77"));
    assert_int_equal(old_database_int(path, "PRAGMA user_version"), 77);
    assert_int_equal(test_dir_remove(dir), 0);
}
