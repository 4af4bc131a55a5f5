/* SPDX-License-Identifier: MIT */
#include "sys/unixsock.h"

#include <errno.h>
#include <grp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    BACKLOG = 64,
    MODE = 0660,
};

static int make_address(const char *path, struct sockaddr_un *ret_un)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof(un.sun_path))
        return -ENAMETOOLONG;
    memcpy(un.sun_path, path, len + 1);
    *ret_un = un;
    return PV_OK;
}

static int new_socket(int flags, int *ret_fd)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return PV_OK;
}

/* Removes a socket nobody listens on. PV_ERR_EXISTS when somebody does. */
static int remove_stale(const char *path, const struct sockaddr_un *un)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? PV_OK : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -ENOTSOCK;
    int fd = -1;
    int r = new_socket(SOCK_NONBLOCK, &fd);
    if (r < 0)
        return r;
    int c = connect(fd, (const struct sockaddr *)un, sizeof(*un));
    int err = errno;
    close(fd);
    if (c == 0 || err == EAGAIN) /* EAGAIN: its queue is full */
        return PV_ERR_EXISTS;
    if (err == ENOENT)
        return PV_OK;
    if (err != ECONNREFUSED)
        return -err;
    return unlink(path) < 0 ? -errno : PV_OK;
}

static int set_access(const char *path, const char *group)
{
    struct group *g = getgrnam(group);
    if (g != NULL && chown(path, (uid_t)-1, g->gr_gid) < 0)
        return -errno;
    return chmod(path, MODE) < 0 ? -errno : PV_OK;
}

int pv_unix_listen(const char *path, const char *group, int *ret_fd)
{
    struct sockaddr_un un;
    int fd = -1;
    int r = make_address(path, &un);
    if (r >= 0)
        r = remove_stale(path, &un);
    if (r >= 0)
        r = new_socket(SOCK_NONBLOCK, &fd);
    if (r < 0)
        return r;
    /* Access is set between bind() and listen(): until listen() every connect() is refused. */
    if (bind(fd, (struct sockaddr *)&un, sizeof(un)) < 0)
        r = errno == EADDRINUSE ? PV_ERR_EXISTS : -errno;
    if (r >= 0)
        r = set_access(path, group);
    if (r >= 0 && listen(fd, BACKLOG) < 0)
        r = -errno;
    if (r < 0)
        close(fd);
    else
        *ret_fd = fd;
    return r;
}

int pv_unix_accept(int listen_fd, int *ret_fd, struct pv_unix_cred *ret_cred)
{
    int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        bool out_of = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
        return out_of ? PV_ERR_LIMIT : PV_ERR_AGAIN;
    }
    struct ucred cred;
    socklen_t len = sizeof(cred);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0) {
        close(fd);
        return PV_ERR_AGAIN;
    }
    *ret_cred = (struct pv_unix_cred){.uid = cred.uid, .gid = cred.gid, .pid = cred.pid};
    *ret_fd = fd;
    return PV_OK;
}

int pv_unix_connect(const char *path, int *ret_fd)
{
    struct sockaddr_un un;
    int fd = -1;
    int r = make_address(path, &un);
    if (r >= 0)
        r = new_socket(0, &fd);
    if (r < 0)
        return r;
    if (connect(fd, (struct sockaddr *)&un, sizeof(un)) < 0) {
        r = errno == ENOENT || errno == ECONNREFUSED ? PV_ERR_NOT_FOUND : -errno;
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return PV_OK;
}
