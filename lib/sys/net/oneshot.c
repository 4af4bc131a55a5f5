/* SPDX-License-Identifier: MIT */
/*
 * oneshot.c - a small TCP service: one question, one answer, the end. Few connections, short times,
 * no state between them: a service that a stranger can reach must not be able to cost more than
 * that.
 */
#include "sys/net/oneshot.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "sys/net/stream.h"

struct oneshot_conn {
    struct pv_oneshot *owner;
    int fd;
    struct pv_watch *watch; /* NULL: free */
    pv_ns end_by;
    size_t n_asked;
    char *answer; /* NULL: not asked yet */
    size_t len, written;
    bool told; /* all of it: only the other side's end is waited for */
    uint8_t asked[PV_ONESHOT_ASK_MAX];
};

struct pv_oneshot {
    struct pv_oneshot_config cfg;
    struct pv_loop *loop;
    struct pv_watch *watch;
    pv_ns pause_until; /* no descriptors: the listener rests; 0: it does not */
    struct oneshot_conn conns[PV_ONESHOT_CONNS];
};

static struct oneshot_conn *free_conn(struct pv_oneshot *o)
{
    for (size_t i = 0; i < PV_ONESHOT_CONNS; i++) {
        if (o->conns[i].watch == NULL)
            return &o->conns[i];
    }
    return NULL;
}

/* While all places are taken the listener is not watched, and the kernel keeps the others
 * waiting. */
static void listen_if_room(struct pv_oneshot *o)
{
    bool on = o->pause_until == 0 && free_conn(o) != NULL;
    pv_watch_set(o->watch, on ? PV_LOOP_READ : 0);
}

static void end_conn(struct oneshot_conn *c)
{
    c->watch = pv_watch_free(c->watch);
    close(c->fd);
    free(c->answer);
    c->answer = NULL;
    listen_if_room(c->owner);
}

/* The end is said and the other side's end awaited: closing with bytes unread would make the kernel
 * send a reset, which can take back what was written (RFC 9112 s9.6). */
static void finish_conn(struct oneshot_conn *c)
{
    c->told = true;
    shutdown(c->fd, SHUT_WR);
    pv_watch_set(c->watch, PV_LOOP_READ);
}

static void write_more(struct oneshot_conn *c)
{
    while (c->written < c->len) {
        size_t n = 0;
        int r = pv_stream_write(c->fd, pv_view(c->answer + c->written, c->len - c->written), &n);
        if (r == PV_ERR_AGAIN) {
            pv_watch_set(c->watch, PV_LOOP_WRITE);
            return;
        }
        if (r < 0) {
            end_conn(c);
            return;
        }
        c->written += n;
    }
    finish_conn(c);
}

/* Bytes behind the answer are read and dropped, for the reason above. */
static void read_more(struct oneshot_conn *c, pv_ns now)
{
    struct pv_oneshot *o = c->owner;
    size_t n = 0;
    size_t at = c->told ? 0 : c->n_asked; /* what comes after the answer is dropped */
    int r = pv_stream_read(c->fd, c->asked + at, sizeof(c->asked) - at, &n);
    if (r == PV_ERR_AGAIN || (r == PV_OK && c->told))
        return;
    if (r < 0) {
        end_conn(c);
        return;
    }
    c->n_asked += n;
    r = o->cfg.answer(o->cfg.ctx, pv_view(c->asked, c->n_asked), now, &c->answer, &c->len);
    if (r == PV_OK) {
        c->end_by = now + PV_ONESHOT_TIME;
        write_more(c);
    } else if (r != PV_ERR_AGAIN || c->n_asked == sizeof(c->asked)) {
        end_conn(c);
    }
}

static void on_conn(void *ctx, unsigned ready, pv_ns now)
{
    struct oneshot_conn *c = ctx;
    if (c->answer != NULL && !c->told)
        write_more(c);
    else if ((ready & PV_LOOP_READ) != 0)
        read_more(c, now);
}

/* Without descriptors the listener rests for a second: it stays readable, and the loop would
 * spin. */
static void on_listener(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_oneshot *o = ctx;
    struct pv_addr remote, local;
    struct oneshot_conn *c;
    while ((c = free_conn(o)) != NULL) {
        int fd = -1;
        int r = pv_stream_accept(o->cfg.fd, &fd, &remote, &local);
        if (r == PV_ERR_LIMIT)
            o->pause_until = now + PV_S(1);
        else if (r == PV_ERR_CLOSED)
            o->pause_until = PV_NEVER;
        if (r < 0)
            break;
        c->owner = o;
        c->fd = fd;
        c->end_by = now + PV_ONESHOT_ASK_TIME;
        c->n_asked = c->len = c->written = 0;
        c->told = false;
        if (pv_watch_new(&c->watch, o->loop, fd, PV_LOOP_READ, on_conn, c) < 0)
            close(fd);
    }
    listen_if_room(o);
}

int pv_oneshot_new(struct pv_oneshot **ret_oneshot, struct pv_loop *loop,
                   const struct pv_oneshot_config *cfg)
{
    struct pv_oneshot *o = calloc(1, sizeof(*o));
    int r = PV_ERR_NOMEM;
    if (o != NULL) {
        o->cfg = *cfg;
        o->loop = loop;
        r = pv_watch_new(&o->watch, loop, cfg->fd, PV_LOOP_READ, on_listener, o);
    }
    if (r < 0) {
        free(o);
        close(cfg->fd);
        return r;
    }
    *ret_oneshot = o;
    return PV_OK;
}

void pv_oneshot_handle_timeout(struct pv_oneshot *o, pv_ns now)
{
    if (o == NULL)
        return;
    for (size_t i = 0; i < PV_ONESHOT_CONNS; i++) {
        struct oneshot_conn *c = &o->conns[i];
        if (c->watch != NULL && now >= c->end_by)
            end_conn(c);
    }
    if (o->pause_until != 0 && now >= o->pause_until) {
        o->pause_until = 0;
        listen_if_room(o);
    }
}

pv_ns pv_oneshot_next_timeout(const struct pv_oneshot *o)
{
    if (o == NULL)
        return PV_NEVER;
    pv_ns next = o->pause_until == 0 ? PV_NEVER : o->pause_until;
    for (size_t i = 0; i < PV_ONESHOT_CONNS; i++) {
        if (o->conns[i].watch != NULL)
            next = pv_min_ns(next, o->conns[i].end_by);
    }
    return next;
}

struct pv_oneshot *pv_oneshot_free(struct pv_oneshot *o)
{
    if (o == NULL)
        return NULL;
    for (size_t i = 0; i < PV_ONESHOT_CONNS; i++) {
        if (o->conns[i].watch != NULL)
            end_conn(&o->conns[i]);
    }
    pv_watch_free(o->watch);
    close(o->cfg.fd);
    free(o);
    return NULL;
}
