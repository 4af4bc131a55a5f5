/* SPDX-License-Identifier: MIT */
/*
 * sodium_kem.h - for tests only: crypto_kem_mlkem768_* of libsodium 1.0.22, as its documentation
 * has them (names, lengths, results), for the branch of lib/crypto/kem.c that uses them: no Debian
 * has that libsodium yet. Where the real one is there, this is empty. It rests on OpenSSL 3.5, by
 * other calls than kem.c's, and where that is missing, too, on the tests' double; then only the
 * branch's own code is tried.
 */
#ifndef PV_TEST_SODIUM_KEM_H
#define PV_TEST_SODIUM_KEM_H

#include <sodium.h>

#ifndef crypto_kem_mlkem768_SECRETKEYBYTES

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/opensslv.h>
#include <openssl/params.h>

#include "tests/unit/kem_double.h"

#define crypto_kem_mlkem768_PUBLICKEYBYTES    1184U
#define crypto_kem_mlkem768_SECRETKEYBYTES    2400U
#define crypto_kem_mlkem768_CIPHERTEXTBYTES   1088U
#define crypto_kem_mlkem768_SHAREDSECRETBYTES 32U
#define crypto_kem_mlkem768_SEEDBYTES         64U

#if OPENSSL_VERSION_NUMBER >= 0x30500000L

/* What crypto_kem_mlkem768_seed_keypair() gives as sk is the decapsulation key of FIPS 203. */
static int crypto_kem_mlkem768_seed_keypair(unsigned char *pk, unsigned char *sk,
                                            const unsigned char *seed)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "ML-KEM-768", NULL);
    EVP_PKEY *key = NULL;
    uint8_t copy[64];
    size_t pk_len = 0, sk_len = 0;
    memcpy(copy, seed, sizeof(copy));
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_ML_KEM_SEED, copy, sizeof(copy)),
        OSSL_PARAM_construct_end()};
    int ok =
        ctx != NULL && EVP_PKEY_fromdata_init(ctx) > 0 &&
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) > 0 &&
        EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, pk, 1184, &pk_len) > 0 &&
        EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PRIV_KEY, sk, 2400, &sk_len) > 0 &&
        pk_len == 1184 && sk_len == 2400;
    EVP_PKEY_free(key);
    EVP_PKEY_CTX_free(ctx);
    return ok ? 0 : -1;
}

static EVP_PKEY *sodium_kem_import(const char *what, const unsigned char *bytes, size_t len)
{
    static uint8_t copy[2400];
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "ML-KEM-768", NULL);
    EVP_PKEY *key = NULL;
    memcpy(copy, bytes, len);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(what, copy, len),
                           OSSL_PARAM_construct_end()};
    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) <= 0 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) <= 0)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    return key;
}

/* -1: a coefficient of pk is out of range. */
static int crypto_kem_mlkem768_enc_deterministic(unsigned char *ct, unsigned char *ss,
                                                 const unsigned char *pk, const unsigned char *seed)
{
    EVP_PKEY *key = sodium_kem_import(OSSL_PKEY_PARAM_PUB_KEY, pk, 1184);
    EVP_PKEY_CTX *ctx = key == NULL ? NULL : EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    uint8_t m[32];
    size_t ct_len = 1088, ss_len = 32;
    memcpy(m, seed, sizeof(m));
    OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(OSSL_KEM_PARAM_IKME, m, sizeof(m)),
                           OSSL_PARAM_construct_end()};
    int ok = ctx != NULL && EVP_PKEY_encapsulate_init(ctx, params) > 0 &&
             EVP_PKEY_encapsulate(ctx, ct, &ct_len, ss, &ss_len) > 0;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    return ok ? 0 : -1;
}

static int crypto_kem_mlkem768_dec(unsigned char *ss, const unsigned char *ct,
                                   const unsigned char *sk)
{
    EVP_PKEY *key = sodium_kem_import(OSSL_PKEY_PARAM_PRIV_KEY, sk, 2400);
    EVP_PKEY_CTX *ctx = key == NULL ? NULL : EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    size_t ss_len = 32;
    int ok = ctx != NULL && EVP_PKEY_decapsulate_init(ctx, NULL) > 0 &&
             EVP_PKEY_decapsulate(ctx, ss, &ss_len, ct, 1088) > 0;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    return ok ? 0 : -1;
}

#else

static int crypto_kem_mlkem768_seed_keypair(unsigned char *pk, unsigned char *sk,
                                            const unsigned char *seed)
{
    memset(sk, 0x5c, 2400);
    memcpy(sk, seed, 64);
    return kem_double_keypair(seed, pk) == PV_OK ? 0 : -1;
}

static int crypto_kem_mlkem768_enc_deterministic(unsigned char *ct, unsigned char *ss,
                                                 const unsigned char *pk, const unsigned char *seed)
{
    return kem_double_encapsulate(pv_view(pk, 1184), seed, ct, ss) == PV_OK ? 0 : -1;
}

static int crypto_kem_mlkem768_dec(unsigned char *ss, const unsigned char *ct,
                                   const unsigned char *sk)
{
    return kem_double_decapsulate(sk, pv_view(ct, 1088), ss) == PV_OK ? 0 : -1;
}

#endif
#endif /* crypto_kem_mlkem768_SECRETKEYBYTES */
#endif /* PV_TEST_SODIUM_KEM_H */
