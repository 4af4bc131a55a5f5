/* SPDX-License-Identifier: MIT */
/* Connections to p2pvpnd and p2pvpn-chatd: lines out and in, with deadlines, and descriptors that
 * go along. */
#include "ctl/lib/client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crypto/ct.h"
#include "proto/local/chatpaths.h"
#include "sys/net/unixsock.h"
#include "sys/proc/clock.h"

enum {
    READ_AT_ONCE = 65536, /* bytes */
};

static int open_one(struct pv_client *c, const char *path)
{
    struct pv_unix_cred cred;
    int r = pv_unix_connect(path, &c->fd);
    if (r == PV_OK && c->own)
        r = pv_unix_peer(c->fd, &cred) == PV_OK && cred.uid == geteuid() ? PV_OK : -EPERM;
    if (r < 0 && c->fd >= 0) {
        close(c->fd);
        c->fd = -1;
    }
    return r;
}

int pv_client_open(struct pv_client *c, const char *path)
{
    *c = (struct pv_client){.fd = -1, .exact = c->exact, .own = c->own};
    snprintf(c->path, sizeof(c->path), "%s", path);
    return open_one(c, path);
}

static int add_to(int epoll, int fd)
{
    struct epoll_event ev = {.events = EPOLLIN};
    return fd >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : PV_OK;
}

/* p2pvpnd has started it, or a unit. */
static int open_chat_end(const char *path, struct pv_client *chat)
{
    static const enum pv_chatpath places[] = {PV_CHATPATH_CONTROL, PV_CHATPATH_UNIT};
    char place[PV_CLIENT_PATH];
    int r = PV_ERR_NOT_FOUND;
    for (size_t i = 0; i < PV_ARRAY_LEN(places) && r == PV_ERR_NOT_FOUND; i++)
        if (pv_chatpath(path, places[i], place, sizeof(place)) == PV_OK)
            r = open_one(chat, place);
    return r;
}

int pv_client_connect_chat(const char *path, int *ret_fd)
{
    struct pv_client chat = {.fd = -1};
    int r = open_chat_end(path, &chat);
    *ret_fd = chat.fd;
    return r;
}

int pv_client_open_chat(struct pv_client *c, const char *path)
{
    if (c->chat != NULL)
        return PV_OK;
    if (c->path[0] == '\0')
        snprintf(c->path, sizeof(c->path), "%s", path);
    struct pv_client *chat = calloc(1, sizeof(*chat));
    if (chat == NULL)
        return PV_ERR_NOMEM;
    *chat = (struct pv_client){.fd = -1, .exact = c->exact, .own = c->own};
    int r = open_chat_end(c->path, chat);
    c->both = r == PV_OK ? epoll_create1(EPOLL_CLOEXEC) : -1;
    if (r == PV_OK)
        r = c->both < 0 ? -errno : add_to(c->both, c->fd);
    if (r == PV_OK)
        r = add_to(c->both, chat->fd);
    if (r == PV_OK) {
        c->chat = chat;
        return PV_OK;
    }
    if (chat->fd >= 0)
        close(chat->fd);
    if (c->both >= 0)
        close(c->both);
    c->both = -1;
    free(chat);
    return r;
}

int pv_client_poll_fd(const struct pv_client *c)
{
    return c->chat != NULL ? c->both : c->fd;
}

void pv_client_close(struct pv_client *c)
{
    if (c->chat != NULL) {
        pv_client_close(c->chat);
        free(c->chat);
        close(c->both);
    }
    if (c->fd >= 0)
        close(c->fd);
    if (c->has_passed)
        close(c->passed);
    if (c->in != NULL)
        pv_wipe(c->in, c->in_cap); /* replies may carry tokens */
    free(c->in);
    *c = (struct pv_client){.fd = -1, .exact = c->exact, .own = c->own};
}

/* Waits until the socket is ready. PV_ERR_TIMEOUT. */
static int wait_for(const struct pv_client *c, short events, pv_ns deadline)
{
    struct pollfd p = {.fd = c->fd, .events = events};
    for (;;) {
        /* A deadline of 0 only looks, without reading the clock. */
        pv_ns now = deadline == PV_NEVER || deadline == 0 ? 0 : pv_clock_now();
        int n = poll(&p, 1, pv_poll_ms(deadline, now));
        if (n > 0)
            return PV_OK;
        if (n == 0 && deadline <= now)
            return PV_ERR_TIMEOUT;
        if (n < 0 && errno != EINTR)
            return -errno;
    }
}

int pv_client_take_fd(struct pv_client *c)
{
    if (c->chat != NULL && c->chat->has_passed)
        return pv_client_take_fd(c->chat);
    int fd = c->has_passed ? c->passed : -1;
    c->has_passed = false;
    return fd;
}

int pv_client_send(struct pv_client *c, const struct pv_ctlapi_request *req, pv_ns deadline)
{
    return pv_client_send_fd(c, req, -1, deadline);
}

static int send_one(const struct pv_client *c, const struct pv_ctlapi_request *req, int pass,
                    pv_ns deadline)
{
    char *line = pv_ctlapi_request_write(req);
    if (line == NULL)
        return PV_ERR_NOMEM;
    size_t len = strlen(line), sent = 0;
    int r = len > PV_CTLAPI_LINE_MAX ? PV_ERR_LIMIT : PV_OK;
    while (r == PV_OK && sent < len) {
        size_t n = 0;
        /* The descriptor goes out with the first byte only: the daemon would take a second copy
         * for another file. */
        r = pv_unix_write(c->fd, pv_view(line + sent, len - sent), sent == 0 ? pass : -1, &n);
        sent += n;
        if (r == PV_ERR_AGAIN)
            r = wait_for(c, POLLOUT, deadline);
        else if (r == -EPIPE || r == -ECONNRESET)
            r = PV_ERR_CLOSED;
    }
    pv_wipe(line, len); /* it may hold a token */
    free(line);
    return r;
}

int pv_client_send_fd(struct pv_client *c, const struct pv_ctlapi_request *req, int pass,
                      pv_ns deadline)
{
    if (!pv_ctlapi_request_is_chat(req))
        return send_one(c, req, pass, deadline);
    int r = pv_client_open_chat(c, c->path);
    if (r == PV_OK)
        r = send_one(c->chat, req, pass, deadline);
    /* Who waits to be admitted is p2pvpnd's to tell. */
    if (r == PV_OK && req->cmd == PV_CTLAPI_WATCH && c->fd >= 0)
        r = send_one(c, req, -1, deadline);
    return r;
}

/* Makes room behind what is there. Lines that were handed out are overwritten; a line longer than
 * p2pvpnd sends means that somebody else answers. */
static int make_room(struct pv_client *c)
{
    if (c->in_off > 0) {
        memmove(c->in, c->in + c->in_off, c->in_len - c->in_off);
        c->in_len -= c->in_off;
        c->in_off = 0;
    }
    /* A reply is parsed in place, so it has to lie in one piece. */
    if (c->in_cap - c->in_len >= READ_AT_ONCE)
        return PV_OK;
    if (c->in_len >= PV_CTLAPI_REPLY_MAX)
        return PV_ERR_LIMIT;
    size_t cap = c->in_cap * 2 + READ_AT_ONCE;
    char *in = realloc(c->in, cap);
    if (in == NULL)
        return PV_ERR_NOMEM;
    c->in = in;
    c->in_cap = cap;
    return PV_OK;
}

/* Reads once. A descriptor comes with the first byte of the reply it belongs to; only the last one
 * is kept, since no request asks for two. */
static int read_more(struct pv_client *c)
{
    int r = make_room(c);
    if (r < 0)
        return r;
    size_t n = 0;
    int passed = -1;
    r = pv_unix_read(c->fd, c->in + c->in_len, c->in_cap - c->in_len, &n, &passed);
    c->in_len += n;
    if (passed >= 0) {
        /* A descriptor that nobody took would be open for the rest of the process. */
        if (c->has_passed)
            close(c->passed);
        c->has_passed = true;
        c->passed = passed;
    }
    if (r == -ECONNRESET)
        return PV_ERR_CLOSED;
    return r == PV_ERR_AGAIN ? PV_OK : r;
}

static int look_one(struct pv_client *c, pv_ns deadline, bool *ret_sent_away)
{
    static const char line[] = PV_CTLAPI_BUSY_LINE;
    for (;;) {
        const size_t have = c->in_len - c->in_off, want = sizeof(line) - 1;
        *ret_sent_away =
            have > 0 && memcmp(c->in + c->in_off, line, have < want ? have : want) == 0;
        if (have > 0 && (have >= want || !*ret_sent_away))
            return PV_OK;
        int r = wait_for(c, POLLIN, deadline);
        if (r == PV_OK)
            r = read_more(c);
        if (r < 0)
            return r;
    }
}

static int next_one(struct pv_client *c, pv_ns deadline, struct pv_ctlapi_reply *ret_reply)
{
    size_t looked =
        0; /* bytes known to have no newline: a long reply is searched once, not n times */
    for (;;) {
        /* read_more() may move the buffer, so the start is looked up in each round. */
        const char *start = c->in == NULL ? "" : c->in + c->in_off;
        size_t have = c->in_len - c->in_off;
        const char *nl = have > looked ? memchr(start + looked, '\n', have - looked) : NULL;
        if (nl != NULL) {
            size_t len = (size_t)(nl - start);
            c->in_off += len + 1;
            return pv_ctlapi_reply_parse(pv_view(start, len), c->exact, ret_reply);
        }
        looked = have;
        int r = wait_for(c, POLLIN, deadline);
        if (r == PV_OK)
            r = read_more(c);
        if (r < 0)
            return r;
    }
}

/* --- both ----------------------------------------------------------------------------------- */

/* Waits until one of the two is readable. */
static int wait_for_either(const struct pv_client *c, pv_ns deadline)
{
    const struct pv_client both = {.fd = c->both};
    return wait_for(&both, POLLIN, deadline);
}

int pv_client_look(struct pv_client *c, pv_ns deadline, bool *ret_sent_away)
{
    if (c->chat == NULL)
        return look_one(c, deadline, ret_sent_away);
    for (;;) {
        int r = look_one(c->chat, 0, ret_sent_away);
        if (r == PV_ERR_TIMEOUT && c->fd >= 0)
            r = look_one(c, 0, ret_sent_away);
        if (r == PV_ERR_TIMEOUT)
            r = wait_for_either(c, deadline);
        else
            return r;
        if (r < 0)
            return r;
    }
}

int pv_client_next(struct pv_client *c, pv_ns deadline, struct pv_ctlapi_reply *ret_reply)
{
    if (c->chat == NULL)
        return next_one(c, deadline, ret_reply);
    for (;;) {
        int r = next_one(c->chat, 0, ret_reply);
        if (r == PV_ERR_TIMEOUT && c->fd >= 0)
            r = next_one(c, 0, ret_reply);
        if (r != PV_ERR_TIMEOUT)
            return r;
        r = wait_for_either(c, deadline);
        if (r < 0)
            return r;
    }
}

int pv_client_ask(const char *socket, bool own, enum pv_ctlapi_cmd cmd, pv_ns patience,
                  json_t **ret_body)
{
    struct pv_ctlapi_request req = pv_ctlapi_request_of(cmd);
    return pv_client_ask_for(socket, own, &req, patience, ret_body);
}

int pv_client_ask_for(const char *socket, bool own, struct pv_ctlapi_request *req, pv_ns patience,
                      json_t **ret_body)
{
    struct pv_client client = {.fd = -1, .own = own};
    struct pv_ctlapi_reply reply;
    pv_ns deadline = pv_clock_now() + patience;
    int r = pv_client_open(&client, socket);
    if (r < 0)
        return r;
    req->id = 1;
    r = pv_client_send(&client, req, deadline);
    if (r == PV_OK)
        r = pv_client_next(&client, deadline, &reply);
    if (r == PV_OK) {
        r = reply.ok && !reply.is_event ? PV_OK : PV_ERR_MALFORMED;
        if (r == PV_OK)
            *ret_body = json_incref(reply.body);
        pv_ctlapi_reply_done(&reply);
    }
    pv_client_close(&client);
    return r;
}
