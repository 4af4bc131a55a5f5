/* SPDX-License-Identifier: MIT */
/* chatlink_send.c - sending: the window of the outbox, connections for it, read receipts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "chat/core/talk/chatlink_int.h"

enum {
    RECEIPTS_AT_ONCE = 64, /* read receipts under way */
    ROOM = 131072,         /* no message is added to an output that is longer, bytes */
    RECOUNT_S = 5,         /* until the store is asked for the backlog again */
};

/* Refills the window when half of it is acknowledged. False: the store failed. */
static bool load_more(struct pv_chatlink *link, struct pv_chatlink_peer *peer, pv_ns now)
{
    const struct pv_chatop op = {.kind = PV_CHATOP_OUTBOX,
                                 .peer = peer->pk,
                                 .after_seq = peer->loaded_seq,
                                 .limit = (uint32_t)(PV_CHATLINK_WINDOW - peer->n_window)};
    struct pv_chatop_result list;
    if (!peer->more_queued || peer->n_window > PV_CHATLINK_WINDOW / 2)
        return true;
    int r = pv_chat_store_run(link->cfg.store, &op, &list);
    if (r != PV_OK) {
        pv_chatlink_give_up(link, peer, r, now);
        return false;
    }
    for (size_t i = 0; i < list.n_msgs && peer->n_window < PV_CHATLINK_WINDOW; i++) {
        peer->loaded_seq = list.msgs[i].seq;
        peer->window[peer->n_window++] = list.msgs[i];
        list.msgs[i].text = NULL; /* the window owns it */
    }
    peer->more_queued = list.more;
    pv_chatop_result_done(&list);
    return true;
}

/* Writes the receipts; true: some. */
static bool write_receipts(struct pv_chatlink *link, struct pv_chatlink_conn *c,
                           const struct pv_chatop_result *list)
{
    free(c->told);
    c->told = calloc(list->n_msgs, sizeof(*c->told));
    for (size_t i = 0; c->told != NULL && i < list->n_msgs; i++) {
        size_t len = 0;
        if (pv_chat_write_ack(list->msgs[i].id, PV_CHAT_READ, link->line, &len) < 0 ||
            pv_chatlink_conn_put(link, c, link->line, len) < 0)
            break;
        memcpy(c->told[c->n_told++], list->msgs[i].id, PV_CHAT_ID_LEN);
    }
    return c->n_told > 0;
}

/* Read receipts are told in batches, and the next batch once the last is noted by the other side: a
 * receipt that is lost is still owed in the store. False: the connection is gone. */
static bool tell_receipts(struct pv_chatlink *link, struct pv_chatlink_peer *peer, pv_ns now)
{
    const struct pv_chatop op = {
        .kind = PV_CHATOP_OWED, .peer = peer->pk, .limit = RECEIPTS_AT_ONCE};
    struct pv_chatlink_conn *c = peer->active;
    struct pv_chatop_result list;
    if (!peer->owes || c->n_told > 0)
        return true;
    int r = pv_chat_store_run(link->cfg.store, &op, &list);
    if (r != PV_OK) {
        pv_chatlink_give_up(link, peer, r, now);
        return false;
    }
    bool good = true;
    peer->owes = list.n_msgs > 0;
    if (peer->owes && write_receipts(link, c, &list)) {
        pv_chatlink_expect(c, now);
        pv_chatlink_conn_rearm(link, c);
    } else if (peer->owes) {
        /* Nothing was written: without an end the connection would stall with them. */
        pv_chatlink_lost_conn(link, c, true, now);
        good = false;
    }
    pv_chatop_result_done(&list);
    return good;
}

/* Packets that rules keep in are no sign of what the peer does with them, so none are sent;
 * pv_chatlink_rules_changed() goes on. */
static bool is_barred(const struct pv_chatlink *link, struct pv_chatlink_peer *peer)
{
    peer->barred = link->cfg.admits != NULL && !link->cfg.admits(link->cfg.owner, peer->pk, true);
    return peer->barred;
}

/* Writes what this connection has not had yet. The window outlives connections; what was sent on an
 * older one and not acknowledged is sent again, and the receiver knows it by its id. */
static void write_window(struct pv_chatlink *link, struct pv_chatlink_peer *peer, pv_ns now)
{
    struct pv_chatlink_conn *c = peer->active;
    if (is_barred(link, peer))
        return;
    if (now < peer->held_until) {
        pv_heap_set(&link->peer_timers, &peer->timer, peer->held_until);
        return;
    }
    for (size_t i = 0; i < peer->n_window && pv_outbuf_view(&c->out).len < ROOM; i++) {
        const struct pv_chat_record *m = &peer->window[i];
        size_t len = 0;
        /* The window is in the order of seq, so one number says what this connection has had. */
        if (m->seq <= c->sent_seq)
            continue;
        int r = pv_chat_write_message(m->id, m->seq, m->time_ms, m->text, link->line, &len);
        if (r == PV_OK)
            r = pv_chatlink_conn_put(link, c, link->line, len);
        if (r < 0 && r != PV_ERR_MALFORMED)
            break; /* no memory now */
        /* A damaged message is passed over: it must not block those behind it for ever. */
        c->sent_seq = m->seq;
        if (r < 0) {
            pv_log(link->cfg.log, PV_LOG_WARN,
                   "peer=%s seq=%llu what=\"message not sent\" why=\"it is damaged\"", peer->name,
                   (unsigned long long)m->seq);
            continue;
        }
        if (m->state == PV_CHAT_QUEUED && c->n_sent < PV_ARRAY_LEN(c->sent)) {
            memcpy(c->sent[c->n_sent].id, m->id, sizeof(m->id));
            c->sent[c->n_sent++].end = c->out_put;
        }
        if (c->ack_deadline == PV_NEVER)
            c->ack_deadline = now + PV_S(PV_CHATLINK_ACK_S);
    }
    pv_chatlink_conn_rearm(link, c);
}

void pv_chatlink_note_sent(struct pv_chatlink *link, struct pv_chatlink_conn *c, pv_ns now)
{
    size_t n = 0;
    /* Sent means that the kernel took the last byte of the message, not that it was put into our
     * buffer. */
    while (n < c->n_sent && c->sent[n].end <= c->out_done)
        n++;
    if (n == 0)
        return;
    uint8_t ids[PV_CHATLINK_WINDOW][PV_CHAT_ID_LEN];
    size_t changed;
    for (size_t i = 0; i < n; i++)
        memcpy(ids[i], c->sent[i].id, sizeof(ids[i]));
    c->n_sent -= n;
    memmove(c->sent, c->sent + n, c->n_sent * sizeof(c->sent[0]));
    /* After a failure they are said to be queued. */
    (void)pv_chatlink_mark(link, c->peer, PV_CHAT_SENT, (const uint8_t(*)[PV_CHAT_ID_LEN])ids, n,
                           &changed, now);
}

void pv_chatlink_handle_later(struct pv_chatlink *link, struct pv_chatlink_peer *peer,
                              const struct pv_chat_frame *f, pv_ns now)
{
    struct pv_chatlink_conn *c = peer->active;
    struct pv_chat_record told = {.outgoing = true, .state = PV_CHAT_QUEUED};
    const size_t i = pv_chatlink_find_waiting(peer, f->id);
    /* An older answer, or one to nothing of ours. */
    if (c == NULL || i == peer->n_window || peer->window[i].seq > c->sent_seq)
        return;
    /* From this message on everything goes out again, when the pause is over. */
    c->sent_seq = peer->window[i].seq - 1;
    peer->held = f->later;
    peer->held_s = peer->held_s == 0 ? PV_CHATLINK_LATER_MIN_S : 2 * peer->held_s;
    if (peer->held_s > PV_CHATLINK_LATER_MAX_S)
        peer->held_s = PV_CHATLINK_LATER_MAX_S;
    peer->held_until = now + PV_S(f->wait_s > peer->held_s ? f->wait_s : peer->held_s);
    pv_chatlink_expect(c, now);
    pv_chatlink_conn_rearm(link, c);
    memcpy(told.peer, peer->pk, sizeof(told.peer));
    memcpy(told.id, f->id, sizeof(told.id));
    snprintf(told.peer_name, sizeof(told.peer_name), "%s", peer->name);
    pv_chatlink_tell(link, PV_CHATLINK_STATE, &told, now);
}

/* Nothing that the peer sends on a connection of its own comes in any more, not even that it has
 * got ours: what this node has to say would wait for that until its deadline. */
static void end_forbidden(struct pv_chatlink *link, struct pv_chatlink_peer *peer, pv_ns now)
{
    bool ended = false;
    if (link->cfg.admits == NULL || link->cfg.admits(link->cfg.owner, peer->pk, false))
        return;
    for (struct pv_chatlink_conn *c = peer->conns, *next; c != NULL; c = next) {
        next = c->next_of_peer;
        if (c->opened)
            continue;
        pv_chatlink_lost_conn(link, c, true, now);
        ended = true;
    }
    if (!ended)
        return;
    peer->retry_at = now; /* the peer did not fail */
    pv_heap_set(&link->peer_timers, &peer->timer, now);
}

void pv_chatlink_rules_changed(struct pv_chatlink *link, pv_ns now)
{
    struct pv_chatlink_peer *peer, *next;
    HASH_ITER(hh, link->peers, peer, next) {
        const bool was_barred = peer->barred;
        end_forbidden(link, peer, now);
        if (is_barred(link, peer) || (peer->held != PV_CHAT_LATER_RULES && !was_barred))
            continue;
        if (peer->held == PV_CHAT_LATER_RULES) {
            peer->held = PV_CHAT_LATER_NO;
            peer->held_s = 0;
            peer->held_until = now;
        }
        peer->silent_since = PV_NEVER;
        peer->silent = false;
        peer->retry_at = now; /* the peer did not fail */
        if (peer->active != NULL)
            pv_chatlink_conn_rearm(link, peer->active);
        pv_heap_set(&link->peer_timers, &peer->timer, now);
    }
}

enum pv_chat_later pv_chatlink_held(const struct pv_chatlink *link, const uint8_t *pk)
{
    const struct pv_chatlink_peer *peer = pv_chatlink_peer_find(link, pk);
    if (peer == NULL)
        return PV_CHAT_LATER_NO;
    if ((peer->n_window > 0 || peer->more_queued) && link->cfg.admits != NULL &&
        !link->cfg.admits(link->cfg.owner, pk, true))
        return PV_CHAT_LATER_RULES;
    return peer->held == PV_CHAT_LATER_NO && peer->silent ? PV_CHAT_LATER_SILENT : peer->held;
}

/* Silence counts only while something that must be answered is under way. */
void pv_chatlink_expect(struct pv_chatlink_conn *c, pv_ns now)
{
    const struct pv_chatlink_peer *peer = c->peer;
    /* An acknowledgement starts the time anew: a slow peer that goes on answering is not
     * cut off. */
    bool unacked = peer->active == c && peer->n_window > 0 && peer->window[0].seq <= c->sent_seq;
    c->ack_deadline = unacked || c->n_told > 0 ? now + PV_S(PV_CHATLINK_ACK_S) : PV_NEVER;
}

/* Has, or finds, a connection for the outbox. */
static bool has_conn(struct pv_chatlink_peer *peer)
{
    for (struct pv_chatlink_conn *c = peer->conns; c != NULL && peer->active == NULL;
         c = c->next_of_peer) {
        if (c->stream == PV_CHATLINK_OPENING || !c->speaks)
            continue;
        /* Without its window a connection is of no use to the outbox, so it becomes active only
         * with one. */
        peer->window = calloc(PV_CHATLINK_WINDOW, sizeof(*peer->window));
        if (peer->window == NULL)
            return false;
        peer->active = c;
        c->sent_seq = 0;
    }
    return peer->active != NULL;
}

static bool is_opening(const struct pv_chatlink_peer *peer)
{
    for (const struct pv_chatlink_conn *c = peer->conns; c != NULL; c = c->next_of_peer) {
        if (c->opened && !c->speaks)
            return true;
    }
    return false;
}

static void open_conn(struct pv_chatlink *link, struct pv_chatlink_peer *peer, pv_ns now)
{
    struct pv_chatlink_conn *c = NULL;
    peer->last_attempt = now;
    if (!pv_chatlink_may_open(link, peer)) {
        /* The key is agreed in-band, where nothing goes without a path. It comes or not: the wish
         * is repeated like an attempt, and pv_chatlink_peer_keyed() ends the waiting. */
        pv_chatlink_tell_of(link, PV_CHATLINK_NO_KEY, peer->pk, now);
        pv_chatlink_back_off(link, peer, now);
        pv_heap_set(&link->peer_timers, &peer->timer, peer->retry_at);
        return;
    }
    pv_chatlink_make_place(link, peer, true, now);
    if (pv_chatlink_conn_new(link, peer, &c) < 0 || pv_chatlink_conn_open(link, c) < 0) {
        if (c != NULL)
            pv_chatlink_conn_free(link, c);
        pv_chatlink_back_off(link, peer, now);
        pv_heap_set(&link->peer_timers, &peer->timer, peer->retry_at);
        return;
    }
    c->opened = true;
    c->last_heard = now;
    pv_chatlink_conn_rearm(link, c);
}

void pv_chatlink_pump(struct pv_chatlink *link, struct pv_chatlink_peer *peer, pv_ns now)
{
    /* The timer is for waiting to connect only: each way through below decides anew whether it is
     * needed. */
    pv_heap_set(&link->peer_timers, &peer->timer, PV_NEVER);
    /* Until the store was asked, a stored message of an earlier life could be overtaken by a new
     * one. */
    if (!link->counted || !pv_chatlink_has_work(peer))
        return;
    if (has_conn(peer)) {
        if (load_more(link, peer, now) && tell_receipts(link, peer, now))
            write_window(link, peer, now);
    } else if (peer->online && !is_opening(peer) && !is_barred(link, peer)) {
        if (now >= peer->retry_at)
            open_conn(link, peer, now);
        else
            pv_heap_set(&link->peer_timers, &peer->timer, peer->retry_at);
    }
}

/* The message joins the window when that has everything before it. */
static void add_to_window(struct pv_chatlink_peer *peer, const struct pv_chat_record *m)
{
    bool next = peer->active != NULL && !peer->more_queued && peer->n_window < PV_CHATLINK_WINDOW &&
                m->seq > peer->loaded_seq;
    if (next && pv_chat_record_copy(&peer->window[peer->n_window], m) == PV_OK) {
        peer->n_window++;
        peer->loaded_seq = m->seq;
    } else {
        peer->more_queued = true;
    }
}

/* Nothing is sent from here. The message goes to the disk, and the outbox of its peer takes it from
 * there: what the user was told is sent cannot be lost by a power cut. */
int pv_chatlink_send(struct pv_chatlink *link, const struct pv_chatlink_message *msg, pv_ns now,
                     struct pv_chat_record *ret_stored)
{
    struct pv_chat_record m = {.outgoing = true, .time_ms = msg->wall_ms};
    const struct pv_chatop op = {
        .kind = PV_CHATOP_ENQUEUE, .peer = msg->pk, .msgs = &m, .n_msgs = 1};
    struct pv_chatlink_peer *peer = NULL;
    struct pv_chatop_result done;
    if (!pv_text_is_valid(pv_view(msg->text, strlen(msg->text))))
        return PV_ERR_MALFORMED;
    if (memcmp(msg->pk, link->cfg.own_pk, sizeof(link->cfg.own_pk)) == 0)
        return PV_ERR_REFUSED;
    if (msg->id != NULL)
        memcpy(m.id, msg->id, sizeof(m.id));
    else
        pv_rng_fill(&link->cfg.rng, m.id, sizeof(m.id));
    memcpy(m.peer, msg->pk, sizeof(m.peer));
    snprintf(m.peer_name, sizeof(m.peer_name), "%s", msg->name);
    m.text = strdup(msg->text);
    int r = m.text == NULL ? PV_ERR_NOMEM : pv_chat_store_run(link->cfg.store, &op, &done);
    free(m.text);
    if (r != PV_OK)
        return r;
    *ret_stored = done.msgs[0];
    done.msgs[0].text = NULL;
    pv_chatop_result_done(&done);
    /* A send that was repeated may find its message delivered long ago. Without memory for the peer
     * the message waits for the next count. */
    if (ret_stored->state <= PV_CHAT_SENT &&
        pv_chatlink_peer_get(link, msg->pk, msg->name, &peer) == PV_OK) {
        add_to_window(peer, ret_stored);
        pv_chatlink_pump(link, peer, now);
    }
    return PV_OK;
}

/* The backlog of an earlier run of the daemon: who still has to get messages, or receipts for what
 * was read. A store that fails is asked again, as those messages would wait for the next new
 * one. */
void pv_chatlink_count(struct pv_chatlink *link, pv_ns now)
{
    const struct pv_chatop op = {.kind = PV_CHATOP_COUNTS};
    struct pv_chatop_result counts;
    struct pv_chatlink_peer *peer, *next;
    link->counted = pv_chat_store_run(link->cfg.store, &op, &counts) == PV_OK;
    link->count_at = link->counted ? PV_NEVER : now + PV_S(RECOUNT_S);
    for (size_t i = 0; i < counts.n_backlog; i++) {
        const struct pv_chat_backlog *b = &counts.backlog[i];
        if (pv_chatlink_peer_get(link, b->peer, b->peer_name, &peer) < 0)
            continue;
        peer->more_queued = peer->more_queued || b->queued > 0;
        peer->owes = peer->owes || b->owed > 0;
    }
    pv_chatop_result_done(&counts);
    HASH_ITER(hh, link->peers, peer, next) {
        pv_chatlink_pump(link, peer, now);
    }
}

/* --- read receipts ------------------------------------------------------------------------- */

void pv_chatlink_read(struct pv_chatlink *link, const struct pv_chatop_result *inbox, pv_ns now)
{
    for (size_t i = 0; i < inbox->n_msgs; i++) {
        const struct pv_chat_record *m = &inbox->msgs[i];
        struct pv_chatlink_peer *peer = NULL;
        if (m->seq == 0 || m->in_room ||
            pv_chatlink_peer_get(link, m->peer, m->peer_name, &peer) < 0)
            continue; /* nobody waits for receipts of plain text, nor in rooms */
        peer->owes = true;
        pv_chatlink_pump(link, peer, now);
    }
}

/* Called by the owner while it is told of the message, so the receipt leaves a little later. */
void pv_chatlink_seen(struct pv_chatlink *link, const uint8_t *pk, const uint8_t *id, pv_ns now)
{
    const struct pv_chatop op = {.kind = PV_CHATOP_SEEN, .peer = pk, .id = id};
    struct pv_chatlink_peer *peer = pv_chatlink_peer_find(link, pk);
    struct pv_chatop_result done;
    int r = pv_chat_store_run(link->cfg.store, &op, &done);
    if (r != PV_OK)
        pv_log(link->cfg.log, PV_LOG_DEBUG, "what=\"message stays unread\" why=\"%s\"",
               pv_strstatus(r));
    if (peer != NULL && done.changed) {
        peer->owes = true;
        pv_heap_set(&link->peer_timers, &peer->timer, now);
    }
    pv_chatop_result_done(&done);
}
