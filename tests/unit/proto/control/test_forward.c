/* SPDX-License-Identifier: MIT */
#include "proto/control/forward.h"
#include "tests/unit/test_util.h"

static uint8_t body[PV_FORWARD_MAX + 1], box[PV_SIGNAL_BOX_MAX + 1];

static struct pv_forward make(size_t box_len)
{
    struct pv_forward f = {.box = pv_view(box, box_len)};
    memset(f.to, 1, sizeof(f.to));
    memset(f.from, 2, sizeof(f.from));
    for (size_t i = 0; i < sizeof(box); i++)
        box[i] = (uint8_t)(i * 13);
    return f;
}

PV_TEST(a_forwarded_signal_comes_back_as_it_was)
{
    static const size_t lens[] = {PV_NOISE_X_OVERHEAD, 500, PV_SIGNAL_BOX_MAX};
    for (size_t i = 0; i < PV_ARRAY_LEN(lens); i++) {
        const struct pv_forward f = make(lens[i]);
        struct pv_forward got;
        size_t len;
        assert_int_equal(pv_forward_build(&f, body, sizeof(body), &len), PV_OK);
        assert_int_equal(len, PV_FORWARD_HEADER + lens[i]);
        assert_int_equal(body[0], 1);
        assert_int_equal(body[32], 2);
        assert_int_equal(pv_forward_parse(pv_view(body, len), &got), PV_OK);
        assert_memory_equal(got.to, f.to, sizeof(f.to));
        assert_memory_equal(got.from, f.from, sizeof(f.from));
        assert_true(pv_view_equal(got.box, f.box));
    }
}

PV_TEST(every_truncation_is_refused)
{
    const struct pv_forward f = make(PV_NOISE_X_OVERHEAD);
    struct pv_forward got = {.to = {7}};
    size_t len;
    assert_int_equal(pv_forward_build(&f, body, sizeof(body), &len), PV_OK);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(pv_forward_parse(pv_view(body, i), &got), PV_ERR_TRUNCATED);
    assert_int_equal(got.to[0], 7);
    for (size_t cap = 0; cap < len; cap++)
        assert_int_equal(pv_forward_build(&f, body, cap, &len), PV_ERR_NO_SPACE);
}

PV_TEST(one_byte_too_many_and_signals_to_oneself_are_refused)
{
    struct pv_forward f = make(PV_SIGNAL_BOX_MAX), got;
    size_t len;
    assert_int_equal(pv_forward_build(&f, body, sizeof(body), &len), PV_OK);
    assert_int_equal(pv_forward_parse(pv_view(body, len + 1), &got), PV_ERR_LIMIT);
    f = make(PV_SIGNAL_BOX_MAX + 1);
    assert_int_equal(pv_forward_build(&f, body, sizeof(body), &len), PV_ERR_LIMIT);
    f = make(200);
    memcpy(f.from, f.to, sizeof(f.from));
    assert_int_equal(pv_forward_build(&f, body, sizeof(body), &len), PV_OK);
    assert_int_equal(pv_forward_parse(pv_view(body, len), &got), PV_ERR_MALFORMED);
}
