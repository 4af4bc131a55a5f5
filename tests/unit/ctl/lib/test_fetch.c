/* SPDX-License-Identifier: MIT */
/* A received file is put where its user wants it: whole, beside what is there, never elsewhere. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ctl/lib/fetch.h"
#include "tests/unit/test_util.h"

static char top[] = "/tmp/pv_fetch_XXXXXX";
static char dir[64], path[64 + 256]; /* path: with the longest name there is */
static int from;

/* --- other file systems, and somebody who is quicker ------------------------------------------ */

static bool has_no_tmpfile, is_overtaken;

/* These two stand before the C library's. */
int openat(int at, const char *name, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    bool makes = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
    mode_t mode = makes ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    errno = EOPNOTSUPP;
    if (has_no_tmpfile && (flags & O_TMPFILE) == O_TMPFILE)
        return -1;
    return (int)syscall(SYS_openat, at, name, flags, mode);
}

/* The files that are there come a moment after this look. */
int fstatat(int at, const char *restrict name, struct stat *restrict st, int flags)
{
    errno = ENOENT;
    return is_overtaken ? -1 : (int)syscall(SYS_newfstatat, at, name, st, flags);
}

static void write_text(const char *where, const char *text)
{
    test_write(where, text);
}

static int begin(void **state)
{
    memcpy(top + sizeof(top) - 7, "XXXXXX", 6);
    if (mkdtemp(top) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/kept", top);
    write_text(path, "what bob sent");
    from = open(path, O_RDONLY | O_CLOEXEC);
    unlink(path);
    snprintf(dir, sizeof(dir), "%s/in", top);
    return from < 0 ? -1 : mkdir(dir, 0700);
}

static const char *in_dir(const char *name)
{
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static int end(void **state)
{
    const struct dirent *e;
    DIR *d = opendir(dir);
    has_no_tmpfile = is_overtaken = false;
    while (d != NULL && (e = readdir(d)) != NULL)
        unlink(in_dir(e->d_name));
    if (d != NULL)
        closedir(d);
    close(from);
    return rmdir(dir) != 0 || rmdir(top) != 0 ? -1 : 0; /* nothing else is anywhere */
}

static int begin_overtaken(void **state)
{
    is_overtaken = true;
    return begin(state);
}

static int begin_without_tmpfile(void **state)
{
    has_no_tmpfile = is_overtaken = true;
    return begin(state);
}

PV_TEST_WORLDS({"as it is", begin, end}, {"overtaken", begin_overtaken, end},
               {"without O_TMPFILE", begin_without_tmpfile, end});

static unsigned count(void)
{
    const struct dirent *e;
    unsigned n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    while ((e = readdir(d)) != NULL)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void assert_text(const char *where, const char *want)
{
    char text[64];
    test_read(where, text, sizeof(text));
    assert_string_equal(text, want);
}

PV_TEST(it_gets_its_name_or_the_users)
{
    assert_ok(pv_fetch(from, dir, "photo.jpg", NULL));
    assert_text(in_dir("photo.jpg"), "what bob sent");
    assert_ok(pv_fetch(from, ".", "photo.jpg", in_dir("mine")));
    assert_text(in_dir("mine"), "what bob sent");
    assert_ok(pv_fetch(from, dir, "photo.jpg", "another"));
    assert_text(in_dir("another"), "what bob sent");
    assert_ok(pv_fetch(from, top, "photo.jpg", "in/deeper"));
    assert_text(in_dir("deeper"), "what bob sent");
    assert_int_equal(count(), 4);
}

PV_TEST(nothing_is_overwritten_and_no_link_followed)
{
    write_text(in_dir("photo.jpg"), "mine");
    assert_int_equal(pv_fetch(from, dir, "photo.jpg", NULL), PV_ERR_EXISTS);
    assert_int_equal(pv_fetch(from, dir, "x", in_dir("photo.jpg")), PV_ERR_EXISTS);
    assert_int_equal(pv_fetch(from, dir, "x", "photo.jpg"), PV_ERR_EXISTS);
    assert_text(in_dir("photo.jpg"), "mine");
    assert_int_equal(symlink("../elsewhere", in_dir("link")), 0);
    assert_int_equal(pv_fetch(from, dir, "link", NULL), PV_ERR_EXISTS);
    assert_int_equal(pv_fetch(from, dir, "x", in_dir("link")), PV_ERR_EXISTS);
}

PV_TEST(no_name_leaves_the_directory)
{
    static const char *const names[] = {"../up", "/tmp/pv_fetch_up", "a/b/c", "..", ".bashrc"};
    for (size_t i = 0; i < PV_ARRAY_LEN(names); i++)
        assert_ok(pv_fetch(from, dir, names[i], NULL));
    assert_int_equal(count(), PV_ARRAY_LEN(names));
    assert_text(in_dir("up"), "what bob sent");
    assert_text(in_dir("_bashrc"), "what bob sent");
}

PV_TEST(a_file_that_cannot_be_copied_leaves_nothing_behind)
{
    int no_file = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(pv_fetch(no_file, dir, "photo.jpg", NULL) < 0);
    assert_true(pv_fetch(no_file, dir, "x", in_dir("mine")) < 0);
    close(no_file);
    assert_int_equal(count(), 0);
    assert_true(pv_fetch(from, "/nowhere", "photo.jpg", NULL) < 0);
    assert_true(pv_fetch(from, "/nowhere", "photo.jpg", "mine") < 0);
    assert_true(pv_fetch(from, dir, "x", in_dir("")) < 0);
}

PV_TEST(holes_stay_holes)
{
    enum {
        SIZE = 64 << 20,
    };
    struct stat st;
    char got[8] = "";
    const char *sparse = PV_STR("%s/sparse", top);
    int fd = open(sparse, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(unlink(sparse), 0);
    assert_int_equal(ftruncate(fd, SIZE), 0);
    assert_int_equal(pwrite(fd, "words", 5, SIZE / 2), 5);
    assert_ok(pv_fetch(fd, dir, "sparse", NULL));
    close(fd);
    assert_int_equal(stat(in_dir("sparse"), &st), 0);
    assert_int_equal(st.st_size, SIZE);
    assert_true(st.st_blocks * 512 < SIZE / 8);
    fd = open(in_dir("sparse"), O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, got, 5, SIZE / 2), 5);
    assert_string_equal(got, "words");
    close(fd);
}

PV_TEST(a_file_of_the_same_user_is_taken_over_but_none_of_roots)
{
    struct stat was, is;
    const char *kept = PV_STR("%s/kept", top);
    const bool root = geteuid() == 0;
    for (int as_root = root; as_root >= 0; as_root--) {
        const uid_t me = as_root || !root ? geteuid() : 65534;
        write_text(kept, "what bob sent");
        assert_int_equal(chmod(kept, 0600), 0);
        int fd = open(kept, O_RDONLY | O_CLOEXEC);
        assert_int_equal(fstat(fd, &was), 0);
        if (me != geteuid()) {
            assert_int_equal(fchown(fd, me, me) | chown(dir, me, me) | chmod(top, 0755), 0);
            assert_int_equal(seteuid(me), 0);
        }
        const mode_t mask = umask(022);
        int r = pv_fetch(fd, dir, "photo.jpg", NULL);
        umask(mask);
        if (root)
            assert_int_equal(seteuid(0), 0);
        assert_ok(r);
        close(fd);
        assert_int_equal(unlink(kept), 0);
        assert_int_equal(stat(in_dir("photo.jpg"), &is), 0);
        assert_int_equal(is.st_ino == was.st_ino, me != 0);
        assert_int_equal(is.st_mode & 0777, 0644);
        assert_text(in_dir("photo.jpg"), "what bob sent");
        assert_int_equal(unlink(in_dir("photo.jpg")), 0);
    }
}

PV_TEST(a_file_to_send_has_a_name_that_can_be_told)
{
    char name[PV_FILE_NAME_BUF];
    double size = 0;
    int fd = -1;
    write_text(in_dir("gr\xfc\xdf"
                      "e.txt"),
               "hello"); /* Latin-1 */
    assert_ok(pv_fetch_open(path, &fd, name, &size));
    assert_string_equal(name, "gr__e.txt");
    assert_true(size == 5);
    close(fd);
    write_text(in_dir("gr\xc3\xbc\xc3\x9f"
                      "e"),
               "");
    assert_ok(pv_fetch_open(path, &fd, name, &size));
    assert_string_equal(name, "gr\xc3\xbc\xc3\x9f"
                              "e");
    close(fd);
    assert_int_equal(mkfifo(in_dir("pipe"), 0600), 0); /* holds nobody up */
    assert_int_equal(pv_fetch_open(path, &fd, name, &size), PV_ERR_MALFORMED);
    assert_int_equal(pv_fetch_open(dir, &fd, name, &size), PV_ERR_MALFORMED);
    assert_int_equal(pv_fetch_open(in_dir("nothing"), &fd, name, &size), -ENOENT);
    /* stat() says that they are empty, or have a page */
    assert_int_equal(pv_fetch_open("/proc/self/status", &fd, name, &size), PV_ERR_UNSUPPORTED);
    if (access("/sys/devices/system/cpu/online", R_OK) == 0)
        assert_int_equal(pv_fetch_open("/sys/devices/system/cpu/online", &fd, name, &size),
                         PV_ERR_UNSUPPORTED);
}
