/* SPDX-License-Identifier: MIT */
/*
 * linewait.c - how much may wait before a line of unknown speed. The rate that the line takes while
 * something waits is its speed; a line with nothing waiting is not the slow part and gets the
 * largest limit.
 */
#include "proto/stun/linewait.h"

/* Between bounds: less than the smallest would cut the bursts that one system call brings, more
 * than the largest would let a request wait behind them. */
static size_t limit_for(size_t bytes, pv_ns took)
{
    uint64_t n = bytes * (uint64_t)PV_LINEWAIT_TIME / took;
    if (n < PV_LINEWAIT_LEAST)
        return PV_LINEWAIT_LEAST;
    return n < PV_LINEWAIT_MOST ? (size_t)n : PV_LINEWAIT_MOST;
}

void pv_linewait_took(struct pv_linewait *l, size_t n, bool more, pv_ns now)
{
    if (!more) {
        *l = (struct pv_linewait){.limit = 0};
        return;
    }
    if (l->since == 0) { /* bytes taken before anything waited say nothing about the speed */
        l->since = now;
        l->bytes = 0;
        return;
    }
    l->bytes += n;
    if (now - l->since < PV_LINEWAIT_MEASURE)
        return;
    l->limit = limit_for(l->bytes, now - l->since);
    l->since = now;
    l->bytes = 0;
}
