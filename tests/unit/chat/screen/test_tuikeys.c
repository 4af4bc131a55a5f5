/* SPDX-License-Identifier: MIT */
/* Escape sequences: what the terminals of today send for every key, and never a character of it as
 * text. */
#include "chat/screen/tuikeys.h"
#include "tests/unit/test_util.h"

struct typed {
    size_t n_keys, n_text, n_pasted, n_ends;
    enum pv_tui_key key; /* the last one */
    wchar_t arg;
};

static struct typed type_at(struct pv_tuikeys *k, const char *seq, pv_ns now)
{
    struct typed t = {0};
    for (const char *p = seq; *p != '\0'; p++) {
        switch (pv_tuikeys_take(k, (wchar_t)(unsigned char)*p, now, &t.key, &t.arg)) {
        case PV_TUIKEYS_IS_TEXT:
            t.n_text++;
            break;
        case PV_TUIKEYS_IS_KEY:
            t.n_keys++;
            break;
        case PV_TUIKEYS_IS_NONE:
            break;
        case PV_TUIKEYS_IS_PASTE:
            t.n_pasted++;
            break;
        case PV_TUIKEYS_IS_PASTE_END:
        case PV_TUIKEYS_IS_PASTE_LOST:
            t.n_ends++;
            break;
        }
    }
    return t;
}

static struct typed type(const char *seq)
{
    struct pv_tuikeys k = {0};
    struct typed t = type_at(&k, seq, PV_S(1));
    struct typed after = type_at(&k, "x", PV_S(1));
    assert_int_equal(after.n_text, 1); /* what comes next is text again */
    return t;
}

static void expect(const char *seq, enum pv_tui_key key, wchar_t arg)
{
    struct typed t = type(seq);
    assert_int_equal(t.n_text, 0);
    assert_int_equal(t.n_keys, 1);
    assert_int_equal(t.key, key);
    assert_int_equal(t.arg, arg);
}

PV_TEST(word_keys_of_every_terminal_move_by_words)
{
    static const char *const left[] = {"\033[1;5D", "\033[1;3D", "\033b", "\033[5D", "\033Od"};
    static const char *const right[] = {"\033[1;5C", "\033[1;3C", "\033f", "\033[5C", "\033Oc"};
    for (size_t i = 0; i < PV_ARRAY_LEN(left); i++) {
        expect(left[i], PV_TUI_EDIT, PV_TUIEDIT_WORD_LEFT);
        expect(right[i], PV_TUI_EDIT, PV_TUIEDIT_WORD_RIGHT);
    }
    expect("\033d", PV_TUI_EDIT, PV_TUIEDIT_DELETE_WORD);
    expect("\033[3;5~", PV_TUI_EDIT, PV_TUIEDIT_DELETE_WORD);
    expect("\033\177", PV_TUI_EDIT, PV_TUIEDIT_KILL_WORD);
    expect("\033[1;5F", PV_TUI_BOTTOM, 0);
    expect("\033>", PV_TUI_BOTTOM, 0);
    expect("\033a", PV_TUI_NEXT_UNREAD, 0);
    expect("\033[1;3A", PV_TUI_PREVIOUS, 0);
    expect("\033[1;3B", PV_TUI_NEXT, 0);
}

PV_TEST(a_key_with_alt_before_its_sequence_is_that_key)
{
    expect("\033\033[D", PV_TUI_EDIT, PV_TUIEDIT_LEFT); /* rxvt, and tmux with older ones */
}

/* tmux sends both at once, so that a command behind Escape came without its slash. */
PV_TEST(a_slash_behind_escape_is_text)
{
    struct typed t = type("\033/");
    assert_int_equal(t.n_text, 1);
    assert_int_equal(t.n_keys, 0);
}

/* From the entries of xterm, tmux, screen, linux, rxvt and kitty: keys that mean nothing here, the
 * mouse, focus, answers of the terminal, kitty's own protocol. */
PV_TEST(a_sequence_that_means_nothing_here_is_swallowed_whole)
{
    static const char *const seqs[] = {
        "\033OP",
        "\033[15~",
        "\033[24~",
        "\033[[A",
        "\033[[E",
        "\033[25~",
        "\033[1;2P",
        "\033[24;8~",
        "\033[Z",
        "\033[2~",
        "\033[2;5~",
        "\033[1;5A",
        "\033[1;6B",
        "\033[1;2H",
        "\033[1;7F",
        "\033[5;5~",
        "\033[6;3~",
        "\033[I",
        "\033[O",
        "\033[?1;2c",
        "\033[>0;276;0c",
        "\033[12;40R",
        "\033[<0;10;5M",
        "\033[<0;10;5m",
        "\033[97;5u",
        "\033[57358u",
        "\033[27;5;105~",
        "\033[?2026;2$y",
        "\033]0;a b\007",
        "\033]11;rgb:0/0/0\033\\",
        "\033P1$r0m\033\\",
        "\033_Gi=1\033\\",
        "\033x",
        "\033.",
        "\0331",
        "\033[E",
        "\033Oj",
        "\033[a",
        "\033[7$",
        "\033[8@",
        "\033[23^",
        "\033\t",
        "\033[11111111111111111111111111111111~",
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(seqs); i++) {
        struct typed t = type(seqs[i]);
        assert_int_equal(t.n_text, 0);
        assert_int_equal(t.n_keys, 0);
    }
}

PV_TEST(keys_without_a_row_in_terminfo_are_keys_all_the_same)
{
    expect("\033[5~", PV_TUI_PAGE_UP, 0);
    expect("\033[6~", PV_TUI_PAGE_DOWN, 0);
    expect("\033[4~", PV_TUI_END, 0);
    expect("\033OF", PV_TUI_END, 0);
    expect("\033OM", PV_TUI_ENTER, 0);
    expect("\033[A", PV_TUI_EDIT, PV_TUIEDIT_OLDER);
}

/* The escape key alone, and a letter a moment later. */
PV_TEST(a_person_who_presses_escape_loses_nothing_that_is_typed_then)
{
    struct pv_tuikeys k = {0};
    assert_int_equal(type_at(&k, "\033", PV_S(1)).n_text, 0);
    struct typed t = type_at(&k, "bye", PV_S(1) + PV_TUIKEYS_WAIT + 1);
    assert_int_equal(t.n_text, 3);
    assert_int_equal(type_at(&k, "\033[1", PV_S(3)).n_text, 0);
    assert_int_equal(type_at(&k, "5", PV_S(4)).n_text, 1);
}

PV_TEST(a_key_that_curses_names_ends_what_was_begun)
{
    struct pv_tuikeys k = {0};
    assert_false(pv_tuikeys_end(&k, PV_S(1)));
    assert_int_equal(type_at(&k, "\033", PV_S(1)).n_text, 0);
    assert_true(pv_tuikeys_end(&k, PV_S(1)));
    assert_int_equal(type_at(&k, "o", PV_S(1)).n_text, 1);
}

/* A network cuts where it likes, and the terminal's marks of a paste too. */
PV_TEST(a_paste_ends_wherever_its_marks_are_cut_in_two)
{
    static const char begin[] = "\033[200~", end[] = "\033[201~", text[] = "one\rtwo\033[A\003";
    for (size_t cut = 1; cut < sizeof(begin) - 1; cut++) {
        for (size_t cut_end = 1; cut_end < sizeof(end) - 1; cut_end++) {
            struct pv_tuikeys k = {0};
            pv_ns now = PV_S(1);
            struct typed t = type_at(&k, PV_STR("%.*s", (int)cut, begin), now);
            assert_int_equal(t.n_text + t.n_keys, 0);
            now += PV_MS(300); /* as long as TCP needs to send it again */
            t = type_at(&k, begin + cut, now);
            assert_int_equal(t.n_text + t.n_keys + t.n_pasted, 0);
            assert_true(pv_tuikeys_is_pasting(&k));
            assert_false(pv_tuikeys_end(&k, now));
            t = type_at(&k, text, now);
            assert_int_equal(t.n_pasted, sizeof(text) - 1);
            assert_int_equal(t.n_text + t.n_keys + t.n_ends, 0);
            t = type_at(&k, PV_STR("%.*s", (int)cut_end, end), now);
            assert_int_equal(t.n_ends, 0);
            now += PV_S(60);
            t = type_at(&k, end + cut_end, now);
            assert_int_equal(t.n_ends, 1);
            assert_int_equal(t.n_text + t.n_keys, 0);
            assert_int_equal(type_at(&k, "x", now).n_text, 1);
        }
    }
}

PV_TEST(a_paste_goes_on_behind_what_is_nearly_its_end)
{
    struct pv_tuikeys k = {0};
    static const char text[] = "\033[200~a\033[20\033[202~\033\033[201";
    (void)type_at(&k, text, PV_S(1));
    assert_true(pv_tuikeys_is_pasting(&k));
    assert_int_equal(type_at(&k, "~", PV_S(1)).n_ends, 1);
    assert_int_equal(type("\033[201~").n_ends, 0); /* of no paste */
}

/* Its end was lost, and the screen would take no key any more. */
PV_TEST(a_person_ends_a_paste_that_does_not_end)
{
    struct pv_tuikeys k = {0};
    pv_ns now = PV_S(1);
    (void)type_at(&k, "\033[200~rm\003 *\r", now);
    /* A paste comes in pieces, and any of them may begin with it. */
    now += 2 * PV_TUIKEYS_SILENCE;
    assert_int_equal(type_at(&k, "\003evil\r", now).n_ends, 0);
    now += 2 * PV_TUIKEYS_SILENCE;
    assert_int_equal(type_at(&k, "\003", now).n_ends, 0);
    assert_int_equal(type_at(&k, "\003\003", now + PV_MS(300)).n_ends, 0);
    now += PV_MS(300) + PV_TUIKEYS_SILENCE;
    struct typed t = type_at(&k, "\003", now);
    assert_int_equal(t.n_ends, 1);
    assert_int_equal(t.n_text + t.n_keys, 0);
    assert_int_equal(type_at(&k, "\003", now).n_text, 1);
}

/* Alt and one of these begin a string for a terminal; a person goes on typing. */
PV_TEST(text_behind_alt_and_a_bracket_is_text_soon)
{
    static const char *const alts[] = {"\033]", "\033P", "\033X", "\033^", "\033_"};
    for (size_t i = 0; i < PV_ARRAY_LEN(alts); i++) {
        struct pv_tuikeys k = {0};
        (void)type_at(&k, alts[i], PV_S(1));
        assert_int_equal(type_at(&k, "hi\r", PV_S(1) + PV_TUIKEYS_WAIT + 1).n_text, 3);
    }
}

PV_TEST(text_is_text)
{
    assert_int_equal(type("send nas [1;5D ;F~").n_text, 18);
}
