/* SPDX-License-Identifier: MIT */
/*
 * tuiedit.h - the input line of the terminal chat: UTF-8 text with a cursor, and what was typed
 * before at the same place. Pure: no terminal. One thread.
 */
#pragma once

#include <wchar.h>

#include "base/pv.h"
#include "chat/proto/chat.h"

enum {
    /* Bytes of a line: a character more than a message may have. So a line from which something was
     * dropped is one that is too long, and is not sent. */
    PV_TUIEDIT_MAX = PV_CHAT_TEXT_MAX + 4,
    PV_TUIEDIT_PAST = 32, /* lines remembered */
};

/* Lines that were typed at one place, which owns this. A zeroed one is empty. */
struct pv_tuipast {
    char *lines[PV_TUIEDIT_PAST]; /* owned; oldest first */
    size_t n;
};

/* A zeroed one is empty. text is valid UTF-8 without control characters, NUL-terminated. */
struct pv_tuiedit {
    char text[PV_TUIEDIT_MAX + 1];
    size_t len, cursor;      /* bytes; cursor at a character */
    struct pv_tuipast *past; /* borrowed; NULL: no line is remembered */
    size_t shown;            /* of the past; its n: what is being typed */
    char *draft;             /* owned: what was being typed before going back */
    char *killed;            /* owned: what YANK puts back; NULL: nothing yet */
};

enum pv_tuiedit_op {
    PV_TUIEDIT_LEFT,
    PV_TUIEDIT_RIGHT,
    PV_TUIEDIT_HOME,
    PV_TUIEDIT_END,
    PV_TUIEDIT_BACKSPACE,
    PV_TUIEDIT_DELETE,
    PV_TUIEDIT_KILL_END,
    PV_TUIEDIT_KILL_START,
    PV_TUIEDIT_KILL_WORD,   /* the one before the cursor */
    PV_TUIEDIT_DELETE_WORD, /* the one behind it */
    PV_TUIEDIT_WORD_LEFT,
    PV_TUIEDIT_WORD_RIGHT,
    PV_TUIEDIT_OLDER,
    PV_TUIEDIT_NEWER,
    PV_TUIEDIT_YANK, /* puts back what a KILL or DELETE_WORD took last */
};

void pv_tuiedit_done(struct pv_tuiedit *e);
struct pv_tuipast *pv_tuipast_free(struct pv_tuipast *past); /* NULL is fine; returns NULL */
/* The person goes on at another place, which has that past (borrowed; NULL: none is kept), and
 * where this line was begun. */
void pv_tuiedit_move(struct pv_tuiedit *e, struct pv_tuipast *past, const char *begun);
/* Inserts a character; control characters and what does not fit are dropped. */
void pv_tuiedit_insert(struct pv_tuiedit *e, wchar_t c);
void pv_tuiedit_do(struct pv_tuiedit *e, enum pv_tuiedit_op op);
/* Puts text in place of the len bytes before the cursor. */
void pv_tuiedit_replace(struct pv_tuiedit *e, size_t len, const char *text);
/* Sets the whole line, cursor at the end. */
void pv_tuiedit_set(struct pv_tuiedit *e, const char *text);
/* Remembers the line and empties it. Owned by the caller; NULL without memory. */
char *pv_tuiedit_take(struct pv_tuiedit *e);

/* The character at text and its length in bytes (0 at the end); bytes that are no UTF-8 are
 * U+FFFD, one byte each. */
wchar_t pv_tui_decode(const char *text, size_t *ret_len);
/* Is the byte there within a character of UTF-8, not its first one? The NUL is not. */
static inline bool pv_tui_is_inside(const char *text, size_t at)
{
    return ((unsigned char)text[at] & 0xc0) == 0x80;
}
