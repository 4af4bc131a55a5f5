/* SPDX-License-Identifier: MIT */
#include "ctl/lib/show.h"
#include "tests/unit/test_util.h"

/* A table of two columns on a screen; the caller frees what is printed. */
static char *print_on(size_t columns, const char *const *cells, size_t n)
{
    struct pv_screen screen = {.width = columns};
    struct pv_table t;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    pv_table_begin(&t, 2);
    for (size_t i = 0; i < n; i++)
        pv_table_cell(&t, PV_PLAIN, cells[i]);
    assert_ok(pv_table_print(&t, out, &screen));
    fclose(out);
    return text;
}

static char *print(const char *const *cells, size_t n)
{
    return print_on(0, cells, n);
}

PV_TEST(the_last_column_goes_on_below_itself)
{
    static const char *const cells[] = {"a", "one two three four five six seven", "b", "short"};
    char *text = print_on(24, cells, PV_ARRAY_LEN(cells));
    assert_string_equal(text, "a  one two three four\n"
                              "   five six seven\n"
                              "b  short\n");
    free(text);
}

PV_TEST(the_last_column_stands_below_the_others_where_they_leave_no_room)
{
    static const char *const cells[] = {"alice-and-bob", "online", "x", "up"};
    char *text = print_on(15, cells, PV_ARRAY_LEN(cells));
    assert_string_equal(text, "alice...  \n  online\nx         up\n");
    free(text);
}

PV_TEST(a_text_behind_its_heading_goes_on_below_itself)
{
    static const char said[] = "as wide as it may be and on\x1b[2J";
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    pv_show_text_from(out, said, 4, 24); /* 20 columns, which the first words fill */
    fputc('|', out);
    pv_show_text_from(out, said, 4, 0);
    fclose(out);
    assert_shows("text", text);
    free(text);
    static const char *const cells[] = {"a", "one two three four ab behind it"};
    text = print_on(24, cells, PV_ARRAY_LEN(cells)); /* 21 columns, and these are filled */
    assert_string_equal(text, "a  one two three four ab\n   behind it\n");
    free(text);
}

/* A word that is longer than the screen is broken where the screen ends, and never in a character.
 */
PV_TEST(a_word_without_blanks_goes_on_in_the_next_line)
{
    static const char *const cells[] = {"a", "0123456789012345678901234\xe5\x86\x99x"};
    char *text = print_on(24, cells, PV_ARRAY_LEN(cells));
    assert_string_equal(text, "a  012345678901234567890\n"
                              "   1234\xe5\x86\x99x\n");
    free(text);
}

PV_TEST(the_widest_cells_give_way_on_a_narrow_screen)
{
    static const char *const cells[] = {"a-name-that-is-long-for-this", "twenty columns, or so",
                                        "b", "1"};
    char *text = print_on(40, cells, PV_ARRAY_LEN(cells));
    assert_string_equal(text, "a-name-that-is-...  twenty columns, or\n"
                              "                    so\n"
                              "b                   1\n");
    free(text);
}

/* Three rows under these headings on a screen; the caller frees what is printed. */
static char *print_headed(size_t columns, const char *const *head, const char *const *cells)
{
    struct pv_screen screen = {.width = columns};
    struct pv_table t;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    pv_table_begin_headed(&t, head, 4);
    for (size_t i = 0; i < 8; i++)
        pv_table_cell(&t, PV_PLAIN, cells[i]);
    assert_ok(pv_table_print(&t, out, &screen));
    fclose(out);
    return text;
}

PV_TEST(a_narrow_screen_does_without_columns_that_can_be_spared)
{
    static const char *const head[] = {"NAME", "=SINCE", "-BY", "-COUNT"};
    static const char *const cells[] = {"a-name-that-is-long (admin)",
                                        "2026-01-02 03:04",
                                        "alice",
                                        "17",
                                        "b",
                                        "never",
                                        "a-name-that-is-long (a file of mine)",
                                        "1"};
    char *text = print_headed(0, head, cells);
    assert_shows("text", text);
    free(text);
    text = print_headed(54, head, cells);
    assert_shows("text", text);
    free(text);
    text = print_headed(40, head, cells);
    assert_string_equal(text, "NAME                    SINCE\n"
                              "a-name-that... (admin)  2026-01-02 03:04\n"
                              "b                       never\n");
    free(text);
}

/* Two characters of Japanese take four columns, an accent of its own none, ü and an emoji one and
 * two; the locale is that of a program that has set none. */
PV_TEST(columns_are_as_wide_as_on_the_screen)
{
    static const char *const cells[] = {
        "abcd",     "1", "\xe5\x86\x99\xe7\x9c\x9f", "2", "cafe\xcc\x81", "3",
        "\xc3\xbc", "4", "\xf0\x9f\x98\x80",         "5"};
    char *text = print(cells, PV_ARRAY_LEN(cells));
    assert_string_equal(text, "abcd  1\n"
                              "\xe5\x86\x99\xe7\x9c\x9f  2\n"
                              "cafe\xcc\x81  3\n"
                              "\xc3\xbc     4\n"
                              "\xf0\x9f\x98\x80    5\n");
    free(text);
}

/* A byte that is no UTF-8 is shown as something else, and is counted as that. */
PV_TEST(bytes_that_are_no_text_keep_their_column)
{
    static const char *const cells[] = {"a\xff", "1", "abc", "2"};
    char *text = print(cells, PV_ARRAY_LEN(cells));
    assert_string_equal(text, "a\xef\xbf\xbd   1\nabc  2\n");
    free(text);
}
