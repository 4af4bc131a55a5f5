/* SPDX-License-Identifier: MIT */
/* Places (type 10): another name and address of a member, by itself or by an admin. */
#include "roster_fixture.h"

/* bob at 10.66.0.5 and carol at 10.66.0.6, both let in by the creator. */
static struct roster_of_two {
    struct world w;
    struct keys bob, carol;
    struct pv_roster *r;
} t;

static int start(void **state)
{
    (void)state;
    t.w = world_make(15);
    t.bob = keys_of(2);
    t.carol = keys_of(3);
    t.r = roster_of(&t.w);
    struct item b = make_member(&t.w, &t.w.creator, &t.bob, "bob", 5);
    struct item c = make_member(&t.w, &t.w.creator, &t.carol, "carol", 6);
    add(t.r, &b);
    add(t.r, &c);
    (void)settle(t.r);
    return 0;
}

PV_TEST_WORLD(start, NULL);

static void assert_is(const struct keys *node, const char *name, uint8_t last)
{
    const struct pv_member *m = pv_roster_by_node(t.r, node->pk);
    assert_non_null(m);
    assert_string_equal(m->name, name);
    assert_int_equal(m->ip4.ip[3], last);
    assert_ptr_equal(pv_roster_by_name(t.r, name), m);
    assert_ptr_equal(pv_roster_by_ip(t.r, &m->ip4), m);
}

static struct heard place(const struct keys *by, const struct keys *node, const char *name,
                          uint16_t ip, uint64_t serial)
{
    struct item it = make_place(&t.w, by, node, name, ip, serial);
    add(t.r, &it);
    return settle(t.r);
}

PV_TEST(a_member_is_where_its_newest_place_says)
{
    assert_int_equal(pv_roster_next_serial(t.r, t.bob.pk), 1);
    assert_int_equal(place(&t.bob, &t.bob, "rob", 5, 1).changed, 1);
    assert_is(&t.bob, "rob", 5);
    assert_int_equal(place(&t.bob, &t.bob, "rob", 9, 3).changed, 1);
    assert_is(&t.bob, "rob", 9);
    assert_int_equal(place(&t.bob, &t.bob, "bert", 7, 2).changed, 0); /* older than that */
    assert_is(&t.bob, "rob", 9);
    assert_int_equal(pv_roster_next_serial(t.r, t.bob.pk), 4);
    assert_int_equal(place(&t.bob, &t.bob, "bob", 5, 4).changed, 1); /* back again */
    assert_is(&t.bob, "bob", 5);
}

PV_TEST(its_first_name_stays_its_own)
{
    (void)place(&t.bob, &t.bob, "rob", 9, 1);
    assert_null(pv_roster_by_name(t.r, "bob"));
    assert_false(pv_roster_name_is_free(t.r, "bob", t.carol.pk));
    assert_true(pv_roster_name_is_free(t.r, "bob", t.bob.pk));
    assert_int_equal(place(&t.carol, &t.carol, "bob", 6, 1).refused, 1);
    assert_is(&t.carol, "carol", 6); /* who loses a name keeps the old one, and stays a member */
    const uint8_t five[4] = {10, 66, 0, 5}, seven[4] = {10, 66, 0, 7};
    assert_false(pv_roster_ip4_is_free(t.r, five, t.carol.pk));
    assert_true(pv_roster_ip4_is_free(t.r, seven, t.carol.pk));
}

PV_TEST(a_removed_node_leaves_name_and_address_to_its_successor)
{
    struct keys fresh = keys_of(4);
    struct item m = make_member(&t.w, &t.w.creator, &fresh, "bob-2", 8);
    add(t.r, &m);
    (void)settle(t.r);
    struct item gone = make_revocation(&t.w, &t.w.creator, PV_REVOKE_NODE, t.bob.pk, NULL, 0);
    add(t.r, &gone);
    (void)settle(t.r);
    assert_int_equal(place(&t.w.creator, &fresh, "bob", 5, 1).changed, 1);
    assert_is(&fresh, "bob", 5);
    struct pv_roster_former former;
    assert_int_equal(pv_roster_former(t.r, pv_roster_by_name(t.r, "bob"), &former), PV_OK);
    assert_memory_equal(former.node, t.bob.pk, PV_SIGN_PK_LEN);
}

PV_TEST(a_signer_that_may_not_say_it_changes_nothing)
{
    struct item it = make_place(&t.w, &t.carol, &t.bob, "fool", 9, 9);
    enum pv_roster_added added;
    assert_int_equal(add_status(t.r, &it, &added), PV_OK);
    assert_int_equal(added, PV_ROSTER_ORPHAN); /* carol may become an admin yet */
    (void)settle(t.r);
    assert_is(&t.bob, "bob", 5);
    struct item grant = make_admin(&t.w, &t.w.root, &t.carol, PV_RIGHT_INVITE);
    add(t.r, &grant);
    (void)settle(t.r);
    assert_is(&t.bob, "fool", 9);
    /* A former admin's word in office stays; afterwards its word is nothing. */
    uint8_t hash[PV_STATEMENT_HASH_LEN];
    pv_statement_hash(pv_view(grant.s.raw, grant.s.len), hash);
    struct item end = make_end(&t.w, &t.w.root, t.carol.pk, hash, NULL, 0);
    add(t.r, &end);
    (void)settle(t.r);
    assert_is(&t.bob, "fool", 9);
    (void)place(&t.carol, &t.bob, "knave", 10, 10);
    assert_is(&t.bob, "fool", 9);
    (void)place(&t.w.root, &t.bob, "bob", 5, 11);
    assert_is(&t.bob, "bob", 5);
}

PV_TEST(a_place_outside_the_network_is_refused)
{
    enum pv_roster_added added;
    struct item it = make_place(&t.w, &t.bob, &t.bob, "home", 9, 1); /* the network's own name */
    assert_int_equal(add_status(t.r, &it, &added), PV_ERR_MALFORMED);
    struct pv_statement st = {.type = PV_ST_PLACE};
    memcpy(st.u.place.node, t.bob.pk, sizeof(st.u.place.node));
    st.u.place.serial = 1;
    memcpy(st.u.place.name, "rob", 3);
    memcpy(st.u.place.ip4, (const uint8_t[]){192, 168, 1, 1}, 4);
    it = make_statement(&t.w, &st, &t.bob);
    assert_int_equal(add_status(t.r, &it, &added), PV_ERR_MALFORMED);
}

PV_TEST(of_a_node_eight_places_are_kept)
{
    char name[8];
    for (unsigned i = 1; i <= 12; i++) {
        snprintf(name, sizeof(name), "n%u", i);
        (void)place(&t.bob, &t.bob, name, (uint16_t)(20 + i), i);
    }
    assert_is(&t.bob, "n12", 32);
    assert_true(pv_roster_name_is_free(t.r, "n4", t.carol.pk));
    size_t n = 0;
    for (const struct pv_roster_entry *e = pv_roster_next_entry(t.r, NULL); e != NULL;
         e = pv_roster_next_entry(t.r, e))
        n += e->st.type == PV_ST_PLACE;
    assert_int_equal(n, 8);
}

/* The owner has one name and one address for each, so it hears of the former node's end first,
 * whichever of the two statements came first. */
PV_TEST(a_former_node_is_told_gone_before_its_successor_takes_its_place)
{
    struct keys fresh = keys_of(4);
    struct item m = make_member(&t.w, &t.w.creator, &fresh, "bob-2", 8);
    struct item taken = make_place(&t.w, &t.w.creator, &fresh, "bob", 5, 1);
    struct item gone = make_revocation(&t.w, &t.w.creator, PV_REVOKE_NODE, t.bob.pk, NULL, 0);
    for (int order = 0; order < 2; order++) {
        struct pv_roster *r = roster_of(&t.w);
        struct item b = make_member(&t.w, &t.w.creator, &t.bob, "bob", 5);
        add(r, &m);
        add(r, &b);
        (void)settle(r);
        add(r, order == 0 ? &taken : &gone);
        add(r, order == 0 ? &gone : &taken);
        struct pv_roster_event ev;
        enum pv_roster_event_type told[2] = {PV_ROSTER_EV_STATEMENT, PV_ROSTER_EV_STATEMENT};
        size_t n = 0;
        while (pv_roster_poll_event(r, &ev) == PV_OK) {
            bool member =
                ev.type == PV_ROSTER_EV_MEMBER_GONE || ev.type == PV_ROSTER_EV_MEMBER_CHANGED;
            if (member && n < PV_ARRAY_LEN(told))
                told[n++] = ev.type;
        }
        assert_int_equal(n, 2);
        assert_int_equal(told[0], PV_ROSTER_EV_MEMBER_GONE);
        assert_int_equal(told[1], PV_ROSTER_EV_MEMBER_CHANGED);
    }
}

/* Members may let in by address, so what another machine had is nobody's for a while. */
PV_TEST(an_address_rests_when_its_machine_has_gone)
{
    const uint8_t five[4] = {10, 66, 0, 5}, nine[4] = {10, 66, 0, 9};
    assert_int_equal(pv_roster_ip4_rests(t.r, nine, t.carol.pk), 0);
    assert_int_equal(pv_roster_ip4_rests(t.r, five, t.bob.pk), 0); /* its own */
    struct item gone = make_revocation(&t.w, &t.w.creator, PV_REVOKE_NODE, t.bob.pk, NULL, 0);
    receipt_at(&t.w, &gone, t.w.epoch, t.w.n++, T0 + 1000);
    add(t.r, &gone);
    (void)settle(t.r);
    assert_true(pv_roster_ip4_is_free(t.r, five, t.carol.pk));
    assert_int_equal(pv_roster_ip4_rests(t.r, five, t.carol.pk), T0 + 1000 + PV_ROSTER_REST);
    /* One that moves lets go of where it was: its first address stays its own. */
    const uint8_t six[4] = {10, 66, 0, 6};
    struct item to = make_place(&t.w, &t.carol, &t.carol, "carol", 9, 1);
    struct item on = make_place(&t.w, &t.carol, &t.carol, "carol", 10, 2);
    receipt_at(&t.w, &on, t.w.epoch, t.w.n++, T0 + 2000);
    add(t.r, &to);
    add(t.r, &on);
    (void)settle(t.r);
    assert_int_equal(pv_roster_ip4_rests(t.r, nine, t.w.creator.pk), T0 + 2000 + PV_ROSTER_REST);
    assert_false(pv_roster_ip4_is_free(t.r, six, t.w.creator.pk));
}

static bool only_five_and_six(const void *ctx, uint32_t ip4)
{
    (void)ctx;
    return ip4 != 0x0a420005 && ip4 != 0x0a420006;
}

PV_TEST(newcomers_get_an_address_that_nobody_had_or_the_one_let_go_first)
{
    struct keys fresh = keys_of(4);
    uint32_t ip4 = 0, next = 0;
    assert_int_equal(pv_roster_free_ip4(t.r, fresh.pk, NULL, NULL, &ip4), PV_OK);
    struct keys first = keys_of(5);
    struct item m = make_member(&t.w, &t.w.creator, &first, "first", (uint16_t)ip4);
    struct item left = make_leave(&t.w, &first, 1);
    add(t.r, &m);
    add(t.r, &left);
    (void)settle(t.r);
    assert_int_equal(pv_roster_free_ip4(t.r, fresh.pk, NULL, NULL, &next), PV_OK);
    assert_int_not_equal(next, ip4); /* the one that left had it */
    assert_int_equal(pv_roster_free_ip4(t.r, first.pk, only_five_and_six, NULL, &next),
                     PV_ERR_LIMIT);
    /* carol goes before bob. */
    struct item c = make_revocation(&t.w, &t.w.creator, PV_REVOKE_NODE, t.carol.pk, NULL, 0);
    struct item b = make_revocation(&t.w, &t.w.creator, PV_REVOKE_NODE, t.bob.pk, NULL, 0);
    add(t.r, &c);
    add(t.r, &b);
    (void)settle(t.r);
    assert_int_equal(pv_roster_free_ip4(t.r, fresh.pk, only_five_and_six, NULL, &next), PV_OK);
    assert_int_equal(next, 0x0a420006);
}

/* A coordinator gives no receipt for an address that rests; a node that asks none has none. */
PV_TEST(a_node_moves_itself_to_another_address_only_with_a_receipt)
{
    struct item bare = make_place(&t.w, &t.bob, &t.bob, "rob", 5, 1);
    bare.r_len = 0;
    add(t.r, &bare);
    assert_int_equal(settle(t.r).changed, 1);
    assert_is(&t.bob, "rob", 5); /* another name at its own address */
    struct item move = make_place(&t.w, &t.bob, &t.bob, "rob", 9, 2), told = move;
    move.r_len = 0;
    add(t.r, &move);
    assert_int_equal(settle(t.r).changed, 0);
    assert_is(&t.bob, "rob", 5);
    add(t.r, &told);
    assert_int_equal(settle(t.r).changed, 1);
    assert_is(&t.bob, "rob", 9);
    struct item by_admin = make_place(&t.w, &t.w.creator, &t.bob, "rob", 12, 3);
    by_admin.r_len = 0;
    add(t.r, &by_admin);
    assert_int_equal(settle(t.r).changed, 1);
    assert_is(&t.bob, "rob", 12);
}

PV_TEST(the_former_owner_of_an_address_is_known)
{
    struct pv_roster_former former;
    const struct pv_member *carol = pv_roster_by_node(t.r, t.carol.pk);
    assert_int_equal(pv_roster_former_ip4(t.r, carol, &former), PV_ERR_NOT_FOUND);
    struct item gone = make_revocation(&t.w, &t.w.creator, PV_REVOKE_NODE, t.bob.pk, NULL, 0);
    add(t.r, &gone);
    (void)settle(t.r);
    (void)place(&t.w.creator, &t.carol, "carol", 5, 1);
    assert_is(&t.carol, "carol", 5);
    assert_int_equal(pv_roster_former_ip4(t.r, carol, &former), PV_OK);
    assert_memory_equal(former.node, t.bob.pk, PV_SIGN_PK_LEN);
    assert_int_equal(pv_roster_former(t.r, carol, &former), PV_ERR_NOT_FOUND);
    (void)place(&t.w.creator, &t.carol, "cara", 6, 2); /* back, by another name */
    assert_int_equal(pv_roster_former_ip4(t.r, carol, &former), PV_ERR_NOT_FOUND);
}
