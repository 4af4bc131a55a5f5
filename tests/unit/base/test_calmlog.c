/* SPDX-License-Identifier: MIT */
/* A log that strangers write to: what passes, what is counted, and when the count is told. */
#include <stdio.h>
#include <string.h>

#include "base/calmlog.h"
#include "tests/unit/test_util.h"

static struct {
    struct pv_calmlog calm;
    unsigned n[PV_LOG_DEBUG + 1]; /* lines by level */
    char last[PV_LOG_LINE_MAX];
} w;

static void sink(void *ctx, enum pv_log_level level, const char *line)
{
    (void)ctx;
    w.n[level]++;
    snprintf(w.last, sizeof(w.last), "%s", line);
}

static int setup(void **state)
{
    const struct pv_log to = {.level = PV_LOG_INFO, .sink = sink};
    (void)state;
    memset(&w, 0, sizeof(w));
    pv_calmlog_init(&w.calm, &to, PV_S(1));
    return 0;
}

PV_TEST_WORLD(setup, NULL);

PV_TEST(a_flood_of_one_line_is_one_line_and_a_number)
{
    for (int i = 0; i < 100000; i++)
        pv_log(&w.calm.log, PV_LOG_WARN, "network=evil bad statement");
    assert_int_equal(w.n[PV_LOG_WARN], 1);
    pv_ns due = pv_calmlog_next_timeout(&w.calm);
    assert_true(due <= PV_S(1) + PV_REPEATS_AGAIN);
    pv_calmlog_handle_timeout(&w.calm, due - 1);
    assert_int_equal(w.n[PV_LOG_WARN], 1);
    pv_calmlog_handle_timeout(&w.calm, due);
    assert_string_equal(w.last, "more of the like: more=99999");
    assert_int_equal(pv_calmlog_next_timeout(&w.calm), PV_NEVER);
}

PV_TEST(lines_that_differ_run_out_of_tokens)
{
    for (int i = 0; i < 100000; i++)
        pv_log(&w.calm.log, PV_LOG_WARN, "network=n%d bad statement", i);
    assert_int_equal(w.n[PV_LOG_WARN], PV_REPEATS_BURST);
    pv_calmlog_handle_timeout(&w.calm, PV_S(1) + PV_S(PV_REPEATS_EVERY));
    pv_log(&w.calm.log, PV_LOG_WARN, "network=other bad statement");
    assert_int_equal(w.n[PV_LOG_WARN], PV_REPEATS_BURST + 2);
    assert_string_equal(w.last, "more of the like before this: more=99995");
}

PV_TEST(warnings_hide_no_error_and_no_news)
{
    for (int i = 0; i < 1000; i++)
        pv_log(&w.calm.log, PV_LOG_WARN, "network=n%d bad statement", i);
    pv_log(&w.calm.log, PV_LOG_ERROR, "cannot store: the disk is full");
    assert_string_equal(w.last, "cannot store: the disk is full");
    for (int i = 0; i < 1000; i++)
        pv_log(&w.calm.log, PV_LOG_INFO, "what=\"node joined\" name=a");
    assert_int_equal(w.n[PV_LOG_INFO], 1000);
    pv_log(&w.calm.log, PV_LOG_DEBUG, "not wanted");
    assert_int_equal(w.n[PV_LOG_DEBUG], 0);
}
