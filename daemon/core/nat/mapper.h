/* SPDX-License-Identifier: MIT */
/*
 * mapper.h - gets the main sockets' port mapped by the router, and proves it: PCP first, then
 * NAT-PMP, then UPnP-IGD; for IPv6 a pinhole by PCP (DESIGN 5 "Gathering").
 *
 * The router's word is a claim. It becomes a candidate when the coordinator's STUN server has
 * reached this node through it from a place we never sent to (mapper.c), under the public IP that
 * this server saw; that is repeated for as long as the mapping is offered. A mapping that does not
 * work (any more) is deleted and made again, then tried with another port, then given up, with the
 * reason. Where the mapped router stands behind another NAT nothing of that would help: it is given
 * up at once. One router a family: that of the default route.
 *
 * Pure: it owns no socket and no thread; NAT-PMP and UPnP leave as jobs (portmapjob.h), by the
 * node's queue. Not thread-safe. Per family:
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

#include "base/addr.h"
#include "base/pv.h"
#include "daemon/core/jobs/jobqueue.h"
#include "proto/stun/portmap.h"
#include "proto/stun/stunc.h"

enum {
    PV_MAPPER_SECRET_LEN = 32,
    PV_MAPPER_WHY = 240,            /* bytes with the NUL */
    PV_MAPPER_UPNP_LIFETIME = 3600, /* seconds; IGD:2 allows a week, a lost daemon's should end */
};

enum pv_mapper_state {
    PV_MAPPER_OFF,
    PV_MAPPER_ASKING,
    PV_MAPPER_CHECKING,
    PV_MAPPER_WORKING,
    PV_MAPPER_RELEASING,
    PV_MAPPER_WAITING,
};
const char *pv_mapper_state_name(enum pv_mapper_state state); /* "off", "asking", ... */

enum pv_mapper_protocol { /* in the order in which they are asked */
    PV_MAPPER_PCP,
    PV_MAPPER_NATPMP,
    PV_MAPPER_UPNP,
    PV_MAPPER_PROTOCOLS,
};
const char *pv_mapper_protocol_name(enum pv_mapper_protocol protocol); /* "PCP", ... */

struct pv_mapper_config {
    struct pv_rng rng;
    struct pv_jobqueue *jobs; /* borrowed */
    bool off;                 /* nothing is ever asked */
    uint16_t udp_port;        /* of the main sockets */
    /* PCP's nonces follow from it, so that a daemon that was killed can take its mapping back. */
    uint8_t secret[PV_MAPPER_SECRET_LEN];
};

struct pv_mapper; /* opaque */

PV_MUST_CHECK int pv_mapper_new(struct pv_mapper **ret_mapper,
                                const struct pv_mapper_config *cfg); /* PV_ERR_NOMEM */
struct pv_mapper *pv_mapper_free(struct pv_mapper *m); /* NULL is fine; wipes; returns NULL */

/* --- facts in ------------------------------------------------------------------------------ */

/* Is a mapping wanted? No: what is held is given back, by what is drained now. */
void pv_mapper_want(struct pv_mapper *m, bool wanted, pv_ns now);
/* The router of this family's default route and our address towards it (no ports); no family in
 * either: there is none. The same again: the network behind them may be another one. */
void pv_mapper_set_router(struct pv_mapper *m, uint16_t family, const struct pv_addr *router,
                          const struct pv_addr *local, pv_ns now);
/* STUN servers; the first of each family proves. */
void pv_mapper_set_servers(struct pv_mapper *m, const struct pv_addr *servers, size_t n, pv_ns now);
/* Something failed: look at once whether what is offered still works. */
void pv_mapper_refresh(struct pv_mapper *m, pv_ns now);
/* The machine slept: the network behind the same addresses may be another one. */
void pv_mapper_woke(struct pv_mapper *m, pv_ns now);

/* From the router's PCP port, or announced to everybody from there. */
void pv_mapper_handle_router(struct pv_mapper *m, const struct pv_addr *src,
                             struct pv_view datagram, pv_ns now);
/* A STUN answer. Returns 0 when it was ours, PV_ERR_NOT_FOUND or a decoder's status if not. */
PV_MUST_CHECK int pv_mapper_handle_stun(struct pv_mapper *m, const struct pv_addr *src,
                                        struct pv_view datagram, pv_ns now);
void pv_mapper_handle_timeout(struct pv_mapper *m, pv_ns now);
pv_ns pv_mapper_next_timeout(const struct pv_mapper *m); /* PV_NEVER if idle */

/* --- decisions out ------------------------------------------------------------------------- */

struct pv_mapper_transmit {
    bool router; /* to the router, from a socket of its own; else STUN from the main sockets */
    struct pv_addr local; /* source address to use */
    struct pv_addr dst;
    size_t len;
    uint8_t buf[128]; /* STUN: the transaction id is at PV_STUN_TXID_AT */
};
PV_MUST_CHECK int pv_mapper_poll_transmit(struct pv_mapper *m, struct pv_mapper_transmit *ret_tx);
/* True once after an address began or ceased to be offered. */
PV_MUST_CHECK bool pv_mapper_take_changed(struct pv_mapper *m);

/* --- questions ----------------------------------------------------------------------------- */

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
struct pv_mapper_view pv_mapper_view(const struct pv_mapper *m, uint16_t family);
