/* SPDX-License-Identifier: MIT */
#include <inttypes.h>

#include "proto/ice_agent.h"

#define UPGRADE_MARGIN   PV_MS(2)  /* ours: a better kind of path must also not be slower */
#define RTT_MARGIN       PV_MS(10) /* ours: a path of no better kind must be faster by this, */
#define RTT_MARGIN_SHARE 4         /* and by this share of the cost in use */
#define RTT_UPGRADE_REST PV_S(10)  /* ours: between changes for the RTT's sake */
#define RFC_NOMINATE_BY  PV_S(1)   /* ours: wait for better pairs, foreign agents */

enum {
    RTT_UPGRADE_ANSWERS = 4, /* ours: measured this often before a change for the RTT's sake */
};

static pv_ns max_ns(pv_ns a, pv_ns b)
{
    return a > b ? a : b;
}

static bool is_valid(const struct pv_ice_agent *a, int index)
{
    return index != ICE_NONE && a->pairs[index].state == ICE_PAIR_VALID;
}

/* --- state --------------------------------------------------------------------------------- */

static void set_state(struct pv_ice_agent *a, enum pv_ice_state state)
{
    if (a->state == state)
        return;
    ICE_TRACE(a, "state %s -> %s", pv_ice_state_name(a->state), pv_ice_state_name(state));
    a->state = state;
    a->ev_state = true;
}

static bool has_open_checks(const struct pv_ice_agent *a)
{
    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++) {
        const struct ice_pair *p = &a->pairs[i];
        if (p->used && (p->state == ICE_PAIR_WAITING || p->state == ICE_PAIR_CHECKING))
            return true;
    }
    return false;
}

void ice_keep_update_state(struct pv_ice_agent *a)
{
    if (!a->has_remote)
        set_state(a, PV_ICE_NEW);
    else if (a->dormant)
        set_state(a, PV_ICE_DORMANT);
    else if (a->selected != ICE_NONE && !a->doubt)
        set_state(a, a->nominated == a->selected ? PV_ICE_COMPLETED : PV_ICE_CONNECTED);
    else if (a->selected != ICE_NONE || has_open_checks(a) || a->now < a->patience_until)
        set_state(a, PV_ICE_CHECKING);
    else
        set_state(a, PV_ICE_FAILED);
}

bool ice_keep_in_use(const struct pv_ice_agent *a)
{
    pv_ns last = max_ns(a->last_tx, a->last_rx);

    /* RFC 7675 knows no idle sessions. */
    return a->cfg.foreign || (last != 0 && a->now < last + ICE_IN_USE);
}

/* --- choosing and nominating --------------------------------------------------------------- */

/* base * (80 .. 120 %), RFC 7675 s5.1 */
static pv_ns jittered(const struct pv_ice_agent *a, pv_ns base)
{
    return base / 100 * (80 + pv_rng_below(&a->cfg.rng, 41));
}

static void plan_keep(struct pv_ice_agent *a, struct ice_pair *p)
{
    if (ice_keep_in_use(a))
        p->next_keep = a->now + jittered(a, ICE_CONSENT_EVERY);
    else /* never later than the lifetime: 80 to 100 % of it */
        p->next_keep = a->now + jittered(a, a->cfg.binding_lifetime / 6 * 5);
}

static void trace_pair(struct pv_ice_agent *a, int index, const char *what)
{
    char text[ICE_PAIR_TEXT];
    const struct ice_pair *p = &a->pairs[index];

    ICE_TRACE(a, "%s %s (%" PRIu64 ".%" PRIu64 " ms)", what, ice_pair_text(a, index, text),
              (uint64_t)(p->srtt / PV_MS(1)), (uint64_t)(p->srtt / PV_US(100) % 10));
}

static void select_pair(struct pv_ice_agent *a, int index)
{
    a->dormant = false;
    if (a->selected == index) {
        a->ev_selected |= a->doubt; /* said again: it works after all */
        a->doubt = false;
        return;
    }
    a->selected = index;
    a->doubt = false;
    a->probing = false;
    a->unanswered = 0;
    a->consent_from = a->now;
    a->last_switch = a->now;
    a->retry_at = a->now + ICE_RETRY_FIRST;
    a->retry_wait = ICE_RETRY_FIRST;
    a->active_at = max_ns(a->active_at, a->now);
    a->ev_selected = true;
    plan_keep(a, &a->pairs[index]);
    trace_pair(a, index, "using");
}

static void nominate(struct pv_ice_agent *a, int index)
{
    if (a->nomination == ICE_NOMINATION_MAX)
        return; /* 16 million changes of path: a restart is due */
    a->nominating = index;
    a->nomination++;
    ice_check_start(a, index, ICE_PLAN_FULL);
    trace_pair(a, index, "nominating");
}

/* Is changing from cur to other worth it? */
static bool is_upgrade(const struct pv_ice_agent *a, const struct ice_pair *other,
                       const struct ice_pair *cur)
{
    pv_ns cost = ice_pair_cost(a, other);
    pv_ns cur_cost = ice_pair_cost(a, cur);
    pv_ns margin = max_ns(RTT_MARGIN, cur_cost / RTT_MARGIN_SHARE);

    if (a->now < other->hold_until)
        return false;
    if (ice_pair_handicap(a, other) < ice_pair_handicap(a, cur))
        return cost + UPGRADE_MARGIN < cur_cost;
    return other->answers >= RTT_UPGRADE_ANSWERS && cur->answers >= RTT_UPGRADE_ANSWERS &&
           a->now >= a->last_switch + RTT_UPGRADE_REST && cost + margin < cur_cost;
}

/* Controlling: is there something to nominate? */
static void consider(struct pv_ice_agent *a)
{
    int best = ice_pair_best_valid(a, ICE_NONE);

    if (!a->cfg.controlling || a->nominating != ICE_NONE || best == ICE_NONE || a->doubt)
        return;
    if (a->cfg.foreign) {
        bool may_improve = has_open_checks(a) && a->now < a->last_switch + RFC_NOMINATE_BY;
        if (a->nominated == ICE_NONE && !may_improve)
            nominate(a, best);
        return;
    }
    if (!is_valid(a, a->nominated) ||
        (best != a->nominated && is_upgrade(a, &a->pairs[best], &a->pairs[a->nominated])))
        nominate(a, best);
}

/* Controlled: tells the other side, with the last counter seen, which pair is used without its
 * nomination (DESIGN 5). Nothing to tell before its first nomination. */
static void give_notice(struct pv_ice_agent *a)
{
    if (a->cfg.foreign || a->nomination == 0)
        return;
    a->notice = a->selected;
    ice_check_start(a, a->selected, ICE_PLAN_FULL);
}

/* A nomination under way that comes to nothing. The other side may have heard of it or not: only a
 * newer one brings both together again. */
static void abandon_nomination(struct pv_ice_agent *a, int index)
{
    if (index == ICE_NONE || a->nominating != index)
        return;
    a->nominating = ICE_NONE;
    a->nominated = ICE_NONE;
}

/* Uses a pair on own initiative, instead of the selected one if there is any. */
static void fall_back(struct pv_ice_agent *a, int index)
{
    select_pair(a, index);
    if (a->cfg.controlling) {
        if (!a->cfg.foreign)
            nominate(a, index);
    } else if (a->nominated == ICE_NONE) {
        give_notice(a); /* else a nomination is here whose pair is still to be proven */
    }
}

static void hold_down(struct pv_ice_agent *a, struct ice_pair *p)
{
    if (a->now > p->hold_until + 2 * ICE_HOLD_MAX)
        p->holds = 0;
    pv_ns hold = ICE_HOLD_FIRST << (p->holds < 5 ? p->holds : 5);
    p->hold_until = a->now + pv_min_ns(hold, ICE_HOLD_MAX);
    p->holds++;
}

static void lose(struct pv_ice_agent *a)
{
    a->selected = ICE_NONE;
    a->doubt = false;
    a->dormant = false;
    a->probing = false;
    a->ev_lost = true;
    a->patience_until = a->now + (a->cfg.foreign ? 0 : ICE_PATIENCE_OURS);
    ICE_TRACE(a, "no path left");
}

/* Every pair but the valid ones gets another chance. */
static void recheck_others(struct pv_ice_agent *a)
{
    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++) {
        struct ice_pair *p = &a->pairs[i];
        if (p->used && (p->state == ICE_PAIR_STALE || p->state == ICE_PAIR_FAILED))
            p->state = ICE_PAIR_WAITING;
    }
    a->next_ta = a->now;
}

/* The best valid pair, but the selected one, that answered since then. */
static int best_proven_since(const struct pv_ice_agent *a, pv_ns since)
{
    int best = ICE_NONE;

    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++) {
        const struct ice_pair *p = &a->pairs[i];
        if (!p->used || i == a->selected || p->state != ICE_PAIR_VALID || p->last_answer < since)
            continue;
        if (best == ICE_NONE || ice_pair_is_better(a, p, &a->pairs[best]))
            best = i;
    }
    return best;
}

/* Nothing has proven itself lately: all are asked at once, and the first to answer takes over. */
static void doubt_selected(struct pv_ice_agent *a)
{
    a->doubt = true;
    a->ev_doubt = true;
    a->pairs[a->selected].state = ICE_PAIR_CHECKING;
    ice_check_start(a, a->selected, ICE_PLAN_FULL);
    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++)
        if (a->pairs[i].used && a->pairs[i].state == ICE_PAIR_VALID)
            ice_check_start(a, i, ICE_PLAN_FULL);
    recheck_others(a);
}

/* The selected pair does not work any more; one that answered since then may take over. final: no
 * more is to be tried on the old one. */
static void path_died(struct pv_ice_agent *a, pv_ns since, bool final)
{
    int old = a->selected;
    struct ice_pair *p = &a->pairs[old];
    int next = a->cfg.foreign ? ICE_NONE : best_proven_since(a, since);

    trace_pair(a, old, "gave up");
    hold_down(a, p);
    a->probing = false;
    a->unanswered = 0;
    abandon_nomination(a, old);
    if (a->nominated == old)
        a->nominated = ICE_NONE;
    if (next != ICE_NONE) {
        p->state = ICE_PAIR_STALE;
        fall_back(a, next);
    } else if (final || a->cfg.foreign) {
        p->state = ICE_PAIR_FAILED;
        lose(a);
    } else {
        doubt_selected(a);
    }
}

static void suspect(struct pv_ice_agent *a);

void ice_keep_selected_gone(struct pv_ice_agent *a)
{
    a->selected = ICE_NONE;
    int next = ice_pair_best_valid(a, ICE_NONE);

    if (next != ICE_NONE && !a->cfg.foreign) {
        fall_back(a, next);
    } else {
        recheck_others(a);
        lose(a);
    }
}

/* --- what the checks say ------------------------------------------------------------------- */

static void selected_answered(struct pv_ice_agent *a)
{
    bool doubted = a->doubt;

    if (a->probing)
        a->defer_until = a->now + ICE_DEFER;
    a->probing = false;
    if (a->unanswered != 0)
        a->unanswered = a->now;
    select_pair(a, a->selected); /* no longer doubted, no longer dormant */
    if (doubted && !a->cfg.controlling && a->nominated == ICE_NONE)
        give_notice(a);
}

/* A nomination that this answer completes, or that waited for this pair to be proven. */
static void settle_nomination(struct pv_ice_agent *a, int index, const struct ice_txn *txn)
{
    struct ice_pair *p = &a->pairs[index];

    if (!a->cfg.controlling) {
        if (p->use_candidate)
            ice_keep_use_candidate_in(a, index);
        else if (a->nominated == index)
            select_pair(a, index);
        return;
    }
    bool confirmed = a->cfg.foreign ? txn->use_candidate
                                    : txn->nomination != 0 && txn->nomination == a->nomination;
    if (a->nominating == index && confirmed) {
        a->nominating = ICE_NONE;
        a->nominated = index;
        select_pair(a, index);
    }
    if (a->wanted == index) {
        a->wanted = ICE_NONE;
        fall_back(a, index);
    }
}

void ice_keep_answered(struct pv_ice_agent *a, int index, const struct ice_txn *txn)
{
    struct ice_pair *p = &a->pairs[index];

    if (p->state != ICE_PAIR_VALID) {
        p->state = ICE_PAIR_VALID;
        p->next_keep = a->now + ICE_STANDBY_EVERY;
        trace_pair(a, index, "proven");
    }
    if (a->dormant) /* the peer woke us: stay awake briefly, in case it has something to send */
        a->active_at = max_ns(a->active_at, a->now - (ICE_IDLE_LIMIT - ICE_REVIVED_FOR));
    if (a->selected == index)
        selected_answered(a);
    else if (a->selected == ICE_NONE || (a->doubt && !a->cfg.foreign))
        fall_back(a, index);
    settle_nomination(a, index, txn);
    consider(a);
}

void ice_keep_remapped(struct pv_ice_agent *a, int index)
{
    if (a->selected != index || a->nominated != index || a->cfg.foreign)
        return;
    ICE_TRACE(a, "our address changed on the path in use: telling the peer");
    if (a->cfg.controlling)
        nominate(a, index);
    else
        give_notice(a);
}

/* One lost check proves nothing, but who only receives has no other sign: ask again, and quickly,
 * when the path has been silent besides. */
static void single_over(struct pv_ice_agent *a, int index)
{
    pv_ns silence = max_ns(ICE_SILENCE_MIN, 2 * a->pairs[index].srtt);

    if (index == a->selected && !a->cfg.foreign && !a->probing && !a->doubt && !a->dormant &&
        ice_keep_in_use(a) && a->now > a->last_rx + silence)
        suspect(a);
}

void ice_keep_check_over(struct pv_ice_agent *a, int index, enum ice_plan plan)
{
    struct ice_pair *p = &a->pairs[index];

    ice_check_stop(p);
    if (plan == ICE_PLAN_SINGLE && p->state == ICE_PAIR_VALID) {
        single_over(a, index);
        return;
    }
    if (plan == ICE_PLAN_PROBE) {
        if (a->probing && a->selected == index)
            path_died(a, a->probe_from, false);
        return;
    }
    if (a->selected == ICE_NONE && p->cur.triggered && !a->cfg.foreign) {
        ice_check_start(a, index, ICE_PLAN_FULL); /* its requests got here: it was bad luck */
        return;
    }
    abandon_nomination(a, index);
    if (a->selected == index) {
        path_died(a, a->now, a->doubt); /* undoubted it has one more chance, with all others */
    } else {
        trace_pair(a, index, p->state == ICE_PAIR_VALID ? "no longer answers:" : "no answer:");
        p->state = ICE_PAIR_FAILED;
        if (a->nominated == index) {
            a->nominated = ICE_NONE;
            if (!a->cfg.controlling && is_valid(a, a->selected))
                give_notice(a);
        }
    }
    consider(a);
}

void ice_keep_nomination_in(struct pv_ice_agent *a, int index, uint32_t counter)
{
    if (a->cfg.foreign || counter > ICE_NOMINATION_MAX)
        return;
    if (!a->cfg.controlling) {
        if (counter <= a->nomination)
            return;
        a->nomination = counter;
        a->nominated = index;
        a->notice = ICE_NONE;
        trace_pair(a, index, "the peer nominated");
        if (is_valid(a, index))
            select_pair(a, index);
        return;
    }
    /* The controlled side fell back to this pair. What we sent since is newer and stands. */
    if (counter < a->nomination)
        return;
    a->nomination = counter;
    trace_pair(a, index, "the peer fell back to");
    if (a->nominated != ICE_NONE && a->nominated != index)
        hold_down(a, &a->pairs[a->nominated]);
    if (is_valid(a, index))
        fall_back(a, index); /* what it does not receive is what we send */
    else
        a->wanted = index;
}

void ice_keep_use_candidate_in(struct pv_ice_agent *a, int index)
{
    struct ice_pair *p = &a->pairs[index];

    if (!a->cfg.foreign || a->cfg.controlling)
        return;
    if (p->state != ICE_PAIR_VALID) {
        p->use_candidate = true; /* RFC 8445 s7.3.1.5: once its check succeeds */
        return;
    }
    p->use_candidate = false;
    if (a->nominated != ICE_NONE && a->pairs[a->nominated].priority >= p->priority)
        return;
    a->nominated = index;
    select_pair(a, index);
}

/* --- traffic ------------------------------------------------------------------------------- */

static void begin_use(struct pv_ice_agent *a)
{
    a->consent_from = a->now;
    if (a->selected != ICE_NONE)
        a->pairs[a->selected].next_keep =
            pv_min_ns(a->pairs[a->selected].next_keep, a->now + ICE_CONSENT_EVERY / 5);
    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++)
        if (a->pairs[i].used && a->pairs[i].state == ICE_PAIR_VALID && i != a->selected)
            a->pairs[i].next_keep = a->now;
    for (int n = 0; n < ICE_STANDBY; n++) {
        int stale = ice_pair_best(a, ICE_PAIR_STALE, a->selected);
        if (stale != ICE_NONE)
            ice_check_start(a, stale, ICE_PLAN_CONFIRM);
    }
}

void ice_keep_traffic(struct pv_ice_agent *a)
{
    pv_ns last = max_ns(a->last_tx, a->last_rx);
    bool newer = last > a->active_at;

    if (newer)
        a->active_at = last;
    bool in_use = ice_keep_in_use(a);
    if (a->dormant) {
        if (newer && in_use)
            ice_keep_kick(a);
        return;
    }
    if (in_use && !a->in_use)
        begin_use(a);
    a->in_use = in_use;
    if (a->last_tx <= a->last_rx)
        a->unanswered = 0;
    else if (a->unanswered < a->last_rx || a->unanswered == 0)
        a->unanswered = max_ns(a->last_rx, a->last_tx - pv_min_ns(a->last_tx, ICE_NOTE_EVERY));
    if (a->probing && a->last_rx > a->probe_from)
        a->probing = false;
}

static pv_ns suspicion_due(const struct pv_ice_agent *a)
{
    if (a->cfg.foreign || a->probing || a->doubt || a->dormant || a->unanswered == 0 ||
        !is_valid(a, a->selected))
        return PV_NEVER;
    pv_ns silence = max_ns(ICE_SILENCE_MIN, 2 * a->pairs[a->selected].srtt);
    return max_ns(a->unanswered + silence, a->defer_until);
}

/* The best valid pair that shares neither end with the selected one: what killed that need not
 * have killed this. */
static int best_disjoint(const struct pv_ice_agent *a)
{
    const struct ice_pair *s = &a->pairs[a->selected];
    int best = ICE_NONE;

    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++) {
        const struct ice_pair *p = &a->pairs[i];
        if (!p->used || p->state != ICE_PAIR_VALID || p->base == s->base || p->remote == s->remote)
            continue;
        if (best == ICE_NONE || ice_pair_cost(a, p) < ice_pair_cost(a, &a->pairs[best]))
            best = i;
    }
    return best;
}

static void ask_once(struct pv_ice_agent *a, int index)
{
    if (index != ICE_NONE && !ice_check_is_running(&a->pairs[index]))
        ice_check_start(a, index, ICE_PLAN_SINGLE);
}

static void suspect(struct pv_ice_agent *a)
{
    a->probing = true;
    a->probe_from = a->now;
    ice_check_start(a, a->selected, ICE_PLAN_PROBE);
    ask_once(a, ice_pair_best_valid(a, a->selected));
    ask_once(a, best_disjoint(a));
}

/* While in use, pairs that would serve better than the selected one are tried again now and then,
 * and stale ones while there are too few to fall back on. */
static void retry_failed(struct pv_ice_agent *a)
{
    const struct ice_pair *s = &a->pairs[a->selected];
    unsigned standby = 0;

    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++)
        standby += a->pairs[i].used && i != a->selected && a->pairs[i].state == ICE_PAIR_VALID;
    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++) {
        struct ice_pair *p = &a->pairs[i];
        if (!p->used || (p->state != ICE_PAIR_STALE && p->state != ICE_PAIR_FAILED))
            continue;
        bool better = ice_pair_handicap(a, p) < ice_pair_handicap(a, s);
        if (better || (p->state == ICE_PAIR_STALE && standby < ICE_STANDBY))
            p->state = ICE_PAIR_WAITING;
    }
    a->retry_at = a->now + a->retry_wait;
    a->retry_wait = pv_min_ns(2 * a->retry_wait, ICE_RETRY_MAX);
}

static pv_ns retry_due(const struct pv_ice_agent *a)
{
    if (a->cfg.foreign || a->doubt || !is_valid(a, a->selected) || !a->in_use)
        return PV_NEVER;
    return a->retry_at;
}

/* --- keeping ------------------------------------------------------------------------------- */

static void go_dormant(struct pv_ice_agent *a)
{
    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++) {
        struct ice_pair *p = &a->pairs[i];
        if (!p->used)
            continue;
        ice_check_stop(p);
        p->next_keep = PV_NEVER;
        if (p->state == ICE_PAIR_VALID)
            p->state = ICE_PAIR_STALE;
        else if (p->state != ICE_PAIR_STALE)
            p->state = ICE_PAIR_FAILED;
    }
    abandon_nomination(a, a->nominating);
    a->wanted = ICE_NONE;
    a->notice = ICE_NONE;
    a->probing = false;
    a->dormant = true;
    a->doubt = true;
    a->in_use = false;
    ICE_TRACE(a, "idle for %u s: dormant", (unsigned)((a->now - a->active_at) / PV_S(1)));
}

static pv_ns dormant_due(const struct pv_ice_agent *a)
{
    if (a->cfg.foreign || a->dormant || a->selected == ICE_NONE)
        return PV_NEVER;
    return a->active_at + ICE_IDLE_LIMIT;
}

static pv_ns consent_due(const struct pv_ice_agent *a)
{
    if (!is_valid(a, a->selected) || a->doubt || a->dormant || !ice_keep_in_use(a))
        return PV_NEVER;
    return max_ns(a->pairs[a->selected].last_answer, a->consent_from) + ICE_CONSENT_EXPIRES;
}

static pv_ns stale_due(const struct pv_ice_agent *a, int index)
{
    const struct ice_pair *p = &a->pairs[index];

    if (p->state != ICE_PAIR_VALID || index == a->selected || index == a->nominating)
        return PV_NEVER;
    return p->last_answer + ICE_STALE_AFTER;
}

static void keep_pair(struct pv_ice_agent *a, int index)
{
    struct ice_pair *p = &a->pairs[index];
    bool in_use = ice_keep_in_use(a);

    if (p->state != ICE_PAIR_VALID || a->now < p->next_keep)
        return;
    if (index == a->selected) {
        plan_keep(a, p);
        if (!ice_check_is_running(p))
            ice_check_start(a, index, in_use ? ICE_PLAN_SINGLE : ICE_PLAN_CONFIRM);
        return;
    }
    if (!in_use || a->cfg.foreign || ice_pair_rank(a, index) >= ICE_STANDBY) {
        p->next_keep = PV_NEVER; /* goes stale in its time */
        return;
    }
    p->next_keep = a->now + ICE_STANDBY_EVERY;
    if (!ice_check_is_running(p))
        ice_check_start(a, index, ICE_PLAN_CONFIRM);
}

static bool may_check_more(const struct pv_ice_agent *a)
{
    return a->has_remote && !a->dormant && !(a->cfg.foreign && a->nominated != ICE_NONE);
}

/* Ordinary checks, one every Ta, best first (RFC 8445 s6.1.4.2). */
static void start_ordinary(struct pv_ice_agent *a)
{
    if (a->now < a->next_ta || !may_check_more(a))
        return;
    int next = ice_pair_best(a, ICE_PAIR_WAITING, ICE_NONE);
    if (next == ICE_NONE)
        return;
    ice_check_start(a, next, ICE_PLAN_FULL);
    a->next_ta = a->now + (a->cfg.foreign ? ICE_TA_RFC : ICE_TA_OURS);
}

void ice_keep_timeout(struct pv_ice_agent *a)
{
    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++) {
        struct ice_pair *p = &a->pairs[i];
        if (!p->used)
            continue;
        if (a->now >= p->check_end)
            ice_keep_check_over(a, i, p->cur.plan);
        keep_pair(a, i);
        if (a->now >= stale_due(a, i) && !ice_check_is_running(p))
            p->state = ICE_PAIR_STALE;
    }
    if (a->now >= suspicion_due(a))
        suspect(a);
    if (a->now >= retry_due(a))
        retry_failed(a);
    if (a->now >= consent_due(a)) {
        ICE_TRACE(a, "no consent for 30 s");
        if (!a->cfg.foreign)
            recheck_others(a);
        path_died(a, a->now - ICE_CONSENT_EXPIRES, true);
    }
    if (a->now >= dormant_due(a))
        go_dormant(a);
    a->in_use = a->in_use && ice_keep_in_use(a);
    start_ordinary(a);
    if (a->cfg.foreign)
        consider(a);
    ice_keep_update_state(a);
}

pv_ns ice_keep_next(const struct pv_ice_agent *a)
{
    pv_ns next = pv_min_ns(pv_min_ns(suspicion_due(a), consent_due(a)),
                           pv_min_ns(dormant_due(a), retry_due(a)));

    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++) {
        const struct ice_pair *p = &a->pairs[i];
        if (!p->used)
            continue;
        next = pv_min_ns(next, max_ns(p->next_send, a->blocked_until));
        next = pv_min_ns(next, p->check_end);
        if (p->state == ICE_PAIR_VALID)
            next = pv_min_ns(next, p->next_keep);
        if (!ice_check_is_running(p))
            next = pv_min_ns(next, stale_due(a, i));
        if (p->state == ICE_PAIR_WAITING && may_check_more(a))
            next = pv_min_ns(next, a->next_ta);
    }
    if (a->state == PV_ICE_CHECKING && a->patience_until > a->now)
        next = pv_min_ns(next, a->patience_until);
    if (a->cfg.foreign && a->cfg.controlling && a->state == PV_ICE_CONNECTED &&
        a->nominating == ICE_NONE)
        next = pv_min_ns(next, a->last_switch + RFC_NOMINATE_BY);
    return next;
}

/* --- beginning anew ------------------------------------------------------------------------ */

void ice_keep_confirm(struct pv_ice_agent *a)
{
    if (!a->dormant && is_valid(a, a->selected) && !ice_check_is_running(&a->pairs[a->selected]))
        ice_check_start(a, a->selected, ICE_PLAN_CONFIRM);
}

/* A check that repeats itself so rarely by now that it had better begin anew. */
static bool is_slack(const struct pv_ice_agent *a, const struct ice_pair *p)
{
    return p->cur.sends > 0 && a->now > p->cur.sent[p->cur.sends - 1] + ICE_KICK_MIN;
}

void ice_keep_kick(struct pv_ice_agent *a)
{
    a->last_kick = a->now;
    a->patience_until = a->now + (a->cfg.foreign ? ICE_PATIENCE_RFC : ICE_PATIENCE_OURS);
    recheck_others(a);
    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++) {
        struct ice_pair *p = &a->pairs[i];
        if (p->used && p->state == ICE_PAIR_CHECKING && is_slack(a, p)) {
            ice_check_stop(p);
            p->state = ICE_PAIR_WAITING;
        }
    }
    if (a->selected != ICE_NONE) {
        a->active_at = max_ns(a->active_at, a->now);
        ice_check_start(a, a->selected, ICE_PLAN_FULL);
    }
    a->dormant = false;
    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++) {
        struct ice_pair *p = &a->pairs[i];
        if (p->used && i != a->selected && p->state == ICE_PAIR_VALID &&
            ice_pair_rank(a, i) < ICE_STANDBY && !ice_check_is_running(p))
            ice_check_start(a, i, ICE_PLAN_CONFIRM);
    }
}

void ice_keep_reset(struct pv_ice_agent *a)
{
    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++) {
        struct ice_pair *p = &a->pairs[i];
        if (!p->used)
            continue;
        ice_check_forget(p);
        p->state = ICE_PAIR_WAITING;
        p->next_keep = PV_NEVER;
        p->use_candidate = false;
        p->hold_until = 0;
    }
    a->nominated = ICE_NONE;
    a->nominating = ICE_NONE;
    a->wanted = ICE_NONE;
    a->notice = ICE_NONE;
    a->probing = false;
    a->unanswered = 0;
    a->dormant = false;
    a->doubt = a->selected != ICE_NONE;
    a->next_ta = a->now;
    a->patience_until = a->now + (a->cfg.foreign ? ICE_PATIENCE_RFC : ICE_PATIENCE_OURS);
    if (a->selected != ICE_NONE && a->has_remote)
        ice_check_start(a, a->selected, ICE_PLAN_FULL);
}
