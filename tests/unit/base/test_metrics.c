/* SPDX-License-Identifier: MIT */
/* Numbers as Prometheus reads them. */
#include <math.h>

#include "base/metrics.h"
#include "metrics_grammar.h"

static char *take(struct pv_metrics *m)
{
    char *text = NULL;
    size_t len = 0;
    assert_ok(pv_metrics_take(m, &text, &len));
    assert_int_equal(strlen(text), len);
    return text;
}

PV_TEST(families_are_written_to_the_letter)
{
    struct pv_metrics m;
    pv_metrics_init(&m);
    pv_metrics_family(&m, PV_METRICS_COUNTER, "p_drops_total", "Packets thrown away.");
    pv_metrics_count(&m, 3, "reason", "replay", NULL);
    pv_metrics_count(&m, UINT64_MAX, "reason", "junk", "kind", "rx", NULL);
    pv_metrics_family(&m, PV_METRICS_GAUGE, "p_rtt_seconds", "Round trip.");
    pv_metrics_real(&m, 0.0125, NULL);
    char *text = take(&m);
    assert_string_equal(text, "# HELP p_drops_total Packets thrown away.\n"
                              "# TYPE p_drops_total counter\n"
                              "p_drops_total{reason=\"replay\"} 3\n"
                              "p_drops_total{reason=\"junk\",kind=\"rx\"} 18446744073709551615\n"
                              "# HELP p_rtt_seconds Round trip.\n"
                              "# TYPE p_rtt_seconds gauge\n"
                              "p_rtt_seconds 0.0125\n");
    grammar_done(grammar_read(text));
    free(text);
}

PV_TEST(values_of_labels_are_escaped_and_made_utf8)
{
    static const struct {
        const char *value, *written;
    } rows[] = {
        {"", ""},
        {"a\\b", "a\\\\b"},
        {"\"x\"", "\\\"x\\\""},
        {"two\nlines", "two\\nlines"},
        {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
        {"\xf0\x9f\x90\xa7}", "\xf0\x9f\x90\xa7}"},
        {"cut \xc3", "cut ?"},
        {"cut \xf0\x9f\x90", "cut ???"},
        {"\xff\xfe", "??"},
        {"\xed\xa0\x80", "???"}, /* a surrogate */
        {"\\", "\\\\"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_metrics m;
        pv_metrics_init(&m);
        pv_metrics_family(&m, PV_METRICS_GAUGE, "x", "X.");
        pv_metrics_count(&m, 1, "v", rows[i].value, NULL);
        char *text = take(&m);
        assert_string_equal(
            text, PV_STR("# HELP x X.\n# TYPE x gauge\nx{v=\"%s\"} 1\n", rows[i].written));
        grammar_done(grammar_read(text));
        free(text);
    }
}

PV_TEST(numbers_that_are_none_have_words)
{
    static const struct {
        double value;
        const char *written;
    } rows[] = {
        {NAN, "x NaN\n"},
        {INFINITY, "x +Inf\n"},
        {-INFINITY, "x -Inf\n"},
        {0, "x 0\n"},
        {-2.5, "x -2.5\n"},
        {1e300, "x 1e+300\n"},
        {1732125600.25, "x 1732125600.25\n"},
        {0.1, "x 0.1\n"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_metrics m;
        pv_metrics_init(&m);
        pv_metrics_family(&m, PV_METRICS_GAUGE, "x", "X.");
        pv_metrics_real(&m, rows[i].value, NULL);
        char *text = take(&m);
        assert_string_equal(text + strlen("# HELP x X.\n# TYPE x gauge\n"), rows[i].written);
        grammar_done(grammar_read(text));
        free(text);
    }
}

PV_TEST(histograms_are_cumulative)
{
    static const double bounds[] = {0.1, 1, 10};
    struct pv_histogram h = {.bounds = bounds, .n_bounds = PV_ARRAY_LEN(bounds)};
    struct pv_metrics m;
    pv_histogram_add(&h, 0.1); /* a bound is included */
    pv_histogram_add(&h, 0.5);
    pv_histogram_add(&h, 11);
    pv_metrics_init(&m);
    pv_metrics_family(&m, PV_METRICS_HISTOGRAM, "x_seconds", "X.");
    pv_metrics_histogram(&m, &h);
    char *text = take(&m);
    struct grammar *g = grammar_read(text);
    assert_true(grammar_value(g, "x_seconds_bucket{le=\"0.1\"}") == 1);
    assert_true(grammar_value(g, "x_seconds_bucket{le=\"1\"}") == 2);
    assert_true(grammar_value(g, "x_seconds_bucket{le=\"10\"}") == 2);
    assert_true(grammar_value(g, "x_seconds_bucket{le=\"+Inf\"}") == 3);
    assert_true(grammar_value(g, "x_seconds_count") == 3);
    assert_true(fabs(grammar_value(g, "x_seconds_sum") - 11.6) < 1e-9);
    grammar_done(g);
    free(text);
}

PV_TEST(a_long_text_comes_whole)
{
    struct pv_metrics m;
    pv_metrics_init(&m);
    pv_metrics_family(&m, PV_METRICS_GAUGE, "x", "X.");
    for (unsigned i = 0; i < 3000; i++) {
        pv_metrics_count(&m, i, "peer", PV_STR("peer%u", i), NULL);
    }
    char *text = take(&m);
    struct grammar *g = grammar_read(text);
    assert_int_equal(g->n_series, 3000);
    assert_true(grammar_value(g, "x{peer=\"peer2999\"}") == 2999);
    grammar_done(g);
    free(text);
}

PV_TEST(a_process_is_told_under_names_of_its_own)
{
    static const struct pv_metrics_process p = {
        .cpu_s = 1.5, .start_s = 1732125600, .resident = 9 << 20, .fds = 12, .max_fds = 1024};
    struct pv_metrics m;
    pv_metrics_init(&m);
    pv_metrics_process(&m, "x", &p);
    char *text = take(&m);
    struct grammar *g = grammar_read(text);
    assert_true(grammar_value(g, "x_process_cpu_seconds_total") == 1.5);
    assert_true(grammar_value(g, "x_process_start_time_seconds") == 1732125600);
    assert_true(grammar_value(g, "x_process_resident_memory_bytes") == 9 << 20);
    assert_true(grammar_value(g, "x_process_open_fds") == 12);
    assert_true(grammar_value(g, "x_process_max_fds") == 1024);
    grammar_done(g);
    free(text);
}
