/* SPDX-License-Identifier: MIT */
/* The coordinator's core against clients that do not play by the rules. */
#include "coord_world.h"
#include "coordinator/core/member/cnet.h"

/* --- bytes --------------------------------------------------------------------------------- */

/* Opens a connection that is only bytes; returns its id. */
static uint64_t raw_open(struct cw *w)
{
    struct pv_addr src = pv_addr4(203, 0, 113, 5, 999);
    uint64_t id = w->next_conn++;
    assert_ok(pv_coord_accept(w->coord, id, &src, w->now));
    return id;
}

/* Is the connection told to be closed, and by nothing but that? */
static bool raw_is_closed(struct cw *w, uint64_t id)
{
    struct pv_coord_ready ready;
    bool closed = false;
    while (pv_coord_poll_ready(w->coord, &ready, w->now) == PV_OK)
        closed |= ready.id == id && ready.kind == PV_COORD_READY_CLOSE;
    return closed;
}

PV_TEST(garbage_is_dropped_without_an_answer)
{
    static const char *const rows[] = {
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "P2PVPN/1\n",
        "P\1\x01\x60",
        "P\1\xff\xff",
        "P\2",
        "POST / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\x01\x01like STUN, no cookie",
    };
    struct cw *w = cw_new(1);
    cw_start(w);
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        uint64_t id = raw_open(w);
        pv_coord_handle_bytes(w->coord, id, pv_view(rows[i], strlen(rows[i])), w->now);
        assert_int_equal(pv_coord_out(w->coord, id).len, 0);
        assert_true(raw_is_closed(w, id));
    }
    assert_int_equal(cw_stats(w).conns, 0);
    assert_int_equal(cw_stats(w).failed, PV_ARRAY_LEN(rows));
}

PV_TEST(random_bytes_behind_a_good_preamble_are_dropped)
{
    struct cw *w = cw_new(2);
    cw_start(w);
    for (int i = 0; i < 200; i++) {
        uint8_t bytes[2 + 2 + 96];
        uint64_t id = raw_open(w);
        pv_rng_fill(&w->rng, bytes, sizeof(bytes));
        memcpy(bytes, "P\1\0\x60", 4);
        pv_coord_handle_bytes(w->coord, id, pv_view(bytes, sizeof(bytes)), w->now);
        assert_int_equal(pv_coord_out(w->coord, id).len, 0);
        assert_true(raw_is_closed(w, id));
    }
}

PV_TEST(a_slow_handshake_ends_after_ten_seconds)
{
    struct cw *w = cw_new(3);
    cw_start(w);
    uint64_t id = raw_open(w);
    for (int i = 0; i < 9; i++) { /* a byte a second keeps nothing alive */
        pv_coord_handle_bytes(w->coord, id, pv_view("P\1\0\x60garbage" + i, 1), w->now);
        assert_false(raw_is_closed(w, id));
        w->now += PV_S(1);
        pv_coord_handle_timeout(w->coord, w->now);
    }
    assert_false(raw_is_closed(w, id));
    w->now += PV_S(1);
    pv_coord_handle_timeout(w->coord, w->now);
    assert_true(raw_is_closed(w, id));

    struct cw_node n = cw_node_make(w);
    struct cw_client *c = cw_connect(w, &n); /* and one that never says hello */
    cw_sleep(w, PV_S(10));
    cw_told_bye(c, PV_CTL_E_TIMEOUT);
}

PV_TEST(a_forged_frame_in_an_open_channel_ends_it)
{
    struct cw *w = cw_home(4);
    static const uint8_t frame[2 + 40] = {0, 40, 1, 2, 3};
    struct cw_client *alice = cw_member(w, &w->alice);
    assert_int_equal(cw_stats(w).online, 1);
    pv_coord_handle_bytes(w->coord, alice->conn, pv_view(frame, sizeof(frame)), w->now);
    cw_pump(w);
    assert_true(alice->closed);
    assert_int_equal(cw_stats(w).online, 0);
}

/* Sends text as it stands over the encrypted channel. */
static void say(struct cw *w, struct cw_client *c, const char *text)
{
    assert_ok(pv_control_send(c->control, pv_view(text, strlen(text))));
    cw_pump(w);
}

PV_TEST(messages_that_are_no_requests_end_the_connection)
{
    static const char *const rows[] = {
        "hello",
        "{}",
        "[[[[[[[[[[[[]]]]]]]]]]]]",
        "{\"id\":1,\"ok\":true,\"t\":\"done\"}",
        "{\"t\":\"bye\",\"error\":\"limit\"}",
    };
    struct cw *w = cw_home(5);
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct cw_client *c = cw_member(w, &w->alice);
        say(w, c, rows[i]);
        cw_told_bye(c, PV_CTL_E_BAD_REQUEST);
    }
}

PV_TEST(unknown_and_wrong_requests_get_an_error_and_no_more)
{
    struct cw *w = cw_home(6);
    struct cw_client *c = cw_member(w, &w->alice);
    say(w, c, "{\"id\":77,\"t\":\"shutdown\"}");
    struct pv_ctl_msg *m = cw_take(c, 77);
    assert_int_equal(m->u.failure.error, PV_CTL_E_UNKNOWN_REQUEST);
    say(w, c, "{\"id\":78,\"t\":\"signal\",\"to\":5}");
    m = cw_take(c, 78);
    assert_int_equal(m->u.failure.error, PV_CTL_E_BAD_REQUEST);
    assert_string_equal(m->u.failure.message, "to");
    cw_ask_ok(w, c, (struct pv_ctl_msg){.type = PV_CTL_PING}, PV_CTL_PONG);
}

/* --- hello --------------------------------------------------------------------------------- */

PV_TEST(a_hello_is_good_for_one_connection_and_one_identity)
{
    struct cw *w = cw_home(7);
    struct cw_client *first = cw_connect(w, &w->alice);
    struct pv_ctl_msg hello = cw_hello_member(w, first, &w->alice);

    struct cw_client *c = cw_connect(w, &w->alice); /* replayed on another connection */
    cw_ask_error(w, c, hello, PV_CTL_E_BAD_SIGNATURE);
    assert_true(c->closed);

    struct cw_node thief = cw_node_make(w); /* alice's name, the thief's signature */
    c = cw_connect(w, &thief);
    struct pv_ctl_msg m = cw_hello_member(w, c, &thief);
    memcpy(m.u.hello.node, w->alice.id.pk, 32);
    cw_ask_error(w, c, m, PV_CTL_E_BAD_SIGNATURE);

    c = cw_connect(w, &thief);
    struct pv_ctl_msg *unknown = cw_ask(w, c, cw_hello_member(w, c, &thief), PV_CTL_ERROR);
    assert_int_equal(unknown->u.failure.error, PV_CTL_E_UNKNOWN_NODE);
    /* The node knows how long to wait, and what then: leaving is for good. */
    assert_null(strstr(unknown->u.failure.message, "leave"));
    c = cw_connect(w, &thief);
    uint8_t nowhere[16] = {9};
    cw_ask_error(w, c, cw_hello(c, &thief, nowhere, PV_CTL_APPLICANT), PV_CTL_E_UNKNOWN_NETWORK);
    c = cw_connect(w, &thief);
    m = cw_hello(c, &thief, w->created.network_id, PV_CTL_APPLICANT);
    m.u.hello.v = 2;
    struct pv_ctl_msg *newer = cw_ask(w, c, m, PV_CTL_ERROR);
    assert_int_equal(newer->u.failure.error, PV_CTL_E_VERSION);
    assert_string_equal(newer->u.failure.message,
                        "this node is newer than this coordinator: upgrade p2pvpn-coordinator");
    c = cw_connect(w, &thief);
    m = cw_hello(c, &thief, w->created.network_id, PV_CTL_APPLICANT);
    m.u.hello.v = 0; /* there is no version before 1 */
    cw_ask_error(w, c, m, PV_CTL_E_BAD_REQUEST);
    assert_int_equal(cw_stats(w).online, 0);
    cw_ask_ok(w, first, hello, PV_CTL_WELCOME);
    cw_ask_error(w, first, hello, PV_CTL_E_STATE); /* once is enough */
}

PV_TEST(nothing_goes_before_hello)
{
    struct cw *w = cw_new(8);
    struct pv_ctl_item items[4];
    cw_start(w);
    cw_make_network(w);
    struct cw_client *c = cw_connect(w, &w->alice);
    cw_ask_error(w, c, (struct pv_ctl_msg){.type = PV_CTL_PING}, PV_CTL_E_STATE);
    cw_ask_error(w, c, (struct pv_ctl_msg){.type = PV_CTL_LIST}, PV_CTL_E_STATE);
    cw_ask_error(w, c, cw_create_msg(w, items), PV_CTL_E_STATE);
    assert_int_equal(w->n_rows, 0);
}

/* --- applicants ------------------------------------------------------------------------------- */

PV_TEST(applicants_may_only_join_or_create)
{
    struct cw *w = cw_home(9);
    struct pv_ctl_item items[4];
    static const uint8_t nodes[1][PV_SIGN_PK_LEN] = {{1}};
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = cw_invite(w, alice, 1);
    struct cw_node bob = cw_node_make(w);
    struct cw_client *c = cw_applicant(w, &bob);
    struct pv_ctl_msg sub = {.type = PV_CTL_SUBSCRIBE,
                             .u.subscribe = {.on = true, .n = 1, .nodes = nodes}};
    struct pv_ctl_item item = cw_item(pv_made_view(&w->created.network));
    cw_ask_error(w, c, sub, PV_CTL_E_NOT_ALLOWED);
    cw_ask_error(w, c, cw_signal(&w->alice, pv_view("x", 1)), PV_CTL_E_NOT_ALLOWED);
    cw_ask_error(w, c, cw_put_msg(&item, 1), PV_CTL_E_NOT_ALLOWED);
    cw_ask_error(w, c, (struct pv_ctl_msg){.type = PV_CTL_LIST}, PV_CTL_E_NOT_ALLOWED);
    cw_ask_error(w, c, (struct pv_ctl_msg){.type = PV_CTL_PULL}, PV_CTL_E_NOT_ALLOWED);
    cw_ask_error(w, c, cw_create_msg(w, items), PV_CTL_E_NOT_ALLOWED);
    assert_null(cw_take_push(alice, PV_CTL_SIGNAL));
    /* An applicant of no network creates and does nothing else; a member does not join. */
    c = cw_login(w, &bob, NULL, PV_CTL_APPLICANT);
    cw_ask_error(w, c, cw_join_msg(c, &invite, &bob, "bob"), PV_CTL_E_NOT_ALLOWED);
    cw_ask_error(w, alice, cw_join_msg(alice, &invite, &w->alice, "x"), PV_CTL_E_NOT_ALLOWED);
    cw_ask_error(w, alice, cw_create_msg(w, items), PV_CTL_E_NOT_ALLOWED);
}

PV_TEST(an_applicant_has_thirty_seconds)
{
    struct cw *w = cw_home(10);
    struct cw_node bob = cw_node_make(w);
    struct cw_client *c = cw_applicant(w, &bob);
    for (int i = 0; i < 5; i++) { /* pings do not make it longer */
        cw_sleep(w, PV_S(5));
        cw_ask_ok(w, c, (struct pv_ctl_msg){.type = PV_CTL_PING}, PV_CTL_PONG);
    }
    cw_sleep(w, PV_S(5) - 1);
    assert_false(c->closed);
    cw_sleep(w, 1);
    assert_true(c->closed);
}

PV_TEST(an_applicant_has_one_request_under_way)
{
    struct cw *w = cw_home(11);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = cw_invite(w, alice, 1);
    struct cw_node bob = cw_node_make(w);
    struct cw_client *c = cw_applicant(w, &bob);
    struct pv_made made = cw_reserve(w, c, &invite, &bob, "bob");
    w->hold_jobs = true;
    uint64_t one = cw_send(c, cw_register_msg(&made));
    uint64_t two = cw_send(c, (struct pv_ctl_msg){.type = PV_CTL_PING});
    cw_pump(w);
    assert_null(cw_take(c, two));
    assert_false(pv_coord_wants_bytes(w->coord, c->conn)); /* TCP holds the rest back */
    cw_release(w, false);
    (void)cw_answer(c, one, PV_CTL_REGISTERED);
    (void)cw_answer(c, two, PV_CTL_PONG);
}

PV_TEST(a_registration_is_for_the_connections_own_keys)
{
    struct cw *w = cw_home(12);
    static const uint8_t ip4[4] = {10, 66, 3, 4};
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = cw_invite(w, alice, 5);
    struct cw_node bob = cw_node_make(w);
    struct cw_node eve = cw_node_make(w);
    struct cw_client *c = cw_applicant(w, &eve);
    cw_ask_error(w, c, cw_join_msg(c, &invite, &bob, "bob"), PV_CTL_E_BAD_REQUEST);
    static const uint8_t outside[4] = {10, 67, 0, 1}, broadcast[4] = {10, 66, 255, 255};
    struct cw_keys own = cw_keys_make(w);
    struct cw_node mixed = eve;
    memcpy(mixed.transport_pk, bob.transport_pk, 32);
    const struct {
        const struct cw_keys *invite;
        const struct cw_node *node;
        const char *name;
        const uint8_t *ip4;
        enum pv_ctl_error error;
    } rows[] = {
        {&invite, &bob, "bob", ip4, PV_CTL_E_BAD_REQUEST},
        {&invite, &mixed, "bob", ip4, PV_CTL_E_BAD_REQUEST},
        {&own, &eve, "bob", ip4, PV_CTL_E_UNKNOWN_INVITE}, /* that does not exist */
        {&eve.id, &eve, "bob", ip4, PV_CTL_E_UNKNOWN_INVITE},
        {&invite, &eve, "eve", outside, PV_CTL_E_BAD_REQUEST},
        {&invite, &eve, "eve", broadcast, PV_CTL_E_BAD_REQUEST},
        {&invite, &eve, "home", ip4, PV_CTL_E_BAD_REQUEST},
        {&invite, &eve, "alice", ip4, PV_CTL_E_TAKEN},
    };
    struct pv_made made;
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        made = cw_member_statement(w, rows[i].invite, rows[i].node,
                                   (struct cw_claim){rows[i].name, rows[i].ip4, 0, CW_WALL});
        cw_ask_error(w, c, cw_register_msg(&made), rows[i].error);
    }
    made = cw_member_statement(w, &invite, &eve, (struct cw_claim){"eve", ip4, 0, CW_WALL});
    made.raw[made.len - 1] ^= 1;
    cw_ask_error(w, c, cw_register_msg(&made), PV_CTL_E_BAD_SIGNATURE);
    assert_int_equal(w->n_rows, 2);
}

/* --- members ------------------------------------------------------------------------------- */

PV_TEST(members_may_not_sign_what_is_not_theirs)
{
    struct cw *w = cw_home(13);
    struct pv_made made;
    static const uint8_t ip4[4] = {10, 66, 3, 4};
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = cw_invite(w, alice, 5);
    struct cw_node bob = cw_node_make(w);
    struct cw_node mate = cw_node_make(w);
    cw_join(w, &invite, &bob, "bob");
    struct cw_client *b = cw_member(w, &bob);

    struct pv_st_invite inv = {.not_before = 1, .not_after = UINT64_MAX, .uses = 9};
    assert_ok(pv_make_invite(w->created.network_id, pv_signer_sk(bob.id.sk), &inv, &made));
    assert_int_equal(cw_put(w, b, pv_made_view(&made)), PV_CTL_E_NOT_ALLOWED);

    struct pv_statement st = {.type = PV_ST_REVOCATION,
                              .u.revocation = {.kind = PV_REVOKE_NODE, .time = CW_WALL}};
    memcpy(st.u.revocation.pk, w->alice.id.pk, 32);
    assert_int_equal(cw_put(w, b, cw_sign(w, st, bob.id.sk)), PV_CTL_E_NOT_ALLOWED);

    st = (struct pv_statement){.type = PV_ST_ADMIN, .u.admin = {.rights = 3, .time = CW_WALL}};
    memcpy(st.u.admin.node, bob.id.pk, 32);
    assert_int_equal(cw_put(w, b, cw_sign(w, st, w->alice.id.sk)), PV_CTL_E_NOT_ALLOWED);

    /* A member by an invite comes by register, which counts the uses, never by put. */
    made = cw_member_statement(w, &invite, &mate, (struct cw_claim){"mate", ip4, 0, CW_WALL});
    assert_int_equal(cw_put(w, b, pv_made_view(&made)), PV_CTL_E_NOT_ALLOWED);
    /* Not with a receipt that another signed, or that is for something else, either. */
    uint8_t receipt[PV_RECEIPT_LEN];
    struct pv_ctl_item item = cw_received(w, &bob.id, pv_made_view(&made), CW_WALL, receipt);
    assert_int_equal(cw_put_item(w, b, item), PV_CTL_E_NOT_ALLOWED);

    /* Damaged, and of another network. */
    assert_int_equal(cw_put(w, b, pv_view("\1\2\3", 3)), PV_CTL_E_BAD_REQUEST);
    made.raw[made.len - 1] ^= 1;
    assert_int_equal(cw_put(w, b, pv_made_view(&made)), PV_CTL_E_BAD_SIGNATURE);
    uint8_t other[16] = {1};
    assert_ok(pv_make_leave(other, bob.id.sk, 5, CW_WALL, &made));
    assert_int_equal(cw_put(w, b, pv_made_view(&made)), PV_CTL_E_BAD_REQUEST);
    assert_int_equal(cw_stats(w).statements, 6);
}

/* A statement that no roster takes must not reach the disk either: nothing would ever take it
 * off. */
PV_TEST(a_place_out_of_bounds_is_not_stored)
{
    struct cw *w = cw_home(33);
    struct pv_made made;
    struct pv_st_place place = {.serial = 7, .name = "alice2", .ip4 = {10, 67, 0, 1}};
    struct cw_client *alice = cw_member(w, &w->alice);
    size_t rows = w->n_rows;
    place.time = CW_WALL;
    memcpy(place.node, w->alice.id.pk, sizeof(place.node));
    assert_ok(pv_make_place(w->created.network_id, pv_signer_sk(w->alice.id.sk), &place, &made));
    assert_int_equal(cw_put(w, alice, pv_made_view(&made)), PV_CTL_E_BAD_REQUEST);
    pv_store_be32(place.ip4, w->created.ip4);
    snprintf(place.name, sizeof(place.name), "home"); /* the network's own */
    assert_ok(pv_make_place(w->created.network_id, pv_signer_sk(w->alice.id.sk), &place, &made));
    assert_int_equal(cw_put(w, alice, pv_made_view(&made)), PV_CTL_E_BAD_REQUEST);
    assert_int_equal(w->n_rows, rows);
}

PV_TEST(a_flood_of_requests_is_answered_with_limit_and_ends)
{
    struct cw *w = cw_new(14);
    w->cfg.limits.request_rate = 10;
    w->cfg.limits.request_burst = 20;
    struct cw_client *c = cw_open(w);
    size_t limited = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t id = cw_send(c, (struct pv_ctl_msg){.type = PV_CTL_PING});
        cw_pump(w);
        struct pv_ctl_msg *m = cw_take(c, id);
        assert_non_null(m);
        limited += m->type == PV_CTL_ERROR && m->u.failure.error == PV_CTL_E_LIMIT ? 1 : 0;
    }
    assert_int_equal(limited, 80); /* its hello was an applicant's request */
    cw_sleep(w, PV_S(1));
    cw_ask_ok(w, c, (struct pv_ctl_msg){.type = PV_CTL_PING}, PV_CTL_PONG);
    for (int i = 0; i < 150 && !c->closed; i++) {
        cw_send(c, (struct pv_ctl_msg){.type = PV_CTL_PING});
        cw_pump(w);
        cw_client_forget(c);
    }
    assert_true(c->closed);
    assert_int_equal(cw_stats(w).online, 0);
}

PV_TEST(a_reader_that_does_not_read_costs_a_bounded_queue)
{
    struct cw *w = cw_home(16);
    static const uint8_t box[PV_CTL_BOX_MAX];
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_node bob = cw_invited(w, alice, "bob");
    struct cw_client *b = cw_member(w, &bob);
    b->frozen = true;
    struct pv_ctl_msg sig = cw_signal(&bob, pv_view(box, sizeof(box)));
    size_t sent = 0;
    for (; sent < 50; sent++) {
        uint64_t id = cw_send(alice, sig);
        cw_pump(w);
        struct pv_ctl_msg *m = cw_take(alice, id);
        assert_non_null(m);
        if (m->type == PV_CTL_ERROR) {
            assert_int_equal(m->u.failure.error, PV_CTL_E_BUSY);
            break;
        }
    }
    assert_true(sent >= 2 && sent < 10);
    assert_true(pv_coord_out(w->coord, b->conn).len <= PV_CONTROL_OUT_MAX);
    /* Its own requests wait once no answer would fit; when it reads again all goes on. */
    b->frozen = false;
    cw_pump(w);
    for (size_t i = 0; i < sent; i++)
        (void)cw_told(b, PV_CTL_SIGNAL);
    cw_ask_ok(w, alice, sig, PV_CTL_DONE);
    cw_ask_ok(w, b, (struct pv_ctl_msg){.type = PV_CTL_PING}, PV_CTL_PONG);
}

PV_TEST(requests_wait_while_no_answer_fits)
{
    struct cw *w = cw_new(17);
    w->cfg.limits.request_burst = 100000;
    struct cw_client *alice = cw_open(w);
    alice->frozen = true;
    /* A page of the log as often as it takes to fill the output. */
    for (int i = 0; i < 400; i++) {
        cw_send(alice, (struct pv_ctl_msg){.type = PV_CTL_PULL});
        if (i % 50 == 49)
            cw_pump(w);
    }
    cw_pump(w);
    assert_false(pv_coord_wants_bytes(w->coord, alice->conn));
    assert_true(pv_coord_out(w->coord, alice->conn).len <= PV_CONTROL_OUT_MAX);
    alice->frozen = false;
    cw_pump(w);
    size_t n = 0;
    for (uint64_t id = 1; id <= alice->next_id; id++) {
        struct pv_ctl_msg *m = cw_take(alice, id);
        n += m != NULL && m->type == PV_CTL_STATEMENTS ? 1 : 0;
    }
    assert_int_equal(n, 400);
}

PV_TEST(signals_and_subscriptions_have_limits)
{
    struct cw *w = cw_new(18);
    w->cfg.limits.signal_rate = 1;
    w->cfg.limits.signal_burst = 5;
    w->cfg.limits.subscriptions = 2;
    struct cw_client *alice = cw_open(w);
    struct pv_ctl_msg sig = cw_signal(&w->alice, pv_view("x", 1));
    for (int i = 0; i < 5; i++)
        cw_ask_ok(w, alice, sig, PV_CTL_DONE);
    cw_ask_error(w, alice, sig, PV_CTL_E_LIMIT);

    struct cw_keys invite = cw_invite(w, alice, 5);
    uint8_t nodes[3][PV_SIGN_PK_LEN];
    for (int i = 0; i < 3; i++) {
        struct cw_node n = cw_joined(w, &invite, "n");
        memcpy(nodes[i], n.id.pk, 32);
    }
    struct pv_ctl_msg sub = {
        .type = PV_CTL_SUBSCRIBE,
        .u.subscribe = {.on = true, .n = 2, .nodes = (const uint8_t(*)[PV_SIGN_PK_LEN])nodes}};
    cw_ask_ok(w, alice, sub, PV_CTL_PRESENCE);
    sub.u.subscribe.n = 3;
    cw_ask_error(w, alice, sub, PV_CTL_E_LIMIT);
    /* Keys nobody has heard of count like others. */
    uint8_t made_up[1][PV_SIGN_PK_LEN] = {{7}};
    sub.u.subscribe.n = 1;
    sub.u.subscribe.nodes = (const uint8_t(*)[PV_SIGN_PK_LEN])made_up;
    cw_ask_error(w, alice, sub, PV_CTL_E_LIMIT);
}

PV_TEST(reservations_under_one_invite_are_bounded)
{
    struct cw *w = cw_home(19);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = cw_invite(w, alice, 1);
    struct cw_keys other = cw_invite(w, alice, 1);
    size_t held = 0;
    for (int i = 0; i < 70; i++) {
        struct cw_node n = cw_node_make(w);
        struct cw_client *c = cw_applicant(w, &n);
        uint64_t id = cw_send(c, cw_join_msg(c, &invite, &n, "x"));
        cw_pump(w);
        struct pv_ctl_msg *m = cw_take(c, id);
        if (m->type == PV_CTL_RESERVATION)
            held++;
        else
            assert_int_equal(m->u.failure.error, PV_CTL_E_LIMIT);
        cw_hang_up(w, c);
        pv_control_free(c->control); /* keeps the test's own table small */
        free(c);
        w->n_clients--;
    }
    assert_int_equal(held, 65);        /* 64, and one for its one use */
    (void)cw_joined(w, &other, "bob"); /* the holder of another invite is not in the way */
}

PV_TEST(a_coordinator_has_room_for_so_many_networks)
{
    struct cw *w = cw_new(20);
    struct pv_ctl_item items[4];
    w->cfg.limits.networks = 2;
    w->cfg.policy.switches.open = true;
    w->cfg.limits.open_burst = 4;
    cw_start(w);
    for (int i = 0; i < 6; i++) {
        cw_make_network(w);
        struct cw_client *c = cw_login(w, &w->alice, NULL, PV_CTL_APPLICANT);
        struct pv_ctl_msg m = cw_create_msg(w, items);
        m.u.put.has_secret = false;
        if (i < 2)
            cw_ask_ok(w, c, m, PV_CTL_RECEIPTS);
        else
            cw_ask_error(w, c, m, i < 4 ? PV_CTL_E_FULL : PV_CTL_E_LIMIT);
    }
    assert_int_equal(cw_stats(w).networks, 2);
}

PV_TEST(connections_that_end_in_the_middle_leave_nothing_behind)
{
    struct cw *w = cw_home(21);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = cw_invite(w, alice, 5);
    struct cw_node bob = cw_node_make(w);
    struct cw_client *c = cw_applicant(w, &bob);
    struct pv_made made = cw_reserve(w, c, &invite, &bob, "bob");
    w->hold_jobs = true;
    cw_send(c, cw_register_msg(&made));
    cw_send(c, (struct pv_ctl_msg){.type = PV_CTL_PING});
    cw_pump(w);
    cw_hang_up(w, c); /* with one request at the store and one held */
    cw_release(w, false);
    assert_int_equal(cw_stats(w).conns, 1);
    assert_int_equal(cw_stats(w).jobs, 0);
    cw_member(w, &bob); /* the registration was stored: it stands */
}

PV_TEST(operations_that_never_come_back_end_with_the_coordinator)
{
    struct cw *w = cw_new(22);
    struct pv_ctl_item items[4];
    struct cw_client *c = cw_creator(w);
    w->hold_jobs = true;
    cw_send(c, cw_create_msg(w, items));
    cw_pump(w);
    assert_int_equal(cw_stats(w).jobs, 1);
    struct pv_storeop_result res = {.id = 999};
    pv_coord_handle_job(w->coord, &res, w->now); /* an answer to nothing */
    assert_int_equal(cw_stats(w).jobs, 1);
}

PV_TEST(a_receipt_that_is_not_genuine_never_reaches_the_disk)
{
    struct cw *w = cw_home(23);
    uint8_t junk[PV_RECEIPT_LEN] = {1, 128};
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = cw_invite(w, alice, 1);
    struct cw_node bob = cw_joined(w, &invite, "bob");
    struct cw_client *b = cw_member(w, &bob);
    /* Bob has heard of an invite of alice's before she put it, and spoils its receipt. */
    struct cw_keys next = cw_keys_make(w);
    struct pv_made made = cw_make_invite(w, &next, 1);
    struct pv_ctl_item item = {.statement = pv_made_view(&made), .receipt = pv_view(junk, 170)};
    assert_int_equal(cw_put_item(w, b, item), PV_CTL_E_NONE);
    assert_int_equal(w->rows[w->n_rows - 1]->rows[0].foreign.len, 0);
    cw_restart(w);
    (void)cw_joined(w, &next, "carol");
}

PV_TEST(a_node_cannot_fill_the_store_with_statements_of_its_own)
{
    struct cw *w = cw_home(24);
    static struct pv_made made[PV_CTL_ITEMS_MAX];
    static struct pv_ctl_item items[PV_CTL_ITEMS_MAX];
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_node bob = cw_invited(w, alice, "bob");
    struct cw_client *b = cw_member(w, &bob);
    cw_ask_ok(w, alice, (struct pv_ctl_msg){.type = PV_CTL_PULL}, PV_CTL_STATEMENTS);
    size_t stored = 0, told = 0, forgotten = 0;
    for (uint64_t k = 0; k < 6; k++) {
        for (uint64_t i = 0; i < PV_CTL_ITEMS_MAX; i++) {
            struct pv_st_transport st = {.serial = 1 + k * PV_CTL_ITEMS_MAX + i, .time = CW_WALL};
            pv_rng_fill(&w->rng, st.transport, sizeof(st.transport));
            assert_ok(pv_make_transport(w->created.network_id, bob.id.sk, &st, &made[i]));
            items[i] = cw_item(pv_made_view(&made[i]));
        }
        struct pv_ctl_msg *m = cw_ask(w, b, cw_put_msg(items, PV_CTL_ITEMS_MAX), PV_CTL_RECEIPTS);
        for (size_t i = 0; i < PV_CTL_ITEMS_MAX; i++)
            stored += m->u.receipts.results[i].error == PV_CTL_E_NONE ? 1 : 0;
        /* Others are told of what is left, once. */
        for (m = cw_take_push(alice, PV_CTL_STATEMENTS); m != NULL;
             m = cw_take_push(alice, PV_CTL_STATEMENTS)) {
            told += m->u.statements.n;
            assert_false(m->u.statements.more);
        }
    }
    /* Newer ones replace them, so each list finds as much room as the first. */
    assert_int_equal(stored, 6 * PV_ROSTER_MAX_SELF);
    assert_int_equal(told, stored);
    /* Replaced statements leave the disk with the next request. */
    for (size_t i = 0; i < w->n_rows; i++) {
        for (size_t k = 0; k < w->rows[i]->n_rows; k++)
            forgotten += w->rows[i]->rows[k].statement.len == 0 ? 1 : 0;
    }
    assert_int_equal(forgotten, 5 * PV_CTL_ITEMS_MAX - PV_ROSTER_MAX_SELF);
    /* Nor the memory: the log is at most twice as long as what is left of it. */
    const struct pv_cnet *net = pv_coord_network(w->coord, w->created.network_id);
    assert_non_null(net);
    assert_true(net->log_len < PV_CNET_COMPACT ||
                net->log_len <= 2 * (net->log_len - net->n_empty));
    assert_true(net->log_cap < 4 * PV_CTL_ITEMS_MAX + PV_CNET_COMPACT);
    /* A member that reads from the start, and one that goes on from the end, gets what there is. */
    struct pv_ctl_msg *all = cw_pull(w, b);
    assert_int_equal(all->u.statements.n, net->log_len - net->n_empty);
    struct pv_ctl_msg again = {.type = PV_CTL_PULL, .u.pull = all->u.statements.have};
    all = cw_ask(w, b, again, PV_CTL_STATEMENTS);
    assert_int_equal(all->u.statements.n, 0);
}
