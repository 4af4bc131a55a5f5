/* SPDX-License-Identifier: MIT */
/* stack_memory.c - malloc() with a count and a limit, and what else lwIP asks of its process. */
#include "sys/stack/stack_memory.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "sys/stack/lwipopts.h"

static size_t used;

size_t pv_stack_memory(void)
{
    return used;
}

static void *stack_counted(void *ptr)
{
    if (ptr != NULL)
        used += malloc_usable_size(ptr);
    return ptr;
}

void *pv_stack_malloc(size_t size)
{
    return used + size > PV_STACK_MEMORY ? NULL : stack_counted(malloc(size));
}

void *pv_stack_calloc(size_t n, size_t size)
{
    return used + n * size > PV_STACK_MEMORY ? NULL : stack_counted(calloc(n, size));
}

void pv_stack_release(void *ptr)
{
    if (ptr != NULL)
        used -= malloc_usable_size(ptr);
    free(ptr);
}

void pv_stack_assertion_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "lwIP: assertion \"%s\" failed at %s:%d\n", what, file, line);
    abort();
}
