/* SPDX-License-Identifier: MIT */
/*
 * store_room_drop.c - hides and deletes texts of rooms. A text that is deleted for this node's user
 * but that another member still lacks is only hidden: history leaves it out, READ hands it on.
 */
#include "daemon/store/store_room_drop.h"

#include <string.h>

#include "daemon/store/store_budget.h"
#include "daemon/store/store_sql.h"

enum {
    DAY_S = 86400,
};

/* When a text came, by our clock; rows of an older program have the sender's. */
#define ARRIVED "CASE m.arrived_s WHEN 0 THEN m.time_ms / 1000 ELSE m.arrived_s END"

struct drop {
    sqlite3 *db;
    const struct pv_roomjob *job;
    const struct pv_chatjob_terms *terms;
    struct pv_chatjob_result *res;
    uint64_t through; /* there is too much: rows up to this one go */
};

static uint64_t ago(const struct drop *d, uint64_t seconds)
{
    return d->terms->now_s > seconds ? d->terms->now_s - seconds : 0;
}

/* Old texts are not shown any more, whoever still lacks them. */
static int hide_old(const struct drop *d)
{
    uint8_t key[PV_SIGN_PK_LEN];
    if (d->job->keep_s == 0)
        return PV_OK;
    struct pv_query q = pv_query(
        d->db, "UPDATE chat_message SET hidden = 1 WHERE n IN (SELECT n FROM chat_message AS m"
               " WHERE peer = ?1 AND hidden = 0 AND state > 0 AND NOT (outgoing = 0 AND state = 3)"
               " AND " ARRIVED " < ?2 ORDER BY n LIMIT ?3)");
    pv_room_key(d->job->room, key);
    pv_bind_blob(&q, key, sizeof(key));
    pv_bind_u64(&q, ago(d, d->job->keep_s));
    pv_bind_u64(&q, PV_ROOMJOB_MAX_DROP);
    int r = pv_query_run(&q);
    d->res->more = d->res->more || sqlite3_changes(d->db) == PV_ROOMJOB_MAX_DROP;
    return r;
}

/* The number up to which the log may go: before the first text that has to stay. */
static int find_end(const struct drop *d, const struct pv_room_have *have, size_t limit,
                    uint64_t *ret_end, size_t *ret_n)
{
    struct pv_query q = pv_query(
        d->db, "SELECT t.seq, " /* may it go, by its state and by who lacks it? */
               " (m.state > 0 OR m.outgoing = 0 OR ?3 >= 9007199254740992)"
               " AND (t.seq <= ?3 OR " ARRIVED " < ?4)"
               " AND (m.hidden = 1 OR (t.n <= ?5 AND (?6 OR m.outgoing = 1 OR m.state <> 3)))"
               " FROM room_text AS t JOIN chat_message AS m ON m.n = t.n"
               " WHERE t.room = ?1 AND t.author = ?2 ORDER BY t.seq LIMIT ?7");
    pv_bind_blob(&q, d->job->room, sizeof(d->job->room));
    pv_bind_blob(&q, have->author, sizeof(have->author));
    pv_bind_u64(&q, have->seq);
    pv_bind_u64(&q, ago(d, (uint64_t)PV_ROOMJOB_HOLD_DAYS * DAY_S));
    pv_bind_u64(&q, d->through);
    pv_bind_u64(&q, d->job->unread);
    pv_bind_u64(&q, limit);
    *ret_n = 0;
    while (pv_query_next(&q) && pv_column_u64(&q, 1) != 0) {
        *ret_end = pv_column_u64(&q, 0);
        ++*ret_n;
    }
    return pv_query_end(&q);
}

/* Runs a statement about the author's texts up to a number. */
static int run_upto(const struct drop *d, const char *sql, const uint8_t *author, uint64_t end)
{
    struct pv_query q = pv_query(d->db, sql);
    pv_bind_blob(&q, d->job->room, sizeof(d->job->room));
    pv_bind_blob(&q, author, PV_SIGN_PK_LEN);
    pv_bind_u64(&q, end);
    return pv_query_run(&q);
}

/* The row of the log stays: it says that what is deleted was here, so that it is not taken again.
 */
static int delete_upto(const struct drop *d, const uint8_t *author, uint64_t end)
{
    int r = run_upto(d,
                     "DELETE FROM chat_message WHERE n IN (SELECT n FROM room_text"
                     " WHERE room = ?1 AND author = ?2 AND seq <= ?3)",
                     author, end);
    if (r == PV_OK)
        r = run_upto(d, "DELETE FROM room_text WHERE room = ?1 AND author = ?2 AND seq <= ?3",
                     author, end);
    return r < 0
               ? r
               : run_upto(d,
                          "UPDATE room_log SET low = max(low, ?3) WHERE room = ?1 AND author = ?2",
                          author, end);
}

int pv_store_room_drop(sqlite3 *db, const struct pv_roomjob *job,
                       const struct pv_chatjob_terms *terms, struct pv_chatjob_result *res)
{
    struct drop d = {.db = db, .job = job, .terms = terms, .res = res};
    int r = pv_store_rooms_excess(db, terms, job->unread, &d.through);
    if (r == PV_OK)
        r = hide_old(&d);
    for (size_t i = 0; r == PV_OK && i < job->n_haves; i++) {
        size_t left = PV_ROOMJOB_MAX_DROP - res->n_deleted, n = 0;
        uint64_t end = 0;
        r = find_end(&d, &job->haves[i], left, &end, &n);
        if (r < 0 || n == 0)
            continue;
        r = delete_upto(&d, job->haves[i].author, end);
        memcpy(res->room->haves[res->room->n_haves].author, job->haves[i].author, PV_SIGN_PK_LEN);
        res->room->haves[res->room->n_haves++].seq = end;
        res->n_deleted += n;
        /* Others wait for the store: the rest is another job. */
        res->more = res->more || n == left;
        if (n == left)
            break;
    }
    uint64_t through = 0;
    if (r == PV_OK)
        r = pv_store_rooms_excess(db, terms, true, &through);
    res->room->over = through > 0;
    return r;
}

/* --- FORGET -------------------------------------------------------------------------------- */

/* The row of the last text that goes now; 0: there is none. */
static int find_page(sqlite3 *db, const uint8_t *key, uint64_t *ret_n)
{
    struct pv_query q = pv_query(db, "SELECT max(n) FROM (SELECT n FROM chat_message"
                                     " WHERE peer = ? ORDER BY n LIMIT ?)");
    pv_bind_blob(&q, key, PV_SIGN_PK_LEN);
    pv_bind_u64(&q, PV_ROOMJOB_MAX_DROP);
    *ret_n = pv_query_next(&q) ? pv_column_u64(&q, 0) : 0;
    return pv_query_end(&q);
}

static int delete_page(sqlite3 *db, const uint8_t *room, const uint8_t *key, uint64_t through)
{
    struct pv_query q = pv_query(db, "DELETE FROM room_text WHERE room = ? AND n <= ?");
    pv_bind_blob(&q, room, PV_ROOM_ID_LEN);
    pv_bind_u64(&q, through);
    int r = pv_query_run(&q);
    if (r < 0)
        return r;
    q = pv_query(db, "DELETE FROM chat_message WHERE peer = ? AND n <= ?");
    pv_bind_blob(&q, key, PV_SIGN_PK_LEN);
    pv_bind_u64(&q, through);
    return pv_query_run(&q);
}

int pv_store_room_forget(sqlite3 *db, const struct pv_roomjob *job, struct pv_chatjob_result *res)
{
    static const char *const tables[] = {
        "DELETE FROM room_text WHERE room = ?", "DELETE FROM room_log WHERE room = ?",
        "DELETE FROM room_record WHERE room = ?", "DELETE FROM room WHERE id = ?"};
    uint8_t key[PV_SIGN_PK_LEN];
    uint64_t through = 0;
    pv_room_key(job->room, key);
    int r = find_page(db, key, &through);
    if (r == PV_OK && through > 0)
        r = delete_page(db, job->room, key, through);
    if (r < 0)
        return r;
    res->n_deleted = through > 0 ? (size_t)sqlite3_changes(db) : 0;
    /* Others wait for the store: the rest is another job. The room goes last, so that a restart in
     * between finds it and begins anew. */
    res->more = res->n_deleted == PV_ROOMJOB_MAX_DROP;
    for (size_t i = 0; r == PV_OK && !res->more && i < PV_ARRAY_LEN(tables); i++) {
        struct pv_query q = pv_query(db, tables[i]);
        pv_bind_blob(&q, job->room, sizeof(job->room));
        r = pv_query_run(&q);
    }
    return r;
}
