/* SPDX-License-Identifier: MIT */
#include <sodium.h>

#include "crypto/dh.h"
#include "crypto/sign.h"
#include "tests/unit/test_util.h"

static const char CONTEXT[] = "p2pvpn test v1";
static const struct pv_view NONE = {NULL, 0};

static struct pv_view text(const char *s)
{
    return pv_view(s, strlen(s));
}

/* Seeds and public keys of RFC 8032 s7.1 tests 1 and 2; the signatures, over "p2pvpn test v1" 00
 * af 82, made by OpenSSL. */
PV_TEST(keys_and_signatures_match_other_implementations)
{
    static const uint8_t msg[2] = {0xaf, 0x82};
    size_t n = 0;
    const char *const *lines = test_given_parts("signatures", &n);
    assert_true(n > 0 && n % 3 == 0);
    for (size_t i = 0; i < n; i += 3) {
        uint8_t seed[32], want_pk[32], want_sig[64], sk[64], pk[32], sig[64];
        test_unhex(lines[i], seed, 32);
        test_unhex(lines[i + 1], want_pk, 32);
        test_unhex(lines[i + 2], want_sig, 64);
        pv_sign_keypair(seed, sk, pk);
        assert_memory_equal(pk, want_pk, 32);
        assert_ok(pv_sign(sig, CONTEXT, pv_view(msg, 1), pv_view(msg + 1, 1), sk));
        assert_memory_equal(sig, want_sig, 64);
        assert_ok(pv_sign_verify(sig, CONTEXT, pv_view(msg, 2), NONE, pk));
    }
}

struct signed_message {
    uint8_t sk[PV_SIGN_SK_LEN], pk[PV_SIGN_PK_LEN], sig[PV_SIGN_LEN];
};

static struct signed_message make_signed(const char *message)
{
    struct signed_message m;
    uint8_t seed[32] = {7};
    pv_sign_keypair(seed, m.sk, m.pk);
    assert_ok(pv_sign(m.sig, CONTEXT, text(message), NONE, m.sk));
    return m;
}

PV_TEST(a_change_of_any_bit_is_refused)
{
    struct signed_message m = make_signed("hello");
    assert_ok(pv_sign_verify(m.sig, CONTEXT, text("hello"), NONE, m.pk));
    for (size_t bit = 0; bit < 8 * PV_SIGN_LEN; bit++) {
        m.sig[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_int_equal(pv_sign_verify(m.sig, CONTEXT, text("hello"), NONE, m.pk), PV_ERR_AUTH);
        m.sig[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    for (size_t bit = 0; bit < 8 * PV_SIGN_PK_LEN; bit++) {
        m.pk[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_int_equal(pv_sign_verify(m.sig, CONTEXT, text("hello"), NONE, m.pk), PV_ERR_AUTH);
        m.pk[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    assert_int_equal(pv_sign_verify(m.sig, CONTEXT, text("hellp"), NONE, m.pk), PV_ERR_AUTH);
}

PV_TEST(a_signature_is_bound_to_its_context)
{
    struct signed_message m = make_signed("hello");
    assert_int_equal(pv_sign_verify(m.sig, "p2pvpn test v2", text("hello"), NONE, m.pk),
                     PV_ERR_AUTH);
    /* Without the separating NUL these two would be one message. */
    assert_int_equal(pv_sign_verify(m.sig, "p2pvpn test v", text("1"), text("hello"), m.pk),
                     PV_ERR_AUTH);
}

/* RFC 8032 s5.1.7: S + L passes the equation and must be refused all the same. */
PV_TEST(a_signature_with_the_order_added_is_refused)
{
    static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,
                                      0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
                                      0,    0,    0,    0,    0,    0,    0,    0,
                                      0,    0,    0,    0,    0,    0,    0,    0x10};
    struct signed_message m = make_signed("hello");
    unsigned carry = 0;
    for (size_t i = 0; i < 32; i++) {
        carry += (unsigned)m.sig[32 + i] + order[i];
        m.sig[32 + i] = (uint8_t)carry;
        carry >>= 8;
    }
    assert_int_equal(carry, 0);
    assert_int_equal(pv_sign_verify(m.sig, CONTEXT, text("hello"), NONE, m.pk), PV_ERR_AUTH);
}

/* The eight points of small order and their non-canonical encodings. */
PV_TEST(points_of_small_order_are_refused_as_key_and_as_r)
{
    size_t n = 0;
    const char *const *points = test_given_parts("points of small order", &n);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            /* S = 0: under such a key this "signs" many messages when nobody checks. */
            uint8_t sig[PV_SIGN_LEN] = {0}, pk[32], dh_pk[32];
            test_unhex(points[i], pk, 32);
            test_unhex(points[j], sig, 32);
            assert_int_equal(pv_sign_verify(sig, CONTEXT, text("x"), NONE, pk), PV_ERR_AUTH);
            assert_int_equal(pv_sign_pk_to_dh(pk, dh_pk), PV_ERR_AUTH);
        }
    }
    struct signed_message m = make_signed("hello");
    for (size_t j = 0; j < n; j++) {
        test_unhex(points[j], m.sig, 32);
        assert_int_equal(pv_sign_verify(m.sig, CONTEXT, text("hello"), NONE, m.pk), PV_ERR_AUTH);
    }
}

/* A + T with T of order 2: about every second signature passes libsodium's own verification. */
PV_TEST(a_key_with_a_small_order_component_is_refused)
{
    struct signed_message m = make_signed("");
    uint8_t t[32], mixed[32], mixed_sk[64], dh_pk[32];
    size_t n = 0;
    test_unhex(test_given_parts("points of small order", &n)[2], t, 32);
    assert_int_equal(crypto_core_ed25519_add(mixed, m.pk, t), 0);
    memcpy(mixed_sk, m.sk, 32);
    memcpy(mixed_sk + 32, mixed, 32); /* the hash covers this key */

    unsigned passed = 0;
    for (uint8_t i = 0; i < 32; i++) {
        uint8_t sig[64], msg[sizeof(CONTEXT) + 1];
        memcpy(msg, CONTEXT, sizeof(CONTEXT));
        msg[sizeof(CONTEXT)] = i;
        assert_ok(pv_sign(sig, CONTEXT, pv_view(&i, 1), NONE, mixed_sk));
        passed += crypto_sign_verify_detached(sig, msg, sizeof(msg), mixed) == 0 ? 1u : 0u;
        assert_int_equal(pv_sign_verify(sig, CONTEXT, pv_view(&i, 1), NONE, mixed), PV_ERR_AUTH);
    }
    assert_true(passed > 0); /* else the check of ours would not have been tried */
    assert_int_equal(pv_sign_pk_to_dh(mixed, dh_pk), PV_ERR_AUTH);
}

PV_TEST(both_forms_of_a_key_belong_together)
{
    struct signed_message m = make_signed("");
    uint8_t dh_sk[32], dh_pk[32], want[32];
    pv_sign_sk_to_dh(m.sk, dh_sk);
    pv_dh_public(dh_sk, want);
    assert_ok(pv_sign_pk_to_dh(m.pk, dh_pk));
    assert_memory_equal(dh_pk, want, 32);
}

PV_TEST(sizes_beyond_the_limit_are_refused)
{
    struct signed_message m = make_signed("");
    uint8_t *big = calloc(1, 65537);
    char context[65];
    memset(context, 'x', 64);
    context[64] = '\0';
    assert_non_null(big);
    assert_ok(pv_sign(m.sig, CONTEXT, pv_view(big, 65536), NONE, m.sk));
    assert_int_equal(pv_sign(m.sig, CONTEXT, pv_view(big, 65537), NONE, m.sk), PV_ERR_LIMIT);
    assert_int_equal(pv_sign(m.sig, CONTEXT, pv_view(big, 65536), pv_view(big, 1), m.sk),
                     PV_ERR_LIMIT);
    assert_int_equal(pv_sign(m.sig, context, NONE, NONE, m.sk), PV_ERR_LIMIT);
    assert_ok(pv_sign(m.sig, context + 1, NONE, NONE, m.sk));
    assert_int_equal(pv_sign_verify(m.sig, CONTEXT, pv_view(big, 65537), NONE, m.pk), PV_ERR_LIMIT);
    free(big);
}
