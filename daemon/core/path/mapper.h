/* SPDX-License-Identifier: MIT */
/*
 * mapper.h - the part that gets the main sockets' port mapped by the router, proves it, and hands
 * it to the gatherer as a candidate: PCP first, then NAT-PMP, then UPnP-IGD; for IPv6 a pinhole by
 * PCP (DESIGN 5 "Gathering"). It asks only while this node is up in a network, and gives back what
 * it holds when it is not.
 *
 * The router's word is a claim. It becomes a candidate when the coordinator's STUN server has
 * reached this node through it from a place we never sent to (mapper.c), under the public IP that
 * this server saw; that is repeated for as long as the mapping is offered. A mapping that does not
 * work (any more) is deleted and made again, then tried with another port, then given up, with the
 * reason. Where the mapped router stands behind another NAT nothing of that would help: it is given
 * up at once. One router a family: that of the default route.
 *
 * NAT-PMP and UPnP leave as jobs (portmapjob.h). Per family:
 *
 *   OFF        no router, no server, switched off, not needed
 *   ASKING     --mapped-->                           CHECKING
 *              --refused, silent: next protocol-->   ASKING, after the last one WAITING
 *   CHECKING   --a stranger got in-->                WORKING   (offered)
 *              --not: first, second time-->          RELEASING (then the same, another port)
 *              --not: third time, or another NAT-->  WAITING
 *   WORKING    --not any more-->                     RELEASING (withdrawn)
 *              --the router lost it, or refuses-->   ASKING    (withdrawn)
 *   RELEASING  --given back-->                       ASKING
 *   WAITING    --its time, the network changed-->    ASKING
 *   any        --another router, switched off-->     OFF or ASKING
 */
#pragma once

#include "daemon/core/node/node.h"

extern const struct pv_part pv_part_mapper;

/* A datagram from a router's PCP port to the socket that asks routers, or to everybody on the
 * link. */
void pv_mapper_handle_router(struct pv_node *n, const struct pv_addr *src, struct pv_view datagram,
                             pv_ns now);

/* --- questions ----------------------------------------------------------------------------- */

enum {
    PV_MAPPER_WHY = 240, /* bytes with the NUL */
};

enum pv_mapper_state {
    PV_MAPPER_OFF,
    PV_MAPPER_ASKING,
    PV_MAPPER_CHECKING,
    PV_MAPPER_WORKING,
    PV_MAPPER_RELEASING,
    PV_MAPPER_WAITING,
};

enum pv_mapper_protocol { /* in the order in which they are asked */
    PV_MAPPER_PCP,
    PV_MAPPER_NATPMP,
    PV_MAPPER_UPNP,
    PV_MAPPER_PROTOCOLS,
};
const char *pv_mapper_protocol_name(enum pv_mapper_protocol protocol); /* "PCP", ... */

struct pv_mapper_view {
    enum pv_mapper_state state;
    enum pv_mapper_protocol protocol; /* ASKING, CHECKING, WORKING, RELEASING */
    struct pv_addr router;            /* PV_AF_NONE: none */
    struct pv_addr local;             /* our side of it, with the port */
    struct pv_addr claimed;           /* what the router says; PV_AF_NONE: nothing */
    struct pv_addr external;          /* WORKING: proven, offered; else PV_AF_NONE */
    pv_ns expires;                    /* of what is claimed */
    char why[PV_MAPPER_WHY];          /* why there is none, in words; "" while WORKING */
};
/* family: PV_AF_INET, PV_AF_INET6. */
struct pv_mapper_view pv_mapper_view(const struct pv_node *n, uint16_t family);
