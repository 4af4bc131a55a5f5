/* SPDX-License-Identifier: MIT */
/*
 * map.c - the keyed hash of all tables: SipHash-1-3. Keys of tables come from outside (addresses,
 * public keys, transaction ids); with a secret key in the hash nobody can make them collide. One
 * and three rounds instead of two and four are enough for a hash table, where the output is never
 * seen.
 */
#include "base/map.h"

#include "base/bytes.h"

struct pv_map pv_map_make(const struct pv_rng *rng, size_t limit)
{
    return (struct pv_map){.k0 = pv_rng_u64(rng), .k1 = pv_rng_u64(rng), .limit = limit};
}

static inline uint64_t rotl64(uint64_t x, unsigned n)
{
    return (x << n) | (x >> (64 - n));
}

static inline void sip_round(uint64_t v[static 4])
{
    v[0] += v[1];
    v[1] = rotl64(v[1], 13) ^ v[0];
    v[0] = rotl64(v[0], 32);
    v[2] += v[3];
    v[3] = rotl64(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl64(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl64(v[1], 17) ^ v[2];
    v[2] = rotl64(v[2], 32);
}

/* SipHash-c-d with c = 1 and d = 3 (Aumasson, Bernstein 2012). The four constants are the paper's:
 * ASCII for "somepseudorandomlygeneratedbytes". */
static uint64_t siphash13(uint64_t k0, uint64_t k1, const uint8_t *p, size_t len)
{
    uint64_t v[4] = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du, k0 ^ 0x6c7967656e657261u,
                     k1 ^ 0x7465646279746573u};
    uint64_t last = (uint64_t)len << 56;

    for (; len >= 8; p += 8, len -= 8) {
        uint64_t m = pv_load_le64(p);
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
    }
    for (size_t i = 0; i < len; i++)
        last |= (uint64_t)p[i] << (8 * i);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* uthash wants 32 bits; folding uses all 64. */
uint32_t pv_map_hash(const struct pv_map *map, const void *key, size_t len)
{
    uint64_t h = siphash13(map->k0, map->k1, key, len);
    return (uint32_t)(h ^ (h >> 32));
}
