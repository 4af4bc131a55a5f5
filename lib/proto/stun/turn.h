/* SPDX-License-Identifier: MIT */
/*
 * turn.h - the words of TURN that client, server and fast path share (RFC 8656): methods,
 * attributes, errors, ChannelData framing, Data and Send indications, and the virtual relayed
 * addresses of members (DESIGN 6).
 *
 * No state, no allocation; thread-safe. Decoders take anything a network may bring. The meaning of
 * a message is the business of turnc.h (client) and the coordinator.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"
#include "crypto/hash.h"
#include "crypto/sign.h"
#include "proto/stun/stun.h"

enum pv_turn_method { /* RFC 8656 s17 */
    PV_TURN_ALLOCATE = 0x003,
    PV_TURN_REFRESH = 0x004,
    PV_TURN_SEND = 0x006, /* indication, client to server */
    PV_TURN_DATA = 0x007, /* indication, server to client */
    PV_TURN_CREATE_PERMISSION = 0x008,
    PV_TURN_CHANNEL_BIND = 0x009,
};

enum pv_turn_attr { /* RFC 8656 s18 */
    PV_TURN_ATTR_CHANNEL_NUMBER = 0x000C,
    PV_TURN_ATTR_LIFETIME = 0x000D,
    PV_TURN_ATTR_XOR_PEER_ADDRESS = 0x0012,
    PV_TURN_ATTR_DATA = 0x0013,
    PV_TURN_ATTR_XOR_RELAYED_ADDRESS = 0x0016,
    PV_TURN_ATTR_REQUESTED_ADDRESS_FAMILY = 0x0017,
    PV_TURN_ATTR_EVEN_PORT = 0x0018,
    PV_TURN_ATTR_REQUESTED_TRANSPORT = 0x0019,
    PV_TURN_ATTR_DONT_FRAGMENT = 0x001A,
    PV_TURN_ATTR_RESERVATION_TOKEN = 0x0022,
    PV_TURN_ATTR_ADDITIONAL_ADDRESS_FAMILY = 0x8000,
    PV_TURN_ATTR_ADDRESS_ERROR_CODE = 0x8001,
    /* The numbers that coturn's programs have for the two above, from before they were assigned. */
    PV_TURN_ATTR_ADDITIONAL_ADDRESS_FAMILY_OLD = 0x8032,
    PV_TURN_ATTR_ADDRESS_ERROR_CODE_OLD = 0x8033,
    /* Ours (PROTOCOL-COORDINATOR "Phone ports"), comprehension-optional. Empty: a phone port is
     * wanted. In the answer: its address, XORed, or the 4 bytes of an ADDRESS-ERROR-CODE. */
    PV_TURN_ATTR_PHONE_PORT = 0xC0D0,
    /* Ours, beside an open phone port: the first and the last UDP port that the server uses for
     * them, 2 bytes each. Its operator opens these in the firewall. */
    PV_TURN_ATTR_PORT_RANGE = 0xC0D1,
};

enum pv_turn_error { /* RFC 8656 s19, RFC 8489 s14.8 */
    PV_TURN_E_FORBIDDEN = 403,
    PV_TURN_E_ALLOCATION_MISMATCH = 437,
    PV_TURN_E_STALE_NONCE = 438,
    PV_TURN_E_FAMILY_NOT_SUPPORTED = 440,
    PV_TURN_E_WRONG_CREDENTIALS = 441,
    PV_TURN_E_TRANSPORT_NOT_SUPPORTED = 442,
    PV_TURN_E_PEER_FAMILY_MISMATCH = 443,
    PV_TURN_E_QUOTA_REACHED = 486,
    PV_TURN_E_NO_CAPACITY = 508,
};

enum {
    PV_TURN_CHANNEL_MIN = 0x4000, /* RFC 8656 s12 */
    PV_TURN_CHANNEL_MAX = 0x4FFF, /* RFC 8656 s12 */
    PV_TURN_CHANNEL_HEADER = 4,   /* bytes: number and length, RFC 8656 s12.4 */
    PV_TURN_FAMILY_IPV4 = 0x01,   /* RFC 8656 s18.8 */
    PV_TURN_FAMILY_IPV6 = 0x02,
    PV_TURN_TRANSPORT_UDP = 17,  /* RFC 8656 s18.6 */
    PV_TURN_VIRTUAL_PORT = 3478, /* of every virtual relayed address, DESIGN 6 */
    PV_TURN_INDICATION_MAX = 52, /* bytes around the data: header 20, peer 24, DATA header 4, pad */
};
#define PV_TURN_LIFETIME         PV_S(600) /* default and shortest of an allocation, RFC 8656 s3.2 */
#define PV_TURN_CHANNEL_LIFETIME PV_S(600) /* RFC 8656 s12 */
#define PV_TURN_PERMISSION_TIME  PV_S(300) /* RFC 8656 s9 */

/* Returns true if the message is a peer's data and no answer to a request. Answers are STUN of a
 * class with the bit 0x100 (RFC 8489 s5). */
static inline bool pv_turn_is_data(struct pv_view message)
{
    return message.len == 0 || (message.ptr[0] & 0xc1) != 0x01;
}

/* The first relayed address in an answer to Allocate that is of use: coturn gives 0.0.0.0:0 before
 * an IPv6 one. PV_ERR_NOT_FOUND. */
PV_MUST_CHECK int pv_turn_find_relayed(const struct pv_stun_msg *msg, struct pv_addr *ret_addr);
/* How long the allocation lives by that answer, 10 s to an hour; PV_TURN_LIFETIME when the answer
 * does not say so. */
pv_ns pv_turn_find_lifetime(const struct pv_stun_msg *msg);

/* The long-term key MD5(user ":" realm ":" password), RFC 8489 s9.2.2. No SASLprep: ours are ASCII.
 * PV_ERR_NO_SPACE: together longer than 1,024 bytes; PV_ERR_CRYPTO. A secret: wipe. */
PV_MUST_CHECK int pv_turn_key(const char *user, const char *realm, const char *password,
                              uint8_t ret_key[static PV_MD5_LEN]);

/* The virtual relayed address of a member: fd + 40 bits of BLAKE2b-256(coordinator pk), subnet 0,
 * 64 bits of BLAKE2b-256(node pk), port 3478 (DESIGN 6). Keys of 32 bytes. */
struct pv_addr pv_turn_virtual_addr(const uint8_t coordinator_pk[static PV_SIGN_PK_LEN],
                                    const uint8_t node_pk[static PV_SIGN_PK_LEN]);
/* Returns true if both virtual addresses belong to one coordinator (equal /64). */
bool pv_turn_same_relay(const struct pv_addr *a, const struct pv_addr *b);
/* Returns true if the address can be a virtual one. A relayed address of a stock server cannot. */
bool pv_turn_is_virtual(const struct pv_addr *addr);
/* Returns true if the address is this node's virtual address at any coordinator. */
bool pv_turn_is_virtual_of(const struct pv_addr *addr,
                           const uint8_t node_pk[static PV_SIGN_PK_LEN]);

/* ChannelData over UDP (RFC 8656 s12.4): the length may be shorter than the datagram (padding).
 * PV_ERR_TRUNCATED, PV_ERR_MALFORMED (no channel number). */
PV_MUST_CHECK int pv_turn_channel_parse(struct pv_view datagram, uint16_t *ret_channel,
                                        struct pv_view *ret_data);
/* The 4 bytes before len bytes of data. */
void pv_turn_channel_header(uint8_t dst[static PV_TURN_CHANNEL_HEADER], uint16_t channel,
                            uint16_t len);

/* A Data (cls of the server) or Send indication: who, what. The views are into the datagram.
 * PV_ERR_NOT_FOUND: another kind of message, or without data; else a decoder's status. */
PV_MUST_CHECK int pv_turn_indication_parse(struct pv_view datagram, uint16_t method,
                                           struct pv_addr *ret_peer, struct pv_view *ret_data);
/* PV_ERR_NO_SPACE: cap < data.len + PV_TURN_INDICATION_MAX suffices always. txid: 12 bytes. */
PV_MUST_CHECK int pv_turn_indication_build(uint16_t method, const uint8_t *txid,
                                           const struct pv_addr *peer, struct pv_view data,
                                           uint8_t *buf, size_t cap, size_t *ret_len);
