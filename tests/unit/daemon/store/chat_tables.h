/* SPDX-License-Identifier: MIT */
/* The chat tables for tests of the store: SQLite, or the memstore that stands in for them, and the
 * jobs that most tests begin with. */
#pragma once

#include <stdio.h>

#include <sqlite3.h>

#include "daemon/store/schema.h"
#include "daemon/store/store_chat.h"
#include "tests/unit/daemon/store/chat_memstore.h"
#include "tests/unit/test_util.h"

static const uint8_t BOB[PV_SIGN_PK_LEN] = {0xb0};
static const uint8_t CAROL[PV_SIGN_PK_LEN] = {0xca};

static struct {
    bool sqlite;
    sqlite3 *db;
    struct memstore mem;
} store;

static inline void sql(const char *text)
{
    assert_int_equal(sqlite3_exec(store.db, text, NULL, NULL, NULL), SQLITE_OK);
}

/* As daemon/store/store.c does it. */
static inline int run(const struct pv_chatjob *job, struct pv_chatjob_result **ret_res)
{
    if (!store.sqlite)
        return memstore_run(&store.mem, job, ret_res);
    sql("SAVEPOINT job");
    int r = pv_store_chat_run(store.db, job, ret_res);
    if (r < 0)
        sql("ROLLBACK TO job");
    sql("RELEASE job");
    return r;
}

static inline struct pv_chatjob_result *must(const struct pv_chatjob *job)
{
    struct pv_chatjob_result *res = NULL;
    assert_int_equal(run(job, &res), PV_OK);
    assert_non_null(res);
    return res;
}

static inline struct pv_chat_record record(const uint8_t *peer, uint8_t id, char *text)
{
    struct pv_chat_record m = {.time_ms = 1000u + id, .text = text};
    memcpy(m.peer, peer, sizeof(m.peer));
    m.id[0] = id;
    snprintf(m.peer_name, sizeof(m.peer_name), "%s", peer == BOB ? "bob" : "carol");
    return m;
}

static inline uint64_t enqueue(const uint8_t *peer, uint8_t id)
{
    char text[] = "out";
    struct pv_chat_record m = record(peer, id, text);
    struct pv_chatjob job = {.kind = PV_CHATJOB_ENQUEUE, .msgs = &m, .n_msgs = 1};
    struct pv_chatjob_result *res = must(&job);
    assert_int_equal(res->n_msgs, 1);
    assert_true(res->msgs[0].outgoing);
    assert_string_equal(res->msgs[0].text, "out");
    assert_int_equal(res->msgs[0].time_ms, 1000u + id);
    uint64_t seq = res->msgs[0].seq;
    pv_chatjob_result_free(res);
    return seq;
}

/* Stores n incoming messages with ids from first on, as one job; returns how many were new. */
static inline size_t commit(const uint8_t *peer, uint8_t first, uint8_t n, uint64_t seq)
{
    struct pv_chat_record msgs[8];
    char text[] = "in";
    for (uint8_t i = 0; i < n; i++) {
        msgs[i] = record(peer, (uint8_t)(first + i), text);
        msgs[i].seq = seq == 0 ? 0 : seq + i;
    }
    struct pv_chatjob job = {.kind = PV_CHATJOB_COMMIT, .msgs = msgs, .n_msgs = n};
    struct pv_chatjob_result *res = must(&job);
    size_t n_new = res->n_msgs;
    for (size_t i = 0; i < n_new; i++) {
        assert_int_equal(res->msgs[i].state, PV_CHAT_UNREAD);
        assert_false(res->msgs[i].outgoing);
    }
    pv_chatjob_result_free(res);
    return n_new;
}

static inline struct pv_chatjob job_of(enum pv_chatjob_kind kind, const uint8_t *peer, uint8_t id)
{
    struct pv_chatjob job = {.kind = kind};
    memcpy(job.peer, peer, sizeof(job.peer));
    job.id[0] = id;
    return job;
}

static inline bool changes(struct pv_chatjob job)
{
    struct pv_chatjob_result *res = must(&job);
    bool changed = res->changed;
    pv_chatjob_result_free(res);
    return changed;
}

static inline bool mark(const uint8_t *peer, uint8_t id, enum pv_chat_state state)
{
    uint8_t ids[1][PV_CHAT_ID_LEN] = {{id}};
    struct pv_chatjob job = job_of(PV_CHATJOB_MARK, peer, 0);
    job.ids = ids;
    job.n_ids = 1;
    job.state = state;
    struct pv_chatjob_result *res = must(&job);
    bool changed = res->n_msgs == 1 && res->msgs[0].id[0] == id &&
                   memcmp(res->msgs[0].peer, peer, PV_SIGN_PK_LEN) == 0 &&
                   res->msgs[0].state == state && res->msgs[0].text == NULL;
    assert_true(changed || res->n_msgs == 0);
    pv_chatjob_result_free(res);
    return changed;
}

/* Runs a list and compares the first bytes of the ids, "!" at the end = more. */
static inline void assert_list(struct pv_chatjob job, const char *want)
{
    char got[256] = "";
    size_t n = 0;
    struct pv_chatjob_result *res = must(&job);
    for (size_t i = 0; i < res->n_msgs; i++)
        n += (size_t)snprintf(got + n, sizeof(got) - n, "%s%u", i == 0 ? "" : " ",
                              res->msgs[i].id[0]);
    snprintf(got + n, sizeof(got) - n, "%s", res->more ? "!" : "");
    pv_chatjob_result_free(res);
    assert_string_equal(got, want);
}

static inline void assert_outbox(const uint8_t *peer, uint64_t after, uint32_t limit,
                                 const char *want)
{
    struct pv_chatjob job = job_of(PV_CHATJOB_OUTBOX, peer, 0);
    job.after_seq = after;
    job.limit = limit;
    assert_list(job, want);
}

static inline void assert_inbox(bool mark_read, uint32_t limit, const char *want)
{
    assert_list(
        (struct pv_chatjob){.kind = PV_CHATJOB_INBOX, .mark_read = mark_read, .limit = limit},
        want);
}
