/* SPDX-License-Identifier: MIT */
/*
 * hostwall.h - names the rule of this host's firewall that drops a packet. That it is dropped is
 * known by then (hostprobe.h); the kernel itself says by which rule: for nftables, where iptables
 * and ufw of today put their rules, too, by its trace of the packet, for the older iptables by the
 * counter that grew. Needs root.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "sys/net/ipcmd.h"

enum {
    PV_HOSTWALL_NAME = 80,     /* bytes of a table ("ip6 filter") or a chain, with the NUL */
    PV_HOSTWALL_RULE = 128,    /* bytes of a rule that are shown, with the NUL */
    PV_HOSTWALL_COUNTERS = 512 /* rules and policies of the older iptables that are looked at */
};

/* Zeroed at first, but for ifname and out. */
struct pv_hostwall {
    const char *ifname; /* of the network's interface */

    char table[PV_HOSTWALL_NAME]; /* that drops; "": none is found */
    char chain[PV_HOSTWALL_NAME];
    char rule[PV_HOSTWALL_RULE]; /* "": the chain's policy */
    const char *legacy;          /* the program of the older iptables that it is of; NULL: nft */
    bool out;                    /* the packet was on its way out: at first as far as is known */
    bool in_part; /* a rule about our interface lets some of its packets pass, and does not drop */

    bool is_out;                  /* the packet that the trace is about now */
    bool was_ours;                /* a rule that names our interface sent it to the chain ours */
    char ours[PV_HOSTWALL_NAME];  /* "inet wall vpn": family, table and chain */
    struct pv_nftcmd_trace trace; /* the running `nft monitor trace` */
    bool again;                   /* the counters are read for the second time */
    size_t n_counters;            /* read so far */
    uint32_t counters[PV_HOSTWALL_COUNTERS]; /* before; their low bits */
};

/* The next line of `nft monitor trace`. */
void pv_hostwall_trace_line(struct pv_hostwall *w, const char *line);
/* The next line of `nft list table`, of the table that was found. */
void pv_hostwall_rule_line(struct pv_hostwall *w, const char *line);
/* The next line of `iptables-legacy -S -v`, of a table as above, first before and then (again)
 * after the packet. */
void pv_hostwall_counter_line(struct pv_hostwall *w, const char *line);
/* The command that lets our interface's packets pass in front of the rule. Returns buf. */
const char *pv_hostwall_remedy(const struct pv_hostwall *w, char *buf, size_t cap);

/* Begins to watch for packets between these two addresses, here with the port. PV_ERR_NOT_FOUND: no
 * nft program; PV_ERR_REFUSED, -errno: it fails. pv_hostwall_end() in any case. */
PV_MUST_CHECK int pv_hostwall_begin(struct pv_hostwall *w, const struct pv_addr *here,
                                    const struct pv_addr *there);
/* After a packet was dropped: true once the rule is known. At first the trace may have begun too
 * late for it. */
bool pv_hostwall_look(struct pv_hostwall *w);
void pv_hostwall_end(struct pv_hostwall *w);
