/* SPDX-License-Identifier: MIT */
/* Cards: whose count, which of several, what they change and what they do not. */
#include "tests/unit/proto/roster/roster_fixture.h"

static struct world w;
static struct pv_roster *r;
static struct keys bob;

void test_before_each(void)
{
    w = world_make(1);
    r = roster_of(&w);
    bob = keys_of(20);
    (void)learn(r, make_member(&w, &w.creator, &bob, "bob", 20));
}

static int show(struct item it)
{
    enum pv_roster_added added;
    int status = pv_roster_add(r, pv_view(it.s.raw, it.s.len), pv_view(NULL, 0), &added);
    (void)settle(r);
    return status;
}

static const uint8_t *hash_of(const struct item *it)
{
    static uint8_t hashes[2][PV_STATEMENT_HASH_LEN];
    static unsigned at;
    at++;
    pv_statement_hash(pv_view(it->s.raw, it->s.len), hashes[at % 2]);
    return hashes[at % 2];
}

static const uint8_t *head(void)
{
    static uint8_t head[PV_STATEMENT_HASH_LEN];
    pv_roster_head(r, head);
    return head;
}

static const uint8_t *cards(void)
{
    static uint8_t digest[PV_STATEMENT_HASH_LEN];
    pv_roster_cards(r, digest);
    return digest;
}

PV_TEST(the_card_with_the_highest_serial_counts)
{
    assert_null(pv_roster_card(r, bob.pk));
    assert_ok(show(make_card(&w, &bob, 7, 1, PV_ABLE_PQ)));
    struct pv_card card;
    pv_card_read(pv_roster_card(r, bob.pk), &card);
    assert_int_equal(card.n_offers, 1);
    assert_int_equal(card.offers[0].prefix.base.ip[2], 1);
    assert_int_equal(pv_roster_by_name(r, "bob")->abilities, PV_ABLE_PQ);
    assert_int_equal(show(make_card(&w, &bob, 6, 2, 0)), PV_ERR_REPLAY);
    assert_int_equal(pv_roster_card(r, bob.pk)->serial, 7);
    assert_ok(show(make_card(&w, &bob, 8, 0, 0)));
    assert_int_equal(pv_roster_card(r, bob.pk)->offers.len, 0);
    assert_int_equal(pv_roster_by_name(r, "bob")->abilities, 0);
}

/* Two lives of one machine may have used a serial twice: all decide alike between the cards. */
PV_TEST(of_two_cards_with_one_serial_the_lower_hash_counts)
{
    struct item a = make_card(&w, &bob, 7, 1, 0), b = make_card(&w, &bob, 7, 2, 0);
    const bool first = memcmp(hash_of(&a), hash_of(&b), PV_STATEMENT_HASH_LEN) < 0;
    assert_ok(show(first ? b : a));
    assert_ok(show(first ? a : b));
    assert_int_equal(show(first ? b : a), PV_ERR_REPLAY);
}

PV_TEST(a_card_is_no_part_of_the_set)
{
    uint8_t head_before[PV_STATEMENT_HASH_LEN], cards_before[PV_STATEMENT_HASH_LEN];
    const size_t size = pv_roster_size(r);
    const uint64_t time = pv_roster_time(r), next = pv_roster_next_serial(r, bob.pk);
    memcpy(head_before, head(), sizeof(head_before));
    memcpy(cards_before, cards(), sizeof(cards_before));
    struct item it = make_card(&w, &bob, 7, 1, PV_ABLE_PQ);
    (void)learn(r, it); /* with a receipt */
    assert_memory_equal(head(), head_before, sizeof(head_before));
    assert_memory_not_equal(cards(), cards_before, sizeof(cards_before));
    assert_int_equal(pv_roster_size(r), size);
    assert_int_equal(pv_roster_time(r), time);
    assert_int_equal(pv_roster_next_serial(r, bob.pk), next);
    assert_non_null(pv_roster_find(r, hash_of(&it)));
}

PV_TEST(a_card_admits_nobody)
{
    const struct keys stranger = keys_of(21);
    (void)!show(make_card(&w, &w.root, 1, 0, PV_ABLE_PQ));
    (void)!show(make_card(&w, &stranger, 1, 1, PV_ABLE_PQ)); /* waits for its member statement */
    assert_null(pv_roster_by_node(r, stranger.pk));
    assert_null(pv_roster_card(r, stranger.pk));
    (void)learn(r, make_member(&w, &w.creator, &stranger, "carol", 21));
    assert_int_equal(pv_roster_by_name(r, "carol")->abilities, PV_ABLE_PQ);
    assert_int_equal(pv_roster_card(r, stranger.pk)->serial, 1);
}

PV_TEST(nobody_shows_the_card_of_another)
{
    struct item it = make_card(&w, &bob, 7, 1, 0);
    memcpy(it.s.raw + 18, w.creator.pk, PV_SIGN_PK_LEN);
    assert_int_equal(show(it), PV_ERR_AUTH);
    it = make_card(&w, &bob, 7, 1, 0);
    it.s.raw[it.s.len - PV_SIGN_LEN - 3] ^= 1; /* what it offers */
    assert_true(show(it) < 0);
    assert_null(pv_roster_card(r, bob.pk));
}

/* The event by which stores forget it. */
static bool is_dropped(void)
{
    struct pv_roster_event ev;
    bool dropped = false;
    while (pv_roster_poll_event(r, &ev) == PV_OK)
        dropped = dropped || (ev.type == PV_ROSTER_EV_DROPPED && ev.entry->st.type == PV_ST_CARD);
    return dropped;
}

PV_TEST(the_card_of_a_removed_member_goes)
{
    enum pv_roster_added added;
    struct item gone = make_revocation(&w, &w.creator, PV_REVOKE_NODE, bob.pk, NULL, 0);
    assert_ok(show(make_card(&w, &bob, 7, 1, PV_ABLE_PQ)));
    assert_ok(pv_roster_add(r, pv_view(gone.s.raw, gone.s.len), pv_view(NULL, 0), &added));
    assert_true(is_dropped());
    assert_null(pv_roster_card(r, bob.pk));
    assert_int_equal(show(make_card(&w, &bob, 8, 1, 0)), PV_ERR_REFUSED);
}

PV_TEST(the_card_of_one_who_left_goes_until_it_is_back)
{
    struct pv_made leave;
    enum pv_roster_added added;
    assert_ok(show(make_card(&w, &bob, 7, 1, 0)));
    assert_ok(pv_make_leave(w.created.network_id, bob.sk, 5, T0, &leave));
    assert_ok(pv_roster_add(r, pv_made_view(&leave), pv_view(NULL, 0), &added));
    assert_true(is_dropped());
    assert_int_equal(show(make_card(&w, &bob, 8, 1, 0)), PV_ERR_REFUSED);
    struct pv_st_member f = member_fields(&bob, "bob", 20, 6);
    (void)learn(r, make_member_f(&w, &w.creator, &bob, &f));
    assert_ok(show(make_card(&w, &bob, 8, 1, 0)));
    assert_int_equal(pv_roster_card(r, bob.pk)->serial, 8);
}

PV_TEST(the_next_card_is_above_all_that_are_known)
{
    struct pv_made_long made;
    struct pv_statement st;
    struct pv_card card;
    static const struct {
        uint64_t held, wall, serial;
        int status;
    } rows[] = {
        {0, 5, 5, PV_OK}, {7, 5, 8, PV_OK}, {8, 90, 90, PV_OK}, {UINT64_MAX, 91, 0, PV_ERR_LIMIT}};
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        if (rows[i].held > 0)
            assert_ok(show(make_card(&w, &bob, rows[i].held, 1, 0)));
        pv_card_read(pv_roster_card(r, bob.pk), &card);
        assert_int_equal(pv_make_card(r, bob.sk, &card, rows[i].wall, &made), rows[i].status);
        if (rows[i].status != PV_OK)
            continue;
        assert_ok(pv_statement_decode(pv_made_long_view(&made), &st));
        assert_int_equal(st.u.card.serial, rows[i].serial);
        assert_int_equal(st.u.card.offers.len, card.n_offers > 0 ? 7 : 0);
    }
}
