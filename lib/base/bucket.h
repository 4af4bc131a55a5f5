/* SPDX-License-Identifier: MIT */
/*
 * bucket.h - token buckets: one, and a fixed table of them keyed by source network.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"

/* A zeroed bucket is full at its first use. */
struct pv_bucket {
    uint64_t tokens; /* in units of 1/1000 token */
    pv_ns last;      /* time of the last refill, 0 = never used */
};

/* Takes n tokens from a bucket that refills rate a second up to burst. False: not enough. */
PV_MUST_CHECK bool pv_bucket_take(struct pv_bucket *b, uint32_t rate, uint32_t burst, uint32_t n,
                                  pv_ns now);

/* Buckets for source networks (/24 for IPv4, /56 for IPv6) in a fixed table: a new source evicts
 * the least recently used of the few slots its keyed hash allows, so memory never grows. */
struct pv_bucket_table; /* opaque */
/* slots is rounded up to four times a power of two. PV_ERR_LIMIT (2^24), PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_bucket_table_new(struct pv_bucket_table **ret_table, size_t slots,
                                      uint32_t rate, uint32_t burst, const struct pv_rng *rng);
struct pv_bucket_table *pv_bucket_table_free(struct pv_bucket_table *table);
PV_MUST_CHECK bool pv_bucket_table_take(struct pv_bucket_table *table, const struct pv_addr *src,
                                        uint32_t n, pv_ns now);
/* Gives back n tokens that a source took, up to a full bucket. A source that was evicted meanwhile
 * gets nothing, because it begins with a full bucket. */
void pv_bucket_table_give(struct pv_bucket_table *table, const struct pv_addr *src, uint32_t n);
