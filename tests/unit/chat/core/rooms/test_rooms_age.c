/* SPDX-License-Identifier: MIT */
/* Texts of rooms that are cleared or too old: they go, do not come back, and are there for members
 * that still lack them. */
#include "tests/unit/chat/core/rooms/rooms_world.h"

enum {
    DAY_S = 86400,
    KEEP_S = 90 * DAY_S,
};

static uint64_t number(int i, const char *query)
{
    sqlite3_stmt *st = NULL;
    assert_int_equal(sqlite3_prepare_v2(w.n[i].db, query, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    uint64_t n = (uint64_t)sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return n;
}

static uint64_t on_disk(int i)
{
    uint64_t n = number(i, "SELECT count(*) FROM room_text");
    assert_int_equal(n, number(i, "SELECT count(*) FROM chat_message"));
    return n;
}

/* The texts that history shows. */
static uint64_t shown(int i)
{
    struct pv_chatjob job = {.kind = PV_CHATJOB_HISTORY, .all_peers = true};
    struct pv_chatjob_result *res = NULL;
    assert_ok(pv_store_chat_run(w.n[i].db, &job, &res));
    uint64_t n = res->n_msgs;
    pv_chatjob_result_free(res);
    return n;
}

static void run_store(int i, enum pv_chatjob_kind kind)
{
    struct pv_chatjob job = {.kind = kind, .terms = {.now_s = w.wall_s}};
    struct pv_chatjob_result *res = NULL;
    memcpy(job.network, w.world.created.network_id, sizeof(job.network));
    if (kind == PV_CHATJOB_INBOX)
        job.mark_read = true;
    else
        pv_room_key(room_of(i, "crew"), job.peer);
    assert_ok(pv_store_chat_run(w.n[i].db, &job, &res));
    pv_chatjob_result_free(res);
}

static void sweep(int i, uint64_t keep_s)
{
    pv_rooms_sweep(w.n[i].rooms, keep_s, w.now);
    run_for(PV_MS(10));
}

static void clear(int i)
{
    run_store(i, PV_CHATJOB_CLEAR);
    sweep(i, 0);
}

static void say_many(int i, unsigned from, unsigned to)
{
    for (unsigned k = from; k <= to; k++) {
        assert_ok(say(i, "crew", PV_STR("%u", k)));
    }
    run_for(PV_S(60)); /* everybody tells everybody that it has it */
}

static void all_three(void)
{
    anna_and_bob();
    assert_ok(invite(ANNA, "crew", CARL));
}

PV_TEST_WORLD(setup, teardown);

PV_TEST(a_cleared_text_goes_from_the_disk_and_does_not_come_back)
{
    all_three();
    say_many(ANNA, 1, 5);
    assert_int_equal(shown(BOB), 5);
    clear(BOB);
    assert_int_equal(shown(BOB), 0);
    assert_int_equal(on_disk(BOB), 1); /* the last of the log proves how long it is */
    assert_int_equal(number(BOB, test_given("SELECT count FROM chat_message")), 0);
    run_for(PV_S(600));
    restart(BOB);
    run_for(PV_S(600));
    assert_int_equal(shown(BOB), 0);
    assert_int_equal(shown(CARL), 5);
    say_many(ANNA, 6, 6);
    assert_int_equal(shown(BOB), 1);
    assert_string_equal(w.n[BOB].said, "1 2 3 4 5 6");
    assert_string_equal(w.n[CARL].said, "1 2 3 4 5 6");
}

/* A node that has left a network hands nothing on: what is cleared goes at once, and back there it
 * goes on behind it. */
PV_TEST(a_cleared_text_of_a_network_that_was_left_goes_at_once)
{
    struct pv_chatjob job = {.kind = PV_CHATJOB_CLEAR, .all_peers = true};
    struct pv_chatjob_result *res = NULL;
    all_three();
    say_many(ANNA, 1, 3);
    alone(BOB);
    assert_ok(say(BOB, "crew", "waits"));
    memset(job.network, 7, sizeof(job.network));
    assert_ok(pv_store_chat_run(w.n[BOB].db, &job, &res));
    assert_int_equal(res->n_deleted, 3);
    pv_chatjob_result_free(res);
    assert_int_equal(on_disk(BOB), 1); /* what is not delivered yet */
    restart(BOB);
    connect(BOB, ANNA, true);
    assert_said_after(PV_S(60), ANNA, "waits");
    say_many(ANNA, 4, 4);
    assert_string_equal(w.n[BOB].said, "1 2 3 4");
    assert_int_equal(on_disk(BOB), 2);
}

PV_TEST(a_text_that_a_member_lacks_stays_until_it_has_it)
{
    all_three();
    say_many(ANNA, 1, 2);
    alone(CARL);
    say_many(ANNA, 3, 5);
    clear(ANNA);
    clear(BOB);
    assert_int_equal(shown(ANNA), 0);
    assert_int_equal(shown(BOB), 0);
    assert_int_equal(on_disk(BOB), 3);
    alone(ANNA); /* bob has them for carl */
    connect(BOB, CARL, true);
    assert_said_after(PV_S(60), CARL, "1 2 3 4 5");
    sweep(BOB, 0);
    assert_int_equal(on_disk(BOB), 1);
    /* Nobody waits for who has left the room. */
    assert_ok(leave(CARL, "crew"));
    connect(ANNA, BOB, true);
    run_for(PV_S(60));
    sweep(ANNA, 0);
    assert_int_equal(on_disk(ANNA), 1);
}

PV_TEST(old_texts_go_after_the_time_that_was_set)
{
    all_three();
    say_many(ANNA, 1, 3);
    run_store(BOB, PV_CHATJOB_INBOX); /* carl did not read his */
    w.wall_s += KEEP_S - DAY_S;
    say_many(ANNA, 4, 5);
    run_store(BOB, PV_CHATJOB_INBOX);
    sweep(BOB, KEEP_S);
    assert_int_equal(shown(BOB), 5);
    w.wall_s += 2 * (uint64_t)DAY_S;
    sweep(BOB, 0);
    assert_int_equal(shown(BOB), 5);
    for (int i = ANNA; i <= CARL; i++)
        sweep(i, KEEP_S);
    assert_int_equal(shown(ANNA), 2);
    assert_int_equal(shown(BOB), 2);
    assert_int_equal(on_disk(BOB), 2);
    assert_int_equal(shown(CARL), 5);
}

/* The author and bob have deleted what carl, away for too long, lacks. */
static void carl_is_away_too_long(void)
{
    all_three();
    say_many(ANNA, 1, 2);
    alone(CARL);
    say_many(ANNA, 3, 5);
    w.wall_s += (PV_ROOMJOB_HOLD_DAYS + 1) * (uint64_t)DAY_S;
    say_many(ANNA, 6, 7);
    clear(ANNA);
    assert_int_equal(on_disk(ANNA), 2);
}

PV_TEST(a_member_that_was_away_for_too_long_goes_on_behind_the_gap)
{
    carl_is_away_too_long();
    clear(BOB);
    connect(ANNA, CARL, true);
    connect(BOB, CARL, true);
    unsigned before = w.lines;
    assert_said_after(PV_S(500), CARL, "1 2"); /* somebody else may still have them */
    assert_in_range(w.lines - before, 1, 40);
    assert_said_after(PV_S(200), CARL, "1 2 6 7");
    say_many(ANNA, 8, 8);
    assert_string_equal(w.n[CARL].said, "1 2 6 7 8");
    /* That is on its disk too; and carl has nothing to hand out of what it lacks. */
    restart(CARL);
    assert_int_equal(number(CARL, "SELECT low FROM room_log WHERE last = 8"), 5);
    say_many(CARL, 9, 9);
    assert_string_equal(w.n[ANNA].said, "9");
    before = w.lines;
    run_for(PV_S(1000));
    assert_in_range(w.lines - before, 0, 40);
}

PV_TEST(a_member_that_still_has_it_is_asked_first)
{
    carl_is_away_too_long(); /* bob has not cleared */
    connect(ANNA, CARL, true);
    assert_said_after(PV_S(300), CARL, "1 2");
    connect(BOB, CARL, true);
    assert_said_after(PV_S(60), CARL, "1 2 3 4 5 6 7");
}

/* Carl's machine is closed while it waits for somebody who has them. */
PV_TEST(hours_of_sleep_are_no_time_for_others_to_come)
{
    carl_is_away_too_long(); /* bob has not cleared */
    connect(ANNA, CARL, true);
    run_for(PV_S(300));
    w.now += PV_S(8 * 3600);
    pv_rooms_woke(w.n[CARL].rooms, w.now);
    assert_said_after(PV_S(60), CARL, "1 2");
    connect(BOB, CARL, true);
    assert_said_after(PV_S(60), CARL, "1 2 3 4 5 6 7");
}

PV_TEST(rooms_give_way_when_there_is_too_much)
{
    char text[1900];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    w.max_bytes = 200000; /* rooms: half of it, one author: a quarter */
    all_three();
    for (unsigned i = 0; i < 24; i++) {
        for (int k = ANNA; k <= CARL; k++)
            w.n[k].said[0] = '\0';
        assert_ok(say(ANNA, "crew", text));
        assert_ok(say(BOB, "crew", text));
        assert_ok(say(CARL, "crew", text));
        run_for(PV_S(60));
        for (int k = ANNA; k <= CARL; k++) {
            if (i % 2 == 0)
                run_store(k, PV_CHATJOB_INBOX);
            sweep(k, 0);
        }
        uint64_t others = number(BOB, test_given("SELECT sum length text FROM"));
        assert_true(others <= w.max_bytes / 2);
    }
    run_for(PV_S(700));
    assert_int_equal(number(BOB, "SELECT max(last) FROM room_log"), 24);
    assert_int_equal(number(BOB, "SELECT min(last) FROM room_log"), 24);
    /* The newest are there. */
    assert_int_equal(number(BOB, test_given("SELECT count FROM room_text")), 3);
    assert_true(number(BOB, "SELECT min(low) FROM room_log") > 0);
}

/* Eve, in the room with bob, says that bob's log and anna's are longer than he knows. */
static void eve_claims(void)
{
    char room[32], own[64], anna[64];
    assert_ok(pv_b64url_encode(pv_view(room_of(BOB, "crew"), 16), room, sizeof(room)));
    assert_ok(pv_b64url_encode(pv_view(w.n[BOB].keys.pk, 32), own, sizeof(own)));
    assert_ok(pv_b64url_encode(pv_view(w.n[ANNA].keys.pk, 32), anna, sizeof(anna)));
    const char *line =
        PV_STR("{\"room\":\"%s\",\"digest\":\"%s\",\"have\":[[\"%s\",90000],[\"%s\",90000]],"
               "\"gone\":[[\"%s\",80000],[\"%s\",90000]]}",
               room, own, own, anna, own, anna);
    assert_ok(pv_rooms_handle_frame(w.n[BOB].rooms, w.n[EVE].keys.pk, pv_view(line, strlen(line)),
                                    w.now));
}

static void eve_is_in_the_room(void)
{
    anna_and_bob();
    assert_ok(invite(ANNA, "crew", EVE));
    connect(EVE, BOB, true);
    assert_ok(say(BOB, "crew", "one"));
}

PV_TEST(made_up_numbers_silence_nobody)
{
    eve_is_in_the_room();
    for (int i = 0; i < 40; i++) {
        eve_claims();
        run_for(PV_S(30));
        if (i == 0) /* it may be true */
            assert_int_equal(say(BOB, "crew", "two"), PV_ERR_STATE);
    }
    assert_ok(say(BOB, "crew", "two"));
    assert_ok(say(ANNA, "crew", "three"));
    assert_string_equal(w.n[ANNA].said, "one two");
    assert_string_equal(w.n[BOB].said, "three");
}

/* His disk may be an older one: he must not use a number twice because his machine slept. */
PV_TEST(a_member_that_claims_has_its_time_after_a_sleep)
{
    eve_is_in_the_room();
    eve_claims();
    w.now += PV_S(3600);
    pv_rooms_woke(w.n[BOB].rooms, w.now);
    assert_int_equal(say(BOB, "crew", "two"), PV_ERR_STATE);
    run_for(PV_S(61));
    assert_ok(say(BOB, "crew", "two"));
    /* She has shown nothing; the next sleep does not make her believed again. */
    eve_claims();
    w.now += PV_S(3600);
    pv_rooms_woke(w.n[BOB].rooms, w.now);
    assert_ok(say(BOB, "crew", "three"));
}

/* She says that she has what anna said, and gives nothing. */
PV_TEST(a_member_that_gives_nothing_is_asked_behind_the_others)
{
    char room[32], anna[64];
    anna_and_bob();
    alone(BOB);
    assert_ok(invite(ANNA, "crew", EVE));
    assert_ok(invite(ANNA, "crew", CARL));
    assert_ok(say(ANNA, "crew", "one"));
    alone(ANNA);
    connect(BOB, EVE, true);
    assert_ok(pv_b64url_encode(pv_view(room_of(BOB, "crew"), 16), room, sizeof(room)));
    assert_ok(pv_b64url_encode(pv_view(w.n[ANNA].keys.pk, 32), anna, sizeof(anna)));
    const char *line =
        PV_STR("{\"room\":\"%s\",\"digest\":\"%s\",\"have\":[[\"%s\",9]]}", room, anna, anna);
    bool connected = false;
    for (int i = 0; i < 30; i++) {
        (void)!pv_rooms_handle_frame(w.n[BOB].rooms, w.n[EVE].keys.pk, pv_view(line, strlen(line)),
                                     w.now);
        if (!connected)
            connect(BOB, CARL, connected = true);
        run_for(PV_S(1));
    }
    assert_string_equal(w.n[BOB].said, "one");
}

static void mute(int i, const uint8_t *key, bool on)
{
    struct pv_chatjob job = {.kind = PV_CHATJOB_MUTE, .mute = on, .peer_name = "x"};
    struct pv_chatjob_result *res = NULL;
    memcpy(job.peer, key, sizeof(job.peer));
    assert_ok(pv_store_chat_run(w.n[i].db, &job, &res));
    pv_chatjob_result_free(res);
}

PV_TEST(a_muted_room_and_a_muted_member_leave_nothing_unread)
{
    static const char unread[] =
        "SELECT count(*) FROM chat_message WHERE outgoing = 0 AND state = 3";
    uint8_t key[PV_SIGN_PK_LEN];
    all_three();
    mute(BOB, w.n[ANNA].keys.pk, true);
    assert_ok(say(ANNA, "crew", "one"));
    assert_ok(say(CARL, "crew", "two"));
    assert_int_equal(number(BOB, unread), 1);
    mute(BOB, w.n[ANNA].keys.pk, false);
    assert_ok(say(ANNA, "crew", "three"));
    assert_int_equal(number(BOB, unread), 2);
    pv_room_key(room_of(BOB, "crew"), key);
    mute(BOB, key, true);
    assert_ok(say(ANNA, "crew", "four"));
    assert_ok(say(CARL, "crew", "five"));
    assert_int_equal(number(BOB, unread), 2);
    assert_int_equal(shown(BOB), 5);
    assert_string_equal(w.n[BOB].said, "one two three four five");
}

/* One author has in a room what a sender has in a conversation; the others are not concerned. */
PV_TEST(an_author_fills_its_own_part_of_the_disk)
{
    w.max_bytes = 40000; /* an author: a quarter, 19 short texts */
    all_three();
    for (int i = 0; i < 40; i++)
        (void)!say(ANNA, "crew", "spam");
    assert_int_equal(on_disk(BOB), 10000 / (PV_CHATJOB_ROW_BYTES + 4));
    assert_ok(say(CARL, "crew", "hello"));
    assert_has(w.n[BOB].said, "hello");
    const uint8_t *author = NULL, *room = NULL;
    assert_true(pv_rooms_holding(w.n[BOB].rooms, w.now, &author, &room));
    assert_memory_equal(author, w.n[ANNA].keys.pk, PV_SIGN_PK_LEN);
    assert_memory_equal(room, room_of(BOB, "crew"), PV_ROOM_ID_LEN);
    assert_false(pv_rooms_holding(w.n[ANNA].rooms, w.now, &author, &room));
    /* Cleared, there is room again, but for the last one, which stays as the proof of the others:
     * so many more come. */
    run_for(PV_S(60));
    clear(BOB);
    clear(CARL);
    run_for(PV_S(700));
    assert_int_equal(number(BOB, "SELECT max(last) FROM room_log"), 2 * 19 - 1);
}
