/* SPDX-License-Identifier: MIT */
#include "daemon/core/client/series.h"
#include "tests/unit/test_util.h"

#define M0 UINT64_C(28000020) /* a minute: the first of an hour */

static struct pv_series s;

static int setup(void **state)
{
    memset(&s, 0, sizeof(s));
    return 0;
}

static int teardown(void **state)
{
    return 0;
}

PV_TEST_WORLD(setup, teardown);

static void add(uint64_t minute, uint64_t rx, double rtt_ms, double loss, enum pv_series_path path)
{
    const struct pv_series_row row = {
        .rx = rx, .tx = rx / 2, .rtt_ms = rtt_ms, .loss = loss, .path = path};
    pv_series_add(&s, minute, &row);
}

static void about(double have, double want)
{
    assert_true(have <= want * 1.061 + 0.6 && have >= want / 1.061 - 0.6);
}

PV_TEST(an_hour_begins_where_the_tests_think)
{
    assert_int_equal(M0 % 60, 0);
}

PV_TEST(amounts_of_every_size_are_known_to_six_percent)
{
    uint64_t minute = M0;
    for (double v = 1; v < 4e12; v *= 1.7) {
        add(++minute, (uint64_t)v, v / 1e6, -1, PV_SERIES_DIRECT);
        const struct pv_series_row row = pv_series_minute(&s, minute);
        about((double)row.rx, (double)(uint64_t)v);
        about(row.rtt_ms * 1000, v > 1e12 ? 1e9 : v / 1000 < 1 ? 1 : v / 1000);
    }
    add(++minute, UINT64_MAX, 0, 1, PV_SERIES_RELAY);
    const struct pv_series_row most = pv_series_minute(&s, minute);
    assert_true(most.rx > 4000000000000);
    about(most.loss * 100, 100);
    about(most.rtt_ms * 1000, 1);
    assert_int_equal(most.path, PV_SERIES_RELAY);
}

PV_TEST(nothing_and_nothing_measured_are_told_apart)
{
    add(M0, 0, -1, 0, PV_SERIES_NONE);
    const struct pv_series_row row = pv_series_minute(&s, M0);
    assert_int_equal(row.rx, 0);
    assert_true(row.rtt_ms < 0 && row.loss >= 0 && row.loss < 1e-9);
    assert_int_equal(row.path, PV_SERIES_NONE);
    assert_int_equal(pv_series_minute(&s, M0 + 1).path, PV_SERIES_UNKNOWN);
    assert_int_equal(pv_series_minute(&s, M0 - 1).path, PV_SERIES_UNKNOWN);
    add(M0 + 1, 0, -1, 0.01, PV_SERIES_NONE);
    about(pv_series_minute(&s, M0 + 1).loss * 1000, 10);
}

PV_TEST(an_hour_is_the_sum_of_its_minutes_once_it_is_over)
{
    for (unsigned i = 0; i < 60; i++)
        add(M0 + i, 1000, i < 30 ? 10 : -1, -1, i < 40 ? PV_SERIES_RELAY : PV_SERIES_DIRECT);
    assert_int_equal(pv_series_hour(&s, M0 / 60).path, PV_SERIES_UNKNOWN);
    add(M0 + 60, 1, -1, -1, PV_SERIES_NONE);
    const struct pv_series_row row = pv_series_hour(&s, M0 / 60);
    about((double)row.rx / 1.06, 60000 / 1.06);
    about(row.rtt_ms * 1000, 10000);
    assert_true(row.loss < 0);
    assert_int_equal(row.path, PV_SERIES_RELAY);
}

PV_TEST(a_time_in_which_nobody_looked_is_unknown_and_what_was_before_is_kept)
{
    add(M0, 5, -1, -1, PV_SERIES_DIRECT);
    add(M0 + 200, 5, -1, -1, PV_SERIES_DIRECT);
    assert_int_equal(pv_series_minute(&s, M0).path, PV_SERIES_DIRECT);
    for (unsigned i = 1; i < 200; i++)
        assert_int_equal(pv_series_minute(&s, M0 + i).path, PV_SERIES_UNKNOWN);
    assert_int_equal(pv_series_hour(&s, M0 / 60).path, PV_SERIES_DIRECT);
    assert_int_equal(pv_series_hour(&s, M0 / 60 + 1).path, PV_SERIES_UNKNOWN);
    add(M0 + PV_SERIES_MINUTES, 5, -1, -1, PV_SERIES_DIRECT);
    assert_int_equal(pv_series_minute(&s, M0).path, PV_SERIES_UNKNOWN);
    assert_int_equal(pv_series_hour(&s, M0 / 60).path, PV_SERIES_DIRECT);
    add(M0 + 60 * (PV_SERIES_HOURS + 1), 5, -1, -1, PV_SERIES_DIRECT);
    assert_int_equal(pv_series_hour(&s, M0 / 60).path, PV_SERIES_UNKNOWN);
}

PV_TEST(a_clock_that_is_set_back_is_waited_for_or_all_begins_anew)
{
    add(M0 + 100, 5, -1, -1, PV_SERIES_DIRECT);
    add(M0 + 90, 7, -1, -1, PV_SERIES_RELAY);
    assert_int_equal(pv_series_minute(&s, M0 + 100).path, PV_SERIES_DIRECT);
    assert_int_equal(pv_series_minute(&s, M0 + 90).path, PV_SERIES_UNKNOWN);
    add(M0 + 10, 7, -1, -1, PV_SERIES_RELAY);
    assert_int_equal(pv_series_minute(&s, M0 + 10).path, PV_SERIES_RELAY);
    assert_int_equal(pv_series_minute(&s, M0 + 100).path, PV_SERIES_UNKNOWN);
    add(UINT64_MAX / 2, 7, -1, -1, PV_SERIES_RELAY); /* and forward, without a long walk */
    assert_int_equal(pv_series_minute(&s, UINT64_MAX / 2).path, PV_SERIES_RELAY);
}

PV_TEST(a_series_that_was_written_is_read_again)
{
    static uint8_t buf[PV_SERIES_BYTES];
    struct pv_series read;
    for (unsigned i = 0; i < 100; i++)
        add(M0 + i, i * 1000, i, -1, PV_SERIES_DIRECT);
    pv_series_write(&s, buf);
    pv_series_read(&read, buf);
    assert_memory_equal(&read, &s, sizeof(s));
    memset(buf, 0xff, sizeof(buf)); /* a damaged file */
    pv_series_read(&s, buf);
    (void)pv_series_minute(&s, M0);
    add(M0, 5, -1, -1, PV_SERIES_DIRECT);
    assert_int_equal(pv_series_minute(&s, M0).path, PV_SERIES_DIRECT);
}
