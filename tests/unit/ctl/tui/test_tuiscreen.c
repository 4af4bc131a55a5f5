/* SPDX-License-Identifier: MIT */
/* The terminal chat without a terminal: what stands on the screen. */
#include "tests/unit/ctl/tui/tui_fixture.h"

PV_TEST_WORLD(make, drop);

PV_TEST(the_usual_screen)
{
    struct fixture *f = *state;
    struct pv_tui *t = &f->t;
    pv_tui_open(t, pv_tui_find(t, "pi", false));
    take(t, pv_tui_take_message, MSG("A", "pi", "lap", "hello", "unread"));
    take(t, pv_tui_take_message, MSG("B", "lap", "pi", "gr\\u00fc\\u00dfe \\u4f60\\u597d", "read"));
    take(t, pv_tui_take_message, MSG("C", "lap", "pi", "two\\nlines\\u001b[31m", "queued"));
    take(t, pv_tui_take_message, MSG("D", "alice", "lap", "psst", "unread"));
    type(t, "typing \xe4\xbd\xa0");
    t->now = 1795168800 + 240;
    draw(f, 12, 80);
    static const char *const want[] = {
        " pi  direct, 3.1 ms",
        "  home                 │",
        "● alice       relay   1│",
        "● pi          direct   │",
        "○ bob         away     │",
        "○ bobby       away     │ -- 2026-11-20 --",
        "                       │ 10:00     pi: hello",
        "                       │ 10:00 ✓✓ lap: grüße 你好",
        "                       │ 10:00 ·  lap: two",
        "                       │          lines\xef\xbf\xbd[31m",
        " [1 unread: Ctrl-G]  new from alice                                       10:04",
        "> typing 你",
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(want); i++)
        assert_string_equal(row(f, i), want[i]);
    assert_int_equal(f->screen.cursor_row, 11);
    assert_int_equal(f->screen.cursor_col, 11);
    drop_actions(t);
}

PV_TEST(news_and_deeds_and_their_authors_are_seen)
{
    struct fixture *f = *state;
    struct pv_tui *t = &f->t;
    take(t, pv_tui_take_message, MSG("A", "pi", "lap", "seen", "read"));
    take(t, pv_tui_take_message, MSG("B", "pi", "lap", "/me waves", "unread"));
    take(t, pv_tui_take_message,
         "{\"id\":\"C\",\"from\":\"pi\",\"to\":\"lap\",\"room\":null,\"text\":\"hi\",\"time\":" T0
         ",\"state\":\"unread\",\"unproven\":true}");
    pv_tui_open(t, pv_tui_find(t, "pi", false));
    draw(f, 12, 60);
    static const char *const want[] = {
        "10:00     pi: seen",
        "-- new since 10:00 --",
        "10:00    * pi waves",
        "│ ?pi: hi",
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(want); i++) {
        const char *got = row(f, 6 + i);
        assert_non_null(strstr(got, want[i]));
    }
    draw(f, 12, 100);
    assert_non_null(strstr(row(f, 9), "10:00    somebody on pi's machine: hi"));
    take(t, pv_tui_take_sent,
         "{\"message\":" MSG("D", "lap", "pi", "so", "sent") ",\"online\":true}");
    draw(f, 12, 60);
    for (size_t i = 0; i < 12; i++)
        assert_null(strstr(row(f, i), "new since"));
    /* Two names have two colours, and one's own none. */
    const struct pv_tui_cell *c = f->screen.cells;
    unsigned coloured = 0;
    for (size_t i = 0; i < f->screen.rows * f->screen.cols; i++)
        coloured += c[i].colour != 0;
    assert_in_range(coloured, 6, 60);
    drop_actions(t);
}

#define SAID(id, text)                                                                        \
    "{\"id\":\"" id "\",\"from\":\"pi\",\"to\":\"#crew\",\"room\":\"#crew\",\"text\":\"" text \
    "\",\"time\":" T0 ",\"state\":\"unread\"}"

/* Is a cell of a row with this character in both? */
static bool stands_out(struct fixture *f, size_t n, wchar_t first)
{
    for (size_t i = 0; i < f->screen.cols; i++) {
        const struct pv_tui_cell *c = &f->screen.cells[n * f->screen.cols + i];
        if (c->ch[0] == first)
            return (c->attr & PV_TUI_WARN) != 0 && (c->attr & PV_TUI_BOLD) != 0;
    }
    return false;
}

PV_TEST(a_line_with_ones_own_name_stands_out)
{
    struct fixture *f = *state;
    struct pv_tui *t = &f->t;
    take(t, pv_tui_take_message, SAID("A", "=the laptop, overlap, lap2"));
    assert_false(t->convs[pv_tui_find(t, "#crew", false)].named);
    take(t, pv_tui_take_message, SAID("B", "@Lap: look"));
    assert_string_equal(t->note, "pi speaks to you in #crew");
    size_t crew = pv_tui_find(t, "#crew", false);
    assert_true(t->convs[crew].named);
    pv_tui_open(t, crew);
    draw(f, 12, 80);
    assert_false(stands_out(f, 8, L'='));
    assert_true(stands_out(f, 9, L'@'));
    assert_false(t->convs[crew].named); /* it was seen */
    drop_actions(t);
}

PV_TEST(a_key_hides_the_names)
{
    struct fixture *f = *state;
    pv_tui_open(&f->t, pv_tui_find(&f->t, "pi", false));
    take(&f->t, pv_tui_take_message, MSG("A", "pi", "lap", "hello", "unread"));
    pv_tui_key(&f->t, PV_TUI_ROSTER, 0);
    draw(f, 12, 80);
    assert_string_equal(row(f, 9), "10:00     pi: hello");
    pv_tui_key(&f->t, PV_TUI_ROSTER, 0);
    draw(f, 12, 80);
    assert_non_null(strstr(row(f, 9), "│ 10:00     pi: hello"));
    drop_actions(&f->t);
}

PV_TEST(the_title_says_when_somebody_was_there_last)
{
    struct fixture *f = *state;
    take(&f->t, pv_tui_take_peers,
         "{\"peers\":[{\"name\":\"bob\",\"online\":false,\"last_seen\":" T0
         ",\"path\":{\"type\":\"none\",\"rtt_ms\":null}}]}");
    pv_tui_open(&f->t, pv_tui_find(&f->t, "bob", false));
    f->t.now = 1795168800 + 7200;
    draw(f, 12, 80);
    assert_string_equal(row(f, 0), " bob  away, seen 2h 0m ago");
    drop_actions(&f->t);
}

/* Not broken, and without anything beside them. */
PV_TEST(lines_are_printed_whole)
{
    struct fixture *f = *state;
    char *text = NULL, want[600], url[400];
    size_t len = 0;
    memset(url, 'u', sizeof(url));
    url[sizeof(url) - 1] = '\0';
    snprintf(want, sizeof(want), MSG("B", "pi", "lap", "https://%s", "unread"), url);
    take(&f->t, pv_tui_take_message, MSG("A", "lap", "pi", "/me looks", "read"));
    take(&f->t, pv_tui_take_message, want);
    pv_tui_open(&f->t, pv_tui_find(&f->t, "pi", false));
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    pv_tui_print(&f->t, 500, out);
    fclose(out);
    snprintf(want, sizeof(want), "10:00 * lap looks\n10:00 pi: https://%s\n", url);
    assert_string_equal(text, want);
    free(text);
    /* Help has a line about /me, which is nobody's deed. */
    line(&f->t, "/help");
    out = open_memstream(&text, &len);
    assert_non_null(out);
    pv_tui_print(&f->t, 500, out);
    fclose(out);
    assert_non_null(strstr(text, "/me TEXT"));
    free(text);
    drop_actions(&f->t);
}

PV_TEST(a_search_goes_to_what_is_older)
{
    struct fixture *f = *state;
    struct pv_tui *t = &f->t;
    size_t pi = pv_tui_find(t, "pi", false);
    for (int i = 0; i < 60; i++) {
        char text[256];
        snprintf(text, sizeof(text), MSG("%d", "pi", "lap", "line %d%s", "read"), i, i,
                 i % 25 == 3 ? " Needle" : "");
        take(t, pv_tui_take_message, text);
    }
    pv_tui_open(t, pi);
    drop_actions(t);
    static const char *const found[] = {"line 53 Needle", "line 28 Needle", "line 3 Needle"};
    for (size_t k = 0; k < PV_ARRAY_LEN(found); k++) {
        bool seen = false;
        line(t, "/search needle");
        draw(f, 13, 50);
        for (size_t i = 0; i < 13; i++)
            seen = seen || strstr(row(f, i), found[k]) != NULL;
        assert_true(seen);
    }
    line(t, "/search needle");
    assert_non_null(strstr(t->note, "nothing older has \"needle\""));
    assert_nothing_asked(t); /* nobody was sent the word */
}

/* A peer chooses when a notice of its file goes to the line of a room. */
PV_TEST(a_search_goes_on_when_lines_have_gone)
{
    struct fixture *f = *state;
    struct pv_tui *t = &f->t;
#define A_FILE                                                                    \
    "{\"id\":7,\"transfer\":\"L\",\"direction\":\"in\",\"peer\":\"pi\",\"name\":" \
    "\"needle\",\"size\":2048,\"state\":\"offered\"}"
    take(t, pv_tui_take_message, MSG("m", "pi", "lap", "an older needle", "read"));
    take(t, pv_tui_take_file, "{\"file\":" A_FILE "}");
    pv_tui_open(t, pv_tui_find(t, "pi", false));
    struct pv_tui_conv *c = &t->convs[t->current];
    line(t, "/search needle");
    assert_int_equal(c->found, 2);
    take(t, pv_tui_take_message,
         "{\"id\":\"L\",\"from\":\"pi\",\"to\":\"#crew\",\"room\":\"#crew\",\"text\":"
         "\"/me offers needle (2.0 KiB) to those who are here\",\"time\":" T0
         ",\"state\":\"read\"}");
    take(t, pv_tui_take_files, "{\"files\":[" A_FILE "]}");
    c = &t->convs[t->current];
    assert_int_equal(c->n_lines, 1);
    assert_true(c->found <= c->n_lines);
    draw(f, 13, 50);
    line(t, "/search needle");
    assert_int_equal(c->found, 1);
    draw(f, 13, 50);
    drop_actions(t);
}

PV_TEST(help_fits_beside_the_roster)
{
    struct fixture *f = *state;
    for (size_t i = 0; pv_tui_help[i] != NULL; i++) {
        size_t columns = 0;
        for (const char *p = pv_tui_help[i]; *p != '\0'; p++)
            columns += ((unsigned char)*p & 0xc0) != 0x80;
        assert_in_range(columns, 1, 55);
    }
    f->t.now = 1795168800;
    line(&f->t, "/help");
    draw(f, 40, 80);
    assert_non_null(strstr(row(f, 37), "10:00 \xe2\x97\x8f online"));
}

PV_TEST(an_empty_home_says_how_to_begin)
{
    struct fixture *f = *state;
    draw(f, 12, 80);
    assert_non_null(strstr(row(f, 9), "Ctrl-N or /open alice opens a conversation"));
}

PV_TEST(long_texts_break_at_blanks_and_wide_characters_never_in_two)
{
    struct fixture *f = *state;
    struct pv_tui *t = &f->t;
    pv_tui_open(t, pv_tui_find(t, "pi", false));
    take(t, pv_tui_take_message,
         MSG("A", "pi", "lap", "the quick brown fox jumps over the lazy dog", "read"));
    take(t, pv_tui_take_message,
         MSG("B", "pi", "lap", "\\u4f60\\u597d\\u4f60\\u597d\\u4f60\\u597d\\u4f60\\u597d", "read"));
    draw(f, 12, 26);
    assert_string_equal(row(f, 5), "10:00     pi: the quick");
    assert_string_equal(row(f, 6), "         brown fox jumps");
    assert_string_equal(row(f, 7), "         over the lazy dog");
    assert_string_equal(row(f, 8), "10:00     pi: 你好你好你好");
    assert_string_equal(row(f, 9), "         你好");
    drop_actions(t);
}

PV_TEST(scrolling_stays_inside_what_there_is)
{
    struct fixture *f = *state;
    struct pv_tui *t = &f->t;
    size_t pi = pv_tui_find(t, "pi", false);
    for (int i = 0; i < 30; i++) {
        char text[256];
        snprintf(text, sizeof(text), MSG("%d", "pi", "lap", "n%d", "read"), i, i);
        take(t, pv_tui_take_message, text);
    }
    pv_tui_open(t, pi);
    draw(f, 13, 50); /* ten rows of messages */
    assert_string_equal(row(f, 1), "10:00     pi: n20");
    assert_string_equal(row(f, 10), "10:00     pi: n29");
    pv_tui_key(t, PV_TUI_PAGE_UP, (wchar_t)pv_tui_page(13));
    draw(f, 13, 50);
    assert_string_equal(row(f, 10), "10:00     pi: n20");
    for (int i = 0; i < 9; i++)
        pv_tui_key(t, PV_TUI_PAGE_UP, 1000);
    draw(f, 13, 50);
    assert_string_equal(row(f, 1), "-- 2026-11-20 --");
    assert_string_equal(row(f, 2), "10:00     pi: n0");
    assert_int_equal(t->convs[pi].scroll, 21);
    draw(f, 40, 50); /* a larger screen shows all of it */
    assert_string_equal(row(f, 37), "10:00     pi: n29");
    assert_int_equal(t->convs[pi].scroll, 0);
    pv_tui_key(t, PV_TUI_PAGE_DOWN, 5);
    assert_int_equal(t->convs[pi].scroll, 0);
    drop_actions(t);
}

PV_TEST(every_size_can_be_drawn)
{
    struct fixture *f = *state;
    struct pv_tui *t = &f->t;
    pv_tui_open(t, pv_tui_find(t, "pi", false));
    take(t, pv_tui_take_message,
         MSG("A", "pi", "lap", "e\\u0301\\u0302\\u0303 \\u0301 \\ttab \\u4f60\\u597d a", "read"));
    line(t, "/help");
    type(t, "a long line that has to be scrolled \xe4\xbd\xa0\xe5\xa5\xbd");
    for (size_t rows = 0; rows < 30; rows++)
        for (size_t cols = 0; cols < 90; cols++) {
            draw(f, rows, cols);
            assert_true(rows == 0 || cols == 0 || f->screen.cursor_col < cols);
        }
    draw(f, 3, 30);
    assert_string_equal(row(f, 0), "too small");
    draw(f, PV_TUI_MAX_ROWS + 1, PV_TUI_MAX_COLS + 1);
    assert_int_equal(f->screen.rows, PV_TUI_MAX_ROWS);
    draw(f, 24, 40);
    assert_string_equal(row(f, 23), "> ong line that has to be scrolled 你好");
    drop_actions(t);
}

PV_TEST(many_peers_are_shown_around_the_open_one)
{
    struct fixture *f = *state;
    struct pv_tui *t = &f->t;
    char name[24];
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "n%02d", i);
        assert_int_not_equal(pv_tui_find(t, name, true), SIZE_MAX);
    }
    pv_tui_open(t, pv_tui_find(t, "n50", false));
    draw(f, 13, 80);
    assert_string_equal(row(f, 10), "○ n50         away     │");
    assert_string_equal(row(f, 9), "○ n49         away     │");
    drop_actions(t);
}

void test_begin(void)
{
    setenv("TZ", "UTC", 1);
    tzset();
    if (setlocale(LC_CTYPE, "C.UTF-8") == NULL)
        test_skip_all("there is no locale C.UTF-8");
}
