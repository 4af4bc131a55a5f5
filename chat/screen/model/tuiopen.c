/* SPDX-License-Identifier: MIT */
/* tuiopen.c - which conversation is open, and what was read in it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chat/screen/model/tuimodel_int.h"

/* Up to that message; false: no memory. */
static bool want_read(struct pv_tui *t, const struct pv_tui_conv *c, const char *id)
{
    char *last = strdup(id);
    if (last == NULL)
        return false;
    for (size_t k = 0; k < t->n_actions; k++) {
        if (t->actions[k].kind == PV_TUI_READ && strcmp(t->actions[k].peer, c->name) == 0) {
            free(t->actions[k].text);
            t->actions[k].text = last;
            return true;
        }
    }
    return pv_tui_want(t, PV_TUI_READ, c->name, last);
}

static void is_read_now(struct pv_tui_conv *c, struct pv_tui_line *line)
{
    if (!pv_tui_is_unread(line) || c->unread == 0)
        return;
    line->state = PV_CHAT_READ;
    c->unread--;
    c->named = c->named && c->unread > 0;
}

/* p2pvpnd takes every line that came before a line as read, too: a line behind one that nobody saw
 * waits for it. */
void pv_tui_mark_read(struct pv_tui *t, struct pv_tui_conv *c)
{
    unsigned n = 0;
    size_t first = c->n_lines;
    int64_t unseen = INT64_MAX; /* the order of the first line that nobody saw */
    const struct pv_tui_line *last = NULL;
    if (t->counting)
        return;
    while (first > 0 && n < c->unread) {
        const struct pv_tui_line *line = &c->lines[--first];
        n += pv_tui_is_unread(line);
        if (pv_tui_is_unread(line) && !line->shown && line->order < unseen)
            unseen = line->order;
    }
    if (n < c->unread && c->more)
        return; /* the others are older than what is here */
    c->unread = n;
    c->named = c->named && n > 0;
    for (size_t i = first; i < c->n_lines; i++) {
        const struct pv_tui_line *line = &c->lines[i];
        if (pv_tui_is_unread(line) && line->order < unseen &&
            (last == NULL || line->order > last->order))
            last = line;
    }
    const int64_t upto = last == NULL ? 0 : last->order;
    if (last == NULL || !want_read(t, c, last->id))
        return;
    for (size_t i = first; i < c->n_lines; i++) {
        if (c->lines[i].order <= upto)
            is_read_now(c, &c->lines[i]);
    }
}

/* The ids are in the order of the lines, so each is looked for behind the one before, and where it
 * is not, from the beginning. */
static void read_ids(struct pv_tui_conv *c, const json_t *ids)
{
    size_t at = 0;
    PV_EACH_JSON(ids, id) {
        for (size_t i = 0; c->unread > 0 && i < c->n_lines; i++) {
            struct pv_tui_line *line = &c->lines[(at + i) % c->n_lines];
            if (strcmp(line->id, pv_json_string(id)) != 0)
                continue;
            is_read_now(c, line);
            at += i;
            break;
        }
    }
}

/* In all conversations: the sender may have been renamed since. */
void pv_tui_take_read(struct pv_tui *t, const json_t *body)
{
    for (size_t i = 0; i < t->n_convs; i++)
        read_ids(&t->convs[i], json_object_get(body, "ids"));
}

void pv_tui_find_new(struct pv_tui_conv *c)
{
    unsigned left = c->unread;
    c->new_from[0] = '\0';
    for (size_t i = c->n_lines; i > 0 && left > 0; i--) {
        const struct pv_tui_line *line = &c->lines[i - 1];
        if (!pv_tui_is_unread(line))
            continue;
        left--;
        memcpy(c->new_from, line->id, sizeof(c->new_from));
    }
}

static void open_it(struct pv_tui *t, size_t index)
{
    struct pv_tui_conv *c = &t->convs[index];
    if (index != t->current) {
        free(t->paste); /* it was for the other one */
        t->paste = NULL;
        pv_tui_change_line(t, &t->convs[t->current], c);
        t->line_is_for_it = t->line_is_for_any = false;
    }
    t->current = index;
    c->found = c->came = c->offers = c->given_back = 0;
    c->seeks = false;
    pv_tui_find_new(c);
    t->note[0] = '\0';
    c->scroll = 0;
    /* Each history is asked for once: pv_tui_take_history() replaces all lines, and events keep
     * them up to date afterwards. The network's pane (index 0) has no other side to ask about. */
    if (index > 0 && !c->asked)
        c->asked = pv_tui_want(t, PV_TUI_HISTORY, c->name, NULL);
}

/* goes: the line that was begun goes along, unless the conversation has one. */
static void open_with_line(struct pv_tui *t, size_t index, bool goes)
{
    goes = goes && index != t->current && t->convs[index].draft == NULL;
    char *line = goes ? strdup(t->edit.text) : NULL;
    if (line != NULL)
        pv_tuiedit_set(&t->edit, "");
    open_it(t, index);
    if (line != NULL)
        pv_tuiedit_set(&t->edit, line);
    free(line);
}

void pv_tui_open(struct pv_tui *t, size_t index)
{
    if (index < t->n_convs)
        open_with_line(t, index, t->line_is_for_any);
}

bool pv_tui_open_asked(struct pv_tui *t, size_t index)
{
    if (!t->line_is_for_it && t->edit.len > 0) {
        pv_tui_note(t, "%.63s is there: /open %.63s", t->convs[index].name, t->convs[index].name);
        return false;
    }
    open_with_line(t, index, t->line_is_for_it);
    return true;
}

bool pv_tui_want_open(struct pv_tui *t, enum pv_tui_action_kind kind, const char *name)
{
    if (t->lost)
        pv_tui_note(t, "p2pvpnd is not running: try again when it runs");
    if (t->lost || !pv_tui_want(t, kind, name, NULL))
        return false;
    snprintf(t->opening, sizeof(t->opening), "%s", name);
    t->line_is_for_it = true;
    t->opening_by = kind == PV_TUI_MAKE ? "/room create" : "/open";
    return true;
}

/* A person who was given the command back goes elsewhere, and shall not be taken away from there.
 */
static void drop_openings(struct pv_tui *t)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->n_actions; i++) {
        const bool opens = t->actions[i].kind == PV_TUI_FORMER || t->actions[i].kind == PV_TUI_MAKE;
        if (opens)
            free(t->actions[i].text);
        else
            t->actions[kept++] = t->actions[i];
    }
    t->n_actions = kept;
}

void pv_tui_miss(struct pv_tui *t)
{
    char *line = NULL;
    drop_openings(t);
    /* Another one may have been opened meanwhile: what is typed is for that one. The blank keeps
     * what follows from being a part of the name. */
    if (t->opening[0] != '\0' && t->line_is_for_it &&
        asprintf(&line, "%s %s %s", t->opening_by, t->opening, t->edit.text) > 0) {
        pv_tuiedit_set(&t->edit, line);
        free(line);
    }
    t->opening[0] = '\0';
}
