/* SPDX-License-Identifier: MIT */
#include "crypto/ct.h"
#include "crypto/dh.h"
#include "proto/wireguard/noise.h"
#include "tests/unit/vectors.h"

static const char FILE_NAME[] = "noise.txt";

static struct pv_noise_static keys_of(const char *field)
{
    struct pv_noise_static k = {0};
    struct test_vector v = test_vector(FILE_NAME, field);
    k.sk = test_keep_key(v.ptr);
    pv_dh_public(k.sk, k.pk);
    return k;
}

/* "Randomness" that is one given secret key. */
static void fill_from(void *ctx, uint8_t *dst, size_t len)
{
    const struct test_vector *v = ctx;
    assert_int_equal(len, v->len);
    memcpy(dst, v->ptr, len);
}

static void assert_field(const uint8_t *got, size_t len, const char *field)
{
    struct test_vector v = test_vector(FILE_NAME, field);
    assert_int_equal(len, v.len);
    assert_memory_equal(got, v.ptr, len);
}

static struct pv_view ik_prologue(void)
{
    return pv_view("P2PVPN/1\n", 9);
}

PV_TEST(ik_makes_the_messages_of_another_implementation)
{
    struct pv_noise_static si = keys_of("ik_si"), sr = keys_of("ik_sr");
    struct test_vector ei = test_vector(FILE_NAME, "ik_ei"), er = test_vector(FILE_NAME, "ik_er");
    struct pv_rng irng = {fill_from, &ei}, rrng = {fill_from, &er};
    struct pv_noise_ik init, resp;
    uint8_t msg1[PV_NOISE_IK_MSG1_LEN], msg2[PV_NOISE_IK_MSG2_LEN], remote[32];

    pv_noise_ik_init_initiator(&init, ik_prologue(), &si, sr.pk);
    pv_noise_ik_init_responder(&resp, ik_prologue(), &sr);
    assert_ok(pv_noise_ik_write1(&init, &irng, msg1));
    assert_field(msg1, sizeof(msg1), "ik_msg1");
    assert_ok(pv_noise_ik_read1(&resp, pv_view(msg1, sizeof(msg1)), remote));
    assert_memory_equal(remote, si.pk, 32);
    assert_ok(pv_noise_ik_write2(&resp, &rrng, msg2));
    assert_field(msg2, sizeof(msg2), "ik_msg2");
    assert_ok(pv_noise_ik_read2(&init, pv_view(msg2, sizeof(msg2))));

    struct pv_noise_cipher is, ir, rs, rr;
    uint8_t ih[32], rh[32];
    assert_ok(pv_noise_ik_finish(&init, &is, &ir, ih));
    assert_ok(pv_noise_ik_finish(&resp, &rs, &rr, rh));
    assert_field(ih, 32, "ik_hash");
    assert_memory_equal(ih, rh, 32);

    static const char *const to_r[] = {"ik_to_responder0", "ik_to_responder1"};
    static const char *const to_i[] = {"ik_to_initiator0", "ik_to_initiator1"};
    for (int i = 0; i < 2; i++) {
        uint8_t buf[64], back[64];
        (void)snprintf((char *)back, sizeof(back), "request %d", i);
        assert_ok(pv_noise_seal(&is, buf, pv_view(back, 9)));
        assert_field(buf, 25, to_r[i]);
        assert_ok(pv_noise_open(&rr, buf, pv_view(buf, 25)));
        assert_memory_equal(buf, back, 9);
        (void)snprintf((char *)back, sizeof(back), "answer %d", i);
        assert_ok(pv_noise_seal(&rs, buf, pv_view(back, 8)));
        assert_field(buf, 24, to_i[i]);
        assert_ok(pv_noise_open(&ir, buf, pv_view(buf, 24)));
        assert_memory_equal(buf, back, 8);
    }
}

PV_TEST(x_makes_and_opens_the_box_of_another_implementation)
{
    struct pv_noise_static si = keys_of("x_si"), sr = keys_of("x_sr");
    struct test_vector ei = test_vector(FILE_NAME, "x_ei");
    struct test_vector prologue = test_vector(FILE_NAME, "x_prologue");
    struct test_vector payload = test_vector(FILE_NAME, "x_payload");
    struct pv_rng rng = {fill_from, &ei};
    uint8_t box[256], out[256], sender[32];
    size_t box_len = payload.len + PV_NOISE_X_OVERHEAD;

    assert_ok(pv_noise_x_seal(&rng, test_vector_view(&prologue), &si, sr.pk,
                              test_vector_view(&payload), box));
    assert_field(box, box_len, "x_box");
    assert_ok(
        pv_noise_x_open(test_vector_view(&prologue), &sr, pv_view(box, box_len), sender, out));
    assert_memory_equal(out, payload.ptr, payload.len);
    assert_memory_equal(sender, si.pk, 32);
}

PV_TEST(xpsk_makes_and_opens_the_box_of_another_implementation)
{
    struct pv_noise_static si = keys_of("xpsk_si"), sr = keys_of("xpsk_sr");
    struct test_vector ei = test_vector(FILE_NAME, "xpsk_ei");
    struct test_vector psk = test_vector(FILE_NAME, "xpsk_psk");
    struct test_vector prologue = test_vector(FILE_NAME, "xpsk_prologue");
    struct test_vector payload = test_vector(FILE_NAME, "xpsk_payload");
    struct pv_rng rng = {fill_from, &ei};
    uint8_t box[256], out[256], sender[32];
    size_t box_len = payload.len + PV_NOISE_X_OVERHEAD;

    const struct pv_noise_parties from = {
        .prologue = test_vector_view(&prologue), .local = &si, .remote = sr.pk, .psk = psk.ptr};
    struct pv_noise_parties at = {
        .prologue = test_vector_view(&prologue), .local = &sr, .psk = psk.ptr};
    assert_ok(pv_noise_xpsk_seal(&from, &rng, test_vector_view(&payload), box));
    assert_field(box, box_len, "xpsk_box");
    assert_ok(pv_noise_xpsk_open(&at, pv_view(box, box_len), sender, out));
    assert_memory_equal(out, payload.ptr, payload.len);
    assert_memory_equal(sender, si.pk, 32);
    psk.ptr[31] ^= 1;
    assert_int_equal(pv_noise_xpsk_open(&at, pv_view(box, box_len), sender, out), PV_ERR_AUTH);
    /* Without the psk it is a box of another pattern. */
    at.psk = NULL;
    assert_int_equal(pv_noise_xpsk_open(&at, pv_view(box, box_len), sender, out), PV_ERR_AUTH);
}

PV_TEST(x_refuses_every_truncation_changed_bit_and_other_prologue)
{
    struct pv_noise_static sr = keys_of("x_sr"), other = keys_of("x_si");
    struct test_vector prologue = test_vector(FILE_NAME, "x_prologue");
    struct test_vector box = test_vector(FILE_NAME, "x_box");
    struct pv_view pro = test_vector_view(&prologue);
    uint8_t out[256], sender[32];

    for (size_t len = 0; len < box.len; len++)
        assert_int_equal(pv_noise_x_open(pro, &sr, pv_view(box.ptr, len), sender, out),
                         PV_ERR_AUTH);
    for (size_t i = 0; i < box.len; i++) {
        /* Bit 255 of a public key is ignored by X25519, but covered by the hash. */
        box.ptr[i] ^= 0x80;
        assert_int_equal(pv_noise_x_open(pro, &sr, test_vector_view(&box), sender, out),
                         PV_ERR_AUTH);
        box.ptr[i] ^= 0x80;
    }
    assert_int_equal(pv_noise_x_open(pro, &other, test_vector_view(&box), sender, out),
                     PV_ERR_AUTH);
    pro.len--;
    assert_int_equal(pv_noise_x_open(pro, &sr, test_vector_view(&box), sender, out), PV_ERR_AUTH);
    uint8_t zero[PV_NOISE_X_OVERHEAD] = {0}; /* an ephemeral of small order */
    assert_int_equal(pv_noise_x_open(pro, &sr, pv_view(zero, sizeof(zero)), sender, out),
                     PV_ERR_AUTH);
}

PV_TEST(x_seals_up_to_the_largest_noise_message_and_no_more)
{
    struct test_rng r;
    struct pv_rng rng = test_rng_make(&r, 1);
    struct pv_noise_static a = keys_of("x_si"), b = keys_of("x_sr");
    uint8_t *pt = calloc(1, 65536), *box = calloc(1, 65536), sender[32];
    struct pv_view none = {NULL, 0};
    size_t max = PV_NOISE_MSG_MAX - PV_NOISE_X_OVERHEAD;
    assert_non_null(pt);
    assert_non_null(box);
    assert_ok(pv_noise_x_seal(&rng, none, &a, b.pk, pv_view(pt, max), box));
    assert_ok(pv_noise_x_open(none, &b, pv_view(box, PV_NOISE_MSG_MAX), sender, pt));
    assert_int_equal(pv_noise_x_open(none, &b, pv_view(box, PV_NOISE_MSG_MAX + 1), sender, pt),
                     PV_ERR_AUTH);
    assert_int_equal(pv_noise_x_seal(&rng, none, &a, b.pk, pv_view(pt, max + 1), box),
                     PV_ERR_LIMIT);
    free(pt);
    free(box);
}

PV_TEST(ik_refuses_every_truncation_and_every_changed_byte)
{
    struct pv_noise_static si = keys_of("ik_si"), sr = keys_of("ik_sr");
    struct test_vector msg1 = test_vector(FILE_NAME, "ik_msg1");
    struct test_vector msg2 = test_vector(FILE_NAME, "ik_msg2");
    struct test_vector ei = test_vector(FILE_NAME, "ik_ei");
    struct pv_rng irng = {fill_from, &ei};
    struct pv_noise_ik ik;
    uint8_t buf[PV_NOISE_IK_MSG1_LEN + 1] = {0}, remote[32], out[PV_NOISE_IK_MSG1_LEN];

    for (size_t i = 0; i <= msg1.len + 1; i++) {
        if (i == msg1.len) /* that one is good */
            continue;
        memcpy(buf, msg1.ptr, msg1.len);
        pv_noise_ik_init_responder(&ik, ik_prologue(), &sr);
        assert_int_equal(pv_noise_ik_read1(&ik, pv_view(buf, i), remote), PV_ERR_AUTH);
        assert_int_equal(ik.state, PV_NOISE_IK_DEAD);
        if (i > msg1.len)
            continue;
        buf[i] ^= 1;
        pv_noise_ik_init_responder(&ik, ik_prologue(), &sr);
        assert_int_equal(pv_noise_ik_read1(&ik, pv_view(buf, msg1.len), remote), PV_ERR_AUTH);
    }
    for (size_t i = 0; i <= msg2.len + 1; i++) {
        if (i == msg2.len)
            continue;
        memcpy(buf, msg2.ptr, msg2.len);
        pv_noise_ik_init_initiator(&ik, ik_prologue(), &si, sr.pk);
        assert_ok(pv_noise_ik_write1(&ik, &irng, out));
        assert_int_equal(pv_noise_ik_read2(&ik, pv_view(buf, i)), PV_ERR_AUTH);
        if (i > msg2.len)
            continue;
        buf[i] ^= 1;
        pv_noise_ik_init_initiator(&ik, ik_prologue(), &si, sr.pk);
        assert_ok(pv_noise_ik_write1(&ik, &irng, out));
        assert_int_equal(pv_noise_ik_read2(&ik, pv_view(buf, msg2.len)), PV_ERR_AUTH);
    }
}

PV_TEST(ik_refuses_calls_out_of_turn)
{
    struct test_rng r;
    struct pv_rng rng = test_rng_make(&r, 1);
    struct pv_noise_static si = keys_of("ik_si"), sr = keys_of("ik_sr");
    struct test_vector msg1 = test_vector(FILE_NAME, "ik_msg1");
    struct pv_noise_ik ik;
    struct pv_noise_cipher a, b;
    uint8_t out[PV_NOISE_IK_MSG1_LEN], remote[32], hash[32];

    pv_noise_ik_init_initiator(&ik, ik_prologue(), &si, sr.pk);
    assert_int_equal(pv_noise_ik_read1(&ik, test_vector_view(&msg1), remote), PV_ERR_STATE);
    assert_int_equal(pv_noise_ik_read2(&ik, test_vector_view(&msg1)), PV_ERR_STATE);
    assert_int_equal(pv_noise_ik_write2(&ik, &rng, out), PV_ERR_STATE);
    assert_int_equal(pv_noise_ik_finish(&ik, &a, &b, hash), PV_ERR_STATE);
    assert_ok(pv_noise_ik_write1(&ik, &rng, out));
    assert_int_equal(pv_noise_ik_write1(&ik, &rng, out), PV_ERR_STATE);
    pv_noise_ik_wipe(&ik);
    assert_int_equal(pv_noise_ik_read2(&ik, test_vector_view(&msg1)), PV_ERR_STATE);

    pv_noise_ik_init_responder(&ik, ik_prologue(), &sr);
    assert_int_equal(pv_noise_ik_write1(&ik, &rng, out), PV_ERR_STATE);
    assert_int_equal(pv_noise_ik_write2(&ik, &rng, out), PV_ERR_STATE);
}

PV_TEST(a_server_key_of_small_order_ends_the_handshake)
{
    struct test_rng r;
    struct pv_rng rng = test_rng_make(&r, 1);
    struct pv_noise_static si = keys_of("ik_si");
    struct pv_noise_ik ik;
    uint8_t zero[32] = {0}, out[PV_NOISE_IK_MSG1_LEN];
    pv_noise_ik_init_initiator(&ik, ik_prologue(), &si, zero);
    assert_int_equal(pv_noise_ik_write1(&ik, &rng, out), PV_ERR_AUTH);
    assert_int_equal(ik.state, PV_NOISE_IK_DEAD);
}

PV_TEST(transport_refuses_reorder_and_the_last_nonce)
{
    struct pv_noise_cipher a = {.key = {1}}, b = {.key = {1}};
    uint8_t one[17], two[17], byte = 7;
    assert_ok(pv_noise_seal(&a, one, pv_view(&byte, 1)));
    assert_ok(pv_noise_seal(&a, two, pv_view(&byte, 1)));
    assert_int_equal(pv_noise_open(&b, &byte, pv_view(two, 17)), PV_ERR_AUTH);
    assert_ok(pv_noise_open(&b, &byte, pv_view(one, 17)));
    assert_int_equal(pv_noise_open(&b, &byte, pv_view(one, 17)), PV_ERR_AUTH);
    a.n = UINT64_MAX;
    assert_int_equal(pv_noise_seal(&a, one, pv_view(&byte, 1)), PV_ERR_LIMIT);
    assert_int_equal(pv_noise_open(&a, &byte, pv_view(two, 17)), PV_ERR_LIMIT);
    pv_noise_cipher_wipe(&a);
    assert_true(pv_ct_is_zero(a.key, 32));
}
