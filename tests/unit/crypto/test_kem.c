/* SPDX-License-Identifier: MIT */
/* The duties of every KEM here, tried with the real one and with the tests' double; and the vectors
 * of ML-KEM-768, where the crypto library has it. */

#include "crypto/kem.h"
#include "tests/unit/kem_double.h"
#include "tests/unit/test_util.h"

/* --- SHAKE128 (FIPS 202), which the vectors are made with --------------------------------------
 */

enum {
    SHAKE_RATE = 168, /* bytes */
};

struct shake {
    uint64_t a[25];
    size_t at;
    bool squeezing;
};

static uint64_t rotl(uint64_t x, unsigned n)
{
    return n == 0 ? x : x << n | x >> (64 - n);
}

static void keccak(uint64_t a[25])
{
    uint8_t lfsr = 1;
    for (int round = 0; round < 24; round++) {
        uint64_t c[5], b[25];
        for (int x = 0; x < 5; x++)
            c[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
        for (int i = 0; i < 25; i++)
            a[i] ^= c[(i % 5 + 4) % 5] ^ rotl(c[(i % 5 + 1) % 5], 1);
        int x = 1, y = 0;
        memcpy(b, a, sizeof(b));
        for (unsigned t = 0; t < 24; t++) {
            int next_y = (2 * x + 3 * y) % 5;
            b[y + 5 * next_y] = rotl(a[x + 5 * y], (t + 1) * (t + 2) / 2 % 64);
            x = y;
            y = next_y;
        }
        for (int i = 0; i < 25; i++)
            a[i] = b[i] ^ (~b[i / 5 * 5 + (i + 1) % 5] & b[i / 5 * 5 + (i + 2) % 5]);
        for (unsigned j = 0; j < 7; j++) {
            if ((lfsr & 1) != 0)
                a[0] ^= 1ULL << ((1u << j) - 1);
            lfsr = (uint8_t)(lfsr << 1 ^ ((lfsr & 0x80) != 0 ? 0x71 : 0));
        }
    }
}

static void absorb(struct shake *s, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        s->a[s->at / 8] ^= (uint64_t)data[i] << (8 * (s->at % 8));
        if (++s->at == SHAKE_RATE) {
            keccak(s->a);
            s->at = 0;
        }
    }
}

static void squeeze(struct shake *s, uint8_t *out, size_t len)
{
    if (!s->squeezing) {
        s->a[s->at / 8] ^= 0x1fULL << (8 * (s->at % 8));
        s->a[(SHAKE_RATE - 1) / 8] ^= 0x80ULL << (8 * ((SHAKE_RATE - 1) % 8));
        keccak(s->a);
        s->at = 0;
        s->squeezing = true;
    }
    for (size_t i = 0; i < len; i++) {
        if (s->at == SHAKE_RATE) {
            keccak(s->a);
            s->at = 0;
        }
        out[i] = (uint8_t)(s->a[s->at / 8] >> (8 * (s->at % 8)));
        s->at++;
    }
}

/* --- vectors -----------------------------------------------------------------------------------
 */

/* FIPS 202: SHAKE128 of nothing. */
PV_TEST(shake_matches_its_standard)
{
    struct shake s = {0};
    uint8_t got[32], want[32];
    squeeze(&s, got, sizeof(got));
    test_unhex(test_given("SHAKE128 of nothing"), want, 32);
    assert_memory_equal(got, want, sizeof(want));
}

/* The accumulated vectors of Go's crypto/mlkem (TestAccumulated), which other implementations use
 * too: key pairs, ciphertexts, secrets, and the secrets of random ciphertexts, all from one stream,
 * all into one hash. */
/* PV_SIM_LONG=1: ten thousand of them. */
PV_TEST(it_matches_keys_of_other_implementations)
{
    int rounds = getenv("PV_SIM_LONG") != NULL ? 10000 : 100;
    const char *after_100 = test_given("after 100");
    const char *after_all = test_given("after 10000");
    const struct pv_kem *kem = pv_kem_mlkem768();
    if (kem == NULL) {
        printf("%s\n", pv_kem_why_not());
        skip();
    }
    struct shake in = {0}, all = {0};
    for (int i = 1; i <= rounds; i++) {
        uint8_t seed[PV_KEM_SEED_LEN], ek[PV_KEM_EK_LEN], m[PV_KEM_RANDOM_LEN], ct[PV_KEM_CT_LEN];
        uint8_t ours[PV_KEM_SECRET_LEN], theirs[PV_KEM_SECRET_LEN];
        squeeze(&in, seed, sizeof(seed));
        assert_ok(kem->keypair(seed, ek));
        absorb(&all, ek, sizeof(ek));
        squeeze(&in, m, sizeof(m));
        assert_ok(kem->encapsulate(pv_view(ek, sizeof(ek)), m, ct, ours));
        absorb(&all, ct, sizeof(ct));
        absorb(&all, ours, sizeof(ours));
        assert_ok(kem->decapsulate(seed, pv_view(ct, sizeof(ct)), theirs));
        assert_memory_equal(ours, theirs, sizeof(ours));
        squeeze(&in, ct, sizeof(ct));
        assert_ok(kem->decapsulate(seed, pv_view(ct, sizeof(ct)), theirs));
        absorb(&all, theirs, sizeof(theirs));
        if (i == 100 || i == 10000) {
            struct shake end = all;
            uint8_t got[32], want[32];
            squeeze(&end, got, sizeof(got));
            test_unhex(i == 100 ? after_100 : after_all, want, sizeof(want));
            assert_memory_equal(got, want, sizeof(want));
        }
    }
}

/* FIPS 203 s7.2: a coefficient of 3329 or more is no coefficient. */
PV_TEST(a_key_with_a_coefficient_out_of_range_is_refused)
{
    const struct pv_kem *kem = pv_kem_mlkem768();
    if (kem == NULL)
        skip();
    uint8_t seed[PV_KEM_SEED_LEN] = {1}, ek[PV_KEM_EK_LEN], m[PV_KEM_RANDOM_LEN] = {2};
    uint8_t ct[PV_KEM_CT_LEN], secret[PV_KEM_SECRET_LEN];
    assert_ok(kem->keypair(seed, ek));
    /* The first coefficient lies in the first twelve bits: 3328 passes, 3329 does not. */
    ek[0] = 0x00;
    ek[1] = (uint8_t)((ek[1] & 0xf0) | 0x0d);
    assert_ok(kem->encapsulate(pv_view(ek, sizeof(ek)), m, ct, secret));
    ek[0] = 0x01;
    assert_int_equal(kem->encapsulate(pv_view(ek, sizeof(ek)), m, ct, secret), PV_ERR_MALFORMED);
}

/* --- what both do ------------------------------------------------------------------------------
 */

/* The double always, and the real one where there is one. */
static size_t every_kem(const struct pv_kem *ret_kems[static 2])
{
    ret_kems[0] = &kem_double;
    ret_kems[1] = pv_kem_mlkem768();
    return ret_kems[1] == NULL ? 1 : 2;
}

PV_TEST(lengths_that_are_wrong_are_refused)
{
    const struct pv_kem *kems[2];
    size_t n = every_kem(kems);
    for (size_t i = 0; i < n; i++) {
        uint8_t seed[PV_KEM_SEED_LEN] = {3}, m[PV_KEM_RANDOM_LEN] = {4};
        uint8_t ek[PV_KEM_EK_LEN + 1] = {0}, ct[PV_KEM_CT_LEN + 1] = {0};
        uint8_t secret[PV_KEM_SECRET_LEN];
        assert_ok(kems[i]->keypair(seed, ek));
        static const size_t eks[] = {0, 32, PV_KEM_EK_LEN - 1, PV_KEM_EK_LEN + 1};
        for (size_t k = 0; k < PV_ARRAY_LEN(eks); k++)
            assert_int_equal(kems[i]->encapsulate(pv_view(ek, eks[k]), m, ct, secret),
                             PV_ERR_MALFORMED);
        static const size_t cts[] = {0, 32, PV_KEM_CT_LEN - 1, PV_KEM_CT_LEN + 1};
        for (size_t k = 0; k < PV_ARRAY_LEN(cts); k++)
            assert_int_equal(kems[i]->decapsulate(seed, pv_view(ct, cts[k]), secret),
                             PV_ERR_MALFORMED);
    }
}

/* Each bit of a ciphertext counts, and what comes of a wrong one says nothing about the right one:
 * it is the same each time, and another for another key. */
PV_TEST(a_damaged_ciphertext_gives_another_secret)
{
    const struct pv_kem *kems[2];
    size_t n = every_kem(kems);
    for (size_t i = 0; i < n; i++) {
        const struct pv_kem *kem = kems[i];
        uint8_t seed[PV_KEM_SEED_LEN] = {8}, other[PV_KEM_SEED_LEN] = {16};
        uint8_t m[PV_KEM_RANDOM_LEN] = {7}, ek[PV_KEM_EK_LEN], ct[PV_KEM_CT_LEN];
        uint8_t right[PV_KEM_SECRET_LEN], wrong[PV_KEM_SECRET_LEN], again[PV_KEM_SECRET_LEN];
        struct pv_view c = pv_view(ct, sizeof(ct));
        assert_ok(kem->keypair(seed, ek));
        assert_ok(kem->encapsulate(pv_view(ek, sizeof(ek)), m, ct, right));
        for (size_t bit = 0; bit < 8 * sizeof(ct); bit += 37) {
            ct[bit / 8] ^= (uint8_t)(1u << (bit % 8));
            assert_ok(kem->decapsulate(seed, c, wrong));
            assert_ok(kem->decapsulate(seed, c, again));
            assert_memory_not_equal(wrong, right, sizeof(right));
            assert_memory_equal(wrong, again, sizeof(wrong));
            ct[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        }
        assert_ok(kem->decapsulate(other, c, wrong));
        assert_memory_not_equal(wrong, right, sizeof(right));
        assert_ok(kem->decapsulate(seed, c, again));
        assert_memory_equal(again, right, sizeof(right));
    }
}

PV_TEST(a_program_without_one_says_why)
{
    assert_int_equal(pv_kem_mlkem768() == NULL, pv_kem_why_not()[0] != '\0');
}
