/* SPDX-License-Identifier: MIT */
/*
 * copybox.h - the sealed box of what waits at the coordinator for a member that is away
 * (docs/PROTOCOL-PEERS.md "Stored copies"). The content is a parcel (chat/proto/parcel.h).
 *
 *   box      Noise_X_25519_ChaChaPoly_BLAKE2s, prologue "p2pvpn store v1" || network id ||
 *            sender's identity key || receiver's identity key
 *            or a hybrid box (sealing.h) with the same prologue and content
 *
 * The codec only; no state; thread-safe.
 */
#pragma once

#include "base/pv.h"
#include "proto/control/signal.h"
#include "proto/wireguard/noise.h"

enum {
    PV_COPYBOX_CONTENT_MAX = 16481,
    PV_COPYBOX_MAX = PV_COPYBOX_CONTENT_MAX + PV_SEALING_OVERHEAD,
    /* Maximum bytes of a box that is not hybrid. */
    PV_COPYBOX_CLASSICAL_MAX = PV_COPYBOX_CONTENT_MAX + PV_NOISE_X_OVERHEAD,
};

struct pv_copybox_keys {
    const struct pv_noise_static *local; /* this node's transport key */
    const uint8_t *remote;               /* the receiver's transport key, PV_DH_LEN bytes */
    const struct pv_sealing_to *hybrid;  /* NULL: the box is not hybrid */
};
/* Seals into PV_COPYBOX_MAX bytes. PV_ERR_LIMIT (length), PV_ERR_MALFORMED (the key of a hybrid
 * box), PV_ERR_AUTH (remote of small order), PV_ERR_NOMEM, PV_ERR_CRYPTO. */
PV_MUST_CHECK int pv_copybox_seal(const struct pv_signal_route *route,
                                  const struct pv_copybox_keys *keys, const struct pv_rng *rng,
                                  struct pv_view content, uint8_t ret_box[static PV_COPYBOX_MAX],
                                  size_t *ret_len);
/* Opens a box for this node (route->to); its sender is route->from, but for who has this node's
 * secret key. PV_ERR_AUTH (not for us), PV_ERR_TRUNCATED, PV_ERR_LIMIT (length). */
PV_MUST_CHECK int pv_copybox_open(const struct pv_signal_route *route,
                                  const struct pv_noise_static *local, struct pv_view box,
                                  uint8_t ret_content[static PV_COPYBOX_CONTENT_MAX],
                                  size_t *ret_len);
/* The same for a hybrid box whose secret (pv_sealing_secret()) is psk. */
PV_MUST_CHECK int pv_copybox_open_hybrid(const struct pv_signal_route *route,
                                         const uint8_t psk[static PV_NOISE_PSK_LEN],
                                         const struct pv_noise_static *local, struct pv_view box,
                                         uint8_t ret_content[static PV_COPYBOX_CONTENT_MAX],
                                         size_t *ret_len);
