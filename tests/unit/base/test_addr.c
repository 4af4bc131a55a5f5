/* SPDX-License-Identifier: MIT */
#include "base/addr.h"
#include "tests/unit/test_util.h"

PV_TEST(addresses_survive_text_and_back)
{
    static const char *const endpoints[] = {
        "192.0.2.1:3478", "0.0.0.0:0",   "255.255.255.255:65535",  "[2001:db8::1]:3478",
        "[::]:0",         "[fe80::1]:1", "[1:2:3:4:5:6:7:8]:65535"};
    struct pv_addr a;
    for (size_t i = 0; i < PV_ARRAY_LEN(endpoints); i++) {
        assert_ok(pv_addr_parse(endpoints[i], &a));
        assert_string_equal(PV_ADDR_STR(&a), endpoints[i]);
    }
    a = test_ip("2001:DB8:0:0:1:0:0:1");
    assert_string_equal(PV_IP_STR(&a), "2001:db8::1:0:0:1"); /* RFC 5952 s4.2.3 */
    assert_int_equal(a.port, 0);
    struct pv_addr none = {.family = PV_AF_NONE};
    assert_string_equal(PV_ADDR_STR(&none), "-");
    assert_string_equal(PV_IP_STR(&none), "-");
    struct pv_prefix p = test_prefix("fd00::/8");
    assert_string_equal(PV_PREFIX_STR(&p), "fd00::/8");
    p = test_prefix("192.0.2.7");
    assert_string_equal(PV_PREFIX_STR(&p), "192.0.2.7/32");
    /* The longest forms fit. */
    assert_ok(pv_addr_parse("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535", &a));
    assert_string_equal(PV_ADDR_STR(&a), "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
}

PV_TEST(bad_addresses_are_refused)
{
    static const struct {
        const char *text, *why;
    } endpoints[] = {
        {"", "empty"},
        {"192.0.2.1", "no port"},
        {"192.0.2.1:", "empty port"},
        {"192.0.2.1:65536", "port one over"},
        {"192.0.2.1:99999999999", "port far over"},
        {"192.0.2.1:01", "leading zero in port"},
        {"192.0.2.1:+1", "sign"},
        {"192.0.2.1: 1", "blank"},
        {"192.0.2.1:1 ", "trailing blank"},
        {"192.0.2.01:1", "leading zero in address"},
        {"192.0.2.256:1", "byte one over"},
        {"192.0.2:1", "three parts"},
        {"192.0.2.1.1:1", "five parts"},
        {"[192.0.2.1]:1", "IPv4 in brackets"},
        {"::1:1", "IPv6 without brackets"},
        {"[::1]", "IPv6 without port"},
        {"[::1]1", "no colon"},
        {"[::1%eth0]:1", "scope id"},
        {"[::1:1", "no closing bracket"},
        {"[]:1", "empty brackets"},
        {"[:1", "bracket alone"},
        {"[1:2:3:4:5:6:7:8:9]:1", "nine groups"},
        {"host:1", "a name"},
        {":1", "no address"},
        {"[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]:1", "too long"},
    };
    struct pv_addr a = pv_addr4(1, 2, 3, 4, 5);
    for (size_t i = 0; i < PV_ARRAY_LEN(endpoints); i++) {
        if (pv_addr_parse(endpoints[i].text, &a) != PV_ERR_MALFORMED)
            fail_msg("accepted %s: %s", endpoints[i].text, endpoints[i].why);
    }
    assert_int_equal(pv_addr_parse_ip("192.0.2.1:1", &a), PV_ERR_MALFORMED);
    assert_int_equal(pv_addr_parse_ip(" 192.0.2.1", &a), PV_ERR_MALFORMED);
    assert_int_equal(pv_addr_u32(&a), 0x01020304); /* failures leave the result alone */
}

PV_TEST(bad_prefixes_are_refused)
{
    static const char *const bad[] = {"",
                                      "10.66.0.1/16",
                                      "10.66.0.0/33",
                                      "10.66.0.0/",
                                      "10.66.0.0/-1",
                                      "10.66.0.0/016",
                                      "fd00::1/64",
                                      "fd00::/129",
                                      "/8",
                                      "10.0.0.0/8/8",
                                      "10.128.0.0/8",
                                      "fd00::/ 8"};
    struct pv_prefix p;
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++) {
        if (pv_prefix_parse(bad[i], &p) != PV_ERR_MALFORMED)
            fail_msg("accepted %s", bad[i]);
    }
    assert_ok(pv_prefix_parse("0.0.0.0/0", &p));
    assert_ok(pv_prefix_parse("::/0", &p));
    assert_ok(pv_prefix_parse("10.66.0.1/32", &p));
    assert_ok(pv_prefix_parse("fd00::1/128", &p));
}

PV_TEST(prefixes_contain_by_their_bits)
{
    static const struct {
        const char *prefix, *inside, *outside;
    } rows[] = {
        {"10.66.0.0/16", "10.66.255.255", "10.67.0.0"},
        {"10.66.128.0/17", "10.66.128.0", "10.66.127.255"},
        {"192.0.2.6/31", "192.0.2.7", "192.0.2.8"},
        {"192.0.2.7/32", "192.0.2.7", "192.0.2.6"},
        {"0.0.0.0/0", "255.255.255.255", "::"},
        {"fd00::/8", "fdff::", "fe00::"},
        {"fd12:3456:789a::/64", "fd12:3456:789a:0:ffff::", "fd12:3456:789a:1::"},
        {"::1/128", "::1", "::"},
        {"::/0", "::1", "0.0.0.0"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_prefix p = test_prefix(rows[i].prefix);
        struct pv_addr in = test_ip(rows[i].inside), out = test_ip(rows[i].outside);
        assert_true(pv_prefix_contains(&p, &in));
        assert_false(pv_prefix_contains(&p, &out));
    }
    struct pv_prefix none = {.bits = 0};
    struct pv_addr no_addr = {.family = PV_AF_NONE};
    assert_false(pv_prefix_contains(&none, &no_addr));
}

PV_TEST(prefixes_overlap_in_either_order)
{
    struct pv_prefix wide = test_prefix("10.0.0.0/8"), narrow = test_prefix("10.66.0.0/16");
    struct pv_prefix other = test_prefix("10.67.0.0/16"), six = test_prefix("::/0");
    assert_true(pv_prefix_overlaps(&wide, &narrow));
    assert_true(pv_prefix_overlaps(&narrow, &wide));
    assert_true(pv_prefix_overlaps(&narrow, &narrow));
    assert_false(pv_prefix_overlaps(&narrow, &other));
    assert_false(pv_prefix_overlaps(&six, &narrow));
}

PV_TEST(classes_follow_their_ranges)
{
    static const struct {
        bool (*is)(const struct pv_addr *a);
        const char *yes[4], *no[5];
    } rows[] = {
        {pv_addr_is_unspecified, {"0.0.0.0", "::"}, {"0.0.0.1", "::1"}},
        {pv_addr_is_loopback, {"127.0.0.1", "127.255.255.255", "::1"}, {"126.0.0.1", "::", "::2"}},
        {pv_addr_is_link_local,
         {"169.254.0.0", "169.254.255.255", "fe80::1", "febf::"},
         {"169.253.0.0", "169.255.0.0", "fec0::", "fe7f::"}},
        {pv_addr_is_multicast,
         {"224.0.0.0", "239.255.255.255", "ff02::1", "ffff::"},
         {"223.255.255.255", "240.0.0.0", "feff::"}},
        {pv_addr_is_broadcast, {"255.255.255.255"}, {"255.255.255.254", "ffff:ffff::"}},
        {pv_addr_is_private,
         {"10.0.0.0", "172.31.255.255", "192.168.0.1", "100.127.255.255"},
         {"172.32.0.0", "11.0.0.0", "100.128.0.0", "192.169.0.0", "100.63.255.255"}},
        {pv_addr_is_private,
         {"172.16.0.0", "100.64.0.0", "fc00::", "fdff::"},
         {"fe00::", "fb00::"}},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        for (size_t k = 0; k < PV_ARRAY_LEN(rows[i].yes) && rows[i].yes[k] != NULL; k++) {
            struct pv_addr a = test_ip(rows[i].yes[k]);
            if (!rows[i].is(&a))
                fail_msg("row %zu: %s should be in", i, rows[i].yes[k]);
        }
        for (size_t k = 0; k < PV_ARRAY_LEN(rows[i].no) && rows[i].no[k] != NULL; k++) {
            struct pv_addr a = test_ip(rows[i].no[k]);
            if (rows[i].is(&a))
                fail_msg("row %zu: %s should be out", i, rows[i].no[k]);
        }
    }
}

PV_TEST(only_sane_remotes_are_usable)
{
    static const char *const good[] = {"192.0.2.1:1", "10.0.0.1:65535", "[2001:db8::1]:1",
                                       "[fd00::1]:1"};
    static const char *const bad[] = {
        "192.0.2.1:0", "0.0.0.0:1",   "0.1.2.3:1",         "127.0.0.1:1", "169.254.1.1:1",
        "224.0.0.1:1", "240.0.0.1:1", "255.255.255.255:1", "[::]:1",      "[::1]:1",
        "[fe80::1]:1", "[ff02::1]:1", "[fd00::1]:0"};
    const struct pv_addr mapped = {
        .family = PV_AF_INET6, .port = 1, .ip = {[10] = 0xff, 0xff, 192, 0, 2, 1}};
    struct pv_addr a;
    for (size_t i = 0; i < PV_ARRAY_LEN(good); i++) {
        assert_ok(pv_addr_parse(good[i], &a));
        assert_true(pv_addr_is_usable_remote(&a));
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++) {
        assert_ok(pv_addr_parse(bad[i], &a));
        if (pv_addr_is_usable_remote(&a))
            fail_msg("%s is not usable", bad[i]);
    }
    a = (struct pv_addr){.family = PV_AF_NONE, .port = 1};
    assert_false(pv_addr_is_usable_remote(&a));
    assert_false(pv_addr_is_usable_remote(&mapped)); /* sockets of IPv6 take none */
}

PV_TEST(mapped_addresses_become_ipv4)
{
    struct pv_addr a = test_ip("::ffff:192.0.2.1");
    a.port = 7;
    struct pv_addr u = pv_addr_unmap(a), want = pv_addr4(192, 0, 2, 1, 7);
    assert_true(pv_addr_equal(&u, &want));
    a = test_ip("::192.0.2.1"); /* compatible, not mapped */
    u = pv_addr_unmap(a);
    assert_true(pv_addr_equal(&u, &a));
}

PV_TEST(equality_looks_at_family_address_and_port)
{
    struct pv_addr v[] = {{.family = PV_AF_NONE},  pv_addr4(1, 2, 3, 4, 5), pv_addr4(1, 2, 3, 4, 6),
                          pv_addr4(1, 2, 3, 5, 0), test_ip("::"),           test_ip("::1")};
    for (size_t i = 0; i < PV_ARRAY_LEN(v); i++) {
        for (size_t k = 0; k < PV_ARRAY_LEN(v); k++) {
            assert_int_equal(pv_addr_equal(&v[i], &v[k]), i == k);
        }
    }
    assert_true(pv_addr_equal_ip(&v[1], &v[2]));
    struct pv_addr n = pv_addr4_u32(0xc0000201, 9);
    assert_int_equal(pv_addr_u32(&n), 0xc0000201);
    assert_int_equal(pv_addr_u32(&v[5]), 0);
}
