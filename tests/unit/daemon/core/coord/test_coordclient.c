/* SPDX-License-Identifier: MIT */
/* The coordinator client against scripted servers, in virtual time. */
#include "tests/unit/daemon/core/coord/coordclient_world.h"

/* --- connecting ------------------------------------------------------------------------------ */

static void it_connects_says_hello_and_is_online(void **state)
{
    (void)state;
    struct world *w = world_make();
    uint8_t hash[PV_CTL_HASH_LEN];
    assert_int_equal(pv_coordclient_state(w->client), PV_COORDCLIENT_STOPPED);
    assert_int_equal(pv_coordclient_handshake_hash(w->client, hash), PV_ERR_STATE);
    start(w, 1);
    pass(w, PV_MS(1));
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_ONLINE], 1);
    assert_int_equal(w->last[PV_COORDCLIENT_EV_ONLINE].msg->u.welcome.time_us, 1700000000000000);
    assert_int_equal(pv_coordclient_state(w->client), PV_COORDCLIENT_ONLINE);
    assert_true(
        pv_addr_equal(pv_coordclient_addr(w->client),
                      &(struct pv_addr){.family = PV_AF_INET, .port = 3478, .ip = {192, 0, 2, 0}}));
    assert_int_equal(pv_coordclient_handshake_hash(w->client, hash), PV_OK);
    assert_int_equal(w->n_hellos, 1);
}

static void addresses_are_tried_250_ms_apart_and_the_first_proven_one_wins(void **state)
{
    (void)state;
    struct world *w = world_make();
    w->behaviours[0] = HANGS;
    w->behaviours[1] = MUTE; /* accepts the connection: not enough to win */
    w->behaviours[2] = SERVES;
    start(w, 4);
    pass(w, PV_MS(499));
    assert_int_equal(w->n_opened, 2);
    assert_int_equal(w->n_hellos, 0);
    pass(w, PV_MS(2));
    assert_int_equal(w->n_opened, 3);
    assert_int_equal(w->n_closed, 2);
    assert_int_equal(pv_coordclient_state(w->client), PV_COORDCLIENT_ONLINE);
    assert_int_equal(the_stream(w)->addr.ip[3], 2);
    pass(w, PV_S(5));
    assert_int_equal(w->n_opened, 3); /* the fourth is not tried any more */
}

static void a_refused_address_is_followed_by_the_next_at_once(void **state)
{
    (void)state;
    struct world *w = world_make();
    w->behaviours[0] = w->behaviours[1] = REFUSES;
    start(w, 3);
    pass(w, PV_MS(1));
    assert_int_equal(pv_coordclient_state(w->client), PV_COORDCLIENT_ONLINE);
}

static void attempts_go_on_with_growing_jittered_pauses(void **state)
{
    (void)state;
    struct world *w = world_make();
    w->behaviours[0] = REFUSES;
    start(w, 1);
    pump(w);
    size_t opened = w->n_opened;
    pv_ns longest = 0, shortest = PV_NEVER, last = w->now;
    pass(w, PV_MS(1));
    for (unsigned i = 0; i < 60; i++) {
        while (w->n_opened == opened)
            pass(w, PV_MS(10));
        opened = w->n_opened;
        longest = w->now - last > longest ? w->now - last : longest;
        if (i > 0)
            shortest = pv_min_ns(shortest, w->now - last);
        last = w->now;
    }
    assert_true(shortest >= PV_MS(480));
    assert_true(longest <= PV_S(31));
    assert_true(longest >= PV_S(10));
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_OFFLINE], w->n_opened);
}

static void while_somebody_waits_the_pauses_stay_short(void **state)
{
    (void)state;
    struct world *w = world_make();
    w->behaviours[0] = REFUSES;
    start(w, 1);
    for (unsigned i = 0; i < 12000; i++) /* two minutes: by now it takes its time */
        pass(w, PV_MS(10));
    assert_int_equal(pv_coordclient_state(w->client), PV_COORDCLIENT_WAITING);
    pv_ns until = w->now + PV_S(100);
    size_t opened = w->n_opened;
    pv_ns longest = 0, last = w->now;
    pv_coordclient_hurry(w->client, until, w->now);
    pv_coordclient_hurry(w->client, until - PV_S(50), w->now); /* the later one counts */
    while (w->now < until) {
        pass(w, PV_MS(10));
        if (w->n_opened == opened)
            continue;
        opened = w->n_opened;
        longest = w->now - last > longest ? w->now - last : longest;
        last = w->now;
    }
    assert_true(longest <= PV_COORDWAIT_HURRY + PV_MS(20));
    for (unsigned i = 0; i < 30; i++) { /* and then again */
        while (w->n_opened == opened)
            pass(w, PV_MS(10));
        opened = w->n_opened;
        longest = w->now - last > longest ? w->now - last : longest;
        last = w->now;
    }
    assert_true(longest > PV_S(10));
}

static void a_round_that_hangs_ends_after_ten_seconds(void **state)
{
    (void)state;
    struct world *w = world_make();
    w->behaviours[0] = HANGS;
    w->behaviours[1] = MUTE;
    start(w, 2);
    pass(w, PV_MS(9999));
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_OFFLINE], 0);
    pass(w, PV_MS(2));
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_OFFLINE], 1);
    assert_int_equal(w->n_closed, 2);
}

/* A coordinator that starts again refuses where TLS goes, and a firewall swallows the rest: who
 * waited for that would be away for ten seconds. */
static void a_round_that_is_refused_does_not_wait_for_what_hangs(void **state)
{
    (void)state;
    struct world *w = world_make();
    w->behaviours[0] = HANGS;
    w->behaviours[1] = REFUSES;
    start(w, 2);
    pass(w, PV_COORDWAIT_OTHERS);
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_OFFLINE], 0);
    pass(w, PV_MS(300));
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_OFFLINE], 1);
    assert_non_null(strstr(w->last[PV_COORDCLIENT_EV_OFFLINE].text, "refuses the connection"));
    w->behaviours[1] = SERVES;
    pass(w, PV_S(2));
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_ONLINE], 1);
}

static void only_what_goes_through_tls_gets_through(void **state)
{
    (void)state;
    struct world *w = world_make();
    for (size_t i = 0; i < 4; i++)
        w->behaviours[i] = HANGS;
    start(w, 5);
    pass(w, PV_S(1) + PV_MS(1)); /* four that hang, a quarter of a second each */
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_ONLINE], 1);
    assert_true(the_stream(w)->tls);
    assert_true(pv_coordclient_is_tls(w->client));
}

static void a_guess_is_tried_beside_what_hangs(void **state)
{
    (void)state;
    struct world *w = world_make();
    w->behaviours[0] = HANGS;
    start_guessing(w);
    pass(w, PV_MS(260));
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_ONLINE], 1);
    assert_true(the_stream(w)->tls);
}

static void a_guess_keeps_nobody_waiting_and_says_nothing(void **state)
{
    (void)state;
    struct world *w = world_make();
    w->behaviours[0] = REFUSES;
    w->behaviours[1] = MUTE; /* some web server */
    start_guessing(w);
    pass(w, PV_COORDCLIENT_GUESS - PV_MS(1));
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_OFFLINE], 0);
    pass(w, PV_MS(300));
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_OFFLINE], 1);
    assert_non_null(strstr(w->last[PV_COORDCLIENT_EV_OFFLINE].text, "refuses the connection"));
}

static void addresses_may_come_later(void **state)
{
    (void)state;
    struct world *w = world_make();
    start(w, 0);
    pass(w, PV_S(100));
    assert_int_equal(w->n_opened, 0);
    struct pv_coordclient_addr a = {.addr = addr_of(0)};
    pv_coordclient_set_addrs(w->client, &a, 1, w->now);
    pass(w, PV_MS(1));
    assert_int_equal(pv_coordclient_state(w->client), PV_COORDCLIENT_ONLINE);
}

/* Names are looked up anew while an attempt runs: for a moment there may be no address at all. */
static void an_attempt_that_runs_outlives_a_change_of_the_addresses(void **state)
{
    (void)state;
    struct world *w = world_make();
    const struct pv_coordclient_addr other = {.addr = addr_of(1)};
    w->behaviours[0] = HANGS;
    start(w, 1);
    pass(w, PV_MS(100));
    assert_int_equal(w->n_opened, 1);
    pv_coordclient_set_addrs(w->client, NULL, 0, w->now);
    pass(w, PV_MS(100));
    pv_coordclient_set_addrs(w->client, &other, 1, w->now);
    pass(w, PV_S(60));
    assert_int_equal(pv_coordclient_state(w->client), PV_COORDCLIENT_ONLINE);
    assert_int_equal(w->n_closed, w->n_opened - 1); /* the one that hung was closed */
}

static void a_stream_that_was_never_opened_is_not_closed(void **state)
{
    (void)state;
    struct world *w = world_make();
    struct pv_coordclient_stream_op op;
    struct pv_coordclient_target target = {.role = PV_CTL_MEMBER};
    const struct pv_coordclient_addr a = {.addr = addr_of(0)};
    memcpy(target.coordinator, w->coord_pk, sizeof(target.coordinator));
    for (unsigned i = 0; i < 100; i++) { /* up and down, and the shell has no time */
        assert_int_equal(pv_coordclient_start(w->client, &target, &a, 1, w->now), PV_OK);
        pv_coordclient_handle_timeout(w->client, w->now);
    }
    assert_int_equal(pv_coordclient_poll_stream_op(w->client, &op), PV_OK);
    assert_true(op.open);
    pv_coordclient_stop(w->client, w->now);
    assert_int_equal(pv_coordclient_poll_stream_op(w->client, &op), PV_OK);
    assert_false(op.open);
    assert_int_equal(pv_coordclient_poll_stream_op(w->client, &op), PV_ERR_AGAIN);
}

static void another_key_than_the_pinned_one_is_no_coordinator(void **state)
{
    (void)state;
    struct world *w = world_make();
    w->coord_dh[5] ^= 0x40; /* the server has another key than the URL says */
    start(w, 1);
    pass(w, PV_MS(100));
    assert_int_equal(w->n_hellos, 0);
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_ONLINE], 0);
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_OFFLINE], 1);
}

static void a_refused_hello_is_told_and_tried_again_later(void **state)
{
    (void)state;
    struct world *w = world_make();
    w->hello_error = PV_CTL_E_REVOKED;
    start(w, 1);
    pass(w, PV_MS(1));
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_REFUSED], 1);
    assert_int_equal(w->last[PV_COORDCLIENT_EV_REFUSED].msg->u.failure.error, PV_CTL_E_REVOKED);
    assert_int_equal(pv_coordclient_state(w->client), PV_COORDCLIENT_WAITING);
    w->hello_error = PV_CTL_E_NONE;
    pass(w, PV_S(40));
    assert_int_equal(pv_coordclient_state(w->client), PV_COORDCLIENT_ONLINE);
}

/* --- staying --------------------------------------------------------------------------------- */

static void silence_is_probed_after_ten_and_fatal_after_twenty_five_seconds(void **state)
{
    (void)state;
    struct world *w = world_make();
    start(w, 1);
    pass(w, PV_MS(1));
    pass(w, PV_S(60));
    assert_in_range(w->n_pings, 5, 6);
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_OFFLINE], 0);
    assert_int_equal(pv_coordclient_state(w->client), PV_COORDCLIENT_ONLINE);

    w->silent = true;
    pass(w, PV_S(14));
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_OFFLINE], 0);
    pass(w, PV_S(12));
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_OFFLINE], 1);
    assert_int_equal(w->last[PV_COORDCLIENT_EV_OFFLINE].status, PV_ERR_TIMEOUT);
    w->silent = false;
    pass(w, PV_S(40));
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_ONLINE], 2);
}

static void a_client_that_only_listens_is_heard_of_all_the_same(void **state)
{
    (void)state;
    struct world *w = world_make();
    start(w, 1);
    pass(w, PV_S(1));
    /* Pushes come all the time, nothing is asked. */
    for (int i = 0; i < 60; i++) {
        server_send(the_stream(w),
                    (struct pv_ctl_msg){.kind = PV_CTL_PUSH, .type = PV_CTL_PRESENCE});
        pass(w, PV_S(1));
    }
    assert_in_range(w->n_pings, 5, 7);
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_OFFLINE], 0);
}

static void a_closed_connection_is_made_again_within_a_second(void **state)
{
    (void)state;
    struct world *w = world_make();
    start(w, 1);
    for (size_t i = 1; i <= 20; i++) {
        pass(w, PV_MS(1200));
        assert_int_equal(w->n_events[PV_COORDCLIENT_EV_ONLINE], i);
        pass(w, PV_S(10)); /* it lasts */
        hang_up(w, the_stream(w));
    }
}

static void a_kick_makes_a_waiting_client_connect_at_once(void **state)
{
    (void)state;
    struct world *w = world_make();
    w->behaviours[0] = REFUSES;
    start(w, 1);
    pass(w, PV_S(100));
    w->behaviours[0] = SERVES;
    while (pv_coordclient_state(w->client) != PV_COORDCLIENT_WAITING)
        pass(w, PV_MS(1));
    pv_coordclient_kick(w->client, w->now);
    pass(w, 0);
    assert_int_equal(pv_coordclient_state(w->client), PV_COORDCLIENT_ONLINE);
}

static void a_kicked_connection_must_answer_within_three_seconds(void **state)
{
    (void)state;
    struct world *w = world_make();
    start(w, 1);
    pass(w, PV_S(1));
    pv_coordclient_kick(w->client, w->now);
    pass(w, PV_S(4));
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_OFFLINE], 0);
    w->silent = true;
    pv_coordclient_kick(w->client, w->now);
    pass(w, PV_MS(2999));
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_OFFLINE], 0);
    pass(w, PV_MS(2));
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_OFFLINE], 1);
}

static void a_connection_silent_after_a_kick_is_made_again_without_waiting(void **state)
{
    (void)state;
    struct world *w = world_make();
    start(w, 1);
    pass(w, PV_S(1));
    w->silent = true;
    pv_coordclient_kick(w->client, w->now);
    pv_coordclient_kick(w->client, w->now); /* one is enough */
    pass(w, PV_MS(2990));
    size_t opened = w->n_opened;
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_OFFLINE], 0);
    w->silent = false;
    pv_coordclient_kick(w->client, w->now); /* lengthens nothing */
    w->silent = true;
    pass(w, PV_MS(11));
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_OFFLINE], 1);
    assert_int_equal(w->n_opened, opened + 1);
}

/* The time of what was under way has passed in sleep, and says nothing of the coordinator. */
static void who_slept_while_connecting_begins_anew(void **state)
{
    static const enum behaviour before[] = {HANGS, MUTE, SERVES};
    (void)state;
    for (size_t i = 0; i < PV_ARRAY_LEN(before); i++) {
        struct world *w = world_make();
        w->behaviours[0] = before[i];
        w->silent = true; /* no answer to its hello */
        start(w, 1);
        pass(w, PV_S(1));
        assert_true(pv_coordclient_state(w->client) ==
                    (before[i] == SERVES ? PV_COORDCLIENT_HELLO : PV_COORDCLIENT_CONNECTING));
        w->now += PV_S(8 * 3600);
        w->behaviours[0] = SERVES;
        w->silent = false;
        pv_coordclient_woke(w->client, w->now);
        pass(w, 0);
        assert_int_equal(pv_coordclient_state(w->client), PV_COORDCLIENT_ONLINE);
        assert_int_equal(w->n_events[PV_COORDCLIENT_EV_OFFLINE], 0);
    }
}

static void who_slept_while_waiting_or_connected_connects_at_once(void **state)
{
    (void)state;
    struct world *w = world_make();
    w->behaviours[0] = REFUSES;
    start(w, 1);
    pass(w, PV_S(100));
    while (pv_coordclient_state(w->client) != PV_COORDCLIENT_WAITING)
        pass(w, PV_MS(1));
    w->behaviours[0] = SERVES;
    for (int i = 0; i < 2; i++) {
        w->now += PV_S(8 * 3600);
        pv_coordclient_woke(w->client, w->now);
        pass(w, 0);
        assert_int_equal(pv_coordclient_state(w->client), PV_COORDCLIENT_ONLINE);
    }
}

static void a_node_whose_address_is_gone_connects_at_once(void **state)
{
    (void)state;
    struct world *w = world_make();
    pv_coordclient_moved(w->client, w->now); /* not started: nothing to do */
    start(w, 1);
    pass(w, PV_S(1));
    assert_int_equal(w->n_opened, 1);
    pv_coordclient_moved(w->client, w->now);
    pass(w, PV_MS(1));
    assert_int_equal(w->n_opened, 2);
    assert_int_equal(w->n_closed, 1);
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_OFFLINE], 1);
    assert_int_equal(pv_coordclient_state(w->client), PV_COORDCLIENT_ONLINE);
    /* Also in the middle of connecting, which is no loss worth telling. */
    w->behaviours[0] = HANGS;
    pv_coordclient_moved(w->client, w->now);
    pass(w, PV_S(1));
    w->behaviours[0] = SERVES;
    pv_coordclient_moved(w->client, w->now);
    pass(w, PV_MS(1));
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_OFFLINE], 2);
    assert_int_equal(pv_coordclient_state(w->client), PV_COORDCLIENT_ONLINE);
}

static void who_was_replaced_does_not_push_the_other_out_at_once(void **state)
{
    (void)state;
    struct world *w = world_make();
    start(w, 1);
    pass(w, PV_S(1));
    struct stream *s = the_stream(w);
    server_send(s, (struct pv_ctl_msg){.kind = PV_CTL_PUSH,
                                       .type = PV_CTL_BYE,
                                       .u.failure = {PV_CTL_E_REPLACED, "a newer one"}});
    pump(w);
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_PUSH], 1);
    hang_up(w, the_stream(w));
    pass(w, PV_S(14));
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_ONLINE], 1);
    pass(w, PV_S(17));
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_ONLINE], 2);
    hang_up(w, the_stream(w)); /* an ordinary end again */
    pass(w, PV_S(2));
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_ONLINE], 3);
}

static void stop_closes_and_stays_quiet(void **state)
{
    (void)state;
    struct world *w = world_make();
    start(w, 1);
    pass(w, PV_S(1));
    pv_coordclient_stop(w->client, w->now);
    pass(w, PV_S(1000));
    assert_int_equal(w->n_closed, 1);
    assert_int_equal(w->n_opened, 1);
    assert_int_equal(pv_coordclient_next_timeout(w->client), PV_NEVER);
    struct pv_ctl_msg msg = {.type = PV_CTL_LIST};
    assert_int_equal(pv_coordclient_request(w->client, &msg, 1), PV_ERR_STATE);
}

/* --- talking --------------------------------------------------------------------------------- */

static void answers_find_their_requests(void **state)
{
    (void)state;
    struct world *w = world_make();
    start(w, 1);
    pass(w, PV_S(1));
    struct pv_ctl_msg a = {.type = PV_CTL_LIST}, b = {.type = PV_CTL_PULL};
    assert_int_equal(pv_coordclient_request(w->client, &a, 71), PV_OK);
    assert_int_equal(pv_coordclient_request(w->client, &b, 72), PV_OK);
    pump(w);
    struct stream *s = the_stream(w);
    server_send(s, answer_to(&b, PV_CTL_STATEMENTS));
    pump(w);
    assert_int_equal(w->last[PV_COORDCLIENT_EV_ANSWER].tag, 72);
    assert_int_equal(w->last[PV_COORDCLIENT_EV_ANSWER].request, PV_CTL_PULL);
    server_send(s, answer_to(&b, PV_CTL_STATEMENTS)); /* twice: nobody waits for it */
    struct pv_ctl_msg refused = answer_to(&a, PV_CTL_ERROR);
    refused.u.failure.error = PV_CTL_E_LIMIT;
    refused.u.failure.message = "slow down";
    server_send(s, refused);
    pump(w);
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_ANSWER], 2);
    assert_int_equal(w->last[PV_COORDCLIENT_EV_ANSWER].tag, 71);
    assert_int_equal(w->last[PV_COORDCLIENT_EV_ANSWER].msg->u.failure.error, PV_CTL_E_LIMIT);
}

static void unknown_pushes_are_ignored_and_bad_json_ends_the_connection(void **state)
{
    (void)state;
    static const char news[] = "{\"t\":\"news\"}", bad[] = "{\"t\":";
    struct world *w = world_make();
    start(w, 1);
    pass(w, PV_S(1));
    struct stream *s = the_stream(w);
    assert_int_equal(pv_control_send(s->server, pv_view(news, strlen(news))), PV_OK);
    pump(w);
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_PUSH], 0);
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_OFFLINE], 0);
    assert_int_equal(pv_control_send(s->server, pv_view(bad, strlen(bad))), PV_OK);
    pump(w);
    assert_int_equal(w->n_events[PV_COORDCLIENT_EV_OFFLINE], 1);
}

static void requests_without_answers_are_bounded(void **state)
{
    (void)state;
    struct world *w = world_make();
    start(w, 1);
    pass(w, PV_S(1));
    for (size_t i = 0; i <= PV_COORDCLIENT_MAX_PENDING; i++) {
        struct pv_ctl_msg msg = {.type = PV_CTL_LIST};
        assert_int_equal(pv_coordclient_request(w->client, &msg, i),
                         i < PV_COORDCLIENT_MAX_PENDING ? PV_OK : PV_ERR_LIMIT);
        pump(w);
    }
}

int main(void)
{
    if (pv_crypto_init() != PV_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_connects_says_hello_and_is_online),
        cmocka_unit_test(addresses_are_tried_250_ms_apart_and_the_first_proven_one_wins),
        cmocka_unit_test(a_refused_address_is_followed_by_the_next_at_once),
        cmocka_unit_test(attempts_go_on_with_growing_jittered_pauses),
        cmocka_unit_test(while_somebody_waits_the_pauses_stay_short),
        cmocka_unit_test(a_round_that_hangs_ends_after_ten_seconds),
        cmocka_unit_test(a_round_that_is_refused_does_not_wait_for_what_hangs),
        cmocka_unit_test(only_what_goes_through_tls_gets_through),
        cmocka_unit_test(a_guess_is_tried_beside_what_hangs),
        cmocka_unit_test(a_guess_keeps_nobody_waiting_and_says_nothing),
        cmocka_unit_test(addresses_may_come_later),
        cmocka_unit_test(an_attempt_that_runs_outlives_a_change_of_the_addresses),
        cmocka_unit_test(a_stream_that_was_never_opened_is_not_closed),
        cmocka_unit_test(another_key_than_the_pinned_one_is_no_coordinator),
        cmocka_unit_test(a_refused_hello_is_told_and_tried_again_later),
        cmocka_unit_test(silence_is_probed_after_ten_and_fatal_after_twenty_five_seconds),
        cmocka_unit_test(a_client_that_only_listens_is_heard_of_all_the_same),
        cmocka_unit_test(a_closed_connection_is_made_again_within_a_second),
        cmocka_unit_test(a_kick_makes_a_waiting_client_connect_at_once),
        cmocka_unit_test(a_kicked_connection_must_answer_within_three_seconds),
        cmocka_unit_test(a_connection_silent_after_a_kick_is_made_again_without_waiting),
        cmocka_unit_test(who_slept_while_connecting_begins_anew),
        cmocka_unit_test(who_slept_while_waiting_or_connected_connects_at_once),
        cmocka_unit_test(a_node_whose_address_is_gone_connects_at_once),
        cmocka_unit_test(who_was_replaced_does_not_push_the_other_out_at_once),
        cmocka_unit_test(stop_closes_and_stays_quiet),
        cmocka_unit_test(answers_find_their_requests),
        cmocka_unit_test(unknown_pushes_are_ignored_and_bad_json_ends_the_connection),
        cmocka_unit_test(requests_without_answers_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
