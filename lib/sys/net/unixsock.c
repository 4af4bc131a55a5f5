/* SPDX-License-Identifier: MIT */
/*
 * unixsock.c - the local control socket: listen, accept with credentials, pass descriptors.
 */
#include "sys/net/unixsock.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    BACKLOG = 64,      /* ours: connections waiting for accept */
    MODE = 0660,       /* owner and the socket's group */
    MODE_ALONE = 0600, /* owner only */
    REFS_MS = 10,      /* ours: until others may have read their descriptors */
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

static int new_unix_socket(int flags, int *ret_fd)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return PV_OK;
}

/* A connect is the only way to tell: the file stays after a crash. */
int pv_unix_is_served(const char *path, bool *ret_served)
{
    struct sockaddr_un un;
    struct stat st;
    int fd = -1;
    *ret_served = false;
    int r = make_address(path, &un);
    if (r >= 0 && lstat(path, &st) < 0)
        return errno == ENOENT ? PV_ERR_NOT_FOUND : -errno;
    if (r >= 0 && !S_ISSOCK(st.st_mode))
        return -ENOTSOCK;
    if (r >= 0)
        r = new_unix_socket(SOCK_NONBLOCK, &fd);
    if (r < 0)
        return r;
    int c = connect(fd, (const struct sockaddr *)&un, sizeof(un));
    int err = errno;
    close(fd);
    if (c < 0 && err == ENOENT)
        return PV_ERR_NOT_FOUND;
    *ret_served = c == 0 || err == EAGAIN; /* EAGAIN: its queue is full */
    return *ret_served || err == ECONNREFUSED ? PV_OK : -err;
}

/* Removes a socket that nobody listens on; PV_ERR_EXISTS when somebody does. The helper of a
 * program that was killed may be a moment behind it, and removes the same one. */
static int remove_stale(const char *path)
{
    bool served;
    int r = pv_unix_is_served(path, &served);
    if (r < 0)
        return r == PV_ERR_NOT_FOUND ? PV_OK : r;
    if (served)
        return PV_ERR_EXISTS;
    return unlink(path) < 0 && errno != ENOENT ? -errno : PV_OK;
}

/* The file has its mode from the beginning: the directory may be another user's, who could put a
 * link in the place of a file whose mode were changed by its name. */
static int bind_with_mode(int fd, const struct sockaddr_un *un, mode_t mode)
{
    mode_t before = umask(0777 & ~mode);
    int r = bind(fd, (const struct sockaddr *)un, sizeof(*un)) < 0 ? -errno : PV_OK;
    (void)umask(before);
    return r == -EADDRINUSE ? PV_ERR_EXISTS : r;
}

static int give_to(const char *path, const char *group)
{
    struct group *g = group == NULL ? NULL : getgrnam(group);
    return g != NULL && lchown(path, (uid_t)-1, g->gr_gid) < 0 ? -errno : PV_OK;
}

/* The group is set between bind() and listen(): until listen() every connect() is refused. */
int pv_unix_listen(const char *path, const char *group, int *ret_fd)
{
    struct sockaddr_un un;
    int fd = -1;
    int r = make_address(path, &un);
    if (r >= 0)
        r = remove_stale(path);
    if (r >= 0)
        r = new_unix_socket(SOCK_NONBLOCK, &fd);
    if (r < 0)
        return r;
    r = bind_with_mode(fd, &un, group == NULL ? MODE_ALONE : MODE);
    if (r >= 0)
        r = give_to(path, group);
    if (r >= 0 && listen(fd, BACKLOG) < 0)
        r = -errno;
    if (r < 0)
        close(fd);
    else
        *ret_fd = fd;
    return r;
}

/* SO_PEERCRED was fixed by the kernel at connect() and listen(): the peer cannot change it later.
 */
int pv_unix_peer(int fd, struct pv_unix_cred *ret_cred)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
        return -errno;
    *ret_cred = (struct pv_unix_cred){.uid = cred.uid, .gid = cred.gid, .pid = cred.pid};
    return PV_OK;
}

int pv_unix_accept(int listen_fd, int *ret_fd, struct pv_unix_cred *ret_cred)
{
    int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        bool out_of = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
        return out_of ? PV_ERR_LIMIT : PV_ERR_AGAIN;
    }
    if (pv_unix_peer(fd, ret_cred) < 0) {
        close(fd);
        return PV_ERR_AGAIN;
    }
    *ret_fd = fd;
    return PV_OK;
}

int pv_unix_connect(const char *path, int *ret_fd)
{
    struct sockaddr_un un;
    int fd = -1;
    int r = make_address(path, &un);
    if (r >= 0)
        r = new_unix_socket(0, &fd);
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

/* Room for one descriptor; alignment may leave some for a second. */
union passing {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
};

/* More than one is closed at once: a client could otherwise use up this process' descriptors. */
static void keep_one_descriptor(struct msghdr *msg, int *ret_passed)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t at = CMSG_LEN(0); at + sizeof(int) <= c->cmsg_len; at += sizeof(int)) {
            int got;
            memcpy(&got, (char *)c + at, sizeof(got));
            if (*ret_passed < 0)
                *ret_passed = got;
            else
                close(got);
        }
    }
}

int pv_unix_read(int fd, void *buf, size_t cap, size_t *ret_n, int *ret_passed)
{
    union passing room;
    struct iovec iov = {.iov_base = buf, .iov_len = cap};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = room.bytes,
                         .msg_controllen = sizeof(room.bytes)};
    ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? PV_ERR_AGAIN : -errno;
    *ret_passed = -1;
    keep_one_descriptor(&msg, ret_passed);
    if (n == 0) {
        if (*ret_passed >= 0)
            close(*ret_passed);
        *ret_passed = -1;
        return PV_ERR_CLOSED;
    }
    *ret_n = (size_t)n;
    return PV_OK;
}

bool pv_unix_wait_refs(int err)
{
    if (err != ETOOMANYREFS)
        return false;
    (void)poll(NULL, 0, REFS_MS);
    return true;
}

int pv_unix_write(int fd, struct pv_view data, int pass, size_t *ret_n)
{
    union passing room = {.bytes = {0}};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)data.ptr, .iov_len = data.len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (pass >= 0) {
        msg.msg_control = room.bytes;
        msg.msg_controllen = sizeof(room.bytes);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(pass));
        memcpy(CMSG_DATA(c), &pass, sizeof(pass));
    }
    ssize_t n = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR || pv_unix_wait_refs(errno) ? PV_ERR_AGAIN
                                                                             : -errno;
    *ret_n = (size_t)n;
    return PV_OK;
}

int pv_unix_hand(int fd, struct pv_view data, int pass, int ms)
{
    int r, left = ms;
    size_t n = 0;
    while ((r = pv_unix_write(fd, data, pass, &n)) == PV_ERR_AGAIN && (ms < 0 || left > 0)) {
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        (void)poll(&p, 1, REFS_MS); /* at once where there is room, and refs have been waited for */
        left -= REFS_MS;
    }
    return r;
}
