/* SPDX-License-Identifier: MIT */
/*
 * show.h - output for people: tables, units, times, colour, and text of others made harmless.
 */
#pragma once

#include <stdio.h>

#include "base/jsonread.h"
#include "base/pv.h"
#include "base/text.h"
#include "proto/local/ctlcmd.h"

enum {
    PV_SHOW_BUF = 96, /* bytes for any of the short texts below, with the NUL */
    PV_SHOW_CHANGE_BUF = 256,
    PV_SHOW_SENT_BUF = 256,
    PV_SHOW_OFFER_BUF = 400, /* bytes of the longest name of a file and the words around it */
    PV_TABLE_COLUMNS = 10,   /* at most */
};

enum pv_colour {
    PV_PLAIN,
    PV_GREEN,
    PV_YELLOW,
    PV_RED,
    PV_DIM,
    PV_BOLD,
};

/* Rows of cells, printed with aligned columns. A zeroed table has nothing; errors are sticky and
 * told by pv_table_print(). */
struct pv_table {
    struct pv_cell *cells; /* owned; n_columns a row */
    size_t n_cells, cap;
    size_t n_columns;
    unsigned whole, spare; /* columns by bits: their headings say so */
    int status;
};

void pv_table_begin(struct pv_table *t, size_t n_columns);
/* With a heading for each column. */
void pv_table_begin_headed(struct pv_table *t, const char *const *head, size_t n_columns);
/* The next cell is a heading. "=" before it marks a column of short cells, such as dates, that say
 * nothing when they are cut; "-" a column that a narrow screen does without; "=-" both. */
void pv_table_head(struct pv_table *t, enum pv_colour colour, const char *text);
/* The next cell, left to right; text is copied. */
void pv_table_cell(struct pv_table *t, enum pv_colour colour, const char *text);
void pv_table_cellf(struct pv_table *t, enum pv_colour colour, const char *fmt, ...)
    PV_PRINTF(3, 4);
/* A row of a table of two columns: what it is about, and that. */
void pv_table_fact(struct pv_table *t, const char *what, enum pv_colour colour, const char *fmt,
                   ...) PV_PRINTF(4, 5);
/* Makes commands in backticks right for the node that flag names; own: it is the user's (remedy.h).
 */
void pv_table_name_commands(struct pv_table *t, const char *flag, bool own);
/* Where a table is printed. */
struct pv_screen {
    size_t width;  /* columns; 0: lines are as long as they are */
    size_t height; /* lines; 0: not known */
    bool colour;
    bool dumb; /* it has no escape sequences at all */
};
/* Prints and frees. On a screen that is too narrow the last column goes on below itself, and the
 * widest of the others end in "...", but for a mark behind a name, " (admin)"; where that is not
 * enough, columns are left out. PV_ERR_NOMEM: nothing was printed. */
PV_MUST_CHECK int pv_table_print(struct pv_table *t, FILE *out, const struct pv_screen *screen);

/* Colour on and off; nothing when colour is off. */
const char *pv_colour_on(enum pv_colour c, bool colour);
const char *pv_colour_off(enum pv_colour c, bool colour);

/* Each writes into buf and returns it. */
const char *pv_show_ms(double ms, char buf[static PV_SHOW_BUF]); /* "0.61 ms", "18.4 ms" */
#define PV_MS_STR(ms) pv_show_ms(ms, (char[PV_SHOW_BUF]){0})
/* Local time of Unix seconds: "14:20" today, else "2026-11-19 14:20". */
const char *pv_show_time(double unix_s, double now_s, char buf[static PV_SHOW_BUF]);
#define PV_TIME_STR(unix_s, now_s) pv_show_time(unix_s, now_s, (char[PV_SHOW_BUF]){0})

/* Prints text of others: see pv_harmless_show(). NULL prints nothing. */
void pv_show_text(FILE *out, const char *text);
/* The same from that column on: the text goes on below itself when the screen ends, whose columns
 * are 0 for a line of any length. A command in backticks stays in one line, so that nobody pastes
 * half of it. */
void pv_show_text_from(FILE *out, const char *text, size_t from, size_t screen);

/* Prints whose message it is: "bob", or "somebody on bob's machine" when it is not his daemon's. */
void pv_show_from(FILE *out, const json_t *msg);
/* "pi is another machine since ... (before: key:AbCd)"; key: of the machine that had the name
 * before. Not harmless yet: name and key are as the daemon gave them. */
const char *pv_show_change(const char *name, double since_s, const char *key,
                           char buf[static PV_SHOW_CHANGE_BUF]);
/* The same for the other side of a message that says so. told (an object) keeps what was said, so
 * that each change is said once. NULL: there is nothing to say. */
const char *pv_show_change_once(json_t *told, const json_t *msg,
                                char buf[static PV_SHOW_CHANGE_BUF]);

/* Why a line for this address was refused, which was name's when the line was begun: p2pvpnd's
 * error, with the name in place of the address, which nobody has typed. Of one that p2pvpnd knows
 * nothing of, "not sent: pi is no member any more ...". */
const char *pv_show_refusal(const char *name, const char *address, const char *error,
                            char buf[static PV_SHOW_CHANGE_BUF]);

/* Says of a message that p2pvpnd took, by its answer, what became of it: "sent to pi", or "queued:
 * ..." and what it waits for; *ret_waits says which. Not harmless yet: the name is as the daemon
 * gave it. */
const char *pv_show_sent(const json_t *body, char buf[static PV_SHOW_SENT_BUF], bool *ret_waits);

/* The line of a room in which a file is offered, a deed ("/me"). */
const char *pv_show_offer(const char *name, double size, char buf[static PV_SHOW_OFFER_BUF]);
bool pv_show_is_offer(const char *text); /* does it begin as that line does? */
/* Of a room's members: is it another one, and there, so that a file for the room goes to it? */
bool pv_show_gets_file(const json_t *member);
/* Why a file for the room goes to nobody, by p2pvpnd's answer about its members, and the exit code
 * for that; NULL: to some. */
const char *pv_show_no_getter(const json_t *body, const char *room,
                              char buf[static PV_SHOW_SENT_BUF], enum pv_ctlapi_code *ret_code);
