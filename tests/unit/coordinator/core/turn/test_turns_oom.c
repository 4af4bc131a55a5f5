/* SPDX-License-Identifier: MIT */
/*
 * Members that come online while the relay has no memory for them. The source is included so that
 * its allocations can be made to fail.
 */

/* clang-format off */
#include "tests/unit/no_memory.h"
#include "coordinator/core/turn/turnmembers.c"
#include "tests/unit/memory_again.h"
/* clang-format on */

#include "tests/unit/coordinator/core/turn/turn_world.h"

/* Has the credentials of a welcome of which the relay had no memory to take note. */
static struct tw_client unmet(struct tw *w, uint8_t i)
{
    uint8_t pk[32];
    struct tw_client c = tw_client(i, (uint16_t)(40000 + i));
    tw_node(i, pk);
    no_memory = true;
    tw_welcome_as(w, &c, TW_NET, pk, PV_ERR_NOMEM);
    no_memory = false;
    return c;
}

PV_TEST(a_client_that_came_without_memory_relays_when_there_is_some)
{
    struct tw *w = tw_new();
    struct tw_client a = unmet(w, 1), b = unmet(w, 2), patient = a;
    struct pv_addr va = tw_virtual(1);
    no_memory = true;
    assert_int_not_equal(tw_allocate(w, &patient, 6), 0);
    no_memory = false;
    assert_int_equal(tw_allocate(w, &a, 6), 0);
    assert_int_equal(tw_allocate(w, &b, 6), 0);
    assert_true(tw_send(w, &b, &va, "hello", false));
}

PV_TEST(a_client_that_went_meanwhile_does_not)
{
    struct tw *w = tw_new();
    struct tw_client left = unmet(w, 1), removed = unmet(w, 2), lost = unmet(w, 3);
    uint8_t pk[32];
    tw_node(1, pk);
    pv_turns_offline(w->turns, TW_NET, pk, w->now);
    tw_node(2, pk);
    pv_turns_gone(w->turns, TW_NET, pk);
    assert_int_not_equal(tw_allocate(w, &left, 6), 0);
    assert_int_not_equal(tw_allocate(w, &removed, 6), 0);
    pv_turns_forget(w->turns);
    assert_int_not_equal(tw_allocate(w, &lost, 6), 0);
}

PV_TEST(as_many_as_are_remembered_all_relay_when_there_is_memory)
{
    struct tw *w = tw_new();
    struct tw_client clients[PV_TURNS_UNMET_MAX];
    for (uint8_t i = 0; i < PV_TURNS_UNMET_MAX; i++)
        clients[i] = unmet(w, i + 1);
    for (uint8_t i = 0; i < PV_TURNS_UNMET_MAX; i++)
        assert_int_equal(tw_allocate(w, &clients[i], 6), 0);
}

PV_TEST(of_too_many_the_oldest_waits_for_its_next_welcome)
{
    struct tw *w = tw_new();
    struct tw_client first = unmet(w, 1), last = {.user = ""};
    for (uint8_t i = 2; i <= PV_TURNS_UNMET_MAX + 1; i++)
        last = unmet(w, i);
    assert_int_equal(tw_allocate(w, &last, 6), 0);
    assert_int_not_equal(tw_allocate(w, &first, 6), 0);
    tw_online(w, &first, TW_NET, 1);
    assert_int_equal(tw_allocate(w, &first, 6), 0);
}
