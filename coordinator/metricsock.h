/* SPDX-License-Identifier: MIT */
/*
 * metricsock.h - where Prometheus asks a running coordinator by HTTP ([metrics] listen, adr/0014).
 * One thread.
 */
#pragma once

#include <jansson.h>

#include "base/addr.h"
#include "sys/net/oneshot.h"

struct pv_metricsock {                       /* zeroed at first */
    json_t *(*report)(void *ctx, pv_ns now); /* a new core/report.h document; NULL: out of memory */
    void *ctx;
    bool local; /* for this machine only */
    struct pv_oneshot *oneshot;
};

/* Listens; report and ctx are set before. PV_AF_NONE: nowhere. Those of pv_stream_listen();
 * PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_metricsock_open(struct pv_metricsock *s, struct pv_loop *loop,
                                     const struct pv_addr *addr);
/* Ends what takes too long; when to call again. */
pv_ns pv_metricsock_handle_timeout(struct pv_metricsock *s, pv_ns now);
void pv_metricsock_done(struct pv_metricsock *s); /* harmless when it is not open */
