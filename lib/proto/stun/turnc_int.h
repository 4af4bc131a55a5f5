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

/* One request and its repetitions. */
struct pv_turnc_txn {
    bool running;                 /* an answer is awaited */
    bool due;                     /* to be sent at the next poll */
    uint8_t id[PV_STUN_TXID_LEN]; /* tells its answer */
    unsigned sends;               /* transmissions so far */
    unsigned challenges;          /* times it was begun again with a new nonce or otherwise */
    pv_ns sent_at;                /* when it was last sent */
    pv_ns wait;                   /* interval before the next repetition, doubling */
    pv_ns next;                   /* when it is repeated, or given up */
};

/* The channel to one peer. It keeps its number over all allocations. */
struct pv_turnc_chan {
    struct pv_addr peer;
    uint16_t number;
    bool bound;                 /* data may go through it */
    bool before;                /* it was bound at the server before this one */
    bool tell;                  /* an event about it is due */
    pv_ns bound_at;             /* when a binding was last answered */
    pv_ns lasted;               /* how long it was bound when it became suspect; 0 = it did not */
    pv_ns again_at;             /* when it is bound again; PV_NEVER while that runs */
    struct pv_turnc_txn bind;   /* its ChannelBind */
    struct pv_turnc_txn permit; /* its CreatePermission, at servers that want one */
};

struct pv_turnc {
    struct pv_rng rng;
    struct pv_turnc_config cfg;
    uint8_t key[PV_MD5_LEN]; /* for MESSAGE-INTEGRITY, from user, realm and password */
    enum pv_turnc_state state;
    bool up;       /* there is an allocation, as far as we know */
    bool bind_all; /* with the next allocation also channels that seem to be bound */
    struct pv_addr relayed, mapped;
    struct pv_turnc_txn main;        /* an allocate, refresh or release: one at a time */
    enum pv_turnc_kind main_kind;    /* which of them main is */
    pv_ns refresh_at;                /* READY: next refresh; WAITING: next attempt */
    pv_ns retry;                     /* wait after the next failure, doubling */
    pv_ns rebind;                    /* how often channels are bound again at this server */
    pv_ns rtt;                       /* of the last request; 0 = not known */
    struct pv_turnc_chan *channels;  /* owned */
    size_t n_channels, cap_channels; /* channels, and their room */
    uint16_t next_number;            /* where the search for a free number begins */
    struct pv_turnc_past past;       /* numbers given up */
    bool ev_up, ev_down;             /* these events are due */
    int down_status;                 /* status of the DOWN event */
    unsigned down_error;             /* its error code */
    struct pv_addr alternate;        /* its alternate server */
    size_t n_tell;                   /* channels about which an event is due */
    pv_ns next;                      /* deadline over all; kept by pv_turnc_touch() */
    pv_ns now;                       /* of the last call that had it */
};

/* --- turnc.c --------------------------------------------------------------------------------- */

void pv_turnc_txn_start(struct pv_turnc *c, struct pv_turnc_txn *t, pv_ns now);
void pv_turnc_txn_stop(struct pv_turnc_txn *t);
/* Sets the deadline over all; at the end of every call that may have moved one. */
void pv_turnc_touch(struct pv_turnc *c);

/* --- turnc_chan.c ---------------------------------------------------------------------------- */

void pv_turnc_set_bound(struct pv_turnc *c, struct pv_turnc_chan *ch, bool bound);
/* Asks the server now for the channel, and for the permission where it wants one. */
void pv_turnc_bind_now(struct pv_turnc *c, struct pv_turnc_chan *ch, pv_ns now);
/* No channel is bound any more; each is asked for again with the next allocation. */
void pv_turnc_unbind_all(struct pv_turnc *c, pv_ns now);

#endif /* PV_TURNC_INT_H */
