/* SPDX-License-Identifier: MIT */
/*
 * tuiwords.h - the words of the terminal chat: commands in a typed line, and completion. Pure.
 */
#pragma once

#include "base/names.h"
#include "base/pv.h"
#include "base/text.h"

enum pv_tui_word {
    PV_TUI_W_NONE, /* no such command */
    PV_TUI_W_SEND,
    PV_TUI_W_PEERS,
    PV_TUI_W_OPEN,
    PV_TUI_W_CLOSE,
    PV_TUI_W_HELP,
    PV_TUI_W_EXIT,
    PV_TUI_W_ROOM,  /* without a word that it knows */
    PV_TUI_W_ROOMS, /* lists rooms */
    PV_TUI_W_CREATE,
    PV_TUI_W_INVITE,
    PV_TUI_W_JOIN, /* accepts an invitation */
    PV_TUI_W_LEAVE,
    PV_TUI_W_MEMBERS,
    PV_TUI_W_FILES,       /* lists files, */
    PV_TUI_W_FILES_OTHER, /* without a word that it knows */
    PV_TUI_W_ACCEPT,
    PV_TUI_W_REFUSE,
    PV_TUI_W_WITHDRAW,
    PV_TUI_W_GET,
    PV_TUI_W_SEND_FILE,
    PV_TUI_W_SEARCH,
    PV_TUI_W_BELL,
    PV_TUI_W_MUTE,
    PV_TUI_W_UNMUTE,
    PV_TUI_N_WORDS,
};

/* A line taken apart. */
struct pv_tui_words {
    bool is_command, classic; /* classic: without a slash */
    /* of commands that take a name, a number or a switch, in lower case but for keys and the piece
     * of a room's id; NONE: the word; cut */
    char name[PV_NAMES_FULL_BUF];
    char room[PV_NAMES_FULL_BUF]; /* of INVITE; "": the one that is shown */
    const char *text;  /* of SEND, SEND_FILE, SEARCH; "" when missing; points into line */
    const char *more;  /* what stands behind the name where nothing may; ""; points into line */
    const char *plain; /* no command: what is to be sent; points into line */
};

/* "/help", "/open NAME", "send NAME TEXT", "getu", "exit"; "//x" is the text "/x". Blanks before a
 * slash or "send" change nothing. The words of p2pvpnctl work here, too: "/room create NAME",
 * "/files accept ID". */
enum pv_tui_word pv_tui_split(const char *line, struct pv_tui_words *ret_words);

/* How the command is written: "/invite NAME". */
const char *pv_tui_usage(enum pv_tui_word word);

/* The words that may follow "/room " or "/files ", the first len bytes of line; the list ends with
 * NULL. Others: NULL. */
const char *const *pv_tui_subcommands(const char *line, size_t len);
extern const char *const pv_tui_commands[]; /* with their slash; ends with NULL */
extern const char *const pv_tui_help[];     /* lines; ends with NULL */

enum {
    PV_TUI_CHOICE = 258, /* bytes of the longest choice, a file's name, with the NUL */
    PV_TUI_LIST = 160,   /* bytes of the list of choices with the NUL */
};

/* The words that the one before the cursor may become. */
struct pv_tui_choice {
    const char *word; /* its beginning; len bytes */
    size_t len, n;
    bool is_first;                  /* word of the line */
    char common[PV_TUI_CHOICE + 2]; /* what all choices begin with; room for ": " */
    char list[PV_TUI_LIST];         /* "alice bob"; cut with "..." */
};
void pv_tui_choices_begin(struct pv_tui_choice *choice, const char *line, size_t cursor);
void pv_tui_choices_add(struct pv_tui_choice *choice, const char *candidate, bool command);
