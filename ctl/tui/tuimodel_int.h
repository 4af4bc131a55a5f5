/* SPDX-License-Identifier: MIT */
/*
 * tuimodel_int.h - what the files of the terminal chat's model share; for them only.
 *
 *   tuimodel.c   conversations, lines, who is there, rooms, lines that have a text
 *   tuifiles.c   files
 *   tuityped.c   keys, lines that are typed, commands
 *   tuicomplete.c  what Tab makes of a line
 */
#pragma once

#include "ctl/tui/tuimodel.h"
#include "ctl/tui/tuiwords.h"

/* Says it in the bar, made harmless, in one row. */
void pv_tui_note(struct pv_tui *t, const char *fmt, ...) PV_PRINTF(2, 3);
/* Asks the daemon; takes text. */
void pv_tui_want(struct pv_tui *t, enum pv_tui_action_kind kind, const char *peer, char *text);
/* A line that nobody wrote, with the time of now. */
void pv_tui_notice(struct pv_tui *t, struct pv_tui_conv *c, const char *text);
/* Among the newest lines; NULL: none has this id. */
struct pv_tui_line *pv_tui_line(struct pv_tui_conv *c, const char *id);
void pv_tui_drop_line(struct pv_tui_conv *c, struct pv_tui_line *line);
/* Asks how files are, once. */
void pv_tui_want_files(struct pv_tui *t);
/* A line that was said: of a file for a room, the file is offered now. */
void pv_tui_give(struct pv_tui *t, const json_t *msg);
/* An action failed: was it a part of that, of which nothing is given back? Says why where the line
 * is. */
bool pv_tui_keep(struct pv_tui *t, const struct pv_tui_action *action, const char *error);
/* The unread messages of c are on the screen. */
void pv_tui_mark_read(struct pv_tui *t, struct pv_tui_conv *c);
bool pv_tui_is_room(const char *name);
/* /accept, /refuse and /save NUMBER. False: it was not in order, which was said. */
bool pv_tui_run_file(struct pv_tui *t, enum pv_tui_word word, const char *number);
/* Tab: extends what stands before the cursor as far as it is certain, and says what it may become.
 */
void pv_tui_complete(struct pv_tui *t);
/* /search: the next older line that has text, above the one that was found last; in the network's
 * pane in all conversations. False: it was not in order, which was said. */
bool pv_tui_search(struct pv_tui *t, const char *text);
/* /room, /invite, /leave, /members. False: it was not in order, which was said. */
bool pv_tui_run_room(struct pv_tui *t, enum pv_tui_word word, const char *name);
