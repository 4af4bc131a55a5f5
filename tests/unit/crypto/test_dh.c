/* SPDX-License-Identifier: MIT */
#include "crypto/ct.h"
#include "crypto/dh.h"
#include "tests/unit/test_util.h"

static void unhex32(const char *hex, uint8_t out[32])
{
    assert_int_equal(test_unhex(hex, out, 32), 32);
}

/* RFC 7748 section 5.2, the two single vectors. */
PV_TEST(scalar_multiplication_matches_the_rfc)
{
    const struct {
        const char *scalar, *u, *out;
    } rows[] = {
        {test_given("hex a546e36bf052"), test_given("hex e6db68675830"),
         test_given("hex c3da55379de9")},
        {test_given("hex 4b66e9d4d1b4"), test_given("hex e5210f127868"),
         test_given("hex 95cbde9476e8")},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        uint8_t scalar[32], u[32], want[32], got[32];
        unhex32(rows[i].scalar, scalar);
        unhex32(rows[i].u, u);
        unhex32(rows[i].out, want);
        assert_ok(pv_dh(got, scalar, u));
        assert_memory_equal(got, want, 32);
    }
}

/* RFC 7748 section 5.2, one and a thousand iterations. */
PV_TEST(iterated_multiplication_matches_the_rfc)
{
    uint8_t k[32] = {9}, u[32] = {9}, r[32], want[32];
    for (int i = 1; i <= 1000; i++) {
        assert_ok(pv_dh(r, k, u));
        memcpy(u, k, 32);
        memcpy(k, r, 32);
        if (i == 1) {
            unhex32(test_given("hex 422c8e7a6227"), want);
            assert_memory_equal(k, want, 32);
        }
    }
    unhex32(test_given("hex 684cf59ba833"), want);
    assert_memory_equal(k, want, 32);
}

/* RFC 7748 section 6.1. */
PV_TEST(two_sides_agree_on_the_secret_of_the_rfc)
{
    uint8_t a[32], b[32], pa[32], pb[32], ka[32], kb[32], want[32];
    unhex32(test_given("hex 77076d0a7318"), a);
    unhex32(test_given("hex 5dab087e624a"), b);
    pv_dh_public(a, pa);
    pv_dh_public(b, pb);
    unhex32(test_given("hex 8520f0098930"), want);
    assert_memory_equal(pa, want, 32);
    unhex32(test_given("hex de9edb7d7b7d"), want);
    assert_memory_equal(pb, want, 32);
    assert_ok(pv_dh(ka, a, pb));
    assert_ok(pv_dh(kb, b, pa));
    unhex32(test_given("hex 4a5d9d5ba4ce"), want);
    assert_memory_equal(ka, want, 32);
    assert_memory_equal(kb, want, 32);
}

PV_TEST(public_keys_of_small_order_are_refused)
{
    const char *const points[] = {
        test_given("hex 000000000000"), test_given("hex 010000000000"),
        test_given("hex e0eb7a7c3b41"), test_given("hex 5f9c95bca350"),
        test_given("hex ecffffffffff"), test_given("hex edffffffffff"),
        test_given("hex eeffffffffff"),
    };
    struct test_rng r;
    struct pv_rng rng = test_rng_make(&r, 1);
    uint8_t sk[32], pk[32], shared[32], untouched[32];
    pv_dh_keypair(&rng, sk, pk);
    memset(shared, 0x5a, sizeof(shared));
    memset(untouched, 0x5a, sizeof(untouched));
    for (size_t i = 0; i < PV_ARRAY_LEN(points); i++) {
        uint8_t p[32];
        unhex32(points[i], p);
        assert_int_equal(pv_dh(shared, sk, p), PV_ERR_AUTH);
        assert_memory_equal(shared, untouched, 32);
    }
}

PV_TEST(key_pairs_follow_from_the_randomness_passed_in)
{
    struct test_rng r;
    struct pv_rng rng = test_rng_make(&r, 42);
    uint8_t sk1[32], pk1[32], sk2[32], pk2[32], pk[32];
    pv_dh_keypair(&rng, sk1, pk1);
    rng = test_rng_make(&r, 42);
    pv_dh_keypair(&rng, sk2, pk2);
    assert_memory_equal(sk1, sk2, 32);
    assert_memory_equal(pk1, pk2, 32);
    assert_int_equal(sk1[0] & 7, 0);
    assert_int_equal(sk1[31] & 0xc0, 0x40);
    pv_dh_public(sk1, pk);
    assert_memory_equal(pk, pk1, 32);
    pv_dh_keypair(&rng, sk2, pk2);
    assert_memory_not_equal(sk1, sk2, 32);
}

PV_TEST(secrets_are_compared_wiped_and_kept)
{
    uint8_t a[32] = {1}, b[32] = {1};
    assert_true(pv_ct_equal(a, b, 32));
    b[31] = 1;
    assert_false(pv_ct_equal(a, b, 32));
    assert_true(pv_ct_equal(a, b, 31));
    assert_true(pv_ct_equal(a, b, 0));
    assert_false(pv_ct_is_zero(a, 32));
    pv_wipe(a, sizeof(a));
    assert_true(pv_ct_is_zero(a, 32));
    assert_true(pv_ct_is_zero(b + 1, 30));

    uint8_t *s = pv_secret_alloc(64);
    assert_non_null(s);
    memset(s, 1, 64);
    assert_null(pv_secret_free(s));
    assert_null(pv_secret_free(NULL));

    uint8_t *n = pv_nodump_alloc(5000);
    assert_non_null(n);
    assert_true(pv_ct_is_zero(n, 5000));
    memset(n, 1, 5000);
    assert_null(pv_nodump_free(n, 5000));
    assert_null(pv_nodump_free(NULL, 5000));
    assert_null(pv_nodump_alloc(0));
    assert_null(pv_nodump_alloc(SIZE_MAX));
}
