/* SPDX-License-Identifier: MIT */
#include "sys/file/disk.h"
#include "tests/unit/test_util.h"

static void a_small_disk_has_a_small_reserve(void **state)
{
    (void)state;
    assert_int_equal(pv_disk_reserve(UINT64_C(1) << 40), UINT64_C(64) << 20);
    assert_int_equal(pv_disk_reserve(UINT64_C(1280) << 20), UINT64_C(64) << 20);
    assert_int_equal(pv_disk_reserve(UINT64_C(200) << 20), UINT64_C(10) << 20);
    assert_int_equal(pv_disk_reserve(0), 0);
}

static void what_cannot_be_told_counts_as_low(void **state)
{
    (void)state;
    assert_true(pv_disk_is_low("/nonexistent/p2pvpn"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_disk_has_a_small_reserve),
        cmocka_unit_test(what_cannot_be_told_counts_as_low),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
