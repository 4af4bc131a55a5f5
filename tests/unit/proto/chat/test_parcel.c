/* SPDX-License-Identifier: MIT */
/* Sealed copies of chat messages: only for their receiver, only from their author. */
#include "crypto/dh.h"
#include "proto/chat/parcel.h"
#include "tests/unit/kem_double.h"
#include "tests/unit/test_util.h"

struct side {
    struct pv_noise_static noise;
    uint8_t sk[PV_SIGN_SK_LEN], pk[PV_SIGN_PK_LEN];
};

static struct {
    struct test_rng state;
    struct pv_rng rng;
    struct side alice, bob, eve;
    struct pv_signal_route route; /* alice to bob */
    uint8_t box[PV_PARCEL_BOX_MAX], buf[PV_PARCEL_CONTENT_MAX];
    size_t len;
} t;

static struct side make_side(void)
{
    struct side s;
    uint8_t seed[PV_SIGN_SEED_LEN];
    pv_rng_fill(&t.rng, seed, sizeof(seed));
    pv_sign_keypair(seed, s.sk, s.pk);
    uint8_t sk[32];
    pv_dh_keypair(&t.rng, sk, s.noise.pk);
    s.noise.sk = test_keep_key(sk);
    return s;
}

static struct pv_parcel hello(void)
{
    return (struct pv_parcel){
        .id = {1, 2, 3}, .seq = 7, .time_ms = 1795161600123, .text = pv_view("hello", 5)};
}

static int seal_as(const struct side *from, const struct pv_parcel *p)
{
    const struct pv_parcel_keys keys = {
        .local = &from->noise, .remote = t.bob.noise.pk, .sk = from->sk};
    return pv_parcel_seal(&t.route, &keys, &t.rng, p, t.box, &t.len);
}

static int begin(void **state)
{
    const struct pv_parcel p = hello();
    t.rng = test_rng_make(&t.state, 5);
    t.alice = make_side();
    t.bob = make_side();
    t.eve = make_side();
    memset(t.route.network_id, 9, sizeof(t.route.network_id));
    memcpy(t.route.from, t.alice.pk, 32);
    memcpy(t.route.to, t.bob.pk, 32);
    return seal_as(&t.alice, &p) == PV_OK ? 0 : -1;
}

PV_TEST_WORLD(begin, NULL);

static int open_box(const struct pv_signal_route *route, size_t len, struct pv_parcel *ret_parcel)
{
    return pv_parcel_open(route, &t.bob.noise, pv_view(t.box, len), t.buf, ret_parcel);
}

PV_TEST(the_receiver_reads_what_the_author_wrote)
{
    struct pv_parcel p;
    assert_ok(open_box(&t.route, t.len, &p));
    assert_memory_equal(p.id, hello().id, sizeof(p.id));
    assert_true(p.seq == 7 && p.time_ms == 1795161600123);
    assert_true(pv_view_equal(p.text, pv_view("hello", 5)));
}

PV_TEST(nobody_else_can_open_it_and_nothing_can_be_changed)
{
    struct pv_parcel p;
    struct pv_signal_route other = t.route;
    assert_int_equal(pv_parcel_open(&t.route, &t.eve.noise, pv_view(t.box, t.len), t.buf, &p),
                     PV_ERR_AUTH);
    other.network_id[0]++;
    assert_int_equal(open_box(&other, t.len, &p), PV_ERR_AUTH);
    other = t.route;
    memcpy(other.from, t.eve.pk, 32);
    assert_int_equal(open_box(&other, t.len, &p), PV_ERR_AUTH);
    for (size_t i = 0; i < t.len; i++) {
        t.box[i] ^= 1;
        assert_int_equal(open_box(&t.route, t.len, &p), PV_ERR_AUTH);
        t.box[i] ^= 1;
    }
    for (size_t len = 0; len < t.len; len++)
        assert_true(open_box(&t.route, len, &p) < 0);
}

/* A thief of a member's transport key is not that member: the signature decides. */
PV_TEST(a_copy_of_somebody_else_in_the_authors_name_is_refused)
{
    const struct pv_parcel in = hello();
    struct pv_parcel p;
    struct side forger = t.eve;
    forger.noise = t.alice.noise;
    assert_ok(seal_as(&forger, &in));
    assert_int_equal(open_box(&t.route, t.len, &p), PV_ERR_AUTH);
    /* A new transport key of the author is fine. */
    forger = t.alice;
    forger.noise = t.eve.noise;
    assert_ok(seal_as(&forger, &in));
    assert_ok(open_box(&t.route, t.len, &p));
}

/* A receiver cannot pass a copy on: it is signed for him. */
PV_TEST(the_content_is_for_one_receiver_in_one_network)
{
    struct pv_parcel p;
    struct pv_signal_route other = t.route;
    assert_ok(open_box(&t.route, t.len, &p));
    struct pv_view content = pv_view(t.buf, t.len - PV_NOISE_X_OVERHEAD);
    assert_ok(pv_parcel_parse(&t.route, content, &p));
    memcpy(other.to, t.eve.pk, 32);
    assert_int_equal(pv_parcel_parse(&other, content, &p), PV_ERR_AUTH);
    other = t.route;
    other.network_id[15]++;
    assert_int_equal(pv_parcel_parse(&other, content, &p), PV_ERR_AUTH);
}

/* The longest message as a hybrid box: its receiver reads it with both secrets only. */
PV_TEST(a_hybrid_copy_is_read_like_another_one)
{
    struct pv_parcel in = hello(), p;
    static char text[PV_CHAT_TEXT_MAX];
    uint8_t cert[PV_SEALING_CERT_LEN], psk[PV_NOISE_PSK_LEN];
    const struct pv_sealing_to to = {.kem = &kem_double, .ek = cert};
    const struct pv_parcel_keys keys = {
        .local = &t.alice.noise, .remote = t.bob.noise.pk, .sk = t.alice.sk, .hybrid = &to};
    memset(text, 'x', sizeof(text));
    in.text = pv_view(text, sizeof(text));
    assert_ok(pv_sealing_certify(&kem_double, t.bob.sk, cert));
    assert_ok(pv_parcel_seal(&t.route, &keys, &t.rng, &in, t.box, &t.len));
    assert_int_equal(t.len, PV_PARCEL_BOX_MAX);
    const struct pv_view box = pv_view(t.box, t.len);
    assert_ok(pv_sealing_secret(&kem_double, t.bob.sk, box, psk));
    assert_ok(pv_parcel_open_hybrid(&t.route, psk, &t.bob.noise, box, t.buf, &p));
    assert_int_equal(p.text.len, sizeof(text));
    assert_true(pv_parcel_open(&t.route, &t.bob.noise, box, t.buf, &p) < 0);
    assert_int_equal(pv_parcel_open_hybrid(&t.route, psk, &t.eve.noise, box, t.buf, &p),
                     PV_ERR_AUTH);
    psk[0] ^= 1;
    assert_int_equal(pv_parcel_open_hybrid(&t.route, psk, &t.bob.noise, box, t.buf, &p),
                     PV_ERR_AUTH);
}

PV_TEST(limits_hold_at_their_edge)
{
    struct pv_parcel in = hello(), p;
    char *text = malloc(PV_CHAT_TEXT_MAX + 1);
    assert_non_null(text);
    memset(text, 'x', PV_CHAT_TEXT_MAX + 1);
    in.text = pv_view(text, PV_CHAT_TEXT_MAX);
    assert_ok(seal_as(&t.alice, &in));
    assert_int_equal(t.len, PV_PARCEL_CLASSICAL_MAX);
    assert_ok(open_box(&t.route, t.len, &p));
    assert_int_equal(p.text.len, PV_CHAT_TEXT_MAX);
    assert_int_equal(open_box(&t.route, t.len + 1, &p), PV_ERR_LIMIT);
    in.text.len++;
    assert_int_equal(seal_as(&t.alice, &in), PV_ERR_MALFORMED);
    in.text.len = 0;
    assert_int_equal(seal_as(&t.alice, &in), PV_ERR_MALFORMED);
    in = hello();
    in.text = pv_view("a\0b", 3);
    assert_int_equal(seal_as(&t.alice, &in), PV_ERR_MALFORMED);
    in = hello();
    in.seq = 0;
    assert_int_equal(seal_as(&t.alice, &in), PV_ERR_MALFORMED);
    in.seq = (UINT64_C(1) << 53) + 1;
    assert_int_equal(seal_as(&t.alice, &in), PV_ERR_MALFORMED);
    free(text);
}

/* The author signs what he likes: it is looked at all the same. */
PV_TEST(signed_nonsense_is_refused)
{
    static const struct {
        size_t at;
        uint8_t value;
        int status;
    } rows[] = {
        {0, 1, PV_OK},
        {0, 2, PV_ERR_UNSUPPORTED},
        {17, 1, PV_ERR_MALFORMED},                /* seq far above 2^53 */
        {24, 0, PV_ERR_MALFORMED},                /* seq 0 */
        {25, 1, PV_ERR_MALFORMED},                /* time far above 2^53 */
        {PV_PARCEL_HEAD, 0xff, PV_ERR_MALFORMED}, /* no UTF-8 */
        {PV_PARCEL_HEAD, 0, PV_ERR_MALFORMED},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        uint8_t content[PV_PARCEL_HEAD + 2 + PV_SIGN_LEN] = {1, [24] = 1, [PV_PARCEL_HEAD] = 'h',
                                                             'i'};
        uint8_t where[48];
        struct pv_parcel p;
        content[rows[i].at] = rows[i].value;
        memcpy(where, t.route.network_id, 16);
        memcpy(where + 16, t.route.to, 32);
        assert_ok(pv_sign(content + PV_PARCEL_HEAD + 2, "p2pvpn chat v1", pv_view(where, 48),
                          pv_view(content, PV_PARCEL_HEAD + 2), t.alice.sk));
        assert_int_equal(pv_parcel_parse(&t.route, pv_view(content, sizeof(content)), &p),
                         rows[i].status);
        for (size_t len = 0; len < sizeof(content); len++)
            assert_true(pv_parcel_parse(&t.route, pv_view(content, len), &p) < 0);
    }
}
