/* SPDX-License-Identifier: MIT */
/*
 * kem.c - ML-KEM-768 of the library that the build found (CMakeLists.txt): OpenSSL, whose code uses
 * the processor's vectors, before libsodium; without both there is none.
 */
#include "crypto/kem.h"

#if defined(PV_HAVE_MLKEM_OPENSSL)

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "crypto/ct.h"

static const char NAME[] = "ML-KEM-768";

/* The pair that seed is, or NULL. OpenSSL keeps the decapsulation key on its own heap and wipes it
 * when the key is freed. */
static EVP_PKEY *pair_of(const uint8_t seed[static PV_KEM_SEED_LEN])
{
    EVP_PKEY *key = NULL;
    uint8_t copy[PV_KEM_SEED_LEN]; /* parameters are not const */
    for (size_t i = 0; i < sizeof(copy); i++)
        copy[i] = seed[i];
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_ML_KEM_SEED, copy, sizeof(copy)),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, NAME, NULL);
    if (ctx == NULL || EVP_PKEY_keygen_init(ctx) <= 0 ||
        EVP_PKEY_CTX_set_params(ctx, params) <= 0 || EVP_PKEY_generate(ctx, &key) <= 0)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    pv_wipe(copy, sizeof(copy));
    return key;
}

static int keypair(const uint8_t seed[static PV_KEM_SEED_LEN], uint8_t ret_ek[static PV_KEM_EK_LEN])
{
    size_t len = 0;
    EVP_PKEY *key = pair_of(seed);
    bool ok = key != NULL &&
              EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, ret_ek, PV_KEM_EK_LEN,
                                              &len) > 0 &&
              len == PV_KEM_EK_LEN;
    EVP_PKEY_free(key);
    return ok ? PV_OK : PV_ERR_CRYPTO;
}

/* The key of somebody else; OpenSSL checks its length and its coefficients. */
static int import_ek(struct pv_view ek, EVP_PKEY **ret_key)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, NAME, NULL);
    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) <= 0) {
        EVP_PKEY_CTX_free(ctx);
        return PV_ERR_CRYPTO;
    }
    uint8_t copy[PV_KEM_EK_LEN];
    for (size_t i = 0; i < sizeof(copy); i++)
        copy[i] = ek.ptr[i];
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, copy, sizeof(copy)),
        OSSL_PARAM_construct_end(),
    };
    *ret_key = NULL;
    bool ok = EVP_PKEY_fromdata(ctx, ret_key, EVP_PKEY_PUBLIC_KEY, params) > 0;
    EVP_PKEY_CTX_free(ctx);
    return ok ? PV_OK : PV_ERR_MALFORMED;
}

static int encapsulate(struct pv_view ek, const uint8_t random[static PV_KEM_RANDOM_LEN],
                       uint8_t ret_ct[static PV_KEM_CT_LEN],
                       uint8_t ret_secret[static PV_KEM_SECRET_LEN])
{
    EVP_PKEY *key;
    if (ek.len != PV_KEM_EK_LEN)
        return PV_ERR_MALFORMED;
    int r = import_ek(ek, &key);
    if (r != PV_OK)
        return r;
    uint8_t m[PV_KEM_RANDOM_LEN];
    for (size_t i = 0; i < sizeof(m); i++)
        m[i] = random[i];
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_KEM_PARAM_IKME, m, sizeof(m)),
        OSSL_PARAM_construct_end(),
    };
    size_t ct_len = PV_KEM_CT_LEN, secret_len = PV_KEM_SECRET_LEN;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    bool ok = ctx != NULL && EVP_PKEY_encapsulate_init(ctx, params) > 0 &&
              EVP_PKEY_encapsulate(ctx, ret_ct, &ct_len, ret_secret, &secret_len) > 0 &&
              ct_len == PV_KEM_CT_LEN && secret_len == PV_KEM_SECRET_LEN;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    pv_wipe(m, sizeof(m));
    return ok ? PV_OK : PV_ERR_CRYPTO;
}

static int decapsulate(const uint8_t seed[static PV_KEM_SEED_LEN], struct pv_view ct,
                       uint8_t ret_secret[static PV_KEM_SECRET_LEN])
{
    if (ct.len != PV_KEM_CT_LEN)
        return PV_ERR_MALFORMED;
    size_t len = PV_KEM_SECRET_LEN;
    EVP_PKEY *key = pair_of(seed);
    EVP_PKEY_CTX *ctx = key == NULL ? NULL : EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    bool ok = ctx != NULL && EVP_PKEY_decapsulate_init(ctx, NULL) > 0 &&
              EVP_PKEY_decapsulate(ctx, ret_secret, &len, ct.ptr, ct.len) > 0 &&
              len == PV_KEM_SECRET_LEN;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    return ok ? PV_OK : PV_ERR_CRYPTO;
}

/* At run time the library may be another one than at build time, or configured without it. */
static bool is_given(void)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, NAME, NULL);
    EVP_PKEY_CTX_free(ctx);
    return ctx != NULL;
}

static const char REFUSED[] = "OpenSSL has no ML-KEM-768 as it is configured here";

#elif defined(PV_HAVE_MLKEM_SODIUM)

#include <sodium.h>

#include "crypto/ct.h"

static int keypair(const uint8_t seed[static PV_KEM_SEED_LEN], uint8_t ret_ek[static PV_KEM_EK_LEN])
{
    uint8_t dk[crypto_kem_mlkem768_SECRETKEYBYTES];
    int r = crypto_kem_mlkem768_seed_keypair(ret_ek, dk, seed);
    pv_wipe(dk, sizeof(dk));
    return r == 0 ? PV_OK : PV_ERR_CRYPTO;
}

static int encapsulate(struct pv_view ek, const uint8_t random[static PV_KEM_RANDOM_LEN],
                       uint8_t ret_ct[static PV_KEM_CT_LEN],
                       uint8_t ret_secret[static PV_KEM_SECRET_LEN])
{
    if (ek.len != PV_KEM_EK_LEN)
        return PV_ERR_MALFORMED;
    int r = crypto_kem_mlkem768_enc_deterministic(ret_ct, ret_secret, ek.ptr, random);
    return r == 0 ? PV_OK : PV_ERR_MALFORMED;
}

static int decapsulate(const uint8_t seed[static PV_KEM_SEED_LEN], struct pv_view ct,
                       uint8_t ret_secret[static PV_KEM_SECRET_LEN])
{
    uint8_t ek[PV_KEM_EK_LEN], dk[crypto_kem_mlkem768_SECRETKEYBYTES];
    if (ct.len != PV_KEM_CT_LEN)
        return PV_ERR_MALFORMED;
    int r = crypto_kem_mlkem768_seed_keypair(ek, dk, seed);
    if (r == 0)
        r = crypto_kem_mlkem768_dec(ret_secret, ct.ptr, dk);
    pv_wipe(dk, sizeof(dk));
    return r == 0 ? PV_OK : PV_ERR_CRYPTO;
}

static bool is_given(void)
{
    return true;
}

static const char REFUSED[] = "";

#endif

#if defined(PV_HAVE_MLKEM_OPENSSL) || defined(PV_HAVE_MLKEM_SODIUM)

const struct pv_kem *pv_kem_mlkem768(void)
{
    static const struct pv_kem kem = {
        .name = "ml-kem-768",
        .keypair = keypair,
        .encapsulate = encapsulate,
        .decapsulate = decapsulate,
    };
    return is_given() ? &kem : NULL;
}

const char *pv_kem_why_not(void)
{
    return is_given() ? "" : REFUSED;
}

#else

const struct pv_kem *pv_kem_mlkem768(void)
{
    return NULL;
}

const char *pv_kem_why_not(void)
{
    return "this p2pvpnd was built without ML-KEM-768: it needs OpenSSL 3.5 or libsodium 1.0.22";
}

#endif
