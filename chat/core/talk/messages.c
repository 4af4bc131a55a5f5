/* SPDX-License-Identifier: MIT */
/*
 * messages.c - a message to a room goes to rooms, any other to chatlink; what was said comes from
 * the store, whoever said it where.
 */
#include "chat/core/talk/messages.h"

#include <stdio.h>
#include <string.h>

#include "chat/core/talk/chatlink.h"
#include "chat/core/talk/retention.h"
#include "chat/core/talk/rooms_part.h"
#include "chat/core/talk/tell.h"
#include "chat/proto/chatjson.h"
#include "proto/control/jsonline.h"
#include "proto/local/ctlapi_pack.h"
#include "proto/local/ctlapi_request.h"

/* The part has no state but the node: a job's tag is the handle of the request that waits for it,
 * and in its lowest bits what that wants. */
enum asked {
    ASKED_LIST,
    ASKED_INBOX, /* what it lists is read by that */
    ASKED_READ,
};
static uint64_t tag_of(uint64_t handle, enum asked what)
{
    return handle << 2 | (uint64_t)what;
}

/* --- send ------------------------------------------------------------------------------------ */

static void send_to(struct pv_chat *n, const struct pv_overlay_member *m,
                    const struct pv_ctlapi_request *req, const uint8_t *id, uint64_t handle,
                    pv_ns now)
{
    const struct pv_chatlink_message msg = {.pk = m->key,
                                            .name = m->name,
                                            .text = req->text,
                                            .id = id,
                                            .wall_ms = pv_chat_wall_ms(n, now)};
    int r = pv_chatlink_send(n->link, handle, &msg, now);
    if (r != PV_OK) {
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_FAILED, "send: %s: %s", pv_strstatus(r),
                        r == PV_ERR_MALFORMED ? "a message is 1 to 16384 bytes of UTF-8"
                                              : "try again");
        return;
    }
    /* A path is sought while the message is on its way to the disk. */
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

/* Makes the job that asks the store for messages: of this conversation, or of all (NULL). */
static struct pv_chatop *make_job(const struct pv_ctlapi_request *req,
                                  const struct pv_conversation *of)
{
    bool inbox = req->cmd != PV_CTLAPI_HISTORY;
    struct pv_chatop *job = pv_chatop_new(inbox ? PV_CHATOP_INBOX : PV_CHATOP_HISTORY);
    if (job == NULL)
        return NULL;
    if (of != NULL)
        memcpy(job->peer, of->key, sizeof(job->peer));
    if (of != NULL && of->sought)
        memcpy(job->word, of->name, sizeof(job->word));
    if (inbox) {
        job->mark_read = !req->u.list.peek;
        job->of_peer = of != NULL;
        job->after = pv_chat_id_parse(req->u.list.after, job->id) == PV_OK;
        job->through =
            req->cmd == PV_CTLAPI_READ && pv_chat_id_parse(req->u.list.through, job->id) == PV_OK;
        job->upto = req->u.list.upto;
    } else {
        job->all_peers = of == NULL;
        job->upto = req->u.list.upto;
        job->limit = req->u.list.limit;
        job->before = pv_chat_id_parse(req->u.list.before, job->id) == PV_OK;
    }
    return job;
}

static pv_chatqueue_done_fn on_job;

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

static void cmd_list(void *part, struct pv_ctlapi_request *req,
                     const struct pv_overlay_member *none, uint64_t handle, pv_ns now)
{
    struct pv_chat *n = part;
    uint8_t id[PV_CHAT_ID_LEN];
    struct pv_conversation of;
    struct pv_overlay_member m;
    const enum asked what = req->cmd == PV_CTLAPI_READ                         ? ASKED_READ
                            : req->cmd == PV_CTLAPI_INBOX && !req->u.list.peek ? ASKED_INBOX
                                                                               : ASKED_LIST;
    /* Without this everything would be read. */
    if (what == ASKED_READ && pv_chat_id_parse(req->u.list.through, id) != PV_OK) {
        pv_ctlsrv_fail(n->ctl, handle, PV_CTLAPI_USAGE, "read: \"through\" is the id of a message");
        return;
    }
    const bool all = req->peer[0] == '\0';
    if (!all && !pv_retention_conversation(n, present_name(n, req->peer, &m),
                                           pv_ctlapi_cmd_name(req->cmd), handle, now, &of))
        return;
    if (!pv_chatqueue_submit(&n->jobs, make_job(req, all ? NULL : &of), on_job, n,
                             tag_of(handle, what)))
        pv_ctlsrv_fail(n->ctl, handle, PV_CTLAPI_FAILED, "chat: out of memory: try again");
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

/* INBOX and READ make messages read, which their senders are told; a list makes none. */
static void on_job(struct pv_chatwait *wait, struct pv_chatqueue_result *result, pv_ns now)
{
    struct pv_chat *n = wait->self;
    uint64_t handle = wait->tag >> 2;
    struct pv_chatop_result *chat = pv_chatop_result_of(result);
    if (result->status != PV_OK || chat == NULL) {
        pv_ctlsrv_fail(n->ctl, handle, PV_CTLAPI_FAILED, result->error);
        return;
    }
    if (chat->word[0] != '\0') {
        const char *what = wait->tag == tag_of(handle, ASKED_READ)    ? "read"
                           : wait->tag == tag_of(handle, ASKED_INBOX) ? "inbox"
                                                                      : "history";
        pv_retention_has_none(n, chat->word, what, handle, now);
        return;
    }
    if (wait->tag == tag_of(handle, ASKED_READ))
        pv_ctlsrv_answer(n->ctl, handle,
                         pv_ctlapi_pack("{s:I, s:b}", "read", (json_int_t)chat->n_msgs, "more",
                                        (int)chat->more));
    else
        pv_ctlsrv_answer(n->ctl, handle, shown_list(n, chat));
    if (wait->tag == tag_of(handle, ASKED_LIST))
        return;
    pv_chatlink_read(n->link, chat, now);
    pv_tell_read(n, chat->msgs, chat->n_msgs, now);
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
