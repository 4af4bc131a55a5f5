/* SPDX-License-Identifier: MIT */
/* Secrets, lines and MACs by which two daemons know each other. */
#include "proto/control/proof.h"
#include "tests/unit/test_util.h"

static const uint8_t alice[PV_SIGN_PK_LEN] = {1}, bob[PV_SIGN_PK_LEN] = {2};
static const uint8_t one[PV_PROOF_SECRET_LEN] = {10}, two[PV_PROOF_SECRET_LEN] = {20};

static struct pv_view text(const char *s)
{
    return pv_view(s, strlen(s));
}

PV_TEST(a_secret_survives_the_way)
{
    struct pv_proof_secret msg = {.known = {7, 8}, .asks = true}, got;
    uint8_t body[PV_PROOF_BODY_LEN + 5] = {0};
    memcpy(msg.secret, one, sizeof(msg.secret));
    pv_proof_secret_build(&msg, body);
    assert_ok(pv_proof_secret_parse(pv_view(body, PV_PROOF_BODY_LEN), &got));
    assert_memory_equal(&got, &msg, sizeof(msg));
    assert_ok(pv_proof_secret_parse(pv_view(body, sizeof(body)), &got));
    for (size_t n = 0; n < PV_PROOF_BODY_LEN; n++)
        assert_int_equal(pv_proof_secret_parse(pv_view(body, n), &got), PV_ERR_TRUNCATED);
    body[1] = 2;
    assert_int_equal(pv_proof_secret_parse(pv_view(body, sizeof(body)), &got), PV_ERR_MALFORMED);
    body[0] = 2;
    assert_int_equal(pv_proof_secret_parse(pv_view(body, sizeof(body)), &got), PV_ERR_UNSUPPORTED);
}

PV_TEST(both_sides_make_one_key_of_both_secrets)
{
    const struct pv_proof_side a = {alice, one}, b = {bob, two}, other = {bob, one};
    uint8_t key[3][PV_PROOF_KEY_LEN], tag[2][PV_PROOF_TAG_LEN];
    pv_proof_key(&a, &b, key[0]);
    pv_proof_key(&b, &a, key[1]);
    pv_proof_key(&a, &other, key[2]);
    assert_memory_equal(key[0], key[1], sizeof(key[0]));
    assert_memory_not_equal(key[0], key[2], sizeof(key[0]));
    pv_proof_tag(one, tag[0]);
    pv_proof_tag(two, tag[1]);
    assert_memory_not_equal(tag[0], tag[1], sizeof(tag[0]));
    assert_memory_not_equal(tag[0], one, sizeof(tag[0]));
}

/* Each field counts: who opened, who accepted, both nonces, the key and what it is for. */
PV_TEST(a_proof_of_one_thing_is_none_of_another)
{
    static const uint8_t n1[PV_PROOF_NONCE_LEN] = {1}, n2[PV_PROOF_NONCE_LEN] = {2};
    const struct pv_proof right = {one, alice, bob, n1, n2};
    const struct pv_proof wrong[] = {{two, alice, bob, n1, n2},
                                     {one, bob, alice, n1, n2},
                                     {one, alice, bob, n2, n1},
                                     {one, alice, bob, n1, n1},
                                     {one, alice, alice, n1, n2}};
    uint8_t mac[PV_PROOF_MAC_LEN];
    pv_proof_mac(&right, PV_PROOF_CHAT_OPENED, mac);
    assert_true(pv_proof_is_right(&right, PV_PROOF_CHAT_OPENED, mac));
    for (int role = 1; role <= 4; role++)
        assert_int_equal(pv_proof_is_right(&right, (enum pv_proof_role)role, mac),
                         role == PV_PROOF_CHAT_OPENED);
    for (size_t i = 0; i < PV_ARRAY_LEN(wrong); i++)
        assert_false(pv_proof_is_right(&wrong[i], PV_PROOF_CHAT_OPENED, mac));
    mac[31] ^= 1;
    assert_false(pv_proof_is_right(&right, PV_PROOF_CHAT_OPENED, mac));
}

PV_TEST(lines_survive_the_way)
{
    char buf[PV_PROOF_LINE_MAX];
    for (int i = 1; i < 4; i++) {
        struct pv_proof_line line = {.has_nonce = (i & 1) != 0, .has_mac = (i & 2) != 0}, got;
        memset(line.nonce, line.has_nonce ? 0xff : 0, sizeof(line.nonce));
        memset(line.mac, line.has_mac ? 0xfe : 0, sizeof(line.mac));
        size_t len = pv_proof_line_write(&line, buf);
        assert_true(len < sizeof(buf));
        assert_int_equal(buf[len - 1], '\n');
        assert_true(pv_proof_is_line(pv_view(buf, len - 1)));
        assert_ok(pv_proof_line_parse(pv_view(buf, len - 1), &got));
        assert_memory_equal(&got, &line, sizeof(line));
    }
}

PV_TEST(bad_lines_are_refused)
{
    const char *const bad[] = {
        "{\"prove\":1}",
        "{\"prove\":\"\"}",
        "{\"prove\":\"AAECAwQFBgcICQoLDA0ODwA\"}",
        "{\"prove\":\"AAECAwQFBgcICQoLDA0OD!\"}",
        "{\"prove\":null}",
        "{\"proof\":\"AAECAwQFBgcICQoLDA0ODw\"}",
        test_given("prove AAECAwQFBgcICQoLDA0ODw"),
        "{\"proof\":{\"a\":{}}}",
        "{\"prove\":\"AAECAwQFBgcICQoLDA0ODw\"",
        "{\"x\":1}",
        "",
    };
    struct pv_proof_line got;
    char big[PV_PROOF_LINE_MAX + 1];
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++) {
        if (pv_proof_line_parse(text(bad[i]), &got) >= 0)
            fail_msg("taken: %s", bad[i]);
    }
    memset(big, ' ', sizeof(big));
    assert_int_equal(pv_proof_line_parse(pv_view(big, PV_PROOF_LINE_MAX), &got), PV_ERR_LIMIT);
    assert_ok(pv_proof_line_parse(text(test_given("AAECAwQFBgcICQoLDA0ODw new")), &got));
    assert_false(pv_proof_is_line(text("{\"room\":1}")));
    assert_false(pv_proof_is_line(text("{\"pro")));
}
