/* SPDX-License-Identifier: MIT */
#include "sys/net/oneshot.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "sys/net/stream.h"

struct conn {
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
    struct conn conns[PV_ONESHOT_CONNS];
};

static struct conn *free_conn(struct pv_oneshot *o)
{
    for (size_t i = 0; i < PV_ONESHOT_CONNS; i++) {
        if (o->conns[i].watch == NULL)
            return &o->conns[i];
    }
    return NULL;
}

static void listen_if_room(struct pv_oneshot *o)
{
    bool on = o->pause_until == 0 && free_conn(o) != NULL;
    pv_watch_set(o->watch, on ? PV_LOOP_READ : 0);
}

static void end(struct conn *c)
{
    c->watch = pv_watch_free(c->watch);
    close(c->fd);
    free(c->answer);
    c->answer = NULL;
    listen_if_room(c->owner);
}

/* The end is said, and the other side's waited for: closing with bytes unread would take back what
 * was written (RFC 9112 s9.6). */
static void finish(struct conn *c)
{
    c->told = true;
    shutdown(c->fd, SHUT_WR);
    pv_watch_set(c->watch, PV_LOOP_READ);
}

static void write_on(struct conn *c)
{
    while (c->written < c->len) {
        size_t n = 0;
        int r = pv_stream_write(c->fd, pv_view(c->answer + c->written, c->len - c->written), &n);
        if (r == PV_ERR_AGAIN) {
            pv_watch_set(c->watch, PV_LOOP_WRITE);
            return;
        }
        if (r < 0) {
            end(c);
            return;
        }
        c->written += n;
    }
    finish(c);
}

static void read_on(struct conn *c, pv_ns now)
{
    struct pv_oneshot *o = c->owner;
    size_t n = 0;
    size_t at = c->told ? 0 : c->n_asked; /* what comes after the answer is dropped */
    int r = pv_stream_read(c->fd, c->asked + at, sizeof(c->asked) - at, &n);
    if (r == PV_ERR_AGAIN || (r == PV_OK && c->told))
        return;
    if (r < 0) {
        end(c);
        return;
    }
    c->n_asked += n;
    r = o->cfg.answer(o->cfg.ctx, pv_view(c->asked, c->n_asked), now, &c->answer, &c->len);
    if (r == PV_OK) {
        c->end_by = now + PV_ONESHOT_TIME;
        write_on(c);
    } else if (r != PV_ERR_AGAIN || c->n_asked == sizeof(c->asked)) {
        end(c);
    }
}

static void on_conn(void *ctx, unsigned ready, pv_ns now)
{
    struct conn *c = ctx;
    if (c->answer != NULL && !c->told)
        write_on(c);
    else if ((ready & PV_LOOP_READ) != 0)
        read_on(c, now);
}

static void on_listener(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_oneshot *o = ctx;
    struct pv_addr remote, local;
    struct conn *c;
    (void)ready;
    while ((c = free_conn(o)) != NULL) {
        int fd = -1;
        int r = pv_stream_accept(o->cfg.fd, &fd, &remote, &local);
        if (r == PV_ERR_LIMIT)
            o->pause_until = now + PV_S(1);
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

pv_ns pv_oneshot_timeout(struct pv_oneshot *o, pv_ns now)
{
    pv_ns next = PV_NEVER;
    if (o == NULL)
        return next;
    for (size_t i = 0; i < PV_ONESHOT_CONNS; i++) {
        struct conn *c = &o->conns[i];
        if (c->watch != NULL && now >= c->end_by)
            end(c);
        else if (c->watch != NULL)
            next = pv_min_ns(next, c->end_by);
    }
    if (o->pause_until != 0 && now >= o->pause_until) {
        o->pause_until = 0;
        listen_if_room(o);
    }
    return o->pause_until == 0 ? next : pv_min_ns(next, o->pause_until);
}

struct pv_oneshot *pv_oneshot_free(struct pv_oneshot *o)
{
    if (o == NULL)
        return NULL;
    for (size_t i = 0; i < PV_ONESHOT_CONNS; i++) {
        if (o->conns[i].watch != NULL)
            end(&o->conns[i]);
    }
    pv_watch_free(o->watch);
    close(o->cfg.fd);
    free(o);
    return NULL;
}
