/* SPDX-License-Identifier: MIT */
/*
 * tlsgate.h - limits of TLS handshakes: how many are under way, in all and of one source, how fast
 * they begin, and how long they take. Each costs 0.2 ms and 45 KiB (measured) for a client that has
 * shown no key yet.
 *
 * Sources share the places as in places.h: when none is free, the oldest handshake of the source
 * with the most is overdue at once. Addresses of members have places and a rate of their own, and
 * quiet sources have a rate of their own, so a flood from elsewhere does not shut them out. This
 * file knows nothing of TLS. One thread.
 */
#pragma once

#include "base/addr.h"
#include "base/bucket.h"
#include "base/heap.h"
#include "base/pv.h"
#include "coordinator/core/places.h"

enum {
    PV_TLSGATE_MAX = 512,          /* ours: handshakes under way, 23 MiB */
    PV_TLSGATE_REGULARS = 64,      /* ours: of members' addresses, beside those */
    PV_TLSGATE_SOURCE_MAX = 64,    /* ours: of one /24 or /48, an office that comes back at once */
    PV_TLSGATE_RATE = 400,         /* ours: a second in all, a twelfth of a core */
    PV_TLSGATE_BURST = 800,        /* ours: at once, two seconds' worth */
    PV_TLSGATE_SOURCE_RATE = 50,   /* ours: a second from one /24 or /56 */
    PV_TLSGATE_SOURCE_BURST = 200, /* ours: at once from one of them */
    /* Ours: a source that begins no more than this a second, and at once, is quiet. */
    PV_TLSGATE_QUIET_RATE = 1,
    PV_TLSGATE_QUIET_BURST = 4,
    /* Ours: a second, and at once, of all quiet sources; the same again of members' addresses.
     * PV_TLSGATE_RATE does not count these. */
    PV_TLSGATE_OWN_RATE = 200,
    PV_TLSGATE_OWN_BURST = 400,
    /* Ours: beyond all that, for a crowd that comes back as after a restart: so many, and as many
     * again in 100 s; */
    PV_TLSGATE_CROWD = 10000,
    PV_TLSGATE_CROWD_RATE = 100,
    /* of them so many a second, and at once: with the rates above each has its place for a third of
     * a second before another takes it, and round trips are shorter. */
    PV_TLSGATE_PACE_RATE = 1000,
    PV_TLSGATE_PACE_BURST = 200,
    PV_TLSGATE_TIME_S = 5,  /* ours: seconds one may take, ten times a slow path's */
    PV_TLSGATE_HURRY_S = 2, /* ours: the same while more than half of the places are taken */
};

/* One handshake; the owner's memory, zeroed at first. */
struct pv_tlsgate_pass {
    bool inside; /* the handshake is under way */
    struct pv_place place;
    struct pv_heap_node timer; /* when it becomes overdue */
};

struct pv_tlsgate {
    size_t n; /* handshakes under way */
    struct pv_places strangers, regulars;
    struct pv_heap timers;
    struct pv_bucket all, quiet,
        members;                     /* rates in all; of quiet sources; of members' addresses */
    struct pv_bucket crowd, pace;    /* what is left for a crowd, and how fast it may go in */
    struct pv_bucket_table *sources; /* rates by source network */
    struct pv_bucket_table *quiets;  /* which of them are quiet */
};

/* PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_tlsgate_init(struct pv_tlsgate *g, const struct pv_rng *rng);
void pv_tlsgate_done(struct pv_tlsgate *g); /* every pass is outside again */

/* A handshake from this source wants to begin; regular: members came from there lately. False: it
 * may not begin. When it may, another handshake may have lost its place and be overdue. */
PV_MUST_CHECK bool pv_tlsgate_enter(struct pv_tlsgate *g, struct pv_tlsgate_pass *pass,
                                    const struct pv_addr *source, bool regular, pv_ns now);
/* The handshake is done or has failed; harmless when it is outside. */
void pv_tlsgate_leave(struct pv_tlsgate *g, struct pv_tlsgate_pass *pass);
/* One that takes too long or lost its place, to be ended now; each is told once. NULL: none. */
struct pv_tlsgate_pass *pv_tlsgate_overdue(struct pv_tlsgate *g, pv_ns now);
pv_ns pv_tlsgate_next_timeout(const struct pv_tlsgate *g); /* PV_NEVER when empty */
