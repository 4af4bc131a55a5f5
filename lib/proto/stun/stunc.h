/* SPDX-License-Identifier: MIT */
/*
 * stunc.h - STUN client: one Binding transaction with one server over UDP (RFC 8489 s6.2.1).
 *
 * A machine of five calls in caller's memory: it sends the request, repeats it, and says which
 * address the server saw. It owns no socket and does not classify NATs. It takes an
 * answer only with the transaction's id, and from the address that was asked (or from the one that
 * the server was asked to answer from). Not thread-safe.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"
#include "proto/stun/stun.h"

enum {
    PV_STUNC_MAX_SENDS = 7,      /* Rc, RFC 8489 s6.2.1 */
    PV_STUNC_LAST_WAIT = 16,     /* Rm: the last wait is this many RTO, RFC 8489 s6.2.1 */
    PV_STUNC_MAX_PADDING = 1400, /* ours: bytes */
    PV_STUNC_CHANGE_IP = 4,      /* RFC 5780 s7.2 */
    PV_STUNC_CHANGE_PORT = 2,
    PV_STUNC_MTU = PV_STUN_HEADER_LEN + 4 + PV_STUNC_MAX_PADDING + 8,
};

struct pv_stunc_config {
    struct pv_addr server;
    pv_ns rto;          /* before the first repetition, doubling; 0 = 500 ms, RFC 8489 s6.2.1 */
    unsigned max_sends; /* 0 = PV_STUNC_MAX_SENDS */
    size_t padding;     /* bytes of PADDING, so that no answer is larger than the request; a server
                           that does not know the attribute is asked again without */
    /* RFC 5780, for proving that a stranger reaches a port of ours; not with padding. */
    unsigned change;        /* PV_STUNC_CHANGE_*: the answer counts only from such a place; a server
                               that cannot refuses with 420 */
    uint16_t response_port; /* the answer shall go to this port of our public address; 0 = usual */
};

enum pv_stunc_event_type {
    PV_STUNC_MAPPED, /* the server answered */
    PV_STUNC_FAILED, /* it did not, or refused */
};

struct pv_stunc_event {
    enum pv_stunc_event_type type;
    struct pv_addr mapped; /* MAPPED: our address as the server sees it */
    pv_ns rtt;      /* MAPPED: of the last request sent; a lower bound when it was repeated */
    int status;     /* FAILED: PV_ERR_TIMEOUT, PV_ERR_REFUSED (error answer), PV_ERR_MALFORMED,
                      PV_ERR_UNSUPPORTED (it answered from the usual place) */
    unsigned error; /* FAILED with PV_ERR_REFUSED: the code of the answer */
    struct pv_addr
        alternate; /* with error 300: the server to ask instead (RFC 8489 s10), unchecked */
};

/* One transaction. Fields belong to stunc.c. */
struct pv_stunc {
    struct pv_stunc_config cfg;
    struct pv_rng rng;
    uint8_t txid[PV_STUN_TXID_LEN];
    unsigned sends; /* requests handed out */
    pv_ns wait;     /* the wait in force */
    pv_ns deadline; /* next repetition or the end; PV_NEVER when idle */
    pv_ns now;      /* of the last call that had it */
    pv_ns last_sent;
    bool send_due;
    bool running;
    bool event_due;
    struct pv_stunc_event event;
};

/* Starts (again): draws a transaction id; the first request is due at once. */
void pv_stunc_start(struct pv_stunc *c, const struct pv_stunc_config *cfg, const struct pv_rng *rng,
                    pv_ns now);
/* Forgets the transaction; no event follows. A zeroed struct is stopped. */
void pv_stunc_stop(struct pv_stunc *c);
bool pv_stunc_is_running(const struct pv_stunc *c);

/* Returns 0 when the datagram was this transaction's answer (an event is ready), else why it was
 * not: PV_ERR_NOT_FOUND (other id, other source, nothing running), or a decoder's status. */
PV_MUST_CHECK int pv_stunc_handle_input(struct pv_stunc *c, const struct pv_addr *src,
                                        struct pv_view datagram, pv_ns now);
void pv_stunc_handle_timeout(struct pv_stunc *c, pv_ns now);
pv_ns pv_stunc_next_timeout(const struct pv_stunc *c); /* PV_NEVER when idle */

/* The next datagram for cfg.server into buf (PV_STUNC_MTU bytes always suffice), or PV_ERR_AGAIN.
 * PV_ERR_NO_SPACE: cap is too small, the datagram stays due. */
PV_MUST_CHECK int pv_stunc_poll_transmit(struct pv_stunc *c, uint8_t *buf, size_t cap,
                                         size_t *ret_len);
/* The outcome, once; PV_ERR_AGAIN before and after. */
PV_MUST_CHECK int pv_stunc_poll_event(struct pv_stunc *c, struct pv_stunc_event *ret_event);
