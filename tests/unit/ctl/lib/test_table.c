/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>

#include "ctl/lib/show.h"
#include "tests/unit/test_util.h"

/* A table of two columns; the caller frees what is printed. */
static char *print(const char *const *cells, size_t n)
{
    struct pv_table t;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    pv_table_begin(&t, 2);
    for (size_t i = 0; i < n; i++)
        pv_table_cell(&t, PV_PLAIN, cells[i]);
    assert_int_equal(pv_table_print(&t, out, false), PV_OK);
    fclose(out);
    return text;
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
