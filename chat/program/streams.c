/* SPDX-License-Identifier: MIT */
/* streams.c - reads, writes and ends streams, and lets control clients in. */
#include "chat/program/streams.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/list.h"
#include "proto/local/ctlcmd.h"
#include "sys/net/stream.h"
#include "sys/net/unixsock.h"

enum {
    READ_MAX = 65536, /* bytes taken from a stream at a time; ours */
};
#define REST_TIME  PV_S(1) /* ours: without descriptors the usher rests so long */
#define CLOSE_TIME PV_S(5) /* ours: for writing out what is left of a closed stream */

struct stream {
    struct pv_chatstreams *all;
    struct stream *prev, *next;
    uint32_t sid;
    int fd;
    struct pv_watch *watch;
    bool closing;   /* the machine no longer knows it; tail is written, then it ends */
    pv_ns close_by; /* of one that is closing */
    int pass_fd;    /* of a control client: goes out with the next byte; -1: none */
    uint8_t *tail;
    size_t tail_len, tail_done;
};

struct pv_chatstreams {
    struct pv_chatstreams_config cfg;
    struct pv_watch *door; /* of the usher */
    bool over;
    pv_ns resume_at; /* the usher rests until then; PV_NEVER: it does not */
    struct stream *streams;
    uint8_t *read_buf; /* READ_MAX bytes */
};

static bool is_ctl(const struct stream *st)
{
    return pv_sid_kind(st->sid) == PV_STREAM_OF_CTL;
}

/* --- the end of a stream ------------------------------------------------------------------- */

static void remove_stream(struct stream *st)
{
    struct pv_chatstreams *all = st->all;
    PV_LIST_DEL(all->streams, st);
    /* Before the descriptor is closed: epoll would report a number that another file may have by
     * then. */
    pv_watch_free(st->watch);
    if (st->fd >= 0)
        close(st->fd);
    if (st->pass_fd >= 0)
        close(st->pass_fd);
    if (st->tail != NULL)
        explicit_bzero(st->tail, st->tail_len);
    free(st->tail);
    free(st);
    if (all->resume_at != PV_NEVER) {
        all->resume_at = PV_NEVER;
        pv_watch_set(all->door, PV_LOOP_READ);
    }
}

static void fail_stream(struct stream *st, pv_ns now)
{
    const struct pv_chatstreams_host *host = &st->all->cfg.host;
    const uint32_t sid = st->sid;
    const bool known = !st->closing;
    remove_stream(st);
    if (known)
        host->closed(host->host, sid, now);
}

/* --- bytes --------------------------------------------------------------------------------- */

static void write_tail(struct stream *st, pv_ns now)
{
    while (st->tail_done < st->tail_len) {
        size_t n = 0;
        const struct pv_view rest = pv_view(st->tail + st->tail_done, st->tail_len - st->tail_done);
        int r = pv_stream_write(st->fd, rest, &n);
        if (r == PV_ERR_AGAIN) {
            pv_watch_set(st->watch, PV_LOOP_WRITE);
            return;
        }
        if (r < 0)
            break;
        st->tail_done += n;
    }
    remove_stream(st);
}

/* A descriptor goes out with the first byte. */
static int write_some(struct stream *st, struct pv_view out, size_t *ret_n)
{
    if (st->pass_fd < 0)
        return pv_stream_write(st->fd, out, ret_n);
    int r = pv_unix_write(st->fd, out, st->pass_fd, ret_n);
    if (r == PV_OK) {
        close(st->pass_fd);
        st->pass_fd = -1;
    }
    return r;
}

static void watch(const struct stream *st, bool writes)
{
    pv_watch_set(st->watch, PV_LOOP_READ | (writes ? PV_LOOP_WRITE : 0));
}

/* May end the stream. */
static void write_out(struct stream *st, pv_ns now)
{
    const struct pv_chatstreams_host *host = &st->all->cfg.host;
    for (;;) {
        const struct pv_view out = host->out(host->host, st->sid);
        size_t n = 0;
        int r = out.len == 0 ? PV_OK : write_some(st, out, &n);
        if (out.len == 0 || r == PV_ERR_AGAIN) {
            watch(st, r == PV_ERR_AGAIN);
            return;
        }
        if (r < 0) {
            fail_stream(st, now);
            return;
        }
        host->wrote(host->host, st->sid, n, now);
    }
}

static void read_in(struct stream *st, pv_ns now)
{
    struct pv_chatstreams *all = st->all;
    const struct pv_chatstreams_host *host = &all->cfg.host;
    size_t n = 0;
    int passed = -1;
    int r = is_ctl(st) ? pv_unix_read(st->fd, all->read_buf, READ_MAX, &n, &passed)
                       : pv_stream_read(st->fd, all->read_buf, READ_MAX, &n);
    if (passed >= 0)
        host->passed(host->host, st->sid, passed, now);
    if (r == PV_OK)
        host->bytes(host->host, st->sid, pv_view(all->read_buf, n), now);
    else if (r != PV_ERR_AGAIN)
        fail_stream(st, now);
}

static void on_stream(void *ctx, unsigned ready, pv_ns now)
{
    struct stream *st = ctx;
    if (st->closing)
        write_tail(st, now);
    else if ((ready & PV_LOOP_READ) != 0)
        read_in(st, now); /* what can be written as well is reported again in the next turn */
    else
        write_out(st, now);
}

/* --- streams come -------------------------------------------------------------------------- */

/* Takes fd. */
static struct stream *add_stream(struct pv_chatstreams *all, uint32_t sid, int fd)
{
    struct stream *st = calloc(1, sizeof(*st));
    if (st != NULL) {
        *st = (struct stream){.all = all, .sid = sid, .fd = fd, .pass_fd = -1};
        if (pv_watch_new(&st->watch, all->cfg.loop, fd, PV_LOOP_READ, on_stream, st) == PV_OK) {
            PV_LIST_ADD_FIRST(all->streams, st);
            return st;
        }
    }
    free(st);
    close(fd);
    return NULL;
}

void pv_chatstreams_add(struct pv_chatstreams *all, uint32_t sid, int fd, pv_ns now)
{
    const struct pv_chatstreams_host *host = &all->cfg.host;
    if (add_stream(all, sid, fd) == NULL)
        host->closed(host->host, sid, now);
}

/* One client a turn. The usher has its user from the kernel. */
static void on_door(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_chatstreams *all = ctx;
    const struct pv_chatstreams_host *host = &all->cfg.host;
    struct pv_unix_cred cred;
    uint32_t sid = 0;
    int fd = -1;
    int r = pv_usher_accept(all->cfg.usher, &fd, &cred);
    if (r == PV_ERR_LIMIT) {
        pv_watch_set(all->door, 0);
        all->resume_at = now + REST_TIME;
    }
    if (r == PV_ERR_CLOSED) {
        all->over = true;
        pv_watch_set(all->door, 0);
    }
    if (r < 0)
        return;
    const bool is_owner = all->cfg.own && cred.uid == geteuid();
    if (all->cfg.own && cred.uid != 0 && !is_owner) {
        close(fd);
        return;
    }
    r = host->accepted(host->host, cred.uid, cred.uid == 0 || is_owner, &sid, now);
    if (r == PV_ERR_LIMIT)
        (void)!write(fd, PV_CTLAPI_BUSY_LINE, strlen(PV_CTLAPI_BUSY_LINE));
    if (r < 0)
        close(fd);
    else if (add_stream(all, sid, fd) == NULL)
        host->closed(host->host, sid, now);
}

static struct stream *find_stream(const struct pv_chatstreams *all, uint32_t sid)
{
    struct stream *st = all->streams;
    while (st != NULL && (st->sid != sid || st->closing))
        st = st->next;
    return st;
}

void pv_chatstreams_look(struct pv_chatstreams *all, uint32_t sid, pv_ns now)
{
    struct stream *st = find_stream(all, sid);
    if (st != NULL)
        write_out(st, now);
}

/* Takes over what the machine still has to say, so that it can forget the stream. */
static int take_tail(struct stream *st, pv_ns now)
{
    const struct pv_chatstreams_host *host = &st->all->cfg.host;
    for (;;) {
        const struct pv_view out = host->out(host->host, st->sid);
        if (out.len == 0)
            return PV_OK;
        uint8_t *tail = realloc(st->tail, st->tail_len + out.len);
        if (tail == NULL)
            return PV_ERR_NOMEM;
        memcpy(tail + st->tail_len, out.ptr, out.len);
        st->tail = tail;
        st->tail_len += out.len;
        host->wrote(host->host, st->sid, out.len, now);
    }
}

bool pv_chatstreams_close(struct pv_chatstreams *all, uint32_t sid, pv_ns now)
{
    struct stream *st = find_stream(all, sid);
    if (st == NULL)
        return false;
    if (take_tail(st, now) < 0) {
        remove_stream(st);
        return true;
    }
    st->closing = true;
    st->close_by = now + CLOSE_TIME;
    write_tail(st, now);
    return true;
}

int pv_chatstreams_take(struct pv_chatstreams *all, uint32_t sid)
{
    struct stream *st = find_stream(all, sid);
    if (st == NULL)
        return -1;
    int fd = st->fd;
    st->fd = -1;
    remove_stream(st);
    return fd;
}

/* A second descriptor before the first one has left would replace it: the client would get the
 * wrong file. */
void pv_chatstreams_pass(struct pv_chatstreams *all, uint32_t sid, int fd)
{
    struct stream *st = find_stream(all, sid);
    if (st == NULL || st->pass_fd >= 0)
        close(fd);
    else
        st->pass_fd = fd;
}

/* --- life ---------------------------------------------------------------------------------- */

void pv_chatstreams_drop(struct pv_chatstreams *all)
{
    for (struct stream *st = all->streams, *after; st != NULL; st = after) {
        after = st->next;
        if (!is_ctl(st))
            remove_stream(st);
    }
}

pv_ns pv_chatstreams_timeout(struct pv_chatstreams *all, pv_ns now)
{
    if (now >= all->resume_at) {
        all->resume_at = PV_NEVER;
        pv_watch_set(all->door, PV_LOOP_READ);
    }
    pv_ns next = all->resume_at;
    for (struct stream *st = all->streams, *after; st != NULL; st = after) {
        after = st->next;
        if (st->closing && st->close_by <= now)
            remove_stream(st);
        else if (st->closing)
            next = pv_min_ns(next, st->close_by);
    }
    return next;
}

bool pv_chatstreams_is_over(const struct pv_chatstreams *all)
{
    return all->over;
}

int pv_chatstreams_new(struct pv_chatstreams **ret_all, const struct pv_chatstreams_config *cfg)
{
    struct pv_chatstreams *all = calloc(1, sizeof(*all));
    if (all == NULL)
        return PV_ERR_NOMEM;
    all->cfg = *cfg;
    all->resume_at = PV_NEVER;
    all->read_buf = malloc(READ_MAX);
    int r = all->read_buf == NULL ? PV_ERR_NOMEM
                                  : pv_watch_new(&all->door, cfg->loop, pv_usher_fd(cfg->usher),
                                                 PV_LOOP_READ, on_door, all);
    if (r < 0)
        pv_chatstreams_free(all);
    else
        *ret_all = all;
    return r;
}

struct pv_chatstreams *pv_chatstreams_free(struct pv_chatstreams *all)
{
    if (all == NULL)
        return NULL;
    while (all->streams != NULL)
        remove_stream(all->streams);
    pv_watch_free(all->door);
    if (all->read_buf != NULL)
        explicit_bzero(all->read_buf, READ_MAX);
    free(all->read_buf);
    free(all);
    return NULL;
}
