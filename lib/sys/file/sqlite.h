/* SPDX-License-Identifier: MIT */
/*
 * sqlite.h - a program's SQLite database: made and opened with care, its failures in sentences that
 * end with the remedy. Statements are the caller's. One thread.
 */
#pragma once

#include <sqlite3.h>

#include "base/pv.h"
#include "base/remedy.h"

enum {
    PV_SQLITE_ERROR_MAX = 240, /* bytes of a sentence, with the NUL */
    /* Bytes of a small page. Each row that comes alone changes a page of its table and one of each
     * index, and each page is written whole. */
    PV_SQLITE_SMALL_PAGE = 512,
};

/* The marks of a database of this program. Constant, kept by reference. */
struct pv_sqlite_kind {
    int application_id;        /* PRAGMA application_id */
    int schema;                /* PRAGMA user_version: a database of another one is refused */
    const char *program;       /* "p2pvpnd": whose it is */
    enum pv_remedy_id damaged; /* what to do when it is damaged */
    int page; /* bytes of a page of a new database, a power of two; 0: SQLite's 4096 */
};

struct pv_sqlite; /* opaque */

/*
 * Opens dir/name (relative to the working directory, which must stay, when dir is), which is made
 * with mode 0600 when it is not there. It is checked first: this program's, of its schema, and
 * whole (SQLite's quick_check reads it once); nothing is written before that. Then a transaction is
 * begun, in WAL mode with synchronous = FULL, for the caller to make its tables in
 * (pv_sqlite_exec) and to end with pv_sqlite_commit(). All errors come with a sentence:
 * PV_ERR_NOMEM (also a path too long), PV_ERR_MALFORMED (damaged or somebody else's),
 * PV_ERR_UNSUPPORTED (another schema), -EACCES, -ENOSPC, -EBUSY, -EIO.
 * On a full disk a database that needs no change is opened all the same: reading works, writing is
 * -ENOSPC until there is room again; until it is closed no other process can open it then.
 */
PV_MUST_CHECK int pv_sqlite_open(struct pv_sqlite **ret_db, const struct pv_sqlite_kind *kind,
                                 const char *dir, const char *name,
                                 char ret_error[static PV_SQLITE_ERROR_MAX]);
/* Undoes a transaction that was not committed, and closes. The caller has finalized its statements.
 * NULL is fine; returns NULL. */
struct pv_sqlite *pv_sqlite_close(struct pv_sqlite *db);

/* Statements without results; -EIO: pv_sqlite_explain() says why. */
PV_MUST_CHECK int pv_sqlite_exec(struct pv_sqlite *db, const char *sql);
/* Ends the transaction of pv_sqlite_open(), the tables made. Errors as there. */
PV_MUST_CHECK int pv_sqlite_commit(struct pv_sqlite *db,
                                   char ret_error[static PV_SQLITE_ERROR_MAX]);

/* Puts what the log has into the database and makes it empty, without waiting for others. False:
 * another program reads the database, or there was an error. */
bool pv_sqlite_empty_log(struct pv_sqlite *db);

/* SQLite's last failure as a status, as above, and a sentence that begins with what was done to the
 * database: "open", "write". */
int pv_sqlite_explain(const struct pv_sqlite *db, const char *what,
                      char ret_error[static PV_SQLITE_ERROR_MAX]);

/* The rows read make no sense: the same for the caller's own finding. PV_ERR_MALFORMED. */
int pv_sqlite_damaged(const struct pv_sqlite *db, const char *what,
                      char ret_error[static PV_SQLITE_ERROR_MAX]);

/* Returns true if SQLite's own check, which reads the whole database once, finds nothing. */
bool pv_sqlite_is_whole(sqlite3 *db);

/* Opens the database of a program to read it beside a program that runs: it is checked as by
 * pv_sqlite_open(), but neither made nor changed, and no transaction is begun. Errors as there, and
 * PV_ERR_NOT_FOUND: there is none. */
PV_MUST_CHECK int pv_sqlite_open_beside(struct pv_sqlite **ret_db,
                                        const struct pv_sqlite_kind *kind, const char *dir,
                                        const char *name,
                                        char ret_error[static PV_SQLITE_ERROR_MAX]);

/* The name of a VFS of SQLite that takes names as they are, relative ones too: for a program that
 * works in a directory whose path it may not walk. NULL: the standard one. */
const char *pv_sqlite_vfs(void);

/* The file, and the connection, until close. */
const char *pv_sqlite_path(const struct pv_sqlite *db);
sqlite3 *pv_sqlite_handle(const struct pv_sqlite *db);
