/* SPDX-License-Identifier: MIT */
/*
 * session_int.h - the state of a session and the small steps that its parts share. Internal to
 * session*.c: session.c has the messages, session_keep.c the path, the traffic and the timers,
 * session_psk.c the preshared keys.
 */
#pragma once

#include "proto/wireguard/cookie.h"
#include "proto/wireguard/session.h"

enum {
    PV_SESSION_EVENTS = 32, /* places in the queue of events: more than three calls can fill */
    PV_SESSION_EVENTS_A_CALL = 10, /* the most events that one call can make */
    PV_SESSION_PROOFS = 3,         /* how often keys are proved again: after 0.5, 1.5 and 3.5 s */
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
 * NEXT ones wait for the initiator's first packet (WireGuard s6.3). */
enum pv_session_slot_name {
    PV_SESSION_SLOT_CURRENT,
    PV_SESSION_SLOT_PREVIOUS,
    PV_SESSION_SLOT_NEXT,
    PV_SESSION_SLOTS,
};

/* The session's knowledge of a pair of keys; the keys themselves are the fast path's. */
struct pv_session_slot {
    bool used;
    bool initiator;      /* this node sent message 1 */
    enum pv_suite suite; /* the cipher they are for */
    uint32_t local;      /* the index under which the peer sends to us */
    uint32_t psk;        /* the agreed preshared key in them; 0 = none */
    pv_ns born;          /* when the handshake was done: keys age from here */
};

/* A preshared key that was agreed on. */
struct pv_session_psk {
    uint32_t id; /* 0 = the place is free */
    bool proven; /* the peer has it */
    uint8_t key[PV_NOISE_PSK_LEN];
};

enum pv_session_phase { /* see the table in the header */
    PV_SESSION_PHASE_IDLE,
    PV_SESSION_PHASE_WANTED,
    PV_SESSION_PHASE_SENT,
    PV_SESSION_PHASE_WAITING,
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
    enum pv_session_phase phase;
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

    struct pv_session_psk psks[PV_SESSION_PSKS]; /* the newest first */
    pv_ns psk_since;                             /* when the newest proven one became that */
    uint32_t pending_psk;                        /* the one that `msg` names */

    struct pv_cookie_jar jar;
    struct pv_session_slot slots[PV_SESSION_SLOTS];

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

    struct pv_session_event events[PV_SESSION_EVENTS];
    size_t first_event;
    size_t n_events;
};

bool pv_session_has_path(const struct pv_session *s);
/* How a message 1 goes: BY_UDP or BY_SIGNAL; NOWHERE. */
enum pv_session_reach pv_session_way(const struct pv_session *s);
/* The owner does not drain the events: do nothing more than it can take. */
bool pv_session_is_crowded(const struct pv_session *s);
/* An event for the owner; never called while crowded. */
struct pv_session_event *pv_session_push(struct pv_session *s, enum pv_session_event_type type,
                                         uint32_t index);
pv_ns pv_session_jittered(struct pv_session *s, pv_ns t);
/* The index of a slot in use is handed back. */
void pv_session_clear_slot(struct pv_session *s, enum pv_session_slot_name name);
void pv_session_move_slot(struct pv_session *s, enum pv_session_slot_name from,
                          enum pv_session_slot_name to);
/* An attempt to get keys, unless one is under way; and its end, with what it had begun. */
void pv_session_begin(struct pv_session *s, pv_ns now);
void pv_session_end(struct pv_session *s);
/* No answer to our last message 1 is taken any more, and its index is handed back. */
void pv_session_drop_pending(struct pv_session *s);
/* Whether an attempt is to go on, by the clock. */
void pv_session_run_attempt(struct pv_session *s, pv_ns now);
/* Until when the first packet under the keys in NEXT can be hoped for. */
pv_ns pv_session_proof_expected(const struct pv_session *s);
/* When the next message 1 may leave. */
pv_ns pv_session_may_send_from(const struct pv_session *s);
void pv_session_send_keepalive(struct pv_session *s);
/* The peer may not send under keys that we made until it has a packet under them. */
void pv_session_prove_keys(struct pv_session *s, pv_ns now);
/* Keys of another suite than wanted are replaced; of two members one side is enough. */
void pv_session_check_suite(struct pv_session *s, pv_ns now);
/* session_psk.c: the one that our next message 1 names; 0 = none. */
uint32_t pv_session_named_psk(const struct pv_session *s);
/* Keys of another one than the newest that both have are replaced; patient: only when the other
 * side had its time to do it. */
void pv_session_check_psk(struct pv_session *s, bool patient, pv_ns now);
/* The peer's keys with the preshared key for the answer to `answer`, and its id. */
void pv_session_choose_psk(const struct pv_session *s, struct pv_wg_remote *remote,
                           uint32_t *ret_id);
/* Reads a message 2 with each that the peer may have used. As pv_wgmsg_read_response(). */
PV_MUST_CHECK int pv_session_try_psks(struct pv_session *s, struct pv_view msg, pv_ns now,
                                      struct pv_wg_keys *ret_keys, uint32_t *ret_id);
/* Starts to send with the keys in CURRENT. */
void pv_session_use_current(struct pv_session *s, pv_ns now);
