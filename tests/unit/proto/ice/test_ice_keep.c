/* SPDX-License-Identifier: MIT */
/*
 * test_ice_keep.c - two agents in a small world: how paths are kept, lost, replaced and found
 * again.
 */
#include "ice_lone.h"
#include "proto/ice/ice_agent.h"
#include "proto/ice/rhythm.h"
#include "tests/sim/world/ice_world.h"
#include "tests/unit/counts.h"

static struct w_world w; /* too large for the stack */

static void end_world(void *ctx)
{
    w_done(ctx);
}

static void begin_world(uint64_t seed)
{
    w_init(&w, seed);
    test_defer(end_world, &w);
}

/* Two hosts behind a NAT each; the second may have another interface straight to the internet. */
static void two_nats(uint64_t seed)
{
    begin_world(seed);
    for (uint8_t i = 0; i < 2; i++) {
        int nat = w_add_nat(&w, W_INTERNET, pv_addr4(203, 0, 113, (uint8_t)(i + 1), 0), W_APDF);
        w_add_if(&w, i, nat, pv_addr4(192, 168, (uint8_t)(i + 1), 10, (uint16_t)(5000 + i)), 65000);
    }
}

static void meet_as(bool foreign, pv_ns until)
{
    for (int i = 0; i < 2; i++)
        w_start(&w, i, foreign);
    w_describe(&w, 0);
    w_describe(&w, 1);
    w_run(&w, until);
}

static void meet(pv_ns until)
{
    meet_as(false, until);
}

/* Two hosts with two addresses each, all in the internet: four pairs, all good. */
static void two_homes(uint64_t seed)
{
    begin_world(seed);
    for (uint8_t i = 0; i < 2; i++) {
        w_add_if(&w, i, W_INTERNET, pv_addr4(198, 51, 100, (uint8_t)(i + 1), 5000), 65000);
        w_add_if(&w, i, W_INTERNET, pv_addr4(203, 0, 113, (uint8_t)(i + 1), 6000), 64000);
    }
}

static void meet_behind_nats(uint64_t seed, pv_ns until)
{
    two_nats(seed);
    meet(until);
}

static void meet_in_homes(uint64_t seed, pv_ns until)
{
    two_homes(seed);
    meet(until);
}

static void data_both_ways(pv_ns every)
{
    for (int i = 0; i < 2; i++) {
        w.hosts[i].sends_data = true;
        w.hosts[i].data_every = every;
        w.hosts[i].next_data = w.now;
        w.hosts[i].next_note = w.now;
    }
}

static void data_until(pv_ns every, pv_ns until)
{
    data_both_ways(every);
    w_run(&w, until);
}

static struct pv_ice_path path_of(int host)
{
    struct pv_ice_path p = {0};
    assert_ok(pv_ice_selected(w.hosts[host].agent, &p));
    return p;
}

static void assert_state(int host, enum pv_ice_state state)
{
    if (pv_ice_state(w.hosts[host].agent) != state) {
        w_print(&w);
        fail_msg("host %d is %s", host, pv_ice_state_name(pv_ice_state(w.hosts[host].agent)));
    }
}

static void assert_states(enum pv_ice_state state)
{
    assert_state(0, state);
    assert_state(1, state);
}

/* Both use the same pair then. */
static void assert_agreed_at(pv_ns time)
{
    w_run(&w, time);
    assert_true(w_agree(&w));
}

/* How many datagrams host 0 sends until then. */
static unsigned sent_until(pv_ns end)
{
    unsigned before = w.hosts[0].sent;
    w_run(&w, end);
    return w.hosts[0].sent - before;
}

static const struct test_count COUNTS[] = {
    TEST_COUNT(w_host, selects, "selects"),
    TEST_COUNT(w_host, suspects, "suspects"),
    TEST_COUNT(w_host, losts, "losts"),
};

/* The hosts were told this, host 0 first. */
#define expect(text) assert_counts(COUNTS, w.hosts, 2, text)

static void kick_both(void)
{
    for (int i = 0; i < 2; i++)
        pv_ice_kick(w.hosts[i].agent, w.now);
}

PV_TEST(the_controlling_side_answers_a_fall_back_with_a_new_nomination)
{
    meet_in_homes(5, PV_S(3));
    assert_true(w_agree(&w));
    data_until(PV_MS(20), PV_S(4));

    /* Only the controlled side's datagrams on this path vanish: it notices first. */
    struct pv_ice_path before = path_of(1);
    w.blocked = before.remote;
    assert_agreed_at(PV_S(6));
    struct pv_ice_path after = path_of(1);
    assert_false(pv_addr_equal(&after.remote, &before.remote));
    assert_states(PV_ICE_COMPLETED);
}

PV_TEST(foreign_agents_meet_with_one_nomination)
{
    two_nats(4);
    meet_as(true, PV_S(5));
    assert_true(w_agree(&w));
    assert_states(PV_ICE_COMPLETED);
    expect("selects 1 -");
    /* Consent goes on although nothing is sent: 8 to 13 checks and as many answers in 50 s. */
    assert_in_range(sent_until(PV_S(55)), 16, 28);
    w.cut = true;
    w_run(&w, PV_S(90));
    expect("losts 1 -");
    assert_state(0, PV_ICE_FAILED);
}

PV_TEST(foreign_agents_in_the_same_role_settle_it_and_meet)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        two_nats(seed);
        w.roles = seed % 2 == 0 ? W_BOTH_CONTROL : W_NONE_CONTROLS;
        meet_as(true, PV_S(12));
        assert_true(w_agree(&w));
        assert_states(PV_ICE_COMPLETED);
        test_end(&w);
    }
}

/* --- keeping ---------------------------------------------------------------------------------- */

PV_TEST(a_path_in_use_is_checked_every_5_seconds)
{
    meet_behind_nats(1, PV_S(8));
    data_until(PV_MS(50), PV_S(10));
    /* 60 s: 10 to 15 checks and as many answers, and one more try of the pair that failed. */
    assert_in_range(sent_until(PV_S(70)), 28, 42);
    expect("selects 1 -, losts 0 -, suspects 0 -");
}

PV_TEST(an_idle_path_is_kept_then_dormant_and_silent)
{
    meet_behind_nats(2, PV_S(10));
    /* 580 s: a check every 20 to 25 s and as many answers; the mapping of 60 s lives. */
    assert_in_range(sent_until(PV_S(590)), 44, 62);
    assert_state(0, PV_ICE_COMPLETED);
    w_run(&w, PV_S(640));
    assert_states(PV_ICE_DORMANT);
    assert_true(pv_ice_next_timeout(w.hosts[0].agent) == PV_NEVER);
    unsigned before = w.hosts[0].sent + w.hosts[1].sent;
    w_run(&w, PV_S(100000));
    assert_int_equal(w.hosts[0].sent + w.hosts[1].sent, before);
    expect("losts 0 -");
}

PV_TEST(an_idle_path_is_kept_at_the_learnt_lifetime)
{
    meet_behind_nats(3, PV_S(3));
    for (int i = 0; i < 2; i++)
        pv_ice_set_lifetime(w.hosts[i].agent, PV_S(50), w.now);
    w_run(&w, PV_S(30));
    assert_in_range(sent_until(PV_S(530)), 18, 30); /* 500 s: 9 to 13 checks, as many answers */
    expect("losts 0 -, suspects 0 -");
}

/* One direct pair, whose NATs keep the port and forget who may send in. */
PV_TEST(the_first_data_after_silence_has_the_path_checked_at_once)
{
    meet_behind_nats(3, PV_S(30));
    struct pv_ice_agent *a = w.hosts[0].agent;
    struct pv_ice_transmit tx;
    w_run(&w, pv_ice_alive_at(a) + PV_ICE_SURE_FOR);
    pv_ice_note_traffic(a, w.now, 0, w.now);
    assert_true(pv_ice_next_timeout(a) <= w.now);
    assert_ok(pv_ice_poll_transmit(a, &tx));
}

/* A NAT may have ended the binding since the last answer. */
PV_TEST(after_a_rest_the_first_packet_has_its_path_checked_all_the_same)
{
    meet_behind_nats(3, PV_S(10));
    struct pv_ice_agent *a = w.hosts[0].agent;
    struct pv_ice_transmit tx;
    pv_ns used = w.now;
    pv_ice_note_traffic(a, used, 0, used);
    w_run(&w, used + PV_ICE_SURE_FOR);
    while (w.now >= pv_ice_alive_at(a) + PV_S(2))
        w_run(&w, w.now + PV_MS(100));
    assert_true(w.now < used + PV_S(15));
    w.cut = true;
    assert_int_equal(pv_ice_poll_transmit(a, &tx), PV_ERR_AGAIN);
    pv_ns begin = w.now;
    pv_ice_note_traffic(a, begin, 0, begin);
    assert_ok(pv_ice_poll_transmit(a, &tx));
    assert_true(pv_ice_alive_at(a) != 0);
    while (pv_ice_alive_at(a) != 0) /* the answer is late */
        w_run(&w, w.now + PV_MS(10));
    assert_true(w.now < begin + PV_MS(500));
    expect("suspects 0 -");
}

/* Its request comes as the verdict on a path is near, and has opened what kept ours out. */
PV_TEST(a_request_of_the_peer_puts_a_verdict_off_until_ours_can_be_answered)
{
    meet_behind_nats(3, PV_S(30));
    struct pv_ice_agent *a = w.hosts[0].agent, *b = w.hosts[1].agent;
    w_run(&w, pv_ice_alive_at(b) + PV_ICE_SURE_FOR);
    pv_ns begin = w.now;
    w.cut = true;
    pv_ice_note_traffic(b, begin, 0, begin);
    w_run(&w, begin + PV_ICE_DEAD_MIN - PV_MS(40)); /* 30 to the other end */
    w.cut = false;
    pv_ice_note_traffic(a, w.now, 0, w.now);
    w_run(&w, begin + PV_ICE_DEAD_MIN + PV_MS(200));
    expect("suspects - 0");
    assert_true(pv_ice_alive_at(b) > begin);
}

/* NATs that keep a binding that long, as the gatherer knows. */
static void set_nats(pv_ns timeout)
{
    for (int i = 0; i < W_NODES; i++) {
        w.nodes[i].timeout = timeout;
        w.nodes[i].kept = true;
    }
}

PV_TEST(a_pair_that_lapsed_at_rest_is_used_again_as_soon_as_it_answers)
{
    two_nats(3);
    set_nats(PV_S(5));
    meet(PV_S(60));
    pv_ns began = w.now;
    data_until(PV_MS(50), began + PV_S(2));
    assert_true(pv_ice_alive_at(w.hosts[0].agent) > began);
    assert_states(PV_ICE_COMPLETED);
    assert_true(w_agree(&w));
}

static void make_dormant(uint64_t seed, pv_ns timeout)
{
    two_nats(seed);
    set_nats(timeout);
    meet(PV_S(700));
    assert_states(PV_ICE_DORMANT);
}

PV_TEST(the_peers_check_wakes_a_dormant_agent_for_a_moment_only)
{
    make_dormant(3, PV_S(3600)); /* the mappings live, so one side alone gets through */
    unsigned selects = w.hosts[1].selects;
    pv_ice_kick(w.hosts[0].agent, w.now);
    w_run(&w, PV_S(701));
    assert_states(PV_ICE_COMPLETED);
    assert_int_equal(w.hosts[1].selects, selects + 1);
    w_run(&w, PV_S(712));
    assert_state(1, PV_ICE_DORMANT); /* no traffic came */
    w_run(&w, PV_S(1400));
    assert_state(0, PV_ICE_DORMANT); /* and the two do not keep each other awake */
    assert_state(1, PV_ICE_DORMANT);
}

PV_TEST(both_kicked_a_dormant_path_is_back_within_two_round_trips)
{
    make_dormant(4, PV_S(60)); /* the filters have forgotten: both sides have to send */
    pv_ns begin = w.now;
    w.hosts[0].first_path = 0;
    w.hosts[1].first_path = 0;
    pv_ice_kick(w.hosts[0].agent, w.now);
    w_run(&w, begin + PV_MS(40)); /* a signal takes a moment */
    pv_ice_kick(w.hosts[1].agent, w.now);
    w_run(&w, begin + PV_MS(400));
    assert_true(w.hosts[0].first_path != 0 && w.hosts[0].first_path - begin <= PV_MS(250));
    assert_true(w.hosts[1].first_path != 0 && w.hosts[1].first_path - begin <= PV_MS(250));
    assert_agreed_at(begin + PV_S(2));
}

PV_TEST(traffic_wakes_a_dormant_agent)
{
    make_dormant(5, PV_S(3600));
    pv_ice_note_traffic(w.hosts[0].agent, w.now, 0, w.now);
    assert_state(0, PV_ICE_CHECKING);
    w_run(&w, w.now + PV_MS(200));
    assert_state(0, PV_ICE_COMPLETED);
}

PV_TEST(consent_ends_after_30_seconds_without_an_answer)
{
    meet_behind_nats(6, PV_S(3));
    /* Data keeps coming in (as if replayed by a box on the way), so silence is not noticed. */
    struct pv_ice_agent *agent = w.hosts[0].agent;
    w.cut = true;
    pv_ns begin = w.now;
    while (w.hosts[0].losts == 0 && w.now < begin + PV_S(60)) {
        pv_ice_note_traffic(agent, w.now, w.now, w.now);
        w_run(&w, w.now + PV_MS(100));
    }
    assert_in_range((w.now - begin) / PV_S(1), 25, 31);
}

/* A machine that was in use wakes, and its programs send before the agent has looked at anything:
 * nobody has refused consent while it slept. */
PV_TEST(a_path_that_slept_is_checked_before_it_is_given_up)
{
    struct pv_ice_path path;
    meet_behind_nats(6, w.now);
    struct pv_ice_agent *agent = w.hosts[0].agent;
    for (pv_ns end = w.now + PV_S(20); w.now < end;) {
        pv_ice_note_traffic(agent, w.now, w.now, w.now);
        w_run(&w, w.now + PV_MS(100));
    }
    pv_ns evening = w.now, morning = evening + PV_S(8 * 3600);
    assert_ok(pv_ice_selected(agent, &path));
    pv_ice_kick(agent, morning);
    pv_ice_note_traffic(agent, morning, evening, morning);
    pv_ice_handle_timeout(agent, morning);
    assert_ok(pv_ice_selected(agent, &path));
    assert_true(pv_ice_next_timeout(agent) <= morning + PV_S(1)); /* the check */
}

PV_TEST(kicks_close_together_are_one)
{
    meet_behind_nats(7, PV_S(9));
    unsigned before = w.hosts[0].sent;
    for (int i = 0; i < 20; i++) {
        pv_ice_kick(w.hosts[0].agent, w.now);
        w_run(&w, w.now + PV_MS(10));
    }
    assert_true(w.hosts[0].sent - before <= 24);
}

/* --- dead paths ------------------------------------------------------------------------------- */

PV_TEST(a_dead_path_under_traffic_is_replaced_within_a_second)
{
    static const unsigned DELAYS[] = {1, 30, 60, 100};
    for (size_t d = 0; d < PV_ARRAY_LEN(DELAYS); d++) {
        for (uint64_t seed = 1; seed <= 10; seed++) {
            two_homes(seed);
            w.delay = PV_MS(DELAYS[d]);
            meet(PV_S(3));
            data_until(PV_MS(20), PV_S(9) + PV_MS(w_draw(&w, 1000)));
            assert_true(w_agree(&w));
            struct pv_ice_path p = path_of(0);
            w.blocked = p.remote; /* the peer's address dies, for one direction or both */
            if (seed % 2 == 0)
                w.deaf = p.remote;
            pv_ns begin = w.now;
            w_run(&w, begin + PV_S(1) + w.delay);
            struct pv_ice_path after = path_of(0);
            struct pv_ice_path other = path_of(1);
            if (pv_addr_equal(&after.remote, &p.remote) ||
                pv_addr_equal(&other.carrier.local, &p.remote)) {
                w_print(&w);
                fail_msg("not replaced, delay %u, seed %u", DELAYS[d], (unsigned)seed);
            }
            assert_agreed_at(begin + PV_S(3));
            for (int i = 0; i < 2; i++)
                assert_true(w.now - w.hosts[i].last_got <= PV_MS(150));
            expect("losts 0");

            /* Alive again it is not trusted at once. */
            w.blocked = (struct pv_addr){0};
            w.deaf = w.blocked;
            unsigned selects = w.hosts[0].selects;
            w_run(&w, begin + PV_S(8));
            assert_int_equal(w.hosts[0].selects, selects);
            test_end(&w);
        }
    }
}

/* Somebody wants the peer, or it is said to be away, while its path is examined. */
PV_TEST(a_kick_puts_no_verdict_off)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        meet_in_homes(seed, PV_S(3));
        data_until(PV_MS(20), PV_S(9));
        w.cut = true;
        w_run(&w, PV_S(9) + PV_MS(500));
        kick_both();
        w_run(&w, PV_S(10));
        expect("suspects 1");
        test_end(&w);
    }
}

PV_TEST(a_better_path_that_died_is_used_again_when_it_lives)
{
    begin_world(21);
    int nat = w_add_nat(&w, W_INTERNET, pv_addr4(203, 0, 113, 1, 0), W_APDF);
    w.nodes[nat].hairpin = true;
    for (uint8_t i = 0; i < 2; i++)
        w_add_if(&w, i, nat, pv_addr4(192, 168, 1, (uint8_t)(10 + i), 5000), 65000);
    meet(PV_S(3));
    data_until(PV_MS(20), PV_S(5));
    assert_int_equal(path_of(0).remote_type, PV_ICE_HOST);
    w.blocked = path_of(0).remote;
    assert_agreed_at(PV_S(7));
    assert_int_equal(path_of(0).remote_type, PV_ICE_SRFLX); /* the hairpin, as the last resort */
    w.blocked = (struct pv_addr){0};
    kick_both(); /* proven again at once, but not trusted yet */
    w_run(&w, PV_S(14));
    assert_int_equal(path_of(0).remote_type, PV_ICE_SRFLX);
    assert_agreed_at(PV_S(70));
    assert_int_equal(path_of(0).remote_type, PV_ICE_HOST);
    expect("losts 0");
}

PV_TEST(a_one_way_flow_costs_three_checks_a_second)
{
    meet_behind_nats(8, PV_S(3));
    w.hosts[0].sends_data = true;
    w.hosts[0].data_every = PV_MS(10);
    w.hosts[1].data_every = PV_MS(10);
    w.hosts[0].next_data = w.now;
    w_run(&w, PV_S(13));
    assert_in_range(sent_until(PV_S(33)), 55, 75);
    expect("losts 0 -, suspects 0 -, selects 1 -");
}

/* Each packet has its check, which is answered in time: nobody else is asked. */
PV_TEST(standbys_are_asked_only_when_the_answer_is_late)
{
    meet_in_homes(10, PV_S(3));
    w.hosts[0].sends_data = true;
    w.hosts[0].data_every = w.hosts[1].data_every = PV_S(1);
    w.hosts[0].next_data = w.now;
    w_run(&w, PV_S(33));
    /* 60 s: a check a second and, as the other side looks too, an answer; of two standbys each 15 s
     * as many checks and answers. Were they asked as well, it would be 240 more. */
    assert_in_range(sent_until(PV_S(93)), 130, 180);
    expect("losts 0 -, suspects 0 -");

    struct pv_ice_path p = path_of(0);
    w.blocked = p.remote;
    pv_ns begin = w.now;
    w_run(&w, begin + PV_S(1) + PV_MS(900)); /* up to a second passes until the next packet */
    struct pv_ice_path after = path_of(0);
    assert_false(pv_addr_equal(&after.remote, &p.remote));
    expect("losts 0 -");
}

PV_TEST(the_only_path_is_suspect_before_it_is_lost)
{
    meet_behind_nats(9, PV_S(3));
    data_until(PV_MS(20), PV_S(5));
    w.cut = true;
    w_run(&w, PV_S(6));
    expect("suspects 1 -, losts 0 -");
    assert_state(0, PV_ICE_CHECKING);
    (void)path_of(0); /* still there */
    w.cut = false;
    w_run(&w, PV_S(8));
    assert_state(0, PV_ICE_COMPLETED);
    assert_true(w_agree(&w));
    expect("losts 0 -");
    w.cut = true;
    w_run(&w, PV_S(20));
    expect("losts 1 -");
    w_run(&w, PV_S(40));
    assert_state(0, PV_ICE_FAILED);
    w.cut = false;
    kick_both();
    w_run(&w, PV_S(41));
    assert_state(0, PV_ICE_COMPLETED);
}

PV_TEST(a_nat_that_began_anew_heals_before_the_path_is_given_up)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        for (int which = 0; which < 2; which++) {
            meet_behind_nats(seed, PV_S(3));
            data_until(PV_MS(20), PV_S(7));
            /* This NAT gives new ports; the other one must let strangers in to hear of it. */
            w.nodes[which == 0 ? 2 : 0].filter = W_ADF;
            int nat = which == 0 ? 0 : 2;
            assert_true(w.nodes[nat].is_nat);
            w_nat_reset(&w, nat);
            pv_ns begin = w.now;
            w_run(&w, begin + PV_MS(650)); /* before the old path could have been given up */
            for (int i = 0; i < 2; i++) {
                if (w.now - w.hosts[i].last_got > PV_MS(150)) {
                    w_print(&w);
                    fail_msg("host %d gets nothing", i);
                }
            }
            assert_agreed_at(begin + PV_S(3));
            test_end(&w);
        }
    }
}

/* --- candidates come and go ------------------------------------------------------------------- */

PV_TEST(a_reflexive_address_is_learnt_on_both_sides)
{
    begin_world(12);
    int sym = w_add_nat(&w, W_INTERNET, pv_addr4(203, 0, 113, 1, 0), W_APDF);
    w.nodes[sym].per_destination = true;
    w_add_if(&w, 0, sym, pv_addr4(192, 168, 1, 10, 5000), 65000);
    int cone = w_add_nat(&w, W_INTERNET, pv_addr4(203, 0, 113, 2, 0), W_ADF);
    w_add_if(&w, 1, cone, pv_addr4(192, 168, 2, 10, 5000), 65000);
    meet(PV_S(3));
    assert_true(w_agree(&w));
    assert_int_equal(path_of(0).local_type, PV_ICE_PRFLX);
    assert_int_equal(path_of(1).remote_type, PV_ICE_PRFLX);
    struct pv_ice_cand cands[PV_ICE_MAX_LOCAL];
    size_t n = pv_ice_locals(w.hosts[0].agent, cands, PV_ARRAY_LEN(cands));
    assert_int_equal(n, 3);
    assert_int_equal(cands[2].type, PV_ICE_PRFLX);
    struct pv_addr mapped = path_of(0).mapped;
    assert_true(pv_addr_equal(&cands[2].addr, &mapped));

    /* It stays when the owner repeats its list, and goes with its base. */
    pv_ice_set_local(w.hosts[0].agent, w.hosts[0].cands, w.hosts[0].n_cands, w.now);
    assert_int_equal(pv_ice_locals(w.hosts[0].agent, cands, PV_ARRAY_LEN(cands)), 3);
    pv_ice_set_local(w.hosts[0].agent, NULL, 0, w.now);
    assert_int_equal(pv_ice_locals(w.hosts[0].agent, cands, PV_ARRAY_LEN(cands)), 0);
}

PV_TEST(a_better_candidate_that_appears_later_takes_over)
{
    begin_world(13);
    int nat = w_add_nat(&w, W_INTERNET, pv_addr4(203, 0, 113, 1, 0), W_EIF);
    w_add_if(&w, 0, nat, pv_addr4(192, 168, 1, 10, 5000), 65000);
    w_add_if(&w, 1, W_INTERNET, pv_addr4(203, 0, 113, 2, 6000), 65000);
    meet(PV_S(3));
    assert_true(w_agree(&w));
    assert_int_equal(path_of(0).local_type, PV_ICE_SRFLX);

    /* The second host plugs into the first one's LAN. */
    w_add_if(&w, 1, nat, pv_addr4(192, 168, 1, 11, 6000), 65000);
    pv_ice_set_local(w.hosts[1].agent, w.hosts[1].cands, w.hosts[1].n_cands, w.now);
    w_describe(&w, 0);
    assert_agreed_at(w.now + PV_MS(300));
    assert_int_equal(path_of(0).local_type, PV_ICE_HOST);
    assert_int_equal(path_of(0).remote_type, PV_ICE_HOST);
    expect("selects 2 -");

    /* And leaves it: at once for its own side, by silence for the other. */
    data_until(PV_MS(20), w.now + PV_MS(500));
    pv_ice_set_local(w.hosts[1].agent, w.hosts[1].cands, 1, w.now);
    assert_agreed_at(w.now + PV_S(1));
    assert_int_equal(path_of(0).local_type, PV_ICE_SRFLX);
    expect("losts 0");
}

PV_TEST(without_any_base_the_path_is_lost)
{
    meet_behind_nats(14, PV_S(3));
    pv_ice_set_local(w.hosts[0].agent, NULL, 0, w.now);
    w_run(&w, PV_S(4));
    expect("losts 1 -");
    struct pv_ice_path p;
    assert_int_equal(pv_ice_selected(w.hosts[0].agent, &p), PV_ERR_NOT_FOUND);
    pv_ice_set_local(w.hosts[0].agent, w.hosts[0].cands, w.hosts[0].n_cands, w.now);
    w_run(&w, PV_S(5));
    assert_state(0, PV_ICE_COMPLETED);
}

/* --- restarts --------------------------------------------------------------------------------- */

PV_TEST(after_a_restart_old_checks_are_refused_and_the_path_stays)
{
    meet_behind_nats(15, PV_S(3));
    struct pv_ice_creds fresh;
    struct pv_rng rng = w_rng(&w);
    struct pv_ice_creds old = w.hosts[1].creds;
    pv_ice_make_creds(&rng, &fresh);
    assert_ok(pv_ice_restart(w.hosts[1].agent, &fresh, w.now));
    w.hosts[1].creds = fresh;
    (void)path_of(1);
    assert_state(1, PV_ICE_CHECKING);

    uint8_t buf[256];
    struct req q = {.to = old.ufrag, .from = w.hosts[0].creds.ufrag, .pwd = old.pwd};
    size_t len = write_request(&q, buf, sizeof(buf));
    struct pv_ice_carrier c = {.local = w.hosts[1].cands[0].addr};
    struct pv_addr src = path_of(1).remote;
    assert_int_equal(pv_ice_handle_input(w.hosts[1].agent, &c, &src, pv_view(buf, len), w.now),
                     PV_ERR_AUTH);

    w_run(&w, w.now + PV_MS(50));
    w_describe(&w, 0);
    assert_agreed_at(w.now + PV_MS(300));
    assert_states(PV_ICE_COMPLETED);
    expect("losts 0");
}

PV_TEST(a_peer_that_lost_its_memory_is_met_again)
{
    for (int which = 0; which < 2; which++) {
        meet_behind_nats(16, PV_S(3));
        w.hosts[which].agent = pv_ice_free(w.hosts[which].agent);
        w_start(&w, which, false);
        w_describe(&w, which);
        w_run(&w, w.now + PV_MS(60));
        w_describe(&w, 1 - which);
        assert_agreed_at(w.now + PV_MS(400));
        assert_states(PV_ICE_COMPLETED);
        test_end(&w);
    }
}

/* --- rhythm: lessons from waits -------------------------------------------------------------- */

/* Dense traffic teaches nothing, what comes regularly its beat, and anything else no more than
 * PV_RHYTHM_LOOSE. */

static struct pv_rhythm of(const unsigned *ms, size_t n)
{
    struct pv_rhythm r = {0};
    for (size_t i = 0; i < n; i++)
        pv_rhythm_note(&r, PV_MS(ms[i]));
    return r;
}

#define OF(...) of((const unsigned[]){__VA_ARGS__}, PV_ARRAY_LEN(((const unsigned[]){__VA_ARGS__})))

PV_TEST(nothing_is_known_of_no_or_of_dense_traffic)
{
    struct pv_rhythm r = {0};
    for (int i = 0; i < 10; i++) {
        assert_int_equal(pv_rhythm_beat(&r), 0);
        assert_int_equal(pv_rhythm_unusual(&r), 0);
        assert_false(pv_rhythm_is_steady(&r));
        pv_rhythm_note(&r, i % 3 == 0 ? 0 : PV_MS(100));
    }
}

PV_TEST(a_beat_is_believed_however_slow_it_is)
{
    static const unsigned beats[] = {200, 1000, 3000, 10000};
    for (size_t i = 0; i < PV_ARRAY_LEN(beats); i++) {
        unsigned b = beats[i];
        struct pv_rhythm r = OF(100, b, b + b / 20, b);
        assert_int_equal(pv_rhythm_beat(&r), 0); /* three are no beat yet */
        pv_rhythm_note(&r, PV_MS(b));
        assert_int_equal(pv_rhythm_beat(&r), PV_MS(b));
        assert_true(pv_rhythm_is_steady(&r));
        pv_ns late = pv_rhythm_late(pv_rhythm_beat(&r));
        assert_int_equal(pv_rhythm_unusual(&r), late);
        assert_in_range(late, PV_MS(b) + PV_MS(b) / 20, PV_MS(b) * 5 / 4 + PV_MS(150));
    }
}

PV_TEST(irregular_waits_are_believed_for_a_second_at_most)
{
    struct pv_rhythm r = OF(300, 2500, 700, 1900);
    assert_int_equal(pv_rhythm_beat(&r), 0);
    assert_int_equal(pv_rhythm_unusual(&r), pv_rhythm_late(PV_RHYTHM_LOOSE));
    assert_true(pv_rhythm_unusual(&r) <= PV_S(1));
    r = OF(200, 500, 300, 400);
    assert_int_equal(pv_rhythm_unusual(&r), pv_rhythm_late(PV_MS(400)));
}

PV_TEST(a_pause_says_nothing_of_the_packets_of_a_burst)
{
    struct pv_rhythm r = OF(100, 100, 3000, 100);
    assert_int_equal(pv_rhythm_unusual(&r), 0);
}

PV_TEST(bursts_have_a_beat)
{
    struct pv_rhythm r = OF(100, 2900, 100, 100, 2900, 100, 100, 2900, 100, 100, 2900, 100);
    assert_int_equal(pv_rhythm_beat(&r), PV_MS(2900));
    assert_false(pv_rhythm_is_steady(&r));
    assert_int_equal(pv_rhythm_unusual(&r), 0);
}

PV_TEST(another_rhythm_is_learnt_within_four_waits)
{
    struct pv_rhythm r = OF(3000, 3000, 3000, 3000, 1000, 1000, 1000);
    assert_int_equal(pv_rhythm_beat(&r), 0);
    pv_rhythm_note(&r, PV_S(1));
    assert_int_equal(pv_rhythm_beat(&r), PV_S(1));
}
