/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/file/file.h"
#include "tests/unit/test_util.h"

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
    static const char *const names[] = {"a", "a.tmp", "lock", "sub/deep", "sub", "fifo"};
    for (size_t i = 0; i < PV_ARRAY_LEN(names); i++) {
        char path[64];
        snprintf(path, sizeof(path), "%s/%s", f->dir, names[i]);
        if (unlink(path) < 0)
            (void)!rmdir(path);
    }
    return rmdir(f->dir);
}

PV_TEST_WORLD(setup, teardown);

static const char *path_of(void **state, const char *name)
{
    static char path[64];
    snprintf(path, sizeof(path), "%s/%s", ((struct fixture *)*state)->dir, name);
    return path;
}

PV_TEST(write_then_read_gives_the_same_bytes_and_mode)
{
    const char *path = path_of(state, "a");
    umask(0);
    assert_int_equal(pv_file_write(path, pv_view("hello\0x", 7), 0600), PV_OK);
    char *data = NULL;
    size_t len = 0;
    assert_int_equal(pv_file_read(path, 7, &data, &len), PV_OK);
    assert_int_equal(len, 7);
    assert_memory_equal(data, "hello\0x", 8); /* the NUL behind it too */
    pv_file_free(data, len);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
}

PV_TEST(read_refuses_longer_missing_and_special_files)
{
    char *data = NULL;
    size_t len = 0;
    assert_int_equal(pv_file_read(path_of(state, "a"), 10, &data, &len), PV_ERR_NOT_FOUND);
    assert_int_equal(pv_file_write(path_of(state, "a"), pv_view("12345", 5), 0644), PV_OK);
    assert_int_equal(pv_file_read(path_of(state, "a"), 4, &data, &len), PV_ERR_LIMIT);
    assert_int_equal(mkfifo(path_of(state, "fifo"), 0600), 0);
    assert_int_equal(pv_file_read(path_of(state, "fifo"), 10, &data, &len), PV_ERR_LIMIT);
    assert_int_equal(pv_file_read(((struct fixture *)*state)->dir, 1 << 20, &data, &len),
                     PV_ERR_LIMIT);
    assert_null(data);
}

PV_TEST(write_replaces_atomically_and_leaves_no_temporary)
{
    const char *path = path_of(state, "a");
    assert_int_equal(pv_file_write(path, pv_view("old old old", 11), 0600), PV_OK);
    assert_int_equal(pv_file_write(path, pv_view("new", 3), 0600), PV_OK);
    char *data = NULL;
    size_t len = 0;
    assert_int_equal(pv_file_read(path, 100, &data, &len), PV_OK);
    assert_string_equal(data, "new");
    pv_file_free(data, len);
    assert_int_equal(access(path_of(state, "a.tmp"), F_OK), -1);
}

PV_TEST(write_into_a_missing_directory_fails_with_enoent)
{
    assert_int_equal(pv_file_write(path_of(state, "sub/a"), pv_view("x", 1), 0600), -2);
}

PV_TEST(dir_make_makes_parents_and_closes_an_open_directory)
{
    struct stat st;
    assert_int_equal(pv_dir_make(path_of(state, "sub/deep"), 0700), PV_OK);
    assert_int_equal(stat(path_of(state, "sub/deep"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(chmod(path_of(state, "sub/deep"), 0755), 0);
    assert_int_equal(pv_dir_make(path_of(state, "sub/deep"), 0700), PV_OK);
    assert_int_equal(stat(path_of(state, "sub/deep"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(pv_file_write(path_of(state, "a"), pv_view("x", 1), 0600), PV_OK);
    assert_int_equal(pv_dir_make(path_of(state, "a"), 0700), -20);
}

PV_TEST(lock_is_held_against_another_process_and_freed_by_close)
{
    int fd = -1, other = -1;
    assert_int_equal(pv_file_lock(path_of(state, "lock"), &fd), PV_OK);
    assert_int_equal(pv_file_lock(path_of(state, "lock"), &other), PV_ERR_EXISTS);
    close(fd);
    assert_int_equal(pv_file_lock(path_of(state, "lock"), &other), PV_OK);
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
