/* SPDX-License-Identifier: MIT */
/* Opens a file to send, and copies a received file to where the user wants it, without trusting its
 * name and without ever leaving half a file under that name. */
#include "ctl/lib/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static int copy(int from, int to)
{
    off_t at = 0;
    for (;;) {
        ssize_t n = sendfile(to, from, &at, AT_ONCE);
        if (n == 0)
            break;
        if (n < 0 && errno != EINTR)
            return -errno;
    }
    return fsync(to) == 0 ? PV_OK : -errno;
}

/* A copy without a name, which gets it whole or not at all. */
static int put_whole(int from, int dir, const char *name)
{
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return PV_ERR_EXISTS;
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
