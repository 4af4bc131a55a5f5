/* SPDX-License-Identifier: MIT */
#include "sim_faults.h"

#include <stdlib.h>
#include <string.h>

/* The linker's wraps have no context, so this is the process's. The compiler takes it that no
 * allocator reads own, and would leave it out around one where it optimises. */
static struct {
    enum sim_fault kind;
    uint64_t first, n, failed;
    uint64_t calls[SIM_FAULT_KINDS];
    volatile unsigned machine, own;
} faults;

void sim_faults_plan(enum sim_fault kind, uint64_t first, uint64_t n)
{
    faults.kind = kind;
    faults.first = first;
    faults.n = n;
    faults.failed = 0;
    memset(faults.calls, 0, sizeof(faults.calls));
}

uint64_t sim_faults_calls(enum sim_fault kind)
{
    return faults.calls[kind];
}

uint64_t sim_faults_failed(void)
{
    return faults.failed;
}

bool sim_fault(enum sim_fault kind)
{
    uint64_t call = ++faults.calls[kind];
    bool fails = kind == faults.kind && call >= faults.first && call - faults.first < faults.n;
    faults.failed += fails;
    return fails;
}

void sim_machine_enter(void)
{
    faults.machine++;
}

void sim_machine_leave(void)
{
    faults.machine--;
}

void sim_own_enter(void)
{
    faults.own++;
}

void sim_own_leave(void)
{
    faults.own--;
}

bool sim_machine_runs(void)
{
    return faults.machine > 0 && faults.own == 0;
}

static void *must(void *p)
{
    sim_own_leave();
    if (p == NULL)
        abort();
    return p;
}

void *sim_calloc(size_t n, size_t size)
{
    sim_own_enter();
    return must(calloc(n, size));
}

void *sim_realloc(void *p, size_t size)
{
    sim_own_enter();
    return must(realloc(p, size));
}

void *sim_copy(const void *data, size_t len)
{
    void *copy = sim_calloc(1, len == 0 ? 1 : len);
    if (len > 0)
        memcpy(copy, data, len);
    return copy;
}
