/* SPDX-License-Identifier: MIT */
#include "base/bytes.h"
#include "proto/stun/sentrymsg.h"
#include "tests/unit/test_util.h"

static const uint8_t TXID[PV_STUN_TXID_LEN] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
static const struct pv_sentry_word WORD = {.coordinator = 0x0102030405060708,
                                           .ticket = 0xfffefdfcfbfaf9f8};

PV_TEST(an_alarm_is_read_as_it_was_written)
{
    static const uint8_t WANT[] = {0,    0x11, 0,    28,   0x21, 0x12, 0xa4, 0x42, 1,    2,
                                   3,    4,    5,    6,    7,    8,    9,    10,   11,   12,
                                   0xc5, 0xe1, 0,    16,   1,    2,    3,    4,    5,    6,
                                   7,    8,    0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0xfa, 0xf9, 0xf8};
    struct pv_sentry_word got = {0};
    uint8_t buf[PV_SENTRY_ALARM_LEN];
    pv_sentry_write_alarm(buf, &WORD, TXID);
    assert_memory_equal(buf, WANT, sizeof(WANT));
    assert_int_equal(pv_sentry_read_alarm(pv_view(buf, sizeof(buf)), &got), PV_OK);
    assert_true(got.coordinator == WORD.coordinator && got.ticket == WORD.ticket);
    for (size_t i = 0; i < sizeof(buf); i++) {
        buf[i] ^= 1;
        assert_true(pv_sentry_read_alarm(pv_view(buf, sizeof(buf)), &got) < 0);
        buf[i] ^= 1;
        assert_true(pv_sentry_read_alarm(pv_view(buf, i), &got) < 0);
    }
}

/* A message of that class with the attribute in a value of len bytes, and a fingerprint if asked.
 */
static int read_one(enum pv_stun_class cls, uint16_t method, size_t len, bool fp)
{
    static const uint8_t VALUE[32] = {1};
    struct pv_sentry_word got;
    struct pv_stun_writer w;
    uint8_t buf[128];
    size_t n;
    pv_stun_write_begin(&w, buf, sizeof(buf), cls, method, TXID);
    pv_stun_put(&w, PV_STUN_ATTR_SENTRY, pv_view(VALUE, len));
    if (fp)
        pv_stun_put_fingerprint(&w);
    assert_int_equal(pv_stun_write_end(&w, &n), PV_OK);
    return pv_sentry_read_alarm(pv_view(buf, n), &got);
}

PV_TEST(other_messages_are_no_alarm)
{
    assert_int_equal(read_one(PV_STUN_INDICATION, PV_STUN_BINDING, 16, true), PV_OK);
    assert_int_equal(read_one(PV_STUN_REQUEST, PV_STUN_BINDING, 16, true), PV_ERR_NOT_FOUND);
    assert_int_equal(read_one(PV_STUN_SUCCESS, PV_STUN_BINDING, 16, true), PV_ERR_NOT_FOUND);
    assert_int_equal(read_one(PV_STUN_INDICATION, 6, 16, true), PV_ERR_NOT_FOUND);
    assert_int_equal(read_one(PV_STUN_INDICATION, PV_STUN_BINDING, 16, false), PV_ERR_AUTH);
    for (size_t len = 0; len <= 32; len++)
        assert_int_equal(read_one(PV_STUN_INDICATION, PV_STUN_BINDING, len, true),
                         len == 16 ? PV_OK : PV_ERR_MALFORMED);
}
