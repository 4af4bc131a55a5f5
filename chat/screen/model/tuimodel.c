/* SPDX-License-Identifier: MIT */
/* tuimodel.c - the chat's knowledge: conversations, their lines, who is there; and what it wants
 * asked. Pure: no terminal and no socket, so that a test can type and answer. */
#include "chat/screen/model/tuimodel.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/harmless.h"
#include "base/log.h"
#include "base/text.h"
#include "base/vec.h"
#include "chat/proto/room.h"
#include "ctl/lib/show.h"
#include "proto/local/remedy.h"

static struct pv_tui_line *find_line(struct pv_tui_conv *c, const char *id);
static void give(struct pv_tui *t, const json_t *msg);
static void change_line(struct pv_tui *t, struct pv_tui_conv *from, struct pv_tui_conv *to);
static void seek(struct pv_tui *t, struct pv_tui_conv *c, size_t end);

void pv_tui_note(struct pv_tui *t, const char *fmt, ...)
{
    char said[PV_TUI_NOTE], text[PV_TUI_NOTE];
    va_list ap;
    if (t->paste != NULL)
        return; /* the question about it stands there until it is answered */
    va_start(ap, fmt);
    vsnprintf(said, sizeof(said), fmt, ap);
    va_end(ap);
    pv_remedy_name(t->flag, t->own, said, text, sizeof(text));
    /* The bar has one row. The text may come from another node: pv_harmless_show() takes the
     * control characters out of it that could command the terminal. */
    text[strcspn(text, "\n")] = '\0';
    pv_harmless_show(pv_view(text, strlen(text)), t->note, sizeof(t->note));
    t->note_id[0] = '\0';
}

/* --- conversations --------------------------------------------------------------------------- */

int pv_tui_init(struct pv_tui *t)
{
    /* Index 0 exists from the beginning: "current" points to it, and notices need a pane. */
    memset(t, 0, sizeof(*t));
    t->flag = "";
    pv_tui_settings_init(&t->set);
    t->told = json_object();
    t->heard = json_object();
    if (t->told != NULL && t->heard != NULL && pv_tui_find(t, "", true) != SIZE_MAX) {
        change_line(t, &t->convs[0], &t->convs[0]);
        return PV_OK;
    }
    pv_tui_done(t);
    return PV_ERR_NOMEM;
}

static void drop_lines(struct pv_tui_line *lines, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(lines[i].text);
}

static void free_pane(struct pv_tui_conv *c)
{
    drop_lines(c->lines, c->n_lines);
    free(c->lines);
    free(c->draft);
    free(c->sought);
    pv_tuipast_free(c->past);
}

void pv_tui_done(struct pv_tui *t)
{
    for (size_t i = 0; i < t->n_convs; i++)
        free_pane(&t->convs[i]);
    free(t->convs);
    free(t->order);
    free(t->paste);
    free(t->gift.path);
    json_decref(t->gift.members);
    free(t->search.text);
    json_decref(t->search.lines);
    for (size_t i = 0; i < t->n_actions; i++)
        free(t->actions[i].text);
    pv_tuiedit_done(&t->edit);
    json_decref(t->told);
    json_decref(t->heard);
    memset(t, 0, sizeof(*t));
}

/* Sorted by name, so that the roster is too; "" is the network's own pane, which therefore comes
 * first. Inserting moves the one that is open. */
size_t pv_tui_find(struct pv_tui *t, const char *name, bool create)
{
    size_t low = 0, high = t->n_convs;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int r = strcmp(name, t->convs[mid].name);
        if (r == 0)
            return mid;
        if (r < 0)
            high = mid;
        else
            low = mid + 1;
    }
    if (!create || strlen(name) > PV_NAME_MAX || t->n_convs == PV_TUI_MAX_CONVS)
        return SIZE_MAX;
    if (t->n_convs == t->cap_convs) {
        size_t cap = t->cap_convs == 0 ? 16 : 2 * t->cap_convs;
        struct pv_tui_conv *grown = reallocarray(t->convs, cap, sizeof(*grown));
        if (grown == NULL)
            return SIZE_MAX;
        t->convs = grown;
        size_t *order = reallocarray(t->order, cap, sizeof(*order));
        if (order == NULL)
            return SIZE_MAX;
        t->order = order;
        t->cap_convs = cap;
    }
    struct pv_tui_conv *c = &t->convs[low];
    memmove(c + 1, c, (t->n_convs - low) * sizeof(*c));
    *c = (struct pv_tui_conv){.rtt_ms = -1, .path = "none", .another_since = -1};
    memcpy(c->name, name, strlen(name) + 1);
    if (t->n_convs++ > 0 && low <= t->current)
        t->current++;
    return low;
}

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

/* The order in which a person wants to see them: 0 the network's own, then unread, there, away,
 * left, and names that nobody has any more, with whom nothing was said. */
static int rank_of(const struct pv_tui_conv *c)
{
    if (c->name[0] == '\0')
        return 0;
    if (pv_tui_conv_news(c) > 0)
        return 1;
    if (!c->is_listed && !pv_tui_conv_is_room(c) && c->n_lines == 0 && c->draft == NULL)
        return 5;
    return c->part == PV_TUI_LEFT ? 4 : c->online || pv_tui_conv_is_room(c) ? 2 : 3;
}

size_t pv_tui_sort(struct pv_tui *t)
{
    size_t n = 0, place = 0;
    for (int rank = 0; rank < 6; rank++) {
        for (size_t i = 0; i < t->n_convs; i++) {
            if (rank_of(&t->convs[i]) != rank)
                continue;
            if (i == t->current)
                place = n;
            t->order[n++] = i;
        }
    }
    return place;
}

/* Each conversation keeps its own unfinished line and the lines before it: what was typed for one
 * is never sent to another. */
static void change_line(struct pv_tui *t, struct pv_tui_conv *from, struct pv_tui_conv *to)
{
    const struct pv_tuiedit *e = &t->edit;
    bool past = e->past != NULL && e->shown < e->past->n; /* a former line is looked at */
    const char *begun = past && e->draft != NULL && e->draft[0] != '\0' ? e->draft : e->text;
    free(from->draft);
    from->draft = begun[0] != '\0' ? strdup(begun) : NULL;
    if (to->past == NULL)
        to->past = calloc(1, sizeof(*to->past));
    pv_tuiedit_move(&t->edit, to->past, to->draft == NULL ? "" : to->draft);
    free(to->draft);
    to->draft = NULL;
    to->is_another = to->is_another || to->has_old_draft;
    to->has_old_draft = false;
}

/* Where the unread ones begin: a line is drawn above it. */
static void find_new(struct pv_tui_conv *c)
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
        change_line(t, &t->convs[t->current], c);
        t->line_is_for_it = t->line_is_for_any = false;
    }
    t->current = index;
    c->found = c->came = c->offers = c->given_back = 0;
    c->seeks = false;
    find_new(c);
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

/* The one that was asked for: the line that was begun meanwhile goes along. A
 * person who writes to another one by now is not taken away from there, which is said. */
static bool open_asked(struct pv_tui *t, size_t index)
{
    if (!t->line_is_for_it && t->edit.len > 0) {
        pv_tui_note(t, "%.63s is there: /open %.63s", t->convs[index].name, t->convs[index].name);
        return false;
    }
    open_with_line(t, index, t->line_is_for_it);
    return true;
}

/* --- lines ----------------------------------------------------------------------------------- */

/* Among the newest lines, since what is told twice or changes its state is not long ago; NULL: none
 * has this id. */
static struct pv_tui_line *find_line(struct pv_tui_conv *c, const char *id)
{
    size_t end = c->n_lines > PV_TUI_RECENT ? c->n_lines - PV_TUI_RECENT : 0;
    for (size_t i = c->n_lines; i > end && id[0] != '\0'; i--) {
        if (strcmp(c->lines[i - 1].id, id) == 0)
            return &c->lines[i - 1];
    }
    return NULL;
}

static void drop_line(struct pv_tui_conv *c, struct pv_tui_line *line)
{
    size_t at = (size_t)(line - c->lines);
    free(line->text);
    memmove(line, line + 1, (--c->n_lines - at) * sizeof(*line));
    c->found = 0; /* the lines have other numbers now */
    c->show_found = false;
}

static void move_to_end(struct pv_tui_conv *c, struct pv_tui_line *line)
{
    const struct pv_tui_line moved = *line;
    size_t behind = c->n_lines - 1 - (size_t)(line - c->lines);
    if (behind == 0)
        return;
    memmove(line, line + 1, behind * sizeof(*line));
    c->lines[c->n_lines - 1] = moved;
    c->found = 0; /* the lines have other numbers now */
    c->show_found = false;
}

/* Takes the line's text, also when there is no room. */
static bool add_line(struct pv_tui_conv *c, struct pv_tui_line line)
{
    if (line.text == NULL)
        return false;
    /* A chat that runs for months must not grow without bound: the oldest line goes, and p2pvpnd
     * still has it. */
    if (c->n_lines == PV_TUI_MAX_LINES) {
        c->more = true;
        free(c->lines[0].text);
        memmove(c->lines, c->lines + 1, --c->n_lines * sizeof(c->lines[0]));
    }
    void *grown = pv_vec_room(c->lines, c->n_lines, &c->cap, 64, sizeof(c->lines[0]));
    if (grown == NULL) {
        free(line.text);
        return false;
    }
    c->lines = grown;
    c->lines[c->n_lines++] = line;
    return true;
}

/* A harmless copy; a newline of the text stays one. NULL without memory. */
static char *harmless(const char *text)
{
    size_t len = strlen(text), cap = 5 * len + 1;
    char *copy = malloc(cap);
    if (copy != NULL)
        pv_harmless_show(pv_view(text, len), copy, cap);
    return copy;
}

static struct pv_tui_line notice_of(const struct pv_tui *t, const char *text, double time)
{
    return (struct pv_tui_line){
        .text = harmless(text), .time = time, .sort = time > 0 ? time : t->now};
}

void pv_tui_notice_at(struct pv_tui *t, struct pv_tui_conv *c, const char *text, double time)
{
    if (add_line(c, notice_of(t, text, time)))
        c->came += c == &t->convs[t->current] && c->scroll > 0;
}

void pv_tui_notice(struct pv_tui *t, struct pv_tui_conv *c, const char *text)
{
    pv_tui_notice_at(t, c, text, t->now);
}

/* --- what is asked for ----------------------------------------------------------------------- */

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
    line.text = harmless(a->text);
    (void)add_line(&t->convs[index], line);
}

void pv_tui_hide_waiting(struct pv_tui *t, struct pv_tui_action *a)
{
    const char *id = PV_STR("~%" PRIu64, a->wait);
    /* The pane may have another name since. */
    for (size_t i = 0; a->wait > 0 && i < t->n_convs; i++) {
        struct pv_tui_line *line = find_line(&t->convs[i], id);
        if (line != NULL)
            drop_line(&t->convs[i], line);
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

static bool want(struct pv_tui *t, struct pv_tui_action *a)
{
    set_address(t, a);
    /* The text goes back into the input line, so that nothing that was typed is lost. */
    if (t->n_actions == PV_TUI_MAX_ACTIONS) {
        pv_tui_take_error(t, "too many requests: try again in a moment", a);
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
    return want(t, &a);
}

static bool want_at(struct pv_tui *t, enum pv_tui_action_kind kind, const char *peer,
                    const char *address, char *text)
{
    struct pv_tui_action a = {.kind = kind, .text = text};
    snprintf(a.peer, sizeof(a.peer), "%s", peer);
    snprintf(a.address, sizeof(a.address), "%s", address);
    return want(t, &a);
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

/* The command that asks for it; NULL: a line, a file, or nothing that changes anything. */
static const char *word_of(enum pv_tui_action_kind kind)
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
    return kind == PV_TUI_SEND || kind == PV_TUI_SEND_FILE || word_of(kind) != NULL;
}

void pv_tui_take_doubt(struct pv_tui *t, const struct pv_tui_action *action)
{
    const char *word = word_of(action->kind);
    if (word == NULL && pv_tui_does(action->kind))
        pv_tui_take_error(t, PV_TUI_PERHAPS " sent", action);
    else if (word != NULL) /* in the pane, for the bar is wanted for what happens next */
        pv_tui_notice(t, &t->convs[t->current],
                      PV_STR(PV_TUI_PERHAPS " done: %s %s", word,
                             action->text != NULL ? action->text : action->peer));
}

void pv_tui_again(struct pv_tui *t, const struct pv_tui_action *action)
{
    /* Before what was typed later, so that lines arrive in their order. */
    if (t->n_actions == PV_TUI_MAX_ACTIONS) {
        pv_tui_take_error(t, "too many requests: try again in a moment", action);
        free(action->text);
        return;
    }
    memmove(t->actions + 1, t->actions, t->n_actions++ * sizeof(t->actions[0]));
    t->actions[0] = *action;
    if (t->lost)
        pv_tui_show_waiting(t, &t->actions[0]);
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

/* --- messages -------------------------------------------------------------------------------- */

static enum pv_chat_state state_of(const char *name)
{
    for (int s = PV_CHAT_QUEUED; s <= PV_CHAT_UNREAD; s++) {
        if (strcmp(name, pv_chat_state_name((enum pv_chat_state)s)) == 0)
            return (enum pv_chat_state)s;
    }
    /* A name that is not known here comes from a newer daemon; the lowest state claims nothing
     * that may not have happened. */
    return PV_CHAT_QUEUED;
}

/* Does the text have the word, and not as a part of another one? */
static bool has_word(const char *text, const char *word)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    size_t len = strlen(word);
    for (const char *p = text; len > 0 && (p = strcasestr(p, word)) != NULL; p++) {
        bool begins = p == text || strchr(letters, p[-1]) == NULL;
        if (begins && (p[len] == '\0' || strchr(letters, p[len]) == NULL))
            return true;
    }
    return false;
}

/* This node's name, or a word that the user looks for. */
static bool is_for_me(const struct pv_tui *t, const char *text)
{
    bool found = has_word(text, t->me);
    for (size_t i = 0; i < t->set.n_highlight && !found; i++)
        found = has_word(text, t->set.highlight[i]);
    return found;
}

/* Fills what a message says; *ret_peer is the other side. */
static struct pv_tui_line line_of(const struct pv_tui *t, const json_t *msg,
                                  char ret_peer[static PV_NAME_BUF])
{
    struct pv_tui_line line = {.time = pv_json_real(msg, "time", 0)};
    line.sort = line.time;
    char brief[PV_KEY_SHORT_BUF];
    const char *from = pv_json_text(msg, "from", "");
    /* Not by the name: the machine may have got another since this chat began. */
    line.outgoing = pv_json_bool(msg, "own");
    line.unproven = pv_json_bool(msg, "unproven");
    line.state = state_of(pv_json_text(msg, "state", ""));
    snprintf(line.id, sizeof(line.id), "%s", pv_json_text(msg, "id", ""));
    /* The view prints the name as it is, so only a valid name, which cannot contain control
     * characters, gets through. */
    snprintf(line.from, sizeof(line.from), "%s", pv_name_is_valid(from) ? from : "?");
    snprintf(line.key, sizeof(line.key), "%s", pv_json_text(msg, "from_key", ""));
    const char *other = line.outgoing ? pv_json_text(msg, "to", "") : from;
    /* Of a machine whose name is another's by now: not a line of that other one. */
    const char *former = pv_json_text(msg, line.outgoing ? "to_former" : "from_former", "");
    line.former = former[0] != '\0';
    if (json_is_string(json_object_get(msg, "room")))
        other = pv_json_text(msg, "room", "");
    else if (former[0] != '\0')
        other = pv_key_shorten(former, brief);
    snprintf(ret_peer, PV_NAME_BUF, "%.*s", PV_NAME_MAX, other);
    if (json_is_string(json_object_get(msg, "room")) && !line.outgoing) {
        line.named = is_for_me(t, pv_json_text(msg, "text", ""));
        if (line.former)
            pv_key_shorten(former, line.brief);
    }
    return line;
}

/* A notice stays behind the line that it stood behind, whose id is before: what was written while
 * p2pvpnd was away has an earlier time, and stands below. "": the order of times decides, below the
 * last change of hands, and a line that has none goes to the end. */
static void insert_line(struct pv_tui_conv *c, struct pv_tui_line line, const char *before)
{
    if (!add_line(c, line))
        return;
    size_t at = c->n_lines - 1, known = at;
    while (before[0] != '\0' && known > 0 && strcmp(c->lines[known - 1].id, before) != 0)
        known--;
    /* Behind those that were put there already. */
    while (before[0] != '\0' && known > 0 && known < at && c->lines[known].id[0] == '\0')
        known++;
    if (before[0] != '\0' && known > 0) {
        memmove(&c->lines[known + 1], &c->lines[known], (at - known) * sizeof(line));
        c->lines[known] = line;
        return;
    }
    while (line.sort > 0 && at > 0 && !c->lines[at - 1].hands &&
           c->lines[at - 1].sort > line.sort) {
        c->lines[at] = c->lines[at - 1];
        at--;
    }
    c->lines[at] = line;
}

/* A line of a room may come long after it was written, as behind an invitation that was accepted
 * late: the line with this index goes up to where its time is. Returns its index then. */
static size_t move_to_time(struct pv_tui_conv *c, size_t index)
{
    const struct pv_tui_line line = c->lines[index];
    size_t at = index;
    while (at > 0 && c->lines[at - 1].sort > line.sort)
        at--;
    if (at == index)
        return at;
    memmove(&c->lines[at + 1], &c->lines[at], (index - at) * sizeof(line));
    c->lines[at] = line;
    c->found += c->found > at; /* the lines below have other numbers now */
    return at;
}

/* Notices stay where they are, but for those right above a line. */
static void sort_room(struct pv_tui_conv *c)
{
    for (size_t i = 1; pv_tui_conv_is_room(c) && i < c->n_lines; i++) {
        const struct pv_tui_line *line = &c->lines[i];
        if (line->over[0] != '\0' || (line->id[0] != '\0' && line->id[0] != '~'))
            (void)move_to_time(c, i);
    }
}

/* The notice of a change of hands in a room stands right above the line that brought it: it has an
 * earlier time. False: c has no such line. */
static bool keep_over(struct pv_tui_conv *c, struct pv_tui_line notice)
{
    if (find_line(c, notice.over) == NULL)
        return false;
    if (!add_line(c, notice))
        return true;
    struct pv_tui_line *at = find_line(c, notice.over), *last = &c->lines[c->n_lines - 1];
    if (at != NULL) {
        memmove(at + 1, at, (size_t)(last - at) * sizeof(*at));
        *at = notice;
    }
    return true;
}

/* Each pane says it itself: a line of a room tells a person who then writes in another nothing. */
static json_t *told_in(struct pv_tui *t, const struct pv_tui_conv *c)
{
    if (json_object_get(t->told, c->name) == NULL)
        (void)json_object_set_new(t->told, c->name, json_object());
    return json_object_get(t->told, c->name);
}

/* The change of hands of this name that the pane has told last; 0: none. */
static double told_since(struct pv_tui *t, const struct pv_tui_conv *c, const char *name)
{
    return pv_json_real(told_in(t, c), name, 0);
}

void pv_tui_take_message(struct pv_tui *t, const json_t *msg)
{
    char peer[PV_NAME_BUF];
    struct pv_tui_line line = line_of(t, msg, peer);
    const size_t before = t->n_convs;
    size_t index = peer[0] == '\0' ? SIZE_MAX : pv_tui_find(t, peer, true);
    if (index == SIZE_MAX || line.id[0] == '\0')
        return;
    struct pv_tui_conv *c = &t->convs[index];
    /* A machine that came since the last list may be answered at once. */
    if (t->has_peers && !c->is_listed && !line.former && !pv_tui_conv_is_room(c))
        pv_tui_want_list(t, PV_TUI_PEERS);
    /* The last list of rooms passed over this one, as of those that were left it makes no pane. */
    if (t->n_convs > before && pv_tui_conv_is_room(c))
        pv_tui_want_list(t, PV_TUI_ROOMS);
    /* The daemon may tell one message twice: begin() of tui.c starts to watch before it asks for
     * the unread messages. */
    struct pv_tui_line *known = find_line(c, line.id);
    const bool shown = index == t->current && c->scroll == 0;
    if (known != NULL) {
        /* Unread ones are told in the order in which they came. That it was read may have been on
         * its way to a daemon that went. */
        if (!line.outgoing && line.state == PV_CHAT_UNREAD) {
            c->unread += known->state != PV_CHAT_UNREAD;
            known->state = PV_CHAT_UNREAD;
            known->order = ++t->last_order;
            if (!pv_tui_conv_is_room(c))
                move_to_end(c, known);
        }
        return;
    }
    char change[PV_SHOW_CHANGE_BUF];
    if (pv_show_change_once(told_in(t, c), msg, change) != NULL) {
        struct pv_tui_line notice =
            notice_of(t, change, pv_json_real(msg, "another_since", t->now));
        notice.hands = true;
        /* In a room others may have said much since: it is seen right above this line. */
        if (pv_tui_conv_is_room(c)) {
            memcpy(notice.over, line.id, sizeof(notice.over));
            notice.sort = line.sort;
            if (add_line(c, notice))
                (void)move_to_time(c, c->n_lines - 1);
        } else {
            insert_line(c, notice, "");
        }
        c->came += index == t->current && c->scroll > 0; /* what is looked at stays in its place */
    }
    line.text = harmless(pv_json_text(msg, "text", ""));
    bool unread = !line.outgoing && line.state == PV_CHAT_UNREAD;
    line.order = ++t->last_order;
    if (!add_line(c, line))
        return;
    const bool at_end =
        !pv_tui_conv_is_room(c) || move_to_time(c, c->n_lines - 1) + 1 == c->n_lines;
    if (pv_tui_conv_is_room(c) && pv_show_is_offer(line.text))
        pv_tui_want_list(t, PV_TUI_FILES);
    c->unread += unread;
    c->named = c->named || (unread && line.named);
    /* The lines above stay where they are, and new ones are below. */
    bool hidden = index == t->current && !shown;
    c->came += hidden && at_end;
    if (hidden && unread && c->unread == 1) /* the first of them */
        memcpy(c->new_from, line.id, sizeof(c->new_from));
    const bool is_new = unread && json_object_del(t->heard, line.id) != 0;
    t->ring = t->ring || (t->set.bell && is_new);
    /* The bar tells of those of other conversations, and of those below. */
    if (is_new && index != t->current)
        pv_tui_note(t, line.named ? "%s mentions you in %s" : "new from %s",
                    line.named ? line.from : c->name, c->name);
}

/* Of the conversation that is open they are read at once: the first of them has the mark, as it has
 * in one that is opened later. */
void pv_tui_take_unread(struct pv_tui *t, const json_t *messages)
{
    const bool marked = t->convs[t->current].new_from[0] != '\0';
    const size_t before = t->convs[t->current].n_lines;
    PV_EACH_JSON(messages, msg)
        pv_tui_take_message(t, msg);
    struct pv_tui_conv *now = &t->convs[t->current];
    if (!marked && now->n_lines > before)
        find_new(now);
}

void pv_tui_take_sent(struct pv_tui *t, const json_t *body)
{
    const json_t *msg = json_object_get(body, "message");
    const char *to = pv_json_text(msg, "to", "");
    size_t index = pv_tui_find(t, to, false);
    const double told = index == SIZE_MAX ? 0 : told_since(t, &t->convs[index], to);
    pv_tui_take_message(t, msg);
    give(t, msg);
    /* A user who answers has seen what was new, and has accepted an invitation. */
    if (index != SIZE_MAX) {
        t->convs[index].new_from[0] = '\0';
        if (t->convs[index].part == PV_TUI_INVITED)
            t->convs[index].part = PV_TUI_IN;
    }
    char text[PV_SHOW_SENT_BUF];
    bool waits;
    pv_show_sent(body, text, &waits);
    /* In the open conversation the line itself says that it was sent, but not whom rules keep from
     * it. */
    if (waits || (index != SIZE_MAX && index != t->current) ||
        json_array_size(json_object_get(body, "denied")) > 0)
        pv_tui_note(t, "%s", text);
    /* The notice of a change stands in a pane that is not shown. */
    const double since = index == SIZE_MAX ? 0 : told_since(t, &t->convs[index], to);
    char change[PV_SHOW_CHANGE_BUF];
    if (index != t->current && since > told)
        pv_tui_note(t, "%s; %s", text,
                    pv_show_change(to, since, pv_json_text(msg, "former", "?"), change));
    if (waits)
        snprintf(t->note_id, sizeof(t->note_id), "%s", pv_json_text(msg, "id", ""));
}

/* Tells below its lines that the name is another machine's. */
static void tell_hands(struct pv_tui *t, struct pv_tui_conv *c, const char *text, double at)
{
    const size_t before = c->n_lines;
    pv_tui_notice_at(t, c, text, at);
    if (c->n_lines > before)
        c->lines[before].hands = true;
}

/* The name of the conversation was another machine's before: said once, unless a message did. */
static bool tell_change(struct pv_tui *t, struct pv_tui_conv *c, const char *name, const char *key,
                        double since, double at)
{
    char text[PV_SHOW_CHANGE_BUF];
    if (since <= told_since(t, c, name))
        return false;
    (void)json_object_set_new(told_in(t, c), name, json_real(since));
    tell_hands(t, c, pv_show_change(name, since, key, text), at);
    return true;
}

/* How many lines of old are before the first that c has too; where it has none, before its time. */
static size_t first_known(struct pv_tui_conv *c, const struct pv_tui_conv *old)
{
    size_t i = 0, older = 0, first = 0;
    while (i < old->n_lines && find_line(c, old->lines[i].id) == NULL)
        i++;
    while (first < c->n_lines && c->lines[first].id[0] == '\0')
        first++; /* a notice above them */
    while (older < i && first < c->n_lines && old->lines[older].time < c->lines[first].time)
        older++;
    return i < old->n_lines ? i : older;
}

/* Everything that is unread is told again, and the rest is asked for when it is opened: what waits
 * for the daemon and notices stay. */
static void forget_messages(struct pv_tui *t, struct pv_tui_conv *c)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->n_lines; i++) {
        if (pv_tui_is_unread(&c->lines[i]))
            (void)json_object_set_new(t->heard, c->lines[i].id, json_true());
        if (c->lines[i].id[0] == '\0' || c->lines[i].id[0] == '~')
            c->lines[kept++] = c->lines[i];
        else
            free(c->lines[i].text);
    }
    c->n_lines = kept;
    c->unread = 0;
    c->named = false;
    c->found = 0; /* the lines have other numbers now */
}

/* Since when the name of the pane is its machine's; 0: nobody had it before. */
static double since_of(const struct pv_tui_conv *c, const json_t *changed)
{
    const bool own = strcmp(pv_json_text(changed, "name", c->name), c->name) == 0;
    return own ? pv_json_real(changed, "since", 0) : 0;
}

/* Is the name another machine's by this answer than by the one before? A change while p2pvpnd is
 * here is told below the lines, without an answer. */
static bool is_anothers(struct pv_tui_conv *c, const json_t *changed)
{
    const double since = since_of(c, changed);
    const char *former = since > 0 ? pv_json_text(changed, "key", "") : "";
    const bool other = c->told && (since != c->told_since || strcmp(former, c->told_former) != 0);
    c->told = true;
    c->told_since = since;
    snprintf(c->told_former, sizeof(c->told_former), "%s", former);
    return other;
}

/* Is it a notice of a machine that had the name before? That of a file has its key. */
static bool is_of_before(const struct pv_tui_line *line, const json_t *changed)
{
    return line->key[0] != '\0' ? !pv_json_is(changed, "now", line->key)
                                : line->time < pv_json_real(changed, "since", 0);
}

/* Moves notices from old to c: those up to the last change of hands that old tells of, and (anew,
 * else NULL) those of before this change. The one that has the name now may have written its lines
 * earlier, by another name, or by a clock that is behind. */
static void keep_above(struct pv_tui_conv *c, struct pv_tui_conv *old, const json_t *anew)
{
    size_t above = old->n_lines, kept = 0;
    while (above > 0 && !old->lines[above - 1].hands)
        above--;
    for (size_t i = 0; i < old->n_lines; i++) {
        const struct pv_tui_line *line = &old->lines[i];
        const bool goes = i < above || (anew != NULL && is_of_before(line, anew));
        if (goes && line->id[0] == '\0')
            (void)add_line(c, *line);
        else
            old->lines[kept++] = *line;
    }
    old->n_lines = kept;
}

/* A line that the answer has not. A message came after those that it has. */
static void insert_again(struct pv_tui *t, struct pv_tui_conv *c, struct pv_tui_line line,
                         const char *before)
{
    if (line.id[0] != '\0')
        line.order = ++t->last_order;
    insert_line(c, line, line.id[0] == '\0' ? before : "");
}

/* The answer takes the place of what is shown: lines that came by events meanwhile, and notices,
 * which the daemon does not know, stay where their time is. */
void pv_tui_take_history(struct pv_tui *t, const char *peer, const json_t *body)
{
    size_t index = pv_tui_find(t, peer, false), i;
    if (index == SIZE_MAX)
        return;
    struct pv_tui_conv *c = &t->convs[index];
    struct pv_tui_conv old = *c;
    c->lines = NULL;
    c->n_lines = c->cap = 0;
    /* All lines are of the one that has the name now. */
    const json_t *changed = json_object_get(body, "changed");
    const double since = pv_json_real(changed, "since", 0);
    const bool first = !c->told, anothers = is_anothers(c, changed);
    if (anothers)
        forget_messages(t, &old);
    if (anothers || since_of(c, changed) > 0)
        keep_above(c, &old, anothers ? changed : NULL);
    c->unread = old.unread;
    c->named = old.named;
    c->anew = false;
    /* A pane of a former name may be that of a machine with another one by now. */
    const char *name = pv_json_text(changed, "name", c->name);
    const char *key = pv_json_text(changed, "key", "?");
    char change[PV_SHOW_CHANGE_BUF];
    /* The lines of the answer may push the notice out of view, also one that a message brought. */
    const bool anew = tell_change(t, c, name, key, since, since) || (first && since > 0);
    if (anew && index == t->current && json_array_size(json_object_get(body, "messages")) > 0)
        pv_tui_note(t, "%s", pv_show_change(name, since, key, change));
    PV_EACH_JSON(json_object_get(body, "messages"), msg) {
        char other[PV_NAME_BUF];
        struct pv_tui_line line = line_of(t, msg, other);
        const struct pv_tui_line *known = find_line(&old, line.id);
        if (!line.outgoing && known != NULL) {
            line.state = known->state; /* what is read is counted by that */
            line.top = known->top;
            line.shown = known->shown;
        } else if (!line.outgoing) {
            c->unread += line.state == PV_CHAT_UNREAD;
        }
        line.text = harmless(pv_json_text(msg, "text", ""));
        line.order = ++t->last_order;
        (void)add_line(c, line);
        if (pv_tui_conv_is_room(c) && pv_show_is_offer(pv_json_text(msg, "text", "")))
            pv_tui_want_list(t, PV_TUI_FILES);
    }
    c->found = 0; /* the lines have other numbers now */
    c->show_found = false;
    c->more = pv_json_bool(body, "more");
    /* Between unread lines older than the answer stand others that only the daemon has: a person
     * who goes up gets all of them from there. */
    size_t older = 0;
    if (c->more && c->scroll == 0)
        older = first_known(c, &old);
    /* Lines that came in the meantime, and notices. */
    const char *before = "";
    for (i = 0; i < old.n_lines; i++) {
        const struct pv_tui_line *line = &old.lines[i];
        bool stays = i >= older || line->id[0] == '\0' || line->id[0] == '~';
        if (keep_over(c, *line))
            continue;
        if (stays && find_line(c, line->id) == NULL)
            insert_again(t, c, *line, before);
        else
            free(old.lines[i].text);
        before = line->id[0] == '\0' ? before : line->id;
    }
    free(old.lines);
    sort_room(c);
}

void pv_tui_take_former(struct pv_tui *t, const char *peer, const json_t *body)
{
    const json_t *list = json_object_get(body, "messages");
    const json_t *newest = json_array_get(list, json_array_size(list) - 1);
    char name[PV_NAME_BUF] = "";
    /* A key may have been typed: what comes goes to this name. */
    if (newest != NULL)
        (void)line_of(t, newest, name);
    /* In a room that was made a moment ago nobody has said anything. */
    size_t index = name[0] != '\0' ? pv_tui_find(t, name, true) : pv_tui_find_named(t, peer);
    if (name[0] == '\0' && index != SIZE_MAX && pv_tui_conv_is_room(&t->convs[index])) {
        t->opening[0] = '\0';
        (void)open_asked(t, index);
        return;
    }
    if (name[0] == '\0' || index == SIZE_MAX) {
        pv_tui_take_error(t, PV_STR("no messages with %.63s", peer),
                          &(struct pv_tui_action){.kind = PV_TUI_FORMER});
        return;
    }
    t->opening[0] = '\0';
    if (pv_tui_is_room(name)) /* whether this node left it */
        pv_tui_want_list(t, PV_TUI_ROOMS);
    t->convs[index].asked = true;
    pv_tui_take_history(t, name, body);
    if (open_asked(t, index) && pv_name_is_valid(peer) && strcmp(peer, name) != 0)
        pv_tui_note(t, "%s is called %s now", peer, name);
}

void pv_tui_take_older(struct pv_tui *t, const char *peer, const json_t *body)
{
    const json_t *list = json_object_get(body, "messages");
    size_t index = pv_tui_find(t, peer, false), n = 0;
    if (index == SIZE_MAX)
        return;
    struct pv_tui_conv *c = &t->convs[index];
    const bool seeks = c->seeks && index == t->current && body != NULL;
    c->older_asked = c->seeks = false;
    /* While the daemon could not say, or the page has no room here, there is still more: unread
     * lines in it are read by nobody. The next page up asks again. */
    if (json_array_size(list) == 0) {
        c->more = c->more && body == NULL;
        if (seeks)
            seek(t, c, 0);
        return;
    }
    size_t total = c->n_lines + json_array_size(list);
    struct pv_tui_line *lines =
        total > PV_TUI_MAX_LINES ? NULL : reallocarray(NULL, total, sizeof(*lines));
    if (lines == NULL)
        return;
    PV_EACH_JSON(list, msg) {
        char other[PV_NAME_BUF];
        lines[n] = line_of(t, msg, other);
        lines[n].text = harmless(pv_json_text(msg, "text", ""));
        n += lines[n].text != NULL;
    }
    t->first_order -= (int64_t)n;
    for (size_t i = 0; i < n; i++)
        lines[i].order = t->first_order + (int64_t)i;
    if (c->n_lines > 0)
        memcpy(lines + n, c->lines, c->n_lines * sizeof(*lines));
    free(c->lines);
    c->lines = lines;
    c->cap = total;
    c->n_lines += n;
    c->found += c->found > 0 ? n : 0; /* the lines have other numbers now */
    c->more = pv_json_bool(body, "more");
    sort_room(c);
    if (seeks)
        seek(t, c, n);
}

void pv_tui_take_state(struct pv_tui *t, const json_t *body)
{
    const char *id = pv_json_text(body, "msg_id", "");
    size_t index = pv_tui_find(t, pv_json_text(body, "peer", ""), false);
    struct pv_tui_line *line = index == SIZE_MAX ? NULL : find_line(&t->convs[index], id);
    /* A pane keeps the name that its peer had when it was opened. */
    for (size_t i = 0; i < t->n_convs && line == NULL; i++)
        line = find_line(&t->convs[i], id);
    enum pv_chat_state state = state_of(pv_json_text(body, "state", ""));
    /* Events and answers can cross: a state only advances, so that a late "sent" does not undo
     * "read". */
    if (line != NULL && line->outgoing && state > line->state)
        line->state = state;
    /* "queued" is no news any more. */
    if (state >= PV_CHAT_DELIVERED && t->note_id[0] != '\0' &&
        strcmp(t->note_id, pv_json_text(body, "msg_id", "")) == 0)
        pv_tui_note(t, "%s", "");
}

void pv_tui_take_loss(struct pv_tui *t)
{
    t->lost = true;
    t->away[0] = '\0';
    pv_tui_miss(t);
    /* Anew, for those that were asked stand before those that waited already. */
    for (size_t i = 0; i < t->n_actions; i++)
        pv_tui_hide_waiting(t, &t->actions[i]);
    for (size_t i = 0; i < t->n_actions; i++)
        pv_tui_show_waiting(t, &t->actions[i]);
    if (!pv_tui_is_perhaps(t->note))
        pv_tui_note(t, PV_TUI_LOST); /* else that it is gone stands beside */
}

void pv_tui_take_return(struct pv_tui *t)
{
    t->lost = t->has_files = false;
    if (pv_tui_is_warned(t))
        t->leave = PV_TUI_STAYS;
    for (size_t i = 1; i < t->n_convs; i++) {
        t->convs[i].asked = t->convs[i].older_asked = t->convs[i].seeks = false;
        t->convs[i].anew = true;
        if (i != t->current)
            forget_messages(t, &t->convs[i]);
    }
    if (t->current > 0) {
        t->convs[t->current].asked = true;
        pv_tui_want(t, PV_TUI_HISTORY, t->convs[t->current].name, NULL);
    }
    if (!pv_tui_is_perhaps(t->note)) /* the line that it is about stands below */
        pv_tui_note(t, "p2pvpnd is back");
}

/* --- who is there ---------------------------------------------------------------------------- */

void pv_tui_take_status(struct pv_tui *t, const json_t *body)
{
    const char *me = pv_json_text(json_object_get(body, "self"), "name", "");
    if (me[0] != '\0') /* a machine that left keeps its name in what it said */
        snprintf(t->me, sizeof(t->me), "%s", me);
    snprintf(t->network, sizeof(t->network), "%s",
             pv_json_text(json_object_get(body, "network"), "name", ""));
}

static void tell_peer(struct pv_tui *t, const json_t *peer, const struct pv_tui_conv *c)
{
    pv_tui_notice(t, &t->convs[t->current],
                  PV_STR("%-16s %-15s %s", c->name, pv_json_text(peer, "ip4", "-"),
                         !c->online                     ? "offline"
                         : strcmp(c->path, "none") == 0 ? "idle"
                                                        : c->path));
}

/* A line that was typed before was for the other one. */
static void take_another(struct pv_tui *t, struct pv_tui_conv *c)
{
    const bool shown = c == &t->convs[t->current];
    c->is_another = true;
    if (!shown || t->paste == NULL)
        return;
    free(t->paste);
    t->paste = NULL;
    pv_tui_note(t, "%s is another one now: what was pasted is not sent", c->name);
}

/* Did another machine than the one that has the name now write it? brief is the beginning of its
 * key then. A p2pvpnd that does not say whose a line is leaves the sender's clock to go by. */
static bool is_of_former(const struct pv_tui_conv *c, const struct pv_tui_line *line,
                         char brief[static PV_KEY_SHORT_BUF])
{
    uint8_t key[PV_KEY_LEN];
    snprintf(brief, PV_KEY_SHORT_BUF, "%s", c->former);
    if (c->address[0] == '\0' || pv_key_parse(line->key, key) != PV_OK)
        return brief[0] != '\0' && line->time < c->another_since;
    pv_key_shorten(line->key, brief);
    return strcmp(line->key, c->address) != 0;
}

/* Lines of the former machine in rooms are marked. */
static void tell_apart(struct pv_tui *t, const struct pv_tui_conv *of)
{
    char brief[PV_KEY_SHORT_BUF];
    for (size_t i = 1; i < t->n_convs; i++) {
        struct pv_tui_conv *c = &t->convs[i];
        for (size_t k = 0; pv_tui_conv_is_room(c) && k < c->n_lines; k++) {
            struct pv_tui_line *line = &c->lines[k];
            /* It may have its name back, where its key says that. */
            if (line->id[0] == '\0' || line->outgoing || strcmp(line->from, of->name) != 0 ||
                (line->former && line->key[0] == '\0'))
                continue;
            line->former = is_of_former(of, line, brief);
            snprintf(line->brief, sizeof(line->brief), "%s", line->former ? brief : "");
        }
    }
}

/* Whose the name was before. A change while this chat runs is said at once where the conversation
 * was opened: a line may be begun there for the machine that had it. */
static void take_hands(struct pv_tui *t, struct pv_tui_conv *c, const json_t *peer)
{
    const char *former = pv_json_text(peer, "former", "");
    const double since = pv_json_real(peer, "another_since", 0);
    uint8_t key[PV_KEY_LEN];
    if (pv_key_parse(former, key) == PV_OK)
        pv_key_shorten(former, c->former);
    /* Of a machine that was in no list before: it was gone. */
    const double before = c->another_since >= 0 ? c->another_since : t->has_peers ? 0 : since;
    const char *address = pv_json_text(peer, "key", "");
    /* In another network the name was always this one's. */
    const bool other =
        c->address[0] != '\0' && address[0] != '\0' && strcmp(c->address, address) != 0;
    /* A return of p2pvpnd clears what was asked; a line that was begun is still there. */
    const bool used = c->asked || c->draft != NULL;
    /* The history that comes says it above the lines of this one. */
    if (used && since > before && !c->anew)
        (void)tell_change(t, c, c->name, other ? c->address : former, since, t->now);
    else if (used && since <= before && other)
        tell_hands(t, c, PV_STR("%s is another machine from here on", c->name), t->now);
    if (other || (used && since > before))
        take_another(t, c);
    c->parts = (c->unread > 0 || !used) && c->address[0] != '\0' && (other || since > before);
    c->another_since = since;
    snprintf(c->address, sizeof(c->address), "%s", address);
    if (other || since > before)
        tell_apart(t, c);
}

/* The pane of a machine that has another name by now, or of one that is called by its key. */
static size_t pane_of(struct pv_tui *t, const char *key, const char *brief)
{
    for (size_t i = 1; i < t->n_convs && key[0] != '\0'; i++) {
        if (t->convs[i].is_listed && strcmp(t->convs[i].address, key) == 0)
            return i;
    }
    return pv_tui_find(t, brief, true);
}

#define FILE_OF "a file of %s: /open %s"

/* The notice of a file, which the bar may have told of. */
static void move_offer(struct pv_tui *t, struct pv_tui_conv *to, struct pv_tui_conv *from,
                       struct pv_tui_line line)
{
    const unsigned counts = from->offers > 0;
    from->offers -= counts;
    to->offers += add_line(to, line) && to != &t->convs[t->current] ? counts : 0;
    if (strcmp(t->note, PV_STR(FILE_OF, from->name, from->name)) == 0)
        pv_tui_note(t, FILE_OF, to->name, to->name);
}

/* An unread line that has a new pane. That one may have asked for it already. */
static void move_unread(struct pv_tui_conv *to, struct pv_tui_conv *from, struct pv_tui_line line)
{
    from->unread -= from->unread > 0;
    if (find_line(to, line.id) != NULL) {
        free(line.text);
    } else if (add_line(to, line)) {
        to->unread++;
        to->named = to->named || line.named;
    }
}

/* p2pvpnd takes the name for the other machine's by now: unread lines of the one before, and what
 * it offers, stand in a pane of its own, as a chat that begins now shows them. All else is asked
 * for when a pane is opened, and goes where it had not been. */
static void part_lines(struct pv_tui *t, size_t index)
{
    char name[PV_NAME_BUF], brief[PV_KEY_SHORT_BUF];
    struct pv_tui_conv *c = &t->convs[index];
    const bool unopened = !c->asked && c->draft == NULL;
    size_t kept = 0;
    memcpy(name, c->name, sizeof(name));
    c->parts = false;
    for (size_t i = 0; i < c->n_lines; i++) {
        const struct pv_tui_line line = c->lines[i];
        const bool unread = pv_tui_is_unread(&line);
        const bool goes = (unread || line.file != 0) && is_of_former(c, &line, brief);
        const bool is_message = line.id[0] != '\0' && line.id[0] != '~';
        const size_t to = goes ? pane_of(t, line.key, brief) : SIZE_MAX;
        c = &t->convs[pv_tui_find(t, name, false)]; /* it may have moved for a new pane */
        if (to != SIZE_MAX && unread)
            move_unread(&t->convs[to], c, line);
        else if (to != SIZE_MAX)
            move_offer(t, &t->convs[to], c, line);
        else if (unopened && is_message && !unread)
            free(line.text);
        else
            c->lines[kept++] = line;
    }
    c->n_lines = kept;
    c->found = 0;
    c->named = c->named && c->unread > 0;
}

/* --- machines that are gone, or called otherwise --------------------------------------------- */

/* Removes the pane, whose lines and other memory went elsewhere or are freed. */
static void remove_pane(struct pv_tui *t, size_t index)
{
    memmove(&t->convs[index], &t->convs[index + 1], (--t->n_convs - index) * sizeof(t->convs[0]));
    t->current -= t->current > index;
}

/* Requests about the machine that wait go on under its new name. */
static void rename_actions(struct pv_tui *t, const char *from, const struct pv_tui_conv *to)
{
    for (size_t i = 0; i < t->n_actions; i++) {
        struct pv_tui_action *a = &t->actions[i];
        if (strcmp(a->peer, from) == 0 && a->kind != PV_TUI_FORMER &&
            (a->address[0] == '\0' || strcmp(a->address, to->address) == 0))
            memcpy(a->peer, to->name, sizeof(to->name));
    }
    if (strcmp(t->opening, from) == 0)
        memcpy(t->opening, to->name, sizeof(to->name));
}

/* The lines of the machine by its former name stand above those by its name of now. */
static void join_lines(struct pv_tui_conv *to, struct pv_tui_conv *from)
{
    for (size_t i = 0; i < to->n_lines; i++) {
        const struct pv_tui_line line = to->lines[i];
        if (find_line(from, line.id) == NULL) {
            (void)add_line(from, line);
            continue;
        }
        to->unread -= to->unread > 0 && pv_tui_is_unread(&line);
        free(line.text);
    }
    free(to->lines);
    to->lines = from->lines;
    to->n_lines = from->n_lines;
    to->cap = from->cap;
    to->more = from->more;
    to->unread += from->unread;
    to->offers += from->offers;
    to->given_back += from->given_back;
    to->named = to->named || from->named;
    to->scroll = from->scroll;
    to->scroll_cols = from->scroll_cols;
    memcpy(to->new_from, from->new_from, sizeof(to->new_from));
    from->lines = NULL;
    from->n_lines = from->cap = 0;
}

/* Shows the line that was begun in the pane, which has room for one such line only. */
static void show_draft(struct pv_tui *t, struct pv_tui_conv *c, char **draft)
{
    if (*draft == NULL)
        return;
    pv_tui_notice(t, c, "not sent:");
    pv_tui_notice(t, c, *draft);
    free(*draft);
    *draft = NULL;
}

/* The line that was begun for the machine is still for it. One that was begun under its new name is
 * not lost. The line that is edited stays. */
static void join_drafts(struct pv_tui *t, struct pv_tui_conv *to, struct pv_tui_conv *from)
{
    const bool shown = from == &t->convs[t->current];
    if (to == &t->convs[t->current])
        show_draft(t, to, &from->draft);
    else if (from->draft != NULL || shown)
        show_draft(t, to, &to->draft);
    if (from->draft != NULL) {
        to->draft = from->draft;
        from->draft = NULL;
    }
    /* The line that is edited has the lines that were typed here before. */
    if (shown || to->past == NULL) {
        pv_tuipast_free(to->past);
        to->past = from->past;
        from->past = NULL;
    }
}

/* The machine of a pane has another name: the pane goes on under it, with its lines and the line
 * that was begun. */
static void rename_pane(struct pv_tui *t, size_t old, size_t new)
{
    char was[PV_NAME_BUF];
    struct pv_tui_conv *from = &t->convs[old], *to = &t->convs[new];
    const bool used = from->asked || to->asked || from->n_lines > 0, shown = old == t->current;
    memcpy(was, from->name, sizeof(was));
    join_lines(to, from);
    if (used)
        pv_tui_notice(t, to, PV_STR("%s is called %s now", was, to->name));
    join_drafts(t, to, from);
    rename_actions(t, was, to);
    /* The answer to a question about the old name finds no pane. */
    to->asked = false;
    free_pane(from);
    remove_pane(t, old);
    new -= new > old;
    to = &t->convs[new];
    (void)json_object_del(t->told, was);
    if (!shown)
        return;
    t->current = new;
    pv_tui_note(t, "%s is called %s now", was, to->name);
    to->asked = pv_tui_want(t, PV_TUI_HISTORY, to->name, NULL);
}

/* The pane of the machine that this pane's machine is listed as; SIZE_MAX: it is not listed. */
static size_t renamed_to(const struct pv_tui *t, const struct pv_tui_conv *c)
{
    for (size_t i = 1; c->address[0] != '\0' && i < t->n_convs; i++) {
        if (t->convs[i].is_listed && strcmp(t->convs[i].address, c->address) == 0)
            return i;
    }
    return SIZE_MAX;
}

/* Is there something in it that would be lost? */
static bool is_used(const struct pv_tui *t, const struct pv_tui_conv *c)
{
    return c == &t->convs[t->current] || c->draft != NULL || c->given_back > 0 || c->n_lines > 0 ||
           strcmp(t->opening, c->name) == 0;
}

/* Panes of machines that are no members, with whom nothing was said, go; those of machines that are
 * called otherwise become theirs. */
static void forget_gone(struct pv_tui *t)
{
    for (size_t i = t->n_convs; i-- > 1;) {
        struct pv_tui_conv *c = &t->convs[i];
        if (pv_tui_conv_is_room(c) || c->is_listed)
            continue;
        const size_t now = renamed_to(t, c);
        if (now != SIZE_MAX) {
            rename_pane(t, i, now);
        } else if (!is_used(t, c)) {
            free_pane(c);
            remove_pane(t, i);
        }
    }
}

void pv_tui_take_peers(struct pv_tui *t, const json_t *body)
{
    const json_t *list = json_object_get(body, "peers");
    /* Every refresh brings such a list. Only a list that the person asked for becomes lines. */
    bool told = t->list_asked && body != NULL;
    size_t i;
    t->list_asked = false;
    /* Why there was none is true no more. */
    if (body != NULL && t->refused[0] != '\0' && strcmp(t->note, t->refused) == 0)
        pv_tui_note(t, "%s", "");
    snprintf(t->refused, sizeof(t->refused), "%s", body == NULL ? t->note : "");
    /* A member that has gone has no address, which may be another's now, and no path. */
    for (i = 0; i < t->n_convs; i++) {
        struct pv_tui_conv *gone = &t->convs[i];
        gone->ip4[0] = gone->ip6[0] = '\0';
        if (i == 0 || pv_tui_conv_is_room(gone))
            continue;
        gone->online = gone->is_static = gone->is_listed = false;
        gone->rtt_ms = -1;
        snprintf(gone->path, sizeof(gone->path), "none");
    }
    PV_EACH_JSON(list, peer) {
        const char *name = pv_json_text(peer, "name", "");
        /* A string that is no name could carry control characters into the roster; and nobody
         * writes to a machine that waits to be admitted, or to a phone, which has no p2pvpnd. */
        bool is_peer = pv_name_is_valid(name) && !pv_json_is(peer, "state", "waiting") &&
                       pv_json_text(peer, "gateway", NULL) == NULL;
        size_t index = is_peer ? pv_tui_find(t, name, true) : SIZE_MAX;
        if (index == SIZE_MAX)
            continue;
        struct pv_tui_conv *c = &t->convs[index];
        const json_t *path = json_object_get(peer, "path");
        snprintf(c->path, sizeof(c->path), "%s", pv_json_text(path, "type", "none"));
        take_hands(t, c, peer);
        snprintf(c->ip4, sizeof(c->ip4), "%s", pv_json_text(peer, "ip4", ""));
        snprintf(c->ip6, sizeof(c->ip6), "%s", pv_json_text(peer, "ip6", ""));
        c->online = pv_json_bool(peer, "online");
        c->is_listed = true;
        c->is_static = strcmp(c->path, "static") == 0;
        c->rtt_ms = pv_json_real(path, "rtt_ms", -1);
        c->seen = pv_json_real(peer, "last_seen", 0);
        if (told)
            tell_peer(t, peer, c);
    }
    for (i = 1; i < t->n_convs; i++) {
        if (!t->convs[i].parts)
            continue;
        part_lines(t, i);
        i = 0; /* the pane that it made may stand before others */
    }
    if (json_is_array(list))
        forget_gone(t);
    /* Somebody has the name again. */
    const struct pv_tui_conv *shown = &t->convs[t->current];
    if (shown->is_listed && strstr(t->note, PV_TUI_NOBODY) != NULL &&
        strncmp(t->note, shown->name, strlen(shown->name)) == 0)
        pv_tui_note(t, "%s", "");
    t->has_peers = body != NULL;
    if (told && json_array_size(list) == 0)
        pv_tui_notice(t, &t->convs[t->current], "no other members yet");
}

void pv_tui_take_presence(struct pv_tui *t, const json_t *body)
{
    const char *name = pv_json_text(body, "peer", "");
    size_t index = pv_name_is_valid(name) ? pv_tui_find(t, name, false) : SIZE_MAX;
    if (index != SIZE_MAX)
        t->convs[index].online = pv_json_bool(body, "online");
    /* The event does not say which path the peer has now, nor whether it is a phone. */
    pv_tui_want_list(t, PV_TUI_PEERS);
}

/* --- /search --------------------------------------------------------------------------------- */

enum {
    FOUND_MAX = 50,  /* lines that are told, the newest; ours */
    FOUND_BUF = 408, /* bytes of one, with the NUL */
    FOUND_WHO = 64 + 16 + PV_KEY_SHORT_BUF,
};

#define SEEKS "looking further back for "

/* Looks for the word in the lines before the one with index end. */
static void seek(struct pv_tui *t, struct pv_tui_conv *c, size_t end)
{
    while (end > 0 && strcasestr(c->lines[end - 1].text, c->sought) == NULL)
        end--;
    c->seeks = end == 0 && pv_tui_want_older(t, c);
    if (c->seeks) {
        pv_tui_note(t, SEEKS "\"%s\"", c->sought);
        return;
    }
    if (end == 0)
        pv_tui_note(t, c->found > 0 ? "nothing older has \"%s\"" : "nothing here has \"%s\"",
                    c->sought);
    else if (strncmp(t->note, SEEKS, sizeof(SEEKS) - 1) == 0)
        pv_tui_note(t, "%s", "");
    c->found = end;
    c->show_found = end > 0;
}

bool pv_tui_search(struct pv_tui *t, const char *text)
{
    struct pv_tui_conv *c = &t->convs[t->current];
    if (text[0] == '\0') {
        pv_tui_note(t, "usage: %s; once more finds an older line", pv_tui_usage(PV_TUI_W_SEARCH));
        return false;
    }
    if (t->current == 0 && t->search.lines != NULL && strcmp(text, t->search.text) == 0) {
        pv_tui_note(t, "still looking for \"%.80s\"", text);
        return true;
    }
    if (t->current == 0) {
        free(t->search.text);
        json_decref(t->search.lines);
        t->search.text = strdup(text);
        t->search.lines = t->search.text == NULL ? NULL : json_array();
        pv_tui_want(t, PV_TUI_SEARCH, "", strdup(text));
        return true;
    }
    /* Another word is looked for from the newest line on. */
    if (c->sought == NULL || strcmp(c->sought, text) != 0) {
        free(c->sought);
        c->sought = strdup(text);
        c->found = 0;
    }
    if (c->sought != NULL)
        seek(t, c, c->found > 0 ? c->found - 1 : c->n_lines);
    return true;
}

/* The text around the word, in whole characters. */
static void cut_around(const char *text, const char *word, char dst[static FOUND_BUF])
{
    const char *hit = strcasestr(text, word);
    size_t at = hit == NULL ? 0 : (size_t)(hit - text);
    at = at > FOUND_BUF / 2 ? at - FOUND_BUF / 4 : 0;
    while (at > 0 && pv_tui_is_inside(text, at))
        at--;
    size_t len = strnlen(text + at, FOUND_BUF - 8); /* without two times three dots and the NUL */
    while (len > 0 && pv_tui_is_inside(text, at + len))
        len--;
    snprintf(dst, FOUND_BUF, "%s%.*s%s", at > 0 ? "..." : "", (int)len, text + at,
             text[at + len] != '\0' ? "..." : "");
}

/* A machine that had the name at that time, which may be another's by now. */
static const char *machine_of(const json_t *msg, const char *field, const char *former,
                              char dst[static FOUND_WHO])
{
    const char *key = pv_json_text(msg, former, "");
    snprintf(dst, FOUND_WHO, "%.64s%s%s%s", pv_json_text(msg, field, "?"),
             key[0] != '\0' ? " (former, " : "", key[0] != '\0' ? PV_KEY_SHORT_STR(key) : "",
             key[0] != '\0' ? ")" : "");
    return dst;
}

/* "2026-11-20 14:03 pi in #crew: text" */
static void tell_found(struct pv_tui *t, const json_t *msg, const char *word)
{
    struct pv_tui_conv *c = &t->convs[0];
    char from[FOUND_WHO], to[FOUND_WHO], text[FOUND_BUF];
    const char *room = pv_json_text(msg, "room", "");
    const bool unproven = pv_json_bool(msg, "unproven");
    cut_around(pv_json_text(msg, "text", ""), word, text);
    pv_tui_notice_at(
        t, c,
        PV_STR("%s %s%s%s %s %s: %s", PV_TIME_STR(pv_json_real(msg, "time", 0), t->now),
               unproven ? "somebody on " : "", machine_of(msg, "from", "from_former", from),
               unproven ? "'s machine" : "", room[0] != '\0' ? "in" : "to",
               room[0] != '\0' ? room : machine_of(msg, "to", "to_former", to), text),
        0); /* its own stands in it */
}

static bool has(const json_t *msg, const char *text)
{
    return strcasestr(pv_json_text(msg, "text", ""), text) != NULL;
}

/* All that was looked through. */
static void tell_all_found(struct pv_tui *t, const char *text, bool more)
{
    size_t left = json_array_size(t->search.lines);
    const size_t found = left < FOUND_MAX ? left : FOUND_MAX;
    more = more || left > found;
    PV_EACH_JSON(t->search.lines, msg) {
        if (left-- <= FOUND_MAX)
            tell_found(t, msg, text);
    }
    json_decref(t->search.lines);
    t->search.lines = NULL;
    if (found == 0)
        pv_tui_note(t, "nothing has \"%.80s\"", text);
    else
        pv_tui_note(t, "%s%zu line%s %s \"%.80s\": /open NAME, and /search there",
                    more ? "the newest " : "", found, found == 1 ? "" : "s",
                    found == 1 ? "has" : "have", text);
}

void pv_tui_take_found(struct pv_tui *t, const struct pv_tui_action *action, const json_t *body)
{
    const char *text = action->text == NULL ? "" : action->text;
    json_t *lines = json_array();
    /* One that was asked after it took its place. */
    if (t->search.lines == NULL || strcmp(text, t->search.text) != 0 || lines == NULL) {
        json_decref(lines);
        return;
    }
    PV_EACH_JSON(json_object_get(body, "messages"), msg) {
        if (has(msg, text))
            (void)json_array_append(lines, msg);
    }
    (void)json_array_extend(lines, t->search.lines);
    json_decref(t->search.lines);
    t->search.lines = lines;
    const uint64_t upto = (uint64_t)pv_json_int(body, "upto");
    const bool more = pv_json_bool(body, "more");
    if (!more || upto == 0 || json_array_size(lines) >= FOUND_MAX) {
        tell_all_found(t, text, more);
        return;
    }
    pv_tui_note(t, "looking for \"%.80s\"", text);
    struct pv_tui_action older = {.kind = PV_TUI_SEARCH, .text = strdup(text), .upto = upto};
    (void)want(t, &older);
}

/* --- rooms ----------------------------------------------------------------------------------- */

/* As the daemon writes it: harmless, and long enough for a '#' and more. */
bool pv_tui_is_room(const char *name)
{
    size_t len = strlen(name);
    if (name[0] != '#' || len < 2 || len >= PV_NAME_BUF)
        return false;
    for (const char *c = name; *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~')
            return false;
    }
    return true;
}

/* A room that was left may be forgotten, and another one get its name; or this machine is in
 * another network. */
static void take_address(struct pv_tui *t, struct pv_tui_conv *c, const char *address)
{
    bool another = c->address[0] != '\0' && strcmp(c->address, address) != 0;
    snprintf(c->address, sizeof(c->address), "%s", address);
    if (!another)
        return;
    pv_tui_notice(t, c, PV_STR("%s is another room from here on", c->name));
    take_another(t, c);
}

/* The answer to /room list. */
static void tell_rooms(struct pv_tui *t, const json_t *rooms)
{
    PV_EACH_JSON(rooms, room) {
        const int members = (int)pv_json_int(room, "members");
        pv_tui_notice(t, &t->convs[t->current],
                      PV_STR("%-16s %d member%s, made by %s%s", pv_json_text(room, "room", "?"),
                             members, members == 1 ? "" : "s", pv_json_text(room, "creator", "?"),
                             pv_json_bool(room, "left")      ? ", left"
                             : pv_json_bool(room, "invited") ? ", invited"
                                                             : ""));
    }
    if (json_array_size(rooms) == 0)
        pv_tui_notice(t, &t->convs[t->current], "no rooms: /room create NAME makes one");
}

void pv_tui_take_rooms(struct pv_tui *t, const json_t *body)
{
    /* Those of a network that this node left are in no list. */
    for (size_t i = 1; i < t->n_convs && pv_json_bool(body, "loaded"); i++) {
        if (pv_tui_conv_is_room(&t->convs[i]))
            t->convs[i].part = PV_TUI_LEFT;
    }
    PV_EACH_JSON(json_object_get(body, "rooms"), room) {
        const char *name = pv_json_text(room, "room", "");
        /* A room that this node left gets no new pane, unless it is asked for by name; a pane that
         * exists keeps its lines. */
        bool left = pv_json_bool(room, "left");
        size_t index = pv_tui_is_room(name) ? pv_tui_find(t, name, !left) : SIZE_MAX;
        if (index == SIZE_MAX)
            continue;
        take_address(t, &t->convs[index], pv_json_text(room, "address", ""));
        t->convs[index].part = left                            ? PV_TUI_LEFT
                               : pv_json_bool(room, "invited") ? PV_TUI_INVITED
                                                               : PV_TUI_IN;
        t->convs[index].members = (unsigned)pv_json_int(room, "members");
    }
    if (t->rooms_asked)
        tell_rooms(t, json_object_get(body, "rooms"));
    t->rooms_asked = false;
}

void pv_tui_take_room(struct pv_tui *t, const json_t *body)
{
    const char *name = pv_json_text(body, "room", "");
    bool invited = pv_json_is(body, "what", "invited");
    size_t index = pv_tui_is_room(name) ? pv_tui_find(t, name, true) : SIZE_MAX;
    if (index == SIZE_MAX)
        return;
    const char *line =
        PV_STR("%s %s%s%s", pv_json_text(body, "peer", "?"), invited ? "was invited by " : "left",
               invited ? pv_json_text(body, "by", "?") : "",
               invited && pv_json_bool(body, "self") ? ": reply to accept, /leave to decline" : "");
    pv_tui_notice(t, &t->convs[index], line);
    if (index != t->current)
        pv_tui_note(t, "%s: %s", name, line);
    pv_tui_want_list(t, PV_TUI_ROOMS);
}

void pv_tui_take_members(struct pv_tui *t, const json_t *body)
{
    size_t index = pv_tui_find(t, pv_json_text(body, "room", ""), false);
    PV_EACH_JSON(json_object_get(body, "members"), m) {
        const char *denied = pv_json_text(m, "denied", NULL);
        pv_tui_notice(t, &t->convs[index == SIZE_MAX ? t->current : index],
                      PV_STR("%-16s %s%s%s%s", pv_json_text(m, "name", "?"),
                             pv_json_bool(m, "online") ? "online" : "offline",
                             pv_json_bool(m, "creator") ? ", made the room" : "",
                             denied == NULL ? "" : ", chat to it is denied by ",
                             denied == NULL ? "" : denied));
    }
}

void pv_tui_take_done(struct pv_tui *t, const struct pv_tui_action *action, const json_t *body)
{
    if (action->kind == PV_TUI_MUTE || action->kind == PV_TUI_UNMUTE) {
        pv_tui_note(t,
                    action->kind == PV_TUI_MUTE
                        ? "%s is muted: its messages arrive as read; /unmute ends that"
                        : "%s is no longer muted",
                    action->peer);
        if (action->kind == PV_TUI_UNMUTE) { /* what was offered meanwhile is told now */
            t->has_files = false;
            pv_tui_want_list(t, PV_TUI_FILES);
        }
        return;
    }
    const char *name = pv_json_text(body, "room", "");
    size_t index = pv_tui_is_room(name) ? pv_tui_find(t, name, true) : SIZE_MAX;
    if (action->kind == PV_TUI_MAKE)
        t->opening[0] = '\0';
    if (index == SIZE_MAX)
        return;
    if (action->kind == PV_TUI_MAKE) {
        if (open_asked(t, index))
            pv_tui_note(t, "%s is open: /invite NAME", name);
    } else {
        const char *done =
            action->kind == PV_TUI_INVITE
                ? PV_STR("you invited %.63s", action->text == NULL ? "?" : action->text)
            : action->kind == PV_TUI_JOIN ? "you accepted the invitation"
                                          : "you left; the lines stay here";
        pv_tui_notice(t, &t->convs[index], done);
        if (index != t->current)
            pv_tui_note(t, "%s: %s", name, done);
    }
    pv_tui_want_list(t, PV_TUI_ROOMS);
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

static bool make_room(struct pv_tui *t, const char *name)
{
    char made[PV_NAME_BUF];
    const char *bare = name + (name[0] == '#');
    const bool valid =
        pv_name_parse(bare, strlen(bare), made) == PV_OK && strlen(made) <= PV_ROOM_NAME_MAX;
    if (bare[0] == '\0')
        pv_tui_note(t, "usage: %s", pv_tui_usage(PV_TUI_W_CREATE));
    else if (!valid)
        pv_tui_note(t, "the name of a room has 1 to %d of a-z, 0-9 and -, and no - at its ends: %s",
                    PV_ROOM_NAME_MAX, pv_tui_usage(PV_TUI_W_CREATE));
    return valid && pv_tui_want_open(t, PV_TUI_MAKE, name);
}

/* Tells the rooms of the next list. */
static bool list_rooms(struct pv_tui *t)
{
    t->rooms_asked = true;
    pv_tui_want_list(t, PV_TUI_ROOMS);
    return true;
}

/* The room that is named, or else the one that is shown; NULL: it is none, which was said. */
static const struct pv_tui_conv *room_of(struct pv_tui *t, enum pv_tui_word word, const char *name)
{
    const size_t index = name[0] == '\0' ? t->current : pv_tui_find_named(t, name);
    const struct pv_tui_conv *c = index == SIZE_MAX ? NULL : &t->convs[index];
    if (c != NULL && pv_tui_conv_is_room(c))
        return c;
    if (name[0] == '\0')
        pv_tui_note(t, "no room is open: /open #ROOM first, or /room create NAME (usage: %s)",
                    pv_tui_usage(word));
    else if (name[0] == '#')
        pv_tui_note_unknown(t, name);
    else
        pv_tui_note(t, "no room named %.63s: /room list lists them (usage: %s)", name,
                    pv_tui_usage(word));
    return NULL;
}

bool pv_tui_run_room(struct pv_tui *t, enum pv_tui_word word, const struct pv_tui_words *w)
{
    static const enum pv_tui_action_kind kinds[PV_TUI_N_WORDS] = {
        [PV_TUI_W_INVITE] = PV_TUI_INVITE,
        [PV_TUI_W_JOIN] = PV_TUI_JOIN,
        [PV_TUI_W_LEAVE] = PV_TUI_LEAVE,
        [PV_TUI_W_MEMBERS] = PV_TUI_MEMBERS,
    };
    const bool invites = word == PV_TUI_W_INVITE;
    if (word == PV_TUI_W_CREATE)
        return make_room(t, w->name);
    if (word == PV_TUI_W_ROOMS)
        return list_rooms(t);
    if (word == PV_TUI_W_ROOM || (invites && w->name[0] == '\0')) {
        pv_tui_note(t, "usage: %s", pv_tui_usage(word));
        return false;
    }
    const struct pv_tui_conv *c = room_of(t, word, invites ? w->room : w->name);
    return c != NULL && pv_tui_want(t, kinds[word], c->name, invites ? strdup(w->name) : NULL);
}

/* --- files ----------------------------------------------------------------------------------- */

static bool is_over(const char *state)
{
    static const char *const over[] = {"saved", "refused", "withdrawn", "failed"};
    for (size_t i = 0; i < PV_ARRAY_LEN(over); i++) {
        if (strcmp(state, over[i]) == 0)
            return true;
    }
    return false;
}

/* The place of a file in the ring; that of a new one when it is not there: then *ret_known is
 * false. When a file has fallen out of it, it is at worst announced twice. */
static size_t place_of(struct pv_tui *t, uint32_t number, bool *ret_known)
{
    size_t n = t->n_files < PV_TUI_MAX_FILES ? t->n_files : PV_TUI_MAX_FILES, i = 0;
    while (i < n && t->files[i].number != number)
        i++;
    *ret_known = i < n;
    if (i < n)
        return i;
    i = t->n_files++ % PV_TUI_MAX_FILES;
    t->files[i].number = number;
    t->files[i].in = true; /* until it is told */
    t->files[i].wanted = t->files[i].mine = false;
    t->files[i].state[0] = '\0';
    return i;
}

/* "/accept #ROOM", or without an ID in a room to which this node is invited, is about the
 * invitation. */
static bool answer_invitation(struct pv_tui *t, enum pv_tui_word word, const char *number)
{
    const bool named = number[0] == '#';
    const size_t index = named ? pv_tui_find_named(t, number) : t->current;
    if (index == SIZE_MAX) {
        pv_tui_note_unknown(t, number);
        return false;
    }
    const struct pv_tui_conv *c = &t->convs[index];
    const bool about = (named || number[0] == '\0') && c->part == PV_TUI_INVITED;
    if (about && word == PV_TUI_W_ACCEPT)
        return pv_tui_want(t, PV_TUI_JOIN, c->name, NULL);
    if (about && word == PV_TUI_W_REFUSE)
        pv_tui_note(t, "/leave declines the invitation; /refuse ID refuses a file");
    else
        pv_tui_note(t, "usage: %s; /files lists the IDs", pv_tui_usage(word));
    return false;
}

/* A file of the other direction needs the other word. True: which was said. */
static bool is_other_way(struct pv_tui *t, enum pv_tui_word word, size_t at, const char *number)
{
    if (word == PV_TUI_W_REFUSE && !t->files[at].in)
        pv_tui_note(t, "file %s goes out: /files withdraw %s takes it back", number, number);
    else if (word == PV_TUI_W_WITHDRAW && t->files[at].in)
        pv_tui_note(t, "file %s comes in: /refuse %s refuses it", number, number);
    else
        return false;
    return true;
}

/* Saves each file that has come in and that the screen remembers. */
static bool get_all(struct pv_tui *t)
{
    const size_t n = t->n_files < PV_TUI_MAX_FILES ? t->n_files : PV_TUI_MAX_FILES;
    bool asked = false;
    for (size_t i = 0; i < n; i++) {
        if (!t->files[i].in || strcmp(t->files[i].state, "done") != 0)
            continue;
        const char *number = PV_STR("%u", (unsigned)t->files[i].number);
        asked = pv_tui_want(t, PV_TUI_SAVE, "", strdup(number)) || asked;
    }
    if (!asked)
        pv_tui_note(t, "no file to get: /files lists all");
    return asked;
}

bool pv_tui_run_file(struct pv_tui *t, enum pv_tui_word word, const char *number)
{
    static const enum pv_tui_action_kind kinds[PV_TUI_N_WORDS] = {
        [PV_TUI_W_ACCEPT] = PV_TUI_ACCEPT,
        [PV_TUI_W_REFUSE] = PV_TUI_REFUSE,
        [PV_TUI_W_WITHDRAW] = PV_TUI_REFUSE,
        [PV_TUI_W_GET] = PV_TUI_SAVE,
    };
    bool known;
    uint64_t n;
    if (word == PV_TUI_W_FILES) {
        t->files_asked = true;
        pv_tui_want_list(t, PV_TUI_FILES);
        return true;
    }
    if (word == PV_TUI_W_FILES_OTHER) {
        pv_tui_note(t, "usage: %s", pv_tui_usage(word));
        return false;
    }
    if (word == PV_TUI_W_GET && strcmp(number, "all") == 0)
        return get_all(t);
    if (pv_u64_parse(number, 1, UINT32_MAX, &n) < 0)
        return answer_invitation(t, word, number);
    const size_t at = place_of(t, (uint32_t)n, &known);
    if (known && is_other_way(t, word, at, number))
        return false;
    if (word != PV_TUI_W_GET)
        t->files[at].wanted = word == PV_TUI_W_ACCEPT;
    return pv_tui_want(t, kinds[word], "", strdup(number));
}

void pv_tui_miss_file(struct pv_tui *t, const char *number)
{
    bool known;
    uint64_t n;
    if (pv_u64_parse(number, 1, UINT32_MAX, &n) < 0)
        return;
    const size_t at = place_of(t, (uint32_t)n, &known);
    if (t->files[at].state[0] == '\0')
        t->files[at].wanted = false;
}

/* --- files in rooms ------------------------------------------------------------------------ */

static bool is_in(const json_t *file)
{
    return pv_json_is(file, "direction", "in");
}

/* A line of a room; NULL: there is none with this id. */
static struct pv_tui_line *line_of_file(struct pv_tui *t, const char *id, size_t *ret_index)
{
    struct pv_tui_line *line = NULL;
    for (size_t i = 1; i < t->n_convs && line == NULL; i++) {
        if (!pv_tui_conv_is_room(&t->convs[i]))
            continue;
        line = find_line(&t->convs[i], id);
        *ret_index = i;
    }
    return line;
}

/* Does the line say that file's name and size? */
static bool says(const struct pv_tui_line *line, const json_t *file)
{
    char offer[PV_SHOW_OFFER_BUF], shown[5 * PV_SHOW_OFFER_BUF];
    (void)pv_show_offer(pv_json_text(file, "name", ""), pv_json_real(file, "size", 0), offer);
    pv_harmless_show(pv_view(offer, strlen(offer)), shown, sizeof(shown));
    return strcmp(line->text, shown) == 0;
}

/* The line of a room that offers the file: it has the file's id, and is of who sends it, so that
 * nobody hides an offer of his behind another's line. A file that comes in is told in no line
 * that names another one: a person accepts what the line says. */
static struct pv_tui_line *offer_of(struct pv_tui *t, const json_t *file, size_t *ret_index)
{
    struct pv_tui_line *line = line_of_file(t, pv_json_text(file, "transfer", ""), ret_index);
    if (line == NULL || line->outgoing == is_in(file) || !pv_show_is_offer(line->text) ||
        !pv_json_is(file, "room", t->convs[*ret_index].name))
        return NULL;
    bool trusted = line->outgoing ||
                   (!line->former && strcmp(line->from, pv_json_text(file, "peer", "")) == 0 &&
                    says(line, file));
    return trusted ? line : NULL;
}

/* The conversation in which a file is told: its room, or that of its peer.
 * SIZE_MAX: none. */
static size_t place_to_tell(struct pv_tui *t, const json_t *file, struct pv_tui_line **ret_line)
{
    char brief[PV_KEY_SHORT_BUF], name[PV_NAME_BUF];
    const char *peer = pv_json_text(file, "peer", ""), *room = pv_json_text(file, "room", "");
    const char *former;
    size_t index = SIZE_MAX;
    *ret_line = offer_of(t, file, &index);
    if (*ret_line != NULL)
        return index;
    if (pv_tui_is_room(room))
        return pv_tui_find(t, room, true);
    /* As its messages: by the name, and by the key where the name is another machine's by now. */
    former = pv_json_text(file, "peer_former", "");
    if (former[0] != '\0')
        return pv_tui_find(t, pv_key_shorten(former, brief), true);
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(peer, " "), peer);
    return pv_name_is_valid(name) ? pv_tui_find(t, name, true) : SIZE_MAX;
}

void pv_tui_take_present(struct pv_tui *t, const struct pv_tui_action *action, const char *name,
                         double size, const json_t *body)
{
    json_t *members = json_object_get(body, "members");
    char text[PV_SHOW_SENT_BUF];
    enum pv_ctlapi_code code;
    const char *why = pv_show_no_getter(body, action->peer, text, &code);
    if (why != NULL || action->text == NULL) {
        pv_tui_note(t, "%s", why == NULL ? "out of memory" : why);
        return;
    }
    if (t->gift.path != NULL) {
        pv_tui_note(t, "another file is being offered: try again in a moment");
        return;
    }
    t->gift.path = strdup(action->text);
    t->gift.members = json_incref(members);
    memcpy(t->gift.room, action->peer, sizeof(t->gift.room));
    memcpy(t->gift.address, action->address, sizeof(t->gift.address));
    pv_show_offer(name, size, t->gift.line);
    want_at(t, PV_TUI_SEND, action->peer, action->address, strdup(t->gift.line));
}

static bool is_gift(const struct pv_tui *t, const char *room, const char *text)
{
    return t->gift.path != NULL && strcmp(t->gift.room, room) == 0 &&
           strcmp(t->gift.line, text) == 0;
}

static void end_gift(struct pv_tui *t)
{
    free(t->gift.path);
    json_decref(t->gift.members);
    t->gift.path = NULL;
    t->gift.members = NULL;
}

/* A line that was said: of a file for a room, the file is offered now. */
static void give(struct pv_tui *t, const json_t *msg)
{
    if (!is_gift(t, pv_json_text(msg, "room", ""), pv_json_text(msg, "text", "")))
        return;
    PV_EACH_JSON(t->gift.members, m) {
        if (!pv_show_gets_file(m))
            continue;
        /* There is a place for each, unless the person asks faster than p2pvpnd answers. */
        if (t->n_actions == PV_TUI_MAX_ACTIONS) {
            pv_tui_note(t, "not offered to all: too many requests; /send-file again in a moment");
            break;
        }
        want_at(t, PV_TUI_SEND_FILE, pv_json_text(m, "name", "?"), pv_json_text(m, "key", ""),
                strdup(t->gift.path));
        struct pv_tui_action *a = &t->actions[t->n_actions - 1];
        snprintf(a->id, sizeof(a->id), "%s", pv_json_text(msg, "id", ""));
        snprintf(a->room, sizeof(a->room), "%s",
                 t->gift.address[0] != '\0' ? t->gift.address : t->gift.room);
    }
    end_gift(t);
}

bool pv_tui_keep(struct pv_tui *t, const struct pv_tui_action *action, const char *error)
{
    size_t room;
    if (action->kind == PV_TUI_SEND_FILE && line_of_file(t, action->id, &room) != NULL) {
        pv_tui_notice(t, &t->convs[room], error);
        return true;
    }
    if (action->kind != PV_TUI_SEND || action->text == NULL ||
        !is_gift(t, action->peer, action->text))
        return false;
    end_gift(t);
    return true;
}

/* Says below the line that offers a file how that went on. */
static void tell_below(struct pv_tui_conv *c, struct pv_tui_line *line, const char *what)
{
    const size_t len = strlen(line->text);
    char *text = realloc(line->text, len + strlen(what) + 2);
    if (text == NULL)
        return;
    /* It is one row more below what a person who scrolled up reads. The view counts the rows of
     * lines that came since it was drawn. */
    const bool counted = (size_t)(line - c->lines) + c->came < c->n_lines;
    c->scroll += line->said == 0 && c->scroll > 0 && counted && !line->shown;
    memcpy(text + len + 1, what, strlen(what) + 1);
    line->text = text;
    line->said = len;
}

/* Takes back what was told of a file in that conversation. */
static void forget_notice(struct pv_tui_conv *c, uint32_t number)
{
    for (size_t i = c->n_lines; i > 0; i--) {
        if (c->lines[i - 1].file != number)
            continue;
        c->offers -= c->offers > 0;
        drop_line(c, &c->lines[i - 1]);
        return;
    }
}

#define OFFER_AGAIN "p2pvpnd restarted: /send-file offers it again"

/* The line of a sender counts the members that have it, the line at a receiver says how to answer.
 */
static void tell_in_room(struct pv_tui *t, const json_t *files, const json_t *f)
{
    const char *transfer = pv_json_text(f, "transfer", ""), *state = pv_json_text(f, "state", "");
    unsigned long number = (unsigned long)pv_json_real(f, "id", 0);
    size_t room, all = 0, took = 0, lost = 0;
    char what[128];
    struct pv_tui_line *line = offer_of(t, f, &room);
    if (line == NULL)
        return;
    PV_EACH_JSON(files, other) {
        bool same = !is_in(other) && strcmp(pv_json_text(other, "transfer", ""), transfer) == 0;
        all += same;
        took += same && pv_json_is(other, "state", "done");
        lost += same && pv_json_bool(other, "again");
    }
    if (line->outgoing)
        snprintf(what, sizeof(what), "%zu of %zu took it%s%s", took, all, lost > 0 ? "; " : "",
                 lost > 0 ? OFFER_AGAIN : "");
    else if (strcmp(state, "offered") == 0)
        snprintf(what, sizeof(what), "/accept %lu, /refuse %lu", number, number);
    else if (strcmp(state, "done") == 0)
        snprintf(what, sizeof(what), "/get %lu", number);
    else
        snprintf(what, sizeof(what), "%.40s", state);
    tell_below(&t->convs[room], line, what);
    if (!line->outgoing)
        forget_notice(&t->convs[room], (uint32_t)number);
}

/* --- what the daemon says of files --------------------------------------------------------- */

void pv_tui_take_saved(struct pv_tui *t, const json_t *body, const char *dir, const char *why)
{
    const json_t *f = json_object_get(body, "file");
    const char *name = pv_json_text(f, "name", "?");
    struct pv_tui_line *unused;
    size_t index = place_to_tell(t, f, &unused);
    const char *number = PV_STR("%.0f", pv_json_real(f, "id", 0));
    /* One of another file goes, too: the lines say the rest. */
    if (strstr(t->note, PV_TUI_IS_SAVED) != NULL)
        pv_tui_note(t, "%s", "");
    if (index == SIZE_MAX)
        return;
    char *line = NULL; /* a path has up to 4,096 bytes */
    if (why == NULL)
        pv_tui_want(t, PV_TUI_SAVED, "", strdup(number));
    if ((why == NULL
             ? asprintf(&line, "saved as %s%s%s", dir, strcmp(dir, "/") == 0 ? "" : "/", name)
             : asprintf(&line, "%s is not saved: %s: /get %s, or `%s files get %s -o NAME`", name,
                        why, number,
                        t->flag[0] == '\0' ? "p2pvpnctl" : PV_STR("p2pvpnctl %s", t->flag),
                        number)) < 0)
        return;
    pv_tui_notice(t, &t->convs[index], line);
    /* The number may be typed in any pane: there the bar has room for what happened. */
    if (index != t->current && why == NULL)
        pv_tui_note(t, "%s", line);
    else if (index != t->current)
        pv_tui_note(t, "%s is not saved: %s: see %s", name, why, t->convs[index].name);
    free(line);
}

/* A file that was offered here, and that p2pvpnd has not got any more. That of a room is told below
 * the room's line, wherever that is. */
static bool is_lost(struct pv_tui *t, const json_t *f)
{
    bool known;
    return pv_json_bool(f, "again") &&
           t->files[place_of(t, (uint32_t)pv_json_real(f, "id", 0), &known)].mine;
}

/* A receiver that comes back tells anew what it has long had. */
static bool is_old(const char *state, bool in)
{
    return is_over(state) || (!in && strcmp(state, "done") == 0);
}

/* False: it was in this state when it was told last, or was over before this chat began. */
static bool is_news(struct pv_tui *t, const json_t *f)
{
    bool known, in = is_in(f);
    const char *state = pv_json_text(f, "state", "");
    const char *told = PV_STR("%s%s", state, is_lost(t, f) ? "!" : "");
    size_t i = place_of(t, (uint32_t)pv_json_real(f, "id", 0), &known);
    if (known && strcmp(t->files[i].state, told) == 0)
        return false;
    t->files[i].in = in;
    snprintf(t->files[i].state, sizeof(t->files[i].state), "%s", told);
    return known || !is_old(state, in);
}

/* A file that was accepted here is saved as soon as it is there. */
static bool take_it(struct pv_tui *t, uint32_t number)
{
    bool known;
    size_t i = place_of(t, number, &known);
    if (!t->files[i].wanted)
        return false;
    t->files[i].wanted = false;
    pv_tui_want(t, PV_TUI_SAVE, "", strdup(PV_STR("%lu", (unsigned long)number)));
    return true;
}

/* The notice of a file that is told in no line; in a room it says who offers. False: there is none.
 */
static bool words_of(const json_t *f, char *line, size_t cap)
{
    const char *peer = pv_json_text(f, "peer", ""), *name = pv_json_text(f, "name", "?");
    const char *state = pv_json_text(f, "state", ""), *why = pv_json_text(f, "why", "");
    unsigned long number = (unsigned long)pv_json_real(f, "id", 0);
    bool in = is_in(f), room = pv_json_text(f, "room", NULL) != NULL;
    if (pv_json_bool(f, "again"))
        why = OFFER_AGAIN;
    if (in && strcmp(state, "offered") == 0)
        snprintf(line, cap, "%s%soffers %s (%s): /accept %lu, /refuse %lu", room ? peer : "",
                 room ? " " : "", name, PV_BYTES_STR(pv_json_real(f, "size", 0)), number, number);
    else if (in && strcmp(state, "done") == 0)
        snprintf(line, cap, "%s%s%s has arrived: /get %lu", name, room ? " of " : "",
                 room ? peer : "", number);
    else if (in && strcmp(state, "saved") == 0)
        return false; /* that was said by the one who saved it */
    else
        snprintf(line, cap, "file %s %s %s (%s)%s%s", in ? "from" : "to", peer, name, state,
                 why[0] != '\0' ? ": " : "", why);
    return true;
}

/* Of a file that stopped, or is complete, nothing more is said. */
static void end_progress(struct pv_tui *t)
{
    if (strcmp(t->note, t->progress) == 0)
        t->note[0] = '\0';
}

/* time: of the notice, Unix seconds. */
static void take_file(struct pv_tui *t, const json_t *f, double time)
{
    char line[640];
    const char *state = pv_json_text(f, "state", "");
    uint32_t number = (uint32_t)pv_json_real(f, "id", 0);
    struct pv_tui_line *offer;
    size_t index = place_to_tell(t, f, &offer);
    t->files_moving = t->files_moving || strcmp(state, "accepted") == 0;
    if (index == SIZE_MAX || !is_news(t, f))
        return;
    end_progress(t); /* the next list has that of the others */
    /* It is said when it is saved. */
    bool taken = is_in(f) && strcmp(state, "done") == 0 && take_it(t, number);
    struct pv_tui_conv *c = &t->convs[index];
    if (offer != NULL) {
        pv_tui_want_list(t, PV_TUI_FILES);
    } else if (!taken && words_of(f, line, sizeof(line))) {
        size_t before = c->n_lines;
        pv_tui_notice_at(t, c, line, time);
        if (c->n_lines > before) {
            c->lines[before].file = is_in(f) ? number : 0;
            snprintf(c->lines[before].key, sizeof(c->lines[before].key), "%s",
                     pv_json_text(f, "key", ""));
        }
    } else {
        return;
    }
    /* The one who saves it has an answer. */
    const bool answered = taken || (is_in(f) && strcmp(state, "saved") == 0);
    if (index == t->current || answered || !(is_in(f) || offer == NULL))
        return;
    pv_tui_note(t, is_in(f) ? FILE_OF : "a file to %s: /open %s", pv_json_text(f, "peer", "?"),
                c->name);
    c->offers += is_in(f) && offer == NULL && strcmp(state, "offered") == 0;
}

void pv_tui_take_file(struct pv_tui *t, const json_t *body)
{
    take_file(t, json_object_get(body, "file"), t->now);
}

void pv_tui_take_offered(struct pv_tui *t, const json_t *body)
{
    bool known;
    size_t room;
    const json_t *f = json_object_get(body, "file");
    pv_tui_take_file(t, body);
    t->files[place_of(t, (uint32_t)pv_json_real(f, "id", 0), &known)].mine =
        offer_of(t, f, &room) == NULL;
}

/* Also of one that no event has told of, as it was offered before this chat began: what it was then
 * is no news when it is told again. One of a muted peer stays unknown: what becomes of it is no
 * news either. */
static void note_way(struct pv_tui *t, const json_t *f, bool first)
{
    const char *state = pv_json_text(f, "state", "");
    bool known;
    if (is_old(state, is_in(f)) || pv_json_bool(f, "muted"))
        return;
    const size_t i = place_of(t, (uint32_t)pv_json_real(f, "id", 0), &known);
    t->files[i].in = is_in(f);
    if (first && t->files[i].state[0] == '\0')
        snprintf(t->files[i].state, sizeof(t->files[i].state), "%s", state);
}

/* How far an accepted file is, or what it waits for. That may last, and leaves another note alone.
 */
static void note_progress(struct pv_tui *t, const json_t *f)
{
    const char *name = pv_json_text(f, "name", "?"), *peer = pv_json_text(f, "peer", "?");
    const char *way = is_in(f) ? "from" : "to", *why = pv_json_text(f, "why", "");
    const double size = pv_json_real(f, "size", 0), done = pv_json_real(f, "done", 0);
    if (pv_json_bool(f, "running") && size > 0)
        pv_tui_note(t, "%s %s %s: %.0f %% of %s", name, way, peer, 100.0 * done / size,
                    PV_BYTES_STR(size));
    else if (why[0] != '\0' && t->note[0] == '\0')
        pv_tui_note(t, "%s %s %s waits: %s", name, way, peer, why);
    else
        return;
    if (t->paste == NULL)
        memcpy(t->progress, t->note, sizeof(t->progress));
}

/* "3  from pi: photo.jpg (2.9 MiB), received: /get 3" */
static void tell_listed(struct pv_tui *t, const json_t *f)
{
    char todo[48] = "";
    const char *state = pv_json_text(f, "state", "?");
    const unsigned long number = (unsigned long)pv_json_real(f, "id", 0);
    const bool in = is_in(f), received = in && strcmp(state, "done") == 0;
    if (in && strcmp(state, "offered") == 0)
        snprintf(todo, sizeof(todo), ": /accept %lu, /refuse %lu", number, number);
    else if (received)
        snprintf(todo, sizeof(todo), ": /get %lu", number);
    pv_tui_notice(t, &t->convs[t->current],
                  PV_STR("%lu  %s %.80s: %.255s (%s), %.20s%s", number, in ? "from" : "to",
                         pv_json_text(f, "peer", "?"), pv_json_text(f, "name", "?"),
                         PV_BYTES_STR(pv_json_real(f, "size", 0)), received ? "received" : state,
                         todo));
}

/* The answer to /files. */
static void tell_list(struct pv_tui *t, const json_t *files)
{
    PV_EACH_JSON(files, f)
        tell_listed(t, f);
    if (json_array_size(files) == 0)
        pv_tui_notice(t, &t->convs[t->current], "no files: /send-file FILE offers one");
}

void pv_tui_take_files(struct pv_tui *t, const json_t *body)
{
    const bool first = !t->has_files;
    if (t->files_asked)
        tell_list(t, json_object_get(body, "files"));
    t->files_asked = false;
    t->has_files = true;
    t->files_moving = false;
    end_progress(t);
    PV_EACH_JSON(json_object_get(body, "files"), f) {
        /* An offer that waited before this chat began has no event, and a muted one none at all. */
        if (first && is_in(f) && !pv_json_bool(f, "muted") &&
            (pv_json_is(f, "state", "offered") || pv_json_is(f, "state", "done")))
            take_file(t, f, pv_json_real(f, "time", 0));
        if (first && is_lost(t, f))
            take_file(t, f, t->now);
        note_way(t, f, first);
        tell_in_room(t, json_object_get(body, "files"), f);
        if (!pv_json_is(f, "state", "accepted"))
            continue;
        t->files_moving = true;
        note_progress(t, f);
    }
}
