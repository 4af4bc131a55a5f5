/* SPDX-License-Identifier: MIT */
/*
 * fp_codel.h - when a queue has stood too long: Controlled Delay, RFC 8289.
 *
 * A queue that empties now and then is doing its work; one that does not holds everybody up and
 * carries nothing more for it. So what counts is the least time that packets waited during an
 * interval. While that stays above the target, packets are chosen that tell their sender, more
 * often the longer it lasts; how (ECN or a loss) is the caller's business. Pure; zeroed memory is
 * a queue that never stood.
 */
#pragma once

#include "base/pv.h"

/* RFC 8289 s4.2 and s4.3 take 5 to 10 % of the interval for the target, and for the interval a
 * round trip that most flows stay below: 5 and 100 ms at the edge of the internet. Here the
 * bottleneck is no link but a processor that is too slow for its neighbour. Round trips are those
 * of a LAN, and 2 ms are the limit (docs/adr/0011). Flows with longer round trips keep to the
 * target a little less well. */
#define PV_FP_CODEL_TARGET   PV_MS(2)
#define PV_FP_CODEL_INTERVAL PV_MS(20)

enum {
    PV_FP_CODEL_COUNT = 16, /* signals are at most interval / sqrt(count) apart: 200 a second, for
                             * those who do not listen (BBR) lose what they lose for nothing */
};

struct pv_fp_codel {
    pv_ns above_since; /* + interval: when the target was missed for a whole interval. 0 = it was
                        * met last */
    pv_ns next;        /* signalling: when the next is due */
    uint32_t count;    /* signals since signalling began */
    uint32_t last;     /* count when it began */
    bool signalling;
};

/* A packet leaves the queue after waiting so long. Returns true if this packet has to tell its
 * sender. */
bool pv_fp_codel_leaves(struct pv_fp_codel *c, pv_ns waited, pv_ns now);
