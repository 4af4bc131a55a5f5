/* SPDX-License-Identifier: MIT */
/*
 * test_util.h - what every unit test includes: its frame (tests/test.h), a seeded generator for
 * struct pv_rng, and hex decoding for vectors.
 */
#pragma once

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/pv.h"
#include "tests/test.h"

/* --- random bytes and hex ------------------------------------------------------------------ */

/* splitmix64: seeded, repeatable, good enough to stand in for entropy in a test. */
struct test_rng {
    uint64_t state;
};

static inline uint64_t test_rng_next(struct test_rng *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline void test_rng_fill(void *ctx, uint8_t *dst, size_t len)
{
    for (size_t i = 0; i < len; i++)
        dst[i] = (uint8_t)(test_rng_next(ctx) >> 24);
}

static inline struct pv_rng test_rng_make(struct test_rng *r, uint64_t seed)
{
    r->state = seed;
    return (struct pv_rng){.fill = test_rng_fill, .ctx = r};
}

static inline uint8_t test_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return (uint8_t)(c - '0');
    return (uint8_t)((c | 0x20) - 'a' + 10);
}

/* Decodes hex, skipping blanks; returns the number of bytes written (at most cap). */
static inline size_t test_unhex(const char *hex, uint8_t *dst, size_t cap)
{
    size_t n = 0;
    while (*hex != '\0' && n < cap) {
        if (*hex == ' ' || *hex == '\n' || *hex == ':') {
            hex++;
            continue;
        }
        dst[n++] = (uint8_t)((test_hex_digit(hex[0]) << 4) | test_hex_digit(hex[1]));
        hex += 2;
    }
    return n;
}

/* A place for a secret key that others borrow: until so many more have been kept. */
static inline const uint8_t *test_keep_key(const void *key)
{
    static uint8_t kept[256][32];
    static size_t n;
    uint8_t *place = kept[n++ % 256];
    memcpy(place, key, 32);
    return place;
}
