/* SPDX-License-Identifier: MIT */
/* heap_use.h - how many bytes of the heap are in use, for tests of what a thing costs. */
#pragma once

#include <malloc.h>
#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
size_t __sanitizer_get_current_allocated_bytes(void); /* of libasan; gcc has no header for it */
#endif

static inline size_t heap_use(void)
{
#if defined(__SANITIZE_ADDRESS__)
    return __sanitizer_get_current_allocated_bytes();
#else
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
#endif
}
