/* SPDX-License-Identifier: MIT */
/*
 * metrics_grammar.h - reads text in Prometheus' exposition format 0.0.4 as strictly as Prometheus,
 * node_exporter and promtool do together; every breach fails the test. For tests only.
 *
 * Beside the grammar: each family stands in one piece with HELP and TYPE before its samples and is
 * not named twice, no sample comes twice, names of counters end in _total and those of no other
 * family do, histograms are cumulative and whole.
 */
#pragma once

#include <ctype.h>

#include "tests/unit/test_util.h"

enum {
    GRAMMAR_FAMILIES = 256,
    GRAMMAR_SERIES = 4096,
};

struct grammar {
    char *copy; /* of the text, its lines cut */
    const char *families[GRAMMAR_FAMILIES];
    size_t n_families;
    const char *series[GRAMMAR_SERIES]; /* "name{labels}" */
    double values[GRAMMAR_SERIES];
    size_t n_series;
    const char *name; /* of the present family */
    char type[16];
    double last_bucket, inf_bucket; /* -1: none yet */
};

/* Characters of a name of a metric (colons are for rules, not for programs) or label. */
static inline size_t grammar_name(const char *p)
{
    size_t n = 0;
    while (isalpha((unsigned char)p[n]) || p[n] == '_' || (n > 0 && isdigit((unsigned char)p[n])))
        n++;
    return n;
}

/* Labels between braces; p is behind the first. Returns what follows the last. */
static inline char *grammar_labels(char *p)
{
    for (;;) {
        size_t n = grammar_name(p);
        assert_true(n > 0 && strncmp(p, "__", 2) != 0);
        p += n;
        assert_true(p[0] == '=' && p[1] == '"');
        for (p += 2; *p != '"'; p++) {
            assert_true((unsigned char)*p >= 0x20 || *p == '\t');
            if (*p == '\\') {
                p++;
                assert_true(*p == '\\' || *p == '"' || *p == 'n');
            }
        }
        p++;
        if (*p == '}')
            return p + 1;
        assert_int_equal(*p, ',');
        p++;
    }
}

static inline bool grammar_ends(const char *name, size_t len, const char *suffix)
{
    size_t n = strlen(suffix);
    return len >= n && strncmp(name + len - n, suffix, n) == 0;
}

static inline void grammar_bucket(struct grammar *g, const char *line, size_t name, double value)
{
    if (grammar_ends(line, name, "_bucket")) {
        assert_has(line, "le='");
        assert_true(value >= g->last_bucket);
        g->last_bucket = value;
        if (strstr(line, "le=\"+Inf\"") != NULL)
            g->inf_bucket = value;
    } else if (grammar_ends(line, name, "_count")) {
        assert_true(g->inf_bucket >= 0 && g->inf_bucket == value);
    } else {
        assert_true(grammar_ends(line, name, "_sum"));
    }
}

static inline void grammar_sample(struct grammar *g, char *line)
{
    char *end = NULL;
    size_t len = grammar_name(line), family = g->name == NULL ? 0 : strlen(g->name);
    assert_true(family > 0 && len >= family && strncmp(line, g->name, family) == 0);
    bool histogram = strcmp(g->type, "histogram") == 0;
    assert_true(histogram || len == family);
    assert_int_equal(strcmp(g->type, "counter") == 0, grammar_ends(line, len, "_total"));
    char *p = line + len;
    if (*p == '{')
        p = grammar_labels(p + 1);
    assert_int_equal(*p, ' ');
    *p++ = '\0';
    double value = strtod(p, &end);
    assert_true(end > p && *end == '\0');
    assert_true(strcmp(g->type, "gauge") == 0 || value >= 0);
    if (histogram)
        grammar_bucket(g, line, len, value);
    for (size_t i = 0; i < g->n_series; i++)
        assert_string_not_equal(g->series[i], line);
    assert_true(g->n_series < GRAMMAR_SERIES);
    g->values[g->n_series] = value;
    g->series[g->n_series++] = line;
}

/* "# HELP name text", "# TYPE name type" */
static inline void grammar_comment(struct grammar *g, char *line)
{
    char *p = line + strlen("# HELP ");
    size_t len = grammar_name(p);
    assert_true(len > 0 && p[len] == ' ' && p[len + 1] != '\0');
    p[len] = '\0';
    if (strncmp(line, "# TYPE ", 7) == 0) {
        assert_true(g->name != NULL && strcmp(g->name, p) == 0 && g->type[0] == '\0');
        snprintf(g->type, sizeof(g->type), "%s", p + len + 1);
        assert_true(strcmp(g->type, "counter") == 0 || strcmp(g->type, "gauge") == 0 ||
                    strcmp(g->type, "histogram") == 0);
        g->last_bucket = g->inf_bucket = -1;
        return;
    }
    assert_int_equal(strncmp(line, "# HELP ", 7), 0);
    assert_null(strchr(p + len + 1, '\\'));
    for (size_t i = 0; i < g->n_families; i++)
        assert_string_not_equal(g->families[i], p);
    assert_true(g->n_families < GRAMMAR_FAMILIES);
    g->families[g->n_families++] = p;
    g->name = p;
    g->type[0] = '\0';
}

/* Give it to grammar_done(). */
static inline struct grammar *grammar_read(const char *text)
{
    struct grammar *g = calloc(1, sizeof(*g));
    size_t len = strlen(text);
    assert_non_null(g);
    assert_true(len > 0 && text[len - 1] == '\n');
    g->copy = strdup(text);
    assert_non_null(g->copy);
    for (char *line = g->copy, *next; line != NULL && *line != '\0'; line = next) {
        next = strchr(line, '\n');
        assert_non_null(next);
        *next++ = '\0';
        if (*line == '#')
            grammar_comment(g, line);
        else
            grammar_sample(g, line);
    }
    return g;
}

static inline void grammar_done(struct grammar *g)
{
    free(g->copy);
    free(g);
}

/* The value of "name" or "name{label="value",...}"; -1: there is no such sample. */
static inline double grammar_value(const struct grammar *g, const char *series)
{
    for (size_t i = 0; i < g->n_series; i++) {
        if (strcmp(g->series[i], series) == 0)
            return g->values[i];
    }
    return -1;
}
