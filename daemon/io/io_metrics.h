/* SPDX-License-Identifier: MIT */
/*
 * io_metrics.h - what the packet threads, the relay thread and the process did so far, told to the
 * engine before somebody asks it for numbers; and the page of them for Prometheus, served by HTTP.
 */
#pragma once

#include "daemon/io/io_turn.h"

/* Reads the counters and hands them to the engine. */
void pv_io_counts_tell(struct pv_io *io);

/* Serves the page where cfg.metrics_fd listens, which is taken. PV_ERR_NOMEM, -errno. */
PV_MUST_CHECK int pv_io_metrics_serve(struct pv_io *io);
