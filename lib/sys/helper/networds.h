/* SPDX-License-Identifier: MIT */
/*
 * networds.h - a plan (base/netplan.h) and what this host has, turned into the words of nft and ip:
 * one table of netfilter, routes and policy rules.
 *
 * Pure. All that goes into the words are addresses, numbers and names that were checked; docs/adr
 * 0036 has the why of each part.
 */
#pragma once

#include "base/netplan.h"
#include "sys/net/netroutes.h"

enum {
    PV_NETWORDS_TABLE = 28784,     /* ours: routes of the exit */
    PV_NETWORDS_TABLE_ALL = 28785, /* ours: the same for what may not stay in the LAN: names */
    PV_NETWORDS_MARK = 0x703276,   /* ours: on our own packets */
    PV_NETWORDS_MARK_ALL = 0x703277,
    PV_NETWORDS_GROUP = 28784, /* ours: of interfaces of p2pvpn, each network's */
    /* Ours: of the tables of used prefixes, of the protocol numbers of rules about them (two of
     * each network), and of their priorities (eight), the first ones. */
    PV_NETWORDS_SLOTS = 32,
    PV_NETWORDS_TABLE_USED = 28800,
    PV_NETWORDS_PROTO_USED = 113,
    PV_NETWORDS_PRIORITY_USED = 5420,
    PV_NETWORDS_PRIORITY = 5410,   /* ours, and two before: behind tailscale's 5210 to 5270 */
    PV_NETWORDS_PAST_EXIT = 5415,  /* ours: what the exit is not for goes on here */
    PV_NETWORDS_LINKS = 128,       /* ours: networks of this host */
    PV_NETWORDS_OWN = 64,          /* addresses of our interface looked at */
    PV_NETWORDS_OTHERS = 128,      /* prefixes that other networks of ours use */
    PV_NETWORDS_ROUTES = 900,      /* four of a used prefix, and two of each network and other */
    PV_NETWORDS_RULES = 16384,     /* bytes, with the NUL: of one family */
    PV_NETWORDS_TEXT = 163840,     /* bytes, with the NUL: what pv_nftcmd_run() takes */
    PV_NETWORDS_NAME = 24,         /* bytes of the table's name, with the NUL */
    PV_NETWORDS_LAST = 0x7fffffff, /* metric of the route that catches what the exit does not */
};

/* The host that the plan is set into. */
struct pv_networds_host {
    unsigned slot;             /* below PV_NETWORDS_SLOTS: no other network of ours has it */
    bool has_iface;            /* the interface exists, so routes can lead to it */
    uint32_t uids[2];          /* of the daemon, and of the helper's tasks; nobody else's */
    size_t n_uids;             /* 0: no exit can be used */
    uint16_t udp_port;         /* of the daemon's sockets; 0: none */
    struct pv_addr dns4, dns6; /* name servers for members that use this exit; may be none */
    struct pv_addr asked[PV_NETPLAN_RESOLVERS]; /* those that this host's own programs ask */
    /* Networks of other interfaces, and those that others' routes lead to, static peers' through
     * ours among them. */
    struct pv_netplan_link links[PV_NETWORDS_LINKS];
    bool connected[PV_NETWORDS_LINKS]; /* this host has an address there */
    bool direct[PV_NETWORDS_LINKS];    /* its hosts are neighbours: no router in between */
    bool up[PV_NETWORDS_LINKS];        /* the interface is, and has its cable */
    bool aside[PV_NETWORDS_LINKS];     /* the route to it is not in the main table */
    bool bridge[PV_NETWORDS_LINKS];    /* it is one, whose own packets netfilter may see as well */
    size_t n_links;
    /* Neighbours that rules and tables of the user's lead to, or other networks of ours. */
    struct pv_prefix beside[PV_NETWORDS_LINKS];
    size_t n_beside;
    bool cut; /* there are more of either, or they could not be read */
    /* Another VPN takes all IPv4, all IPv6, by a table of its own, and the main table has the
     * default route of this host's uplink. */
    bool vpn_rule[2];
    /* Prefixes that other networks of ours use: no exit of this one is the way there. */
    struct pv_networds_other {
        struct pv_prefix prefix;
        char ifname[PV_NETPLAN_IFNAME]; /* "": it is away, and nothing goes there */
        bool ahead;                     /* its rules are asked before this network's */
    } others[PV_NETWORDS_OTHERS];
    size_t n_others;
    bool other_exit; /* one of them has an exit in the kernel, and this one has none */
    /* Ranges of the interface's own addresses. */
    struct pv_prefix own[PV_NETWORDS_OWN];
    size_t n_own;
    bool own_up; /* and it is up */
    /* Interfaces that forward IPv4, and whether IPv6 is forwarded at all, because we say so and
     * nobody else does. */
    char alone4[PV_NETWORDS_LINKS][PV_NETPLAN_IFNAME]; /* beside our own */
    size_t n_alone4;
    bool own_alone4, alone6;
};

/* "p2pvpn-p2p0": the table of this interface, of family inet. */
const char *pv_networds_table(const char *ifname, char ret_name[static PV_NETWORDS_NAME]);

/* Has the packet of a member that goes out by this network, or its answer, to be forwarded there?
 */
bool pv_networds_forwards4(const struct pv_netplan *plan, const struct pv_netplan_link *link);

/* Could the interface have this range: does it, or is no other network of this host's in it? A
 * packet from there by another interface is dropped. */
bool pv_networds_may_be_members(const struct pv_networds_host *host, const char *ifname,
                                const struct pv_prefix *range);

/* Does the plan need a table at all? Every member does: its addresses are reached through the
 * interface alone. */
bool pv_networds_wants_table(const struct pv_netplan *plan);
/* Replaces the table in one transaction. PV_ERR_LIMIT: too long. */
PV_MUST_CHECK int pv_networds_nft(const struct pv_netplan *plan,
                                  const struct pv_networds_host *host,
                                  char ret_text[static PV_NETWORDS_TEXT]);
/* Removes it, whether it is there or not. */
void pv_networds_nft_none(const char *ifname, char ret_text[static PV_NETWORDS_TEXT]);

/* One route that shall be there; dev: through our interface. */
struct pv_networds_route {
    struct pv_prefix dst;
    enum pv_net_route_type type;
    uint32_t table;
    uint32_t metric; /* as the kernel will tell it */
};

/* The slot that this interface has where no other network has it: neighbours such as p2p0 and p2p1
 * have different ones, others may not. */
unsigned pv_networds_slot(const char *ifname);
/* All of them. The interface ends: a used prefix has an unreachable route besides. */
size_t pv_networds_routes(const struct pv_netplan *plan, const struct pv_networds_host *host,
                          struct pv_networds_route ret_routes[static PV_NETWORDS_ROUTES]);
/* "route VERB ..." with the newline. */
int pv_networds_route_line(const char *verb, const struct pv_networds_route *r, const char *ifname,
                           char *dst, size_t cap);

/* The exit's rules of one family, one "rule add" line each; *ret_n: how many. None without an exit.
 */
PV_MUST_CHECK int pv_networds_rules(const struct pv_netplan *plan,
                                    const struct pv_networds_host *host, uint16_t family, char *dst,
                                    size_t cap, size_t *ret_n);
/* The same about the used prefixes of one family, and beside another network's exit about the
 * offered ones. turn: 0 or 1, so that new ones can be set before old ones go. */
PV_MUST_CHECK int pv_networds_used_rules(const struct pv_netplan *plan,
                                         const struct pv_networds_host *host, uint16_t family,
                                         unsigned turn, char *dst, size_t cap, size_t *ret_n);
/* The protocol number that they have. */
uint8_t pv_networds_used_proto(unsigned slot, unsigned turn);

/* Used prefixes that a network of the host overlaps, or another of ours has. */
size_t pv_networds_overlaps(const struct pv_netplan *plan, const struct pv_networds_host *host,
                            struct pv_netplan_overlap ret[static PV_NETPLAN_OVERLAPS]);
/* The prefix of a route of somebody else that is as good as a default route (0.0.0.0/1 and the
 * like): then an exit cannot be used, since our own packets would follow it. NULL: none. */
const struct pv_netplan_link *pv_networds_rival(const struct pv_networds_host *host);
