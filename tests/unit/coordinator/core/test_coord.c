/* SPDX-License-Identifier: MIT */
/* The coordinator's core from end to end: create, invite, join, the store. */
#include "coord_world.h"
#include "proto/control/ctlmsg_words.h"
#include "tests/unit/proto/roster/longest_card.h"

/* --- create and join ------------------------------------------------------------------------- */

PV_TEST(a_network_is_created_and_its_creator_comes_back_as_member)
{
    struct cw *w = cw_home(1);
    struct pv_ctl_msg *m = cw_welcome(w, &w->alice);
    assert_int_equal(m->u.welcome.n_stun, 1);
    assert_string_equal(m->u.welcome.stun[0], "coord.example:3478");
    assert_true(m->u.welcome.time_us / 1000000 == CW_WALL + 1000);
    assert_int_equal(m->u.welcome.coordinators.len, w->created.coordinators.len);
    assert_true(m->u.welcome.have.n > 0);
    struct pv_coord_stats st = cw_stats(w);
    assert_int_equal(st.online, 1);
    assert_int_equal(st.networks, 1);
    assert_int_equal(st.statements, 4);
}

/* With the key in use, one it had before, or one that is new: a machine that was set back, or lost
 * its file of keys, has no other. */
PV_TEST(a_member_comes_back_by_any_transport_key)
{
    struct cw *w = cw_home(1);
    struct cw_node fresh, late;
    struct pv_made made;
    fresh = late = w->alice;
    pv_dh_keypair(&w->rng, fresh.transport_sk, fresh.transport_pk);
    pv_dh_keypair(&w->rng, late.transport_sk, late.transport_pk);
    struct cw_client *c = cw_member(w, &w->alice);
    struct pv_st_transport st = {.serial = 1, .time = 7};
    memcpy(st.transport, fresh.transport_pk, sizeof(st.transport));
    assert_ok(pv_make_transport(w->created.network_id, w->alice.id.sk, &st, &made));
    assert_int_equal(cw_put(w, c, pv_made_view(&made)), PV_CTL_E_NONE);
    cw_ask_ok(w, c, (struct pv_ctl_msg){.type = PV_CTL_PING}, PV_CTL_PONG); /* it goes on */

    (void)cw_member(w, &fresh);
    (void)cw_member(w, &w->alice);
    c = cw_member(w, &late);
    st.serial = 2; /* and tells it */
    memcpy(st.transport, late.transport_pk, sizeof(st.transport));
    assert_ok(pv_make_transport(w->created.network_id, w->alice.id.sk, &st, &made));
    assert_int_equal(cw_put(w, c, pv_made_view(&made)), PV_CTL_E_NONE);
}

PV_TEST(members_are_told_where_tls_is_and_by_what_key)
{
    static const char *const addrs[] = {"coord.example:443"};
    const struct pv_ctl_tls tls = {.pin = {1, 2, 3}, .n = 1, .addrs = addrs};
    struct cw *w = cw_home(1);
    for (int i = 0; i < 2; i++) {
        struct pv_ctl_msg *m = cw_welcome(w, &w->alice);
        assert_int_equal(m->u.welcome.has_tls, i == 1);
        if (i == 1) {
            assert_memory_equal(m->u.welcome.tls.pin, tls.pin, sizeof(tls.pin));
            assert_int_equal(m->u.welcome.tls.n, 1);
            assert_string_equal(m->u.welcome.tls.addrs[0], addrs[0]);
        }
        pv_coord_set_tls(w->coord, &tls);
    }
}

PV_TEST(create_is_repeatable_and_gives_the_same_receipts)
{
    struct cw *w = cw_home(2);
    struct pv_ctl_item items[4];
    struct cw_client *a = cw_login(w, &w->alice, NULL, PV_CTL_APPLICANT);
    struct pv_ctl_msg *one = cw_ask(w, a, cw_create_msg(w, items), PV_CTL_RECEIPTS);
    struct pv_ctl_msg *two = cw_ask(w, a, cw_create_msg(w, items), PV_CTL_RECEIPTS);
    for (size_t i = 0; i < 4; i++)
        assert_true(
            pv_view_equal(one->u.receipts.results[i].receipt, two->u.receipts.results[i].receipt));
    assert_int_equal(w->n_rows, 1);
}

PV_TEST(two_creates_of_one_network_at_once_end_alike)
{
    struct cw *w = cw_new(3);
    struct pv_ctl_item items[4];
    struct cw_client *a = cw_creator(w);
    struct cw_client *b = cw_login(w, &w->alice, NULL, PV_CTL_APPLICANT);
    w->hold_jobs = true;
    uint64_t ia = cw_send(a, cw_create_msg(w, items));
    uint64_t ib = cw_send(b, cw_create_msg(w, items));
    cw_pump(w);
    assert_int_equal(w->n_jobs, 2);
    assert_null(cw_take(a, ia));
    cw_release(w, false);
    struct pv_ctl_msg *ma = cw_take(a, ia);
    struct pv_ctl_msg *mb = cw_answer(b, ib, PV_CTL_RECEIPTS);
    assert_int_equal(mb->type, PV_CTL_RECEIPTS);
    for (size_t i = 0; i < 4; i++)
        assert_true(
            pv_view_equal(ma->u.receipts.results[i].receipt, mb->u.receipts.results[i].receipt));
}

PV_TEST(create_needs_the_secret_unless_the_coordinator_is_open)
{
    for (int open = 0; open <= 1; open++) {
        struct cw *w = cw_new(4);
        struct pv_ctl_item items[4];
        w->cfg.policy.switches.open = open != 0;
        struct cw_client *c = cw_creator(w);
        struct pv_ctl_msg m = cw_create_msg(w, items);
        if (!open) {
            m.u.put.secret[3] ^= 1;
            cw_ask_error(w, c, m, PV_CTL_E_NOT_ALLOWED);
            m.u.put.has_secret = false;
            cw_ask_error(w, c, m, PV_CTL_E_NOT_ALLOWED);
        } else {
            m.u.put.has_secret = false;
            cw_ask_ok(w, c, m, PV_CTL_RECEIPTS);
        }
        test_end(w);
    }
}

PV_TEST(create_is_all_or_nothing)
{
    struct cw *w = cw_new(5);
    struct pv_ctl_item items[4];
    struct cw_client *c = cw_creator(w);
    struct pv_ctl_msg m = cw_create_msg(w, items);
    /* Without its member, without the coordinators record, twice the same, out of order. */
    m.u.put.n = 3;
    cw_ask_error(w, c, m, PV_CTL_E_BAD_REQUEST);
    items[1] = items[2];
    items[2] = items[3];
    cw_ask_error(w, c, m, PV_CTL_E_BAD_REQUEST);
    m = cw_create_msg(w, items);
    items[3] = items[2];
    cw_ask_error(w, c, m, PV_CTL_E_NOT_ALLOWED);
    m = cw_create_msg(w, items);
    items[2] = items[3];
    items[3] = cw_item(pv_made_view(&w->created.admin));
    cw_ask_error(w, c, m, PV_CTL_E_NOT_ALLOWED);
    /* A flipped bit in the last one. */
    w->created.member.raw[w->created.member.len - 1] ^= 1;
    cw_ask_error(w, c, cw_create_msg(w, items), PV_CTL_E_BAD_SIGNATURE);
    w->created.member.raw[w->created.member.len - 1] ^= 1;
    assert_int_equal(w->n_rows, 0);
    /* The store fails: nothing is left of it, and it works later. */
    w->fail_status = PV_ERR_LIMIT;
    cw_ask_error(w, c, cw_create_msg(w, items), PV_CTL_E_STORAGE);
    assert_int_equal(cw_stats(w).networks, 0);
    w->fail_status = 0;
    cw_ask_ok(w, c, cw_create_msg(w, items), PV_CTL_RECEIPTS);
}

PV_TEST(a_node_joins_with_a_token)
{
    struct cw *w = cw_home(6);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = cw_invite(w, alice, 1);
    struct cw_node bob = cw_node_make(w);
    struct cw_client *c = cw_applicant(w, &bob);

    /* The statements that the token's holder sees and checks first. */
    struct pv_ctl_msg fetch = {.type = PV_CTL_FETCH};
    memcpy(fetch.u.fetch.invite, invite.pk, PV_SIGN_PK_LEN);
    struct pv_ctl_msg *m = cw_ask(w, c, fetch, PV_CTL_STATEMENTS);
    assert_int_equal(m->u.statements.n, 4);
    struct pv_roster *r = NULL;
    enum pv_roster_added added;
    assert_ok(
        pv_roster_new(m->u.statements.items[0].statement, w->created.network_id, &w->rng, &r));
    for (size_t i = 1; i < 4; i++) {
        assert_ok(pv_roster_add(r, m->u.statements.items[i].statement,
                                m->u.statements.items[i].receipt, &added));
        assert_int_equal(added, PV_ROSTER_NEW);
    }
    struct pv_roster_invite info;
    assert_ok(pv_roster_invite(r, invite.pk, &info));
    pv_roster_free(r);

    m = cw_ask(w, c, cw_join_msg(c, &invite, &bob, "bob"), PV_CTL_RESERVATION);
    assert_string_equal(m->u.reservation.name, "bob");
    assert_int_equal(m->u.reservation.ip4[0], 10);
    assert_int_equal(m->u.reservation.ip6[0], 0xfd);
    assert_int_equal(m->u.reservation.seconds, 60);
    struct pv_made made = cw_member_statement(
        w, &invite, &bob, (struct cw_claim){"bob", m->u.reservation.ip4, 0, CW_WALL});
    m = cw_ask(w, c, cw_register_msg(&made), PV_CTL_REGISTERED);
    assert_true(pv_view_equal(m->u.registered.item.statement, pv_made_view(&made)));
    assert_ok(pv_receipt_verify(m->u.registered.item.receipt));
    cw_hang_up(w, c);
    cw_member(w, &bob);
}

PV_TEST(of_two_registers_with_a_one_use_token_at_once_one_wins)
{
    for (int backwards = 0; backwards <= 1; backwards++) {
        struct cw *w = cw_home(7);
        struct cw_client *alice = cw_member(w, &w->alice);
        struct cw_keys invite = cw_invite(w, alice, 1);
        struct cw_node nodes[2] = {cw_node_make(w), cw_node_make(w)};
        static const char *const names[2] = {"bob", "carol"};
        struct cw_client *c[2];
        struct pv_made made[2];
        uint64_t id[2];
        for (int i = 0; i < 2; i++) {
            c[i] = cw_applicant(w, &nodes[i]);
            made[i] = cw_reserve(w, c[i], &invite, &nodes[i], names[i]);
        }
        w->hold_jobs = true;
        for (int i = 0; i < 2; i++)
            id[i] = cw_send(c[i], cw_register_msg(&made[i]));
        cw_pump(w);
        assert_int_equal(w->n_jobs, 2);
        cw_release(w, backwards != 0);
        int won = 0;
        for (int i = 0; i < 2; i++) {
            struct pv_ctl_msg *m = cw_take(c[i], id[i]);
            assert_non_null(m);
            if (m->type == PV_CTL_REGISTERED)
                won++;
            else
                assert_int_equal(m->u.failure.error, PV_CTL_E_INVITE_USED);
        }
        assert_int_equal(won, 1);
        test_end(w);
    }
}

PV_TEST(joining_and_registering_again_gives_the_same_answer)
{
    struct cw *w = cw_home(8);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = cw_invite(w, alice, 1);
    struct cw_node bob = cw_node_make(w);
    struct cw_client *c = cw_applicant(w, &bob);
    struct pv_ctl_msg *one = cw_ask(w, c, cw_join_msg(c, &invite, &bob, "bob"), PV_CTL_RESERVATION);
    struct pv_ctl_msg *two = cw_ask(w, c, cw_join_msg(c, &invite, &bob, "bob"), PV_CTL_RESERVATION);
    assert_memory_equal(&one->u.reservation, &two->u.reservation, sizeof(one->u.reservation));
    struct pv_made made = cw_member_statement(
        w, &invite, &bob, (struct cw_claim){"bob", one->u.reservation.ip4, 0, CW_WALL});
    struct pv_made anew = cw_member_statement(
        w, &invite, &bob, (struct cw_claim){"bob", one->u.reservation.ip4, 0, CW_WALL + 5});
    struct pv_ctl_msg *first = cw_ask(w, c, cw_register_msg(&made), PV_CTL_REGISTERED);

    /* The answer was lost: from another connection, with the same statement or one made anew. */
    struct cw_client *d = cw_applicant(w, &bob);
    two = cw_ask(w, d, cw_join_msg(d, &invite, &bob, "bob"), PV_CTL_RESERVATION);
    assert_memory_equal(&one->u.reservation, &two->u.reservation, sizeof(one->u.reservation));
    struct pv_ctl_msg *same = cw_ask(w, d, cw_register_msg(&made), PV_CTL_REGISTERED);
    assert_true(pv_view_equal(first->u.registered.item.receipt, same->u.registered.item.receipt));
    same = cw_ask(w, d, cw_register_msg(&anew), PV_CTL_REGISTERED);
    assert_true(
        pv_view_equal(first->u.registered.item.statement, same->u.registered.item.statement));
    assert_true(pv_view_equal(first->u.registered.item.receipt, same->u.registered.item.receipt));
}

PV_TEST(the_same_node_registering_twice_at_once_uses_one_use)
{
    struct cw *w = cw_home(9);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = cw_invite(w, alice, 2);
    struct cw_node bob = cw_node_make(w);
    struct cw_node carol = cw_node_make(w);
    struct cw_client *c[2];
    uint64_t id[2];
    struct pv_made made[2];
    for (int i = 0; i < 2; i++) {
        c[i] = cw_applicant(w, &bob);
        struct pv_ctl_msg *m =
            cw_ask(w, c[i], cw_join_msg(c[i], &invite, &bob, "bob"), PV_CTL_RESERVATION);
        made[i] = cw_member_statement(
            w, &invite, &bob,
            (struct cw_claim){"bob", m->u.reservation.ip4, 0, CW_WALL + (uint64_t)i});
    }
    w->hold_jobs = true;
    for (int i = 0; i < 2; i++)
        id[i] = cw_send(c[i], cw_register_msg(&made[i]));
    cw_pump(w);
    cw_release(w, false);
    struct pv_ctl_msg *a = cw_take(c[0], id[0]);
    struct pv_ctl_msg *b = cw_answer(c[1], id[1], PV_CTL_REGISTERED);
    assert_int_equal(b->type, PV_CTL_REGISTERED);
    assert_true(pv_view_equal(a->u.registered.item.statement, b->u.registered.item.statement));
    cw_join(w, &invite, &carol, "carol"); /* the second use is still there */
}

/* Two changes that the store has done are taken in at once when their network has rested. The first
 * is answered with a statement that its node had already, and that the second makes one too many.
 * An admin who invites with the key that signs its own statements can have that at will. */
PV_TEST(a_registration_is_answered_though_its_statement_goes_at_once)
{
    struct cw *w = cw_home(19);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_node bob = cw_node_make(w);
    const uint8_t ip4[PV_IP4_LEN] = {10, 66, 0, 9};
    struct cw_claim claim = {.name = "bob", .ip4 = ip4, .issued = CW_WALL};
    struct pv_made made = cw_make_invite(w, &w->alice.id, 2), first;
    assert_int_equal(cw_put(w, alice, pv_made_view(&made)), PV_CTL_E_NONE);
    while (claim.serial < PV_ROSTER_MAX_SELF) {
        claim.serial++;
        made = cw_member_statement(w, &w->alice.id, &bob, claim);
        first = claim.serial == 1 ? made : first;
        assert_int_equal(cw_put(w, alice, pv_made_view(&made)), PV_CTL_E_NONE);
    }
    struct cw_client *c = cw_applicant(w, &bob);
    claim.serial++;
    made = cw_member_statement(w, &w->alice.id, &bob, claim);
    w->hold_jobs = true;
    uint64_t registered = cw_send(c, cw_register_msg(&made));
    cw_pump(w);
    claim.serial++;
    made = cw_member_statement(w, &w->alice.id, &bob, claim);
    uint64_t put = cw_send_put(alice, pv_made_view(&made));
    cw_pump(w);
    assert_int_equal(w->n_jobs, 2);
    pv_coord_bill(w->coord, PV_COORD_DEBT, w->now);
    assert_true(pv_coord_rests(w->coord));
    cw_release(w, false);
    assert_null(cw_take(c, registered));
    cw_sleep(w, PV_COORD_SHARE * PV_COORD_DEBT);
    struct pv_ctl_msg *m = cw_answer(c, registered, PV_CTL_REGISTERED);
    assert_true(pv_view_equal(m->u.registered.item.statement, pv_made_view(&first)));
    assert_ok(pv_receipt_verify(m->u.registered.item.receipt));
    cw_expect_taken(cw_answer(alice, put, PV_CTL_RECEIPTS));
}

PV_TEST(a_taken_name_gets_a_number_and_addresses_never_clash)
{
    struct cw *w = cw_home(10);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = cw_invite(w, alice, 10);
    static const char *const asked[] = {"alice", "bob", "bob", "home", ""};
    static const char *const given[] = {"alice-2", "bob", "bob-2", "home-2", "node"};
    uint8_t ip4[PV_ARRAY_LEN(asked)][4];
    for (size_t i = 0; i < PV_ARRAY_LEN(asked); i++) {
        struct cw_node n = cw_node_make(w);
        struct cw_client *c = cw_applicant(w, &n);
        struct pv_ctl_msg *m =
            cw_ask(w, c, cw_join_msg(c, &invite, &n, asked[i]), PV_CTL_RESERVATION);
        assert_string_equal(m->u.reservation.name, given[i]);
        memcpy(ip4[i], m->u.reservation.ip4, 4);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(ip4[i], ip4[k], 4);
    }
}

PV_TEST(a_reservation_holds_for_its_node_and_ends_after_sixty_seconds)
{
    struct cw *w = cw_home(11);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = cw_invite(w, alice, 5);
    struct cw_node bob = cw_node_make(w);
    struct cw_node eve = cw_node_make(w);
    struct cw_client *c = cw_applicant(w, &bob);
    struct pv_ctl_msg *m = cw_ask(w, c, cw_join_msg(c, &invite, &bob, "bob"), PV_CTL_RESERVATION);
    uint8_t ip4[4];
    memcpy(ip4, m->u.reservation.ip4, 4);
    const uint8_t other[4] = {10, 66, 200, 1};
    const struct cw_claim grabs[] = {
        {"bob", ip4, 0, CW_WALL}, {"eve", ip4, 0, CW_WALL}, {"bob", other, 0, CW_WALL}};
    struct cw_client *e = cw_applicant(w, &eve);
    struct pv_made grab;
    for (size_t i = 0; i < PV_ARRAY_LEN(grabs); i++) {
        grab = cw_member_statement(w, &invite, &eve, grabs[i]);
        cw_ask_error(w, e, cw_register_msg(&grab), PV_CTL_E_TAKEN);
    }
    cw_sleep(w, PV_S(60));
    e = cw_applicant(w, &eve);
    cw_ask_ok(w, e, cw_register_msg(&grab), PV_CTL_REGISTERED); /* the name alone */
    /* And bob, who was slow, gets another name but the same address. */
    c = cw_applicant(w, &bob);
    m = cw_ask(w, c, cw_join_msg(c, &invite, &bob, "bob"), PV_CTL_RESERVATION);
    assert_string_equal(m->u.reservation.name, "bob-2");
    assert_memory_equal(m->u.reservation.ip4, ip4, 4);
}

PV_TEST(invites_end_by_time_by_use_and_by_revocation)
{
    struct cw *w = cw_home(12);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys used = cw_invite(w, alice, 1);
    struct cw_keys revoked = cw_invite(w, alice, 9);
    struct cw_keys unknown = cw_keys_make(w);
    struct cw_node bob = cw_node_make(w);
    struct cw_node carol = cw_node_make(w);
    cw_join(w, &used, &bob, "bob");

    struct pv_view end = cw_revocation(w, PV_REVOKE_INVITE, revoked.pk);
    assert_int_equal(cw_put(w, alice, end), PV_CTL_E_NONE);

    struct cw_client *c = cw_applicant(w, &carol);
    cw_ask_error(w, c, cw_join_msg(c, &used, &carol, "carol"), PV_CTL_E_INVITE_USED);
    cw_ask_error(w, c, cw_join_msg(c, &revoked, &carol, "carol"), PV_CTL_E_INVITE_REVOKED);
    cw_ask_error(w, c, cw_join_msg(c, &unknown, &carol, "carol"), PV_CTL_E_UNKNOWN_INVITE);
    struct pv_ctl_msg bad = cw_join_msg(c, &revoked, &carol, "carol");
    memcpy(bad.u.join.invite, used.pk, 32); /* signed by another invite's key */
    cw_ask_error(w, c, bad, PV_CTL_E_BAD_SIGNATURE);

    cw_sleep(w, PV_S(5));
    alice = cw_member(w, &w->alice);
    struct cw_keys late = cw_invite(w, alice, 9);
    cw_sleep(w, PV_S(86400 + 700));
    c = cw_applicant(w, &carol);
    cw_ask_error(w, c, cw_join_msg(c, &late, &carol, "carol"), PV_CTL_E_INVITE_EXPIRED);
}

/* --- what is stored is what counts ----------------------------------------------------------- */

PV_TEST(nothing_is_answered_or_shown_before_it_is_stored)
{
    struct cw *w = cw_home(13);
    struct cw_client *alice = cw_member(w, &w->alice);
    (void)cw_pull(w, alice);
    struct cw_keys invite = cw_invite(w, alice, 1);
    (void)cw_take_push(alice, PV_CTL_STATEMENTS);
    struct cw_node bob = cw_node_make(w);
    struct cw_client *c = cw_applicant(w, &bob);
    struct pv_made made = cw_reserve(w, c, &invite, &bob, "bob");
    w->hold_jobs = true;
    uint64_t id = cw_send(c, cw_register_msg(&made));
    cw_pump(w);
    assert_null(cw_take(c, id));
    assert_null(cw_take_push(alice, PV_CTL_STATEMENTS));
    /* The core goes on meanwhile. */
    cw_ask_ok(w, alice, (struct pv_ctl_msg){.type = PV_CTL_PING}, PV_CTL_PONG);
    cw_release(w, false);
    struct pv_ctl_msg *m = cw_answer(c, id, PV_CTL_REGISTERED);
    m = cw_told(alice, PV_CTL_STATEMENTS);
    assert_int_equal(m->u.statements.n, 1);
    assert_true(pv_view_equal(m->u.statements.items[0].statement, pv_made_view(&made)));
    assert_true(m->u.statements.has_head);
}

PV_TEST(a_store_that_fails_is_an_answer_and_the_rest_goes_on)
{
    struct cw *w = cw_home(14);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = cw_invite(w, alice, 1);
    struct cw_node bob = cw_node_make(w);
    struct cw_client *c = cw_applicant(w, &bob);
    struct pv_made made = cw_reserve(w, c, &invite, &bob, "bob");
    w->fail_status = -28; /* -ENOSPC */
    cw_ask_error(w, c, cw_register_msg(&made), PV_CTL_E_STORAGE);
    cw_ask_ok(w, alice, (struct pv_ctl_msg){.type = PV_CTL_PING}, PV_CTL_PONG);
    w->fail_status = 0;
    cw_ask_ok(w, c, cw_register_msg(&made), PV_CTL_REGISTERED);
}

PV_TEST(answers_of_the_store_in_any_order_keep_the_log_in_order)
{
    struct cw *w = cw_home(15);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = cw_invite(w, alice, 20);
    struct cw_client *c[10];
    uint64_t id[10];
    for (int i = 0; i < 10; i++) {
        struct cw_node n = cw_node_make(w);
        c[i] = cw_applicant(w, &n);
        struct pv_made made = cw_reserve(w, c[i], &invite, &n, "n");
        w->hold_jobs = true;
        id[i] = cw_send(c[i], cw_register_msg(&made));
        cw_pump(w);
        w->hold_jobs = false;
    }
    cw_release(w, true);
    for (int i = 0; i < 10; i++)
        (void)cw_answer(c[i], id[i], PV_CTL_REGISTERED);
    struct pv_ctl_msg *m = cw_pull(w, alice);
    uint64_t last = 0;
    assert_int_equal(m->u.statements.n, 15);
    for (size_t i = 0; i < m->u.statements.n; i++) {
        struct pv_receipt r;
        assert_ok(pv_receipt_decode(m->u.statements.items[i].receipt, &r));
        assert_true(r.n > last);
        last = r.n;
    }
}

PV_TEST(a_restart_brings_everything_back_under_a_higher_epoch)
{
    struct cw *w = cw_home(16);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = cw_invite(w, alice, 1);
    struct cw_node bob = cw_node_make(w);
    struct cw_node eve = cw_node_make(w);
    cw_join(w, &invite, &bob, "bob");
    struct pv_ctl_msg *before = cw_pull(w, alice);
    cw_restart(w); /* in the same second of the wall clock */
    alice = cw_member(w, &w->alice);
    struct pv_ctl_msg *after = cw_pull(w, alice);
    assert_int_equal(after->u.statements.n, before->u.statements.n);
    for (size_t i = 0; i < after->u.statements.n; i++)
        assert_true(pv_view_equal(after->u.statements.items[i].statement,
                                  before->u.statements.items[i].statement));
    assert_memory_equal(after->u.statements.head, before->u.statements.head, 32);
    /* The used invite stays used, and new receipts come after the old ones. */
    struct cw_client *e = cw_applicant(w, &eve);
    cw_ask_error(w, e, cw_join_msg(e, &invite, &eve, "eve"), PV_CTL_E_INVITE_USED);
    cw_invite(w, alice, 1);
    struct pv_ctl_msg *m = cw_told(alice, PV_CTL_STATEMENTS);
    assert_true(m->u.statements.have.epoch > after->u.statements.have.epoch);
}

PV_TEST(receipts_never_go_back_in_time)
{
    struct cw *w = cw_home(17);
    struct cw_client *alice = cw_member(w, &w->alice);
    cw_invite(w, alice, 1);
    pv_coord_set_wall(w->coord, (CW_WALL - 5000) * UINT64_C(1000000), w->now);
    cw_invite(w, alice, 1);
    struct pv_ctl_msg *m = cw_pull(w, alice);
    uint64_t last = 0;
    for (size_t i = 0; i < m->u.statements.n; i++) {
        struct pv_receipt r;
        assert_ok(pv_receipt_decode(m->u.statements.items[i].receipt, &r));
        assert_true(r.time >= last);
        last = r.time;
    }
}

PV_TEST(joins_are_judged_at_the_time_that_their_receipt_will_have)
{
    struct cw *w = cw_home(17);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys ends = cw_invite(w, alice, 1);
    pv_coord_set_wall(w->coord, (CW_WALL + 5 * 86400) * UINT64_C(1000000), w->now);
    cw_invite(w, alice, 1); /* its receipt is of that day */
    pv_coord_set_wall(w->coord, CW_WALL * UINT64_C(1000000), w->now);
    struct cw_node bob = cw_node_make(w);
    struct cw_client *c = cw_applicant(w, &bob);
    cw_ask_error(w, c, cw_join_msg(c, &ends, &bob, "bob"), PV_CTL_E_INVITE_EXPIRED);
}

/* A clock that was wrong while one network stored says nothing of another's invites. */
PV_TEST(the_time_of_a_network_is_its_own)
{
    struct cw *w = cw_home(17);
    pv_coord_set_wall(w->coord, (CW_WALL + 7 * 86400) * UINT64_C(1000000), w->now);
    cw_invite(w, cw_member(w, &w->alice), 1);
    pv_coord_set_wall(w->coord, CW_WALL * UINT64_C(1000000), w->now);
    cw_create(w); /* another one */
    (void)cw_invited(w, cw_member(w, &w->alice), "bob");
    /* The same where it was read out of the store. */
    cw_restart(w);
    (void)cw_invited(w, cw_member(w, &w->alice), "carol");
}

/* The clock that it shares with others differs from its own: nothing gets a time that is wrong. */
PV_TEST(a_clock_that_differs_from_the_common_one_dates_nothing)
{
    struct cw *w = cw_home(17);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = cw_invite(w, alice, 2);
    const uint64_t us = CW_WALL * UINT64_C(1000000);
    struct cw_node bob = cw_node_make(w);
    struct cw_client *c = cw_applicant(w, &bob);
    static const struct {
        int common_s, wall_s;
        int64_t ahead;
    } rows[] = {{-61, 0, 61}, {61, 0, -61}, {0, 7 * 86400, 7 * 86400}, {0, -600, -600}};
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        pv_coord_set_common(w->coord, us + (uint64_t)(rows[i].common_s * INT64_C(1000000)), w->now);
        pv_coord_set_wall(w->coord, us + (uint64_t)(rows[i].wall_s * INT64_C(1000000)), w->now);
        assert_int_equal(pv_coord_ahead(w->coord, w->now), rows[i].ahead);
        struct pv_ctl_item item = cw_item(pv_made_view(&w->created.member));
        cw_ask_error(w, alice, cw_put_msg(&item, 1), PV_CTL_E_STORAGE);
        cw_ask_error(w, c, cw_join_msg(c, &invite, &bob, "bob"), PV_CTL_E_STORAGE);
    }
    pv_coord_set_common(w->coord, us + 60 * UINT64_C(1000000), w->now);
    pv_coord_set_wall(w->coord, us, w->now);
    assert_int_equal(pv_coord_ahead(w->coord, w->now), 0);
    cw_invite(w, alice, 1);
    cw_join(w, &invite, &bob, "bob");
}

PV_TEST(every_request_of_the_protocol_has_its_row)
{
    for (int i = 0; i < PV_CTL_TYPE_COUNT; i++) {
        bool spoken = (pv_ctl_words[i].kinds & (1u << PV_CTL_REQUEST)) != 0;
        if (spoken && !pv_coord_serves((enum pv_ctl_type)i))
            fail_msg("the request \"%s\" has no row in handlers[] of coordinator/core/coord.c: "
                     "say there who may ask it, and which function answers",
                     pv_ctl_words[i].word);
        if (!spoken && pv_coord_serves((enum pv_ctl_type)i))
            fail_msg("type %d has a row in coordinator/core/coord.c, but pv_ctl_words[] does not "
                     "say that it is a request: it would never come",
                     i);
    }
}

/* Does alice get the statement with this receipt, in answer to a put and to a pull? */
static void expect_receipt(struct cw *w, struct cw_client *c, struct pv_ctl_item item,
                           const uint8_t *receipt)
{
    const struct pv_view expected = pv_view(receipt, PV_RECEIPT_LEN);
    struct pv_ctl_msg put = cw_put_msg(&item, 1);
    struct pv_ctl_msg *m = cw_ask(w, c, put, PV_CTL_RECEIPTS);
    assert_int_equal(m->u.receipts.results[0].error, PV_CTL_E_NONE);
    assert_true(pv_view_equal(m->u.receipts.results[0].receipt, expected));
    m = cw_pull(w, c);
    size_t found = 0;
    for (size_t i = 0; i < m->u.statements.n; i++) {
        if (!pv_view_equal(m->u.statements.items[i].statement, item.statement))
            continue;
        found++;
        assert_true(pv_view_equal(m->u.statements.items[i].receipt, expected));
    }
    assert_int_equal(found, 1);
}

PV_TEST(a_better_receipt_of_what_is_known_is_kept_and_handed_out)
{
    struct cw *w = cw_home(31);
    struct pv_made tag;
    uint8_t better[PV_RECEIPT_LEN], forged[PV_RECEIPT_LEN];
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys other = cw_keys_make(w), stranger = cw_keys_make(w);
    const uint8_t *const both[] = {w->coordinator.pk, other.pk};
    assert_int_equal(cw_put(w, alice, cw_record(w, w->root.sk, 2, both, 2)), PV_CTL_E_NONE);
    struct pv_st_tag red = {.kind = PV_TAG_SET, .tag = "red", .time = CW_WALL};
    memcpy(red.node, w->alice.id.pk, sizeof(red.node));
    assert_ok(pv_make_tag(w->created.network_id, w->alice.id.sk, &red, &tag));
    assert_int_equal(cw_put(w, alice, pv_made_view(&tag)), PV_CTL_E_NONE);
    /* One that the roster would prefer, but for its signer. */
    struct pv_ctl_item item = cw_received(w, &stranger, pv_made_view(&tag), CW_WALL - 100, forged);
    size_t n_rows = w->n_rows;
    (void)cw_put_item(w, alice, item);
    assert_int_equal(w->n_rows, n_rows);
    item = cw_received(w, &other, pv_made_view(&tag), CW_WALL - 100, better);
    expect_receipt(w, alice, item, better);
    assert_int_equal(w->n_rows, n_rows + 1); /* and the second time nothing is stored */
    expect_receipt(w, alice, item, better);
    assert_int_equal(w->n_rows, n_rows + 1);
    cw_restart(w);
    item.receipt = pv_view(NULL, 0);
    expect_receipt(w, cw_member(w, &w->alice), item, better);
}

PV_TEST(an_applicant_that_joined_elsewhere_brings_what_its_word_rests_on_and_nothing_else)
{
    static const uint8_t ip4[4] = {10, 66, 0, 9};
    enum {
        RECORD,
        INVITE,
        OWN,
        ITEMS
    };
    struct cw *w = cw_home(32);
    struct pv_made invite, own, tag;
    uint8_t receipts[ITEMS][PV_RECEIPT_LEN];
    struct cw_keys other = cw_keys_make(w), key = cw_keys_make(w);
    struct cw_node bob = cw_node_make(w);
    const uint8_t *const moved[] = {other.pk};
    invite = cw_make_invite(w, &key, 1);
    own = cw_member_statement(w, &key, &bob, (struct cw_claim){"bob", ip4, 0, CW_WALL});
    const struct pv_view statements[ITEMS] = {cw_record(w, w->root.sk, 2, moved, 1),
                                              pv_made_view(&invite), pv_made_view(&own)};
    struct pv_ctl_item items[ITEMS];
    for (size_t i = 0; i < ITEMS; i++)
        items[i] = cw_received(w, &other, statements[i], CW_WALL + 1 + i, receipts[i]);
    struct cw_client *c = cw_applicant(w, &bob);
    assert_int_equal(cw_put_item(w, c, items[OWN]), PV_CTL_E_NOT_ALLOWED);
    /* A rule, or what a member says of itself, is no ground; nor do grounds come by themselves. */
    struct pv_st_tag red = {.kind = PV_TAG_SET, .tag = "red", .time = CW_WALL};
    memcpy(red.node, bob.id.pk, sizeof(red.node));
    assert_ok(pv_make_tag(w->created.network_id, w->alice.id.sk, &red, &tag));
    struct pv_ctl_item with_tag[] = {cw_item(pv_made_view(&tag)), items[OWN]};
    cw_ask_error(w, c, cw_put_msg(with_tag, 2), PV_CTL_E_NOT_ALLOWED);
    cw_ask_error(w, c, cw_put_msg(items, 2), PV_CTL_E_NOT_ALLOWED);
    cw_expect_taken(cw_ask(w, c, cw_put_msg(items, ITEMS), PV_CTL_RECEIPTS));
    cw_hang_up(w, c);
    assert_non_null(cw_member(w, &bob));
}

/* --- signatures ------------------------------------------------------------------------------ */

/* How many the core verifies: each of them once, as they are most of what a newcomer costs. */
static unsigned verified;

/* The linker puts this one before libsodium's (tests/CMakeLists.txt). */
int __real_crypto_sign_verify_detached(const unsigned char *sig, const unsigned char *m,
                                       unsigned long long mlen, const unsigned char *pk);
int __wrap_crypto_sign_verify_detached(const unsigned char *sig, const unsigned char *m,
                                       unsigned long long mlen, const unsigned char *pk);
int __wrap_crypto_sign_verify_detached(const unsigned char *sig, const unsigned char *m,
                                       unsigned long long mlen, const unsigned char *pk)
{
    verified++;
    return __real_crypto_sign_verify_detached(sig, m, mlen, pk);
}

PV_TEST(a_newcomer_costs_each_of_its_signatures_once)
{
    struct cw *w = cw_home(1);
    struct cw_client *alice = cw_member(w, &w->alice);
    verified = 0;
    struct cw_keys invite = cw_invite(w, alice, 1);
    assert_int_equal(verified, 1);

    /* Its hello, its join by the invite, and the statement, which invite and node have signed. */
    struct cw_node bob = cw_node_make(w);
    verified = 0;
    cw_join(w, &invite, &bob, "bob");
    assert_int_equal(verified, 4);

    /* Nothing of it is verified when others are told, nor when it comes back: that is a hello. */
    verified = 0;
    cw_ask_ok(w, alice, (struct pv_ctl_msg){.type = PV_CTL_PULL}, PV_CTL_STATEMENTS);
    assert_int_equal(verified, 0);
    struct cw_client *b = cw_member(w, &bob);
    cw_ask_ok(w, b, (struct pv_ctl_msg){.type = PV_CTL_PULL}, PV_CTL_STATEMENTS);
    assert_int_equal(verified, 1);
}

PV_TEST(a_statement_put_again_costs_none)
{
    struct cw *w = cw_home(2);
    struct cw_client *alice = cw_member(w, &w->alice);
    verified = 0;
    assert_int_equal(cw_put(w, alice, pv_made_view(&w->created.member)), PV_CTL_E_NONE);
    assert_int_equal(verified, 0);
}

/* --- cards ----------------------------------------------------------------------------------- */

static struct pv_view card_of(const struct cw *w, const struct cw_node *node, uint64_t serial)
{
    struct pv_statement st = {.type = PV_ST_CARD, .u.card = {.serial = serial}};
    return cw_sign(w, st, node->id.sk);
}

/* How many cards the whole log has. */
static size_t count_cards(struct cw *w, struct cw_client *c)
{
    const struct pv_ctl_msg *page = cw_pull(w, c);
    size_t n = 0;
    for (size_t i = 0; i < page->u.statements.n; i++)
        n += page->u.statements.items[i].statement.ptr[1] == PV_ST_CARD ? 1 : 0;
    return n;
}

/* Put, stored, read again and told to a member. */
PV_TEST(the_longest_card_is_kept)
{
    struct cw *w = cw_home(10);
    struct cw_client *alice = cw_member(w, &w->alice);
    const struct pv_statement st = {.type = PV_ST_CARD, .u.card = longest_card()};
    assert_int_equal(cw_put(w, alice, cw_sign(w, st, w->alice.id.sk)), PV_CTL_E_NONE);
    assert_int_equal(count_cards(w, alice), 1);
    cw_restart(w);
    alice = cw_member(w, &w->alice);
    assert_int_equal(count_cards(w, alice), 1);
}

PV_TEST(the_log_has_the_newest_card_of_each_member)
{
    struct cw *w = cw_home(9);
    struct cw_client *alice = cw_member(w, &w->alice);
    const struct cw_node bob = cw_invited(w, alice, "bob"), stranger = cw_node_make(w);
    assert_int_equal(cw_put(w, alice, card_of(w, &w->alice, 5)), PV_CTL_E_NONE);
    assert_int_equal(cw_put(w, alice, card_of(w, &bob, 5)), PV_CTL_E_NONE); /* anybody brings it */
    assert_int_equal(cw_put(w, alice, card_of(w, &bob, 6)), PV_CTL_E_NONE);
    assert_int_equal(cw_put(w, alice, card_of(w, &bob, 5)), PV_CTL_E_FULL); /* of before */
    assert_int_equal(cw_put(w, alice, card_of(w, &stranger, 5)), PV_CTL_E_NOT_ALLOWED);
    assert_int_equal(count_cards(w, alice), 2);
    cw_restart(w);
    alice = cw_member(w, &w->alice);
    assert_int_equal(count_cards(w, alice), 2);
    assert_int_equal(cw_put(w, alice, cw_revocation(w, PV_REVOKE_NODE, bob.id.pk)), PV_CTL_E_NONE);
    assert_int_equal(count_cards(w, alice), 1);
    assert_int_equal(cw_put(w, alice, card_of(w, &bob, 7)), PV_CTL_E_NOT_ALLOWED);
}
