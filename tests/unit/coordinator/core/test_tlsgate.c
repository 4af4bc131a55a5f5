/* SPDX-License-Identifier: MIT */
#include "coordinator/core/sniff.h"
#include "coordinator/core/tlsgate.h"
#include "tests/unit/test_util.h"

struct world {
    struct pv_tlsgate gate;
    struct test_rng rng;
    struct pv_tlsgate_pass pass[PV_TLSGATE_MAX + 1];
};

static int make_world(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    struct pv_rng rng = test_rng_make(&w->rng, 1);
    *state = w;
    return pv_tlsgate_init(&w->gate, &rng);
}

static int end_world(void **state)
{
    struct world *w = *state;
    pv_tlsgate_done(&w->gate);
    free(w);
    return 0;
}

static struct pv_addr source(size_t net, size_t host)
{
    return pv_addr4(198, 51, (uint8_t)net, (uint8_t)host, 1);
}

static void only_so_many_are_under_way(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i <= PV_TLSGATE_MAX; i++) {
        struct pv_addr src = source(i / 4, i);
        assert_int_equal(pv_tlsgate_enter(&w->gate, &w->pass[i], &src, PV_S(1)),
                         i < PV_TLSGATE_MAX);
    }
    struct pv_addr src = source(200, 1);
    pv_tlsgate_leave(&w->gate, &w->pass[77]);
    pv_tlsgate_leave(&w->gate, &w->pass[77]); /* harmless */
    assert_true(pv_tlsgate_enter(&w->gate, &w->pass[PV_TLSGATE_MAX], &src, PV_S(1)));
    assert_false(pv_tlsgate_enter(&w->gate, &w->pass[77], &src, PV_S(1)));
}

static void one_source_leaves_room_for_others(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i <= PV_TLSGATE_SOURCE_MAX; i++) {
        struct pv_addr src = source(7, i); /* one /24 */
        assert_int_equal(pv_tlsgate_enter(&w->gate, &w->pass[i], &src, PV_S(1)),
                         i < PV_TLSGATE_SOURCE_MAX);
    }
    struct pv_addr other = source(8, 1);
    assert_true(pv_tlsgate_enter(&w->gate, &w->pass[PV_TLSGATE_MAX], &other, PV_S(1)));
    uint8_t ip[16] = {0x20, 0x01, 0x0d, 0xb8};
    struct pv_addr v6 = pv_addr6(ip, 1);
    assert_true(pv_tlsgate_enter(&w->gate, &w->pass[PV_TLSGATE_MAX - 1], &v6, PV_S(1)));
}

static void nobody_goes_in_and_out_too_often(void **state)
{
    struct world *w = *state;
    struct pv_addr src = source(7, 1);
    size_t n = 0;
    for (; pv_tlsgate_enter(&w->gate, &w->pass[0], &src, PV_S(1)); n++)
        pv_tlsgate_leave(&w->gate, &w->pass[0]);
    assert_int_equal(n, PV_TLSGATE_SOURCE_BURST);
    for (n = 0; pv_tlsgate_enter(&w->gate, &w->pass[0], &src, PV_S(2)); n++)
        pv_tlsgate_leave(&w->gate, &w->pass[0]);
    assert_int_equal(n, PV_TLSGATE_SOURCE_RATE);
    /* Nor all of them together. */
    size_t all = PV_TLSGATE_SOURCE_BURST + PV_TLSGATE_SOURCE_RATE;
    for (size_t net = 0; net < 200; net++) {
        src = source(net, 1);
        for (n = 0; n < 100 && pv_tlsgate_enter(&w->gate, &w->pass[0], &src, PV_S(2)); n++)
            pv_tlsgate_leave(&w->gate, &w->pass[0]);
        all += n;
    }
    assert_in_range(all, PV_TLSGATE_BURST, PV_TLSGATE_BURST + PV_TLSGATE_RATE);
}

static void the_slow_are_named_in_the_order_they_came(void **state)
{
    struct world *w = *state;
    struct pv_addr src = source(7, 1);
    assert_true(pv_tlsgate_next_timeout(&w->gate) == PV_NEVER);
    for (size_t i = 0; i < 3; i++)
        assert_true(pv_tlsgate_enter(&w->gate, &w->pass[i], &src, PV_S(1 + i)));
    pv_tlsgate_leave(&w->gate, &w->pass[1]); /* done in time */
    pv_ns due = PV_S(1 + PV_TLSGATE_TIME_S);
    assert_true(pv_tlsgate_next_timeout(&w->gate) == due);
    assert_null(pv_tlsgate_overdue(&w->gate, due - 1));
    assert_ptr_equal(pv_tlsgate_overdue(&w->gate, due), &w->pass[0]);
    pv_tlsgate_leave(&w->gate, &w->pass[0]);
    assert_null(pv_tlsgate_overdue(&w->gate, due));
    assert_ptr_equal(pv_tlsgate_overdue(&w->gate, due + PV_S(2)), &w->pass[2]);
    pv_tlsgate_leave(&w->gate, &w->pass[2]);
    assert_true(pv_tlsgate_next_timeout(&w->gate) == PV_NEVER);
    assert_int_equal(w->gate.n, 0);
}

static void the_first_byte_says_what_is_spoken(void **state)
{
    (void)state;
    for (unsigned b = 0; b < 256; b++) {
        enum pv_sniff want = b < 4      ? PV_SNIFF_STUN
                             : b == 22  ? PV_SNIFF_TLS
                             : b == 'P' ? PV_SNIFF_CONTROL
                                        : PV_SNIFF_FOREIGN;
        assert_int_equal(pv_sniff((uint8_t)b), want);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_world, end_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(only_so_many_are_under_way),
        TEST(one_source_leaves_room_for_others),
        TEST(nobody_goes_in_and_out_too_often),
        TEST(the_slow_are_named_in_the_order_they_came),
        cmocka_unit_test(the_first_byte_says_what_is_spoken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
