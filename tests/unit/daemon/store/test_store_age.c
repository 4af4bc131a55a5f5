/* SPDX-License-Identifier: MIT */
/* Old messages are deleted by time that passes, not by a clock that jumps: SQLite only. */
#include "base/ageclock.h"
#include "daemon/store/store_budget.h"
#include "tests/unit/daemon/store/chat_tables.h"

static const uint64_t DAY = 86400, BEGIN = UINT64_C(20000) * 86400;
static const uint64_t KEEP = UINT64_C(90) * 86400;

static uint64_t number(const char *query)
{
    sqlite3_stmt *st = NULL;
    assert_int_equal(sqlite3_prepare_v2(store.db, query, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    uint64_t n = (uint64_t)sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return n;
}

static uint64_t now_at(uint64_t wall_s)
{
    uint64_t now_s = 0;
    assert_int_equal(pv_store_age_now(store.db, wall_s, &now_s), PV_OK);
    return now_s;
}

/* As daemon/store/store.c does it, every hour. */
static void purge(uint64_t wall_s)
{
    struct pv_chatjob job = job_of(PV_CHATJOB_PURGE, BOB, 0);
    assert_int_equal(pv_store_age_look(store.db, wall_s), PV_OK);
    job.terms.now_s = now_at(wall_s);
    job.keep_s = KEEP;
    pv_chatjob_result_free(must(&job));
}

/* A message to Bob that he has. */
static void say(uint8_t id, uint64_t wall_s)
{
    char text[] = "out";
    struct pv_chat_record m = record(BOB, id, text);
    struct pv_chatjob job = {
        .kind = PV_CHATJOB_ENQUEUE, .msgs = &m, .n_msgs = 1, .terms = {.now_s = now_at(wall_s)}};
    pv_chatjob_result_free(must(&job));
    assert_true(mark(BOB, id, PV_CHAT_DELIVERED));
}

static uint64_t messages(void)
{
    return number("SELECT count(*) FROM chat_message");
}

PV_TEST(old_messages_go_as_days_pass)
{
    purge(BEGIN);
    say(1, BEGIN);
    for (uint64_t day = 1; day <= 90; day++) {
        purge(BEGIN + day * DAY);
        assert_int_equal(messages(), 1);
    }
    purge(BEGIN + 90 * DAY + 1);
    assert_int_equal(messages(), 0);
}

/* An empty battery: the clock comes up in the future, and is corrected some time later. */
PV_TEST(a_clock_that_jumps_ahead_deletes_nothing)
{
    purge(BEGIN);
    say(1, BEGIN);
    purge(BEGIN + 3600 * DAY);
    say(2, BEGIN + 3600 * DAY + 60);
    purge(BEGIN + 3600 * DAY + 3600);
    purge(BEGIN + 7200);
    assert_int_equal(messages(), 2);
    /* The jump counts as a day, and what came meanwhile is not kept for ever. */
    for (uint64_t day = 1; day <= 89; day++)
        purge(BEGIN + day * DAY);
    assert_int_equal(messages(), 2);
    purge(BEGIN + 90 * DAY);
    assert_int_equal(messages(), 1);
    purge(BEGIN + 91 * DAY);
    assert_int_equal(messages(), 0);
}

/* A machine without a battery: each start is in 1970, until a time server says when it is. */
PV_TEST(a_clock_that_begins_in_the_past_deletes_nothing)
{
    purge(BEGIN);
    say(1, BEGIN);
    purge(60);
    say(2, 120);
    purge(3600 + 60);
    purge(BEGIN + 7200);
    assert_int_equal(messages(), 2);
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

/* Of a program without this clock, whose wall clock was wrong as these came. */
PV_TEST(a_message_from_the_future_has_come_today)
{
    say(1, BEGIN + 3600 * DAY);
    commit(CAROL, 2, 1, 1);
    sql("UPDATE chat_message SET arrived_s = 0, time_ms = 9000000000000 WHERE outgoing = 0");
    sql("INSERT INTO chat_gone VALUES (x'01', x'02', 9000000000)");
    purge(BEGIN);
    assert_int_equal(number("SELECT min(arrived_s) FROM chat_message"), BEGIN);
    assert_int_equal(number("SELECT max(arrived_s) FROM chat_message"), BEGIN);
    assert_int_equal(number("SELECT max(arrived_s) FROM chat_gone"), BEGIN);
}

static int setup(void **state)
{
    store.sqlite = true;
    if (sqlite3_open(":memory:", &store.db) != SQLITE_OK || pv_store_schema(store.db) != PV_OK)
        return -1;
    return 0;
}

static int teardown(void **state)
{
    return sqlite3_close(store.db);
}

PV_TEST_WORLD(setup, teardown);
