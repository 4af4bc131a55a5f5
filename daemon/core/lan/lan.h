/* SPDX-License-Identifier: MIT */
/*
 * lan.h - the part that makes the overlay a LAN for broadcast and multicast (adr/0031).
 *
 * It asks the local kernel which groups its programs want (proto/group/querier), tells the members
 * and hears from them (groupsync), and gives the packet threads the list of who gets what
 * (pv_fp_builder_set_groups()). [lan] broadcast says with whom discovery is exchanged. Members that
 * cannot tell what they want get discovery as before, and nothing else.
 *
 * For groups that programs joined, members that are online are reached once to be told, in networks
 * of up to PV_LAN_ONLINE members online; discovery alone wakes nobody.
 */
#pragma once

#include "daemon/core/lan/groupsync.h"
#include "daemon/core/node/part.h"

enum {
    PV_LAN_ONLINE =
        32, /* maximum number of members online, with this node, at which discovery is on */
    PV_LAN_PAIRS = 65536, /* ours: of a group and somebody who wants it */
};
#define PV_LAN_SETTLE PV_MS(100) /* ours: changes are collected before the list is made anew */

extern const struct pv_part pv_part_lan;

/* An IGMP or MLD packet of the local kernel (PV_FP_PUNT_REPORT). */
void pv_lan_report(struct pv_node *n, struct pv_view packet, pv_ns now);
/* The groups that this member told. */
struct pv_groupsync_known pv_lan_known(const struct pv_node *n, const struct pv_peer *p);
