/* SPDX-License-Identifier: MIT */
/*
 * provider.h - the seam between the batch AEAD interface and the libraries that do the work.
 *
 * Inside lib/crypto and its tests only. A provider fills one const table; pv_aead_engine_new()
 * chooses it, so that callers never know which one runs and a test may run two side by side.
 */
#pragma once

#include <string.h>

#include "base/bytes.h"
#include "crypto/aead.h"

struct pv_aead_provider {
    const char *name;
    const char *(*version)(void); /* of the library, such as "3.0.17" */
    /* Makes the state that a thread needs. PV_ERR_NOMEM; PV_ERR_CRYPTO: this processor cannot run
     * the suite, or the next provider is faster with it. NULL: no state is needed. */
    int (*state_new)(void **ret_state, enum pv_suite suite);
    void (*state_free)(void *state); /* wipes; not called with NULL */
    /* As pv_aead_seal_batch() and pv_aead_open_batch(). */
    void (*seal)(void *state, struct pv_aead_op *ops, size_t n);
    void (*open)(void *state, struct pv_aead_op *ops, size_t n);
};

struct pv_aead {
    enum pv_suite suite;
    uint8_t key[PV_AEAD_KEY_LEN];
    void *boringssl; /* EVP_AEAD_CTX, read only */
    void *ipsec_mb;  /* the expanded key of AES-GCM, read only; NULL where it is not used */
    /* EVP_CIPHER_CTX, which one thread at a time may use: its number's. Made with its first packet.
     */
    void *openssl[PV_AEAD_THREADS];
};

enum {
    PV_AEAD_NONCE_LEN = 12, /* bytes, both suites: RFC 8439 s2.3, SP 800-38D s8.2.1 */
};

/* The nonce of a suite: 4 zero bytes and the counter. */
static inline void pv_aead_nonce(enum pv_suite suite, uint64_t counter,
                                 uint8_t ret_nonce[static PV_AEAD_NONCE_LEN])
{
    memset(ret_nonce, 0, 4);
    if (suite == PV_SUITE_AES)
        pv_store_be64(ret_nonce + 4, counter);
    else
        pv_store_le64(ret_nonce + 4, counter);
}

struct pv_aead_engine {
    const struct pv_aead_provider *by_suite[PV_SUITES];
    void *states[PV_SUITES]; /* one where the provider is the same */
    char name[48];
};

/* In the order of preference, ending with NULL. */
extern const struct pv_aead_provider *const pv_aead_providers[];
extern const struct pv_aead_provider pv_aead_openssl;
#ifdef PV_HAVE_BORINGSSL
extern const struct pv_aead_provider pv_aead_boringssl;
#endif
#ifdef PV_HAVE_IPSEC_MB
extern const struct pv_aead_provider pv_aead_ipsec_mb;
#endif

/* The provider does this suite's work from now on. PV_ERR_NOMEM; PV_ERR_CRYPTO: it cannot run here,
 * or failed its test, and nothing changed. */
PV_MUST_CHECK int pv_aead_engine_take(struct pv_aead_engine *engine, enum pv_suite suite,
                                      const struct pv_aead_provider *provider);
/* An engine of this provider. For a suite that the provider refuses: an engine of the first
 * provider that can do the suite. PV_ERR_NOMEM; PV_ERR_CRYPTO: it refuses all suites. */
PV_MUST_CHECK int pv_aead_engine_of(struct pv_aead_engine **ret_engine,
                                    const struct pv_aead_provider *provider);

void pv_aead_openssl_key_free(void *key); /* aead_openssl.c; wipes; NULL is fine */

#ifdef PV_HAVE_BORINGSSL
/* aead_boringssl.c: the prepared form of a key. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_aead_boringssl_key_new(void **ret_key, enum pv_suite suite,
                                            const uint8_t key[static PV_AEAD_KEY_LEN]);
void pv_aead_boringssl_key_free(void *key); /* wipes; NULL is fine */
#endif

/* aead_openssl.c: ChaCha20-Poly1305 of one message, as pv_aead_seal() and pv_aead_open(). False:
 * OpenSSL cannot, and nothing was touched. */
PV_MUST_CHECK bool pv_aead_openssl_seal(uint8_t *ct, const uint8_t *key, uint64_t counter,
                                        struct pv_view ad, struct pv_view pt);
PV_MUST_CHECK bool pv_aead_openssl_open(uint8_t *pt, const uint8_t *key, uint64_t counter,
                                        struct pv_view ad, struct pv_view ct, int *ret_status);

#ifdef PV_HAVE_IPSEC_MB
/* aead_ipsec_mb.c: AES-256-GCM's expanded key in *ret_key, or NULL: this processor does not use the
 * library. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_aead_ipsec_mb_key_new(void **ret_key,
                                           const uint8_t key[static PV_AEAD_KEY_LEN]);
void pv_aead_ipsec_mb_key_free(void *key); /* wipes; NULL is fine */
#endif
