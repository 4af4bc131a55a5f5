/* SPDX-License-Identifier: MIT */
/* Rooms' place in the engine: between chat's connections, the store and the users. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/engine_int.h"

/* --- names --------------------------------------------------------------------------------- */

static const char *node_name(const struct pv_engine *e, const uint8_t *pk)
{
    const struct pv_member *m = e->node.roster == NULL ? NULL : pv_roster_known(e->node.roster, pk);
    return m == NULL ? "?" : m->name;
}

/* --- between machines ---------------------------------------------------------------------- */

void pv_engine_rooms_chat(struct pv_engine *e, const struct pv_chatlink_event *ev, pv_ns now)
{
    if (ev->type == PV_CHATLINK_LINE) {
        const struct pv_view line = pv_view(ev->msg.text, strlen(ev->msg.text));
        if (pv_rooms_handle_frame(e->rooms, ev->msg.peer, line, now) != PV_OK)
            pv_chatlink_refuse(e->chat, ev->msg.peer, now);
    } else {
        pv_rooms_peer_up(e->rooms, ev->msg.peer, ev->type == PV_CHATLINK_UP, now);
    }
}

void pv_engine_rooms_peer(struct pv_engine *e, const struct pv_peer *p, bool there, pv_ns now)
{
    int r = pv_rooms_peer_online(e->rooms, p->pk, there, now);
    if (r != PV_OK)
        pv_log(e->node.log, PV_LOG_WARN, "peer=%s what=\"rooms not told\" why=\"%s\"", p->name,
               pv_strstatus(r));
}

static void tell_room(struct pv_engine *e, const struct pv_rooms_event *ev)
{
    char room[PV_ROOMS_NAME_BUF];
    pv_rooms_name(e->rooms, ev->room, room);
    pv_watch_tell(&e->node.watch, e->node.ctl, "room",
                  pv_ctlapi_watch_room_json(room, ev->type == PV_ROOMS_INVITED,
                                            node_name(e, ev->node), node_name(e, ev->by)));
    pv_log(e->node.log, PV_LOG_INFO, "room=%s node=%s what=%s by=%s", room, node_name(e, ev->node),
           ev->type == PV_ROOMS_INVITED ? "invited" : "left", node_name(e, ev->by));
}

static const char *remedy(int status)
{
    switch (status) {
    case PV_ERR_STATE:
        return "not in this room, or it is being fetched: `p2pvpnctl room list`, or try again";
    case PV_ERR_MALFORMED:
        return "a room's name is 1 to 32 of a-z 0-9 and -, a text 1 to 16384 bytes of UTF-8";
    case PV_ERR_LIMIT:
        return "too many rooms, members or lines: leave a room, or open a new one";
    case PV_ERR_NOT_FOUND:
        return "only members of the network can be invited: `p2pvpnctl peers` lists them";
    case PV_ERR_NOMEM:
        return "try again";
    default:
        return "is the disk full?";
    }
}

static void fail(struct pv_engine *e, const char *what, int status, uint64_t handle)
{
    char text[PV_CTLAPI_ERROR_BUF];
    snprintf(text, sizeof(text), "%s: %s: %s", what, pv_strstatus(status), remedy(status));
    pv_ctlsrv_fail(e->node.ctl, handle, PV_CTLAPI_FAILED, text);
}

/* A request that was refused at once. */
static void fail_request(struct pv_engine *e, const struct pv_ctlapi_request *req, int status,
                         uint64_t handle)
{
    const char *what = pv_ctlapi_cmd_name(req->cmd);
    const char *name = req->room + (req->room[0] == '#');
    char text[PV_CTLAPI_ERROR_BUF];
    if (status != PV_ERR_EXISTS) {
        fail(e, what, status, handle);
        return;
    }
    if (req->cmd == PV_CTLAPI_ROOM_INVITE)
        snprintf(text, sizeof(text), "%s: %.80s is in room #%.40s already", what, req->peer, name);
    else
        snprintf(text, sizeof(text), "%s: room #%.40s exists already", what, name);
    pv_ctlsrv_fail(e->node.ctl, handle, PV_CTLAPI_FAILED, text);
}

static void done(struct pv_engine *e, const struct pv_rooms_event *ev)
{
    char room[PV_ROOMS_NAME_BUF];
    if (ev->status != PV_OK)
        fail(e, "room", ev->status, ev->tag);
    else
        pv_ctlsrv_answer(e->node.ctl, ev->tag,
                         pv_ctlapi_room_json(pv_rooms_name(e->rooms, ev->room, room), ev->room));
}

static bool is_anybody_online(struct pv_engine *e, const uint8_t *room)
{
    struct pv_rooms_member m;
    for (size_t i = 0; pv_rooms_member(e->rooms, room, i, &m); i++) {
        const struct pv_peer *p = pv_engine_peer_by_pk(e, m.pk);
        if (p != NULL && !m.has_left && pv_peer_reach(p) != PV_REACH_NO)
            return true;
    }
    return false;
}

static void take_events(struct pv_engine *e, pv_ns now)
{
    struct pv_rooms_event ev;
    while (pv_rooms_poll_event(e->rooms, &ev) == PV_OK) {
        switch (ev.type) {
        case PV_ROOMS_DONE:
            done(e, &ev);
            break;
        case PV_ROOMS_SENT:
            if (ev.status != PV_OK)
                fail(e, "send", ev.status, ev.tag);
            else
                pv_engine_chat_sent(e, ev.tag, &ev.msg, is_anybody_online(e, ev.room));
            break;
        case PV_ROOMS_MESSAGE:
            pv_engine_tell_message(e, &ev.msg, now);
            break;
        case PV_ROOMS_STATE:
            pv_engine_tell_state(e, &ev.msg);
            break;
        case PV_ROOMS_INVITED:
        case PV_ROOMS_LEFT:
            tell_room(e, &ev);
            break;
        }
        pv_chat_record_done(&ev.msg);
    }
}

void pv_engine_rooms_pump(struct pv_engine *e, pv_ns now)
{
    struct pv_rooms_line line;
    struct pv_chatjob *job;
    uint8_t pk[PV_SIGN_PK_LEN];
    uint64_t tag;
    while (pv_rooms_poll_transmit(e->rooms, &line) == PV_OK) {
        int r = pv_chatlink_say(e->chat, line.pk, pv_view(line.bytes, line.len));
        if (r != PV_OK)
            pv_log(e->node.log, PV_LOG_DEBUG, "what=\"room line not sent\" why=\"%s\"",
                   pv_strstatus(r));
        if (r != PV_OK && r != PV_ERR_NOT_FOUND) /* a new connection begins anew by itself */
            pv_rooms_unsaid(e->rooms, line.pk, now);
        free(line.bytes);
    }
    while (pv_rooms_poll_want(e->rooms, pk) == PV_OK) {
        struct pv_peer *p = pv_engine_peer_by_pk(e, pk);
        if (p == NULL || pv_chatlink_want(e->chat, pk, now) != PV_OK)
            continue;
        pv_peer_want(p, "a room has news", now);
        pv_engine_touch(e, p, now);
    }
    while (pv_rooms_poll_job(e->rooms, &tag, &job) == PV_OK)
        pv_engine_chat_job(e, job, PV_JP_ROOMS, tag);
    take_events(e, now);
}

/* --- requests ------------------------------------------------------------------------------ */

const uint8_t *pv_engine_need_room(struct pv_engine *e, const char *name, bool left,
                                   uint64_t handle)
{
    char text[PV_CTLAPI_ERROR_BUF];
    if (!pv_node_need_network(&e->node, "room", handle))
        return NULL;
    const uint8_t *id = pv_rooms_find(e->rooms, name, left);
    if (!pv_rooms_are_ready(e->rooms)) {
        pv_ctlsrv_fail(e->node.ctl, handle, PV_CTLAPI_FAILED,
                       "room: the rooms are not loaded yet: try again");
    } else if (id == NULL) {
        snprintf(text, sizeof(text), "room: no room %s%.48s: `p2pvpnctl room list` shows yours",
                 name[0] == '#' ? "" : "#", name);
        pv_ctlsrv_fail(e->node.ctl, handle, PV_CTLAPI_UNKNOWN_PEER, text);
    }
    return id;
}

void pv_engine_room_send(struct pv_engine *e, const struct pv_ctlapi_request *req, uint64_t handle,
                         pv_ns now)
{
    const uint8_t *id = pv_engine_need_room(e, req->peer, false, handle);
    if (id == NULL)
        return;
    int r = pv_rooms_say(e->rooms, handle, id, req->text, pv_engine_wall_ms(e, now), now);
    if (r != PV_OK)
        fail(e, "send", r, handle);
}

static void list(struct pv_engine *e, uint64_t handle)
{
    struct pv_rooms_info info;
    json_t *out = pv_ctlapi_rooms_new();
    for (size_t i = 0; out != NULL && pv_rooms_info(e->rooms, i, &info); i++) {
        char name[PV_ROOMS_NAME_BUF];
        const struct pv_ctlapi_room room = {.room = pv_rooms_name(e->rooms, info.id, name),
                                            .id = info.id,
                                            .creator = node_name(e, info.creator),
                                            .members = info.members,
                                            .left = info.left};
        if (pv_ctlapi_rooms_add(out, &room) != PV_OK) {
            json_decref(out);
            out = NULL;
        }
    }
    pv_ctlsrv_answer(e->node.ctl, handle, out);
}

static void members(struct pv_engine *e, const uint8_t *id, uint64_t handle)
{
    struct pv_rooms_member m;
    char name[PV_ROOMS_NAME_BUF];
    json_t *out = pv_ctlapi_room_members_new(pv_rooms_name(e->rooms, id, name));
    for (size_t i = 0; out != NULL && pv_rooms_member(e->rooms, id, i, &m); i++) {
        const struct pv_peer *p = pv_engine_peer_by_pk(e, m.pk);
        bool self = memcmp(m.pk, e->node.identity->sign_pk, PV_SIGN_PK_LEN) == 0;
        const struct pv_ctlapi_room_member member = {
            .name = node_name(e, m.pk),
            .key = m.pk,
            .online = self || (p != NULL && pv_peer_reach(p) != PV_REACH_NO),
            .creator = m.is_creator,
            .texts = m.texts};
        if (!m.has_left && pv_ctlapi_room_members_add(out, &member) != PV_OK) {
            json_decref(out);
            out = NULL;
        }
    }
    pv_ctlsrv_answer(e->node.ctl, handle, out);
}

void pv_engine_room_request(struct pv_engine *e, const struct pv_ctlapi_request *req,
                            uint64_t handle, pv_ns now)
{
    uint64_t wall = pv_engine_wall_ms(e, now);
    uint8_t id[PV_ROOM_ID_LEN];
    int r = PV_OK;
    if (req->cmd == PV_CTLAPI_ROOM_LIST || req->cmd == PV_CTLAPI_ROOM_CREATE) {
        if (!pv_node_need_network(&e->node, "room", handle))
            return;
    } else {
        const uint8_t *found = pv_engine_need_room(e, req->room, false, handle);
        if (found == NULL)
            return;
        memcpy(id, found, sizeof(id));
    }
    if (req->cmd == PV_CTLAPI_ROOM_LIST) {
        list(e, handle);
    } else if (req->cmd == PV_CTLAPI_ROOM_MEMBERS) {
        members(e, id, handle);
    } else if (req->cmd == PV_CTLAPI_ROOM_CREATE) {
        r = pv_rooms_open(e->rooms, handle, req->room, wall, now);
    } else if (req->cmd == PV_CTLAPI_ROOM_LEAVE) {
        r = pv_rooms_leave(e->rooms, handle, id, wall, now);
    } else {
        const struct pv_peer *p = pv_peer_need(&e->node, req->peer, "room invite", true, handle);
        if (p != NULL)
            r = pv_rooms_invite(e->rooms, handle, id, p->pk, wall, now);
    }
    if (r != PV_OK)
        fail_request(e, req, r, handle);
}
