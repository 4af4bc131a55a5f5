/* SPDX-License-Identifier: MIT */
/*
 * registry.h - all networks of a coordinator, the receipts it gives, and the way of a change
 * through the store: judge, give a receipt, store, only then believe and answer.
 *
 *   submit(work) -> operations -> poll_job ... handle_job -> poll_done(work)
 *
 * Operations of one network are taken in in the order of their receipts, whatever the order of the
 * store's answers, so that a cursor never passes a statement that comes later. Single thread.
 */
#pragma once

#include "base/log.h"
#include "base/map.h"
#include "coordinator/core/member/cnet.h"
#include "coordinator/core/member/rowmark.h"
#include "coordinator/core/member/storeop.h"

/* --- networks that are not settled yet ------------------------------------------------------- */

/*
 * Networks whose statements are not settled yet. One that somebody filled may take
 * long, so each is settled a little at a time, and others are served between. Single thread.
 */

enum {
    PV_UNSETTLED_START = 1024 * 1024, /* ours: steps of a network before the first connection */
};

/* --- the registry ---------------------------------------------------------------------------- */

/* A request that changes something, from the connection that got it to its answer. */
struct pv_work {
    uint64_t conn;                /* whose it is; the registry does not look at it */
    struct pv_ctl_msg *msg;       /* owned: PV_CTL_PUT, PV_CTL_CREATE or PV_CTL_REGISTER */
    struct pv_cnet *net;          /* of the connection; NULL for create, which sets it */
    struct pv_cnet_joiner joiner; /* REGISTER: the connection's keys */

    /* The outcome, once done. */
    enum pv_ctl_error error; /* not PV_CTL_E_NONE: the whole request failed */
    size_t n_results;        /* PUT, CREATE: one for each statement */
    struct pv_ctl_result *results;
    /* REGISTER: the statement that stands, and its receipt. A copy: a later change of the same
     * network may have replaced it in the roster before this one is answered. */
    struct pv_view registered, receipt;

    /* The registry's own. */
    struct pv_work *prev, *next;
    struct pv_cnet *fresh;               /* CREATE: the network being made */
    const struct pv_cnet *trial;         /* CREATE: all of it, while its rows are made */
    size_t at;                           /* first statement that is not decided */
    uint8_t (*receipts)[PV_RECEIPT_LEN]; /* results point here */
    uint8_t *copy;                       /* owned: registered and receipt point here */
};

enum {
    PV_REGISTRY_RETRY_S = 1, /* ours: seconds until memory is looked for again */
};

struct pv_op; /* a store operation under way */

struct pv_registry {
    struct pv_rng rng;
    const struct pv_log *log;
    const uint8_t *sk;                    /* PV_SIGN_SK_LEN bytes, borrowed until done */
    uint8_t mark_key[PV_ROWMARK_KEY_LEN]; /* of stored rows */
    struct pv_map map;
    struct pv_cnet *nets;
    size_t max_nets;
    const struct pv_netlimits_table *limits; /* borrowed; NULL: none */
    uint64_t known_epoch;                    /* the highest seen in the store */
    uint64_t epoch;                          /* of the receipts given in this run; 0 until start */
    uint64_t next_n;
    uint64_t next_op;
    struct pv_op *ops; /* in order of their receipts */
    size_t n_ops;
    pv_ns complain_at; /* earliest time of the next line about a store that fails */
    pv_ns retry_at;    /* of pv_registry_retry(); PV_NEVER: not needed */
    struct pv_op *next_job;
    struct pv_cnet *dropped; /* networks that the operator ended; others may still point to them */
    struct pv_cnet *unsettled; /* in the order of their turns, by next_unsettled */
    size_t steps;              /* of settling a network at once */
    struct pv_cnet *changed;   /* networks whose log or members changed */
    struct pv_work *done;      /* in order */
};

/* sk, log: kept. max_nets: networks in all. */
void pv_registry_init(struct pv_registry *reg, const uint8_t *sk, size_t max_nets,
                      const struct pv_rng *rng, const struct pv_log *log);
void pv_registry_done(struct pv_registry *reg);

/* One stored row, in ascending order. A row without a good mark is verified and gets one.
 * PV_ERR_NOMEM; rows that do not verify are logged and left out. */
PV_MUST_CHECK int pv_registry_load(struct pv_registry *reg, struct pv_storerow *row);
/* One stored entry of a log, in ascending order, after all rows. PV_ERR_NOMEM; what does not follow
 * is logged and left out. */
PV_MUST_CHECK int pv_registry_load_entry(struct pv_registry *reg, const struct pv_storerow *row);
/* After loading: settles the networks and fixes the epoch, above every one known. wall: Unix
 * seconds. */
void pv_registry_start(struct pv_registry *reg, uint64_t wall);

struct pv_cnet *pv_registry_find(const struct pv_registry *reg,
                                 const uint8_t id[static PV_NETWORK_ID_LEN]);

/* Are there max_nets? */
bool pv_registry_is_full(const struct pv_registry *reg);

/* Other limits from now on; borrowed. Entries that are there stay. */
void pv_registry_set_limits(struct pv_registry *reg, const struct pv_netlimits_table *limits);

/* Forgets a network whose rows are gone from the store. Its memory stays until done. */
void pv_registry_drop(struct pv_registry *reg, struct pv_cnet *net);

/* A network that came from the store with all its rows: settles it, and gives receipts of this
 * epoch from now on. */
void pv_registry_came(struct pv_registry *reg, struct pv_cnet *net, uint64_t epoch, pv_ns now);
/* Frees networks that were dropped and are not used any more. is_used: by what the registry does
 * not know. */
void pv_registry_sweep(struct pv_registry *reg,
                       bool (*is_used)(void *ctx, const struct pv_cnet *net), void *ctx);

/* The time that a receipt given now in this network has, Unix seconds: it never falls, and stands
 * still while a clock that was set back is behind it. A statement that comes in is judged at this
 * time, as everybody judges it by the receipt. Of other networks it says nothing: another
 * coordinator's clock may have been wrong there. */
uint64_t pv_registry_time(const struct pv_cnet *net, uint64_t wall);

/* Takes the work; it comes back by pv_registry_poll_done(), perhaps at once. wall: Unix seconds. */
void pv_registry_submit(struct pv_registry *reg, struct pv_work *work, uint64_t wall, pv_ns now);
/* The next operation for the store; the caller owns it. PV_ERR_AGAIN. */
PV_MUST_CHECK int pv_registry_poll_job(struct pv_registry *reg, struct pv_storeop **ret_op);
/* The store's answer. The network that it was about; NULL: none that there is. */
struct pv_cnet *pv_registry_handle_job(struct pv_registry *reg,
                                       const struct pv_storeop_result *result, uint64_t wall,
                                       pv_ns now);
/* Goes on at retry_at: settles the next network a little further, and takes in what the store has
 * and what waited for that, for memory, or for its network to rest. The network that was settled;
 * NULL: none. */
struct pv_cnet *pv_registry_retry(struct pv_registry *reg, uint64_t wall, pv_ns now);
/* A network has rested. */
void pv_registry_rested(struct pv_registry *reg, pv_ns now);
/* A finished work; free it with pv_work_free(). NULL: none. */
struct pv_work *pv_registry_poll_done(struct pv_registry *reg);

/* A network that changed since it was last polled: push its log, drop who is in gone and lower
 * n_gone by these. NULL: none. */
struct pv_cnet *pv_registry_poll_changed(struct pv_registry *reg);

/* A work for the message, which it takes; the caller fills conn, net and joiner. PV_ERR_NOMEM: the
 * message is still the caller's. */
PV_MUST_CHECK int pv_work_new(struct pv_ctl_msg *msg, struct pv_work **ret_work);
struct pv_work *pv_work_free(struct pv_work *work); /* NULL is fine; returns NULL */
