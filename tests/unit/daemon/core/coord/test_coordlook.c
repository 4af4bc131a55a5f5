/* SPDX-License-Identifier: MIT */
/* A coordinator client whose coordinator falls silent, and that looks whether another answers. */
#include "daemon/core/coord/coordpulse.h"
#include "tests/unit/daemon/core/coord/coordclient_world.h"

/* Online at the first address, and a while later. */
static struct world *world_online(uint8_t n_addrs)
{
    struct world *w = world_make();
    start(w, n_addrs);
    pass(w, PV_S(5));
    assert_int_equal(pv_coordclient_state(w->client), PV_COORDCLIENT_ONLINE);
    assert_int_equal(pv_coordclient_addr(w->client)->ip[3], 0);
    return w;
}

PV_TEST(a_silent_one_is_left_for_one_that_answers)
{
    struct world *w = world_online(2);
    w->behaviours[0] = HANGS;
    pv_coordclient_doubt(w->client, w->now);
    pass(w, PV_MS(1999));
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_OFFLINE], 0);
    assert_int_equal(w->n_opened, 1);
    pass(w, PV_MS(2));
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_OFFLINE], 1);
    assert_int_equal(w->last[PV_COORDCLIENT_EV_OFFLINE].status, PV_ERR_TIMEOUT);
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_ONLINE], 2);
    assert_int_equal(pv_coordclient_addr(w->client)->ip[3], 1);
    assert_int_equal(the_stream(w)->addr.ip[3], 1);
}

/* The ping that is due finds it out, too. */
PV_TEST(without_a_doubt_it_takes_twelve_seconds_at_most)
{
    struct world *w = world_online(3);
    w->behaviours[0] = w->behaviours[1] = HANGS;
    pass(w, PV_MS(12500));
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_OFFLINE], 1);
    assert_int_equal(pv_coordclient_addr(w->client)->ip[3], 2);
    assert_int_equal(pv_coordclient_state(w->client), PV_COORDCLIENT_ONLINE);
}

PV_TEST(a_network_that_pauses_ends_nothing)
{
    struct world *w = world_online(3);
    for (int i = 0; i < 3; i++)
        w->behaviours[i] = PAUSES;
    pv_coordclient_doubt(w->client, w->now);
    pass(w, PV_S(15));
    assert_int_equal(pv_coordclient_addr(w->client)->ip[3], 0);
    assert_int_equal(w->n_opened, 3);
    for (int i = 0; i < 3; i++)
        w->behaviours[i] = SERVES;
    pass(w, PV_S(60));
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_OFFLINE], 0);
    assert_int_equal(w->n_opened, 3);
    assert_int_equal(the_stream(w)->addr.ip[3], 0);
}

PV_TEST(pings_that_are_answered_cost_no_look)
{
    struct world *w = world_online(3);
    pv_coordclient_doubt(w->client, w->now);
    pv_coordclient_doubt(w->client, w->now);
    pass(w, PV_S(600));
    assert_int_equal(w->n_opened, 1);
    assert_in_range(w->n_pings, 60, 62);
}

/* The others send it back to a home that only paused. */
PV_TEST(a_home_that_paused_is_found_again)
{
    struct world *w = world_make();
    w->home = 2;
    start(w, 3);
    pass(w, PV_S(5));
    assert_int_equal(pv_coordclient_addr(w->client)->ip[3], 2);
    w->behaviours[2] = PAUSES;
    pv_coordclient_doubt(w->client, w->now);
    pass(w, PV_S(3));
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_OFFLINE], 1);
    w->behaviours[2] = SERVES;
    pass(w, PV_S(15));
    assert_int_equal(pv_coordclient_state(w->client), PV_COORDCLIENT_ONLINE);
    assert_int_equal(pv_coordclient_addr(w->client)->ip[3], 2);
}

PV_TEST(without_another_address_it_waits)
{
    struct world *w = world_make();
    start_guessing(w);
    pass(w, PV_S(5));
    w->behaviours[0] = PAUSES;
    pv_coordclient_doubt(w->client, w->now);
    pass(w, PV_S(15));
    assert_int_equal(w->n_opened, 1);
    w->behaviours[0] = SERVES;
    pass(w, PV_S(1));
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_OFFLINE], 0);
}

/* The one in use may end while another is being tried. */
PV_TEST(a_look_outlives_nothing)
{
    struct world *w = world_online(3);
    w->behaviours[1] = w->behaviours[2] = HANGS;
    w->silent = true;
    pv_coordclient_doubt(w->client, w->now);
    pass(w, PV_S(3));
    assert_int_equal(w->n_opened, 3);
    w->silent = false;
    pv_coordclient_stop(w->client, w->now);
    pass(w, PV_S(60));
    assert_int_equal(w->n_closed, 3);
    start(w, 1);
    pass(w, PV_S(1));
    assert_int_equal(pv_coordclient_state(w->client), PV_COORDCLIENT_ONLINE);
}

PV_TEST(a_look_is_due_once_a_silence)
{
    struct pv_coordpulse p = {.pinged_at = PV_S(1)};
    pv_coordpulse_begin(&p, PV_MS(1100));
    assert_true(p.rtt == PV_MS(100));
    assert_true(pv_coordpulse_next(&p) == PV_MS(11100));
    assert_false(pv_coordpulse_take_look(&p, PV_S(11)));
    pv_coordpulse_pinged(&p, true, PV_S(12));
    assert_true(pv_coordpulse_next(&p) == PV_S(14));
    pv_coordpulse_pinged(&p, true, PV_S(13));
    assert_false(pv_coordpulse_take_look(&p, PV_MS(13999)));
    assert_true(pv_coordpulse_take_look(&p, PV_S(14)));
    assert_false(pv_coordpulse_take_look(&p, PV_S(20)));
    assert_false(pv_coordpulse_is_dead(&p, PV_S(26)));
    assert_true(pv_coordpulse_is_dead(&p, PV_MS(26100)));
    pv_coordpulse_heard(&p, PV_S(26));
    assert_false(pv_coordpulse_take_look(&p, PV_S(40)));
    pv_coordpulse_note_time(&p, 1000000, PV_S(26));
    assert_true(pv_coordpulse_time_us(&p, PV_S(28)) == 3050000);
}

/* A home that is only far must not be left. */
PV_TEST(on_a_slow_line_a_look_waits_two_round_trips)
{
    struct pv_coordpulse p = {.pinged_at = PV_S(1)};
    pv_coordpulse_begin(&p, PV_MS(2500)); /* a round trip of 1.5 s */
    pv_coordpulse_pinged(&p, true, PV_S(12));
    assert_true(pv_coordpulse_next(&p) == PV_S(15));
    /* A ping that was held up for 20 s says little of the line. */
    p = (struct pv_coordpulse){.pinged_at = PV_S(1)};
    pv_coordpulse_begin(&p, PV_S(21));
    pv_coordpulse_pinged(&p, true, PV_S(31));
    assert_true(pv_coordpulse_next(&p) == PV_S(31) + PV_COORDPULSE_SLOW);
}
