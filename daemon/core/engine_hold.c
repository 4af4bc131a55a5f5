/* SPDX-License-Identifier: MIT */
/*
 * Members' copies: while the coordinator is away, members that are willing keep sealed copies of
 * messages for members that are away. Three parts: the sender's, the holder's, the receiver's.
 */
#include <stdlib.h>
#include <string.h>

#include "crypto/hash.h"
#include "daemon/core/engine_int.h"
#include "proto/chat/copy.h"

enum {
    HOLDERS = 2,     /* copies of one message */
    FRAME_RATE = 50, /* frames a second and peer; more closes its connections */
    FRAME_BURST = 400,
};
#define LOOK_AFTER PV_S(10)            /* ours: so long the coordinator may be gone first */
#define LOOK_EVERY PV_S(15)            /* ours */
#define PATIENCE   PV_S(20)            /* ours: with the other side's answer, connecting included */
#define NUMBER_BIT (UINT64_C(1) << 63) /* the coordinator's numbers are below it */

static bool is_there(const struct pv_peer *p)
{
    return pv_peer_reach(p) == PV_REACH_PATH;
}

/* --- frames and jobs ----------------------------------------------------------------------- */

static int say(struct pv_engine *e, const uint8_t *pk, const struct pv_copy_frame *f)
{
    size_t len = 0;
    char *line = malloc(PV_CHAT_LINE_MAX);
    int r = line == NULL ? PV_ERR_NOMEM : pv_copy_frame_write(f, line, &len);
    if (r == PV_OK)
        r = pv_chatlink_say(e->chat, pk, pv_view(line, len));
    free(line);
    return r;
}

/* A frame without a box. */
static int say_short(struct pv_engine *e, const uint8_t *pk, enum pv_copy_kind kind,
                     const uint8_t *node, const uint8_t *key, bool yes)
{
    struct pv_copy_frame *f = calloc(1, sizeof(*f));
    if (f == NULL)
        return PV_ERR_NOMEM;
    f->kind = kind;
    f->yes = yes;
    memcpy(f->node, node, sizeof(f->node));
    memcpy(f->key, key, sizeof(f->key));
    int r = say(e, pk, f);
    free(f);
    return r;
}

/* Wants a connection; what is to be said is said when it is there. */
static void connect(struct pv_engine *e, struct pv_peer *p, pv_ns now)
{
    if (pv_chatlink_want(e->chat, p->pk, now) != PV_OK)
        return;
    pv_peer_want(p, "a copy of a message", now);
    pv_engine_touch(e, p, now);
}

static struct pv_chatjob *job_new(enum pv_copyjob_kind kind)
{
    struct pv_chatjob *job = pv_chatjob_new(PV_CHATJOB_COPIES);
    if (job != NULL)
        job->copies = calloc(1, sizeof(*job->copies));
    if (job == NULL || job->copies == NULL)
        return pv_chatjob_free(job);
    job->copies->kind = kind;
    return job;
}

static void drop_copy(struct pv_engine *e, const uint8_t *from, const uint8_t *to,
                      const uint8_t *key)
{
    struct pv_chatjob *job = job_new(PV_COPYJOB_DROP);
    if (job != NULL) {
        memcpy(job->copies->from, from, sizeof(job->copies->from));
        memcpy(job->copies->to, to, sizeof(job->copies->to));
        memcpy(job->copies->key, key, sizeof(job->copies->key));
    }
    pv_engine_chat_job(e, job, PV_JP_HOLD_DONE, 0);
}

/* --- sender -------------------------------------------------------------------------------- */

static bool is_holder(const struct pv_peer *p)
{
    return !p->is_static && is_there(p) && p->descx.theirs.gen != 0 &&
           (p->remote.caps & PV_DESC_CAP_HOLD) != 0;
}

/* The same two of several, whoever asks when: copies of one receiver lie together. */
static uint64_t score(const uint8_t *to, const uint8_t *holder)
{
    uint8_t hash[PV_BLAKE2B_LEN];
    pv_blake2b(hash, pv_view(to, 32), pv_view(holder, 32), pv_view(NULL, 0));
    return pv_load_be64(hash);
}

static void add_tasks(struct pv_engine *e, const struct pv_peer *to)
{
    const struct pv_peer *best[HOLDERS] = {NULL};
    struct pv_hold *h = &e->hold;
    struct pv_peer *p;
    for (p = NULL; (p = pv_peers_next_member(e->node.peers, p)) != NULL;) {
        const struct pv_peer *in = p;
        if (p == to || !is_holder(p))
            continue;
        for (size_t i = 0; i < HOLDERS && in != NULL; i++) {
            const struct pv_peer *out = best[i];
            if (out == NULL || score(to->pk, in->pk) < score(to->pk, out->pk)) {
                best[i] = in;
                in = out;
            }
        }
    }
    for (size_t i = 0; i < HOLDERS; i++) {
        if (best[i] == NULL || h->n_tasks == PV_ARRAY_LEN(h->tasks))
            continue;
        memcpy(h->tasks[h->n_tasks].to, to->pk, sizeof(h->tasks[0].to));
        memcpy(h->tasks[h->n_tasks++].holder, best[i]->pk, sizeof(h->tasks[0].holder));
    }
}

static void handle_backlog(struct pv_engine *e, const struct pv_job_result *result, pv_ns now)
{
    e->hold.looking = false;
    for (size_t i = 0; result->status == PV_OK && result->chat != NULL &&
                       i < result->chat->n_backlog && !e->node.online;
         i++) {
        const struct pv_chat_backlog *b = &result->chat->backlog[i];
        const struct pv_peer *p = pv_engine_peer_by_pk(e, b->peer);
        if (b->queued > 0 && p != NULL && !p->is_static && !is_there(p))
            add_tasks(e, p);
    }
    pv_engine_hold_run(e, now);
}

static void end_task(struct pv_engine *e)
{
    struct pv_hold *h = &e->hold;
    h->list = pv_chatjob_result_free(h->list);
    h->at = 0;
    if (h->sending && h->n_tasks > 0)
        memmove(h->tasks, h->tasks + 1, --h->n_tasks * sizeof(h->tasks[0]));
    h->sending = false;
    h->answer_by = PV_NEVER;
}

static void begin_task(struct pv_engine *e, pv_ns now)
{
    struct pv_hold *h = &e->hold;
    struct pv_chatjob *job = job_new(PV_COPYJOB_MISSING);
    if (job != NULL) {
        memcpy(job->copies->to, h->tasks[0].to, sizeof(job->copies->to));
        memcpy(job->copies->holder, h->tasks[0].holder, sizeof(job->copies->holder));
    }
    h->sending = true;
    h->answer_by = now + PATIENCE;
    if (!pv_engine_chat_job(e, job, PV_JP_HOLD_LIST, 0))
        end_task(e);
}

/* Seals and sends the message under way, or wants the connection for it. */
static void send_copy(struct pv_engine *e, pv_ns now)
{
    struct pv_hold *h = &e->hold;
    struct pv_peer *to = pv_engine_peer_by_pk(e, h->tasks[0].to);
    struct pv_peer *holder = pv_engine_peer_by_pk(e, h->tasks[0].holder);
    struct pv_copy_frame *f = calloc(1, sizeof(*f));
    if (f == NULL || to == NULL || holder == NULL || is_there(to) ||
        pv_engine_seal_copy(e, to, &h->list->msgs[h->at], f->box, &f->box_len) != PV_OK) {
        free(f);
        end_task(e);
        return;
    }
    f->kind = PV_COPY_KEEP;
    memcpy(f->key, h->list->msgs[h->at].id, sizeof(f->key));
    memcpy(f->node, to->pk, sizeof(f->node));
    if (say(e, holder->pk, f) == PV_ERR_NOT_FOUND)
        connect(e, holder, now);
    h->answer_by = now + PATIENCE;
    free(f);
}

static void handle_listed(struct pv_engine *e, struct pv_job_result *result, pv_ns now)
{
    struct pv_hold *h = &e->hold;
    if (!h->sending || h->list != NULL)
        return;
    if (result->status != PV_OK || result->chat == NULL || result->chat->n_msgs == 0) {
        end_task(e);
    } else {
        h->list = result->chat;
        result->chat = NULL;
        h->at = 0;
        send_copy(e, now);
    }
    pv_engine_hold_run(e, now);
}

/* The holder has it, or will not. */
static void handle_kept(struct pv_engine *e, const struct pv_peer *p, const struct pv_copy_frame *f,
                        pv_ns now)
{
    struct pv_hold *h = &e->hold;
    if (!h->sending || h->list == NULL || memcmp(p->pk, h->tasks[0].holder, 32) != 0 ||
        memcmp(f->key, h->list->msgs[h->at].id, sizeof(f->key)) != 0)
        return;
    if (!f->yes) {
        pv_log(e->node.log, PV_LOG_INFO, "peer=%s what=\"copy not held\"", p->name);
        end_task(e);
        return;
    }
    struct pv_chatjob *job = job_new(PV_COPYJOB_PLACED);
    if (job != NULL) {
        memcpy(job->copies->to, h->tasks[0].to, sizeof(job->copies->to));
        memcpy(job->copies->holder, p->pk, sizeof(job->copies->holder));
        memcpy(job->copies->key, f->key, sizeof(job->copies->key));
    }
    pv_engine_chat_job(e, job, PV_JP_KEPT, 0);
    if (++h->at < h->list->n_msgs)
        send_copy(e, now);
    else if (h->list->more) {
        h->list = pv_chatjob_result_free(h->list);
        begin_task(e, now);
    } else {
        end_task(e);
    }
}

/* Messages of which a holder has copies have been delivered: it need not keep them. */
static void handle_over(struct pv_engine *e, uint32_t id, const struct pv_job_result *result)
{
    const struct pv_peer *p = pv_engine_peer_by_id(e, id);
    for (size_t i = 0;
         p != NULL && result->status == PV_OK && result->chat != NULL && i < result->chat->n_msgs;
         i++) {
        const struct pv_chat_record *m = &result->chat->msgs[i];
        (void)!say_short(e, p->pk, PV_COPY_DROP, m->peer, m->id, true); /* lost: it expires */
    }
}

/* --- holder -------------------------------------------------------------------------------- */

static void handle_keep(struct pv_engine *e, const struct pv_peer *p, const struct pv_copy_frame *f)
{
    struct pv_hold *h = &e->hold;
    const struct pv_member *to = pv_roster_known(e->node.roster, f->node);
    size_t i = 0;
    while (i < PV_ARRAY_LEN(h->puts) && h->puts[i].used)
        i++;
    struct pv_chatjob *job = NULL;
    if (h->willing && i < PV_ARRAY_LEN(h->puts) && to != NULL && to->state == PV_MEMBER_ACTIVE &&
        memcmp(f->node, p->pk, 32) != 0 && memcmp(f->node, e->node.identity->sign_pk, 32) != 0)
        job = job_new(PV_COPYJOB_PUT);
    if (job != NULL)
        job->copies->box = malloc(f->box_len);
    if (job == NULL || job->copies->box == NULL) {
        pv_chatjob_free(job);
        h->refused++;
        (void)!say_short(e, p->pk, PV_COPY_KEPT, f->node, f->key, false);
        return;
    }
    memcpy(job->copies->box, f->box, f->box_len);
    job->copies->box_len = f->box_len;
    job->copies->wall_s = e->hold.wall_s;
    memcpy(job->copies->from, p->pk, sizeof(job->copies->from));
    memcpy(job->copies->to, f->node, sizeof(job->copies->to));
    memcpy(job->copies->key, f->key, sizeof(job->copies->key));
    h->puts[i].used = true;
    memcpy(h->puts[i].from, p->pk, sizeof(h->puts[i].from));
    memcpy(h->puts[i].to, f->node, sizeof(h->puts[i].to));
    memcpy(h->puts[i].key, f->key, sizeof(h->puts[i].key));
    if (!pv_engine_chat_job(e, job, PV_JP_HOLD_PUT, i))
        h->puts[i].used = false;
}

/* Hands the receiver the next copy that is held for it; one at a time. */
void pv_engine_hold_give(struct pv_engine *e, const struct pv_peer *p, pv_ns now)
{
    struct pv_hold *h = &e->hold;
    size_t slot = SIZE_MAX;
    if (h->total == 0 || p->is_static)
        return;
    for (size_t i = 0; i < PV_ARRAY_LEN(h->gives); i++) {
        bool over = !h->gives[i].used || h->gives[i].by <= now;
        if (h->gives[i].peer == p->id && !over)
            return;
        if (over && slot == SIZE_MAX)
            slot = i;
    }
    struct pv_chatjob *job = slot == SIZE_MAX ? NULL : job_new(PV_COPYJOB_NEXT);
    if (job == NULL)
        return; /* when it comes the next time */
    memcpy(job->copies->to, p->pk, sizeof(job->copies->to));
    h->gives[slot].used = true;
    h->gives[slot].peer = p->id;
    h->gives[slot].n = 0;
    h->gives[slot].by = now + PATIENCE;
    pv_engine_chat_job(e, job, PV_JP_HOLD_NEXT, slot);
}

static void handle_next(struct pv_engine *e, size_t slot, const struct pv_job_result *result,
                        pv_ns now)
{
    struct pv_hold *h = &e->hold;
    struct pv_peer *p = pv_engine_peer_by_id(e, h->gives[slot].peer);
    const struct pv_stored_copy *copy =
        result->status == PV_OK && result->chat != NULL ? &result->chat->copies->copy : NULL;
    struct pv_copy_frame *f = p == NULL || copy == NULL || copy->n == 0 ? NULL : malloc(sizeof(*f));
    h->gives[slot].used = false;
    if (f == NULL)
        return;
    f->kind = PV_COPY_DELIVER;
    memcpy(f->key, copy->key, sizeof(f->key));
    memcpy(f->node, copy->from, sizeof(f->node));
    memcpy(f->box, copy->box, copy->box_len);
    f->box_len = copy->box_len;
    int r = say(e, p->pk, f);
    free(f);
    if (r == PV_ERR_NOT_FOUND)
        connect(e, p, now);
    if (r != PV_OK)
        return;
    h->gives[slot].used = true;
    h->gives[slot].n = copy->n;
    h->gives[slot].by = now + PATIENCE;
}

static void handle_taken(struct pv_engine *e, const struct pv_peer *p,
                         const struct pv_copy_frame *f, pv_ns now)
{
    struct pv_hold *h = &e->hold;
    for (size_t i = 0; i < PV_ARRAY_LEN(h->gives); i++) {
        if (!h->gives[i].used || h->gives[i].peer != p->id || h->gives[i].n == 0)
            continue;
        if (f->yes)
            drop_copy(e, f->node, p->pk, f->key);
        struct pv_chatjob *job = job_new(PV_COPYJOB_NEXT);
        if (job != NULL) {
            memcpy(job->copies->to, p->pk, sizeof(job->copies->to));
            job->copies->n = h->gives[i].n;
        }
        h->gives[i].n = 0;
        h->gives[i].by = now + PATIENCE;
        pv_engine_chat_job(e, job, PV_JP_HOLD_NEXT, i);
        return;
    }
}

static void handle_put(struct pv_engine *e, size_t i, const struct pv_job_result *result, pv_ns now)
{
    struct pv_hold_put *put = &e->hold.puts[i];
    struct pv_peer *to = pv_engine_peer_by_pk(e, put->to);
    bool yes = result->status == PV_OK;
    put->used = false;
    e->hold.refused += !yes;
    (void)!say_short(e, put->from, PV_COPY_KEPT, put->to, put->key, yes);
    if (yes && to != NULL && is_there(to))
        pv_engine_hold_give(e, to, now);
}

/* --- receiver ------------------------------------------------------------------------------ */

static void handle_deliver(struct pv_engine *e, const struct pv_peer *p,
                           const struct pv_copy_frame *f, pv_ns now)
{
    struct pv_hold *h = &e->hold;
    size_t i = 0;
    while (i < PV_ARRAY_LEN(h->takes) && h->takes[i].number != 0)
        i++;
    if (i == PV_ARRAY_LEN(h->takes))
        return; /* too many at once: the holder tries again */
    uint64_t number = NUMBER_BIT | ++h->last_number;
    int r = pv_engine_open_copy(e, f->node, pv_view(f->box, f->box_len), number, now);
    if (r == PV_OK) {
        h->takes[i].number = number;
        memcpy(h->takes[i].holder, p->pk, sizeof(h->takes[i].holder));
        memcpy(h->takes[i].from, f->node, sizeof(h->takes[i].from));
        memcpy(h->takes[i].key, f->key, sizeof(h->takes[i].key));
    } else if (r != PV_ERR_NOMEM && r != PV_ERR_LIMIT) {
        /* Not from its author, or not for us: of no use to anybody. An author who is not known yet
         * may become known. */
        pv_log(e->node.log, PV_LOG_WARN, "peer=%s what=\"held copy refused\" why=\"%s\"", p->name,
               pv_strstatus(r));
        h->forged += r != PV_ERR_AGAIN;
        (void)!say_short(e, p->pk, PV_COPY_TAKEN, f->node, f->key, r != PV_ERR_AGAIN);
    }
}

bool pv_engine_hold_committed(struct pv_engine *e, uint64_t number, int status)
{
    struct pv_hold *h = &e->hold;
    for (size_t i = 0; i < PV_ARRAY_LEN(h->takes); i++) {
        if (h->takes[i].number != number)
            continue;
        h->takes[i].number = 0;
        if (status == PV_OK)
            (void)!say_short(e, h->takes[i].holder, PV_COPY_TAKEN, h->takes[i].from,
                             h->takes[i].key, true);
        break;
    }
    return (number & NUMBER_BIT) != 0;
}

/* --- results ------------------------------------------------------------------------------- */

void pv_engine_hold_job(struct pv_engine *e, const struct pv_job_wait *wait,
                        struct pv_job_result *result, pv_ns now)
{
    if (result->chat != NULL && result->chat->copies != NULL)
        e->hold.total = result->chat->copies->total;
    if (wait->purpose == PV_JP_HOLD_BACKLOG)
        handle_backlog(e, result, now);
    else if (wait->purpose == PV_JP_HOLD_LIST)
        handle_listed(e, result, now);
    else if (wait->purpose == PV_JP_HOLD_PUT)
        handle_put(e, (size_t)wait->arg, result, now);
    else if (wait->purpose == PV_JP_HOLD_NEXT)
        handle_next(e, (size_t)wait->arg, result, now);
    else if (wait->purpose == PV_JP_HOLD_OVER)
        handle_over(e, (uint32_t)wait->arg, result);
}

/* --- all ----------------------------------------------------------------------------------- */

void pv_engine_hold_line(struct pv_engine *e, const struct pv_chatlink_event *ev, pv_ns now)
{
    struct pv_peer *p = pv_engine_peer_by_pk(e, ev->msg.peer);
    struct pv_copy_frame *f = p == NULL || e->node.roster == NULL ? NULL : malloc(sizeof(*f));
    if (f == NULL)
        return;
    e->hold.wall_s = pv_engine_wall_s(e, now);
    int r = pv_copy_frame_parse(pv_view(ev->msg.text, strlen(ev->msg.text)), f);
    bool flood = !pv_bucket_take(&p->copies, FRAME_RATE, FRAME_BURST, 1, now);
    if (flood || (r < 0 && r != PV_ERR_NOMEM)) {
        e->hold.bad_frames++;
        pv_chatlink_refuse(e->chat, p->pk, now);
    } else if (r == PV_OK && f->kind == PV_COPY_KEEP) {
        handle_keep(e, p, f);
    } else if (r == PV_OK && f->kind == PV_COPY_KEPT) {
        handle_kept(e, p, f, now);
    } else if (r == PV_OK && f->kind == PV_COPY_DROP) {
        drop_copy(e, p->pk, f->node, f->key);
    } else if (r == PV_OK && f->kind == PV_COPY_DELIVER) {
        handle_deliver(e, p, f, now);
    } else if (r == PV_OK) {
        handle_taken(e, p, f, now);
    }
    free(f);
}

void pv_engine_hold_up(struct pv_engine *e, const uint8_t *pk, pv_ns now)
{
    struct pv_hold *h = &e->hold;
    const struct pv_peer *p = pv_engine_peer_by_pk(e, pk);
    if (p == NULL)
        return;
    if (h->sending && h->list != NULL && memcmp(h->tasks[0].holder, pk, 32) == 0)
        send_copy(e, now);
    pv_engine_hold_give(e, p, now);
    struct pv_chatjob *job = job_new(PV_COPYJOB_OVER);
    if (job != NULL)
        memcpy(job->copies->holder, pk, sizeof(job->copies->holder));
    pv_engine_chat_job(e, job, PV_JP_HOLD_OVER, p->id);
}

void pv_engine_hold_run(struct pv_engine *e, pv_ns now)
{
    struct pv_hold *h = &e->hold;
    if (!h->counted) {
        h->counted = true;
        pv_engine_chat_job(e, job_new(PV_COPYJOB_COUNT), PV_JP_HOLD_DONE, 0);
    }
    if (h->sending && now >= h->answer_by)
        end_task(e);
    if (!e->keep.enabled || e->node.roster == NULL || e->node.online) {
        h->look_at = PV_NEVER;
        return;
    }
    if (h->look_at == PV_NEVER)
        h->look_at = now + LOOK_AFTER;
    if (now >= h->look_at && !h->looking && h->n_tasks == 0) {
        h->look_at = now + LOOK_EVERY;
        h->looking =
            pv_engine_chat_job(e, pv_chatjob_new(PV_CHATJOB_COUNTS), PV_JP_HOLD_BACKLOG, 0);
    }
    if (!h->sending && h->n_tasks > 0)
        begin_task(e, now);
}

pv_ns pv_engine_hold_timeout(const struct pv_engine *e)
{
    const struct pv_hold *h = &e->hold;
    bool looks = !h->looking && h->n_tasks == 0;
    return pv_min_ns(looks ? h->look_at : PV_NEVER, h->sending ? h->answer_by : PV_NEVER);
}

void pv_engine_hold_done(struct pv_engine *e)
{
    e->hold.list = pv_chatjob_result_free(e->hold.list);
}
