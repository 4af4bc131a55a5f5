/* SPDX-License-Identifier: MIT */
/* tuihistory.c - pages of former messages, and what changes when p2pvpnd goes and is back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "chat/screen/model/tuimodel_int.h"
#include "ctl/lib/show.h"

void pv_tui_tell_hands(struct pv_tui *t, struct pv_tui_conv *c, const char *text, double at)
{
    const size_t before = c->n_lines;
    pv_tui_notice_at(t, c, text, at);
    if (c->n_lines > before)
        c->lines[before].hands = true;
}

bool pv_tui_tell_change(struct pv_tui *t, struct pv_tui_conv *c, const char *name, const char *key,
                        double since, double at)
{
    char text[PV_SHOW_CHANGE_BUF];
    if (since <= pv_tui_told_since(t, c, name))
        return false;
    (void)json_object_set_new(pv_tui_told_in(t, c), name, json_real(since));
    pv_tui_tell_hands(t, c, pv_show_change(name, since, key, text), at);
    return true;
}

/* How many lines of old are before the first that c has too; where it has none, before its time. */
static size_t first_known(struct pv_tui_conv *c, const struct pv_tui_conv *old)
{
    size_t i = 0, older = 0, first = 0;
    while (i < old->n_lines && pv_tui_find_line(c, old->lines[i].id) == NULL)
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
            (void)pv_tui_add_line(c, *line);
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
    pv_tui_insert_line(c, line, line.id[0] == '\0' ? before : "");
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
    const bool anew = pv_tui_tell_change(t, c, name, key, since, since) || (first && since > 0);
    if (anew && index == t->current && json_array_size(json_object_get(body, "messages")) > 0)
        pv_tui_note(t, "%s", pv_show_change(name, since, key, change));
    PV_EACH_JSON(json_object_get(body, "messages"), msg) {
        char other[PV_NAME_BUF];
        struct pv_tui_line line = pv_tui_line_of(t, msg, other);
        const struct pv_tui_line *known = pv_tui_find_line(&old, line.id);
        if (!line.outgoing && known != NULL) {
            line.state = known->state; /* what is read is counted by that */
            line.top = known->top;
            line.shown = known->shown;
        } else if (!line.outgoing) {
            c->unread += line.state == PV_CHAT_UNREAD;
        }
        line.text = pv_tui_harmless(pv_json_text(msg, "text", ""));
        line.order = ++t->last_order;
        (void)pv_tui_add_line(c, line);
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
        if (pv_tui_keep_over(c, *line))
            continue;
        if (stays && pv_tui_find_line(c, line->id) == NULL)
            insert_again(t, c, *line, before);
        else
            free(old.lines[i].text);
        before = line->id[0] == '\0' ? before : line->id;
    }
    free(old.lines);
    pv_tui_sort_room(c);
}

void pv_tui_take_former(struct pv_tui *t, const char *peer, const json_t *body)
{
    const json_t *list = json_object_get(body, "messages");
    const json_t *newest = json_array_get(list, json_array_size(list) - 1);
    char name[PV_NAME_BUF] = "";
    /* A key may have been typed: what comes goes to this name. */
    if (newest != NULL)
        (void)pv_tui_line_of(t, newest, name);
    /* In a room that was made a moment ago nobody has said anything. */
    size_t index = name[0] != '\0' ? pv_tui_find(t, name, true) : pv_tui_find_named(t, peer);
    if (name[0] == '\0' && index != SIZE_MAX && pv_tui_conv_is_room(&t->convs[index])) {
        t->opening[0] = '\0';
        (void)pv_tui_open_asked(t, index);
        return;
    }
    if (name[0] == '\0' || index == SIZE_MAX) {
        pv_tui_miss(t);
        pv_tui_note(t, "no messages with %.63s", peer);
        return;
    }
    t->opening[0] = '\0';
    if (pv_tui_is_room(name)) /* whether this node left it */
        pv_tui_want_list(t, PV_TUI_ROOMS);
    t->convs[index].asked = true;
    pv_tui_take_history(t, name, body);
    if (pv_tui_open_asked(t, index) && pv_name_is_valid(peer) && strcmp(peer, name) != 0)
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
            pv_tui_seek(t, c, 0);
        return;
    }
    size_t total = c->n_lines + json_array_size(list);
    struct pv_tui_line *lines =
        total > PV_TUI_MAX_LINES ? NULL : reallocarray(NULL, total, sizeof(*lines));
    if (lines == NULL)
        return;
    PV_EACH_JSON(list, msg) {
        char other[PV_NAME_BUF];
        lines[n] = pv_tui_line_of(t, msg, other);
        lines[n].text = pv_tui_harmless(pv_json_text(msg, "text", ""));
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
    pv_tui_sort_room(c);
    if (seeks)
        pv_tui_seek(t, c, n);
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
