/* SPDX-License-Identifier: MIT */
#include "base/bytes.h"
#include "crypto/hash.h"
#include "proto/stun/stun.h"
#include "tests/unit/test_util.h"

/* RFC 5769: the samples, and the credentials they were made with. */
static const char PASSWORD[] = "VOkJxbRl1RmTxUk/WvJxBt";

static const uint8_t TXID[PV_STUN_TXID_LEN] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

static struct pv_view key_view(const char *text)
{
    return pv_view(text, strlen(text));
}

static struct pv_view unhex(const char *hex, uint8_t *buf, size_t cap)
{
    return pv_view(buf, test_unhex(hex, buf, cap));
}

static struct pv_stun_msg decode_hex(const char *hex, uint8_t *buf, size_t cap)
{
    struct pv_stun_msg msg;
    assert_ok(pv_stun_decode(unhex(hex, buf, cap), &msg));
    return msg;
}

PV_TEST(decodes_the_sample_request)
{
    uint8_t buf[256];
    struct pv_stun_msg msg = decode_hex(test_given("request 2.1"), buf, sizeof(buf));
    struct pv_view v;
    uint32_t priority;
    uint64_t tie;

    assert_int_equal(msg.cls, PV_STUN_REQUEST);
    assert_int_equal(msg.method, PV_STUN_BINDING);
    assert_ok(pv_stun_find(&msg, PV_STUN_ATTR_USERNAME, &v));
    assert_true(pv_view_equal(v, key_view("evtj:h6vY")));
    assert_ok(pv_stun_get_u32(&msg, PV_STUN_ATTR_PRIORITY, &priority));
    assert_int_equal(priority, 0x6e0001ff);
    assert_ok(pv_stun_get_u64(&msg, PV_STUN_ATTR_ICE_CONTROLLED, &tie));
    assert_true(tie == 0x932ff9b151263b36u);
    assert_ok(pv_stun_check_integrity(&msg, key_view(PASSWORD)));
    assert_int_equal(pv_stun_check_integrity(&msg, key_view("VOkJxbRl1RmTxUk/WvJxBu")),
                     PV_ERR_AUTH);
    assert_ok(pv_stun_check_fingerprint(&msg));
}

PV_TEST(decodes_the_sample_responses)
{
    static const uint8_t IP6[16] = {0x20, 0x01, 0x0d, 0xb8, 0x12, 0x34, 0x56, 0x78,
                                    0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77};
    uint8_t buf[256];
    struct pv_addr addr;
    struct pv_addr want4 = pv_addr4(192, 0, 2, 1, 32853);
    struct pv_addr want6 = pv_addr6(IP6, 32853);

    struct pv_stun_msg msg = decode_hex(test_given("response 2.2"), buf, sizeof(buf));
    assert_int_equal(msg.cls, PV_STUN_SUCCESS);
    assert_ok(pv_stun_get_xor_addr(&msg, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &addr));
    assert_true(pv_addr_equal(&addr, &want4));
    assert_ok(pv_stun_check_integrity(&msg, key_view(PASSWORD)));
    assert_ok(pv_stun_check_fingerprint(&msg));

    msg = decode_hex(test_given("response 2.3"), buf, sizeof(buf));
    assert_ok(pv_stun_get_xor_addr(&msg, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &addr));
    assert_true(pv_addr_equal(&addr, &want6));
    assert_ok(pv_stun_check_integrity(&msg, key_view(PASSWORD)));
    assert_ok(pv_stun_check_fingerprint(&msg));
}

PV_TEST(checks_the_long_term_sample)
{
    uint8_t buf[256];
    uint8_t key[PV_MD5_LEN];
    struct pv_stun_msg msg = decode_hex(test_given("request 2.4"), buf, sizeof(buf));
    const char *KEY = test_given("key of request 2.4");

    assert_ok(pv_md5(key, key_view(KEY)));
    assert_ok(pv_stun_check_integrity(&msg, pv_view(key, sizeof(key))));
    assert_int_equal(pv_stun_check_fingerprint(&msg), PV_ERR_NOT_FOUND);
}

PV_TEST(decode_rejects_every_truncation_and_one_byte_more)
{
    const char *const SAMPLES[] = {test_given("request 2.1"), test_given("response 2.2"),
                                   test_given("response 2.3"), test_given("request 2.4")};
    for (size_t i = 0; i < PV_ARRAY_LEN(SAMPLES); i++) {
        uint8_t buf[256];
        struct pv_view whole = unhex(SAMPLES[i], buf, sizeof(buf));
        for (size_t len = 0; len < whole.len; len++) {
            /* An exact heap copy lets ASan see a read past the end. */
            uint8_t *cut = malloc(len + 1);
            assert_non_null(cut);
            memcpy(cut, buf, len);
            struct pv_stun_msg msg;
            assert_int_equal(pv_stun_decode(pv_view(cut, len), &msg), PV_ERR_TRUNCATED);
            free(cut);
        }
        struct pv_stun_msg msg;
        buf[whole.len] = 0;
        assert_int_equal(pv_stun_decode(pv_view(buf, whole.len + 1), &msg), PV_ERR_MALFORMED);
    }
}

PV_TEST(a_changed_bit_breaks_integrity_or_fingerprint)
{
    uint8_t buf[256];
    struct pv_view whole = unhex(test_given("request 2.1"), buf, sizeof(buf));
    for (size_t bit = 0; bit < whole.len * 8; bit++) {
        buf[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        struct pv_stun_msg msg;
        if (pv_stun_decode(whole, &msg) == PV_OK) {
            assert_int_not_equal(pv_stun_check_fingerprint(&msg), PV_OK);
            /* FINGERPRINT itself (the last 8 bytes) is not covered by integrity. */
            if (bit / 8 < whole.len - 8)
                assert_int_not_equal(pv_stun_check_integrity(&msg, key_view(PASSWORD)), PV_OK);
        }
        buf[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}

PV_TEST(decode_rejects_malformed_messages)
{
    const struct {
        const char *hex;
        int status;
        const char *why;
    } ROWS[] = {
        {"000100002112a442000000000000000000000000", PV_OK, "header alone"},
        {"400100002112a442000000000000000000000000", PV_ERR_MALFORMED, "second bit set"},
        {"800100002112a442000000000000000000000000", PV_ERR_MALFORMED, "first bit set"},
        {"000100002112a443000000000000000000000000", PV_ERR_MALFORMED, "wrong cookie"},
        {"000100022112a4420000000000000000000000000000", PV_ERR_MALFORMED, "length not a multiple"},
        {test_given("hex 000100042112"), PV_OK, "empty attribute"},
        {test_given("hex 000100042112 2"), PV_ERR_MALFORMED, "value missing"},
        {test_given("hex 000100082112"), PV_OK, "exact"},
        {test_given("hex 000100082112 2"), PV_ERR_MALFORMED, "one over"},
        {test_given("hex 000100082112 3"), PV_OK, "padded"},
        {test_given("hex 000100082112 4"), PV_ERR_MALFORMED,
         "second attribute longer than the message"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(ROWS); i++) {
        uint8_t buf[64];
        struct pv_stun_msg msg;
        int r = pv_stun_decode(unhex(ROWS[i].hex, buf, sizeof(buf)), &msg);
        if (r != ROWS[i].status)
            fail_msg("%s: got %d", ROWS[i].why, r);
    }
}

PV_TEST(decode_takes_32_attributes_and_not_33)
{
    uint8_t buf[512];
    struct pv_stun_writer w;
    struct pv_stun_msg msg;
    size_t len;

    pv_stun_write_begin(&w, buf, sizeof(buf), PV_STUN_INDICATION, PV_STUN_BINDING, TXID);
    for (int i = 0; i < PV_STUN_MAX_ATTRS; i++)
        pv_stun_put_u32(&w, 0x8100, 0);
    assert_ok(pv_stun_write_end(&w, &len));
    assert_ok(pv_stun_decode(pv_view(buf, len), &msg));
    assert_int_equal(msg.n_attrs, PV_STUN_MAX_ATTRS);
    assert_int_equal(msg.cls, PV_STUN_INDICATION);

    pv_stun_put_u32(&w, 0x8100, 0);
    assert_ok(pv_stun_write_end(&w, &len));
    assert_int_equal(pv_stun_decode(pv_view(buf, len), &msg), PV_ERR_LIMIT);
}

PV_TEST(classes_and_methods_survive_the_type_field)
{
    for (unsigned cls = 0; cls < 4; cls++) {
        for (unsigned method = 0; method < 0x1000; method++) {
            uint8_t buf[PV_STUN_HEADER_LEN];
            struct pv_stun_writer w;
            struct pv_stun_msg msg;
            size_t len;
            pv_stun_write_begin(&w, buf, sizeof(buf), (enum pv_stun_class)cls, (uint16_t)method,
                                TXID);
            assert_ok(pv_stun_write_end(&w, &len));
            assert_ok(pv_stun_decode(pv_view(buf, len), &msg));
            assert_int_equal(msg.cls, cls);
            assert_int_equal(msg.method, method);
        }
    }
}

static size_t write_everything(uint8_t *buf, size_t cap, int *ret_status)
{
    static const uint16_t UNKNOWN[] = {0x0003, 0x0027, 0x0100};
    static const uint8_t IP6[16] = {0x20, 1, 0xd, 0xb8, [15] = 9};
    struct pv_addr v4 = pv_addr4(198, 51, 100, 7, 4242);
    struct pv_addr v6 = pv_addr6(IP6, 65535);
    struct pv_stun_writer w;
    size_t len = 0;

    pv_stun_write_begin(&w, buf, cap, PV_STUN_ERROR, PV_STUN_BINDING, TXID);
    pv_stun_put(&w, PV_STUN_ATTR_USERNAME, key_view("abcde"));
    pv_stun_put_u32(&w, PV_STUN_ATTR_PRIORITY, 0xdeadbeef);
    pv_stun_put_u64(&w, PV_STUN_ATTR_ICE_CONTROLLING, 0x0123456789abcdefu);
    pv_stun_put_addr(&w, PV_STUN_ATTR_MAPPED_ADDRESS, &v4);
    pv_stun_put_addr(&w, PV_STUN_ATTR_OTHER_ADDRESS, &v6);
    pv_stun_put_xor_addr(&w, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &v6);
    pv_stun_put_error(&w, 487, "role");
    pv_stun_put_unknown(&w, UNKNOWN, PV_ARRAY_LEN(UNKNOWN));
    pv_stun_put_padding(&w, 5);
    pv_stun_put_integrity(&w, key_view("secret"));
    pv_stun_put_fingerprint(&w);
    *ret_status = pv_stun_write_end(&w, &len);
    return len;
}

PV_TEST(a_message_written_is_read_back)
{
    uint8_t buf[512];
    struct pv_stun_msg msg;
    struct pv_addr addr;
    struct pv_view v;
    uint64_t u64;
    unsigned code;
    int status;
    size_t len = write_everything(buf, sizeof(buf), &status);

    assert_ok(status);
    assert_ok(pv_stun_decode(pv_view(buf, len), &msg));
    assert_ok(pv_stun_check_integrity(&msg, key_view("secret")));
    assert_ok(pv_stun_check_fingerprint(&msg));
    assert_ok(pv_stun_find(&msg, PV_STUN_ATTR_USERNAME, &v));
    assert_int_equal(v.len, 5);
    assert_ok(pv_stun_get_u64(&msg, PV_STUN_ATTR_ICE_CONTROLLING, &u64));
    assert_true(u64 == 0x0123456789abcdefu);
    assert_ok(pv_stun_get_addr(&msg, PV_STUN_ATTR_MAPPED_ADDRESS, &addr));
    assert_int_equal(addr.port, 4242);
    assert_int_equal(pv_addr_u32(&addr), 0xc6336407);
    assert_ok(pv_stun_get_addr(&msg, PV_STUN_ATTR_OTHER_ADDRESS, &addr));
    struct pv_addr xored;
    assert_ok(pv_stun_get_xor_addr(&msg, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &xored));
    assert_true(pv_addr_equal(&addr, &xored));
    assert_ok(pv_stun_get_error(&msg, &code));
    assert_int_equal(code, 487);
    assert_ok(pv_stun_find(&msg, PV_STUN_ATTR_UNKNOWN_ATTRIBUTES, &v));
    assert_int_equal(v.len, 6);
    assert_int_equal(pv_load_be16(v.ptr + 4), 0x0100);
    assert_ok(pv_stun_find(&msg, PV_STUN_ATTR_PADDING, &v));
    assert_int_equal(v.len, 5);
}

PV_TEST(the_writer_respects_every_short_buffer)
{
    uint8_t big[512];
    int status;
    size_t whole = write_everything(big, sizeof(big), &status);
    for (size_t cap = 0; cap < whole; cap++) {
        uint8_t *exact = malloc(cap + (cap == 0));
        assert_non_null(exact);
        (void)write_everything(exact, cap, &status);
        assert_int_equal(status, PV_ERR_NO_SPACE);
        free(exact);
    }
    uint8_t *exact = malloc(whole);
    assert_non_null(exact);
    assert_int_equal(write_everything(exact, whole, &status), whole);
    assert_ok(status);
    free(exact);
}

PV_TEST(sha256_integrity_is_made_and_checked)
{
    static const uint8_t txid[PV_STUN_TXID_LEN] = {1, 2, 3};
    uint8_t buf[160];
    struct pv_stun_writer w;
    struct pv_stun_msg msg;
    size_t len;
    pv_stun_write_begin(&w, buf, sizeof(buf), PV_STUN_REQUEST, PV_STUN_BINDING, txid);
    pv_stun_put(&w, PV_STUN_ATTR_USERNAME, key_view("bob"));
    pv_stun_put_integrity(&w, key_view("k"));
    pv_stun_put_integrity_sha256(&w, key_view("k"));
    pv_stun_put_fingerprint(&w);
    assert_ok(pv_stun_write_end(&w, &len));
    assert_ok(pv_stun_decode(pv_view(buf, len), &msg));
    assert_ok(pv_stun_check_integrity(&msg, key_view("k")));
    assert_ok(pv_stun_check_integrity_sha256(&msg, key_view("k")));
    assert_int_equal(pv_stun_check_integrity_sha256(&msg, key_view("l")), PV_ERR_AUTH);
    for (size_t i = PV_STUN_HEADER_LEN; i < len - 8; i++) {
        buf[i] ^= 1;
        if (pv_stun_decode(pv_view(buf, len), &msg) == PV_OK)
            assert_int_not_equal(pv_stun_check_integrity_sha256(&msg, key_view("k")), PV_OK);
        buf[i] ^= 1;
    }
    /* A shorter one is allowed by the RFC only to usages that say so. */
    pv_stun_write_begin(&w, buf, sizeof(buf), PV_STUN_REQUEST, PV_STUN_BINDING, txid);
    pv_stun_put(&w, PV_STUN_ATTR_MESSAGE_INTEGRITY_SHA256, pv_view(buf, 16));
    assert_ok(pv_stun_write_end(&w, &len));
    assert_ok(pv_stun_decode(pv_view(buf, len), &msg));
    assert_int_equal(pv_stun_check_integrity_sha256(&msg, key_view("k")), PV_ERR_AUTH);
}

PV_TEST(attributes_behind_integrity_are_not_found)
{
    uint8_t buf[256];
    struct pv_stun_writer w;
    struct pv_stun_msg msg;
    struct pv_view v;
    uint16_t unknown[4];
    size_t len;

    pv_stun_write_begin(&w, buf, sizeof(buf), PV_STUN_REQUEST, PV_STUN_BINDING, TXID);
    pv_stun_put_integrity(&w, key_view("k"));
    pv_stun_put_u32(&w, PV_STUN_ATTR_PRIORITY, 1);
    pv_stun_put_u32(&w, 0x0101, 1);
    pv_stun_put_fingerprint(&w);
    assert_ok(pv_stun_write_end(&w, &len));
    assert_ok(pv_stun_decode(pv_view(buf, len), &msg));
    assert_ok(pv_stun_check_integrity(&msg, key_view("k")));
    assert_ok(pv_stun_check_fingerprint(&msg));
    assert_int_equal(pv_stun_find(&msg, PV_STUN_ATTR_PRIORITY, &v), PV_ERR_NOT_FOUND);
    assert_int_equal(pv_stun_list_unknown(&msg, NULL, 0, unknown, 4), 1);
    assert_int_equal(unknown[0], PV_STUN_ATTR_MESSAGE_INTEGRITY);
}

PV_TEST(a_fingerprint_that_is_not_last_is_refused)
{
    uint8_t buf[128];
    struct pv_stun_writer w;
    struct pv_stun_msg msg;
    size_t len;

    pv_stun_write_begin(&w, buf, sizeof(buf), PV_STUN_REQUEST, PV_STUN_BINDING, TXID);
    pv_stun_put_fingerprint(&w);
    pv_stun_put_u32(&w, 0x8100, 0);
    assert_ok(pv_stun_write_end(&w, &len));
    assert_ok(pv_stun_decode(pv_view(buf, len), &msg));
    assert_int_equal(pv_stun_check_fingerprint(&msg), PV_ERR_AUTH);
}

PV_TEST(unknown_required_attributes_are_listed_once)
{
    static const uint16_t KNOWN[] = {PV_STUN_ATTR_PADDING};
    uint8_t buf[128];
    struct pv_stun_writer w;
    struct pv_stun_msg msg;
    uint16_t unknown[4];
    size_t len;

    pv_stun_write_begin(&w, buf, sizeof(buf), PV_STUN_REQUEST, PV_STUN_BINDING, TXID);
    pv_stun_put_padding(&w, 4);
    pv_stun_put_u32(&w, 0x7fff, 0);
    pv_stun_put_u32(&w, PV_STUN_ATTR_CHANGE_REQUEST, 0);
    pv_stun_put_u32(&w, 0x7fff, 0);
    pv_stun_put_u32(&w, 0x8000, 0);
    assert_ok(pv_stun_write_end(&w, &len));
    assert_ok(pv_stun_decode(pv_view(buf, len), &msg));
    assert_int_equal(pv_stun_list_unknown(&msg, KNOWN, 1, unknown, 4), 2);
    assert_int_equal(unknown[0], 0x7fff);
    assert_int_equal(unknown[1], PV_STUN_ATTR_CHANGE_REQUEST);
    assert_int_equal(pv_stun_list_unknown(&msg, KNOWN, 1, unknown, 1), 1);
}

PV_TEST(fixed_size_attributes_refuse_other_sizes)
{
    static const struct {
        uint16_t type;
        size_t len;
        uint8_t family;
    } ROWS[] = {
        {PV_STUN_ATTR_PRIORITY, 3, 0},        {PV_STUN_ATTR_PRIORITY, 5, 0},
        {PV_STUN_ATTR_ICE_CONTROLLED, 7, 0},  {PV_STUN_ATTR_ICE_CONTROLLED, 9, 0},
        {PV_STUN_ATTR_MAPPED_ADDRESS, 3, 1},  {PV_STUN_ATTR_MAPPED_ADDRESS, 7, 1},
        {PV_STUN_ATTR_MAPPED_ADDRESS, 9, 1},  {PV_STUN_ATTR_MAPPED_ADDRESS, 19, 2},
        {PV_STUN_ATTR_MAPPED_ADDRESS, 21, 2}, {PV_STUN_ATTR_MAPPED_ADDRESS, 8, 2},
        {PV_STUN_ATTR_MAPPED_ADDRESS, 20, 1}, {PV_STUN_ATTR_MAPPED_ADDRESS, 8, 3},
        {PV_STUN_ATTR_ERROR_CODE, 3, 0},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(ROWS); i++) {
        uint8_t buf[128];
        uint8_t value[32] = {0, ROWS[i].family};
        struct pv_stun_writer w;
        struct pv_stun_msg msg;
        struct pv_addr addr;
        uint32_t u32;
        uint64_t u64;
        unsigned code;
        size_t len;
        int r;
        pv_stun_write_begin(&w, buf, sizeof(buf), PV_STUN_REQUEST, PV_STUN_BINDING, TXID);
        pv_stun_put(&w, ROWS[i].type, pv_view(value, ROWS[i].len));
        assert_ok(pv_stun_write_end(&w, &len));
        assert_ok(pv_stun_decode(pv_view(buf, len), &msg));
        if (ROWS[i].type == PV_STUN_ATTR_PRIORITY)
            r = pv_stun_get_u32(&msg, ROWS[i].type, &u32);
        else if (ROWS[i].type == PV_STUN_ATTR_ICE_CONTROLLED)
            r = pv_stun_get_u64(&msg, ROWS[i].type, &u64);
        else if (ROWS[i].type == PV_STUN_ATTR_ERROR_CODE)
            r = pv_stun_get_error(&msg, &code);
        else
            r = pv_stun_get_addr(&msg, ROWS[i].type, &addr);
        if (r != PV_ERR_MALFORMED)
            fail_msg("row %zu: %d", i, r);
    }
}

PV_TEST(error_codes_are_300_to_699)
{
    for (unsigned hundreds = 0; hundreds < 8; hundreds++) {
        for (unsigned rest = 98; rest < 102; rest++) {
            uint8_t buf[64];
            uint8_t value[4] = {0, 0, (uint8_t)hundreds, (uint8_t)rest};
            struct pv_stun_writer w;
            struct pv_stun_msg msg;
            unsigned code;
            size_t len;
            pv_stun_write_begin(&w, buf, sizeof(buf), PV_STUN_ERROR, PV_STUN_BINDING, TXID);
            pv_stun_put(&w, PV_STUN_ATTR_ERROR_CODE, pv_view(value, 4));
            assert_ok(pv_stun_write_end(&w, &len));
            assert_ok(pv_stun_decode(pv_view(buf, len), &msg));
            bool good = hundreds >= 3 && hundreds <= 6 && rest <= 99;
            assert_int_equal(pv_stun_get_error(&msg, &code), good ? PV_OK : PV_ERR_MALFORMED);
        }
    }
}

PV_TEST(integrity_covers_2048_bytes_and_not_one_more_word)
{
    static uint8_t buf[4096];
    for (size_t extra = 0; extra <= 4; extra += 4) {
        struct pv_stun_writer w;
        struct pv_stun_msg msg;
        size_t len;
        size_t padding = PV_STUN_MAX_SIGNED - PV_STUN_HEADER_LEN - 4 + extra;
        pv_stun_write_begin(&w, buf, sizeof(buf), PV_STUN_REQUEST, PV_STUN_BINDING, TXID);
        pv_stun_put_padding(&w, padding);
        struct pv_stun_writer before = w;
        pv_stun_put_integrity(&w, key_view("k"));
        if (extra == 0) {
            assert_ok(pv_stun_write_end(&w, &len));
            assert_ok(pv_stun_decode(pv_view(buf, len), &msg));
            assert_ok(pv_stun_check_integrity(&msg, key_view("k")));
            continue;
        }
        assert_int_equal(pv_stun_write_end(&w, &len), PV_ERR_NO_SPACE);
        pv_stun_put(&before, PV_STUN_ATTR_MESSAGE_INTEGRITY, pv_view(TXID, 12));
        before.len += 8; /* room for a MAC of the full size */
        pv_store_be16(buf + before.len - 22, PV_STUN_INTEGRITY_LEN);
        assert_ok(pv_stun_write_end(&before, &len));
        assert_ok(pv_stun_decode(pv_view(buf, len), &msg));
        assert_int_equal(pv_stun_check_integrity(&msg, key_view("k")), PV_ERR_LIMIT);
    }
}

PV_TEST(classic_requests_are_recognised_and_answered_in_their_form)
{
    uint8_t buf[64];
    uint8_t answer[64];
    struct pv_stun_msg msg;
    struct pv_stun_writer w;
    size_t len;

    struct pv_view req = unhex(test_given("hex 000100080011"), buf, sizeof(buf));
    assert_int_equal(pv_stun_decode(req, &msg), PV_ERR_MALFORMED);
    assert_ok(pv_stun_decode_classic(req, &msg));
    assert_true(msg.classic);
    assert_true(pv_stun_has(&msg, PV_STUN_ATTR_CHANGE_REQUEST));
    pv_stun_write_answer(&w, answer, sizeof(answer), PV_STUN_SUCCESS, &msg);
    assert_ok(pv_stun_write_end(&w, &len));
    assert_memory_equal(answer + 4, buf + 4, PV_STUN_CLASSIC_ID_LEN);
    assert_int_equal(pv_load_be16(answer), 0x0101);

    /* With the cookie it is not classic; other classes and methods are not served. */
    req = unhex("000100002112a442000000000000000000000000", buf, sizeof(buf));
    assert_int_equal(pv_stun_decode_classic(req, &msg), PV_ERR_MALFORMED);
    req = unhex("010100000000a442000000000000000000000000", buf, sizeof(buf));
    assert_int_equal(pv_stun_decode_classic(req, &msg), PV_ERR_MALFORMED);
    req = unhex("000200000000a442000000000000000000000000", buf, sizeof(buf));
    assert_int_equal(pv_stun_decode_classic(req, &msg), PV_ERR_MALFORMED);
}
