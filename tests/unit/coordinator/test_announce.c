/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>

#include "coordinator/url.h"
#include "tests/unit/test_util.h"

static const char URL[] =
    "p2pvpn://198.51.100.7:3478/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA?c=BBBBBBBBBB";

/* The shown text, and how many lines. */
static size_t lines_of(unsigned columns, bool utf8, char text[static 32768])
{
    size_t n = 0;
    FILE *out = fmemopen(text, 32768, "w");
    assert_non_null(out);
    pv_coordurl_show(URL, columns, utf8, out);
    fclose(out);
    for (const char *p = text; *p != '\0'; p++)
        n += *p == '\n';
    return n;
}

PV_TEST(the_command_is_shown_whole)
{
    static char text[32768];
    assert_int_equal(lines_of(80, false, text), 1);
    assert_non_null(strstr(text, "sudo p2pvpnctl create 'p2pvpn://198.51.100.7:3478/"));
    assert_non_null(strstr(text, URL));
}

PV_TEST(a_code_is_drawn_where_it_fits)
{
    static char text[32768];
    assert_int_equal(lines_of(20, true, text), 1);
    size_t n = lines_of(80, true, text);
#ifdef PV_HAVE_QRENCODE
    /* The code has two rows of modules in a line; the smallest for so many bytes has 33. */
    assert_in_range(n, 1 + 18, 1 + 30);
    const char *code = strchr(text, '\n') + 1;
    assert_int_equal(strncmp(code, "\u2588\u2588\u2588\u2588", 12), 0);
#else
    assert_int_equal(n, 1);
#endif
}
