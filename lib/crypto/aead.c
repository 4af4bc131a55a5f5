/* SPDX-License-Identifier: MIT */
#include "crypto/aead.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/bytes.h"
#include "crypto/ct.h"
#include "crypto/provider.h"

/* 4 zero bytes, counter little-endian (whitepaper s5.4.6, Noise s12.1). */
static void make_nonce(uint8_t nonce[static 12], uint64_t counter)
{
    memset(nonce, 0, 4);
    pv_store_le64(nonce + 4, counter);
}

void pv_aead_seal(uint8_t *ct, const uint8_t key[static PV_AEAD_KEY_LEN], uint64_t counter,
                  struct pv_view ad, struct pv_view pt)
{
    uint8_t nonce[12];
    make_nonce(nonce, counter);
    (void)crypto_aead_chacha20poly1305_ietf_encrypt(ct, NULL, pt.ptr, pt.len, ad.ptr, ad.len, NULL,
                                                    nonce, key);
}

int pv_aead_open(uint8_t *pt, const uint8_t key[static PV_AEAD_KEY_LEN], uint64_t counter,
                 struct pv_view ad, struct pv_view ct)
{
    uint8_t nonce[12];
    if (ct.len < PV_AEAD_TAG_LEN)
        return PV_ERR_AUTH;
    make_nonce(nonce, counter);
    if (crypto_aead_chacha20poly1305_ietf_decrypt(pt, NULL, NULL, ct.ptr, ct.len, ad.ptr, ad.len,
                                                  nonce, key) != 0)
        return PV_ERR_AUTH;
    return PV_OK;
}

void pv_xaead_seal(uint8_t *ct, const uint8_t key[static PV_AEAD_KEY_LEN],
                   const uint8_t nonce[static PV_XCHACHA_NONCE_LEN], struct pv_view ad,
                   struct pv_view pt)
{
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(ct, NULL, pt.ptr, pt.len, ad.ptr, ad.len, NULL,
                                                     nonce, key);
}

int pv_xaead_open(uint8_t *pt, const uint8_t key[static PV_AEAD_KEY_LEN],
                  const uint8_t nonce[static PV_XCHACHA_NONCE_LEN], struct pv_view ad,
                  struct pv_view ct)
{
    if (ct.len < PV_AEAD_TAG_LEN ||
        crypto_aead_xchacha20poly1305_ietf_decrypt(pt, NULL, NULL, ct.ptr, ct.len, ad.ptr, ad.len,
                                                   nonce, key) != 0)
        return PV_ERR_AUTH;
    return PV_OK;
}

int pv_aead_new(struct pv_aead **ret_aead, const uint8_t key[static PV_AEAD_KEY_LEN])
{
    struct pv_aead *aead = calloc(1, sizeof(*aead));
    if (aead == NULL)
        return PV_ERR_NOMEM;
    aead->provider = &pv_aead_openssl;
    int r = aead->provider->key_new(&aead->key, key);
    if (r < 0) {
        free(aead);
        return r;
    }
    *ret_aead = aead;
    return PV_OK;
}

struct pv_aead *pv_aead_free(struct pv_aead *aead)
{
    if (aead == NULL)
        return NULL;
    aead->provider->key_free(aead->key);
    free(aead);
    return NULL;
}

/* How many of the first ops share the first one's provider. */
static size_t run_length(const struct pv_aead_op *ops, size_t n)
{
    size_t run = 1;
    while (run < n && ops[run].aead->provider == ops[0].aead->provider)
        run++;
    return run;
}

void pv_aead_seal_batch(struct pv_aead_op *ops, size_t n)
{
    while (n > 0) {
        size_t run = run_length(ops, n);
        ops[0].aead->provider->seal(ops, run);
        ops += run;
        n -= run;
    }
}

void pv_aead_open_batch(struct pv_aead_op *ops, size_t n)
{
    while (n > 0) {
        size_t run = run_length(ops, n);
        ops[0].aead->provider->open(ops, run);
        ops += run;
        n -= run;
    }
}
