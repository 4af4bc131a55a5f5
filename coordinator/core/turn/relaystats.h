/* SPDX-License-Identifier: MIT */
/*
 * relaystats.h - what the relay has done and holds, in numbers that any thread may read at any
 * time.
 *
 * Each number has one writer, which uses relaxed stores: the thread of the relay, for DROP_STREAM
 * that of the connections. A number is whole and current, but two of them may be of different
 * moments. Nothing waits for anything.
 */
#ifndef PV_RELAYSTATS_H
#define PV_RELAYSTATS_H

#include <stdatomic.h>

#include "base/pv.h"

enum pv_relaystat {
    /* Counters: datagrams relayed and bytes of their payload, each counted once. */
    PV_RELAYSTAT_MEMBER_PACKETS, /* between members */
    PV_RELAYSTAT_MEMBER_BYTES,
    PV_RELAYSTAT_STATIC_PACKETS, /* of static users, both directions */
    PV_RELAYSTAT_STATIC_BYTES,
    PV_RELAYSTAT_REFUSED, /* requests answered by an error */

    /* Datagrams not relayed. */
    PV_RELAYSTAT_DROP_NO_ALLOCATION, /* nobody has an allocation there */
    PV_RELAYSTAT_DROP_NO_CHANNEL,    /* a channel that is not bound, or not any more */
    PV_RELAYSTAT_DROP_NO_PERMISSION, /* static users: no permission for this peer */
    PV_RELAYSTAT_DROP_NO_PEER,       /* members: the other has no allocation now */
    PV_RELAYSTAT_DROP_BANDWIDTH,     /* over the limit of its user */
    PV_RELAYSTAT_DROP_MALFORMED,     /* not what it says it is, or too long */
    PV_RELAYSTAT_DROP_SEND,          /* the system did not take it: no room, no route */
    PV_RELAYSTAT_DROP_NOT_RECEIVED,  /* of clients: the relay did not read them in time */
    PV_RELAYSTAT_DROP_RING,          /* for TURN connections: more than their thread takes */
    PV_RELAYSTAT_DROP_STREAM,        /* of or for one: more than the relay takes, or it reads */

    /* What there is now. */
    PV_RELAYSTAT_MEMBERS,            /* members known: online, or their allocation still lives */
    PV_RELAYSTAT_MEMBER_ALLOCATIONS, /* of them with an allocation */
    PV_RELAYSTAT_STATIC_ALLOCATIONS,
    PV_RELAYSTAT_SOCKETS, /* relay sockets */
    PV_RELAYSTAT_N,
};

enum {
    PV_RELAYSTAT_USERS = 64, /* static users, in the order of the configuration */
};

/* Of one static user. */
enum pv_relaystat_user {
    PV_RELAYSTAT_USER_PACKETS,
    PV_RELAYSTAT_USER_BYTES,
    PV_RELAYSTAT_USER_ALLOCATIONS, /* now */
    PV_RELAYSTAT_USER_N,
};

struct pv_relaystats { /* zeroed at first */
    _Atomic uint64_t value[PV_RELAYSTAT_N];
    _Atomic uint64_t user[PV_RELAYSTAT_USERS][PV_RELAYSTAT_USER_N];
};

static inline uint64_t pv_relaystat_get(const struct pv_relaystats *s, enum pv_relaystat what)
{
    return atomic_load_explicit(&s->value[what], memory_order_relaxed);
}

/* Its writer only. */
static inline void pv_relaystat_set(struct pv_relaystats *s, enum pv_relaystat what, uint64_t value)
{
    atomic_store_explicit(&s->value[what], value, memory_order_relaxed);
}

static inline void pv_relaystat_add(struct pv_relaystats *s, enum pv_relaystat what, uint64_t n)
{
    pv_relaystat_set(s, what, pv_relaystat_get(s, what) + n);
}

/* i < PV_RELAYSTAT_USERS in these. */
static inline uint64_t pv_relaystat_get_user(const struct pv_relaystats *s, size_t i,
                                             enum pv_relaystat_user what)
{
    return atomic_load_explicit(&s->user[i][what], memory_order_relaxed);
}

/* Its writer only. change may be below zero. */
static inline void pv_relaystat_add_user(struct pv_relaystats *s, size_t i,
                                         enum pv_relaystat_user what, int64_t change)
{
    uint64_t now = pv_relaystat_get_user(s, i, what) + (uint64_t)change;
    atomic_store_explicit(&s->user[i][what], now, memory_order_relaxed);
}

/* Datagrams not relayed, for whatever reason. */
static inline uint64_t pv_relaystat_drops(const struct pv_relaystats *s)
{
    uint64_t n = 0;
    for (int i = PV_RELAYSTAT_DROP_NO_ALLOCATION; i <= PV_RELAYSTAT_DROP_STREAM; i++)
        n += pv_relaystat_get(s, (enum pv_relaystat)i);
    return n;
}

/* "member_packets", "drop_no_channel", ...: names for `status`, lower case. */
const char *pv_relaystat_name(enum pv_relaystat what);

#endif /* PV_RELAYSTATS_H */
