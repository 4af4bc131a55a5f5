/* SPDX-License-Identifier: MIT */
/*
 * puts.h - statements on their way to the coordinator, and who waits for the receipts.
 *
 * Each part that puts statements has its own struct pv_puts. It sends a put, is told the answer by
 * its on_answer(), and then asks here which put it was and what the coordinator said of each
 * statement. A put ends exactly once: by pv_puts_take() or, when the connection is gone, by
 * pv_puts_take_lost().
 */
#pragma once

#include "daemon/core/node/node.h"
#include "proto/roster/roster_make.h"

enum {
    PV_PUTS_TAGS = 256, /* tags of answers to puts begin here; lower ones are the owner's own */
};

struct pv_put {
    struct pv_put *next;            /* puts.c's */
    uint64_t number;                /* puts.c's */
    int kind;                       /* the owner's */
    uint64_t handle;                /* ctl: who waits; 0 = nobody */
    bool force;                     /* the owner's */
    char *token;                    /* owned: an invite's token, which is secret; NULL = none */
    uint8_t invite[PV_SIGN_PK_LEN]; /* the invite that token belongs to */
    size_t n, cap;
    struct pv_made_long *statements; /* owned: n of them, with room for cap */
};

struct pv_puts {
    struct pv_node *node;
    const struct pv_part *owner; /* whose on_answer() is told */
    struct pv_put *first;
    uint64_t last_number;
};

/* Room for cap statements. NULL without memory. */
struct pv_put *pv_put_new(size_t cap);
/* A copy of one more. It is left out where there is no room. */
void pv_put_add(struct pv_put *put, struct pv_view statement);
struct pv_put *pv_put_free(struct pv_put *put); /* NULL is fine; wipes the token; returns NULL */

void pv_puts_init(struct pv_puts *ps, struct pv_node *node, const struct pv_part *owner);
void pv_puts_done(struct pv_puts *ps);

/* Sends a put, with the receipts that the roster has, and keeps it until it ends. Otherwise it
 * stays the caller's, and this says why: PV_CTL_E_OFFLINE, PV_CTL_E_LIMIT. */
PV_MUST_CHECK enum pv_ctl_error pv_puts_send(struct pv_puts *ps, struct pv_put *put);

/* The coordinator's answer to a put. */
struct pv_put_result {
    enum pv_ctl_error error;                    /* PV_CTL_E_NONE: all were taken; or the first no */
    struct pv_ctl_item items[PV_CTL_ITEMS_MAX]; /* taken ones, with receipts; borrowed from both */
    size_t n_items;
};
/* The put that this answer ends, which is the caller's then; NULL: none. */
struct pv_put *pv_puts_take(struct pv_puts *ps, uint64_t tag, const struct pv_ctl_msg *answer,
                            struct pv_put_result *ret_result);
/* The connection is gone: the next put without an answer, the caller's then; NULL: none. */
struct pv_put *pv_puts_take_lost(struct pv_puts *ps);
