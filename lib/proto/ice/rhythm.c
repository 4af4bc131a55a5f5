/* SPDX-License-Identifier: MIT */
/* rhythm.c - how long silence is nothing new. */
#include "proto/ice/rhythm.h"

#include <string.h>

#define DENSE    (PV_RHYTHM_STEP / 2 * 3) /* ours: up to here waits cannot be told from none */
#define TOLERATE (PV_RHYTHM_STEP / 2) /* ours: allows for a delay of one packet in the network */
#define SHARE    16                   /* ours: and this part of the wait, for the sender */
#define ALIKE    4                    /* ours: no two differ by this part of the longest */

static void push(pv_ns list[static PV_RHYTHM_WAITS], pv_ns wait)
{
    memmove(list + 1, list, (PV_RHYTHM_WAITS - 1) * sizeof(list[0]));
    list[0] = wait;
}

void pv_rhythm_note(struct pv_rhythm *r, pv_ns wait)
{
    push(r->waits, wait == 0 ? 1 : wait);
    if (wait > DENSE)
        push(r->beats, wait);
}

/* The second longest; 0 where that is too short to be told from none. */
static pv_ns usual(const pv_ns list[static PV_RHYTHM_WAITS])
{
    pv_ns longest = 0, second = 0;

    for (size_t i = 0; i < PV_RHYTHM_WAITS; i++) {
        if (list[i] > longest) {
            second = longest;
            longest = list[i];
        } else if (list[i] > second) {
            second = list[i];
        }
    }
    return second <= DENSE ? 0 : second;
}

static bool are_alike(const pv_ns list[static PV_RHYTHM_WAITS])
{
    pv_ns longest = 0, shortest = PV_NEVER;

    for (size_t i = 0; i < PV_RHYTHM_WAITS; i++) {
        longest = list[i] > longest ? list[i] : longest;
        shortest = pv_min_ns(shortest, list[i]);
    }
    return shortest > DENSE && longest - shortest <= longest / ALIKE;
}

pv_ns pv_rhythm_beat(const struct pv_rhythm *r)
{
    return are_alike(r->beats) ? usual(r->beats) : 0;
}

bool pv_rhythm_is_steady(const struct pv_rhythm *r)
{
    return are_alike(r->waits);
}

pv_ns pv_rhythm_late(pv_ns beat)
{
    return beat + beat / SHARE + PV_RHYTHM_STEP + TOLERATE;
}

pv_ns pv_rhythm_unusual(const struct pv_rhythm *r)
{
    pv_ns wait = usual(r->waits);

    if (wait == 0)
        return 0;
    return pv_rhythm_late(are_alike(r->waits) ? wait : pv_min_ns(wait, PV_RHYTHM_LOOSE));
}
