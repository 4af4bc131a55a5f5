/* SPDX-License-Identifier: MIT */
/* Stored copies: messages for peers that are away wait at the coordinator, sealed. */
#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "daemon/core/engine_int.h"
#include "proto/chat/parcel.h"

enum {
    AT_ONCE = 16,        /* messages taken out of the store at a time */
    MAX_WAITING = 16384, /* peers; PV_CHATLINK_MAX_PEERS */
};
#define SEND_RETRY    PV_S(60) /* ours: after an answer that may change by itself */
#define COLLECT_RETRY PV_S(60) /* ours: an answer or a commit that did not come */

static bool is_away(const struct pv_peer *p)
{
    return !p->is_static && p->presence == PV_PRESENCE_OFFLINE && pv_peer_reach(p) == PV_REACH_NO;
}

static struct pv_signal_route route_of(const struct pv_engine *e, const uint8_t *from,
                                       const uint8_t *to)
{
    struct pv_signal_route route;
    memcpy(route.network_id, pv_roster_network_id(e->node.roster), sizeof(route.network_id));
    memcpy(route.from, from, sizeof(route.from));
    memcpy(route.to, to, sizeof(route.to));
    return route;
}

/* --- sending --------------------------------------------------------------------------------- */

void pv_engine_keep_away(struct pv_engine *e, const struct pv_peer *p)
{
    struct pv_keep *k = &e->keep;
    if (!k->enabled || k->refused || !is_away(p))
        return;
    for (size_t i = 0; i < k->n_waiting; i++) {
        if (memcmp(k->waiting[i], p->pk, sizeof(k->waiting[i])) == 0)
            return;
    }
    if (k->n_waiting == k->cap) {
        size_t cap = k->cap == 0 ? 16 : 2 * k->cap;
        uint8_t(*grown)[32] = cap > MAX_WAITING ? NULL : realloc(k->waiting, cap * sizeof(*grown));
        if (grown == NULL)
            return; /* it is told again when it goes away the next time */
        k->waiting = grown;
        k->cap = cap;
    }
    memcpy(k->waiting[k->n_waiting++], p->pk, sizeof(k->waiting[0]));
}

static void stop_sending(struct pv_engine *e)
{
    e->keep.sending = false;
    e->keep.list = pv_chatjob_result_free(e->keep.list);
    e->keep.at = 0;
}

/* Once more, but not at once. */
static void send_later(struct pv_engine *e, pv_ns now)
{
    const struct pv_peer *p = pv_engine_peer_by_pk(e, e->keep.peer);
    stop_sending(e);
    e->keep.send_at = now + SEND_RETRY;
    if (p != NULL)
        pv_engine_keep_away(e, p);
}

static bool ask_for_list(struct pv_engine *e)
{
    struct pv_job *job = pv_job_new(PV_JOB_CHAT);
    struct pv_chatjob *chat = pv_chatjob_new(PV_CHATJOB_UNCOPIED);
    if (job == NULL || chat == NULL) {
        pv_chatjob_free(chat);
        pv_job_free(job);
        return false;
    }
    memcpy(chat->peer, e->keep.peer, sizeof(chat->peer));
    chat->limit = AT_ONCE;
    job->u.chat = chat;
    return pv_engine_job(e, job, PV_JP_UNKEPT, 0);
}

int pv_engine_seal_copy(struct pv_engine *e, const struct pv_peer *to,
                        const struct pv_chat_record *m, uint8_t *ret_box, size_t *ret_len)
{
    struct pv_signal_route route = route_of(e, e->node.identity->sign_pk, to->pk);
    const struct pv_parcel_keys keys = {
        .local = &e->noise, .remote = to->transport, .sk = e->node.identity->sign_sk};
    struct pv_parcel parcel = {
        .seq = m->seq, .time_ms = m->time_ms, .text = pv_view(m->text, strlen(m->text))};
    memcpy(parcel.id, m->id, sizeof(parcel.id));
    /* A list that was asked for another peer may come late: its texts are not for this one. */
    if (memcmp(m->peer, to->pk, sizeof(m->peer)) != 0)
        return PV_ERR_STATE;
    return pv_parcel_seal(&route, &keys, &e->node.rng, &parcel, ret_box, ret_len);
}

/* Seals the message under way and sends it; false: not now. */
static bool send_one(struct pv_engine *e, const struct pv_peer *p)
{
    const struct pv_chat_record *m = &e->keep.list->msgs[e->keep.at];
    struct pv_ctl_msg msg = {.type = PV_CTL_KEEP};
    uint8_t *box = malloc(PV_PARCEL_BOX_MAX);
    size_t len = 0;
    int r = box == NULL ? PV_ERR_NOMEM : pv_engine_seal_copy(e, p, m, box, &len);
    if (r == PV_OK) {
        memcpy(msg.u.keep.to, p->pk, sizeof(msg.u.keep.to));
        memcpy(msg.u.keep.key, m->id, sizeof(msg.u.keep.key));
        msg.u.keep.box = pv_view(box, len);
        r = pv_coordclient_request(e->node.coord, &msg, PV_CP_TAG(PV_CP_KEEP, 0));
    }
    free(box);
    if (r != PV_OK)
        pv_log(e->node.log, PV_LOG_WARN, "peer=%s what=\"copy not stored\" why=\"%s\"", p->name,
               pv_strstatus(r));
    return r == PV_OK;
}

/* The next message of the list, the next list, or the next peer. */
static void go_on(struct pv_engine *e, pv_ns now)
{
    struct pv_keep *k = &e->keep;
    const struct pv_peer *p = pv_engine_peer_by_pk(e, k->peer);
    if (p == NULL || !is_away(p)) { /* it is back: what waits goes there directly */
        stop_sending(e);
        return;
    }
    if (k->at < k->list->n_msgs) {
        if (!send_one(e, p))
            send_later(e, now);
        return;
    }
    bool more = k->list->more;
    stop_sending(e);
    if (more)
        pv_engine_keep_away(e, p);
}

void pv_engine_keep_listed(struct pv_engine *e, struct pv_job_result *result, pv_ns now)
{
    struct pv_keep *k = &e->keep;
    if (!k->sending || k->list != NULL)
        return;
    if (result->status != PV_OK || result->chat == NULL || !e->node.online) {
        send_later(e, now);
        return;
    }
    k->list = result->chat;
    result->chat = NULL;
    k->at = 0;
    go_on(e, now);
    pv_engine_keep_run(e, now);
}

static void note_kept(struct pv_engine *e, const struct pv_chat_record *m)
{
    struct pv_job *job = pv_job_new(PV_JOB_CHAT);
    struct pv_chatjob *chat = pv_chatjob_new(PV_CHATJOB_COPIED);
    if (chat != NULL)
        chat->ids = calloc(1, sizeof(*chat->ids));
    if (job == NULL || chat == NULL ||
        chat->ids == NULL) { /* it is stored once more: the same key, no harm */
        pv_chatjob_free(chat);
        pv_job_free(job);
        return;
    }
    memcpy(chat->peer, m->peer, sizeof(chat->peer));
    memcpy(chat->ids[0], m->id, sizeof(chat->ids[0]));
    chat->n_ids = 1;
    job->u.chat = chat;
    pv_engine_job(e, job, PV_JP_KEPT, 0);
}

void pv_engine_keep_answer(struct pv_engine *e, const struct pv_ctl_msg *msg, pv_ns now)
{
    struct pv_keep *k = &e->keep;
    if (!k->sending || k->list == NULL || k->at >= k->list->n_msgs)
        return;
    if (msg->type == PV_CTL_DONE) {
        note_kept(e, &k->list->msgs[k->at++]);
        go_on(e, now);
        pv_engine_keep_run(e, now);
        return;
    }
    enum pv_ctl_error error =
        msg->type == PV_CTL_ERROR ? msg->u.failure.error : PV_CTL_E_BAD_REQUEST;
    pv_log(e->node.log, PV_LOG_INFO, "what=\"copy not stored\" why=%s", pv_ctl_error_word(error));
    if (error == PV_CTL_E_UNKNOWN_REQUEST || error == PV_CTL_E_NOT_ALLOWED) {
        k->refused = true;
        stop_sending(e);
    } else if (error == PV_CTL_E_UNKNOWN_NODE || error == PV_CTL_E_BAD_REQUEST) {
        stop_sending(e);
    } else {
        send_later(e, now); /* the messages behind it wait too: order is kept */
    }
}

void pv_engine_keep_run(struct pv_engine *e, pv_ns now)
{
    struct pv_keep *k = &e->keep;
    if (k->enabled && e->node.online && now >= k->collect_at) {
        k->collecting = false;
        pv_engine_keep_news(e, now);
    }
    while (!k->sending && k->n_waiting > 0 && now >= k->send_at && e->node.online &&
           e->node.roster != NULL) {
        memcpy(k->peer, k->waiting[0], sizeof(k->peer));
        memmove(k->waiting, k->waiting + 1, --k->n_waiting * sizeof(k->waiting[0]));
        const struct pv_peer *p = pv_engine_peer_by_pk(e, k->peer);
        k->sending = p != NULL && is_away(p) && ask_for_list(e);
    }
}

pv_ns pv_engine_keep_timeout(const struct pv_engine *e)
{
    const struct pv_keep *k = &e->keep;
    if (!k->enabled || !e->node.online || e->node.roster == NULL)
        return PV_NEVER; /* online without a roster: a join is being stored */
    pv_ns next = k->refused ? PV_NEVER : k->collect_at;
    return pv_min_ns(next, k->n_waiting > 0 && !k->sending ? k->send_at : PV_NEVER);
}

/* --- collecting ------------------------------------------------------------------------------ */

static void collect(struct pv_engine *e, uint64_t after, uint64_t taken, pv_ns now)
{
    struct pv_ctl_msg msg = {.type = PV_CTL_COLLECT};
    msg.u.collect = (struct pv_ctl_collect){.after = after, .taken = taken};
    e->keep.collecting = true;
    e->keep.collect_at = now + COLLECT_RETRY;
    int r = pv_coordclient_request(e->node.coord, &msg, PV_CP_TAG(PV_CP_COLLECT, 0));
    if (r != PV_OK)
        pv_log(e->node.log, PV_LOG_DEBUG, "what=\"copies not asked for\" why=\"%s\"",
               pv_strstatus(r));
}

void pv_engine_keep_news(struct pv_engine *e, pv_ns now)
{
    if (!e->keep.enabled || e->keep.refused || e->node.roster == NULL)
        return;
    if (e->keep.collecting)
        e->keep.again = true;
    else
        collect(e, 0, 0, now);
}

int pv_engine_open_copy(struct pv_engine *e, const uint8_t *from, struct pv_view box,
                        uint64_t number, pv_ns now)
{
    struct pv_signal_route route = route_of(e, from, e->node.identity->sign_pk);
    const struct pv_member *m = pv_roster_known(e->node.roster, from);
    struct pv_parcel parcel;
    if (m == NULL)
        return PV_ERR_AGAIN;
    if (m->state == PV_MEMBER_REVOKED)
        return PV_ERR_REFUSED;
    uint8_t *buf = malloc(PV_PARCEL_CONTENT_MAX);
    int r = buf == NULL ? PV_ERR_NOMEM : pv_parcel_open(&route, &e->noise, box, buf, &parcel);
    if (r == PV_OK) {
        const struct pv_chatlink_copy out = {.pk = from,
                                             .name = m->name,
                                             .id = parcel.id,
                                             .seq = parcel.seq,
                                             .time_ms = parcel.time_ms,
                                             .text = parcel.text,
                                             .number = number};
        r = pv_chatlink_take_copy(e->chat, &out, now);
    }
    if (buf != NULL)
        pv_wipe(buf, PV_PARCEL_CONTENT_MAX);
    free(buf);
    return r;
}

void pv_engine_keep_parcel(struct pv_engine *e, const struct pv_ctl_msg *msg, pv_ns now)
{
    struct pv_keep *k = &e->keep;
    if (!k->collecting || e->node.roster == NULL)
        return;
    if (msg->type != PV_CTL_PARCEL) {
        bool never =
            msg->type == PV_CTL_ERROR && (msg->u.failure.error == PV_CTL_E_UNKNOWN_REQUEST ||
                                          msg->u.failure.error == PV_CTL_E_NOT_ALLOWED);
        k->refused = k->refused || never;
        k->collect_at = never ? PV_NEVER : now + COLLECT_RETRY;
        return;
    }
    const struct pv_ctl_parcel *in = &msg->u.parcel;
    if (in->n == 0) {
        bool again = k->again;
        k->again = k->collecting = false;
        k->collect_at = PV_NEVER;
        if (again)
            collect(e, 0, 0, now);
        return;
    }
    int r = pv_engine_open_copy(e, in->from, in->box, in->n, now);
    if (r == PV_OK || r == PV_ERR_NOMEM || r == PV_ERR_LIMIT)
        return; /* goes on when it is on disk, or later */
    pv_log(e->node.log, PV_LOG_WARN, "what=\"stored copy refused\" why=\"%s\"", pv_strstatus(r));
    collect(e, in->n, r == PV_ERR_AGAIN ? 0 : in->n, now);
}

void pv_engine_keep_committed(struct pv_engine *e, uint64_t number, int status, pv_ns now)
{
    if (status == PV_OK && e->keep.collecting && e->node.online)
        collect(e, number, number, now);
}

/* --- life ------------------------------------------------------------------------------------ */

void pv_engine_keep_online(struct pv_engine *e, pv_ns now)
{
    e->keep.refused = e->keep.collecting = e->keep.again = false;
    e->keep.send_at = now;
    pv_engine_keep_news(e, now);
}

void pv_engine_keep_offline(struct pv_engine *e)
{
    const struct pv_peer *p = e->keep.sending ? pv_engine_peer_by_pk(e, e->keep.peer) : NULL;
    stop_sending(e);
    e->keep.collecting = e->keep.again = false;
    e->keep.collect_at = PV_NEVER;
    if (p != NULL)
        pv_engine_keep_away(e, p);
}

void pv_engine_keep_done(struct pv_engine *e)
{
    stop_sending(e);
    free(e->keep.waiting);
    e->keep.waiting = NULL;
}
