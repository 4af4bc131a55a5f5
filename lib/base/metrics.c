/* SPDX-License-Identifier: MIT */
/*
 * metrics.c - writes numbers as text for Prometheus (exposition format 0.0.4). Label values may be
 * names of peers, so they are escaped and their bytes checked; a page with one bad byte would be
 * refused as a whole.
 */
#include "base/metrics.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

enum {
    FIRST = 4096, /* ours: bytes of the first allocation */
    NUMBER = 40,  /* bytes of a number in text, with the NUL */
};

void pv_metrics_init(struct pv_metrics *m)
{
    *m = (struct pv_metrics){.text = NULL};
}

static void drop_text(struct pv_metrics *m)
{
    free(m->text);
    pv_metrics_init(m);
}

/* Room for n bytes more and a NUL. */
static bool reserve_text(struct pv_metrics *m, size_t n)
{
    size_t cap = m->cap == 0 ? FIRST : m->cap;
    if (m->failed)
        return false;
    while (cap - m->len <= n)
        cap *= 2;
    if (cap == m->cap)
        return true;
    char *text = realloc(m->text, cap);
    m->failed = text == NULL;
    if (m->failed)
        return false;
    m->text = text;
    m->cap = cap;
    return true;
}

static void put_text(struct pv_metrics *m, const char *text, size_t len)
{
    if (!reserve_text(m, len))
        return;
    memcpy(m->text + m->len, text, len);
    m->len += len;
}

static void puts_of(struct pv_metrics *m, const char *text)
{
    put_text(m, text, strlen(text));
}

int pv_metrics_take(struct pv_metrics *m, char **ret_text, size_t *ret_len)
{
    if (!reserve_text(m, 0)) {
        drop_text(m);
        return PV_ERR_NOMEM;
    }
    m->text[m->len] = '\0';
    *ret_text = m->text;
    *ret_len = m->len;
    pv_metrics_init(m);
    return PV_OK;
}

/* A family's samples must stand together (the format requires it), so the name is remembered and
 * each sample repeats it. */
void pv_metrics_family(struct pv_metrics *m, enum pv_metrics_type type, const char *name,
                       const char *help)
{
    static const char *const types[] = {
        [PV_METRICS_COUNTER] = "counter",
        [PV_METRICS_GAUGE] = "gauge",
        [PV_METRICS_HISTOGRAM] = "histogram",
    };
    m->family = name;
    puts_of(m, "# HELP ");
    puts_of(m, name);
    puts_of(m, " ");
    puts_of(m, help);
    puts_of(m, "\n# TYPE ");
    puts_of(m, name);
    puts_of(m, " ");
    puts_of(m, types[type]);
    puts_of(m, "\n");
}

/* Backslash, quote and newline are escaped; bytes that are no UTF-8 become '?'. */
static void put_escaped(struct pv_metrics *m, const char *text)
{
    while (*text != '\0') {
        uint32_t c;
        size_t n = pv_utf8_char(pv_view(text, strnlen(text, 4)), &c);
        if (*text == '\\' || *text == '"')
            put_text(m, "\\", 1);
        if (*text == '\n')
            put_text(m, "\\n", 2);
        else if (n == 0)
            put_text(m, "?", 1);
        else
            put_text(m, text, n);
        text += n == 0 ? 1 : n;
    }
}

static void put_sample(struct pv_metrics *m, const char *number, va_list labels)
{
    const char *name, *between = "{";
    puts_of(m, m->family);
    while ((name = va_arg(labels, const char *)) != NULL) {
        const char *value = va_arg(labels, const char *);
        puts_of(m, between);
        puts_of(m, name);
        puts_of(m, "=\"");
        put_escaped(m, value == NULL ? "" : value);
        puts_of(m, "\"");
        between = ",";
    }
    puts_of(m, *between == ',' ? "} " : " ");
    puts_of(m, number);
    puts_of(m, "\n");
}

static const char *count_text(uint64_t value, char buf[static NUMBER])
{
    snprintf(buf, NUMBER, "%" PRIu64, value);
    return buf;
}

static const char *real_text(double value, char buf[static NUMBER])
{
    if (isnan(value) || isinf(value))
        snprintf(buf, NUMBER, "%s", isnan(value) ? "NaN" : value < 0 ? "-Inf" : "+Inf");
    else
        snprintf(buf, NUMBER, "%.15g", value);
    return buf;
}

void pv_metrics_count(struct pv_metrics *m, uint64_t value, ...)
{
    char buf[NUMBER];
    va_list labels;
    va_start(labels, value);
    put_sample(m, count_text(value, buf), labels);
    va_end(labels);
}

void pv_metrics_real(struct pv_metrics *m, double value, ...)
{
    char buf[NUMBER];
    va_list labels;
    va_start(labels, value);
    put_sample(m, real_text(value, buf), labels);
    va_end(labels);
}

void pv_metrics_one(struct pv_metrics *m, enum pv_metrics_type type, const char *name,
                    const char *help, uint64_t value)
{
    pv_metrics_family(m, type, name, help);
    pv_metrics_count(m, value, NULL);
}

/* --- histograms ---------------------------------------------------------------------------- */

/* Counts are kept for each bound alone and summed when they are written: one increment for each
 * value. */
void pv_histogram_add(struct pv_histogram *h, double value)
{
    size_t i = 0;
    while (i < h->n_bounds && value > h->bounds[i])
        i++;
    h->counts[i]++;
    h->sum += value;
}

static void put_line(struct pv_metrics *m, const char *suffix, const char *bound,
                     const char *number)
{
    puts_of(m, m->family);
    puts_of(m, suffix);
    if (bound != NULL) {
        puts_of(m, "{le=\"");
        puts_of(m, bound);
        puts_of(m, "\"}");
    }
    puts_of(m, " ");
    puts_of(m, number);
    puts_of(m, "\n");
}

void pv_metrics_histogram(struct pv_metrics *m, const struct pv_histogram *h)
{
    char bound[NUMBER], number[NUMBER];
    uint64_t n = 0;
    for (size_t i = 0; i <= h->n_bounds; i++) {
        n += h->counts[i];
        put_line(m, "_bucket", i < h->n_bounds ? real_text(h->bounds[i], bound) : "+Inf",
                 count_text(n, number));
    }
    put_line(m, "_sum", NULL, real_text(h->sum, number));
    put_line(m, "_count", NULL, count_text(n, number));
}

/* --- the process --------------------------------------------------------------------------- */

/* Where /proc cannot be read the families are left out: an absent sample says "unknown", a zero
 * would be believed. */
void pv_metrics_process(struct pv_metrics *m, const char *prefix,
                        const struct pv_metrics_process *p)
{
    const struct {
        enum pv_metrics_type type;
        const char *name, *help;
        double value;
    } families[] = {
        {PV_METRICS_COUNTER, "cpu_seconds_total", "Processor time of all threads, user and system.",
         p->cpu_s},
        {PV_METRICS_GAUGE, "start_time_seconds", "When the process began, Unix time.", p->start_s},
        {PV_METRICS_GAUGE, "resident_memory_bytes", "Resident memory.", (double)p->resident},
        {PV_METRICS_GAUGE, "max_fds", "File descriptors allowed.", (double)p->max_fds},
        {PV_METRICS_GAUGE, "open_fds", "Open file descriptors.", (double)p->fds},
    };
    size_t n = p->start_s == 0 ? 0 : PV_ARRAY_LEN(families) - (p->fds == 0 ? 1 : 0);
    for (size_t i = 0; i < n; i++) {
        char name[96];
        snprintf(name, sizeof(name), "%s_process_%s", prefix, families[i].name);
        pv_metrics_family(m, families[i].type, name, families[i].help);
        pv_metrics_real(m, families[i].value, NULL);
    }
    m->family = NULL; /* the name is no longer */
}
