/* SPDX-License-Identifier: MIT */
/* Bytes of connections: what each speaks, its messages one by one, and what waits meanwhile; and
 * the finished works of the registry, which let what waited go on. */
#include <stdlib.h>
#include <string.h>

#include "coordinator/core/coord_int.h"
#include "coordinator/core/sniff.h"

/* Nothing more is worked on while a request waits for the one before it, or while the longest
 * answer might not fit: the bytes stay in the socket, and TCP slows the sender down. */
static bool is_blocked(const struct pv_conn *s)
{
    if (s->state == PV_CONN_CLOSING || s->dead || s->held != NULL)
        return true;
    if (s->state == PV_CONN_MEMBER && s->net->resting)
        return true;
    return s->stun != NULL ? pv_stunconn_is_slow(s->stun)
                           : pv_control_room(s->control) < PV_CONN_ROOM_MIN;
}

/* Keeps bytes that were read but cannot be worked on now. The owner reads no more while there are
 * any, so there is one such buffer, of at most one read. */
static void stash(struct pv_coord *c, struct pv_conn *s, struct pv_view rest, pv_ns now)
{
    if (s->state == PV_CONN_CLOSING || s->dead)
        return;
    uint8_t *in = rest.len > PV_CONN_IN_MAX ? NULL : malloc(rest.len);
    if (in == NULL) {
        pv_coord_drop(c, s, now);
        return;
    }
    memcpy(in, rest.ptr, rest.len);
    s->in = in;
    s->in_len = rest.len;
}

/* A message that is no JSON of this protocol ends the connection: two programs that misunderstand
 * each other once would do so again. */
static void handle_text(struct pv_coord *c, struct pv_conn *s, struct pv_view text, pv_ns now)
{
    struct pv_ctl_msg *msg = NULL;
    int r = pv_ctl_parse(text, &msg);
    if (r < 0) {
        c->stats.failed++;
        pv_coord_end(c, s, PV_CTL_E_BAD_REQUEST, "not a message of this protocol", now);
    } else if (pv_request_must_wait(s, msg)) {
        s->held = msg;
    } else {
        pv_request_handle(c, s, msg, now);
    }
}

/* The handshake is done. Hello signs its hash, which binds the identity to this very connection. */
static void note_handshake(struct pv_coord *c, struct pv_conn *s, pv_ns now)
{
    if (s->state != PV_CONN_OPENING || pv_control_state(s->control) != PV_CONTROL_READY)
        return;
    pv_place_begin(&s->place);
    if (pv_control_handshake_hash(s->control, s->hash) == PV_OK &&
        pv_control_remote_static(s->control, s->transport) == PV_OK)
        s->state = PV_CONN_HELLO;
    /* Without an answer to its handshake it tries its next address. */
    if (s->state == PV_CONN_HELLO && c->homes.on &&
        pv_homes_turns_away(&c->homes, s->transport, now))
        pv_coord_drop(c, s, now);
}

/* Passes messages of a stream that speaks STUN or TURN to the relay, which answers as by UDP, out
 * of the same buckets. A message that is too long is passed over for a client that relays, as UDP
 * would lose it; for a stranger it ends the connection. */
static void feed_stun(struct pv_coord *c, struct pv_conn *s, struct pv_view data, pv_ns now)
{
    while (data.len > 0 && !is_blocked(s)) {
        size_t used = 0;
        struct pv_view message;
        int r = pv_stunconn_handle_bytes(s->stun, data, &used, &message);
        if (r == PV_ERR_AGAIN)
            return;
        if (r == PV_ERR_MALFORMED || (r == PV_ERR_LIMIT && s->state != PV_CONN_RELAYING)) {
            c->stats.failed++;
            pv_coord_drop(c, s, now);
            return;
        }
        data = pv_view(data.ptr + used, data.len - used);
        if (r == PV_ERR_LIMIT) {
            pv_relaylink_dropped(c->link);
            continue;
        }
        pv_relaylink_message(c->link, s->id, &s->source, &s->local, message);
        pv_stunconn_next(s->stun);
    }
    if (data.len > 0)
        stash(c, s, data, now);
}

/* The first byte of a connection tells its protocol (sniff.h). TLS is the owner's and does not get
 * here; inside it the same is asked again. */
static void begin_protocol(struct pv_coord *c, struct pv_conn *s, uint8_t first, pv_ns now)
{
    enum pv_sniff kind = pv_sniff(first);
    if (kind == PV_SNIFF_CONTROL)
        s->state = PV_CONN_OPENING;
    if (kind == PV_SNIFF_CONTROL || (kind == PV_SNIFF_STUN && pv_conn_become_stun(s) == PV_OK))
        return;
    c->stats.failed++;
    pv_coord_drop(c, s, now);
}

/* Works on messages one by one, and asks after each whether the connection may go on: an answer may
 * have filled its output or ended it. */
static void feed_bytes(struct pv_coord *c, struct pv_conn *s, struct pv_view data, pv_ns now)
{
    if (s->state == PV_CONN_NEW && data.len > 0)
        begin_protocol(c, s, data.ptr[0], now);
    if (s->dead)
        return;
    if (s->stun != NULL) {
        feed_stun(c, s, data, now);
        return;
    }
    while (data.len > 0 && !is_blocked(s)) {
        size_t used = 0;
        struct pv_view text;
        int r = pv_control_handle_bytes(s->control, data, &used);
        data = pv_view(data.ptr + used, data.len - used);
        if (r < 0) {
            c->stats.failed++;
            pv_coord_drop(c, s, now);
            return;
        }
        note_handshake(c, s, now);
        if (pv_control_poll_message(s->control, &text) == PV_OK)
            handle_text(c, s, text, now);
    }
    if (data.len > 0)
        stash(c, s, data, now);
}

/* Goes on with what waited, as far as it may now, at its network's cost. The held request first: it
 * came before the bytes. */
void pv_coord_resume(struct pv_coord *c, struct pv_conn *s, pv_ns now)
{
    bool waited = s->held != NULL || s->in_len > 0;
    if (s->state == PV_CONN_MEMBER && s->net->resting)
        return;
    if (s->held != NULL && !pv_request_must_wait(s, s->held)) {
        struct pv_ctl_msg *msg = s->held;
        s->held = NULL;
        pv_request_handle(c, s, msg, now);
    }
    if (s->in_len > 0 && !is_blocked(s)) {
        uint8_t *in = s->in;
        size_t len = s->in_len;
        s->in = NULL;
        s->in_len = 0;
        feed_bytes(c, s, pv_view(in, len), now);
        free(in);
    }
    if (waited && s->state == PV_CONN_MEMBER)
        c->billed = s->net;
}

/* Statements that replace others leave empty places behind, without end: these go when they are
 * most of the log. A member's part of the log ends at the same statement as before. Without memory
 * the places stay until the next change. */
static void compact_log(struct pv_cnet *net)
{
    if (!pv_cnet_is_sparse(net))
        return;
    struct pv_ctl_cursor *sent = calloc(net->n_members + 1, sizeof(*sent));
    if (sent == NULL)
        return;
    for (size_t i = 0; i < net->n_members; i++)
        sent[i] = pv_cnet_before(net, net->members[i]->log.at);
    pv_cnet_compact(net);
    for (size_t i = 0; i < net->n_members; i++)
        net->members[i]->log.at = pv_cnet_seek(net, &sent[i]);
    free(sent);
}

void pv_coord_settle(struct pv_coord *c, pv_ns now)
{
    struct pv_work *work;
    struct pv_cnet *net;
    while ((work = pv_registry_poll_done(&c->registry)) != NULL) {
        struct pv_conn *s = pv_coord_find(c, work->conn);
        pv_request_done(c, s, work, now);
        if (s == NULL)
            continue;
        pv_coord_resume(c, s, now);
        pv_coord_mark_ready(c, s);
    }
    while ((net = pv_registry_poll_changed(&c->registry)) != NULL) {
        pv_gone_drop(c, net, now);
        compact_log(net);
        pv_bulk_news(c, net);
    }
}

void pv_coord_handle_bytes(struct pv_coord *c, uint64_t id, struct pv_view data, pv_ns now)
{
    struct pv_conn *s = pv_coord_find(c, id);
    c->billed = NULL;
    if (s == NULL || s->state == PV_CONN_CLOSING)
        return;
    s->last_rx = now;
    if (s->first_rx == 0)
        s->first_rx = now;
    if (s->in_len > 0)
        /* Bytes came though wants_bytes() is false: a fault of the owner. Nothing may be reordered,
         * so the connection ends. */
        pv_coord_drop(c, s, now);
    else
        feed_bytes(c, s, data, now);
    c->billed = s->state == PV_CONN_MEMBER ? s->net : NULL;
    pv_coord_mark_ready(c, s);
    pv_coord_settle(c, now);
}

/* A connection that is held off is looked at again when its network has rested. */
bool pv_coord_wants_bytes(struct pv_coord *c, uint64_t id)
{
    struct pv_conn *s = pv_coord_find(c, id);
    if (s == NULL)
        return false;
    s->held_off = s->in_len > 0 || is_blocked(s);
    return !s->held_off;
}
