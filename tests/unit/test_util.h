/* SPDX-License-Identifier: MIT */
/*
 * test_util.h - what every unit test includes: its frame (tests/test.h), what all of them use of
 * the C library (input and output, memory, strings), a seeded generator for struct pv_rng, and hex
 * decoding for vectors.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/pv.h"
#include "base/text.h"
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

/* Puts " for each ', as tests write JSON. */
static inline char *test_quotes(char *text)
{
    for (char *at = strchr(text, '\''); at != NULL; at = strchr(at, '\''))
        *at = '"';
    return text;
}

/* --- memory and files ---------------------------------------------------------------------- */

/* Zeroed, and there. */
static inline void *test_alloc(size_t size)
{
    void *p = calloc(1, size);
    assert_non_null(p);
    return p;
}

/* The file has this text from now on, and nothing else. */
static inline void test_write(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* The bytes of a file, at most len of them; how many. */
static inline size_t test_read_bytes(const char *path, void *bytes, size_t len)
{
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    size_t n = fread(bytes, 1, len, f);
    assert_int_equal(fclose(f), 0);
    return n;
}

/* The text of a file, which fits. */
static inline void test_read(const char *path, char *text, size_t cap)
{
    size_t n = test_read_bytes(path, text, cap);
    assert_true(n < cap);
    text[n] = '\0';
}

/* --- addresses ----------------------------------------------------------------------------- */

/* An address without a port, by its text. */
static inline struct pv_addr test_ip(const char *text)
{
    struct pv_addr a;
    assert_ok(pv_addr_parse_ip(text, &a));
    return a;
}

/* With one. */
static inline struct pv_addr test_addr(const char *text)
{
    struct pv_addr a;
    assert_ok(pv_addr_parse(text, &a));
    return a;
}

static inline struct pv_prefix test_prefix(const char *text)
{
    struct pv_prefix p;
    assert_ok(pv_prefix_parse(text, &p));
    return p;
}

/* --- keys ---------------------------------------------------------------------------------- */

/* A place for a secret key that others borrow: until so many more have been kept. */
static inline const uint8_t *test_keep_key(const void *key)
{
    static uint8_t kept[256][32];
    static size_t n;
    uint8_t *place = kept[n++ % 256];
    memcpy(place, key, 32);
    return place;
}
