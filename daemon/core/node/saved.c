/* SPDX-License-Identifier: MIT */
/* saved.c - looks through what was stored; there are few values, and they are read once. */
#include "daemon/core/node/saved.h"

#include <string.h>

#include "base/bytes.h"

struct pv_view pv_saved_value(const struct pv_saved *saved, const char *name)
{
    for (size_t i = 0; i < saved->n_meta; i++) {
        if (strcmp(saved->meta[i].name, name) == 0)
            return saved->meta[i].value;
    }
    return pv_view(NULL, 0);
}

/* A value of another length is damaged or of another version, and counts as absent. */
uint64_t pv_saved_u64(const struct pv_saved *saved, const char *name)
{
    struct pv_view v = pv_saved_value(saved, name);
    return v.len == 8 ? pv_load_be64(v.ptr) : 0;
}
