/* SPDX-License-Identifier: MIT */
/* Streams of all kinds between descriptors and the engine: TCP to the coordinator and between
 * members, with TLS where it is wanted, and control clients on a unix socket. */
#include "daemon/io/io_streams.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/list.h"
#include "daemon/packets/viaproxy.h"
#include "sys/helper/source.h"
#include "sys/net/inside.h"
#include "sys/net/stream.h"
#include "sys/net/streamtls.h"
#include "sys/net/tls.h"
#include "sys/net/unixsock.h"

_Static_assert((int)PV_STREAM_TO_BUF == (int)PV_CONNECT_AT_BUF, "both name a proxy's target");

enum {
    READ_MAX = 65536, /* bytes taken from a stream at a time; ours */
};
#define REST_TIME    PV_S(1) /* ours: without descriptors listeners rest so long */
#define LISTEN_AGAIN PV_S(2) /* ours: between two looks whether a port that was taken is free */
#define CLOSE_TIME \
    PV_S(5) /* ours: for writing out what is left of a stream the engine has closed */

/*
 *   TCP    --connected-->                   PROXY, TLS or OPEN, whichever comes first
 *   PROXY  --it opens the way-->            TLS or OPEN
 *   TLS    --handshake done-->              OPEN
 *   OPEN   --the engine closes it-->        CLOSING
 */
enum stage {
    STAGE_TCP,     /* is connecting */
    STAGE_PROXY,   /* asks an HTTP proxy */
    STAGE_TLS,     /* shakes hands */
    STAGE_OPEN,    /* the engine's bytes */
    STAGE_CLOSING, /* the engine no longer knows it; tail is written, then it ends */
};

struct pv_io_stream {
    struct pv_io_streams *all;
    struct pv_io_stream *prev, *next;
    uint32_t sid;
    enum pv_stream_kind kind;
    int fd;
    struct pv_watch *watch;
    enum stage stage;
    struct pv_viaproxy *via; /* NULL: there is no proxy on the way, or it has opened that */
    struct pv_tls *tls;      /* NULL = plain */
    pv_ns close_by;          /* CLOSING */
    uint8_t *tail;
    size_t tail_len, tail_done;
};

struct pv_io_listener {
    struct pv_io_streams *all;
    struct pv_io_listener *next;
    enum pv_stream_kind kind;
    int fd;
    struct pv_watch *watch;
};

/* A listener that could not be opened: any user can have its port before us. */
struct missing {
    enum pv_stream_kind kind;
    struct pv_addr addr;
    int error; /* negative; of the last try */
};

struct pv_io_streams {
    struct pv_io *io;
    struct missing missing[2 * PV_IFACE_MAX_PREFIXES];
    size_t n_missing;
    char ifname[PV_JOB_IFNAME];   /* of the missing ones */
    pv_ns listen_at;              /* they are tried again; PV_NEVER: none is missing */
    bool serves_ctl;              /* control clients are accepted */
    pv_ns resume_at;              /* listeners rest for want of descriptors; PV_NEVER: none does */
    struct pv_io_stream *streams; /* owned, as the listeners */
    struct pv_io_listener *listeners;
    uint8_t *read_buf;          /* READ_MAX bytes */
    struct pv_tls_ctx *tls_ctx; /* made with the first stream that needs it */
};

/* Of the program over the overlay, which gets its connections as descriptors. */
static bool is_app(enum pv_stream_kind kind)
{
    return kind == PV_STREAM_APP1 || kind == PV_STREAM_APP2;
}

/* --- the end of a stream ------------------------------------------------------------------- */

/* After "out of descriptors" listeners wait for this. */
static void resume_listeners(struct pv_io_streams *all)
{
    all->resume_at = PV_NEVER;
    for (struct pv_io_listener *l = all->listeners; l != NULL; l = l->next)
        /* Before the engine is ready control clients wait in the kernel's queue, whatever else
         * goes on. */
        if (all->serves_ctl || l->kind != PV_STREAM_CTL)
            pv_watch_set(l->watch, PV_LOOP_READ);
}

/* Removes it, whatever the engine knows of it. The descriptor that was freed may be what
 * listeners wait for. */
static void remove_stream(struct pv_io_stream *st)
{
    struct pv_io_streams *all = st->all;
    PV_LIST_DEL(all->streams, st);
    /* The watch goes before the descriptor is closed: epoll would report a number that another
     * file may have by then. */
    pv_watch_free(st->watch);
    pv_viaproxy_free(st->via);
    if (st->tls != NULL && st->stage >= STAGE_OPEN) {
        pv_tls_close(st->tls);
        (void)!pv_streamtls_flush(st->tls, st->fd);
    }
    pv_tls_free(st->tls);
    if (st->fd >= 0)
        close(st->fd);
    /* The rest may hold a token or a message. */
    if (st->tail != NULL)
        explicit_bzero(st->tail, st->tail_len);
    free(st->tail);
    free(st);
    resume_listeners(all);
}

/* The engine hears of it only while it knows the stream: after a close of its own it would take the
 * number for another's. */
static void fail_stream(struct pv_io_stream *st, int status, pv_ns now)
{
    struct pv_io_streams *all = st->all;
    uint32_t sid = st->sid;
    /* remove_stream() frees st, so everything that is needed later is taken first. */
    const enum pv_stream_kind kind = st->kind;
    bool known = st->stage != STAGE_CLOSING;
    remove_stream(st);
    if (known && is_app(kind))
        all->io->cfg.app.connected(all->io->cfg.app.ctx, sid, status, -1, now);
    else if (known)
        pv_engine_stream_closed(all->io->engine, sid, status, now);
}

static int stream_read(struct pv_io_stream *st, void *buf, size_t cap, size_t *ret_n)
{
    return st->tls != NULL ? pv_streamtls_read(st->tls, st->fd, buf, cap, ret_n)
                           : pv_stream_read(st->fd, buf, cap, ret_n);
}

static int stream_write(struct pv_io_stream *st, struct pv_view data, size_t *ret_n)
{
    return st->tls != NULL ? pv_streamtls_write(st->tls, st->fd, data, ret_n)
                           : pv_stream_write(st->fd, data, ret_n);
}

/* --- bytes --------------------------------------------------------------------------------- */

/* The engine has forgotten this stream; its last words, such as an error for a client, still
 * arrive. */
static void write_tail(struct pv_io_stream *st, pv_ns now)
{
    while (st->tail_done < st->tail_len) {
        size_t n = 0;
        int r =
            stream_write(st, pv_view(st->tail + st->tail_done, st->tail_len - st->tail_done), &n);
        if (r == PV_ERR_AGAIN) {
            pv_watch_set(st->watch, PV_LOOP_WRITE);
            return;
        }
        if (r < 0) {
            fail_stream(st, r, now);
            return;
        }
        st->tail_done += n;
    }
    /* TLS may still hold the last record. Only when the kernel has it may the descriptor be
     * closed. */
    if (st->tls != NULL && pv_streamtls_flush(st->tls, st->fd) == PV_ERR_AGAIN) {
        pv_watch_set(st->watch, PV_LOOP_WRITE);
        return;
    }
    remove_stream(st);
}

/* The events that this stream waits for. Bytes that the engine cannot take now stay in the kernel,
 * so that their sender waits. */
static void watch(struct pv_io_stream *st, bool writes)
{
    bool full = pv_engine_stream_is_full(st->all->io->engine, st->sid);
    pv_watch_set(st->watch, (full ? 0 : PV_LOOP_READ) | (writes ? PV_LOOP_WRITE : 0));
}

/* Writes what the engine has; may end the stream. */
static void write_out(struct pv_io_stream *st, pv_ns now)
{
    struct pv_engine *engine = st->all->io->engine;
    for (;;) {
        struct pv_view out = pv_engine_stream_out(engine, st->sid);
        size_t n = 0;
        if (out.len == 0) {
            /* The engine has nothing more, but TLS may hold records that wait for the kernel. */
            watch(st, st->tls != NULL && pv_streamtls_is_full(st->tls));
            return;
        }
        int r = stream_write(st, out, &n);
        if (r == PV_ERR_AGAIN) {
            watch(st, true);
            return;
        }
        if (r < 0) {
            fail_stream(st, r, now);
            return;
        }
        pv_engine_stream_wrote(engine, st->sid, n, now);
    }
}

/* A descriptor may come with a control client's bytes: no request here has one. */
static int read_some(struct pv_io_stream *st, size_t *ret_n)
{
    struct pv_io_streams *all = st->all;
    int passed = -1;
    /* It is a porter's socket, never the client's (sys/helper/usher.h). */
    if (st->kind != PV_STREAM_CTL)
        return stream_read(st, all->read_buf, READ_MAX, ret_n);
    int r = pv_unix_read(st->fd, all->read_buf, READ_MAX, ret_n, &passed);
    /* The descriptor is taken even when the read says more about the end: a dropped one would
     * stay open. */
    if (passed >= 0)
        close(passed);
    return r;
}

static void read_in(struct pv_io_stream *st, pv_ns now)
{
    struct pv_io_streams *all = st->all;
    size_t n = 0;
    int r;
    do { /* what TLS has taken in the descriptor no longer shows */
        r = read_some(st, &n);
        if (r == PV_OK)
            pv_engine_stream_bytes(all->io->engine, st->sid, pv_view(all->read_buf, n), now);
    } while (r == PV_OK && st->tls != NULL);
    if (r != PV_OK && r != PV_ERR_AGAIN)
        fail_stream(st, r, now);
    else if (st->tls != NULL && pv_streamtls_is_full(st->tls))
        pv_watch_set(st->watch, PV_LOOP_READ | PV_LOOP_WRITE);
}

/* TLS takes its turns until it is up. */
static void shake_hands(struct pv_io_stream *st, pv_ns now)
{
    size_t n = 0;
    int r = pv_streamtls_flush(st->tls, st->fd);
    if (r == PV_OK || r == PV_ERR_AGAIN)
        r = pv_streamtls_read(st->tls, st->fd, st->all->read_buf, READ_MAX, &n);
    /* The coordinator speaks only after the Noise handshake, which this side begins. */
    if (r == PV_OK) /* who speaks first is no coordinator */
        r = PV_ERR_MALFORMED;
    if (r != PV_ERR_AGAIN) {
        pv_log(st->all->io->log, PV_LOG_DEBUG, "what=\"no TLS\" why=\"%s\"", pv_tls_error(st->tls));
        fail_stream(st, r, now);
        return;
    }
    bool full = pv_streamtls_is_full(st->tls);
    pv_watch_set(st->watch, full ? PV_LOOP_READ | PV_LOOP_WRITE : PV_LOOP_READ);
    if (!pv_tls_is_ready(st->tls))
        return;
    st->stage = STAGE_OPEN;
    pv_engine_stream_connected(st->all->io->engine, st->sid, now);
}

/* Nothing is left on the way to the server but TLS, which begins at once: TLS clients speak first,
 * and nobody would wake this stream. rest: what the server has said already. */
static void begin_talk(struct pv_io_stream *st, struct pv_view rest, pv_ns now)
{
    if (st->tls == NULL) {
        st->stage = STAGE_OPEN;
        pv_watch_set(st->watch, PV_LOOP_READ);
        pv_engine_stream_connected(st->all->io->engine, st->sid, now);
        return;
    }
    st->stage = STAGE_TLS;
    int r = rest.len > 0 ? pv_tls_handle_bytes(st->tls, rest) : PV_OK;
    if (r < 0)
        fail_stream(st, r, now);
    else
        shake_hands(st, now);
}

/* The proxy takes its turns until it has answered. */
static void ask_proxy(struct pv_io_stream *st, pv_ns now)
{
    struct pv_io_streams *all = st->all;
    struct pv_view rest = pv_view(NULL, 0);
    int r = pv_viaproxy_turn(st->via, st->fd, all->read_buf, READ_MAX, &rest);
    const struct pv_connect_answer answer = pv_viaproxy_answer(st->via);
    if (r == PV_ERR_AGAIN) {
        bool full = pv_viaproxy_is_full(st->via);
        pv_watch_set(st->watch, full ? PV_LOOP_READ | PV_LOOP_WRITE : PV_LOOP_READ);
        return;
    }
    st->via = pv_viaproxy_free(st->via); /* it holds the password */
    pv_engine_stream_proxied(all->io->engine, st->sid, &answer, now);
    if (r < 0)
        fail_stream(st, r, now);
    else
        begin_talk(st, rest, now);
}

/* The connection is the program's from now on. */
static void hand_over(struct pv_io_stream *st, pv_ns now)
{
    const struct pv_io_app *app = &st->all->io->cfg.app;
    const uint32_t sid = st->sid;
    const int fd = st->fd;
    st->fd = -1; /* remove_stream() must not close it */
    remove_stream(st);
    app->connected(app->ctx, sid, PV_OK, fd, now);
}

static void finish_connect(struct pv_io_stream *st, pv_ns now)
{
    static const struct pv_connect_answer asked = {.state = PV_CONNECT_ASKED};
    int r = pv_stream_connected(st->fd);
    if (r == PV_ERR_AGAIN)
        return;
    if (r == PV_OK && st->kind == PV_STREAM_COORD)
        r = pv_stream_set_user_timeout(st->fd, (int)(PV_STREAM_UNACKED / PV_MS(1)));
    if (r < 0) {
        fail_stream(st, r, now);
        return;
    }
    if (is_app(st->kind)) {
        hand_over(st, now);
        return;
    }
    if (st->via == NULL) {
        begin_talk(st, pv_view(NULL, 0), now);
        return;
    }
    st->stage = STAGE_PROXY;
    pv_engine_stream_proxied(st->all->io->engine, st->sid, &asked, now);
    ask_proxy(st, now);
}

static void on_stream(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_io_stream *st = ctx;
    pv_io_turn_begin(st->all->io, now);
    switch (st->stage) {
    case STAGE_TCP:
        finish_connect(st, now);
        break;
    case STAGE_PROXY:
        ask_proxy(st, now);
        break;
    case STAGE_TLS:
        shake_hands(st, now);
        break;
    case STAGE_CLOSING: /* bytes that TLS has read meanwhile are of no interest */
        write_tail(st, now);
        break;
    case STAGE_OPEN:
        if ((ready & PV_LOOP_READ) == 0) {
            write_out(st, now);
            break;
        }
        if (st->kind == PV_STREAM_CTL)
            pv_io_counts_tell(st->all->io);
        read_in(st, now); /* what can be written now as well is reported again in the next turn */
    }
}

/* --- streams come -------------------------------------------------------------------------- */

/* Takes fd. */
static int add_stream(struct pv_io_streams *all, enum pv_stream_kind kind, int fd, unsigned events,
                      struct pv_io_stream **ret_st)
{
    struct pv_io_stream *st = calloc(1, sizeof(*st));
    int r = PV_ERR_NOMEM;
    if (st != NULL) {
        *st = (struct pv_io_stream){.all = all, .kind = kind, .fd = fd, .stage = STAGE_OPEN};
        r = pv_watch_new(&st->watch, all->io->loop, fd, events, on_stream, st);
    }
    /* fd is this function's also when it fails, so that no caller can forget it. */
    if (r < 0) {
        free(st);
        close(fd);
        return r;
    }
    PV_LIST_ADD_FIRST(all->streams, st);
    *ret_st = st;
    return PV_OK;
}

/* A daemon of one user alone obeys that user. */
static bool is_owner(uint32_t uid)
{
    return pv_inside_is_apart() && uid == geteuid();
}

static int accept_one(struct pv_io_listener *l, int *ret_fd, struct pv_stream_peer *ret_who)
{
    struct pv_unix_cred cred;
    struct pv_stream_peer who = {0};
    int r;
    if (l->kind == PV_STREAM_CTL) {
        r = pv_usher_accept(l->all->io->cfg.usher, ret_fd, &cred);
        if (r == PV_OK) {
            /* The usher has them from the kernel (unix(7), SO_PEERCRED): a client cannot claim
             * another user. */
            who.uid = cred.uid;
            who.may_change = cred.uid == 0 || is_owner(cred.uid);
            /* The socket's mode says so as well. */
            if (pv_inside_is_apart() && !who.may_change) {
                close(*ret_fd);
                r = PV_ERR_AGAIN;
            }
        }
    } else {
        r = pv_stream_accept(l->fd, ret_fd, &who.remote, &who.local);
    }
    *ret_who = who;
    return r;
}

/* One connection a turn: a crowd of them must not keep the rest of the loop waiting. */
static void on_listener(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_io_listener *l = ctx;
    struct pv_io_streams *all = l->all;
    struct pv_stream_peer who;
    struct pv_io_stream *st = NULL;
    int fd = -1;
    pv_io_turn_begin(all->io, now);
    int r = accept_one(l, &fd, &who);
    if (r == PV_ERR_LIMIT) {
        pv_log(all->io->log, PV_LOG_WARN,
               "what=\"connection not accepted\" why=\"out of file descriptors\"");
        /* The missing descriptor comes back when a stream (remove_stream()) or something else
         * ends. */
        pv_watch_set(l->watch, 0);
        all->resume_at = now + REST_TIME;
    }
    if (r == PV_ERR_CLOSED)
        pv_watch_set(l->watch, 0);
    if (r == PV_ERR_CLOSED && l->kind == PV_STREAM_CTL) {
        pv_log(all->io->log, PV_LOG_ERROR,
               "what=stopping why=\"the process that accepts clients has died\"");
        pv_io_stop(all->io, PV_ERR_CLOSED);
    }
    if (r < 0)
        return;
    if (is_app(l->kind)) {
        const struct pv_io_app *app = &all->io->cfg.app;
        app->accepted(app->ctx, app->ports[l->kind - PV_STREAM_APP1], &who.remote, fd, now);
        return;
    }
    r = add_stream(all, l->kind, fd, PV_LOOP_READ, &st);
    if (r < 0)
        return;
    /* The engine gives the number: it alone knows which ones are in use. */
    r = pv_engine_stream_accepted(all->io->engine, l->kind, &who, now, &st->sid);
    if (r == PV_ERR_LIMIT && l->kind == PV_STREAM_CTL)
        (void)!write(fd, PV_CTLAPI_BUSY_LINE, strlen(PV_CTLAPI_BUSY_LINE));
    if (r < 0)
        remove_stream(st); /* the engine never knew it */
}

/* The other end may be anybody: the traffic authenticates itself inside (Noise). */
static int make_tls(struct pv_io_streams *all, struct pv_tls **ret_tls)
{
    static const struct pv_tls_peer anybody = {.trust = PV_TLS_TRUST_ANY};
    char why[PV_TLS_ERROR_MAX];
    int r = PV_OK;
    /* Loading the system's authorities takes time, so it waits for the first stream with TLS. */
    if (all->tls_ctx == NULL)
        r = pv_tls_ctx_new_client(&all->tls_ctx, NULL, why);
    return r == PV_OK ? pv_tls_new_client(ret_tls, all->tls_ctx, &anybody) : r;
}

/* A stream of the program is bound to the TUN: without the interface it fails, and does not leave
 * the host in clear.
 */
static void open_stream(struct pv_io_streams *all, const struct pv_stream_op *op, pv_ns now)
{
    struct pv_tls *tls = NULL;
    struct pv_viaproxy *via = NULL;
    struct pv_stream_bind bind = {.local = op->local};
    struct pv_io_stream *st = NULL;
    int fd = -1;
    if (is_app(op->kind))
        bind.ifname = all->io->cfg.tun_name;
    bind.wide = op->kind == PV_STREAM_APP2; /* files */
    /* TLS is made first: a connection without it would have to be closed again. */
    int r = op->tls ? make_tls(all, &tls) : PV_OK;
    if (r >= 0 && op->to[0] != '\0')
        r = pv_viaproxy_new(&via, op->to, all->io->cfg.proxy_login);
    if (r >= 0)
        r = pv_stream_connect(&op->addr, &bind, &fd);
    if (r >= 0)
        r = add_stream(all, op->kind, fd, PV_LOOP_WRITE, &st);
    if (r < 0) {
        const struct pv_io_app *app = &all->io->cfg.app;
        pv_viaproxy_free(via);
        pv_tls_free(tls);
        if (is_app(op->kind))
            app->connected(app->ctx, op->sid, r, -1, now);
        else
            pv_engine_stream_closed(all->io->engine, op->sid, r, now);
        return;
    }
    st->sid = op->sid;
    st->tls = tls;
    st->via = via;
    st->stage = STAGE_TCP;
}

static struct pv_io_stream *find_stream(struct pv_io_streams *all, uint32_t sid)
{
    for (struct pv_io_stream *st = all->streams; st != NULL; st = st->next)
        /* A closing stream has lost its number, which the engine may give out again. */
        if (st->sid == sid && st->stage != STAGE_CLOSING)
            return st;
    return NULL;
}

/* Takes over what the engine still has to say, so that it can forget the stream. */
static int take_tail(struct pv_io_stream *st, pv_ns now)
{
    struct pv_engine *engine = st->all->io->engine;
    for (;;) {
        struct pv_view out = pv_engine_stream_out(engine, st->sid);
        if (out.len == 0)
            return PV_OK;
        uint8_t *tail = realloc(st->tail, st->tail_len + out.len);
        if (tail == NULL)
            return PV_ERR_NOMEM;
        memcpy(tail + st->tail_len, out.ptr, out.len);
        st->tail = tail;
        st->tail_len += out.len;
        /* The engine counts the bytes as written: its buffer is free for the stream's end. */
        pv_engine_stream_wrote(engine, st->sid, out.len, now);
    }
}

/* Drops a stream that is still connecting; writes the rest of any other, for CLOSE_TIME at most. */
static void close_stream(struct pv_io_streams *all, uint32_t sid, pv_ns now)
{
    struct pv_io_stream *st = find_stream(all, sid);
    if (st == NULL)
        return;
    if (st->stage != STAGE_OPEN || take_tail(st, now) < 0) {
        remove_stream(st);
        return;
    }
    st->stage = STAGE_CLOSING;
    st->close_by = now + CLOSE_TIME;
    write_tail(st, now);
}

void pv_io_stream_op(struct pv_io_streams *all, const struct pv_stream_op *op, pv_ns now)
{
    if (op->type == PV_STREAM_OPEN)
        open_stream(all, op, now);
    else
        close_stream(all, op->sid, now);
}

void pv_io_stream_writable(struct pv_io_streams *all, uint32_t sid, pv_ns now)
{
    struct pv_io_stream *st = find_stream(all, sid);
    if (st != NULL && st->stage == STAGE_OPEN)
        write_out(st, now);
}

/* --- listeners ----------------------------------------------------------------------------- */

static int add_listener(struct pv_io_streams *all, enum pv_stream_kind kind, int fd)
{
    struct pv_io_listener *l = calloc(1, sizeof(*l));
    int r = PV_ERR_NOMEM;
    if (l != NULL) {
        *l = (struct pv_io_listener){.all = all, .kind = kind, .fd = fd};
        /* The control socket is silent until the engine is ready (pv_io_streams_serve_ctl()). */
        r = pv_watch_new(&l->watch, all->io->loop, fd, kind == PV_STREAM_CTL ? 0 : PV_LOOP_READ,
                         on_listener, l);
    }
    if (r < 0) {
        free(l);
        return r;
    }
    l->next = all->listeners;
    all->listeners = l;
    return PV_OK;
}

/* The usher is its opener's; the others are ours. */
static void remove_listeners(struct pv_io_streams *all, enum pv_stream_kind kind)
{
    for (struct pv_io_listener **p = &all->listeners, *l = *p; l != NULL; l = *p) {
        if (l->kind != kind) {
            p = &l->next;
            continue;
        }
        *p = l->next;
        pv_watch_free(l->watch);
        if (kind != PV_STREAM_CTL)
            close(l->fd);
        free(l);
    }
}

/* The listener is bound to the interface: a packet to this address from another one must not reach
 * it. */
static int listen_one(struct pv_io_streams *all, const struct missing *m)
{
    int fd = -1;
    int r = pv_stream_listen(&m->addr, all->ifname, &fd);
    if (r >= 0) {
        r = add_listener(all, m->kind, fd);
        if (r < 0)
            close(fd);
    }
    return r;
}

static const char *listener_name(const struct pv_io_streams *all, enum pv_stream_kind kind)
{
    return all->io->cfg.app.names[kind - PV_STREAM_APP1];
}

/* A missing capability is shown in status. */
static void note_missing(struct pv_io_streams *all, pv_ns now)
{
    struct pv_io *io = all->io;
    memset(io->no_app, 0, sizeof(io->no_app));
    for (size_t i = 0; i < all->n_missing; i++) {
        const struct missing *m = &all->missing[i];
        io->no_app[m->kind - PV_STREAM_APP1][m->addr.family == PV_AF_INET6] = m->error;
    }
    all->listen_at = all->n_missing > 0 ? now + LISTEN_AGAIN : PV_NEVER;
}

static void listen_again(struct pv_io_streams *all, pv_ns now)
{
    size_t kept = 0;
    for (size_t i = 0; i < all->n_missing; i++) {
        struct missing m = all->missing[i];
        m.error = listen_one(all, &m);
        if (m.error < 0)
            all->missing[kept++] = m;
        else
            pv_log(all->io->log, PV_LOG_INFO, "addr=%s what=\"%s listener is there now\"",
                   PV_ADDR_STR(&m.addr), listener_name(all, m.kind));
    }
    all->n_missing = kept;
    note_missing(all, now);
}

static void listen_overlay(struct pv_io_streams *all, enum pv_stream_kind kind, uint16_t port,
                           const struct pv_job_iface *iface)
{
    /* The addresses may have changed: listeners of the old ones go first, or binding the same
     * port would fail. */
    remove_listeners(all, kind);
    for (size_t i = 0; iface != NULL && i < iface->n_addrs; i++) {
        struct missing m = {.kind = kind, .addr = iface->addrs[i].base};
        m.addr.port = port;
        m.error = listen_one(all, &m);
        if (m.error >= 0)
            continue;
        all->missing[all->n_missing++] = m;
        pv_log(all->io->log, PV_LOG_WARN, "addr=%s what=\"no %s listener\" why=\"%s\"",
               PV_ADDR_STR(&m.addr), listener_name(all, kind), pv_strstatus(m.error));
    }
}

void pv_io_streams_listen(struct pv_io_streams *all, const struct pv_job_iface *iface)
{
    all->n_missing = 0;
    if (iface != NULL)
        memcpy(all->ifname, iface->name, sizeof(all->ifname));
    if (all->io->cfg.app.part != NULL) {
        listen_overlay(all, PV_STREAM_APP1, all->io->cfg.app.ports[0], iface);
        listen_overlay(all, PV_STREAM_APP2, all->io->cfg.app.ports[1], iface);
    }
    note_missing(all, all->io->now);
}

pv_ns pv_io_streams_timeout(struct pv_io_streams *all, pv_ns now)
{
    if (now >= all->resume_at)
        resume_listeners(all);
    if (now >= all->listen_at)
        listen_again(all, now);
    pv_ns next = pv_min_ns(all->resume_at, all->listen_at);
    for (struct pv_io_stream *st = all->streams, *after; st != NULL; st = after) {
        /* remove_stream() frees st, so its successor is taken first. */
        after = st->next;
        if (st->stage != STAGE_CLOSING)
            continue;
        if (st->close_by <= now)
            remove_stream(st);
        else
            next = pv_min_ns(next, st->close_by);
    }
    return next;
}

void pv_io_streams_serve_ctl(struct pv_io_streams *all)
{
    all->serves_ctl = true;
    resume_listeners(all);
}

int pv_io_streams_new(struct pv_io_streams **ret_all, struct pv_io *io)
{
    struct pv_io_streams *all = calloc(1, sizeof(*all));
    if (all == NULL)
        return PV_ERR_NOMEM;
    all->io = io;
    all->resume_at = all->listen_at = PV_NEVER;
    all->read_buf = malloc(READ_MAX);
    int r = all->read_buf == NULL ? PV_ERR_NOMEM
                                  : add_listener(all, PV_STREAM_CTL, pv_usher_fd(io->cfg.usher));
    if (r < 0)
        pv_io_streams_free(all);
    else
        *ret_all = all;
    return r;
}

struct pv_io_streams *pv_io_streams_free(struct pv_io_streams *all)
{
    if (all == NULL)
        return NULL;
    while (all->streams != NULL)
        remove_stream(all->streams);
    remove_listeners(all, PV_STREAM_APP1);
    remove_listeners(all, PV_STREAM_APP2);
    remove_listeners(all, PV_STREAM_CTL);
    pv_tls_ctx_free(all->tls_ctx);
    if (all->read_buf != NULL)
        explicit_bzero(all->read_buf, READ_MAX); /* tokens came through it */
    free(all->read_buf);
    free(all);
    return NULL;
}
