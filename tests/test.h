/* SPDX-License-Identifier: MIT */
/*
 * test.h - the frame of every test program. A test is
 *
 *     PV_TEST(a_sentence_that_says_what_is_promised)
 *     {
 *         ...
 *     }
 *
 * and needs no table: main.c runs the tests of a program in the order in which they are defined,
 * each with the teardown below. `state` is what the test's setup made, or NULL. A program runs
 * those of its tests alone whose names fit its argument, in which * stands for anything.
 */
#pragma once

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdbool.h>

#include "base/pv.h"

/* --- what a program has -------------------------------------------------------------------- */

/* The world that a test starts in: setup(&state) before it, teardown(&state) behind it; both may be
 * NULL. The name stands behind that of the test when it runs in several. */
struct test_world {
    const char *name;
    CMFixtureFunction setup, teardown;
};

struct test {
    const char *name;
    CMUnitTestFunction body;
    const struct test_world *worlds; /* NULL: those of the program */
    size_t n_worlds;
    int number;         /* grows in the order of definition */
    const char *source; /* the file of its program */
    struct test *next;  /* the frame's */
};

/* The frame's: PV_TEST() calls it before main(). */
void test_register(struct test *t);

#define PV_TEST_AS(name, worlds, n)                                                           \
    static void name(void **state);                                                           \
    static struct test name##_test = {#name, name, worlds, n, __COUNTER__, __BASE_FILE__, 0}; \
    __attribute__((constructor)) static void name##_is_there(void)                            \
    {                                                                                         \
        test_register(&name##_test);                                                          \
    }                                                                                         \
    static void name(__attribute__((unused)) void **state)

/* A test; in the world of the program, where it says one, and in each where it says several. */
#define PV_TEST(name) PV_TEST_AS(name, NULL, 0)

/* A test in a world of its own. */
#define PV_TEST_IN(name, setup, teardown) \
    PV_TEST_AS(name, (&(struct test_world){NULL, setup, teardown}), 1)

/* A test that runs in each world of an array. */
#define PV_TEST_EACH(name, worlds) PV_TEST_AS(name, worlds, sizeof(worlds) / sizeof((worlds)[0]))

/* A program that has them does the one before and the other behind each PV_TEST() of its own; they
 * may fail by an assertion. */
void test_before_each(void) __attribute__((weak));
void test_after_each(void) __attribute__((weak));

/* Where these have more to say: the world of every PV_TEST() of this program, or all of these:
 * {name, setup, teardown}, ... */
#define PV_TEST_WORLD(setup, teardown) PV_TEST_WORLDS({NULL, setup, teardown})
#define PV_TEST_WORLDS(...)                                \
    const struct test_world test_worlds[] = {__VA_ARGS__}; \
    const size_t test_n_worlds = sizeof(test_worlds) / sizeof(test_worlds[0])
extern const struct test_world test_worlds[] __attribute__((weak));
extern const size_t test_n_worlds __attribute__((weak));

/* A program that has them does the one before its first test and the other behind its last.
 * libsodium is ready by then. */
void test_begin(void) __attribute__((weak));
void test_done(void) __attribute__((weak));

/* For test_begin(), where this machine cannot run any of the tests: says why, and ends the program
 * with what ctest takes for a skip (77). */
void test_skip_all(const char *why) __attribute__((noreturn));

/* --- teardown ------------------------------------------------------------------------------ */

/* Has run(ctx) called by the test's teardown, the last one first, also after a failed assertion.
 * The constructor of a test's world says so, and the body frees nothing. A failed assertion leaves
 * the frame of the body, so ctx must not lie in it: it is on the heap or static. */
void test_defer(void (*run)(void *), void *ctx);

/* Does now what was deferred for ctx. */
void test_end(void *ctx);

/* Does all that was deferred. Every test ends with it; a teardown of its own may need it sooner. */
int test_teardown(void **state);

/* Whether a test takes all of what it draws from, as it does unless PV_TEST_WHOLE=0; else as much
 * of it as notices most mistakes: scripts/test says so, whose time is limited. */
bool test_takes_all(void);

/* A test that takes seconds and seldom finds what others do not: skipped unless test_takes_all().
 */
#define PV_TEST_WHOLE(name)         \
    static void name##_whole(void); \
    PV_TEST(name)                   \
    {                               \
        if (!test_takes_all())      \
            skip();                 \
        name##_whole();             \
    }                               \
    static void name##_whole(void)

/* --- what most tests say --------------------------------------------------------------------- */

/* A function of ours did it. */
#define assert_ok(status) assert_int_equal(status, PV_OK)

/* Whether the text has this in it. A ' of the part stands for a " as well, so that JSON needs no
 * backslashes. */
bool test_has(const char *text, const char *part);

/* The text has it, or has it not; a failure shows both. */
#define assert_has(text, part)   test_find_in(text, part, true, __FILE__, __LINE__)
#define assert_lacks(text, part) test_find_in(text, part, false, __FILE__, __LINE__)

/* --- texts that stand in the program's transcript -------------------------------------------- */

/* The text is what the transcript of this program has next for this test, under this label. A test
 * shows a sentence instead of repeating it, and `scripts/transcripts` writes the transcript anew. A
 * text has neither times nor random bytes, and a test shows it by its own thread. */
#define assert_shows(label, text) test_shows(label, text, __FILE__, __LINE__)

/* In what this test shows `to` stands for `from`: a directory, a port. A setup may say so, too. */
void test_shows_as(const char *from, const char *to);

/* A text that the transcript has for the tests of this program under "<< label". */
const char *test_given(const char *label);

/* Splits such a text: at its empty lines if it has any, otherwise at its newlines. */
const char *const *test_given_parts(const char *label, size_t *ret_n);

/* Such a text with a string in place of each of its %s. It is valid until the next call with this
 * label. */
#define test_given_with(label, ...) test_fill(label, (const char *const[]){__VA_ARGS__, NULL})

/* --- the frame's own --------------------------------------------------------------------- */

const char *test_fill(const char *label, const char *const *with);
void test_shows(const char *label, const char *text, const char *source, int line);
void test_find_in(const char *text, const char *part, bool is_there, const char *file, int line);

/* Runs test_begin(), every test and test_done(). Returns true if all tests passed. */
bool test_run_all(void);
