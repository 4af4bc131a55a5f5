/* SPDX-License-Identifier: MIT */
#include "base/bytes.h"
#include "proto/group/groupmsg.h"
#include "proto/group/grouptell.h"
#include "proto/group/querier.h"
#include "tests/unit/proto/group/group_packets.h"
#include "tests/unit/test_util.h"

static int read_packet(const struct group_packet *p, struct pv_groupmsg *msg)
{
    struct pv_ippkt ip;
    assert_ok(pv_ippkt_parse(pv_view(p->bytes, p->len), &ip));
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
    struct pv_group g = group_named("ff05::c");
    struct pv_addr a = pv_group_addr(&g);
    assert_string_equal(PV_IP_STR(&a), "ff05::c");
    g = group_named("239.1.2.3");
    a = pv_group_addr(&g);
    assert_string_equal(PV_IP_STR(&a), "239.1.2.3");
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
        assert_ok(read_packet(&p, &msg));
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
    assert_ok(read_packet(&p, &msg));
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
    assert_ok(read_packet(&damaged, &msg));
    assert_false(pv_groupmsg_next(&msg, &g, &change));
    struct group_packet older = igmp_begin();
    group_put(&older, "\x16\0\0\0\x0a\0\0\x01", 8); /* 10.0.0.1 */
    assert_ok(read_packet(&older, &msg));
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
        assert_ok(pv_ippkt_parse(pv_view(buf, len), &ip));
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

/* --- grouptell ------------------------------------------------------------------------------- */

PV_TEST(a_set_that_is_told_is_read)
{
    struct pv_grouptell t = {.flags = PV_GROUPTELL_ASKS | 0x80,
                             .own = {0xdeadbeef, 7},
                             .heard = {1, UINT32_MAX},
                             .n = 3};
    struct pv_grouptell u;
    uint8_t body[PV_GROUPTELL_BODY_MAX];
    size_t len;
    t.groups[0] = group_named("224.0.0.251");
    t.groups[1] = group_named("239.1.1.1");
    t.groups[2] = group_named("ff05::c");
    pv_grouptell_build(&t, body, &len);
    assert_int_equal(len, PV_GROUPTELL_HEADER + 4 + 4 + 16);
    assert_ok(pv_grouptell_parse(pv_view(body, len), &u));
    assert_int_equal(u.flags, t.flags);
    assert_int_equal(u.own.life, 0xdeadbeef);
    assert_int_equal(u.own.number, 7);
    assert_int_equal(u.heard.life, 1);
    assert_int_equal(u.heard.number, UINT32_MAX);
    assert_int_equal(u.n, 3);
    for (size_t i = 0; i < 3; i++)
        assert_true(pv_group_equal(&u.groups[i], &t.groups[i]));
    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(pv_grouptell_parse(pv_view(body, cut), &u), PV_ERR_TRUNCATED);
    assert_int_equal(pv_grouptell_parse(pv_view(body, len + 1), &u), PV_ERR_MALFORMED);
}

/* header, then the counts and addresses as given. */
static int parse(uint16_t n4, uint16_t n6, const char *const *groups, size_t n)
{
    uint8_t body[PV_GROUPTELL_HEADER + 64] = {0};
    struct pv_grouptell t;
    size_t len = PV_GROUPTELL_HEADER;
    pv_store_be16(body + 17, n4);
    pv_store_be16(body + 19, n6);
    for (size_t i = 0; i < n; i++) {
        struct pv_addr a = test_ip(groups[i]);
        memcpy(body + len, a.ip, pv_addr_ip_len(&a));
        len += pv_addr_ip_len(&a);
    }
    return pv_grouptell_parse(pv_view(body, len), &t);
}

PV_TEST(a_list_that_makes_no_set_is_refused)
{
    assert_ok(parse(0, 0, NULL, 0));
    assert_ok(parse(2, 0, (const char *[]){"239.1.1.1", "239.1.1.2"}, 2));
    assert_int_equal(parse(2, 0, (const char *[]){"239.1.1.2", "239.1.1.1"}, 2), PV_ERR_MALFORMED);
    assert_int_equal(parse(2, 0, (const char *[]){"239.1.1.1", "239.1.1.1"}, 2), PV_ERR_MALFORMED);
    assert_int_equal(parse(1, 0, (const char *[]){"10.66.0.1"}, 1), PV_ERR_MALFORMED);
    assert_int_equal(parse(1, 0, (const char *[]){"255.255.255.255"}, 1), PV_ERR_MALFORMED);
    assert_int_equal(parse(1, 0, (const char *[]){"224.0.0.1"}, 1), PV_ERR_MALFORMED);
    assert_int_equal(parse(1, 0, (const char *[]){"224.0.0.22"}, 1), PV_ERR_MALFORMED);
    assert_int_equal(parse(0, 1, (const char *[]){"ff02::1"}, 1), PV_ERR_MALFORMED);
    assert_int_equal(parse(0, 1, (const char *[]){"ff01::2"}, 1), PV_ERR_MALFORMED);
    assert_int_equal(parse(0, 1, (const char *[]){"fd00::1"}, 1), PV_ERR_MALFORMED);
    assert_int_equal(parse(100, 29, NULL, 0), PV_ERR_LIMIT);
    assert_int_equal(parse(0xffff, 0xffff, NULL, 0), PV_ERR_LIMIT);
    assert_int_equal(parse(1, 0, NULL, 0), PV_ERR_TRUNCATED);
}

PV_TEST(a_full_set_fits)
{
    static struct pv_grouptell t, u;
    uint8_t body[PV_GROUPTELL_BODY_MAX];
    size_t len;
    t.n = PV_GROUPTELL_MAX;
    for (size_t i = 0; i < t.n; i++) {
        t.groups[i] = group_named("ff0e::");
        pv_store_be16(t.groups[i].ip + 14, (uint16_t)i);
    }
    pv_grouptell_build(&t, body, &len);
    assert_int_equal(len, PV_GROUPTELL_BODY_MAX);
    assert_ok(pv_grouptell_parse(pv_view(body, len), &u));
    assert_int_equal(u.n, PV_GROUPTELL_MAX);
}

/* --- querier --------------------------------------------------------------------------------- */

static struct pv_querier *started(pv_ns now)
{
    static struct pv_querier q;
    pv_querier_init(&q);
    pv_querier_start(&q, now);
    pv_querier_handle_timeout(&q, now);
    return &q;
}

static void hear(struct pv_querier *q, struct group_packet p, pv_ns now)
{
    assert_ok(pv_querier_hear(q, pv_view(p.bytes, p.len), now));
}

static bool wants(const struct pv_querier *q, const char *group)
{
    struct pv_group g = group_named(group);
    for (size_t i = 0; i < q->n; i++) {
        if (pv_group_equal(&q->groups[i].group, &g))
            return true;
    }
    return false;
}

/* The versions of the questions that wait, in order: "46". */
static const char *questions(struct pv_querier *q)
{
    static char text[8];
    uint8_t buf[PV_GROUPMSG_QUERY_MAX];
    size_t len, n = 0;
    while (n < 7 && pv_querier_poll(q, buf, &len))
        text[n++] = (char)('0' + (buf[0] >> 4));
    text[n] = '\0';
    return text;
}

PV_TEST(it_asks_twice_and_then_every_two_minutes)
{
    struct pv_querier *q = started(PV_S(1));
    assert_string_equal(questions(q), "46");
    assert_int_equal(pv_querier_next_timeout(q), PV_S(1) + PV_QUERIER_STARTUP);
    pv_querier_handle_timeout(q, PV_S(5));
    assert_string_equal(questions(q), "");
    for (int i = 0; i < 3; i++) {
        pv_ns at = pv_querier_next_timeout(q);
        pv_querier_handle_timeout(q, at);
        assert_string_equal(questions(q), "46");
        assert_int_equal(pv_querier_next_timeout(q), at + PV_QUERIER_INTERVAL);
    }
    pv_querier_stop(q);
    assert_int_equal(pv_querier_next_timeout(q), PV_NEVER);
    pv_querier_handle_timeout(q, PV_S(9999));
    assert_string_equal(questions(q), "");
}

PV_TEST(a_reported_group_is_wanted_until_it_is_left)
{
    struct pv_querier *q = started(PV_S(1));
    uint64_t changes = q->changes;
    hear(q, group_report(TO_EX, "239.1.1.1", 0), PV_S(2));
    hear(q, group_report(IS_EX, "ff05::c", 0), PV_S(2));
    hear(q, group_old(0x16, "224.0.0.251"), PV_S(2));
    assert_int_equal(q->n, 3);
    assert_int_equal(q->changes, changes + 3);
    hear(q, group_report(IS_EX, "239.1.1.1", 0), PV_S(3)); /* again */
    assert_int_equal(q->changes, changes + 3);
    hear(q, group_report(TO_IN, "239.1.1.1", 0), PV_S(4));
    hear(q, group_old(0x17, "224.0.0.251"), PV_S(4));
    hear(q, group_old(0x17, "224.0.0.9"), PV_S(4)); /* was never there */
    assert_int_equal(q->n, 1);
    assert_true(wants(q, "ff05::c"));
    assert_int_equal(q->changes, changes + 5);
    /* In order, whatever the order of the reports. */
    hear(q, group_report(IS_EX, "ff05::b", 0), PV_S(5));
    hear(q, group_report(IS_EX, "239.0.0.1", 0), PV_S(5));
    for (size_t i = 1; i < q->n; i++)
        assert_true(pv_group_compare(&q->groups[i - 1].group, &q->groups[i].group) < 0);
}

PV_TEST(groups_of_everybody_and_nobody_do_not_count)
{
    static const char *const none[] = {"224.0.0.1", "ff02::1", "ff02::1:ff00:7", "ff01::5",
                                       "224.0.0.22"};
    struct pv_querier *q = started(PV_S(1));
    for (size_t i = 0; i < PV_ARRAY_LEN(none); i++)
        hear(q, group_report(IS_EX, none[i], 0), PV_S(2));
    assert_int_equal(q->n, 0);
}

PV_TEST(silence_ends_a_group)
{
    struct pv_querier *q = started(PV_S(1));
    hear(q, group_report(IS_EX, "239.1.1.1", 0), PV_S(2));
    hear(q, group_report(IS_EX, "239.1.1.2", 0), PV_S(100));
    pv_querier_handle_timeout(q, PV_S(2) + PV_QUERIER_LIFETIME - 1);
    assert_int_equal(q->n, 2);
    pv_querier_handle_timeout(q, PV_S(2) + PV_QUERIER_LIFETIME);
    assert_int_equal(q->n, 1);
    assert_true(wants(q, "239.1.1.2"));
}

PV_TEST(a_group_in_doubt_is_asked_about)
{
    struct pv_querier *q = started(PV_S(1));
    questions(q);
    hear(q, group_report(IS_IN, "239.1.1.1", 2), PV_S(2));
    hear(q, group_report(IS_IN, "239.1.1.2", 2), PV_S(2));
    hear(q, group_report(BLOCK, "239.1.1.9", 1), PV_S(3)); /* was never there */
    assert_string_equal(questions(q), "");
    hear(q, group_report(BLOCK, "239.1.1.1", 1), PV_S(3));
    assert_string_equal(questions(q), "4");
    hear(q, group_report(BLOCK, "239.1.1.2", 2), PV_S(3));
    assert_string_equal(questions(q), "4");
    hear(q, group_report(IS_IN, "239.1.1.1", 1), PV_S(4)); /* it still wants one source */
    pv_querier_handle_timeout(q, PV_S(3) + PV_QUERIER_DOUBT);
    assert_true(wants(q, "239.1.1.1"));
    assert_false(wants(q, "239.1.1.2"));

    /* Two at once: everything is asked. */
    hear(q, group_report(IS_IN, "239.1.1.3", 1), PV_S(9));
    hear(q, group_report(BLOCK, "239.1.1.1", 1), PV_S(10));
    hear(q, group_report(BLOCK, "239.1.1.3", 1), PV_S(10));
    pv_querier_handle_timeout(q, PV_S(10));
    assert_string_equal(questions(q), "464");
}

PV_TEST(there_is_a_limit)
{
    struct pv_querier *q = started(PV_S(1));
    for (unsigned i = 0; i < PV_QUERIER_MAX + 10; i++) {
        hear(q, group_report(IS_EX, PV_STR("239.2.%u.%u", i / 100, i % 100), 0), PV_S(2));
    }
    assert_int_equal(q->n, PV_QUERIER_MAX);
    assert_int_equal(q->refused, 10);
    pv_querier_handle_timeout(q, PV_S(2) + PV_QUERIER_LIFETIME); /* all were given up */
    assert_int_equal(q->n, 0);
    assert_int_equal(q->refused, 0);
    pv_querier_stop(q);
    assert_int_equal(q->n, 0);
    /* A report that comes late, after the interface went, counts for nothing. */
    hear(q, group_report(IS_EX, "239.1.1.1", 0), PV_S(3));
    assert_int_equal(q->n, 0);
}
