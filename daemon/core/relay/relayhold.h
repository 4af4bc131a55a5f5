/* SPDX-License-Identifier: MIT */
/*
 * relayhold.h - the server that a way has left while it still relays: the home of the network moved
 * to another coordinator (adr/0038). In the way's memory; zeroed it holds nothing.
 *
 * Both ends of a relayed path are told to move at once, and arrive some milliseconds or, on slow
 * lines, a second apart. Each goes on sending through the old server until the other has most
 * likely arrived at the new one, and goes on receiving from it until the other has stopped.
 *
 *   nothing    --begin-->                        SENDING, for PV_RELAYHOLD_MOST
 *   SENDING    --the new server works-->         SENDING, for PV_RELAYHOLD_SEND at most
 *   SENDING    --time over, quit-->              RECEIVING, for PV_RELAYHOLD_RECEIVE
 *   RECEIVING  --time over-->                    over
 */
#ifndef PV_RELAYHOLD_H
#define PV_RELAYHOLD_H

#include "base/addr.h"
#include "base/pv.h"

/* Ours: the peer is told at the same time, and has as long to reach the new server. */
#define PV_RELAYHOLD_SEND PV_S(2)
/* Ours: the peer may be at the new server so much later, and what it sent is on its way. */
#define PV_RELAYHOLD_RECEIVE PV_S(3)
/* Ours: without a word of the new server; well below the coordinator's 30 s of grace. */
#define PV_RELAYHOLD_MOST PV_S(10)

struct pv_relayhold {
    struct pv_addr server; /* PV_AF_NONE: nothing is held */
    uint16_t stream;       /* it is reached by; 0: by datagrams */
    bool sends;
    pv_ns until; /* of SENDING or RECEIVING */
};

void pv_relayhold_begin(struct pv_relayhold *h, const struct pv_addr *server, uint16_t stream,
                        pv_ns now);
/* The new server works. */
void pv_relayhold_works(struct pv_relayhold *h, pv_ns now);
/* Sends no more: the old server is silent, or knows our address no more. True: it did send. */
bool pv_relayhold_quit(struct pv_relayhold *h, pv_ns now);
/* True: it sends no more from now on. */
bool pv_relayhold_handle_timeout(struct pv_relayhold *h, pv_ns now);
/* There is nothing left to receive: the owner closes the stream and clears it. */
bool pv_relayhold_is_over(const struct pv_relayhold *h, pv_ns now);
pv_ns pv_relayhold_next_timeout(const struct pv_relayhold *h); /* PV_NEVER if idle */

#endif /* PV_RELAYHOLD_H */
