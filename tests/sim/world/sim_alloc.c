/* SPDX-License-Identifier: MIT */
/*
 * sim_alloc.c - what the linker puts in front of the allocator in a program whose machines shall
 * run out of memory (-Wl,--wrap=malloc and the others of tests/CMakeLists.txt). Libraries are
 * called as they are (jansson 2.14 ends the program by an assertion of its own when its buffer
 * cannot grow).
 */
#include <stdlib.h>
#include <string.h>

#include "sim_faults.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_reallocarray(void *p, size_t n, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t len);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t len);

/* Where AddressSanitizer is: says who did not get memory, when one fault is looked at. */
void __sanitizer_print_stack_trace(void) __attribute__((weak));

static bool fails(void)
{
    if (!sim_machine_runs() || !sim_fault(SIM_FAULT_ALLOC))
        return false;
    const char *wanted = getenv("PV_FAULT");
    if (wanted != NULL && strchr(wanted, '-') == NULL && __sanitizer_print_stack_trace != NULL)
        __sanitizer_print_stack_trace();
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return fails() ? NULL : __real_realloc(p, size);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
    return fails() ? NULL : __real_reallocarray(p, n, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : __real_aligned_alloc(alignment, size);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t len)
{
    return fails() ? NULL : __real_strndup(text, len);
}
