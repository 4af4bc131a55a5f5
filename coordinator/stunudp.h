/* SPDX-License-Identifier: MIT */
/*
 * stunudp.h - the coordinator's UDP sockets: what STUN needs of several of them, so that a request
 * may be answered from another port or another address (RFC 5780 s6).
 *
 * For each listening address there is its own port P and, when it is free, P + 1. With a second
 * address ("alternate") both ports are on both. Decides nothing: core/stuns.h does. One thread.
 */
#ifndef PV_STUNUDP_H
#define PV_STUNUDP_H

#include "base/addr.h"
#include "base/pv.h"
#include "coordinator/core/coord.h"
#include "coordinator/relay.h"
#include "coordinator/settings.h"
#include "sys/loop.h"

enum {
    PV_STUNUDP_SOCKETS = 2 * PV_COORDSET_LISTEN_MAX + 4,
};

struct pv_stunudp; /* opaque */

/* loop, coord and relay, which gets what is TURN, are borrowed until free. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_stunudp_new(struct pv_stunudp **ret_udp, struct pv_loop *loop,
                                 struct pv_coord *coord, struct pv_relay *relay);
struct pv_stunudp *pv_stunudp_free(struct pv_stunudp *udp); /* NULL is fine */

/* Serves on a socket bound to that address, and owns it from now on, also on failure. PV_ERR_NOMEM,
 * PV_ERR_LIMIT. */
PV_MUST_CHECK int pv_stunudp_take(struct pv_stunudp *udp, int fd, const struct pv_addr *bound);

/*
 * Opens the second port of every socket taken so far; one that is in use is done without.
 * PV_ERR_NOMEM, PV_ERR_LIMIT.
 */
PV_MUST_CHECK int pv_stunudp_open_ports(struct pv_stunudp *udp);

/*
 * From now on `second` is the other address of `first`, both of one family (ports do not count).
 * Opens what is missing there; all four sockets must exist then. On failure *ret_at is the address
 * that cannot be had: PV_ERR_EXISTS, -errno as pv_udp_open(); PV_ERR_NOT_FOUND: first is served by
 * no socket; PV_ERR_NOMEM, PV_ERR_LIMIT.
 */
PV_MUST_CHECK int pv_stunudp_set_second(struct pv_stunudp *udp, const struct pv_addr *first,
                                        const struct pv_addr *second, struct pv_addr *ret_at);

#endif /* PV_STUNUDP_H */
