/* SPDX-License-Identifier: MIT */
/*
 * mapcheck.h - does a stranger reach a port that a router says it has mapped? Asks a STUN server to
 * answer from an address that this node has never sent to, to that port of this node's public
 * address (CHANGE-REQUEST and RESPONSE-PORT, RFC 5780 s7).
 *
 * The server can be made to send to nobody but the asker: the answer's address is the request's
 * source. A plain request goes along: when both stay unanswered the server is away, which proves
 * nothing. A machine of five calls in caller's memory; it owns no socket. Not thread-safe.
 */
#ifndef PV_MAPCHECK_H
#define PV_MAPCHECK_H

#include "base/addr.h"
#include "base/pv.h"
#include "proto/stun/stunc.h"

enum pv_mapcheck_verdict {
    PV_MAPCHECK_OPEN,    /* a stranger reaches it */
    PV_MAPCHECK_SHUT,    /* the server answers, and not through that port */
    PV_MAPCHECK_UNKNOWN, /* the server does not answer at all */
    PV_MAPCHECK_UNABLE,  /* it has no second port to answer from */
};

struct pv_mapcheck_event {
    enum pv_mapcheck_verdict verdict;
    struct pv_addr seen; /* our address as the server sees it; PV_AF_NONE: unknown */
};

/* Fields belong to mapcheck.c. A zeroed struct is idle. */
struct pv_mapcheck {
    struct pv_stunc plain, probe;
    struct pv_rng rng;
    struct pv_addr server;
    uint16_t port;
    bool one_ip; /* found out: this server has no second address */
    bool running, event_due;
    bool answered; /* plain */
    struct pv_addr seen;
    struct pv_mapcheck_event event;
};

/* port: of our public address. Anything under way is forgotten. */
void pv_mapcheck_start(struct pv_mapcheck *c, const struct pv_addr *server, uint16_t port,
                       const struct pv_rng *rng, pv_ns now);
void pv_mapcheck_stop(struct pv_mapcheck *c);
bool pv_mapcheck_is_running(const struct pv_mapcheck *c);

/* A STUN answer. Returns 0 when it was ours, PV_ERR_NOT_FOUND or a decoder's status if not. */
PV_MUST_CHECK int pv_mapcheck_handle_input(struct pv_mapcheck *c, const struct pv_addr *src,
                                           struct pv_view datagram, pv_ns now);
void pv_mapcheck_handle_timeout(struct pv_mapcheck *c, pv_ns now);
pv_ns pv_mapcheck_next_timeout(const struct pv_mapcheck *c); /* PV_NEVER when idle */
/* The next request, for the server; PV_ERR_AGAIN: none is due. */
PV_MUST_CHECK int pv_mapcheck_poll_transmit(struct pv_mapcheck *c, uint8_t *buf, size_t cap,
                                            size_t *ret_len);
/* The verdict, once; PV_ERR_AGAIN before and after. */
PV_MUST_CHECK int pv_mapcheck_poll_event(struct pv_mapcheck *c,
                                         struct pv_mapcheck_event *ret_event);

#endif /* PV_MAPCHECK_H */
