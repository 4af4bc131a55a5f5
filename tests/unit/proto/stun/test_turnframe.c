/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "base/bytes.h"
#include "proto/stun/turnframe.h"
#include "tests/unit/test_util.h"

static const uint8_t STREAM[] = {
    0x00, 0x01, 0,    0,    0x21, 0x12, 0xa4, 0x42, 1,   2,
    3,    4,    5,    6,    7,    8,    9,    10,   11,  12, /* Binding */
    0x40, 0x01, 0,    5,    'h',  'e',  'l',  'l',  'o', 0,
    0,    0,    0x40, 0x02, 0,    4,    'f',  'o',  'u', 'r', /* no padding */
    0x00, 0x17, 0,    4,    0x21, 0x12, 0xa4, 0x42, 1,   2,
    3,    4,    5,    6,    7,    8,    9,    10,   11,  12, /**/
    0x00, 0x13, 0,    0,                                     /**/
    0x4f, 0xff, 0,    0,                                     /* empty */
};
static const size_t LENS[] = {20, 9, 8, 24, 4};

static struct pv_turnframe *fresh(void)
{
    struct pv_turnframe *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    return f;
}

PV_TEST(messages_are_cut_wherever_the_bytes_are_cut)
{
    for (size_t piece = 1; piece <= sizeof(STREAM); piece++) {
        struct pv_turnframe *f = fresh();
        size_t n = 0, begin = 0;
        for (size_t at = 0; at < sizeof(STREAM); at += piece) {
            size_t len = sizeof(STREAM) - at < piece ? sizeof(STREAM) - at : piece;
            struct pv_view data = pv_view(STREAM + at, len), m;
            int r;
            while ((r = pv_turnframe_next(f, &data, &m)) == PV_OK) {
                assert_true(n < PV_ARRAY_LEN(LENS));
                assert_int_equal(m.len, LENS[n]);
                assert_memory_equal(m.ptr, STREAM + begin, m.len);
                begin += m.len + pv_turnframe_padding(m.len);
                n++;
            }
            assert_int_equal(r, PV_ERR_AGAIN);
            assert_int_equal(data.len, 0);
        }
        assert_int_equal(n, PV_ARRAY_LEN(LENS));
        assert_int_equal(begin, sizeof(STREAM));
        free(f);
    }
}

PV_TEST(bytes_that_are_neither_lose_the_stream)
{
    for (unsigned first = 0; first < 256; first++) {
        uint8_t bytes[24] = {(uint8_t)first};
        pv_store_be32(bytes + 4, 0x2112a442);
        struct pv_turnframe *f = fresh();
        struct pv_view data = pv_view(bytes, sizeof(bytes)), m;
        bool fine = first < 4 || (first >= 0x40 && first < 0x80);
        assert_int_equal(pv_turnframe_next(f, &data, &m), fine ? PV_OK : PV_ERR_MALFORMED);
        free(f);
    }
    uint8_t bad[20] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x43}; /* another cookie */
    struct pv_turnframe *f = fresh();
    struct pv_view data = pv_view(bad, sizeof(bad)), m;
    assert_int_equal(pv_turnframe_next(f, &data, &m), PV_ERR_MALFORMED);
    bad[7] = 0x42;
    bad[3] = 2; /* a length that no STUN message has */
    data = pv_view(bad, sizeof(bad));
    assert_int_equal(pv_turnframe_next(f, &data, &m), PV_ERR_MALFORMED);
    free(f);
}

/* The bytes before the break are taken, those behind it lose the stream whenever they come. */
PV_TEST(a_broken_message_behind_a_cut_loses_the_stream_too)
{
    static const uint8_t BYTES[] = {0x40, 1, 0, 1, 'x', 0, 0, 0, 0x90};
    struct pv_turnframe *f = fresh();
    struct pv_view data = pv_view(BYTES, 6), m;
    assert_int_equal(pv_turnframe_next(f, &data, &m), PV_ERR_AGAIN);
    data = pv_view(BYTES + 6, 3);
    assert_int_equal(pv_turnframe_next(f, &data, &m), PV_OK);
    assert_int_equal(m.len, 5);
    assert_int_equal(pv_turnframe_next(f, &data, &m), PV_ERR_MALFORMED);
    free(f);
}

PV_TEST(the_longest_messages_fit_one_byte_at_a_time)
{
    static uint8_t big[PV_TURNFRAME_MAX];
    static const struct {
        uint16_t type, len;
        size_t message, frame;
    } cases[] = {{0x4000, 65535, 65539, 65540}, {0x0017, 65532, 65552, 65552}};
    for (size_t i = 0; i < PV_ARRAY_LEN(cases); i++) {
        struct pv_turnframe *f = fresh();
        struct pv_view m = {0};
        pv_store_be16(big, cases[i].type);
        pv_store_be16(big + 2, cases[i].len);
        pv_store_be32(big + 4, 0x2112a442);
        for (size_t at = 0; at < cases[i].frame; at++) {
            struct pv_view data = pv_view(big + at, 1);
            assert_int_equal(pv_turnframe_next(f, &data, &m),
                             at + 1 == cases[i].frame ? PV_OK : PV_ERR_AGAIN);
        }
        assert_int_equal(m.len, cases[i].message);
        free(f);
    }
}
