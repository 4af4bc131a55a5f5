/* SPDX-License-Identifier: MIT */
#include "base/bucket.h"
#include "tests/unit/test_util.h"

PV_TEST(a_zeroed_bucket_is_full)
{
    struct pv_bucket b = {.last = 0};
    for (int i = 0; i < 5; i++)
        assert_true(pv_bucket_take(&b, 1, 5, 1, PV_S(9)));
    assert_false(pv_bucket_take(&b, 1, 5, 1, PV_S(9)));
    b = (struct pv_bucket){.last = 0};
    assert_true(pv_bucket_take(&b, 1, 5, 5, 0)); /* time may begin at 0 */
    assert_false(pv_bucket_take(&b, 1, 5, 1, 0));
    assert_false(pv_bucket_take(&b, 1, 5, 6, PV_S(100))); /* more than the burst never fits */
}

PV_TEST(tokens_come_back_at_the_rate)
{
    struct pv_bucket b = {.last = 0};
    assert_true(pv_bucket_take(&b, 10, 2, 2, PV_S(1)));
    assert_false(pv_bucket_take(&b, 10, 2, 1, PV_S(1) + PV_MS(99)));
    assert_true(pv_bucket_take(&b, 10, 2, 1, PV_S(1) + PV_MS(100)));
    assert_false(pv_bucket_take(&b, 10, 2, 1, PV_S(1) + PV_MS(101)));
    assert_true(pv_bucket_take(&b, 10, 2, 2, PV_S(1000))); /* full, not fuller */
    assert_false(pv_bucket_take(&b, 10, 2, 1, PV_S(1000)));
    assert_false(pv_bucket_take(&b, 10, 2, 1, PV_S(5))); /* time going back gives nothing */
    /* A step brings more than there is room for, by less than a millisecond's worth. */
    b = (struct pv_bucket){.last = 0};
    assert_true(pv_bucket_take(&b, 5000, 10, 10, PV_S(1)));
    assert_true(pv_bucket_take(&b, 5000, 10, 0, PV_S(1) + PV_US(2999)));
    assert_false(pv_bucket_take(&b, 5000, 14, 14, PV_S(1) + PV_US(2999)));
}

PV_TEST(asking_often_loses_nothing)
{
    struct pv_bucket b = {.last = 0};
    unsigned got = 0;
    assert_true(pv_bucket_take(&b, 3, 1, 1, PV_S(1)));
    for (pv_ns t = PV_S(1); t <= PV_S(11); t += PV_US(7))
        got += pv_bucket_take(&b, 3, 1, 1, t);
    assert_in_range(got, 29, 30);
    got = 0;
    struct pv_bucket fast = {.last = 0};
    for (pv_ns t = PV_S(1); t < PV_S(2); t += PV_US(1))
        got += pv_bucket_take(&fast, UINT32_MAX, UINT32_MAX, 1, t);
    assert_int_equal(got, 1000000);
}

PV_TEST(sources_share_by_network_and_not_beyond)
{
    struct test_rng seed;
    struct pv_rng rng = test_rng_make(&seed, 1);
    struct pv_bucket_table *t;
    struct pv_addr a = pv_addr4(192, 0, 2, 1, 1), same = pv_addr4(192, 0, 2, 200, 9);
    struct pv_addr other = pv_addr4(192, 0, 3, 1, 1), a6, same6, other6;
    a6 = test_ip("2001:db8:0:100::1");
    same6 = test_ip("2001:db8:0:1ff::1");
    other6 = test_ip("2001:db8:0:200::1");
    assert_ok(pv_bucket_table_new(&t, 1024, 1, 1, &rng));
    assert_true(pv_bucket_table_take(t, &a, 1, PV_S(1)));
    assert_false(pv_bucket_table_take(t, &same, 1, PV_S(1)));
    assert_true(pv_bucket_table_take(t, &other, 1, PV_S(1)));
    assert_true(pv_bucket_table_take(t, &a6, 1, PV_S(1)));
    assert_false(pv_bucket_table_take(t, &same6, 1, PV_S(1)));
    assert_true(pv_bucket_table_take(t, &other6, 1, PV_S(1)));
    assert_true(pv_bucket_table_take(t, &a, 1, PV_S(2)));
    t = pv_bucket_table_free(t);
    assert_null(pv_bucket_table_free(t));
    assert_int_equal(pv_bucket_table_new(&t, ((size_t)1 << 24) + 1, 1, 1, &rng), PV_ERR_LIMIT);
}

PV_TEST(tokens_that_a_source_gets_back_it_may_take_again)
{
    struct test_rng seed;
    struct pv_rng rng = test_rng_make(&seed, 4);
    struct pv_bucket_table *t;
    const struct pv_addr a = pv_addr4(192, 0, 2, 1, 1), same = pv_addr4(192, 0, 2, 9, 1),
                         other = pv_addr4(192, 0, 3, 1, 1);
    assert_ok(pv_bucket_table_new(&t, 1024, 1, 2, &rng));
    pv_bucket_table_give(t, &a, 5); /* it never took any */
    assert_true(pv_bucket_table_take(t, &a, 2, PV_S(1)));
    assert_false(pv_bucket_table_take(t, &a, 1, PV_S(1)));
    pv_bucket_table_give(t, &same, 1);
    pv_bucket_table_give(t, &other, 1);
    assert_true(pv_bucket_table_take(t, &a, 1, PV_S(1)));
    assert_false(pv_bucket_table_take(t, &a, 1, PV_S(1)));
    pv_bucket_table_give(t, &a, 5); /* no more than a full bucket */
    assert_true(pv_bucket_table_take(t, &a, 2, PV_S(1)));
    assert_false(pv_bucket_table_take(t, &a, 1, PV_S(1)));
    pv_bucket_table_free(t);
}

PV_TEST(a_flood_of_sources_evicts_the_idle_first)
{
    struct test_rng seed;
    struct pv_rng rng = test_rng_make(&seed, 2);
    struct pv_bucket_table *t;
    struct pv_addr busy = pv_addr4(10, 0, 0, 1, 1);
    assert_ok(pv_bucket_table_new(&t, 4, 1, 2, &rng)); /* one set of four */
    assert_true(pv_bucket_table_take(t, &busy, 2, PV_S(1)));
    for (uint32_t i = 0; i < 100; i++) {
        struct pv_addr a = pv_addr4_u32(0xc0000000u + (i << 8), 1);
        assert_true(pv_bucket_table_take(t, &a, 1, PV_S(1) + 2 * i + 1));
        /* Used again and again, so it stays and stays empty. */
        assert_false(pv_bucket_table_take(t, &busy, 1, PV_S(1) + 2 * i + 2));
    }
    pv_bucket_table_free(t);
}
