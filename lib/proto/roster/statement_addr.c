/* SPDX-License-Identifier: MIT */
/*
 * statement_addr.c - the addresses that follow from keys, and the IPv4 range of a network.
 * Addresses are derived so that a node can compute those of any member from its key, and so that a
 * member cannot choose an address that looks like another's.
 */
#include <string.h>

#include "crypto/hash.h"
#include "proto/roster/statement.h"

enum {
    NEAR_TRIES = 256, /* ours: addresses behind a node's own that are looked at first */
    FAR_TRIES = 1024, /* ours: then addresses all over the range, before all of them */
};

static void hash_pk(const uint8_t pk[static PV_SIGN_PK_LEN], uint8_t out[static PV_BLAKE2B_LEN])
{
    struct pv_view none = pv_view(NULL, 0);
    pv_blake2b(out, pv_view(pk, PV_SIGN_PK_LEN), none, none);
}

/* 40 bits of the network id serve as RFC 4193's random global id (s3.2.1). */
struct pv_prefix pv_network_ula(const uint8_t network_id[static PV_NETWORK_ID_LEN])
{
    uint8_t ip[16] = {0xfd}; /* RFC 4193 s3.1: fc00::/7 with the L bit */
    memcpy(ip + 1, network_id, 5);
    return (struct pv_prefix){.base = pv_addr6(ip, 0), .bits = 64};
}

void pv_node_ip6(const uint8_t network_id[static PV_NETWORK_ID_LEN],
                 const uint8_t node[static PV_SIGN_PK_LEN], uint8_t ret_ip6[static PV_IP6_LEN])
{
    uint8_t hash[PV_BLAKE2B_LEN];
    struct pv_prefix ula = pv_network_ula(network_id);

    hash_pk(node, hash);
    memcpy(ret_ip6, ula.base.ip, 8);
    memcpy(ret_ip6 + 8, hash, 8);
}

static uint32_t range_first(const struct pv_prefix *range)
{
    return pv_addr_u32(&range->base) + 1;
}

uint32_t pv_ip4_count(const struct pv_prefix *range)
{
    return (uint32_t)((UINT64_C(1) << (32 - range->bits)) - 2);
}

/* Ranges with a meaning of their own would break the host's routing: this network, loopback,
 * link-local, multicast and above (RFC 6890). */
bool pv_ip4_range_is_valid(const struct pv_prefix *range)
{
    uint32_t base = pv_addr_u32(&range->base);

    if (range->base.family != PV_AF_INET || range->bits < 8 || range->bits > 30)
        return false;
    if ((base & (pv_ip4_count(range) + 1)) != 0)
        return false; /* host bits set */
    uint32_t top = base >> 24;
    /* 8 bits are the shortest, so a range lies in one /8; 169.254/16 may be part of a wider one. */
    struct pv_prefix link_local = {.base = pv_addr4(169, 254, 0, 0, 0), .bits = 16};
    return top != 0 && top != 127 && top < 224 && !pv_prefix_overlaps(range, &link_local);
}

bool pv_ip4_is_usable(const struct pv_prefix *range, uint32_t ip4)
{
    return ip4 - range_first(range) < pv_ip4_count(range);
}

/* Bytes of the hash that pv_node_ip6() does not use, so that both addresses do not collide
 * together. */
uint32_t pv_ip4_first(const struct pv_prefix *range, const uint8_t node[static PV_SIGN_PK_LEN])
{
    uint8_t hash[PV_BLAKE2B_LEN];

    hash_pk(node, hash);
    return range_first(range) + (uint32_t)(pv_load_be64(hash + 8) % pv_ip4_count(range));
}

uint32_t pv_ip4_tries(const struct pv_prefix *range)
{
    return pv_ip4_count(range) + FAR_TRIES;
}

uint32_t pv_ip4_try(const struct pv_prefix *range, uint32_t own, uint32_t n)
{
    uint32_t first = range_first(range);
    uint64_t off = own - first;

    if (n < NEAR_TRIES)
        off += n;
    else if (n < NEAR_TRIES + FAR_TRIES)
        off += n * UINT64_C(2654435761); /* 2^32 by the golden ratio: spreads them evenly */
    else
        off += n - FAR_TRIES;
    return first + (uint32_t)(off % pv_ip4_count(range));
}
