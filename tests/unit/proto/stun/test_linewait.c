/* SPDX-License-Identifier: MIT */
#include "proto/stun/linewait.h"
#include "tests/unit/test_util.h"

/* A line of so many bytes a second, always full, written to every 5 ms for a second. */
static pv_ns run(struct pv_linewait *l, size_t rate, pv_ns now)
{
    for (unsigned i = 0; i < 200; i++, now += PV_MS(5))
        pv_linewait_took(l, rate / 200, true, now);
    return now;
}

PV_TEST(as_much_may_wait_as_the_line_takes_in_fifty_milliseconds)
{
    static const struct {
        size_t rate, limit;
    } rows[] = {
        {1000000, 50000},                  /* 8 Mb/s */
        {125000, PV_LINEWAIT_LEAST},       /* 1 Mb/s */
        {0, PV_LINEWAIT_LEAST},            /* stuck */
        {100 * 1000000, PV_LINEWAIT_MOST}, /* 800 Mb/s */
        {2000000, 100000},
    };
    struct pv_linewait l = {0};
    pv_ns now = PV_S(1);
    assert_int_equal(pv_linewait_limit(&l), PV_LINEWAIT_MOST);
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        now = run(&l, rows[i].rate, now);
        assert_int_equal(pv_linewait_limit(&l), rows[i].limit);
    }
}

PV_TEST(where_nothing_waits_the_line_is_not_slow)
{
    struct pv_linewait l = {0};
    pv_ns now = run(&l, 125000, PV_S(1));
    pv_linewait_took(&l, 100, false, now);
    assert_int_equal(pv_linewait_limit(&l), PV_LINEWAIT_MOST);
    for (unsigned i = 0; i < 100; i++, now += PV_MS(20)) /* little, now and then */
        pv_linewait_took(&l, 100, i % 2 != 0, now);
    assert_int_equal(pv_linewait_limit(&l), PV_LINEWAIT_MOST);
}

PV_TEST(the_first_writing_does_not_count)
{
    struct pv_linewait l = {0};
    pv_linewait_took(&l, 1 << 20, true, PV_S(1)); /* into an empty socket */
    pv_linewait_took(&l, 1000, true, PV_S(1) + PV_LINEWAIT_MEASURE - 1);
    assert_int_equal(pv_linewait_limit(&l), PV_LINEWAIT_MOST);
    pv_linewait_took(&l, 1000, true, PV_S(1) + PV_LINEWAIT_MEASURE);
    assert_int_equal(pv_linewait_limit(&l), PV_LINEWAIT_LEAST);
}
