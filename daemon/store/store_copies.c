/* SPDX-License-Identifier: MIT */
/* store_copies.c - members' copies: hold_copy and chat_held. */
#include "daemon/store/store_copies.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/store/store_sql.h"

static void bind_pk(struct pv_query *q, const uint8_t *pk)
{
    pv_bind_blob(q, pk, PV_SIGN_PK_LEN);
}

/* --- for others ---------------------------------------------------------------------------- */

/* Number and bytes of the copies that a statement with up to two keys selects. */
static int measure(sqlite3 *db, const char *sql, const uint8_t *const pks[2], uint64_t *ret_n,
                   uint64_t *ret_bytes)
{
    struct pv_query q = pv_query(db, sql);
    for (size_t i = 0; i < 2 && pks[i] != NULL; i++)
        bind_pk(&q, pks[i]);
    if (pv_query_next(&q)) {
        *ret_n = pv_column_u64(&q, 0);
        *ret_bytes = pv_column_u64(&q, 1);
    }
    return pv_query_end(&q);
}

struct quota {
    const char *sql; /* number and bytes of what is counted */
    uint64_t copies, bytes;
};

/* By how much one copy more is too much. */
struct excess {
    uint64_t copies, bytes;
};

static uint64_t above(uint64_t n, uint64_t limit)
{
    return n > limit ? n - limit : 0;
}

static int find_excess(sqlite3 *db, const struct quota *quota, const uint8_t *const pks[2],
                       const struct pv_copyjob *job, struct excess *ret_excess)
{
    uint64_t n = 0, bytes = 0;
    int r = measure(db, quota->sql, pks, &n, &bytes);
    *ret_excess =
        (struct excess){above(n + 1, quota->copies), above(bytes + job->box_len, quota->bytes)};
    return r;
}

/* What senders share: what one receiver may have here, and all that is held. Weights are bytes and,
 * for each copy, as many as there are for one on average. */
struct shared {
    struct quota quota;
    bool of_receiver;
    const char *own;      /* the weight of the one who sends */
    const char *give_way; /* see GIVE_WAY */
};

enum {
    EACH = 8192, /* ours: 8 MiB and 1,000 copies, 64 MiB and 10,000; also in WEIGHT */
};
#define WEIGHT "sum(size + 8192)"
/* Copies of others than ?1 give way, always the newest of the sender that has most left, as long as
 * it has more than ?3: so many that there are ?4 fewer and ?5 bytes less, and 3 more for those that
 * come next, or none. "upto" is what its sender had when a copy came, so the highest goes first.
 * All in one statement: a copy that finds no room costs one look, however small those are that
 * would have had to give way. */
#define GIVE_WAY(whose)                                                                           \
    "WITH s AS (SELECT n, size, " WEIGHT " OVER (PARTITION BY sender ORDER BY n) AS upto"         \
    " FROM hold_copy WHERE " whose "), o AS (SELECT n, row_number() OVER w AS k,"                 \
    " sum(size) OVER w AS freed FROM s WHERE upto > ?3 WINDOW w AS (ORDER BY upto DESC, n DESC))" \
    " DELETE FROM hold_copy WHERE n IN (SELECT n FROM o WHERE k <="                               \
    " (SELECT min(k) + 3 FROM o WHERE k >= ?4 AND freed >= ?5))"
static const struct shared SHARED[] = {
    {.quota = {"SELECT count(*), coalesce(sum(size), 0) FROM hold_copy WHERE receiver = ?",
               PV_COPIES_MAX_OF_NODE, PV_COPIES_MAX_BYTES_OF_NODE},
     .of_receiver = true,
     .own = "SELECT coalesce(" WEIGHT ", 0) FROM hold_copy WHERE sender = ? AND receiver = ?",
     .give_way = GIVE_WAY("sender <> ?1 AND receiver = ?2")},
    {.quota = {"SELECT count(*), coalesce(sum(size), 0) FROM hold_copy", PV_COPIES_MAX,
               PV_COPIES_MAX_BYTES},
     .own = "SELECT coalesce(" WEIGHT ", 0) FROM hold_copy WHERE sender = ?",
     .give_way = GIVE_WAY("sender <> ?1")},
};

/* Few senders must not keep the others out by having been first: who has most gives way to one who
 * has less, with what came last, so that the beginning of its conversation stays. A sender keeps
 * each message until its receiver has it, so nothing is lost but a place to wait. */
static int give_way(sqlite3 *db, const struct shared *x, const struct pv_copyjob *job,
                    const struct excess *excess)
{
    uint64_t own = 0;
    struct pv_query q = pv_query(db, x->own);
    bind_pk(&q, job->from);
    if (x->of_receiver)
        bind_pk(&q, job->to);
    if (pv_query_next(&q))
        own = pv_column_u64(&q, 0);
    int r = pv_query_end(&q);
    if (r < 0)
        return r;
    q = pv_query(db, x->give_way);
    bind_pk(&q, job->from);
    bind_pk(&q, job->to);
    pv_bind_u64(&q, own + job->box_len + EACH);
    pv_bind_u64(&q, excess->copies);
    pv_bind_u64(&q, excess->bytes);
    r = pv_query_run(&q);
    return r == PV_OK && sqlite3_changes(db) == 0 ? PV_ERR_REFUSED : r;
}

/* A quota each for whoever sends, and for one sender's part of what a receiver may have. Beyond
 * these nobody gives way. */
static int check_own(sqlite3 *db, const struct pv_copyjob *job)
{
    static const struct quota OWN[] = {
        {"SELECT count(*), coalesce(sum(size), 0) FROM hold_copy WHERE sender = ?",
         PV_COPIES_MAX_OF_NODE, PV_COPIES_MAX_BYTES_OF_NODE},
        {"SELECT count(*), coalesce(sum(size), 0) FROM hold_copy WHERE sender = ? AND receiver = ?",
         PV_COPIES_MAX_OF_PAIR, PV_COPIES_MAX_BYTES_OF_PAIR},
    };
    const uint8_t *const keys[][2] = {{job->from, NULL}, {job->from, job->to}};
    for (size_t i = 0; i < PV_ARRAY_LEN(OWN); i++) {
        struct excess excess;
        int r = find_excess(db, &OWN[i], keys[i], job, &excess);
        if (r < 0 || excess.copies > 0 || excess.bytes > 0)
            return r < 0 ? r : PV_ERR_REFUSED;
    }
    return PV_OK;
}

static int make_room(sqlite3 *db, const struct pv_copyjob *job)
{
    int r = check_own(db, job);
    for (size_t i = 0; i < PV_ARRAY_LEN(SHARED) && r == PV_OK; i++) {
        const uint8_t *const keys[2] = {SHARED[i].of_receiver ? job->to : NULL, NULL};
        struct excess excess;
        r = find_excess(db, &SHARED[i].quota, keys, job, &excess);
        if (r == PV_OK && (excess.copies > 0 || excess.bytes > 0))
            r = give_way(db, &SHARED[i], job, &excess);
    }
    return r;
}

static int is_held(sqlite3 *db, const struct pv_copyjob *job, bool *ret_held)
{
    struct pv_query q =
        pv_query(db, "SELECT 1 FROM hold_copy WHERE receiver = ? AND sender = ? AND key = ?");
    bind_pk(&q, job->to);
    bind_pk(&q, job->from);
    pv_bind_blob(&q, job->key, sizeof(job->key));
    *ret_held = pv_query_next(&q);
    return pv_query_end(&q);
}

int pv_store_copies_purge(sqlite3 *db, uint64_t now_s)
{
    const uint64_t age = (uint64_t)PV_COPIES_DAYS * 86400;
    struct pv_query q = pv_query(db, "DELETE FROM hold_copy WHERE time_s < ?");
    pv_bind_u64(&q, now_s > age ? now_s - age : 0);
    return pv_query_run(&q);
}

static int put(sqlite3 *db, const struct pv_copyjob *job, const struct pv_chatjob_terms *terms)
{
    bool held = false;
    struct pv_query q;
    int r = pv_store_copies_purge(db, terms->now_s);
    if (r == PV_OK)
        r = is_held(db, job, &held);
    if (r < 0 || held)
        return r;
    if (terms->low_disk)
        return PV_ERR_REFUSED;
    r = make_room(db, job);
    if (r < 0)
        return r;
    q = pv_query(db, "INSERT INTO hold_copy (sender, receiver, key, size, time_s, box)"
                     " VALUES (?,?,?,?,?,?)");
    bind_pk(&q, job->from);
    bind_pk(&q, job->to);
    pv_bind_blob(&q, job->key, sizeof(job->key));
    pv_bind_u64(&q, job->box_len);
    pv_bind_u64(&q, terms->now_s);
    pv_bind_blob(&q, job->box, job->box_len);
    return pv_query_run(&q);
}

static int next(sqlite3 *db, const struct pv_copyjob *job, struct pv_stored_copy *copy)
{
    struct pv_query q = pv_query(db, "SELECT n, sender, key, box FROM hold_copy"
                                     " WHERE receiver = ? AND n > ? ORDER BY n LIMIT 1");
    int r = PV_OK;
    bind_pk(&q, job->to);
    pv_bind_u64(&q, job->n);
    if (pv_query_next(&q)) {
        size_t len = (size_t)sqlite3_column_bytes(q.stmt, 3);
        const void *box = sqlite3_column_blob(q.stmt, 3);
        copy->box = box == NULL || len > PV_PARCEL_BOX_MAX ? NULL : malloc(len);
        if (copy->box == NULL || !pv_column_bytes(&q, 1, copy->from, sizeof(copy->from)) ||
            !pv_column_bytes(&q, 2, copy->key, sizeof(copy->key))) {
            r = copy->box == NULL && box != NULL && len <= PV_PARCEL_BOX_MAX ? PV_ERR_NOMEM
                                                                             : PV_ERR_MALFORMED;
        } else {
            memcpy(copy->box, box, len);
            copy->box_len = len;
            copy->n = pv_column_u64(&q, 0);
        }
    }
    int end = pv_query_end(&q);
    return r < 0 ? r : end;
}

static int drop(sqlite3 *db, const struct pv_copyjob *job)
{
    struct pv_query q =
        pv_query(db, "DELETE FROM hold_copy WHERE receiver = ? AND sender = ? AND key = ?");
    bind_pk(&q, job->to);
    bind_pk(&q, job->from);
    pv_bind_blob(&q, job->key, sizeof(job->key));
    return pv_query_run(&q);
}

/* --- own messages -------------------------------------------------------------------------- */

/* Rows of id, peer, peer_name, seq, time_ms, text (all but the first two may be missing) as
 * messages; ends q. */
static int list(struct pv_query *q, bool with_text, struct pv_chatjob_result *res)
{
    int r = PV_OK;
    res->msgs = calloc(PV_COPIES_MAX_LIST, sizeof(*res->msgs));
    if (res->msgs == NULL)
        r = PV_ERR_NOMEM;
    while (r == PV_OK && pv_query_next(q)) {
        struct pv_chat_record *m = &res->msgs[res->n_msgs];
        res->more = res->n_msgs == PV_COPIES_MAX_LIST;
        if (res->more)
            break;
        m->outgoing = true;
        m->state = PV_CHAT_SENT;
        if (!pv_column_bytes(q, 0, m->id, sizeof(m->id)) ||
            !pv_column_bytes(q, 1, m->peer, sizeof(m->peer))) {
            r = PV_ERR_MALFORMED;
        } else if (with_text) {
            const char *text = (const char *)sqlite3_column_text(q->stmt, 4);
            m->seq = pv_column_u64(q, 2);
            m->time_ms = pv_column_u64(q, 3);
            m->text = text == NULL ? NULL : strdup(text);
            r = m->text == NULL ? PV_ERR_NOMEM : PV_OK;
        }
        res->n_msgs += r == PV_OK;
    }
    int end = pv_query_end(q);
    return r < 0 ? r : end;
}

static int missing(sqlite3 *db, const struct pv_copyjob *job, struct pv_chatjob_result *res)
{
    struct pv_query q =
        pv_query(db, "SELECT id, peer, seq, time_ms, text FROM chat_message AS m"
                     " WHERE peer = ? AND outgoing = 1 AND state = 0 AND NOT EXISTS"
                     " (SELECT 1 FROM chat_held AS h WHERE h.holder = ? AND h.peer = m.peer"
                     " AND h.id = m.id) ORDER BY seq LIMIT ?");
    bind_pk(&q, job->to);
    bind_pk(&q, job->holder);
    pv_bind_u64(&q, PV_COPIES_MAX_LIST + 1);
    return list(&q, true, res);
}

static int placed(sqlite3 *db, const struct pv_copyjob *job, struct pv_chatjob_result *res)
{
    struct pv_query q = pv_query(db, "INSERT OR IGNORE INTO chat_held (peer, id, holder)"
                                     " SELECT peer, id, ? FROM chat_message WHERE peer = ?"
                                     " AND id = ? AND outgoing = 1");
    bind_pk(&q, job->holder);
    bind_pk(&q, job->to);
    pv_bind_blob(&q, job->key, sizeof(job->key));
    int r = pv_query_run(&q);
    if (r < 0)
        return r;
    q = pv_query(db, "UPDATE chat_message SET sent = 1 WHERE peer = ? AND id = ? AND outgoing = 1"
                     " AND state = 0 AND sent = 0 RETURNING id, peer");
    bind_pk(&q, job->to);
    pv_bind_blob(&q, job->key, sizeof(job->key));
    return list(&q, false, res);
}

static int over(sqlite3 *db, const struct pv_copyjob *job, struct pv_chatjob_result *res)
{
    struct pv_query q = pv_query(db, "SELECT h.id, h.peer FROM chat_held AS h"
                                     " JOIN chat_message AS m ON m.peer = h.peer AND m.id = h.id"
                                     " AND m.outgoing = 1 WHERE h.holder = ? AND m.state > 0"
                                     " LIMIT ?");
    bind_pk(&q, job->holder);
    pv_bind_u64(&q, PV_COPIES_MAX_LIST);
    int r = list(&q, false, res);
    for (size_t i = 0; r == PV_OK && i < res->n_msgs; i++) {
        q = pv_query(db, "DELETE FROM chat_held WHERE holder = ? AND peer = ? AND id = ?");
        bind_pk(&q, job->holder);
        bind_pk(&q, res->msgs[i].peer);
        pv_bind_blob(&q, res->msgs[i].id, sizeof(res->msgs[i].id));
        r = pv_query_run(&q);
    }
    return r;
}

/* Marks of messages that are deleted go as well: nobody asks for them. */
static int forget_holders(sqlite3 *db)
{
    struct pv_query q = pv_query(db, "DELETE FROM chat_held WHERE NOT EXISTS"
                                     " (SELECT 1 FROM chat_message AS m WHERE m.peer ="
                                     " chat_held.peer AND m.id = chat_held.id AND m.outgoing = 1"
                                     " AND m.state > 0)");
    return pv_query_run(&q);
}

static int run_copyjob(sqlite3 *db, const struct pv_copyjob *job,
                       const struct pv_chatjob_terms *terms, struct pv_chatjob_result *res)
{
    switch (job->kind) {
    case PV_COPYJOB_PUT:
        return put(db, job, terms);
    case PV_COPYJOB_NEXT:
        return next(db, job, &res->copies->copy);
    case PV_COPYJOB_DROP:
        return drop(db, job);
    case PV_COPYJOB_MISSING:
        return missing(db, job, res);
    case PV_COPYJOB_PLACED:
        return placed(db, job, res);
    case PV_COPYJOB_OVER:
        return over(db, job, res);
    case PV_COPYJOB_ANEW:
        return forget_holders(db);
    case PV_COPYJOB_COUNT:
        return PV_OK;
    }
    return PV_ERR_MALFORMED;
}

int pv_store_copies_run(sqlite3 *db, const struct pv_copyjob *job,
                        const struct pv_chatjob_terms *terms, struct pv_chatjob_result *res)
{
    const uint8_t *const all[2] = {NULL, NULL};
    uint64_t bytes = 0;
    res->copies = calloc(1, sizeof(*res->copies));
    if (res->copies == NULL)
        return PV_ERR_NOMEM;
    int r = run_copyjob(db, job, terms, res);
    return r < 0
               ? r
               : measure(db, "SELECT count(*), 0 FROM hold_copy", all, &res->copies->total, &bytes);
}
