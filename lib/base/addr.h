/* SPDX-License-Identifier: MIT */
/*
 * addr.h - IP addresses, transport addresses and prefixes: text form, order, class.
 *
 * No name resolution, no sockets (lib/sys turns these into struct sockaddr).
 */
#pragma once

#include "base/pv.h"

enum {
    PV_IP4_LEN = 4,  /* bytes of an IPv4 address, RFC 791 s3.1 */
    PV_IP6_LEN = 16, /* bytes of an IPv6 address, RFC 8200 s3 */
};

enum {
    PV_AF_NONE = 0, /* "no address" */
    PV_AF_INET = 2, /* the values of AF_INET and AF_INET6 on Linux */
    PV_AF_INET6 = 10,
    PV_ADDR_ZONE_BUF = 80, /* bytes for a reverse zone, and the NUL */
    PV_ADDR_TEXT = 56,     /* bytes for any text form: "[ipv6]:65535" or a prefix, and the NUL */
};

/* A UDP or TCP endpoint. port is in host byte order, 0 = none. Unused ip bytes are zero. */
struct pv_addr {
    uint16_t family; /* PV_AF_NONE, PV_AF_INET, PV_AF_INET6 */
    uint16_t port;
    uint8_t ip[16]; /* network order; only the first 4 count for PV_AF_INET */
};

/* An address range: the first bits of ip. */
struct pv_prefix {
    struct pv_addr base; /* port 0, host bits zero */
    uint8_t bits;        /* 0..32 or 0..128 */
};

bool pv_addr_equal(const struct pv_addr *a, const struct pv_addr *b);    /* family, ip, port */
bool pv_addr_equal_ip(const struct pv_addr *a, const struct pv_addr *b); /* family, ip */
struct pv_addr pv_addr4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint16_t port);
struct pv_addr pv_addr4_u32(uint32_t host_order, uint16_t port);
uint32_t pv_addr_u32(const struct pv_addr *a); /* IPv4 in host order; 0 for IPv6 */
struct pv_addr pv_addr6(const uint8_t ip[static 16], uint16_t port);
size_t pv_addr_ip_len(const struct pv_addr *a); /* 4, 16, or 0 */

/*
 * Text to address. Strict: the whole string, decimal without leading zeros, no scope ids.
 *   pv_addr_parse_ip    "192.0.2.1", "2001:db8::1"                        (port = 0)
 *   pv_addr_parse       "192.0.2.1:3478", "[2001:db8::1]:3478"            (port 0 is allowed)
 *   pv_prefix_parse     "10.66.0.0/16", "fd00::/8"; host bits must be zero; without "/": all bits
 * PV_ERR_MALFORMED.
 */
PV_MUST_CHECK int pv_addr_parse_ip(const char *text, struct pv_addr *ret_addr);
PV_MUST_CHECK int pv_addr_parse(const char *text, struct pv_addr *ret_addr);
PV_MUST_CHECK int pv_prefix_parse(const char *text, struct pv_prefix *ret_prefix);

/* Address to text, canonical (RFC 5952). Each returns buf; "-" for PV_AF_NONE. */
const char *pv_addr_format(const struct pv_addr *a, char buf[static PV_ADDR_TEXT]);
const char *pv_addr_format_ip(const struct pv_addr *a, char buf[static PV_ADDR_TEXT]);
const char *pv_prefix_format(const struct pv_prefix *p, char buf[static PV_ADDR_TEXT]);
/* The same, in a buffer that lasts until the end of the enclosing block. Use it for a text that is
 * printed at once. All macros *_STR work so. */
#define PV_ADDR_STR(a)   pv_addr_format(a, (char[PV_ADDR_TEXT]){0})
#define PV_IP_STR(a)     pv_addr_format_ip(a, (char[PV_ADDR_TEXT]){0})
#define PV_PREFIX_STR(p) pv_prefix_format(p, (char[PV_ADDR_TEXT]){0})

/* Writes the reverse DNS zone of a range whose length is whole bytes (IPv4) or nibbles (IPv6):
 * "66.10.in-addr.arpa" (RFC 1035 s3.5, RFC 3596 s2.5). Host bits do not count. PV_ERR_UNSUPPORTED:
 * another length. */
PV_MUST_CHECK int pv_prefix_reverse_zone(const struct pv_prefix *range,
                                         char ret_name[static PV_ADDR_ZONE_BUF]);

bool pv_prefix_contains(const struct pv_prefix *p, const struct pv_addr *a);
bool pv_prefix_overlaps(const struct pv_prefix *a, const struct pv_prefix *b);

/* ::ffff:a.b.c.d becomes a.b.c.d; everything else stays. */
struct pv_addr pv_addr_unmap(struct pv_addr a);

bool pv_addr_is_unspecified(const struct pv_addr *a);
bool pv_addr_is_loopback(const struct pv_addr *a);
bool pv_addr_is_link_local(const struct pv_addr *a); /* 169.254/16, fe80::/10 */
bool pv_addr_is_multicast(const struct pv_addr *a);  /* 224/4, ff00::/8 */
bool pv_addr_is_broadcast(const struct pv_addr *a);  /* 255.255.255.255 */
/* RFC 1918, 100.64/10 (RFC 6598), fc00::/7 (RFC 4193). */
bool pv_addr_is_private(const struct pv_addr *a);
/* Returns true if a datagram may go to this address: not unspecified, loopback, link-local,
 * multicast, broadcast, class E or an IPv4 address inside IPv6, and not port 0. */
bool pv_addr_is_usable_remote(const struct pv_addr *a);
