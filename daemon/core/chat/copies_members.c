/* SPDX-License-Identifier: MIT */
/*
 * copies_members.c - copies at members, while the coordinator is away. A node has three roles here:
 * sender (whose messages wait), holder (who keeps copies for others), receiver (who is handed them
 * by holders). What they say to each other are frames on chat's connections (copy.h).
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "crypto/hash.h"
#include "daemon/core/chat/copies_int.h"
#include "daemon/core/member/sealkeys.h"
#include "proto/control/desc.h"

enum {
    SLOT_BITS = 8, /* of a NEXT job's argument; the receiver's id stands above */
};
_Static_assert(PV_COPIES_GIVES <= 1 << SLOT_BITS, "a slot's number fits");

#define LOOK_AFTER PV_S(10)            /* ours: so long the coordinator may be gone first */
#define LOOK_EVERY PV_S(15)            /* ours */
#define PATIENCE   PV_S(20)            /* ours: with an answer, connecting included */
#define NUMBER_BIT (UINT64_C(1) << 63) /* the coordinator's numbers are below it */

/* Only a path counts: the coordinator, which could say more, is away. */
static bool is_there(const struct pv_peer *p)
{
    return pv_peer_reach(p) == PV_REACH_PATH;
}

/* --- frames and jobs ------------------------------------------------------------------------- */

static int say(struct pv_copies *c, const uint8_t *pk, const struct pv_copy_frame *f)
{
    size_t len = 0;
    char *line = malloc(PV_CHAT_LINE_MAX);
    int r = line == NULL ? PV_ERR_NOMEM : pv_copy_frame_write(f, line, &len);
    if (r == PV_OK)
        r = pv_chatlink_say(c->node->chatlink, pk, pv_view(line, len));
    free(line);
    return r;
}

/* A frame without a box. One that is lost is repeated by whoever waits for its answer. */
static void say_short(struct pv_copies *c, const uint8_t *pk, enum pv_copy_kind kind,
                      const uint8_t *node, const uint8_t *key, bool yes)
{
    struct pv_copy_frame *f = calloc(1, sizeof(*f));
    if (f == NULL)
        return;
    f->kind = kind;
    f->yes = yes;
    memcpy(f->node, node, sizeof(f->node));
    memcpy(f->key, key, sizeof(f->key));
    (void)!say(c, pk, f);
    free(f);
}

/* Wants a connection; what is to be said is said when it is there. */
static void want_connection(struct pv_copies *c, struct pv_peer *p, pv_ns now)
{
    if (pv_chatlink_want(c->node->chatlink, pv_peer_pk(p), now) != PV_OK)
        return;
    pv_peer_want(p, "a copy of a message", now);
    pv_peers_touch(c->node->peers, p, now);
}

static void drop_copy(struct pv_copies *c, const uint8_t *from, const uint8_t *to,
                      const uint8_t *key)
{
    struct pv_chatjob *job = pv_copies_job_new(PV_COPYJOB_DROP);
    if (job != NULL) {
        memcpy(job->copies->from, from, sizeof(job->copies->from));
        memcpy(job->copies->to, to, sizeof(job->copies->to));
        memcpy(job->copies->key, key, sizeof(job->copies->key));
    }
    (void)pv_copies_submit(c, job, PV_COPIES_JOB_NONE, 0);
}

/* --- sender ---------------------------------------------------------------------------------- */

static bool is_holder(const struct pv_peer *p)
{
    const struct pv_desc *remote = pv_peer_remote(p);
    return is_there(p) && remote != NULL && (remote->caps & PV_DESC_CAP_HOLD) != 0;
}

/* The same two of several, whoever asks when: copies of one receiver lie together. */
static uint64_t score(const struct pv_peer *to, const struct pv_peer *holder)
{
    uint8_t hash[PV_BLAKE2B_LEN];
    pv_blake2b(hash, pv_view(pv_peer_pk(to), PV_SIGN_PK_LEN),
               pv_view(pv_peer_pk(holder), PV_SIGN_PK_LEN), pv_view(NULL, 0));
    return pv_load_be64(hash);
}

static void add_tasks(struct pv_copies *c, const struct pv_peer *to)
{
    const struct pv_peer *best[PV_COPIES_HOLDERS] = {NULL}; /* by score, lowest first */
    struct pv_copies_members *s = &c->members;
    for (struct pv_peer *p = NULL; (p = pv_peers_next_member(c->node->peers, p)) != NULL;) {
        const struct pv_peer *in = p;
        /* One pass keeps the best few: a holder that is pushed out of its place moves on to the
         * next. */
        if (p == to || !is_holder(p))
            continue;
        for (size_t i = 0; i < PV_COPIES_HOLDERS && in != NULL; i++) {
            const struct pv_peer *out = best[i];
            if (out == NULL || score(to, in) < score(to, out)) {
                best[i] = in;
                in = out;
            }
        }
    }
    for (size_t i = 0; i < PV_COPIES_HOLDERS; i++) {
        if (best[i] == NULL || s->n_tasks == PV_COPIES_TASKS)
            continue;
        memcpy(s->tasks[s->n_tasks].to, pv_peer_pk(to), sizeof(s->tasks[0].to));
        memcpy(s->tasks[s->n_tasks++].holder, pv_peer_pk(best[i]), sizeof(s->tasks[0].holder));
    }
}

static void take_backlog(struct pv_copies *c, const struct pv_job_result *result)
{
    c->members.looking = false;
    /* The coordinator may have come back while the store looked, and it comes first. */
    if (result->status != PV_OK || result->chat == NULL || c->node->online)
        return;
    for (size_t i = 0; i < result->chat->n_backlog; i++) {
        const struct pv_chat_backlog *b = &result->chat->backlog[i];
        const struct pv_peer *p = pv_peers_by_pk(c->node->peers, b->peer);
        /* Chat itself delivers to a receiver with a path. */
        if (b->queued > 0 && p != NULL && !is_there(p) && pv_copies_may_seal(c, p))
            add_tasks(c, p);
    }
}

static void end_task(struct pv_copies *c)
{
    struct pv_copies_members *s = &c->members;
    s->list = pv_chatjob_result_free(s->list);
    s->at = 0;
    /* A task that failed is not kept: the next look at the backlog makes it again if it is still
     * needed. */
    if (s->sending && s->n_tasks > 0)
        memmove(s->tasks, s->tasks + 1, --s->n_tasks * sizeof(s->tasks[0]));
    s->sending = false;
    s->answer_by = PV_NEVER;
}

/* The holder is silent, or the store is. A silent holder would hold up each receiver's messages: it
 * is passed over for the rest of this round. */
static void give_up_task(struct pv_copies *c)
{
    struct pv_copies_members *s = &c->members;
    bool asked = s->list != NULL;
    uint8_t silent[PV_SIGN_PK_LEN];
    size_t kept = 0;
    memcpy(silent, s->tasks[0].holder, sizeof(silent));
    end_task(c);
    for (size_t i = 0; i < s->n_tasks; i++) {
        if (!asked || memcmp(s->tasks[i].holder, silent, sizeof(silent)) != 0)
            s->tasks[kept++] = s->tasks[i];
    }
    s->n_tasks = kept;
}

static void begin_task(struct pv_copies *c, pv_ns now)
{
    struct pv_copies_members *s = &c->members;
    struct pv_chatjob *job = pv_copies_job_new(PV_COPYJOB_MISSING);
    if (job != NULL) {
        memcpy(job->copies->to, s->tasks[0].to, sizeof(job->copies->to));
        memcpy(job->copies->holder, s->tasks[0].holder, sizeof(job->copies->holder));
    }
    s->sending = true;
    /* From here on, so that a job that does not come back ends the task, too. */
    s->answer_by = now + PATIENCE;
    if (!pv_copies_submit(c, job, PV_COPIES_JOB_MISSING, 0))
        end_task(c);
}

/* The longest messages give hybrid boxes that a holder of an earlier version would not read. */
static bool fits_holder(const struct pv_copies *c, const struct pv_peer *holder, size_t len)
{
    return len <= PV_PARCEL_CLASSICAL_MAX || pv_sealkeys_expected(c->node, holder);
}

/* Seals and sends the message under way, or wants the connection for it. */
static void send_copy(struct pv_copies *c, pv_ns now)
{
    struct pv_copies_members *s = &c->members;
    const struct pv_peer *to = pv_peers_by_pk(c->node->peers, s->tasks[0].to);
    struct pv_peer *holder = pv_peers_by_pk(c->node->peers, s->tasks[0].holder);
    struct pv_copy_frame *f = calloc(1, sizeof(*f));
    /* A receiver that came back meanwhile gets its messages from chat: copies would only come
     * twice. */
    if (f == NULL || to == NULL || holder == NULL || is_there(to) ||
        pv_copies_seal(c, to, &s->list->msgs[s->at], f->box, &f->box_len) != PV_OK ||
        !fits_holder(c, holder, f->box_len)) {
        free(f);
        end_task(c);
        return;
    }
    f->kind = PV_COPY_KEEP;
    memcpy(f->key, s->list->msgs[s->at].id, sizeof(f->key));
    memcpy(f->node, pv_peer_pk(to), sizeof(f->node));
    /* Without a connection the frame is not queued: pv_copies_members_up() seals and
     * sends again. */
    if (say(c, pv_peer_pk(holder), f) == PV_ERR_NOT_FOUND)
        want_connection(c, holder, now);
    s->answer_by = now + PATIENCE;
    free(f);
}

static void take_missing(struct pv_copies *c, struct pv_job_result *result, pv_ns now)
{
    struct pv_copies_members *s = &c->members;
    if (!s->sending || s->list != NULL)
        return; /* it came after its time */
    if (result->status != PV_OK || result->chat == NULL || result->chat->n_msgs == 0) {
        end_task(c);
        return;
    }
    s->list = result->chat;
    result->chat = NULL;
    s->at = 0;
    send_copy(c, now);
}

/* The holder has it, or will not. */
static void take_kept(struct pv_copies *c, const struct pv_peer *p, const struct pv_copy_frame *f,
                      pv_ns now)
{
    struct pv_copies_members *s = &c->members;
    /* Holder and key must both fit. A late answer about an earlier message would otherwise mark
     * this one as held. */
    if (!s->sending || s->list == NULL ||
        memcmp(pv_peer_pk(p), s->tasks[0].holder, sizeof(s->tasks[0].holder)) != 0 ||
        memcmp(f->key, s->list->msgs[s->at].id, sizeof(f->key)) != 0)
        return;
    if (!f->yes) {
        pv_log(c->node->log, PV_LOG_INFO, "peer=%s what=\"copy not held\"", pv_peer_name(p));
        end_task(c);
        return;
    }
    struct pv_chatjob *job = pv_copies_job_new(PV_COPYJOB_PLACED);
    if (job != NULL) {
        memcpy(job->copies->to, s->tasks[0].to, sizeof(job->copies->to));
        memcpy(job->copies->holder, pv_peer_pk(p), sizeof(job->copies->holder));
        memcpy(job->copies->key, f->key, sizeof(job->copies->key));
    }
    (void)pv_copies_submit(c, job, PV_COPIES_JOB_NOTED, 0);
    if (++s->at < s->list->n_msgs) {
        send_copy(c, now);
    } else if (s->list->more) {
        /* A page of the store is finished, not the task: the same task begins again with what is
         * still missing. */
        s->list = pv_chatjob_result_free(s->list);
        begin_task(c, now);
    } else {
        end_task(c);
    }
}

/* Messages of which a holder has copies have been delivered: it need not keep them. A word that is
 * lost costs nothing: copies expire. */
static void take_over(struct pv_copies *c, uint32_t id, const struct pv_job_result *result)
{
    const struct pv_peer *p = pv_peers_by_id(c->node->peers, id);
    if (p == NULL || result->status != PV_OK || result->chat == NULL)
        return;
    for (size_t i = 0; i < result->chat->n_msgs; i++) {
        const struct pv_chat_record *m = &result->chat->msgs[i];
        say_short(c, pv_peer_pk(p), PV_COPY_DROP, m->peer, m->id, true);
    }
}

/* --- holder ---------------------------------------------------------------------------------- */

/* Is this a copy to take: from one member, for another who is neither of us? */
static bool is_welcome(const struct pv_copies *c, const struct pv_peer *p,
                       const struct pv_copy_frame *f)
{
    const struct pv_member *to = pv_roster_known(c->node->roster, f->node);
    return c->willing && to != NULL && to->state == PV_MEMBER_ACTIVE &&
           memcmp(f->node, pv_peer_pk(p), sizeof(f->node)) != 0 &&
           memcmp(f->node, c->node->identity->sign_pk, sizeof(f->node)) != 0;
}

/* The box is copied: the frame lies in the buffer of its connection. */
static struct pv_chatjob *put_job(const struct pv_copy_frame *f, const struct pv_peer *p)
{
    struct pv_chatjob *job = pv_copies_job_new(PV_COPYJOB_PUT);
    if (job != NULL)
        job->copies->box = malloc(f->box_len);
    if (job == NULL || job->copies->box == NULL)
        return pv_chatjob_free(job);
    memcpy(job->copies->box, f->box, f->box_len);
    job->copies->box_len = f->box_len;
    memcpy(job->copies->from, pv_peer_pk(p), sizeof(job->copies->from));
    memcpy(job->copies->to, f->node, sizeof(job->copies->to));
    memcpy(job->copies->key, f->key, sizeof(job->copies->key));
    return job;
}

/* A copy to hold: it is acknowledged once it is on disk, or refused at once. */
static void take_keep(struct pv_copies *c, const struct pv_peer *p, const struct pv_copy_frame *f)
{
    struct pv_copies_members *s = &c->members;
    size_t i = PV_COPIES_PUTS, of_sender = 0;
    /* The slot remembers whom to answer while the store writes. Its number bounds what members can
     * make the store do at once. */
    for (size_t k = 0; k < PV_COPIES_PUTS; k++) {
        if (!s->puts[k].used)
            i = k;
        else
            of_sender += memcmp(s->puts[k].from, pv_peer_pk(p), sizeof(s->puts[k].from)) == 0;
    }
    bool room = i < PV_COPIES_PUTS && of_sender < PV_COPIES_OF_MEMBER;
    struct pv_chatjob *job = room && is_welcome(c, p, f) ? put_job(f, p) : NULL;
    if (!pv_copies_submit(c, job, PV_COPIES_JOB_PUT, i)) {
        c->counts.refused++;
        say_short(c, pv_peer_pk(p), PV_COPY_KEPT, f->node, f->key, false);
        return;
    }
    s->puts[i].used = true;
    memcpy(s->puts[i].from, pv_peer_pk(p), sizeof(s->puts[i].from));
    memcpy(s->puts[i].to, f->node, sizeof(s->puts[i].to));
    memcpy(s->puts[i].key, f->key, sizeof(s->puts[i].key));
}

static void take_put(struct pv_copies *c, size_t i, const struct pv_job_result *result, pv_ns now)
{
    struct pv_copies_members *s = &c->members;
    const struct pv_peer *to = pv_peers_by_pk(c->node->peers, s->puts[i].to);
    bool yes = result->status == PV_OK;
    s->puts[i].used = false;
    c->counts.refused += !yes;
    say_short(c, s->puts[i].from, PV_COPY_KEPT, s->puts[i].to, s->puts[i].key, yes);
    if (yes && to != NULL && is_there(to)) /* it came back meanwhile */
        pv_copies_members_give(c, to, now);
}

/* A slot whose time is over counts as free: a receiver that never answers cannot keep it. */
static bool is_free(const struct pv_copies_members *s, size_t slot, pv_ns now)
{
    return !s->gives[slot].used || s->gives[slot].by <= now;
}

static size_t free_slot(const struct pv_copies_members *s, pv_ns now)
{
    size_t slot = 0;
    while (slot < PV_COPIES_GIVES && !is_free(s, slot, now))
        slot++;
    return slot;
}

/* All slots are taken, perhaps by receivers that do not answer: it has its turn. */
static void give_later(struct pv_copies_members *s, uint32_t id)
{
    for (size_t i = 0; i < s->n_later; i++) {
        if (s->later[i] == id)
            return;
    }
    if (s->n_later < PV_COPIES_LATER)
        s->later[s->n_later++] = id;
}

/* Has the store look for the first copy behind number n that is held for the receiver. The job
 * names the receiver as well: its slot may be another's when the result comes. */
static void give(struct pv_copies *c, const struct pv_peer *p, size_t slot, uint64_t n, pv_ns now)
{
    struct pv_copies_members *s = &c->members;
    struct pv_chatjob *job = pv_copies_job_new(PV_COPYJOB_NEXT);
    uint64_t arg = (uint64_t)pv_peer_id(p) << SLOT_BITS | slot;
    if (job != NULL) {
        memcpy(job->copies->to, pv_peer_pk(p), sizeof(job->copies->to));
        job->copies->n = n;
    }
    /* Without memory it gets them when it comes the next time. */
    s->gives[slot].used = pv_copies_submit(c, job, PV_COPIES_JOB_NEXT, arg);
    s->gives[slot].peer = pv_peer_id(p);
    s->gives[slot].n = 0;
    s->gives[slot].by = now + PATIENCE;
}

/* Hands the receiver the next copy that is held for it; one at a time. */
void pv_copies_members_give(struct pv_copies *c, const struct pv_peer *p, pv_ns now)
{
    struct pv_copies_members *s = &c->members;
    size_t slot = free_slot(s, now);
    if (s->total == 0 || pv_peer_is_static(p))
        return;
    for (size_t i = 0; i < PV_COPIES_GIVES; i++) {
        if (s->gives[i].peer == pv_peer_id(p) && !is_free(s, i, now))
            return;
    }
    /* Nobody goes before those that wait. */
    if (slot == PV_COPIES_GIVES || s->n_later > 0)
        give_later(s, pv_peer_id(p));
    else
        give(c, p, slot, 0, now);
}

/* Slots that have become free are for those that wait. */
static void give_those_that_wait(struct pv_copies *c, pv_ns now)
{
    struct pv_copies_members *s = &c->members;
    size_t slot;
    while (s->n_later > 0 && (slot = free_slot(s, now)) < PV_COPIES_GIVES) {
        const struct pv_peer *p = pv_peers_by_id(c->node->peers, s->later[0]);
        memmove(s->later, s->later + 1, --s->n_later * sizeof(s->later[0]));
        if (p != NULL && pv_peer_reach(p) != PV_REACH_NO)
            give(c, p, slot, 0, now);
    }
}

static void take_next(struct pv_copies *c, uint64_t arg, const struct pv_job_result *result,
                      pv_ns now)
{
    struct pv_copies_members *s = &c->members;
    size_t slot = arg & ((1u << SLOT_BITS) - 1);
    uint32_t receiver = (uint32_t)(arg >> SLOT_BITS);
    if (s->gives[slot].peer != receiver)
        return; /* it came after its time */
    struct pv_peer *p = pv_peers_by_id(c->node->peers, receiver);
    const struct pv_stored_copy *copy =
        result->status == PV_OK && result->chat != NULL ? &result->chat->copies->copy : NULL;
    struct pv_copy_frame *f = p == NULL || copy == NULL || copy->n == 0 ? NULL : malloc(sizeof(*f));
    s->gives[slot].used = false;
    if (f == NULL)
        return;
    f->kind = PV_COPY_DELIVER;
    memcpy(f->key, copy->key, sizeof(f->key));
    memcpy(f->node, copy->from, sizeof(f->node));
    memcpy(f->box, copy->box, copy->box_len);
    f->box_len = copy->box_len;
    int r = say(c, pv_peer_pk(p), f);
    free(f);
    /* The slot stays free meanwhile: pv_copies_members_up() begins anew when there is
     * a connection. */
    if (r == PV_ERR_NOT_FOUND)
        want_connection(c, p, now);
    if (r != PV_OK)
        return;
    s->gives[slot].used = true;
    s->gives[slot].n = copy->n;
    s->gives[slot].by = now + PATIENCE;
}

/* The receiver has a copy, or will not have it now: the one behind it is next. */
static void take_taken(struct pv_copies *c, const struct pv_peer *p, const struct pv_copy_frame *f,
                       pv_ns now)
{
    struct pv_copies_members *s = &c->members;
    size_t i = 0;
    while (i < PV_COPIES_GIVES &&
           (!s->gives[i].used || s->gives[i].peer != pv_peer_id(p) || s->gives[i].n == 0))
        i++;
    if (i == PV_COPIES_GIVES)
        return;
    if (f->yes)
        drop_copy(c, f->node, pv_peer_pk(p), f->key);
    /* The next one is looked for behind this one, taken or not: one copy that the receiver refuses
     * does not hold up the others. */
    give(c, p, i, s->gives[i].n, now);
}

/* --- receiver -------------------------------------------------------------------------------- */

static void take_deliver(struct pv_copies *c, const struct pv_peer *p,
                         const struct pv_copy_frame *f, pv_ns now)
{
    struct pv_copies_members *s = &c->members;
    size_t i = PV_COPIES_TAKES, of_holder = 0;
    for (size_t k = 0; k < PV_COPIES_TAKES; k++) {
        if (s->takes[k].number == 0)
            i = k;
        else
            of_holder += memcmp(s->takes[k].holder, pv_peer_pk(p), sizeof(s->takes[k].holder)) == 0;
    }
    if (i == PV_COPIES_TAKES || of_holder >= PV_COPIES_OF_MEMBER)
        return; /* too many at once: the holder tries again */
    /* The bit tells chat's answer about our number from one about the coordinator's. */
    uint64_t number = NUMBER_BIT | ++s->last_number;
    int r = pv_copies_open(c, f->node, pv_view(f->box, f->box_len), number, now);
    if (r == PV_OK) {
        s->takes[i].number = number;
        memcpy(s->takes[i].holder, pv_peer_pk(p), sizeof(s->takes[i].holder));
        memcpy(s->takes[i].from, f->node, sizeof(s->takes[i].from));
        memcpy(s->takes[i].key, f->key, sizeof(s->takes[i].key));
    } else if (r == PV_ERR_LIMIT) {
        /* Its author sends more than is taken: those of others must not wait for that. */
        say_short(c, pv_peer_pk(p), PV_COPY_TAKEN, f->node, f->key, false);
    } else if (r != PV_ERR_NOMEM) {
        /* Not from its author, or not for us: of no use to anybody. An author who is not known yet
         * may become known. */
        char more[PV_NODE_MORE];
        if (pv_node_may_log(c->node, PV_FROM_COPIES, pv_peer_name(p), now, more))
            pv_log(c->node->log, PV_LOG_WARN, "peer=%s what=\"held copy refused\" why=\"%s\"%s",
                   pv_peer_name(p), pv_strstatus(r), more);
        c->counts.forged += r != PV_ERR_AGAIN;
        say_short(c, pv_peer_pk(p), PV_COPY_TAKEN, f->node, f->key, r != PV_ERR_AGAIN);
    }
}

bool pv_copies_members_committed(struct pv_copies *c, uint64_t number, int status)
{
    struct pv_copies_members *s = &c->members;
    for (size_t i = 0; i < PV_COPIES_TAKES; i++) {
        if (s->takes[i].number != number)
            continue;
        /* Only a copy on our disk is acknowledged: after a failure the holder keeps its copy and
         * offers it again. */
        s->takes[i].number = 0;
        /* One for which its sender has no room here stays there, and the next may come. */
        if (status == PV_OK || status == PV_ERR_REFUSED)
            say_short(c, s->takes[i].holder, PV_COPY_TAKEN, s->takes[i].from, s->takes[i].key,
                      status == PV_OK);
        break;
    }
    return (number & NUMBER_BIT) != 0;
}

/* --- all three ------------------------------------------------------------------------------- */

void pv_copies_members_job(struct pv_copies *c, enum pv_copies_job what, uint64_t arg,
                           struct pv_job_result *result, pv_ns now)
{
    if (what == PV_COPIES_JOB_BACKLOG)
        take_backlog(c, result);
    else if (what == PV_COPIES_JOB_MISSING)
        take_missing(c, result, now);
    else if (what == PV_COPIES_JOB_PUT)
        take_put(c, (size_t)arg, result, now);
    else if (what == PV_COPIES_JOB_NEXT)
        take_next(c, arg, result, now);
    else if (what == PV_COPIES_JOB_OVER)
        take_over(c, (uint32_t)arg, result);
}

void pv_copies_members_frame(struct pv_copies *c, struct pv_peer *p, const struct pv_copy_frame *f,
                             pv_ns now)
{
    switch (f->kind) {
    case PV_COPY_KEEP:
        take_keep(c, p, f);
        break;
    case PV_COPY_KEPT:
        take_kept(c, p, f, now);
        break;
    case PV_COPY_DROP:
        drop_copy(c, pv_peer_pk(p), f->node, f->key);
        break;
    case PV_COPY_DELIVER:
        take_deliver(c, p, f, now);
        break;
    case PV_COPY_TAKEN:
        take_taken(c, p, f, now);
        break;
    }
}

/* A new connection, perhaps after a long time: the holder is given the copy it did not confirm, the
 * peer gets what is held for it, and a holder hears which copies of ours are delivered by now. */
void pv_copies_members_up(struct pv_copies *c, const uint8_t *pk, pv_ns now)
{
    struct pv_copies_members *s = &c->members;
    const struct pv_peer *p = pv_peers_by_pk(c->node->peers, pk);
    if (p == NULL)
        return;
    if (s->sending && s->list != NULL &&
        memcmp(s->tasks[0].holder, pk, sizeof(s->tasks[0].holder)) == 0)
        send_copy(c, now);
    pv_copies_members_give(c, p, now);
    struct pv_chatjob *job = pv_copies_job_new(PV_COPYJOB_OVER);
    if (job != NULL)
        memcpy(job->copies->holder, pk, sizeof(job->copies->holder));
    (void)pv_copies_submit(c, job, PV_COPIES_JOB_OVER, pv_peer_id(p));
}

/* The coordinator comes first: members are asked only where it has been away for a while. */
void pv_copies_members_run(struct pv_copies *c, pv_ns now)
{
    struct pv_copies_members *s = &c->members;
    give_those_that_wait(c, now);
    if (s->sending && now >= s->answer_by)
        give_up_task(c);
    if (!c->enabled || c->node->roster == NULL || c->node->online) {
        s->look_at = PV_NEVER;
        return;
    }
    /* A short loss of the coordinator is common, and it takes the copies when it is back: members
     * are spared. */
    if (s->look_at == PV_NEVER)
        s->look_at = now + LOOK_AFTER;
    if (now >= s->look_at && !s->looking && s->n_tasks == 0) {
        s->look_at = now + LOOK_EVERY;
        if (now >= s->anew_at &&
            pv_copies_submit(c, pv_copies_job_new(PV_COPYJOB_ANEW), PV_COPIES_JOB_NONE, 0))
            s->anew_at = now + PV_COPIES_RECOPY_EVERY;
        s->looking =
            pv_copies_submit(c, pv_chatjob_new(PV_CHATJOB_COUNTS), PV_COPIES_JOB_BACKLOG, 0);
    }
    if (!s->sending && s->n_tasks > 0)
        begin_task(c, now);
}

pv_ns pv_copies_members_next(const struct pv_copies *c)
{
    const struct pv_copies_members *s = &c->members;
    bool looks = !s->looking && s->n_tasks == 0;
    pv_ns next = pv_min_ns(looks ? s->look_at : PV_NEVER, s->sending ? s->answer_by : PV_NEVER);
    for (size_t i = 0; i < PV_COPIES_GIVES && s->n_later > 0; i++)
        next = pv_min_ns(next, s->gives[i].by);
    return next;
}

void pv_copies_members_done(struct pv_copies *c)
{
    c->members.list = pv_chatjob_result_free(c->members.list);
}
