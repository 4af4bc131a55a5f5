/* SPDX-License-Identifier: MIT */
/*
 * The branch of lib/crypto/kem.c for libsodium 1.0.22, compiled here whatever the build has found:
 * against libsodium itself, or what its documentation says (sodium_kem.h). Where OpenSSL has
 * ML-KEM, both branches must come to the same bytes; OpenSSL's pass the vectors (unit/kem).
 */
#include "crypto/ct.h"
#include "crypto/kem.h" /* before its functions get other names here */
#include "tests/unit/crypto/sodium_kem.h"
#include "tests/unit/test_util.h"

/* Beside the build's own branch, which keeps its names. */
#undef PV_HAVE_MLKEM_OPENSSL
#undef PV_HAVE_MLKEM_SODIUM
#define PV_HAVE_MLKEM_SODIUM
#define pv_kem_mlkem768 kem_of_sodium
#define pv_kem_why_not  why_not_of_sodium
const struct pv_kem *kem_of_sodium(void);
const char *why_not_of_sodium(void);
#include "lib/crypto/kem.c"
#undef pv_kem_mlkem768
#undef pv_kem_why_not

_Static_assert(crypto_kem_mlkem768_PUBLICKEYBYTES == PV_KEM_EK_LEN, "FIPS 203 table 3");
_Static_assert(crypto_kem_mlkem768_CIPHERTEXTBYTES == PV_KEM_CT_LEN, "FIPS 203 table 3");
_Static_assert(crypto_kem_mlkem768_SHAREDSECRETBYTES == PV_KEM_SECRET_LEN, "FIPS 203 table 3");
_Static_assert(crypto_kem_mlkem768_SEEDBYTES == PV_KEM_SEED_LEN, "d || z");

static void both_sides_have_the_same_secret(void **state)
{
    struct test_rng seed_state;
    const struct pv_rng rng = test_rng_make(&seed_state, 3);
    const struct pv_kem *kem = kem_of_sodium();
    (void)state;
    assert_non_null(kem);
    assert_string_equal(why_not_of_sodium(), "");
    for (int i = 0; i < 20; i++) {
        uint8_t seed[PV_KEM_SEED_LEN], m[PV_KEM_RANDOM_LEN], ek[PV_KEM_EK_LEN], ct[PV_KEM_CT_LEN];
        uint8_t ours[PV_KEM_SECRET_LEN], theirs[PV_KEM_SECRET_LEN];
        pv_rng_fill(&rng, seed, sizeof(seed));
        pv_rng_fill(&rng, m, sizeof(m));
        assert_int_equal(kem->keypair(seed, ek), PV_OK);
        assert_int_equal(kem->encapsulate(pv_view(ek, sizeof(ek)), m, ct, ours), PV_OK);
        assert_int_equal(kem->decapsulate(seed, pv_view(ct, sizeof(ct)), theirs), PV_OK);
        assert_memory_equal(ours, theirs, sizeof(ours));
        ct[i * 50] ^= 1; /* implicit rejection: another secret, and no error */
        assert_int_equal(kem->decapsulate(seed, pv_view(ct, sizeof(ct)), theirs), PV_OK);
        assert_memory_not_equal(ours, theirs, sizeof(ours));
    }
}

static void what_is_wrong_is_refused(void **state)
{
    const struct pv_kem *kem = kem_of_sodium();
    uint8_t seed[PV_KEM_SEED_LEN] = {1}, m[PV_KEM_RANDOM_LEN] = {2};
    uint8_t ek[PV_KEM_EK_LEN + 1], ct[PV_KEM_CT_LEN + 1], secret[PV_KEM_SECRET_LEN];
    (void)state;
    assert_int_equal(kem->keypair(seed, ek), PV_OK);
    for (int off = -1; off <= 1; off += 2) {
        const struct pv_view e = pv_view(ek, (size_t)(PV_KEM_EK_LEN + off));
        const struct pv_view c = pv_view(ct, (size_t)(PV_KEM_CT_LEN + off));
        assert_int_equal(kem->encapsulate(e, m, ct, secret), PV_ERR_MALFORMED);
        assert_int_equal(kem->decapsulate(seed, c, secret), PV_ERR_MALFORMED);
    }
    memset(ek, 0xff, sizeof(ek)); /* no coefficient is that large */
    assert_int_equal(kem->encapsulate(pv_view(ek, PV_KEM_EK_LEN), m, ct, secret), PV_ERR_MALFORMED);
}

/* Two machines with different libraries have to understand each other. */
static void both_branches_come_to_the_same_bytes(void **state)
{
    struct test_rng seed_state;
    const struct pv_rng rng = test_rng_make(&seed_state, 4);
    const struct pv_kem *kems[2] = {kem_of_sodium(), pv_kem_mlkem768()};
    (void)state;
    if (kems[1] == NULL)
        skip();
    for (int i = 0; i < 100; i++) {
        uint8_t seed[PV_KEM_SEED_LEN], m[PV_KEM_RANDOM_LEN];
        uint8_t ek[2][PV_KEM_EK_LEN], ct[2][PV_KEM_CT_LEN], secret[2][PV_KEM_SECRET_LEN];
        pv_rng_fill(&rng, seed, sizeof(seed));
        pv_rng_fill(&rng, m, sizeof(m));
        for (int k = 0; k < 2; k++) {
            assert_int_equal(kems[k]->keypair(seed, ek[k]), PV_OK);
            assert_int_equal(
                kems[k]->encapsulate(pv_view(ek[k], PV_KEM_EK_LEN), m, ct[k], secret[k]), PV_OK);
        }
        assert_memory_equal(ek[0], ek[1], PV_KEM_EK_LEN);
        assert_memory_equal(ct[0], ct[1], PV_KEM_CT_LEN);
        assert_memory_equal(secret[0], secret[1], PV_KEM_SECRET_LEN);
        ct[0][i] ^= 1;
        for (int k = 0; k < 2; k++)
            assert_int_equal(kems[k]->decapsulate(seed, pv_view(ct[0], PV_KEM_CT_LEN), secret[k]),
                             PV_OK);
        assert_memory_equal(secret[0], secret[1], PV_KEM_SECRET_LEN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_sides_have_the_same_secret),
        cmocka_unit_test(what_is_wrong_is_refused),
        cmocka_unit_test(both_branches_come_to_the_same_bytes),
    };
    if (pv_crypto_init() != PV_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
