/* SPDX-License-Identifier: MIT */
/* Queries taken apart and answers put together, byte by byte. */
#include "proto/local/dns.h"
#include "tests/unit/test_util.h"

static struct pv_view hex(const char *text)
{
    static uint8_t buf[1024];
    return pv_view(buf, test_unhex(text, buf, sizeof(buf)));
}

#define BOB "1234 0100 0001 0000 0000 0000 03 626f62 04 686f6d65 03 703270 00 0001 0001"

static struct pv_dns_query parse_ok(const char *text)
{
    struct pv_dns_query q;
    assert_ok(pv_dns_query_parse(hex(text), &q));
    return q;
}

PV_TEST(a_query_is_taken_apart)
{
    struct pv_dns_query q = parse_ok(BOB);
    assert_int_equal(q.id, 0x1234);
    assert_int_equal(q.flags, 0x0100);
    assert_string_equal(q.name, "bob.home.p2p");
    assert_int_equal(q.qtype, PV_DNS_A);
    assert_int_equal(q.qclass, PV_DNS_IN);
    assert_int_equal(q.question.len, 18);
    assert_false(q.edns);
    q = parse_ok(test_given("hex 000100000001"));
    assert_string_equal(q.name, "bob"); /* in lower case */
    q = parse_ok("0001 0000 0001 0000 0000 0000 00 0002 0001");
    assert_string_equal(q.name, "");
    q = parse_ok(test_given("0000 03 612e00 00 0001 0001"));
    assert_string_equal(q.name, "a\?\?"); /* a name nobody has */
}

PV_TEST(edns_is_seen_behind_the_question)
{
    assert_true(parse_ok(test_given("hex 123401000001")).edns);
    /* An option (a cookie), and a record of another kind before it. */
    assert_true(parse_ok(test_given("000c 000a 0008 0102030405060708")).edns);
    assert_false(parse_ok(test_given("00 0001 0001 00 0029 1000 0000")).edns);
}

PV_TEST(an_answer_is_one_to_the_same_question)
{
    const struct pv_view whole = hex(test_given("hex 123481800001"));
    uint8_t copy[32];
    memcpy(copy, whole.ptr, whole.len);
    const struct pv_view answer = pv_view(copy, whole.len), question = pv_view(copy + 12, 7);
    assert_true(pv_dns_is_answer(answer, 0x1234, question));
    assert_false(pv_dns_is_answer(answer, 0x1235, question));
    assert_false(pv_dns_is_answer(answer, 0x1234, pv_view(copy + 12, 0)));
    for (size_t n = 0; n < answer.len; n++)
        assert_false(pv_dns_is_answer(pv_view(answer.ptr, n), 0x1234, question));
    uint8_t other[7];
    memcpy(other, question.ptr, sizeof(other));
    other[4] = 28; /* another type */
    assert_false(pv_dns_is_answer(answer, 0x1234, pv_view(other, sizeof(other))));
    copy[2] = 1; /* a query */
    assert_false(pv_dns_is_answer(answer, 0x1234, question));
    copy[2] = 0x81;
    copy[5] = 2; /* questions */
    assert_false(pv_dns_is_answer(answer, 0x1234, question));
}

PV_TEST(every_truncation_is_refused)
{
    struct pv_view whole = hex(BOB);
    struct pv_dns_query q;
    for (size_t n = 0; n < whole.len; n++)
        assert_int_equal(pv_dns_query_parse(pv_view(whole.ptr, n), &q),
                         n < 12 ? PV_ERR_TRUNCATED : PV_ERR_MALFORMED);
}

PV_TEST(a_packet_that_is_no_plain_query_is_refused)
{
    static const struct {
        const char *packet;
        int status;
        const char *why;
    } rows[] = {
        {"1234 8100 0001 0000 0000 0000 00 0001 0001", PV_ERR_REFUSED, "an answer"},
        {"1234 2800 0001 0000 0000 0000 00 0001 0001", PV_ERR_UNSUPPORTED, "an update"},
        {"1234 0100 0000 0000 0000 0000 00 0001 0001", PV_ERR_MALFORMED, "no question"},
        {"1234 0100 0002 0000 0000 0000 00 0001 0001", PV_ERR_MALFORMED, "two questions"},
        {"1234 0100 0001 0000 0000 0000 c00c 0001 0001", PV_ERR_MALFORMED, "a pointer to itself"},
        {"1234 0100 0001 0000 0000 0000 40 0001 0001", PV_ERR_MALFORMED, "a label of 64"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_dns_query q;
        if (pv_dns_query_parse(hex(rows[i].packet), &q) != rows[i].status)
            fail_msg("%s", rows[i].why);
    }
}

PV_TEST(the_longest_name_fits_and_a_longer_one_does_not)
{
    uint8_t p[300] = {0x12, 0x34, 1, 0, 0, 1};
    struct pv_dns_query q;
    size_t n = 12;
    for (int i = 0; i < 4; i++) { /* 3 x 64 + 62 + 1 = 255 bytes */
        uint8_t len = i < 3 ? 63 : 61;
        p[n++] = len;
        memset(p + n, 'a', len);
        n += len;
    }
    memcpy(p + n, "\0\0\1\0\1", 5);
    assert_ok(pv_dns_query_parse(pv_view(p, n + 5), &q));
    assert_int_equal(strlen(q.name), 253);
    memmove(p + n + 1, p + n, 5);
    p[n] = 'a';
    p[12 + 3 * 64] = 62;
    assert_int_equal(pv_dns_query_parse(pv_view(p, n + 6), &q), PV_ERR_MALFORMED);
}

static void assert_answer(const char *query, const struct pv_dns_answer *a, const char *want)
{
    uint8_t packet[512], buf[PV_DNS_MAX], expected[512];
    size_t len = 0, n = test_unhex(query, packet, sizeof(packet));
    struct pv_dns_query q;
    (void)!pv_dns_query_parse(pv_view(packet, n), &q);
    assert_ok(pv_dns_answer_build(&q, a, buf, &len));
    size_t m = test_unhex(want, expected, sizeof(expected));
    assert_int_equal(len, m);
    assert_memory_equal(buf, expected, m);
}

PV_TEST(answers_are_byte_for_byte_what_the_rfc_says)
{
    const struct pv_dns_answer a = {.authoritative = true,
                                    .type = PV_DNS_A,
                                    .addr = {.family = PV_AF_INET, .ip = {10, 66, 3, 9}},
                                    .zone = "home.p2p",
                                    .ttl = 30};
    const struct pv_dns_answer nobody = {
        .rcode = PV_DNS_NXDOMAIN, .authoritative = true, .zone = "p2p", .serial = 7};
    const struct pv_dns_answer refused = {.rcode = PV_DNS_REFUSED};
    const struct pv_dns_answer ptr = {
        .authoritative = true, .type = PV_DNS_PTR, .target = "bob.home.p2p", .ttl = 30};
    assert_answer(BOB, &a, test_given("hex 123485000001"));
    assert_answer(test_given("0000 0000 01 78 00 0001 0001"), &nobody,
                  test_given("hex 000184030001"));
    assert_answer(test_given("hex 000101000001"), &refused, test_given("hex 000181050001"));
    assert_answer(test_given("0000 0000 01 78 00 000c 0001"), &ptr, test_given("hex 000184000001"));
    /* Without a question that can be repeated. */
    assert_answer("0001 0000 0001 0000 0000 0000 ff",
                  &(struct pv_dns_answer){.rcode = PV_DNS_FORMERR},
                  "0001 8001 0000 0000 0000 0000");
    assert_answer("0001 2000 0000 0000 0000 0000", &(struct pv_dns_answer){.rcode = PV_DNS_NOTIMP},
                  "0001 a004 0000 0000 0000 0000");
}

PV_TEST(reverse_names_are_addresses_and_zones)
{
    static const char nibbles[] = "9.0.3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.5.4.3.2.1.0.e.d.c.b.d.f";
    char name[PV_DNS_NAME_BUF];
    struct pv_addr a;
    struct pv_prefix p = {.base = {.family = PV_AF_INET, .ip = {10, 66}}, .bits = 16};
    assert_ok(pv_dns_reverse_parse("9.3.66.10.in-addr.arpa", &a));
    assert_memory_equal(a.ip, "\x0a\x42\x03\x09", 4);
    snprintf(name, sizeof(name), "%s.ip6.arpa", nibbles);
    assert_ok(pv_dns_reverse_parse(name, &a));
    assert_memory_equal(a.ip, "\xfd\xbc\xde\x01\x23\x45\0\0\0\0\0\0\0\0\x03\x09", 16);
    for (const char *const *bad =
             (const char *const[]){"3.66.10.in-addr.arpa", "256.3.66.10.in-addr.arpa",
                                   "09.3.66.10.in-addr.arpa", "9.3.66.10.in-addr.arpa.x",
                                   "a.3.66.10.in-addr.arpa", "1.9.3.66.10.in-addr.arpa",
                                   "9.ip6.arpa", "", NULL};
         *bad != NULL; bad++)
        assert_int_equal(pv_dns_reverse_parse(*bad, &a), PV_ERR_NOT_FOUND);

    assert_ok(pv_prefix_reverse_zone(&p, name));
    assert_string_equal(name, "66.10.in-addr.arpa");
    p.bits = 20;
    assert_int_equal(pv_prefix_reverse_zone(&p, name), PV_ERR_UNSUPPORTED);
    p = (struct pv_prefix){
        .base = {.family = PV_AF_INET6, .ip = {0xfd, 0xbc, 0xde, 0x01, 0x23, 0x45}}, .bits = 64};
    assert_ok(pv_prefix_reverse_zone(&p, name));
    assert_string_equal(name, "0.0.0.0.5.4.3.2.1.0.e.d.c.b.d.f.ip6.arpa");
}
