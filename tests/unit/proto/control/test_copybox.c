/* SPDX-License-Identifier: MIT */
/* Boxes of stored copies: only for their receiver, and only as they were sealed. */
#include "crypto/dh.h"
#include "proto/control/copybox.h"
#include "tests/unit/kem_double.h"
#include "tests/unit/test_util.h"

static struct {
    struct test_rng state;
    struct pv_rng rng;
    struct pv_noise_static alice, bob, eve;
    uint8_t bob_sk[PV_SIGN_SK_LEN];
    struct pv_signal_route route; /* alice to bob */
    uint8_t content[PV_COPYBOX_CONTENT_MAX + 1], box[PV_COPYBOX_MAX], buf[PV_COPYBOX_CONTENT_MAX];
    size_t len;
} t;

static struct pv_noise_static make_side(void)
{
    struct pv_noise_static s;
    uint8_t sk[32];
    pv_dh_keypair(&t.rng, sk, s.pk);
    s.sk = test_keep_key(sk);
    return s;
}

static int seal(size_t len, const struct pv_sealing_to *hybrid)
{
    const struct pv_copybox_keys keys = {.local = &t.alice, .remote = t.bob.pk, .hybrid = hybrid};
    return pv_copybox_seal(&t.route, &keys, &t.rng, pv_view(t.content, len), t.box, &t.len);
}

static int begin(void **state)
{
    const uint8_t seed[PV_SIGN_SEED_LEN] = {4};
    t.rng = test_rng_make(&t.state, 5);
    t.alice = make_side();
    t.bob = make_side();
    t.eve = make_side();
    memset(t.route.network_id, 9, sizeof(t.route.network_id));
    memset(t.route.from, 1, sizeof(t.route.from));
    pv_sign_keypair(seed, t.bob_sk, t.route.to);
    memset(t.content, 'x', sizeof(t.content));
    return seal(5, NULL) == PV_OK ? 0 : -1;
}

PV_TEST_WORLD(begin, NULL);

static int open_as(const struct pv_signal_route *route, const struct pv_noise_static *who,
                   size_t len, size_t *ret_len)
{
    return pv_copybox_open(route, who, pv_view(t.box, len), t.buf, ret_len);
}

PV_TEST(the_receiver_reads_what_was_sealed)
{
    size_t len;
    assert_ok(open_as(&t.route, &t.bob, t.len, &len));
    assert_int_equal(len, 5);
    assert_memory_equal(t.buf, t.content, 5);
}

PV_TEST(nobody_else_can_open_it_and_nothing_can_be_changed)
{
    size_t len;
    struct pv_signal_route other = t.route;
    assert_int_equal(open_as(&t.route, &t.eve, t.len, &len), PV_ERR_AUTH);
    other.network_id[0]++;
    assert_int_equal(open_as(&other, &t.bob, t.len, &len), PV_ERR_AUTH);
    other = t.route;
    other.from[0]++;
    assert_int_equal(open_as(&other, &t.bob, t.len, &len), PV_ERR_AUTH);
    other = t.route;
    other.to[0]++;
    assert_int_equal(open_as(&other, &t.bob, t.len, &len), PV_ERR_AUTH);
    for (size_t i = 0; i < t.len; i++) {
        t.box[i] ^= 1;
        assert_int_equal(open_as(&t.route, &t.bob, t.len, &len), PV_ERR_AUTH);
        t.box[i] ^= 1;
    }
    for (size_t n = 0; n < t.len; n++)
        assert_true(open_as(&t.route, &t.bob, n, &len) < 0);
}

/* The sender may have another transport key by the next box. */
PV_TEST(a_box_under_another_key_of_the_sender_is_opened)
{
    size_t len;
    t.alice = t.eve;
    assert_ok(seal(5, NULL));
    assert_ok(open_as(&t.route, &t.bob, t.len, &len));
}

/* The longest content as a hybrid box: its receiver reads it with both secrets only. */
PV_TEST(a_hybrid_box_takes_both_secrets)
{
    uint8_t ek[PV_KEM_EK_LEN], psk[PV_NOISE_PSK_LEN];
    const struct pv_sealing_to to = {.kem = &kem_double, .ek = ek};
    size_t len;
    assert_ok(pv_sealing_key(&kem_double, t.bob_sk, ek));
    assert_ok(seal(PV_COPYBOX_CONTENT_MAX, &to));
    assert_int_equal(t.len, PV_COPYBOX_MAX);
    const struct pv_view box = pv_view(t.box, t.len);
    assert_ok(pv_sealing_secret(&kem_double, t.bob_sk, box, psk));
    assert_ok(pv_copybox_open_hybrid(&t.route, psk, &t.bob, box, t.buf, &len));
    assert_int_equal(len, PV_COPYBOX_CONTENT_MAX);
    assert_memory_equal(t.buf, t.content, len);
    assert_true(pv_copybox_open(&t.route, &t.bob, box, t.buf, &len) < 0);
    assert_int_equal(pv_copybox_open_hybrid(&t.route, psk, &t.eve, box, t.buf, &len), PV_ERR_AUTH);
    psk[0] ^= 1;
    assert_int_equal(pv_copybox_open_hybrid(&t.route, psk, &t.bob, box, t.buf, &len), PV_ERR_AUTH);
}

PV_TEST(a_box_has_a_greatest_length)
{
    size_t len;
    assert_int_equal(seal(PV_COPYBOX_CONTENT_MAX + 1, NULL), PV_ERR_LIMIT);
    assert_ok(seal(PV_COPYBOX_CONTENT_MAX, NULL));
    assert_int_equal(t.len, PV_COPYBOX_CLASSICAL_MAX);
    assert_ok(open_as(&t.route, &t.bob, t.len, &len));
    assert_int_equal(open_as(&t.route, &t.bob, t.len + 1, &len), PV_ERR_LIMIT);
}
