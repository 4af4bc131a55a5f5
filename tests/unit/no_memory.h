/* SPDX-License-Identifier: MIT */
/*
 * no_memory.h - allocations that a test has fail: those of the sources that it includes between
 * this and memory_again.h.
 */
#pragma once

#include <stdbool.h>
#include <stdlib.h>

static unsigned countdown; /* 0 = never fail; else the allocation that fails, counted down */
static unsigned n_allocs;  /* so far */
static bool no_memory;     /* every one fails */

static inline bool fails(void)
{
    n_allocs++;
    return no_memory || (countdown > 0 && --countdown == 0);
}

static inline void *try_malloc(size_t n)
{
    return fails() ? NULL : malloc(n);
}

static inline void *try_calloc(size_t n, size_t size)
{
    return fails() ? NULL : calloc(n, size);
}

static inline void *try_realloc(void *p, size_t n)
{
    return fails() ? NULL : realloc(p, n);
}

static inline void *try_reallocarray(void *p, size_t n, size_t size)
{
    return fails() ? NULL : reallocarray(p, n, size);
}

static inline void *try_aligned_alloc(size_t align, size_t n)
{
    return fails() ? NULL : aligned_alloc(align, n);
}

#define malloc        try_malloc
#define calloc        try_calloc
#define realloc       try_realloc
#define reallocarray  try_reallocarray
#define aligned_alloc try_aligned_alloc
