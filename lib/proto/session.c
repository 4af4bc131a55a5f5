/* SPDX-License-Identifier: MIT */
#include "proto/session.h"

#include <string.h>

#include "crypto/ct.h"
#include "proto/cookie.h"

enum {
    EVENTS = 32,        /* more than three calls can make */
    EVENTS_A_CALL = 10, /* no call makes more */
    PROOFS = 3,         /* repeated after 0.5, 1.5 and 3.5 s */
};

/* Nothing heard for that long after data went out: the peer may have lost its keys (s6.5). */
#define UNHEARD_AFTER (PV_SESSION_KEEPALIVE + PV_SESSION_REKEY_TIMEOUT)
/* ours: a peer that made keys as initiator proves them as soon as it has a path; for that long we
 * do not begin a handshake of our own. */
#define PROOF_WITHIN PV_S(1)
/* Receiving under keys this old is the last call for a rekey by the initiator (s6.2). */
#define LAST_CALL (PV_SESSION_REJECT_AFTER - UNHEARD_AFTER)

enum slot_name {
    CURRENT,
    PREVIOUS,
    NEXT,
    SLOTS,
};

struct slot {
    bool used;
    bool initiator;
    enum pv_suite suite;
    uint32_t local;
    pv_ns born;
};

enum phase { /* see the table in the header */
    IDLE,
    WANTED,
    SENT,
    WAITING,
};

struct pv_session {
    const struct pv_wg_device *device;
    struct pv_wg_remote remote;
    bool member;
    bool lower_identity;
    bool repeat;
    pv_ns persistent; /* interval, 0 = off */
    enum pv_suite suite;
    bool takes[PV_SUITES];
    struct pv_rng rng;
    enum pv_session_reach reach;

    /* as initiator */
    enum phase phase;
    pv_ns first_sent; /* message 1 of this attempt, PV_NEVER = none yet */
    pv_ns give_up_at;
    pv_ns retry_at; /* in SENT and WAITING */
    pv_ns last_sent;
    bool ever_sent;
    bool send_lifted; /* the next message 1 need not wait 5 s */
    uint64_t last_stamp;
    bool has_pending;
    struct pv_wg_pending pending;
    uint8_t msg[PV_WGMSG_INITIATION_LEN]; /* that made pending */
    enum pv_session_reach sent_via;
    bool resend;     /* hand msg out once more */
    pv_ns repeat_at; /* SENT, and there is a path: hand msg out once more then; PV_NEVER */
    bool resent;     /* that was done because of a crossing */

    /* as responder */
    bool answer_due;
    enum pv_session_reach answer_via;
    struct pv_wg_initiation answer;
    uint8_t given[PV_WGMSG_RESPONSE_LEN]; /* message 2 that made NEXT */
    bool give_again;
    uint8_t greatest[PV_TAI64N_LEN]; /* timestamp accepted */
    pv_ns accept_from;               /* flood limit */
    pv_ns accept_signal_from;
    bool signal_lifted;

    struct pv_cookie_jar jar;
    struct slot slots[SLOTS];
    pv_ns last_handshake;

    /* traffic; deadlines are PV_NEVER while not armed */
    struct pv_session_traffic seen;
    uint64_t sent_at_use; /* packets sent before the current keys */
    bool last_call_made;
    pv_ns proof_at;   /* nothing came under keys made as initiator: prove them again; PV_NEVER */
    unsigned proofs;  /* that were repeated */
    bool confirm_due; /* keys made as initiator, and nothing sent under them */
    pv_ns unheard_from;
    pv_ns unheard_at;
    pv_ns owed_from;
    pv_ns keepalive_at;
    pv_ns persistent_at;
    pv_ns path_since; /* when the last path began, and when the last one was lost */
    pv_ns pathless_since;

    struct pv_session_event events[EVENTS];
    size_t first_event;
    size_t n_events;
};

/* --- small parts ---------------------------------------------------------------------------- */

static bool has_path(const struct pv_session *s)
{
    return s->reach == PV_SESSION_BY_UDP;
}

/* The owner does not drain the events: do nothing more than it can take. */
static bool is_crowded(const struct pv_session *s)
{
    return s->n_events > EVENTS - EVENTS_A_CALL;
}

static struct pv_session_event *push(struct pv_session *s, enum pv_session_event_type type,
                                     uint32_t index)
{
    struct pv_session_event *e = &s->events[(s->first_event + s->n_events) % EVENTS];
    s->n_events++;
    *e = (struct pv_session_event){.type = type, .index = index};
    return e;
}

static pv_ns with_jitter(struct pv_session *s, pv_ns t)
{
    return t + pv_rng_below(&s->rng, (uint32_t)PV_SESSION_JITTER);
}

static void clear_slot(struct pv_session *s, enum slot_name name)
{
    if (s->slots[name].used)
        push(s, PV_SESSION_INDEX_GONE, s->slots[name].local);
    s->slots[name] = (struct slot){.used = false};
}

static void move_slot(struct pv_session *s, enum slot_name from, enum slot_name to)
{
    clear_slot(s, to);
    s->slots[to] = s->slots[from];
    s->slots[from] = (struct slot){.used = false};
}

static void drop_pending(struct pv_session *s)
{
    if (s->has_pending)
        push(s, PV_SESSION_INDEX_GONE, s->pending.local_index);
    pv_wg_pending_wipe(&s->pending);
    s->has_pending = false;
    s->resend = false;
}

/* Until when the first packet under the keys in NEXT can be hoped for. */
static pv_ns proof_expected(const struct pv_session *s)
{
    pv_ns since = s->slots[NEXT].born > s->path_since ? s->slots[NEXT].born : s->path_since;
    return since + PROOF_WITHIN;
}

static void begin_attempt(struct pv_session *s, pv_ns now)
{
    if (s->phase != IDLE)
        return;
    s->first_sent = PV_NEVER;
    s->give_up_at = PV_NEVER; /* the 90 s begin with the first message */
    s->phase = WANTED;
    if (s->slots[NEXT].used && now < proof_expected(s)) {
        s->phase = WAITING;
        s->retry_at = proof_expected(s);
    }
}

static void end_attempt(struct pv_session *s)
{
    drop_pending(s);
    s->phase = IDLE;
}

/* When the next message 1 may leave. */
static pv_ns may_send_from(const struct pv_session *s)
{
    return s->ever_sent && !s->send_lifted ? s->last_sent + PV_SESSION_REKEY_TIMEOUT : 0;
}

static void send_keepalive(struct pv_session *s)
{
    s->confirm_due = false;
    push(s, PV_SESSION_SEND_KEEPALIVE, s->slots[CURRENT].local);
}

/* The peer may not send under keys that we made until it has a packet under them. */
static void prove_keys(struct pv_session *s, pv_ns now)
{
    send_keepalive(s);
    s->proofs = 0;
    s->proof_at = s->repeat ? now + PV_SESSION_REPEAT : PV_NEVER;
}

/* Keys of another suite than wanted are replaced; of two members one side is enough. */
static void check_suite(struct pv_session *s, pv_ns now)
{
    const struct slot *cur = &s->slots[CURRENT];
    if (cur->used && cur->suite != s->suite && (!s->member || s->lower_identity))
        begin_attempt(s, now);
}

/* Starts to send with the keys in CURRENT. */
static void use_current(struct pv_session *s, pv_ns now)
{
    const struct slot *cur = &s->slots[CURRENT];
    push(s, PV_SESSION_USE, cur->local);
    push(s, PV_SESSION_DONE, cur->local)->initiator = cur->initiator;
    s->last_handshake = now;
    s->last_call_made = false;
    s->sent_at_use = s->seen.sent;
    s->unheard_from = 0; /* something authentic was heard just now */
    s->unheard_at = PV_NEVER;
    s->confirm_due = cur->initiator;
    s->proof_at = PV_NEVER;
    if (s->confirm_due && has_path(s))
        prove_keys(s, now);
    check_suite(s, now);
}

/* --- life ----------------------------------------------------------------------------------- */

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
    s->device = cfg->device;
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

/* --- reach and traffic ---------------------------------------------------------------------- */

/* A deadline armed at from stood still since the path was lost. */
static pv_ns resumed(const struct pv_session *s, pv_ns deadline, pv_ns from, pv_ns now)
{
    if (deadline == PV_NEVER)
        return PV_NEVER;
    pv_ns stood = from > s->pathless_since ? from : s->pathless_since;
    return deadline + (now > stood ? now - stood : 0);
}

static void path_begins(struct pv_session *s, pv_ns now)
{
    s->unheard_at = resumed(s, s->unheard_at, s->unheard_from, now);
    s->keepalive_at = resumed(s, s->keepalive_at, s->owed_from, now);
    if (s->persistent > 0)
        s->persistent_at = now;
    if (s->confirm_due && s->slots[CURRENT].used)
        prove_keys(s, now);
    if (s->phase == SENT && s->has_pending && s->sent_via == PV_SESSION_BY_SIGNAL)
        s->resend = true;
    s->path_since = now;
    if (s->phase == WAITING && s->retry_at < proof_expected(s))
        s->retry_at = proof_expected(s);
}

void pv_session_set_reach(struct pv_session *s, enum pv_session_reach reach, pv_ns now)
{
    bool had_path = has_path(s);
    s->reach = reach;
    if (had_path && !has_path(s))
        s->pathless_since = now;
    if (had_path && reach == PV_SESSION_BY_SIGNAL && s->phase == SENT && s->has_pending)
        s->resend = true; /* a path that died took it along, most likely */
    if (!had_path && has_path(s))
        path_begins(s, now);
}

void pv_session_set_suite(struct pv_session *s, enum pv_suite suite, pv_ns now)
{
    s->suite = suite;
    check_suite(s, now);
}

void pv_session_want(struct pv_session *s, pv_ns now)
{
    if (s->phase != IDLE && s->give_up_at != PV_NEVER)
        s->give_up_at = now + PV_SESSION_GIVE_UP_AFTER;
    if (s->phase != IDLE && s->send_lifted) {
        /* What is under way was meant for the peer's former life. */
        s->phase = WANTED;
        s->first_sent = PV_NEVER;
    }
    begin_attempt(s, now);
}

void pv_session_cancel(struct pv_session *s)
{
    if (s->phase != IDLE)
        end_attempt(s);
}

void pv_session_peer_new_gen(struct pv_session *s)
{
    s->send_lifted = true;
    s->signal_lifted = true;
}

/* Rekey by age and count (s6.2), at the moment of sending and of receiving. */
static void check_age(struct pv_session *s, bool sent, bool received, pv_ns now)
{
    const struct slot *cur = &s->slots[CURRENT];
    if (!cur->used)
        return;
    uint64_t messages =
        cur->suite == PV_SUITE_AES ? PV_SESSION_REKEY_MESSAGES_AES : PV_SESSION_REKEY_MESSAGES;
    if (sent && ((cur->initiator && now >= cur->born + PV_SESSION_REKEY_AFTER) ||
                 s->seen.sent - s->sent_at_use >= messages))
        begin_attempt(s, now);
    if (received && cur->initiator && now >= cur->born + LAST_CALL && !s->last_call_made) {
        s->last_call_made = true;
        begin_attempt(s, now);
    }
}

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
        s->unheard_at = with_jitter(s, seen->data_sent + UNHEARD_AFTER);
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

void pv_session_confirm(struct pv_session *s, uint32_t local_index, pv_ns now)
{
    if (s->slots[CURRENT].used && s->slots[CURRENT].local == local_index)
        s->proof_at = PV_NEVER; /* the peer sends with them: it has had our proof */
    if (is_crowded(s) || !s->slots[NEXT].used || s->slots[NEXT].local != local_index)
        return;
    move_slot(s, CURRENT, PREVIOUS);
    move_slot(s, NEXT, CURRENT);
    end_attempt(s);
    use_current(s, now);
}

/* --- messages in ---------------------------------------------------------------------------- */

/* The peer as in->static_pk and in->device see it: the prepared one, or another built in temp while
 * one side changes its key. */
static int remote_of(const struct pv_session *s, const struct pv_wg_initiation *in,
                     struct pv_wg_remote *temp, const struct pv_wg_remote **ret_remote)
{
    if (in->device == s->device && memcmp(in->static_pk, s->remote.pk, 32) == 0) {
        *ret_remote = &s->remote;
        return PV_OK;
    }
    int r = pv_wg_remote_init(temp, in->device, in->static_pk, s->remote.psk);
    if (r == PV_OK)
        *ret_remote = temp;
    return r;
}

/* The checks of one message 1, cheap ones first. ret_tai64n is written on success. */
static int check_initiation(struct pv_session *s, struct pv_wg_initiation *in,
                            enum pv_session_reach via, pv_ns now,
                            uint8_t ret_tai64n[static PV_TAI64N_LEN])
{
    if (now < s->accept_from)
        return PV_ERR_LIMIT;
    if (via == PV_SESSION_BY_SIGNAL && now < s->accept_signal_from && !s->signal_lifted)
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
    if (age == 0 && s->repeat && s->slots[NEXT].used) {
        /* Ours: the peer still asks, so our answer was lost. It gets the same one. */
        s->give_again = true;
        s->answer_via = via;
    }
    if (age <= 0)
        return PV_ERR_REPLAY;
    /* Ours: counted from the first message of the attempt, not from each retry. Otherwise a peer
     * that our messages never reach could not reach us either. */
    if (s->member && s->lower_identity && s->phase == SENT && s->first_sent != PV_NEVER &&
        now < s->first_sent + PV_SESSION_CROSSING) {
        /* Ours: the peer may not have got it; where its message came from it surely can be had. */
        if (via == PV_SESSION_BY_UDP && !s->resent) {
            s->resend = true;
            s->resent = true;
        }
        return PV_ERR_REFUSED;
    }
    memcpy(ret_tai64n, tai64n, sizeof(tai64n));
    return PV_OK;
}

int pv_session_handle_initiation(struct pv_session *s, struct pv_wg_initiation *in,
                                 enum pv_session_reach via, pv_ns now)
{
    int r = is_crowded(s) ? PV_ERR_LIMIT : check_initiation(s, in, via, now, s->greatest);
    if (r < 0) {
        pv_wg_initiation_wipe(in);
        return r;
    }
    s->accept_from = now + PV_SESSION_FLOOD_GAP;
    if (via == PV_SESSION_BY_SIGNAL) {
        s->accept_signal_from = now + PV_SESSION_SIGNAL_GAP;
        s->signal_lifted = false;
    }
    s->answer = *in;
    s->answer_via = via;
    s->answer_due = true;
    pv_wg_initiation_wipe(in);

    s->send_lifted = false; /* the peer's present life talks to us: no need to begin anew */
    /* Ours: when messages that were repeated cross, the peer drops its own for ours; were we to
     * drop ours for the peer's, both would wait for each other. */
    bool keeps_own = s->member && s->lower_identity && s->phase == SENT;
    if (s->phase != IDLE && !keeps_own) {
        drop_pending(s);
        if (s->phase == WANTED)
            s->retry_at = with_jitter(s, now + PV_SESSION_REKEY_TIMEOUT);
        if (s->give_up_at == PV_NEVER)
            s->give_up_at = now + PV_SESSION_GIVE_UP_AFTER;
        s->phase = WAITING;
    }
    return PV_OK;
}

int pv_session_handle_response(struct pv_session *s, struct pv_view msg, pv_ns now)
{
    struct pv_wg_keys keys;
    if (is_crowded(s) || !s->has_pending)
        return PV_ERR_STATE;
    int r = pv_wgmsg_read_response(&s->pending, s->device, &s->remote, msg, &keys);
    if (r < 0)
        return r;

    struct slot made = {.used = true,
                        .initiator = true,
                        .suite = keys.suite,
                        .local = s->pending.local_index,
                        .born = now};
    s->has_pending = false; /* its index lives on in the slot */
    end_attempt(s);
    /* Keys that we made as responder and never saw used still count as older than these, unless the
     * peer has gone on using others: then it never took them. */
    if (s->slots[CURRENT].used && s->seen.any_received > s->slots[NEXT].born + PV_S(1))
        clear_slot(s, NEXT);
    move_slot(s, s->slots[NEXT].used ? NEXT : CURRENT, PREVIOUS);
    clear_slot(s, CURRENT);
    s->slots[CURRENT] = made;

    struct pv_session_event *e = push(s, PV_SESSION_KEYS, made.local);
    e->initiator = true;
    e->keys = keys;
    e->born = now;
    pv_wipe(&keys, sizeof(keys));
    use_current(s, now);
    return PV_OK;
}

int pv_session_handle_cookie(struct pv_session *s, struct pv_view msg, pv_ns now)
{
    return pv_cookie_jar_put(&s->jar, &s->remote, msg, now);
}

/* --- time ----------------------------------------------------------------------------------- */

static void expire_keys(struct pv_session *s, pv_ns now)
{
    for (int i = 0; i < SLOTS; i++) {
        if (!s->slots[i].used || now < s->slots[i].born + PV_SESSION_REJECT_AFTER)
            continue;
        clear_slot(s, (enum slot_name)i);
        if (i == NEXT && s->phase == WAITING)
            s->phase = WANTED;
    }
}

static void run_attempt(struct pv_session *s, pv_ns now)
{
    if (s->phase == IDLE)
        return;
    if (now >= s->give_up_at) {
        end_attempt(s);
        push(s, PV_SESSION_GIVE_UP, 0);
    } else if ((s->phase == SENT || (s->phase == WAITING && has_path(s))) && now >= s->retry_at) {
        s->phase = WANTED;
    }
}

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
        if (s->slots[CURRENT].used)
            send_keepalive(s);
    }
    if (now >= s->proof_at) {
        s->proof_at = ++s->proofs < PROOFS ? now + (PV_SESSION_REPEAT << s->proofs) : PV_NEVER;
        if (s->slots[CURRENT].used)
            send_keepalive(s);
    }
    if (now >= s->persistent_at) {
        s->persistent_at = now + s->persistent;
        if (s->slots[CURRENT].used)
            send_keepalive(s);
        else
            pv_session_want(s, now);
    }
}

void pv_session_handle_timeout(struct pv_session *s, pv_ns now)
{
    if (is_crowded(s))
        return;
    expire_keys(s, now);
    run_attempt(s, now);
    if (has_path(s))
        run_path_timers(s, now);
}

pv_ns pv_session_next_timeout(const struct pv_session *s)
{
    pv_ns t = PV_NEVER;
    for (int i = 0; i < SLOTS; i++) {
        if (s->slots[i].used)
            t = pv_min_ns(t, s->slots[i].born + PV_SESSION_REJECT_AFTER);
    }
    if (s->phase != IDLE)
        t = pv_min_ns(t, s->give_up_at);
    if (s->phase == SENT || (s->phase == WAITING && has_path(s)))
        t = pv_min_ns(t, s->retry_at);
    if (s->phase == SENT && has_path(s))
        t = pv_min_ns(t, s->repeat_at);
    if (s->phase == WANTED && s->reach != PV_SESSION_NOWHERE)
        t = pv_min_ns(t, may_send_from(s));
    if (has_path(s))
        t = pv_min_ns(pv_min_ns(pv_min_ns(t, s->proof_at), s->unheard_at),
                      pv_min_ns(s->keepalive_at, s->persistent_at));
    return t;
}

/* --- messages out --------------------------------------------------------------------------- */

/* Our answer to the message 1 kept in answer; the keys wait in NEXT for the first packet. */
static int make_response(struct pv_session *s, uint32_t index, pv_ns now,
                         struct pv_session_transmit *tx)
{
    struct pv_wg_keys keys;
    struct pv_wg_remote temp;
    const struct pv_wg_remote *remote = NULL;

    s->answer_due = false;
    int r = remote_of(s, &s->answer, &temp, &remote);
    if (r == PV_OK)
        r = pv_wgmsg_respond(&s->answer, remote, &s->rng, index, tx->msg, &keys);
    pv_wg_remote_wipe(&temp);
    pv_wg_initiation_wipe(&s->answer);
    if (r < 0)
        return r;

    tx->type = PV_WGMSG_RESPONSE;
    tx->via = s->answer_via;
    tx->index = index;
    tx->took_index = true;
    tx->len = PV_WGMSG_RESPONSE_LEN;
    pv_cookie_jar_stamp(&s->jar, tx->msg, tx->len, tx->via == PV_SESSION_BY_UDP, now);

    memcpy(s->given, tx->msg, sizeof(s->given));
    clear_slot(s, PREVIOUS);
    clear_slot(s, NEXT);
    s->slots[NEXT] = (struct slot){.used = true, .suite = keys.suite, .local = index, .born = now};
    struct pv_session_event *e = push(s, PV_SESSION_KEYS, index);
    e->keys = keys;
    e->born = now;
    pv_wipe(&keys, sizeof(keys));
    return PV_OK;
}

/* The same answer once more; false when its keys are proven or gone. */
static bool give_again(struct pv_session *s, pv_ns now, struct pv_session_transmit *tx)
{
    bool is_due = s->give_again && s->slots[NEXT].used;
    s->give_again = false;
    if (!is_due)
        return false;
    tx->type = PV_WGMSG_RESPONSE;
    tx->again = true;
    tx->via = s->answer_via;
    tx->index = s->slots[NEXT].local;
    tx->len = PV_WGMSG_RESPONSE_LEN;
    memcpy(tx->msg, s->given, sizeof(s->given));
    pv_cookie_jar_stamp(&s->jar, tx->msg, tx->len, tx->via == PV_SESSION_BY_UDP, now);
    return true;
}

/* The time of our next message 1, in ns: strictly above the last one as the peer reads it. */
static uint64_t next_stamp(const struct pv_session *s, uint64_t stamp_us)
{
    uint64_t t = stamp_us > UINT64_MAX / 1000 ? UINT64_MAX : stamp_us * 1000;
    t -= t % PV_TAI64N_TICK;
    return t > s->last_stamp ? t : s->last_stamp + PV_TAI64N_TICK;
}

static int make_initiation(struct pv_session *s, enum pv_session_reach via, uint32_t index,
                           uint64_t stamp_us, pv_ns now, struct pv_session_transmit *tx)
{
    uint8_t tai64n[PV_TAI64N_LEN];
    uint64_t stamp = next_stamp(s, stamp_us);

    drop_pending(s);
    s->last_sent = now;
    s->ever_sent = true;
    s->send_lifted = false;
    pv_tai64n(tai64n, stamp);
    s->pending.local_index = index;
    s->pending.suite = s->suite;
    int r = pv_wgmsg_initiate(&s->pending, s->device, &s->remote, &s->rng, tai64n, s->msg);
    if (r < 0)
        return r;

    s->has_pending = true;
    s->resent = false;
    s->last_stamp = stamp;
    s->sent_via = via;
    pv_cookie_jar_stamp(&s->jar, s->msg, sizeof(s->msg), via == PV_SESSION_BY_UDP, now);
    s->phase = SENT;
    s->retry_at = with_jitter(s, now + PV_SESSION_REKEY_TIMEOUT);
    s->repeat_at = s->repeat ? now + PV_SESSION_REPEAT : PV_NEVER;
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
    tx->stamp_us = (s->last_stamp + PV_TAI64N_TICK) / 1000;
    tx->len = PV_WGMSG_INITIATION_LEN;
    memcpy(tx->msg, s->msg, sizeof(s->msg));
}

int pv_session_poll_transmit(struct pv_session *s, uint32_t fresh_index, uint64_t stamp_us,
                             pv_ns now, struct pv_session_transmit *ret_tx)
{
    struct pv_session_transmit tx = {.took_index = false};
    if (is_crowded(s))
        return PV_ERR_AGAIN;

    if (s->answer_due && make_response(s, fresh_index, now, &tx) == PV_OK) {
        *ret_tx = tx;
        return PV_OK;
    }
    if (give_again(s, now, &tx)) {
        *ret_tx = tx;
        return PV_OK;
    }
    if (s->phase == SENT && has_path(s) && now >= s->repeat_at) {
        s->resend = true;
        pv_ns gone = s->repeat_at - s->last_sent; /* 0.5 s, then 1, 2 and 4 */
        s->repeat_at = gone < PV_SESSION_REKEY_TIMEOUT / 2 ? s->last_sent + 2 * gone : PV_NEVER;
    }
    if (s->resend && s->reach != PV_SESSION_NOWHERE) {
        s->resend = false;
        s->sent_via = s->reach;
        pv_cookie_jar_stamp(&s->jar, s->msg, sizeof(s->msg), has_path(s), now);
        hand_out_initiation(s, &tx);
        *ret_tx = tx;
        return PV_OK;
    }
    if (s->phase == WANTED && s->reach != PV_SESSION_NOWHERE && now >= may_send_from(s) &&
        now < s->give_up_at &&
        make_initiation(s, s->reach, fresh_index, stamp_us, now, &tx) == PV_OK) {
        hand_out_initiation(s, &tx);
        *ret_tx = tx;
        return PV_OK;
    }
    return PV_ERR_AGAIN;
}

int pv_session_knock(struct pv_session *s, uint32_t fresh_index, uint64_t stamp_us, pv_ns now,
                     struct pv_session_transmit *ret_tx)
{
    struct pv_session_transmit tx = {.took_index = false};
    if (is_crowded(s))
        return PV_ERR_AGAIN;
    pv_session_want(s, now);
    run_attempt(s, now);
    if (s->phase == SENT && s->has_pending) {
        s->resend = false;
        s->sent_via = PV_SESSION_BY_UDP;
        pv_cookie_jar_stamp(&s->jar, s->msg, sizeof(s->msg), true, now);
    } else if (s->phase != WANTED || now < may_send_from(s) ||
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
    s->first_event = (s->first_event + 1) % EVENTS;
    s->n_events--;
    return PV_OK;
}

/* --- questions ------------------------------------------------------------------------------ */

pv_ns pv_session_last_handshake(const struct pv_session *s)
{
    return s->last_handshake;
}

bool pv_session_has_keys(const struct pv_session *s, pv_ns now)
{
    return s->slots[CURRENT].used && now < s->slots[CURRENT].born + PV_SESSION_REJECT_AFTER;
}

enum pv_suite pv_session_suite(const struct pv_session *s)
{
    return s->slots[CURRENT].used ? s->slots[CURRENT].suite : s->suite;
}

bool pv_session_is_trying(const struct pv_session *s)
{
    return s->phase != IDLE;
}
