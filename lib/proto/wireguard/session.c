/* SPDX-License-Identifier: MIT */
/*
 * session.c - the messages of a session: handshakes in and out, key slots, events (whitepaper s5).
 * Members differ from stock WireGuard in three places, each marked "ours": which of two crossing
 * handshakes survives is decided by the identity keys, lost messages are repeated after half a
 * second, and messages may come by signal. With static peers the behaviour is Linux's.
 */
#include <string.h>

#include "crypto/ct.h"
#include "proto/wireguard/session_int.h"

/* --- small parts ---------------------------------------------------------------------------- */

bool pv_session_has_path(const struct pv_session *s)
{
    return s->reach == PV_SESSION_BY_UDP || s->reach == PV_SESSION_BY_BOTH;
}

enum pv_session_reach pv_session_way(const struct pv_session *s)
{
    return s->reach == PV_SESSION_BY_BOTH ? PV_SESSION_BY_SIGNAL : s->reach;
}

/* An owner that does not drain its events must not make this machine lose one: while they are
 * crowded nothing is accepted and nothing made. */
bool pv_session_is_crowded(const struct pv_session *s)
{
    return s->n_events > PV_SESSION_EVENTS - PV_SESSION_EVENTS_A_CALL;
}

struct pv_session_event *pv_session_push(struct pv_session *s, enum pv_session_event_type type,
                                         uint32_t index)
{
    struct pv_session_event *e = &s->events[(s->first_event + s->n_events) % PV_SESSION_EVENTS];
    s->n_events++;
    *e = (struct pv_session_event){.type = type, .index = index};
    return e;
}

pv_ns pv_session_jittered(struct pv_session *s, pv_ns t)
{
    return t + pv_rng_below(&s->rng, (uint32_t)PV_SESSION_JITTER);
}

/* The owner's index table must never name a slot that is gone, so every slot is cleared here. */
void pv_session_clear_slot(struct pv_session *s, enum pv_session_slot_name name)
{
    if (s->slots[name].used)
        pv_session_push(s, PV_SESSION_INDEX_GONE, s->slots[name].local);
    s->slots[name] = (struct pv_session_slot){.used = false};
}

void pv_session_move_slot(struct pv_session *s, enum pv_session_slot_name from,
                          enum pv_session_slot_name to)
{
    pv_session_clear_slot(s, to);
    s->slots[to] = s->slots[from];
    s->slots[from] = (struct pv_session_slot){.used = false};
}

/* The index of an unanswered message 1 is given back; an answer to it would find nothing. */
void pv_session_drop_pending(struct pv_session *s)
{
    if (s->has_pending)
        pv_session_push(s, PV_SESSION_INDEX_GONE, s->pending.local_index);
    pv_wg_pending_wipe(&s->pending);
    s->has_pending = false;
    s->spare_until = PV_NEVER;
    s->msg_again.due = false;
}

pv_ns pv_session_proof_expected(const struct pv_session *s)
{
    pv_ns since = s->slots[PV_SESSION_SLOT_NEXT].born > s->path_since
                      ? s->slots[PV_SESSION_SLOT_NEXT].born
                      : s->path_since;
    return since + PROOF_WITHIN;
}

/* When NEXT may be proven any moment (the peer's own handshake is about to succeed), a second
 * handshake would only throw those keys away: the wish waits for that first. */
void pv_session_begin(struct pv_session *s, pv_ns now)
{
    if (s->phase != PV_SESSION_PHASE_IDLE)
        return;
    s->first_sent = PV_NEVER;
    s->give_up_at = PV_NEVER; /* the 90 s begin with the first message */
    s->tries = 0;
    s->phase = PV_SESSION_PHASE_WANTED;
    if (s->slots[PV_SESSION_SLOT_NEXT].used && now < pv_session_proof_expected(s)) {
        s->phase = PV_SESSION_PHASE_WAITING;
        s->retry_at = pv_session_proof_expected(s);
    }
}

void pv_session_end(struct pv_session *s)
{
    pv_session_drop_pending(s);
    s->phase = PV_SESSION_PHASE_IDLE;
    s->tries = 0;
}

pv_ns pv_session_may_send_from(const struct pv_session *s)
{
    if (!s->ever_sent || s->lifted.send)
        return 0;
    return s->last_sent + (s->lifted.psk ? PV_SESSION_PSK_GAP : PV_SESSION_REKEY_TIMEOUT);
}

void pv_session_send_keepalive(struct pv_session *s)
{
    s->confirm_due = false;
    pv_session_push(s, PV_SESSION_SEND_KEEPALIVE, s->slots[PV_SESSION_SLOT_CURRENT].local);
}

void pv_session_prove_keys(struct pv_session *s, pv_ns now)
{
    pv_session_send_keepalive(s);
    s->proofs = 0;
    s->proof_at = s->repeat && s->member ? now + PV_SESSION_REPEAT : PV_NEVER;
}

/* Both members learn of the new suite; one handshake is enough, so the side with the lower identity
 * makes it. */
void pv_session_check_suite(struct pv_session *s, pv_ns now)
{
    const struct pv_session_slot *cur = &s->slots[PV_SESSION_SLOT_CURRENT];
    if (cur->used && cur->suite != s->suite && (!s->member || s->lower_identity))
        pv_session_begin(s, now);
}

/* Begins to send with the keys in CURRENT. An initiator proves them at once, because the responder
 * must not send under them before (whitepaper s5.1). */
void pv_session_use_current(struct pv_session *s, pv_ns now)
{
    const struct pv_session_slot *cur = &s->slots[PV_SESSION_SLOT_CURRENT];
    pv_session_push(s, PV_SESSION_USE, cur->local);
    struct pv_session_event *done = pv_session_push(s, PV_SESSION_DONE, cur->local);
    done->initiator = cur->initiator;
    done->psk = cur->psk;
    done->device = s->agreed;
    s->last_call_made = false;
    s->sent_at_use = s->seen.sent;
    s->unheard_from = 0; /* something authentic was heard just now */
    s->unheard_at = PV_NEVER;
    s->confirm_due = cur->initiator;
    s->proof_at = PV_NEVER;
    if (s->confirm_due && pv_session_has_path(s))
        pv_session_prove_keys(s, now);
    pv_session_check_suite(s, now);
    pv_session_check_psk(s, false, now);
}

/* --- life ----------------------------------------------------------------------------------- */

/* Every deadline starts as PV_NEVER: zero would be one that is long over. */
int pv_session_new(struct pv_session **ret_session, const struct pv_session_config *cfg)
{
    struct pv_session *s = pv_nodump_alloc(sizeof(*s));
    if (s == NULL)
        return PV_ERR_NOMEM;
    int r = pv_wg_remote_init(&s->remote, cfg->device, cfg->remote_pk, cfg->psk);
    if (r < 0) {
        pv_session_free(s);
        return r;
    }
    s->device = s->remote_for = cfg->device;
    s->member = cfg->member;
    s->lower_identity = cfg->lower_identity;
    s->repeat = cfg->repeat;
    s->persistent = cfg->member ? 0 : PV_S(cfg->persistent_keepalive);
    s->suite = cfg->suite;
    memcpy(s->takes, cfg->takes, sizeof(s->takes));
    s->rng = cfg->rng;
    s->first_sent = PV_NEVER;
    s->give_up_at = PV_NEVER;
    s->retry_at = PV_NEVER;
    s->spare_until = PV_NEVER;
    s->unheard_at = PV_NEVER;
    s->keepalive_at = PV_NEVER;
    s->persistent_at = PV_NEVER;
    s->proof_at = PV_NEVER;
    *ret_session = s;
    return PV_OK;
}

struct pv_session *pv_session_free(struct pv_session *s)
{
    return pv_nodump_free(s, sizeof(*s));
}

/* --- keys that change ----------------------------------------------------------------------- */

/* Prepares the peer's key pk for our key for messages 1. */
static int prepare_remote(struct pv_session *s, const uint8_t pk[static PV_DH_LEN])
{
    struct pv_wg_remote fresh;
    int r = pv_wg_remote_init(&fresh, s->device, pk, s->remote.psk);
    if (r == PV_OK) {
        s->remote = fresh;
        s->remote_for = s->device;
    }
    pv_wg_remote_wipe(&fresh);
    return r;
}

/* The Diffie-Hellman with the peer's key waits for the next message 1. */
void pv_session_set_device(struct pv_session *s, const struct pv_wg_device *device)
{
    s->device = device;
}

int pv_session_set_remote(struct pv_session *s, const uint8_t remote_pk[static PV_DH_LEN])
{
    return prepare_remote(s, remote_pk);
}

void pv_session_forget_device(struct pv_session *s, const struct pv_wg_device *device)
{
    if (s->has_pending && s->pending_device == device) {
        pv_session_drop_pending(s);
        if (s->phase == PV_SESSION_PHASE_SENT)
            s->phase = PV_SESSION_PHASE_WANTED;
    }
    if (s->answer.due && s->answer.msg.device == device) {
        pv_wg_initiation_wipe(&s->answer.msg);
        s->answer.due = false;
    }
    if (s->remote_for == device)
        s->remote_for = NULL;
}

/* --- messages in ---------------------------------------------------------------------------- */

/* The peer as in->static_pk and in->device see it: the prepared one, or another built in temp while
 * one of both sides changes its key. */
static int remote_of(const struct pv_session *s, const struct pv_wg_initiation *in,
                     struct pv_wg_remote *temp, const struct pv_wg_remote **ret_remote)
{
    if (in->device == s->remote_for && memcmp(in->static_pk, s->remote.pk, PV_DH_LEN) == 0) {
        *ret_remote = &s->remote;
        return PV_OK;
    }
    int r = pv_wg_remote_init(temp, in->device, in->static_pk, s->remote.psk);
    if (r == PV_OK)
        *ret_remote = temp;
    return r;
}

/* The checks of one message 1, cheap ones first. The timestamp is compared last, since only an
 * authentic one may be compared, and is remembered only by the caller. ret_tai64n is written on
 * success. */
static int check_initiation(struct pv_session *s, struct pv_wg_initiation *in,
                            enum pv_session_reach via, pv_ns now,
                            uint8_t ret_tai64n[static PV_TAI64N_LEN])
{
    if (now < s->accept_from && !s->given.stale)
        return PV_ERR_LIMIT;
    if (via == PV_SESSION_BY_SIGNAL && now < s->accept_signal_from && !s->lifted.signal &&
        !s->given.stale)
        return PV_ERR_LIMIT;
    if (!s->takes[in->suite])
        return PV_ERR_UNSUPPORTED;

    uint8_t tai64n[PV_TAI64N_LEN];
    struct pv_wg_remote temp;
    const struct pv_wg_remote *remote = NULL;
    int r = remote_of(s, in, &temp, &remote);
    if (r == PV_OK)
        r = pv_wgmsg_accept(in, remote, tai64n);
    pv_wg_remote_wipe(&temp);
    if (r < 0)
        return r;
    int age = memcmp(tai64n, s->greatest, sizeof(tai64n));
    if (age == 0 && s->given.stale)
        age = 1; /* ours: it gets another answer */
    if (age == 0 && s->repeat && s->slots[PV_SESSION_SLOT_NEXT].used) {
        /* Ours: the peer still asks, so our answer was lost. It gets the same one. */
        s->given.again = true;
        s->answer.via = via;
    }
    if (age <= 0)
        return PV_ERR_REPLAY;
    /* Ours: counted from the first message of the attempt, not from each retry. Otherwise a peer
     * that our messages never reach could not reach us either. */
    if (s->member && s->lower_identity && s->phase == PV_SESSION_PHASE_SENT &&
        s->first_sent != PV_NEVER && now < s->first_sent + PV_SESSION_CROSSING) {
        /* Ours: the peer may not have got it; where its message came from it surely can be had. */
        if (via == PV_SESSION_BY_UDP && !s->msg_again.done) {
            s->msg_again.due = true;
            s->msg_again.done = true;
        }
        return PV_ERR_REFUSED;
    }
    memcpy(ret_tai64n, tai64n, sizeof(tai64n));
    return PV_OK;
}

/* An accepted message 1 ends our own attempt, or two pairs of keys would be made at once; its
 * answer is made in poll_transmit, because it needs a fresh index. */
int pv_session_handle_initiation(struct pv_session *s, struct pv_wg_initiation *in,
                                 enum pv_session_reach via, pv_ns now)
{
    int r =
        pv_session_is_crowded(s) ? PV_ERR_LIMIT : check_initiation(s, in, via, now, s->greatest);
    if (r < 0) {
        pv_wg_initiation_wipe(in);
        return r;
    }
    s->accept_from = now + PV_SESSION_FLOOD_GAP;
    if (via == PV_SESSION_BY_SIGNAL) {
        s->accept_signal_from = now + PV_SESSION_SIGNAL_GAP;
        s->lifted.signal = false;
    }
    s->answer.msg = *in;
    s->answer.via = via;
    s->answer.due = true;
    s->answer.psk = s->member ? pv_tai64n_tag(s->greatest) : 0;
    s->given.stale = false;
    pv_session_prove_psk(s, s->answer.psk, now);
    pv_wg_initiation_wipe(in);

    s->lifted.send = false; /* the peer's present life talks to us: no need to begin anew */
    /* Ours: when messages that were repeated cross, the peer drops its own for ours; were we to
     * drop ours for the peer's, both would wait for each other. */
    bool keeps_own = s->member && s->lower_identity && s->phase == PV_SESSION_PHASE_SENT;
    if (s->phase != PV_SESSION_PHASE_IDLE && !keeps_own) {
        pv_session_drop_pending(s);
        if (s->phase == PV_SESSION_PHASE_WANTED)
            s->retry_at = pv_session_jittered(s, now + PV_SESSION_REKEY_TIMEOUT);
        if (s->give_up_at == PV_NEVER)
            s->give_up_at = now + PV_SESSION_GIVE_UP_AFTER;
        s->phase = PV_SESSION_PHASE_WAITING;
    }
    return PV_OK;
}

/* The new keys go to CURRENT, the former ones stay for packets under way. NEXT (made as responder,
 * never seen used) counts as older than these, unless the peer has gone on with others: then it
 * never took them. */
int pv_session_handle_response(struct pv_session *s, struct pv_view msg, pv_ns now)
{
    struct pv_wg_keys keys;
    uint32_t psk;
    if (pv_session_is_crowded(s) || !s->has_pending)
        return PV_ERR_STATE;
    int r = pv_session_try_psks(s, msg, now, &keys, &psk);
    if (r < 0)
        return r;

    struct pv_session_slot made = {.used = true,
                                   .initiator = true,
                                   .suite = keys.suite,
                                   .local = s->pending.local_index,
                                   .psk = psk,
                                   .born = now};
    s->has_pending = false; /* its index lives on in the slot */
    pv_session_end(s);
    /* Keys that we made as responder and never saw used still count as older than these, unless the
     * peer has gone on using others: then it never took them. */
    if (s->slots[PV_SESSION_SLOT_CURRENT].used &&
        s->seen.any_received > s->slots[PV_SESSION_SLOT_NEXT].born + PV_S(1))
        pv_session_clear_slot(s, PV_SESSION_SLOT_NEXT);
    pv_session_move_slot(
        s, s->slots[PV_SESSION_SLOT_NEXT].used ? PV_SESSION_SLOT_NEXT : PV_SESSION_SLOT_CURRENT,
        PV_SESSION_SLOT_PREVIOUS);
    pv_session_clear_slot(s, PV_SESSION_SLOT_CURRENT);
    s->slots[PV_SESSION_SLOT_CURRENT] = made;
    s->agreed = s->pending_device;

    struct pv_session_event *e = pv_session_push(s, PV_SESSION_KEYS, made.local);
    e->initiator = true;
    e->psk = psk;
    e->keys = keys;
    e->born = now;
    pv_wipe(&keys, sizeof(keys));
    pv_session_use_current(s, now);
    return PV_OK;
}

int pv_session_handle_cookie(struct pv_session *s, struct pv_view msg, pv_ns now)
{
    return pv_cookie_jar_put(&s->jar, &s->remote, msg, now);
}

/* --- messages out --------------------------------------------------------------------------- */

/* Our answer to the message 1 kept in `answer`. The keys wait in NEXT, because the initiator has
 * not proven yet that it got them. */
static int make_response(struct pv_session *s, uint32_t index, pv_ns now,
                         struct pv_session_transmit *tx)
{
    struct pv_wg_keys keys;
    struct pv_wg_remote temp;
    const struct pv_wg_remote *remote = NULL;
    uint32_t psk = 0;

    s->answer.due = false;
    int r = remote_of(s, &s->answer.msg, &temp, &remote);
    if (r == PV_OK) {
        if (remote != &temp)
            temp = *remote;
        pv_session_choose_psk(s, &temp, &psk);
        r = pv_wgmsg_respond(&s->answer.msg, &temp, &s->rng, index, tx->msg, &keys);
    }
    pv_wg_remote_wipe(&temp);
    s->next_device = s->answer.msg.device;
    pv_wg_initiation_wipe(&s->answer.msg);
    if (r < 0)
        return r;

    tx->type = PV_WGMSG_RESPONSE;
    tx->via = s->answer.via;
    tx->index = index;
    tx->took_index = true;
    tx->len = PV_WGMSG_RESPONSE_LEN;
    pv_cookie_jar_stamp(&s->jar, tx->msg, tx->len, tx->via == PV_SESSION_BY_UDP, now);

    memcpy(s->given.msg, tx->msg, sizeof(s->given.msg));
    /* Ours: a member that has just got keys may send with them, and at once begin a handshake for
     * better ones (psk), whose message 1 overtakes the data. So the keys of the answer before this
     * one stay for receiving. */
    if (s->member && s->slots[PV_SESSION_SLOT_NEXT].used)
        pv_session_move_slot(s, PV_SESSION_SLOT_NEXT, PV_SESSION_SLOT_PREVIOUS);
    else
        pv_session_clear_slot(s, PV_SESSION_SLOT_PREVIOUS);
    pv_session_clear_slot(s, PV_SESSION_SLOT_NEXT);
    s->slots[PV_SESSION_SLOT_NEXT] = (struct pv_session_slot){
        .used = true, .suite = keys.suite, .local = index, .psk = psk, .born = now};
    struct pv_session_event *e = pv_session_push(s, PV_SESSION_KEYS, index);
    e->psk = psk;
    e->keys = keys;
    e->born = now;
    pv_wipe(&keys, sizeof(keys));
    return PV_OK;
}

/* The same answer once more; false when its keys are proven or gone. */
static bool give_again(struct pv_session *s, pv_ns now, struct pv_session_transmit *tx)
{
    bool is_due = s->given.again && s->slots[PV_SESSION_SLOT_NEXT].used;
    s->given.again = false;
    if (!is_due)
        return false;
    tx->type = PV_WGMSG_RESPONSE;
    tx->again = true;
    tx->via = s->answer.via;
    tx->index = s->slots[PV_SESSION_SLOT_NEXT].local;
    tx->len = PV_WGMSG_RESPONSE_LEN;
    memcpy(tx->msg, s->given.msg, sizeof(s->given.msg));
    pv_cookie_jar_stamp(&s->jar, tx->msg, tx->len, tx->via == PV_SESSION_BY_UDP, now);
    return true;
}

/* The time of our next message 1, in ns. It must rise strictly as the peer reads it (cut to
 * PV_TAI64N_TICK), or the peer takes the message for a replay, even if our clock was set back. */
static uint64_t next_stamp(const struct pv_session *s, uint64_t stamp_us)
{
    uint64_t t = stamp_us > UINT64_MAX / 1000 ? UINT64_MAX : stamp_us * 1000;
    t -= t % PV_TAI64N_TICK;
    return t > s->last_stamp ? t : s->last_stamp + PV_TAI64N_TICK;
}

/* Also starts the clock of the attempt: five seconds and a jitter until the next message 1
 * (whitepaper s6.4), ninety until the attempt is given up. */
static int make_initiation(struct pv_session *s, enum pv_session_reach via, uint32_t index,
                           uint64_t stamp_us, pv_ns now, struct pv_session_transmit *tx)
{
    uint8_t tai64n[PV_TAI64N_LEN];
    uint64_t stamp = next_stamp(s, stamp_us);

    pv_session_drop_pending(s);
    s->last_sent = now;
    s->ever_sent = true;
    s->lifted.send = false;
    s->lifted.psk = false;
    s->pending_psk = pv_session_named_psk(s);
    pv_tai64n_tagged(tai64n, stamp, s->pending_psk);
    s->pending.local_index = index;
    s->pending.suite = s->suite;
    int r = s->remote_for == s->device ? PV_OK : prepare_remote(s, s->remote.pk);
    if (r == PV_OK)
        r = pv_wgmsg_initiate(&s->pending, s->device, &s->remote, &s->rng, tai64n, s->msg);
    if (r < 0)
        return r;

    s->has_pending = true;
    s->pending_device = s->device;
    s->tries++;
    s->msg_again.done = false;
    s->last_stamp = stamp;
    s->sent_via = via;
    pv_cookie_jar_stamp(&s->jar, s->msg, sizeof(s->msg), via == PV_SESSION_BY_UDP, now);
    s->phase = PV_SESSION_PHASE_SENT;
    s->retry_at = pv_session_jittered(s, now + PV_SESSION_REKEY_TIMEOUT);
    s->repeat_at =
        s->repeat && (s->member || s->tries == 1) ? now + PV_SESSION_REPEAT : PV_NEVER;
    if (s->first_sent == PV_NEVER)
        s->first_sent = now;
    if (s->give_up_at == PV_NEVER)
        s->give_up_at = now + PV_SESSION_GIVE_UP_AFTER;
    tx->took_index = true;
    return PV_OK;
}

/* Hands out the message 1 kept in msg. */
static void hand_out_initiation(const struct pv_session *s, struct pv_session_transmit *tx)
{
    tx->type = PV_WGMSG_INITIATION;
    tx->via = s->sent_via;
    tx->index = s->pending.local_index;
    tx->len = PV_WGMSG_INITIATION_LEN;
    memcpy(tx->msg, s->msg, sizeof(s->msg));
}

/* Answers before initiations: the peer that asked is there now, while ours may be asking nobody. A
 * repetition is the same bytes, so the peer can tell it from a new attempt. */
int pv_session_poll_transmit(struct pv_session *s, uint32_t fresh_index, uint64_t stamp_us,
                             pv_ns now, struct pv_session_transmit *ret_tx)
{
    struct pv_session_transmit tx = {.took_index = false};
    if (pv_session_is_crowded(s))
        return PV_ERR_AGAIN;

    if (s->answer.due && make_response(s, fresh_index, now, &tx) == PV_OK) {
        *ret_tx = tx;
        return PV_OK;
    }
    if (give_again(s, now, &tx)) {
        *ret_tx = tx;
        return PV_OK;
    }
    if (s->phase == PV_SESSION_PHASE_SENT && s->reach == PV_SESSION_BY_UDP && now >= s->repeat_at) {
        s->msg_again.due = true;
        pv_ns gone = s->repeat_at - s->last_sent; /* 0.5 s, then 1, 2 and 4 */
        s->repeat_at = gone < PV_SESSION_REKEY_TIMEOUT / 2 ? s->last_sent + 2 * gone : PV_NEVER;
    }
    if (s->msg_again.due && s->reach != PV_SESSION_NOWHERE) {
        s->msg_again.due = false;
        s->sent_via = pv_session_way(s);
        pv_cookie_jar_stamp(&s->jar, s->msg, sizeof(s->msg), s->sent_via == PV_SESSION_BY_UDP, now);
        hand_out_initiation(s, &tx);
        *ret_tx = tx;
        return PV_OK;
    }
    if (s->phase == PV_SESSION_PHASE_WANTED && s->reach != PV_SESSION_NOWHERE &&
        now >= pv_session_may_send_from(s) && now < s->give_up_at &&
        make_initiation(s, pv_session_way(s), fresh_index, stamp_us, now, &tx) == PV_OK) {
        hand_out_initiation(s, &tx);
        *ret_tx = tx;
        return PV_OK;
    }
    return PV_ERR_AGAIN;
}

/* The owner's own schedule decides about repetitions here: a trial handshake goes to several
 * addresses at once, and none of them is a path yet. */
int pv_session_trial(struct pv_session *s, uint32_t fresh_index, uint64_t stamp_us, pv_ns now,
                     struct pv_session_transmit *ret_tx)
{
    struct pv_session_transmit tx = {.took_index = false};
    if (pv_session_is_crowded(s))
        return PV_ERR_AGAIN;
    pv_session_want(s, now);
    pv_session_run_attempt(s, now);
    if (s->phase == PV_SESSION_PHASE_WAITING && s->slots[PV_SESSION_SLOT_NEXT].used) {
        s->given.again = true; /* the peer's message 1 is answered: perhaps that was lost */
        s->answer.via = PV_SESSION_BY_UDP;
    }
    if (s->phase == PV_SESSION_PHASE_SENT && s->has_pending) {
        s->msg_again.due = false;
        s->sent_via = PV_SESSION_BY_UDP;
        pv_cookie_jar_stamp(&s->jar, s->msg, sizeof(s->msg), true, now);
    } else if (s->phase != PV_SESSION_PHASE_WANTED || now < pv_session_may_send_from(s) ||
               make_initiation(s, PV_SESSION_BY_UDP, fresh_index, stamp_us, now, &tx) != PV_OK) {
        return PV_ERR_AGAIN;
    }
    hand_out_initiation(s, &tx);
    *ret_tx = tx;
    return PV_OK;
}

int pv_session_poll_event(struct pv_session *s, struct pv_session_event *ret_event)
{
    if (s->n_events == 0)
        return PV_ERR_AGAIN;
    struct pv_session_event *e = &s->events[s->first_event];
    *ret_event = *e;
    pv_wipe(e, sizeof(*e));
    s->first_event = (s->first_event + 1) % PV_SESSION_EVENTS;
    s->n_events--;
    return PV_OK;
}

/* --- questions ------------------------------------------------------------------------------ */

bool pv_session_has_keys(const struct pv_session *s, pv_ns now)
{
    return s->slots[PV_SESSION_SLOT_CURRENT].used &&
           now < s->slots[PV_SESSION_SLOT_CURRENT].born + PV_SESSION_SEND_FOR;
}

enum pv_suite pv_session_suite(const struct pv_session *s)
{
    return s->slots[PV_SESSION_SLOT_CURRENT].used ? s->slots[PV_SESSION_SLOT_CURRENT].suite
                                                  : s->suite;
}

uint32_t pv_session_psk(const struct pv_session *s)
{
    return s->slots[PV_SESSION_SLOT_CURRENT].used ? s->slots[PV_SESSION_SLOT_CURRENT].psk : 0;
}

unsigned pv_session_tries(const struct pv_session *s)
{
    return s->tries;
}

bool pv_session_is_trying(const struct pv_session *s)
{
    return s->phase != PV_SESSION_PHASE_IDLE;
}
