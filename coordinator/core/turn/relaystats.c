/* SPDX-License-Identifier: MIT */
#include "coordinator/core/turn/relaystats.h"

const char *pv_relaystat_name(enum pv_relaystat what)
{
    static const char *const names[] = {
        [PV_RELAYSTAT_MEMBER_PACKETS] = "member_packets",
        [PV_RELAYSTAT_MEMBER_BYTES] = "member_bytes",
        [PV_RELAYSTAT_STATIC_PACKETS] = "static_packets",
        [PV_RELAYSTAT_STATIC_BYTES] = "static_bytes",
        [PV_RELAYSTAT_REFUSED] = "refused",
        [PV_RELAYSTAT_DROP_NO_ALLOCATION] = "drop_no_allocation",
        [PV_RELAYSTAT_DROP_NO_CHANNEL] = "drop_no_channel",
        [PV_RELAYSTAT_DROP_NO_PERMISSION] = "drop_no_permission",
        [PV_RELAYSTAT_DROP_NO_PEER] = "drop_no_peer",
        [PV_RELAYSTAT_DROP_BANDWIDTH] = "drop_bandwidth",
        [PV_RELAYSTAT_DROP_MALFORMED] = "drop_malformed",
        [PV_RELAYSTAT_DROP_SEND] = "drop_send",
        [PV_RELAYSTAT_DROP_NOT_RECEIVED] = "drop_not_received",
        [PV_RELAYSTAT_DROP_RING] = "drop_ring",
        [PV_RELAYSTAT_DROP_STREAM] = "drop_stream",
        [PV_RELAYSTAT_MEMBERS] = "members",
        [PV_RELAYSTAT_MEMBER_ALLOCATIONS] = "member_allocations",
        [PV_RELAYSTAT_STATIC_ALLOCATIONS] = "static_allocations",
        [PV_RELAYSTAT_SOCKETS] = "sockets",
    };
    _Static_assert(PV_ARRAY_LEN(names) == PV_RELAYSTAT_N, "a name for each");
    return (size_t)what < PV_ARRAY_LEN(names) ? names[what] : "?";
}
