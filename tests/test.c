/* SPDX-License-Identifier: MIT */
/*
 * test.c - runs the tests of a program: each with its setup, what it deferred, its teardown, and
 * without a word of LeakSanitizer about what a failed one left.
 */
#include "tests/test.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/shown.h"

/* --- teardown ------------------------------------------------------------------------------ */

enum {
    TEST_DEFERRED = 256
};

static struct test_deferred {
    void (*run)(void *);
    void *ctx;
} test_deferred[TEST_DEFERRED];
static size_t test_n_deferred;

void test_defer(void (*run)(void *), void *ctx)
{
    assert_true(test_n_deferred < TEST_DEFERRED);
    test_deferred[test_n_deferred++] = (struct test_deferred){run, ctx};
}

void test_end(void *ctx)
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

static void test_end_down_to(size_t n)
{
    while (test_n_deferred > n) {
        struct test_deferred d = test_deferred[--test_n_deferred];
        d.run(d.ctx);
    }
}

int test_teardown(void **state)
{
    test_end_down_to(0);
    return 0;
}

/* --- what most tests say --------------------------------------------------------------------- */

bool test_takes_all(void)
{
    const char *value = getenv("PV_TEST_WHOLE");
    return value == NULL || strcmp(value, "0") != 0;
}

bool test_has(const char *text, const char *part)
{
    for (;; text++) {
        size_t n = 0;
        while (part[n] != '\0' && (text[n] == part[n] || (part[n] == '\'' && text[n] == '"')))
            n++;
        if (part[n] == '\0')
            return true;
        if (*text == '\0')
            return false;
    }
}

void test_find_in(const char *text, const char *part, bool is_there, const char *file, int line)
{
    if (text != NULL && test_has(text, part) == is_there)
        return;
    print_error("%s \"%s\" in: %s\n", is_there ? "no" : "there is", part, text);
    _fail(file, line);
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
static void test_note_allocation(const volatile void *p, size_t size)
{
    size_t i = atomic_fetch_add_explicit(&test_n_allocated, 1, memory_order_relaxed);
    if (i < TEST_ALLOCATIONS)
        test_allocated[i] = p;
}

static void test_note_free(const volatile void *p)
{
}

static void test_forget_allocations(void)
{
    size_t n = test_n_allocated;
    for (size_t i = 0; i < n && i < TEST_ALLOCATIONS; i++) {
        if (__sanitizer_get_ownership(test_allocated[i]))
            __lsan_ignore_object((const void *)(uintptr_t)test_allocated[i]);
    }
}

/* --- every test's setup, body and teardown --------------------------------------------------- */

/* One run of a body, in one world. */
struct test_run {
    const char *name;
    CMUnitTestFunction body;
    const struct test_world *world;
};

static const struct test_run *test_now;
static size_t test_n_deferred_by_setup;
static size_t test_n_ended;       /* tests that came to their end */
static bool test_is_whole = true; /* the body of the last test came to its end */

static void test_close(void)
{
    test_end_down_to(0);
    if (!test_is_whole && __lsan_ignore_object != NULL)
        test_forget_allocations();
    test_is_whole = true;
}

static int test_run_setup(void **state)
{
    static bool hooked;
    int rc = 0;
    test_close(); /* a setup that failed has no teardown */
    test_shown_forget();
    test_now = *state;
    *state = NULL;
    if (!hooked && __sanitizer_install_malloc_and_free_hooks != NULL)
        (void)__sanitizer_install_malloc_and_free_hooks(test_note_allocation, test_note_free);
    hooked = true;
    test_n_allocated = 0;
    test_is_whole = false;
    if (test_now->world->setup != NULL)
        rc = test_now->world->setup(state);
    test_n_deferred_by_setup = test_n_deferred;
    return rc;
}

static void test_run_body(void **state)
{
    test_shown_begin(test_now->name);
    test_now->body(state);
    test_shown_end();
    test_is_whole = true;
    test_n_ended++;
}

/* The things that the body deferred end first, then those that the setup made. */
static int test_run_teardown(void **state)
{
    int rc = 0;
    test_end_down_to(test_n_deferred_by_setup);
    if (test_now->world->teardown != NULL)
        rc = test_now->world->teardown(state);
    test_close();
    return rc;
}

/* --- the tests of a program ------------------------------------------------------------------ */

enum {
    TEST_MAX = 256, /* of one program; no allocation, for some count those of their tests */
};

static struct test *test_first;

/* Constructors may run in any order. */
void test_register(struct test *t)
{
    struct test **at = &test_first;
    while (*at != NULL && (*at)->number < t->number)
        at = &(*at)->next;
    t->next = *at;
    *at = t;
}

/* The name of a test's run in a world that has one. */
static const char *test_name_in(const char *test, const char *world)
{
    static char names[32 * TEST_MAX];
    static size_t used;
    size_t room = sizeof(names) - used;
    int n = snprintf(names + used, room, "%s, %s", test, world);
    if (n < 0 || (size_t)n >= room)
        return test;
    used += (size_t)n + 1;
    return names + used - (size_t)n - 1;
}

static int test_run_before(void **state)
{
    if (test_before_each != NULL)
        test_before_each();
    return 0;
}

static int test_run_after(void **state)
{
    if (test_after_each != NULL)
        test_after_each();
    return 0;
}

bool test_run_all(void)
{
    static const struct test_world plain = {NULL, test_run_before, test_run_after};
    static struct test_run runs[TEST_MAX];
    static struct CMUnitTest tests[TEST_MAX];
    size_t n = 0;
    if (test_first != NULL)
        test_shown_load(test_first->source);
    if (test_begin != NULL)
        test_begin(); /* may use the transcript */
    for (const struct test *t = test_first; t != NULL; t = t->next) {
        const struct test_world *worlds = t->worlds;
        size_t n_worlds = t->n_worlds;
        if (worlds == NULL) {
            worlds = &test_n_worlds == NULL ? &plain : test_worlds;
            n_worlds = &test_n_worlds == NULL ? 1 : test_n_worlds;
        }
        for (size_t i = 0; i < n_worlds; i++, n++) {
            const char *name =
                worlds[i].name == NULL ? t->name : test_name_in(t->name, worlds[i].name);
            if (n == TEST_MAX) {
                fprintf(stderr, "more than %d tests in one program\n", TEST_MAX);
                return false;
            }
            runs[n] = (struct test_run){name, t->body, &worlds[i]};
            tests[n] = (struct CMUnitTest){name, test_run_body, test_run_setup, test_run_teardown,
                                           &runs[n]};
        }
    }
    bool good = _cmocka_run_group_tests("tests", tests, n, NULL, NULL) == 0;
    test_close();
    good = test_shown_finish(test_n_ended == n) && good;
    if (test_done != NULL)
        test_done();
    return good;
}

void test_skip_all(const char *why)
{
    printf("skipped: %s\n", why);
    exit(77);
}
