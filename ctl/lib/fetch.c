/* SPDX-License-Identifier: MIT */
/* Opens a file to send, and copies a received file to where the user wants it, without trusting its
 * name and without ever leaving half a file under that name. */
#include "ctl/lib/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

enum {
    MODE = 0666, /* the user's umask takes away from it */
    AT_ONCE = 1 << 20,
};

/* Does the file end where stat() says? Those of /proc and /sys have 0 bytes or a page there. */
static bool has_its_size(int fd, off_t size)
{
    char byte;
    return size == 0 ? pread(fd, &byte, 1, 0) <= 0 : pread(fd, &byte, 1, size - 1) != 0;
}

int pv_fetch_open(const char *path, int *ret_fd, char name[static PV_FILE_NAME_BUF],
                  double *ret_size)
{
    struct stat st;
    const char *slash = strrchr(path, '/');
    snprintf(name, PV_FILE_NAME_BUF, "%s", slash == NULL ? path : slash + 1);
    for (char *p = name; *p != '\0' && !pv_utf8_is_valid(pv_view(name, strlen(name))); p++)
        if ((*p & 0x80) != 0)
            *p = '_';
    /* Not blocking: opening a FIFO must not hang. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return PV_ERR_MALFORMED;
    }
    if (!has_its_size(fd, st.st_size)) {
        close(fd);
        return PV_ERR_UNSUPPORTED;
    }
    *ret_fd = fd;
    *ret_size = (double)st.st_size;
    return PV_OK;
}

/* The bytes from at up to end, or to the file's end. */
static int copy_range(int from, int to, off_t at, off_t end)
{
    if (lseek(to, at, SEEK_SET) < 0)
        return -errno;
    while (at < end) {
        ssize_t n = sendfile(to, from, &at, end - at < AT_ONCE ? (size_t)(end - at) : AT_ONCE);
        if (n == 0)
            break;
        if (n < 0 && errno != EINTR)
            return -errno;
    }
    return PV_OK;
}

/* Shares the blocks where the file system can do that, and else leaves holes as they are. */
static int copy(int from, int to)
{
    struct stat st;
    if (fstat(from, &st) < 0)
        return -errno;
    bool shared = ioctl(to, FICLONE, from) == 0;
    int r = shared || ftruncate(to, st.st_size) == 0 ? PV_OK : -errno;
    for (off_t at = 0; r == PV_OK && !shared && at < st.st_size;) {
        off_t data = lseek(from, at, SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            break; /* only a hole is left */
        data = data < 0 ? at : data;
        off_t hole = lseek(from, data, SEEK_HOLE);
        at = hole <= data ? st.st_size : hole;
        r = copy_range(from, to, data, at);
    }
    return r < 0 ? r : fsync(to) == 0 ? PV_OK : -errno;
}

/* p2pvpnd's file becomes the user's when it belongs to the same user already, as that of p2pvpnd
 * --user, and lies in the same file system: then it is never there twice. Never root's, for whom a
 * p2pvpnd that was taken over could pass any file of root's. False: it has to be copied. */
static bool take_over(int from, int dir, const char *name)
{
    struct stat st;
    if (fstat(from, &st) < 0 || geteuid() == 0 || st.st_uid != geteuid() || st.st_nlink != 1 ||
        linkat(AT_FDCWD, PV_STR("/proc/self/fd/%d", from), dir, name, AT_SYMLINK_FOLLOW) != 0)
        return false;
    const mode_t mask = umask(0);
    umask(mask);
    (void)fchmod(from, MODE & ~mask);
    return true;
}

/* A copy without a name, which gets it whole or not at all. */
static int put_whole(int from, int dir, const char *name)
{
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return PV_ERR_EXISTS;
    if (take_over(from, dir, name))
        return PV_OK;
    int to = openat(dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, MODE);
    if (to < 0)
        return PV_ERR_UNSUPPORTED;
    int r = copy(from, to);
    if (r == PV_OK &&
        linkat(AT_FDCWD, PV_STR("/proc/self/fd/%d", to), dir, name, AT_SYMLINK_FOLLOW) != 0)
        r = errno == EEXIST ? PV_ERR_EXISTS : errno == ENOENT ? PV_ERR_UNSUPPORTED : -errno;
    close(to);
    return r;
}

/* As name, which has no slash, in dir. */
static int put(int from, int dir, const char *name)
{
    int r = put_whole(from, dir, name);
    if (r != PV_ERR_UNSUPPORTED)
        return r;
    /* A file system without O_TMPFILE, or no /proc. A name without a slash that must be new is
     * nowhere but in dir, and no link that is there. */
    int to = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, MODE);
    if (to < 0)
        return errno == EEXIST ? PV_ERR_EXISTS : -errno;
    r = copy(from, to);
    close(to);
    if (r < 0)
        unlinkat(dir, name, 0);
    return r;
}

/* dir counts from the directory base, when it does not begin at the root. */
static int put_in(int from, int base, const char *dir, const char *name)
{
    int at = openat(base, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (at < 0)
        return -errno;
    int r = put(from, at, name);
    close(at);
    return r;
}

/* The user's own choice: any path, but nothing is overwritten. */
static int fetch_to(int from, int base, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    if (name[0] == '\0')
        return -EISDIR;
    char *dir = slash == NULL ? strdup(".") : strndup(path, (size_t)(slash - path) + 1);
    int r = dir == NULL ? PV_ERR_NOMEM : put_in(from, base, dir, name);
    free(dir);
    return r;
}

int pv_fetch(int from, const char *dir, const char *name, const char *path)
{
    char clean[PV_FILE_NAME_BUF];
    if (path != NULL) {
        int base = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (base < 0)
            return -errno;
        int r = fetch_to(from, base, path);
        close(base);
        return r;
    }
    /* p2pvpnd has cleaned it; whoever answers on its socket need not have. */
    if (pv_file_name_clean(pv_view(name, strlen(name)), clean) != PV_OK)
        return PV_ERR_MALFORMED;
    return put_in(from, AT_FDCWD, dir, clean);
}
