/* SPDX-License-Identifier: MIT */
/* Message 1 without a path, for addresses of before: made, given again, with cookies, answered. */
#include "session_world.h"

static const struct w_options MEMBERS = {.members = true, .repeat = true};

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
