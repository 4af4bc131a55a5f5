/* SPDX-License-Identifier: MIT */
/*
 * session_keep.c - what a session does by itself: when the way changes, for the traffic seen, when
 * time passes. The timers of whitepaper s6 that presume a path stand still without one, or a node
 * that was offline for an hour would come back to a list of expired deadlines and begin a handshake
 * with every peer at once.
 */
#include "proto/wireguard/session_int.h"

/* --- reach and traffic ---------------------------------------------------------------------- */

/* A deadline that was armed at `from` and stood still since the path was lost: it moves by the time
 * without a path. */
static pv_ns resumed(const struct pv_session *s, pv_ns deadline, pv_ns from, pv_ns now)
{
    if (deadline == PV_NEVER)
        return PV_NEVER;
    pv_ns stood = from > s->pathless_since ? from : s->pathless_since;
    return deadline + (now > stood ? now - stood : 0);
}

/* Does what had to wait for a path: the proof of new keys, the persistent keepalive, and a
 * message 1 that so far went by signal only, which may have been lost. */
static void path_begins(struct pv_session *s, pv_ns now)
{
    s->unheard_at = resumed(s, s->unheard_at, s->unheard_from, now);
    s->keepalive_at = resumed(s, s->keepalive_at, s->owed_from, now);
    if (s->persistent > 0)
        s->persistent_at = now;
    if (s->confirm_due && s->slots[PV_SESSION_SLOT_CURRENT].used)
        pv_session_prove_keys(s, now);
    if (s->phase == PV_SESSION_PHASE_SENT && s->has_pending && s->sent_via == PV_SESSION_BY_SIGNAL)
        s->msg_again.due = true;
    s->path_since = now;
    if (s->phase == PV_SESSION_PHASE_WAITING && s->retry_at < pv_session_proof_expected(s))
        s->retry_at = pv_session_proof_expected(s);
}

void pv_session_set_reach(struct pv_session *s, enum pv_session_reach reach, pv_ns now)
{
    bool had_path = pv_session_has_path(s), was_udp = s->reach == PV_SESSION_BY_UDP;
    s->reach = reach;
    if (had_path && !pv_session_has_path(s))
        s->pathless_since = now;
    if (was_udp && pv_session_way(s) == PV_SESSION_BY_SIGNAL && s->phase == PV_SESSION_PHASE_SENT &&
        s->has_pending)
        s->msg_again.due = true; /* a path that died took it along, most likely */
    if (!had_path && pv_session_has_path(s))
        path_begins(s, now);
    else if (!was_udp && reach == PV_SESSION_BY_UDP && s->proof_at != PV_NEVER)
        pv_session_prove_keys(s, now); /* those before may have gone to a dead path */
}

void pv_session_set_suite(struct pv_session *s, enum pv_suite suite, pv_ns now)
{
    s->suite = suite;
    pv_session_check_suite(s, now);
}

/* A peer that began anew has lifted the wait: the attempt that is under way was meant for its
 * former life and does not count as one. */
void pv_session_want(struct pv_session *s, pv_ns now)
{
    if (s->phase != PV_SESSION_PHASE_IDLE && s->give_up_at != PV_NEVER)
        s->give_up_at = now + PV_SESSION_GIVE_UP_AFTER;
    if (s->phase != PV_SESSION_PHASE_IDLE && s->lifted.send) {
        /* A handshake under way was meant for the peer's former life. */
        s->phase = PV_SESSION_PHASE_WANTED;
        s->first_sent = PV_NEVER;
        s->tries = 0;
    }
    pv_session_begin(s, now);
}

void pv_session_cancel(struct pv_session *s)
{
    if (s->phase != PV_SESSION_PHASE_IDLE)
        pv_session_end(s);
}

void pv_session_peer_new_gen(struct pv_session *s)
{
    s->lifted.send = true;
    s->lifted.signal = true;
}

/* Rekey by age and count (s6.2), at the moment of sending and of receiving. */
static void check_age(struct pv_session *s, bool sent, bool received, pv_ns now)
{
    const struct pv_session_slot *cur = &s->slots[PV_SESSION_SLOT_CURRENT];
    if (!cur->used)
        return;
    uint64_t messages =
        cur->suite == PV_SUITE_AES ? PV_SESSION_REKEY_MESSAGES_AES : PV_SESSION_REKEY_MESSAGES;
    if (sent && ((cur->initiator && now >= cur->born + PV_SESSION_REKEY_AFTER) ||
                 s->seen.sent - s->sent_at_use >= messages))
        pv_session_begin(s, now);
    if (sent || received)
        pv_session_check_psk(s, true, now);
    if (received && cur->initiator && now >= cur->born + LAST_CALL && !s->last_call_made) {
        s->last_call_made = true;
        pv_session_begin(s, now);
    }
}

/* Two clocks (whitepaper s6.5): data sent and nothing heard since means that the peer may have lost
 * its keys; data received and nothing sent since means that an empty packet is owed, so that the
 * peer's clock does not run out. Each runs from the first packet without an answer. */
void pv_session_note_traffic(struct pv_session *s, const struct pv_session_traffic *seen, pv_ns now)
{
    const struct pv_session_traffic old = s->seen;
    s->seen = *seen;
    bool sent = seen->any_sent > old.any_sent;
    bool received = seen->any_received > old.any_received;

    check_age(s, sent, received, now);

    /* Sent, and nothing heard since: the clock runs from the first packet without an answer. */
    if (s->unheard_from != 0 && seen->any_received >= s->unheard_from) {
        s->unheard_from = 0;
        s->unheard_at = PV_NEVER;
    }
    if (s->unheard_from == 0 && seen->data_sent > old.data_sent &&
        seen->data_sent > seen->any_received) {
        s->unheard_from = seen->data_sent;
        s->unheard_at = pv_session_jittered(s, seen->data_sent + UNHEARD_AFTER);
    }
    /* Heard, and nothing sent since: an empty packet is owed. */
    if (s->owed_from != 0 && seen->any_sent >= s->owed_from) {
        s->owed_from = 0;
        s->keepalive_at = PV_NEVER;
    }
    if (s->owed_from == 0 && seen->data_received > old.data_received &&
        seen->data_received > seen->any_sent) {
        s->owed_from = seen->data_received;
        s->keepalive_at = seen->data_received + PV_SESSION_KEEPALIVE;
    }
    if (s->persistent > 0 && (sent || received))
        s->persistent_at = now + s->persistent;
}

/* The first packet under keys made as responder proves that the initiator has them (whitepaper
 * s5.1): only now may they be sent with. */
void pv_session_confirm(struct pv_session *s, uint32_t local_index, pv_ns now)
{
    if (s->slots[PV_SESSION_SLOT_CURRENT].used &&
        s->slots[PV_SESSION_SLOT_CURRENT].local == local_index)
        s->proof_at = PV_NEVER; /* the peer sends with them: it has had our proof */
    if (pv_session_is_crowded(s) || !s->slots[PV_SESSION_SLOT_NEXT].used ||
        s->slots[PV_SESSION_SLOT_NEXT].local != local_index)
        return;
    pv_session_move_slot(s, PV_SESSION_SLOT_CURRENT, PV_SESSION_SLOT_PREVIOUS);
    pv_session_move_slot(s, PV_SESSION_SLOT_NEXT, PV_SESSION_SLOT_CURRENT);
    s->agreed = s->next_device;
    /* The peer may have answered a message 1 of ours meanwhile, and wait for us to use that: the
     * answer is taken until another message 1 would be due. */
    if (s->has_pending)
        s->spare_until = s->retry_at;
    s->phase = PV_SESSION_PHASE_IDLE;
    s->tries = 0;
    s->msg_again.due = false;
    s->given.stale = false; /* it was read after all */
    pv_session_prove_psk(s, s->slots[PV_SESSION_SLOT_CURRENT].psk, now);
    pv_session_use_current(s, now);
}

/* --- time ----------------------------------------------------------------------------------- */

static void expire_keys(struct pv_session *s, pv_ns now)
{
    for (int i = 0; i < PV_SESSION_SLOTS; i++) {
        if (!s->slots[i].used || now < s->slots[i].born + PV_SESSION_REJECT_AFTER)
            continue;
        pv_session_clear_slot(s, (enum pv_session_slot_name)i);
        if (i == PV_SESSION_SLOT_NEXT && s->phase == PV_SESSION_PHASE_WAITING)
            s->phase = PV_SESSION_PHASE_WANTED;
    }
}

void pv_session_run_attempt(struct pv_session *s, pv_ns now)
{
    if (now >= s->spare_until)
        pv_session_drop_pending(s);
    if (s->phase == PV_SESSION_PHASE_IDLE)
        return;
    if (now >= s->give_up_at) {
        pv_session_end(s);
        pv_session_push(s, PV_SESSION_GIVE_UP, 0);
    } else if ((s->phase == PV_SESSION_PHASE_SENT ||
                (s->phase == PV_SESSION_PHASE_WAITING && pv_session_has_path(s))) &&
               now >= s->retry_at) {
        s->phase = PV_SESSION_PHASE_WANTED;
    }
}

/* Each deadline is disarmed before it acts; what it starts may arm it again. */
static void run_path_timers(struct pv_session *s, pv_ns now)
{
    if (now >= s->unheard_at) {
        s->unheard_from = 0;
        s->unheard_at = PV_NEVER;
        pv_session_want(s, now);
    }
    if (now >= s->keepalive_at) {
        s->owed_from = 0;
        s->keepalive_at = PV_NEVER;
        if (s->slots[PV_SESSION_SLOT_CURRENT].used)
            pv_session_send_keepalive(s);
    }
    if (now >= s->proof_at) {
        s->proof_at =
            ++s->proofs < PV_SESSION_PROOFS ? now + (PV_SESSION_REPEAT << s->proofs) : PV_NEVER;
        if (s->slots[PV_SESSION_SLOT_CURRENT].used)
            pv_session_send_keepalive(s);
    }
    if (now >= s->persistent_at) {
        s->persistent_at = now + s->persistent;
        if (s->slots[PV_SESSION_SLOT_CURRENT].used)
            pv_session_send_keepalive(s);
        else
            pv_session_want(s, now);
    }
}

void pv_session_handle_timeout(struct pv_session *s, pv_ns now)
{
    if (pv_session_is_crowded(s))
        return;
    expire_keys(s, now);
    pv_session_run_attempt(s, now);
    if (pv_session_has_path(s))
        run_path_timers(s, now);
}

/* The earliest of all deadlines above; those that need a path count only while there is one. */
pv_ns pv_session_next_timeout(const struct pv_session *s)
{
    pv_ns t = s->spare_until;
    for (int i = 0; i < PV_SESSION_SLOTS; i++) {
        if (s->slots[i].used)
            t = pv_min_ns(t, s->slots[i].born + PV_SESSION_REJECT_AFTER);
    }
    if (s->phase != PV_SESSION_PHASE_IDLE)
        t = pv_min_ns(t, s->give_up_at);
    if (s->phase == PV_SESSION_PHASE_SENT ||
        (s->phase == PV_SESSION_PHASE_WAITING && pv_session_has_path(s)))
        t = pv_min_ns(t, s->retry_at);
    if (s->phase == PV_SESSION_PHASE_SENT && s->reach == PV_SESSION_BY_UDP)
        t = pv_min_ns(t, s->repeat_at);
    if (s->phase == PV_SESSION_PHASE_WANTED && s->reach != PV_SESSION_NOWHERE)
        t = pv_min_ns(t, pv_session_may_send_from(s));
    if (pv_session_has_path(s))
        t = pv_min_ns(pv_min_ns(pv_min_ns(t, s->proof_at), s->unheard_at),
                      pv_min_ns(s->keepalive_at, s->persistent_at));
    return t;
}
