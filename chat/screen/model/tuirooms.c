/* SPDX-License-Identifier: MIT */
/* tuirooms.c - rooms: the list, the members, and the commands about them. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "chat/proto/room.h"
#include "chat/screen/model/tuimodel_int.h"

/* A room that was left may be forgotten, and another one get its name; or this machine is in
 * another network. */
static void take_address(struct pv_tui *t, struct pv_tui_conv *c, const char *address)
{
    bool another = c->address[0] != '\0' && strcmp(c->address, address) != 0;
    snprintf(c->address, sizeof(c->address), "%s", address);
    if (!another)
        return;
    pv_tui_notice(t, c, PV_STR("%s is another room from here on", c->name));
    pv_tui_take_another(t, c);
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
        if (pv_tui_open_asked(t, index))
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
