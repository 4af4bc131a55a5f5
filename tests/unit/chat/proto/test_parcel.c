/* SPDX-License-Identifier: MIT */
/* The content of stored copies: for one receiver, and from its author alone. */
#include "chat/proto/parcel.h"
#include "tests/unit/test_util.h"

struct side {
    uint8_t sk[PV_SIGN_SK_LEN], pk[PV_SIGN_PK_LEN];
};

static struct {
    struct test_rng state;
    struct pv_rng rng;
    struct side alice, bob, eve;
    struct pv_signal_route route; /* alice to bob */
    uint8_t content[PV_PARCEL_CONTENT_MAX + 1];
    size_t len;
} t;

static struct side make_side(void)
{
    struct side s;
    uint8_t seed[PV_SIGN_SEED_LEN];
    pv_rng_fill(&t.rng, seed, sizeof(seed));
    pv_sign_keypair(seed, s.sk, s.pk);
    return s;
}

static struct pv_parcel hello(void)
{
    return (struct pv_parcel){
        .id = {1, 2, 3}, .seq = 7, .time_ms = 1795161600123, .text = pv_view("hello", 5)};
}

static int write_as(const struct side *from, const struct pv_parcel *p)
{
    const struct pv_appsigner signer = pv_appsigner_of(from->sk);
    return pv_parcel_build(&t.route, &signer, p, t.content, &t.len);
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
    return write_as(&t.alice, &p) == PV_OK ? 0 : -1;
}

PV_TEST_WORLD(begin, NULL);

static int read_as(const struct pv_signal_route *route, size_t len, struct pv_parcel *ret_parcel)
{
    return pv_parcel_parse(route, pv_view(t.content, len), ret_parcel);
}

PV_TEST(the_receiver_reads_what_the_author_wrote)
{
    struct pv_parcel p;
    assert_ok(read_as(&t.route, t.len, &p));
    assert_memory_equal(p.id, hello().id, sizeof(p.id));
    assert_true(p.seq == 7 && p.time_ms == 1795161600123);
    assert_true(pv_view_equal(p.text, pv_view("hello", 5)));
}

PV_TEST(nothing_can_be_changed)
{
    struct pv_parcel p;
    for (size_t i = 0; i < t.len; i++) {
        t.content[i] ^= 1;
        assert_true(read_as(&t.route, t.len, &p) < 0);
        t.content[i] ^= 1;
    }
    for (size_t len = 0; len < t.len; len++)
        assert_true(read_as(&t.route, len, &p) < 0);
}

/* A thief of a member's transport key is not that member: the signature decides. */
PV_TEST(a_copy_of_somebody_else_in_the_authors_name_is_refused)
{
    const struct pv_parcel in = hello();
    struct pv_parcel p;
    assert_ok(write_as(&t.eve, &in));
    assert_int_equal(read_as(&t.route, t.len, &p), PV_ERR_AUTH);
}

/* A receiver cannot pass a copy on: it is signed for him. */
PV_TEST(the_content_is_for_one_receiver_in_one_network)
{
    struct pv_parcel p;
    struct pv_signal_route other = t.route;
    memcpy(other.to, t.eve.pk, 32);
    assert_int_equal(read_as(&other, t.len, &p), PV_ERR_AUTH);
    other = t.route;
    other.network_id[15]++;
    assert_int_equal(read_as(&other, t.len, &p), PV_ERR_AUTH);
    other = t.route;
    memcpy(other.from, t.eve.pk, 32);
    assert_int_equal(read_as(&other, t.len, &p), PV_ERR_AUTH);
}

PV_TEST(limits_hold_at_their_edge)
{
    struct pv_parcel in = hello(), p;
    char *text = malloc(PV_CHAT_TEXT_MAX + 1);
    assert_non_null(text);
    memset(text, 'x', PV_CHAT_TEXT_MAX + 1);
    in.text = pv_view(text, PV_CHAT_TEXT_MAX);
    assert_ok(write_as(&t.alice, &in));
    assert_int_equal(t.len, PV_PARCEL_CONTENT_MAX);
    assert_ok(read_as(&t.route, t.len, &p));
    assert_int_equal(p.text.len, PV_CHAT_TEXT_MAX);
    assert_int_equal(read_as(&t.route, t.len + 1, &p), PV_ERR_LIMIT);
    in.text.len++;
    assert_int_equal(write_as(&t.alice, &in), PV_ERR_MALFORMED);
    in.text.len = 0;
    assert_int_equal(write_as(&t.alice, &in), PV_ERR_MALFORMED);
    in = hello();
    in.text = pv_view("a\0b", 3);
    assert_int_equal(write_as(&t.alice, &in), PV_ERR_MALFORMED);
    in = hello();
    in.seq = 0;
    assert_int_equal(write_as(&t.alice, &in), PV_ERR_MALFORMED);
    in.seq = (UINT64_C(1) << 53) + 1;
    assert_int_equal(write_as(&t.alice, &in), PV_ERR_MALFORMED);
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
