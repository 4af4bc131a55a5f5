/* SPDX-License-Identifier: MIT */
/*
 * turnc_int.h - what the files of the TURN client share. Not for others.
 *
 *   turnc.c       the allocation, transactions, what leaves and arrives
 *   turnc_chan.c  channels: numbers, who has one, data through them
 *   turnc_past.c  numbers that were given up
 */
#ifndef PV_TURNC_INT_H
#define PV_TURNC_INT_H

#include "proto/stun/turnc.h"
#include "proto/stun/turnc_past.h"

enum pv_turnc_state {
    PV_TURNC_OFF,
    PV_TURNC_ALLOCATING,
    PV_TURNC_READY,
    PV_TURNC_WAITING,
};

enum pv_turnc_kind {
    PV_TURNC_ALLOCATE,
    PV_TURNC_REFRESH,
    PV_TURNC_RELEASE, /* a refresh with lifetime 0, of what a former life of ours left here */
    PV_TURNC_BIND,
    PV_TURNC_PERMIT,
};

struct pv_turnc_txn {
    bool running;
    bool due; /* to be sent now */
    uint8_t id[PV_STUN_TXID_LEN];
    unsigned sends;
    unsigned challenges;
    pv_ns sent_at; /* last */
    pv_ns wait;
    pv_ns next; /* repetition, or the end */
};

struct pv_turnc_chan {
    struct pv_addr peer;
    uint16_t number;
    bool bound;
    bool tell;      /* an event is due */
    pv_ns bound_at; /* last answered */
    pv_ns lasted;   /* how long it was bound when it came in doubt; 0 = it did not */
    pv_ns again_at; /* when it is bound again; PV_NEVER while that runs */
    struct pv_turnc_txn bind;
    struct pv_turnc_txn permit;
};

struct pv_turnc {
    struct pv_rng rng;
    struct pv_turnc_config cfg;
    uint8_t key[PV_MD5_LEN];
    enum pv_turnc_state state;
    bool up;       /* there is an allocation, as far as we know */
    bool bind_all; /* with the next allocation also channels that seem to be bound */
    struct pv_addr relayed, mapped;
    struct pv_turnc_txn main; /* allocate, refresh or release */
    enum pv_turnc_kind main_kind;
    pv_ns refresh_at; /* READY; WAITING: of the next attempt */
    pv_ns retry;
    pv_ns rebind;                   /* of channels at this server */
    pv_ns rtt;                      /* 0 = not known */
    struct pv_turnc_chan *channels; /* owned */
    size_t n_channels, cap_channels;
    uint16_t next_number;
    struct pv_turnc_past past; /* numbers given up */
    bool ev_up, ev_down;
    int down_status;
    unsigned down_error;
    struct pv_addr alternate;
    size_t n_tell; /* channels with an event */
    pv_ns next;    /* deadline over all; kept by pv_turnc_touch() */
    pv_ns now;     /* of the last call that had it */
};

/* --- turnc.c --------------------------------------------------------------------------------- */

void pv_turnc_txn_start(struct pv_turnc *c, struct pv_turnc_txn *t, pv_ns now);
void pv_turnc_txn_stop(struct pv_turnc_txn *t);
/* Sets the deadline over all; at the end of every call that may have moved one. */
void pv_turnc_touch(struct pv_turnc *c);

/* --- turnc_chan.c ---------------------------------------------------------------------------- */

void pv_turnc_set_bound(struct pv_turnc *c, struct pv_turnc_chan *ch, bool bound);
/* Asks for it now, and for the permission where the server wants one. */
void pv_turnc_bind_now(struct pv_turnc *c, struct pv_turnc_chan *ch, pv_ns now);
/* Nothing is bound any more; each is asked for again with the next allocation. */
void pv_turnc_unbind_all(struct pv_turnc *c, pv_ns now);

#endif /* PV_TURNC_INT_H */
