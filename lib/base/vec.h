/* SPDX-License-Identifier: MIT */
/*
 * vec.h - arrays that grow by doubling. The owner keeps the array, how many items it has and for
 * how many there is room, and says its own limit.
 */
#pragma once

#include <stdlib.h>

#include "base/pv.h"

/* Makes room for one more item after the n items of an array that has room for *cap items of size
 * bytes. first (> 0): room to allocate at first. Returns the array, which may have moved, and
 * updates *cap; NULL without memory: the old array is unchanged. Inline, so that a test can make
 * malloc() fail. */
static inline void *pv_vec_room(void *array, size_t n, size_t *cap, size_t first, size_t size)
{
    if (n < *cap)
        return array;
    size_t more = *cap == 0 ? first : 2 * *cap;
    void *larger = reallocarray(array, more, size);
    if (larger != NULL)
        *cap = more;
    return larger;
}
