/* SPDX-License-Identifier: MIT */
/* A user's settings of the terminal chat: what stands in the file, and what the screen makes of it.
 */
#include <sys/stat.h>

#include "sys/file/file.h"
#include "tests/unit/ctl/tui/tui_fixture.h"

PV_TEST_WORLD(make, drop);

/* The mistake in this file; NULL: none. */
static const char *wrong_with(struct pv_tui_settings *s, const char *text)
{
    static char error[PV_CTLCONF_ERROR];
    pv_tui_settings_init(s);
    int r = pv_tui_settings_parse(s, "F", pv_view(text, strlen(text)), error);
    return r == PV_OK ? NULL : error;
}

PV_TEST(without_a_file_all_is_as_the_manual_says)
{
    struct pv_tui_settings s;
    assert_null(wrong_with(&s, ""));
    assert_null(wrong_with(&s, "[pipe]\nbell = on\n")); /* another command's */
    assert_true(s.roster && s.wrap && s.align && s.colours);
    assert_false(s.bell);
    assert_int_equal(s.roster_cols, 24);
    assert_int_equal(s.time, PV_TUI_TIME_24H);
    assert_int_equal(s.n_highlight, 0);
}

PV_TEST(every_key_is_taken)
{
    struct pv_tui_settings s;
    assert_null(wrong_with(&s,
                           "[chat]\nroster = off\nroster-width = 30\ntime = seconds\nwrap = no\n"
                           "align = off\ncolours = off\nbell = on\nhighlight = deploy\n"
                           "highlight = gr\xc3\xbc\xc3\x9f"
                           "e ; more\n"));
    assert_false(s.roster || s.wrap || s.align || s.colours);
    assert_true(s.bell);
    assert_int_equal(s.roster_cols, 30);
    assert_int_equal(s.time, PV_TUI_TIME_SECONDS);
    assert_int_equal(s.n_highlight, 2);
    assert_string_equal(s.highlight[1], "gr\xc3\xbc\xc3\x9f"
                                        "e");
}

PV_TEST(a_mistake_is_named_with_its_line_and_what_helps)
{
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"[chat]\nroster = maybe\n", "F:2: roster: expected on or off"},
        {"[chat]\nroster-width = 15\n", "F:2: roster-width: expected columns, from 16 to 77"},
        {"[chat]\nroster-width = 78\n", "from 16 to 77"},
        {"[chat]\n\ntime = 24\n", "F:3: time: expected 24h, 12h, seconds or off"},
        {"[chat]\nwrap = 80\n", "wrap: expected on or off"},
        {"[chat]\nalign =\n", "align: expected on or off"},
        {"[chat]\ncolours = 12\n", "colours: expected on or off"},
        {"[chat]\nbell = loud\n", "bell: expected on or off"},
        {"[chat]\nhighlight = two words\n", "highlight: expected one word"},
        {"[chat]\nhighlight = \xff\n", "highlight: expected one word"},
        {"[chat]\nbell = on\nbell = on\n", "F:3: bell: was given before"},
        {"[chat]\nkeep = 90d\n",
         "unknown key keep in [chat]: there are roster, roster-width, time,"},
        {"[interface]\n", "unknown section [interface]: there are [chat] and [pipe]"},
        {"bell = on\n", "no section before bell: there are [chat] and [pipe]"},
    };
    struct pv_tui_settings s;
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++) {
        const char *why = wrong_with(&s, bad[i].text);
        assert_non_null(why);
        if (strstr(why, bad[i].why) == NULL)
            fail_msg("%s: %s", bad[i].text, why);
    }
}

PV_TEST(seventeen_words_are_one_too_many)
{
    struct pv_tui_settings s;
    char text[1024] = "[chat]\n";
    const char *word = "highlight = word\n";
    size_t len = strlen(text), n = strlen(word) + 1;
    for (int i = 0; i < PV_TUI_HIGHLIGHTS; i++, len += n - 1)
        memcpy(text + len, word, n);
    assert_null(wrong_with(&s, text));
    memcpy(text + len, word, n);
    assert_non_null(strstr(wrong_with(&s, text), "16 in all"));
}

PV_TEST(the_file_is_the_users_own)
{
    char dir[] = "/tmp/pv-test-tuisettings-XXXXXX", path[128], error[PV_CTLCONF_ERROR];
    struct pv_tui_settings s;
    pv_tui_settings_init(&s);
    assert_non_null(mkdtemp(dir));
    setenv("HOME", dir, 1);
    setenv("XDG_CONFIG_HOME", "relative", 1);                 /* no such path counts */
    assert_int_equal(pv_tui_settings_load(&s, error), PV_OK); /* there is none */
    snprintf(path, sizeof(path), "%s/.config/p2pvpn", dir);
    assert_int_equal(pv_dir_make(path, 0700), PV_OK);
    snprintf(path, sizeof(path), "%s/.config/p2pvpn/p2pvpnctl.conf", dir);
    assert_int_equal(pv_file_write(path, pv_view("[chat]\nbell = on\n", 17), 0600), PV_OK);
    assert_int_equal(pv_tui_settings_load(&s, error), PV_OK);
    assert_true(s.bell);
    assert_int_equal(pv_file_write(path, pv_view("[chat]\nbell\n", 12), 0600), PV_OK);
    assert_int_equal(pv_tui_settings_load(&s, error), PV_ERR_MALFORMED);
    assert_non_null(strstr(error, "/.config/p2pvpn/p2pvpnctl.conf:2: "));
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0); /* holds nobody up */
    assert_true(pv_tui_settings_load(&s, error) < 0);
    assert_non_null(strstr(error, "not a regular file"));
    unlink(path);
    setenv("XDG_CONFIG_HOME", dir, 1);
    snprintf(path, sizeof(path), "%s/.config", dir);
    setenv("XDG_CONFIG_HOME", path, 1);
    assert_int_equal(pv_tui_settings_load(&s, error), PV_OK);
    snprintf(path, sizeof(path), "%s/.config/p2pvpn", dir);
    rmdir(path);
    *strrchr(path, '/') = '\0';
    rmdir(path);
    rmdir(dir);
}

/* --- the screen --------------------------------------------------------------------------------
 */

static void set(struct fixture *f, const char *text)
{
    const char *why = wrong_with(&f->t.set, text);
    if (why != NULL)
        fail_msg("%s", why);
    take(&f->t, pv_tui_take_message, MSG("A", "pi", "lap", "the quick brown fox", "read"));
    take(&f->t, pv_tui_take_message, MSG("B", "lap", "pi", "/me jumps", "read"));
    pv_tui_open(&f->t, pv_tui_find(&f->t, "pi", false));
    f->t.now = 1795168800 + 4 * 3600 + 7;
    drop_actions(&f->t);
}

static void expect_rows(struct fixture *f, size_t first, const char *const *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_string_equal(row(f, first + i), want[i]);
}

PV_TEST(times_are_written_as_the_user_likes)
{
    struct fixture *f = *state;
    static const char *const twelve[] = {"10:00am     pi: the quick brown fox",
                                         "10:00am \u2713\u2713 * lap jumps"};
    static const char *const seconds[] = {"10:00:00     pi: the quick brown fox",
                                          "10:00:00 \u2713\u2713 * lap jumps"};
    static const char *const none[] = {"    pi: the quick brown fox", "\u2713\u2713 * lap jumps"};
    set(f, "[chat]\ntime = 12h\n");
    draw(f, 12, 50);
    expect_rows(f, 8, twelve, 2);
    assert_non_null(strstr(row(f, 10), " 02:00pm"));
    set(f, "[chat]\ntime = seconds\n");
    draw(f, 12, 50);
    expect_rows(f, 8, seconds, 2);
    assert_non_null(strstr(row(f, 10), " 14:00:07"));
    set(f, "[chat]\ntime = off\n");
    draw(f, 12, 50);
    expect_rows(f, 8, none, 2);
    assert_null(strstr(row(f, 10), "14:00"));
    draw(f, 12, 22);
    for (size_t cols = 0; cols < 90; cols++)
        draw(f, 12, cols);
}

PV_TEST(lines_break_where_the_screen_ends_and_names_stand_where_they_fall)
{
    struct fixture *f = *state;
    static const char *const want[] = {"10:00    pi: the quic", "k brown fox",
                                       "10:00 \u2713\u2713 * lap jumps"};
    set(f, "[chat]\nwrap = off\nalign = off\n");
    take(&f->t, pv_tui_take_message, MSG("C", "lap", "pi", "a", "read"));
    draw(f, 13, 21);
    expect_rows(f, 7, want, 2);
    draw(f, 13, 40);
    assert_string_equal(row(f, 9), want[2]);
    assert_string_equal(row(f, 10), "10:00 \u2713\u2713 lap: a");
}

PV_TEST(the_roster_has_the_width_that_was_set)
{
    struct fixture *f = *state;
    set(f, "[chat]\nroster-width = 40\n");
    draw(f, 12, 80);
    assert_string_equal(row(f, 2), "● alice                       relay    │");
    draw(f, 12, 75); /* its lines would have too little room */
    assert_string_equal(row(f, 9), "10:00 \u2713\u2713 * lap jumps");
    set(f, "[chat]\nroster-width = 16\n");
    draw(f, 12, 80);
    assert_string_equal(row(f, 2), "● ali relay    │");
    set(f, "[chat]\nroster = off\n");
    draw(f, 12, 80);
    assert_string_equal(row(f, 9), "10:00 \u2713\u2713 * lap jumps");
    pv_tui_key(&f->t, PV_TUI_ROSTER, 0);
    draw(f, 12, 80);
    assert_non_null(strstr(row(f, 2), "alice"));
}

PV_TEST(words_that_the_user_looks_for_stand_out_as_his_name_does)
{
    struct fixture *f = *state;
    set(f, "[chat]\nhighlight = deploy\nbell = on\n");
#define SAID(id, text)                                                                        \
    "{\"id\":\"" id "\",\"from\":\"pi\",\"to\":\"#crew\",\"room\":\"#crew\",\"text\":\"" text \
    "\",\"time\":" T0 ",\"state\":\"unread\"}"
    take(&f->t, pv_tui_take_message, SAID("D", "deployed"));
    assert_false(f->t.convs[pv_tui_find(&f->t, "#crew", false)].named);
    assert_true(f->t.ring);
    take(&f->t, pv_tui_take_message, SAID("E", "who can Deploy?"));
    assert_true(f->t.convs[pv_tui_find(&f->t, "#crew", false)].named);
    assert_string_equal(f->t.note, "pi speaks to you in #crew");
    line(&f->t, "/bell off");
    f->t.ring = false;
    take(&f->t, pv_tui_take_message, SAID("F", "deploy"));
    assert_false(f->t.ring);
    drop_actions(&f->t);
}

void test_begin(void)
{
    setenv("TZ", "UTC", 1);
    tzset();
    if (setlocale(LC_CTYPE, "C.UTF-8") == NULL)
        test_skip_all("there is no locale C.UTF-8");
}
