/* SPDX-License-Identifier: MIT */
#include "proto/control/desc.h"
#include "tests/unit/test_util.h"

#define CREDS      "\"ufrag\":\"abcdEF12\",\"pwd\":\"0123456789+/ABCDEFGHabcd\""
#define CAND(t, a) "{\"t\":\"" t "\",\"a\":\"" a "\",\"b\":0,\"p\":100,\"f\":1}"

static int parse(const char *text, struct pv_desc *d)
{
    json_t *obj = json_loads(text, 0, NULL);
    if (obj == NULL)
        fail_msg("not JSON: %s", text);
    int r = pv_desc_from_json(obj, d);
    json_decref(obj);
    return r;
}

static struct pv_desc sample(size_t n_cands)
{
    struct pv_desc d;
    memset(&d, 0, sizeof(d));
    d.gen = 1700000000000000;
    d.rev = 3;
    d.re_gen = 1700000000000001;
    d.re_rev = 9;
    snprintf(d.creds.ufrag, sizeof(d.creds.ufrag), "abcdEF12");
    snprintf(d.creds.pwd, sizeof(d.creds.pwd), "0123456789+/ABCDEFGHabcd");
    d.n_cands = n_cands;
    for (size_t i = 0; i < n_cands; i++) {
        d.cands[i].type = i % 2 == 0 ? PV_ICE_HOST : PV_ICE_SRFLX;
        d.cands[i].addr = pv_addr4(192, 0, 2, (uint8_t)(i + 1), (uint16_t)(4000 + i));
        d.cands[i].priority = (uint32_t)(1000 + i);
        d.cands[i].foundation = (uint8_t)i;
        d.cands[i].base = (uint8_t)(i - i % 2);
    }
    d.wg_len = PV_WGMSG_RESPONSE_LEN;
    memset(d.wg, 0x5a, d.wg_len);
    return d;
}

PV_TEST(descriptions_read_back)
{
    struct pv_desc want = sample(6), got;
    json_t *obj = pv_desc_to_json(&want);
    assert_non_null(obj);
    assert_ok(pv_desc_from_json(obj, &got));
    assert_memory_equal(&got, &want, sizeof(got));
    json_decref(obj);

    want.wg_len = 0;
    memset(want.wg, 0, sizeof(want.wg));
    want.re_gen = want.re_rev = 0;
    want.n_cands = 0;
    memset(want.cands, 0, sizeof(want.cands));
    obj = pv_desc_to_json(&want);
    assert_non_null(obj);
    assert_ok(pv_desc_from_json(obj, &got));
    assert_memory_equal(&got, &want, sizeof(got));
    json_decref(obj);
}

/* The compiler names a type that is missing here. */
static bool is_type(unsigned value)
{
    switch ((enum pv_ice_cand_type)value) {
    case PV_ICE_HOST:
    case PV_ICE_SRFLX:
    case PV_ICE_PRFLX:
    case PV_ICE_RELAY:
        return true;
    }
    return false;
}

PV_TEST(candidates_of_every_type_read_back)
{
    for (unsigned value = 0; value < 256; value++) {
        struct pv_desc want = sample(1), got;
        if (!is_type(value))
            continue;
        want.cands[0].type = (enum pv_ice_cand_type)value;
        json_t *obj = pv_desc_to_json(&want);
        assert_ok(pv_desc_from_json(obj, &got));
        json_decref(obj);
        if (got.n_cands != 1 || got.cands[0].type != want.cands[0].type)
            fail_msg("candidates of type %u (\"%s\") have no word in cand_types[] of desc.c", value,
                     pv_ice_cand_type_name(want.cands[0].type));
    }
}

PV_TEST(more_local_candidates_than_allowed_are_left_out)
{
    struct pv_desc want = sample(PV_ICE_MAX_LOCAL + 1), got;
    want.cands[0].base = PV_ICE_MAX_LOCAL; /* a base that is left out */
    json_t *obj = pv_desc_to_json(&want);
    assert_non_null(obj);
    assert_ok(pv_desc_from_json(obj, &got));
    assert_int_equal(got.n_cands, PV_ICE_MAX_LOCAL);
    assert_int_equal(got.cands[0].base, 0);
    json_decref(obj);
}

PV_TEST(the_form_is_the_documented_one)
{
    struct pv_desc d = sample(1);
    d.wg_len = 0;
    json_t *obj = pv_desc_to_json(&d);
    char *text = json_dumps(obj, JSON_COMPACT);
    assert_string_equal(text, test_given("gen rev re ufrag abcdEF12 pwd"));
    free(text);
    json_decref(obj);
}

PV_TEST(unknown_fields_are_skipped)
{
    struct pv_desc d;
    assert_ok(parse(test_given("gen rev re new caps x nat m"), &d));
    assert_int_equal(d.n_cands, 3);
    assert_int_equal(d.cands[0].base, 0);
    assert_int_equal(d.cands[1].base, 0); /* 2 moved to 0 */
    assert_int_equal(d.cands[2].base, 2); /* its base was skipped: itself */
    assert_int_equal(d.re_gen, 0);
    assert_int_equal(d.wg_len, 0);
}

PV_TEST(wrong_fields_are_refused)
{
    const struct {
        const char *text;
        const char *why;
    } rows[] = {
        {"{\"rev\":1," CREDS ",\"cands\":[]}", "no gen"},
        {"{\"gen\":0,\"rev\":1," CREDS ",\"cands\":[]}", "gen 0"},
        {"{\"gen\":1,\"rev\":0," CREDS ",\"cands\":[]}", "rev 0"},
        {"{\"gen\":-1,\"rev\":1," CREDS ",\"cands\":[]}", "negative"},
        {"{\"gen\":1.5,\"rev\":1," CREDS ",\"cands\":[]}", "fraction"},
        {"{\"gen\":\"1\",\"rev\":1," CREDS ",\"cands\":[]}", "text"},
        {"{\"gen\":1,\"rev\":1,\"re\":[1]," CREDS ",\"cands\":[]}", "half a re"},
        {"{\"gen\":1,\"rev\":1,\"re\":[1,0]," CREDS ",\"cands\":[]}", "re to rev 0"},
        {"{\"gen\":1,\"rev\":1,\"re\":[1,1,1]," CREDS ",\"cands\":[]}", "re of three"},
        {"{\"gen\":1,\"rev\":1,\"re\":{}," CREDS ",\"cands\":[]}", "re of another kind"},
        {test_given("gen rev ufrag abc pwd"), "3 characters of ufrag"},
        {test_given("gen rev ufrag abcd pwd"), "21 characters of pwd"},
        {test_given("gen rev ufrag ab d pwd"), "a colon in the ufrag"},
        {test_given("gen rev ufrag pwd /ABCDEFGHabcd"), "33 characters of ufrag"},
        {"{\"gen\":1,\"rev\":1," CREDS "}", "no cands"},
        {"{\"gen\":1,\"rev\":1," CREDS ",\"cands\":{}}", "cands of another kind"},
        {"{\"gen\":1,\"rev\":1," CREDS ",\"cands\":[1]}", "a candidate that is a number"},
        {"{\"gen\":1,\"rev\":1," CREDS ",\"cands\":[" CAND("host", "10.0.0.1") "]}", "no port"},
        {"{\"gen\":1,\"rev\":1," CREDS ",\"cands\":[" CAND("host", "vpn:1") "]}", "a name"},
        {test_given("gen rev ufrag abcdEF12 pwd"), "base outside the list"},
        {test_given("cands t host 10.0.0.1 b 0 p 0 f"), "priority 0"},
        {test_given("10.0.0.1 b 0 p 2147483648 f"), "priority 2^31"},
        {test_given("t host 10.0.0.1 b 0 p f 256"), "foundation 256"},
        {"{\"gen\":1,\"rev\":1," CREDS ",\"cands\":[],\"wg\":\"AAAA\"}", "short handshake message"},
        {"{\"gen\":1,\"rev\":1," CREDS ",\"cands\":[],\"wg\":\"A\"}", "wg not base64"},
        {"{\"gen\":1,\"rev\":1," CREDS ",\"cands\":[],\"wg\":1}", "wg of another kind"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_desc d = {.gen = 77};
        int r = parse(rows[i].text, &d);
        if (r != PV_ERR_MALFORMED)
            fail_msg("%s: %d", rows[i].why, r);
        assert_int_equal(d.gen, 77);
    }
    struct pv_desc d;
    assert_ok(parse("{\"gen\":1,\"rev\":1," CREDS ",\"cands\":[]}", &d));
}

PV_TEST(thirty_two_candidates_pass_and_no_more)
{
    for (size_t n = PV_ICE_MAX_REMOTE; n <= PV_ICE_MAX_REMOTE + 1; n++) {
        char text[8192];
        struct pv_desc d;
        int len = snprintf(text, sizeof(text), "{\"gen\":1,\"rev\":1," CREDS ",\"cands\":[");
        for (size_t i = 0; i < n; i++)
            len += snprintf(text + len, sizeof(text) - (size_t)len, "%s%s", i > 0 ? "," : "",
                            CAND("host", "10.0.0.1:9"));
        snprintf(text + len, sizeof(text) - (size_t)len, "]}");
        assert_int_equal(parse(text, &d), n == PV_ICE_MAX_REMOTE ? PV_OK : PV_ERR_LIMIT);
    }
}

#define HEAD "{\"gen\":1,\"rev\":1," CREDS ",\"cands\":[],"

PV_TEST(findings_about_a_nat_read_back)
{
    static const struct pv_desc_nat nats[] = {
        {.mapping = PV_DESC_MAPPING_SAME},
        {.mapping = PV_DESC_MAPPING_SAME, .early = true},
        {.mapping = PV_DESC_MAPPING_SAME, .last = 65535, .early = true},
        {.mapping = PV_DESC_MAPPING_VARIES},
        {.mapping = PV_DESC_MAPPING_VARIES, .ports = PV_DESC_PORTS_RANDOM},
        {.mapping = PV_DESC_MAPPING_VARIES,
         .ports = PV_DESC_PORTS_SEQUENTIAL,
         .step = -2,
         .last = 65535},
        {.mapping = PV_DESC_MAPPING_VARIES, .ports = PV_DESC_PORTS_BLOCK, .lo = 1024, .hi = 1535},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(nats); i++) {
        struct pv_desc want = sample(0), got;
        want.nat = nats[i];
        want.attempt = (struct pv_desc_try){.n = (uint32_t)i, .at_us = 1700000000000000 * i};
        json_t *obj = pv_desc_to_json(&want);
        assert_non_null(obj);
        assert_ok(pv_desc_from_json(obj, &got));
        assert_memory_equal(&got, &want, sizeof(got));
        json_decref(obj);
    }
}

PV_TEST(an_unknown_word_is_skipped)
{
    struct pv_desc want = sample(0), got;
    want.caps = PV_DESC_CAP_PQ;
    json_t *obj = pv_desc_to_json(&want);
    assert_non_null(obj);
    assert_int_equal(json_array_append_new(json_object_get(obj, "caps"), json_string("hold")), 0);
    assert_ok(pv_desc_from_json(obj, &got));
    assert_int_equal(got.caps, PV_DESC_CAP_PQ);
    json_decref(obj);
}

PV_TEST(costs_are_told_whole_or_not_at_all)
{
    struct pv_desc want = sample(0), got;
    want.cost[PV_SUITE_CHACHA] = 650;
    json_t *obj = pv_desc_to_json(&want);
    assert_null(json_object_get(obj, "cost"));
    json_decref(obj);
    want.cost[PV_SUITE_AES] = PV_AEAD_COST_MAX;
    obj = pv_desc_to_json(&want);
    assert_ok(pv_desc_from_json(obj, &got));
    assert_memory_equal(&got, &want, sizeof(got));
    assert_int_equal(json_array_append_new(json_object_get(obj, "cost"), json_string("new")), 0);
    assert_ok(pv_desc_from_json(obj, &got));
    static const char *const bad[] = {"[1]",     "[0,1]", "[1,-1]", "[1,1000001]",
                                      "[1.5,2]", "7",     "{}"};
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++) {
        json_object_set_new(obj, "cost", json_loads(bad[i], JSON_DECODE_ANY, NULL));
        assert_int_equal(pv_desc_from_json(obj, &got), PV_ERR_MALFORMED);
    }
    json_object_set_new(obj, "cost", json_null());
    assert_ok(pv_desc_from_json(obj, &got));
    assert_false(pv_desc_has_cost(got.cost));
    json_decref(obj);
}

PV_TEST(nat_data_outside_the_bounds_is_refused)
{
    const struct {
        const char *text;
        int status;
    } rows[] = {
        {HEAD "\"nat\":null,\"try\":null}", PV_OK},
        {HEAD "\"nat\":{}}", PV_OK},
        {test_given("cands nat map later ports later"), PV_OK},
        {HEAD "\"nat\":7}", PV_ERR_MALFORMED},
        {test_given("ports sequential step 16 last"), PV_OK},
        {test_given("ports sequential step 17 last"), PV_ERR_MALFORMED},
        {test_given("ports sequential step -17 last"), PV_ERR_MALFORMED},
        {test_given("ports sequential step 0 last"), PV_ERR_MALFORMED},
        {test_given("sequential step last 65536"), PV_ERR_MALFORMED},
        {test_given("cands nat ports sequential step"), PV_ERR_MALFORMED},
        {HEAD "\"nat\":{\"map\":\"same\",\"last\":65535}}", PV_OK},
        {HEAD "\"nat\":{\"map\":\"same\",\"last\":65536}}", PV_ERR_MALFORMED},
        {HEAD "\"nat\":{\"map\":\"same\",\"last\":0}}", PV_ERR_MALFORMED},
        {test_given("cands nat ports block lo 5 hi 5"), PV_OK},
        {test_given("cands nat ports block lo 5 hi 4"), PV_ERR_MALFORMED},
        {test_given("cands nat ports block lo 0 hi 4"), PV_ERR_MALFORMED},
        {test_given("nat ports block lo hi 65536"), PV_ERR_MALFORMED},
        {HEAD "\"try\":{\"n\":4294967295,\"at\":0}}", PV_OK},
        {HEAD "\"try\":{\"n\":4294967296,\"at\":0}}", PV_ERR_MALFORMED},
        {HEAD "\"try\":{\"n\":0,\"at\":0}}", PV_ERR_MALFORMED},
        {HEAD "\"try\":{\"n\":1}}", PV_ERR_MALFORMED},
        {HEAD "\"try\":{\"n\":1,\"at\":-1}}", PV_ERR_MALFORMED},
        {HEAD "\"try\":[1,2]}", PV_ERR_MALFORMED},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_desc d;
        if (parse(rows[i].text, &d) != rows[i].status)
            fail_msg("%s", rows[i].text);
    }
}
