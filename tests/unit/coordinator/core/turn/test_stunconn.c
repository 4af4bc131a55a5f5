/* SPDX-License-Identifier: MIT */
#include "base/bytes.h"
#include "coordinator/core/turn/stunconn.h"
#include "tests/unit/test_util.h"

/* A Binding request, ChannelData of 5 bytes with padding, an indication, empty ChannelData. */
static size_t write_messages(uint8_t *buf, size_t lens[static 4])
{
    static const uint8_t messages[] = {
        0x00, 0x01, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1,   2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, /**/
        0x40, 0x01, 0, 5, 'h',  'e',  'l',  'l',  'o', 0, 0, 0,                            /**/
        0x00, 0x16, 0, 4, 0x21, 0x12, 0xa4, 0x42, 1,   2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, /**/
        0x00, 0x13, 0, 0,                                                                  /**/
        0x7f, 0xff, 0, 0,
    };
    memcpy(buf, messages, sizeof(messages));
    lens[0] = 20;
    lens[1] = 9;
    lens[2] = 24;
    lens[3] = 4;
    return sizeof(messages);
}

PV_TEST(messages_are_cut_wherever_the_bytes_are_cut)
{
    uint8_t buf[128];
    size_t lens[4];
    size_t total = write_messages(buf, lens);
    for (size_t piece = 1; piece <= total; piece++) {
        struct pv_stunconn s = {0};
        size_t n = 0;
        for (size_t at = 0; at < total;) {
            size_t used = 0;
            struct pv_view m;
            size_t len = total - at < piece ? total - at : piece;
            int r = pv_stunconn_handle_bytes(&s, pv_view(buf + at, len), &used, &m);
            assert_true(used > 0 && used <= len);
            at += used;
            if (r == PV_ERR_AGAIN) {
                assert_int_equal(used, len);
                continue;
            }
            assert_ok(r);
            assert_true(n < 4);
            assert_int_equal(m.len, lens[n]);
            assert_ptr_equal(m.ptr, s.in);
            n++;
            pv_stunconn_next(&s);
        }
        assert_int_equal(n, 4);
        pv_stunconn_done(&s);
    }
}

PV_TEST(a_piece_that_is_no_message_ends_the_stream)
{
    static const struct {
        uint8_t bytes[20];
        int status;
        const char *why;
    } rows[] = {
        {{0x04}, PV_ERR_MALFORMED, "first byte 4"},
        {{0x3f}, PV_ERR_MALFORMED, "first byte 0x3f"},
        {{0x80}, PV_ERR_MALFORMED, "first byte 0x80"},
        {{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x43}, PV_ERR_MALFORMED, "no cookie"},
        {{0, 1, 0x07, 0xf4, 0x21, 0x12, 0xa4, 0x42}, PV_ERR_LIMIT, "2056 bytes"},
        {{0x40, 0, 0xff, 0xff}, PV_ERR_LIMIT, "65535 bytes of data"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_stunconn s = {0};
        struct pv_view m;
        size_t used = 0;
        if (pv_stunconn_handle_bytes(&s, pv_view(rows[i].bytes, 20), &used, &m) != rows[i].status)
            fail_msg("%s", rows[i].why);
    }
}

/* One message of the first bytes of `head` and `len` bytes in all, then empty ChannelData. */
static void check_passed_over(const uint8_t head[static 8], size_t len, int status, size_t piece)
{
    static uint8_t buf[70000];
    static const uint8_t next[4] = {0x40, 0x07, 0, 0};
    struct pv_stunconn s = {0};
    size_t total = len + sizeof(next), n = 0, over = 0;
    memset(buf, 0x3f, sizeof(buf)); /* would end the stream, were it looked at */
    memcpy(buf, head, 8);
    memcpy(buf + len, next, sizeof(next));
    for (size_t at = 0, used = 0; at < total; at += used) {
        struct pv_view m;
        size_t some = total - at < piece ? total - at : piece;
        int r = pv_stunconn_handle_bytes(&s, pv_view(buf + at, some), &used, &m);
        assert_true(used > 0 && used <= some);
        over += r == PV_ERR_LIMIT ? 1 : 0;
        if (r == PV_ERR_AGAIN)
            assert_int_equal(used, some);
        if (r != PV_OK)
            continue;
        assert_int_equal(at + used, over == 0 && n == 0 ? len : total);
        n++;
        pv_stunconn_next(&s);
    }
    assert_int_equal(n, status == PV_OK ? 2 : 1);
    assert_int_equal(over, status == PV_OK ? 0 : 1);
    pv_stunconn_done(&s);
}

PV_TEST(a_message_that_is_too_long_is_passed_over)
{
    static const struct {
        uint8_t head[8];
        size_t len;
        int status;
    } rows[] = {
        {{0x40, 0, 0x08, 0x00}, 2052, PV_OK},
        {{0x40, 0, 0x08, 0x01}, 2056, PV_ERR_LIMIT},
        {{0x40, 0, 0xff, 0xff}, 65540, PV_ERR_LIMIT},
        {{0, 1, 0x07, 0xf0, 0x21, 0x12, 0xa4, 0x42}, 2052, PV_OK},
        {{0, 1, 0x07, 0xf4, 0x21, 0x12, 0xa4, 0x42}, 2056, PV_ERR_LIMIT},
        {{0, 1, 0xff, 0xfc, 0x21, 0x12, 0xa4, 0x42}, 65552, PV_ERR_LIMIT},
    };
    static const size_t pieces[] = {1, 3, 4, 5, 19, 20, 21, 1460, 2055, 2056, 70000};
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        for (size_t k = 0; k < PV_ARRAY_LEN(pieces); k++)
            check_passed_over(rows[i].head, rows[i].len, rows[i].status, pieces[k]);
    }
}

PV_TEST(output_is_padded_and_has_a_limit)
{
    static uint8_t data[2048];
    struct pv_stunconn s = {0};
    size_t n = 0;
    assert_ok(pv_stunconn_put(&s, pv_view("12345", 5)));
    struct pv_view out = pv_stunconn_out(&s);
    assert_int_equal(out.len, 8);
    assert_memory_equal(out.ptr, "12345\0\0", 8);
    pv_stunconn_wrote(&s, 3, PV_S(1));
    assert_ok(pv_stunconn_put(&s, pv_view("6789", 4)));
    out = pv_stunconn_out(&s);
    assert_int_equal(out.len, 9);
    assert_memory_equal(out.ptr + 5, "6789", 4);
    assert_false(pv_stunconn_is_slow(&s));
    while (pv_stunconn_put(&s, pv_view(data, sizeof(data))) == PV_OK)
        n++;
    assert_int_equal(n, PV_LINEWAIT_MOST / sizeof(data) - 1);
    assert_true(pv_stunconn_is_slow(&s));
    n++;
    data[0] = 0x01; /* answers find room behind it */
    while (pv_stunconn_put(&s, pv_view(data, sizeof(data))) == PV_OK)
        n++;
    assert_int_equal(n, PV_STUNCONN_OUT_MAX / sizeof(data));
    data[0] = 0x40;
    pv_stunconn_wrote(&s, pv_stunconn_out(&s).len, PV_S(1));
    assert_int_equal(pv_stunconn_out(&s).len, 0);
    assert_null(s.out); /* an idle stream keeps no buffer */
    assert_ok(pv_stunconn_put(&s, pv_view(data, sizeof(data))));
    pv_stunconn_done(&s);
}

/* A client behind a slow line: a peer's data waits no longer than the line needs for a little. */
PV_TEST(a_slow_line_holds_little)
{
    static uint8_t data[1000] = {0x40, 0x00, 0x03, 0xe4};
    struct pv_stunconn s = {0};
    pv_ns now = PV_S(1);
    for (unsigned i = 0; i < 1000; i++, now += PV_MS(1)) {
        while (pv_stunconn_put(&s, pv_view(data, sizeof(data))) == PV_OK)
            continue;
        pv_stunconn_wrote(&s, 125, now); /* 1 Mb/s */
    }
    assert_true(pv_stunconn_out(&s).len <= PV_LINEWAIT_LEAST);
    pv_stunconn_wrote(&s, pv_stunconn_out(&s).len, now); /* all of it: the line is fast */
    size_t n = 0;
    while (pv_stunconn_put(&s, pv_view(data, sizeof(data))) == PV_OK)
        n++;
    assert_int_equal(n, PV_LINEWAIT_MOST / sizeof(data));
    pv_stunconn_done(&s);
}
