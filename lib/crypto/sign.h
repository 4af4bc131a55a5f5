/* SPDX-License-Identifier: MIT */
/*
 * sign.h - Ed25519 signatures with strict verification, and their X25519 form.
 *
 * Every signature carries a context: it covers context || 0x00 || message, so that a signature for
 * one purpose is never valid for another (DESIGN 3).
 */
#pragma once

#include "base/pv.h"
#include "crypto/dh.h"

enum {
    PV_SIGN_SEED_LEN = 32, /* bytes, RFC 8032 s5.1.5: the secret from which a key pair follows */
    PV_SIGN_PK_LEN = 32,   /* bytes, RFC 8032 s5.1.5 */
    PV_SIGN_SK_LEN = 64,   /* libsodium's form: seed || pk */
    PV_SIGN_LEN = 64,      /* bytes, RFC 8032 s5.1.6 */
};

void pv_sign_keypair(const uint8_t seed[static PV_SIGN_SEED_LEN],
                     uint8_t ret_sk[static PV_SIGN_SK_LEN], uint8_t ret_pk[static PV_SIGN_PK_LEN]);
/* Signs context || 0x00 || a || b. context is a NUL-terminated literal such as
 * "p2pvpn statement v1"; a and b together at most 64 KiB. PV_ERR_LIMIT, PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_sign(uint8_t ret_sig[static PV_SIGN_LEN], const char *context,
                          struct pv_view a, struct pv_view b,
                          const uint8_t sk[static PV_SIGN_SK_LEN]);
/* PV_ERR_AUTH for anything but a canonical signature under a canonical key of full order;
 * PV_ERR_LIMIT and PV_ERR_NOMEM as pv_sign(). */
PV_MUST_CHECK int pv_sign_verify(const uint8_t sig[static PV_SIGN_LEN], const char *context,
                                 struct pv_view a, struct pv_view b,
                                 const uint8_t pk[static PV_SIGN_PK_LEN]);
/* The X25519 form of an Ed25519 key (coordinator key on the control channel). PV_ERR_AUTH when pk
 * is no point of the main subgroup. */
PV_MUST_CHECK int pv_sign_pk_to_dh(const uint8_t pk[static PV_SIGN_PK_LEN],
                                   uint8_t ret_dh_pk[static PV_DH_LEN]);
void pv_sign_sk_to_dh(const uint8_t sk[static PV_SIGN_SK_LEN], uint8_t ret_dh_sk[static PV_DH_LEN]);
