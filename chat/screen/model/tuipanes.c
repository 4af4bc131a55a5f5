/* SPDX-License-Identifier: MIT */
/* tuipanes.c - conversations and the lines in them: found, made, sorted, freed. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/harmless.h"
#include "base/text.h"
#include "base/vec.h"
#include "chat/screen/model/tuimodel_int.h"
#include "proto/local/remedy.h"

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

int pv_tui_init(struct pv_tui *t)
{
    /* Index 0 exists from the beginning: "current" points to it, and notices need a pane. */
    memset(t, 0, sizeof(*t));
    t->flag = "";
    pv_tui_settings_init(&t->set);
    t->told = json_object();
    t->heard = json_object();
    if (t->told != NULL && t->heard != NULL && pv_tui_find(t, "", true) != SIZE_MAX) {
        pv_tui_change_line(t, &t->convs[0], &t->convs[0]);
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

void pv_tui_free_pane(struct pv_tui_conv *c)
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
        pv_tui_free_pane(&t->convs[i]);
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

void pv_tui_change_line(struct pv_tui *t, struct pv_tui_conv *from, struct pv_tui_conv *to)
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

struct pv_tui_line *pv_tui_find_line(struct pv_tui_conv *c, const char *id)
{
    size_t end = c->n_lines > PV_TUI_RECENT ? c->n_lines - PV_TUI_RECENT : 0;
    for (size_t i = c->n_lines; i > end && id[0] != '\0'; i--) {
        if (strcmp(c->lines[i - 1].id, id) == 0)
            return &c->lines[i - 1];
    }
    return NULL;
}

void pv_tui_drop_line(struct pv_tui_conv *c, struct pv_tui_line *line)
{
    size_t at = (size_t)(line - c->lines);
    free(line->text);
    memmove(line, line + 1, (--c->n_lines - at) * sizeof(*line));
    c->found = 0; /* the lines have other numbers now */
    c->show_found = false;
}

void pv_tui_move_to_end(struct pv_tui_conv *c, struct pv_tui_line *line)
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

bool pv_tui_add_line(struct pv_tui_conv *c, struct pv_tui_line line)
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

char *pv_tui_harmless(const char *text)
{
    size_t len = strlen(text), cap = 5 * len + 1;
    char *copy = malloc(cap);
    if (copy != NULL)
        pv_harmless_show(pv_view(text, len), copy, cap);
    return copy;
}

struct pv_tui_line pv_tui_notice_of(const struct pv_tui *t, const char *text, double time)
{
    return (struct pv_tui_line){
        .text = pv_tui_harmless(text), .time = time, .sort = time > 0 ? time : t->now};
}

void pv_tui_notice_at(struct pv_tui *t, struct pv_tui_conv *c, const char *text, double time)
{
    if (pv_tui_add_line(c, pv_tui_notice_of(t, text, time)))
        c->came += c == &t->convs[t->current] && c->scroll > 0;
}

void pv_tui_notice(struct pv_tui *t, struct pv_tui_conv *c, const char *text)
{
    pv_tui_notice_at(t, c, text, t->now);
}

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

/* As p2pvpnd reads it: capitals mean small letters, but not in the piece of an id behind "~". */
static bool is_room_called(const char *room, const char *typed)
{
    const char *word = typed + (typed[0] == '#');
    const size_t len = strcspn(room, "~");
    return room[0] == '#' && strncasecmp(room + 1, word, len - 1) == 0 &&
           strcmp(room + len, word + len - 1) == 0;
}

/* Is this the machine's address, in whatever spelling, or its key? */
static bool is_at(const struct pv_tui_conv *c, const char *name)
{
    struct pv_addr ip;
    if (pv_addr_parse_ip(name, &ip) < 0)
        return strcmp(name, c->address) == 0;
    const char *text = PV_IP_STR(&ip);
    return strcmp(text, c->ip4) == 0 || strcmp(text, c->ip6) == 0;
}

/* A second conversation under another word would stay empty: what comes goes to the name. */
size_t pv_tui_find_named(struct pv_tui *t, const char *name)
{
    static const char *const ends[] = {".p2p", ""};
    char suffix[PV_NAME_BUF + 8];
    size_t index = pv_tui_find(t, name, false), len = strlen(name);
    for (size_t i = 0; i < PV_ARRAY_LEN(ends); i++) {
        size_t tail = (size_t)snprintf(suffix, sizeof(suffix), ".%s%s", t->network, ends[i]);
        if (index == SIZE_MAX && len > tail && strcasecmp(name + len - tail, suffix) == 0)
            return pv_tui_find(t, PV_STR("%.*s", (int)(len - tail), name), false);
    }
    for (size_t i = 1; i < t->n_convs && index == SIZE_MAX && len > 0; i++) {
        if (is_at(&t->convs[i], name) || is_room_called(t->convs[i].name, name))
            index = i;
    }
    return index;
}

void pv_tui_note_unknown(struct pv_tui *t, const char *name)
{
    if (name[0] == '#')
        pv_tui_note(t, "no room named %.63s: /open shows a room that this node left", name);
    else
        pv_tui_note(t, "no peer or room named %.63s: /peers lists them", name);
}
