/* SPDX-License-Identifier: MIT */
/*
 * querier.h - which groups the programs of this machine want on the virtual LAN.
 *
 * A pure machine: the only querier on the TUN (RFC 3376, RFC 3810). It asks the local kernel at the
 * start and every 125 s, hears its reports, and forgets a group that is left, or not reported for
 * 260 s. There is one host on this link, so a group that it leaves is left at once. Nothing of it
 * goes to other members. Not thread-safe.
 *
 * States: OFF --start--> ASKING twice at the start, then every PV_QUERIER_INTERVAL --stop--> OFF
 */
#pragma once

#include "base/pv.h"
#include "proto/group/groupmsg.h"

enum {
    PV_QUERIER_MAX = 128, /* ours: groups; more are not joined, and counted */
};
#define PV_QUERIER_INTERVAL PV_S(125) /* RFC 3376 s8.2 */
#define PV_QUERIER_STARTUP  PV_S(31)  /* between the first two questions, RFC 3376 s8.6 */
#define PV_QUERIER_LIFETIME PV_S(260) /* of a report, RFC 3376 s8.4 */
#define PV_QUERIER_DOUBT    PV_S(2)   /* of a group that may be left, RFC 3376 s8.8, s8.9 */

struct pv_querier_entry {
    struct pv_group group;
    pv_ns until;
};

struct pv_querier {
    struct pv_querier_entry groups[PV_QUERIER_MAX]; /* in the order of pv_group_compare() */
    size_t n;
    uint64_t refused;      /* joins beyond PV_QUERIER_MAX, since a place was free last */
    uint64_t changes;      /* counts up with every change of the set */
    pv_ns ask_at;          /* PV_NEVER: off */
    unsigned asked;        /* general questions since the start */
    uint8_t ask4, ask6;    /* due now: of the general question */
    struct pv_group doubt; /* a group to ask about now; version 0 = none */
};

/* Off, and no groups. */
void pv_querier_init(struct pv_querier *q);
/* The interface is there. */
void pv_querier_start(struct pv_querier *q, pv_ns now);
/* It is gone, and its groups with it. */
void pv_querier_stop(struct pv_querier *q);

/* A packet of the local kernel. PV_OK, or as pv_groupmsg_read(). */
PV_MUST_CHECK int pv_querier_hear(struct pv_querier *q, struct pv_view packet, pv_ns now);

void pv_querier_handle_timeout(struct pv_querier *q, pv_ns now);
pv_ns pv_querier_next_timeout(const struct pv_querier *q);
/* The next packet for the TUN; false: none. */
bool pv_querier_poll(struct pv_querier *q, uint8_t buf[static PV_GROUPMSG_QUERY_MAX],
                     size_t *ret_len);
