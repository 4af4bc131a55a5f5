/* SPDX-License-Identifier: MIT */
/*
 * ice_choose.c - which pair is used: selecting, nominating and giving up. Both sides should use the
 * same pair, so the controlling side nominates and repeats that with a growing counter whenever its
 * choice changes (DESIGN 5). A side whose path dies does not wait for that: it falls back at once
 * and says so. Three indices tell the stages apart: selected (in use here), nominating (the
 * nomination is under way), nominated (both sides agree).
 */
#include "proto/ice/ice_agent.h"

#define UPGRADE_MARGIN   PV_MS(2)  /* ours: a better kind of path must also not be slower */
#define RTT_MARGIN       PV_MS(10) /* ours: a path of no better kind must be faster by this */
#define RTT_MARGIN_SHARE 4         /* ours: it must also be faster by a quarter of that in use */
#define RTT_UPGRADE_REST PV_S(10)  /* ours: between changes for the RTT's sake */

/* --- state ------------------------------------------------------------------------------------ */

/* Only pv_ice_update_state() calls this. */
static void set_state(struct pv_ice_agent *a, enum pv_ice_state state)
{
    if (a->state == state)
        return;
    PV_ICE_TRACE(a, "state %s -> %s", pv_ice_state_name(a->state), pv_ice_state_name(state));
    a->state = state;
    pv_ice_event_add(a, PV_ICE_EV_STATE);
}

static bool has_open_checks(const struct pv_ice_agent *a)
{
    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++) {
        const struct pv_ice_pair *p = &a->pairs[i];
        if (p->used && (p->state == PV_ICE_PAIR_WAITING || p->state == PV_ICE_PAIR_CHECKING))
            return true;
    }
    return false;
}

/* The state is a summary of the tables, never a decision: see the table in ice.h. */
void pv_ice_update_state(struct pv_ice_agent *a)
{
    if (!a->has_remote)
        set_state(a, PV_ICE_NEW);
    else if (a->dormant)
        set_state(a, PV_ICE_DORMANT);
    else if (a->selected != PV_ICE_NONE && !a->suspect)
        set_state(a, a->nominated == a->selected ? PV_ICE_COMPLETED : PV_ICE_CONNECTED);
    else if (a->selected != PV_ICE_NONE || has_open_checks(a) || a->now < a->patience_until)
        set_state(a, PV_ICE_CHECKING);
    else
        set_state(a, PV_ICE_FAILED);
}

/* --- choosing and nominating ------------------------------------------------------------------ */

/* Changes the pair in use and forgets every suspicion about the former one. Selecting the present
 * pair again is how suspicion ends. A path woken from dormancy keeps the time of its last traffic:
 * how long it stays awake depends on which side woke it. */
static void select_pair(struct pv_ice_agent *a, int index)
{
    bool was_dormant = a->dormant;
    a->dormant = false;
    if (a->selected == index) {
        if (a->suspect) {
            pv_ice_event_add(
                a, PV_ICE_EV_SELECTED); /* the event is repeated: the path works after all */
            pv_ice_keep_plan(a, &a->pairs[index]);
        }
        a->suspect = false;
        return;
    }
    a->selected = index;
    a->suspect = false;
    a->probe.runs = false;
    a->unanswered = 0;
    a->alive_at = a->pairs[index].last_answer;
    (void)pv_ice_event_take(a, PV_ICE_EV_LATE);
    a->no_data = 0;
    a->consent_from = a->now;
    a->last_switch = a->now;
    a->retry_at = a->now + PV_ICE_RETRY_FIRST;
    a->retry_wait = PV_ICE_RETRY_FIRST;
    if (!was_dormant) /* else how long it stays awake depends on who woke it */
        a->active_at = pv_ice_max_ns(a->active_at, a->now);
    pv_ice_event_add(a, PV_ICE_EV_SELECTED);
    pv_ice_keep_plan(a, &a->pairs[index]);
    pv_ice_trace_pair(a, index, "using");
}

/* The counter makes nominations comparable: the newest wins on both sides, whatever order they
 * arrive in. USE-CANDIDATE could not be taken back. */
static void nominate(struct pv_ice_agent *a, int index)
{
    if (a->nomination == PV_ICE_NOMINATION_MAX)
        return; /* 16 million changes of path: a restart is due */
    a->nominating = index;
    a->nomination++;
    pv_ice_check_start(a, index, PV_ICE_PLAN_FULL);
    pv_ice_trace_pair(a, index, "nominating");
}

/* Returns true if changing from cur to other, the best of all, is worth it. A better kind of path
 * wins as soon as it is not slower. The same kind wins only by a clear margin, on measured round
 * trips, and not more often than RTT_UPGRADE_REST, or two equal paths would take turns for ever. */
static bool is_upgrade(const struct pv_ice_agent *a, const struct pv_ice_pair *other,
                       const struct pv_ice_pair *cur)
{
    pv_ns cost = pv_ice_pair_cost(a, other);
    pv_ns cur_cost = pv_ice_pair_cost(a, cur);
    pv_ns margin = pv_ice_max_ns(RTT_MARGIN, cur->srtt / RTT_MARGIN_SHARE);

    if (pv_ice_pair_handicap(a, other) < pv_ice_pair_handicap(a, cur))
        return cost + UPGRADE_MARGIN < cur_cost;
    return other->answers >= PV_ICE_MEASURES && cur->answers >= PV_ICE_MEASURES &&
           a->now >= a->last_switch + RTT_UPGRADE_REST && cost + margin < cur_cost;
}

/* Controlled side: tells the other side, by a check with the last counter seen, which pair is used
 * without its nomination (DESIGN 5). Before the first nomination there is no choice to
 * contradict. */
static void give_notice(struct pv_ice_agent *a)
{
    if (a->cfg.foreign || a->nomination == 0)
        return;
    a->notice = a->selected;
    pv_ice_check_start(a, a->selected, PV_ICE_PLAN_FULL);
}

/* A nomination under way comes to nothing. The other side may have received it or not; only a newer
 * nomination brings both sides together again, so even the former agreement no longer counts. */
void pv_ice_choose_abandon(struct pv_ice_agent *a, int index)
{
    if (index == PV_ICE_NONE || a->nominating != index)
        return;
    a->nominating = PV_ICE_NONE;
    a->nominated = PV_ICE_NONE;
}

/* Uses a pair on this side's own initiative. The controlling side nominates it; the controlled side
 * gives notice, unless a nomination has arrived whose pair is merely not proven yet. */
static void fall_back(struct pv_ice_agent *a, int index)
{
    select_pair(a, index);
    if (a->cfg.controlling) {
        if (!a->cfg.foreign)
            nominate(a, index);
    } else if (a->nominated == PV_ICE_NONE) {
        give_notice(a); /* else a nomination is here whose pair is still to be proven */
    }
}

/* Returns true if this pair was heard lately. Otherwise it may have lapsed at both ends. */
static bool was_heard(const struct pv_ice_agent *a, int index)
{
    pv_ns heard = a->pairs[index].last_answer;
    if (index == a->selected)
        heard = pv_ice_max_ns(heard, a->last_rx);
    return a->now < heard + PV_ICE_SURE_FOR;
}

/* Returns true if talk began lately after a rest, or has not come here yet. NATs may have forgotten
 * the path then, and one end gives it up a moment before both are open again. */
static bool has_just_woken(const struct pv_ice_agent *a)
{
    return a->now >= a->active_at + PV_ICE_SURE_FOR ||
           (a->talk_from != 0 && a->now < a->talk_from + PV_ICE_SURE_FOR);
}

/* Uses the pair that the peer fell back to. It receives nothing on ours: where that was not heard
 * lately, or talk begins after a rest, it has lapsed, and only an answer from now on counts for it:
 * else it would be nominated again at once, before one that is proven. */
static void follow(struct pv_ice_agent *a, int index)
{
    int left = a->selected;
    bool lapsed =
        left != index && pv_ice_is_valid(a, left) && (!was_heard(a, left) || has_just_woken(a));
    fall_back(a, index);
    if (!lapsed)
        return;
    a->pairs[left].state = PV_ICE_PAIR_CHECKING;
    pv_ice_check_start(a, left, PV_ICE_PLAN_FULL);
}

/* Our end of the pair in use is about to close, which the other side cannot know: its choice no
 * longer counts, and it is told which pair takes over. */
static void leave_retiring(struct pv_ice_agent *a, int best)
{
    if (a->cfg.controlling || a->cfg.foreign || !pv_ice_is_valid(a, a->selected) ||
        !a->bases[a->pairs[a->selected].base].retiring || a->bases[a->pairs[best].base].retiring ||
        pv_ice_pair_is_relayed(a, &a->pairs[best]))
        return;
    a->nominated = PV_ICE_NONE;
    fall_back(a, best);
}

/* The best valid pair other than the selected one that answered after `since`: an answer from
 * before the outage proves nothing about the time after it. */
static int best_proven_since(const struct pv_ice_agent *a, pv_ns since)
{
    int best = PV_ICE_NONE;

    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++) {
        const struct pv_ice_pair *p = &a->pairs[i];
        if (!p->used || i == a->selected || p->state != PV_ICE_PAIR_VALID || p->last_answer < since)
            continue;
        if (best == PV_ICE_NONE || pv_ice_pair_is_better(a, p, &a->pairs[best]))
            best = i;
    }
    return best;
}

/* Returns the pair that replaces a nomination that has waited for longer than a dead path does, or
 * PV_ICE_NONE: wait on. A NAT may have forgotten the nominated pair, so it gives way to a pair that
 * answered later. A nominated relay, which may be dead at the other end, gives way to any direct
 * pair except one that is being asked: that one may be as silent, and both would be nominated in
 * turn for ever. */
static int successor(const struct pv_ice_agent *a, int best)
{
    const struct pv_ice_pair *p = &a->pairs[a->nominating];
    if (a->cfg.foreign || p->cur.sends == 0 ||
        a->now < p->cur.sent[0] + pv_ice_max_ns(PV_ICE_DEAD_MIN, 2 * p->srtt))
        return PV_ICE_NONE;
    if (pv_ice_pair_is_relayed(a, p) && !pv_ice_pair_is_relayed(a, &a->pairs[best]) &&
        !pv_ice_check_is_running(&a->pairs[best]))
        return best;
    return best_proven_since(a, p->last_answer + 1);
}

/* The controlling side looks for something to nominate. For foreign agents there is one nomination
 * only (RFC 8445 s8.1.1), so it waits PV_ICE_NOMINATE_BY for better pairs first. */
void pv_ice_choose_consider(struct pv_ice_agent *a)
{
    int best = pv_ice_pair_best_valid(a, PV_ICE_NONE);

    if (best != PV_ICE_NONE)
        leave_retiring(a, best);
    if (!a->cfg.controlling || best == PV_ICE_NONE || a->suspect)
        return;
    if (a->nominating != PV_ICE_NONE)
        best = successor(a, best);
    if (best == PV_ICE_NONE)
        return;
    if (a->cfg.foreign) {
        bool may_improve = has_open_checks(a) && a->now < a->last_switch + PV_ICE_NOMINATE_BY;
        if (a->nominated == PV_ICE_NONE && !may_improve)
            nominate(a, best);
        return;
    }
    if (!pv_ice_is_valid(a, a->nominated) ||
        (best != a->nominated && is_upgrade(a, &a->pairs[best], &a->pairs[a->nominated])))
        nominate(a, best);
}

/* --- giving up -------------------------------------------------------------------------------- */

/* A path that died is not chosen again for a while, which does not grow: in a storm of faults every
 * path dies again and again, and when it is over the pair must not stay on the relay. A path that
 * carried no data is held for longer and longer: only a trial with real packets can clear it, and
 * each trial loses some. */
static void hold_down(struct pv_ice_agent *a, struct pv_ice_pair *p)
{
    pv_ns hold = PV_ICE_HOLD;
    if (a->now > p->hold_until + 2 * PV_ICE_HOLD_MAX_NO_DATA)
        p->holds = 0;
    if (p->no_data)
        hold = pv_min_ns(hold << (p->holds < 5 ? p->holds : 5), PV_ICE_HOLD_MAX_NO_DATA);
    p->hold_until = a->now + hold;
    p->holds++;
}

/* Data may go over the members' relay before it is proven, because both relayed addresses are known
 * and the relay is ours; it stands selected, suspect, until its own check is answered. */
bool pv_ice_choose_relay(struct pv_ice_agent *a)
{
    int relay = a->cfg.foreign ? PV_ICE_NONE : pv_ice_pair_relayed(a);
    if (relay == PV_ICE_NONE || relay == a->selected ||
        (!a->present && a->pairs[relay].state != PV_ICE_PAIR_VALID))
        return false;
    select_pair(a, relay);
    if (a->pairs[relay].state != PV_ICE_PAIR_VALID) {
        a->suspect = true;
        if (!pv_ice_check_is_running(&a->pairs[relay]))
            pv_ice_check_start(a, relay, PV_ICE_PLAN_FULL);
    }
    return true;
}

/* The last resort is gone. Patience (PV_ICE_PATIENCE_OURS) begins anew, so that FAILED is not
 * announced while a retry of all pairs is under way. */
static void lose(struct pv_ice_agent *a)
{
    a->selected = PV_ICE_NONE;
    a->suspect = false;
    a->dormant = false;
    a->probe.runs = false;
    pv_ice_event_add(a, PV_ICE_EV_LOST);
    a->patience_until = a->now + (a->cfg.foreign ? 0 : PV_ICE_PATIENCE_OURS);
    PV_ICE_TRACE(a, "no path left");
}

void pv_ice_choose_retry_all(struct pv_ice_agent *a)
{
    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++) {
        struct pv_ice_pair *p = &a->pairs[i];
        if (p->used && (p->state == PV_ICE_PAIR_STALE || p->state == PV_ICE_PAIR_FAILED))
            p->state = PV_ICE_PAIR_WAITING;
    }
    a->next_ta = a->now;
}

/* No other pair has proven itself lately: all are checked at once, and the first that answers takes
 * over. Meanwhile the relay carries the data, if there is one. */
static void suspect_selected(struct pv_ice_agent *a)
{
    a->pairs[a->selected].state = PV_ICE_PAIR_CHECKING;
    pv_ice_check_start(a, a->selected, PV_ICE_PLAN_FULL);
    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++)
        if (a->pairs[i].used && a->pairs[i].state == PV_ICE_PAIR_VALID)
            pv_ice_check_start(a, i, PV_ICE_PLAN_FULL);
    (void)pv_ice_choose_relay(a); /* meanwhile */
    a->suspect = true;
    pv_ice_event_add(a, PV_ICE_EV_SUSPECT);
    pv_ice_choose_retry_all(a);
}

/* The pair in use is dead. A pair that answered since then takes over without loss of time;
 * otherwise suspicion gives all pairs, the old one included, one more chance; only when that fails
 * too (final) is the path lost. */
void pv_ice_choose_died(struct pv_ice_agent *a, pv_ns since, bool final)
{
    int old = a->selected;
    struct pv_ice_pair *p = &a->pairs[old];
    int next = a->cfg.foreign ? PV_ICE_NONE : best_proven_since(a, since);

    pv_ice_trace_pair(a, old, "gave up");
    /* Two deaths say nothing against a path: a NAT forgot one that rested, and a peer that began
     * anew keeps its NAT closed until it has our description. */
    if (!a->lapsed && pv_ice_max_ns(p->last_answer, a->last_rx) >= a->reset_at)
        hold_down(a, p);
    a->probe.runs = false;
    a->unanswered = 0;
    pv_ice_choose_abandon(a, old);
    if (a->nominated == old)
        a->nominated = PV_ICE_NONE;
    if (pv_ice_pair_is_members(a, p))
        a->present = false;
    if (next != PV_ICE_NONE) {
        p->state = PV_ICE_PAIR_STALE;
        fall_back(a, next);
    } else if (final || a->cfg.foreign) {
        p->state = PV_ICE_PAIR_FAILED;
        if (!pv_ice_choose_relay(a))
            lose(a);
    } else {
        suspect_selected(a);
    }
}

/* The selected path answers checks and delivers no data, as behind a filter that lets only STUN
 * through. It is left if another pair is proven; a relayed pair is not judged, because its far end
 * may be the culprit. */
static void leave_without_data(struct pv_ice_agent *a)
{
    int old = a->selected;
    struct pv_ice_pair *p = &a->pairs[old];
    int next = pv_ice_pair_best_valid(a, old);

    if (a->cfg.foreign || pv_ice_pair_is_relayed(a, p) || next == PV_ICE_NONE)
        return; /* nothing is better than a path that may lie */
    pv_ice_trace_pair(a, old, "answers checks and carries no data: leaving");
    p->no_data = true;
    hold_down(a, p);
    pv_ice_check_stop(p);
    p->state = PV_ICE_PAIR_STALE;
    pv_ice_choose_abandon(a, old);
    if (a->nominated == old)
        a->nominated = PV_ICE_NONE;
    fall_back(a, next);
}

void pv_ice_choose_selected_gone(struct pv_ice_agent *a)
{
    a->selected = PV_ICE_NONE;
    int next = pv_ice_pair_best_valid(a, PV_ICE_NONE);

    if (next != PV_ICE_NONE && !a->cfg.foreign) {
        fall_back(a, next);
    } else {
        pv_ice_choose_retry_all(a);
        if (!pv_ice_choose_relay(a))
            lose(a);
    }
}

/* --- what the checks say ---------------------------------------------------------------------- */

/* A check answered while a suspicion was running clears the path, but answers without data in
 * return are counted: too many of them make it a path that carries no data. */
static void selected_answered(struct pv_ice_agent *a, const struct pv_ice_txn *txn)
{
    bool was_suspect = a->suspect;

    if (a->probe.runs && a->last_tx > a->last_rx) {
        a->no_data++;
        if (a->no_data >= PV_ICE_NO_DATA_ECHO)
            pv_ice_event_add(a, PV_ICE_EV_ECHO);
        else
            (void)pv_ice_event_take(a, PV_ICE_EV_ECHO);
    }

    if (a->probe.runs) {
        a->defer_until = a->now + PV_ICE_DEFER;
        pv_ice_keep_plan(a, &a->pairs[a->selected]); /* consent is renewed as well */
        a->doubts++;
    }
    a->probe.runs = false;
    a->alive_at = pv_ice_max_ns(a->alive_at, txn->sent[0]); /* says nothing of what left later */
    a->unanswered = 0;
    select_pair(a, a->selected); /* no longer suspect, no longer dormant */
    if (was_suspect && !a->cfg.controlling && a->nominated == PV_ICE_NONE)
        give_notice(a);
}

/* This answer may complete our nomination (controlling), prove a pair that the peer has already
 * nominated (controlled), or prove one that the peer fell back to. */
static void settle_nomination(struct pv_ice_agent *a, int index, const struct pv_ice_txn *txn)
{
    struct pv_ice_pair *p = &a->pairs[index];

    if (!a->cfg.controlling) {
        if (p->use_candidate)
            pv_ice_choose_use_candidate_in(a, index);
        else if (a->nominated == index)
            select_pair(a, index);
        return;
    }
    bool confirmed = a->cfg.foreign ? txn->use_candidate
                                    : txn->nomination != 0 && txn->nomination == a->nomination;
    if (a->nominating == index && confirmed) {
        a->nominating = PV_ICE_NONE;
        a->nominated = index;
        a->wanted = PV_ICE_NONE; /* what the peer fell back to before this is over */
        select_pair(a, index);
    }
    if (a->wanted == index) {
        a->wanted = PV_ICE_NONE;
        follow(a, index);
    }
}

/* Any answer makes the pair valid. Whether it is used now depends on what there is: nothing, a
 * suspect pair, or a better one to be nominated. */
void pv_ice_choose_answered(struct pv_ice_agent *a, int index, const struct pv_ice_txn *txn)
{
    struct pv_ice_pair *p = &a->pairs[index];

    if (p->state != PV_ICE_PAIR_VALID) {
        p->state = PV_ICE_PAIR_VALID;
        p->next_keep = a->now + pv_ice_keep_standby_every(a, p);
        pv_ice_trace_pair(a, index, "proven");
    }
    if (a->dormant) /* the peer woke us: stay awake briefly, in case it has something to send */
        a->active_at =
            pv_ice_max_ns(a->active_at, a->now - (PV_ICE_IDLE_LIMIT - PV_ICE_REVIVED_FOR));
    if (a->selected == index)
        selected_answered(a, txn);
    else if (a->selected == PV_ICE_NONE || (a->suspect && !a->cfg.foreign))
        fall_back(a, index);
    settle_nomination(a, index, txn);
    if (a->selected == index && a->no_data >= PV_ICE_NO_DATA_MAX)
        leave_without_data(a);
    pv_ice_choose_consider(a);
}

/* Our NAT gave the path in use another public address. The peer still sends to the old one, so it
 * is told at once by a new check that has to be answered. */
void pv_ice_choose_remapped(struct pv_ice_agent *a, int index)
{
    if (a->selected != index || a->nominated != index || a->cfg.foreign)
        return;
    PV_ICE_TRACE(a, "our address changed on the path in use: telling the peer");
    if (a->cfg.controlling)
        nominate(a, index);
    else
        give_notice(a);
}

/* A check ended without an answer. The pair in use gets one more chance together with all others;
 * another pair is simply out. */
void pv_ice_choose_failed(struct pv_ice_agent *a, int index)
{
    struct pv_ice_pair *p = &a->pairs[index];

    pv_ice_choose_abandon(a, index);
    if (a->selected == index) {
        /* Where it is not suspect it has one more chance, together with all others. */
        pv_ice_choose_died(a, a->now, a->suspect);
    } else {
        pv_ice_trace_pair(a, index,
                          p->state == PV_ICE_PAIR_VALID ? "no longer answers:" : "no answer:");
        p->state = PV_ICE_PAIR_FAILED;
        if (a->nominated == index) {
            a->nominated = PV_ICE_NONE;
            if (!a->cfg.controlling && pv_ice_is_valid(a, a->selected))
                give_notice(a);
        }
    }
    pv_ice_choose_consider(a);
}

/* --- what the other side says ----------------------------------------------------------------- */

/* Counters order the messages of both sides: an older one is ignored. From the controlled side the
 * same counter means "I could not use your choice and fell back to this pair": our own choice then
 * does not reach the peer, so it is held down, unless it only rested. */
void pv_ice_choose_nomination_in(struct pv_ice_agent *a, int index, uint32_t counter)
{
    if (a->cfg.foreign || counter > PV_ICE_NOMINATION_MAX)
        return;
    if (!a->cfg.controlling) {
        if (counter <= a->nomination)
            return;
        a->nomination = counter;
        a->nominated = index;
        a->notice = PV_ICE_NONE;
        pv_ice_trace_pair(a, index, "the peer nominated");
        if (pv_ice_is_valid(a, index))
            select_pair(a, index);
        return;
    }
    /* The controlled side fell back to this pair; a nomination sent since then is newer. */
    if (counter < a->nomination)
        return;
    a->nomination = counter;
    pv_ice_trace_pair(a, index, "the peer fell back to");
    if (a->nominated != PV_ICE_NONE && a->nominated != index && was_heard(a, a->nominated) &&
        !has_just_woken(a))
        hold_down(a, &a->pairs[a->nominated]);
    if (pv_ice_is_valid(a, index))
        follow(a, index);
    else
        a->wanted = index;
}

/* RFC 8445 s7.3.1.5. Foreign agents nominate once and by the pair's priority, so a nomination of a
 * lower one is an old packet. */
void pv_ice_choose_use_candidate_in(struct pv_ice_agent *a, int index)
{
    struct pv_ice_pair *p = &a->pairs[index];

    if (!a->cfg.foreign || a->cfg.controlling)
        return;
    if (p->state != PV_ICE_PAIR_VALID) {
        p->use_candidate = true; /* RFC 8445 s7.3.1.5: once its check succeeds */
        return;
    }
    p->use_candidate = false;
    if (a->nominated != PV_ICE_NONE && a->pairs[a->nominated].priority >= p->priority)
        return;
    a->nominated = index;
    select_pair(a, index);
}
