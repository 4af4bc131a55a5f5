/* SPDX-License-Identifier: MIT */
/* engine.c - loops over the parts of chat. */
#include "chat/core/engine.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap.h"
#include "chat/core/files/files_part.h"
#include "chat/core/talk/chat_part.h"
#include "chat/core/talk/chatlink.h"
#include "chat/core/talk/copies.h"
#include "chat/core/talk/messages.h"
#include "chat/core/talk/notifier.h"
#include "chat/core/talk/retention.h"
#include "chat/core/talk/rooms_part.h"
#include "chat/core/talk/tell.h"
#include "chat/proto/chat.h"
#include "chat/proto/file.h"
#include "crypto/ct.h"
#include "proto/local/ctlapi_request.h"

enum {
    MAX_ROUNDS = 64, /* of facts that parts raise while others are told */
};
#define VALUES_AGAIN PV_S(5) /* ours: after the store could not give the values */

/* Rooms and copies come before chatlink, which sends in the same turn what they had stored. */
static const struct pv_chatpart *const parts[] = {
    &pv_chatpart_copies, &pv_chatpart_rooms, &pv_chatpart_messages, &pv_chatpart_retention,
    &pv_chatpart_chat,   &pv_chatpart_files, &pv_chatpart_notifier,
};
_Static_assert(PV_ARRAY_LEN(parts) <= PV_CHAT_MAX_PARTS, "every part has its place");

/* pv_chat, and what only this file sees. */
struct engine {
    struct pv_chat chat; /* first */
    const struct pv_chatpart *const *parts;
    size_t n_parts;
    struct pv_auto_accept *auto_accept; /* owned */
    size_t n_auto_accept;
    struct pv_chat_store *store; /* borrowed; chat.store notes how it does */
    bool begun;                  /* the kept values were there: all parts are made */
    pv_ns ask_at;
};

static struct engine *engine_of(struct pv_chat *c)
{
    return PV_CONTAINER_OF(c, struct engine, chat);
}

#define EACH_PART(c, slot) \
    for (const struct pv_chatpart_slot *slot = (c)->parts; slot < (c)->parts + (c)->n_parts; slot++)

/* --- life ---------------------------------------------------------------------------------- */

static int make_part(struct pv_chat *c, const struct pv_chatpart *part,
                     const struct pv_chatpart_config *cfg, pv_ns now)
{
    struct pv_chatpart_slot *slot = &c->parts[c->n_parts];
    *slot = (struct pv_chatpart_slot){.part = part, .self = c};
    if (part->size > 0) {
        slot->self = calloc(1, part->size);
        if (slot->self == NULL)
            return PV_ERR_NOMEM;
        memcpy(slot->self, &c, sizeof(struct pv_chat *)); /* its first member */
    }
    c->n_parts++;
    return part->start == NULL ? PV_OK : part->start(slot->self, cfg, now);
}

/* From that place on, in the opposite order: a part may use those before it until its own end. */
static void free_parts(struct pv_chat *c, size_t from)
{
    while (c->n_parts > from) {
        const struct pv_chatpart_slot *slot = &c->parts[--c->n_parts];
        if (slot->part->free != NULL)
            slot->part->free(slot->self);
        if (slot->part->size > 0)
            free(slot->self);
    }
}

static void tell_facts(struct pv_chat *c, unsigned facts, pv_ns now)
{
    EACH_PART(c, slot)
    {
        if (facts != 0 && slot->part->on_facts != NULL)
            slot->part->on_facts(slot->self, facts, now);
    }
}

static void tell_member(struct pv_chat *c, const struct pv_overlay_member *m, unsigned news,
                        pv_ns now)
{
    EACH_PART(c, slot)
    {
        if (slot->part->on_member != NULL)
            slot->part->on_member(slot->self, m, news, now);
    }
}

/* All that the node has told so far, for a part that was not there. */
static void catch_up(struct pv_chat *c, const struct pv_chatpart_slot *slot, pv_ns now)
{
    const struct pv_overlay *o = c->overlay;
    struct pv_overlay_member m;
    const unsigned online = pv_chat_own(c)->online ? PV_OVERLAY_WENT_ON : 0;
    if (slot->part->on_facts != NULL)
        slot->part->on_facts(
            slot->self, PV_OVERLAY_NETWORK | PV_OVERLAY_OVERLAY | PV_OVERLAY_RULES | online, now);
    for (bool is = o->next(o->node, NULL, &m); is; is = o->next(o->node, m.key, &m)) {
        if (m.is_peer && slot->part->on_member != NULL)
            slot->part->on_member(slot->self, &m, PV_OVERLAY_NEWS_MEMBER | PV_OVERLAY_NEWS_LINK,
                                  now);
    }
}

static int make_parts(struct engine *e, bool waits, const struct pv_chatop_result *values,
                      pv_ns now)
{
    const struct pv_chatpart_config cfg = {.auto_accept = e->auto_accept,
                                           .n_auto_accept = e->n_auto_accept,
                                           .values = values == NULL ? NULL : values->values,
                                           .n_values = values == NULL ? 0 : values->n_values};
    struct pv_chat *c = &e->chat;
    int r = PV_OK;
    for (size_t i = 0; r == PV_OK && i < e->n_parts; i++) {
        if (e->parts[i]->waits != waits || pv_chat_part(c, e->parts[i]) != NULL)
            continue;
        const size_t at = c->n_parts;
        r = make_part(c, e->parts[i], &cfg, now);
        if (r != PV_OK)
            free_parts(c, at);
        else if (waits)
            catch_up(c, &c->parts[at], now);
    }
    for (size_t i = 0; r == PV_OK && waits && i < c->n_parts; i++)
        if (c->parts[i].part->on_values != NULL)
            c->parts[i].part->on_values(c->parts[i].self, &cfg, now);
    return r;
}

/* Makes the parts that wait for the kept values. */
static void begin(struct engine *e, pv_ns now)
{
    const struct pv_chatop op = {.kind = PV_CHATOP_VALUES};
    struct pv_chatop_result values;
    int r = pv_chat_do(&e->chat, &op, &values);
    const bool asked = r == PV_OK;
    e->ask_at = now + VALUES_AGAIN;
    if (r == PV_OK)
        r = make_parts(e, true, &values, now);
    e->begun = r == PV_OK;
    if (r != PV_OK && !e->chat.store.off)
        pv_log(e->chat.log, PV_LOG_WARN, "what=\"files wait for the store\" why=\"%s\"",
               asked ? pv_strstatus(r) : e->chat.store.error);
    pv_chatop_result_done(&values);
}

/* --- the store ----------------------------------------------------------------------------- */

/* Rooms ask again every few seconds, so a reason is logged once. */
static void note_off(struct pv_chat *c)
{
    const char *why = c->store.off ? c->store.error : "";
    if (strcmp(c->off, why) == 0)
        return;
    if (why[0] != '\0')
        pv_log(c->log, PV_LOG_ERROR, "what=\"chat does not work\" why=\"%s\"", why);
    else
        pv_log(c->log, PV_LOG_INFO, "what=\"chat works again\"");
    snprintf(c->off, sizeof(c->off), "%s", why);
}

/* How the store does is the same for all parts, and noted here. */
static void note_store(struct engine *e, int status)
{
    struct pv_chat *c = &e->chat;
    c->store.off = e->store->off;
    memcpy(c->store.error, e->store->error, sizeof(c->store.error));
    note_off(c);
    if (status != -ENOSPC || c->store.off)
        return;
    c->full = true;
    pv_chat_stored(c, status, c->wall_at);
}

static int run_op(struct pv_chat_store *store, const struct pv_chatop *op,
                  struct pv_chatop_result *ret)
{
    struct engine *e = store->self;
    int r = pv_chat_store_run(e->store, op, ret);
    e->chat.unsettled = e->chat.unsettled || r == PV_OK;
    note_store(e, r);
    return r;
}

static int settle(struct pv_chat_store *store)
{
    struct engine *e = store->self;
    int r = e->store->settle(e->store);
    note_store(e, r);
    return r;
}

int pv_chat_new(struct pv_chat **ret_chat, const struct pv_chat_config *cfg, pv_ns now)
{
    struct engine *e = calloc(1, sizeof(*e));
    const size_t n = cfg->n_auto_accept;
    if (e == NULL || (e->auto_accept = calloc(n + 1, sizeof(*e->auto_accept))) == NULL) {
        free(e);
        return PV_ERR_NOMEM;
    }
    if (n > 0)
        memcpy(e->auto_accept, cfg->auto_accept, n * sizeof(*e->auto_accept));
    e->n_auto_accept = n;
    e->parts = cfg->parts == NULL ? parts : cfg->parts;
    e->n_parts = cfg->parts == NULL ? PV_ARRAY_LEN(parts) : cfg->n_parts;
    e->chat = (struct pv_chat){.rng = cfg->rng,
                               .log = cfg->log,
                               .overlay = cfg->overlay,
                               .given = cfg->given,
                               .ctl = cfg->ctl,
                               .events = cfg->events,
                               .wall_us = cfg->wall_us,
                               .wall_at = now,
                               .store = {.self = e, .run = run_op, .settle = settle},
                               .store_at = PV_NEVER};
    e->store = cfg->store;
    int r = make_parts(e, false, NULL, now);
    if (r != PV_OK)
        pv_chat_free(&e->chat);
    else
        *ret_chat = &e->chat;
    return r;
}

/* Answers and events of a turn of which nobody knows what is stored; why: what their clients are
 * told, NULL: nothing. */
static void drop_held(struct pv_chat *c, const char *why)
{
    struct pv_chat_held held;
    while (pv_fifo_take(&c->held, &held) == PV_OK) {
        if (held.handle != 0 && why != NULL)
            pv_ctlsrv_fail(c->ctl, held.handle, PV_CTLAPI_FAILED, why);
        json_decref(held.body);
        pv_chat_held_done(&held);
    }
}

struct pv_chat *pv_chat_free(struct pv_chat *c)
{
    if (c == NULL)
        return NULL;
    struct engine *e = engine_of(c);
    free_parts(c, 0);
    drop_held(c, NULL);
    pv_streams_done(&c->streams);
    free(e->auto_accept);
    pv_wipe(e, sizeof(*e));
    free(e);
    return NULL;
}

void pv_chat_set_wall(struct pv_chat *c, uint64_t wall_us, pv_ns now)
{
    c->wall_us = wall_us;
    c->wall_at = now;
}

/* --- turns --------------------------------------------------------------------------------- */

/* Followers are the node's clients, if the node is another program. */
static void tell_node(const struct pv_overlay *o, const struct pv_event *event, const json_t *body,
                      pv_ns now)
{
    char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);
    const bool fits = text != NULL && strlen(text) <= PV_OVERLAY_BODY_MAX;
    const struct pv_overlay_event e = {.kind = event->kind,
                                       .what = event->what,
                                       .who = event->who == NULL ? "" : event->who,
                                       .text = event->text == NULL ? "" : event->text,
                                       .body = fits ? text : ""};
    o->tell(o->node, &e, now);
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    free(text);
}

/* Takes held->body. */
static void tell_held(struct pv_chat *c, const struct pv_chat_held *held, pv_ns now)
{
    const bool apart = c->overlay->tell != NULL;
    const struct pv_event heard = {.chat = held->event.chat};
    if (apart && held->event.kind != NULL)
        tell_node(c->overlay, &held->event, held->body, now);
    pv_events_tell(c->events, c->ctl, held->wall_us, apart ? &heard : &held->event, held->body);
}

static void give_held(struct pv_chat *c, pv_ns now)
{
    struct pv_chat_held held;
    while (pv_fifo_take(&c->held, &held) == PV_OK) {
        if (held.handle != 0)
            pv_ctlsrv_answer(c->ctl, held.handle, held.body);
        else
            tell_held(c, &held, now);
        pv_chat_held_done(&held);
    }
}

/* Tells parts what others have raised, until nobody raises anything. */
static void run_parts(struct pv_chat *c, pv_ns now)
{
    for (int round = 0; round < MAX_ROUNDS; round++) {
        const unsigned facts = c->facts;
        c->facts = 0;
        tell_facts(c, facts, now);
        EACH_PART(c, slot)
        {
            if (slot->part->run != NULL)
                slot->part->run(slot->self, now);
        }
        if (c->facts == 0)
            return;
    }
}

/* What was stored is on the disk: what says so leaves. If not, connections end and rooms are loaded
 * anew: the other side says all of it again. */
static void end_turn(struct pv_chat *c, pv_ns now)
{
    if (pv_chat_settle(c)) {
        give_held(c, now);
        return;
    }
    run_parts(c, now);
    drop_held(c, PV_STR("chat: %s", c->store.error));
    c->unsettled = false;
}

void pv_chat_run(struct pv_chat *c, pv_ns now)
{
    struct engine *e = engine_of(c);
    if (!e->begun && now >= e->ask_at)
        begin(e, now);
    run_parts(c, now);
    end_turn(c, now);
}

void pv_chat_stop(struct pv_chat *c, pv_ns now)
{
    EACH_PART(c, slot)
    {
        if (slot->part->on_stop != NULL)
            slot->part->on_stop(slot->self, now);
    }
    end_turn(c, now);
}

static const char *const source_names[PV_CHAT_FROM_COUNT] = {
    [PV_CHAT_FROM_COPIES] = "copies",
    [PV_CHAT_FROM_NOTIFICATIONS] = "notifications",
};

static void log_rest(struct pv_chat *c, pv_ns now)
{
    for (unsigned i = 0; i < PV_CHAT_FROM_COUNT; i++) {
        uint64_t more;
        if (pv_repeats_take_rest(&c->repeats[i], now, &more))
            pv_log(c->log, PV_LOG_WARN, "what=\"more of the like\" about=%s more=%" PRIu64,
                   source_names[i], more);
    }
}

void pv_chat_handle_timeout(struct pv_chat *c, pv_ns now)
{
    if (now >= c->store_at) {
        c->store_at = PV_NEVER;
        pv_chat_raise(c, PV_CHAT_FACT_STORE);
    }
    log_rest(c, now);
    EACH_PART(c, slot)
    {
        if (slot->part->handle_timeout != NULL)
            slot->part->handle_timeout(slot->self, now);
    }
}

pv_ns pv_chat_next_timeout(const struct pv_chat *c)
{
    const struct engine *e = (const struct engine *)(const void *)c; /* its first member */
    pv_ns next = c->store_at;
    if (!e->begun)
        next = pv_min_ns(next, e->ask_at);
    for (unsigned i = 0; i < PV_CHAT_FROM_COUNT; i++)
        next = pv_min_ns(next, pv_repeats_next_timeout(&c->repeats[i]));
    EACH_PART(c, slot)
    {
        if (slot->part->next_timeout != NULL)
            next = pv_min_ns(next, slot->part->next_timeout(slot->self));
    }
    return next;
}

/* --- told by the node ---------------------------------------------------------------------- */

static void on_own(void *chat, unsigned facts, pv_ns now)
{
    tell_facts(chat, facts, now);
}

static void on_member(void *chat, const uint8_t *key, unsigned news, pv_ns now)
{
    struct pv_overlay_member m;
    if (pv_chat_peer(chat, key, &m))
        tell_member(chat, &m, news, now);
}

static void on_gone(void *chat, const uint8_t *key, pv_ns now)
{
    struct pv_chat *c = chat;
    EACH_PART(c, slot)
    {
        if (slot->part->on_gone != NULL)
            slot->part->on_gone(slot->self, key, now);
    }
}

static void on_notice(void *chat, const uint8_t *key, struct pv_view body, pv_ns now)
{
    struct pv_chat *c = chat;
    struct pv_overlay_member m;
    if (!pv_chat_peer(c, key, &m))
        return;
    EACH_PART(c, slot)
    {
        if (slot->part->on_notice != NULL)
            slot->part->on_notice(slot->self, &m, body, now);
    }
}

static void on_explained(void *chat, uint64_t handle, enum pv_ctlapi_code code, const char *text,
                         pv_ns now)
{
    const struct pv_chat *c = chat;
    if (code == PV_CTLAPI_DONE)
        pv_ctlsrv_fail(c->ctl, handle, PV_CTLAPI_FAILED, "it can be done by now: try again");
    else
        pv_ctlsrv_fail(c->ctl, handle, code, text);
}

static void on_kept(void *chat, int status, enum pv_ctl_error error, pv_ns now)
{
    struct pv_chat *c = chat;
    EACH_PART(c, slot)
    {
        if (slot->part->on_kept != NULL)
            slot->part->on_kept(slot->self, status, error, now);
    }
}

static void on_collected(void *chat, const struct pv_overlay_copy *copy, pv_ns now)
{
    struct pv_chat *c = chat;
    EACH_PART(c, slot)
    {
        if (slot->part->on_collected != NULL)
            slot->part->on_collected(slot->self, copy, now);
    }
}

static void on_copies(void *chat, pv_ns now)
{
    struct pv_chat *c = chat;
    EACH_PART(c, slot)
    {
        if (slot->part->on_copies != NULL)
            slot->part->on_copies(slot->self, now);
    }
}

static void on_connected(void *chat, uint32_t stream, int status, int socket, pv_ns now)
{
    struct pv_chat *c = chat;
    if (pv_sid_kind(stream) != PV_CHAT_STREAM_TALK || c->link == NULL)
        return;
    if (status == PV_OK)
        pv_chatlink_connected(c->link, pv_sid_local(stream), now);
    else
        pv_chatlink_closed(c->link, pv_sid_local(stream), now);
}

static int on_accepted(void *chat, uint16_t port, const struct pv_addr *remote, int socket,
                       uint32_t *ret_stream, pv_ns now)
{
    struct pv_chat *c = chat;
    uint32_t local = 0;
    const bool is_file = port == PV_FILE_PORT;
    if (!is_file && (port != PV_CHAT_PORT || c->link == NULL))
        return PV_ERR_REFUSED;
    int r = is_file ? pv_files_part_accepted(c, remote, &local, now)
                    : pv_chat_part_accepted(c, remote, &local, now);
    *ret_stream = pv_sid(is_file ? PV_CHAT_STREAM_FILE : PV_CHAT_STREAM_TALK, local);
    return r;
}

static void on_notified(void *chat, uint64_t tag, int status, const char *why, pv_ns now)
{
    struct pv_chat *c = chat;
    EACH_PART(c, slot)
    {
        if (slot->part->on_notified != NULL)
            slot->part->on_notified(slot->self, tag, status, why, now);
    }
}

struct pv_overlay_told pv_chat_told(struct pv_chat *c)
{
    return (struct pv_overlay_told){.chat = c,
                                    .own = on_own,
                                    .member = on_member,
                                    .gone = on_gone,
                                    .notice = on_notice,
                                    .explained = on_explained,
                                    .kept = on_kept,
                                    .collected = on_collected,
                                    .copies = on_copies,
                                    .connected = on_connected,
                                    .accepted = on_accepted,
                                    .notified = on_notified};
}

/* --- commands ------------------------------------------------------------------------------ */

bool pv_chat_serves(size_t i, enum pv_ctlapi_cmd *ret_cmd)
{
    for (size_t k = 0; k < PV_ARRAY_LEN(parts); k++) {
        if (i < parts[k]->n_commands) {
            *ret_cmd = parts[k]->commands[i].cmd;
            return true;
        }
        i -= parts[k]->n_commands;
    }
    return false;
}

static const struct pv_chat_command *find_command(const struct pv_chat *c, enum pv_ctlapi_cmd cmd,
                                                  void **ret_self)
{
    EACH_PART(c, slot)
    {
        for (size_t i = 0; i < slot->part->n_commands; i++) {
            *ret_self = slot->self;
            if (slot->part->commands[i].cmd == cmd)
                return &slot->part->commands[i];
        }
    }
    return NULL;
}

void pv_chat_command(struct pv_chat *c, struct pv_ctlapi_request *req, uint64_t handle, pv_ns now)
{
    struct pv_overlay_member m;
    void *self = NULL;
    const char *what = pv_ctlapi_cmd_name(req->cmd);
    const struct pv_chat_command *cmd = find_command(c, req->cmd, &self);
    if (cmd == NULL) {
        if (!pv_tell_off(c, what, handle))
            pv_ctlsrv_failf(c->ctl, handle, PV_CTLAPI_FAILED,
                            "%s: the files are not loaded yet: try again", what);
        return;
    }
    if (cmd->needs == PV_CHAT_NEEDS_NETWORK && !pv_chat_need_network(c, what, handle, now))
        return;
    if (cmd->needs == PV_CHAT_NEEDS_NODE &&
        !pv_chat_need(c, req->peer, PV_OVERLAY_NEEDS_NODE, PV_CHAT_ASKER(what, handle, now), &m))
        return;
    cmd->run(self, req, cmd->needs == PV_CHAT_NEEDS_NODE ? &m : NULL, handle, now);
}

void pv_chat_status(struct pv_chat *c, const struct pv_chat_page *page, pv_ns now)
{
    if (c->off[0] != '\0')
        pv_chat_part_show_off(c->off, page);
    EACH_PART(c, slot)
    {
        if (slot->part->status != NULL)
            slot->part->status(slot->self, page, now);
    }
}

/* --- streams ------------------------------------------------------------------------------- */

static bool is_talk(const struct pv_chat *c, uint32_t sid)
{
    return pv_sid_kind(sid) == PV_CHAT_STREAM_TALK && c->link != NULL;
}

static struct pv_filelink *files_of(const struct pv_chat *c, uint32_t sid)
{
    return pv_sid_kind(sid) == PV_CHAT_STREAM_FILE ? pv_files_part_link(c) : NULL;
}

void pv_chat_stream_bytes(struct pv_chat *c, uint32_t sid, struct pv_view bytes, pv_ns now)
{
    struct pv_filelink *files = files_of(c, sid);
    if (is_talk(c, sid))
        pv_chatlink_handle_bytes(c->link, pv_sid_local(sid), bytes, pv_chat_wall_ms(c, now), now);
    if (files != NULL)
        pv_filelink_handle_bytes(files, pv_sid_local(sid), bytes, now);
}

void pv_chat_stream_closed(struct pv_chat *c, uint32_t sid, pv_ns now)
{
    struct pv_filelink *files = files_of(c, sid);
    if (is_talk(c, sid))
        pv_chatlink_closed(c->link, pv_sid_local(sid), now);
    if (files != NULL)
        pv_filelink_closed(files, pv_sid_local(sid));
}

struct pv_view pv_chat_stream_out(struct pv_chat *c, uint32_t sid)
{
    struct pv_filelink *files = files_of(c, sid);
    if (!pv_chat_settle(c))
        return pv_view(NULL, 0);
    return is_talk(c, sid) ? pv_chatlink_out(c->link, pv_sid_local(sid))
           : files != NULL ? pv_filelink_out(files, pv_sid_local(sid))
                           : pv_view(NULL, 0);
}

void pv_chat_stream_wrote(struct pv_chat *c, uint32_t sid, size_t n, pv_ns now)
{
    struct pv_filelink *files = files_of(c, sid);
    if (is_talk(c, sid))
        pv_chatlink_wrote(c->link, pv_sid_local(sid), n, now);
    if (files != NULL)
        pv_filelink_wrote(files, pv_sid_local(sid), n);
}

int pv_chat_next_close(struct pv_chat *c, uint32_t *ret_sid, pv_ns now)
{
    const struct pv_overlay *o = c->overlay;
    struct pv_stream_op op;
    while (pv_streams_next_op(&c->streams, &op) == PV_OK) {
        *ret_sid = op.sid;
        if (op.type == PV_STREAM_CLOSE)
            return PV_OK;
        int r = o->connect(o->node, op.sid, &op.addr, now);
        if (r != PV_OK)
            on_connected(c, op.sid, r, -1, now);
    }
    return PV_ERR_AGAIN;
}

int pv_chat_next_look(struct pv_chat *c, uint32_t *ret_sid)
{
    return pv_streams_next_turn(&c->streams, ret_sid);
}
