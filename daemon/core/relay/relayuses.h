/* SPDX-License-Identifier: MIT */
/*
 * relayuses.h - which peers of a stock TURN server have a channel: those that something was sent to
 * of late. Its permission lets datagrams from a peer's address in, so it lasts no longer than its
 * use. At our coordinator's relay channels are asked for by whoever has a path there.
 *
 * In the owner's memory; zeroed = none. Not thread-safe.
 */
#ifndef PV_RELAYUSES_H
#define PV_RELAYUSES_H

#include "base/addr.h"
#include "base/pv.h"
#include "proto/stun/turnc.h"

#define PV_RELAYUSES_UNUSED PV_S(330) /* ours: then a peer's channel is given up */

enum {
    PV_RELAYUSES_MAX = 256, /* peers at once, ours; the oldest gives way */
};

struct pv_relayuses {
    struct {
        struct pv_addr peer;
        pv_ns used_at;
    } all[PV_RELAYUSES_MAX];
    size_t n;
};

/* Something is sent to this peer: a peer without a channel gets one. */
void pv_relayuses_note(struct pv_relayuses *u, struct pv_turnc *turnc, const struct pv_addr *peer,
                       pv_ns now);
/* Gives up the channels that nothing was sent through for PV_RELAYUSES_UNUSED. */
void pv_relayuses_sweep(struct pv_relayuses *u, struct pv_turnc *turnc, pv_ns now);
/* Gives up all. */
void pv_relayuses_end(struct pv_relayuses *u, struct pv_turnc *turnc, pv_ns now);

#endif /* PV_RELAYUSES_H */
