/* SPDX-License-Identifier: MIT */
/* Hybrid boxes: only for their receiver, only with both secrets. */
#include "proto/control/hybrid.h"
#include "proto/control/sealing.h"
#include "tests/unit/kem_double.h"
#include "tests/unit/test_util.h"

enum {
    TEXT_LEN = 50,
    BOX_LEN = TEXT_LEN + PV_SEALING_OVERHEAD,
};

struct side {
    struct pv_noise_static noise;
    uint8_t sk[PV_SIGN_SK_LEN], pk[PV_SIGN_PK_LEN];
    uint8_t ek[PV_KEM_EK_LEN];
};

static struct {
    struct test_rng state;
    struct pv_rng rng;
    const struct pv_kem *kem;
    struct side alice, bob, eve;
    uint8_t text[TEXT_LEN], box[BOX_LEN];
} t;

static const struct pv_view prologue = {(const uint8_t *)"somewhere", 9};

static struct side make_side(void)
{
    struct side s;
    uint8_t seed[PV_SIGN_SEED_LEN], sk[PV_DH_LEN];
    pv_rng_fill(&t.rng, seed, sizeof(seed));
    pv_sign_keypair(seed, s.sk, s.pk);
    pv_dh_keypair(&t.rng, sk, s.noise.pk);
    s.noise.sk = test_keep_key(sk);
    assert_ok(pv_sealing_key(t.kem, s.sk, s.ek));
    return s;
}

static int seal_for(const struct side *to)
{
    const struct pv_sealing_to key = {.kem = t.kem, .ek = to->ek};
    const struct pv_noise_parties parties = {
        .prologue = prologue, .local = &t.alice.noise, .remote = to->noise.pk};
    return pv_sealing_seal(&key, &parties, &t.rng, pv_view(t.text, TEXT_LEN), t.box);
}

static void begin(const struct pv_kem *kem)
{
    t.rng = test_rng_make(&t.state, 11);
    t.kem = kem;
    t.alice = make_side();
    t.bob = make_side();
    t.eve = make_side();
    memset(t.text, 0x77, sizeof(t.text));
    assert_ok(seal_for(&t.bob));
}

/* By the identity of who and the transport key of whose. */
static int open_as(const struct side *who, const struct side *whose, struct pv_view box,
                   uint8_t sender[static PV_DH_LEN], uint8_t *out)
{
    uint8_t psk[PV_NOISE_PSK_LEN];
    int r = pv_sealing_secret(t.kem, who->sk, box, psk);
    return r == PV_OK ? pv_sealing_open(psk, prologue, &whose->noise, box, sender, out) : r;
}

PV_TEST(its_receiver_opens_a_box)
{
    const struct pv_kem *const kems[] = {&kem_double, pv_kem_mlkem768()};
    for (size_t i = 0; i < PV_ARRAY_LEN(kems) && kems[i] != NULL; i++) {
        uint8_t sender[PV_DH_LEN], out[TEXT_LEN];
        begin(kems[i]);
        assert_true(pv_sealing_is(pv_view(t.box, BOX_LEN)));
        assert_ok(open_as(&t.bob, &t.bob, pv_view(t.box, BOX_LEN), sender, out));
        assert_memory_equal(out, t.text, TEXT_LEN);
        assert_memory_equal(sender, t.alice.noise.pk, PV_DH_LEN);
        /* The same seed, and so the same key, each time. */
        const struct side again = t.bob;
        uint8_t ek[PV_KEM_EK_LEN];
        assert_ok(pv_sealing_key(t.kem, again.sk, ek));
        assert_memory_equal(ek, t.bob.ek, sizeof(ek));
    }
}

/* Each of both secrets alone is not enough: who broke X25519 lacks the identity's seed, and who has
 * that lacks the transport key. */
PV_TEST(one_of_both_secrets_opens_nothing)
{
    uint8_t sender[PV_DH_LEN], out[TEXT_LEN];
    const struct pv_view box = pv_view(t.box, BOX_LEN);
    begin(&kem_double);
    assert_int_equal(open_as(&t.eve, &t.bob, box, sender, out), PV_ERR_AUTH);
    assert_int_equal(open_as(&t.bob, &t.eve, box, sender, out), PV_ERR_AUTH);
    assert_int_equal(open_as(&t.eve, &t.eve, box, sender, out), PV_ERR_AUTH);
}

PV_TEST(nothing_of_a_box_can_be_changed)
{
    uint8_t sender[PV_DH_LEN], out[TEXT_LEN], psk[PV_NOISE_PSK_LEN];
    begin(&kem_double);
    for (size_t i = 0; i < BOX_LEN; i++) {
        t.box[i] ^= 1;
        assert_int_equal(open_as(&t.bob, &t.bob, pv_view(t.box, BOX_LEN), sender, out),
                         i < PV_SEALING_MARK_LEN ? PV_ERR_MALFORMED : PV_ERR_AUTH);
        t.box[i] ^= 1;
    }
    for (size_t len = 0; len < BOX_LEN; len++)
        assert_true(open_as(&t.bob, &t.bob, pv_view(t.box, len), sender, out) < 0);
    /* A box of one place is none in another. */
    assert_ok(pv_sealing_secret(t.kem, t.bob.sk, pv_view(t.box, BOX_LEN), psk));
    assert_int_equal(pv_sealing_open(psk, pv_view("elsewhere", 9), &t.bob.noise,
                                     pv_view(t.box, BOX_LEN), sender, out),
                     PV_ERR_AUTH);
    assert_ok(pv_sealing_open(psk, prologue, &t.bob.noise, pv_view(t.box, BOX_LEN), sender, out));
}

/* The same text to the same receiver twice: nobody sees that. */
PV_TEST(two_boxes_are_never_alike)
{
    uint8_t first[BOX_LEN];
    begin(&kem_double);
    memcpy(first, t.box, sizeof(first));
    assert_ok(seal_for(&t.bob));
    for (size_t at = PV_SEALING_MARK_LEN; at + 32 <= BOX_LEN; at += 32)
        assert_memory_not_equal(first + at, t.box + at, 32);
}

PV_TEST(a_bad_key_seals_nothing)
{
    uint8_t bad[PV_KEM_EK_LEN], big[250];
    begin(&kem_double);
    memset(bad, 0xff, sizeof(bad));
    struct pv_sealing_to to = {.kem = t.kem, .ek = bad};
    struct pv_noise_parties parties = {
        .prologue = prologue, .local = &t.alice.noise, .remote = t.bob.noise.pk};
    const struct pv_view text = pv_view(t.text, TEXT_LEN);
    assert_int_equal(pv_sealing_seal(&to, &parties, &t.rng, text, t.box), PV_ERR_MALFORMED);
    to.ek = t.bob.ek;
    memset(big, 1, sizeof(big));
    parties.prologue = pv_view(big, sizeof(big));
    assert_int_equal(pv_sealing_seal(&to, &parties, &t.rng, text, t.box), PV_ERR_LIMIT);
}

/* --- the preshared key of two members -------------------------------------------------------- */

/* The same words give the same key, and any difference gives another. */

struct exchange {
    struct pv_hybrid_half offer, answer;
    struct pv_ice_creds creds[2];
    uint8_t ek[PV_KEM_EK_LEN], ct[PV_KEM_CT_LEN];
    struct pv_hybrid_shared shared;
};

static void fill(struct exchange *x)
{
    memset(x, 0, sizeof(*x));
    for (size_t i = 0; i < sizeof(x->ek); i++)
        x->ek[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof(x->ct); i++)
        x->ct[i] = (uint8_t)(3 * i);
    snprintf(x->creds[0].ufrag, sizeof(x->creds[0].ufrag), "abcd1234");
    snprintf(x->creds[0].pwd, sizeof(x->creds[0].pwd), "0123456789012345678901");
    snprintf(x->creds[1].ufrag, sizeof(x->creds[1].ufrag), "efgh5678");
    snprintf(x->creds[1].pwd, sizeof(x->creds[1].pwd), "abcdefghijklmnopqrstuv");
    x->offer = (struct pv_hybrid_half){.gen = 7, .rev = 1, .desc = &x->creds[0]};
    x->answer = (struct pv_hybrid_half){.gen = 9, .rev = 2, .desc = &x->creds[1]};
    memset(x->offer.by, 2, sizeof(x->offer.by));
    memset(x->answer.by, 1, sizeof(x->answer.by));
    memset(x->offer.dh, 3, sizeof(x->offer.dh));
    memset(x->answer.dh, 4, sizeof(x->answer.dh));
    x->offer.kem = pv_view(x->ek, sizeof(x->ek));
    x->answer.kem = pv_view(x->ct, sizeof(x->ct));
    memset(x->shared.network_id, 5, sizeof(x->shared.network_id));
    memset(x->shared.kem, 6, sizeof(x->shared.kem));
    memset(x->shared.dh, 7, sizeof(x->shared.dh));
}

static struct pv_hybrid_key derive(struct exchange *x)
{
    uint8_t offer[PV_HYBRID_HASH_LEN];
    struct pv_hybrid_key key;
    pv_hybrid_hash_offer(&x->offer, offer);
    pv_hybrid_hash_answer(&x->answer, offer, x->shared.answer);
    pv_hybrid_derive(&x->shared, &key);
    return key;
}

/* Computed by tests/vectors/hybrid.py from the text of PROTOCOL-PEERS.md. */
PV_TEST(the_key_is_the_documented_one)
{
    struct exchange x;
    uint8_t want[PV_NOISE_PSK_LEN];
    fill(&x);
    const struct pv_hybrid_key key = derive(&x);
    test_unhex(test_given("the key of the exchange"), want, sizeof(want));
    assert_memory_equal(key.psk, want, sizeof(want));
    assert_int_equal(key.id, 0x6028bc);
}

static void flip(void *at)
{
    *(uint8_t *)at ^= 1;
}

/* Each thing that was said or known is in the key. */
PV_TEST(any_difference_gives_another_key)
{
    struct exchange x;
    fill(&x);
    const struct pv_hybrid_key want = derive(&x);
    void *const each[] = {
        &x.offer.by,          &x.offer.gen,  &x.offer.rev,    &x.creds[0].ufrag[7],
        &x.creds[0].pwd,      &x.offer.dh,   &x.ek[1183],     &x.answer.by,
        &x.answer.gen,        &x.answer.rev, &x.creds[1].pwd, &x.creds[1].ufrag,
        &x.answer.dh[31],     &x.ct[1087],   &x.shared.kem,   &x.shared.dh[31],
        &x.shared.network_id,
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(each); i++) {
        flip(each[i]);
        const struct pv_hybrid_key got = derive(&x);
        assert_memory_not_equal(got.psk, want.psk, sizeof(want.psk));
        flip(each[i]);
    }
    const struct pv_hybrid_key again = derive(&x);
    assert_memory_equal(again.psk, want.psk, sizeof(want.psk));
    assert_int_equal(again.id, want.id);
}

/* A character that moves from one text to the next is another transcript. */
PV_TEST(texts_cannot_run_into_each_other)
{
    struct exchange x;
    fill(&x);
    const struct pv_hybrid_key want = derive(&x);
    snprintf(x.creds[0].ufrag, sizeof(x.creds[0].ufrag), "abcd12340");
    snprintf(x.creds[0].pwd, sizeof(x.creds[0].pwd), "123456789012345678901");
    const struct pv_hybrid_key got = derive(&x);
    assert_memory_not_equal(got.psk, want.psk, sizeof(want.psk));
}

PV_TEST(an_id_is_never_that_of_no_key)
{
    struct exchange x;
    fill(&x);
    for (unsigned i = 0; i < 2000; i++) {
        x.offer.gen = i;
        const struct pv_hybrid_key key = derive(&x);
        assert_in_range(key.id, 1, PV_DESC_PQ_ID_MAX);
    }
}
