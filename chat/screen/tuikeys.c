/* SPDX-License-Identifier: MIT */
/* tuikeys.c - escape sequences of xterm, tmux, screen, rxvt, kitty and the Linux console. */
#include "chat/screen/tuikeys.h"

#include <string.h>

enum {
    ESC = 0x1b,
    BEL = 0x07,
    CTRL_C = 0x03,
};

struct meaning {
    const char *seq;
    enum pv_tui_key key;
    wchar_t arg;
};

/* Behind ESC [ and ESC O. A modifier of 2 to 8 stands behind the semicolon: 3 Alt, 5 Ctrl, 7 both.
 */
static const struct meaning SEQUENCES[] = {
    {"A", PV_TUI_EDIT, PV_TUIEDIT_OLDER},
    {"B", PV_TUI_EDIT, PV_TUIEDIT_NEWER},
    {"C", PV_TUI_EDIT, PV_TUIEDIT_RIGHT},
    {"D", PV_TUI_EDIT, PV_TUIEDIT_LEFT},
    {"H", PV_TUI_EDIT, PV_TUIEDIT_HOME},
    {"1~", PV_TUI_EDIT, PV_TUIEDIT_HOME},
    {"7~", PV_TUI_EDIT, PV_TUIEDIT_HOME},
    {"F", PV_TUI_END, 0},
    {"4~", PV_TUI_END, 0},
    {"8~", PV_TUI_END, 0},
    {"3~", PV_TUI_EDIT, PV_TUIEDIT_DELETE},
    {"5~", PV_TUI_PAGE_UP, 0},
    {"6~", PV_TUI_PAGE_DOWN, 0},
    {"M", PV_TUI_ENTER, 0}, /* behind ESC O: Enter of the keypad */
    {"1;5C", PV_TUI_EDIT, PV_TUIEDIT_WORD_RIGHT},
    {"1;3C", PV_TUI_EDIT, PV_TUIEDIT_WORD_RIGHT},
    {"5C", PV_TUI_EDIT, PV_TUIEDIT_WORD_RIGHT},
    {"c", PV_TUI_EDIT, PV_TUIEDIT_WORD_RIGHT}, /* rxvt, behind ESC O */
    {"1;5D", PV_TUI_EDIT, PV_TUIEDIT_WORD_LEFT},
    {"1;3D", PV_TUI_EDIT, PV_TUIEDIT_WORD_LEFT},
    {"5D", PV_TUI_EDIT, PV_TUIEDIT_WORD_LEFT},
    {"d", PV_TUI_EDIT, PV_TUIEDIT_WORD_LEFT},
    {"1;3A", PV_TUI_PREVIOUS, 0}, /* as in weechat */
    {"1;3B", PV_TUI_NEXT, 0},
    {"3;5~", PV_TUI_EDIT, PV_TUIEDIT_DELETE_WORD},
    {"3;3~", PV_TUI_EDIT, PV_TUIEDIT_DELETE_WORD},
    {"1;5F", PV_TUI_BOTTOM, 0},
    {"1;3F", PV_TUI_BOTTOM, 0},
    {"4;5~", PV_TUI_BOTTOM, 0},
    {"8^", PV_TUI_BOTTOM, 0}, /* rxvt */
};

/* Alt and a letter is an escape and that letter. */
static const struct meaning ALTS[] = {
    {"b", PV_TUI_EDIT, PV_TUIEDIT_WORD_LEFT},
    {"f", PV_TUI_EDIT, PV_TUIEDIT_WORD_RIGHT},
    {"d", PV_TUI_EDIT, PV_TUIEDIT_DELETE_WORD},
    {"\x7f", PV_TUI_EDIT, PV_TUIEDIT_KILL_WORD},
    {"\b", PV_TUI_EDIT, PV_TUIEDIT_KILL_WORD},
    {">", PV_TUI_BOTTOM, 0},
    {"a", PV_TUI_NEXT_UNREAD, 0}, /* as in irssi and weechat */
};

static enum pv_tuikeys_result find(const struct meaning *list, size_t n, const char *seq,
                                   enum pv_tui_key *ret_key, wchar_t *ret_arg)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(list[i].seq, seq) != 0)
            continue;
        *ret_key = list[i].key;
        *ret_arg = list[i].arg;
        return PV_TUIKEYS_IS_KEY;
    }
    return PV_TUIKEYS_IS_NONE;
}

/* Behind an escape: the kind of sequence, or Alt and a letter. */
static enum pv_tuikeys_result behind_escape(struct pv_tuikeys *k, wchar_t c,
                                            enum pv_tui_key *ret_key, wchar_t *ret_arg)
{
    char letter[2] = {c > 0 && c < 0x80 ? (char)c : '\0', '\0'};
    k->n = 0;
    switch (c) {
    case ESC: /* Alt comes before a sequence in some terminals */
        return PV_TUIKEYS_IS_NONE;
    case L'[':
        k->state = PV_TUIKEYS_CSI;
        return PV_TUIKEYS_IS_NONE;
    case L'O':
        k->state = PV_TUIKEYS_SS3;
        return PV_TUIKEYS_IS_NONE;
    case L']':
    case L'P':
    case L'_':
    case L'^':
    case L'X':
        k->state = PV_TUIKEYS_STRING;
        return PV_TUIKEYS_IS_NONE;
    case L'/': /* no terminal's key: a person who pressed Escape begins a command */
        k->state = PV_TUIKEYS_TEXT;
        return PV_TUIKEYS_IS_TEXT;
    default:
        k->state = PV_TUIKEYS_TEXT;
        return find(ALTS, PV_ARRAY_LEN(ALTS), letter, ret_key, ret_arg);
    }
}

/* Parameters and intermediates are 0x20 to 0x3f, what ends the sequence is 0x40 to 0x7e; but rxvt
 * ends some by a dollar sign, which in answers of a terminal, that begin with "?", is none. */
static enum pv_tuikeys_result in_sequence(struct pv_tuikeys *k, wchar_t c, enum pv_tui_key *ret_key,
                                          wchar_t *ret_arg)
{
    if (k->n + 1 < sizeof(k->seq) && c > 0 && c < 0x80)
        k->seq[k->n] = (char)c;
    k->n++;
    if (k->state == PV_TUIKEYS_CSI && k->n == 1 && c == L'[') {
        k->state = PV_TUIKEYS_LINUX;
        return PV_TUIKEYS_IS_NONE;
    }
    bool dollar = c == L'$' && k->seq[0] != '?';
    if (c >= 0x20 && c < 0x40 && !dollar && k->state != PV_TUIKEYS_LINUX)
        return PV_TUIKEYS_IS_NONE;
    bool known = k->state != PV_TUIKEYS_LINUX && k->n < sizeof(k->seq);
    k->state = PV_TUIKEYS_TEXT;
    if (!known)
        return PV_TUIKEYS_IS_NONE;
    k->seq[k->n] = '\0';
    if (strcmp(k->seq, "200~") == 0) {
        k->state = PV_TUIKEYS_PASTE;
        k->n = 0;
        k->asked = false;
        return PV_TUIKEYS_IS_NONE;
    }
    return find(SEQUENCES, PV_ARRAY_LEN(SEQUENCES), k->seq, ret_key, ret_arg);
}

/* How long after the one before a character may belong to the same sequence. With Alt a person
 * types what begins a string, but nothing that begins with an escape and a bracket. */
static pv_ns wait_of(const struct pv_tuikeys *k, wchar_t c)
{
    const bool typed = (k->state == PV_TUIKEYS_ESC && c != L'[') || k->state == PV_TUIKEYS_STRING;
    return typed ? PV_TUIKEYS_WAIT : PV_TUIKEYS_REST;
}

/* The end may come in pieces: its characters are text until the last one of it is there. */
static enum pv_tuikeys_result in_paste(struct pv_tuikeys *k, wchar_t c, pv_ns silence)
{
    static const char end[] = "\033" PV_TUIKEYS_TAIL "~";
    if (c == CTRL_C && silence >= PV_TUIKEYS_SILENCE && k->asked) {
        k->state = PV_TUIKEYS_TEXT;
        return PV_TUIKEYS_IS_PASTE_LOST;
    }
    k->asked = c == CTRL_C && (k->asked || silence >= PV_TUIKEYS_SILENCE);
    k->n = c == (wchar_t)end[k->n] ? k->n + 1 : c == ESC;
    if (k->n < sizeof(end) - 1)
        return PV_TUIKEYS_IS_PASTE;
    k->state = PV_TUIKEYS_TEXT;
    return PV_TUIKEYS_IS_PASTE_END;
}

enum pv_tuikeys_result pv_tuikeys_take(struct pv_tuikeys *k, wchar_t c, pv_ns now,
                                       enum pv_tui_key *ret_key, wchar_t *ret_arg)
{
    const pv_ns silence = now - k->last;
    k->last = now;
    if (pv_tuikeys_is_pasting(k))
        return in_paste(k, c, silence);
    if (silence > wait_of(k, c))
        k->state = PV_TUIKEYS_TEXT;
    /* An escape begins a sequence wherever it stands; within a string it may be its end. */
    if (c == ESC && k->state != PV_TUIKEYS_ESC) {
        k->state = PV_TUIKEYS_ESC;
        return PV_TUIKEYS_IS_NONE;
    }
    switch (k->state) {
    case PV_TUIKEYS_TEXT:
        return PV_TUIKEYS_IS_TEXT;
    case PV_TUIKEYS_ESC:
        return behind_escape(k, c, ret_key, ret_arg);
    case PV_TUIKEYS_STRING:
        if (c == BEL)
            k->state = PV_TUIKEYS_TEXT;
        return PV_TUIKEYS_IS_NONE;
    case PV_TUIKEYS_CSI:
    case PV_TUIKEYS_SS3:
    case PV_TUIKEYS_LINUX:
    case PV_TUIKEYS_PASTE:
        break;
    }
    return in_sequence(k, c, ret_key, ret_arg);
}

bool pv_tuikeys_end(struct pv_tuikeys *k, pv_ns now)
{
    bool alt = k->state == PV_TUIKEYS_ESC && now - k->last <= PV_TUIKEYS_WAIT;
    if (!pv_tuikeys_is_pasting(k))
        k->state = PV_TUIKEYS_TEXT;
    return alt;
}
