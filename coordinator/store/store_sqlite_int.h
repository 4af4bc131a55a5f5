/* SPDX-License-Identifier: MIT */
/*
 * store_sqlite_int.h - what the files of the store in SQLite share. Not for others. Each calls only
 * those above it in this list:
 *
 *   store_sqlite_copies.c   keeping a copy, and collecting one
 *   store_sqlite.c          everything else, and the text of all statements
 */
#ifndef PV_STORE_SQLITE_INT_H
#define PV_STORE_SQLITE_INT_H

#include <errno.h>

#include "base/ageclock.h"
#include "coordinator/store/store_sqlite.h"

enum pv_sqlitestore_sql {
    PV_SQL_BEGIN,
    PV_SQL_COMMIT,
    PV_SQL_ROLLBACK,
    PV_SQL_SAVE,
    PV_SQL_RELEASE,
    PV_SQL_UNDO,
    PV_SQL_INSERT,
    PV_SQL_DELETE,
    PV_SQL_REDEEM,
    PV_SQL_MARK,
    PV_SQL_FIND_MEMBER,
    PV_SQL_AGE_READ,
    PV_SQL_AGE_WRITE,
    PV_SQL_COPY_FUTURE,
    PV_SQL_COPY_OLD,
    PV_SQL_COPY_ROOM,
    PV_SQL_TRY,
    PV_SQL_TRY_UNDO,
    PV_SQL_TRY_END,
    PV_SQL_MOST_OF_DISK,
    PV_SQL_GIVE_WAY_AT,
    PV_SQL_GIVE_WAY,
    PV_SQL_COPY_KEEP,
    PV_SQL_COPY_DROP,
    PV_SQL_COPY_NEXT,
    PV_SQL_DROP_STATEMENTS,
    PV_SQL_DROP_INVITES,
    PV_SQL_DROP_COPIES,
    PV_SQL_DROP_USE,
    PV_SQL_COUNT,
};

struct pv_sqlitestore {
    struct pv_coordstore base;
    struct pv_sqlite *file;
    sqlite3 *db;                     /* of file */
    sqlite3_stmt *sql[PV_SQL_COUNT]; /* prepared, by enum pv_sqlitestore_sql */
    bool held;                       /* all operations are parts of one transaction */
};

/* Runs a prepared statement that gives no rows, and makes it ready for the next time. */
static inline int pv_sqlitestore_run(struct pv_sqlitestore *s, enum pv_sqlitestore_sql which)
{
    int code = sqlite3_step(s->sql[which]);
    sqlite3_reset(s->sql[which]);
    return code == SQLITE_DONE ? PV_OK : -EIO;
}

/* An empty value is NULL. The bytes have to live until the statement has run (SQLITE_STATIC). */
static inline void pv_sqlitestore_bind(sqlite3_stmt *st, int i, const void *data, size_t len)
{
    if (len == 0)
        sqlite3_bind_null(st, i);
    else
        sqlite3_bind_blob(st, i, data, (int)len, SQLITE_STATIC);
}

/* The clock by which copies grow old; before its first look, ret_found false, the wall clock. */
int pv_sqlitestore_clock(struct pv_sqlitestore *s, uint64_t wall_s, struct pv_ageclock *ret_clock,
                         bool *ret_found);
/* Operations of storeop.h: statuses, and -EIO. */
int pv_sqlitestore_keep(struct pv_sqlitestore *s, const struct pv_storeop *op);
int pv_sqlitestore_collect(struct pv_sqlitestore *s, const struct pv_storeop *op,
                           struct pv_storeop_collected **ret_collected);

#endif /* PV_STORE_SQLITE_INT_H */
