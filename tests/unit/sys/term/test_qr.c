/* SPDX-License-Identifier: MIT */
#include "base/text.h"
#include "sys/term/qr.h"
#include "tests/unit/test_util.h"

PV_TEST(a_code_is_drawn_where_it_fits)
{
    const char *said = test_given("a link");
    char text[32768] = "";
    size_t n = 0;
    FILE *out = fmemopen(text, sizeof(text), "w");
    assert_non_null(out);
    bool narrow = pv_qr_print(said, 20, out), wide = pv_qr_print(said, 80, out);
    fclose(out);
    assert_false(narrow);
    assert_int_equal(wide, pv_qr_is_there());
    for (const char *p = text; *p != '\0'; p++)
        n += *p == '\n';
    /* It has two rows of modules in a line; the smallest for so many bytes has 33. */
    assert_in_range(n, wide ? 18 : 0, wide ? 30 : 0);
    assert_memory_equal(text, wide ? "\u2588\u2588\u2588\u2588" : "", wide ? 12 : 1);
}

PV_TEST(a_code_is_a_picture_of_the_size_that_is_told)
{
    const char *said = test_given("a configuration of a phone");
    char text[65536] = "";
    FILE *out = fmemopen(text, sizeof(text), "w");
    assert_non_null(out);
    bool drawn = pv_qr_write_svg(said, out);
    fclose(out);
    assert_int_equal(drawn, pv_qr_is_there());
    struct pv_qr_size size = pv_qr_size(strlen(said));
    assert_int_equal(pv_qr_size(100000).columns, 0); /* no code has room for that */
    if (!drawn)
        return;
    assert_int_equal(size.lines, (size.columns + 1) / 2);
    unsigned side = size.columns + 4; /* a picture has the standard's margin of 4, not 2 */
    assert_has(text, PV_STR("viewBox=\"0 0 %u %u\"", side, side));
    assert_has(text, "<path d=\"M4 4h7v1H4z"); /* the first finder pattern */
    assert_has(text, "</svg>\n");
    out = fopen("/dev/full", "w");
    assert_false(pv_qr_write_svg(said, out));
    fclose(out);
}

PV_TEST(the_locale_says_whether_text_is_utf8)
{
    unsetenv("LC_ALL");
    unsetenv("LC_CTYPE");
    setenv("LANG", "de_DE.UTF-8", 1);
    assert_true(pv_term_is_utf8());
    setenv("LC_ALL", "C", 1);
    assert_false(pv_term_is_utf8());
    assert_true(pv_term_may_be_utf8());
    setenv("LC_ALL", "C.utf8", 1);
    assert_true(pv_term_is_utf8());
    setenv("LC_ALL", "de_DE.ISO-8859-1", 1);
    assert_false(pv_term_may_be_utf8());
    setenv("LC_ALL", "de_DE", 1);
    assert_false(pv_term_may_be_utf8());
    unsetenv("LC_ALL");
    unsetenv("LANG");
    assert_false(pv_term_is_utf8());
    assert_true(pv_term_may_be_utf8());
}
