/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <limits.h>

#include "base/log.h"
#include "base/trace.h"
#include "tests/unit/test_util.h"

struct seen {
    unsigned lines;
    enum pv_log_level level;
    char text[PV_LOG_LINE_MAX];
};

static void keep(void *ctx, enum pv_log_level level, const char *line)
{
    struct seen *s = ctx;
    s->lines++;
    s->level = level;
    assert_true(strlen(line) < sizeof(s->text));
    memcpy(s->text, line, strlen(line) + 1);
}

PV_TEST(lines_above_the_level_are_not_written)
{
    struct seen s = {.lines = 0};
    struct pv_log log = {.level = PV_LOG_WARN, .sink = keep, .ctx = &s};
    pv_log(&log, PV_LOG_INFO, "no");
    pv_log(NULL, PV_LOG_ERROR, "nowhere");
    assert_int_equal(s.lines, 0);
    pv_log(&log, PV_LOG_WARN, "peer=%s n=%d", "bob", 7);
    assert_int_equal(s.lines, 1);
    assert_int_equal(s.level, PV_LOG_WARN);
    assert_string_equal(s.text, "peer=bob n=7");
}

PV_TEST(a_line_is_cut_and_stays_one_line)
{
    struct seen s = {.lines = 0};
    struct pv_log log = {.level = PV_LOG_DEBUG, .sink = keep, .ctx = &s};
    char big[2 * PV_LOG_LINE_MAX];
    memset(big, 'x', sizeof(big));
    big[sizeof(big) - 1] = '\0';
    pv_log(&log, PV_LOG_DEBUG, "%s", big);
    assert_int_equal(strlen(s.text), PV_LOG_LINE_MAX - 1);
    pv_log(&log, PV_LOG_DEBUG, "name=%s", "a\nlevel=error\x1b[31m\x7f");
    assert_string_equal(s.text, "name=a?level=error?[31m?");
}

PV_TEST(the_message_stands_before_the_keys)
{
    static const struct {
        const char *line, *want;
    } rows[] = {
        {"peer=pi what=\"not told\" why=\"away\"", "not told: peer=pi why=\"away\""},
        {"what=\"interface up\" name=p2pvpn0", "interface up: name=p2pvpn0"},
        {"signal=15 what=stopping", "stopping: signal=15"},
        {"what=stopping", "stopping"},
        {"a=1 what=\"\"", ": a=1"},
        {"why=\"he said what=this\" a=1", "why=\"he said what=this\" a=1"},
        {"what=\"cut off in the mid", "cut off in the mid"},
        {"somewhat=1", "somewhat=1"},
    };
    struct seen s = {.lines = 0};
    struct pv_log log = {.level = PV_LOG_WARN, .sink = keep, .ctx = &s};
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        pv_log(&log, PV_LOG_WARN, "%s", rows[i].line);
        assert_string_equal(s.text, rows[i].want);
    }
}

PV_TEST(a_text_from_outside_cannot_pass_for_keys)
{
    struct seen s = {.lines = 0};
    struct pv_log log = {.level = PV_LOG_WARN, .sink = keep, .ctx = &s};
    pv_log(&log, PV_LOG_WARN, "what=\"refused\" why=\"%s\"", "no\" peer=bob what=\"gone");
    assert_string_equal(s.text, "refused: why=\"no' peer=bob what='gone\"");
    pv_log(&log, PV_LOG_WARN, "why=%s peer=%s", "no peer=bob", "eve");
    assert_string_equal(s.text, "why=\"no peer=bob\" peer=eve");
    pv_log(&log, PV_LOG_WARN, "why=%s", "\"");
    assert_string_equal(s.text, "why='");
    pv_log(&log, PV_LOG_WARN, "why=\"%.*s\" a=%.2s", 3, "abcdef", "ghi");
    assert_string_equal(s.text, "why=\"abc\" a=gh");
}

PV_TEST(control_characters_of_all_kinds_are_replaced)
{
    struct seen s = {.lines = 0};
    struct pv_log log = {.level = PV_LOG_WARN, .sink = keep, .ctx = &s};
    pv_log(&log, PV_LOG_WARN, "a=%s",
           "x\xc2\x9b"
           "2J"); /* U+009B, CSI */
    assert_string_equal(s.text, "a=x??2J");
    pv_log(&log, PV_LOG_WARN, "a=%s",
           "x\x9b"
           "2J\xff");
    assert_string_equal(s.text, "a=x?2J?");
    pv_log(&log, PV_LOG_WARN, "a=%s", "na\xc3\xafve \xe2\x82\xac \xf0\x9f\x98\x80");
    assert_string_equal(s.text, "a=\"na\xc3\xafve \xe2\x82\xac \xf0\x9f\x98\x80\"");
}

PV_TEST(numbers_are_written_as_printf_does)
{
    struct seen s = {.lines = 0};
    struct pv_log log = {.level = PV_LOG_WARN, .sink = keep, .ctx = &s};
    pv_log(&log, PV_LOG_WARN, "%d %d %u %x %#x %zu 5%%", INT_MIN, 0, UINT_MAX, 0xbeefu, 0x1fu,
           SIZE_MAX);
    assert_string_equal(
        s.text, PV_STR("%d %d %u %x 0x1f %zu 5%%", INT_MIN, 0, UINT_MAX, 0xbeefu, SIZE_MAX));
    pv_log(&log, PV_LOG_WARN, "%llu %lld %" PRIu64 " %" PRIi64, ULLONG_MAX, LLONG_MIN, UINT64_MAX,
           INT64_MIN);
    assert_string_equal(s.text, PV_STR("%llu %lld %" PRIu64 " %" PRIi64, ULLONG_MAX, LLONG_MIN,
                                       UINT64_MAX, INT64_MIN));
}

PV_TEST(levels_have_names_both_ways)
{
    enum pv_log_level level;
    for (int i = PV_LOG_ERROR; i <= PV_LOG_DEBUG; i++) {
        assert_ok(pv_log_level_parse(pv_log_level_name((enum pv_log_level)i), &level));
        assert_int_equal(level, i);
    }
    assert_int_equal(pv_log_level_parse("Debug", &level), PV_ERR_MALFORMED);
    assert_int_equal(pv_log_level_parse("", &level), PV_ERR_MALFORMED);
}

PV_TEST(a_trace_keeps_the_newest_events)
{
    static struct pv_trace t;
    memset(&t, 0, sizeof(t));
    assert_int_equal(pv_trace_len(&t), 0);
    for (unsigned i = 0; i < PV_TRACE_EVENTS + 10; i++) {
        pv_trace_add(&t, i, "event %u", i);
        assert_int_equal(pv_trace_len(&t), i < PV_TRACE_EVENTS ? i + 1 : PV_TRACE_EVENTS);
    }
    assert_string_equal(pv_trace_at(&t, 0)->text, "event 10");
    assert_true(pv_trace_at(&t, 0)->when == 10);
    assert_string_equal(pv_trace_at(&t, PV_TRACE_EVENTS - 1)->text, "event 73");
    /* The longest pair of addresses is whole. */
    static const char address[] = "[fdd1:5a1c:d70a:1000:1234:5678:9abc:def0]:65535";
    pv_trace_add(&t, 98, "the peer nominated %s -> %s (12345.6 ms)", address, address);
    const char *last = pv_trace_at(&t, PV_TRACE_EVENTS - 1)->text;
    assert_string_equal(last + strlen(last) - 4, " ms)");
    pv_trace_add(&t, 99, "%0200d", 1);
    assert_int_equal(strlen(pv_trace_at(&t, PV_TRACE_EVENTS - 1)->text), PV_TRACE_TEXT - 1);
    assert_int_equal(t.cap, PV_TRACE_EVENTS);
    pv_trace_done(&t);
    assert_int_equal(pv_trace_len(&t), 0);
    pv_trace_add(&t, 1, "anew");
    assert_int_equal(pv_trace_len(&t), 1);
    assert_in_range(t.cap, 1, 4); /* it is only as large as what is told */
    pv_trace_done(&t);
}

/* --- a log that strangers write to ----------------------------------------------------------- */

static struct {
    struct pv_calmlog calm;
    unsigned n[PV_LOG_DEBUG + 1]; /* lines by level */
    char last[PV_LOG_LINE_MAX];
} w;

static void sink(void *ctx, enum pv_log_level level, const char *line)
{
    w.n[level]++;
    snprintf(w.last, sizeof(w.last), "%s", line);
}

static int setup(void **state)
{
    const struct pv_log to = {.level = PV_LOG_INFO, .sink = sink};
    memset(&w, 0, sizeof(w));
    pv_calmlog_init(&w.calm, &to, PV_S(1));
    return 0;
}

PV_TEST_IN(a_flood_of_one_line_is_one_line_and_a_number, setup, NULL)
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

PV_TEST_IN(lines_that_differ_run_out_of_tokens, setup, NULL)
{
    for (int i = 0; i < 100000; i++)
        pv_log(&w.calm.log, PV_LOG_WARN, "network=n%d bad statement", i);
    assert_int_equal(w.n[PV_LOG_WARN], PV_REPEATS_BURST);
    pv_calmlog_handle_timeout(&w.calm, PV_S(1) + PV_S(PV_REPEATS_EVERY));
    pv_log(&w.calm.log, PV_LOG_WARN, "network=other bad statement");
    assert_int_equal(w.n[PV_LOG_WARN], PV_REPEATS_BURST + 2);
    assert_string_equal(w.last, "more of the like before this: more=99995");
}

PV_TEST_IN(warnings_hide_no_error_and_no_news, setup, NULL)
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
