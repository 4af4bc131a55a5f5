/* SPDX-License-Identifier: MIT */
/*
 * repeats.h - which of many lines are worth saying.
 *
 * Lines that others cause (a coordinator's bad statements, a member's bad copies) may come a
 * million times, and each time in other words; neither the log nor the memory may grow with it, and
 * other lines must still be seen. One struct pv_repeats stands for one source of such lines. A text
 * that it did not say in the last minute is said while the source has tokens; everything else is
 * counted, and the count is told with the next line, or alone a minute after the last one.
 */
#pragma once

#include "base/bucket.h"
#include "base/pv.h"

enum {
    PV_REPEATS_TEXTS = 8,  /* ours: remembered; a source that has more kinds runs out of tokens */
    PV_REPEATS_TEXT = 160, /* bytes with the NUL that are compared: the beginning tells the kind */
    PV_REPEATS_BURST = 5,  /* ours: new texts at once */
    PV_REPEATS_EVERY = 10, /* ours: seconds for each further one */
};
#define PV_REPEATS_AGAIN PV_S(60) /* ours: until the same text, or a count alone, is said */

/* Zeroed: nothing was said. */
struct pv_repeats {
    struct {
        char text[PV_REPEATS_TEXT];
        pv_ns at; /* when it was said; 0: free */
    } said[PV_REPEATS_TEXTS];
    struct pv_bucket tokens;
    uint64_t more; /* left out since the last line */
    pv_ns last;    /* when that was */
};

/* Returns true if this text is to be said now, and then stores the number of lines left out since
 * the last one, which this line is to mention. */
PV_MUST_CHECK bool pv_repeats_say(struct pv_repeats *r, const char *text, pv_ns now,
                                  uint64_t *ret_more);
/* Returns true if the number of lines left out is to be said now by itself, and stores the
 * number. */
PV_MUST_CHECK bool pv_repeats_take_rest(struct pv_repeats *r, pv_ns now, uint64_t *ret_more);
/* Returns when pv_repeats_take_rest() has something to say; PV_NEVER: not. */
pv_ns pv_repeats_next_timeout(const struct pv_repeats *r);
