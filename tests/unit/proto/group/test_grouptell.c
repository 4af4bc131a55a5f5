/* SPDX-License-Identifier: MIT */
#include "base/bytes.h"
#include "proto/group/grouptell.h"
#include "tests/unit/proto/group/group_packets.h"
#include "tests/unit/test_util.h"

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
    assert_int_equal(pv_grouptell_parse(pv_view(body, len), &u), PV_OK);
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
        struct pv_addr a;
        assert_int_equal(pv_addr_parse_ip(groups[i], &a), PV_OK);
        memcpy(body + len, a.ip, pv_addr_ip_len(&a));
        len += pv_addr_ip_len(&a);
    }
    return pv_grouptell_parse(pv_view(body, len), &t);
}

PV_TEST(a_list_that_makes_no_set_is_refused)
{
    assert_int_equal(parse(0, 0, NULL, 0), PV_OK);
    assert_int_equal(parse(2, 0, (const char *[]){"239.1.1.1", "239.1.1.2"}, 2), PV_OK);
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
    assert_int_equal(pv_grouptell_parse(pv_view(body, len), &u), PV_OK);
    assert_int_equal(u.n, PV_GROUPTELL_MAX);
}
