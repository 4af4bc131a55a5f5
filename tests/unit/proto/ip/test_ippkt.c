/* SPDX-License-Identifier: MIT */
#include "base/bytes.h"
#include "proto/ip/ippkt.h"
#include "tests/unit/test_util.h"

/* 10.66.0.1 -> 10.66.0.2, UDP, 8 bytes of data. */
static size_t make4(uint8_t *p, uint8_t proto, size_t l4_len)
{
    memset(p, 0, 20 + l4_len);
    p[0] = 0x45;
    pv_store_be16(p + 2, (uint16_t)(20 + l4_len));
    p[8] = 64;
    p[9] = proto;
    memcpy(p + 12, "\x0a\x42\x00\x01\x0a\x42\x00\x02", 8);
    return 20 + l4_len;
}

/* fd00::1 -> fd00::2 */
static size_t make6(uint8_t *p, uint8_t next, size_t payload)
{
    memset(p, 0, 40 + payload);
    p[0] = 0x60;
    pv_store_be16(p + 4, (uint16_t)payload);
    p[6] = next;
    p[7] = 64;
    p[8] = p[24] = 0xfd;
    p[23] = 1;
    p[39] = 2;
    return 40 + payload;
}

static int parse_exact(const uint8_t *p, size_t len, struct pv_ippkt *ip)
{
    uint8_t *copy = malloc(len == 0 ? 1 : len);
    assert_non_null(copy);
    memcpy(copy, p, len);
    int r = pv_ippkt_parse(pv_view(copy, len), ip);
    free(copy);
    return r;
}

PV_TEST(headers_are_read_and_padding_is_cut)
{
    uint8_t p[128];
    struct pv_ippkt ip;
    size_t len = make4(p, PV_IP_PROTO_UDP, 16);
    assert_int_equal(pv_ippkt_parse(pv_view(p, len + 12), &ip), PV_OK);
    assert_int_equal(ip.whole.len, len);
    assert_int_equal(ip.version, 4);
    assert_int_equal(ip.proto, PV_IP_PROTO_UDP);
    assert_int_equal(ip.l4.len, 16);
    struct pv_addr src = pv_ippkt_src(&ip), dst = pv_ippkt_dst(&ip);
    assert_int_equal(pv_addr_u32(&src), 0x0a420001);
    assert_int_equal(pv_addr_u32(&dst), 0x0a420002);

    len = make6(p, PV_IP_PROTO_TCP, 20);
    assert_int_equal(pv_ippkt_parse(pv_view(p, len + 4), &ip), PV_OK);
    assert_int_equal(ip.whole.len, len);
    assert_int_equal(ip.proto, PV_IP_PROTO_TCP);
    assert_int_equal(pv_ippkt_dst(&ip).ip[15], 2);
}

PV_TEST(every_truncation_is_refused)
{
    uint8_t p[128];
    struct pv_ippkt ip;
    size_t len = make4(p, PV_IP_PROTO_UDP, 16);
    for (size_t n = 0; n < len; n++)
        assert_int_equal(parse_exact(p, n, &ip), PV_ERR_TRUNCATED);
    assert_int_equal(parse_exact(p, len, &ip), PV_OK);
    len = make6(p, PV_IP_PROTO_UDP, 16);
    for (size_t n = 0; n < len; n++)
        assert_int_equal(parse_exact(p, n, &ip), PV_ERR_TRUNCATED);
    assert_int_equal(parse_exact(p, len, &ip), PV_OK);
}

PV_TEST(wrong_headers_are_refused)
{
    uint8_t p[128];
    struct pv_ippkt ip;
    size_t len = make4(p, PV_IP_PROTO_UDP, 16);
    p[0] = 0x55;
    assert_int_equal(parse_exact(p, len, &ip), PV_ERR_MALFORMED);
    p[0] = 0x44;
    assert_int_equal(parse_exact(p, len, &ip), PV_ERR_MALFORMED);
    p[0] = 0x4a; /* header of 40 bytes in 36 */
    assert_int_equal(parse_exact(p, len, &ip), PV_ERR_MALFORMED);
    p[0] = 0x49; /* header of 36 bytes: all of it */
    assert_int_equal(parse_exact(p, len, &ip), PV_OK);
    assert_int_equal(ip.l4.len, 0);
    p[0] = 0xc1;
    assert_int_equal(parse_exact(p, len, &ip), PV_ERR_MALFORMED);
}

PV_TEST(extension_headers_are_walked_within_bounds)
{
    uint8_t p[256];
    struct pv_ippkt ip;
    /* hop-by-hop (8), destination options (16), fragment (8), then UDP */
    size_t len = make6(p, 0, 40);
    p[40] = 60;
    p[48] = 44;
    p[49] = 1;
    p[64] = PV_IP_PROTO_UDP;
    assert_int_equal(parse_exact(p, len, &ip), PV_OK);
    assert_int_equal(ip.proto, PV_IP_PROTO_UDP);
    assert_int_equal(ip.l4.len, 8);
    assert_false(ip.later_fragment);
    pv_store_be16(p + 66, 0x0008); /* offset 1 */
    assert_int_equal(parse_exact(p, len, &ip), PV_OK);
    assert_true(ip.later_fragment);
    p[49] = 200; /* beyond the packet */
    assert_int_equal(parse_exact(p, len, &ip), PV_OK);
    assert_int_equal(ip.proto, PV_IPPKT_UNKNOWN);
    assert_int_equal(ip.l4.len, 0);
    assert_true(pv_ippkt_is_housekeeping(&ip));

    for (size_t n = 1; n <= PV_IPPKT_MAX_EXTENSIONS + 1; n++) {
        len = make6(p, 0, n * 8);
        p[40 + (n - 1) * 8] = PV_IP_PROTO_UDP;
        assert_int_equal(parse_exact(p, len, &ip), PV_OK);
        assert_int_equal(ip.proto,
                         n <= PV_IPPKT_MAX_EXTENSIONS ? PV_IP_PROTO_UDP : PV_IPPKT_UNKNOWN);
    }
    len = make6(p, 0, 1); /* a header cut in its first byte */
    assert_int_equal(parse_exact(p, len, &ip), PV_OK);
    assert_int_equal(ip.proto, PV_IPPKT_UNKNOWN);
}

static bool quiet(const uint8_t *p, size_t len)
{
    struct pv_ippkt ip;
    assert_int_equal(pv_ippkt_parse(pv_view(p, len), &ip), PV_OK);
    return pv_ippkt_is_housekeeping(&ip);
}

PV_TEST(housekeeping_is_told_from_traffic)
{
    static const uint8_t mld[] = {130, 131, 132, 133, 143}, other6[] = {128, 134, 135, 136, 142};
    static const uint16_t dhcp4[] = {67, 68}, dhcp6[] = {546, 547}, other[] = {66, 69, 545, 5353};
    uint8_t p[128];
    size_t len;
    assert_true(quiet(p, make4(p, PV_IP_PROTO_IGMP, 8)));
    assert_false(quiet(p, make4(p, PV_IP_PROTO_ICMP, 8)));
    assert_false(quiet(p, make4(p, PV_IP_PROTO_UDP, 3))); /* no port to see */
    for (size_t i = 0; i < PV_ARRAY_LEN(dhcp4); i++) {
        len = make4(p, PV_IP_PROTO_UDP, 8);
        pv_store_be16(p + 22, dhcp4[i]);
        assert_true(quiet(p, len));
        len = make6(p, PV_IP_PROTO_UDP, 8);
        pv_store_be16(p + 42, dhcp6[i]);
        assert_true(quiet(p, len));
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(other); i++) {
        len = make4(p, PV_IP_PROTO_UDP, 8);
        pv_store_be16(p + 22, other[i]);
        assert_false(quiet(p, len));
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(mld); i++) {
        len = make6(p, 0, 16); /* as MLD comes: behind a router alert */
        p[40] = PV_IP_PROTO_ICMP6;
        p[48] = mld[i];
        assert_true(quiet(p, len));
        p[48] = other6[i];
        assert_false(quiet(p, len));
    }
}

PV_TEST(checksums_match_rfc1071)
{
    static const uint8_t sample[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
    assert_int_equal(pv_ippkt_sum(pv_view(sample, 8), 0), 0xddf2); /* RFC 1071 s3 */
    assert_int_equal(pv_ippkt_sum(pv_view(sample, 0), 7), 7);
    assert_int_equal(pv_ippkt_sum(pv_view("\xff\xff", 2), 0x10000), 1); /* folds twice */
    assert_int_equal(pv_ippkt_sum(pv_view("\xab", 1), 0), 0xab00);
    uint32_t split = pv_ippkt_sum(pv_view(sample + 4, 4), pv_ippkt_sum(pv_view(sample, 4), 0));
    assert_int_equal(split, 0xddf2);
}

PV_TEST(errors_over_ipv4_quote_and_sum_right)
{
    uint8_t p[1500], e[PV_IPPKT_ERROR_MAX];
    struct pv_ippkt ip, err;
    size_t len;
    assert_int_equal(parse_exact(p, make4(p, PV_IP_PROTO_UDP, 8), &ip), PV_OK);
    assert_int_equal(pv_ippkt_parse(pv_view(p, 28), &ip), PV_OK);
    assert_int_equal(pv_ippkt_error(&ip, PV_IPPKT_UNREACHABLE, 0, e, sizeof(e), &len), PV_OK);
    assert_int_equal(len, 28 + 28);
    assert_int_equal(pv_ippkt_parse(pv_view(e, len), &err), PV_OK);
    assert_int_equal(pv_ippkt_sum(pv_view(e, 20), 0), 0xffff);
    assert_int_equal(pv_ippkt_sum(err.l4, 0), 0xffff);
    assert_int_equal(err.proto, PV_IP_PROTO_ICMP);
    assert_memory_equal(err.l4.ptr, "\x03\x01", 2);
    assert_memory_equal(err.src, ip.dst, 4);
    assert_memory_equal(err.dst, ip.src, 4);
    assert_memory_equal(err.l4.ptr + 8, p, 28);

    len = make4(p, PV_IP_PROTO_TCP, 1400);
    assert_int_equal(pv_ippkt_parse(pv_view(p, len), &ip), PV_OK);
    assert_int_equal(pv_ippkt_error(&ip, PV_IPPKT_TOO_BIG, 1300, e, sizeof(e), &len), PV_OK);
    assert_int_equal(len, 576);
    assert_int_equal(pv_ippkt_parse(pv_view(e, len), &err), PV_OK);
    assert_int_equal(pv_ippkt_sum(pv_view(e, 20), 0), 0xffff);
    assert_int_equal(pv_ippkt_sum(err.l4, 0), 0xffff);
    assert_memory_equal(err.l4.ptr, "\x03\x04", 2);
    assert_int_equal(pv_load_be16(err.l4.ptr + 6), 1300);
    for (size_t cap = 0; cap < 576; cap++)
        assert_int_equal(pv_ippkt_error(&ip, PV_IPPKT_TOO_BIG, 1300, e, cap, &len),
                         PV_ERR_NO_SPACE);
}

PV_TEST(errors_over_ipv6_quote_and_sum_right)
{
    uint8_t p[1600], e[PV_IPPKT_ERROR_MAX];
    struct pv_ippkt ip, err;
    size_t len = make6(p, PV_IP_PROTO_UDP, 1460);
    assert_int_equal(pv_ippkt_parse(pv_view(p, len), &ip), PV_OK);
    assert_int_equal(pv_ippkt_error(&ip, PV_IPPKT_TOO_BIG, 1280, e, sizeof(e), &len), PV_OK);
    assert_int_equal(len, PV_IPPKT_ERROR_MAX);
    assert_int_equal(pv_ippkt_parse(pv_view(e, len), &err), PV_OK);
    assert_memory_equal(err.l4.ptr, "\x02\x00", 2);
    assert_int_equal(pv_load_be32(err.l4.ptr + 4), 1280);
    assert_memory_equal(err.src, ip.dst, 16);
    assert_memory_equal(err.dst, ip.src, 16);
    uint32_t sum = pv_ippkt_sum(pv_view(err.src, 32), (uint32_t)err.l4.len + 58);
    assert_int_equal(pv_ippkt_sum(err.l4, sum), 0xffff);

    assert_int_equal(pv_ippkt_error(&ip, PV_IPPKT_UNREACHABLE, 0, e, sizeof(e), &len), PV_OK);
    assert_memory_equal(e + 40, "\x01\x03", 2);
}

PV_TEST(no_error_answers_what_must_not_be_answered)
{
    static const uint8_t icmp4[] = {3, 4, 5, 11, 12}, hosts[] = {0, 127, 224, 240, 255};
    uint8_t p[128], e[PV_IPPKT_ERROR_MAX];
    struct pv_ippkt ip;
    size_t len = 0;
    for (size_t i = 0; i < PV_ARRAY_LEN(icmp4); i++) {
        make4(p, PV_IP_PROTO_ICMP, 8);
        p[20] = icmp4[i];
        assert_int_equal(pv_ippkt_parse(pv_view(p, 28), &ip), PV_OK);
        assert_int_equal(pv_ippkt_error(&ip, PV_IPPKT_UNREACHABLE, 0, e, sizeof(e), &len),
                         PV_ERR_REFUSED);
    }
    p[20] = 8; /* an echo request is no error */
    assert_int_equal(pv_ippkt_error(&ip, PV_IPPKT_UNREACHABLE, 0, e, sizeof(e), &len), PV_OK);
    for (size_t i = 0; i < PV_ARRAY_LEN(hosts); i++) {
        for (size_t at = 12; at <= 16; at += 4) {
            make4(p, PV_IP_PROTO_UDP, 8);
            memset(p + at, hosts[i], 4);
            assert_int_equal(pv_ippkt_parse(pv_view(p, 28), &ip), PV_OK);
            assert_int_equal(pv_ippkt_error(&ip, PV_IPPKT_TOO_BIG, 1280, e, sizeof(e), &len),
                             PV_ERR_REFUSED);
        }
    }
    make4(p, PV_IP_PROTO_UDP, 8);
    pv_store_be16(p + 6, 1); /* a later fragment */
    assert_int_equal(pv_ippkt_parse(pv_view(p, 28), &ip), PV_OK);
    assert_int_equal(pv_ippkt_error(&ip, PV_IPPKT_UNREACHABLE, 0, e, sizeof(e), &len),
                     PV_ERR_REFUSED);

    make6(p, PV_IP_PROTO_ICMP6, 8);
    assert_int_equal(pv_ippkt_parse(pv_view(p, 48), &ip), PV_OK);
    p[40] = 127;
    assert_int_equal(pv_ippkt_error(&ip, PV_IPPKT_UNREACHABLE, 0, e, sizeof(e), &len),
                     PV_ERR_REFUSED);
    p[40] = 128;
    assert_int_equal(pv_ippkt_error(&ip, PV_IPPKT_UNREACHABLE, 0, e, sizeof(e), &len), PV_OK);
    p[24] = 0xff;
    assert_int_equal(pv_ippkt_error(&ip, PV_IPPKT_UNREACHABLE, 0, e, sizeof(e), &len),
                     PV_ERR_REFUSED);
}
