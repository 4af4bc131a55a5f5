/* SPDX-License-Identifier: MIT */
/* Which cipher a session speaks, and how it changes from one to the other (DESIGN 7). */
#include "session_world.h"

static const struct w_options MEMBERS = {.members = true};

static bool both_speak(struct world *w, enum pv_suite suite)
{
    for (int i = 0; i < 2; i++) {
        struct w_node *n = &w->n[i];
        const struct w_key *k = w_find_key(n, n->use);
        if (k == NULL || k->keys.suite != suite || pv_session_suite(n->session) != suite)
            return false;
    }
    return true;
}

PV_TEST(the_initiator_chooses_the_suite)
{
    for (int i = 0; i < 2; i++) {
        struct w_options o = MEMBERS;
        o.suite[0] = o.suite[1] = PV_SUITE_AES;
        struct world *w = w_new(o);
        w_connect(w, i);
        assert_true(both_speak(w, PV_SUITE_AES));
        assert_int_equal(w->n[i].last_tx.msg[3], 1);
        test_end(w);
    }
}

PV_TEST(members_that_learn_of_aes_change_over_without_losing_a_packet)
{
    for (int i = 0; i < 2; i++) {
        struct world *w = w_new(MEMBERS);
        unsigned sent = 0;
        w_connect(w, i);
        assert_true(both_speak(w, PV_SUITE_CHACHA));
        for (int k = 0; k < 2; k++)
            pv_session_set_suite(w->n[k].session, PV_SUITE_AES, w->now);
        for (int ms = 0; ms < 7000; ms += 10) {
            sent += w_send(w, 0, false) ? 1u : 0u;
            w_run(w, PV_MS(10));
        }
        w_run(w, PV_MS(100));
        assert_int_equal(sent, 700);
        assert_int_equal(w->n[1].data_in, sent);
        assert_true(both_speak(w, PV_SUITE_AES));
        assert_int_equal(w->n[0].done, 2); /* once is enough */
        w_run(w, PV_S(30));
        assert_int_equal(w->n[0].done, 2);
        test_end(w);
    }
}

PV_TEST(a_change_that_came_before_the_first_keys_is_made_up_for)
{
    struct w_options o = MEMBERS;
    o.suite[0] = PV_SUITE_AES; /* node 1 has not heard of it, and begins */
    struct world *w = w_new(o);
    w_connect(w, 1);
    w_run(w, PV_S(7));
    assert_true(both_speak(w, PV_SUITE_AES));
}

PV_TEST(static_peers_refuse_the_suite_that_is_not_theirs)
{
    struct w_options o = {.strict = true, .suite = {PV_SUITE_AES, PV_SUITE_CHACHA}};
    struct world *w = w_new(o);
    for (int i = 0; i < 2; i++) {
        w_want(w, i);
        w_run(w, PV_S(2));
        assert_int_equal(w->n[1 - i].last_status, PV_ERR_UNSUPPORTED);
        assert_false(pv_session_has_keys(w->n[1 - i].session, w->now));
    }
}

/* DESIGN 7: after 2^26 messages; ChaCha20-Poly1305 goes on. */
PV_TEST(keys_of_aes_are_replaced_after_2_to_the_26_messages)
{
    for (int suite = 0; suite < PV_SUITES; suite++) {
        struct w_options o = MEMBERS;
        o.suite[0] = o.suite[1] = (enum pv_suite)suite;
        struct world *w = w_new(o);
        w_connect(w, 0);
        w_run(w, PV_S(6));
        unsigned before = w->n[0].done;
        w->n[0].seen.sent += PV_SESSION_REKEY_MESSAGES_AES - 3;
        assert_true(w_send(w, 0, false));
        w_run(w, PV_S(1));
        assert_int_equal(w->n[0].done, before);
        for (int k = 0; k < 3; k++)
            assert_true(w_send(w, 0, false));
        w_run(w, PV_S(1));
        assert_int_equal(w->n[0].done, before + (suite == PV_SUITE_AES ? 1u : 0u));
        test_end(w);
    }
}
