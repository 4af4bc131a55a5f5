/* SPDX-License-Identifier: MIT */
/*
 * test_util.h - what every unit test includes: cmocka with the headers it needs before it, the
 * teardown of every test, a seeded generator for struct pv_rng, and hex decoding for vectors.
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

/* --- teardown ------------------------------------------------------------------------------ */

enum {
    TEST_DEFERRED = 256
};

static struct test_deferred {
    void (*run)(void *);
    void *ctx;
} test_deferred[TEST_DEFERRED];
static size_t test_n_deferred;

/* Has run(ctx) called by the test's teardown, the last one first, also after a failed assertion.
 * The constructor of a test's world says so, and the body frees nothing. A failed assertion leaves
 * the frame of the body, so ctx must not lie in it: it is on the heap or static. */
static inline void test_defer(void (*run)(void *), void *ctx)
{
    assert_true(test_n_deferred < TEST_DEFERRED);
    test_deferred[test_n_deferred++] = (struct test_deferred){run, ctx};
}

/* Does now what was deferred for ctx. */
static inline void test_end(void *ctx)
{
    for (size_t i = test_n_deferred; i-- > 0;) {
        struct test_deferred d = test_deferred[i];
        if (d.ctx != ctx)
            continue;
        test_n_deferred--;
        memmove(&test_deferred[i], &test_deferred[i + 1], (test_n_deferred - i) * sizeof(d));
        d.run(ctx);
        return;
    }
    fail_msg("nothing was deferred for this");
}

static inline int test_teardown(void **state)
{
    (void)state;
    while (test_n_deferred > 0) {
        struct test_deferred d = test_deferred[--test_n_deferred];
        d.run(d.ctx);
    }
    return 0;
}

#undef cmocka_unit_test
#define cmocka_unit_test(f) cmocka_unit_test_teardown(f, test_teardown)

/* Whether a test of this program has failed: its body did not come to free what it had made. */
static int test_failures;

#undef cmocka_run_group_tests
#define cmocka_run_group_tests(tests, setup, teardown)                                          \
    (test_failures = _cmocka_run_group_tests(#tests, tests, sizeof(tests) / sizeof((tests)[0]), \
                                             setup, teardown))

/* LeakSanitizer asks the program whether to look at all; it is not told of a failed test's leaks,
 * which would only hide the assertion. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return test_failures != 0;
}

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

#endif /* PV_TEST_UTIL_H */
