/* SPDX-License-Identifier: MIT */
/* life.c - carries bytes and orders between chat and what is around it. */
#include "chat/program/life.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "chat/core/engine.h"
#include "chat/io/shell.h"
#include "chat/program/nodesock.h"
#include "chat/program/streams.h"
#include "chat/store/chatstore.h"
#include "crypto/ct.h"
#include "proto/local/ctlapi_pack.h"
#include "proto/local/ctlapi_request.h"
#include "sys/proc/clock.h"
#include "sys/proc/entropy.h"
#include "sys/proc/loop.h"

enum {
    ROUNDS = 64,   /* ours: of orders in a turn, then descriptors get theirs again */
    DROPPED = 256, /* ours: more than chat has connections under way */
};

#define AWAY "p2pvpnd is not running: `sudo p2pvpnctl up` starts it"

struct life {
    struct pv_chatlife_config cfg;
    struct pv_rng rng;
    struct pv_loop *loop;
    struct pv_watch *signal_watch;
    struct pv_ctlsrv *ctl;
    struct pv_streams ctl_streams; /* of ctl */
    struct pv_events events;
    struct pv_chatstreams *streams;
    struct pv_nodesock *node;
    struct pv_overlay overlay;
    uint8_t key[PV_SIGN_PK_LEN]; /* of the node that chat was made for */
    bool anew;                   /* chat is of another node */
    int status;                  /* why the loop stops */

    /* One chat. */
    struct pv_chat *chat; /* NULL: the node has not told who it is */
    struct pv_overlay_told told;
    struct pv_chatstore *store;
    struct pv_chatshell *shell;
    char full[PV_CHAT_STORE_ERROR]; /* no room for a write; "": there was */
    struct pv_overlay_page page;    /* the last answer */
    /* Streams that chat closed before they were connected; 0: a free place. The oldest gives way:
     * the node may have gone away and never answer. */
    uint32_t dropped[DROPPED];
    size_t next_dropped;
};

static void stop(struct life *l, int status)
{
    l->status = status;
    pv_loop_stop(l->loop);
}

/* Chat, with the wall clock of now. */
static struct pv_chat *chat_at(struct life *l, pv_ns now)
{
    pv_chat_set_wall(l->chat, pv_clock_wall_us(), now);
    return l->chat;
}

/* --- the node's news -------------------------------------------------------------------------- */

static int make_chat(struct life *l, pv_ns now);
static void end_chat(struct life *l, pv_ns now);

static void on_own(void *ctx, unsigned facts, pv_ns now)
{
    struct life *l = ctx;
    const struct pv_overlay_own *own = l->overlay.own(l->overlay.node);
    if (l->chat != NULL && memcmp(own->key, l->key, sizeof(l->key)) != 0)
        l->anew = true;
    if (l->chat == NULL || l->anew) /* the turn makes it */
        return;
    (void)chat_at(l, now);
    l->told.own(l->told.chat, facts, now);
}

static void on_member(void *ctx, const uint8_t *key, unsigned news, pv_ns now)
{
    struct life *l = ctx;
    if (l->chat != NULL && chat_at(l, now) != NULL)
        l->told.member(l->told.chat, key, news, now);
}

static void on_gone(void *ctx, const uint8_t *key, pv_ns now)
{
    struct life *l = ctx;
    if (l->chat != NULL && chat_at(l, now) != NULL)
        l->told.gone(l->told.chat, key, now);
}

static void on_notice(void *ctx, const uint8_t *key, struct pv_view body, pv_ns now)
{
    struct life *l = ctx;
    if (l->chat != NULL && chat_at(l, now) != NULL)
        l->told.notice(l->told.chat, key, body, now);
}

/* A shell takes the # of one that is not quoted for a comment, and users leave it out then.
 * Commands about rooms want one and a peer, whatever stands in whose place. */
static bool name_room(const struct life *l, const char *text,
                      char ret_text[static PV_CTLAPI_ERROR_BUF])
{
    static const char no_peer[] = ": no peer ", list[] = ": `p2pvpnctl peers` lists them";
    char word[PV_CTLAPI_PEER_BUF];
    const char *at = strstr(text, no_peer);
    const char *end = at == NULL ? NULL : strstr(at, list);
    if (end == NULL || strncmp(text, "room", strlen("room")) == 0)
        return false;
    const int what = (int)(at - text);
    at += strlen(no_peer);
    if ((size_t)(end - at) >= sizeof(word))
        return false;
    snprintf(word, sizeof(word), "%.*s", (int)(end - at), at);
    if (!pv_asked_is_room(l->chat, word))
        return false;
    snprintf(ret_text, PV_CTLAPI_ERROR_BUF,
             "%.*s: no peer %s, but a room: type '#%s', in a shell with the quotes", what, text,
             word, word);
    return true;
}

static void on_explained(void *ctx, uint64_t handle, enum pv_ctlapi_code code, const char *text,
                         pv_ns now)
{
    struct life *l = ctx;
    char better[PV_CTLAPI_ERROR_BUF];
    if (l->chat != NULL && chat_at(l, now) != NULL)
        l->told.explained(
            l->told.chat, handle, code,
            code == PV_CTLAPI_UNKNOWN_PEER && name_room(l, text, better) ? better : text, now);
}

static void on_kept(void *ctx, int status, enum pv_ctl_error error, pv_ns now)
{
    struct life *l = ctx;
    if (l->chat != NULL && chat_at(l, now) != NULL)
        l->told.kept(l->told.chat, status, error, now);
}

static void on_collected(void *ctx, const struct pv_overlay_copy *copy, pv_ns now)
{
    struct life *l = ctx;
    if (l->chat != NULL && chat_at(l, now) != NULL)
        l->told.collected(l->told.chat, copy, now);
}

static void on_copies(void *ctx, pv_ns now)
{
    struct life *l = ctx;
    if (l->chat != NULL && chat_at(l, now) != NULL)
        l->told.copies(l->told.chat, now);
}

/* Chat has closed a stream that was still to be connected. */
static bool was_dropped(struct life *l, uint32_t stream)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(l->dropped); i++) {
        if (l->dropped[i] == stream) {
            l->dropped[i] = 0;
            return true;
        }
    }
    return false;
}

static void on_connected(void *ctx, uint32_t stream, int status, int socket, pv_ns now)
{
    struct life *l = ctx;
    if (l->chat == NULL) {
        if (socket >= 0)
            close(socket);
        return;
    }
    if (pv_sid_kind(stream) == PV_CHATSHELL_STREAM) {
        pv_chatshell_connected(l->shell, stream, socket);
        return;
    }
    if (was_dropped(l, stream)) {
        if (socket >= 0)
            close(socket);
        return;
    }
    (void)chat_at(l, now);
    l->told.connected(l->told.chat, stream, status, -1, now);
    if (socket >= 0)
        pv_chatstreams_add(l->streams, stream, socket, now);
}

static int on_accepted(void *ctx, uint16_t port, const struct pv_addr *remote, int socket,
                       uint32_t *ret_stream, pv_ns now)
{
    struct life *l = ctx;
    *ret_stream = 0;
    if (l->chat == NULL)
        return PV_ERR_CLOSED;
    (void)chat_at(l, now);
    int r = l->told.accepted(l->told.chat, port, remote, -1, ret_stream, now);
    if (r == PV_OK)
        pv_chatstreams_add(l->streams, *ret_stream, socket, now);
    return r;
}

static void on_notified(void *ctx, uint64_t tag, int status, const char *why, pv_ns now)
{
    struct life *l = ctx;
    if (l->chat != NULL && chat_at(l, now) != NULL)
        l->told.notified(l->told.chat, tag, status, why, now);
}

/* --- its share of `status` -------------------------------------------------------------------- */

static void add_line(struct life *l, unsigned kind, const char *what, const char *why,
                     uint64_t count)
{
    struct pv_overlay_page *p = &l->page;
    if (p->n == PV_OVERLAY_LINES)
        return;
    p->lines[p->n].kind = kind;
    p->lines[p->n].count = count;
    char *text = p->lines[p->n].text;
    snprintf(text, sizeof(p->lines[p->n].text), "%s%s", what, why);
    for (size_t len = strlen(text); len > 0 && !pv_utf8_is_valid(pv_view(text, len));)
        text[--len] = '\0'; /* it was cut within a character */
    p->n++;
}

static void add_minor(void *page, const char *what, const char *why)
{
    add_line(page, PV_OVERLAY_LINE_MINOR, what, why, 0);
}

static void add_minor_todo(void *page, const char *what, struct pv_remedy todo)
{
    char text[PV_REMEDY_BUF];
    add_line(page, PV_OVERLAY_LINE_MINOR, what, pv_remedy_write(&todo, text, sizeof(text)), 0);
}

static void add_problem(void *page, const char *what, const char *why)
{
    add_line(page, PV_OVERLAY_LINE_PROBLEM, what, why, 0);
}

static void add_drop(void *page, const char *reason, uint64_t n)
{
    if (n > 0)
        add_line(page, PV_OVERLAY_LINE_DROP, reason, "", n);
}

static void on_asked(void *ctx, uint64_t tag, pv_ns now)
{
    struct life *l = ctx;
    struct pv_asked_counts counts;
    const struct pv_chat_page page = {.page = l,
                                      .minor = add_minor,
                                      .minor_todo = add_minor_todo,
                                      .problem = add_problem,
                                      .drop = add_drop};
    l->page = (struct pv_overlay_page){.n = 0};
    if (l->chat != NULL && pv_asked_count(chat_at(l, now), &counts)) {
        l->page.counted = true;
        l->page.unread = counts.unread;
        l->page.queued = counts.queued;
    }
    if (l->cfg.fault[0] != '\0')
        add_problem(l, "[chat] is not as p2pvpnd.conf says: ", l->cfg.fault);
    if (l->full[0] != '\0')
        add_problem(l, "", l->full);
    if (l->chat != NULL)
        pv_chat_status(chat_at(l, now), &page, now);
    l->overlay.report(l->overlay.node, tag, &l->page, now);
}

/* --- control clients -------------------------------------------------------------------------- */

struct serving {
    struct life *life;
    pv_ns now;
};

static bool is_served(enum pv_ctlapi_cmd cmd)
{
    enum pv_ctlapi_cmd served;
    for (size_t i = 0; pv_chat_serves(i, &served); i++)
        if (served == cmd)
            return true;
    return false;
}

static bool listens(const struct life *l, uint64_t handle)
{
    for (size_t i = 0; i < l->events.n; i++)
        if (pv_ctlsrv_sid(l->ctl, l->events.listeners[i].handle) == pv_ctlsrv_sid(l->ctl, handle))
            return true;
    return false;
}

static void watch_chat(struct life *l, const struct pv_ctlapi_request *req, uint64_t handle,
                       pv_ns now)
{
    if (!pv_chat_need_network(l->chat, "chat", handle, now))
        return;
    if (listens(l, handle) || pv_events_listen(&l->events, handle, req->u.watch.seen) != PV_OK)
        pv_ctlsrv_fail(l->ctl, handle, PV_CTLAPI_FAILED, "chat: too many listeners: close one");
}

static void serve(void *arg, struct pv_ctlapi_request *req, uint64_t handle)
{
    const struct serving *s = arg;
    struct life *l = s->life;
    const char *what = pv_ctlapi_cmd_name(req->cmd);
    const bool watches = req->cmd == PV_CTLAPI_WATCH && strcmp(req->u.watch.what, "chat") == 0;
    if (req->cmd == PV_CTLAPI_VERSION)
        pv_ctlsrv_answer(l->ctl, handle, pv_ctlapi_pack("{s:s}", "version", PV_VERSION));
    else if (!watches && !is_served(req->cmd))
        pv_ctlsrv_failf(l->ctl, handle, PV_CTLAPI_FAILED,
                        "%s: p2pvpn-chatd has no such command: ask p2pvpnd", what);
    else if (l->chat == NULL)
        pv_ctlsrv_failf(l->ctl, handle, PV_CTLAPI_NOT_RUNNING, "%s: " AWAY,
                        watches ? "chat" : what);
    else if (watches)
        watch_chat(l, req, handle, s->now);
    else
        pv_chat_command(chat_at(l, s->now), req, handle, s->now);
}

static void cancelled(void *arg, uint64_t handle)
{
    const struct serving *s = arg;
    pv_events_drop(&s->life->events, handle);
}

/* --- streams ---------------------------------------------------------------------------------- */

static bool is_ctl(uint32_t sid)
{
    return pv_sid_kind(sid) == PV_STREAM_OF_CTL;
}

static int stream_accepted(void *host, uint32_t uid, bool may_change, uint32_t *ret_sid, pv_ns now)
{
    struct life *l = host;
    return pv_ctlsrv_accepted(l->ctl, uid, may_change, ret_sid);
}

static void stream_bytes(void *host, uint32_t sid, struct pv_view bytes, pv_ns now)
{
    struct life *l = host;
    struct serving s = {.life = l, .now = now};
    if (is_ctl(sid))
        pv_ctlsrv_handle_bytes(l->ctl, pv_sid_local(sid), bytes, serve, &s);
    else
        pv_chat_stream_bytes(chat_at(l, now), sid, bytes, now);
}

static void stream_passed(void *host, uint32_t sid, int fd, pv_ns now)
{
    const struct life *l = host;
    if (l->shell == NULL)
        close(fd);
    else
        pv_chatshell_passed(l->shell, sid, fd, now);
}

static void stream_closed(void *host, uint32_t sid, pv_ns now)
{
    struct life *l = host;
    if (is_ctl(sid))
        pv_ctlsrv_closed(l->ctl, pv_sid_local(sid));
    else
        pv_chat_stream_closed(chat_at(l, now), sid, now);
}

static struct pv_view stream_out(void *host, uint32_t sid)
{
    const struct life *l = host;
    return is_ctl(sid) ? pv_ctlsrv_out(l->ctl, pv_sid_local(sid))
                       : pv_chat_stream_out(l->chat, sid);
}

static void stream_wrote(void *host, uint32_t sid, size_t n, pv_ns now)
{
    struct life *l = host;
    if (is_ctl(sid))
        pv_ctlsrv_wrote(l->ctl, pv_sid_local(sid), n);
    else
        pv_chat_stream_wrote(chat_at(l, now), sid, n, now);
}

/* --- chat's threads --------------------------------------------------------------------------- */

static void shell_file(void *host, const struct pv_files_report *of, pv_ns now)
{
    pv_files_part_report(chat_at(host, now), of, now);
}

static int shell_take(void *host, uint32_t sid)
{
    const struct life *l = host;
    return pv_chatstreams_take(l->streams, sid);
}

static void shell_pass(void *host, uint32_t sid, int fd)
{
    const struct life *l = host;
    pv_chatstreams_pass(l->streams, sid, fd);
}

static int shell_connect(void *host, uint32_t stream, const struct pv_addr *to, pv_ns now)
{
    const struct life *l = host;
    return l->overlay.connect(l->overlay.node, stream, to, now);
}

/* --- one chat --------------------------------------------------------------------------------- */

static int make_chat(struct life *l, pv_ns now)
{
    const struct pv_overlay_own *own = l->overlay.own(l->overlay.node);
    const struct pv_chatset *set = l->cfg.set;
    int r = pv_chatstore_new(&l->store, l->cfg.state, set->max_size);
    const struct pv_chat_config cfg = {.rng = l->rng,
                                       .log = l->cfg.log,
                                       .overlay = &l->overlay,
                                       .store = r == PV_OK ? pv_chatstore_calls(l->store) : NULL,
                                       .ctl = l->ctl,
                                       .events = &l->events,
                                       .given = set->given,
                                       .auto_accept = set->auto_accept,
                                       .n_auto_accept = set->n_auto_accept,
                                       .wall_us = pv_clock_wall_us()};
    memcpy(l->key, own->key, sizeof(l->key));
    l->anew = false;
    l->full[0] = '\0';
    if (r == PV_OK) {
        const struct pv_chatshell_config shell = {.loop = l->loop,
                                                  .log = l->cfg.log,
                                                  .state = l->cfg.state,
                                                  .host = {.host = l,
                                                           .file = shell_file,
                                                           .take = shell_take,
                                                           .pass = shell_pass,
                                                           .connect = shell_connect}};
        r = pv_chatshell_new(&l->shell, &shell);
    }
    if (r == PV_OK)
        r = pv_chat_new(&l->chat, &cfg, now);
    if (r != PV_OK)
        return r;
    l->told = pv_chat_told(l->chat);
    const unsigned online = own->online ? PV_OVERLAY_WENT_ON : 0;
    l->told.own(l->told.chat, PV_OVERLAY_NETWORK | PV_OVERLAY_OVERLAY | PV_OVERLAY_RULES | online,
                now);
    return PV_OK;
}

static bool carry(struct life *l, pv_ns now);

/* What others must be told leaves, as far as it can at once. */
static void end_chat(struct life *l, pv_ns now)
{
    if (l->chat != NULL) {
        pv_chat_stop(chat_at(l, now), now);
        for (unsigned i = 0; i < ROUNDS && carry(l, now); i++)
            ;
    }
    pv_chatstreams_drop(l->streams);
    l->shell = pv_chatshell_free(l->shell);
    l->chat = pv_chat_free(l->chat);
    l->store = pv_chatstore_free(l->store);
}

/* --- turns ------------------------------------------------------------------------------------ */

static bool carry_ctl(struct life *l, pv_ns now)
{
    struct pv_stream_op op;
    uint32_t sid;
    bool did = false;
    while (pv_streams_next_op(&l->ctl_streams, &op) == PV_OK) {
        (void)pv_chatstreams_close(l->streams, op.sid, now);
        did = true;
    }
    while (pv_streams_next_turn(&l->ctl_streams, &sid) == PV_OK) {
        pv_chatstreams_look(l->streams, sid, now);
        did = true;
    }
    return did;
}

/* `status` names a full disk until chat has nothing left to write again. */
static void note_full(struct life *l)
{
    struct pv_chat *chat = l->chat;
    if (chat->full && l->full[0] == '\0')
        pv_log(l->cfg.log, PV_LOG_ERROR, "what=\"not stored\" why=\"%s\"", chat->store.error);
    if (chat->full)
        memcpy(l->full, chat->store.error, sizeof(l->full));
    else if (chat->store_at == PV_NEVER)
        l->full[0] = '\0';
    chat->full = false;
}

/* Carries out what chat wants. Returns true if there may be more. */
static bool carry(struct life *l, pv_ns now)
{
    const struct pv_files_op *op;
    uint32_t sid;
    bool did = false;
    struct pv_chat *chat = chat_at(l, now);
    pv_chat_run(chat, now);
    note_full(l);
    while (pv_files_part_poll(chat, &op)) {
        pv_chatshell_file(l->shell, op, now);
        did = true;
    }
    while (pv_chat_next_close(chat, &sid, now) == PV_OK) {
        if (!pv_chatstreams_close(l->streams, sid, now))
            l->dropped[l->next_dropped++ % DROPPED] = sid;
        did = true;
    }
    while (pv_chat_next_look(chat, &sid) == PV_OK) {
        pv_chatstreams_look(l->streams, sid, now);
        did = true;
    }
    return carry_ctl(l, now) || did;
}

/* The node has told who it is, or that it is another. */
static void keep_up(struct life *l, pv_ns now)
{
    if (l->anew)
        end_chat(l, now);
    if (l->chat != NULL || pv_nodecall_state(pv_nodesock_call(l->node)) != PV_NODECALL_THERE ||
        pv_ct_is_zero(l->overlay.own(l->overlay.node)->key, PV_SIGN_PK_LEN))
        return;
    int r = make_chat(l, now);
    if (r != PV_OK) {
        pv_log(l->cfg.log, PV_LOG_ERROR, "what=stopping why=\"%s\"", pv_strstatus(r));
        stop(l, r);
    }
}

static pv_ns turn(void *ctx, pv_ns now)
{
    struct life *l = ctx;
    struct serving s = {.life = l, .now = now};
    pv_ns next = pv_nodesock_run(l->node, now);
    bool more = false;
    keep_up(l, now);
    if (l->status == PV_OK && l->chat != NULL) {
        if (now >= pv_chat_next_timeout(l->chat))
            pv_chat_handle_timeout(chat_at(l, now), now);
        more = true;
        for (unsigned i = 0; i < ROUNDS && more; i++)
            more = carry(l, now);
        next = pv_min_ns(next, pv_chat_next_timeout(l->chat));
        next = pv_min_ns(next, pv_chatshell_timeout(l->shell, now));
    }
    pv_ctlsrv_tidy(l->ctl, cancelled, &s);
    pv_events_run(&l->events, l->ctl);
    (void)carry_ctl(l, now);
    next = pv_min_ns(next, pv_chatstreams_timeout(l->streams, now));
    /* What was asked of the node in this turn, and what came while it was waited for. */
    next = pv_min_ns(next, pv_nodesock_run(l->node, now));
    if (pv_chatstreams_is_over(l->streams))
        stop(l, PV_ERR_CLOSED);
    if (l->chat != NULL)
        next = pv_min_ns(next, pv_chat_next_timeout(l->chat));
    return more || l->anew ? now : next;
}

static void on_signal(void *ctx, unsigned ready, pv_ns now)
{
    struct life *l = ctx;
    int signo = 0;
    while (pv_signals_read(l->cfg.signals_fd, &signo) == PV_OK) {
        pv_log(l->cfg.log, PV_LOG_INFO, "signal=%d what=stopping", signo);
        stop(l, PV_OK);
    }
}

static int start(struct life *l)
{
    const struct pv_overlay_told told = {.chat = l,
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
                                         .notified = on_notified,
                                         .asked = on_asked};
    int r = pv_loop_new(&l->loop);
    if (r == PV_OK)
        r = pv_ctlsrv_new(&l->ctl, &l->ctl_streams, l->cfg.flag, l->cfg.own);
    if (r == PV_OK)
        r = pv_watch_new(&l->signal_watch, l->loop, l->cfg.signals_fd, PV_LOOP_READ, on_signal, l);
    if (r == PV_OK) {
        const struct pv_nodesock_config node = {
            .loop = l->loop,
            .path = l->cfg.node,
            .call = {.rng = l->rng, .log = l->cfg.log, .told = told, .away = AWAY}};
        r = pv_nodesock_new(&l->node, &node);
    }
    if (r == PV_OK) {
        const struct pv_chatstreams_config streams = {.loop = l->loop,
                                                      .log = l->cfg.log,
                                                      .usher = l->cfg.usher,
                                                      .own = l->cfg.own,
                                                      .host = {.host = l,
                                                               .accepted = stream_accepted,
                                                               .bytes = stream_bytes,
                                                               .passed = stream_passed,
                                                               .closed = stream_closed,
                                                               .out = stream_out,
                                                               .wrote = stream_wrote}};
        l->overlay = pv_nodecall_overlay(pv_nodesock_call(l->node));
        r = pv_chatstreams_new(&l->streams, &streams);
    }
    return r;
}

int pv_chatlife_run(const struct pv_chatlife_config *cfg)
{
    struct life *l = calloc(1, sizeof(*l));
    if (l == NULL)
        return PV_ERR_NOMEM;
    l->cfg = *cfg;
    l->rng = pv_entropy();
    int r = start(l);
    if (r == PV_OK) {
        const struct pv_loop_owner owner = {.turn = turn, .ctx = l};
        pv_supervisor_ready(cfg->supervisor, l->loop);
        pv_loop_run(l->loop, &owner);
        pv_supervisor_leave_loop(cfg->supervisor);
        r = l->status;
        end_chat(l, pv_clock_now());
    }
    pv_chatstreams_free(l->streams);
    pv_nodesock_free(l->node);
    pv_watch_free(l->signal_watch);
    pv_events_done(&l->events);
    pv_ctlsrv_free(l->ctl);
    pv_streams_done(&l->ctl_streams);
    pv_loop_free(l->loop);
    pv_wipe(l, sizeof(*l));
    free(l);
    return r;
}
