/* SPDX-License-Identifier: MIT */
/*
 * netplan.h - what this host's network shall be like beside our interface: prefixes used through
 * it, prefixes offered to members, an exit. And what the host says about it.
 *
 * The control process decides and has no rights; the helper sets it and believes nothing: what
 * pv_netplan_check() lets pass is only what this vocabulary can say. A plan is always whole: what
 * it does not name goes away. Both are the same program, so a plan travels as it is; its flags are
 * bytes, since a bool that is neither 0 nor 1 is undefined, and the sender may have been taken
 * over. Pure: the helper does the setting (sys/helper/hostnet.h).
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"

/* Ours: the interface, always down, whose holder is the one network of a machine that uses an exit.
 */
#define PV_NETPLAN_EXIT_LOCK "p2pvpn-exit"

enum {
    PV_NETPLAN_USED = 64,    /* ours: prefixes used through the overlay */
    PV_NETPLAN_OFFERED = 32, /* ours: prefixes offered to members */
    PV_NETPLAN_LINKS = 128,  /* ours: networks of this host that are told */
    PV_NETPLAN_OVERLAPS = 32,
    PV_NETPLAN_RESOLVERS = 2, /* ours: name servers of this host that are told */
    PV_NETPLAN_IFNAME = 16,   /* bytes with the NUL, IFNAMSIZ */
    PV_NETPLAN_FAULT = 400,   /* bytes with the NUL */
};

struct pv_netplan_used {
    /* /8 and longer, IPv6 /16: a shorter one is the exit's, a setting of its own. */
    struct pv_prefix prefix;
    uint32_t metric; /* of the route; 0: the kernel's own choice */
};

struct pv_netplan_offered {
    /* 0.0.0.0/0, ::/0: this node is an exit. Of members' own range: from our interface to our
     * interface, for phones. */
    struct pv_prefix prefix;
    uint8_t snat;   /* its packets get this host's address */
    uint8_t linked; /* only through an interface of this host that is in it */
};

struct pv_netplan {
    char ifname[PV_NETPLAN_IFNAME];
    /* The network's ranges: only sources in them are forwarded. PV_AF_NONE: none. */
    struct pv_prefix overlay4, overlay6;
    struct pv_netplan_used used[PV_NETPLAN_USED];
    size_t n_used;
    struct pv_netplan_offered offered[PV_NETPLAN_OFFERED];
    size_t n_offered;
    /* An exit node takes all other traffic, through our interface. */
    uint8_t exit;
    uint8_t exit4, exit6; /* families that the exit carries; the other one is blocked */
    uint8_t exit_lan;     /* the networks this host is connected to are left alone */
    uint8_t exit_block; /* block traffic that would bypass the exit, also after this daemon died or
                           while the exit cannot be used */
    /* A user waits for the answer: an exit that this host cannot use is an error then, and the
     * present exit stays. Not a part of the plan itself. */
    uint8_t exit_asked;
};

enum pv_netplan_kind {
    PV_NETPLAN_LAN,       /* a network outside this machine */
    PV_NETPLAN_CONTAINER, /* one inside it */
    PV_NETPLAN_TUNNEL,    /* another VPN */
    PV_NETPLAN_KINDS,
};

/* A network that this host is connected to, or that a route of somebody else leads to. */
struct pv_netplan_link {
    struct pv_prefix prefix; /* host bits zero */
    char ifname[PV_NETPLAN_IFNAME];
    enum pv_netplan_kind kind;
};

/* A range that does not belong to us alone. Either a used prefix overlaps such a network or a
 * prefix of another network of ours (then without an ifname while that network's interface is
 * away), or a lookup showed that packets for the range leave by another interface. The range is a
 * used prefix, the members' own range, or everything (the exit's). */
struct pv_netplan_overlap {
    struct pv_prefix used;
    struct pv_netplan_link other;
    /* The other side wins: the host has an address in the range, or another network of ours was
     * first. */
    bool taken;
    uint32_t table; /* routing table whose route leads the packets there; 0: not looked up */
    uint32_t rule;  /* the first policy rule that looks into it; other.ifname is "" if the
                       route there refuses them */
    uint32_t own;   /* routing table that leads them to our interface; 0: the exit's */
};

/* The state of the host: its links, and how much of the plan is in force. */
struct pv_netplan_host {
    /* Networks on other interfaces that are up and have a carrier. */
    struct pv_netplan_link lan[PV_NETPLAN_LINKS];
    size_t n_lan;
    struct pv_netplan_overlap overlaps[PV_NETPLAN_OVERLAPS];
    size_t n_overlaps;
    /* The part of the plan not in force: "what failed: why: what to do"; "" = all of it is. */
    char fault[PV_NETPLAN_FAULT];
    /* Counts the changes of routes, rules and tables of netfilter on this host while it uses
     * routes: packets that were seen before say nothing of those after. */
    uint32_t changes;
    bool exit_refused; /* the exit cannot be used (fault says why); it is tried again */
    bool guarded;      /* traffic may leave only by another network's exit (fault says whose) */
    bool blocked;      /* another program's table drops forwarded packets (fault says whose) */
    /* The first name servers that this host's programs ask, also ones on the host itself; unused
     * entries are PV_AF_NONE. Port 0. Filled in if prefixes are offered to members. */
    struct pv_addr resolvers[PV_NETPLAN_RESOLVERS];
};

enum {
    PV_NETPLAN_WAY = 256, /* bytes with the NUL */
};
/* Returns the overlap of this range that a lookup found: its packets leave elsewhere. NULL:
 * none. */
const struct pv_netplan_overlap *pv_netplan_stray(const struct pv_netplan_host *host,
                                                  const struct pv_prefix *range);
/* The sentence about it, and the command or the deed that ends it. Both return ret_text. */
const char *pv_netplan_stray_text(const struct pv_netplan_overlap *o,
                                  char ret_text[static PV_NETPLAN_WAY]);
const char *pv_netplan_stray_remedy(const struct pv_netplan_overlap *o,
                                    char ret_text[static PV_NETPLAN_WAY]);

/* Checks a plan of any bytes. PV_ERR_MALFORMED: it cannot be set. */
PV_MUST_CHECK int pv_netplan_check(const struct pv_netplan *plan);
/* Returns true if both plans are equal apart from exit_asked. Both have passed
 * pv_netplan_check(). */
bool pv_netplan_is_same(const struct pv_netplan *a, const struct pv_netplan *b);
bool pv_netplan_host_is_same(const struct pv_netplan_host *a, const struct pv_netplan_host *b);
/* The range that an address of an interface lies in: the host bits become zero. */
struct pv_prefix pv_netplan_range(const struct pv_prefix *addr);
/* Returns the address with this number (< 256) in the range, or the first one if the range is
 * smaller. Used to look up the route of the range's packets. */
struct pv_addr pv_netplan_sample(const struct pv_prefix *range, unsigned number);

/*
 * The checks of what reaches a command, a rule or a file in /proc as it is, and of what may be set;
 * plans, settings and the helper have no others.
 */

/* The name of an interface: 1 to 15 of [a-zA-Z0-9._-], not first a '-' or '.', and neither "all"
 * nor "default", which stand for every interface in /proc/sys/net. */
bool pv_ifname_is_valid(const char *name);
/* Returns true if a route may have this target: host bits zero, /8 or longer (IPv6 /16), and not
 * this host itself, a link or a group. A shorter prefix belongs to the exit, which is a setting of
 * its own. */
bool pv_netplan_is_target(const struct pv_prefix *p);
/* Returns true if our interface may have this address and range: the whole range is private (RFC
 * 1918, RFC 6598, RFC 4193), or lies in one of more, the ranges that the settings name. */
bool pv_netplan_is_own(const struct pv_prefix *addr, const struct pv_prefix *more, size_t n_more);
