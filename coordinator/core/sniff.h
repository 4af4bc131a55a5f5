/* SPDX-License-Identifier: MIT */
/*
 * sniff.h - what a TCP connection speaks, told by its first byte (RFC 7983 s7). No two overlap, so
 * every port takes them all, and inside TLS the same question is asked again.
 */
#pragma once

#include <stdint.h>

enum pv_sniff {
    PV_SNIFF_STUN, /* 0-3: STUN and TURN, RFC 8489 s5. ChannelData comes after an Allocate only */
    PV_SNIFF_TLS,  /* 22: a handshake record, RFC 8446 s5.1 */
    PV_SNIFF_CONTROL, /* 'P' of the preamble */
    PV_SNIFF_FOREIGN, /* anything else: close it */
};

static inline enum pv_sniff pv_sniff(uint8_t first)
{
    if (first < 4)
        return PV_SNIFF_STUN;
    if (first == 22)
        return PV_SNIFF_TLS;
    return first == 'P' ? PV_SNIFF_CONTROL : PV_SNIFF_FOREIGN;
}
