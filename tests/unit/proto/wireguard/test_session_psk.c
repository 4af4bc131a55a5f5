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
        pv_tai64n(plain, times[i]);
        pv_tai64n(next, times[i] + PV_TAI64N_TICK);
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
