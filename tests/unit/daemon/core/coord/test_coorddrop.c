/* SPDX-License-Identifier: MIT */
/* A coordinator client that is let in and dropped, again and again. */
#include "tests/unit/daemon/core/coord/coordclient_world.h"

enum {
    /* A window of half a minute is half of that on average. Twice as many leave room for chance. */
    MANY_PER_MINUTE = 8,
};

/* Each connection that is welcome is closed at once; how many are in that time. meanwhile: called
 * after each loss, or NULL. */
static size_t drop(struct world *w, pv_ns time, void (*meanwhile)(struct world *w))
{
    size_t before = w->n_events[PV_COORDCLIENT_EV_ONLINE];
    for (pv_ns end = w->now + time; w->now < end;) {
        pass(w, PV_MS(100));
        if (pv_coordclient_state(w->client) != PV_COORDCLIENT_ONLINE)
            continue;
        hang_up(w, the_stream(w));
        if (meanwhile != NULL)
            meanwhile(w);
    }
    return w->n_events[PV_COORDCLIENT_EV_ONLINE] - before;
}

/* Until the next connection is there. */
static pv_ns time_to_return(struct world *w)
{
    pv_ns begin = w->now;
    while (pv_coordclient_state(w->client) != PV_COORDCLIENT_ONLINE && w->now < begin + PV_S(60))
        pass(w, PV_MS(100));
    return w->now - begin;
}

/* The connection gets no answer until it is given up. */
static void fall_silent(struct world *w)
{
    w->silent = true;
    while (pv_coordclient_state(w->client) == PV_COORDCLIENT_ONLINE)
        pass(w, PV_MS(100));
    w->silent = false;
}

PV_TEST(a_client_let_in_and_dropped_for_ever_takes_its_time)
{
    struct world *w = world_make();
    start(w, 1);
    /* A few restarts in a row are followed as each of them would be. */
    assert_in_range(drop(w, PV_MS(3400), NULL), PV_COORDWAIT_WELCOMES, 6);
    assert_in_range(drop(w, PV_S(1500), NULL), 25, 25 * MANY_PER_MINUTE);
    assert_true(pv_coordclient_is_dropped(w->client));
    assert_non_null(strstr(w->last[PV_COORDCLIENT_EV_OFFLINE].text, "tell its operator"));
}

PV_TEST(a_client_that_was_dropped_is_back_soon_when_that_ends)
{
    struct world *w = world_make();
    start(w, 1);
    drop(w, PV_S(1500), NULL);
    assert_true(time_to_return(w) <= PV_COORDWAIT_MAX + PV_S(1));
    pass(w, PV_S(5));
    assert_true(pv_coordclient_is_dropped(w->client)); /* that could be one more */
    pass(w, PV_S(6));
    assert_false(pv_coordclient_is_dropped(w->client));
    /* An end now is a restart like any other. */
    hang_up(w, the_stream(w));
    assert_true(time_to_return(w) <= PV_MS(1200));
    assert_string_equal(w->last[PV_COORDCLIENT_EV_OFFLINE].text, "the connection was closed");
}

/* A coordinator that stays silent after its welcome is of no more use than one that closes. */
PV_TEST(a_client_that_hears_nothing_after_the_welcome_was_dropped)
{
    struct world *w = world_make();
    start(w, 1);
    for (int i = 0; i <= PV_COORDWAIT_WELCOMES; i++) {
        assert_true(time_to_return(w) <= PV_S(2));
        fall_silent(w);
    }
    assert_true(pv_coordclient_is_dropped(w->client));
}

static void hurry(struct world *w)
{
    pv_coordclient_hurry(w->client, w->now + PV_S(600), w->now);
}

/* The coordinator is a server that tells this node its address: it could tell another each time. */
static void remap(struct world *w)
{
    pv_coordclient_remapped(w->client, w->now);
}

PV_TEST(neither_haste_nor_what_servers_say_shortens_the_wait)
{
    void (*const others[])(struct world *) = {hurry, remap};
    for (size_t i = 0; i < PV_ARRAY_LEN(others); i++) {
        struct world *w = world_make();
        start(w, 1);
        drop(w, PV_S(60), others[i]);
        assert_in_range(drop(w, PV_S(600), others[i]), 10, 10 * MANY_PER_MINUTE);
    }
}

/* It is let in, servers say that its address changed, and the connection falls silent. */
PV_TEST(silence_after_a_change_is_followed_at_once_a_few_times)
{
    struct world *w = world_make();
    start(w, 1);
    size_t before = w->n_events[PV_COORDCLIENT_EV_ONLINE];
    for (pv_ns end = w->now + PV_S(600); w->now < end;) {
        assert_true(time_to_return(w) <= PV_COORDWAIT_MAX + PV_S(1));
        remap(w); /* its ping is not answered */
        fall_silent(w);
    }
    assert_in_range(w->n_events[PV_COORDCLIENT_EV_ONLINE] - before, 10, 10 * MANY_PER_MINUTE);
}

PV_TEST(a_new_address_ends_an_ordinary_wait_but_not_a_rest)
{
    struct world *w = world_make();
    w->behaviours[0] = REFUSES;
    start(w, 1);
    pass(w, PV_S(200));
    while (pv_coordclient_state(w->client) != PV_COORDCLIENT_WAITING)
        pass(w, PV_MS(1));
    w->behaviours[0] = SERVES;
    remap(w);
    pass(w, 0);
    assert_int_equal(pv_coordclient_state(w->client), PV_COORDCLIENT_ONLINE);
    server_send(the_stream(w), (struct pv_ctl_msg){.kind = PV_CTL_PUSH,
                                                   .type = PV_CTL_BYE,
                                                   .u.failure = {PV_CTL_E_REPLACED, "a newer"}});
    pump(w);
    hang_up(w, the_stream(w));
    remap(w); /* another machine has this one's key: that is not mended by it */
    pass(w, PV_S(14));
    assert_int_equal(pv_coordclient_state(w->client), PV_COORDCLIENT_WAITING);
    pv_coordclient_kick(w->client, w->now); /* a link of this machine came up */
    pass(w, 0);
    assert_int_equal(pv_coordclient_state(w->client), PV_COORDCLIENT_ONLINE);
}
