/* SPDX-License-Identifier: MIT */
/* IPv4 fragments: put together as RFC 791 says, they are the packet. */
#include "base/bytes.h"
#include "proto/ip/ipfrag.h"
#include "tests/unit/test_util.h"

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
    assert_int_equal(pv_ippkt_parse(pv_view(p, len), &ip), PV_OK);
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
    assert_int_equal(pv_ipfrag_init(&f, &ip, mtu), PV_OK);
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
    assert_int_equal(pv_ipfrag_init(&f, &ip, 300), PV_OK);
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
    assert_int_equal(pv_ipfrag_init(&f, &ip, PV_IPFRAG_MIN), PV_OK);
    pv_store_be16(p + 6, 64040 / 8); /* would end at byte 65540 */
    assert_int_equal(pv_ipfrag_init(&f, &ip, 1000), PV_ERR_REFUSED);
    pv_store_be16(p + 6, 64032 / 8); /* ends at 65532 */
    assert_int_equal(pv_ipfrag_init(&f, &ip, 1000), PV_OK);
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
