/* SPDX-License-Identifier: MIT */
/*
 * test_wgmsg_vectors.c - whole WireGuard handshakes with fixed keys against messages made by
 * another implementation (tests/vectors/gen_noise.py): the byte layout of messages 1, 2, 3 and 4.
 */
#include "base/addr.h"
#include "base/bytes.h"
#include "crypto/aead.h"
#include "crypto/dh.h"
#include "crypto/hash.h"
#include "proto/wireguard/wgmsg.h"
#include "tests/unit/vectors.h"

static const char FILE_NAME[] = "wireguard.txt";

static struct test_vector field(const char *tag, const char *name)
{
    char full[64];
    (void)snprintf(full, sizeof(full), "%s_%s", tag, name);
    return test_vector(FILE_NAME, full);
}

static void assert_field(const uint8_t *got, size_t len, const char *tag, const char *name)
{
    struct test_vector v = field(tag, name);
    assert_int_equal(len, v.len);
    assert_memory_equal(got, v.ptr, len);
}

/* "Randomness" that is one given value. */
static void fill_from(void *ctx, uint8_t *dst, size_t len)
{
    const struct test_vector *v = ctx;
    assert_int_equal(len, v->len);
    memcpy(dst, v->ptr, len);
}

struct pair {
    struct pv_wg_device init, resp;
    struct pv_wg_remote to_resp, to_init;
};

static struct pair make_pair(const char *tag)
{
    struct pair p;
    struct test_vector psk = field(tag, "psk");
    pv_wg_device_init(&p.init, test_keep_key(field(tag, "si").ptr));
    pv_wg_device_init(&p.resp, test_keep_key(field(tag, "sr").ptr));
    assert_ok(pv_wg_remote_init(&p.to_resp, &p.init, p.resp.keys.pk, psk.ptr));
    assert_ok(pv_wg_remote_init(&p.to_init, &p.resp, p.init.keys.pk, psk.ptr));
    return p;
}

static void check_transport(const char *tag, const struct pv_wg_keys *send,
                            const struct pv_wg_keys *recv)
{
    struct test_vector plain = field(tag, "transport_plain"), want = field(tag, "transport");
    struct pv_view none = {NULL, 0};
    uint8_t packet[64] = {PV_WGMSG_DATA}, back[64];
    pv_store_le32(packet + 4, send->remote_index);
    struct pv_view sealed = pv_view(want.ptr + 16, want.len - 16);
    bool aes = send->suite == PV_SUITE_AES;
    (aes ? pv_gcm_seal : pv_aead_seal)(packet + 16, send->send, 0, none, test_vector_view(&plain));
    assert_memory_equal(packet, want.ptr, want.len);
    assert_ok((aes ? pv_gcm_open : pv_aead_open)(back, recv->recv, 0, none, sealed));
    assert_memory_equal(back, plain.ptr, plain.len);
}

/* Both roles with the keys of one set of vectors; cookie_msg1: message 1 carries a mac2. */
static void check_handshake(const char *tag, enum pv_suite suite, const uint8_t *cookie)
{
    struct pair p = make_pair(tag);
    struct test_vector ei = field(tag, "ei"), er = field(tag, "er");
    struct test_vector stamp = field(tag, "timestamp");
    struct pv_rng irng = {fill_from, &ei}, rrng = {fill_from, &er};
    struct pv_wg_pending pending = {.local_index = 0x11223344, .suite = suite};
    struct pv_wg_initiation in;
    struct pv_wg_keys ik, rk;
    uint8_t msg1[PV_WGMSG_INITIATION_LEN], msg2[PV_WGMSG_RESPONSE_LEN], tai64n[PV_TAI64N_LEN];
    struct pv_view m1 = pv_view(msg1, sizeof(msg1)), m2 = pv_view(msg2, sizeof(msg2));

    assert_ok(pv_wgmsg_initiate(&pending, &p.init, &p.to_resp, &irng, stamp.ptr, msg1));
    if (cookie != NULL)
        pv_wgmsg_put_mac2(msg1, sizeof(msg1), cookie);
    assert_field(msg1, sizeof(msg1), tag, "msg1");
    assert_true(pv_wgmsg_mac1_ok(&p.resp, m1));
    assert_false(pv_wgmsg_mac1_ok(&p.init, m1));

    assert_ok(pv_wgmsg_identify(&p.resp, m1, &in));
    assert_memory_equal(in.static_pk, p.init.keys.pk, 32);
    assert_int_equal(in.remote_index, 0x11223344);
    assert_ok(pv_wgmsg_accept(&in, &p.to_init, tai64n));
    assert_memory_equal(tai64n, stamp.ptr, sizeof(tai64n));
    assert_ok(pv_wgmsg_respond(&in, &p.to_init, &rrng, 0xaabbccdd, msg2, &rk));
    assert_field(msg2, sizeof(msg2), tag, "msg2");
    assert_int_equal(rk.remote_index, 0x11223344);
    assert_true(pv_wgmsg_mac1_ok(&p.init, m2));
    assert_int_equal(pv_wgmsg_receiver(m2), 0x11223344);

    assert_ok(pv_wgmsg_read_response(&pending, &p.init, &p.to_resp, m2, &ik));
    assert_int_equal(ik.remote_index, 0xaabbccdd);
    assert_field(ik.send, 32, tag, "initiator_send_key");
    assert_field(ik.recv, 32, tag, "initiator_recv_key");
    assert_int_equal(ik.suite, suite);
    assert_int_equal(rk.suite, suite);
    assert_memory_equal(ik.send, rk.recv, 32);
    assert_memory_equal(ik.recv, rk.send, 32);
    check_transport(tag, &ik, &rk);
}

PV_TEST(handshake_without_psk_matches_another_implementation)
{
    check_handshake("plain", PV_SUITE_CHACHA, NULL);
}

PV_TEST(handshake_with_psk_and_cookie_matches_another_implementation)
{
    check_handshake("psk", PV_SUITE_CHACHA, test_vector(FILE_NAME, "cookie_value").ptr);
}

PV_TEST(handshake_of_the_aes_suite_matches_another_implementation)
{
    check_handshake("aes", PV_SUITE_AES, NULL);
}

PV_TEST(cookie_reply_matches_another_implementation)
{
    struct pair p = make_pair("plain");
    struct test_vector msg1 = field("plain", "msg1"), msg3 = test_vector(FILE_NAME, "cookie_msg3");
    struct test_vector nonce = test_vector(FILE_NAME, "cookie_nonce");
    struct test_vector value = test_vector(FILE_NAME, "cookie_value");
    struct pv_rng rng = {fill_from, &nonce};
    uint8_t made[PV_WGMSG_COOKIE_LEN], cookie[PV_WGMSG_MAC_LEN];

    pv_wgmsg_make_cookie(&p.resp, &rng, test_vector_view(&msg1), value.ptr, made);
    assert_memory_equal(made, msg3.ptr, msg3.len);
    assert_int_equal(pv_wgmsg_receiver(test_vector_view(&msg3)), 0x11223344);
    assert_ok(pv_wgmsg_read_cookie(&p.to_resp, test_vector_view(&msg3),
                                   pv_wgmsg_mac1(test_vector_view(&msg1)).ptr, cookie));
    assert_memory_equal(cookie, value.ptr, sizeof(cookie));

    struct test_vector with = field("psk", "msg1"), without = field("plain", "msg1");
    assert_true(pv_wgmsg_mac2_ok(test_vector_view(&with), value.ptr));
    assert_false(pv_wgmsg_mac2_ok(test_vector_view(&without), value.ptr));
}

/* 1,700,000,000.123456789 s cut to 2^24 ns: a row of the vectors, and the start of the epoch. */
PV_TEST(timestamps_are_tai64n_cut_to_a_tick)
{
    uint8_t a[PV_TAI64N_LEN], b[PV_TAI64N_LEN];
    static const uint8_t epoch[PV_TAI64N_LEN] = {0x40, 0, 0, 0, 0, 0, 0, 0x0a};
    pv_tai64n_tagged(a, 0, 0);
    assert_memory_equal(a, epoch, sizeof(a));
    pv_tai64n_tagged(a, PV_TAI64N_TICK - 1, 0);
    assert_memory_equal(a, epoch, sizeof(a));
    pv_tai64n_tagged(b, PV_TAI64N_TICK, 0);
    assert_int_equal(pv_load_be32(b + 8), PV_TAI64N_TICK);

    pv_tai64n_tagged(a, 1700000000123456789u, 0);
    assert_int_equal(pv_load_be64(a), 0x400000000000000aULL + 1700000000u);
    assert_true(pv_load_be32(a + 8) <= 123456789u);
    assert_true(pv_load_be32(a + 8) > 123456789u - PV_TAI64N_TICK);
    for (uint64_t i = 1; i < 100; i++) { /* every tick is above the one before */
        pv_tai64n_tagged(b, 1700000000123456789u + i * PV_TAI64N_TICK, 0);
        assert_true(memcmp(b, a, sizeof(a)) > 0);
        memcpy(a, b, sizeof(a));
    }
}

PV_TEST(types_are_told_by_first_bytes_and_length)
{
    static const struct {
        uint8_t head[4];
        size_t len;
        int status;
        const char *why;
    } rows[] = {
        {{1, 0, 0, 0}, 148, PV_OK, "message 1"},
        {{1, 0, 0, 0}, 147, PV_ERR_MALFORMED, "one byte short"},
        {{1, 0, 0, 0}, 149, PV_ERR_MALFORMED, "one byte long"},
        {{1, 0, 0, 1}, 148, PV_OK, "the AES suite"},
        {{1, 0, 0, 2}, 148, PV_ERR_UNSUPPORTED, "no such suite"},
        {{1, 0, 1, 0}, 148, PV_ERR_MALFORMED, "byte 2"},
        {{1, 1, 0, 0}, 148, PV_ERR_MALFORMED, "byte 1"},
        {{2, 0, 0, 0}, 92, PV_OK, "message 2"},
        {{2, 0, 0, 0}, 91, PV_ERR_MALFORMED, "one byte short"},
        {{2, 0, 0, 0}, 93, PV_ERR_MALFORMED, "one byte long"},
        {{2, 0, 0, 1}, 92, PV_OK, "the AES suite"},
        {{2, 0, 0, 2}, 92, PV_ERR_UNSUPPORTED, "no such suite"},
        {{3, 0, 0, 0}, 64, PV_OK, "message 3"},
        {{3, 0, 0, 0}, 63, PV_ERR_MALFORMED, "one byte short"},
        {{3, 0, 0, 0}, 65, PV_ERR_MALFORMED, "one byte long"},
        {{3, 0, 0, 1}, 64, PV_ERR_MALFORMED, "message 3 has no suite"},
        {{4, 0, 0, 0}, 32, PV_OK, "a keepalive"},
        {{4, 0, 0, 0}, 31, PV_ERR_MALFORMED, "shorter than a keepalive"},
        {{4, 0, 0, 0}, 148, PV_OK, "data"},
        {{4, 0, 0, 1}, 48, PV_ERR_MALFORMED, "message 4 has no suite"},
        {{0, 0, 0, 0}, 148, PV_ERR_MALFORMED, "type 0"},
        {{5, 0, 0, 0}, 148, PV_ERR_MALFORMED, "type 5"},
        {{1, 0, 0, 0}, 3, PV_ERR_MALFORMED, "not even four bytes"},
        {{1, 0, 0, 0}, 0, PV_ERR_MALFORMED, "nothing"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        uint8_t buf[160] = {0}, type = 0;
        memcpy(buf, rows[i].head, 4);
        int r = pv_wgmsg_type(pv_view(buf, rows[i].len), &type);
        if (r != rows[i].status || (r == PV_OK && type != rows[i].head[0]))
            fail_msg("%s: %d", rows[i].why, r);
    }
}

PV_TEST(every_truncation_and_changed_byte_of_a_message_is_refused)
{
    struct pair p = make_pair("psk");
    struct test_vector ei = field("psk", "ei"), stamp = field("psk", "timestamp");
    struct test_vector m1 = field("psk", "msg1"), m2 = field("psk", "msg2");
    struct test_vector m3 = test_vector(FILE_NAME, "cookie_msg3");
    struct pair c = make_pair("plain");
    struct test_vector cm1 = field("plain", "msg1");
    const uint8_t *mac1 = pv_wgmsg_mac1(test_vector_view(&cm1)).ptr;
    struct pv_rng irng = {fill_from, &ei};
    struct pv_wg_pending pending = {.local_index = 0x11223344};
    struct pv_wg_initiation in;
    struct pv_wg_keys keys;
    uint8_t msg[PV_WGMSG_INITIATION_LEN], tai64n[PV_TAI64N_LEN], cookie[16];
    assert_ok(pv_wgmsg_initiate(&pending, &p.init, &p.to_resp, &irng, stamp.ptr, msg));

    for (size_t i = 0; i < m1.len; i++) {
        assert_true(pv_wgmsg_identify(&p.resp, pv_view(m1.ptr, i), &in) < 0);
        m1.ptr[i] ^= 1;
        bool mac_ok = pv_wgmsg_mac1_ok(&p.resp, test_vector_view(&m1));
        assert_int_equal(mac_ok, i >= 132); /* mac2 is not covered by mac1 */
        int r = pv_wgmsg_identify(&p.resp, test_vector_view(&m1), &in);
        if (r == PV_OK)
            r = pv_wgmsg_accept(&in, &p.to_init, tai64n);
        /* The sender index and the macs are not part of the Noise message. */
        assert_int_equal(r == PV_OK, (i >= 4 && i < 8) || i >= 116);
        m1.ptr[i] ^= 1;
    }
    for (size_t i = 0; i < m2.len; i++) {
        assert_true(
            pv_wgmsg_read_response(&pending, &p.init, &p.to_resp, pv_view(m2.ptr, i), &keys) < 0);
        m2.ptr[i] ^= 1;
        int r = pv_wgmsg_read_response(&pending, &p.init, &p.to_resp, test_vector_view(&m2), &keys);
        assert_int_equal(r == PV_OK, (i >= 4 && i < 8) || i >= 60);
        m2.ptr[i] ^= 1;
    }
    for (size_t i = 0; i < m3.len; i++) {
        assert_true(pv_wgmsg_read_cookie(&c.to_resp, pv_view(m3.ptr, i), mac1, cookie) < 0);
        m3.ptr[i] ^= 1;
        int r = pv_wgmsg_read_cookie(&c.to_resp, test_vector_view(&m3), mac1, cookie);
        assert_int_equal(r == PV_OK, i >= 4 && i < 8);
        m3.ptr[i] ^= 1;
    }
    assert_ok(pv_wgmsg_read_response(&pending, &p.init, &p.to_resp, test_vector_view(&m2),
                                     &keys)); /* the forgeries did no harm */
}

PV_TEST(another_psk_or_static_key_is_refused)
{
    struct pair p = make_pair("psk"), other = make_pair("plain");
    struct test_vector ei = field("psk", "ei"), stamp = field("psk", "timestamp");
    struct test_vector m1 = field("psk", "msg1"), m2 = field("psk", "msg2");
    struct pv_rng irng = {fill_from, &ei};
    struct pv_wg_pending pending = {.local_index = 0x11223344};
    struct pv_wg_initiation in;
    struct pv_wg_keys keys;
    uint8_t msg[PV_WGMSG_INITIATION_LEN], tai64n[PV_TAI64N_LEN], zero[32] = {0};

    /* message 1 does not depend on the psk, message 2 does */
    assert_ok(pv_wgmsg_initiate(&pending, &p.init, &p.to_resp, &irng, stamp.ptr, msg));
    p.to_resp.psk[31] ^= 1;
    assert_int_equal(
        pv_wgmsg_read_response(&pending, &p.init, &p.to_resp, test_vector_view(&m2), &keys),
        PV_ERR_AUTH);

    assert_int_equal(pv_wgmsg_identify(&other.resp, test_vector_view(&m1), &in), PV_ERR_AUTH);
    assert_ok(pv_wgmsg_identify(&p.resp, test_vector_view(&m1), &in));
    assert_int_equal(pv_wgmsg_accept(&in, &other.to_init, tai64n), PV_ERR_AUTH);
    struct pv_wg_remote remote;
    assert_int_equal(pv_wg_remote_init(&remote, &p.init, zero, zero), PV_ERR_AUTH);
}
