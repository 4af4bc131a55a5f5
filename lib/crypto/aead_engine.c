/* SPDX-License-Identifier: MIT */
/*
 * aead_engine.c - prepared keys, and the engines that work on batches: apart from aead.c, so that a
 * program without packets has none of their libraries. An engine has to pass a trial before it is
 * used: a library that miscompiles or meets a broken processor must not encrypt with something else
 * than the cipher, or accept what it should refuse.
 */
#include <stdio.h>
#include <stdlib.h>

#include "crypto/ct.h"
#include "crypto/provider.h"

int pv_aead_new(struct pv_aead **ret_aead, enum pv_suite suite,
                const uint8_t key[static PV_AEAD_KEY_LEN])
{
    struct pv_aead *aead = calloc(1, sizeof(*aead));
    if (aead == NULL)
        return PV_ERR_NOMEM;
    aead->suite = suite;
    memcpy(aead->key, key, PV_AEAD_KEY_LEN);
    int r = PV_OK;
#ifdef PV_HAVE_BORINGSSL
    r = pv_aead_boringssl_key_new(&aead->boringssl, suite, key);
#endif
#ifdef PV_HAVE_IPSEC_MB
    if (r == PV_OK && suite == PV_SUITE_AES)
        r = pv_aead_ipsec_mb_key_new(&aead->ipsec_mb, key);
#endif
    if (r < 0)
        pv_aead_free(aead);
    else
        *ret_aead = aead;
    return r;
}

struct pv_aead *pv_aead_free(struct pv_aead *aead)
{
    if (aead == NULL)
        return NULL;
    for (size_t i = 0; i < PV_AEAD_THREADS; i++)
        pv_aead_openssl_key_free(aead->openssl[i]);
#ifdef PV_HAVE_BORINGSSL
    pv_aead_boringssl_key_free(aead->boringssl);
#endif
#ifdef PV_HAVE_IPSEC_MB
    pv_aead_ipsec_mb_key_free(aead->ipsec_mb);
#endif
    pv_wipe(aead->key, sizeof(aead->key));
    free(aead);
    return NULL;
}

/* --- engines ------------------------------------------------------------------------------- */

enum {
    TRIAL_MAX = 1500, /* ours: bytes, a full Ethernet frame */
};

/* Seals with another library, for comparison: libsodium for ChaCha20-Poly1305; for AES-GCM
 * OpenSSL's calls for one message, as libsodium has AES-GCM on some processors only. */
static void seal_known(const struct pv_aead *key, uint8_t *ct, uint64_t counter, struct pv_view pt)
{
    if (key->suite == PV_SUITE_AES)
        pv_gcm_seal(ct, key->key, counter, pv_view(NULL, 0), pt);
    else
        pv_aead_seal(ct, key->key, counter, pv_view(NULL, 0), pt);
}

/* Checks that the engine seals as the other library does, opens that again, and refuses a changed
 * packet. The last check matters most: an engine that never checks the tag would pass the first
 * two. */
static bool passes_one_trial(struct pv_aead_engine *e, struct pv_aead *key, size_t len)
{
    uint8_t data[TRIAL_MAX + PV_AEAD_TAG_LEN], plain[TRIAL_MAX], want[sizeof(data)];
    struct pv_aead_op op = {
        .aead = key, .counter = 0x0102030405060708u + len, .data = data, .len = len};
    for (size_t i = 0; i < len; i++)
        plain[i] = (uint8_t)(i * 37 + len);
    memcpy(data, plain, len);
    seal_known(key, want, op.counter, pv_view(plain, len));
    pv_aead_seal_batch(e, &op, 1);
    op.len += PV_AEAD_TAG_LEN;
    if (op.status != PV_OK || memcmp(data, want, op.len) != 0)
        return false;
    pv_aead_open_batch(e, &op, 1);
    if (op.status != PV_OK || memcmp(data, plain, len) != 0)
        return false;
    memcpy(data, want, op.len);
    data[op.len - 1 - len / 2] ^= 0x10;
    pv_aead_open_batch(e, &op, 1);
    return op.status == PV_ERR_AUTH && pv_ct_is_zero(data, len);
}

/* Lengths around the block sizes that implementations treat apart. */
static bool passes_trial(struct pv_aead_engine *e, enum pv_suite suite)
{
    static const size_t lens[] = {0,   1,   15,  16,  17,  63,  64,   65,   127,  128,
                                  129, 255, 256, 257, 511, 512, 1023, 1024, 1420, TRIAL_MAX};
    static const uint8_t key[PV_AEAD_KEY_LEN] = {0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87};
    struct pv_aead *aead = NULL;
    bool good = pv_aead_new(&aead, suite, key) == PV_OK;
    for (size_t i = 0; good && i < PV_ARRAY_LEN(lens); i++)
        good = passes_one_trial(e, aead, lens[i]);
    pv_aead_free(aead);
    return good;
}

static const struct pv_aead_provider *other_of(const struct pv_aead_engine *e, enum pv_suite suite,
                                               void **ret_state)
{
    enum pv_suite other = suite == PV_SUITE_AES ? PV_SUITE_CHACHA : PV_SUITE_AES;
    *ret_state = e->states[other];
    return e->by_suite[other];
}

static void free_state(const struct pv_aead_provider *provider, void *state)
{
    if (state != NULL)
        provider->state_free(state);
}

static void set_name(struct pv_aead_engine *e)
{
    const struct pv_aead_provider *chacha = e->by_suite[PV_SUITE_CHACHA];
    const struct pv_aead_provider *aes = e->by_suite[PV_SUITE_AES];
    if (chacha == NULL || aes == NULL || chacha == aes)
        snprintf(e->name, sizeof(e->name), "%s", (chacha == NULL ? aes : chacha)->name);
    else
        snprintf(e->name, sizeof(e->name), "%s, %s", chacha->name, aes->name);
}

int pv_aead_engine_take(struct pv_aead_engine *e, enum pv_suite suite,
                        const struct pv_aead_provider *provider)
{
    void *state = NULL, *other;
    const bool shared = other_of(e, suite, &other) == provider;
    const struct pv_aead_provider *old = e->by_suite[suite];
    void *old_state = e->states[suite];
    int r = PV_OK;
    if (shared)
        state = other;
    else if (provider->state_new != NULL)
        r = provider->state_new(&state, suite);
    if (r != PV_OK)
        return r;
    e->by_suite[suite] = provider;
    e->states[suite] = state;
    if (!passes_trial(e, suite)) {
        e->by_suite[suite] = old;
        e->states[suite] = old_state;
        if (!shared)
            free_state(provider, state);
        return PV_ERR_CRYPTO;
    }
    if (old != NULL && old_state != other)
        free_state(old, old_state);
    set_name(e);
    return PV_OK;
}

int pv_aead_engine_of(struct pv_aead_engine **ret_engine, const struct pv_aead_provider *provider)
{
    struct pv_aead_engine *e = NULL;
    int r = pv_aead_engine_new(&e), took = PV_ERR_CRYPTO;
    for (int suite = 0; r == PV_OK && suite < PV_SUITES; suite++) {
        r = pv_aead_engine_take(e, (enum pv_suite)suite, provider);
        took = r == PV_OK ? PV_OK : took;
        r = r == PV_ERR_CRYPTO ? PV_OK : r;
    }
    r = r == PV_OK ? took : r;
    if (r < 0)
        pv_aead_engine_free(e);
    else
        *ret_engine = e;
    return r;
}

struct pv_aead_engine *pv_aead_engine_free(struct pv_aead_engine *engine)
{
    if (engine == NULL)
        return NULL;
    for (int suite = 0; suite < PV_SUITES; suite++) {
        if (suite == 0 || engine->states[suite] != engine->states[0])
            free_state(engine->by_suite[suite], engine->states[suite]);
    }
    free(engine);
    return NULL;
}

const char *pv_aead_engine_name(const struct pv_aead_engine *engine)
{
    return engine->name;
}

const char *pv_aead_engine_why_slow(const struct pv_aead_engine *engine)
{
#ifndef PV_HAVE_BORINGSSL
    return "this program was built without BoringSSL";
#elif defined(__x86_64__) && !defined(PV_HAVE_IPSEC_MB)
    return "this program was built without IPsec-MB";
#else
    for (int suite = 0; suite < PV_SUITES; suite++) {
        if (engine->by_suite[suite] == &pv_aead_openssl)
            return "the test of BoringSSL failed";
    }
    return NULL;
#endif
}

/* Nearly always one run: the keys of a batch are of one suite. */
static size_t run_of(const struct pv_aead_op *ops, size_t n)
{
    size_t k = 1;
    while (k < n && ops[k].aead->suite == ops[0].aead->suite)
        k++;
    return k;
}

void pv_aead_seal_batch(struct pv_aead_engine *engine, struct pv_aead_op *ops, size_t n)
{
    for (size_t i = 0, k; i < n; i += k) {
        const enum pv_suite suite = ops[i].aead->suite;
        k = run_of(ops + i, n - i);
        engine->by_suite[suite]->seal(engine->states[suite], ops + i, k);
    }
}

void pv_aead_open_batch(struct pv_aead_engine *engine, struct pv_aead_op *ops, size_t n)
{
    for (size_t i = 0, k; i < n; i += k) {
        const enum pv_suite suite = ops[i].aead->suite;
        k = run_of(ops + i, n - i);
        engine->by_suite[suite]->open(engine->states[suite], ops + i, k);
    }
}
