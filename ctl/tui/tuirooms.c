/* SPDX-License-Identifier: MIT */
/* tuirooms.c - rooms of the terminal chat: which there are, who is in them, what is asked of them.
 */
#include <stdio.h>
#include <string.h>

#include "ctl/lib/show.h"
#include "ctl/tui/tuimodel_int.h"

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

void pv_tui_take_rooms(struct pv_tui *t, const json_t *body)
{
    const json_t *room;
    size_t i;
    json_array_foreach(json_object_get(body, "rooms"), i, room)
    {
        const char *name = pv_json_text(room, "room", "");
        /* A room that this node left gets no new pane; a pane that exists keeps its lines. */
        bool left = pv_json_bool(room, "left");
        size_t index = pv_tui_is_room(name) ? pv_tui_find(t, name, !left) : SIZE_MAX;
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
    size_t index = pv_tui_is_room(name) ? pv_tui_find(t, name, true) : SIZE_MAX;
    if (index == SIZE_MAX)
        return;
    snprintf(line, sizeof(line), "%s %s%s%s", pv_json_text(body, "peer", "?"),
             invited ? "was invited by " : "left", invited ? pv_json_text(body, "by", "?") : "",
             invited && pv_json_bool(body, "self")
                 ? ": who says something here accepts, /leave declines"
                 : "");
    pv_tui_notice(t, &t->convs[index], line);
    if (index != t->current)
        pv_tui_note(t, "%s: %s", name, line);
    pv_tui_want(t, PV_TUI_ROOMS, "", NULL);
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
        pv_tui_notice(t, &t->convs[t->current], line);
    }
}

void pv_tui_take_done(struct pv_tui *t, const struct pv_tui_action *action, const json_t *body)
{
    if (action->kind == PV_TUI_MUTE || action->kind == PV_TUI_UNMUTE) {
        pv_tui_note(t,
                    action->kind == PV_TUI_MUTE
                        ? "%s is muted: its words stand here, as read; /unmute ends that"
                        : "%s is not muted any more",
                    action->peer);
        return;
    }
    const char *name = pv_json_text(body, "room", "");
    size_t index = pv_tui_is_room(name) ? pv_tui_find(t, name, true) : SIZE_MAX;
    if (index == SIZE_MAX)
        return;
    if (action->kind == PV_TUI_MAKE) {
        pv_tui_open(t, index);
        pv_tui_note(t, "%s is open: /invite NAME", name);
    } else if (action->kind == PV_TUI_INVITE) {
        pv_tui_note(t, "%s is invited to %s", action->text == NULL ? "?" : action->text, name);
    } else {
        pv_tui_note(t, "left %s; its lines stay here", name);
    }
    pv_tui_want(t, PV_TUI_ROOMS, "", NULL);
}

bool pv_tui_run_room(struct pv_tui *t, enum pv_tui_word word, const char *name)
{
    const struct pv_tui_conv *c = &t->convs[t->current];
    if (word == PV_TUI_W_ROOM && (name[0] == '\0' || (name[0] == '#' && name[1] == '\0'))) {
        pv_tui_note(t, "/room NAME");
        return false;
    }
    if (word == PV_TUI_W_ROOM) {
        pv_tui_want(t, PV_TUI_MAKE, name, NULL);
        return true;
    }
    if (!c->is_room) {
        pv_tui_note(t, "that is for a room: /open #NAME first, or /room NAME makes one");
        return false;
    }
    if (word == PV_TUI_W_INVITE && name[0] == '\0') {
        pv_tui_note(t, "/invite NAME");
        return false;
    }
    if (word == PV_TUI_W_INVITE)
        pv_tui_want(t, PV_TUI_INVITE, c->name, strdup(name));
    else
        pv_tui_want(t, word == PV_TUI_W_LEAVE ? PV_TUI_LEAVE : PV_TUI_MEMBERS, c->name, NULL);
    return true;
}
