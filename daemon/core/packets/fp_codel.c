/* SPDX-License-Identifier: MIT */
/* CoDel (RFC 8289): decides which packets of a standing queue carry the signal of congestion. It
 * sees waiting times only; fp_fair.c has the packets, and marks or loses them. */
#include "daemon/core/packets/fp_codel.h"

/* The largest r with r * r <= n, by Newton's method. */
static uint64_t square_root(uint64_t n)
{
    uint64_t r = n, next = n / 2 + 1;
    while (next < r) {
        r = next;
        next = (r + n / r) / 2;
    }
    return r;
}

/* RFC 8289 s3.3: the drop rate grows with the square root of the number of drops, because TCP's
 * throughput falls with the square root of the loss rate. In integers: sqrt(count << 20) is
 * sqrt(count) << 10, and the interval is shifted by as much. */
static pv_ns control_law(pv_ns t, uint32_t count)
{
    return t + (PV_FP_CODEL_INTERVAL << 10) / square_root((uint64_t)count << 20);
}

/* Returns true if the target was missed for a whole interval (RFC 8289 s5.5, dodequeue). One packet
 * below the target ends that: a burst that drains within the interval is no standing queue. */
static bool stands(struct pv_fp_codel *c, pv_ns waited, pv_ns now)
{
    if (waited < PV_FP_CODEL_TARGET) {
        c->above_since = 0;
        return false;
    }
    if (c->above_since == 0)
        c->above_since = now;
    return now - c->above_since >= PV_FP_CODEL_INTERVAL;
}

/* RFC 8289 s5.4, dequeue, one packet a call. */
bool pv_fp_codel_leaves(struct pv_fp_codel *c, pv_ns waited, pv_ns now)
{
    if (!stands(c, waited, now)) {
        c->signalling = false;
        return false;
    }
    if (c->signalling) {
        if (now < c->next)
            return false;
        c->count += c->count < PV_FP_CODEL_COUNT;
        c->next = control_law(c->next, c->count);
        return true;
    }
    /* It began again soon: where it left off, but for what had been needed before that. */
    uint32_t delta = c->count - c->last;
    bool soon = c->count > 0 && now < c->next + 16 * PV_FP_CODEL_INTERVAL;
    c->count = soon && delta > 1 ? delta : 1;
    c->last = c->count;
    c->signalling = true;
    c->next = control_law(now, c->count);
    return true;
}
