/* SPDX-License-Identifier: MIT */
#include "sys/stack/cubic.h"
#include "tests/test.h"

enum {
    MSS = 1340,
    MAX = 4 << 20,
    ROUND = 66, /* ms */
};

static struct pv_stack_cubic c;
static uint32_t now;

void test_before_each(void)
{
    now = UINT32_MAX - 1000; /* the clock begins anew */
    pv_stack_cubic_begin(&c, MSS, MAX);
}

/* A round trip in which a window arrives, in acknowledgements of two segments. */
static void pass_round(void)
{
    const uint32_t window = c.window;
    for (uint32_t acked = 0; acked < window; acked += 2 * MSS) {
        pv_stack_cubic_acked(&c, 2 * MSS, ROUND, now);
        now += ROUND * 2 * MSS / window;
    }
}

/* Returns the ms after which the window is as large. */
static uint32_t grow_to(uint32_t window)
{
    const uint32_t began = now;
    for (unsigned i = 0; c.window < window && i < 10000; i++) {
        const uint32_t round = now;
        pass_round();
        now = round + ROUND;
    }
    return now - began;
}

PV_TEST(a_new_connection_doubles_its_window_in_each_round_trip)
{
    assert_int_equal(c.window, 10 * MSS);
    pass_round();
    assert_int_equal(c.window, 20 * MSS);
    assert_in_range(grow_to(MAX), 7 * ROUND, 9 * ROUND);
    assert_int_equal(c.window, MAX);
}

PV_TEST(a_loss_costs_three_tenths_that_are_there_again_in_seconds)
{
    (void)grow_to(1700000); /* 200 Mb/s */
    const uint32_t before = c.window;
    pv_stack_cubic_lost(&c);
    assert_in_range(c.window, before / 10 * 7 - 10, before / 10 * 7);
    assert_in_range(grow_to(before / 100 * 99), 5000, 12000);
}

PV_TEST(a_second_loss_comes_back_to_less)
{
    (void)grow_to(1700000);
    pv_stack_cubic_lost(&c);
    const uint32_t before = c.before;
    pv_stack_cubic_lost(&c);
    assert_in_range(c.before, before / 2, before / 10 * 6);
}

PV_TEST(a_window_never_falls_below_two_segments)
{
    for (int i = 0; i < 50; i++)
        pv_stack_cubic_lost(&c);
    assert_int_equal(c.window, 2 * MSS);
}

PV_TEST(after_a_timeout_one_segment_grows_fast_to_less_than_before)
{
    (void)grow_to(1700000);
    const uint32_t before = c.window;
    pv_stack_cubic_timed_out(&c);
    assert_int_equal(c.window, MSS);
    assert_in_range(grow_to(before / 10 * 7 - 10), 5 * ROUND, 15 * ROUND);
    const uint32_t level = c.window;
    pass_round();
    assert_in_range(c.window, level, level + level / 10);
}

PV_TEST(a_connection_that_was_idle_begins_anew_and_knows_where_it_was)
{
    (void)grow_to(1700000);
    pv_stack_cubic_lost(&c);
    const uint32_t before = c.window;
    pv_stack_cubic_idled(&c);
    assert_int_equal(c.window, 10 * MSS);
    assert_true(c.slow_end >= before / 10 * 7);
}

PV_TEST(a_program_that_paused_gets_no_jump_of_the_window)
{
    (void)grow_to(1700000);
    pv_stack_cubic_lost(&c);
    pass_round();
    const uint32_t before = c.window;
    now += 30000;
    pass_round();
    assert_in_range(c.window, before, before + before / 10);
}

PV_TEST(the_smallest_segments_and_the_largest_times_fit_the_numbers)
{
    pv_stack_cubic_begin(&c, 88, MAX);
    pv_stack_cubic_lost(&c);
    for (int i = 0; i < 100; i++) {
        pv_stack_cubic_acked(&c, UINT32_MAX, UINT32_MAX / 2, now);
        now += 1u << 30;
        assert_in_range(c.window, 2 * 88, MAX);
    }
}
