/* SPDX-License-Identifier: MIT */
/*
 * saved.h - the named values that the store held at start, by name (PV_JOB_SET_META wrote them).
 * There are few, and they are read once.
 */
#pragma once

#include <string.h>

#include "base/bytes.h"
#include "daemon/core/node/config.h"

/* Of whatever length; empty: there is none. Borrows from saved. */
static inline struct pv_view pv_saved_value(const struct pv_saved *saved, const char *name)
{
    for (size_t i = 0; i < saved->n_meta; i++) {
        if (strcmp(saved->meta[i].name, name) == 0)
            return saved->meta[i].value;
    }
    return pv_view(NULL, 0);
}

/* A number of eight bytes, most significant first; 0: there is none, or it has another length,
 * which is damaged or of another version. */
static inline uint64_t pv_saved_u64(const struct pv_saved *saved, const char *name)
{
    struct pv_view v = pv_saved_value(saved, name);
    return v.len == 8 ? pv_load_be64(v.ptr) : 0;
}
