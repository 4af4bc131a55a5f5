/* SPDX-License-Identifier: MIT */
/*
 * tlsgate.h - limits of TLS handshakes: how many are under way, in all and of one source, how fast
 * they begin, and how long they take. Each costs 0.2 ms and 45 KiB (measured) for a client that has
 * shown no key yet.
 *
 * Knows nothing of TLS. One thread.
 */
#ifndef PV_TLSGATE_H
#define PV_TLSGATE_H

#include "base/addr.h"
#include "base/bucket.h"
#include "base/pv.h"

enum {
    PV_TLSGATE_MAX = 256,          /* ours: handshakes under way, 12 MiB */
    PV_TLSGATE_SOURCE_MAX = 64,    /* ours: of one /24 or /56, an office that comes back at once */
    PV_TLSGATE_RATE = 400,         /* ours: a second in all, a twelfth of a core */
    PV_TLSGATE_BURST = 800,        /* ours: at once, two seconds' worth */
    PV_TLSGATE_SOURCE_RATE = 50,   /* ours: a second from one /24 or /56 */
    PV_TLSGATE_SOURCE_BURST = 200, /* ours: at once from one of them */
    PV_TLSGATE_TIME_S = 5,         /* ours: seconds one may take, ten times a slow path's */
};

/* One handshake; the owner's memory, zeroed at first. */
struct pv_tlsgate_pass {
    bool inside;           /* the handshake is under way */
    struct pv_addr source; /* of its connection */
    pv_ns until;           /* it is overdue then */
    struct pv_tlsgate_pass *prev, *next;
};

struct pv_tlsgate {
    struct pv_tlsgate_pass *first, *last; /* oldest first */
    size_t n;                             /* handshakes under way */
    struct pv_bucket all;                 /* rate of all of them */
    struct pv_bucket_table *sources;      /* rates by source network */
};

/* PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_tlsgate_init(struct pv_tlsgate *g, const struct pv_rng *rng);
void pv_tlsgate_done(struct pv_tlsgate *g); /* every pass is outside again */

/* A handshake from this source wants to begin. False: it may not. */
PV_MUST_CHECK bool pv_tlsgate_enter(struct pv_tlsgate *g, struct pv_tlsgate_pass *pass,
                                    const struct pv_addr *source, pv_ns now);
/* It is done or has ended; harmless when it is outside. */
void pv_tlsgate_leave(struct pv_tlsgate *g, struct pv_tlsgate_pass *pass);
/* One that takes too long, still inside; NULL: none. */
struct pv_tlsgate_pass *pv_tlsgate_overdue(const struct pv_tlsgate *g, pv_ns now);
pv_ns pv_tlsgate_next_timeout(const struct pv_tlsgate *g); /* PV_NEVER when empty */

#endif /* PV_TLSGATE_H */
