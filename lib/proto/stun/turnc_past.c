/* SPDX-License-Identifier: MIT */
/*
 * turnc_past.c - remembers channel numbers that were given up, while the server may still know
 * them. A ring of fixed size: a peer that comes back after PV_TURNC_PAST_MAX others gets a new
 * number, which the server refuses (400) for at most ten minutes.
 */
#include "proto/stun/turnc_past.h"

void pv_turnc_past_add(struct pv_turnc_past *past, const struct pv_addr *peer, uint16_t number,
                       pv_ns now)
{
    size_t i = past->next++ % PV_TURNC_PAST_MAX;
    past->list[i].peer = *peer;
    past->list[i].number = number;
    past->list[i].until = now + PV_TURNC_PAST_FOR;
}

uint16_t pv_turnc_past_take(struct pv_turnc_past *past, const struct pv_addr *peer, pv_ns now)
{
    for (size_t i = 0; i < PV_TURNC_PAST_MAX; i++) {
        if (past->list[i].number == 0 || !pv_addr_equal(&past->list[i].peer, peer))
            continue;
        uint16_t number = now < past->list[i].until ? past->list[i].number : 0;
        past->list[i].number = 0;
        return number;
    }
    return 0;
}

bool pv_turnc_past_has(const struct pv_turnc_past *past, uint16_t number, pv_ns now)
{
    for (size_t i = 0; i < PV_TURNC_PAST_MAX; i++) {
        if (past->list[i].number == number && now < past->list[i].until)
            return true;
    }
    return false;
}
