/* SPDX-License-Identifier: MIT */
/* libpq without blocking calls of its own: every wait is a poll() with an end. */
#include "coordinator/store/pg/pg.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <libpq-fe.h>

#include "base/bytes.h"
#include "sys/proc/clock.h"

enum {
    KNOCK_MS = 500, /* ours: until the machine of the database answers TCP's first packet */
    LOOK_MS = 100,  /* ours: between two looks at a connection on which nothing comes */
    REPEATS = 2,    /* ours: of what was sent; nearby this is 0.6 s (RFC 6298 s5.5, Linux) */
};

/* Settings of the session, for the database's end of it. A transaction that its client has left
 * must not hold its locks: idle it ends after 2 s; one that is sending, or waits for the rest of a
 * pipeline, ends when the client's machine has confirmed nothing for 4 s, which only TCP notices.
 * One that waits for somebody else's lock gives up well before a lease ends, or a queue of those
 * who wait could keep coordinators from renewing theirs. */
#define SESSION                                                    \
    "-c idle_in_transaction_session_timeout=2s -c lock_timeout=1s" \
    " -c tcp_keepalives_idle=1 -c tcp_keepalives_interval=1"       \
    " -c tcp_keepalives_count=3 -c tcp_user_timeout=4000"          \
    " -c search_path=pg_catalog -c client_min_messages=error"

struct pv_pg {
    struct pv_pg_config cfg;
    PGconn *conn; /* NULL: not connected */
    bool prepared;
    bool held;        /* batches are parts of one transaction */
    size_t n_sent;    /* statements of the batch under way, BEGIN among them */
    bool send_failed; /* one could not be sent */
};

/* --- values ---------------------------------------------------------------------------------- */

struct pv_pg_value pv_pg_bytes(const void *ptr, size_t len)
{
    return (struct pv_pg_value){.type = PV_PG_BYTES, .ptr = len == 0 ? NULL : ptr, .len = len};
}

struct pv_pg_value pv_pg_int(int64_t n)
{
    return (struct pv_pg_value){.type = PV_PG_INT, .n = n};
}

struct pv_pg_value pv_pg_text(const char *text)
{
    return (struct pv_pg_value){.type = PV_PG_TEXT, .ptr = text};
}

struct pv_view pv_pg_get_bytes(const PGresult *res, int row, int column)
{
    return PQgetisnull(res, row, column)
               ? pv_view(NULL, 0)
               : pv_view(PQgetvalue(res, row, column), (size_t)PQgetlength(res, row, column));
}

int64_t pv_pg_get_int(const PGresult *res, int row, int column)
{
    struct pv_view v = pv_pg_get_bytes(res, row, column);
    return v.len == 8 ? (int64_t)pv_load_be64(v.ptr) : 0;
}

void pv_pg_get_text(const PGresult *res, int row, int column, char *text, size_t cap)
{
    struct pv_view v = pv_pg_get_bytes(res, row, column);
    size_t len = v.len < cap ? v.len : cap - 1;
    for (size_t i = 0; i < len; i++)
        text[i] = (char)(v.ptr[i] < ' ' || v.ptr[i] > '~' ? '?' : v.ptr[i]);
    text[len] = '\0';
}

/* --- errors ---------------------------------------------------------------------------------- */

/* The first line of what libpq says, without its "ERROR: ". */
static const char *first_line(const char *message, char line[static PV_PG_ERROR_MAX])
{
    const char *colon = strstr(message, ":  ");
    const char *begin = colon == NULL ? message : colon + 3;
    snprintf(line, PV_PG_ERROR_MAX, "%.*s", (int)strcspn(begin, "\n"), begin);
    return line;
}

/* SQLSTATE classes that have a remedy of their own. */
static const struct {
    const char *begins;
    int status;
    const char *remedy;
} causes[] = {
    {PV_PG_FENCED, PV_ERR_REFUSED, "nothing was stored here"},
    {PV_PG_ROOM, PV_ERR_NO_SPACE, "nothing was stored here"},
    {"53100", -ENOSPC, "make room on the disk of the database"},
    {"53", -EIO, "give the database more memory or connections"},
    {"25006", -EROFS, "name the primary: target_session_attrs=read-write"},
    {"55P03", PV_ERR_TIMEOUT, "another session holds a lock: see pg_stat_activity and pg_locks"},
    {"42501", -EACCES, "give the database user these rights"},
    {"57", PV_ERR_CLOSED, "it comes back by itself"},
    {"08", PV_ERR_CLOSED, "it comes back by itself"},
};

static int explain(const char *what, const char *message, const char *sqlstate,
                   char ret_error[static PV_PG_ERROR_MAX])
{
    char line[PV_PG_ERROR_MAX];
    int status = -EIO;
    const char *remedy = "see the log of the database";
    for (size_t i = 0; sqlstate != NULL && i < PV_ARRAY_LEN(causes); i++) {
        if (strncmp(sqlstate, causes[i].begins, strlen(causes[i].begins)) != 0)
            continue;
        status = causes[i].status;
        remedy = causes[i].remedy;
        break;
    }
    snprintf(ret_error, PV_PG_ERROR_MAX, "%s the database: %.120s: %s", what,
             first_line(message, line), remedy);
    return status;
}

/* Words of libpq and of the database that begins no session: there is no SQLSTATE then. The first
 * that is found counts. All of it is mended elsewhere, or in a file that libpq reads anew each
 * time: to the coordinator the database is away, and it says why. */
static const struct {
    const char *word;
    const char *remedy;
} obstacles[] = {
    /* "no pg_hba.conf entry for ..., SSL encryption": names TLS, too. */
    {"pg_hba.conf", "allow this user and machine there"},
    {"certificate", "see sslmode and sslrootcert of [store] postgres"},
    {"private key", "see sslkey of [store] postgres"},
    {"SSL", "see sslmode of [store] postgres"},
    {"authentication failed", "see user and password of [store] postgres"},
    {"password", "see password and passfile of [store] postgres"},
    {"does not exist", "make it, or name another"},
};

/* A connection that has failed once is not used again. */
static int give_up(struct pv_pg *pg, const char *what, int status, const char *remedy,
                   char ret_error[static PV_PG_ERROR_MAX])
{
    char line[PV_PG_ERROR_MAX];
    const char *message = pg->conn == NULL ? "" : PQerrorMessage(pg->conn);
    (void)first_line(message, line);
    size_t len = strlen(line);
    /* libpq names the server, and has no reason where nothing came from it. */
    bool blank = len == 0 || strcmp(line + len - (len < 2 ? len : 2), ": ") == 0;
    snprintf(ret_error, PV_PG_ERROR_MAX, "%s the database: %.150s%s: %s", what, line,
             blank ? "no answer" : "", remedy);
    pv_pg_disconnect(pg);
    return status;
}

/* Does the other machine confirm nothing, not even what TCP has repeated? It repeats ever more
 * seldom: after an outage of 10 s the connection would be silent for up to 10 more, and a new one
 * is quicker. However long the database takes, its machine confirms at once. */
static bool is_cut(int fd)
{
    struct tcp_info info = {.tcpi_retransmits = 0};
    socklen_t len = sizeof(info);
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
           info.tcpi_retransmits >= REPEATS;
}

static const char away[] = "is it running and reachable?";
static const char stuck[] = "its machine is there: see its locks and synchronous_standby_names";

/* Of a connection that holds, and on which nothing came for too long, the database is to blame. */
static int explain_away(struct pv_pg *pg, const char *what, char ret_error[static PV_PG_ERROR_MAX])
{
    bool there = pg->conn != NULL && PQstatus(pg->conn) == CONNECTION_OK &&
                 PQerrorMessage(pg->conn)[0] == '\0' && !is_cut(PQsocket(pg->conn));
    return give_up(pg, what, PV_ERR_CLOSED, there ? stuck : away, ret_error);
}

static int explain_obstacle(struct pv_pg *pg, char ret_error[static PV_PG_ERROR_MAX])
{
    const char *message = pg->conn == NULL ? "" : PQerrorMessage(pg->conn);
    for (size_t i = 0; i < PV_ARRAY_LEN(obstacles); i++)
        if (strstr(message, obstacles[i].word) != NULL)
            return give_up(pg, "connect to", PV_ERR_CLOSED, obstacles[i].remedy, ret_error);
    return explain_away(pg, "connect to", ret_error);
}

/* --- connecting ------------------------------------------------------------------------------ */

/* A quote in libpq's complaint about a conninfo may be a part of the password in it. */
static void leave_out_quoted(const char *conninfo, char *line)
{
    if (strstr(conninfo, "password") == NULL && strstr(conninfo, "://") == NULL)
        return;
    char *from = strchr(line, '"');
    const char *to = from == NULL ? NULL : strrchr(from, '"');
    if (from != NULL) /* a line that was cut has no end of it */
        memmove(from, to == from ? "" : to + 1, to == from ? 1 : strlen(to + 1) + 1);
}

int pv_pg_new(struct pv_pg **ret_pg, const struct pv_pg_config *cfg,
              char ret_error[static PV_PG_ERROR_MAX])
{
    char *why = NULL, line[PV_PG_ERROR_MAX];
    PQconninfoOption *options = PQconninfoParse(cfg->conninfo, &why);
    if (options == NULL) {
        (void)first_line(why == NULL ? "out of memory" : why, line);
        leave_out_quoted(cfg->conninfo, line);
        snprintf(ret_error, PV_PG_ERROR_MAX, "[store] postgres: %.120s", line);
        PQfreemem(why);
        return PV_ERR_MALFORMED;
    }
    PQconninfoFree(options);
    struct pv_pg *pg = calloc(1, sizeof(*pg));
    if (pg == NULL) {
        snprintf(ret_error, PV_PG_ERROR_MAX, "open the database: out of memory");
        return PV_ERR_NOMEM;
    }
    pg->cfg = *cfg;
    *ret_pg = pg;
    return PV_OK;
}

struct pv_pg *pv_pg_free(struct pv_pg *pg)
{
    if (pg != NULL)
        pv_pg_disconnect(pg);
    free(pg);
    return NULL;
}

void pv_pg_disconnect(struct pv_pg *pg)
{
    PQfinish(pg->conn);
    pg->conn = NULL;
    pg->prepared = false;
}

/* A database that goes says so, and then the connection ends. */
bool pv_pg_is_connected(const struct pv_pg *pg)
{
    struct pollfd p = {.fd = pg->conn == NULL ? -1 : PQsocket(pg->conn), .events = POLLIN};
    while (pg->conn != NULL && PQstatus(pg->conn) == CONNECTION_OK && poll(&p, 1, 0) > 0) {
        if (PQconsumeInput(pg->conn) != 1)
            return false;
        (void)PQisBusy(pg->conn); /* looks at what was read */
    }
    return pg->conn != NULL && PQstatus(pg->conn) == CONNECTION_OK;
}

/* Waits until the socket is ready, at most to the deadline, and no longer than the line holds. */
static bool wait_socket(PGconn *conn, bool write, pv_ns until)
{
    struct pollfd p = {.fd = PQsocket(conn), .events = (short)(POLLIN | (write ? POLLOUT : 0))};
    for (pv_ns now = pv_clock_now(); p.fd >= 0 && now < until; now = pv_clock_now()) {
        int n = poll(&p, 1, pv_poll_ms(pv_min_ns(until, now + PV_MS(LOOK_MS)), now));
        if (n != 0)
            return n > 0 || errno == EINTR;
        if (is_cut(p.fd))
            return false;
    }
    return false;
}

/* libpq's own wait would ignore our limit and signals (PQconnectPoll, libpq 34.1). A machine that
 * says nothing to the first packet of TCP is given up soon: the kernel repeats that packet ever
 * more seldom, and the next host of the list would have to wait. libpq takes the end of its socket
 * for a refusal, and goes on to the next host. */
static bool connect_by(PGconn *conn, pv_ns until)
{
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;
    while (PQstatus(conn) != CONNECTION_BAD) {
        if (state == PGRES_POLLING_OK)
            return PQsetnonblocking(conn, 1) == 0;
        if (state == PGRES_POLLING_FAILED)
            return false;
        bool knocks = PQstatus(conn) == CONNECTION_STARTED;
        pv_ns soon = pv_clock_now() + PV_MS(KNOCK_MS);
        if (!wait_socket(conn, state == PGRES_POLLING_WRITING,
                         knocks && soon < until ? soon : until) &&
            (!knocks || soon >= until || shutdown(PQsocket(conn), SHUT_RDWR) < 0))
            return false;
        state = PQconnectPoll(conn);
    }
    return false;
}

/* A notice that the database sends of its own accord, such as that it goes, is known by what
 * follows; libpq would write it to stderr, between the lines of the log. */
static void pass_over(void *ctx, const char *message)
{
}

/* Where an answer was lost there is nothing for TCP to repeat, so the line is asked each second
 * whether it holds. Before dbname stands what conninfo may say otherwise:
 * without sslcert libpq looks into the home of who started this program, and fails where its user
 * may not. */
static PGconn *start(const struct pv_pg *pg)
{
    const char *const params[][2] = {
        {"keepalives_idle", "1"},     {"keepalives_interval", "1"},
        {"keepalives_count", "2"},    {"sslcert", "/nonexistent"},
        {"dbname", pg->cfg.conninfo}, {"fallback_application_name", pg->cfg.who},
        {"options", SESSION},         {"client_encoding", "UTF8"},
    };
    const char *keys[PV_ARRAY_LEN(params) + 1] = {NULL};
    const char *values[PV_ARRAY_LEN(params) + 1] = {NULL};
    for (size_t i = 0; i < PV_ARRAY_LEN(params); i++) {
        keys[i] = params[i][0];
        values[i] = params[i][1];
    }
    return PQconnectStartParams(keys, values, 1);
}

void pv_pg_set_wait(struct pv_pg *pg, pv_ns wait)
{
    pg->cfg.wait = wait;
}

int pv_pg_connect(struct pv_pg *pg, char ret_error[static PV_PG_ERROR_MAX])
{
    if (pv_pg_is_connected(pg))
        return PV_OK;
    pv_pg_disconnect(pg);
    pg->conn = start(pg);
    if (pg->conn != NULL)
        (void)PQsetNoticeProcessor(pg->conn, pass_over, NULL);
    if (pg->conn != NULL && connect_by(pg->conn, pv_clock_now() + pg->cfg.wait))
        return PV_OK;
    return explain_obstacle(pg, ret_error);
}

/* --- results --------------------------------------------------------------------------------- */

/* The next result, or NULL at the end of one statement's. PV_ERR_CLOSED, and NULL: the connection
 * broke, or nothing moved for the whole wait: a large network takes longer by a slow line. A
 * session that the database ends says why in a result, and the end of the connection comes behind
 * it. */
static int next_result(struct pv_pg *pg, PGresult **ret_res)
{
    pv_ns until = pv_clock_now() + pg->cfg.wait;
    *ret_res = NULL;
    for (;;) {
        int left = PQflush(pg->conn);
        if (left < 0)
            return PV_ERR_CLOSED;
        if (!PQisBusy(pg->conn))
            break;
        if (!wait_socket(pg->conn, left > 0, until) || !PQconsumeInput(pg->conn))
            return PV_ERR_CLOSED;
        until = pv_clock_now() + pg->cfg.wait;
    }
    PGresult *res = PQgetResult(pg->conn);
    if (PQstatus(pg->conn) != CONNECTION_OK) {
        PQclear(res);
        return PV_ERR_CLOSED;
    }
    *ret_res = res;
    return PV_OK;
}

static bool is_good(const PGresult *res)
{
    ExecStatusType status = PQresultStatus(res);
    return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_SINGLE_TUPLE;
}

/* Of the first statement that failed; the others say only that they were not tried. */
static int note_failure(const PGresult *res, const char *what, int before,
                        char ret_error[static PV_PG_ERROR_MAX])
{
    if (before != PV_OK || PQresultStatus(res) == PGRES_PIPELINE_ABORTED)
        return before == PV_OK ? -EIO : before;
    return explain(what, PQresultErrorMessage(res), PQresultErrorField(res, PG_DIAG_SQLSTATE),
                   ret_error);
}

/* --- batches --------------------------------------------------------------------------------- */

/* A failure to send is remembered: whoever sends many looks once, at the end. */
static void send_text(struct pv_pg *pg, const char *sql)
{
    pg->send_failed |= PQsendQueryParams(pg->conn, sql, 0, NULL, NULL, NULL, NULL, 1) != 1;
    pg->n_sent++;
}

int pv_pg_begin(struct pv_pg *pg, char ret_error[static PV_PG_ERROR_MAX])
{
    if (!pv_pg_is_connected(pg) || PQenterPipelineMode(pg->conn) != 1)
        return explain_away(pg, "write to", ret_error);
    pg->n_sent = 0;
    pg->send_failed = false;
    send_text(pg, pg->held ? "SAVEPOINT part" : "BEGIN");
    return PV_OK;
}

void pv_pg_send(struct pv_pg *pg, const char *statement, const struct pv_pg_value *values,
                size_t n_values)
{
    const char *ptrs[PV_PG_VALUES_MAX];
    int lens[PV_PG_VALUES_MAX], formats[PV_PG_VALUES_MAX];
    uint8_t ints[PV_PG_VALUES_MAX][8];
    for (size_t i = 0; i < n_values; i++) {
        const struct pv_pg_value *v = &values[i];
        if (v->type == PV_PG_INT)
            pv_store_be64(ints[i], (uint64_t)v->n);
        ptrs[i] = v->type == PV_PG_INT ? (const char *)ints[i] : v->ptr;
        lens[i] = v->type == PV_PG_INT ? (int)sizeof(ints[i]) : (int)v->len;
        formats[i] = v->type != PV_PG_TEXT;
    }
    pg->send_failed |=
        PQsendQueryPrepared(pg->conn, statement, (int)n_values, ptrs, lens, formats, 1) != 1;
    pg->n_sent++;
}

/* Reads the results of all statements and of the sync behind them. */
static int drain(struct pv_pg *pg, const char *what,
                 void (*take)(void *ctx, size_t i, PGresult *res), void *ctx,
                 char ret_error[static PV_PG_ERROR_MAX])
{
    int failed = PV_OK;
    for (size_t i = 0; i <= pg->n_sent;) {
        PGresult *res;
        if (next_result(pg, &res) < 0)
            return PV_ERR_CLOSED;
        if (res == NULL) { /* the end of one statement */
            i++;
            continue;
        }
        if (PQresultStatus(res) == PGRES_PIPELINE_SYNC) {
            PQclear(res);
            return failed;
        }
        if (!is_good(res))
            failed = note_failure(res, what, failed, ret_error);
        else if (take != NULL && i > 0 && i + 1 < pg->n_sent) /* BEGIN and COMMIT are ours */
            take(ctx, i - 1, res);
        PQclear(res);
    }
    return PV_ERR_CLOSED; /* more results than statements: never so */
}

/* After a failure the transaction is over for the database, but the session is in it still. */
static int roll_back(struct pv_pg *pg)
{
    PGresult *res;
    bool good = PQsendQueryParams(pg->conn, "ROLLBACK", 0, NULL, NULL, NULL, NULL, 1) == 1;
    while (good && next_result(pg, &res) == PV_OK) {
        if (res == NULL)
            return PV_OK;
        PQclear(res);
    }
    return PV_ERR_CLOSED;
}

int pv_pg_finish(struct pv_pg *pg, void (*take)(void *ctx, size_t i, PGresult *res), void *ctx,
                 char ret_error[static PV_PG_ERROR_MAX])
{
    send_text(pg, pg->held ? "RELEASE SAVEPOINT part" : "COMMIT");
    int r = PV_ERR_CLOSED;
    if (!pg->send_failed && PQpipelineSync(pg->conn) == 1)
        r = drain(pg, "write to", take, ctx, ret_error);
    if (r != PV_ERR_CLOSED && PQexitPipelineMode(pg->conn) != 1)
        r = PV_ERR_CLOSED;
    if (r == PV_OK)
        return PV_OK;
    if (r == PV_ERR_CLOSED)
        return explain_away(pg, "write to", ret_error);
    if (roll_back(pg) < 0)
        pv_pg_disconnect(pg); /* nothing was committed: a new session is as good */
    return r;
}

/* --- outside batches ------------------------------------------------------------------------- */

/* Reads what was sent, to its end, so that the connection is free again. */
static int collect(struct pv_pg *pg, const char *what, int (*take)(void *ctx, PGresult *row),
                   void *ctx, char ret_error[static PV_PG_ERROR_MAX])
{
    int failed = PV_OK, said = PV_OK;
    for (;;) {
        PGresult *res;
        if (next_result(pg, &res) < 0)
            return explain_away(pg, what, ret_error);
        if (res == NULL)
            return failed != PV_OK ? failed : said;
        if (!is_good(res))
            failed = note_failure(res, what, failed, ret_error);
        else if (take != NULL && said == PV_OK && PQntuples(res) > 0)
            said = take(ctx, res);
        PQclear(res);
    }
}

/* The rows are not gathered first: a start reads a hundred thousand. */
int pv_pg_each(struct pv_pg *pg, const char *statement, int (*take)(void *ctx, PGresult *row),
               void *ctx, char ret_error[static PV_PG_ERROR_MAX])
{
    if (!pv_pg_is_connected(pg) ||
        PQsendQueryPrepared(pg->conn, statement, 0, NULL, NULL, NULL, 1) != 1)
        return explain_away(pg, "read", ret_error);
    (void)PQsetSingleRowMode(pg->conn); /* without it all rows come at once, in more memory */
    return collect(pg, "read", take, ctx, ret_error);
}

int pv_pg_exec(struct pv_pg *pg, const char *sql, int (*take)(void *ctx, PGresult *res), void *ctx,
               char ret_error[static PV_PG_ERROR_MAX])
{
    if (!pv_pg_is_connected(pg) || PQsendQuery(pg->conn, sql) != 1)
        return explain_away(pg, "set up", ret_error);
    return collect(pg, "set up", take, ctx, ret_error);
}

int pv_pg_take_number(void *number, PGresult *res)
{
    *(int *)number = (int)strtol(PQgetvalue(res, 0, 0), NULL, 10);
    return PV_OK;
}

/* A caller that reads much beside is not idle. */
int pv_pg_hold(struct pv_pg *pg, char ret_error[static PV_PG_ERROR_MAX])
{
    int r = pv_pg_exec(pg, "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0", NULL, NULL,
                       ret_error);
    pg->held = r == PV_OK;
    return r;
}

/* A commit of what has failed would undo it, and call that good. */
int pv_pg_keep(struct pv_pg *pg, char ret_error[static PV_PG_ERROR_MAX])
{
    if (!pv_pg_is_connected(pg) || PQtransactionStatus(pg->conn) != PQTRANS_INTRANS) {
        snprintf(ret_error, PV_PG_ERROR_MAX,
                 "write to the database: its transaction is over: do it again");
        return PV_ERR_CLOSED;
    }
    pg->held = false;
    return pv_pg_exec(pg, "COMMIT", NULL, NULL, ret_error);
}

/* A plan belongs to its session, so each new one prepares again: all in one round trip, as
 * somebody waits for a database that is back. */
int pv_pg_prepare(struct pv_pg *pg, char ret_error[static PV_PG_ERROR_MAX])
{
    size_t n = pg->cfg.n_statements;
    int r = PV_ERR_CLOSED;
    if (pg->prepared)
        return PV_OK;
    bool sent = PQenterPipelineMode(pg->conn) == 1;
    for (pg->n_sent = 0; sent && pg->n_sent < n + pg->cfg.n_more; pg->n_sent++) {
        const struct pv_pg_statement *s =
            pg->n_sent < n ? &pg->cfg.statements[pg->n_sent] : &pg->cfg.more[pg->n_sent - n];
        sent = PQsendPrepare(pg->conn, s->name, s->sql, 0, NULL) == 1;
    }
    if (sent && PQpipelineSync(pg->conn) == 1)
        r = drain(pg, "read", NULL, NULL, ret_error);
    if (r == PV_ERR_CLOSED || PQexitPipelineMode(pg->conn) != 1)
        return explain_away(pg, "read", ret_error);
    pg->prepared = r == PV_OK;
    return r;
}

/* --- looking --------------------------------------------------------------------------------- */

size_t pv_pg_files(const char *conninfo, char ret_files[static PV_PG_FILES_MAX][PATH_MAX])
{
    static const char *const keywords[PV_PG_FILES_MAX] = {"sslcert", "sslkey", "sslrootcert",
                                                          "sslcrl", "passfile"};
    PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
    size_t n = 0;
    for (const PQconninfoOption *o = options; o != NULL && o->keyword != NULL; o++) {
        for (size_t i = 0; i < PV_PG_FILES_MAX; i++) {
            if (o->val != NULL && o->val[0] != '\0' && strcmp(o->keyword, keywords[i]) == 0 &&
                n < PV_PG_FILES_MAX)
                snprintf(ret_files[n++], PATH_MAX, "%s", o->val);
        }
    }
    PQconninfoFree(options);
    return n;
}
