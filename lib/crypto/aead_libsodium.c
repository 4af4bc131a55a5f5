/* SPDX-License-Identifier: MIT */
/*
 * aead_libsodium.c - libsodium's ChaCha20-Poly1305 behind the batch interface. Its AES-GCM expands
 * the key for each packet and is left out.
 */
#include <sodium.h>

#include "crypto/provider.h"

static void sodium_seal(void *state, struct pv_aead_op *ops, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct pv_aead_op *op = &ops[i];
        uint8_t nonce[PV_AEAD_NONCE_LEN];
        op->status = op->aead->suite == PV_SUITE_CHACHA ? PV_OK : PV_ERR_CRYPTO;
        pv_aead_nonce(PV_SUITE_CHACHA, op->counter, nonce);
        if (op->status == PV_OK)
            (void)crypto_aead_chacha20poly1305_ietf_encrypt(op->data, NULL, op->data, op->len, NULL,
                                                            0, NULL, nonce, op->aead->key);
    }
}

static void sodium_open(void *state, struct pv_aead_op *ops, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct pv_aead_op *op = &ops[i];
        uint8_t nonce[PV_AEAD_NONCE_LEN];
        op->status = op->aead->suite != PV_SUITE_CHACHA ? PV_ERR_CRYPTO
                     : op->len < PV_AEAD_TAG_LEN        ? PV_ERR_AUTH
                                                        : PV_OK;
        pv_aead_nonce(PV_SUITE_CHACHA, op->counter, nonce);
        if (op->status == PV_OK &&
            crypto_aead_chacha20poly1305_ietf_decrypt(op->data, NULL, NULL, op->data, op->len, NULL,
                                                      0, nonce, op->aead->key) != 0) {
            memset(op->data, 0, op->len - PV_AEAD_TAG_LEN);
            op->status = PV_ERR_AUTH;
        }
    }
}

const struct pv_aead_provider pv_aead_libsodium = {
    .name = "libsodium",
    .version = sodium_version_string,
    .seal = sodium_seal,
    .open = sodium_open,
};
