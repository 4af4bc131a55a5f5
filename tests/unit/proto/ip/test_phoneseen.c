/* SPDX-License-Identifier: MIT */
/* When a phone agreed keys last, as its gateway tells members. */
#include "proto/ip/phoneseen.h"
#include "tests/unit/test_util.h"

PV_TEST(questions_and_answers_come_back)
{
    static const struct pv_phoneseen rows[] = {
        {.asks = true, .phone = {9, [31] = 7}, .ago = PV_PHONESEEN_NEVER},
        {.phone = {1}, .ago = 0},
        {.phone = {1}, .ago = 86400},
        {.phone = {2}, .ago = PV_PHONESEEN_NEVER},
    };
    uint8_t buf[PV_PHONESEEN_MAX + 3] = {0};
    struct pv_phoneseen s;
    size_t len;
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        pv_phoneseen_build(&rows[i], buf, &len);
        /* Bytes behind the message are ignored. */
        for (size_t more = 0; more <= 3; more += 3) {
            assert_ok(pv_phoneseen_parse(pv_view(buf, len + more), &s));
            assert_int_equal(s.asks, rows[i].asks);
            assert_int_equal(s.ago, rows[i].ago);
            assert_memory_equal(s.phone, rows[i].phone, sizeof(s.phone));
        }
    }
}

PV_TEST(a_message_that_is_cut_or_of_no_kind_is_refused)
{
    const struct pv_phoneseen answer = {.phone = {1, 2, 3}, .ago = 5};
    uint8_t buf[PV_PHONESEEN_MAX];
    struct pv_phoneseen s;
    size_t len;
    pv_phoneseen_build(&answer, buf, &len);
    assert_int_equal(len, PV_PHONESEEN_MAX);
    for (size_t n = 0; n < len; n++)
        assert_int_equal(pv_phoneseen_parse(pv_view(buf, n), &s), PV_ERR_TRUNCATED);
    buf[0] = 2;
    assert_int_equal(pv_phoneseen_parse(pv_view(buf, len), &s), PV_ERR_MALFORMED);
}
