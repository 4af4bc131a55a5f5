/* SPDX-License-Identifier: MIT */
/*
 * addr.c - addresses and prefixes as values, and their texts. Parsing is strict, because addresses
 * stand in signed statements and in configuration: what has two spellings could be signed in one
 * and compared in the other. The system's parser does the grammar; what it tolerates (scopes,
 * leading zeros) is refused here.
 */
#include "base/addr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

bool pv_addr_equal(const struct pv_addr *a, const struct pv_addr *b)
{
    return a->port == b->port && pv_addr_equal_ip(a, b);
}

bool pv_addr_equal_ip(const struct pv_addr *a, const struct pv_addr *b)
{
    return a->family == b->family && memcmp(a->ip, b->ip, pv_addr_ip_len(a)) == 0;
}

struct pv_addr pv_addr4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint16_t port)
{
    return (struct pv_addr){.family = PV_AF_INET, .port = port, .ip = {a, b, c, d}};
}

struct pv_addr pv_addr4_u32(uint32_t host_order, uint16_t port)
{
    return pv_addr4((uint8_t)(host_order >> 24), (uint8_t)(host_order >> 16),
                    (uint8_t)(host_order >> 8), (uint8_t)host_order, port);
}

uint32_t pv_addr_u32(const struct pv_addr *a)
{
    if (a->family != PV_AF_INET)
        return 0;
    return ((uint32_t)a->ip[0] << 24) | ((uint32_t)a->ip[1] << 16) | ((uint32_t)a->ip[2] << 8) |
           a->ip[3];
}

struct pv_addr pv_addr6(const uint8_t ip[static 16], uint16_t port)
{
    struct pv_addr a = {.family = PV_AF_INET6, .port = port};
    memcpy(a.ip, ip, 16);
    return a;
}

size_t pv_addr_ip_len(const struct pv_addr *a)
{
    return a->family == PV_AF_INET ? 4 : a->family == PV_AF_INET6 ? 16 : 0;
}

/* Decimal without sign, blanks or leading zeros, at most max; text[0..len) is all of it. */
static bool parse_decimal(const char *text, size_t len, unsigned max, unsigned *ret_value)
{
    unsigned v = 0;
    if (len == 0 || len > 5 || (len > 1 && text[0] == '0'))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        v = v * 10 + (unsigned)(text[i] - '0');
    }
    if (v > max)
        return false;
    *ret_value = v;
    return true;
}

/* text[0..len) as an IP of the given family, or of either for PV_AF_NONE. */
static bool parse_ip(const char *text, size_t len, uint16_t family, struct pv_addr *ret_addr)
{
    char buf[INET6_ADDRSTRLEN];
    struct pv_addr a = {.family = PV_AF_NONE};

    if (len == 0 || len >= sizeof(buf))
        return false;
    memcpy(buf, text, len);
    buf[len] = '\0';
    if (family != PV_AF_INET6 && inet_pton(AF_INET, buf, a.ip) == 1)
        a.family = PV_AF_INET;
    else if (family != PV_AF_INET && inet_pton(AF_INET6, buf, a.ip) == 1)
        a.family = PV_AF_INET6;
    else
        return false;
    *ret_addr = a;
    return true;
}

int pv_addr_parse_ip(const char *text, struct pv_addr *ret_addr)
{
    return parse_ip(text, strlen(text), PV_AF_NONE, ret_addr) ? PV_OK : PV_ERR_MALFORMED;
}

/* The last colon ends the address, since IPv6 has colons inside; IPv6 must stand in brackets (RFC
 * 3986 s3.2.2), or "::1:53" would have two meanings. */
int pv_addr_parse(const char *text, struct pv_addr *ret_addr)
{
    struct pv_addr a;
    unsigned port;
    const char *colon = strrchr(text, ':');

    if (colon == NULL || !parse_decimal(colon + 1, strlen(colon + 1), UINT16_MAX, &port))
        return PV_ERR_MALFORMED;
    size_t len = (size_t)(colon - text);
    bool bracketed = len >= 2 && text[0] == '[' && text[len - 1] == ']';
    if (bracketed ? !parse_ip(text + 1, len - 2, PV_AF_INET6, &a)
                  : !parse_ip(text, len, PV_AF_INET, &a))
        return PV_ERR_MALFORMED;
    a.port = (uint16_t)port;
    *ret_addr = a;
    return PV_OK;
}

/* Byte i of a netmask of that many bits. */
static uint8_t mask_byte(unsigned bits, size_t i)
{
    if (bits >= 8 * (i + 1))
        return 0xff;
    if (bits <= 8 * i)
        return 0;
    return (uint8_t)(0xffu << (8 - bits % 8));
}

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    size_t whole = bits / 8;
    if (memcmp(a, b, whole) != 0)
        return false;
    return bits % 8 == 0 || ((a[whole] ^ b[whole]) & mask_byte(bits, whole)) == 0;
}

/* Host bits must be zero: "10.0.0.1/8" is more likely a mistake than a range. */
int pv_prefix_parse(const char *text, struct pv_prefix *ret_prefix)
{
    struct pv_prefix p = {.bits = 0};
    const char *slash = strchr(text, '/');
    size_t len = slash == NULL ? strlen(text) : (size_t)(slash - text);

    if (!parse_ip(text, len, PV_AF_NONE, &p.base))
        return PV_ERR_MALFORMED;
    unsigned all = (unsigned)pv_addr_ip_len(&p.base) * 8;
    unsigned bits = all;
    if (slash != NULL && !parse_decimal(slash + 1, strlen(slash + 1), all, &bits))
        return PV_ERR_MALFORMED;
    for (size_t i = 0; i < all / 8; i++) {
        if ((p.base.ip[i] & (uint8_t)~mask_byte(bits, i)) != 0)
            return PV_ERR_MALFORMED;
    }
    p.bits = (uint8_t)bits;
    *ret_prefix = p;
    return PV_OK;
}

const char *pv_addr_format_ip(const struct pv_addr *a, char buf[static PV_ADDR_TEXT])
{
    /* AF_NONE is not a family inet_ntop knows, so it gives NULL there. */
    if (inet_ntop(a->family, a->ip, buf, PV_ADDR_TEXT) == NULL)
        memcpy(buf, "-", 2);
    return buf;
}

const char *pv_addr_format(const struct pv_addr *a, char buf[static PV_ADDR_TEXT])
{
    char ip[INET6_ADDRSTRLEN];
    if (inet_ntop(a->family, a->ip, ip, sizeof(ip)) == NULL)
        memcpy(buf, "-", 2);
    else
        snprintf(buf, PV_ADDR_TEXT, a->family == PV_AF_INET6 ? "[%s]:%u" : "%s:%u", ip, a->port);
    return buf;
}

/* inet_ntop() writes the canonical form of RFC 5952: equal addresses have equal texts. */
const char *pv_prefix_format(const struct pv_prefix *p, char buf[static PV_ADDR_TEXT])
{
    char ip[INET6_ADDRSTRLEN];
    if (inet_ntop(p->base.family, p->base.ip, ip, sizeof(ip)) == NULL)
        memcpy(buf, "-", 2);
    else
        snprintf(buf, PV_ADDR_TEXT, "%s/%u", ip, p->bits);
    return buf;
}

/* Zones end at whole bytes or nibbles; a range in between would need several of them. */
int pv_prefix_reverse_zone(const struct pv_prefix *range, char ret_name[static PV_ADDR_ZONE_BUF])
{
    bool v6 = range->base.family == PV_AF_INET6;
    unsigned step = v6 ? 4 : 8;
    struct pv_text name = pv_text_in(ret_name, PV_ADDR_ZONE_BUF);
    if (range->bits % step != 0 || range->bits == 0)
        return PV_ERR_UNSUPPORTED;
    for (unsigned i = range->bits / step; i-- > 0;) {
        unsigned byte = range->base.ip[v6 ? i / 2 : i];
        unsigned nibble = i % 2 == 0 ? byte >> 4 : byte & 0xf;
        pv_text_add(&name, v6 ? "%x." : "%u.", v6 ? nibble : byte);
    }
    pv_text_add(&name, "%s", v6 ? "ip6.arpa" : "in-addr.arpa");
    return PV_OK;
}

bool pv_prefix_contains(const struct pv_prefix *p, const struct pv_addr *a)
{
    return p->base.family != PV_AF_NONE && p->base.family == a->family &&
           same_bits(p->base.ip, a->ip, p->bits);
}

bool pv_prefix_overlaps(const struct pv_prefix *a, const struct pv_prefix *b)
{
    return a->bits <= b->bits ? pv_prefix_contains(a, &b->base) : pv_prefix_contains(b, &a->base);
}

/* A socket for both families reports IPv4 sources as ::ffff:a.b.c.d (RFC 4291 s2.5.5.2); everything
 * behind the socket knows one form only. */
struct pv_addr pv_addr_unmap(struct pv_addr a)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (a.family != PV_AF_INET6 || memcmp(a.ip, mapped, sizeof(mapped)) != 0)
        return a;
    return pv_addr4(a.ip[12], a.ip[13], a.ip[14], a.ip[15], a.port);
}

bool pv_addr_is_unspecified(const struct pv_addr *a)
{
    static const uint8_t zero[16];
    return memcmp(a->ip, zero, pv_addr_ip_len(a)) == 0;
}

bool pv_addr_is_loopback(const struct pv_addr *a)
{
    static const uint8_t one[16] = {[15] = 1};
    if (a->family == PV_AF_INET)
        return a->ip[0] == 127;
    return a->family == PV_AF_INET6 && memcmp(a->ip, one, 16) == 0;
}

bool pv_addr_is_link_local(const struct pv_addr *a)
{
    if (a->family == PV_AF_INET)
        return a->ip[0] == 169 && a->ip[1] == 254;
    return a->family == PV_AF_INET6 && a->ip[0] == 0xfe && (a->ip[1] & 0xc0) == 0x80;
}

bool pv_addr_is_multicast(const struct pv_addr *a)
{
    if (a->family == PV_AF_INET)
        return (a->ip[0] & 0xf0) == 0xe0;
    return a->family == PV_AF_INET6 && a->ip[0] == 0xff;
}

bool pv_addr_is_broadcast(const struct pv_addr *a)
{
    return a->family == PV_AF_INET && pv_addr_u32(a) == 0xffffffffu;
}

bool pv_addr_is_private(const struct pv_addr *a)
{
    if (a->family == PV_AF_INET6)
        return (a->ip[0] & 0xfe) == 0xfc;
    if (a->family != PV_AF_INET)
        return false;
    uint32_t ip = pv_addr_u32(a);
    return ip >> 24 == 10 || ip >> 20 == 0xac1 || ip >> 16 == 0xc0a8 || /* RFC 1918 */
           ip >> 22 == 0x6440u >> 6;                                    /* RFC 6598 */
}

/* Candidates and other answers name addresses to which this node then sends. An address that would
 * stay on this machine, or go to many, is refused here, so that nobody can aim us. */
bool pv_addr_is_usable_remote(const struct pv_addr *a)
{
    if (a->family == PV_AF_NONE || a->port == 0 || pv_addr_is_unspecified(a) ||
        pv_addr_is_loopback(a) || pv_addr_is_link_local(a) || pv_addr_is_multicast(a))
        return false;
    /* IPv4: 0/8 (RFC 1122) and 240/4 (class E, broadcast) are refused. IPv6: sockets refuse an IPv4
     * address in it. */
    return a->family == PV_AF_INET6 ? pv_addr_unmap(*a).family == PV_AF_INET6
                                    : a->ip[0] != 0 && a->ip[0] < 240;
}
