/* SPDX-License-Identifier: MIT */
/*
 * Small files after power cuts: pv_file_write()'s calls are written down, and for a cut behind each
 * of them every state that the disk may be in has the old content or the new one, whole; the new
 * one once the call has answered. The program's own write(), fsync() and rename() stand before the
 * C library's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/file/file.h"
#include "tests/unit/test_dir.h"
#include "tests/unit/test_util.h"

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
    assert_int_equal(pv_file_read(path, 100, &data, &len), PV_OK);
    assert_int_equal(len, strlen(want) + 1);
    assert_string_equal(data, want);
    pv_file_free(data, len);
}

/* The new name may be on the platter from the rename on, its content is there from the sync on. */
PV_TEST(a_cut_at_any_moment_leaves_the_old_file_or_the_new_one)
{
    size_t written = 0, safe = 0;
    bool named = false, kept = false;
    disk.most = 3;
    assert_int_equal(write_new(), PV_OK);
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

PV_TEST(a_failure_is_told_and_what_was_there_stays)
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

static int setup(void **state)
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

static int teardown(void **state)
{
    disk.on = false;
    return test_dir_remove(dir);
}

PV_TEST_WORLD(setup, teardown);
