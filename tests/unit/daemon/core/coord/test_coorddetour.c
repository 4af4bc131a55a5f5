/* SPDX-License-Identifier: MIT */
/* A coordinator client that is sent to the home of its network. */
#include "tests/unit/daemon/core/coord/coordclient_world.h"

PV_TEST(it_goes_round_until_one_is_the_home)
{
    struct world *w = world_make();
    w->home = 2;
    start(w, 3);
    pass(w, PV_S(1));
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_AWAY], 2);
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_REFUSED], 0);
    assert_int_equal(pv_coordclient_state(w->client), PV_COORDCLIENT_ONLINE);
    assert_int_equal(pv_coordclient_addr(w->client)->ip[3], 2);
    assert_true(w->request->type != PV_CTL_HELLO || w->request->u.hello.moved);
}

PV_TEST(it_goes_where_it_is_sent_before_all_others)
{
    struct world *w = world_make();
    const struct pv_addr home = addr_of(7);
    w->home = 7; /* not in the list */
    start(w, 3);
    pump(w);
    pv_coordclient_handle_timeout(w->client, w->now);
    pump(w);
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_AWAY], 1);
    pv_coordclient_detour(w->client, &home, w->now);
    pass(w, PV_MS(10));
    assert_int_equal(pv_coordclient_state(w->client), PV_COORDCLIENT_ONLINE);
    assert_int_equal(pv_coordclient_addr(w->client)->ip[3], 7);
    assert_int_equal(w->n_hellos, 2);
}

PV_TEST(where_a_former_coordinator_sent_it_counts_no_more)
{
    struct world *w = world_make();
    const struct pv_addr home = addr_of(7);
    w->home = 7;
    start(w, 3);
    pump(w);
    pv_coordclient_handle_timeout(w->client, w->now);
    pump(w);
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_AWAY], 1);
    pv_coordclient_detour(w->client, &home, w->now);
    w->home = 0;
    start(w, 3);
    pass(w, PV_MS(10));
    assert_int_equal(pv_coordclient_state(w->client), PV_COORDCLIENT_ONLINE);
    assert_int_equal(pv_coordclient_addr(w->client)->ip[3], 0);
}

PV_TEST(two_that_disagree_do_not_keep_it_running)
{
    struct world *w = world_make();
    w->home = 9;
    start(w, 2);
    pass(w, PV_MS(10));
    assert_int_equal(w->n_hellos, PV_COORDDETOUR_HOPS + 1);
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_REFUSED], 1);
    assert_int_equal(pv_coordclient_state(w->client), PV_COORDCLIENT_WAITING);
}

PV_TEST(a_bye_that_says_moved_is_followed_at_once)
{
    struct world *w = world_make();
    start(w, 2);
    pass(w, PV_MS(10));
    assert_int_equal(pv_coordclient_addr(w->client)->ip[3], 0);
    w->home = 1;
    w->tells = true;
    struct pv_ctl_msg bye = {.kind = PV_CTL_PUSH, .type = PV_CTL_BYE};
    bye.u.failure = moved_to(w);
    server_send(the_stream(w), bye);
    pass(w, PV_MS(10));
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_OFFLINE], 1);
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_AWAY], 1);
    assert_int_equal(w->last[PV_COORDCLIENT_EV_AWAY].msg->u.failure.n_to, 1);
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_ONLINE], 2);
    assert_int_equal(pv_coordclient_addr(w->client)->ip[3], 1);
}

/* One lets it in and sends it away, again and again. How often it connects in that time. */
static size_t send_away(struct world *w, pv_ns time)
{
    size_t before = w->n_opened;
    for (pv_ns end = w->now + time; w->now < end && w->n_opened < before + 1000;) {
        struct pv_ctl_msg bye = {.kind = PV_CTL_PUSH, .type = PV_CTL_BYE};
        pass(w, PV_MS(100));
        if (pv_coordclient_state(w->client) != PV_COORDCLIENT_ONLINE)
            continue;
        bye.u.failure = moved_to(w);
        server_send(the_stream(w), bye);
        pump(w);
    }
    return w->n_opened - before;
}

/* Coordinators that lie in turn, or a quarrel of theirs, must not have all members knock without a
 * pause. */
PV_TEST(a_client_let_in_and_sent_away_for_ever_takes_its_time)
{
    struct world *w = world_make();
    w->tells = true;
    start(w, 2);
    assert_in_range(send_away(w, PV_S(600)), PV_COORDDETOUR_HOPS + 600 / 31,
                    PV_COORDDETOUR_HOPS + 2 + 600 / 15);
    pass(w, PV_S(40));
    assert_int_equal(pv_coordclient_state(w->client), PV_COORDCLIENT_ONLINE);
    /* Once a connection lasted the next ones are left at once. */
    pass(w, PV_COORDDETOUR_LASTS);
    size_t before = w->n_events[PV_COORDCLIENT_EV_ONLINE];
    assert_int_equal(send_away(w, PV_S(1)), PV_COORDDETOUR_HOPS);
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_ONLINE], before + PV_COORDDETOUR_HOPS);
}
