/* SPDX-License-Identifier: MIT */
/* rooms_part.c - connects rooms with peers, chatlink's lines, the store and users. */
#include "chat/core/talk/rooms_part.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "chat/core/rooms/rooms.h"
#include "chat/core/talk/chat_part.h"
#include "chat/core/talk/chatlink.h"
#include "chat/core/talk/tell.h"
#include "proto/control/jsonline.h"
#include "proto/local/ctlapi_pack.h"
#include "proto/local/ctlapi_request.h"

#define VALUE_MARKS "rooms-accepted" /* in the store */

struct rooms_part {
    struct pv_chat *chat;
    struct pv_rooms *rooms; /* owned; pv_chat.rooms is the same */
    bool has_marks;         /* those that are kept are there */
};

static void say_line(void *chat, const uint8_t *pk, struct pv_view line, pv_ns now);
static void want_peer(void *chat, const uint8_t *pk, pv_ns now);
static void take_event(void *chat, const struct pv_rooms_event *ev, pv_ns now);

static bool find_known(const void *chat, const uint8_t *pk, struct pv_overlay_member *ret_member)
{
    return pv_chat_known(chat, pk, ret_member);
}

static int start(void *part, const struct pv_chatpart_config *cfg, pv_ns now)
{
    struct rooms_part *r = part;
    struct pv_rooms_config rc = {.rng = r->chat->rng,
                                 .signer = pv_chat_signer(r->chat),
                                 .store = &r->chat->store,
                                 .log = r->chat->log,
                                 .known = find_known,
                                 .admits = pv_chat_may,
                                 .say = say_line,
                                 .want = want_peer,
                                 .tell = take_event,
                                 .owner = r->chat};
    memcpy(rc.own_pk, pv_chat_own(r->chat)->key, sizeof(rc.own_pk));
    int status = pv_rooms_new(&r->rooms, &rc);
    if (status != PV_OK)
        return status;
    r->chat->rooms = r->rooms;
    return PV_OK;
}

/* --- who is there ---------------------------------------------------------------------------- */

static void look_at(struct rooms_part *r, const struct pv_overlay_member *m, pv_ns now)
{
    /* Without the interface no connection can be made, whatever the coordinator says of
     * the peer. */
    const bool there = pv_chat_can_connect(r->chat, m);
    int status = pv_rooms_peer_online(r->rooms, m->key, there, now);
    if (status != PV_OK)
        pv_log(r->chat->log, PV_LOG_WARN, "peer=%s what=\"rooms not told\" why=\"%s\"", m->name,
               pv_strstatus(status));
}

static void look_at_all(struct rooms_part *r, pv_ns now)
{
    struct pv_overlay_member m;
    for (bool is = pv_chat_next_node(r->chat, NULL, &m); is;
         is = pv_chat_next_node(r->chat, &m, &m))
        look_at(r, &m, now);
}

/* Rooms are loaded with their marks, so not before these are there. */
static void enter_network(struct rooms_part *r, pv_ns now)
{
    const struct pv_overlay_own *own = pv_chat_own(r->chat);
    pv_rooms_set_network(r->rooms, own->standing == PV_OVERLAY_NO_NETWORK ? NULL : own->network,
                         own->key, now);
    look_at_all(r, now);
}

/* --- what is kept ---------------------------------------------------------------------------- */

static void on_values(void *part, const struct pv_chatpart_config *cfg, pv_ns now)
{
    struct rooms_part *r = part;
    r->has_marks = true;
    pv_rooms_set_marks(r->rooms, pv_chatpart_value(cfg, VALUE_MARKS));
    enter_network(r, now);
}

/* The whole list each time. Without it users are asked once more. */
static void save_marks(struct rooms_part *r, bool again, pv_ns now)
{
    uint8_t list[PV_ROOMS_MARKS_LEN];
    if (!r->has_marks) /* a shorter list must not take the place of the kept one */
        return;
    size_t len = pv_rooms_take_marks(r->rooms, again, list);
    if (len > 0)
        pv_chat_put_value(r->chat, VALUE_MARKS, pv_view(list, len), now);
}

static void free_rooms(void *part)
{
    struct rooms_part *r = part;
    r->chat->rooms = pv_rooms_free(r->rooms);
}

/* --- what changes ---------------------------------------------------------------------------- */

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct rooms_part *r = part;
    if ((facts & PV_OVERLAY_RESUMED) != 0)
        pv_rooms_woke(r->rooms, now);
    if ((facts & PV_OVERLAY_NETWORK) != 0 && r->has_marks)
        enter_network(r, now);
    if ((facts & PV_CHAT_FACT_LOST) != 0)
        pv_rooms_reload(r->rooms, now);
    if ((facts & PV_CHAT_FACT_STORE) != 0)
        save_marks(r, true, now);
    if ((facts & PV_OVERLAY_RULES) != 0)
        pv_rooms_ask_all(r->rooms, now);
    if ((facts & PV_OVERLAY_OVERLAY) != 0)
        look_at_all(r, now);
}

static void on_member(void *part, const struct pv_overlay_member *m, unsigned news, pv_ns now)
{
    /* A coordinator that is lost takes back its word on everybody; nobody went away by that. */
    if (m->presence == PV_OVERLAY_UNKNOWN)
        news &= ~(unsigned)PV_OVERLAY_NEWS_PRESENCE;
    if (m->kind == PV_OVERLAY_MEMBER &&
        (news & (PV_OVERLAY_NEWS_PATH | PV_OVERLAY_NEWS_PRESENCE | PV_OVERLAY_NEWS_MEMBER)) != 0)
        look_at(part, m, now);
}

static void on_gone(void *part, const uint8_t *key, pv_ns now)
{
    struct rooms_part *r = part;
    pv_rooms_peer_gone(r->rooms, key);
}

/* --- lines ----------------------------------------------------------------------------------- */

/* Takes the lines that came on connections; false: nothing did. */
static bool take_lines(struct rooms_part *r, pv_ns now)
{
    struct pv_chatlink *link = r->chat->link;
    struct pv_chatlink_event ev;
    bool any = false;
    while (pv_fifo_take(&r->chat->lines, &ev) == PV_OK) {
        any = true;
        if (ev.type != PV_CHATLINK_LINE)
            pv_rooms_peer_up(r->rooms, ev.msg.peer, ev.type == PV_CHATLINK_UP, now);
        else if (pv_rooms_handle_frame(r->rooms, ev.msg.peer,
                                       pv_view(ev.msg.text, strlen(ev.msg.text)), now) != PV_OK)
            pv_chatlink_refuse(link, ev.msg.peer, now);
        pv_chat_record_done(&ev.msg);
    }
    return any;
}

static void say_line(void *chat, const uint8_t *pk, struct pv_view line, pv_ns now)
{
    const struct pv_chat *n = chat;
    int status = pv_chatlink_say(n->link, pk, line);
    if (status != PV_OK)
        pv_log(n->log, PV_LOG_DEBUG, "what=\"room line not sent\" why=\"%s\"",
               pv_strstatus(status));
    if (status != PV_OK && status != PV_ERR_NOT_FOUND) /* a new connection begins anew */
        pv_rooms_unsaid(n->rooms, pk, now);
}

static void want_peer(void *chat, const uint8_t *pk, pv_ns now)
{
    const struct pv_chat *n = chat;
    struct pv_overlay_member m;
    /* One that a rule keeps this node from lets nothing in; what it lacks it fetches itself. */
    if (!pv_chat_peer(n, pk, &m) || !pv_chat_admits(n, pk, PV_OVERLAY_CHAT, true) ||
        pv_chatlink_want(n->link, pk, now) != PV_OK)
        return;
    pv_chat_want(n, pk, "a room has news", now);
}

/* --- what rooms say -------------------------------------------------------------------------- */

#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION /* which has smaller ones */
_Static_assert(PV_ROOM_MAX_ROOMS == 128 && PV_ROOM_MAX_MEMBERS == 64 && PV_ROOM_MAX_TEXTS == 100000,
               "the words below have the numbers");
#endif
static const char *remedy(int status)
{
    switch (status) {
    case PV_ERR_STATE:
        return "not in this room, or it is being fetched: `p2pvpnctl room list`, or try again";
    case PV_ERR_MALFORMED:
        return "a room's name is 1 to 32 of a-z 0-9 and -, a text 1 to 16384 bytes of UTF-8";
    case PV_ERR_LIMIT:
        return "a node is in 128 rooms at most (leave some: `p2pvpnctl room list`), and a room has "
               "64 members and 100000 lines of each (use another room)";
    case PV_ERR_NOT_FOUND:
        return "only members of the network can be invited: `p2pvpnctl peers` lists them";
    case PV_ERR_NOMEM:
        return "try again";
    case -ENOSPC:
    case -EDQUOT:
        return "free some space";
    default:
        return "is its disk in order? p2pvpnd's log says more";
    }
}

static void answer_failed(struct pv_chat *n, const char *what, int status, uint64_t handle)
{
    if (pv_tell_off(n, what, handle))
        return;
    pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_FAILED, "%s: %s: %s", what, pv_strstatus(status),
                    remedy(status));
}

static bool is_invited_to(const struct pv_chat *n, const char *name)
{
    const uint8_t *id = pv_rooms_find(n->rooms, name, false);
    struct pv_rooms_info info;
    return id != NULL && pv_rooms_look(n->rooms, id, &info) && info.invited;
}

/* A request that was refused at once. */
static void answer_refused(struct pv_chat *n, const struct pv_ctlapi_request *req, int status,
                           uint64_t handle)
{
    const char *what = pv_ctlapi_cmd_name(req->cmd);
    const char *name = req->u.room.name + (req->u.room.name[0] == '#');
    char text[PV_CTLAPI_ERROR_BUF];
    if (status == PV_ERR_MALFORMED && req->cmd == PV_CTLAPI_ROOM_CREATE) {
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_USAGE,
                        "%s: \"%.80s\" is not a room's name: use 1 to 32 of a-z 0-9 and -, not at "
                        "the ends",
                        what, name);
        return;
    }
    if (status != PV_ERR_EXISTS) {
        answer_failed(n, what, status, handle);
        return;
    }
    if (req->cmd == PV_CTLAPI_ROOM_INVITE)
        snprintf(text, sizeof(text), "%s: %.80s is in room #%.40s already", what, req->peer, name);
    else if (is_invited_to(n, name))
        snprintf(
            text, sizeof(text),
            "%s: this node is invited to a room #%.40s: choose another name, or decline "
            "(`p2pvpnctl room leave %.40s`), and this one gets a piece of its id behind its name",
            what, name, name);
    else
        snprintf(text, sizeof(text), "%s: room #%.40s exists already", what, name);
    pv_ctlsrv_fail(n->ctl, handle, PV_CTLAPI_FAILED, text);
}

static json_t *id_json(const uint8_t *id)
{
    char text[PV_B64_LEN(PV_ROOM_ID_LEN) + 1];
    return pv_b64url_encode(pv_view(id, PV_ROOM_ID_LEN), text, sizeof(text)) < 0
               ? NULL
               : json_string(text);
}

static json_t *address_json(const uint8_t *id)
{
    return json_string(pv_rooms_address(id, (char[PV_ROOMS_NAME_BUF]){0}));
}

static void answer_room(struct pv_chat *n, const uint8_t *id, uint64_t handle)
{
    pv_chat_answer(
        n, handle,
        pv_ctlapi_pack("{s:s, s:o}", "room", PV_ROOM_STR(n->rooms, id), "id", id_json(id)));
}

/* A change of a room. */
static const char *name_change(const struct pv_rooms_event *ev)
{
    switch (ev->type) {
    case PV_ROOMS_INVITED:
        return "invited";
    case PV_ROOMS_LEFT:
        return "left";
    case PV_ROOMS_JOINED:
        return "joined";
    default:
        return ev->did == PV_ROOM_CREATE ? "made" : ev->did == PV_ROOM_LEAVE ? "left" : "invited";
    }
}

/* To listeners of chat it goes where others did it: a client that did it itself has an answer. */
static void tell_room(struct pv_chat *n, const struct pv_rooms_event *ev, pv_ns now)
{
    const char *what = name_change(ev);
    bool invited = strcmp(what, "invited") == 0;
    bool others = ev->type == PV_ROOMS_INVITED || ev->type == PV_ROOMS_LEFT;
    const char *room = PV_ROOM_STR(n->rooms, ev->room);
    const char *node = PV_CHAT_WHO_STR(n, ev->node);
    const char *by = PV_CHAT_WHO_STR(n, ev->by);
    bool self = memcmp(ev->node, pv_chat_own(n)->key, sizeof(ev->node)) == 0;
    const struct pv_event event = {
        .chat = others ? "room" : NULL,
        .kind = "room",
        .what = what,
        .who = room,
        .text = invited ? PV_STR("%s was invited to %s by %s", node, room, by)
                        : PV_STR("%s %s %s", node, what, room)};
    pv_chat_tell(n, &event,
                 pv_ctlapi_pack("{s:s, s:s, s:s, s:s, s:b}", "room", room, "what", what, "peer",
                                node, "by", by, "self", self),
                 now);
    pv_log(n->log, PV_LOG_INFO, "room=%s node=\"%s\" what=%s by=\"%s\"", room, node, what, by);
}

static bool is_anybody_there(const struct pv_chat *n, const uint8_t *room)
{
    struct pv_rooms_member m;
    for (size_t i = 0; pv_rooms_member(n->rooms, room, i, &m); i++) {
        if (!m.has_left && pv_chat_is_there(n, m.pk))
            return true;
    }
    return false;
}

bool pv_rooms_part_is_over(const struct pv_chat *n, const uint8_t *room)
{
    struct pv_rooms_member m;
    size_t others = 0;
    for (size_t i = 0; pv_rooms_member(n->rooms, room, i, &m); i++)
        others += !m.has_left && !pv_tell_is_gone(n, m.pk) &&
                  memcmp(m.pk, pv_chat_own(n)->key, PV_SIGN_PK_LEN) != 0;
    return others == 0;
}

/* Does a rule keep all others from what this node says there? Then rule is how the last is called.
 * The members that one does so for are added to list ([{name, rule}]; NULL: they are not asked
 * for).
 */
static bool is_denied_by_all(const struct pv_chat *n, const uint8_t *room, json_t *list,
                             char rule[static PV_OVERLAY_RULE_BUF])
{
    struct pv_rooms_member m;
    struct pv_overlay_member p;
    size_t others = 0, denied = 0;
    for (size_t i = 0; pv_rooms_member(n->rooms, room, i, &m); i++) {
        char text[PV_OVERLAY_RULE_BUF];
        if (m.has_left || !pv_chat_peer(n, m.pk, &p))
            continue;
        others++;
        if (n->overlay->may(n->overlay->node, m.pk, PV_OVERLAY_CHAT, true, text) ==
            PV_OVERLAY_ALLOWED)
            continue;
        denied++;
        memcpy(rule, text, sizeof(text));
        if (list != NULL)
            json_array_append_new(list, json_pack("{s:s, s:s}", "name", p.name, "rule", text));
    }
    return others > 0 && denied == others;
}

/* For its answer. NULL: nobody is denied it, or no memory. */
static json_t *denied_members(const struct pv_chat *n, const uint8_t *room)
{
    char rule[PV_OVERLAY_RULE_BUF];
    json_t *list = json_array();
    (void)is_denied_by_all(n, room, list, rule);
    if (json_array_size(list) > 0)
        return list;
    json_decref(list);
    return NULL;
}

static void take_event(void *chat, const struct pv_rooms_event *ev, pv_ns now)
{
    struct pv_chat *n = chat;
    switch (ev->type) {
    case PV_ROOMS_MESSAGE:
        pv_tell_message(n, &ev->msg, now);
        break;
    case PV_ROOMS_STATE:
        pv_tell_state(n, &ev->msg, now);
        break;
    case PV_ROOMS_DONE:
    case PV_ROOMS_INVITED:
    case PV_ROOMS_LEFT:
    case PV_ROOMS_JOINED:
        tell_room(n, ev, now);
        pv_chat_raise(n, PV_CHAT_FACT_ROOMS);
        break;
    }
}

/* Lines that came cause lines that go; one that cannot go ends its connection, which is news from
 * chatlink again. */
static void run(void *part, pv_ns now)
{
    struct rooms_part *r = part;
    do {
        (void)pv_rooms_speak(r->rooms, now);
    } while (take_lines(r, now));
    save_marks(r, false, now);
}

static void handle_timeout(void *part, pv_ns now)
{
    struct rooms_part *r = part;
    pv_rooms_handle_timeout(r->rooms, now);
}

static pv_ns next_timeout(const void *part)
{
    const struct rooms_part *r = part;
    return pv_rooms_next_timeout(r->rooms);
}

/* --- commands -------------------------------------------------------------------------------- */

const uint8_t *pv_rooms_part_need(struct pv_chat *n, const char *name, bool left, const char *what,
                                  uint64_t handle, pv_ns now)
{
    if (!pv_chat_need_network(n, what, handle, now))
        return NULL;
    const uint8_t *id = pv_rooms_find(n->rooms, name, left);
    const uint8_t *left_id = id != NULL ? NULL : pv_rooms_find(n->rooms, name, true);
    /* "No such room" would be wrong while the rooms are being loaded. */
    if (!pv_rooms_are_ready(n->rooms)) {
        if (pv_tell_off(n, what, handle))
            return NULL;
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_FAILED,
                        "%s: the rooms are not loaded yet: try again", what);
    } else if (left_id != NULL) {
        const char *room = PV_ROOM_STR(n->rooms, left_id);
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_UNKNOWN_PEER,
                        "%s: this node left %s: a member of it may invite it again; `p2pvpnctl "
                        "history '%s'` shows its lines",
                        what, room, room);
    } else if (id == NULL) {
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_UNKNOWN_PEER,
                        "%s: no room %s%.48s: `p2pvpnctl room list` shows yours", what,
                        name[0] == '#' ? "" : "#", name);
    }
    return id;
}

/* Is it an invitation with a name that another room has, too, which users here are in or invited
 * to? Somebody who means that one must not join this one by what is said, or by an invitation: its
 * name is refused there, and `room_members`, by which clients find a room, gives nothing else. */
static bool is_doubtful(const struct pv_chat *n, const uint8_t *id)
{
    char name[PV_ROOMS_NAME_BUF];
    struct pv_rooms_info info;
    bool invited = false, other = false;
    pv_rooms_name(n->rooms, id, name);
    size_t len = strcspn(name, "~");
    for (size_t i = 0; pv_rooms_info(n->rooms, i, &info); i++) {
        const char *called = PV_ROOM_STR(n->rooms, info.id);
        bool same = memcmp(info.id, id, PV_ROOM_ID_LEN) == 0;
        invited = invited || (same && info.invited);
        other = other || (!same && !info.left && strcspn(called, "~") == len &&
                          memcmp(called, name, len) == 0);
    }
    return invited && other && name[len] == '\0';
}

/* A room that users here join by what they do there. typed: what they call it; name: by its address
 * they call it so; "": they saw which it is. NULL: refused. */
static const uint8_t *need_meant(struct pv_chat *n, const char *typed, const char *name,
                                 const char *what, uint64_t handle, pv_ns now)
{
    const uint8_t *id = pv_rooms_part_need(n, typed, false, what, handle, now);
    const char *called = id == NULL ? "" : PV_ROOM_STR(n->rooms, id);
    if (id == NULL)
        return NULL;
    if (name[0] != '\0' && strcmp(name, called) != 0) {
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_UNKNOWN_PEER, "%s: %.63s is called %s now", what,
                        name, called);
        return NULL;
    }
    if ((strncmp(typed, "#~", 2) != 0 || name[0] != '\0') && is_doubtful(n, id)) {
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_FAILED,
                        "%s: %s is a room that this node is invited to, and there is another of "
                        "that name: `p2pvpnctl room list`; then `p2pvpnctl room accept '%s'`, or "
                        "the other one's whole name",
                        what, called, called);
        return NULL;
    }
    return id;
}

void pv_rooms_part_send(struct pv_chat *n, const struct pv_ctlapi_request *req, const uint8_t *id,
                        uint64_t handle, pv_ns now)
{
    const struct pv_rooms_say say = {
        .room = need_meant(n, req->peer, req->u.say.room, "send", handle, now),
        .text = req->text,
        .id = id};
    if (say.room == NULL)
        return;
    if (pv_rooms_part_is_over(n, say.room)) {
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_PEER_OFFLINE,
                        "send: nobody else is in %s, and who comes later does not see it: invite "
                        "somebody first",
                        PV_ROOM_STR(n->rooms, say.room));
        return;
    }
    char rule[PV_OVERLAY_RULE_BUF];
    if (is_denied_by_all(n, say.room, NULL, rule)) {
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_REFUSED,
                        "send: chat from this node to all others of %s is denied by %s: `p2pvpnctl "
                        "rules` lists the rules, admins change them",
                        PV_ROOM_STR(n->rooms, say.room), rule);
        return;
    }
    struct pv_chat_record said = {.text = NULL};
    uint8_t room[PV_ROOM_ID_LEN];
    memcpy(room, say.room, sizeof(room)); /* it lives until the next call only */
    int r = pv_rooms_say(n->rooms, &say, pv_chat_wall_ms(n, now), now, &said);
    if (r == PV_ERR_EXISTS)
        pv_tell_taken(n, handle);
    else if (r != PV_OK)
        answer_failed(n, "send", r, handle);
    else
        pv_tell_sent(n, handle, &said, is_anybody_there(n, room), denied_members(n, room), now);
    pv_chat_record_done(&said);
}

/* A machine that was removed, or left the network, keeps its place in the room's records, too. */
static int count_members(const struct pv_chat *n, const struct pv_rooms_info *info)
{
    struct pv_rooms_member m;
    int count = (int)info->members;
    for (size_t i = 0; pv_rooms_member(n->rooms, info->id, i, &m); i++)
        count -= count > 0 && !m.has_left && pv_tell_is_gone(n, m.pk);
    return count;
}

/* Without memory for all of them the answer says so: a part of a list would look like the whole. */
static void cmd_list(void *part, struct pv_ctlapi_request *req, const struct pv_overlay_member *p,
                     uint64_t handle, pv_ns now)
{
    const struct rooms_part *r = part;
    struct pv_rooms_info info;
    if (pv_tell_off(r->chat, pv_ctlapi_cmd_name(req->cmd), handle))
        return;
    json_t *out = pv_ctlapi_list("rooms");
    for (size_t i = 0; out != NULL && pv_rooms_info(r->rooms, i, &info); i++) {
        pv_ctlapi_put(&out, "rooms",
                      pv_ctlapi_pack("{s:s, s:o, s:o, s:s, s:i, s:b, s:b}", "room",
                                     PV_ROOM_STR(r->rooms, info.id), "id", id_json(info.id),
                                     "address", address_json(info.id), "creator",
                                     PV_CHAT_WHO_STR(r->chat, info.creator), "members",
                                     count_members(r->chat, &info), "left", info.left, "invited",
                                     info.invited));
    }
    pv_jsonline_set(&out, "loaded", json_boolean(pv_rooms_are_ready(r->rooms)));
    pv_chat_answer(r->chat, handle, out);
}

/* A peer that has left keeps its place in the room's records, but is no member. Online is one
 * question for the whole daemon (pv_peer_reach()), so that `peers` and `room members` agree. */
static json_t *shown_members(const struct pv_chat *n, const uint8_t *id)
{
    struct pv_rooms_member m;
    json_t *out = pv_ctlapi_pack("{s:i, s:s, s:o, s:b, s:[]}", "version", PV_CTLAPI_FORMAT, "room",
                                 PV_ROOM_STR(n->rooms, id), "address",
                                 is_doubtful(n, id) ? json_null() : address_json(id), "down",
                                 !pv_chat_own(n)->up, "members");
    for (size_t i = 0; out != NULL && pv_rooms_member(n->rooms, id, i, &m); i++) {
        struct pv_overlay_member p;
        char chat[PV_OVERLAY_RULE_BUF], files[PV_OVERLAY_RULE_BUF];
        const struct pv_overlay *o = n->overlay;
        if (m.has_left)
            continue;
        const bool self = memcmp(m.pk, pv_chat_own(n)->key, PV_SIGN_PK_LEN) == 0;
        const bool is_peer = pv_chat_peer(n, m.pk, &p);
        const bool may_chat =
            !is_peer || o->may(o->node, m.pk, PV_OVERLAY_CHAT, true, chat) == PV_OVERLAY_ALLOWED;
        const bool may_send =
            !is_peer || o->may(o->node, m.pk, PV_OVERLAY_FILES, true, files) == PV_OVERLAY_ALLOWED;
        pv_ctlapi_put(&out, "members",
                      pv_ctlapi_pack("{s:s, s:o, s:b, s:b, s:b, s:I, s:s?, s:s?}", "name",
                                     PV_CHAT_WHO_STR(n, m.pk), "key", pv_ctlapi_key(m.pk), "online",
                                     self || (is_peer && p.is_there), "creator", m.is_creator,
                                     "self", self, "texts", (json_int_t)m.texts, "denied",
                                     may_chat ? NULL : chat, "files_denied",
                                     may_send ? NULL : files));
    }
    return out;
}

static void cmd_members(void *part, struct pv_ctlapi_request *req,
                        const struct pv_overlay_member *p, uint64_t handle, pv_ns now)
{
    struct rooms_part *r = part;
    const uint8_t *id = pv_rooms_part_need(r->chat, req->u.room.name, false,
                                           pv_ctlapi_cmd_name(req->cmd), handle, now);
    if (id != NULL)
        pv_chat_answer(r->chat, handle, shown_members(r->chat, id));
}

static void cmd_accept(void *part, struct pv_ctlapi_request *req, const struct pv_overlay_member *p,
                       uint64_t handle, pv_ns now)
{
    struct rooms_part *r = part;
    const uint8_t *found = pv_rooms_part_need(r->chat, req->u.room.name, false,
                                              pv_ctlapi_cmd_name(req->cmd), handle, now);
    uint8_t id[PV_ROOM_ID_LEN];
    if (found == NULL)
        return;
    memcpy(id, found, sizeof(id)); /* it lives until the next call only */
    int status = pv_rooms_accept(r->rooms, id, now);
    if (status == PV_OK)
        answer_room(r->chat, id, handle);
    else
        answer_refused(r->chat, req, status, handle);
}

/* The other commands change the room. */
static void cmd_change(void *part, struct pv_ctlapi_request *req, const struct pv_overlay_member *p,
                       uint64_t handle, pv_ns now)
{
    struct rooms_part *r = part;
    uint64_t wall = pv_chat_wall_ms(r->chat, now);
    uint8_t id[PV_ROOM_ID_LEN];
    int status;
    if (req->cmd == PV_CTLAPI_ROOM_CREATE) {
        status = pv_rooms_open(r->rooms, req->u.room.name, wall, now, id);
    } else {
        const char *what = pv_ctlapi_cmd_name(req->cmd);
        const uint8_t *found =
            req->cmd == PV_CTLAPI_ROOM_INVITE
                ? need_meant(r->chat, req->u.room.name, "", what, handle, now)
                : pv_rooms_part_need(r->chat, req->u.room.name, false, what, handle, now);
        if (found == NULL)
            return;
        memcpy(id, found, sizeof(id));                 /* it lives until the next call only */
        pv_rooms_name(r->rooms, id, req->u.room.name); /* for what the answer says */
        /* A member that gets nothing of ours would not hear of it either. */
        if (p != NULL && pv_chat_refuse(r->chat, p, PV_OVERLAY_CHAT, "room", handle))
            return;
        status = p != NULL ? pv_rooms_invite(r->rooms, id, p->key, wall, now)
                           : pv_rooms_leave(r->rooms, id, wall, now);
    }
    if (status == PV_OK)
        answer_room(r->chat, id, handle);
    else if (status > PV_ERR_AGAIN || r->chat->off[0] != '\0') /* the store failed */
        answer_failed(r->chat, "room", status, handle);
    else
        answer_refused(r->chat, req, status, handle);
}

static const struct pv_chat_command commands[] = {
    {PV_CTLAPI_ROOM_CREATE, PV_CHAT_NEEDS_NETWORK, cmd_change},
    {PV_CTLAPI_ROOM_INVITE, PV_CHAT_NEEDS_NODE, cmd_change},
    {PV_CTLAPI_ROOM_ACCEPT, PV_CHAT_NEEDS_NETWORK, cmd_accept},
    {PV_CTLAPI_ROOM_LEAVE, PV_CHAT_NEEDS_NETWORK, cmd_change},
    {PV_CTLAPI_ROOM_LIST, PV_CHAT_NEEDS_NETWORK, cmd_list},
    {PV_CTLAPI_ROOM_MEMBERS, PV_CHAT_NEEDS_NETWORK, cmd_members},
};

static void show(void *part, const struct pv_chat_page *st, pv_ns now)
{
    const struct rooms_part *r = part;
    const struct pv_rooms_counts counts = pv_rooms_counts(r->rooms);
    const uint8_t *author, *room;
    if (pv_rooms_holding(r->rooms, now, &author, &room)) {
        const char *name = PV_ROOM_STR(r->rooms, room);
        st->minor_todo(st->page,
                       PV_STR("no more lines are taken for now, for what is unread or stored here, "
                              "of %s in %s: ",
                              PV_CHAT_WHO_STR(r->chat, author), name),
                       PV_DO(read_or_clear, PV_STR("'%s'", name)));
    }
    if (pv_rooms_are_full(r->rooms))
        st->minor_todo(st->page,
                       "nobody can invite this node to another room: ", PV_DO(leave_rooms));
    st->drop(st->page, "room-forged", counts.forged);
    st->drop(st->page, "room-frame", counts.bad_frames);
    st->drop(st->page, "room-stranger", counts.strangers);
    st->drop(st->page, "room-flood", counts.floods);
    st->drop(st->page, "room-full", counts.full);
}

const struct pv_chatpart pv_chatpart_rooms = {
    .name = "rooms",
    .size = PV_CHATPART_SIZE(struct rooms_part),
    .start = start,
    .on_values = on_values,
    .free = free_rooms,
    .on_facts = on_facts,
    .on_member = on_member,
    .on_gone = on_gone,
    .run = run,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .commands = commands,
    .n_commands = PV_ARRAY_LEN(commands),
    .status = show,
};
