/* SPDX-License-Identifier: MIT */
/*
 * source.c - both ends of a source. The daemon's makes no call on the file itself; the other's has
 * a process for each reading, since any call on the file may wait for ever.
 */
#include "sys/helper/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/helper/helper_proto.h"
#include "sys/net/unixsock.h"
#include "sys/proc/child.h"

enum {
    HAND_MS = 2000, /* ours: until a socket has room for a descriptor */
};

/* O_PATH gives no right to read, and a client could pass any path with it. */
static struct pv_source_info look_at(int file)
{
    struct pv_source_info info = {0};
    struct stat st;
    int flags = fcntl(file, F_GETFL);
    bool readable = flags >= 0 && (flags & O_PATH) == 0 && (flags & O_ACCMODE) != O_WRONLY;
    /* Only of a regular file is the size known, and no pipe is waited for. */
    if (readable && fstat(file, &st) == 0 && S_ISREG(st.st_mode))
        info = (struct pv_source_info){.is_file = 1,
                                       .size = (uint64_t)st.st_size,
                                       .dev = (uint64_t)st.st_dev,
                                       .ino = (uint64_t)st.st_ino,
                                       .mtime_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000u +
                                                   (uint64_t)st.st_mtim.tv_nsec};
    return info;
}

/* The facts wait in the new socket, so that the daemon has them with its descriptor. */
int pv_source_new(int file, int *ret_daemon, int *ret_own)
{
    int pair[2];
    struct pv_source_info info = look_at(file);
    if (info.is_file == 0)
        return PV_ERR_REFUSED;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    if (send(pair[0], &info, sizeof(info), MSG_NOSIGNAL) != (ssize_t)sizeof(info)) {
        close(pair[0]);
        close(pair[1]);
        return PV_ERR_CLOSED;
    }
    *ret_own = pair[0];
    *ret_daemon = pair[1];
    return PV_OK;
}

/* --- the reader ---------------------------------------------------------------------------- */

static bool send_all(int fd, const void *data, size_t len)
{
    const uint8_t *p = data;
    while (len > 0) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

/* Each chunk leaves with its length by one call: the buffer begins with room for it. */
static bool send_range(int out, int file, const struct pv_source_request *req, uint8_t *buf)
{
    uint64_t at = req->offset, left = req->len;
    uint32_t len = 1;
    while (left > 0 && len != 0 && len != PV_SOURCE_FAILED) {
        size_t want = left < PV_SOURCE_CHUNK_MAX ? (size_t)left : PV_SOURCE_CHUNK_MAX;
        ssize_t n = pread(file, buf + sizeof(len), want, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        len = n < 0 ? PV_SOURCE_FAILED : (uint32_t)n;
        memcpy(buf, &len, sizeof(len));
        if (!send_all(out, buf, sizeof(len) + (n < 0 ? 0 : (size_t)n)))
            return false;
        at += len;
        left -= n < 0 ? 0 : (uint64_t)n;
    }
    return true;
}

/* The life of the process; ends with the daemon's interest. */
static void be_reader(int out, int file, int life)
{
    const int fds[] = {out, file, life};
    struct pv_source_request req;
    uint8_t *buf = malloc(PV_SOURCE_CHUNK_MAX + sizeof(uint32_t));
    prctl(PR_SET_NAME, "p2pvpnd-reader");
    pv_child_keep_fds(fds, PV_ARRAY_LEN(fds));
    (void)posix_fadvise(file, 0, 0, POSIX_FADV_SEQUENTIAL);
    while (buf != NULL && recv(out, &req, sizeof(req), MSG_WAITALL) == (ssize_t)sizeof(req)) {
        const struct pv_source_info info = look_at(file);
        bool going = req.what == PV_SOURCE_INFO ? send_all(out, &info, sizeof(info))
                                                : send_range(out, file, &req, buf);
        if (!going)
            break;
    }
    _exit(0);
}

int pv_source_serve(const struct pv_source *source, int life)
{
    uint8_t byte;
    size_t n = 0;
    int out = -1;
    int r = pv_unix_read(source->own, &byte, sizeof(byte), &n, &out);
    if (r < 0 || out < 0)
        return r == PV_ERR_AGAIN || r == PV_OK ? PV_OK : PV_ERR_CLOSED;
    pid_t pid = fork();
    if (pid == 0)
        be_reader(out, source->file, life);
    close(out);
    return pid < 0 ? -errno : PV_OK;
}

/* --- the daemon's end ---------------------------------------------------------------------- */

bool pv_source_take(int source, struct pv_source_info *ret_info)
{
    ssize_t n = recv(source, ret_info, sizeof(*ret_info), MSG_DONTWAIT);
    return n == (ssize_t)sizeof(*ret_info) && ret_info->is_file != 0;
}

int pv_source_open(int source, int *ret_fd)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    int r = fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0 ? -errno : PV_OK;
    if (r == PV_OK)
        r = pv_unix_hand(source, pv_view("", 1), pair[1], HAND_MS);
    close(pair[1]);
    if (r < 0) {
        close(pair[0]);
        return r == -EPIPE || r == -ECONNRESET ? PV_ERR_CLOSED : r;
    }
    *ret_fd = pair[0];
    return PV_OK;
}
