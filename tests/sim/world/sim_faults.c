/* SPDX-License-Identifier: MIT */
#include "sim_faults.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    LIFE_S = 900, /* a copy that takes longer hangs */
};

/* The linker's wraps have no context, so this is the process's. The compiler takes it that no
 * allocator reads own, and would leave it out around one where it optimises. */
static struct {
    enum sim_fault kind;
    uint64_t first, n, failed;
    uint64_t calls[SIM_FAULT_KINDS];
    volatile unsigned machine, own;
    struct sim_places places; /* of a sweep; step 0: there is none */
    uint64_t length;          /* of each of its faults */
    bool is_copy, stopped;
    unsigned bad;
} faults;

static const char *const names[] = {"alloc", "send", "store", "stream", "short"};

const char *sim_fault_name(enum sim_fault kind)
{
    return names[kind];
}

void sim_faults_plan(enum sim_fault kind, uint64_t first, uint64_t n)
{
    faults.kind = kind;
    faults.first = first;
    faults.n = n;
    faults.failed = 0;
    faults.places.step = 0;
    faults.stopped = false;
    memset(faults.calls, 0, sizeof(faults.calls));
}

void sim_faults_sweep(enum sim_fault kind, const struct sim_places *places, uint64_t n)
{
    sim_faults_plan(kind, 0, 0);
    faults.places = *places;
    faults.length = n;
    faults.bad = 0;
}

void sim_faults_stop(void)
{
    faults.n = 0;
    faults.places.step = 0;
    faults.stopped = true;
}

void sim_faults_end(bool well)
{
    if (faults.is_copy)
        exit(well ? 0 : 1); /* where LeakSanitizer is it looks for leaks */
}

unsigned sim_faults_bad(void)
{
    return faults.bad;
}

static bool is_place(uint64_t call)
{
    const struct sim_places *p = &faults.places;
    return p->step > 0 && call >= p->first && call <= p->last && (call - p->first) % p->step == 0;
}

/* In a copy the plan is set; the original waits for it. */
static void fail_in_a_copy(uint64_t call)
{
    int status = 0;
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        abort();
    if (pid == 0) {
        alarm(LIFE_S);
        faults.is_copy = true;
        faults.places.step = 0;
        faults.first = call;
        faults.n = faults.length;
        return;
    }
    if (waitpid(pid, &status, 0) != pid)
        abort();
    if (status == 0)
        return;
    faults.bad++;
    printf("PV_FAULT=%s:%llu:%llu scripts/test sim/faults\n", names[faults.kind],
           (unsigned long long)call, (unsigned long long)faults.length);
    fflush(stdout);
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
    if (faults.stopped)
        return false;
    uint64_t call = ++faults.calls[kind];
    if (kind == faults.kind && is_place(call))
        fail_in_a_copy(call);
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
