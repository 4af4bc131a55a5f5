/* SPDX-License-Identifier: MIT */
/* rooms_part.c - connects rooms with peers, chatlink's lines, the store and users. */
#include "daemon/core/chat/rooms_part.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "daemon/core/chat/chat_part.h"
#include "daemon/core/chat/chatlink.h"
#include "daemon/core/chat/tell.h"
#include "daemon/core/member/rules.h"
#include "daemon/core/node/saved.h"
#include "daemon/core/node/statuspage.h"
#include "daemon/core/peer/peers.h"
#include "daemon/core/rooms/rooms.h"
#include "proto/control/jsonline.h"
#include "proto/local/ctlapi_pack.h"
#include "proto/local/ctlapi_request.h"

#define META_MARKS "rooms-accepted" /* in the store; names came later */

struct rooms_part {
    struct pv_node *node;
    struct pv_rooms *rooms; /* owned; node.chat.rooms is the same */
};

static void say_line(void *node, const uint8_t *pk, struct pv_view line, pv_ns now);
static void want_peer(void *node, const uint8_t *pk, pv_ns now);
static void take_event(void *node, const struct pv_rooms_event *ev, pv_ns now);

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct rooms_part *r = part;
    struct pv_rooms_config rc = {.rng = r->node->rng,
                                 .signer = pv_node_appsigner(r->node),
                                 .jobs = &r->node->jobs,
                                 .log = r->node->log,
                                 .admits = pv_chat_may,
                                 .say = say_line,
                                 .want = want_peer,
                                 .tell = take_event,
                                 .owner = r->node};
    memcpy(rc.own_pk, r->node->identity->sign_pk, sizeof(rc.own_pk));
    int status = pv_rooms_new(&r->rooms, &rc);
    if (status != PV_OK)
        return status;
    r->node->chat.rooms = r->rooms;
    pv_rooms_set_marks(r->rooms, pv_saved_value(cfg->saved, META_MARKS));
    return PV_OK;
}

/* The whole list each time. Without it users are asked once more. */
static void save_marks(struct rooms_part *r, bool again)
{
    uint8_t list[PV_ROOMS_MARKS_LEN];
    size_t len = pv_rooms_take_marks(r->rooms, again, list);
    if (len > 0)
        (void)pv_node_put_meta(r->node, META_MARKS, pv_view(list, len));
}

static void free_rooms(void *part)
{
    struct rooms_part *r = part;
    r->node->chat.rooms = pv_rooms_free(r->rooms);
}

/* --- who is there ---------------------------------------------------------------------------- */

static void look_at(struct rooms_part *r, const struct pv_peer *p, pv_ns now)
{
    const struct pv_node *n = r->node;
    /* Without the interface no connection can be made, whatever the coordinator says of
     * the peer. */
    bool there = pv_node_is_on_overlay(n) && pv_peer_reach(p) != PV_REACH_NO;
    int status = pv_rooms_peer_online(r->rooms, pv_peer_pk(p), there, now);
    if (status != PV_OK)
        pv_log(n->log, PV_LOG_WARN, "peer=%s what=\"rooms not told\" why=\"%s\"", pv_peer_name(p),
               pv_strstatus(status));
}

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct rooms_part *r = part;
    const struct pv_node *n = r->node;
    /* The roster is borrowed: nothing calls rooms between its end and this. */
    if ((facts & PV_FACT_RESUMED) != 0)
        pv_rooms_woke(r->rooms, now);
    if ((facts & PV_FACT_NETWORK) != 0)
        pv_rooms_set_network(r->rooms, n->roster, n->identity->sign_pk, now);
    if ((facts & PV_FACT_STORE) != 0)
        save_marks(r, true);
    if ((facts & PV_FACT_RULES) != 0)
        pv_rooms_ask_all(r->rooms, now);
    if ((facts & (PV_FACT_NETWORK | PV_FACT_INTERFACE | PV_FACT_TEARDOWN | PV_FACT_UP)) == 0)
        return;
    for (struct pv_peer *p = NULL; (p = pv_peers_next_node(n->peers, p)) != NULL;)
        look_at(r, p, now);
}

static void on_peer(void *part, struct pv_peer *p, unsigned facts, pv_ns now)
{
    /* A coordinator that is lost takes back its word on everybody; nobody went away by that. */
    if (pv_peer_presence(p) == PV_PRESENCE_UNKNOWN)
        facts &= ~(unsigned)PV_PEER_FACT_PRESENCE;
    if (pv_peer_is_node(p) &&
        (facts & (PV_PEER_FACT_PATH | PV_PEER_FACT_PRESENCE | PV_PEER_FACT_MEMBER)) != 0)
        look_at(part, p, now);
}

static void on_member_gone(void *part, const uint8_t *pk, pv_ns now)
{
    struct rooms_part *r = part;
    pv_rooms_peer_gone(r->rooms, pk);
}

/* --- lines ----------------------------------------------------------------------------------- */

/* Takes the lines that came on connections; false: nothing did. */
static bool take_lines(struct rooms_part *r, pv_ns now)
{
    struct pv_chatlink *link = r->node->chat.link;
    struct pv_chatlink_event ev;
    bool any = false;
    while (pv_fifo_take(&r->node->chat.lines, &ev) == PV_OK) {
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

static void say_line(void *node, const uint8_t *pk, struct pv_view line, pv_ns now)
{
    const struct pv_node *n = node;
    int status = pv_chatlink_say(n->chat.link, pk, line);
    if (status != PV_OK)
        pv_log(n->log, PV_LOG_DEBUG, "what=\"room line not sent\" why=\"%s\"",
               pv_strstatus(status));
    if (status != PV_OK && status != PV_ERR_NOT_FOUND) /* a new connection begins anew */
        pv_rooms_unsaid(n->chat.rooms, pk, now);
}

static void want_peer(void *node, const uint8_t *pk, pv_ns now)
{
    const struct pv_node *n = node;
    struct pv_peer *p = pv_peers_by_pk(n->peers, pk);
    /* One that a rule keeps this node from lets nothing in; what it lacks it fetches itself. */
    if (p == NULL || !pv_rules_serve(n, pk, PV_SERVICE_CHAT, true).allow ||
        pv_chatlink_want(n->chat.link, pk, now) != PV_OK)
        return;
    pv_peer_want(p, "a room has news", now);
    pv_peers_touch(n->peers, p, now);
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
    case PV_ERR_CLOSED:
        return "look whether it is done (`p2pvpnctl room list`, `history`), else try again";
    case -ENOSPC:
    case -EDQUOT:
        return "free some space";
    default:
        return "is its disk in order? p2pvpnd's log says more";
    }
}

static void answer_failed(struct pv_node *n, const char *what, int status, uint64_t handle)
{
    if (pv_tell_off(n, what, handle))
        return;
    /* A change of a room on its way to the store is given up when that fails, or the network is
     * left.
     */
    const char *why =
        status == PV_ERR_CLOSED ? "given up before the store answered" : pv_strstatus(status);
    pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_FAILED, "%s: %s: %s", what, why, remedy(status));
}

static bool is_invited_to(const struct pv_node *n, const char *name)
{
    const uint8_t *id = pv_rooms_find(n->chat.rooms, name, false);
    struct pv_rooms_info info;
    return id != NULL && pv_rooms_look(n->chat.rooms, id, &info) && info.invited;
}

/* A request that was refused at once. */
static void answer_refused(struct pv_node *n, const struct pv_ctlapi_request *req, int status,
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

static void answer_room(const struct pv_node *n, const uint8_t *id, uint64_t handle)
{
    pv_ctlsrv_answer(
        n->ctl, handle,
        pv_ctlapi_pack("{s:s, s:o}", "room", PV_ROOM_STR(n->chat.rooms, id), "id", id_json(id)));
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
static void tell_room(struct pv_node *n, const struct pv_rooms_event *ev)
{
    const char *what = name_change(ev);
    bool invited = strcmp(what, "invited") == 0;
    bool others = ev->type == PV_ROOMS_INVITED || ev->type == PV_ROOMS_LEFT;
    const char *room = PV_ROOM_STR(n->chat.rooms, ev->room);
    const char *node = PV_WHO_STR(n, ev->node);
    const char *by = PV_WHO_STR(n, ev->by);
    bool self = memcmp(ev->node, n->identity->sign_pk, sizeof(ev->node)) == 0;
    const struct pv_event event = {
        .chat = others ? "room" : NULL,
        .kind = "room",
        .what = what,
        .who = room,
        .text = invited ? PV_STR("%s was invited to %s by %s", node, room, by)
                        : PV_STR("%s %s %s", node, what, room)};
    pv_node_tell(n, &event,
                 pv_ctlapi_pack("{s:s, s:s, s:s, s:s, s:b}", "room", room, "what", what, "peer",
                                node, "by", by, "self", self));
    pv_log(n->log, PV_LOG_INFO, "room=%s node=\"%s\" what=%s by=\"%s\"", room, node, what, by);
}

static bool is_anybody_there(const struct pv_node *n, const uint8_t *room)
{
    struct pv_rooms_member m;
    for (size_t i = 0; pv_rooms_member(n->chat.rooms, room, i, &m); i++) {
        const struct pv_peer *p = pv_peers_by_pk(n->peers, m.pk);
        if (p != NULL && !m.has_left && pv_peer_reach(p) != PV_REACH_NO)
            return true;
    }
    return false;
}

bool pv_rooms_part_is_over(const struct pv_node *n, const uint8_t *room)
{
    struct pv_rooms_member m;
    size_t others = 0;
    for (size_t i = 0; pv_rooms_member(n->chat.rooms, room, i, &m); i++)
        others += !m.has_left && !pv_tell_is_gone(n, m.pk) &&
                  memcmp(m.pk, n->identity->sign_pk, PV_SIGN_PK_LEN) != 0;
    return others == 0;
}

/* Does a rule keep all others from what this node says there? The members that one does so for are
 * added to list ([{name, rule}]; NULL: they are not asked for). */
static struct pv_verdict verdict_of_all(const struct pv_node *n, const uint8_t *room, json_t *list)
{
    struct pv_rooms_member m;
    size_t others = 0, denied = 0;
    struct pv_verdict last = {.allow = true};
    for (size_t i = 0; pv_rooms_member(n->chat.rooms, room, i, &m); i++) {
        const struct pv_peer *p = pv_peers_by_pk(n->peers, m.pk);
        if (p == NULL || m.has_left)
            continue;
        const struct pv_verdict v = pv_rules_serve(n, m.pk, PV_SERVICE_CHAT, true);
        others++;
        if (v.allow)
            continue;
        denied++;
        last = v;
        if (list != NULL)
            json_array_append_new(list, json_pack("{s:s, s:s}", "name", pv_peer_name(p), "rule",
                                                  PV_RULE_STR(v.rule)));
    }
    return denied == others ? last : (struct pv_verdict){.allow = true};
}

/* For its answer. NULL: nobody is denied it, or no memory. */
static json_t *denied_members(const struct pv_node *n, const uint8_t *room)
{
    json_t *list = json_array();
    (void)verdict_of_all(n, room, list);
    if (json_array_size(list) > 0)
        return list;
    json_decref(list);
    return NULL;
}

/* The machine's event goes to the clients it concerns: an answer to the client whose request has
 * this tag, everything else to all who watch. */
static void take_event(void *node, const struct pv_rooms_event *ev, pv_ns now)
{
    struct pv_node *n = node;
    switch (ev->type) {
    case PV_ROOMS_DONE:
        if (ev->status != PV_OK)
            answer_failed(n, "room", ev->status, ev->tag);
        else {
            answer_room(n, ev->room, ev->tag);
            tell_room(n, ev);
            pv_node_raise(n, PV_FACT_ROOMS);
        }
        break;
    case PV_ROOMS_SENT:
        if (ev->status == PV_ERR_EXISTS)
            pv_tell_taken(n, ev->tag);
        else if (ev->status != PV_OK)
            answer_failed(n, "send", ev->status, ev->tag);
        else
            pv_tell_sent(n, ev->tag, &ev->msg, is_anybody_there(n, ev->room),
                         denied_members(n, ev->room), now);
        break;
    case PV_ROOMS_MESSAGE:
        pv_tell_message(n, &ev->msg, now);
        break;
    case PV_ROOMS_STATE:
        pv_tell_state(n, &ev->msg);
        break;
    case PV_ROOMS_INVITED:
    case PV_ROOMS_LEFT:
    case PV_ROOMS_JOINED:
        tell_room(n, ev);
        pv_node_raise(n, PV_FACT_ROOMS);
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
    save_marks(r, false);
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

const uint8_t *pv_rooms_part_need(struct pv_node *n, const char *name, bool left, const char *what,
                                  uint64_t handle)
{
    if (!pv_node_need_network(n, what, handle))
        return NULL;
    const uint8_t *id = pv_rooms_find(n->chat.rooms, name, left);
    const uint8_t *left_id = id != NULL ? NULL : pv_rooms_find(n->chat.rooms, name, true);
    /* "No such room" would be wrong while the rooms are being loaded. */
    if (!pv_rooms_are_ready(n->chat.rooms)) {
        if (pv_tell_off(n, what, handle))
            return NULL;
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_FAILED,
                        "%s: the rooms are not loaded yet: try again", what);
    } else if (left_id != NULL) {
        const char *room = PV_ROOM_STR(n->chat.rooms, left_id);
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
static bool is_doubtful(const struct pv_node *n, const uint8_t *id)
{
    char name[PV_ROOMS_NAME_BUF];
    struct pv_rooms_info info;
    bool invited = false, other = false;
    pv_rooms_name(n->chat.rooms, id, name);
    size_t len = strcspn(name, "~");
    for (size_t i = 0; pv_rooms_info(n->chat.rooms, i, &info); i++) {
        const char *called = PV_ROOM_STR(n->chat.rooms, info.id);
        bool same = memcmp(info.id, id, PV_ROOM_ID_LEN) == 0;
        invited = invited || (same && info.invited);
        other = other || (!same && !info.left && strcspn(called, "~") == len &&
                          memcmp(called, name, len) == 0);
    }
    return invited && other && name[len] == '\0';
}

/* A room that users here join by what they do there. typed: what they call it; name: by its address
 * they call it so; "": they saw which it is. NULL: refused. */
static const uint8_t *need_meant(struct pv_node *n, const char *typed, const char *name,
                                 const char *what, uint64_t handle)
{
    const uint8_t *id = pv_rooms_part_need(n, typed, false, what, handle);
    const char *called = id == NULL ? "" : PV_ROOM_STR(n->chat.rooms, id);
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

void pv_rooms_part_send(struct pv_node *n, const struct pv_ctlapi_request *req, const uint8_t *id,
                        uint64_t handle, pv_ns now)
{
    const struct pv_rooms_say say = {.room =
                                         need_meant(n, req->peer, req->u.say.room, "send", handle),
                                     .text = req->text,
                                     .id = id};
    if (say.room == NULL)
        return;
    if (pv_rooms_part_is_over(n, say.room)) {
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_PEER_OFFLINE,
                        "send: nobody else is in %s, and who comes later does not see it: invite "
                        "somebody first",
                        PV_ROOM_STR(n->chat.rooms, say.room));
        return;
    }
    const struct pv_verdict all = verdict_of_all(n, say.room, NULL);
    if (!all.allow) {
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_REFUSED,
                        "send: chat from this node to all others of %s is denied by %s: `p2pvpnctl "
                        "rules` lists the rules, admins change them",
                        PV_ROOM_STR(n->chat.rooms, say.room), PV_RULE_STR(all.rule));
        return;
    }
    int r = pv_rooms_say(n->chat.rooms, handle, &say, pv_node_wall_ms(n, now), now);
    if (r != PV_OK)
        answer_failed(n, "send", r, handle);
}

/* A machine that was removed, or left the network, keeps its place in the room's records, too. */
static int count_members(const struct pv_node *n, const struct pv_rooms_info *info)
{
    struct pv_rooms_member m;
    int count = (int)info->members;
    for (size_t i = 0; pv_rooms_member(n->chat.rooms, info->id, i, &m); i++)
        count -= count > 0 && !m.has_left && pv_tell_is_gone(n, m.pk);
    return count;
}

/* Without memory for all of them the answer says so: a part of a list would look like the whole. */
static void cmd_list(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                     pv_ns now)
{
    const struct rooms_part *r = part;
    struct pv_rooms_info info;
    if (pv_tell_off(r->node, pv_ctlapi_cmd_name(req->cmd), handle))
        return;
    json_t *out = pv_ctlapi_list("rooms");
    for (size_t i = 0; out != NULL && pv_rooms_info(r->rooms, i, &info); i++) {
        pv_ctlapi_put(&out, "rooms",
                      pv_ctlapi_pack("{s:s, s:o, s:o, s:s, s:i, s:b, s:b}", "room",
                                     PV_ROOM_STR(r->rooms, info.id), "id", id_json(info.id),
                                     "address", address_json(info.id), "creator",
                                     PV_WHO_STR(r->node, info.creator), "members",
                                     count_members(r->node, &info), "left", info.left, "invited",
                                     info.invited));
    }
    pv_jsonline_set(&out, "loaded", json_boolean(pv_rooms_are_ready(r->rooms)));
    pv_ctlsrv_answer(r->node->ctl, handle, out);
}

/* A peer that has left keeps its place in the room's records, but is no member. Online is one
 * question for the whole daemon (pv_peer_reach()), so that `peers` and `room members` agree. */
static json_t *shown_members(const struct pv_node *n, const uint8_t *id)
{
    struct pv_rooms_member m;
    json_t *out = pv_ctlapi_pack("{s:i, s:s, s:o, s:b, s:[]}", "version", PV_CTLAPI_FORMAT, "room",
                                 PV_ROOM_STR(n->chat.rooms, id), "address",
                                 is_doubtful(n, id) ? json_null() : address_json(id), "down",
                                 !n->up, "members");
    for (size_t i = 0; out != NULL && pv_rooms_member(n->chat.rooms, id, i, &m); i++) {
        const struct pv_peer *p = pv_peers_by_pk(n->peers, m.pk);
        bool self = memcmp(m.pk, n->identity->sign_pk, PV_SIGN_PK_LEN) == 0;
        if (m.has_left)
            continue;
        bool online = self || (p != NULL && pv_peer_reach(p) != PV_REACH_NO);
        const struct pv_verdict v = pv_rules_serve(n, m.pk, PV_SERVICE_CHAT, true);
        const struct pv_verdict f = pv_rules_serve(n, m.pk, PV_SERVICE_FILES, true);
        pv_ctlapi_put(&out, "members",
                      pv_ctlapi_pack(
                          "{s:s, s:o, s:b, s:b, s:b, s:I, s:s?, s:s?}", "name", PV_WHO_STR(n, m.pk),
                          "key", pv_ctlapi_key(m.pk), "online", online, "creator", m.is_creator,
                          "self", self, "texts", (json_int_t)m.texts, "denied",
                          self || p == NULL || v.allow ? NULL : PV_RULE_STR(v.rule), "files_denied",
                          self || p == NULL || f.allow ? NULL : PV_RULE_STR(f.rule)));
    }
    return out;
}

static void cmd_members(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                        uint64_t handle, pv_ns now)
{
    struct rooms_part *r = part;
    const uint8_t *id =
        pv_rooms_part_need(r->node, req->u.room.name, false, pv_ctlapi_cmd_name(req->cmd), handle);
    if (id != NULL)
        pv_ctlsrv_answer(r->node->ctl, handle, shown_members(r->node, id));
}

static void cmd_accept(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                       uint64_t handle, pv_ns now)
{
    struct rooms_part *r = part;
    const uint8_t *found =
        pv_rooms_part_need(r->node, req->u.room.name, false, pv_ctlapi_cmd_name(req->cmd), handle);
    uint8_t id[PV_ROOM_ID_LEN];
    if (found == NULL)
        return;
    memcpy(id, found, sizeof(id)); /* it lives until the next call only */
    int status = pv_rooms_accept(r->rooms, id, now);
    if (status == PV_OK)
        answer_room(r->node, id, handle);
    else
        answer_refused(r->node, req, status, handle);
}

/* The other commands change the room: rooms answer by an event once that is stored, or refuse. */
static void cmd_change(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                       uint64_t handle, pv_ns now)
{
    struct rooms_part *r = part;
    uint64_t wall = pv_node_wall_ms(r->node, now);
    uint8_t id[PV_ROOM_ID_LEN];
    int status;
    if (req->cmd == PV_CTLAPI_ROOM_CREATE) {
        status = pv_rooms_open(r->rooms, handle, req->u.room.name, wall, now);
    } else {
        const char *what = pv_ctlapi_cmd_name(req->cmd);
        const uint8_t *found =
            req->cmd == PV_CTLAPI_ROOM_INVITE
                ? need_meant(r->node, req->u.room.name, "", what, handle)
                : pv_rooms_part_need(r->node, req->u.room.name, false, what, handle);
        if (found == NULL)
            return;
        memcpy(id, found, sizeof(id));                 /* it lives until the next call only */
        pv_rooms_name(r->rooms, id, req->u.room.name); /* for what the answer says */
        /* A member that gets nothing of ours would not hear of it either. */
        if (p != NULL && pv_rules_refuse(r->node, p, PV_SERVICE_CHAT, "room", handle))
            return;
        status = p != NULL ? pv_rooms_invite(r->rooms, handle, id, pv_peer_pk(p), wall, now)
                           : pv_rooms_leave(r->rooms, handle, id, wall, now);
    }
    if (status != PV_OK)
        answer_refused(r->node, req, status, handle);
}

static const struct pv_command_handler commands[] = {
    {PV_CTLAPI_ROOM_CREATE, PV_NEEDS_NETWORK, cmd_change},
    {PV_CTLAPI_ROOM_INVITE, PV_NEEDS_NODE, cmd_change},
    {PV_CTLAPI_ROOM_ACCEPT, PV_NEEDS_NETWORK, cmd_accept},
    {PV_CTLAPI_ROOM_LEAVE, PV_NEEDS_NETWORK, cmd_change},
    {PV_CTLAPI_ROOM_LIST, PV_NEEDS_NETWORK, cmd_list},
    {PV_CTLAPI_ROOM_MEMBERS, PV_NEEDS_NETWORK, cmd_members},
};

static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct rooms_part *r = part;
    const struct pv_rooms_counts counts = pv_rooms_counts(r->rooms);
    const uint8_t *author, *room;
    if (pv_rooms_holding(r->rooms, now, &author, &room)) {
        const char *name = PV_ROOM_STR(r->rooms, room);
        pv_statuspage_minor_todo(
            st,
            PV_STR("no more lines are taken for now, for what is unread or stored here, "
                   "of %s in %s: ",
                   PV_WHO_STR(r->node, author), name),
            PV_DO(read_or_clear, PV_STR("'%s'", name)));
    }
    if (pv_rooms_are_full(r->rooms))
        pv_statuspage_minor_todo(
            st, "nobody can invite this node to another room: ", PV_DO(leave_rooms));
    pv_statuspage_drop(st, "room-forged", counts.forged);
    pv_statuspage_drop(st, "room-frame", counts.bad_frames);
    pv_statuspage_drop(st, "room-stranger", counts.strangers);
    pv_statuspage_drop(st, "room-flood", counts.floods);
    pv_statuspage_drop(st, "room-full", counts.full);
}

const struct pv_part pv_part_rooms = {
    .name = "rooms",
    .size = PV_PART_SIZE(struct rooms_part),
    .start = start,
    .free = free_rooms,
    .on_facts = on_facts,
    .on_peer = on_peer,
    .on_member_gone = on_member_gone,
    .run = run,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .commands = commands,
    .n_commands = PV_ARRAY_LEN(commands),
    .status = show,
};
