/* SPDX-License-Identifier: MIT */
/* Rooms in the chat tables: what is forgotten of them. The use of the tables by rooms is tested in
 * tests/unit/daemon/core/chat/. */
#include "tests/unit/daemon/store/chat_tables.h"

static const uint8_t CREW[PV_ROOM_ID_LEN] = {0xc0}, CLUB[PV_ROOM_ID_LEN] = {0xc1};

static struct pv_chatjob_result *must_room(enum pv_roomjob_kind kind, const uint8_t *room,
                                           struct pv_roomjob *job)
{
    struct pv_chatjob outer = {.kind = PV_CHATJOB_ROOM, .room = job};
    outer.terms.now_s = 1790000000;
    job->kind = kind;
    memcpy(job->room, room, sizeof(job->room));
    return must(&outer);
}

static void make_room(const uint8_t *room)
{
    static uint8_t bytes[] = {1, 2, 3};
    struct pv_room_raw raw = {.bytes = bytes, .len = sizeof(bytes)};
    struct pv_roomjob job = {.records = &raw, .n_records = 1};
    pv_chatjob_result_free(must_room(PV_ROOMJOB_KEEP, room, &job));
}

/* Bob says n texts, of numbers from first on. */
static void take(const uint8_t *room, uint64_t first, size_t n)
{
    static struct pv_room_text texts[PV_ROOMJOB_MAX_TEXTS];
    static char text[] = "said";
    struct pv_roomjob job = {.texts = texts, .n_texts = n};
    for (size_t i = 0; i < n; i++) {
        texts[i] = (struct pv_room_text){.seq = first + i, .text = text, .author_name = "bob"};
        memcpy(texts[i].author, BOB, sizeof(texts[i].author));
        memcpy(texts[i].id, &texts[i].seq, sizeof(texts[i].seq));
        texts[i].id[PV_CHAT_ID_LEN - 1] = room[0];
    }
    struct pv_chatjob_result *res = must_room(PV_ROOMJOB_TAKE, room, &job);
    assert_int_equal(res->n_msgs, n);
    pv_chatjob_result_free(res);
}

static bool forget(const uint8_t *room, size_t *ret_deleted)
{
    struct pv_roomjob job = {0};
    struct pv_chatjob_result *res = must_room(PV_ROOMJOB_FORGET, room, &job);
    bool more = res->more;
    *ret_deleted = res->n_deleted;
    pv_chatjob_result_free(res);
    return more;
}

static int number(const char *query)
{
    sqlite3_stmt *st;
    assert_int_equal(sqlite3_prepare_v2(store.db, query, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    int n = sqlite3_column_int(st, 0);
    sqlite3_finalize(st);
    return n;
}

PV_TEST(a_room_is_forgotten_page_by_page_and_no_other)
{
    size_t n = 0;
    make_room(CREW);
    make_room(CLUB);
    for (uint64_t first = 1; first < 1281; first += PV_ROOMJOB_MAX_TEXTS)
        take(CREW, first, PV_ROOMJOB_MAX_TEXTS);
    take(CLUB, 1, 3);
    assert_true(forget(CREW, &n));
    assert_int_equal(n, PV_ROOMJOB_MAX_DROP);
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
    struct pv_chatjob inbox = job_of(PV_CHATJOB_INBOX, BOB, 0);
    inbox.of_peer = false;
    struct pv_chatjob_result *res = must(&inbox);
    assert_int_equal(res->n_msgs, 3);
    pv_chatjob_result_free(res);
    assert_int_equal(number("SELECT bytes FROM chat_usage WHERE author = x'' AND peer = x''"),
                     3 * (4 + PV_CHATJOB_ROW_BYTES));
    /* It may be repeated, and the room may come again from its beginning. */
    assert_false(forget(CREW, &n));
    assert_int_equal(n, 0);
    make_room(CREW);
    take(CREW, 1, 1);
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
