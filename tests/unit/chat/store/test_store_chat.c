/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include <sqlite3.h>

#include "base/ageclock.h"
#include "chat/core/base/roomop.h"
#include "chat/store/chatschema.h"
#include "chat/store/store_budget.h"
#include "chat/store/store_chat.h"
#include "tests/unit/chat/store/chat_db.h"
#include "tests/unit/test_util.h"

/* --- the tables, and the jobs that most tests begin with ------------------------------------- */

static const uint8_t NOWHERE[PV_ROOM_NETWORK_LEN];
static const uint8_t BOB[PV_SIGN_PK_LEN] = {0xb0};
static const uint8_t CAROL[PV_SIGN_PK_LEN] = {0xca};

static sqlite3 *db;
static struct pv_chatop_result result; /* of the newest operation */

static inline void sql(const char *text)
{
    chat_db_sql(db, text);
}

/* Does it; the result is there until the next call. */
static inline const struct pv_chatop_result *must(const struct pv_chatop *job)
{
    pv_chatop_result_done(&result);
    assert_ok(chat_db_run(db, job, &result));
    return &result;
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
    struct pv_chatop job = {.kind = PV_CHATOP_ENQUEUE, .msgs = &m, .n_msgs = 1};
    const struct pv_chatop_result *res = must(&job);
    assert_int_equal(res->n_msgs, 1);
    assert_true(res->msgs[0].outgoing);
    assert_string_equal(res->msgs[0].text, "out");
    assert_int_equal(res->msgs[0].time_ms, 1000u + id);
    return res->msgs[0].seq;
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
    struct pv_chatop job = {.kind = PV_CHATOP_COMMIT, .msgs = msgs, .n_msgs = n};
    const struct pv_chatop_result *res = must(&job);
    for (size_t i = 0; i < res->n_msgs; i++) {
        assert_int_equal(res->msgs[i].state, PV_CHAT_UNREAD);
        assert_false(res->msgs[i].outgoing);
    }
    return res->n_msgs;
}

/* The id that begins with this byte. */
static const uint8_t *id_of(uint8_t first)
{
    static uint8_t ids[256][PV_CHAT_ID_LEN];
    ids[first][0] = first;
    return ids[first];
}

/* INBOX is of all peers. */
static inline struct pv_chatop job_of(enum pv_chatop_kind kind, const uint8_t *peer, uint8_t id)
{
    return (struct pv_chatop){.kind = kind,
                              .peer = kind == PV_CHATOP_INBOX ? NULL : peer,
                              .id = id_of(id),
                              .network = NOWHERE};
}

static inline bool changes(struct pv_chatop job)
{
    return must(&job)->changed;
}

static inline bool mark(const uint8_t *peer, uint8_t id, enum pv_chat_state state)
{
    const uint8_t ids[1][PV_CHAT_ID_LEN] = {{id}};
    struct pv_chatop job = job_of(PV_CHATOP_MARK, peer, 0);
    job.ids = ids;
    job.n_ids = 1;
    job.state = state;
    const struct pv_chatop_result *res = must(&job);
    bool changed = res->n_msgs == 1 && res->msgs[0].id[0] == id &&
                   memcmp(res->msgs[0].peer, peer, PV_SIGN_PK_LEN) == 0 &&
                   res->msgs[0].state == state && res->msgs[0].text == NULL;
    assert_true(changed || res->n_msgs == 0);
    return changed;
}

/* Runs a list and compares the first bytes of the ids, "!" at the end = more. */
static inline void assert_list(struct pv_chatop job, const char *want)
{
    char got[256] = "";
    size_t n = 0;
    const struct pv_chatop_result *res = must(&job);
    for (size_t i = 0; i < res->n_msgs; i++)
        n += (size_t)snprintf(got + n, sizeof(got) - n, "%s%u", i == 0 ? "" : " ",
                              res->msgs[i].id[0]);
    snprintf(got + n, sizeof(got) - n, "%s", res->more ? "!" : "");
    assert_string_equal(got, want);
}

static inline void assert_outbox(const uint8_t *peer, uint64_t after, uint32_t limit,
                                 const char *want)
{
    struct pv_chatop job = job_of(PV_CHATOP_OUTBOX, peer, 0);
    job.after_seq = after;
    job.limit = limit;
    assert_list(job, want);
}

static inline void assert_inbox(bool mark_read, uint32_t limit, const char *want)
{
    assert_list((struct pv_chatop){.kind = PV_CHATOP_INBOX, .mark_read = mark_read, .limit = limit},
                want);
}

/* A copy of the message is kept elsewhere; did that change its state? */
static bool keep(const uint8_t *peer, uint8_t id)
{
    const uint8_t ids[1][PV_CHAT_ID_LEN] = {{id}};
    struct pv_chatop job = job_of(PV_CHATOP_COPIED, peer, 0);
    job.ids = ids;
    job.n_ids = 1;
    return must(&job)->n_msgs == 1;
}

static void assert_owed(const uint8_t *peer, const char *want)
{
    assert_list(job_of(PV_CHATOP_OWED, peer, 0), want);
}

/* --- the list ------------------------------------------------------------------------------ */

void test_before_each(void)
{
    db = chat_db_open();
}

void test_after_each(void)
{
    pv_chatop_result_done(&result);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

PV_TEST(seq_counts_up_for_each_conversation)
{
    assert_int_equal(enqueue(BOB, 1), 1);
    assert_int_equal(enqueue(BOB, 2), 2);
    assert_int_equal(enqueue(CAROL, 3), 1);
    assert_int_equal(enqueue(BOB, 4), 3);
}

PV_TEST(enqueueing_again_gives_the_same_answer)
{
    assert_int_equal(enqueue(BOB, 1), 1);
    assert_int_equal(enqueue(BOB, 1), 1);
    assert_int_equal(enqueue(BOB, 2), 2);
    assert_outbox(BOB, 0, 0, "1 2");
}

/* To another receiver it is another message. */
PV_TEST(an_id_that_was_taken_with_another_text_is_refused)
{
    char text[] = "another";
    struct pv_chat_record m = record(BOB, 1, text);
    struct pv_chatop job = {.kind = PV_CHATOP_ENQUEUE, .msgs = &m, .n_msgs = 1};
    assert_int_equal(enqueue(BOB, 1), 1);
    struct pv_chatop_result none;
    assert_int_equal(chat_db_run(db, &job, &none), PV_ERR_EXISTS);
    assert_null(none.msgs);
    assert_int_equal(enqueue(CAROL, 1), 1);
    assert_outbox(BOB, 0, 0, "1");
}

PV_TEST(an_incoming_message_is_stored_exactly_once)
{
    assert_int_equal(commit(BOB, 1, 3, 1), 3);
    assert_int_equal(commit(BOB, 1, 3, 1), 0);
    assert_int_equal(commit(BOB, 2, 4, 2), 2);
    assert_int_equal(commit(CAROL, 1, 1, 1), 1); /* the same id of another sender */
    assert_inbox(false, 0, "1 2 3 4 5 1");
}

PV_TEST(one_id_twice_in_a_batch_is_stored_once)
{
    char text[] = "in";
    struct pv_chat_record msgs[2] = {record(BOB, 7, text), record(BOB, 7, text)};
    struct pv_chatop job = {.kind = PV_CHATOP_COMMIT, .msgs = msgs, .n_msgs = 2};
    const struct pv_chatop_result *res = must(&job);
    assert_int_equal(res->n_msgs, 1);
    assert_inbox(false, 0, "7");
}

PV_TEST(a_message_may_have_the_same_id_in_both_directions)
{
    enqueue(BOB, 1);
    assert_int_equal(commit(BOB, 1, 1, 1), 1);
    assert_true(mark(BOB, 1, PV_CHAT_DELIVERED));
    assert_inbox(false, 0, "1");
    assert_outbox(BOB, 0, 0, "");
}

PV_TEST(states_only_go_forward)
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

PV_TEST(outbox_lists_undelivered_in_order_in_pages)
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

PV_TEST(a_message_kept_elsewhere_is_not_listed_again)
{
    for (uint8_t i = 1; i <= 4; i++)
        enqueue(BOB, i);
    struct pv_chatop list = job_of(PV_CHATOP_UNCOPIED, BOB, 0);
    assert_list(list, "1 2 3 4");
    assert_true(keep(BOB, 2));
    assert_false(keep(BOB, 2));  /* twice is once */
    assert_false(keep(BOB, 99)); /* nobody knows that one */
    assert_list(list, "1 3 4");
    assert_true(mark(BOB, 1, PV_CHAT_DELIVERED));
    assert_false(keep(BOB, 1)); /* it is further than that */
    list.limit = 1;
    assert_list(list, "3!");
    assert_list(job_of(PV_CHATOP_UNCOPIED, CAROL, 0), "");
    assert_outbox(BOB, 0, 0, "2 3 4"); /* it still goes to the peer itself */

    struct pv_chatop again = {.kind = PV_CHATOP_RECOPY};
    const struct pv_chatop_result *res = must(&again);
    assert_int_equal(res->n_backlog, 1);
    assert_memory_equal(res->backlog[0].peer, BOB, sizeof(res->backlog[0].peer));
    assert_true(res->backlog[0].queued == 3);
    list.limit = 0;
    assert_list(list, "2 3 4");
    assert_false(keep(BOB, 2)); /* it was sent before */
    assert_list(list, "3 4");
}

PV_TEST(a_message_handed_over_is_sent_and_stays_in_the_outbox)
{
    enqueue(BOB, 1);
    enqueue(BOB, 2);
    assert_true(mark(BOB, 1, PV_CHAT_SENT));
    assert_false(mark(BOB, 1, PV_CHAT_SENT));
    assert_false(mark(CAROL, 2, PV_CHAT_SENT)); /* it is not to her */
    struct pv_chatop job = job_of(PV_CHATOP_OUTBOX, BOB, 0);
    const struct pv_chatop_result *res = must(&job);
    assert_int_equal(res->n_msgs, 2);
    assert_int_equal(res->msgs[0].state, PV_CHAT_SENT);
    assert_int_equal(res->msgs[1].state, PV_CHAT_QUEUED);
    assert_true(mark(BOB, 1, PV_CHAT_DELIVERED));
    assert_false(mark(BOB, 1, PV_CHAT_SENT)); /* never back */
    assert_true(mark(BOB, 1, PV_CHAT_READ));
    assert_false(mark(BOB, 1, PV_CHAT_DELIVERED));
    assert_outbox(BOB, 0, 0, "2");
}

PV_TEST(inbox_of_one_peer_leaves_the_others_unread)
{
    struct pv_chatop job = job_of(PV_CHATOP_INBOX, BOB, 0);
    commit(BOB, 1, 2, 1);
    commit(CAROL, 3, 1, 1);
    job.peer = BOB;
    job.mark_read = true;
    assert_list(job, "1 2");
    assert_list(job, "");
    assert_inbox(false, 0, "3");
}

/* A client asks page by page, and says how far it got. */
PV_TEST(the_inbox_is_read_as_far_as_the_client_says)
{
    struct pv_chatop job = job_of(PV_CHATOP_INBOX, BOB, 2);
    commit(BOB, 1, 3, 1);
    commit(CAROL, 4, 2, 1);
    job.after = true;
    assert_list(job, "3 4 5");
    job.id = id_of(99); /* one that is not known: from the beginning */
    assert_list(job, "1 2 3 4 5");
    job = job_of(PV_CHATOP_INBOX, BOB, 4);
    job.through = job.mark_read = true;
    job.peer = BOB;
    assert_list(job, ""); /* none of this conversation */
    job.id = id_of(3);
    assert_list(job, "1 2 3");
    job.peer = NULL;
    job.id = id_of(4);
    assert_list(job, "4");
    assert_list(job, ""); /* told twice */
    assert_inbox(false, 0, "5");
    assert_owed(BOB, "1 2 3");
}

/* Runs a list of the inbox that ends at this id; gives the place of that end. */
static uint64_t upto_of(const struct pv_chatop *job, uint8_t last)
{
    const struct pv_chatop_result *res = must(job);
    assert_true(res->n_msgs > 0);
    assert_int_equal(res->msgs[res->n_msgs - 1].id[0], last);
    return res->upto;
}

/* Ids are their senders' choice: who talks to this node in two conversations may give one twice.
 * Clients that go by the place of a message get on all the same. */
PV_TEST(an_id_that_is_there_twice_holds_up_nobody)
{
    struct pv_chatop job = job_of(PV_CHATOP_INBOX, BOB, 2);
    commit(BOB, 1, 2, 1);
    commit(CAROL, 1, 3, 1);
    job.limit = 4;
    assert_list(job, "1 2 1 2!");
    job.upto = upto_of(&job, 2);
    job.after = true;
    assert_list(job, "3");
    job.peer = CAROL; /* within a conversation an id is enough */
    job.upto = 0;
    assert_list(job, "3");
    job.peer = NULL;
    job.after = false;
    job.limit = 4;
    job.upto = upto_of(&job, 2);
    job.through = job.mark_read = true;
    assert_list(job, "1 2 1 2");
    assert_inbox(false, 0, "3");
}

/* A message after a list whose messages were deleted stands where they stood: it is not taken for
 * what the client has. */
PV_TEST(a_message_in_the_place_of_deleted_ones_is_not_read)
{
    struct pv_chatop job = job_of(PV_CHATOP_INBOX, BOB, 3);
    struct pv_chatop clear = job_of(PV_CHATOP_CLEAR, BOB, 0);
    commit(BOB, 1, 3, 1);
    job.limit = 4;
    job.upto = upto_of(&job, 3);
    clear.all_peers = true;
    (void)must(&clear);
    commit(CAROL, 4, 2, 1);
    job.through = job.mark_read = true;
    assert_list(job, "");
    assert_inbox(false, 0, "4 5");
    job.through = job.mark_read = false;
    job.after = true;
    assert_list(job, "4 5");
}

PV_TEST(inbox_marks_what_it_gives_and_no_more)
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

PV_TEST(receipts_are_owed_until_told)
{
    commit(BOB, 1, 3, 1);
    assert_true(changes(job_of(PV_CHATOP_SEEN, BOB, 2)));
    assert_false(changes(job_of(PV_CHATOP_SEEN, BOB, 2)));
    assert_false(changes(job_of(PV_CHATOP_SEEN, CAROL, 1)));
    assert_inbox(false, 0, "1 3");
    assert_owed(BOB, "2");
    const uint8_t ids[2][PV_CHAT_ID_LEN] = {{2}, {77}};
    struct pv_chatop told = job_of(PV_CHATOP_TOLD, BOB, 0);
    told.ids = ids;
    told.n_ids = 2;
    (void)changes(told);
    assert_owed(BOB, "");
    assert_false(changes(job_of(PV_CHATOP_SEEN, BOB, 2))); /* not owed again */
    assert_owed(BOB, "");
}

PV_TEST(plain_text_is_read_without_a_receipt)
{
    commit(BOB, 1, 1, 0);
    assert_inbox(true, 0, "1");
    assert_owed(BOB, "");
}

PV_TEST(history_gives_the_newest_oldest_first)
{
    enqueue(BOB, 1);
    commit(BOB, 2, 1, 1);
    enqueue(CAROL, 3);
    commit(BOB, 4, 1, 2);
    struct pv_chatop job = job_of(PV_CHATOP_HISTORY, BOB, 0);
    assert_list(job, "1 2 4");
    assert_memory_equal(must(&job)->peer, BOB, PV_SIGN_PK_LEN); /* an empty list, too, says whose */
    job.limit = 2;
    assert_list(job, "2 4!");
    job.before = true; /* page by page */
    job.id = id_of(4);
    job.limit = 1;
    assert_list(job, "2!");
    job.id = id_of(2);
    assert_list(job, "1");
    job.id = id_of(1);
    assert_list(job, "");
    job.id = id_of(3); /* not of this conversation */
    job.limit = 2;
    assert_list(job, "2 4!");
    job.before = false;
    job.all_peers = true;
    job.limit = 3;
    assert_list(job, "2 3 4!");
    job.limit = 4;
    assert_list(job, "1 2 3 4");
    job.limit = 3;
    job.upto = must(&job)->upto; /* of 2, and of all that is said the next page */
    assert_list(job, "1");
    job.upto = must(&job)->upto;
    assert_list(job, "");
}

PV_TEST(counts_say_who_waits_for_what)
{
    struct pv_chatop job = {.kind = PV_CHATOP_COUNTS};
    const struct pv_chatop_result *res = must(&job);
    assert_true(res->unread == 0 && res->n_backlog == 0);

    enqueue(BOB, 1);
    enqueue(BOB, 2);
    mark(BOB, 1, PV_CHAT_DELIVERED);
    commit(BOB, 3, 2, 1);
    commit(CAROL, 5, 2, 1);
    changes(job_of(PV_CHATOP_SEEN, CAROL, 5));
    res = must(&job);
    assert_int_equal(res->unread, 3);
    assert_int_equal(res->n_backlog, 2);
    for (size_t i = 0; i < 2; i++) {
        const struct pv_chat_backlog *b = &res->backlog[i];
        bool bob = memcmp(b->peer, BOB, sizeof(BOB)) == 0;
        assert_string_equal(b->peer_name, bob ? "bob" : "carol");
        assert_int_equal(b->queued, bob ? 1 : 0);
        assert_int_equal(b->owed, bob ? 0 : 1);
    }
}

PV_TEST(lists_are_limited_in_bytes_too)
{
    static char big[PV_CHAT_TEXT_MAX + 1];
    size_t total = 0;
    memset(big, 'x', PV_CHAT_TEXT_MAX);
    for (unsigned i = 0; i <= PV_CHATOP_MAX_BYTES / PV_CHAT_TEXT_MAX; i++) {
        struct pv_chat_record m = record(BOB, (uint8_t)i, big);
        m.id[1] = (uint8_t)(i >> 8);
        struct pv_chatop job = {.kind = PV_CHATOP_COMMIT, .msgs = &m, .n_msgs = 1};
        (void)must(&job);
        total++;
    }
    struct pv_chatop job = {.kind = PV_CHATOP_INBOX, .mark_read = true};
    const struct pv_chatop_result *res = must(&job);
    assert_true(res->more);
    assert_int_equal(res->n_msgs, total - 1);
    res = must(&job);
    assert_false(res->more);
    assert_int_equal(res->n_msgs, 1);
}

PV_TEST(a_job_without_its_message_is_refused)
{
    struct pv_chatop_result res;
    struct pv_chatop job = {.kind = PV_CHATOP_ENQUEUE};
    assert_int_equal(chat_db_run(db, &job, &res), PV_ERR_MALFORMED);
    job.kind = PV_CHATOP_COMMIT;
    assert_int_equal(chat_db_run(db, &job, &res), PV_ERR_MALFORMED);
}

/* --- SQLite only --------------------------------------------------------------------------- */

PV_TEST(a_failed_commit_changes_nothing)
{
    char text[] = "in", bad[] = "second";
    struct pv_chat_record msgs[2] = {record(BOB, 1, text), record(BOB, 2, bad)};
    struct pv_chatop job = {.kind = PV_CHATOP_COMMIT, .msgs = msgs, .n_msgs = 2};
    struct pv_chatop_result res;
    sql(test_given("CREATE TRIGGER t BEFORE INSERT"));
    assert_int_equal(chat_db_run(db, &job, &res), -EIO);
    sql("DROP TRIGGER t");
    assert_inbox(false, 0, "");
    assert_int_equal(commit(BOB, 1, 2, 1), 2);
}

PV_TEST(a_failed_enqueue_uses_no_seq)
{
    char text[] = "out";
    struct pv_chat_record m = record(BOB, 1, text);
    struct pv_chatop job = {.kind = PV_CHATOP_ENQUEUE, .msgs = &m, .n_msgs = 1};
    struct pv_chatop_result res;
    sql(test_given("CREATE TRIGGER t BEFORE INSERT 2"));
    assert_int_equal(chat_db_run(db, &job, &res), -EIO);
    sql("DROP TRIGGER t");
    assert_int_equal(enqueue(BOB, 1), 1);
}

PV_TEST(a_damaged_row_is_an_error_and_no_message)
{
    struct pv_chatop job = {.kind = PV_CHATOP_INBOX};
    struct pv_chatop_result res;
    commit(BOB, 1, 1, 1);
    sql("UPDATE chat_message SET id = x'00'");
    assert_int_equal(chat_db_run(db, &job, &res), PV_ERR_MALFORMED);
}

PV_TEST(the_schema_can_be_made_again)
{
    enqueue(BOB, 1);
    assert_ok(pv_chat_schema(db));
    assert_outbox(BOB, 0, 0, "1");
}

/* Steps of SQLite's machine until the job is done: a measure of work that no clock disturbs. */
static unsigned steps;
static int count_step(void *unused)
{
    steps++;
    return 0;
}

static unsigned steps_of(struct pv_chatop job)
{
    steps = 0;
    sqlite3_progress_handler(db, 1, count_step, NULL);
    (void)must(&job);
    sqlite3_progress_handler(db, 0, NULL, NULL);
    return steps;
}

/* The work of chat all day long, with the newest messages. */
static unsigned work_of_a_day(uint8_t id)
{
    unsigned n = 0;
    const uint8_t text_id[1][PV_CHAT_ID_LEN] = {{id}};
    struct pv_chat_record m = {.outgoing = true, .peer_name = "bob", .text = (char[]){"hi"}};
    memcpy(m.peer, BOB, sizeof(m.peer));
    m.id[0] = id;
    struct pv_chatop send = {.kind = PV_CHATOP_ENQUEUE, .msgs = &m, .n_msgs = 1};
    n += steps_of(send);
    n += steps_of(job_of(PV_CHATOP_OUTBOX, BOB, 0));
    struct pv_chatop list = job_of(PV_CHATOP_HISTORY, BOB, 0);
    list.limit = 50;
    n += steps_of(list);
    list.all_peers = true;
    n += steps_of(list);
    n += steps_of((struct pv_chatop){.kind = PV_CHATOP_INBOX});
    n += steps_of(job_of(PV_CHATOP_OWED, BOB, 0));
    n += steps_of(job_of(PV_CHATOP_UNCOPIED, BOB, 0));
    n += steps_of((struct pv_chatop){.kind = PV_CHATOP_COUNTS});
    struct pv_chatop mark = job_of(PV_CHATOP_MARK, BOB, 0);
    mark.ids = text_id;
    mark.n_ids = 1;
    mark.state = PV_CHAT_READ;
    return n + steps_of(mark);
}

static void fill_history(unsigned n)
{
    const char *text = test_given_with("a history", PV_STR("%u", n));
    sql(text);
}

PV_TEST(a_hundred_thousand_messages_are_as_quick_as_a_few)
{
    fill_history(300);
    unsigned few = work_of_a_day(1);
    fill_history(100000);
    unsigned many = work_of_a_day(2);
    assert_in_range(many, 1, 2 * few);
}

PV_TEST(every_kind_of_job_is_served)
{
    for (int kind = 0; kind < PV_CHATOP_KINDS; kind++) {
        if (!pv_store_chat_serves((enum pv_chatop_kind)kind))
            fail_msg("no row in HANDLERS for kind %d", kind);
    }
}

/* --- the room of others, deletions and mutes: SQLite only ------------------------------------ */

PV_TEST(a_muted_conversation_has_nothing_unread)
{
    struct pv_chatop mute = job_of(PV_CHATOP_MUTE, BOB, 0);
    mute.mute = true;
    mute.peer_name = "bob";
    assert_true(changes(mute));
    assert_false(changes(mute));

    char text[] = "in";
    struct pv_chat_record m = record(BOB, 1, text);
    m.seq = 1;
    struct pv_chatop job = {.kind = PV_CHATOP_COMMIT, .msgs = &m, .n_msgs = 1};
    const struct pv_chatop_result *res = must(&job);
    assert_int_equal(res->n_msgs, 1);
    assert_int_equal(res->n_taken, 1);
    assert_int_equal(res->msgs[0].state, PV_CHAT_READ);
    commit(CAROL, 2, 1, 1);
    assert_inbox(false, 0, "2");
    assert_list(job_of(PV_CHATOP_OWED, BOB, 0), ""); /* nobody read it */
    assert_list(job_of(PV_CHATOP_HISTORY, BOB, 0), "1");

    struct pv_chatop list = job_of(PV_CHATOP_MUTED, BOB, 0);
    res = must(&list);
    assert_int_equal(res->n_backlog, 1);
    assert_string_equal(res->backlog[0].peer_name, "bob");
    assert_memory_equal(res->backlog[0].peer, BOB, PV_SIGN_PK_LEN);
    mute.mute = false;
    assert_true(changes(mute));
    assert_false(changes(mute));
    assert_int_equal(commit(BOB, 3, 1, 2), 1); /* asserts that it is unread */
}

static size_t deletes(struct pv_chatop job, bool *ret_more)
{
    const struct pv_chatop_result *res = must(&job);
    *ret_more = res->more;
    return res->n_deleted;
}

PV_TEST(clearing_deletes_what_is_past_and_nothing_else)
{
    bool more;
    enqueue(BOB, 1);
    enqueue(BOB, 2);
    mark(BOB, 1, PV_CHAT_DELIVERED);
    commit(BOB, 3, 2, 1);
    commit(CAROL, 5, 1, 1);
    assert_int_equal(deletes(job_of(PV_CHATOP_CLEAR, BOB, 0), &more), 3);
    assert_false(more);
    assert_list(job_of(PV_CHATOP_HISTORY, BOB, 0), "2"); /* still to be delivered */
    assert_outbox(BOB, 0, 0, "2");
    assert_list(job_of(PV_CHATOP_HISTORY, CAROL, 0), "5");
    struct pv_chatop gone = job_of(PV_CHATOP_CLEAR, BOB, 0);
    gone.gone = true; /* it never will be */
    assert_int_equal(deletes(gone, &more), 1);
    assert_outbox(BOB, 0, 0, "");
    assert_list(job_of(PV_CHATOP_HISTORY, CAROL, 0), "5");
    assert_int_equal(enqueue(BOB, 7), 3);
    /* A message that comes again is not new, and a seq is not given twice. */
    assert_int_equal(commit(BOB, 3, 2, 1), 0);
    assert_int_equal(enqueue(BOB, 6), 4);
    struct pv_chatop all = job_of(PV_CHATOP_CLEAR, BOB, 0);
    all.all_peers = true;
    assert_int_equal(deletes(all, &more), 1);
    assert_int_equal(deletes(all, &more), 0);
}

static uint64_t number(const char *query)
{
    sqlite3_stmt *st = NULL;
    assert_int_equal(sqlite3_prepare_v2(db, query, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    uint64_t n = (uint64_t)sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return n;
}

/* The sums that triggers keep are those of what is there. */
static void assert_usage_is_true(void)
{
    assert_int_equal(number(test_given("SELECT bytes FROM chat_usage")),
                     number(test_given("SELECT coalesce sum length CAST")));
    assert_int_equal(number(test_given("SELECT coalesce sum bytes FROM")),
                     number(test_given("SELECT coalesce sum length CAST 2")));
    assert_int_equal(number("SELECT sum(unread) FROM chat_usage"),
                     number(test_given("SELECT count FROM chat_message")));
    assert_int_equal(number("SELECT sum(unread_bytes) FROM chat_usage"),
                     number(test_given("SELECT coalesce sum length CAST 3")));
}

static enum pv_chat_later later; /* why the newest flood() took no more */

/* One peer sends n messages of so many bytes, with ids from first on. How many are taken? */
static size_t flood(const uint8_t *peer, uint32_t first, size_t n, size_t text_len,
                    const struct pv_chatop_terms *terms)
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
    struct pv_chatop job = {.kind = PV_CHATOP_COMMIT, .msgs = msgs, .n_msgs = n, .terms = *terms};
    struct pv_chatop_result res;
    int r = chat_db_run(db, &job, &res);
    size_t taken = res.n_taken;
    later = res.later;
    pv_chatop_result_done(&res);
    free(text);
    free(msgs);
    assert_ok(r);
    return taken;
}

#define ON_DAY(n) ((n)*UINT64_C(86400) + 7)

PV_TEST_WHOLE(a_sender_has_so_many_unread_messages_and_no_more)
{
    const struct pv_chatop_terms terms = {.now_s = ON_DAY(20000)};
    size_t taken = 0;
    for (uint32_t first = 1; first < 12000; first += 1000)
        taken += flood(BOB, first, 1000, 4, &terms);
    assert_int_equal(taken, PV_CHATOP_MAX_UNREAD);
    assert_int_equal(later, PV_CHAT_LATER_FULL);
    /* Its messages there are confirmed again, and others are not concerned. */
    assert_int_equal(flood(BOB, 1, 3, 4, &terms), 3);
    assert_int_equal(later, PV_CHAT_LATER_NO);
    assert_int_equal(flood(CAROL, 1, 3, 4, &terms), 3);
    /* Of a job that is half known the rest waits. */
    assert_int_equal(flood(BOB, 9999, 5, 4, &terms), 2);
    assert_int_equal(later, PV_CHAT_LATER_FULL);
    /* Reading makes room. */
    struct pv_chatop inbox = job_of(PV_CHATOP_INBOX, BOB, 0);
    inbox.peer = BOB;
    inbox.mark_read = true;
    inbox.limit = 10;
    (void)must(&inbox);
    assert_int_equal(flood(BOB, 10001, 11, 4, &terms), 10);
    assert_usage_is_true();
}

PV_TEST(a_sender_has_so_many_unread_bytes_and_no_more)
{
    const struct pv_chatop_terms terms = {.now_s = ON_DAY(20000)};
    size_t want = PV_CHATOP_MAX_UNREAD_BYTES / (PV_CHAT_TEXT_MAX + PV_CHATOP_ROW_BYTES);
    assert_int_equal(flood(BOB, 1, 2000, PV_CHAT_TEXT_MAX, &terms), want);
    assert_int_equal(later, PV_CHAT_LATER_FULL);
    /* None that would fit overtakes it: what came behind it in the same job waits too. */
    assert_int_equal(number("SELECT max(seq) FROM chat_message"), want);
    assert_usage_is_true();
}

PV_TEST(a_sender_has_a_budget_for_each_day)
{
    struct pv_chatop_terms terms = {.now_s = ON_DAY(20000)};
    /* Most of the day's budget is used up, of what is deleted since. */
    assert_int_equal(flood(BOB, 1, 1, 4, &terms), 1);
    sql(test_given("UPDATE chat_usage SET day_bytes"));
    assert_int_equal(flood(BOB, 2, 4, PV_CHAT_TEXT_MAX, &terms), 3);
    assert_int_equal(later, PV_CHAT_LATER_FULL);
    /* Deleting does not give the day back: the disk has been written to. */
    for (bool more = true; more;)
        deletes(job_of(PV_CHATOP_CLEAR, BOB, 0), &more);
    assert_int_equal(flood(BOB, 4001, 1, PV_CHAT_TEXT_MAX, &terms), 0);
    assert_int_equal(flood(CAROL, 1, 1, PV_CHAT_TEXT_MAX, &terms), 1);
    terms.now_s = ON_DAY(20001);
    assert_int_equal(flood(BOB, 4001, 5, PV_CHAT_TEXT_MAX, &terms), 5);
    assert_usage_is_true();
}

PV_TEST(a_sender_has_a_share_of_all_there_is)
{
    const struct pv_chatop_terms terms = {.now_s = ON_DAY(20000), .max_bytes = 4 << 20};
    const size_t share = (1 << 20) / (1024 + PV_CHATOP_ROW_BYTES);
    assert_int_equal(flood(BOB, 1, 1000, 1024, &terms), share);
    assert_int_equal(later, PV_CHAT_LATER_FULL);
    assert_int_equal(flood(CAROL, 1, 1000, 1024, &terms), share);
    /* Four such senders are the whole: then there is nothing for the fifth. */
    for (uint8_t i = 1; i < 4; i++) {
        const uint8_t peer[PV_SIGN_PK_LEN] = {i};
        size_t taken = flood(peer, 1, 1000, 1024, &terms);
        assert_true(i == 3 ? taken < 10 : taken == share);
    }
    assert_usage_is_true();
}

PV_TEST(nothing_is_taken_while_the_disk_is_nearly_full)
{
    struct pv_chatop_terms terms = {.now_s = ON_DAY(20000)};
    assert_int_equal(flood(BOB, 1, 1, 4, &terms), 1);
    terms.low_disk = true;
    assert_int_equal(flood(BOB, 1, 2, 4, &terms), 1); /* the known one */
    assert_int_equal(later, PV_CHAT_LATER_DISK);
    enqueue(BOB, 9); /* what this node's users send is theirs to decide */
}

PV_TEST(old_messages_go_but_no_unread_and_no_waiting_ones)
{
    struct pv_chatop_terms terms = {.now_s = ON_DAY(20000)};
    struct pv_chatop job = job_of(PV_CHATOP_PURGE, BOB, 0);
    bool more;
    flood(BOB, 1, 3, 4, &terms);
    struct pv_chatop inbox = job_of(PV_CHATOP_INBOX, BOB, 0);
    inbox.mark_read = true;
    inbox.limit = 2;
    (void)must(&inbox);
    enqueue(BOB, 200);
    enqueue(BOB, 201); /* by the sender's clock it is of 1970 */
    mark(BOB, 200, PV_CHAT_DELIVERED);
    job.terms.now_s = ON_DAY(20090) + 1;
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
    struct pv_chatop_terms terms = {.now_s = ON_DAY(20000), .max_bytes = 4 << 20};
    struct pv_chatop job = job_of(PV_CHATOP_PURGE, BOB, 0);
    bool more;
    job.terms = terms;
    const size_t size = 1024 + PV_CHATOP_ROW_BYTES;
    /* Four senders with a quarter each; half of it is read. */
    for (uint8_t i = 0; i < 4; i++) {
        const uint8_t peer[PV_SIGN_PK_LEN] = {(uint8_t)(1 + i)};
        assert_int_equal(flood(peer, 1, 1000, 1024, &terms), (1 << 20) / size);
    }
    struct pv_chatop inbox = job_of(PV_CHATOP_INBOX, BOB, 0);
    inbox.mark_read = true;
    inbox.limit = 1000;
    (void)must(&inbox);
    inbox.limit = 400;
    (void)must(&inbox);
    uint64_t unread = number(test_given("SELECT count FROM chat_message 2"));
    uint64_t newest_read = number(test_given("SELECT max n FROM chat_message"));
    size_t deleted = deletes(job, &more);
    assert_in_range(deleted, (4 << 20) / 10 / size - 10, (4 << 20) / 10 / size + 2);
    assert_int_equal(number("SELECT min(n) FROM chat_message"), deleted + 1); /* the oldest */
    assert_int_equal(number(test_given("SELECT count FROM chat_message 2")), unread);
    assert_int_equal(number(test_given("SELECT max n FROM chat_message")), newest_read);
    assert_int_equal(deletes(job, &more), 0);
    /* Nothing read is left: then unread ones go. */
    job.terms.max_bytes = 1 << 20;
    for (more = true; more;)
        deletes(job, &more);
    deletes(job, &more);
    assert_int_equal(number(test_given("SELECT count FROM chat_message 3")), 0);
    assert_in_range(number(test_given("SELECT sum bytes FROM")), 1, (1 << 20) - (1 << 20) / 20);
    assert_usage_is_true();
}

/* --- old messages: SQLite only --------------------------------------------------------------- */

/* They are deleted by time that passes, not by a clock that jumps. */

static const uint64_t DAY = 86400, BEGIN = UINT64_C(20000) * 86400;
static const uint64_t KEEP = UINT64_C(90) * 86400;

static uint64_t now_at(uint64_t wall_s)
{
    uint64_t now_s = 0;
    assert_ok(pv_store_age_now(db, wall_s, &now_s));
    return now_s;
}

/* As daemon/store/store.c does it, every hour. */
static void purge(uint64_t wall_s)
{
    struct pv_chatop job = job_of(PV_CHATOP_PURGE, BOB, 0);
    assert_ok(pv_store_age_look(db, wall_s));
    job.terms.now_s = now_at(wall_s);
    job.keep_s = KEEP;
    (void)must(&job);
}

/* A message to Bob that he has. */
static void say(uint8_t id, uint64_t wall_s)
{
    char text[] = "out";
    struct pv_chat_record m = record(BOB, id, text);
    struct pv_chatop job = {
        .kind = PV_CHATOP_ENQUEUE, .msgs = &m, .n_msgs = 1, .terms = {.now_s = now_at(wall_s)}};
    (void)must(&job);
    assert_true(mark(BOB, id, PV_CHAT_DELIVERED));
}

static uint64_t messages(void)
{
    return number("SELECT count(*) FROM chat_message");
}

static uint64_t left_after(uint64_t wall_s)
{
    purge(wall_s);
    return messages();
}

PV_TEST(old_messages_go_as_days_pass)
{
    purge(BEGIN);
    say(1, BEGIN);
    for (uint64_t day = 1; day <= 90; day++) {
        assert_int_equal(left_after(BEGIN + day * DAY), 1);
    }
    assert_int_equal(left_after(BEGIN + 90 * DAY + 1), 0);
}

/* An empty battery: the clock comes up in the future, and is corrected some time later. */
PV_TEST(a_clock_that_jumps_ahead_deletes_nothing)
{
    purge(BEGIN);
    say(1, BEGIN);
    purge(BEGIN + 3600 * DAY);
    say(2, BEGIN + 3600 * DAY + 60);
    purge(BEGIN + 3600 * DAY + 3600);
    assert_int_equal(left_after(BEGIN + 7200), 2);
    /* The jump counts as a day, and what came meanwhile is not kept for ever. */
    for (uint64_t day = 1; day <= 89; day++)
        purge(BEGIN + day * DAY);
    assert_int_equal(messages(), 2);
    assert_int_equal(left_after(BEGIN + 90 * DAY), 1);
    assert_int_equal(left_after(BEGIN + 91 * DAY), 0);
}

/* A machine without a battery: each start is in 1970, until a time server says when it is. */
PV_TEST(a_clock_that_begins_in_the_past_deletes_nothing)
{
    purge(BEGIN);
    say(1, BEGIN);
    purge(60);
    say(2, 120);
    purge(3600 + 60);
    assert_int_equal(left_after(BEGIN + 7200), 2);
    for (uint64_t day = 1; day <= 91; day++)
        purge(BEGIN + day * DAY);
    assert_int_equal(messages(), 0);
}

/* The time that a machine was off is not known to be true: it counts as a day. */
PV_TEST(a_year_that_nobody_saw_counts_as_a_day)
{
    purge(BEGIN);
    assert_int_equal(now_at(BEGIN + DAY - 1), BEGIN + DAY - 1);
    assert_int_equal(now_at(BEGIN + 365 * DAY), BEGIN + DAY);
    purge(BEGIN + 365 * DAY);
    assert_int_equal(now_at(BEGIN + 365 * DAY + 9), BEGIN + DAY + 9);
    assert_int_equal(now_at(BEGIN), BEGIN + DAY);
}

/* The wall clock was wrong when these came, before the first look at it. */
PV_TEST(a_message_from_the_future_has_come_today)
{
    say(1, BEGIN + 3600 * DAY);
    commit(CAROL, 2, 1, 1);
    sql(test_given("UPDATE chat_message SET"));
    sql(test_given("INSERT INTO chat_gone VALUES x"));
    purge(BEGIN);
    assert_int_equal(number("SELECT min(arrived_s) FROM chat_message"), BEGIN);
    assert_int_equal(number("SELECT max(arrived_s) FROM chat_message"), BEGIN);
    assert_int_equal(number("SELECT max(arrived_s) FROM chat_gone"), BEGIN);
}

/* --- rooms that are forgotten ---------------------------------------------------------------- */

/* The use of the tables by rooms is tested in tests/unit/chat/core/talk/. */

static const uint8_t CREW[PV_ROOM_ID_LEN] = {0xc0}, CLUB[PV_ROOM_ID_LEN] = {0xc1};

static const struct pv_chatop_result *must_room(enum pv_roomop_kind kind, const uint8_t *room,
                                                struct pv_roomop *job)
{
    struct pv_chatop outer = {.kind = PV_CHATOP_ROOM, .room = job};
    outer.terms.now_s = 1790000000;
    job->kind = kind;
    job->room = room;
    job->network = NOWHERE;
    return must(&outer);
}

static void make_room(const uint8_t *room)
{
    static uint8_t bytes[] = {1, 2, 3};
    struct pv_room_raw raw = {.bytes = bytes, .len = sizeof(bytes)};
    struct pv_roomop job = {.records = &raw, .n_records = 1};
    (void)must_room(PV_ROOMOP_KEEP, room, &job);
}

/* Bob says n texts, of numbers from first on. */
static void take(const uint8_t *room, uint64_t first, size_t n)
{
    static struct pv_room_text texts[PV_ROOMOP_MAX_TEXTS];
    static char text[] = "said";
    struct pv_roomop job = {.texts = texts, .n_texts = n};
    for (size_t i = 0; i < n; i++) {
        texts[i] = (struct pv_room_text){.seq = first + i, .text = text, .author_name = "bob"};
        memcpy(texts[i].author, BOB, sizeof(texts[i].author));
        memcpy(texts[i].id, &texts[i].seq, sizeof(texts[i].seq));
        texts[i].id[PV_CHAT_ID_LEN - 1] = room[0];
    }
    assert_int_equal(must_room(PV_ROOMOP_TAKE, room, &job)->n_msgs, n);
}

static bool forget(const uint8_t *room, size_t *ret_deleted)
{
    struct pv_roomop job = {0};
    const struct pv_chatop_result *res = must_room(PV_ROOMOP_FORGET, room, &job);
    *ret_deleted = res->n_deleted;
    return res->more;
}

static struct pv_chatop sought(enum pv_chatop_kind kind, const char *word)
{
    return (struct pv_chatop){.kind = kind, .word = word, .network = NOWHERE};
}

/* As one of a network that was left, which the node knows by no other word. */
PV_TEST(a_conversation_is_found_by_a_name_or_the_beginning_of_a_key)
{
    static const uint8_t room[PV_ROOM_ID_LEN] = {0x11, 0x22, 0x33};
    uint8_t room_key[PV_SIGN_PK_LEN];
    make_room(room);
    take(room, 1, 1);
    enqueue(BOB, 1);
    sql(test_given("UPDATE chat_message SET 2")); /* its name then */
    commit(CAROL, 2, 1, 1);
    commit(BOB, 4, 1, 1);
    pv_room_key(room, room_key);
    const char *words[] = {"bob", "rob", PV_KEY_SHORT_STR(PV_KEY_STR(BOB)), PV_KEY_STR(BOB)};
    for (size_t i = 0; i < PV_ARRAY_LEN(words); i++) {
        struct pv_chatop job = sought(PV_CHATOP_HISTORY, words[i]);
        assert_list(job, "1 4");
        assert_memory_equal(must(&job)->peer, BOB, PV_SIGN_PK_LEN);
        assert_false(must(&job)->has_none);
    }
    assert_list(sought(PV_CHATOP_HISTORY, "carol"), "2");
    struct pv_chatop in_room = sought(PV_CHATOP_HISTORY, PV_STR("#~%.4s", PV_KEY_STR(room_key)));
    assert_int_equal(must(&in_room)->n_msgs, 1);
    struct pv_chatop inbox = sought(PV_CHATOP_INBOX, "bob");
    inbox.mark_read = true;
    assert_list(inbox, "4");
    assert_list(inbox, "");
    for (size_t i = 0; i < 3; i++) {
        const char *none[] = {"dave", "key:abc", PV_KEY_SHORT_STR(PV_KEY_STR(room_key))};
        struct pv_chatop job = sought(PV_CHATOP_CLEAR, none[i]);
        job.gone = true;
        assert_int_equal(must(&job)->n_deleted, 0);
        assert_true(must(&job)->has_none);
    }
    struct pv_chatop clear = sought(PV_CHATOP_CLEAR, "bob");
    clear.gone = true;
    assert_int_equal(must(&clear)->n_deleted, 2);
    assert_list(job_of(PV_CHATOP_HISTORY, BOB, 0), "");
    assert_list(job_of(PV_CHATOP_HISTORY, CAROL, 0), "2");
}

PV_TEST(a_room_is_forgotten_page_by_page_and_no_other)
{
    size_t n = 0;
    make_room(CREW);
    make_room(CLUB);
    for (uint64_t first = 1; first < 1281; first += PV_ROOMOP_MAX_TEXTS)
        take(CREW, first, PV_ROOMOP_MAX_TEXTS);
    take(CLUB, 1, 3);
    assert_true(forget(CREW, &n));
    assert_int_equal(n, PV_ROOMOP_MAX_DROP);
    assert_int_equal(number("SELECT count(*) FROM room"), 2);
    assert_int_equal(number("SELECT count(*) FROM room_text"), 283);
    assert_false(forget(CREW, &n));
    assert_int_equal(n, 280);
    assert_int_equal(number("SELECT count(*) FROM room"), 1);
    assert_int_equal(number("SELECT count(*) FROM room_record"), 1);
    assert_int_equal(number("SELECT count(*) FROM room_log"), 1);
    assert_int_equal(number("SELECT count(*) FROM room_text"), 3);
    assert_int_equal(number("SELECT count(*) FROM chat_message"), 3);
    /* The unread are counted without it, and so is the room of its author. */
    struct pv_chatop inbox = job_of(PV_CHATOP_INBOX, BOB, 0);
    assert_int_equal(must(&inbox)->n_msgs, 3);
    assert_int_equal(number(test_given("SELECT bytes FROM chat_usage 2")),
                     3 * (4 + PV_CHATOP_ROW_BYTES));
    /* It may be repeated, and the room may come again from its beginning. */
    assert_false(forget(CREW, &n));
    assert_int_equal(n, 0);
    make_room(CREW);
    take(CREW, 1, 1);
}

/* --- a long history: SQLite only ------------------------------------------------------------- */

/* A question asked often, or page by page, costs the same however long the history is. */

enum {
    LONG = 20000, /* messages that nobody asks for: reading each takes many steps */
};

/* The history of somebody else. */
static void add_long_history(void)
{
    const char *text = test_given_with("a long history of carol", PV_STR("%d", LONG));
    sql(text);
}

PV_TEST(counts_do_not_read_the_history)
{
    add_long_history();
    enqueue(BOB, 1);
    assert_in_range(steps_of(job_of(PV_CHATOP_COUNTS, BOB, 0)), 0, LONG);
    struct pv_chatop job = {.kind = PV_CHATOP_COUNTS};
    const struct pv_chatop_result *res = must(&job);
    assert_int_equal(res->n_backlog, 1);
    assert_int_equal(res->backlog[0].queued, 1);
}

PV_TEST(an_id_is_found_without_reading_the_history)
{
    add_long_history();
    commit(BOB, 1, 3, 1);
    struct pv_chatop job = job_of(PV_CHATOP_INBOX, BOB, 1);
    job.after = true;
    assert_in_range(steps_of(job), 0, LONG);
    assert_list(job, "2 3");
    job.after = false;
    job.through = true;
    assert_in_range(steps_of(job), 0, LONG);
    assert_list(job, "1");
}

PV_TEST(older_messages_are_found_without_reading_the_conversation)
{
    add_long_history();
    commit(CAROL, 1, 3, 1);
    struct pv_chatop job = job_of(PV_CHATOP_HISTORY, CAROL, 3);
    job.before = true;
    job.limit = 2;
    assert_in_range(steps_of(job), 0, LONG);
    assert_list(job, "1 2!");
}

PV_TEST(clearing_one_conversation_does_not_read_the_others)
{
    add_long_history();
    commit(BOB, 1, 3, 1);
    assert_in_range(steps_of(job_of(PV_CHATOP_CLEAR, BOB, 0)), 0, LONG);
    assert_list(job_of(PV_CHATOP_HISTORY, BOB, 0), "");
}

/* A page of deletions costs the same at the beginning as near the end. */
PV_TEST(clearing_everything_reads_no_more_than_it_deletes)
{
    add_long_history();
    struct pv_chatop job = {.kind = PV_CHATOP_CLEAR, .all_peers = true, .network = NOWHERE};
    unsigned first = steps_of(job);
    sql("DELETE FROM chat_message WHERE n > 3000");
    unsigned last = steps_of(job);
    assert_in_range(first, 1, last + last / 4);
}
