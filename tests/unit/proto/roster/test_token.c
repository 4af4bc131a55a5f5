/* SPDX-License-Identifier: MIT */
#include "crypto/ct.h"
#include "proto/roster/token.h"
#include "tests/unit/test_util.h"

static struct pv_token sample_token(void)
{
    struct pv_token t;
    struct pv_hostport hp = {.host = "192.0.2.1", .port = 3478};
    uint8_t pk[32];

    memset(&t, 0, sizeof(t));
    memset(t.network_id, 0x11, sizeof(t.network_id));
    memset(t.seed, 0x22, sizeof(t.seed));
    memset(pk, 0x33, sizeof(pk));
    struct pv_writer w = pv_writer(t.list, sizeof(t.list));
    pv_coordlist_put(&w, pk, &hp, 1);
    assert_ok(w.status);
    t.list_len = w.len;
    return t;
}

PV_TEST(tokens_read_back)
{
    struct pv_token want = sample_token(), got;
    char text[PV_TOKEN_TEXT_BUF];

    assert_ok(pv_token_format(&want, text, sizeof(text)));
    assert_memory_equal(text, "p2pvpn-", 7);
    assert_int_equal(strspn(text, test_given("characters of a token")), strlen(text));
    assert_ok(pv_token_parse(text, strlen(text), &got));
    assert_memory_equal(&got, &want, sizeof(got));
    pv_token_done(&got);
    assert_true(pv_ct_is_zero(&got, sizeof(got)));
}

PV_TEST(the_text_of_a_token_does_not_change)
{
    struct pv_token t = sample_token();
    char text[PV_TOKEN_TEXT_BUF];
    assert_ok(pv_token_format(&t, text, sizeof(text)));
    assert_string_equal(text, test_given("a token"));
}

/* Those of a token differ by network and rules, and by nothing else: who has the same rules finds
 * what the token says of them. */
PV_TEST(a_mark_names_the_rules_of_one_network)
{
    static const uint8_t want[PV_TOKEN_RULES_LEN] = {0};
    uint8_t network[PV_NETWORK_ID_LEN] = {1}, rules[PV_STATEMENT_HASH_LEN] = {2};
    uint8_t first[PV_TOKEN_RULES_LEN], mark[PV_TOKEN_RULES_LEN];
    pv_token_rules(network, rules, first);
    assert_memory_not_equal(first, want, sizeof(want));
    pv_token_rules(network, rules, mark);
    assert_memory_equal(mark, first, sizeof(mark));
    network[15] ^= 1;
    pv_token_rules(network, rules, mark);
    assert_memory_not_equal(mark, first, sizeof(mark));
    network[15] ^= 1;
    rules[31] ^= 1;
    pv_token_rules(network, rules, mark);
    assert_memory_not_equal(mark, first, sizeof(mark));
}

PV_TEST(a_cut_or_mistyped_token_is_refused)
{
    struct pv_token t = sample_token(), got;
    char text[PV_TOKEN_TEXT_BUF + 1];
    assert_ok(pv_token_format(&t, text, sizeof(text)));
    size_t len = strlen(text);

    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(pv_token_parse(text, cut, &got), PV_ERR_MALFORMED);
    for (size_t i = 0; i < len; i++) {
        char was = text[i];
        text[i] = was == 'x' ? 'y' : 'x';
        assert_int_equal(pv_token_parse(text, len, &got), PV_ERR_MALFORMED);
        text[i] = was;
    }
    text[len] = 'A';
    assert_int_equal(pv_token_parse(text, len + 1, &got), PV_ERR_MALFORMED);
    text[len] = ' ';
    assert_int_equal(pv_token_parse(text, len + 1, &got), PV_ERR_MALFORMED);
}

PV_TEST(tokens_of_a_newer_version_are_told_apart)
{
    static const char newer[] = "p2pvpn-A-1BoAQ"; /* version 3, nothing else, checksum */
    static struct pv_movetoken move;
    struct pv_token got;
    assert_int_equal(pv_token_parse(newer, strlen(newer), &got), PV_ERR_UNSUPPORTED);
    assert_int_equal(pv_movetoken_parse(newer, strlen(newer), &move), PV_ERR_UNSUPPORTED);
}

/* A newer version may add fields: the length says nothing of the version. */
PV_TEST(a_long_token_of_a_newer_version_is_told_apart)
{
    static struct pv_movetoken move;
    static char text[PV_MOVETOKEN_TEXT_BUF + 2];
    struct pv_token got;
    snprintf(text, sizeof(text), "p2pvpn-AAAA");
    memset(text + 11, 'A', sizeof(text) - 12);
    for (char version = 'A'; version <= 'Z'; version++) { /* the first six bits */
        text[7] = version;
        const int want = version == 'A' ? PV_ERR_MALFORMED : PV_ERR_UNSUPPORTED;
        assert_int_equal(pv_token_parse(text, strlen(text), &got), want);
        assert_int_equal(pv_movetoken_parse(text, strlen(text), &move), want);
    }
    text[8] = '*';
    assert_int_equal(pv_token_parse(text, strlen(text), &got), PV_ERR_MALFORMED);
    /* Two invites in one. */
    memcpy(text + 7, "AREREREREREREREREREREREiIiIiIiIiIiIi", 36);
    assert_int_equal(pv_token_parse(text, strlen(text), &got), PV_ERR_MALFORMED);
    assert_int_equal(pv_movetoken_parse(text, strlen(text), &move), PV_ERR_MALFORMED);
}

PV_TEST(move_tokens_read_back_and_damaged_ones_are_refused)
{
    static struct pv_movetoken want, got;
    static char text[PV_MOVETOKEN_TEXT_BUF + 1];
    struct pv_token invite = sample_token();
    want = (struct pv_movetoken){.record = pv_view("record", 6)};
    memset(want.network_id, 0x11, sizeof(want.network_id));
    assert_ok(pv_movetoken_format(&want, text, sizeof(text)));
    size_t len = strlen(text);
    assert_ok(pv_movetoken_parse(text, len, &got));
    assert_memory_equal(got.network_id, want.network_id, sizeof(got.network_id));
    assert_int_equal(got.record.len, 6);
    assert_memory_equal(got.record.ptr, "record", 6);
    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(pv_movetoken_parse(text, cut, &got), PV_ERR_MALFORMED);
    for (size_t i = 0; i < len; i++) {
        char was = text[i];
        text[i] = was == 'x' ? 'y' : 'x';
        assert_int_equal(pv_movetoken_parse(text, len, &got), PV_ERR_MALFORMED);
        text[i] = was;
    }
    /* Neither kind is taken for the other. */
    assert_int_equal(pv_token_parse(text, len, &invite), PV_ERR_MALFORMED);
    invite = sample_token();
    assert_ok(pv_token_format(&invite, text, sizeof(text)));
    assert_int_equal(pv_movetoken_parse(text, strlen(text), &got), PV_ERR_MALFORMED);
    assert_int_equal(pv_movetoken_format(&want, text, len), PV_ERR_NO_SPACE);
}

PV_TEST(a_token_holds_512_bytes_of_coordinators_and_no_more)
{
    struct pv_token t = sample_token(), got;
    struct pv_hostport hp[2] = {{.port = 3478}, {.port = 3478}};
    char text[PV_TOKEN_TEXT_BUF];
    uint8_t pk[32] = {1};

    /* 32 + 2 + (2 + n + 5) * 2 = 512 */
    for (size_t i = 0; i < 2; i++) {
        memset(hp[i].host, 'a' + (int)i, 232);
        for (size_t dot = 50; dot < 232; dot += 50)
            hp[i].host[dot] = '.';
    }
    struct pv_writer w = pv_writer(t.list, sizeof(t.list));
    pv_coordlist_put(&w, pk, hp, 2);
    assert_ok(w.status);
    assert_int_equal(w.len, PV_TOKEN_LIST_MAX);
    t.list_len = w.len;
    assert_ok(pv_token_format(&t, text, sizeof(text)));
    assert_int_equal(strlen(text), PV_TOKEN_TEXT_BUF - 1);
    assert_ok(pv_token_parse(text, strlen(text), &got));
    assert_int_equal(pv_token_format(&t, text, sizeof(text) - 1), PV_ERR_NO_SPACE);
    t.list_len++;
    assert_int_equal(pv_token_format(&t, text, sizeof(text)), PV_ERR_MALFORMED);
    t.list_len = 0;
    assert_int_equal(pv_token_format(&t, text, sizeof(text)), PV_ERR_MALFORMED);
}

PV_TEST(urls_read_back_with_and_without_a_secret)
{
    static const char *const hosts[] = {"192.0.2.1", "2001:db8::1", "vpn.example.org"};
    for (size_t i = 0; i < 2 * PV_ARRAY_LEN(hosts); i++) {
        struct pv_url want, got;
        char text[PV_URL_TEXT_BUF];
        memset(&want, 0, sizeof(want));
        snprintf(want.addr.host, sizeof(want.addr.host), "%s", hosts[i / 2]);
        want.addr.port = 3478;
        memset(want.pk, 0x44, sizeof(want.pk));
        want.has_secret = i % 2 == 1;
        if (want.has_secret)
            memset(want.secret, 0x55, sizeof(want.secret));
        assert_ok(pv_url_format(&want, text, sizeof(text)));
        assert_ok(pv_url_parse(text, strlen(text), &got));
        assert_string_equal(got.addr.host, want.addr.host);
        assert_int_equal(got.addr.port, want.addr.port);
        assert_int_equal(got.has_secret, want.has_secret);
        assert_memory_equal(got.pk, want.pk, sizeof(got.pk));
        assert_memory_equal(got.secret, want.secret, sizeof(got.secret));
        assert_int_equal(pv_url_format(&want, text, strlen(text)), PV_ERR_NO_SPACE);
        for (size_t cut = 0; cut < strlen(text); cut++) {
            /* Cut off right after the key it is the URL of an open coordinator. */
            if (!(want.has_secret && text[cut] == '?'))
                assert_int_equal(pv_url_parse(text, cut, &got), PV_ERR_MALFORMED);
        }
    }
}

PV_TEST(a_key_that_nobody_can_have_is_known)
{
    uint8_t sk[PV_SIGN_SK_LEN], seed[PV_SIGN_SEED_LEN] = {1};
    struct pv_url url = {.has_secret = false};
    size_t none = 0;
    pv_sign_keypair(seed, sk, url.pk);
    assert_true(pv_url_has_key(&url));
    for (int bit = 0; bit < 256; bit++) {
        url.pk[bit / 8] ^= (uint8_t)(1 << bit % 8);
        none += !pv_url_has_key(&url);
        url.pk[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_in_range(none, 200, 256); /* no point, or one of another subgroup */
}

PV_TEST(only_the_one_form_of_a_url_passes)
{
#define KEY "REREREREREREREREREREREREREREREREREREREREREQ"
    static const char *const bad[] = {
        "http://192.0.2.1:3478/" KEY,
        "p2pvpn://192.0.2.1/" KEY,
        "p2pvpn://tls:192.0.2.1:3478/" KEY,
        "p2pvpn://192.0.2.1:3478/" KEY "/",
        "p2pvpn://192.0.2.1:3478/" KEY "?c=",
        "p2pvpn://192.0.2.1:3478/" KEY "?d=VVVVVVVVVVVVVVVVVVVVVQ",
        "p2pvpn://192.0.2.1:3478/" KEY "?c=VVVVVVVVVVVVVVVVVVVVVQ&x=1",
        "p2pvpn://192.0.2.1:3478/" KEY "?c=VVVVVVVVVVVVVVVVVVVVVR",
        "p2pvpn://192.0.2.1:3478/" KEY " ",
        "p2pvpn:///" KEY,
    };
    struct pv_url url;
    const char *good = "p2pvpn://192.0.2.1:3478/" KEY "?c=VVVVVVVVVVVVVVVVVVVVVQ";
    assert_ok(pv_url_parse(good, strlen(good), &url));
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++) {
        if (pv_url_parse(bad[i], strlen(bad[i]), &url) != PV_ERR_MALFORMED)
            fail_msg("%s", bad[i]);
    }
}
