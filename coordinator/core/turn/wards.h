/* SPDX-License-Identifier: MIT */
/*
 * wards.h - nodes of other coordinators for which this one stands sentry: where they are, at which
 * coordinator, and the alarm that goes to them when that one falls silent (proto/stun/sentrymsg.h,
 * docs/PROTOCOL-COORDINATOR.md "Sentries").
 *
 * A table of fixed size. A node in it has shown a ticket, which went to the very address that it is
 * for: nobody can have alarms sent to others. A ticket follows from the address, the time and a key
 * of this process, so nothing is kept about a node that has not shown one. A network may bring
 * PV_WARDS_SOURCE_RATE new ones a second; a node that does not come again is forgotten. Alarms
 * leave at a pace, so that no turn is long and thousands of nodes do not all ask at once.
 *
 * Pure: a machine of five calls, but that an answer is part of one of the STUN server. One thread.
 */
#ifndef PV_WARDS_H
#define PV_WARDS_H

#include "base/addr.h"
#include "base/pv.h"
#include "proto/stun/sentrymsg.h"

enum {
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    PV_WARDS_SETS = 8, /* cleared in each run, and soon full */
#else
    PV_WARDS_SETS = 16384, /* ours: sets of eight: 131,072 nodes, 8 MiB when all are used */
#endif
    PV_WARDS_WAYS = 8,
    /* Ours: seconds after which a node is forgotten: two intervals of a NAT that keeps bindings for
     * long (natlife.h PV_NATLIFE_MOST), and a bit. */
    PV_WARDS_LIFE_S = 240,
    PV_WARDS_TICKET_S = 128, /* ours: a ticket is good for as long, and at most for twice that */
    /* Ours: new nodes a second and at once of one source network (/24, /56): of the table it gets
     * 4 % at most. */
    PV_WARDS_SOURCE_RATE = 20,
    PV_WARDS_SOURCE_BURST = 1000,
    PV_WARDS_SOURCES = 4096, /* ours: source networks remembered */
    PV_WARDS_SILENT = 8,     /* ours: coordinators at once whose nodes are told */
    /* Ours: alarms of one turn, and places of the table that it looks at. */
    PV_WARDS_TURN = 128,
    PV_WARDS_LOOKS = 8192,
};
#define PV_WARDS_PACE  PV_MS(3) /* ours: between two turns: 42,000 alarms a second */
#define PV_WARDS_SWEEP PV_S(1)  /* ours: between looks for who is to be forgotten */

struct pv_wards; /* opaque */

/* own: the number of this coordinator. rng is kept. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_wards_new(struct pv_wards **ret_wards, uint64_t own, const struct pv_rng *rng);
struct pv_wards *pv_wards_free(struct pv_wards *w); /* wipes; NULL is fine; returns NULL */

/* A node said this from its address `node`, to `place` of ours. True: the answer has *ret_answer;
 * false: it is at this very coordinator, or cannot be told anything. */
PV_MUST_CHECK bool pv_wards_take(struct pv_wards *w, const struct pv_addr *node,
                                 const struct pv_addr *place, const struct pv_sentry_word *said,
                                 pv_ns now, struct pv_sentry_word *ret_answer);
/* That coordinator has fallen silent: its nodes are told, once. Dropped while PV_WARDS_SILENT
 * others are under way. */
void pv_wards_raise(struct pv_wards *w, uint64_t coordinator, pv_ns now);

void pv_wards_handle_timeout(struct pv_wards *w, pv_ns now);
pv_ns pv_wards_next_timeout(const struct pv_wards *w); /* PV_NEVER when it has nothing to do */

struct pv_wards_alarm {
    struct pv_addr from; /* the place that the node spoke to */
    struct pv_addr to;
    uint8_t buf[PV_SENTRY_ALARM_LEN];
};
/* The next alarm of this turn. PV_ERR_AGAIN: none. */
PV_MUST_CHECK int pv_wards_poll_transmit(struct pv_wards *w, struct pv_wards_alarm *ret_alarm);

size_t pv_wards_count(const struct pv_wards *w); /* nodes in the table */

#endif /* PV_WARDS_H */
