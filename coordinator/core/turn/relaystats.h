/* SPDX-License-Identifier: MIT */
/*
 * relaystats.h - what the relay has done and holds, in numbers that any thread may read at any
 * time.
 *
 * Each number has one writer, which uses relaxed stores: the thread of the relay, for DROP_STREAM
 * the control thread. A number is whole and current, but two of them may be of different moments.
 * Nobody waits for anybody.
 *
 * A new number is a constant here and a row in relaystats.c; `status --json` and Prometheus show it
 * by that row, and test_report says so when the row is missing.
 */
#pragma once

#include <stdatomic.h>

#include "base/metrics.h"
#include "base/pv.h"

enum pv_relaystat {
    /* Counters: datagrams relayed and bytes of their payload, each counted once. */
    PV_RELAYSTAT_MEMBER_PACKETS,     /* between members */
    PV_RELAYSTAT_MEMBER_BYTES,       /* of these datagrams */
    PV_RELAYSTAT_STATIC_PACKETS,     /* of static users, both directions */
    PV_RELAYSTAT_STATIC_BYTES,       /* of these datagrams */
    PV_RELAYSTAT_PHONE_PORT_PACKETS, /* through members' phone ports, both directions */
    PV_RELAYSTAT_PHONE_PORT_BYTES,   /* of these datagrams */
    PV_RELAYSTAT_REFUSED,            /* TURN requests answered by an error */
    PV_RELAYSTAT_UDP_RECEIVED,       /* datagrams on the clients' ports, of anybody */

    /* Datagrams not relayed. */
    PV_RELAYSTAT_DROP_NO_ALLOCATION, /* the client or relay socket has no allocation */
    PV_RELAYSTAT_DROP_NO_CHANNEL,    /* a channel that is not bound, or no longer bound */
    PV_RELAYSTAT_DROP_NO_PERMISSION, /* static users: no permission for this peer; phone ports: an
                                        address that is not sent to */
    PV_RELAYSTAT_DROP_NO_PEER,       /* members: the other has no allocation now */
    PV_RELAYSTAT_DROP_BANDWIDTH,     /* over the limit of its user or member */
    PV_RELAYSTAT_DROP_PHONE_PORT_FOREIGN, /* at or to a phone port: no message of WireGuard's */
    PV_RELAYSTAT_DROP_PHONE_PORT_LIMIT,   /* phone ports: over what strangers share */
    PV_RELAYSTAT_DROP_MALFORMED,          /* not what it says it is, or too long */
    PV_RELAYSTAT_DROP_SEND,               /* the system did not take it: no room, no route */
    PV_RELAYSTAT_DROP_NOT_RECEIVED,       /* the relay did not read the clients' sockets in time */
    PV_RELAYSTAT_DROP_RING,               /* the ring to the control thread was full */
    PV_RELAYSTAT_DROP_STREAM, /* the ring to the relay, or a client's connection, was full */

    /* Gauges: numbers of now. */
    PV_RELAYSTAT_MEMBERS, /* members known: online, or with an allocation that lives on */
    PV_RELAYSTAT_MEMBER_ALLOCATIONS, /* allocations of members */
    PV_RELAYSTAT_STATIC_ALLOCATIONS, /* allocations of static users */
    PV_RELAYSTAT_SOCKETS,            /* relay sockets, reserved ones too, and phone ports */
    PV_RELAYSTAT_PHONE_PORTS,        /* of them phone ports of members */
    PV_RELAYSTAT_N,
};

enum {
    PV_RELAYSTAT_USERS = 64, /* PV_TURNS_USERS_MAX, in the order of the configuration */
};

/* Of one static user. */
enum pv_relaystat_user {
    PV_RELAYSTAT_USER_PACKETS,     /* relayed, both directions */
    PV_RELAYSTAT_USER_BYTES,       /* of their payload */
    PV_RELAYSTAT_USER_ALLOCATIONS, /* now */
    PV_RELAYSTAT_USER_N,
};

/* How one number is shown. */
struct pv_stat_row {
    const char *key; /* in `status --json`; NULL: the row is missing */
    enum pv_metrics_type type;
    const char *family; /* Prometheus' name; NULL: its object is one family, or it has no sample */
    const char *label;  /* NULL: the sample has none */
    const char *value;  /* of the label; of static users NULL: it is the name */
    const char *help;   /* of the family, in the first of its rows */
};
const struct pv_stat_row *pv_relaystat_row(enum pv_relaystat what);
/* Why datagrams were not relayed, for a counter of them; NULL: it counts something else. */
const char *pv_relaystat_reason(enum pv_relaystat what);
const struct pv_stat_row *pv_relaystat_user_row(enum pv_relaystat_user what);

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

/* Its writer only: a load and a store, not one atomic step. */
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
