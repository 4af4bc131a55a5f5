/* SPDX-License-Identifier: MIT */
/*
 * dh.c - X25519 key pairs and shared secrets (RFC 7748).
 */
#include "crypto/dh.h"

#include <sodium.h>

#include "crypto/ct.h"

void pv_dh_keypair(const struct pv_rng *rng, uint8_t ret_sk[static PV_DH_LEN],
                   uint8_t ret_pk[static PV_DH_LEN])
{
    pv_rng_fill(rng, ret_sk, PV_DH_LEN);
    ret_sk[0] &= 248; /* clamped here, so that stored keys look like keys of wg (RFC 7748 s5) */
    ret_sk[31] = (uint8_t)((ret_sk[31] & 127) | 64);
    pv_dh_public(ret_sk, ret_pk);
}

void pv_dh_public(const uint8_t sk[static PV_DH_LEN], uint8_t ret_pk[static PV_DH_LEN])
{
    /* Fails for no secret: the base point has no small-order multiple by a clamped scalar. */
    (void)crypto_scalarmult_base(ret_pk, sk);
}

/* An all-zero result means a public key of small order, which would make the secret known to
 * everybody (RFC 7748 s6.1); the check is in constant time like the multiplication. */
int pv_dh(uint8_t ret_shared[static PV_DH_LEN], const uint8_t sk[static PV_DH_LEN],
          const uint8_t pk[static PV_DH_LEN])
{
    uint8_t shared[PV_DH_LEN];
    int r = crypto_scalarmult(shared, sk, pk);
    if (r != 0 || pv_ct_is_zero(shared, sizeof(shared))) {
        pv_wipe(shared, sizeof(shared));
        return PV_ERR_AUTH;
    }
    for (size_t i = 0; i < sizeof(shared); i++)
        ret_shared[i] = shared[i];
    pv_wipe(shared, sizeof(shared));
    return PV_OK;
}
