/* SPDX-License-Identifier: MIT */
/*
 * transmit.h - one datagram, or one packet for the inside of a tunnel, that a part of the daemon
 * wants sent, and through what. The part that fills it begins with pv_transmit_to(), which sets
 * every field that says how.
 */
#pragma once

#include <string.h>

#include "base/addr.h"
#include "base/pv.h"
#include "proto/ip/inband.h"

enum {
    PV_ENGINE_MTU = 1500, /* bytes; no datagram of the control side is larger: Ethernet's MTU */
    PV_ENGINE_INJECT_MAX = PV_INBAND_PROBE_MAX, /* bytes of an in-band packet */
};

struct pv_engine_transmit {
    bool router;          /* from the socket that asks routers; sock does not count */
    uint16_t sock;        /* socket id; 0 = the main sockets, family by dst */
    uint8_t ttl;          /* 0 = default */
    bool opener;          /* see struct pv_udp_out */
    struct pv_addr local; /* source address to use, PV_AF_NONE = the kernel chooses */
    struct pv_addr dst;
    uint32_t ifindex; /* of a multicast dst: the interface it leaves by; else 0 */
    uint16_t stream;  /* not 0: one message (turnframe.h) for this stream to a relay instead */
    size_t len;
    uint8_t buf[PV_ENGINE_MTU];
};
/* A datagram of len bytes, copied from bytes, for dst, from the main sockets: the caller changes
 * what is different. False, and nothing is set: it is longer than PV_ENGINE_MTU. */
static inline bool pv_transmit_to(struct pv_engine_transmit *tx, const struct pv_addr *dst,
                                  const void *bytes, size_t len)
{
    if (len > sizeof(tx->buf))
        return false;
    tx->router = false;
    tx->sock = 0;
    tx->ttl = 0;
    tx->opener = false;
    tx->local = (struct pv_addr){.family = PV_AF_NONE};
    tx->dst = *dst;
    tx->ifindex = 0;
    tx->stream = 0;
    tx->len = len;
    if (len > 0)
        memcpy(tx->buf, bytes, len);
    return true;
}

/* An inner packet for the tx worker to seal and send to a peer; len 0 = keepalive. */
struct pv_engine_inject {
    uint32_t peer; /* fast path peer id */
    size_t len;
    uint8_t buf[PV_ENGINE_INJECT_MAX];
};
