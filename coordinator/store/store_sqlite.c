/* SPDX-License-Identifier: MIT */
/* The operations of core/storeop.h in SQL, and copies: their time, quotas and who gives way.
 * Statements are prepared once; each operation is a savepoint of one transaction, so that one fsync
 * serves all that wait together. */
#include "coordinator/store/store_sqlite.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ageclock.h"
#include "coordinator/store/schema.sql.h"
#include "coordinator/store/statements.sql.h"
#include "coordinator/store/store.h"
#include "sys/file/sqlquery.h"
#include "sys/proc/clock.h"

enum sql {
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_SAVE,
    SQL_RELEASE,
    SQL_UNDO,
    SQL_INSERT,
    SQL_DELETE,
    SQL_REDEEM,
    SQL_MARK,
    SQL_FIND_MEMBER,
    SQL_AGE_READ,
    SQL_AGE_WRITE,
    SQL_COPY_FUTURE,
    SQL_COPY_OLD,
    SQL_COPY_ROOM,
    SQL_TRY,
    SQL_TRY_UNDO,
    SQL_TRY_END,
    SQL_MOST_OF_DISK,
    SQL_GIVE_WAY_AT,
    SQL_GIVE_WAY,
    SQL_COPY_KEEP,
    SQL_COPY_DROP,
    SQL_COPY_NEXT,
    SQL_LOG_HASH,
    SQL_LOG_APPEND,
    SQL_LOG_CUT,
    SQL_DROP_STATEMENTS,
    SQL_DROP_LOG,
    SQL_DROP_INVITES,
    SQL_DROP_COPIES,
    SQL_DROP_USE,
    SQL_COUNT,
};

struct pv_sqlitestore {
    struct pv_coordstore base;
    struct pv_sqlite *file;
    sqlite3 *db;                  /* of file */
    sqlite3_stmt *sql[SQL_COUNT]; /* prepared, by enum sql */
    bool held;                    /* all operations are parts of one transaction */
};

/* Runs a prepared statement that gives no rows, and makes it ready for the next time. */
static inline int run(struct pv_sqlitestore *s, enum sql which)
{
    int code = sqlite3_step(s->sql[which]);
    sqlite3_reset(s->sql[which]);
    return code == SQLITE_DONE ? PV_OK : -EIO;
}

/* An empty value is NULL. The bytes have to live until the statement has run (SQLITE_STATIC). */
static inline void bind(sqlite3_stmt *st, int i, const void *data, size_t len)
{
    if (len == 0)
        sqlite3_bind_null(st, i);
    else
        sqlite3_bind_blob(st, i, data, (int)len, SQLITE_STATIC);
}

/* The clock by which copies grow old; before its first look it is the wall clock. */
static int age_clock(struct pv_sqlitestore *s, uint64_t wall_s, struct pv_ageclock *ret_clock,
                     bool *ret_found)
{
    sqlite3_stmt *st = s->sql[SQL_AGE_READ];
    int code = sqlite3_step(st);
    *ret_found = code == SQLITE_ROW;
    *ret_clock = (struct pv_ageclock){wall_s, wall_s};
    if (code == SQLITE_ROW)
        *ret_clock = (struct pv_ageclock){(uint64_t)sqlite3_column_int64(st, 0),
                                          (uint64_t)sqlite3_column_int64(st, 1)};
    sqlite3_reset(st);
    return code == SQLITE_ROW || code == SQLITE_DONE ? PV_OK : -EIO;
}

/* Looks at the wall clock when the age clock is due. Before the first look a transfer may have
 * brought copies whose times are ahead of this machine's clock: none stays from the future, or it
 * would stay for ever. */
static int look_at_clock(struct pv_sqlitestore *s, uint64_t wall_s, uint64_t *ret_now_s)
{
    struct pv_ageclock c;
    bool found;
    int r = age_clock(s, wall_s, &c, &found);
    if (r == PV_OK && !found) {
        sqlite3_bind_int64(s->sql[SQL_COPY_FUTURE], 1, (sqlite3_int64)wall_s);
        r = run(s, SQL_COPY_FUTURE);
    }
    if (r == PV_OK && (!found || pv_ageclock_due(&c, wall_s))) {
        pv_ageclock_look(&c, wall_s);
        sqlite3_bind_int64(s->sql[SQL_AGE_WRITE], 1, (sqlite3_int64)c.age_s);
        sqlite3_bind_int64(s->sql[SQL_AGE_WRITE], 2, (sqlite3_int64)c.seen_s);
        r = run(s, SQL_AGE_WRITE);
    }
    *ret_now_s = pv_ageclock_now(&c, wall_s);
    return r;
}

/* Drops copies whose time is over. KEEP and COLLECT call it, so it needs no timer. A transfer
 * brings copies with the times that they have, and must lose none. */
static int drop_old_copies(struct pv_sqlitestore *s, uint64_t wall_s, uint64_t *ret_now_s)
{
    *ret_now_s = wall_s;
    int r = s->held ? PV_OK : look_at_clock(s, wall_s, ret_now_s);
    if (r < 0 || s->held)
        return r;
    uint64_t from = *ret_now_s < PV_STOREOP_COPY_S ? 0 : *ret_now_s - PV_STOREOP_COPY_S;
    sqlite3_bind_int64(s->sql[SQL_COPY_OLD], 1, (sqlite3_int64)from);
    return run(s, SQL_COPY_OLD);
}

/* Binds ?1 and ?2 of all statements about copies: the network and the receiver. */
static void bind_copy(sqlite3_stmt *st, const struct pv_storeop_copy *m)
{
    bind(st, 1, m->network, sizeof(m->network));
    bind(st, 2, m->to, sizeof(m->to));
}

/* Whose room is full, so that somebody gives way there. */
enum shared {
    OF_RECEIVER,
    OF_NETWORK,
    OF_DISK,
};

struct room {
    enum shared full;
    sqlite3_int64 own;           /* what the sender, or at OF_DISK its network, would have of it */
    sqlite3_int64 copies, bytes; /* so many too many */
};

enum {
    TURNS_MAX = 32, /* ours: so often others give way to one copy: on a full disk, a network each */
};

/* The sums of stored copies, in the order of SQL_COPY_ROOM. */
struct sums {
    sqlite3_int64 to, to_bytes, from, from_bytes, there, pair, pair_bytes, network, all;
};

static sqlite3_int64 above(sqlite3_int64 n, sqlite3_int64 limit)
{
    return n > limit ? n - limit : 0;
}

/* By how many bytes its copies are too many for a network that would have so many of so many. */
static sqlite3_int64 above_part(sqlite3_int64 network, sqlite3_int64 all, sqlite3_int64 limit)
{
    sqlite3_int64 part = above(network, PV_STOREOP_COPY_NET_BYTES);
    sqlite3_int64 half = above(all, PV_STOREOP_COPY_BYTES / 2);
    sqlite3_int64 shared = part < half ? part : half;
    sqlite3_int64 own = limit > 0 ? above(network, limit) : 0;
    return own > shared ? own : shared;
}

/* PV_OK: there is room. PV_ERR_AGAIN: when somebody gives way, as *ret_room says. PV_ERR_EXISTS: it
 * is there already, which counts before any quota. PV_ERR_REFUSED: the sender has all that it may
 * have. */
static int judge(const struct sums *n, const struct pv_storeop *op, struct room *ret_room)
{
    const sqlite3_int64 len = (sqlite3_int64)op->box.len, limit = (sqlite3_int64)op->copy.room;
    const sqlite3_int64 network = n->network + len, all = n->all + len;
    if (n->there != 0)
        return PV_ERR_EXISTS;
    /* Beyond its part a sender may go on while half of the receiver's room is free, and a network
     * while half of the disk's is. */
    if (n->from >= PV_STOREOP_COPY_FROM || n->from_bytes + len > PV_STOREOP_COPY_FROM_BYTES ||
        ((n->pair >= PV_STOREOP_COPY_PAIR || n->pair_bytes + len > PV_STOREOP_COPY_PAIR_BYTES) &&
         (n->to >= PV_STOREOP_COPY_TO / 2 || n->to_bytes + len > PV_STOREOP_COPY_TO_BYTES / 2)))
        return PV_ERR_REFUSED;
    if (n->to >= PV_STOREOP_COPY_TO || n->to_bytes + len > PV_STOREOP_COPY_TO_BYTES)
        *ret_room =
            (struct room){OF_RECEIVER, n->pair_bytes + len + (n->pair + 1) * PV_STOREOP_COPY_EACH,
                          above(n->to + 1, PV_STOREOP_COPY_TO),
                          above(n->to_bytes + len, PV_STOREOP_COPY_TO_BYTES)};
    else if (above_part(network, all, limit) > 0)
        *ret_room =
            (struct room){OF_NETWORK, n->from_bytes + len, 0, above_part(network, all, limit)};
    else if (all > PV_STOREOP_COPY_BYTES)
        *ret_room = (struct room){OF_DISK, network, 0, above(all, PV_STOREOP_COPY_BYTES)};
    else
        return PV_OK;
    return PV_ERR_AGAIN;
}

static int copy_room(struct pv_sqlitestore *s, const struct pv_storeop *op, struct room *ret_room)
{
    sqlite3_stmt *st = s->sql[SQL_COPY_ROOM];
    int r = -EIO;
    bind_copy(st, &op->copy);
    bind(st, 3, op->copy.from, sizeof(op->copy.from));
    bind(st, 4, op->copy.key, sizeof(op->copy.key));
    if (sqlite3_step(st) == SQLITE_ROW) {
        const struct sums n = {
            sqlite3_column_int64(st, 0), sqlite3_column_int64(st, 1), sqlite3_column_int64(st, 2),
            sqlite3_column_int64(st, 3), sqlite3_column_int64(st, 4), sqlite3_column_int64(st, 5),
            sqlite3_column_int64(st, 6), sqlite3_column_int64(st, 7), sqlite3_column_int64(st, 8)};
        r = judge(&n, op, ret_room);
    }
    sqlite3_reset(st);
    return r;
}

/* The network that has most of the disk gives way, down to what the sender's would have.
 * PV_ERR_REFUSED: none has more. */
static int find_greedy(struct pv_sqlitestore *s, const struct pv_storeop *op, struct room *room,
                       uint8_t ret_network[static PV_NETWORK_ID_LEN])
{
    sqlite3_stmt *st = s->sql[SQL_MOST_OF_DISK];
    bind(st, 1, op->copy.network, sizeof(op->copy.network));
    int code = sqlite3_step(st);
    int r = code == SQLITE_ROW || code == SQLITE_DONE ? PV_ERR_REFUSED : -EIO;
    if (code == SQLITE_ROW && sqlite3_column_bytes(st, 0) == PV_NETWORK_ID_LEN &&
        sqlite3_column_int64(st, 1) > room->own) {
        sqlite3_int64 more = sqlite3_column_int64(st, 1) - room->own;
        memcpy(ret_network, sqlite3_column_blob(st, 0), PV_NETWORK_ID_LEN);
        room->bytes = more < room->bytes ? more : room->bytes;
        r = PV_OK;
    }
    sqlite3_reset(st);
    return r;
}

/* Few must not keep the others out by having been first. The newest copies go, so that the
 * beginning of a conversation stays; their sender has the messages until they were delivered. */
static int give_way(struct pv_sqlitestore *s, const struct pv_storeop *op, struct room *room)
{
    uint8_t network[PV_NETWORK_ID_LEN];
    enum sql which = room->full == OF_RECEIVER ? SQL_GIVE_WAY_AT : SQL_GIVE_WAY;
    sqlite3_stmt *st = s->sql[which];
    bool disk = room->full == OF_DISK;
    memcpy(network, op->copy.network, sizeof(network));
    int r = disk ? find_greedy(s, op, room, network) : PV_OK;
    if (r != PV_OK)
        return r;
    bind(st, 1, network, sizeof(network));
    if (room->full == OF_RECEIVER)
        bind(st, 2, op->copy.to, sizeof(op->copy.to));
    bind(st, 3, op->copy.from, disk ? 0 : sizeof(op->copy.from));
    sqlite3_bind_int64(st, 4, disk ? 0 : room->own);
    sqlite3_bind_int64(st, 5, room->copies);
    sqlite3_bind_int64(st, 6, room->bytes);
    sqlite3_bind_int64(st, 7, room->full == OF_RECEIVER ? PV_STOREOP_COPY_EACH : 0);
    r = run(s, which);
    return r == PV_OK && sqlite3_changes(s->db) == 0 ? PV_ERR_REFUSED : r;
}

/* Copies deleted for one that is refused in the end come back. */
static int make_room(struct pv_sqlitestore *s, const struct pv_storeop *op)
{
    struct room room;
    int r = copy_room(s, op, &room);
    if (r != PV_ERR_AGAIN)
        return r;
    if (run(s, SQL_TRY) < 0)
        return -EIO;
    for (int turn = 0; r == PV_ERR_AGAIN && turn < TURNS_MAX; turn++) {
        r = give_way(s, op, &room);
        if (r == PV_OK)
            r = copy_room(s, op, &room);
    }
    if (r == PV_ERR_AGAIN)
        r = PV_ERR_REFUSED;
    if (r == PV_ERR_REFUSED && run(s, SQL_TRY_UNDO) < 0)
        return -EIO;
    if (r != PV_OK && r != PV_ERR_REFUSED)
        return r; /* the operation is undone, and this with it */
    return run(s, SQL_TRY_END) < 0 ? -EIO : r;
}

/* A copy that is there already counts as kept: the sender did not get the answer the first time. */
static int keep_copy(struct pv_sqlitestore *s, const struct pv_storeop *op)
{
    sqlite3_stmt *st = s->sql[SQL_COPY_KEEP];
    uint64_t now_s;
    int r = drop_old_copies(s, op->copy.wall_s, &now_s);
    if (r == PV_OK)
        r = make_room(s, op);
    if (r != PV_OK)
        return r == PV_ERR_EXISTS ? PV_OK : r;
    bind_copy(st, &op->copy);
    bind(st, 3, op->copy.from, sizeof(op->copy.from));
    bind(st, 4, op->copy.key, sizeof(op->copy.key));
    sqlite3_bind_int64(st, 5, (sqlite3_int64)now_s);
    sqlite3_bind_int64(st, 6, (sqlite3_int64)op->box.len);
    bind(st, 7, op->box.ptr, op->box.len);
    return run(s, SQL_COPY_KEEP);
}

/* Gives the oldest copy behind `after`, in memory of its own, as the row is gone with the next step
 * of the statement. */
static int next_copy(struct pv_sqlitestore *s, const struct pv_storeop_copy *m,
                     struct pv_storeop_collected **ret_collected)
{
    sqlite3_stmt *st = s->sql[SQL_COPY_NEXT];
    bind_copy(st, m);
    sqlite3_bind_int64(st, 3, (sqlite3_int64)m->after);
    int code = sqlite3_step(st);
    int r = code == SQLITE_DONE ? PV_OK : -EIO;
    if (code == SQLITE_ROW && sqlite3_column_bytes(st, 1) == PV_SIGN_PK_LEN) {
        size_t len = (size_t)sqlite3_column_bytes(st, 2);
        struct pv_storeop_collected *p = malloc(sizeof(*p) + len);
        r = p == NULL ? PV_ERR_NOMEM : PV_OK;
        if (p != NULL) {
            p->n = (uint64_t)sqlite3_column_int64(st, 0);
            memcpy(p->from, sqlite3_column_blob(st, 1), sizeof(p->from));
            p->len = len;
            if (len > 0)
                memcpy(p->box, sqlite3_column_blob(st, 2), len);
            *ret_collected = p;
        }
    }
    sqlite3_reset(st);
    return r;
}

/* Drops the copy that the receiver has stored, and gives the next: nothing is lost when a
 * connection breaks between the two. */
static int collect(struct pv_sqlitestore *s, const struct pv_storeop *op,
                   struct pv_storeop_collected **ret_collected)
{
    sqlite3_stmt *st = s->sql[SQL_COPY_DROP];
    uint64_t now_s;
    int r = drop_old_copies(s, op->copy.wall_s, &now_s);
    if (r == PV_OK && op->copy.n > 0) {
        bind_copy(st, &op->copy);
        sqlite3_bind_int64(st, 3, (sqlite3_int64)op->copy.n);
        r = run(s, SQL_COPY_DROP);
    }
    return r == PV_OK ? next_copy(s, &op->copy, ret_collected) : r;
}

/* Copies of others in network ?1 give way, always the newest of the sender that has most left, as
 * long as it has more than ?4: so many that there are ?5 fewer and ?6 bytes less, or none. ?7: what
 * a copy weighs beside its bytes. "upto" is what its sender had when it came, so the highest goes
 * first. All in one statement: a copy that finds no room costs one look, however small those are
 * that would have had to give way. */
#define GIVE_WAY(whose)                                                                       \
    "WITH s AS (SELECT n, size, sum(size + ?7) OVER (PARTITION BY sender ORDER BY n) AS upto" \
    " FROM mail WHERE network = ?1 AND " whose "),"                                           \
    " o AS (SELECT n, row_number() OVER w AS k, sum(size) OVER w AS freed FROM s"             \
    " WHERE upto > ?4 WINDOW w AS (ORDER BY upto DESC, n DESC))"                              \
    " DELETE FROM mail WHERE n IN (SELECT n FROM o WHERE k <="                                \
    " (SELECT min(k) FROM o WHERE k >= ?5 AND freed >= ?6))"

static const char *const sql_text[SQL_COUNT] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_SAVE] = "SAVEPOINT op",
    [SQL_RELEASE] = "RELEASE op",
    [SQL_UNDO] = "ROLLBACK TO op",
    [SQL_INSERT] = "INSERT INTO statements(epoch, n, network, hash, statement, receipt,"
                   " foreign_receipt, admitter, node, serial, mark)"
                   " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?13)"
                   " ON CONFLICT(network, hash) DO NOTHING",
    [SQL_DELETE] = "DELETE FROM statements WHERE network = ?1 AND hash = ?2",
    [SQL_REDEEM] = pv_redeem_sql,
    [SQL_MARK] = "UPDATE statements SET mark = ?3 WHERE epoch = ?1 AND n = ?2",
    [SQL_FIND_MEMBER] = "SELECT hash FROM statements WHERE network = ?1 AND admitter = ?2"
                        " AND node = ?3 AND serial >= ?4 ORDER BY epoch, n LIMIT 1",
    [SQL_AGE_READ] = "SELECT age, seen FROM age_clock",
    [SQL_AGE_WRITE] = "INSERT OR REPLACE INTO age_clock VALUES(1, ?1, ?2)",
    [SQL_COPY_FUTURE] = "UPDATE mail SET time = ?1 WHERE time > ?1",
    [SQL_COPY_OLD] = "DELETE FROM mail WHERE time < ?1",
    [SQL_COPY_ROOM] = pv_copy_room_sql,
    [SQL_TRY] = "SAVEPOINT room",
    [SQL_TRY_UNDO] = "ROLLBACK TO room",
    [SQL_TRY_END] = "RELEASE room",
    [SQL_MOST_OF_DISK] = "SELECT network, bytes FROM mail_use WHERE network <> ?1"
                         " ORDER BY bytes DESC LIMIT 1",
    [SQL_GIVE_WAY_AT] = GIVE_WAY("receiver = ?2 AND sender <> ?3"),
    /* The few that have most have all that can be had: the index of shares names them. */
    [SQL_GIVE_WAY] = GIVE_WAY("sender IN (SELECT sender FROM mail_share WHERE network = ?1"
                              " AND sender IS NOT ?3 ORDER BY bytes DESC LIMIT 32)"),
    [SQL_COPY_KEEP] = "INSERT INTO mail(network, receiver, sender, key, time, size, box)"
                      " VALUES(?1,?2,?3,?4,?5,?6,?7)",
    [SQL_COPY_DROP] = "DELETE FROM mail WHERE n = ?3 AND network = ?1 AND receiver = ?2",
    [SQL_COPY_NEXT] = "SELECT n, sender, box FROM mail"
                      " WHERE network = ?1 AND receiver = ?2 AND n > ?3 ORDER BY n LIMIT 1",
    [SQL_LOG_HASH] = "SELECT hash FROM log WHERE network = ?1 AND n = ?2",
    [SQL_LOG_APPEND] = "INSERT INTO log SELECT ?1, ?2, ?3, ?4, ?5 WHERE ?2 = 1 +"
                       " (SELECT ifnull(max(n), 0) FROM log WHERE network = ?1) AND (?2 = 1 OR"
                       " ?4 = (SELECT hash FROM log WHERE network = ?1 AND n = ?2 - 1))",
    [SQL_LOG_CUT] = "DELETE FROM log WHERE network = ?1 AND n >= ?2",
    [SQL_DROP_LOG] = "DELETE FROM log WHERE network = ?1",
    [SQL_DROP_STATEMENTS] = "DELETE FROM statements WHERE network = ?1",
    [SQL_DROP_INVITES] = "DELETE FROM invite_use WHERE network = ?1",
    [SQL_DROP_COPIES] = "DELETE FROM mail WHERE network = ?1",
    [SQL_DROP_USE] = "DELETE FROM mail_use WHERE network = ?1",
};

/* --- opening --------------------------------------------------------------------------------- */

const struct pv_sqlite_kind pv_coordstore_kind = {
    .application_id = 0x70327063, /* "p2pc" */
    .schema = PV_COORDSTORE_SCHEMA,
    .program = "p2pvpn-coordinator",
    .damaged = PV_REMEDY_move_store_away,
};

/* Writes why the database fails, as SQLite says it; returns a status. */
static int explain_database(const struct pv_sqlitestore *s, const char *what,
                            char ret_error[static PV_STOREOP_ERROR_MAX])
{
    return pv_sqlite_explain(s->file, what, ret_error);
}

/* When a statement cannot be prepared, the schema is not ours. */
static int prepare_all(struct pv_sqlitestore *s, char ret_error[static PV_STOREOP_ERROR_MAX])
{
    for (int i = 0; i < SQL_COUNT; i++) {
        if (sqlite3_prepare_v3(s->db, sql_text[i], -1, SQLITE_PREPARE_PERSISTENT, &s->sql[i],
                               NULL) != SQLITE_OK)
            return explain_database(s, "open", ret_error);
    }
    return PV_OK;
}

/* SQLite folds the write-ahead log into the database as the last connection ends. */
static struct pv_coordstore *close_store(struct pv_coordstore *store)
{
    struct pv_sqlitestore *s = (struct pv_sqlitestore *)store;
    for (int i = 0; i < SQL_COUNT; i++)
        sqlite3_finalize(s->sql[i]);
    pv_sqlite_close(s->file);
    free(s);
    return NULL;
}

/* --- operations ------------------------------------------------------------------------------ */

/* Binds ?1 to ?10, and ?13, of SQL_INSERT and SQL_REDEEM. */
static int bind_row(sqlite3_stmt *st, const struct pv_storerow *row)
{
    struct pv_statement decoded;
    int r = pv_statement_decode(row->statement, &decoded);
    if (r < 0)
        return r;
    bool member = decoded.type == PV_ST_MEMBER;
    sqlite3_bind_int64(st, 1, (sqlite3_int64)row->epoch);
    sqlite3_bind_int64(st, 2, (sqlite3_int64)row->n);
    bind(st, 3, row->network, sizeof(row->network));
    bind(st, 4, row->hash, sizeof(row->hash));
    bind(st, 5, row->statement.ptr, row->statement.len);
    bind(st, 6, row->receipt.ptr, row->receipt.len);
    bind(st, 7, row->foreign.ptr, row->foreign.len);
    bind(st, 13, row->mark, row->has_mark ? sizeof(row->mark) : 0);
    /* The decoded copies do not live long enough to be bound without being copied. */
    sqlite3_bind_null(st, 8);
    sqlite3_bind_null(st, 9);
    sqlite3_bind_null(st, 10);
    if (member) {
        sqlite3_bind_blob(st, 8, decoded.signer, sizeof(decoded.signer), SQLITE_TRANSIENT);
        sqlite3_bind_blob(st, 9, decoded.u.member.node, sizeof(decoded.u.member.node),
                          SQLITE_TRANSIENT);
        sqlite3_bind_int64(st, 10, pv_column_sortable(decoded.u.member.serial));
    }
    return PV_OK;
}

/* A row that is there already is skipped by its UNIQUE(network, hash): repeating a put changes
 * nothing. */
static int put_statements(struct pv_sqlitestore *s, const struct pv_storeop *op)
{
    int r = PV_OK;
    for (size_t i = 0; i < op->n_rows && r == PV_OK; i++) {
        const struct pv_storerow *row = &op->rows[i];
        if (row->statement.len == 0) {
            bind(s->sql[SQL_DELETE], 1, row->network, sizeof(row->network));
            bind(s->sql[SQL_DELETE], 2, row->hash, sizeof(row->hash));
            r = run(s, SQL_DELETE);
            continue;
        }
        r = bind_row(s->sql[SQL_INSERT], row);
        if (r == PV_OK)
            r = run(s, SQL_INSERT);
    }
    return r;
}

/* Nothing was inserted: is it this node's own statement that stands there, or are the uses gone? */
static int why_not_redeemed(struct pv_sqlitestore *s, const struct pv_storeop *op,
                            uint8_t ret_existing[static PV_STATEMENT_HASH_LEN])
{
    sqlite3_stmt *st = s->sql[SQL_FIND_MEMBER];
    bind(st, 1, op->rows[0].network, sizeof(op->rows[0].network));
    bind(st, 2, op->invite, sizeof(op->invite));
    bind(st, 3, op->node, sizeof(op->node));
    sqlite3_bind_int64(st, 4, pv_column_sortable(op->min_serial));
    int code = sqlite3_step(st);
    int r = code == SQLITE_DONE ? PV_ERR_EXPIRED : -EIO;
    if (code == SQLITE_ROW && sqlite3_column_bytes(st, 0) == PV_STATEMENT_HASH_LEN) {
        memcpy(ret_existing, sqlite3_column_blob(st, 0), PV_STATEMENT_HASH_LEN);
        r = PV_ERR_EXISTS;
    }
    sqlite3_reset(st);
    return r;
}

/* Checking the uses and taking one is a single SQL statement, so two registrations never get the
 * last use both. The number of changed rows says whether it inserted. */
static int redeem_invite(struct pv_sqlitestore *s, const struct pv_storeop *op,
                         uint8_t ret_existing[static PV_STATEMENT_HASH_LEN])
{
    sqlite3_stmt *st = s->sql[SQL_REDEEM];
    int r = bind_row(st, &op->rows[0]);
    if (r < 0)
        return r;
    sqlite3_bind_int64(st, 11, op->uses);
    sqlite3_bind_int64(st, 12, pv_column_sortable(op->min_serial));
    r = run(s, SQL_REDEEM);
    if (r < 0)
        return r;
    return sqlite3_changes(s->db) == 1 ? PV_OK : why_not_redeemed(s, op, ret_existing);
}

/* Returns true if this is entry n of the network's log. */
static bool has_entry(struct pv_sqlitestore *s, const uint8_t *network, uint64_t n,
                      const uint8_t *hash)
{
    sqlite3_stmt *st = s->sql[SQL_LOG_HASH];
    bind(st, 1, network, PV_NETWORK_ID_LEN);
    sqlite3_bind_int64(st, 2, (sqlite3_int64)n);
    bool has = sqlite3_step(st) == SQLITE_ROW &&
               sqlite3_column_bytes(st, 0) == PV_STATEMENT_HASH_LEN &&
               memcmp(sqlite3_column_blob(st, 0), hash, PV_STATEMENT_HASH_LEN) == 0;
    sqlite3_reset(st);
    return has;
}

/* One SQL statement looks at the log's end and inserts behind it. */
static int append_entry(struct pv_sqlitestore *s, const struct pv_storerow *row)
{
    sqlite3_stmt *st = s->sql[SQL_LOG_APPEND];
    const uint8_t *prev = pv_entry_prev(row);
    if (prev == NULL)
        return PV_ERR_REFUSED;
    bind(st, 1, row->network, sizeof(row->network));
    sqlite3_bind_int64(st, 2, (sqlite3_int64)row->n);
    bind(st, 3, row->hash, sizeof(row->hash));
    bind(st, 4, prev, PV_STATEMENT_HASH_LEN);
    bind(st, 5, row->statement.ptr, row->statement.len);
    int r = run(s, SQL_LOG_APPEND);
    if (r < 0 || sqlite3_changes(s->db) == 1)
        return r;
    return has_entry(s, row->network, row->n, row->hash) ? PV_OK : PV_ERR_REFUSED;
}

/* Nothing is cut unless the entries before it are those that the first row rests on. */
static int cut_log(struct pv_sqlitestore *s, const struct pv_storerow *first)
{
    const uint8_t *prev = pv_entry_prev(first);
    if (prev == NULL || (first->n > 1 && !has_entry(s, first->network, first->n - 1, prev)))
        return PV_ERR_REFUSED;
    bind(s->sql[SQL_LOG_CUT], 1, first->network, sizeof(first->network));
    sqlite3_bind_int64(s->sql[SQL_LOG_CUT], 2, (sqlite3_int64)first->n);
    return run(s, SQL_LOG_CUT);
}

static int append_entries(struct pv_sqlitestore *s, const struct pv_storeop *op)
{
    int r = op->cut ? cut_log(s, &op->rows[0]) : PV_OK;
    for (size_t i = 0; i < op->n_rows && r == PV_OK; i++)
        r = append_entry(s, &op->rows[i]);
    return r;
}

/* The sum goes last: each copy that goes takes its bytes from it. */
static int drop_network(struct pv_sqlitestore *s, const struct pv_storeop *op)
{
    static const enum sql all[] = {SQL_DROP_STATEMENTS, SQL_DROP_LOG, SQL_DROP_INVITES,
                                   SQL_DROP_COPIES, SQL_DROP_USE};
    int r = PV_OK;
    for (size_t i = 0; i < PV_ARRAY_LEN(all) && r == PV_OK; i++) {
        bind(s->sql[all[i]], 1, op->copy.network, sizeof(op->copy.network));
        r = run(s, all[i]);
    }
    return r;
}

/* Runs the function of an operation's kind. */
static int run_kind(struct pv_sqlitestore *s, const struct pv_storeop *op,
                    struct pv_storeop_result *result)
{
    switch (op->kind) {
    case PV_STOREOP_REGISTER:
        return redeem_invite(s, op, result->existing);
    case PV_STOREOP_KEEP:
        return keep_copy(s, op);
    case PV_STOREOP_COLLECT:
        return collect(s, op, &result->collected);
    case PV_STOREOP_APPEND:
        return append_entries(s, op);
    case PV_STOREOP_DROP:
        return drop_network(s, op);
    case PV_STOREOP_HOME: /* a file is one coordinator's */
    case PV_STOREOP_LEAVE:
        return PV_ERR_UNSUPPORTED;
    case PV_STOREOP_PUT:
        break;
    }
    return put_statements(s, op);
}

/* Runs one operation inside its savepoint, so that a failure undoes it alone. A full quota or a
 * used-up invite is an answer, not a failure. */
static void run_operation(struct pv_sqlitestore *s, const struct pv_storeop *op,
                          struct pv_storeop_result *result)
{
    int r = run(s, SQL_SAVE);
    if (r == PV_OK)
        r = run_kind(s, op, result);
    result->status = r;
    if (r != PV_OK && r != PV_ERR_EXISTS && r != PV_ERR_EXPIRED && r != PV_ERR_REFUSED) {
        result->status = explain_database(s, "write", result->error);
        if (run(s, SQL_UNDO) < 0)
            return; /* the whole transaction is gone: the commit says so */
    }
    if (run(s, SQL_RELEASE) < 0 && result->status == PV_OK)
        result->status = explain_database(s, "write", result->error);
}

/* The transaction could not be begun or ended: none of them is on disk. The first operation that
 * failed, if any did, knows the reason best: a full disk undoes the whole transaction at once. */
static void fail_operations(struct pv_sqlitestore *s, struct pv_storeop_result *results, size_t n)
{
    char error[PV_STOREOP_ERROR_MAX];
    int status = explain_database(s, "write", error);
    for (size_t i = n; i > 0; i--) {
        if (results[i - 1].error[0] == '\0')
            continue;
        status = results[i - 1].status;
        memcpy(error, results[i - 1].error, sizeof(error));
    }
    if (!sqlite3_get_autocommit(s->db))
        (void)run(s, SQL_ROLLBACK);
    for (size_t i = 0; i < n; i++) {
        results[i].status = status;
        free(results[i].collected);
        results[i].collected = NULL;
        memcpy(results[i].error, error, sizeof(error));
    }
}

/* Answers count only when the transaction is committed; before that nobody sees them. */
static void run_operations(struct pv_coordstore *store, struct pv_storeop *const *ops,
                           struct pv_storeop_result *results, size_t n)
{
    struct pv_sqlitestore *s = (struct pv_sqlitestore *)store;
    for (size_t i = 0; i < n; i++)
        results[i] = (struct pv_storeop_result){.id = ops[i]->id};
    if (!s->held && run(s, SQL_BEGIN) < 0) {
        fail_operations(s, results, n);
        return;
    }
    for (size_t i = 0; i < n; i++)
        run_operation(s, ops[i], &results[i]);
    if (!s->held && run(s, SQL_COMMIT) < 0)
        fail_operations(s, results, n);
}

static int hold(struct pv_coordstore *store, char ret_error[static PV_STOREOP_ERROR_MAX])
{
    struct pv_sqlitestore *s = (struct pv_sqlitestore *)store;
    if (run(s, SQL_BEGIN) < 0)
        return explain_database(s, "write", ret_error);
    s->held = true;
    return PV_OK;
}

/* A disk that is full may have undone all of it. */
static int keep(struct pv_coordstore *store, char ret_error[static PV_STOREOP_ERROR_MAX])
{
    struct pv_sqlitestore *s = (struct pv_sqlitestore *)store;
    s->held = false;
    return run(s, SQL_COMMIT) < 0 ? explain_database(s, "write", ret_error) : PV_OK;
}

/* --- loading --------------------------------------------------------------------------------- */

/* Ends a query all of whose rows were to be read; r: what their taker said. */
static int end_reading(const struct pv_sqlitestore *s, struct pv_query *q, int r,
                       char ret_error[static PV_STOREOP_ERROR_MAX])
{
    if (r == PV_ERR_MALFORMED)
        pv_sqlite_damaged(s->file, "read", ret_error);
    else if (r < 0)
        snprintf(ret_error, PV_STOREOP_ERROR_MAX, "read %.120s: %s", pv_sqlite_path(s->file),
                 pv_strstatus(r));
    else if (q->rc != SQLITE_DONE)
        r = explain_database(s, "read", ret_error);
    (void)!pv_query_end(q);
    return r;
}

static int read_statement_row(const struct pv_query *q, struct pv_storerow *row)
{
    struct pv_view v[PV_ROW_COLUMNS];
    row->epoch = (uint64_t)sqlite3_column_int64(q->stmt, 0);
    row->n = (uint64_t)sqlite3_column_int64(q->stmt, 1);
    for (int i = 0; i < PV_ROW_COLUMNS; i++)
        v[i] = pv_column_view(q, 2 + i);
    return pv_row_take(row, v);
}

/* Gives a row to its taker, and stores the mark that this may have made. The row's place does not
 * change, so the scan goes on undisturbed. */
static int give_row(struct pv_sqlitestore *s, struct pv_storerow *row,
                    int (*take)(void *ctx, struct pv_storerow *row), void *ctx)
{
    const struct pv_storerow before = *row;
    int r = take(ctx, row);
    if (r != PV_OK || !row->has_mark ||
        (before.has_mark && memcmp(before.mark, row->mark, sizeof(row->mark)) == 0))
        return r;
    sqlite3_stmt *st = s->sql[SQL_MARK];
    sqlite3_bind_int64(st, 1, (sqlite3_int64)row->epoch);
    sqlite3_bind_int64(st, 2, (sqlite3_int64)row->n);
    bind(st, 3, row->mark, sizeof(row->mark));
    (void)run(s, SQL_MARK); /* a disk that is full costs time at the next start */
    return PV_OK;
}

/* The primary key has the order of the log, so one scan gives it. */
static int load_rows(struct pv_coordstore *store, int (*take)(void *ctx, struct pv_storerow *row),
                     void *ctx, char ret_error[static PV_STOREOP_ERROR_MAX])
{
    struct pv_sqlitestore *s = (struct pv_sqlitestore *)store;
    struct pv_query q =
        pv_query(s->db, "SELECT epoch, n, network, hash, statement, receipt, foreign_receipt, mark"
                        " FROM statements ORDER BY epoch, n");
    int r = PV_OK;
    if (!s->held && q.rc == SQLITE_OK)
        (void)run(s, SQL_BEGIN); /* of the marks */
    while (r == PV_OK && pv_query_next(&q)) {
        struct pv_storerow row;
        r = read_statement_row(&q, &row);
        if (r == PV_OK)
            r = give_row(s, &row, take, ctx);
    }
    r = end_reading(s, &q, r, ret_error);
    if (!s->held && !sqlite3_get_autocommit(s->db) && run(s, SQL_COMMIT) < 0)
        (void)run(s, SQL_ROLLBACK);
    return r;
}

/* Networks come in the order of their ids: each log is read as a whole. */
static int each_entry(struct pv_coordstore *store, int (*take)(void *ctx, struct pv_storerow *row),
                      void *ctx, char ret_error[static PV_STOREOP_ERROR_MAX])
{
    struct pv_sqlitestore *s = (struct pv_sqlitestore *)store;
    struct pv_query q =
        pv_query(s->db, "SELECT n, network, hash, entry FROM log ORDER BY network, n");
    int r = PV_OK;
    while (r == PV_OK && pv_query_next(&q)) {
        struct pv_storerow row = {.n = (uint64_t)sqlite3_column_int64(q.stmt, 0)};
        struct pv_view v[PV_ENTRY_COLUMNS];
        for (int i = 0; i < PV_ENTRY_COLUMNS; i++)
            v[i] = pv_column_view(&q, 1 + i);
        r = pv_entry_take(&row, v);
        if (r == PV_OK)
            r = take(ctx, &row);
    }
    return end_reading(s, &q, r, ret_error);
}

/* --- copies, all of them --------------------------------------------------------------------- */

/* ahead_s: by how much the wall clock is ahead of the clock that copies grow old by. Others are
 * told when it came by the wall clock, so that its age goes along. */
static int take_copy(const struct pv_query *q, int64_t ahead_s,
                     int (*take)(void *ctx, const struct pv_storeop_copy *copy, struct pv_view box),
                     void *ctx)
{
    struct pv_storeop_copy m = {.wall_s = (uint64_t)(sqlite3_column_int64(q->stmt, 4) + ahead_s)};
    struct pv_view v[PV_COPY_COLUMNS];
    for (int i = 0; i < PV_COPY_COLUMNS; i++)
        v[i] = pv_column_view(q, i);
    int r = pv_copy_take(&m, v);
    return r == PV_OK ? take(ctx, &m, pv_column_view(q, 5)) : r;
}

static int each_copy(struct pv_coordstore *store,
                     int (*take)(void *ctx, const struct pv_storeop_copy *copy, struct pv_view box),
                     void *ctx, char ret_error[static PV_STOREOP_ERROR_MAX])
{
    struct pv_sqlitestore *s = (struct pv_sqlitestore *)store;
    const uint64_t wall_s = pv_clock_wall_us() / 1000000;
    struct pv_ageclock c;
    bool found;
    int r = age_clock(s, wall_s, &c, &found);
    if (r < 0)
        return explain_database(s, "read", ret_error);
    struct pv_query q =
        pv_query(s->db, "SELECT network, sender, receiver, key, time, box FROM mail ORDER BY n");
    while (r == PV_OK && pv_query_next(&q))
        r = take_copy(&q, (int64_t)(wall_s - pv_ageclock_now(&c, wall_s)), take, ctx);
    return end_reading(s, &q, r, ret_error);
}

/* --- the store ------------------------------------------------------------------------------- */

static const struct pv_coordstore_ops store_ops = {.load = load_rows,
                                                   .run = run_operations,
                                                   .copies = each_copy,
                                                   .entries = each_entry,
                                                   .hold = hold,
                                                   .keep = keep,
                                                   .close = close_store};

/* A file that is no database of ours is refused by pv_sqlite_open() and stays as it is; in ours the
 * schema is made where it is missing. */
int pv_coordstore_open_sqlite(struct pv_coordstore **ret_store, const char *dir,
                              char ret_error[static PV_STOREOP_ERROR_MAX])
{
    struct pv_sqlitestore *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        snprintf(ret_error, PV_STOREOP_ERROR_MAX, "open the database: out of memory");
        return PV_ERR_NOMEM;
    }
    s->base.ops = &store_ops;
    int r = pv_sqlite_open(&s->file, &pv_coordstore_kind, dir, PV_COORDSTORE_FILE, ret_error);
    if (r >= 0) {
        s->db = pv_sqlite_handle(s->file);
        r = pv_sqlite_exec(s->file, pv_schema_sql) < 0 ? explain_database(s, "open", ret_error)
                                                       : pv_sqlite_commit(s->file, ret_error);
    }
    if (r >= 0)
        r = prepare_all(s, ret_error);
    if (r < 0)
        close_store(&s->base);
    else
        *ret_store = &s->base;
    return r;
}

/* --- looking --------------------------------------------------------------------------------- */

/* The database is not checked: that would read all of it. */
void pv_coordstore_bytes(const char *dir,
                         void (*each)(void *ctx, const uint8_t network[static PV_NETWORK_ID_LEN],
                                      uint64_t bytes),
                         void *ctx)
{
    char path[PATH_MAX];
    sqlite3 *db = NULL;
    snprintf(path, sizeof(path), "%.4000s/%s", dir, PV_COORDSTORE_FILE);
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, pv_sqlite_vfs()) ==
        SQLITE_OK) {
        struct pv_query q = pv_query(db, "SELECT network, bytes FROM mail_use");
        while (pv_query_next(&q)) {
            struct pv_view network = pv_column_view(&q, 0);
            if (network.len == PV_NETWORK_ID_LEN)
                each(ctx, network.ptr, pv_column_u64(&q, 1));
        }
        (void)!pv_query_end(&q);
    }
    sqlite3_close(db);
}
