/* SPDX-License-Identifier: MIT */
/*
 * tuikeys.h - what terminals send for keys that curses does not name: escape sequences, character
 * by character. Those that mean something here become keys, all others are swallowed whole: no part
 * of one that comes without a pause becomes text (ECMA-48 s5.4 for CSI, s5.6 for strings; xterm's
 * ctlseqs for the keys and for what is pasted, "Bracketed Paste Mode"). Pure. One thread.
 */
#pragma once

#include "chat/screen/model/tuimodel.h"

/* So long after the one before a character belongs to the same sequence: a person who presses the
 * escape key and goes on typing takes longer. */
#define PV_TUIKEYS_WAIT PV_MS(100)
/* The same within ESC [ and ESC O, which no person types: a network may cut a sequence in two. */
#define PV_TUIKEYS_REST PV_MS(500)
/* A person ends a paste whose end does not come by two Ctrl-C that each come after such a pause;
 * what is pasted, which may have them in it, makes none. */
#define PV_TUIKEYS_SILENCE PV_S(1)

enum pv_tuikeys_state {
    PV_TUIKEYS_TEXT,
    PV_TUIKEYS_ESC,    /* behind an escape */
    PV_TUIKEYS_CSI,    /* behind ESC [ */
    PV_TUIKEYS_SS3,    /* behind ESC O */
    PV_TUIKEYS_LINUX,  /* behind ESC [ [: function keys of the Linux console, one letter */
    PV_TUIKEYS_STRING, /* behind ESC ], P, _, ^, X: up to BEL or ESC \ */
    PV_TUIKEYS_PASTE,  /* between ESC [ 2 0 0 ~ and ESC [ 2 0 1 ~ */
};
struct pv_tuikeys { /* zeroed at first */
    enum pv_tuikeys_state state;
    pv_ns last;   /* when the last character came */
    char seq[16]; /* parameters and final character of a CSI; longer ones mean nothing here */
    size_t n;     /* of a paste: how much of its end the last characters are */
    bool asked;   /* to end a paste, by one Ctrl-C */
};

enum pv_tuikeys_result {
    PV_TUIKEYS_IS_TEXT,       /* the character is no part of a sequence */
    PV_TUIKEYS_IS_KEY,        /* the sequence is over and means *ret_key, *ret_arg */
    PV_TUIKEYS_IS_NONE,       /* swallowed */
    PV_TUIKEYS_IS_PASTE,      /* the character was pasted, whatever key it would be */
    PV_TUIKEYS_IS_PASTE_END,  /* all was pasted; the characters of PV_TUIKEYS_TAIL at its end are
                                 the mark's, and no text */
    PV_TUIKEYS_IS_PASTE_LOST, /* the same by a person: there is no mark */
};
#define PV_TUIKEYS_TAIL "[201"

/* The next character. PV_TUI_PAGE_UP and DOWN come with arg 0: the page is the caller's. */
enum pv_tuikeys_result pv_tuikeys_take(struct pv_tuikeys *k, wchar_t c, pv_ns now,
                                       enum pv_tui_key *ret_key, wchar_t *ret_arg);

static inline bool pv_tuikeys_is_pasting(const struct pv_tuikeys *k)
{
    return k->state == PV_TUIKEYS_PASTE;
}

/* A key that curses has named came: whatever was begun is over. Was it Alt and that key? Not while
 * pasting. */
bool pv_tuikeys_end(struct pv_tuikeys *k, pv_ns now);
