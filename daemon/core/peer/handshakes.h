/* SPDX-License-Identifier: MIT */
/*
 * handshakes.h - the part that takes WireGuard handshake messages from the network to the peers
 * whose they are, and asks for cookies under load (whitepaper s5.3).
 */
#pragma once

#include "crypto/dh.h"
#include "daemon/core/node/node.h"

struct pv_handshakes; /* opaque */

extern const struct pv_part pv_part_handshakes;

/* A handshake message (not transport data) that came in from there. */
void pv_handshakes_take(struct pv_handshakes *h, const struct pv_carrier *from, struct pv_view msg,
                        pv_ns now);

/* The last stranger that began a handshake with a key that nobody here has; from.family PV_AF_NONE:
 * nobody. */
struct pv_handshakes_stranger {
    struct pv_addr from;
    uint8_t key[PV_DH_LEN];
};
const struct pv_handshakes_stranger *pv_handshakes_stranger(const struct pv_handshakes *h);
