/* SPDX-License-Identifier: MIT */
/* Both ends of the coordinator's sockets for its operator: a line in or none, a document out. */
#include "coordinator/ctlsock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/remedy.h"
#include "base/text.h"
#include "proto/local/harmless.h"
#include "sys/net/stream.h"
#include "sys/net/unixsock.h"

enum {
    ANSWER_MAX = 8 << 20, /* ours: bytes; 4,096 networks take one */
    PATIENCE_MS = 30000,  /* ours: a network of 100,000 members is deleted in a few seconds */
    GREETED_MS = 5000,    /* ours: a coordinator that is well answers within one turn */
};

/* sun_path is much shorter than PATH_MAX (108 bytes on Linux). */
static int socket_path(const char *state, bool greets, char ret_path[static PATH_MAX])
{
    const size_t most = sizeof(((struct sockaddr_un *)NULL)->sun_path);
    int n = snprintf(ret_path, PATH_MAX, "%s/%s.sock", state, greets ? "status" : "control");
    return n < 0 || (size_t)n >= most ? PV_ERR_NO_SPACE : PV_OK;
}

/* --- the server's side ----------------------------------------------------------------------- */

static void end_client(struct pv_ctlsock_client *c)
{
    pv_watch_free(c->watch);
    close(c->fd);
    pv_spare_refill(c->sock->spare);
    free(c->out);
    *c = (struct pv_ctlsock_client){.id = 0};
}

static void write_answer(struct pv_ctlsock_client *c)
{
    int r = PV_OK;
    while (c->out_at < c->out_len && r == PV_OK) {
        size_t n = 0;
        r = pv_stream_write(c->fd, pv_view(c->out + c->out_at, c->out_len - c->out_at), &n);
        c->out_at += r == PV_OK ? n : 0;
    }
    if (r == PV_ERR_AGAIN)
        pv_watch_set(c->watch, PV_LOOP_WRITE);
    else
        end_client(c);
}

void pv_ctlsock_answer(struct pv_ctlsock *s, uint64_t id, json_t *doc)
{
    for (size_t i = 0; i < PV_CTLSOCK_CLIENTS; i++) {
        struct pv_ctlsock_client *c = &s->clients[i];
        if (c->id != id || c->out != NULL)
            continue;
        c->out = doc == NULL ? NULL : json_dumps(doc, JSON_COMPACT);
        c->out_len = c->out == NULL ? 0 : strlen(c->out);
        write_answer(c);
    }
    json_decref(doc);
}

/* One line is a request; what is none gets no answer. */
static void take_request(struct pv_ctlsock_client *c, pv_ns now)
{
    struct pv_ctlsock *s = c->sock;
    const char *end = memchr(c->in, '\n', c->in_len);
    if (end == NULL) {
        if (c->in_len == sizeof(c->in))
            end_client(c);
        return;
    }
    json_t *request = json_loadb(c->in, (size_t)(end - c->in), 0, NULL);
    pv_watch_set(c->watch, 0);
    if (request == NULL)
        end_client(c);
    else
        s->request(s->ctx, c->id, request, now);
    json_decref(request);
}

/* A client has one request; once its answer is there, all that is waited for is room to write it.
 */
static void on_client(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_ctlsock_client *c = ctx;
    size_t n = 0;
    if (c->out != NULL) {
        write_answer(c);
        return;
    }
    int r = pv_stream_read(c->fd, c->in + c->in_len, sizeof(c->in) - c->in_len, &n);
    if (r == PV_ERR_AGAIN)
        return;
    if (r < 0) {
        end_client(c);
        return;
    }
    c->in_len += n;
    take_request(c, now);
}

/* A free place, or that of the oldest: a client that hangs must not lock out the operator. */
static struct pv_ctlsock_client *place_for(struct pv_ctlsock *s)
{
    struct pv_ctlsock_client *oldest = &s->clients[0];
    for (size_t i = 0; i < PV_CTLSOCK_CLIENTS; i++) {
        if (s->clients[i].id < oldest->id)
            oldest = &s->clients[i];
    }
    if (oldest->id != 0)
        end_client(oldest);
    return oldest;
}

/* The operator is let in by what is in reserve; what else the request needs may come of that, too.
 * With nothing in reserve the socket rests: it stays readable, and the loop would spin. */
static void on_come(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_ctlsock *s = ctx;
    struct pv_unix_cred who;
    int fd = -1;
    int r = pv_unix_accept(s->fd, &fd, &who);
    if (r == PV_ERR_LIMIT && pv_spare_lend(s->spare))
        r = pv_unix_accept(s->fd, &fd, &who);
    if (r == PV_ERR_LIMIT) {
        pv_watch_set(s->watch, 0);
        s->rest_until = now + PV_S(1);
    }
    if (r < 0)
        return;
    struct pv_ctlsock_client *c = place_for(s);
    *c = (struct pv_ctlsock_client){.sock = s, .fd = fd};
    if (pv_watch_new(&c->watch, s->loop, fd, s->greets ? 0 : PV_LOOP_READ, on_client, c) < 0) {
        close(fd);
        return;
    }
    c->id = ++s->last_id;
    if (s->greets)
        s->request(s->ctx, c->id, NULL, now);
}

/* The mode of the file says who may ask; nobody is asked who he is. */
int pv_ctlsock_open(struct pv_ctlsock *s, struct pv_loop *loop, const char *state)
{
    int fd = -1;
    int r = socket_path(state, s->greets, s->path);
    if (r == PV_OK)
        r = pv_unix_listen(s->path, NULL, &fd);
    if (r < 0)
        return r;
    s->loop = loop;
    r = pv_watch_new(&s->watch, loop, fd, PV_LOOP_READ, on_come, s);
    if (r < 0)
        close(fd);
    else
        s->fd = fd;
    return r;
}

/* Others may have ended meanwhile, and given their descriptors back. */
pv_ns pv_ctlsock_handle_timeout(struct pv_ctlsock *s, pv_ns now)
{
    if (s->rest_until == 0)
        return PV_NEVER;
    if (now < s->rest_until)
        return s->rest_until;
    s->rest_until = 0;
    pv_watch_set(s->watch, PV_LOOP_READ);
    return PV_NEVER;
}

void pv_ctlsock_done(struct pv_ctlsock *s)
{
    if (s->watch == NULL)
        return;
    for (size_t i = 0; i < PV_CTLSOCK_CLIENTS; i++) {
        if (s->clients[i].id != 0)
            end_client(&s->clients[i]);
    }
    s->watch = pv_watch_free(s->watch);
    close(s->fd);
    unlink(s->path);
}

/* --- the other side -------------------------------------------------------------------------- */

/* Writes the error as a sentence that says what to do; returns r. */
static int explain_failure(int r, const char *path, char *why, size_t cap)
{
    if (r == PV_ERR_NOT_FOUND)
        snprintf(why, cap, "no coordinator runs with this state directory (%.200s): %s", path,
                 PV_DO_STR(start_coordinator));
    else
        snprintf(why, cap, "%.200s: %s", path,
                 r == -EACCES ? PV_STR("not permitted: %s", PV_DO_STR(ask_as_owner))
                 : r == PV_ERR_NO_SPACE
                     ? PV_STR("the path is too long for a socket: %s", PV_DO_STR(shorter_state))
                 : r == PV_ERR_TIMEOUT
                     ? PV_STR("the coordinator does not answer: %s", PV_DO_STR(restart_hung))
                 : r == PV_ERR_MALFORMED ? "the answer is not understood: is it of this version?"
                                         : pv_strstatus(r));
    return r;
}

/* The socket is new, so what it takes at once is more than the longest request. */
static int write_request(int fd, const json_t *request)
{
    char text[PV_CTLSOCK_REQUEST_MAX];
    size_t len = json_dumpb(request, text, sizeof(text) - 1, JSON_COMPACT), n = 0;
    if (len == 0 || len >= sizeof(text))
        return PV_ERR_LIMIT;
    text[len++] = '\n';
    int r = pv_stream_write(fd, pv_view(text, len), &n);
    return r == PV_OK && n < len ? -EIO : r;
}

/* Reads to the end, in a buffer that grows. */
static int read_answer(int fd, int patience_ms, json_t **ret_doc)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    size_t len = 0, cap = 0;
    char *buf = NULL;
    int r = PV_OK;
    while (r == PV_OK) {
        size_t n = 0;
        if (len == cap) {
            cap = cap == 0 ? 65536 : 2 * cap;
            char *more = cap > ANSWER_MAX ? NULL : realloc(buf, cap);
            if (more == NULL) {
                r = PV_ERR_NOMEM;
                break;
            }
            buf = more;
        }
        r = poll(&p, 1, patience_ms) == 1 ? pv_stream_read(fd, buf + len, cap - len, &n)
                                          : PV_ERR_TIMEOUT;
        len += r == PV_OK ? n : 0;
    }
    if (r == PV_ERR_CLOSED) {
        *ret_doc = json_loadb(buf, len, 0, NULL);
        /* Root reads what a process without rights wrote. */
        r = *ret_doc == NULL ? PV_ERR_MALFORMED : pv_harmless_json(*ret_doc);
        if (r < 0) {
            json_decref(*ret_doc);
            *ret_doc = NULL;
        }
    }
    free(buf);
    return r;
}

int pv_ctlsock_ask(const char *state, const json_t *request, json_t **ret_doc, char *ret_why,
                   size_t cap)
{
    char path[PATH_MAX];
    int fd = -1;
    int r = socket_path(state, request == NULL, path);
    if (r == PV_OK)
        r = pv_unix_connect(path, &fd);
    if (r == PV_OK) {
        r = request == NULL ? PV_OK : write_request(fd, request);
        if (r == PV_OK)
            r = read_answer(fd, request == NULL ? GREETED_MS : PATIENCE_MS, ret_doc);
        close(fd);
    }
    return r == PV_OK ? r : explain_failure(r, path, ret_why, cap);
}
