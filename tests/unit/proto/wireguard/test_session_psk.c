/* SPDX-License-Identifier: MIT */
/* Preshared keys that two members agree on while their session lives: which one a handshake uses,
 * and that nothing is lost when another one comes. Node 0 has the lower identity: it encapsulates,
 * and learns last that the other one has the key too. */
#include "session_world.h"

static const struct w_options MEMBERS = {.members = true, .repeat = true};

enum {
    FIRST = 0x123456,
    SECOND = 0x00abcd,
};

static void give(struct world *w, int i, uint32_t id, bool proven)
{
    uint8_t psk[PV_NOISE_PSK_LEN];
    memset(psk, (int)(id & 0xff), sizeof(psk));
    pv_session_add_psk(w->n[i].session, id, psk, proven, w->now);
}

static bool both_use(struct world *w, uint32_t id)
{
    return pv_session_psk(w->n[0].session) == id && pv_session_psk(w->n[1].session) == id;
}

PV_TEST(a_timestamp_carries_a_number)
{
    static const uint64_t times[] = {
        0, 1, PV_TAI64N_TICK - 1, PV_TAI64N_TICK, 999999999, 1700000000123456789u};
    static const uint32_t tags[] = {0, 1, 0x800000, 0xffffff};
    for (size_t i = 0; i < PV_ARRAY_LEN(times); i++) {
        uint8_t plain[PV_TAI64N_LEN], tagged[PV_TAI64N_LEN], next[PV_TAI64N_LEN];
        pv_tai64n_tagged(plain, times[i], 0);
        pv_tai64n_tagged(next, times[i] + PV_TAI64N_TICK, 0);
        for (size_t k = 0; k < PV_ARRAY_LEN(tags); k++) {
            pv_tai64n_tagged(tagged, times[i], tags[k]);
            assert_int_equal(pv_tai64n_tag(tagged), tags[k]);
            assert_true(memcmp(plain, tagged, sizeof(plain)) <= 0);
            assert_true(memcmp(tagged, next, sizeof(next)) < 0); /* the order of times stays */
        }
    }
}

PV_TEST(a_key_that_both_have_is_in_the_first_keys)
{
    for (int i = 0; i < 2; i++) {
        struct world *w = w_new(MEMBERS);
        give(w, 0, FIRST, true);
        give(w, 1, FIRST, true);
        w_connect(w, i);
        assert_true(both_use(w, FIRST));
        w_run(w, PV_S(10));
        assert_int_equal(w->n[0].done, 1);
        test_end(w);
    }
}

/* 20 ms one way: the exchange is done when node 1 has the key, and a round trip and a half later
 * both send under it. */
PV_TEST(keys_in_use_are_replaced_within_a_round_trip_and_nothing_is_lost)
{
    for (int i = 0; i < 2; i++) {
        struct world *w = w_new(MEMBERS);
        unsigned sent = 0, changed = 0;
        w_connect(w, i);
        assert_true(both_use(w, 0));
        for (unsigned ms = 0; ms < 4000; ms += 5) {
            if (ms == 100)
                give(w, 0, FIRST, false);
            if (ms == 120)
                give(w, 1, FIRST, true);
            if (changed == 0 && both_use(w, FIRST))
                changed = ms;
            sent += w_send(w, 0, false) ? 1u : 0u;
            w_run(w, PV_MS(5));
        }
        w_run(w, PV_MS(100));
        assert_in_range(changed, 160, 200);
        assert_int_equal(sent, 800);
        assert_int_equal(w->n[1].data_in, sent);
        assert_int_equal(w->n[0].done, 2); /* once is enough */
        test_end(w);
    }
}

PV_TEST(a_newer_key_replaces_the_older_one)
{
    struct world *w = w_new(MEMBERS);
    w_connect(w, 0);
    for (uint32_t id = 1; id <= 10; id++) {
        w_run(w, PV_S(1));
        give(w, 0, id, false);
        w_run(w, PV_MS(30));
        give(w, 1, id, true);
        w_run(w, PV_MS(300));
        assert_true(both_use(w, id));
    }
    assert_int_equal(w->n[0].done, 11);
}

/* Message by message is lost, however often: it heals by itself. */
PV_TEST(a_lost_message_is_made_up_for)
{
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct w_options o = MEMBERS;
        o.seed = seed;
        struct world *w = w_new(o);
        w_connect(w, (int)(seed & 1));
        w->loss = 30;
        give(w, 0, FIRST, false);
        w_run(w, PV_MS(pv_rng_below(&w->rng, 300)));
        give(w, 1, FIRST, true);
        for (int i = 0; i < 600 && !both_use(w, FIRST); i++) {
            (void)w_send(w, i & 1, false);
            w_run(w, PV_MS(100));
        }
        assert_true(both_use(w, FIRST));
        test_end(w);
    }
}

/* Node 1, whose turn it is, does not come through; node 0 waits for it, and then begins itself. */
PV_TEST(the_other_side_begins_when_the_first_does_not)
{
    struct world *w = w_new(MEMBERS);
    w_connect(w, 0);
    give(w, 0, FIRST, true);
    for (int i = 0; i < 19; i++) {
        assert_true(w_send(w, 0, false));
        w_run(w, PV_MS(100));
    }
    assert_int_equal(w->n[0].msg1, 1);
    give(w, 1, FIRST, false); /* it has it, and does not know that node 0 knows */
    for (int i = 0; i < 10; i++) {
        assert_true(w_send(w, 0, false));
        w_run(w, PV_MS(100));
    }
    assert_true(both_use(w, FIRST));
}

/* A peer that began a new life answers without; who named the key forgets it and asks no more. */
PV_TEST(a_key_that_the_peer_lost_is_forgotten)
{
    for (int i = 0; i < 2; i++) {
        struct world *w = w_new(MEMBERS);
        give(w, i, FIRST, true);
        w_connect(w, i);
        assert_true(both_use(w, 0));
        for (int k = 0; k < 100; k++) {
            assert_true(w_send(w, k & 1, false));
            w_run(w, PV_MS(200));
        }
        assert_int_equal(w->n[0].done, 1);
        /* Another one is agreed on, and all is well. */
        give(w, 0, SECOND, false);
        give(w, 1, SECOND, true);
        w_run(w, PV_S(6));
        assert_true(both_use(w, SECOND));
        test_end(w);
    }
}

/* Message 1 came before the exchange: the answer by signal is made with what the signal carries. */
PV_TEST(an_answer_by_signal_uses_the_key_that_goes_with_it)
{
    struct world *w = w_new(MEMBERS);
    for (int i = 0; i < 2; i++)
        pv_session_set_reach(w->n[i].session, PV_SESSION_BY_SIGNAL, w->now);
    w_want(w, 1);
    w_run(w, PV_MS(19));
    give(w, 0, FIRST, false);
    w_run(w, PV_MS(10)); /* message 2 is under way */
    give(w, 1, FIRST, true);
    w_run(w, PV_MS(30));
    for (int i = 0; i < 2; i++)
        pv_session_set_reach(w->n[i].session, PV_SESSION_BY_UDP, w->now);
    w_run(w, PV_MS(100));
    assert_true(both_use(w, FIRST));
    assert_int_equal(w->n[0].done, 1);
    /* The first packet under it proved it: the next handshake, whoever begins, has it. */
    for (int i = 0; i < 2; i++)
        pv_session_set_suite(w->n[i].session, PV_SUITE_AES, w->now);
    w_run(w, PV_S(6));
    assert_int_equal(w->n[0].done, 2);
    assert_true(both_use(w, FIRST));
}

/* The other side begins anew, and its new offer replaces the one that was answered: what was made
 * with that key cannot be read there. Message 1 comes again, as it is, and is answered with the new
 * one. */
PV_TEST(an_answer_whose_key_was_replaced_is_made_anew)
{
    struct world *w = w_new(MEMBERS);
    for (int i = 0; i < 2; i++)
        pv_session_set_reach(w->n[i].session, PV_SESSION_BY_SIGNAL, w->now);
    w_want(w, 1);
    const struct pv_session_transmit msg1 = w->n[1].last_tx;
    w_run(w, PV_MS(19));
    give(w, 0, FIRST, false);
    w_run(w, PV_MS(5)); /* message 2 is under way */
    assert_int_equal(w->n[0].msg2, 1);
    give(w, 0, SECOND, false);
    struct w_packet *again = w_put(w, 0);
    again->via = PV_SESSION_BY_SIGNAL;
    again->len = msg1.len;
    memcpy(again->msg, msg1.msg, msg1.len);
    w_run(w, PV_MS(30));
    assert_int_equal(w->n[1].last_status, PV_ERR_AUTH); /* of the first one */
    assert_int_equal(w->n[0].msg2, 2);
    give(w, 1, SECOND, true);
    w_run(w, PV_MS(30));
    for (int i = 0; i < 2; i++)
        pv_session_set_reach(w->n[i].session, PV_SESSION_BY_UDP, w->now);
    w_run(w, PV_MS(100));
    assert_true(both_use(w, SECOND));
    /* Once: the same again is a repetition from now on. */
    again = w_put(w, 0);
    again->via = PV_SESSION_BY_SIGNAL;
    again->len = msg1.len;
    memcpy(again->msg, msg1.msg, msg1.len);
    w_run(w, PV_S(5));
    assert_int_equal(w->n[0].msg2, 2);
}

/* A message 2 over the path uses nothing that its receiver may not have. */
PV_TEST(an_answer_over_the_path_uses_no_key_that_is_not_proven)
{
    struct world *w = w_new(MEMBERS);
    w_want(w, 1);
    give(w, 0, FIRST, false);
    w_run(w, PV_MS(200));
    assert_true(both_use(w, 0));
    assert_true(pv_session_has_keys(w->n[1].session, w->now));
}

PV_TEST(a_key_that_will_not_get_there_is_dropped)
{
    struct world *w = w_new(MEMBERS);
    for (int i = 0; i < 2; i++)
        pv_session_set_reach(w->n[i].session, PV_SESSION_BY_SIGNAL, w->now);
    give(w, 0, FIRST, true);
    give(w, 1, FIRST, true);
    give(w, 0, SECOND, false);
    pv_session_drop_unproven(w->n[0].session);
    w_want(w, 1);
    w_run(w, PV_MS(100));
    for (int i = 0; i < 2; i++)
        pv_session_set_reach(w->n[i].session, PV_SESSION_BY_UDP, w->now);
    w_run(w, PV_MS(100));
    assert_true(both_use(w, FIRST));
}

PV_TEST(a_static_peer_has_the_key_of_its_configuration)
{
    struct world *w = w_new((struct w_options){.members = false});
    give(w, 0, FIRST, true);
    give(w, 1, FIRST, true);
    w_connect(w, 0);
    assert_true(both_use(w, 0));
    assert_int_equal(w->n[0].done, 1);
}

PV_TEST(numbers_that_are_none_are_not_taken)
{
    struct world *w = w_new(MEMBERS);
    for (int i = 0; i < 2; i++) {
        give(w, i, 0, true);
        give(w, i, PV_TAI64N_TICK, true);
    }
    w_connect(w, 0);
    assert_true(both_use(w, 0));
}

/* --- session keys ---------------------------------------------------------------------------- */

/* Static keys that change while a session carries data: on one side or on both, whoever hears of it
 * first, with loss; and a key that is wiped. */

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

/* --- session trial --------------------------------------------------------------------------- */

/* Message 1 without a path, for addresses of before: made, given again, with cookies, answered. */

static struct world *apart(void)
{
    struct world *w = w_new(MEMBERS);
    for (int i = 0; i < 2; i++)
        pv_session_set_reach(w->n[i].session, PV_SESSION_NOWHERE, w->now);
    return w;
}

/* A trial of node i; it arrives when it may. */
static int trial(struct world *w, int i, struct pv_session_transmit *ret_tx)
{
    struct w_node *n = &w->n[i];
    int r = pv_session_trial(n->session, n->next_index, n->stamp_us, w->now, ret_tx);
    if (r != PV_OK)
        return r;
    if (ret_tx->took_index) {
        n->next_index += 0x100;
        n->indices++;
    }
    n->msg1++;
    struct w_packet *p = w_put(w, 1 - i);
    p->via = PV_SESSION_BY_UDP;
    p->len = ret_tx->len;
    memcpy(p->msg, ret_tx->msg, ret_tx->len);
    return PV_OK;
}

PV_TEST(a_trial_is_answered_and_makes_keys)
{
    struct world *w = apart();
    struct pv_session_transmit tx;
    assert_int_equal(trial(w, 0, &tx), PV_OK);
    assert_int_equal(tx.type, PV_WGMSG_INITIATION);
    w_run(w, PV_S(1));
    assert_int_equal(w->n[1].msg2, 1);
    assert_true(pv_session_has_keys(w->n[0].session, w->now));
    /* With the path that the answer shows they are proven at once. */
    pv_session_set_reach(w->n[0].session, PV_SESSION_BY_UDP, w->now);
    w_run(w, PV_S(1));
    assert_true(pv_session_has_keys(w->n[1].session, w->now));
    assert_int_equal(w->n[0].done + w->n[1].done, 2);
}

PV_TEST(within_five_seconds_the_same_message_is_given_again)
{
    struct world *w = apart();
    struct pv_session_transmit first, second;
    w->no_messages = true;
    w->cut[1] = true;
    assert_int_equal(trial(w, 0, &first), PV_OK);
    w_run(w, PV_S(3));
    assert_int_equal(w->n[0].msg1, 1); /* the session repeats nothing by itself */
    assert_int_equal(trial(w, 0, &second), PV_OK);
    assert_false(second.took_index);
    assert_memory_equal(first.msg, second.msg, PV_WGMSG_INITIATION_LEN);
    w_run(w, PV_S(17));
    assert_int_equal(w->n[0].msg1, 2);
    assert_int_equal(trial(w, 0, &second), PV_OK);
    assert_true(second.took_index);
    assert_memory_not_equal(first.msg, second.msg, PV_WGMSG_INITIATION_LEN);
    w_run(w, PV_S(200));
    assert_int_equal(w->n[0].indices, 0); /* given up, nothing is left behind */
}

PV_TEST(a_trial_under_load_comes_back_with_the_cookie)
{
    struct world *w = apart();
    struct pv_session_transmit first, second;
    w->n[1].under_load = true;
    assert_int_equal(trial(w, 0, &first), PV_OK);
    w_run(w, PV_S(1));
    assert_int_equal(w->n[1].cookies, 1);
    assert_int_equal(w->n[1].msg2, 0);
    assert_int_equal(trial(w, 0, &second), PV_OK);
    assert_memory_equal(first.msg, second.msg, PV_WGMSG_INITIATION_LEN - 16);
    assert_memory_not_equal(first.msg, second.msg, PV_WGMSG_INITIATION_LEN); /* mac2 */
    w_run(w, PV_S(1));
    assert_int_equal(w->n[1].cookies, 1);
    assert_true(pv_session_has_keys(w->n[0].session, w->now));
}

PV_TEST(trials_that_cross_make_one_session)
{
    struct world *w = apart();
    struct pv_session_transmit tx;
    assert_int_equal(trial(w, 0, &tx), PV_OK);
    assert_int_equal(trial(w, 1, &tx), PV_OK);
    w_run(w, PV_S(1));
    /* The lower identity's stands: the other side answered, and tries no more. */
    assert_true(pv_session_has_keys(w->n[0].session, w->now));
    assert_int_equal(w->n[0].msg2, 0);
    assert_int_equal(w->n[1].msg2, 1);
    assert_int_equal(trial(w, 1, &tx), PV_ERR_AGAIN);
}

/* The answer to the peer's message was lost: one's own next trial repeats it. */
PV_TEST(a_trial_repeats_the_answer_to_the_peers_own)
{
    struct world *w = apart();
    struct pv_session_transmit tx;
    w->cut[0] = true;
    assert_int_equal(trial(w, 0, &tx), PV_OK);
    assert_int_equal(trial(w, 1, &tx), PV_OK);
    w_run(w, PV_S(1));
    assert_int_equal(w->n[1].msg2, 1);
    assert_false(pv_session_has_keys(w->n[0].session, w->now));
    w->cut[0] = false;
    assert_int_equal(trial(w, 1, &tx), PV_ERR_AGAIN);
    w_run(w, PV_S(1));
    assert_int_equal(w->n[1].msg2, 2);
    assert_true(pv_session_has_keys(w->n[0].session, w->now));
}
