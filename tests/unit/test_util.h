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

#include <stdatomic.h>
#include <stdbool.h>
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

static inline void test_end_down_to(size_t n)
{
    while (test_n_deferred > n) {
        struct test_deferred d = test_deferred[--test_n_deferred];
        d.run(d.ctx);
    }
}

/* Does all that was deferred. Every test ends with it; a teardown of its own may need it sooner. */
static inline int test_teardown(void **state)
{
    (void)state;
    test_end_down_to(0);
    return 0;
}

/* --- what a failed test leaves on the heap --------------------------------------------------- */

/* LeakSanitizer is not told of what a failed test had allocated: its body did not come to free it,
 * and a page of leaks would only hide the assertion. Leaks of the tests that passed are reported
 * all the same. Without AddressSanitizer these functions do not exist. */
int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t),
                                              void (*on_free)(const volatile void *))
    __attribute__((weak));
int __sanitizer_get_ownership(const volatile void *p) __attribute__((weak));
void __lsan_ignore_object(const void *p) __attribute__((weak));

enum {
    TEST_ALLOCATIONS = 1 << 16, /* of one test; what it allocates beyond them may be reported */
};

static const volatile void *test_allocated[TEST_ALLOCATIONS];
static _Atomic size_t test_n_allocated;

/* The hook: no lock and no allocation in here. */
static inline void test_note_allocation(const volatile void *p, size_t size)
{
    (void)size;
    size_t i = atomic_fetch_add_explicit(&test_n_allocated, 1, memory_order_relaxed);
    if (i < TEST_ALLOCATIONS)
        test_allocated[i] = p;
}

static inline void test_note_free(const volatile void *p)
{
    (void)p;
}

static inline void test_forget_allocations(void)
{
    size_t n = test_n_allocated;
    for (size_t i = 0; i < n && i < TEST_ALLOCATIONS; i++) {
        if (__sanitizer_get_ownership(test_allocated[i]))
            __lsan_ignore_object((const void *)(uintptr_t)test_allocated[i]);
    }
}

/* --- every test's setup, body and teardown --------------------------------------------------- */

struct test_hooks {
    CMUnitTestFunction body;
    CMFixtureFunction setup, teardown; /* or NULL */
};

static const struct test_hooks *test_hooks;
static size_t test_n_deferred_by_setup;
static bool test_is_whole = true; /* the body of the last test came to its end */

static inline void test_close(void)
{
    test_end_down_to(0);
    if (!test_is_whole && __lsan_ignore_object != NULL)
        test_forget_allocations();
    test_is_whole = true;
}

static inline int test_run_setup(void **state)
{
    static bool hooked;
    int rc = 0;
    test_close(); /* a setup that failed has no teardown */
    test_hooks = *state;
    *state = NULL;
    if (!hooked && __sanitizer_install_malloc_and_free_hooks != NULL)
        (void)__sanitizer_install_malloc_and_free_hooks(test_note_allocation, test_note_free);
    hooked = true;
    test_n_allocated = 0;
    test_is_whole = false;
    if (test_hooks->setup != NULL)
        rc = test_hooks->setup(state);
    test_n_deferred_by_setup = test_n_deferred;
    return rc;
}

static inline void test_run_body(void **state)
{
    test_hooks->body(state);
    test_is_whole = true;
}

/* What the body deferred ends first, then what the setup made. */
static inline int test_run_teardown(void **state)
{
    int rc = 0;
    test_end_down_to(test_n_deferred_by_setup);
    if (test_hooks->teardown != NULL)
        rc = test_hooks->teardown(state);
    test_close();
    return rc;
}

/* clang-format off */
#undef cmocka_unit_test_setup_teardown
#define cmocka_unit_test_setup_teardown(f, setup, teardown)  \
    {#f, test_run_body, test_run_setup, test_run_teardown,   \
     &(struct test_hooks){f, setup, teardown}}
/* clang-format on */

#undef cmocka_unit_test
#define cmocka_unit_test(f) cmocka_unit_test_setup_teardown(f, NULL, NULL)

static inline int test_run_group(const char *name, const struct CMUnitTest *tests, size_t n,
                                 CMFixtureFunction setup, CMFixtureFunction teardown)
{
    int rc = _cmocka_run_group_tests(name, tests, n, setup, teardown);
    test_close();
    return rc;
}

#undef cmocka_run_group_tests
#define cmocka_run_group_tests(tests, setup, teardown) \
    test_run_group(#tests, tests, sizeof(tests) / sizeof((tests)[0]), setup, teardown)

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
