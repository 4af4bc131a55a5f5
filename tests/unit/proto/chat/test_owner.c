/* SPDX-License-Identifier: MIT */
/* The question about the user behind a connection, and its answer. */
#include "proto/chat/owner.h"
#include "tests/unit/test_util.h"

PV_TEST(the_word_on_an_owner_survives_the_wire)
{
    static const struct pv_proof_owner messages[] = {
        {.port = 40000},
        {.ip6 = true, .port = 1},
        {.answer = true, .port = 40000, .typist = PV_CHAT_ROOT},
        {.answer = true, .ip6 = true, .port = 2, .typist = PV_CHAT_GROUP},
    };
    uint8_t buf[PV_PROOF_OWNER_LEN];
    struct pv_proof_owner got;
    for (size_t i = 0; i < PV_ARRAY_LEN(messages); i++) {
        pv_proof_owner_build(&messages[i], buf);
        assert_ok(pv_proof_owner_parse(pv_view(buf, sizeof(buf)), &got));
        assert_int_equal(got.answer, messages[i].answer);
        assert_int_equal(got.ip6, messages[i].ip6);
        assert_int_equal(got.port, messages[i].port);
        assert_int_equal(got.typist, messages[i].typist);
        for (size_t len = 0; len < sizeof(buf); len++)
            assert_int_equal(pv_proof_owner_parse(pv_view(buf, len), &got), PV_ERR_TRUNCATED);
    }
    buf[3] = PV_CHAT_TYPISTS; /* of a later version */
    assert_ok(pv_proof_owner_parse(pv_view(buf, sizeof(buf)), &got));
    assert_int_equal(got.typist, PV_CHAT_SOMEBODY);
    buf[2] = 5;
    assert_int_equal(pv_proof_owner_parse(pv_view(buf, sizeof(buf)), &got), PV_ERR_MALFORMED);
    buf[2] = 4;
    buf[1] = 3;
    assert_int_equal(pv_proof_owner_parse(pv_view(buf, sizeof(buf)), &got), PV_ERR_MALFORMED);
    buf[0] = 2;
    assert_int_equal(pv_proof_owner_parse(pv_view(buf, sizeof(buf)), &got), PV_ERR_UNSUPPORTED);
}
