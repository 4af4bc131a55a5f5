/* SPDX-License-Identifier: MIT */
#include <limits.h>

#include "crypto/dh.h"
#include "proto/control/signal.h"
#include "tests/unit/kem_double.h"
#include "tests/unit/test_util.h"

static uint8_t statement[PV_STATEMENT_MAX];
static uint8_t receipt[PV_RECEIPT_LEN];

static struct pv_signal sample(void)
{
    struct pv_signal s;
    memset(&s, 0, sizeof(s));
    s.seq = 1700000000000000;
    memset(s.head, 0x21, sizeof(s.head));
    s.has_desc = true;
    s.desc.gen = 1;
    s.desc.rev = 1;
    snprintf(s.desc.creds.ufrag, sizeof(s.desc.creds.ufrag), "abcdEF12");
    snprintf(s.desc.creds.pwd, sizeof(s.desc.creds.pwd), "0123456789+/ABCDEFGHabcd");
    s.n_chain = 2;
    memset(statement, 0x42, sizeof(statement));
    memset(receipt, 0x43, sizeof(receipt));
    s.chain[0] = (struct pv_signal_item){.statement = pv_view(statement, 300),
                                         .receipt = pv_view(receipt, sizeof(receipt))};
    s.chain[1] = (struct pv_signal_item){.statement = pv_view(statement, sizeof(statement))};
    return s;
}

PV_TEST(payloads_read_back)
{
    struct pv_signal want = sample();
    struct pv_signal_parsed got;
    char buf[PV_SIGNAL_TEXT_MAX];
    size_t len = 0;

    assert_ok(pv_signal_write(&want, buf, sizeof(buf), &len));
    assert_ok(pv_signal_parse(pv_view(buf, len), &got));
    assert_int_equal(got.sig.seq, want.seq);
    assert_memory_equal(got.sig.head, want.head, sizeof(want.head));
    assert_true(got.sig.has_desc);
    assert_string_equal(got.sig.desc.creds.pwd, want.desc.creds.pwd);
    assert_int_equal(got.sig.n_chain, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_true(pv_view_equal(got.sig.chain[i].statement, want.chain[i].statement));
        assert_true(pv_view_equal(got.sig.chain[i].receipt, want.chain[i].receipt));
    }
    pv_signal_parsed_done(&got);

    memset(&want, 0, sizeof(want)); /* in-band, nothing but the digests */
    assert_ok(pv_signal_write(&want, buf, sizeof(buf), &len));
    assert_int_equal(len, strlen("{\"head\":\"\",\"members\":\"\"}") + 2 * PV_KEY_TEXT);
    assert_ok(pv_signal_parse(pv_view(buf, len), &got));
    assert_int_equal(got.sig.seq, 0);
    assert_false(got.sig.has_desc);
    assert_int_equal(got.sig.n_chain, 0);
    pv_signal_parsed_done(&got);
}

static void fill_pq(struct pv_desc_pq *pq, enum pv_desc_pq_kind kind)
{
    memset(pq, 0, sizeof(*pq));
    pq->kind = kind;
    pq->gen = 1;
    pq->rev = 1;
    pq->have = PV_DESC_PQ_ID_MAX;
    memset(pq->dh, 0x31, sizeof(pq->dh));
    for (size_t i = 0; i < (kind == PV_DESC_PQ_OFFER ? PV_KEM_EK_LEN : PV_KEM_CT_LEN); i++)
        pq->kem[i] = (uint8_t)(i * 7);
    if (kind == PV_DESC_PQ_ANSWER)
        memset(pq->to, 0x32, sizeof(pq->to));
}

PV_TEST(halves_of_an_exchange_read_back)
{
    for (int kind = PV_DESC_PQ_NONE; kind <= PV_DESC_PQ_ANSWER; kind++) {
        struct pv_signal want = sample();
        struct pv_signal_parsed got;
        struct pv_desc_pq pq;
        char buf[PV_SIGNAL_TEXT_MAX];
        size_t len = 0;
        fill_pq(&pq, (enum pv_desc_pq_kind)kind);
        if (kind == PV_DESC_PQ_NONE)
            pq = (struct pv_desc_pq){.have = 7};
        want.desc.pq = &pq;
        assert_ok(pv_signal_write(&want, buf, sizeof(buf), &len));
        assert_ok(pv_signal_parse(pv_view(buf, len), &got));
        assert_ptr_equal(got.sig.desc.pq, &got.sig.pq);
        assert_memory_equal(&got.sig.pq, &pq, sizeof(pq));
        pv_signal_parsed_done(&got);
    }
}

/* The longest that a node writes: all candidates, a handshake, an offer, and who introduces it. */
PV_TEST(the_fullest_description_with_an_offer_fits)
{
    struct pv_signal s = sample();
    struct pv_desc_pq pq;
    char buf[PV_SIGNAL_TEXT_MAX];
    size_t len = 0;
    fill_pq(&pq, PV_DESC_PQ_OFFER);
    pq.gen = pq.rev = s.desc.gen = s.desc.rev = s.desc.re_gen = s.desc.re_rev = INT64_MAX;
    s.desc.pq = &pq;
    s.desc.caps = UINT_MAX;
    s.desc.n_cands = PV_ICE_MAX_REMOTE;
    for (size_t i = 0; i < s.desc.n_cands; i++) {
        s.desc.cands[i].type = PV_ICE_SRFLX;
        s.desc.cands[i].priority = INT32_MAX;
        s.desc.cands[i].foundation = UINT8_MAX;
        assert_ok(pv_addr_parse(test_given("db8"), &s.desc.cands[i].addr));
    }
    s.desc.wg_len = PV_WGMSG_INITIATION_LEN;
    s.has_rules = true;
    s.n_chain = PV_SIGNAL_CHAIN_MAX;
    for (size_t i = 0; i < s.n_chain; i++)
        s.chain[i] =
            (struct pv_signal_item){.statement = pv_view(statement, PV_STATEMENT_SHORT_MAX),
                                    .receipt = pv_view(receipt, sizeof(receipt))};
    assert_ok(pv_signal_write(&s, buf, sizeof(buf), &len));
    assert_in_range(len, 10000, PV_SIGNAL_HYBRID_TEXT_MAX);
}

PV_TEST(a_half_that_is_wrong_is_refused)
{
    size_t n_bad = 0;
    const char *const *bad = test_given_parts("halves that are wrong", &n_bad);
    for (size_t i = 0; i < n_bad; i++) {
        char text[1024];
        struct pv_signal_parsed got;
        int n = snprintf(text, sizeof(text), "%s", test_given_with("a signal with a half", bad[i]));
        if (pv_signal_parse(pv_view(text, (size_t)n), &got) != PV_ERR_MALFORMED)
            fail_msg("taken: %s", bad[i]);
    }
}

PV_TEST(a_cut_payload_is_refused)
{
    struct pv_signal s = sample();
    struct pv_signal_parsed got;
    char buf[PV_SIGNAL_TEXT_MAX];
    size_t len = 0;

    s.n_chain = 1;
    assert_ok(pv_signal_write(&s, buf, sizeof(buf), &len));
    for (size_t cut = 0; cut < len; cut++) {
        char *copy = malloc(cut + 1);
        assert_non_null(copy);
        memcpy(copy, buf, cut);
        assert_int_equal(pv_signal_parse(pv_view(copy, cut), &got), PV_ERR_MALFORMED);
        free(copy);
    }
}

PV_TEST(writing_keeps_its_limits)
{
    struct pv_signal s = sample();
    char buf[PV_SIGNAL_TEXT_MAX + 1000];
    size_t len = 0, need = 0;

    assert_ok(pv_signal_write(&s, buf, sizeof(buf), &need));
    assert_int_equal(pv_signal_write(&s, buf, need - 1, &len), PV_ERR_NO_SPACE);
    assert_int_equal(len, 0);
    assert_ok(pv_signal_write(&s, buf, need, &len));
    s.n_chain = PV_SIGNAL_CHAIN_MAX + 1;
    assert_int_equal(pv_signal_write(&s, buf, sizeof(buf), &len), PV_ERR_LIMIT);
    s.n_chain = PV_SIGNAL_CHAIN_MAX;
    for (size_t i = 0; i < PV_SIGNAL_CHAIN_MAX; i++)
        s.chain[i] = s.chain[1];
    assert_int_equal(pv_signal_write(&s, buf, sizeof(buf), &len), PV_ERR_NO_SPACE);
}

#define DIGEST "\"ISEhISEhISEhISEhISEhISEhISEhISEhISEhISEhISE\""
#define HEAD   "\"head\":" DIGEST ",\"members\":" DIGEST

PV_TEST(wrong_fields_are_refused)
{
    const struct {
        const char *text;
        int status;
        const char *why;
    } rows[] = {
        {"{" HEAD "}", PV_OK, "the least there is"},
        {test_given("head members seq desc chain x"), PV_OK, "nulls"},
        {"{}", PV_ERR_MALFORMED, "no head"},
        {"{\"head\":\"ISE\",\"members\":" DIGEST "}", PV_ERR_MALFORMED, "short head"},
        {"{\"head\":" DIGEST "}", PV_ERR_MALFORMED, "no members' digest"},
        {"{" HEAD ",\"seq\":0}", PV_ERR_MALFORMED, "seq 0"},
        {"{" HEAD ",\"seq\":\"1\"}", PV_ERR_MALFORMED, "seq text"},
        {"{" HEAD ",\"desc\":{}}", PV_ERR_MALFORMED, "empty description"},
        {"{" HEAD ",\"desc\":[]}", PV_ERR_MALFORMED, "description of another kind"},
        {"{" HEAD ",\"chain\":{}}", PV_ERR_MALFORMED, "chain of another kind"},
        {"{" HEAD ",\"chain\":[{}]}", PV_ERR_MALFORMED, "no statement"},
        {"{" HEAD ",\"chain\":[{\"s\":\"\"}]}", PV_ERR_MALFORMED, "empty statement"},
        {"{" HEAD ",\"chain\":[{\"s\":\"A\"}]}", PV_ERR_MALFORMED, "not base64"},
        {"{" HEAD ",\"chain\":[{\"s\":\"AAAA\",\"r\":\"\"}]}", PV_ERR_MALFORMED, "empty receipt"},
        {"{" HEAD ",\"chain\":[1,1,1,1,1,1,1,1,1]}", PV_ERR_LIMIT, "nine statements"},
        {"{" HEAD ",\"x\":[[[[[[1]]]]]]}", PV_ERR_LIMIT, "seven deep"},
        {"{" HEAD ",\"x\":[[[[[1]]]]]}", PV_OK, "six deep"},
        {"[]", PV_ERR_MALFORMED, "no object"},
        {"{" HEAD "}x", PV_ERR_MALFORMED, "trailing"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_signal_parsed got;
        int r = pv_signal_parse(pv_view(rows[i].text, strlen(rows[i].text)), &got);
        if (r != rows[i].status)
            fail_msg("%s: %d", rows[i].why, r);
        if (r == PV_OK)
            pv_signal_parsed_done(&got);
    }
}

PV_TEST(a_text_of_15000_bytes_passes_and_one_more_does_not)
{
    char buf[PV_SIGNAL_TEXT_MAX + 1];
    struct pv_signal_parsed got;
    memset(buf, ' ', sizeof(buf));
    memcpy(buf, "{" HEAD "}", strlen("{" HEAD "}"));
    assert_int_equal(pv_signal_parse(pv_view(buf, sizeof(buf)), &got), PV_ERR_LIMIT);
    assert_ok(pv_signal_parse(pv_view(buf, sizeof(buf) - 1), &got));
    pv_signal_parsed_done(&got);
}

/* --- box ------------------------------------------------------------------------------------- */

struct pair {
    struct test_rng seed;
    struct pv_rng rng;
    struct pv_noise_static alice, bob;
    struct pv_signal_route route;
};

static struct pair pair_make(void)
{
    struct pair p;
    memset(&p, 0, sizeof(p));
    p.rng = test_rng_make(&p.seed, 1);
    uint8_t sk[32];
    pv_dh_keypair(&p.rng, sk, p.alice.pk);
    p.alice.sk = test_keep_key(sk);
    pv_dh_keypair(&p.rng, sk, p.bob.pk);
    p.bob.sk = test_keep_key(sk);
    memset(p.route.network_id, 1, sizeof(p.route.network_id));
    memset(p.route.from, 2, sizeof(p.route.from));
    memset(p.route.to, 3, sizeof(p.route.to));
    p.rng.ctx = NULL; /* set again by the user: the struct has moved */
    return p;
}

PV_TEST(boxes_open_for_their_receiver_only)
{
    struct pair p = pair_make();
    uint8_t box[100 + PV_NOISE_X_OVERHEAD], text[100], out[sizeof(box)], sender[32];

    p.rng.ctx = &p.seed;
    memset(text, 0x77, sizeof(text));
    assert_ok(
        pv_signal_seal(&p.route, &p.alice, p.bob.pk, &p.rng, pv_view(text, sizeof(text)), box));
    assert_ok(pv_signal_open(&p.route, &p.bob, pv_view(box, sizeof(box)), sender, out));
    assert_memory_equal(out, text, sizeof(text));
    assert_memory_equal(sender, p.alice.pk, 32);
    assert_int_equal(pv_signal_open(&p.route, &p.alice, pv_view(box, sizeof(box)), sender, out),
                     PV_ERR_AUTH);
    for (size_t cut = 0; cut < sizeof(box); cut++)
        assert_int_equal(pv_signal_open(&p.route, &p.bob, pv_view(box, cut), sender, out),
                         cut < PV_NOISE_X_OVERHEAD ? PV_ERR_TRUNCATED : PV_ERR_AUTH);
    for (size_t i = 0; i < sizeof(box); i++) {
        box[i] ^= 1;
        assert_int_equal(pv_signal_open(&p.route, &p.bob, pv_view(box, sizeof(box)), sender, out),
                         PV_ERR_AUTH);
        box[i] ^= 1;
    }
}

PV_TEST(a_box_belongs_to_its_network_sender_and_receiver)
{
    struct pair p = pair_make();
    uint8_t box[4 + PV_NOISE_X_OVERHEAD], out[sizeof(box)], sender[32];
    struct pv_signal_route other;

    p.rng.ctx = &p.seed;
    assert_ok(pv_signal_seal(&p.route, &p.alice, p.bob.pk, &p.rng, pv_view("text", 4), box));
    other = p.route;
    other.network_id[0] ^= 1;
    assert_int_equal(pv_signal_open(&other, &p.bob, pv_view(box, sizeof(box)), sender, out),
                     PV_ERR_AUTH);
    other = p.route;
    other.from[31] ^= 1;
    assert_int_equal(pv_signal_open(&other, &p.bob, pv_view(box, sizeof(box)), sender, out),
                     PV_ERR_AUTH);
    other = p.route;
    other.to[31] ^= 1;
    assert_int_equal(pv_signal_open(&other, &p.bob, pv_view(box, sizeof(box)), sender, out),
                     PV_ERR_AUTH);
}

PV_TEST(boxes_have_a_limit)
{
    struct pair p = pair_make();
    static uint8_t text[PV_SIGNAL_TEXT_MAX + 1], box[PV_SIGNAL_BOX_MAX + 1], out[sizeof(box)];
    uint8_t sender[32];

    p.rng.ctx = &p.seed;
    assert_int_equal(
        pv_signal_seal(&p.route, &p.alice, p.bob.pk, &p.rng, pv_view(text, sizeof(text)), box),
        PV_ERR_LIMIT);
    assert_ok(
        pv_signal_seal(&p.route, &p.alice, p.bob.pk, &p.rng, pv_view(text, sizeof(text) - 1), box));
    assert_ok(pv_signal_open(&p.route, &p.bob, pv_view(box, PV_SIGNAL_BOX_MAX), sender, out));
    assert_int_equal(pv_signal_open(&p.route, &p.bob, pv_view(box, sizeof(box)), sender, out),
                     PV_ERR_LIMIT);
}

PV_TEST(hybrid_boxes_are_as_long_as_others_at_most)
{
    struct pair p = pair_make();
    static uint8_t text[PV_SIGNAL_HYBRID_TEXT_MAX + 1], box[PV_SIGNAL_BOX_MAX + 1],
        out[sizeof(box)];
    uint8_t id_seed[PV_SIGN_SEED_LEN] = {4}, sk[PV_SIGN_SK_LEN], pk[PV_SIGN_PK_LEN];
    uint8_t ek[PV_KEM_EK_LEN], psk[PV_NOISE_PSK_LEN], sender[32];
    const struct pv_sealing_to to = {.kem = &kem_double, .ek = ek};
    const struct pv_noise_parties keys = {.local = &p.alice, .remote = p.bob.pk};

    p.rng.ctx = &p.seed;
    pv_sign_keypair(id_seed, sk, pk);
    assert_ok(pv_sealing_key(&kem_double, sk, ek));
    assert_int_equal(
        pv_signal_seal_hybrid(&p.route, &to, &keys, &p.rng, pv_view(text, sizeof(text)), box),
        PV_ERR_LIMIT);
    memset(text, 0x31, sizeof(text));
    assert_ok(
        pv_signal_seal_hybrid(&p.route, &to, &keys, &p.rng, pv_view(text, sizeof(text) - 1), box));
    const struct pv_view whole = pv_view(box, PV_SIGNAL_BOX_MAX);
    assert_ok(pv_sealing_secret(&kem_double, sk, whole, psk));
    assert_ok(pv_signal_open_hybrid(&p.route, psk, &p.bob, whole, sender, out));
    assert_memory_equal(out, text, sizeof(text) - 1);
    assert_memory_equal(sender, p.alice.pk, 32);
    struct pv_signal_route other = p.route;
    other.from[31] ^= 1;
    assert_int_equal(pv_signal_open_hybrid(&other, psk, &p.bob, whole, sender, out), PV_ERR_AUTH);
    assert_int_equal(
        pv_signal_open_hybrid(&p.route, psk, &p.bob, pv_view(box, sizeof(box)), sender, out),
        PV_ERR_LIMIT);
    assert_int_equal(pv_signal_open(&p.route, &p.bob, whole, sender, out), PV_ERR_AUTH);
}

/* --- forward --------------------------------------------------------------------------------- */

static uint8_t body[PV_FORWARD_MAX + 1], box[PV_SIGNAL_BOX_MAX + 1];

static struct pv_forward make(size_t box_len)
{
    struct pv_forward f = {.box = pv_view(box, box_len)};
    memset(f.to, 1, sizeof(f.to));
    memset(f.from, 2, sizeof(f.from));
    for (size_t i = 0; i < sizeof(box); i++)
        box[i] = (uint8_t)(i * 13);
    return f;
}

PV_TEST(a_forwarded_signal_comes_back_as_it_was)
{
    static const size_t lens[] = {PV_NOISE_X_OVERHEAD, 500, PV_SIGNAL_BOX_MAX};
    for (size_t i = 0; i < PV_ARRAY_LEN(lens); i++) {
        const struct pv_forward f = make(lens[i]);
        struct pv_forward got;
        size_t len;
        assert_ok(pv_forward_build(&f, body, sizeof(body), &len));
        assert_int_equal(len, PV_FORWARD_HEADER + lens[i]);
        assert_int_equal(body[0], 1);
        assert_int_equal(body[32], 2);
        assert_ok(pv_forward_parse(pv_view(body, len), &got));
        assert_memory_equal(got.to, f.to, sizeof(f.to));
        assert_memory_equal(got.from, f.from, sizeof(f.from));
        assert_true(pv_view_equal(got.box, f.box));
    }
}

PV_TEST(every_truncation_is_refused)
{
    const struct pv_forward f = make(PV_NOISE_X_OVERHEAD);
    struct pv_forward got = {.to = {7}};
    size_t len;
    assert_ok(pv_forward_build(&f, body, sizeof(body), &len));
    for (size_t i = 0; i < len; i++)
        assert_int_equal(pv_forward_parse(pv_view(body, i), &got), PV_ERR_TRUNCATED);
    assert_int_equal(got.to[0], 7);
    for (size_t cap = 0; cap < len; cap++)
        assert_int_equal(pv_forward_build(&f, body, cap, &len), PV_ERR_NO_SPACE);
}

PV_TEST(one_byte_too_many_and_signals_to_oneself_are_refused)
{
    struct pv_forward f = make(PV_SIGNAL_BOX_MAX), got;
    size_t len;
    assert_ok(pv_forward_build(&f, body, sizeof(body), &len));
    assert_int_equal(pv_forward_parse(pv_view(body, len + 1), &got), PV_ERR_LIMIT);
    f = make(PV_SIGNAL_BOX_MAX + 1);
    assert_int_equal(pv_forward_build(&f, body, sizeof(body), &len), PV_ERR_LIMIT);
    f = make(200);
    memcpy(f.from, f.to, sizeof(f.from));
    assert_ok(pv_forward_build(&f, body, sizeof(body), &len));
    assert_int_equal(pv_forward_parse(pv_view(body, len), &got), PV_ERR_MALFORMED);
}
