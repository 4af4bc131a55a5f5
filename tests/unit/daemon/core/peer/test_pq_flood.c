/* SPDX-License-Identifier: MIT */
/* A member that announces post-quantum sessions: what waits for them, and that one half of an
 * exchange after the other costs no more than a limit. */
#include <stdio.h>

#include "daemon/core/peer/peer_int.h"
#include "daemon/core/peer/pqx.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"
#include "tests/unit/kem_double.h"

enum {
    FLOOD = 1000,
    BURST = 20, /* halves at once, and one a second after that */
};

static const struct pv_part nothing = {.name = "nothing"};
static struct fake_peers x;
static struct pv_peer *p;
static struct pv_kem counting;
static unsigned worked;

static int count_encapsulate(struct pv_view ek, const uint8_t random[static PV_KEM_RANDOM_LEN],
                             uint8_t ret_ct[static PV_KEM_CT_LEN],
                             uint8_t ret_secret[static PV_KEM_SECRET_LEN])
{
    worked++;
    return kem_double.encapsulate(ek, random, ret_ct, ret_secret);
}

/* With a member whose identity key is higher than this node's, so that it offers. */
static void start(void)
{
    counting = kem_double;
    counting.encapsulate = count_encapsulate;
    fake_peers_init(&x, &nothing);
    x.f.node.given.kem = &counting;
    x.f.node.given.pq = PV_PQ_ON;
    x.f.node.ways.caps = PV_DESC_CAP_PQ;
    x.f.node.common->signalling = true;
    fake_node_enter(&x.f);
    unsigned seed = 7;
    while (memcmp(keys_of(seed).pk, x.f.identity.sign_pk, PV_SIGN_PK_LEN) < 0)
        seed++;
    p = fake_peers_member(&x, seed, "bob", 7);
    pv_peer_want(p, "test", x.f.now);
    worked = 0;
}

/* A description with an offer of its own. */
static void send(uint64_t gen, uint64_t rev)
{
    struct pv_desc d = {.gen = gen, .rev = rev, .caps = PV_DESC_CAP_PQ};
    struct pv_desc_pq pq = {.kind = PV_DESC_PQ_OFFER, .gen = gen, .rev = rev};
    uint8_t seed[PV_KEM_SEED_LEN] = {1, (uint8_t)rev, (uint8_t)(rev >> 8), (uint8_t)gen};
    snprintf(d.creds.ufrag, sizeof(d.creds.ufrag), "abcdEF12");
    snprintf(d.creds.pwd, sizeof(d.creds.pwd), "0123456789+/ABCDEFGHabcd");
    pv_dh_public(seed, pq.dh);
    assert_int_equal(kem_double.keypair(seed, pq.kem), PV_OK);
    d.pq = &pq;
    pv_peer_handle_desc(p, &d, x.f.now);
}

PV_TEST(offers_without_end_are_answered_a_few_at_a_time)
{
    start();
    for (unsigned i = 1; i <= FLOOD; i++)
        send(1, i);
    assert_in_range(worked, BURST, BURST + 1);
    x.f.now += PV_S(10);
    worked = 0;
    for (unsigned i = 1; i <= FLOOD; i++)
        send(1, FLOOD + i);
    assert_in_range(worked, 10, 11);
    x.f.now += PV_S(60); /* one who is patient again is answered at once */
    worked = 0;
    send(2, 1);
    assert_int_equal(worked, 1);
    fake_peers_done(&x);
}

PV_TEST(chat_waits_for_a_member_that_announced_it)
{
    start();
    assert_int_equal(p->agreed.strict, PV_FP_STRICT_NONE); /* nothing is known of it */
    send(1, 1);
    assert_int_equal(p->agreed.strict, PV_FP_STRICT_OWN);
    x.f.node.given.pq = PV_PQ_OFF;
    pv_peer_pq_settle(p, x.f.now);
    assert_int_equal(p->agreed.strict, PV_FP_STRICT_NONE);
    x.f.node.given.pq = PV_PQ_REQUIRE;
    pv_peer_pq_settle(p, x.f.now);
    assert_int_equal(p->agreed.strict, PV_FP_STRICT_ALL);
    fake_peers_done(&x);
}

/* A description that was too much is not acknowledged, so it comes again and is answered then: an
 * honest member that started again and again would else wait for its next generation. */
PV_TEST(a_description_that_was_too_much_is_answered_when_it_is_repeated)
{
    struct pv_desc ours;
    start();
    for (unsigned i = 1; i <= FLOOD; i++)
        send(i, 1);
    assert_true(worked < FLOOD);
    while (pv_peer_take_desc(p, x.f.now, &ours))
        assert_true(ours.re_gen < FLOOD);
    worked = 0;
    send(FLOOD, 1);
    assert_int_equal(worked, 0);
    x.f.now += PV_S(2);
    send(FLOOD, 1);
    assert_int_equal(worked, 1);
    send(FLOOD, 1); /* the answer got lost: it is said again, and not computed */
    assert_int_equal(worked, 1);
    bool answered = false;
    while (pv_peer_take_desc(p, x.f.now, &ours))
        answered = ours.re_gen == FLOOD && ours.pq != NULL && ours.pq->kind == PV_DESC_PQ_ANSWER;
    assert_true(answered);
    fake_peers_done(&x);
}
