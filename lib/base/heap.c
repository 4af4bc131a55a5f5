/* SPDX-License-Identifier: MIT */
/*
 * heap.c - a binary heap of deadlines. Nodes know their position, so a deadline can be moved or
 * removed without a search; every change of the array goes through put_at(), which keeps both in
 * agreement.
 */
#include "base/heap.h"

#include <stdlib.h>

void pv_heap_init(struct pv_heap *heap)
{
    *heap = (struct pv_heap){.nodes = NULL};
}

void pv_heap_done(struct pv_heap *heap)
{
    free(heap->nodes);
    *heap = (struct pv_heap){.nodes = NULL};
}

/* Reserving is apart from setting, so that setting a deadline cannot fail: machines re-key
 * themselves in places where no error could be handled. */
int pv_heap_reserve(struct pv_heap *heap, size_t n_nodes)
{
    if (n_nodes <= heap->cap)
        return PV_OK;
    size_t cap = heap->cap < 16 ? 16 : heap->cap * 2;
    if (cap < n_nodes)
        cap = n_nodes;
    struct pv_heap_node **nodes = reallocarray(heap->nodes, cap, sizeof(*nodes));
    if (nodes == NULL)
        return PV_ERR_NOMEM;
    heap->nodes = nodes;
    heap->cap = cap;
    return PV_OK;
}

/* Equal deadlines go by the order in which they were set, so that a simulation repeats exactly. */
static bool is_earlier(const struct pv_heap_node *a, const struct pv_heap_node *b)
{
    return a->when != b->when ? a->when < b->when : a->order < b->order;
}

static void put_at(struct pv_heap *heap, size_t i, struct pv_heap_node *node)
{
    heap->nodes[i] = node;
    node->pos = i + 1;
}

static void sift_up(struct pv_heap *heap, size_t i, struct pv_heap_node *node)
{
    while (i > 0 && is_earlier(node, heap->nodes[(i - 1) / 2])) {
        put_at(heap, i, heap->nodes[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    put_at(heap, i, node);
}

static void sift_down(struct pv_heap *heap, size_t i, struct pv_heap_node *node)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child + 1 < heap->len && is_earlier(heap->nodes[child + 1], heap->nodes[child]))
            child++;
        if (child >= heap->len || !is_earlier(heap->nodes[child], node))
            break;
        put_at(heap, i, heap->nodes[child]);
        i = child;
    }
    put_at(heap, i, node);
}

/* Puts node into the free slot i, then moves it to where its deadline belongs. A node that replaces
 * another may have to move either way. */
static void sift(struct pv_heap *heap, size_t i, struct pv_heap_node *node)
{
    if (i > 0 && is_earlier(node, heap->nodes[(i - 1) / 2]))
        sift_up(heap, i, node);
    else
        sift_down(heap, i, node);
}

static void take_out(struct pv_heap *heap, struct pv_heap_node *node)
{
    size_t i = node->pos - 1;
    struct pv_heap_node *last = heap->nodes[--heap->len];
    if (last != node)
        sift(heap, i, last);
    node->pos = 0;
    node->when = PV_NEVER;
}

void pv_heap_set(struct pv_heap *heap, struct pv_heap_node *node, pv_ns when)
{
    if (when == PV_NEVER) {
        if (node->pos != 0)
            take_out(heap, node);
        node->when = PV_NEVER;
        return;
    }
    /* A deadline that stays keeps its place among equals: re-keying after every call is cheap. */
    if (node->pos != 0 && node->when == when)
        return;
    node->when = when;
    node->order = heap->next_order++;
    size_t i = node->pos != 0 ? node->pos - 1 : heap->len++;
    sift(heap, i, node);
}

pv_ns pv_heap_next(const struct pv_heap *heap)
{
    return heap->len == 0 ? PV_NEVER : heap->nodes[0]->when;
}

struct pv_heap_node *pv_heap_pop_due(struct pv_heap *heap, pv_ns now)
{
    if (heap->len == 0 || heap->nodes[0]->when > now)
        return NULL;
    struct pv_heap_node *node = heap->nodes[0];
    take_out(heap, node);
    return node;
}
