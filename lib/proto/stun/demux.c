/* SPDX-License-Identifier: MIT */
/*
 * demux.c - tells WireGuard, STUN and ChannelData apart, which share our UDP ports. It runs for
 * every datagram that arrives, before anything is authenticated, so it reads fixed bytes and
 * lengths only and never follows a length into the data.
 */
#include "proto/stun/demux.h"

#include "base/bytes.h"
#include "proto/stun/stun.h"

enum {
    WG_INITIATION_LEN = 148, /* bytes, whitepaper s5.4.2 */
    WG_RESPONSE_LEN = 92,    /* bytes, whitepaper s5.4.3 */
    WG_COOKIE_LEN = 64,      /* bytes, whitepaper s5.4.7 */
    WG_DATA_MIN = 32,        /* bytes: header 16, tag 16 (whitepaper s5.4.6) */
    CHANNEL_HEADER_LEN = 4,  /* bytes, RFC 8656 s12.4 */
};

/* A datagram counts as STUN only when cookie, length and alignment all fit (RFC 8489 s6.3). The
 * cookie alone would do against our own WireGuard messages, whose byte 1 is 0; the other tests keep
 * stray data of a stranger from reaching the STUN decoder. */
static bool is_stun(struct pv_view d)
{
    return d.len >= PV_STUN_HEADER_LEN && d.ptr[0] < 0x40 &&
           pv_load_be32(d.ptr + 4) == PV_STUN_COOKIE &&
           d.len == PV_STUN_HEADER_LEN + (size_t)pv_load_be16(d.ptr + 2) && d.len % 4 == 0;
}

/* WireGuard's messages 1 to 3 have one length each. Exactness matters: whatever is taken for an
 * initiation costs two X25519 operations, whatever is taken for data a lookup by index. */
static enum pv_demux wireguard_kind(struct pv_view d)
{
    unsigned byte3 = d.ptr[3];

    switch (d.ptr[0]) {
    case 1:
        return d.len == WG_INITIATION_LEN && byte3 < PV_DEMUX_SUITES ? PV_DEMUX_WG_INITIATION
                                                                     : PV_DEMUX_JUNK;
    case 2:
        return d.len == WG_RESPONSE_LEN && byte3 < PV_DEMUX_SUITES ? PV_DEMUX_WG_RESPONSE
                                                                   : PV_DEMUX_JUNK;
    case 3:
        return d.len == WG_COOKIE_LEN && byte3 == 0 ? PV_DEMUX_WG_COOKIE : PV_DEMUX_JUNK;
    case 4:
        return d.len >= WG_DATA_MIN && byte3 == 0 ? PV_DEMUX_WG_DATA : PV_DEMUX_JUNK;
    default:
        return PV_DEMUX_JUNK;
    }
}

enum pv_demux pv_demux(struct pv_view datagram)
{
    if (datagram.len < 4)
        return PV_DEMUX_JUNK;
    if (is_stun(datagram))
        return PV_DEMUX_STUN;
    uint8_t first = datagram.ptr[0];
    if (first >= 0x40 && first <= 0x4f) {
        size_t body = pv_load_be16(datagram.ptr + 2);
        return datagram.len >= CHANNEL_HEADER_LEN + body ? PV_DEMUX_CHANNEL : PV_DEMUX_JUNK;
    }
    if (datagram.ptr[1] != 0 || datagram.ptr[2] != 0)
        return PV_DEMUX_JUNK;
    return wireguard_kind(datagram);
}
