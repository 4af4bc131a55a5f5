/* SPDX-License-Identifier: MIT */
/*
 * chat_db.h - a daemon's tables of chat in memory, and operations on them as chat/store/chatstore.c
 * does them. They survive their users: a test that drops a machine and makes a new one on the same
 * tables plays a restart. Aborts where SQLite fails.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "chat/core/base/chatstore.h"
#include "chat/store/chatschema.h"
#include "chat/store/store_chat.h"

static inline sqlite3 *chat_db_open(void)
{
    sqlite3 *db = NULL;
    if (sqlite3_open(":memory:", &db) != SQLITE_OK || pv_chat_schema(db) != PV_OK)
        abort();
    return db;
}

static inline void chat_db_sql(sqlite3 *db, const char *text)
{
    sqlite3_stmt *q = NULL;
    if (sqlite3_prepare_v2(db, text, -1, &q, NULL) != SQLITE_OK || sqlite3_step(q) != SQLITE_DONE)
        abort();
    sqlite3_finalize(q);
}

/* An operation that fails takes back what it did. */
static inline int chat_db_run(sqlite3 *db, const struct pv_chatop *op,
                              struct pv_chatop_result *ret_result)
{
    chat_db_sql(db, "SAVEPOINT op");
    int r = pv_store_chat_run(db, op, ret_result);
    if (r < 0)
        chat_db_sql(db, "ROLLBACK TO op");
    chat_db_sql(db, "RELEASE op");
    return r;
}

static inline int chat_db_settle(struct pv_chat_store *store)
{
    return PV_OK;
}

static inline size_t chat_db_count(sqlite3 *db)
{
    sqlite3_stmt *q = NULL;
    if (sqlite3_prepare_v2(db, "SELECT count(*) FROM chat_message", -1, &q, NULL) != SQLITE_OK ||
        sqlite3_step(q) != SQLITE_ROW)
        abort();
    size_t n = (size_t)sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    return n;
}

/* The k-th message that was stored, of both directions. */
struct chat_db_row {
    struct pv_chat_record rec; /* rec.text is text */
    bool owed;
    char text[PV_CHAT_TEXT_MAX + 1];
};

static inline void chat_db_copy(sqlite3_stmt *q, int column, void *dst, size_t size)
{
    size_t len = (size_t)sqlite3_column_bytes(q, column);
    if (len > size)
        abort();
    if (len > 0)
        memcpy(dst, sqlite3_column_blob(q, column), len);
}

/* Is there until the fourth after it is read. NULL: there are not so many. */
static inline const struct chat_db_row *chat_db_row(sqlite3 *db, size_t k)
{
    static struct chat_db_row rows[4];
    static size_t next;
    struct chat_db_row *r = &rows[next++ % 4];
    sqlite3_stmt *q = NULL;
    memset(r, 0, sizeof(*r));
    r->rec.text = r->text;
    if (sqlite3_prepare_v2(db,
                           "SELECT id, peer, peer_name, text, outgoing, owed, seq, time_ms,"
                           " iif(state = 0, sent, state + 1)" /* see store_chat.c */
                           " FROM chat_message ORDER BY n LIMIT 1 OFFSET ?",
                           -1, &q, NULL) != SQLITE_OK ||
        sqlite3_bind_int64(q, 1, (int64_t)k) != SQLITE_OK)
        abort();
    if (sqlite3_step(q) != SQLITE_ROW) {
        sqlite3_finalize(q);
        return NULL;
    }
    chat_db_copy(q, 0, r->rec.id, sizeof(r->rec.id));
    chat_db_copy(q, 1, r->rec.peer, sizeof(r->rec.peer));
    chat_db_copy(q, 2, r->rec.peer_name, sizeof(r->rec.peer_name) - 1);
    chat_db_copy(q, 3, r->text, sizeof(r->text) - 1);
    r->rec.outgoing = sqlite3_column_int(q, 4) != 0;
    r->owed = sqlite3_column_int(q, 5) != 0;
    r->rec.seq = (uint64_t)sqlite3_column_int64(q, 6);
    r->rec.time_ms = (uint64_t)sqlite3_column_int64(q, 7);
    r->rec.state = (enum pv_chat_state)sqlite3_column_int(q, 8);
    sqlite3_finalize(q);
    return r;
}

/* So many unread messages of the peer fit, those that are there included: it is as if others of its
 * had been stored. */
static inline void chat_db_leave_room(sqlite3 *db, const uint8_t *peer, unsigned messages)
{
    sqlite3_stmt *q = NULL;
    if (sqlite3_prepare_v2(
            db,
            "INSERT INTO chat_usage (author, peer, unread) SELECT ?1, ?1, ?2 +"
            " count(*) FROM chat_message WHERE peer = ?1 AND outgoing = 0 AND state = 3"
            " ON CONFLICT DO UPDATE SET unread = excluded.unread",
            -1, &q, NULL) != SQLITE_OK ||
        sqlite3_bind_blob(q, 1, peer, PV_SIGN_PK_LEN, SQLITE_STATIC) != SQLITE_OK ||
        sqlite3_bind_int64(q, 2, PV_CHATOP_MAX_UNREAD - (int64_t)messages) != SQLITE_OK ||
        sqlite3_step(q) != SQLITE_DONE)
        abort();
    sqlite3_finalize(q);
}
