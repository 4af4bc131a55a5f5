/* SPDX-License-Identifier: MIT */
/* nodesock.c - one connection to p2pvpnd after the other. */
#include "chat/program/nodesock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sys/net/unixsock.h"
#include "sys/proc/clock.h"

enum {
    READ_MAX = 65536, /* ours */
};
#define AGAIN    PV_MS(200) /* ours: between two attempts to connect */
#define PATIENCE PV_S(2)    /* ours: for an answer, then the node hangs */

enum state {
    AWAY,
    PENDING,
    THERE,
};

struct pv_nodesock {
    struct pv_nodesock_config cfg;
    struct pv_nodecall *call;
    enum state state;
    int fd; /* -1: AWAY */
    struct pv_watch *watch;
    pv_ns connect_at;
    uint8_t buf[READ_MAX];
};

static void shut(void *owner, int fd)
{
    close(fd);
}

static pv_ns now_of(void *owner)
{
    return pv_clock_now();
}

static void disconnect(struct pv_nodesock *s, pv_ns now)
{
    const bool was_there = s->state == THERE;
    s->watch = pv_watch_free(s->watch);
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    s->state = AWAY;
    s->connect_at = now + AGAIN;
    if (was_there)
        pv_nodecall_down(s->call, now);
}

/* Not PV_OK, PV_ERR_AGAIN: the connection is over. */
static int read_in(struct pv_nodesock *s)
{
    size_t n = 0;
    int passed = -1;
    int r = pv_unix_read(s->fd, s->buf, sizeof(s->buf), &n, &passed);
    if (r == PV_OK && s->state == PENDING) {
        s->state = THERE;
        pv_nodecall_up(s->call);
    }
    struct pv_nodepipe *pipe = pv_nodecall_pipe(s->call);
    if (r == PV_OK && pipe != NULL)
        r = pv_nodepipe_came(pipe, pv_view(s->buf, n), passed);
    else if (passed >= 0)
        close(passed);
    explicit_bzero(s->buf, n); /* keys of pairs, texts */
    return r;
}

/* PV_ERR_AGAIN: more waits. */
static int write_out(struct pv_nodesock *s)
{
    struct pv_nodepipe *pipe = pv_nodecall_pipe(s->call);
    while (pipe != NULL) {
        int fd;
        size_t n = 0;
        const struct pv_view v = pv_nodepipe_out(pipe, &fd);
        if (v.len == 0)
            return PV_OK;
        int r = pv_unix_write(s->fd, v, fd, &n);
        if (r < 0)
            return r;
        pv_nodepipe_wrote(pipe, n);
    }
    return PV_OK;
}

/* For nodecall, which waits for an answer. */
static int wait(void *owner)
{
    struct pv_nodesock *s = owner;
    const pv_ns until = pv_clock_now() + PATIENCE;
    for (;;) {
        int r = write_out(s);
        if (r < 0 && r != PV_ERR_AGAIN)
            return r;
        struct pollfd p = {.fd = s->fd,
                           .events = (short)(POLLIN | (r == PV_ERR_AGAIN ? POLLOUT : 0))};
        int n = poll(&p, 1, pv_poll_ms(until, pv_clock_now()));
        if (n == 0)
            return PV_ERR_TIMEOUT;
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0 && (p.revents & ~POLLOUT) != 0) {
            r = read_in(s);
            if (r != PV_ERR_AGAIN)
                return r;
        }
    }
}

static void on_node(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_nodesock *s = ctx;
    int r = (ready & PV_LOOP_READ) != 0 ? read_in(s) : PV_OK;
    if (r != PV_OK && r != PV_ERR_AGAIN)
        disconnect(s, now);
}

static void try_to_connect(struct pv_nodesock *s, pv_ns now)
{
    s->connect_at = now + AGAIN;
    if (pv_unix_connect(s->cfg.path, &s->fd) != PV_OK) {
        s->fd = -1;
        return;
    }
    const int flags = fcntl(s->fd, F_GETFL);
    if (flags < 0 || fcntl(s->fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        pv_watch_new(&s->watch, s->cfg.loop, s->fd, PV_LOOP_READ, on_node, s) != PV_OK) {
        disconnect(s, now);
        return;
    }
    s->state = PENDING;
}

pv_ns pv_nodesock_run(struct pv_nodesock *s, pv_ns now)
{
    pv_nodecall_run(s->call, now);
    int r = s->state == THERE ? write_out(s) : PV_OK;
    if ((r < 0 && r != PV_ERR_AGAIN) ||
        (s->state == THERE && pv_nodecall_state(s->call) == PV_NODECALL_ENDED))
        disconnect(s, now);
    if (s->state == AWAY && now >= s->connect_at)
        try_to_connect(s, now);
    if (s->watch != NULL)
        pv_watch_set(s->watch, PV_LOOP_READ | (r == PV_ERR_AGAIN ? PV_LOOP_WRITE : 0));
    return s->state == AWAY ? s->connect_at : PV_NEVER;
}

struct pv_nodecall *pv_nodesock_call(struct pv_nodesock *s)
{
    return s->call;
}

int pv_nodesock_new(struct pv_nodesock **ret_sock, const struct pv_nodesock_config *cfg)
{
    struct pv_nodesock *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return PV_ERR_NOMEM;
    s->cfg = *cfg;
    s->fd = -1;
    s->cfg.call.wait = wait;
    s->cfg.call.now = now_of;
    s->cfg.call.shutter = shut;
    s->cfg.call.owner = s;
    int r = pv_nodecall_new(&s->call, &s->cfg.call);
    if (r < 0)
        pv_nodesock_free(s);
    else
        *ret_sock = s;
    return r;
}

struct pv_nodesock *pv_nodesock_free(struct pv_nodesock *s)
{
    if (s == NULL)
        return NULL;
    pv_watch_free(s->watch);
    if (s->fd >= 0)
        close(s->fd);
    pv_nodecall_free(s->call);
    free(s);
    return NULL;
}
