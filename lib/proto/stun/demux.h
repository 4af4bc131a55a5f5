/* SPDX-License-Identifier: MIT */
/*
 * demux.h - what kind of datagram is this? WireGuard, STUN and ChannelData share our UDP ports.
 *
 * Looks at the fixed bytes and the length only; it neither parses nor authenticates. Pure, no
 * state, any thread. The kinds cannot be mistaken for each other (TRAVERSAL 2): a WireGuard
 * message has byte 1 = 0, every STUN response byte 1 != 0, a STUN message the cookie and its own
 * length, and no sender index equals the cookie.
 */
#pragma once

#include "base/pv.h"

enum pv_demux {
    PV_DEMUX_JUNK,
    PV_DEMUX_WG_INITIATION, /* type 1, 148 bytes, byte 3 = suite (whitepaper s5.4.2; DESIGN 7) */
    PV_DEMUX_WG_RESPONSE,   /* type 2, 92 bytes, byte 3 = suite */
    PV_DEMUX_WG_COOKIE,     /* type 3, 64 bytes */
    PV_DEMUX_WG_DATA,       /* type 4, >= 32 bytes (padded to 16, but never beyond the MTU) */
    PV_DEMUX_STUN,          /* with the cookie and a length that fits (RFC 8489 s6.3) */
    PV_DEMUX_CHANNEL,       /* ChannelData, channel 0x4000-0x4FFF (RFC 8656 s12.4) */
};

enum {
    PV_DEMUX_SUITES = 2, /* byte 3 of messages 1 and 2 is below this: DESIGN 7 */
};

enum pv_demux pv_demux(struct pv_view datagram);
