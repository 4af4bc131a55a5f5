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
static const struct {
    const char *seed, *pk, *sig;
} ROWS[] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
     "936afe10f37a15ec99a58474e42ab524b8d10104d7b997aa3a68f34e25199abc"
     "92d3f7f8e162263409fd757a39c6b1251bfa0f5a46df1198ac34410349568203"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
     "9404d0cae22644579f29b970adf094737f04b23e3dcec9a146a3e301df6d5d25"
     "4a27a2a99e8ce7071bb5a6475afac4555c6ce1422adfda8599c83227419e7306"},
};

PV_TEST(keys_and_signatures_match_other_implementations)
{
    static const uint8_t msg[2] = {0xaf, 0x82};
    for (size_t i = 0; i < PV_ARRAY_LEN(ROWS); i++) {
        uint8_t seed[32], want_pk[32], want_sig[64], sk[64], pk[32], sig[64];
        test_unhex(ROWS[i].seed, seed, 32);
        test_unhex(ROWS[i].pk, want_pk, 32);
        test_unhex(ROWS[i].sig, want_sig, 64);
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
static const char *const SMALL_ORDER[] = {
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
};

PV_TEST(points_of_small_order_are_refused_as_key_and_as_r)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(SMALL_ORDER); i++) {
        for (size_t j = 0; j < PV_ARRAY_LEN(SMALL_ORDER); j++) {
            /* S = 0: under such a key this "signs" many messages when nobody checks. */
            uint8_t sig[PV_SIGN_LEN] = {0}, pk[32], dh_pk[32];
            test_unhex(SMALL_ORDER[i], pk, 32);
            test_unhex(SMALL_ORDER[j], sig, 32);
            assert_int_equal(pv_sign_verify(sig, CONTEXT, text("x"), NONE, pk), PV_ERR_AUTH);
            assert_int_equal(pv_sign_pk_to_dh(pk, dh_pk), PV_ERR_AUTH);
        }
    }
    struct signed_message m = make_signed("hello");
    for (size_t j = 0; j < PV_ARRAY_LEN(SMALL_ORDER); j++) {
        test_unhex(SMALL_ORDER[j], m.sig, 32);
        assert_int_equal(pv_sign_verify(m.sig, CONTEXT, text("hello"), NONE, m.pk), PV_ERR_AUTH);
    }
}

/* A + T with T of order 2: about every second signature passes libsodium's own verification. */
PV_TEST(a_key_with_a_small_order_component_is_refused)
{
    struct signed_message m = make_signed("");
    uint8_t t[32], mixed[32], mixed_sk[64], dh_pk[32];
    test_unhex(SMALL_ORDER[2], t, 32);
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
