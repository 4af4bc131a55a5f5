/* SPDX-License-Identifier: MIT */
/*
 * rhythm.h - how long silence is nothing new: learnt from the last waits that ended by themselves.
 * A path is asked about when something is overdue, not at the end of each packet.
 *
 * Plain data without clock. Two views of the same waits:
 *   - Usual: the second longest of the last four. One pause between two bursts says nothing of the
 *     packets within a burst, and two alike are no accident.
 *   - Beat: waits that can be told from none (those within a burst cannot), when the last four are
 *     alike. A packet of a beat is due at a time, however slow the beat is.
 */
#pragma once

#include "base/pv.h"

enum {
    PV_RHYTHM_WAITS = 4, /* ours: waits that are remembered */
};

#define PV_RHYTHM_STEP  PV_MS(100) /* times are known this well: pv_ice_note_traffic() */
#define PV_RHYTHM_LOOSE PV_MS(800) /* ours: irregular waits are believed up to this */

/* Fields belong to rhythm.c; a zeroed struct knows nothing. */
struct pv_rhythm {
    pv_ns waits[PV_RHYTHM_WAITS]; /* the newest first; 0 = none yet */
    pv_ns beats[PV_RHYTHM_WAITS]; /* waits that are long enough to count */
};

/* A wait that ended by itself took so long. */
void pv_rhythm_note(struct pv_rhythm *r, pv_ns wait);
/* How long a beat is: after that the next is due. 0: there is none. */
pv_ns pv_rhythm_beat(const struct pv_rhythm *r);
/* Returns true if the traffic is a beat alone, without bursts. */
bool pv_rhythm_is_steady(const struct pv_rhythm *r);
/* After how much of a wait is the next of a beat of that length overdue? */
pv_ns pv_rhythm_late(pv_ns beat);
/* After how much of a wait is silence more than usual? 0: nothing is known, or the waits are too
 * short to be told from none. */
pv_ns pv_rhythm_unusual(const struct pv_rhythm *r);
