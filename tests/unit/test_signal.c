/* SPDX-License-Identifier: MIT */
#include <jansson.h>

#include "crypto/ct.h"
#include "crypto/dh.h"
#include "proto/signal.h"
#include "test_util.h"

static struct pv_ice_cand cand(enum pv_ice_cand_type type, const char *addr, uint8_t base)
{
    struct pv_ice_cand c = {
        .type = type, .base = base, .priority = 2130706431u - base, .foundation = 3};
    assert_int_equal(pv_addr_parse(addr, &c.addr), PV_OK);
    return c;
}

static struct pv_signal sample(void)
{
    struct pv_signal s;
    memset(&s, 0, sizeof(s));
    s.seq = 1763628000000000u;
    memset(s.head, 0xab, sizeof(s.head));
    s.has_desc = true;
    s.desc.gen = 1763628000000001u;
    s.desc.rev = 2;
    s.desc.re_gen = 5;
    s.desc.re_rev = 6;
    strcpy(s.desc.creds.ufrag, "abcdefgh");
    strcpy(s.desc.creds.pwd, "0123456789abcdef01234567");
    s.desc.cands[0] = cand(PV_ICE_HOST, "192.168.1.20:40000", 0);
    s.desc.cands[1] = cand(PV_ICE_HOST, "[2001:db8::7]:40000", 1);
    s.desc.cands[2] = cand(PV_ICE_SRFLX, "198.51.100.7:40015", 0);
    s.desc.n_cands = 3;
    memset(s.desc.wg, 0x11, sizeof(s.desc.wg));
    s.desc.wg_len = PV_WGMSG_RESPONSE_LEN;
    return s;
}

static void a_payload_comes_back_as_it_was(void **state)
{
    (void)state;
    struct pv_signal s = sample();
    uint8_t st[300];
    uint8_t rc[PV_RECEIPT_LEN];
    memset(st, 1, sizeof(st));
    memset(rc, 2, sizeof(rc));
    s.n_chain = 2;
    s.chain[0].statement = pv_view(st, sizeof(st));
    s.chain[0].receipt = pv_view(rc, sizeof(rc));
    s.chain[1].statement = pv_view(st, 100);

    char text[PV_SIGNAL_TEXT_MAX];
    size_t len;
    assert_int_equal(pv_signal_write(&s, text, sizeof(text), &len), PV_OK);
    struct pv_signal_parsed p;
    assert_int_equal(pv_signal_parse(pv_view(text, len), &p), PV_OK);
    assert_true(p.sig.seq == s.seq);
    assert_memory_equal(p.sig.head, s.head, sizeof(s.head));
    assert_true(p.sig.has_desc);
    assert_true(p.sig.desc.gen == s.desc.gen && p.sig.desc.rev == 2);
    assert_true(p.sig.desc.re_gen == 5 && p.sig.desc.re_rev == 6);
    assert_string_equal(p.sig.desc.creds.ufrag, s.desc.creds.ufrag);
    assert_string_equal(p.sig.desc.creds.pwd, s.desc.creds.pwd);
    assert_int_equal(p.sig.desc.n_cands, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(pv_addr_equal(&p.sig.desc.cands[i].addr, &s.desc.cands[i].addr));
        assert_int_equal(p.sig.desc.cands[i].type, s.desc.cands[i].type);
        assert_int_equal(p.sig.desc.cands[i].priority, s.desc.cands[i].priority);
        assert_int_equal(p.sig.desc.cands[i].base, s.desc.cands[i].base);
    }
    assert_int_equal(p.sig.desc.wg_len, PV_WGMSG_RESPONSE_LEN);
    assert_int_equal(p.sig.n_chain, 2);
    assert_true(pv_view_equal(p.sig.chain[0].statement, s.chain[0].statement));
    assert_true(pv_view_equal(p.sig.chain[0].receipt, s.chain[0].receipt));
    assert_int_equal(p.sig.chain[1].receipt.len, 0);
    pv_signal_parsed_done(&p);

    for (size_t cut = 0; cut < len; cut++)
        assert_int_not_equal(pv_signal_parse(pv_view(text, cut), &p), PV_OK);
    assert_int_equal(pv_signal_write(&s, text, len - 1, &len), PV_ERR_NO_SPACE);
}

/* Parses the sample with one field of desc (or of the payload) replaced. */
static int parse_with(const char *where, const char *field, const char *json_value)
{
    struct pv_signal s = sample();
    char text[PV_SIGNAL_TEXT_MAX];
    size_t len;
    assert_int_equal(pv_signal_write(&s, text, sizeof(text), &len), PV_OK);
    json_t *obj = json_loadb(text, len, 0, NULL);
    assert_non_null(obj);
    json_t *at = where[0] == '\0' ? obj : json_object_get(obj, where);
    if (json_value == NULL)
        json_object_del(at, field);
    else
        json_object_set_new(at, field, json_loads(json_value, JSON_DECODE_ANY, NULL));
    char *changed = json_dumps(obj, JSON_COMPACT);
    json_decref(obj);
    struct pv_signal_parsed p;
    int r = pv_signal_parse(pv_view(changed, strlen(changed)), &p);
    free(changed);
    if (r == PV_OK)
        pv_signal_parsed_done(&p);
    return r;
}

static void wrong_fields_are_refused_and_unknown_ones_ignored(void **state)
{
    (void)state;
    const struct {
        const char *where, *field, *value;
        int status;
        const char *why;
    } rows[] = {
        {"", "head", NULL, PV_ERR_MALFORMED, "no head"},
        {"", "head", "\"AAAA\"", PV_ERR_MALFORMED, "short head"},
        {"", "seq", NULL, PV_OK, "in-band has no seq"},
        {"", "seq", "0", PV_ERR_MALFORMED, "seq 0"},
        {"", "seq", "-1", PV_ERR_MALFORMED, "negative"},
        {"", "seq", "\"1\"", PV_ERR_MALFORMED, "text"},
        {"", "desc", NULL, PV_OK, "a description is optional"},
        {"", "desc", "3", PV_ERR_MALFORMED, "desc is no object"},
        {"", "chain", "3", PV_ERR_MALFORMED, "chain is no list"},
        {"", "chain", "[{\"r\":\"AAAA\"}]", PV_ERR_MALFORMED, "chain item without statement"},
        {"", "chain", "[1,2,3,4,5,6,7,8,9]", PV_ERR_LIMIT, "one statement too many"},
        {"", "later", "[1]", PV_OK, "unknown field"},
        {"desc", "gen", "0", PV_ERR_MALFORMED, "gen 0"},
        {"desc", "gen", "9007199254740992", PV_ERR_MALFORMED, "gen above 2^53-1"},
        {"desc", "rev", NULL, PV_ERR_MALFORMED, "no rev"},
        {"desc", "re", "[1]", PV_ERR_MALFORMED, "re of one"},
        {"desc", "re", "[1,-2]", PV_ERR_MALFORMED, "negative re"},
        {"desc", "ufrag", "\"\"", PV_ERR_MALFORMED, "empty ufrag"},
        {"desc", "pwd", NULL, PV_ERR_MALFORMED, "no pwd"},
        {"desc", "cands", "[]", PV_OK, "no candidates yet"},
        {"desc", "cands", "[{}]", PV_ERR_MALFORMED, "empty candidate"},
        {"desc", "cands", "[{\"t\":\"moon\",\"a\":\"1.2.3.4:5\",\"b\":0,\"p\":1,\"f\":1}]", PV_OK,
         "unknown type is skipped"},
        {"desc", "cands", "[{\"t\":\"host\",\"a\":\"127.0.0.1:5\",\"b\":0,\"p\":1,\"f\":1}]", PV_OK,
         "loopback is skipped"},
        {"desc", "cands", "[{\"t\":\"host\",\"a\":\"1.2.3.4:5\",\"b\":256,\"p\":1,\"f\":1}]",
         PV_ERR_MALFORMED, "base above 255"},
        {"desc", "cands", "[{\"t\":\"host\",\"a\":\"1.2.3.4:5\",\"b\":0,\"p\":4294967296,\"f\":1}]",
         PV_ERR_MALFORMED, "priority above 32 bits"},
        {"desc", "wg", "\"AAAA\"", PV_ERR_MALFORMED, "handshake of a wrong length"},
        {"desc", "caps", "[\"later\"]", PV_OK, "unknown capability"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        int r = parse_with(rows[i].where, rows[i].field, rows[i].value);
        if (r != rows[i].status)
            fail_msg("%s: %s", rows[i].why, pv_strstatus(r));
    }
}

static void skipped_candidates_leave_no_hole(void **state)
{
    (void)state;
    json_t *obj = json_loads(
        "{\"gen\":1,\"rev\":1,\"re\":[0,0],\"ufrag\":\"abcd\",\"pwd\":\"0123456789abcdef012345\","
        "\"cands\":[{\"t\":\"host\",\"a\":\"127.0.0.1:5\",\"b\":0,\"p\":1,\"f\":1},"
        "{\"t\":\"host\",\"a\":\"192.0.2.1:5\",\"b\":0,\"p\":1,\"f\":1}]}",
        0, NULL);
    assert_non_null(obj);
    struct pv_desc d;
    assert_int_equal(pv_desc_from_json(obj, &d), PV_OK);
    assert_int_equal(d.n_cands, 1);
    assert_int_equal(d.cands[0].addr.ip[0], 192);
    json_decref(obj);
}

static void more_candidates_than_the_limit_are_refused(void **state)
{
    (void)state;
    struct pv_signal s = sample();
    for (size_t i = 0; i < PV_ICE_MAX_REMOTE; i++)
        s.desc.cands[i] = cand(PV_ICE_HOST, "192.0.2.1:5", 0);
    s.desc.n_cands = PV_ICE_MAX_REMOTE;
    json_t *obj = pv_desc_to_json(&s.desc);
    assert_non_null(obj);
    struct pv_desc d;
    assert_int_equal(pv_desc_from_json(obj, &d), PV_OK);
    json_t *cands = json_object_get(obj, "cands");
    json_array_append(cands, json_array_get(cands, 0));
    assert_int_equal(pv_desc_from_json(obj, &d), PV_ERR_LIMIT);
    json_decref(obj);
}

static void a_box_opens_only_for_its_route(void **state)
{
    (void)state;
    assert_int_equal(pv_crypto_init(), PV_OK);
    struct test_rng r;
    struct pv_rng rng = test_rng_make(&r, 3);
    struct pv_noise_keys a, b, c;
    pv_dh_keypair(&rng, a.sk, a.pk);
    pv_dh_keypair(&rng, b.sk, b.pk);
    pv_dh_keypair(&rng, c.sk, c.pk);
    struct pv_signal_route route = {{1}, {2}, {3}};
    const char text[] = "{\"head\":1}";
    uint8_t box[sizeof(text) + PV_NOISE_X_OVERHEAD];
    assert_int_equal(pv_signal_seal(&route, &a, b.pk, &rng, pv_view(text, sizeof(text)), box),
                     PV_OK);
    uint8_t sender[32];
    uint8_t out[sizeof(text)];
    assert_int_equal(pv_signal_open(&route, &b, pv_view(box, sizeof(box)), sender, out), PV_OK);
    assert_memory_equal(out, text, sizeof(text));
    assert_memory_equal(sender, a.pk, 32);
    assert_int_equal(pv_signal_open(&route, &c, pv_view(box, sizeof(box)), sender, out),
                     PV_ERR_AUTH);
    for (unsigned i = 0; i < 3; i++) {
        struct pv_signal_route other = route;
        (i == 0 ? other.network_id : i == 1 ? other.from : other.to)[0] ^= 1;
        assert_int_equal(pv_signal_open(&other, &b, pv_view(box, sizeof(box)), sender, out),
                         PV_ERR_AUTH);
    }
    for (size_t cut = 0; cut < sizeof(box); cut++)
        assert_int_not_equal(pv_signal_open(&route, &b, pv_view(box, cut), sender, out), PV_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_payload_comes_back_as_it_was),
        cmocka_unit_test(wrong_fields_are_refused_and_unknown_ones_ignored),
        cmocka_unit_test(skipped_candidates_leave_no_hole),
        cmocka_unit_test(more_candidates_than_the_limit_are_refused),
        cmocka_unit_test(a_box_opens_only_for_its_route),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
