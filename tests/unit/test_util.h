/* SPDX-License-Identifier: MIT */
/*
 * test_util.h - what every unit test includes: cmocka with the headers it needs before it, a
 * seeded generator for struct pv_rng, and hex decoding for vectors.
 */
#ifndef PV_TEST_UTIL_H
#define PV_TEST_UTIL_H

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdlib.h>
#include <string.h>

#include "base/pv.h"

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

#endif /* PV_TEST_UTIL_H */
