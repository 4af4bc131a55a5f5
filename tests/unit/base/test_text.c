/* SPDX-License-Identifier: MIT */
#include "base/text.h"
#include "tests/unit/test_util.h"

PV_TEST(base64url_matches_rfc4648)
{
    static const struct {
        const char *bytes, *text;
    } rows[] = {{"", ""},           {"f", "Zg"},          {"fo", "Zm8"},         {"foo", "Zm9v"},
                {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        char text[16];
        uint8_t bytes[16];
        size_t len, n = strlen(rows[i].bytes);
        assert_ok(pv_b64url_encode(pv_view(rows[i].bytes, n), text, PV_B64_LEN(n) + 1));
        assert_string_equal(text, rows[i].text);
        assert_ok(pv_b64url_decode(text, strlen(text), bytes, n, &len));
        assert_int_equal(len, n);
        assert_memory_equal(bytes, rows[i].bytes, n);
    }
    char text[8];
    assert_ok(pv_b64url_encode(pv_view("\xfb\xff\xbf", 3), text, sizeof(text)));
    assert_string_equal(text, "-_-_");
}

PV_TEST(base64url_refuses_other_spellings)
{
    static const struct {
        const char *text, *why;
    } rows[] = {{"Z", "one character"}, {"Zg==", "padding"},    {"Zh", "unused bits"},
                {"Zm9", "unused bits"}, {"Zm9v=", "padding"},   {"+/+/", "other alphabet"},
                {"Zm 9", "blank"},      {"Zm9v\n", "new line"}, {"Zm9vY", "4n+1 characters"}};
    uint8_t bytes[16];
    size_t len = 99;
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        if (pv_b64url_decode(rows[i].text, strlen(rows[i].text), bytes, sizeof(bytes), &len) !=
            PV_ERR_MALFORMED)
            fail_msg("accepted: %s", rows[i].why);
    }
    assert_int_equal(len, 99);
}

PV_TEST(base64url_respects_every_capacity)
{
    uint8_t bytes[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    char text[16];
    size_t len;
    for (size_t cap = 0; cap < PV_B64_LEN(8) + 1; cap++)
        assert_int_equal(pv_b64url_encode(pv_view(bytes, 8), text, cap), PV_ERR_NO_SPACE);
    assert_ok(pv_b64url_encode(pv_view(bytes, 8), text, PV_B64_LEN(8) + 1));
    for (size_t cap = 0; cap < 8; cap++)
        assert_int_equal(pv_b64url_decode(text, strlen(text), bytes, cap, &len), PV_ERR_NO_SPACE);
    assert_ok(pv_b64url_decode(text, strlen(text), bytes, 8, &len));
    assert_int_equal(len, 8);
}

PV_TEST(keys_survive_both_text_forms)
{
    uint8_t key[32], back[32];
    char text[PV_KEY_TEXT_BUF], wg[PV_WG_KEY_TEXT_BUF];
    struct test_rng seed;
    struct pv_rng rng = test_rng_make(&seed, 1);
    for (int i = 0; i < 100; i++) {
        pv_rng_fill(&rng, key, sizeof(key));
        assert_ok(pv_key_parse(pv_key_format(key, text), back));
        assert_memory_equal(key, back, 32);
        assert_ok(pv_wgkey_parse(pv_wgkey_format(key, wg), back));
        assert_memory_equal(key, back, 32);
        for (size_t k = 0; k < PV_KEY_TEXT; k++)
            assert_true(text[k] == wg[k] || (text[k] == '-' && wg[k] == '+') ||
                        (text[k] == '_' && wg[k] == '/'));
    }
}

PV_TEST(the_short_form_of_a_key_is_its_beginning)
{
    const uint8_t key[32] = {1, 2, 3, 4, 5};
    char text[PV_KEY_TEXT_BUF], longer[PV_KEY_TEXT_BUF + 4];
    const char *brief = PV_KEY_SHORT_STR(pv_key_format(key, text));
    assert_string_equal(brief, "key:AQID");
    snprintf(longer, sizeof(longer), "key:%s", text);
    assert_true(pv_key_is_short(brief, key));
    assert_true(pv_key_is_short(longer, key));
    assert_false(pv_key_is_short("key:AQI", key));
    assert_false(pv_key_is_short("key:", key));
    assert_false(pv_key_is_short("AQID", key));
    assert_false(pv_key_is_short("key:AQIE", key));
    longer[sizeof(longer) - 2] ^= 1;
    assert_false(pv_key_is_short(longer, key));
}

PV_TEST(keys_of_other_shapes_are_refused)
{
    uint8_t key[32];
    assert_int_equal(pv_key_parse("", key), PV_ERR_MALFORMED);
    assert_int_equal(pv_key_parse("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", key),
                     PV_ERR_MALFORMED);
    assert_int_equal(pv_key_parse("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", key),
                     PV_ERR_MALFORMED);
    assert_int_equal(pv_key_parse("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB", key),
                     PV_ERR_MALFORMED);
    assert_int_equal(pv_wgkey_parse("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", key),
                     PV_ERR_MALFORMED);
    assert_int_equal(pv_wgkey_parse("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA-=", key),
                     PV_ERR_MALFORMED);
    assert_int_equal(pv_wgkey_parse("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", key),
                     PV_ERR_MALFORMED);
}

#define A63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

PV_TEST(names_follow_the_dns_label_grammar)
{
    static const char *const good[] = {"a", "0", "bob", "a-b", "a--b", "x1", A63};
    static const char *const bad[] = {"",    "-a",        "a-",        "-",         "a_b",   "a.b",
                                      "a b", "b\xc3\xb6", "localhost", "LocalHost", A63 "a", "a\n"};
    char name[PV_NAME_BUF];
    for (size_t i = 0; i < PV_ARRAY_LEN(good); i++) {
        assert_ok(pv_name_parse(good[i], strlen(good[i]), name));
        assert_string_equal(name, good[i]);
        assert_true(pv_name_is_valid(good[i]));
    }
    memcpy(name, "keep", 5);
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++) {
        if (pv_name_parse(bad[i], strlen(bad[i]), name) != PV_ERR_MALFORMED)
            fail_msg("accepted %s", bad[i]);
        assert_false(pv_name_is_valid(bad[i]));
    }
    assert_string_equal(name, "keep");
    assert_int_equal(pv_name_parse("a\0b", 3, name), PV_ERR_MALFORMED);
    assert_ok(pv_name_parse("BoB", 3, name));
    assert_string_equal(name, "bob");
    assert_false(pv_name_is_valid("BoB"));
}

PV_TEST(names_that_mean_more_than_one_machine_are_words)
{
    assert_true(pv_name_is_word("any") && pv_name_is_word("all") && pv_name_is_word("off"));
    assert_true(pv_name_is_word("42") && pv_name_is_word("0x7f"));
    assert_false(pv_name_is_word("4a") || pv_name_is_word("0xg") || pv_name_is_word("1-2"));
    assert_false(pv_name_is_word("anybody") || pv_name_is_word("al") || pv_name_is_word(""));
}

PV_TEST(switches_are_on_or_off)
{
    static const char *const bad[] = {"", "On", "onn", "o", "1", "true", "yes ", "of"};
    bool on = false;
    assert_ok(pv_switch_parse("on", &on));
    assert_true(on);
    assert_ok(pv_switch_parse("no", &on));
    assert_false(on);
    assert_ok(pv_switch_parse("yes", &on));
    assert_true(on);
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++)
        assert_int_equal(pv_switch_parse(bad[i], &on), PV_ERR_MALFORMED);
    assert_true(on);
    assert_ok(pv_switch_parse("off", &on));
    assert_false(on);
}

PV_TEST(numbers_are_bounded_and_whole)
{
    static const char *const bad[] = {"",
                                      " 1",
                                      "1 ",
                                      "+1",
                                      "-1",
                                      "0x10",
                                      "1e3",
                                      "18446744073709551616",
                                      "99999999999999999999999"};
    uint64_t v;
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++)
        assert_int_equal(pv_u64_parse(bad[i], 0, UINT64_MAX, &v), PV_ERR_MALFORMED);
    assert_ok(pv_u64_parse("18446744073709551615", 0, UINT64_MAX, &v));
    assert_true(v == UINT64_MAX);
    assert_int_equal(pv_u64_parse("0", 1, 9, &v), PV_ERR_MALFORMED);
    assert_int_equal(pv_u64_parse("10", 1, 9, &v), PV_ERR_MALFORMED);
    assert_ok(pv_u64_parse("1", 1, 9, &v));
    assert_ok(pv_u64_parse("9", 1, 9, &v));
}

PV_TEST(durations_take_one_unit)
{
    static const struct {
        const char *text;
        uint64_t seconds;
    } good[] = {{"0", 0},        {"90", 90},        {"90s", 90},
                {"15m", 900},    {"24h", 86400},    {"7d", 604800},
                {"2w", 1209600}, {"100d", 8640000}, {"3162240000", 3162240000}};
    static const char *const bad[] = {
        "", "s", "1y", "1 h", "1h30m", "-1h", "1hh", "3162240001", "18446744073709551615w"};
    uint64_t v;
    for (size_t i = 0; i < PV_ARRAY_LEN(good); i++) {
        assert_ok(pv_duration_parse(good[i].text, &v));
        assert_true(v == good[i].seconds);
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++)
        assert_int_equal(pv_duration_parse(bad[i], &v), PV_ERR_MALFORMED);
}

PV_TEST(amounts_are_short_and_round)
{
    static const struct {
        double amount;
        const char *bytes, *time;
    } rows[] = {
        {0, "0 B", "0 s"},
        {59, "59 B", "59 s"},
        {60, "60 B", "1m 0s"},
        {1023, "1023 B", "17m 3s"},
        {1024, "1.0 KiB", "17m 4s"},
        {3661, "3.6 KiB", "1h 1m"},
        {90061, "88.0 KiB", "1d 1h"},
        {1048575, "1.0 MiB", "12d 3h"},
        {-5, "-5 B", "0 s"},
        {1e300, NULL, "11574074074d 1h"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        char buf[PV_AMOUNT_BUF];
        if (rows[i].bytes != NULL)
            assert_string_equal(pv_bytes_format(rows[i].amount, buf), rows[i].bytes);
        else
            assert_true(strlen(pv_bytes_format(rows[i].amount, buf)) < sizeof(buf));
        assert_string_equal(pv_duration_format(rows[i].amount, buf), rows[i].time);
    }
}

PV_TEST(utf8_is_checked_as_rfc3629_says)
{
    static const char *const good[] = {"",
                                       "plain",
                                       "\xc3\xb6",
                                       "\xe2\x82\xac",
                                       "\xf0\x9f\x98\x80",
                                       "\xed\x9f\xbf",
                                       "\xf4\x8f\xbf\xbf"};
    static const struct {
        const char *text, *why;
    } bad[] = {{"\x80", "continuation alone"},
               {"\xc0\xaf", "overlong 2"},
               {"\xc1\xbf", "overlong 2"},
               {"\xe0\x9f\xbf", "overlong 3"},
               {"\xf0\x8f\xbf\xbf", "overlong 4"},
               {"\xed\xa0\x80", "surrogate"},
               {"\xf4\x90\x80\x80", "above 10FFFF"},
               {"\xf5\x80\x80\x80", "bad lead"},
               {"\xff", "bad lead"},
               {"\xe2\x82", "cut short"},
               {"\xe2\x82z", "bad continuation"},
               {"\xc3", "cut short"}};
    for (size_t i = 0; i < PV_ARRAY_LEN(good); i++)
        assert_true(pv_utf8_is_valid(pv_view(good[i], strlen(good[i]))));
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++) {
        if (pv_utf8_is_valid(pv_view(bad[i].text, strlen(bad[i].text))))
            fail_msg("accepted: %s", bad[i].why);
    }
    assert_false(pv_utf8_is_valid(pv_view("a\0b", 3)));
}

PV_TEST(a_text_grows_until_its_buffer_is_full)
{
    char buf[12];
    struct pv_text t = pv_text_in(buf, sizeof(buf));
    pv_text_part(&t, ", "); /* nothing to part yet */
    pv_text_add(&t, "%s%d", "a", 1);
    pv_text_part(&t, ", ");
    pv_text_add(&t, "b");
    assert_string_equal(buf, "a1, b");
    assert_int_equal(t.len, 5);
    assert_false(t.cut);
    pv_text_add(&t, "-1234567");
    pv_text_add(&t, "8");
    assert_string_equal(buf, "a1, b-12345");
    assert_int_equal(t.len, sizeof(buf) - 1);
    assert_true(t.cut);
}

/* Each has a buffer of its own, so that one call may have several. */
PV_TEST(texts_that_are_printed_at_once_do_not_overwrite_each_other)
{
    const struct pv_addr a = pv_addr4(192, 0, 2, 1, 80), b = pv_addr4(192, 0, 2, 2, 81);
    assert_string_equal(PV_STR("%s %s", PV_ADDR_STR(&a), PV_ADDR_STR(&b)),
                        "192.0.2.1:80 192.0.2.2:81");
}
