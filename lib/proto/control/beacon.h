/* SPDX-License-Identifier: MIT */
/*
 * beacon.h - the datagram by which members find each other in a LAN while the coordinator is away
 * (docs/PROTOCOL-PEERS.md "Beacon"): a nonce and tags, all of one length.
 *
 * A tag is a MAC under a key that only this pair of members has, over the nonce and the address
 * that the datagram leaves from. To everybody else it is a random number, as are the tags that fill
 * the datagram up: neither the network nor the number of its members can be told. Codec and MAC
 * only; who sends and who answers is daemon/core/peer/beacon.h. No state; thread-safe.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"
#include "crypto/dh.h"

enum {
    PV_BEACON_PORT = 51819, /* ours: UDP, at the group of all hosts of the link */
    PV_BEACON_HOPS = 255,   /* TTL and hop limit: a datagram that a router passed on has less
                             * (RFC 5082) */
    PV_BEACON_NONCE_LEN = 16,
    PV_BEACON_TAG_LEN = 8,
    PV_BEACON_TAGS = 144, /* ours: with the headers below IPv6's least MTU (RFC 8200 s5) */
    PV_BEACON_LEN = PV_BEACON_NONCE_LEN + PV_BEACON_TAGS * PV_BEACON_TAG_LEN,
    PV_BEACON_KEY_LEN = 32,
};

struct pv_beacon {
    uint8_t nonce[PV_BEACON_NONCE_LEN];
    uint64_t tags[PV_BEACON_TAGS];
};

/* The keys of this pair: out is of what this node sends, and in of what it hears. ss: the shared
 * secret of both transport keys. */
void pv_beacon_keys(const uint8_t ss[static PV_DH_LEN], const uint8_t own_pk[static PV_DH_LEN],
                    const uint8_t peer_pk[static PV_DH_LEN],
                    uint8_t ret_out[static PV_BEACON_KEY_LEN],
                    uint8_t ret_in[static PV_BEACON_KEY_LEN]);
/* The tag under one of these keys, of a datagram that leaves from src. */
uint64_t pv_beacon_tag(const uint8_t key[static PV_BEACON_KEY_LEN],
                       const uint8_t nonce[static PV_BEACON_NONCE_LEN], const struct pv_addr *src);
/* Returns true if the datagram has this tag. The time does not depend on the tags. */
bool pv_beacon_has(const struct pv_beacon *b, uint64_t tag);

void pv_beacon_write(const struct pv_beacon *b, uint8_t buf[static PV_BEACON_LEN]);
/* PV_ERR_MALFORMED: another length. */
PV_MUST_CHECK int pv_beacon_parse(struct pv_view datagram, struct pv_beacon *ret_beacon);

/* Where it is sent to: 224.0.0.1 or ff02::1. */
struct pv_addr pv_beacon_group(uint16_t family);
