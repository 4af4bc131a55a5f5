/* SPDX-License-Identifier: MIT */
/* Whose a network is, row by row; and whom a coordinator told to go elsewhere. */
#include "coordinator/core/homes.h"
#include "coordinator/core/member/home.h"
#include "tests/unit/test_util.h"

static struct pv_home_facts facts(int64_t holder, enum pv_home_holder state)
{
    return (struct pv_home_facts){.known = true,
                                  .me = 1,
                                  .holder = holder,
                                  .fence = 7,
                                  .loaded = true,
                                  .state = state,
                                  .age_ms = 1000,
                                  .patient = true,
                                  .homes = 3,
                                  .least = 2,
                                  .least_homes = 3};
}

PV_TEST(a_living_home_stays_where_it_is)
{
    struct pv_home_facts f = facts(2, PV_HOME_ALIVE);
    assert_int_equal(pv_home_judge(&f, false), PV_HOME_THERE);
    assert_int_equal(pv_home_judge(&f, true), PV_HOME_THERE);
    f.age_ms = PV_HOME_PLEA_MS;
    assert_int_equal(pv_home_judge(&f, false), PV_HOME_THERE);
    assert_int_equal(pv_home_judge(&f, true), PV_HOME_TAKE);
    f = facts(2, PV_HOME_ALIVE);
    f.loaded = false; /* it was given, and nobody has come there yet */
    assert_int_equal(pv_home_judge(&f, false), PV_HOME_THERE);
    f.age_ms = PV_HOME_EMPTY_MS;
    assert_int_equal(pv_home_judge(&f, false), PV_HOME_TAKE);
    f = facts(1, PV_HOME_ALIVE);
    f.draining = true;
    assert_int_equal(pv_home_judge(&f, false), PV_HOME_TAKE); /* its own: it goes by itself */
}

PV_TEST(a_silent_one_is_followed_by_who_was_not)
{
    struct pv_home_facts f = facts(2, PV_HOME_SILENT);
    f.least = 0;
    assert_int_equal(pv_home_judge(&f, false), PV_HOME_TAKE);
    f.patient = false;
    assert_int_equal(pv_home_judge(&f, false), PV_HOME_WAIT);
    assert_int_equal(pv_home_judge(&f, true), PV_HOME_WAIT);
}

PV_TEST(without_a_home_it_goes_where_there_is_room)
{
    struct pv_home_facts f = facts(0, PV_HOME_NOBODY);
    assert_int_equal(pv_home_judge(&f, false), PV_HOME_TAKE);
    f.homes = 4;
    assert_int_equal(pv_home_judge(&f, false), PV_HOME_GIVE);
    assert_int_equal(pv_home_judge(&f, true), PV_HOME_TAKE);
    f.homes = 90;
    f.least_homes = 80;
    assert_int_equal(pv_home_judge(&f, false), PV_HOME_TAKE); /* within an eighth */
    f.draining = true;
    assert_int_equal(pv_home_judge(&f, false), PV_HOME_GIVE);
    f.least = 0;
    assert_int_equal(pv_home_judge(&f, false), PV_HOME_TAKE); /* better here than nowhere */
    f.known = false;
    assert_int_equal(pv_home_judge(&f, false), PV_HOME_NONE);
    f = facts(9, PV_HOME_NOBODY); /* one that has left */
    assert_int_equal(pv_home_judge(&f, false), PV_HOME_TAKE);
}

PV_TEST(a_network_unreadable_here_goes_to_a_coordinator_that_may_read_it)
{
    static const int64_t holders[] = {0, 1, 2}; /* nobody, this one, one that is silent */
    for (size_t i = 0; i < PV_ARRAY_LEN(holders); i++) {
        struct pv_home_facts f =
            facts(holders[i], holders[i] == 2 ? PV_HOME_SILENT : PV_HOME_ALIVE);
        f.unread = true;
        assert_int_equal(pv_home_judge(&f, false), PV_HOME_GIVE);
        assert_int_equal(pv_home_judge(&f, true), PV_HOME_GIVE);
        f.least = 0;
        assert_int_equal(pv_home_judge(&f, false), PV_HOME_TAKE); /* nobody else is there */
    }
    struct pv_home_facts f = facts(2, PV_HOME_ALIVE);
    f.unread = true;
    f.age_ms = PV_HOME_PLEA_MS;
    assert_int_equal(pv_home_judge(&f, true), PV_HOME_THERE);
}

PV_TEST(addresses_are_taken_apart)
{
    struct pv_home_answer a = {.n_to = 9};
    pv_home_set_addrs(&a, pv_view("", 0));
    assert_int_equal(a.n_to, 0);
    static const char text[] = " one.example:3478  [2001:db8::1]:1 c:3 d:4 e:5 f:6";
    pv_home_set_addrs(&a, pv_view(text, sizeof(text) - 1));
    assert_int_equal(a.n_to, PV_HOME_ADDRS_MAX);
    assert_string_equal(a.to[0], "one.example:3478");
    assert_string_equal(a.to[1], "[2001:db8::1]:1");
    assert_string_equal(a.to[3], "d:4");
}

static void done(void *ctx)
{
    pv_homes_done(ctx);
}

PV_TEST(a_node_that_was_told_twice_pleads)
{
    static struct pv_homes h;
    static const uint8_t node[PV_DH_LEN] = {1, 2, 3}, other[PV_DH_LEN] = {4, 5, 6};
    const pv_ns now = PV_S(100), later = now + PV_S(PV_HOMES_TOLD_S);
    assert_ok(pv_homes_init(&h, true));
    test_defer(done, &h);
    pv_homes_tell(&h, node, now);
    assert_false(pv_homes_pleads(&h, node, now));
    pv_homes_tell(&h, node, now);
    assert_true(pv_homes_pleads(&h, node, now));
    assert_false(pv_homes_pleads(&h, node, later));
    pv_homes_tell(&h, other, now);
    assert_false(pv_homes_pleads(&h, other, now));
}

PV_TEST(all_who_knock_wait_for_one_question)
{
    static struct pv_homes h;
    static const uint8_t net[2][PV_NETWORK_ID_LEN] = {{1}, {2}};
    struct pv_storeop *op = NULL;
    const pv_ns now = PV_S(100);
    assert_ok(pv_homes_init(&h, true));
    test_defer(done, &h);
    assert_ok(pv_homes_seek(&h, net[0], 11, NULL, now));
    assert_ok(pv_homes_seek(&h, net[0], 12, NULL, now));
    assert_ok(pv_homes_leave(&h, net[1], PV_HOMES_IDLE, now));
    assert_ok(pv_homes_poll_job(&h, &op));
    assert_int_equal(op->kind, PV_STOREOP_HOME);
    struct pv_homes_ask *ask = pv_homes_take(&h, op->id);
    assert_int_equal(ask->n_conns, 2);
    pv_storeop_free(op);
    /* It is asked again for some seconds. */
    assert_true(pv_homes_again(&h, ask, now));
    assert_ok(pv_homes_poll_job(&h, &op));
    assert_int_equal(op->kind, PV_STOREOP_LEAVE);
    assert_true(op->idle);
    pv_storeop_free(op);
    assert_int_equal(pv_homes_poll_job(&h, &op), PV_ERR_AGAIN);
    assert_int_equal(pv_homes_next_timeout(&h), now + PV_HOMES_AGAIN);
    pv_homes_handle_timeout(&h, now + PV_HOMES_AGAIN);
    assert_ok(pv_homes_poll_job(&h, &op));
    ask = pv_homes_take(&h, op->id);
    assert_false(pv_homes_again(&h, ask, now + PV_HOMES_GIVE_UP));
    assert_null(pv_homes_take(&h, op->id));
    pv_homes_ask_free(ask);
    pv_storeop_free(op);
}
