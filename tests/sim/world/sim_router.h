/* SPDX-License-Identifier: MIT */
/*
 * sim_router.h - the NAT of a private zone as a PCP server (RFC 6887): a host at 192.168.x.1 that
 * forwards ports of the zone's NAT. MAP for UDP and ANNOUNCE; written from the RFC, not with the
 * client's code.
 */
#pragma once

#include "sim_net.h"

struct sim_router {
    struct sim_net *net;
    unsigned zone, host;
    struct pv_addr addr;
    pv_ns born;        /* its epoch */
    uint32_t lifetime; /* seconds granted at most */
    uint8_t refuses;   /* with that result code; 0 = it does not */
    bool deaf;         /* says nothing */
    bool lies;         /* grants, and forwards nothing */
    unsigned granted, released;
    struct {
        pv_ns expires;
        uint8_t nonce[12];
    } maps[PV_NAT_FORWARDS]; /* beside the NAT's forwards */
};

/* Makes the host. */
void sim_router_init(struct sim_router *r, struct sim_net *net, unsigned zone);
/* A datagram for its host. */
void sim_router_handle(struct sim_router *r, const struct sim_event *ev);
/* Ports it forwards now. */
unsigned sim_router_mapped(struct sim_router *r);
/* Loses all it has mapped, other flows go on. Told: the epoch begins anew and `to` hears the
 * announcement; NULL: without a word. */
void sim_router_restart(struct sim_router *r, const struct pv_addr *to);
