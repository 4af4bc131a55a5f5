/* SPDX-License-Identifier: MIT */
/* The settings of p2pvpn-chatd: its section of p2pvpnd.conf, and no other. */
#include "chat/program/chatset.h"
#include "chat/proto/file.h"
#include "tests/unit/test_util.h"

PV_TEST(takes_its_section_and_leaves_the_others)
{
    static const char text[] = "[interface]\nworkers = many\n[log]\nlevel = debug\n"
                               "[chat]\nstore = off\nplain = off\nkeep = 90d\nmax-size = 2G\n"
                               "auto-accept = bob 2G\nauto-accept = *\nnotify = /bin/true\n";
    char error[PV_CHATSET_ERROR_MAX];
    struct pv_chatset s = pv_chatset_default();
    assert_true(s.given.store && s.given.keep_s == 0 && s.max_size == 0);
    assert_ok(pv_chatset_parse(&s, "f", pv_view(text, sizeof(text) - 1), error));
    assert_int_equal(s.level, PV_LOG_DEBUG);
    assert_true(!s.given.store && s.given.plain_off && s.given.notify);
    assert_true(s.given.keep_s == 90 * 86400 && s.max_size == UINT64_C(2) << 30);
    assert_int_equal(s.n_auto_accept, 2);
    assert_string_equal(s.auto_accept[0].name, "bob");
    assert_int_equal(s.auto_accept[0].max, UINT64_C(2) << 30);
    assert_string_equal(s.auto_accept[1].name, "");
    assert_int_equal(s.auto_accept[1].max, PV_FILE_SIZE_MAX);
    pv_chatset_done(&s);
}

PV_TEST(names_the_line_of_a_wrong_value_and_keeps_what_stood_before)
{
    static const char text[] = "[chat]\nstore = off\nkeep = long\n";
    char error[PV_CHATSET_ERROR_MAX];
    struct pv_chatset s = pv_chatset_default();
    assert_int_equal(pv_chatset_parse(&s, "f", pv_view(text, sizeof(text) - 1), error),
                     PV_ERR_MALFORMED);
    assert_string_equal(error, "f:3: keep: p2pvpnd --check says what is wrong");
    assert_false(s.given.store);
    pv_chatset_done(&s);
}
