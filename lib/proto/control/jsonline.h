/* SPDX-License-Identifier: MIT */
/*
 * jsonline.h - one JSON object from untrusted bytes, with limits that hold before anything is
 * allocated for it. No state; thread-safe.
 */
#pragma once

#include <jansson.h>

#include "base/pv.h"

/* The largest whole number that every JSON reader keeps exactly (RFC 8259 s6): the bound of ids. */
#define PV_JSONLINE_EXACT_MAX ((uint64_t)1 << 53)

/*
 * Parses text, which must be exactly one JSON object (blanks around it are fine, duplicate keys
 * and NUL are not) nested at most max_depth deep with at most max_values commas and opening
 * brackets. *ret_obj is a new reference.
 * PV_ERR_MALFORMED, PV_ERR_LIMIT (too deep, too many values), PV_ERR_NOMEM.
 */
PV_MUST_CHECK int pv_jsonline_parse(struct pv_view text, unsigned max_depth, size_t max_values,
                                    json_t **ret_obj);

/* A whole number field in [min, max]. PV_ERR_NOT_FOUND when absent or null, PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_jsonline_u64(const json_t *obj, const char *key, uint64_t min, uint64_t max,
                                  uint64_t *ret_value);

/* Adds value, which is the object's or the list's from then on. NULL, for want of memory, makes
 * *obj NULL, to which nothing can be added: callers look once, at the end. */
void pv_jsonline_set(json_t **obj, const char *key, json_t *value);
void pv_jsonline_add(json_t **list, json_t *value);
