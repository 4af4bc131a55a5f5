/* SPDX-License-Identifier: MIT */
#include "proto/wireguard/replay.h"
#include "tests/unit/test_util.h"

PV_TEST(a_counter_is_accepted_once)
{
    struct pv_replay r = {.next = 0};
    for (uint64_t c = 0; c < 3 * PV_REPLAY_WINDOW; c++) {
        assert_ok(pv_replay_accept(&r, c));
        assert_int_equal(pv_replay_accept(&r, c), PV_ERR_REPLAY);
    }
}

PV_TEST(the_window_ends_exactly_where_it_says)
{
    static const uint64_t tops[] = {PV_REPLAY_WINDOW, 100000, 100031, 100032, 1ull << 40};
    for (size_t i = 0; i < PV_ARRAY_LEN(tops); i++) {
        struct pv_replay r = {.next = 0};
        uint64_t top = tops[i];
        assert_ok(pv_replay_accept(&r, top));
        assert_int_equal(pv_replay_accept(&r, top - PV_REPLAY_WINDOW), PV_ERR_REPLAY);
        assert_ok(pv_replay_accept(&r, top - PV_REPLAY_WINDOW + 1));
        assert_int_equal(pv_replay_accept(&r, top - PV_REPLAY_WINDOW + 1), PV_ERR_REPLAY);
        assert_ok(pv_replay_accept(&r, top - 1));
        assert_int_equal(pv_replay_accept(&r, top), PV_ERR_REPLAY);
    }
}

PV_TEST(the_first_counter_may_be_any)
{
    static const uint64_t firsts[] = {0, 1, 63, 64, 8191, 8192, UINT64_MAX - 1};
    for (size_t i = 0; i < PV_ARRAY_LEN(firsts); i++) {
        struct pv_replay r = {.next = 0};
        assert_true(pv_replay_is_new(&r, firsts[i]));
        assert_ok(pv_replay_accept(&r, firsts[i]));
        assert_int_equal(pv_replay_accept(&r, firsts[i]), PV_ERR_REPLAY);
    }
    struct pv_replay r = {.next = 0};
    assert_int_equal(pv_replay_accept(&r, UINT64_MAX), PV_ERR_REPLAY);
    assert_true(r.next == 0);
}

/* The same question answered from a list of everything seen. */
PV_TEST(random_order_agrees_with_a_naive_list)
{
    enum {
        SPAN = 40000
    };
    static bool seen[SPAN + 20000];
    struct pv_replay r = {.next = 0};
    struct test_rng seed;
    struct pv_rng rng = test_rng_make(&seed, 6479);
    uint64_t highest = 0, centre = 0;
    bool any = false;
    memset(seen, 0, sizeof(seen));
    while (centre < SPAN) {
        uint32_t kind = pv_rng_below(&rng, 1000);
        uint64_t c = centre + pv_rng_below(&rng, kind == 0 ? 9000 : kind < 20 ? 200 : 3);
        if (kind > 700)
            c -= c < 10000 ? 0 : pv_rng_below(&rng, 10000);
        if (kind % 3 == 0)
            centre++;
        bool want = !seen[c] && (!any || c > highest || highest - c < PV_REPLAY_WINDOW);
        assert_int_equal(pv_replay_is_new(&r, c), want);
        assert_int_equal(pv_replay_accept(&r, c), want ? PV_OK : PV_ERR_REPLAY);
        if (want) {
            seen[c] = true;
            highest = !any || c > highest ? c : highest;
            any = true;
        }
    }
}
