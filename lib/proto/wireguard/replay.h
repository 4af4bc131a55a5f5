/* SPDX-License-Identifier: MIT */
/*
 * replay.h - the sliding window of counters already seen (RFC 6479; whitepaper s5.4.6).
 *
 * A bitmap used as a ring of 64-bit words, so that moving the window clears words instead of
 * shifting them. One per receive key; not thread-safe (its rx worker owns it).
 */
#pragma once

#include "base/pv.h"

enum {
    PV_REPLAY_WINDOW = 8192,                     /* counters, DESIGN 7 */
    PV_REPLAY_WORDS = PV_REPLAY_WINDOW / 64 + 1, /* one more, so that the newest may be partial */
};

/* A zeroed window has seen nothing. */
struct pv_replay {
    uint64_t next; /* highest counter accepted, + 1 */
    uint64_t words[PV_REPLAY_WORDS];
};

/* Returns true if this counter would be accepted. For dropping replays before the costly part. */
bool pv_replay_is_new(const struct pv_replay *r, uint64_t counter);
/* Marks the counter of an authenticated packet as seen. PV_ERR_REPLAY: seen before, or
 * PV_REPLAY_WINDOW or more below the highest. counter < UINT64_MAX. */
PV_MUST_CHECK int pv_replay_accept(struct pv_replay *r, uint64_t counter);
