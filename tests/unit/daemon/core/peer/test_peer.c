/* SPDX-License-Identifier: MIT */
/*
 * Peers without an engine: meetings, retries, limits and turns, and goodbyes. Whole meetings are in
 * tests/sim.
 */
#include "peer_world.h"

/* --- meeting ------------------------------------------------------------------------------- */

PV_TEST(a_wish_makes_a_path_and_keys_on_both_sides)
{
    struct world *w = make_world();
    want(w, 0);
    pass(w, PV_S(1));
    assert_true(is_up(w, 0));
    assert_true(is_up(w, 1));
    assert_true(pv_session_has_keys(w->n[0].peers[0]->session, w->now));
    assert_int_equal(w->n[0].node.common->n_reaching, 0);
    assert_true((w->n[0].peers[0]->due & PV_PEER_DUE_KEEPALIVE) !=
                0); /* proves the keys to the responder */
}

PV_TEST(nothing_is_sent_without_a_wish)
{
    struct world *w = make_world();
    pv_peer_set_presence(w->n[0].peers[0], PV_PRESENCE_ONLINE, 1, w->now);
    pv_peer_node_changed(w->n[0].peers[0], true, w->now);
    pass(w, PV_S(600));
    assert_int_equal(w->n[0].n_descs + w->datagrams, 0);
}

PV_TEST(a_peer_that_is_offline_is_reached_when_it_comes)
{
    struct world *w = make_world();
    struct pv_peer *p = w->n[0].peers[0];
    pv_peer_set_presence(p, PV_PRESENCE_OFFLINE, 0, w->now);
    want(w, 0);
    pass(w, PV_S(10));
    assert_int_equal(p->state, PV_PEER_IDLE);
    assert_int_equal(w->n[0].n_descs, 0);
    pv_peer_set_presence(p, PV_PRESENCE_ONLINE, 5, w->now);
    pass(w, PV_S(1));
    assert_true(is_up(w, 0));
}

PV_TEST(nobody_waits_a_minute_for_a_peer_to_come)
{
    struct world *w = make_world();
    struct pv_peer *p = w->n[0].peers[0];
    pv_peer_set_presence(p, PV_PRESENCE_OFFLINE, 0, w->now);
    want(w, 0);
    pass(w, PV_PEER_WANTED_FOR);
    pv_peer_set_presence(p, PV_PRESENCE_ONLINE, 5, w->now);
    pass(w, PV_S(1));
    assert_int_equal(p->state, PV_PEER_IDLE);
}

/* --- failing and trying again ---------------------------------------------------------------- */

PV_TEST(attempts_end_after_30_s_and_come_back_ever_slower)
{
    struct world *w = make_world();
    struct pv_peer *p = w->n[0].peers[0];
    static const unsigned pauses[] = {5, 35, 60, 60};
    w->no_network = w->no_signals = true;
    want(w, 0);
    for (size_t i = 0; i < PV_ARRAY_LEN(pauses); i++) {
        pv_ns begun = w->now;
        assert_int_equal(p->state, PV_PEER_REACHING);
        assert_true(p->deadline == begun + PV_PEER_REACH_TIME);
        pass(w, PV_PEER_REACH_TIME - 1);
        assert_int_equal(p->state, PV_PEER_REACHING);
        pass(w, 1);
        assert_int_equal(p->state, PV_PEER_FAILED);
        pass(w, PV_S(pauses[i]) - 1);
        assert_int_equal(p->state, PV_PEER_FAILED);
        p->wanted_at = w->now; /* by packets, which do not begin an attempt */
        pass(w, 1);
    }
    w->no_network = w->no_signals = false;
    pass(w, PV_S(9)); /* descriptions are repeated every 8 s at least */
    assert_int_equal(p->state, PV_PEER_UP);
    assert_int_equal(p->retry, PV_PEER_RETRY_FIRST);
}

PV_TEST(checks_that_all_failed_are_followed_by_silence)
{
    struct world *w = make_world();
    struct pv_peer *p = w->n[0].peers[0];
    w->no_network = true; /* descriptions arrive, checks do not */
    want(w, 0);
    pass(w, PV_S(12));
    assert_int_equal(p->state, PV_PEER_FAILED);
    assert_int_equal(w->n[1].peers[0]->state, PV_PEER_FAILED);
    size_t sent = w->datagrams;
    for (unsigned i = 0; i < 30; i++) {
        want(w, 0); /* packets go on asking */
        pass(w, PV_S(1));
        assert_int_equal(w->datagrams, sent);
    }
    w->no_network = false;
    pass(w, PV_S(6));
    assert_int_equal(p->state, PV_PEER_UP);
}

PV_TEST(without_a_wish_a_failed_attempt_is_the_last)
{
    struct world *w = make_world();
    struct pv_peer *p = w->n[0].peers[0];
    w->no_network = w->no_signals = true;
    want(w, 0);
    pass(w, PV_S(600));
    assert_int_equal(p->state, PV_PEER_IDLE);
    size_t sent = w->datagrams + w->n[0].n_descs;
    assert_in_range(w->n[0].n_descs, 5, 150); /* the session repeats itself for 90 s */
    pass(w, PV_S(600));
    assert_int_equal(w->datagrams + w->n[0].n_descs, sent);
}

/* A relay that went away leaves a peer that is up without a path. A wish begins nothing as long as
 * the agent trusts what it chose, for the relay may be back at once. */
PV_TEST(a_wish_without_a_carrier_begins_anew_when_the_choice_is_suspect)
{
    struct world *w = make_world();
    struct pv_peer *p = w->n[0].peers[0];
    want(w, 0);
    pass(w, PV_S(1));
    assert_true(is_up(w, 0));
    pv_peer_use_path(p, NULL, w->now);
    want(w, 0);
    assert_int_equal(p->state, PV_PEER_UP);
    w->no_network = w->no_signals = true;
    pv_ice_kick(p->ice, w->now); /* as data does that gets no answer */
    for (unsigned i = 0; i < 100 && pv_ice_state(p->ice) != PV_ICE_CHECKING; i++)
        pass(w, PV_MS(100));
    assert_int_equal(pv_ice_state(p->ice), PV_ICE_CHECKING);
    assert_int_equal(p->state, PV_PEER_UP);
    assert_int_equal(pv_peer_path_state(p), PV_PATH_STATE_NONE);
    want(w, 0);
    assert_int_equal(p->state, PV_PEER_REACHING);
}

PV_TEST(another_network_is_news_for_a_failed_peer)
{
    struct world *w = make_world();
    struct pv_peer *p = w->n[0].peers[0];
    w->no_network = true;
    want(w, 0);
    pass(w, PV_PEER_REACH_TIME + PV_S(1));
    assert_int_equal(p->state, PV_PEER_FAILED);
    w->no_network = false;
    pv_peer_node_changed(p, true, w->now);
    pass(w, PV_S(1));
    assert_int_equal(p->state, PV_PEER_UP);
}

/* --- limits -------------------------------------------------------------------------------- */

static size_t count(const struct world *w, enum pv_peer_state state)
{
    size_t n = 0;
    for (size_t i = 0; i < w->n[0].n_peers; i++)
        n += w->n[0].peers[i]->state == state ? 1 : 0;
    return n;
}

static void crowd(struct world *w, size_t n)
{
    for (size_t i = w->n[0].n_peers; i < n; i++) {
        uint8_t pk[32], sk[32], transport[32];
        pv_rng_fill(&w->n[0].node.rng, pk, sizeof(pk));
        pv_dh_keypair(&w->n[0].node.rng, sk, transport);
        add_peer(w, 0, pk, transport);
    }
    for (size_t i = 0; i < n; i++)
        pv_peer_want(w->n[0].peers[i], "a test", w->now);
    pump(w);
}

PV_TEST(twenty_attempts_begin_a_second_and_32_run_at_once)
{
    struct world *w = make_world();
    w->no_signals = w->no_network = true;
    crowd(w, 60);
    assert_int_equal(count(w, PV_PEER_REACHING), PV_PEER_NEW_PER_S);
    pass(w, PV_S(2));
    assert_int_equal(count(w, PV_PEER_REACHING), PV_PEER_MAX_REACHING);
    assert_int_equal(w->n[0].node.common->n_reaching, PV_PEER_MAX_REACHING);
    pass(w, PV_PEER_REACH_TIME);
    assert_in_range(count(w, PV_PEER_REACHING), 20, PV_PEER_MAX_REACHING); /* the others' turn */
}

static bool asks_for_path(struct pv_peer *p)
{
    return !atomic_load(&pv_fp_builder_live(p->node->fp, p->id)->asked_path);
}

/* A worker's request when the first packet waits, of a peer that was used before. */
static void ask_for_path(struct world *w, struct pv_peer *p)
{
    const struct pv_fp_punt punt = {.kind = PV_FP_PUNT_NEED_PATH, .peer = p->id};
    assert_int_equal(pv_fp_builder_use_peer(p->node->fp, p->id), PV_OK);
    atomic_store(&pv_fp_builder_live(p->node->fp, p->id)->asked_path, true);
    pv_peer_handle_punt(p, &punt, w->now);
    pump(w);
}

PV_TEST(a_peer_is_noted_once_a_packet_waits_for_it)
{
    struct world *w = make_world();
    struct pv_peer *p = w->n[0].peers[0];
    const struct pv_fp_punt punt = {.kind = PV_FP_PUNT_NEED_PATH, .peer = p->id};
    assert_null(pv_fp_builder_live(p->node->fp, p->id));
    pv_peer_handle_punt(p, &punt, w->now);
    pump(w);
    assert_non_null(pv_fp_builder_live(p->node->fp, p->id));
    assert_int_equal(p->state, PV_PEER_REACHING);
}

PV_TEST(packets_may_ask_again_whenever_nothing_is_under_way)
{
    struct world *w = make_world();
    struct pv_peer *p = w->n[0].peers[0];
    w->no_network = true;
    ask_for_path(w, p);
    assert_int_equal(p->state, PV_PEER_REACHING);
    assert_false(asks_for_path(p));
    pv_peer_goodbye(p, w->now); /* in the middle of it */
    assert_true(asks_for_path(p));
    ask_for_path(w, p); /* a packet that was on its way; it is offline */
    assert_int_equal(p->state, PV_PEER_IDLE);
    assert_true(asks_for_path(p));
    pass(w, PV_S(100));
    pv_peer_set_presence(p, PV_PRESENCE_ONLINE, 9, w->now);
    assert_int_equal(p->state, PV_PEER_IDLE); /* nobody waits any more */
    ask_for_path(w, p);
    assert_int_equal(p->state, PV_PEER_REACHING);
    pass(w, PV_PEER_REACH_TIME);
    assert_int_equal(p->state, PV_PEER_FAILED);
    assert_true(asks_for_path(p));
}

/* The NAT may have forgotten it, and a handshake over it would be repeated for 90 s. */
PV_TEST(packets_that_wait_for_keys_wake_a_dormant_path)
{
    struct world *w = make_world();
    struct pv_peer *p = w->n[0].peers[0];
    const struct pv_fp_punt punt = {.kind = PV_FP_PUNT_NEED_KEYS};
    want(w, 0);
    pass(w, PV_S(700));
    assert_int_equal(p->state, PV_PEER_UP);
    assert_int_equal(pv_ice_state(p->ice), PV_ICE_DORMANT);
    w->no_network = true;
    pv_peer_handle_punt(p, &punt, w->now);
    assert_int_not_equal(pv_ice_state(p->ice), PV_ICE_DORMANT);
}

PV_TEST(a_peer_that_wants_to_reach_us_needs_no_turn)
{
    struct world *w = make_world();
    w->no_signals = w->no_network = true;
    struct pv_peer *first = w->n[0].peers[0];
    w->n[0].n_peers = 0; /* aside, so that it is not wanted with the crowd */
    crowd(w, 50);
    pass(w, PV_S(2));
    assert_int_equal(w->n[0].node.common->n_reaching, PV_PEER_MAX_REACHING);
    struct pv_peer *other = w->n[0].peers[0];
    w->n[0].peers[0] = first;
    w->no_signals = w->no_network = false;
    want(w, 1);
    pass(w, PV_S(1));
    assert_true(is_up(w, 0));
    pv_peer_free(other);
}

/* --- goodbye ------------------------------------------------------------------------------- */

PV_TEST(a_goodbye_ends_the_path_at_once_and_a_return_is_noticed)
{
    struct world *w = make_world();
    want(w, 0);
    pass(w, PV_S(1));
    struct pv_peer *p = w->n[0].peers[0];
    pv_peer_goodbye(p, w->now);
    assert_int_equal(p->state, PV_PEER_IDLE);
    assert_false(pv_peer_has_path(p));
    assert_int_equal(p->presence, PV_PRESENCE_OFFLINE);
    assert_null(w->n[0].node.common->ufrags);
    pv_peer_goodbye(p, w->now); /* twice is as good as once */
    want(w, 0);
    assert_int_equal(p->state, PV_PEER_IDLE);
    /* It comes back as another life. */
    pv_peer_free(w->n[1].peers[0]);
    w->n[1].n_peers = 0;
    add_peer(w, 1, w->n[0].pk, w->n[0].dh_pk);
    w->n[1].node.wall.us += 1000000;
    pv_peer_set_presence(p, PV_PRESENCE_ONLINE, 77, w->now);
    pass(w, PV_S(1));
    assert_true(is_up(w, 0));
    assert_true(is_up(w, 1));
}

/* It was killed, or ended while the path was being made: no goodbye came. */
PV_TEST(a_peer_that_the_coordinator_calls_gone_is_asked_at_once)
{
    struct world *w = make_world();
    struct pv_peer *p = w->n[0].peers[0];
    pv_peer_set_presence(p, PV_PRESENCE_ONLINE, 1, w->now);
    want(w, 0);
    pass(w, PV_S(1));
    assert_true(is_up(w, 0));
    pv_peer_set_presence(p, PV_PRESENCE_OFFLINE, 0, w->now);
    pass(w, PV_S(5));
    assert_true(is_up(w, 0)); /* it answers */
    pv_peer_set_presence(p, PV_PRESENCE_ONLINE, 1, w->now);
    w->no_network = w->no_signals = true;
    pv_peer_set_presence(p, PV_PRESENCE_OFFLINE, 0, w->now);
    pass(w, PV_S(7)); /* two rounds of checks */
    assert_int_equal(p->state, PV_PEER_IDLE);
    assert_false(pv_peer_has_path(p));
    assert_int_equal(pv_peer_reach(p), PV_REACH_NO);
}

PV_TEST(a_restart_is_noticed_by_the_new_connection)
{
    struct world *w = make_world();
    struct pv_peer *p = w->n[0].peers[0];
    pv_peer_set_presence(p, PV_PRESENCE_ONLINE, 1, w->now);
    want(w, 0);
    pass(w, PV_S(1));
    pv_peer_free(w->n[1].peers[0]);
    w->n[1].n_peers = 0;
    pass(w, PV_S(2));
    add_peer(w, 1, w->n[0].pk, w->n[0].dh_pk);
    pv_peer_set_presence(p, PV_PRESENCE_ONLINE, 2, w->now);
    pass(w, PV_MS(500));
    assert_true(is_up(w, 0));
    assert_true(is_up(w, 1));
    assert_true(pv_session_has_keys(w->n[1].peers[0]->session, w->now) ||
                pv_session_has_keys(p->session, w->now));
}
