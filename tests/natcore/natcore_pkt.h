/* SPDX-License-Identifier: MIT */
/*
 * natcore_pkt.h - IP packets as a NAT sees them: take apart, rewrite an endpoint, answer by ICMP.
 *
 * IPv4 without options beyond their length, IPv6 with at most a fragment header. Checksums are
 * changed incrementally (RFC 1624), so a packet that was broken before stays broken.
 * Pure; not thread-safe. Test code: see natcore.h.
 */
#pragma once

#include "base/addr.h"

enum {
    PV_NATPKT_MAX = 65535,     /* bytes of a packet */
    PV_NATPKT_ICMP_MAX = 1280, /* bytes of an ICMP answer of ours; RFC 4443 s2.4 (c) */
};

enum pv_natpkt_proto { /* the numbers of the IP header; ICMP stands for ICMPv6 too */
    PV_NATPKT_ICMP = 1,
    PV_NATPKT_TCP = 6,
    PV_NATPKT_UDP = 17,
};

enum pv_natpkt_kind {
    PV_NATPKT_FLOW,       /* TCP or UDP with ports */
    PV_NATPKT_ECHO,       /* echo request */
    PV_NATPKT_ECHO_REPLY, /* echo reply */
    PV_NATPKT_ERROR,      /* ICMP error that quotes a packet */
    PV_NATPKT_REST,       /* a fragment after the first: no ports to see */
};

/* One packet; data is borrowed and rewritten in place. */
struct pv_natpkt {
    uint8_t *data;
    size_t len;
    enum pv_natpkt_kind kind;
    uint8_t proto; /* enum pv_natpkt_proto */
    uint8_t ttl;   /* or hop limit */
    bool df;       /* IPv4: don't fragment; IPv6: always */
    bool fragment; /* any fragment, the first included */
    uint8_t tcp_flags;
    uint32_t frag_id;
    size_t l4;          /* offset of the transport header */
    size_t quoted;      /* PV_NATPKT_ERROR: offset of the quoted packet */
    struct pv_addr src; /* ports: UDP, TCP; ECHO and ECHO_REPLY carry their identifier in both */
    struct pv_addr dst;
};

enum {
    PV_NATPKT_FIN = 0x01,
    PV_NATPKT_SYN = 0x02,
    PV_NATPKT_RST = 0x04
};

/* Takes data[0..len) apart. PV_ERR_TRUNCATED, PV_ERR_MALFORMED; PV_ERR_UNSUPPORTED for a protocol
 * or header this NAT does not carry. */
PV_MUST_CHECK int pv_natpkt_parse(uint8_t *data, size_t len, struct pv_natpkt *ret_pkt);

/* The packet an ICMP error quotes; its data points into pkt. A quote may be cut after 8 bytes of
 * transport header, so len and checksums of the quote are not checked. */
PV_MUST_CHECK int pv_natpkt_quoted(const struct pv_natpkt *pkt, struct pv_natpkt *ret_quoted);

/* Writes a new source or destination endpoint (same family) and mends the checksums. For echo the
 * port is the identifier; for PV_NATPKT_REST only the address is written. */
void pv_natpkt_set_src(struct pv_natpkt *pkt, const struct pv_addr *to);
void pv_natpkt_set_dst(struct pv_natpkt *pkt, const struct pv_addr *to);

/* The same for the packet inside an ICMP error; mends the error's own checksum as well. */
void pv_natpkt_set_quoted_src(struct pv_natpkt *pkt, struct pv_natpkt *quoted,
                              const struct pv_addr *to);
void pv_natpkt_set_quoted_dst(struct pv_natpkt *pkt, struct pv_natpkt *quoted,
                              const struct pv_addr *to);

/* Sets or clears DF of an IPv4 packet; those that are made here have it. Of an IPv6 one: nothing.
 */
void pv_natpkt_set_df(uint8_t *packet, bool df);

/* Another TTL or hop limit. */
void pv_natpkt_set_ttl(struct pv_natpkt *pkt, uint8_t ttl);
/* One hop less; the caller has looked that ttl > 1. */
void pv_natpkt_hop(struct pv_natpkt *pkt);

enum pv_natpkt_why {
    PV_NATPKT_TTL_EXCEEDED,
    PV_NATPKT_TOO_BIG, /* info = MTU, bytes */
    PV_NATPKT_PORT_UNREACHABLE,
    PV_NATPKT_PROHIBITED,
};

/* Builds the ICMP error for pkt, from `from` to pkt's source, in buf. Nothing is sent about ICMP
 * errors and later fragments, and nothing from another family: PV_ERR_REFUSED. */
PV_MUST_CHECK int pv_natpkt_error(const struct pv_natpkt *pkt, enum pv_natpkt_why why,
                                  uint32_t info, const struct pv_addr *from,
                                  uint8_t buf[static PV_NATPKT_ICMP_MAX], size_t *ret_len);

/* Turns an echo request into its reply, in place. */
void pv_natpkt_answer_echo(struct pv_natpkt *pkt);

/*
 * Cuts piece number i (0, 1, ...) of an IPv4 packet without DF for a link of mtu bytes; buf has
 * room for mtu bytes. PV_ERR_AGAIN when there is no such piece; PV_ERR_UNSUPPORTED for IPv6.
 */
PV_MUST_CHECK int pv_natpkt_piece(const struct pv_natpkt *pkt, size_t mtu, unsigned i, uint8_t *buf,
                                  size_t *ret_len);

/* Builds a UDP datagram with a valid checksum in buf; returns its length, 0 when cap is too small
 * or the families differ. */
size_t pv_natpkt_udp(uint8_t *buf, size_t cap, const struct pv_addr *src, const struct pv_addr *dst,
                     struct pv_view payload);

/* Builds an echo request with identifier and sequence number in one (id << 16 | seq) the same way.
 */
size_t pv_natpkt_echo(uint8_t *buf, size_t cap, const struct pv_addr *src,
                      const struct pv_addr *dst, uint32_t id_seq, struct pv_view payload);

/* Builds the same packet of UDP or TCP between two endpoints of the other family (RFC 7915) in buf;
 * returns its length, 0 where it is none, is cut in fragments or damaged, or cap is too small. */
size_t pv_natpkt_translate(const struct pv_natpkt *pkt, const struct pv_addr *src,
                           const struct pv_addr *dst, uint8_t *buf, size_t cap);

/* Computes the checksums of a packet anew, whatever they were: of the IP header, and of the whole
 * transport part unless this is a fragment or a datagram without one. Nothing where data cannot be
 * taken apart. */
void pv_natpkt_mend(uint8_t *data, size_t len);

/* The payload of a UDP packet (kind FLOW, not a fragment); valid as long as pkt's data. */
struct pv_view pv_natpkt_payload(const struct pv_natpkt *pkt);

/* True when the transport checksum of an unfragmented packet is right (tests). */
bool pv_natpkt_checksum_ok(const struct pv_natpkt *pkt);
