/* SPDX-License-Identifier: MIT */
/*
 * cubic.h - how much a connection has on its way: CUBIC (RFC 9438), as the kernel's TCP. For
 * lib/sys/stack only. Pure.
 *
 * lwIP adds one segment in a round trip and halves its window at a loss, so at 66 ms it takes a
 * minute until 200 Mb/s are reached again. CUBIC takes 0.3 of the window away, and the time that it
 * needs to get them back does not depend on the round trip.
 */
#pragma once

#include "base/pv.h"

struct pv_stack_cubic {
    uint32_t mss;      /* bytes */
    uint32_t max;      /* bytes: the window is never larger */
    uint32_t window;   /* bytes */
    uint32_t slow_end; /* bytes: a smaller window doubles in each round trip */
    uint32_t before;   /* bytes: the window at the last loss; 0: there was none */
    uint32_t origin;   /* bytes: the curve's level part */
    uint32_t reno;     /* bytes: the window that lwIP would have by now */
    uint32_t began;    /* ms: the curve's start */
    uint32_t grown;    /* ms: when the window grew last */
    uint32_t level;    /* ms from the start to the level part */
    bool running;      /* the curve has begun */
};

/* A connection begins, with ten segments (RFC 6928). */
void pv_stack_cubic_begin(struct pv_stack_cubic *c, uint32_t mss, uint32_t max);
/* The member has acknowledged so many bytes, and the window was what held the connection back.
 * round: its round trip, ms. */
void pv_stack_cubic_acked(struct pv_stack_cubic *c, uint32_t bytes, uint32_t round, uint32_t now);
/* Packets were lost: once in a round trip. */
void pv_stack_cubic_lost(struct pv_stack_cubic *c);
/* lwIP's retransmission timer has ended: it begins again with one segment. */
void pv_stack_cubic_timed_out(struct pv_stack_cubic *c);
/* Nothing was on its way for a while: the line is no longer known. */
void pv_stack_cubic_idled(struct pv_stack_cubic *c);
