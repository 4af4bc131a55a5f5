/* SPDX-License-Identifier: MIT */
#include "proto/ip/inband.h"
#include "tests/unit/test_util.h"

static uint8_t body[PV_INBAND_WHOLE_MAX + 1];

static void fill_body(void)
{
    for (size_t i = 0; i < sizeof(body); i++)
        body[i] = (uint8_t)(i * 7 + i / 251);
}

static size_t build(uint32_t id, uint8_t part, size_t len, uint8_t *buf)
{
    size_t n;
    assert_ok(pv_inband_build(PV_INBAND_STATEMENTS, id, part, pv_view(body, len), buf, &n));
    return n;
}

PV_TEST(a_short_message_is_one_part)
{
    uint8_t buf[PV_INBAND_PACKET_MAX],
        want[] = {0xc1, 3, 0, 2, 0x01, 0x02, 0x03, 0x04, 0, 1, 'h', 'i'};
    struct pv_inband_receiver rx = {.whole = NULL};
    struct pv_inband_message m;
    size_t len;
    assert_ok(pv_inband_build(PV_INBAND_ECHO, 0x01020304, 0, pv_view("hi", 2), buf, &len));
    assert_int_equal(len, sizeof(want));
    assert_memory_equal(buf, want, len);
    assert_ok(pv_inband_receive(&rx, pv_view(buf, len), 0, &m));
    assert_int_equal(m.type, PV_INBAND_ECHO);
    assert_true(pv_view_equal(m.body, pv_view("hi", 2)));
    assert_ok(pv_inband_build(PV_INBAND_GOODBYE, 1, 0, pv_view(NULL, 0), buf, &len));
    assert_ok(pv_inband_receive(&rx, pv_view(buf, len), 0, &m));
    assert_int_equal(m.body.len, 0);
    pv_inband_receiver_done(&rx);
}

PV_TEST(long_messages_come_together_in_any_order)
{
    static const size_t lens[] = {1201, 2400, 2401, 10000, PV_INBAND_WHOLE_MAX};
    struct pv_inband_receiver rx = {.whole = NULL};
    uint8_t buf[PV_INBAND_PACKET_MAX];
    struct pv_inband_message m;
    fill_body();
    for (size_t i = 0; i < PV_ARRAY_LEN(lens); i++) {
        uint8_t parts;
        assert_ok(pv_inband_parts(lens[i], &parts));
        assert_int_equal(parts, (lens[i] + 1199) / 1200);
        for (unsigned k = 0; k < parts; k++) {
            uint8_t part = (uint8_t)((k * 5 + 1) % parts); /* 5 divides none of the counts */
            if (parts % 5 == 0)
                part = (uint8_t)(parts - 1 - k);
            size_t n = build((uint32_t)i, part, lens[i], buf);
            int want = k + 1 == parts ? PV_OK : PV_ERR_AGAIN;
            assert_int_equal(pv_inband_receive(&rx, pv_view(buf, n), 5, &m), want);
            if (want == PV_ERR_AGAIN) /* a duplicate changes nothing */
                assert_int_equal(pv_inband_receive(&rx, pv_view(buf, n), 5, &m), PV_ERR_AGAIN);
        }
        assert_int_equal(m.type, PV_INBAND_STATEMENTS);
        assert_true(pv_view_equal(m.body, pv_view(body, lens[i])));
    }
    uint8_t parts;
    size_t n;
    assert_int_equal(pv_inband_parts(PV_INBAND_WHOLE_MAX + 1, &parts), PV_ERR_LIMIT);
    assert_int_equal(pv_inband_build(PV_INBAND_ECHO, 1, 0, pv_view(body, sizeof(body)), buf, &n),
                     PV_ERR_LIMIT);
    assert_int_equal(pv_inband_build(PV_INBAND_ECHO, 1, 1, pv_view(body, 1200), buf, &n),
                     PV_ERR_LIMIT);
    pv_inband_receiver_done(&rx);
}

PV_TEST(only_types_of_the_table_are_known)
{
#define HAS_ROW(name, number, ...) [number] = true,
    static const bool has_row[256] = {PV_INBAND_TYPES(HAS_ROW)};
    struct pv_inband_part p;
    for (unsigned type = 0; type <= UINT8_MAX; type++) {
        const uint8_t bytes[] = {0xc1, (uint8_t)type, 0, 1, 0, 0, 0, 0, 0, 1, 9};
        int want = has_row[type] ? PV_OK : PV_ERR_UNSUPPORTED;
        if (pv_inband_parse(pv_view(bytes, sizeof(bytes)), &p) != want)
            fail_msg("type %u", type);
    }
}

PV_TEST(every_truncation_and_bad_field_is_refused)
{
    static const struct {
        uint8_t bytes[28];
        size_t len;
        int status;
        const char *why;
    } rows[] = {
        {{0xc2, 1, 0, 1, 0, 0, 0, 0, 0, 1, 9}, 11, PV_ERR_MALFORMED, "first byte"},
        {{0xc1, 1, 0, 2, 0, 0, 0, 0, 0, 1, 9}, 11, PV_ERR_TRUNCATED, "body one over"},
        {{0xc1, 1, 0, 1, 0, 0, 0, 0, 1, 1, 9}, 11, PV_ERR_MALFORMED, "part = parts"},
        {{0xc1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 9}, 11, PV_ERR_MALFORMED, "no parts"},
        {{0xc1, 1, 0, 1, 0, 0, 0, 0, 0, 33, 9}, 11, PV_ERR_LIMIT, "parts one over"},
        {{0xc1, 1, 0, 0, 0, 0, 0, 0, 0, 2}, 10, PV_ERR_MALFORMED, "empty part of two"},
        {{0xc1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 9}, 11, PV_ERR_UNSUPPORTED, "type 0"},
        {{0xc1, 255, 0, 1, 0, 0, 0, 0, 0, 1, 9}, 11, PV_ERR_UNSUPPORTED, "type 255"},
        {{0xc1, 1, 0, 1, 0, 0, 0, 0, 0, 1, 9, 1}, 12, PV_ERR_MALFORMED, "padding not zero"},
        {{0xc1, 1, 0, 1, 0, 0, 0, 0, 0, 1, 9}, 27, PV_ERR_MALFORMED, "16 bytes of padding"},
        {{0xc1, 1, 0, 1, 0, 0, 0, 0, 0, 1, 9}, 26, PV_OK, "15 bytes of padding"},
    };
    uint8_t buf[PV_INBAND_PACKET_MAX + 1];
    struct pv_inband_part p;
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        if (pv_inband_parse(pv_view(rows[i].bytes, rows[i].len), &p) != rows[i].status)
            fail_msg("%s", rows[i].why);
    }
    size_t n = build(1, 0, 1200, buf);
    for (size_t len = 0; len < n; len++) {
        uint8_t *exact = malloc(len == 0 ? 1 : len);
        assert_non_null(exact);
        memcpy(exact, buf, len);
        assert_int_equal(pv_inband_parse(pv_view(exact, len), &p), PV_ERR_TRUNCATED);
        free(exact);
    }
    buf[2] = 1201 >> 8;
    buf[3] = 1201 & 0xff;
    buf[n] = 0;
    assert_int_equal(pv_inband_parse(pv_view(buf, n + 1), &p), PV_ERR_LIMIT);
}

PV_TEST(parts_that_contradict_are_refused)
{
    struct pv_inband_receiver rx = {.whole = NULL};
    uint8_t buf[PV_INBAND_PACKET_MAX];
    struct pv_inband_message m;
    size_t n;
    n = build(7, 0, 3000, buf);
    assert_int_equal(pv_inband_receive(&rx, pv_view(buf, n), 1, &m), PV_ERR_AGAIN);
    n = build(7, 1, 4000, buf); /* other number of parts */
    assert_int_equal(pv_inband_receive(&rx, pv_view(buf, n), 1, &m), PV_ERR_MALFORMED);
    n = build(7, 1, 3000, buf);
    buf[1] = PV_INBAND_DESCRIPTION;
    assert_int_equal(pv_inband_receive(&rx, pv_view(buf, n), 1, &m), PV_ERR_MALFORMED);
    buf[1] = PV_INBAND_STATEMENTS;
    assert_int_equal(pv_inband_receive(&rx, pv_view(buf, n), 1, &m), PV_ERR_AGAIN);
    n = build(7, 2, 3000, buf);
    assert_ok(pv_inband_receive(&rx, pv_view(buf, n), 1, &m));
    assert_int_equal(m.body.len, 3000);
    pv_inband_receiver_done(&rx);
}

PV_TEST(a_message_grows_to_its_limit_and_no_further)
{
    struct pv_inband_receiver rx = {.whole = NULL};
    uint8_t buf[PV_INBAND_PACKET_MAX];
    struct pv_inband_message m;
    for (uint8_t part = 0; part < 14; part++) {
        size_t n = build(9, 0, 1200, buf);
        buf[8] = part;
        buf[9] = 14; /* 14 full parts are 416 bytes too many */
        int r = pv_inband_receive(&rx, pv_view(buf, n), 1, &m);
        assert_int_equal(r, part < 13 ? PV_ERR_AGAIN : PV_ERR_LIMIT);
    }
    for (size_t i = 0; i < PV_INBAND_UNFINISHED; i++)
        assert_true(rx.unfinished[i].deadline == 0);
    pv_inband_receiver_done(&rx);
}

PV_TEST(unfinished_messages_are_few_and_short_lived)
{
    struct pv_inband_receiver rx = {.whole = NULL};
    uint8_t buf[PV_INBAND_PACKET_MAX];
    struct pv_inband_message m;
    size_t n;
    for (uint32_t id = 0; id <= PV_INBAND_UNFINISHED; id++) {
        n = build(id, 0, 2000, buf);
        assert_int_equal(pv_inband_receive(&rx, pv_view(buf, n), PV_MS(1) * (id + 1), &m),
                         PV_ERR_AGAIN);
    }
    n = build(4, 1, 2000, buf);
    assert_ok(pv_inband_receive(&rx, pv_view(buf, n), PV_MS(10), &m));
    n = build(0, 1, 2000, buf); /* its first part gave way */
    assert_int_equal(pv_inband_receive(&rx, pv_view(buf, n), PV_MS(10), &m), PV_ERR_AGAIN);
    n = build(1, 1, 2000, buf); /* began at 2 ms */
    assert_ok(pv_inband_receive(&rx, pv_view(buf, n), PV_MS(2001), &m));
    n = build(2, 1, 2000, buf); /* began at 3 ms: just too late */
    assert_int_equal(pv_inband_receive(&rx, pv_view(buf, n), PV_MS(2003), &m), PV_ERR_AGAIN);
    pv_inband_expire(&rx, PV_S(10));
    for (size_t i = 0; i < PV_INBAND_UNFINISHED; i++)
        assert_true(rx.unfinished[i].deadline == 0);
    assert_null(rx.whole);
    pv_inband_receiver_done(&rx);
}

PV_TEST(echoes_survive_both_ways)
{
    struct pv_inband_echo e = {.reply = true,
                               .path = PV_INBAND_PATH_RELAY,
                               .token = 0x0102030405060708u,
                               .filler = {.ptr = (const uint8_t *)"fill", .len = 4}};
    struct pv_inband_echo back;
    uint8_t buf[PV_INBAND_PART_MAX];
    size_t len;
    assert_ok(pv_inband_echo_build(&e, buf, sizeof(buf), &len));
    assert_memory_equal(buf,
                        "\x01\x01\x02\x03\x04\x05\x06\x07\x08\x02"
                        "fill",
                        14);
    assert_ok(pv_inband_echo_parse(pv_view(buf, len), &back));
    assert_true(back.reply && back.token == e.token && back.path == PV_INBAND_PATH_RELAY);
    assert_true(pv_view_equal(back.filler, e.filler));
    for (size_t n = 0; n < PV_INBAND_ECHO_HEADER; n++)
        assert_int_equal(pv_inband_echo_parse(pv_view(buf, n), &back), PV_ERR_TRUNCATED);
    for (size_t cap = 0; cap < len; cap++)
        assert_int_equal(pv_inband_echo_build(&e, buf, cap, &(size_t){0}), PV_ERR_NO_SPACE);
    buf[0] = 2;
    assert_int_equal(pv_inband_echo_parse(pv_view(buf, len), &back), PV_ERR_MALFORMED);
    e.filler = pv_view(body, PV_INBAND_ECHO_MAX);
    assert_ok(pv_inband_echo_build(&e, buf, sizeof(buf), &len));
    e.filler.len++;
    assert_int_equal(pv_inband_echo_build(&e, buf, sizeof(buf), &len), PV_ERR_LIMIT);
}

PV_TEST(a_probe_is_as_long_as_asked_and_names_its_token)
{
    static const size_t lens[] = {PV_INBAND_PROBE_MIN, 1210, 1211, 1420, PV_INBAND_PROBE_MAX};
    static uint8_t buf[PV_INBAND_PROBE_MAX + PV_INBAND_PADDING];
    struct pv_inband_receiver rx = {.whole = NULL};
    struct pv_inband_message m;
    uint32_t token;
    for (size_t i = 0; i < PV_ARRAY_LEN(lens); i++) {
        memset(buf, 0, sizeof(buf));
        assert_ok(pv_inband_probe_build(0x01020304, lens[i], buf));
        for (size_t pad = 0; pad < PV_INBAND_PADDING; pad++) {
            assert_ok(pv_inband_receive(&rx, pv_view(buf, lens[i] + pad), 0, &m));
            assert_int_equal(m.type, PV_INBAND_PROBE);
            assert_int_equal(m.body.len, lens[i] - PV_INBAND_HEADER);
            assert_ok(pv_inband_probe_parse(m.body, &token));
            assert_int_equal(token, 0x01020304);
        }
        for (size_t cut = 0; cut < lens[i]; cut += 1 + lens[i] / 100)
            assert_int_equal(pv_inband_receive(&rx, pv_view(buf, cut), 0, &m), PV_ERR_TRUNCATED);
    }
    assert_int_equal(pv_inband_probe_build(1, PV_INBAND_PROBE_MIN - 1, buf), PV_ERR_LIMIT);
    assert_int_equal(pv_inband_probe_build(1, PV_INBAND_PROBE_MAX + 1, buf), PV_ERR_LIMIT);
    assert_int_equal(pv_inband_probe_parse(pv_view(buf, 3), &token), PV_ERR_TRUNCATED);
    /* One byte more than the longest, another type as long, and one in parts. */
    assert_ok(pv_inband_probe_build(1, PV_INBAND_PROBE_MAX, buf));
    buf[3]++;
    assert_int_equal(pv_inband_receive(&rx, pv_view(buf, PV_INBAND_PROBE_MAX + 1), 0, &m),
                     PV_ERR_LIMIT);
    assert_ok(pv_inband_probe_build(1, 1211, buf));
    buf[1] = PV_INBAND_PROBED;
    assert_int_equal(pv_inband_receive(&rx, pv_view(buf, 1211), 0, &m), PV_ERR_LIMIT);
    buf[1] = PV_INBAND_PROBE;
    buf[9] = 2;
    assert_int_equal(pv_inband_receive(&rx, pv_view(buf, 1211), 0, &m), PV_ERR_MALFORMED);
    pv_inband_receiver_done(&rx);
}
