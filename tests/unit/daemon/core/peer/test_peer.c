/* SPDX-License-Identifier: MIT */
/*
 * Peers without an engine: meetings, retries, limits and turns, and goodbyes. Whole meetings are in
 * tests/sim.
 */
#include <stdatomic.h>

#include "crypto/ct.h"
#include "crypto/dh.h"
#include "daemon/core/peer/peer_int.h"
#include "proto/stun/demux.h"
#include "tests/unit/kem_double.h"
#include "tests/unit/test_util.h"

/* --- two nodes that have peers and nothing else ---------------------------------------------- */

/* They have no engine, no fast path and no network but a loop that hands the datagrams and
 * descriptions of one to the other, in virtual time. */

enum {
    MAX_PEERS = 64,
};

/* A node and its peers; the first is the other node. */
struct node {
    struct test_rng seed;
    struct pv_node node;
    struct pv_identity identity;
    struct pv_peers_common common;
    uint8_t pk[32];
    uint8_t dh_sk[32], dh_pk[32];
    struct pv_wg_device device;
    struct pv_addr addr;
    struct pv_peer *peers[MAX_PEERS];
    size_t n_peers;
    size_t n_descs; /* descriptions sent */
    struct pv_desc last;
};

struct world {
    pv_ns now;
    struct node n[2];
    bool no_signals;  /* descriptions are lost */
    bool no_network;  /* datagrams are lost */
    size_t datagrams; /* sent */
};

static struct world *w; /* of the test that runs */

static void make_node(int i)
{
    struct node *n = &w->n[i];
    struct pv_node *node = &n->node;
    node->rng = test_rng_make(&n->seed, 7 + (uint64_t)i);
    pv_rng_fill(&node->rng, n->pk, sizeof(n->pk));
    n->pk[0] = (uint8_t)i; /* the first has the lower identity key */
    pv_dh_keypair(&node->rng, n->dh_sk, n->dh_pk);
    pv_wg_device_init(&n->device, n->dh_sk);
    n->addr = pv_addr4(192, 0, 2, (uint8_t)(1 + i), 4000);
    memcpy(n->identity.sign_pk, n->pk, sizeof(n->pk));
    node->identity = &n->identity;
    node->keys.device = &n->device;
    node->given.mtu = 1420;
    node->wall = (struct pv_wall){.us = UINT64_C(1800000000000000), .at = w->now};
    node->ways.n_locals = 1;
    node->ways.locals[0] = (struct pv_ice_cand){
        .type = PV_ICE_HOST,
        .addr = n->addr,
        .priority = pv_ice_priority(PV_ICE_HOST, 65535),
        .foundation = 1,
        .carrier = {.kind = PV_ICE_CARRIER_UDP, .local = n->addr},
    };
    assert_ok(pv_fp_builder_new(&node->fp, &node->rng));
    pv_peers_common_init(&n->common, node);
    n->common.signalling = true;
    n->common.gen.safe = n->common.tai.safe = UINT64_MAX; /* marks are on disk */
    n->common.gen.own = true;
}

static struct pv_peer *add_peer(int i, const uint8_t *pk, const uint8_t *transport)
{
    struct node *n = &w->n[i];
    struct pv_peer *p;
    assert_true(n->n_peers < MAX_PEERS);
    assert_ok(pv_peer_new_member(&p, &n->node, pk, transport));
    n->peers[n->n_peers++] = p;
    return p;
}

static void free_world(void *ctx)
{
    w = ctx;
    for (int i = 0; i < 2; i++) {
        struct node *n = &w->n[i];
        while (n->n_peers > 0)
            pv_peer_free(n->peers[--n->n_peers]);
        assert_null(n->node.common->indices);
        assert_null(n->node.common->ufrags);
        assert_int_equal(n->node.common->n_reaching, 0);
        pv_fp_builder_free(n->node.fp);
    }
    free(w);
}

static struct world *make_world(void)
{
    w = test_alloc(sizeof(*w));
    test_defer(free_world, w);
    w->now = PV_S(1000);
    make_node(0);
    make_node(1);
    for (int i = 0; i < 2; i++)
        add_peer(i, w->n[1 - i].pk, w->n[1 - i].dh_pk);
    return w;
}

/* A datagram of node i arrives at the other. */
static void deliver(int i, const struct pv_peer_transmit *tx)
{
    struct node *to = &w->n[1 - i];
    struct pv_peer *p = to->peers[0];
    const struct pv_carrier from = {
        .kind = PV_CARRIER_UDP, .local = to->addr, .remote = w->n[i].addr};
    struct pv_view data = pv_view(tx->buf, tx->len);
    const struct pv_wg_device *device;
    struct pv_wg_initiation in;
    w->datagrams++;
    if (w->no_network || p == NULL || !pv_addr_equal(&tx->dst, &to->addr))
        return;
    switch (pv_demux(data)) {
    case PV_DEMUX_STUN:
        (void)!pv_peer_handle_stun(p, &from, data, w->now);
        break;
    case PV_DEMUX_WG_INITIATION:
        device = pv_peer_key_addressed(&to->node, data);
        if (device != NULL && pv_wgmsg_identify(device, data, &in) == PV_OK &&
            pv_peer_has_key(p, in.static_pk, w->now))
            (void)!pv_peer_handle_initiation(p, &in, &from, w->now);
        break;
    case PV_DEMUX_WG_RESPONSE:
        (void)!pv_peer_handle_reply(p, PV_WGMSG_RESPONSE, data, &from, w->now);
        break;
    default:
        fail_msg("a datagram that no peer sends");
    }
}

static bool pump_node(int i)
{
    struct node *n = &w->n[i];
    bool any = false;
    for (size_t k = 0; k < n->n_peers; k++) {
        struct pv_peer *p = n->peers[k];
        struct pv_peer_transmit tx;
        struct pv_desc desc;
        pv_peer_settle(p, w->now);
        while (n->node.common->signalling && pv_peer_take_desc(p, w->now, &desc)) {
            any = true;
            n->n_descs++;
            n->last = desc;
            if (k == 0 && !w->no_signals && w->n[1 - i].n_peers > 0)
                pv_peer_handle_desc(w->n[1 - i].peers[0], &desc, w->now);
        }
        while (pv_peer_poll_transmit(p, &tx) == PV_OK) {
            any = true;
            deliver(i, &tx);
        }
    }
    return any;
}

static void pump(void)
{
    unsigned rounds = 0;
    while (pump_node(0) | pump_node(1))
        assert_true(++rounds < 1000); /* they come to rest */
}

static void pass(pv_ns time)
{
    pv_ns end = w->now + time;
    pump();
    for (;;) {
        pv_ns next = PV_NEVER;
        for (int i = 0; i < 2; i++) {
            for (size_t k = 0; k < w->n[i].n_peers; k++)
                next = pv_min_ns(next, pv_peer_next_timeout(w->n[i].peers[k]));
        }
        if (next > end)
            break;
        w->now = next > w->now ? next : w->now + PV_US(1);
        for (int i = 0; i < 2; i++) {
            for (size_t k = 0; k < w->n[i].n_peers; k++) {
                if (pv_peer_next_timeout(w->n[i].peers[k]) <= w->now)
                    pv_peer_handle_timeout(w->n[i].peers[k], w->now);
            }
        }
        pump();
    }
    w->now = end;
}

static bool is_up(int i)
{
    const struct pv_peer *p = w->n[i].peers[0];
    return p->state == PV_PEER_UP && pv_peer_has_path(p) && p->session != NULL;
}

static void want(int i)
{
    pv_peer_want(w->n[i].peers[0], "a test", w->now);
    pump();
}

/* Node i wants the other one, and that much time passes. */
static void want_for(int i, pv_ns time)
{
    want(i);
    pass(time);
}

static bool both_up(void)
{
    return is_up(0) && is_up(1);
}

/* --- meeting ------------------------------------------------------------------------------- */

void test_before_each(void)
{
    w = make_world();
}

PV_TEST(a_wish_makes_a_path_and_keys_on_both_sides)
{
    want_for(0, PV_S(1));
    assert_true(both_up());
    assert_true(pv_session_has_keys(w->n[0].peers[0]->session, w->now));
    assert_int_equal(w->n[0].node.common->n_reaching, 0);
    assert_true((w->n[0].peers[0]->due & PV_PEER_DUE_KEEPALIVE) !=
                0); /* proves the keys to the responder */
}

PV_TEST(nothing_is_sent_without_a_wish)
{
    pv_peer_set_presence(w->n[0].peers[0], PV_PRESENCE_ONLINE, 1, w->now);
    pv_peer_node_changed(w->n[0].peers[0], true, w->now);
    pass(PV_S(600));
    assert_int_equal(w->n[0].n_descs + w->datagrams, 0);
}

PV_TEST(a_peer_that_is_offline_is_reached_when_it_comes)
{
    struct pv_peer *p = w->n[0].peers[0];
    pv_peer_set_presence(p, PV_PRESENCE_OFFLINE, 0, w->now);
    want_for(0, PV_S(10));
    assert_int_equal(p->state, PV_PEER_IDLE);
    assert_int_equal(w->n[0].n_descs, 0);
    pv_peer_set_presence(p, PV_PRESENCE_ONLINE, 5, w->now);
    pass(PV_S(1));
    assert_true(is_up(0));
}

PV_TEST(nobody_waits_a_minute_for_a_peer_to_come)
{
    struct pv_peer *p = w->n[0].peers[0];
    pv_peer_set_presence(p, PV_PRESENCE_OFFLINE, 0, w->now);
    want_for(0, PV_PEER_WANTED_FOR);
    pv_peer_set_presence(p, PV_PRESENCE_ONLINE, 5, w->now);
    pass(PV_S(1));
    assert_int_equal(p->state, PV_PEER_IDLE);
}

/* --- failing and trying again ---------------------------------------------------------------- */

PV_TEST(attempts_end_after_30_s_and_come_back_ever_slower)
{
    struct pv_peer *p = w->n[0].peers[0];
    static const unsigned pauses[] = {5, 35, 60, 60};
    w->no_network = w->no_signals = true;
    want(0);
    for (size_t i = 0; i < PV_ARRAY_LEN(pauses); i++) {
        pv_ns begun = w->now;
        assert_int_equal(p->state, PV_PEER_REACHING);
        assert_true(p->deadline == begun + PV_PEER_REACH_TIME);
        pass(PV_PEER_REACH_TIME - 1);
        assert_int_equal(p->state, PV_PEER_REACHING);
        pass(1);
        assert_int_equal(p->state, PV_PEER_FAILED);
        pass(PV_S(pauses[i]) - 1);
        assert_int_equal(p->state, PV_PEER_FAILED);
        p->wanted_at = w->now; /* by packets, which do not begin an attempt */
        pass(1);
    }
    w->no_network = w->no_signals = false;
    pass(PV_S(9)); /* descriptions are repeated every 8 s at least */
    assert_int_equal(p->state, PV_PEER_UP);
    assert_int_equal(p->retry, PV_PEER_RETRY_FIRST);
}

PV_TEST(checks_that_all_failed_are_followed_by_silence)
{
    struct pv_peer *p = w->n[0].peers[0];
    w->no_network = true; /* descriptions arrive, checks do not */
    want_for(0, PV_S(12));
    assert_int_equal(p->state, PV_PEER_FAILED);
    assert_int_equal(w->n[1].peers[0]->state, PV_PEER_FAILED);
    size_t sent = w->datagrams;
    for (unsigned i = 0; i < 30; i++) {
        want(0); /* packets go on asking */
        pass(PV_S(1));
        assert_int_equal(w->datagrams, sent);
    }
    w->no_network = false;
    pass(PV_S(6));
    assert_int_equal(p->state, PV_PEER_UP);
}

PV_TEST(without_a_wish_a_failed_attempt_is_the_last)
{
    struct pv_peer *p = w->n[0].peers[0];
    w->no_network = w->no_signals = true;
    want_for(0, PV_S(600));
    assert_int_equal(p->state, PV_PEER_IDLE);
    size_t sent = w->datagrams + w->n[0].n_descs;
    assert_in_range(w->n[0].n_descs, 5, 150); /* the session repeats itself for 90 s */
    pass(PV_S(600));
    assert_int_equal(w->datagrams + w->n[0].n_descs, sent);
}

/* A relay that went away leaves a peer that is up without a path. A wish begins nothing as long as
 * the agent trusts what it chose, for the relay may be back at once. */
PV_TEST(a_wish_without_a_carrier_begins_anew_when_the_choice_is_suspect)
{
    struct pv_peer *p = w->n[0].peers[0];
    want_for(0, PV_S(1));
    assert_true(is_up(0));
    pv_peer_use_path(p, NULL, w->now);
    want(0);
    assert_int_equal(p->state, PV_PEER_UP);
    w->no_network = w->no_signals = true;
    pv_ice_kick(p->ice, w->now); /* as data does that gets no answer */
    for (unsigned i = 0; i < 100 && pv_ice_state(p->ice) != PV_ICE_CHECKING; i++)
        pass(PV_MS(100));
    assert_int_equal(pv_ice_state(p->ice), PV_ICE_CHECKING);
    assert_int_equal(p->state, PV_PEER_UP);
    assert_int_equal(pv_peer_path_state(p), PV_PATH_STATE_NONE);
    want(0);
    assert_int_equal(p->state, PV_PEER_REACHING);
}

PV_TEST(another_network_is_news_for_a_failed_peer)
{
    struct pv_peer *p = w->n[0].peers[0];
    w->no_network = true;
    want_for(0, PV_PEER_REACH_TIME + PV_S(1));
    assert_int_equal(p->state, PV_PEER_FAILED);
    w->no_network = false;
    pv_peer_node_changed(p, true, w->now);
    pass(PV_S(1));
    assert_int_equal(p->state, PV_PEER_UP);
}

/* --- limits -------------------------------------------------------------------------------- */

static size_t count(enum pv_peer_state state)
{
    size_t n = 0;
    for (size_t i = 0; i < w->n[0].n_peers; i++)
        n += w->n[0].peers[i]->state == state ? 1 : 0;
    return n;
}

static void add_crowd(size_t n)
{
    for (size_t i = w->n[0].n_peers; i < n; i++) {
        uint8_t pk[32], sk[32], transport[32];
        pv_rng_fill(&w->n[0].node.rng, pk, sizeof(pk));
        pv_dh_keypair(&w->n[0].node.rng, sk, transport);
        add_peer(0, pk, transport);
    }
}

static void crowd(size_t n)
{
    add_crowd(n);
    for (size_t i = 0; i < n; i++)
        pv_peer_want(w->n[0].peers[i], "a test", w->now);
    pump();
}

PV_TEST(twenty_attempts_begin_a_second_and_32_run_at_once)
{
    w->no_signals = w->no_network = true;
    crowd(60);
    assert_int_equal(count(PV_PEER_REACHING), PV_PEER_NEW_PER_S);
    pass(PV_S(2));
    assert_int_equal(count(PV_PEER_REACHING), PV_PEER_MAX_REACHING);
    assert_int_equal(w->n[0].node.common->n_reaching, PV_PEER_MAX_REACHING);
    pass(PV_PEER_REACH_TIME);
    assert_in_range(count(PV_PEER_REACHING), 20, PV_PEER_MAX_REACHING); /* the others' turn */
}

static bool asks_for_path(struct pv_peer *p)
{
    return !atomic_load(&pv_fp_builder_live(p->node->fp, p->id)->asked_path);
}

/* A worker's request when the first packet waits, of a peer that was used before. */
static void ask_for_path(struct pv_peer *p)
{
    const struct pv_fp_punt punt = {.kind = PV_FP_PUNT_NEED_PATH, .peer = p->id};
    assert_ok(pv_fp_builder_use_peer(p->node->fp, p->id));
    atomic_store(&pv_fp_builder_live(p->node->fp, p->id)->asked_path, true);
    pv_peer_handle_punt(p, &punt, w->now);
    pump();
}

PV_TEST(a_peer_is_noted_once_a_packet_waits_for_it)
{
    struct pv_peer *p = w->n[0].peers[0];
    const struct pv_fp_punt punt = {.kind = PV_FP_PUNT_NEED_PATH, .peer = p->id};
    assert_null(pv_fp_builder_live(p->node->fp, p->id));
    pv_peer_handle_punt(p, &punt, w->now);
    pump();
    assert_non_null(pv_fp_builder_live(p->node->fp, p->id));
    assert_int_equal(p->state, PV_PEER_REACHING);
}

PV_TEST(packets_may_ask_again_whenever_nothing_is_under_way)
{
    struct pv_peer *p = w->n[0].peers[0];
    w->no_network = true;
    ask_for_path(p);
    assert_int_equal(p->state, PV_PEER_REACHING);
    assert_false(asks_for_path(p));
    pv_peer_handle_goodbye(p, w->now); /* in the middle of it */
    assert_true(asks_for_path(p));
    ask_for_path(p); /* a packet that was on its way; it is offline */
    assert_int_equal(p->state, PV_PEER_IDLE);
    assert_true(asks_for_path(p));
    pass(PV_S(100));
    pv_peer_set_presence(p, PV_PRESENCE_ONLINE, 9, w->now);
    assert_int_equal(p->state, PV_PEER_IDLE); /* nobody waits any more */
    ask_for_path(p);
    assert_int_equal(p->state, PV_PEER_REACHING);
    pass(PV_PEER_REACH_TIME);
    assert_int_equal(p->state, PV_PEER_FAILED);
    assert_true(asks_for_path(p));
}

/* The NAT may have forgotten it, and a handshake over it would be repeated for 90 s. */
PV_TEST(packets_that_wait_for_keys_wake_a_dormant_path)
{
    struct pv_peer *p = w->n[0].peers[0];
    const struct pv_fp_punt punt = {.kind = PV_FP_PUNT_NEED_KEYS};
    want_for(0, PV_S(700));
    assert_int_equal(p->state, PV_PEER_UP);
    assert_int_equal(pv_ice_state(p->ice), PV_ICE_DORMANT);
    w->no_network = true;
    pv_peer_handle_punt(p, &punt, w->now);
    assert_int_not_equal(pv_ice_state(p->ice), PV_ICE_DORMANT);
}

PV_TEST(a_peer_that_wants_to_reach_us_needs_no_turn)
{
    w->no_signals = w->no_network = true;
    struct pv_peer *first = w->n[0].peers[0];
    w->n[0].n_peers = 0; /* aside, so that it is not wanted with the crowd */
    crowd(50);
    pass(PV_S(2));
    assert_int_equal(w->n[0].node.common->n_reaching, PV_PEER_MAX_REACHING);
    struct pv_peer *other = w->n[0].peers[0];
    w->n[0].peers[0] = first;
    w->no_signals = w->no_network = false;
    want_for(1, PV_S(1));
    assert_true(is_up(0));
    pv_peer_free(other);
}

PV_TEST(peers_that_want_to_reach_us_take_no_turn_of_others)
{
    const struct pv_desc desc = {
        .gen = 1, .rev = 1, .creds = {.ufrag = "abcd", .pwd = "0123456789abcdefghijkl"}};
    struct pv_peer *first = w->n[0].peers[0];
    w->n[0].n_peers = 0; /* aside, so that it is not wanted with the crowd */
    add_crowd(PV_PEER_MAX_REACHING + 8);
    for (size_t i = 0; i < w->n[0].n_peers; i++)
        pv_peer_handle_desc(w->n[0].peers[i], &desc, w->now);
    pump();
    assert_int_equal(count(PV_PEER_REACHING), PV_PEER_MAX_REACHING + 8);
    struct pv_peer *other = w->n[0].peers[0];
    w->n[0].peers[0] = first;
    want(0);
    assert_int_equal(first->state, PV_PEER_REACHING);
    pass(PV_S(1));
    assert_true(is_up(0));
    pv_peer_free(other);
}

/* --- goodbye ------------------------------------------------------------------------------- */

PV_TEST(a_goodbye_ends_the_path_at_once_and_a_return_is_noticed)
{
    want_for(0, PV_S(1));
    struct pv_peer *p = w->n[0].peers[0];
    pv_peer_handle_goodbye(p, w->now);
    assert_int_equal(p->state, PV_PEER_IDLE);
    assert_false(pv_peer_has_path(p));
    assert_int_equal(p->presence, PV_PRESENCE_OFFLINE);
    assert_null(w->n[0].node.common->ufrags);
    pv_peer_handle_goodbye(p, w->now); /* twice is as good as once */
    want(0);
    assert_int_equal(p->state, PV_PEER_IDLE);
    /* It comes back as another life. */
    pv_peer_free(w->n[1].peers[0]);
    w->n[1].n_peers = 0;
    add_peer(1, w->n[0].pk, w->n[0].dh_pk);
    w->n[1].node.wall.us += 1000000;
    pv_peer_set_presence(p, PV_PRESENCE_ONLINE, 77, w->now);
    pass(PV_S(1));
    assert_true(both_up());
}

PV_TEST(a_description_that_was_under_way_at_a_goodbye_brings_nobody_back)
{
    struct pv_peer *p = w->n[0].peers[0];
    want_for(0, PV_S(1));
    struct pv_desc late = w->n[1].last;
    pv_peer_handle_goodbye(p, w->now);
    late.rev++;
    pv_peer_handle_desc(p, &late, w->now);
    assert_int_equal(p->state, PV_PEER_IDLE);
    assert_null(p->ice);
    late.gen++;
    late.rev = 1;
    pv_peer_handle_desc(p, &late, w->now); /* of its next life */
    assert_int_equal(p->state, PV_PEER_REACHING);
}

/* It was killed, or ended while the path was being made: no goodbye came. */
PV_TEST(a_peer_that_the_coordinator_calls_gone_is_asked_at_once)
{
    struct pv_peer *p = w->n[0].peers[0];
    pv_peer_set_presence(p, PV_PRESENCE_ONLINE, 1, w->now);
    want_for(0, PV_S(1));
    assert_true(is_up(0));
    pv_peer_set_presence(p, PV_PRESENCE_OFFLINE, 0, w->now);
    pass(PV_S(5));
    assert_true(is_up(0)); /* it answers */
    pv_peer_set_presence(p, PV_PRESENCE_ONLINE, 1, w->now);
    w->no_network = w->no_signals = true;
    pv_peer_set_presence(p, PV_PRESENCE_OFFLINE, 0, w->now);
    pass(PV_S(7)); /* two rounds of checks */
    assert_int_equal(p->state, PV_PEER_IDLE);
    assert_false(pv_peer_has_path(p));
    assert_int_equal(pv_peer_reach(p), PV_REACH_NO);
}

PV_TEST(a_restart_is_noticed_by_the_new_connection)
{
    struct pv_peer *p = w->n[0].peers[0];
    pv_peer_set_presence(p, PV_PRESENCE_ONLINE, 1, w->now);
    want_for(0, PV_S(1));
    pv_peer_free(w->n[1].peers[0]);
    w->n[1].n_peers = 0;
    pass(PV_S(2));
    add_peer(1, w->n[0].pk, w->n[0].dh_pk);
    pv_peer_set_presence(p, PV_PRESENCE_ONLINE, 2, w->now);
    pass(PV_MS(500));
    assert_true(both_up());
    assert_true(pv_session_has_keys(w->n[1].peers[0]->session, w->now) ||
                pv_session_has_keys(p->session, w->now));
}

/* --- descriptions that are old, wrong or of no use ------------------------------------------- */

/* A peer that takes it drops its own message 1 for it, and then neither gets an answer that it can
 * use. */
PV_TEST(a_description_holds_no_handshake_that_was_given_up)
{
    struct pv_peer *p = w->n[0].peers[0];
    w->no_signals = true;
    want(0);
    const struct pv_desc old = w->n[0].last;
    assert_true(old.wg_len > 0);
    pv_peer_handle_goodbye(p, w->now);
    pass(PV_MS(100));
    pv_peer_set_presence(p, PV_PRESENCE_ONLINE, 5, w->now);
    want(0);
    const struct pv_desc *now = &w->n[0].last;
    assert_int_not_equal(now->gen, old.gen);
    assert_true(now->wg_len == 0 || memcmp(now->wg, old.wg, now->wg_len) != 0);
}

/* The description that node 1 would send now, taken without being delivered. */
static struct pv_desc describe(void)
{
    w->no_signals = true;
    want(1);
    w->no_signals = false;
    assert_true(w->n[1].n_descs > 0);
    return w->n[1].last;
}

PV_TEST(the_relayed_count_outlives_the_peer)
{
    struct node *n = &w->n[1];
    struct pv_peer_relayed sum = {.tx = 1};
    assert_ok(pv_fp_builder_use_peer(n->node.fp, n->peers[0]->id));
    struct pv_fp_live *live = pv_fp_builder_live(n->node.fp, n->peers[0]->id);
    assert_non_null(live);
    atomic_store(&live->tx_relayed[2], 5);
    atomic_store(&live->rx_relayed[2], 7);
    pv_peer_add_relayed(n->peers[0], 2, &sum);
    assert_int_equal(sum.tx, 6);
    assert_int_equal(sum.rx, 7);
    pv_peer_free(n->peers[--n->n_peers]);
    assert_int_equal(n->node.common->relayed_gone[2].tx, 5);
    assert_int_equal(n->node.common->relayed_gone[2].rx, 7);
    assert_int_equal(n->node.common->relayed_gone[0].tx, 0);
}

/* A former life had no room on its disk for its mark and used numbers above it. This one begins at
 * the same mark, but can store the next. */
PV_TEST(a_generation_too_low_is_renumbered_once_its_mark_is_stored)
{
    enum {
        MARK = 1000,            /* µs */
        FORMER = MARK + 600000, /* above where this life begins, and below where it goes on */
    };
    struct pv_highwater *gen = &w->n[0].node.common->gen;
    *gen = pv_highwater_load(MARK, 0);
    w->n[1].peers[0]->descx.theirs = (struct pv_descx_id){.gen = FORMER, .rev = 1};
    want(0);
    assert_true(w->n[0].last.gen > MARK && w->n[0].last.gen < FORMER);
    pass(PV_S(1));
    assert_false(is_up(1));
    pv_highwater_stored(gen, w->n[0].node.wall.us + PV_HIGHWATER_AHEAD_US);
    pass(PV_S(3));
    assert_true(w->n[0].last.gen > FORMER);
    assert_true(both_up());
}

PV_TEST(old_descriptions_change_nothing)
{
    struct pv_desc d = describe();
    struct pv_peer *p = w->n[0].peers[0];
    pv_peer_handle_desc(p, &d, w->now);
    pass(PV_S(1));
    assert_true(is_up(0));
    struct pv_desc old = d;
    old.gen--;
    old.rev = 99;
    pv_ice_make_creds(&w->n[1].node.rng, &old.creds);
    old.wg_len = 0;
    pv_peer_handle_desc(p, &old, w->now);
    pass(PV_S(1));
    assert_true(is_up(0));
    assert_string_equal(p->remote->creds.ufrag, d.creds.ufrag);
}

/* Node 0 hears that node 1 came online anew, and so repeats what it says; before that leaves, what
 * it says changes. */
static void repeat_behind(void)
{
    pv_peer_set_presence(w->n[0].peers[0], PV_PRESENCE_ONLINE, w->now, w->now);
}

PV_TEST(candidates_that_change_behind_a_repetition_arrive)
{
    struct pv_node_ways *ways = &w->n[0].node.ways;
    want_for(0, PV_S(1));
    assert_true(both_up());
    repeat_behind();
    ways->locals[1] = ways->locals[0];
    ways->locals[1].addr.port++;
    ways->n_locals = 2;
    pv_peer_node_changed(w->n[0].peers[0], true, w->now);
    pass(PV_S(1));
    assert_int_equal(w->n[1].peers[0]->remote->n_cands, 2);
    repeat_behind();
    ways->caps = PV_DESC_CAP_NO_UDP;
    pv_peer_describe(w->n[0].peers[0]);
    pass(PV_S(1));
    assert_int_equal(w->n[1].peers[0]->remote->caps, PV_DESC_CAP_NO_UDP);
}

/* Nobody describes a dormant path whose candidates changed, until it is used. Where the other side
 * is the one that uses it, the acknowledgement is the first to say them. */
PV_TEST(candidates_that_change_while_a_path_is_dormant_arrive_with_its_use)
{
    struct pv_node_ways *ways = &w->n[0].node.ways;
    want_for(0, PV_S(700));
    assert_int_equal(pv_ice_state(w->n[0].peers[0]->ice), PV_ICE_DORMANT);
    ways->locals[1] = ways->locals[0];
    ways->locals[1].addr.port++;
    ways->n_locals = 2;
    ways->caps = PV_DESC_CAP_NO_UDP;
    pv_peer_node_changed(w->n[0].peers[0], true, w->now);
    pass(PV_S(1));
    assert_int_equal(w->n[1].peers[0]->remote->n_cands, 1);
    want_for(1, PV_S(1));
    assert_int_equal(w->n[1].peers[0]->remote->n_cands, 2);
    assert_int_equal(w->n[1].peers[0]->remote->caps, PV_DESC_CAP_NO_UDP);
}

/* The offer crosses a change of the one that answers, and comes while that one repeats itself. */
PV_TEST(an_answer_behind_a_repetition_arrives)
{
    for (int i = 0; i < 2; i++) {
        w->n[i].node.given.kem = &kem_double;
        w->n[i].node.given.pq = PV_PQ_ON;
        w->n[i].node.ways.caps = PV_DESC_CAP_PQ;
    }
    want_for(0, PV_S(1));
    struct pv_peer *p = w->n[1].peers[0]; /* the higher key: it offers */
    uint32_t before = pv_pqx_say(p->agreed.x)->have;
    assert_int_not_equal(before, 0);
    struct pv_desc offer, change;
    pv_peer_begin(p, "a test", w->now);
    assert_true(pv_peer_take_desc(p, w->now, &offer));
    assert_int_equal(offer.pq->kind, PV_DESC_PQ_OFFER);
    pv_peer_describe(w->n[0].peers[0]);
    assert_true(pv_peer_take_desc(w->n[0].peers[0], w->now, &change));
    pv_peer_handle_desc(p, &change, w->now);
    repeat_behind();
    pv_peer_handle_desc(w->n[0].peers[0], &offer, w->now);
    pass(PV_S(10));
    assert_int_not_equal(pv_pqx_say(p->agreed.x)->have, before);
}

/* Costs of ChaCha20 and AES; 0 = it does without AES. */
PV_TEST(two_members_use_the_suite_that_costs_both_together_the_least)
{
    static const struct {
        uint32_t cost[2][PV_SUITES];
        enum pv_suite suite;
    } rows[] = {
        {{{600, 700}, {2000, 300}}, PV_SUITE_AES}, {{{600, 900}, {700, 500}}, PV_SUITE_CHACHA},
        {{{600, 600}, {600, 600}}, PV_SUITE_AES},  {{{0, 0}, {2000, 300}}, PV_SUITE_CHACHA},
        {{{600, 700}, {0, 0}}, PV_SUITE_CHACHA},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        w = make_world();
        for (int k = 0; k < 2; k++)
            memcpy(w->n[k].node.ways.cost, rows[i].cost[k], sizeof(rows[i].cost[k]));
        want_for(0, PV_S(20));
        for (int k = 0; k < 2; k++)
            if (pv_session_suite(w->n[k].peers[0]->session) != rows[i].suite)
                fail_msg("row %zu, node %d: %s", i, k,
                         pv_suite_name(pv_session_suite(w->n[k].peers[0]->session)));
    }
}

PV_TEST(a_handshake_for_somebody_else_is_not_taken)
{
    struct pv_desc d = describe();
    struct pv_peer *p = w->n[0].peers[0];
    assert_int_equal(d.wg_len, PV_WGMSG_INITIATION_LEN);
    /* Node 1 as another member than the one who seals the description. */
    uint8_t sk[32], pk[32], transport[32];
    pv_dh_keypair(&w->n[0].node.rng, sk, transport);
    pv_rng_fill(&w->n[0].node.rng, pk, sizeof(pk));
    struct pv_peer *other = add_peer(0, pk, transport);
    pv_peer_handle_desc(other, &d, w->now);
    assert_false(pv_session_has_keys(other->session, w->now));
    /* And one with a byte changed. */
    d.wg[40] ^= 1;
    pv_peer_handle_desc(p, &d, w->now);
    assert_false(pv_session_has_keys(p->session, w->now));
    pass(PV_S(11)); /* the honest side repeats itself */
    assert_true(is_up(0));
}

PV_TEST(descriptions_without_use_do_no_harm)
{
    struct pv_peer *p = w->n[0].peers[0];
    struct pv_desc d = describe();
    struct pv_desc bad = d;
    w->no_signals = true; /* nothing but what follows */
    bad.gen -= 1000;
    bad.n_cands = 0;
    bad.wg_len = 0;
    pv_peer_handle_desc(p, &bad, w->now);
    pass(PV_S(1));
    assert_int_not_equal(p->state, PV_PEER_UP);
    bad.rev++;
    bad.n_cands = PV_ICE_MAX_REMOTE; /* all of them unusable */
    for (size_t i = 0; i < bad.n_cands; i++) {
        bad.cands[i] = d.cands[0];
        bad.cands[i].addr = pv_addr4(127, 0, 0, 1, (uint16_t)(1 + i));
    }
    pv_peer_handle_desc(p, &bad, w->now);
    bad.rev++;
    memset(bad.creds.pwd, 0, sizeof(bad.creds.pwd)); /* no password */
    pv_peer_handle_desc(p, &bad, w->now);
    pump();
    assert_int_not_equal(p->state, PV_PEER_UP);
    pv_peer_handle_desc(p, &d, w->now);
    pass(PV_S(1));
    assert_true(is_up(0));
}

PV_TEST(a_peer_that_describes_itself_without_end_draws_few_descriptions)
{
    want_for(0, PV_S(1));
    assert_true(both_up());
    struct pv_desc d = w->n[1].last;
    size_t before = w->n[0].n_descs;
    w->no_signals = true;
    d.wg_len = 0;
    for (unsigned i = 0; i < 1000; i++) {
        d.rev++;
        pv_peer_handle_desc(w->n[0].peers[0], &d, w->now);
        pass(PV_MS(10));
    }
    assert_true(w->n[0].n_descs - before <= PV_DESCX_AT_ONCE + 101);
    assert_true(is_up(0));
}

PV_TEST(two_wishes_at_once_make_one_session)
{
    pv_peer_want(w->n[0].peers[0], "a test", w->now);
    pv_peer_want(w->n[1].peers[0], "a test", w->now);
    pass(PV_S(1));
    assert_true(both_up());
    assert_true(pv_session_has_keys(w->n[0].peers[0]->session, w->now));
}

/* --- datagrams ----------------------------------------------------------------------------- */

PV_TEST(an_initiation_out_of_the_blue_is_answered_to_its_source)
{
    w->n[0].node.common->signalling = w->n[1].node.common->signalling = false;
    struct pv_peer *p = w->n[1].peers[0];
    const struct pv_carrier from = {
        .kind = PV_CARRIER_UDP, .local = w->n[1].addr, .remote = w->n[0].addr};
    /* The first message of a node that starts without a coordinator. */
    struct pv_session *s;
    struct pv_session_config cfg = {
        .device = &w->n[0].device, .member = true, .lower_identity = true, .rng = w->n[0].node.rng};
    memcpy(cfg.remote_pk, w->n[1].dh_pk, 32);
    assert_ok(pv_session_new(&s, &cfg));
    pv_session_set_reach(s, PV_SESSION_BY_UDP, w->now);
    pv_session_want(s, w->now);
    struct pv_session_transmit tx;
    assert_ok(pv_session_poll_transmit(s, 55, w->n[0].node.wall.us, w->now, &tx));
    struct pv_wg_initiation in;
    assert_ok(pv_wgmsg_identify(&w->n[1].device, pv_view(tx.msg, tx.len), &in));
    assert_ok(pv_peer_handle_initiation(p, &in, &from, w->now));
    pv_peer_settle(p, w->now);
    struct pv_peer_transmit out;
    bool answered = false;
    while (pv_peer_poll_transmit(p, &out) == PV_OK) {
        if (pv_demux(pv_view(out.buf, out.len)) != PV_DEMUX_WG_RESPONSE)
            continue;
        answered = true;
        assert_true(pv_addr_equal(&out.dst, &w->n[0].addr));
        assert_ok(pv_session_handle_response(s, pv_view(out.buf, out.len), w->now));
    }
    assert_true(answered);
    pv_session_free(s);
}

PV_TEST(a_path_on_trial_is_not_relayed_because_the_last_one_was)
{
    struct pv_peer *p = w->n[0].peers[0];
    const struct pv_carrier there = {.kind = PV_CARRIER_UDP, .remote = w->n[1].addr};
    p->relay.far = true;
    pv_peer_proven_at(p, &there, w->now);
    assert_int_equal(p->path_state, PV_PATH_STATE_TRIAL);
    assert_true(pv_peer_is_direct(p));
}

PV_TEST(stun_for_a_peer_without_an_agent_is_dropped)
{
    const struct pv_carrier from = {.kind = PV_CARRIER_UDP, .remote = w->n[1].addr};
    uint8_t junk[20] = {0, 1};
    assert_int_equal(
        pv_peer_handle_stun(w->n[0].peers[0], &from, pv_view(junk, sizeof(junk)), w->now),
        PV_ERR_NOT_FOUND);
    assert_int_equal(pv_peer_handle_reply(w->n[0].peers[0], PV_WGMSG_RESPONSE,
                                          pv_view(junk, sizeof(junk)), &from, w->now),
                     PV_ERR_STATE);
}

PV_TEST(all_indices_of_a_peer_are_one_workers)
{
    enum {
        WORKERS = 3,
        EACH = 4
    };
    struct node *n = &w->n[0];
    unsigned of_worker[WORKERS] = {0};
    n->node.given.workers = WORKERS;
    for (uint8_t i = 1; i < WORKERS * EACH; i++) {
        uint8_t pk[32] = {9, i};
        add_peer(0, pk, n->dh_pk);
    }
    for (size_t i = 0; i < n->n_peers; i++) {
        uint8_t worker = (uint8_t)pv_peer_fresh_index(n->peers[i]);
        assert_true(worker < WORKERS);
        of_worker[worker]++;
        for (unsigned k = 0; k < 20; k++)
            assert_int_equal((uint8_t)pv_peer_fresh_index(n->peers[i]), worker);
    }
    for (unsigned i = 0; i < WORKERS; i++)
        assert_int_equal(of_worker[i], EACH);
}

/* --- transport keys that change while a peer is in use --------------------------------------- */

/* Keys of a node beside the one that it began with. */
struct more_keys {
    uint8_t sk[2][32];
    struct pv_wg_device device[2];
};

static struct more_keys *more_keys(void)
{
    struct more_keys *k = test_alloc(sizeof(*k));
    test_defer(free, k);
    for (int i = 0; i < 2; i++) {
        pv_rng_fill(&w->n[0].node.rng, k->sk[i], 32);
        pv_wg_device_init(&k->device[i], k->sk[i]);
    }
    return k;
}

/* Node 0 uses another key from now on, and answers the one before. */
static void change_own_key(const struct pv_wg_device *to)
{
    struct pv_node_keys *keys = &w->n[0].node.keys;
    keys->former[1] = keys->former[0];
    keys->former[0] = keys->device;
    keys->n_former += keys->n_former < 2 ? 1 : 0;
    keys->device = to;
    keys->number++;
    keys->former_until = w->now + PV_PEER_FORMER_TIME;
}

static struct world *make_pair(void)
{
    want_for(0, PV_S(2));
    assert_true(both_up());
    return w;
}

/* New keys, begun by node i. */
static void rekey(int i)
{
    struct pv_peer *p = w->n[i].peers[0];
    uint64_t before = w->n[i].node.common->stats.handshakes;
    pass(PV_S(6)); /* one message 1 in five seconds */
    pv_session_want(p->session, w->now);
    pass(PV_S(1));
    assert_int_equal(w->n[i].node.common->stats.handshakes, before + 1);
}

PV_TEST(a_member_with_another_key_keeps_its_session_and_path)
{
    w = make_pair();
    const struct more_keys *k = more_keys();
    struct pv_peer *p = w->n[1].peers[0];
    const struct pv_session *session = p->session;
    uint32_t id = p->id;
    change_own_key(&k->device[0]);
    assert_ok(pv_peer_set_transport(p, k->device[0].keys.pk, w->now));
    pass(PV_S(1));
    assert_ptr_equal(p->session, session);
    assert_int_equal(p->id, id);
    assert_true(both_up());
    assert_memory_equal(pv_peer_transport(p), k->device[0].keys.pk, 32);
    rekey(1);
    assert_true(pv_peer_knows_own_key(w->n[0].peers[0]));
}

PV_TEST(the_former_key_is_taken_for_three_minutes)
{
    w = make_pair();
    const struct more_keys *k = more_keys();
    struct pv_peer *p = w->n[1].peers[0];
    const uint8_t *old = w->n[0].dh_pk;
    assert_true(pv_peer_has_key(p, old, w->now));
    assert_ok(pv_peer_set_transport(p, k->device[0].keys.pk, w->now));
    assert_true(pv_peer_has_key(p, k->device[0].keys.pk, w->now));
    assert_true(pv_peer_has_key(p, old, w->now + PV_PEER_FORMER_TIME - 1));
    assert_false(pv_peer_has_key(p, old, w->now + PV_PEER_FORMER_TIME));
    assert_false(pv_peer_has_key(p, k->device[1].keys.pk, w->now));
}

PV_TEST(a_peer_that_may_not_have_heard_is_asked_with_the_former_key_first)
{
    w = make_pair();
    const struct more_keys *k = more_keys();
    struct pv_peer *p = w->n[0].peers[0];
    assert_ptr_equal(pv_peer_own_key(p, w->now), &w->n[0].device);
    change_own_key(&k->device[0]);
    assert_false(pv_peer_knows_own_key(p));
    assert_ptr_equal(pv_peer_own_key(p, w->now), &w->n[0].device);
    rekey(0); /* node 1 knows the first key only, and answers it */
    assert_false(pv_peer_knows_own_key(p));

    assert_ptr_equal(pv_peer_own_key(p, w->now + PV_PEER_FORMER_TIME), &k->device[0]);
    pv_peer_note_own_key(p);
    assert_ptr_equal(pv_peer_own_key(p, w->now), &k->device[0]);
    change_own_key(&k->device[1]);
    assert_ptr_equal(pv_peer_own_key(p, w->now), &k->device[0]); /* the newest of before */
}

/* Nobody answers: the next message 1 tries the other key, and then the one before that. */
PV_TEST(each_further_message_tries_another_key)
{
    w = make_pair();
    const struct more_keys *k = more_keys();
    struct pv_peer *p = w->n[0].peers[0];
    change_own_key(&k->device[0]);
    change_own_key(&k->device[1]);
    pv_peer_note_own_key(p);
    pass(PV_S(6));
    w->no_network = w->no_signals = true;
    pv_session_want(p->session, w->now);
    assert_ptr_equal(pv_peer_own_key(p, w->now), &k->device[1]);
    pass(PV_MS(100));
    assert_int_equal(pv_session_tries(p->session), 1);
    assert_ptr_equal(pv_peer_own_key(p, w->now), &k->device[0]);
    pass(PV_S(6));
    assert_ptr_equal(pv_peer_own_key(p, w->now), &w->n[0].device);
    pass(PV_S(6));
    assert_ptr_equal(pv_peer_own_key(p, w->now), &k->device[1]);
}

PV_TEST(all_keys_of_ours_are_answered_also_one_that_is_not_announced)
{
    w = make_pair();
    const struct more_keys *k = more_keys();
    struct pv_node_keys *keys = &w->n[0].node.keys;
    struct pv_peer *far = w->n[1].peers[0];
    keys->next = &k->device[1];
    change_own_key(&k->device[0]);
    rekey(1); /* to the first */
    assert_false(pv_peer_knows_own_key(w->n[0].peers[0]));
    assert_ok(pv_peer_set_transport(far, k->device[1].keys.pk, w->now));
    rekey(1); /* it heard of it before this node knew that it had told */
    assert_false(pv_peer_knows_own_key(w->n[0].peers[0]));
    assert_ok(pv_peer_set_transport(far, k->device[0].keys.pk, w->now));
    rekey(1);
    assert_true(pv_peer_knows_own_key(w->n[0].peers[0]));
}

PV_TEST(a_forgotten_key_is_not_answered_and_its_sessions_go_on)
{
    w = make_pair();
    const struct more_keys *k = more_keys();
    struct pv_peer *p = w->n[0].peers[0];
    change_own_key(&k->device[0]);
    assert_ok(pv_peer_set_transport(w->n[1].peers[0], k->device[0].keys.pk, w->now));
    w->n[0].node.keys.n_former = 0;
    pv_peer_forget_own_key(p, &w->n[0].device);
    memset(&w->n[0].device, 0xee, sizeof(w->n[0].device));
    assert_true(is_up(0));
    assert_true(pv_session_has_keys(p->session, w->now));
    rekey(0);
    rekey(1);
}
