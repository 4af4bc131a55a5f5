/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "proto/local/remedy.h"
#include "tests/unit/test_util.h"

static const char *named(const char *flag, const char *text)
{
    static char dst[256];
    pv_remedy_name(flag, false, text, dst, sizeof(dst));
    return dst;
}

PV_TEST(a_user_with_a_daemon_of_its_own_needs_no_sudo)
{
    char text[256];
    pv_remedy_name("", true,
                   "`sudo p2pvpnctl up`, there `sudo p2pvpnctl doctor`, an admin's `sudo p2pvpnctl "
                   "invite`, or `sudo p2pvpnctl -n work down` and sudo ls",
                   text, sizeof(text));
    assert_shows("text", text);
    json_t *reply = json_pack("{s:s}", "cause", "`sudo p2pvpnctl up`");
    assert_non_null(reply);
    pv_remedy_name_reply("", true, reply);
    assert_string_equal(json_string_value(json_object_get(reply, "cause")), "`p2pvpnctl up`");
    json_decref(reply);
}

PV_TEST(commands_to_be_typed_here_name_the_network)
{
    assert_shows("named -n work down: `sudo p2pv",
                 named("-n work", "down: `sudo p2pvpnctl up` brings it back"));
    assert_shows("named -n work `p2pvpnctl admit",
                 named("-n work", test_given("p2pvpnctl admit eve or")));
    assert_string_equal(named("", "`p2pvpnctl up`"), "`p2pvpnctl up`");
}

PV_TEST(a_command_that_names_one_keeps_it)
{
    static const char text[] = "`p2pvpnctl -n work up`, `p2pvpnctl -n NAME join`";
    assert_string_equal(named("-n work", text), text);
}

PV_TEST(commands_of_other_machines_and_words_stay)
{
    const char *const texts[] = {test_given("nas no exit there p2pvpnctl"),
                                 "p2pvpnd and p2pvpnctl are 0.1.0", "`p2pvpnctl`",
                                 "see p2pvpnctl -h", "`p2pvpnctl "};
    for (size_t i = 0; i < PV_ARRAY_LEN(texts); i++)
        assert_string_equal(named("-n work", texts[i]), texts[i]);
}

PV_TEST(a_text_that_does_not_fit_is_cut)
{
    char dst[32];
    for (size_t cap = 1; cap <= sizeof(dst); cap++) {
        memset(dst, 'x', sizeof(dst));
        pv_remedy_name("-n work", false, "`p2pvpnctl up` `p2pvpnctl up`", dst, cap);
        assert_true(strlen(dst) < cap);
    }
}

PV_TEST(of_a_reply_what_p2pvpnd_composes_is_named_and_what_people_wrote_is_not)
{
    json_t *reply = json_pack("{s:s, s:[s, i], s:[s], s:{s:s}, s:n}", "error", "`p2pvpnctl up`",
                              "problems", "`p2pvpnctl up`", 7, "lines", "`p2pvpnctl up`", "message",
                              "text", "`p2pvpnctl up`", "todo");
    assert_non_null(reply);
    pv_remedy_name_reply("-n work", false, reply);
    char *text = json_dumps(reply, JSON_COMPACT | JSON_SORT_KEYS);
    assert_shows("text", text);
    free(text);
    json_decref(reply);
}
