/* SPDX-License-Identifier: MIT */
/*
 * replay.c - the sliding window of counters already seen (RFC 6479). Checking and marking are two
 * calls: a counter may be marked only after its packet has proven authentic, or anybody could close
 * the window with forged high counters.
 */
#include "proto/wireguard/replay.h"

#include <string.h>

bool pv_replay_is_new(const struct pv_replay *r, uint64_t counter)
{
    if (counter >= r->next)
        return counter != UINT64_MAX;
    if (r->next - counter > PV_REPLAY_WINDOW)
        return false;
    uint64_t word = r->words[counter / 64 % PV_REPLAY_WORDS];
    return (word >> (counter % 64) & 1) == 0;
}

/* The window moves by whole words, each cleared once, so a jump costs at most PV_REPLAY_WORDS
 * stores however far it goes. */
int pv_replay_accept(struct pv_replay *r, uint64_t counter)
{
    if (!pv_replay_is_new(r, counter))
        return PV_ERR_REPLAY;
    if (counter >= r->next) {
        /* The words between the old top and the new one come into the window: clear them. */
        uint64_t top = r->next == 0 ? 0 : (r->next - 1) / 64;
        uint64_t steps = counter / 64 - top;
        if (steps >= PV_REPLAY_WORDS) {
            memset(r->words, 0, sizeof(r->words));
        } else {
            for (uint64_t i = 1; i <= steps; i++)
                r->words[(top + i) % PV_REPLAY_WORDS] = 0;
        }
        r->next = counter + 1;
    }
    r->words[counter / 64 % PV_REPLAY_WORDS] |= UINT64_C(1) << (counter % 64);
    return PV_OK;
}
