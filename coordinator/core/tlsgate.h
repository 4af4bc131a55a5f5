/* SPDX-License-Identifier: MIT */
/*
 * tlsgate.h - how many TLS handshakes may be under way, from where, how fast and for how long: each
 * costs 0.2 ms and 45 KiB (measured) before anybody has shown who it is.
 *
 * Knows nothing of TLS. One thread.
 */
#ifndef PV_TLSGATE_H
#define PV_TLSGATE_H

#include "base/addr.h"
#include "base/bucket.h"
#include "base/pv.h"

enum {
    PV_TLSGATE_MAX = 256,       /* ours: handshakes under way, 12 MiB */
    PV_TLSGATE_SOURCE_MAX = 64, /* of one /24 or /56: an office behind one address comes back */
    PV_TLSGATE_RATE = 400,      /* a second in all: a twelfth of a core */
    PV_TLSGATE_BURST = 800,
    PV_TLSGATE_SOURCE_RATE = 50, /* a second from one /24 or /56 */
    PV_TLSGATE_SOURCE_BURST = 200,
    PV_TLSGATE_TIME_S = 5, /* seconds one may take: ten times what a slow path needs */
};

/* One handshake; the owner's memory, zeroed at first. */
struct pv_tlsgate_pass {
    bool inside;
    struct pv_addr source;
    pv_ns until;
    struct pv_tlsgate_pass *prev, *next;
};

struct pv_tlsgate {
    struct pv_tlsgate_pass *first, *last; /* oldest first */
    size_t n;
    struct pv_bucket all;
    struct pv_bucket_table *sources;
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
