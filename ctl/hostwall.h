/* SPDX-License-Identifier: MIT */
/*
 * hostwall.h - does this host's own firewall drop all that members begin, or all that this host
 * answers them? It reads the rules of nftables, where iptables and ufw of today put theirs, too, by
 * the text of `nft list ruleset`, and those of the older iptables by that of `iptables-legacy -S`,
 * and walks them as the kernel would for two packets of each family: the first of a TCP connection
 * that a member begins, which comes in by our interface, and an answer that leaves by it.
 *
 * A claim is made of what surely holds for each such packet alone. Rules that accept some of them,
 * by ports or addresses, make no difference, unless they name our interface: an administrator who
 * named it decided what passes there. Where nothing is claimed a second walk, in which each
 * condition that nobody here can read is against us, says whether that is because of one; and a
 * third, in which such a decision counts only where it is about all packets, whether it drops the
 * rest.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

enum {
    PV_HOSTWALL_NAME = 80,    /* bytes of a table ("ip6 filter") or a chain, with the NUL */
    PV_HOSTWALL_RULES = 1024, /* of a table, that matter; nothing is claimed of one with more */
    PV_HOSTWALL_BASES = 32,   /* of a table: chains at a hook; the same */
    PV_HOSTWALL_SETS = 128,   /* of a table: sets with a name; of further ones nothing is known */
    PV_HOSTWALL_WAYS = 4,     /* the packets: what comes in, what goes out, by IPv4 and IPv6 */
};

/* A rule as far as it matters; for each of the packets. */
struct pv_hostwall_rule {
    uint32_t chain, target; /* hashes of their names; target: of a jump or goto */
    uint8_t verdict;
    uint8_t holds[PV_HOSTWALL_WAYS];
    uint8_t names[PV_HOSTWALL_WAYS]; /* our interface, or members' addresses */
};

/* A set that rules look into by its name: whether the packets have a value that is in it. */
struct pv_hostwall_set {
    uint32_t name;     /* a hash */
    const void *about; /* what its elements are, a row of hostwall.c; NULL: they are not read */
    bool may_name;     /* they are interfaces or addresses, perhaps among others */
    uint8_t holds[PV_HOSTWALL_WAYS];
    uint8_t names[PV_HOSTWALL_WAYS];
};

/* Where a chain stands in the way of packets. */
enum pv_hostwall_hook {
    PV_HOSTWALL_INPUT,
    PV_HOSTWALL_EARLIER, /* prerouting, ingress of our interface */
    PV_HOSTWALL_OUTPUT,  /* and postrouting, egress of our interface: of what this host answers */
};

/* A chain that the kernel itself hands packets to. */
struct pv_hostwall_base {
    char chain[PV_HOSTWALL_NAME];
    enum pv_hostwall_hook hook;
    bool drops; /* what no rule accepts */
};

/* A table of which something was found. */
struct pv_hostwall_find {
    char table[PV_HOSTWALL_NAME]; /* "": nothing */
    struct pv_hostwall_base in;
    const char *by; /* the program of the older iptables that it is of; NULL: nft */
    bool only_ip6;  /* it is about IPv6, and not about IPv4 */
};

/* Zeroed at first, but for ifname and ranges. */
struct pv_hostwall {
    const char *ifname;           /* of the network's interface */
    struct pv_prefix ranges[2];   /* the overlay's, IPv4 and IPv6; without a family: not known */
    char table[PV_HOSTWALL_NAME]; /* the one that is being read */
    const char *legacy;           /* the program that it is of; NULL: nft */
    bool sees[2];                 /* it sees IPv4, IPv6 */
    bool left_out;                /* it has no say about the packets, or is our own */
    bool too_many;                /* it has more than the limits allow */
    char chain[PV_HOSTWALL_NAME]; /* the one that is being read; "": none */
    struct pv_hostwall_rule rules[PV_HOSTWALL_RULES];
    size_t n_rules;
    struct pv_hostwall_base bases[PV_HOSTWALL_BASES];
    size_t n_bases;
    struct pv_hostwall_set sets[PV_HOSTWALL_SETS];
    size_t n_sets;
    bool in_set, in_elements;        /* the last of sets is being read */
    struct pv_hostwall_find found;   /* the first that drops */
    struct pv_hostwall_find unclear; /* the first that may drop, for all that can be read */
    struct pv_hostwall_find most;    /* the first that drops all but what rules name */
};

/* The next line of `nft -n list ruleset`. */
void pv_hostwall_line(struct pv_hostwall *w, const char *line);
/* The lines of a table of the older iptables follow. */
void pv_hostwall_legacy_table(struct pv_hostwall *w, bool v6, const char *table);
/* The next line of `iptables-legacy -S`. */
void pv_hostwall_legacy_line(struct pv_hostwall *w, const char *line);
/* After the last one. True: a table, found, drops; else one may if unclear names it, or most drops
 * the most of it. */
bool pv_hostwall_ends(struct pv_hostwall *w);
/* The command that lets our interface through the chain that was found. Returns buf. */
const char *pv_hostwall_remedy(const struct pv_hostwall *w, char *buf, size_t cap);

enum pv_hostwall_is {
    PV_HOSTWALL_OPEN,       /* no rule drops all that members begin, or all answers */
    PV_HOSTWALL_DROPS,      /* found does */
    PV_HOSTWALL_UNREAD,     /* found.table is what could not be run: "nft", "iptables-legacy" */
    PV_HOSTWALL_UNCLEAR,    /* unclear may */
    PV_HOSTWALL_DROPS_MOST, /* no rule drops all of it, and most lets some of it through */
};
/* Reads this host's rules, as root. One that drops is told before one that could not be read. */
enum pv_hostwall_is pv_hostwall_look(const char *ifname, const struct pv_prefix ranges[static 2],
                                     struct pv_hostwall *ret_wall);
