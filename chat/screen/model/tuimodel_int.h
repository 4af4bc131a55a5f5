/* SPDX-License-Identifier: MIT */
/*
 * tuimodel_int.h - what the files of the model share. A file calls only those above it here; then
 * come tuifiles.c, tuifailed.c and tuityped.c.
 */
#pragma once

#include "chat/screen/model/tuimodel.h"

#define PV_TUI_FILE_OF     "a file of %s: /open %s"
#define PV_TUI_OFFER_AGAIN "p2pvpnd restarted: /send-file offers it again"

/* --- tuipanes.c ------------------------------------------------------------------------------ */

/* What it owns. */
void pv_tui_free_pane(struct pv_tui_conv *c);
/* Each conversation keeps its own unfinished line and the lines before it: what was typed for one
 * is never sent to another. */
void pv_tui_change_line(struct pv_tui *t, struct pv_tui_conv *from, struct pv_tui_conv *to);
/* Among the newest lines, since what is told twice or changes its state is not long ago; NULL: none
 * has this id. */
struct pv_tui_line *pv_tui_find_line(struct pv_tui_conv *c, const char *id);
/* The line goes, its text with it. */
void pv_tui_drop_line(struct pv_tui_conv *c, struct pv_tui_line *line);
/* Behind all others. */
void pv_tui_move_to_end(struct pv_tui_conv *c, struct pv_tui_line *line);
/* Takes the line's text, also when there is no room. */
bool pv_tui_add_line(struct pv_tui_conv *c, struct pv_tui_line line);
/* A harmless copy; a newline of the text stays one. NULL without memory. */
char *pv_tui_harmless(const char *text);
/* A line that nobody wrote, with this time (Unix seconds; 0: none is shown); it owns its text. */
struct pv_tui_line pv_tui_notice_of(const struct pv_tui *t, const char *text, double time);

/* --- tuiasked.c ------------------------------------------------------------------------------ */

/* The command that asks for it; NULL: a line, a file, or nothing that changes anything. */
const char *pv_tui_word_of(enum pv_tui_action_kind kind);
/* Says it. Where it names `p2pvpnctl peers`, of whatever network, this screen has /peers. */
void pv_tui_note_error(struct pv_tui *t, const char *error);
/* Says it, and gives what was typed for the action back to the conversation it was typed for. */
void pv_tui_give_back(struct pv_tui *t, const char *error, const struct pv_tui_action *action);
/* Takes a->text. False: too many requests wait, which is said. */
bool pv_tui_want_action(struct pv_tui *t, struct pv_tui_action *a);
/* pv_tui_want() for whom address means, whatever it is called by then; "": by its name. */
bool pv_tui_want_at(struct pv_tui *t, enum pv_tui_action_kind kind, const char *peer,
                    const char *address, char *text);

/* --- tuiopen.c ------------------------------------------------------------------------------- */

/* Where the unread ones begin: a line is drawn above it. */
void pv_tui_find_new(struct pv_tui_conv *c);
/* The one that was asked for: the line that was begun meanwhile goes along. Nobody
 * who writes to another one by now is taken away from there, which is said. False: so it was. */
bool pv_tui_open_asked(struct pv_tui *t, size_t index);

/* --- tuisearch.c ----------------------------------------------------------------------------- */

/* Nothing is looked for in all conversations any longer. */
void pv_tui_end_search(struct pv_tui *t);
/* Looks for the word in the lines before the one with index end. */
void pv_tui_seek(struct pv_tui *t, struct pv_tui_conv *c, size_t end);

/* --- tuigift.c ------------------------------------------------------------------------------- */

/* Did another node offer it? */
bool pv_tui_file_is_in(const json_t *file);
/* The line of a room that offers the file: it has the file's id, and is of who sends it, so that
 * nobody hides an offer of his behind another's line. A file that comes in is told in no line
 * that names another one: a person accepts what the line says. */
struct pv_tui_line *pv_tui_offer_of(struct pv_tui *t, const json_t *file, size_t *ret_index);
/* The conversation in which a file is told: its room, or that of its peer. SIZE_MAX: none. */
size_t pv_tui_place_to_tell(struct pv_tui *t, const json_t *file, struct pv_tui_line **ret_line);
/* A line that was said: of a file for a room, the file is offered now. */
void pv_tui_give(struct pv_tui *t, const json_t *msg);
/* The line of a sender counts the members that have it, the line at a receiver says how to answer.
 */
void pv_tui_tell_in_room(struct pv_tui *t, const json_t *files, const json_t *f);

/* --- tuimessages.c --------------------------------------------------------------------------- */

/* Fills what a message says; *ret_peer is the other side. */
struct pv_tui_line pv_tui_line_of(const struct pv_tui *t, const json_t *msg,
                                  char ret_peer[static PV_NAME_BUF]);
/* A notice stays behind the line that it stood behind, whose id is before: what was written while
 * p2pvpnd was away has an earlier time, and stands below. "": the order of times decides, below the
 * last change of hands, and a line that has none goes to the end. */
void pv_tui_insert_line(struct pv_tui_conv *c, struct pv_tui_line line, const char *before);
/* Notices stay where they are, but for those right above a line. */
void pv_tui_sort_room(struct pv_tui_conv *c);
/* The notice of a change of hands in a room stands right above the line that brought it: it has an
 * earlier time. False: c has no such line. */
bool pv_tui_keep_over(struct pv_tui_conv *c, struct pv_tui_line notice);
/* Each pane says it itself: a line of a room tells a person who then writes in another nothing. */
json_t *pv_tui_told_in(struct pv_tui *t, const struct pv_tui_conv *c);
/* The change of hands of this name that the pane has told last; 0: none. */
double pv_tui_told_since(struct pv_tui *t, const struct pv_tui_conv *c, const char *name);

/* --- tuihistory.c ---------------------------------------------------------------------------- */

/* Tells below its lines that the name is another machine's. */
void pv_tui_tell_hands(struct pv_tui *t, struct pv_tui_conv *c, const char *text, double at);
/* The name of the conversation was another machine's before: said once, unless a message did. */
bool pv_tui_tell_change(struct pv_tui *t, struct pv_tui_conv *c, const char *name, const char *key,
                        double since, double at);

/* --- tuipeers.c ------------------------------------------------------------------------------ */

/* A line that was typed before was for the other one. */
void pv_tui_take_another(struct pv_tui *t, struct pv_tui_conv *c);
