/* SPDX-License-Identifier: MIT */
/* group.c - tells the groups of the virtual LAN apart by their addresses. */
#include "proto/group/group.h"

#include <string.h>

/* IANA "IPv4 Multicast Address Space" and "IPv6 Multicast Address Space". A group that is added
 * here is known to other versions by nothing but the joins of its members. */
static const struct pv_group DISCOVERY[] = {
    {4, {255, 255, 255, 255}}, /* the broadcast: first, pv_group_broadcast() */
    {6, {0xff, 0x02, [15] = 0x01}},
    {4, {224, 0, 0, 251}}, /* mDNS, RFC 6762 s3 */
    {6, {0xff, 0x02, [15] = 0xfb}},
    {6, {0xff, 0x05, [15] = 0xfb}},
    {4, {239, 255, 255, 250}}, /* SSDP (UPnP Device Architecture 2.0 s1), WS-Discovery */
    {6, {0xff, 0x02, [15] = 0x0c}},
    {6, {0xff, 0x05, [15] = 0x0c}},
    {4, {224, 0, 0, 252}}, /* LLMNR, RFC 4795 s2 */
    {6, {0xff, 0x02, [13] = 0x01, [15] = 0x03}},
    {4, {224, 0, 0, 2}}, /* all routers, RFC 1112, RFC 4291 s2.7.1: joined by every kernel that */
    {6, {0xff, 0x02, [15] = 0x02}}, /* forwards, and wanted by hardly any */
    {6, {0xff, 0x05, [15] = 0x02}},
};

/* The rest of an IPv4 address is zero, so that groups compare as bytes. */
struct pv_group pv_group_of(uint8_t version, const uint8_t *dst)
{
    static const uint8_t all_hosts[4] = {224, 0, 0, 1};
    struct pv_group g = {.version = version};
    if (version == 4 && memcmp(dst, all_hosts, sizeof(all_hosts)) == 0)
        return pv_group_broadcast();
    memcpy(g.ip, dst, version == 4 ? 4 : 16);
    return g;
}

struct pv_group pv_group_broadcast(void)
{
    return DISCOVERY[0];
}

struct pv_group pv_group_discovery(size_t i)
{
    return i < PV_ARRAY_LEN(DISCOVERY) ? DISCOVERY[i] : (struct pv_group){.version = 0};
}

bool pv_group_is_everybodys(const struct pv_group *g)
{
    return pv_group_equal(g, &DISCOVERY[0]) || pv_group_equal(g, &DISCOVERY[1]);
}

/* Scope 0 and 1 (RFC 7346 s2); ff02::16 (RFC 3810 s5.2.14) and ff02::1:ff00:0/104 (RFC 4291
 * s2.7.1). */
static bool is_local6(const uint8_t *ip)
{
    static const uint8_t reports[16] = {0xff, 0x02, [15] = 0x16};
    static const uint8_t solicited[13] = {0xff, 0x02, [11] = 0x01, [12] = 0xff};
    return ip[0] != 0xff || (ip[1] & 0x0f) <= 1 || memcmp(ip, reports, sizeof(reports)) == 0 ||
           memcmp(ip, solicited, sizeof(solicited)) == 0;
}

/* 224.0.0.22 is where IGMPv3 reports go (RFC 3376 s4.2.14). 224.0.0.0 is nobody's (RFC 1112). */
static bool is_local4(const uint8_t *ip)
{
    bool link = ip[0] == 224 && ip[1] == 0 && ip[2] == 0;
    return (ip[0] & 0xf0) != 0xe0 || (link && (ip[3] == 0 || ip[3] == 22));
}

/* By the address alone: sender and receiver must agree on what counts as use of their path. */
enum pv_group_kind pv_group_kind(const struct pv_group *g)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(DISCOVERY); i++) {
        if (pv_group_equal(g, &DISCOVERY[i]))
            return PV_GROUP_DISCOVERY;
    }
    bool local = g->version == 6 ? is_local6(g->ip) : g->version != 4 || is_local4(g->ip);
    return local ? PV_GROUP_LOCAL : PV_GROUP_JOINED;
}

bool pv_group_equal(const struct pv_group *a, const struct pv_group *b)
{
    return pv_group_compare(a, b) == 0;
}

/* IPv4 first: the message between members has its groups in this order. */
int pv_group_compare(const struct pv_group *a, const struct pv_group *b)
{
    if (a->version != b->version)
        return a->version < b->version ? -1 : 1;
    return memcmp(a->ip, b->ip, sizeof(a->ip));
}

struct pv_addr pv_group_addr(const struct pv_group *g)
{
    if (g->version == 6)
        return pv_addr6(g->ip, 0);
    return pv_addr4(g->ip[0], g->ip[1], g->ip[2], g->ip[3], 0);
}
