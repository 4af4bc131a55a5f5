/* SPDX-License-Identifier: MIT */
/* The lessons from waits: nothing from dense traffic, the beat of what comes regularly, and of
 * anything else no more than PV_RHYTHM_LOOSE. */
#include "proto/ice/rhythm.h"
#include "tests/unit/test_util.h"

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
