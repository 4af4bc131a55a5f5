/* SPDX-License-Identifier: MIT */
/*
 * datagrams.h - UDP between a gate and members, or from members to a place outside: each program
 * that sends, and each place that it sends to, has a socket of its own, so answers find back.
 *
 * Of programs of this machine: whose each datagram is, and each program that an answer goes to, is
 * asked of the kernel: a port is free again as soon as its program closes it. Of datagrams of one
 * sender that have come at once it is asked once, behind the last of them. One thread.
 */
#pragma once

#include "ctl/forward/outside.h"
#include "ctl/forward/overlay.h"
#include "sys/net/gate.h"
#include "sys/proc/loop.h"

struct pv_datagrams; /* opaque */

enum {
    PV_DATAGRAM_BUF = 65536,   /* bytes of any datagram with a head before it, and to spare */
    PV_DATAGRAMS_BUF = 262144, /* ours: of those that have come at once */
};
#define PV_DATAGRAMS_IDLE PV_S(300) /* ours: RFC 4787 REQ-5 recommends as much to NATs */

struct pv_datagrams_config {
    struct pv_loop *loop;
    struct pv_overlay *overlay;
    const struct pv_gate *gate; /* of UDP; borrowed, as all of these */
    const char *host;           /* where all go; NULL: each has a head that says it (proxy.h) */
    uint16_t port;
    struct pv_outside *outside; /* host is this place; NULL: it is a member */
    size_t max;   /* sockets at once; for one more, the one goes that was silent for longest */
    uint8_t *buf; /* PV_DATAGRAMS_BUF bytes to work with */
};

PV_MUST_CHECK int pv_datagrams_new(struct pv_datagrams **ret_datagrams,
                                   const struct pv_datagrams_config *cfg); /* PV_ERR_NOMEM */
/* Closes the sockets, as after the end of p2pvpnd; what is sent then gets others. */
void pv_datagrams_end_all(struct pv_datagrams *d);
/* Closes those that were silent for PV_DATAGRAMS_IDLE. */
void pv_datagrams_handle_timeout(struct pv_datagrams *d, pv_ns now);
struct pv_datagrams *pv_datagrams_free(struct pv_datagrams *d); /* NULL is fine; returns NULL */
