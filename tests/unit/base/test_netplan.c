/* SPDX-License-Identifier: MIT */
#include "base/netplan.h"
#include "tests/unit/test_util.h"

static struct pv_netplan full_plan(void)
{
    struct pv_netplan p = {.ifname = "p2p0",
                           .overlay4 = test_prefix("10.66.0.0/16"),
                           .overlay6 = test_prefix("fd00:66::/64"),
                           .exit = true,
                           .exit4 = true,
                           .exit_block = true};
    for (unsigned i = 0; i < PV_NETPLAN_USED; i++) {
        char text[PV_ADDR_TEXT];
        snprintf(text, sizeof(text), "2001:db8:%x::/48", i);
        p.used[p.n_used++] = (struct pv_netplan_used){test_prefix(text), i};
    }
    for (unsigned i = 0; i < PV_NETPLAN_OFFERED - 2; i++) {
        char text[PV_ADDR_TEXT];
        snprintf(text, sizeof(text), "192.168.%u.0/24", i);
        p.offered[p.n_offered++] =
            (struct pv_netplan_offered){test_prefix(text), i % 2 == 0, i % 3 == 0};
    }
    p.offered[p.n_offered++] = (struct pv_netplan_offered){test_prefix("0.0.0.0/0"), true, false};
    p.offered[p.n_offered++] = (struct pv_netplan_offered){test_prefix("::/0"), true, false};
    return p;
}

PV_TEST(a_full_plan_is_one_that_can_be_set)
{
    struct pv_netplan p = full_plan();
    assert_ok(pv_netplan_check(&p));
    p.n_used++;
    assert_int_equal(pv_netplan_check(&p), PV_ERR_MALFORMED);
    p = full_plan();
    p.n_offered++;
    assert_int_equal(pv_netplan_check(&p), PV_ERR_MALFORMED);
    p = full_plan();
    memset(p.ifname, 'x', sizeof(p.ifname)); /* it has no end */
    assert_int_equal(pv_netplan_check(&p), PV_ERR_MALFORMED);
    p = full_plan();
    p.used[3].prefix.base.family = 77;
    assert_int_equal(pv_netplan_check(&p), PV_ERR_MALFORMED);
    p = full_plan();
    p.overlay6.bits = 129;
    assert_int_equal(pv_netplan_check(&p), PV_ERR_MALFORMED);
}

/* Each field counts: a plan that is taken for the one before is not sent. */
PV_TEST(plans_that_differ_in_one_field_are_not_the_same)
{
    const struct pv_netplan p = full_plan();
    struct pv_netplan q[10];
    for (size_t i = 0; i < PV_ARRAY_LEN(q); i++) {
        q[i] = full_plan();
        assert_true(pv_netplan_is_same(&p, &q[i]));
    }
    q[0].ifname[3] = '1';
    q[1].overlay4.base.ip[1]++;
    q[2].overlay6.bits--;
    q[3].exit6 = true;
    q[4].exit_lan = true;
    q[5].n_used--;
    q[6].used[7].metric = 1;
    q[7].used[PV_NETPLAN_USED - 1].prefix.base.ip[0]++;
    q[8].offered[5].snat ^= 1;
    q[9].offered[5].linked ^= 1;
    for (size_t i = 0; i < PV_ARRAY_LEN(q); i++)
        assert_false(pv_netplan_is_same(&p, &q[i]));
}

PV_TEST(a_plan_that_says_too_much_is_refused)
{
    static const char *const targets[] = {
        "0.0.0.0/1",   "128.0.0.0/1", "0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4",
        "239.0.0.0/8", "::/1",        "fe80::/64", "ff02::/16",   "::1/128",
        "8000::/1",    "0.0.0.0/0",   "::/0",      "2000::/3",    "169.254.0.0/16"};
    static const char *const names[] = {"",   "p2p0 accept", "-p2p0", ".",   "p2p0\n",
                                        "a*", "\"",          "a/b",   "a:b", "a{b"};
    for (size_t i = 0; i < PV_ARRAY_LEN(targets); i++) {
        struct pv_netplan p = {.ifname = "p2p0", .n_used = 1};
        p.used[0].prefix = test_prefix(targets[i]);
        assert_int_equal(pv_netplan_check(&p), PV_ERR_MALFORMED);
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(names); i++) {
        struct pv_netplan p = {.n_used = 0};
        snprintf(p.ifname, sizeof(p.ifname), "%s", names[i]);
        assert_int_equal(pv_netplan_check(&p), PV_ERR_MALFORMED);
    }
    struct pv_netplan p = {.ifname = "p2p0", .n_used = 1};
    p.used[0].prefix = test_prefix("192.168.1.0/24");
    p.used[0].prefix.base.ip[3] = 1; /* host bits */
    assert_int_equal(pv_netplan_check(&p), PV_ERR_MALFORMED);
    p = (struct pv_netplan){.ifname = "p2p0", .n_offered = 1};
    p.offered[0].prefix = test_prefix("192.168.1.0/24"); /* nobody's packets would be forwarded */
    assert_int_equal(pv_netplan_check(&p), PV_ERR_MALFORMED);
    p.overlay4 = test_prefix("10.66.0.0/16");
    assert_ok(pv_netplan_check(&p));
    p.overlay4 = test_prefix("fd00::/64");
    assert_int_equal(pv_netplan_check(&p), PV_ERR_MALFORMED);
}

PV_TEST(words_of_the_host_that_differ_in_one_field_are_not_the_same)
{
    const struct pv_netplan_link link = {test_prefix("2001:db8::/64"), "enp0s31f6",
                                         PV_NETPLAN_TUNNEL};
    const struct pv_netplan_host h = {
        .lan = {link},
        .n_lan = 1,
        .overlaps = {{test_prefix("2001:db8::/48"), link, true, 0, 0, 0}},
        .n_overlaps = 1};
    struct pv_netplan_host g[12] = {h, h, h, h, h, h, h, h, h, h, h, h};
    assert_true(pv_netplan_host_is_same(&h, &g[0]));
    g[0].n_lan = 0;
    g[1].lan[0].prefix.bits++;
    g[2].lan[0].kind = PV_NETPLAN_LAN;
    g[3].overlaps[0].taken = false;
    g[4].overlaps[0].other.ifname[0] = 'w';
    g[5].fault[0] = 'x';
    g[6].blocked = true;
    g[7].resolvers[1].family = PV_AF_INET;
    g[8].guarded = true;
    g[9].overlaps[0].table = 220;
    g[10].overlaps[0].rule = 220;
    g[11].overlaps[0].own = 254;
    for (size_t i = 0; i < PV_ARRAY_LEN(g); i++)
        assert_false(pv_netplan_host_is_same(&h, &g[i]));
}

/* A rule that sends all to the exit would send the daemon's packets there as well. */
PV_TEST(packets_that_go_elsewhere_are_told_with_a_remedy)
{
    struct pv_netplan_host h = {
        .overlaps = {{.used = test_prefix("fd00:66::/64"), .table = 0},
                     {.used = test_prefix("10.66.0.0/16"),
                      .other.ifname = "eth0",
                      .table = 220,
                      .rule = 220,
                      .own = 254},
                     {.used = test_prefix("::/0"), .other.ifname = "eth1", .table = 9, .rule = 50}},
        .n_overlaps = 3};
    char text[PV_NETPLAN_WAY];
    const struct pv_prefix members = test_prefix("10.66.0.0/16"), all = test_prefix("::/0");
    assert_null(pv_netplan_stray(&h, &h.overlaps[0].used));
    assert_shows("members", pv_netplan_stray_text(pv_netplan_stray(&h, &members), text));
    assert_shows("remedy", pv_netplan_stray_remedy(pv_netplan_stray(&h, &members), text));
    assert_shows("all", pv_netplan_stray_text(pv_netplan_stray(&h, &all), text));
    assert_shows("remedy", pv_netplan_stray_remedy(pv_netplan_stray(&h, &all), text));
}

PV_TEST(a_sample_lies_in_its_range)
{
    static const char *const rows[][3] = {{"10.66.0.0/16", "10.66.0.1", "10.66.0.2"},
                                          {"10.66.0.8/31", "10.66.0.9", "10.66.0.8"},
                                          {"10.66.0.7/32", "10.66.0.7", "10.66.0.7"},
                                          {"fd00:66::/64", "fd00:66::1", "fd00:66::2"}};
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        const struct pv_prefix p = test_prefix(rows[i][0]);
        for (unsigned k = 1; k <= 2; k++) {
            const struct pv_addr a = pv_netplan_sample(&p, k);
            assert_string_equal(PV_IP_STR(&a), rows[i][k]);
        }
    }
}

PV_TEST(the_range_of_an_address_has_no_host_bits)
{
    struct pv_prefix a = test_prefix("192.168.5.77/32");
    a.bits = 22;
    const struct pv_prefix range = pv_netplan_range(&a);
    assert_string_equal(PV_PREFIX_STR(&range), "192.168.4.0/22");
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
    const struct pv_prefix more = test_prefix("25.1.0.0/16");
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_prefix p = {.bits = rows[i].bits};
        p.base = test_ip(rows[i].ip);
        if (pv_netplan_is_own(&p, &more, 1) != rows[i].ok)
            fail_msg("%s/%u", rows[i].ip, rows[i].bits);
        p.base.port = 53;
        assert_false(pv_netplan_is_own(&p, &more, 1));
    }
    assert_false(pv_netplan_is_own(&(struct pv_prefix){.bits = 0}, &more, 1));
}
