/* SPDX-License-Identifier: MIT */
/*
 * twoway.c - two directions, each of which is either read or, while bytes wait, written.
 *
 * Bytes are copied once into a buffer that all share and from there out, 256 KiB at a time;
 * splice(2) would save the copies and take two pipes a connection, of which the kernel allows a
 * user a few hundred (pipe-user-pages-soft).
 */
#include "ctl/forward/twoway.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/net/inside.h"

struct way {
    struct pv_twoway *t;
    int from; /* of which end; it goes to the other */
    struct pv_watch *reading, *writing;
    uint8_t *rest; /* what could not be written yet: rest_len bytes, of which rest_at are */
    size_t rest_len, rest_at;
    bool ended; /* nothing more comes */
    bool done;  /* and the other end knows */
};

struct pv_twoway {
    struct pv_twoway_config cfg;
    struct way way[2]; /* by where it comes from */
    bool told;
};

static void on_readable(void *ctx, unsigned ready, pv_ns now);
static void on_writable(void *ctx, unsigned ready, pv_ns now);

static struct pv_twoway_end *end_of(const struct way *w, bool far)
{
    return &w->t->cfg.end[far ? !w->from : w->from];
}

void pv_twoway_break(int fd)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
}

static void close_end(struct pv_twoway_end *e)
{
    if (e->out >= 0 && e->out != e->in)
        close(e->out);
    if (e->in >= 0)
        close(e->in);
    e->in = e->out = -1;
}

/* --- the end ------------------------------------------------------------------------------- */

static void stop_watching(struct pv_twoway *t)
{
    for (int i = 0; i < 2; i++) {
        t->way[i].reading = pv_watch_free(t->way[i].reading);
        t->way[i].writing = pv_watch_free(t->way[i].writing);
    }
}

/* Nothing may touch t behind it. */
static void tell(struct pv_twoway *t, int at, int status)
{
    stop_watching(t);
    if (t->told)
        return;
    t->told = true;
    struct pv_twoway_end *other = &t->cfg.end[!at];
    if (status < 0 && other->in >= 0 && other->in == other->out) {
        pv_twoway_break(other->in);
        other->in = other->out = -1;
    }
    t->cfg.done(t->cfg.ctx, at, status);
}

/* Passes on that this way has ended. False: both have, and t may be gone. */
static bool finish(struct way *w)
{
    struct pv_twoway *t = w->t;
    struct pv_twoway_end *to = end_of(w, true);
    w->done = true;
    w->writing = pv_watch_free(w->writing);
    if (to->out == to->in) {
        (void)shutdown(to->out, SHUT_WR);
    } else {
        close(to->out);
        to->out = -1;
    }
    if (!t->way[!w->from].done && to->is_waited)
        return true;
    tell(t, w->from, PV_OK);
    return false;
}

/* --- one direction ------------------------------------------------------------------------- */

/* Writes what goes; *ret_n of len. A status. */
static int write_some(struct way *w, const uint8_t *data, size_t len, size_t *ret_n)
{
    const struct pv_twoway_end *to = end_of(w, true);
    size_t done = 0;
    int r = PV_OK;
    while (done < len) {
        /* A descriptor that can block takes this much when it is said to be writable. */
        size_t most = to->shared && len - done > PIPE_BUF ? PIPE_BUF : len - done;
        ssize_t n = write(to->out, data + done, most);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            r = -errno;
        if (n < 0)
            break;
        done += (size_t)n;
        if (to->shared)
            break;
    }
    *ret_n = done;
    return r;
}

/* Keeps bytes until they can be written. A status. */
static int keep(struct way *w, const uint8_t *data, size_t len)
{
    w->rest = malloc(len);
    if (w->rest == NULL)
        return PV_ERR_NOMEM;
    memcpy(w->rest, data, len);
    w->rest_len = len;
    w->rest_at = 0;
    if (w->reading != NULL)
        pv_watch_set(w->reading, 0);
    if (w->writing != NULL) {
        pv_watch_set(w->writing, PV_LOOP_WRITE);
        return PV_OK;
    }
    return pv_watch_new(&w->writing, w->t->cfg.loop, end_of(w, true)->out, PV_LOOP_WRITE,
                        on_writable, w);
}

/* Reads once, for all ways have their turn; an end is passed on. */
static void on_readable(void *ctx, unsigned ready, pv_ns now)
{
    struct way *w = ctx;
    struct pv_twoway *t = w->t;
    size_t written = 0;
    ssize_t n = read(end_of(w, false)->in, t->cfg.buf, t->cfg.cap);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        tell(t, w->from, -errno);
        return;
    }
    if (n == 0 && end_of(w, false)->of_stack && !t->way[!w->from].done &&
        pv_inside_is_broken(end_of(w, false)->in)) {
        tell(t, w->from, -ECONNRESET);
        return;
    }
    if (n == 0) {
        w->ended = true;
        w->reading = pv_watch_free(w->reading);
        (void)finish(w);
        return;
    }
    int r = write_some(w, t->cfg.buf, (size_t)n, &written);
    if (r == PV_OK && written < (size_t)n)
        r = keep(w, t->cfg.buf + written, (size_t)n - written);
    if (r < 0)
        tell(t, !w->from, r);
}

static void on_writable(void *ctx, unsigned ready, pv_ns now)
{
    struct way *w = ctx;
    size_t written = 0;
    int r = write_some(w, w->rest + w->rest_at, w->rest_len - w->rest_at, &written);
    if (r < 0) {
        tell(w->t, !w->from, r);
        return;
    }
    w->rest_at += written;
    if (w->rest_at < w->rest_len)
        return;
    free(w->rest);
    w->rest = NULL;
    pv_watch_set(w->writing, 0);
    pv_watch_set(w->reading, PV_LOOP_READ);
}

/* --- life ---------------------------------------------------------------------------------- */

int pv_twoway_new(struct pv_twoway **ret_twoway, const struct pv_twoway_config *cfg)
{
    struct pv_twoway *t = calloc(1, sizeof(*t));
    struct pv_twoway_config copy = *cfg;
    if (t == NULL) {
        close_end(&copy.end[0]);
        close_end(&copy.end[1]);
        return PV_ERR_NOMEM;
    }
    t->cfg = copy;
    int r = PV_OK;
    for (int i = 0; i < 2 && r == PV_OK; i++) {
        t->way[i] = (struct way){.t = t, .from = i};
        r = pv_watch_new(&t->way[i].reading, cfg->loop, cfg->end[i].in, PV_LOOP_READ, on_readable,
                         &t->way[i]);
    }
    if (r == PV_OK && cfg->first.len > 0)
        r = keep(&t->way[0], cfg->first.ptr, cfg->first.len);
    if (r < 0)
        (void)pv_twoway_free(t);
    else
        *ret_twoway = t;
    return r;
}

struct pv_twoway *pv_twoway_free(struct pv_twoway *t)
{
    if (t != NULL) {
        stop_watching(t);
        for (int i = 0; i < 2; i++) {
            struct pv_twoway_end *e = &t->cfg.end[i];
            free(t->way[i].rest);
            if (!t->told && e->in >= 0 && e->in == e->out) {
                pv_twoway_break(e->in);
                e->in = e->out = -1;
            }
            close_end(&t->cfg.end[i]);
        }
        free(t);
    }
    return NULL;
}
