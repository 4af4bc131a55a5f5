/* SPDX-License-Identifier: MIT */
/*
 * ice_check.c - connectivity checks: transactions, requests and answers on the wire (RFC 8445 s7).
 * Every request is authenticated with the receiver's password and every answer with the same one,
 * so nothing that arrives changes state before its integrity has been checked. The pair that an
 * authentic request asks for is judged in ice_choose.c.
 */
#include <stdio.h>
#include <string.h>

#include "proto/ice/ice_agent.h"
#include "proto/stun/turn.h"

enum {
    CHECKS_A_SECOND = 200,  /* TRAVERSAL 8 rule 4 */
    CHECKS_AT_ONCE = 64,    /* ours: a burst after a description, then the rate above */
    ANSWERS_A_SECOND = 200, /* ours: the same budget for what the other side makes us send */
    ANSWERS_AT_ONCE = 100,  /* ours: a burst of answers, as many as a peer has pairs */
    /* "receiver's ufrag:sender's ufrag", RFC 8445 s7.2.2. */
    USERNAME_MAX = 2 * PV_ICE_UFRAG_MAX + 1,
};

#define BLOCKED_FOR  PV_MS(5)   /* until the send bucket is asked again */
#define CONFIRM_MIN  PV_MS(150) /* ours: first interval on a proven pair */
#define SINGLE_MIN   PV_S(1)    /* ours: a lone check unanswered for so long is lost */
#define PROBE_SECOND PV_MS(100) /* DESIGN 5: 0, +100, +250 ms, later where the RTT is longer */
#define PROBE_THIRD  PV_MS(150) /* DESIGN 5: after the second */

/* --- transactions -------------------------------------------------------------------------- */

/* The newest check is bit 0, so the window slides by shifting and needs no positions. */
static void push_loss(struct pv_ice_pair *p, bool lost)
{
    p->loss_bits = (p->loss_bits << 1) | (lost ? 1u : 0u);
    if (p->loss_n < PV_ICE_LOSS_WINDOW)
        p->loss_n++;
}

unsigned pv_ice_pair_loss(const struct pv_ice_pair *p)
{
    unsigned lost = 0;
    for (unsigned i = 0; i < p->loss_n; i++)
        lost += (p->loss_bits >> i) & 1u;
    return p->loss_n == 0 ? 0 : lost * 1000 / p->loss_n;
}

/* An outage is no loss: checks that had no answer until the pair came back say nothing of what the
 * pair loses while it works. */
static void forget_outage(struct pv_ice_pair *p)
{
    while (p->loss_n > 0 && (p->loss_bits & 1u) != 0) {
        p->loss_bits >>= 1;
        p->loss_n--;
    }
}

/* Transmissions that had their time and got no answer, on a pair that is known to work. */
static void account_lost(const struct pv_ice_agent *a, struct pv_ice_pair *p,
                         const struct pv_ice_txn *txn)
{
    if (p->answers == 0)
        return;
    for (unsigned i = 0; i < txn->sends; i++)
        /* A check sent before the way was open on both sides says nothing of what it loses. */
        if (((txn->answered >> i) & 1u) == 0 && txn->sent[i] >= p->open_since &&
            a->now >= txn->sent[i] + pv_ice_max_ns(SINGLE_MIN, 4 * p->srtt))
            push_loss(p, true);
}

/* Numbers of transmissions: a proven pair needs fewer, because its round trip is known and a lost
 * verdict costs only another check. */
static unsigned plan_sends(const struct pv_ice_agent *a, enum pv_ice_plan plan)
{
    switch (plan) {
    case PV_ICE_PLAN_FULL:
        return a->cfg.foreign ? PV_ICE_RC_RFC : PV_ICE_PLAN_SENDS;
    case PV_ICE_PLAN_CONFIRM:
        return 4;
    case PV_ICE_PLAN_PROBE:
        return 3;
    case PV_ICE_PLAN_SINGLE:
        break;
    }
    return 1;
}

static unsigned count_pairs(const struct pv_ice_agent *a)
{
    unsigned n = 0;
    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++)
        n += a->pairs[i].used ? 1 : 0;
    return n;
}

/* The verdict on a suspected pair. */
static pv_ns dead_after(const struct pv_ice_pair *p)
{
    return pv_ice_max_ns(PV_ICE_DEAD_MIN, 2 * p->srtt);
}

/* Before the second probe of a suspected pair: until the answer to the first is late, but so soon
 * that its own is here before the verdict. */
static pv_ns second_probe(const struct pv_ice_pair *p)
{
    pv_ns late = pv_ice_late_after(p);

    return pv_ice_max_ns(PROBE_SECOND, pv_min_ns(late, dead_after(p) - p->srtt * 5 / 4));
}

/* First interval before a repetition. For foreign agents RFC 8445 s14.3 scales it with the number
 * of pairs, so that all checks together stay within the pace Ta. */
static pv_ns plan_interval(const struct pv_ice_agent *a, const struct pv_ice_pair *p,
                           enum pv_ice_plan plan)
{
    switch (plan) {
    case PV_ICE_PLAN_FULL:
        if (a->cfg.foreign) /* RFC 8445 s14.3 */
            return pv_ice_max_ns(PV_ICE_RTO_RFC, PV_ICE_TA_RFC * count_pairs(a));
        return PV_ICE_RESEND_OURS;
    case PV_ICE_PLAN_CONFIRM:
        return pv_ice_max_ns(CONFIRM_MIN, 2 * p->srtt);
    case PV_ICE_PLAN_PROBE:
        return second_probe(p);
    case PV_ICE_PLAN_SINGLE:
        break;
    }
    return pv_ice_max_ns(SINGLE_MIN, 4 * p->srtt);
}

/* Returns true if a verdict on the pair is awaited. */
static bool is_examined(const struct pv_ice_agent *a, int index)
{
    const struct pv_ice_pair *p = &a->pairs[index];

    return a->probe.runs && a->selected == index && p->cur.plan == PV_ICE_PLAN_PROBE &&
           p->check_end != PV_NEVER;
}

/* The superseded check moves to `prev`: its late answers still prove the pair, which matters where
 * the round trip is longer than our first intervals. The one before is counted as lost or answered
 * for good. A pair under suspicion is asked anything else by its probes, and the verdict stands: a
 * full check takes five seconds, in which nothing would be suspected. */
void pv_ice_check_start(struct pv_ice_agent *a, int index, enum pv_ice_plan plan)
{
    struct pv_ice_pair *p = &a->pairs[index];
    pv_ns end = PV_NEVER;
    bool triggered = false;

    if (plan == PV_ICE_PLAN_PROBE)
        end = a->now + dead_after(p);
    else if (is_examined(a, index)) {
        plan = PV_ICE_PLAN_PROBE;
        end = p->check_end;
        triggered = p->cur.triggered; /* the verdict is put off once, see probe_again() */
    }
    account_lost(a, p, &p->prev);
    p->prev = p->cur;
    p->cur = (struct pv_ice_txn){
        .plan = plan,
        .max_sends = plan_sends(a, plan),
        .interval = plan_interval(a, p, plan),
        .controlling = a->cfg.controlling,
        .triggered = triggered,
    };
    if (a->nominating == index && a->cfg.foreign)
        p->cur.use_candidate = true;
    else if (a->nominating == index || a->notice == index)
        p->cur.nomination = a->nomination;
    pv_rng_fill(&a->cfg.rng, p->cur.id, sizeof(p->cur.id));
    p->next_send = a->now;
    p->check_end = end;
    if (p->state != PV_ICE_PAIR_VALID)
        p->state = PV_ICE_PAIR_CHECKING;
}

void pv_ice_check_stop(struct pv_ice_pair *p)
{
    p->next_send = PV_NEVER;
    p->check_end = PV_NEVER;
}

void pv_ice_check_forget(struct pv_ice_pair *p)
{
    pv_ice_check_stop(p);
    p->cur.sends = 0;
    p->prev.sends = 0;
}

bool pv_ice_check_is_running(const struct pv_ice_pair *p)
{
    return p->next_send != PV_NEVER || p->check_end != PV_NEVER;
}

/* Marks one transmission as done and plans the next. Intervals double (RFC 8489 s6.2.1), but for a
 * probe of a suspected path, whose verdict has to come within half a second. After the last
 * transmission the check waits as long again for an answer. */
static void note_sent(struct pv_ice_agent *a, struct pv_ice_pair *p)
{
    struct pv_ice_txn *t = &p->cur;

    t->sent[t->sends++] = a->now;
    p->checks++;
    p->unanswered++;
    pv_ns wait = t->interval;
    if (t->plan == PV_ICE_PLAN_PROBE)
        t->interval = PROBE_THIRD;
    else
        t->interval *= 2;
    if (t->sends < t->max_sends) {
        p->next_send = a->now + wait;
        return;
    }
    p->next_send = PV_NEVER;
    if (t->plan == PV_ICE_PLAN_FULL && a->cfg.foreign)
        wait = pv_ice_max_ns(PV_ICE_RTO_RFC, PV_ICE_TA_RFC * count_pairs(a)) * PV_ICE_RM_RFC;
    if (p->check_end == PV_NEVER)
        p->check_end = a->now + wait;
}

/* Which transmission does the id name? PV_ICE_NONE when it is none of this transaction. */
static int txn_match(const struct pv_ice_txn *t, const uint8_t *id)
{
    unsigned n = (unsigned)(t->id[1] ^ id[1]);

    if (n >= t->sends || t->id[0] != id[0] || memcmp(t->id + 2, id + 2, PV_STUN_TXID_LEN - 2) != 0)
        return PV_ICE_NONE;
    return (int)n;
}

/* The peer's request has just opened the NAT that may have kept ours out: one more leaves at once,
 * and the verdict waits for its answer. */
static void probe_again(struct pv_ice_agent *a, int index)
{
    struct pv_ice_pair *p = &a->pairs[index];
    pv_ns verdict = pv_ice_max_ns(p->check_end, a->now + p->srtt * 5 / 4);

    pv_ice_check_start(a, index, PV_ICE_PLAN_PROBE);
    p->cur.triggered = true;
    p->check_end = verdict;
}

void pv_ice_check_trigger(struct pv_ice_agent *a, int index)
{
    struct pv_ice_pair *p = &a->pairs[index];

    if (a->probe.runs && a->selected == index && p->cur.plan == PV_ICE_PLAN_PROBE &&
        !p->cur.triggered) {
        probe_again(a, index);
        return;
    }
    /* One quick start per check: were each request to begin another, answers slower than the
     * requests would never find the transaction they belong to. */
    if (p->state == PV_ICE_PAIR_VALID || (pv_ice_check_is_running(p) && p->cur.triggered))
        return;
    pv_ice_check_start(a, index, PV_ICE_PLAN_FULL);
    p->cur.triggered = true;
}

/* --- what leaves --------------------------------------------------------------------------- */

/* The check's id with the number of the transmission folded in makes each round trip measurable
 * exactly: an answer says which of the repetitions it answers. */
static int build_request(const struct pv_ice_agent *a, const struct pv_ice_pair *p,
                         struct pv_ice_transmit *tx)
{
    const struct pv_ice_txn *t = &p->cur;
    const struct pv_ice_base *base = &a->bases[p->base];
    char username[USERNAME_MAX + 1];
    uint8_t id[PV_STUN_TXID_LEN];
    struct pv_stun_writer w;

    int n =
        snprintf(username, sizeof(username), "%s:%s", a->remote_creds.ufrag, a->cfg.local.ufrag);
    if (n < 0 || (size_t)n >= sizeof(username))
        return PV_ERR_NO_SPACE;
    memcpy(id, t->id, sizeof(id));
    id[1] = (uint8_t)(id[1] ^ t->sends);

    pv_stun_write_begin(&w, tx->buf, sizeof(tx->buf), PV_STUN_REQUEST, PV_STUN_BINDING, id);
    pv_stun_put(&w, PV_STUN_ATTR_USERNAME, pv_view(username, (size_t)n));
    /* RFC 8445 s7.1.1: the priority a peer-reflexive candidate of this base would have. */
    pv_stun_put_u32(&w, PV_STUN_ATTR_PRIORITY,
                    pv_ice_priority(pv_ice_base_is_relay(a, p) ? PV_ICE_RELAY : PV_ICE_PRFLX,
                                    (uint16_t)(base->priority >> 8)));
    pv_stun_put_u64(&w, t->controlling ? PV_STUN_ATTR_ICE_CONTROLLING : PV_STUN_ATTR_ICE_CONTROLLED,
                    a->tie_breaker);
    if (t->nomination != 0)
        pv_stun_put_u32(&w, PV_STUN_ATTR_NOMINATION, t->nomination);
    if (t->use_candidate)
        pv_stun_put(&w, PV_STUN_ATTR_USE_CANDIDATE, pv_view(NULL, 0));
    pv_stun_put_integrity(&w, pv_view(a->remote_creds.pwd, strlen(a->remote_creds.pwd)));
    pv_stun_put_fingerprint(&w);
    tx->carrier = base->carrier;
    tx->dst = a->remotes[p->remote].cand.addr;
    return pv_stun_write_end(&w, &tx->len);
}

/* RFC 8445 s7.3.1.2: the answer carries the source address as XOR-MAPPED-ADDRESS, from which the
 * peer learns its reflexive candidate, and goes back the way the request came. */
static int build_answer(const struct pv_ice_agent *a, const struct pv_ice_answer *ans,
                        struct pv_ice_transmit *tx)
{
    struct pv_stun_writer w;

    pv_stun_write_begin(&w, tx->buf, sizeof(tx->buf),
                        ans->code == 0 ? PV_STUN_SUCCESS : PV_STUN_ERROR, PV_STUN_BINDING,
                        ans->txid);
    const struct pv_addr seen = pv_nat64_undo(&a->nat64, &ans->dst);
    if (ans->code == 0)
        pv_stun_put_xor_addr(&w, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &seen);
    else
        pv_stun_put_error(&w, ans->code, "");
    if (ans->n_unknown > 0)
        pv_stun_put_unknown(&w, ans->unknown, ans->n_unknown);
    pv_stun_put_integrity(&w, pv_view(a->cfg.local.pwd, strlen(a->cfg.local.pwd)));
    pv_stun_put_fingerprint(&w);
    tx->carrier = ans->carrier;
    tx->dst = ans->dst;
    return pv_stun_write_end(&w, &tx->len);
}

/* The due check of the highest pair priority; RFC 8445 s6.1.4.2 wants the best pairs first. */
static int next_due(const struct pv_ice_agent *a)
{
    int best = PV_ICE_NONE;

    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++) {
        const struct pv_ice_pair *p = &a->pairs[i];
        if (p->used && p->next_send <= a->now &&
            (best == PV_ICE_NONE || p->priority > a->pairs[best].priority))
            best = i;
    }
    return best;
}

/* Returns true if the other end looks like an address on a NAT. */
static bool crosses_nat(const struct pv_ice_agent *a, const struct pv_ice_pair *p)
{
    const struct pv_ice_cand *remote = &a->remotes[p->remote].cand;
    return remote->addr.family == PV_AF_INET && remote->type != PV_ICE_HOST;
}

/* Returns true if this transmission is only to open our own NAT. See pv_ice_set_known(). */
static bool is_primer(const struct pv_ice_agent *a, const struct pv_ice_pair *p)
{
    return !a->known && !a->cfg.foreign && p->cur.plan == PV_ICE_PLAN_FULL &&
           p->cur.sends < PV_ICE_PRIMERS && p->primers < PV_ICE_PRIMERS && !p->cur.triggered &&
           !p->proven && crosses_nat(a, p);
}

/* The first PV_ICE_MAX_OPENED pairs do not wait for their turn: our own NAT must be open before the
 * peer's first check arrives (TRAVERSAL 5). */
void pv_ice_check_open(struct pv_ice_agent *a)
{
    unsigned n = 0;
    for (int i = 0; !a->cfg.foreign && i < PV_ICE_MAX_PAIRS && n < PV_ICE_MAX_OPENED; i++) {
        const struct pv_ice_pair *p = &a->pairs[i];
        if (!p->used || p->state != PV_ICE_PAIR_WAITING || !crosses_nat(a, p))
            continue;
        pv_ice_check_start(a, i, PV_ICE_PLAN_FULL);
        n++;
    }
}

/* The peer has our description: primed pairs send their real check now instead of waiting out
 * PV_ICE_PRIMED_FOR. */
void pv_ice_set_known(struct pv_ice_agent *a, bool known, pv_ns now)
{
    a->now = now;
    a->known = known;
    for (int i = 0; known && i < PV_ICE_MAX_PAIRS; i++) {
        struct pv_ice_pair *p = &a->pairs[i];
        if (!p->used || !p->primed)
            continue;
        p->primed = false;
        if (p->next_send != PV_NEVER && p->next_send > now) {
            p->next_send = now;
            p->cur.interval = PV_ICE_RESEND_OURS;
        }
    }
}

/* Members whose descriptions name somebody else's address get few checks sent there, however many
 * they are and however often they describe it. Where somebody has answered there is no victim. A
 * primer ends before it is there. */
static bool may_ask(struct pv_ice_agent *a, const struct pv_ice_pair *p, bool primer)
{
    return a->cfg.blind == NULL || primer || p->answers > 0 ||
           a->bases[p->base].carrier.kind != PV_ICE_CARRIER_UDP ||
           pv_bucket_table_take(a->cfg.blind, &a->remotes[p->remote].cand.addr, 1, a->now);
}

/* The rule of three: an address known only from data gets no more than three times the bytes that
 * came from there, so that nobody can use us to flood a third party. */
static bool may_spend(struct pv_ice_pair *p, size_t len)
{
    if (!p->stray)
        return true;
    if (p->budget < len + PV_ICE_UDP_OVERHEAD)
        return false;
    p->budget -= (uint32_t)(len + PV_ICE_UDP_OVERHEAD);
    return true;
}

/* A primer left, which dies behind our own NAT. The real check waits until the peer knows us, or
 * PV_ICE_PRIMED_FOR at the longest. */
static void primed(const struct pv_ice_agent *a, struct pv_ice_pair *p)
{
    p->primed = true;
    p->primers++;
    p->cur.interval = PV_ICE_RESEND_OURS;
    p->next_send = a->now + PV_ICE_PRIMER_EVERY;
    if (p->primers == PV_ICE_PRIMERS)
        p->next_send = p->cur.sent[0] + PV_ICE_PRIMED_FOR;
}

/* Answers go before checks: the peer waits for them, and they are limited already where requests
 * come in. A bucket bounds the checks, so that a description full of addresses cannot turn this
 * node into a flood (TRAVERSAL 8 rule 4). */
int pv_ice_poll_transmit(struct pv_ice_agent *a, struct pv_ice_transmit *ret_tx)
{
    ret_tx->ttl = 0;
    while (a->n_answers > 0) {
        int r = build_answer(a, &a->answers[0], ret_tx);
        a->n_answers--;
        memmove(&a->answers[0], &a->answers[1], a->n_answers * sizeof(a->answers[0]));
        if (r == PV_OK)
            return PV_OK;
    }
    for (;;) {
        int i = a->has_remote && a->now >= a->blocked_until ? next_due(a) : PV_ICE_NONE;
        if (i == PV_ICE_NONE)
            return PV_ERR_AGAIN;
        if (!pv_bucket_take(&a->send_bucket, CHECKS_A_SECOND, CHECKS_AT_ONCE, 1, a->now)) {
            a->blocked_until = a->now + BLOCKED_FOR;
            return PV_ERR_AGAIN;
        }
        struct pv_ice_pair *p = &a->pairs[i];
        int r = build_request(a, p, ret_tx);
        bool primer = is_primer(a, p);
        bool send = r == PV_OK && may_spend(p, ret_tx->len) && may_ask(a, p, primer);
        ret_tx->ttl = primer ? PV_ICE_PRIMER_TTL : 0;
        p->cur.max_sends += primer ? 1 : 0; /* it takes nothing from the check itself */
        note_sent(a, p);
        if (primer)
            primed(a, p);
        if (send)
            return PV_OK;
    }
}

/* --- what arrives -------------------------------------------------------------------------- */

/* Splits USERNAME at the first colon (RFC 8445 s7.2.2). The views are into the message. */
static int split_username(const struct pv_stun_msg *msg, struct pv_view *ret_to,
                          struct pv_view *ret_from)
{
    struct pv_view v;
    if (pv_stun_find(msg, PV_STUN_ATTR_USERNAME, &v) < 0)
        return PV_ERR_NOT_FOUND;
    const uint8_t *colon = v.len == 0 ? NULL : memchr(v.ptr, ':', v.len);
    if (colon == NULL)
        return PV_ERR_NOT_FOUND;
    size_t to_len = (size_t)(colon - v.ptr);
    size_t from_len = v.len - to_len - 1;
    if (to_len == 0 || to_len > PV_ICE_UFRAG_MAX || from_len > PV_ICE_UFRAG_MAX)
        return PV_ERR_NOT_FOUND;
    *ret_to = pv_view(v.ptr, to_len);
    *ret_from = pv_view(colon + 1, from_len);
    return PV_OK;
}

int pv_ice_request_ufrag(struct pv_view datagram, char ret_ufrag[static PV_ICE_UFRAG_MAX + 1])
{
    struct pv_stun_msg msg;
    struct pv_view to;
    struct pv_view from;

    if (pv_stun_decode(datagram, &msg) < 0 || msg.cls != PV_STUN_REQUEST ||
        msg.method != PV_STUN_BINDING || split_username(&msg, &to, &from) < 0 ||
        memchr(to.ptr, 0, to.len) != NULL)
        return PV_ERR_NOT_FOUND;
    memcpy(ret_ufrag, to.ptr, to.len);
    ret_ufrag[to.len] = '\0';
    return PV_OK;
}

static bool view_is(struct pv_view v, const char *text)
{
    return pv_view_equal(v, pv_view(text, strlen(text)));
}

static struct pv_ice_answer *queue_answer(struct pv_ice_agent *a,
                                          const struct pv_ice_carrier *carrier,
                                          const struct pv_addr *dst, const struct pv_stun_msg *msg,
                                          unsigned code)
{
    if (a->n_answers == PV_ICE_MAX_ANSWERS)
        return NULL;
    struct pv_ice_answer *ans = &a->answers[a->n_answers++];
    *ans = (struct pv_ice_answer){.carrier = *carrier, .dst = *dst, .code = code};
    memcpy(ans->txid, msg->txid, sizeof(ans->txid));
    return ans;
}

/* RFC 8445 s7.3.1.1: both claim one role, and the tie-breaker decides. True when the request must
 * be answered with 487. Between members the identity keys decide, and no packet changes that. */
static bool role_conflict(struct pv_ice_agent *a, const struct pv_stun_msg *msg)
{
    uint64_t theirs;
    uint16_t same = a->cfg.controlling ? PV_STUN_ATTR_ICE_CONTROLLING : PV_STUN_ATTR_ICE_CONTROLLED;

    /* Ours: between p2pvpnds the identity keys decide, and no packet changes that. */
    if (!a->cfg.foreign || pv_stun_get_u64(msg, same, &theirs) < 0)
        return false;
    bool we_win = a->tie_breaker >= theirs;
    if (we_win == a->cfg.controlling)
        return true; /* the other side is to switch */
    a->cfg.controlling = !a->cfg.controlling;
    pv_ice_pairs_reprioritise(a);
    PV_ICE_TRACE(a, "role conflict: now %s", a->cfg.controlling ? "controlling" : "controlled");
    return false;
}

/* The effects of an authentic request: its source becomes a candidate if it is none yet (s7.3.1.3),
 * the pair is checked in return (s7.3.1.4), a nomination counts (s7.3.1.5). */
void pv_ice_check_effects(struct pv_ice_agent *a, const struct pv_ice_early *req)
{
    int remote = pv_ice_remote_find(a, &req->src);
    bool learnt = remote == PV_ICE_NONE;

    if (learnt) {
        /* A relayed address also shows in the priority: its type preference is 0. */
        bool relayed = pv_turn_is_virtual(&req->src) || req->priority >> 24 == PV_ICE_RELAY;
        struct pv_ice_cand cand = {.type = relayed ? PV_ICE_RELAY : PV_ICE_PRFLX,
                                   .addr = req->src,
                                   .priority = req->priority};
        remote = pv_ice_remote_add(a, &cand, false);
    }
    int index = remote == PV_ICE_NONE ? PV_ICE_NONE : pv_ice_pair_get(a, req->base, remote);
    if (index == PV_ICE_NONE)
        return;
    if (learnt) {
        char text[PV_ICE_PAIR_TEXT];
        PV_ICE_TRACE(a, "peer came from an address it did not list: %s",
                     pv_ice_pair_text(a, index, text));
    }
    a->pairs[index].stray = false;
    if (a->pairs[index].unanswered >= PV_ICE_DEAF)
        a->pairs[index].heard++;
    pv_ice_check_trigger(a, index);
    if (req->nomination != 0)
        pv_ice_choose_nomination_in(a, index, req->nomination);
    if (req->use_candidate)
        pv_ice_choose_use_candidate_in(a, index);
}

/* Keeps a check that came before its sender's description, for pv_ice_set_remote(). Checks arrive
 * out of order, so a nomination that one of them carried stays even if a later one has none. */
static void remember_early(struct pv_ice_agent *a, const struct pv_ice_early *req)
{
    for (size_t i = 0; i < PV_ICE_MAX_EARLY; i++) {
        struct pv_ice_early *e = &a->early[i];
        if (!e->used || e->base != req->base || !pv_addr_equal(&e->src, &req->src) ||
            strcmp(e->ufrag, req->ufrag) != 0)
            continue;
        if (req->nomination > e->nomination)
            e->nomination = req->nomination;
        e->use_candidate |= req->use_candidate;
        return;
    }
    a->early[a->next_early++ % PV_ICE_MAX_EARLY] = *req;
}

/* An authentic request that lacks what RFC 8445 s7.3 needs is answered with an error instead of
 * silence, so that a foreign agent can tell a misunderstanding from a dead path. */
static bool answer_faults(struct pv_ice_agent *a, const struct pv_ice_carrier *carrier,
                          const struct pv_addr *src, const struct pv_stun_msg *msg)
{
    static const uint16_t KNOWN[] = {
        PV_STUN_ATTR_USERNAME,      PV_STUN_ATTR_PRIORITY, PV_STUN_ATTR_MESSAGE_INTEGRITY,
        PV_STUN_ATTR_USE_CANDIDATE, PV_STUN_ATTR_PADDING,  PV_STUN_ATTR_MESSAGE_INTEGRITY_SHA256,
    };
    uint16_t unknown[4];
    uint32_t priority;
    size_t n = pv_stun_list_unknown(msg, KNOWN, PV_ARRAY_LEN(KNOWN), unknown, 4);

    if (n > 0) {
        struct pv_ice_answer *ans = queue_answer(a, carrier, src, msg, PV_STUN_E_UNKNOWN_ATTRIBUTE);
        if (ans != NULL) {
            memcpy(ans->unknown, unknown, sizeof(unknown));
            ans->n_unknown = n;
        }
        return true;
    }
    if (pv_stun_get_u32(msg, PV_STUN_ATTR_PRIORITY, &priority) < 0) {
        (void)queue_answer(a, carrier, src, msg, PV_STUN_E_BAD_REQUEST);
        return true;
    }
    if (role_conflict(a, msg)) {
        (void)queue_answer(a, carrier, src, msg, PV_STUN_E_ROLE_CONFLICT);
        return true;
    }
    return false;
}

/* Username and integrity come first: an unauthentic request gets no answer at all, or this node
 * would reflect traffic to forged sources. The limit on answers stands behind them, so that only a
 * peer can use it up. */
static int handle_request(struct pv_ice_agent *a, const struct pv_ice_carrier *carrier,
                          const struct pv_addr *src, const struct pv_stun_msg *msg)
{
    struct pv_view to;
    struct pv_view from;

    if (split_username(msg, &to, &from) < 0 || !view_is(to, a->cfg.local.ufrag))
        return PV_ERR_AUTH;
    int r = pv_stun_check_integrity(msg, pv_view(a->cfg.local.pwd, strlen(a->cfg.local.pwd)));
    if (r < 0)
        return r == PV_ERR_NOT_FOUND ? PV_ERR_AUTH : r;
    int base = pv_ice_base_find(a, carrier, src->family);
    if (base == PV_ICE_NONE || src->port == 0)
        return PV_ERR_NOT_FOUND;
    if (!pv_bucket_take(&a->answer_bucket, ANSWERS_A_SECOND, ANSWERS_AT_ONCE, 1, a->now))
        return PV_ERR_LIMIT;

    struct pv_ice_carrier back = *carrier;
    if (back.local.family == PV_AF_NONE)
        back.local = a->bases[base].carrier.local;
    if (answer_faults(a, &back, src, msg))
        return PV_OK;
    (void)queue_answer(a, &back, src, msg, 0);

    struct pv_ice_early req = {.used = true, .base = (uint8_t)base, .src = *src};
    (void)!pv_stun_get_u32(msg, PV_STUN_ATTR_PRIORITY, &req.priority);
    (void)!pv_stun_get_u32(msg, PV_STUN_ATTR_NOMINATION, &req.nomination);
    req.use_candidate = pv_stun_has(msg, PV_STUN_ATTR_USE_CANDIDATE);
    memcpy(req.ufrag, from.ptr, from.len);
    if (a->has_remote && view_is(from, a->remote_creds.ufrag))
        pv_ice_check_effects(a, &req);
    else
        remember_early(a, &req);
    return PV_OK;
}

/* The pair, transaction and transmission that an answer is for; NULL when it answers nothing. */
static struct pv_ice_txn *find_check(struct pv_ice_agent *a, const uint8_t *id, int *ret_pair,
                                     unsigned *ret_n)
{
    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++) {
        struct pv_ice_pair *p = &a->pairs[i];
        if (!p->used)
            continue;
        int n = txn_match(&p->cur, id);
        struct pv_ice_txn *t = &p->cur;
        if (n == PV_ICE_NONE) {
            n = txn_match(&p->prev, id);
            t = &p->prev;
        }
        if (n != PV_ICE_NONE) {
            *ret_pair = i;
            *ret_n = (unsigned)n;
            return t;
        }
    }
    return NULL;
}

/* Each transmission has its own id, so Karn's problem (RFC 6298 s3) does not arise: repeated checks
 * measure as well as first ones. */
static void note_rtt(struct pv_ice_pair *p, pv_ns sample)
{
    if (sample == 0)
        sample = 1;                                               /* 0 means unknown */
    p->srtt = p->srtt == 0 ? sample : (7 * p->srtt + sample) / 8; /* RFC 6298 s2 */
}

/* Returns true if a proven pair has this address of ours now. */
static bool is_mapped(const struct pv_ice_agent *a, const struct pv_addr *addr)
{
    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++) {
        const struct pv_ice_pair *p = &a->pairs[i];
        if (p->used && p->state == PV_ICE_PAIR_VALID && pv_addr_equal(&p->mapped, addr))
            return true;
    }
    return false;
}

/* RFC 8445 s7.2.5.3.1: the peer sees us at an address that no candidate of ours has. It becomes a
 * peer-reflexive candidate, and the owner is told, because other peers may be reachable from it.
 * The oldest gives way: a NAT that forgets has given us others since. */
static void learn_local(struct pv_ice_agent *a, const struct pv_ice_pair *p)
{
    for (size_t i = 0; i < a->n_locals; i++)
        if (pv_addr_equal(&a->locals[i].addr, &p->mapped))
            return;
    if (a->n_locals - a->n_given == PV_ICE_MAX_SEEN || a->n_locals == PV_ICE_MAX_LOCAL) {
        size_t i = a->n_given;
        while (i < a->n_locals && is_mapped(a, &a->locals[i].addr))
            i++;
        if (i == a->n_locals)
            return;
        a->n_locals--;
        memmove(&a->locals[i], &a->locals[i + 1], (a->n_locals - i) * sizeof(a->locals[0]));
    }
    const struct pv_ice_base *base = &a->bases[p->base];
    a->locals[a->n_locals++] = (struct pv_ice_cand){
        .type = PV_ICE_PRFLX,
        .addr = p->mapped,
        .priority = pv_ice_priority(PV_ICE_PRFLX, (uint16_t)(base->priority >> 8)),
        .carrier = base->carrier,
    };
    pv_ice_event_add(a, PV_ICE_EV_CANDIDATES_CHANGED);
    PV_ICE_TRACE(a, "the peer sees us at %s", PV_ADDR_STR(&p->mapped));
}

/* An answer to any transmission of a check proves the pair, under the same credentials. Only the
 * nomination that it confirms must belong to its own transaction. */
static int handle_success(struct pv_ice_agent *a, int index, struct pv_ice_txn *t, unsigned n,
                          const struct pv_stun_msg *msg)
{
    struct pv_ice_pair *p = &a->pairs[index];
    struct pv_addr mapped;
    int r = pv_stun_get_xor_addr(msg, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &mapped);
    if (r < 0)
        return PV_ERR_MALFORMED;
    if (((t->answered >> n) & 1u) != 0)
        return PV_OK; /* a duplicate says nothing new */

    t->answered |= 1u << n;
    p->answers++;
    p->unanswered = p->heard = 0;
    p->proven = true;
    if (p->state != PV_ICE_PAIR_VALID) {
        forget_outage(p);
        p->open_since = t->sent[n];
    }
    push_loss(p, false);
    note_rtt(p, a->now - t->sent[n]);
    p->last_answer = a->now;
    bool remapped = p->mapped.family != PV_AF_NONE && !pv_addr_equal(&p->mapped, &mapped);
    p->mapped = mapped;
    p->stray = false;
    if (remapped && !p->no_data)
        p->hold_until = 0; /* what died was the binding of before, adr/0077 */
    learn_local(a, p);
    struct pv_ice_txn answered = *t;
    /* A superseded check proves the pair as well, but delivers no newer nomination. */
    if (t == &p->cur ||
        (p->cur.nomination == t->nomination && p->cur.use_candidate == t->use_candidate))
        pv_ice_check_stop(p);
    pv_ice_choose_answered(a, index, &answered);
    if (remapped)
        pv_ice_choose_remapped(a, index);
    return PV_OK;
}

/* Errors are rare between members (who never dispute the roles); with foreign agents 487 switches
 * ours and repeats the check (s7.2.5.1). */
static int take_refusal(struct pv_ice_agent *a, int index, const struct pv_ice_txn *t,
                        const struct pv_stun_msg *msg)
{
    unsigned code;
    if (pv_stun_get_error(msg, &code) < 0)
        return PV_ERR_MALFORMED;
    PV_ICE_TRACE(a, "a check was refused with error %u", code);
    if (code != PV_STUN_E_ROLE_CONFLICT || !a->cfg.foreign || t != &a->pairs[index].cur)
        return PV_OK;                     /* the check goes on and fails in its time */
    a->cfg.controlling = !t->controlling; /* RFC 8445 s7.2.5.1 */
    pv_rng_fill(&a->cfg.rng, &a->tie_breaker, sizeof(a->tie_breaker));
    pv_ice_pairs_reprioritise(a);
    pv_ice_check_start(a, index, PV_ICE_PLAN_FULL);
    return PV_OK;
}

/* An answer counts only from where the request went and through the same base (RFC 8445
 * s7.2.5.2.1): an asymmetric path would work in one direction only. */
static int handle_response(struct pv_ice_agent *a, const struct pv_ice_carrier *carrier,
                           const struct pv_addr *src, const struct pv_stun_msg *msg)
{
    int index;
    unsigned n;
    struct pv_ice_txn *t = find_check(a, msg->txid, &index, &n);
    if (t == NULL || !a->has_remote)
        return PV_ERR_NOT_FOUND;
    const struct pv_ice_pair *p = &a->pairs[index];
    const struct pv_ice_carrier *base = &a->bases[p->base].carrier;
    /* RFC 8445 s7.2.5.2.1: only symmetric answers count. */
    if (!pv_addr_equal(src, &a->remotes[p->remote].cand.addr) || carrier->kind != base->kind ||
        carrier->sock != base->sock)
        return PV_ERR_NOT_FOUND;
    int r = pv_stun_check_integrity(msg, pv_view(a->remote_creds.pwd, strlen(a->remote_creds.pwd)));
    if (r < 0)
        return r == PV_ERR_NOT_FOUND ? PV_ERR_AUTH : r;
    if (msg->cls == PV_STUN_SUCCESS)
        return handle_success(a, index, t, n, msg);
    return take_refusal(a, index, t, msg);
}

int pv_ice_handle_input(struct pv_ice_agent *a, const struct pv_ice_carrier *carrier,
                        const struct pv_addr *src, struct pv_view datagram, pv_ns now)
{
    struct pv_stun_msg msg;

    a->now = now;
    int r = pv_stun_decode(datagram, &msg);
    if (r < 0)
        return r;
    if (msg.method != PV_STUN_BINDING || msg.cls == PV_STUN_INDICATION)
        return PV_ERR_NOT_FOUND; /* RFC 8445 s11: keepalive indications need no reaction */
    if (pv_stun_has(&msg, PV_STUN_ATTR_FINGERPRINT) && pv_stun_check_fingerprint(&msg) < 0)
        return PV_ERR_MALFORMED;
    if (msg.cls == PV_STUN_REQUEST)
        r = handle_request(a, carrier, src, &msg);
    else
        r = handle_response(a, carrier, src, &msg);
    if (r == PV_OK)
        pv_ice_update_state(a);
    return r;
}
