/* SPDX-License-Identifier: MIT */
/* asked.c - passes a browser's request on to p2pvpnd, and the lines of the reply back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/ct.h"
#include "proto/local/ctlapi_request.h"
#include "sys/net/unixsock.h"
#include "web/server_int.h"

#define ANSWER "{\"id\":1,\"ok\":" /* so an answer begins, and no event (PROTOCOL-LOCAL) */

/* The commands of the page. Those that take keys or tokens of a network, or a descriptor, and those
 * by which this machine enters or leaves one, are for p2pvpnctl. An invite's token and a guest's
 * key are for whoever made them. p2pvpnd decides by the user which of them are granted. */
static const bool allowed[PV_CTLAPI_N_CMDS] = {
    [PV_CTLAPI_STATS] = true,        [PV_CTLAPI_VERSION] = true,
    [PV_CTLAPI_STATUS] = true,       [PV_CTLAPI_PEERS] = true,
    [PV_CTLAPI_IP] = true,           [PV_CTLAPI_PING] = true,
    [PV_CTLAPI_WHY] = true,          [PV_CTLAPI_TRACE] = true,
    [PV_CTLAPI_WATCH] = true,        [PV_CTLAPI_UP] = true,
    [PV_CTLAPI_DOWN] = true,         [PV_CTLAPI_SEND] = true,
    [PV_CTLAPI_INBOX] = true,        [PV_CTLAPI_READ] = true,
    [PV_CTLAPI_HISTORY] = true,      [PV_CTLAPI_MUTE] = true,
    [PV_CTLAPI_UNMUTE] = true,       [PV_CTLAPI_MUTED] = true,
    [PV_CTLAPI_FILES] = true,        [PV_CTLAPI_FILE_ACCEPT] = true,
    [PV_CTLAPI_FILE_STOP] = true,    [PV_CTLAPI_FILE_GET] = true,
    [PV_CTLAPI_FILE_SAVED] = true,   [PV_CTLAPI_ROOM_CREATE] = true,
    [PV_CTLAPI_ROOM_INVITE] = true,  [PV_CTLAPI_ROOM_ACCEPT] = true,
    [PV_CTLAPI_ROOM_LEAVE] = true,   [PV_CTLAPI_ROOM_LIST] = true,
    [PV_CTLAPI_ROOM_MEMBERS] = true, [PV_CTLAPI_INVITE] = true,
    [PV_CTLAPI_INVITE_LIST] = true,  [PV_CTLAPI_INVITE_REVOKE] = true,
    [PV_CTLAPI_ADMIT] = true,        [PV_CTLAPI_DENY] = true,
    [PV_CTLAPI_REMOVE] = true,       [PV_CTLAPI_EXPORT] = true,
    [PV_CTLAPI_TAG] = true,          [PV_CTLAPI_UNTAG] = true,
    [PV_CTLAPI_RULES] = true,        [PV_CTLAPI_RULE_ADD] = true,
    [PV_CTLAPI_RULE_REMOVE] = true,  [PV_CTLAPI_RULES_DEFAULT] = true,
    [PV_CTLAPI_CAN] = true,          [PV_CTLAPI_ROUTES] = true,
    [PV_CTLAPI_ROUTE_ALLOW] = true,  [PV_CTLAPI_ROUTE_DENY] = true,
    [PV_CTLAPI_ROUTE_USE] = true,    [PV_CTLAPI_EXIT_USE] = true,
    [PV_CTLAPI_EXIT_OFF] = true,     [PV_CTLAPI_COORDINATORS] = true,
};

/* --- the list ------------------------------------------------------------------------------ */

static void list_add(struct asked *a)
{
    struct pv_web *w = a->web;
    a->prev = w->last;
    *(w->last == NULL ? &w->first : &w->last->next) = a;
    w->last = a;
    w->n_asked++;
}

static void list_remove(struct asked *a)
{
    struct pv_web *w = a->web;
    *(a->prev == NULL ? &w->first : &a->prev->next) = a->next;
    *(a->next == NULL ? &w->last : &a->next->prev) = a->prev;
    w->n_asked--;
}

static void wake(struct asked *a)
{
    if (!a->suspended)
        return;
    a->suspended = false;
    if (a->watch != NULL)
        pv_watch_set(a->watch, 0);
    MHD_resume_connection(a->conn);
}

static void suspend(struct asked *a)
{
    a->suspended = true;
    MHD_suspend_connection(a->conn);
}

void asked_wake_all(struct pv_web *w)
{
    for (struct asked *a = w->first; a != NULL; a = a->next)
        wake(a);
}

void asked_free(struct asked *a)
{
    if (a->state != ASKED_READING)
        list_remove(a);
    pv_watch_free(a->watch);
    if (a->fd >= 0)
        close(a->fd);
    if (a->passed >= 0)
        close(a->passed);
    if (a->body != NULL)
        pv_wipe(a->body, a->n_body);
    free(a->body);
    free(a);
}

/* A session that another browser took, or that nobody used for a day, takes its answers with it. */
pv_ns asked_beat(struct pv_web *w, pv_ns now)
{
    pv_ns next = PV_NEVER;
    for (struct asked *a = w->first; a != NULL; a = a->next) {
        if (a->state != ASKED_TALKING || !a->suspended || a->what != 0)
            continue;
        if (!pv_weblogin_goes_on(&w->login, a->session, now)) {
            a->done = true;
            wake(a);
        } else if (now >= a->since + PV_WEB_BEAT) {
            a->beat = true;
            wake(a);
        } else {
            next = pv_min_ns(next, a->since + PV_WEB_BEAT);
        }
    }
    return next;
}

/* --- files that come ----------------------------------------------------------------------- */

static size_t count_files(const struct pv_web *w)
{
    size_t n = 0;
    for (const struct asked *a = w->first; a != NULL; a = a->next)
        n += a->sends_file;
    return n;
}

static enum MHD_Result ask_for_place(struct asked *a)
{
    static const char want = PV_WEBLINK_FILE;
    size_t n;
    if (pv_unix_write(a->web->link, pv_view(&want, 1), -1, &n) < 0)
        return MHD_NO;
    a->state = ASKED_STORING;
    list_add(a);
    suspend(a); /* nothing of the piece was taken, so that it comes again */
    return MHD_YES;
}

enum MHD_Result asked_store(struct asked *a, const char *data, size_t *len)
{
    bool full = a->n_file + *len > PV_WEB_FILE_MAX;
    if (a->state == ASKED_READING && !full && count_files(a->web) < PV_WEB_FILES &&
        a->web->n_asked < PV_WEB_REQUESTS)
        return ask_for_place(a);
    ssize_t n = full || a->passed < 0 ? -1 : write(a->passed, data, *len);
    if (n > 0) {
        a->n_file += (uint64_t)n;
        *len -= (size_t)n;
        return MHD_YES;
    }
    a->status = full ? MHD_HTTP_CONTENT_TOO_LARGE : MHD_HTTP_INSUFFICIENT_STORAGE;
    *len = 0;
    return MHD_YES;
}

void asked_place(struct pv_web *w, int fd)
{
    struct asked *a = w->first;
    while (a != NULL && (a->state != ASKED_STORING || !a->suspended))
        a = a->next;
    if (a != NULL) {
        a->passed = fd;
        wake(a);
    } else if (fd >= 0) {
        close(fd);
    }
}

struct offers {
    FILE *lines;
    const char *name, *transfer;
    uint64_t n;
    bool failed;
};

/* The request that goes with the file, which p2pvpnctl send-file would have written. */
static enum MHD_Result add_offer(void *ctx, enum MHD_ValueKind kind, const char *key,
                                 const char *peer)
{
    struct offers *o = ctx;
    struct pv_ctlapi_request req;
    if (strcmp(key, "peer") != 0)
        return MHD_YES;
    pv_ctlapi_request_init(&req, PV_CTLAPI_FILE_SEND, ++o->n);
    bool fits = peer != NULL && strlen(peer) < sizeof(req.peer) &&
                strlen(o->transfer) < sizeof(req.transfer) && o->n <= PV_WEB_OFFERS;
    if (fits) {
        memcpy(req.peer, peer, strlen(peer) + 1);
        memcpy(req.transfer, o->transfer, strlen(o->transfer) + 1);
        req.text = strdup(o->name);
    }
    char *line = req.text == NULL ? NULL : pv_ctlapi_request_write(&req);
    o->failed = line == NULL || fputs(line, o->lines) < 0;
    free(line);
    pv_ctlapi_request_done(&req);
    return o->failed ? MHD_NO : MHD_YES;
}

/* One for each peer: of a room's file those who are there, and the id of the line that says so. */
static char *write_offers(const struct asked *a)
{
    char *lines = NULL;
    size_t len = 0;
    const char *transfer = MHD_lookup_connection_value(a->conn, MHD_GET_ARGUMENT_KIND, "transfer");
    struct offers o = {
        .lines = open_memstream(&lines, &len),
        .name = MHD_lookup_connection_value(a->conn, MHD_GET_ARGUMENT_KIND, "name"),
        .transfer = transfer == NULL ? "" : transfer,
    };
    if (o.lines == NULL)
        return NULL;
    if (o.name != NULL)
        (void)MHD_get_connection_values(a->conn, MHD_GET_ARGUMENT_KIND, add_offer, &o);
    bool whole = fclose(o.lines) == 0 && o.n > 0 && !o.failed;
    if (whole)
        return lines;
    free(lines);
    return NULL;
}

/* --- to the command ------------------------------------------------------------------------ */

/* The questions that the command answers, in these words: all of a coordinator's page, and of a
 * node's what p2pvpnd does not know. */
static bool is_question(struct asked *a)
{
    static const struct {
        bool coordinator;
        char what;
        const char *body;
    } questions[] = {
        {true, PV_WEBLINK_ASK_STATUS, "{\"id\":1,\"cmd\":\"status\"}"},
        {true, PV_WEBLINK_ASK_NETWORKS, "{\"id\":1,\"cmd\":\"networks\"}"},
        {true, PV_WEBLINK_ASK_HOMES, "{\"id\":1,\"cmd\":\"homes\"}"},
        {false, PV_WEBLINK_ASK_DOCTOR, "{\"id\":1,\"cmd\":\"doctor\"}"},
        {false, PV_WEBLINK_ASK_LOG, "{\"id\":1,\"cmd\":\"log\"}"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(questions) && a->what == 0; i++)
        if (questions[i].coordinator == a->web->coordinator &&
            a->n_body == strlen(questions[i].body) &&
            memcmp(a->body, questions[i].body, a->n_body) == 0)
            a->what = questions[i].what;
    return a->what != 0;
}

/* --- to p2pvpnd ---------------------------------------------------------------------------- */

/* The page's words as p2pvpnctl would have written them: what the parser did not know is gone. */
static enum MHD_Result rewrite(struct asked *a, char **ret_line)
{
    struct pv_ctlapi_request req;
    char why[PV_CTLAPI_ERROR_BUF];
    uint64_t id;
    int r = pv_ctlapi_request_parse(pv_view(a->body, a->n_body), &req, &id, why);
    *ret_line = NULL;
    if (r < 0)
        return web_refuse(a->conn, MHD_HTTP_BAD_REQUEST, PV_CTLAPI_USAGE, why);
    if (!allowed[req.cmd]) {
        pv_ctlapi_request_done(&req);
        return web_refuse(a->conn, MHD_HTTP_FORBIDDEN, PV_CTLAPI_PERMISSION,
                          "this is not for the page: use p2pvpnctl");
    }
    a->gets_file = req.cmd == PV_CTLAPI_FILE_GET;
    req.id = 1;
    *ret_line = pv_ctlapi_request_write(&req);
    pv_ctlapi_request_done(&req);
    return *ret_line == NULL ? MHD_NO : MHD_YES;
}

/* Waits for a connection to p2pvpnd, which p2pvpnctl makes; line: what is said there. */
static enum MHD_Result ask_for_connection(struct asked *a, char *line)
{
    const char want[2] = {PV_WEBLINK_CONTROL, a->what};
    size_t n;
    if (a->body != NULL)
        pv_wipe(a->body, a->n_body);
    free(a->body);
    a->body = line;
    a->n_body = strlen(line);
    if (pv_unix_write(a->web->link, pv_view(want, a->what == 0 ? 1 : 2), -1, &n) < 0)
        return MHD_NO;
    if (a->state == ASKED_READING)
        list_add(a);
    a->state = ASKED_WAITING;
    suspend(a);
    return MHD_YES;
}

/* The command has asked already, where a connection comes with an answer. */
static enum MHD_Result say_nothing(char **ret_line)
{
    *ret_line = strdup("");
    return *ret_line == NULL ? MHD_NO : MHD_YES;
}

static enum MHD_Result ask_request(struct asked *a)
{
    char *line = NULL;
    if (a->web->n_asked >= PV_WEB_REQUESTS)
        return web_refuse(a->conn, MHD_HTTP_SERVICE_UNAVAILABLE, PV_CTLAPI_FAILED,
                          "too many requests at once: close other pages, or wait");
    enum MHD_Result result = is_question(a)        ? say_nothing(&line)
                             : a->web->coordinator ? web_refuse(a->conn, MHD_HTTP_BAD_REQUEST,
                                                                PV_CTLAPI_USAGE, "no such question")
                                                   : rewrite(a, &line);
    return line == NULL ? result : ask_for_connection(a, line);
}

/* A file of nothing has no place. */
static enum MHD_Result offer_file(struct asked *a)
{
    char *line = a->passed < 0 ? NULL : write_offers(a);
    return line != NULL ? ask_for_connection(a, line)
                        : web_refuse(a->conn, MHD_HTTP_BAD_REQUEST, PV_CTLAPI_USAGE,
                                     "no peer, no name, or an empty file");
}

/* --- and back ------------------------------------------------------------------------------ */

/* How much of what came belongs to the replies: up to the end of the answer; of a coordinator all.
 */
static size_t take(struct asked *a, const char *text, size_t n)
{
    for (size_t i = 0; i < n && a->what == 0; i++) {
        bool is_answer =
            a->n_start >= strlen(ANSWER) && strncmp(a->start, ANSWER, strlen(ANSWER)) == 0;
        if (text[i] == '\n' && is_answer && !a->sends_file) {
            a->done = true;
            return i + 1;
        }
        if (text[i] == '\n')
            a->n_start = 0;
        else if (a->n_start < sizeof(a->start))
            a->start[a->n_start++] = text[i];
    }
    return n;
}

static ssize_t on_wanted(void *ctx, uint64_t pos, char *buf, size_t cap)
{
    struct asked *a = ctx;
    size_t n = 0;
    int passed = -1;
    if (a->done || cap == 0)
        return MHD_CONTENT_READER_END_OF_STREAM;
    int r = pv_unix_read(a->fd, buf, cap, &n, &passed);
    if (passed >= 0)
        close(passed);
    if (r == PV_OK) {
        a->beat = false;
        a->since = a->web->now;
        return (ssize_t)take(a, buf, n);
    }
    if (r != PV_ERR_AGAIN) /* without an answer: p2pvpnd has gone, and the page sees it by that */
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (a->beat && a->n_start == 0) {
        a->beat = false;
        a->since = a->web->now;
        buf[0] = '\n';
        return 1;
    }
    suspend(a);
    pv_watch_set(a->watch, PV_LOOP_READ);
    return 0;
}

static void on_readable(void *ctx, unsigned ready, pv_ns now)
{
    wake(ctx);
}

void asked_connected(struct pv_web *w, int fd, enum pv_ctlapi_code code)
{
    struct asked *a = w->first;
    while (a != NULL && a->state != ASKED_WAITING)
        a = a->next;
    if (a == NULL) {
        if (fd >= 0)
            close(fd);
        return;
    }
    a->fd = fd;
    a->code = code;
    a->since = w->now;
    a->state = ASKED_TALKING;
    wake(a);
}

/* The first thing on a connection: the socket takes it as a whole, or it is broken. A file goes
 * along with each offer of it. */
static bool say(struct asked *a)
{
    size_t at = 0, n = 0;
    if (a->fd < 0 || pv_watch_new(&a->watch, a->web->loop, a->fd, 0, on_readable, a) < 0)
        return false;
    while (at < a->n_body) {
        const char *line = a->body + at, *end = memchr(line, '\n', a->n_body - at);
        size_t len = end == NULL ? a->n_body - at : (size_t)(end - line) + 1;
        if (pv_unix_write(a->fd, pv_view(line, len), a->passed, &n) < 0 || n < len)
            return false;
        at += len;
    }
    return true;
}

/* The answer is here: the file, or why it is not given. Its name is the page's business. */
static enum MHD_Result give_file(struct asked *a, size_t len)
{
    struct stat st;
    if (a->passed < 0 || fstat(a->passed, &st) < 0 || !S_ISREG(st.st_mode))
        return web_send(a->conn, MHD_HTTP_OK,
                        MHD_create_response_from_buffer(len, a->body, MHD_RESPMEM_MUST_COPY),
                        "application/x-ndjson");
    struct MHD_Response *response = MHD_create_response_from_fd64((uint64_t)st.st_size, a->passed);
    if (response != NULL)
        a->passed = -1; /* it closes it */
    return web_send(a->conn, MHD_HTTP_OK, response, "application/octet-stream");
}

/* Waits for the answer, which is short and the only line, and for what comes with it. */
static enum MHD_Result get_file(struct asked *a)
{
    size_t n = 0;
    int passed = -1;
    int r = pv_unix_read(a->fd, a->body + a->n_body, PV_CTLAPI_LINE_MAX - a->n_body, &n, &passed);
    if (passed >= 0) {
        if (a->passed >= 0)
            close(a->passed);
        a->passed = passed;
    }
    a->n_body += r == PV_OK ? n : 0;
    const char *end = memchr(a->body, '\n', a->n_body);
    if (end != NULL)
        return give_file(a, (size_t)(end - a->body) + 1);
    if ((r < 0 && r != PV_ERR_AGAIN) || a->n_body == PV_CTLAPI_LINE_MAX)
        return web_refuse(a->conn, MHD_HTTP_BAD_GATEWAY, PV_CTLAPI_NOT_RUNNING,
                          "p2pvpnd has just ended");
    suspend(a);
    pv_watch_set(a->watch, PV_LOOP_READ);
    return MHD_YES;
}

static enum MHD_Result begin_file(struct asked *a)
{
    char *answer = malloc(PV_CTLAPI_LINE_MAX);
    if (answer == NULL)
        return MHD_NO;
    free(a->body);
    a->body = answer;
    a->n_body = 0;
    a->state = ASKED_GETTING;
    return get_file(a);
}

enum MHD_Result asked_go_on(struct asked *a)
{
    if (a->sends_file && a->state < ASKED_WAITING)
        return offer_file(a);
    if (a->state == ASKED_READING)
        return ask_request(a);
    if (a->state == ASKED_GETTING)
        return get_file(a);
    if (!say(a))
        return web_refuse(a->conn, MHD_HTTP_BAD_GATEWAY,
                          a->code != 0 ? a->code : PV_CTLAPI_NOT_RUNNING,
                          a->what != 0 ? "the command of this page has too much to do: wait"
                          : a->code == PV_CTLAPI_PERMISSION
                              ? "p2pvpnd does not let this user in: see p2pvpnctl doctor"
                              : "p2pvpnd does not run, or has just ended");
    if (a->gets_file)
        return begin_file(a);
    return web_send(a->conn, MHD_HTTP_OK,
                    MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16384, on_wanted, a, NULL),
                    "application/x-ndjson");
}
