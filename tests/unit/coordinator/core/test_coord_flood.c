/* SPDX-License-Identifier: MIT */
/* Many at once: connections that say nothing, applicants that may not join, subscriptions to
 * nobody. A client that does none of this goes on. */

#include "coord_world.h"
#include "coordinator/core/broker.h"
#include "tests/unit/heap_use.h"

PV_TEST(one_network_has_a_rate_of_connections)
{
    struct cw *w = cw_new(15);
    w->cfg.limits.source_rate = 10;
    w->cfg.limits.source_burst = 30;
    struct cw_client *alice = cw_open(w);
    struct pv_addr flood = pv_addr4(192, 0, 2, 1, 1);
    size_t taken = 0;
    for (unsigned i = 0; i < 100; i++) {
        flood.ip[3] = (uint8_t)i;
        taken += pv_coord_accept(w->coord, 1000 + i, &flood, w->now) == PV_OK ? 1 : 0;
    }
    assert_int_equal(taken, 30);
    assert_int_equal(cw_stats(w).limits[PV_COORD_LIMIT_SOURCE], 70);
    cw_ask_ok(w, alice, (struct pv_ctl_msg){.type = PV_CTL_PING}, PV_CTL_PONG);
    cw_sleep(w, PV_S(10)); /* the silent ones are gone, others come in */
    assert_int_equal(cw_stats(w).conns, 1);
    cw_member(w, &w->alice);
}

/* Many members behind one address, and the coordinator was restarted: each that shows who it is
 * costs the address nothing. Strangers from there do, and so does a member that comes all the time.
 */
PV_TEST(members_behind_one_address_come_back_at_once)
{
    enum {
        MEMBERS = 40,
        BURST = 4,
        CROWD = 100, /* half of the connections: of members' addresses beyond that */
    };
    struct cw *w = cw_new(16);
    w->cfg.limits.source_rate = 1;
    w->cfg.limits.source_burst = BURST;
    w->cfg.limits.conns = 2 * CROWD;
    cw_start(w);
    w->source = pv_addr4(192, 0, 2, 1, 1);
    cw_create(w);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = cw_invite(w, alice, MEMBERS);
    struct cw_node nodes[MEMBERS];
    for (unsigned i = 0; i < MEMBERS; i++) {
        w->source = pv_addr4(192, 0, (uint8_t)(10 + i), 1, 1);
        nodes[i] = cw_joined(w, &invite, "x");
    }
    cw_restart(w);
    w->source = pv_addr4(203, 0, 113, 7, 1);
    for (unsigned i = 0; i < MEMBERS; i++)
        cw_member(w, &nodes[i]);
    assert_int_equal(cw_stats(w).online, MEMBERS);
    /* Each time as the newer connection of one that stands: nothing is given back. */
    size_t again = 0;
    while (pv_coord_accept(w->coord, 100000 + again, &w->source, w->now) == PV_OK)
        again++;
    assert_int_equal(again, BURST + CROWD);
    /* One that comes and goes wears out what its network has for this. */
    w->source = pv_addr4(203, 0, 114, 7, 1);
    for (unsigned i = 0; i < BURST; i++)
        cw_hang_up(w, cw_member(w, &nodes[0]));
    for (again = 0; pv_coord_accept(w->coord, 200000 + again, &w->source, w->now) == PV_OK;)
        again++;
    assert_true(again <= 1);
}

/* Connections from here that end before a byte of theirs was read, as many as there is time for. */
static size_t come_and_go(struct cw *w, uint64_t first, size_t n)
{
    size_t taken = 0;
    while (taken < n && pv_coord_accept(w->coord, first + taken, &w->source, w->now) == PV_OK)
        pv_coord_closed(w->coord, first + taken++, w->now);
    return taken;
}

/* Thousands of members behind one address come back at once, and those that were not served in
 * time begin anew: what cost nothing does not keep the others out. A stranger's address pays. */
PV_TEST(a_connection_that_ends_unheard_costs_a_members_address_nothing)
{
    enum {
        BURST = 4
    };
    struct cw *w = cw_new(17);
    w->cfg.limits.source_rate = 1;
    w->cfg.limits.source_burst = BURST;
    cw_start(w);
    w->source = pv_addr4(192, 0, 2, 1, 1);
    cw_create(w);
    cw_member(w, &w->alice);
    cw_sleep(w, PV_S(2 * BURST));
    assert_int_equal(come_and_go(w, 100000, 100), 100);
    w->source = pv_addr4(192, 0, 3, 1, 1);
    assert_int_equal(come_and_go(w, 200000, 100), BURST);
    /* Another machine of the member's /24 is not the member. */
    w->source = pv_addr4(192, 0, 2, 9, 1);
    assert_int_equal(come_and_go(w, 300000, 100), BURST);
    w->source = pv_addr4(192, 0, 2, 1, 1);
    assert_int_equal(come_and_go(w, 400000, 100), 100);
}

/* n connections of 24 networks that say nothing, seven a millisecond; the first one's number is
 * first. */
static void flood(struct cw *w, uint64_t first, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct pv_addr src = pv_addr4(11, 22, (uint8_t)(i % 24), (uint8_t)(i / 24), 1);
        (void)!pv_coord_accept(w->coord, first + i, &src, w->now);
        if (i % 7 == 0) {
            w->now += PV_MS(1);
            cw_pump(w);
        }
    }
}

PV_TEST(a_flood_from_many_networks_displaces_itself)
{
    struct cw *w = cw_new(15);
    w->cfg.limits.applicants = 40;
    w->cfg.limits.regulars = 4;
    struct cw_client *alice = cw_open(w);
    struct cw_keys invite = cw_invite(w, alice, 1);
    struct cw_node bob = cw_node_make(w);
    flood(w, 1000, 2000);
    /* Somebody new, who is not the fastest, joins between two waves; a member comes back. */
    w->source = pv_addr4(203, 0, 113, 9, 40000);
    struct cw_client *applicant = cw_connect(w, &bob);
    w->source = (struct pv_addr){0};
    flood(w, 10000, 2000);
    assert_false(applicant->closed);
    struct cw_client *back = cw_connect(w, &w->alice);
    flood(w, 20000, 2000);
    assert_false(back->closed);
    cw_join(w, &invite, &bob, "bob");
    cw_ask_ok(w, cw_member(w, &w->alice), (struct pv_ctl_msg){.type = PV_CTL_PING}, PV_CTL_PONG);
    assert_true(cw_stats(w).limits[PV_COORD_LIMIT_APPLICANTS] > 5000);
    assert_true(cw_stats(w).conns <= 40 + 4 + 2);
    /* They had a second to say something, since the places were crowded. */
    cw_sleep(w, PV_S(PV_COORD_HURRY_BYTE_S));
    assert_true(cw_stats(w).conns <= 40 / 2 + 6);
}

/* Sixty applicants ask to join as often as they may, half the time by an invite that is used up:
 * the members' work goes on. */
PV_TEST(applicants_do_not_use_up_what_members_need)
{
    struct cw *w = cw_new(33);
    w->cfg.limits.network_rate = 10;
    w->cfg.limits.network_burst = 20;
    struct cw_client *alice = cw_open(w);
    struct cw_keys used = cw_invite(w, alice, 1), good = cw_invite(w, alice, 100);
    (void)cw_joined(w, &used, "carol");
    for (size_t i = 0; i < 60; i++) {
        struct cw_node node = cw_node_make(w);
        struct cw_client *c = cw_applicant(w, &node);
        for (size_t k = 0; k < 12; k++)
            cw_send(c, cw_join_msg(c, k % 2 == 0 ? &used : &good, &node, "x"));
        cw_pump(w);
        cw_client_forget(c);
    }
    (void)cw_invite(w, alice, 1); /* is stored */
}

/* Strangers put what nobody has signed, as much as they may, behind a word of their own. */
PV_TEST(strangers_words_do_not_use_up_what_those_who_join_need)
{
    struct cw *w = cw_home(34);
    struct pv_ctl_item items[PV_CTL_APPLICANT_ITEMS];
    struct cw_keys good = cw_invite(w, cw_member(w, &w->alice), 100);
    for (size_t i = 0; i < PV_CTL_APPLICANT_ITEMS - 1; i++)
        items[i] = cw_item(pv_made_view(&w->created.admin));
    for (size_t i = 0; i < 60; i++) {
        struct cw_node node = cw_node_make(w);
        struct pv_made leave;
        assert_ok(pv_make_leave(w->created.network_id, node.id.sk, 1, CW_WALL, &leave));
        items[PV_CTL_APPLICANT_ITEMS - 1] = cw_item(pv_made_view(&leave));
        struct cw_client *c = cw_applicant(w, &node);
        for (size_t k = 0; k < 12; k++)
            cw_send(c, cw_put_msg(items, PV_CTL_APPLICANT_ITEMS));
        cw_pump(w);
        cw_client_forget(c);
    }
    for (size_t i = 0; i < 10; i++)
        (void)cw_joined(w, &good, "x");
}

/* A network fills its share of the table of presence, and no more; members come in all the same. */
PV_TEST(a_network_has_a_share_of_presence)
{
    struct cw *w = cw_new(91);
    w->cfg.limits.subscriptions = 100000;
    struct cw_client *alice = cw_open(w);
    uint8_t keys[PV_CTL_NODES_MAX][PV_SIGN_PK_LEN];
    struct pv_ctl_msg m = {.type = PV_CTL_SUBSCRIBE};
    m.u.subscribe = (struct pv_ctl_subscribe){
        .on = true, .n = PV_CTL_NODES_MAX, .nodes = (const uint8_t(*)[PV_SIGN_PK_LEN])keys};
    for (size_t i = 0; i < PV_BROKER_STRANGE_MAX / PV_CTL_NODES_MAX; i++) {
        pv_rng_fill(&w->rng, keys, sizeof(keys));
        cw_ask_ok(w, alice, m, PV_CTL_PRESENCE);
        cw_ask_ok(w, alice, m, PV_CTL_PRESENCE); /* again is harmless */
    }
    pv_rng_fill(&w->rng, keys, sizeof(keys));
    cw_ask_error(w, alice, m, PV_CTL_E_LIMIT);
    (void)cw_member(w, &w->alice);
}

/* A network whose requests take long rests, and goes on by itself; applicants of it, and everybody
 * else, notice nothing. Its owner's clock is played here. */
PV_TEST(a_network_that_takes_long_rests)
{
    struct cw *w = cw_home(92);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_node bob = cw_node_make(w);
    const struct pv_ctl_msg ping = {.type = PV_CTL_PING};
    cw_ask_ok(w, alice, ping, PV_CTL_PONG);
    pv_coord_bill(w->coord, PV_COORD_DEBT / 2, w->now);
    cw_ask_ok(w, alice, ping, PV_CTL_PONG); /* half of it is fine */
    pv_coord_bill(w->coord, PV_COORD_DEBT, w->now);
    assert_false(pv_coord_wants_bytes(w->coord, alice->conn));
    struct cw_client *applicant = cw_applicant(w, &bob);
    cw_ask_ok(w, applicant, ping, PV_CTL_PONG);
    uint64_t id = cw_send(alice, ping);
    cw_pump(w);
    assert_null(cw_take(alice, id));
    pv_ns rest = (PV_COORD_SHARE - 1) * 3 * PV_COORD_DEBT / 2;
    assert_true(pv_coord_next_timeout(w->coord) <= w->now + rest);
    cw_sleep(w, rest);
    (void)cw_answer(alice, id, PV_CTL_PONG);
    /* It need not while nobody else has anything to do. */
    pv_coord_bill(w->coord, 2 * PV_COORD_DEBT, w->now);
    assert_true(pv_coord_rests(w->coord));
    id = cw_send(alice, ping);
    cw_pump(w);
    assert_null(cw_take(alice, id));
    pv_coord_idle(w->coord, w->now);
    assert_false(pv_coord_rests(w->coord));
    cw_pump(w);
    (void)cw_answer(alice, id, PV_CTL_PONG);
    /* Requests of long ago are forgotten. */
    for (int i = 0; i < 10; i++) {
        cw_sleep(w, PV_S(1));
        cw_ask_ok(w, alice, ping, PV_CTL_PONG);
        pv_coord_bill(w->coord, PV_COORD_DEBT / 2, w->now);
    }
    assert_true(pv_coord_wants_bytes(w->coord, alice->conn));
}

/* A network pays also for requests that waited in the coordinator behind others, and for nothing
 * else that is sent to it. */
PV_TEST(a_request_that_waited_is_paid_for_too)
{
    struct cw *w = cw_home(95);
    struct cw_client *alice = cw_member(w, &w->alice);
    const struct pv_ctl_msg ping = {.type = PV_CTL_PING}, pull = {.type = PV_CTL_PULL};
    struct pv_coord_ready ready;
    (void)cw_send(alice, ping);
    assert_true(cw_to_coord(w, alice));
    pv_coord_bill(w->coord, 0, w->now);
    assert_ok(pv_coord_poll_ready(w->coord, &ready, w->now));
    pv_coord_bill(w->coord, PV_COORD_DEBT, w->now);
    assert_false(pv_coord_rests(w->coord));
    cw_pump(w);
    pv_coord_bill(w->coord, 0, w->now);
    (void)cw_send(alice, pull);
    (void)cw_send(alice, pull); /* waits for the first */
    (void)cw_send(alice, ping); /* waits for both */
    assert_true(cw_to_coord(w, alice));
    pv_coord_bill(w->coord, 0, w->now);
    do
        assert_ok(pv_coord_poll_ready(w->coord, &ready, w->now));
    while (!ready.bulk);
    pv_coord_bill(w->coord, PV_COORD_DEBT, w->now);
    assert_true(pv_coord_rests(w->coord));
}

/* A question about a whole network is decided a few steps at a time, and others are served between.
 * A node that asks for that network meanwhile is not told that it is no member. */
PV_TEST(a_network_that_takes_long_to_settle_keeps_nobody_waiting)
{
    struct cw *w = cw_home(93);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = cw_invite(w, alice, 100);
    struct cw_node bob = cw_joined(w, &invite, "bob"), carol = cw_node_make(w);
    for (size_t i = 1; i < 20; i++)
        (void)cw_joined(w, &invite, "x");
    cw_drop_clients(w);
    pv_coord_free(w->coord);
    w->cfg.limits.steps = 4;
    cw_start(w);
    alice = cw_member(w, &w->alice);
    struct cw_client *b = cw_member(w, &bob);
    struct cw_client *applicant = cw_login(w, &carol, NULL, PV_CTL_APPLICANT);
    uint64_t id = cw_send_put(alice, cw_revocation(w, PV_REVOKE_INVITE, invite.pk));
    struct pv_ctl_msg *answer = NULL;
    size_t turns = 0;
    cw_pump(w);
    for (answer = cw_take(alice, id); answer == NULL; answer = cw_take(alice, id)) {
        assert_true(pv_coord_next_timeout(w->coord) <= w->now);
        cw_ask_ok(w, applicant, (struct pv_ctl_msg){.type = PV_CTL_PING}, PV_CTL_PONG);
        cw_refused(w, &carol, PV_CTL_E_STORAGE);
        pv_coord_handle_timeout(w->coord, w->now);
        cw_pump(w);
        turns++;
    }
    assert_true(turns > 5);
    assert_int_equal(answer->type, PV_CTL_RECEIPTS);
    assert_true(b->closed);
    cw_refused(w, &bob, PV_CTL_E_REVOKED);
}

/* Members that are there, all by one invite. */
static void bring_members(struct cw *w, const struct cw_keys *invite, struct cw_client **members,
                          size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct cw_node node = cw_node_make(w);
        cw_join(w, invite, &node, "x");
        members[i] = cw_member(w, &node);
    }
}

static size_t count_closed(struct cw_client *const *members, size_t n)
{
    size_t closed = 0;
    for (size_t i = 0; i < n; i++)
        closed += members[i]->closed ? 1 : 0;
    return closed;
}

/* Thousands may be subscribed to each of them, and each is told why: others are served between. */
PV_TEST(members_that_are_removed_at_once_keep_nobody_waiting)
{
    struct cw_client *members[20];
    struct cw *w = cw_home(96);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = cw_invite(w, alice, 100);
    bring_members(w, &invite, members, PV_ARRAY_LEN(members));
    struct pv_view end = cw_revocation(w, PV_REVOKE_INVITE, invite.pk);
    assert_int_equal(cw_put(w, alice, end), PV_CTL_E_NONE);
    size_t closed = count_closed(members, PV_ARRAY_LEN(members));
    assert_in_range(closed, 1, 8);
    while (closed < PV_ARRAY_LEN(members)) {
        assert_true(pv_coord_next_timeout(w->coord) <= w->now);
        cw_ask_ok(w, alice, (struct pv_ctl_msg){.type = PV_CTL_PING}, PV_CTL_PONG);
        pv_coord_handle_timeout(w->coord, w->now);
        cw_pump(w);
        size_t more = count_closed(members, PV_ARRAY_LEN(members));
        assert_in_range(more, closed + 1, closed + 8);
        closed = more;
    }
    assert_true(pv_coord_next_timeout(w->coord) > w->now);
}

/* All but a quarter of the connections, where there are others. */
PV_TEST(one_network_leaves_connections_to_others)
{
    struct cw_client *members[16];
    struct cw *w = cw_new(98);
    w->cfg.limits.conns = 16;
    struct cw_client *alice = cw_open(w);
    struct cw_keys invite = cw_invite(w, alice, 100);
    struct cw_node bob = cw_joined(w, &invite, "bob"), carol = cw_joined(w, &invite, "carol");
    bring_members(w, &invite, members, 10);
    struct cw_client *b = cw_member(w, &bob); /* the twelfth: there is no other network yet */
    struct cw_client *last = cw_member(w, &carol);
    cw_hang_up(w, last);
    uint8_t home[PV_NETWORK_ID_LEN];
    memcpy(home, w->created.network_id, sizeof(home));
    cw_create(w);
    last = cw_connect(w, &carol);
    cw_ask_error(w, last, cw_hello(last, &carol, home, PV_CTL_MEMBER), PV_CTL_E_FULL);
    assert_true(last->closed);
    struct cw_client *again = cw_login(w, &bob, home, PV_CTL_MEMBER);
    assert_true(b->closed && !again->closed); /* replaced */
    cw_member(w, &w->alice);                  /* of the other one */
}

/* As when a whole network loses its way here. */
PV_TEST(members_that_fall_silent_at_once_keep_nobody_waiting)
{
    struct cw_client *members[20];
    struct cw *w = cw_home(97);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = cw_invite(w, alice, 100);
    bring_members(w, &invite, members, PV_ARRAY_LEN(members));
    w->now += PV_S(PV_COORD_DEAD_S - 1);
    cw_ask_ok(w, alice, (struct pv_ctl_msg){.type = PV_CTL_PING}, PV_CTL_PONG);
    w->now += PV_S(2);
    for (size_t ended = 0; ended < PV_ARRAY_LEN(members);) {
        uint64_t before = cw_stats(w).online;
        assert_true(pv_coord_next_timeout(w->coord) <= w->now);
        pv_coord_handle_timeout(w->coord, w->now);
        uint64_t gone = before - cw_stats(w).online;
        assert_in_range(gone, 1, 8);
        ended += gone;
        cw_ask_ok(w, alice, (struct pv_ctl_msg){.type = PV_CTL_PING}, PV_CTL_PONG);
    }
}

/* Answers of the store wait too while a network rests. */
PV_TEST(a_network_that_rests_takes_nothing_in)
{
    struct cw *w = cw_home(94);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys key = cw_keys_make(w);
    struct pv_made made = cw_make_invite(w, &key, 1);
    w->hold_jobs = true;
    uint64_t id = cw_send_put(alice, pv_made_view(&made));
    cw_pump(w);
    pv_coord_bill(w->coord, PV_COORD_DEBT, w->now); /* what it asked for took long */
    cw_release(w, false);
    assert_null(cw_take(alice, id));
    cw_sleep(w, (PV_COORD_SHARE - 1) * PV_COORD_DEBT);
    (void)cw_answer(alice, id, PV_CTL_RECEIPTS);
}

static bool is_answered(struct cw *w, const struct pv_addr *src)
{
    static const uint8_t request[20] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42};
    const struct pv_stuns_place place = {.local = pv_addr4(192, 0, 2, 1, 3478)};
    struct pv_stuns_reply reply;
    return pv_relaycore_answer(pv_coord_relay(w->coord), src, &place,
                               pv_view(request, sizeof(request)), w->now, &reply) == PV_OK;
}

/* The relay hears from control where members come from. */
PV_TEST(strangers_leave_members_their_stun_answers)
{
    struct cw *w = cw_home(21);
    const struct pv_addr member = pv_addr4(203, 0, 113, 9, 5000);
    const struct pv_addr stranger = pv_addr4(203, 0, 113, 10, 5000);
    w->source = member;
    cw_member(w, &w->alice);
    cw_relay(w);
    for (unsigned i = 0; i < 2 * PV_STUNS_TOTAL_BURST; i++) {
        const struct pv_addr src = pv_addr4_u32((11u << 24) + i * 256, 9);
        (void)is_answered(w, &src);
    }
    assert_false(is_answered(w, &stranger));
    assert_true(is_answered(w, &member));
}

/* --- memory: what networks and members cost -------------------------------------------------- */

/* Nobody is connected; what is allocated is counted. Most networks are small, so it matters most
 * what one costs before its members. */

enum {
    NETWORKS = 8,
    MEMBERS = 10,
    NETWORK_BYTES = 13 * 1024, /* before its members, at most; 12,352 with its log */
    MEMBER_BYTES = 3 * 1024,
};

/* The bytes free again when the coordinator goes, while the world of the test stays. */
static size_t bytes_of(unsigned networks, unsigned members)
{
    struct cw *w = cw_new(1);
    cw_start(w);
    for (unsigned n = 0; n < networks; n++) {
        cw_create(w);
        struct cw_client *alice = cw_member(w, &w->alice);
        struct cw_keys invite = cw_invite(w, alice, MEMBERS);
        for (unsigned i = 1; i < members; i++)
            (void)cw_joined(w, &invite, "x");
        cw_hang_up(w, alice);
    }
    cw_sleep(w, PV_S(120)); /* what is kept for moments is not meant */
    cw_drop_clients(w);
    size_t before = heap_use();
    w->coord = pv_coord_free(w->coord);
    return before - heap_use();
}

PV_TEST(a_small_network_costs_little)
{
    size_t none = bytes_of(0, 0), small = bytes_of(NETWORKS, 1), full = bytes_of(NETWORKS, MEMBERS);
    assert_true(full > small && small > none);
    size_t member = (full - small) / ((MEMBERS - 1) * NETWORKS);
    size_t network = (small - none) / NETWORKS - member;
    printf("%zu bytes a network, %zu a member\n", network, member);
    assert_true(network <= NETWORK_BYTES);
    assert_true(member <= MEMBER_BYTES);
}
