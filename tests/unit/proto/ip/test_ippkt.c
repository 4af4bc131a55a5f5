/* SPDX-License-Identifier: MIT */
#include "base/bytes.h"
#include "proto/ip/ipfrag.h"
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
    assert_ok(pv_ippkt_parse(pv_view(p, len + 12), &ip));
    assert_int_equal(ip.whole.len, len);
    assert_int_equal(ip.version, 4);
    assert_int_equal(ip.proto, PV_IP_PROTO_UDP);
    assert_int_equal(ip.l4.len, 16);
    struct pv_addr src = pv_ippkt_src(&ip), dst = pv_ippkt_dst(&ip);
    assert_int_equal(pv_addr_u32(&src), 0x0a420001);
    assert_int_equal(pv_addr_u32(&dst), 0x0a420002);

    len = make6(p, PV_IP_PROTO_TCP, 20);
    assert_ok(pv_ippkt_parse(pv_view(p, len + 4), &ip));
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
    assert_ok(parse_exact(p, len, &ip));
    len = make6(p, PV_IP_PROTO_UDP, 16);
    for (size_t n = 0; n < len; n++)
        assert_int_equal(parse_exact(p, n, &ip), PV_ERR_TRUNCATED);
    assert_ok(parse_exact(p, len, &ip));
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
    assert_ok(parse_exact(p, len, &ip));
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
    assert_ok(parse_exact(p, len, &ip));
    assert_int_equal(ip.proto, PV_IP_PROTO_UDP);
    assert_int_equal(ip.l4.len, 8);
    assert_false(ip.later_fragment);
    pv_store_be16(p + 66, 0x0008); /* offset 1 */
    assert_ok(parse_exact(p, len, &ip));
    assert_true(ip.later_fragment);
    p[49] = 200; /* beyond the packet */
    assert_ok(parse_exact(p, len, &ip));
    assert_int_equal(ip.proto, PV_IPPKT_UNKNOWN);
    assert_int_equal(ip.l4.len, 0);
    assert_true(pv_ippkt_is_housekeeping(&ip));

    for (size_t n = 1; n <= PV_IPPKT_MAX_EXTENSIONS + 1; n++) {
        len = make6(p, 0, n * 8);
        p[40 + (n - 1) * 8] = PV_IP_PROTO_UDP;
        assert_ok(parse_exact(p, len, &ip));
        assert_int_equal(ip.proto,
                         n <= PV_IPPKT_MAX_EXTENSIONS ? PV_IP_PROTO_UDP : PV_IPPKT_UNKNOWN);
    }
    len = make6(p, 0, 1); /* a header cut in its first byte */
    assert_ok(parse_exact(p, len, &ip));
    assert_int_equal(ip.proto, PV_IPPKT_UNKNOWN);
}

static bool quiet(const uint8_t *p, size_t len)
{
    struct pv_ippkt ip;
    assert_ok(pv_ippkt_parse(pv_view(p, len), &ip));
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
    assert_ok(parse_exact(p, make4(p, PV_IP_PROTO_UDP, 8), &ip));
    assert_ok(pv_ippkt_parse(pv_view(p, 28), &ip));
    assert_ok(pv_ippkt_error(&ip, PV_IPPKT_UNREACHABLE, 0, e, sizeof(e), &len));
    assert_int_equal(len, 28 + 28);
    assert_ok(pv_ippkt_parse(pv_view(e, len), &err));
    assert_int_equal(pv_ippkt_sum(pv_view(e, 20), 0), 0xffff);
    assert_int_equal(pv_ippkt_sum(err.l4, 0), 0xffff);
    assert_int_equal(err.proto, PV_IP_PROTO_ICMP);
    assert_memory_equal(err.l4.ptr, "\x03\x01", 2);
    assert_memory_equal(err.src, ip.dst, 4);
    assert_memory_equal(err.dst, ip.src, 4);
    assert_memory_equal(err.l4.ptr + 8, p, 28);

    len = make4(p, PV_IP_PROTO_TCP, 1400);
    assert_ok(pv_ippkt_parse(pv_view(p, len), &ip));
    assert_ok(pv_ippkt_error(&ip, PV_IPPKT_TOO_BIG, 1300, e, sizeof(e), &len));
    assert_int_equal(len, 576);
    assert_ok(pv_ippkt_parse(pv_view(e, len), &err));
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
    assert_ok(pv_ippkt_parse(pv_view(p, len), &ip));
    assert_ok(pv_ippkt_error(&ip, PV_IPPKT_TOO_BIG, 1280, e, sizeof(e), &len));
    assert_int_equal(len, PV_IPPKT_ERROR_MAX);
    assert_ok(pv_ippkt_parse(pv_view(e, len), &err));
    assert_memory_equal(err.l4.ptr, "\x02\x00", 2);
    assert_int_equal(pv_load_be32(err.l4.ptr + 4), 1280);
    assert_memory_equal(err.src, ip.dst, 16);
    assert_memory_equal(err.dst, ip.src, 16);
    uint32_t sum = pv_ippkt_sum(pv_view(err.src, 32), (uint32_t)err.l4.len + 58);
    assert_int_equal(pv_ippkt_sum(err.l4, sum), 0xffff);

    assert_ok(pv_ippkt_error(&ip, PV_IPPKT_UNREACHABLE, 0, e, sizeof(e), &len));
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
        assert_ok(pv_ippkt_parse(pv_view(p, 28), &ip));
        assert_int_equal(pv_ippkt_error(&ip, PV_IPPKT_UNREACHABLE, 0, e, sizeof(e), &len),
                         PV_ERR_REFUSED);
    }
    p[20] = 8; /* an echo request is no error */
    assert_ok(pv_ippkt_error(&ip, PV_IPPKT_UNREACHABLE, 0, e, sizeof(e), &len));
    for (size_t i = 0; i < PV_ARRAY_LEN(hosts); i++) {
        for (size_t at = 12; at <= 16; at += 4) {
            make4(p, PV_IP_PROTO_UDP, 8);
            memset(p + at, hosts[i], 4);
            assert_ok(pv_ippkt_parse(pv_view(p, 28), &ip));
            assert_int_equal(pv_ippkt_error(&ip, PV_IPPKT_TOO_BIG, 1280, e, sizeof(e), &len),
                             PV_ERR_REFUSED);
        }
    }
    make4(p, PV_IP_PROTO_UDP, 8);
    pv_store_be16(p + 6, 1); /* a later fragment */
    assert_ok(pv_ippkt_parse(pv_view(p, 28), &ip));
    assert_int_equal(pv_ippkt_error(&ip, PV_IPPKT_UNREACHABLE, 0, e, sizeof(e), &len),
                     PV_ERR_REFUSED);

    make6(p, PV_IP_PROTO_ICMP6, 8);
    assert_ok(pv_ippkt_parse(pv_view(p, 48), &ip));
    p[40] = 127;
    assert_int_equal(pv_ippkt_error(&ip, PV_IPPKT_UNREACHABLE, 0, e, sizeof(e), &len),
                     PV_ERR_REFUSED);
    p[40] = 128;
    assert_ok(pv_ippkt_error(&ip, PV_IPPKT_UNREACHABLE, 0, e, sizeof(e), &len));
    p[24] = 0xff;
    assert_int_equal(pv_ippkt_error(&ip, PV_IPPKT_UNREACHABLE, 0, e, sizeof(e), &len),
                     PV_ERR_REFUSED);
}

/* --- IPv4 fragments (RFC 791) ---------------------------------------------------------------- */

enum {
    BIG = 9000,
};

/* A packet of `payload` bytes behind `options`, DF clear. */
static size_t make(struct pv_rng *rng, uint8_t *p, const char *options, size_t n_options,
                   size_t payload)
{
    size_t head = 20 + n_options, len = head + payload;
    pv_rng_fill(rng, p, len);
    p[0] = (uint8_t)(0x40 | head / 4);
    pv_store_be16(p + 2, (uint16_t)len);
    pv_store_be16(p + 6, 0);
    if (n_options > 0)
        memcpy(p + 20, options, n_options);
    return len;
}

static struct pv_ippkt parsed(const uint8_t *p, size_t len)
{
    struct pv_ippkt ip;
    assert_ok(pv_ippkt_parse(pv_view(p, len), &ip));
    assert_int_equal(ip.whole.len, len);
    return ip;
}

/* The state of a receiver: payload by offset, and how far it goes once the last has come. */
struct receiver {
    uint8_t payload[65536];
    size_t have, end;
    unsigned fragments;
};

static void take(struct receiver *rx, const uint8_t *whole, const uint8_t *p, size_t len)
{
    struct pv_ippkt ip = parsed(p, len);
    size_t head = (size_t)(p[0] & 15) * 4, n = len - head;
    uint16_t word = pv_load_be16(p + 6);
    size_t at = (size_t)(word & 0x1fff) * 8;
    assert_int_equal(pv_ippkt_sum(pv_view(p, head), 0), 0xffff);
    assert_int_equal(word & 0xc000, 0);
    assert_int_equal(ip.later_fragment, at != 0);
    assert_memory_equal(p + 4, whole + 4, 2);   /* identification */
    assert_memory_equal(p + 1, whole + 1, 1);   /* TOS: DSCP and ECN of the whole */
    assert_memory_equal(p + 8, whole + 8, 2);   /* TTL, protocol */
    assert_memory_equal(p + 12, whole + 12, 8); /* addresses */
    assert_true((word & 0x2000) == 0 || n % 8 == 0);
    memcpy(rx->payload + at, p + head, n);
    rx->have += n;
    rx->fragments++;
    if ((word & 0x2000) == 0)
        rx->end = at + n;
}

/* Cut to mtu, and each of those to a second one unless it is 0. */
static void cut(struct receiver *rx, const uint8_t *whole, struct pv_ippkt ip, size_t mtu,
                size_t second)
{
    struct pv_ipfrag f;
    assert_ok(pv_ipfrag_init(&f, &ip, mtu));
    for (size_t len; (len = pv_ipfrag_next(&f)) != 0;) {
        uint8_t *p = malloc(len);
        assert_non_null(p);
        assert_true(len <= mtu);
        pv_ipfrag_cut(&f, p);
        if (second != 0)
            cut(rx, whole, parsed(p, len), second, 0);
        else
            take(rx, whole, p, len);
        free(p);
    }
    assert_int_equal(f.at, f.end);
}

PV_TEST(fragments_put_together_are_the_packet)
{
    /* Record route is not copied, loose source route (0x83) is, RFC 791 s3.1. */
    static const struct {
        const char *bytes;
        size_t n;
    } options[] = {
        {"", 0},
        {"\x01\x01\x01\x00", 4},
        {"\x07\x07\x04\x00\x00\x00\x00\x01\x83\x07\x04\x0a\x00\x00\x01\x00", 16},
        {"\x94\x04\x00\x00", 4}, /* router alert, RFC 2113 */
        {"\x83\x00\x00\x00", 4}, /* a length of none */
        {"\x83\x01\x00\x00", 4}, /* and of its own type only */
        {"\x83\x28\x00\x00", 4}, /* beyond the header */
        {"\x01\x01\x01\x83", 4}, /* without a length */
    };
    static struct receiver rx;
    struct test_rng source;
    struct pv_rng rng = test_rng_make(&source, 1);
    uint8_t *p = malloc(BIG + 60);
    assert_non_null(p);
    for (unsigned i = 0; i < 3000; i++) {
        const size_t k = i % PV_ARRAY_LEN(options);
        size_t mtu = PV_IPFRAG_MIN + pv_rng_below(&rng, i % 2 == 0 ? 1500 : 60);
        size_t second = i % 3 == 0 ? PV_IPFRAG_MIN + pv_rng_below(&rng, 400) : 0;
        size_t payload = 1 + pv_rng_below(&rng, BIG - 1);
        size_t len = make(&rng, p, options[k].bytes, options[k].n, payload);
        memset(&rx, 0, sizeof(rx));
        cut(&rx, p, parsed(p, len), mtu, second);
        assert_int_equal(rx.have, payload);
        assert_int_equal(rx.end, payload);
        assert_memory_equal(rx.payload, p + 20 + options[k].n, payload);
    }
    free(p);
}

PV_TEST(options_go_into_later_fragments_as_they_say)
{
    static const char options[] =
        "\x07\x07\x04\x00\x00\x00\x00\x01\x83\x07\x04\x0a\x00\x00\x01\x00";
    struct test_rng source;
    struct pv_rng rng = test_rng_make(&source, 2);
    uint8_t p[600], out[600];
    struct pv_ipfrag f;
    struct pv_ippkt ip = parsed(p, make(&rng, p, options, 16, 500));
    assert_ok(pv_ipfrag_init(&f, &ip, 300));
    pv_ipfrag_cut(&f, out);
    assert_int_equal(out[0], 0x49);
    assert_memory_equal(out + 20, options, 16);
    pv_ipfrag_cut(&f, out);
    assert_int_equal(out[0], 0x47); /* the source route and a byte of padding */
    assert_memory_equal(out + 20, options + 8, 7);
    assert_int_equal(out[27], 0);
}

PV_TEST(a_packet_that_must_not_be_cut_is_refused)
{
    struct test_rng source;
    struct pv_rng rng = test_rng_make(&source, 3);
    uint8_t p[2000];
    struct pv_ipfrag f;
    struct pv_ippkt ip = parsed(p, make(&rng, p, "", 0, 1500));
    assert_true(pv_ipfrag_is_allowed(&ip));
    assert_int_equal(pv_ipfrag_init(&f, &ip, PV_IPFRAG_MIN - 1), PV_ERR_LIMIT);
    assert_ok(pv_ipfrag_init(&f, &ip, PV_IPFRAG_MIN));
    pv_store_be16(p + 6, 64040 / 8); /* would end at byte 65540 */
    assert_int_equal(pv_ipfrag_init(&f, &ip, 1000), PV_ERR_REFUSED);
    pv_store_be16(p + 6, 64032 / 8); /* ends at 65532 */
    assert_ok(pv_ipfrag_init(&f, &ip, 1000));
    pv_store_be16(p + 6, 0x4000);
    assert_false(pv_ipfrag_is_allowed(&ip));
    assert_int_equal(pv_ipfrag_init(&f, &ip, 1000), PV_ERR_REFUSED);
    memset(p, 0, 40);
    p[0] = 0x60;
    pv_store_be16(p + 4, 1400);
    ip = parsed(p, 1440);
    assert_false(pv_ipfrag_is_allowed(&ip));
    assert_int_equal(pv_ipfrag_init(&f, &ip, 1280), PV_ERR_REFUSED);
}
