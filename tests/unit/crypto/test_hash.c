/* SPDX-License-Identifier: MIT */
#include "crypto/hash.h"
#include "tests/unit/test_util.h"

static struct pv_view text(const char *s)
{
    return pv_view(s, strlen(s));
}

static const struct pv_view NONE = {NULL, 0};

static void assert_hex(const uint8_t *got, const char *want_hex, size_t len)
{
    uint8_t want[64];
    assert_int_equal(test_unhex(want_hex, want, sizeof(want)), len);
    assert_memory_equal(got, want, len);
}

/* RFC 7693 appendix B. */
PV_TEST(blake2s_of_abc_is_that_of_the_rfc)
{
    uint8_t out[PV_BLAKE2S_LEN];
    pv_blake2s(out, text("abc"), NONE);
    assert_hex(out, test_given("hex 508c5e8c327c"), 32);
    pv_blake2s(out, text("a"), text("bc"));
    assert_hex(out, test_given("hex 508c5e8c327c"), 32);
}

/* The deterministic sequence of RFC 7693 appendix E. */
static void selftest_seq(uint8_t *out, size_t len, uint32_t seed)
{
    uint32_t a = 0xdead4bad * seed;
    uint32_t b = 1;
    for (size_t i = 0; i < len; i++) {
        uint32_t t = a + b;
        a = b;
        b = t;
        out[i] = (uint8_t)(t >> 24);
    }
}

PV_TEST(blake2s_passes_the_self_test_of_the_rfc)
{
    static const size_t md_len[] = {16, 20, 28, 32};
    static const size_t in_len[] = {0, 3, 64, 65, 255, 1024};
    uint8_t in[1024], md[32], key[32];
    struct pv_blake2s all;

    pv_blake2s_init(&all, NONE, 32);
    for (size_t i = 0; i < PV_ARRAY_LEN(md_len); i++) {
        for (size_t j = 0; j < PV_ARRAY_LEN(in_len); j++) {
            struct pv_blake2s s;
            selftest_seq(in, in_len[j], (uint32_t)in_len[j]);
            pv_blake2s_init(&s, NONE, md_len[i]);
            pv_blake2s_update(&s, in, in_len[j]);
            pv_blake2s_final(&s, md);
            pv_blake2s_update(&all, md, md_len[i]);

            selftest_seq(key, md_len[i], (uint32_t)md_len[i]);
            pv_blake2s_init(&s, pv_view(key, md_len[i]), md_len[i]);
            pv_blake2s_update(&s, in, in_len[j]);
            pv_blake2s_final(&s, md);
            pv_blake2s_update(&all, md, md_len[i]);
        }
    }
    pv_blake2s_final(&all, md);
    assert_hex(md, test_given("hex 6a411f08ce25"), 32);
}

PV_TEST(blake2s_does_not_depend_on_how_the_input_is_cut)
{
    uint8_t in[200], whole[32], cut[32];
    selftest_seq(in, sizeof(in), 7);
    pv_blake2s(whole, pv_view(in, sizeof(in)), NONE);
    for (size_t at = 0; at <= sizeof(in); at++) {
        pv_blake2s(cut, pv_view(in, at), pv_view(in + at, sizeof(in) - at));
        assert_memory_equal(whole, cut, sizeof(whole));
    }
}

/* Made by Python's hashlib. */
PV_TEST(keyed_mac_matches_another_implementation)
{
    uint8_t key[32], data[116], out[PV_MAC_LEN];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)i;
    memcpy(key, data, sizeof(key));
    pv_blake2s_mac(out, pv_view(key, sizeof(key)), pv_view(data, sizeof(data)));
    assert_hex(out, "072e94ffbfc684bd8ab2a1b9dade2fd5", sizeof(out));
}

/* Made by Python's hmac and hashlib. */
PV_TEST(hmac_blake2s_matches_another_implementation)
{
    uint8_t key[80], out[PV_BLAKE2S_LEN];
    for (size_t i = 0; i < 32; i++)
        key[i] = (uint8_t)i;
    pv_hmac_blake2s(out, key, 32, text("what do ya want "), text("for nothing?"));
    assert_hex(out, test_given("hex 14229dde9cdb"), 32);
    memset(key, 0xaa, sizeof(key));
    pv_hmac_blake2s(out, key, sizeof(key), text("Test Using Larger Than Block-Size Key"), NONE);
    assert_hex(out, test_given("hex 9e56f653dec0"), 32);
}

PV_TEST(noise_hkdf_matches_another_implementation_and_may_alias)
{
    uint8_t ck[32], in[32], o1[32], o2[32], o3[32];
    for (size_t i = 0; i < 32; i++) {
        ck[i] = (uint8_t)i;
        in[i] = (uint8_t)(100 + i);
    }
    pv_noise_hkdf(ck, pv_view(in, 32), o1, o2, o3);
    assert_hex(o1, test_given("hex e3b7e0387994"), 32);
    assert_hex(o2, test_given("hex ca06d8e46b50"), 32);
    assert_hex(o3, test_given("hex 5ee952936bec"), 32);

    uint8_t second[32];
    pv_noise_hkdf(ck, pv_view(in, 32), ck, second, NULL);
    assert_memory_equal(ck, o1, 32);
    assert_memory_equal(second, o2, 32);
}

/* RFC 7693 appendix A. */
PV_TEST(blake2b512_is_the_rfcs_and_may_be_asked_on_the_way)
{
    const char *want = test_given("BLAKE2b-512 of abc");
    uint8_t expected[PV_BLAKE2B512_LEN], out[PV_BLAKE2B512_LEN], empty[PV_BLAKE2B512_LEN];
    struct pv_blake2b512 *h;
    test_unhex(want, expected, sizeof(expected));
    assert_ok(pv_blake2b512_new(&h));
    assert_ok(pv_blake2b512_digest(h, empty));
    assert_ok(pv_blake2b512_update(h, "a", 1));
    assert_ok(pv_blake2b512_digest(h, out));
    assert_memory_not_equal(out, empty, sizeof(out));
    assert_ok(pv_blake2b512_update(h, "bc", 2));
    for (int i = 0; i < 2; i++) {
        assert_ok(pv_blake2b512_digest(h, out));
        assert_memory_equal(out, expected, sizeof(out));
    }
    pv_blake2b512_free(h);
}

PV_TEST(blake2b_joins_its_three_parts)
{
    uint8_t out[PV_BLAKE2B_LEN];
    pv_blake2b(out, text("abc"), NONE, NONE);
    assert_hex(out, test_given("hex bddd813c6342"), 32);
    pv_blake2b(out, text("a"), text("b"), text("c"));
    assert_hex(out, test_given("hex bddd813c6342"), 32);
}

/* RFC 2202 section 3, cases 1, 2 and 6. */
PV_TEST(sha256_passes_the_cases_of_its_standards)
{
    uint8_t key[20];
    uint8_t out[PV_SHA256_LEN];
    uint8_t want[PV_SHA256_LEN];
    memset(key, 0x0b, sizeof(key));
    /* RFC 4231 s4.2 and s4.3 */
    assert_ok(pv_hmac_sha256(out, pv_view(key, 20), text("Hi There")));
    test_unhex(test_given("hex b0344c61d8db"), want, sizeof(want));
    assert_memory_equal(out, want, sizeof(want));
    assert_ok(pv_hmac_sha256(out, text("Jefe"), text("what do ya want for nothing?")));
    test_unhex(test_given("hex 5bdcc146bf60"), want, sizeof(want));
    assert_memory_equal(out, want, sizeof(want));
    /* FIPS 180-4, "abc" */
    assert_ok(pv_sha256(out, text("abc")));
    test_unhex(test_given("hex ba7816bf8f01"), want, sizeof(want));
    assert_memory_equal(out, want, sizeof(want));
}

PV_TEST(hmac_sha1_passes_the_cases_of_the_rfc)
{
    uint8_t key[80], out[PV_SHA1_LEN];
    memset(key, 0x0b, 20);
    assert_ok(pv_hmac_sha1(out, pv_view(key, 20), text("Hi There")));
    assert_hex(out, "b617318655057264e28bc0b6fb378c8ef146be00", sizeof(out));
    assert_ok(pv_hmac_sha1(out, text("Jefe"), text("what do ya want for nothing?")));
    assert_hex(out, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79", sizeof(out));
    memset(key, 0xaa, sizeof(key));
    assert_ok(
        pv_hmac_sha1(out, pv_view(key, sizeof(key)), text(test_given("Test Using Larger Than"))));
    assert_hex(out, "aa4ae5e15272d00e95705637ce8a3b55ed402112", sizeof(out));
    assert_ok(pv_hmac_sha1(out, NONE, NONE));
    assert_hex(out, "fbdb1d1b18aa6c08324b7d64b71fb76370690e1d", sizeof(out));
}

/* RFC 1321 appendix A.5 and the check value of CRC-32. */
PV_TEST(md5_and_crc32_match_published_values)
{
    uint8_t out[PV_MD5_LEN];
    assert_ok(pv_md5(out, text("message digest")));
    assert_hex(out, "f96b697d7cb7938d525a2f31aaf161d0", sizeof(out));
    assert_int_equal(pv_crc32(text("123456789")), 0xcbf43926);
    assert_int_equal(pv_crc32(NONE), 0);
}
