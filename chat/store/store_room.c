/* SPDX-License-Identifier: MIT */
/* store_room.c - rooms: the tables room, room_record, room_log and room_text of schema.sql. */
#include "chat/store/store_room.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "chat/core/base/roomop.h"
#include "chat/store/store_budget.h"
#include "sys/file/sqlquery.h"

static void bind_room(struct pv_query *q, const uint8_t *room)
{
    pv_bind_blob(q, room, PV_ROOM_ID_LEN);
}

static void bind_author(struct pv_query *q, const uint8_t *author)
{
    pv_bind_blob(q, author, PV_SIGN_PK_LEN);
}

/* --- LOAD ---------------------------------------------------------------------------------- */

static int load_records(sqlite3 *db, struct pv_roomop_room *room)
{
    struct pv_query q = pv_query(db, "SELECT raw FROM room_record WHERE room = ? ORDER BY n");
    int r = PV_OK;
    bind_room(&q, room->id);
    /* A room is small and bounded: one allocation for the most it can have. */
    room->records = calloc(PV_ROOM_MAX_RECORDS, sizeof(*room->records));
    if (room->records == NULL)
        r = PV_ERR_NOMEM;
    while (r == PV_OK && room->n_records < PV_ROOM_MAX_RECORDS && pv_query_next(&q)) {
        struct pv_room_raw *raw = &room->records[room->n_records];
        size_t len = (size_t)sqlite3_column_bytes(q.stmt, 0);
        const void *bytes = sqlite3_column_blob(q.stmt, 0);
        /* The length comes from disk and is checked before it is believed. */
        raw->bytes = bytes == NULL || len > PV_ROOM_RECORD_MAX ? NULL : malloc(len);
        if (raw->bytes == NULL) {
            r = bytes == NULL || len > PV_ROOM_RECORD_MAX ? PV_ERR_MALFORMED : PV_ERR_NOMEM;
            break;
        }
        memcpy(raw->bytes, bytes, len);
        raw->len = len;
        room->n_records++;
    }
    int end = pv_query_end(&q);
    return r < 0 ? r : end;
}

static int load_logs(sqlite3 *db, struct pv_roomop_room *room)
{
    /* A node that gave its place to another has its log all the same, should it come back. Named
     * are the signer of type 1 and who type 2 invites (PROTOCOL-PEERS.md "Rooms"). */
    struct pv_query q =
        pv_query(db, "SELECT author, last, low FROM room_log WHERE room = ?1 AND author IN"
                     " (SELECT CASE substr(raw, 2, 1) WHEN x'01' THEN substr(raw, 3, 32)"
                     " ELSE substr(raw, 51, 32) END FROM room_record WHERE room = ?1"
                     " AND substr(raw, 2, 1) IN (x'01', x'02'))");
    bind_room(&q, room->id);
    while (room->n_haves < PV_ROOM_MAX_MEMBERS && pv_query_next(&q)) {
        struct pv_room_have *h = &room->haves[room->n_haves];
        h->seq = pv_column_u64(&q, 1);
        room->gone[room->n_haves] = pv_column_u64(&q, 2);
        if (!pv_column_bytes(&q, 0, h->author, sizeof(h->author))) {
            (void)pv_query_end(&q);
            return PV_ERR_MALFORMED;
        }
        room->n_haves++;
    }
    return pv_query_end(&q);
}

static int load(sqlite3 *db, const struct pv_roomop *op, struct pv_roomop_result *out)
{
    struct pv_query q = pv_query(db, "SELECT id FROM room WHERE network = ?");
    pv_bind_blob(&q, op->network, PV_ROOM_NETWORK_LEN);
    out->rooms = calloc(PV_ROOM_MAX_LOADED, sizeof(*out->rooms));
    if (out->rooms == NULL) {
        (void)pv_query_end(&q);
        return PV_ERR_NOMEM;
    }
    while (out->n_rooms < PV_ROOM_MAX_LOADED && pv_query_next(&q)) {
        /* A row with a malformed id is passed over: the other rooms still work. */
        if (pv_column_bytes(&q, 0, out->rooms[out->n_rooms].id, PV_ROOM_ID_LEN))
            out->n_rooms++;
    }
    int r = pv_query_end(&q);
    for (size_t i = 0; r == PV_OK && i < out->n_rooms; i++) {
        r = load_records(db, &out->rooms[i]);
        if (r == PV_OK)
            r = load_logs(db, &out->rooms[i]);
    }
    return r;
}

/* --- KEEP ---------------------------------------------------------------------------------- */

static int keep_record(sqlite3 *db, const struct pv_roomop *op, const struct pv_room_raw *raw)
{
    uint8_t hash[PV_BLAKE2B_LEN];
    struct pv_query q;
    pv_blake2b(hash, pv_view(raw->bytes, raw->len), pv_view(NULL, 0), pv_view(NULL, 0));
    /* The new record takes the row of the old one, for n is the order in which records can be
     * checked. */
    if (raw->replaces) {
        q = pv_query(db, "UPDATE OR IGNORE room_record SET hash = ?, raw = ?"
                         " WHERE room = ? AND hash = ?");
        pv_bind_blob(&q, hash, sizeof(hash));
        pv_bind_blob(&q, raw->bytes, raw->len);
        bind_room(&q, op->room);
        pv_bind_blob(&q, raw->replaced, sizeof(raw->replaced));
        return pv_query_run(&q);
    }
    q = pv_query(db, "INSERT OR IGNORE INTO room_record (room, hash, raw) VALUES (?, ?, ?)");
    bind_room(&q, op->room);
    pv_bind_blob(&q, hash, sizeof(hash));
    pv_bind_blob(&q, raw->bytes, raw->len);
    return pv_query_run(&q);
}

static int keep(sqlite3 *db, const struct pv_roomop *op)
{
    struct pv_query q = pv_query(db, "INSERT OR IGNORE INTO room (id, network) VALUES (?, ?)");
    bind_room(&q, op->room);
    pv_bind_blob(&q, op->network, PV_ROOM_NETWORK_LEN);
    int r = pv_query_run(&q);
    for (size_t i = 0; r == PV_OK && i < op->n_forget; i++) {
        q = pv_query(db, "DELETE FROM room_record WHERE room = ? AND hash = ?");
        bind_room(&q, op->room);
        pv_bind_blob(&q, op->forget[i], sizeof(op->forget[i]));
        r = pv_query_run(&q);
    }
    for (size_t i = 0; r == PV_OK && i < op->n_records; i++)
        r = keep_record(db, op, &op->records[i]);
    for (size_t i = 0; r == PV_OK && i < op->n_haves; i++) {
        /* max() keeps the end of a log from going back, whatever order operations come in. */
        q = pv_query(db, "INSERT INTO room_log (room, author, last) VALUES (?, ?, ?) ON CONFLICT"
                         " (room, author) DO UPDATE SET last = max(last, excluded.last)");
        bind_room(&q, op->room);
        bind_author(&q, op->haves[i].author);
        pv_bind_u64(&q, op->haves[i].seq);
        r = pv_query_run(&q);
    }
    return r;
}

/* --- TAKE ---------------------------------------------------------------------------------- */

/* Moves the end of the author's log from seq - 1 to seq, or over those that are done without. */
static int advance(sqlite3 *db, const struct pv_roomop *op, const struct pv_room_text *t,
                   bool *ret_next)
{
    const char *sql =
        t->skips ? "INSERT INTO room_log (room, author, last, low) VALUES (?1, ?2, ?3, ?3 - 1)"
                   " ON CONFLICT (room, author) DO UPDATE SET last = ?3, low = ?3 - 1"
                   " WHERE last < ?3"
        /* The condition on "last" makes a text that is missing its predecessor change nothing. */
        : t->seq == 1 ? "INSERT INTO room_log (room, author, last) VALUES (?1, ?2, ?3)"
                        " ON CONFLICT (room, author) DO UPDATE SET last = 1 WHERE last = 0"
                      : "UPDATE room_log SET last = ?3"
                        " WHERE room = ?1 AND author = ?2 AND last = ?3 - 1";
    struct pv_query q = pv_query(db, sql);
    bind_room(&q, op->room);
    bind_author(&q, t->author);
    pv_bind_u64(&q, t->seq);
    int r = pv_query_run(&q);
    *ret_next = r == PV_OK && sqlite3_changes(db) > 0;
    return r;
}

/* The text is a message like any other, in the conversation of the room's key; the signature, which
 * only rooms need, lies beside it. */
static int take_message(sqlite3 *db, const struct pv_roomop *op, const struct pv_room_text *t,
                        uint64_t now_s, bool muted)
{
    uint8_t key[PV_SIGN_PK_LEN];
    struct pv_query q =
        pv_query(db, "INSERT INTO chat_message"
                     " (id, peer, peer_name, outgoing, state, seq, time_ms, text, author,"
                     " arrived_s) VALUES (?,?,?,?,?,?,?,?,?,?)");
    pv_room_key(op->room, key);
    pv_bind_blob(&q, t->id, sizeof(t->id));
    bind_author(&q, key);
    pv_bind_text(&q, t->author_name);
    pv_bind_u64(&q, t->own);
    pv_bind_u64(&q, t->own ? 0 : (muted ? PV_CHAT_READ : PV_CHAT_UNREAD) - 1);
    pv_bind_u64(&q, t->seq);
    pv_bind_u64(&q, t->time_ms);
    pv_bind_text(&q, t->text);
    bind_author(&q, t->author);
    pv_bind_u64(&q, now_s);
    int r = pv_query_run(&q);
    if (r < 0)
        return r;
    /* last_insert_rowid() below is that of the message above: nothing is inserted between. */
    q = pv_query(db, "INSERT INTO room_text (room, author, seq, n, sig, said)"
                     " VALUES (?,?,?,?,?,?)");
    bind_room(&q, op->room);
    bind_author(&q, t->author);
    pv_bind_u64(&q, t->seq);
    pv_bind_u64(&q, (uint64_t)sqlite3_last_insert_rowid(db));
    pv_bind_blob(&q, t->sig, sizeof(t->sig));
    if (t->has_said) /* else the column stays NULL */
        pv_bind_blob(&q, t->said, sizeof(t->said));
    return pv_query_run(&q);
}

static int tell_taken(const struct pv_roomop *op, const struct pv_room_text *t, bool muted,
                      struct pv_chatop_result *res)
{
    struct pv_chat_record *m = &res->msgs[res->n_msgs];
    m->text = strdup(t->text);
    if (m->text == NULL)
        return PV_ERR_NOMEM;
    memcpy(m->id, t->id, sizeof(m->id));
    pv_room_key(op->room, m->peer);
    snprintf(m->peer_name, sizeof(m->peer_name), "%s", t->author_name);
    m->outgoing = t->own;
    m->in_room = true;
    memcpy(m->author, t->author, sizeof(m->author));
    m->state = t->own ? PV_CHAT_QUEUED : muted ? PV_CHAT_READ : PV_CHAT_UNREAD;
    m->seq = t->seq;
    m->time_ms = t->time_ms;
    res->n_msgs++;
    return PV_OK;
}

/* May the text be stored? Own ones always: what this node's users write is theirs to decide. */
static int may_take(sqlite3 *db, const struct pv_roomop *op, const struct pv_room_text *t,
                    const struct pv_chatop_terms *terms, enum pv_chat_later *ret_later)
{
    struct pv_store_budget budget;
    uint8_t key[PV_SIGN_PK_LEN];
    *ret_later = PV_CHAT_LATER_NO;
    if (t->own)
        return PV_OK;
    pv_room_key(op->room, key);
    int r = pv_store_budget_read(db, key, t->author, terms, &budget);
    if (r == PV_OK)
        *ret_later = pv_store_budget_take(&budget, strlen(t->text));
    return r;
}

static int take(sqlite3 *db, const struct pv_roomop *op, const struct pv_chatop_terms *terms,
                struct pv_chatop_result *res)
{
    uint8_t key[PV_SIGN_PK_LEN];
    bool room_muted = false;
    pv_room_key(op->room, key);
    /* "+ 1" because calloc(0) may return NULL. */
    res->msgs = calloc(op->n_texts + 1, sizeof(*res->msgs));
    if (res->msgs == NULL)
        return PV_ERR_NOMEM;
    int r = pv_store_is_muted(db, key, &room_muted);
    for (size_t i = 0; r == PV_OK && i < op->n_texts; i++) {
        enum pv_chat_later later;
        bool next = false;
        r = may_take(db, op, &op->texts[i], terms, &later);
        /* The author's next one finds a gap before it, and is not taken either. */
        if (later != PV_CHAT_LATER_NO)
            res->later = later;
        if (r == PV_OK && later == PV_CHAT_LATER_NO)
            r = advance(db, op, &op->texts[i], &next);
        /* A text that is not the next of its log is left out; its author or another member sends
         * it again. */
        bool muted = room_muted; /* or its author is */
        if (r == PV_OK && next && !muted)
            r = pv_store_is_muted(db, op->texts[i].author, &muted);
        if (r == PV_OK && next)
            r = take_message(db, op, &op->texts[i], terms->now_s, muted);
        if (r == PV_OK && next)
            r = tell_taken(op, &op->texts[i], muted, res);
    }
    return r;
}

/* --- READ ---------------------------------------------------------------------------------- */

/* The row of the first text that is asked for; 0: there is none. */
static int first_row(sqlite3 *db, const struct pv_roomop *op, uint64_t *ret_n)
{
    uint64_t first = 0;
    int r = PV_OK;
    /* The first row over all authors: from there on one scan in the order of arrival serves all of
     * them. */
    for (size_t i = 0; r == PV_OK && i < op->n_haves; i++) {
        struct pv_query q = pv_query(db, "SELECT n FROM room_text WHERE room = ? AND author = ?"
                                         " AND seq > ? ORDER BY seq LIMIT 1");
        bind_room(&q, op->room);
        bind_author(&q, op->haves[i].author);
        pv_bind_u64(&q, op->haves[i].seq);
        if (pv_query_next(&q)) {
            uint64_t n = pv_column_u64(&q, 0);
            first = first == 0 || n < first ? n : first;
        }
        r = pv_query_end(&q);
    }
    *ret_n = first;
    return r;
}

static bool is_wanted(const struct pv_roomop *op, const struct pv_room_text *t)
{
    for (size_t i = 0; i < op->n_haves; i++) {
        if (memcmp(op->haves[i].author, t->author, sizeof(t->author)) == 0)
            return t->seq > op->haves[i].seq;
    }
    return false;
}

static int read_rows(struct pv_query *q, const struct pv_roomop *op, struct pv_roomop_result *out)
{
    size_t bytes = 0;
    while (out->n_texts < PV_ROOM_FRAME_MAX_RECORDS && pv_query_next(q)) {
        struct pv_room_text *t = &out->texts[out->n_texts];
        const char *text = (const char *)sqlite3_column_text(q->stmt, 4);
        if (!pv_column_bytes(q, 0, t->author, sizeof(t->author)) ||
            !pv_column_bytes(q, 2, t->sig, sizeof(t->sig)) || text == NULL)
            return PV_ERR_MALFORMED;
        t->seq = pv_column_u64(q, 1);
        t->time_ms = pv_column_u64(q, 3);
        if (!is_wanted(op, t))
            continue;
        /* A page must fit into one frame of the room's protocol. */
        bytes += PV_ROOM_TEXT_OVERHEAD + strlen(text);
        if (bytes > PV_ROOM_PAGE)
            break;
        t->text = strdup(text);
        if (t->text == NULL)
            return PV_ERR_NOMEM;
        out->n_texts++;
    }
    return PV_OK;
}

static int read_texts(sqlite3 *db, const struct pv_roomop *op, struct pv_roomop_result *out)
{
    uint64_t first = 0;
    out->texts = calloc(PV_ROOM_FRAME_MAX_RECORDS, sizeof(*out->texts));
    int r = out->texts == NULL ? PV_ERR_NOMEM : first_row(db, op, &first);
    if (r < 0 || first == 0)
        return r;
    struct pv_query q =
        pv_query(db, "SELECT t.author, t.seq, t.sig, m.time_ms, m.text FROM room_text AS t"
                     " JOIN chat_message AS m ON m.n = t.n"
                     " WHERE t.room = ? AND t.n >= ? ORDER BY t.n LIMIT ?");
    bind_room(&q, op->room);
    pv_bind_u64(&q, first);
    /* The scan is bounded: rows of texts that nobody asked for would otherwise keep the store
     * busy. */
    pv_bind_u64(&q, PV_ROOMOP_MAX_SCAN);
    r = read_rows(&q, op, out);
    int end = pv_query_end(&q);
    return r < 0 ? r : end;
}

/* --- MARK ---------------------------------------------------------------------------------- */

/* All own texts up to a number at once: what one member has of a log, it has from the beginning. */
static int mark(sqlite3 *db, const struct pv_roomop *op, struct pv_chatop_result *res)
{
    uint8_t key[PV_SIGN_PK_LEN];
    bool sent = op->state == PV_CHAT_SENT;
    struct pv_query q =
        pv_query(db, sent ? "UPDATE chat_message SET sent = 1 WHERE peer = ? AND outgoing = 1"
                            " AND state = 0 AND sent = 0 AND seq > ? AND seq <= ? RETURNING id"
                          : "UPDATE chat_message SET state = 1 WHERE peer = ? AND outgoing = 1"
                            " AND state = 0 AND seq > ? AND seq <= ? RETURNING id");
    int r = PV_OK;
    size_t cap = 0;
    pv_room_key(op->room, key);
    bind_author(&q, key);
    pv_bind_u64(&q, op->above);
    pv_bind_u64(&q, op->seq);
    while (r == PV_OK && pv_query_next(&q)) {
        void *grown = pv_vec_room(res->msgs, res->n_msgs, &cap, 16, sizeof(res->msgs[0]));
        if (grown == NULL) {
            r = PV_ERR_NOMEM;
            break;
        }
        res->msgs = grown;
        struct pv_chat_record *m = &res->msgs[res->n_msgs];
        memset(m, 0, sizeof(*m));
        /* Rooms mark only this node's own texts. */
        m->outgoing = m->in_room = true;
        m->state = op->state;
        memcpy(m->peer, key, sizeof(m->peer));
        if (pv_column_bytes(&q, 0, m->id, sizeof(m->id)))
            res->n_msgs++;
    }
    int end = pv_query_end(&q);
    return r < 0 ? r : end;
}

/* --- SAID ---------------------------------------------------------------------------------- */

/* The row of find_said() as a record. */
static int get_said(const struct pv_query *q, const uint8_t *room, struct pv_chat_record *m)
{
    const char *text = (const char *)sqlite3_column_text(q->stmt, 5);
    if (text == NULL || !pv_column_bytes(q, 0, m->id, sizeof(m->id)) ||
        !pv_column_bytes(q, 2, m->author, sizeof(m->author)))
        return PV_ERR_MALFORMED;
    pv_room_key(room, m->peer);
    pv_column_text(q, 1, m->peer_name, sizeof(m->peer_name));
    m->outgoing = m->in_room = true;
    m->seq = pv_column_u64(q, 3);
    m->time_ms = pv_column_u64(q, 4);
    m->state = (enum pv_chat_state)pv_column_u64(q, 6);
    m->text = strdup(text);
    return m->text == NULL ? PV_ERR_NOMEM : PV_OK;
}

static int find_said(sqlite3 *db, const struct pv_roomop *op, struct pv_chatop_result *res)
{
    struct pv_query q =
        pv_query(db, "SELECT m.id, m.peer_name, m.author, m.seq, m.time_ms, m.text,"
                     " CASE m.state WHEN 0 THEN m.sent ELSE m.state + 1 END FROM room_text AS t"
                     " JOIN chat_message AS m ON m.n = t.n WHERE t.room = ? AND t.said = ?");
    bind_room(&q, op->room);
    pv_bind_blob(&q, op->said, PV_CHAT_ID_LEN);
    int r = PV_OK;
    if (pv_query_next(&q)) {
        res->msgs = calloc(1, sizeof(*res->msgs));
        r = res->msgs == NULL ? PV_ERR_NOMEM : get_said(&q, op->room, &res->msgs[0]);
        res->n_msgs = r == PV_OK ? 1 : 0;
    }
    int end = pv_query_end(&q);
    return r < 0 ? r : end;
}

static int drop_texts(sqlite3 *db, const struct pv_roomop *op, const struct pv_chatop_terms *terms,
                      struct pv_chatop_result *res);

static int forget_rooms(sqlite3 *db, const struct pv_roomop *op, struct pv_chatop_result *res);

int pv_store_room_run(sqlite3 *db, const struct pv_roomop *op, const struct pv_chatop_terms *terms,
                      struct pv_chatop_result *res)
{
    res->room = calloc(1, sizeof(*res->room));
    if (res->room == NULL)
        return PV_ERR_NOMEM;
    switch (op->kind) {
    case PV_ROOMOP_LOAD:
        return load(db, op, res->room);
    case PV_ROOMOP_KEEP:
        return keep(db, op);
    case PV_ROOMOP_TAKE:
        return take(db, op, terms, res);
    case PV_ROOMOP_READ:
        return read_texts(db, op, res->room);
    case PV_ROOMOP_MARK:
        return mark(db, op, res);
    case PV_ROOMOP_SAID:
        return find_said(db, op, res);
    case PV_ROOMOP_DROP:
        return drop_texts(db, op, terms, res);
    case PV_ROOMOP_FORGET:
        return forget_rooms(db, op, res);
    }
    return PV_ERR_MALFORMED;
}

/* --- rows that go ---------------------------------------------------------------------------- */

/* A text that is deleted for this node's user but that another member still lacks is only hidden:
 * history leaves it out, READ hands it on. */

enum {
    DAY_S = 86400,
};

struct drop {
    sqlite3 *db;
    const struct pv_roomop *op;
    const struct pv_chatop_terms *terms;
    struct pv_chatop_result *res;
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
    if (d->op->keep_s == 0)
        return PV_OK;
    struct pv_query q = pv_query(
        d->db, "UPDATE chat_message SET hidden = 1 WHERE n IN (SELECT n FROM chat_message AS m"
               " WHERE peer = ?1 AND hidden = 0 AND state > 0 AND NOT (outgoing = 0 AND state = 3)"
               " AND arrived_s < ?2 ORDER BY n LIMIT ?3)");
    pv_room_key(d->op->room, key);
    pv_bind_blob(&q, key, sizeof(key));
    pv_bind_u64(&q, ago(d, d->op->keep_s));
    pv_bind_u64(&q, PV_ROOMOP_MAX_DROP);
    int r = pv_query_run(&q);
    d->res->more = d->res->more || sqlite3_changes(d->db) == PV_ROOMOP_MAX_DROP;
    return r;
}

/* The number up to which the log may go: before the first text that has to stay. */
static int find_end(const struct drop *d, const struct pv_room_have *have, size_t limit,
                    uint64_t *ret_end, size_t *ret_n)
{
    struct pv_query q = pv_query(
        d->db, "SELECT t.seq, " /* may it go, by its state and by who lacks it? */
               " (m.state > 0 OR m.outgoing = 0 OR ?3 >= 9007199254740992)"
               " AND (t.seq <= ?3 OR m.arrived_s < ?4)"
               " AND (m.hidden = 1 OR (t.n <= ?5 AND (?6 OR m.outgoing = 1 OR m.state <> 3)))"
               " FROM room_text AS t JOIN chat_message AS m ON m.n = t.n"
               " WHERE t.room = ?1 AND t.author = ?2 ORDER BY t.seq LIMIT ?7");
    pv_bind_blob(&q, d->op->room, PV_ROOM_ID_LEN);
    pv_bind_blob(&q, have->author, sizeof(have->author));
    pv_bind_u64(&q, have->seq);
    pv_bind_u64(&q, ago(d, (uint64_t)PV_ROOMOP_HOLD_DAYS * DAY_S));
    pv_bind_u64(&q, d->through);
    pv_bind_u64(&q, d->op->unread);
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
    pv_bind_blob(&q, d->op->room, PV_ROOM_ID_LEN);
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

/* Serves the operation into res, of which room is there. -EIO: SQLite's error is in db. */
static int drop_texts(sqlite3 *db, const struct pv_roomop *op, const struct pv_chatop_terms *terms,
                      struct pv_chatop_result *res)
{
    struct drop d = {.db = db, .op = op, .terms = terms, .res = res};
    int r = pv_store_rooms_excess(db, terms, op->unread, &d.through);
    if (r == PV_OK)
        r = hide_old(&d);
    for (size_t i = 0; r == PV_OK && i < op->n_haves; i++) {
        size_t left = PV_ROOMOP_MAX_DROP - res->n_deleted, n = 0;
        uint64_t end = 0;
        r = find_end(&d, &op->haves[i], left, &end, &n);
        if (r < 0 || n == 0)
            continue;
        r = delete_upto(&d, op->haves[i].author, end);
        memcpy(res->room->haves[res->room->n_haves].author, op->haves[i].author, PV_SIGN_PK_LEN);
        res->room->haves[res->room->n_haves++].seq = end;
        res->n_deleted += n;
        /* Others wait for the store: the rest is another op. */
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
    pv_bind_u64(&q, PV_ROOMOP_MAX_DROP);
    return pv_query_u64(&q, ret_n);
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

static int forget_rooms(sqlite3 *db, const struct pv_roomop *op, struct pv_chatop_result *res)
{
    static const char *const tables[] = {
        "DELETE FROM room_text WHERE room = ?", "DELETE FROM room_log WHERE room = ?",
        "DELETE FROM room_record WHERE room = ?", "DELETE FROM room WHERE id = ?"};
    uint8_t key[PV_SIGN_PK_LEN];
    uint64_t through = 0;
    pv_room_key(op->room, key);
    int r = find_page(db, key, &through);
    if (r == PV_OK && through > 0)
        r = delete_page(db, op->room, key, through);
    if (r < 0)
        return r;
    res->n_deleted = through > 0 ? (size_t)sqlite3_changes(db) : 0;
    /* Others wait for the store: the rest is another op. The room goes last, so that a restart in
     * between finds it and begins anew. */
    res->more = res->n_deleted == PV_ROOMOP_MAX_DROP;
    for (size_t i = 0; r == PV_OK && !res->more && i < PV_ARRAY_LEN(tables); i++) {
        struct pv_query q = pv_query(db, tables[i]);
        pv_bind_blob(&q, op->room, PV_ROOM_ID_LEN);
        r = pv_query_run(&q);
    }
    return r;
}
