/* SPDX-License-Identifier: MIT */
/* What the chat knows: conversations, their lines, who is there; and what it wants asked. Pure: no
 * terminal and no socket, so that a test can type and answer. */
#include "ctl/tui/tuimodel.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "ctl/lib/show.h"
#include "ctl/tui/tuiwords.h"

static void note(struct pv_tui *t, const char *fmt, ...) PV_PRINTF(2, 3);
static void note(struct pv_tui *t, const char *fmt, ...)
{
    char text[PV_TUI_NOTE];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    /* The bar has one row. The text may come from another node: pv_chat_show() takes the control
     * characters out of it that could command the terminal. */
    text[strcspn(text, "\n")] = '\0';
    pv_chat_show(pv_view(text, strlen(text)), t->note, sizeof(t->note));
}

static void want(struct pv_tui *t, enum pv_tui_action_kind kind, const char *peer, char *text)
{
    /* The text goes back into the input line, so that nothing that was typed is lost. */
    if (t->n_actions == PV_TUI_MAX_ACTIONS) {
        if (text != NULL)
            pv_tui_take_error(t, "too much at once: wait a moment", text);
        free(text);
        return;
    }
    struct pv_tui_action *a = &t->actions[t->n_actions++];
    *a = (struct pv_tui_action){.kind = kind, .text = text};
    snprintf(a->peer, sizeof(a->peer), "%s", peer);
}

int pv_tui_poll(struct pv_tui *t, struct pv_tui_action *ret_action)
{
    if (t->n_actions == 0)
        return PV_ERR_AGAIN;
    *ret_action = t->actions[0];
    memmove(t->actions, t->actions + 1, --t->n_actions * sizeof(t->actions[0]));
    return PV_OK;
}

/* --- conversations --------------------------------------------------------------------------- */

int pv_tui_init(struct pv_tui *t)
{
    /* Index 0 exists from the beginning: "current" points to it, and notices need a pane. */
    memset(t, 0, sizeof(*t));
    return pv_tui_find(t, "", true) == SIZE_MAX ? PV_ERR_NOMEM : PV_OK;
}

static void drop_lines(struct pv_tui_line *lines, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(lines[i].text);
}

void pv_tui_done(struct pv_tui *t)
{
    for (size_t i = 0; i < t->n_convs; i++) {
        drop_lines(t->convs[i].lines, t->convs[i].n_lines);
        free(t->convs[i].lines);
    }
    free(t->convs);
    for (size_t i = 0; i < t->n_actions; i++)
        free(t->actions[i].text);
    pv_tuiedit_done(&t->edit);
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
        t->cap_convs = cap;
    }
    struct pv_tui_conv *c = &t->convs[low];
    memmove(c + 1, c, (t->n_convs - low) * sizeof(*c));
    *c = (struct pv_tui_conv){.rtt_ms = -1, .path = "none", .is_room = name[0] == '#'};
    memcpy(c->name, name, strlen(name) + 1);
    if (t->n_convs++ > 0 && low <= t->current)
        t->current++;
    return low;
}

static void mark_read(struct pv_tui *t, struct pv_tui_conv *c)
{
    /* Only unread messages are worth a request: one for every opened pane would fill the queue
     * of actions. */
    if (c->unread == 0)
        return;
    c->unread = 0;
    want(t, PV_TUI_READ, c->name, NULL);
}

void pv_tui_open(struct pv_tui *t, size_t index)
{
    if (index >= t->n_convs)
        return;
    struct pv_tui_conv *c = &t->convs[index];
    t->current = index;
    t->note[0] = '\0';
    c->scroll = 0;
    /* Each history is asked for once: pv_tui_take_history() replaces all lines, and events keep
     * them up to date afterwards. The network's pane (index 0) has no other side to ask about. */
    if (index > 0 && !c->asked) {
        c->asked = true;
        want(t, PV_TUI_HISTORY, c->name, NULL);
    }
    mark_read(t, c);
}

/* --- lines ----------------------------------------------------------------------------------- */

/* Among the newest: what is told twice or changes its state is not long ago. */
static struct pv_tui_line *find_line(struct pv_tui_conv *c, const char *id)
{
    size_t end = c->n_lines > PV_TUI_RECENT ? c->n_lines - PV_TUI_RECENT : 0;
    for (size_t i = c->n_lines; i > end && id[0] != '\0'; i--) {
        if (strcmp(c->lines[i - 1].id, id) == 0)
            return &c->lines[i - 1];
    }
    return NULL;
}

/* Takes the line's text, also when there is no room. */
static bool add_line(struct pv_tui_conv *c, struct pv_tui_line line)
{
    if (line.text == NULL)
        return false;
    /* A chat that runs for months must not grow without bound: the oldest line goes. */
    if (c->n_lines == PV_TUI_MAX_LINES) {
        free(c->lines[0].text);
        memmove(c->lines, c->lines + 1, --c->n_lines * sizeof(c->lines[0]));
    }
    if (c->n_lines == c->cap) {
        size_t cap = c->cap == 0 ? 64 : 2 * c->cap;
        struct pv_tui_line *grown = reallocarray(c->lines, cap, sizeof(*grown));
        if (grown == NULL) {
            free(line.text);
            return false;
        }
        c->lines = grown;
        c->cap = cap;
    }
    c->lines[c->n_lines++] = line;
    return true;
}

/* A harmless copy; a newline of the text stays one. NULL without memory. */
static char *harmless(const char *text)
{
    size_t len = strlen(text), cap = 5 * len + 1;
    char *copy = malloc(cap);
    if (copy != NULL)
        pv_chat_show(pv_view(text, len), copy, cap);
    return copy;
}

static void add_notice(struct pv_tui_conv *c, const char *text)
{
    (void)add_line(c, (struct pv_tui_line){.text = harmless(text)});
}

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

/* Fills what a message says; *ret_peer is the other side. */
static struct pv_tui_line line_of(const struct pv_tui *t, const json_t *msg, const char **ret_peer)
{
    struct pv_tui_line line = {.time = pv_json_real(msg, "time", 0)};
    const char *from = pv_json_text(msg, "from", "");
    line.outgoing = strcmp(from, t->me) == 0;
    line.state = state_of(pv_json_text(msg, "state", ""));
    snprintf(line.id, sizeof(line.id), "%s", pv_json_text(msg, "id", ""));
    /* The view prints the name as it is, so only a valid name, which cannot contain control
     * characters, gets through. */
    snprintf(line.from, sizeof(line.from), "%s", pv_name_is_valid(from) ? from : "?");
    *ret_peer = line.outgoing ? pv_json_text(msg, "to", "") : from;
    if (json_is_string(json_object_get(msg, "room")))
        *ret_peer = pv_json_text(msg, "room", "");
    return line;
}

void pv_tui_take_message(struct pv_tui *t, const json_t *msg)
{
    const char *peer;
    struct pv_tui_line line = line_of(t, msg, &peer);
    size_t index = peer[0] == '\0' ? SIZE_MAX : pv_tui_find(t, peer, true);
    if (index == SIZE_MAX || line.id[0] == '\0')
        return;
    struct pv_tui_conv *c = &t->convs[index];
    /* The daemon may tell one message twice: begin() of tui.c starts to watch before it asks for
     * the unread messages. */
    struct pv_tui_line *known = find_line(c, line.id);
    if (known != NULL)
        return;
    line.text = harmless(pv_json_text(msg, "text", ""));
    bool unread = !line.outgoing && line.state == PV_CHAT_UNREAD;
    if (!add_line(c, line))
        return;
    c->unread += unread;
    /* Messages of the open conversation are read as they appear; the bar tells of the others. */
    if (index == t->current)
        mark_read(t, c);
    else if (unread)
        note(t, "new from %s", c->name);
}

void pv_tui_take_sent(struct pv_tui *t, const json_t *body)
{
    const json_t *msg = json_object_get(body, "message");
    pv_tui_take_message(t, msg);
    if (!pv_json_bool(body, "online") && json_is_string(json_object_get(msg, "room")))
        note(t, "queued: nobody else of %s is there", pv_json_text(msg, "room", "?"));
    else if (!pv_json_bool(body, "online"))
        note(t, "queued: %s is away and gets it when it is back", pv_json_text(msg, "to", "?"));
}

/* The answer takes the place of what is shown: lines that came by events meanwhile, and notices,
 * which the daemon does not know, are put behind it. */
void pv_tui_take_history(struct pv_tui *t, const char *peer, const json_t *body)
{
    size_t index = pv_tui_find(t, peer, false), i;
    const json_t *msg;
    if (index == SIZE_MAX)
        return;
    struct pv_tui_conv *c = &t->convs[index];
    struct pv_tui_conv old = *c;
    c->lines = NULL;
    c->n_lines = c->cap = 0;
    json_array_foreach(json_object_get(body, "messages"), i, msg)
    {
        const char *other;
        struct pv_tui_line line = line_of(t, msg, &other);
        line.text = harmless(pv_json_text(msg, "text", ""));
        (void)add_line(c, line);
    }
    /* What came in the meantime, and notices. */
    for (i = 0; i < old.n_lines; i++) {
        if (find_line(c, old.lines[i].id) == NULL)
            (void)add_line(c, old.lines[i]);
        else
            free(old.lines[i].text);
    }
    free(old.lines);
    c->more = pv_json_bool(body, "more");
}

void pv_tui_take_older(struct pv_tui *t, const char *peer, const json_t *body)
{
    const json_t *list = json_object_get(body, "messages"), *msg;
    size_t index = pv_tui_find(t, peer, false), n = 0, i;
    if (index == SIZE_MAX || json_array_size(list) == 0)
        return;
    struct pv_tui_conv *c = &t->convs[index];
    size_t total = c->n_lines + json_array_size(list);
    /* When the limit is reached the older page is dropped. add_line() would drop the newest
     * lines of the page instead. "more" stays false then, so that nobody asks for the page
     * again. */
    struct pv_tui_line *lines =
        total > PV_TUI_MAX_LINES ? NULL : reallocarray(NULL, total, sizeof(*lines));
    if (lines == NULL)
        return;
    json_array_foreach(list, i, msg)
    {
        const char *other;
        lines[n] = line_of(t, msg, &other);
        lines[n].text = harmless(pv_json_text(msg, "text", ""));
        n += lines[n].text != NULL;
    }
    if (c->n_lines > 0)
        memcpy(lines + n, c->lines, c->n_lines * sizeof(*lines));
    free(c->lines);
    c->lines = lines;
    c->cap = total;
    c->n_lines += n;
    c->more = pv_json_bool(body, "more");
}

/* At the first line there is here: the daemon may have older ones. */
static void page_up(struct pv_tui *t, struct pv_tui_conv *c, size_t page)
{
    size_t first = 0;
    c->scroll += page;
    /* Notices have no id that the daemon knows: the first message is the place to go on from. */
    while (first < c->n_lines && c->lines[first].id[0] == '\0')
        first++;
    if (!c->at_top || !c->more || first == c->n_lines)
        return;
    c->more = false; /* until the answer says so */
    want(t, PV_TUI_OLDER, c->name, strdup(c->lines[first].id));
}

/* --- files ----------------------------------------------------------------------------------- */

/* False: it was in this state when it was told last. */
static bool is_news(struct pv_tui *t, uint32_t number, const char *state)
{
    /* The array is a ring. When a file has fallen out of it, the file is at worst announced
     * twice. */
    size_t n = t->n_files < PV_TUI_MAX_FILES ? t->n_files : PV_TUI_MAX_FILES, i = 0;
    while (i < n && t->files[i].number != number)
        i++;
    if (i == n)
        i = t->n_files++ % PV_TUI_MAX_FILES;
    else if (strcmp(t->files[i].state, state) == 0)
        return false;
    t->files[i].number = number;
    snprintf(t->files[i].state, sizeof(t->files[i].state), "%s", state);
    return true;
}

void pv_tui_take_file(struct pv_tui *t, const json_t *body)
{
    const json_t *f = json_object_get(body, "file");
    char line[640], size[PV_SHOW_BUF];
    const char *peer = pv_json_text(f, "peer", ""), *name = pv_json_text(f, "name", "?");
    const char *state = pv_json_text(f, "state", ""), *why = pv_json_text(f, "why", "");
    unsigned long number = (unsigned long)pv_json_real(f, "id", 0);
    bool in = strcmp(pv_json_text(f, "direction", ""), "in") == 0;
    size_t index = peer[0] == '\0' ? SIZE_MAX : pv_tui_find(t, peer, true);
    if (index == SIZE_MAX || !is_news(t, (uint32_t)number, state))
        return;
    pv_bytes_format(pv_json_real(f, "size", 0), size);
    if (in && strcmp(state, "offered") == 0)
        snprintf(line, sizeof(line), "offers %s (%s): /accept %lu or /refuse %lu", name, size,
                 number, number);
    else if (in && strcmp(state, "done") == 0)
        snprintf(line, sizeof(line), "%s has arrived: p2pvpnctl files get %lu", name, number);
    else
        snprintf(line, sizeof(line), "file %s %s %s (%s)%s%s", in ? "from" : "to", peer, name,
                 state, why[0] != '\0' ? ": " : "", why);
    add_notice(&t->convs[index], line);
    if (index != t->current)
        note(t, "a file of %s: /open %s", peer, peer);
}

void pv_tui_take_state(struct pv_tui *t, const json_t *body)
{
    size_t index = pv_tui_find(t, pv_json_text(body, "peer", ""), false);
    struct pv_tui_line *line =
        index == SIZE_MAX ? NULL : find_line(&t->convs[index], pv_json_text(body, "msg_id", ""));
    enum pv_chat_state state = state_of(pv_json_text(body, "state", ""));
    /* Events and answers can cross: a state only advances, so that a late "sent" does not undo
     * "read". */
    if (line != NULL && line->outgoing && state > line->state)
        line->state = state;
}

/* --- who is there ---------------------------------------------------------------------------- */

void pv_tui_take_status(struct pv_tui *t, const json_t *body)
{
    snprintf(t->me, sizeof(t->me), "%s", pv_json_text(json_object_get(body, "self"), "name", ""));
    snprintf(t->network, sizeof(t->network), "%s",
             pv_json_text(json_object_get(body, "network"), "name", ""));
}

static void tell_peer(struct pv_tui *t, const json_t *peer, const struct pv_tui_conv *c)
{
    char line[256];
    snprintf(line, sizeof(line), "%-16s %-15s %s%s%s", c->name, pv_json_text(peer, "ip4", "-"),
             c->online ? "online" : "away", strcmp(c->path, "none") == 0 ? "" : ", ",
             strcmp(c->path, "none") == 0 ? "" : c->path);
    add_notice(&t->convs[t->current], line);
}

void pv_tui_take_peers(struct pv_tui *t, const json_t *body)
{
    const json_t *list = json_object_get(body, "peers"), *peer;
    /* Every refresh brings such a list. Only a list that the person asked for becomes lines. */
    bool told = t->list_asked;
    size_t i;
    t->list_asked = false;
    json_array_foreach(list, i, peer)
    {
        const char *name = pv_json_text(peer, "name", "");
        /* A string that is no name could carry control characters into the roster. */
        size_t index = pv_name_is_valid(name) ? pv_tui_find(t, name, true) : SIZE_MAX;
        if (index == SIZE_MAX)
            continue;
        struct pv_tui_conv *c = &t->convs[index];
        const json_t *path = json_object_get(peer, "path");
        snprintf(c->path, sizeof(c->path), "%s", pv_json_text(path, "type", "none"));
        c->online = pv_json_bool(peer, "online");
        c->is_static = strcmp(c->path, "static") == 0;
        c->rtt_ms = pv_json_real(path, "rtt_ms", -1);
        if (told)
            tell_peer(t, peer, c);
    }
    if (told && json_array_size(list) == 0)
        add_notice(&t->convs[t->current], "nobody else is in this network yet");
}

void pv_tui_take_presence(struct pv_tui *t, const json_t *body)
{
    const char *name = pv_json_text(body, "peer", "");
    size_t index = pv_name_is_valid(name) ? pv_tui_find(t, name, true) : SIZE_MAX;
    if (index == SIZE_MAX)
        return;
    t->convs[index].online = pv_json_bool(body, "online");
    /* The event does not say which path the peer has now. */
    want(t, PV_TUI_PEERS, "", NULL);
}

/* --- rooms ----------------------------------------------------------------------------------- */

/* As the daemon writes it: harmless, and long enough for a '#' and more. */
static bool is_room_name(const char *name)
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

void pv_tui_take_rooms(struct pv_tui *t, const json_t *body)
{
    const json_t *room;
    size_t i;
    json_array_foreach(json_object_get(body, "rooms"), i, room)
    {
        const char *name = pv_json_text(room, "room", "");
        /* A room that this node left gets no new pane; a pane that exists keeps its lines. */
        bool left = pv_json_bool(room, "left");
        size_t index = is_room_name(name) ? pv_tui_find(t, name, !left) : SIZE_MAX;
        if (index == SIZE_MAX)
            continue;
        t->convs[index].left = left;
        t->convs[index].members = (unsigned)json_integer_value(json_object_get(room, "members"));
    }
}

void pv_tui_take_room(struct pv_tui *t, const json_t *body)
{
    char line[256];
    const char *name = pv_json_text(body, "room", "");
    bool invited = strcmp(pv_json_text(body, "what", ""), "invited") == 0;
    size_t index = is_room_name(name) ? pv_tui_find(t, name, true) : SIZE_MAX;
    if (index == SIZE_MAX)
        return;
    snprintf(line, sizeof(line), "%s %s%s", pv_json_text(body, "peer", "?"),
             invited ? "was invited by " : "left", invited ? pv_json_text(body, "by", "?") : "");
    add_notice(&t->convs[index], line);
    if (index != t->current)
        note(t, "%s: %s", name, line);
    want(t, PV_TUI_ROOMS, "", NULL);
}

void pv_tui_take_members(struct pv_tui *t, const json_t *body)
{
    const json_t *m;
    size_t i;
    json_array_foreach(json_object_get(body, "members"), i, m)
    {
        char line[128];
        snprintf(line, sizeof(line), "%-16s %s%s", pv_json_text(m, "name", "?"),
                 pv_json_bool(m, "online") ? "online" : "away",
                 pv_json_bool(m, "creator") ? ", made the room" : "");
        add_notice(&t->convs[t->current], line);
    }
}

void pv_tui_take_done(struct pv_tui *t, const struct pv_tui_action *action, const json_t *body)
{
    const char *name = pv_json_text(body, "room", "");
    size_t index = is_room_name(name) ? pv_tui_find(t, name, true) : SIZE_MAX;
    if (index == SIZE_MAX)
        return;
    if (action->kind == PV_TUI_MAKE) {
        pv_tui_open(t, index);
        note(t, "%s is open: /invite NAME", name);
    } else if (action->kind == PV_TUI_INVITE) {
        note(t, "%s is invited to %s", action->text == NULL ? "?" : action->text, name);
    } else {
        note(t, "left %s; what was said stays here", name);
    }
    want(t, PV_TUI_ROOMS, "", NULL);
}

/* /room, /invite, /leave, /members. */
static void run_room(struct pv_tui *t, enum pv_tui_word word, const char *name)
{
    const struct pv_tui_conv *c = &t->convs[t->current];
    if (word == PV_TUI_W_ROOM && (name[0] == '\0' || (name[0] == '#' && name[1] == '\0')))
        note(t, "/room NAME");
    else if (word == PV_TUI_W_ROOM)
        want(t, PV_TUI_MAKE, name, NULL);
    else if (!c->is_room)
        note(t, "that is for a room: /open #NAME first, or /room NAME makes one");
    else if (word == PV_TUI_W_INVITE && name[0] == '\0')
        note(t, "/invite NAME");
    else if (word == PV_TUI_W_INVITE)
        want(t, PV_TUI_INVITE, c->name, strdup(name));
    else
        want(t, word == PV_TUI_W_LEAVE ? PV_TUI_LEAVE : PV_TUI_MEMBERS, c->name, NULL);
}

void pv_tui_take_error(struct pv_tui *t, const char *error, const char *text)
{
    note(t, "%s", error);
    /* A line that was begun since the failed one was sent must not be overwritten. */
    if (text != NULL && t->edit.len == 0)
        pv_tuiedit_set(&t->edit, text);
}

/* --- what is typed --------------------------------------------------------------------------- */

static void send_to(struct pv_tui *t, const char *name, const char *text)
{
    char peer[PV_NAME_BUF];
    size_t index = SIZE_MAX;
    if (is_room_name(name))
        snprintf(peer, sizeof(peer), "%s", name);
    if (is_room_name(name) || pv_name_parse(name, strlen(name), peer) == PV_OK)
        index = pv_tui_find(t, peer, false);
    /* Index 0 is the network's own pane, where nobody reads. */
    if (index == SIZE_MAX || index == 0) {
        note(t, "no peer or room named %.63s: /peers lists them", name);
        pv_tuiedit_set(&t->edit, text);
        return;
    }
    if (index != t->current)
        pv_tui_open(t, index);
    want(t, PV_TUI_SEND, peer, strdup(text));
}

/* A word that begins with "/", or one of those that the line mode has too. What is wrong with it is
 * said in the bar, and the input stays. */
static void run_command(struct pv_tui *t, enum pv_tui_word word, const struct pv_tui_words *w)
{
    size_t index;
    switch (word) {
    case PV_TUI_W_SEND:
        if (w->text[0] != '\0')
            send_to(t, w->name, w->text);
        else
            note(t, "send NAME TEXT");
        break;
    case PV_TUI_W_PEERS:
        t->list_asked = true;
        want(t, PV_TUI_PEERS, "", NULL);
        break;
    case PV_TUI_W_OPEN:
        index = pv_tui_find(t, w->name, false);
        if (index == SIZE_MAX || w->name[0] == '\0')
            note(t, "no peer or room named \"%.63s\": /peers lists them", w->name);
        else
            pv_tui_open(t, index);
        break;
    case PV_TUI_W_CLOSE:
        pv_tui_open(t, 0);
        break;
    case PV_TUI_W_HELP:
        for (size_t i = 0; pv_tui_help[i] != NULL; i++)
            add_notice(&t->convs[t->current], pv_tui_help[i]);
        break;
    case PV_TUI_W_EXIT:
        t->ended = true;
        break;
    case PV_TUI_W_ROOM:
    case PV_TUI_W_INVITE:
    case PV_TUI_W_LEAVE:
    case PV_TUI_W_MEMBERS:
        run_room(t, word, w->name);
        break;
    case PV_TUI_W_ACCEPT:
    case PV_TUI_W_REFUSE:
        /* strtoul() in tui.c would make a number of any word, so the digits are checked here. */
        if (w->name[0] == '\0' || w->name[strspn(w->name, "0123456789")] != '\0')
            note(t, "%s NUMBER", word == PV_TUI_W_ACCEPT ? "/accept" : "/refuse");
        else
            want(t, word == PV_TUI_W_ACCEPT ? PV_TUI_ACCEPT : PV_TUI_REFUSE, "", strdup(w->name));
        break;
    case PV_TUI_W_NONE:
        note(t, "there is no command /%.32s: /help lists them", w->name);
        break;
    }
    /* The answer of a command appears at the bottom. */
    t->convs[t->current].scroll = 0;
}

static void use_line(struct pv_tui *t, char *line)
{
    struct pv_tui_words w;
    bool has_peer = t->current > 0;
    enum pv_tui_word word = pv_tui_split(line, &w);
    /* "send me the file" is a line for the peer, unless there is somebody of that name. */
    bool for_peer = w.classic && word == PV_TUI_W_SEND && has_peer &&
                    (w.text[0] == '\0' || pv_tui_find(t, w.name, false) == SIZE_MAX);
    if (w.is_command && !for_peer) {
        run_command(t, word, &w);
        return;
    }
    if (for_peer)
        w.plain = line;
    if (has_peer)
        send_to(t, t->convs[t->current].name, w.plain);
    else
        note(t, "to whom? /open NAME, or send NAME TEXT; /help lists what there is");
}

static void enter(struct pv_tui *t)
{
    char *line = pv_tuiedit_take(&t->edit);
    t->note[0] = '\0';
    if (line != NULL && line[strspn(line, " ")] != '\0')
        use_line(t, line);
    free(line);
}

/* Extends the word before the cursor as far as it is certain. */
static void complete(struct pv_tui *t)
{
    struct pv_tui_choice choice;
    pv_tui_choices_begin(&choice, t->edit.text, t->edit.cursor);
    for (size_t i = 0; pv_tui_commands[i] != NULL; i++)
        pv_tui_choices_add(&choice, pv_tui_commands[i], true);
    for (size_t i = 1; i < t->n_convs; i++)
        pv_tui_choices_add(&choice, t->convs[i].name, false);
    if (choice.n == 0) {
        note(t, "nothing begins like that");
        return;
    }
    /* One candidate is certain, so the next word can follow at once. */
    if (choice.n == 1) {
        size_t len = strlen(choice.common);
        choice.common[len] = ' ';
        choice.common[len + 1] = '\0';
    }
    pv_tuiedit_replace(&t->edit, choice.len, choice.common);
    note(t, "%s", choice.n == 1 ? "" : choice.list);
}

/* The next conversation that has something unread, around. */
static void next_unread(struct pv_tui *t)
{
    for (size_t i = 1; i <= t->n_convs; i++) {
        size_t index = (t->current + i) % t->n_convs;
        if (t->convs[index].unread == 0)
            continue;
        pv_tui_open(t, index);
        return;
    }
    note(t, "nothing is unread");
}

void pv_tui_key(struct pv_tui *t, enum pv_tui_key key, wchar_t arg)
{
    struct pv_tui_conv *c = &t->convs[t->current];
    size_t page = arg > 0 ? (size_t)arg : 1;
    switch (key) {
    case PV_TUI_CHAR:
        pv_tuiedit_insert(&t->edit, arg);
        break;
    case PV_TUI_EDIT:
        pv_tuiedit_do(&t->edit, (enum pv_tuiedit_op)arg);
        break;
    case PV_TUI_ENTER:
        enter(t);
        break;
    case PV_TUI_TAB:
        complete(t);
        break;
    case PV_TUI_PAGE_UP:
        page_up(t, c, page);
        break;
    case PV_TUI_PAGE_DOWN:
        c->scroll -= c->scroll < page ? c->scroll : page;
        break;
    case PV_TUI_NEXT:
        pv_tui_open(t, (t->current + 1) % t->n_convs);
        break;
    case PV_TUI_PREVIOUS:
        pv_tui_open(t, (t->current + t->n_convs - 1) % t->n_convs);
        break;
    case PV_TUI_NEXT_UNREAD:
        next_unread(t);
        break;
    case PV_TUI_EOF:
        /* As in a shell, Ctrl-D ends an empty line only: a slip of the finger loses no text. */
        t->ended = t->ended || t->edit.len == 0;
        break;
    case PV_TUI_QUIT:
        t->ended = true;
        break;
    }
}
