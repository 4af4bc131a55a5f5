/* SPDX-License-Identifier: MIT */
/* The datagram by which members find each other in a LAN: its keys, tags and bytes. */
#include "proto/control/beacon.h"
#include "tests/unit/test_util.h"

static const uint8_t ss[PV_DH_LEN] = {1}, other_ss[PV_DH_LEN] = {2};
static const uint8_t alice[PV_DH_LEN] = {10}, bob[PV_DH_LEN] = {20};
static const uint8_t nonce[PV_BEACON_NONCE_LEN] = {30}, later[PV_BEACON_NONCE_LEN] = {31};

PV_TEST(each_direction_of_a_pair_has_its_key)
{
    uint8_t a_out[PV_BEACON_KEY_LEN], a_in[PV_BEACON_KEY_LEN];
    uint8_t b_out[PV_BEACON_KEY_LEN], b_in[PV_BEACON_KEY_LEN];
    pv_beacon_keys(ss, alice, bob, a_out, a_in);
    pv_beacon_keys(ss, bob, alice, b_out, b_in);
    assert_memory_equal(a_out, b_in, sizeof(a_out));
    assert_memory_equal(a_in, b_out, sizeof(a_in));
    assert_memory_not_equal(a_out, a_in, sizeof(a_out));
    pv_beacon_keys(other_ss, alice, bob, b_out, b_in);
    assert_memory_not_equal(a_out, b_out, sizeof(a_out));
}

PV_TEST(a_tag_is_of_one_datagram_and_its_source)
{
    const struct pv_addr src = pv_addr4(192, 168, 1, 2, 51820);
    struct pv_addr moved = src, elsewhere = src, six = src;
    moved.ip[3]++;
    elsewhere.port++;
    six.family = PV_AF_INET6;
    const uint64_t tag = pv_beacon_tag(ss, nonce, &src);
    assert_true(tag == pv_beacon_tag(ss, nonce, &src));
    assert_true(tag != pv_beacon_tag(ss, later, &src));
    assert_true(tag != pv_beacon_tag(other_ss, nonce, &src));
    assert_true(tag != pv_beacon_tag(ss, nonce, &moved));
    assert_true(tag != pv_beacon_tag(ss, nonce, &elsewhere));
    assert_true(tag != pv_beacon_tag(ss, nonce, &six));
}

/* Computed apart from this code, with hashlib's BLAKE2s. */
PV_TEST(a_tag_is_the_same_in_every_version)
{
    uint8_t out[PV_BEACON_KEY_LEN], in[PV_BEACON_KEY_LEN];
    const struct pv_addr four = pv_addr4(192, 168, 1, 2, 51820);
    struct pv_addr six = {.family = PV_AF_INET6, .port = 51820};
    six.ip[0] = 0xfd;
    six.ip[15] = 7;
    pv_beacon_keys(ss, alice, bob, out, in);
    assert_true(pv_beacon_tag(out, nonce, &four) == UINT64_C(0x8442ac2f7295850a));
    assert_true(pv_beacon_tag(in, nonce, &six) == UINT64_C(0x2d63e9d9dcf1955c));
}

PV_TEST(a_datagram_survives_the_way)
{
    struct pv_beacon b = {.nonce = {1, 2, 3}}, got;
    uint8_t buf[PV_BEACON_LEN + 1] = {0};
    for (size_t i = 0; i < PV_BEACON_TAGS; i++)
        b.tags[i] = UINT64_C(0x0123456789abcdef) * (i + 1);
    pv_beacon_write(&b, buf);
    assert_ok(pv_beacon_parse(pv_view(buf, PV_BEACON_LEN), &got));
    assert_memory_equal(got.nonce, b.nonce, sizeof(b.nonce));
    assert_memory_equal(got.tags, b.tags, sizeof(b.tags));
    for (size_t len = 0; len <= sizeof(buf); len++) {
        if (len != PV_BEACON_LEN)
            assert_int_equal(pv_beacon_parse(pv_view(buf, len), &got), PV_ERR_MALFORMED);
    }
    for (size_t i = 0; i < PV_BEACON_TAGS; i++) {
        assert_true(pv_beacon_has(&b, b.tags[i]));
        assert_false(pv_beacon_has(&b, b.tags[i] ^ 1));
        assert_false(pv_beacon_has(&b, b.tags[i] ^ UINT64_C(0x8000000000000000)));
    }
}

/* IPv6's least MTU holds it: no host's link cuts it. */
PV_TEST(it_is_for_all_hosts_of_the_link)
{
    const struct pv_addr four = pv_beacon_group(PV_AF_INET), six = pv_beacon_group(PV_AF_INET6);
    assert_string_equal(PV_ADDR_STR(&four), "224.0.0.1:51819");
    assert_string_equal(PV_ADDR_STR(&six), "[ff02::1]:51819");
    assert_true(PV_BEACON_LEN + 48 <= 1280);
}
