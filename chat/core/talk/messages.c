/* SPDX-License-Identifier: MIT */
/*
 * messages.c - a message to a room goes to rooms, any other to chatlink; what was said comes from
 * the store, whoever said it where.
 */
#include "chat/core/talk/messages.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "chat/core/talk/chatlink.h"
#include "chat/core/talk/copies.h"
#include "chat/core/talk/retention.h"
#include "chat/core/talk/rooms_part.h"
#include "chat/core/talk/tell.h"
#include "chat/proto/chatjson.h"
#include "proto/control/jsonline.h"
#include "proto/local/ctlapi_pack.h"
#include "proto/local/ctlapi_request.h"

/* The part has no state but the chat. */

/* --- send ------------------------------------------------------------------------------------ */

static void answer_failed(struct pv_chat *n, int status, uint64_t handle)
{
    if (pv_tell_off(n, "send", handle))
        return;
    if (status == PV_ERR_EXISTS)
        pv_tell_taken(n, handle);
    else if (status == PV_ERR_LIMIT)
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_FAILED,
                        "send: too many messages wait for this peer (%s): wait until it is back",
                        pv_strstatus(status));
    else if (status == PV_ERR_MALFORMED || status == PV_ERR_REFUSED || status == PV_ERR_NOMEM)
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_FAILED, "send: %s: %s", pv_strstatus(status),
                        status == PV_ERR_MALFORMED ? "a message is 1 to 16384 bytes of UTF-8"
                                                   : "try again");
    else
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_FAILED,
                        "send: the message could not be stored: %s: %s", pv_strstatus(status),
                        status == -ENOSPC || status == -EDQUOT
                            ? "free some space"
                            : "is the disk in order? p2pvpnd's log says more");
}

static void send_to(struct pv_chat *n, const struct pv_overlay_member *m,
                    const struct pv_ctlapi_request *req, const uint8_t *id, uint64_t handle,
                    pv_ns now)
{
    const struct pv_chatlink_message msg = {.pk = m->key,
                                            .name = m->name,
                                            .text = req->text,
                                            .id = id,
                                            .wall_ms = pv_chat_wall_ms(n, now)};
    struct pv_chat_record stored;
    int r = pv_chatlink_send(n->link, &msg, now, &stored);
    if (r != PV_OK) {
        answer_failed(n, r, handle);
        return;
    }
    pv_copies_queued(n, m->key);
    pv_tell_sent(n, handle, &stored, pv_chat_own(n)->up && pv_chat_is_there(n, m->key), NULL, now);
    pv_chat_record_done(&stored);
    pv_chat_want(n, m->key, "a message waits", now);
}

/* "send bob ...", typed to somebody else: a client knows by the members' names that it is a text.
 * It does not know who was called so until a moment ago, and for whom the line is, then. */
static bool is_for_another(struct pv_chat *n, const char *name, uint64_t handle, pv_ns now)
{
    struct pv_overlay_member m;
    if (name[0] == '\0' || !pv_chat_has_network(n) ||
        (!pv_chat_find(n, name, &m) &&
         !pv_overlay_by_word(n->overlay, PV_OVERLAY_BY_RENAMED, name, &m) &&
         !pv_overlay_by_word(n->overlay, PV_OVERLAY_BY_FORMER, name, &m)))
        return false;
    if (pv_chat_need(n, name, PV_OVERLAY_NEEDS_NODE, PV_CHAT_ASKER("send", handle, now), &m))
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_UNKNOWN_PEER,
                        "send: %s has come meanwhile: again, if it is for %s", name, name);
    return true;
}

/* A room is no peer: whom this command is about cannot be looked for before it runs. */
static void cmd_send(void *part, struct pv_ctlapi_request *req,
                     const struct pv_overlay_member *none, uint64_t handle, pv_ns now)
{
    struct pv_chat *n = part;
    struct pv_overlay_member m;
    uint8_t bytes[PV_CHAT_ID_LEN];
    const uint8_t *id = req->u.say.id[0] == '\0' ? NULL : bytes;
    if (id != NULL && pv_chat_id_parse(req->u.say.id, bytes) != PV_OK) {
        pv_ctlsrv_fail(n->ctl, handle, PV_CTLAPI_USAGE,
                       "send: an id is 22 characters of base64url, as another send named it");
        return;
    }
    /* Nothing of a machine that was removed gets anywhere; what its key said to a room never will.
     */
    if (pv_chat_own(n)->standing == PV_OVERLAY_OUT && !pv_chat_need_network(n, "send", handle, now))
        return;
    if (is_for_another(n, req->u.say.unless, handle, now))
        return;
    /* The message id of a room's text is the hash of what is signed, which nobody can choose: this
     * one is kept beside it. */
    if (req->peer[0] == '#') {
        pv_rooms_part_send(n, req, id, handle, now);
        return;
    }
    if (!pv_chat_need(n, req->peer, PV_OVERLAY_NEEDS_NODE, PV_CHAT_ASKER("send", handle, now), &m))
        return;
    if (req->u.say.name[0] != '\0' && strcmp(req->u.say.name, m.name) != 0)
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_UNKNOWN_PEER, "send: %s is called %s now",
                        req->u.say.name, m.name);
    else if (!pv_chat_refuse(n, &m, PV_OVERLAY_CHAT, "send", handle))
        send_to(n, &m, req, id, handle, now);
}

/* --- inbox, history -------------------------------------------------------------------------- */

/* A client that began before a member was renamed has the former name, and a person may know no
 * other. Commands that change more than that something is read want the present one. */
static const char *present_name(const struct pv_chat *n, const char *name,
                                struct pv_overlay_member *m)
{
    return name[0] != '#' && !pv_chat_find(n, name, m) &&
                   !pv_overlay_by_word(n->overlay, PV_OVERLAY_BY_FORMER, name, m) &&
                   pv_overlay_by_word(n->overlay, PV_OVERLAY_BY_RENAMED, name, m)
               ? m->name
               : name;
}

/* Says so when the name of the conversation's other side was another machine's before, also where
 * nothing was said yet. Of several conversations each line says it: no member has the key of a
 * room, or zeros. */
static void tell_change(const struct pv_chat *n, json_t **list,
                        const struct pv_chatop_result *result)
{
    struct pv_overlay_member m;
    if (pv_tell_story(n, result->peer, &m) && m.renamed_since != 0)
        pv_jsonline_set(list, "changed",
                        pv_ctlapi_pack("{s:s, s:I, s:o, s:o}", "name", m.name, "since",
                                       (json_int_t)m.renamed_since, "key", pv_ctlapi_key(m.former),
                                       "now", pv_ctlapi_key(m.key)));
}

static json_t *shown_list(const struct pv_chat *n, const struct pv_chatop_result *list)
{
    json_t *out = pv_chatjson_messages(list->more, list->upto);
    for (size_t i = 0; i < list->n_msgs; i++) {
        struct pv_tell_names names;
        const struct pv_chatjson_message msg = pv_tell_shown(n, &list->msgs[i], &names);
        pv_ctlapi_put(&out, "messages", pv_chatjson_write_message(&msg));
    }
    tell_change(n, &out, list);
    return out;
}

/* The store's answer to `inbox`, `read` and `history`. The first two make messages read, which
 * their senders are told. */
static void answer_list(struct pv_chat *n, const struct pv_ctlapi_request *req,
                        const struct pv_chatop_result *list, uint64_t handle, pv_ns now)
{
    if (req->cmd == PV_CTLAPI_READ)
        pv_chat_answer(n, handle,
                       pv_ctlapi_pack("{s:I, s:b}", "read", (json_int_t)list->n_msgs, "more",
                                      (int)list->more));
    else
        pv_chat_answer(n, handle, shown_list(n, list));
    if (req->cmd == PV_CTLAPI_HISTORY || (req->cmd == PV_CTLAPI_INBOX && req->u.list.peek))
        return;
    pv_chatlink_read(n->link, list, now);
    pv_tell_read(n, list->msgs, list->n_msgs, now);
}

/* Asks the store for messages: of this conversation, or of all (NULL). */
static void ask(struct pv_chat *n, const struct pv_ctlapi_request *req,
                const struct pv_conversation *of, uint64_t handle, pv_ns now)
{
    const bool inbox = req->cmd != PV_CTLAPI_HISTORY;
    uint8_t id[PV_CHAT_ID_LEN];
    struct pv_chatop_result list;
    struct pv_chatop op = {.kind = inbox ? PV_CHATOP_INBOX : PV_CHATOP_HISTORY,
                           .peer = of == NULL ? NULL : of->key,
                           .word = of != NULL && of->sought ? of->name : NULL,
                           .id = id,
                           .upto = req->u.list.upto};
    if (inbox) {
        op.mark_read = !req->u.list.peek;
        op.after = pv_chat_id_parse(req->u.list.after, id) == PV_OK;
        op.through =
            req->cmd == PV_CTLAPI_READ && pv_chat_id_parse(req->u.list.through, id) == PV_OK;
    } else {
        op.all_peers = of == NULL;
        op.limit = req->u.list.limit;
        op.before = pv_chat_id_parse(req->u.list.before, id) == PV_OK;
    }
    if (pv_chat_do(n, &op, &list) != PV_OK)
        pv_ctlsrv_fail(n->ctl, handle, PV_CTLAPI_FAILED, n->store.error);
    else if (list.has_none)
        pv_retention_has_none(n, of->name, pv_ctlapi_cmd_name(req->cmd), handle, now);
    else
        answer_list(n, req, &list, handle, now);
    pv_chatop_result_done(&list);
}

static void cmd_list(void *part, struct pv_ctlapi_request *req,
                     const struct pv_overlay_member *none, uint64_t handle, pv_ns now)
{
    struct pv_chat *n = part;
    uint8_t id[PV_CHAT_ID_LEN];
    struct pv_conversation of;
    struct pv_overlay_member m;
    /* Without this everything would be read. */
    if (req->cmd == PV_CTLAPI_READ && pv_chat_id_parse(req->u.list.through, id) != PV_OK) {
        pv_ctlsrv_fail(n->ctl, handle, PV_CTLAPI_USAGE, "read: \"through\" is the id of a message");
        return;
    }
    const bool all = req->peer[0] == '\0';
    if (all || pv_retention_conversation(n, present_name(n, req->peer, &m),
                                         pv_ctlapi_cmd_name(req->cmd), handle, now, &of))
        ask(n, req, all ? NULL : &of, handle, now);
}

static const struct pv_chat_command commands[] = {
    {PV_CTLAPI_SEND, PV_CHAT_NEEDS_NOTHING, cmd_send},
    {PV_CTLAPI_INBOX, PV_CHAT_NEEDS_NOTHING, cmd_list},
    {PV_CTLAPI_READ, PV_CHAT_NEEDS_NOTHING, cmd_list},
    {PV_CTLAPI_HISTORY, PV_CHAT_NEEDS_NOTHING, cmd_list},
};

const struct pv_chatpart pv_chatpart_messages = {
    .name = "messages",
    .commands = commands,
    .n_commands = PV_ARRAY_LEN(commands),
};
