/* SPDX-License-Identifier: MIT */
/*
 * route.c - the router of the default route, from /proc/net. The files are read instead of asking
 * by netlink: one line for each route, and no dump to put together.
 */
#include "sys/net/route.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

enum {
    FLAG_UP = 1, /* RTF_UP, RTF_GATEWAY of linux/route.h */
    FLAG_GATEWAY = 2,
    LINE = 256, /* ours: bytes of a line; they have about 150 */
    NAME = 32,  /* more than IFNAMSIZ; the formats below say 31 */
};

struct default_route {
    char ifname[NAME];
    struct pv_addr router;
    unsigned long metric;
};

/* One line of /proc/net/route: Iface Destination Gateway Flags RefCnt Use Metric Mask …; addresses
 * are hexadecimal as they lie in memory. */
static bool read_line4(const char *line, struct default_route *r)
{
    unsigned long dst, gateway, flags, mask;
    if (sscanf(line, "%31s %lx %lx %lx %*s %*s %lu %lx", r->ifname, &dst, &gateway, &flags,
               &r->metric, &mask) != 6)
        return false;
    r->router = pv_addr4_u32(ntohl((uint32_t)gateway), 0);
    return dst == 0 && mask == 0 && (flags & FLAG_UP) != 0 && (flags & FLAG_GATEWAY) != 0;
}

/* One line of /proc/net/ipv6_route: destination, bits, source, bits, next hop, metric, references,
 * uses, flags, interface; all numbers hexadecimal. */
static bool read_line6(const char *line, struct default_route *r)
{
    char dst[33], hop[33];
    unsigned bits, from_bits;
    unsigned long flags;
    uint8_t ip[16];
    if (sscanf(line, "%32[0-9a-f] %x %*s %x %32[0-9a-f] %lx %*s %*s %lx %31s", dst, &bits,
               &from_bits, hop, &r->metric, &flags, r->ifname) != 7)
        return false;
    for (size_t i = 0; i < sizeof(ip); i++) {
        unsigned byte = 0;
        if (sscanf(hop + 2 * i, "%2x", &byte) != 1)
            return false;
        ip[i] = (uint8_t)byte;
    }
    r->router = pv_addr6(ip, 0);
    return bits == 0 && from_bits == 0 && strspn(dst, "0") == 32 && (flags & FLAG_UP) != 0 &&
           (flags & FLAG_GATEWAY) != 0;
}

/* The lowest metric is the route that the kernel would take. */
int pv_route_gateway(uint16_t family, struct pv_addr *ret_router, uint32_t *ret_ifindex)
{
    char line[LINE];
    struct default_route r, best = {.metric = 0};
    bool v6 = family == PV_AF_INET6, found = false;
    FILE *f = fopen(v6 ? "/proc/net/ipv6_route" : "/proc/net/route", "re");
    if (f == NULL)
        return errno == ENOENT && v6 ? PV_ERR_NOT_FOUND : -errno; /* a kernel without IPv6 */
    while (fgets(line, sizeof(line), f) != NULL) {
        if (!(v6 ? read_line6(line, &r) : read_line4(line, &r)) ||
            (found && r.metric >= best.metric))
            continue;
        found = true;
        best = r;
    }
    fclose(f);
    if (!found)
        return PV_ERR_NOT_FOUND;
    *ret_router = best.router;
    *ret_ifindex = if_nametoindex(best.ifname);
    return PV_OK;
}
