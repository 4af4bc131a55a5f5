/* SPDX-License-Identifier: MIT */
/* Addresses of IPv4 in prefixes of IPv6. */
#include "proto/stun/nat64.h"

#include <string.h>

enum {
    GAP = 8, /* RFC 6052 s2.2: this byte is zero */
};

/* Where the k-th byte of the IPv4 address stands. */
static size_t place(unsigned bits, size_t k)
{
    size_t at = bits / 8 + k;
    return bits / 8 <= GAP && at >= GAP ? at + 1 : at;
}

static struct pv_addr inside(const struct pv_addr *addr, unsigned bits)
{
    struct pv_addr v4 = {.family = PV_AF_INET, .port = addr->port};
    for (size_t k = 0; k < PV_IP4_LEN; k++)
        v4.ip[k] = addr->ip[place(bits, k)];
    return v4;
}

bool pv_nat64_find(const struct pv_addr *addr, struct pv_prefix *ret_prefix)
{
    static const uint8_t lengths[] = {96, 64, 56, 48, 40, 32};
    for (size_t i = 0; addr->family == PV_AF_INET6 && i < PV_ARRAY_LEN(lengths); i++) {
        const struct pv_addr in = inside(addr, lengths[i]);
        const uint32_t v4 = pv_addr_u32(&in);
        if (v4 != 0xc00000aa && v4 != 0xc00000ab)
            continue;
        *ret_prefix = (struct pv_prefix){.base.family = PV_AF_INET6, .bits = lengths[i]};
        memcpy(ret_prefix->base.ip, addr->ip, lengths[i] / 8);
        return true;
    }
    return false;
}

struct pv_addr pv_nat64_make(const struct pv_prefix *prefix, const struct pv_addr *addr)
{
    if (addr->family != PV_AF_INET || prefix->base.family != PV_AF_INET6)
        return *addr;
    struct pv_addr v6 = prefix->base;
    v6.port = addr->port;
    for (size_t k = 0; k < PV_IP4_LEN; k++)
        v6.ip[place(prefix->bits, k)] = addr->ip[k];
    return v6;
}

struct pv_addr pv_nat64_undo(const struct pv_prefix *prefix, const struct pv_addr *addr)
{
    if (addr->family != PV_AF_INET6 || prefix->base.family != PV_AF_INET6 ||
        !pv_prefix_contains(prefix, addr))
        return *addr;
    return inside(addr, prefix->bits);
}
