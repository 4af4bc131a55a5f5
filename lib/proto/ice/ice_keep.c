/* SPDX-License-Identifier: MIT */
/*
 * ice_keep.c - keeps the pair in use: traffic, suspicion, consent, dormancy, standby pairs, and all
 * timers. A path is in one of three moods. In use it is checked every 5 s (consent, RFC 7675) and
 * suspected as soon as data goes unanswered; idle it is refreshed just within the NAT's binding
 * lifetime; dormant nothing is sent at all. Each `_due` function names one deadline, and the
 * timeout handler acts on exactly those, so that the two cannot drift apart.
 */
#include "proto/ice/ice_agent.h"

/* --- use -------------------------------------------------------------------------------------- */

static bool is_in_use(const struct pv_ice_agent *a)
{
    pv_ns last = pv_ice_max_ns(a->last_tx, a->last_rx);

    /* RFC 7675 knows no idle sessions. */
    return a->cfg.foreign || (last != 0 && a->now < last + PV_ICE_IN_USE);
}

/* A time of 80 to 120 % of base (RFC 7675 s5.1), so that the paths of one node do not check in
 * step. */
static pv_ns jittered(const struct pv_ice_agent *a, pv_ns base)
{
    return base / 100 * (80 + pv_rng_below(&a->cfg.rng, 41));
}

void pv_ice_keep_plan(struct pv_ice_agent *a, struct pv_ice_pair *p)
{
    if (is_in_use(a))
        p->next_keep = a->now + jittered(a, PV_ICE_CONSENT_EVERY);
    else /* never later than the lifetime: 80 to 100 % of it */
        p->next_keep = a->now + jittered(a, a->cfg.binding_lifetime / 6 * 5);
}

/* Traffic begins: consent counts from here (an idle path was not checked that often), standby pairs
 * are refreshed, and the best stale ones are proven again, so that a fallback is ready when it is
 * needed. */
static void begin_use(struct pv_ice_agent *a)
{
    a->consent_from = a->now;
    if (a->selected != PV_ICE_NONE)
        a->pairs[a->selected].next_keep =
            pv_min_ns(a->pairs[a->selected].next_keep, a->now + PV_ICE_CONSENT_EVERY / 5);
    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++)
        if (a->pairs[i].used && a->pairs[i].state == PV_ICE_PAIR_VALID && i != a->selected)
            a->pairs[i].next_keep =
                a->pairs[i].last_answer + pv_ice_keep_standby_every(a, &a->pairs[i]);
    for (int n = 0; n < PV_ICE_STANDBY; n++) {
        int stale = pv_ice_pair_best(a, PV_ICE_PAIR_STALE, a->selected);
        if (stale != PV_ICE_NONE)
            pv_ice_check_start(a, stale, PV_ICE_PLAN_CONFIRM);
    }
}

/* Since when has data that went out wanted an answer; 0: since never. */
static pv_ns unanswered_since(const struct pv_ice_agent *a)
{
    pv_ns alive = pv_ice_max_ns(a->last_rx, a->alive_at);

    if (a->last_tx < a->last_rx || a->last_tx == 0 || a->last_tx <= a->alive_at)
        return 0;
    if (a->unanswered != 0 && a->unanswered >= alive)
        return a->unanswered; /* data was waiting before this */
    return pv_ice_max_ns(alive, a->last_tx - pv_min_ns(a->last_tx, PV_ICE_NOTE_EVERY));
}

/* How long data was waited for is what silence means from now on. A wait in which the path changed,
 * or that ended the use of the path, says nothing; what takes longer than PV_ICE_REPLY_MAX is no
 * reply. */
void pv_ice_keep_data(struct pv_ice_agent *a, pv_ns at)
{
    if (a->last_data > a->last_switch && at < a->last_data + PV_ICE_IN_USE)
        pv_rhythm_note(&a->pauses, at - a->last_data);
    if (a->sent_from > a->last_switch && at > a->sent_from && at < a->sent_from + PV_ICE_REPLY_MAX)
        pv_rhythm_note(&a->replies, at - a->sent_from);
    a->last_data = at;
    a->sent_from = 0;
    a->doubts = 0;
}

/* A reply is waited for from the first data that was sent since data came in. */
static void await_reply(struct pv_ice_agent *a)
{
    if (a->sent_from == 0 && a->last_tx != 0 && a->last_tx >= a->last_data)
        a->sent_from =
            pv_ice_max_ns(a->last_data, a->last_tx - pv_min_ns(a->last_tx, PV_ICE_NOTE_EVERY));
}

/* lapsed: it was not used when it may have died. */
static void suspect(struct pv_ice_agent *a, bool lapsed)
{
    a->probe.runs = true;
    a->lapsed = lapsed;
    a->probe.from = a->now;
    a->probe.late_at = a->now + pv_ice_late_after(&a->pairs[a->selected]);
    pv_ice_check_start(a, a->selected, PV_ICE_PLAN_PROBE);
}

/* Returns true if the path in use has been silent for so long that a NAT may have forgotten it.
 * After a rest, answers to checks do not count: a NAT that ends bindings at some age may have done
 * so since. */
static bool is_unsure(const struct pv_ice_agent *a, bool rested)
{
    pv_ns heard = a->last_rx;
    if (a->cfg.foreign || a->probe.runs || a->suspect || !pv_ice_is_valid(a, a->selected))
        return false;
    if (!rested)
        heard = pv_ice_max_ns(heard, a->pairs[a->selected].last_answer);
    return a->now >= heard + PV_ICE_SURE_FOR;
}

/* Returns true if talk began lately and nothing since then showed that the path lives: it died at
 * rest. */
static bool has_lapsed(const struct pv_ice_agent *a)
{
    return a->talk_from != 0 && a->now < a->talk_from + PV_ICE_SURE_FOR &&
           pv_ice_max_ns(a->last_rx, a->pairs[a->selected].last_answer) <= a->talk_from;
}

/* Called with what the packet threads saw, about ten times a second: it only compares times. */
void pv_ice_keep_traffic(struct pv_ice_agent *a)
{
    pv_ns last = pv_ice_max_ns(a->last_tx, a->last_rx);
    bool newer = last > a->active_at, rested = last >= a->active_at + PV_ICE_SURE_FOR;

    if (newer)
        a->active_at = last;
    if (newer && rested)
        a->talk_from = a->now;
    bool in_use = is_in_use(a);
    if (a->dormant) {
        if (newer && in_use)
            pv_ice_keep_kick(a);
        return;
    }
    if (in_use && !a->in_use)
        begin_use(a);
    a->in_use = in_use;
    if (newer &&
        is_unsure(a, rested)) /* the first packet after silence waits for no doubt (adr/0077) */
        suspect(a, has_lapsed(a));
    if (a->probe.runs && a->last_rx > a->probe.from)
        a->probe.runs = false;
    if (a->last_rx > a->heard)
        a->no_data = 0;
    a->heard = a->last_rx;
    await_reply(a);
    a->unanswered = unanswered_since(a);
}

/* --- suspicion -------------------------------------------------------------------------------- */

static pv_ns silence_min(const struct pv_ice_agent *a)
{
    return pv_ice_max_ns(PV_ICE_SILENCE_MIN, 2 * a->pairs[a->selected].srtt);
}

/* Data that went out is not answered. A program that sends on without an answer does not wait for
 * one that usually takes long. */
static pv_ns reply_due(const struct pv_ice_agent *a)
{
    if (a->unanswered == 0)
        return PV_NEVER;
    bool goes_on = a->last_tx > a->unanswered + PV_ICE_SILENCE_MIN;
    return a->unanswered +
           pv_ice_max_ns(silence_min(a), goes_on ? 0 : pv_rhythm_unusual(&a->replies));
}

/* A packet of a beat is overdue, whatever was checked before it was due. */
static pv_ns beat_due(const struct pv_ice_agent *a)
{
    pv_ns beat = pv_rhythm_beat(&a->pauses);

    if (beat == 0 || pv_ice_max_ns(a->alive_at, a->last_rx) >= a->last_data + beat)
        return PV_NEVER;
    return pv_ice_max_ns(a->last_data + pv_rhythm_late(beat), a->last_switch + silence_min(a));
}

/* Returns when to check a path on which data came in and then ended. Either there is no more data
 * or the path is broken, and only we can find out: a NAT of ours that lost its binding is silent to
 * the sender. An answer says that there was no more data until then, so the doubt comes back, more
 * slowly each time. A path with traffic in a beat alone is not in doubt before beat_due(). */
static pv_ns end_due(const struct pv_ice_agent *a)
{
    static const unsigned WAITS[PV_ICE_MAX_DOUBTS] = {1, 1, 2};

    if (!a->told_data)
        return a->last_tx < a->last_rx && a->alive_at < a->last_rx ? a->last_rx + silence_min(a)
                                                                   : PV_NEVER;
    if (a->last_data == 0 || a->doubts >= PV_ICE_MAX_DOUBTS ||
        (a->doubts == 0 && pv_rhythm_is_steady(&a->pauses)))
        return PV_NEVER;
    pv_ns alive = pv_ice_max_ns(a->last_rx, pv_ice_max_ns(a->alive_at, a->last_switch));
    return alive + WAITS[a->doubts] * pv_ice_max_ns(silence_min(a), pv_rhythm_unusual(&a->pauses));
}

/* Silence that is longer than usual, and than two round trips and PV_ICE_SILENCE_MIN, makes a path
 * suspect, but not while a suspicion is being examined or was just refuted (defer_until). */
static pv_ns suspicion_due(const struct pv_ice_agent *a)
{
    if (a->cfg.foreign || a->probe.runs || a->suspect || a->dormant ||
        !pv_ice_is_valid(a, a->selected))
        return PV_NEVER;
    return pv_ice_max_ns(pv_min_ns(reply_due(a), pv_min_ns(beat_due(a), end_due(a))),
                         a->defer_until);
}

/* Returns the cheapest valid pair that shares neither end with the selected pair: what killed the
 * selected pair (an interface, a NAT, the peer's address) need not have killed the other. */
static int best_disjoint(const struct pv_ice_agent *a)
{
    const struct pv_ice_pair *s = &a->pairs[a->selected];
    int best = PV_ICE_NONE;

    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++) {
        const struct pv_ice_pair *p = &a->pairs[i];
        if (!p->used || p->state != PV_ICE_PAIR_VALID || p->base == s->base ||
            p->remote == s->remote)
            continue;
        if (best == PV_ICE_NONE || pv_ice_pair_cost(a, p) < pv_ice_pair_cost(a, &a->pairs[best]))
            best = i;
    }
    return best;
}

static void ask_once(struct pv_ice_agent *a, int index)
{
    if (index != PV_ICE_NONE && !pv_ice_check_is_running(&a->pairs[index]))
        pv_ice_check_start(a, index, PV_ICE_PLAN_SINGLE);
}

/* The suspected pair's answer is late. The best fallback and the best independent pair are asked,
 * so that by the time of the verdict it is known which of them works. Not before: nearly every
 * suspicion ends with the answer, and one of the two is the relay, which others pay for. */
static void be_late(struct pv_ice_agent *a)
{
    pv_ice_event_add(a, PV_ICE_EV_LATE);
    a->probe.late_at = PV_NEVER;
    ask_once(a, pv_ice_pair_best_valid(a, a->selected));
    ask_once(a, best_disjoint(a));
}

static pv_ns late_due(const struct pv_ice_agent *a)
{
    return a->probe.runs ? a->probe.late_at : PV_NEVER;
}

/* One lost check proves nothing. But a side that only receives has no other sign than its checks,
 * so when the path has been silent besides, it is suspected at once. */
static void single_over(struct pv_ice_agent *a, int index)
{
    pv_ns silence = pv_ice_max_ns(PV_ICE_SILENCE_MIN, 2 * a->pairs[index].srtt);

    if (index == a->selected && !a->cfg.foreign && !a->probe.runs && !a->suspect && !a->dormant &&
        is_in_use(a) && a->now > a->last_rx + silence) {
        suspect(a, a->now >= a->active_at + PV_ICE_SURE_FOR);
        be_late(a); /* by the answer that did not come */
    }
}

/* A check has had all its time without an answer; what follows depends on what it was for. */
static void check_over(struct pv_ice_agent *a, int index, enum pv_ice_plan plan)
{
    struct pv_ice_pair *p = &a->pairs[index];

    pv_ice_check_stop(p);
    if (plan == PV_ICE_PLAN_SINGLE && p->state == PV_ICE_PAIR_VALID) {
        single_over(a, index);
        return;
    }
    if (plan == PV_ICE_PLAN_PROBE) {
        if (a->probe.runs && a->selected == index)
            pv_ice_choose_died(a, a->probe.from, false);
        return;
    }
    if (a->selected == PV_ICE_NONE && p->cur.triggered && !a->cfg.foreign) {
        pv_ice_check_start(a, index, PV_ICE_PLAN_FULL); /* its requests got here: it was bad luck */
        return;
    }
    if (index == a->selected && !a->probe.runs)
        a->lapsed = !is_in_use(a);
    pv_ice_choose_failed(a, index);
}

/* --- keeping ---------------------------------------------------------------------------------- */

/* Tries again, at growing intervals, the pairs that would serve better than the selected one, and
 * stale ones while there are fewer fallbacks than PV_ICE_STANDBY: networks change without
 * telling. */
static void retry_failed(struct pv_ice_agent *a)
{
    const struct pv_ice_pair *s = &a->pairs[a->selected];
    unsigned standby = 0;

    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++)
        standby += a->pairs[i].used && i != a->selected && a->pairs[i].state == PV_ICE_PAIR_VALID;
    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++) {
        struct pv_ice_pair *p = &a->pairs[i];
        if (!p->used || (p->state != PV_ICE_PAIR_STALE && p->state != PV_ICE_PAIR_FAILED))
            continue;
        bool better = pv_ice_pair_handicap(a, p) < pv_ice_pair_handicap(a, s);
        if (better || (p->state == PV_ICE_PAIR_STALE && standby < PV_ICE_STANDBY))
            p->state = PV_ICE_PAIR_WAITING;
    }
    a->retry_at = a->now + a->retry_wait;
    a->retry_wait = pv_min_ns(2 * a->retry_wait, PV_ICE_RETRY_MAX);
}

static pv_ns retry_due(const struct pv_ice_agent *a)
{
    if (a->cfg.foreign || a->suspect || !pv_ice_is_valid(a, a->selected) || !a->in_use)
        return PV_NEVER;
    return a->retry_at;
}

/* Nothing was sent for PV_ICE_IDLE_LIMIT. All pairs become stale rather than forgotten, since what
 * worked first will be tried first; the relay is left selected, because it works without proof and
 * the first packet must not wait. */
static void go_dormant(struct pv_ice_agent *a)
{
    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++) {
        struct pv_ice_pair *p = &a->pairs[i];
        if (!p->used)
            continue;
        pv_ice_check_stop(p);
        p->next_keep = PV_NEVER;
        if (p->state == PV_ICE_PAIR_VALID)
            p->state = PV_ICE_PAIR_STALE;
        else if (p->state != PV_ICE_PAIR_STALE)
            p->state = PV_ICE_PAIR_FAILED;
    }
    pv_ice_choose_abandon(a, a->nominating);
    a->wanted = PV_ICE_NONE;
    a->notice = PV_ICE_NONE;
    PV_ICE_TRACE(a, "idle for %u s: dormant", (unsigned)((a->now - a->active_at) / PV_S(1)));
    (void)pv_ice_choose_relay(a); /* for the next packet, DESIGN 5 */
    pv_ice_check_stop(&a->pairs[a->selected]);
    a->probe.runs = false;
    a->dormant = true;
    a->suspect = true;
    a->in_use = false;
}

static pv_ns dormant_due(const struct pv_ice_agent *a)
{
    if (a->cfg.foreign || a->dormant || a->selected == PV_ICE_NONE)
        return PV_NEVER;
    return a->active_at + PV_ICE_IDLE_LIMIT;
}

/* RFC 7675 s5.1: no answer for 30 s means that the peer may no longer want our data. */
static pv_ns consent_due(const struct pv_ice_agent *a)
{
    if (!pv_ice_is_valid(a, a->selected) || a->suspect || a->dormant || !is_in_use(a))
        return PV_NEVER;
    return pv_ice_max_ns(a->pairs[a->selected].last_answer, a->consent_from) +
           PV_ICE_CONSENT_EXPIRES;
}

static pv_ns stale_due(const struct pv_ice_agent *a, int index)
{
    const struct pv_ice_pair *p = &a->pairs[index];

    if (p->state != PV_ICE_PAIR_VALID || index == a->selected || index == a->nominating)
        return PV_NEVER;
    return p->last_answer + PV_ICE_STALE_AFTER;
}

/* A pair that looks better than the one in use is measured quickly, until PV_ICE_MEASURES answers
 * decide; the others only have to stay alive. */
pv_ns pv_ice_keep_standby_every(const struct pv_ice_agent *a, const struct pv_ice_pair *p)
{
    bool promising = !a->cfg.foreign && pv_ice_is_valid(a, a->selected) &&
                     p->answers < PV_ICE_MEASURES &&
                     pv_ice_pair_is_better(a, p, &a->pairs[a->selected]);
    if (promising)
        return PV_ICE_MEASURE_EVERY;
    return pv_ice_pair_is_members(a, p) ? PV_ICE_RELAY_EVERY : PV_ICE_STANDBY_EVERY;
}

/* The maintenance check of one valid pair. Pairs beyond the standby limit are allowed to go stale:
 * keeping all bindings of all pairs alive would cost more than finding them again. */
static void keep_pair(struct pv_ice_agent *a, int index)
{
    struct pv_ice_pair *p = &a->pairs[index];
    bool in_use = is_in_use(a);

    if (p->state != PV_ICE_PAIR_VALID || a->now < p->next_keep)
        return;
    pv_ns idle_to = a->cfg.foreign ? PV_NEVER : dormant_due(a);
    if (index == a->selected && !in_use && idle_to != PV_NEVER &&
        a->now + PV_ICE_REVIVED_FOR >= idle_to) {
        /* About to sleep: a check would wake the other side, whose answer wakes us, for ever. */
        p->next_keep = PV_NEVER;
        return;
    }
    if (index == a->selected) {
        pv_ice_keep_plan(a, p);
        if (!pv_ice_check_is_running(p))
            pv_ice_check_start(a, index, in_use ? PV_ICE_PLAN_SINGLE : PV_ICE_PLAN_CONFIRM);
        return;
    }
    if (!in_use || a->cfg.foreign || pv_ice_pair_rank(a, index) >= PV_ICE_STANDBY) {
        p->next_keep = PV_NEVER; /* goes stale in its time */
        return;
    }
    p->next_keep = a->now + pv_ice_keep_standby_every(a, p);
    if (p->hold_until > a->now) /* then it may be the best again */
        p->next_keep = pv_min_ns(p->next_keep, p->hold_until);
    if (!pv_ice_check_is_running(p))
        pv_ice_check_start(a, index, PV_ICE_PLAN_CONFIRM);
}

static bool may_check_more(const struct pv_ice_agent *a)
{
    return a->has_remote && !a->dormant && !(a->cfg.foreign && a->nominated != PV_ICE_NONE);
}

/* Ordinary checks, one every Ta, best first (RFC 8445 s6.1.4.2). */
static void start_ordinary(struct pv_ice_agent *a)
{
    if (a->now < a->next_ta || !may_check_more(a))
        return;
    int next = pv_ice_pair_best(a, PV_ICE_PAIR_WAITING, PV_ICE_NONE);
    if (next == PV_ICE_NONE)
        return;
    pv_ice_check_start(a, next, PV_ICE_PLAN_FULL);
    a->next_ta = a->now + (a->cfg.foreign ? PV_ICE_TA_RFC : PV_ICE_TA_OURS);
}

/* Order matters: ended checks and ended consent first, since they may change the selection; then
 * the other deadlines of the selected pair; ordinary checks last, on what is left of the send
 * budget. */
void pv_ice_keep_handle_timeout(struct pv_ice_agent *a)
{
    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++) {
        struct pv_ice_pair *p = &a->pairs[i];
        if (!p->used)
            continue;
        if (a->now >= p->check_end)
            check_over(a, i, p->cur.plan);
        keep_pair(a, i);
        if (a->now >= stale_due(a, i) && !pv_ice_check_is_running(p))
            p->state = PV_ICE_PAIR_STALE;
    }
    if (a->now >= consent_due(a)) {
        PV_ICE_TRACE(a, "no consent for 30 s");
        a->lapsed = false;
        if (!a->cfg.foreign)
            pv_ice_choose_retry_all(a);
        pv_ice_choose_died(a, a->now - PV_ICE_CONSENT_EXPIRES, true);
    }
    if (a->now >= suspicion_due(a))
        suspect(a, has_lapsed(a));
    if (a->now >= late_due(a))
        be_late(a);
    if (a->now >= retry_due(a))
        retry_failed(a);
    if (a->now >= dormant_due(a))
        go_dormant(a);
    a->in_use = a->in_use && is_in_use(a);
    start_ordinary(a);
    if (a->cfg.foreign || a->nominating != PV_ICE_NONE) /* which repetitions wake it for */
        pv_ice_choose_consider(a);
    pv_ice_update_state(a);
}

/* The earliest of all deadlines that the timeout handler acts on. A deadline missing here would
 * make the agent sleep through it, one too many would make it spin. */
pv_ns pv_ice_keep_next_timeout(const struct pv_ice_agent *a)
{
    pv_ns next = pv_min_ns(pv_min_ns(suspicion_due(a), consent_due(a)),
                           pv_min_ns(dormant_due(a), pv_min_ns(retry_due(a), late_due(a))));

    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++) {
        const struct pv_ice_pair *p = &a->pairs[i];
        if (!p->used)
            continue;
        next = pv_min_ns(next, pv_ice_max_ns(p->next_send, a->blocked_until));
        next = pv_min_ns(next, p->check_end);
        if (p->state == PV_ICE_PAIR_VALID)
            next = pv_min_ns(next, p->next_keep);
        if (!pv_ice_check_is_running(p))
            next = pv_min_ns(next, stale_due(a, i));
        if (p->state == PV_ICE_PAIR_WAITING && may_check_more(a))
            next = pv_min_ns(next, a->next_ta);
    }
    if (a->state == PV_ICE_CHECKING && a->patience_until > a->now)
        next = pv_min_ns(next, a->patience_until);
    if (a->cfg.foreign && a->cfg.controlling && a->state == PV_ICE_CONNECTED &&
        a->nominating == PV_ICE_NONE)
        next = pv_min_ns(next, a->last_switch + PV_ICE_NOMINATE_BY);
    return next;
}

/* --- beginning anew --------------------------------------------------------------------------- */

void pv_ice_keep_confirm(struct pv_ice_agent *a)
{
    if (!a->dormant && pv_ice_is_valid(a, a->selected) &&
        !pv_ice_check_is_running(&a->pairs[a->selected]))
        pv_ice_check_start(a, a->selected, PV_ICE_PLAN_CONFIRM);
}

/* The check repeats itself so rarely by now that starting it anew is quicker. */
static bool is_slack(const struct pv_ice_agent *a, const struct pv_ice_pair *p)
{
    return p->cur.sends > 0 && a->now > p->cur.sent[p->cur.sends - 1] + PV_ICE_KICK_MIN;
}

void pv_ice_keep_try_others(struct pv_ice_agent *a)
{
    pv_ice_choose_retry_all(a);
    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++) {
        struct pv_ice_pair *p = &a->pairs[i];
        if (p->used && i != a->selected && p->state == PV_ICE_PAIR_CHECKING && is_slack(a, p)) {
            pv_ice_check_stop(p);
            p->state = PV_ICE_PAIR_WAITING;
        }
    }
}

/* The network changed or somebody wants the peer: everything is checked again, what worked first.
 * Repetitions within PV_ICE_KICK_MIN are one, because several causes usually arrive together. */
void pv_ice_keep_kick(struct pv_ice_agent *a)
{
    a->last_kick = a->now;
    /* After a sleep the use of before is over: consent counts from the traffic that follows. */
    a->in_use = a->in_use && is_in_use(a);
    a->patience_until = a->now + (a->cfg.foreign ? PV_ICE_PATIENCE_RFC : PV_ICE_PATIENCE_OURS);
    pv_ice_keep_try_others(a);
    if (a->selected != PV_ICE_NONE) {
        if (a->now >= a->active_at + PV_ICE_SURE_FOR) /* the data that follows begins no talk */
            a->talk_from = a->now;
        a->active_at = pv_ice_max_ns(a->active_at, a->now);
        pv_ice_check_start(a, a->selected, PV_ICE_PLAN_FULL);
    }
    a->dormant = false;
    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++) {
        struct pv_ice_pair *p = &a->pairs[i];
        if (p->used && i != a->selected && p->state == PV_ICE_PAIR_VALID &&
            pv_ice_pair_rank(a, i) < PV_ICE_STANDBY && !pv_ice_check_is_running(p))
            pv_ice_check_start(a, i, PV_ICE_PLAN_CONFIRM);
    }
}

/* Credentials changed: every pair has to prove itself again, and the selected one stays in use in
 * suspect. Its NATs are open already, so it needs no primers. */
void pv_ice_keep_reset(struct pv_ice_agent *a)
{
    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++) {
        struct pv_ice_pair *p = &a->pairs[i];
        if (!p->used)
            continue;
        pv_ice_check_forget(p);
        p->state = PV_ICE_PAIR_WAITING;
        p->next_keep = PV_NEVER;
        p->use_candidate = false;
        p->proven = i == a->selected; /* its NATs are open */
        p->primed = false;
        p->primers = 0;
        p->hold_until = 0;
    }
    a->reset_at = a->now;
    a->nominated = PV_ICE_NONE;
    a->nominating = PV_ICE_NONE;
    a->wanted = PV_ICE_NONE;
    a->notice = PV_ICE_NONE;
    a->probe.runs = false;
    a->unanswered = 0;
    a->dormant = false;
    a->suspect = a->selected != PV_ICE_NONE;
    a->next_ta = a->now;
    a->patience_until = a->now + (a->cfg.foreign ? PV_ICE_PATIENCE_RFC : PV_ICE_PATIENCE_OURS);
    if (a->selected != PV_ICE_NONE && a->has_remote)
        pv_ice_check_start(a, a->selected, PV_ICE_PLAN_FULL);
}
