/* SPDX-License-Identifier: MIT */
/* Values that wait: each comes out once, in order, and a put without memory leaves the others. */
#include <stdlib.h>

#include "tests/unit/test_util.h"

static unsigned n_freed;

/* Every block that is freed has been wiped behind its head. */
struct pv_fifo_item;
static void free_wiped(struct pv_fifo_item *item);
#define free(item) free_wiped(item)
/* clang-format off */
#include "tests/unit/no_memory.h"
#include "base/fifo.h"
#include "tests/unit/memory_again.h"
/* clang-format on */
#undef free

static void free_wiped(struct pv_fifo_item *item)
{
    for (size_t i = 0; i < item->len; i++)
        assert_int_equal(item->value[i], 0);
    n_freed++;
    free(item);
}

PV_TEST(values_come_out_once_and_in_order)
{
    struct pv_fifo f = {.n = 0};
    uint32_t out = 0;
    for (int round = 0; round < 2; round++) {
        assert_int_equal(pv_fifo_take(&f, &out), PV_ERR_AGAIN);
        for (uint32_t i = 0; i < 100; i++)
            assert_ok(pv_fifo_put(&f, &i, sizeof(i)));
        assert_int_equal(f.n, 100);
        for (uint32_t i = 0; i < 100; i++) {
            assert_ok(pv_fifo_take(&f, &out));
            assert_int_equal(out, i);
        }
        assert_int_equal(f.n, 0);
    }
}

PV_TEST(values_may_differ_in_length)
{
    struct pv_fifo f = {.n = 0};
    char out[8] = "-------";
    assert_ok(pv_fifo_put(&f, "abc", 3));
    assert_ok(pv_fifo_put(&f, "d", 1));
    assert_ok(pv_fifo_take(&f, out));
    assert_string_equal(out, "abc----");
    assert_ok(pv_fifo_take(&f, out));
    assert_string_equal(out, "dbc----");
}

PV_TEST(without_memory_the_others_stay)
{
    struct pv_fifo f = {.n = 0};
    char out = 0;
    assert_ok(pv_fifo_put(&f, "a", 1));
    no_memory = true;
    assert_int_equal(pv_fifo_put(&f, "b", 1), PV_ERR_NOMEM);
    no_memory = false;
    assert_ok(pv_fifo_put(&f, "c", 1));
    assert_ok(pv_fifo_take(&f, &out));
    assert_int_equal(out, 'a');
    assert_ok(pv_fifo_take(&f, &out));
    assert_int_equal(out, 'c');
    assert_int_equal(pv_fifo_take(&f, &out), PV_ERR_AGAIN);
}

PV_TEST(places_that_values_leave_are_wiped)
{
    struct pv_fifo f = {.n = 0};
    char out[8];
    n_freed = 0;
    assert_ok(pv_fifo_put(&f, "secret", 6));
    assert_ok(pv_fifo_put(&f, "another", 7));
    assert_ok(pv_fifo_take(&f, out));
    assert_int_equal(n_freed, 1);
    pv_fifo_clear(&f);
    assert_int_equal(n_freed, 2);
}
