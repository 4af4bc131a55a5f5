/* SPDX-License-Identifier: MIT */
/* server.c - connections, the page's files, sessions; a browser's requests, passed on to p2pvpnd,
 * and the lines of the replies back. */
#include "web/server.h"

#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/ct.h"
#include "proto/local/ctlapi.h"
#include "proto/local/ctlapi_request.h"
#include "proto/local/ctlcmd.h"
#include "proto/local/weblogin.h"
#include "sys/net/unixsock.h"
#include "sys/proc/clock.h"
#include "sys/proc/entropy.h"
#include "web/chat.js.h"
#include "web/coordinator.html.h"
#include "web/coordinator.js.h"
#include "web/doctor.js.h"
#include "web/health.js.h"
#include "web/index.html.h"
#include "web/main.js.h"
#include "web/map.js.h"
#include "web/member.js.h"
#include "web/net.js.h"
#include "web/network.js.h"
#include "web/phones.js.h"
#include "web/plot.js.h"
#include "web/qr.js.h"
#include "web/style.css.h"
#include "web/util.js.h"

enum asked_state {
    ASKED_READING,
    ASKED_STORING, /* a file that comes: waits for a place, or has it (passed) */
    ASKED_WAITING, /* for a connection to p2pvpnd; suspended */
    ASKED_TALKING,
    ASKED_GETTING, /* a file, which comes with the answer */
};

/* One request. In the list of those that wait or talk. */
struct asked {
    struct pv_web *web;
    struct MHD_Connection *conn;
    struct asked *next, *prev;
    enum asked_state state;
    uint64_t session; /* with it the answer ends */
    unsigned status;  /* how it was judged when its head had come */
    char *body;       /* n_body bytes of PV_CTLAPI_LINE_MAX; NULL: none came */
    size_t n_body;
    enum pv_ctlapi_code code; /* of p2pvpnctl, where it got no connection */
    char what;                /* PV_WEBLINK_ASK_: the command answers; 0: p2pvpnd, */
    bool chat;                /* or p2pvpn-chatd */
    int fd;                   /* to one of these; -1: none */
    struct pv_watch *watch;   /* of fd */
    bool gets_file;
    bool sends_file; /* the body is one, and p2pvpnd has it as long as the connection lasts */
    uint64_t n_file; /* bytes of it so far */
    int passed;      /* the file; -1: none */
    bool suspended, beat, done;
    pv_ns since;    /* when the last sign of life was given */
    char start[32]; /* of the line that is being passed on */
    size_t n_start; /* bytes of it that were seen, at most all of start */
};

/* A browser's connection. */
struct browser {
    int fd; /* MHD's; -1: no connection */
    pv_ns
        since; /* its request has to be whole PV_WEB_PATIENCE later; PV_NEVER: nothing has to be */
};

struct pv_web {
    struct MHD_Daemon *mhd;
    struct pv_loop *loop;
    bool coordinator; /* whose page it is, else a node's */
    int link;
    struct pv_watch *link_watch, *mhd_watch;
    struct pv_rng rng;
    struct pv_weblogin login;
    pv_ns now;
    struct asked *first, *last; /* those that wait, in the order in which they asked, or talk */
    size_t n_asked;
    struct browser browser[PV_WEB_CONNS];
};

#define KEY_FIELD "X-P2pvpn-Key"
/* The hash is that of the script in the head of the pages, which says the same in each. */
#define CSP                                                                             \
    "default-src 'none'; "                                                              \
    "script-src 'self' 'sha256-yvMiFgNpl//X/+ANVIhodRQ57bklUoTMFWVSUYQ/okc='; "         \
    "style-src 'self'; img-src 'self' data:; "                                          \
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " \
    "require-trusted-types-for 'script'; trusted-types 'none'"

enum {
    NODE = 1 << 0,
    COORDINATOR = 1 << 1,
};

static const struct file {
    unsigned pages; /* whose it belongs to */
    const char *path, *type, *text;
    size_t len;
} files[] = {
#define FILE_OF(pages, path, type, text)          \
    {                                             \
        pages, path, type, text, sizeof(text) - 1 \
    }
    FILE_OF(NODE, "/", "text/html; charset=utf-8", pv_index_html),
    FILE_OF(COORDINATOR, "/", "text/html; charset=utf-8", pv_coordinator_html),
    FILE_OF(NODE | COORDINATOR, "/style.css", "text/css; charset=utf-8", pv_style_css),
#define SCRIPT(pages, name) \
    FILE_OF(pages, "/" #name ".js", "text/javascript; charset=utf-8", pv_##name##_js)
    SCRIPT(NODE | COORDINATOR, util),
    SCRIPT(NODE | COORDINATOR, net),
    SCRIPT(NODE | COORDINATOR, plot),
    SCRIPT(COORDINATOR, coordinator),
    SCRIPT(NODE, main),
    SCRIPT(NODE, map),
    SCRIPT(NODE, member),
    SCRIPT(NODE, chat),
    SCRIPT(NODE, network),
    SCRIPT(NODE, doctor),
    SCRIPT(NODE, phones),
    SCRIPT(NODE, health),
    SCRIPT(NODE, qr),
};

/* --- answers ------------------------------------------------------------------------------- */

/* Sends with the fields that every answer has; response is used up, NULL: no memory. */
static enum MHD_Result web_send(struct MHD_Connection *conn, unsigned status,
                                struct MHD_Response *response, const char *type)
{
    static const char *const fields[][2] = {
        {"Cache-Control", "no-store"},
        {"Content-Security-Policy", CSP},
        {"Cross-Origin-Opener-Policy", "same-origin"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Referrer-Policy", "no-referrer"},
        {"X-Content-Type-Options", "nosniff"},
        {"X-Frame-Options", "DENY"},
    };
    if (response == NULL)
        return MHD_NO;
    enum MHD_Result r = MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    for (size_t i = 0; i < PV_ARRAY_LEN(fields) && r == MHD_YES; i++)
        r = MHD_add_response_header(response, fields[i][0], fields[i][1]);
    if (r == MHD_YES)
        r = MHD_queue_response(conn, status, response);
    MHD_destroy_response(response);
    return r;
}

/* An answer of the server's own: {"ok":false,"code":c,"error":text}. */
static enum MHD_Result web_refuse(struct MHD_Connection *conn, unsigned status,
                                  enum pv_ctlapi_code code, const char *text)
{
    size_t len = 0;
    json_t *body = pv_ctlapi_error(1, code, text);
    char *dump = body == NULL ? NULL : pv_ctlapi_dump(body, &len);
    json_decref(body);
    if (dump == NULL)
        return MHD_NO;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(len, dump, MHD_RESPMEM_MUST_FREE);
    if (response == NULL)
        free(dump);
    return web_send(conn, status, response, "application/json");
}

static const struct file *find_file(const struct pv_web *w, const char *path)
{
    unsigned page = w->coordinator ? COORDINATOR : NODE;
    for (size_t i = 0; i < PV_ARRAY_LEN(files); i++)
        if ((files[i].pages & page) != 0 && strcmp(files[i].path, path) == 0)
            return &files[i];
    return NULL;
}

/* --- a request of a browser, passed on to p2pvpnd -------------------------------------------- */

#define ANSWER "{\"id\":1,\"ok\":" /* so an answer begins, and no event (PROTOCOL-LOCAL) */

/* The commands of the page. Those that take keys or tokens of a network, or a descriptor, and those
 * by which this machine enters or leaves one, are for p2pvpnctl. An invite's token and a phone's
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

/* Goes on with all that wait, at the end. */
static void asked_wake_all(struct pv_web *w)
{
    for (struct asked *a = w->first; a != NULL; a = a->next)
        wake(a);
}

/* Frees it and what it has. */
static void asked_free(struct asked *a)
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

/* Gives signs of life that are due. Returns when the next one is. A session that another browser
 * took, or that nobody used for a day, takes its answers with it. */
static pv_ns asked_beat(struct pv_web *w, pv_ns now)
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

/* A piece of a file that comes; *len: what is not taken. */
static enum MHD_Result asked_store(struct asked *a, const char *data, size_t *len)
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

/* The place for a file; fd -1: there is none. */
static void asked_place(struct pv_web *w, int fd)
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
    const char *name, *transfer, *room;
    uint64_t n;
    bool failed;
};

/* The request that goes with the file, which p2pvpnctl send-file would have written. */
static enum MHD_Result add_offer(void *ctx, enum MHD_ValueKind kind, const char *key,
                                 const char *peer)
{
    struct offers *o = ctx;
    if (strcmp(key, "peer") != 0)
        return MHD_YES;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_FILE_SEND);
    req.id = ++o->n;
    bool fits = peer != NULL && strlen(peer) < sizeof(req.peer) &&
                strlen(o->transfer) < sizeof(req.u.file.transfer) &&
                strlen(o->room) < sizeof(req.u.file.room) && o->n <= PV_WEB_OFFERS;
    if (fits) {
        memcpy(req.peer, peer, strlen(peer) + 1);
        memcpy(req.u.file.transfer, o->transfer, strlen(o->transfer) + 1);
        memcpy(req.u.file.room, o->room, strlen(o->room) + 1);
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
    const char *room = MHD_lookup_connection_value(a->conn, MHD_GET_ARGUMENT_KIND, "room");
    struct offers o = {
        .lines = open_memstream(&lines, &len),
        .name = MHD_lookup_connection_value(a->conn, MHD_GET_ARGUMENT_KIND, "name"),
        .transfer = transfer == NULL ? "" : transfer,
        .room = room == NULL ? "" : room,
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
    a->chat = pv_ctlapi_request_is_chat(&req);
    req.id = 1;
    *ret_line = pv_ctlapi_request_write(&req);
    pv_ctlapi_request_done(&req);
    return *ret_line == NULL ? MHD_NO : MHD_YES;
}

/* Waits for a connection to p2pvpnd, which p2pvpnctl makes; line: what is said there. */
static enum MHD_Result ask_for_connection(struct asked *a, char *line)
{
    const char what = a->chat ? PV_WEBLINK_ASK_CHAT : a->what;
    const char want[2] = {PV_WEBLINK_CONTROL, what};
    size_t n;
    if (a->body != NULL)
        pv_wipe(a->body, a->n_body);
    free(a->body);
    a->body = line;
    a->n_body = strlen(line);
    if (pv_unix_write(a->web->link, pv_view(want, what == 0 ? 1 : 2), -1, &n) < 0)
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
    a->chat = true;
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

/* A connection came, or code says why none did: the one that asked first has it. fd is its own. */
static void asked_connected(struct pv_web *w, int fd, enum pv_ctlapi_code code)
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

/* The whole body is here, or (ASKED_TALKING) the connection to p2pvpnd is: goes on. */
static enum MHD_Result asked_go_on(struct asked *a)
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

/* --- sessions ------------------------------------------------------------------------------ */

int pv_web_offer(struct pv_web *w)
{
    char text[1 + PV_KEY_TEXT_BUF] = {PV_WEBLINK_TOKEN};
    size_t n;
    (void)pv_weblogin_token(&w->login, text + 1);
    int r = pv_unix_write(w->link, pv_view(text, 1 + PV_KEY_TEXT), -1, &n);
    pv_wipe(text, sizeof(text));
    return r;
}

/* Cookies of one host are sent to all its ports, so the name has ours. */
static void format_cookie(struct MHD_Connection *conn, const char *secret, char *dst, size_t cap)
{
    const char *host = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);
    const char *colon = host == NULL ? NULL : strrchr(host, ':');
    unsigned long port = colon == NULL ? 80 : strtoul(colon + 1, NULL, 10);
    snprintf(dst, cap, "p2pvpn-%lu=%s; Path=/; HttpOnly; SameSite=Strict", port % 65536, secret);
}

static enum MHD_Result enter(struct asked *a)
{
    struct pv_web *w = a->web;
    char cookie[PV_KEY_TEXT_BUF], key[PV_KEY_TEXT_BUF], field[160], body[96];
    int r = pv_weblogin_enter(&w->login, pv_view(a->body, a->n_body), &w->rng, w->now, cookie, key);
    if (r < 0)
        return web_refuse(a->conn, MHD_HTTP_FORBIDDEN, PV_CTLAPI_BAD_TOKEN,
                          "this link was used already, or is not of this page");
    format_cookie(a->conn, cookie, field, sizeof(field));
    snprintf(body, sizeof(body), "{\"ok\":true,\"key\":\"%s\"}", key);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(body), body, MHD_RESPMEM_MUST_COPY);
    if (response != NULL)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_SET_COOKIE, field);
    pv_wipe(cookie, sizeof(cookie));
    pv_wipe(key, sizeof(key));
    pv_wipe(field, sizeof(field));
    pv_wipe(body, sizeof(body));
    enum MHD_Result result = web_send(a->conn, MHD_HTTP_OK, response, "application/json");
    /* It fails only when the command has ended, and then this process ends, too. */
    (void)!pv_web_offer(w);
    return result;
}

/* --- requests ------------------------------------------------------------------------------ */

static const char *field_of(struct MHD_Connection *conn, const char *name)
{
    return MHD_lookup_connection_value(conn, MHD_HEADER_KIND, name);
}

/* The head of a request is enough to refuse it. */
static unsigned judge(struct pv_web *w, struct MHD_Connection *conn, const char *url,
                      const char *method, uint64_t *ret_session)
{
    bool reads = strcmp(method, MHD_HTTP_METHOD_GET) == 0;
    bool enters = strcmp(url, "/enter") == 0;
    const struct pv_weblogin_asked asked = {
        .host = field_of(conn, MHD_HTTP_HEADER_HOST),
        .origin = field_of(conn, MHD_HTTP_HEADER_ORIGIN),
        .cookie = field_of(conn, MHD_HTTP_HEADER_COOKIE),
        .key = field_of(conn, KEY_FIELD),
    };
    unsigned status = pv_weblogin_judge(&w->login,
                                        reads    ? PV_WEBLOGIN_PAGE
                                        : enters ? PV_WEBLOGIN_ENTER
                                                 : PV_WEBLOGIN_USE,
                                        &asked, w->now, ret_session);
    if (status != MHD_HTTP_OK)
        return status;
    if (reads)
        return find_file(w, url) != NULL ? MHD_HTTP_OK : MHD_HTTP_NOT_FOUND;
    if (strcmp(method, MHD_HTTP_METHOD_POST) != 0)
        return MHD_HTTP_METHOD_NOT_ALLOWED;
    bool known =
        enters || strcmp(url, "/api") == 0 || (strcmp(url, "/file") == 0 && !w->coordinator);
    return known ? MHD_HTTP_OK : MHD_HTTP_NOT_FOUND;
}

static const char *reason(unsigned status)
{
    switch (status) {
    case MHD_HTTP_UNAUTHORIZED:
        return "no session: open the link that the command web shows";
    case MHD_HTTP_NOT_FOUND:
        return "there is no such thing here";
    case MHD_HTTP_METHOD_NOT_ALLOWED:
        return "GET and POST only";
    case MHD_HTTP_INSUFFICIENT_STORAGE:
        return "no room for the file in /var/tmp, or too many at once";
    case MHD_HTTP_CONTENT_TOO_LARGE:
        return "the request is too long";
    default:
        return "not from this page: open it by 127.0.0.1 or localhost";
    }
}

static enum MHD_Result refuse(struct asked *a)
{
    return web_refuse(a->conn, a->status, PV_CTLAPI_PERMISSION, reason(a->status));
}

static struct asked *begin(struct pv_web *w, struct MHD_Connection *conn, const char *url,
                           const char *method)
{
    struct asked *a = calloc(1, sizeof(*a));
    if (a == NULL)
        return NULL;
    a->web = w;
    a->conn = conn;
    a->fd = a->passed = -1;
    a->status = judge(w, conn, url, method, &a->session);
    a->sends_file = a->status == MHD_HTTP_OK && strcmp(url, "/file") == 0;
    return a;
}

/* One byte less than p2pvpnd takes in a line, for the newline. */
static enum MHD_Result take_body(struct asked *a, const char *data, size_t *len)
{
    size_t n = *len;
    *len = 0;
    if (a->status != MHD_HTTP_OK)
        return MHD_YES;
    if (a->body == NULL && (a->body = malloc(PV_CTLAPI_LINE_MAX)) == NULL)
        return MHD_NO;
    if (n >= PV_CTLAPI_LINE_MAX - a->n_body) {
        a->status = MHD_HTTP_CONTENT_TOO_LARGE;
        return MHD_YES;
    }
    memcpy(a->body + a->n_body, data, n);
    a->n_body += n;
    return MHD_YES;
}

static struct browser *browser_of(struct MHD_Connection *conn)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info == NULL ? NULL : info->socket_context;
}

static enum MHD_Result mhd_on_request(void *ctx, struct MHD_Connection *conn, const char *url,
                                      const char *method, const char *version, const char *data,
                                      size_t *len, void **request)
{
    struct asked *a = *request;
    if (a == NULL) {
        *request = a = begin(ctx, conn, url, method);
        if (a == NULL)
            return MHD_NO;
        /* A body that nobody wants is not waited for. */
        return a->status == MHD_HTTP_OK ? MHD_YES : refuse(a);
    }
    struct browser *b = browser_of(conn);
    if (b != NULL && (*len == 0 || a->sends_file)) /* a file takes its time */
        b->since = PV_NEVER;
    if (*len > 0)
        return a->sends_file && a->status == MHD_HTTP_OK ? asked_store(a, data, len)
                                                         : take_body(a, data, len);
    if (a->status != MHD_HTTP_OK)
        return refuse(a);
    const struct file *file = strcmp(method, MHD_HTTP_METHOD_GET) == 0 ? find_file(ctx, url) : NULL;
    if (file != NULL)
        return web_send(conn, MHD_HTTP_OK,
                        MHD_create_response_from_buffer(file->len, (void *)(uintptr_t)file->text,
                                                        MHD_RESPMEM_PERSISTENT),
                        file->type);
    return strcmp(url, "/enter") == 0 ? enter(a) : asked_go_on(a);
}

static void on_completed(void *ctx, struct MHD_Connection *conn, void **request,
                         enum MHD_RequestTerminationCode code)
{
    struct pv_web *w = ctx;
    struct browser *b = browser_of(conn);
    if (b != NULL)
        b->since = w->now;
    if (*request != NULL)
        asked_free(*request);
    *request = NULL;
}

/* --- connections --------------------------------------------------------------------------- */

static void on_connection(void *ctx, struct MHD_Connection *conn, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct pv_web *w = ctx;
    struct browser *b = *socket_context;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (b != NULL)
            b->fd = -1;
        return;
    }
    for (b = w->browser; b < w->browser + PV_WEB_CONNS && b->fd >= 0; b++)
        continue;
    if (b == w->browser + PV_WEB_CONNS)
        return; /* MHD takes no more than there are */
    b->fd = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    b->since = w->now;
    *socket_context = b;
}

/* Those whose requests come byte by byte: MHD's own deadline is one of silence. */
static pv_ns end_slow(struct pv_web *w, pv_ns now)
{
    pv_ns next = PV_NEVER;
    for (size_t i = 0; i < PV_WEB_CONNS; i++) {
        struct browser *b = &w->browser[i];
        if (b->fd < 0 || b->since == PV_NEVER)
            continue;
        if (now >= b->since + PV_WEB_PATIENCE) {
            shutdown(b->fd, SHUT_RDWR);
            b->since = PV_NEVER;
        } else {
            next = pv_min_ns(next, b->since + PV_WEB_PATIENCE);
        }
    }
    return next;
}

/* When MHD does not take the descriptor it closes it. */
static void add_browser(struct pv_web *w, int fd)
{
    const struct sockaddr_in local = {.sin_family = AF_INET,
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    (void)MHD_add_connection(w->mhd, fd, (const struct sockaddr *)&local, sizeof(local));
}

static void on_link(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_web *w = ctx;
    char text[2] = "";
    size_t n = 0;
    int passed = -1;
    w->now = now;
    int r = pv_unix_read(w->link, text, sizeof(text), &n, &passed);
    if (r == PV_ERR_AGAIN)
        return;
    if (r < 0) /* the command has ended */
        pv_loop_stop(w->loop);
    else if (text[0] == PV_WEBLINK_BROWSER && passed >= 0)
        add_browser(w, passed);
    else if (text[0] == PV_WEBLINK_CONTROL)
        asked_connected(w, passed, n > 1 ? (enum pv_ctlapi_code)text[1] : 0);
    else if (text[0] == PV_WEBLINK_FILE)
        asked_place(w, passed);
    else if (passed >= 0)
        close(passed);
}

static void on_mhd(void *ctx, unsigned ready, pv_ns now)
{
    (void)ctx; /* its work is done in the turn */
}

/* MHD says what it has to do at once by a timeout of 0. */
pv_ns pv_web_turn(struct pv_web *w, pv_ns now)
{
    MHD_UNSIGNED_LONG_LONG ms = 0;
    w->now = now;
    pv_ns next = end_slow(w, now);
    next = pv_min_ns(next, asked_beat(w, now));
    (void)MHD_run(w->mhd);
    if (MHD_get_timeout(w->mhd, &ms) == MHD_YES)
        next = pv_min_ns(next, now + PV_MS(ms));
    return next;
}

/* --- life ---------------------------------------------------------------------------------- */

static struct MHD_Daemon *start_mhd(struct pv_web *w)
{
    return MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
        mhd_on_request, w, MHD_OPTION_CONNECTION_LIMIT, (unsigned)PV_WEB_CONNS,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)(PV_WEB_PATIENCE / PV_S(1)),
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)32768, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, w, MHD_OPTION_NOTIFY_CONNECTION, on_connection,
        w, MHD_OPTION_END);
}

int pv_web_new(struct pv_web **ret_web, struct pv_loop *loop, int link, bool coordinator)
{
    struct pv_web *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return PV_ERR_NOMEM;
    w->loop = loop;
    w->link = link;
    w->coordinator = coordinator;
    w->now = pv_clock_now();
    w->rng = pv_entropy();
    for (size_t i = 0; i < PV_WEB_CONNS; i++)
        w->browser[i].fd = -1;
    pv_weblogin_init(&w->login, &w->rng);
    w->mhd = start_mhd(w);
    const union MHD_DaemonInfo *info =
        w->mhd == NULL ? NULL : MHD_get_daemon_info(w->mhd, MHD_DAEMON_INFO_EPOLL_FD);
    int r = info == NULL
                ? PV_ERR_NOMEM
                : pv_watch_new(&w->mhd_watch, loop, info->epoll_fd, PV_LOOP_READ, on_mhd, w);
    if (r == PV_OK)
        r = pv_watch_new(&w->link_watch, loop, link, PV_LOOP_READ, on_link, w);
    if (r < 0)
        w = pv_web_free(w);
    *ret_web = w;
    return r;
}

/* MHD ends in order only when nobody is suspended. */
struct pv_web *pv_web_free(struct pv_web *w)
{
    if (w == NULL)
        return NULL;
    asked_wake_all(w);
    if (w->mhd != NULL)
        MHD_stop_daemon(w->mhd);
    pv_watch_free(w->link_watch);
    pv_watch_free(w->mhd_watch);
    pv_wipe(&w->login, sizeof(w->login));
    free(w);
    return NULL;
}
