/* SPDX-License-Identifier: MIT */
/*
 * map.h - hash tables with hostile keys: uthash with SipHash-1-3 keyed per table.
 *
 * The only place that includes uthash. A table is a struct pv_map plus entries that embed
 * UT_hash_handle; the PV_MAP_ macros below compute the hash with the table's key, so an attacker
 * who chooses keys (addresses, public keys, transaction ids) cannot build collisions. Every table
 * has a limit; insertion past it, or without memory, fails and leaves the table as it was.
 */
#pragma once

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

/* Ours: most tables are small, and in large ones each entry that a search passes is a cache miss.
 */
#undef HASH_INITIAL_NUM_BUCKETS
#undef HASH_INITIAL_NUM_BUCKETS_LOG2
#undef HASH_BKT_CAPACITY_THRESH
#define HASH_INITIAL_NUM_BUCKETS      8U
#define HASH_INITIAL_NUM_BUCKETS_LOG2 3U
#define HASH_BKT_CAPACITY_THRESH      6U

#include "base/pv.h"

/* Key and limit of one table; the entries hang off a typed head pointer of the owner. */
struct pv_map {
    uint64_t k0, k1; /* SipHash key */
    size_t limit;    /* entries */
};

/* Draws the key. limit: largest number of entries, > 0. */
struct pv_map pv_map_make(const struct pv_rng *rng, size_t limit);

/* SipHash-1-3 (Aumasson, Bernstein 2012) folded to the 32 bits uthash wants. */
uint32_t pv_map_hash(const struct pv_map *map, const void *key, size_t len);

/*
 * PV_MAP_FIND(map, head, key, len, out)        out = entry or NULL
 * PV_MAP_ADD(map, head, field, entry, status)  status = PV_OK, PV_ERR_LIMIT, PV_ERR_NOMEM; field is
 *                                              the key member (an array or scalar), not yet present
 * PV_MAP_DEL(head, entry)
 * All use the member named hh.
 */
#define PV_MAP_FIND(map, head, key, len, out) \
    HASH_FIND_BYHASHVALUE(hh, head, key, (unsigned)(len), pv_map_hash((map), (key), (len)), out)
#define PV_MAP_ADD(map, head, field, entry, status)                                           \
    PV_MAP_ADD_HASHED(map, head, pv_map_hash((map), &(entry)->field, sizeof((entry)->field)), \
                      &(entry)->field, sizeof((entry)->field), entry, status)
#define PV_MAP_ADD_HASHED(map, head, hash, key, len, entry, status)                       \
    do {                                                                                  \
        if (HASH_CNT(hh, head) >= (map)->limit) {                                         \
            (status) = PV_ERR_LIMIT;                                                      \
        } else {                                                                          \
            (entry)->hh.tbl = NULL;                                                       \
            HASH_ADD_KEYPTR_BYHASHVALUE(hh, head, (key), (unsigned)(len), (hash), entry); \
            (status) = (entry)->hh.tbl == NULL ? PV_ERR_NOMEM : PV_OK;                    \
        }                                                                                 \
    } while (0)
#define PV_MAP_DEL(head, entry) HASH_DEL(head, entry)

/*
 * A caller that looks for several keys computes their hashes first, and asks the processor to fetch
 * what the searches will read: in a large table each of these reads would wait for memory.
 *
 * PV_MAP_FETCH(head, hash)                             the chain of this hash
 * PV_MAP_FETCH_FIRST(head, hash)                       its first entry; the chain was fetched
 * PV_MAP_FIND_HASHED(head, hash, key, len, out)        as PV_MAP_FIND
 * PV_MAP_ADD_HASHED(map, head, hash, key, len, entry, status)  as PV_MAP_ADD; the key is in the
 *                                                      entry and may be of any length
 */
#define PV_MAP_CHAIN(head, hash) \
    (&(head)->hh.tbl->buckets[(hash) & ((head)->hh.tbl->num_buckets - 1)])
#define PV_MAP_FETCH(head, hash)                              \
    do {                                                      \
        if ((head) != NULL)                                   \
            __builtin_prefetch(PV_MAP_CHAIN((head), (hash))); \
    } while (0)
#define PV_MAP_FETCH_FIRST(head, hash)                                 \
    do {                                                               \
        if ((head) != NULL)                                            \
            __builtin_prefetch(PV_MAP_CHAIN((head), (hash))->hh_head); \
    } while (0)
#define PV_MAP_FIND_HASHED(head, hash, key, len, out) \
    HASH_FIND_BYHASHVALUE(hh, head, key, (unsigned)(len), (hash), out)
