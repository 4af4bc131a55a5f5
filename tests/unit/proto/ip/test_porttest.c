/* SPDX-License-Identifier: MIT */
/* The wish for a handshake to a phone port, and the answer, as bytes. */
#include "proto/ip/porttest.h"
#include "tests/unit/test_util.h"

static const struct pv_porttest wish = {
    .asks = true,
    .token = {1, 2, 3},
    .at = {.family = PV_AF_INET6, .ip = {0x20, 1, 0xd, 0xb8}, .port = 50123}};

PV_TEST(questions_and_answers_come_back)
{
    static const struct pv_porttest rows[] = {
        {.asks = true,
         .token = {9, [31] = 7},
         .at = {.family = PV_AF_INET, .ip = {203, 0, 113, 5}, .port = 1}},
        {.token = {1}, .sends = true},
        {.token = {1}},
    };
    uint8_t buf[PV_PORTTEST_MAX + 3] = {0};
    struct pv_porttest t;
    size_t len;
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        pv_porttest_build(&rows[i], buf, &len);
        /* Bytes behind the message are ignored. */
        for (size_t more = 0; more <= 3; more += 3) {
            assert_ok(pv_porttest_parse(pv_view(buf, len + more), &t));
            assert_int_equal(t.asks, rows[i].asks);
            assert_int_equal(t.sends, rows[i].sends);
            assert_memory_equal(t.token, rows[i].token, sizeof(t.token));
            assert_true(pv_addr_equal(&t.at, &rows[i].at));
        }
    }
}

PV_TEST(rejects_a_message_that_is_cut_or_of_no_kind)
{
    uint8_t buf[PV_PORTTEST_MAX];
    struct pv_porttest t;
    size_t len;
    pv_porttest_build(&wish, buf, &len);
    assert_int_equal(len, PV_PORTTEST_MAX);
    for (size_t n = 0; n < len; n++)
        assert_int_equal(pv_porttest_parse(pv_view(buf, n), &t), PV_ERR_TRUNCATED);
    buf[0] = 2;
    assert_int_equal(pv_porttest_parse(pv_view(buf, len), &t), PV_ERR_MALFORMED);
}

PV_TEST(rejects_addresses_to_which_no_datagram_may_go)
{
    static const uint8_t bad[][PV_IP6_LEN] = {
        {[15] = 1}, {0}, {0xfe, 0x80, [15] = 1}, {0xff, 2, [15] = 1}};
    uint8_t buf[PV_PORTTEST_MAX];
    struct pv_porttest t = wish;
    size_t len;
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++) {
        memcpy(t.at.ip, bad[i], sizeof(t.at.ip));
        pv_porttest_build(&t, buf, &len);
        assert_int_equal(pv_porttest_parse(pv_view(buf, len), &t), PV_ERR_MALFORMED);
    }
    t = wish;
    t.at.port = 0;
    pv_porttest_build(&t, buf, &len);
    assert_int_equal(pv_porttest_parse(pv_view(buf, len), &t), PV_ERR_MALFORMED);
    pv_porttest_build(&wish, buf, &len);
    buf[33] = 5; /* bytes of an address */
    assert_int_equal(pv_porttest_parse(pv_view(buf, len), &t), PV_ERR_MALFORMED);
}
