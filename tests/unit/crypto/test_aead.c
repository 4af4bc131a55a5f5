/* SPDX-License-Identifier: MIT */
#include <pthread.h>

#include <sodium.h>

#include "base/bytes.h"
#include "crypto/aead.h"
#include "crypto/ct.h"
#include "crypto/provider.h"
#include "tests/unit/vectors.h"

static const struct pv_view NONE = {NULL, 0};

PV_TEST(one_message_matches_the_rfc)
{
    static const char file[] = "rfc8439_a5.txt";
    struct test_vector key = test_vector(file, "key"), nonce = test_vector(file, "nonce");
    struct test_vector ad = test_vector(file, "ad"), pt = test_vector(file, "plaintext");
    struct test_vector ct = test_vector(file, "ciphertext"), tag = test_vector(file, "tag");
    uint8_t out[512];
    uint64_t counter = pv_load_le64(nonce.ptr + 4);

    pv_aead_seal(out, key.ptr, counter, test_vector_view(&ad), test_vector_view(&pt));
    assert_memory_equal(out, ct.ptr, ct.len);
    assert_memory_equal(out + ct.len, tag.ptr, tag.len);
    struct pv_view sealed = pv_view(out, ct.len + tag.len);
    assert_ok(pv_aead_open(out, key.ptr, counter, test_vector_view(&ad), sealed));
    assert_memory_equal(out, pt.ptr, pt.len);
}

/* draft-irtf-cfrg-xchacha-03 appendix A.3.1. */
PV_TEST(xchacha_matches_the_draft)
{
    const char *text = test_given("the text of the RFC");
    const size_t len = strlen(text);
    uint8_t key[32], nonce[24], ad[12], want[256], out[256];
    for (size_t i = 0; i < 32; i++)
        key[i] = (uint8_t)(0x80 + i);
    for (size_t i = 0; i < 24; i++)
        nonce[i] = (uint8_t)(0x40 + i);
    test_unhex("50515253c0c1c2c3c4c5c6c7", ad, sizeof(ad));
    size_t want_len = test_unhex(test_given("hex bd6d179d3e83"), want, sizeof(want));
    assert_int_equal(want_len, len + PV_AEAD_TAG_LEN);
    pv_xaead_seal(out, key, nonce, pv_view(ad, sizeof(ad)), pv_view(text, len));
    assert_memory_equal(out, want, want_len);

    uint8_t back[256];
    struct pv_view ct = pv_view(out, want_len);
    assert_ok(pv_xaead_open(back, key, nonce, pv_view(ad, sizeof(ad)), ct));
    assert_memory_equal(back, text, len);
    ad[0] ^= 1;
    assert_int_equal(pv_xaead_open(back, key, nonce, pv_view(ad, sizeof(ad)), ct), PV_ERR_AUTH);
    assert_int_equal(pv_xaead_open(back, key, nonce, NONE, pv_view(out, 15)), PV_ERR_AUTH);
}

PV_TEST(open_refuses_every_truncation_and_every_changed_bit)
{
    uint8_t key[32] = {1}, ct[20 + 16], pt[36], ad[3] = {1, 2, 3};
    pv_aead_seal(ct, key, 5, pv_view(ad, 3), pv_view(key, 20));
    for (size_t len = 0; len < sizeof(ct); len++)
        assert_int_equal(pv_aead_open(pt, key, 5, pv_view(ad, 3), pv_view(ct, len)), PV_ERR_AUTH);
    for (size_t bit = 0; bit < 8 * sizeof(ct); bit++) {
        ct[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_int_equal(pv_aead_open(pt, key, 5, pv_view(ad, 3), pv_view(ct, sizeof(ct))),
                         PV_ERR_AUTH);
        ct[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    assert_int_equal(pv_aead_open(pt, key, 6, pv_view(ad, 3), pv_view(ct, sizeof(ct))),
                     PV_ERR_AUTH);
    assert_ok(pv_aead_open(pt, key, 5, pv_view(ad, 3), pv_view(ct, sizeof(ct))));
    assert_memory_equal(pt, key, 20);
}

/* Long messages are OpenSSL's: both libraries make the same bytes and take each other's, also in
 * place, and what was changed leaves no plaintext. */
PV_TEST(long_messages_are_the_same_by_both_libraries)
{
    static const size_t lens[] = {2031, 2032, 2047, 2048, 2049, 4096, 61424, 65536};
    struct test_rng r;
    struct pv_rng rng = test_rng_make(&r, 9);
    size_t cap = 65536 + PV_AEAD_TAG_LEN;
    uint8_t *pt = malloc(cap), *ct = malloc(cap), *want = malloc(cap), key[32], ad[5] = {7};
    for (size_t i = 0; i < PV_ARRAY_LEN(lens); i++) {
        size_t len = lens[i];
        struct pv_view sealed = pv_view(ct, len + PV_AEAD_TAG_LEN), with = pv_view(ad, sizeof(ad));
        uint8_t nonce[12] = {0};
        pv_rng_fill(&rng, key, sizeof(key));
        pv_rng_fill(&rng, pt, len);
        pv_store_le64(nonce + 4, 77 + i);
        assert_int_equal(crypto_aead_chacha20poly1305_ietf_encrypt(want, NULL, pt, len, ad,
                                                                   sizeof(ad), NULL, nonce, key),
                         0);
        memcpy(ct, pt, len);
        pv_aead_seal(ct, key, 77 + i, with, pv_view(ct, len));
        assert_memory_equal(ct, want, sealed.len);
        ct[len / 2] ^= 1;
        assert_int_equal(pv_aead_open(want, key, 77 + i, with, sealed), PV_ERR_AUTH);
        assert_true(pv_ct_is_zero(want, len));
        ct[len / 2] ^= 1;
        assert_int_equal(pv_aead_open(want, key, 78 + i, with, sealed), PV_ERR_AUTH);
        assert_ok(pv_aead_open(ct, key, 77 + i, with, sealed));
        assert_memory_equal(ct, pt, len);
    }
    free(pt);
    free(ct);
    free(want);
}

enum {
    KEYS = 5,
    PACKET = 1500,
};

/* A batch of random sizes under random keys; data is PV_AEAD_BATCH_MAX * (PACKET + tag) bytes. */
static size_t random_batch(struct pv_rng *rng, struct pv_aead **aeads, uint8_t *data,
                           struct pv_aead_op *ops, size_t *ret_key)
{
    size_t n = 1 + pv_rng_below(rng, PV_AEAD_BATCH_MAX);
    for (size_t i = 0; i < n; i++) {
        uint8_t *p = data + i * (PACKET + PV_AEAD_TAG_LEN);
        ret_key[i] = pv_rng_below(rng, KEYS);
        ops[i] =
            (struct pv_aead_op){.aead = aeads[ret_key[i]],
                                .counter = pv_rng_u64(rng),
                                .data = p,
                                .len = pv_rng_below(rng, 4) == 0 ? pv_rng_below(rng, 18)
                                                                 : pv_rng_below(rng, PACKET + 1),
                                .status = 1};
        pv_rng_fill(rng, p, ops[i].len);
    }
    return n;
}

/* By libsodium, where it can. */
static void seal_elsewhere(enum pv_suite suite, uint8_t *ct, const uint8_t *key, uint64_t counter,
                           struct pv_view pt)
{
    uint8_t nonce[12] = {0};
    if (suite == PV_SUITE_CHACHA) {
        pv_aead_seal(ct, key, counter, NONE, pt);
    } else if (crypto_aead_aes256gcm_is_available() != 0) {
        pv_store_be64(nonce + 4, counter);
        assert_int_equal(
            crypto_aead_aes256gcm_encrypt(ct, NULL, pt.ptr, pt.len, NULL, 0, NULL, nonce, key), 0);
    } else {
        pv_gcm_seal(ct, key, counter, NONE, pt);
    }
}

static void open_elsewhere(enum pv_suite suite, uint8_t *pt, const uint8_t *key, uint64_t counter,
                           struct pv_view ct)
{
    assert_ok((suite == PV_SUITE_AES ? pv_gcm_open : pv_aead_open)(pt, key, counter, NONE, ct));
}

/* The batch runs on one library, the single messages on another. */
static void check_batches(struct pv_aead_engine *engine, enum pv_suite suite)
{
    struct test_rng r;
    struct pv_rng rng = test_rng_make(&r, 3);
    uint8_t keys[KEYS][32];
    struct pv_aead *aeads[KEYS];
    struct pv_aead_op ops[PV_AEAD_BATCH_MAX];
    size_t key_of[PV_AEAD_BATCH_MAX];
    uint8_t *data = malloc((size_t)PV_AEAD_BATCH_MAX * (PACKET + PV_AEAD_TAG_LEN));
    uint8_t *want = malloc((size_t)PV_AEAD_BATCH_MAX * (PACKET + PV_AEAD_TAG_LEN));
    assert_non_null(data);
    assert_non_null(want);
    for (size_t i = 0; i < KEYS; i++) {
        pv_rng_fill(&rng, keys[i], 32);
        assert_ok(pv_aead_new(&aeads[i], suite, keys[i]));
    }

    for (int round = 0; round < 20; round++) {
        size_t n = random_batch(&rng, aeads, data, ops, key_of);
        for (size_t i = 0; i < n; i++)
            seal_elsewhere(suite, want + (ops[i].data - data), keys[key_of[i]], ops[i].counter,
                           pv_view(ops[i].data, ops[i].len));
        pv_aead_seal_batch(engine, ops, n);
        for (size_t i = 0; i < n; i++) {
            assert_ok(ops[i].status);
            ops[i].len += PV_AEAD_TAG_LEN;
            assert_memory_equal(ops[i].data, want + (ops[i].data - data), ops[i].len);
        }

        size_t bad = pv_rng_below(&rng, (uint32_t)n); /* one forged among good ones */
        ops[bad].data[pv_rng_below(&rng, (uint32_t)ops[bad].len)] ^= 1;
        pv_aead_open_batch(engine, ops, n);
        for (size_t i = 0; i < n; i++) {
            uint8_t plain[PACKET];
            size_t len = ops[i].len - PV_AEAD_TAG_LEN;
            if (i == bad) {
                assert_int_equal(ops[i].status, PV_ERR_AUTH);
                assert_true(pv_ct_is_zero(ops[i].data, len));
                continue;
            }
            assert_ok(ops[i].status);
            open_elsewhere(suite, plain, keys[key_of[i]], ops[i].counter,
                           pv_view(want + (ops[i].data - data), ops[i].len));
            assert_memory_equal(ops[i].data, plain, len);
        }
    }
    for (size_t i = 0; i < KEYS; i++)
        assert_null(pv_aead_free(aeads[i]));
    assert_null(pv_aead_free(NULL));
    free(data);
    free(want);
}

/* Every library that this build knows and this processor runs. */
PV_TEST(batches_of_each_library_agree_with_single_messages)
{
    size_t ran = 0;
    for (size_t i = 0; pv_aead_providers[i] != NULL; i++) {
        struct pv_aead_engine *engine = NULL;
        int r = pv_aead_engine_of(&engine, pv_aead_providers[i]);
        if (r == PV_ERR_CRYPTO && strcmp(pv_aead_providers[i]->name, "ipsec-mb") == 0)
            continue; /* this processor has no AVX2 */
        assert_ok(r);
        assert_non_null(strstr(pv_aead_engine_name(engine), pv_aead_providers[i]->name));
        check_batches(engine, PV_SUITE_CHACHA);
        check_batches(engine, PV_SUITE_AES);
        pv_aead_engine_free(engine);
        ran++;
    }
    assert_true(ran > 0);
    assert_null(pv_aead_engine_free(NULL));
}

/* RFC 8439's A.5 has associated data and another nonce; this is the same cipher without, the
 * message of s2.4.2, as python3-cryptography seals it. */
/* A thread that seals and opens with keys that others use as well. */
struct sharer {
    pthread_t thread;
    const struct pv_aead_provider *provider;
    struct pv_aead *const *keys; /* of each suite */
    unsigned number;
    bool good;
};

static void *share_keys(void *arg)
{
    enum {
        ROUNDS = 300,
        LEN = 200
    };
    struct sharer *s = arg;
    struct pv_aead_engine *engine = NULL;
    s->good = pv_aead_engine_of(&engine, s->provider) == PV_OK;
    for (unsigned i = 0; s->good && i < ROUNDS; i++) {
        uint8_t data[LEN + PV_AEAD_TAG_LEN], want[sizeof(data)], plain[LEN];
        enum pv_suite suite = i % 2 == 0 ? PV_SUITE_CHACHA : PV_SUITE_AES;
        struct pv_aead_op op = {.aead = s->keys[suite],
                                .counter = (uint64_t)s->number << 32 | i,
                                .data = data,
                                .len = LEN,
                                .thread = s->number};
        memset(plain, (int)i, LEN);
        memcpy(data, plain, LEN);
        seal_elsewhere(suite, want, (const uint8_t[PV_AEAD_KEY_LEN]){9}, op.counter,
                       pv_view(plain, LEN));
        pv_aead_seal_batch(engine, &op, 1);
        s->good = op.status == PV_OK && memcmp(data, want, sizeof(want)) == 0;
        op.len = sizeof(data);
        pv_aead_open_batch(engine, &op, 1);
        s->good = s->good && op.status == PV_OK && memcmp(data, plain, LEN) == 0;
    }
    pv_aead_engine_free(engine);
    return NULL;
}

PV_TEST(threads_share_a_key_when_each_has_a_number)
{
    const uint8_t key[PV_AEAD_KEY_LEN] = {9};
    for (size_t i = 0; pv_aead_providers[i] != NULL; i++) {
        struct pv_aead *keys[PV_SUITES] = {NULL};
        struct sharer sharers[PV_AEAD_THREADS];
        struct pv_aead_engine *engine = NULL;
        if (pv_aead_engine_of(&engine, pv_aead_providers[i]) < 0)
            continue; /* this processor cannot run it */
        pv_aead_engine_free(engine);
        assert_ok(pv_aead_new(&keys[PV_SUITE_CHACHA], PV_SUITE_CHACHA, key));
        assert_ok(pv_aead_new(&keys[PV_SUITE_AES], PV_SUITE_AES, key));
        for (unsigned n = 0; n < PV_AEAD_THREADS; n++) {
            sharers[n] =
                (struct sharer){.provider = pv_aead_providers[i], .keys = keys, .number = n};
            assert_int_equal(pthread_create(&sharers[n].thread, NULL, share_keys, &sharers[n]), 0);
        }
        for (unsigned n = 0; n < PV_AEAD_THREADS; n++) {
            pthread_join(sharers[n].thread, NULL);
            assert_true(sharers[n].good);
        }
        pv_aead_free(keys[PV_SUITE_CHACHA]);
        pv_aead_free(keys[PV_SUITE_AES]);
    }
}

PV_TEST(each_library_gives_the_known_answer)
{
    const char *text = test_given("the text of the RFC");
    uint8_t key[32], data[200], want[200];
    struct pv_aead *aead = NULL;
    size_t len = strlen(text);
    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)(0x80 + i);
    assert_int_equal(test_unhex(test_given("sealed by each library"), want, sizeof(want)),
                     len + PV_AEAD_TAG_LEN);
    assert_ok(pv_aead_new(&aead, PV_SUITE_CHACHA, key));
    for (size_t i = 0; pv_aead_providers[i] != NULL; i++) {
        struct pv_aead_engine *engine = NULL;
        if (pv_aead_engine_of(&engine, pv_aead_providers[i]) < 0)
            continue;
        memcpy(data, text, len);
        struct pv_aead_op op = {
            .aead = aead, .counter = 0x4746454443424140, .data = data, .len = len};
        pv_aead_seal_batch(engine, &op, 1);
        assert_ok(op.status);
        assert_memory_equal(data, want, len + PV_AEAD_TAG_LEN);
        op.len += PV_AEAD_TAG_LEN;
        pv_aead_open_batch(engine, &op, 1);
        assert_ok(op.status);
        assert_memory_equal(data, text, len);
        pv_aead_engine_free(engine);
    }
    pv_aead_free(aead);
}

/* Test cases 13 and 14 of the GCM specification (McGrew and Viega): key, nonce and text zero. */
PV_TEST(aes_gcm_gives_the_answers_of_its_specification)
{
    uint8_t key[32] = {0}, zero[16] = {0}, want[32], data[32];
    struct pv_aead *aead = NULL;
    assert_ok(pv_aead_new(&aead, PV_SUITE_AES, key));
    for (size_t len = 0; len <= 16; len += 16) {
        size_t n = test_unhex(len == 0 ? "530f8afbc74536b9a963b4f1c4cb738b"
                                       : "cea7403d4d606b6e074ec5d3baf39d18"
                                         "d0d1c8a799996bf0265b98b5d48ab919",
                              want, sizeof(want));
        assert_int_equal(n, len + PV_AEAD_TAG_LEN);
        pv_gcm_seal(data, key, 0, NONE, pv_view(zero, len));
        assert_memory_equal(data, want, n);
        for (size_t i = 0; pv_aead_providers[i] != NULL; i++) {
            struct pv_aead_engine *engine = NULL;
            if (pv_aead_engine_of(&engine, pv_aead_providers[i]) < 0)
                continue;
            memset(data, 0, sizeof(data));
            struct pv_aead_op op = {.aead = aead, .data = data, .len = len};
            pv_aead_seal_batch(engine, &op, 1);
            assert_ok(op.status);
            assert_memory_equal(data, want, n);
            pv_aead_engine_free(engine);
        }
    }
    pv_aead_free(aead);
}

/* NIST's gcmEncryptExtIV256 has no nonce that begins with zeros: the counter's byte order is pinned
 * by libsodium here and by the Noise vectors. */
PV_TEST(gcm_open_refuses_every_truncation_and_every_changed_bit)
{
    uint8_t key[32] = {1}, ct[20 + 16], pt[36], ad[3] = {1, 2, 3};
    pv_gcm_seal(ct, key, 5, pv_view(ad, 3), pv_view(key, 20));
    for (size_t len = 0; len < sizeof(ct); len++)
        assert_int_equal(pv_gcm_open(pt, key, 5, pv_view(ad, 3), pv_view(ct, len)), PV_ERR_AUTH);
    for (size_t bit = 0; bit < 8 * sizeof(ct); bit++) {
        ct[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_int_equal(pv_gcm_open(pt, key, 5, pv_view(ad, 3), pv_view(ct, sizeof(ct))),
                         PV_ERR_AUTH);
        ct[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    assert_int_equal(pv_gcm_open(pt, key, 6, pv_view(ad, 3), pv_view(ct, sizeof(ct))), PV_ERR_AUTH);
    assert_int_equal(pv_gcm_open(pt, key, 5, pv_view(ad, 2), pv_view(ct, sizeof(ct))), PV_ERR_AUTH);
    assert_ok(pv_gcm_open(pt, key, 5, pv_view(ad, 3), pv_view(ct, sizeof(ct))));
    assert_memory_equal(pt, key, 20);
}

static void wrong_seal(void *state, struct pv_aead_op *ops, size_t n)
{
    pv_aead_openssl.seal(state, ops, n);
    for (size_t i = 0; i < n; i++)
        ops[i].data[ops[i].len] ^= ops[i].len == 1420;
}

static void credulous_open(void *state, struct pv_aead_op *ops, size_t n)
{
    pv_aead_openssl.open(state, ops, n);
    for (size_t i = 0; i < n; i++)
        ops[i].status = PV_OK;
}

PV_TEST(a_library_that_errs_is_not_used)
{
    struct pv_aead_engine *engine = NULL;
    struct pv_aead_provider wrong = pv_aead_openssl, credulous = pv_aead_openssl;
    wrong.seal = wrong_seal;
    credulous.open = credulous_open;
    assert_int_equal(pv_aead_engine_of(&engine, &wrong), PV_ERR_CRYPTO);
    assert_int_equal(pv_aead_engine_of(&engine, &credulous), PV_ERR_CRYPTO);
    assert_ok(pv_aead_engine_new(&engine));
    pv_aead_engine_free(engine);
}

PV_TEST(a_batch_open_shorter_than_a_tag_is_refused)
{
    uint8_t key[32] = {9}, data[16] = {0};
    struct pv_aead *aead = NULL;
    struct pv_aead_engine *engine = NULL;
    assert_ok(pv_aead_engine_new(&engine));
    assert_ok(pv_aead_new(&aead, PV_SUITE_CHACHA, key));
    struct pv_aead_op op = {.aead = aead, .data = data, .len = 15, .status = 1};
    pv_aead_open_batch(engine, &op, 1);
    assert_int_equal(op.status, PV_ERR_AUTH);

    op.len = 0; /* a keepalive: nothing but the tag, and one key may both seal and open */
    pv_aead_seal_batch(engine, &op, 1);
    assert_ok(op.status);
    op.len = 16;
    pv_aead_open_batch(engine, &op, 1);
    assert_ok(op.status);
    pv_aead_free(aead);
    pv_aead_engine_free(engine);
}

PV_TEST(each_suite_gets_the_first_library_that_can)
{
    struct pv_aead_engine *e = NULL;
    assert_ok(pv_aead_engine_new(&e));
    for (int suite = 0; suite < PV_SUITES; suite++) {
        struct pv_aead_engine *one = calloc(1, sizeof(*one));
        size_t i = 0;
        while (pv_aead_engine_take(one, (enum pv_suite)suite, pv_aead_providers[i]) != PV_OK)
            assert_non_null(pv_aead_providers[++i]);
        assert_ptr_equal(e->by_suite[suite], pv_aead_providers[i]);
        pv_aead_engine_free(one);
        check_batches(e, (enum pv_suite)suite);
    }
    pv_aead_engine_free(e);
}

/* Half a millisecond passes with each look at it. */
static pv_ns told_clock(void)
{
    static pv_ns now;
    return now += PV_US(500);
}

/* A round is one batch then, sealed and opened, of each of two sizes. */
PV_TEST(a_cost_is_the_time_of_both_sizes)
{
    assert_ok(pv_aead_measure_cost(told_clock));
    const uint32_t ns = (uint32_t)(2 * PV_US(500) / (2 * (pv_ns)PV_AEAD_BATCH_MAX));
    assert_in_range(pv_aead_cost(PV_SUITE_CHACHA), ns - 1, ns);
    assert_in_range(pv_aead_cost(PV_SUITE_AES), ns - 1, ns);
}

PV_TEST(each_library_is_named_with_its_version)
{
    char text[PV_AEAD_LIBRARIES_MAX];
    pv_aead_libraries(text);
    for (size_t i = 0; pv_aead_providers[i] != NULL; i++) {
        assert_non_null(strstr(text, pv_aead_providers[i]->name));
        assert_non_null(strstr(text, pv_aead_providers[i]->version()));
    }
    assert_true(strlen(text) + 1 < sizeof(text));
}

PV_TEST(the_last_resort_says_why_it_is_used)
{
    struct pv_aead_engine *e = NULL;
    assert_ok(pv_aead_engine_of(&e, &pv_aead_openssl));
    assert_non_null(pv_aead_engine_why_slow(e));
    pv_aead_engine_free(e);
#if defined(PV_HAVE_BORINGSSL) && (defined(PV_HAVE_IPSEC_MB) || !defined(__x86_64__))
    assert_ok(pv_aead_engine_new(&e));
    assert_null(pv_aead_engine_why_slow(e));
    pv_aead_engine_free(e);
#endif
}
