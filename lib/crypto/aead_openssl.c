/* SPDX-License-Identifier: MIT */
/*
 * aead_openssl.c - OpenSSL behind the batch interface, AES-256-GCM of single messages, and
 * ChaCha20-Poly1305 of long ones. It runs on every processor, so it is the provider of last resort,
 * and the one of a program that was built without BoringSSL. A context is keyed once per key and
 * thread; setting the nonce is all that a packet costs besides the cipher.
 */
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "crypto/provider.h"

enum {
    DATA_MAX = 65536 + PV_AEAD_TAG_LEN, /* bytes; no datagram is larger, EVP counts in int */
};

static const EVP_CIPHER *cipher_of(enum pv_suite suite)
{
    return suite == PV_SUITE_AES ? EVP_aes_256_gcm() : EVP_chacha20_poly1305();
}

/* One context a key, keyed once: a packet sets only the nonce. NULL when OpenSSL fails. */
static EVP_CIPHER_CTX *key_new(enum pv_suite suite, const uint8_t key[static PV_AEAD_KEY_LEN])
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (ctx != NULL && EVP_CipherInit_ex(ctx, cipher_of(suite), NULL, key, NULL, 1) == 1)
        return ctx;
    EVP_CIPHER_CTX_free(ctx);
    return NULL;
}

void pv_aead_openssl_key_free(void *key)
{
    EVP_CIPHER_CTX_free(key);
}

/* The key's context of this thread, ready for the packet; NULL when OpenSSL fails. It is made with
 * the first packet, since most keys are used by one thread, and by another library. */
static EVP_CIPHER_CTX *evp_start(const struct pv_aead_op *op, int encrypt)
{
    void **ctx = &op->aead->openssl[op->thread];
    uint8_t nonce[PV_AEAD_NONCE_LEN];
    if (*ctx == NULL)
        *ctx = key_new(op->aead->suite, op->aead->key);
    if (*ctx == NULL)
        return NULL;
    pv_aead_nonce(op->aead->suite, op->counter, nonce);
    return EVP_CipherInit_ex(*ctx, NULL, NULL, NULL, nonce, encrypt) == 1 ? *ctx : NULL;
}

static int evp_seal_one(const struct pv_aead_op *op)
{
    EVP_CIPHER_CTX *ctx = op->len > DATA_MAX - PV_AEAD_TAG_LEN ? NULL : evp_start(op, 1);
    int n = 0;
    if (ctx == NULL)
        return PV_ERR_CRYPTO;
    /* A NULL or empty update means something else to EVP: a keepalive has only the tag. */
    if (op->len > 0 && EVP_CipherUpdate(ctx, op->data, &n, op->data, (int)op->len) != 1)
        return PV_ERR_CRYPTO;
    if (EVP_CipherFinal_ex(ctx, op->data + op->len, &n) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, PV_AEAD_TAG_LEN, op->data + op->len) != 1)
        return PV_ERR_CRYPTO;
    return PV_OK;
}

static int evp_open_one(const struct pv_aead_op *op)
{
    int n = 0;
    if (op->len < PV_AEAD_TAG_LEN)
        return PV_ERR_AUTH;
    EVP_CIPHER_CTX *ctx = op->len > DATA_MAX ? NULL : evp_start(op, 0);
    size_t len = op->len - PV_AEAD_TAG_LEN;
    if (ctx == NULL ||
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

/* --- one message ---------------------------------------------------------------------------- */

/* A new context for one message, keyed, under its nonce and with its associated data taken in; NULL
 * when OpenSSL fails. The caller frees it. */
static EVP_CIPHER_CTX *evp_begin(enum pv_suite suite, const uint8_t *key, uint64_t counter,
                                 struct pv_view ad, int encrypt)
{
    uint8_t nonce[PV_AEAD_NONCE_LEN];
    int n = 0;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    pv_aead_nonce(suite, counter, nonce);
    if (ctx != NULL && EVP_CipherInit_ex(ctx, cipher_of(suite), NULL, key, nonce, encrypt) == 1 &&
        (ad.len == 0 || EVP_CipherUpdate(ctx, NULL, &n, ad.ptr, (int)ad.len) == 1))
        return ctx;
    EVP_CIPHER_CTX_free(ctx);
    return NULL;
}

/* A batch that failed in the middle becomes zeros: no plaintext leaves, and no receiver takes zeros
 * for genuine. */
static void evp_seal_all(EVP_CIPHER_CTX *ctx, uint8_t *ct, struct pv_view pt)
{
    int n = 0;
    bool ok = ctx != NULL &&
              (pt.len == 0 || EVP_CipherUpdate(ctx, ct, &n, pt.ptr, (int)pt.len) == 1) &&
              EVP_CipherFinal_ex(ctx, ct + pt.len, &n) == 1 &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, PV_AEAD_TAG_LEN, ct + pt.len) == 1;
    EVP_CIPHER_CTX_free(ctx);
    if (!ok)
        memset(ct, 0, pt.len + PV_AEAD_TAG_LEN);
}

static int evp_open_all(EVP_CIPHER_CTX *ctx, uint8_t *pt, struct pv_view ct)
{
    uint8_t tag[PV_AEAD_TAG_LEN];
    int n = 0;
    size_t len = ct.len - PV_AEAD_TAG_LEN;
    memcpy(tag, ct.ptr + len, sizeof(tag));
    bool ok = ctx != NULL &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, PV_AEAD_TAG_LEN, tag) == 1 &&
              (len == 0 || EVP_CipherUpdate(ctx, pt, &n, ct.ptr, (int)len) == 1) &&
              EVP_CipherFinal_ex(ctx, pt + len, &n) == 1;
    EVP_CIPHER_CTX_free(ctx);
    if (!ok && len > 0)
        memset(pt, 0, len); /* EVP decrypts before it knows the tag */
    return ok ? PV_OK : PV_ERR_AUTH;
}

/* Handshakes, the only callers, are repeated when memory was short. */
void pv_gcm_seal(uint8_t *ct, const uint8_t key[static PV_AEAD_KEY_LEN], uint64_t counter,
                 struct pv_view ad, struct pv_view pt)
{
    evp_seal_all(evp_begin(PV_SUITE_AES, key, counter, ad, 1), ct, pt);
}

int pv_gcm_open(uint8_t *pt, const uint8_t key[static PV_AEAD_KEY_LEN], uint64_t counter,
                struct pv_view ad, struct pv_view ct)
{
    if (ct.len < PV_AEAD_TAG_LEN || ct.len > DATA_MAX || ad.len > DATA_MAX)
        return PV_ERR_AUTH;
    return evp_open_all(evp_begin(PV_SUITE_AES, key, counter, ad, 0), pt, ct);
}

bool pv_aead_openssl_seal(uint8_t *ct, const uint8_t *key, uint64_t counter, struct pv_view ad,
                          struct pv_view pt)
{
    EVP_CIPHER_CTX *ctx = pt.len > DATA_MAX - PV_AEAD_TAG_LEN || ad.len > DATA_MAX
                              ? NULL
                              : evp_begin(PV_SUITE_CHACHA, key, counter, ad, 1);
    if (ctx == NULL)
        return false;
    evp_seal_all(ctx, ct, pt);
    return true;
}

bool pv_aead_openssl_open(uint8_t *pt, const uint8_t *key, uint64_t counter, struct pv_view ad,
                          struct pv_view ct, int *ret_status)
{
    EVP_CIPHER_CTX *ctx = ct.len > DATA_MAX || ad.len > DATA_MAX
                              ? NULL
                              : evp_begin(PV_SUITE_CHACHA, key, counter, ad, 0);
    if (ctx == NULL)
        return false;
    *ret_status = evp_open_all(ctx, pt, ct);
    return true;
}

/* --- batches -------------------------------------------------------------------------------- */

static void evp_seal(void *state, struct pv_aead_op *ops, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ops[i].status = evp_seal_one(&ops[i]);
}

static void evp_open(void *state, struct pv_aead_op *ops, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ops[i].status = evp_open_one(&ops[i]);
}

static const char *evp_version(void)
{
    return OpenSSL_version(OPENSSL_VERSION_STRING);
}

const struct pv_aead_provider pv_aead_openssl = {
    .name = "openssl",
    .version = evp_version,
    .seal = evp_seal,
    .open = evp_open,
};
