/* SPDX-License-Identifier: MIT */
/* chat.c - carries streams, commands and files between the engine and chat. */
#include "bind/chat.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "bind/overlay.h"
#include "chat/core/talk/asked.h"
#include "chat/proto/chat.h"
#include "chat/proto/file.h"
#include "daemon/core/node/apphooks.h"
#include "daemon/core/node/node.h"
#include "daemon/core/node/statuspage.h"
#include "daemon/core/peer/peers.h"
#include "proto/rules/ports.h"

_Static_assert((int)PV_CHAT_PORT == (int)PV_PORTS_CHAT && (int)PV_FILE_PORT == (int)PV_PORTS_FILES,
               "rules and the packet threads know them by these names");
_Static_assert((int)PV_CHAT_STREAM_TALK == (int)PV_STREAM_APP1 &&
                   (int)PV_CHAT_STREAM_FILE == (int)PV_STREAM_APP2 &&
                   (int)PV_STREAM_OF_CTL == (int)PV_STREAM_CTL,
               "a stream has one number on both sides");

/* A stream of chat, as long as the shell has it: its place among those to be looked at. */
struct link {
    struct link *prev, *next;
    uint32_t sid;
    struct pv_stream_turn turn;
};

struct bind {
    struct pv_node *node;
    struct pv_bind_overlay overlay;
    struct pv_chat *chat; /* owned */
    struct link *links;   /* owned */
};

struct pv_chat *pv_bind_chat_of(const struct pv_node *n)
{
    const struct bind *b = pv_node_part(n, &pv_bind_chat);
    return b == NULL ? NULL : b->chat;
}

/* Chat, with the wall clock of now. */
static struct pv_chat *chat_at(struct bind *b, pv_ns now)
{
    pv_chat_set_wall(b->chat, pv_node_wall_us(b->node, now), now);
    return b->chat;
}

/* --- streams --------------------------------------------------------------------------------- */

static struct link *find_link(struct bind *b, uint32_t sid)
{
    struct link *l = b->links;
    while (l != NULL && l->sid != sid)
        l = l->next;
    return l;
}

static struct link *add_link(struct bind *b, uint32_t sid)
{
    struct link *l = calloc(1, sizeof(*l));
    if (l == NULL)
        return NULL;
    l->sid = sid;
    PV_LIST_ADD_FIRST(b->links, l);
    return l;
}

static void remove_link(struct bind *b, struct link *l)
{
    if (l == NULL)
        return;
    pv_streams_forget(&b->node->streams, &l->turn);
    PV_LIST_DEL(b->links, l);
    free(l);
}

/* Has the shell look at the streams that chat names. A stream that has no place yet gets one;
 * without memory the shell looks at it with the next bytes. */
static void carry_streams(struct bind *b, pv_ns now)
{
    struct pv_streams *streams = &b->node->streams;
    uint32_t sid;
    while (pv_chat_next_close(b->chat, &sid, now) == PV_OK) {
        remove_link(b, find_link(b, sid));
        pv_streams_close(streams, pv_sid_kind(sid), pv_sid_local(sid));
    }
    while (pv_chat_next_look(b->chat, &sid) == PV_OK) {
        struct link *l = find_link(b, sid);
        if (l == NULL)
            l = add_link(b, sid);
        if (l != NULL)
            pv_streams_wake(streams, &l->turn, pv_sid_kind(sid), pv_sid_local(sid));
    }
}

static int accepted(struct bind *b, uint16_t port, const struct pv_stream_peer *who,
                    uint32_t *ret_sid, pv_ns now)
{
    const struct pv_overlay_told *told = &b->overlay.told;
    uint32_t sid = 0;
    (void)chat_at(b, now);
    int r = told->accepted(told->chat, port, &who->remote, -1, &sid, now);
    *ret_sid = pv_sid_local(sid);
    return r;
}

static int accepted1(void *part, const struct pv_stream_peer *who, uint32_t *ret_sid, pv_ns now)
{
    return accepted(part, PV_CHAT_PORT, who, ret_sid, now);
}

static int accepted2(void *part, const struct pv_stream_peer *who, uint32_t *ret_sid, pv_ns now)
{
    return accepted(part, PV_FILE_PORT, who, ret_sid, now);
}

static void connected1(void *part, uint32_t sid, pv_ns now)
{
    struct bind *b = part;
    const struct pv_overlay_told *told = &b->overlay.told;
    (void)chat_at(b, now);
    told->connected(told->chat, pv_sid(PV_STREAM_APP1, sid), PV_OK, -1, now);
}

static void bytes1(void *part, uint32_t sid, struct pv_view bytes, pv_ns now)
{
    pv_chat_stream_bytes(chat_at(part, now), pv_sid(PV_STREAM_APP1, sid), bytes, now);
}

static void bytes2(void *part, uint32_t sid, struct pv_view bytes, pv_ns now)
{
    pv_chat_stream_bytes(chat_at(part, now), pv_sid(PV_STREAM_APP2, sid), bytes, now);
}

static void closed(struct bind *b, uint32_t sid, pv_ns now)
{
    remove_link(b, find_link(b, sid));
    pv_chat_stream_closed(chat_at(b, now), sid, now);
}

static void closed1(void *part, uint32_t sid, int status, pv_ns now)
{
    closed(part, pv_sid(PV_STREAM_APP1, sid), now);
}

static void closed2(void *part, uint32_t sid, int status, pv_ns now)
{
    closed(part, pv_sid(PV_STREAM_APP2, sid), now);
}

static struct pv_view out1(void *part, uint32_t sid)
{
    const struct bind *b = part;
    return pv_chat_stream_out(b->chat, pv_sid(PV_STREAM_APP1, sid));
}

static struct pv_view out2(void *part, uint32_t sid)
{
    const struct bind *b = part;
    return pv_chat_stream_out(b->chat, pv_sid(PV_STREAM_APP2, sid));
}

static void wrote1(void *part, uint32_t sid, size_t n, pv_ns now)
{
    pv_chat_stream_wrote(chat_at(part, now), pv_sid(PV_STREAM_APP1, sid), n, now);
}

static void wrote2(void *part, uint32_t sid, size_t n, pv_ns now)
{
    pv_chat_stream_wrote(chat_at(part, now), pv_sid(PV_STREAM_APP2, sid), n, now);
}

static const struct pv_stream_handler streams[] = {{.kind = PV_STREAM_APP1,
                                                    .accepted = accepted1,
                                                    .connected = connected1,
                                                    .bytes = bytes1,
                                                    .closed = closed1,
                                                    .out = out1,
                                                    .wrote = wrote1},
                                                   {.kind = PV_STREAM_APP2,
                                                    .accepted = accepted2,
                                                    .bytes = bytes2,
                                                    .closed = closed2,
                                                    .out = out2,
                                                    .wrote = wrote2}};

/* --- questions of the daemon ----------------------------------------------------------------- */

static bool say_held(const struct pv_node *n, const struct pv_peer *p,
                     char ret_why[static PV_CTLAPI_ERROR_BUF])
{
    const struct bind *b = pv_node_part(n, &pv_bind_chat);
    struct pv_overlay_member m;
    if (b == NULL || b->chat->link == NULL)
        return false;
    pv_bind_member_of(&b->overlay, p, &m);
    return pv_asked_held(b->chat, &m, ret_why);
}

static bool is_room(const struct pv_node *n, const char *text)
{
    const struct bind *b = pv_node_part(n, &pv_bind_chat);
    return b != NULL && pv_asked_is_room(b->chat, text);
}

static bool count(struct pv_node *n, pv_app_counted *done, void *self, uint64_t tag, pv_ns now)
{
    struct bind *b = pv_node_part(n, &pv_bind_chat);
    struct pv_asked_counts counts;
    if (b == NULL)
        return false;
    const bool good = pv_asked_count(chat_at(b, now), &counts);
    const struct pv_app_counts same = {.unread = counts.unread, .queued = counts.queued};
    done(self, tag, good ? &same : NULL, now);
    return true;
}

static const struct pv_app_hooks hooks = {say_held, is_room, count};

/* --- life ------------------------------------------------------------------------------------ */

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct bind *b = part;
    struct pv_node *n = b->node;
    const struct pv_bind_chat_config *own = cfg->app_config;
    pv_bind_overlay_init(&b->overlay, n);
    struct pv_chat_given given = own->given;
    given.notify = cfg->notify;
    const struct pv_chat_config chat = {.rng = n->rng,
                                        .log = n->log,
                                        .overlay = &b->overlay.overlay,
                                        .store = own->store,
                                        .ctl = n->ctl,
                                        .events = &n->events,
                                        .given = given,
                                        .auto_accept = own->auto_accept,
                                        .n_auto_accept = own->n_auto_accept,
                                        .parts = own->parts,
                                        .n_parts = own->n_parts,
                                        .wall_us = pv_node_wall_us(n, now)};
    int r = pv_chat_new(&b->chat, &chat, now);
    if (r != PV_OK)
        return r;
    b->overlay.told = pv_chat_told(b->chat);
    pv_bind_overlay_collect(&b->overlay, true);
    n->app_hooks = &hooks;
    return PV_OK;
}

static void free_bind(void *part)
{
    struct bind *b = part;
    pv_bind_overlay_collect(&b->overlay, false);
    pv_jobqueue_forget(&b->node->jobs, &b->overlay, NULL);
    b->node->app_hooks = NULL;
    while (b->links != NULL)
        remove_link(b, b->links);
    b->chat = pv_chat_free(b->chat);
}

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct bind *b = part;
    struct pv_chat *chat = chat_at(b, now);
    if ((facts & PV_FACT_STORE) != 0)
        pv_chat_raise(chat, PV_CHAT_FACT_STORE);
    pv_bind_tell_facts(&b->overlay, facts, now);
}

static void on_peer(void *part, struct pv_peer *p, unsigned facts, pv_ns now)
{
    struct bind *b = part;
    (void)chat_at(b, now);
    pv_bind_tell_peer(&b->overlay, p, facts, now);
}

static void on_member_gone(void *part, const uint8_t *pk, pv_ns now)
{
    struct bind *b = part;
    (void)chat_at(b, now);
    b->overlay.told.gone(b->overlay.told.chat, pk, now);
}

static void take_notice(void *part, struct pv_peer *from, struct pv_view body, pv_ns now)
{
    struct bind *b = part;
    (void)chat_at(b, now);
    b->overlay.told.notice(b->overlay.told.chat, pv_peer_pk(from), body, now);
}

static void on_stop(void *part, pv_ns now)
{
    struct bind *b = part;
    pv_chat_stop(chat_at(b, now), now);
    carry_streams(b, now);
}

/* A full disk is one for all: `status` says so, and all parts write again later. */
static void tell_full(struct bind *b)
{
    struct pv_job_result full = {.status = -ENOSPC};
    _Static_assert(sizeof(full.error) == sizeof(b->chat->store.error), "an error is not cut");
    if (!b->chat->full)
        return;
    b->chat->full = false;
    memcpy(full.error, b->chat->store.error, sizeof(full.error));
    pv_node_stored(b->node, &full);
}

static void run(void *part, pv_ns now)
{
    struct bind *b = part;
    pv_chat_run(chat_at(b, now), now);
    tell_full(b);
    carry_streams(b, now);
}

static void handle_timeout(void *part, pv_ns now)
{
    pv_chat_handle_timeout(chat_at(part, now), now);
}

static pv_ns next_timeout(const void *part)
{
    const struct bind *b = part;
    return pv_chat_next_timeout(b->chat);
}

/* --- orders ---------------------------------------------------------------------------------- */

static bool poll_order(void *part, const void **ret_order)
{
    const struct bind *b = part;
    const struct pv_files_op *op;
    if (!pv_files_part_poll(b->chat, &op))
        return false;
    *ret_order = op;
    return true;
}

static void on_report(void *part, const void *report, pv_ns now)
{
    pv_files_part_report(chat_at(part, now), report, now);
}

/* --- clients --------------------------------------------------------------------------------- */

static void serve(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                  pv_ns now)
{
    pv_chat_command(chat_at(part, now), req, handle, now);
}

#define SERVED(cmd)                              \
    {                                            \
        PV_CTLAPI_##cmd, PV_NEEDS_NOTHING, serve \
    }
static const struct pv_command_handler commands[] = {
    SERVED(SEND),          SERVED(INBOX),        SERVED(READ),        SERVED(HISTORY),
    SERVED(HISTORY_CLEAR), SERVED(MUTE),         SERVED(UNMUTE),      SERVED(MUTED),
    SERVED(ROOM_CREATE),   SERVED(ROOM_INVITE),  SERVED(ROOM_ACCEPT), SERVED(ROOM_LEAVE),
    SERVED(ROOM_LIST),     SERVED(ROOM_MEMBERS), SERVED(FILE_SEND),   SERVED(FILES),
    SERVED(FILE_ACCEPT),   SERVED(FILE_STOP),    SERVED(FILE_GET),    SERVED(FILE_SAVED),
};

static void minor(void *page, const char *what, const char *why)
{
    pv_statuspage_minor(page, what, why);
}

static void minor_todo(void *page, const char *what, struct pv_remedy todo)
{
    pv_statuspage_minor_todo(page, what, todo);
}

static void problem(void *page, const char *what, const char *why)
{
    pv_statuspage_problem(page, what, why);
}

static void drop(void *page, const char *reason, uint64_t n)
{
    pv_statuspage_drop(page, reason, n);
}

static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct pv_chat_page page = {
        .page = st, .minor = minor, .minor_todo = minor_todo, .problem = problem, .drop = drop};
    pv_chat_status(chat_at(part, now), &page, now);
}

static const struct pv_inband_handler inband[] = {{PV_INBAND_FILE, take_notice}};

const struct pv_part pv_bind_chat = {
    .name = "app",
    .after = {"linkkeys", "boxes"},
    .size = PV_PART_SIZE(struct bind),
    .start = start,
    .free = free_bind,
    .on_facts = on_facts,
    .on_peer = on_peer,
    .on_member_gone = on_member_gone,
    .on_stop = on_stop,
    .run = run,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .poll_order = poll_order,
    .on_report = on_report,
    .inband = inband,
    .n_inband = PV_ARRAY_LEN(inband),
    .commands = commands,
    .n_commands = PV_ARRAY_LEN(commands),
    .streams = streams,
    .n_streams = PV_ARRAY_LEN(streams),
    .status = show,
};
