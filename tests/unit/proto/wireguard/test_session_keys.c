/* SPDX-License-Identifier: MIT */
/* Static keys that change while a session carries data: on one side or on both, whoever hears of it
 * first, with loss; and a key that is wiped. */
#include "session_world.h"

static const struct w_options MEMBERS = {.members = true, .repeat = true};

/* Node i has a second key, for its messages 1 from now on; both are answered. */
static void change_key(struct world *w, int i)
{
    uint8_t sk[32];
    pv_rng_fill(&w->rng, sk, sizeof(sk));
    pv_wg_device_init(&w->n[i].old_dev, test_keep_key(sk));
    pv_session_set_device(w->n[i].session, &w->n[i].old_dev);
}

static void tell_peer(struct world *w, int i)
{
    assert_int_equal(pv_session_set_remote(w->n[1 - i].session, w->n[i].old_dev.keys.pk), PV_OK);
}

/* Packets both ways for that long: none may be lost that the wire did not lose. */
static void talk(struct world *w, pv_ns duration)
{
    unsigned before[2] = {w->n[0].data_in, w->n[1].data_in}, sent[2] = {0};
    for (pv_ns end = w->now + duration; w->now < end;) {
        for (int i = 0; i < 2; i++)
            sent[i] += w_send(w, i, false) ? 1u : 0u;
        w_run(w, PV_MS(50));
    }
    w_run(w, PV_MS(100));
    assert_int_equal(sent[0], duration / PV_MS(50));
    for (int i = 0; i < 2 && w->loss == 0; i++)
        assert_int_equal(w->n[i].data_in - before[i], sent[1 - i]);
}

PV_TEST(sessions_go_on_and_the_next_keys_are_made_with_the_new_key)
{
    for (int who = 1; who <= 3; who++) {
        for (int initiator = 0; initiator < 2; initiator++) {
            struct world *w = w_new(MEMBERS);
            w_connect(w, initiator);
            unsigned done = w->n[0].done;
            for (int i = 0; i < 2; i++)
                if ((who & (1 << i)) != 0)
                    change_key(w, i);
            for (int i = 0; i < 2; i++)
                if ((who & (1 << i)) != 0)
                    tell_peer(w, i);
            talk(w, PV_S(5));
            assert_int_equal(w->n[0].done, done); /* nothing is made anew for it */
            talk(w, PV_S(150));
            for (int i = 0; i < 2; i++) {
                assert_true(w->n[i].done > done);
                assert_ptr_equal(w->n[i].agreed,
                                 (who & (1 << i)) != 0 ? &w->n[i].old_dev : &w->n[i].dev);
            }
            test_end(w);
        }
    }
}

PV_TEST(a_peer_that_has_not_heard_of_it_is_answered_under_the_key_of_before)
{
    struct world *w = w_new(MEMBERS);
    w_connect(w, 1);
    change_key(w, 0);
    talk(w, PV_S(150)); /* node 1 makes the keys, and knows the first key only */
    assert_true(w->n[1].done_initiator > 1);
    assert_ptr_equal(w->n[0].agreed, &w->n[0].dev);
    tell_peer(w, 0);
    talk(w, PV_S(150));
    assert_ptr_equal(w->n[0].agreed, &w->n[0].old_dev);
}

PV_TEST(a_change_in_the_middle_of_a_handshake_costs_nothing)
{
    for (int who = 0; who < 2; who++) {
        struct world *w = w_new(MEMBERS);
        w_connect(w, 0);
        w_run(w, PV_S(6));
        w_want(w, 0); /* its message 1 is on the wire */
        change_key(w, who);
        tell_peer(w, who);
        talk(w, PV_S(2));
        assert_int_equal(w->n[0].msg1, 2);
        assert_int_equal(w->n[0].done, 2);
        test_end(w);
    }
}

PV_TEST(changes_under_loss_leave_no_time_without_keys)
{
    for (unsigned seed = 0; seed < 20; seed++) {
        struct w_options o = MEMBERS;
        o.seed = seed;
        struct world *w = w_new(o);
        w_connect(w, (int)seed & 1);
        w->loss = 20;
        for (int i = 0; i < 2; i++)
            change_key(w, i);
        talk(w, PV_S(1 + seed));
        for (int i = 0; i < 2; i++)
            tell_peer(w, i);
        talk(w, PV_S(300));
        w->loss = 0;
        talk(w, PV_S(130));
        assert_ptr_equal(w->n[0].agreed, &w->n[0].old_dev);
        assert_ptr_equal(w->n[1].agreed, &w->n[1].old_dev);
        test_end(w);
    }
}

PV_TEST(a_handshake_begun_with_a_wiped_key_is_begun_anew)
{
    struct world *w = w_new(MEMBERS);
    w->cut[1] = true;
    w_want(w, 0);
    w_run(w, PV_S(1));
    assert_int_equal(w->n[0].indices, 1);
    change_key(w, 0);
    tell_peer(w, 0);
    pv_session_forget_device(w->n[0].session, &w->n[0].dev);
    memset(&w->n[0].dev, 0, sizeof(w->n[0].dev));
    w_drain(w, 0);
    assert_int_equal(w->n[0].indices, 0);
    w->cut[1] = false;
    w_run(w, PV_S(6));
    assert_true(pv_session_has_keys(w->n[0].session, w->now));
    assert_ptr_equal(w->n[0].agreed, &w->n[0].old_dev);
    talk(w, PV_S(1));
}

PV_TEST(an_initiation_to_a_wiped_key_is_not_answered)
{
    struct world *w = w_new(MEMBERS);
    struct pv_session_transmit tx;
    struct pv_wg_initiation in;
    pv_session_want(w->n[1].session, w->now);
    assert_int_equal(pv_session_poll_transmit(w->n[1].session, 7, 1, w->now, &tx), PV_OK);
    assert_int_equal(pv_wgmsg_identify(&w->n[0].dev, pv_view(tx.msg, tx.len), &in), PV_OK);
    assert_int_equal(pv_session_handle_initiation(w->n[0].session, &in, PV_SESSION_BY_UDP, w->now),
                     PV_OK);
    change_key(w, 0);
    pv_session_forget_device(w->n[0].session, &w->n[0].dev);
    assert_int_equal(pv_session_poll_transmit(w->n[0].session, 8, 1, w->now, &tx), PV_ERR_AGAIN);
}

PV_TEST(messages_of_an_attempt_are_counted)
{
    struct world *w = w_new(MEMBERS);
    w->cut[0] = w->cut[1] = true;
    assert_int_equal(pv_session_tries(w->n[0].session), 0);
    w_want(w, 0);
    assert_int_equal(pv_session_tries(w->n[0].session), 1);
    w_run(w, PV_S(6));
    assert_int_equal(pv_session_tries(w->n[0].session), 2);
    w_run(w, PV_S(100)); /* given up */
    assert_int_equal(pv_session_tries(w->n[0].session), 0);
    w_want(w, 0);
    assert_int_equal(pv_session_tries(w->n[0].session), 1);
}

PV_TEST(a_key_of_small_order_changes_nothing)
{
    struct world *w = w_new(MEMBERS);
    const uint8_t zero[32] = {0};
    assert_int_equal(pv_session_set_remote(w->n[0].session, zero), PV_ERR_AUTH);
    w_connect(w, 0);
}
