/* SPDX-License-Identifier: MIT */
/* Copies in SQLite: their time, quotas and who gives way. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/store/store_sqlite_int.h"

/* The clock by which copies grow old; before its first look it is the wall clock. */
int pv_sqlitestore_clock(struct pv_sqlitestore *s, uint64_t wall_s, struct pv_ageclock *ret_clock,
                         bool *ret_found)
{
    sqlite3_stmt *st = s->sql[PV_SQL_AGE_READ];
    int code = sqlite3_step(st);
    *ret_found = code == SQLITE_ROW;
    *ret_clock = (struct pv_ageclock){wall_s, wall_s};
    if (code == SQLITE_ROW)
        *ret_clock = (struct pv_ageclock){(uint64_t)sqlite3_column_int64(st, 0),
                                          (uint64_t)sqlite3_column_int64(st, 1)};
    sqlite3_reset(st);
    return code == SQLITE_ROW || code == SQLITE_DONE ? PV_OK : -EIO;
}

/* Looks at the wall clock where it is time to. The first look finds copies that an earlier program
 * stored with the wall clock's time, which may have been wrong: none is from the future, or it
 * would stay for ever. */
static int look_at_clock(struct pv_sqlitestore *s, uint64_t wall_s, uint64_t *ret_now_s)
{
    struct pv_ageclock c;
    bool found;
    int r = pv_sqlitestore_clock(s, wall_s, &c, &found);
    if (r == PV_OK && !found) {
        sqlite3_bind_int64(s->sql[PV_SQL_COPY_FUTURE], 1, (sqlite3_int64)wall_s);
        r = pv_sqlitestore_run(s, PV_SQL_COPY_FUTURE);
    }
    if (r == PV_OK && (!found || pv_ageclock_due(&c, wall_s))) {
        pv_ageclock_look(&c, wall_s);
        sqlite3_bind_int64(s->sql[PV_SQL_AGE_WRITE], 1, (sqlite3_int64)c.age_s);
        sqlite3_bind_int64(s->sql[PV_SQL_AGE_WRITE], 2, (sqlite3_int64)c.seen_s);
        r = pv_sqlitestore_run(s, PV_SQL_AGE_WRITE);
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
    sqlite3_bind_int64(s->sql[PV_SQL_COPY_OLD], 1, (sqlite3_int64)from);
    return pv_sqlitestore_run(s, PV_SQL_COPY_OLD);
}

/* Binds ?1 and ?2 of all statements about copies: the network and the receiver. */
static void bind_copy(sqlite3_stmt *st, const struct pv_storeop_copy *m)
{
    pv_sqlitestore_bind(st, 1, m->network, sizeof(m->network));
    pv_sqlitestore_bind(st, 2, m->to, sizeof(m->to));
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

/* The sums of stored copies, in the order of PV_SQL_COPY_ROOM. */
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
    sqlite3_stmt *st = s->sql[PV_SQL_COPY_ROOM];
    int r = -EIO;
    bind_copy(st, &op->copy);
    pv_sqlitestore_bind(st, 3, op->copy.from, sizeof(op->copy.from));
    pv_sqlitestore_bind(st, 4, op->copy.key, sizeof(op->copy.key));
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
    sqlite3_stmt *st = s->sql[PV_SQL_MOST_OF_DISK];
    pv_sqlitestore_bind(st, 1, op->copy.network, sizeof(op->copy.network));
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
    enum pv_sqlitestore_sql which =
        room->full == OF_RECEIVER ? PV_SQL_GIVE_WAY_AT : PV_SQL_GIVE_WAY;
    sqlite3_stmt *st = s->sql[which];
    bool disk = room->full == OF_DISK;
    memcpy(network, op->copy.network, sizeof(network));
    int r = disk ? find_greedy(s, op, room, network) : PV_OK;
    if (r != PV_OK)
        return r;
    pv_sqlitestore_bind(st, 1, network, sizeof(network));
    if (room->full == OF_RECEIVER)
        pv_sqlitestore_bind(st, 2, op->copy.to, sizeof(op->copy.to));
    pv_sqlitestore_bind(st, 3, op->copy.from, disk ? 0 : sizeof(op->copy.from));
    sqlite3_bind_int64(st, 4, disk ? 0 : room->own);
    sqlite3_bind_int64(st, 5, room->copies);
    sqlite3_bind_int64(st, 6, room->bytes);
    sqlite3_bind_int64(st, 7, room->full == OF_RECEIVER ? PV_STOREOP_COPY_EACH : 0);
    r = pv_sqlitestore_run(s, which);
    return r == PV_OK && sqlite3_changes(s->db) == 0 ? PV_ERR_REFUSED : r;
}

/* Copies deleted for one that is refused in the end come back. */
static int make_room(struct pv_sqlitestore *s, const struct pv_storeop *op)
{
    struct room room;
    int r = copy_room(s, op, &room);
    if (r != PV_ERR_AGAIN)
        return r;
    if (pv_sqlitestore_run(s, PV_SQL_TRY) < 0)
        return -EIO;
    for (int turn = 0; r == PV_ERR_AGAIN && turn < TURNS_MAX; turn++) {
        r = give_way(s, op, &room);
        if (r == PV_OK)
            r = copy_room(s, op, &room);
    }
    if (r == PV_ERR_AGAIN)
        r = PV_ERR_REFUSED;
    if (r == PV_ERR_REFUSED && pv_sqlitestore_run(s, PV_SQL_TRY_UNDO) < 0)
        return -EIO;
    if (r != PV_OK && r != PV_ERR_REFUSED)
        return r; /* the operation is undone, and this with it */
    return pv_sqlitestore_run(s, PV_SQL_TRY_END) < 0 ? -EIO : r;
}

/* A copy that is there already counts as kept: the sender did not get the answer the first time. */
int pv_sqlitestore_keep(struct pv_sqlitestore *s, const struct pv_storeop *op)
{
    sqlite3_stmt *st = s->sql[PV_SQL_COPY_KEEP];
    uint64_t now_s;
    int r = drop_old_copies(s, op->copy.wall_s, &now_s);
    if (r == PV_OK)
        r = make_room(s, op);
    if (r != PV_OK)
        return r == PV_ERR_EXISTS ? PV_OK : r;
    bind_copy(st, &op->copy);
    pv_sqlitestore_bind(st, 3, op->copy.from, sizeof(op->copy.from));
    pv_sqlitestore_bind(st, 4, op->copy.key, sizeof(op->copy.key));
    sqlite3_bind_int64(st, 5, (sqlite3_int64)now_s);
    sqlite3_bind_int64(st, 6, (sqlite3_int64)op->box.len);
    pv_sqlitestore_bind(st, 7, op->box.ptr, op->box.len);
    return pv_sqlitestore_run(s, PV_SQL_COPY_KEEP);
}

/* Gives the oldest copy behind `after`, in memory of its own, as the row is gone with the next step
 * of the statement. */
static int next_copy(struct pv_sqlitestore *s, const struct pv_storeop_copy *m,
                     struct pv_storeop_collected **ret_collected)
{
    sqlite3_stmt *st = s->sql[PV_SQL_COPY_NEXT];
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
int pv_sqlitestore_collect(struct pv_sqlitestore *s, const struct pv_storeop *op,
                           struct pv_storeop_collected **ret_collected)
{
    sqlite3_stmt *st = s->sql[PV_SQL_COPY_DROP];
    uint64_t now_s;
    int r = drop_old_copies(s, op->copy.wall_s, &now_s);
    if (r == PV_OK && op->copy.n > 0) {
        bind_copy(st, &op->copy);
        sqlite3_bind_int64(st, 3, (sqlite3_int64)op->copy.n);
        r = pv_sqlitestore_run(s, PV_SQL_COPY_DROP);
    }
    return r == PV_OK ? next_copy(s, &op->copy, ret_collected) : r;
}
