/* SPDX-License-Identifier: MIT */
#include "proto/stun/stunc.h"
#include "tests/unit/test_util.h"

struct fixture {
    struct test_rng seed;
    struct pv_rng rng;
    struct pv_stunc c;
    struct pv_stunc_config cfg;
    uint8_t req[PV_STUNC_MTU];
    size_t req_len;
};

/* Of the test that runs. */
static struct fixture the_fixture;
static struct fixture *const f = &the_fixture;

static void begin(size_t padding)
{
    f->rng = test_rng_make(&f->seed, 7);
    f->cfg = (struct pv_stunc_config){.server = pv_addr4(192, 0, 2, 1, 3478), .padding = padding};
    pv_stunc_start(&f->c, &f->cfg, &f->rng, PV_S(1));
    assert_ok(pv_stunc_poll_transmit(&f->c, f->req, sizeof(f->req), &f->req_len));
    size_t none;
    assert_int_equal(pv_stunc_poll_transmit(&f->c, f->req, sizeof(f->req), &none), PV_ERR_AGAIN);
}

static struct pv_view answer(uint8_t *buf, size_t cap, uint16_t attr)
{
    struct pv_stun_msg msg;
    struct pv_stun_writer w;
    struct pv_addr mapped = pv_addr4(203, 0, 113, 9, 40000);
    size_t len;

    assert_ok(pv_stun_decode(pv_view(f->req, f->req_len), &msg));
    if (attr == PV_STUN_ATTR_ERROR_CODE) {
        pv_stun_write_answer(&w, buf, cap, PV_STUN_ERROR, &msg);
        pv_stun_put_error(&w, PV_STUN_E_UNKNOWN_ATTRIBUTE, "");
    } else {
        pv_stun_write_answer(&w, buf, cap, PV_STUN_SUCCESS, &msg);
        if (attr == PV_STUN_ATTR_MAPPED_ADDRESS)
            pv_stun_put_addr(&w, attr, &mapped);
        else if (attr != 0)
            pv_stun_put_xor_addr(&w, attr, &mapped);
    }
    assert_ok(pv_stun_write_end(&w, &len));
    return pv_view(buf, len);
}

PV_TEST(reports_the_mapped_address_and_the_round_trip)
{
    static const uint16_t ATTRS[] = {PV_STUN_ATTR_XOR_MAPPED_ADDRESS, PV_STUN_ATTR_MAPPED_ADDRESS};
    for (size_t i = 0; i < 2; i++) {
        struct pv_stunc_event ev;
        struct pv_addr want = pv_addr4(203, 0, 113, 9, 40000);
        uint8_t buf[128];
        begin(0);
        struct pv_view ans = answer(buf, sizeof(buf), ATTRS[i]);
        assert_ok(pv_stunc_handle_input(&f->c, &f->cfg.server, ans, PV_S(1) + PV_MS(30)));
        assert_ok(pv_stunc_poll_event(&f->c, &ev));
        assert_int_equal(ev.type, PV_STUNC_MAPPED);
        assert_true(pv_addr_equal(&ev.mapped, &want));
        assert_true(ev.rtt == PV_MS(30));
        assert_int_equal(pv_stunc_poll_event(&f->c, &ev), PV_ERR_AGAIN);
        assert_true(pv_stunc_next_timeout(&f->c) == PV_NEVER);
        assert_int_equal(pv_stunc_handle_input(&f->c, &f->cfg.server, ans, PV_S(2)),
                         PV_ERR_NOT_FOUND);
    }
}

PV_TEST(ignores_other_sources_ids_and_kinds)
{
    uint8_t buf[128];
    struct pv_addr stranger = pv_addr4(192, 0, 2, 2, 3478);
    struct pv_addr other_port = pv_addr4(192, 0, 2, 1, 3479);

    begin(0);
    struct pv_view ans = answer(buf, sizeof(buf), PV_STUN_ATTR_XOR_MAPPED_ADDRESS);
    assert_int_equal(pv_stunc_handle_input(&f->c, &stranger, ans, PV_S(1)), PV_ERR_NOT_FOUND);
    assert_int_equal(pv_stunc_handle_input(&f->c, &other_port, ans, PV_S(1)), PV_ERR_NOT_FOUND);
    buf[8] ^= 1;
    assert_int_equal(pv_stunc_handle_input(&f->c, &f->cfg.server, ans, PV_S(1)), PV_ERR_NOT_FOUND);
    buf[8] ^= 1;
    assert_int_equal(
        pv_stunc_handle_input(&f->c, &f->cfg.server, pv_view(f->req, f->req_len), PV_S(1)),
        PV_ERR_NOT_FOUND);
    for (size_t len = 0; len < ans.len; len++)
        assert_int_equal(pv_stunc_handle_input(&f->c, &f->cfg.server, pv_view(buf, len), PV_S(1)),
                         PV_ERR_TRUNCATED);
    assert_ok(pv_stunc_handle_input(&f->c, &f->cfg.server, ans, PV_S(1)));
}

PV_TEST(an_answer_from_elsewhere_counts_where_it_was_asked_for)
{
    static const struct {
        unsigned change;
        struct pv_addr src;
        int status;
        const char *why;
    } rows[] = {
        {2, {.family = PV_AF_INET, .port = 3479, .ip = {192, 0, 2, 1}}, PV_OK, "other port"},
        {2, {.family = PV_AF_INET, .port = 3479, .ip = {192, 0, 2, 2}}, PV_ERR_NOT_FOUND, "and IP"},
        {2, {.family = PV_AF_INET, .port = 3478, .ip = {192, 0, 2, 1}}, PV_ERR_UNSUPPORTED, "same"},
        {6, {.family = PV_AF_INET, .port = 3479, .ip = {192, 0, 2, 2}}, PV_OK, "both"},
        {6, {.family = PV_AF_INET, .port = 3479, .ip = {192, 0, 2, 1}}, PV_ERR_NOT_FOUND, "port"},
        {6, {.family = PV_AF_INET, .port = 3478, .ip = {192, 0, 2, 1}}, PV_ERR_UNSUPPORTED, "same"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_stunc_event ev;
        uint8_t buf[128];
        size_t len;
        f->rng = test_rng_make(&f->seed, 7);
        f->cfg = (struct pv_stunc_config){.server = pv_addr4(192, 0, 2, 1, 3478),
                                          .change = rows[i].change,
                                          .response_port = 0xa2a9};
        pv_stunc_start(&f->c, &f->cfg, &f->rng, PV_S(1));
        assert_ok(pv_stunc_poll_transmit(&f->c, f->req, sizeof(f->req), &len));
        f->req_len = len;
        assert_int_equal(len, 20 + 8 + 8 + 8);
        const uint8_t attrs[16] = {0, 3,    0, 4, 0,    0,    0, (uint8_t)rows[i].change,
                                   0, 0x27, 0, 4, 0xa2, 0xa9, 0, 0}; /* RFC 5780 s7.2, s7.5 */
        assert_memory_equal(f->req + 20, attrs, sizeof(attrs));
        struct pv_view ans = answer(buf, sizeof(buf), PV_STUN_ATTR_XOR_MAPPED_ADDRESS);
        int r = pv_stunc_handle_input(&f->c, &rows[i].src, ans, PV_S(1));
        if (rows[i].status == PV_ERR_NOT_FOUND) {
            assert_int_equal(r, PV_ERR_NOT_FOUND);
            continue;
        }
        assert_ok(r);
        assert_ok(pv_stunc_poll_event(&f->c, &ev));
        if (rows[i].status != (ev.type == PV_STUNC_MAPPED ? PV_OK : ev.status))
            fail_msg("%s", rows[i].why);
    }
}

PV_TEST(repeats_as_the_rfc_says_and_gives_up_at_39_5_seconds)
{
    static const unsigned AT_MS[] = {500, 1500, 3500, 7500, 15500, 31500};
    struct pv_stunc_event ev;
    uint8_t again[PV_STUNC_MTU];
    size_t len;

    begin(0);
    for (size_t i = 0; i < PV_ARRAY_LEN(AT_MS); i++) {
        pv_ns at = PV_S(1) + PV_MS(AT_MS[i]);
        assert_true(pv_stunc_next_timeout(&f->c) == at);
        pv_stunc_handle_timeout(&f->c, at - 1);
        assert_int_equal(pv_stunc_poll_transmit(&f->c, again, sizeof(again), &len), PV_ERR_AGAIN);
        pv_stunc_handle_timeout(&f->c, at);
        assert_ok(pv_stunc_poll_transmit(&f->c, again, sizeof(again), &len));
        assert_int_equal(len, f->req_len);
        assert_memory_equal(again, f->req, len);
    }
    assert_true(pv_stunc_next_timeout(&f->c) == PV_S(1) + PV_MS(39500));
    pv_stunc_handle_timeout(&f->c, PV_S(1) + PV_MS(39500) - 1);
    assert_int_equal(pv_stunc_poll_event(&f->c, &ev), PV_ERR_AGAIN);
    pv_stunc_handle_timeout(&f->c, PV_S(1) + PV_MS(39500));
    assert_ok(pv_stunc_poll_event(&f->c, &ev));
    assert_int_equal(ev.type, PV_STUNC_FAILED);
    assert_int_equal(ev.status, PV_ERR_TIMEOUT);
    assert_false(pv_stunc_is_running(&f->c));
}

PV_TEST(asks_again_without_padding_when_the_server_does_not_know_it)
{
    struct pv_stunc_event ev;
    struct pv_stun_msg msg;
    uint8_t buf[128];
    uint8_t first_id[PV_STUN_TXID_LEN];

    begin(40);
    assert_ok(pv_stun_decode(pv_view(f->req, f->req_len), &msg));
    assert_true(pv_stun_has(&msg, PV_STUN_ATTR_PADDING));
    assert_true(f->req_len >= 52);
    memcpy(first_id, msg.txid, sizeof(first_id));

    struct pv_view refusal = answer(buf, sizeof(buf), PV_STUN_ATTR_ERROR_CODE);
    assert_ok(pv_stunc_handle_input(&f->c, &f->cfg.server, refusal, PV_S(2)));
    assert_int_equal(pv_stunc_poll_event(&f->c, &ev), PV_ERR_AGAIN);
    assert_ok(pv_stunc_poll_transmit(&f->c, f->req, sizeof(f->req), &f->req_len));
    assert_ok(pv_stun_decode(pv_view(f->req, f->req_len), &msg));
    assert_false(pv_stun_has(&msg, PV_STUN_ATTR_PADDING));
    assert_memory_not_equal(first_id, msg.txid, sizeof(first_id));

    /* The second refusal is final. */
    refusal = answer(buf, sizeof(buf), PV_STUN_ATTR_ERROR_CODE);
    assert_ok(pv_stunc_handle_input(&f->c, &f->cfg.server, refusal, PV_S(2)));
    assert_ok(pv_stunc_poll_event(&f->c, &ev));
    assert_int_equal(ev.status, PV_ERR_REFUSED);
    assert_int_equal(ev.error, 420);
}

PV_TEST(an_answer_without_an_address_is_a_failure)
{
    struct pv_stunc_event ev;
    uint8_t buf[128];
    begin(0);
    struct pv_view ans = answer(buf, sizeof(buf), 0);
    assert_ok(pv_stunc_handle_input(&f->c, &f->cfg.server, ans, PV_S(1)));
    assert_ok(pv_stunc_poll_event(&f->c, &ev));
    assert_int_equal(ev.status, PV_ERR_MALFORMED);
}

PV_TEST(a_server_may_name_another_one)
{
    const struct pv_addr other = pv_addr4(192, 0, 2, 7, 3479);
    for (unsigned named = 0; named < 2; named++) {
        struct pv_stunc_event ev;
        struct pv_stun_msg msg;
        struct pv_stun_writer w;
        uint8_t buf[128];
        size_t len;
        begin(0);
        assert_ok(pv_stun_decode(pv_view(f->req, f->req_len), &msg));
        pv_stun_write_answer(&w, buf, sizeof(buf), PV_STUN_ERROR, &msg);
        pv_stun_put_error(&w, PV_STUN_E_TRY_ALTERNATE, "");
        if (named == 1)
            pv_stun_put_addr(&w, PV_STUN_ATTR_ALTERNATE_SERVER, &other);
        assert_ok(pv_stun_write_end(&w, &len));
        assert_ok(pv_stunc_handle_input(&f->c, &f->cfg.server, pv_view(buf, len), PV_S(1)));
        assert_ok(pv_stunc_poll_event(&f->c, &ev));
        assert_int_equal(ev.status, PV_ERR_REFUSED);
        assert_int_equal(ev.error, 300);
        if (named == 1)
            assert_true(pv_addr_equal(&ev.alternate, &other));
        else
            assert_int_equal(ev.alternate.family, PV_AF_NONE);
    }
}

PV_TEST(a_short_buffer_keeps_the_request_due)
{
    size_t len;
    f->rng = test_rng_make(&f->seed, 7);
    f->cfg = (struct pv_stunc_config){.server = pv_addr4(192, 0, 2, 1, 3478),
                                      .padding = PV_STUNC_MAX_PADDING + 1};
    pv_stunc_start(&f->c, &f->cfg, &f->rng, 1);
    assert_int_equal(pv_stunc_poll_transmit(&f->c, f->req, PV_STUNC_MTU - 1, &len),
                     PV_ERR_NO_SPACE);
    assert_ok(pv_stunc_poll_transmit(&f->c, f->req, PV_STUNC_MTU, &len));
    assert_int_equal(len, PV_STUNC_MTU);
}

PV_TEST(stopped_it_is_silent)
{
    struct pv_stunc_event ev;
    uint8_t buf[128];
    begin(0);
    struct pv_view ans = answer(buf, sizeof(buf), PV_STUN_ATTR_XOR_MAPPED_ADDRESS);
    pv_stunc_stop(&f->c);
    assert_int_equal(pv_stunc_handle_input(&f->c, &f->cfg.server, ans, PV_S(1)), PV_ERR_NOT_FOUND);
    pv_stunc_handle_timeout(&f->c, PV_S(100));
    assert_int_equal(pv_stunc_poll_event(&f->c, &ev), PV_ERR_AGAIN);
    assert_true(pv_stunc_next_timeout(&f->c) == PV_NEVER);
}
