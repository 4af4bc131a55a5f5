/* SPDX-License-Identifier: MIT */
/*
 * aead_boringssl.c - BoringSSL's AEADs behind the batch interface (docs/adr/0121). All threads use
 * one prepared key, which nothing changes.
 */
#ifdef PV_HAVE_BORINGSSL

#include <openssl/aead.h>

#include "crypto/provider.h"

int pv_aead_boringssl_key_new(void **ret_key, enum pv_suite suite,
                              const uint8_t key[static PV_AEAD_KEY_LEN])
{
    *ret_key = EVP_AEAD_CTX_new(suite == PV_SUITE_AES ? EVP_aead_aes_256_gcm()
                                                      : EVP_aead_chacha20_poly1305(),
                                key, PV_AEAD_KEY_LEN, PV_AEAD_TAG_LEN);
    return *ret_key == NULL ? PV_ERR_NOMEM : PV_OK;
}

void pv_aead_boringssl_key_free(void *key)
{
    EVP_AEAD_CTX_free(key);
}

static void boring_seal(void *state, struct pv_aead_op *ops, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct pv_aead_op *op = &ops[i];
        uint8_t nonce[PV_AEAD_NONCE_LEN];
        size_t len;
        pv_aead_nonce(op->aead->suite, op->counter, nonce);
        int ok = EVP_AEAD_CTX_seal(op->aead->boringssl, op->data, &len, op->len + PV_AEAD_TAG_LEN,
                                   nonce, sizeof(nonce), op->data, op->len, NULL, 0);
        op->status = ok == 1 ? PV_OK : PV_ERR_CRYPTO;
    }
}

static int boring_open_one(const struct pv_aead_op *op)
{
    uint8_t nonce[PV_AEAD_NONCE_LEN];
    size_t len;
    if (op->len < PV_AEAD_TAG_LEN)
        return PV_ERR_AUTH;
    pv_aead_nonce(op->aead->suite, op->counter, nonce);
    /* The library erases a forged packet that it has decrypted. */
    if (EVP_AEAD_CTX_open(op->aead->boringssl, op->data, &len, op->len - PV_AEAD_TAG_LEN, nonce,
                          sizeof(nonce), op->data, op->len, NULL, 0) != 1)
        return PV_ERR_AUTH;
    return PV_OK;
}

static void boring_open(void *state, struct pv_aead_op *ops, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ops[i].status = boring_open_one(&ops[i]);
}

static const char *boring_version(void)
{
    return PV_BORINGSSL_VERSION;
}

const struct pv_aead_provider pv_aead_boringssl = {
    .name = "boringssl",
    .version = boring_version,
    .seal = boring_seal,
    .open = boring_open,
};

#else

/* Not built: C wants something in every file. */
typedef int pv_aead_no_boringssl;

#endif
