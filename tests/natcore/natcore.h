/* SPDX-License-Identifier: MIT */
/*
 * natcore.h - a NAT whose every behaviour can be chosen: packets in, packets out.
 *
 * IPv4: UDP, TCP and ICMP echo are translated, ICMP errors follow their flow (RFC 4787, 5382,
 * 5508). IPv6: a stateful firewall without translation (RFC 6092), and a NAT64 (RFC 6146) for UDP
 * and TCP, which stands before the NAT: each inner host is one of IPv4 there. The outer line may be
 * bad in both directions (natcore_link.h). It leaves out: application gateways, reassembly
 * (fragments follow their first one), DHCP, routing.
 *
 * Pure: no clock, socket or entropy; the same seed, packets and times give the same packets. The
 * lab's natbox puts two TUN devices around it, the simulator calls it directly. Not thread-safe.
 */
#pragma once

#include "base/addr.h"
#include "natcore_link.h"

enum {
    PV_NAT_PUBLIC = 8,    /* public addresses of one box */
    PV_NAT_PORT_LIST = 8, /* ports in a list of allowed ones */
    PV_NAT_FORWARDS = 8,  /* forwarded ports of one box */
    PV_NAT_64_HOSTS = 16, /* hosts that its NAT64 has translated for */
};

enum pv_nat_side {
    PV_NAT_INSIDE,
    PV_NAT_OUTSIDE
};

/* RFC 4787 s4.1 and s5: endpoint-independent, address-dependent, address- and port-dependent. */
enum pv_nat_rule {
    PV_NAT_EI,
    PV_NAT_AD,
    PV_NAT_APD
};

enum pv_nat_ports {
    PV_NAT_PRESERVE,   /* the inner port when it is free, else random in the range */
    PV_NAT_SEQUENTIAL, /* the last port + step, inside the range */
    PV_NAT_RANDOM,     /* anywhere in the range */
    PV_NAT_BLOCK,      /* anywhere in a block of block_size that the inner address got (RFC 7422) */
};

enum pv_nat_hairpin {
    PV_NAT_HAIRPIN_OFF,
    PV_NAT_HAIRPIN_EXTERNAL, /* the receiver sees the sender's public endpoint (RFC 4787 REQ-9) */
    PV_NAT_HAIRPIN_INTERNAL, /* the receiver sees the sender's inner endpoint (broken boxes) */
};

enum pv_nat_ipv6 {
    PV_NAT_V6_OFF,
    PV_NAT_V6_FORWARD,
    PV_NAT_V6_FIREWALL
};

enum pv_nat_full {
    PV_NAT_FULL_REFUSE, /* no new mapping while the table is full */
    PV_NAT_FULL_EVICT,  /* the mapping that was idle longest goes */
};

/* Which destination ports may be reached from inside. */
struct pv_nat_policy {
    bool blocked;                     /* nothing passes, except... */
    uint16_t allow[PV_NAT_PORT_LIST]; /* ...to these destination ports */
    uint8_t n_allow;
};

/* A UDP port that lets everybody in to an inner endpoint; what answers them leaves by it. */
struct pv_nat_forward {
    uint16_t port; /* of every public address; 0 = unused */
    struct pv_addr to;
};

/* pv_nat_config_init() gives the defaults named here. Times in ns. */
struct pv_nat_config {
    enum pv_nat_rule mapping;   /* EI */
    enum pv_nat_rule filtering; /* APD */
    enum pv_nat_ports ports;    /* PRESERVE */
    uint16_t port_lo, port_hi;  /* 1024..65535 */
    int32_t step;               /* SEQUENTIAL: 1; negative counts down; not 0 */
    uint16_t step_random;       /* SEQUENTIAL: every step is 1 to so many of them: 1 */
    double foreign;             /* SEQUENTIAL: ports a second taken by other subscribers: 0 */
    uint16_t block_size;        /* BLOCK: 512 */
    bool overload;              /* several mappings may share a public port when their destinations
                                   differ (netfilter does); needs mapping AD or APD: false */
    struct pv_addr public_ip[PV_NAT_PUBLIC]; /* IPv4, port 0 */
    uint8_t n_public;                        /* at least 1 for IPv4 to pass */
    bool pool_arbitrary;                     /* a mapping takes any address; else an inner address
                                                keeps its own ("paired", RFC 4787 REQ-2) */
    struct pv_addr inside_ip;                /* the box's own inner address; answers pings, sends
                                                ICMP errors; none = silent */
    struct pv_addr inside_ip6;               /* source of ICMPv6 errors to both sides */
    enum pv_nat_hairpin hairpin;             /* OFF */
    enum pv_nat_ipv6 ipv6;                   /* FIREWALL */
    struct pv_addr nat64; /* the 96 bits before an IPv4 address; no family: none */

    pv_ns udp_unreplied; /* 30 s: netfilter's value, nothing has come back yet */
    pv_ns udp_replied;   /* 120 s */
    pv_ns stream_after;  /* the second applies this long after the first packet: 0; netfilter 2 s */
    pv_ns absolute;      /* a mapping's whole life whatever passes: 0 = no such limit */
    pv_ns tcp_idle;      /* 7,440 s (RFC 5382 REQ-5) */
    pv_ns tcp_closing;   /* 10 s after FIN from both sides or RST, and before the handshake is done:
                            240 s is cut to tcp_opening */
    pv_ns tcp_opening;   /* 240 s */
    pv_ns icmp;          /* 60 s (RFC 5508 REQ-2) */
    bool inbound_refresh; /* inbound packets keep a mapping alive: true (RFC 4787 REQ-6 says MAY) */

    uint32_t max_mappings; /* 65,536 */
    enum pv_nat_full full; /* REFUSE */

    /* Early inbound pollution: an unsolicited datagram to a public port leaves an entry that owns
     * (port, sender) as Linux does when its INPUT chain accepts; a mapping with that port then gets
     * another one towards that sender. The entry dies after pollution_life of silence. */
    bool pollution;       /* false */
    pv_ns pollution_life; /* 30 s */

    struct pv_nat_forward forwards[PV_NAT_FORWARDS]; /* none; what they let in lives on */

    struct pv_nat_policy udp, tcp; /* all allowed */
    bool whole_hello;              /* a TLS hello passes in one segment only: false */
    bool reject;                   /* answer what is blocked or filtered by ICMP: false */
    bool answer_ping;              /* public addresses answer echo requests: true */
    uint32_t mtu_in, mtu_out;      /* bytes of the link on each side: 1500 */
    bool mtu_icmp;                 /* say "too big" for what does not fit; else swallow it: true */

    struct pv_link_config line_out, line_in; /* towards and from the outside */
};

enum pv_nat_drop {
    PV_NAT_DROP_MALFORMED,  /* cannot be parsed, or not a protocol that is carried */
    PV_NAT_DROP_NOT_OURS,   /* no such address here */
    PV_NAT_DROP_TTL,        /* out of hops */
    PV_NAT_DROP_BLOCKED,    /* policy */
    PV_NAT_DROP_SPLIT,      /* begins a TLS hello and has not all of it */
    PV_NAT_DROP_NO_MAPPING, /* inbound, no mapping owns the port */
    PV_NAT_DROP_FILTERED,   /* inbound, a mapping is there and does not let this sender in */
    PV_NAT_DROP_HAIRPIN,    /* from inside to a public address of ours, hairpinning is off */
    PV_NAT_DROP_FULL,       /* max_mappings, or no free port */
    PV_NAT_DROP_TOO_BIG,    /* MTU */
    PV_NAT_DROP_FRAGMENT,   /* its first fragment has not been seen */
    PV_NAT_DROP_FAMILY,     /* IPv6 while off, IPv4 without a public address */
    PV_NAT_DROP_NOMEM,
    PV_NAT_DROP_COUNT,
};

struct pv_nat_stats {
    uint64_t packets[2]; /* taken in, by side */
    uint64_t passed[2];  /* handed on, by the side they came from */
    uint64_t hairpinned;
    uint64_t mappings_made;
    uint64_t polluted;  /* entries made by early inbound packets */
    uint64_t displaced; /* mappings that got another port because of one */
    uint64_t drops[PV_NAT_DROP_COUNT];
};

/* "malformed", "filtered", ...: the words of the control socket. */
const char *pv_nat_drop_name(enum pv_nat_drop drop);

struct pv_nat; /* opaque */

void pv_nat_config_init(struct pv_nat_config *config);
/* NULL when there is no memory. The config is copied. */
struct pv_nat *pv_nat_new(const struct pv_nat_config *config, uint64_t seed);
struct pv_nat *pv_nat_free(struct pv_nat *nat);

/* May be changed while it runs; mappings that exist stay as they are. */
struct pv_nat_config *pv_nat_config(struct pv_nat *nat);
const struct pv_nat_stats *pv_nat_stats(const struct pv_nat *nat);
const struct pv_link_stats *pv_nat_line_stats(const struct pv_nat *nat, enum pv_nat_side from);

/* One packet that arrived on a side. data is rewritten. Outside packets wait on the incoming line
 * first and are judged when they leave it. */
void pv_nat_input(struct pv_nat *nat, enum pv_nat_side side, uint8_t *data, size_t len, pv_ns now);
/* When pv_nat_output() will have something; PV_NEVER when nothing is under way. */
pv_ns pv_nat_next(const struct pv_nat *nat);
/* The next packet to send and the side to send it on. The caller frees *ret_data with free().
 * PV_ERR_AGAIN when none is due. */
PV_MUST_CHECK int pv_nat_output(struct pv_nat *nat, pv_ns now, enum pv_nat_side *ret_side,
                                uint8_t **ret_data, size_t *ret_len);

/* Forgets every mapping, like a reboot: port counters and blocks start anew. */
void pv_nat_flush(struct pv_nat *nat);
/* Forgets the mappings that own this public endpoint; returns how many there were. */
unsigned pv_nat_drop_mapping(struct pv_nat *nat, uint8_t proto, const struct pv_addr *external);

/* A mapping as tests want to see it. */
struct pv_nat_view {
    uint8_t proto; /* enum pv_natpkt_proto */
    struct pv_addr internal, external;
    struct pv_addr dst; /* the destination it is bound to; family none for EI, port 0 for AD */
    pv_ns created, expires;
    unsigned sessions; /* remote endpoints (as far as the filtering rule tells them apart) */
};

/* Living mappings, oldest first: *cursor starts at NULL. False at the end. Nothing may be called in
 * between except this. */
bool pv_nat_each(const struct pv_nat *nat, pv_ns now, const void **cursor,
                 struct pv_nat_view *ret_view);
