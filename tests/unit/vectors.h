/* SPDX-License-Identifier: MIT */
/*
 * vectors.h - reads tests/vectors/NAME: lines "field=hex"; blank lines and lines with # are
 * skipped.
 */
#pragma once

#include "test_util.h"

enum {
    TEST_VECTOR_MAX = 2048, /* bytes of one field */
};

struct test_vector {
    uint8_t ptr[TEST_VECTOR_MAX];
    size_t len;
};

/* The field of that file; the test fails when it is absent. */
static inline struct test_vector test_vector(const char *file, const char *field)
{
    char path[512];
    char line[2 * TEST_VECTOR_MAX + 128];
    struct test_vector v = {.len = 0};
    bool found = false;
    size_t n = strlen(field);

    (void)snprintf(path, sizeof(path), "%s/%s", PV_TEST_DATA, file);
    FILE *f = fopen(path, "r");
    if (f == NULL)
        fail_msg("cannot open %s", path);
    while (!found && f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (line[0] == '#' || strncmp(line, field, n) != 0 || line[n] != '=')
            continue;
        v.len = test_unhex(line + n + 1, v.ptr, sizeof(v.ptr));
        found = true;
    }
    if (f != NULL)
        fclose(f);
    if (!found)
        fail_msg("%s has no %s", file, field);
    return v;
}

static inline struct pv_view test_vector_view(const struct test_vector *v)
{
    return pv_view(v->ptr, v->len);
}
