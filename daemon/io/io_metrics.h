/* SPDX-License-Identifier: MIT */
/*
 * io_metrics.h - what the packet threads, the relay thread and the process did so far, told to the
 * engine before somebody asks it for numbers; and the page of them for Prometheus, served by HTTP.
 */
#pragma once

#include "daemon/io/io_turn.h"

/* Reads the counters and hands them to the engine. */
void pv_io_counts_tell(struct pv_io *io);

struct pv_io_metrics; /* opaque */

PV_MUST_CHECK int pv_io_metrics_new(struct pv_io_metrics **ret_metrics, struct pv_io *io);
/* Ends connections that take too long; when to call again. */
pv_ns pv_io_metrics_timeout(struct pv_io_metrics *metrics, pv_ns now);
/* NULL is fine; returns NULL. */
struct pv_io_metrics *pv_io_metrics_free(struct pv_io_metrics *metrics);
