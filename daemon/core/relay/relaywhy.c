/* SPDX-License-Identifier: MIT */
/* Why a TURN server is not reached, for people. */
#include "daemon/core/relay/relaywhy.h"

#include <stdio.h>

/* In words of what a user sees, for `status`; the number is told beside it. */
static const char *meaning(unsigned error)
{
    switch (error) {
    case PV_STUN_E_TRY_ALTERNATE:
        return "it sends us to another server, where we were already or cannot go";
    case PV_TURN_E_FORBIDDEN:
        return "it may not be used from here";
    case PV_TURN_E_FAMILY_NOT_SUPPORTED:
        return "it has no address of a family that is of use here";
    case PV_TURN_E_WRONG_CREDENTIALS:
        return "another user holds this one's place";
    case PV_TURN_E_TRANSPORT_NOT_SUPPORTED:
        return "it does not relay UDP";
    case PV_TURN_E_QUOTA_REACHED:
        return "the user has as many allocations as it may";
    case PV_TURN_E_NO_CAPACITY:
        return "it has no room";
    default:
        return "it says no more";
    }
}

void pv_relaywhy(const struct pv_turnc_event *down, const char *transport, char *text, size_t cap)
{
    if (down->status == PV_ERR_TIMEOUT)
        snprintf(text, cap, "no answer by %s", transport);
    else if (down->status == PV_ERR_AUTH)
        snprintf(text, cap, "it refuses user and password (error %u)", down->error);
    else if (down->status == PV_ERR_MALFORMED)
        snprintf(text, cap, "its answer has no relayed address");
    else if (down->status != PV_ERR_CLOSED)
        snprintf(text, cap, "it refuses an allocation: %s (error %u)", meaning(down->error),
                 down->error);
}
