/* SPDX-License-Identifier: MIT */
/* Transport keys that change while a peer is in use: what is kept, what is taken and for how long,
 * and with which of its keys a node asks. */
#include "peer_world.h"

/* Keys of a node beside the one that it began with. */
struct more_keys {
    uint8_t sk[2][32];
    struct pv_wg_device device[2];
};

static struct more_keys *more_keys(struct world *w)
{
    struct more_keys *k = calloc(1, sizeof(*k));
    assert_non_null(k);
    test_defer(free, k);
    for (int i = 0; i < 2; i++) {
        pv_rng_fill(&w->n[0].node.rng, k->sk[i], 32);
        pv_wg_device_init(&k->device[i], k->sk[i]);
    }
    return k;
}

/* Node 0 uses another key from now on, and answers the one before. */
static void change_own_key(struct world *w, const struct pv_wg_device *to)
{
    struct pv_node_keys *keys = &w->n[0].node.keys;
    keys->former[1] = keys->former[0];
    keys->former[0] = keys->device;
    keys->n_former += keys->n_former < 2 ? 1 : 0;
    keys->device = to;
    keys->number++;
    keys->former_until = w->now + PV_PEER_FORMER_TIME;
}

static struct world *make_pair(void)
{
    struct world *w = make_world();
    want(w, 0);
    pass(w, PV_S(2));
    assert_true(is_up(w, 0) && is_up(w, 1));
    return w;
}

/* New keys, begun by node i. */
static void rekey(struct world *w, int i)
{
    struct pv_peer *p = w->n[i].peers[0];
    uint64_t before = w->n[i].node.common->stats.handshakes;
    pass(w, PV_S(6)); /* one message 1 in five seconds */
    pv_session_want(p->session, w->now);
    pass(w, PV_S(1));
    assert_int_equal(w->n[i].node.common->stats.handshakes, before + 1);
}

PV_TEST(a_member_with_another_key_keeps_its_session_and_path)
{
    struct world *w = make_pair();
    const struct more_keys *k = more_keys(w);
    struct pv_peer *p = w->n[1].peers[0];
    const struct pv_session *session = p->session;
    uint32_t id = p->id;
    change_own_key(w, &k->device[0]);
    assert_int_equal(pv_peer_set_transport(p, k->device[0].keys.pk, w->now), PV_OK);
    pass(w, PV_S(1));
    assert_ptr_equal(p->session, session);
    assert_int_equal(p->id, id);
    assert_true(is_up(w, 0) && is_up(w, 1));
    assert_memory_equal(pv_peer_transport(p), k->device[0].keys.pk, 32);
    rekey(w, 1);
    assert_true(pv_peer_knows_own_key(w->n[0].peers[0]));
}

PV_TEST(the_former_key_is_taken_for_three_minutes)
{
    struct world *w = make_pair();
    const struct more_keys *k = more_keys(w);
    struct pv_peer *p = w->n[1].peers[0];
    const uint8_t *old = w->n[0].dh_pk;
    assert_true(pv_peer_has_key(p, old, w->now));
    assert_int_equal(pv_peer_set_transport(p, k->device[0].keys.pk, w->now), PV_OK);
    assert_true(pv_peer_has_key(p, k->device[0].keys.pk, w->now));
    assert_true(pv_peer_has_key(p, old, w->now + PV_PEER_FORMER_TIME - 1));
    assert_false(pv_peer_has_key(p, old, w->now + PV_PEER_FORMER_TIME));
    assert_false(pv_peer_has_key(p, k->device[1].keys.pk, w->now));
}

PV_TEST(a_peer_that_may_not_have_heard_is_asked_with_the_former_key_first)
{
    struct world *w = make_pair();
    const struct more_keys *k = more_keys(w);
    struct pv_peer *p = w->n[0].peers[0];
    assert_ptr_equal(pv_peer_own_key(p, w->now), &w->n[0].device);
    change_own_key(w, &k->device[0]);
    assert_false(pv_peer_knows_own_key(p));
    assert_ptr_equal(pv_peer_own_key(p, w->now), &w->n[0].device);
    rekey(w, 0); /* node 1 knows the first key only, and answers it */
    assert_false(pv_peer_knows_own_key(p));

    assert_ptr_equal(pv_peer_own_key(p, w->now + PV_PEER_FORMER_TIME), &k->device[0]);
    pv_peer_note_own_key(p);
    assert_ptr_equal(pv_peer_own_key(p, w->now), &k->device[0]);
    change_own_key(w, &k->device[1]);
    assert_ptr_equal(pv_peer_own_key(p, w->now), &k->device[0]); /* the newest of before */
}

/* Nobody answers: the next message 1 tries the other key, and then the one before that. */
PV_TEST(each_further_message_tries_another_key)
{
    struct world *w = make_pair();
    const struct more_keys *k = more_keys(w);
    struct pv_peer *p = w->n[0].peers[0];
    change_own_key(w, &k->device[0]);
    change_own_key(w, &k->device[1]);
    pv_peer_note_own_key(p);
    pass(w, PV_S(6));
    w->no_network = w->no_signals = true;
    pv_session_want(p->session, w->now);
    assert_ptr_equal(pv_peer_own_key(p, w->now), &k->device[1]);
    pass(w, PV_MS(100));
    assert_int_equal(pv_session_tries(p->session), 1);
    assert_ptr_equal(pv_peer_own_key(p, w->now), &k->device[0]);
    pass(w, PV_S(6));
    assert_ptr_equal(pv_peer_own_key(p, w->now), &w->n[0].device);
    pass(w, PV_S(6));
    assert_ptr_equal(pv_peer_own_key(p, w->now), &k->device[1]);
}

PV_TEST(all_keys_of_ours_are_answered_also_one_that_is_not_announced)
{
    struct world *w = make_pair();
    const struct more_keys *k = more_keys(w);
    struct pv_node_keys *keys = &w->n[0].node.keys;
    struct pv_peer *far = w->n[1].peers[0];
    keys->next = &k->device[1];
    change_own_key(w, &k->device[0]);
    rekey(w, 1); /* to the first */
    assert_false(pv_peer_knows_own_key(w->n[0].peers[0]));
    assert_int_equal(pv_peer_set_transport(far, k->device[1].keys.pk, w->now), PV_OK);
    rekey(w, 1); /* it heard of it before this node knew that it had told */
    assert_false(pv_peer_knows_own_key(w->n[0].peers[0]));
    assert_int_equal(pv_peer_set_transport(far, k->device[0].keys.pk, w->now), PV_OK);
    rekey(w, 1);
    assert_true(pv_peer_knows_own_key(w->n[0].peers[0]));
}

PV_TEST(a_forgotten_key_is_not_answered_and_its_sessions_go_on)
{
    struct world *w = make_pair();
    const struct more_keys *k = more_keys(w);
    struct pv_peer *p = w->n[0].peers[0];
    change_own_key(w, &k->device[0]);
    assert_int_equal(pv_peer_set_transport(w->n[1].peers[0], k->device[0].keys.pk, w->now), PV_OK);
    w->n[0].node.keys.n_former = 0;
    pv_peer_forget_own_key(p, &w->n[0].device);
    memset(&w->n[0].device, 0xee, sizeof(w->n[0].device));
    assert_true(is_up(w, 0));
    assert_true(pv_session_has_keys(p->session, w->now));
    rekey(w, 0);
    rekey(w, 1);
}
