/* SPDX-License-Identifier: MIT */
/*
 * sealing.h - boxes that no quantum computer opens later: the one-message pattern Noise_X of
 * signals and stored copies, with a secret of ML-KEM-768 mixed in as its psk
 * (docs/PROTOCOL-COORDINATOR.md "Hybrid boxes").
 *
 *   box   "pq1" 0x00 || ciphertext 1088 || Noise_Xpsk1_25519_ChaChaPoly_BLAKE2s
 *
 * The ciphertext is to the receiver's sealing key: an ML-KEM pair that follows from its identity
 * key's seed, so that it lies nowhere and is there after every restart. From the public half of the
 * identity key nobody computes that seed, with a quantum computer either: signing uses only a hash
 * of it. Others learn the sealing key from the node's card, which the identity key signs. No state;
 * thread-safe.
 */
#pragma once

#include "base/pv.h"
#include "crypto/kem.h"
#include "crypto/sign.h"
#include "proto/wireguard/noise.h"

enum {
    PV_SEALING_MARK_LEN = 4, /* bytes by which a hybrid box is told from another, most likely */
    PV_SEALING_EXTRA = PV_SEALING_MARK_LEN + PV_KEM_CT_LEN, /* bytes more than another box */
    PV_SEALING_OVERHEAD = PV_SEALING_EXTRA + PV_NOISE_X_OVERHEAD,
};

/* Whose box it shall be. */
struct pv_sealing_to {
    const struct pv_kem *kem;
    const uint8_t *ek; /* the receiver's sealing key, PV_KEM_EK_LEN bytes */
};

/* The public half of this node's sealing key. PV_ERR_CRYPTO, PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_sealing_key(const struct pv_kem *kem,
                                 const uint8_t identity_sk[static PV_SIGN_SK_LEN],
                                 uint8_t ret_ek[static PV_KEM_EK_LEN]);

/* As pv_noise_xpsk_seal(), whose psk is found here, for a box of text.len + PV_SEALING_OVERHEAD
 * bytes. PV_ERR_MALFORMED: to->ek is no encapsulation key; PV_ERR_CRYPTO. */
PV_MUST_CHECK int pv_sealing_seal(const struct pv_sealing_to *to,
                                  const struct pv_noise_parties *parties, const struct pv_rng *rng,
                                  struct pv_view text, uint8_t *ret_box);
/* May it be a hybrid box? Of other boxes one in 2^32 looks like one. */
bool pv_sealing_is(struct pv_view box);
/* The secret that the ciphertext of a hybrid box holds for this node, once for all its transport
 * keys. A secret: wipe it. PV_ERR_MALFORMED (no such box), PV_ERR_CRYPTO. */
PV_MUST_CHECK int pv_sealing_secret(const struct pv_kem *kem,
                                    const uint8_t identity_sk[static PV_SIGN_SK_LEN],
                                    struct pv_view box, uint8_t ret_psk[static PV_NOISE_PSK_LEN]);
/* As pv_noise_x_open(), for a text of box.len - PV_SEALING_OVERHEAD bytes. */
PV_MUST_CHECK int pv_sealing_open(const uint8_t psk[static PV_NOISE_PSK_LEN],
                                  struct pv_view prologue, const struct pv_noise_static *local,
                                  struct pv_view box, uint8_t ret_sender[static PV_DH_LEN],
                                  uint8_t *ret_text);
