/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/file/file.h"
#include "tests/unit/test_dir.h"
#include "tests/unit/test_util.h"

static int setup_crash(void **state);
static int teardown_crash(void **state);

struct fixture {
    char dir[32];
};

static int setup(void **state)
{
    static struct fixture f;
    snprintf(f.dir, sizeof(f.dir), "/tmp/pvfile.XXXXXX");
    if (mkdtemp(f.dir) == NULL)
        return -1;
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"a",        "a.tmp",        "lock",     "sub/deep",
                                        "sub/lock", "sub/.profile", "sub/b.db", "sub/p2pvpnd.log",
                                        "sub",      "fifo"};
    for (size_t i = 0; i < PV_ARRAY_LEN(names); i++) {
        const char *path = PV_STR("%s/%s", f->dir, names[i]);
        if (unlink(path) < 0)
            (void)!rmdir(path);
    }
    return rmdir(f->dir);
}

static const char *path_of(void **state, const char *name)
{
    static char path[64];
    snprintf(path, sizeof(path), "%s/%s", ((struct fixture *)*state)->dir, name);
    return path;
}

PV_TEST_IN(write_then_read_gives_the_same_bytes_and_mode, setup, teardown)
{
    const char *path = path_of(state, "a");
    umask(0);
    assert_ok(pv_file_write(path, pv_view("hello\0x", 7), 0600));
    char *data = NULL;
    size_t len = 0;
    assert_ok(pv_file_read(path, 7, &data, &len));
    assert_int_equal(len, 7);
    assert_memory_equal(data, "hello\0x", 8); /* the NUL behind it too */
    pv_file_free(data, len);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
}

PV_TEST_IN(read_refuses_longer_missing_and_special_files, setup, teardown)
{
    char *data = NULL;
    size_t len = 0;
    assert_int_equal(pv_file_read(path_of(state, "a"), 10, &data, &len), PV_ERR_NOT_FOUND);
    assert_ok(pv_file_write(path_of(state, "a"), pv_view("12345", 5), 0644));
    assert_int_equal(pv_file_read(path_of(state, "a"), 4, &data, &len), PV_ERR_LIMIT);
    assert_int_equal(mkfifo(path_of(state, "fifo"), 0600), 0);
    assert_int_equal(pv_file_read(path_of(state, "fifo"), 10, &data, &len), PV_ERR_LIMIT);
    assert_int_equal(pv_file_read(((struct fixture *)*state)->dir, 1 << 20, &data, &len),
                     PV_ERR_LIMIT);
    assert_null(data);
}

PV_TEST_IN(write_replaces_atomically_and_leaves_no_temporary, setup, teardown)
{
    const char *path = path_of(state, "a");
    assert_ok(pv_file_write(path, pv_view("old old old", 11), 0600));
    assert_ok(pv_file_write(path, pv_view("new", 3), 0600));
    char *data = NULL;
    size_t len = 0;
    assert_ok(pv_file_read(path, 100, &data, &len));
    assert_string_equal(data, "new");
    pv_file_free(data, len);
    assert_int_equal(access(path_of(state, "a.tmp"), F_OK), -1);
}

PV_TEST_IN(write_into_a_missing_directory_fails_with_enoent, setup, teardown)
{
    assert_int_equal(pv_file_write(path_of(state, "sub/a"), pv_view("x", 1), 0600), -2);
}

PV_TEST_IN(dir_make_makes_parents_and_closes_an_open_directory, setup, teardown)
{
    struct stat st;
    assert_ok(pv_dir_make(path_of(state, "sub/deep"), 0700));
    assert_int_equal(stat(path_of(state, "sub/deep"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(chmod(path_of(state, "sub/deep"), 0755), 0);
    assert_ok(pv_dir_make(path_of(state, "sub/deep"), 0700));
    assert_int_equal(stat(path_of(state, "sub/deep"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_ok(pv_file_write(path_of(state, "a"), pv_view("x", 1), 0600));
    assert_int_equal(pv_dir_make(path_of(state, "a"), 0700), -20);
}

PV_TEST_IN(a_directory_with_files_of_others_is_not_taken, setup, teardown)
{
    static const char *const marks[] = {"a.key", "b.db", NULL};
    char sub[96];
    snprintf(sub, sizeof(sub), "%s", path_of(state, "sub"));
    assert_ok(pv_dir_may_take(sub, marks));
    assert_int_equal(mkdir(sub, 0755), 0);
    assert_ok(pv_file_write(path_of(state, "sub/lock"), pv_view("", 0), 0600));
    assert_ok(pv_file_write(path_of(state, "sub/p2pvpnd.log"), pv_view("", 0), 0600));
    assert_int_equal(chmod(sub, 01777), 0);
    assert_ok(pv_dir_may_take(sub, marks)); /* an empty volume; who started us made the log */
    assert_int_equal(chmod(sub, 0755), 0);
    assert_ok(pv_file_write(path_of(state, "sub/.profile"), pv_view("x", 1), 0600));
    assert_int_equal(pv_dir_may_take(sub, marks), PV_ERR_EXISTS);
    assert_ok(pv_file_write(path_of(state, "sub/b.db"), pv_view("x", 1), 0600));
    assert_ok(pv_dir_may_take(sub, marks));
    /* A file of ours may have been put there by anybody. */
    assert_int_equal(chmod(sub, 01777), 0);
    assert_int_equal(pv_dir_may_take(sub, marks), PV_ERR_REFUSED);
    assert_int_equal(chmod(sub, 0777), 0);
    assert_int_equal(pv_dir_may_take(sub, marks), PV_ERR_REFUSED);
    assert_ok(pv_dir_may_take(path_of(state, "sub/b.db"), marks)); /* refused by pv_dir_make() */
}

PV_TEST_IN(lock_is_held_against_another_process_and_freed_by_close, setup, teardown)
{
    int fd = -1, other = -1;
    assert_ok(pv_file_lock(path_of(state, "lock"), &fd));
    assert_int_equal(pv_file_lock(path_of(state, "lock"), &other), PV_ERR_EXISTS);
    close(fd);
    assert_ok(pv_file_lock(path_of(state, "lock"), &other));
    close(other);
}

/* --- disk ------------------------------------------------------------------------------------ */

PV_TEST_IN(a_small_disk_has_a_small_reserve, NULL, NULL)
{
    assert_int_equal(pv_disk_reserve(UINT64_C(1) << 40), UINT64_C(64) << 20);
    assert_int_equal(pv_disk_reserve(UINT64_C(1280) << 20), UINT64_C(64) << 20);
    assert_int_equal(pv_disk_reserve(UINT64_C(200) << 20), UINT64_C(10) << 20);
    assert_int_equal(pv_disk_reserve(0), 0);
}

PV_TEST_IN(an_unknown_room_counts_as_low, NULL, NULL)
{
    assert_true(pv_disk_is_low("/nonexistent/p2pvpn"));
}

/* --- power cuts ------------------------------------------------------------------------------ */

/* The calls of pv_file_write() are written down, and for a cut behind each of them every state that
 * the disk may be in has the old content or the new one, whole; the new one once the call has
 * answered. The program's own write(), fsync() and rename() stand before the C library's. */

enum {
    EVENTS = 16
};

enum event_kind {
    WROTE,       /* bytes of the new file */
    SYNCED_FILE, /* all of them are on the platter */
    RENAMED,
    SYNCED_DIR, /* and so is its name */
};

static struct {
    bool on;
    enum event_kind kind[EVENTS];
    size_t bytes[EVENTS];
    size_t n;
    size_t most; /* bytes that one write() takes; 0: all */
    int fails;   /* the call of this kind fails; -1: none */
} disk;

static bool note(enum event_kind kind, size_t bytes)
{
    if (!disk.on)
        return true;
    if (disk.fails == (int)kind) {
        errno = EIO;
        return false;
    }
    assert_true(disk.n < EVENTS);
    disk.kind[disk.n] = kind;
    disk.bytes[disk.n++] = bytes;
    return true;
}

ssize_t write(int fd, const void *data, size_t len)
{
    if (disk.on && disk.most > 0 && len > disk.most)
        len = disk.most;
    return note(WROTE, len) ? syscall(SYS_write, fd, data, len) : -1;
}

int fsync(int fd)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    return note(S_ISDIR(st.st_mode) ? SYNCED_DIR : SYNCED_FILE, 0) ? 0 : -1;
}

int rename(const char *from, const char *to)
{
    return note(RENAMED, 0) ? (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0) : -1;
}

static char dir[64], path[96];
static const char text[] = "what is new";

static int write_new(void)
{
    disk.n = 0;
    disk.on = true;
    int r = pv_file_write(path, pv_view(text, sizeof(text)), 0600);
    disk.on = false;
    return r;
}

static void assert_content(const char *want)
{
    char *data = NULL;
    size_t len = 0;
    assert_ok(pv_file_read(path, 100, &data, &len));
    assert_int_equal(len, strlen(want) + 1);
    assert_string_equal(data, want);
    pv_file_free(data, len);
}

/* The new name may be on the platter from the rename on, its content is there from the sync on. */
PV_TEST_IN(a_cut_at_any_moment_leaves_the_old_file_or_the_new_one, setup_crash, teardown_crash)
{
    size_t written = 0, safe = 0;
    bool named = false, kept = false;
    disk.most = 3;
    assert_ok(write_new());
    for (size_t i = 0; i < disk.n; i++) {
        written += disk.kind[i] == WROTE ? disk.bytes[i] : 0;
        safe = disk.kind[i] == SYNCED_FILE ? written : safe;
        named = named || disk.kind[i] == RENAMED;
        kept = kept || (named && disk.kind[i] == SYNCED_DIR);
        /* A reader that finds the new name finds all of the content. */
        if (named)
            assert_int_equal(safe, sizeof(text));
    }
    assert_true(kept); /* before the answer */
    assert_content(text);
}

PV_TEST_IN(a_failure_is_told_and_what_was_there_stays, setup_crash, teardown_crash)
{
    for (int fails = WROTE; fails <= RENAMED; fails++) {
        disk.fails = fails;
        assert_int_equal(write_new(), -EIO);
        assert_content("old");
    }
    /* The new name may be lost again, so the caller must not rely on it. */
    disk.fails = SYNCED_DIR;
    assert_int_equal(write_new(), -EIO);
    assert_content(text);
}

static int setup_crash(void **state)
{
    disk.on = false;
    disk.most = 0;
    disk.fails = -1;
    snprintf(dir, sizeof(dir), "/tmp/pvcrash.XXXXXX");
    if (mkdtemp(dir) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/key", dir);
    return pv_file_write(path, pv_view("old", 4), 0600);
}

static int teardown_crash(void **state)
{
    disk.on = false;
    return test_dir_remove(dir);
}
