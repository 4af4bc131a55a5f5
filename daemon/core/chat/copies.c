/* SPDX-License-Identifier: MIT */
/* copies.c - what both stores of copies need: seals, jobs, and what the part is told. */
#include "daemon/core/chat/copies.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "daemon/core/chat/chat_part.h"
#include "daemon/core/chat/copies_int.h"
#include "daemon/core/chat/tell.h"
#include "daemon/core/member/rules.h"
#include "daemon/core/member/sealkeys.h"
#include "daemon/core/peer/ownkeys.h"

enum {
    FRAME_RATE = 50, /* ours: frames a second and peer; more closes its connections */
    FRAME_BURST = 400,
};

/* --- life ------------------------------------------------------------------------------------ */

static int make(struct pv_node *node, const struct pv_engine_config *cfg, pv_ns now,
                void **ret_part)
{
    struct pv_copies *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return PV_ERR_NOMEM;
    c->node = node;
    c->enabled = cfg->chat_store;
    c->willing = cfg->chat_hold;
    c->coordinator.collect_at = PV_NEVER;
    c->coordinator.recopy_at = c->members.anew_at = now + PV_COPIES_RECOPY_FIRST;
    c->members.look_at = c->members.answer_by = PV_NEVER;
    c->peer_map = pv_map_make(&node->rng, PV_PEER_MAX);
    *ret_part = c;
    return PV_OK;
}

static void free_copies(void *part)
{
    struct pv_copies *c = part;
    struct pv_copies_peer *peer, *next;
    pv_copies_coordinator_done(c);
    pv_copies_members_done(c);
    HASH_ITER(hh, c->peers, peer, next)
    {
        PV_MAP_DEL(c->peers, peer);
        free(peer);
    }
    free(c);
}

/* --- seals ----------------------------------------------------------------------------------- */

/* The seal covers network, author and receiver, so a copy is of no use anywhere else. */
static struct pv_signal_route route_of(const struct pv_node *n, const uint8_t *from,
                                       const uint8_t *to)
{
    struct pv_signal_route route;
    memcpy(route.network_id, pv_roster_network_id(n->roster), sizeof(route.network_id));
    memcpy(route.from, from, sizeof(route.from));
    memcpy(route.to, to, sizeof(route.to));
    return route;
}

/* Who wants no packet without wants no copy without: the message waits for the meeting. So does one
 * that the receiver would not take. */
bool pv_copies_may_seal(struct pv_copies *c, const struct pv_peer *to)
{
    if (!pv_rules_serve(c->node, pv_peer_pk(to), PV_SERVICE_CHAT, true).allow)
        return false;
    return pv_peers_env(c->node->peers)->pq != PV_PQ_REQUIRE || pv_sealkeys_to(c->node, to) != NULL;
}

int pv_copies_seal(struct pv_copies *c, const struct pv_peer *to, const struct pv_chat_record *m,
                   uint8_t *ret_box, size_t *ret_len)
{
    struct pv_node *n = c->node;
    /* A list that was asked for another peer may come late: its texts are not for this one. */
    if (memcmp(m->peer, pv_peer_pk(to), sizeof(m->peer)) != 0)
        return PV_ERR_STATE;
    struct pv_signal_route route = route_of(n, n->identity->sign_pk, pv_peer_pk(to));
    const struct pv_noise_static own = pv_ownkeys_current(n->identity);
    const struct pv_sealing_to *hybrid = pv_sealkeys_to(n, to);
    const struct pv_parcel_keys keys = {.local = &own,
                                        .remote = pv_peer_transport(to),
                                        .sk = n->identity->sign_sk,
                                        .hybrid = hybrid};
    struct pv_parcel parcel = {
        .seq = m->seq, .time_ms = m->time_ms, .text = pv_view(m->text, strlen(m->text))};
    memcpy(parcel.id, m->id, sizeof(parcel.id));
    int r = pv_parcel_seal(&route, &keys, &n->rng, &parcel, ret_box, ret_len);
    if (r == PV_OK)
        pv_sealkeys_count(n, PV_SEALKEYS_COPY, hybrid != NULL);
    return r;
}

/* A copy waits for up to 14 days: it may be sealed to a key of before. */
static int open_parcel(const struct pv_node *n, const struct pv_signal_route *route,
                       struct pv_view box, uint8_t buf[static PV_PARCEL_CONTENT_MAX],
                       struct pv_parcel *ret_parcel)
{
    struct pv_noise_static own;
    uint8_t psk[PV_NOISE_PSK_LEN];
    const bool hybrid = pv_sealkeys_secret(n, box, psk);
    int r = PV_ERR_AUTH;
    for (size_t iter = 0; r == PV_ERR_AUTH && pv_ownkeys_next(n->identity, &iter, &own);) {
        if (hybrid)
            r = pv_parcel_open_hybrid(route, psk, &own, box, buf, ret_parcel);
        /* One that looks hybrid by chance is opened as what it is; one too long for that may be for
         * the next key. */
        if (r == PV_ERR_AUTH && box.len <= PV_PARCEL_CLASSICAL_MAX)
            r = pv_parcel_open(route, &own, box, buf, ret_parcel);
    }
    pv_wipe(psk, sizeof(psk));
    /* What this program cannot open another start of it may: after a return from an older system.
     */
    return r == PV_ERR_AUTH && pv_sealing_is(box) && pv_peers_env(n->peers)->kem == NULL
               ? PV_ERR_AGAIN
               : r;
}

int pv_copies_open(struct pv_copies *c, const uint8_t *from, struct pv_view box, uint64_t number,
                   pv_ns now)
{
    struct pv_node *n = c->node;
    struct pv_signal_route route = route_of(n, from, n->identity->sign_pk);
    const struct pv_member *m = pv_roster_known(n->roster, from);
    struct pv_parcel parcel;
    /* An author who is not in the roster yet may come with the next roster: the copy stays where it
     * is. */
    if (m == NULL)
        return PV_ERR_AGAIN;
    if (m->state == PV_MEMBER_REVOKED)
        return PV_ERR_REFUSED;
    if (!pv_chat_may(n, from))
        return PV_ERR_LIMIT; /* it stays there: a rule may go */
    uint8_t *buf = malloc(PV_PARCEL_CONTENT_MAX);
    int r = buf == NULL ? PV_ERR_NOMEM : open_parcel(n, &route, box, buf, &parcel);
    if (r == PV_OK) {
        const struct pv_chatlink_copy copy = {.pk = from,
                                              .name = m->name,
                                              .id = parcel.id,
                                              .seq = parcel.seq,
                                              .time_ms = parcel.time_ms,
                                              .text = parcel.text,
                                              .number = number};
        r = pv_chatlink_take_copy(n->chatlink, &copy, now);
    }
    /* The text was in the clear here: it must not stay in freed memory. */
    if (buf != NULL)
        pv_wipe(buf, PV_PARCEL_CONTENT_MAX);
    free(buf);
    return r;
}

/* --- what chatlink says ---------------------------------------------------------------------- */

/* The peer's allowance, made when its first frame comes; NULL without memory. */
static struct pv_copies_peer *peer_of(struct pv_copies *c, uint32_t id)
{
    struct pv_copies_peer *peer;
    int r = PV_OK;
    PV_MAP_FIND(&c->peer_map, c->peers, &id, sizeof(id), peer);
    if (peer != NULL || (peer = calloc(1, sizeof(*peer))) == NULL)
        return peer;
    peer->id = id;
    PV_MAP_ADD(&c->peer_map, c->peers, id, peer, r);
    if (r == PV_OK)
        return peer;
    free(peer);
    return NULL;
}

static void take_line(struct pv_copies *c, const struct pv_chatlink_event *ev, pv_ns now)
{
    struct pv_node *n = c->node;
    struct pv_peer *p = pv_peers_by_pk(n->peers, ev->msg.peer);
    struct pv_copies_peer *allowance = p == NULL ? NULL : peer_of(c, pv_peer_id(p));
    if (allowance == NULL || n->roster == NULL)
        return;
    struct pv_copy_frame *f = malloc(sizeof(*f));
    if (f == NULL)
        return;
    int r = pv_copy_frame_parse(pv_view(ev->msg.text, strlen(ev->msg.text)), f);
    /* The allowance is taken for bad frames too: a peer pays for whatever it sends. */
    bool flood = !pv_bucket_take(&allowance->frames, FRAME_RATE, FRAME_BURST, 1, now);
    if (flood || (r < 0 && r != PV_ERR_NOMEM)) {
        c->counts.bad_frames++;
        pv_chatlink_refuse(n->chatlink, ev->msg.peer, now);
    } else if (r == PV_OK) {
        pv_copies_members_frame(c, p, f, now);
    }
    free(f);
}

static void take_event(struct pv_copies *c, const struct pv_chatlink_event *ev, pv_ns now)
{
    const struct pv_peer *p;
    switch (ev->type) {
    case PV_CHATLINK_UP:
        pv_copies_members_up(c, ev->msg.peer, now);
        break;
    case PV_CHATLINK_LINE:
        take_line(c, ev, now);
        break;
    case PV_CHATLINK_QUEUED:
        p = pv_peers_by_pk(c->node->peers, ev->msg.peer);
        if (p != NULL)
            pv_copies_coordinator_away(c, p);
        break;
    case PV_CHATLINK_COPY:
        /* Members' numbers carry a bit of their own, so the first that knows the number
         * takes it. */
        if (!pv_copies_members_committed(c, ev->tag, ev->status))
            pv_copies_coordinator_committed(c, ev->tag, ev->status, now);
        break;
    case PV_CHATLINK_MESSAGE:
    case PV_CHATLINK_STATE:
    case PV_CHATLINK_SENT:
    case PV_CHATLINK_SEND_FAILED:
    case PV_CHATLINK_DOWN:
    case PV_CHATLINK_NO_KEY:
    case PV_CHATLINK_OWNER:
        break; /* for the other readers */
    }
}

/* --- what the part is told ------------------------------------------------------------------- */

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct pv_copies *c = part;
    /* The connection may have been lost and made again since facts were last delivered: what was
     * asked on the old one has no answer any more. */
    if ((facts & PV_FACT_OFFLINE) != 0)
        pv_copies_coordinator_offline(c);
    if ((facts & PV_FACT_ONLINE) != 0 && c->node->online)
        pv_copies_coordinator_online(c, now);
    else if ((facts & PV_FACT_RULES) != 0 && c->node->online)
        pv_copies_coordinator_news(c, now); /* of what was left there some may come now */
}

/* Whoever is there gets what is held for it. Of whoever is not, messages may wait that need a copy
 * at the coordinator. */
static void on_peer(void *part, struct pv_peer *p, unsigned facts, pv_ns now)
{
    struct pv_copies *c = part;
    if (pv_peer_is_static(p) || (facts & (PV_PEER_FACT_PATH | PV_PEER_FACT_PRESENCE |
                                          PV_PEER_FACT_MEMBER | PV_PEER_FACT_AWAY)) == 0)
        return;
    if (pv_node_is_on_overlay(c->node) && pv_peer_reach(p) != PV_REACH_NO)
        pv_copies_members_give(c, p, now);
    else
        pv_copies_coordinator_away(c, p);
}

static void on_peer_gone(void *part, struct pv_peer *p, pv_ns now)
{
    struct pv_copies *c = part;
    uint32_t id = pv_peer_id(p);
    struct pv_copies_peer *peer;
    (void)now;
    PV_MAP_FIND(&c->peer_map, c->peers, &id, sizeof(id), peer);
    if (peer == NULL)
        return;
    PV_MAP_DEL(c->peers, peer);
    free(peer);
}

static void on_push(void *part, const struct pv_ctl_msg *msg, pv_ns now)
{
    if (msg->type == PV_CTL_COPY)
        pv_copies_coordinator_news(part, now);
}

static void on_answer(void *part, uint64_t tag, const struct pv_ctl_msg *msg, pv_ns now)
{
    pv_copies_coordinator_answer(part, tag, msg, now);
}

struct pv_chatjob *pv_copies_job_new(enum pv_copyjob_kind kind)
{
    struct pv_chatjob *job = pv_chatjob_new(PV_CHATJOB_COPIES);
    if (job != NULL)
        job->copies = calloc(1, sizeof(*job->copies));
    if (job == NULL || job->copies == NULL)
        return pv_chatjob_free(job);
    job->copies->kind = kind;
    return job;
}

bool pv_copies_submit(struct pv_copies *c, struct pv_chatjob *job, enum pv_copies_job what,
                      uint64_t arg)
{
    return pv_jobqueue_submit_chat(&c->node->jobs, job, &pv_part_copies,
                                   arg << PV_COPIES_JOB_BITS | what);
}

static void on_job(void *part, uint64_t tag, struct pv_job_result *result, pv_ns now)
{
    struct pv_copies *c = part;
    enum pv_copies_job what = (enum pv_copies_job)(tag & ((UINT64_C(1) << PV_COPIES_JOB_BITS) - 1));
    if (result->chat != NULL && result->chat->copies != NULL)
        /* Every answer of the store about copies carries the total: while it is 0 no receiver needs
         * a look at the disk. */
        c->members.total = result->chat->copies->total;
    if (what == PV_COPIES_JOB_AWAY)
        pv_copies_coordinator_listed(c, result, now);
    else if (what == PV_COPIES_JOB_RECOPY)
        pv_copies_coordinator_recopy(c, result);
    else if (what == PV_COPIES_JOB_NOTED && result->status == PV_OK && result->chat != NULL)
        pv_tell_states(c->node, result->chat);
    else if (what != PV_COPIES_JOB_NONE && what != PV_COPIES_JOB_NOTED)
        pv_copies_members_job(c, what, tag >> PV_COPIES_JOB_BITS, result, now);
}

static void run(void *part, pv_ns now)
{
    struct pv_copies *c = part;
    struct pv_chatlink_event ev;
    if (!c->counted) {
        /* Whether anybody's copies lie here: an earlier life may have taken some. */
        c->counted = true;
        (void)pv_copies_submit(c, pv_copies_job_new(PV_COPYJOB_COUNT), PV_COPIES_JOB_NONE, 0);
    }
    while (pv_chatlink_poll_event(c->node->chatlink, PV_CHATLINK_FOR_COPIES, &ev) == PV_OK) {
        take_event(c, &ev, now);
        pv_chat_record_done(&ev.msg);
    }
    pv_copies_coordinator_run(c, now);
    pv_copies_members_run(c, now);
}

static pv_ns next_timeout(const void *part)
{
    const struct pv_copies *c = part;
    return pv_min_ns(pv_copies_coordinator_next(c), pv_copies_members_next(c));
}

static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct pv_copies *c = part;
    (void)now;
    pv_statuspage_drop(st, "copy-refused", c->counts.refused);
    pv_statuspage_drop(st, "copy-forged", c->counts.forged);
    pv_statuspage_drop(st, "copy-frame", c->counts.bad_frames);
}

const struct pv_part pv_part_copies = {
    .name = "copies",
    .make = make,
    .free = free_copies,
    .on_facts = on_facts,
    .on_peer = on_peer,
    .on_peer_gone = on_peer_gone,
    .on_push = on_push,
    .on_answer = on_answer,
    .on_job = on_job,
    .run = run,
    .next_timeout = next_timeout,
    .status = show,
};
