/* SPDX-License-Identifier: MIT */
/* turn_counts.h - what a TURN server holds, by the counters that `status` shows. */
#pragma once

#include "coordinator/core/turn/turns.h"

static inline uint64_t tc_members(struct pv_turns *t)
{
    return pv_relaystat_get(pv_turns_counters(t), PV_RELAYSTAT_MEMBERS);
}

/* Of members and static users. */
static inline uint64_t tc_allocations(struct pv_turns *t)
{
    const struct pv_relaystats *s = pv_turns_counters(t);
    return pv_relaystat_get(s, PV_RELAYSTAT_MEMBER_ALLOCATIONS) +
           pv_relaystat_get(s, PV_RELAYSTAT_STATIC_ALLOCATIONS);
}

static inline uint64_t tc_sockets(struct pv_turns *t)
{
    return pv_relaystat_get(pv_turns_counters(t), PV_RELAYSTAT_SOCKETS);
}
