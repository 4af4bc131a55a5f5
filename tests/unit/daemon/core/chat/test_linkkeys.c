/* SPDX-License-Identifier: MIT */
/* The key of a pair of daemons: told until it is known, new in every life. */
#include "crypto/ct.h"
#include "daemon/core/chat/linkkeys.h"
#include "tests/unit/test_util.h"

static struct {
    struct test_rng state;
    struct pv_rng rng;
    pv_ns now;
    struct pv_linkkeys *side[2];
    uint8_t pk[2][PV_SIGN_PK_LEN];
} w;

static void start(int i)
{
    assert_int_equal(pv_linkkeys_new(&w.side[i], &w.rng, w.pk[i]), PV_OK);
}

static int begin(void **state)
{
    (void)state;
    assert_int_equal(pv_crypto_init(), PV_OK);
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
    (void)state;
    for (int i = 0; i < 2; i++)
        w.side[i] = pv_linkkeys_free(w.side[i]);
    return 0;
}

PV_TEST_WORLD(begin, end);

static bool look(int i, bool described, bool capable, bool there)
{
    const struct pv_linkkeys_seen seen = {
        .described = described, .capable = capable, .there = there};
    return pv_linkkeys_look(w.side[i], w.pk[1 - i], &seen, w.now);
}

/* Everything that i has to say; lost, or told to the other. How many messages that was. */
static unsigned tell(int i, bool lost)
{
    struct pv_linkkeys_transmit tx;
    unsigned n = 0;
    while (pv_linkkeys_poll_transmit(w.side[i], &tx) == PV_OK) {
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
    assert_true(look(0, true, true, true));
    assert_int_equal(state_of(0), PV_LINKKEYS_CAPABLE);
    assert_in_range(exchange(), 2, 4);
    assert_one_key();
    assert_int_equal(pv_linkkeys_next_timeout(w.side[0]), PV_NEVER);
    assert_false(look(0, true, true, true)); /* and nothing more is said */
    assert_int_equal(exchange(), 0);
}

PV_TEST(a_lost_message_is_repeated_ever_more_rarely)
{
    unsigned sent = 0;
    look(0, true, true, true);
    sent += tell(0, true);
    for (pv_ns end = w.now + PV_S(600); w.now < end;) {
        w.now = pv_linkkeys_next_timeout(w.side[0]);
        pv_linkkeys_handle_timeout(w.side[0], w.now);
        sent += tell(0, true);
    }
    assert_in_range(sent, 10, 20);
    look(0, true, true, false); /* nobody is there: silence */
    assert_int_equal(pv_linkkeys_next_timeout(w.side[0]), PV_NEVER);
    look(0, true, true, true);
    exchange();
    assert_one_key();
}

/* One message of i, kept by the caller: it may be lost, or come late. */
static struct pv_linkkeys_transmit message_of(int i)
{
    struct pv_linkkeys_transmit tx;
    assert_int_equal(pv_linkkeys_poll_transmit(w.side[i], &tx), PV_OK);
    return tx;
}

static void give(int i, const struct pv_linkkeys_transmit *tx)
{
    pv_linkkeys_take(w.side[i], w.pk[1 - i], pv_view(tx->body, sizeof(tx->body)), w.now);
}

/* A node that has what it needs must still answer one that has not: its last answer did not
 * come. */
PV_TEST(an_answer_that_is_lost_is_given_again)
{
    look(0, true, true, true);
    look(1, true, true, true);
    struct pv_linkkeys_transmit from[2] = {message_of(0), message_of(1)};
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
    look(0, true, true, true);
    look(1, true, true, true);
    struct pv_linkkeys_transmit first = message_of(0);
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
    look(0, true, true, true);
    exchange();
    assert_true(pv_linkkeys_key(w.side[0], w.pk[1], before));
    w.side[1] = pv_linkkeys_free(w.side[1]);
    start(1);
    look(1, true, true, true);
    exchange();
    assert_one_key();
    assert_true(pv_linkkeys_key(w.side[0], w.pk[1], after));
    assert_memory_not_equal(before, after, sizeof(before));
}

PV_TEST(a_peer_that_cannot_prove_itself_is_told_apart_until_it_can)
{
    look(0, true, false, true);
    assert_int_equal(state_of(0), PV_LINKKEYS_OLD);
    assert_int_equal(exchange(), 0); /* it would not understand */
    look(0, true, true, true);
    look(0, true, false, true);
    assert_int_equal(state_of(0), PV_LINKKEYS_CAPABLE);
    pv_linkkeys_gone(w.side[0], w.pk[1]);
    assert_int_equal(state_of(0), PV_LINKKEYS_UNKNOWN);
}

PV_TEST(its_own_message_says_that_it_can)
{
    look(1, true, false, true);
    look(0, true, true, true);
    exchange();
    assert_one_key();
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
