/* SPDX-License-Identifier: MIT */
/*
 * vec.h - arrays that grow by doubling. The owner keeps the array, how many items it has and for
 * how many there is room, and says its own limit.
 */
#pragma once

#include <stdlib.h>

#include "base/pv.h"

/* Room for one more behind the n items of an array with room for *cap, of size bytes each; first, >
 * 0: how many it has room for at first. Returns the array, which may have moved, with *cap adapted;
 * NULL without memory: the old one is there as it was. Here, so that a test can have memory fail.
 */
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
