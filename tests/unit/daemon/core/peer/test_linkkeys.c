/* SPDX-License-Identifier: MIT */
/* The key of a pair of daemons: told until it is known, new in every life. */
#include "crypto/ct.h"
#include "daemon/core/peer/linkkeys.h"
#include "tests/unit/daemon/core/client/fake_client.h"
#include "tests/unit/daemon/core/peer/said.h"

static struct {
    struct test_rng state;
    struct pv_rng rng;
    pv_ns now;
    struct pv_linkkeys *side[2];
    struct said said[2];
    uint8_t pk[2][PV_SIGN_PK_LEN];
} w;

static void start(int i)
{
    w.side[i] = said_new(&w.said[i], &w.rng, w.pk[i]);
}

static int begin(void **state)
{
    memset(&w, 0, sizeof(w));
    w.rng = (struct pv_rng){.fill = test_rng_fill, .ctx = &w.state};
    w.now = PV_S(10);
    for (int i = 0; i < 2; i++) {
        w.pk[i][0] = (uint8_t)(i + 1);
        start(i);
    }
    return 0;
}

static int end(void **state)
{
    for (int i = 0; i < 2; i++)
        w.side[i] = said_free(&w.said[i], w.side[i]);
    return 0;
}

PV_TEST_WORLD(begin, end);

static void look(int i, bool is_there)
{
    pv_linkkeys_look(w.side[i], w.pk[1 - i], is_there, w.now);
}

/* Everything that i has to say; lost, or told to the other. How many messages that was. */
static unsigned tell(int i, bool lost)
{
    struct said_one tx;
    unsigned n = 0;
    while (said_take(&w.said[i], &tx)) {
        assert_memory_equal(tx.pk, w.pk[1 - i], sizeof(tx.pk));
        n++;
        if (!lost)
            pv_linkkeys_take(w.side[1 - i], w.pk[i], pv_view(tx.body, sizeof(tx.body)), w.now);
    }
    return n;
}

static unsigned exchange(void)
{
    unsigned n = 0, sent;
    do {
        sent = tell(0, false) + tell(1, false);
        n += sent;
    } while (sent > 0);
    return n;
}

static enum pv_linkkeys_state state_of(int i)
{
    return pv_linkkeys_state(w.side[i], w.pk[1 - i]);
}

static void assert_one_key(void)
{
    uint8_t key[2][PV_PROOF_KEY_LEN];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(state_of(i), PV_LINKKEYS_CONFIRMED);
        assert_true(pv_linkkeys_key(w.side[i], w.pk[1 - i], key[i]));
    }
    assert_memory_equal(key[0], key[1], sizeof(key[0]));
}

PV_TEST(both_get_one_key_in_a_few_messages)
{
    assert_int_equal(state_of(0), PV_LINKKEYS_UNKNOWN);
    look(0, true);
    assert_in_range(exchange(), 2, 4);
    assert_one_key();
    assert_int_equal(pv_linkkeys_next_timeout(w.side[0]), PV_NEVER);
    look(0, true); /* and nothing more is said */
    assert_int_equal(exchange(), 0);
}

PV_TEST(a_lost_message_is_repeated_ever_more_rarely)
{
    unsigned sent = 0;
    look(0, true);
    sent += tell(0, true);
    for (pv_ns end = w.now + PV_S(600); w.now < end;) {
        w.now = pv_linkkeys_next_timeout(w.side[0]);
        pv_linkkeys_handle_timeout(w.side[0], w.now);
        sent += tell(0, true);
    }
    assert_in_range(sent, 10, 20);
    look(0, false); /* nobody is there: silence */
    assert_int_equal(pv_linkkeys_next_timeout(w.side[0]), PV_NEVER);
    look(0, true);
    exchange();
    assert_one_key();
}

/* One message of i, kept by the caller: it may be lost, or come late. */
static struct said_one message_of(int i)
{
    struct said_one tx;
    assert_true(said_take(&w.said[i], &tx));
    return tx;
}

static void give(int i, const struct said_one *tx)
{
    pv_linkkeys_take(w.side[i], w.pk[1 - i], pv_view(tx->body, sizeof(tx->body)), w.now);
}

/* A node that has what it needs must still answer one that has not: its last answer did not
 * come. */
PV_TEST(an_answer_that_is_lost_is_given_again)
{
    look(0, true);
    look(1, true);
    struct said_one from[2] = {message_of(0), message_of(1)};
    give(0, &from[1]);
    give(1, &from[0]);
    assert_int_equal(tell(1, true), 1);
    assert_int_equal(tell(0, false), 1);
    assert_int_equal(state_of(1), PV_LINKKEYS_CONFIRMED);
    tell(1, true); /* its next answer too */
    assert_int_equal(state_of(0), PV_LINKKEYS_HEARD);
    w.now += PV_S(PV_LINKKEYS_RETRY_MAX_S);
    pv_linkkeys_handle_timeout(w.side[0], w.now);
    assert_in_range(exchange(), 2, 3);
    assert_one_key();
}

PV_TEST(a_message_that_was_overtaken_takes_nothing_back)
{
    look(0, true);
    look(1, true);
    struct said_one first = message_of(0);
    assert_in_range(exchange(), 2, 4);
    assert_one_key();
    give(1, &first);
    assert_one_key();
    assert_in_range(exchange(), 0, 1); /* and the two do not go on for ever */
    assert_one_key();
}

PV_TEST(a_new_life_has_a_new_key)
{
    uint8_t before[PV_PROOF_KEY_LEN], after[PV_PROOF_KEY_LEN];
    look(0, true);
    exchange();
    assert_true(pv_linkkeys_key(w.side[0], w.pk[1], before));
    w.side[1] = said_free(&w.said[1], w.side[1]);
    start(1);
    look(1, true);
    exchange();
    assert_one_key();
    assert_true(pv_linkkeys_key(w.side[0], w.pk[1], after));
    assert_memory_not_equal(before, after, sizeof(before));
}

PV_TEST(a_peer_that_is_gone_is_forgotten)
{
    look(0, true);
    exchange();
    assert_one_key();
    slots_clear(&w.said[0].peers, said_end_peer);
    assert_int_equal(state_of(0), PV_LINKKEYS_UNKNOWN);
}

PV_TEST(a_flood_of_secrets_is_not_answered_by_one)
{
    struct pv_proof_secret msg = {.known = {0}};
    uint8_t body[PV_PROOF_BODY_LEN];
    unsigned answers = 0;
    for (unsigned i = 0; i < 1000; i++) {
        msg.secret[0] = (uint8_t)i;
        msg.secret[1] = (uint8_t)(i >> 8);
        pv_proof_secret_build(&msg, body);
        pv_linkkeys_take(w.side[0], w.pk[1], pv_view(body, sizeof(body)), w.now);
        answers += tell(0, true);
    }
    assert_in_range(answers, 1, PV_LINKKEYS_ANSWER_BURST);
    assert_false(pv_linkkeys_take(w.side[0], w.pk[1], pv_view(body, 5), w.now));
}

/* --- the part: what it tells the machine of peers, and carries for it ------------------------ */

static struct fake_peers x;
static struct fake_far bob;
static struct pv_linkkeys *theirs; /* bob's own machine */
static struct said his;            /* what it sent */
static const struct pv_addr there = {.family = PV_AF_INET, .ip = {192, 0, 2, 7}, .port = 51820};

static int start_part(void **state)
{
    his.n = 0;
    fake_peers_init(&x, &pv_part_linkkeys);
    fake_node_enter(&x.f);
    fake_far_init(&x, &bob, 7, "bob", 7);
    fake_node_start(&x.f);
    fake_peers_settle(&x);
    theirs = said_new(&his, &x.f.node.rng, pv_peer_pk(bob.peer));
    return 0;
}

static int stop_part(void **state)
{
    theirs = said_free(&his, theirs);
    return 0;
}

static enum pv_linkkeys_state state_of_bob(void)
{
    return pv_linkkeys_state(x.f.node.linkkeys, pv_peer_pk(bob.peer));
}

/* The node's messages to bob reach his machine. How many messages of linkkeys that were. */
static unsigned carry_to_bob(void)
{
    struct pv_view body;
    unsigned n = 0;
    for (; fake_peers_told(&x, bob.peer, PV_INBAND_LINK, &body); n++)
        (void)pv_linkkeys_take(theirs, x.f.identity.sign_pk, body, x.f.now);
    return n;
}

/* The messages of bob's machine reach the node. Which facts the part raised. */
static unsigned carry_from_bob(void)
{
    struct said_one tx;
    unsigned all = 0, facts = 0;
    assert_int_equal(pv_part_linkkeys.n_inband, 1);
    assert_int_equal(pv_part_linkkeys.inband[0].type, PV_INBAND_LINK);
    while (said_take(&his, &tx)) {
        pv_part_linkkeys.inband[0].take(x.f.self, bob.peer, pv_view(tx.body, sizeof(tx.body)),
                                        x.f.now);
        while (pv_peers_take_news(x.f.node.peers, &facts) != NULL)
            all |= facts;
        fake_peers_settle(&x);
    }
    return all;
}

PV_TEST_IN(secrets_go_in_band_until_both_have_one_key, start_part, stop_part)
{
    uint8_t ours[PV_PROOF_KEY_LEN], bobs[PV_PROOF_KEY_LEN];
    assert_int_equal(carry_to_bob(), 0); /* there is no path */
    fake_far_talk(&x, &bob, &there);
    assert_int_equal(carry_to_bob(), 1);
    assert_int_equal(carry_from_bob() & PV_PEER_FACT_LINK, PV_PEER_FACT_LINK);
    (void)carry_to_bob();
    (void)carry_from_bob();
    assert_int_equal(state_of_bob(), PV_LINKKEYS_CONFIRMED);
    assert_true(pv_linkkeys_key(x.f.node.linkkeys, pv_peer_pk(bob.peer), ours));
    assert_true(pv_linkkeys_key(theirs, x.f.identity.sign_pk, bobs));
    assert_memory_equal(ours, bobs, sizeof(ours));
}

PV_TEST_IN(a_lost_message_is_sent_again, start_part, stop_part)
{
    struct pv_engine_inject lost;
    fake_far_talk(&x, &bob, &there);
    while (pv_fifo_take(&x.f.node.ways.injects, &lost) == PV_OK)
        ;
    fake_node_wait(&x.f, PV_S(PV_LINKKEYS_RETRY_MIN_S));
    assert_int_equal(carry_to_bob(), 1);
}

PV_TEST_IN(a_member_that_is_gone_is_forgotten, start_part, stop_part)
{
    uint8_t pk[PV_SIGN_PK_LEN];
    memcpy(pk, pv_peer_pk(bob.peer), sizeof(pk));
    fake_far_talk(&x, &bob, &there); /* its secret is to be repeated */
    pv_peers_drop(x.f.node.peers, bob.peer, x.f.now);
    assert_int_equal(pv_linkkeys_state(x.f.node.linkkeys, pk), PV_LINKKEYS_UNKNOWN);
    assert_int_equal(pv_linkkeys_next_timeout(x.f.node.linkkeys), PV_NEVER);
}

PV_TEST_IN(chat_finds_no_machine_behind_its_end, start_part, stop_part)
{
    assert_non_null(x.f.node.linkkeys);
    pv_part_free(&pv_part_linkkeys, x.f.self);
    x.f.self = NULL;
    assert_null(x.f.node.linkkeys);
}
