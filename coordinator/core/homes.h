/* SPDX-License-Identifier: MIT */
/*
 * homes.h - where several coordinators share a store: networks that somebody knocks for and that
 * are not in this one's memory, until the store has said whose they are (member/home.h); and whom
 * it told lately to go elsewhere.
 *
 * All who knock for one network wait for one question. A store that cannot say yet is asked again
 * for some seconds. Pure; single thread.
 */
#pragma once

#include "base/pv.h"
#include "coordinator/core/member/home.h"
#include "crypto/dh.h"

enum {
    PV_HOMES_ASKS = 4096, /* ours: networks asked for at once; more: error "storage" */
    PV_HOMES_TOLD = 4096, /* ours: nodes told, a power of two; newer ones displace older ones */
    PV_HOMES_TOLD_S = 30, /* ours: seconds for which they are known */
};
#define PV_HOMES_AGAIN PV_MS(250) /* ours: until the store is asked again */
#define PV_HOMES_GIVE_UP \
    PV_MS(4500) /* ours: a lease and a half, after which who waits is refused */

/* Operations of this file have this bit in their number, no others have. */
#define PV_HOMES_OP ((uint64_t)1 << 62)

/* Why a network is given away. */
enum pv_homes_why {
    PV_HOMES_DRAINED,
    PV_HOMES_BALANCED, /* another coordinator has fewer */
    PV_HOMES_IDLE,     /* nobody uses it: it has no home then */
};

/* One network that is asked for, or left. */
struct pv_homes_ask {
    struct pv_homes_ask *prev, *next;
    uint8_t network[PV_NETWORK_ID_LEN];
    bool leave;
    enum pv_homes_why why; /* LEAVE */
    bool pleads;           /* one of them was told before, and is back: */
    uint8_t pleader[PV_SIGN_PK_LEN];
    uint64_t op;            /* number of the operation; 0: between two */
    struct pv_storeop *job; /* owned until it was polled */
    pv_ns again_at;         /* when the next is made */
    pv_ns until;            /* then it is given up */
    uint64_t *conns;        /* owned: who waits */
    size_t n_conns, cap;
};

struct pv_homes_told {
    uint64_t tag; /* of its transport key; 0: free */
    pv_ns until;
    uint8_t told;
};

struct pv_homes {
    bool on; /* there are several coordinators */
    bool draining;
    bool full; /* there is no room for more networks here */
    struct pv_homes_ask *asks;
    size_t n;
    uint64_t last_op;
    struct pv_homes_told *told; /* owned: PV_HOMES_TOLD of them; NULL while it is not on */
};

/* PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_homes_init(struct pv_homes *h, bool on);
void pv_homes_done(struct pv_homes *h);

/* The connection waits until it is known whose the network is. pleader: the node that proved to be
 * behind it, when it was told before and is back; else NULL. PV_ERR_LIMIT, PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_homes_seek(struct pv_homes *h, const uint8_t network[static PV_NETWORK_ID_LEN],
                                uint64_t conn, const uint8_t *pleader, pv_ns now);
/* The network is given away. PV_ERR_LIMIT, PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_homes_leave(struct pv_homes *h,
                                 const uint8_t network[static PV_NETWORK_ID_LEN],
                                 enum pv_homes_why why, pv_ns now);
/* The next operation for the store; the caller owns it. PV_ERR_AGAIN. */
PV_MUST_CHECK int pv_homes_poll_job(struct pv_homes *h, struct pv_storeop **ret_op);
/* Takes what this operation is about off the list: for pv_homes_ask_free() or pv_homes_again().
 * NULL: none. */
struct pv_homes_ask *pv_homes_take(struct pv_homes *h, uint64_t op);
/* It is asked again in a moment. False: that was long enough. */
PV_MUST_CHECK bool pv_homes_again(struct pv_homes *h, struct pv_homes_ask *ask, pv_ns now);
void pv_homes_ask_free(struct pv_homes_ask *ask);
void pv_homes_handle_timeout(struct pv_homes *h, pv_ns now);
pv_ns pv_homes_next_timeout(const struct pv_homes *h);

/* The node with this key was told to go elsewhere. */
void pv_homes_tell(struct pv_homes *h, const uint8_t transport[static PV_DH_LEN], pv_ns now);
/* It was told twice, and is here again. */
bool pv_homes_pleads(const struct pv_homes *h, const uint8_t transport[static PV_DH_LEN],
                     pv_ns now);
