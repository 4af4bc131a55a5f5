/* SPDX-License-Identifier: MIT */
#include "sys/file/ini.h"
#include "tests/unit/test_util.h"

struct seen {
    char text[1024]; /* "line section/key=value;" one after another */
    size_t len;
    const char *refuse; /* the key to fail at */
};

static int on_item(void *ctx, const struct pv_ini_item *item, char *error, size_t cap)
{
    struct seen *s = ctx;
    int n = item->key == NULL ? snprintf(s->text + s->len, sizeof(s->text) - s->len, "%u[%s];",
                                         item->line, item->section)
                              : snprintf(s->text + s->len, sizeof(s->text) - s->len, "%u %s/%s=%s;",
                                         item->line, item->section, item->key, item->value);
    s->len += (size_t)n;
    if (s->refuse != NULL && item->key != NULL && strcmp(item->key, s->refuse) == 0) {
        snprintf(error, cap, "no %s here", item->key);
        return PV_ERR_REFUSED;
    }
    return PV_OK;
}

PV_TEST(sections_and_keys_come_in_order_with_their_lines)
{
    const char *const text = test_given("comment interface address");
    struct seen seen = {0};
    struct pv_ini_error error = {0};
    assert_ok(pv_ini_parse(pv_view(text, strlen(text)), on_item, &seen, &error));
    assert_shows("seen text", seen.text);
}

PV_TEST(a_mark_at_the_beginning_hides_no_section)
{
    static const char *const text = "\xef\xbb\xbf[log]\nlevel = debug\n";
    struct seen seen = {0};
    struct pv_ini_error error = {0};
    assert_ok(pv_ini_parse(pv_view(text, strlen(text)), on_item, &seen, &error));
    assert_string_equal(seen.text, "1[log];2 log/level=debug;");
}

PV_TEST(a_hash_behind_a_value_is_part_of_it_and_told_of)
{
    const char *const text = test_given("one # another b 1#2 c pass");
    struct seen seen = {0};
    struct pv_ini_error note = {.line = 7};
    assert_ok(pv_ini_parse(pv_view(text, strlen(text)), on_item, &seen, &note));
    assert_string_equal(seen.text, "1[a];3 a/b=1#2;4 a/c=pass # word;5 a/d=e\t#;");
    assert_int_equal(note.line, 4);
    assert_shows("note text", note.text);
    assert_ok(pv_ini_parse(pv_view(text, 28), on_item, &seen, &note));
    assert_int_equal(note.line, 0);
    seen.refuse = "c";
    assert_int_equal(pv_ini_parse(pv_view(text, strlen(text)), on_item, &seen, &note),
                     PV_ERR_MALFORMED);
    assert_has(note.text, "no c here; \" #...\" is part of the value");
}

PV_TEST(bad_lines_are_named)
{
    static const struct {
        const char *text;
        size_t len; /* 0 = strlen */
        unsigned line;
        const char *why;
    } rows[] = {
        {"a=1\nnonsense\n", 0, 2, "neither"},
        {"[open\n", 0, 1, "neither"},
        {"[a] b\n", 0, 1, "behind"},
        {"a=1\n  b=2\n", 0, 2, "continuation"},
        {"a=1\n\tb\n", 0, 2, "continuation"},
        {"a=\0b\n", 5, 1, "NUL"},
        {"\n\nbad=1\nnonsense\n", 0, 3, "no bad here"},
        {"nonsense\nbad=1\n", 0, 1, "neither"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct seen seen = {.refuse = "bad"};
        struct pv_ini_error error = {0};
        size_t len = rows[i].len != 0 ? rows[i].len : strlen(rows[i].text);
        assert_int_equal(pv_ini_parse(pv_view(rows[i].text, len), on_item, &seen, &error),
                         PV_ERR_MALFORMED);
        assert_int_equal(error.line, rows[i].line);
        assert_has(error.text, rows[i].why);
    }
}

PV_TEST(a_line_of_198_characters_fits_and_one_more_does_not)
{
    char text[256];
    memset(text, 'v', sizeof(text));
    text[1] = '=';
    struct seen seen = {0};
    struct pv_ini_error error = {0};
    text[198] = '\n';
    assert_ok(pv_ini_parse(pv_view(text, 199), on_item, &seen, &error));
    assert_ok(pv_ini_parse(pv_view(text, 198), on_item, &seen, &error));
    text[198] = 'v';
    text[199] = '\n';
    assert_int_equal(pv_ini_parse(pv_view(text, 200), on_item, &seen, &error), PV_ERR_MALFORMED);
    assert_int_equal(error.line, 1);
}
