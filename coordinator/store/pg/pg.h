/* SPDX-License-Identifier: MIT */
/*
 * pg.h - a connection to PostgreSQL: prepared statements, batches in libpq's pipeline mode, and an
 * end to every wait.
 *
 * Everything blocks, at most as long as pv_pg_config.wait, but for the lookup of a host's name
 * while connecting: libpq asks the C library, which nobody can interrupt, so that takes as long as
 * the resolver does. A caller that must not block has a thread for it. Values travel in binary
 * (libpq 34.3), so that no statement is built from strings. One thread at a time. [libpq:
 * PostgreSQL 15 documentation, chapter 34; errors: appendix A]
 */
#pragma once

#include <libpq-fe.h>

#include "base/pv.h"
#include "coordinator/store/pgplugin.h"

enum {
    PV_PG_VALUES_MAX = 20, /* of a statement */
};

enum pv_pg_type {
    PV_PG_BYTES,
    PV_PG_INT,
    PV_PG_TEXT
};

/* A value of a statement; make them with the functions below. Its pointer must be good until
 * pv_pg_finish(). */
struct pv_pg_value {
    enum pv_pg_type type;
    const void *ptr; /* NULL: SQL's NULL; BYTES and TEXT */
    size_t len;      /* BYTES */
    int64_t n;       /* INT, a bigint */
};

struct pv_pg_value pv_pg_bytes(const void *ptr, size_t len); /* empty: NULL */
struct pv_pg_value pv_pg_int(int64_t n);
struct pv_pg_value pv_pg_text(const char *text);

/* A statement that is prepared on each connection; $1 is the first value. */
struct pv_pg_statement {
    const char *name;
    const char *sql;
};

struct pv_pg_config {
    const char *conninfo; /* libpq's: "host=db.example dbname=p2pvpn"; kept */
    const char *who;      /* application_name, for the database's own lists; kept */
    pv_ns wait;           /* without a sign of the database after which it counts as away */
    const struct pv_pg_statement *statements; /* kept */
    size_t n_statements;
    const struct pv_pg_statement *more; /* kept: others that are prepared, too */
    size_t n_more;
};

struct pv_pg; /* opaque */

/* Checks conninfo; connects to nothing yet. PV_ERR_MALFORMED, PV_ERR_NOMEM, with ret_error. */
PV_MUST_CHECK int pv_pg_new(struct pv_pg **ret_pg, const struct pv_pg_config *cfg,
                            char ret_error[static PV_PG_ERROR_MAX]);
struct pv_pg *pv_pg_free(struct pv_pg *pg); /* NULL is fine; returns NULL */
/* Replaces pv_pg_config.wait. */
void pv_pg_set_wait(struct pv_pg *pg, pv_ns wait);

/*
 * Connects, unless it is connected, without preparing anything yet: before the schema is there
 * nothing could be. PV_ERR_CLOSED (away, or it lets us not in), with ret_error: "connect to the
 * database: why: what to do".
 */
PV_MUST_CHECK int pv_pg_connect(struct pv_pg *pg, char ret_error[static PV_PG_ERROR_MAX]);
/* Prepares the statements, once for each connection. Errors of pv_pg_finish(). */
PV_MUST_CHECK int pv_pg_prepare(struct pv_pg *pg, char ret_error[static PV_PG_ERROR_MAX]);
void pv_pg_disconnect(struct pv_pg *pg);
/* Reads what came while nobody looked, too: a database that went has ended the connection. */
bool pv_pg_is_connected(const struct pv_pg *pg);

/*
 * A batch: begin, send as many as wanted, finish. All of it is one transaction that ends with
 * finish, which gives the result of each statement in the order of sending; i counts from 0.
 */
/* PV_ERR_CLOSED: not connected (any more), with ret_error; disconnected. */
PV_MUST_CHECK int pv_pg_begin(struct pv_pg *pg, char ret_error[static PV_PG_ERROR_MAX]);
/* A failure shows at finish. */
void pv_pg_send(struct pv_pg *pg, const char *statement, const struct pv_pg_value *values,
                size_t n_values);
/*
 * PV_OK: committed.
 * PV_ERR_CLOSED: the connection broke: whether it was committed is unknown; disconnected.
 * PV_ERR_REFUSED: the database says that another coordinator writes now (PV_PG_FENCED).
 * PV_ERR_NO_SPACE: a copy has no room before somebody makes it (PV_PG_ROOM).
 * PV_ERR_TIMEOUT: another session held a lock for a second; nothing was done.
 * -ENOSPC, -EROFS, -EACCES, -EIO: a statement failed, nothing was done.
 * With ret_error: "write to the database: why: what to do".
 */
PV_MUST_CHECK int pv_pg_finish(struct pv_pg *pg, void (*take)(void *ctx, size_t i, PGresult *res),
                               void *ctx, char ret_error[static PV_PG_ERROR_MAX]);

/* From now on batches are parts of one transaction, which pv_pg_keep() ends; without it, or when a
 * batch fails, nothing is done. Errors of pv_pg_finish(). */
PV_MUST_CHECK int pv_pg_hold(struct pv_pg *pg, char ret_error[static PV_PG_ERROR_MAX]);
PV_MUST_CHECK int pv_pg_keep(struct pv_pg *pg, char ret_error[static PV_PG_ERROR_MAX]);

/* SQLSTATEs of our functions: the fence has changed; room is to be made by a transaction that does
 * nothing else. */
#define PV_PG_FENCED "P2001"
#define PV_PG_ROOM   "P2002"

/* One statement outside a batch, which sends its rows one by one to take, until it fails. Errors of
 * pv_pg_finish(), and those of take. */
PV_MUST_CHECK int pv_pg_each(struct pv_pg *pg, const char *statement,
                             int (*take)(void *ctx, PGresult *row), void *ctx,
                             char ret_error[static PV_PG_ERROR_MAX]);
/* Statements as text, without values: the schema. take (NULL: nobody) gets a result that has rows,
 * in text. Errors of pv_pg_finish(), and those of take. */
PV_MUST_CHECK int pv_pg_exec(struct pv_pg *pg, const char *sql,
                             int (*take)(void *ctx, PGresult *res), void *ctx,
                             char ret_error[static PV_PG_ERROR_MAX]);

/* For pv_pg_exec(): the first value, as an int. */
int pv_pg_take_number(void *number, PGresult *res);

/* See pv_pgplugin.files. */
size_t pv_pg_files(const char *conninfo, char ret_files[static PV_PG_FILES_MAX][PATH_MAX]);

/* Of a result in binary: the bytes of a column (empty for NULL), or a bigint; 0 for NULL and for a
 * value of another length. */
struct pv_view pv_pg_get_bytes(const PGresult *res, int row, int column);
int64_t pv_pg_get_int(const PGresult *res, int row, int column);
/* A text that another coordinator wrote, such as its name, cut to cap. A character that is no
 * printable ASCII becomes '?': people read it on their terminals. */
void pv_pg_get_text(const PGresult *res, int row, int column, char *text, size_t cap);
