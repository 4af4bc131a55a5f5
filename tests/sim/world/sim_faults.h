/* SPDX-License-Identifier: MIT */
/*
 * sim_faults.h - the n-th call fails: allocations of the machines, datagrams that the kernel does
 * not take, operations of stores, writes to streams. One plan a process; without one nothing fails.
 *
 * Allocations count only while a machine's code runs (sim_machine_enter()), and not those that the
 * simulator makes for itself meanwhile (sim_calloc() and its like). They fail in a program that is
 * linked with the wraps of sim_alloc.c (tests/CMakeLists.txt). Not thread-safe.
 */
#pragma once

#include "base/pv.h"

enum sim_fault {
    SIM_FAULT_ALLOC,
    SIM_FAULT_SEND,
    SIM_FAULT_STORE,
    SIM_FAULT_STREAM, /* a write finds the stream reset */
    SIM_FAULT_SHORT,  /* a write takes half, and no more for a while */
    SIM_FAULT_KINDS,
};

/* Which calls: first, first + step, ... up to last. */
struct sim_places {
    uint64_t first, last, step;
};

/* Counts anew. Of this kind the calls first, first + 1, ... first + n - 1 fail, counted from 1; n =
 * 0: none. */
void sim_faults_plan(enum sim_fault kind, uint64_t first, uint64_t n);
/* Counts anew. At each of these places a copy of this process goes on in which that call and the
 * next ones fail, n in all; then this one goes on, in which none does. Copies share what came
 * before their place, so that a sweep costs half of as many lives, and one that crashes ends no
 * other. */
void sim_faults_sweep(enum sim_fault kind, const struct sim_places *places, uint64_t n);
/* No more faults from here on; calls go on counting nothing. */
void sim_faults_stop(void);
/* The end of a life: a copy ends here. */
void sim_faults_end(bool well);
/* How many copies did not end well. The place of each has been printed. */
unsigned sim_faults_bad(void);
const char *sim_fault_name(enum sim_fault kind);
/* Calls of this kind since then, and those of the planned kind that failed. */
uint64_t sim_faults_calls(enum sim_fault kind);
uint64_t sim_faults_failed(void);

/* One more call: does it fail? */
bool sim_fault(enum sim_fault kind);

/* A machine's code runs from here to there. Nests. */
void sim_machine_enter(void);
void sim_machine_leave(void);
/* The code that runs from here to there is the simulator's own. Nests. */
void sim_own_enter(void);
void sim_own_leave(void);
bool sim_machine_runs(void);

/* The simulator's own memory: never fails, but aborts. */
void *sim_calloc(size_t n, size_t size);
void *sim_realloc(void *p, size_t size);
void *sim_copy(const void *data, size_t len); /* one byte at least */
