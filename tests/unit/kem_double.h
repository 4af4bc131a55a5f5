/* SPDX-License-Identifier: MIT */
/*
 * kem_double.h - for tests only: a KEM in the form of ML-KEM-768, with its lengths and its ways to
 * refuse, made of X25519. It protects from no quantum computer. With it the exchange of secrets is
 * tried also where the crypto libraries have no ML-KEM.
 */
#pragma once

#include <string.h>

#include "crypto/dh.h"
#include "crypto/hash.h"
#include "crypto/kem.h"

/* Fills what X25519 has no use for: known to everybody, and another for each key. */
static inline void kem_double_fill(const char *label, struct pv_view of, uint8_t *out, size_t len)
{
    for (size_t at = 0; at < len; at += PV_BLAKE2B_LEN) {
        uint8_t block[PV_BLAKE2B_LEN], n = (uint8_t)(at / PV_BLAKE2B_LEN);
        pv_blake2b(block, pv_view(label, strlen(label)), of, pv_view(&n, 1));
        memcpy(out + at, block, len - at < sizeof(block) ? len - at : sizeof(block));
    }
}

static inline int kem_double_keypair(const uint8_t seed[static PV_KEM_SEED_LEN],
                                     uint8_t ret_ek[static PV_KEM_EK_LEN])
{
    pv_dh_public(seed, ret_ek);
    kem_double_fill("ek", pv_view(ret_ek, PV_DH_LEN), ret_ek + PV_DH_LEN,
                    PV_KEM_EK_LEN - PV_DH_LEN);
    return PV_OK;
}

static inline void kem_double_secret(const uint8_t shared[static PV_DH_LEN], struct pv_view ct,
                                     uint8_t ret_secret[static PV_KEM_SECRET_LEN])
{
    pv_blake2b(ret_secret, pv_view("secret", 6), pv_view(shared, PV_DH_LEN), ct);
}

static inline int kem_double_encapsulate(struct pv_view ek,
                                         const uint8_t random[static PV_KEM_RANDOM_LEN],
                                         uint8_t ret_ct[static PV_KEM_CT_LEN],
                                         uint8_t ret_secret[static PV_KEM_SECRET_LEN])
{
    uint8_t rest[PV_KEM_EK_LEN - PV_DH_LEN], shared[PV_DH_LEN];
    if (ek.len != PV_KEM_EK_LEN)
        return PV_ERR_MALFORMED;
    kem_double_fill("ek", pv_view(ek.ptr, PV_DH_LEN), rest, sizeof(rest));
    if (memcmp(rest, ek.ptr + PV_DH_LEN, sizeof(rest)) != 0 ||
        pv_dh(shared, random, ek.ptr) != PV_OK)
        return PV_ERR_MALFORMED;
    pv_dh_public(random, ret_ct);
    kem_double_fill("ct", pv_view(ret_ct, PV_DH_LEN), ret_ct + PV_DH_LEN,
                    PV_KEM_CT_LEN - PV_DH_LEN);
    kem_double_secret(shared, pv_view(ret_ct, PV_KEM_CT_LEN), ret_secret);
    return PV_OK;
}

static inline int kem_double_decapsulate(const uint8_t seed[static PV_KEM_SEED_LEN],
                                         struct pv_view ct,
                                         uint8_t ret_secret[static PV_KEM_SECRET_LEN])
{
    uint8_t rest[PV_KEM_CT_LEN - PV_DH_LEN], shared[PV_DH_LEN];
    if (ct.len != PV_KEM_CT_LEN)
        return PV_ERR_MALFORMED;
    kem_double_fill("ct", pv_view(ct.ptr, PV_DH_LEN), rest, sizeof(rest));
    if (memcmp(rest, ct.ptr + PV_DH_LEN, sizeof(rest)) != 0 || pv_dh(shared, seed, ct.ptr) != PV_OK)
        memcpy(shared, seed + PV_DH_LEN, sizeof(shared)); /* implicit rejection, by z */
    kem_double_secret(shared, ct, ret_secret);
    return PV_OK;
}

static const struct pv_kem kem_double = {
    .name = "test",
    .keypair = kem_double_keypair,
    .encapsulate = kem_double_encapsulate,
    .decapsulate = kem_double_decapsulate,
};
