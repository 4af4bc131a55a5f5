/* SPDX-License-Identifier: MIT */
/*
 * tlsgate.h - limits of TLS handshakes: how many are under way, in all and of one source, how fast
 * they begin, and how long they take. Each costs 0.2 ms and 45 KiB (measured) for a client that has
 * shown no key yet.
 *
 * Places are shared by source as places.h has it: when none is free, the oldest of the source with
 * the most is overdue at once. Members' addresses have places and a rate of their own, and sources
 * that were quiet a rate beside that of all. Knows nothing of TLS. One thread.
 */
#ifndef PV_TLSGATE_H
#define PV_TLSGATE_H

#include "base/addr.h"
#include "base/bucket.h"
#include "base/heap.h"
#include "base/pv.h"
#include "coordinator/core/places.h"

enum {
    PV_TLSGATE_MAX = 256,          /* ours: handshakes under way, 12 MiB */
    PV_TLSGATE_REGULARS = 64,      /* ours: of members' addresses, beside those */
    PV_TLSGATE_SOURCE_MAX = 64,    /* ours: of one /24 or /48, an office that comes back at once */
    PV_TLSGATE_RATE = 400,         /* ours: a second in all, a twelfth of a core */
    PV_TLSGATE_BURST = 800,        /* ours: at once, two seconds' worth */
    PV_TLSGATE_SOURCE_RATE = 50,   /* ours: a second from one /24 or /56 */
    PV_TLSGATE_SOURCE_BURST = 200, /* ours: at once from one of them */
    PV_TLSGATE_QUIET_RATE = 1,     /* ours: a source with no more than this a second is quiet, */
    PV_TLSGATE_QUIET_BURST = 4,    /* and with so many at once; */
    PV_TLSGATE_OWN_RATE = 200,     /* ours: a second of all quiet ones, and as many of members' */
    PV_TLSGATE_OWN_BURST = 400,    /* addresses, which the rate in all does not count */
    PV_TLSGATE_TIME_S = 5,         /* ours: seconds one may take, ten times a slow path's */
    PV_TLSGATE_HURRY_S = 2,        /* ours: the same while more than half of the places are taken */
};

/* One handshake; the owner's memory, zeroed at first. */
struct pv_tlsgate_pass {
    bool inside; /* the handshake is under way */
    struct pv_place place;
    struct pv_heap_node timer; /* it is overdue then */
};

struct pv_tlsgate {
    size_t n; /* handshakes under way */
    struct pv_places strangers, regulars;
    struct pv_heap timers;
    struct pv_bucket all, quiet,
        members;                     /* rates in all; of quiet sources; of members' addresses */
    struct pv_bucket_table *sources; /* rates by source network */
    struct pv_bucket_table *quiets;  /* which of them are quiet */
};

/* PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_tlsgate_init(struct pv_tlsgate *g, const struct pv_rng *rng);
void pv_tlsgate_done(struct pv_tlsgate *g); /* every pass is outside again */

/* A handshake from this source wants to begin; regular: members came from there lately. False: it
 * may not. Another one may be overdue from now on, for its place. */
PV_MUST_CHECK bool pv_tlsgate_enter(struct pv_tlsgate *g, struct pv_tlsgate_pass *pass,
                                    const struct pv_addr *source, bool regular, pv_ns now);
/* It is done or has ended; harmless when it is outside. */
void pv_tlsgate_leave(struct pv_tlsgate *g, struct pv_tlsgate_pass *pass);
/* One that takes too long or lost its place, to be ended now; each is told once. NULL: none. */
struct pv_tlsgate_pass *pv_tlsgate_overdue(struct pv_tlsgate *g, pv_ns now);
pv_ns pv_tlsgate_next_timeout(const struct pv_tlsgate *g); /* PV_NEVER when empty */

#endif /* PV_TLSGATE_H */
