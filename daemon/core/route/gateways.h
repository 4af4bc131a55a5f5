/* SPDX-License-Identifier: MIT */
/*
 * gateways.h - which of the members that carry one prefix is sent to. The one in front stays until
 * it is dead, or another has been clearly nearer for a while; who is dead comes back when it is
 * heard. Whether one is alive is known from its traffic, and asked only while there is some.
 *
 *   ALIVE --sent to, silent for 0.5 s--> ASKED --heard--> ALIVE
 *                                        ASKED --silent for 1.8 s more--> DEAD --heard--> ALIVE
 *
 * Pure: the caller says what it sees of each, sends the questions, and looks again in time.
 */
#pragma once

#include "daemon/core/packets/fp_builder.h"

enum {
    PV_GATEWAYS_MAX = 8, /* ours: members that are looked at for one prefix */
};
/* Ours. Silence, question and look add up to less than the 3 s within which another takes over; an
 * own path that broke is replaced by another one within 1 s (ice_agent.h). */
#define PV_GATEWAYS_LOOK   PV_MS(200)
#define PV_GATEWAYS_SILENT PV_MS(500)
#define PV_GATEWAYS_ASK    PV_MS(500)
#define PV_GATEWAYS_DEAD   PV_MS(1800)
#define PV_GATEWAYS_IDLE   PV_S(5) /* nothing sent for so long: nobody is asked */
#define PV_GATEWAYS_OTHERS                                                                        \
    PV_S(30)                        /* those that stand by are asked so often, for their distance \
                                     */
#define PV_GATEWAYS_BACK   PV_S(5)  /* the dead ones so often */
#define PV_GATEWAYS_NEARER PV_S(10) /* another is nearer for so long: it takes over */

/* The facts seen of one now. Times of the node's clock, 0: never. */
struct pv_gateway_seen {
    bool reachable; /* as far as paths and presence say */
    bool doubtful;  /* it says that it may drop packets: others go before */
    pv_ns rtt;      /* 0: not known */
    pv_ns last_rx;  /* anything */
    pv_ns last_tx;  /* inner packets */
};

struct pv_gateway {
    uint32_t id; /* of the peer */
    struct pv_gateway_seen seen;
    bool dead;
    pv_ns dead_at;
    pv_ns asked_since; /* 0: no question is open */
    pv_ns ask_at;      /* not before */
};

struct pv_gateways {
    struct pv_gateway g[PV_GATEWAYS_MAX];
    size_t n;
    uint32_t front; /* an id; 0: nobody yet */
    pv_ns nearer_since;
    bool alone_too; /* one that has no stand-by is watched too, and asked whether it is back */
};

/* The gateways now; what is known of those who stay is kept. More than PV_GATEWAYS_MAX: the first
 * ones. */
void pv_gateways_set(struct pv_gateways *x, const uint32_t *ids, size_t n);
/* After seen was filled in: decides. Returns whom to ask now, a bit each. */
unsigned pv_gateways_look(struct pv_gateways *x, pv_ns now);
/* When to look again if nothing happens; PV_NEVER. */
pv_ns pv_gateways_next(const struct pv_gateways *x, pv_ns now);
bool pv_gateway_is_alive(const struct pv_gateway *g);
/* For the packet threads: who is sent to, in order. */
void pv_gateways_order(const struct pv_gateways *x, struct pv_fp_carried *carried);
