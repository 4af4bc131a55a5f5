/* SPDX-License-Identifier: MIT */
/* The coordinator's database: operations, restarts, kills at any moment, disks that fail. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include "coordinator/store/store_sqlite.h"
#include "sys/proc/clock.h"
#include "tests/unit/coordinator/store/store_list.h"
#include "tests/unit/database.h"
#include "tests/unit/test_dir.h"

static char dir[64];

static const char *db_path(void)
{
    static char path[96];
    snprintf(path, sizeof(path), "%s/coordinator.db", dir);
    return path;
}

static int setup(void **state)
{
    if (test_dir_make(dir, sizeof(dir)) == NULL)
        return -1;
    list_begin();
    return 0;
}

static int teardown(void **state)
{
    DIR *d = opendir(dir);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (e->d_name[0] != '.')
            unlinkat(dirfd(d), e->d_name, 0);
    }
    closedir(d);
    rmdir(dir);
    return test_teardown(state); /* the world */
}

PV_TEST_WORLD(setup, teardown);

static struct pv_coordstore *open_ok(void)
{
    char error[PV_STOREOP_ERROR_MAX] = "";
    struct pv_coordstore *s = NULL;
    int r = pv_coordstore_open_sqlite(&s, dir, error);
    if (r != PV_OK)
        fail_msg("%d %s", r, error);
    return s;
}

static void open_fails(int status, const char *part)
{
    char error[PV_STOREOP_ERROR_MAX] = "";
    struct pv_coordstore *s = NULL;
    int r = pv_coordstore_open_sqlite(&s, dir, error);
    if (r != status || strstr(error, part) == NULL)
        fail_msg("%d \"%s\", expected %d and \"%s\"", r, error, status, part);
    assert_null(s);
}

/* --- kills --------------------------------------------------------------------------------- */

enum {
    ROUNDS = 12,
    AHEAD = 8, /* answers more than the killer waits for: it may run late */
};

/* Stores n members, tells each one that was answered, and waits to be killed. */
static void store_until_killed(int out, uint64_t first, unsigned n_members)
{
    struct pv_coordstore *s = open_ok();
    for (uint64_t i = first; i < first + n_members; i++) {
        struct cw_node n = cw_node_make(world);
        struct pv_storeop *op = member_op(&n, i, 0, 1000000);
        uint8_t hash[PV_STATEMENT_HASH_LEN];
        memcpy(hash, op->rows[0].hash, sizeof(hash));
        if (run(s, op).status != PV_OK || write(out, hash, sizeof(hash)) != (ssize_t)sizeof(hash))
            _exit(1);
    }
    for (;;)
        pause();
}

PV_TEST(nothing_answered_is_lost_when_it_is_killed_at_any_moment)
{
    static uint8_t told[ROUNDS * (ROUNDS + AHEAD)][PV_STATEMENT_HASH_LEN];
    size_t n_told = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            close(fds[0]);
            world->rng_state.state += round + 1; /* other nodes than in the round before */
            store_until_killed(fds[1], 1000 * (round + 1), round + 1 + AHEAD);
        }
        close(fds[1]);
        /* Killed behind its n-th answer, so at another place of the next operation each time. */
        for (unsigned i = 0; i <= round; i++) {
            assert_int_equal(read(fds[0], told[n_told], PV_STATEMENT_HASH_LEN),
                             PV_STATEMENT_HASH_LEN);
            n_told++;
        }
        kill(pid, SIGKILL);
        while (read(fds[0], told[n_told], PV_STATEMENT_HASH_LEN) == PV_STATEMENT_HASH_LEN)
            n_told++;
        close(fds[0]);
        assert_int_equal(waitpid(pid, NULL, 0), pid);

        struct pv_coordstore *s = open_ok(); /* checks the whole database */
        struct seen seen = all_of(s);
        for (size_t i = 0; i < n_told; i++) {
            size_t k = 0;
            while (k < seen.n && memcmp(seen.hashes[k], told[i], PV_STATEMENT_HASH_LEN) != 0)
                k++;
            assert_true(k < seen.n);
        }
        pv_coordstore_close(s);
    }
}

/* --- databases that are not right ------------------------------------------------------------ */

static void overwrite(long at, const char *bytes, size_t len)
{
    int fd = open(db_path(), O_RDWR | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, len, at), len);
    close(fd);
}

static void exec_sql(const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(db_path(), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void set_bytes(uint8_t network, uint64_t bytes)
{
    exec_sql(PV_STR("INSERT OR REPLACE INTO mail_use VALUES(x'%02x%030x', %" PRIu64 ")", network, 0,
                    bytes));
}

PV_TEST(a_damaged_database_is_named_and_left_alone)
{
    struct pv_coordstore *s = open_ok();
    struct stat before;
    struct stat after;
    for (uint64_t i = 1; i < 100; i++) {
        struct cw_node n = cw_node_make(world);
        assert_ok(run(s, member_op(&n, i, 0, 1000)).status);
    }
    pv_coordstore_close(s);
    char junk[8192];
    memset(junk, 'x', sizeof(junk));
    overwrite(4096, junk, sizeof(junk));
    assert_int_equal(stat(db_path(), &before), 0);
    open_fails(PV_ERR_MALFORMED, "damaged");
    assert_int_equal(stat(db_path(), &after), 0);
    assert_true(before.st_size == after.st_size);
}

PV_TEST(a_file_that_is_no_database_is_named)
{
    char junk[4096];
    memset(junk, 'j', sizeof(junk));
    overwrite(0, junk, sizeof(junk));
    open_fails(PV_ERR_MALFORMED, "damaged");
}

PV_TEST(a_foreign_or_newer_database_is_refused)
{
    exec_sql(test_given("a foreign database"));
    open_fails(PV_ERR_MALFORMED, "not a database of p2pvpn-coordinator");
    assert_int_equal(unlink(db_path()), 0);
    pv_coordstore_close(open_ok());
    exec_sql("PRAGMA user_version = 99");
    open_fails(PV_ERR_UNSUPPORTED, "newer");
}

/* --- disks that fail ------------------------------------------------------------------------- */

PV_TEST(a_directory_without_rights_is_named)
{
    if (geteuid() != 0) {
        print_message("skipped: only root can become somebody without rights\n");
        return;
    }
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char error[PV_STOREOP_ERROR_MAX] = "";
        struct pv_coordstore *s = NULL;
        if (seteuid(65534) < 0)
            _exit(2);
        int r = pv_coordstore_open_sqlite(&s, dir, error);
        _exit(r == -EACCES && strstr(error, "not writable") != NULL ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* --- marks ----------------------------------------------------------------------------------- */

struct marks {
    size_t n, marked; /* rows, and those that had a mark */
};

static int mark(void *ctx, struct pv_storerow *row)
{
    struct marks *m = ctx;
    m->n++;
    m->marked += row->has_mark ? 1 : 0;
    memset(row->mark, 7, sizeof(row->mark));
    row->has_mark = true;
    return PV_OK;
}

static struct marks load_and_mark(void)
{
    char error[PV_STOREOP_ERROR_MAX];
    struct marks m = {0};
    struct pv_coordstore *s = open_ok();
    assert_ok(pv_coordstore_load(s, mark, &m, error));
    pv_coordstore_close(s);
    return m;
}

PV_TEST(rows_are_marked_once)
{
    struct pv_coordstore *s = open_ok();
    assert_ok(run(s, network_op(1)).status);
    pv_coordstore_close(s);
    exec_sql("UPDATE statements SET mark = NULL");
    struct marks first = load_and_mark(), second = load_and_mark();
    assert_int_equal(first.n, 4);
    assert_int_equal(first.marked, 0);
    assert_int_equal(second.n, 4);
    assert_int_equal(second.marked, 4);
}

/* --- how copies grow old -------------------------------------------------------------------- */

static const uint64_t YEARS = 3600 * UINT64_C(86400);

/* The wall clock is years ahead and is corrected: that counts as a day, and what came meanwhile is
 * not kept for years. */
PV_TEST(a_clock_that_jumps_deletes_no_copies)
{
    uint64_t n = 0;
    disk = open_ok();
    assert_ok(keep(1, 2, 1, 0, 100));
    assert_ok(keep(1, 2, 2, YEARS, 100));
    assert_int_equal(next(2, &n, false, YEARS + 3600), 1);
    pv_coordstore_close(disk);
    disk = open_ok();
    assert_int_equal(next(2, &n, false, 3600), 2);
    n = 0;
    pass_days(3600, PV_STOREOP_COPY_S / 86400 - 1);
    assert_int_equal(next(2, &n, false, PV_STOREOP_COPY_S), 2);
    pass_days(PV_STOREOP_COPY_S, 1);
    n = 0;
    assert_int_equal(next(2, &n, false, PV_STOREOP_COPY_S + 86400), 0);
    disk = pv_coordstore_close(disk);
}

/* One that begins in the past, until a time server says when it is. */
PV_TEST(a_clock_that_was_behind_deletes_no_copies)
{
    uint64_t n = 0;
    disk = open_ok();
    assert_ok(keep(1, 2, 1, YEARS, 100));
    assert_ok(keep(1, 2, 2, 0, 100));
    assert_int_equal(next(2, &n, false, YEARS), 1);
    assert_int_equal(next(2, &n, false, YEARS), 2);
    disk = pv_coordstore_close(disk);
}

/* A transfer brought them before the first look, while the wall clock was ahead. */
PV_TEST(copies_from_before_the_first_look_are_not_from_the_future)
{
    uint64_t n = 0;
    disk = open_ok();
    assert_ok(keep(1, 2, 1, YEARS, 100));
    exec_sql("DELETE FROM age_clock");
    pass_days(0, PV_STOREOP_COPY_S / 86400);
    assert_int_equal(next(2, &n, false, PV_STOREOP_COPY_S), 1);
    pass_days(PV_STOREOP_COPY_S, 2);
    n = 0;
    assert_int_equal(next(2, &n, false, PV_STOREOP_COPY_S + 2 * 86400), 0);
    disk = pv_coordstore_close(disk);
}

static int take_time(void *ctx, const struct pv_storeop_copy *copy, struct pv_view box)
{
    *(uint64_t *)ctx = copy->wall_s;
    return PV_OK;
}

/* A copy that goes to another database is as old there: its time is told by the wall clock, from
 * which that of its store may differ by all the days that this coordinator was off. */
PV_TEST(copies_take_their_age_along)
{
    char error[PV_STOREOP_ERROR_MAX];
    const uint64_t wall_s = pv_clock_wall_us() / 1000000;
    uint64_t before = 0, after = 0;
    disk = open_ok();
    assert_ok(keep(1, 2, 1, 0, 100));
    exec_sql("DELETE FROM age_clock");
    assert_ok(pv_coordstore_copies(disk, take_time, &before, error));
    exec_sql(PV_STR("INSERT INTO age_clock VALUES(1, %llu, %llu)",
                    (unsigned long long)(wall_s - 1000000), (unsigned long long)wall_s));
    assert_ok(pv_coordstore_copies(disk, take_time, &after, error));
    assert_true(after == before + 1000000);
    disk = pv_coordstore_close(disk);
}

/* A network that has more than its part is refused while others are not: the sums are put there, as
 * half a gigabyte of copies would take long. */
PV_TEST(one_network_leaves_disk_for_others)
{
    disk = open_ok();
    assert_ok(keep(1, 2, 1, 0, 100));
    exec_sql("UPDATE mail_use SET bytes = 600 << 20");
    assert_int_equal(keep(1, 2, 2, 0, 100), PV_ERR_REFUSED);
    exec_sql(test_given("much mail of another network"));
    assert_ok(keep(1, 2, 2, 0, 100));
    exec_sql(test_given("more mail of another network"));
    assert_int_equal(keep(1, 2, 3, 0, 100), PV_ERR_REFUSED);
    pv_coordstore_close(disk);
    disk = open_ok(); /* counted anew: what is there */
    assert_ok(keep(1, 2, 3, 0, 100));
    uint64_t n = 0;
    assert_int_equal(next(2, &n, false, 0), 1);
    assert_int_equal(next(2, &n, true, 0), 2);
    disk = pv_coordstore_close(disk);
}

/* In a mount namespace of its own: 0 right, 1 wrong, 77 not possible here. */
static int try_full_disk(void)
{
    static const char block[4096];
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", dir, "tmpfs", 0, "size=512k") < 0)
        return 77;
    struct pv_coordstore *s = open_ok();
    struct cw_node n = cw_node_make(world);
    if (run(s, member_op(&n, 1, 0, 1000)).status != PV_OK)
        return 1;
    const char *path = PV_STR("%s/filler", dir);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    while (write(fd, block, sizeof(block)) > 0)
        ;
    close(fd);
    int r = PV_OK;
    struct pv_storeop_result res = {0};
    uint64_t i = 2;
    for (; i < 200 && r == PV_OK; i++) {
        n = cw_node_make(world);
        res = run(s, member_op(&n, i, 0, 1000));
        r = res.status;
    }
    if ((r != -ENOSPC && r != -EIO) || res.error[0] == '\0')
        return 1;
    unlink(path);
    n = cw_node_make(world);
    if (run(s, member_op(&n, i, 0, 1000)).status != PV_OK) /* it goes on once there is space */
        return 1;
    bool right = all_of(s).n == (size_t)(i - 1);
    pv_coordstore_close(s);
    return right ? 0 : 1;
}

PV_TEST(a_full_disk_is_an_answer_and_passes)
{
    if (geteuid() != 0) {
        print_message("skipped: only root can mount a small disk\n");
        return;
    }
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(try_full_disk());
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        print_message("skipped: no mount namespaces here\n");
    else
        assert_int_equal(WEXITSTATUS(status), 0);
}

/* --- databases of other versions -------------------------------------------------------------- */

static void expect_refusal(int schema, const char *why)
{
    char error[PV_STOREOP_ERROR_MAX] = "";
    struct pv_coordstore *s = NULL;
    exec_sql(PV_STR("PRAGMA user_version = %d", schema));
    char *before = database_dump(db_path());
    assert_int_equal(pv_coordstore_open_sqlite(&s, dir, error), PV_ERR_UNSUPPORTED);
    assert_has(error, "coordinator.db");
    assert_has(error, why);
    char *after = database_dump(db_path());
    assert_string_equal(after, before);
    free(before);
    free(after);
}

PV_TEST(a_database_of_another_schema_is_refused_and_stays_as_it_is)
{
    struct pv_coordstore *s = open_ok();
    assert_ok(run(s, network_op(1)).status);
    pv_coordstore_close(s);
    expect_refusal(77, test_given("newer"));
    expect_refusal(2, test_given("another version"));
}
