/* SPDX-License-Identifier: MIT */
/*
 * linewait.h - how much may wait before a line of unknown speed: what it takes in 50 ms.
 *
 * While something waits, what the line takes is its speed, and it is measured; when nothing does,
 * it is not the line that is slow, and the limit is the largest. So a slow line does not hold a
 * second of packets before those that are urgent, and a fast one is given what a burst needs. In
 * caller's memory. No clock; not thread-safe.
 */
#pragma once

#include <stddef.h>

#include "base/pv.h"

enum {
    PV_LINEWAIT_LEAST = 32 * 1024, /* bytes, ours: less would cut the bursts that the TUN gives */
    PV_LINEWAIT_MOST =
        120 * 1024, /* bytes of data; DESIGN 7 allows 128 KiB, of which the rest is for requests */
};
#define PV_LINEWAIT_TIME    PV_MS(50)  /* ours */
#define PV_LINEWAIT_MEASURE PV_MS(100) /* ours: a round trip or two */

struct pv_linewait {
    size_t limit; /* bytes, 0 = PV_LINEWAIT_MOST */
    pv_ns since;  /* when something began to wait; 0 = nothing waits */
    size_t bytes; /* that the line has taken since */
};

/* Bytes that may wait now. */
static inline size_t pv_linewait_limit(const struct pv_linewait *l)
{
    return l->limit == 0 ? (size_t)PV_LINEWAIT_MOST : l->limit;
}
/* Records that the line took n bytes, and whether more wait. */
void pv_linewait_took(struct pv_linewait *l, size_t n, bool more, pv_ns now);
