/* SPDX-License-Identifier: MIT */
/*
 * bucket.c - token buckets: single ones, and a fixed table for source networks. The table is what
 * stands between a flood and the costly parts of handshakes and requests, so its memory is fixed
 * and its hash keyed: an attacker with many addresses evicts other sources at random places and
 * cannot choose which.
 */
#include "base/bucket.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"

enum {
    MILLI = 1000, /* parts of a token: many small steps must add up */
    WAYS = 4,     /* ours: slots a source may use; the least recently used of them is evicted */
    FUZZED_SLOTS = 64, /* in fuzz targets: little to clear in each run, and soon full */
};

/* Adds the milli-tokens of the time that passed: dt [ns] * rate [1/s] * 1000 / 1e9. A long time
 * fills the bucket without multiplying, which could overflow. */
static void refill(struct pv_bucket *b, uint32_t rate, uint64_t full, pv_ns now)
{
    if (b->last == 0) {
        b->tokens = full;
        b->last = now;
        return;
    }
    if (rate == 0 || now <= b->last)
        return;
    pv_ns dt = now - b->last;
    if (dt / PV_MS(1) >= (full - (b->tokens < full ? b->tokens : full)) / rate + 1) {
        b->tokens = full;
        b->last = now;
        return;
    }
    uint64_t add = dt * rate / PV_MS(1);
    /* The remainder stays in last, so that many small steps add up. */
    b->last += add * PV_MS(1) / rate;
    b->tokens += add;
    if (b->tokens > full)
        b->tokens = full;
}

bool pv_bucket_take(struct pv_bucket *b, uint32_t rate, uint32_t burst, uint32_t n, pv_ns now)
{
    refill(b, rate, (uint64_t)burst * MILLI, now == 0 ? 1 : now);
    if (b->tokens < (uint64_t)n * MILLI)
        return false;
    b->tokens -= (uint64_t)n * MILLI;
    return true;
}

struct bucket_slot {
    uint8_t net[8]; /* family, then the network part */
    pv_ns used;     /* time of the last take */
    struct pv_bucket bucket;
};

struct pv_bucket_table {
    struct pv_map map; /* only its hash key is used */
    uint32_t rate;
    uint32_t burst;
    size_t sets; /* a power of two */
    struct bucket_slot slots[];
};

int pv_bucket_table_new(struct pv_bucket_table **ret_table, size_t slots, uint32_t rate,
                        uint32_t burst, const struct pv_rng *rng)
{
    size_t sets = 1;
    if (slots > (size_t)1 << 24)
        return PV_ERR_LIMIT;
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    slots = slots < FUZZED_SLOTS ? slots : FUZZED_SLOTS;
#endif
    while (sets * WAYS < slots)
        sets *= 2;
    struct pv_bucket_table *t = calloc(1, sizeof(*t) + sets * WAYS * sizeof(t->slots[0]));
    if (t == NULL)
        return PV_ERR_NOMEM;
    t->map = pv_map_make(rng, slots);
    t->rate = rate;
    t->burst = burst;
    t->sets = sets;
    *ret_table = t;
    return PV_OK;
}

struct pv_bucket_table *pv_bucket_table_free(struct pv_bucket_table *table)
{
    free(table);
    return NULL;
}

/* Returns the slot of a source. If it has none, returns the least recently used of the slots that
 * it may have. A source is a network of /56 or /24, which is what one subscriber has: an attacker
 * gets single addresses of an IPv6 network for nothing. */
static struct bucket_slot *slot_of(struct pv_bucket_table *table, const struct pv_addr *src,
                                   uint8_t ret_net[static 8])
{
    memset(ret_net, 0, 8);
    ret_net[0] = (uint8_t)src->family;
    memcpy(ret_net + 1, src->ip, src->family == PV_AF_INET6 ? 7 : 3); /* /56 or /24 */
    size_t set = pv_map_hash(&table->map, ret_net, 8) & (table->sets - 1);
    struct bucket_slot *ways = &table->slots[set * WAYS];
    struct bucket_slot *s = &ways[0];

    for (size_t i = 0; i < WAYS; i++) {
        if (memcmp(ways[i].net, ret_net, sizeof(ways[i].net)) == 0)
            return &ways[i];
        if (ways[i].used < s->used)
            s = &ways[i];
    }
    return s;
}

bool pv_bucket_table_take(struct pv_bucket_table *table, const struct pv_addr *src, uint32_t n,
                          pv_ns now)
{
    uint8_t net[8];
    struct bucket_slot *s = slot_of(table, src, net);
    if (memcmp(s->net, net, sizeof(net)) != 0) {
        memset(s, 0, sizeof(*s));
        memcpy(s->net, net, sizeof(net));
    }
    s->used = now;
    return pv_bucket_take(&s->bucket, table->rate, table->burst, n, now);
}

void pv_bucket_table_give(struct pv_bucket_table *table, const struct pv_addr *src, uint32_t n)
{
    uint8_t net[8];
    struct bucket_slot *s = slot_of(table, src, net);
    uint64_t full = (uint64_t)table->burst * MILLI;
    if (memcmp(s->net, net, sizeof(net)) != 0)
        return;
    s->bucket.tokens += (uint64_t)n * MILLI;
    if (s->bucket.tokens > full)
        s->bucket.tokens = full;
}
