/* SPDX-License-Identifier: MIT */
/* tuiasked.c - what p2pvpnd is asked for, and what becomes of a request. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chat/screen/model/tuimodel_int.h"

void pv_tui_show_waiting(struct pv_tui *t, struct pv_tui_action *a)
{
    size_t index = a->kind == PV_TUI_SEND && a->text != NULL && a->wait == 0
                       ? pv_tui_find(t, a->peer, false)
                       : SIZE_MAX;
    if (index == SIZE_MAX)
        return;
    struct pv_tui_line line = {
        .outgoing = true, .state = PV_CHAT_QUEUED, .time = t->now, .sort = t->now};
    a->wait = ++t->last_wait;
    snprintf(line.id, sizeof(line.id), "~%" PRIu64, a->wait);
    line.text = pv_tui_harmless(a->text);
    (void)pv_tui_add_line(&t->convs[index], line);
}

void pv_tui_hide_waiting(struct pv_tui *t, struct pv_tui_action *a)
{
    const char *id = PV_STR("~%" PRIu64, a->wait);
    /* The pane may have another name since. */
    for (size_t i = 0; a->wait > 0 && i < t->n_convs; i++) {
        struct pv_tui_line *line = pv_tui_find_line(&t->convs[i], id);
        if (line != NULL)
            pv_tui_drop_line(&t->convs[i], line);
    }
    a->wait = 0;
}

/* The pane that asked; its machine may have another name since. */
size_t pv_tui_pane_of(struct pv_tui *t, const struct pv_tui_action *a)
{
    size_t index = pv_tui_find(t, a->peer, false);
    for (size_t i = 1; index == SIZE_MAX && a->address[0] != '\0' && i < t->n_convs; i++) {
        if (strcmp(t->convs[i].address, a->address) == 0)
            index = i;
    }
    return index;
}

/* A line or a file is for the machine that has the name now; of a room this goes for everything.
 * A room that is to be made has none. */
static void set_address(struct pv_tui *t, struct pv_tui_action *a)
{
    bool of_room = pv_tui_is_room(a->peer) && a->kind != PV_TUI_MAKE;
    bool gives = a->kind == PV_TUI_SEND || a->kind == PV_TUI_SEND_FILE;
    size_t index = of_room || gives ? pv_tui_find(t, a->peer, false) : SIZE_MAX;
    if (index != SIZE_MAX && a->address[0] == '\0')
        memcpy(a->address, t->convs[index].address, sizeof(a->address));
}

/* A slash at the beginning would make a command of a text. */
static char *as_typed(const char *text)
{
    size_t len = strlen(text);
    char *line = malloc(len + 2);
    if (line == NULL)
        return NULL;
    line[0] = '/';
    memcpy(line + (text[0] == '/'), text, len + 1);
    return line;
}

/* The line that asked for the action; the caller's. NULL: no line did, or there is no memory. */
static char *line_typed(const struct pv_tui_action *action)
{
    static const char word[] = "/send-file ";
    char *line = NULL;
    struct pv_tui_words w;
    /* One of a file for a room, with the id of the room's line, was typed in the room. */
    const bool typed =
        action->kind == PV_TUI_SEND || (action->kind == PV_TUI_SEND_FILE && action->id[0] == '\0');
    if (action->text == NULL || !typed)
        return NULL;
    (void)pv_tui_split(action->text, &w);
    /* "exit" is a text there; and one that was typed here, as "send me word", was one before. */
    if (action->kind == PV_TUI_SEND && w.is_command && w.classic && action->named)
        return asprintf(&line, "/msg %s %s", action->peer, action->text) < 0 ? NULL : line;
    if (action->kind == PV_TUI_SEND)
        return as_typed(action->text);
    line = malloc(strlen(action->text) + sizeof(word));
    if (line != NULL)
        memcpy(mempcpy(line, word, sizeof(word) - 1), action->text, strlen(action->text) + 1);
    return line;
}

/* Where p2pvpnd names `p2pvpnctl peers`, of whatever network, this screen has /peers. */
void pv_tui_note_error(struct pv_tui *t, const char *error)
{
    static const char begin[] = "`p2pvpnctl ", end[] = " peers`";
    const char *from = strstr(error, begin), *to = from == NULL ? NULL : strchr(from + 1, '`');
    const size_t tail = sizeof(end) - 1;
    if (to != NULL && (size_t)(to - from) >= tail && strncmp(to + 1 - tail, end, tail) == 0)
        pv_tui_note(t, "%.*s/peers%s", (int)(from - error), error, to + 1);
    else
        pv_tui_note(t, "%s", error);
}

/* The pane into which the line of the action goes back. It may be gone since, and the name another
 * one's, who gets the line only if the person says so. SIZE_MAX: there is no room for a pane. */
static size_t pane_for(struct pv_tui *t, const struct pv_tui_action *action)
{
    size_t index = pv_tui_pane_of(t, action);
    index = index != SIZE_MAX ? index : pv_tui_find(t, action->peer, true);
    if (index == SIZE_MAX)
        return SIZE_MAX;
    struct pv_tui_conv *c = &t->convs[index];
    if (c->address[0] == '\0')
        memcpy(c->address, action->address, sizeof(c->address));
    else if (action->address[0] != '\0' && strcmp(c->address, action->address) != 0)
        c->is_another = true;
    return index;
}

void pv_tui_give_back(struct pv_tui *t, const char *error, const struct pv_tui_action *action)
{
    pv_tui_note_error(t, error);
    char *line = line_typed(action);
    const size_t index = line == NULL ? SIZE_MAX : pane_for(t, action);
    if (index == SIZE_MAX) {
        free(line);
        return;
    }
    struct pv_tui_conv *c = &t->convs[index];
    /* A line that was begun since the failed one was sent must not be overwritten. */
    const bool one_line = strchr(line, '\n') == NULL; /* the input line has no others */
    if (index == t->current && t->edit.len == 0 && one_line) {
        t->line_is_for_it = false;
        pv_tuiedit_set(&t->edit, line);
    } else if (index != t->current && c->draft == NULL && one_line) {
        c->draft = line;
        line = NULL;
    } else {
        pv_tui_notice(t, c, pv_tui_is_perhaps(error) ? PV_TUI_PERHAPS " sent:" : "not sent:");
        pv_tui_notice(t, c, action->kind == PV_TUI_SEND ? action->text : line);
    }
    free(line);
    if (index == t->current)
        return;
    if (++c->given_back == 1)
        pv_tui_note(t, "%s: the text waits in %s", error, c->name);
    else
        pv_tui_note(t, "%s: %u texts wait in %s", error, c->given_back, c->name);
}

bool pv_tui_want_action(struct pv_tui *t, struct pv_tui_action *a)
{
    set_address(t, a);
    /* The text goes back into the input line, so that nothing that was typed is lost. */
    if (t->n_actions == PV_TUI_MAX_ACTIONS) {
        pv_tui_give_back(t, "too many requests: try again in a moment", a);
        free(a->text);
        return false;
    }
    if (t->lost)
        pv_tui_show_waiting(t, a);
    if (t->lost && a->kind != PV_TUI_SEND && pv_tui_does(a->kind))
        pv_tui_note(t, "that waits until p2pvpnd runs again");
    t->actions[t->n_actions++] = *a;
    return true;
}

bool pv_tui_want(struct pv_tui *t, enum pv_tui_action_kind kind, const char *peer, char *text)
{
    struct pv_tui_action a = {.kind = kind, .text = text};
    snprintf(a.peer, sizeof(a.peer), "%s", peer);
    return pv_tui_want_action(t, &a);
}

bool pv_tui_want_at(struct pv_tui *t, enum pv_tui_action_kind kind, const char *peer,
                    const char *address, char *text)
{
    struct pv_tui_action a = {.kind = kind, .text = text};
    snprintf(a.peer, sizeof(a.peer), "%s", peer);
    snprintf(a.address, sizeof(a.address), "%s", address);
    return pv_tui_want_action(t, &a);
}

bool pv_tui_want_older(struct pv_tui *t, struct pv_tui_conv *c)
{
    size_t first = c->n_lines;
    if (c->older_asked)
        return true;
    /* Notices have no id that the daemon knows: the message that came first is the place to go on
     * from. */
    for (size_t i = 0; i < c->n_lines; i++) {
        const bool is_message = c->lines[i].id[0] != '\0' && c->lines[i].id[0] != '~';
        if (is_message && (first == c->n_lines || c->lines[i].order < c->lines[first].order))
            first = i;
    }
    if (!c->more || first == c->n_lines || c->n_lines + PV_CTLAPI_MAX_HISTORY > PV_TUI_MAX_LINES)
        return false;
    char *id = t->n_actions < PV_TUI_MAX_ACTIONS ? strdup(c->lines[first].id) : NULL;
    c->older_asked = id != NULL && pv_tui_want(t, PV_TUI_OLDER, c->name, id);
    return c->older_asked;
}

void pv_tui_want_list(struct pv_tui *t, enum pv_tui_action_kind kind)
{
    for (size_t i = 0; i < t->n_actions; i++) {
        if (t->actions[i].kind == kind)
            return;
    }
    (void)pv_tui_want(t, kind, "", NULL);
}

const char *pv_tui_word_of(enum pv_tui_action_kind kind)
{
    static const char *const words[PV_TUI_SAVED + 1] = {
        [PV_TUI_ACCEPT] = "/accept",    [PV_TUI_REFUSE] = "/refuse", [PV_TUI_SAVE] = "/get",
        [PV_TUI_MAKE] = "/room create", [PV_TUI_INVITE] = "/invite", [PV_TUI_LEAVE] = "/leave",
        [PV_TUI_JOIN] = "/room accept", [PV_TUI_MUTE] = "/mute",     [PV_TUI_UNMUTE] = "/unmute",
    };
    return words[kind];
}

bool pv_tui_is_perhaps(const char *words)
{
    return strncmp(words, PV_TUI_PERHAPS, sizeof(PV_TUI_PERHAPS) - 1) == 0;
}

bool pv_tui_does(enum pv_tui_action_kind kind)
{
    return kind == PV_TUI_SEND || kind == PV_TUI_SEND_FILE || pv_tui_word_of(kind) != NULL;
}

/* The first that can be asked; n_actions: there is none. */
static size_t next_action(const struct pv_tui *t)
{
    size_t i = 0;
    while (i < t->n_actions && t->saves_wait && t->actions[i].kind == PV_TUI_SAVE)
        i++;
    return i;
}

bool pv_tui_has_to_ask(const struct pv_tui *t)
{
    return next_action(t) < t->n_actions;
}

int pv_tui_poll(struct pv_tui *t, struct pv_tui_action *ret_action)
{
    size_t i = next_action(t);
    if (i == t->n_actions)
        return PV_ERR_AGAIN;
    *ret_action = t->actions[i];
    memmove(t->actions + i, t->actions + i + 1, (--t->n_actions - i) * sizeof(t->actions[0]));
    pv_tui_hide_waiting(t, ret_action);
    return PV_OK;
}
