/* SPDX-License-Identifier: MIT */
/*
 * mail.h - parcels: sealed copies of chat messages that wait for members who are away (DESIGN 8,
 * docs/PROTOCOL.md "Stored copies"). The coordinator sees who writes to whom, when, and how much.
 *
 * The desk remembers whose request each store operation is; parcels, quotas and times are the
 * store's (storeop.h). Nothing is answered before the disk has answered. Single thread.
 */
#ifndef PV_MAIL_H
#define PV_MAIL_H

#include "base/bucket.h"
#include "coordinator/core/conn.h"
#include "coordinator/core/member/storeop.h"

enum {
    PV_MAIL_PENDING = 4096,   /* ours: operations under way; more: error "busy" */
    PV_MAIL_PENDING_CONN = 8, /* ours: of one connection; more: error "limit" */
};
/* Operations of the desk have this bit in their number, the registry's have not. */
#define PV_MAIL_OP ((uint64_t)1 << 63)

/* A request that waits for the store. */
struct pv_mail_wait {
    struct pv_mail_wait *next;
    uint64_t op;                /* number of the store operation */
    uint64_t conn;              /* connection that asked */
    uint64_t request;           /* number of its request */
    bool keep;                  /* KEEP, else COLLECT */
    struct pv_cnet *net;        /* KEEP: of sender and receiver; networks are never dropped */
    uint8_t to[PV_SIGN_PK_LEN]; /* KEEP: the receiver */
    struct pv_storeop *job;     /* owned until it was polled, then NULL */
};

struct pv_mail_desk {
    struct pv_mail_wait *waits; /* in the order of their operations */
    struct pv_mail_wait **end;  /* where the next one goes */
    size_t n;                   /* length of waits */
    uint64_t last_op;           /* newest number, without PV_MAIL_OP */
};

void pv_mail_init(struct pv_mail_desk *desk);
void pv_mail_done(struct pv_mail_desk *desk);

/* Makes the store operation of msg, KEEP or COLLECT of the member s. PV_CTL_E_NONE: the store will
 * answer; else the error to answer with. wall_s: Unix seconds. */
enum pv_ctl_error pv_mail_ask(struct pv_mail_desk *desk, const struct pv_conn *s,
                              const struct pv_ctl_msg *msg, uint64_t wall_s);
/* The next operation for the store; the caller owns it. PV_ERR_AGAIN. */
PV_MUST_CHECK int pv_mail_poll_job(struct pv_mail_desk *desk, struct pv_storeop **ret_op);
/* Takes the request that waits for this operation off the list: the caller frees it. NULL: none. */
struct pv_mail_wait *pv_mail_take(struct pv_mail_desk *desk, uint64_t op);
/* The answer to the request of wait. Points into result. */
struct pv_ctl_msg pv_mail_answer(const struct pv_mail_wait *wait,
                                 const struct pv_storeop_result *result);

#endif /* PV_MAIL_H */
