/* SPDX-License-Identifier: MIT */
/*
 * provider.h - the seam between the batch AEAD interface and the libraries that do the work.
 *
 * Inside lib/crypto only. A provider fills one const table; pv_aead_new() chooses it per key, so
 * that callers never know which one runs and a test may run two side by side.
 */
#ifndef PV_CRYPTO_PROVIDER_H
#define PV_CRYPTO_PROVIDER_H

#include "crypto/aead.h"

struct pv_aead_provider {
    const char *name;
    /* A prepared key. PV_ERR_CRYPTO, PV_ERR_NOMEM. */
    int (*key_new)(void **ret_key, const uint8_t key[static PV_AEAD_KEY_LEN]);
    void (*key_free)(void *key); /* wipes */
    /* As pv_aead_seal_batch() and pv_aead_open_batch(); every op's key is of this provider. */
    void (*seal)(struct pv_aead_op *ops, size_t n);
    void (*open)(struct pv_aead_op *ops, size_t n);
};

struct pv_aead {
    const struct pv_aead_provider *provider;
    void *key; /* the provider's */
};

extern const struct pv_aead_provider pv_aead_openssl;

#endif /* PV_CRYPTO_PROVIDER_H */
