/* SPDX-License-Identifier: MIT */
/*
 * test_session_timers.c - the session's traffic timers, and its messages while there is no path.
 */
#include "session_world.h"

static const struct w_options MEMBERS = {.members = true};

/* The tests here count keepalives beyond the one that proves the keys. */
static struct world *connected(struct w_options o)
{
    struct world *w = w_new(o);
    w_connect(w, 0);
    w->n[0].keepalives = 0;
    w->n[1].keepalives = 0;
    return w;
}

PV_TEST(one_keepalive_answers_data_after_10_s)
{
    struct world *w = connected(MEMBERS);
    assert_true(w_send(w, 0, false));
    w_run(w, w->delay);
    w_run(w, PV_S(10) - 1);
    assert_int_equal(w->n[1].keepalives, 0);
    w_run(w, 1);
    assert_int_equal(w->n[1].keepalives, 1);
    w_run(w, PV_S(60)); /* a keepalive is not answered */
    assert_int_equal(w->n[0].keepalives + w->n[1].keepalives, 1);
    assert_int_equal(w->n[0].msg1, 1);
}

PV_TEST(data_the_other_way_saves_the_keepalive)
{
    struct world *w = connected(MEMBERS);
    assert_true(w_send(w, 0, false));
    w_run(w, PV_S(9));
    assert_true(w_send(w, 1, false));
    w_run(w, PV_S(9));
    assert_int_equal(w->n[1].keepalives, 0);
    w_run(w, PV_S(2)); /* now node 0 owes one */
    assert_int_equal(w->n[0].keepalives, 1);
}

PV_TEST(silence_after_data_begins_a_handshake_after_15_s)
{
    struct world *w = connected(MEMBERS);
    w->cut[1] = true;
    pv_ns first = w->now;
    for (int i = 0; i < 20; i++) { /* later packets do not push it back */
        (void)!w_send(w, 0, false);
        w_run(w, PV_S(1));
    }
    assert_int_equal(w->n[0].msg1, 2);
    assert_in_range(w->n[0].last_msg1, first + PV_S(15), first + PV_S(15) + PV_SESSION_JITTER);
    w->cut[1] = false;
    w_run(w, PV_S(6));
    assert_int_equal(w->n[0].done, 2);
}

PV_TEST(an_answer_in_time_begins_nothing)
{
    struct world *w = connected(MEMBERS);
    for (int i = 0; i < 8; i++) {
        assert_true(w_send(w, 0, false));
        w_run(w, PV_S(14)); /* the keepalive after 10 s is answer enough */
    }
    assert_int_equal(w->n[0].msg1, 1);
}

PV_TEST(without_a_path_both_timers_stand_still)
{
    struct world *w = connected(MEMBERS);
    w->loss = 100;
    assert_true(w_send(w, 0, false)); /* unheard after 15 s */
    w->n[1].seen.data_received = w->n[1].seen.any_received = w->now + 1;
    pv_session_note_traffic(w->n[1].session, &w->n[1].seen, w->now + 1); /* owes after 10 s */
    w_run(w, PV_S(5));
    w_reach(w, 0, PV_SESSION_NOWHERE);
    w_reach(w, 1, PV_SESSION_BY_SIGNAL);
    w_run(w, PV_S(50));
    assert_int_equal(w->n[0].msg1, 1);
    assert_int_equal(w->n[1].keepalives, 0);
    w_reach(w, 0, PV_SESSION_BY_UDP);
    w_reach(w, 1, PV_SESSION_BY_UDP);
    w_run(w, PV_S(4));
    assert_int_equal(w->n[1].keepalives, 0);
    w_run(w, PV_S(2)); /* 5 + 5 s */
    assert_int_equal(w->n[1].keepalives, 1);
    assert_int_equal(w->n[0].msg1, 1);
    w_run(w, PV_S(5)); /* 5 + 10 s */
    assert_int_equal(w->n[0].msg1, 2);
}

PV_TEST(persistent_keepalives_begin_at_once_and_never_give_up)
{
    struct world *w = w_new((struct w_options){.persistent = 25});
    w_run(w, PV_S(1));
    assert_int_equal(w->n[0].done, 1); /* nobody had asked for it */
    unsigned before = w->n[0].keepalives;
    w_run(w, PV_S(100));
    assert_in_range(w->n[0].keepalives - before, 3, 4);
    w_run(w, PV_S(600)); /* keys are renewed on the way */
    assert_true(w->n[0].done >= 5);
    assert_true(pv_session_has_keys(w->n[0].session, w->now));
    w->loss = 100;
    w_run(w, PV_S(1000));
    w->loss = 0;
    w_run(w, PV_S(40));
    assert_true(pv_session_has_keys(w->n[0].session, w->now));
}

PV_TEST(nothing_is_sent_to_a_peer_that_cannot_be_reached)
{
    struct world *w = w_new(MEMBERS);
    w_reach(w, 0, PV_SESSION_NOWHERE);
    w_want(w, 0);
    w_run(w, PV_S(300));
    assert_int_equal(w->n[0].msg1, 0);
    assert_int_equal(w->n[0].give_ups, 0);
    w_reach(w, 0, PV_SESSION_BY_UDP);
    assert_int_equal(w->n[0].msg1, 1);
    w_run(w, PV_S(1));
    assert_int_equal(w->n[0].done, 1);
}

PV_TEST(messages_by_signal_make_keys_before_there_is_a_path)
{
    struct world *w = w_new(MEMBERS);
    w_reach(w, 0, PV_SESSION_BY_SIGNAL);
    w_reach(w, 1, PV_SESSION_BY_SIGNAL);
    w_want(w, 0);
    assert_int_equal(w->n[0].last_tx.via, PV_SESSION_BY_SIGNAL);
    w_run(w, PV_S(2));
    assert_int_equal(w->n[1].last_tx.via, PV_SESSION_BY_SIGNAL);
    assert_true(pv_session_has_keys(w->n[0].session, w->now));
    assert_int_equal(w->n[0].keepalives, 0);
    assert_int_equal(w->n[1].done, 0);

    /* The responder finds the path first and has data: it waits for the proof. */
    w_reach(w, 1, PV_SESSION_BY_UDP);
    w_want(w, 1);
    w_run(w, PV_MS(100));
    assert_int_equal(w->n[1].msg1, 0);
    w_reach(w, 0, PV_SESSION_BY_UDP);
    assert_int_equal(w->n[0].keepalives, 1);
    w_run(w, PV_MS(100));
    assert_int_equal(w->n[1].done, 1);
    w_run(w, PV_S(20));
    assert_int_equal(w->n[0].msg1, 1);
    assert_int_equal(w->n[1].msg1, 0);
}

PV_TEST(a_responder_that_waits_in_vain_for_the_proof_begins_itself)
{
    struct world *w = w_new(MEMBERS);
    w_reach(w, 0, PV_SESSION_BY_SIGNAL);
    w_reach(w, 1, PV_SESSION_BY_SIGNAL);
    w_want(w, 0);
    w_run(w, PV_S(2));
    w_reach(w, 1, PV_SESSION_BY_UDP);
    w_want(w, 1);
    w_run(w, PV_MS(999));
    assert_int_equal(w->n[1].msg1, 0);
    w_run(w, PV_MS(100));
    assert_int_equal(w->n[1].msg1, 1);
    assert_int_equal(w->n[1].done, 1);
}

PV_TEST(a_responder_whose_path_is_silent_does_not_wait_for_ever)
{
    struct world *w = w_new(MEMBERS);
    w_reach(w, 0, PV_SESSION_BY_SIGNAL);
    w_reach(w, 1, PV_SESSION_BY_SIGNAL);
    w_want(w, 0);
    w_run(w, PV_S(2));
    w_reach(w, 1, PV_SESSION_BY_UDP);
    w_want(w, 1);
    w_run(w, PV_MS(500));
    w_reach(w, 1, PV_SESSION_BY_BOTH); /* without keys nothing is heard on it */
    w_run(w, PV_MS(499));
    assert_int_equal(w->n[1].msg1, 0);
    w_run(w, PV_MS(100));
    assert_int_equal(w->n[1].msg1, 1);
    assert_int_equal(w->n[1].last_tx.via, PV_SESSION_BY_SIGNAL);
    w_run(w, PV_S(2));
    assert_int_equal(w->n[1].done, 1);
}

PV_TEST(keys_are_proved_over_a_silent_path_and_again_when_it_is_heard)
{
    struct world *w = w_new((struct w_options){.members = true, .repeat = true});
    w_reach(w, 0, PV_SESSION_BY_BOTH);
    w_reach(w, 1, PV_SESSION_BY_SIGNAL);
    w_want(w, 0);
    assert_int_equal(w->n[0].last_tx.via, PV_SESSION_BY_SIGNAL);
    while (w->n[0].done == 0)
        w_run(w, PV_MS(10));
    w->loss = 100;
    w_run(w, PV_MS(10));
    unsigned before = w->n[0].keepalives;
    assert_true(before > 0);
    assert_int_equal(w->n[0].msg1, 1);
    w_reach(w, 0, PV_SESSION_BY_UDP);
    assert_int_equal(w->n[0].keepalives, before + 1);
}

PV_TEST(a_message_lost_as_signal_is_repeated_when_the_path_begins)
{
    struct world *w = w_new(MEMBERS);
    w->loss = 100;
    w_reach(w, 0, PV_SESSION_BY_SIGNAL);
    w_want(w, 0);
    struct pv_session_transmit first = w->n[0].last_tx;
    w_run(w, PV_S(1));
    w->loss = 0;
    w_reach(w, 0, PV_SESSION_BY_UDP);
    assert_int_equal(w->n[0].msg1, 2);
    assert_int_equal(w->n[0].last_tx.via, PV_SESSION_BY_UDP);
    assert_false(w->n[0].last_tx.took_index);
    assert_memory_equal(first.msg, w->n[0].last_tx.msg, first.len);
    w_run(w, PV_MS(100));
    assert_int_equal(w->n[0].done, 1);
    assert_int_equal(w->n[1].done, 1);
}

PV_TEST(messages_by_signal_carry_no_mac2)
{
    struct world *w = w_new(MEMBERS);
    w->n[1].under_load = true;
    w_want(w, 0);
    w_run(w, PV_S(1));
    assert_int_equal(w->n[1].cookies, 1);
    w_reach(w, 0, PV_SESSION_BY_SIGNAL);
    w_run(w, PV_S(5));
    assert_int_equal(w->n[0].msg1, 2);
    assert_int_equal(w->n[0].last_tx.via, PV_SESSION_BY_SIGNAL);
    assert_true(pv_ct_is_zero(w->n[0].last_tx.msg + PV_WGMSG_INITIATION_LEN - 16, 16));
    assert_int_equal(w->n[1].cookies, 1); /* and are never answered by a cookie */
    assert_int_equal(w->n[1].msg2, 1);
}

PV_TEST(a_new_gen_lifts_the_limit_on_sending_once)
{
    struct world *w = w_new(MEMBERS);
    w->loss = 100;
    w_reach(w, 0, PV_SESSION_BY_SIGNAL);
    w_want(w, 0);
    w_run(w, PV_S(1));
    w_want(w, 0);
    assert_int_equal(w->n[0].msg1, 1);
    pv_session_peer_new_gen(w->n[0].session);
    w_want(w, 0);
    assert_int_equal(w->n[0].msg1, 2);
    w_want(w, 0);
    w_run(w, PV_S(4));
    assert_int_equal(w->n[0].msg1, 2);
    w_run(w, PV_S(2));
    assert_int_equal(w->n[0].msg1, 3);
}

/* A message 1 of node 0 as a signal, made whatever node 0's own limits say. */
static int signal_to_node1(struct world *w)
{
    struct pv_session_transmit tx;
    struct w_packet p = {.via = PV_SESSION_BY_SIGNAL};
    w_drain(w, 0);
    pv_session_peer_new_gen(w->n[0].session);
    pv_session_want(w->n[0].session, w->now);
    w->n[0].next_index += 0x100;
    assert_int_equal(pv_session_poll_transmit(w->n[0].session, w->n[0].next_index, w->n[0].stamp_us,
                                              w->now, &tx),
                     PV_OK);
    w->n[0].indices++;
    p.len = tx.len;
    memcpy(p.msg, tx.msg, tx.len);
    int r = w_initiation(w, 1, &p);
    w_drain(w, 1);
    return r;
}

PV_TEST(messages_1_by_signal_are_limited_and_a_new_gen_lifts_that_once)
{
    struct world *w = w_new(MEMBERS);
    w_reach(w, 0, PV_SESSION_BY_SIGNAL);
    w_reach(w, 1, PV_SESSION_BY_SIGNAL);
    assert_int_equal(signal_to_node1(w), PV_OK);
    w->now += PV_S(1);
    assert_int_equal(signal_to_node1(w), PV_ERR_LIMIT);
    pv_session_peer_new_gen(w->n[1].session);
    assert_int_equal(signal_to_node1(w), PV_OK);
    w->now += PV_S(1);
    assert_int_equal(signal_to_node1(w), PV_ERR_LIMIT);
    w->now += PV_SESSION_SIGNAL_GAP;
    assert_int_equal(signal_to_node1(w), PV_OK);
}

PV_TEST(a_peer_that_restarted_gets_new_keys_at_once)
{
    struct world *w = connected(MEMBERS);
    /* Node 1 restarts: it has no keys and does not know. Node 0 hears of its new gen. */
    pv_session_free(w->n[1].session);
    memset(w->n[1].keys, 0, sizeof(w->n[1].keys));
    w->n[1].indices = w->n[1].use = 0;
    w->n[1].session = w_session(w, 1, 0, &MEMBERS);
    pv_session_set_reach(w->n[1].session, PV_SESSION_BY_UDP, w->now);
    pv_session_peer_new_gen(w->n[0].session);
    w_want(w, 0);
    w_run(w, PV_MS(100));
    assert_int_equal(w->n[0].done, 2);
    assert_true(pv_session_has_keys(w->n[1].session, w->now));
}

PV_TEST(a_message_1_that_was_lost_is_repeated_after_half_a_second_and_doubling)
{
    struct world *w = w_new((struct w_options){.members = true, .repeat = true});
    w->cut[1] = true;
    w_want(w, 0);
    w_run(w, PV_MS(499));
    assert_int_equal(w->n[0].msg1, 1);
    w_run(w, PV_MS(1));
    assert_int_equal(w->n[0].msg1, 2);
    w_run(w, PV_MS(500));
    assert_int_equal(w->n[0].msg1, 3);
    w_run(w, PV_S(1));
    assert_int_equal(w->n[0].msg1, 4);
    w_run(w, PV_MS(1999));
    assert_int_equal(w->n[0].msg1, 4);
    w->cut[1] = false;
    w_run(w, PV_MS(100));
    assert_int_equal(w->n[0].msg1, 5);
    assert_int_equal(w->n[0].done, 1);
    assert_int_equal(w->n[1].done, 1);
    w_run(w, PV_S(10)); /* and no more than that */
    assert_int_equal(w->n[0].msg1, 5);
}

/* The other end is not there yet: it starts a second later. */
PV_TEST(a_first_message_1_to_a_static_peer_is_repeated_and_later_ones_are_not)
{
    struct world *w = w_new((struct w_options){.repeat = true});
    w->cut[1] = true;
    w_want(w, 0);
    w_run(w, PV_MS(990));
    assert_int_equal(w->n[0].msg1, 2);
    w->cut[1] = false;
    w_run(w, PV_MS(100));
    assert_int_equal(w->n[0].msg1, 3);
    assert_int_equal(w->n[0].done, 1);
    assert_int_equal(w->n[1].done, 1);
    unsigned proofs = w->n[0].keepalives;
    w_run(w, PV_S(5));
    assert_int_equal(w->n[0].keepalives, proofs); /* keys are proven once, as others do */

    w = w_new((struct w_options){.repeat = true});
    w->cut[1] = true;
    w_want(w, 0);
    w_run(w, PV_MS(4990));
    assert_int_equal(w->n[0].msg1, 5);
    w_run(w, PV_S(10));
    assert_int_equal(w->n[0].msg1, 7);
}

PV_TEST(a_message_2_that_was_lost_is_given_again_to_who_repeats)
{
    struct world *w = w_new((struct w_options){.members = true, .repeat = true});
    w->cut[0] = true;
    w_want(w, 0);
    w_run(w, PV_MS(450));
    assert_int_equal(w->n[1].msg2, 1);
    w->cut[0] = false;
    w_run(w, PV_MS(200));
    assert_int_equal(w->n[0].msg1, 2);
    assert_int_equal(w->n[1].msg2, 2);
    assert_int_equal(w->n[0].done, 1);
    assert_int_equal(w->n[1].done, 1);
}

PV_TEST(a_message_1_that_a_dead_path_took_is_repeated_by_signal)
{
    struct world *w = w_new(MEMBERS);
    w->cut[1] = true;
    w_want(w, 0);
    w_run(w, PV_MS(100));
    assert_int_equal(w->n[0].msg1, 1);
    w->cut[1] = false;
    w_reach(w, 0, PV_SESSION_BY_SIGNAL);
    w_run(w, PV_MS(100));
    assert_int_equal(w->n[0].msg1, 2);
    assert_int_equal(w->n[0].last_tx.via, PV_SESSION_BY_SIGNAL);
    assert_true(pv_ct_is_zero(w->n[0].last_tx.msg + PV_WGMSG_INITIATION_LEN - 16, 16));
    assert_int_equal(w->n[0].done, 1);
}

PV_TEST(retries_that_cross_make_keys_at_once)
{
    struct world *w = w_new(MEMBERS);
    w->no_messages = true;
    w_want(w, 0);
    w_want(w, 1);
    w_run(w, PV_MS(4990));
    assert_int_equal(w->n[0].msg1 + w->n[1].msg1, 2);
    w->no_messages = false;
    w_run(w, PV_MS(400)); /* both try again within a third of a second */
    assert_int_equal(w->n[0].done, 1);
    assert_int_equal(w->n[1].done, 1);
    assert_true(pv_session_has_keys(w->n[0].session, w->now));
    assert_true(pv_session_has_keys(w->n[1].session, w->now));
}

PV_TEST(keys_are_proven_again_until_the_peer_uses_them)
{
    struct world *w = w_new((struct w_options){.members = true, .repeat = true});
    w_want(w, 0);
    w_run(w, 2 * w->delay);
    assert_int_equal(w->n[0].done, 1);
    w->cut[1] = true; /* the empty packet that proves them is lost, and the next */
    w_run(w, PV_MS(600));
    w->cut[1] = false;
    assert_int_equal(w->n[1].done, 0);
    w_run(w, PV_S(1));
    assert_int_equal(w->n[1].done, 1);
    unsigned sent = w->n[0].keepalives;
    w_run(w, PV_S(100));
    assert_in_range(w->n[0].keepalives, sent, sent + 1);
}

PV_TEST(static_peers_that_are_to_repeat_nothing_repeat_nothing)
{
    struct world *w = w_new((struct w_options){.members = false});
    w->cut[0] = true;
    w_want(w, 0);
    w_run(w, PV_MS(4900));
    assert_int_equal(w->n[0].msg1, 1);
    assert_int_equal(w->n[1].msg2, 1);
}

PV_TEST(a_new_life_that_began_a_handshake_needs_none_of_ours)
{
    struct world *w = w_new(MEMBERS);
    w->delay = PV_MS(50);
    w_reach(w, 0, PV_SESSION_BY_UDP);
    w_reach(w, 1, PV_SESSION_BY_UDP);
    w_want(w, 0);
    w_run(w, PV_MS(10));
    /* Its new gen comes just before its message 1; packets wait here. */
    pv_session_peer_new_gen(w->n[1].session);
    w_run(w, PV_MS(50));
    w_want(w, 1);
    w_run(w, PV_MS(500));
    assert_int_equal(w->n[1].msg1, 0);
    assert_int_equal(w->n[0].done, 1);
    assert_int_equal(w->n[1].done, 1);
}
