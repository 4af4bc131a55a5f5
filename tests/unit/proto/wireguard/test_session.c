/* SPDX-License-Identifier: MIT */
#include "base/bytes.h"
#include "session_world.h"

static const struct w_options MEMBERS = {.members = true};
static const struct w_options STATIC = {.members = false};

/* Does node i get a packet through to the other? */
static bool reaches(struct world *w, int i)
{
    unsigned before = w->n[1 - i].data_in;
    if (!w_send(w, i, false))
        return false;
    w_run(w, w->delay + PV_MS(1));
    return w->n[1 - i].data_in == before + 1;
}

PV_TEST(a_handshake_gives_both_sides_the_same_keys)
{
    for (int i = 0; i < 2; i++) {
        struct world *w = w_new(MEMBERS);
        w_connect(w, i);
        assert_int_equal(w->n[i].msg1, 1);
        assert_int_equal(w->n[1 - i].msg2, 1);
        assert_int_equal(w->n[i].keepalives, 1); /* the initiator proves the keys at once */
        assert_int_equal(w->n[0].done, 1);
        assert_int_equal(w->n[1].done, 1);
        assert_int_equal(w->n[i].done_initiator, 1);
        assert_int_equal(w->n[1 - i].done_initiator, 0);
        assert_true(reaches(w, 0));
        assert_true(reaches(w, 1));
        assert_int_equal(w->n[0].indices, 1);
        assert_int_equal(w->n[1].indices, 1);
        assert_false(pv_session_is_trying(w->n[i].session));
        test_end(w);
    }
}

PV_TEST(the_responder_does_not_send_before_the_keys_are_proven)
{
    struct world *w = w_new(MEMBERS);
    w->delay = PV_MS(100);
    w_want(w, 0);
    w_run(w, PV_MS(150)); /* message 2 is under way */
    assert_int_equal(w->n[1].msg2, 1);
    assert_int_equal(w->n[1].use, 0);
    assert_false(pv_session_has_keys(w->n[1].session, w->now));
    w_run(w, PV_MS(100)); /* so is the keepalive */
    assert_int_equal(w->n[1].use, 0);
    w_run(w, PV_MS(100));
    assert_int_not_equal(w->n[1].use, 0);
}

PV_TEST(a_lost_message_is_retried_after_5_s_and_jitter)
{
    struct world *w = w_new(MEMBERS);
    w->loss = 100;
    w_want(w, 0);
    pv_ns first = w->n[0].last_msg1;
    w_run(w, PV_S(5) - 1);
    assert_int_equal(w->n[0].msg1, 1);
    w_run(w, PV_SESSION_JITTER + 1);
    assert_int_equal(w->n[0].msg1, 2);
    assert_true(w->n[0].last_msg1 - first >= PV_S(5));
    w->loss = 0;
    w_run(w, PV_S(6));
    assert_int_equal(w->n[0].msg1, 3);
    assert_true(reaches(w, 0));
    assert_true(reaches(w, 1));
}

PV_TEST(an_attempt_ends_after_90_s)
{
    struct world *w = w_new(STATIC);
    w->loss = 100;
    w_want(w, 0);
    w_run(w, PV_S(90) - 1);
    assert_int_equal(w->n[0].give_ups, 0);
    w_run(w, 1);
    assert_int_equal(w->n[0].give_ups, 1);
    assert_in_range(w->n[0].msg1, 17, 18);
    assert_int_equal(w->n[0].indices, 0);
    unsigned sent = w->n[0].msg1;
    w_run(w, PV_S(600));
    assert_int_equal(w->n[0].msg1, sent);
    assert_int_equal(w->n[0].give_ups, 1);
    w_want(w, 0); /* and may begin again */
    assert_int_equal(w->n[0].msg1, sent + 1);
}

PV_TEST(an_attempt_that_nobody_needs_any_more_ends_without_a_word)
{
    struct world *w = w_new(STATIC);
    pv_session_cancel(w->n[0].session); /* nothing is under way */
    w->loss = 100;
    w_want(w, 0);
    w_run(w, PV_S(12));
    unsigned sent = w->n[0].msg1;
    assert_true(sent >= 2 && pv_session_is_trying(w->n[0].session));
    pv_session_cancel(w->n[0].session);
    assert_false(pv_session_is_trying(w->n[0].session));
    w_run(w, PV_S(200));
    assert_int_equal(w->n[0].msg1, sent);
}

PV_TEST(a_wish_during_an_attempt_lengthens_it)
{
    struct world *w = w_new(STATIC);
    w->loss = 100;
    w_want(w, 0);
    w_run(w, PV_S(60));
    w_want(w, 0);
    w_run(w, PV_S(89));
    assert_int_equal(w->n[0].give_ups, 0);
    w_run(w, PV_S(2));
    assert_int_equal(w->n[0].give_ups, 1);
}

PV_TEST(when_messages_of_members_cross_the_lower_identity_wins)
{
    struct world *w = w_new(MEMBERS);
    w_want(w, 0);
    w_want(w, 1);
    w_run(w, PV_MS(21));
    assert_int_equal(w->n[0].last_status, PV_ERR_REFUSED);
    w_run(w, PV_MS(200));
    assert_int_equal(w->n[0].done, 1);
    assert_int_equal(w->n[0].done_initiator, 1);
    assert_int_equal(w->n[1].done, 1);
    assert_int_equal(w->n[1].done_initiator, 0);
    assert_int_equal(w->n[0].indices, 1);
    assert_int_equal(w->n[1].indices, 1);
    w_run(w, PV_S(20));                /* nothing goes on */
    assert_int_equal(w->n[0].msg1, 2); /* the second one in case the first was lost */
    assert_int_equal(w->n[1].msg1, 1);
    assert_int_equal(w->n[1].msg2, 1);
}

PV_TEST(a_lost_message_of_the_lower_identity_is_repeated_when_they_cross)
{
    struct world *w = w_new(MEMBERS);
    w->loss = 100;
    w_want(w, 0);
    struct pv_session_transmit first = w->n[0].last_tx;
    w->loss = 0;
    w_want(w, 1);
    w_run(w, PV_MS(200));
    assert_false(w->n[0].last_tx.took_index);
    assert_memory_equal(first.msg, w->n[0].last_tx.msg, first.len);
    assert_int_equal(w->n[0].done_initiator, 1);
    assert_int_equal(w->n[1].done, 1);
}

PV_TEST(the_lower_identity_answers_when_its_own_messages_do_not_arrive)
{
    struct world *w = w_new(MEMBERS);
    w->cut[1] = true; /* node 1 can send but not receive */
    w_want(w, 0);
    w_run(w, PV_S(1));
    w_want(w, 1);
    w_run(w, PV_S(4));
    assert_int_equal(w->n[0].msg2, 0);
    w_run(w, PV_S(2)); /* 5 s after the first message the retry of node 1 is answered */
    assert_true(w->n[0].msg2 > 0);
    w->cut[1] = false;
    w_run(w, PV_S(11));
    assert_true(reaches(w, 0));
    assert_true(reaches(w, 1));
}

/* Node 0 keeps its own message 1 when the other's are let through after 5 s, and that is slow. By
 * then the other's handshake is proven; node 1 heard of a new gen meanwhile and wants other keys.
 */
PV_TEST(an_answer_to_a_message_that_crossed_is_taken_after_the_keys_were_proven)
{
    struct world *w = w_new(MEMBERS);
    w->no_messages = true;
    w_want(w, 0);
    w_run(w, PV_MS(4990));
    w->no_messages = false;
    w->delay = PV_S(1); /* as a signal through the coordinator */
    w_run(w, PV_MS(350));
    assert_int_equal(w->n[0].msg1, 2);
    w->delay = PV_MS(20);
    w_connect(w, 1);
    assert_int_equal(w->n[0].msg2, 1);
    assert_false(pv_session_is_trying(w->n[0].session));

    struct w_packet *slow = w_next_packet(w);
    assert_non_null(slow);
    w->now = slow->due;
    pv_session_peer_new_gen(w->n[1].session);
    pv_session_want(w->n[1].session, w->now); /* what comes with the gen is before one of its own */
    w_deliver(w, slow);
    w_drain(w, 1);
    assert_int_equal(w->n[1].msg2, 1);
    assert_int_equal(w->n[1].msg1, 1);
    w_run(w, PV_MS(200));
    assert_int_equal(w->n[1].done, 2);
    assert_false(pv_session_is_trying(w->n[1].session));
    assert_int_equal(w->n[0].indices, 2); /* the keys in use, and those before */
    assert_int_equal(w->n[1].indices, 2);
}

PV_TEST(a_message_that_nobody_answered_is_forgotten_after_the_keys_were_proven)
{
    struct world *w = w_new(MEMBERS);
    w->no_messages = true;
    w_want(w, 0);
    w_run(w, PV_MS(5400));
    assert_int_equal(w->n[0].msg1, 2);
    w->no_messages = false;
    w_connect(w, 1);
    assert_false(pv_session_is_trying(w->n[0].session));
    assert_int_equal(w->n[0].indices, 2);
    w_run(w, PV_S(6));
    assert_int_equal(w->n[0].indices, 1);
    assert_int_equal(w->n[0].msg1, 2);
}

/* Not even by a node that wants other keys meanwhile and has no way to say so. */
PV_TEST(a_message_that_nobody_answered_is_forgotten_while_other_keys_are_wanted)
{
    struct world *w = w_new(MEMBERS);
    w->no_messages = true;
    w_want(w, 0);
    w_run(w, PV_MS(5400));
    w->no_messages = false;
    w_connect(w, 1);
    assert_int_equal(w->n[0].indices, 2);
    w_reach(w, 0, PV_SESSION_NOWHERE);
    w_want(w, 0);
    w_run(w, PV_S(6));
    assert_int_equal(w->n[0].indices, 1);
    assert_int_equal(w->n[0].msg1, 2);
}

PV_TEST(crossing_messages_of_static_peers_resolve_by_retry)
{
    struct world *w = w_new(STATIC);
    w_want(w, 0);
    w_want(w, 1);
    w_run(w, PV_S(1));
    assert_int_equal(w->n[0].msg2, 1);
    assert_int_equal(w->n[1].msg2, 1);
    w_run(w, PV_S(20));
    assert_true(reaches(w, 0));
    assert_true(reaches(w, 1));
    assert_false(pv_session_is_trying(w->n[0].session));
    assert_false(pv_session_is_trying(w->n[1].session));
}

/* Runs with a packet from each side in flow (or none) every half second. */
static void flow(struct world *w, pv_ns duration, bool from0, bool from1)
{
    for (pv_ns t = 0; t < duration; t += PV_MS(500)) {
        if (from0 && !w_send(w, 0, false))
            w_want(w, 0);
        if (from1 && !w_send(w, 1, false))
            w_want(w, 1);
        w_run(w, PV_MS(500));
    }
}

PV_TEST(the_initiator_rekeys_at_120_s_when_it_sends)
{
    struct world *w = w_new(MEMBERS);
    w_connect(w, 0);
    pv_ns start = w->n[0].last_msg1;
    flow(w, PV_S(119), true, true);
    assert_int_equal(w->n[0].msg1, 1);
    flow(w, PV_S(3), true, true);
    assert_int_equal(w->n[0].msg1, 2);
    assert_int_equal(w->n[1].msg1, 0); /* the responder does not */
    assert_true(w->n[0].last_msg1 - start >= PV_S(120));
    assert_int_equal(w->n[0].done, 2);
    assert_int_equal(w->n[1].done, 2);
    assert_int_equal(w->n[0].indices, 2); /* current and previous */
    flow(w, PV_S(600), true, true);
    assert_in_range(w->n[0].done, 6, 7);
    assert_int_equal(w->n[0].give_ups + w->n[1].give_ups, 0);
}

PV_TEST(packets_under_the_former_keys_are_still_taken_during_a_rekey)
{
    struct world *w = w_new(MEMBERS);
    w_connect(w, 0);
    uint32_t old = w->n[0].use;
    w_want(w, 1);
    w_run(w, PV_S(6));
    assert_int_not_equal(w->n[0].use, old);
    assert_non_null(w_find_key(&w->n[0], old));
    w->n[1].use = w->n[1].keys[0].index; /* a packet that was overtaken */
    assert_true(reaches(w, 1));
}

PV_TEST(an_initiator_that_only_receives_rekeys_at_165_s)
{
    struct world *w = w_new(MEMBERS);
    w_connect(w, 0);
    pv_ns born = w->n[0].keys[0].born;
    while (w->now < born + PV_S(170) && w->n[0].msg1 == 1) {
        /* Only node 1 sends; what node 0 sends itself would rekey at 120 s. */
        struct w_node *n = &w->n[0];
        n->seen.any_received = n->seen.data_received = w->now;
        pv_session_note_traffic(n->session, &n->seen, w->now);
        w->n[0].use = 0; /* its keepalives get lost before they are sealed */
        w_run(w, PV_MS(500));
    }
    assert_int_equal(w->n[0].msg1, 2);
    assert_in_range(w->n[0].last_msg1, born + PV_S(165), born + PV_S(166));
}

/* The responder's keys are older than the initiator's by the way of its answer. */
PV_TEST(packets_sent_with_keys_near_their_end_arrive)
{
    struct world *w = w_new(MEMBERS);
    w->delay = PV_S(2);
    w_want(w, 0);
    w_run(w, PV_S(7));
    w->no_messages = true;
    w_run(w, PV_S(160));
    unsigned sent[2] = {0, 0};
    while (pv_session_has_keys(w->n[0].session, w->now) ||
           pv_session_has_keys(w->n[1].session, w->now)) {
        for (int i = 0; i < 2; i++) {
            if (pv_session_has_keys(w->n[i].session, w->now) && w_send(w, i, false))
                sent[i]++;
        }
        w_run(w, PV_MS(100));
    }
    w_run(w, PV_S(2));
    assert_true(sent[0] > 0 && sent[1] > 0);
    assert_int_equal(w->n[1].data_in, sent[0]);
    assert_int_equal(w->n[0].data_in, sent[1]);
}

PV_TEST(keys_are_void_after_180_s_and_all_memory_of_them_after_540_s)
{
    struct world *w = w_new(MEMBERS);
    w_connect(w, 0);
    w_run(w, PV_S(174));
    assert_true(pv_session_has_keys(w->n[0].session, w->now));
    w_run(w, PV_S(2));
    assert_false(pv_session_has_keys(w->n[0].session, w->now));
    assert_int_equal(w->n[0].indices, 1);
    w_run(w, PV_S(5));
    assert_int_equal(w->n[0].indices, 0);
    assert_int_equal(w->n[1].indices, 0);
    for (size_t k = 0; k < W_KEYS; k++)
        assert_false(w->n[0].keys[k].used || w->n[1].keys[k].used);
    w_run(w, PV_S(360));
    assert_int_equal(pv_session_next_timeout(w->n[0].session), PV_NEVER);
    assert_int_equal(pv_session_next_timeout(w->n[1].session), PV_NEVER);
    w_connect(w, 1); /* the other way round */
    assert_true(reaches(w, 0));
}

/* Message 1 of node 0, caught before it leaves. */
static struct w_packet catch_msg1(struct world *w)
{
    w_want(w, 0);
    struct w_packet *p = w_next_packet(w);
    assert_non_null(p);
    struct w_packet copy = *p;
    p->used = false;
    return copy;
}

PV_TEST(a_replayed_message_1_is_refused)
{
    struct world *w = w_new(MEMBERS);
    struct w_packet old = catch_msg1(w);
    w_run(w, PV_S(6)); /* the retry is answered */
    assert_true(pv_session_has_keys(w->n[0].session, w->now));
    assert_int_equal(w_initiation(w, 1, &old), PV_ERR_REPLAY); /* older than the greatest */
    w_run(w, PV_S(5));
    struct w_packet again = catch_msg1(w);
    assert_int_equal(w_initiation(w, 1, &again), PV_OK);
    w_run(w, PV_S(1));
    assert_int_equal(w_initiation(w, 1, &again), PV_ERR_REPLAY);
    assert_int_equal(w->n[1].msg2, 2);
}

PV_TEST(a_message_2_that_nobody_waits_for_is_refused)
{
    struct world *w = w_new(MEMBERS);
    struct pv_session_event e;
    w_want(w, 0);
    w_run(w, w->delay + PV_MS(1));
    const struct w_packet *p = w_next_packet(w);
    assert_non_null(p);
    const struct w_packet answer = *p;
    assert_int_equal(answer.len, PV_WGMSG_RESPONSE_LEN);
    w_run(w, PV_MS(200));
    for (int i = 0; i < 2; i++) {
        struct pv_session *s = w->n[i].session;
        assert_true(pv_session_has_keys(s, w->now));
        assert_int_equal(pv_session_handle_response(s, pv_view(answer.msg, answer.len), w->now),
                         PV_ERR_STATE);
        assert_int_equal(pv_session_poll_event(s, &e), PV_ERR_AGAIN);
    }
}

PV_TEST(fifty_messages_1_a_second_are_accepted_and_no_more)
{
    struct world *w = w_new(MEMBERS);
    struct w_node *n = &w->n[0];
    unsigned accepted = 0;
    struct pv_wg_remote remote;
    uint8_t psk[32] = {0};
    assert_int_equal(pv_wg_remote_init(&remote, &n->dev, w->n[1].dev.keys.pk, psk), PV_OK);
    for (unsigned ms = 0; ms < 1000; ms++) {
        struct pv_wg_pending pending = {.local_index = ms};
        struct w_packet p = {.len = PV_WGMSG_INITIATION_LEN, .via = PV_SESSION_BY_UDP};
        uint8_t tai64n[PV_TAI64N_LEN] = {0x40};
        pv_store_be32(tai64n + 8, ms);
        assert_int_equal(pv_wgmsg_initiate(&pending, &n->dev, &remote, &w->rng, tai64n, p.msg),
                         PV_OK);
        int r = w_initiation(w, 1, &p);
        assert_true(r == PV_OK || r == PV_ERR_LIMIT);
        accepted += r == PV_OK ? 1u : 0u;
        w->now += PV_MS(1);
    }
    assert_int_equal(accepted, 50);
}

PV_TEST(under_load_a_cookie_is_asked_and_the_retry_carries_it)
{
    struct world *w = w_new(MEMBERS);
    w->n[1].under_load = true;
    w_want(w, 0);
    w_run(w, PV_S(4));
    assert_int_equal(w->n[1].cookies, 1);
    assert_int_equal(w->n[1].msg2, 0);
    assert_int_equal(w->n[0].last_status, PV_OK);
    w_run(w, PV_S(2));
    assert_int_equal(w->n[0].msg1, 2);
    assert_int_equal(w->n[1].cookies, 1);
    assert_int_equal(w->n[1].msg2, 1);
    assert_true(reaches(w, 0));
    assert_true(reaches(w, 1));
}

PV_TEST(with_different_psks_no_handshake_is_ever_done)
{
    struct world *w = w_new((struct w_options){.other_psk = true});
    w_want(w, 0);
    w_run(w, PV_S(30));
    assert_int_equal(w->n[0].last_status, PV_ERR_AUTH);
    assert_true(w->n[1].msg2 > 2);
    assert_int_equal(w->n[0].done + w->n[1].done, 0);
    w_run(w, PV_S(300));
    assert_int_equal(w->n[0].give_ups, 1);
    assert_int_equal(w->n[0].indices + w->n[1].indices, 0);
}

PV_TEST(timestamps_grow_when_the_clock_is_set_back)
{
    struct world *w = w_new(MEMBERS);
    w_connect(w, 0);
    w->n[0].stamp_us = 5; /* 1970 */
    w_run(w, PV_S(5));
    w_want(w, 0);
    w_run(w, PV_S(1));
    assert_int_equal(w->n[1].msg2, 2);
    assert_int_equal(w->n[0].done, 2);
}

PV_TEST(an_older_static_key_of_the_peer_or_of_ours_still_works)
{
    struct world *w = w_new(MEMBERS);
    struct pv_wg_device fresh;
    uint8_t sk[32], psk[32] = {0}, tai64n[PV_TAI64N_LEN] = {0x41};
    pv_rng_fill(&w->rng, sk, sizeof(sk));
    pv_wg_device_init(&fresh, test_keep_key(sk));

    /* Node 0 uses another key than node 1's session was made for; node 1's owner accepts it. */
    struct pv_wg_remote to1;
    struct pv_wg_pending pending = {.local_index = 9};
    struct w_packet p = {.len = PV_WGMSG_INITIATION_LEN, .via = PV_SESSION_BY_UDP};
    assert_int_equal(pv_wg_remote_init(&to1, &fresh, w->n[1].dev.keys.pk, psk), PV_OK);
    assert_int_equal(pv_wgmsg_initiate(&pending, &fresh, &to1, &w->rng, tai64n, p.msg), PV_OK);
    assert_int_equal(w_initiation(w, 1, &p), PV_OK);
    w_drain(w, 1);
    struct pv_wg_keys keys;
    struct pv_view msg2 = pv_view(w->n[1].last_tx.msg, PV_WGMSG_RESPONSE_LEN);
    assert_true(pv_wgmsg_mac1_ok(&fresh, msg2));
    assert_int_equal(pv_wgmsg_read_response(&pending, &fresh, &to1, msg2, &keys), PV_OK);

    /* A message made for a former key of node 1. */
    w->n[1].old_dev = fresh;
    tai64n[0] = 0x42;
    w->now += PV_S(1);
    assert_int_equal(pv_wg_remote_init(&to1, &w->n[0].dev, fresh.keys.pk, psk), PV_OK);
    assert_int_equal(pv_wgmsg_initiate(&pending, &w->n[0].dev, &to1, &w->rng, tai64n, p.msg),
                     PV_OK);
    assert_int_equal(w_initiation(w, 1, &p), PV_OK);
    w_drain(w, 1);
    msg2 = pv_view(w->n[1].last_tx.msg, PV_WGMSG_RESPONSE_LEN);
    assert_int_equal(pv_wgmsg_read_response(&pending, &w->n[0].dev, &to1, msg2, &keys), PV_OK);
}

PV_TEST(a_remote_key_of_small_order_makes_no_session)
{
    struct world *w = w_new(MEMBERS);
    struct pv_session_config cfg = {.device = &w->n[0].dev, .rng = w->rng};
    struct pv_session *s = NULL;
    assert_int_equal(pv_session_new(&s, &cfg), PV_ERR_AUTH);
    assert_null(s);
    assert_null(pv_session_free(NULL));
}

PV_TEST(an_owner_that_does_not_drain_loses_nothing)
{
    struct world *w = w_new(MEMBERS);
    w_connect(w, 0);
    struct w_node *n = &w->n[1];
    unsigned keys = 0, gone = 0;
    w_run(w, PV_S(6));
    for (int i = 0; i < 100; i++) { /* handshakes whose events nobody polls */
        struct pv_session_transmit tx;
        struct w_packet p = catch_msg1(w);
        w->n[0].stamp_us += 6000000;
        if (w_initiation(w, 1, &p) == PV_OK &&
            pv_session_poll_transmit(n->session, 0x70000 + (uint32_t)i, 0, w->now, &tx) == PV_OK)
            keys++;
        w->now += PV_S(6);
        pv_session_handle_timeout(w->n[0].session, w->now);
        pv_session_handle_timeout(n->session, w->now);
    }
    struct pv_session_event e;
    while (pv_session_poll_event(n->session, &e) == PV_OK)
        gone += e.type == PV_SESSION_INDEX_GONE ? 1u : 0u;
    assert_true(keys >= 5 && keys < 100);
    assert_int_equal(gone, keys - 2); /* each replaced the one before the last */
}

/* A peer that has our answer sends with its keys, and begins anew at once: when its message 1
 * overtakes the data, these keys must be there still. */
PV_TEST(keys_of_the_answer_before_are_received_with)
{
    struct world *w = w_new(MEMBERS);
    struct w_node *n = &w->n[1];
    struct pv_session_event e;
    const uint32_t first = 0x70000;
    unsigned keys = 0;
    for (uint32_t i = 0; i < 3; i++) {
        struct pv_session_transmit tx;
        struct w_packet p = catch_msg1(w);
        w->n[0].stamp_us += 6000000;
        assert_int_equal(w_initiation(w, 1, &p), PV_OK);
        assert_int_equal(pv_session_poll_transmit(n->session, first + i, 0, w->now, &tx), PV_OK);
        while (pv_session_poll_event(n->session, &e) == PV_OK) {
            keys += e.type == PV_SESSION_KEYS ? 1u : 0u;
            /* The third answer takes the place of the first. */
            assert_true(e.type != PV_SESSION_INDEX_GONE || (i == 2 && e.index == first));
        }
        w->now += PV_S(6);
        pv_session_handle_timeout(w->n[0].session, w->now);
        pv_session_handle_timeout(n->session, w->now);
    }
    assert_int_equal(keys, 3);
}

/* Both sides send now and then over a bad wire for an hour: it never stays silent, and all that
 * arrives was sealed with keys both have (w_deliver asserts it). */
PV_TEST(an_hour_over_a_bad_wire_ends_with_a_working_session)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct world *w = w_new((struct w_options){.members = seed % 2 == 0, .seed = seed});
        w->loss = 30;
        for (int i = 0; i < 1200; i++) {
            int from = (int)pv_rng_below(&w->rng, 2);
            w->delay = PV_MS(5 + pv_rng_below(&w->rng, 300));
            if (!w_send(w, from, false))
                w_want(w, from);
            w_run(w, PV_MS(pv_rng_below(&w->rng, 6000)));
        }
        w->loss = 0;
        w->delay = PV_MS(20);
        w_want(w, 0);
        w_want(w, 1);
        w_run(w, PV_S(20));
        assert_true(reaches(w, 0));
        assert_true(reaches(w, 1));
        assert_true(w->n[0].indices <= 4 && w->n[1].indices <= 4);
        assert_true(w->n[0].done > 20);
        test_end(w);
    }
}
