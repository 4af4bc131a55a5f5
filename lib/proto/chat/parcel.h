/* SPDX-License-Identifier: MIT */
/*
 * parcel.h - a chat message sealed for somebody who is away: what waits at the coordinator
 * (DESIGN 4 and 8, docs/PROTOCOL-PEERS.md "Stored copies").
 *
 *   box      Noise_X_25519_ChaChaPoly_BLAKE2s, prologue "p2pvpn store v1" || network id ||
 *            sender's identity key || receiver's identity key
 *            or a hybrid box (proto/control/sealing.h) with the same prologue and content
 *   content  u8 1, id 16, u64 seq, u64 time (ms), text, signature 64
 *
 * The signature is the author's (identity key, context "p2pvpn chat v1") over network id, receiver
 * and the content before it: whoever stores a copy can neither read nor make one. The codec only;
 * no state; thread-safe.
 */
#pragma once

#include "base/pv.h"
#include "crypto/sign.h"
#include "proto/chat/chat.h"
#include "proto/control/signal.h"
#include "proto/wireguard/noise.h"

enum {
    PV_PARCEL_HEAD = 1 + PV_CHAT_ID_LEN + 8 + 8, /* bytes before the text */
    PV_PARCEL_CONTENT_MAX = PV_PARCEL_HEAD + PV_CHAT_TEXT_MAX + PV_SIGN_LEN,
    PV_PARCEL_BOX_MAX = PV_PARCEL_CONTENT_MAX + PV_SEALING_OVERHEAD,
    /* Maximum bytes of a box that is not hybrid. */
    PV_PARCEL_CLASSICAL_MAX = PV_PARCEL_CONTENT_MAX + PV_NOISE_X_OVERHEAD,
};

struct pv_parcel {
    uint8_t id[PV_CHAT_ID_LEN];
    uint64_t seq;        /* 1..2^53, of the sender and this conversation */
    uint64_t time_ms;    /* the sender's clock, a claim */
    struct pv_view text; /* pv_text_is_valid() */
};

struct pv_parcel_keys {
    const struct pv_noise_static *local; /* this node's transport key */
    const uint8_t *remote;               /* the receiver's transport key, PV_DH_LEN bytes */
    const uint8_t *sk;                   /* this node's identity key, PV_SIGN_SK_LEN bytes */
    const struct pv_sealing_to *hybrid;  /* NULL: the box is not hybrid */
};
/* Signs and seals into PV_PARCEL_BOX_MAX bytes. PV_ERR_MALFORMED (text, seq, the key of a hybrid
 * box), PV_ERR_AUTH (remote of small order), PV_ERR_NOMEM, PV_ERR_CRYPTO. */
PV_MUST_CHECK int pv_parcel_seal(const struct pv_signal_route *route,
                                 const struct pv_parcel_keys *keys, const struct pv_rng *rng,
                                 const struct pv_parcel *parcel,
                                 uint8_t ret_box[static PV_PARCEL_BOX_MAX], size_t *ret_len);
/* Opens a box for this node (route->to); the author is route->from. buf: PV_PARCEL_CONTENT_MAX
 * bytes, the text points into it. PV_ERR_AUTH (not for us, not from the author), PV_ERR_MALFORMED,
 * PV_ERR_TRUNCATED, PV_ERR_UNSUPPORTED (version), PV_ERR_LIMIT (length), PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_parcel_open(const struct pv_signal_route *route,
                                 const struct pv_noise_static *local, struct pv_view box,
                                 uint8_t buf[static PV_PARCEL_CONTENT_MAX],
                                 struct pv_parcel *ret_parcel);
/* The same for a hybrid box whose secret (pv_sealing_secret()) is psk. */
PV_MUST_CHECK int pv_parcel_open_hybrid(const struct pv_signal_route *route,
                                        const uint8_t psk[static PV_NOISE_PSK_LEN],
                                        const struct pv_noise_static *local, struct pv_view box,
                                        uint8_t buf[static PV_PARCEL_CONTENT_MAX],
                                        struct pv_parcel *ret_parcel);
/* The second half of opening: the content, its signature included. */
PV_MUST_CHECK int pv_parcel_parse(const struct pv_signal_route *route, struct pv_view content,
                                  struct pv_parcel *ret_parcel);
