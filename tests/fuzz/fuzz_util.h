/* SPDX-License-Identifier: MIT */
/*
 * fuzz_util.h - what most fuzz targets need: the entry point, a check that is never compiled out,
 * and sources of "random" bytes that are the same in every run.
 */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "base/pv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static inline void must(bool ok)
{
    if (!ok)
        abort();
}

/* The input's next byte; 0 behind its end. */
static inline uint8_t fuzz_next(struct pv_view *in)
{
    if (in->len == 0)
        return 0;
    uint8_t b = in->ptr[0];
    *in = pv_view(in->ptr + 1, in->len - 1);
    return b;
}

/* Its next n bytes, or as many as there are. */
static inline struct pv_view fuzz_take(struct pv_view *in, size_t n)
{
    struct pv_view taken = pv_view(in->ptr, n < in->len ? n : in->len);
    *in = pv_view(in->ptr + taken.len, in->len - taken.len);
    return taken;
}

/* For struct pv_rng: the byte that ctx points to, again and again. */
static inline void fuzz_fill_same(void *ctx, uint8_t *dst, size_t len)
{
    const uint8_t *byte = ctx;
    memset(dst, *byte, len);
}

/* Counts up; ctx: the uint8_t that comes next. */
static inline void fuzz_fill_count(void *ctx, uint8_t *dst, size_t len)
{
    uint8_t *next = ctx;
    for (size_t i = 0; i < len; i++)
        dst[i] = (*next)++;
}

/* Looks random; ctx: the uint64_t state (Knuth's linear congruential generator, MMIX). */
static inline void fuzz_fill_mix(void *ctx, uint8_t *dst, size_t len)
{
    uint64_t *state = ctx;
    for (size_t i = 0; i < len; i++) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        dst[i] = (uint8_t)(*state >> 56);
    }
}

/* A place for a secret key that others borrow: until so many more have been kept. */
static inline const uint8_t *fuzz_keep_key(const void *key)
{
    static uint8_t kept[256][32];
    static size_t n;
    uint8_t *place = kept[n++ % 256];
    memcpy(place, key, 32);
    return place;
}
