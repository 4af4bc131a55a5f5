/* SPDX-License-Identifier: MIT */
/* waits.c - runs the pings and waits of control clients, and answers the echoes of peers. */
#include "daemon/core/client/waits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/remedy.h"
#include "daemon/core/member/presence.h"
#include "daemon/core/member/rules.h"
#include "daemon/core/node/node.h"
#include "daemon/core/peer/peer_show.h"
#include "daemon/core/peer/peers.h"
#include "proto/local/ctlapi.h"
#include "proto/local/ctlapi_pack.h"
#include "proto/local/ctlapi_request.h"

struct wait {
    struct wait *next;
    uint64_t handle;              /* ctl */
    uint8_t peer[PV_SIGN_PK_LEN]; /* identity key */
    bool has_peer;
    bool is_ping;
    /* wait: for a direct path; for being online */
    bool direct, online;
    /* ping */
    uint32_t count, size, next_seq, sent, received;
    uint32_t ended; /* echoes that were answered, or are lost */
    pv_ns interval, next_at;
    pv_ns give_up_at;  /* for the next echo to find a path */
    bool path_missing; /* the next echo is due and waits for one */
    struct {
        uint64_t token; /* 0 = unused */
        uint32_t seq;
        pv_ns sent_at;
    } out[PV_WAITS_OUTSTANDING];
};

struct waits {
    struct pv_node *node;
    struct wait *first;
    size_t n;
};

/* The place is given as the pointer that leads to it, so that the first needs no case of its own.
 */
static void unlink_wait(struct waits *ws, struct wait **at)
{
    struct wait *w = *at;
    *at = w->next;
    free(w);
    ws->n--;
}

static void unmake(void *part)
{
    struct waits *ws = part;
    while (ws->first != NULL)
        unlink_wait(ws, &ws->first);
}

/* --- ping ------------------------------------------------------------------------------------- */

/* Counted as over, since the client waits for as many ends as it asked for echoes. */
static void tell_lost(struct waits *ws, struct wait *w, uint32_t seq)
{
    w->ended++;
    pv_ctlsrv_event(ws->node->ctl, w->handle, "timeout", pv_ctlapi_pack("{s:i}", "seq", (int)seq));
}

/* The next echo is over, sent or not: the one after it is due an interval later. */
static void step(struct wait *w, pv_ns now)
{
    w->path_missing = false;
    w->next_seq++;
    w->sent++;
    w->next_at = now + w->interval;
    w->give_up_at = w->next_at + PV_WAITS_PING_PATIENCE;
}

static void send_ping(struct waits *ws, struct wait *w, struct pv_peer *p, pv_ns now)
{
    static const uint8_t filler[PV_INBAND_ECHO_MAX];
    _Static_assert(PV_CTLAPI_MAX_PING_SIZE <= sizeof(filler), "whatever a client may ask for");
    size_t slot = w->next_seq % PV_WAITS_OUTSTANDING;
    /* When more echoes are out than there are places, the oldest counts as lost. */
    if (w->out[slot].token != 0)
        tell_lost(ws, w, w->out[slot].seq);
    const struct pv_inband_echo echo = {
        .token = pv_rng_u64(&ws->node->rng) | 1, /* 0 marks a free place */
        .filler = pv_view(filler, w->size),
    };
    step(w, now);
    w->out[slot].seq = w->next_seq;
    w->out[slot].sent_at = now;
    w->out[slot].token = echo.token;
    pv_peers_echo(ws->node->peers, p, echo);
    pv_peer_note_asked(p, now);
    pv_peers_touch(ws->node->peers, p, now);
}

/* Echoes that were not answered in time. */
static void expire_echoes(struct waits *ws, struct wait *w, pv_ns now)
{
    for (size_t i = 0; i < PV_WAITS_OUTSTANDING; i++) {
        if (w->out[i].token == 0 || now < w->out[i].sent_at + PV_WAITS_PING_TIMEOUT)
            continue;
        w->out[i].token = 0;
        tell_lost(ws, w, w->out[i].seq);
    }
}

/* Returns true if every echo was answered or lost. Then the client is told how many, and the ping
 * is over. */
static bool sum_up(struct waits *ws, const struct wait *w)
{
    if (w->ended < w->count)
        return false;
    pv_ctlsrv_answer(
        ws->node->ctl, w->handle,
        pv_ctlapi_pack("{s:i, s:i}", "sent", (int)w->sent, "received", (int)w->received));
    return true;
}

/* Returns true if the ping is over and its client has been answered. Otherwise the next echo leaves
 * when it is due: at once if in-band messages reach the peer, or as soon as a path is found within
 * the patience. */
static bool run_ping(struct waits *ws, struct wait *w, pv_ns now)
{
    struct pv_ctlsrv *ctl = ws->node->ctl;
    struct pv_peer *p = pv_peers_by_pk(ws->node->peers, w->peer);
    expire_echoes(ws, w, now);
    if (p == NULL) {
        pv_ctlsrv_fail(ctl, w->handle, PV_CTLAPI_UNKNOWN_PEER, "ping: the peer left the network");
        return true;
    }
    if (sum_up(ws, w))
        return true;
    if (w->next_seq >= w->count || now < w->next_at)
        return false;
    if (pv_peer_can_talk(p, now)) {
        send_ping(ws, w, p, now);
    } else if (pv_peer_presence(p) == PV_PRESENCE_OFFLINE && pv_peer_path(p) == NULL) {
        pv_ctlsrv_failf(ctl, w->handle, PV_CTLAPI_PEER_OFFLINE,
                        "ping: %s is offline: try again when it is back", pv_peer_name(p));
        return true;
    } else if (now >= w->give_up_at) {
        step(w, now);
        tell_lost(ws, w, w->next_seq);
        return sum_up(ws, w); /* after the last one nothing is due that would look again */
    } else {
        w->path_missing = true;
        pv_peer_want(p, "ping", now);
        pv_peers_touch(ws->node->peers, p, now);
    }
    return false;
}

/* A peer asks: it is answered at once. Or it answers: the ping that asked with this token is told.
 */
static void take_echo(void *part, struct pv_peer *p, struct pv_view body, pv_ns now)
{
    struct waits *ws = part;
    struct pv_inband_echo echo;
    if (pv_inband_echo_parse(body, &echo) != PV_OK)
        return;
    if (!echo.reply) {
        /* One without filler asks whether the path carries anything, and no rule is about that. */
        if (echo.filler.len > 0 &&
            !pv_rules_serve(ws->node, pv_peer_pk(p), PV_SERVICE_PING, false).allow)
            return;
        /* Daemons ask without a filler whether a path lives; with one somebody asked for it. */
        if (echo.filler.len > 0)
            pv_peer_note_use(p, now);
        echo.reply = true;
        pv_peers_echo(ws->node->peers, p, echo);
        return;
    }
    /* The token alone finds the ping: it is random, so only a peer that got the echo can name it.
     */
    for (struct wait *w = ws->first; w != NULL; w = w->next) {
        for (size_t i = 0; w->is_ping && i < PV_WAITS_OUTSTANDING; i++) {
            if (w->out[i].token == 0 || w->out[i].token != echo.token)
                continue;
            struct pv_ctlapi_path path;
            double rtt_ms = (double)(now - w->out[i].sent_at) / 1e6;
            w->out[i].token = 0;
            w->received++;
            w->ended++;
            pv_peer_show_path(p, &path);
            pv_ctlsrv_event(ws->node->ctl, w->handle, "pong",
                            pv_ctlapi_pack("{s:i, s:f, s:o}", "seq", (int)w->out[i].seq, "rtt_ms",
                                           rtt_ms, "path", pv_ctlapi_path_json(&path)));
            return;
        }
    }
}

/* --- wait ------------------------------------------------------------------------------------- */

/* Returns true if what `wait` asked for is true now. While a client waits for a peer, the peer is
 * wanted. */
static bool wait_is_over(struct waits *ws, const struct wait *w, pv_ns now)
{
    const struct pv_node *n = ws->node;
    if (!w->has_peer)
        return w->online ? n->online : n->iface.state == PV_IFACE_UP && pv_node_self(n) != NULL;
    struct pv_peer *p = pv_peers_by_pk(n->peers, w->peer);
    if (p == NULL)
        return false;
    if (w->online && !w->direct)
        return pv_peer_reach(p) != PV_REACH_NO;
    pv_peer_want(p, "wait", now);
    pv_peers_touch(n->peers, p, now);
    return pv_peer_can_talk(p, now) && (!w->direct || pv_peer_is_direct(p));
}

/* --- all of them ------------------------------------------------------------------------------ */

static void run(void *part, pv_ns now)
{
    struct waits *ws = part;
    struct wait **at = &ws->first;
    while (*at != NULL) {
        struct wait *w = *at;
        bool over = false;
        if (w->is_ping) {
            over = run_ping(ws, w, now);
        } else if (wait_is_over(ws, w, now)) {
            pv_ctlsrv_done(ws->node->ctl, w->handle);
            over = true;
        } else if (!w->has_peer && pv_node_denied(ws->node) != NULL) {
            pv_ctlsrv_failf(ws->node->ctl, w->handle, PV_CTLAPI_REFUSED,
                            "wait: %s: `sudo p2pvpnctl leave --forget`, then ask for a new token",
                            pv_node_denied(ws->node));
            over = true;
        }
        if (over)
            unlink_wait(ws, at);
        else
            at = &w->next;
    }
}

static pv_ns next_timeout(const void *part)
{
    const struct waits *ws = part;
    pv_ns next = PV_NEVER;
    for (const struct wait *w = ws->first; w != NULL; w = w->next) {
        /* A wait needs no timer: only events make it come true, and run follows each of them. */
        if (!w->is_ping)
            continue;
        if (w->next_seq < w->count)
            next = pv_min_ns(next, w->path_missing ? w->give_up_at : w->next_at);
        for (size_t i = 0; i < PV_WAITS_OUTSTANDING; i++) {
            if (w->out[i].token != 0)
                next = pv_min_ns(next, w->out[i].sent_at + PV_WAITS_PING_TIMEOUT);
        }
    }
    return next;
}

/* A client that went away leaves its ping behind: without this it would keep its peer wanted, and a
 * path to it alive, for nobody. */
static void on_cancel(void *part, uint64_t handle, pv_ns now)
{
    struct waits *ws = part;
    for (struct wait **at = &ws->first; *at != NULL; at = &(*at)->next) {
        if ((*at)->handle == handle) {
            unlink_wait(ws, at);
            return;
        }
    }
}

/* --- commands --------------------------------------------------------------------------------- */

/* A new one, for peer p if there is one; NULL: the client has been refused. In a large network
 * nobody asked for the presence of this peer before. */
static struct wait *add_wait(struct waits *ws, const struct pv_peer *p, const char *what,
                             uint64_t handle)
{
    struct wait *w = ws->n == PV_WAITS_MAX ? NULL : calloc(1, sizeof(*w));
    if (w == NULL) {
        pv_ctlsrv_failf(ws->node->ctl, handle, PV_CTLAPI_FAILED,
                        "%s: too many at once: wait a little", what);
        return NULL;
    }
    w->handle = handle;
    if (p != NULL) {
        w->has_peer = true;
        memcpy(w->peer, pv_peer_pk(p), sizeof(w->peer));
        if (pv_peer_presence(p) == PV_PRESENCE_UNKNOWN)
            pv_presence_subscribe(ws->node, pv_peer_pk(p));
    }
    w->next = ws->first;
    ws->first = w;
    ws->n++;
    return w;
}

/* The first echo leaves with the next run, as all others do: so one place decides whether a path is
 * there. */
static void do_ping(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                    pv_ns now)
{
    struct waits *ws = part;
    if (!ws->node->up) {
        pv_ctlsrv_failf(ws->node->ctl, handle, PV_CTLAPI_FAILED, "ping: this machine is down: %s",
                        PV_DO_STR(up));
        return;
    }
    if (pv_rules_refuse(ws->node, p, PV_SERVICE_PING, "ping", handle))
        return;
    struct wait *w = add_wait(ws, p, "ping", handle);
    if (w == NULL)
        return;
    w->is_ping = true;
    w->count = req->u.ping.count;
    w->size = req->u.ping.size;
    w->interval = PV_MS(req->u.ping.interval_ms);
    w->next_at = now;
    w->give_up_at = now + PV_WAITS_PING_PATIENCE;
}

static void do_wait(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                    pv_ns now)
{
    struct waits *ws = part;
    if (req->peer[0] != '\0') {
        p = pv_peer_need(ws->node, req->peer, "wait", PV_NEEDS_MEMBER, handle);
        if (p == NULL)
            return;
    } else if (req->u.wait.direct) {
        pv_ctlsrv_fail(ws->node->ctl, handle, PV_CTLAPI_USAGE, "wait: --direct needs --peer PEER");
        return;
    } else if (!pv_node_waits(ws->node) && !pv_node_need_network(ws->node, "wait", handle)) {
        return;
    }
    struct wait *w = add_wait(ws, p, "wait", handle);
    if (w == NULL)
        return;
    w->direct = req->u.wait.direct;
    w->online = req->u.wait.online;
}

/* One is enough for a program, and no user with all of his connections has every place. */
static bool listens(const struct pv_node *n, uint64_t handle)
{
    for (size_t i = 0; i < n->events.n; i++) {
        if (pv_ctlsrv_sid(n->ctl, n->events.listeners[i].handle) == pv_ctlsrv_sid(n->ctl, handle))
            return true;
    }
    return false;
}

static void do_watch(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                     pv_ns now)
{
    struct waits *ws = part;
    struct pv_events *e = &ws->node->events;
    bool all = strcmp(req->u.watch.what, "all") == 0;
    if (!all && !pv_node_need_network(ws->node, "chat", handle))
        return;
    if (listens(ws->node, handle) ||
        (all ? pv_events_follow(e, handle, req->u.watch.since_s * 1000000, req->u.watch.seq)
             : pv_events_listen(e, handle, req->u.watch.seen)) != PV_OK)
        pv_ctlsrv_failf(ws->node->ctl, handle, PV_CTLAPI_FAILED,
                        "%s: too many listeners: close one", all ? "events" : "chat");
    else if (all && req->u.watch.figures > 0)
        pv_events_want_figures(e, handle, PV_S(req->u.watch.figures), now);
}

static const struct pv_inband_handler inband[] = {
    {PV_INBAND_ECHO, take_echo},
};

static const struct pv_command_handler commands[] = {
    {PV_CTLAPI_PING, PV_NEEDS_MEMBER, do_ping},
    {PV_CTLAPI_WAIT, PV_NEEDS_NOTHING, do_wait},
    {PV_CTLAPI_WATCH, PV_NEEDS_NOTHING, do_watch},
};

const struct pv_part pv_part_waits = {
    .name = "waits",
    .size = PV_PART_SIZE(struct waits),
    .free = unmake,
    .run = run,
    .next_timeout = next_timeout,
    .on_cancel = on_cancel,
    .inband = inband,
    .n_inband = PV_ARRAY_LEN(inband),
    .commands = commands,
    .n_commands = PV_ARRAY_LEN(commands),
};
