/* SPDX-License-Identifier: MIT */
#include <string.h>

#include <openssl/evp.h>

#include "base/bytes.h"
#include "crypto/ct.h"
#include "crypto/provider.h"

enum {
    NONCE_LEN = 12,
    DATA_MAX = 65536 + PV_AEAD_TAG_LEN, /* bytes; no datagram is larger, EVP counts in int */
};

/* One context a key, keyed once: a packet sets only the nonce. */
int pv_aead_openssl_key_new(void **ret_key, const uint8_t key[static PV_AEAD_KEY_LEN])
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (ctx == NULL)
        return PV_ERR_NOMEM;
    if (EVP_CipherInit_ex(ctx, EVP_chacha20_poly1305(), NULL, key, NULL, 1) != 1) {
        EVP_CIPHER_CTX_free(ctx);
        return PV_ERR_CRYPTO;
    }
    *ret_key = ctx;
    return PV_OK;
}

void pv_aead_openssl_key_free(void *key)
{
    EVP_CIPHER_CTX_free(key);
}

static bool start(EVP_CIPHER_CTX *ctx, uint64_t counter, int encrypt)
{
    uint8_t nonce[NONCE_LEN] = {0};
    pv_store_le64(nonce + 4, counter);
    return EVP_CipherInit_ex(ctx, NULL, NULL, NULL, nonce, encrypt) == 1;
}

static int seal_one(const struct pv_aead_op *op)
{
    EVP_CIPHER_CTX *ctx = op->aead->openssl;
    int n = 0;
    if (op->len > DATA_MAX - PV_AEAD_TAG_LEN || !start(ctx, op->counter, 1))
        return PV_ERR_CRYPTO;
    /* A NULL or empty update means something else to EVP: a keepalive has only the tag. */
    if (op->len > 0 && EVP_CipherUpdate(ctx, op->data, &n, op->data, (int)op->len) != 1)
        return PV_ERR_CRYPTO;
    if (EVP_CipherFinal_ex(ctx, op->data + op->len, &n) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, PV_AEAD_TAG_LEN, op->data + op->len) != 1)
        return PV_ERR_CRYPTO;
    return PV_OK;
}

static int open_one(const struct pv_aead_op *op)
{
    EVP_CIPHER_CTX *ctx = op->aead->openssl;
    int n = 0;
    if (op->len < PV_AEAD_TAG_LEN)
        return PV_ERR_AUTH;
    size_t len = op->len - PV_AEAD_TAG_LEN;
    if (op->len > DATA_MAX || !start(ctx, op->counter, 0) ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, PV_AEAD_TAG_LEN, op->data + len) != 1)
        return PV_ERR_CRYPTO;
    if (len > 0 && EVP_CipherUpdate(ctx, op->data, &n, op->data, (int)len) != 1)
        return PV_ERR_CRYPTO;
    if (EVP_CipherFinal_ex(ctx, op->data + len, &n) != 1) {
        memset(op->data, 0, len); /* EVP decrypts before it knows the tag */
        return PV_ERR_AUTH;
    }
    return PV_OK;
}

static void seal(void *state, struct pv_aead_op *ops, size_t n)
{
    (void)state;
    for (size_t i = 0; i < n; i++)
        ops[i].status = seal_one(&ops[i]);
}

static void open(void *state, struct pv_aead_op *ops, size_t n)
{
    (void)state;
    for (size_t i = 0; i < n; i++)
        ops[i].status = open_one(&ops[i]);
}

const struct pv_aead_provider pv_aead_openssl = {
    .name = "openssl",
    .seal = seal,
    .open = open,
};
