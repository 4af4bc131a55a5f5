/* SPDX-License-Identifier: MIT */
/*
 * kem.h - ML-KEM-768 (FIPS 203): one side makes a key pair, the other encapsulates to its public
 * half, and both have a secret that no quantum computer finds in what was sent.
 *
 * The randomness is passed in, so a key pair is its seed: 64 bytes from which the decapsulation key
 * is computed when it is needed. Which library does the work is decided by the build: OpenSSL 3.5,
 * libsodium 1.0.22, or none. Tests put another KEM into the same table.
 */
#pragma once

#include "base/pv.h"

enum {
    PV_KEM_SEED_LEN = 64,   /* bytes, d || z of FIPS 203 s7.1: the secret of a key pair */
    PV_KEM_EK_LEN = 1184,   /* bytes of an encapsulation key, FIPS 203 table 3 */
    PV_KEM_CT_LEN = 1088,   /* bytes of a ciphertext, FIPS 203 table 3 */
    PV_KEM_RANDOM_LEN = 32, /* bytes, m of FIPS 203 s7.2 */
    PV_KEM_SECRET_LEN = 32, /* bytes of a shared secret, FIPS 203 table 3 */
};

/* A KEM of these lengths. The functions keep nothing, and wipe what they computed on the way. */
struct pv_kem {
    const char *name; /* "ml-kem-768" */
    /* The public half of the pair that seed is. PV_ERR_CRYPTO. */
    int (*keypair)(const uint8_t seed[static PV_KEM_SEED_LEN],
                   uint8_t ret_ek[static PV_KEM_EK_LEN]);
    /* random: fresh, and secret like what follows from it. PV_ERR_MALFORMED: ek is no encapsulation
     * key (length, or a coefficient out of range: FIPS 203 s7.2). PV_ERR_CRYPTO. */
    int (*encapsulate)(struct pv_view ek, const uint8_t random[static PV_KEM_RANDOM_LEN],
                       uint8_t ret_ct[static PV_KEM_CT_LEN],
                       uint8_t ret_secret[static PV_KEM_SECRET_LEN]);
    /* A ciphertext that was not made for this key gives a secret that nobody else has (implicit
     * rejection), and no error. PV_ERR_MALFORMED: length. PV_ERR_CRYPTO. */
    int (*decapsulate)(const uint8_t seed[static PV_KEM_SEED_LEN], struct pv_view ct,
                       uint8_t ret_secret[static PV_KEM_SECRET_LEN]);
};

/* ML-KEM-768 of the library that this program was built with. NULL: it was built without one, or
 * the library that runs here does not give it (pv_kem_why_not()). */
const struct pv_kem *pv_kem_mlkem768(void);
/* Why there is none; "" when there is one. */
const char *pv_kem_why_not(void);
