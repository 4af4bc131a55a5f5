/* SPDX-License-Identifier: MIT */
/* Chat's place in the engine: who is there, where messages go, what listeners are told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/chat/notifier.h"
#include "daemon/core/engine_cause.h"
#include "daemon/core/engine_int.h"

void pv_engine_chat_peer(struct pv_engine *e, struct pv_peer *p, pv_ns now)
{
    if (p->is_static)
        return;
    bool there = e->node.iface == PV_IFACE_UP && pv_peer_reach(p) != PV_REACH_NO;
    pv_engine_rooms_peer(e, p, there, now);
    if (there)
        pv_engine_hold_give(e, p, now);
    if (!there) {
        pv_engine_keep_away(e, p);
        pv_chatlink_peer_offline(e->chat, p->pk, now);
        return;
    }
    int r = pv_chatlink_peer_online(e->chat, p->pk, p->name, &p->ip4, now);
    if (r != PV_OK)
        pv_log(e->node.log, PV_LOG_WARN, "peer=%s what=\"chat not told\" why=\"%s\"", p->name,
               pv_strstatus(r));
}

/* --- store jobs ----------------------------------------------------------------------------------
 */

bool pv_engine_chat_job(struct pv_engine *e, struct pv_chatjob *chat, enum pv_job_purpose purpose,
                        uint64_t arg)
{
    struct pv_job *job = pv_job_new(PV_JOB_CHAT);
    if (job == NULL || chat == NULL) {
        pv_chatjob_free(chat);
        pv_job_free(job);
        return false;
    }
    job->u.chat = chat;
    return pv_engine_job(e, job, purpose, arg);
}

/* --- what is told to `watch` -------------------------------------------------------------------
 */

/* Names of both ends as p2pvpnctl shows them; room is where that of a room is put. */
static struct pv_ctlapi_message message_of(const struct pv_engine *e,
                                           const struct pv_chat_record *rec,
                                           char room[static PV_ROOMS_NAME_BUF])
{
    const char *other = rec->in_room ? pv_rooms_name(e->rooms, rec->peer, room) : rec->peer_name;
    const char *from = rec->outgoing ? e->node.node_name : rec->peer_name;
    return (struct pv_ctlapi_message){
        .id = rec->id,
        .from = from,
        .to = rec->outgoing || rec->in_room ? other : e->node.node_name,
        .room = rec->in_room ? other : NULL,
        .text = rec->text,
        .time_ms = rec->time_ms,
        .state = rec->state,
    };
}

void pv_engine_tell_message(struct pv_engine *e, const struct pv_chat_record *rec, pv_ns now)
{
    char room[PV_ROOMS_NAME_BUF];
    const struct pv_ctlapi_message msg = message_of(e, rec, room);
    bool seen = pv_watch_is_seen(&e->node.watch) && !rec->outgoing;
    pv_watch_tell(&e->node.watch, e->node.ctl, "message", pv_ctlapi_watch_message_json(&msg));
    if (!rec->outgoing)
        pv_notifier_message(pv_node_part(&e->node, &pv_part_notifier), &msg);
    if (seen)
        pv_chatlink_seen(e->chat, rec->peer, rec->id, now);
}

void pv_engine_tell_state(struct pv_engine *e, const struct pv_chat_record *rec)
{
    char room[PV_ROOMS_NAME_BUF];
    const struct pv_peer *p = rec->in_room ? NULL : pv_engine_peer_by_pk(e, rec->peer);
    const char *other = rec->in_room ? pv_rooms_name(e->rooms, rec->peer, room)
                        : p != NULL  ? p->name
                                     : rec->peer_name;
    pv_watch_tell(&e->node.watch, e->node.ctl, "state",
                  pv_ctlapi_watch_state_json(rec->id, other, rec->state));
}

void pv_engine_tell_states(struct pv_engine *e, const struct pv_chatjob_result *result)
{
    for (size_t i = 0; i < result->n_msgs; i++)
        pv_engine_tell_state(e, &result->msgs[i]);
}

void pv_engine_tell_presence(struct pv_engine *e, const struct pv_peer *p)
{
    pv_watch_tell(&e->node.watch, e->node.ctl, "presence",
                  pv_ctlapi_watch_presence_json(p->name, p->presence == PV_PRESENCE_ONLINE));
}

/* --- events ------------------------------------------------------------------------------------
 */

void pv_engine_chat_sent(struct pv_engine *e, uint64_t handle, const struct pv_chat_record *rec,
                         bool online)
{
    char room[PV_ROOMS_NAME_BUF];
    const struct pv_ctlapi_message msg = message_of(e, rec, room);
    pv_ctlsrv_answer(e->node.ctl, handle, pv_ctlapi_sent_json(&msg, online));
}

static void sent(struct pv_engine *e, const struct pv_chatlink_event *ev)
{
    struct pv_peer *p = pv_engine_peer_by_pk(e, ev->msg.peer);
    bool online = p != NULL && pv_peer_reach(p) != PV_REACH_NO;
    pv_engine_chat_sent(e, ev->tag, &ev->msg, online);
}

static void send_failed(struct pv_engine *e, const struct pv_chatlink_event *ev)
{
    char text[PV_CTLAPI_ERROR_BUF];
    snprintf(text, sizeof(text),
             ev->status == PV_ERR_LIMIT
                 ? "send: too many messages wait for this peer (%s): wait until it is back"
                 : "send: the message could not be stored: %s: is the disk full?",
             pv_strstatus(ev->status));
    pv_ctlsrv_fail(e->node.ctl, ev->tag, PV_CTLAPI_FAILED, text);
}

/* What concerns copies. */
static void take_copies(struct pv_engine *e, pv_ns now)
{
    struct pv_chatlink_event ev;
    const struct pv_peer *p;
    while (pv_chatlink_poll_event(e->chat, PV_CHATLINK_FOR_COPIES, &ev) == PV_OK) {
        if (ev.type == PV_CHATLINK_UP)
            pv_engine_hold_up(e, ev.msg.peer, now);
        else if (ev.type == PV_CHATLINK_LINE)
            pv_engine_hold_line(e, &ev, now);
        else if (ev.type == PV_CHATLINK_QUEUED &&
                 (p = pv_engine_peer_by_pk(e, ev.msg.peer)) != NULL)
            pv_engine_keep_away(e, p);
        else if (ev.type == PV_CHATLINK_COPY && !pv_engine_hold_committed(e, ev.tag, ev.status))
            pv_engine_keep_committed(e, ev.tag, ev.status, now);
        pv_chat_record_done(&ev.msg);
    }
}

static bool take_events(struct pv_engine *e, pv_ns now)
{
    struct pv_chatlink_event ev;
    bool any = false;
    while (pv_chatlink_poll_event(e->chat, PV_CHATLINK_FOR_ROOMS, &ev) == PV_OK) {
        any = true;
        pv_engine_rooms_chat(e, &ev, now);
        pv_chat_record_done(&ev.msg);
    }
    take_copies(e, now);
    while (pv_chatlink_poll_event(e->chat, PV_CHATLINK_FOR_CHAT, &ev) == PV_OK) {
        any = true;
        switch (ev.type) {
        case PV_CHATLINK_MESSAGE:
            pv_engine_tell_message(e, &ev.msg, now);
            break;
        case PV_CHATLINK_STATE:
            pv_engine_tell_state(e, &ev.msg);
            break;
        case PV_CHATLINK_SENT:
            sent(e, &ev);
            break;
        case PV_CHATLINK_SEND_FAILED:
            send_failed(e, &ev);
            break;
        case PV_CHATLINK_UP:
        case PV_CHATLINK_DOWN:
        case PV_CHATLINK_LINE:
        case PV_CHATLINK_QUEUED:
        case PV_CHATLINK_COPY:
            break; /* those are for others */
        }
        pv_chat_record_done(&ev.msg);
    }
    return any;
}

void pv_engine_chat_pump(struct pv_engine *e, pv_ns now)
{
    uint64_t tag;
    struct pv_chatjob *job;
    pv_engine_rooms_pump(e, now);
    while (take_events(e, now))
        pv_engine_rooms_pump(e, now);
    while (pv_chatlink_poll_job(e->chat, &tag, &job) == PV_OK)
        pv_engine_chat_job(e, job, PV_JP_CHATLINK, tag);
}

/* --- requests ----------------------------------------------------------------------------------
 */

void pv_engine_chat_send(struct pv_engine *e, struct pv_peer *p, const char *text, uint64_t handle,
                         pv_ns now)
{
    const struct pv_chatlink_message msg = {
        .pk = p->pk, .name = p->name, .text = text, .wall_ms = pv_engine_wall_ms(e, now)};
    int r = pv_chatlink_send(e->chat, handle, &msg, now);
    if (r != PV_OK) {
        char why[PV_CTLAPI_ERROR_BUF];
        snprintf(why, sizeof(why), "send: %s: %s", pv_strstatus(r),
                 r == PV_ERR_MALFORMED ? "a message is 1 to 16384 bytes of UTF-8" : "try again");
        pv_ctlsrv_fail(e->node.ctl, handle, PV_CTLAPI_FAILED, why);
        return;
    }
    pv_peer_want(p, "a message waits", now);
    pv_engine_touch(e, p, now);
    pv_engine_chat_pump(e, now);
}

void pv_engine_chat_list(struct pv_engine *e, const struct pv_ctlapi_request *req, uint64_t handle)
{
    bool inbox = req->cmd == PV_CTLAPI_INBOX;
    struct pv_chatjob *job = pv_chatjob_new(inbox ? PV_CHATJOB_INBOX : PV_CHATJOB_HISTORY);
    struct pv_peer *p = req->peer[0] == '\0' ? NULL : pv_engine_find_peer(e, req->peer);
    const struct pv_member *former = p == NULL ? pv_node_former_member(&e->node, req->peer) : NULL;
    const uint8_t *pk = p != NULL ? p->pk : former != NULL ? former->node : NULL;
    const uint8_t *room = req->peer[0] == '#' ? pv_rooms_find(e->rooms, req->peer, true) : NULL;
    if (job != NULL) {
        job->mark_read = inbox && !req->peek;
        job->of_peer = inbox && (pk != NULL || room != NULL);
        job->all_peers = !inbox && pk == NULL && room == NULL;
        job->limit = inbox ? 0 : req->limit;
        job->before = !inbox && pv_chat_id_parse(req->before, job->id) == PV_OK;
        if (pk != NULL)
            memcpy(job->peer, pk, sizeof(job->peer));
        else if (room != NULL)
            pv_room_key(room, job->peer);
    }
    if (!pv_engine_chat_job(e, job, inbox ? PV_JP_INBOX : PV_JP_HISTORY, handle))
        pv_ctlsrv_fail(e->node.ctl, handle, PV_CTLAPI_FAILED, "chat: out of memory: try again");
}

void pv_engine_chat_listed(struct pv_engine *e, enum pv_job_purpose purpose, uint64_t handle,
                           const struct pv_job_result *result, pv_ns now)
{
    if (result->status != PV_OK || result->chat == NULL) {
        pv_ctlsrv_fail(e->node.ctl, handle, PV_CTLAPI_FAILED, result->error);
        return;
    }
    const struct pv_chatjob_result *list = result->chat;
    json_t *out = pv_ctlapi_messages_new(list->more);
    for (size_t i = 0; out != NULL && i < list->n_msgs; i++) {
        char room[PV_ROOMS_NAME_BUF];
        const struct pv_ctlapi_message msg = message_of(e, &list->msgs[i], room);
        if (pv_ctlapi_messages_add(out, &msg) != PV_OK) {
            json_decref(out);
            out = NULL;
        }
    }
    pv_ctlsrv_answer(e->node.ctl, handle, out);
    if (purpose == PV_JP_INBOX)
        pv_chatlink_read(e->chat, list, now);
}
