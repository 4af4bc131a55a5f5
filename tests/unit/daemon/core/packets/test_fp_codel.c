/* SPDX-License-Identifier: MIT */
#include "daemon/core/packets/fp_codel.h"
#include "tests/unit/test_util.h"

PV_TEST(a_queue_that_empties_now_and_then_is_left_alone)
{
    struct pv_fp_codel c = {.count = 0};
    for (unsigned i = 0; i < 10000; i++) {
        pv_ns now = PV_S(1000) + i * PV_MS(1);
        pv_ns waited =
            i % 19 == 0 ? PV_FP_CODEL_TARGET - 1 : PV_MS(50); /* met once in every 19 ms */
        assert_false(pv_fp_codel_leaves(&c, waited, now));
    }
}

/* One packet each 10 us for so long; returns how many of them were chosen, and notes when. */
static unsigned stand(struct pv_fp_codel *c, pv_ns *now, pv_ns length, pv_ns *when, unsigned cap)
{
    unsigned n = 0;
    for (pv_ns end = *now + length; *now < end; *now += 10000) {
        if (!pv_fp_codel_leaves(c, PV_MS(3), *now))
            continue;
        if (n < cap)
            when[n] = *now;
        n++;
    }
    return n;
}

PV_TEST(one_that_stands_is_told_after_an_interval_and_then_more_often)
{
    struct pv_fp_codel c = {.count = 0};
    const pv_ns start = PV_S(1000);
    pv_ns now = start, when[64] = {0};
    assert_int_equal(stand(&c, &now, PV_MS(20), when, 64), 0);
    unsigned n = stand(&c, &now, PV_MS(300), when, 64);
    assert_true(n > 30 && n < 64);
    assert_true(when[0] - start == PV_FP_CODEL_INTERVAL);
    /* interval / sqrt(count): 20, 14.1, 11.5, 10, …, and never below 5 ms */
    assert_true(when[1] - when[0] == PV_MS(20));
    assert_in_range(when[2] - when[1], 14140000, 14160000);
    assert_in_range(when[3] - when[2], 11530000, 11560000);
    assert_in_range(when[4] - when[3], 9980000, 10020000);
    for (unsigned i = 1; i < n; i++)
        assert_true(when[i] - when[i - 1] >= PV_MS(5) - 20000);
    assert_in_range(when[n - 1] - when[n - 2], 4980000, 5020000);
}

PV_TEST(it_ends_when_the_target_is_met_and_soon_goes_on_where_it_was)
{
    struct pv_fp_codel c = {.count = 0};
    pv_ns now = PV_S(1000), when[4] = {0};
    assert_true(stand(&c, &now, PV_MS(200), when, 4) > 10);
    assert_false(pv_fp_codel_leaves(&c, 0, now));
    assert_false(c.signalling);
    /* A new interval passes before anybody is told again, but then at nearly the old rate... */
    assert_int_equal(stand(&c, &now, PV_MS(20), when, 4), 0);
    assert_true(stand(&c, &now, PV_MS(20), when, 4) >= 3);
    /* ...unless that was long ago. */
    assert_false(pv_fp_codel_leaves(&c, 0, now));
    now += PV_S(2);
    assert_int_equal(stand(&c, &now, PV_MS(20), when, 4), 0);
    assert_int_equal(stand(&c, &now, PV_MS(19), when, 4), 1);
}

/* TCP in a sentence: the window grows by a packet a round trip, and falls by a third at a loss. */
PV_TEST(flows_that_listen_are_brought_to_the_target)
{
    enum {
        FLOWS = 4,
        PACKET_NS = 2000 /* of 1,400 bytes at 5.6 Gb/s */
    };
    struct pv_fp_codel c = {.count = 0};
    struct test_rng rng = {.state = 1};
    double window[FLOWS] = {2000, 2000, 2000, 2000}; /* 16 ms in all */
    pv_ns worst = 0, now = PV_S(1000);
    for (unsigned i = 0; i < 1500000; i++, now += PACKET_NS) {
        double all = 0;
        for (unsigned f = 0; f < FLOWS; f++)
            all += window[f];
        pv_ns waited = (pv_ns)(all * PACKET_NS);
        double *one = &window[test_rng_next(&rng) % FLOWS];
        *one += 1 / *one;
        if (pv_fp_codel_leaves(&c, waited, now))
            *one *= 0.7;
        if (now > PV_S(1002) && waited > worst)
            worst = waited;
    }
    assert_true(worst <= 2 * PV_FP_CODEL_TARGET);
    assert_true(worst >= PV_FP_CODEL_TARGET / 2); /* and no further than needed */
}
