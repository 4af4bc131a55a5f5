/* SPDX-License-Identifier: MIT */
#include "proto/group/groupmsg.h"
#include "tests/unit/proto/group/group_packets.h"
#include "tests/unit/test_util.h"

static int read_packet(const struct group_packet *p, struct pv_groupmsg *msg)
{
    struct pv_ippkt ip;
    assert_int_equal(pv_ippkt_parse(pv_view(p->bytes, p->len), &ip), PV_OK);
    return pv_groupmsg_read(&ip, msg);
}

PV_TEST(groups_are_told_apart)
{
    static const struct {
        const char *ip;
        enum pv_group_kind kind;
        bool everybody;
    } cases[] = {
        {"255.255.255.255", PV_GROUP_DISCOVERY, true},
        {"224.0.0.1", PV_GROUP_DISCOVERY, true},
        {"ff02::1", PV_GROUP_DISCOVERY, true},
        {"224.0.0.251", PV_GROUP_DISCOVERY, false},
        {"ff02::fb", PV_GROUP_DISCOVERY, false},
        {"239.255.255.250", PV_GROUP_DISCOVERY, false},
        {"ff02::c", PV_GROUP_DISCOVERY, false},
        {"ff05::c", PV_GROUP_DISCOVERY, false},
        {"224.0.0.252", PV_GROUP_DISCOVERY, false},
        {"ff02::1:3", PV_GROUP_DISCOVERY, false},
        {"ff02::2", PV_GROUP_DISCOVERY, false},
        {"239.66.0.1", PV_GROUP_JOINED, false},
        {"224.0.0.5", PV_GROUP_JOINED, false},
        {"ff02::5", PV_GROUP_JOINED, false},
        {"ff0e::1234", PV_GROUP_JOINED, false},
        {"ff15::1", PV_GROUP_JOINED, false},
        {"224.0.0.22", PV_GROUP_LOCAL, false},
        {"224.0.0.0", PV_GROUP_LOCAL, false},
        {"ff02::16", PV_GROUP_LOCAL, false},
        {"ff01::1", PV_GROUP_LOCAL, false},
        {"ff11::7", PV_GROUP_LOCAL, false},
        {"ff00::1", PV_GROUP_LOCAL, false},
        {"ff02::1:ff00:1", PV_GROUP_LOCAL, false},
        {"10.66.0.1", PV_GROUP_LOCAL, false},
        {"fd00::1", PV_GROUP_LOCAL, false},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(cases); i++) {
        struct pv_group g = group_named(cases[i].ip);
        if (pv_group_kind(&g) != cases[i].kind || pv_group_is_everybodys(&g) != cases[i].everybody)
            fail_msg("%s: kind %d", cases[i].ip, (int)pv_group_kind(&g));
    }
    struct pv_group hosts = group_named("224.0.0.1"), all = pv_group_broadcast();
    assert_true(pv_group_equal(&hosts, &all));
    char text[PV_ADDR_TEXT];
    struct pv_group g = group_named("ff05::c");
    struct pv_addr a = pv_group_addr(&g);
    assert_string_equal(pv_addr_format_ip(&a, text), "ff05::c");
    g = group_named("239.1.2.3");
    a = pv_group_addr(&g);
    assert_string_equal(pv_addr_format_ip(&a, text), "239.1.2.3");
    size_t n = 0;
    while (pv_group_discovery(n).version != 0)
        n++;
    assert_int_equal(n, 13);
}

PV_TEST(each_kind_of_report_is_read)
{
    static const struct {
        uint8_t type;
        uint16_t sources;
        bool old;
        const char *group;
        enum pv_group_change change;
    } cases[] = {
        {0x12, 0, true, "239.1.1.1", PV_GROUP_WANTED},
        {0x16, 0, true, "239.1.1.1", PV_GROUP_WANTED},
        {0x17, 0, true, "239.1.1.1", PV_GROUP_LEFT},
        {131, 0, true, "ff02::fb", PV_GROUP_WANTED},
        {132, 0, true, "ff02::fb", PV_GROUP_LEFT},
        {IS_EX, 0, false, "239.1.1.1", PV_GROUP_WANTED},
        {IS_EX, 3, false, "239.1.1.1", PV_GROUP_WANTED},
        {IS_IN, 1, false, "239.1.1.1", PV_GROUP_WANTED},
        {IS_IN, 0, false, "239.1.1.1", PV_GROUP_LEFT},
        {TO_EX, 0, false, "239.1.1.1", PV_GROUP_WANTED},
        {TO_IN, 0, false, "239.1.1.1", PV_GROUP_LEFT},
        {TO_IN, 2, false, "239.1.1.1", PV_GROUP_WANTED},
        {ALLOW, 1, false, "239.1.1.1", PV_GROUP_WANTED},
        {BLOCK, 1, false, "239.1.1.1", PV_GROUP_DOUBTED},
        {TO_EX, 0, false, "ff05::c", PV_GROUP_WANTED},
        {TO_IN, 0, false, "ff05::c", PV_GROUP_LEFT},
        {BLOCK, 2, false, "ff3e::8000:1", PV_GROUP_DOUBTED},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(cases); i++) {
        struct group_packet p = cases[i].old
                                    ? group_old(cases[i].type, cases[i].group)
                                    : group_report(cases[i].type, cases[i].group, cases[i].sources);
        struct pv_groupmsg msg;
        struct pv_group g, want = group_named(cases[i].group);
        enum pv_group_change change;
        assert_int_equal(read_packet(&p, &msg), PV_OK);
        assert_true(pv_groupmsg_next(&msg, &g, &change));
        assert_true(pv_group_equal(&g, &want));
        assert_int_equal(change, cases[i].change);
        assert_false(pv_groupmsg_next(&msg, &g, &change));
    }
}

/* Auxiliary data and sources are stepped over, an unknown type too. */
PV_TEST(many_records_are_read)
{
    struct group_packet p = igmp_begin();
    struct pv_groupmsg msg;
    struct pv_group g;
    enum pv_group_change change;
    size_t n = 0;
    group_put(&p, "\x22\0\0\0\0\0\0\x05", 8);
    group_record(&p, IS_EX, "239.1.1.1", 2, 3);
    group_record(&p, 77, "239.1.1.9", 1, 0);
    group_record(&p, TO_IN, "239.1.1.2", 0, 1);
    group_record(&p, IS_EX, "10.0.0.1", 0, 0); /* no group */
    group_record(&p, IS_EX, "239.1.1.3", 0, 0);
    assert_int_equal(read_packet(&p, &msg), PV_OK);
    while (pv_groupmsg_next(&msg, &g, &change)) {
        n++;
        assert_int_equal(g.ip[3], n);
        assert_int_equal(change, n == 2 ? PV_GROUP_LEFT : PV_GROUP_WANTED);
    }
    assert_int_equal(n, 3);
}

PV_TEST(a_packet_that_is_no_report_is_refused)
{
    struct pv_groupmsg msg;
    struct pv_group g;
    enum pv_group_change change;
    struct group_packet query = group_old(0x11, "224.0.0.1"), mld_query = group_old(130, "ff02::1");
    struct group_packet other = group_old(143, "239.1.1.1"), echo = group_old(128, "ff02::1");
    assert_int_equal(read_packet(&query, &msg), PV_ERR_UNSUPPORTED);
    assert_int_equal(read_packet(&mld_query, &msg), PV_ERR_UNSUPPORTED);
    assert_int_equal(read_packet(&other, &msg), PV_ERR_UNSUPPORTED);
    assert_int_equal(read_packet(&echo, &msg), PV_ERR_UNSUPPORTED);

    struct group_packet cut = igmp_begin();
    group_put(&cut, "\x22\0\0\0\0\0\0", 7);
    assert_int_equal(read_packet(&cut, &msg), PV_ERR_TRUNCATED);
    struct group_packet many = igmp_begin();
    group_put(&many, "\x22\0\0\0\0\0\x01\x00", 8);
    assert_int_equal(read_packet(&many, &msg), PV_ERR_LIMIT);

    /* It promises a record and sources that are not there. */
    struct group_packet damaged = igmp_begin();
    group_put(&damaged, "\x22\0\0\0\0\0\0\x02", 8);
    group_put(&damaged, "\x02\0\xff\xff\xef\x01\x01\x01", 8);
    assert_int_equal(read_packet(&damaged, &msg), PV_OK);
    assert_false(pv_groupmsg_next(&msg, &g, &change));
    struct group_packet older = igmp_begin();
    group_put(&older, "\x16\0\0\0\x0a\0\0\x01", 8); /* 10.0.0.1 */
    assert_int_equal(read_packet(&older, &msg), PV_OK);
    assert_false(pv_groupmsg_next(&msg, &g, &change));
}

PV_TEST(queries_are_packets_that_sum_up)
{
    uint8_t buf[PV_GROUPMSG_QUERY_MAX];
    struct pv_ippkt ip;
    size_t len;
    const struct pv_group one4 = group_named("239.1.1.1"), one6 = group_named("ff05::c");
    for (int i = 0; i < 4; i++) {
        uint8_t version = i < 2 ? 4 : 6;
        const struct pv_group *group = i % 2 == 0 ? NULL : version == 4 ? &one4 : &one6;
        pv_groupmsg_query(version, group, 100, buf, &len);
        assert_in_range(len, 1, sizeof(buf));
        assert_int_equal(pv_ippkt_parse(pv_view(buf, len), &ip), PV_OK);
        assert_int_equal(ip.whole.len, len);
        assert_int_equal(ip.version, version);
        assert_true(pv_groupmsg_is(&ip));
        assert_int_equal(ip.l4.ptr[0], version == 4 ? 0x11 : 130);
        uint32_t sum = 0;
        if (version == 6)
            sum = pv_ippkt_sum(pv_view(ip.src, 32), (uint32_t)ip.l4.len + PV_IP_PROTO_ICMP6);
        else
            assert_int_equal(pv_ippkt_sum(pv_view(buf, 24), 0), 0xffff);
        assert_int_equal(pv_ippkt_sum(ip.l4, sum), 0xffff);
        assert_int_equal(buf[version == 4 ? 8 : 7], 1); /* it stays on the link */
        struct pv_group to = pv_group_of(version, ip.dst);
        assert_true(group == NULL ? pv_group_is_everybodys(&to) : pv_group_equal(&to, group));
        assert_memory_equal(ip.l4.ptr + (version == 4 ? 4 : 8),
                            group == NULL ? (const uint8_t[16]){0} : group->ip,
                            version == 4 ? 4 : 16);
    }
}
