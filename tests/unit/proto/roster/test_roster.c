/* SPDX-License-Identifier: MIT */
#include "crypto/hash.h"
#include "roster_fixture.h"

/* --- the honest life of a network ------------------------------------------------------------ */

PV_TEST(the_creator_is_a_member_and_admin)
{
    struct world w = world_make(1);
    struct pv_roster *r = roster_of(&w);
    const struct pv_member *m = pv_roster_by_node(r, w.creator.pk);

    assert_non_null(m);
    assert_string_equal(m->name, "alice");
    assert_int_equal(m->state, PV_MEMBER_ACTIVE);
    assert_int_equal(m->rights, PV_RIGHT_INVITE | PV_RIGHT_REVOKE);
    assert_int_equal(pv_addr_u32(&m->ip4), w.created.ip4);
    assert_ptr_equal(pv_roster_by_name(r, "alice"), m);
    assert_ptr_equal(pv_roster_by_ip(r, &m->ip4), m);
    assert_ptr_equal(pv_roster_by_ip(r, &m->ip6), m);
    assert_ptr_equal(pv_roster_by_transport(r, m->transport), m);
    assert_ptr_equal(pv_roster_next(r, NULL), m);
    assert_null(pv_roster_next(r, m));
    assert_int_equal(pv_roster_count(r), 1);
    assert_int_equal(pv_roster_size(r), 4);
    assert_string_equal(pv_roster_network(r)->name, "home");
    assert_memory_equal(pv_roster_root(r), w.root.pk, 32);
    assert_int_equal(pv_roster_rights(r, w.root.pk), 3);
    assert_true(pv_roster_is_coordinator(r, w.coordinator.pk));
    assert_false(pv_roster_is_coordinator(r, w.creator.pk));
    assert_true(pv_roster_coordinators(r).len > 0);
    assert_null(pv_roster_by_name(r, "bob"));
}

PV_TEST(an_invited_node_becomes_a_member)
{
    struct world w = world_make(2);
    struct pv_roster *r = roster_of(&w);
    struct keys invite = keys_of(1), bob = keys_of(2);
    struct item inv = make_invite(&w, &w.creator, &invite, 1);
    struct item mem = make_member(&w, &invite, &bob, "bob", 0x0102);

    add(r, &inv);
    assert_ok(pv_roster_check_invite(r, invite.pk, bob.pk, T0 + 5));
    assert_ok(check_member(r, &mem, T0 + 5));
    add(r, &mem);
    struct heard h = settle(r);
    assert_int_equal(h.added, 1);
    assert_int_equal(h.statements, 2);
    assert_int_equal(h.refused, 0);
    assert_non_null(pv_roster_by_name(r, "bob"));
    assert_memory_equal(pv_roster_by_name(r, "bob")->admitted_by, invite.pk, 32);

    struct pv_roster_invite info;
    assert_ok(pv_roster_invite(r, invite.pk, &info));
    assert_int_equal(info.used, 1);
    assert_int_equal(info.uses, 1);
    assert_false(info.revoked);
    struct keys carol = keys_of(3);
    assert_int_equal(pv_roster_check_invite(r, invite.pk, carol.pk, T0 + 5), PV_ERR_EXPIRED);
    assert_ok(pv_roster_check_invite(r, invite.pk, bob.pk, T0 + 5));
    assert_ok(check_member(r, &mem, T0 + 5));
}

PV_TEST(the_window_has_ten_minutes_of_slack_and_no_more)
{
    static const struct {
        uint64_t time;
        bool ok;
    } rows[] = {
        {T0 - 600, true},
        {T0 - 601, false},
        {T0 + 86400 + 600, true},
        {T0 + 86400 + 601, false},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct world w = world_make(3);
        struct keys invite = keys_of(1), bob = keys_of(2);
        w.time = T0 - 1000;
        struct pv_roster *r = roster_of(&w);
        struct item inv = make_invite(&w, &w.creator, &invite, 1);
        struct item mem = make_member(&w, &invite, &bob, "bob", 1);
        receipt_at(&w, &mem, T0, 1000, rows[i].time);
        add(r, &inv);
        add(r, &mem);
        struct heard h = settle(r);
        assert_int_equal(h.added == 1, rows[i].ok);
        assert_int_equal(h.refused == 1, !rows[i].ok);
        assert_int_equal(pv_roster_check_invite(r, invite.pk, bob.pk, rows[i].time) == PV_OK,
                         rows[i].ok);
        test_end(r);
    }
}

PV_TEST(statements_may_arrive_in_any_order)
{
    struct world w = world_make(4);
    struct pv_roster *a = roster_of(&w), *b = NULL;
    struct keys invite = keys_of(1), bob = keys_of(2), helper = keys_of(5), sub = keys_of(6),
                carol = keys_of(7);
    struct item items[9];
    size_t n = 0;
    struct world again = world_make(4);

    items[n++] = item_of_long(&again, &w.created.coordinators);
    items[n++] = item_of(&again, &w.created.admin);
    items[n++] = item_of(&again, &w.created.member);
    items[n++] = make_invite(&w, &w.creator, &invite, 1);
    items[n++] = make_member(&w, &invite, &bob, "bob", 1);
    items[n++] = make_admin(&w, &w.root, &helper, PV_RIGHT_INVITE);
    items[n++] = make_invite(&w, &helper, &sub, 1);
    items[n++] = make_member(&w, &sub, &carol, "carol", 2);
    items[n++] = make_leave(&w, &bob, 1);
    for (size_t i = 3; i < n; i++)
        add(a, &items[i]);
    settle(a);
    assert_int_equal(pv_roster_count(a), 2);

    struct pv_rng rng = world_rng(&w);
    assert_ok(pv_roster_new(pv_made_view(&w.created.network), NULL, &rng, &b));
    test_defer(free_roster, b);
    for (size_t i = n; i-- > 0;) {
        enum pv_roster_added added;
        assert_ok(add_status(b, &items[i], &added));
    }
    settle(b);
    assert_true(same_head(a, b));
    assert_int_equal(pv_roster_count(b), 2);
    assert_non_null(pv_roster_by_name(b, "carol"));
    assert_null(pv_roster_by_name(b, "bob"));
    assert_int_equal(pv_roster_known(b, bob.pk)->state, PV_MEMBER_LEFT);
}

PV_TEST(adding_twice_changes_nothing)
{
    struct world w = world_make(5);
    struct pv_roster *r = roster_of(&w);
    struct keys invite = keys_of(1);
    struct item inv = make_invite(&w, &w.creator, &invite, 1);
    enum pv_roster_added added;

    add(r, &inv);
    settle(r);
    assert_ok(add_status(r, &inv, &added));
    assert_int_equal(added, PV_ROSTER_KNOWN);
    struct heard h = settle(r), none;
    memset(&none, 0, sizeof(none));
    assert_memory_equal(&h, &none, sizeof(h));
}

PV_TEST(a_node_that_left_may_come_back_with_a_higher_serial)
{
    struct world w = world_make(6);
    struct pv_roster *r = roster_of(&w);
    struct keys invite = keys_of(1), bob = keys_of(2);
    struct item inv = make_invite(&w, &w.creator, &invite, 1);
    struct item mem = make_member(&w, &invite, &bob, "bob", 1);
    struct item leave = make_leave(&w, &bob, 1);

    assert_int_equal(pv_roster_next_serial(r, bob.pk), 0);
    add(r, &inv);
    add(r, &mem);
    settle(r);
    assert_int_equal(pv_roster_next_serial(r, bob.pk), 1);
    add(r, &leave);
    struct heard h = settle(r);
    assert_int_equal(h.gone, 1);
    assert_null(pv_roster_by_name(r, "bob"));
    assert_int_equal(pv_roster_next_serial(r, bob.pk), 2);

    struct pv_st_member f = member_fields(&bob, "bob", 1, 1);
    struct item low = make_member_f(&w, &invite, &bob, &f);
    assert_int_equal(check_member(r, &low, T0), PV_ERR_REPLAY);
    add(r, &low);
    assert_int_equal(settle(r).added, 0);

    f.serial = 2;
    struct item back = make_member_f(&w, &invite, &bob, &f);
    assert_ok(check_member(r, &back, T0));
    add(r, &back);
    h = settle(r);
    assert_int_equal(h.added, 1);
    assert_int_equal(h.refused, 0);
    /* Its own invite again: not another use. */
    struct pv_roster_invite info;
    assert_ok(pv_roster_invite(r, invite.pk, &info));
    assert_int_equal(info.used, 1);
}

PV_TEST(a_removed_node_never_comes_back)
{
    struct world w = world_make(7);
    struct pv_roster *r = roster_of(&w);
    struct keys invite = keys_of(1), bob = keys_of(2);
    struct item inv = make_invite(&w, &w.creator, &invite, 5);
    struct item mem = make_member(&w, &invite, &bob, "bob", 1);
    struct item rev = make_revocation(&w, &w.creator, PV_REVOKE_NODE, bob.pk, NULL, 0);

    add(r, &inv);
    add(r, &mem);
    settle(r);
    add(r, &rev);
    assert_int_equal(settle(r).gone, 1);
    assert_int_equal(pv_roster_known(r, bob.pk)->state, PV_MEMBER_REVOKED);

    struct pv_st_member f = member_fields(&bob, "bob", 1, 9);
    struct item back = make_member_f(&w, &invite, &bob, &f);
    assert_int_equal(check_member(r, &back, T0), PV_ERR_REFUSED);
    assert_int_equal(pv_roster_check_invite(r, invite.pk, bob.pk, T0), PV_ERR_REFUSED);
    add(r, &back);
    struct heard h = settle(r);
    assert_int_equal(h.added, 0);
    assert_int_equal(h.refused, 1);
    char said[PV_ROSTER_REFUSED];
    assert_non_null(pv_roster_next_refused(r, NULL, w.creator.pk, said));
    assert_shows("said", said);
    assert_lacks(said, "ends this");
    assert_null(pv_roster_by_node(r, bob.pk));
}

PV_TEST(revoking_an_invite_keeps_those_who_stay)
{
    struct world w = world_make(8);
    struct pv_roster *r = roster_of(&w);
    struct keys invite = keys_of(1), bob = keys_of(2), carol = keys_of(3), dave = keys_of(4);
    struct item inv = make_invite(&w, &w.creator, &invite, 5);
    struct item m1 = make_member(&w, &invite, &bob, "bob", 1);
    struct item m2 = make_member(&w, &invite, &carol, "carol", 2);

    add(r, &inv);
    add(r, &m1);
    settle(r);

    struct pv_st_revocation what = {.kind = PV_REVOKE_INVITE, .time = T0};
    struct pv_made_long made;
    size_t iter = 0;
    memcpy(what.pk, invite.pk, sizeof(what.pk));
    assert_ok(pv_make_revocation(r, pv_signer_sk(w.creator.sk), &what, &iter, &made));
    assert_int_equal(iter, 0);
    struct item rev = item_of_long(&w, &made);

    add(r, &m2);
    assert_int_equal(settle(r).added, 1);
    add(r, &rev);
    struct heard h = settle(r);
    assert_int_equal(h.gone, 1); /* carol was not on the revoker's list */
    assert_int_equal(h.refused, 0);
    assert_non_null(pv_roster_by_name(r, "bob"));
    assert_null(pv_roster_by_name(r, "carol"));
    struct pv_roster_invite info;
    assert_ok(pv_roster_invite(r, invite.pk, &info));
    assert_true(info.revoked);

    struct item late = make_member(&w, &invite, &dave, "dave", 3);
    assert_int_equal(pv_roster_check_invite(r, invite.pk, dave.pk, T0), PV_ERR_REFUSED);
    add(r, &late);
    h = settle(r);
    assert_int_equal(h.added, 0);
    assert_int_equal(h.refused, 1);
}

PV_TEST(more_than_one_list_of_those_who_stay)
{
    struct world w = world_make(9);
    struct pv_roster *r = roster_of(&w);
    struct keys invite = keys_of(1);
    struct item inv = make_invite(&w, &w.creator, &invite, 200);
    enum {
        N = PV_ROSTER_STAY_MAX + 1
    };

    add(r, &inv);
    for (unsigned i = 0; i < N; i++) {
        struct keys node = keys_of(1000 + i);
        add_item(r, make_member(&w, &invite, &node, PV_STR("n%u", i), (uint16_t)(1 + i)));
    }
    assert_int_equal(settle(r).added, N);

    struct pv_st_revocation what = {.kind = PV_REVOKE_INVITE, .time = T0};
    size_t iter = 0, made_n = 0;
    memcpy(what.pk, invite.pk, sizeof(what.pk));
    do {
        struct pv_made_long made;
        assert_ok(pv_make_revocation(r, pv_signer_sk(w.creator.sk), &what, &iter, &made));
        add_item(r, item_of_long(&w, &made));
        made_n++;
    } while (iter != 0 && made_n < 10);
    assert_int_equal(made_n, 2);
    struct heard h = settle(r);
    assert_int_equal(h.gone, 0);
    assert_int_equal(pv_roster_count(r), N + 1);
}

PV_TEST(admins_have_the_rights_root_gave_and_no_more)
{
    struct world w = world_make(10);
    struct pv_roster *r = roster_of(&w);
    struct keys inviter = keys_of(1), revoker = keys_of(2), nobody = keys_of(3), inv = keys_of(4),
                bob = keys_of(5);
    struct item a1 = make_admin(&w, &w.root, &inviter, PV_RIGHT_INVITE);
    struct item a2 = make_admin(&w, &w.root, &revoker, PV_RIGHT_REVOKE);
    struct item a3 = make_admin(&w, &w.creator, &nobody, PV_RIGHT_INVITE);
    enum pv_roster_added added;

    add(r, &a1);
    add(r, &a2);
    assert_int_equal(add_status(r, &a3, &added), PV_ERR_REFUSED); /* only root makes admins */
    assert_int_equal(pv_roster_rights(r, nobody.pk), 0);

    struct item by_revoker = make_invite(&w, &revoker, &inv, 1);
    assert_ok(add_status(r, &by_revoker, &added));
    assert_int_equal(added, PV_ROSTER_ORPHAN);
    struct item by_nobody = make_invite(&w, &nobody, &inv, 1);
    assert_ok(add_status(r, &by_nobody, &added));
    assert_int_equal(added, PV_ROSTER_ORPHAN);
    add_item(r, make_invite(&w, &inviter, &inv, 1));
    assert_int_equal(learn(r, make_member(&w, &inv, &bob, "bob", 1)).added, 1);

    struct item rev = make_revocation(&w, &inviter, PV_REVOKE_NODE, bob.pk, NULL, 0);
    assert_ok(add_status(r, &rev, &added));
    assert_int_equal(added, PV_ROSTER_ORPHAN);
    assert_int_equal(settle(r).gone, 0);
    assert_int_equal(learn(r, make_revocation(&w, &revoker, PV_REVOKE_NODE, bob.pk, NULL, 0)).gone,
                     1);
}

PV_TEST(removing_an_admin_removes_what_it_admitted_unless_it_stays)
{
    struct world w = world_make(11);
    struct pv_roster *r = roster_of(&w);
    struct keys admin = keys_of(1), inv = keys_of(2), bob = keys_of(3), carol = keys_of(4),
                dave = keys_of(5);
    struct item items[] = {
        make_admin(&w, &w.root, &admin, 3),
        make_member(&w, &w.creator, &admin, "admin", 9),
        make_invite(&w, &admin, &inv, 5),
        make_member(&w, &inv, &bob, "bob", 1),
        make_member(&w, &admin, &carol, "carol", 2),
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(items); i++)
        add(r, &items[i]);
    assert_int_equal(settle(r).added, 3);

    struct heard h = learn(r, make_revocation(&w, &w.root, PV_REVOKE_NODE, admin.pk, bob.pk, 1));
    assert_int_equal(h.gone, 2); /* the admin and carol */
    assert_non_null(pv_roster_by_name(r, "bob"));
    assert_int_equal(pv_roster_rights(r, admin.pk), 0);
    assert_int_equal(pv_roster_check_invite(r, inv.pk, dave.pk, T0), PV_ERR_REFUSED);

    /* Nor may it revoke any more, though its statements stay in the set. */
    h = learn(r, make_revocation(&w, &admin, PV_REVOKE_NODE, w.creator.pk, NULL, 0));
    assert_int_equal(h.gone, 0);
    assert_int_equal(h.refused, 1);
    assert_has(h.text, "revokes something without the right to it");
    char said[PV_ROSTER_REFUSED];
    assert_null(pv_roster_next_refused(r, NULL, w.creator.pk, said)); /* nobody can end it */
}

PV_TEST(root_cannot_be_revoked)
{
    struct world w = world_make(12);
    struct pv_roster *r = roster_of(&w);
    struct keys inv = keys_of(1);
    struct item rev = make_revocation(&w, &w.creator, PV_REVOKE_NODE, w.root.pk, NULL, 0);
    struct item invite = make_invite(&w, &w.root, &inv, 1);

    add(r, &rev);
    add(r, &invite);
    settle(r);
    assert_int_equal(pv_roster_rights(r, w.root.pk), 3);
    assert_true(pv_roster_is_coordinator(r, w.coordinator.pk));
    struct keys bob = keys_of(2);
    assert_ok(pv_roster_check_invite(r, inv.pk, bob.pk, T0));
}

PV_TEST(a_transport_key_statement_replaces_the_key)
{
    struct world w = world_make(13);
    struct pv_roster *r = roster_of(&w);
    struct pv_statement st = {.type = PV_ST_TRANSPORT};
    st.u.transport.serial = 1;
    memset(st.u.transport.transport, 0x42, 32);
    struct item it = make_statement(&w, &st, &w.creator);

    add(r, &it);
    struct heard h = settle(r);
    assert_int_equal(h.changed, 1);
    uint8_t want[32];
    memset(want, 0x42, sizeof(want));
    assert_ptr_equal(pv_roster_by_transport(r, want), pv_roster_by_name(r, "alice"));
    memset(want, 0xa1, sizeof(want));
    assert_null(pv_roster_by_transport(r, want));
    assert_int_equal(pv_roster_next_serial(r, w.creator.pk), 2);
}

PV_TEST(a_former_transport_key_is_known_as_the_nodes)
{
    struct world w = world_make(13);
    struct pv_roster *r = roster_of(&w);
    uint8_t first[32], later[32], other[32];
    memset(first, 0xa1, sizeof(first));
    memset(other, 0x99, sizeof(other));
    for (uint8_t i = 1; i <= PV_ROSTER_MAX_SELF + 1; i++) {
        struct pv_st_transport st = {.serial = i, .time = T0};
        struct pv_made made;
        memset(st.transport, i, sizeof(st.transport));
        assert_ok(pv_make_transport(pv_roster_network_id(r), w.creator.sk, &st, &made));
        (void)learn(r, item_of(&w, &made));
    }
    const struct pv_member *alice = pv_roster_by_node(r, w.creator.pk);
    memset(later, PV_ROSTER_MAX_SELF + 1, sizeof(later));
    assert_memory_equal(alice->transport, later, 32);
    for (uint8_t i = 1; i <= PV_ROSTER_MAX_SELF + 1; i++) {
        memset(later, i, sizeof(later));
        assert_int_equal(pv_roster_had_transport(r, w.creator.pk, later),
                         i > 1); /* eight are kept */
    }
    assert_true(pv_roster_had_transport(r, w.creator.pk, first));
    assert_false(pv_roster_had_transport(r, w.creator.pk, other));
    assert_false(pv_roster_had_transport(r, w.root.pk, first));
}

PV_TEST(a_member_may_change_its_name_and_frees_the_old_one)
{
    struct world w = world_make(14);
    struct pv_roster *r = roster_of(&w);
    struct keys bob = keys_of(2), carol = keys_of(3);
    struct item m1 = make_member(&w, &w.creator, &bob, "bob", 1);
    struct item m2 = make_member(&w, &w.creator, &carol, "bob", 2);
    add(r, &m1);
    settle(r);
    add(r, &m2);
    struct heard h = settle(r);
    assert_int_equal(h.refused, 1);
    assert_null(pv_roster_by_node(r, carol.pk));

    struct pv_st_member f = member_fields(&bob, "robert", 1, 1);
    h = learn(r, make_member_f(&w, &w.creator, &bob, &f));
    assert_int_equal(h.changed, 1);
    assert_int_equal(h.added, 1); /* carol's claim was waiting for the name */
    assert_memory_equal(pv_roster_by_name(r, "bob")->node, carol.pk, 32);
    assert_memory_equal(pv_roster_by_name(r, "robert")->node, bob.pk, 32);
}

PV_TEST(the_newest_coordinators_record_wins)
{
    struct world w = world_make(15);
    struct pv_roster *r = roster_of(&w);
    struct keys other = keys_of(9);
    uint8_t list[128];
    struct pv_hostport hp = {.host = "198.51.100.7", .port = 3478};
    struct pv_writer writer = pv_writer(list, sizeof(list));
    pv_coordlist_put(&writer, other.pk, &hp, 1);
    struct pv_statement st = {.type = PV_ST_COORDINATORS};
    st.u.coordinators.seq = 2;
    st.u.coordinators.list = pv_written(&writer);
    struct item it = make_statement(&w, &st, &w.root);

    add(r, &it);
    assert_int_equal(settle(r).coordinators, 1);
    assert_true(pv_view_equal(pv_roster_coordinators(r), pv_written(&writer)));
    /* The old one's receipts stay good. */
    assert_true(pv_roster_is_coordinator(r, w.coordinator.pk));
    assert_true(pv_roster_is_coordinator(r, other.pk));
    st.u.coordinators.seq = 1;
    it = make_statement(&w, &st, &w.root);
    add(r, &it);
    assert_int_equal(settle(r).coordinators, 0);
}

PV_TEST(only_root_names_coordinators)
{
    struct world w = world_make(15);
    struct pv_roster *r = roster_of(&w);
    struct pv_statement st = {.type = PV_ST_COORDINATORS}, first;
    enum pv_roster_added added;
    assert_ok(pv_statement_decode(pv_view(w.created.coordinators.raw, w.created.coordinators.len),
                                  &first));
    st.u.coordinators = (struct pv_st_coordinators){.seq = 9, .list = first.u.coordinators.list};
    struct item it = make_statement(&w, &st, &w.creator);
    assert_int_equal(add_status(r, &it, &added), PV_ERR_REFUSED);
}

/* --- newer versions -------------------------------------------------------------------------- */

/* The roster refuses it, and nothing else comes of it. */
static void expect_refused(struct pv_roster *r, const struct item *it, int status)
{
    struct pv_roster_event ev;
    enum pv_roster_added added;
    const size_t size = pv_roster_size(r);

    settle(r);
    assert_int_equal(add_status(r, it, &added), status);
    assert_int_equal(pv_roster_size(r), size);
    assert_int_equal(pv_roster_poll_event(r, &ev), PV_ERR_AGAIN);
}

PV_TEST(a_statement_of_a_newer_version_is_refused_and_remembered)
{
    struct world w = world_make(16);
    struct pv_roster *r = roster_of(&w);
    struct item newer = make_newer(&w, &w.creator);

    assert_false(pv_roster_saw_newer(r));
    for (int i = 0; i < 2; i++) {
        expect_refused(r, &newer, PV_ERR_UNSUPPORTED);
        assert_true(pv_roster_saw_newer(r));
    }
}

/* Anybody can write the number 2. */
PV_TEST(a_newer_version_is_believed_only_by_the_signature_of_a_known_key)
{
    struct world w = world_make(16);
    struct pv_roster *r = roster_of(&w);
    struct keys stranger = keys_of(9), bob = keys_of(10);
    struct item newer = make_newer(&w, &w.creator), by_bob = make_newer(&w, &bob);
    const struct item bare_head = {.s = {.raw = {2, 77}, .len = 2}};
    struct item it = newer;

    expect_refused(r, &bare_head, PV_ERR_MALFORMED);
    for (size_t len = 0; len < newer.s.len; len++) {
        it.s.len = len;
        expect_refused(r, &it, len < 2 ? PV_ERR_TRUNCATED : PV_ERR_MALFORMED);
    }
    for (size_t i = 1; i < newer.s.len; i++) { /* of another type, network or signer, too */
        it = newer;
        it.s.raw[i] ^= 1;
        expect_refused(r, &it, PV_ERR_MALFORMED);
    }
    it = make_newer(&w, &stranger);
    expect_refused(r, &it, PV_ERR_MALFORMED);
    /* One who was removed is a stranger, too. */
    add_item(r, make_member(&w, &w.creator, &bob, "bob", 7));
    add_item(r, make_revocation(&w, &w.creator, PV_REVOKE_NODE, bob.pk, NULL, 0));
    expect_refused(r, &by_bob, PV_ERR_MALFORMED);
    assert_false(pv_roster_saw_newer(r));
}

PV_TEST(a_newer_receipt_is_believed_only_by_the_signature_of_a_coordinator)
{
    struct world w = world_make(16);
    struct pv_roster *r = roster_of(&w);
    struct keys bob = keys_of(10);
    struct item it = make_member(&w, &w.creator, &bob, "bob", 7);

    receipt_newer(&w, &it, &w.creator); /* a member, but no coordinator */
    expect_refused(r, &it, PV_ERR_MALFORMED);
    receipt_newer(&w, &it, &w.coordinator);
    it.r[it.r_len - 1] ^= 1;
    expect_refused(r, &it, PV_ERR_MALFORMED);
    assert_false(pv_roster_saw_newer(r));
    it.r[it.r_len - 1] ^= 1;
    expect_refused(r, &it, PV_ERR_UNSUPPORTED);
    assert_true(pv_roster_saw_newer(r));
}

/* It was verified by the newer version that stored it. */
PV_TEST(a_stored_statement_of_a_newer_version_is_remembered)
{
    struct world w = world_make(16);
    struct pv_roster *r = roster_of(&w);
    struct keys stranger = keys_of(9);
    const struct item it = make_newer(&w, &stranger);
    enum pv_roster_added added;

    assert_int_equal(
        pv_roster_load(r, pv_view(it.s.raw, it.s.len), NULL, pv_view(it.r, it.r_len), &added),
        PV_ERR_UNSUPPORTED);
    assert_true(pv_roster_saw_newer(r));
}

/* --- the set --------------------------------------------------------------------------------- */

PV_TEST(heads_and_buckets_are_the_documented_hashes)
{
    struct world w = world_make(17);
    struct pv_roster *r = roster_of(&w);
    uint8_t hashes[64][32], want[32], head[32], last[32] = {0};
    size_t n = 0;

    for (unsigned b = 0; b < PV_ROSTER_BUCKETS; b++) {
        const struct pv_roster_entry *e;
        size_t first = n;
        for (size_t i = 0; (e = pv_roster_bucket_at(r, (uint8_t)b, i)) != NULL; i++) {
            assert_int_equal(e->st.hash[0], b);
            assert_true(memcmp(last, e->st.hash, 32) < 0);
            memcpy(last, e->st.hash, 32);
            memcpy(hashes[n++], e->st.hash, 32);
            assert_ptr_equal(pv_roster_find(r, e->st.hash), e);
            assert_ptr_equal(pv_roster_find_prefix(r, e->st.hash), e);
        }
        pv_blake2b(want, pv_view(hashes[first], (n - first) * 32), pv_view(NULL, 0),
                   pv_view(NULL, 0));
        assert_int_equal(pv_roster_bucket_digest(r, (uint8_t)b),
                         n == first ? 0 : pv_load_be32(want));
    }
    assert_int_equal(n, pv_roster_size(r));
    pv_blake2b(want, pv_view(hashes, n * 32), pv_view(NULL, 0), pv_view(NULL, 0));
    pv_roster_head(r, head);
    assert_memory_equal(head, want, 32);
    uint8_t absent[32] = {1, 2, 3};
    assert_null(pv_roster_find(r, absent));
    assert_null(pv_roster_find_prefix(r, absent));

    size_t entries = 0;
    for (const struct pv_roster_entry *e = pv_roster_next_entry(r, NULL); e != NULL;
         e = pv_roster_next_entry(r, e))
        entries++;
    assert_int_equal(entries, n);
}

/* The contents of a store: statements in the order they were told, with their last receipt. */
struct disk {
    const struct pv_roster_entry *entries[64];
    size_t n;
};

static void save_events(struct pv_roster *r, struct disk *d)
{
    struct pv_roster_event ev;
    while (pv_roster_poll_event(r, &ev) == PV_OK) {
        bool known = false;
        for (size_t i = 0; i < d->n; i++)
            known = known || d->entries[i] == ev.entry;
        if (ev.type == PV_ROSTER_EV_STATEMENT && !known)
            d->entries[d->n++] = ev.entry;
    }
}

static struct pv_roster *load(struct world *w, const struct disk *d)
{
    struct pv_rng rng = world_rng(w);
    struct pv_roster *r = NULL;
    assert_int_equal(d->entries[0]->st.type, PV_ST_NETWORK);
    assert_ok(pv_roster_new(d->entries[0]->st.raw, NULL, &rng, &r));
    test_defer(free_roster, r);
    for (size_t i = 0; i < d->n; i++) {
        enum pv_roster_added added;
        assert_ok(pv_roster_add(r, d->entries[i]->st.raw, d->entries[i]->receipt, &added));
        settle(r);
    }
    return r;
}

PV_TEST(a_stored_roster_loads_as_it_was)
{
    for (int batches = 0; batches < 2; batches++) {
        struct world w = world_make(18);
        struct keys i1 = keys_of(1), i2 = keys_of(2), bob = keys_of(3), carol = keys_of(4),
                    dave = keys_of(5), erin = keys_of(6);
        struct item items[] = {
            item_of_long(&w, &w.created.coordinators),
            item_of(&w, &w.created.admin),
            item_of(&w, &w.created.member),
            make_invite(&w, &w.creator, &i1, 1),
            make_invite(&w, &w.creator, &i2, 9),
            make_member(&w, &i1, &bob, "bob", 1),
            make_member(&w, &i1, &carol, "carol", 2), /* used up */
            make_member(&w, &i2, &dave, "dave", 3),
            make_member(&w, &i2, &erin, "dave", 4), /* the name is taken */
        };
        struct disk d = {.n = 0};
        struct pv_rng rng = world_rng(&w);
        struct pv_roster *a = NULL;
        assert_ok(pv_roster_new(pv_made_view(&w.created.network), NULL, &rng, &a));
        test_defer(free_roster, a);
        save_events(a, &d);
        /* Latest first: in one batch order of arrival does not matter, in many it does. */
        for (size_t i = PV_ARRAY_LEN(items); i-- > 0;) {
            enum pv_roster_added added;
            assert_ok(add_status(a, &items[i], &added));
            if (batches == 1)
                save_events(a, &d);
        }
        save_events(a, &d);
        assert_int_equal(d.n, pv_roster_size(a));

        struct pv_roster *b = load(&w, &d);
        assert_true(same_head(a, b));
        assert_int_equal(pv_roster_count(b), pv_roster_count(a));
        for (const struct pv_member *m = pv_roster_next(a, NULL); m != NULL;
             m = pv_roster_next(a, m)) {
            assert_non_null(pv_roster_by_name(b, m->name));
            assert_memory_equal(pv_roster_by_name(b, m->name)->node, m->node, 32);
        }
        test_end(a);
        test_end(b);
    }
}

PV_TEST(a_free_address_is_found_and_a_full_range_noticed)
{
    struct world w = world_make(19);
    struct pv_roster *r = roster_of(&w);
    struct keys bob = keys_of(2), carol = keys_of(3);
    uint32_t first = 0, next = 0;

    assert_ok(pv_roster_free_ip4(r, bob.pk, NULL, NULL, &first));
    assert_int_equal(first, pv_ip4_first(&pv_roster_network(r)->range, bob.pk));
    (void)learn(r, make_member(&w, &w.creator, &carol, "carol", (uint16_t)first));
    assert_ok(pv_roster_free_ip4(r, bob.pk, NULL, NULL, &next));
    assert_int_equal(next, pv_ip4_try(&pv_roster_network(r)->range, first, 1));
    /* Its own address is free for its holder. */
    assert_ok(pv_roster_free_ip4(r, carol.pk, NULL, NULL, &next));
}

static bool everything_is_taken(const void *ctx, uint32_t ip4)
{
    return true;
}

PV_TEST(no_free_address_is_an_error)
{
    struct world w = world_make(20);
    struct pv_roster *r = roster_of(&w);
    uint32_t ip4 = 7;
    assert_int_equal(pv_roster_free_ip4(r, w.creator.pk, everything_is_taken, NULL, &ip4),
                     PV_ERR_LIMIT);
    assert_int_equal(ip4, 7);
}

PV_TEST(invites_can_be_listed)
{
    struct world w = world_make(21);
    struct pv_roster *r = roster_of(&w);
    struct keys i1 = keys_of(1), i2 = keys_of(2);
    struct item a = make_invite(&w, &w.creator, &i1, 3), b = make_invite(&w, &w.root, &i2, 4);
    const void *iter = NULL;
    struct pv_roster_invite info;
    uint32_t uses = 0;

    add(r, &a);
    add(r, &b);
    settle(r);
    while (pv_roster_next_invite(r, &iter, &info) == PV_OK)
        uses += info.uses;
    assert_int_equal(uses, 7);
    struct keys none = keys_of(9);
    assert_int_equal(pv_roster_invite(r, none.pk, &info), PV_ERR_NOT_FOUND);
}

PV_TEST(a_name_that_changed_hands_is_told)
{
    struct world w = world_make(22);
    struct pv_roster *r = roster_of(&w);
    struct keys invite = keys_of(1), bob = keys_of(2), late = keys_of(3);
    struct pv_roster_former former;
    struct item inv = make_invite(&w, &w.creator, &invite, 9);
    struct item first = make_member(&w, &invite, &bob, "bob", 1);
    struct item refused = make_member(&w, &invite, &late, "bob", 2);

    add(r, &inv);
    add(r, &first);
    settle(r);
    assert_int_equal(pv_roster_former(r, pv_roster_by_name(r, "bob"), &former), PV_ERR_NOT_FOUND);
    assert_null(pv_roster_last_holder(r, "bob"));
    add(r, &refused); /* it never had the name */
    settle(r);
    assert_int_equal(pv_roster_former(r, pv_roster_by_name(r, "bob"), &former), PV_ERR_NOT_FOUND);

    add_item(r, make_revocation(&w, &w.creator, PV_REVOKE_NODE, bob.pk, NULL, 0));
    settle(r); /* the claim that waited moves in */
    const struct pv_member *m = pv_roster_by_name(r, "bob");
    assert_memory_equal(m->node, late.pk, sizeof(late.pk));
    assert_ok(pv_roster_former(r, m, &former));
    assert_memory_equal(former.node, bob.pk, sizeof(bob.pk));
    assert_int_equal(former.since, m->joined);
    const uint64_t since = former.since;
    /* It leaves and comes back: the same machine. */
    add_item(r, make_leave(&w, &late, 3));
    settle(r);
    struct pv_st_member again = member_fields(&late, "bob", 2, 4);
    again.issued = T0 + 500;
    add_item(r, make_member_f(&w, &invite, &late, &again));
    settle(r);
    m = pv_roster_by_name(r, "bob");
    assert_memory_equal(m->node, late.pk, sizeof(late.pk));
    assert_ok(pv_roster_former(r, m, &former));
    assert_int_equal(former.since, since);
    assert_int_equal(pv_roster_former(r, pv_roster_by_name(r, "alice"), &former), PV_ERR_NOT_FOUND);
    assert_memory_equal(pv_roster_last_holder(r, "bob")->node, bob.pk, sizeof(bob.pk));
    add_item(r, make_revocation(&w, &w.creator, PV_REVOKE_NODE, late.pk, NULL, 0));
    settle(r);
    assert_memory_equal(pv_roster_last_holder(r, "bob")->node, late.pk, sizeof(late.pk));
    assert_null(pv_roster_last_holder(r, "alice"));
}

/* A member that claims a name while another has it does not become the holder before it when that
 * one goes. */
PV_TEST(a_refused_claim_makes_no_last_holder)
{
    struct world w = world_make(22);
    struct keys alice = keys_of(1), mallory = keys_of(2), eve = keys_of(3);
    struct pv_roster *r = roster_of(&w);
    add_item(r, make_member(&w, &w.creator, &alice, "alice", 1));
    add_item(r, make_member(&w, &w.creator, &mallory, "mallory", 2));
    add_item(r, make_member(&w, &w.creator, &eve, "eve", 3));
    add_item(r, make_place(&w, &w.creator, &mallory, "alice", 2, 2));
    add_item(r, make_place(&w, &w.creator, &eve, "alice", 3, 2));
    add_item(r, make_place(&w, &w.creator, &eve, "dora", 3, 3));
    add_item(r, make_revocation(&w, &w.creator, PV_REVOKE_NODE, mallory.pk, NULL, 0));
    add_item(r, make_revocation(&w, &w.creator, PV_REVOKE_NODE, alice.pk, NULL, 0));
    settle(r);
    assert_memory_equal(pv_roster_last_holder(r, "alice")->node, alice.pk, sizeof(alice.pk));
    assert_memory_equal(pv_roster_last_holder(r, "mallory")->node, mallory.pk, sizeof(alice.pk));
}

/* A machine that asked by a name and was denied never had it, and a member that claims another's
 * first name in vain and gives that up is not the one that was called so. */
PV_TEST(only_those_that_had_a_name_are_taken_for_its_former_machine)
{
    struct world w = world_make(22);
    struct keys invite = keys_of(1), bob = keys_of(2), carol = keys_of(3), asker = keys_of(4);
    struct pv_roster_former former;
    struct pv_roster *r = roster_of(&w);
    add_item(r, make_member(&w, &w.creator, &bob, "bob", 1));
    add_item(r, make_member(&w, &w.creator, &carol, "carol", 2));
    add_item(r, make_place(&w, &bob, &bob, "rob", 1, 2));
    add_item(r, make_place(&w, &carol, &carol, "bob", 2, 2)); /* in vain */
    add_item(r, make_place(&w, &carol, &carol, "carol", 2, 3));
    settle(r);
    assert_memory_equal(pv_roster_last_holder(r, "bob")->node, bob.pk, sizeof(bob.pk));
    add_item(r, make_place(&w, &bob, &bob, "bert", 1, 3));
    add_item(r, make_terms(&w, &w.creator, &invite, PV_INVITE_APPROVAL, 0));
    add_item(r, make_member(&w, &invite, &asker, "rob", 4));
    settle(r);
    assert_int_equal(pv_roster_known(r, asker.pk)->state, PV_MEMBER_WAITING);
    add_item(r, make_revocation(&w, &w.creator, PV_REVOKE_NODE, asker.pk, NULL, 0));
    settle(r);
    assert_memory_equal(pv_roster_last_holder(r, "rob")->node, bob.pk, sizeof(bob.pk));
    add_item(r, make_place(&w, &bob, &bob, "rob", 1, 4));
    settle(r);
    assert_int_equal(pv_roster_former(r, pv_roster_by_name(r, "rob"), &former), PV_ERR_NOT_FOUND);
    add_item(r, make_revocation(&w, &w.creator, PV_REVOKE_NODE, bob.pk, NULL, 0));
    settle(r);
    assert_memory_equal(pv_roster_last_holder(r, "bob")->node, bob.pk, sizeof(bob.pk));
    assert_memory_equal(pv_roster_last_holder(r, "rob")->node, bob.pk, sizeof(bob.pk));
}

/* Also in a roster that loads it all at once, as after a restart. */
PV_TEST(a_former_member_keeps_the_name_that_it_had_last)
{
    struct world w = world_make(22);
    struct keys first = keys_of(1), eve = keys_of(2), mallory = keys_of(3), alice = keys_of(4);
    for (int live = 1; live >= 0; live--) {
        struct pv_roster *r = roster_of(&w);
        add_item(r, make_member(&w, &w.creator, &first, "bob", 1));
        add_item(r, make_member(&w, &w.creator, &alice, "alice", 2));
        add_item(r, make_revocation(&w, &w.creator, PV_REVOKE_NODE, first.pk, NULL, 0));
        add_item(r, make_member(&w, &w.creator, &eve, "eve", 3));
        add_item(r, make_place(&w, &w.creator, &eve, "bob", 3, 2));
        add_item(r, make_member(&w, &w.creator, &mallory, "mallory", 4));
        add_item(r, make_place(&w, &w.creator, &mallory, "alice", 4, 2)); /* refused */
        if (live) {
            settle(r);
            assert_string_equal(pv_roster_known(r, eve.pk)->name, "bob");
        }
        add_item(r, make_revocation(&w, &w.creator, PV_REVOKE_NODE, mallory.pk, NULL, 0));
        add_item(r, make_leave(&w, &eve, 2));
        settle(r);
        assert_string_equal(pv_roster_known(r, eve.pk)->name, "bob");
        assert_memory_equal(pv_roster_last_holder(r, "bob")->node, eve.pk, sizeof(eve.pk));
        assert_memory_equal(pv_roster_last_holder(r, "eve")->node, eve.pk, sizeof(eve.pk));
        assert_string_equal(pv_roster_known(r, mallory.pk)->name, "mallory");
    }
}
