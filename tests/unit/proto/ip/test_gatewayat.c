/* SPDX-License-Identifier: MIT */
/* Where strangers reach a member, as it tells an admin's node. */
#include "proto/ip/gatewayat.h"
#include "tests/unit/test_util.h"

static const struct pv_gatewayat answer = {
    .phone = {1, 2, 3},
    .names = true,
    .at = {.family = PV_AF_INET6, .ip = {0x20, 1, 0xd, 0xb8}, .port = 51820}};

PV_TEST(questions_and_answers_come_back)
{
    static const struct pv_gatewayat rows[] = {
        {.asks = true, .phone = {9, [31] = 7}},
        {.phone = {1}, .why = PV_GATEWAYAT_FULL, .names = true},
        {.phone = {1}, .at = {.family = PV_AF_INET, .ip = {203, 0, 113, 5}, .port = 1}},
        {.phone = {1},
         .at = {.family = PV_AF_INET, .ip = {203, 0, 113, 5}, .port = 51000},
         .verdict = PV_PORT_FAILED,
         .port_lo = 50000,
         .port_hi = 51999},
    };
    uint8_t buf[PV_GATEWAYAT_MAX + 3] = {0};
    struct pv_gatewayat c;
    size_t len;
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        pv_gatewayat_build(&rows[i], buf, &len);
        /* A later version may say more. */
        for (size_t more = 0; more <= 3; more += 3) {
            assert_ok(pv_gatewayat_parse(pv_view(buf, len + more), &c));
            assert_int_equal(c.asks, rows[i].asks);
            assert_int_equal(c.why, rows[i].why);
            assert_int_equal(c.names, rows[i].names);
            assert_int_equal(c.verdict, rows[i].verdict);
            assert_int_equal(c.port_lo, rows[i].port_lo);
            assert_int_equal(c.port_hi, rows[i].port_hi);
            assert_memory_equal(c.phone, rows[i].phone, sizeof(c.phone));
            assert_true(pv_addr_equal(&c.at, &rows[i].at));
        }
    }
}

PV_TEST(a_message_that_is_cut_is_refused)
{
    uint8_t buf[PV_GATEWAYAT_MAX];
    struct pv_gatewayat c;
    size_t len;
    pv_gatewayat_build(&answer, buf, &len);
    assert_int_equal(len, PV_GATEWAYAT_MAX);
    for (size_t n = 0; n < len; n++)
        assert_int_equal(pv_gatewayat_parse(pv_view(buf, n), &c), PV_ERR_TRUNCATED);
}

PV_TEST(only_addresses_that_strangers_may_reach_are_taken)
{
    static const uint8_t bad[][PV_IP6_LEN] = {{[15] = 1},
                                              {0},
                                              {0xfe, 0x80, [15] = 1},
                                              {0xff, 2, [15] = 1},
                                              {[10] = 0xff, 0xff, 127, 0, 0, 1}};
    uint8_t buf[PV_GATEWAYAT_MAX];
    struct pv_gatewayat c = answer;
    size_t len;
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++) {
        memcpy(c.at.ip, bad[i], sizeof(c.at.ip));
        pv_gatewayat_build(&c, buf, &len);
        assert_int_equal(pv_gatewayat_parse(pv_view(buf, len), &c), PV_ERR_MALFORMED);
    }
    c = answer;
    c.at.port = 0;
    pv_gatewayat_build(&c, buf, &len);
    assert_int_equal(pv_gatewayat_parse(pv_view(buf, len), &c), PV_ERR_MALFORMED);
    pv_gatewayat_build(&answer, buf, &len);
    buf[35] = 5; /* bytes of an address */
    assert_int_equal(pv_gatewayat_parse(pv_view(buf, len), &c), PV_ERR_MALFORMED);
    buf[0] = 2; /* neither question nor answer */
    assert_int_equal(pv_gatewayat_parse(pv_view(buf, len), &c), PV_ERR_MALFORMED);
}

PV_TEST(a_reason_of_a_later_version_is_one)
{
    const struct pv_gatewayat full = {.phone = {1}, .why = PV_GATEWAYAT_FULL};
    uint8_t buf[PV_GATEWAYAT_MAX];
    struct pv_gatewayat c;
    size_t len;
    pv_gatewayat_build(&full, buf, &len);
    buf[33] = 200;
    assert_ok(pv_gatewayat_parse(pv_view(buf, len), &c));
    assert_int_equal(c.why, PV_GATEWAYAT_LATER);
}
