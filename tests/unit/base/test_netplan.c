/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "base/netplan.h"
#include "tests/unit/test_util.h"

static struct pv_prefix prefix(const char *text)
{
    struct pv_prefix p;
    assert_int_equal(pv_prefix_parse(text, &p), PV_OK);
    return p;
}

static struct pv_netplan full_plan(void)
{
    struct pv_netplan p = {.ifname = "p2p0",
                           .overlay4 = prefix("10.66.0.0/16"),
                           .overlay6 = prefix("fd00:66::/64"),
                           .exit = true,
                           .exit4 = true,
                           .exit_block = true};
    for (unsigned i = 0; i < PV_NETPLAN_USED; i++) {
        char text[PV_ADDR_TEXT];
        snprintf(text, sizeof(text), "2001:db8:%x::/48", i);
        p.used[p.n_used++] = (struct pv_netplan_used){prefix(text), i};
    }
    for (unsigned i = 0; i < PV_NETPLAN_OFFERED - 2; i++) {
        char text[PV_ADDR_TEXT];
        snprintf(text, sizeof(text), "192.168.%u.0/24", i);
        p.offered[p.n_offered++] =
            (struct pv_netplan_offered){prefix(text), i % 2 == 0, i % 3 == 0};
    }
    p.offered[p.n_offered++] = (struct pv_netplan_offered){prefix("0.0.0.0/0"), true, false};
    p.offered[p.n_offered++] = (struct pv_netplan_offered){prefix("::/0"), true, false};
    return p;
}

PV_TEST(a_full_plan_fits_and_comes_back)
{
    uint8_t buf[PV_NETPLAN_BYTES], again[PV_NETPLAN_BYTES];
    struct pv_netplan p = full_plan(), q;
    int n = pv_netplan_encode(&p, buf, sizeof(buf));
    assert_true(n > 0);
    assert_int_equal(pv_netplan_decode(pv_view(buf, (size_t)n), &q), PV_OK);
    assert_int_equal(q.n_used, PV_NETPLAN_USED);
    assert_int_equal(q.n_offered, PV_NETPLAN_OFFERED);
    assert_int_equal(q.used[7].metric, 7);
    assert_true(q.exit && q.exit4 && !q.exit6 && !q.exit_lan && q.exit_block);
    assert_int_equal(pv_netplan_encode(&q, again, sizeof(again)), n);
    assert_memory_equal(buf, again, (size_t)n);
    for (int i = 0; i < n; i++)
        assert_int_not_equal(pv_netplan_decode(pv_view(buf, (size_t)i), &q), PV_OK);
}

/* The largest that can be: every prefix is an IPv6 one. */
PV_TEST(the_largest_plan_fits)
{
    uint8_t buf[PV_NETPLAN_BYTES];
    struct pv_netplan p = full_plan();
    for (unsigned i = 0; i < PV_NETPLAN_OFFERED; i++)
        p.offered[i].prefix = prefix("fd01::/64");
    p.overlay4 = (struct pv_prefix){.bits = 0};
    assert_true(pv_netplan_encode(&p, buf, sizeof(buf)) > 0);
}

PV_TEST(a_plan_that_says_too_much_is_refused)
{
    static const char *const targets[] = {
        "0.0.0.0/1",   "128.0.0.0/1", "0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4",
        "239.0.0.0/8", "::/1",        "fe80::/64", "ff02::/16",   "::1/128",
        "8000::/1",    "0.0.0.0/0",   "::/0",      "2000::/3",    "169.254.0.0/16"};
    static const char *const names[] = {"",   "p2p0 accept", "-p2p0", ".",   "p2p0\n",
                                        "a*", "\"",          "a/b",   "a:b", "a{b"};
    uint8_t buf[PV_NETPLAN_BYTES];
    for (size_t i = 0; i < PV_ARRAY_LEN(targets); i++) {
        struct pv_netplan p = {.ifname = "p2p0", .n_used = 1};
        p.used[0].prefix = prefix(targets[i]);
        assert_int_equal(pv_netplan_check(&p), PV_ERR_MALFORMED);
        assert_int_equal(pv_netplan_encode(&p, buf, sizeof(buf)), PV_ERR_MALFORMED);
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(names); i++) {
        struct pv_netplan p = {.n_used = 0};
        snprintf(p.ifname, sizeof(p.ifname), "%s", names[i]);
        assert_int_equal(pv_netplan_check(&p), PV_ERR_MALFORMED);
    }
    struct pv_netplan p = {.ifname = "p2p0", .n_used = 1};
    p.used[0].prefix = prefix("192.168.1.0/24");
    p.used[0].prefix.base.ip[3] = 1; /* host bits */
    assert_int_equal(pv_netplan_check(&p), PV_ERR_MALFORMED);
    p = (struct pv_netplan){.ifname = "p2p0", .n_offered = 1};
    p.offered[0].prefix = prefix("192.168.1.0/24"); /* nobody's packets would be forwarded */
    assert_int_equal(pv_netplan_check(&p), PV_ERR_MALFORMED);
    p.overlay4 = prefix("10.66.0.0/16");
    assert_int_equal(pv_netplan_check(&p), PV_OK);
    p.overlay4 = prefix("fd00::/64");
    assert_int_equal(pv_netplan_check(&p), PV_ERR_MALFORMED);
}

PV_TEST(the_hosts_word_comes_back)
{
    uint8_t buf[PV_NETPLAN_HOST_BYTES];
    struct pv_netplan_host h = {.n_lan = PV_NETPLAN_LINKS,
                                .n_overlaps = PV_NETPLAN_OVERLAPS,
                                .blocked = true},
                           g;
    struct pv_netplan_link wide = {prefix("2001:db8::/64"), "enp0s31f6long15", PV_NETPLAN_TUNNEL};
    for (size_t i = 0; i < h.n_lan; i++)
        h.lan[i] = wide;
    for (size_t i = 0; i < h.n_overlaps; i++)
        h.overlaps[i] = (struct pv_netplan_overlap){prefix("2001:db8::/48"), wide, i % 2 == 0};
    memset(h.fault, 'x', sizeof(h.fault) - 1);
    for (size_t i = 0; i < PV_NETPLAN_RESOLVERS; i++)
        h.resolvers[i] = prefix("2001:db8::53/128").base;
    int n = pv_netplan_host_encode(&h, buf, sizeof(buf));
    assert_true(n > 0);
    assert_int_equal(pv_netplan_host_decode(pv_view(buf, (size_t)n), &g), PV_OK);
    assert_int_equal(g.n_lan, PV_NETPLAN_LINKS);
    assert_true(g.blocked);
    assert_string_equal(g.lan[PV_NETPLAN_LINKS - 1].ifname, "enp0s31f6long15");
    assert_int_equal(g.overlaps[31].other.kind, PV_NETPLAN_TUNNEL);
    assert_false(g.overlaps[31].connected);
    assert_string_equal(g.fault, h.fault);
    assert_true(pv_addr_equal(&g.resolvers[PV_NETPLAN_RESOLVERS - 1], &h.resolvers[0]));
    for (int i = 0; i < n; i++)
        assert_int_not_equal(pv_netplan_host_decode(pv_view(buf, (size_t)i), &g), PV_OK);
    buf[2 + 18 + PV_NETPLAN_IFNAME - 1] = 'x'; /* the first name has no end */
    assert_int_equal(pv_netplan_host_decode(pv_view(buf, (size_t)n), &g), PV_ERR_MALFORMED);
    buf[2 + 18 + PV_NETPLAN_IFNAME - 1] = '\0';
    assert_int_equal(pv_netplan_host_decode(pv_view(buf, (size_t)n), &g), PV_OK);
    buf[n - 1 - PV_IP6_LEN] = 5; /* bytes of an address */
    assert_int_equal(pv_netplan_host_decode(pv_view(buf, (size_t)n), &g), PV_ERR_MALFORMED);
    memset(h.fault, 'x', sizeof(h.fault));
    assert_int_equal(pv_netplan_host_encode(&h, buf, sizeof(buf)), PV_ERR_MALFORMED);
}

PV_TEST(the_range_of_an_address_has_no_host_bits)
{
    char text[PV_ADDR_TEXT];
    struct pv_prefix a = prefix("192.168.5.77/32");
    a.bits = 22;
    const struct pv_prefix range = pv_netplan_range(&a);
    assert_string_equal(pv_prefix_format(&range, text), "192.168.4.0/22");
}

PV_TEST(own_addresses_are_private_or_named)
{
    static const struct {
        const char *ip;
        uint8_t bits;
        bool ok;
    } rows[] = {
        {"10.66.1.2", 16, true},    {"10.0.0.1", 8, true},      {"10.0.0.1", 7, false},
        {"172.16.0.1", 12, true},   {"172.16.0.1", 11, false},  {"172.32.0.1", 16, false},
        {"192.168.1.1", 32, true},  {"192.168.1.1", 15, false}, {"100.64.0.1", 10, true},
        {"100.64.0.1", 9, false},   {"9.9.9.9", 32, false},     {"10.0.0.1", 33, false},
        {"fd12::1", 64, true},      {"fd12::1", 128, true},     {"fd12::1", 15, false},
        {"2001:db8::1", 64, false}, {"fe80::1", 64, false},     {"::1", 128, false},
        {"127.0.0.1", 8, false},    {"0.0.0.0", 8, false},      {"25.1.2.3", 16, true},
        {"25.1.2.3", 8, false},     {"25.2.2.3", 16, false},
    };
    const struct pv_prefix more = prefix("25.1.0.0/16");
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_prefix p = {.bits = rows[i].bits};
        assert_int_equal(pv_addr_parse_ip(rows[i].ip, &p.base), PV_OK);
        if (pv_netplan_is_own(&p, &more, 1) != rows[i].ok)
            fail_msg("%s/%u", rows[i].ip, rows[i].bits);
        p.base.port = 53;
        assert_false(pv_netplan_is_own(&p, &more, 1));
    }
    assert_false(pv_netplan_is_own(&(struct pv_prefix){.bits = 0}, &more, 1));
}
