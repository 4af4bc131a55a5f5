/* SPDX-License-Identifier: MIT */
#include "daemon/core/peer/highwater.h"
#include "tests/unit/test_util.h"

#define WALL UINT64_C(1800000000000000)

/* A life: some values, the mark stored or not. Returns the last value. */
static uint64_t live(struct pv_highwater *h, uint64_t wall_us, unsigned n, bool stores,
                     uint64_t *disk)
{
    uint64_t mark, last = h->last;
    for (unsigned i = 0; i < n; i++) {
        uint64_t v = pv_highwater_next(h, wall_us + i);
        assert_true(v > last);
        last = v;
        if (!pv_highwater_take_mark(h, &mark) || !stores)
            continue;
        *disk = mark;
        pv_highwater_stored(h, mark);
    }
    return last;
}

PV_TEST(values_follow_the_clock_once_the_mark_is_stored)
{
    struct pv_highwater h = pv_highwater_load(0, 0);
    uint64_t mark;
    assert_int_equal(pv_highwater_next(&h, WALL), 1);
    assert_true(pv_highwater_take_mark(&h, &mark));
    assert_int_equal(mark, WALL + PV_HIGHWATER_AHEAD_US);
    assert_false(pv_highwater_take_mark(&h, &mark)); /* it is on its way */
    assert_int_equal(pv_highwater_next(&h, WALL + 5), 2);
    pv_highwater_stored(&h, WALL + PV_HIGHWATER_AHEAD_US);
    assert_int_equal(pv_highwater_next(&h, WALL + 6), WALL + 6);
    assert_int_equal(pv_highwater_next(&h, 0), WALL + 7);
}

PV_TEST(the_first_mark_is_asked_for_before_any_value)
{
    struct pv_highwater h = pv_highwater_load(WALL - 7, WALL);
    uint64_t mark;
    assert_true(pv_highwater_take_mark(&h, &mark));
    assert_int_equal(mark, WALL + PV_HIGHWATER_AHEAD_US);
    assert_false(h.own);
    pv_highwater_stored(&h, mark);
    assert_true(h.own);
    assert_int_equal(pv_highwater_next(&h, WALL + 1), WALL + 1);
}

/* Above its mark it counts on from where that was asked for, and not from a former life's. */
PV_TEST(a_life_that_is_idle_for_long_stays_above_one_without_room)
{
    struct pv_highwater h = pv_highwater_load(WALL, WALL + 5000);
    uint64_t mark;
    assert_true(pv_highwater_take_mark(&h, &mark));
    pv_highwater_stored(&h, mark);
    assert_int_equal(pv_highwater_next(&h, WALL + 2 * (uint64_t)PV_HIGHWATER_AHEAD_US),
                     WALL + 5001);
}

/* The clock leaps ahead on a full disk, and back before the next start. */
PV_TEST(a_life_that_could_store_nothing_does_not_shut_out_the_next)
{
    uint64_t disk = 0;
    struct pv_highwater h = pv_highwater_load(disk, WALL);
    uint64_t before = live(&h, WALL, 100, true, &disk);
    uint64_t seen = live(&h, WALL + UINT64_C(86400000000), 1000, false, &disk);
    assert_true(seen > before && seen < disk);
    h = pv_highwater_load(disk, WALL);
    assert_true(live(&h, WALL - 5000, 1, false, &disk) > seen);
    /* Even one that begins on a full disk is overtaken after as many values. */
    h = pv_highwater_load(disk, WALL);
    seen = live(&h, WALL + UINT64_C(86400000000), 50, false, &disk);
    h = pv_highwater_load(disk, WALL);
    assert_true(live(&h, WALL, 51, true, &disk) > seen);
}

/* A backup restored: what is on disk is old, the clock is right. */
PV_TEST(an_old_mark_is_left_behind_as_soon_as_a_new_one_is_stored)
{
    uint64_t disk = WALL - UINT64_C(86400000000);
    struct pv_highwater h = pv_highwater_load(disk, WALL);
    assert_true(live(&h, WALL, 3, true, &disk) >= WALL);
}
