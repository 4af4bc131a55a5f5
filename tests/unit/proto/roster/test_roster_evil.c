/* SPDX-License-Identifier: MIT */
/* A coordinator that lies, and members that cheat: refused or found out. */
#include "roster_fixture.h"

static enum pv_roster_added added;

/* A network with an invite for five. */
struct net {
    struct world w;
    struct pv_roster *r;
    struct keys invite, bob, carol;
};

static struct net net_make(unsigned seed)
{
    struct net n = {
        .w = world_make(seed), .invite = keys_of(1), .bob = keys_of(2), .carol = keys_of(3)};
    n.r = roster_of(&n.w);
    (void)learn(n.r, make_invite(&n.w, &n.w.creator, &n.invite, 5));
    return n;
}

/* --- it adds a machine ----------------------------------------------------------------------- */

PV_TEST(the_coordinator_cannot_add_a_member_by_itself)
{
    struct net n = net_make(1);
    struct item by_itself = make_member(&n.w, &n.w.coordinator, &n.bob, "bob", 1);

    assert_ok(add_status(n.r, &by_itself, &added));
    assert_int_equal(added, PV_ROSTER_ORPHAN);
    assert_int_equal(settle(n.r).added, 0);

    /* An invite of its own making does not help: nobody with the right signed it. */
    struct keys own = keys_of(9);
    struct item inv = make_invite(&n.w, &n.w.coordinator, &own, 1);
    struct item mem = make_member(&n.w, &own, &n.bob, "bob", 1);
    assert_ok(add_status(n.r, &inv, &added));
    assert_ok(add_status(n.r, &mem, &added));
    assert_int_equal(settle(n.r).added, 0);
    assert_null(pv_roster_by_node(n.r, n.bob.pk));
}

PV_TEST(a_member_cannot_admit_or_revoke)
{
    struct net n = net_make(2);
    struct item bob = make_member(&n.w, &n.invite, &n.bob, "bob", 1);
    struct item carol = make_member(&n.w, &n.bob, &n.carol, "carol", 2);
    struct item rev = make_revocation(&n.w, &n.bob, PV_REVOKE_NODE, n.w.creator.pk, NULL, 0);

    add(n.r, &bob);
    settle(n.r);
    assert_ok(add_status(n.r, &carol, &added));
    assert_ok(add_status(n.r, &rev, &added));
    struct heard h = settle(n.r);
    assert_int_equal(h.added, 0);
    assert_int_equal(h.gone, 0);
}

PV_TEST(an_invited_member_without_a_receipt_is_not_merged)
{
    struct net n = net_make(3);
    struct item bob = make_member(&n.w, &n.invite, &n.bob, "bob", 1);

    bob.r_len = 0;
    assert_int_equal(add_status(n.r, &bob, &added), PV_ERR_REFUSED);
    assert_int_equal(settle(n.r).added, 0);
}

PV_TEST(an_invited_member_cannot_give_itself_an_expiry)
{
    struct net n = net_make(4);
    struct pv_st_member f = member_fields(&n.bob, "bob", 1, 0);
    f.expires = T0 + 10;
    struct item bob = make_member_f(&n.w, &n.invite, &n.bob, &f);

    assert_int_equal(check_member(n.r, &bob, T0), PV_ERR_REFUSED);
    add(n.r, &bob);
    struct heard h = settle(n.r);
    assert_int_equal(h.added, 0);
    assert_int_equal(h.refused, 1);
}

/* --- it alters what others signed ------------------------------------------------------------ */

PV_TEST(every_altered_byte_is_noticed)
{
    struct net n = net_make(5);
    struct item bob = make_member(&n.w, &n.invite, &n.bob, "bob", 1);

    for (size_t i = 0; i < bob.s.len; i++) {
        struct item bad = bob;
        bad.s.raw[i] ^= 1;
        receipt_next(&n.w, &bad); /* a fresh, valid receipt for the altered bytes */
        int status = add_status(n.r, &bad, &added);
        assert_true(status != PV_OK || added == PV_ROSTER_ORPHAN);
    }
    assert_int_equal(settle(n.r).added, 0);
    assert_null(pv_roster_by_name(n.r, "bob"));
}

PV_TEST(a_name_or_address_changed_by_the_invites_holder_is_noticed)
{
    /* Coordinator and invite together: they can sign anew, but not for the node. */
    struct net n = net_make(6);
    struct item bob = make_member(&n.w, &n.invite, &n.bob, "bob", 1);
    struct pv_statement st;
    assert_ok(pv_statement_decode(pv_view(bob.s.raw, bob.s.len), &st));

    st.u.member.ip4[3] = 99;
    struct item other_ip = make_statement(&n.w, &st, &n.invite);
    assert_int_equal(add_status(n.r, &other_ip, &added), PV_ERR_AUTH);
    st.u.member.ip4[3] = 1;
    st.u.member.name[0] = 'r';
    struct item other_name = make_statement(&n.w, &st, &n.invite);
    assert_int_equal(add_status(n.r, &other_name, &added), PV_ERR_AUTH);
}

PV_TEST(claims_against_the_networks_rules_are_refused)
{
    struct net n = net_make(7);
    struct pv_st_member f = member_fields(&n.bob, "home", 1, 0);
    struct item it = make_member_f(&n.w, &n.invite, &n.bob, &f);
    assert_int_equal(add_status(n.r, &it, &added), PV_ERR_MALFORMED); /* the network's name */

    f = member_fields(&n.bob, "bob", 0, 0);
    it = make_member_f(&n.w, &n.invite, &n.bob, &f);
    assert_int_equal(add_status(n.r, &it, &added), PV_ERR_MALFORMED); /* network address */
    f = member_fields(&n.bob, "bob", 0xffff, 0);
    it = make_member_f(&n.w, &n.invite, &n.bob, &f);
    assert_int_equal(add_status(n.r, &it, &added), PV_ERR_MALFORMED); /* broadcast address */
    f = member_fields(&n.bob, "bob", 1, 0);
    f.ip4[1] = 67;
    it = make_member_f(&n.w, &n.invite, &n.bob, &f);
    assert_int_equal(add_status(n.r, &it, &added), PV_ERR_MALFORMED); /* out of range */

    struct pv_statement st = {.type = PV_ST_MEMBER};
    st.u.member = member_fields(&n.bob, "bob", 1, 0);
    memcpy(st.network_id, n.w.created.network_id, sizeof(st.network_id));
    memcpy(st.u.member.node, n.bob.pk, 32);
    pv_node_ip6(st.network_id, n.carol.pk, st.u.member.ip6); /* somebody else's ip6 */
    struct item it6;
    assert_ok(pv_statement_make(&st, pv_signer_sk(n.invite.sk), n.bob.sk, it6.s.raw,
                                sizeof(it6.s.raw), &it6.s.len));
    receipt_next(&n.w, &it6);
    assert_int_equal(add_status(n.r, &it6, &added), PV_ERR_MALFORMED);
}

/* --- receipts -------------------------------------------------------------------------------- */

PV_TEST(a_forged_receipt_is_refused)
{
    struct net n = net_make(8);
    struct item bob = make_member(&n.w, &n.invite, &n.bob, "bob", 1);
    struct world other = n.w;

    other.coordinator = keys_of(77); /* signs well, stands in no record */
    struct item forged = bob;
    receipt_at(&other, &forged, T0, 50, T0 + 50);
    assert_ok(add_status(n.r, &forged, &added));
    assert_int_equal(added, PV_ROSTER_ORPHAN);
    struct item broken = bob;
    broken.r[PV_RECEIPT_LEN - 1] ^= 1;
    assert_int_equal(add_status(n.r, &broken, &added), PV_ERR_AUTH);
    struct item foreign = bob;
    struct item carol = make_member(&n.w, &n.invite, &n.carol, "carol", 2);
    memcpy(foreign.r, carol.r, sizeof(foreign.r)); /* a good one, of another statement */
    assert_int_equal(add_status(n.r, &foreign, &added), PV_ERR_AUTH);
    assert_int_equal(settle(n.r).added, 0);

    add(n.r, &bob);
    assert_int_equal(settle(n.r).added, 1);
}

PV_TEST(one_number_for_two_statements_is_reported)
{
    struct net n = net_make(9);
    struct item bob = make_member(&n.w, &n.invite, &n.bob, "bob", 1);
    struct item carol = make_member(&n.w, &n.invite, &n.carol, "carol", 2);
    receipt_at(&n.w, &bob, T0, 40, T0 + 40);
    receipt_at(&n.w, &carol, T0, 40, T0 + 40);

    add(n.r, &bob);
    settle(n.r);
    add(n.r, &carol);
    struct heard h = settle(n.r);
    assert_int_equal(h.breaks, 1);
    assert_has(h.text, "contradicts itself");
    /* Nobody can tell which of the two is the lie, so it takes nothing from either. */
    assert_int_equal(pv_roster_count(n.r), 3);
}

PV_TEST(a_receipt_dated_against_its_number_is_reported)
{
    struct net n = net_make(10);
    struct keys dave = keys_of(4), erin = keys_of(5);
    struct item bob = make_member(&n.w, &n.invite, &n.bob, "bob", 1);
    struct item carol = make_member(&n.w, &n.invite, &n.carol, "carol", 2);
    struct item late = make_member(&n.w, &n.invite, &dave, "dave", 3);
    struct item fits = make_member(&n.w, &n.invite, &erin, "erin", 4);
    receipt_at(&n.w, &bob, T0, 40, T0 + 1000);
    receipt_at(&n.w, &fits, T0, 39, T0 + 1000);
    receipt_at(&n.w, &carol, T0, 41, T0 + 999); /* later number, earlier time */
    receipt_at(&n.w, &late, T0, 38, T0 + 1001); /* earlier number, later time */

    add(n.r, &bob);
    add(n.r, &fits);
    assert_int_equal(settle(n.r).breaks, 0);
    add(n.r, &carol);
    assert_int_equal(settle(n.r).breaks, 1);
    add(n.r, &late);
    assert_int_equal(settle(n.r).breaks, 1);
}

PV_TEST(a_later_lie_about_the_time_takes_no_membership_away)
{
    /* The coordinator signs other receipts for bob's statement: lower ones, outside the window. */
    struct net n = net_make(11);
    struct item bob = make_member(&n.w, &n.invite, &n.bob, "bob", 1);
    struct item early = bob, late = bob;
    receipt_at(&n.w, &early, 1, 1, 5);
    receipt_at(&n.w, &late, T0, 90, T0 + 900000);

    for (int order = 0; order < 2; order++) {
        struct net m = net_make(11);
        add(m.r, order == 0 ? &bob : &early);
        settle(m.r);
        (void)add_status(m.r, order == 0 ? &early : &bob, &added);
        (void)add_status(m.r, &late, &added);
        settle(m.r);
        assert_non_null(pv_roster_by_name(m.r, "bob"));
        assert_int_equal(pv_roster_by_name(m.r, "bob")->joined, pv_load_be64(bob.r + 98));
        test_end(m.r);
    }
}

PV_TEST(the_lowest_receipt_counts)
{
    struct net n = net_make(12);
    struct item bob = make_member(&n.w, &n.invite, &n.bob, "bob", 1);
    struct item low = bob, high = bob;
    receipt_at(&n.w, &bob, T0, 50, T0 + 200000);
    receipt_at(&n.w, &high, T0, 51, T0 + 200001);
    receipt_at(&n.w, &low, T0, 49, T0 + 100);

    add(n.r, &bob);
    assert_int_equal(settle(n.r).added, 0);
    assert_ok(add_status(n.r, &high, &added));
    assert_int_equal(added, PV_ROSTER_KNOWN);
    add(n.r, &low); /* another coordinator's, say, that was there first */
    struct heard h = settle(n.r);
    assert_int_equal(h.added, 1);
    assert_int_equal(h.statements, 1);
    assert_int_equal(pv_roster_by_name(n.r, "bob")->joined, T0 + 100);
}

/* --- uses ------------------------------------------------------------------------------------ */

PV_TEST(a_coordinator_that_ignores_the_uses_is_named_and_throws_nobody_out)
{
    /* The coordinator, with somebody who knows the used up token, makes claims whose receipts come
     * before all others, and claims bob's name with one of them. */
    for (int order = 0; order < 2; order++) {
        struct world w = world_make(13);
        struct pv_roster *r = roster_of(&w);
        struct keys used = keys_of(1), other = keys_of(2), bob = keys_of(3), carol = keys_of(4),
                    ghosts[3] = {keys_of(5), keys_of(6), keys_of(7)};
        struct item honest[] = {
            make_invite(&w, &w.creator, &used, 1),
            make_invite(&w, &w.creator, &other, 1),
            make_member(&w, &used, &carol, "carol", 1),
            make_member(&w, &other, &bob, "bob", 2),
        };
        struct item lies[] = {
            make_member(&w, &used, &ghosts[0], "a", 11),
            make_member(&w, &used, &ghosts[1], "b", 12),
            make_member(&w, &used, &ghosts[2], "bob", 2),
        };
        for (size_t i = 0; i < 3; i++)
            receipt_at(&w, &lies[i], 1, 1 + i, T0 - 10); /* an epoch before the network's */
        for (size_t i = 0; i < 4; i++)
            add(r, &honest[i]);
        if (order == 0)
            settle(r); /* an old member; else a node that joins now */
        for (size_t i = 0; i < 3; i++)
            add(r, &lies[i]);
        struct heard h = settle(r);
        assert_memory_equal(pv_roster_by_name(r, "bob")->node, bob.pk, 32);
        assert_memory_equal(pv_roster_by_name(r, "carol")->node, carol.pk, 32);
        assert_true(h.breaks >= 1);
        assert_int_equal(h.gone, 0);

        /* The remedy: those who are known stay, and all that the token brought is gone. */
        (void)learn(r, make_revocation(&w, &w.creator, PV_REVOKE_INVITE, used.pk, carol.pk, 1));
        assert_int_equal(pv_roster_count(r), 3);
        assert_non_null(pv_roster_by_name(r, "carol"));
        test_end(r);
    }
}

PV_TEST(an_honest_coordinator_lets_in_no_more_than_the_uses)
{
    struct world w = world_make(14);
    struct pv_roster *r = roster_of(&w);
    struct keys invite = keys_of(1), a = keys_of(2), b = keys_of(3);
    struct item inv = make_invite(&w, &w.creator, &invite, 1);
    struct item first = make_member(&w, &invite, &a, "a", 1);
    struct item second = make_member(&w, &invite, &b, "b", 2);

    add(r, &inv);
    add(r, &first);
    settle(r);
    assert_int_equal(check_member(r, &second, T0), PV_ERR_EXPIRED);
    /* A use is used up for good. */
    assert_int_equal(learn(r, make_leave(&w, &a, 1)).gone, 1);
    assert_int_equal(pv_roster_check_invite(r, invite.pk, keys_of(9).pk, T0), PV_ERR_EXPIRED);
}

/* --- conflicts ------------------------------------------------------------------------------- */

static void conflict_case(bool same_batch, bool low_first, bool by_name)
{
    struct net n = net_make(16);
    struct item low = make_member(&n.w, &n.invite, &n.bob, "bob", 1);
    struct item high =
        make_member(&n.w, &n.invite, &n.carol, by_name ? "bob" : "carol", by_name ? 2 : 1);
    const struct item *first = low_first ? &low : &high, *second = low_first ? &high : &low;

    add(n.r, first);
    if (!same_batch)
        assert_int_equal(settle(n.r).added, 1);
    add(n.r, second);
    struct heard h = settle(n.r);
    assert_int_equal(h.refused, 1);
    assert_int_equal(h.gone, !same_batch && !low_first);
    /* The earlier receipt, whatever came first and whatever was decided before. */
    assert_non_null(pv_roster_by_node(n.r, n.bob.pk));
    assert_int_equal(pv_roster_count(n.r), 2);
    assert_has(h.text, by_name ? "name" : "10.66.0.1");
    test_end(n.r);
}

PV_TEST(of_two_claims_the_one_with_the_earlier_receipt_counts)
{
    for (unsigned i = 0; i < 8; i++)
        conflict_case((i & 1) != 0, (i & 2) != 0, (i & 4) != 0);
}

PV_TEST(somebody_elses_transport_key_cannot_be_claimed)
{
    struct net n = net_make(17);
    struct item bob = make_member(&n.w, &n.invite, &n.bob, "bob", 1);
    struct pv_st_member f = member_fields(&n.carol, "carol", 2, 0);
    memcpy(f.transport, member_fields(&n.bob, "bob", 1, 0).transport, sizeof(f.transport));
    struct item carol = make_member_f(&n.w, &n.invite, &n.carol, &f);

    add(n.r, &bob);
    add(n.r, &carol);
    struct heard h = settle(n.r);
    assert_int_equal(h.added, 1);
    assert_int_equal(h.refused, 1);
    assert_memory_equal(pv_roster_by_transport(n.r, f.transport)->node, n.bob.pk, 32);
    assert_int_equal(check_member(n.r, &carol, T0), PV_ERR_EXISTS);

    /* Nor by a transport key statement; the member itself goes on under its old key. */
    struct pv_st_member g = member_fields(&n.carol, "carol", 2, 5);
    struct item own = make_member_f(&n.w, &n.invite, &n.carol, &g);
    struct pv_statement st = {.type = PV_ST_TRANSPORT};
    st.u.transport.serial = 6;
    memcpy(st.u.transport.transport, f.transport, 32);
    struct item steal = make_statement(&n.w, &st, &n.carol);
    add(n.r, &own);
    add(n.r, &steal);
    h = settle(n.r);
    assert_int_equal(h.added, 1);
    assert_int_equal(h.refused, 1);
    assert_memory_equal(pv_roster_by_transport(n.r, f.transport)->node, n.bob.pk, 32);
    assert_memory_equal(pv_roster_by_node(n.r, n.carol.pk)->transport, g.transport, 32);
}

PV_TEST(taken_names_and_addresses_are_told_before_a_receipt_is_given)
{
    struct net n = net_make(18);
    (void)learn(n.r, make_member(&n.w, &n.invite, &n.bob, "bob", 1));
    struct item name = make_member(&n.w, &n.invite, &n.carol, "bob", 2);
    struct item ip = make_member(&n.w, &n.invite, &n.carol, "carol", 1);
    struct item ok = make_member(&n.w, &n.invite, &n.carol, "carol", 2);
    struct item unknown = make_member(&n.w, &n.carol, &n.carol, "carol", 2);
    assert_int_equal(check_member(n.r, &name, T0), PV_ERR_EXISTS);
    assert_int_equal(check_member(n.r, &ip, T0), PV_ERR_EXISTS);
    assert_ok(check_member(n.r, &ok, T0));
    assert_int_equal(check_member(n.r, &ok, T0 + 200000), PV_ERR_EXPIRED);
    assert_int_equal(check_member(n.r, &unknown, T0), PV_ERR_NOT_FOUND);
    ok.s.raw[ok.s.len - 1] ^= 1;
    assert_int_equal(check_member(n.r, &ok, T0), PV_ERR_AUTH);
}

/* --- it withholds, replays, confuses --------------------------------------------------------- */

PV_TEST(a_withheld_revocation_shows_in_the_head)
{
    struct net a = net_make(19), b = net_make(19);
    struct item bob = make_member(&a.w, &a.invite, &a.bob, "bob", 1);
    struct item rev = make_revocation(&a.w, &a.w.creator, PV_REVOKE_NODE, a.bob.pk, NULL, 0);

    add(a.r, &bob);
    add(b.r, &bob);
    settle(a.r);
    settle(b.r);
    assert_true(same_head(a.r, b.r));
    add(a.r, &rev);
    settle(a.r);
    assert_false(same_head(a.r, b.r));
    /* The two compare buckets; exactly one differs, and it holds the revocation. */
    size_t differ = 0;
    for (unsigned i = 0; i < PV_ROSTER_BUCKETS; i++)
        differ +=
            pv_roster_bucket_digest(a.r, (uint8_t)i) != pv_roster_bucket_digest(b.r, (uint8_t)i);
    assert_int_equal(differ, 1);
    add(b.r, &rev);
    assert_int_equal(settle(b.r).gone, 1);
    assert_true(same_head(a.r, b.r));
}

PV_TEST(replaying_an_old_roster_changes_nothing)
{
    struct net n = net_make(20);
    struct item bob = make_member(&n.w, &n.invite, &n.bob, "bob", 1);
    struct item rev = make_revocation(&n.w, &n.w.creator, PV_REVOKE_NODE, n.bob.pk, NULL, 0);
    uint8_t before[32], after[32];

    add(n.r, &bob);
    add(n.r, &rev);
    settle(n.r);
    pv_roster_head(n.r, before);
    struct world again = world_make(20);
    struct item old[] = {item_of_long(&again, &n.w.created.coordinators),
                         item_of(&again, &n.w.created.admin), item_of(&again, &n.w.created.member),
                         bob};
    for (size_t i = 0; i < PV_ARRAY_LEN(old); i++) {
        assert_ok(add_status(n.r, &old[i], &added));
        assert_int_equal(added, PV_ROSTER_KNOWN);
    }
    struct heard h = settle(n.r);
    assert_int_equal(h.added, 0);
    assert_null(pv_roster_by_name(n.r, "bob"));
    pv_roster_head(n.r, after);
    assert_memory_equal(before, after, 32);
}

PV_TEST(a_removed_member_that_never_was_seen_stays_out)
{
    /* A new node gets the revocation before, with, or after the member statement. */
    for (int order = 0; order < 3; order++) {
        struct net n = net_make(21);
        struct item bob = make_member(&n.w, &n.invite, &n.bob, "bob", 1);
        struct item rev = make_revocation(&n.w, &n.w.creator, PV_REVOKE_NODE, n.bob.pk, NULL, 0);
        add(n.r, order == 2 ? &bob : &rev);
        if (order == 0)
            settle(n.r);
        add(n.r, order == 2 ? &rev : &bob);
        assert_int_equal(settle(n.r).added, 0);
        assert_null(pv_roster_by_node(n.r, n.bob.pk));
        assert_int_equal(pv_roster_known(n.r, n.bob.pk)->state, PV_MEMBER_REVOKED);
        test_end(n.r);
    }
}

PV_TEST(another_networks_record_and_statements_are_refused)
{
    struct world home = world_make(22), other = world_make(23);
    struct pv_rng rng = world_rng(&home);
    struct pv_roster *r = NULL;

    assert_int_equal(
        pv_roster_new(pv_made_view(&other.created.network), home.created.network_id, &rng, &r),
        PV_ERR_AUTH);
    assert_int_equal(pv_roster_new(pv_made_view(&home.created.admin), NULL, &rng, &r), PV_ERR_AUTH);
    struct pv_made bad = home.created.network;
    bad.raw[40] ^= 1;
    assert_int_not_equal(pv_roster_new(pv_made_view(&bad), home.created.network_id, &rng, &r),
                         PV_OK);
    assert_null(r);

    r = roster_of(&home);
    struct item foreign = item_of(&other, &other.created.admin);
    assert_int_equal(add_status(r, &foreign, &added), PV_ERR_AUTH);
    struct item record = item_of(&other, &other.created.network);
    assert_int_equal(add_status(r, &record, &added), PV_ERR_AUTH);
    record = item_of(&home, &home.created.network);
    assert_ok(add_status(r, &record, &added)); /* its own, with a receipt */
    assert_int_equal(added, PV_ROSTER_NEW);
}

PV_TEST(a_leave_cannot_be_made_for_somebody_else)
{
    struct net n = net_make(24);
    struct item bob = make_member(&n.w, &n.invite, &n.bob, "bob", 1);
    struct item leave = make_leave(&n.w, &n.w.coordinator, 1);
    add(n.r, &bob);
    settle(n.r);
    assert_ok(add_status(n.r, &leave, &added));
    assert_int_equal(added, PV_ROSTER_ORPHAN);
    assert_int_equal(settle(n.r).gone, 0);
}

PV_TEST(of_a_flood_of_own_statements_all_keep_the_same_few)
{
    struct world w = world_make(25);
    struct pv_roster *a = roster_of(&w);
    struct world again = world_make(25);
    struct pv_roster *b = roster_of(&again);
    struct item items[200];
    size_t size = pv_roster_size(a), dropped = 0;
    struct pv_roster_event ev;

    for (unsigned i = 0; i < 200; i++) {
        struct pv_statement st = {.type = PV_ST_TRANSPORT};
        st.u.transport.serial = i + 1;
        memset(st.u.transport.transport, (int)i + 1, 32);
        items[i] = make_statement(&w, &st, &w.creator);
    }
    for (unsigned i = 0; i < 200; i++) {
        add(a, &items[i]);
        while (pv_roster_poll_event(a, &ev) == PV_OK)
            dropped += ev.type == PV_ROSTER_EV_DROPPED;
        (void)add_status(b, &items[199 - i], &added);
        settle(b);
    }
    assert_true(same_head(a, b));
    assert_int_equal(pv_roster_size(a), size + PV_ROSTER_MAX_SELF);
    assert_int_equal(dropped, 200 - PV_ROSTER_MAX_SELF);
    assert_int_equal(pv_roster_by_name(a, "alice")->transport[0], 200);
}

PV_TEST(orphans_are_bounded_and_the_newest_kept)
{
    struct net n = net_make(26);
    struct keys invite = keys_of(60);
    struct item wanted = make_member(&n.w, &invite, &n.bob, "bob", 1);
    for (unsigned i = 0; i < PV_ROSTER_MAX_ORPHANS + 10; i++) {
        struct keys stranger = keys_of(5000 + i);
        struct item junk = make_leave(&n.w, &stranger, 1);
        assert_ok(add_status(n.r, &junk, &added));
        assert_int_equal(added, PV_ROSTER_ORPHAN);
    }
    assert_ok(add_status(n.r, &wanted, &added));
    assert_int_equal(learn(n.r, make_invite(&n.w, &n.w.creator, &invite, 1)).added, 1);
}
