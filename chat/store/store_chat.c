/* SPDX-License-Identifier: MIT */
/* store_chat.c - messages: chat_message, chat_seq and chat_kept of schema.sql. */
#include "chat/store/store_chat.h"

#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "chat/store/store_budget.h"
#include "chat/store/store_room.h"
#include "sys/file/sqlquery.h"

enum {
    FIRST_ROWS = 16, /* records allocated at first; the list doubles */
};

/* On disk, and in the partial indexes above, a state is 0 until the message is delivered, then 1
 * less than here: "sent" has a column of its own, so that it may be lost and the outbox stays
 * whole. */
_Static_assert(PV_CHAT_QUEUED == 0 && PV_CHAT_SENT == 1 && PV_CHAT_DELIVERED == 2 &&
                   PV_CHAT_READ == 3 && PV_CHAT_UNREAD == 4,
               "states are stored as numbers");

#define STATE   "CASE state WHEN 0 THEN sent ELSE state + 1 END"
#define COLUMNS "id, peer, peer_name, outgoing, " STATE ", seq, time_ms, text, author"

/* --- statements ---------------------------------------------------------------------------- */

static void bind_peer(struct pv_query *q, const uint8_t *pk)
{
    pv_bind_blob(q, pk, PV_SIGN_PK_LEN);
}

static void bind_id(struct pv_query *q, const uint8_t *id)
{
    pv_bind_blob(q, id, PV_CHAT_ID_LEN);
}

/* --- records ------------------------------------------------------------------------------- */

/* Reads the row's COLUMNS. */
static int get_record(const struct pv_query *q, bool with_text, struct pv_chat_record *ret_rec)
{
    struct pv_chat_record rec = {.text = NULL};
    const char *name = (const char *)sqlite3_column_text(q->stmt, 2);
    const char *text = (const char *)sqlite3_column_text(q->stmt, 7);
    /* A database that was edited or damaged must not lead beyond the fields of a record. */
    if (!pv_column_bytes(q, 0, rec.id, sizeof(rec.id)) ||
        !pv_column_bytes(q, 1, rec.peer, sizeof(rec.peer)) || name == NULL || text == NULL ||
        strlen(name) >= sizeof(rec.peer_name))
        return PV_ERR_MALFORMED;
    memcpy(rec.peer_name, name, strlen(name) + 1);
    rec.outgoing = sqlite3_column_int(q->stmt, 3) != 0;
    rec.state = (enum pv_chat_state)sqlite3_column_int(q->stmt, 4);
    rec.seq = pv_column_u64(q, 5);
    rec.time_ms = pv_column_u64(q, 6);
    /* The author is NULL outside rooms. */
    rec.in_room = pv_column_bytes(q, 8, rec.author, sizeof(rec.author));
    if (with_text) {
        rec.text = strdup(text);
        if (rec.text == NULL)
            return PV_ERR_NOMEM;
    }
    *ret_rec = rec;
    return PV_OK;
}

static int append(struct pv_chatop_result *res, size_t *cap, const struct pv_chat_record *rec)
{
    void *msgs = pv_vec_room(res->msgs, res->n_msgs, cap, FIRST_ROWS, sizeof(res->msgs[0]));
    if (msgs == NULL)
        return PV_ERR_NOMEM;
    res->msgs = msgs;
    res->msgs[res->n_msgs++] = *rec;
    return PV_OK;
}

static uint32_t limit_of(const struct pv_chatop *op)
{
    return op->limit == 0 || op->limit > PV_CHATOP_MAX_LIST ? PV_CHATOP_MAX_LIST : op->limit;
}

/* Takes the rows of q (which asks for one more than the limit) into res; ends q. */
static int list(struct pv_query *q, const struct pv_chatop *op, bool with_text,
                struct pv_chatop_result *res)
{
    size_t cap = 0, bytes = 0;
    int r = PV_OK;
    while (r == PV_OK && pv_query_next(q)) {
        struct pv_chat_record rec;
        r = get_record(q, with_text, &rec);
        if (r < 0)
            break;
        bytes += rec.text == NULL ? 0 : strlen(rec.text);
        /* The row beyond the limit is read only to know that it exists. */
        res->more = res->n_msgs == limit_of(op) || (bytes > PV_CHATOP_MAX_BYTES && res->n_msgs > 0);
        if (!res->more)
            r = append(res, &cap, &rec);
        if (res->more || r < 0) {
            pv_chat_record_done(&rec);
            break;
        }
    }
    int end = pv_query_end(q);
    return r < 0 ? r : end;
}

/* Stores a message in its state; *ret_new: it was not there. */
static int insert(sqlite3 *db, const struct pv_chat_record *m, uint64_t now_s, bool *ret_new)
{
    /* A message that arrives a second time, over another path or from the coordinator's copy, is
     * ignored by its id, also when it was deleted meanwhile. */
    struct pv_query q =
        pv_query(db, "INSERT OR IGNORE INTO chat_message"
                     " (id, peer, peer_name, outgoing, state, seq, time_ms, text, arrived_s)"
                     " SELECT ?1,?2,?3,?4,?5,?6,?7,?8,?9 WHERE ?4 OR NOT EXISTS"
                     " (SELECT 1 FROM chat_gone WHERE peer = ?2 AND id = ?1)");
    bind_id(&q, m->id);
    bind_peer(&q, m->peer);
    /* The name is stored too: the sender may be removed from the roster later, but the history
     * stays readable. */
    pv_bind_text(&q, m->peer_name);
    pv_bind_u64(&q, m->outgoing);
    pv_bind_u64(&q, m->outgoing ? 0 : (uint64_t)m->state - 1);
    pv_bind_u64(&q, m->seq);
    pv_bind_u64(&q, m->time_ms);
    pv_bind_text(&q, m->text);
    pv_bind_u64(&q, now_s);
    int r = pv_query_run(&q);
    *ret_new = sqlite3_changes(db) > 0;
    return r;
}

/* Room in the result for the messages of the op. */
static int prepare_copies(const struct pv_chatop *op, struct pv_chatop_result *res)
{
    if (op->n_msgs == 0)
        return PV_ERR_MALFORMED;
    res->msgs = calloc(op->n_msgs, sizeof(*res->msgs));
    return res->msgs == NULL ? PV_ERR_NOMEM : PV_OK;
}

static int result_copy(struct pv_chatop_result *res, const struct pv_chat_record *m)
{
    int r = pv_chat_record_copy(&res->msgs[res->n_msgs], m);
    if (r == PV_OK)
        res->n_msgs++;
    return r;
}

/* --- the operations ------------------------------------------------------------------------------
 */

/* The message is there already: the answer was lost and the operation repeated. PV_ERR_EXISTS: the
 * id is that of another text, which a user must not take for this one. */
static int find_enqueued(sqlite3 *db, const struct pv_chat_record *m, struct pv_chatop_result *res)
{
    struct pv_query q = pv_query(
        db, "SELECT " COLUMNS " FROM chat_message WHERE peer = ? AND id = ? AND outgoing = 1");
    bind_peer(&q, m->peer);
    bind_id(&q, m->id);
    int r = PV_OK;
    if (pv_query_next(&q)) {
        r = get_record(&q, true, &res->msgs[0]);
        res->n_msgs = r == PV_OK ? 1 : 0;
        if (r == PV_OK && strcmp(res->msgs[0].text, m->text) != 0)
            r = PV_ERR_EXISTS;
    }
    int end = pv_query_end(&q);
    /* The first error counts: pv_query_end() may report only what followed from it. */
    return r < 0 ? r : end;
}

/* In the caller's transaction, so that no seq is given out for a message that is not stored. An
 * operation that was repeated finds its message. */
static int enqueue(sqlite3 *db, const struct pv_chatop *op, struct pv_chatop_result *res)
{
    uint64_t queued = 0;
    bool is_new = false;

    int r = op->n_msgs == 1 ? prepare_copies(op, res) : PV_ERR_MALFORMED;
    if (r < 0)
        return r;
    struct pv_chat_record m = op->msgs[0];
    /* The operation may be repeated after a crash; the first answer has the sequence number that
     * counts. */
    r = find_enqueued(db, &m, res);
    if (r < 0 || res->n_msgs > 0)
        return r;
    struct pv_query q = pv_query(
        db, "SELECT COUNT(*) FROM chat_message WHERE peer = ? AND outgoing = 1 AND state = 0");
    bind_peer(&q, m.peer);
    r = pv_query_u64(&q, &queued);
    if (r < 0)
        return r;
    /* The limit is for a receiver who never comes back: the disk must not fill with messages to
     * it. */
    if (queued >= PV_CHATOP_MAX_QUEUED)
        return PV_ERR_LIMIT;

    /* chat_seq and not MAX(seq): a number must not be given again when its message is gone
     * (RETURNING needs SQLite 3.35). */
    q = pv_query(db, "INSERT INTO chat_seq (peer, last) VALUES (?, 1)"
                     " ON CONFLICT (peer) DO UPDATE SET last = last + 1 RETURNING last");
    bind_peer(&q, m.peer);
    r = pv_query_u64(&q, &m.seq);
    if (r < 0)
        return r;
    m.outgoing = true;
    m.state = PV_CHAT_QUEUED;
    r = insert(db, &m, op->terms.now_s, &is_new);
    return r < 0 ? r : result_copy(res, &m);
}

/* Was the incoming message stored before, or even deleted since? */
static int is_known(sqlite3 *db, const struct pv_chat_record *m, bool *ret_known)
{
    struct pv_query q =
        pv_query(db, "SELECT 1 FROM chat_message WHERE peer = ?1 AND id = ?2 AND outgoing = 0"
                     " UNION ALL SELECT 1 FROM chat_gone WHERE peer = ?1 AND id = ?2");
    bind_peer(&q, m->peer);
    bind_id(&q, m->id);
    *ret_known = pv_query_next(&q);
    return pv_query_end(&q);
}

static int commit(sqlite3 *db, const struct pv_chatop *op, struct pv_chatop_result *res)
{
    struct pv_store_budget budget;
    bool muted = false;
    int r = prepare_copies(op, res);
    /* One operation has the messages of one peer. */
    if (r == PV_OK)
        r = pv_store_budget_read(db, op->msgs[0].peer, op->msgs[0].peer, &op->terms, &budget);
    if (r == PV_OK)
        r = pv_store_is_muted(db, op->msgs[0].peer, &muted);
    for (size_t i = 0; r == PV_OK && i < op->n_msgs; i++) {
        struct pv_chat_record m = op->msgs[i];
        bool known = false, is_new = false;
        m.outgoing = false;
        m.state = muted ? PV_CHAT_READ : PV_CHAT_UNREAD;
        r = is_known(db, &m, &known);
        /* A message that is on disk is acknowledged even when its sender's budget is spent: the
         * sender would repeat it for ever. */
        if (r == PV_OK && !known)
            res->later = pv_store_budget_take(&budget, strlen(m.text));
        if (r < 0 || res->later != PV_CHAT_LATER_NO)
            break;
        res->n_taken++;
        if (!known)
            r = insert(db, &m, op->terms.now_s, &is_new);
        /* Only new messages are told to the engine: a repeated one has been shown before. */
        if (r == PV_OK && is_new)
            r = result_copy(res, &m);
    }
    return r;
}

/* One message of MARK or KEPT. */
/* States only go forward: an old receipt that comes late changes nothing. */
static int mark_one(sqlite3 *db, const struct pv_chatop *op, const uint8_t *id,
                    enum pv_chat_state state, bool *ret_changed)
{
    struct pv_query q =
        state == PV_CHAT_SENT
            ? pv_query(db, "UPDATE chat_message SET sent = 1 WHERE peer = ? AND id = ?"
                           " AND outgoing = 1 AND state = 0 AND sent = 0")
            /* "state < ?" makes a receipt that comes late or twice do nothing. */
            : pv_query(db, "UPDATE chat_message SET state = ?3 WHERE peer = ?1 AND id = ?2"
                           " AND outgoing = 1 AND state < ?3");
    bind_peer(&q, op->peer);
    bind_id(&q, id);
    if (state != PV_CHAT_SENT)
        pv_bind_u64(&q, (uint64_t)state - 1);
    int r = pv_query_run(&q);
    *ret_changed = sqlite3_changes(db) > 0;
    if (r < 0 || !*ret_changed || state == PV_CHAT_SENT)
        return r;
    /* A delivered message needs no copy at the coordinator any more. */
    q = pv_query(db, "DELETE FROM chat_kept WHERE peer = ? AND id = ?");
    bind_peer(&q, op->peer);
    bind_id(&q, id);
    return pv_query_run(&q);
}

static int mark(sqlite3 *db, const struct pv_chatop *op, enum pv_chat_state state,
                struct pv_chatop_result *res)
{
    size_t cap = 0;
    int r = PV_OK;
    for (size_t i = 0; r == PV_OK && i < op->n_ids; i++) {
        struct pv_chat_record rec = {.outgoing = true, .state = state};
        bool changed = false;
        r = mark_one(db, op, op->ids[i], state, &changed);
        memcpy(rec.peer, op->peer, sizeof(rec.peer));
        memcpy(rec.id, op->ids[i], sizeof(rec.id));
        /* Only messages that changed are told: a receipt that comes twice is not shown twice. */
        if (r == PV_OK && changed)
            r = append(res, &cap, &rec);
    }
    return r;
}

/* The other side told that these messages got that far. */
static int mark_as_told(sqlite3 *db, const struct pv_chatop *op, struct pv_chatop_result *res)
{
    /* The state comes from another node: anything outside this range would break the states
     * above. */
    if (op->state < PV_CHAT_SENT || op->state > PV_CHAT_READ)
        return PV_ERR_MALFORMED;
    return mark(db, op, op->state, res);
}

static int seen(sqlite3 *db, const struct pv_chatop *op, struct pv_chatop_result *res)
{
    /* Plain text (seq 0) and texts in rooms have nobody who waits for a receipt. */
    struct pv_query q =
        pv_query(db, "UPDATE chat_message SET state = 2, owed = seq > 0 AND author IS NULL"
                     " WHERE peer = ? AND id = ? AND outgoing = 0 AND state = 3");
    bind_peer(&q, op->peer);
    bind_id(&q, op->id);
    int r = pv_query_run(&q);
    res->changed = sqlite3_changes(db) > 0;
    return r;
}

static int told(sqlite3 *db, const struct pv_chatop *op, struct pv_chatop_result *res)
{
    for (size_t i = 0; i < op->n_ids; i++) {
        struct pv_query q = pv_query(
            db, "UPDATE chat_message SET owed = 0 WHERE peer = ? AND id = ? AND outgoing = 0");
        bind_peer(&q, op->peer);
        bind_id(&q, op->ids[i]);
        int r = pv_query_run(&q);
        if (r < 0)
            return r;
    }
    return PV_OK;
}

static int outbox(sqlite3 *db, const struct pv_chatop *op, struct pv_chatop_result *res)
{
    struct pv_query q =
        pv_query(db, "SELECT " COLUMNS " FROM chat_message WHERE peer = ?"
                     " AND outgoing = 1 AND state = 0 AND seq > ? ORDER BY seq LIMIT ?");
    bind_peer(&q, op->peer);
    pv_bind_u64(&q, op->after_seq);
    pv_bind_u64(&q, limit_of(op) + 1);
    return list(&q, op, true, res);
}

static int owed(sqlite3 *db, const struct pv_chatop *op, struct pv_chatop_result *res)
{
    struct pv_query q = pv_query(db, "SELECT " COLUMNS " FROM chat_message WHERE peer = ?"
                                     " AND owed = 1 ORDER BY n LIMIT ?");
    bind_peer(&q, op->peer);
    pv_bind_u64(&q, limit_of(op) + 1);
    return list(&q, op, false, res);
}

static int uncopied(sqlite3 *db, const struct pv_chatop *op, struct pv_chatop_result *res)
{
    struct pv_query q = pv_query(
        db, "SELECT " COLUMNS " FROM chat_message AS m"
            " WHERE peer = ? AND outgoing = 1 AND state = 0"
            " AND NOT EXISTS(SELECT 1 FROM chat_kept AS k WHERE k.peer = m.peer AND k.id = m.id)"
            " ORDER BY seq LIMIT ?");
    bind_peer(&q, op->peer);
    pv_bind_u64(&q, limit_of(op) + 1);
    return list(&q, op, true, res);
}

/* A message that was delivered meanwhile needs no note. */
static int copied(sqlite3 *db, const struct pv_chatop *op, struct pv_chatop_result *res)
{
    int r = PV_OK;
    for (size_t i = 0; r == PV_OK && i < op->n_ids; i++) {
        /* The SELECT makes the note only for a message that still waits. */
        struct pv_query q =
            pv_query(db, "INSERT OR IGNORE INTO chat_kept (peer, id)"
                         " SELECT peer, id FROM chat_message"
                         " WHERE peer = ? AND id = ? AND outgoing = 1 AND state = 0");
        bind_peer(&q, op->peer);
        bind_id(&q, op->ids[i]);
        r = pv_query_run(&q);
    }
    return r < 0 ? r : mark(db, op, PV_CHAT_SENT, res);
}

/* The message with this id, in this conversation, or whoever sent it. Every conversation with
 * incoming messages stands in chat_usage, and with a conversation the index finds an id: without,
 * all of the history is read.
 */
#define FIRST_INCOMING                                                            \
    "SELECT MIN(n) FROM chat_message WHERE peer IN (SELECT peer FROM chat_usage)" \
    " AND id = ?5 AND outgoing = 0 AND (?1 = 0 OR peer = ?2)"
/* The place that an earlier list gave, while the same message stands there: the numbers of messages
 * that were deleted are given out again. */
#define GIVEN_PLACE "SELECT n FROM chat_message WHERE n = ?7 AND id = ?5 AND outgoing = 0"

/* The place of the message at which the next list goes on. */
static int find_upto(sqlite3 *db, const struct pv_chat_record *msg, struct pv_chatop_result *res)
{
    struct pv_query q =
        pv_query(db, "SELECT n FROM chat_message WHERE peer = ? AND id = ? AND outgoing = ?");
    bind_peer(&q, msg->peer);
    bind_id(&q, msg->id);
    pv_bind_u64(&q, msg->outgoing);
    return pv_query_u64(&q, &res->upto);
}

static int inbox(sqlite3 *db, const struct pv_chatop *op, struct pv_chatop_result *res)
{
    struct pv_query q =
        pv_query(db, "SELECT " COLUMNS " FROM chat_message"
                     " WHERE outgoing = 0 AND state = 3 AND (?1 = 0 OR peer = ?2)"
                     " AND (?3 = 0 OR n > coalesce((" GIVEN_PLACE "), (" FIRST_INCOMING "), 0))"
                     " AND (?4 = 0 OR n <= coalesce((" GIVEN_PLACE "),"
                     " (" FIRST_INCOMING " AND state = 3)))"
                     " ORDER BY n LIMIT ?6");
    pv_bind_u64(&q, op->peer != NULL);
    bind_peer(&q, op->peer);
    pv_bind_u64(&q, op->after);
    pv_bind_u64(&q, op->through);
    bind_id(&q, op->id);
    pv_bind_u64(&q, limit_of(op) + 1);
    pv_bind_u64(&q, op->upto);
    int r = list(&q, op, true, res);
    if (r == PV_OK && res->n_msgs > 0)
        r = find_upto(db, &res->msgs[res->n_msgs - 1], res);
    /* The messages are marked in the transaction that reads them: none that comes in between is
     * marked unseen. */
    for (size_t i = 0; r == PV_OK && op->mark_read && i < res->n_msgs; i++) {
        const struct pv_chatop one = {.peer = res->msgs[i].peer, .id = res->msgs[i].id};
        struct pv_chatop_result unused = {0};
        r = seen(db, &one, &unused);
    }
    return r;
}

static int history(sqlite3 *db, const struct pv_chatop *op, struct pv_chatop_result *res)
{
    const char *sql =
        /* The newest rows are the wanted ones, so the query goes backwards. */
        op->all_peers ? "SELECT " COLUMNS " FROM chat_message WHERE hidden = 0"
                        " AND (?1 = 0 OR n < ?1) ORDER BY n DESC LIMIT ?2"
        : !op->before ? "SELECT " COLUMNS " FROM chat_message WHERE peer = ? AND hidden = 0"
                        " ORDER BY n DESC LIMIT ?"
                      /* An unknown id makes the coalesce() bound the largest integer: the answer
                       * then begins at the newest. "+" keeps MIN() from reading the conversation
                       * from its beginning. */
                      : "SELECT " COLUMNS " FROM chat_message WHERE peer = ? AND hidden = 0"
                        " AND n < coalesce((SELECT MIN(+n)"
                        " FROM chat_message WHERE peer = ? AND id = ?), 9223372036854775807)"
                        " ORDER BY n DESC LIMIT ?";
    struct pv_query q = pv_query(db, sql);
    if (op->all_peers)
        pv_bind_u64(&q, op->upto);
    else
        bind_peer(&q, op->peer);
    if (!op->all_peers && op->before) {
        bind_peer(&q, op->peer);
        bind_id(&q, op->id);
    }
    pv_bind_u64(&q, limit_of(op) + 1);
    int r = list(&q, op, true, res);
    /* Readers want the oldest first. */
    for (size_t i = 0; i < res->n_msgs / 2; i++) {
        struct pv_chat_record swap = res->msgs[i];
        res->msgs[i] = res->msgs[res->n_msgs - 1 - i];
        res->msgs[res->n_msgs - 1 - i] = swap;
    }
    return r == PV_OK && op->all_peers && res->n_msgs > 0 ? find_upto(db, &res->msgs[0], res) : r;
}

static int backlog(sqlite3 *db, struct pv_chatop_result *res)
{
    /* Two lists and no OR, for which SQLite would read all of the history: each has its index. */
    struct pv_query q = pv_query(
        db, "SELECT m.peer, SUM(m.outgoing), SUM(m.owed), (SELECT peer_name FROM chat_message l"
            " WHERE l.peer = m.peer ORDER BY n DESC LIMIT 1) FROM"
            " (SELECT peer, 1 AS outgoing, 0 AS owed FROM chat_message"
            " WHERE outgoing = 1 AND state = 0 AND author IS NULL"
            " UNION ALL SELECT peer, 0, 1 FROM chat_message WHERE owed = 1) AS m"
            " GROUP BY m.peer LIMIT ?");
    pv_bind_u64(&q, PV_CHATOP_MAX_PEERS);
    int r = PV_OK;
    while (r == PV_OK && pv_query_next(&q)) {
        struct pv_chat_backlog *b = &res->backlog[res->n_backlog];
        const char *name = (const char *)sqlite3_column_text(q.stmt, 3);
        if (!pv_column_bytes(&q, 0, b->peer, sizeof(b->peer)) || name == NULL ||
            strlen(name) >= sizeof(b->peer_name)) {
            r = PV_ERR_MALFORMED;
            break;
        }
        memcpy(b->peer_name, name, strlen(name) + 1);
        b->queued = pv_column_u64(&q, 1);
        b->owed = pv_column_u64(&q, 2);
        res->n_backlog++;
    }
    int end = pv_query_end(&q);
    return r < 0 ? r : end;
}

static int counts(sqlite3 *db, const struct pv_chatop *op, struct pv_chatop_result *res)
{
    struct pv_query q =
        pv_query(db, "SELECT COUNT(*) FROM chat_message WHERE outgoing = 0 AND state = 3");
    int r = pv_query_u64(&q, &res->unread);
    if (r < 0)
        return r;
    res->backlog = calloc(PV_CHATOP_MAX_PEERS, sizeof(*res->backlog));
    return res->backlog == NULL ? PV_ERR_NOMEM : backlog(db, res);
}

static int recopy(sqlite3 *db, const struct pv_chatop *op, struct pv_chatop_result *res)
{
    struct pv_query q = pv_query(db, "DELETE FROM chat_kept");
    int r = pv_query_run(&q);
    return r < 0 ? r : counts(db, op, res);
}

static int room(sqlite3 *db, const struct pv_chatop *op, struct pv_chatop_result *res)
{
    return op->room == NULL ? PV_ERR_MALFORMED : pv_store_room_run(db, op->room, &op->terms, res);
}

static int put(sqlite3 *db, const struct pv_chatop *op, struct pv_chatop_result *res)
{
    struct pv_query q =
        pv_query(db, "INSERT OR REPLACE INTO chat_value(name, value) VALUES(?1, ?2)");
    pv_bind_text(&q, op->value_name);
    pv_bind_view(&q, op->value);
    return pv_query_run(&q);
}

/* Names that no part reads any longer are passed over there. */
static int values(sqlite3 *db, const struct pv_chatop *op, struct pv_chatop_result *res)
{
    struct pv_query q = pv_query(db, "SELECT name, value FROM chat_value ORDER BY name");
    size_t cap = 0;
    int r = PV_OK;
    while (r == PV_OK && pv_query_next(&q)) {
        struct pv_chatop_value *list =
            pv_vec_room(res->values, res->n_values, &cap, 8, sizeof(*list));
        const size_t len = (size_t)sqlite3_column_bytes(q.stmt, 1);
        if (list == NULL || len > PV_CHATOP_MAX_VALUE) {
            r = list == NULL ? PV_ERR_NOMEM : PV_ERR_LIMIT;
            break;
        }
        res->values = list;
        struct pv_chatop_value *v = &list[res->n_values];
        *v = (struct pv_chatop_value){.len = len, .bytes = malloc(len + 1)};
        pv_column_text(&q, 0, v->name, sizeof(v->name));
        if (v->bytes == NULL) {
            r = PV_ERR_NOMEM;
            break;
        }
        if (len > 0)
            memcpy(v->bytes, sqlite3_column_blob(q.stmt, 1), len);
        res->n_values++;
    }
    int end = pv_query_end(&q);
    return r != PV_OK ? r : end;
}

/* The functions that serve each kind of op. */
static int (*const HANDLERS[PV_CHATOP_KINDS])(sqlite3 *db, const struct pv_chatop *op,
                                              struct pv_chatop_result *res) = {
    [PV_CHATOP_ENQUEUE] = enqueue,
    [PV_CHATOP_COMMIT] = commit,
    [PV_CHATOP_MARK] = mark_as_told,
    [PV_CHATOP_OUTBOX] = outbox,
    [PV_CHATOP_INBOX] = inbox,
    [PV_CHATOP_SEEN] = seen,
    [PV_CHATOP_OWED] = owed,
    [PV_CHATOP_TOLD] = told,
    [PV_CHATOP_HISTORY] = history,
    [PV_CHATOP_UNCOPIED] = uncopied,
    [PV_CHATOP_COPIED] = copied,
    [PV_CHATOP_RECOPY] = recopy,
    [PV_CHATOP_COUNTS] = counts,
    [PV_CHATOP_MUTE] = pv_store_mute,
    [PV_CHATOP_MUTED] = pv_store_muted,
    [PV_CHATOP_CLEAR] = pv_store_clear,
    [PV_CHATOP_PURGE] = pv_store_purge,
    [PV_CHATOP_PUT] = put,
    [PV_CHATOP_VALUES] = values,
    [PV_CHATOP_ROOM] = room,
};

bool pv_store_chat_serves(enum pv_chatop_kind kind)
{
    return kind < PV_CHATOP_KINDS && HANDLERS[kind] != NULL;
}

/* Is this conversation meant? */
static bool is_meant(const struct pv_chat_record *rec, const char *word)
{
    uint8_t key[PV_KEY_LEN];
    if (rec->in_room)
        return strncmp(word, "#~", 2) == 0 &&
               pv_key_is_short(PV_STR("key:%s", word + 2), rec->peer);
    return strcmp(rec->peer_name, word) == 0 || pv_key_is_short(word, rec->peer) ||
           (pv_key_parse(word, key) == PV_OK && memcmp(key, rec->peer, sizeof(key)) == 0);
}

/* The side of a conversation may have had several names. All messages are looked at: words that
 * this machine's network does not know are rare. */
static int find_conversation(sqlite3 *db, const char *word, uint8_t ret_peer[static PV_SIGN_PK_LEN],
                             bool *ret_is_there)
{
    struct pv_query q = pv_query(db, "SELECT " COLUMNS ", MAX(n) AS newest FROM chat_message"
                                     " GROUP BY peer, peer_name ORDER BY newest DESC");
    struct pv_chat_record rec = {.text = NULL};
    int r = PV_OK;
    *ret_is_there = false;
    while (r == PV_OK && !*ret_is_there && pv_query_next(&q)) {
        r = get_record(&q, false, &rec);
        *ret_is_there = r == PV_OK && is_meant(&rec, word);
    }
    memcpy(ret_peer, rec.peer, *ret_is_there ? PV_SIGN_PK_LEN : 0);
    int ended = pv_query_end(&q);
    return r < 0 ? r : ended;
}

/* Without a conversation of its word there is nothing to do. */
static int run_sought(sqlite3 *db, const struct pv_chatop *op, struct pv_chatop_result *res)
{
    struct pv_chatop found = *op;
    bool is_there;
    int r = find_conversation(db, op->word, res->peer, &is_there);
    res->has_none = r == PV_OK && !is_there;
    if (r < 0 || !is_there)
        return r;
    found.peer = res->peer;
    return HANDLERS[op->kind](db, &found, res);
}

int pv_store_chat_run(sqlite3 *db, const struct pv_chatop *op, struct pv_chatop_result *ret)
{
    *ret = (struct pv_chatop_result){.has_none = false};
    if (op->peer != NULL)
        memcpy(ret->peer, op->peer, sizeof(ret->peer));
    int r = !pv_store_chat_serves(op->kind) ? PV_ERR_MALFORMED
            : op->word != NULL              ? run_sought(db, op, ret)
                                            : HANDLERS[op->kind](db, op, ret);
    /* The caller must not see rows of a change that is taken back. */
    if (r < 0)
        pv_chatop_result_done(ret);
    return r;
}
