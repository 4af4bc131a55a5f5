/* SPDX-License-Identifier: MIT */
/*
 * fp_carry.h - packets to and from prefixes that peers carry, or that this node carries for them
 * (adr 0037), and packets that go on from here to phones and from them (adr 0090). Internal to the
 * fast path: called only where no peer has the address itself, or it is not this node's, so a
 * network without routes pays nothing. Any worker.
 */
#pragma once

#include "daemon/core/packets/fp_state.h"
#include "proto/ip/ippkt.h"

/* The peer that carries this outgoing packet; NULL: nobody. Of several the one by which its flow
 * goes already, else the first. */
const struct pv_fp_peer *pv_fp_carry_to(const struct pv_fp_snapshot *snap,
                                        const struct pv_ippkt *ip, pv_ns now);
/* Notes that the kernel sent this packet into the interface, if a peer carries its destination. */
void pv_fp_carry_mark(const struct pv_fp_snapshot *snap, const struct pv_ippkt *ip, pv_ns now);
/* Returns true if the peer carries this address. */
bool pv_fp_carries(const struct pv_fp_snapshot *snap, const struct pv_fp_peer *peer,
                   uint8_t version, const uint8_t *ip);
/* Returns true if this packet, whose source is not the peer's own address, may come from the peer.
 * With several gateways, a flow stays with the gateway by which it came. */
bool pv_fp_carry_admits(const struct pv_fp_snapshot *snap, const struct pv_fp_peer *peer,
                        const struct pv_ippkt *ip, pv_ns now);
/* May a packet of that peer go on from this node: to a prefix or one of its phones, or as a
 * phone's to a member? */
bool pv_fp_carry_goes_on(const struct pv_fp_snapshot *snap, const struct pv_fp_peer *peer,
                         const struct pv_ippkt *ip);
