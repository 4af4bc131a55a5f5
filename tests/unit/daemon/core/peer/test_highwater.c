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
    struct pv_highwater h = pv_highwater_load(WALL - 2 * PV_HIGHWATER_STEP_US, WALL);
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
    assert_true(pv_highwater_next(&h, WALL) > WALL + 500000);
}

/* The clock leaps far ahead on a full disk, and back before the next start. */
PV_TEST(a_life_that_could_store_nothing_does_not_shut_out_the_next)
{
    const uint64_t leap = WALL + 2 * PV_HIGHWATER_TRUST_US;
    uint64_t disk = 0;
    struct pv_highwater h = pv_highwater_load(disk, WALL);
    uint64_t before = live(&h, WALL, 100, true, &disk);
    uint64_t seen = live(&h, leap, 1000, false, &disk);
    assert_true(seen > before && seen < disk);
    h = pv_highwater_load(disk, WALL);
    assert_true(live(&h, WALL - 5000, 1, false, &disk) > seen);
    /* One that begins on a full disk is overtaken with the next mark. */
    h = pv_highwater_load(disk, WALL);
    seen = live(&h, leap, 5000, false, &disk);
    h = pv_highwater_load(disk, WALL);
    assert_true(live(&h, WALL, 2, true, &disk) > seen);
}

/* For days, and p2pvpnd is restarted now and then. */
PV_TEST(lives_on_a_full_disk_follow_the_clock)
{
    uint64_t disk = WALL + PV_HIGHWATER_AHEAD_US, seen = disk;
    for (uint64_t day = 1; day < 30; day += 4) {
        const uint64_t wall = WALL + day * UINT64_C(86400000000);
        struct pv_highwater h = pv_highwater_load(disk, wall);
        const uint64_t last = live(&h, wall + 5, 3, false, &disk);
        assert_true(last > seen && h.own);
        seen = last;
    }
}

/* Within two minutes of the mark: the clock is behind it, and says which life is the later one. */
PV_TEST(lives_that_begin_at_one_mark_are_above_each_other)
{
    uint64_t disk = WALL + PV_HIGHWATER_AHEAD_US, mark, seen = disk;
    struct pv_highwater h = {.last = 0};
    for (uint64_t s = 0; s < 119; s += 1) {
        const uint64_t wall = WALL + s * 1000000;
        h = pv_highwater_load(disk, wall);
        assert_true(pv_highwater_next(&h, wall) > seen);
        seen = live(&h, wall, 1000, false, &disk);
        assert_false(h.own);
    }
    /* The clock leads on, */
    const uint64_t later = WALL + 2 * PV_HIGHWATER_AHEAD_US;
    struct pv_highwater c = h;
    assert_false(pv_highwater_leads(&c, WALL));
    assert_true(pv_highwater_leads(&c, later));
    assert_int_equal(pv_highwater_next(&c, later), later);
    assert_true(c.own);
    /* or the disk has room again. */
    h = pv_highwater_load(disk, WALL);
    assert_true(pv_highwater_next(&h, WALL) < seen);
    assert_true(pv_highwater_take_mark(&h, &mark));
    pv_highwater_stored(&h, mark);
    assert_true(h.own && pv_highwater_next(&h, WALL) > seen);
}

/* A backup restored: what is on disk is old, the clock is right. */
PV_TEST(an_old_mark_is_left_behind_as_soon_as_a_new_one_is_stored)
{
    uint64_t disk = WALL - UINT64_C(86400000000);
    struct pv_highwater h = pv_highwater_load(disk, WALL);
    assert_true(live(&h, WALL, 3, true, &disk) >= WALL);
}
