/* SPDX-License-Identifier: MIT */
/* Rooms between four nodes: the limits of their tables, and records that no daemon makes. What
 * members get is in tests/chat/rooms.chat and forgers.chat. */
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
