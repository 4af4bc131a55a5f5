/* SPDX-License-Identifier: MIT */
/* chatlink_recv.c - receiving: lines to frames, frames to the store, and only then to their
 * acknowledgements. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chat/core/talk/chatlink_int.h"

enum {
    QUIET_S = 60, /* ours: between two lines of a kind in the log */
};

/* May a line of this kind be logged now? *ret_more: so many were not since the last one. */
static bool may_log(struct pv_chatlink_quiet *q, pv_ns now, unsigned *ret_more)
{
    if (now < q->until) {
        q->more++;
        return false;
    }
    *ret_more = q->more;
    *q = (struct pv_chatlink_quiet){.until = now + PV_S(QUIET_S)};
    return true;
}

/* --- messages ------------------------------------------------------------------------------ */

/* Nothing that the store did not take is acknowledged. The connection ends, so that the sender
 * begins anew with the first of it. */
static bool store_failed(struct pv_chatlink *link, const struct pv_chatlink_peer *peer, int status)
{
    pv_log(link->cfg.log, PV_LOG_WARN,
           "peer=%s what=\"chat begins anew\" why=\"the store failed: %s\"", peer->name,
           pv_strstatus(status));
    return false;
}

/* Stores a message that came, unless its sender has used up its room here (*ret_later). */
static int store_message(struct pv_chatlink *link, struct pv_chatlink_peer *peer,
                         const struct pv_chat_record *msg, enum pv_chat_later *ret_later, pv_ns now)
{
    const struct pv_chatop op = {
        .kind = PV_CHATOP_COMMIT, .peer = peer->pk, .msgs = msg, .n_msgs = 1};
    struct pv_chatop_result done;
    int r = pv_chat_store_run(link->cfg.store, &op, &done);
    if (r != PV_OK)
        return r;
    for (size_t i = 0; i < done.n_msgs; i++) /* none if it was known */
        pv_chatlink_tell(link, PV_CHATLINK_MESSAGE, &done.msgs[i], now);
    if (peer->holding == PV_CHAT_LATER_NO && done.later != PV_CHAT_LATER_NO)
        pv_log(link->cfg.log, PV_LOG_WARN, "peer=%s what=\"messages left for later\" why=\"%s\"",
               peer->name,
               done.later == PV_CHAT_LATER_DISK ? "the disk is nearly full"
                                                : "it has as many here as it may");
    *ret_later = peer->holding = done.later;
    pv_chatop_result_done(&done);
    return PV_OK;
}

/* The sender is told once from which message on nothing is taken; what it has sent behind that is
 * passed over until it sends this one again. A user who types into nc sees that it was not
 * taken. */
static bool leave_for_later(struct pv_chatlink *link, struct pv_chatlink_conn *c,
                            const struct pv_chat_frame *f, enum pv_chat_later why)
{
    size_t len = 0;
    if (f->kind != PV_CHAT_MESSAGE)
        return false;
    c->refused_seq = f->seq;
    return pv_chat_write_later(f->id, why, PV_CHATLINK_LATER_MIN_S, link->line, &len) == PV_OK &&
           pv_chatlink_conn_put(link, c, link->line, len) == PV_OK;
}

/* Is the message behind one that was left for later? */
static bool is_held_back(struct pv_chatlink_conn *c, uint64_t seq)
{
    if (c->refused_seq != 0 && seq <= c->refused_seq)
        c->refused_seq = 0;
    return c->refused_seq != 0;
}

/* Is there room for more plain text of that machine? A user who types there has no rights, and
 * shall not use up what its daemon may have stored here. */
static bool may_type(struct pv_chatlink_conn *c, const struct pv_chat_frame *f, pv_ns now)
{
    return f->kind != PV_CHAT_PLAIN ||
           pv_bucket_take(&c->peer->plain, PV_CHATLINK_PLAIN_RATE, PV_CHATLINK_PLAIN_BURST,
                          (uint32_t)f->text_len + PV_CHATOP_ROW_BYTES, now);
}

/* A message came. A daemon that is refused by a rule is told, and keeps it; the connection may be
 * ours, which a rule about the other direction does not close. */
static bool receive(struct pv_chatlink *link, struct pv_chatlink_conn *c, struct pv_chat_frame *f,
                    pv_ns now)
{
    struct pv_chatlink_peer *peer = c->peer;
    struct pv_chat_record msg = {.state = PV_CHAT_UNREAD, .text = f->text};
    enum pv_chat_later later;
    size_t len = 0;
    if (f->kind == PV_CHAT_MESSAGE && is_held_back(c, f->seq))
        return true;
    if (link->cfg.admits != NULL && !link->cfg.admits(link->cfg.owner, peer->pk, false))
        return leave_for_later(link, c, f, PV_CHAT_LATER_RULES);
    if (!may_type(c, f, now)) {
        link->counts.floods++;
        return false;
    }
    memcpy(msg.peer, peer->pk, sizeof(msg.peer));
    snprintf(msg.peer_name, sizeof(msg.peer_name), "%s", peer->name);
    if (f->kind == PV_CHAT_MESSAGE) {
        memcpy(msg.id, f->id, sizeof(msg.id));
        msg.seq = f->seq;
        msg.time_ms = f->time_ms;
    } else {
        /* Plain text has no id and no clock of its own: it gets ours, and nobody waits for an
         * acknowledgement. */
        pv_rng_fill(&link->cfg.rng, msg.id, sizeof(msg.id));
        msg.time_ms = c->last_wall_ms;
    }
    int r = store_message(link, peer, &msg, &later, now);
    if (r != PV_OK)
        return store_failed(link, peer, r);
    if (later != PV_CHAT_LATER_NO)
        return leave_for_later(link, c, f, later);
    return f->kind != PV_CHAT_MESSAGE ||
           (pv_chat_write_ack(f->id, PV_CHAT_DELIVERED, link->line, &len) == PV_OK &&
            pv_chatlink_conn_put(link, c, link->line, len) == PV_OK);
}

/* A copy goes the way of a line that a connection brought. */
int pv_chatlink_take_copy(struct pv_chatlink *link, const struct pv_chatlink_copy *copy, pv_ns now)
{
    struct pv_chatlink_peer *peer = NULL;
    struct pv_chat_record msg = {
        .state = PV_CHAT_UNREAD, .seq = copy->seq, .time_ms = copy->time_ms};
    enum pv_chat_later later = PV_CHAT_LATER_NO;
    if (memcmp(copy->pk, link->cfg.own_pk, sizeof(link->cfg.own_pk)) == 0)
        return PV_ERR_REFUSED;
    int r = pv_chatlink_peer_get(link, copy->pk, copy->name, &peer);
    if (r < 0)
        return r;
    msg.text = strndup((const char *)copy->text.ptr, copy->text.len);
    memcpy(msg.id, copy->id, sizeof(msg.id));
    memcpy(msg.peer, peer->pk, sizeof(msg.peer));
    snprintf(msg.peer_name, sizeof(msg.peer_name), "%s", copy->name);
    r = msg.text == NULL ? PV_ERR_NOMEM : store_message(link, peer, &msg, &later, now);
    free(msg.text);
    pv_chatlink_free_if_idle(link, peer);
    return r == PV_OK && later != PV_CHAT_LATER_NO ? PV_ERR_LIMIT : r;
}

/* --- acknowledgements ---------------------------------------------------------------------- */

/* Our messages to the peer got that far. Tells the messages that had not yet. */
int pv_chatlink_mark(struct pv_chatlink *link, const struct pv_chatlink_peer *peer,
                     enum pv_chat_state state, const uint8_t (*ids)[PV_CHAT_ID_LEN], size_t n,
                     size_t *ret_changed, pv_ns now)
{
    const struct pv_chatop op = {
        .kind = PV_CHATOP_MARK, .peer = peer->pk, .state = state, .ids = ids, .n_ids = n};
    struct pv_chatop_result done;
    int r = pv_chat_store_run(link->cfg.store, &op, &done);
    for (size_t i = 0; i < done.n_msgs; i++) {
        snprintf(done.msgs[i].peer_name, sizeof(done.msgs[i].peer_name), "%s", peer->name);
        pv_chatlink_tell(link, PV_CHATLINK_STATE, &done.msgs[i], now);
    }
    *ret_changed = done.n_msgs;
    pv_chatop_result_done(&done);
    return r;
}

/* The place of our message in the window; n_window: it does not wait. */
size_t pv_chatlink_find_waiting(const struct pv_chatlink_peer *peer, const uint8_t *id)
{
    size_t i = 0;
    while (i < peer->n_window && memcmp(peer->window[i].id, id, PV_CHAT_ID_LEN) != 0)
        i++;
    return i;
}

/* The peer has the message at this place, so it takes messages. */
static void end_waiting(struct pv_chatlink_peer *peer, size_t i, pv_ns now)
{
    pv_chat_record_done(&peer->window[i]);
    peer->n_window--;
    memmove(&peer->window[i], &peer->window[i + 1], (peer->n_window - i) * sizeof(peer->window[0]));
    if (peer->active != NULL)
        pv_chatlink_expect(peer->active, now);
    peer->held = PV_CHAT_LATER_NO;
    peer->held_s = 0;
}

/* A receipt that changes nothing costs a write all the same. Honest peers repeat a few, so these
 * have an allowance. */
static bool may_be_useless(struct pv_chatlink *link, struct pv_chatlink_peer *peer, pv_ns now)
{
    unsigned more;
    if (pv_bucket_take(&peer->useless, PV_CHATLINK_USELESS_RATE, PV_CHATLINK_USELESS_BURST, 1, now))
        return true;
    if (may_log(&link->floods, now, &more))
        pv_log(link->cfg.log, PV_LOG_WARN, "peer=%s what=\"chat floods with receipts\" more=%u",
               peer->name, more);
    link->counts.floods++;
    return false;
}

/* The peer has our message, or has shown it, which it is told that we know. */
static bool handle_ack(struct pv_chatlink *link, struct pv_chatlink_conn *c,
                       const struct pv_chat_frame *f, pv_ns now)
{
    struct pv_chatlink_peer *peer = c->peer;
    const size_t at = pv_chatlink_find_waiting(peer, f->id);
    const bool waits = at < peer->n_window;
    size_t changed = 0, len = 0;
    if (f->state == PV_CHAT_DELIVERED && !waits) /* known already, or never sent */
        return true;
    int r = pv_chatlink_mark(link, peer, f->state, &f->id, 1, &changed, now);
    if (r != PV_OK)
        return store_failed(link, peer, r);
    if (waits)
        end_waiting(peer, at, now);
    peer->backoff_s = PV_CHATLINK_BACKOFF_MIN_S; /* everything works */
    if (f->state == PV_CHAT_DELIVERED)
        return true;
    return (changed > 0 || may_be_useless(link, peer, now)) &&
           pv_chat_write_noted(f->id, link->line, &len) == PV_OK &&
           pv_chatlink_conn_put(link, c, link->line, len) == PV_OK;
}

/* The peer will not forget that its message was read. */
static bool handle_noted(struct pv_chatlink *link, struct pv_chatlink_conn *c,
                         const struct pv_chat_frame *f, pv_ns now)
{
    const struct pv_chatop op = {
        .kind = PV_CHATOP_TOLD, .peer = c->peer->pk, .ids = &f->id, .n_ids = 1};
    struct pv_chatop_result unused;
    /* Only receipts told on this connection count: a peer cannot clear what it never got. */
    for (size_t i = 0; i < c->n_told; i++) {
        if (memcmp(c->told[i], f->id, sizeof(f->id)) != 0)
            continue;
        memmove(&c->told[i], &c->told[i + 1], (--c->n_told - i) * sizeof(c->told[0]));
        pv_chatlink_expect(c, now);
        int r = pv_chat_store_run(link->cfg.store, &op, &unused);
        pv_chatop_result_done(&unused);
        return r == PV_OK || store_failed(link, c->peer, r); /* it is told again */
    }
    return true;
}

/* --- lines --------------------------------------------------------------------------------- */

/* A frame of rooms. */
static bool pass_on(struct pv_chatlink *link, struct pv_chatlink_conn *c, struct pv_view line)
{
    char *text = strndup((const char *)line.ptr, line.len);
    pv_chatlink_conn_speaks(link, c);
    if (text != NULL)
        pv_chatlink_event_push(link, PV_CHATLINK_LINE, c->peer->pk, text);
    return true;
}

/* The lines that may come before the other end has proven itself: the proof, and plain text where
 * that is taken. */
static bool may_come(struct pv_chatlink *link, const struct pv_chatlink_conn *c, bool frame,
                     struct pv_view line, pv_ns now)
{
    unsigned more;
    bool may =
        c->speaks || (frame ? pv_chatlink_takes_unproven(link, c->peer) : !link->cfg.plain_off);
    if (may || line.len == 0 || (line.len == 1 && line.ptr[0] == '\r'))
        return true;
    link->counts.unproven++;
    if (may_log(&link->refused, now, &more))
        pv_log(link->cfg.log, PV_LOG_INFO,
               "peer=%s what=\"chat connection refused\" why=\"%s\" more=%u", c->peer->name,
               frame ? "another program than the peer's daemon opened it" : "plain text is off",
               more);
    return false;
}

bool pv_chatlink_handle_line(struct pv_chatlink *link, struct pv_chatlink_conn *c,
                             struct pv_view line, pv_ns now)
{
    struct pv_chat_frame *f = &link->frame;
    const bool frame = !c->in_text && line.len > 0 && line.ptr[0] == '{';
    if (frame && pv_proof_is_line(line)) {
        bool good = pv_chatlink_handle_proof(link, c, line, now);
        link->counts.unproven += !good;
        return good;
    }
    if (!may_come(link, c, frame, line, now))
        return false;
    /* Rooms share the connection and read their own; the rest is chat's. */
    if (frame && pv_room_is_frame(line))
        return pass_on(link, c, line);
    int r = frame ? pv_chat_frame_parse(line, f) : pv_chat_plain_parse(line, f);
    /* A kind that we do not know comes from a newer version: it is skipped, and the connection
     * lives. */
    if (r == PV_ERR_NOT_FOUND)
        return true;
    if (r < 0) {
        link->counts.bad_frames++;
        pv_log(link->cfg.log, PV_LOG_DEBUG, "peer=%s what=\"bad frame of chat\" why=\"%s\"",
               c->peer->name, pv_strstatus(r));
        return false;
    }
    if (f->kind != PV_CHAT_PLAIN)
        pv_chatlink_conn_speaks(link, c);
    switch (f->kind) {
    case PV_CHAT_MESSAGE:
    case PV_CHAT_PLAIN:
        return receive(link, c, f, now);
    case PV_CHAT_ACK:
        return handle_ack(link, c, f, now);
    case PV_CHAT_NOTED:
        return handle_noted(link, c, f, now);
    case PV_CHAT_LATER:
        pv_chatlink_handle_later(link, c->peer, f, now);
        break;
    }
    return true;
}

/* Appends to the unfinished line. False when it is too long. */
static bool keep_input(struct pv_chatlink_conn *c, struct pv_view bytes)
{
    size_t need = c->in_len + bytes.len;
    /* The limit comes before the memory: a line without an end cannot fill it. */
    if (need >= PV_CHAT_LINE_MAX)
        return false;
    if (need > c->in_cap) {
        size_t cap = need * 2 < PV_CHAT_LINE_MAX ? need * 2 : PV_CHAT_LINE_MAX;
        char *in = realloc(c->in, cap);
        if (in == NULL)
            return false;
        c->in = in;
        c->in_cap = cap;
    }
    if (bytes.len > 0)
        memcpy(c->in + c->in_len, bytes.ptr, bytes.len);
    c->in_len = need;
    return true;
}

/* Is it plain text that fills a message, in what is kept and the first n of these bytes? */
static bool fills_message(const struct pv_chatlink_conn *c, struct pv_view bytes, size_t n)
{
    const uint8_t first = c->in_len > 0 ? (uint8_t)c->in[0] : bytes.ptr[0];
    return (c->in_text || first != '{') && c->in_len + n > PV_CHAT_TEXT_MAX;
}

/* Takes a message of a line that is longer, up to its last character, which may have come in part;
 * ret_rest is what it leaves of the bytes. */
static bool take_part(struct pv_chatlink *link, struct pv_chatlink_conn *c, struct pv_view bytes,
                      struct pv_view *ret_rest, pv_ns now)
{
    const size_t n = PV_CHAT_TEXT_MAX - c->in_len;
    if (!keep_input(c, pv_view(bytes.ptr, n)))
        return false;
    *ret_rest = pv_view(bytes.ptr + n, bytes.len - n);
    size_t len = c->in_len - 1;
    while (len > c->in_len - 4 && ((uint8_t)c->in[len] & 0xc0) == 0x80)
        len--;
    if (!pv_chatlink_handle_line(link, c, pv_view(c->in, len), now))
        return false;
    c->in_len -= len;
    memmove(c->in, c->in + len, c->in_len);
    c->in_text = true;
    return true;
}

bool pv_chatlink_handle_input(struct pv_chatlink *link, struct pv_chatlink_conn *c,
                              struct pv_view bytes, pv_ns now)
{
    while (bytes.len > 0) {
        const uint8_t *nl = memchr(bytes.ptr, '\n', bytes.len);
        if (fills_message(c, bytes, nl == NULL ? bytes.len : (size_t)(nl - bytes.ptr))) {
            if (!take_part(link, c, bytes, &bytes, now))
                return false;
            continue;
        }
        if (nl == NULL) {
            bool fits = keep_input(c, bytes);
            link->counts.bad_frames += !fits;
            return fits;
        }
        struct pv_view line = pv_view(bytes.ptr, (size_t)(nl - bytes.ptr));
        bytes = pv_view(nl + 1, bytes.len - line.len - 1);
        /* A line that came in one piece is read where it lies. */
        if (c->in_len > 0) {
            if (!keep_input(c, line)) {
                link->counts.bad_frames++;
                return false;
            }
            line = pv_view(c->in, c->in_len);
            c->in_len = 0;
        }
        if (!pv_chatlink_handle_line(link, c, line, now))
            return false;
        c->in_text = false;
    }
    return true;
}
