/* SPDX-License-Identifier: MIT */
#include "sys/stack/sacks.h"
#include "tests/test.h"

/* Sequence numbers begin anew within the tests' ranges. */
#define UNA (UINT32_MAX - 99)
#define NXT (UNA + 100000)

static struct pv_stack_sacks s;

void test_before_each(void)
{
    pv_stack_sacks_clear(&s);
}

static struct pv_stack_range range(uint32_t from, uint32_t to)
{
    return (struct pv_stack_range){.from = UNA + from, .to = UNA + to};
}

static void add(uint32_t from, uint32_t to)
{
    pv_stack_sacks_add(&s, range(from, to), UNA, NXT);
}

PV_TEST(ranges_that_touch_or_overlap_become_one)
{
    add(100, 200);
    add(300, 400);
    assert_int_equal(s.n, 2);
    add(200, 300);
    assert_int_equal(s.n, 1);
    add(50, 120);
    add(350, 500);
    add(100, 200);
    assert_int_equal(s.n, 1);
    assert_int_equal(s.bytes, 450);
    assert_true(pv_stack_sacks_has(&s, range(50, 500)));
    assert_false(pv_stack_sacks_has(&s, range(49, 60)));
    assert_false(pv_stack_sacks_has(&s, range(490, 501)));
}

PV_TEST(a_range_may_cover_others)
{
    add(100, 110);
    add(120, 130);
    add(140, 150);
    add(90, 145);
    assert_int_equal(s.n, 1);
    assert_int_equal(s.bytes, 60);
}

PV_TEST(ranges_that_cannot_be_are_ignored)
{
    add(0, 10);  /* begins with what is not acknowledged */
    add(20, 20); /* is empty */
    add(30, 20);
    add(10, 100001); /* was not sent yet */
    pv_stack_sacks_add(&s, (struct pv_stack_range){.from = UNA - 50, .to = UNA - 10}, UNA, NXT);
    assert_int_equal(s.n, 0);
    assert_int_equal(s.bytes, 0);
}

PV_TEST(counts_missing_bytes)
{
    add(100, 200);
    add(300, 400);
    assert_int_equal(pv_stack_sacks_missing(&s, range(0, 500)), 300);
    assert_int_equal(pv_stack_sacks_missing(&s, range(150, 350)), 100);
    assert_int_equal(pv_stack_sacks_missing(&s, range(110, 190)), 0);
    assert_int_equal(pv_stack_sacks_missing(&s, range(210, 290)), 80);
    assert_int_equal(pv_stack_sacks_missing(&s, range(500, 400)), 0);
}

PV_TEST(acknowledged_ranges_are_forgotten)
{
    add(100, 200);
    add(300, 400);
    pv_stack_sacks_acked(&s, UNA + 250);
    assert_int_equal(s.n, 1);
    assert_int_equal(s.bytes, 100);
}

PV_TEST(a_member_that_acknowledges_up_to_a_range_has_dropped_it)
{
    add(100, 200);
    add(300, 400);
    pv_stack_sacks_acked(&s, UNA + 100);
    assert_int_equal(s.n, 1);
    assert_int_equal(s.bytes, 100);
    assert_false(pv_stack_sacks_has(&s, range(100, 200)));
}

PV_TEST(the_highest_ranges_are_forgotten_when_there_are_too_many)
{
    for (uint32_t i = PV_STACK_SACKS + 10; i > 0; i--)
        add(i * 10, i * 10 + 1);
    assert_int_equal(s.n, PV_STACK_SACKS);
    assert_int_equal(s.bytes, PV_STACK_SACKS);
    assert_true(pv_stack_sacks_has(&s, range(10, 11)));
    add(5000, 5001);
    assert_int_equal(s.n, PV_STACK_SACKS);
    assert_false(pv_stack_sacks_has(&s, range(5000, 5001)));
}
