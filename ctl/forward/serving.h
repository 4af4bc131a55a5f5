/* SPDX-License-Identifier: MIT */
/*
 * serving.h - the loop that a gate's connections live in: until a signal ends it, through restarts
 * of p2pvpnd, whose end it tells. One thread.
 */
#pragma once

#include "ctl/forward/overlay.h"
#include "sys/proc/loop.h"

/* The first fields are the owner's; zeroed but for signal_fd = -1. */
struct pv_serving {
    struct pv_overlay *overlay;
    pv_ns (*turn)(void *ctx, pv_ns now); /* as of a loop's owner */
    /* p2pvpnd has ended; apart: and with it what is open. */
    void (*lost)(void *ctx, bool apart);
    void *ctx;
    struct pv_loop *loop;
    struct pv_watch *signals, *daemon;
    int signal_fd;
    int signal; /* that ended it; 0: none */
};

/* Blocks SIGINT, SIGTERM and SIGHUP, which end it, and allows for more descriptors. -errno,
 * PV_ERR_NOMEM; pv_serving_end() is due in any case. */
PV_MUST_CHECK int pv_serving_start(struct pv_serving *s);
void pv_serving_run(struct pv_serving *s);
void pv_serving_end(struct pv_serving *s); /* all watches of others must be gone */
