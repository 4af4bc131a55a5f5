/* SPDX-License-Identifier: MIT */
/* store_budget.c - budgets, muting, deletion and age of chat: chat_usage, chat_muted, chat_gone,
 * age_clock. */
#include "chat/store/store_budget.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ageclock.h"
#include "sys/file/sqlquery.h"

enum {
    DAY_S = 86400,
    MAX_SCAN = 4096,   /* rows looked at for the excess of rooms */
    MAX_GONE = 100000, /* deleted messages that are remembered, the newest: about 10 MB */
};

/* bytes of a message, as the triggers of schema.sql count them */
#define SIZE "(length(CAST(text AS BLOB)) + 512)"

/* --- budgets ------------------------------------------------------------------------------- */

static uint64_t left_of(uint64_t limit, uint64_t used)
{
    return used < limit ? limit - used : 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t limit_of(const struct pv_chatop_terms *terms)
{
    return terms->max_bytes == 0 ? PV_CHATOP_MAX_TOTAL : terms->max_bytes;
}

/* Texts of others in all rooms: they may have to stay for members that lack them, so they have
 * their own part of the whole. */
static int rooms_sum(sqlite3 *db, uint64_t *ret_bytes)
{
    struct pv_query q =
        pv_query(db, "SELECT coalesce(sum(bytes), 0) FROM chat_usage WHERE peer <> author");
    return pv_query_u64(&q, ret_bytes);
}

/* Several budgets at once: each protects something else, so what is left is the least of them. */
int pv_store_budget_read(sqlite3 *db, const uint8_t *conversation, const uint8_t *author,
                         const struct pv_chatop_terms *terms, struct pv_store_budget *ret_budget)
{
    const uint64_t max = limit_of(terms);
    struct pv_store_budget b = {.low_disk = terms->low_disk};
    struct pv_query q =
        pv_query(db, "SELECT sum(bytes), sum((day = ?1) * day_bytes), sum((peer = ?2) * unread),"
                     " sum((peer = ?2) * unread_bytes),"
                     " (SELECT bytes FROM chat_usage WHERE author = x'' AND peer = x'')"
                     " FROM chat_usage WHERE author = ?3");
    pv_bind_u64(&q, terms->now_s / DAY_S);
    pv_bind_blob(&q, conversation, PV_SIGN_PK_LEN);
    pv_bind_blob(&q, author, PV_SIGN_PK_LEN);
    if (pv_query_next(&q)) {
        b.bytes = left_of(max / PV_CHATOP_SENDER_SHARE, pv_column_u64(&q, 0));
        b.bytes = least(b.bytes, left_of(PV_CHATOP_MAX_DAY_BYTES, pv_column_u64(&q, 1)));
        b.messages = left_of(PV_CHATOP_MAX_UNREAD, pv_column_u64(&q, 2));
        b.bytes = least(b.bytes, left_of(PV_CHATOP_MAX_UNREAD_BYTES, pv_column_u64(&q, 3)));
        b.bytes = least(b.bytes, left_of(max, pv_column_u64(&q, 4)));
    }
    int r = pv_query_end(&q);
    uint64_t rooms = 0;
    bool in_room = memcmp(conversation, author, PV_SIGN_PK_LEN) != 0;
    if (r == PV_OK && in_room)
        r = rooms_sum(db, &rooms);
    if (in_room)
        b.bytes = least(b.bytes, left_of(max / 2, rooms));
    if (r == PV_OK)
        *ret_budget = b;
    return r;
}

enum pv_chat_later pv_store_budget_take(struct pv_store_budget *budget, size_t text_len)
{
    uint64_t size = text_len + PV_CHATOP_ROW_BYTES;
    if (budget->low_disk)
        return PV_CHAT_LATER_DISK;
    if (budget->messages == 0 || budget->bytes < size)
        return PV_CHAT_LATER_FULL;
    budget->messages--;
    budget->bytes -= size;
    return PV_CHAT_LATER_NO;
}

/* --- muting -------------------------------------------------------------------------------- */

int pv_store_is_muted(sqlite3 *db, const uint8_t *conversation, bool *ret_muted)
{
    struct pv_query q = pv_query(db, "SELECT 1 FROM chat_muted WHERE peer = ?");
    pv_bind_blob(&q, conversation, PV_SIGN_PK_LEN);
    bool muted = pv_query_next(&q);
    int r = pv_query_end(&q);
    if (r == PV_OK)
        *ret_muted = muted;
    return r;
}

int pv_store_mute(sqlite3 *db, const struct pv_chatop *op, struct pv_chatop_result *res)
{
    struct pv_query q =
        op->mute ? pv_query(db, "INSERT OR IGNORE INTO chat_muted (peer, name) VALUES (?, ?)")
                 : pv_query(db, "DELETE FROM chat_muted WHERE peer = ?");
    pv_bind_blob(&q, op->peer, PV_SIGN_PK_LEN);
    if (op->mute)
        pv_bind_text(&q, op->peer_name);
    int r = pv_query_run(&q);
    res->changed = sqlite3_changes(db) > 0;
    return r;
}

int pv_store_muted(sqlite3 *db, const struct pv_chatop *op, struct pv_chatop_result *res)
{
    res->backlog = calloc(PV_CHATOP_MAX_LIST, sizeof(*res->backlog));
    if (res->backlog == NULL)
        return PV_ERR_NOMEM;
    struct pv_query q = pv_query(db, "SELECT peer, name FROM chat_muted ORDER BY name LIMIT ?");
    pv_bind_u64(&q, PV_CHATOP_MAX_LIST);
    int r = PV_OK;
    while (r == PV_OK && pv_query_next(&q)) {
        struct pv_chat_backlog *b = &res->backlog[res->n_backlog];
        if (!pv_column_bytes(&q, 0, b->peer, sizeof(b->peer)))
            r = PV_ERR_MALFORMED;
        pv_column_text(&q, 1, b->peer_name, sizeof(b->peer_name));
        res->n_backlog += r == PV_OK;
    }
    int end = pv_query_end(&q);
    return r < 0 ? r : end;
}

/* --- deletion ------------------------------------------------------------------------------ */

/* A text of a room is handed on to members that lack it, and a log with a hole would end there for
 * them; so they are hidden at first (store_room.c deletes them). A message that is not
 * delivered yet stays. */
#define DELETABLE "author IS NULL AND (outgoing = 0 OR state > 0)"

/* Runs a deletion (or hiding) of at most limit rows and adds them up. When it has done as many as
 * it may, there may be more, which the next operation takes. */
static int delete_rows(struct pv_query *q, size_t limit, struct pv_chatop_result *res)
{
    sqlite3 *db = q->stmt == NULL ? NULL : sqlite3_db_handle(q->stmt);
    int r = pv_query_run(q);
    size_t n = r == PV_OK && db != NULL ? (size_t)sqlite3_changes(db) : 0;
    res->n_deleted += n;
    res->more = res->more || n == limit;
    return r;
}

/* Messages deleted long ago cannot come again. */
static int forget_gone(sqlite3 *db, const struct pv_chatop_terms *terms)
{
    const uint64_t age = (uint64_t)PV_CHATOP_GONE_DAYS * DAY_S;
    struct pv_query q =
        pv_query(db, "DELETE FROM chat_gone WHERE arrived_s < max(?, coalesce((SELECT arrived_s"
                     " FROM chat_gone ORDER BY arrived_s DESC LIMIT 1 OFFSET ?), 0))");
    pv_bind_u64(&q, terms->now_s > age ? terms->now_s - age : 0);
    pv_bind_u64(&q, MAX_GONE);
    return pv_query_run(&q);
}

/* A statement about what CLEAR is about, of everybody or of one conversation (?1): two texts, for
 * SQLite would read all of the history for "everybody or this one". */
static struct pv_query clear_query(sqlite3 *db, const struct pv_chatop *op, const char *all,
                                   const char *one)
{
    static const uint8_t nobody[PV_SIGN_PK_LEN];
    struct pv_query q = pv_query(db, op->all_peers ? all : one);
    pv_bind_blob(&q, op->all_peers ? nobody : op->peer, PV_SIGN_PK_LEN);
    return q;
}
#define ALL        "?1 NOT NULL"
#define ONE        "peer = ?1"
#define NO_WAITING " AND (outgoing = 0 OR state > 0)"

/* Rooms of a network that this node has left: nobody gets their texts from here any more. */
#define FOREIGN " NOT IN (SELECT id FROM room WHERE network = ?)"
#define CLEAR_FOREIGN(whose, what)                                                 \
    "DELETE FROM chat_message WHERE n IN (SELECT n FROM chat_message WHERE " whose \
    " AND author IS NOT NULL AND substr(peer, 1, 16)" FOREIGN what " ORDER BY n LIMIT ?)"

static int clear_foreign(sqlite3 *db, const struct pv_chatop *op, struct pv_chatop_result *res)
{
    struct pv_query q =
        clear_query(db, op, CLEAR_FOREIGN(ALL, NO_WAITING),
                    op->gone ? CLEAR_FOREIGN(ONE, "") : CLEAR_FOREIGN(ONE, NO_WAITING));
    pv_bind_blob(&q, op->network, PV_ROOM_NETWORK_LEN);
    pv_bind_u64(&q, PV_CHATOP_MAX_PURGE);
    int r = delete_rows(&q, PV_CHATOP_MAX_PURGE, res);
    if (r < 0 || sqlite3_changes(db) == 0)
        return r;
    q = pv_query(db, "DELETE FROM room_text WHERE room" FOREIGN
                     " AND n NOT IN (SELECT n FROM chat_message)");
    pv_bind_blob(&q, op->network, PV_ROOM_NETWORK_LEN);
    r = pv_query_run(&q);
    if (r < 0)
        return r;
    /* Should it come back there, its logs begin behind what is deleted. */
    q = pv_query(db, "UPDATE room_log AS l SET low = max(low, coalesce((SELECT min(seq) - 1"
                     " FROM room_text AS t WHERE t.room = l.room AND t.author = l.author), last))"
                     " WHERE room" FOREIGN);
    pv_bind_blob(&q, op->network, PV_ROOM_NETWORK_LEN);
    return pv_query_run(&q);
}

#define HIDE(whose, what)                                                 \
    "UPDATE chat_message SET hidden = 1,"                                 \
    " state = CASE WHEN outgoing = 0 AND state = 3 THEN 2 ELSE state END" \
    " WHERE n IN (SELECT n FROM chat_message WHERE " whose                \
    " AND author IS NOT NULL AND hidden = 0" what " ORDER BY n LIMIT ?)"

/* The texts of rooms that CLEAR is about. */
static int hide_texts(sqlite3 *db, const struct pv_chatop *op, struct pv_chatop_result *res)
{
    struct pv_query q = clear_query(db, op, HIDE(ALL, NO_WAITING),
                                    op->gone ? HIDE(ONE, "") : HIDE(ONE, NO_WAITING));
    pv_bind_u64(&q, PV_CHATOP_MAX_PURGE);
    return delete_rows(&q, PV_CHATOP_MAX_PURGE, res);
}

#define CLEAR(whose, what)                                                                      \
    "DELETE FROM chat_message WHERE n IN (SELECT n FROM chat_message WHERE " whose " AND " what \
    " ORDER BY n LIMIT ?)"

/* One kind after the other: a search that finds nothing reads all there is, so it is done once and
 * not with each page. */
int pv_store_clear(sqlite3 *db, const struct pv_chatop *op, struct pv_chatop_result *res)
{
    struct pv_query q =
        clear_query(db, op, CLEAR(ALL, DELETABLE),
                    op->gone ? CLEAR(ONE, "author IS NULL") : CLEAR(ONE, DELETABLE));
    pv_bind_u64(&q, PV_CHATOP_MAX_PURGE);
    int r = delete_rows(&q, PV_CHATOP_MAX_PURGE, res);
    if (r == PV_OK && !res->more)
        r = clear_foreign(db, op, res);
    if (r == PV_OK && !res->more)
        r = hide_texts(db, op, res);
    return r < 0 ? r : forget_gone(db, &op->terms);
}

/* Bytes of everything. */
static int read_sum(sqlite3 *db, uint64_t *ret_bytes)
{
    struct pv_query q =
        pv_query(db, "SELECT bytes FROM chat_usage WHERE author = x'' AND peer = x''");
    return pv_query_u64(&q, ret_bytes);
}

/* Deletes the oldest messages, read or unread ones, until that many bytes are gone. */
static int make_room(sqlite3 *db, bool unread, uint64_t bytes, struct pv_chatop_result *res)
{
    /* The sum runs over the oldest rows only: the limit stands inside. */
    struct pv_query q = pv_query(
        db, "DELETE FROM chat_message WHERE n IN (SELECT n FROM (SELECT n,"
            " sum(size) OVER (ORDER BY n) - size AS before FROM (SELECT n, " SIZE
            " AS size FROM chat_message WHERE " DELETABLE
            " AND (outgoing = 0 AND state = 3) = ?1 ORDER BY n LIMIT ?2)) WHERE before < ?3)");
    pv_bind_u64(&q, unread);
    pv_bind_u64(&q, PV_CHATOP_MAX_PURGE);
    pv_bind_u64(&q, bytes);
    return delete_rows(&q, PV_CHATOP_MAX_PURGE, res);
}

int pv_store_purge(sqlite3 *db, const struct pv_chatop *op, struct pv_chatop_result *res)
{
    const uint64_t max = limit_of(&op->terms);
    uint64_t sum = 0;
    int r = PV_OK;
    if (op->keep_s > 0 && op->terms.now_s > op->keep_s) {
        /* By our own clock, not by the sender's. */
        struct pv_query q = pv_query(
            db, "DELETE FROM chat_message WHERE n IN (SELECT n FROM chat_message WHERE " DELETABLE
                " AND NOT (outgoing = 0 AND state = 3)"
                " AND arrived_s < ?1"
                " ORDER BY n LIMIT ?2)");
        pv_bind_u64(&q, op->terms.now_s - op->keep_s);
        pv_bind_u64(&q, PV_CHATOP_MAX_PURGE);
        r = delete_rows(&q, PV_CHATOP_MAX_PURGE, res);
    }
    if (r == PV_OK)
        r = read_sum(db, &sum);
    /* A tenth more than is needed goes, or the next message would begin it again. */
    uint64_t over = sum > max - max / 10 && sum + max / 20 > max ? sum - (max - max / 10) : 0;
    if (r == PV_OK && over > 0)
        r = make_room(db, false, over, res);
    if (r == PV_OK && over > 0 && !res->more)
        r = read_sum(db, &sum);
    if (r == PV_OK && over > 0 && !res->more && sum > max - max / 20)
        r = make_room(db, true, sum - (max - max / 10), res);
    return r < 0 ? r : forget_gone(db, &op->terms);
}

/* By how many bytes rooms are above what they may have; a tenth more than is needed goes. */
static int rooms_over(sqlite3 *db, const struct pv_chatop_terms *terms, uint64_t *ret_bytes)
{
    const uint64_t max = limit_of(terms), part = max / 2;
    uint64_t rooms = 0, sum = 0;
    int r = rooms_sum(db, &rooms);
    if (r == PV_OK)
        r = read_sum(db, &sum);
    uint64_t over = rooms > part - part / 20 ? rooms - (part - part / 10) : 0;
    /* The purge of other conversations came before: what is still too much are rooms, own texts
     * too. */
    uint64_t all = sum > max - max / 20 ? sum - (max - max / 10) : 0;
    if (r == PV_OK)
        *ret_bytes = over > all ? over : all;
    return r;
}

int pv_store_rooms_excess(sqlite3 *db, const struct pv_chatop_terms *terms, bool unread,
                          uint64_t *ret_through)
{
    uint64_t over = 0;
    int r = rooms_over(db, terms, &over);
    *ret_through = 0;
    if (r < 0 || over == 0)
        return r;
    struct pv_query q = pv_query(
        db, "SELECT coalesce(max(n), 0) FROM (SELECT n, sum(size) OVER (ORDER BY n) - size AS"
            " before FROM (SELECT n, " SIZE " AS size FROM chat_message"
            " WHERE author IS NOT NULL AND (outgoing = 1 OR state <> 3 OR ?1)"
            " ORDER BY n LIMIT ?2)) WHERE before < ?3");
    pv_bind_u64(&q, unread);
    pv_bind_u64(&q, MAX_SCAN);
    pv_bind_u64(&q, over);
    return pv_query_u64(&q, ret_through);
}

/* --- age ------------------------------------------------------------------------------------- */

/* Before the first look it is the wall clock. */
static int read_clock(sqlite3 *db, uint64_t wall_s, struct pv_ageclock *ret_clock, bool *ret_found)
{
    struct pv_query q = pv_query(db, "SELECT age_s, seen_s FROM age_clock");
    *ret_clock = (struct pv_ageclock){wall_s, wall_s};
    *ret_found = pv_query_next(&q);
    if (*ret_found)
        *ret_clock = (struct pv_ageclock){pv_column_u64(&q, 0), pv_column_u64(&q, 1)};
    return pv_query_end(&q);
}

int pv_store_age_now(sqlite3 *db, uint64_t wall_s, uint64_t *ret_age_s)
{
    struct pv_ageclock c;
    bool found;
    int r = read_clock(db, wall_s, &c, &found);
    *ret_age_s = pv_ageclock_now(&c, wall_s);
    return r;
}

/* A message from before the first look has the time of the wall clock, which may have been wrong:
 * nothing stays from the future, or it would stay for ever. */
static int begin(sqlite3 *db, uint64_t wall_s)
{
    static const char *const pasts[] = {
        "UPDATE chat_message SET arrived_s = ?1 WHERE arrived_s > ?1",
        "UPDATE chat_gone SET arrived_s = ?1 WHERE arrived_s > ?1"};
    int r = PV_OK;
    for (size_t i = 0; r == PV_OK && i < PV_ARRAY_LEN(pasts); i++) {
        struct pv_query q = pv_query(db, pasts[i]);
        pv_bind_u64(&q, wall_s);
        r = pv_query_run(&q);
    }
    return r;
}

int pv_store_age_look(sqlite3 *db, uint64_t wall_s)
{
    struct pv_ageclock c;
    bool found;
    int r = read_clock(db, wall_s, &c, &found);
    if (r == PV_OK && !found)
        r = begin(db, wall_s);
    if (r < 0)
        return r;
    pv_ageclock_look(&c, wall_s);
    struct pv_query q = pv_query(db, "INSERT OR REPLACE INTO age_clock VALUES (1, ?, ?)");
    pv_bind_u64(&q, c.age_s);
    pv_bind_u64(&q, c.seen_s);
    return pv_query_run(&q);
}
