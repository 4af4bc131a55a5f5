/* SPDX-License-Identifier: MIT */
/*
 * ageclock.h - the time by which what is stored grows old. A wall clock may jump: a battery is
 * empty, a time server corrects it. Data that are deleted after some weeks must neither go at once
 * because of that, nor stay for ever.
 *
 * This clock is stored beside what it is for. It runs as the wall clock does from one look to the
 * next, but a day at most, and never back. So a jump, or the time that a machine was off, counts as
 * a day, whatever its length. Rows have the time of this clock at which they came, and are deleted
 * by it. It needs a look some times a day. Pure.
 */
#pragma once

#include "base/pv.h"

enum {
    PV_AGECLOCK_STEP_S = 86400, /* ours: the most that may pass between two looks */
    PV_AGECLOCK_LOOK_S =
        3600, /* ours: time between two looks of a keeper that looks when it is used */
};

/* A new one is {wall clock, wall clock}. */
struct pv_ageclock {
    uint64_t age_s;  /* time of this clock at the last look: Unix seconds without jumps */
    uint64_t seen_s; /* the wall clock then */
};

/* Returns the time of this clock without a look. */
static inline uint64_t pv_ageclock_now(const struct pv_ageclock *c, uint64_t wall_s)
{
    uint64_t passed = wall_s > c->seen_s ? wall_s - c->seen_s : 0;
    return c->age_s + (passed < PV_AGECLOCK_STEP_S ? passed : PV_AGECLOCK_STEP_S);
}

static inline void pv_ageclock_look(struct pv_ageclock *c, uint64_t wall_s)
{
    c->age_s = pv_ageclock_now(c, wall_s);
    c->seen_s = wall_s;
}

/* Returns true if a look is due. After the wall clock was set back it is due at once, so that time
 * passes from there. */
static inline bool pv_ageclock_due(const struct pv_ageclock *c, uint64_t wall_s)
{
    return wall_s < c->seen_s || wall_s - c->seen_s >= PV_AGECLOCK_LOOK_S;
}
