/* SPDX-License-Identifier: MIT */
/*
 * sim_faults.h - the n-th call fails: allocations of the machines, datagrams that the kernel does
 * not take, operations of stores. One plan a process; without one nothing fails.
 *
 * Allocations count only while a machine's code runs (sim_machine_enter()), and not those that the
 * simulator makes for itself meanwhile (sim_calloc() and its like). They fail in a program that is
 * linked with the wraps of sim_alloc.c (tests/CMakeLists.txt). Not thread-safe.
 */
#ifndef PV_SIM_FAULTS_H
#define PV_SIM_FAULTS_H

#include "base/pv.h"

enum sim_fault {
    SIM_FAULT_ALLOC,
    SIM_FAULT_SEND,
    SIM_FAULT_STORE,
    SIM_FAULT_KINDS,
};

/* Counts anew. Of this kind the calls first, first + 1, ... first + n - 1 fail, counted from 1; n =
 * 0: none. */
void sim_faults_plan(enum sim_fault kind, uint64_t first, uint64_t n);
/* Calls of this kind since then, and those of the planned kind that failed. */
uint64_t sim_faults_calls(enum sim_fault kind);
uint64_t sim_faults_failed(void);

/* One more call: does it fail? */
bool sim_fault(enum sim_fault kind);

/* A machine's code runs from here to there. Nests. */
void sim_machine_enter(void);
void sim_machine_leave(void);
/* What runs from here to there is the simulator's own. Nests. */
void sim_own_enter(void);
void sim_own_leave(void);
bool sim_machine_runs(void);

/* The simulator's own memory: never fails, but aborts. */
void *sim_calloc(size_t n, size_t size);
void *sim_realloc(void *p, size_t size);
void *sim_copy(const void *data, size_t len); /* one byte at least */

#endif /* PV_SIM_FAULTS_H */
