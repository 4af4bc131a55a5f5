/* SPDX-License-Identifier: MIT */
/*
 * highwater.h - numbers that must grow for ever, also across restarts and clocks set back: signal
 * seq, description gen, TAI64N (DESIGN 4, 5, 10).
 *
 * A value is max(wall clock, last + 1), but stays below the mark that is on disk: then no power
 * cut, full disk or clock set back can make a later life begin below it. Above that it grows by 1
 * only, so that a life which could not store a mark is soon overtaken by the next. The mark runs
 * ahead, so that one write a minute is enough; the first one is asked for at the start, before any
 * value is needed.
 */
#pragma once

#include "base/pv.h"

enum {
    PV_HIGHWATER_AHEAD_US = 120 * 1000000, /* the mark is set this far ahead of the last value */
    PV_HIGHWATER_SLACK_US = 60 * 1000000,  /* it is set anew when less than this is left */
};

struct pv_highwater {
    uint64_t last; /* last value given out */
    uint64_t lead; /* highest value or wall clock so far: what the mark has to be ahead of */
    uint64_t mark; /* asked to be stored */
    uint64_t safe; /* stored */
    bool own;      /* this life has stored a mark: its values are above those of every former one */
};

/* stored: the mark read from disk, 0 = none. wall_us: the clock, microseconds. */
static inline struct pv_highwater pv_highwater_load(uint64_t stored, uint64_t wall_us)
{
    return (struct pv_highwater){
        .last = stored,
        .lead = wall_us > stored ? wall_us : stored,
        .mark = stored,
        .safe = stored,
    };
}

/* The next value for this wall clock (microseconds). */
static inline uint64_t pv_highwater_next(struct pv_highwater *h, uint64_t wall_us)
{
    uint64_t next = wall_us > h->last ? wall_us : h->last + 1;
    h->lead = next > h->lead ? next : h->lead;
    h->last = next < h->safe ? next : h->last + 1;
    return h->last;
}

/* Must the mark be stored anew? Then *ret_mark is what to store; ask after every next(). */
static inline bool pv_highwater_take_mark(struct pv_highwater *h, uint64_t *ret_mark)
{
    if (h->lead + PV_HIGHWATER_SLACK_US < h->mark)
        return false;
    h->mark = h->lead + PV_HIGHWATER_AHEAD_US;
    *ret_mark = h->mark;
    return true;
}

/* That mark is on disk. Values begin where it was asked for: a former life without room for its
 * marks may have used some above the one before. */
static inline void pv_highwater_stored(struct pv_highwater *h, uint64_t mark)
{
    uint64_t asked = mark - PV_HIGHWATER_AHEAD_US;
    h->safe = mark > h->safe ? mark : h->safe;
    h->last = asked > h->last ? asked : h->last;
    h->own = true;
}
