/* SPDX-License-Identifier: MIT */
/*
 * shown.h - the transcript of a test program: the texts that its tests are given, and those that
 * they show. test.c calls these functions; a test uses test_given() and assert_shows() of test.h.
 *
 * The transcript of tests/unit/X/test_Y.c is tests/transcripts/X/test_Y.txt:
 *
 *     << label                a text that the tests are given; scripts/transcripts keeps it
 *         its lines, behind four blanks
 *
 *     == a_test               what this test shows, in this order
 *     -- label
 *         its lines
 *
 * In a text \\ stands for \, \t for a tab, \xNN for another byte that is not printed, and \n for
 * the newline at the end of the text.
 */
#pragma once

#include <stdbool.h>

/* Loads the transcript that belongs to the source file of a test program. */
void test_shown_load(const char *source);

/* Forgets what test_shows_as() said, before the setup of a test. */
void test_shown_forget(void);

/* A test begins under this name. */
void test_shown_begin(const char *test);

/* The body of the test came to its end. Fails the test if its transcript has more. */
void test_shown_end(void);

/* All tests ran. Returns true unless the transcript has parts that no test uses. With
 * PV_TRANSCRIPTS=write it writes the transcript anew. all: every test came to its end. */
bool test_shown_finish(bool all);
