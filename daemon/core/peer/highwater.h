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
 * begin the higher the later, and may be below a former life's all the same, until the clock or a
 * stored mark leads on.
 */
#pragma once

#include "base/pv.h"

enum {
    PV_HIGHWATER_AHEAD_US = 120 * 1000000, /* the mark is set this far ahead of the last value */
    PV_HIGHWATER_SLACK_US = 60 * 1000000,  /* it is set anew when less than this is left */
    PV_HIGHWATER_STEP_US = 1000000, /* ours: more values than lives count by 1 above one mark */
    PV_HIGHWATER_PACE = 240, /* ours: microseconds of the clock to a value that such a life skips */
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

/* A life that begins before the clock has reached the mark skips so many values above it, as lives
 * before that could store no mark may have used them: the more, the later it begins. A clock that
 * is further behind than marks run ahead says nothing about what is later. */
static inline uint64_t pv_highwater_skip(uint64_t stored, uint64_t wall_us)
{
    if (stored == 0 || wall_us >= stored)
        return 0;
    const uint64_t behind = stored - wall_us;
    return behind > PV_HIGHWATER_AHEAD_US ? wall_us % PV_HIGHWATER_PACE
                                          : (PV_HIGHWATER_AHEAD_US - behind) / PV_HIGHWATER_PACE;
}

/* stored: the mark read from disk, 0 = none. wall_us: the clock, microseconds. */
static inline struct pv_highwater pv_highwater_load(uint64_t stored, uint64_t wall_us)
{
    const uint64_t last = stored + pv_highwater_skip(stored, wall_us);
    return (struct pv_highwater){
        .last = last,
        .lead = wall_us > last ? wall_us : last,
        .mark = stored,
        .safe = stored,
        .born = stored,
    };
}

/* Is the clock followed as far as this? */
static inline bool pv_highwater_trusts(const struct pv_highwater *h, uint64_t wall_us)
{
    return wall_us < h->safe || (h->safe > 0 && wall_us - h->safe < PV_HIGHWATER_TRUST_US);
}

/* Will the next value be above those of every former life? */
static inline bool pv_highwater_leads(const struct pv_highwater *h, uint64_t wall_us)
{
    return h->own || (wall_us > h->last && pv_highwater_trusts(h, wall_us));
}

/* The next value for this wall clock (microseconds). */
static inline uint64_t pv_highwater_next(struct pv_highwater *h, uint64_t wall_us)
{
    const uint64_t next = wall_us > h->last ? wall_us : h->last + 1;
    h->own = pv_highwater_leads(h, wall_us);
    h->lead = next > h->lead ? next : h->lead;
    h->last = pv_highwater_trusts(h, next) ? next : h->last + 1;
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
