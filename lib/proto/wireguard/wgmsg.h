/* SPDX-License-Identifier: MIT */
/*
 * wgmsg.h - WireGuard's handshake messages (whitepaper s5.4.2 to s5.4.7): make and read messages 1
 * and 2 (Noise_IKpsk2), their macs, and message 3 (cookie reply).
 *
 * Functions on explicit structs: no timers, no retries, no memory of peers (session.h), no decision
 * about load (cookie.h). Message 4 is sealed and opened by the fast path. Numbers in the messages
 * are little-endian. Byte 3 of messages 1 and 2 is the suite (enum pv_suite, DESIGN 7): 0 is
 * WireGuard's; 1 is ours, the same handshake under Noise_IKpsk2_25519_AESGCM_BLAKE2s.
 */
#pragma once

#include "proto/wireguard/noise.h"

enum {
    PV_WGMSG_INITIATION = 1,
    PV_WGMSG_RESPONSE = 2,
    PV_WGMSG_COOKIE = 3,
    PV_WGMSG_DATA = 4,

    PV_WGMSG_INITIATION_LEN = 148, /* bytes, whitepaper s5.4.2 */
    PV_WGMSG_RESPONSE_LEN = 92,    /* bytes, whitepaper s5.4.3 */
    PV_WGMSG_COOKIE_LEN = 64,      /* bytes, whitepaper s5.4.7 */
    PV_WGMSG_DATA_MIN = 32,        /* bytes: header and tag, a keepalive, whitepaper s5.4.6 */

    PV_WGMSG_MAC_LEN = 16, /* bytes, whitepaper s5.4.4 */
    PV_TAI64N_LEN = 12,    /* bytes, whitepaper s5.4.2 */
};

/* The kind of message that a datagram is, by its first bytes and its length: PV_WGMSG_INITIATION to
 * PV_WGMSG_DATA. PV_ERR_MALFORMED for anything else, PV_ERR_UNSUPPORTED for a message 1 or 2 of a
 * suite we do not know. Says nothing about authenticity. */
PV_MUST_CHECK int pv_wgmsg_type(struct pv_view msg, uint8_t *ret_type);
/* The receiver index of a message 2, 3 or 4: whose it is. */
uint32_t pv_wgmsg_receiver(struct pv_view msg);

/* --- who talks ------------------------------------------------------------------------------ */

/* This node under one of its static keys; the owner may keep a second one while a key is
 * replaced. */
struct pv_wg_device {
    struct pv_noise_static keys;
    uint8_t mac1_key[PV_BLAKE2S_LEN];   /* of messages to us */
    uint8_t cookie_key[PV_BLAKE2S_LEN]; /* of cookie replies by us */
};
/* sk is borrowed until the device is wiped. */
void pv_wg_device_init(struct pv_wg_device *dev, const uint8_t sk[static PV_DH_LEN]);
void pv_wg_device_wipe(struct pv_wg_device *dev);

/* A peer, as seen by one device. */
struct pv_wg_remote {
    uint8_t pk[PV_DH_LEN];
    uint8_t ss[PV_DH_LEN]; /* shared secret of both static keys, computed once */
    uint8_t psk[PV_NOISE_PSK_LEN];
    uint8_t mac1_key[PV_BLAKE2S_LEN];   /* of messages to it */
    uint8_t cookie_key[PV_BLAKE2S_LEN]; /* of cookie replies by it */
};
/* psk: 32 zero bytes when there is none. PV_ERR_AUTH when pk is of small order. */
PV_MUST_CHECK int pv_wg_remote_init(struct pv_wg_remote *remote, const struct pv_wg_device *dev,
                                    const uint8_t pk[static PV_DH_LEN],
                                    const uint8_t psk[static PV_NOISE_PSK_LEN]);
void pv_wg_remote_wipe(struct pv_wg_remote *remote);

/* The result of a handshake: keys of message 4 in both directions. */
struct pv_wg_keys {
    uint8_t send[PV_AEAD_KEY_LEN];
    uint8_t recv[PV_AEAD_KEY_LEN];
    uint32_t remote_index; /* goes into the messages 4 we send */
    enum pv_suite suite;   /* what they are for */
};

/* --- timestamps ----------------------------------------------------------------------------- */

/* TAI64N of a Unix time in ns, cut to this step (16.8 ms) so that it tells less about the clock. In
 * the part that is cut off, ours between members have a number below it, where nobody who has not
 * the responder's key can read it (0: none); and that number. */
#define PV_TAI64N_TICK ((uint64_t)1 << 24) /* ns */
void pv_tai64n_tagged(uint8_t ret_tai64n[static PV_TAI64N_LEN], uint64_t unix_ns, uint32_t tag);
uint32_t pv_tai64n_tag(const uint8_t tai64n[static PV_TAI64N_LEN]);

/* --- message 1, as initiator ---------------------------------------------------------------- */

/* Our message 1 on its way: what is needed to read the answer. */
struct pv_wg_pending {
    struct pv_noise_sym sym;
    struct pv_noise_keys e;
    uint32_t local_index;
    enum pv_suite suite;
};

/* Writes message 1 with mac1 and a zero mac2; the caller has set pending->local_index and
 * pending->suite. PV_ERR_AUTH is impossible for a remote that passed pv_wg_remote_init(), unless
 * the ephemeral meets it by chance; treat it as "try again". */
PV_MUST_CHECK int pv_wgmsg_initiate(struct pv_wg_pending *pending, const struct pv_wg_device *dev,
                                    const struct pv_wg_remote *remote, const struct pv_rng *rng,
                                    const uint8_t tai64n[static PV_TAI64N_LEN],
                                    uint8_t ret_msg[static PV_WGMSG_INITIATION_LEN]);
/* Reads message 2 (mac1 already checked). pending stays as it was, so a forged answer does no harm;
 * wipe it after success. PV_ERR_AUTH, also for another receiver index, suite and psk. */
PV_MUST_CHECK int pv_wgmsg_read_response(const struct pv_wg_pending *pending,
                                         const struct pv_wg_device *dev,
                                         const struct pv_wg_remote *remote, struct pv_view msg,
                                         struct pv_wg_keys *ret_keys);
void pv_wg_pending_wipe(struct pv_wg_pending *pending);

/* --- message 1, as responder ---------------------------------------------------------------- */

/* A message 1 of which the sender's static key is known, but nothing else is proven. Holds secrets:
 * wipe it when it is not used up. */
struct pv_wg_initiation {
    const struct pv_wg_device *device; /* borrowed: the key of ours it was made for */
    uint8_t static_pk[PV_DH_LEN];      /* of the sender */
    uint8_t ephemeral_pk[PV_DH_LEN];
    uint32_t remote_index;
    enum pv_suite suite; /* proven by the second half, like the rest */
    struct pv_noise_sym sym;
    uint8_t sealed_timestamp[PV_TAI64N_LEN + PV_NOISE_TAG_LEN];
};

/* First half, before the peer is known (one DH). Check mac1 before. PV_ERR_AUTH, PV_ERR_MALFORMED,
 * PV_ERR_UNSUPPORTED. */
PV_MUST_CHECK int pv_wgmsg_identify(const struct pv_wg_device *dev, struct pv_view msg,
                                    struct pv_wg_initiation *ret_in);
/* Second half: proves that the sender has the static key. To detect replays, compare the timestamp
 * with the greatest one accepted. remote must belong to in->static_pk under in->device. Call once.
 * PV_ERR_AUTH. */
PV_MUST_CHECK int pv_wgmsg_accept(struct pv_wg_initiation *in, const struct pv_wg_remote *remote,
                                  uint8_t ret_tai64n[static PV_TAI64N_LEN]);
/* Writes message 2 to an accepted message 1, of its suite, mac2 zero, and derives the keys. Call
 * once. PV_ERR_AUTH when the sender's ephemeral key is of small order. */
PV_MUST_CHECK int pv_wgmsg_respond(struct pv_wg_initiation *in, const struct pv_wg_remote *remote,
                                   const struct pv_rng *rng, uint32_t local_index,
                                   uint8_t ret_msg[static PV_WGMSG_RESPONSE_LEN],
                                   struct pv_wg_keys *ret_keys);
void pv_wg_initiation_wipe(struct pv_wg_initiation *in);

/* --- macs and message 3 (whitepaper s5.4.4, s5.4.7) ------------------------------------------ */

/* Returns true if a message 1 or 2 (of the right length) has the mac1 of messages to dev. */
bool pv_wgmsg_mac1_ok(const struct pv_wg_device *dev, struct pv_view msg);
/* Returns true if the message's mac2 was made with this cookie. */
bool pv_wgmsg_mac2_ok(struct pv_view msg, const uint8_t cookie[static PV_WGMSG_MAC_LEN]);
/* Writes mac2 into a message 1 or 2 made here. */
void pv_wgmsg_put_mac2(uint8_t *msg, size_t len, const uint8_t cookie[static PV_WGMSG_MAC_LEN]);
/* The mac1 of a message 1 or 2: the associated data of a cookie reply to it. */
struct pv_view pv_wgmsg_mac1(struct pv_view msg);

/* Message 3 in answer to msg (a message 1 or 2). */
void pv_wgmsg_make_cookie(const struct pv_wg_device *dev, const struct pv_rng *rng,
                          struct pv_view msg, const uint8_t cookie[static PV_WGMSG_MAC_LEN],
                          uint8_t ret_msg[static PV_WGMSG_COOKIE_LEN]);
/* The cookie in a message 3 that answers our message with that mac1. PV_ERR_AUTH,
 * PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_wgmsg_read_cookie(const struct pv_wg_remote *remote, struct pv_view msg,
                                       const uint8_t mac1[static PV_WGMSG_MAC_LEN],
                                       uint8_t ret_cookie[static PV_WGMSG_MAC_LEN]);
