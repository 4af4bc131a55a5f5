/* SPDX-License-Identifier: MIT */
/*
 * io_metrics.h - what the packet threads, the relay thread and the process did so far, told to the
 * engine before somebody asks it for numbers; and the page of them for Prometheus, served by HTTP.
 */
#pragma once

#include "daemon/io/io_turn.h"
#include "daemon/packets/datapath.h"
#include "daemon/packets/relayio.h"
#include "sys/net/udp.h"

struct pv_io_counts {
    struct pv_io_turn *turn;
    struct pv_datapath *datapath;
    struct pv_relayio *relayio;
    struct pv_udp_counts udp; /* of what the control thread itself sends */
    bool no_chat, no_files;   /* their ports at the overlay's addresses are taken (io_streams.c) */
    pv_ns process_at;         /* the process is not looked at again before */
};

/* Reads the counters and hands them to the engine. */
void pv_io_counts_tell(struct pv_io_counts *counts);

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
