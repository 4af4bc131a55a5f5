/* SPDX-License-Identifier: MIT */
/*
 * hostlook.h - what this host has beside our interface: networks, resolvers, policies of others;
 * for hostnet.c only. Looks, and changes nothing.
 */
#pragma once

#include "sys/helper/networds.h"

/* Fills in the links, what other networks of ours use (by the slot), and the name servers; the rest
 * of *host stays. */
void pv_hostlook_networks(const char *ifname, struct pv_networds_host *host);
/* The name servers alone: the first of each family that can be reached from elsewhere than this
 * host, and the first ones at all. Is one of them another than before? */
bool pv_hostlook_resolvers(struct pv_networds_host *host);
/* The same for the daemon: connected networks that are up, and what overlaps used prefixes. */
void pv_hostlook_tell(const struct pv_netplan *plan, const struct pv_networds_host *host,
                      struct pv_netplan_host *ret_said);
/* Looks up the way of a program's packets, and adds each range of the plan in force whose packets
 * would leave by another interface than ours. */
void pv_hostlook_ways(const struct pv_netplan *plan, const struct pv_networds_host *host,
                      struct pv_netplan_host *ret_said);
/* Does the table of another network of this machine let nothing out but by its own exit? */
bool pv_hostlook_is_guarded(const struct pv_netplan *plan,
                            char ret_remedy[static PV_NETPLAN_FAULT]);
/* Names what drops members' packets that are forwarded, after the counters have shown that
 * something does: docker, firewalld, a table whose policy drops, or a firewall. ret_remedy: whose
 * it is and what to do. */
void pv_hostlook_forbids(const struct pv_netplan *plan, char ret_remedy[static PV_NETPLAN_FAULT]);
/* The same of what comes for the daemon while an exit is used: the rule that asks for a packet's
 * way back without its mark, as the way back of all else is the exit, or nothing in particular. */
void pv_hostlook_reverse(char ret_remedy[static PV_NETPLAN_FAULT]);
