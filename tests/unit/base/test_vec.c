/* SPDX-License-Identifier: MIT */
/* Arrays that grow: they keep what they have, double when they are full, and say when they cannot.
 */
#include "tests/unit/test_util.h"

/* clang-format off */
#include "tests/unit/no_memory.h"
#include "base/vec.h"
#include "tests/unit/memory_again.h"
/* clang-format on */

PV_TEST(an_array_keeps_its_items_while_it_doubles)
{
    size_t n = 0, cap = 0, moves = 0;
    uint32_t *items = NULL;
    for (uint32_t i = 0; i < 1000; i++) {
        size_t before = cap;
        void *room = pv_vec_room(items, n, &cap, 3, sizeof(items[0]));
        assert_non_null(room);
        items = room;
        moves += cap != before;
        assert_true(n < cap);
        items[n++] = i;
    }
    for (uint32_t i = 0; i < 1000; i++)
        assert_int_equal(items[i], i);
    assert_int_equal(cap, 3 << 9);
    assert_int_equal(moves, 10);
    free(items);
}

PV_TEST(an_array_that_has_room_stays_where_it_is)
{
    uint8_t items[4];
    size_t cap = 4;
    assert_ptr_equal(pv_vec_room(items, 3, &cap, 8, 1), items);
    assert_int_equal(cap, 4);
}

PV_TEST(an_array_that_cannot_grow_is_left_as_it_was)
{
    size_t cap = 0;
    uint8_t *items = pv_vec_room(NULL, 0, &cap, 2, 1);
    assert_non_null(items);
    items[1] = 7;
    no_memory = true;
    assert_null(pv_vec_room(items, 2, &cap, 2, 1));
    no_memory = false;
    assert_int_equal(cap, 2);
    assert_int_equal(items[1], 7);
    free(items);
}
