/* SPDX-License-Identifier: MIT */
#include "sys/file/disk.h"
#include "tests/unit/test_util.h"

PV_TEST(a_small_disk_has_a_small_reserve)
{
    assert_int_equal(pv_disk_reserve(UINT64_C(1) << 40), UINT64_C(64) << 20);
    assert_int_equal(pv_disk_reserve(UINT64_C(1280) << 20), UINT64_C(64) << 20);
    assert_int_equal(pv_disk_reserve(UINT64_C(200) << 20), UINT64_C(10) << 20);
    assert_int_equal(pv_disk_reserve(0), 0);
}

PV_TEST(an_unknown_room_counts_as_low)
{
    assert_true(pv_disk_is_low("/nonexistent/p2pvpn"));
}
