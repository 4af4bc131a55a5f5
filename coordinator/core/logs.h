/* SPDX-License-Identifier: MIT */
/*
 * logs.h - the logs of all networks of a coordinator: requests about them, their operations at the
 * store, and who is told of new entries (core/member/order.h, adr/0132).
 *
 * Single thread. Answers go to their connections, which the owner marks ready.
 */
#pragma once

#include "base/log.h"
#include "coordinator/core/conn.h"
#include "proto/roster/gather.h"

enum {
    PV_LOGS_WAITS = 1024,           /* ours: requests to submit that wait for the store */
    PV_LOGS_GIVEN_BYTES = 64 << 20, /* ours: entries of one member that gives its log */
    PV_LOGS_GIVE_S = 30,            /* ours: seconds that it has for the next message */
};
/* Operations of this file have both bits in their number: homes have the lower, copies the higher.
 */
#define PV_LOGS_OP ((uint64_t)3 << 62)

/* A request whose statements wait to be decided. */
struct pv_logs_wait {
    struct pv_logs_wait *prev, *next;
    uint64_t number; /* its statements' tickets follow from it */
    uint64_t conn, request;
    size_t n, left;
    uint32_t whys[PV_CTL_ITEMS_MAX];
};

struct pv_logs {              /* zeroed at first */
    const struct pv_log *log; /* set by the owner */
    struct pv_cnet *busy;     /* networks that may have something for the store, by ordering.next */
    struct pv_cnet *storing;  /* networks whose batch the store has, by ordering.next_storing */
    struct pv_cnet *timed;    /* networks that wait for ordering.due, by ordering.next_timed */
    struct pv_logs_wait *waits; /* in order */
    size_t n_waits;
    uint64_t last_wait, last_op;
    uint64_t wall; /* Unix seconds, at now */
    pv_ns now;
    struct pv_gather given; /* entries that a member gives, of one network at a time */
    uint64_t giver;         /* its connection; 0: nobody gives */
    pv_ns given_at;         /* when the last of them came */
};

/* Calls the owner: a message was written to this connection. */
struct pv_logs_out {
    void *ctx;
    struct pv_conn *(*find)(void *ctx, uint64_t conn); /* NULL: it is gone */
    void (*mark)(void *ctx, struct pv_conn *s);
};

void pv_logs_done(struct pv_logs *l);
/* The network goes: nothing here points to it any more. */
void pv_logs_forget(struct pv_logs *l, struct pv_cnet *net);

/* The time of the calls that follow. wall: Unix seconds. */
void pv_logs_tick(struct pv_logs *l, uint64_t wall, pv_ns now);

/* Requests SUBMIT, LOG and ENTRIES of member s. They are answered at once, but for a SUBMIT, which
 * waits for the store. */
void pv_logs_submit(struct pv_logs *l, struct pv_conn *s, const struct pv_ctl_msg *msg);
void pv_logs_log(struct pv_logs *l, struct pv_conn *s, const struct pv_ctl_msg *msg);
void pv_logs_entries(struct pv_logs *l, struct pv_conn *s, const struct pv_ctl_msg *msg);

/* The next operation for the store; the caller owns it. PV_ERR_AGAIN. */
PV_MUST_CHECK int pv_logs_poll_job(struct pv_logs *l, struct pv_storeop **ret_op);
/* The store's answer to operation result->id, which has PV_LOGS_OP. */
void pv_logs_handle_job(struct pv_logs *l, const struct pv_storeop_result *result,
                        const struct pv_logs_out *out);

void pv_logs_handle_timeout(struct pv_logs *l, const struct pv_logs_out *out);
pv_ns pv_logs_next_timeout(const struct pv_logs *l);
