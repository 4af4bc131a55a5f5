/* SPDX-License-Identifier: MIT */
/* A question asked often, or page by page, costs the same however long the history is: SQLite
 * only. */
#include "tests/unit/daemon/store/chat_tables.h"

enum {
    LONG = 20000,            /* messages that nobody asks for */
    BEAT = 100,              /* steps of SQLite between two calls of count_beat() */
    MAX_BEATS = LONG / BEAT, /* reading each message takes many steps */
};

static int count_beat(void *beats)
{
    ++*(unsigned *)beats;
    return 0;
}

/* The steps a job takes, in beats. */
static unsigned cost(struct pv_chatjob job)
{
    unsigned beats = 0;
    sqlite3_progress_handler(store.db, BEAT, count_beat, &beats);
    struct pv_chatjob_result *res = must(&job);
    sqlite3_progress_handler(store.db, 0, NULL, NULL);
    pv_chatjob_result_free(res);
    return beats;
}

PV_TEST(counts_do_not_read_the_history)
{
    enqueue(BOB, 1);
    assert_in_range(cost(job_of(PV_CHATJOB_COUNTS, BOB, 0)), 0, MAX_BEATS);
    struct pv_chatjob job = {.kind = PV_CHATJOB_COUNTS};
    struct pv_chatjob_result *res = must(&job);
    assert_int_equal(res->n_backlog, 1);
    assert_int_equal(res->queued, 1);
    pv_chatjob_result_free(res);
}

PV_TEST(an_id_is_found_without_reading_the_history)
{
    commit(BOB, 1, 3, 1);
    struct pv_chatjob job = job_of(PV_CHATJOB_INBOX, BOB, 1);
    job.after = true;
    assert_in_range(cost(job), 0, MAX_BEATS);
    assert_list(job, "2 3");
    job.after = false;
    job.through = true;
    assert_in_range(cost(job), 0, MAX_BEATS);
    assert_list(job, "1");
}

PV_TEST(older_messages_are_found_without_reading_the_conversation)
{
    commit(CAROL, 1, 3, 1);
    struct pv_chatjob job = job_of(PV_CHATJOB_HISTORY, CAROL, 3);
    job.before = true;
    job.limit = 2;
    assert_in_range(cost(job), 0, MAX_BEATS);
    assert_list(job, "1 2!");
}

PV_TEST(clearing_one_conversation_does_not_read_the_others)
{
    commit(BOB, 1, 3, 1);
    assert_in_range(cost(job_of(PV_CHATJOB_CLEAR, BOB, 0)), 0, MAX_BEATS);
    assert_list(job_of(PV_CHATJOB_HISTORY, BOB, 0), "");
}

/* A page of deletions costs the same at the beginning as near the end. */
PV_TEST(clearing_everything_reads_no_more_than_it_deletes)
{
    struct pv_chatjob job = {.kind = PV_CHATJOB_CLEAR, .all_peers = true};
    unsigned first = cost(job);
    sql("DELETE FROM chat_message WHERE n > 3000");
    unsigned last = cost(job);
    assert_in_range(first, 1, last + last / 4);
}

/* Carol has said much, and all of it was read. */
static int setup(void **state)
{
    char text[512];
    store.sqlite = true;
    if (sqlite3_open(":memory:", &store.db) != SQLITE_OK || pv_store_schema(store.db) != PV_OK)
        return -1;
    snprintf(text, sizeof(text),
             "WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < %d)"
             " INSERT INTO chat_message (id, peer, outgoing, state, seq, time_ms, peer_name, text)"
             " SELECT randomblob(16), x'ca%062d', 0, 2, n, 1, 'carol', 'in' FROM i",
             LONG, 0);
    return sqlite3_exec(store.db, text, NULL, NULL, NULL);
}

static int teardown(void **state)
{
    return sqlite3_close(store.db);
}

PV_TEST_WORLD(setup, teardown);
