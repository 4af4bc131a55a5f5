/* SPDX-License-Identifier: MIT */
/*
 * sentry.h - one address where another coordinator may be than the one in use: is asked to stand
 * sentry, and asked again before the NAT's binding to it ends (proto/stun/sentrymsg.h,
 * docs/PROTOCOL-COORDINATOR.md "Sentries").
 *
 * State    on                          to
 * RESTING  its time                    ASKING
 * ASKING   an answer with a new        ASKING   (once more, which makes us known)
 *          ticket, not known
 * ASKING   known; or no answer         RESTING  for an interval
 * ASKING   an answer without a ticket  RESTING  for PV_SENTRY_NONE: it is older, or the one in use
 *                                               at another of its addresses
 *
 * Its alarm counts only with a ticket that went between the two. A machine of five calls in
 * caller's memory; it owns no socket. Not thread-safe.
 */
#ifndef PV_SENTRY_H
#define PV_SENTRY_H

#include "base/addr.h"
#include "base/pv.h"
#include "proto/stun/sentrymsg.h"
#include "proto/stun/stunc.h"

#define PV_SENTRY_NONE PV_S(600) /* ours: until one that is no sentry is asked again */

/* Fields belong to sentry.c. */
struct pv_sentry {
    struct pv_addr server;
    uint64_t home; /* number of the coordinator in use */
    struct pv_rng rng;
    struct pv_stunc stunc;
    uint64_t ticket; /* for the next request; 0: none */
    uint64_t shown;  /* of the last request that made us known; 0: none */
    bool known;
    bool again; /* the request under way followed an answer at once */
    pv_ns interval;
    pv_ns ask_at;
};

/* The coordinator in use has this number; the first request is due at `at`. */
void pv_sentry_start(struct pv_sentry *s, const struct pv_addr *server, uint64_t home,
                     const struct pv_rng *rng, pv_ns at);
/* Between requests from now on: what keeps a binding of our NAT. */
void pv_sentry_set_interval(struct pv_sentry *s, pv_ns interval);
/* Our own NAT may have forgotten us. */
void pv_sentry_refresh(struct pv_sentry *s, pv_ns now);
/* Others are enough: one that is not being asked and does not know us is left alone for
 * PV_SENTRY_NONE. */
void pv_sentry_rest(struct pv_sentry *s, pv_ns now);
bool pv_sentry_is_known(const struct pv_sentry *s);

/* A STUN answer. Returns 0 when it was ours, PV_ERR_NOT_FOUND or a decoder's status if not. */
PV_MUST_CHECK int pv_sentry_handle_input(struct pv_sentry *s, const struct pv_addr *src,
                                         struct pv_view datagram, pv_ns now);
/* An alarm from src. True: it is this sentry's, about the coordinator in use. */
PV_MUST_CHECK bool pv_sentry_takes_alarm(const struct pv_sentry *s, const struct pv_addr *src,
                                         const struct pv_sentry_word *alarm);
void pv_sentry_handle_timeout(struct pv_sentry *s, pv_ns now);
pv_ns pv_sentry_next_timeout(const struct pv_sentry *s);
/* The next request, for s->server; PV_ERR_AGAIN: none is due. */
PV_MUST_CHECK int pv_sentry_poll_transmit(struct pv_sentry *s, uint8_t *buf, size_t cap,
                                          size_t *ret_len);

#endif /* PV_SENTRY_H */
