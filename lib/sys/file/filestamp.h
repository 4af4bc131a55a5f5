/* SPDX-License-Identifier: MIT */
/*
 * filestamp.h - tells one version of a file from another.
 */
#ifndef PV_FILESTAMP_H
#define PV_FILESTAMP_H

#include <sys/types.h>

#include "base/pv.h"

/* Another stamp: the file has changed. Zero for a file that is missing. */
struct pv_filestamp {
    ino_t inode;
    off_t size;
    int64_t mtime_ns;
};

struct pv_filestamp pv_filestamp_of(const char *file);
PV_MUST_CHECK bool pv_filestamp_equal(const struct pv_filestamp *a, const struct pv_filestamp *b);

#endif /* PV_FILESTAMP_H */
