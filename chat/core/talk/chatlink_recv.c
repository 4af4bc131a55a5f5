/* SPDX-License-Identifier: MIT */
/* chatlink_recv.c - receiving: lines to frames, frames to the store, and only then to their
 * acknowledgements. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
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

/* --- shares of memory ---------------------------------------------------------------------- */

/* Of what the disk does not have yet each peer has a share in memory, whatever the others do: there
 * is one for each connection. The rest is for those that need more. Of it a peer may have as much
 * as is left free, so that one alone gets half of it, and several that want more than there is come
 * to equal parts. A peer without room waits: its stream is not read on, and what it goes on to send
 * stays with it. */
_Static_assert(sizeof(struct pv_chatlink_pending) + sizeof(struct pv_chatlink_ack) <=
                   PV_CHATLINK_MESSAGE_BYTES,
               "all that is kept of a message beside its text is counted");

enum {
    REST = PV_CHATLINK_MAX_UNSTORED - PV_CHATLINK_MAX_CONNS * PV_CHATLINK_SHARE,
};
_Static_assert(REST / 2 >= 2 * (PV_CHATLINK_MAX_PENDING_BYTES +
                                PV_CHATLINK_MAX_PENDING * PV_CHATLINK_MESSAGE_BYTES),
               "one that sends alone never waits");

size_t pv_chatlink_cost(size_t n, size_t text_bytes)
{
    return n * PV_CHATLINK_MESSAGE_BYTES + text_bytes;
}

/* How much of this is more than the own share. */
static size_t beyond(size_t unstored)
{
    return unstored > PV_CHATLINK_SHARE ? unstored - PV_CHATLINK_SHARE : 0;
}

/* Is there room for one more message of peer, in what the store gets at once, too? */
static bool has_room(const struct pv_chatlink *link, const struct pv_chatlink_peer *peer,
                     size_t text_len)
{
    size_t cost = pv_chatlink_cost(1, text_len);
    size_t more = beyond(peer->unstored + cost);
    return peer->n_pending < PV_CHATLINK_MAX_PENDING &&
           peer->pending_bytes + text_len <= PV_CHATLINK_MAX_PENDING_BYTES &&
           link->unstored + cost <= PV_CHATLINK_MAX_UNSTORED &&
           (more == 0 || link->beyond + more <= REST);
}

static void charge(struct pv_chatlink *link, struct pv_chatlink_peer *peer, size_t cost)
{
    link->beyond += beyond(peer->unstored + cost) - beyond(peer->unstored);
    link->unstored += cost;
    peer->unstored += cost;
}

void pv_chatlink_discharge(struct pv_chatlink *link, struct pv_chatlink_peer *peer, size_t cost)
{
    link->unstored -= cost;
    link->beyond -= beyond(peer->unstored) - beyond(peer->unstored - cost);
    peer->unstored -= cost;
}

/* The peer that has least goes first. There must be room for the longest text, so that a turn is
 * worth its while whatever comes. */
struct pv_chatlink_conn *pv_chatlink_next_turn(const struct pv_chatlink *link)
{
    struct pv_chatlink_conn *best = NULL;
    for (struct pv_chatlink_conn *c = link->n_waiting == 0 ? NULL : link->conns; c != NULL;
         c = c->hh.next) {
        if (c->waits && has_room(link, c->peer, PV_CHAT_TEXT_MAX) &&
            (best == NULL || c->peer->unstored < best->peer->unstored))
            best = c;
    }
    return best;
}

/* --- the store ----------------------------------------------------------------------------- */

/* Output does not get shorter: closes the connection, which starts over. */
static void put_or_close(struct pv_chatlink *link, struct pv_chatlink_conn *c, size_t len,
                         pv_ns now)
{
    if (pv_chatlink_conn_put(link, c, link->line, len) < 0)
        pv_chatlink_lost_conn(link, c, true, now);
}

/* Tells the owner what became of stored copies: status is that of the first n_taken, and there is
 * no room for the others. */
static void tell_copies(struct pv_chatlink *link, const struct pv_chatlink_ack *acks, size_t n,
                        int status, size_t n_taken, pv_ns now)
{
    for (size_t i = 0; i < n; i++) {
        if (acks[i].copy != 0)
            pv_chatlink_tell(link, PV_CHATLINK_COPY, acks[i].copy,
                             i < n_taken ? status : PV_ERR_REFUSED, NULL, now);
    }
}

void pv_chatlink_commit(struct pv_chatlink *link, struct pv_chatlink_peer *peer, pv_ns now)
{
    size_t n = peer->n_pending;
    /* One commit a peer at a time: messages reach the store in the order in which they came. */
    if (peer->committing || n == 0)
        return;
    struct pv_chatop *job = pv_chatop_new(PV_CHATOP_COMMIT);
    struct pv_chatlink_ack *acks = calloc(n, sizeof(*acks));
    if (job != NULL)
        job->msgs = calloc(n, sizeof(*job->msgs));
    if (job == NULL || acks == NULL || job->msgs == NULL) {
        pv_chatop_free(job);
        free(acks);
        pv_chatlink_give_up(link, peer, PV_ERR_NOMEM, now);
        return;
    }
    memcpy(job->peer, peer->pk, sizeof(job->peer));
    /* The texts move into the job; what is owed for each stays here until the result. */
    for (struct pv_chatlink_pending *p = peer->pending; p != NULL; p = p->next) {
        struct pv_chatlink_ack *ack = &acks[job->n_msgs];
        job->msgs[job->n_msgs++] = p->rec;
        p->rec.text = NULL;
        ack->sid = p->sid;
        ack->copy = p->copy;
        ack->seq = p->wants_ack ? p->rec.seq : 0;
        memcpy(ack->id, p->rec.id, sizeof(ack->id));
    }
    size_t cost = pv_chatlink_cost(n, peer->pending_bytes);
    /* Every record has left its text to the job: only the empty entries are freed here. */
    pv_chatlink_drop_pending(link, peer);

    struct pv_chatlink_job *entry = NULL;
    int r = pv_chatlink_job_emit(link, job, now, &entry);
    if (r < 0) {
        tell_copies(link, acks, n, r, n, now);
        free(acks);
        pv_chatlink_give_up(link, peer, r, now);
        return;
    }
    entry->acks = acks;
    entry->n_acks = n;
    entry->unstored = cost;
    charge(link, peer, cost);
    peer->committing = true;
}

/* The store left messages for later, from this one on. Its sender is told once; what it has sent
 * behind that is passed over until it sends this one again. */
static void leave_for_later(struct pv_chatlink *link, const struct pv_chatlink_ack *ack,
                            enum pv_chat_later why, pv_ns now)
{
    struct pv_chatlink_conn *c = pv_chatlink_conn_find(link, ack->sid);
    size_t len = 0;
    if (c == NULL || ack->copy != 0)
        return;
    if (ack->seq == 0) {
        /* A user who types into nc must not believe that it arrived. */
        pv_chatlink_lost_conn(link, c, true, now);
        return;
    }
    if (c->refused_seq != 0)
        return;
    c->refused_seq = ack->seq;
    if (pv_chat_write_later(ack->id, why, PV_CHATLINK_LATER_MIN_S, link->line, &len) == PV_OK)
        put_or_close(link, c, len, now);
}

/* Is the message behind one that was left for later? */
static bool is_held_back(struct pv_chatlink_conn *c, uint64_t seq)
{
    if (c->refused_seq != 0 && seq <= c->refused_seq)
        c->refused_seq = 0;
    return c->refused_seq != 0;
}

/* A message that came while the store was asked stands behind those that it has not taken. */
static void drop_held_back(struct pv_chatlink *link, struct pv_chatlink_peer *peer)
{
    struct pv_chatlink_pending **at = &peer->pending;
    while (*at != NULL) {
        struct pv_chatlink_pending *p = *at;
        struct pv_chatlink_conn *c = pv_chatlink_conn_find(link, p->sid);
        if (!p->wants_ack || c == NULL || !is_held_back(c, p->rec.seq)) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        size_t len = strlen(p->rec.text);
        peer->n_pending--;
        peer->pending_bytes -= len;
        pv_chatlink_discharge(link, peer, pv_chatlink_cost(1, len));
        pv_chat_record_done(&p->rec);
        free(p);
    }
    peer->pending_end = at;
}

void pv_chatlink_handle_committed(struct pv_chatlink *link, struct pv_chatlink_peer *peer,
                                  const struct pv_chatlink_job *job, int status,
                                  struct pv_chatop_result *result, pv_ns now)
{
    peer->committing = false;
    size_t n_taken = status < 0 ? job->n_acks : result->n_taken;
    tell_copies(link, job->acks, job->n_acks, status, n_taken, now);
    if (status < 0) {
        pv_chatlink_give_up(link, peer, status, now);
        return;
    }
    for (size_t i = 0; i < result->n_msgs; i++)
        pv_chatlink_tell(link, PV_CHATLINK_MESSAGE, 0, PV_OK, &result->msgs[i], now);
    if (peer->holding == PV_CHAT_LATER_NO && result->later != PV_CHAT_LATER_NO)
        pv_log(link->cfg.log, PV_LOG_WARN, "peer=%s what=\"messages left for later\" why=\"%s\"",
               peer->name,
               result->later == PV_CHAT_LATER_DISK ? "the disk is nearly full"
                                                   : "it has as many here as it may");
    peer->holding = result->later;
    for (size_t i = 0; i < n_taken && i < job->n_acks; i++) {
        if (job->acks[i].copy != 0 || job->acks[i].seq == 0)
            continue;
        struct pv_chatlink_conn *c = pv_chatlink_conn_find(link, job->acks[i].sid);
        size_t len = 0;
        /* The acknowledgement goes out only now that the message is on disk. A connection that
         * ended meanwhile gets none: the sender repeats the message, and the store knows it by its
         * id. */
        if (c != NULL &&
            pv_chat_write_ack(job->acks[i].id, PV_CHAT_DELIVERED, link->line, &len) == PV_OK)
            put_or_close(link, c, len, now);
    }
    /* Behind the acknowledgements: these say that messages are taken, and this that no more are. */
    for (size_t i = n_taken; i < job->n_acks; i++)
        leave_for_later(link, &job->acks[i], result->later, now);
    if (result->later != PV_CHAT_LATER_NO)
        drop_held_back(link, peer);
    pv_chatlink_commit(link, peer, now);
}

/* Appends it to what waits for the store. */
static void add_pending(struct pv_chatlink *link, struct pv_chatlink_peer *peer,
                        struct pv_chatlink_pending *p, size_t text_len)
{
    *peer->pending_end = p;
    peer->pending_end = &p->next;
    peer->n_pending++;
    peer->pending_bytes += text_len;
    charge(link, peer, pv_chatlink_cost(1, text_len));
}

/* The connection may be ours, which a rule about the other direction does not close. A daemon that
 * sends is told, and keeps it; a user who types into nc sees that it was not taken. */
static bool deny(struct pv_chatlink *link, struct pv_chatlink_conn *c,
                 const struct pv_chat_frame *f, pv_ns now)
{
    size_t len = 0;
    if (f->kind != PV_CHAT_MESSAGE)
        return false;
    c->refused_seq = f->seq;
    if (pv_chat_write_later(f->id, PV_CHAT_LATER_RULES, PV_CHATLINK_LATER_MIN_S, link->line,
                            &len) == PV_OK)
        put_or_close(link, c, len, now);
    return true;
}

/* Is there room for more plain text of that machine? A user who types there has no rights, and
 * shall not use up what its daemon may have stored here. */
static bool may_type(struct pv_chatlink_conn *c, const struct pv_chat_frame *f, pv_ns now)
{
    return f->kind != PV_CHAT_PLAIN ||
           pv_bucket_take(&c->peer->plain, PV_CHATLINK_PLAIN_RATE, PV_CHATLINK_PLAIN_BURST,
                          (uint32_t)f->text_len + PV_CHATOP_ROW_BYTES, now);
}

/* A message came: it waits for the store, or with its connection for room. False when a user
 * of that machine types more than is taken, or memory is out. */
static bool receive(struct pv_chatlink *link, struct pv_chatlink_conn *c,
                    const struct pv_chat_frame *f, pv_ns now)
{
    struct pv_chatlink_peer *peer = c->peer;
    if (f->kind == PV_CHAT_MESSAGE && is_held_back(c, f->seq))
        return true;
    if (link->cfg.admits != NULL && !link->cfg.admits(link->cfg.owner, peer->pk, false))
        return deny(link, c, f, now);
    if (!has_room(link, peer, f->text_len)) {
        pv_chatlink_conn_wait(link, c, true);
        return true;
    }
    if (!may_type(c, f, now))
        return false;
    struct pv_chatlink_pending *p = calloc(1, sizeof(*p));
    char *text = p == NULL ? NULL : strdup(f->text);
    if (text == NULL) {
        free(p);
        return false;
    }
    p->sid = c->sid;
    p->wants_ack = f->kind == PV_CHAT_MESSAGE;
    p->rec.text = text;
    p->rec.state = PV_CHAT_UNREAD;
    memcpy(p->rec.peer, peer->pk, sizeof(p->rec.peer));
    snprintf(p->rec.peer_name, sizeof(p->rec.peer_name), "%s", peer->name);
    if (f->kind == PV_CHAT_MESSAGE) {
        memcpy(p->rec.id, f->id, sizeof(p->rec.id));
        p->rec.seq = f->seq;
        p->rec.time_ms = f->time_ms;
    } else {
        /* Plain text has no id and no clock of its own: it gets ours, and nobody waits for an
         * acknowledgement. */
        pv_rng_fill(&link->cfg.rng, p->rec.id, sizeof(p->rec.id));
        p->rec.time_ms = c->last_wall_ms;
    }
    add_pending(link, peer, p, f->text_len);
    return true;
}

/* A copy goes the way of a line that a connection brought: it waits with the others of its sender,
 * within the same limits, and is told once the disk has it. */
int pv_chatlink_take_copy(struct pv_chatlink *link, const struct pv_chatlink_copy *copy, pv_ns now)
{
    struct pv_chatlink_peer *peer = NULL;
    if (memcmp(copy->pk, link->cfg.own_pk, sizeof(link->cfg.own_pk)) == 0)
        return PV_ERR_REFUSED;
    int r = pv_chatlink_peer_get(link, copy->pk, copy->name, &peer);
    if (r < 0)
        return r;
    if (peer->n_pending >= PV_CHATLINK_MAX_PENDING ||
        peer->pending_bytes + copy->text.len > PV_CHATLINK_MAX_PENDING_BYTES ||
        !has_room(link, peer, copy->text.len))
        return PV_ERR_LIMIT;
    struct pv_chatlink_pending *p = calloc(1, sizeof(*p));
    char *text = p == NULL ? NULL : strndup((const char *)copy->text.ptr, copy->text.len);
    if (text == NULL) {
        free(p);
        return PV_ERR_NOMEM;
    }
    p->copy = copy->number;
    p->rec.text = text;
    p->rec.state = PV_CHAT_UNREAD;
    p->rec.seq = copy->seq;
    p->rec.time_ms = copy->time_ms;
    memcpy(p->rec.id, copy->id, sizeof(p->rec.id));
    memcpy(p->rec.peer, peer->pk, sizeof(p->rec.peer));
    snprintf(p->rec.peer_name, sizeof(p->rec.peer_name), "%s", copy->name);
    add_pending(link, peer, p, copy->text.len);
    pv_chatlink_commit(link, peer, now);
    return PV_OK;
}

/* --- acknowledgements ---------------------------------------------------------------------- */

/* False: no room or no memory. The connection ends then, and the peer says the same again on the
 * next one. */
static bool add_id(struct pv_chatlink_ids *list, const uint8_t *id)
{
    if (list->n == PV_CHATLINK_MAX_ACKS)
        return false;
    void *grown = pv_vec_room(list->id, list->n, &list->cap, 16, sizeof(list->id[0]));
    if (grown == NULL)
        return false;
    list->id = grown;
    memcpy(list->id[list->n++], id, sizeof(*list->id));
    return true;
}

/* The peer has our message, or has shown it. False: too many at once. */
static bool handle_ack(struct pv_chatlink_conn *c, const struct pv_chat_frame *f, pv_ns now)
{
    struct pv_chatlink_peer *peer = c->peer;
    bool waiting = false;
    for (size_t i = 0; i < peer->n_window && !waiting; i++) {
        if (memcmp(peer->window[i].id, f->id, sizeof(f->id)) != 0)
            continue;
        waiting = true;
        pv_chat_record_done(&peer->window[i]);
        peer->n_window--;
        memmove(&peer->window[i], &peer->window[i + 1],
                (peer->n_window - i) * sizeof(peer->window[0]));
    }
    if (waiting && peer->active != NULL)
        pv_chatlink_expect(peer->active, now);
    if (waiting) { /* it takes messages */
        peer->held = PV_CHAT_LATER_NO;
        peer->held_s = 0;
    }
    if (f->state == PV_CHAT_DELIVERED) /* not waiting: known already, or never sent */
        return !waiting || add_id(&peer->delivered, f->id);
    peer->read_sid = c->sid;
    return add_id(&peer->read, f->id);
}

/* The peer will not forget that its message was read. */
static bool handle_noted(struct pv_chatlink_conn *c, const struct pv_chat_frame *f, pv_ns now)
{
    /* Only receipts told on this connection count: a peer cannot clear what it never got. */
    for (size_t i = 0; i < c->n_told; i++) {
        if (memcmp(c->told[i], f->id, sizeof(f->id)) != 0)
            continue;
        memmove(&c->told[i], &c->told[i + 1], (--c->n_told - i) * sizeof(c->told[0]));
        pv_chatlink_expect(c, now);
        return add_id(&c->peer->noted, f->id);
    }
    return true;
}

/* A job with the ids of list, which is empty afterwards. NULL: the job was not taken. */
static struct pv_chatlink_job *emit_ids(struct pv_chatlink *link, struct pv_chatlink_peer *peer,
                                        enum pv_chatop_kind kind, enum pv_chat_state state,
                                        struct pv_chatlink_ids *list, pv_ns now)
{
    struct pv_chatop *job = pv_chatop_new(kind);
    struct pv_chatlink_job *entry = NULL;
    if (job != NULL) {
        memcpy(job->peer, peer->pk, sizeof(job->peer));
        job->state = state;
        job->ids = list->id;
        job->n_ids = list->n;
        *list = (struct pv_chatlink_ids){.id = NULL};
    }
    return pv_chatlink_job_emit(link, job, now, &entry) == PV_OK ? entry : NULL;
}

static bool emit_marks(struct pv_chatlink *link, struct pv_chatlink_peer *peer,
                       enum pv_chat_state state, struct pv_chatlink_ids *list, pv_ns now)
{
    size_t n = list->n;
    struct pv_chatlink_ack *acks = state == PV_CHAT_READ ? calloc(n, sizeof(*acks)) : NULL;
    for (size_t i = 0; acks != NULL && i < n; i++) {
        acks[i].sid = peer->read_sid;
        memcpy(acks[i].id, list->id[i], sizeof(acks[i].id));
    }
    struct pv_chatlink_job *entry = emit_ids(link, peer, PV_CHATOP_MARK, state, list, now);
    if (entry == NULL || (state == PV_CHAT_READ && acks == NULL)) {
        free(acks);
        return false; /* without acks: it is told again */
    }
    entry->state = state;
    entry->n_ids = n;
    entry->acks = acks;
    entry->n_acks = acks == NULL ? 0 : n;
    return true;
}

void pv_chatlink_flush_acks(struct pv_chatlink *link, struct pv_chatlink_peer *peer, pv_ns now)
{
    bool ok = true;
    if (peer->delivered.n > 0)
        ok = emit_marks(link, peer, PV_CHAT_DELIVERED, &peer->delivered, now);
    /* One batch of receipts at a time: the next gathers in peer->read meanwhile, and add_id()
     * bounds it. */
    if (ok && peer->read.n > 0 && !peer->marking) {
        ok = emit_marks(link, peer, PV_CHAT_READ, &peer->read, now);
        peer->marking = ok;
    }
    if (ok && peer->noted.n > 0)
        ok = emit_ids(link, peer, PV_CHATOP_TOLD, PV_CHAT_READ, &peer->noted, now) != NULL;
    if (!ok)
        pv_chatlink_give_up(link, peer, PV_ERR_LIMIT, now); /* both sides say it again */
}

/* Answers read receipts that are on disk. */
static void answer_receipts(struct pv_chatlink *link, const struct pv_chatlink_job *job, pv_ns now)
{
    for (size_t i = 0; i < job->n_acks; i++) {
        struct pv_chatlink_conn *c = pv_chatlink_conn_find(link, job->acks[i].sid);
        size_t len = 0;
        if (c != NULL && pv_chat_write_noted(job->acks[i].id, link->line, &len) == PV_OK)
            put_or_close(link, c, len, now);
    }
}

void pv_chatlink_handle_marked(struct pv_chatlink *link, const struct pv_chatlink_job *job,
                               int status, struct pv_chatop_result *result, pv_ns now)
{
    struct pv_chatlink_peer *peer = pv_chatlink_peer_find(link, job->pk);
    bool read = job->state == PV_CHAT_READ;
    if (peer != NULL && read)
        peer->marking = false;
    if (status < 0 && peer != NULL && job->state != PV_CHAT_SENT) {
        peer->more_queued = true; /* in the store it still is */
        pv_chatlink_give_up(link, peer, status, now);
    }
    if (status < 0)
        return;
    for (size_t i = 0; i < result->n_msgs; i++) {
        if (peer != NULL)
            snprintf(result->msgs[i].peer_name, sizeof(result->msgs[i].peer_name), "%s",
                     peer->name);
        pv_chatlink_tell(link, PV_CHATLINK_STATE, 0, PV_OK, &result->msgs[i], now);
    }
    if (peer == NULL || job->state == PV_CHAT_SENT)
        return;
    peer->backoff_s = PV_CHATLINK_BACKOFF_MIN_S; /* everything works */
    /* A receipt that changes nothing costs a write all the same. Honest peers repeat a few, so
     * these have an allowance. */
    uint32_t useless = read ? (uint32_t)(job->n_ids - result->n_msgs) : 0;
    if (useless > 0 && !pv_bucket_take(&peer->useless, PV_CHATLINK_USELESS_RATE,
                                       PV_CHATLINK_USELESS_BURST, useless, now)) {
        unsigned more;
        if (may_log(&link->floods, now, &more))
            pv_log(link->cfg.log, PV_LOG_WARN, "peer=%s what=\"chat floods with receipts\" more=%u",
                   peer->name, more);
        link->counts.floods++;
        pv_chatlink_refuse_peer(link, peer, now);
        return;
    }
    answer_receipts(link, job, now);
    pv_chatlink_flush_acks(link, peer, now);
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
    bool taken = true;
    switch (f->kind) {
    case PV_CHAT_MESSAGE:
    case PV_CHAT_PLAIN:
        taken = receive(link, c, f, now);
        break;
    case PV_CHAT_ACK:
        taken = handle_ack(c, f, now);
        break;
    case PV_CHAT_NOTED:
        taken = handle_noted(c, f, now);
        break;
    case PV_CHAT_LATER:
        pv_chatlink_handle_later(link, c->peer, f, now);
        break;
    }
    link->counts.floods += !taken;
    return taken;
}

/* Appends to the unfinished line, or (limit) to other input that waits. False when it is too long.
 */
static bool keep_input(struct pv_chatlink_conn *c, struct pv_view bytes, size_t limit)
{
    size_t need = c->in_len + bytes.len;
    /* The limit comes before the memory: a line without an end cannot fill it. */
    if (need >= limit)
        return false;
    if (need > c->in_cap) {
        size_t cap = need * 2 < limit ? need * 2 : limit;
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

bool pv_chatlink_release_input(struct pv_chatlink *link, struct pv_chatlink_conn *c, pv_ns now)
{
    char *in = c->in;
    size_t len = c->in_len;
    pv_chatlink_conn_wait(link, c, false);
    c->in = NULL;
    c->in_len = c->in_cap = 0;
    bool good = pv_chatlink_handle_input(link, c, pv_view(in, len), now);
    free(in);
    return good;
}

/* There is no room for the message of this line: it waits here, and what came behind it. */
static bool put_back(struct pv_chatlink_conn *c, struct pv_view line, struct pv_view rest)
{
    char *old = c->in; /* the line may lie in it */
    c->in = NULL;
    c->in_len = c->in_cap = 0;
    bool fits = keep_input(c, line, PV_CHATLINK_MAX_WAITING) &&
                keep_input(c, pv_view("\n", 1), PV_CHATLINK_MAX_WAITING) &&
                keep_input(c, rest, PV_CHATLINK_MAX_WAITING);
    free(old);
    return fits;
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
    if (!keep_input(c, pv_view(bytes.ptr, n), PV_CHAT_LINE_MAX))
        return false;
    *ret_rest = pv_view(bytes.ptr + n, bytes.len - n);
    size_t len = c->in_len - 1;
    while (len > c->in_len - 4 && ((uint8_t)c->in[len] & 0xc0) == 0x80)
        len--;
    if (!pv_chatlink_handle_line(link, c, pv_view(c->in, len), now))
        return false;
    if (c->waits)
        return keep_input(c, *ret_rest, PV_CHATLINK_MAX_WAITING);
    c->in_len -= len;
    memmove(c->in, c->in + len, c->in_len);
    c->in_text = true;
    return true;
}

bool pv_chatlink_handle_input(struct pv_chatlink *link, struct pv_chatlink_conn *c,
                              struct pv_view bytes, pv_ns now)
{
    if (c->waits)
        return keep_input(c, bytes, PV_CHATLINK_MAX_WAITING);
    while (bytes.len > 0) {
        const uint8_t *nl = memchr(bytes.ptr, '\n', bytes.len);
        if (fills_message(c, bytes, nl == NULL ? bytes.len : (size_t)(nl - bytes.ptr))) {
            if (!take_part(link, c, bytes, &bytes, now))
                return false;
            if (c->waits)
                return true;
            continue;
        }
        if (nl == NULL) {
            bool fits = keep_input(c, bytes, PV_CHAT_LINE_MAX);
            link->counts.bad_frames += !fits;
            return fits;
        }
        struct pv_view line = pv_view(bytes.ptr, (size_t)(nl - bytes.ptr));
        bytes = pv_view(nl + 1, bytes.len - line.len - 1);
        /* A line that came in one piece is read where it lies. */
        if (c->in_len > 0) {
            if (!keep_input(c, line, PV_CHAT_LINE_MAX)) {
                link->counts.bad_frames++;
                return false;
            }
            line = pv_view(c->in, c->in_len);
            c->in_len = 0;
        }
        if (!pv_chatlink_handle_line(link, c, line, now))
            return false;
        if (c->waits)
            return put_back(c, line, bytes);
        c->in_text = false;
    }
    return true;
}
