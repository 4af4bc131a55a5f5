/* SPDX-License-Identifier: MIT */
/*
 * copies_coordinator.c - copies at the coordinator. Sending: peers that are away wait in a list;
 * of the first, one message after another is sealed and stored. Collecting: one copy at a time is
 * asked for; the request for the next says that the last is on disk here, and may be forgotten.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/core/chat/copies_int.h"
#include "daemon/core/coord/coordinator.h"
#include "daemon/core/member/rules.h"

enum {
    AT_ONCE = 16,        /* ours: messages taken out of the store at a time */
    MAX_WAITING = 16384, /* peers; PV_CHATLINK_MAX_PEERS */
};
#define SEND_RETRY    PV_S(60)  /* ours: after an answer that may change by itself */
#define SEND_LEAST    PV_S(1)   /* ours: the same while many wait, each for its turn */
#define LEFT_RETRY    PV_S(600) /* ours: what there was no room for */
#define COLLECT_RETRY PV_S(60)  /* ours: an answer or a commit that did not come */

/* What a request was for: its tag. */
enum request {
    REQUEST_KEEP,
    REQUEST_COLLECT,
};

static bool is_away(const struct pv_peer *p)
{
    return !pv_peer_is_static(p) && pv_peer_presence(p) == PV_PRESENCE_OFFLINE &&
           pv_peer_reach(p) == PV_REACH_NO;
}

/* --- sending --------------------------------------------------------------------------------- */

void pv_copies_coordinator_away(struct pv_copies *c, const struct pv_peer *p)
{
    struct pv_copies_coordinator *s = &c->coordinator;
    /* The coordinator that refused is not asked again on this connection. */
    if (!c->enabled || s->refused || !is_away(p) || !pv_copies_may_seal(c, p))
        return;
    for (size_t i = 0; i < s->n_waiting; i++) {
        if (memcmp(s->waiting[i], pv_peer_pk(p), sizeof(s->waiting[i])) == 0)
            return;
    }
    if (s->n_waiting == s->cap) {
        size_t cap = s->cap == 0 ? 16 : 2 * s->cap;
        uint8_t(*grown)[PV_SIGN_PK_LEN] =
            cap > MAX_WAITING ? NULL : realloc(s->waiting, cap * sizeof(*grown));
        if (grown == NULL)
            return; /* it is told again when it goes away the next time */
        s->waiting = grown;
        s->cap = cap;
    }
    memcpy(s->waiting[s->n_waiting++], pv_peer_pk(p), sizeof(s->waiting[0]));
}

static void stop_sending(struct pv_copies *c)
{
    struct pv_copies_coordinator *s = &c->coordinator;
    s->sending = false;
    s->list = pv_chatjob_result_free(s->list);
    s->at = 0;
}

/* Once more, but not at once. */
static void send_later(struct pv_copies *c, enum pv_ctl_error why, pv_ns now)
{
    const struct pv_peer *p = pv_peers_by_pk(c->node->peers, c->coordinator.peer);
    stop_sending(c);
    /* One whose room there is full, as of a member that is away for months, holds up the others for
     * its part of that time and not for all of it. */
    pv_ns pause = SEND_RETRY / (c->coordinator.n_waiting + 1);
    pause = pause > SEND_LEAST ? pause : SEND_LEAST;
    c->coordinator.send_at = now + (why == PV_CTL_E_STORAGE ? PV_COORD_STORAGE_RETRY : pause);
    if (p != NULL)
        pv_copies_coordinator_away(c, p);
}

static bool ask_for_list(struct pv_copies *c)
{
    struct pv_chatjob *job = pv_chatjob_new(PV_CHATJOB_UNCOPIED);
    if (job == NULL)
        return false;
    memcpy(job->peer, c->coordinator.peer, sizeof(job->peer));
    job->limit = AT_ONCE;
    return pv_copies_submit(c, job, PV_COPIES_JOB_AWAY, 0);
}

/* Seals the message under way and sends it; false: not now. */
static bool send_one(struct pv_copies *c, const struct pv_peer *p)
{
    const struct pv_chat_record *m = &c->coordinator.list->msgs[c->coordinator.at];
    struct pv_ctl_msg msg = {.type = PV_CTL_KEEP};
    uint8_t *box = malloc(PV_PARCEL_BOX_MAX);
    size_t len = 0;
    int r = box == NULL ? PV_ERR_NOMEM : pv_copies_seal(c, p, m, box, &len);
    if (r == PV_OK) {
        memcpy(msg.u.keep.to, pv_peer_pk(p), sizeof(msg.u.keep.to));
        memcpy(msg.u.keep.key, m->id, sizeof(msg.u.keep.key));
        msg.u.keep.box = pv_view(box, len);
        r = pv_coord_ask(c->node, &pv_part_copies, &msg, REQUEST_KEEP);
    }
    free(box);
    if (r != PV_OK)
        pv_log(c->node->log, PV_LOG_WARN, "peer=%s what=\"copy not stored\" why=\"%s\"",
               pv_peer_name(p), pv_strstatus(r));
    return r == PV_OK;
}

/* The next message of the list, the next list, or the next peer. */
static void go_on(struct pv_copies *c, pv_ns now)
{
    struct pv_copies_coordinator *s = &c->coordinator;
    const struct pv_peer *p = pv_peers_by_pk(c->node->peers, s->peer);
    if (p == NULL || !is_away(p)) { /* it is back: what waits goes there directly */
        stop_sending(c);
        return;
    }
    if (s->at < s->list->n_msgs) {
        if (!send_one(c, p))
            send_later(c, PV_CTL_E_NONE, now);
        return;
    }
    /* The flag is read first: stop_sending() frees the list. */
    bool more = s->list->more;
    stop_sending(c);
    if (more)
        pv_copies_coordinator_away(c, p);
}

void pv_copies_coordinator_listed(struct pv_copies *c, struct pv_job_result *result, pv_ns now)
{
    struct pv_copies_coordinator *s = &c->coordinator;
    if (!s->sending || s->list != NULL)
        return; /* the connection ended meanwhile */
    if (result->status != PV_OK || result->chat == NULL || !c->node->online) {
        send_later(c, PV_CTL_E_NONE, now);
        return;
    }
    s->list = result->chat;
    result->chat = NULL;
    s->at = 0;
    go_on(c, now);
}

void pv_copies_coordinator_recopy(struct pv_copies *c, const struct pv_job_result *result)
{
    for (size_t i = 0; result->chat != NULL && i < result->chat->n_backlog; i++) {
        const struct pv_chat_backlog *b = &result->chat->backlog[i];
        const struct pv_peer *p = pv_peers_by_pk(c->node->peers, b->peer);
        if (b->queued > 0 && p != NULL)
            pv_copies_coordinator_away(c, p);
    }
}

static void note_stored(struct pv_copies *c, const struct pv_chat_record *m)
{
    struct pv_chatjob *job = pv_chatjob_new(PV_CHATJOB_COPIED);
    if (job != NULL)
        job->ids = calloc(1, sizeof(*job->ids));
    if (job == NULL || job->ids == NULL) { /* it is stored once more: the same key, no harm */
        pv_chatjob_free(job);
        return;
    }
    memcpy(job->peer, m->peer, sizeof(job->peer));
    memcpy(job->ids[0], m->id, sizeof(job->ids[0]));
    job->n_ids = 1;
    (void)pv_copies_submit(c, job, PV_COPIES_JOB_NOTED, 0);
}

static void take_stored(struct pv_copies *c, const struct pv_ctl_msg *msg, pv_ns now)
{
    struct pv_copies_coordinator *s = &c->coordinator;
    /* An answer may come after its task ended: it must not count for another message. */
    if (!s->sending || s->list == NULL || s->at >= s->list->n_msgs)
        return;
    if (msg->type == PV_CTL_DONE) {
        note_stored(c, &s->list->msgs[s->at++]);
        go_on(c, now);
        return;
    }
    enum pv_ctl_error error =
        msg->type == PV_CTL_ERROR ? msg->u.failure.error : PV_CTL_E_BAD_REQUEST;
    char more[PV_NODE_MORE];
    if (pv_node_may_log(c->node, PV_FROM_COPIES, pv_ctl_error_word(error), now, more))
        pv_log(c->node->log, PV_LOG_INFO, "what=\"copy not stored\" why=%s%s",
               pv_ctl_error_word(error), more);
    /* An older coordinator, or one that holds no copies, will not change its mind on this
     * connection. */
    if (error == PV_CTL_E_UNKNOWN_REQUEST || error == PV_CTL_E_NOT_ALLOWED) {
        s->refused = true;
        stop_sending(c);
    } else if (error == PV_CTL_E_UNKNOWN_NODE || error == PV_CTL_E_BAD_REQUEST) {
        stop_sending(c);
    } else {
        send_later(c, error, now); /* the messages behind it wait too: order is kept */
    }
}

/* --- collecting ------------------------------------------------------------------------------ */

/* Asks for the copy behind number `after`; `taken` may be forgotten, 0: none. */
static void collect(struct pv_copies *c, uint64_t after, uint64_t taken, pv_ns now)
{
    struct pv_ctl_msg msg = {.type = PV_CTL_COLLECT};
    msg.u.collect = (struct pv_ctl_collect){.after = after, .taken = taken};
    c->coordinator.collecting = true;
    /* The time is set before the request: a request that could not be sent is then repeated as one
     * without an answer. */
    c->coordinator.collect_at = now + COLLECT_RETRY;
    int r = pv_coord_ask(c->node, &pv_part_copies, &msg, REQUEST_COLLECT);
    if (r != PV_OK)
        pv_log(c->node->log, PV_LOG_DEBUG, "what=\"copies not asked for\" why=\"%s\"",
               pv_strstatus(r));
}

/* As long as the rules are not known nobody may say anything here: a copy would be left there, and
 * come behind those after it. The rules tell when they are. */
void pv_copies_coordinator_news(struct pv_copies *c, pv_ns now)
{
    struct pv_copies_coordinator *s = &c->coordinator;
    if (!c->enabled || s->refused || c->node->roster == NULL || !pv_rules_are_known(c->node))
        return;
    if (s->collecting)
        s->again = true;
    else
        collect(c, 0, 0, now);
}

/* Its sender has no room here for now: it stays there, and those of others are collected. */
static void leave_there(struct pv_copies *c, uint64_t number, pv_ns now)
{
    c->coordinator.left = true;
    collect(c, number, 0, now);
}

static void take_copy(struct pv_copies *c, const struct pv_ctl_msg *msg, pv_ns now)
{
    struct pv_copies_coordinator *s = &c->coordinator;
    if (!s->collecting || c->node->roster == NULL)
        return;
    if (msg->type != PV_CTL_COPY) {
        enum pv_ctl_error error = msg->type == PV_CTL_ERROR ? msg->u.failure.error : PV_CTL_E_NONE;
        bool never = error == PV_CTL_E_UNKNOWN_REQUEST || error == PV_CTL_E_NOT_ALLOWED;
        s->refused = s->refused || never;
        s->collect_at = never                       ? PV_NEVER
                        : error == PV_CTL_E_STORAGE ? now + PV_COORD_STORAGE_RETRY
                                                    : now + COLLECT_RETRY;
        return;
    }
    const struct pv_ctl_copy *in = &msg->u.copy;
    if (in->n == 0) {
        /* A copy may have been stored behind our back after the last request: its news came while
         * we collected. */
        bool again = s->again;
        s->again = s->collecting = false;
        s->collect_at = s->left ? now + LEFT_RETRY : PV_NEVER;
        s->left = false;
        if (again)
            collect(c, 0, 0, now);
        return;
    }
    int r = pv_copies_open(c, in->from, in->box, in->n, now);
    if (r == PV_OK || r == PV_ERR_NOMEM)
        return; /* goes on when it is on disk, or later */
    if (r == PV_ERR_LIMIT) {
        leave_there(c, in->n, now); /* its author sends more than is taken at a time */
        return;
    }
    /* A forged copy is deleted there, that of an author who may become known is passed over. */
    char more[PV_NODE_MORE];
    if (pv_node_may_log(c->node, PV_FROM_COPIES, pv_strstatus(r), now, more))
        pv_log(c->node->log, PV_LOG_WARN, "what=\"stored copy refused\" why=\"%s\"%s",
               pv_strstatus(r), more);
    collect(c, in->n, r == PV_ERR_AGAIN ? 0 : in->n, now);
}

void pv_copies_coordinator_answer(struct pv_copies *c, uint64_t tag, const struct pv_ctl_msg *msg,
                                  pv_ns now)
{
    if (tag == REQUEST_KEEP)
        take_stored(c, msg, now);
    else
        take_copy(c, msg, now);
}

void pv_copies_coordinator_committed(struct pv_copies *c, uint64_t number, int status, pv_ns now)
{
    /* Only a copy on our disk may be forgotten there. After a failure collect_at asks for the same
     * copy again. */
    if (!c->coordinator.collecting || !c->node->online)
        return;
    if (status == PV_OK)
        collect(c, number, number, now);
    else if (status == PV_ERR_REFUSED)
        leave_there(c, number, now);
}

/* --- life ------------------------------------------------------------------------------------ */

void pv_copies_coordinator_online(struct pv_copies *c, pv_ns now)
{
    struct pv_copies_coordinator *s = &c->coordinator;
    s->refused = s->collecting = s->again = false;
    s->send_at = now;
    pv_copies_coordinator_news(c, now);
}

void pv_copies_coordinator_offline(struct pv_copies *c)
{
    struct pv_copies_coordinator *s = &c->coordinator;
    const struct pv_peer *p = s->sending ? pv_peers_by_pk(c->node->peers, s->peer) : NULL;
    stop_sending(c);
    s->collecting = s->again = false;
    s->collect_at = PV_NEVER;
    if (p != NULL)
        pv_copies_coordinator_away(c, p);
}

void pv_copies_coordinator_run(struct pv_copies *c, pv_ns now)
{
    struct pv_copies_coordinator *s = &c->coordinator;
    if (!c->node->online || c->node->roster == NULL)
        return; /* online without a roster: a join is being stored */
    if (c->enabled && now >= s->collect_at) {
        s->collecting = false;
        s->collect_at = PV_NEVER;
        pv_copies_coordinator_news(c, now);
    }
    if (c->enabled && now >= s->recopy_at) {
        s->recopy_at = now + PV_COPIES_RECOPY_EVERY;
        (void)pv_copies_submit(c, pv_chatjob_new(PV_CHATJOB_RECOPY), PV_COPIES_JOB_RECOPY, 0);
    }
    while (!s->sending && s->n_waiting > 0 && now >= s->send_at) {
        memcpy(s->peer, s->waiting[0], sizeof(s->peer));
        memmove(s->waiting, s->waiting + 1, --s->n_waiting * sizeof(s->waiting[0]));
        const struct pv_peer *p = pv_peers_by_pk(c->node->peers, s->peer);
        /* The peer may be back or gone since it was put on the list: then the next one is tried at
         * once. */
        s->sending = p != NULL && is_away(p) && ask_for_list(c);
    }
}

pv_ns pv_copies_coordinator_next(const struct pv_copies *c)
{
    const struct pv_copies_coordinator *s = &c->coordinator;
    if (!c->enabled || !c->node->online || c->node->roster == NULL)
        return PV_NEVER;
    pv_ns next = pv_min_ns(s->refused ? PV_NEVER : s->collect_at, s->recopy_at);
    return pv_min_ns(next, s->n_waiting > 0 && !s->sending ? s->send_at : PV_NEVER);
}

void pv_copies_coordinator_done(struct pv_copies *c)
{
    stop_sending(c);
    free(c->coordinator.waiting);
}
