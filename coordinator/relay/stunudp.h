/* SPDX-License-Identifier: MIT */
/*
 * stunudp.h - the coordinator's UDP sockets. STUN needs several of them, so that a request may be
 * answered from another port or another address (RFC 5780 s6).
 *
 * For each listening address there is its own port P and, when it is free, P + 1. With a second
 * address ("alternate") both ports are on both. Opened by the control thread, then the relay's
 * (relay.h); decides nothing: core/turn/stuns.h does.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"
#include "coordinator/core/turn/stuns.h"
#include "coordinator/settings/settings.h"

enum {
    /* Two ports for each listening address, and for the alternate of each family. */
    PV_STUNUDP_SOCKETS = 2 * PV_COORDSET_LISTEN_MAX + 4,
};

struct pv_stunudp; /* opaque */

PV_MUST_CHECK int pv_stunudp_new(struct pv_stunudp **ret_udp); /* PV_ERR_NOMEM */
/* Closes the sockets. NULL is fine; returns NULL. */
struct pv_stunudp *pv_stunudp_free(struct pv_stunudp *udp);

/* A socket bound to that address, owned from now on, also on failure. It sends with DF: how much a
 * path carries, clients find out by probes. PV_ERR_LIMIT, -errno. */
PV_MUST_CHECK int pv_stunudp_take(struct pv_stunudp *udp, int fd, const struct pv_addr *bound);

/*
 * Opens the second port of every socket taken so far; one that is in use is done without.
 * PV_ERR_LIMIT.
 */
PV_MUST_CHECK int pv_stunudp_open_ports(struct pv_stunudp *udp);

/*
 * From now on `second` is the other address of `first`, both of one family (ports do not count).
 * Opens what is missing there; all four sockets must exist then. On failure *ret_at is the address
 * that cannot be had: PV_ERR_EXISTS, -errno as pv_udp_open(); PV_ERR_NOT_FOUND: first is served by
 * no socket; PV_ERR_LIMIT.
 */
PV_MUST_CHECK int pv_stunudp_set_second(struct pv_stunudp *udp, const struct pv_addr *first,
                                        const struct pv_addr *second, struct pv_addr *ret_at);

/* The sockets, numbered from 0. */
size_t pv_stunudp_count(const struct pv_stunudp *udp);
int pv_stunudp_fd(const struct pv_stunudp *udp, size_t i);
/* Where a datagram came to that socket i received for this local address (its port is ignored). */
struct pv_stuns_place pv_stunudp_place(const struct pv_stunudp *udp, size_t i,
                                       const struct pv_addr *local);
/* The socket that sends from that address and port. PV_ERR_NOT_FOUND. */
PV_MUST_CHECK int pv_stunudp_at(const struct pv_stunudp *udp, const struct pv_addr *at,
                                size_t *ret_i);
