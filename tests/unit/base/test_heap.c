/* SPDX-License-Identifier: MIT */
#include "base/heap.h"
#include "tests/unit/test_util.h"

struct child {
    int id;
    struct pv_heap_node node;
};

static struct child *pop(struct pv_heap *heap, pv_ns now)
{
    struct pv_heap_node *n = pv_heap_pop_due(heap, now);
    return n == NULL ? NULL : PV_CONTAINER_OF(n, struct child, node);
}

PV_TEST(nodes_come_out_by_deadline_and_only_when_due)
{
    struct child c[3] = {{.id = 0}, {.id = 1}, {.id = 2}};
    struct pv_heap heap;
    pv_heap_init(&heap);
    assert_true(pv_heap_next(&heap) == PV_NEVER);
    assert_null(pop(&heap, PV_NEVER));
    assert_ok(pv_heap_reserve(&heap, 3));
    pv_heap_set(&heap, &c[0].node, 30);
    pv_heap_set(&heap, &c[1].node, 10);
    pv_heap_set(&heap, &c[2].node, 20);
    assert_true(pv_heap_next(&heap) == 10);
    assert_null(pop(&heap, 9));
    assert_ptr_equal(pop(&heap, 10), &c[1]);
    assert_ptr_equal(pop(&heap, 100), &c[2]);
    assert_true(c[2].node.when == PV_NEVER);
    assert_ptr_equal(pop(&heap, 100), &c[0]);
    assert_null(pop(&heap, 100));
    pv_heap_done(&heap);
}

PV_TEST(equal_deadlines_keep_the_order_they_were_set_in)
{
    struct child c[40];
    struct pv_heap heap;
    memset(c, 0, sizeof(c));
    pv_heap_init(&heap);
    assert_ok(pv_heap_reserve(&heap, 40));
    for (int i = 0; i < 40; i++) {
        c[i].id = i;
        pv_heap_set(&heap, &c[i].node, 7);
    }
    pv_heap_set(&heap, &c[5].node, 7); /* no change: keeps its place */
    pv_heap_set(&heap, &c[6].node, 8);
    pv_heap_set(&heap, &c[6].node, 7); /* moved away and back: now last */
    for (int i = 0; i < 40; i++) {
        int want = i < 6 ? i : i < 39 ? i + 1 : 6;
        assert_int_equal(pop(&heap, 7)->id, want);
    }
    pv_heap_done(&heap);
}

PV_TEST(never_takes_a_node_out_and_is_harmless_twice)
{
    struct child c = {.id = 1};
    struct pv_heap heap;
    pv_heap_init(&heap);
    assert_ok(pv_heap_reserve(&heap, 1));
    pv_heap_set(&heap, &c.node, PV_NEVER);
    pv_heap_set(&heap, &c.node, 5);
    pv_heap_set(&heap, &c.node, PV_NEVER);
    pv_heap_set(&heap, &c.node, PV_NEVER);
    assert_true(pv_heap_next(&heap) == PV_NEVER);
    assert_int_equal(heap.len, 0);
    pv_heap_done(&heap);
}

PV_TEST(random_use_agrees_with_a_linear_scan)
{
    enum {
        N = 50
    };
    struct child c[N];
    struct pv_heap heap;
    struct test_rng seed;
    struct pv_rng rng = test_rng_make(&seed, 42);
    memset(c, 0, sizeof(c));
    pv_heap_init(&heap);
    assert_ok(pv_heap_reserve(&heap, N));
    for (size_t i = 0; i < N; i++)
        c[i].node.when = PV_NEVER;
    for (int step = 0; step < 20000; step++) {
        uint32_t what = pv_rng_below(&rng, 10);
        struct child *k = &c[pv_rng_below(&rng, N)];
        if (what < 8)
            pv_heap_set(&heap, &k->node, what == 0 ? PV_NEVER : pv_rng_below(&rng, 60));
        struct child *best = NULL;
        for (size_t i = 0; i < N; i++) {
            if (c[i].node.when != PV_NEVER &&
                (best == NULL || c[i].node.when < best->node.when ||
                 (c[i].node.when == best->node.when && c[i].node.order < best->node.order)))
                best = &c[i];
        }
        assert_true(pv_heap_next(&heap) == (best == NULL ? PV_NEVER : best->node.when));
        if (what >= 8)
            assert_ptr_equal(pop(&heap, PV_NEVER), best);
    }
    pv_heap_done(&heap);
}
