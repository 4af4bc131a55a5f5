/* SPDX-License-Identifier: MIT */
/*
 * routercheck.h - does the router open ports when it is asked? Looks for PCP (RFC 6887), NAT-PMP
 * (RFC 6886) and UPnP-IGD (SSDP, RFC 6970 s3) in one second.
 *
 * Asks only, opens nothing. The router's word about its external address is a hint: behind two NATs
 * it is an inner one. A machine of five calls in caller's memory, for IPv4; it owns no socket, and
 * one port serves all three protocols. Not thread-safe.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"
#include "proto/stun/netcheck.h"

enum {
    PV_ROUTERCHECK_PORT = 5351,      /* RFC 6886 s1.1, RFC 6887 s19 */
    PV_ROUTERCHECK_SSDP_PORT = 1900, /* UPnP Device Architecture 1.1 s1.3.2 */
    PV_ROUTERCHECK_MTU = 192,        /* bytes; no request is longer */
    PV_ROUTERCHECK_SENDS = 3,        /* of each request */
    PV_ROUTERCHECK_MS = 1400,        /* until silence means no; SSDP may take MX = 1 s */
    PV_ROUTERCHECK_HOPS = 8,         /* routers looked for on the way out */
};

struct pv_routercheck_result {
    struct pv_addr router; /* port 0; PV_AF_NONE: there is none, all else is unknown */
    enum pv_netcheck_answer pcp, natpmp, upnp;
    struct pv_addr external; /* what the router takes for its outer address; port 0 */
};

/* Fields belong to routercheck.c. */
struct pv_routercheck {
    struct pv_addr router, local;
    pv_ns now, deadline;
    struct {
        unsigned sends;
        pv_ns due;
        bool done;
    } asks[3];
    bool running, event_due;
    struct pv_routercheck_result result;
};

/* router: the default gateway; not IPv4: there is nothing to ask. local: this machine's address
 * towards it, which PCP wants to know. */
void pv_routercheck_start(struct pv_routercheck *rc, const struct pv_addr *router,
                          const struct pv_addr *local, pv_ns now);
/* Returns 0 when the datagram was an answer, PV_ERR_NOT_FOUND when it was nothing of ours. */
PV_MUST_CHECK int pv_routercheck_handle_input(struct pv_routercheck *rc, const struct pv_addr *src,
                                              struct pv_view datagram, pv_ns now);
void pv_routercheck_handle_timeout(struct pv_routercheck *rc, pv_ns now);
pv_ns pv_routercheck_next_timeout(const struct pv_routercheck *rc); /* PV_NEVER when done */
/* The next datagram to send now. PV_ERR_AGAIN: none is due. */
PV_MUST_CHECK int pv_routercheck_poll_transmit(struct pv_routercheck *rc,
                                               uint8_t buf[static PV_ROUTERCHECK_MTU],
                                               struct pv_addr *ret_dst, size_t *ret_len);
/* The result, once; PV_ERR_AGAIN before and after. */
PV_MUST_CHECK int pv_routercheck_poll_event(struct pv_routercheck *rc,
                                            struct pv_routercheck_result *ret_result);

/* The first routers on the way to a server. */
struct pv_routercheck_trace {
    struct pv_addr hops[PV_ROUTERCHECK_HOPS]; /* port 0; PV_AF_NONE: silent */
    size_t n;                                 /* how many there are, or were looked for */
    bool reached;                             /* the server comes behind them */
};

/*
 * How many NATs stand in the way, as far as it can be told: 0, 1, 2 = two or more, -1 unknown. By
 * the router's word about its outer address; without it by private addresses on the way out: those
 * of one network (/24) before a public one are one NAT; a further network of 192.168/16 or
 * 100.64/10 makes two or more; one of 10/8 or 172.16/12 may be a carrier's routers: unknown.
 */
int pv_routercheck_levels(const struct pv_routercheck_result *router,
                          const struct pv_netcheck_result *nat,
                          const struct pv_routercheck_trace *trace);
