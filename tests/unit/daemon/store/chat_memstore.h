/* SPDX-License-Identifier: MIT */
/*
 * chat_memstore.h - the chat jobs in memory, for tests and the simulator. Passes the same test list
 * as daemon/store/store_chat.c (test_store_chat.c). Survives its users: a test that drops a machine
 * and makes a new one on the same memstore plays a restart. Aborts without memory.
 */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "daemon/core/jobs/chatjob.h"

struct memstore_row {
    struct pv_chat_record rec;
    bool owed, kept;
};

struct memstore_seq {
    uint8_t peer[PV_SIGN_PK_LEN];
    uint64_t last;
};

/* A zeroed memstore is empty. */
struct memstore {
    struct memstore_row *rows; /* in order of arrival */
    size_t n_rows;
    struct memstore_seq *seqs;
    size_t n_seqs;
    size_t max_unread; /* of one peer; 0: any number */
};

static inline void memstore_done(struct memstore *s)
{
    for (size_t i = 0; i < s->n_rows; i++)
        pv_chat_record_done(&s->rows[i].rec);
    free(s->rows);
    free(s->seqs);
    memset(s, 0, sizeof(*s));
}

static inline bool memstore_same(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, PV_SIGN_PK_LEN) == 0;
}

static inline struct memstore_row *memstore_find(struct memstore *s, const uint8_t *peer,
                                                 const uint8_t *id, bool outgoing)
{
    for (size_t i = 0; i < s->n_rows; i++) {
        struct memstore_row *r = &s->rows[i];
        if (r->rec.outgoing == outgoing && memstore_same(r->rec.peer, peer) &&
            memcmp(r->rec.id, id, PV_CHAT_ID_LEN) == 0)
            return r;
    }
    return NULL;
}

static inline void memstore_copy(struct pv_chat_record *dst, const struct pv_chat_record *src)
{
    if (pv_chat_record_copy(dst, src) < 0)
        abort();
}

static inline void memstore_insert(struct memstore *s, const struct pv_chat_record *rec)
{
    s->rows = reallocarray(s->rows, s->n_rows + 1, sizeof(*s->rows));
    if (s->rows == NULL)
        abort();
    memset(&s->rows[s->n_rows], 0, sizeof(s->rows[0]));
    memstore_copy(&s->rows[s->n_rows++].rec, rec);
}

static inline uint64_t memstore_next_seq(struct memstore *s, const uint8_t *peer)
{
    for (size_t i = 0; i < s->n_seqs; i++) {
        if (memstore_same(s->seqs[i].peer, peer))
            return ++s->seqs[i].last;
    }
    s->seqs = reallocarray(s->seqs, s->n_seqs + 1, sizeof(*s->seqs));
    if (s->seqs == NULL)
        abort();
    memcpy(s->seqs[s->n_seqs].peer, peer, PV_SIGN_PK_LEN);
    s->seqs[s->n_seqs++].last = 1;
    return 1;
}

static inline void memstore_give(struct pv_chatjob_result *res, const struct pv_chat_record *rec)
{
    res->msgs = reallocarray(res->msgs, res->n_msgs + 1, sizeof(*res->msgs));
    if (res->msgs == NULL)
        abort();
    memstore_copy(&res->msgs[res->n_msgs++], rec);
}

static inline int memstore_enqueue(struct memstore *s, const struct pv_chatjob *job,
                                   struct pv_chatjob_result *res)
{
    struct pv_chat_record rec = job->msgs[0];
    const struct memstore_row *old = memstore_find(s, rec.peer, rec.id, true);
    size_t queued = 0;
    if (old != NULL) {
        memstore_give(res, &old->rec);
        return PV_OK;
    }
    for (size_t i = 0; i < s->n_rows; i++)
        queued += s->rows[i].rec.outgoing && s->rows[i].rec.state <= PV_CHAT_SENT &&
                  memstore_same(s->rows[i].rec.peer, rec.peer);
    if (queued >= PV_CHATJOB_MAX_QUEUED)
        return PV_ERR_LIMIT;
    rec.outgoing = true;
    rec.state = PV_CHAT_QUEUED;
    rec.seq = memstore_next_seq(s, rec.peer);
    memstore_insert(s, &rec);
    memstore_give(res, &rec);
    return PV_OK;
}

static inline void memstore_commit(struct memstore *s, const struct pv_chatjob *job,
                                   struct pv_chatjob_result *res)
{
    for (size_t i = 0; i < job->n_msgs; i++) {
        struct pv_chat_record rec = job->msgs[i];
        bool known = memstore_find(s, rec.peer, rec.id, false) != NULL;
        size_t unread = 0;
        for (size_t k = 0; s->max_unread > 0 && k < s->n_rows; k++)
            unread += s->rows[k].rec.state == PV_CHAT_UNREAD &&
                      memstore_same(s->rows[k].rec.peer, rec.peer);
        if (!known && s->max_unread > 0 && unread >= s->max_unread) {
            res->later = PV_CHAT_LATER_FULL;
            return;
        }
        res->n_taken++;
        if (known)
            continue;
        rec.outgoing = false;
        rec.state = PV_CHAT_UNREAD;
        memstore_insert(s, &rec);
        memstore_give(res, &rec);
    }
}

static inline void memstore_see(struct memstore_row *r)
{
    r->rec.state = PV_CHAT_READ;
    r->owed = r->rec.seq > 0;
}

static inline void memstore_mark(struct memstore *s, const struct pv_chatjob *job,
                                 struct pv_chatjob_result *res)
{
    enum pv_chat_state state = job->kind == PV_CHATJOB_COPIED ? PV_CHAT_SENT : job->state;
    for (size_t i = 0; i < job->n_ids; i++) {
        struct memstore_row *r = memstore_find(s, job->peer, job->ids[i], true);
        if (r != NULL && job->kind == PV_CHATJOB_COPIED && r->rec.state <= PV_CHAT_SENT)
            r->kept = true;
        if (r == NULL || r->rec.state >= state)
            continue;
        r->rec.state = state;
        memstore_give(res, &r->rec);
        free(res->msgs[res->n_msgs - 1].text);
        res->msgs[res->n_msgs - 1].text = NULL;
    }
}

/* Is the row in the list this job asks for? */
static inline bool memstore_listed(const struct memstore_row *r, const struct pv_chatjob *job)
{
    bool of_peer = memstore_same(r->rec.peer, job->peer);
    switch (job->kind) {
    case PV_CHATJOB_OUTBOX:
        return of_peer && r->rec.outgoing && r->rec.state <= PV_CHAT_SENT &&
               r->rec.seq > job->after_seq;
    case PV_CHATJOB_INBOX:
        return !r->rec.outgoing && r->rec.state == PV_CHAT_UNREAD && (of_peer || !job->of_peer);
    case PV_CHATJOB_UNCOPIED:
        return of_peer && r->rec.outgoing && r->rec.state <= PV_CHAT_SENT && !r->kept;
    case PV_CHATJOB_OWED:
        return of_peer && r->owed;
    case PV_CHATJOB_HISTORY:
        return of_peer || job->all_peers;
    default:
        return false;
    }
}

static inline void memstore_list(struct memstore *s, const struct pv_chatjob *job,
                                 struct pv_chatjob_result *res)
{
    size_t limit =
        job->limit == 0 || job->limit > PV_CHATJOB_MAX_LIST ? PV_CHATJOB_MAX_LIST : job->limit;
    size_t total = 0, skip = 0, bytes = 0;
    size_t n_rows = s->n_rows;
    for (size_t i = 0; job->kind == PV_CHATJOB_HISTORY && job->before && i < n_rows; i++)
        if (memstore_same(s->rows[i].rec.peer, job->peer) &&
            memcmp(s->rows[i].rec.id, job->id, sizeof(job->id)) == 0)
            n_rows = i;
    size_t first = 0;
    if (job->kind == PV_CHATJOB_INBOX && (job->after || job->through)) {
        size_t at = 0;
        while (at < n_rows && (s->rows[at].rec.outgoing ||
                               (job->of_peer && !memstore_same(s->rows[at].rec.peer, job->peer)) ||
                               (job->through && s->rows[at].rec.state != PV_CHAT_UNREAD) ||
                               memcmp(s->rows[at].rec.id, job->id, sizeof(job->id)) != 0))
            at++;
        if (job->upto > 0)
            at = job->upto - 1;
        if (job->through)
            n_rows = at < n_rows ? at + 1 : 0;
        else if (at < n_rows)
            first = at + 1;
    }
    for (size_t i = first; i < n_rows; i++)
        total += memstore_listed(&s->rows[i], job);
    if (job->kind == PV_CHATJOB_HISTORY && total > limit)
        skip = total - limit; /* the newest */
    res->more = total > limit;
    for (size_t i = first; i < n_rows && res->n_msgs < limit; i++) {
        struct memstore_row *r = &s->rows[i];
        if (!memstore_listed(r, job))
            continue;
        if (skip > 0) {
            skip--;
            continue;
        }
        bytes += strlen(r->rec.text);
        if (bytes > PV_CHATJOB_MAX_BYTES && res->n_msgs > 0) {
            res->more = true;
            break;
        }
        memstore_give(res, &r->rec);
        res->upto = job->kind == PV_CHATJOB_INBOX ? i + 1 : 0;
        if (job->kind == PV_CHATJOB_OWED) {
            free(res->msgs[res->n_msgs - 1].text);
            res->msgs[res->n_msgs - 1].text = NULL;
        }
        if (job->kind == PV_CHATJOB_INBOX && job->mark_read)
            memstore_see(r);
    }
}

static inline void memstore_count(struct memstore *s, struct pv_chatjob_result *res)
{
    for (size_t i = 0; i < s->n_rows; i++) {
        const struct memstore_row *r = &s->rows[i];
        bool queued = r->rec.outgoing && r->rec.state <= PV_CHAT_SENT;
        struct pv_chat_backlog *b = NULL;
        res->unread += !r->rec.outgoing && r->rec.state == PV_CHAT_UNREAD;
        res->queued += queued;
        for (size_t k = 0; k < res->n_backlog; k++) {
            if (memstore_same(res->backlog[k].peer, r->rec.peer))
                b = &res->backlog[k];
        }
        if (b == NULL && (queued || r->owed)) {
            res->backlog = reallocarray(res->backlog, res->n_backlog + 1, sizeof(*b));
            if (res->backlog == NULL)
                abort();
            b = &res->backlog[res->n_backlog++];
            memset(b, 0, sizeof(*b));
            memcpy(b->peer, r->rec.peer, sizeof(b->peer));
        }
        if (b == NULL)
            continue;
        memcpy(b->peer_name, r->rec.peer_name, sizeof(b->peer_name));
        b->queued += queued;
        b->owed += r->owed;
    }
}

/* As pv_store_chat_run(). */
static inline int memstore_run(struct memstore *s, const struct pv_chatjob *job,
                               struct pv_chatjob_result **ret_result)
{
    struct pv_chatjob_result *res = calloc(1, sizeof(*res));
    int r = PV_OK;
    if (res == NULL)
        abort();
    switch (job->kind) {
    case PV_CHATJOB_ENQUEUE:
        r = job->n_msgs == 1 ? memstore_enqueue(s, job, res) : PV_ERR_MALFORMED;
        break;
    case PV_CHATJOB_COMMIT:
        r = job->n_msgs > 0 ? PV_OK : PV_ERR_MALFORMED;
        memstore_commit(s, job, res);
        break;
    case PV_CHATJOB_MARK:
    case PV_CHATJOB_COPIED:
        memstore_mark(s, job, res);
        break;
    case PV_CHATJOB_SEEN: {
        struct memstore_row *row = memstore_find(s, job->peer, job->id, false);
        res->changed = row != NULL && row->rec.state == PV_CHAT_UNREAD;
        if (res->changed)
            memstore_see(row);
        break;
    }
    case PV_CHATJOB_TOLD:
        for (size_t i = 0; i < job->n_ids; i++) {
            struct memstore_row *row = memstore_find(s, job->peer, job->ids[i], false);
            if (row != NULL)
                row->owed = false;
        }
        break;
    case PV_CHATJOB_RECOPY:
        for (size_t i = 0; i < s->n_rows; i++)
            s->rows[i].kept = false;
        memstore_count(s, res);
        break;
    case PV_CHATJOB_COUNTS:
        memstore_count(s, res);
        break;
    case PV_CHATJOB_MUTE: /* SQLite only */
    case PV_CHATJOB_MUTED:
    case PV_CHATJOB_CLEAR:
    case PV_CHATJOB_PURGE:
        abort();
    default:
        memstore_list(s, job, res);
        break;
    }
    if (r < 0) {
        pv_chatjob_result_free(res);
        return r;
    }
    *ret_result = res;
    return PV_OK;
}
