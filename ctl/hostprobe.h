/* SPDX-License-Identifier: MIT */
/*
 * hostprobe.h - whether this host lets members reach programs, and programs reach members, as
 * packets show: a socket of this process is the program, and p2pvpnd makes the member's packets, so
 * the rules for this user and this process hold. TCP and UDP, each by IPv4 and IPv6.
 */
#pragma once

#include "base/addr.h"
#include "ctl/lib/cli.h"

enum pv_hostprobe_is {
    PV_HOSTPROBE_UNTRIED, /* no packet could be made: no member, no interface, no p2pvpnd */
    PV_HOSTPROBE_OPEN,    /* all that were made arrived */
    PV_HOSTPROBE_BEGIN,   /* what a member began did not reach the program */
    PV_HOSTPROBE_ANSWER,  /* it did, and the program's answer did not reach the tunnel */
    PV_HOSTPROBE_OUT,     /* what the program began did not reach the tunnel */
    PV_HOSTPROBE_REPLY,   /* it did, and the member's answer did not reach the program */
};

enum {
    PV_HOSTPROBE_FAMILIES = 2, /* IPv4, IPv6 */
    PV_HOSTPROBE_PROTOCOLS = 2,
};

struct pv_hostprobe {
    enum pv_hostprobe_is is; /* the first that did not arrive */
    bool tried[PV_HOSTPROBE_FAMILIES];
    bool lost[PV_HOSTPROBE_FAMILIES][PV_HOSTPROBE_PROTOCOLS]; /* of TCP, UDP: the same did not */
    bool beyond;                /* it was to an address behind members */
    size_t packet;              /* what the first was: a row of hostprobe.c */
    struct pv_addr here, there; /* its ends; here with the port */
};

/* The addresses in the overlay of a member, or of this machine; PV_AF_NONE: none. False: p2pvpnd
 * does not say, which the user was told. */
bool pv_hostprobe_addresses(struct pv_cli *cli, const char *peer,
                            struct pv_addr ret_addrs[static PV_HOSTPROBE_FAMILIES]);
/* Tries all packets, from and to peer, or without one any member. Takes a second for each packet
 * that does not arrive, else milliseconds. */
void pv_hostprobe_run(struct pv_cli *cli, const char *peer, struct pv_hostprobe *ret_probe);
/* Tries whether a program's packet to a prefix behind members, or to the internet, goes into the
 * tunnel. UDP alone; nobody answers it. */
void pv_hostprobe_reach(struct pv_cli *cli, const struct pv_prefix *prefix,
                        struct pv_hostprobe *ret_probe);
/* Returns true if packets to this row of `routes` are led to a member that is alive. */
bool pv_hostprobe_is_in_place(const json_t *route);
/* Tries the prefixes that are used, the first ones of many; p2pvpnd notes what became of each
 * packet. Says nothing. */
void pv_hostprobe_routes(struct pv_cli *cli);
/* Tries the one that did not arrive once more. */
void pv_hostprobe_again(struct pv_cli *cli, const struct pv_hostprobe *probe);
/* The packets in words, "what members begin by UDP"; member: its name, or "members". Returns buf.
 */
const char *pv_hostprobe_words(const struct pv_hostprobe *probe, const char *member, char *buf,
                               size_t cap);
