/* SPDX-License-Identifier: MIT */
/*
 * heap.h - deadline heap: which child machine must be called next, and when.
 *
 * Intrusive: a node lives inside the thing it times; the heap keeps an array of pointers to nodes.
 * O(log n) to set, O(1) to look. Ties are broken by insertion order of the last set, so that a
 * simulation is repeatable. Not thread-safe.
 */
#pragma once

#include "base/pv.h"

struct pv_heap_node {
    pv_ns when;     /* PV_NEVER while not in the heap */
    uint64_t order; /* tie-breaker */
    size_t pos;     /* index + 1 in the heap, 0 = not in it; a zeroed node is valid */
};

struct pv_heap {
    struct pv_heap_node **nodes; /* owned array of borrowed pointers */
    size_t len;
    size_t cap;
    uint64_t next_order;
};

void pv_heap_init(struct pv_heap *heap);
void pv_heap_done(struct pv_heap *heap);
/* Makes room for one more node, so that the next pv_heap_set() of a new node cannot fail.
 * Call once when a child is created. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_heap_reserve(struct pv_heap *heap, size_t n_nodes);
/* Sets or moves the deadline; PV_NEVER takes the node out. A node that is given its present
 * deadline keeps its place among equals. pv_heap_reserve() must have made room for the node. */
void pv_heap_set(struct pv_heap *heap, struct pv_heap_node *node, pv_ns when);
/* The earliest deadline, PV_NEVER when empty. */
pv_ns pv_heap_next(const struct pv_heap *heap);
/* Takes out and returns the earliest node if its deadline is <= now; NULL: none is due. */
struct pv_heap_node *pv_heap_pop_due(struct pv_heap *heap, pv_ns now);

/* The struct that contains a node. */
#define PV_CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
