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

void pv_chatlink_ask_for_backlog(struct pv_chatlink *link, pv_ns now)
{
    link->count_at = PV_NEVER;
    if (pv_chatlink_job_emit(link, pv_chatop_new(PV_CHATOP_COUNTS), now, NULL) < 0)
        link->count_at = now + PV_S(RECOUNT_S);
}

/* Refills the window when half of it is acknowledged: one job a few messages, not one each. */
static void load_more(struct pv_chatlink *link, struct pv_chatlink_peer *peer, pv_ns now)
{
    if (!peer->more_queued || peer->load != PV_CHATLINK_LOAD_IDLE ||
        peer->n_window > PV_CHATLINK_WINDOW / 2)
        return;
    struct pv_chatop *job = pv_chatop_new(PV_CHATOP_OUTBOX);
    if (job != NULL) {
        memcpy(job->peer, peer->pk, sizeof(job->peer));
        job->after_seq = peer->loaded_seq;
        job->limit = (uint32_t)(PV_CHATLINK_WINDOW - peer->n_window);
    }
    struct pv_chatlink_job *entry = NULL;
    if (pv_chatlink_job_emit(link, job, now, &entry) == PV_OK)
        peer->load = PV_CHATLINK_LOADING;
    if (entry != NULL)
        entry->after_seq = peer->loaded_seq;
}

/* Read receipts are told in batches, and the next batch once the last is noted by the other side:
 * a receipt that is lost is still owed in the store. */
static void load_receipts(struct pv_chatlink *link, struct pv_chatlink_peer *peer, pv_ns now)
{
    if (peer->receipts != PV_CHATLINK_RECEIPTS_OWED || peer->active->n_told > 0 ||
        peer->noted.n > 0)
        return;
    struct pv_chatop *job = pv_chatop_new(PV_CHATOP_OWED);
    if (job != NULL) {
        memcpy(job->peer, peer->pk, sizeof(job->peer));
        job->limit = RECEIPTS_AT_ONCE;
    }
    if (pv_chatlink_job_emit(link, job, now, NULL) == PV_OK)
        peer->receipts = PV_CHATLINK_RECEIPTS_LOADING;
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
    struct pv_chatop *job = pv_chatop_new(PV_CHATOP_MARK);
    if (job != NULL)
        job->ids = calloc(n, sizeof(*job->ids));
    if (job != NULL && job->ids != NULL) {
        memcpy(job->peer, c->peer->pk, sizeof(job->peer));
        job->state = PV_CHAT_SENT;
        job->n_ids = n;
        for (size_t i = 0; i < n; i++)
            memcpy(job->ids[i], c->sent[i].id, sizeof(c->sent[i].id));
    } else {
        job = pv_chatop_free(job);
    }
    struct pv_chatlink_job *entry = NULL;
    if (pv_chatlink_job_emit(link, job, now, &entry) == PV_OK) /* else they are said to be queued */
        entry->state = PV_CHAT_SENT;
    c->n_sent -= n;
    memmove(c->sent, c->sent + n, c->n_sent * sizeof(c->sent[0]));
}

void pv_chatlink_handle_later(struct pv_chatlink *link, struct pv_chatlink_peer *peer,
                              const struct pv_chat_frame *f, pv_ns now)
{
    struct pv_chatlink_conn *c = peer->active;
    struct pv_chat_record told = {.outgoing = true, .state = PV_CHAT_QUEUED};
    size_t i = 0;
    while (i < peer->n_window && memcmp(peer->window[i].id, f->id, sizeof(f->id)) != 0)
        i++;
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
    pv_chatlink_tell(link, PV_CHATLINK_STATE, 0, PV_OK, &told, now);
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
        load_more(link, peer, now);
        load_receipts(link, peer, now);
        write_window(link, peer, now);
    } else if (peer->online && !is_opening(peer) && !is_barred(link, peer)) {
        if (now >= peer->retry_at)
            open_conn(link, peer, now);
        else
            pv_heap_set(&link->peer_timers, &peer->timer, peer->retry_at);
    }
}

/* Nothing is sent from here. The message goes to the disk, and the outbox of its peer takes it from
 * there: what the user was told is sent cannot be lost by a power cut. */
int pv_chatlink_send(struct pv_chatlink *link, uint64_t tag, const struct pv_chatlink_message *msg,
                     pv_ns now)
{
    if (!pv_text_is_valid(pv_view(msg->text, strlen(msg->text))))
        return PV_ERR_MALFORMED;
    if (memcmp(msg->pk, link->cfg.own_pk, sizeof(link->cfg.own_pk)) == 0)
        return PV_ERR_REFUSED;
    struct pv_chatop *job = pv_chatop_new(PV_CHATOP_ENQUEUE);
    if (job == NULL)
        return PV_ERR_NOMEM;
    memcpy(job->peer, msg->pk, sizeof(job->peer));
    job->msgs = calloc(1, sizeof(*job->msgs));
    if (job->msgs != NULL) {
        struct pv_chat_record *m = job->msgs;
        job->n_msgs = 1;
        if (msg->id != NULL)
            memcpy(m->id, msg->id, sizeof(m->id));
        else
            pv_rng_fill(&link->cfg.rng, m->id, sizeof(m->id));
        memcpy(m->peer, msg->pk, sizeof(m->peer));
        snprintf(m->peer_name, sizeof(m->peer_name), "%s", msg->name);
        m->outgoing = true;
        m->time_ms = msg->wall_ms;
        m->text = strdup(msg->text);
    }
    if (job->msgs == NULL || job->msgs->text == NULL) {
        pv_chatop_free(job);
        return PV_ERR_NOMEM;
    }
    struct pv_chatlink_job *entry = NULL;
    int r = pv_chatlink_job_emit(link, job, now, &entry);
    if (r == PV_OK)
        entry->wait.tag = tag;
    return r;
}

/* A message was stored for peer: it joins the window when that has everything before it. */
void pv_chatlink_handle_enqueued(struct pv_chatlink *link, const struct pv_chatlink_job *job,
                                 int status, struct pv_chatop_result *result, pv_ns now)
{
    struct pv_chatlink_peer *peer = NULL;
    if (status < 0 || result->n_msgs != 1) {
        pv_chatlink_tell(link, PV_CHATLINK_SEND_FAILED, job->wait.tag,
                         status < 0 ? status : PV_ERR_STATE, NULL, now);
        return;
    }
    struct pv_chat_record *m = &result->msgs[0];
    /* A send that was repeated may find its message delivered long ago. */
    if (m->state <= PV_CHAT_SENT &&
        pv_chatlink_peer_get(link, m->peer, m->peer_name, &peer) == PV_OK) {
        /* The message may join directly only when nothing older is left in the store: order is
         * kept. */
        bool next = peer->active != NULL && !peer->more_queued &&
                    peer->load == PV_CHATLINK_LOAD_IDLE && peer->n_window < PV_CHATLINK_WINDOW &&
                    m->seq > peer->loaded_seq;
        if (next && pv_chat_record_copy(&peer->window[peer->n_window], m) == PV_OK) {
            peer->n_window++;
            peer->loaded_seq = m->seq;
        } else {
            peer->more_queued = true;
            /* The job under way may have looked before this message was stored: its answer "no
             * more" must not count. */
            if (peer->load == PV_CHATLINK_LOADING)
                peer->load = PV_CHATLINK_LOADING_MISSED;
        }
    }
    pv_chatlink_tell_of(link, PV_CHATLINK_QUEUED, m->peer, now);
    pv_chatlink_tell(link, PV_CHATLINK_SENT, job->wait.tag, PV_OK, m, now);
    if (peer != NULL)
        pv_chatlink_pump(link, peer, now);
}

void pv_chatlink_handle_outbox(struct pv_chatlink *link, const struct pv_chatlink_job *job,
                               struct pv_chatlink_peer *peer, int status,
                               struct pv_chatop_result *result, pv_ns now)
{
    bool missed = peer->load == PV_CHATLINK_LOADING_MISSED;
    peer->load = PV_CHATLINK_LOAD_IDLE;
    if (status < 0) {
        pv_chatlink_give_up(link, peer, status, now);
        return;
    }
    /* The window it was for is gone with its connection: the next load starts at the beginning. */
    if (peer->active == NULL || job->after_seq != peer->loaded_seq) {
        peer->more_queued = true;
        return;
    }
    for (size_t i = 0; i < result->n_msgs && peer->n_window < PV_CHATLINK_WINDOW; i++) {
        if (result->msgs[i].seq <= peer->loaded_seq)
            continue;
        peer->loaded_seq = result->msgs[i].seq;
        peer->window[peer->n_window++] = result->msgs[i];
        /* The window owns the text now: the result must not free it. */
        memset(&result->msgs[i], 0, sizeof(result->msgs[i]));
    }
    peer->more_queued = result->more || missed;
}

/* The backlog of an earlier run of the daemon: who still has to get messages, or receipts for what
 * was read. A store that fails is asked again, as those messages would wait for the next new
 * one. */
void pv_chatlink_handle_backlog(struct pv_chatlink *link, int status,
                                const struct pv_chatop_result *result, pv_ns now)
{
    struct pv_chatlink_peer *peer, *next;
    if (status < 0) {
        link->count_at = now + PV_S(RECOUNT_S);
        return;
    }
    link->counted = true;
    for (size_t i = 0; i < result->n_backlog; i++) {
        const struct pv_chat_backlog *b = &result->backlog[i];
        if (pv_chatlink_peer_get(link, b->peer, b->peer_name, &peer) < 0)
            continue;
        peer->more_queued = peer->more_queued || b->queued > 0;
        if (b->owed > 0)
            pv_chatlink_owe(peer);
    }
    HASH_ITER(hh, link->peers, peer, next) {
        pv_chatlink_pump(link, peer, now);
    }
}

/* --- read receipts ------------------------------------------------------------------------- */

void pv_chatlink_handle_owed(struct pv_chatlink *link, struct pv_chatlink_peer *peer, int status,
                             const struct pv_chatop_result *result, pv_ns now)
{
    struct pv_chatlink_conn *c = peer->active;
    if (peer->receipts == PV_CHATLINK_RECEIPTS_LOADING)
        peer->receipts = PV_CHATLINK_RECEIPTS_OWED;
    if (status < 0)
        pv_chatlink_give_up(link, peer, status, now);
    if (status < 0 || c == NULL || c->n_told > 0)
        return;
    if (result->n_msgs == 0) {
        peer->receipts = PV_CHATLINK_RECEIPTS_NONE;
        return;
    }
    free(c->told);
    c->told = calloc(result->n_msgs, sizeof(*c->told));
    for (size_t i = 0; c->told != NULL && i < result->n_msgs; i++) {
        size_t len = 0;
        if (pv_chat_write_ack(result->msgs[i].id, PV_CHAT_READ, link->line, &len) < 0 ||
            pv_chatlink_conn_put(link, c, link->line, len) < 0)
            break;
        memcpy(c->told[c->n_told++], result->msgs[i].id, PV_CHAT_ID_LEN);
    }
    /* Receipts are still owed and nothing was written: without an end the connection would stall
     * with them. */
    if (c->n_told == 0) {
        pv_chatlink_lost_conn(link, c, true, now);
        return;
    }
    pv_chatlink_expect(c, now);
    pv_chatlink_conn_rearm(link, c);
}

void pv_chatlink_read(struct pv_chatlink *link, const struct pv_chatop_result *inbox, pv_ns now)
{
    for (size_t i = 0; i < inbox->n_msgs; i++) {
        const struct pv_chat_record *m = &inbox->msgs[i];
        struct pv_chatlink_peer *peer = NULL;
        if (m->seq == 0 || m->in_room ||
            pv_chatlink_peer_get(link, m->peer, m->peer_name, &peer) < 0)
            continue; /* nobody waits for receipts of plain text, nor in rooms */
        pv_chatlink_owe(peer);
        pv_chatlink_pump(link, peer, now);
    }
}

void pv_chatlink_seen(struct pv_chatlink *link, const uint8_t *pk, const uint8_t *id, pv_ns now)
{
    struct pv_chatop *job = pv_chatop_new(PV_CHATOP_SEEN);
    if (job == NULL)
        return;
    memcpy(job->peer, pk, sizeof(job->peer));
    memcpy(job->id, id, sizeof(job->id));
    if (pv_chatlink_job_emit(link, job, now, NULL) < 0)
        pv_log(link->cfg.log, PV_LOG_DEBUG,
               "what=\"message stays unread\" why=\"too many store jobs\"");
}
