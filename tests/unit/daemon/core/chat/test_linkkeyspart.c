/* SPDX-License-Identifier: MIT */
/* The part around linkkeys: what it tells the machine of peers, and carries for it. */
#include "crypto/ct.h"
#include "daemon/core/chat/linkkeys_part.h"
#include "tests/unit/daemon/core/client/fake_client.h"

static struct fake_peers x;
static struct fake_far bob;
static struct pv_linkkeys *theirs; /* bob's own machine */
static const struct pv_addr there = {.family = PV_AF_INET, .ip = {192, 0, 2, 7}, .port = 51820};

static int start(void **state)
{
    (void)state;
    assert_int_equal(pv_crypto_init(), PV_OK);
    fake_peers_init(&x, &pv_part_linkkeys);
    fake_node_enter(&x.f);
    fake_far_init(&x, &bob, 7, "bob", 7);
    fake_node_start(&x.f);
    fake_peers_settle(&x);
    assert_int_equal(pv_linkkeys_new(&theirs, &x.f.node.rng, pv_peer_pk(bob.peer)), PV_OK);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    theirs = pv_linkkeys_free(theirs);
    fake_peers_done(&x);
    return 0;
}

static enum pv_linkkeys_state state_of_bob(void)
{
    return pv_linkkeys_state(x.f.node.chat.keys, pv_peer_pk(bob.peer));
}

/* Its description came, and says what it can; the part hears of it. Which facts the part raised. */
static unsigned describe(unsigned caps)
{
    unsigned facts = 0;
    bob.peer->descx.theirs.gen = 1;
    if (bob.peer->remote == NULL)
        bob.peer->remote = calloc(1, sizeof(*bob.peer->remote));
    assert_non_null(bob.peer->remote);
    bob.peer->remote->caps = caps;
    pv_part_linkkeys.on_peer(x.f.self, bob.peer, 0, x.f.now);
    (void)pv_peers_take_news(x.f.node.peers, &facts);
    fake_peers_settle(&x);
    return facts;
}

/* The node's messages to bob reach his machine. How many messages of linkkeys that were. */
static unsigned carry_to_bob(void)
{
    struct pv_engine_inject inject;
    unsigned n = 0;
    while (pv_peers_poll_inject(x.f.node.peers, &inject) == PV_OK) {
        struct pv_inband_receiver rx = {0};
        struct pv_inband_message msg;
        if (inject.len == 0)
            continue; /* a keepalive */
        assert_int_equal(pv_inband_receive(&rx, pv_view(inject.buf, inject.len), x.f.now, &msg),
                         PV_OK);
        if (msg.type == PV_INBAND_LINK) {
            assert_int_equal(inject.peer, pv_peer_id(bob.peer));
            (void)pv_linkkeys_take(theirs, x.f.identity.sign_pk, msg.body, x.f.now);
            n++;
        }
        pv_inband_receiver_done(&rx);
    }
    return n;
}

/* The messages of bob's machine reach the node. Which facts the part raised. */
static unsigned carry_from_bob(void)
{
    struct pv_linkkeys_transmit tx;
    unsigned all = 0, facts = 0;
    assert_int_equal(pv_part_linkkeys.n_inband, 1);
    assert_int_equal(pv_part_linkkeys.inband[0].type, PV_INBAND_LINK);
    while (pv_linkkeys_poll_transmit(theirs, &tx) == PV_OK) {
        pv_part_linkkeys.inband[0].take(x.f.self, bob.peer, pv_view(tx.body, sizeof(tx.body)),
                                        x.f.now);
        while (pv_peers_take_news(x.f.node.peers, &facts) != NULL)
            all |= facts;
        fake_peers_settle(&x);
    }
    return all;
}

PV_TEST_IN(a_description_decides_what_is_believed, start, stop)
{
    assert_int_equal(state_of_bob(), PV_LINKKEYS_UNKNOWN);
    assert_int_equal(describe(0) & PV_PEER_FACT_LINK, PV_PEER_FACT_LINK);
    assert_int_equal(state_of_bob(), PV_LINKKEYS_OLD);
    assert_int_equal(describe(0) & PV_PEER_FACT_LINK, 0); /* nothing new */
    assert_int_equal(describe(PV_DESC_CAP_PROOF) & PV_PEER_FACT_LINK, PV_PEER_FACT_LINK);
    assert_int_equal(state_of_bob(), PV_LINKKEYS_CAPABLE);
}

PV_TEST_IN(secrets_go_in_band_until_both_have_one_key, start, stop)
{
    uint8_t ours[PV_PROOF_KEY_LEN], his[PV_PROOF_KEY_LEN];
    describe(PV_DESC_CAP_PROOF);
    assert_int_equal(carry_to_bob(), 0); /* there is no path */
    fake_far_talk(&x, &bob, &there);
    assert_int_equal(carry_to_bob(), 1);
    assert_int_equal(carry_from_bob() & PV_PEER_FACT_LINK, PV_PEER_FACT_LINK);
    (void)carry_to_bob();
    (void)carry_from_bob();
    assert_int_equal(state_of_bob(), PV_LINKKEYS_CONFIRMED);
    assert_true(pv_linkkeys_key(x.f.node.chat.keys, pv_peer_pk(bob.peer), ours));
    assert_true(pv_linkkeys_key(theirs, x.f.identity.sign_pk, his));
    assert_memory_equal(ours, his, sizeof(ours));
}

PV_TEST_IN(a_lost_message_is_sent_again, start, stop)
{
    struct pv_engine_inject lost;
    describe(PV_DESC_CAP_PROOF);
    fake_far_talk(&x, &bob, &there);
    while (pv_peers_poll_inject(x.f.node.peers, &lost) == PV_OK)
        ;
    fake_node_wait(&x.f, PV_S(PV_LINKKEYS_RETRY_MIN_S));
    assert_int_equal(carry_to_bob(), 1);
}

PV_TEST_IN(a_member_that_is_gone_is_forgotten, start, stop)
{
    describe(PV_DESC_CAP_PROOF);
    pv_part_linkkeys.on_member_gone(x.f.self, pv_peer_pk(bob.peer), x.f.now);
    assert_int_equal(state_of_bob(), PV_LINKKEYS_UNKNOWN);
}

PV_TEST_IN(chat_finds_no_machine_behind_its_end, start, stop)
{
    assert_non_null(x.f.node.chat.keys);
    pv_part_free(&pv_part_linkkeys, x.f.self);
    x.f.self = NULL;
    assert_null(x.f.node.chat.keys);
}
