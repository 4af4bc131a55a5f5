/* SPDX-License-Identifier: MIT */
/*
 * jsonread.h - reading JSON that another program wrote: fields by name, and going through a list.
 * A field that is missing or of another type is as if it were not there, so that no reader needs a
 * case of its own for it.
 */
#pragma once

#include <stdbool.h>
#include <string.h>

#include <jansson.h>

static inline const char *pv_json_text(const json_t *obj, const char *key, const char *missing)
{
    const char *text = json_string_value(json_object_get(obj, key));
    return text == NULL ? missing : text;
}

static inline double pv_json_real(const json_t *obj, const char *key, double missing)
{
    const json_t *v = json_object_get(obj, key);
    return json_is_number(v) ? json_number_value(v) : missing;
}

/* A whole number; 0: there is none. */
static inline json_int_t pv_json_int(const json_t *obj, const char *key)
{
    return json_integer_value(json_object_get(obj, key));
}

/* Returns true if the field is there and true. */
static inline bool pv_json_bool(const json_t *obj, const char *key)
{
    return json_is_true(json_object_get(obj, key));
}

/* Is it this word? */
static inline bool pv_json_is(const json_t *obj, const char *key, const char *word)
{
    return strcmp(pv_json_text(obj, key, ""), word) == 0;
}

/* Returns the text of a list's element, or "?" if the element is no text. */
static inline const char *pv_json_string(const json_t *element)
{
    const char *text = json_string_value(element);
    return text == NULL ? "?" : text;
}

/* Runs the block for each element x of a list, with x_i as its index; not at all if list is no
 * list. The outer loop runs once to declare the index, and "break" ends both. */
#define PV_EACH_JSON(list, x)                                         \
    for (size_t x##_i = 0, x##_once = 1; x##_once == 1; x##_once = 0) \
        for (json_t * x; (x = json_array_get(list, x##_i)) != NULL; x##_i++)
