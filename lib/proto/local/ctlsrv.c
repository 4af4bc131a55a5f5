/* SPDX-License-Identifier: MIT */
/* The server of the control socket: lines in, requests to the parts, answers and events back to the
 * right client. It knows nothing of what commands mean; a request is named by a handle that
 * is never used again. */
#include "proto/local/ctlsrv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/outbuf.h"
#include "base/streams.h"
#include "crypto/ct.h"
#include "proto/local/ctlapi.h"
#include "proto/local/ctlapi_request.h"
#include "proto/local/remedy.h"

/* One unanswered request. It is in its connection's list; when the client goes it waits in the
 * server's cancelled list. */
struct request {
    struct request *prev, *next; /* of the same connection, or of the cancelled list */
    struct conn *conn;           /* NULL: the client is gone */
    uint64_t handle;
    uint64_t id;
    bool lasts;
};

struct conn {
    uint32_t sid;
    uint32_t uid;
    bool may_change;
    struct pv_stream_turn turn;
    bool draining; /* no more input; closed when the output is written */
    bool dead;     /* closed; tidy() frees it */
    size_t in_len;
    struct pv_outbuf out;
    unsigned n_requests;
    unsigned at_once; /* of them when these bytes came, and those in these bytes */
    unsigned refused; /* in these bytes */
    struct request *requests;
    uint8_t in[PV_CTLAPI_LINE_MAX];
};

struct pv_ctlsrv {
    struct conn *conns[PV_CTLSRV_MAX_CONNS]; /* NULL: free */
    struct pv_streams *streams;              /* borrowed */
    size_t out_total;                        /* bytes waiting for all readers */
    uint32_t last_sid;
    uint64_t last_handle;
    const char *flag;          /* of p2pvpnctl, that means this node; borrowed */
    bool own;                  /* of p2pvpnd --user */
    struct request *cancelled; /* client gone, not yet told */
    pv_ctlsrv_failed *failed;  /* of PV_CTLSRV_ELSEWHERE; NULL: nobody hears it */
    void *failed_arg;
};

int pv_ctlsrv_new(struct pv_ctlsrv **ret_srv, struct pv_streams *streams, const char *flag,
                  bool own)
{
    struct pv_ctlsrv *srv = calloc(1, sizeof(*srv));
    if (srv == NULL)
        return PV_ERR_NOMEM;
    srv->streams = streams;
    srv->flag = flag;
    srv->own = own;
    *ret_srv = srv;
    return PV_OK;
}

static struct conn *find(const struct pv_ctlsrv *srv, uint32_t sid)
{
    for (size_t i = 0; i < PV_CTLSRV_MAX_CONNS; i++) {
        if (srv->conns[i] != NULL && srv->conns[i]->sid == sid)
            return srv->conns[i];
    }
    return NULL;
}

/* --- requests ------------------------------------------------------------------------------ */

/* The part that serves one still has its handle, and is told by tidy(). */
static void cancel_all(struct pv_ctlsrv *srv, struct conn *c)
{
    while (c->requests != NULL) {
        struct request *r = c->requests;
        c->requests = r->next;
        r->conn = NULL;
        r->next = srv->cancelled;
        srv->cancelled = r;
    }
    c->n_requests = 0;
}

/* A linear search, for there are few clients. A handle whose client is gone finds nothing, so late
 * answers are dropped. */
static struct request *find_request(const struct pv_ctlsrv *srv, uint64_t handle)
{
    for (size_t i = 0; i < PV_CTLSRV_MAX_CONNS; i++) {
        struct request *r = srv->conns[i] == NULL ? NULL : srv->conns[i]->requests;
        for (; r != NULL; r = r->next) {
            if (r->handle == handle)
                return r;
        }
    }
    return NULL;
}

/* A request with several answers (events) stays in the list until the last one. */
static void end_request(struct request *r)
{
    struct conn *c = r->conn;
    PV_LIST_DEL(c->requests, r);
    c->n_requests--;
    free(r);
}

/* --- output -------------------------------------------------------------------------------- */

/* out_total must fall with it: it bounds the memory of all clients together. */
static void drop_output(struct pv_ctlsrv *srv, struct conn *c)
{
    srv->out_total -= pv_outbuf_view(&c->out).len;
    pv_outbuf_done(&c->out);
    pv_streams_forget(srv->streams, &c->turn);
}

/* The connection cannot be served any more: nothing is written to it, its requests end. Its struct
 * stays: callers up the stack still hold it. */
static void kill_conn(struct pv_ctlsrv *srv, struct conn *c)
{
    drop_output(srv, c);
    cancel_all(srv, c);
    if (!c->dead)
        pv_streams_close(srv->streams, PV_STREAM_OF_CTL, c->sid);
    c->dead = true;
}

/* Shall a be closed before b? One that may change this node gives way to none that may not; of both
 * kinds the one with most unread goes. */
static bool goes_before(const struct conn *a, size_t of_a, const struct conn *b, size_t of_b)
{
    return a->may_change != b->may_change ? b->may_change : of_a > of_b;
}

/* Makes room for a reply to c: many that do not read must neither fill the memory nor keep others
 * from being answered. False: c itself has most. */
static bool make_room(struct pv_ctlsrv *srv, const struct conn *c, size_t len)
{
    while (srv->out_total + len > PV_CTLSRV_MAX_OUT_TOTAL) {
        size_t most = pv_outbuf_view(&c->out).len + len;
        const struct conn *first = c;
        struct conn *victim = NULL;
        for (size_t i = 0; i < PV_CTLSRV_MAX_CONNS; i++) {
            struct conn *x = srv->conns[i];
            size_t unread = x == NULL || x == c ? 0 : pv_outbuf_view(&x->out).len;
            if (unread == 0 || !goes_before(x, unread, first, most))
                continue;
            first = victim = x;
            most = unread;
        }
        if (victim == NULL)
            return false;
        kill_conn(srv, victim);
    }
    return true;
}

/* Queues one reply; takes obj. A reply that cannot be told ends the connection: the client must not
 * wait for it. */
static void put_reply(struct pv_ctlsrv *srv, struct conn *c, json_t *obj)
{
    size_t len = 0;
    if (obj != NULL)
        pv_remedy_name_reply(srv->flag, srv->own, obj);
    char *line = c->dead || obj == NULL ? NULL : pv_ctlapi_dump(obj, &len);
    json_decref(obj);

    if (line == NULL || !make_room(srv, c, len) ||
        pv_outbuf_put(&c->out, pv_view(line, len), PV_CTLSRV_MAX_OUT) < 0) {
        kill_conn(srv, c);
    } else {
        srv->out_total += len;
        pv_streams_wake(srv->streams, &c->turn, PV_STREAM_OF_CTL, c->sid);
    }
    if (line != NULL)
        pv_wipe(line, len);
    free(line);
}

struct pv_view pv_ctlsrv_out(struct pv_ctlsrv *srv, uint32_t sid)
{
    const struct conn *c = find(srv, sid);
    return c == NULL ? pv_view(NULL, 0) : pv_outbuf_view(&c->out);
}

void pv_ctlsrv_wrote(struct pv_ctlsrv *srv, uint32_t sid, size_t n)
{
    struct conn *c = find(srv, sid);
    if (c == NULL)
        return;
    srv->out_total -= pv_outbuf_wrote(&c->out, n);
    if (c->draining && pv_outbuf_view(&c->out).len == 0)
        kill_conn(srv, c);
}

/* --- connections --------------------------------------------------------------------------- */

static void conn_free(struct pv_ctlsrv *srv, struct conn *c)
{
    cancel_all(srv, c);
    drop_output(srv, c);
    for (size_t i = 0; i < PV_CTLSRV_MAX_CONNS; i++) {
        if (srv->conns[i] == c)
            srv->conns[i] = NULL;
    }
    /* A line that was not complete may have held a token. */
    pv_wipe(c->in, c->in_len);
    free(c);
}

int pv_ctlsrv_accepted(struct pv_ctlsrv *srv, uint32_t uid, bool may_change, uint32_t *ret_sid)
{
    size_t at = 0;
    while (at < PV_CTLSRV_MAX_CONNS && srv->conns[at] != NULL && !srv->conns[at]->dead)
        at++;
    if (at == PV_CTLSRV_MAX_CONNS)
        return PV_ERR_LIMIT;
    if (srv->conns[at] != NULL)
        conn_free(srv, srv->conns[at]);
    struct conn *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return PV_ERR_NOMEM;
    /* Numbers go round and skip those in use, so that a late event of a closed connection meets no
     * new one. */
    do {
        srv->last_sid = srv->last_sid >= PV_STREAM_LOCAL_MASK ? 1 : srv->last_sid + 1;
    } while (find(srv, srv->last_sid) != NULL);
    c->sid = srv->last_sid;
    c->uid = uid;
    c->may_change = may_change;
    srv->conns[at] = c;
    *ret_sid = c->sid;
    return PV_OK;
}

void pv_ctlsrv_closed(struct pv_ctlsrv *srv, uint32_t sid)
{
    struct conn *c = find(srv, sid);
    if (c != NULL)
        conn_free(srv, c);
}

void pv_ctlsrv_tidy(struct pv_ctlsrv *srv, pv_ctlsrv_cancelled *cancelled, void *arg)
{
    struct request *r;
    for (size_t i = 0; i < PV_CTLSRV_MAX_CONNS; i++) {
        if (srv->conns[i] != NULL && srv->conns[i]->dead)
            conn_free(srv, srv->conns[i]);
    }
    while ((r = srv->cancelled) != NULL) {
        srv->cancelled = r->next;
        cancelled(arg, r->handle);
        free(r);
    }
}

struct pv_ctlsrv *pv_ctlsrv_free(struct pv_ctlsrv *srv)
{
    if (srv == NULL)
        return NULL;
    for (size_t i = 0; i < PV_CTLSRV_MAX_CONNS; i++) {
        if (srv->conns[i] != NULL)
            conn_free(srv, srv->conns[i]);
    }
    while (srv->cancelled != NULL) {
        struct request *r = srv->cancelled;
        srv->cancelled = r->next;
        free(r);
    }
    free(srv);
    return NULL;
}

/* --- input --------------------------------------------------------------------------------- */

/* How long the others take depends on p2pvpnd or one peer, and is bounded. */
static bool lasts(enum pv_ctlapi_cmd cmd)
{
    return cmd == PV_CTLAPI_WATCH || cmd == PV_CTLAPI_WAIT;
}

static bool has_lasting(const struct conn *c)
{
    for (const struct request *r = c->requests; r != NULL; r = r->next) {
        if (r->lasts)
            return true;
    }
    return false;
}

/* Returns true if a request that lasts would take a connection that others of this user, or all
 * users, need for short ones. */
static bool may_not_last(const struct pv_ctlsrv *srv, const struct conn *c)
{
    const size_t most = c->uid == 0 ? PV_CTLSRV_LASTING_OF_ROOT : PV_CTLSRV_LASTING_OF_USER;
    size_t all = 0, own = 0;
    if (has_lasting(c))
        return false;
    for (size_t i = 0; i < PV_CTLSRV_MAX_CONNS; i++) {
        const struct conn *x = srv->conns[i];
        bool counts = x != NULL && has_lasting(x);
        all += counts;
        own += counts && x->uid == c->uid;
    }
    return all >= PV_CTLSRV_LASTING || own >= most;
}

/* NULL: no memory. */
static struct request *add_request(struct pv_ctlsrv *srv, struct conn *c, uint64_t id,
                                   enum pv_ctlapi_cmd cmd)
{
    struct request *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return NULL;
    *r = (struct request){.conn = c, .handle = ++srv->last_handle, .id = id, .lasts = lasts(cmd)};
    PV_LIST_ADD_FIRST(c->requests, r);
    c->n_requests++;
    c->at_once++;
    return r;
}

static void refuse(struct pv_ctlsrv *srv, struct conn *c, uint64_t id, enum pv_ctlapi_code code,
                   const char *text)
{
    put_reply(srv, c, pv_ctlapi_error(id, code, text));
    c->draining = c->draining || ++c->refused > PV_CTLSRV_MAX_REFUSED;
}

/* The id is taken from the line even when the rest of it is wrong: an answer without it could not
 * be matched by the client. The right to change is decided here, once for all commands. */
static void handle_line(struct pv_ctlsrv *srv, struct conn *c, struct pv_view line,
                        pv_ctlsrv_serve *serve, void *arg)
{
    struct pv_ctlapi_request req;
    const struct request *added = NULL;
    char why[PV_CTLAPI_ERROR_BUF];
    uint64_t id = UINT64_MAX;

    int r = pv_ctlapi_request_parse(line, &req, &id, why);
    if (r < 0) {
        refuse(srv, c, id, r == PV_ERR_NOMEM ? PV_CTLAPI_FAILED : PV_CTLAPI_USAGE, why);
        return;
    }
    if (pv_ctlapi_cmd_changes(req.cmd) && !c->may_change) {
        snprintf(why, sizeof(why),
                 "%s: not permitted: only root may change this node or its network: use sudo",
                 pv_ctlapi_cmd_name(req.cmd));
        refuse(srv, c, id, PV_CTLAPI_PERMISSION, why);
    } else if (c->at_once >= PV_CTLSRV_MAX_REQUESTS) {
        snprintf(why, sizeof(why),
                 "%s: too many requests at once: at most %d of one connection: wait for answers",
                 pv_ctlapi_cmd_name(req.cmd), PV_CTLSRV_MAX_REQUESTS);
        refuse(srv, c, id, PV_CTLAPI_FAILED, why);
    } else if (lasts(req.cmd) && may_not_last(srv, c)) {
        snprintf(why, sizeof(why),
                 "%s: too many commands that last: end some, such as events, chat and wait",
                 pv_ctlapi_cmd_name(req.cmd));
        refuse(srv, c, id, PV_CTLAPI_BUSY, why);
    } else if ((added = add_request(srv, c, id, req.cmd)) == NULL) {
        refuse(srv, c, id, PV_CTLAPI_FAILED, "request refused: out of memory");
    } else {
        serve(arg, &req, added->handle); /* which may end it */
    }
    pv_ctlapi_request_done(&req);
}

/* Takes the whole lines off the input, as long as they are worth it: thousands that are refused
 * cost more time than others can wait. */
static void handle_lines(struct pv_ctlsrv *srv, struct conn *c, pv_ctlsrv_serve *serve, void *arg)
{
    size_t start = 0;
    while (!c->dead && !c->draining) {
        const uint8_t *nl = memchr(c->in + start, '\n', c->in_len - start);
        if (nl == NULL)
            break;
        size_t len = (size_t)(nl - (c->in + start));
        if (len > 0)
            handle_line(srv, c, pv_view(c->in + start, len), serve, arg);
        start += len + 1;
    }
    size_t left = c->in_len - start;
    /* The beginning of the next line moves to the front, where the rest of it will be added. */
    memmove(c->in, c->in + start, left);
    pv_wipe(c->in + left, start); /* requests may carry secrets */
    c->in_len = left;
}

void pv_ctlsrv_handle_bytes(struct pv_ctlsrv *srv, uint32_t sid, struct pv_view bytes,
                            pv_ctlsrv_serve *serve, void *arg)
{
    struct conn *c = find(srv, sid);
    /* A request that is answered at once counts all the same: other clients get their turn. */
    if (c != NULL) {
        c->at_once = c->n_requests;
        c->refused = 0;
    }
    while (c != NULL && bytes.len > 0 && !c->draining && !c->dead) {
        size_t n = sizeof(c->in) - c->in_len;
        if (n > bytes.len)
            n = bytes.len;
        memcpy(c->in + c->in_len, bytes.ptr, n);
        c->in_len += n;
        bytes = pv_view(bytes.ptr + n, bytes.len - n);
        handle_lines(srv, c, serve, arg);
        /* There is no way to find the next line without reading this one to its end, so the
         * connection drains and closes. */
        if (c->in_len == sizeof(c->in)) {
            refuse(srv, c, UINT64_MAX, PV_CTLAPI_USAGE,
                   "request refused: a line of 64 KiB or more: send less at once");
            c->draining = true;
        }
    }
}

/* --- answers ------------------------------------------------------------------------------- */

static void finish(struct pv_ctlsrv *srv, struct request *r, json_t *reply)
{
    struct conn *c = r->conn;
    end_request(r); /* first: a reply that cannot be told cancels what is left */
    put_reply(srv, c, reply);
}

bool pv_ctlsrv_is_open(const struct pv_ctlsrv *srv, uint32_t sid)
{
    const struct conn *c = find(srv, sid);
    return c != NULL && !c->dead;
}

uint32_t pv_ctlsrv_sid(const struct pv_ctlsrv *srv, uint64_t handle)
{
    const struct request *r = find_request(srv, handle);
    return r == NULL ? 0 : r->conn->sid;
}

void pv_ctlsrv_answer(struct pv_ctlsrv *srv, uint64_t handle, json_t *body)
{
    struct request *r = find_request(srv, handle);
    if (r == NULL)
        json_decref(body);
    else if (body == NULL)
        pv_ctlsrv_fail(srv, handle, PV_CTLAPI_FAILED, "request failed: out of memory");
    else
        finish(srv, r, pv_ctlapi_answer(r->id, body));
}

void pv_ctlsrv_done(struct pv_ctlsrv *srv, uint64_t handle)
{
    struct request *r = find_request(srv, handle);
    if (r != NULL)
        finish(srv, r, pv_ctlapi_answer(r->id, NULL));
}

void pv_ctlsrv_fail(struct pv_ctlsrv *srv, uint64_t handle, enum pv_ctlapi_code code,
                    const char *text)
{
    struct request *r = find_request(srv, handle);
    if (r != NULL)
        finish(srv, r, pv_ctlapi_error(r->id, code, text));
    else if (handle == PV_CTLSRV_ELSEWHERE && srv->failed != NULL)
        srv->failed(srv->failed_arg, code, text);
}

void pv_ctlsrv_divert(struct pv_ctlsrv *srv, pv_ctlsrv_failed *fn, void *arg)
{
    srv->failed = fn;
    srv->failed_arg = arg;
}

void pv_ctlsrv_failf(struct pv_ctlsrv *srv, uint64_t handle, enum pv_ctlapi_code code,
                     const char *fmt, ...)
{
    char text[PV_CTLAPI_ERROR_BUF];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    pv_ctlsrv_fail(srv, handle, code, text);
}

/* An event for which there is no memory is left out, since another one will follow; an answer is
 * not, because the client waits for it (pv_ctlsrv_answer()). */
void pv_ctlsrv_event(struct pv_ctlsrv *srv, uint64_t handle, const char *event, json_t *body)
{
    const struct request *r = find_request(srv, handle);
    if (r == NULL || body == NULL)
        json_decref(body);
    else
        put_reply(srv, r->conn, pv_ctlapi_event(r->id, event, body));
}

size_t pv_ctlsrv_backlog(const struct pv_ctlsrv *srv, uint64_t handle)
{
    const struct request *r = find_request(srv, handle);
    return r == NULL ? 0 : pv_outbuf_view(&r->conn->out).len;
}
