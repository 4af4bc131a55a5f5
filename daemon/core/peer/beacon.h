/* SPDX-License-Identifier: MIT */
/*
 * beacon.h - the part by which members in one LAN find each other while the coordinator is away,
 * also when all of them have new addresses (docs/PROTOCOL-PEERS.md "Beacon", adr/0123).
 *
 * It sends a datagram to all hosts of each link, with a tag for each member that has no direct path
 * (proto/control/beacon.h). A member that finds its tag in it sends one handshake to where the
 * datagram came from, and believes nothing else. Nothing is sent while the coordinator is there or
 * every member has a direct path. Datagrams of others are heard at any time: the coordinator of one
 * member can be away while that of another is there.
 *
 * State:
 *   QUIET   --the coordinator is away for PV_BEACON_GRACE--> CALLING (round 0)
 *   CALLING --an address of ours is another, or a path is lost--> CALLING (round 0)
 *   CALLING --a round finds that all have direct paths--> CONTENT
 *   CONTENT --an address of ours is another, a path is lost, a new member--> CALLING (round 0)
 *   any     --the coordinator is back, or this node is down--> QUIET
 * Rounds follow each other after 1, 2, 4, ... s, 5 minutes at most.
 *
 * Work is limited: PV_BEACON_MATES members have keys and tags, those first that are wanted, then
 * those that were reached directly before. Each datagram that is heard costs a hash for each of
 * them, and hashes have a budget for each interface and for all.
 */
#pragma once

#include "daemon/core/node/node.h"

enum {
    PV_BEACON_MATES = 1024, /* ours: members that are called and heard */
    PV_BEACON_TARGETS = 16, /* ours: networks of this host that are sent to */
    PV_BEACON_QUICK = 3,    /* rounds that a lost path does not begin anew */
    PV_BEACON_RESTARTS = 8, /* ours: begins anew at once, and then one in 30 s */
    PV_BEACON_SEEN = 256,   /* ours: datagrams that were answered, and are not answered again */
    PV_BEACON_HASHES =
        20000 /* ours: a second, for datagrams that are heard; half by one interface */
};
#define PV_BEACON_GRACE   PV_S(1)   /* ours: the coordinator gets that long to answer first */
#define PV_BEACON_FIRST   PV_S(1)   /* between the first round and the second */
#define PV_BEACON_LONGEST PV_S(300) /* between two rounds */

extern const struct pv_part pv_part_beacon;

enum pv_beacon_state {
    PV_BEACON_QUIET,
    PV_BEACON_CALLING,
    PV_BEACON_CONTENT,
};
enum pv_beacon_state pv_beacon_state(const struct pv_node *n);

/* A datagram that came to the beacons' group and port by the interface ifindex, with that TTL or
 * hop limit. */
void pv_beacon_hear(struct pv_node *n, const struct pv_addr *src, uint32_t ifindex, uint8_t hops,
                    struct pv_view datagram, pv_ns now);
