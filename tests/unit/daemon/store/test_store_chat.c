/* SPDX-License-Identifier: MIT */
/* One list of tests for every store of chat: SQLite and the memstore of tests and simulator. */
#include <errno.h>

#include "base/ageclock.h"
#include "daemon/store/store_budget.h"
#include "tests/unit/daemon/store/chat_tables.h"

/* A copy of the message is kept elsewhere; did that change its state? */
static bool keep(const uint8_t *peer, uint8_t id)
{
    uint8_t ids[1][PV_CHAT_ID_LEN] = {{id}};
    struct pv_chatjob job = job_of(PV_CHATJOB_COPIED, peer, 0);
    job.ids = ids;
    job.n_ids = 1;
    struct pv_chatjob_result *res = must(&job);
    bool changed = res->n_msgs == 1;
    pv_chatjob_result_free(res);
    return changed;
}

static void assert_owed(const uint8_t *peer, const char *want)
{
    assert_list(job_of(PV_CHATJOB_OWED, peer, 0), want);
}

/* --- the list ------------------------------------------------------------------------------ */

static int setup_sqlite(void **state)
{
    store.sqlite = true;
    if (sqlite3_open(":memory:", &store.db) != SQLITE_OK)
        return -1;
    return pv_store_schema(store.db);
}

static int teardown_sqlite(void **state)
{
    return sqlite3_close(store.db);
}

static int setup_mem(void **state)
{
    store.sqlite = false;
    return 0;
}

static int teardown_mem(void **state)
{
    memstore_done(&store.mem);
    return 0;
}

/* Every store does these the same. */
static const struct test_world both[] = {{"SQLite", setup_sqlite, teardown_sqlite},
                                         {"in memory", setup_mem, teardown_mem}};

PV_TEST_EACH(seq_counts_up_for_each_conversation, both)
{
    assert_int_equal(enqueue(BOB, 1), 1);
    assert_int_equal(enqueue(BOB, 2), 2);
    assert_int_equal(enqueue(CAROL, 3), 1);
    assert_int_equal(enqueue(BOB, 4), 3);
}

PV_TEST_EACH(enqueueing_again_gives_the_same_answer, both)
{
    assert_int_equal(enqueue(BOB, 1), 1);
    assert_int_equal(enqueue(BOB, 1), 1);
    assert_int_equal(enqueue(BOB, 2), 2);
    assert_outbox(BOB, 0, 0, "1 2");
}

PV_TEST_EACH(an_incoming_message_is_stored_exactly_once, both)
{
    assert_int_equal(commit(BOB, 1, 3, 1), 3);
    assert_int_equal(commit(BOB, 1, 3, 1), 0);
    assert_int_equal(commit(BOB, 2, 4, 2), 2);
    assert_int_equal(commit(CAROL, 1, 1, 1), 1); /* the same id of another sender */
    assert_inbox(false, 0, "1 2 3 4 5 1");
}

PV_TEST_EACH(one_id_twice_in_a_batch_is_stored_once, both)
{
    char text[] = "in";
    struct pv_chat_record msgs[2] = {record(BOB, 7, text), record(BOB, 7, text)};
    struct pv_chatjob job = {.kind = PV_CHATJOB_COMMIT, .msgs = msgs, .n_msgs = 2};
    struct pv_chatjob_result *res = must(&job);
    assert_int_equal(res->n_msgs, 1);
    pv_chatjob_result_free(res);
    assert_inbox(false, 0, "7");
}

PV_TEST_EACH(a_message_may_have_the_same_id_in_both_directions, both)
{
    enqueue(BOB, 1);
    assert_int_equal(commit(BOB, 1, 1, 1), 1);
    assert_true(mark(BOB, 1, PV_CHAT_DELIVERED));
    assert_inbox(false, 0, "1");
    assert_outbox(BOB, 0, 0, "");
}

PV_TEST_EACH(states_only_go_forward, both)
{
    enqueue(BOB, 1);
    enqueue(BOB, 2);
    assert_false(mark(CAROL, 1, PV_CHAT_DELIVERED)); /* not sent to her */
    assert_false(mark(BOB, 9, PV_CHAT_DELIVERED));
    assert_true(mark(BOB, 1, PV_CHAT_DELIVERED));
    assert_false(mark(BOB, 1, PV_CHAT_DELIVERED));
    assert_true(mark(BOB, 1, PV_CHAT_READ));
    assert_false(mark(BOB, 1, PV_CHAT_DELIVERED));
    assert_true(mark(BOB, 2, PV_CHAT_READ)); /* both at once */
    assert_outbox(BOB, 0, 0, "");
}

PV_TEST_EACH(outbox_lists_undelivered_in_order_in_pages, both)
{
    for (uint8_t i = 1; i <= 5; i++)
        enqueue(BOB, i);
    enqueue(CAROL, 9);
    mark(BOB, 2, PV_CHAT_DELIVERED);
    assert_outbox(BOB, 0, 0, "1 3 4 5");
    assert_outbox(BOB, 0, 2, "1 3!");
    assert_outbox(BOB, 3, 2, "4 5");
    assert_outbox(BOB, 5, 2, "");
    assert_outbox(BOB, 0, 4, "1 3 4 5");
}

PV_TEST_EACH(a_message_kept_elsewhere_is_not_listed_again, both)
{
    for (uint8_t i = 1; i <= 4; i++)
        enqueue(BOB, i);
    struct pv_chatjob list = job_of(PV_CHATJOB_UNCOPIED, BOB, 0);
    assert_list(list, "1 2 3 4");
    assert_true(keep(BOB, 2));
    assert_false(keep(BOB, 2));  /* twice is once */
    assert_false(keep(BOB, 99)); /* nobody knows that one */
    assert_list(list, "1 3 4");
    assert_true(mark(BOB, 1, PV_CHAT_DELIVERED));
    assert_false(keep(BOB, 1)); /* it is further than that */
    list.limit = 1;
    assert_list(list, "3!");
    assert_list(job_of(PV_CHATJOB_UNCOPIED, CAROL, 0), "");
    assert_outbox(BOB, 0, 0, "2 3 4"); /* it still goes to the peer itself */

    struct pv_chatjob again = {.kind = PV_CHATJOB_RECOPY};
    struct pv_chatjob_result *res = must(&again);
    assert_int_equal(res->n_backlog, 1);
    assert_memory_equal(res->backlog[0].peer, BOB, sizeof(res->backlog[0].peer));
    assert_true(res->backlog[0].queued == 3);
    pv_chatjob_result_free(res);
    list.limit = 0;
    assert_list(list, "2 3 4");
    assert_false(keep(BOB, 2)); /* it was sent before */
    assert_list(list, "3 4");
}

PV_TEST_EACH(a_message_handed_over_is_sent_and_stays_in_the_outbox, both)
{
    enqueue(BOB, 1);
    enqueue(BOB, 2);
    assert_true(mark(BOB, 1, PV_CHAT_SENT));
    assert_false(mark(BOB, 1, PV_CHAT_SENT));
    assert_false(mark(CAROL, 2, PV_CHAT_SENT)); /* it is not to her */
    struct pv_chatjob job = job_of(PV_CHATJOB_OUTBOX, BOB, 0);
    struct pv_chatjob_result *res = must(&job);
    assert_int_equal(res->n_msgs, 2);
    assert_int_equal(res->msgs[0].state, PV_CHAT_SENT);
    assert_int_equal(res->msgs[1].state, PV_CHAT_QUEUED);
    pv_chatjob_result_free(res);
    assert_true(mark(BOB, 1, PV_CHAT_DELIVERED));
    assert_false(mark(BOB, 1, PV_CHAT_SENT)); /* never back */
    assert_true(mark(BOB, 1, PV_CHAT_READ));
    assert_false(mark(BOB, 1, PV_CHAT_DELIVERED));
    assert_outbox(BOB, 0, 0, "2");
}

PV_TEST_EACH(inbox_of_one_peer_leaves_the_others_unread, both)
{
    struct pv_chatjob job = job_of(PV_CHATJOB_INBOX, BOB, 0);
    commit(BOB, 1, 2, 1);
    commit(CAROL, 3, 1, 1);
    job.of_peer = job.mark_read = true;
    assert_list(job, "1 2");
    assert_list(job, "");
    assert_inbox(false, 0, "3");
}

/* A client asks page by page, and says how far it got. */
PV_TEST_EACH(the_inbox_is_read_as_far_as_the_client_says, both)
{
    struct pv_chatjob job = job_of(PV_CHATJOB_INBOX, BOB, 2);
    commit(BOB, 1, 3, 1);
    commit(CAROL, 4, 2, 1);
    job.after = true;
    assert_list(job, "3 4 5");
    job.id[0] = 99; /* one that is not known: from the beginning */
    assert_list(job, "1 2 3 4 5");
    job = job_of(PV_CHATJOB_INBOX, BOB, 4);
    job.through = job.mark_read = true;
    job.of_peer = true;
    assert_list(job, ""); /* none of this conversation */
    job.id[0] = 3;
    assert_list(job, "1 2 3");
    job.of_peer = false;
    job.id[0] = 4;
    assert_list(job, "4");
    assert_list(job, ""); /* told twice */
    assert_inbox(false, 0, "5");
    assert_owed(BOB, "1 2 3");
}

/* Runs a list of the inbox that ends at this id; gives the place of that end. */
static uint64_t upto_of(const struct pv_chatjob *job, uint8_t last)
{
    struct pv_chatjob_result *res = must(job);
    const uint64_t upto = res->upto;
    assert_true(res->n_msgs > 0);
    assert_int_equal(res->msgs[res->n_msgs - 1].id[0], last);
    pv_chatjob_result_free(res);
    return upto;
}

/* Ids are their senders' choice: who talks to this node in two conversations may give one twice.
 * Clients that go by the place of a message get on all the same. */
PV_TEST_EACH(an_id_that_is_there_twice_holds_up_nobody, both)
{
    struct pv_chatjob job = job_of(PV_CHATJOB_INBOX, BOB, 2);
    commit(BOB, 1, 2, 1);
    commit(CAROL, 1, 3, 1);
    job.limit = 4;
    assert_list(job, "1 2 1 2!");
    job.upto = upto_of(&job, 2);
    job.after = true;
    assert_list(job, "3");
    job.of_peer = true; /* within a conversation an id is enough */
    memcpy(job.peer, CAROL, sizeof(job.peer));
    job.upto = 0;
    assert_list(job, "3");
    job.of_peer = job.after = false;
    job.limit = 4;
    job.upto = upto_of(&job, 2);
    job.through = job.mark_read = true;
    assert_list(job, "1 2 1 2");
    assert_inbox(false, 0, "3");
}

/* A message after a list whose messages were deleted stands where they stood: it is not taken for
 * what the client has. */
PV_TEST_IN(a_message_in_the_place_of_deleted_ones_is_not_read, setup_sqlite, teardown_sqlite)
{
    struct pv_chatjob job = job_of(PV_CHATJOB_INBOX, BOB, 3);
    struct pv_chatjob clear = job_of(PV_CHATJOB_CLEAR, BOB, 0);
    commit(BOB, 1, 3, 1);
    job.limit = 4;
    job.upto = upto_of(&job, 3);
    clear.all_peers = true;
    pv_chatjob_result_free(must(&clear));
    commit(CAROL, 4, 2, 1);
    job.through = job.mark_read = true;
    assert_list(job, "");
    assert_inbox(false, 0, "4 5");
    job.through = job.mark_read = false;
    job.after = true;
    assert_list(job, "4 5");
}

PV_TEST_EACH(inbox_marks_what_it_gives_and_no_more, both)
{
    commit(BOB, 1, 3, 1);
    commit(CAROL, 4, 1, 1);
    assert_inbox(false, 0, "1 2 3 4");
    assert_inbox(true, 2, "1 2!");
    assert_owed(BOB, "1 2");
    assert_inbox(true, 2, "3 4");
    assert_inbox(true, 2, "");
    assert_owed(BOB, "1 2 3");
    assert_owed(CAROL, "4");
}

PV_TEST_EACH(receipts_are_owed_until_told, both)
{
    commit(BOB, 1, 3, 1);
    assert_true(changes(job_of(PV_CHATJOB_SEEN, BOB, 2)));
    assert_false(changes(job_of(PV_CHATJOB_SEEN, BOB, 2)));
    assert_false(changes(job_of(PV_CHATJOB_SEEN, CAROL, 1)));
    assert_inbox(false, 0, "1 3");
    assert_owed(BOB, "2");
    uint8_t ids[2][PV_CHAT_ID_LEN] = {{2}, {77}};
    struct pv_chatjob told = job_of(PV_CHATJOB_TOLD, BOB, 0);
    told.ids = ids;
    told.n_ids = 2;
    (void)changes(told);
    assert_owed(BOB, "");
    assert_false(changes(job_of(PV_CHATJOB_SEEN, BOB, 2))); /* not owed again */
    assert_owed(BOB, "");
}

PV_TEST_EACH(plain_text_is_read_without_a_receipt, both)
{
    commit(BOB, 1, 1, 0);
    assert_inbox(true, 0, "1");
    assert_owed(BOB, "");
}

PV_TEST_EACH(history_gives_the_newest_oldest_first, both)
{
    enqueue(BOB, 1);
    commit(BOB, 2, 1, 1);
    enqueue(CAROL, 3);
    commit(BOB, 4, 1, 2);
    struct pv_chatjob job = job_of(PV_CHATJOB_HISTORY, BOB, 0);
    assert_list(job, "1 2 4");
    job.limit = 2;
    assert_list(job, "2 4!");
    job.before = true; /* page by page */
    job.id[0] = 4;
    job.limit = 1;
    assert_list(job, "2!");
    job.id[0] = 2;
    assert_list(job, "1");
    job.id[0] = 1;
    assert_list(job, "");
    job.id[0] = 3; /* not of this conversation */
    job.limit = 2;
    assert_list(job, "2 4!");
    job.before = false;
    job.all_peers = true;
    job.limit = 3;
    assert_list(job, "2 3 4!");
    job.limit = 4;
    assert_list(job, "1 2 3 4");
}

PV_TEST_EACH(counts_say_who_waits_for_what, both)
{
    struct pv_chatjob job = {.kind = PV_CHATJOB_COUNTS};
    struct pv_chatjob_result *res = must(&job);
    assert_true(res->unread == 0 && res->queued == 0 && res->n_backlog == 0);
    pv_chatjob_result_free(res);

    enqueue(BOB, 1);
    enqueue(BOB, 2);
    mark(BOB, 1, PV_CHAT_DELIVERED);
    commit(BOB, 3, 2, 1);
    commit(CAROL, 5, 2, 1);
    changes(job_of(PV_CHATJOB_SEEN, CAROL, 5));
    res = must(&job);
    assert_int_equal(res->unread, 3);
    assert_int_equal(res->queued, 1);
    assert_int_equal(res->n_backlog, 2);
    for (size_t i = 0; i < 2; i++) {
        const struct pv_chat_backlog *b = &res->backlog[i];
        bool bob = memcmp(b->peer, BOB, sizeof(BOB)) == 0;
        assert_string_equal(b->peer_name, bob ? "bob" : "carol");
        assert_int_equal(b->queued, bob ? 1 : 0);
        assert_int_equal(b->owed, bob ? 0 : 1);
    }
    pv_chatjob_result_free(res);
}

PV_TEST_EACH(lists_are_limited_in_bytes_too, both)
{
    static char big[PV_CHAT_TEXT_MAX + 1];
    size_t total = 0;
    memset(big, 'x', PV_CHAT_TEXT_MAX);
    for (unsigned i = 0; i <= PV_CHATJOB_MAX_BYTES / PV_CHAT_TEXT_MAX; i++) {
        struct pv_chat_record m = record(BOB, (uint8_t)i, big);
        m.id[1] = (uint8_t)(i >> 8);
        struct pv_chatjob job = {.kind = PV_CHATJOB_COMMIT, .msgs = &m, .n_msgs = 1};
        pv_chatjob_result_free(must(&job));
        total++;
    }
    struct pv_chatjob job = {.kind = PV_CHATJOB_INBOX, .mark_read = true};
    struct pv_chatjob_result *res = must(&job);
    assert_true(res->more);
    assert_int_equal(res->n_msgs, total - 1);
    pv_chatjob_result_free(res);
    res = must(&job);
    assert_false(res->more);
    assert_int_equal(res->n_msgs, 1);
    pv_chatjob_result_free(res);
}

PV_TEST_EACH(a_job_without_its_message_is_refused, both)
{
    struct pv_chatjob_result *res = NULL;
    struct pv_chatjob job = {.kind = PV_CHATJOB_ENQUEUE};
    assert_int_equal(run(&job, &res), PV_ERR_MALFORMED);
    job.kind = PV_CHATJOB_COMMIT;
    assert_int_equal(run(&job, &res), PV_ERR_MALFORMED);
}

/* --- SQLite only --------------------------------------------------------------------------- */

PV_TEST_IN(a_failed_commit_changes_nothing, setup_sqlite, teardown_sqlite)
{
    char text[] = "in", bad[] = "second";
    struct pv_chat_record msgs[2] = {record(BOB, 1, text), record(BOB, 2, bad)};
    struct pv_chatjob job = {.kind = PV_CHATJOB_COMMIT, .msgs = msgs, .n_msgs = 2};
    struct pv_chatjob_result *res = NULL;
    sql("CREATE TRIGGER t BEFORE INSERT ON chat_message"
        " WHEN NEW.text = 'second' BEGIN SELECT RAISE(FAIL, 'no'); END");
    assert_int_equal(run(&job, &res), -EIO);
    sql("DROP TRIGGER t");
    assert_inbox(false, 0, "");
    assert_int_equal(commit(BOB, 1, 2, 1), 2);
}

PV_TEST_IN(a_failed_enqueue_uses_no_seq, setup_sqlite, teardown_sqlite)
{
    char text[] = "out";
    struct pv_chat_record m = record(BOB, 1, text);
    struct pv_chatjob job = {.kind = PV_CHATJOB_ENQUEUE, .msgs = &m, .n_msgs = 1};
    struct pv_chatjob_result *res = NULL;
    sql("CREATE TRIGGER t BEFORE INSERT ON chat_message BEGIN SELECT RAISE(FAIL, 'no'); END");
    assert_int_equal(run(&job, &res), -EIO);
    sql("DROP TRIGGER t");
    assert_int_equal(enqueue(BOB, 1), 1);
}

PV_TEST_IN(a_damaged_row_is_an_error_and_no_message, setup_sqlite, teardown_sqlite)
{
    struct pv_chatjob job = {.kind = PV_CHATJOB_INBOX};
    struct pv_chatjob_result *res = NULL;
    commit(BOB, 1, 1, 1);
    sql("UPDATE chat_message SET id = x'00'");
    assert_int_equal(run(&job, &res), PV_ERR_MALFORMED);
}

PV_TEST_IN(the_schema_can_be_made_again, setup_sqlite, teardown_sqlite)
{
    enqueue(BOB, 1);
    assert_int_equal(pv_store_schema(store.db), PV_OK);
    assert_outbox(BOB, 0, 0, "1");
}

PV_TEST_IN(a_database_of_the_first_version_is_brought_up_to_date, setup_sqlite, teardown_sqlite)
{
    enqueue(BOB, 1);
    commit(BOB, 2, 1, 1);
    sql("DROP TRIGGER chat_usage_new; DROP TRIGGER chat_usage_read; DROP TRIGGER chat_usage_gone;"
        "DROP TRIGGER chat_sum_new; DROP TRIGGER chat_sum_gone; DROP TRIGGER chat_gone_new;"
        "DROP TABLE chat_usage; ALTER TABLE chat_message DROP COLUMN arrived_s;"
        "ALTER TABLE chat_message DROP COLUMN author;"
        "ALTER TABLE chat_message DROP COLUMN sent");
    assert_int_equal(pv_store_schema(store.db), PV_OK);
    assert_outbox(BOB, 0, 0, "1");
    assert_inbox(false, 0, "2");
    assert_true(mark(BOB, 1, PV_CHAT_SENT));
}

/* Steps of SQLite's machine until the job is done: a measure of work that no clock disturbs. */
static unsigned steps;
static int count_step(void *unused)
{
    steps++;
    return 0;
}

static unsigned steps_of(struct pv_chatjob job)
{
    steps = 0;
    sqlite3_progress_handler(store.db, 1, count_step, NULL);
    pv_chatjob_result_free(must(&job));
    sqlite3_progress_handler(store.db, 0, NULL, NULL);
    return steps;
}

/* The work of chat all day long, with the newest messages. */
static unsigned work_of_a_day(uint8_t id)
{
    unsigned n = 0;
    uint8_t text_id[1][PV_CHAT_ID_LEN] = {{id}};
    struct pv_chat_record m = {.outgoing = true, .peer_name = "bob", .text = (char[]){"hi"}};
    memcpy(m.peer, BOB, sizeof(m.peer));
    m.id[0] = id;
    struct pv_chatjob send = {.kind = PV_CHATJOB_ENQUEUE, .msgs = &m, .n_msgs = 1};
    n += steps_of(send);
    n += steps_of(job_of(PV_CHATJOB_OUTBOX, BOB, 0));
    struct pv_chatjob list = job_of(PV_CHATJOB_HISTORY, BOB, 0);
    list.limit = 50;
    n += steps_of(list);
    list.all_peers = true;
    n += steps_of(list);
    n += steps_of((struct pv_chatjob){.kind = PV_CHATJOB_INBOX});
    n += steps_of(job_of(PV_CHATJOB_OWED, BOB, 0));
    n += steps_of(job_of(PV_CHATJOB_UNCOPIED, BOB, 0));
    n += steps_of((struct pv_chatjob){.kind = PV_CHATJOB_COUNTS});
    struct pv_chatjob mark = job_of(PV_CHATJOB_MARK, BOB, 0);
    mark.ids = text_id;
    mark.n_ids = 1;
    mark.state = PV_CHAT_READ;
    return n + steps_of(mark);
}

static void fill_history(unsigned n)
{
    char text[640];
    snprintf(text, sizeof(text),
             "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < %u)"
             " INSERT INTO chat_message (id, peer, peer_name, outgoing, state, seq, time_ms, text)"
             " SELECT randomblob(16), CASE WHEN x %% 3 THEN x'b0%062d' ELSE x'ca%062d' END,"
             " 'bob', x & 1, 2, x, x, 'line ' || x FROM c",
             0, 0, n);
    sql(text);
}

PV_TEST_IN(a_hundred_thousand_messages_are_as_quick_as_a_few, setup_sqlite, teardown_sqlite)
{
    fill_history(300);
    unsigned few = work_of_a_day(1);
    fill_history(100000);
    unsigned many = work_of_a_day(2);
    assert_in_range(many, 1, 2 * few);
}

PV_TEST(every_kind_of_job_is_served)
{
    for (int kind = 0; kind < PV_CHATJOB_KINDS; kind++) {
        if (!pv_store_chat_serves((enum pv_chatjob_kind)kind))
            fail_msg("nothing serves chat jobs of kind %d: add a row to HANDLERS in "
                     "daemon/store/store_chat.c",
                     kind);
    }
}
