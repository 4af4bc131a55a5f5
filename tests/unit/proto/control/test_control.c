/* SPDX-License-Identifier: MIT */
/* control: both roles against each other through byte pipes, and everything that must end it. */
#include "crypto/ct.h"
#include "crypto/dh.h"
#include "proto/control/control.h"
#include "tests/unit/kem_double.h"
#include "tests/unit/test_util.h"

struct pair {
    struct test_rng rng_state;
    struct pv_rng rng;
    uint8_t client_pk[PV_DH_LEN];
    uint8_t server_pk[PV_DH_LEN];
    uint8_t server_sk[PV_DH_LEN];
    struct pv_control *client;
    struct pv_control *server;
};

/* Of the test that runs. */
static struct pair the_pair;
static struct pair *const p = &the_pair;

static void setup(void)
{
    uint8_t sk[PV_DH_LEN];
    memset(p, 0, sizeof(*p));
    p->rng = test_rng_make(&p->rng_state, 7);
    pv_dh_keypair(&p->rng, p->server_sk, p->server_pk);
    pv_dh_keypair(&p->rng, sk, p->client_pk);
    assert_ok(pv_control_new_client(&p->client, test_keep_key(sk), p->server_pk, &p->rng));
    assert_ok(pv_control_new_server(&p->server, p->server_sk, NULL, &p->rng));
}

static void teardown(void)
{
    pv_control_free(p->client);
    pv_control_free(p->server);
}

void test_before_each(void)
{
    setup();
}

void test_after_each(void)
{
    teardown();
}

/* Moves what waits in from to to, in pieces of step bytes; returns the first error. */
static int move(struct pv_control *from, struct pv_control *to, size_t step)
{
    for (;;) {
        size_t used = 0;
        struct pv_view out = pv_control_out(from);
        if (out.len == 0)
            return PV_OK;
        if (out.len > step)
            out.len = step;
        int r = pv_control_handle_bytes(to, out, &used);
        pv_control_wrote(from, used);
        if (r < 0)
            return r;
        if (used == 0)
            return PV_OK; /* a message waits */
    }
}

static void handshake(void)
{
    assert_ok(move(p->client, p->server, SIZE_MAX));
    assert_ok(move(p->server, p->client, SIZE_MAX));
    assert_int_equal(pv_control_state(p->client), PV_CONTROL_READY);
    assert_int_equal(pv_control_state(p->server), PV_CONTROL_READY);
}

static void expect(struct pv_control *c, const char *text)
{
    struct pv_view got;
    assert_ok(pv_control_poll_message(c, &got));
    assert_int_equal(got.len, strlen(text));
    assert_memory_equal(got.ptr, text, got.len);
    assert_int_equal(pv_control_poll_message(c, &got), PV_ERR_AGAIN);
}

static struct pv_view text(const char *s)
{
    return pv_view(s, strlen(s));
}

PV_TEST(both_sides_agree_on_hash_and_keys)
{
    uint8_t a[32];
    uint8_t b[32];
    assert_int_equal(pv_control_out(p->client).len, 2 + 2 + 96);
    assert_memory_equal(pv_control_out(p->client).ptr, "P\1\0\x60", 4);
    assert_int_equal(pv_control_handshake_hash(p->server, a), PV_ERR_STATE);
    assert_int_equal(pv_control_remote_static(p->server, a), PV_ERR_STATE);
    handshake();
    assert_ok(pv_control_handshake_hash(p->client, a));
    assert_ok(pv_control_handshake_hash(p->server, b));
    assert_memory_equal(a, b, 32);
    assert_ok(pv_control_remote_static(p->server, a));
    assert_memory_equal(a, p->client_pk, 32);
    assert_ok(pv_control_remote_static(p->client, a));
    assert_memory_equal(a, p->server_pk, 32);
}

PV_TEST_IN(messages_cross_both_ways_in_pieces_of_any_size, NULL, NULL)
{
    for (size_t step = 1; step < 120; step += step < 12 ? 1 : 13) {
        setup();
        assert_ok(move(p->client, p->server, step));
        assert_ok(move(p->server, p->client, step));
        assert_ok(pv_control_send(p->client, text("{\"one\":1}")));
        assert_ok(pv_control_send(p->client, text("{\"two\":22}")));
        assert_ok(move(p->client, p->server, step));
        expect(p->server, "{\"one\":1}");
        assert_ok(move(p->client, p->server, step));
        expect(p->server, "{\"two\":22}");
        assert_ok(pv_control_send(p->server, text("back")));
        assert_ok(move(p->server, p->client, step));
        expect(p->client, "back");
        teardown();
    }
}

PV_TEST(input_stops_at_a_message_until_it_is_polled)
{
    size_t used = 0;
    handshake();
    assert_ok(pv_control_send(p->client, text("first")));
    size_t first = pv_control_out(p->client).len;
    assert_ok(pv_control_send(p->client, text("second")));
    struct pv_view out = pv_control_out(p->client);
    assert_ok(pv_control_handle_bytes(p->server, out, &used));
    assert_int_equal(used, first);
    assert_ok(pv_control_handle_bytes(p->server, out, &used));
    assert_int_equal(used, 0);
    expect(p->server, "first");
    out = pv_view(out.ptr + first, out.len - first);
    assert_ok(pv_control_handle_bytes(p->server, out, &used));
    assert_int_equal(used, out.len);
    expect(p->server, "second");
}

PV_TEST(the_longest_message_passes_and_one_more_byte_does_not)
{
    struct pv_view got;
    static uint8_t big[PV_CONTROL_TEXT_MAX + 1];
    memset(big, 'x', sizeof(big));
    handshake();
    assert_int_equal(pv_control_send(p->client, pv_view(big, 0)), PV_ERR_NO_SPACE);
    assert_int_equal(pv_control_send(p->client, pv_view(big, sizeof(big))), PV_ERR_NO_SPACE);
    assert_ok(pv_control_send(p->client, pv_view(big, sizeof(big) - 1)));
    assert_int_equal(pv_control_out(p->client).len, 2 + PV_CONTROL_FRAME_MAX);
    assert_ok(move(p->client, p->server, 4096));
    assert_ok(pv_control_poll_message(p->server, &got));
    assert_int_equal(got.len, PV_CONTROL_TEXT_MAX);
    assert_memory_equal(got.ptr, big, got.len);
}

PV_TEST(full_output_is_an_answer_and_room_says_so_before)
{
    static uint8_t big[PV_CONTROL_TEXT_MAX];
    memset(big, 'x', sizeof(big));
    handshake();
    assert_int_equal(pv_control_room(p->client), PV_CONTROL_OUT_MAX - 18);
    for (int i = 0; i < 4; i++)
        assert_ok(pv_control_send(p->client, pv_view(big, sizeof(big))));
    size_t room = pv_control_room(p->client);
    assert_int_equal(pv_control_send(p->client, pv_view(big, room + 1)), PV_ERR_LIMIT);
    size_t waiting = pv_control_out(p->client).len;
    assert_ok(pv_control_send(p->client, pv_view(big, room)));
    assert_int_equal(pv_control_out(p->client).len, waiting + 18 + room);
    assert_int_equal(pv_control_out(p->client).len, PV_CONTROL_OUT_MAX);
    assert_int_equal(pv_control_room(p->client), 0);
    assert_int_equal(pv_control_send(p->client, pv_view(big, 1)), PV_ERR_LIMIT);
    /* A refused frame took no nonce: the rest still arrives. */
    for (int i = 0; i < 5; i++) {
        struct pv_view got;
        assert_ok(move(p->client, p->server, 10000));
        assert_ok(pv_control_poll_message(p->server, &got));
    }
    assert_int_equal(pv_control_out(p->client).len, 0);
}

PV_TEST_IN(a_wrong_byte_anywhere_in_the_handshake_ends_it, NULL, NULL)
{
    for (size_t at = 0; at < 2 + 2 + 96; at++) {
        uint8_t bytes[2 + 2 + 96];
        size_t used = 0;
        setup();
        struct pv_view out = pv_control_out(p->client);
        assert_int_equal(out.len, sizeof(bytes));
        memcpy(bytes, out.ptr, out.len);
        bytes[at] ^= 1;
        int r = pv_control_handle_bytes(p->server, pv_view(bytes, out.len), &used);
        assert_int_equal(r, at < 2 + 2 ? PV_ERR_MALFORMED : PV_ERR_AUTH);
        assert_int_equal(pv_control_state(p->server), PV_CONTROL_FAILED);
        assert_int_equal(pv_control_out(p->server).len, 0);
        assert_int_equal(pv_control_handle_bytes(p->server, pv_view(bytes, 1), &used),
                         PV_ERR_CLOSED);
        teardown();
    }
    for (size_t at = 0; at < 2 + 48; at++) {
        uint8_t bytes[2 + 48];
        size_t used = 0;
        setup();
        assert_ok(move(p->client, p->server, SIZE_MAX));
        assert_int_equal(pv_control_out(p->server).len, sizeof(bytes));
        memcpy(bytes, pv_control_out(p->server).ptr, sizeof(bytes));
        bytes[at] ^= 1;
        int r = pv_control_handle_bytes(p->client, pv_view(bytes, sizeof(bytes)), &used);
        assert_int_equal(r, at < 2 ? PV_ERR_MALFORMED : PV_ERR_AUTH);
        assert_int_equal(pv_control_state(p->client), PV_CONTROL_FAILED);
        teardown();
    }
}

PV_TEST_IN(no_truncated_handshake_gets_an_answer, NULL, NULL)
{
    for (size_t cut = 0; cut < 2 + 2 + 96; cut++) {
        size_t used = 0;
        setup();
        struct pv_view out = pv_control_out(p->client);
        assert_ok(pv_control_handle_bytes(p->server, pv_view(out.ptr, cut), &used));
        assert_int_equal(used, cut);
        assert_int_equal(pv_control_state(p->server), PV_CONTROL_OPENING);
        assert_int_equal(pv_control_out(p->server).len, 0);
        teardown();
    }
}

PV_TEST_IN(forged_replayed_and_misplaced_frames_end_it, NULL, NULL)
{
    static const struct {
        uint8_t frame[40];
        size_t len;
        int status;
        const char *why;
    } rows[] = {
        {{0, 0}, 2, PV_ERR_MALFORMED, "empty frame"},
        {{0, 16}, 2, PV_ERR_MALFORMED, "a tag and no message"},
        {{0, 17, 1, 2, 3}, 19, PV_ERR_AUTH, "forged"},
        {{0xf0, 0x01}, 2, PV_ERR_LIMIT, "one over 60 KiB"},
        {{0xff, 0xff}, 2, PV_ERR_LIMIT, "the largest length"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        size_t used = 0;
        setup();
        handshake();
        int r = pv_control_handle_bytes(p->server, pv_view(rows[i].frame, rows[i].len), &used);
        if (r != rows[i].status)
            fail_msg("%s: %d", rows[i].why, r);
        teardown();
    }

    size_t used = 0;
    uint8_t frame[64];
    setup();
    handshake();
    assert_ok(pv_control_send(p->client, text("once")));
    struct pv_view out = pv_control_out(p->client);
    memcpy(frame, out.ptr, out.len);
    assert_ok(pv_control_handle_bytes(p->server, pv_view(frame, out.len), &used));
    expect(p->server, "once");
    assert_int_equal(pv_control_handle_bytes(p->server, pv_view(frame, out.len), &used),
                     PV_ERR_AUTH);
    teardown();
}

PV_TEST(a_server_with_another_key_is_not_believed)
{
    p->server_sk[5] ^= 4;
    pv_control_free(p->server);
    assert_ok(pv_control_new_server(&p->server, p->server_sk, NULL, &p->rng));
    assert_int_equal(move(p->client, p->server, SIZE_MAX), PV_ERR_AUTH);
}

PV_TEST(a_server_key_of_small_order_is_refused_at_once)
{
    struct pv_control *c = NULL;
    static const uint8_t zero[PV_DH_LEN];
    assert_int_equal(pv_control_new_client(&c, p->server_sk, zero, &p->rng), PV_ERR_AUTH);
    assert_null(c);
}

PV_TEST(a_failed_machine_says_nothing_more)
{
    struct pv_view got;
    assert_int_equal(pv_control_send(p->client, text("early")), PV_ERR_STATE);
    handshake();
    assert_ok(pv_control_send(p->client, text("late")));
    static const uint8_t too_long[] = {0xff, 0xff};
    size_t used;
    assert_int_equal(pv_control_handle_bytes(p->client, pv_view(too_long, sizeof(too_long)), &used),
                     PV_ERR_LIMIT);
    assert_int_equal(pv_control_out(p->client).len, 0);
    assert_int_equal(pv_control_send(p->client, text("too late")), PV_ERR_STATE);
    assert_int_equal(pv_control_poll_message(p->client, &got), PV_ERR_AGAIN);
    pv_control_wrote(p->client, 100);
    assert_null(pv_control_free(NULL));
}

/* --- hybrid keys ------------------------------------------------------------------------------ */

/* The client's offer reaches the server, whose answer is the last message under the old keys. */
static void go_over(const struct pv_kem *kem, struct pv_view *ret_ct)
{
    static uint8_t ek[PV_KEM_EK_LEN], ct[PV_KEM_CT_LEN];
    struct pv_control_keys keys;
    assert_ok(pv_control_offer(p->client, kem, &p->rng, ek));
    assert_ok(pv_control_answer(p->server, kem, &p->rng, pv_view(ek, sizeof(ek)), ct, &keys));
    assert_ok(pv_control_send(p->server, text("answer")));
    pv_control_rekey(p->server, &keys);
    assert_true(pv_ct_is_zero(&keys, sizeof(keys)));
    assert_ok(pv_control_send(p->server, text("welcome")));
    *ret_ct = pv_view(ct, sizeof(ct));
}

PV_TEST_IN(both_sides_go_over_to_hybrid_keys, NULL, NULL)
{
    const struct pv_kem *const kems[] = {&kem_double, pv_kem_mlkem768()};
    for (size_t i = 0; i < PV_ARRAY_LEN(kems) && kems[i] != NULL; i++) {
        struct pv_view ct;
        setup();
        handshake();
        go_over(kems[i], &ct);
        assert_true(pv_control_is_hybrid(p->server));
        assert_false(pv_control_is_hybrid(p->client));
        assert_ok(move(p->server, p->client, 7));
        expect(p->client, "answer");
        assert_ok(pv_control_accept(p->client, ct));
        assert_true(pv_control_is_hybrid(p->client));
        assert_ok(move(p->server, p->client, 7));
        expect(p->client, "welcome");
        assert_ok(pv_control_send(p->client, text("thanks")));
        assert_ok(move(p->client, p->server, 7));
        expect(p->server, "thanks");
        teardown();
    }
}

/* A client that takes the answer for another one has other keys: nothing passes. */
PV_TEST_IN(another_answer_gives_other_keys, NULL, NULL)
{
    for (size_t at = 0; at < PV_KEM_CT_LEN; at += 97) {
        struct pv_view ct;
        uint8_t other[PV_KEM_CT_LEN];
        setup();
        handshake();
        go_over(&kem_double, &ct);
        assert_ok(move(p->server, p->client, SIZE_MAX));
        expect(p->client, "answer");
        memcpy(other, ct.ptr, sizeof(other));
        other[at] ^= 1;
        assert_ok(pv_control_accept(p->client, pv_view(other, sizeof(other))));
        assert_int_equal(move(p->server, p->client, SIZE_MAX), PV_ERR_AUTH);
        teardown();
    }
}

/* An attacker who recorded the channel and breaks X25519 later has the keys of the handshake, and
 * no more. */
PV_TEST_IN(the_handshakes_keys_open_nothing_that_follows, NULL, NULL)
{
    for (int hybrid = 0; hybrid < 2; hybrid++) {
        struct pv_view ct;
        setup();
        handshake();
        if (hybrid) {
            go_over(&kem_double, &ct);
            assert_ok(move(p->server, p->client, SIZE_MAX));
            expect(p->client, "answer");
        } else {
            assert_ok(pv_control_send(p->server, text("welcome")));
        }
        /* The client has the keys of the handshake here, as the breaker of X25519 would. */
        assert_int_equal(move(p->server, p->client, SIZE_MAX), hybrid ? PV_ERR_AUTH : PV_OK);
        teardown();
    }
}

PV_TEST(hybrid_keys_are_asked_for_once_and_in_turn)
{
    struct pv_control_keys keys;
    struct pv_view ct;
    uint8_t ek[PV_KEM_EK_LEN] = {1}, out[PV_KEM_CT_LEN];
    const struct pv_view key = pv_view(ek, sizeof(ek));
    assert_int_equal(pv_control_offer(p->client, &kem_double, &p->rng, ek), PV_ERR_STATE);
    assert_int_equal(pv_control_answer(p->server, &kem_double, &p->rng, key, out, &keys),
                     PV_ERR_STATE);
    handshake();
    assert_int_equal(pv_control_offer(p->server, &kem_double, &p->rng, ek), PV_ERR_STATE);
    assert_int_equal(pv_control_answer(p->client, &kem_double, &p->rng, key, out, &keys),
                     PV_ERR_STATE);
    assert_int_equal(pv_control_accept(p->client, pv_view(out, sizeof(out))), PV_ERR_STATE);
    /* A bad encapsulation key changes nothing. */
    memset(ek, 0xff, sizeof(ek));
    assert_int_equal(pv_control_answer(p->server, &kem_double, &p->rng, key, out, &keys),
                     PV_ERR_MALFORMED);
    assert_int_equal(
        pv_control_answer(p->server, &kem_double, &p->rng, pv_view(ek, 1183), out, &keys),
        PV_ERR_MALFORMED);
    assert_false(pv_control_is_hybrid(p->server));
    go_over(&kem_double, &ct);
    assert_int_equal(pv_control_offer(p->client, &kem_double, &p->rng, ek), PV_ERR_STATE);
    assert_int_equal(pv_control_answer(p->server, &kem_double, &p->rng, key, out, &keys),
                     PV_ERR_STATE);
    assert_ok(move(p->server, p->client, SIZE_MAX));
    expect(p->client, "answer");
    assert_int_equal(pv_control_accept(p->client, pv_view(ct.ptr, ct.len - 1)), PV_ERR_MALFORMED);
    assert_int_equal(pv_control_accept(p->client, ct), PV_ERR_STATE);
}
