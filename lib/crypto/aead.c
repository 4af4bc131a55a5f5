/* SPDX-License-Identifier: MIT */
/*
 * aead.c - authenticated encryption of single messages.
 */
#include "crypto/aead.h"

#include <sodium.h>
#if defined(__aarch64__) || defined(__arm__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include "crypto/provider.h"

const char *pv_suite_name(enum pv_suite suite)
{
    return suite == PV_SUITE_AES ? "aes-256-gcm" : "chacha20-poly1305";
}

bool pv_suite_aes_is_fast(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
#elif defined(__aarch64__)
    /* Asked at run time: distributions build for processors with and without these instructions. */
    const unsigned long needed = HWCAP_AES | HWCAP_PMULL;
    return (getauxval(AT_HWCAP) & needed) == needed;
#elif defined(__arm__)
    const unsigned long needed = HWCAP2_AES | HWCAP2_PMULL;
    return (getauxval(AT_HWCAP2) & needed) == needed;
#else
    return false;
#endif
}

enum {
    LONG_MESSAGE = 2048, /* ours: bytes from which on OpenSSL is faster, its context included */
};

/* A page of statements takes OpenSSL a fifth of libsodium's time (60 KB: 18 and 87 us), a short
 * message is libsodium's, which needs no memory. Its return value says nothing here: sealing cannot
 * fail for lengths that fit a datagram. */
void pv_aead_seal(uint8_t *ct, const uint8_t key[static PV_AEAD_KEY_LEN], uint64_t counter,
                  struct pv_view ad, struct pv_view pt)
{
    uint8_t nonce[PV_AEAD_NONCE_LEN];
    if (pt.len >= LONG_MESSAGE && pv_aead_openssl_seal(ct, key, counter, ad, pt))
        return;
    pv_aead_nonce(PV_SUITE_CHACHA, counter, nonce);
    (void)crypto_aead_chacha20poly1305_ietf_encrypt(ct, NULL, pt.ptr, pt.len, ad.ptr, ad.len, NULL,
                                                    nonce, key);
}

int pv_aead_open(uint8_t *pt, const uint8_t key[static PV_AEAD_KEY_LEN], uint64_t counter,
                 struct pv_view ad, struct pv_view ct)
{
    uint8_t nonce[PV_AEAD_NONCE_LEN];
    int r = PV_OK;
    if (ct.len < PV_AEAD_TAG_LEN)
        return PV_ERR_AUTH;
    if (ct.len >= LONG_MESSAGE && pv_aead_openssl_open(pt, key, counter, ad, ct, &r))
        return r;
    pv_aead_nonce(PV_SUITE_CHACHA, counter, nonce);
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
