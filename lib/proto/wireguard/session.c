/* SPDX-License-Identifier: MIT */
/*
 * session.c - the messages of a session: handshakes in and out, key slots, events (whitepaper s5).
 * Members differ from stock WireGuard in three places, each marked "ours": which of two crossing
 * handshakes survives is decided by the identity keys, lost messages are repeated after half a
 * second, and messages may come by signal. With static peers the behaviour is Linux's.
 */
#include "proto/wireguard/session.h"

#include <string.h>

#include "crypto/ct.h"
#include "proto/wireguard/cookie.h"

enum {
    EVENTS = 32,        /* places in the queue of events: more than three calls can fill */
    EVENTS_A_CALL = 10, /* the most events that one call can make */
    PROOFS = 3,         /* how often keys are proved again: after 0.5, 1.5 and 3.5 s */
};

/* Nothing heard for that long after data went out: the peer may have lost its keys (WireGuard
 * s6.5). */
#define UNHEARD_AFTER (PV_SESSION_KEEPALIVE + PV_SESSION_REKEY_TIMEOUT)
/* Ours: a peer that made keys as initiator proves them with a packet as soon as it has a path; for
 * that long we do not begin a handshake of our own. */
#define PROOF_WITHIN PV_S(1)
/* When the initiator receives under keys of this age, it makes new ones even if it has nothing to
 * send: a handshake begun later might not be done before they expire (WireGuard s6.2). */
#define LAST_CALL (PV_SESSION_REJECT_AFTER - UNHEARD_AFTER)

/* Which of a session's keys: CURRENT ones are sent under, PREVIOUS ones only receive what was late,
 * NEXT ones wait for the initiator's first packet (WireGuard s6.3). Ours: FORMER ones were
 * PREVIOUS, of a member: two handshakes that cross make two pairs of keys while packets under a
 * third are on their way. */
enum slot_name {
    SLOT_CURRENT,
    SLOT_PREVIOUS,
    SLOT_FORMER,
    SLOT_NEXT,
    SLOTS,
};

/* The session's knowledge of a pair of keys; the keys themselves are the fast path's. */
struct slot {
    bool used;
    bool initiator;      /* this node sent message 1 */
    enum pv_suite suite; /* the cipher they are for */
    uint32_t local;      /* the index under which the peer sends to us */
    uint32_t psk;        /* the agreed preshared key in them; 0 = none */
    pv_ns born;          /* when the handshake was done: keys age from here */
};

/* A preshared key that was agreed on. */
struct psk {
    uint32_t id; /* 0 = the place is free */
    bool proven; /* the peer has it */
    uint8_t key[PV_NOISE_PSK_LEN];
};

enum phase { /* see the table in the header */
    PHASE_IDLE,
    PHASE_WANTED,
    PHASE_SENT,
    PHASE_WAITING,
};

struct pv_session {
    const struct pv_wg_device *device; /* our key for messages 1; the owner's, of all sessions */
    struct pv_wg_remote remote;        /* the peer's key */
    /* The key of ours that `remote` was prepared for; NULL: none that is left. */
    const struct pv_wg_device *remote_for;
    bool member;           /* of our network; else a static WireGuard peer */
    bool lower_identity;   /* our key is the lower one: our message 1 wins when both began */
    bool repeat;           /* lost messages are sent again soon, see PV_SESSION_REPEAT */
    pv_ns persistent;      /* interval of keepalives that are always sent, 0 = off */
    enum pv_suite suite;   /* the cipher wanted for new keys */
    bool takes[PV_SUITES]; /* which ciphers the peer understands */
    struct pv_rng rng;
    enum pv_session_reach reach;

    /* as initiator */
    enum phase phase;
    pv_ns first_sent;  /* when this attempt sent its first message 1; PV_NEVER = not yet */
    pv_ns give_up_at;  /* when this attempt ends without keys (WireGuard s6.4) */
    pv_ns retry_at;    /* in SENT and WAITING: when the next message 1 is due */
    pv_ns spare_until; /* an answer to a message 1 whose attempt the peer's keys have ended is taken
                          until then; PV_NEVER: there is none such */
    pv_ns last_sent;   /* the last message 1 of any attempt, if ever_sent */
    bool ever_sent;    /* last_sent is valid */
    struct {
        bool send;       /* the next message 1 need not wait 5 s after the last */
        bool psk;        /* nor as long as that: it is for a new preshared key */
        bool signal;     /* the peer began a new life: its next signal need not wait */
    } lifted;            /* limits of how often */
    uint64_t last_stamp; /* of the last message 1: the next one's must be greater */
    unsigned tries;      /* messages 1 made in this attempt */
    bool has_pending;    /* `pending` waits for a message 2 */
    const struct pv_wg_device *pending_device; /* the key of ours that `pending` was made with */
    struct pv_wg_pending pending;              /* the handshake's secrets between message 1 and 2 */
    uint8_t msg[PV_WGMSG_INITIATION_LEN];      /* the message 1 that made `pending` */
    enum pv_session_reach sent_via;            /* the way msg went */
    struct {
        bool due;  /* hand msg out once more at the next poll */
        bool done; /* that was because both sides began at once */
    } msg_again;
    pv_ns repeat_at; /* SENT, and there is a path: when msg is handed out once more; PV_NEVER */

    /* as responder */
    struct {
        bool due;                    /* `msg` waits for a message 2 */
        enum pv_session_reach via;   /* the way that message 2 shall go */
        struct pv_wg_initiation msg; /* the message 1 to answer, opened */
        uint32_t psk;                /* the preshared key that it names */
    } answer;
    const struct pv_wg_device *next_device; /* the key of ours that made the keys in NEXT */
    const struct pv_wg_device *agreed;      /* that made those in CURRENT */
    struct {
        uint8_t msg[PV_WGMSG_RESPONSE_LEN]; /* the message 2 that made the keys in NEXT */
        bool again;                         /* hand it out once more at the next poll */
        bool stale; /* it was made with a preshared key that the peer will never have */
    } given;
    uint8_t greatest[PV_TAI64N_LEN]; /* timestamp accepted last: older ones are repetitions */
    pv_ns accept_from;               /* no message 1 is taken before then: flood limit */
    pv_ns accept_signal_from;        /* no message 1 in a signal is taken before then */

    struct psk psks[PV_SESSION_PSKS]; /* the newest first */
    pv_ns psk_since;                  /* when the newest proven one became that */
    uint32_t pending_psk;             /* the one that `msg` names */

    struct pv_cookie_jar jar;
    struct slot slots[SLOTS];

    /* traffic; deadlines are PV_NEVER while not armed */
    struct pv_session_traffic seen;
    uint64_t sent_at_use; /* packets sent before the current keys: their limit counts from here */
    bool last_call_made;  /* the rekey at LAST_CALL was begun: once for each pair of keys */
    pv_ns proof_at;   /* when keys made as initiator, under which nothing came, are proved again */
    unsigned proofs;  /* proofs repeated under the current keys */
    bool confirm_due; /* keys made as initiator, and nothing sent under them yet */
    pv_ns unheard_from;   /* since when data has gone out and nothing come in */
    pv_ns unheard_at;     /* when that makes a handshake due */
    pv_ns owed_from;      /* since when data has come in and nothing gone out */
    pv_ns keepalive_at;   /* when that makes a keepalive due */
    pv_ns persistent_at;  /* when the next keepalive of `persistent` is due */
    pv_ns path_since;     /* when the last path began */
    pv_ns pathless_since; /* when the last path was lost */

    struct pv_session_event events[EVENTS];
    size_t first_event;
    size_t n_events;
};

/* --- small parts ---------------------------------------------------------------------------- */

static bool has_path(const struct pv_session *s)
{
    return s->reach == PV_SESSION_BY_UDP || s->reach == PV_SESSION_BY_BOTH;
}

/* How a message 1 goes: BY_UDP or BY_SIGNAL; NOWHERE. */
static enum pv_session_reach way(const struct pv_session *s)
{
    return s->reach == PV_SESSION_BY_BOTH ? PV_SESSION_BY_SIGNAL : s->reach;
}

/* An owner that does not drain its events must not make this machine lose one: while they are
 * crowded nothing is accepted and nothing made. */
static bool is_crowded(const struct pv_session *s)
{
    return s->n_events > EVENTS - EVENTS_A_CALL;
}

/* An event for the owner; never called while crowded. */
static struct pv_session_event *push_event(struct pv_session *s, enum pv_session_event_type type,
                                           uint32_t index)
{
    struct pv_session_event *e = &s->events[(s->first_event + s->n_events) % EVENTS];
    s->n_events++;
    *e = (struct pv_session_event){.type = type, .index = index};
    return e;
}

static pv_ns jittered(struct pv_session *s, pv_ns t)
{
    return t + pv_rng_below(&s->rng, (uint32_t)PV_SESSION_JITTER);
}

/* The index of a slot in use is handed back. The owner's index table must never name a slot that is
 * gone, so every slot is cleared here. */
static void clear_slot(struct pv_session *s, enum slot_name name)
{
    if (s->slots[name].used)
        push_event(s, PV_SESSION_INDEX_GONE, s->slots[name].local);
    s->slots[name] = (struct slot){.used = false};
}

static void move_slot(struct pv_session *s, enum slot_name from, enum slot_name to)
{
    clear_slot(s, to);
    s->slots[to] = s->slots[from];
    s->slots[from] = (struct slot){.used = false};
}

/* They only receive from now on. */
static void retire(struct pv_session *s, enum slot_name name)
{
    if (s->member && !s->slots[name].used)
        return;
    if (s->member)
        move_slot(s, SLOT_PREVIOUS, SLOT_FORMER);
    move_slot(s, name, SLOT_PREVIOUS);
}

/* Stops accepting answers to our last message 1, and hands its index back. */
static void drop_pending(struct pv_session *s)
{
    if (s->has_pending)
        push_event(s, PV_SESSION_INDEX_GONE, s->pending.local_index);
    pv_wg_pending_wipe(&s->pending);
    s->has_pending = false;
    s->spare_until = PV_NEVER;
    s->msg_again.due = false;
}

/* Until when the first packet under the keys in NEXT can be hoped for. */
static pv_ns proof_expected(const struct pv_session *s)
{
    pv_ns since =
        s->slots[SLOT_NEXT].born > s->path_since ? s->slots[SLOT_NEXT].born : s->path_since;
    return since + PROOF_WITHIN;
}

/* An attempt to get keys, unless one is under way. When NEXT
 * may be proven any moment (the peer's own handshake is about to succeed), a second handshake would
 * only throw those keys away: the wish waits for that first. */
static void begin_attempt(struct pv_session *s, pv_ns now)
{
    if (s->phase != PHASE_IDLE)
        return;
    s->first_sent = PV_NEVER;
    s->give_up_at = PV_NEVER; /* the 90 s begin with the first message */
    s->tries = 0;
    s->phase = PHASE_WANTED;
    if (s->slots[SLOT_NEXT].used && now < proof_expected(s)) {
        s->phase = PHASE_WAITING;
        s->retry_at = proof_expected(s);
    }
}

/* With what it had begun. */
static void end_attempt(struct pv_session *s)
{
    drop_pending(s);
    s->phase = PHASE_IDLE;
    s->tries = 0;
}

/* Whether an attempt is to go on, by the clock. */
static void run_attempt(struct pv_session *s, pv_ns now)
{
    if (now >= s->spare_until)
        drop_pending(s);
    if (s->phase == PHASE_IDLE)
        return;
    if (now >= s->give_up_at) {
        end_attempt(s);
        push_event(s, PV_SESSION_GIVE_UP, 0);
    } else if ((s->phase == PHASE_SENT || (s->phase == PHASE_WAITING && has_path(s))) &&
               now >= s->retry_at) {
        s->phase = PHASE_WANTED;
    }
}

/* When the next message 1 may leave. */
static pv_ns may_send_from(const struct pv_session *s)
{
    if (!s->ever_sent || s->lifted.send)
        return 0;
    return s->last_sent + (s->lifted.psk ? PV_SESSION_PSK_GAP : PV_SESSION_REKEY_TIMEOUT);
}

static void send_keepalive(struct pv_session *s)
{
    s->confirm_due = false;
    push_event(s, PV_SESSION_SEND_KEEPALIVE, s->slots[SLOT_CURRENT].local);
}

/* The peer may not send under keys that we made until it has a packet under them. */
static void prove_keys(struct pv_session *s, pv_ns now)
{
    send_keepalive(s);
    s->proofs = 0;
    s->proof_at = s->repeat && s->member ? now + PV_SESSION_REPEAT : PV_NEVER;
}

/* Keys of another suite than wanted are replaced; of two members one side is enough. Both members
 * learn of the new suite; one handshake is enough, so the side with the lower identity makes it. */
static void check_suite(struct pv_session *s, pv_ns now)
{
    const struct slot *cur = &s->slots[SLOT_CURRENT];
    if (cur->used && cur->suite != s->suite && (!s->member || s->lower_identity))
        begin_attempt(s, now);
}

/* --- preshared keys -------------------------------------------------------------------------- */

/* Two members agree on them while their session lives. Nothing here asks the other side anything:
 * the side that begins names one that both are known to have, the side that answers uses that if it
 * still has it, and a key that turns out to be lost is forgotten, so that both come to the same one
 * by the next handshake. */

static struct psk *find(struct pv_session *s, uint32_t id)
{
    for (size_t i = 0; id != 0 && i < PV_ARRAY_LEN(s->psks); i++) {
        if (s->psks[i].id == id)
            return &s->psks[i];
    }
    return NULL;
}

/* Notes that the peer will not get that key, because the message that would have brought it was
 * dropped. An answer made with it cannot be read there, so the message 1 that asked for it may come
 * again and be answered anew. */
static void note_lost(struct pv_session *s, uint32_t id)
{
    const struct slot *next = &s->slots[SLOT_NEXT];
    if (id != 0 && next->used && next->psk == id)
        s->given.stale = true;
}

/* The one that our next message 1 names; 0 = none. */
static uint32_t named_psk(const struct pv_session *s)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(s->psks); i++) {
        if (s->psks[i].proven)
            return s->psks[i].id;
    }
    return 0;
}

/* Keys of another one than the newest that both have are replaced; patient: only when the other
 * side had its time to do it. The member that encapsulated learns last that both have a key, so the
 * other one, with the higher identity, begins. */
static void check_psk(struct pv_session *s, bool patient, pv_ns now)
{
    const struct slot *cur = &s->slots[SLOT_CURRENT];
    uint32_t newest = named_psk(s);
    if (!cur->used || newest == 0 || cur->psk == newest)
        return;
    if (!s->lower_identity || (patient && now >= s->psk_since + PV_SESSION_PSK_PATIENCE))
        begin_attempt(s, now);
}

void pv_session_add_psk(struct pv_session *s, uint32_t id,
                        const uint8_t psk[static PV_NOISE_PSK_LEN], bool proven, pv_ns now)
{
    if (!s->member || id == 0 || id >= PV_TAI64N_TICK || find(s, id) != NULL)
        return;
    if (s->psks[0].id != 0 && !s->psks[0].proven)
        note_lost(s, s->psks[0].id);
    memmove(&s->psks[1], &s->psks[0], sizeof(s->psks) - sizeof(s->psks[0]));
    s->psks[0] = (struct psk){.id = id};
    memcpy(s->psks[0].key, psk, sizeof(s->psks[0].key));
    if (proven)
        pv_session_prove_psk(s, id, now);
}

void pv_session_drop_unproven(struct pv_session *s)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(s->psks); i++) {
        if (s->psks[i].proven)
            continue;
        note_lost(s, s->psks[i].id);
        pv_wipe(&s->psks[i], sizeof(s->psks[i]));
    }
}

void pv_session_prove_psk(struct pv_session *s, uint32_t id, pv_ns now)
{
    struct psk *k = find(s, id);
    if (k == NULL || k->proven)
        return;
    k->proven = true;
    if (named_psk(s) != id)
        return; /* a newer one is in use already */
    s->psk_since = now;
    s->lifted.psk = true;
    check_psk(s, false, now);
}

/* The peer's keys with the preshared key for the answer to `answer`, and its id. A signal carries
 * the exchange beside the answer, so a key that the peer will only then have may be used for it. */
static void choose_psk(const struct pv_session *s, struct pv_wg_remote *remote, uint32_t *ret_id)
{
    const struct psk *k = NULL;
    if (s->answer.via == PV_SESSION_BY_SIGNAL && s->psks[0].id != 0 && !s->psks[0].proven)
        k = &s->psks[0];
    for (size_t i = 0; k == NULL && s->answer.psk != 0 && i < PV_ARRAY_LEN(s->psks); i++)
        k = s->psks[i].id == s->answer.psk ? &s->psks[i] : NULL;
    *ret_id = k == NULL ? 0 : k->id;
    if (k != NULL)
        memcpy(remote->psk, k->key, sizeof(remote->psk));
}

/* Reads a message 2 with each that the peer may have used. As pv_wgmsg_read_response(). The
 * responder chose, and says so by what opens. It is tried in the order in which it is likely; an
 * answer that none opens is forged. */
static int try_psks(struct pv_session *s, struct pv_view msg, pv_ns now,
                    struct pv_wg_keys *ret_keys, uint32_t *ret_id)
{
    int r = PV_ERR_AUTH;
    uint32_t id = 0;
    for (size_t i = 0; r != PV_OK && i < PV_ARRAY_LEN(s->psks); i++) {
        if (s->psks[i].id == 0)
            continue;
        struct pv_wg_remote with = s->remote;
        memcpy(with.psk, s->psks[i].key, sizeof(with.psk));
        r = pv_wgmsg_read_response(&s->pending, s->pending_device, &with, msg, ret_keys);
        pv_wg_remote_wipe(&with);
        id = r == PV_OK ? s->psks[i].id : 0;
    }
    if (r != PV_OK)
        r = pv_wgmsg_read_response(&s->pending, s->pending_device, &s->remote, msg, ret_keys);
    if (r != PV_OK)
        return r;
    struct psk *named = find(s, s->pending_psk);
    if (named != NULL && id == 0)
        pv_wipe(named, sizeof(*named)); /* the peer has lost it: naming it again would end so too */
    pv_session_prove_psk(s, id, now);
    *ret_id = id;
    return PV_OK;
}

/* --- keys in use ----------------------------------------------------------------------------- */

/* Begins to send with the keys in CURRENT. An initiator
 * proves them at once, because the responder must not send under them before (whitepaper s5.1). */
static void use_current(struct pv_session *s, pv_ns now)
{
    const struct slot *cur = &s->slots[SLOT_CURRENT];
    push_event(s, PV_SESSION_USE, cur->local);
    struct pv_session_event *done = push_event(s, PV_SESSION_DONE, cur->local);
    done->initiator = cur->initiator;
    done->psk = cur->psk;
    done->device = s->agreed;
    s->last_call_made = false;
    s->sent_at_use = s->seen.sent;
    s->unheard_from = 0; /* something authentic was heard just now */
    s->unheard_at = PV_NEVER;
    s->confirm_due = cur->initiator;
    s->proof_at = PV_NEVER;
    if (s->confirm_due && has_path(s))
        prove_keys(s, now);
    check_suite(s, now);
    check_psk(s, false, now);
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
        drop_pending(s);
        if (s->phase == PHASE_SENT)
            s->phase = PHASE_WANTED;
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
    if (age == 0 && s->repeat && s->slots[SLOT_NEXT].used) {
        /* Ours: the peer still asks, so our answer was lost. It gets the same one. */
        s->given.again = true;
        s->answer.via = via;
    }
    if (age <= 0)
        return PV_ERR_REPLAY;
    /* Ours: counted from the first message of the attempt, not from each retry. Otherwise a peer
     * that our messages never reach could not reach us either. */
    if (s->member && s->lower_identity && s->phase == PHASE_SENT && s->first_sent != PV_NEVER &&
        now < s->first_sent + PV_SESSION_CROSSING) {
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
    int r = is_crowded(s) ? PV_ERR_LIMIT : check_initiation(s, in, via, now, s->greatest);
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
    bool keeps_own = s->member && s->lower_identity && s->phase == PHASE_SENT;
    if (s->phase != PHASE_IDLE && !keeps_own) {
        s->msg_again.due = false;
        if (!s->member)
            drop_pending(s);
        if (s->phase == PHASE_WANTED)
            s->retry_at = jittered(s, now + PV_SESSION_REKEY_TIMEOUT);
        if (s->give_up_at == PV_NEVER)
            s->give_up_at = now + PV_SESSION_GIVE_UP_AFTER;
        s->phase = PHASE_WAITING;
        /* Ours: the peer may have dropped the message 1 that is answered here, as one of its former
         * attempts, and have answered ours. */
        if (s->has_pending)
            s->spare_until = s->retry_at;
    }
    return PV_OK;
}

/* The new keys go to CURRENT, the former ones stay for packets under way. NEXT (made as responder,
 * never seen used) counts as older than these, unless the peer has gone on with others: then it
 * never took them. */
int pv_session_handle_response(struct pv_session *s, struct pv_view msg, pv_ns now)
{
    struct pv_wg_keys keys;
    uint32_t psk = 0;
    if (is_crowded(s) || !s->has_pending)
        return PV_ERR_STATE;
    int r = try_psks(s, msg, now, &keys, &psk);
    if (r < 0)
        return r;

    struct slot made = {.used = true,
                        .initiator = true,
                        .suite = keys.suite,
                        .local = s->pending.local_index,
                        .psk = psk,
                        .born = now};
    s->has_pending = false; /* its index lives on in the slot */
    end_attempt(s);
    /* Keys that we made as responder and never saw used still count as older than these, unless the
     * peer has gone on using others: then it never took them. */
    if (s->slots[SLOT_CURRENT].used && s->seen.any_received > s->slots[SLOT_NEXT].born + PV_S(1))
        clear_slot(s, SLOT_NEXT);
    bool has_next = s->slots[SLOT_NEXT].used;
    if (!has_next || s->member)
        retire(s, SLOT_CURRENT);
    if (has_next)
        retire(s, SLOT_NEXT);
    clear_slot(s, SLOT_CURRENT);
    s->slots[SLOT_CURRENT] = made;
    s->agreed = s->pending_device;

    struct pv_session_event *e = push_event(s, PV_SESSION_KEYS, made.local);
    e->initiator = true;
    e->psk = psk;
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
        choose_psk(s, &temp, &psk);
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
    /* Ours: a member that has just got keys may send with them and at once begin a handshake for
     * better keys (psk), whose message 1 overtakes the data. So the keys of the previous answer
     * stay for receiving. */
    if (s->member)
        retire(s, SLOT_NEXT);
    else
        clear_slot(s, SLOT_PREVIOUS);
    clear_slot(s, SLOT_NEXT);
    s->slots[SLOT_NEXT] =
        (struct slot){.used = true, .suite = keys.suite, .local = index, .psk = psk, .born = now};
    struct pv_session_event *e = push_event(s, PV_SESSION_KEYS, index);
    e->psk = psk;
    e->keys = keys;
    e->born = now;
    pv_wipe(&keys, sizeof(keys));
    return PV_OK;
}

/* The same answer once more; false when its keys are proven or gone. */
static bool give_again(struct pv_session *s, pv_ns now, struct pv_session_transmit *tx)
{
    bool is_due = s->given.again && s->slots[SLOT_NEXT].used;
    s->given.again = false;
    if (!is_due)
        return false;
    tx->type = PV_WGMSG_RESPONSE;
    tx->again = true;
    tx->via = s->answer.via;
    tx->index = s->slots[SLOT_NEXT].local;
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

    drop_pending(s);
    s->last_sent = now;
    s->ever_sent = true;
    s->lifted.send = false;
    s->lifted.psk = false;
    s->pending_psk = named_psk(s);
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
    s->phase = PHASE_SENT;
    s->retry_at = jittered(s, now + PV_SESSION_REKEY_TIMEOUT);
    s->repeat_at = s->repeat && (s->member || s->tries == 1) ? now + PV_SESSION_REPEAT : PV_NEVER;
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
    if (is_crowded(s))
        return PV_ERR_AGAIN;

    if (s->answer.due && make_response(s, fresh_index, now, &tx) == PV_OK) {
        *ret_tx = tx;
        return PV_OK;
    }
    if (give_again(s, now, &tx)) {
        *ret_tx = tx;
        return PV_OK;
    }
    if (s->phase == PHASE_SENT && s->reach == PV_SESSION_BY_UDP && now >= s->repeat_at) {
        s->msg_again.due = true;
        pv_ns gone = s->repeat_at - s->last_sent; /* 0.5 s, then 1, 2 and 4 */
        s->repeat_at = gone < PV_SESSION_REKEY_TIMEOUT / 2 ? s->last_sent + 2 * gone : PV_NEVER;
    }
    if (s->msg_again.due && s->reach != PV_SESSION_NOWHERE) {
        s->msg_again.due = false;
        s->sent_via = way(s);
        pv_cookie_jar_stamp(&s->jar, s->msg, sizeof(s->msg), s->sent_via == PV_SESSION_BY_UDP, now);
        hand_out_initiation(s, &tx);
        *ret_tx = tx;
        return PV_OK;
    }
    if (s->phase == PHASE_WANTED && s->reach != PV_SESSION_NOWHERE && now >= may_send_from(s) &&
        now < s->give_up_at &&
        make_initiation(s, way(s), fresh_index, stamp_us, now, &tx) == PV_OK) {
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
    if (is_crowded(s))
        return PV_ERR_AGAIN;
    pv_session_want(s, now);
    run_attempt(s, now);
    if (s->phase == PHASE_WAITING && s->slots[SLOT_NEXT].used) {
        s->given.again = true; /* the peer's message 1 is answered: perhaps that was lost */
        s->answer.via = PV_SESSION_BY_UDP;
    }
    if (s->phase == PHASE_SENT && s->has_pending) {
        s->msg_again.due = false;
        s->sent_via = PV_SESSION_BY_UDP;
        pv_cookie_jar_stamp(&s->jar, s->msg, sizeof(s->msg), true, now);
    } else if (s->phase != PHASE_WANTED || now < may_send_from(s) ||
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

bool pv_session_has_keys(const struct pv_session *s, pv_ns now)
{
    return s->slots[SLOT_CURRENT].used && now < s->slots[SLOT_CURRENT].born + PV_SESSION_SEND_FOR;
}

enum pv_suite pv_session_suite(const struct pv_session *s)
{
    return s->slots[SLOT_CURRENT].used ? s->slots[SLOT_CURRENT].suite : s->suite;
}

uint32_t pv_session_psk(const struct pv_session *s)
{
    return s->slots[SLOT_CURRENT].used ? s->slots[SLOT_CURRENT].psk : 0;
}

const struct pv_wg_device *pv_session_device(const struct pv_session *s)
{
    return s->slots[SLOT_CURRENT].used ? s->agreed : NULL;
}

unsigned pv_session_tries(const struct pv_session *s)
{
    return s->tries;
}

bool pv_session_is_trying(const struct pv_session *s)
{
    return s->phase != PHASE_IDLE;
}

/* --- reach and traffic ----------------------------------------------------------------------- */

/* The timers of whitepaper s6 that presume a path stand still without one, or a node that was
 * offline for an hour would come back to a list of expired deadlines and begin a handshake with
 * every peer at once. */

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
    if (s->confirm_due && s->slots[SLOT_CURRENT].used)
        prove_keys(s, now);
    if (s->phase == PHASE_SENT && s->has_pending && s->sent_via == PV_SESSION_BY_SIGNAL)
        s->msg_again.due = true;
    s->path_since = now;
    if (s->phase == PHASE_WAITING && s->retry_at < proof_expected(s))
        s->retry_at = proof_expected(s);
}

void pv_session_set_reach(struct pv_session *s, enum pv_session_reach reach, pv_ns now)
{
    bool had_path = has_path(s), was_udp = s->reach == PV_SESSION_BY_UDP;
    s->reach = reach;
    if (had_path && !has_path(s))
        s->pathless_since = now;
    if (was_udp && way(s) == PV_SESSION_BY_SIGNAL && s->phase == PHASE_SENT && s->has_pending)
        s->msg_again.due = true; /* a path that died took it along, most likely */
    if (!had_path && has_path(s))
        path_begins(s, now);
    else if (!was_udp && reach == PV_SESSION_BY_UDP && s->proof_at != PV_NEVER)
        prove_keys(s, now); /* those before may have gone to a dead path */
}

void pv_session_set_suite(struct pv_session *s, enum pv_suite suite, pv_ns now)
{
    s->suite = suite;
    check_suite(s, now);
}

/* A peer that began anew has lifted the wait: the attempt that is under way was meant for its
 * former life and does not count as one. */
void pv_session_want(struct pv_session *s, pv_ns now)
{
    if (s->phase != PHASE_IDLE && s->give_up_at != PV_NEVER)
        s->give_up_at = now + PV_SESSION_GIVE_UP_AFTER;
    if (s->phase != PHASE_IDLE && s->lifted.send) {
        /* A handshake under way was meant for the peer's former life. */
        s->phase = PHASE_WANTED;
        s->first_sent = PV_NEVER;
        s->tries = 0;
    }
    begin_attempt(s, now);
}

void pv_session_cancel(struct pv_session *s)
{
    end_attempt(s);
}

void pv_session_peer_new_gen(struct pv_session *s)
{
    s->lifted.send = true;
    s->lifted.signal = true;
}

/* Rekey by age and count (s6.2), at the moment of sending and of receiving. */
static void check_age(struct pv_session *s, bool sent, bool received, pv_ns now)
{
    const struct slot *cur = &s->slots[SLOT_CURRENT];
    if (!cur->used)
        return;
    uint64_t messages =
        cur->suite == PV_SUITE_AES ? PV_SESSION_REKEY_MESSAGES_AES : PV_SESSION_REKEY_MESSAGES;
    if (sent && ((cur->initiator && now >= cur->born + PV_SESSION_REKEY_AFTER) ||
                 s->seen.sent - s->sent_at_use >= messages))
        begin_attempt(s, now);
    if (sent || received)
        check_psk(s, true, now);
    if (received && cur->initiator && now >= cur->born + LAST_CALL && !s->last_call_made) {
        s->last_call_made = true;
        begin_attempt(s, now);
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
        s->unheard_at = jittered(s, seen->data_sent + UNHEARD_AFTER);
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
    if (s->slots[SLOT_CURRENT].used && s->slots[SLOT_CURRENT].local == local_index)
        s->proof_at = PV_NEVER; /* the peer sends with them: it has had our proof */
    if (is_crowded(s) || !s->slots[SLOT_NEXT].used || s->slots[SLOT_NEXT].local != local_index)
        return;
    retire(s, SLOT_CURRENT);
    move_slot(s, SLOT_NEXT, SLOT_CURRENT);
    s->agreed = s->next_device;
    /* The peer may have answered a message 1 of ours meanwhile, and wait for us to use that: the
     * answer is taken until another message 1 would be due. */
    if (s->phase == PHASE_WAITING)
        drop_pending(s); /* it gave way, and the peer uses our answer */
    else if (s->has_pending)
        s->spare_until = s->retry_at;
    s->phase = PHASE_IDLE;
    s->tries = 0;
    s->msg_again.due = false;
    s->given.stale = false; /* it was read after all */
    pv_session_prove_psk(s, s->slots[SLOT_CURRENT].psk, now);
    use_current(s, now);
}

/* --- deadlines ------------------------------------------------------------------------------- */

static void expire_keys(struct pv_session *s, pv_ns now)
{
    for (int i = 0; i < SLOTS; i++) {
        if (!s->slots[i].used || now < s->slots[i].born + PV_SESSION_REJECT_AFTER)
            continue;
        clear_slot(s, (enum slot_name)i);
        if (i == SLOT_NEXT && s->phase == PHASE_WAITING)
            s->phase = PHASE_WANTED;
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
        if (s->slots[SLOT_CURRENT].used)
            send_keepalive(s);
    }
    if (now >= s->proof_at) {
        s->proof_at = ++s->proofs < PROOFS ? now + (PV_SESSION_REPEAT << s->proofs) : PV_NEVER;
        if (s->slots[SLOT_CURRENT].used)
            send_keepalive(s);
    }
    if (now >= s->persistent_at) {
        s->persistent_at = now + s->persistent;
        if (s->slots[SLOT_CURRENT].used)
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

/* Returns the earliest of all deadlines above. Deadlines that need a path count only while there is
 * one. */
pv_ns pv_session_next_timeout(const struct pv_session *s)
{
    pv_ns t = s->spare_until;
    for (int i = 0; i < SLOTS; i++) {
        if (s->slots[i].used)
            t = pv_min_ns(t, s->slots[i].born + PV_SESSION_REJECT_AFTER);
    }
    if (s->phase != PHASE_IDLE)
        t = pv_min_ns(t, s->give_up_at);
    if (s->phase == PHASE_SENT || (s->phase == PHASE_WAITING && has_path(s)))
        t = pv_min_ns(t, s->retry_at);
    if (s->phase == PHASE_SENT && s->reach == PV_SESSION_BY_UDP)
        t = pv_min_ns(t, s->repeat_at);
    if (s->phase == PHASE_WANTED && s->reach != PV_SESSION_NOWHERE)
        t = pv_min_ns(t, may_send_from(s));
    if (has_path(s))
        t = pv_min_ns(pv_min_ns(pv_min_ns(t, s->proof_at), s->unheard_at),
                      pv_min_ns(s->keepalive_at, s->persistent_at));
    return t;
}
