/* SPDX-License-Identifier: MIT */
/* Rooms between four nodes: what members get, what others cannot do to them. */
#include "chat/core/rooms/rooms_int.h"
#include "tests/unit/chat/core/rooms/rooms_world.h"

/* --- tests --------------------------------------------------------------------------------- */

static int with_anna_and_bob(void **state)
{
    int rc = setup(state);
    anna_and_bob();
    return rc;
}

PV_TEST_WORLD(with_anna_and_bob, teardown);

PV_TEST(a_text_reaches_every_member_at_once)
{
    assert_int_equal(w.n[BOB].invited, 1);
    assert_ok(invite(BOB, "#crew", CARL)); /* any member may */
    assert_ok(say(ANNA, "crew", "one"));
    assert_ok(say(BOB, "crew", "two"));
    assert_ok(say(CARL, "#crew", "three"));
    assert_string_equal(w.n[ANNA].said, "two three");
    assert_string_equal(w.n[BOB].said, "one three");
    assert_string_equal(w.n[CARL].said, "one two");
    assert_int_equal(w.n[ANNA].delivered, 1);
    assert_int_equal(w.n[CARL].delivered, 1);
    unsigned before = w.lines;
    run_for(PV_S(120)); /* each pair says once what it has, and then there is silence */
    assert_in_range(w.lines - before, 0, 12);
    before = w.lines;
    run_for(PV_S(600));
    assert_int_equal(w.lines, before);
}

/* Of one whom the rules deny chat nothing comes, whoever would bring it, and nothing is called
 * delivered; it waits with the others, in silence. */
PV_TEST(texts_that_are_denied_wait_with_the_others)
{
    assert_ok(invite(ANNA, "#crew", CARL));
    w.n[BOB].denies = w.n[CARL].keys.pk;
    assert_ok(say(CARL, "#crew", "denied"));
    assert_ok(say(CARL, "#crew", "too"));
    assert_ok(say(ANNA, "#crew", "allowed"));
    assert_ok(say(BOB, "#crew", "answer"));
    run_for(PV_S(300));
    assert_string_equal(w.n[ANNA].said, "denied too answer");
    assert_string_equal(w.n[BOB].said, "allowed");
    assert_string_equal(w.n[CARL].said, "allowed answer");
    /* Nor is an invitation of it followed, whoever tells of the room. */
    assert_ok(open_room(CARL, "lure"));
    assert_ok(invite(CARL, "#lure", ANNA));
    assert_ok(invite(CARL, "#lure", BOB));
    run_for(PV_S(300));
    assert_null(pv_rooms_find(w.n[BOB].rooms, "lure", true));
    unsigned before = w.lines;
    run_for(PV_S(600));
    assert_int_equal(w.lines, before);
    w.n[BOB].denies = NULL;
    pv_rooms_ask_all(w.n[BOB].rooms, w.now);
    run_for(PV_S(5));
    assert_string_equal(w.n[BOB].said, "allowed denied too");
    assert_ok(say(CARL, "#crew", "again"));
    assert_string_equal(w.n[BOB].said, "allowed denied too again");
}

static void close_all(void)
{
    for (int a = 0; a < EVE; a++) {
        for (int b = 0; b < EVE; b++) {
            if (a == b)
                continue;
            w.up[a][b] = false;
            pv_rooms_peer_up(w.n[a].rooms, w.n[b].keys.pk, false, w.now);
        }
    }
}

/* Connections on which nothing is said are closed, and who has the texts may be away. */
PV_TEST(texts_that_waited_come_when_nobody_says_anything)
{
    assert_ok(invite(ANNA, "#crew", CARL));
    w.n[BOB].denies = w.n[CARL].keys.pk;
    assert_ok(say(CARL, "#crew", "denied"));
    run_for(PV_S(300));
    close_all();
    w.n[BOB].denies = NULL;
    pv_rooms_ask_all(w.n[BOB].rooms, w.now);
    run_for(PV_S(5));
    assert_string_equal(w.n[BOB].said, "denied");
    /* Nobody is there when the rule ends. */
    w.n[BOB].denies = w.n[CARL].keys.pk;
    assert_ok(say(CARL, "#crew", "too"));
    run_for(PV_S(300));
    close_all();
    for (int i = 0; i < EVE; i++) {
        if (i != BOB)
            assert_ok(pv_rooms_peer_online(w.n[BOB].rooms, w.n[i].keys.pk, false, w.now));
    }
    w.n[BOB].denies = NULL;
    pv_rooms_ask_all(w.n[BOB].rooms, w.now);
    run_for(PV_S(5));
    assert_string_equal(w.n[BOB].said, "denied");
    assert_ok(pv_rooms_peer_online(w.n[BOB].rooms, w.n[ANNA].keys.pk, true, w.now));
    run_for(PV_S(5));
    assert_string_equal(w.n[BOB].said, "denied too");
}

/* An inviter that leaves texts with the others does not have a newcomer see what was said before.
 */
PV_TEST(a_newcomer_whose_inviter_denies_sees_nothing_of_before)
{
    w.n[BOB].denies = w.n[ANNA].keys.pk;
    assert_ok(say(ANNA, "#crew", "before"));
    run_for(PV_S(5));
    assert_ok(invite(BOB, "#crew", CARL));
    assert_ok(say(ANNA, "#crew", "after"));
    run_for(PV_S(60));
    assert_string_equal(w.n[BOB].said, "");
    assert_string_equal(w.n[CARL].said, "after");
}

PV_TEST(a_text_that_the_only_other_one_denies_is_not_delivered)
{
    w.n[BOB].denies = w.n[ANNA].keys.pk;
    assert_ok(say(ANNA, "#crew", "early"));
    run_for(PV_S(300));
    assert_string_equal(w.n[BOB].said, "");
    assert_int_equal(w.n[ANNA].delivered, 0);
    w.n[BOB].denies = NULL;
    pv_rooms_ask_all(w.n[BOB].rooms, w.now);
    run_for(PV_S(5));
    assert_string_equal(w.n[BOB].said, "early");
    assert_int_equal(w.n[ANNA].delivered, 1);
}

PV_TEST(a_send_that_is_repeated_is_said_once)
{
    assert_ok(say_as(ANNA, "crew", "one", 1));
    assert_ok(say_as(ANNA, "crew", "one", 1));
    assert_ok(say_as(ANNA, "crew", "two", 2));
    assert_int_equal(w.n[ANNA].sent, 3); /* each is answered */
    restart(ANNA);
    assert_ok(say_as(ANNA, "crew", "one", 1));
    assert_int_equal(w.n[ANNA].sent, 4);
    assert_string_equal(w.n[BOB].said, "one two");
    /* Two at once, before the store knows of either. */
    uint8_t id[PV_CHAT_ID_LEN] = {3};
    const struct pv_rooms_say twice = {.room = room_of(ANNA, "crew"), .text = "three", .id = id};
    assert_ok(pv_rooms_say(w.n[ANNA].rooms, 5, &twice, 8, w.now));
    assert_ok(pv_rooms_say(w.n[ANNA].rooms, 6, &twice, 8, w.now));
    run_for(PV_S(1));
    assert_int_equal(w.n[ANNA].sent, 6);
    assert_string_equal(w.n[BOB].said, "one two three");
    /* One that could not be stored is said when it is repeated; another's name is another's. */
    w.n[ANNA].full = true;
    assert_ok(say_as(ANNA, "crew", "four", 4));
    assert_int_equal(w.n[ANNA].failed, 1);
    w.n[ANNA].full = false;
    run_for(PV_S(20));
    assert_ok(say_as(ANNA, "crew", "four", 4));
    assert_ok(say_as(BOB, "crew", "five", 4));
    assert_string_equal(w.n[BOB].said, "one two three four");
    assert_string_equal(w.n[ANNA].said, "five");
}

PV_TEST(an_id_that_was_taken_with_another_text_is_refused)
{
    assert_ok(say_as(ANNA, "crew", "one", 1));
    assert_ok(say_as(ANNA, "crew", "two", 1));
    assert_int_equal(w.n[ANNA].failed, 1);
    assert_int_equal(w.n[ANNA].last_status, PV_ERR_EXISTS);
    /* Two at once, before the store knows of either. */
    uint8_t id[PV_CHAT_ID_LEN] = {3};
    struct pv_rooms_say say = {.room = room_of(ANNA, "crew"), .text = "three", .id = id};
    assert_ok(pv_rooms_say(w.n[ANNA].rooms, 5, &say, 8, w.now));
    say.text = "four";
    assert_ok(pv_rooms_say(w.n[ANNA].rooms, 6, &say, 8, w.now));
    run_for(PV_S(1));
    assert_int_equal(w.n[ANNA].failed, 2);
    assert_int_equal(w.n[ANNA].sent, 2);
    assert_string_equal(w.n[BOB].said, "one three");
}

PV_TEST(a_line_that_found_no_room_in_the_output_is_said_again)
{
    w.n[ANNA].choked = true;
    assert_ok(say(ANNA, "crew", "one"));
    unsigned before = w.lines;
    assert_said_after(PV_S(20), BOB, "");
    assert_in_range(w.lines - before, 10, 40); /* not in a loop */
    w.n[ANNA].choked = false;
    assert_said_after(PV_S(2), BOB, "one");
}

PV_TEST(a_member_that_was_away_gets_it_from_anybody)
{
    assert_ok(invite(ANNA, "crew", CARL));
    alone(CARL);
    for (int i = 0; i < 300; i++) {
        assert_ok(say(ANNA, "crew", PV_STR("%d", i)));
    }
    alone(ANNA); /* for good */
    restart(BOB);
    connect(BOB, CARL, true);
    run_for(PV_S(5));
    assert_string_equal(w.n[CARL].said, w.n[BOB].said);
    assert_true(strlen(w.n[CARL].said) > 1000);
}

/* It counts them as known, for they are not for it. */
PV_TEST(a_newcomer_has_none_of_the_texts_from_before_its_invitation)
{
    alone(BOB);
    assert_ok(say(ANNA, "crew", "early"));
    assert_ok(invite(ANNA, "crew", CARL));
    run_for(PV_S(60));
    assert_int_equal(w.n[ANNA].delivered, 0);
    assert_ok(say(ANNA, "crew", "late"));
    run_for(PV_S(60));
    assert_string_equal(w.n[CARL].said, "late");
    assert_int_equal(w.n[ANNA].delivered, 1); /* not the early one */
    connect(ANNA, BOB, true);
    run_for(PV_S(5));
    assert_string_equal(w.n[BOB].said, "early late");
    assert_int_equal(w.n[ANNA].delivered, 2);
}

/* By the second one, who lacks it, too, the newcomer would get the text: its log has begun. */
PV_TEST(a_text_that_a_newcomer_began_behind_is_not_delivered_to_it)
{
    alone(BOB);
    assert_ok(say(ANNA, "crew", "early"));
    assert_ok(invite(ANNA, "crew", CARL));
    run_for(PV_S(60));
    alone(CARL);
    alone(ANNA);
    assert_ok(invite(BOB, "crew", CARL));
    connect(BOB, CARL, true);
    run_for(PV_S(60));
    assert_ok(say(CARL, "crew", "hello"));
    run_for(PV_S(60));
    alone(BOB);
    connect(ANNA, CARL, true);
    run_for(PV_S(60));
    assert_int_equal(w.n[ANNA].delivered, 0);
    connect(ANNA, BOB, true);
    run_for(PV_S(60));
    assert_string_equal(w.n[BOB].said, "hello early");
    assert_int_equal(w.n[ANNA].delivered, 1);
}

/* All who are there were invited after texts that only one who has left could have. */
PV_TEST(a_text_of_the_next_life_is_delivered_though_nobody_has_those_of_before)
{
    assert_ok(say(ANNA, "crew", "one"));
    assert_ok(leave(BOB, "crew"));
    assert_ok(invite(ANNA, "crew", CARL));
    run_for(PV_S(60));
    const unsigned before = w.n[ANNA].delivered;
    restart(ANNA);
    all_meet();
    run_for(PV_S(60));
    assert_ok(say(ANNA, "crew", "two"));
    run_for(PV_S(60));
    assert_string_equal(w.n[CARL].said, "two");
    assert_int_equal(w.n[ANNA].delivered, before + 1);
}

PV_TEST(the_maker_of_a_room_that_left_it_is_asked_too)
{
    w.n[ANNA].hesitates = true;
    assert_ok(leave(ANNA, "crew"));
    assert_ok(invite(BOB, "crew", ANNA));
    assert_ok(say(BOB, "crew", "come back"));
    run_for(PV_S(60));
    assert_string_equal(w.n[ANNA].said, "");
    assert_ok(pv_rooms_accept(w.n[ANNA].rooms, room_of(ANNA, "crew"), w.now));
    run_for(PV_S(60));
    assert_string_equal(w.n[ANNA].said, "come back");
}

/* Of thousands of members most are never there. */
PV_TEST(a_member_that_was_never_there_takes_no_memory)
{
    struct pv_rooms *rooms = w.n[ANNA].rooms;
    assert_non_null(pv_rooms_peer_find(rooms, w.n[BOB].keys.pk));
    assert_ok(pv_rooms_peer_online(rooms, w.n[EVE].keys.pk, false, w.now));
    pv_rooms_peer_up(rooms, w.n[EVE].keys.pk, false, w.now);
    assert_null(pv_rooms_peer_find(rooms, w.n[EVE].keys.pk));
    pv_rooms_peer_up(rooms, w.n[EVE].keys.pk, true, w.now);
    assert_non_null(pv_rooms_peer_find(rooms, w.n[EVE].keys.pk));
    pv_rooms_peer_gone(rooms, w.n[EVE].keys.pk);
    assert_null(pv_rooms_peer_find(rooms, w.n[EVE].keys.pk));
    pv_rooms_peer_gone(rooms, w.n[EVE].keys.pk);
}

static const uint8_t *stranger(unsigned i)
{
    static uint8_t pk[PV_SIGN_PK_LEN];
    memset(pk, 0xee, sizeof(pk));
    memcpy(pk, &i, sizeof(i));
    return pk;
}

/* A peer that is there keeps its place. */
PV_TEST(in_a_full_table_a_peer_that_is_away_gives_way)
{
    struct pv_rooms *rooms = w.n[ANNA].rooms;
    unsigned n = 0;
    while (pv_rooms_peer_online(rooms, stranger(n), true, w.now) == PV_OK)
        n++;
    assert_in_range(n, PV_ROOMS_MAX_PEERS - NODES, PV_ROOMS_MAX_PEERS);
    assert_int_equal(pv_rooms_peer_online(rooms, stranger(n), true, w.now), PV_ERR_LIMIT);
    assert_ok(pv_rooms_peer_online(rooms, stranger(7), false, w.now));
    assert_ok(pv_rooms_peer_online(rooms, stranger(n), true, w.now));
    assert_null(pv_rooms_peer_find(rooms, stranger(7)));
    assert_non_null(pv_rooms_peer_find(rooms, w.n[BOB].keys.pk));
}

PV_TEST(a_member_that_comes_late_gets_what_was_said_since_the_invitation)
{
    assert_ok(say(ANNA, "crew", "before"));
    assert_ok(say(BOB, "crew", "too"));
    alone(CARL);
    assert_ok(invite(ANNA, "crew", CARL));
    assert_ok(say(ANNA, "crew", "after"));
    assert_ok(say(BOB, "crew", "also"));
    alone(ANNA);
    connect(BOB, CARL, true); /* from bob, who did not invite */
    assert_said_after(PV_S(3), CARL, "after also");
    assert_ok(say(CARL, "crew", "hi"));
    assert_string_equal(w.n[BOB].said, "before after hi");
}

PV_TEST(nothing_is_lost_or_doubled_through_restarts_and_full_disks)
{
    char want[2048] = "";
    for (int i = 0; i < 120; i++) {
        unsigned sent = w.n[ANNA].sent;
        const char *text = PV_STR("%d", i);
        w.n[BOB].full = test_rng_next(&w.rng) % 4 == 0;
        w.n[ANNA].full = test_rng_next(&w.rng) % 8 == 0;
        (void)say(ANNA, "crew", text);
        if (w.n[ANNA].sent > sent)
            snprintf(want + strlen(want), sizeof(want) - strlen(want), "%s%s",
                     want[0] == '\0' ? "" : " ", text);
        if (test_rng_next(&w.rng) % 5 == 0)
            restart((int)(test_rng_next(&w.rng) % 2));
        if (test_rng_next(&w.rng) % 5 == 0)
            connect(ANNA, BOB, !w.up[ANNA][BOB]);
        w.n[ANNA].full = w.n[BOB].full = false;
        run_for(PV_MS(test_rng_next(&w.rng) % 8000));
    }
    connect(ANNA, BOB, false);
    connect(ANNA, BOB, true);
    run_for(PV_S(60));
    assert_string_equal(w.n[BOB].said, want);
    assert_true(strlen(want) > 100);
}

PV_TEST(texts_that_are_not_taken_are_fetched_later)
{
    assert_ok(say(ANNA, "crew", "one"));
    w.n[BOB].low_disk = true;
    assert_ok(say(ANNA, "crew", "two"));
    assert_ok(say(BOB, "crew", "mine")); /* own texts are the user's business */
    assert_ok(say(ANNA, "crew", "three"));
    assert_said_after(PV_S(300), BOB, "one");
    assert_string_equal(w.n[ANNA].said, "mine");
    w.n[BOB].low_disk = false;
    assert_said_after(PV_S(700), BOB, "one two three");
}

/* A text that is fetched for a disk without room costs its sender as much as one that is kept. */
PV_TEST(a_disk_without_room_is_tried_less_and_less_often)
{
    w.n[BOB].low_disk = true;
    assert_ok(say(ANNA, "crew", "one"));
    unsigned lines = w.lines;
    run_for(PV_S(30 + 60 + 120 + 240 + 480 * 7) + PV_S(30));
    /* Eleven times a want, the texts, and a have. */
    assert_in_range(w.lines - lines, 3 * 9, 3 * 12);
    assert_string_equal(w.n[BOB].said, "");
    w.n[BOB].low_disk = false;
    assert_said_after(PV_S(480), BOB, "one");
    w.n[BOB].low_disk = true; /* from the beginning */
    assert_ok(say(ANNA, "crew", "two"));
    w.n[BOB].low_disk = false;
    assert_said_after(PV_S(45), BOB, "one two");
}

PV_TEST(a_member_that_left_hears_and_says_no_more_and_may_be_invited_again)
{
    assert_ok(say(ANNA, "crew", "one"));
    assert_ok(leave(BOB, "crew"));
    assert_int_equal(w.n[ANNA].left, 1);
    assert_int_equal(say(BOB, "crew", "no"), PV_ERR_STATE);
    assert_ok(say(ANNA, "crew", "two"));
    assert_string_equal(w.n[BOB].said, "one");
    assert_non_null(pv_rooms_find(w.n[BOB].rooms, "crew", true)); /* its history is there */
    restart(BOB);
    run_for(PV_S(1));
    assert_null(room_of(BOB, "crew"));
    assert_ok(invite(ANNA, "crew", BOB));
    assert_ok(say(ANNA, "crew", "three"));
    assert_string_equal(w.n[BOB].said, "one three");
    assert_ok(say(BOB, "crew", "back"));
    assert_string_equal(w.n[ANNA].said, "back");
}

PV_TEST(a_node_that_was_revoked_is_heard_no_more)
{
    assert_ok(invite(ANNA, "crew", CARL));
    assert_ok(say(CARL, "crew", "one"));
    struct item gone =
        make_revocation(&w.world, &w.world.creator, PV_REVOKE_NODE, w.n[CARL].keys.pk, NULL, 0);
    add(w.roster, &gone);
    settle(w.roster);
    assert_ok(say(CARL, "crew", "two"));
    assert_ok(say(ANNA, "crew", "three"));
    assert_string_equal(w.n[BOB].said, "one three");
    assert_string_equal(w.n[CARL].said, ""); /* and hears nothing */
    assert_int_equal(invite(ANNA, "crew", CARL), PV_ERR_NOT_FOUND);
}

PV_TEST(two_rooms_of_one_name_are_told_apart)
{
    char a[PV_ROOMS_NAME_BUF];
    struct pv_rooms_info one, two;
    assert_ok(open_room(CARL, "crew"));
    assert_int_equal(open_room(CARL, "crew"), PV_ERR_EXISTS);
    assert_ok(invite(CARL, "crew", BOB));
    assert_true(pv_rooms_info(w.n[BOB].rooms, 0, &one));
    assert_true(pv_rooms_info(w.n[BOB].rooms, 1, &two));
    assert_false(pv_rooms_info(w.n[BOB].rooms, 2, &two) && two.id == one.id);
    assert_true(pv_rooms_info(w.n[BOB].rooms, 1, &two));
    pv_rooms_name(w.n[BOB].rooms, one.id, a);
    const char *b = PV_ROOM_STR(w.n[BOB].rooms, two.id);
    assert_string_equal(a, "#crew");
    assert_memory_equal(b, "#crew~", 6);
    assert_ptr_equal(pv_rooms_find(w.n[BOB].rooms, b, false), two.id);
    assert_ok(say(BOB, b, "to the other"));
    assert_string_equal(w.n[CARL].said, "to the other");
    assert_string_equal(w.n[ANNA].said, "");
}

static bool is_invited(int i, const char *name)
{
    struct pv_rooms_info info;
    for (size_t k = 0; pv_rooms_info(w.n[i].rooms, k, &info); k++)
        if (strcmp(PV_ROOM_STR(w.n[i].rooms, info.id), name) == 0)
            return info.invited;
    fail_msg("no room %s", name);
    return false;
}

static int accept_room(int i, const char *name)
{
    const uint8_t *id = room_of(i, name);
    int r = id == NULL ? PV_ERR_STATE : pv_rooms_accept(w.n[i].rooms, id, w.now);
    run_for(PV_S(1));
    return r;
}

/* Any member may invite; until somebody here says yes nothing that is said there comes. */
PV_TEST_IN(an_invitation_waits_for_a_user, setup, teardown)
{
    w.n[BOB].hesitates = true;
    anna_and_bob();
    assert_ok(say(ANNA, "crew", "one"));
    assert_said_after(PV_S(600), BOB, "");
    assert_true(is_invited(BOB, "#crew"));
    restart(BOB);
    assert_said_after(PV_S(60), BOB, "");
    assert_true(is_invited(BOB, "#crew"));
    assert_int_equal(open_room(BOB, "crew"), PV_ERR_EXISTS);
    assert_ok(accept_room(BOB, "#crew"));
    assert_string_equal(w.n[BOB].said, "one");
    restart(BOB);
    assert_ok(say(ANNA, "crew", "two"));
    assert_string_equal(w.n[BOB].said, "one two");
}

/* Inviting accepts: of what was said before, no text is here yet. */
PV_TEST_IN(a_newcomer_whose_inviter_had_not_accepted_sees_nothing_of_before, setup, teardown)
{
    w.n[BOB].hesitates = true;
    anna_and_bob();
    connect(ANNA, CARL, true);
    connect(BOB, CARL, true);
    assert_ok(say(ANNA, "crew", "before"));
    assert_said_after(PV_S(10), BOB, "");
    assert_ok(invite(BOB, "crew", CARL));
    assert_ok(say(ANNA, "crew", "after"));
    assert_said_after(PV_S(60), CARL, "after");
    assert_string_equal(w.n[BOB].said, "before after");
}

/* Its texts are not here yet, and it went with them; what it told of its log counts. */
PV_TEST_IN(a_newcomer_sees_nothing_of_before_of_a_member_that_went, setup, teardown)
{
    w.n[BOB].hesitates = true;
    anna_and_bob();
    connect(BOB, CARL, true);
    assert_ok(say(ANNA, "crew", "before"));
    assert_said_after(PV_S(10), BOB, "");
    connect(ANNA, BOB, false);
    assert_ok(pv_rooms_accept(w.n[BOB].rooms, room_of(BOB, "crew"), w.now));
    assert_ok(invite(BOB, "crew", CARL));
    assert_said_after(PV_S(10), CARL, "");
    connect(ANNA, BOB, true);
    connect(ANNA, CARL, true);
    assert_ok(say(ANNA, "crew", "after"));
    assert_said_after(PV_S(60), CARL, "after");
    assert_string_equal(w.n[BOB].said, "before after");
}

/* An invitation that says nothing new accepts nothing. */
PV_TEST_IN(inviting_a_member_that_is_in_the_room_accepts_nothing, setup, teardown)
{
    w.n[BOB].hesitates = true;
    anna_and_bob();
    connect(ANNA, CARL, true);
    connect(BOB, CARL, true);
    assert_ok(invite(ANNA, "crew", CARL));
    assert_said_after(PV_S(10), CARL, "");
    assert_int_equal(invite(BOB, "crew", CARL), PV_ERR_EXISTS);
    assert_ok(say(ANNA, "crew", "hello"));
    assert_said_after(PV_S(10), BOB, "");
}

static void assert_called(int i, const uint8_t *room, const char *name)
{
    assert_string_equal(PV_ROOM_STR(w.n[i].rooms, room), name);
}

/* A line that is begun for one room must not go to another one because a name changed hands. */
PV_TEST_IN(a_room_keeps_its_name_when_others_of_that_name_are_accepted_spoken_in_or_left, setup,
           teardown)
{
    char second[PV_ROOMS_NAME_BUF];
    uint8_t annas[PV_ROOM_ID_LEN], bobs[PV_ROOM_ID_LEN];
    w.n[BOB].hesitates = true;
    run_for(PV_MS(1));
    all_meet();
    assert_ok(open_room(ANNA, "crew"));
    assert_ok(open_room(BOB, "crew"));
    memcpy(annas, room_of(ANNA, "crew"), sizeof(annas));
    memcpy(bobs, room_of(BOB, "crew"), sizeof(bobs));
    assert_ok(invite(BOB, "crew", CARL));
    assert_ok(invite(ANNA, "crew", BOB));
    pv_rooms_name(w.n[BOB].rooms, annas, second);
    assert_memory_equal(second, "#crew~", 6);
    assert_called(BOB, bobs, "#crew");
    assert_ok(say(BOB, second, "to anna")); /* which accepts it, and it is the older one */
    assert_called(BOB, annas, second);
    assert_ok(leave(BOB, "crew"));
    assert_called(BOB, annas, second);
    restart(BOB);
    run_for(PV_S(1));
    assert_called(BOB, annas, second);
    assert_called(BOB, bobs, "#crew");
    assert_int_equal(say(BOB, "crew", "to carl"), PV_ERR_STATE); /* it is left */
    assert_string_equal(w.n[ANNA].said, "to anna");
}

PV_TEST_IN(an_invitation_keeps_its_name_when_a_room_of_that_name_comes_and_is_accepted, setup,
           teardown)
{
    char second[PV_ROOMS_NAME_BUF];
    uint8_t first[PV_ROOM_ID_LEN];
    w.n[BOB].hesitates = true;
    anna_and_bob();
    memcpy(first, room_of(ANNA, "crew"), sizeof(first));
    assert_ok(open_room(CARL, "crew"));
    assert_ok(invite(CARL, "crew", BOB));
    pv_rooms_name(w.n[BOB].rooms, room_of(CARL, "crew"), second);
    assert_memory_equal(second, "#crew~", 6);
    assert_ok(accept_room(BOB, second));
    assert_called(BOB, first, "#crew");
    assert_ok(say(BOB, "crew", "to anna"));
    assert_string_equal(w.n[ANNA].said, "to anna");
    assert_string_equal(w.n[CARL].said, "");
}

PV_TEST(a_room_is_found_by_its_whole_id_and_keeps_its_name_when_it_is_left)
{
    char whole[PV_ROOMS_NAME_BUF];
    uint8_t first[PV_ROOM_ID_LEN];
    memcpy(first, room_of(BOB, "crew"), sizeof(first));
    pv_rooms_address(first, whole);
    assert_ptr_equal(pv_rooms_find(w.n[BOB].rooms, whole, false), room_of(BOB, "crew"));
    assert_ptr_equal(pv_rooms_find(w.n[BOB].rooms, whole + 1, false), room_of(BOB, "crew"));
    assert_ok(leave(BOB, "crew"));
    assert_null(pv_rooms_find(w.n[BOB].rooms, whole, false));
    assert_ok(open_room(CARL, "crew"));
    assert_ok(invite(CARL, "crew", BOB));
    assert_ok(open_room(BOB, "crew")); /* in whose way one that was left does not stand */
    assert_called(BOB, first, "#crew");
    assert_null(room_of(BOB, "crew"));
    assert_memory_equal(pv_rooms_find(w.n[BOB].rooms, whole, true), first, sizeof(first));
}

/* A change that the disk did not take did not happen. */
PV_TEST(a_full_disk_changes_no_name_and_leaves_no_room)
{
    uint8_t first[PV_ROOM_ID_LEN];
    memcpy(first, room_of(BOB, "crew"), sizeof(first));
    w.n[BOB].hesitates = w.n[BOB].full = true;
    (void)!leave(BOB, "crew");
    w.n[BOB].full = false;
    run_for(PV_S(10));
    assert_false(is_invited(BOB, "#crew")); /* in it as before */
    assert_ok(leave(BOB, "crew"));
    w.n[BOB].full = true;
    (void)!open_room(BOB, "crew");
    w.n[BOB].full = false;
    run_for(PV_S(10));
    assert_called(BOB, first, "#crew");
    restart(BOB);
    run_for(PV_S(10));
    assert_called(BOB, first, "#crew");
}

PV_TEST_IN(a_user_who_speaks_in_a_room_has_accepted_it_and_is_asked_again_after_leaving, setup,
           teardown)
{
    w.n[BOB].hesitates = true;
    anna_and_bob();
    assert_ok(say(BOB, "crew", "hello"));
    assert_false(is_invited(BOB, "#crew"));
    assert_string_equal(w.n[ANNA].said, "hello");
    assert_ok(leave(BOB, "crew"));
    assert_int_equal(accept_room(BOB, "crew"), PV_ERR_STATE);
    assert_ok(invite(ANNA, "crew", BOB));
    assert_true(is_invited(BOB, "#crew"));
    assert_ok(say(ANNA, "crew", "one"));
    assert_string_equal(w.n[BOB].said, "");
    assert_ok(accept_room(BOB, "crew"));
    assert_string_equal(w.n[BOB].said, "one");
}

PV_TEST(without_the_list_a_user_is_asked_once_more)
{
    w.n[BOB].hesitates = true;
    w.n[BOB].marks_len = 0;
    restart(BOB);
    assert_true(is_invited(BOB, "#crew"));
    assert_ok(say(ANNA, "crew", "one"));
    assert_string_equal(w.n[BOB].said, "");
    assert_ok(accept_room(BOB, "crew"));
    assert_string_equal(w.n[BOB].said, "one");
}

PV_TEST(an_impossible_request_is_refused_with_its_reason)
{
    assert_int_equal(open_room(ANNA, "Not a name"), PV_ERR_MALFORMED);
    assert_int_equal(invite(ANNA, "crew", BOB), PV_ERR_EXISTS);
    assert_int_equal(invite(BOB, "nowhere", CARL), PV_ERR_STATE);
    assert_int_equal(say(CARL, "crew", "x"), PV_ERR_STATE);
    assert_int_equal(say(ANNA, "crew", "\xff"), PV_ERR_MALFORMED);
    assert_int_equal(say(ANNA, "crew", ""), PV_ERR_MALFORMED);
    w.n[ANNA].full = true;
    assert_ok(say(ANNA, "crew", "lost"));
    assert_int_equal(w.n[ANNA].failed, 1);
    w.n[ANNA].full = false;
    assert_ok(say(ANNA, "crew", "kept"));
    assert_string_equal(w.n[BOB].said, "kept");
}

PV_TEST_IN(rooms_are_limited_in_number, setup, teardown)
{
    run_for(PV_MS(1));
    for (int i = 0; i < PV_ROOM_MAX_ROOMS; i++) {
        assert_ok(open_room(ANNA, PV_STR("r%d", i)));
    }
    assert_int_equal(open_room(ANNA, "more"), PV_ERR_LIMIT);
    all_meet();
    for (int i = 0; i < PV_ROOMS_MAX_OF_CREATOR + 2; i++) {
        assert_ok(invite(ANNA, PV_STR("r%d", i), BOB));
    }
    struct pv_rooms_info info;
    assert_true(pv_rooms_info(w.n[BOB].rooms, PV_ROOMS_MAX_OF_CREATOR - 1, &info));
    assert_false(pv_rooms_info(w.n[BOB].rooms, PV_ROOMS_MAX_OF_CREATOR, &info));
    assert_true(pv_rooms_counts(w.n[BOB].rooms).full > 0);
}

/* --- eve ----------------------------------------------------------------------------------- */

static struct pv_room_frame frame;
static char text_line[PV_CHAT_LINE_MAX];

/* Eve says frame to node i. */
static int eve_says(int i)
{
    size_t len = 0;
    assert_ok(pv_room_frame_write(&frame, text_line, &len));
    int r =
        pv_rooms_handle_frame(w.n[i].rooms, w.n[EVE].keys.pk, pv_view(text_line, len - 1), w.now);
    run_for(PV_MS(20));
    return r;
}

/* A record signed with the key of `signer` that claims to be of `author`. */
static int eve_hands(int i, struct pv_room_record rec, int signer, int author)
{
    static uint8_t raw[PV_ROOM_RECORD_MAX];
    struct pv_room_make with = {.network = w.world.created.network_id,
                                .signer = pv_appsigner_of(w.n[signer].keys.sk)};
    size_t len = 0;
    memcpy(rec.signer, w.n[author].keys.pk, sizeof(rec.signer));
    memcpy(rec.room, room_of(ANNA, "crew"), sizeof(rec.room));
    assert_ok(pv_room_record_make(&with, &rec, raw, &len));
    memset(&frame, 0, sizeof(frame));
    frame.kind = PV_ROOM_F_RECORDS;
    memcpy(frame.room, rec.room, sizeof(frame.room));
    frame.records[0] = pv_view(raw, len);
    frame.n_records = 1;
    return eve_says(i);
}

/* --- places -------------------------------------------------------------------------------- */

enum {
    GHOSTS = PV_ROOM_MAX_MEMBERS, /* members of the network without a machine here */
};

static struct keys ghost[GHOSTS];

static void make_ghosts(void)
{
    for (unsigned i = 0; i < GHOSTS; i++) {
        const char *name = PV_STR("ghost%u", i);
        ghost[i] = keys_of(100 + i);
        struct item m =
            make_member(&w.world, &w.world.creator, &ghost[i], name, (uint16_t)(500 + i));
        add(w.roster, &m);
    }
    settle(w.roster);
}

static int invite_ghost(unsigned i)
{
    int r = pv_rooms_invite(w.n[ANNA].rooms, 2, room_of(ANNA, "crew"), ghost[i].pk, 5, w.now);
    run_for(PV_S(1));
    return r < 0 ? r : w.n[ANNA].last_status;
}

/* The ghost's own word, which eve brings. */
static void ghost_leaves(unsigned i, uint64_t time_ms)
{
    static uint8_t raw[PV_ROOM_RECORD_MAX];
    struct pv_room_record rec = {.type = PV_ROOM_LEAVE, .round = 1, .time_ms = time_ms};
    struct pv_room_make with = {.network = w.world.created.network_id,
                                .signer = pv_appsigner_of(ghost[i].sk)};
    size_t len = 0;
    memcpy(rec.signer, ghost[i].pk, sizeof(rec.signer));
    memcpy(rec.room, room_of(ANNA, "crew"), sizeof(rec.room));
    assert_ok(pv_room_record_make(&with, &rec, raw, &len));
    memset(&frame, 0, sizeof(frame));
    frame.kind = PV_ROOM_F_RECORDS;
    memcpy(frame.room, rec.room, sizeof(frame.room));
    frame.records[0] = pv_view(raw, len);
    frame.n_records = 1;
    assert_ok(eve_says(ANNA));
    run_for(PV_S(2));
}

/* Has the room of node i a place for the ghost? */
static bool has_place(int i, unsigned k)
{
    struct pv_rooms_member m;
    for (size_t at = 0; pv_rooms_member(w.n[i].rooms, room_of(i, "crew"), at, &m); at++) {
        if (memcmp(m.pk, ghost[k].pk, PV_SIGN_PK_LEN) == 0)
            return true;
    }
    return false;
}

PV_TEST_IN(a_member_that_is_gone_gives_its_place_to_one_that_comes, setup, teardown)
{
    make_ghosts();
    anna_and_bob();
    connect(ANNA, EVE, true);
    assert_ok(invite(ANNA, "crew", CARL));
    for (unsigned i = 0; i < GHOSTS - 3; i++)
        assert_ok(invite_ghost(i));
    assert_ok(say(BOB, "crew", "full"));
    assert_int_equal(invite(ANNA, "crew", EVE), PV_ERR_LIMIT);
    ghost_leaves(5, 100);
    ghost_leaves(7, 50);
    struct item gone =
        make_revocation(&w.world, &w.world.creator, PV_REVOKE_NODE, ghost[9].pk, NULL, 0);
    add(w.roster, &gone);
    settle(w.roster);
    alone(CARL); /* it hears of all that later, from who has forgotten them */
    assert_ok(invite(ANNA, "crew", EVE));
    assert_false(has_place(ANNA, 9));
    assert_true(has_place(ANNA, 7));
    assert_ok(invite_ghost(GHOSTS - 3));
    assert_false(has_place(ANNA, 7));
    restart(ANNA);
    assert_ok(invite_ghost(GHOSTS - 2));
    assert_int_equal(invite_ghost(GHOSTS - 1), PV_ERR_LIMIT);
    connect(CARL, BOB, true);
    run_for(PV_S(200));
    for (int i = ANNA; i <= CARL; i++) {
        assert_false(has_place(i, 5) || has_place(i, 7) || has_place(i, 9));
        assert_true(has_place(i, 4) && has_place(i, GHOSTS - 3) && has_place(i, GHOSTS - 2));
    }
    /* They agree: nobody lists anything any more, and what was said is where it belongs. */
    unsigned before = w.lines;
    run_for(PV_S(600));
    assert_int_equal(w.lines, before);
    assert_ok(say(CARL, "crew", "still"));
    assert_ok(say(BOB, "crew", "here"));
    assert_string_equal(w.n[CARL].said, "full here");
    restart(BOB);
    run_for(PV_S(5));
    assert_false(has_place(BOB, 5) || has_place(BOB, 7) || has_place(BOB, 9));
    assert_ok(say(CARL, "crew", "now"));
    assert_string_equal(w.n[BOB].said, "still now");
    /* A member that gave its place away comes back: its own word from before is heard once more. */
    assert_ok(leave(CARL, "crew"));
    assert_ok(invite_ghost(GHOSTS - 1));
    assert_true(has_place(ANNA, GHOSTS - 1));
    ghost_leaves(4, 200);
    assert_ok(invite(BOB, "crew", CARL));
    run_for(PV_S(5));
    assert_null(room_of(CARL, "crew"));
    assert_ok(invite(BOB, "crew", CARL));
    assert_ok(say(CARL, "crew", "again"));
    assert_said_after(PV_S(60), BOB, "still now again");
    assert_string_equal(w.n[ANNA].said, "full still here now again");
}

PV_TEST(forged_senders_are_refused_and_counted)
{
    struct pv_room_record text = {.type = PV_ROOM_TEXT, .seq = 1, .text = pv_view("hi", 2)};
    connect(ANNA, EVE, true);
    assert_int_equal(eve_hands(ANNA, text, EVE, BOB), PV_ERR_REFUSED); /* bob never said it */
    assert_int_equal(pv_rooms_counts(w.n[ANNA].rooms).forged, 1);
    assert_ok(eve_hands(ANNA, text, EVE, EVE)); /* she did, and is not in the room */
    assert_int_equal(pv_rooms_counts(w.n[ANNA].rooms).strangers, 1);
    struct pv_room_record in = {.type = PV_ROOM_INVITE, .round = 1};
    memcpy(in.node, w.n[EVE].keys.pk, sizeof(in.node));
    assert_int_equal(eve_hands(ANNA, in, EVE, ANNA), PV_ERR_REFUSED); /* anna did not invite her */
    assert_ok(eve_hands(ANNA, in, EVE, EVE)); /* nor can she do it herself */
    struct pv_room_record out = {.type = PV_ROOM_LEAVE, .round = 1};
    assert_int_equal(eve_hands(ANNA, out, EVE, BOB), PV_ERR_REFUSED); /* bob does not leave */
    assert_int_equal(pv_rooms_counts(w.n[ANNA].rooms).forged, 3);
    assert_string_equal(w.n[ANNA].said, "");
    assert_ok(say(BOB, "crew", "all is well"));
    assert_string_equal(w.n[ANNA].said, "all is well");
}

PV_TEST(a_member_that_left_cannot_invite_itself_again)
{
    struct pv_room_record again = {.type = PV_ROOM_INVITE, .round = 2};
    struct pv_room_record out = {.type = PV_ROOM_LEAVE, .round = 1};
    struct pv_rooms_member m;
    assert_ok(invite(ANNA, "crew", EVE));
    connect(ANNA, EVE, true);
    assert_ok(eve_hands(ANNA, out, EVE, EVE));
    assert_true(pv_rooms_member(w.n[ANNA].rooms, room_of(ANNA, "crew"), 2, &m));
    assert_true(m.has_left);
    memcpy(again.node, w.n[EVE].keys.pk, sizeof(again.node));
    assert_ok(eve_hands(ANNA, again, EVE, EVE));
    assert_true(pv_rooms_member(w.n[ANNA].rooms, room_of(ANNA, "crew"), 2, &m));
    assert_true(m.has_left);
    assert_ok(eve_hands(ANNA, again, ANNA, ANNA)); /* somebody else may */
    assert_true(pv_rooms_member(w.n[ANNA].rooms, room_of(ANNA, "crew"), 2, &m));
    assert_false(m.has_left);
}

/* The invitation comes while the LEAVE is on its way to the disk. */
PV_TEST_IN(a_node_that_leaves_and_is_invited_at_once_is_asked, setup, teardown)
{
    struct pv_room_record again = {.type = PV_ROOM_INVITE, .round = 2, .time_ms = 9};
    w.n[BOB].hesitates = true;
    anna_and_bob();
    assert_ok(accept_room(BOB, "crew"));
    assert_ok(invite(ANNA, "crew", EVE));
    connect(BOB, EVE, true);
    run_for(PV_S(1));
    memcpy(again.node, w.n[BOB].keys.pk, sizeof(again.node));
    assert_ok(pv_rooms_leave(w.n[BOB].rooms, 3, room_of(BOB, "crew"), 6, w.now));
    assert_ok(eve_hands(BOB, again, EVE, EVE));
    run_for(PV_S(1));
    assert_true(is_invited(BOB, "#crew"));
    assert_ok(say(ANNA, "crew", "unwanted"));
    assert_said_after(PV_S(1), BOB, "");
    restart(BOB);
    run_for(PV_S(1));
    assert_true(is_invited(BOB, "#crew"));
}

PV_TEST_IN(a_text_that_comes_unasked_for_is_not_taken_before_a_user_accepts, setup, teardown)
{
    struct pv_room_record text = {.type = PV_ROOM_TEXT, .seq = 1, .text = pv_view("hi", 2)};
    w.n[BOB].hesitates = true;
    anna_and_bob();
    assert_ok(invite(ANNA, "crew", EVE));
    connect(ANNA, BOB, false);
    connect(BOB, EVE, true);
    assert_ok(eve_hands(BOB, text, ANNA, ANNA));
    assert_said_after(PV_S(10), BOB, "");
    assert_ok(accept_room(BOB, "crew"));
    assert_ok(eve_hands(BOB, text, ANNA, ANNA));
    assert_string_equal(w.n[BOB].said, "hi");
}

enum {
    VARIANTS = 640,
};
static struct variant {
    uint8_t raw[PV_ROOM_RECORD_MAX], hash[PV_BLAKE2B_LEN];
    size_t len;
} variants[VARIANTS];

static int by_falling_hash(const void *a, const void *b)
{
    const struct variant *x = a, *y = b;
    return memcmp(y->hash, x->hash, sizeof(x->hash));
}

/* One invitation, made again and again: of those that say the same the one with the lowest hash
 * stays, so that each takes the place of the one before. */
PV_TEST_IN(an_invitation_that_is_made_anew_is_told_once_and_none_before_a_user_accepts, setup,
           teardown)
{
    struct pv_room_make with = {.network = w.world.created.network_id,
                                .signer = pv_appsigner_of(w.n[EVE].keys.sk)};
    struct pv_room_record rec = {.type = PV_ROOM_INVITE, .round = 1}, parsed;
    w.n[BOB].hesitates = true;
    anna_and_bob();
    assert_ok(invite(ANNA, "crew", EVE));
    connect(ANNA, EVE, true);
    connect(BOB, EVE, true);
    const unsigned before = w.n[BOB].invited;
    memcpy(rec.signer, w.n[EVE].keys.pk, sizeof(rec.signer));
    memcpy(rec.room, room_of(ANNA, "crew"), sizeof(rec.room));
    memcpy(rec.node, w.n[CARL].keys.pk, sizeof(rec.node));
    for (size_t i = 0; i < VARIANTS; i++) {
        struct variant *v = &variants[i];
        rec.time_ms = 1790000000000u + i;
        assert_ok(pv_room_record_make(&with, &rec, v->raw, &v->len));
        assert_ok(pv_room_record_parse(pv_view(v->raw, v->len), NULL, &parsed));
        memcpy(v->hash, parsed.hash, sizeof(v->hash));
    }
    qsort(variants, VARIANTS, sizeof(variants[0]), by_falling_hash);
    memcpy(frame.room, rec.room, sizeof(frame.room));
    frame.kind = PV_ROOM_F_RECORDS;
    for (size_t i = 0; i < VARIANTS; i += PV_ROOM_FRAME_MAX_RECORDS) {
        frame.n_records = PV_ROOM_FRAME_MAX_RECORDS;
        for (size_t k = 0; k < PV_ROOM_FRAME_MAX_RECORDS; k++)
            frame.records[k] = pv_view(variants[i + k].raw, variants[i + k].len);
        assert_ok(eve_says(BOB));
        if (i == 0)
            assert_ok(eve_says(ANNA));
    }
    run_for(PV_S(1));
    assert_int_equal(w.n[BOB].invited, before);
    assert_int_equal(w.n[ANNA].invited, 1);
}

PV_TEST(records_out_of_form_are_counted_and_those_before_them_stay)
{
    static uint8_t raw[PV_ROOM_RECORD_MAX], bad[PV_ROOM_RECORD_MAX];
    struct pv_room_record text = {.type = PV_ROOM_TEXT, .seq = 1, .text = pv_view("hi", 2)};
    assert_ok(invite(ANNA, "crew", EVE));
    connect(ANNA, EVE, true);
    assert_ok(eve_hands(ANNA, text, EVE, EVE));
    assert_int_equal(pv_rooms_counts(w.n[ANNA].rooms).bad_frames, 0);

    /* The next text, and behind it one of a type that there is not. */
    text.seq = 2;
    text.text = pv_view("there", 5);
    struct pv_room_make with = {.network = w.world.created.network_id,
                                .signer = pv_appsigner_of(w.n[EVE].keys.sk)};
    size_t len = 0;
    memcpy(text.signer, w.n[EVE].keys.pk, sizeof(text.signer));
    memcpy(text.room, room_of(ANNA, "crew"), sizeof(text.room));
    assert_ok(pv_room_record_make(&with, &text, raw, &len));
    memcpy(bad, raw, len);
    bad[1] = 0xff;
    frame.records[0] = pv_view(raw, len);
    frame.records[1] = pv_view(bad, len);
    frame.n_records = 2;
    assert_int_equal(eve_says(ANNA), PV_ERR_REFUSED);
    assert_int_equal(pv_rooms_counts(w.n[ANNA].rooms).bad_frames, 1);
    assert_string_equal(w.n[ANNA].said, "hi there");

    /* A good record in a frame that names another room. */
    text.seq = 3;
    text.room[0] ^= 1;
    assert_ok(pv_room_record_make(&with, &text, raw, &len));
    frame.records[0] = pv_view(raw, len);
    frame.n_records = 1;
    assert_int_equal(eve_says(ANNA), PV_ERR_REFUSED);
    assert_int_equal(pv_rooms_counts(w.n[ANNA].rooms).bad_frames, 2);
    assert_int_equal(pv_rooms_counts(w.n[ANNA].rooms).forged, 0);
    assert_string_equal(w.n[ANNA].said, "hi there");
}

PV_TEST(a_member_cannot_speak_for_another_nor_say_a_number_twice)
{
    struct pv_room_record text = {.type = PV_ROOM_TEXT, .seq = 1, .text = pv_view("hi", 2)};
    assert_ok(invite(ANNA, "crew", EVE));
    connect(ANNA, EVE, true);
    assert_int_equal(eve_hands(ANNA, text, EVE, BOB), PV_ERR_REFUSED);
    assert_ok(eve_hands(ANNA, text, EVE, EVE));
    assert_ok(eve_hands(ANNA, text, EVE, EVE)); /* again: known */
    text.text = pv_view("other", 5);
    assert_ok(eve_hands(ANNA, text, EVE, EVE)); /* the number is taken */
    text.seq = 5;
    assert_ok(eve_hands(ANNA, text, EVE, EVE)); /* something is missing before */
    text.seq = 2;
    text.text = pv_view("\x1b[2J", 4); /* made harmless where it is shown (pv_harmless_show()) */
    assert_ok(eve_hands(ANNA, text, EVE, EVE));
    assert_string_equal(w.n[ANNA].said, "hi \x1b[2J");
    assert_said_after(PV_S(60), BOB, "hi \x1b[2J"); /* by way of anna */
}

/* The texts that one may write in a room have an end, for members here and for what others send. */
PV_TEST(the_log_of_an_author_has_an_end)
{
    struct pv_room_record text = {.type = PV_ROOM_TEXT, .seq = 1, .text = pv_view("first", 5)};
    assert_ok(invite(ANNA, "crew", EVE));
    connect(ANNA, EVE, true);
    assert_ok(eve_hands(ANNA, text, EVE, EVE));
    assert_ok(say(ANNA, "crew", "mine"));
    alone(ANNA);
    assert_int_equal(sqlite3_exec(w.n[ANNA].db,
                                  PV_STR("UPDATE room_log SET last = %d", PV_ROOM_MAX_TEXTS - 1),
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    restart(ANNA);
    connect(ANNA, EVE, true);
    text.seq = PV_ROOM_MAX_TEXTS;
    text.text = pv_view("last", 4);
    assert_ok(eve_hands(ANNA, text, EVE, EVE));
    text.seq++;
    text.text = pv_view("more", 4);
    assert_ok(eve_hands(ANNA, text, EVE, EVE));
    assert_string_equal(w.n[ANNA].said, "first last");
    assert_int_equal(pv_rooms_counts(w.n[ANNA].rooms).full, 1);
    assert_ok(say(ANNA, "crew", "my last"));
    assert_int_equal(say(ANNA, "crew", "one more"), PV_ERR_LIMIT);
}

/* A member that says it has more of our texts than there are makes none count as delivered. */
PV_TEST(a_text_that_a_member_claims_to_have_is_not_delivered_before_it_is_said)
{
    assert_ok(invite(ANNA, "crew", EVE));
    alone(ANNA);
    connect(ANNA, EVE, true);
    memset(&frame, 0, sizeof(frame));
    frame.kind = PV_ROOM_F_HAVE;
    memcpy(frame.room, room_of(ANNA, "crew"), sizeof(frame.room));
    memcpy(frame.have[0].author, w.n[ANNA].keys.pk, sizeof(frame.have[0].author));
    frame.have[0].seq = 9;
    frame.n_have = 1;
    assert_ok(eve_says(ANNA));
    run_for(PV_S(700)); /* which she does not show */
    connect(ANNA, EVE, false);
    assert_ok(say(ANNA, "crew", "one"));
    assert_int_equal(w.n[ANNA].delivered, 0);
    connect(ANNA, BOB, true);
    assert_said_after(PV_S(60), BOB, "one");
    assert_int_equal(w.n[ANNA].delivered, 1);
}

PV_TEST(a_stranger_gets_nothing_of_a_room)
{
    assert_ok(say(ANNA, "crew", "secret"));
    connect(ANNA, EVE, true);
    run_for(PV_S(1));
    unsigned before = w.lines;
    memset(&frame, 0, sizeof(frame));
    memcpy(frame.room, room_of(ANNA, "crew"), sizeof(frame.room));
    frame.kind = PV_ROOM_F_WANT;
    memcpy(frame.have[0].author, w.n[ANNA].keys.pk, PV_SIGN_PK_LEN);
    frame.n_have = 1;
    assert_ok(eve_says(ANNA));
    frame.kind = PV_ROOM_F_LIST;
    assert_ok(eve_says(ANNA));
    assert_int_equal(w.lines, before);
    assert_int_equal(pv_rooms_counts(w.n[ANNA].rooms).strangers, 2);
}

/* Else one member could fill a room's places with keys that nobody has. */
PV_TEST(only_members_of_the_network_can_be_invited)
{
    struct pv_rooms_member m;
    assert_ok(invite(ANNA, "crew", EVE));
    connect(ANNA, EVE, true);
    uint64_t before = pv_rooms_counts(w.n[ANNA].rooms).strangers;
    for (unsigned i = 0; i < 2 * PV_ROOM_MAX_MEMBERS; i++) {
        struct pv_room_record in = {.type = PV_ROOM_INVITE, .round = 1};
        memcpy(in.node, &i, sizeof(i));
        assert_ok(eve_hands(ANNA, in, EVE, EVE));
        run_for(PV_S(1));
    }
    assert_int_equal(pv_rooms_counts(w.n[ANNA].rooms).strangers, before + 2 * PV_ROOM_MAX_MEMBERS);
    assert_true(pv_rooms_member(w.n[ANNA].rooms, room_of(ANNA, "crew"), 2, &m));
    assert_false(pv_rooms_member(w.n[ANNA].rooms, room_of(ANNA, "crew"), 3, &m));
    assert_ok(invite(BOB, "crew", CARL)); /* there is room for who is real */
    assert_ok(say(CARL, "crew", "here"));
    assert_string_equal(w.n[ANNA].said, "here");
}

PV_TEST(floods_and_rubbish_close_the_connection_and_nothing_else)
{
    static const char rubbish[] = "{\"room\":\"x\"}";
    int r = PV_OK;
    unsigned i = 0;
    connect(ANNA, EVE, true);
    assert_int_equal(pv_rooms_handle_frame(w.n[ANNA].rooms, w.n[EVE].keys.pk,
                                           pv_view(rubbish, strlen(rubbish)), w.now),
                     PV_ERR_REFUSED);
    assert_int_equal(pv_rooms_counts(w.n[ANNA].rooms).bad_frames, 1);
    memset(&frame, 0, sizeof(frame));
    frame.kind = PV_ROOM_F_HAVE;
    for (; i < 3 * PV_ROOMS_FRAME_BURST && r == PV_OK; i++) {
        memcpy(frame.room, &i, sizeof(i)); /* each another room */
        size_t len = 0;
        assert_ok(pv_room_frame_write(&frame, text_line, &len));
        r = pv_rooms_handle_frame(w.n[ANNA].rooms, w.n[EVE].keys.pk, pv_view(text_line, len - 1),
                                  w.now);
    }
    assert_int_equal(r, PV_ERR_REFUSED);
    assert_in_range(i, 100, PV_ROOMS_FRAME_BURST + 10);
    assert_true(pv_rooms_counts(w.n[ANNA].rooms).floods > 0);
    assert_ok(say(BOB, "crew", "all is well"));
    assert_string_equal(w.n[ANNA].said, "all is well");
    assert_ok(open_room(BOB, "late"));
    assert_ok(invite(BOB, "late", ANNA)); /* comes although eve's do not */
    run_for(PV_S(1));
    assert_non_null(room_of(ANNA, "late"));
    run_for(PV_S(60)); /* what she spoke of is forgotten */
    struct pv_rooms_info info;
    assert_true(pv_rooms_info(w.n[ANNA].rooms, 1, &info));
    assert_false(pv_rooms_info(w.n[ANNA].rooms, 2, &info));
}

PV_TEST_IN(a_node_with_an_older_disk_fetches_its_own_lines_first, setup, teardown)
{
    sqlite3 *older = NULL;
    anna_and_bob();
    assert_ok(say(BOB, "crew", "one"));
    assert_int_equal(sqlite3_open(":memory:", &older), SQLITE_OK);
    sqlite3_backup *copy = sqlite3_backup_init(older, "main", w.n[BOB].db, "main");
    assert_non_null(copy);
    assert_int_equal(sqlite3_backup_step(copy, -1), SQLITE_DONE);
    sqlite3_backup_finish(copy);
    assert_ok(say(BOB, "crew", "two"));
    alone(BOB);
    sqlite3_close(w.n[BOB].db);
    w.n[BOB].db = older;                /* restored from a backup */
    w.n[BOB].denies = w.n[BOB].keys.pk; /* rules are about others */
    restart(BOB);
    connect(ANNA, BOB, true);
    run_for(PV_S(2));
    assert_ok(say(BOB, "crew", "three"));
    assert_string_equal(w.n[ANNA].said, "one two three");
}
