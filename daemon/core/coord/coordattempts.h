/* SPDX-License-Identifier: MIT */
/*
 * coordattempts.h - the connections by which a node tries a coordinator's addresses, several at a
 * time, each with a handshake of its own; the one that wins is kept among them. Their streams have
 * numbers, and what the shell is to open and close waits here until it is taken.
 *
 * Which address is tried when, and what a failure means, is for coordclient.c to say. In the
 * owner's memory; zeroed = none. Not thread-safe.
 */
#ifndef PV_COORDATTEMPTS_H
#define PV_COORDATTEMPTS_H

#include "daemon/core/coord/coordclient.h"
#include "proto/control/control.h"

enum {
    PV_COORDATTEMPTS_OPS_MAX = 4 * PV_COORDCLIENT_MAX_ADDRS,
};

struct pv_coordattempt {
    uint32_t sid; /* 0 = slot unused */
    struct pv_coordclient_addr addr;
    struct pv_control *control;
    bool connected;
    bool heard;    /* bytes came back */
    bool writable; /* not yet told by poll_writable */
};

struct pv_coordattempts {
    struct pv_coordattempt all[PV_COORDCLIENT_MAX_ADDRS];
    uint32_t next_sid;
    struct pv_coordclient_stream_op ops[PV_COORDATTEMPTS_OPS_MAX];
    size_t n_ops;
};

bool pv_coordattempts_has_room(const struct pv_coordattempts *as);
/* Begins one at addr: dh_sk is this node's key, dh_pk the coordinator's. NULL: it cannot be now,
 * for want of memory or because the shell has not taken what it was to do; needs room. */
struct pv_coordattempt *pv_coordattempts_begin(struct pv_coordattempts *as,
                                               const struct pv_coordclient_addr *addr,
                                               const uint8_t *dh_sk, const uint8_t *dh_pk,
                                               const struct pv_rng *rng);
/* Forgets one, and has its stream closed; close = false: that has happened. */
void pv_coordattempts_drop(struct pv_coordattempts *as, struct pv_coordattempt *a, bool close);

struct pv_coordattempt *pv_coordattempts_find(struct pv_coordattempts *as,
                                              uint32_t sid); /* or NULL */
bool pv_coordattempts_any(const struct pv_coordattempts *as);
bool pv_coordattempts_only_guesses(const struct pv_coordattempts *as);
/* Is one connected, at an address that is no guess? */
bool pv_coordattempts_connected(const struct pv_coordattempts *as);

/* PV_ERR_AGAIN: none. As those of coordclient.h. */
PV_MUST_CHECK int pv_coordattempts_poll_op(struct pv_coordattempts *as,
                                           struct pv_coordclient_stream_op *ret_op);
PV_MUST_CHECK int pv_coordattempts_poll_writable(struct pv_coordattempts *as, uint32_t *ret_sid);

#endif /* PV_COORDATTEMPTS_H */
