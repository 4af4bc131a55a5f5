/* SPDX-License-Identifier: MIT */
/* tuimessages.c - a message that came or was sent, and what becomes of it. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "chat/screen/model/tuimodel_int.h"
#include "ctl/lib/show.h"

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

struct pv_tui_line pv_tui_line_of(const struct pv_tui *t, const json_t *msg,
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

void pv_tui_insert_line(struct pv_tui_conv *c, struct pv_tui_line line, const char *before)
{
    if (!pv_tui_add_line(c, line))
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

void pv_tui_sort_room(struct pv_tui_conv *c)
{
    for (size_t i = 1; pv_tui_conv_is_room(c) && i < c->n_lines; i++) {
        const struct pv_tui_line *line = &c->lines[i];
        if (line->over[0] != '\0' || (line->id[0] != '\0' && line->id[0] != '~'))
            (void)move_to_time(c, i);
    }
}

bool pv_tui_keep_over(struct pv_tui_conv *c, struct pv_tui_line notice)
{
    if (pv_tui_find_line(c, notice.over) == NULL)
        return false;
    if (!pv_tui_add_line(c, notice))
        return true;
    struct pv_tui_line *at = pv_tui_find_line(c, notice.over), *last = &c->lines[c->n_lines - 1];
    if (at != NULL) {
        memmove(at + 1, at, (size_t)(last - at) * sizeof(*at));
        *at = notice;
    }
    return true;
}

json_t *pv_tui_told_in(struct pv_tui *t, const struct pv_tui_conv *c)
{
    if (json_object_get(t->told, c->name) == NULL)
        (void)json_object_set_new(t->told, c->name, json_object());
    return json_object_get(t->told, c->name);
}

double pv_tui_told_since(struct pv_tui *t, const struct pv_tui_conv *c, const char *name)
{
    return pv_json_real(pv_tui_told_in(t, c), name, 0);
}

void pv_tui_take_message(struct pv_tui *t, const json_t *msg)
{
    char peer[PV_NAME_BUF];
    struct pv_tui_line line = pv_tui_line_of(t, msg, peer);
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
    struct pv_tui_line *known = pv_tui_find_line(c, line.id);
    const bool shown = index == t->current && c->scroll == 0;
    if (known != NULL) {
        /* Unread ones are told in the order in which they came. That it was read may have been on
         * its way to a daemon that went. */
        if (!line.outgoing && line.state == PV_CHAT_UNREAD) {
            c->unread += known->state != PV_CHAT_UNREAD;
            known->state = PV_CHAT_UNREAD;
            known->order = ++t->last_order;
            if (!pv_tui_conv_is_room(c))
                pv_tui_move_to_end(c, known);
        }
        return;
    }
    char change[PV_SHOW_CHANGE_BUF];
    if (pv_show_change_once(pv_tui_told_in(t, c), msg, change) != NULL) {
        struct pv_tui_line notice =
            pv_tui_notice_of(t, change, pv_json_real(msg, "another_since", t->now));
        notice.hands = true;
        /* In a room others may have said much since: it is seen right above this line. */
        if (pv_tui_conv_is_room(c)) {
            memcpy(notice.over, line.id, sizeof(notice.over));
            notice.sort = line.sort;
            if (pv_tui_add_line(c, notice))
                (void)move_to_time(c, c->n_lines - 1);
        } else {
            pv_tui_insert_line(c, notice, "");
        }
        c->came += index == t->current && c->scroll > 0; /* what is looked at stays in its place */
    }
    line.text = pv_tui_harmless(pv_json_text(msg, "text", ""));
    bool unread = !line.outgoing && line.state == PV_CHAT_UNREAD;
    line.order = ++t->last_order;
    if (!pv_tui_add_line(c, line))
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
        pv_tui_find_new(now);
}

void pv_tui_take_sent(struct pv_tui *t, const json_t *body)
{
    const json_t *msg = json_object_get(body, "message");
    const char *to = pv_json_text(msg, "to", "");
    size_t index = pv_tui_find(t, to, false);
    const double told = index == SIZE_MAX ? 0 : pv_tui_told_since(t, &t->convs[index], to);
    pv_tui_take_message(t, msg);
    pv_tui_give(t, msg);
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
    const double since = index == SIZE_MAX ? 0 : pv_tui_told_since(t, &t->convs[index], to);
    char change[PV_SHOW_CHANGE_BUF];
    if (index != t->current && since > told)
        pv_tui_note(t, "%s; %s", text,
                    pv_show_change(to, since, pv_json_text(msg, "former", "?"), change));
    if (waits)
        snprintf(t->note_id, sizeof(t->note_id), "%s", pv_json_text(msg, "id", ""));
}

void pv_tui_take_state(struct pv_tui *t, const json_t *body)
{
    const char *id = pv_json_text(body, "msg_id", "");
    size_t index = pv_tui_find(t, pv_json_text(body, "peer", ""), false);
    struct pv_tui_line *line = index == SIZE_MAX ? NULL : pv_tui_find_line(&t->convs[index], id);
    /* A pane keeps the name that its peer had when it was opened. */
    for (size_t i = 0; i < t->n_convs && line == NULL; i++)
        line = pv_tui_find_line(&t->convs[i], id);
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
