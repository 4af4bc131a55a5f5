/* SPDX-License-Identifier: MIT */
/* The files that SQLite needs beside its database, in a process that may open nothing else. */
#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include "sys/file/sqlite.h"
#include "sys/proc/sandbox.h"
#include "tests/unit/test_util.h"

static const struct pv_sqlite_kind kind = {.application_id = 0x7065,
                                           .schema = 1,
                                           .program = "the test",
                                           .damaged = PV_REMEDY_move_store_away};

enum {
    NO_SANDBOX = 7, /* exit code: this kernel has no Landlock */
};

/* Some megabytes that are sorted, and a statement that may have to be taken back: more than
 * SQLite keeps in memory of its own accord. */
static int use_database(const char *dir)
{
    const struct pv_sandbox_path paths[] = {{dir, PV_SANDBOX_READ | PV_SANDBOX_WRITE}};
    char error[PV_SQLITE_ERROR_MAX] = "", *why = NULL;
    struct pv_sqlite *db = NULL;
    int abi = 0;
    int r = pv_sandbox_files(paths, PV_ARRAY_LEN(paths), 0, &abi);
    if (r == PV_ERR_UNSUPPORTED)
        return NO_SANDBOX;
    if (r == PV_OK)
        r = pv_sqlite_open(&db, &kind, dir, "x.db", error);
    if (r == PV_OK)
        r = pv_sqlite_commit(db, error);
    if (r == PV_OK && sqlite3_exec(pv_sqlite_handle(db), test_given("large statements"), NULL, NULL,
                                   &why) != SQLITE_OK)
        r = -1;
    if (r < 0)
        fprintf(stderr, "%d %s %s\n", r, error, why == NULL ? "" : why);
    sqlite3_free(why);
    pv_sqlite_close(db);
    return r < 0;
}

PV_TEST(large_statements_need_no_file_elsewhere)
{
    char dir[] = "/tmp/pvsqlite.XXXXXX";
    int status = -1;
    assert_non_null(mkdtemp(dir));
    pid_t pid = fork();
    if (pid == 0)
        _exit(use_database(dir));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    unlink(PV_STR("%s/x.db", dir));
    rmdir(dir);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == NO_SANDBOX)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* A backup that was unpacked in the wrong place makes one. Its owner and mode are as they should
 * be.
 */
PV_TEST(a_directory_of_the_databases_name_is_told)
{
    char dir[] = "/tmp/pvsqlite.XXXXXX", error[PV_SQLITE_ERROR_MAX] = "";
    struct pv_sqlite *db = NULL;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(mkdir(PV_STR("%s/x.db", dir), 0700), 0);
    assert_int_equal(pv_sqlite_open(&db, &kind, dir, "x.db", error), -EISDIR);
    test_shows_as(dir, "DIR");
    assert_shows("error", error);
    assert_int_equal(pv_sqlite_open_beside(&db, &kind, dir, "x.db", error), -EISDIR);
    rmdir(PV_STR("%s/x.db", dir));
    rmdir(dir);
}

static char where[64];

static void opens(int want, enum pv_remedy_id todo)
{
    char error[PV_SQLITE_ERROR_MAX] = "";
    struct pv_sqlite *db = NULL;
    int r = pv_sqlite_open(&db, &kind, where, "x.db", error);
    if (r == PV_OK)
        r = pv_sqlite_commit(db, error);
    assert_int_equal(r, want);
    assert_int_equal(pv_remedy_said(error).id, todo);
    pv_sqlite_close(db);
}

static void empty(void)
{
    (void)unlink(PV_STR("%s/x.db", where));
    (void)unlink(PV_STR("%s/x.db-wal", where));
    (void)unlink(PV_STR("%s/x.db-shm", where));
}

/* Each error is made, what it says is done, and the database opens.
 * remedy: move_file_away, move_store_away, other_state, end_lock, check_directory */
PV_TEST(what_an_error_says_to_do_mends_it)
{
    sqlite3 *other = NULL;
    snprintf(where, sizeof(where), "/tmp/pvsqlite.XXXXXX");
    assert_non_null(mkdtemp(where));
    assert_int_equal(mkdir(PV_STR("%s/x.db", where), 0700), 0);
    opens(-EISDIR, PV_REMEDY_move_file_away);
    assert_int_equal(rename(PV_STR("%s/x.db", where), PV_STR("%s/away", where)), 0);
    opens(PV_OK, PV_REMEDY_NONE);
    rmdir(PV_STR("%s/away", where));

    empty();
    test_write(PV_STR("%s/x.db", where), "this is no database, and longer than the header of one: "
                                         "0123456789 0123456789 0123456789 0123456789");
    opens(PV_ERR_MALFORMED, PV_REMEDY_move_store_away);
    assert_int_equal(rename(PV_STR("%s/x.db", where), PV_STR("%s/away", where)), 0);
    opens(PV_OK, PV_REMEDY_NONE);
    unlink(PV_STR("%s/away", where));

    assert_int_equal(sqlite3_open(PV_STR("%s/x.db", where), &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    opens(-EBUSY, PV_REMEDY_end_lock);
    sqlite3_close(other);
    opens(PV_OK, PV_REMEDY_NONE);

    assert_int_equal(sqlite3_open(PV_STR("%s/x.db", where), &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "PRAGMA application_id = 7", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
    opens(PV_ERR_MALFORMED, PV_REMEDY_other_state);
    char first[64];
    memcpy(first, where, sizeof(first));
    snprintf(where, sizeof(where), "/tmp/pvsqlite.XXXXXX");
    assert_non_null(mkdtemp(where));
    opens(PV_OK, PV_REMEDY_NONE);
    empty();
    rmdir(where);
    memcpy(where, first, sizeof(where));

    empty();
    const bool root = geteuid() == 0;
    assert_int_equal(chmod(where, root ? 0700 : 0500), 0);
    if (root)
        assert_int_equal(seteuid(65534), 0);
    opens(-EACCES, PV_REMEDY_check_directory);
    if (root)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(chmod(where, root ? 0777 : 0700), 0);
    if (root)
        assert_int_equal(seteuid(65534), 0);
    opens(PV_OK, PV_REMEDY_NONE);
    if (root)
        assert_int_equal(seteuid(0), 0);
    empty();
    assert_int_equal(rmdir(where), 0);
}

/* Much room, and no file can be made: that is another thing to mend. */
PV_TEST(a_disk_without_inodes_is_told)
{
    char dir[] = "/tmp/pvsqlite.XXXXXX", error[PV_SQLITE_ERROR_MAX] = "";
    struct pv_sqlite *db = NULL;
    assert_non_null(mkdtemp(dir));
    if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("pvsqlite", dir, "tmpfs", 0, "size=1m,nr_inodes=2") < 0) {
        rmdir(dir);
        printf("skipped: needs root and mount namespaces\n");
        skip();
    }
    test_write(PV_STR("%s/filler", dir), "");
    assert_int_equal(pv_sqlite_open(&db, &kind, dir, "x.db", error), -ENOSPC);
    test_shows_as(dir, "DIR");
    assert_shows("error", error);
    assert_int_equal(umount(dir), 0);
    rmdir(dir);
}
