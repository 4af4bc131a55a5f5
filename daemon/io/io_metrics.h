/* SPDX-License-Identifier: MIT */
/*
 * io_metrics.h - the page of numbers for Prometheus, served by HTTP.
 */
#pragma once

#include "daemon/io/io_counts.h"

struct pv_io_metrics; /* opaque */

struct pv_io_metrics_config {
    struct pv_io_turn *turn;
    struct pv_io_counts *counts;
    int fd;     /* listening; taken, also on failure; -1: nobody is served */
    bool local; /* it serves this machine only */
};

PV_MUST_CHECK int pv_io_metrics_new(struct pv_io_metrics **ret_metrics,
                                    const struct pv_io_metrics_config *cfg);
/* Ends connections that take too long; when to call again. */
pv_ns pv_io_metrics_timeout(struct pv_io_metrics *metrics, pv_ns now);
/* NULL is fine; returns NULL. */
struct pv_io_metrics *pv_io_metrics_free(struct pv_io_metrics *metrics);
