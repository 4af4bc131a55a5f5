/* SPDX-License-Identifier: MIT */
#include "sys/term/qr.h"
#include "tests/unit/test_util.h"

PV_TEST(the_locale_says_whether_text_is_utf8)
{
    unsetenv("LC_ALL");
    unsetenv("LC_CTYPE");
    setenv("LANG", "de_DE.UTF-8", 1);
    assert_true(pv_term_is_utf8());
    setenv("LC_ALL", "C", 1);
    assert_false(pv_term_is_utf8());
    setenv("LC_ALL", "C.utf8", 1);
    assert_true(pv_term_is_utf8());
    unsetenv("LC_ALL");
    unsetenv("LANG");
    assert_false(pv_term_is_utf8());
}
