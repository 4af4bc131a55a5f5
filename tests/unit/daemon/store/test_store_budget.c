/* SPDX-License-Identifier: MIT */
/* The room of others in the chat tables, deletions and mutes: SQLite only. */
#include "tests/unit/daemon/store/chat_tables.h"

PV_TEST(a_muted_conversation_has_nothing_unread)
{
    struct pv_chatjob mute = job_of(PV_CHATJOB_MUTE, BOB, 0);
    mute.mute = true;
    snprintf(mute.peer_name, sizeof(mute.peer_name), "bob");
    assert_true(changes(mute));
    assert_false(changes(mute));

    char text[] = "in";
    struct pv_chat_record m = record(BOB, 1, text);
    m.seq = 1;
    struct pv_chatjob job = {.kind = PV_CHATJOB_COMMIT, .msgs = &m, .n_msgs = 1};
    struct pv_chatjob_result *res = must(&job);
    assert_int_equal(res->n_msgs, 1);
    assert_int_equal(res->n_taken, 1);
    assert_int_equal(res->msgs[0].state, PV_CHAT_READ);
    pv_chatjob_result_free(res);
    commit(CAROL, 2, 1, 1);
    assert_inbox(false, 0, "2");
    assert_list(job_of(PV_CHATJOB_OWED, BOB, 0), ""); /* nobody read it */
    assert_list(job_of(PV_CHATJOB_HISTORY, BOB, 0), "1");

    struct pv_chatjob list = job_of(PV_CHATJOB_MUTED, BOB, 0);
    res = must(&list);
    assert_int_equal(res->n_backlog, 1);
    assert_string_equal(res->backlog[0].peer_name, "bob");
    assert_memory_equal(res->backlog[0].peer, BOB, PV_SIGN_PK_LEN);
    pv_chatjob_result_free(res);
    mute.mute = false;
    assert_true(changes(mute));
    assert_false(changes(mute));
    assert_int_equal(commit(BOB, 3, 1, 2), 1); /* asserts that it is unread */
}

static size_t deletes(struct pv_chatjob job, bool *ret_more)
{
    struct pv_chatjob_result *res = must(&job);
    size_t n = res->n_deleted;
    *ret_more = res->more;
    pv_chatjob_result_free(res);
    return n;
}

PV_TEST(clearing_deletes_what_is_past_and_nothing_else)
{
    bool more;
    enqueue(BOB, 1);
    enqueue(BOB, 2);
    mark(BOB, 1, PV_CHAT_DELIVERED);
    commit(BOB, 3, 2, 1);
    commit(CAROL, 5, 1, 1);
    assert_int_equal(deletes(job_of(PV_CHATJOB_CLEAR, BOB, 0), &more), 3);
    assert_false(more);
    assert_list(job_of(PV_CHATJOB_HISTORY, BOB, 0), "2"); /* still to be delivered */
    assert_outbox(BOB, 0, 0, "2");
    assert_list(job_of(PV_CHATJOB_HISTORY, CAROL, 0), "5");
    /* A message that comes again is not new, and a seq is not given twice. */
    assert_int_equal(commit(BOB, 3, 2, 1), 0);
    assert_int_equal(enqueue(BOB, 6), 3);
    struct pv_chatjob all = job_of(PV_CHATJOB_CLEAR, BOB, 0);
    all.all_peers = true;
    assert_int_equal(deletes(all, &more), 1);
    assert_int_equal(deletes(all, &more), 0);
}

static uint64_t number(const char *query)
{
    sqlite3_stmt *st = NULL;
    assert_int_equal(sqlite3_prepare_v2(store.db, query, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    uint64_t n = (uint64_t)sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return n;
}

/* The sums that triggers keep are those of what is there. */
static void assert_usage_is_true(void)
{
    assert_int_equal(number("SELECT bytes FROM chat_usage WHERE author = x''"),
                     number("SELECT coalesce(sum(length(CAST(text AS BLOB)) + 512), 0)"
                            " FROM chat_message"));
    assert_int_equal(number("SELECT coalesce(sum(bytes), 0) FROM chat_usage WHERE author <> x''"),
                     number("SELECT coalesce(sum(length(CAST(text AS BLOB)) + 512), 0)"
                            " FROM chat_message WHERE outgoing = 0"));
    assert_int_equal(number("SELECT sum(unread) FROM chat_usage"),
                     number("SELECT count(*) FROM chat_message WHERE outgoing = 0 AND state = 3"));
    assert_int_equal(number("SELECT sum(unread_bytes) FROM chat_usage"),
                     number("SELECT coalesce(sum(length(CAST(text AS BLOB)) + 512), 0)"
                            " FROM chat_message WHERE outgoing = 0 AND state = 3"));
}

/* One peer sends n messages of so many bytes, with ids from first on. How many are taken, and why
 * no more? */
static size_t flood(const uint8_t *peer, uint32_t first, size_t n, size_t text_len,
                    const struct pv_chatjob_terms *terms, enum pv_chat_later *ret_later)
{
    struct pv_chat_record *msgs = calloc(n, sizeof(*msgs));
    char *text = malloc(text_len + 1);
    assert_non_null(msgs);
    assert_non_null(text);
    memset(text, 'x', text_len);
    text[text_len] = '\0';
    for (size_t i = 0; i < n; i++) {
        msgs[i] = record(peer, 0, text);
        msgs[i].seq = first + i;
        memcpy(msgs[i].id, &msgs[i].seq, sizeof(msgs[i].seq)); /* any id of its own */
    }
    struct pv_chatjob job = {.kind = PV_CHATJOB_COMMIT, .msgs = msgs, .n_msgs = n, .terms = *terms};
    struct pv_chatjob_result *res = NULL;
    int r = run(&job, &res);
    size_t taken = res == NULL ? 0 : res->n_taken;
    *ret_later = res == NULL ? PV_CHAT_LATER_NO : res->later;
    pv_chatjob_result_free(res);
    free(text);
    free(msgs);
    assert_int_equal(r, PV_OK);
    return taken;
}

#define DAY(n) ((n)*UINT64_C(86400) + 7)

PV_TEST(a_sender_has_so_many_unread_messages_and_no_more)
{
    const struct pv_chatjob_terms terms = {.now_s = DAY(20000)};
    enum pv_chat_later later;
    size_t taken = 0;
    for (uint32_t first = 1; first < 12000; first += 1000)
        taken += flood(BOB, first, 1000, 4, &terms, &later);
    assert_int_equal(taken, PV_CHATJOB_MAX_UNREAD);
    assert_int_equal(later, PV_CHAT_LATER_FULL);
    /* Its messages there are confirmed again, and others are not concerned. */
    assert_int_equal(flood(BOB, 1, 3, 4, &terms, &later), 3);
    assert_int_equal(later, PV_CHAT_LATER_NO);
    assert_int_equal(flood(CAROL, 1, 3, 4, &terms, &later), 3);
    /* Of a job that is half known the rest waits. */
    assert_int_equal(flood(BOB, 9999, 5, 4, &terms, &later), 2);
    assert_int_equal(later, PV_CHAT_LATER_FULL);
    /* Reading makes room. */
    struct pv_chatjob inbox = job_of(PV_CHATJOB_INBOX, BOB, 0);
    inbox.of_peer = inbox.mark_read = true;
    inbox.limit = 10;
    pv_chatjob_result_free(must(&inbox));
    assert_int_equal(flood(BOB, 10001, 11, 4, &terms, &later), 10);
    assert_usage_is_true();
}

PV_TEST(a_sender_has_so_many_unread_bytes_and_no_more)
{
    const struct pv_chatjob_terms terms = {.now_s = DAY(20000)};
    enum pv_chat_later later;
    size_t want = PV_CHATJOB_MAX_UNREAD_BYTES / (PV_CHAT_TEXT_MAX + PV_CHATJOB_ROW_BYTES);
    assert_int_equal(flood(BOB, 1, 2000, PV_CHAT_TEXT_MAX, &terms, &later), want);
    assert_int_equal(later, PV_CHAT_LATER_FULL);
    /* None that would fit overtakes it: what came behind it in the same job waits too. */
    assert_int_equal(number("SELECT max(seq) FROM chat_message"), want);
    assert_usage_is_true();
}

PV_TEST(a_sender_has_a_budget_for_each_day)
{
    struct pv_chatjob_terms terms = {.now_s = DAY(20000)};
    enum pv_chat_later later;
    /* Most of the day's budget is used up, of what is deleted since. */
    assert_int_equal(flood(BOB, 1, 1, 4, &terms, &later), 1);
    sql("UPDATE chat_usage SET day_bytes = 32 * 1048576 - 3 * (16384 + 512) WHERE author <> x''");
    assert_int_equal(flood(BOB, 2, 4, PV_CHAT_TEXT_MAX, &terms, &later), 3);
    assert_int_equal(later, PV_CHAT_LATER_FULL);
    /* Deleting does not give the day back: the disk has been written to. */
    for (bool more = true; more;)
        deletes(job_of(PV_CHATJOB_CLEAR, BOB, 0), &more);
    assert_int_equal(flood(BOB, 4001, 1, PV_CHAT_TEXT_MAX, &terms, &later), 0);
    assert_int_equal(flood(CAROL, 1, 1, PV_CHAT_TEXT_MAX, &terms, &later), 1);
    terms.now_s = DAY(20001);
    assert_int_equal(flood(BOB, 4001, 5, PV_CHAT_TEXT_MAX, &terms, &later), 5);
    assert_usage_is_true();
}

PV_TEST(a_sender_has_a_share_of_all_there_is)
{
    const struct pv_chatjob_terms terms = {.now_s = DAY(20000), .max_bytes = 4 << 20};
    enum pv_chat_later later;
    const size_t share = (1 << 20) / (1024 + PV_CHATJOB_ROW_BYTES);
    assert_int_equal(flood(BOB, 1, 1000, 1024, &terms, &later), share);
    assert_int_equal(later, PV_CHAT_LATER_FULL);
    assert_int_equal(flood(CAROL, 1, 1000, 1024, &terms, &later), share);
    /* Four such senders are the whole: then there is nothing for the fifth. */
    for (uint8_t i = 1; i < 4; i++) {
        const uint8_t peer[PV_SIGN_PK_LEN] = {i};
        size_t taken = flood(peer, 1, 1000, 1024, &terms, &later);
        assert_true(i == 3 ? taken < 10 : taken == share);
    }
    assert_usage_is_true();
}

PV_TEST(nothing_is_taken_while_the_disk_is_nearly_full)
{
    struct pv_chatjob_terms terms = {.now_s = DAY(20000)};
    enum pv_chat_later later;
    assert_int_equal(flood(BOB, 1, 1, 4, &terms, &later), 1);
    terms.low_disk = true;
    assert_int_equal(flood(BOB, 1, 2, 4, &terms, &later), 1); /* the known one */
    assert_int_equal(later, PV_CHAT_LATER_DISK);
    enqueue(BOB, 9); /* what this node's users send is theirs to decide */
}

PV_TEST(old_messages_go_but_no_unread_and_no_waiting_ones)
{
    struct pv_chatjob_terms terms = {.now_s = DAY(20000)};
    enum pv_chat_later later;
    struct pv_chatjob job = job_of(PV_CHATJOB_PURGE, BOB, 0);
    bool more;
    flood(BOB, 1, 3, 4, &terms, &later);
    struct pv_chatjob inbox = job_of(PV_CHATJOB_INBOX, BOB, 0);
    inbox.mark_read = true;
    inbox.limit = 2;
    pv_chatjob_result_free(must(&inbox));
    enqueue(BOB, 200);
    enqueue(BOB, 201); /* by the sender's clock it is of 1970 */
    mark(BOB, 200, PV_CHAT_DELIVERED);
    job.terms.now_s = DAY(20090) + 1;
    assert_int_equal(deletes(job, &more), 0); /* for ever */
    job.keep_s = 91 * 86400;
    assert_int_equal(deletes(job, &more), 1); /* 200 */
    job.keep_s = 90 * 86400;
    assert_int_equal(deletes(job, &more), 2);
    assert_int_equal(number("SELECT count(*) FROM chat_message"), 2);
    assert_usage_is_true();
    assert_int_equal(number("SELECT count(*) FROM chat_gone"), 0); /* nobody sends them again */
}

PV_TEST(a_full_history_loses_its_oldest_read_messages_first)
{
    struct pv_chatjob_terms terms = {.now_s = DAY(20000), .max_bytes = 4 << 20};
    enum pv_chat_later later;
    struct pv_chatjob job = job_of(PV_CHATJOB_PURGE, BOB, 0);
    bool more;
    job.terms = terms;
    const size_t size = 1024 + PV_CHATJOB_ROW_BYTES;
    /* Four senders with a quarter each; half of it is read. */
    for (uint8_t i = 0; i < 4; i++) {
        const uint8_t peer[PV_SIGN_PK_LEN] = {(uint8_t)(1 + i)};
        assert_int_equal(flood(peer, 1, 1000, 1024, &terms, &later), (1 << 20) / size);
    }
    struct pv_chatjob inbox = job_of(PV_CHATJOB_INBOX, BOB, 0);
    inbox.mark_read = true;
    inbox.limit = 1000;
    pv_chatjob_result_free(must(&inbox));
    inbox.limit = 400;
    pv_chatjob_result_free(must(&inbox));
    uint64_t unread = number("SELECT count(*) FROM chat_message WHERE state = 3");
    uint64_t newest_read = number("SELECT max(n) FROM chat_message WHERE state = 2");
    size_t deleted = deletes(job, &more);
    assert_in_range(deleted, (4 << 20) / 10 / size - 10, (4 << 20) / 10 / size + 2);
    assert_int_equal(number("SELECT min(n) FROM chat_message"), deleted + 1); /* the oldest */
    assert_int_equal(number("SELECT count(*) FROM chat_message WHERE state = 3"), unread);
    assert_int_equal(number("SELECT max(n) FROM chat_message WHERE state = 2"), newest_read);
    assert_int_equal(deletes(job, &more), 0);
    /* Nothing read is left: then unread ones go. */
    job.terms.max_bytes = 1 << 20;
    for (more = true; more;)
        deletes(job, &more);
    deletes(job, &more);
    assert_int_equal(number("SELECT count(*) FROM chat_message WHERE state = 2"), 0);
    assert_in_range(number("SELECT sum(bytes) FROM chat_usage WHERE author = x''"), 1,
                    (1 << 20) - (1 << 20) / 20);
    assert_usage_is_true();
}

PV_TEST(a_database_without_sums_gets_them)
{
    enqueue(BOB, 1);
    commit(BOB, 2, 2, 1);
    commit(CAROL, 4, 1, 1);
    changes(job_of(PV_CHATJOB_SEEN, BOB, 2));
    sql("DELETE FROM chat_usage");
    assert_int_equal(pv_store_schema(store.db), PV_OK);
    assert_usage_is_true();
    assert_int_equal(number("SELECT count(*) FROM chat_usage"), 3);
    assert_int_equal(pv_store_schema(store.db), PV_OK); /* once */
    assert_usage_is_true();
}

static int setup(void **state)
{
    store.sqlite = true;
    if (sqlite3_open(":memory:", &store.db) != SQLITE_OK)
        return -1;
    return pv_store_schema(store.db);
}

static int teardown(void **state)
{
    return sqlite3_close(store.db);
}

PV_TEST_WORLD(setup, teardown);
