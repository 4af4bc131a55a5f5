/* SPDX-License-Identifier: MIT */
/*
 * counts.h - what a test's world has counted, compared with one line of text:
 *
 *     static const struct test_count COUNTS[] = {TEST_COUNT(world, n_opened, "opened"), ...};
 *     #define expect(text) assert_counts(COUNTS, w, 1, text)
 *
 *     expect("opened 3, closed 2");
 *
 * Of an array of objects the text has a value for each, or one that holds for all: "sent 2 0, done
 * 1". A value is a number, a range (5..6), one of the words of the row, or - where it does not
 * matter. Counts that the text does not name are not looked at.
 */
#pragma once

#include "tests/unit/test_util.h"

struct test_count {
    const char *name;
    size_t at, size, stride;  /* of the field, and of the objects */
    const char *const *words; /* by value, NULL behind the last; NULL: there are none */
};

#define TEST_COUNT_WORDS(type, field, name, words)                             \
    {                                                                          \
        name, offsetof(struct type, field), sizeof(((struct type *)0)->field), \
            sizeof(struct type), words                                         \
    }
#define TEST_COUNT(type, field, name) TEST_COUNT_WORDS(type, field, name, NULL)

static const char *const TEST_NO_YES[] = {"no", "yes", NULL};

/* Compares n objects, the first at `objects`. */
#define assert_counts(rows, objects, n, text)                                               \
    test_compare_counts(&(struct test_counted){rows, PV_ARRAY_LEN(rows), objects, n}, text, \
                        __FILE__, __LINE__)

struct test_counted {
    const struct test_count *rows;
    size_t n_rows;
    const void *objects;
    size_t n;
};

static inline uint64_t test_count_value(const struct test_count *row, const void *object)
{
    const uint8_t *at = (const uint8_t *)object + row->at;
    uint64_t v64;
    uint32_t v32;
    switch (row->size) {
    case 1:
        return *at;
    case sizeof(v32):
        memcpy(&v32, at, sizeof(v32));
        return v32;
    default:
        assert_int_equal(row->size, sizeof(v64));
        memcpy(&v64, at, sizeof(v64));
        return v64;
    }
}

/* Whether the value is what this word wants; a word that means nothing wants no value. */
static inline bool test_count_fits(const struct test_count *row, uint64_t value, const char *want)
{
    char *end;
    for (uint64_t i = 0; row->words != NULL && row->words[i] != NULL; i++)
        if (strcmp(row->words[i], want) == 0)
            return value == i;
    if (strcmp(want, "-") == 0)
        return true;
    uint64_t least = strtoull(want, &end, 10), most = least;
    if (strncmp(end, "..", 2) == 0)
        most = strtoull(end + 2, &end, 10);
    return end != want && *end == '\0' && value >= least && value <= most;
}

/* The next word of the text goes to `word`; false at a comma and at the end. */
static inline bool test_count_word(const char **text, char word[static 32])
{
    *text += strspn(*text, " ");
    size_t len = strcspn(*text, " ,");
    assert_in_range(len, 0, 31);
    memcpy(word, *text, len);
    word[len] = '\0';
    *text += len;
    return len > 0;
}

static inline const struct test_count *test_count_row(const struct test_counted *c,
                                                      const char *name)
{
    for (size_t i = 0; i < c->n_rows; i++)
        if (strcmp(c->rows[i].name, name) == 0)
            return &c->rows[i];
    return NULL;
}

static inline void test_compare_counts(const struct test_counted *c, const char *text,
                                       const char *file, int line)
{
    const char *at = text;
    char name[32], want[32], next[32];
    for (; test_count_word(&at, name); at += *at == ',') {
        const struct test_count *row = test_count_row(c, name);
        if (row == NULL || !test_count_word(&at, want)) {
            print_error("no count \"%s\", or \"%s\" lacks its value\n", name, text);
            _fail(file, line);
        }
        for (size_t i = 0; i < c->n; i++) {
            uint64_t value = test_count_value(row, (const uint8_t *)c->objects + i * row->stride);
            if (!test_count_fits(row, value, want)) {
                print_error("%s of object %zu is %llu, not as in \"%s\"\n", name, i,
                            (unsigned long long)value, text);
                _fail(file, line);
            }
            if (i + 1 < c->n && test_count_word(&at, next))
                memcpy(want, next, sizeof(want));
        }
        at += strspn(at, " ");
        if (*at != ',' && *at != '\0')
            break;
    }
    if (*at != '\0') {
        print_error("\"%s\" is not NAME VALUE..., NAME VALUE...\n", text);
        _fail(file, line);
    }
}
