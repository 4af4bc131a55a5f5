/* SPDX-License-Identifier: MIT */
/* server.c - connections, the page's files, sessions; asked.c does the rest. */
#include "web/server.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crypto/ct.h"
#include "proto/local/ctlapi.h"
#include "sys/net/unixsock.h"
#include "sys/proc/clock.h"
#include "sys/proc/entropy.h"
#include "web/chat.js.h"
#include "web/coordinator.html.h"
#include "web/coordinator.js.h"
#include "web/guests.js.h"
#include "web/health.js.h"
#include "web/index.html.h"
#include "web/main.js.h"
#include "web/map.js.h"
#include "web/member.js.h"
#include "web/net.js.h"
#include "web/network.js.h"
#include "web/plot.js.h"
#include "web/qr.js.h"
#include "web/server_int.h"
#include "web/style.css.h"
#include "web/util.js.h"

#define KEY_FIELD "X-P2pvpn-Key"
#define CSP                                                                             \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "   \
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
    SCRIPT(NODE, guests),
    SCRIPT(NODE, health),
    SCRIPT(NODE, qr),
};

/* --- answers ------------------------------------------------------------------------------- */

enum MHD_Result web_send(struct MHD_Connection *conn, unsigned status,
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

enum MHD_Result web_refuse(struct MHD_Connection *conn, unsigned status, enum pv_ctlapi_code code,
                           const char *text)
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
