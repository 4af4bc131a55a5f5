/* SPDX-License-Identifier: MIT */
#include "base/text.h"
#include "chat/proto/chat.h"
#include "proto/control/jsonline.h"
#include "tests/unit/test_util.h"

static const uint8_t ID[PV_CHAT_ID_LEN] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
#define ID_TEXT "AAECAwQFBgcICQoLDA0ODw"
#define MSG     "{\"id\":\"" ID_TEXT "\",\"seq\":7,\"time\":1790000000.25,\"text\":\"hi\"}"

static struct pv_chat_frame frame; /* 16 KiB: not on the stack */

static int parse(const char *line)
{
    memset(&frame, 0xee, sizeof(frame));
    return pv_chat_frame_parse(pv_view(line, strlen(line)), &frame);
}

PV_TEST(message_survives_the_wire)
{
    static char line[PV_CHAT_LINE_MAX];
    size_t len = 0;
    const char *text = "caf\xc3\xa9 \"quoted\" \\ \n second line";
    assert_ok(pv_chat_write_message(ID, 41, 1790000000123, text, line, &len));
    assert_int_equal(line[len - 1], '\n');
    assert_null(memchr(line, '\n', len - 1));
    assert_ok(pv_chat_frame_parse(pv_view(line, len - 1), &frame));
    assert_int_equal(frame.kind, PV_CHAT_MESSAGE);
    assert_memory_equal(frame.id, ID, sizeof(ID));
    assert_int_equal(frame.seq, 41);
    assert_int_equal(frame.time_ms, 1790000000123);
    assert_string_equal(frame.text, text);
    assert_int_equal(frame.text_len, strlen(text));
}

/* A line of this kind, which the compiler names when it is missing here; false: there is none. */
static bool write_sample(unsigned kind, char line[static PV_CHAT_LINE_MAX], size_t *ret_len)
{
    int r = PV_OK;
    *ret_len = 0;
    switch ((enum pv_chat_frame_kind)kind) {
    case PV_CHAT_MESSAGE:
        r = pv_chat_write_message(ID, 1, 1790000000123, "hi", line, ret_len);
        break;
    case PV_CHAT_ACK:
        r = pv_chat_write_ack(ID, PV_CHAT_READ, line, ret_len);
        break;
    case PV_CHAT_NOTED:
        r = pv_chat_write_noted(ID, line, ret_len);
        break;
    case PV_CHAT_LATER:
        r = pv_chat_write_later(ID, PV_CHAT_LATER_FULL, 30, line, ret_len);
        break;
    case PV_CHAT_PLAIN:
        memcpy(line, "hi\n", *ret_len = 3);
        break;
    }
    assert_ok(r);
    return *ret_len > 0;
}

PV_TEST(frames_of_every_kind_are_known_again)
{
    static char line[PV_CHAT_LINE_MAX];
    size_t len = 0;
    for (unsigned kind = 0; write_sample(kind, line, &len); kind++) {
        int r = pv_chat_frame_parse(pv_view(line, len - 1), &frame);
        if (r < 0 || frame.kind != kind)
            fail_msg("%.*s of kind %u is parsed as kind %u (%s)", (int)len - 1, line, kind,
                     frame.kind, pv_strstatus(r));
    }
}

PV_TEST(message_has_the_fields_of_the_design_in_order)
{
    static char line[PV_CHAT_LINE_MAX];
    size_t len = 0;
    assert_ok(pv_chat_write_message(ID, 7, 1790000000250, "hi", line, &len));
    assert_int_equal(len, strlen(MSG "\n"));
    assert_memory_equal(line, MSG "\n", len);
    assert_ok(pv_chat_write_ack(ID, PV_CHAT_READ, line, &len));
    assert_memory_equal(line, "{\"ack\":\"" ID_TEXT "\",\"state\":\"read\"}\n", len);
}

PV_TEST(ack_survives_the_wire)
{
    assert_ok(parse("{\"ack\":\"" ID_TEXT "\",\"state\":\"delivered\",\"more\":[1]}"));
    assert_int_equal(frame.kind, PV_CHAT_ACK);
    assert_int_equal(frame.state, PV_CHAT_DELIVERED);
    assert_memory_equal(frame.id, ID, sizeof(ID));
}

PV_TEST(later_is_a_noted_with_two_more_fields)
{
    static const char wire[] = "{\"noted\":\"" ID_TEXT "\",\"later\":30,\"why\":\"disk\"}\n";
    static char line[PV_CHAT_LINE_MAX];
    size_t len = 0;
    assert_ok(pv_chat_write_later(ID, PV_CHAT_LATER_DISK, 30, line, &len));
    assert_int_equal(len, strlen(wire));
    assert_memory_equal(line, wire, len);
    assert_ok(parse("{\"noted\":\"" ID_TEXT "\",\"later\":30,\"why\":\"disk\"}"));
    assert_int_equal(frame.kind, PV_CHAT_LATER);
    assert_int_equal(frame.later, PV_CHAT_LATER_DISK);
    assert_int_equal(frame.wait_s, 30);
    /* A reason that is not known yet, or none, makes the sender wait as well. */
    assert_ok(parse("{\"noted\":\"" ID_TEXT "\",\"later\":1,\"why\":\"moon\"}"));
    assert_int_equal(frame.later, PV_CHAT_LATER_FULL);
    assert_ok(parse("{\"noted\":\"" ID_TEXT "\",\"later\":3600}"));
    assert_int_equal(frame.later, PV_CHAT_LATER_FULL);
    assert_int_equal(parse("{\"noted\":\"" ID_TEXT "\",\"later\":0}"), PV_ERR_MALFORMED);
    assert_int_equal(parse("{\"noted\":\"" ID_TEXT "\",\"later\":3601}"), PV_ERR_MALFORMED);
    assert_int_equal(parse("{\"noted\":\"" ID_TEXT "\",\"later\":true}"), PV_ERR_MALFORMED);
    assert_ok(parse("{\"noted\":\"" ID_TEXT "\"}"));
    assert_int_equal(frame.kind, PV_CHAT_NOTED);
    assert_int_equal(pv_chat_write_later(ID, PV_CHAT_LATER_NO, 30, line, &len), PV_ERR_MALFORMED);
    assert_int_equal(pv_chat_write_later(ID, PV_CHAT_LATER_FULL, 0, line, &len), PV_ERR_MALFORMED);
    assert_int_equal(pv_chat_write_later(ID, PV_CHAT_LATER_FULL, 3601, line, &len),
                     PV_ERR_MALFORMED);
}

PV_TEST(write_refuses_what_may_not_be_sent)
{
    static char big[PV_CHAT_TEXT_MAX + 2], line[PV_CHAT_LINE_MAX];
    size_t len = 0;
    memset(big, '\x01', PV_CHAT_TEXT_MAX); /* the worst case: six bytes each */
    assert_ok(pv_chat_write_message(ID, 1, 1, big, line, &len));
    big[PV_CHAT_TEXT_MAX] = 'x';
    assert_int_equal(pv_chat_write_message(ID, 1, 1, big, line, &len), PV_ERR_MALFORMED);
    assert_int_equal(pv_chat_write_message(ID, 1, 1, "", line, &len), PV_ERR_MALFORMED);
    assert_int_equal(pv_chat_write_message(ID, 1, 1, "\xff", line, &len), PV_ERR_MALFORMED);
    assert_int_equal(pv_chat_write_message(ID, 0, 1, "x", line, &len), PV_ERR_MALFORMED);
    assert_int_equal(pv_chat_write_ack(ID, PV_CHAT_QUEUED, line, &len), PV_ERR_MALFORMED);
}

PV_TEST(parse_rejects_every_truncation)
{
    const char *lines[] = {MSG, "{\"ack\":\"" ID_TEXT "\",\"state\":\"read\"}"};
    for (size_t i = 0; i < PV_ARRAY_LEN(lines); i++) {
        for (size_t n = 1; n < strlen(lines[i]); n++) {
            uint8_t *exact = malloc(n);
            assert_non_null(exact);
            memcpy(exact, lines[i], n);
            assert_int_equal(pv_chat_frame_parse(pv_view(exact, n), &frame), PV_ERR_MALFORMED);
            free(exact);
        }
    }
}

PV_TEST(parse_rejects_what_is_not_a_frame)
{
    const struct {
        const char *line;
        int status;
        const char *why;
    } rows[] = {
        {"", PV_ERR_NOT_FOUND, "empty"},
        {"\r", PV_ERR_NOT_FOUND, "empty with CR"},
        {"{}", PV_ERR_MALFORMED, "no fields"},
        {"{\"id\":\"" ID_TEXT "\",\"seq\":1,\"time\":1,\"text\":\"\"}", PV_ERR_MALFORMED,
         "no text"},
        {"{\"id\":\"" ID_TEXT "\",\"seq\":0,\"time\":1,\"text\":\"a\"}", PV_ERR_MALFORMED, "seq 0"},
        {"{\"id\":\"" ID_TEXT "\",\"seq\":-1,\"time\":1,\"text\":\"a\"}", PV_ERR_MALFORMED,
         "seq -1"},
        {"{\"id\":\"" ID_TEXT "\",\"seq\":1.5,\"time\":1,\"text\":\"a\"}", PV_ERR_MALFORMED,
         "seq 1.5"},
        {test_given("AAECAwQFBgcICQoLDA0ODw seq time"), PV_ERR_MALFORMED, "seq one over 2^53"},
        {"{\"id\":\"" ID_TEXT "\",\"seq\":1,\"time\":-1,\"text\":\"a\"}", PV_ERR_MALFORMED, "time"},
        {"{\"id\":\"" ID_TEXT "\",\"seq\":1,\"time\":1e300,\"text\":\"a\"}", PV_ERR_MALFORMED,
         "time"},
        {"{\"id\":\"" ID_TEXT "\",\"seq\":1,\"text\":\"a\"}", PV_ERR_MALFORMED, "no time"},
        {test_given("AAECAwQFBgcICQoLDA0ODx seq time"), PV_ERR_MALFORMED, "id with unused bits"},
        {test_given("AAECAwQFBgcICQoLDA0OD seq time"), PV_ERR_MALFORMED, "short id"},
        {test_given("seq time text"), PV_ERR_MALFORMED, "id no string"},
        {test_given("seq time text u0000"), PV_ERR_MALFORMED, "NUL"},
        {"{\"id\":\"" ID_TEXT "\",\"seq\":1,\"time\":1,\"text\":\"\xff\"}", PV_ERR_MALFORMED,
         "UTF-8"},
        {"{\"id\":\"" ID_TEXT "\",\"id\":\"" ID_TEXT "\",\"seq\":1,\"time\":1,\"text\":\"a\"}",
         PV_ERR_MALFORMED, "key twice"},
        {"{\"ack\":\"" ID_TEXT "\",\"state\":\"queued\"}", PV_ERR_MALFORMED, "no such ack"},
        {"{\"ack\":\"" ID_TEXT "\"}", PV_ERR_MALFORMED, "no state"},
        {"{\"ack\":null,\"state\":\"read\"}", PV_ERR_MALFORMED, "null ack"},
        {MSG "x", PV_ERR_MALFORMED, "something after it"},
        {"{\"a\":[[[0]]]}", PV_ERR_MALFORMED, "exactly as deep as allowed"},
        {"{\"a\":[[[[0]]]]}", PV_ERR_LIMIT, "one level too deep"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        if (parse(rows[i].line) != rows[i].status)
            fail_msg("%s: %s", rows[i].why, rows[i].line);
    }
}

PV_TEST(text_of_exactly_the_limit_passes_and_one_more_does_not)
{
    static char text[PV_CHAT_TEXT_MAX + 2], line[PV_CHAT_TEXT_MAX + 256];
    memset(text, 'a', PV_CHAT_TEXT_MAX);
    for (int over = 0; over < 2; over++) {
        int want = over == 0 ? PV_OK : PV_ERR_LIMIT;
        text[PV_CHAT_TEXT_MAX] = over == 0 ? '\0' : 'a';
        assert_int_equal(parse(text), want);
        snprintf(line, sizeof(line), "{\"id\":\"%s\",\"seq\":1,\"time\":1,\"text\":\"%s\"}",
                 ID_TEXT, text);
        assert_int_equal(parse(line), want);
    }
    static uint8_t longest[PV_CHAT_LINE_MAX];
    memset(longest, '{', sizeof(longest));
    assert_int_equal(pv_chat_frame_parse(pv_view(longest, sizeof(longest)), &frame), PV_ERR_LIMIT);
}

PV_TEST(plain_text_of_nc_is_a_message)
{
    assert_ok(parse("hello there\r"));
    assert_int_equal(frame.kind, PV_CHAT_PLAIN);
    assert_string_equal(frame.text, "hello there");
    assert_ok(parse(test_given("caf")));
    assert_string_equal(frame.text, test_given("caf 2"));
    assert_ok(pv_chat_frame_parse(pv_view("a\0b", 3), &frame));
    assert_string_equal(frame.text, "a\xef\xbf\xbd"
                                    "b");
    assert_true(pv_text_is_valid(pv_view(frame.text, frame.text_len)));

    /* The longest line is a message whatever is in it. */
    static uint8_t line[PV_CHAT_TEXT_MAX + 1];
    memset(line, 0xff, sizeof(line));
    assert_ok(pv_chat_frame_parse(pv_view(line, PV_CHAT_TEXT_MAX), &frame));
    assert_in_range(frame.text_len, PV_CHAT_TEXT_MAX - 2, PV_CHAT_TEXT_MAX);
    assert_true(pv_text_is_valid(pv_view(frame.text, frame.text_len)));
    assert_int_equal(pv_chat_frame_parse(pv_view(line, sizeof(line)), &frame), PV_ERR_LIMIT);
    /* A part of a longer line begins as it likes. */
    assert_ok(pv_chat_plain_parse(pv_view("{\"ack\":1}", 9), &frame));
    assert_int_equal(frame.kind, PV_CHAT_PLAIN);
    assert_string_equal(frame.text, "{\"ack\":1}");
    assert_int_equal(pv_chat_plain_parse(pv_view("\r", 1), &frame), PV_ERR_NOT_FOUND);
}

PV_TEST(number_fields_are_bounded)
{
    json_t *obj = NULL;
    uint64_t v = 5;
    const char *text = test_given("b c d e");
    assert_ok(pv_jsonline_parse(pv_view(text, strlen(text)), 1, 5, &obj));
    assert_ok(pv_jsonline_u64(obj, "a", 3, 3, &v));
    assert_int_equal(v, 3);
    assert_int_equal(pv_jsonline_u64(obj, "a", 4, 9, &v), PV_ERR_MALFORMED);
    assert_int_equal(pv_jsonline_u64(obj, "a", 0, 2, &v), PV_ERR_MALFORMED);
    assert_int_equal(pv_jsonline_u64(obj, "b", 0, 9, &v), PV_ERR_MALFORMED);
    assert_int_equal(pv_jsonline_u64(obj, "c", 0, 9, &v), PV_ERR_NOT_FOUND);
    assert_int_equal(pv_jsonline_u64(obj, "d", 0, 9, &v), PV_ERR_MALFORMED);
    assert_int_equal(pv_jsonline_u64(obj, "e", 0, 9, &v), PV_ERR_MALFORMED);
    assert_int_equal(pv_jsonline_u64(obj, "z", 0, 9, &v), PV_ERR_NOT_FOUND);
    json_decref(obj);
    assert_int_equal(pv_jsonline_parse(pv_view(text, strlen(text)), 1, 4, &obj), PV_ERR_LIMIT);
    assert_int_equal(pv_jsonline_parse(pv_view("[1]", 3), 2, 4, &obj), PV_ERR_MALFORMED);
    assert_int_equal(pv_jsonline_parse(pv_view("}", 1), 2, 4, &obj), PV_ERR_MALFORMED);
    assert_ok(pv_jsonline_parse(pv_view("{\"a\":\"\\\"]]\"}", 12), 1, 4, &obj));
    json_decref(obj);
}
