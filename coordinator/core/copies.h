/* SPDX-License-Identifier: MIT */
/*
 * copies.h - stored copies: sealed chat messages that wait for members who are away (DESIGN 8,
 * docs/PROTOCOL-PEERS.md "Stored copies"). The coordinator sees who writes to whom, when, and how
 * much.
 *
 * It remembers whose request each store operation is; copies, quotas and times are the
 * store's (storeop.h). Nothing is answered before the disk has answered. Single thread.
 */
#pragma once

#include "base/bucket.h"
#include "coordinator/core/conn.h"
#include "coordinator/core/member/storeop.h"

enum {
    PV_COPIES_PENDING = 4096,   /* ours: operations under way; more: error "busy" */
    PV_COPIES_PENDING_CONN = 8, /* ours: of one connection; more: error "limit" */
};
/* Operations of this file have this bit in their number, the registry's have not. */
#define PV_COPIES_OP ((uint64_t)1 << 63)

/* A request that waits for the store. */
struct pv_copies_wait {
    struct pv_copies_wait *prev, *next;
    uint64_t op;                /* number of the store operation */
    uint64_t conn;              /* connection that asked */
    uint64_t request;           /* number of its request */
    bool keep;                  /* KEEP, else COLLECT */
    struct pv_cnet *net;        /* KEEP: of sender and receiver; its memory stays */
    uint8_t to[PV_SIGN_PK_LEN]; /* KEEP: the receiver */
    struct pv_storeop *job;     /* owned until it was polled, then NULL */
};

struct pv_copies {                /* zeroed at first */
    struct pv_copies_wait *waits; /* in the order of their operations */
    size_t n;                     /* length of waits */
    uint64_t last_op;             /* newest number, without PV_COPIES_OP */
};

void pv_copies_done(struct pv_copies *copies);

/* Makes the store operation of msg, KEEP or COLLECT of the member s. PV_CTL_E_NONE: the store will
 * answer; else the error to answer with. wall_s: Unix seconds. */
enum pv_ctl_error pv_copies_ask(struct pv_copies *copies, const struct pv_conn *s,
                                const struct pv_ctl_msg *msg, uint64_t wall_s);
/* The next operation for the store; the caller owns it. PV_ERR_AGAIN. */
PV_MUST_CHECK int pv_copies_poll_job(struct pv_copies *copies, struct pv_storeop **ret_op);
/* Takes the request that waits for this operation off the list: the caller frees it. NULL: none. */
struct pv_copies_wait *pv_copies_take(struct pv_copies *copies, uint64_t op);
/* The answer to the request of wait. Points into result. */
struct pv_ctl_msg pv_copies_answer(const struct pv_copies_wait *wait,
                                   const struct pv_storeop_result *result);
