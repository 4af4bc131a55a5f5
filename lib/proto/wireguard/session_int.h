/* SPDX-License-Identifier: MIT */
/*
 * session_int.h - the state of a session and the small steps that its parts share. Internal to
 * session*.c: session.c has the messages, session_keep.c the path, the traffic and the timers.
 */
#ifndef PV_SESSION_INT_H
#define PV_SESSION_INT_H

#include "proto/wireguard/cookie.h"
#include "proto/wireguard/session.h"

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

enum pv_session_slot_name {
    CURRENT,
    PREVIOUS,
    NEXT,
    SLOTS,
};

struct pv_session_slot {
    bool used;
    bool initiator;
    enum pv_suite suite;
    uint32_t local;
    pv_ns born;
};

enum pv_session_phase { /* see the table in the header */
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
    enum pv_session_phase phase;
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
    struct pv_session_slot slots[SLOTS];

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

bool pv_session_has_path(const struct pv_session *s);
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
/* Starts to send with the keys in CURRENT. */
void pv_session_use_current(struct pv_session *s, pv_ns now);

#endif /* PV_SESSION_INT_H */
