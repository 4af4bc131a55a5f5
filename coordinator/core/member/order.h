/* SPDX-License-Identifier: MIT */
/*
 * order.h - one network's log at its coordinator: what comes next in it, what is stored, and the
 * head over what is stored (adr/0132).
 *
 *   submit -> poll_job ... handle_job -> poll_done
 *
 * One batch is on its way to the store at a time, and statements that come meanwhile make up the
 * next. Nobody is shown an entry, nor a head over it, before it is stored. After a start the
 * coordinator orders nothing until a member's log was compared with its own: its database may be an
 * old backup. No I/O. One thread.
 */
#pragma once

#include "base/pv.h"
#include "coordinator/core/member/storeop.h"
#include "proto/roster/netlog.h"

enum {
    PV_ORDER_QUEUE = 4096, /* ours: statements that wait for a network's next batch */
    PV_ORDER_BATCH = 256,  /* ours: statements of one batch */
    PV_ORDER_HEAD_S = 3600 /* seconds after which a head is signed again */
};

enum pv_order_state {
    PV_ORDER_WAITS,   /* since its start nobody has compared logs with this coordinator */
    PV_ORDER_READY,   /* all is stored */
    PV_ORDER_STORING, /* a batch is at the store */
    PV_ORDER_FAILED,  /* the store refused a batch: it is offered again */
    PV_ORDER_BROKEN,  /* the stored log is another one: somebody else wrote to the database */
};

struct pv_order; /* opaque */

struct pv_order_config {
    struct pv_fold_config fold;
    uint8_t genesis[PV_LOGST_HASH_LEN]; /* hash of the network record */
    const uint8_t *sk;                  /* PV_SIGN_SK_LEN bytes, borrowed */
};

/* fresh: the network was created in this run, so nobody can know a longer log. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_order_new(const struct pv_order_config *cfg, bool fresh,
                               struct pv_order **ret_order);
struct pv_order *pv_order_free(struct pv_order *o); /* NULL is fine; returns NULL */

/* Takes in the next stored entry. Signatures were checked before it was stored. PV_ERR_AUTH (it
 * does not follow), PV_ERR_NOMEM, and the errors of pv_entry_decode(). */
PV_MUST_CHECK int pv_order_load(struct pv_order *o, struct pv_view entry);

enum pv_order_state pv_order_state(const struct pv_order *o);

/*
 * Takes a statement that a member brings. ticket: whose it is; it comes back once by
 * pv_order_poll_done().
 *   PV_ERR_AUTH   a signature is wrong, or it is of another network
 *   PV_ERR_STATE  this coordinator does not order, or not yet
 *   PV_ERR_LIMIT  too many wait
 *   PV_ERR_NOMEM, and the errors of pv_logst_decode()
 */
PV_MUST_CHECK int pv_order_submit(struct pv_order *o, struct pv_view statement, uint64_t ticket);
/* What became of a statement. */
struct pv_order_done {
    uint64_t ticket;
    enum pv_why why; /* PV_WHY_ALLOWED, PV_WHY_COUNTED: it is in the log */
    bool failed;     /* the store refused it: it may come later */
};
/* false: nothing more is decided. */
bool pv_order_poll_done(struct pv_order *o, struct pv_order_done *ret_done);

/* Orders what waits and makes the operation that stores it; the caller sets its id. wall: Unix
 * seconds. PV_ERR_AGAIN: there is nothing to store; PV_ERR_NOMEM: to be called again later. */
PV_MUST_CHECK int pv_order_poll_job(struct pv_order *o, uint64_t wall, struct pv_storeop **ret_op);
/* The store's answer to the last operation. */
void pv_order_handle_job(struct pv_order *o, int status, uint64_t wall);
/* Signs a new head if the last is old. Returns true if it did. */
bool pv_order_sign_again(struct pv_order *o, uint64_t wall);

/* How a member's log stands to this one. */
enum pv_order_match {
    PV_ORDER_HAS,     /* the entry is in this log */
    PV_ORDER_LACKS,   /* this log ends before it */
    PV_ORDER_DIFFERS, /* this log has another entry there */
};
/* A member has this entry n; n = 0: it has none. whole: it keeps the log up to there, so the wait
 * after a start ends if the entry is here; else it is fetching the log from this coordinator. */
enum pv_order_match pv_order_compare(struct pv_order *o, uint64_t n,
                                     const uint8_t hash[static PV_LOGST_HASH_LEN], bool whole);
/* Takes entries that a member has and this log lacks: they are stored next. Errors as
 * pv_netlog_take(); PV_ERR_STATE: a batch is on its way. */
PV_MUST_CHECK int pv_order_take(struct pv_order *o, const struct pv_netlog_piece *piece);

/* Stored entries. */
uint64_t pv_order_n(const struct pv_order *o);
/* The bytes of entry n, 1 <= n <= pv_order_n(). Valid until it leaves the log. */
struct pv_view pv_order_entry(const struct pv_order *o, uint64_t n);
/* The hash of entry n; n = 0: of the network record. */
const uint8_t *pv_order_hash(const struct pv_order *o, uint64_t n);
/* A head over entry pv_order_n(); empty: none, as root's move is that entry or another coordinator
 * ordered it and its head is not here. Valid until the next call that is not const. */
struct pv_view pv_order_head(const struct pv_order *o);
/* The state after the stored entries and those on their way. */
const struct pv_fold *pv_order_fold(struct pv_order *o);
