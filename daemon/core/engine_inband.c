/* SPDX-License-Identifier: MIT */
/* In-band messages both ways, and what waits for them: ping and wait. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/engine_int.h"

/* --- out ------------------------------------------------------------------------------------- */

int pv_engine_poll_inject(struct pv_engine *e, struct pv_engine_inject *ret_inject)
{
    return pv_peers_poll_inject(e->node.peers, ret_inject);
}

static bool send_echo(struct pv_engine *e, struct pv_peer *p, const struct pv_inband_echo *echo)
{
    uint8_t body[PV_INBAND_PART_MAX];
    size_t len;
    if (pv_inband_echo_build(echo, body, sizeof(body), &len) != PV_OK)
        return false;
    pv_engine_send_inband(e, p, PV_INBAND_ECHO, pv_view(body, len));
    return true;
}

void pv_engine_say_goodbye(struct pv_engine *e, pv_ns now)
{
    struct pv_peer *p;
    for (p = NULL; (p = pv_peers_next_member(e->node.peers, p)) != NULL;) {
        if (pv_peer_can_talk(p, now))
            pv_engine_send_inband(e, p, PV_INBAND_GOODBYE, pv_view(NULL, 0));
    }
}

/* --- ping ------------------------------------------------------------------------------------ */

static void ping_send(struct pv_engine *e, struct pv_waiter *w, struct pv_peer *p, pv_ns now)
{
    static const uint8_t filler[PV_INBAND_ECHO_MAX];
    size_t slot = w->next_seq % PV_PING_OUTSTANDING;
    if (w->out[slot].token != 0) { /* more are out than are kept: the oldest counts as lost */
        pv_ctlsrv_event(e->node.ctl, w->handle, "timeout", pv_ctlapi_lost_json(w->out[slot].seq));
        w->ended++;
    }
    const struct pv_inband_echo echo = {
        .path = pv_peer_is_relayed(p) ? PV_INBAND_PATH_RELAY : PV_INBAND_PATH_DIRECT,
        .token = pv_rng_u64(&e->node.rng) | 1,
        .filler = pv_view(filler, w->size < sizeof(filler) ? w->size : sizeof(filler)),
    };
    w->path_missing = false;
    w->next_seq++;
    w->sent++;
    w->next_at = now + w->interval;
    w->give_up_at = w->next_at + PV_PING_PATIENCE;
    w->out[slot].seq = w->next_seq;
    w->out[slot].sent_at = now;
    w->out[slot].token = send_echo(e, p, &echo) ? echo.token : 0;
    pv_peer_note_asked(p, now);
    pv_engine_touch(e, p, now);
}

/* The next echo has waited too long for a path. */
static void ping_unsendable(struct pv_engine *e, struct pv_waiter *w, pv_ns now)
{
    w->path_missing = false;
    w->next_seq++;
    w->sent++;
    w->ended++;
    w->next_at = now + w->interval;
    w->give_up_at = w->next_at + PV_PING_PATIENCE;
    pv_ctlsrv_event(e->node.ctl, w->handle, "timeout", pv_ctlapi_lost_json(w->next_seq));
}

static bool ping_run(struct pv_engine *e, struct pv_waiter *w, pv_ns now)
{
    struct pv_peer *p = pv_engine_peer_by_pk(e, w->peer);
    for (size_t i = 0; i < PV_PING_OUTSTANDING; i++) {
        if (w->out[i].token == 0 || now < w->out[i].sent_at + PV_PING_TIMEOUT)
            continue;
        w->out[i].token = 0;
        w->ended++;
        pv_ctlsrv_event(e->node.ctl, w->handle, "timeout", pv_ctlapi_lost_json(w->out[i].seq));
    }
    if (p == NULL) {
        pv_ctlsrv_fail(e->node.ctl, w->handle, PV_CTLAPI_UNKNOWN_PEER,
                       "ping: the peer left the network");
        return true;
    }
    if (w->ended >= w->count) {
        pv_ctlsrv_answer(e->node.ctl, w->handle, pv_ctlapi_pinged_json(w->sent, w->received));
        return true;
    }
    if (w->next_seq >= w->count || now < w->next_at)
        return false;
    if (pv_peer_can_talk(p, now)) {
        ping_send(e, w, p, now);
    } else if (p->presence == PV_PRESENCE_OFFLINE && !p->has_path) {
        char text[PV_CTLAPI_ERROR_BUF];
        snprintf(text, sizeof(text), "ping: %s is offline: try again when it is back", p->name);
        pv_ctlsrv_fail(e->node.ctl, w->handle, PV_CTLAPI_PEER_OFFLINE, text);
        return true;
    } else if (now >= w->give_up_at) {
        ping_unsendable(e, w, now);
    } else {
        w->path_missing = true;
        pv_peer_want(p, "ping", now);
        pv_engine_touch(e, p, now);
    }
    return false;
}

static void take_echo(struct pv_engine *e, struct pv_peer *p, struct pv_view body, pv_ns now)
{
    struct pv_inband_echo echo;
    if (pv_inband_echo_parse(body, &echo) != PV_OK)
        return;
    if (!echo.reply) {
        echo.reply = true;
        echo.path = pv_peer_is_relayed(p) ? PV_INBAND_PATH_RELAY : PV_INBAND_PATH_DIRECT;
        send_echo(e, p, &echo);
        return;
    }
    for (struct pv_waiter *w = e->waiters; w != NULL; w = w->next) {
        for (size_t i = 0; w->kind == PV_WAITER_PING && i < PV_PING_OUTSTANDING; i++) {
            if (w->out[i].token == 0 || w->out[i].token != echo.token)
                continue;
            struct pv_ctlapi_path path;
            double rtt_ms = (double)(now - w->out[i].sent_at) / 1e6;
            w->out[i].token = 0;
            w->received++;
            w->ended++;
            pv_peer_show_path(p, &path);
            pv_ctlsrv_event(e->node.ctl, w->handle, "pong",
                            pv_ctlapi_pong_json(w->out[i].seq, rtt_ms, &path));
            return;
        }
    }
}

/* --- in -------------------------------------------------------------------------------------- */

void pv_engine_take_inband(struct pv_engine *e, struct pv_peer *p, struct pv_view packet, pv_ns now)
{
    struct pv_inband_message msg;
    if (p->is_static || e->node.roster == NULL)
        return;
    int r = pv_peer_receive_inband(p, packet, now, &msg);
    if (r != PV_OK) {
        if (r != PV_ERR_AGAIN)
            pv_log(e->node.log, PV_LOG_DEBUG, "peer=%s what=\"in-band dropped\" why=\"%s\"",
                   p->name, pv_strstatus(r));
        return;
    }
    if (pv_engine_give_inband(e, p, &msg, now))
        return;
    switch (msg.type) {
    case PV_INBAND_DESCRIPTION:
        pv_engine_take_inband_desc(e, p, msg.body, now);
        break;
    case PV_INBAND_STATEMENTS:
        pv_engine_take_sync(e, p, msg.body, now);
        break;
    case PV_INBAND_ECHO:
        take_echo(e, p, msg.body, now);
        break;
    case PV_INBAND_SIGNAL:
        pv_engine_take_forward(e, p, msg.body, now);
        break;
    case PV_INBAND_GOODBYE:
    case PV_INBAND_PROBE:
    case PV_INBAND_PROBED:
    case PV_INBAND_FILE:
    case PV_INBAND_PACKET:
        break; /* a part has it */
    }
}

/* --- waiters --------------------------------------------------------------------------------- */

struct pv_waiter *pv_engine_add_waiter(struct pv_engine *e, enum pv_waiter_kind kind,
                                       uint64_t handle)
{
    if (e->n_waiters == PV_ENGINE_MAX_WAITERS)
        return NULL;
    struct pv_waiter *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return NULL;
    w->kind = kind;
    w->handle = handle;
    w->next = e->waiters;
    e->waiters = w;
    e->n_waiters++;
    return w;
}

static void unlink_waiter(struct pv_engine *e, struct pv_waiter **at)
{
    struct pv_waiter *w = *at;
    *at = w->next;
    free(w);
    e->n_waiters--;
}

void pv_engine_drop_waiter(struct pv_engine *e, uint64_t handle)
{
    for (struct pv_waiter **at = &e->waiters; *at != NULL; at = &(*at)->next) {
        if ((*at)->handle == handle) {
            unlink_waiter(e, at);
            return;
        }
    }
}

/* Is what `wait` asked for true now? */
static bool wait_is_over(struct pv_engine *e, struct pv_waiter *w, pv_ns now)
{
    if (!w->has_peer)
        return w->online ? e->node.online
                         : e->node.iface == PV_IFACE_UP && pv_node_self(&e->node) != NULL;
    struct pv_peer *p = pv_engine_peer_by_pk(e, w->peer);
    if (p == NULL)
        return false;
    if (w->online && !w->direct)
        return pv_peer_reach(p) != PV_REACH_NO;
    pv_peer_want(p, "wait", now);
    pv_engine_touch(e, p, now);
    return pv_peer_can_talk(p, now) && (!w->direct || !pv_peer_is_relayed(p));
}

void pv_engine_run_waiters(struct pv_engine *e, pv_ns now)
{
    struct pv_waiter **at = &e->waiters;
    while (*at != NULL) {
        struct pv_waiter *w = *at;
        bool over = false;
        if (w->kind == PV_WAITER_PING) {
            over = ping_run(e, w, now);
        } else if (w->kind == PV_WAITER_WAIT && wait_is_over(e, w, now)) {
            pv_ctlsrv_done(e->node.ctl, w->handle);
            over = true;
        }
        if (over)
            unlink_waiter(e, at);
        else
            at = &w->next;
    }
}

pv_ns pv_engine_waiters_timeout(const struct pv_engine *e)
{
    pv_ns next = PV_NEVER;
    for (const struct pv_waiter *w = e->waiters; w != NULL; w = w->next) {
        if (w->kind != PV_WAITER_PING)
            continue;
        if (w->next_seq < w->count)
            next = pv_min_ns(next, w->path_missing ? w->give_up_at : w->next_at);
        for (size_t i = 0; i < PV_PING_OUTSTANDING; i++) {
            if (w->out[i].token != 0)
                next = pv_min_ns(next, w->out[i].sent_at + PV_PING_TIMEOUT);
        }
    }
    return next;
}
