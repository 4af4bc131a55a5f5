/* SPDX-License-Identifier: MIT */
/* Both ends of `p2pvpn-coordinator status`: the running coordinator, which writes a document to
 * whoever connects, and the program that prints it. */
#include "coordinator/statussock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/local/harmless.h"
#include "sys/net/stream.h"
#include "sys/net/unixsock.h"

enum {
    ASKED_A_TURN = 8,   /* ours: a document costs a look at every connection */
    DOC_MAX = 65536,    /* bytes of a document; the kernel takes three of them at once */
    PATIENCE_MS = 5000, /* ours: a coordinator that is well answers within one turn */
};

/* sun_path is much shorter than PATH_MAX (108 bytes on Linux). */
int pv_statussock_path(const char *state, char ret_path[static PATH_MAX])
{
    const size_t most = sizeof(((struct sockaddr_un *)NULL)->sun_path);
    int n = snprintf(ret_path, PATH_MAX, "%s/status.sock", state);
    return n < 0 || (size_t)n >= most ? PV_ERR_NO_SPACE : PV_OK;
}

/* The write-ahead log counts: it may be larger than the database. */
void pv_statussock_disk(const char *state, struct pv_report *r)
{
    static const char *const files[] = {"coordinator.db", "coordinator.db-wal"};
    char path[PATH_MAX];
    struct stat st;
    struct statvfs disk;
    r->store.bytes = r->store.free = 0;
    for (size_t i = 0; i < PV_ARRAY_LEN(files); i++) {
        if (snprintf(path, sizeof(path), "%s/%s", state, files[i]) < (int)sizeof(path) &&
            stat(path, &st) == 0)
            r->store.bytes += (uint64_t)st.st_size;
    }
    if (statvfs(state, &disk) == 0)
        r->store.free = (uint64_t)disk.f_bavail * disk.f_frsize;
}

/* --- the server's side ----------------------------------------------------------------------- */

/* The whole document is written at once or not at all: a client that does not read must not keep
 * the coordinator waiting. */
static void send_report(const struct pv_statussock *s, int fd, pv_ns now)
{
    json_t *doc = s->report(s->ctx, now);
    char *text = doc == NULL ? NULL : json_dumps(doc, JSON_COMPACT);
    size_t n = 0;
    if (text != NULL)
        (void)!pv_stream_write(fd, pv_view(text, strlen(text)), &n);
    free(text);
    json_decref(doc);
}

/* Every client may ask: the mode of the socket has let it in. When strangers have all descriptors,
 * that is what it wants to know. */
static int serve_one(struct pv_statussock *s, pv_ns now)
{
    struct pv_unix_cred who;
    int fd = -1;
    int r = pv_unix_accept(s->fd, &fd, &who);
    if (r == PV_ERR_LIMIT && pv_spare_lend(s->spare))
        r = pv_unix_accept(s->fd, &fd, &who);
    if (r == PV_OK) {
        send_report(s, fd, now);
        close(fd);
    }
    pv_spare_refill(s->spare);
    return r;
}

/* With nothing in reserve the socket rests: it stays readable, and the loop would spin. */
static void on_asked(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_statussock *s = ctx;
    int r = PV_OK;
    for (int i = 0; i < ASKED_A_TURN && r == PV_OK; i++)
        r = serve_one(s, now);
    if (r == PV_ERR_LIMIT) {
        pv_watch_set(s->watch, 0);
        s->rest_until = now + PV_S(1);
    }
}

pv_ns pv_statussock_handle_timeout(struct pv_statussock *s, pv_ns now)
{
    if (s->rest_until == 0)
        return PV_NEVER;
    if (now < s->rest_until)
        return s->rest_until;
    s->rest_until = 0;
    pv_watch_set(s->watch, PV_LOOP_READ);
    return PV_NEVER;
}

int pv_statussock_open(struct pv_statussock *s, struct pv_loop *loop, const char *state)
{
    int fd = -1;
    int r = pv_statussock_path(state, s->path);
    if (r == PV_OK)
        r = pv_unix_listen(s->path, NULL, &fd);
    if (r < 0)
        return r;
    r = pv_watch_new(&s->watch, loop, fd, PV_LOOP_READ, on_asked, s);
    if (r < 0)
        close(fd);
    else
        s->fd = fd;
    return r;
}

void pv_statussock_done(struct pv_statussock *s)
{
    if (s->watch == NULL)
        return;
    s->watch = pv_watch_free(s->watch);
    close(s->fd);
    unlink(s->path);
}

/* --- the other side -------------------------------------------------------------------------- */

/* Writes the error as a sentence that says what to do; returns r. */
static int explain_failure(int r, const char *path, char *why, size_t cap)
{
    if (r == PV_ERR_NOT_FOUND)
        snprintf(why, cap,
                 "no coordinator runs with this state directory (%.200s): start it, or name "
                 "another with --state",
                 path);
    else if (r == -EACCES)
        snprintf(why, cap, "%.200s: not permitted: ask as root or as the coordinator's user", path);
    else if (r == PV_ERR_NO_SPACE)
        snprintf(why, cap, "%.200s: the path is too long for a socket: use a shorter --state",
                 path);
    else if (r == PV_ERR_TIMEOUT)
        snprintf(why, cap, "%.200s: the coordinator does not answer: look at its log", path);
    else if (r == PV_ERR_MALFORMED)
        snprintf(why, cap, "%.200s: the answer is not understood: is it of this version?", path);
    else
        snprintf(why, cap, "%.200s: %s", path, pv_strstatus(r));
    return r;
}

/* Reads to the end, but does not wait for a coordinator that is stopped or hangs. */
static int read_document(int fd, char *buf, size_t cap, size_t *ret_len)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    size_t len = 0, n = 0;
    int r = PV_OK;
    while (len < cap && r == PV_OK) {
        if (poll(&p, 1, PATIENCE_MS) != 1)
            return PV_ERR_TIMEOUT;
        r = pv_stream_read(fd, buf + len, cap - len, &n);
        len += r == PV_OK ? n : 0;
    }
    if (r != PV_ERR_CLOSED)
        return r < 0 ? r : PV_ERR_MALFORMED;
    *ret_len = len;
    return PV_OK;
}

/* JSON is printed with fields that this version does not know, too. It is parsed to see that it is
 * a report, and made harmless, since root reads what a process without rights wrote. */
static int print_document(const char *buf, size_t len, enum pv_statussock_form form, bool *ret_well)
{
    char lines[PV_REPORT_TEXT_MAX], *text = NULL;
    size_t n = 0;
    json_t *doc = json_loadb(buf, len, 0, NULL);
    int r = doc == NULL ? PV_ERR_MALFORMED : pv_harmless_json(doc);
    if (r == PV_OK)
        r = form == PV_STATUSSOCK_METRICS ? pv_report_metrics(doc, &text, &n)
                                          : pv_report_text(doc, lines);
    if (r == PV_OK && form == PV_STATUSSOCK_JSON && (text = pv_harmless_dump(doc, &n)) == NULL)
        r = PV_ERR_NOMEM;
    if (r == PV_OK)
        fputs(text != NULL ? text : lines, stdout);
    *ret_well = r == PV_OK && pv_report_is_well(doc);
    free(text);
    json_decref(doc);
    return r;
}

int pv_statussock_print(const char *state, enum pv_statussock_form form, bool *ret_well,
                        char *ret_why, size_t cap)
{
    char path[PATH_MAX];
    char *buf = malloc(DOC_MAX);
    size_t len = 0;
    int fd = -1;
    int r = pv_statussock_path(state, path);
    if (r == PV_OK)
        r = buf == NULL ? PV_ERR_NOMEM : pv_unix_connect(path, &fd);
    if (r == PV_OK) {
        r = read_document(fd, buf, DOC_MAX, &len);
        close(fd);
    }
    if (r == PV_OK)
        r = print_document(buf, len, form, ret_well);
    free(buf);
    return r == PV_OK ? r : explain_failure(r, path, ret_why, cap);
}
