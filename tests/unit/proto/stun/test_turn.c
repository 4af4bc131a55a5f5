/* SPDX-License-Identifier: MIT */
#include "base/bytes.h"
#include "proto/stun/turn.h"
#include "proto/stun/turnframe.h"
#include "tests/unit/test_util.h"

static const uint8_t TXID[PV_STUN_TXID_LEN] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

PV_TEST(long_term_key_is_that_of_the_rfc)
{
    /* RFC 8489 s9.2.2: "user", "realm", "pass" */
    static const uint8_t WANT[PV_MD5_LEN] = {0x84, 0x93, 0xfb, 0xc5, 0x3b, 0xa5, 0x82, 0xfb,
                                             0x4c, 0x04, 0x4c, 0x45, 0x6b, 0xdc, 0x40, 0xeb};
    uint8_t key[PV_MD5_LEN];
    assert_ok(pv_turn_key("user", "realm", "pass", key));
    assert_memory_equal(key, WANT, sizeof(key));
    char longest[1025];
    memset(longest, 'x', sizeof(longest));
    longest[1024 - 4] = '\0'; /* with "u:" before and ":p" behind 1,024 */
    assert_ok(pv_turn_key("u", longest, "p", key));
    longest[1024 - 4] = 'x';
    longest[1024 - 3] = '\0';
    assert_int_equal(pv_turn_key("u", longest, "p", key), PV_ERR_NO_SPACE);
}

PV_TEST(virtual_addresses_name_coordinator_and_node)
{
    uint8_t c1[32] = {1}, c2[32] = {2}, n1[32] = {3}, n2[32] = {4};
    struct pv_addr a = pv_turn_virtual_addr(c1, n1);
    struct pv_addr b = pv_turn_virtual_addr(c1, n2);
    struct pv_addr elsewhere = pv_turn_virtual_addr(c2, n1);
    assert_int_equal(a.family, PV_AF_INET6);
    assert_int_equal(a.port, 3478);
    assert_int_equal(a.ip[0], 0xfd);
    assert_int_equal(a.ip[6] | a.ip[7], 0); /* subnet 0 */
    assert_true(pv_turn_same_relay(&a, &b));
    assert_false(pv_turn_same_relay(&a, &elsewhere));
    assert_true(pv_turn_is_virtual_of(&a, n1));
    assert_true(pv_turn_is_virtual_of(&elsewhere, n1));
    assert_false(pv_turn_is_virtual_of(&b, n1));
    a.port++;
    assert_false(pv_turn_is_virtual_of(&a, n1));
    struct pv_addr v4 = pv_addr4(192, 0, 2, 1, 3478);
    assert_false(pv_turn_same_relay(&v4, &v4));
    assert_false(pv_turn_is_virtual_of(&v4, n1));
}

PV_TEST(channel_data_survives_a_round_trip_and_every_truncation)
{
    uint8_t buf[12] = {0, 0, 0, 0, 'a', 'b', 'c', 'd', 'e'};
    uint16_t channel = 0;
    struct pv_view data;
    pv_turn_channel_header(buf, 0x4fff, 5);
    for (size_t len = 0; len < 9; len++)
        assert_int_equal(pv_turn_channel_parse(pv_view(buf, len), &channel, &data),
                         PV_ERR_TRUNCATED);
    assert_int_equal(channel, 0);
    for (size_t len = 9; len <= sizeof(buf); len++) { /* padding is allowed */
        assert_ok(pv_turn_channel_parse(pv_view(buf, len), &channel, &data));
        assert_int_equal(channel, 0x4fff);
        assert_int_equal(data.len, 5);
        assert_memory_equal(data.ptr, "abcde", 5);
    }
    pv_turn_channel_header(buf, 0x5000, 5);
    assert_int_equal(pv_turn_channel_parse(pv_view(buf, 9), &channel, &data), PV_ERR_MALFORMED);
    pv_turn_channel_header(buf, 0x3fff, 5);
    assert_int_equal(pv_turn_channel_parse(pv_view(buf, 9), &channel, &data), PV_ERR_MALFORMED);
    pv_turn_channel_header(buf, 0x4000, 0);
    assert_ok(pv_turn_channel_parse(pv_view(buf, 4), &channel, &data));
    assert_int_equal(data.len, 0);
}

PV_TEST(indications_survive_a_round_trip_and_every_truncation)
{
    uint8_t c[32] = {1}, n[32] = {2}, buf[64 + PV_TURN_INDICATION_MAX];
    struct pv_addr peer = pv_turn_virtual_addr(c, n), got;
    uint8_t payload[61];
    struct pv_view data;
    size_t len = 0;
    memset(payload, 7, sizeof(payload));
    assert_ok(pv_turn_indication_build(PV_TURN_DATA, TXID, &peer, pv_view(payload, sizeof(payload)),
                                       buf, sizeof(payload) + PV_TURN_INDICATION_MAX, &len));
    assert_ok(pv_turn_indication_parse(pv_view(buf, len), PV_TURN_DATA, &got, &data));
    assert_true(pv_addr_equal(&got, &peer));
    assert_int_equal(data.len, sizeof(payload));
    assert_memory_equal(data.ptr, payload, sizeof(payload));
    assert_int_equal(pv_turn_indication_parse(pv_view(buf, len), PV_TURN_SEND, &got, &data),
                     PV_ERR_NOT_FOUND);
    for (size_t cut = 0; cut < len; cut++)
        assert_true(pv_turn_indication_parse(pv_view(buf, cut), PV_TURN_DATA, &got, &data) < 0);
    size_t other = 99;
    for (size_t cap = 0; cap < len; cap++)
        assert_int_equal(pv_turn_indication_build(PV_TURN_DATA, TXID, &peer,
                                                  pv_view(payload, sizeof(payload)), buf, cap,
                                                  &other),
                         PV_ERR_NO_SPACE);
    assert_int_equal(other, 99);
}

PV_TEST(an_indication_without_peer_or_data_is_none)
{
    uint8_t buf[64];
    struct pv_addr peer = pv_addr4(192, 0, 2, 1, 9), got;
    struct pv_view data;
    struct pv_stun_writer w;
    size_t len;
    pv_stun_write_begin(&w, buf, sizeof(buf), PV_STUN_INDICATION, PV_TURN_DATA, TXID);
    pv_stun_put_xor_addr(&w, PV_TURN_ATTR_XOR_PEER_ADDRESS, &peer);
    assert_ok(pv_stun_write_end(&w, &len));
    assert_int_equal(pv_turn_indication_parse(pv_view(buf, len), PV_TURN_DATA, &got, &data),
                     PV_ERR_NOT_FOUND);
    pv_stun_write_begin(&w, buf, sizeof(buf), PV_STUN_INDICATION, PV_TURN_DATA, TXID);
    pv_stun_put(&w, PV_TURN_ATTR_DATA, pv_view("x", 1));
    assert_ok(pv_stun_write_end(&w, &len));
    assert_int_equal(pv_turn_indication_parse(pv_view(buf, len), PV_TURN_DATA, &got, &data),
                     PV_ERR_NOT_FOUND);
    pv_stun_write_begin(&w, buf, sizeof(buf), PV_STUN_REQUEST, PV_TURN_DATA, TXID);
    assert_ok(pv_stun_write_end(&w, &len));
    assert_int_equal(pv_turn_indication_parse(pv_view(buf, len), PV_TURN_DATA, &got, &data),
                     PV_ERR_NOT_FOUND);
}

/* --- turnframe ------------------------------------------------------------------------------- */

static const uint8_t STREAM[] = {
    0x00, 0x01, 0,    0,    0x21, 0x12, 0xa4, 0x42, 1,   2,
    3,    4,    5,    6,    7,    8,    9,    10,   11,  12, /* Binding */
    0x40, 0x01, 0,    5,    'h',  'e',  'l',  'l',  'o', 0,
    0,    0,    0x40, 0x02, 0,    4,    'f',  'o',  'u', 'r', /* no padding */
    0x00, 0x17, 0,    4,    0x21, 0x12, 0xa4, 0x42, 1,   2,
    3,    4,    5,    6,    7,    8,    9,    10,   11,  12, /**/
    0x00, 0x13, 0,    0,                                     /**/
    0x4f, 0xff, 0,    0,                                     /* empty */
};
static const size_t LENS[] = {20, 9, 8, 24, 4};

static struct pv_turnframe *fresh(void)
{
    struct pv_turnframe *f = test_alloc(sizeof(*f));
    return f;
}

PV_TEST(messages_are_cut_wherever_the_bytes_are_cut)
{
    for (size_t piece = 1; piece <= sizeof(STREAM); piece++) {
        struct pv_turnframe *f = fresh();
        size_t n = 0, begin = 0;
        for (size_t at = 0; at < sizeof(STREAM); at += piece) {
            size_t len = sizeof(STREAM) - at < piece ? sizeof(STREAM) - at : piece;
            struct pv_view data = pv_view(STREAM + at, len), m;
            int r;
            while ((r = pv_turnframe_next(f, &data, &m)) == PV_OK) {
                assert_true(n < PV_ARRAY_LEN(LENS));
                assert_int_equal(m.len, LENS[n]);
                assert_memory_equal(m.ptr, STREAM + begin, m.len);
                begin += m.len + pv_turnframe_padding(m.len);
                n++;
            }
            assert_int_equal(r, PV_ERR_AGAIN);
            assert_int_equal(data.len, 0);
        }
        assert_int_equal(n, PV_ARRAY_LEN(LENS));
        assert_int_equal(begin, sizeof(STREAM));
        free(f);
    }
}

PV_TEST(bytes_that_are_neither_lose_the_stream)
{
    for (unsigned first = 0; first < 256; first++) {
        uint8_t bytes[24] = {(uint8_t)first};
        pv_store_be32(bytes + 4, 0x2112a442);
        struct pv_turnframe *f = fresh();
        struct pv_view data = pv_view(bytes, sizeof(bytes)), m;
        bool fine = first < 4 || (first >= 0x40 && first < 0x80);
        assert_int_equal(pv_turnframe_next(f, &data, &m), fine ? PV_OK : PV_ERR_MALFORMED);
        free(f);
    }
    uint8_t bad[20] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x43}; /* another cookie */
    struct pv_turnframe *f = fresh();
    struct pv_view data = pv_view(bad, sizeof(bad)), m;
    assert_int_equal(pv_turnframe_next(f, &data, &m), PV_ERR_MALFORMED);
    bad[7] = 0x42;
    bad[3] = 2; /* a length that no STUN message has */
    data = pv_view(bad, sizeof(bad));
    assert_int_equal(pv_turnframe_next(f, &data, &m), PV_ERR_MALFORMED);
    free(f);
}

/* The bytes before the break are taken, those behind it lose the stream whenever they come. */
PV_TEST(a_broken_message_behind_a_cut_loses_the_stream_too)
{
    static const uint8_t BYTES[] = {0x40, 1, 0, 1, 'x', 0, 0, 0, 0x90};
    struct pv_turnframe *f = fresh();
    struct pv_view data = pv_view(BYTES, 6), m;
    assert_int_equal(pv_turnframe_next(f, &data, &m), PV_ERR_AGAIN);
    data = pv_view(BYTES + 6, 3);
    assert_ok(pv_turnframe_next(f, &data, &m));
    assert_int_equal(m.len, 5);
    assert_int_equal(pv_turnframe_next(f, &data, &m), PV_ERR_MALFORMED);
    free(f);
}

PV_TEST(the_longest_messages_fit_one_byte_at_a_time)
{
    static uint8_t big[PV_TURNFRAME_MAX];
    static const struct {
        uint16_t type, len;
        size_t message, frame;
    } cases[] = {{0x4000, 65535, 65539, 65540}, {0x0017, 65532, 65552, 65552}};
    for (size_t i = 0; i < PV_ARRAY_LEN(cases); i++) {
        struct pv_turnframe *f = fresh();
        struct pv_view m = {0};
        pv_store_be16(big, cases[i].type);
        pv_store_be16(big + 2, cases[i].len);
        pv_store_be32(big + 4, 0x2112a442);
        for (size_t at = 0; at < cases[i].frame; at++) {
            struct pv_view data = pv_view(big + at, 1);
            assert_int_equal(pv_turnframe_next(f, &data, &m),
                             at + 1 == cases[i].frame ? PV_OK : PV_ERR_AGAIN);
        }
        assert_int_equal(m.len, cases[i].message);
        free(f);
    }
}
