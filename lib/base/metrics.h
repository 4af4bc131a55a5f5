/* SPDX-License-Identifier: MIT */
/*
 * metrics.h - numbers as text for Prometheus: its exposition format 0.0.4
 * (prometheus.io/docs/instrumenting/exposition_formats).
 *
 * One family after the other: its name, what it means, then its samples. The writer is sticky:
 * without memory nothing more is written, and take() says so. Names of families, labels and help
 * are literals of ours and stand as they are; values of labels may be anything and are escaped.
 * No thread may share a writer.
 */
#pragma once

#include "base/pv.h"

enum pv_metrics_type {
    PV_METRICS_COUNTER, /* only grows until a restart; its name ends in _total */
    PV_METRICS_GAUGE,
    PV_METRICS_HISTOGRAM,
};

struct pv_metrics {
    char *text;
    size_t len, cap;
    bool failed;
    const char *family; /* the present one */
};

/* The type of the text, for HTTP. */
#define PV_METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

void pv_metrics_init(struct pv_metrics *m);
/* Returns the text with a NUL, which the caller frees. PV_ERR_NOMEM: a part was lost for lack of
 * memory, and nothing is returned. */
PV_MUST_CHECK int pv_metrics_take(struct pv_metrics *m, char **ret_text, size_t *ret_len);

/* Begins a family. name and help live as long as the writer; help is one line without
 * backslashes. */
void pv_metrics_family(struct pv_metrics *m, enum pv_metrics_type type, const char *name,
                       const char *help);

/* A sample of the present family. Its labels follow as pairs of name and value, at the end NULL:
 * pv_metrics_count(m, n, "reason", "replay", NULL). Bytes of a value that are no UTF-8 become '?',
 * a value that is NULL is empty. */
void pv_metrics_count(struct pv_metrics *m, uint64_t value, ...) __attribute__((sentinel));
void pv_metrics_real(struct pv_metrics *m, double value, ...) __attribute__((sentinel));
/* A family of one number without labels. */
void pv_metrics_one(struct pv_metrics *m, enum pv_metrics_type type, const char *name,
                    const char *help, uint64_t value);

enum {
    PV_HISTOGRAM_MAX = 10, /* bounds */
};
/* Counts of values, by the smallest bound that is at least the value. */
struct pv_histogram {
    const double *bounds;                  /* ascending */
    size_t n_bounds;                       /* <= PV_HISTOGRAM_MAX */
    uint64_t counts[PV_HISTOGRAM_MAX + 1]; /* of each bound alone; the last: above all */
    double sum;
};
void pv_histogram_add(struct pv_histogram *h, double value);
/* The samples of a family that is one histogram without labels. */
void pv_metrics_histogram(struct pv_metrics *m, const struct pv_histogram *h);

/* What Prometheus' client libraries report of their own process. */
struct pv_metrics_process {
    double cpu_s;      /* all threads, user and system */
    double start_s;    /* Unix seconds; 0: nothing is known */
    uint64_t resident; /* bytes */
    uint64_t fds;      /* 0: not known */
    uint64_t max_fds;
};
/* Writes the families with a prefix: "p2pvpn" gives p2pvpn_process_cpu_seconds_total. Without a
 * prefix the names would clash with node_exporter's own, and it would refuse the file. */
void pv_metrics_process(struct pv_metrics *m, const char *prefix,
                        const struct pv_metrics_process *p);
