/* SPDX-License-Identifier: MIT */
/*
 * nettrace.h - which routers stand at the beginning of the way to a server, without rights: STUN
 * requests with a small TTL, and the ICMP errors that the kernel keeps for their sockets.
 *
 * The owner polls the descriptors and calls; it takes PV_NETTRACE_MS at most. IPv4. One thread.
 */
#ifndef PV_NETTRACE_H
#define PV_NETTRACE_H

#include <poll.h>

#include "base/addr.h"
#include "base/pv.h"
#include "proto/stun/routercheck.h"

enum {
    PV_NETTRACE_MS = 1000, /* then what did not answer is silent */
    PV_NETTRACE_SENDS = 3, /* of every hop */
};

/* Fields belong to nettrace.c; fds may be polled, -1 = none. */
struct pv_nettrace {
    int fds[PV_ROUTERCHECK_HOPS]; /* one for each TTL, from 1 on */
    bool open[PV_ROUTERCHECK_HOPS];
    struct pv_addr server;
    pv_ns due;
    unsigned sends;
    bool running;
    struct pv_routercheck_trace trace;
};

/* Opens the sockets and sends; without sockets it is over at once. */
void pv_nettrace_start(struct pv_nettrace *t, const struct pv_addr *server, pv_ns now);
void pv_nettrace_handle_timeout(struct pv_nettrace *t, pv_ns now);
pv_ns pv_nettrace_next_timeout(const struct pv_nettrace *t); /* PV_NEVER when over */
/* Something came on fds[hop]. */
void pv_nettrace_handle_ready(struct pv_nettrace *t, size_t hop);
void pv_nettrace_done(struct pv_nettrace *t); /* closes; twice does no harm */

#endif /* PV_NETTRACE_H */
