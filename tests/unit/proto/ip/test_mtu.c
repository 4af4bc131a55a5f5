/* SPDX-License-Identifier: MIT */
/* The MTU machine against paths that carry so much and no more, lose packets, change and fall
 * silent. */
#include "proto/ip/mtu.h"
#include "tests/unit/test_util.h"

enum {
    HEADER = 28,
    WANTED = 1452, /* bytes of payload: 1480 of IP packet */
    IN_FLIGHT = 512,
};

struct flight {
    uint32_t token;
    pv_ns at; /* 0 = free */
};

struct path {
    struct test_rng seed;
    struct pv_rng rng;
    struct pv_mtu m;
    pv_ns now;
    unsigned link; /* bytes of IP packet that pass; 0 = none */
    unsigned loss; /* percent */
    pv_ns rtt;
    bool idle;
    size_t packet; /* bytes, one a second; 0 = much is sent */
    uint16_t size; /* as told; 0 = all */
    unsigned changes;
    size_t probes, bytes;
    struct flight flight[IN_FLIGHT];
    size_t n_flights; /* from there on all are free */
};

/* Of the test that runs. */
static struct path the_path;
static struct path *const p = &the_path;

static void start(unsigned link, pv_ns rtt, uint64_t seed)
{
    memset(p, 0, sizeof(*p));
    p->rng = test_rng_make(&p->seed, seed);
    p->now = PV_S(100);
    p->link = link;
    p->rtt = rtt;
    pv_mtu_start(&p->m, &p->rng, HEADER, WANTED, 0, p->now);
}

static void send_probes(void)
{
    uint16_t size;
    uint32_t token;
    while (pv_mtu_poll_probe(&p->m, &size, &token) == PV_OK) {
        assert_true(size <= p->m.wanted);
        p->probes++;
        p->bytes += size;
        if ((unsigned)size + HEADER > p->link || pv_rng_below(&p->rng, 100) < p->loss)
            continue;
        size_t i = 0;
        while (p->flight[i].at != 0)
            assert_true(++i < IN_FLIGHT);
        p->flight[i] = (struct flight){.token = token, .at = p->now + p->rtt};
        if (i == p->n_flights)
            p->n_flights++;
    }
}

/* The path and the machine, millisecond by millisecond. */
static void run(pv_ns time)
{
    for (pv_ns end = p->now + time; p->now < end; p->now += PV_MS(1)) {
        if (p->packet != 0 && p->now % PV_S(1) == 0)
            pv_mtu_note_sent(&p->m, p->packet, p->now);
        else if (p->packet == 0 && !p->idle && p->now % PV_MS(100) == 0)
            pv_mtu_note_use(&p->m, p->now);
        for (size_t i = 0; i < p->n_flights; i++) {
            if (p->flight[i].at == 0 || p->flight[i].at > p->now)
                continue;
            p->flight[i].at = 0;
            pv_mtu_handle_answer(&p->m, p->flight[i].token, p->now);
        }
        while (p->n_flights > 0 && p->flight[p->n_flights - 1].at == 0)
            p->n_flights--;
        pv_mtu_handle_timeout(&p->m, p->now);
        send_probes();
        if (pv_mtu_take_change(&p->m, &p->size))
            p->changes++;
    }
}

/* Bytes of IP packet that are used now. */
static unsigned used(void)
{
    return (p->size == 0 ? p->m.wanted : p->size) + HEADER;
}

static unsigned used_after(pv_ns time)
{
    run(time);
    return used();
}

PV_TEST(a_path_that_carries_all_is_never_narrowed)
{
    start(1500, PV_MS(40), 1);
    run(PV_S(60));
    assert_int_equal(p->changes, 0);
    assert_int_equal(used(), 1480);
    assert_true(p->probes <= 2 * 32);
}

PV_TEST(narrow_paths_are_found_within_2_seconds_to_20_bytes)
{
    static const unsigned links[] = {576, 700, 1000, 1199, 1280, 1281, 1299, 1399, 1400, 1479};
    static const unsigned rtts[] = {1, 40, 150, 300};
    for (size_t i = 0; i < PV_ARRAY_LEN(links); i++) {
        for (size_t k = 0; k < PV_ARRAY_LEN(rtts); k++) {
            start(links[i], PV_MS(rtts[k]), i * 10 + k);
            run(PV_S(4));
            assert_true(used() <= links[i]);
            assert_true(used() + (links[i] < 1280 ? 225 : 20) > links[i]);
            unsigned found = used(), changes = p->changes;
            assert_int_equal(used_after(PV_S(30)), found);
            assert_int_equal(p->changes, changes);
        }
    }
}

PV_TEST(a_path_that_narrows_is_noticed_within_5_seconds_in_use)
{
    static const unsigned rtts[] = {1, 40, 150, 300};
    for (size_t i = 0; i < 40; i++) {
        start(1500, PV_MS(rtts[i % 4]), i);
        run(PV_S(10) + PV_MS(53 * i));
        p->link = 1300;
        assert_int_equal(used_after(PV_S(5)), 1300);
    }
}

/* Large data goes on being sent and its answers end: TCP waits 200 ms, 400, 800. */
PV_TEST(a_path_that_narrows_under_large_data_is_found_in_half_a_second)
{
    static const unsigned rtts[] = {1, 40, 80};
    static const unsigned links[] = {1400, 1300, 1280, 1000, 576};
    for (size_t i = 0; i < 60; i++) {
        start(1500, PV_MS(rtts[i % 3]), i);
        run(PV_S(10) + PV_MS(53 * i));
        pv_ns received = p->now;
        p->link = links[i % 5];
        while (p->now < received + PV_MS(500)) {
            if ((p->now - received) % PV_MS(100) == 0) /* as it is sampled */
                pv_mtu_note_received(&p->m, received, p->now);
            run(PV_MS(1));
        }
        assert_true(used() <= p->link);
        run(PV_S(3));
        assert_true(used() <= p->link && used() + 225 > p->link);
    }
}

/* A flow that breaks off beside small packets that are answered: TCP repeats one packet after 200
 * ms, 400, 800. */
PV_TEST(a_flow_that_breaks_off_is_looked_into_though_small_packets_are_answered)
{
    static const unsigned rtts[] = {1, 40, 80};
    static const unsigned links[] = {1400, 1300, 1280, 1000, 576};
    for (size_t i = 0; i < 60; i++) {
        start(1500, PV_MS(rtts[i % 3]), i);
        p->idle = true;
        pv_ns narrowed = p->now + PV_S(10) + PV_MS(100 * i), repeated = narrowed + PV_MS(220);
        for (pv_ns end = narrowed + PV_MS(600); p->now < end; run(PV_MS(100))) {
            bool repeats = p->now >= repeated;
            size_t sent = p->now <= narrowed ? 80000 : repeats ? 1480 : 0;
            if (p->now >= narrowed)
                p->link = links[i % 5];
            if (repeats)
                repeated += 2 * (repeated - narrowed);
            pv_mtu_note_sent(&p->m, sent + 100, p->now);
            pv_mtu_note_received(&p->m, p->now, p->now);
        }
        assert_true(used() <= p->link);
    }
}

/* Each end of a flow looks like that. */
PV_TEST(the_ends_of_flows_cost_little_and_narrow_nothing)
{
    start(1500, PV_MS(40), 8);
    run(PV_S(10));
    p->idle = true;
    p->bytes = 0;
    size_t data = 0;
    for (int i = 0; i < 1000; i++) {
        size_t sent = i % 5 == 0 ? 20000 : 0;
        data += sent;
        pv_mtu_note_sent(&p->m, sent, p->now);
        pv_mtu_note_received(&p->m, p->now, p->now);
        run(PV_MS(100));
    }
    assert_int_equal(p->changes, 0);
    assert_in_range(p->bytes, 1, data / 8);
}

/* Nothing comes back of what it sends: it answers, and its answers are lost. */
PV_TEST(the_far_ends_search_shows_that_the_own_size_is_too_large)
{
    for (size_t i = 0; i < 20; i++) {
        start(1500, PV_MS(40), i);
        run(PV_S(10) + PV_MS(53 * i));
        while (p->m.state != PV_MTU_KNOWN || p->now < p->m.known_at + PV_MTU_STALL)
            run(PV_MS(1));
        p->link = 1300;
        pv_mtu_note_probed(&p->m, 500, p->now);  /* a check has one of these */
        pv_mtu_note_probed(&p->m, 1420, p->now); /* and one of these */
        assert_int_equal(p->m.state, PV_MTU_KNOWN);
        pv_mtu_note_probed(&p->m, 1240, p->now);
        assert_int_equal(used_after(PV_S(1)), 1300);
    }
    /* Of a size that holds no other sizes are tried, so two ends do not go on waking each other. */
    start(1500, PV_MS(40), 7);
    run(PV_S(10));
    p->bytes = 0;
    for (int i = 0; i < 1000; i++) {
        pv_mtu_note_probed(&p->m, 1240, p->now);
        run(PV_MS(1));
    }
    assert_int_equal(p->changes, 0);
    assert_in_range(p->bytes, 1452, 5 * (1452 + 548));
}

PV_TEST(a_stall_is_looked_into_once_and_loss_does_not_narrow)
{
    start(1500, PV_MS(40), 7);
    run(PV_S(10));
    p->idle = true;
    for (int i = 0; i < 200; i++) {
        pv_ns received = p->now;
        p->loss = 5;
        run(PV_MS(50));
        pv_mtu_note_use(&p->m, p->now);
        size_t before = p->probes;
        for (int k = 0; k < 20; k++) {
            run(PV_MS(100));
            pv_mtu_note_received(&p->m, received, p->now);
        }
        assert_true(p->probes - before <= 40);
    }
    assert_in_range(p->changes, 0, 4); /* both copies lost: one in 400, and found out at once */
    p->loss = 0;
    assert_int_equal(used_after(PV_S(30)), 1480);
}

PV_TEST(a_path_that_widens_is_noticed_within_10_minutes)
{
    start(1300, PV_MS(20), 3);
    run(PV_S(10));
    p->link = 1500;
    assert_int_equal(used_after(PV_S(605)), 1480);
}

/* It was full rather than narrow, or the detour is over. */
PV_TEST(a_path_that_narrowed_in_use_is_looked_at_again_soon)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        start(1500, PV_MS(20), seed);
        run(PV_S(10));
        p->link = 1300;
        assert_int_equal(used_after(PV_S(5)), 1300);
        p->link = 1500;
        assert_int_equal(used_after(PV_S(18)), 1480);
        p->link = 1300; /* it stays narrow: ever fewer looks, and nothing is taken back */
        run(PV_S(100));
        size_t before = p->bytes;
        assert_int_equal(used_after(PV_S(1200)), 1300);
        assert_true(p->bytes - before < 1200 / 2 * 2000 + 4 * 80000);
    }
}

/* A busy host may answer nothing just then: that path narrowed in use all the same. */
PV_TEST(a_path_that_is_silent_first_and_narrow_then_is_looked_at_again_soon)
{
    start(1500, PV_MS(20), 12);
    run(PV_S(10));
    p->link = 0;
    for (int i = 0; i < 5000 && p->m.state != PV_MTU_WAIT; i++)
        run(PV_MS(1));
    assert_int_equal(p->m.state, PV_MTU_WAIT);
    p->link = 1300;
    assert_int_equal(used_after(PV_S(5)), 1300);
    p->link = 1500;
    assert_int_equal(used_after(PV_S(16)), 1480);
}

PV_TEST(loss_alone_does_not_narrow_a_path)
{
    unsigned wrong = 0;
    for (uint64_t seed = 0; seed < 40; seed++) {
        start(1500, PV_MS(30), seed);
        p->loss = 10;
        run(PV_S(60));
        wrong += used() != 1480;
    }
    assert_true(wrong <= 1); /* 3 probes lost in a row, and again in the search */
}

PV_TEST(a_silent_path_keeps_what_was_known_and_is_asked_ever_less)
{
    start(1400, PV_MS(20), 4);
    assert_int_equal(used_after(PV_S(10)), 1400);
    p->link = 0;
    size_t before = p->probes;
    assert_int_equal(used_after(PV_S(300)), 1400);
    assert_true(p->probes - before < 100);
    p->link = 1400;
    assert_int_equal(used_after(PV_S(70)), 1400);
    assert_int_equal(p->m.state, PV_MTU_KNOWN);
}

PV_TEST(an_idle_path_is_not_probed)
{
    start(1500, PV_MS(20), 5);
    p->idle = true;
    run(PV_S(20));
    size_t before = p->probes;
    assert_int_equal(pv_mtu_next_timeout(&p->m), PV_NEVER);
    run(PV_S(600));
    assert_int_equal(p->probes, before);
    p->link = 1300;
    p->idle = false;
    assert_int_equal(used_after(PV_S(5)), 1300);
}

/* Small packets pass everywhere. The first large packet after an hour has the size looked at. */
PV_TEST(small_packets_need_no_checks)
{
    start(1500, PV_MS(20), 9);
    p->packet = 200;
    run(PV_S(10));
    size_t before = p->probes;
    run(PV_S(3600));
    assert_int_equal(p->probes, before);
    p->link = 1300;
    p->packet = 1452;
    assert_int_equal(used_after(PV_S(2)), 1300);
}

/* A silent path is asked again even so: it is not known yet. */
PV_TEST(small_packets_ask_what_is_not_known)
{
    start(0, PV_MS(20), 10);
    p->packet = 200;
    run(PV_S(20));
    p->link = 1400;
    assert_int_equal(used_after(PV_S(40)), 1400);
}

PV_TEST(few_large_packets_are_checked_ever_more_rarely)
{
    start(1500, PV_MS(20), 11);
    p->packet = 1452;
    run(PV_S(60));
    size_t before = p->bytes;
    run(PV_S(600));
    assert_true((p->bytes - before) * 6 < 600 * p->packet); /* a sixth of the data, at most */
    p->link = 1300;
    run(PV_S(15)); /* PV_MTU_MUCH of it */
    assert_int_equal(used(), 1300);
    p->packet = 0; /* and much is checked as often as ever */
    p->link = 1200;
    assert_int_equal(used_after(PV_S(5)), 1200);
}

PV_TEST(jumbo_paths_are_used_as_far_as_they_go)
{
    start(9000, PV_MS(1), 6);
    pv_mtu_start(&p->m, &p->rng, HEADER, 8972, 0, p->now);
    assert_int_equal(used_after(PV_S(5)), 9000);
    start(4400, PV_MS(1), 6);
    pv_mtu_start(&p->m, &p->rng, HEADER, 8972, 0, p->now);
    assert_int_equal(used_after(PV_S(5)), 4352);
}

/* A burst that ended just before looked into the same last answer. */
PV_TEST(a_stall_after_a_flow_that_ended_is_looked_into)
{
    start(1500, PV_MS(40), 9);
    p->idle = true;
    run(PV_S(1));
    pv_mtu_note_sent(&p->m, 2 * PV_MTU_FLOW, p->now);
    pv_ns received_at = p->now + PV_MS(40);
    run(PV_MS(300));
    pv_mtu_note_received(&p->m, received_at, p->now);
    assert_int_equal(p->m.state, PV_MTU_CHECK);
    run(PV_MS(100));
    assert_int_equal(p->m.state, PV_MTU_KNOWN);
    p->link = 1300;
    pv_mtu_note_sent(&p->m, 1480, p->now);
    run(PV_MS(250));
    pv_mtu_note_received(&p->m, received_at, p->now);
    assert_int_equal(used_after(PV_S(1)), 1300);
}

PV_TEST(a_size_that_is_taken_holds_until_a_larger_or_a_smaller_one_is_found)
{
    static const unsigned links[] = {1480, 1400};
    for (size_t i = 0; i < PV_ARRAY_LEN(links); i++) {
        start(links[i], PV_MS(20), 8);
        pv_mtu_start(&p->m, &p->rng, HEADER, WANTED, 1440 - HEADER, p->now);
        assert_int_equal(p->m.current, 1440 - HEADER);
        assert_int_equal(used_after(PV_S(5)), links[i]);
    }
    start(100, PV_MS(20), 8); /* nothing is answered */
    pv_mtu_start(&p->m, &p->rng, HEADER, WANTED, 1440 - HEADER, p->now);
    run(PV_S(5));
    assert_int_equal(p->m.current, 1440 - HEADER);
    pv_mtu_start(&p->m, &p->rng, HEADER, WANTED, WANTED, p->now);
    assert_int_equal(p->m.current, 0);
}

PV_TEST(answers_of_another_path_or_made_up_ones_change_nothing)
{
    uint16_t size;
    uint32_t token;
    start(1400, PV_MS(20), 7);
    assert_ok(pv_mtu_poll_probe(&p->m, &size, &token));
    pv_mtu_start(&p->m, &p->rng, HEADER, WANTED, 0, p->now);
    pv_mtu_handle_answer(&p->m, token, p->now);
    for (uint32_t i = 0; i < 1000; i++)
        pv_mtu_handle_answer(&p->m, p->m.base + 2 + i, p->now); /* none of this try's two */
    assert_int_equal(p->m.state, PV_MTU_ASK);
    assert_false(pv_mtu_take_change(&p->m, &size));
    pv_mtu_stop(&p->m);
    pv_mtu_handle_answer(&p->m, 0, p->now);
    pv_mtu_handle_timeout(&p->m, PV_NEVER);
    assert_int_equal(pv_mtu_poll_probe(&p->m, &size, &token), PV_ERR_AGAIN);
    assert_int_equal(pv_mtu_next_timeout(&p->m), PV_NEVER);
}

PV_TEST(a_doubt_is_looked_into_at_once)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        start(1500, PV_MS(20), seed);
        run(PV_S(10) + PV_MS(97 * seed));
        p->link = 1300;
        pv_mtu_doubt(&p->m, p->now);
        assert_int_equal(used_after(PV_S(1)), 1300);
        unsigned changes = p->changes;
        pv_mtu_doubt(&p->m, p->now); /* without a reason */
        assert_int_equal(used_after(PV_S(1)), 1300);
        assert_int_equal(p->changes, changes);
    }
}

PV_TEST(a_size_told_of_a_path_holds_for_10_minutes)
{
    struct pv_mtu m = {.state = PV_MTU_OFF};
    pv_ns now = PV_S(100);
    uint16_t size = 1;
    pv_mtu_tell(&m, 1452, 1452, now); /* no less than wanted */
    assert_false(pv_mtu_take_change(&m, &size));
    pv_mtu_tell(&m, 1352, 1452, now);
    assert_true(pv_mtu_take_change(&m, &size));
    assert_int_equal(size, 1352);
    pv_mtu_tell(&m, 1400, 1452, now); /* never more */
    pv_mtu_tell(&m, 1352, 1452, now + PV_S(10));
    assert_false(pv_mtu_take_change(&m, &size));
    pv_mtu_tell(&m, 1232, 1452, now + PV_S(20));
    assert_true(pv_mtu_take_change(&m, &size));
    assert_int_equal(size, 1232);
    assert_int_equal(pv_mtu_poll_probe(&m, &size, &(uint32_t){0}), PV_ERR_AGAIN);
    assert_int_equal(pv_mtu_next_timeout(&m), now + PV_S(20) + PV_MTU_RAISE_EVERY);
    pv_mtu_handle_timeout(&m, pv_mtu_next_timeout(&m));
    assert_true(pv_mtu_take_change(&m, &size));
    assert_int_equal(size, 0);
    assert_int_equal(pv_mtu_next_timeout(&m), PV_NEVER);
    /* A probed path listens to its probes only. */
    start(1500, PV_MS(20), 8);
    pv_mtu_tell(&p->m, 1300, WANTED, p->now);
    assert_int_equal(used_after(PV_S(5)), 1480);
    assert_int_equal(p->changes, 0);
}
