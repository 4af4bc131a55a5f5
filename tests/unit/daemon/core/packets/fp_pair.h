/* SPDX-License-Identifier: MIT */
/*
 * fp_pair.h - the two nodes of most tests of the fast path, which end with the test: a = 10.66.0.1
 * and b = 10.66.0.2, each a member at the other.
 */
#pragma once

#include "fp_util.h"
#include "tests/unit/test_util.h"

struct fp_pair {
    struct fp_node a, b;
    uint32_t b_at_a, a_at_b;   /* peer ids */
    uint32_t a_index, b_index; /* receiver indices */
    pv_ns now;
};

static inline void fp_pair_done(void *pair)
{
    struct fp_pair *p = pair;
    fp_node_done(&p->a);
    fp_node_done(&p->b);
}

/* They know each other, and have no path and no keys. p is static. */
static inline void fp_pair_meet(struct fp_pair *p)
{
    *p = (struct fp_pair){.now = PV_S(1000)};
    fp_meet(&p->a, &p->b, &p->b_at_a, &p->a_at_b);
    test_defer(fp_pair_done, p);
}

static inline void fp_pair_publish(struct fp_pair *p)
{
    fp_publish(&p->a);
    fp_publish(&p->b);
}

static inline void fp_pair_add_keys(struct fp_pair *p)
{
    p->a_index = fp_add_keys(&p->a, p->b_at_a, &p->b, p->a_at_b, p->now, &p->b_index);
}

/* They reach each other as well, with keys. */
static inline void fp_pair_connect(struct fp_pair *p)
{
    fp_pair_meet(p);
    fp_set_path(&p->a, p->b_at_a, 2, 0);
    fp_set_path(&p->b, p->a_at_b, 1, 0);
    fp_pair_add_keys(p);
    fp_pair_publish(p);
}
