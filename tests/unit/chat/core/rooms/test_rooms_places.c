/* SPDX-License-Identifier: MIT */
/* How many rooms there may be: what hostile members can fill, and what gives way. */
#include <sqlite3.h>

#include "chat/core/rooms/rooms.h"
#include "tests/unit/chat/core/rooms/rooms_world.h"

enum {
    MAKERS = 5, /* members of the network without a machine here; eve brings what they sign */
};

static struct keys maker[MAKERS];

static int setup_makers(void **state)
{
    setup(state);
    for (unsigned i = 0; i < MAKERS; i++) {
        const char *name = PV_STR("maker%u", i);
        maker[i] = keys_of(100 + i);
        struct item m =
            make_member(&w.world, &w.world.creator, &maker[i], name, (uint16_t)(500 + i));
        add(w.roster, &m);
    }
    settle(w.roster);
    run_for(PV_MS(1));
    all_meet();
    connect(BOB, EVE, true);
    return 0;
}

PV_TEST_WORLD(setup_makers, teardown);

static size_t make(const struct keys *who, struct pv_room_record *rec,
                   uint8_t raw[static PV_ROOM_RECORD_MAX])
{
    const struct pv_room_make with = {.network = w.world.created.network_id,
                                      .signer = pv_appsigner_of(who->sk)};
    size_t len = 0;
    memcpy(rec->signer, who->pk, sizeof(rec->signer));
    assert_ok(pv_room_record_make(&with, rec, raw, &len));
    return len;
}

static void eve_says(const struct pv_room_frame *frame)
{
    static char line[PV_CHAT_LINE_MAX];
    size_t len = 0;
    assert_ok(pv_room_frame_write(frame, line, &len));
    assert_ok(
        pv_rooms_handle_frame(w.n[BOB].rooms, w.n[EVE].keys.pk, pv_view(line, len - 1), w.now));
    run_for(PV_MS(20));
}

/* The name under which bob may find the room. */
static const char *name_of(unsigned by, unsigned number)
{
    static char name[PV_ROOM_NAME_MAX + 1];
    snprintf(name, sizeof(name), "m%u-%u", by, number);
    return name;
}

/* The maker makes a room and invites bob; is he in it then? */
static bool draws_in(unsigned by, unsigned number)
{
    static struct pv_room_frame frame;
    static uint8_t raw[2][PV_ROOM_RECORD_MAX];
    struct pv_room_record made = {.type = PV_ROOM_CREATE, .time_ms = 1790000000000}, parsed;
    struct pv_room_record asked = {.type = PV_ROOM_INVITE, .time_ms = 1790000000000, .round = 1};
    snprintf(made.name, sizeof(made.name), "%s", name_of(by, number));
    memset(&frame, 0, sizeof(frame));
    frame.records[0] = pv_view(raw[0], make(&maker[by], &made, raw[0]));
    assert_ok(pv_room_record_parse(frame.records[0], NULL, &parsed));
    memcpy(asked.room, parsed.room, sizeof(asked.room));
    memcpy(asked.node, w.n[BOB].keys.pk, sizeof(asked.node));
    frame.records[1] = pv_view(raw[1], make(&maker[by], &asked, raw[1]));
    memcpy(frame.room, parsed.room, sizeof(frame.room));
    frame.kind = PV_ROOM_F_HAVE;
    eve_says(&frame);
    frame.kind = PV_ROOM_F_RECORDS;
    frame.n_records = 2;
    eve_says(&frame);
    run_for(PV_S(40)); /* what is not ours is forgotten meanwhile */
    return room_of(BOB, name_of(by, number)) != NULL;
}

static unsigned draws_in_many(unsigned by, unsigned first, unsigned n)
{
    unsigned in = 0;
    for (unsigned i = 0; i < n; i++)
        in += draws_in(by, first + i);
    return in;
}

static void bob_leaves(unsigned by, unsigned first, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        assert_ok(leave(BOB, name_of(by, first + i)));
}

/* The maker invites bob once more to a room that he left; is he in it then? */
static bool draws_back(unsigned by, unsigned number)
{
    static struct pv_room_frame frame;
    static uint8_t raw[PV_ROOM_RECORD_MAX];
    const uint8_t *room = pv_rooms_find(w.n[BOB].rooms, name_of(by, number), true);
    struct pv_room_record asked = {.type = PV_ROOM_INVITE, .time_ms = 1790000000000, .round = 2};
    assert_non_null(room);
    memset(&frame, 0, sizeof(frame));
    memcpy(asked.room, room, sizeof(asked.room));
    memcpy(asked.node, w.n[BOB].keys.pk, sizeof(asked.node));
    memcpy(frame.room, room, sizeof(frame.room));
    frame.kind = PV_ROOM_F_RECORDS;
    frame.records[0] = pv_view(raw, make(&maker[by], &asked, raw));
    frame.n_records = 1;
    eve_says(&frame);
    return room_of(BOB, name_of(by, number)) != NULL;
}

static unsigned count_rooms(int i)
{
    struct pv_rooms_info info;
    unsigned n = 0;
    while (pv_rooms_info(w.n[i].rooms, n, &info))
        n++;
    return n;
}

static int count_rows(const char *table)
{
    sqlite3_stmt *st;
    assert_int_equal(
        sqlite3_prepare_v2(w.n[BOB].db, PV_STR("SELECT count(*) FROM %s", table), -1, &st, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    int n = sqlite3_column_int(st, 0);
    sqlite3_finalize(st);
    return n;
}

PV_TEST(others_fill_their_part_and_the_user_frees_it_by_leaving)
{
    unsigned in = 0;
    for (unsigned by = 0; by < 4; by++)
        in += draws_in_many(by, 0, PV_ROOMS_MAX_OF_CREATOR);
    assert_int_equal(in, PV_ROOMS_MAX_OF_OTHERS);
    assert_true(pv_rooms_are_full(w.n[BOB].rooms));
    assert_false(draws_in(4, 0));
    /* Bob's own rooms have places of their own. */
    assert_ok(open_room(BOB, "mine"));
    for (unsigned by = 0; by < 3; by++)
        bob_leaves(by, 0, PV_ROOMS_MAX_OF_CREATOR); /* remedy: leave_rooms */
    assert_false(pv_rooms_are_full(w.n[BOB].rooms));
    assert_true(draws_in(4, 1));
    /* Whose rooms were left draws nobody into new ones as fast. */
    assert_false(draws_in(0, PV_ROOMS_MAX_OF_CREATOR));
}

/* It would go on for ever, with all records of the room five times a second. */
PV_TEST(a_member_without_a_place_is_not_told_of_it_without_end)
{
    for (unsigned by = 0; by < 3; by++)
        draws_in_many(by, 0, PV_ROOMS_MAX_OF_CREATOR);
    connect(ANNA, BOB, true);
    assert_ok(open_room(ANNA, "crew"));
    assert_ok(invite(ANNA, "crew", BOB));
    run_for(PV_S(120));
    assert_null(room_of(BOB, "crew"));
    w.lines = 0;
    run_for(PV_S(600));
    assert_int_equal(w.lines, 0);
    bob_leaves(0, 0, 1);
    connect(ANNA, BOB, false);
    connect(ANNA, BOB, true);
    run_for(PV_S(1));
    assert_non_null(room_of(BOB, "crew"));
}

/* An invitation back into a room takes a place like any other. */
PV_TEST(rooms_that_were_left_do_not_come_back_into_the_users_own_places)
{
    unsigned back = 0;
    assert_int_equal(draws_in_many(0, 0, PV_ROOMS_MAX_OF_CREATOR), PV_ROOMS_MAX_OF_CREATOR);
    bob_leaves(0, 0, PV_ROOMS_MAX_OF_CREATOR);
    for (unsigned by = 1; by < 4; by++)
        assert_int_equal(draws_in_many(by, 0, PV_ROOMS_MAX_OF_CREATOR), PV_ROOMS_MAX_OF_CREATOR);
    for (unsigned i = 0; i < PV_ROOMS_MAX_OF_CREATOR; i++)
        back += draws_back(0, i);
    assert_int_equal(back, 0);
    assert_ok(open_room(BOB, "mine"));
    /* It was refused for want of a place, which there is as soon as he leaves another one. */
    bob_leaves(1, 0, 1);
    assert_true(draws_back(0, 0));
    assert_false(draws_back(0, 1));
    restart(BOB);
    assert_non_null(room_of(BOB, name_of(0, 0)));
    assert_null(room_of(BOB, name_of(0, 1)));
}

/* Of a user's own places all 128 may be used; others invite to none then. */
PV_TEST(own_rooms_take_all_places)
{
    for (int i = 0; i < PV_ROOM_MAX_ROOMS; i++) {
        assert_ok(open_room(BOB, PV_STR("own%d", i)));
    }
    assert_int_equal(open_room(BOB, "more"), PV_ERR_LIMIT);
    assert_false(draws_in(0, 0));
    assert_ok(leave(BOB, "own7"));
    assert_true(draws_in(0, 0));
    assert_int_equal(open_room(BOB, "more"), PV_ERR_LIMIT);
}

/* A room in which bob spoke, then 129 in which he did not; all of them left. */
static void fill_with_left_rooms(void)
{
    assert_ok(open_room(BOB, "mine"));
    assert_ok(say(BOB, "mine", "worth keeping"));
    assert_ok(leave(BOB, "mine"));
    for (unsigned by = 0; by < 4; by++) {
        unsigned n = by < 3 ? PV_ROOMS_MAX_OF_CREATOR : PV_ROOMS_MAX_OF_CREATOR - 1;
        assert_int_equal(draws_in_many(by, 0, n), n);
        bob_leaves(by, 0, n);
    }
    assert_int_equal(count_rooms(BOB), PV_ROOM_MAX_LEFT);
}

PV_TEST(of_too_many_left_rooms_one_is_forgotten_in_which_nobody_spoke)
{
    fill_with_left_rooms();
    assert_true(draws_in(4, 0));
    assert_int_equal(count_rooms(BOB), PV_ROOM_MAX_LEFT + 1);
    bob_leaves(4, 0, 1);
    assert_int_equal(count_rooms(BOB), PV_ROOM_MAX_LEFT);
    assert_int_equal(count_rows("room"), PV_ROOM_MAX_LEFT);
    assert_non_null(pv_rooms_find(w.n[BOB].rooms, "mine", true));
    assert_int_equal(count_rows("chat_message"), 1);
    restart(BOB);
    assert_int_equal(count_rooms(BOB), PV_ROOM_MAX_LEFT);
    assert_non_null(pv_rooms_find(w.n[BOB].rooms, "mine", true));
    /* It was one of those whose maker has most of them, and not the one that was just left. */
    assert_non_null(pv_rooms_find(w.n[BOB].rooms, name_of(4, 0), true));
    unsigned again = 0;
    for (unsigned by = 0; by < 3; by++)
        again += draws_in(by, PV_ROOMS_MAX_OF_CREATOR);
    assert_int_equal(again, 1);
}

PV_TEST(a_room_that_the_disk_does_not_forget_comes_back_and_is_forgotten_later)
{
    fill_with_left_rooms();
    assert_true(draws_in(4, 0));
    w.n[BOB].keeps_all = true;
    bob_leaves(4, 0, 1);
    assert_int_equal(count_rows("room"), PV_ROOM_MAX_LEFT + 1);
    w.n[BOB].keeps_all = false;
    run_for(PV_S(10)); /* the rooms are loaded again */
    assert_int_equal(count_rooms(BOB), PV_ROOM_MAX_LEFT);
    assert_int_equal(count_rows("room"), PV_ROOM_MAX_LEFT);
    assert_non_null(pv_rooms_find(w.n[BOB].rooms, "mine", true));
}

/* The maker, connected to bob, speaks of n rooms that do not exist. */
static void makes_up(unsigned by, unsigned n)
{
    static struct pv_room_frame frame;
    static char line[PV_CHAT_LINE_MAX];
    for (unsigned i = 0; i < n; i++) {
        size_t len = 0;
        memset(&frame, 0, sizeof(frame));
        test_rng_fill(&w.rng, frame.room, sizeof(frame.room));
        assert_ok(pv_room_frame_write(&frame, line, &len));
        assert_ok(
            pv_rooms_handle_frame(w.n[BOB].rooms, maker[by].pk, pv_view(line, len - 1), w.now));
    }
}

PV_TEST(made_up_rooms_keep_no_invitation_out)
{
    for (unsigned by = 0; by < MAKERS; by++) {
        assert_ok(pv_rooms_peer_online(w.n[BOB].rooms, maker[by].pk, true, w.now));
        pv_rooms_peer_up(w.n[BOB].rooms, maker[by].pk, true, w.now);
    }
    assert_ok(open_room(CARL, "crew"));
    for (unsigned by = 0; by < MAKERS; by++)
        makes_up(by, 2 * PV_ROOMS_MAX_PEER_PENDING);
    uint64_t refused = pv_rooms_counts(w.n[BOB].rooms).full;
    makes_up(0, 1); /* all have their share */
    assert_int_equal(pv_rooms_counts(w.n[BOB].rooms).full, refused + 1);
    assert_ok(invite(CARL, "crew", BOB));
    assert_non_null(room_of(BOB, "crew"));
}
