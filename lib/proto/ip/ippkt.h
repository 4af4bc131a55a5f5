/* SPDX-License-Identifier: MIT */
/*
 * ippkt.h - inner IP packets: what the fast path needs of their headers, and the ICMP errors it
 * answers with (RFC 791, RFC 792, RFC 8200, RFC 4443).
 *
 * No filtering, no reassembly, no state. Views live as long as the packet. Safe on any input.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"

enum {
    PV_IP_PROTO_ICMP = 1,
    PV_IP_PROTO_IGMP = 2,
    PV_IP_PROTO_TCP = 6,
    PV_IP_PROTO_UDP = 17,
    PV_IP_PROTO_ICMP6 = 58,
    /* Where the source address begins in a header; the destination follows it. RFC 791 s3.1, RFC
     * 8200 s3. Then the bytes of both. */
    PV_IP4_ADDRS = 12,
    PV_IP6_ADDRS = 8,
    PV_IP4_ADDRS_LEN = 8,
    PV_IP6_ADDRS_LEN = 32,
    PV_IPPKT_UNKNOWN = 255,      /* protocol not found: damaged or too many extension headers */
    PV_IPPKT_MAX_EXTENSIONS = 8, /* ours */
    PV_IPPKT_MIN_MTU6 = 1280,    /* bytes, RFC 8200 s5 */
    PV_IPPKT_ERROR_MAX = 1280,   /* bytes of the longest ICMP error built, RFC 4443 s2.4 (c) */
};

struct pv_ippkt {
    struct pv_view whole; /* trimmed to the length the header gives */
    uint8_t version;      /* 4 or 6 */
    uint8_t proto;        /* of l4; IPv6 extension headers skipped; PV_IPPKT_UNKNOWN */
    bool later_fragment;  /* not the first: l4 has no header */
    bool first_fragment;  /* of several */
    bool source_route;    /* its sender chose the way: RFC 791 s3.1, RFC 5095 */
    const uint8_t *src;   /* 4 or 16 bytes, inside whole */
    const uint8_t *dst;
    struct pv_view l4; /* behind all IP headers; empty when PV_IPPKT_UNKNOWN */
};

/* Reads the headers of an IP packet; bytes behind its length are padding and cut.
 * PV_ERR_TRUNCATED (shorter than its headers or its length), PV_ERR_MALFORMED (version, header
 * length). Checksums are not verified: the kernel does. */
PV_MUST_CHECK int pv_ippkt_parse(struct pv_view packet, struct pv_ippkt *ret_ip);

struct pv_addr pv_ippkt_src(const struct pv_ippkt *ip); /* port 0 */
struct pv_addr pv_ippkt_dst(const struct pv_ippkt *ip);

/* Housekeeping that a LAN without routers and DHCP does not carry from node to node: IGMP, MLD
 * (RFC 2710, RFC 3810), router solicitations (RFC 4861 s4.1), DHCP (RFC 2131, RFC 8415). A
 * multicast packet that cannot be read is counted as such. */
bool pv_ippkt_is_housekeeping(const struct pv_ippkt *ip);

/* Returns true if the packet would tell a kernel where packets go: router advertisements,
 * redirects, renumbering and multicast routers (RFC 1256, RFC 792, RFC 4861, RFC 2894, RFC 4286),
 * and source-routed packets. Only a link's own routers may send these. */
bool pv_ippkt_is_steering(const struct pv_ippkt *ip);

/* Length in bytes of the IPv6 extension header of this type at the start of rest, which may be
 * shorter (RFC 8200 s4, RFC 4302 s2.2); 0: it is none. */
size_t pv_ippkt_extension_len(uint8_t type, struct pv_view rest);

/* An ICMP error, or a redirect: it speaks of a packet that somebody else sent, and quotes it. */
bool pv_ippkt_is_error(const struct pv_ippkt *ip);
/* Where the packet that it quotes was sent to: 4 or 16 bytes inside whole. NULL: that is not in it,
 * or not in this fragment of it. */
const uint8_t *pv_ippkt_quoted_dst(const struct pv_ippkt *ip);

/* The ECN field, RFC 3168 s5. */
enum pv_ippkt_ecn {
    PV_ECN_NONE = 0,
    PV_ECN_1 = 1, /* ECT(1) */
    PV_ECN_0 = 2, /* ECT(0) */
    PV_ECN_CE = 3,
};
uint8_t pv_ippkt_ecn(const struct pv_ippkt *ip);
/* Puts the ECN mark of the outer header into packet, from which ip was parsed (RFC 6040 s4.2).
 * False: drop it: it met congestion, and its ends do not understand the mark. */
bool pv_ippkt_take_ecn(const struct pv_ippkt *ip, uint8_t *packet, uint8_t outer);

/* Internet checksum (RFC 1071) of bytes, started with the folded sum so far; network order when
 * stored big-endian. pv_ippkt_sum() gives the folded, not inverted sum of 16-bit words. */
uint32_t pv_ippkt_sum(struct pv_view bytes, uint32_t sum);
/* pv_ippkt_sum() of no bytes: folds sums of sums. */
uint16_t pv_ippkt_fold(uint32_t sum);
/* pv_ippkt_sum(), and copies the bytes to dst, which has room for them and does not overlap. */
uint32_t pv_ippkt_copy_sum(uint8_t *dst, struct pv_view bytes, uint32_t sum);

enum pv_ippkt_error {
    PV_IPPKT_UNREACHABLE, /* ICMP 3/1 host unreachable; ICMPv6 1/3 address unreachable */
    PV_IPPKT_TOO_BIG,     /* ICMP 3/4 fragmentation needed (RFC 1191); ICMPv6 2 */
};

/*
 * Builds the ICMP error that answers ip, from its destination to its source. (Not from an own
 * address: the kernel takes a packet with its own source from outside for forged.)
 * mtu: for PV_IPPKT_TOO_BIG, bytes. cap: PV_IPPKT_ERROR_MAX is always enough.
 * PV_ERR_REFUSED when no error may be sent: about ICMP errors, later fragments, sources or
 * destinations that are not one host (RFC 1122 s3.2.2, RFC 4443 s2.4 (e)). PV_ERR_NO_SPACE.
 */
PV_MUST_CHECK int pv_ippkt_error(const struct pv_ippkt *ip, enum pv_ippkt_error error, uint16_t mtu,
                                 uint8_t *buf, size_t cap, size_t *ret_len);
