/* SPDX-License-Identifier: MIT */
/* servesock.c - accepts p2pvpn-chatd, and moves what both say to each other. */
#include "bind/servesock.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chat/proto/chat.h"
#include "chat/proto/file.h"
#include "proto/local/chatpaths.h"
#include "sys/net/unixsock.h"

enum {
    READ_MAX = 65536, /* ours */
};

int pv_bind_sock_open(const char *control, uint32_t uid, int *ret_fd)
{
    char path[PATH_MAX];
    int r = pv_chatpath(control, PV_CHATPATH_NODE, path, sizeof(path));
    if (r == PV_OK)
        r = pv_unix_listen(path, NULL, ret_fd);
    if (r != PV_OK || uid == geteuid())
        return r;
    if (chown(path, uid, (gid_t)-1) < 0 && chmod(path, 0666) < 0) {
        r = -errno;
        close(*ret_fd);
    }
    return r;
}

static void shut(int fd)
{
    close(fd);
}

static void tell(const struct pv_bind_sock *b, const struct pv_bind_news *news, pv_ns now)
{
    pv_io_app_report(b->io, news, now);
}

static void disconnect(struct pv_bind_sock *b, pv_ns now)
{
    if (b->fd < 0)
        return;
    b->watch = pv_watch_free(b->watch);
    close(b->fd);
    b->fd = -1;
    pv_log(b->log, PV_LOG_WARN, "what=\"p2pvpn-chatd is gone\"");
    tell(b, &(struct pv_bind_news){.what = PV_BIND_DOWN}, now);
}

static void read_in(struct pv_bind_sock *b, pv_ns now)
{
    struct pv_nodepipe *pipe = pv_nodeserve_pipe(b->served.serve);
    size_t n = 0;
    int passed = -1;
    int r = pv_unix_read(b->fd, b->buf, READ_MAX, &n, &passed);
    if (r == PV_OK && pipe != NULL)
        r = pv_nodepipe_came(pipe, pv_view(b->buf, n), passed);
    else if (passed >= 0)
        close(passed);
    explicit_bzero(b->buf, n); /* texts */
    if (r == PV_OK)
        tell(b, &(struct pv_bind_news){.what = PV_BIND_CAME}, now);
    else if (r != PV_ERR_AGAIN)
        disconnect(b, now);
}

static void on_chat(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_bind_sock *b = ctx;
    if ((ready & PV_LOOP_READ) != 0)
        read_in(b, now);
}

static void on_door(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_bind_sock *b = ctx;
    struct pv_unix_cred cred;
    int fd = -1;
    int r = pv_unix_accept(b->listen_fd, &fd, &cred);
    if (r < 0)
        return;
    if (cred.uid != b->uid || b->fd >= 0 || b->served.serve == NULL) {
        if (cred.uid != b->uid)
            pv_log(b->log, PV_LOG_DEBUG, "what=\"not chat's user\" uid=%u", (unsigned)cred.uid);
        close(fd);
        return;
    }
    r = pv_watch_new(&b->watch, pv_io_app_loop(b->io), fd, PV_LOOP_READ, on_chat, b);
    if (r < 0) {
        close(fd);
        return;
    }
    b->fd = fd;
    pv_log(b->log, PV_LOG_INFO, "what=\"p2pvpn-chatd is there\"");
    tell(b, &(struct pv_bind_news){.what = PV_BIND_UP}, now);
}

static int start(void *ctx, struct pv_io *io)
{
    struct pv_bind_sock *b = ctx;
    b->io = io;
    b->fd = -1;
    b->buf = malloc(READ_MAX);
    if (b->buf == NULL)
        return PV_ERR_NOMEM;
    return pv_watch_new(&b->door, pv_io_app_loop(io), b->listen_fd, PV_LOOP_READ, on_door, b);
}

static void accepted(void *ctx, uint16_t port, const struct pv_addr *remote, int fd, pv_ns now)
{
    tell(ctx,
         &(struct pv_bind_news){
             .what = PV_BIND_ACCEPTED, .port = port, .remote = remote, .fd = fd, .shutter = shut},
         now);
}

static void connected(void *ctx, uint32_t sid, int status, int fd, pv_ns now)
{
    tell(ctx,
         &(struct pv_bind_news){
             .what = PV_BIND_CONNECTED, .sid = sid, .status = status, .fd = fd, .shutter = shut},
         now);
}

/* At the end of each turn what the part has to say is written. */
static pv_ns timeout(void *ctx, pv_ns now)
{
    struct pv_bind_sock *b = ctx;
    struct pv_nodepipe *pipe = b->fd < 0 ? NULL : pv_nodeserve_pipe(b->served.serve);
    int r = PV_OK;
    while (pipe != NULL && r == PV_OK) {
        int fd;
        size_t n = 0;
        const struct pv_view v = pv_nodepipe_out(pipe, &fd);
        if (v.len == 0)
            break;
        r = pv_unix_write(b->fd, v, fd, &n);
        if (r == PV_OK)
            pv_nodepipe_wrote(pipe, n);
    }
    if (b->fd < 0)
        return PV_NEVER;
    if ((r < 0 && r != PV_ERR_AGAIN) || pv_nodeserve_state(b->served.serve) != PV_NODESERVE_THERE)
        disconnect(b, now);
    else
        pv_watch_set(b->watch, PV_LOOP_READ | (r == PV_ERR_AGAIN ? PV_LOOP_WRITE : 0));
    return PV_NEVER;
}

static void end(void *ctx)
{
    struct pv_bind_sock *b = ctx;
    b->door = pv_watch_free(b->door);
    b->watch = pv_watch_free(b->watch);
    if (b->fd >= 0 && b->io != NULL)
        close(b->fd);
    b->fd = -1;
    free(b->buf);
    b->buf = NULL;
    b->io = NULL;
}

struct pv_io_app pv_bind_sock_app(struct pv_bind_sock *b)
{
    return (struct pv_io_app){.part = &pv_bind_serve,
                              .ports = {PV_CHAT_PORT, PV_FILE_PORT},
                              .names = {"chat", "file"},
                              .ctx = b,
                              .start = start,
                              .accepted = accepted,
                              .connected = connected,
                              .timeout = timeout,
                              .end = end};
}
