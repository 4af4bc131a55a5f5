/* SPDX-License-Identifier: MIT */
/*
 * hostwall.h - does this host's own firewall drop what members begin? It reads the rules of
 * nftables, where iptables and ufw of today put theirs, too, by the text of `nft list ruleset`, and
 * those of the older iptables by that of `iptables-legacy -S`: that says whether everything is
 * dropped that no rule accepts, and whether somebody thought of our interface.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PV_HOSTWALL_NAME = 80,   /* "ip6 filter", with the NUL */
    PV_HOSTWALL_JUMPS = 512, /* ours: of a table; one that has more is read without them */
};

/* From a chain to one that it jumps to, by the hashes of their names. */
struct pv_hostwall_jump {
    uint32_t from, to;
    bool reached; /* by what comes in */
};

/* Zeroed at first, but for ifname. */
struct pv_hostwall {
    const char *ifname;           /* of the network's interface */
    char table[PV_HOSTWALL_NAME]; /* the one that is being read */
    uint32_t chain;               /* the one that is being read */
    bool input;                   /* it is one that sees what comes in */
    bool drops;                   /* the table drops there what nothing accepts */
    struct pv_hostwall_jump jumps[PV_HOSTWALL_JUMPS];
    size_t n_jumps;
    char found[PV_HOSTWALL_NAME]; /* the first table that drops; "": none */
};

/* The next line of `nft list ruleset`. */
void pv_hostwall_line(struct pv_hostwall *w, const char *line);
/* The next line of `iptables-legacy -S`. */
void pv_hostwall_legacy_line(struct pv_hostwall *w, const char *line);
/* After the last one. True: a table, found, drops. */
bool pv_hostwall_ends(struct pv_hostwall *w);

enum pv_hostwall_is {
    PV_HOSTWALL_OPEN,   /* no rule drops all that members begin */
    PV_HOSTWALL_DROPS,  /* table found does */
    PV_HOSTWALL_UNREAD, /* found is what could not be run: "nft", "iptables-legacy" */
};
/* Reads this host's rules, as root. One that drops is told before one that could not be read. */
enum pv_hostwall_is pv_hostwall_look(const char *ifname, struct pv_hostwall *ret_wall);
