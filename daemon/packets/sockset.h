/* SPDX-License-Identifier: MIT */
/*
 * sockset.h - the sockets beside the main ones, as the datapath's threads see them: control changes
 * the set while they run, and knows when none of them uses what was taken out.
 *
 * A thread is inside while it may use descriptors it has read, outside while it sleeps. A change is
 * over when every thread has been outside, or has come in again, since. Lock-free for the threads;
 * control waits for them, at most one round of a thread. In caller's memory, all zero = empty.
 */
#pragma once

#include <stdatomic.h>

#include "base/pv.h"

enum {
    PV_SOCKSET_MAX = 8,      /* what hard NATs were crossed with, DESIGN 5 */
    PV_SOCKSET_THREADS = 16, /* most that use a set */
};

struct pv_sockset_sock {
    uint16_t id; /* in carriers; not 0 */
    int fd;
};

/* Fields belong to sockset.c. */
struct pv_sockset {
    _Atomic uint64_t slots[PV_SOCKSET_MAX]; /* id << 32 | fd; 0 = empty */
    _Atomic uint64_t changes;
    _Atomic uint64_t
        inside[PV_SOCKSET_THREADS]; /* changes seen when it came in, + 1; 0 = outside */
};

/* --- threads, numbered from 0 ---------------------------------------------------------------- */

void pv_sockset_enter(struct pv_sockset *set, unsigned thread);
void pv_sockset_leave(struct pv_sockset *set, unsigned thread);
/* Returns the descriptor of an id, or -1 if the set has no such socket. Inside only. */
int pv_sockset_fd(const struct pv_sockset *set, uint16_t id);
/* The socket in place i of PV_SOCKSET_MAX; false: nothing. Inside only. */
bool pv_sockset_at(const struct pv_sockset *set, size_t i, struct pv_sockset_sock *ret_sock);

/* --- control --------------------------------------------------------------------------------- */

/* These and no others from now on; more than PV_SOCKSET_MAX are ignored. The threads that sleep
 * have to be woken, so that they wait for the new ones as well. */
void pv_sockset_change(struct pv_sockset *set, const struct pv_sockset_sock *socks, size_t n);
/* Returns when no thread uses what was taken out before: its descriptor may be closed. */
void pv_sockset_wait(const struct pv_sockset *set);
