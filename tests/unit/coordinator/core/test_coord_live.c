/* SPDX-License-Identifier: MIT */
/* The coordinator's core while nodes are connected: presence, signals, removal, paging, repair. */
#include "coord_world.h"
#include "proto/stun/turn.h"
#include "tests/unit/coordinator/core/turn/turn_counts.h"
#include "tests/unit/kem_double.h"

/* --- presence and signals -------------------------------------------------------------------- */

static struct pv_ctl_msg subscribe_to(const struct cw_node *node, uint8_t (*buf)[PV_SIGN_PK_LEN])
{
    memcpy(buf[0], node->id.pk, PV_SIGN_PK_LEN);
    return (struct pv_ctl_msg){
        .type = PV_CTL_SUBSCRIBE,
        .u.subscribe = {.on = true, .n = 1, .nodes = (const uint8_t(*)[PV_SIGN_PK_LEN])buf}};
}

/* Is told that the node has come or gone; since when. */
static uint64_t expect_presence(struct cw_client *c, const struct cw_node *node, bool online)
{
    struct pv_ctl_msg *m = cw_told(c, PV_CTL_PRESENCE);
    assert_int_equal(m->u.presence.n, 1);
    assert_memory_equal(m->u.presence.nodes[0].node, node->id.pk, 32);
    assert_int_equal(m->u.presence.nodes[0].online, online);
    return m->u.presence.nodes[0].since_us;
}

PV_TEST(presence_goes_to_subscribers_only_and_tells_restarts)
{
    struct cw *w = cw_home(18);
    uint8_t buf[1][PV_SIGN_PK_LEN];
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_node bob = cw_invited(w, alice, "bob"), carol = cw_invited(w, alice, "carol");
    struct cw_client *c = cw_member(w, &carol);
    struct pv_ctl_msg *m = cw_ask(w, alice, subscribe_to(&bob, buf), PV_CTL_PRESENCE);
    assert_false(m->u.presence.nodes[0].online);

    struct cw_client *b = cw_member(w, &bob);
    cw_pump(w);
    uint64_t since = expect_presence(alice, &bob, true);
    assert_null(cw_take_push(c, PV_CTL_PRESENCE));

    struct cw_client *b2 = cw_member(w, &bob); /* restarted: the older connection ends */
    cw_pump(w);
    assert_true(expect_presence(alice, &bob, true) > since);
    cw_told_bye(b, PV_CTL_E_REPLACED);

    cw_hang_up(w, b2);
    cw_pump(w);
    (void)expect_presence(alice, &bob, false);

    m = cw_ask(w, alice, subscribe_to(&bob, buf), PV_CTL_PRESENCE);
    struct pv_ctl_msg off = subscribe_to(&bob, buf);
    off.u.subscribe.on = false;
    cw_ask_ok(w, alice, off, PV_CTL_PRESENCE);
    cw_member(w, &bob);
    cw_pump(w);
    assert_null(cw_take_push(alice, PV_CTL_PRESENCE));
}

/* A restored backup knows less than the nodes, which subscribe before they repair it. */
PV_TEST(a_node_that_is_not_known_yet_can_be_subscribed_to)
{
    struct cw *w = cw_home(28);
    uint8_t buf[1][PV_SIGN_PK_LEN];
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = cw_invite(w, alice, 1);
    struct cw_node bob = cw_node_make(w);
    struct pv_ctl_msg *m = cw_ask(w, alice, subscribe_to(&bob, buf), PV_CTL_PRESENCE);
    assert_false(m->u.presence.nodes[0].online);
    cw_join(w, &invite, &bob, "bob");
    cw_member(w, &bob);
    cw_pump(w);
    (void)expect_presence(alice, &bob, true);
}

PV_TEST(a_node_that_vanished_is_offline_within_25_seconds)
{
    struct cw *w = cw_home(19);
    uint8_t buf[1][PV_SIGN_PK_LEN];
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_node bob = cw_invited(w, alice, "bob");
    struct cw_client *b = cw_member(w, &bob);
    cw_ask_ok(w, alice, subscribe_to(&bob, buf), PV_CTL_PRESENCE);
    for (int i = 0; i < 3; i++) {
        cw_sleep(w, PV_S(10));
        cw_ask_ok(w, alice, (struct pv_ctl_msg){.type = PV_CTL_PING}, PV_CTL_PONG);
        if (i == 0)
            cw_ask_ok(w, b, (struct pv_ctl_msg){.type = PV_CTL_PING}, PV_CTL_PONG);
    }
    assert_null(cw_take_push(alice, PV_CTL_PRESENCE));
    cw_sleep(w, PV_S(5) - 1); /* 25 s less a nanosecond after its last word */
    assert_null(cw_take_push(alice, PV_CTL_PRESENCE));
    assert_false(b->closed);
    cw_sleep(w, 1);
    (void)expect_presence(alice, &bob, false);
}

/* A phone that alice lets in, with this member as its gateway. */
static struct cw_node make_phone(struct cw *w, struct cw_client *alice,
                                 const struct cw_node *gateway, uint8_t ip)
{
    struct cw_node phone = cw_node_make(w);
    struct pv_st_member st = {.issued = CW_WALL, .serial = 1, .ip4 = {10, 66, 200, ip}};
    struct pv_st_route route = {.slot = {.number = ip, .seq = 1},
                                .kind = PV_ROUTE_ALLOW,
                                .prefix = {.base = pv_addr4(10, 66, 200, ip, 0), .bits = 32},
                                .time = CW_WALL};
    struct pv_made member, carried;
    snprintf(st.name, sizeof(st.name), "phone%u", ip);
    memcpy(st.transport, phone.transport_pk, sizeof(st.transport));
    memcpy(route.node, gateway->id.pk, sizeof(route.node));
    assert_ok(pv_make_member(w->created.network_id, w->alice.id.sk, phone.id.sk, &st, &member));
    assert_ok(pv_make_route(w->created.network_id, w->alice.id.sk, &route, &carried));
    assert_int_equal(cw_put(w, alice, pv_made_view(&carried)), PV_CTL_E_NONE);
    assert_int_equal(cw_put(w, alice, pv_made_view(&member)), PV_CTL_E_NONE);
    return phone;
}

static struct pv_ctl_msg phone_is(const struct cw_node *phone, bool online,
                                  struct pv_ctl_phone *buf)
{
    memcpy(buf->node, phone->id.pk, sizeof(buf->node));
    buf->online = online;
    return (struct pv_ctl_msg){.type = PV_CTL_PHONES, .u.phones = {.n = 1, .nodes = buf}};
}

PV_TEST(a_gateway_tells_the_presence_of_its_phones)
{
    struct cw *w = cw_home(31);
    uint8_t buf[1][PV_SIGN_PK_LEN];
    struct pv_ctl_phone one;
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_node nas = cw_invited(w, alice, "nas"), eve = cw_invited(w, alice, "eve");
    struct cw_node phone = make_phone(w, alice, &nas, 7);
    struct cw_client *gateway = cw_member(w, &nas), *other = cw_member(w, &eve);
    struct pv_ctl_msg *m = cw_ask(w, alice, subscribe_to(&phone, buf), PV_CTL_PRESENCE);
    assert_false(m->u.presence.nodes[0].online);
    uint64_t nodes = cw_stats(w).online;

    cw_ask_error(w, other, phone_is(&phone, true, &one), PV_CTL_E_NOT_ALLOWED);
    assert_null(cw_take_push(alice, PV_CTL_PRESENCE));
    cw_ask_ok(w, gateway, phone_is(&phone, true, &one), PV_CTL_DONE);
    uint64_t since = expect_presence(alice, &phone, true);
    assert_int_equal(cw_stats(w).online, nodes); /* it has no connection */

    cw_ask_ok(w, gateway, phone_is(&phone, true, &one), PV_CTL_DONE); /* no news */
    cw_ask_ok(w, other, phone_is(&phone, false, &one), PV_CTL_DONE);  /* changes nothing */
    assert_null(cw_take_push(alice, PV_CTL_PRESENCE));

    cw_sleep(w, PV_S(1));
    cw_ask_ok(w, gateway, phone_is(&phone, false, &one), PV_CTL_DONE);
    assert_true(expect_presence(alice, &phone, false) > since);
}

PV_TEST(a_phone_is_online_as_long_as_its_gateway)
{
    struct cw *w = cw_home(32);
    uint8_t buf[1][PV_SIGN_PK_LEN];
    struct pv_ctl_phone one;
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_node nas = cw_invited(w, alice, "nas");
    struct cw_node phone = make_phone(w, alice, &nas, 7);
    struct cw_client *gateway = cw_member(w, &nas);
    cw_ask_ok(w, gateway, phone_is(&phone, true, &one), PV_CTL_DONE);
    struct pv_ctl_msg *m = cw_ask(w, alice, subscribe_to(&phone, buf), PV_CTL_PRESENCE);
    assert_true(m->u.presence.nodes[0].online);

    /* It connects anew: its phones stay until it says more. */
    struct cw_client *again = cw_member(w, &nas);
    cw_pump(w);
    cw_told_bye(gateway, PV_CTL_E_REPLACED);
    assert_null(cw_take_push(alice, PV_CTL_PRESENCE));
    cw_hang_up(w, again);
    cw_pump(w);
    (void)expect_presence(alice, &phone, false);
}

PV_TEST(a_gateway_has_no_more_phones_online_than_it_may)
{
    struct cw *w = cw_home(33);
    struct pv_ctl_phone one;
    struct cw_client *alice = cw_member(w, &w->alice);
    for (uint8_t i = 0; i <= PV_CTL_PHONES_MAX; i++) {
        struct cw_node phone = make_phone(w, alice, &w->alice, (uint8_t)(10 + i));
        if (i < PV_CTL_PHONES_MAX)
            cw_ask_ok(w, alice, phone_is(&phone, true, &one), PV_CTL_DONE);
        else
            cw_ask_error(w, alice, phone_is(&phone, true, &one), PV_CTL_E_LIMIT);
    }
}

PV_TEST(list_has_phones_among_the_members_in_order)
{
    struct cw *w = cw_home(34);
    struct pv_ctl_phone one;
    struct cw_client *alice = cw_member(w, &w->alice);
    for (unsigned i = 0; i < 5; i++) {
        struct cw_node node = cw_invited(w, alice, PV_STR("n%u", i));
        cw_member(w, &node);
        struct cw_node phone = make_phone(w, alice, &w->alice, (uint8_t)(10 + i));
        cw_ask_ok(w, alice, phone_is(&phone, true, &one), PV_CTL_DONE);
    }
    struct pv_ctl_msg list = {.type = PV_CTL_LIST};
    struct pv_ctl_msg *m = cw_ask(w, alice, list, PV_CTL_PRESENCE);
    assert_int_equal(m->u.presence.n, 11);
    for (size_t i = 1; i < m->u.presence.n; i++)
        assert_true(memcmp(m->u.presence.nodes[i - 1].node, m->u.presence.nodes[i].node, 32) < 0);
    list.u.list.has_after = true;
    memcpy(list.u.list.after, m->u.presence.nodes[4].node, 32);
    struct pv_ctl_msg *rest = cw_ask(w, alice, list, PV_CTL_PRESENCE);
    assert_int_equal(rest->u.presence.n, 6);
    for (size_t i = 0; i < 6; i++)
        assert_memory_equal(rest->u.presence.nodes[i].node, m->u.presence.nodes[5 + i].node, 32);
}

PV_TEST(list_pages_through_everybody_online_in_order)
{
    struct cw *w = cw_home(20);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = cw_invite(w, alice, 20);
    struct pv_ctl_msg list = {.type = PV_CTL_LIST};
    for (int i = 0; i < 12; i++) {
        struct cw_node n = cw_joined(w, &invite, "n");
        struct cw_client *c = cw_member(w, &n);
        if (i % 3 == 2)
            cw_hang_up(w, c);
    }
    struct pv_ctl_msg *m = cw_ask(w, alice, list, PV_CTL_PRESENCE);
    assert_int_equal(m->u.presence.n, 9);
    assert_false(m->u.presence.more);
    for (size_t i = 1; i < m->u.presence.n; i++)
        assert_true(memcmp(m->u.presence.nodes[i - 1].node, m->u.presence.nodes[i].node, 32) < 0);
    list.u.list.has_after = true;
    memcpy(list.u.list.after, m->u.presence.nodes[6].node, 32);
    struct pv_ctl_msg *rest = cw_ask(w, alice, list, PV_CTL_PRESENCE);
    assert_int_equal(rest->u.presence.n, 2);
    assert_memory_equal(rest->u.presence.nodes[0].node, m->u.presence.nodes[7].node, 32);
}

PV_TEST(signals_reach_the_node_they_are_for)
{
    struct cw *w = cw_home(21);
    static const uint8_t box[300] = {1, 2, 3};
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_node bob = cw_invited(w, alice, "bob"), nobody = cw_node_make(w);
    cw_ask_error(w, alice, cw_signal(&nobody, pv_view(box, 300)), PV_CTL_E_UNKNOWN_NODE);
    struct pv_ctl_msg sig = cw_signal(&bob, pv_view(box, sizeof(box)));
    cw_ask_error(w, alice, sig, PV_CTL_E_OFFLINE);
    struct cw_client *b = cw_member(w, &bob);
    cw_ask_ok(w, alice, sig, PV_CTL_DONE);
    struct pv_ctl_msg *m = cw_told(b, PV_CTL_SIGNAL);
    assert_memory_equal(m->u.signal.node, w->alice.id.pk, 32);
    assert_true(pv_view_equal(m->u.signal.box, sig.u.signal.box));
}

/* However long the store takes: who needs it waits, nobody else does. */
PV_TEST(a_slow_store_keeps_only_those_waiting_who_need_it)
{
    struct cw *w = cw_home(28);
    uint8_t buf[1][PV_SIGN_PK_LEN];
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys next = cw_keys_make(w);
    struct pv_made made = cw_make_invite(w, &next, 1);
    struct cw_node bob = cw_invited(w, alice, "bob");
    cw_ask_ok(w, alice, subscribe_to(&bob, buf), PV_CTL_PRESENCE);

    /* Alice's invite waits for the store. */
    w->hold_jobs = true;
    uint64_t put = cw_send_put(alice, pv_made_view(&made));
    cw_pump(w);
    assert_int_equal(w->n_jobs, 1);

    /* Bob comes, is seen, pulls, and his signal arrives. */
    struct cw_client *b = cw_member(w, &bob);
    cw_pump(w);
    (void)expect_presence(alice, &bob, true);
    (void)cw_pull(w, b);
    cw_ask_ok(w, b, cw_signal(&w->alice, pv_view("box", 3)), PV_CTL_DONE);
    (void)cw_told(alice, PV_CTL_SIGNAL);
    assert_null(cw_take(alice, put));
    assert_int_equal(w->n_jobs, 1);

    cw_release(w, false);
    cw_expect_taken(cw_answer(alice, put, PV_CTL_RECEIPTS));
}

PV_TEST(removing_a_node_drops_it_at_once_and_tells_everybody)
{
    struct cw *w = cw_home(22);
    struct cw_client *alice = cw_member(w, &w->alice);
    (void)cw_pull(w, alice);
    struct cw_node bob = cw_invited(w, alice, "bob");
    struct cw_client *b = cw_member(w, &bob);
    struct pv_view removal = cw_revocation(w, PV_REVOKE_NODE, bob.id.pk);
    cw_client_forget(alice);
    assert_int_equal(cw_put(w, alice, removal), PV_CTL_E_NONE);
    cw_told_bye(b, PV_CTL_E_REVOKED);
    (void)cw_told(alice, PV_CTL_STATEMENTS);
    for (int role = PV_CTL_MEMBER; role <= PV_CTL_APPLICANT; role++) {
        b = cw_connect(w, &bob);
        cw_ask_error(w, b, cw_hello(b, &bob, w->created.network_id, (enum pv_ctl_role)role),
                     PV_CTL_E_REVOKED);
        assert_true(b->closed);
    }
}

PV_TEST(a_node_that_left_may_join_again_by_the_same_invite)
{
    struct cw *w = cw_home(23);
    struct pv_made leave;
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = cw_invite(w, alice, 1);
    struct cw_node bob = cw_joined(w, &invite, "bob");
    struct cw_client *b = cw_member(w, &bob);
    assert_ok(pv_make_leave(w->created.network_id, bob.id.sk, 1, CW_WALL, &leave));
    cw_put(w, b, pv_made_view(&leave));
    assert_true(b->closed);
    cw_refused(w, &bob, PV_CTL_E_LEFT);
    struct cw_client *c = cw_applicant(w, &bob);
    struct pv_ctl_msg *m = cw_ask(w, c, cw_join_msg(c, &invite, &bob, "bob"), PV_CTL_RESERVATION);
    assert_int_equal(m->u.reservation.serial, 2); /* above its leave */
    struct pv_made made = cw_member_statement(
        w, &invite, &bob, (struct cw_claim){"bob", m->u.reservation.ip4, 2, CW_WALL});
    cw_ask_ok(w, c, cw_register_msg(&made), PV_CTL_REGISTERED);
    cw_member(w, &bob);
}

/* --- paging and repair ----------------------------------------------------------------------- */

PV_TEST(two_thousand_statements_are_paged_and_news_follow)
{
    struct cw *w = cw_home(24);
    struct cw_client *alice = cw_member(w, &w->alice);
    for (int k = 0; k < 20; k++) {
        static struct pv_made made[100];
        static struct pv_ctl_item items[100];
        for (int i = 0; i < 100; i++) {
            struct cw_keys key = cw_keys_make(w);
            made[i] = cw_make_invite(w, &key, 1);
            items[i] = cw_item(pv_made_view(&made[i]));
        }
        cw_expect_taken(cw_ask(w, alice, cw_put_msg(items, 100), PV_CTL_RECEIPTS));
        cw_sleep(w, PV_S(1)); /* within the network's rate */
    }
    struct cw_client *reader = cw_member(w, &w->alice);
    struct pv_ctl_msg pull = {.type = PV_CTL_PULL};
    size_t n = 0;
    size_t pages = 0;
    bool more = true;
    uint8_t head[32];
    while (more) {
        struct pv_ctl_msg *m = cw_ask(w, reader, pull, PV_CTL_STATEMENTS);
        assert_true(m->u.statements.n > 50);
        n += m->u.statements.n;
        pages++;
        more = m->u.statements.more;
        assert_int_equal(m->u.statements.has_head, !more);
        memcpy(head, m->u.statements.head, 32);
        pull.u.pull = m->u.statements.have;
    }
    assert_int_equal(n, 2004);
    assert_true(pages < 2004 / 50);
    cw_invite(w, reader, 1);
    struct pv_ctl_msg *m = cw_told(reader, PV_CTL_STATEMENTS);
    assert_int_equal(m->u.statements.n, 1);
    assert_memory_not_equal(m->u.statements.head, head, 32);
    assert_true(m->u.statements.have.n > pull.u.pull.n);
}

PV_TEST(a_restored_backup_is_repaired_by_what_a_node_still_has)
{
    struct cw *w = cw_home(25);
    size_t backup = w->n_rows;
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = cw_invite(w, alice, 1);
    struct cw_node bob = cw_joined(w, &invite, "bob");
    struct pv_ctl_msg *all = cw_pull(w, alice);

    cw_drop_clients(w);
    pv_coord_free(w->coord);
    while (w->n_rows > backup)
        pv_storeop_free(w->rows[--w->n_rows]);
    cw_start(w);
    cw_sleep(w, PV_S(86400 * 3)); /* the invite is long over; the receipts say when it was used */
    cw_refused(w, &bob, PV_CTL_E_UNKNOWN_NODE);
    alice = cw_member(w, &w->alice);
    struct pv_ctl_msg put = cw_put_msg(all->u.statements.items, all->u.statements.n);
    cw_expect_taken(cw_ask(w, alice, put, PV_CTL_RECEIPTS));
    struct pv_ctl_msg *m = cw_pull(w, alice);
    assert_memory_equal(m->u.statements.head, all->u.statements.head, 32);
    /* The receipts of the lost time are the ones that count: they are lower. */
    for (size_t i = 0; i < m->u.statements.n; i++)
        assert_true(
            pv_view_equal(m->u.statements.items[i].receipt, all->u.statements.items[i].receipt));
    cw_member(w, &bob);
}

/* Bob's Allocate by hand. */
static struct pv_view allocate_request(const struct pv_ctl_turn *turn, uint8_t *buf, size_t cap)
{
    const uint8_t txid[PV_STUN_TXID_LEN] = {7};
    struct pv_turnauth_key key;
    struct pv_stun_writer sw;
    size_t len = 0;
    assert_ok(pv_turnauth_key(turn->user, turn->password, &key));
    pv_stun_write_begin(&sw, buf, cap, PV_STUN_REQUEST, PV_TURN_ALLOCATE, txid);
    pv_stun_put_u32(&sw, PV_TURN_ATTR_REQUESTED_TRANSPORT, 17u << 24);
    pv_stun_put_u32(&sw, PV_TURN_ATTR_REQUESTED_ADDRESS_FAMILY, 2u << 24);
    pv_stun_put(&sw, PV_STUN_ATTR_USERNAME, pv_view(turn->user, strlen(turn->user)));
    pv_stun_put(&sw, PV_STUN_ATTR_REALM, pv_view(turn->realm, strlen(turn->realm)));
    pv_stun_put(&sw, PV_STUN_ATTR_NONCE, pv_view(turn->nonce, strlen(turn->nonce)));
    pv_stun_put_integrity(&sw, pv_view(key.md5, sizeof(key.md5)));
    assert_ok(pv_stun_write_end(&sw, &len));
    return pv_view(buf, len);
}

static size_t n_allocations(struct cw *w)
{
    (void)cw_relay(w);
    return tc_allocations(pv_relaycore_turns(pv_coord_relay(w->coord)));
}

/* How many allocations the relay has after bob asked for his by UDP. */
static size_t allocate(struct cw *w, const struct pv_ctl_turn *turn)
{
    uint8_t buf[512];
    struct pv_view request = allocate_request(turn, buf, sizeof(buf));
    const struct pv_turns_in in = {.src = pv_addr4(203, 0, 113, 9, 5555),
                                   .local = pv_addr4(198, 51, 100, 10, 0),
                                   .ptr = buf,
                                   .len = request.len};
    (void)cw_relay(w); /* what is said comes before what is sent then */
    pv_turns_batch(pv_relaycore_turns(pv_coord_relay(w->coord)), &in, 1, w->now);
    return n_allocations(w);
}

PV_TEST(welcome_opens_the_relay_and_removal_closes_it)
{
    static const struct pv_turns_config relay = {.enabled = true};
    struct cw *w = cw_new(27);
    w->cfg.relay = &relay;
    struct cw_client *alice = cw_open(w);
    struct cw_node bob = cw_invited(w, alice, "bob");
    struct pv_ctl_msg *m = cw_welcome(w, &bob);
    assert_true(m->u.welcome.has_turn);
    assert_string_equal(m->u.welcome.turn.realm, PV_TURNAUTH_REALM);
    assert_int_equal(allocate(w, &m->u.welcome.turn), 1);

    struct pv_view removal = cw_revocation(w, PV_REVOKE_NODE, bob.id.pk);
    assert_int_equal(cw_put(w, alice, removal), PV_CTL_E_NONE);
    assert_int_equal(n_allocations(w), 0);
    assert_int_equal(tc_members(pv_relaycore_turns(pv_coord_relay(w->coord))), 1); /* alice */
    assert_int_equal(allocate(w, &m->u.welcome.turn), 0);
}

PV_TEST(without_a_relay_welcome_has_none)
{
    struct cw *w = cw_home(28);
    struct pv_ctl_msg *m = cw_welcome(w, &w->alice);
    assert_false(m->u.welcome.has_turn);
}

PV_TEST(a_datagram_gets_its_answer)
{
    struct cw *w = cw_new(26);
    uint8_t request[20] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3};
    struct pv_stuns_place place = {.local = pv_addr4(198, 51, 100, 10, 3478)};
    struct pv_stuns_reply reply;
    struct pv_addr src = pv_addr4(203, 0, 113, 9, 5555);
    cw_start(w);
    struct pv_relaycore *relay = pv_coord_relay(w->coord);
    assert_ok(pv_relaycore_answer(relay, &src, &place, pv_view(request, sizeof(request)), w->now,
                                  &reply));
    assert_int_equal(reply.len, 44); /* header, XOR-MAPPED-ADDRESS, RESPONSE-ORIGIN */
    assert_true(pv_addr_equal(&reply.from, &place.local));
    assert_true(pv_addr_equal(&reply.to, &src));
    assert_int_equal(pv_relaycore_answer(relay, &src, &place, pv_view("hello", 5), w->now, &reply),
                     PV_ERR_AGAIN);
}

/* Hands in bytes and takes what is to be written, a byte at a time. */
static size_t by_stream(struct cw *w, uint64_t id, struct pv_view bytes, uint8_t *out, size_t cap)
{
    size_t n = 0;
    struct pv_view v;
    assert_true(pv_coord_wants_bytes(w->coord, id));
    pv_coord_handle_bytes(w->coord, id, bytes, w->now);
    assert_int_equal(cw_relay(w), 0);
    while ((v = pv_coord_out(w->coord, id)).len > 0) {
        assert_true(n < cap);
        out[n++] = v.ptr[0];
        pv_coord_wrote(w->coord, id, 1, w->now);
        assert_int_equal(cw_relay(w), 0);
    }
    return n;
}

static bool is_closed(struct cw *w, uint64_t id)
{
    struct pv_coord_ready ready;
    bool closed = false;
    while (pv_coord_poll_ready(w->coord, &ready, w->now) == PV_OK)
        closed = closed || (ready.id == id && ready.kind == PV_COORD_READY_CLOSE);
    return closed;
}

PV_TEST(a_stream_that_begins_with_stun_gets_its_answers_and_ends_in_time)
{
    static const uint8_t request[20] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3};
    struct cw *w = cw_new(28);
    uint8_t twice[2 * sizeof(request)];
    uint8_t out[256];
    struct pv_addr src = pv_addr4(203, 0, 113, 9, 5555);
    memcpy(twice, request, sizeof(request));
    memcpy(twice + sizeof(request), request, sizeof(request));
    cw_start(w);
    assert_ok(pv_coord_accept(w->coord, 900, &src, w->now));
    size_t n = 0;
    for (size_t i = 0; i < sizeof(request); i++)
        n += by_stream(w, 900, pv_view(request + i, 1), out, sizeof(out));
    assert_int_equal(n, 32);
    assert_int_equal(out[0] << 8 | out[1], 0x0101);
    assert_memory_equal(out + 4, request + 4, 16);
    /* The second request waits until the first answer is written. */
    assert_int_equal(by_stream(w, 900, pv_view(twice, sizeof(twice)), out, sizeof(out)), 64);
    assert_false(is_closed(w, 900));
    w->now += PV_S(PV_COORD_HELLO_S) + 1;
    pv_coord_handle_timeout(w->coord, w->now);
    assert_true(is_closed(w, 900));
}

PV_TEST(a_stream_that_says_anything_else_than_binding_is_closed_without_a_word)
{
    static const uint8_t rows[][20] = {
        {0, 3, 0, 0, 0x21, 0x12, 0xa4, 0x42},       /* Allocate */
        {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x43},       /* no cookie */
        {0, 1, 0xff, 0xfc, 0x21, 0x12, 0xa4, 0x42}, /* too long */
        {0x16, 3, 1},                               /* TLS */
    };
    struct cw *w = cw_new(29);
    uint8_t out[256];
    struct pv_addr src = pv_addr4(203, 0, 113, 9, 5555);
    cw_start(w);
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        uint64_t id = 900 + i;
        assert_ok(pv_coord_accept(w->coord, id, &src, w->now));
        assert_int_equal(by_stream(w, id, pv_view(rows[i], sizeof(rows[i])), out, sizeof(out)), 0);
        assert_true(is_closed(w, id));
    }
}

PV_TEST(a_stream_that_relays_stays_open)
{
    static const struct pv_turns_config relay = {.enabled = true};
    struct cw *w = cw_new(31);
    uint8_t request[512];
    uint8_t out[1024];
    uint8_t send[128];
    struct pv_stun_writer sw;
    struct pv_stun_msg msg;
    size_t len = 0;
    struct pv_addr src = pv_addr4(203, 0, 113, 9, 5555);
    w->cfg.relay = &relay;
    struct cw_client *alice = cw_open(w);
    struct cw_node bob = cw_invited(w, alice, "bob");
    struct pv_ctl_msg *m = cw_welcome(w, &bob);
    struct pv_view v = allocate_request(&m->u.welcome.turn, request, sizeof(request));
    assert_ok(pv_coord_accept(w->coord, 900, &src, w->now));
    assert_ok(pv_coord_accept(w->coord, 901, &src, w->now)); /* says nothing */
    len = by_stream(w, 900, v, out, sizeof(out));
    assert_ok(pv_stun_decode(pv_view(out, len), &msg));
    assert_int_equal(msg.cls, PV_STUN_SUCCESS);
    assert_int_equal(n_allocations(w), 1);

    /* A datagram to itself comes back on the stream, padded. */
    struct pv_addr self = pv_turn_virtual_addr(w->coordinator.pk, bob.id.pk);
    const uint8_t txid[PV_STUN_TXID_LEN] = {8};
    pv_stun_write_begin(&sw, send, sizeof(send), PV_STUN_INDICATION, PV_TURN_SEND, txid);
    pv_stun_put_xor_addr(&sw, PV_TURN_ATTR_XOR_PEER_ADDRESS, &self);
    pv_stun_put(&sw, PV_TURN_ATTR_DATA, pv_view("hello", 5));
    assert_ok(pv_stun_write_end(&sw, &len));
    len = by_stream(w, 900, pv_view(send, len), out, sizeof(out));
    struct pv_addr peer;
    struct pv_view data;
    assert_ok(pv_turn_indication_parse(pv_view(out, len), PV_TURN_DATA, &peer, &data));
    assert_true(pv_view_equal(data, pv_view("hello", 5)));

    for (int i = 0; i < 5; i++) {
        w->now += PV_S(PV_COORD_HELLO_S);
        pv_coord_handle_timeout(w->coord, w->now);
        (void)cw_relay(w);
    }
    assert_true(pv_coord_wants_bytes(w->coord, 900));
    assert_false(pv_coord_wants_bytes(w->coord, 901));
    /* The allocation outlives its stream; the next Allocate has it again. */
    pv_coord_closed(w->coord, 900, w->now);
    assert_int_equal(n_allocations(w), 1);
}

PV_TEST(a_stream_whose_allocation_ended_is_closed)
{
    static const struct pv_turns_user users[] = {{"alice", "secret"}};
    static const struct pv_turns_config relay = {.enabled = true, .users = users, .n_users = 1};
    struct cw *w = cw_new(33);
    struct pv_addr src = pv_addr4(203, 0, 113, 9, 5555);
    w->cfg.relay = &relay;
    cw_start(w);
    struct pv_relaylink *link = pv_relaycore_link(pv_coord_relay(w->coord));
    assert_ok(pv_coord_accept(w->coord, 900, &src, w->now));
    static const uint8_t unsigned_allocate[20] = {0, 3, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1};
    uint8_t out[512];
    assert_true(by_stream(w, 900, pv_view(unsigned_allocate, 20), out, sizeof(out)) > 20);
    /* The relay says that it holds one, and later, asked, that it does not. */
    const struct pv_relaynews holds = {.stream = 900, .holder = PV_TURNS_USER};
    assert_true(pv_relaylink_tell(link, &holds, false));
    assert_true(pv_coord_handle_relay(w->coord, w->now));
    assert_false(pv_coord_reads_stream(w->coord, 900)); /* coturn's client: a record a message */
    w->now += PV_S(PV_COORD_HELLO_S) + 1;
    pv_coord_handle_timeout(w->coord, w->now);
    assert_false(is_closed(w, 900));
    (void)cw_relay(w);
    assert_false(is_closed(w, 900));
    w->now += PV_S(PV_COORD_HELLO_S) + 1;
    pv_coord_handle_timeout(w->coord, w->now);
    assert_true(is_closed(w, 900));
}

PV_TEST(a_members_stream_may_have_joined_records)
{
    static const struct pv_turns_config relay = {.enabled = true};
    struct cw *w = cw_new(34);
    struct pv_addr src = pv_addr4(203, 0, 113, 9, 5555);
    w->cfg.relay = &relay;
    cw_start(w);
    struct pv_relaylink *link = pv_relaycore_link(pv_coord_relay(w->coord));
    assert_ok(pv_coord_accept(w->coord, 901, &src, w->now));
    static const uint8_t unsigned_allocate[20] = {0, 3, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1};
    uint8_t out[512];
    assert_true(by_stream(w, 901, pv_view(unsigned_allocate, 20), out, sizeof(out)) > 20);
    assert_false(pv_coord_reads_stream(w->coord, 901));
    const struct pv_relaynews holds = {.stream = 901, .holder = PV_TURNS_MEMBER};
    assert_true(pv_relaylink_tell(link, &holds, false));
    assert_true(pv_coord_handle_relay(w->coord, w->now));
    assert_true(pv_coord_reads_stream(w->coord, 901));
}

PV_TEST(shutting_down_says_bye_to_everybody)
{
    struct cw *w = cw_home(27);
    struct pv_addr src = pv_addr4(203, 0, 113, 9, 5555);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_client *silent = cw_connect(w, &w->alice);
    pv_coord_shutdown(w->coord, w->now);
    assert_int_equal(pv_coord_accept(w->coord, 999, &src, w->now), PV_ERR_LIMIT);
    cw_pump(w);
    assert_true(silent->closed);
    cw_told_bye(alice, PV_CTL_E_SHUTDOWN);
}

/* --- invites with conditions ----------------------------------------------------------------- */

/* A newcomer that waits is told so and gets nothing, admins hear from where it asks, and a member
 * that has expired may renew itself. */

enum {
    DAY = 86400,
};

/* An invite by alice with conditions, put by her. */
static struct cw_keys terms(struct cw *w, struct cw_client *alice, uint8_t flags, uint32_t lifetime)
{
    struct cw_keys k = cw_keys_make(w);
    struct pv_made made = cw_make_terms(w, &k,
                                        (struct pv_st_invite){.not_before = CW_WALL,
                                                              .not_after = CW_WALL + 400 * DAY,
                                                              .uses = 9,
                                                              .flags = flags,
                                                              .lifetime = lifetime});
    assert_int_equal(cw_put(w, alice, pv_made_view(&made)), PV_CTL_E_NONE);
    return k;
}

static enum pv_ctl_error admit(struct cw *w, struct cw_client *by, const struct cw_keys *signer,
                               const struct cw_node *node)
{
    struct pv_made made;
    assert_ok(pv_make_admission(w->created.network_id, pv_signer_sk(signer->sk), node->id.pk,
                                CW_WALL, &made));
    return cw_put(w, by, pv_made_view(&made));
}

PV_TEST(a_node_that_waits_is_told_so_until_an_admin_admits_it)
{
    struct cw *w = cw_home(1);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = terms(w, alice, PV_INVITE_APPROVAL, 0);
    struct cw_node bob = cw_node_make(w), carol = cw_node_make(w);
    cw_join(w, &invite, &bob, "bob");
    cw_refused(w, &bob, PV_CTL_E_WAITING);
    /* As an applicant it sees no more than any applicant, and its name is nobody else's. */
    struct cw_client *c = cw_applicant(w, &bob);
    cw_ask_error(w, c, (struct pv_ctl_msg){.type = PV_CTL_PULL}, PV_CTL_E_NOT_ALLOWED);
    cw_ask_error(w, c, (struct pv_ctl_msg){.type = PV_CTL_ASKERS}, PV_CTL_E_NOT_ALLOWED);
    struct cw_client *other = cw_applicant(w, &carol);
    struct pv_ctl_msg *r =
        cw_ask(w, other, cw_join_msg(other, &invite, &carol, "bob"), PV_CTL_RESERVATION);
    assert_string_equal(r->u.reservation.name, "bob-2");
    /* A node that asks to join once more gets the same place. */
    cw_join(w, &invite, &bob, "bob");
    /* Its own word admits it not, and a member's without the right neither. */
    assert_int_equal(admit(w, alice, &bob.id, &bob), PV_CTL_E_NOT_ALLOWED);
    assert_int_equal(admit(w, alice, &w->coordinator, &bob), PV_CTL_E_NOT_ALLOWED);
    cw_refused(w, &bob, PV_CTL_E_WAITING);
    assert_int_equal(admit(w, alice, &w->alice.id, &bob), PV_CTL_E_NONE);
    (void)cw_member(w, &bob);
}

PV_TEST(admins_hear_from_where_it_asks)
{
    struct cw *w = cw_home(2);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = terms(w, alice, PV_INVITE_APPROVAL, 0), open = cw_invite(w, alice, 1);
    struct cw_node bob = cw_node_make(w), carol = cw_node_make(w);
    cw_join(w, &open, &carol, "carol");
    struct pv_ctl_msg *m =
        cw_ask(w, alice, (struct pv_ctl_msg){.type = PV_CTL_ASKERS}, PV_CTL_ASKED);
    assert_int_equal(m->u.asked.n, 0);
    w->source = pv_addr4(203, 0, 113, 5, 4444);
    cw_join(w, &invite, &bob, "bob");
    w->source = pv_addr4(203, 0, 113, 6, 5555);
    cw_refused(w, &bob, PV_CTL_E_WAITING);
    m = cw_ask(w, alice, (struct pv_ctl_msg){.type = PV_CTL_ASKERS}, PV_CTL_ASKED);
    const struct pv_addr now = pv_addr4(203, 0, 113, 6, 0);
    assert_int_equal(m->u.asked.n, 1);
    assert_memory_equal(m->u.asked.askers[0].node, bob.id.pk, PV_SIGN_PK_LEN);
    assert_true(pv_addr_equal_ip(&m->u.asked.askers[0].from, &now));
    cw_ask_error(w, cw_member(w, &carol), (struct pv_ctl_msg){.type = PV_CTL_ASKERS},
                 PV_CTL_E_NOT_ALLOWED);
    assert_int_equal(admit(w, alice, &w->alice.id, &bob), PV_CTL_E_NONE);
    m = cw_ask(w, alice, (struct pv_ctl_msg){.type = PV_CTL_ASKERS}, PV_CTL_ASKED);
    assert_int_equal(m->u.asked.n, 0);
}

/* Of more than the table holds those who asked longest ago are forgotten; who is denied is, too. */
PV_TEST(the_table_of_who_asks_is_bounded)
{
    struct cw *w = cw_home(3);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_node last = {0};
    for (unsigned i = 0; i < PV_CTL_ASKERS_MAX + 5; i++) {
        if (i % 8 == 0) /* of one invite, a few */
            cw_sleep(w, PV_S(1));
        struct cw_keys invite = terms(w, alice, PV_INVITE_APPROVAL, 0);
        last = cw_joined(w, &invite, "n");
        cw_hang_up(w, w->clients[w->n_clients - 1]);
        if (w->n_clients > CW_CLIENTS - 4) {
            cw_drop_clients(w);
            alice = cw_member(w, &w->alice);
        }
    }
    struct pv_ctl_msg *m =
        cw_ask(w, alice, (struct pv_ctl_msg){.type = PV_CTL_ASKERS}, PV_CTL_ASKED);
    bool found = false;
    assert_int_equal(m->u.asked.n, PV_CTL_ASKERS_MAX);
    for (size_t i = 0; i < m->u.asked.n; i++)
        found = found || memcmp(m->u.asked.askers[i].node, last.id.pk, PV_SIGN_PK_LEN) == 0;
    assert_true(found);
}

/* Its first word after the end is taken like any other, and it is a member again. */
PV_TEST(a_member_that_has_expired_may_renew_itself)
{
    struct cw *w = cw_home(4);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = terms(w, alice, 0, 90 * DAY);
    struct cw_node bob = cw_node_make(w);
    struct pv_made made;
    cw_join(w, &invite, &bob, "bob");
    struct cw_client *b = cw_member(w, &bob);
    pv_coord_set_wall(w->coord, (CW_WALL + UINT64_C(91) * DAY) * 1000000, w->now);
    (void)cw_invite(w, alice, 1); /* tells the time */
    assert_false(b->closed);      /* it works: it has all it needs to go on */
    struct pv_st_transport st = {.serial = 1, .time = CW_WALL};
    memcpy(st.transport, bob.transport_pk, PV_DH_LEN);
    assert_ok(pv_make_transport(w->created.network_id, bob.id.sk, &st, &made));
    cw_hang_up(w, b);
    b = cw_member(w, &bob);
    assert_int_equal(cw_put(w, b, pv_made_view(&made)), PV_CTL_E_NONE);
    cw_ask_ok(w, alice, cw_signal(&bob, pv_view("x", 1)), PV_CTL_DONE);
}

/* --- hybrid keys: nodes with them, without them, and with nonsense --------------------------- */

static struct cw *world(const struct pv_kem *kem)
{
    struct cw *w = cw_new(7);
    w->cfg.kem = kem;
    cw_hang_up(w, cw_open(w));
    return w;
}

static uint64_t hybrids(const struct cw *w)
{
    struct pv_coord_kinds k;
    pv_coord_kinds(w->coord, &k);
    return k.hybrid;
}

/* A hello with an offer. */
static uint64_t say_hello(struct cw *w, struct cw_client *c, uint8_t ek[static PV_KEM_EK_LEN])
{
    struct pv_ctl_msg m = cw_hello_member(w, c, &w->alice);
    m.u.hello.mlkem768 = pv_view(ek, PV_KEM_EK_LEN);
    return cw_send(c, m);
}

PV_TEST(a_node_that_offers_is_welcomed_under_hybrid_keys)
{
    const struct pv_kem *const kems[] = {&kem_double, pv_kem_mlkem768()};
    for (size_t i = 0; i < PV_ARRAY_LEN(kems) && kems[i] != NULL; i++) {
        struct cw *w = world(kems[i]);
        struct cw_client *c = cw_connect(w, &w->alice);
        uint8_t ek[PV_KEM_EK_LEN];
        assert_ok(pv_control_offer(c->control, kems[i], &w->rng, ek));
        uint64_t id = say_hello(w, c, ek);
        cw_pump(w);
        (void)cw_told(c, PV_CTL_HYBRID);
        assert_true(pv_control_is_hybrid(c->control));
        (void)cw_answer(c, id, PV_CTL_WELCOME);
        assert_int_equal(hybrids(w), 1);
        cw_ask_ok(w, c, (struct pv_ctl_msg){.type = PV_CTL_PING}, PV_CTL_PONG);
        cw_hang_up(w, c);
        cw_pump(w);
        assert_int_equal(hybrids(w), 0);
    }
}

/* A node without ML-KEM offers nothing, and a coordinator without it answers nothing. */
PV_TEST(others_go_on_as_before)
{
    uint8_t ek[PV_KEM_EK_LEN];
    struct cw *w = world(&kem_double);
    cw_ask_ok(w, cw_member(w, &w->alice), (struct pv_ctl_msg){.type = PV_CTL_PING}, PV_CTL_PONG);
    assert_int_equal(hybrids(w), 0);
    w = world(NULL);
    struct cw_client *c = cw_connect(w, &w->alice);
    assert_ok(pv_control_offer(c->control, &kem_double, &w->rng, ek));
    uint64_t id = say_hello(w, c, ek);
    cw_pump(w);
    assert_null(cw_take_push(c, PV_CTL_HYBRID));
    (void)cw_answer(c, id, PV_CTL_WELCOME);
    cw_ask_ok(w, c, (struct pv_ctl_msg){.type = PV_CTL_PING}, PV_CTL_PONG);
}

PV_TEST(a_bad_key_ends_the_connection)
{
    uint8_t ek[PV_KEM_EK_LEN];
    struct cw *w = world(&kem_double);
    struct cw_client *c = cw_connect(w, &w->alice);
    memset(ek, 0xff, sizeof(ek));
    uint64_t id = say_hello(w, c, ek);
    cw_pump(w);
    struct pv_ctl_msg *m = cw_answer(c, id, PV_CTL_ERROR);
    assert_int_equal(m->u.failure.error, PV_CTL_E_BAD_REQUEST);
    assert_true(c->closed);
}

static unsigned encapsulated;

static int count_encapsulate(struct pv_view ek, const uint8_t random[static PV_KEM_RANDOM_LEN],
                             uint8_t ret_ct[static PV_KEM_CT_LEN],
                             uint8_t ret_secret[static PV_KEM_SECRET_LEN])
{
    encapsulated++;
    return kem_double.encapsulate(ek, random, ret_ct, ret_secret);
}

/* The work is done for who was let in, once: strangers, replays and second hellos cost none. */
PV_TEST(nobody_causes_the_work_who_is_not_let_in)
{
    static struct pv_kem counting;
    uint8_t ek[PV_KEM_EK_LEN];
    counting = kem_double;
    counting.encapsulate = count_encapsulate;
    encapsulated = 0;
    struct cw *w = world(&counting);
    struct cw_node stranger = cw_node_make(w);
    struct cw_client *c = cw_connect(w, &stranger);
    assert_ok(pv_control_offer(c->control, &kem_double, &w->rng, ek));
    struct pv_ctl_msg m = cw_hello_member(w, c, &stranger);
    m.u.hello.mlkem768 = pv_view(ek, sizeof(ek));
    cw_ask_error(w, c, m, PV_CTL_E_UNKNOWN_NODE);
    c = cw_connect(w, &w->alice);
    m = cw_hello_member(w, c, &w->alice);
    m.u.hello.mlkem768 = pv_view(ek, sizeof(ek));
    m.u.hello.sig[3] ^= 1;
    cw_ask_error(w, c, m, PV_CTL_E_BAD_SIGNATURE);
    assert_int_equal(encapsulated, 0);
    c = cw_member(w, &w->alice);
    m = cw_hello_member(w, c, &w->alice);
    m.u.hello.mlkem768 = pv_view(ek, sizeof(ek));
    cw_ask_error(w, c, m, PV_CTL_E_STATE);
    assert_int_equal(encapsulated, 0);
}
