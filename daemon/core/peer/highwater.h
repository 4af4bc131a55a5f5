/* SPDX-License-Identifier: MIT */
/*
 * highwater.h - numbers that must grow for ever, also across restarts and clocks set back: signal
 * seq, description gen, TAI64N (DESIGN 4, 5, 10).
 *
 * A value is max(wall clock, last + 1), but stays below the mark that is on disk: then no power
 * cut and no clock set back can make a later life begin below it. The mark runs ahead, so that one
 * write a minute is enough; the first one is asked for at the start, before any value is needed.
 *
 * Where no mark can be stored, on a full disk, the clock is followed for 30 days more, so that the
 * next life is above this one, whenever it begins. A clock that leaps further is not: then values
 * grow by 1 only, and so do those of a life that begins while the clock is behind the mark. These
 * may be below a former life's, until the clock or a stored mark leads on (own).
 */
#pragma once

#include "base/pv.h"

enum {
    PV_HIGHWATER_AHEAD_US = 120 * 1000000, /* the mark is set this far ahead of the last value */
    PV_HIGHWATER_SLACK_US = 60 * 1000000,  /* it is set anew when less than this is left */
    PV_HIGHWATER_STEP_US = 1000000,        /* ours: more values than a life counts by 1 */
};
#define PV_HIGHWATER_TRUST_US UINT64_C(2592000000000) /* ours: 30 days of a full disk */

struct pv_highwater {
    uint64_t last; /* last value given out */
    uint64_t lead; /* highest value or wall clock so far: what the mark has to be ahead of */
    uint64_t mark; /* asked to be stored */
    uint64_t safe; /* stored */
    uint64_t born; /* the mark on disk when this life began */
    bool own;      /* values are above those of every former life by now */
};

/* stored: the mark read from disk, 0 = none. wall_us: the clock, microseconds. Two lives that begin
 * at one mark count from different values: with the same ones they would be taken for one. */
static inline struct pv_highwater pv_highwater_load(uint64_t stored, uint64_t wall_us)
{
    const uint64_t last = stored + (stored == 0 ? 0 : wall_us % (PV_HIGHWATER_STEP_US / 2));
    return (struct pv_highwater){
        .last = last,
        .lead = wall_us > last ? wall_us : last,
        .mark = stored,
        .safe = stored,
        .born = stored,
    };
}

/* The next value for this wall clock (microseconds). */
static inline uint64_t pv_highwater_next(struct pv_highwater *h, uint64_t wall_us)
{
    const bool leads = wall_us > h->last;
    const uint64_t next = leads ? wall_us : h->last + 1;
    const bool follows = next < h->safe || (h->safe > 0 && next - h->safe < PV_HIGHWATER_TRUST_US);
    h->lead = next > h->lead ? next : h->lead;
    h->last = follows ? next : h->last + 1;
    h->own = h->own || (leads && follows);
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

/* That mark is on disk. Values begin where it was asked for, and above all that former lives
 * without room for their marks may have counted from the one before. */
static inline void pv_highwater_stored(struct pv_highwater *h, uint64_t mark)
{
    const uint64_t asked = mark - PV_HIGHWATER_AHEAD_US;
    const uint64_t above = h->own ? 0 : h->born + PV_HIGHWATER_STEP_US;
    h->safe = mark > h->safe ? mark : h->safe;
    h->last = asked > h->last ? asked : h->last;
    h->last = above > h->last ? above : h->last;
    h->own = true;
}
