/* SPDX-License-Identifier: MIT */
/* Text of others, as a terminal gets it. */
#include "base/harmless.h"
#include "tests/unit/test_util.h"

PV_TEST(shown_text_cannot_drive_a_terminal)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"plain caf\xc3\xa9\t\xf0\x9f\x98\x80", "plain caf\xc3\xa9\t\xf0\x9f\x98\x80"},
        {"\x1b[2J\x07", "\xef\xbf\xbd[2J\xef\xbf\xbd"},
        {"a\n[12:00] bob: fake", "a\n    [12:00] bob: fake"},
        {"a\rb", "a\xef\xbf\xbd"
                 "b"},
        {"\xc2\x9b"
         "31m",
         "\xef\xbf\xbd"
         "31m"},                          /* C1 CSI */
        {"\xe2\x80\xae", "\xef\xbf\xbd"}, /* right-to-left override */
        {"\x7f", "\xef\xbf\xbd"},
        {"\xff", "\xef\xbf\xbd"},
    };
    char out[64];
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        size_t n = pv_harmless_show(pv_view(rows[i].in, strlen(rows[i].in)), out, sizeof(out));
        assert_string_equal(out, rows[i].out);
        assert_int_equal(n, strlen(out));
    }
    assert_int_equal(pv_harmless_show(pv_view("ab\xc3\xa9", 4), out, 4),
                     2); /* cut at a character */
    assert_string_equal(out, "ab");
    assert_int_equal(pv_harmless_show(pv_view("ab", 2), out, 1), 0);
}
