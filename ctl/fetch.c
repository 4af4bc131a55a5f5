/* SPDX-License-Identifier: MIT */
#include "ctl/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto/file.h"

enum {
    MODE = 0666, /* and what the user's umask leaves of it */
    AT_ONCE = 1 << 20,
};

/* A new file below dir, whatever name says. */
static int create_beneath(int dir, const char *name, int *ret_fd)
{
    const struct open_how how = {
        .flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
        .mode = MODE,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    long fd = syscall(SYS_openat2, dir, name, &how, sizeof(how));
    if (fd < 0)
        return errno == EEXIST ? PV_ERR_EXISTS : -errno;
    *ret_fd = (int)fd;
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

/* The user's own choice: any path, but nothing is overwritten. */
static int fetch_to(int from, const char *path)
{
    int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, MODE);
    if (to < 0)
        return errno == EEXIST ? PV_ERR_EXISTS : -errno;
    int r = copy(from, to);
    close(to);
    if (r < 0)
        unlink(path);
    return r;
}

int pv_fetch(int from, const char *dir, const char *name, const char *path)
{
    char clean[PV_FILE_NAME_BUF];
    int to = -1;
    if (path != NULL)
        return fetch_to(from, path);
    /* p2pvpnd has cleaned it; whoever answers on its socket need not have. */
    if (pv_file_name_clean(pv_view(name, strlen(name)), clean) != PV_OK)
        return PV_ERR_MALFORMED;
    int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (at < 0)
        return -errno;
    int r = create_beneath(at, clean, &to);
    if (r == PV_OK) {
        r = copy(from, to);
        close(to);
        if (r < 0)
            unlinkat(at, clean, 0);
    }
    close(at);
    return r;
}
