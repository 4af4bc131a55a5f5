/* SPDX-License-Identifier: MIT */
/*
 * dh.h - X25519 (RFC 7748). Keys are made from the randomness passed in.
 */
#pragma once

#include "base/pv.h"

enum {
    PV_DH_LEN = 32, /* bytes of a secret, a public key and a shared secret, RFC 7748 s5 */
};

/* A key pair: clamped secret drawn from rng. */
void pv_dh_keypair(const struct pv_rng *rng, uint8_t ret_sk[static PV_DH_LEN],
                   uint8_t ret_pk[static PV_DH_LEN]);
void pv_dh_public(const uint8_t sk[static PV_DH_LEN], uint8_t ret_pk[static PV_DH_LEN]);
/* Shared secret. PV_ERR_AUTH when it is all zero (a small-order public key): refuse the message. */
PV_MUST_CHECK int pv_dh(uint8_t ret_shared[static PV_DH_LEN], const uint8_t sk[static PV_DH_LEN],
                        const uint8_t pk[static PV_DH_LEN]);
