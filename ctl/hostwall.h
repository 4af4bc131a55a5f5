/* SPDX-License-Identifier: MIT */
/*
 * hostwall.h - does this host's own firewall drop what members begin? It reads the rules of
 * nftables, where iptables and ufw of today put theirs, too, by the text of `nft list ruleset`:
 * that says whether everything is dropped that no rule accepts, and whether somebody thought of our
 * interface.
 */
#ifndef PV_HOSTWALL_H
#define PV_HOSTWALL_H

#include <stdbool.h>

enum {
    PV_HOSTWALL_NAME = 80, /* "ip6 filter", with the NUL */
};

/* Zeroed at first, but for ifname. */
struct pv_hostwall {
    const char *ifname;           /* of the network's interface */
    char table[PV_HOSTWALL_NAME]; /* the one that is being read */
    bool input;                   /* its chain is one that sees what comes in */
    bool drops;                   /* the table drops there what nothing accepts */
    bool thought;                 /* a rule of the table accepts by the name of the interface */
    char found[PV_HOSTWALL_NAME]; /* the first table that drops; "": none */
};

/* The next line of `nft list ruleset`. */
void pv_hostwall_line(struct pv_hostwall *w, const char *line);
/* After the last one. True: a table, found, drops. */
bool pv_hostwall_ends(struct pv_hostwall *w);

/* Reads this host's. False: it does not drop, or could not be read (without root, without nft). */
bool pv_hostwall_look(const char *ifname, struct pv_hostwall *ret_wall);

#endif /* PV_HOSTWALL_H */
