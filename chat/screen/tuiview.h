/* SPDX-License-Identifier: MIT */
/*
 * tuiview.h - a picture of the terminal chat: which character with which attribute stands where.
 * tui.c shows it; tests compare it. Needs a UTF-8 LC_CTYPE for the width of characters, and the
 * time zone. One thread.
 */
#pragma once

#include <stdio.h>

#include "chat/screen/model/tuimodel.h"

enum {
    PV_TUI_MIN_ROWS = 5,
    PV_TUI_MIN_COLS = 20,
    PV_TUI_MAX_ROWS = 500,
    PV_TUI_MAX_COLS = 1000,
    PV_TUI_COLOURS = 12, /* by which names are told apart */
    PV_TUI_MARKS = 3,    /* a character and two combining ones */
};

enum pv_tui_attr {
    PV_TUI_BOLD = 1,
    PV_TUI_DIM = 2,
    PV_TUI_REVERSE = 4,
    PV_TUI_GOOD = 8,  /* green */
    PV_TUI_WARN = 16, /* yellow */
};

struct pv_tui_cell {
    wchar_t ch[PV_TUI_MARKS + 1]; /* NUL-terminated; "": the right half of a wide one */
    uint8_t attr;
    uint8_t colour; /* of a name: 1 to PV_TUI_COLOURS; 0: none */
    uint16_t link;  /* number of a link of the screen, from 1; 0: none */
};

/* Rows of cells; a zeroed one is empty. */
struct pv_tui_screen {
    struct pv_tui_cell *cells; /* owned; row after row */
    size_t rows, cols;
    size_t cursor_row, cursor_col;
    char **links; /* owned: addresses that cells belong to */
    size_t n_links, cap_links;
};

/* Draws the model; brings the scroll position of its conversation back into bounds. Messages that
 * are in sight then count as read. Sizes beyond the limits above are cut; below them only a word is
 * shown, and nothing that comes counts as read. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_tui_render(struct pv_tui *t, size_t rows, size_t cols,
                                struct pv_tui_screen *screen);
/* Writes the newest lines of the conversation that is shown, at most so many, oldest first, as they
 * are: a terminal breaks them by itself, and knows that they belong together. */
void pv_tui_print(const struct pv_tui *t, size_t most, FILE *out);
void pv_tui_screen_done(struct pv_tui_screen *screen);
/* How many rows of a screen of this size show messages: a page to scroll. */
size_t pv_tui_page(const struct pv_tui *t, size_t rows, size_t cols);
