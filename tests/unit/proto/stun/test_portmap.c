/* SPDX-License-Identifier: MIT */
#include "base/bytes.h"
#include "proto/stun/portmap.h"
#include "tests/unit/test_util.h"

static const struct pv_addr ROUTER = {.family = PV_AF_INET, .port = 5351, .ip = {192, 168, 1, 1}};
static const uint8_t NONCE[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

/* RFC 6887 s7.1 and s11.1 by hand: MAP, 7200 s, 192.168.1.30:40015, no suggestion. */
static const uint8_t REQUEST[60] = {
    2,    1,    0,    0,                                   /* version, opcode, reserved */
    0,    0,    0x1c, 0x20,                                /* 7200 s */
    0,    0,    0,    0,    0, 0, 0, 0, 0, 0,  0xff, 0xff, /* the client, IPv4-mapped */
    192,  168,  1,    30,                                  /* */
    1,    2,    3,    4,    5, 6, 7, 8, 9, 10, 11,   12,   /* nonce */
    17,   0,    0,    0,                                   /* UDP */
    0x9c, 0x4f, 0,    0,                                   /* internal 40015, external any */
    0,    0,    0,    0,    0, 0, 0, 0, 0, 0,  0xff, 0xff, /* any IPv4 */
    0,    0,    0,    0,
};
/* RFC 6887 s7.2 and s11.1: granted for 3600 s as 203.0.113.7:41641, epoch 1000. */
static const uint8_t GRANTED[60] = {
    2,    129,  0,    0,                                   /* version, R + opcode, code 0 */
    0,    0,    0x0e, 0x10,                                /* 3600 s */
    0,    0,    0x03, 0xe8,                                /* epoch */
    0,    0,    0,    0,    0, 0, 0, 0, 0, 0,  0,    0,    /* reserved */
    1,    2,    3,    4,    5, 6, 7, 8, 9, 10, 11,   12,   /* nonce */
    17,   0,    0,    0,                                   /* */
    0x9c, 0x4f, 0xa2, 0xa9,                                /* internal 40015, external 41641 */
    0,    0,    0,    0,    0, 0, 0, 0, 0, 0,  0xff, 0xff, /* */
    203,  0,    113,  7,
};

static struct pv_portmap_config config(void)
{
    struct pv_portmap_config c = {.router = ROUTER, .client = pv_addr4(192, 168, 1, 30, 40015)};
    memcpy(c.nonce, NONCE, sizeof(c.nonce));
    return c;
}

static struct test_rng seed;

static void start(struct pv_portmap *p, pv_ns now)
{
    struct pv_rng rng = test_rng_make(&seed, 7);
    struct pv_portmap_config c = config();
    *p = (struct pv_portmap){.state = PV_PORTMAP_IDLE};
    pv_portmap_start(p, &c, &rng, now);
}

static void answer(uint8_t out[static 60], uint32_t lifetime, uint32_t epoch)
{
    memcpy(out, GRANTED, 60);
    pv_store_be32(out + 4, lifetime);
    pv_store_be32(out + 8, epoch);
}

static int give(struct pv_portmap *p, const uint8_t *bytes, size_t len, pv_ns now)
{
    return pv_portmap_handle_input(p, &ROUTER, pv_view(bytes, len), now);
}

/* Asks and is granted that lifetime at `now`, with that epoch. */
static void hold(struct pv_portmap *p, uint32_t lifetime, uint32_t epoch, pv_ns now)
{
    uint8_t buf[60], bytes[60];
    struct pv_portmap_event ev;
    start(p, now);
    assert_ok(pv_portmap_poll_transmit(p, buf));
    answer(bytes, lifetime, epoch);
    assert_ok(give(p, bytes, 60, now));
    assert_ok(pv_portmap_poll_event(p, &ev));
    assert_int_equal(ev.type, PV_PORTMAP_MAPPED);
    assert_int_equal(p->state, PV_PORTMAP_HELD);
}

/* --- messages -------------------------------------------------------------------------------- */

PV_TEST(a_request_is_what_the_rfc_says)
{
    uint8_t buf[60];
    struct pv_portmap_request req = {.client = pv_addr4(192, 168, 1, 30, 40015),
                                     .suggested = pv_addr4(203, 0, 113, 7, 41641),
                                     .lifetime = 7200};
    memcpy(req.nonce, NONCE, sizeof(NONCE));
    pv_portmap_write_map(buf, &req);
    assert_int_equal(pv_load_be16(buf + 42), 41641);
    assert_memory_equal(buf + 56, GRANTED + 56, 4);
    req.lifetime = 0; /* s15.1: what is deleted is not suggested */
    pv_portmap_write_map(buf, &req);
    uint8_t want[60];
    memcpy(want, REQUEST, 60);
    pv_store_be32(want + 4, 0);
    assert_memory_equal(buf, want, 60);
    req.lifetime = 7200;
    req.suggested.family = PV_AF_NONE;
    req.suggested.port = 0;
    pv_portmap_write_map(buf, &req);
    assert_memory_equal(buf, REQUEST, 60);
}

PV_TEST(an_ipv6_request_has_whole_addresses)
{
    static const uint8_t ip[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 5};
    uint8_t buf[60], zero[16] = {0};
    struct pv_portmap_request req = {.client = pv_addr6(ip, 9), .lifetime = 1};
    pv_portmap_write_map(buf, &req);
    assert_memory_equal(buf + 8, ip, 16);
    assert_memory_equal(buf + 44, zero, 16); /* s5: any IPv6 address */
}

PV_TEST(an_answer_is_read_whole)
{
    struct pv_portmap_answer a;
    struct pv_addr want = pv_addr4(203, 0, 113, 7, 41641);
    assert_ok(pv_portmap_decode(pv_view(GRANTED, 60), &a));
    assert_int_equal(a.opcode, PV_PORTMAP_MAP);
    assert_int_equal(a.code, PV_PORTMAP_SUCCESS);
    assert_int_equal(a.lifetime, 3600);
    assert_int_equal(a.epoch, 1000);
    assert_int_equal(a.protocol, 17);
    assert_int_equal(a.internal_port, 40015);
    assert_memory_equal(a.nonce, NONCE, 12);
    assert_true(pv_addr_equal(&a.external, &want));
}

PV_TEST(every_truncation_is_refused)
{
    for (size_t n = 0; n < 60; n++) {
        struct pv_portmap_answer a = {.epoch = 77};
        uint8_t *copy = malloc(n + 1); /* exactly as long as it says, for the sanitizer */
        memcpy(copy, GRANTED, n);
        assert_int_equal(pv_portmap_decode(pv_view(copy, n), &a), PV_ERR_TRUNCATED);
        assert_int_equal(a.epoch, 77);
        free(copy);
    }
}

PV_TEST(bounds_are_kept)
{
    static uint8_t big[1104];
    struct pv_portmap_answer a;
    memcpy(big, GRANTED, 60);
    for (size_t at = 60; at < sizeof(big); at += 4) /* options without a body */
        memcpy(big + at, (uint8_t[]){200, 0, 0, 0}, 4);
    assert_ok(pv_portmap_decode(pv_view(big, 1100), &a));
    assert_int_equal(pv_portmap_decode(pv_view(big, 1104), &a), PV_ERR_LIMIT);
    assert_int_equal(pv_portmap_decode(pv_view(big, 62), &a), PV_ERR_MALFORMED);
    big[63] = 4; /* the first option ends with the message, then one beyond */
    assert_ok(pv_portmap_decode(pv_view(big, 68), &a));
    big[63] = 5;
    assert_int_equal(pv_portmap_decode(pv_view(big, 68), &a), PV_ERR_MALFORMED);
    memcpy(big, REQUEST, 60);
    assert_int_equal(pv_portmap_decode(pv_view(big, 60), &a), PV_ERR_MALFORMED);
    memcpy(big, GRANTED, 60);
    big[0] = 3;
    assert_int_equal(pv_portmap_decode(pv_view(big, 60), &a), PV_ERR_MALFORMED);
}

PV_TEST(another_version_is_told_whatever_its_form)
{
    static const uint8_t natpmp[8] = {0, 129, 0, 1, 0, 0, 0, 9}; /* RFC 6886 s3.5 */
    struct pv_portmap_answer a;
    assert_ok(pv_portmap_decode(pv_view(natpmp, 8), &a));
    assert_int_equal(a.version, 0);
    assert_int_equal(a.code, PV_PORTMAP_UNSUPP_VERSION);
    for (unsigned c = 0; c < 20; c++)
        assert_true(strlen(pv_portmap_code_text(c)) > 8);
}

PV_TEST(the_epoch_shows_a_restart)
{
    static const struct {
        uint32_t first, second;
        unsigned seconds;
        bool same;
        const char *why;
    } rows[] = {
        {1000, 1060, 60, true, "in step"},
        {1000, 999, 0, true, "reordered by a second"},
        {1000, 998, 0, false, "backwards by two"},
        {1, 0, 9, false, "restarted just after its start"},
        {1000, 1000, 2, true, "two seconds behind: quantization"},
        {1000, 1000, 3, false, "stood still"},
        {1000, 1002, 0, true, "two seconds ahead"},
        {1000, 1003, 0, false, "three seconds ahead"},
        {0, 3200, 3000, true, "6.25 % fast"},
        {0, 3300, 3000, false, "10 % fast"},
        {0, 2820, 3000, true, "6 % slow"},
        {0, 2700, 3000, false, "10 % slow"},
        {50000, 5, 60, false, "a reboot"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_portmap_epoch e = {.known = false};
        assert_true(pv_portmap_epoch_take(&e, rows[i].first, PV_S(9)));
        bool same = pv_portmap_epoch_take(&e, rows[i].second, PV_S(9 + rows[i].seconds));
        if (same != rows[i].same)
            fail_msg("%s", rows[i].why);
        assert_int_equal(e.server, rows[i].second);
    }
}

/* --- the client ------------------------------------------------------------------------------ */

PV_TEST(a_mapping_is_asked_for_and_held)
{
    struct pv_portmap p;
    struct pv_portmap_event ev;
    struct pv_addr want = pv_addr4(203, 0, 113, 7, 41641);
    uint8_t buf[60];
    start(&p, PV_S(1));
    assert_int_equal(give(&p, GRANTED, 60, PV_S(1)), PV_ERR_NOT_FOUND); /* nobody has asked */
    assert_ok(pv_portmap_poll_transmit(&p, buf));
    assert_memory_equal(buf, REQUEST, 60);
    assert_int_equal(pv_portmap_poll_transmit(&p, buf), PV_ERR_AGAIN);
    assert_ok(give(&p, GRANTED, 60, PV_S(1)));
    assert_ok(pv_portmap_poll_event(&p, &ev));
    assert_int_equal(ev.type, PV_PORTMAP_MAPPED);
    assert_true(pv_addr_equal(&ev.external, &want));
    assert_ok(give(&p, GRANTED, 60, PV_S(1))); /* a duplicate is no news */
    assert_int_equal(pv_portmap_poll_event(&p, &ev), PV_ERR_AGAIN);
}

PV_TEST(answers_to_others_do_not_count)
{
    struct pv_portmap p;
    uint8_t buf[60], bytes[60];
    struct pv_addr other = ROUTER;
    start(&p, PV_S(1));
    assert_ok(pv_portmap_poll_transmit(&p, buf));
    other.ip[3] = 2;
    assert_int_equal(pv_portmap_handle_input(&p, &other, pv_view(GRANTED, 60), PV_S(1)),
                     PV_ERR_NOT_FOUND);
    other = ROUTER;
    other.port = 5350;
    assert_int_equal(pv_portmap_handle_input(&p, &other, pv_view(GRANTED, 60), PV_S(1)),
                     PV_ERR_NOT_FOUND);
    static const size_t differ[] = {24, 35, 36, 40, 41, 1}; /* nonce, protocol, port, opcode */
    for (size_t i = 0; i < PV_ARRAY_LEN(differ); i++) {
        memcpy(bytes, GRANTED, 60);
        bytes[differ[i]] ^= 2;
        assert_int_equal(give(&p, bytes, 60, PV_S(1)), PV_ERR_NOT_FOUND);
    }
    assert_int_equal(p.state, PV_PORTMAP_ASKING);
}

PV_TEST(silence_ends_after_four_requests)
{
    struct pv_portmap p;
    struct pv_portmap_event ev;
    uint8_t buf[60];
    unsigned n = 0;
    start(&p, PV_S(1));
    while (pv_portmap_poll_event(&p, &ev) == PV_ERR_AGAIN) {
        while (pv_portmap_poll_transmit(&p, buf) == PV_OK)
            n++;
        pv_ns next = pv_portmap_next_timeout(&p);
        assert_true(next <= PV_S(5));
        pv_portmap_handle_timeout(&p, next);
    }
    assert_int_equal(n, 4);
    assert_int_equal(ev.type, PV_PORTMAP_FAILED);
    assert_int_equal(ev.status, PV_ERR_TIMEOUT);
    assert_int_equal(pv_portmap_next_timeout(&p), PV_NEVER);
}

PV_TEST(a_refusal_says_why_and_for_how_long)
{
    static const struct {
        uint8_t code;
        uint32_t lifetime;
        unsigned seconds;
    } rows[] = {{2, 600, 600}, {8, 30, 30}, {12, 4000000000u, 1800}};
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_portmap p;
        struct pv_portmap_event ev;
        uint8_t buf[60], bytes[60];
        start(&p, PV_S(1));
        assert_ok(pv_portmap_poll_transmit(&p, buf));
        answer(bytes, rows[i].lifetime, 5);
        bytes[3] = rows[i].code;
        assert_ok(give(&p, bytes, 60, PV_S(1)));
        assert_ok(pv_portmap_poll_event(&p, &ev));
        assert_int_equal(ev.status, PV_ERR_REFUSED);
        assert_int_equal(ev.code, rows[i].code);
        assert_true(ev.retry_in == PV_S(rows[i].seconds));
        assert_int_equal(p.state, PV_PORTMAP_IDLE);
    }
}

PV_TEST(a_natpmp_router_is_told_apart)
{
    static const uint8_t natpmp[8] = {0, 129, 0, 1};
    struct pv_portmap p;
    struct pv_portmap_event ev;
    uint8_t buf[60];
    start(&p, PV_S(1));
    assert_ok(pv_portmap_poll_transmit(&p, buf));
    assert_ok(give(&p, natpmp, sizeof(natpmp), PV_S(1)));
    assert_ok(pv_portmap_poll_event(&p, &ev));
    assert_int_equal(ev.status, PV_ERR_UNSUPPORTED);
    hold(&p, 100, 5, PV_S(1)); /* what is held is not lost to a few forged bytes */
    assert_ok(give(&p, natpmp, sizeof(natpmp), PV_S(2)));
    assert_int_equal(p.state, PV_PORTMAP_HELD);
}

PV_TEST(a_mapping_to_nowhere_is_none)
{
    for (int i = 0; i < 3; i++) {
        struct pv_portmap p;
        struct pv_portmap_event ev;
        uint8_t buf[60], bytes[60];
        start(&p, PV_S(1));
        assert_ok(pv_portmap_poll_transmit(&p, buf));
        answer(bytes, i == 0 ? 0 : 60, 5);
        if (i == 1)
            pv_store_be16(bytes + 42, 0);
        if (i == 2)
            memset(bytes + 56, 0, 4);
        assert_ok(give(&p, bytes, 60, PV_S(1)));
        assert_ok(pv_portmap_poll_event(&p, &ev));
        assert_int_equal(ev.type, PV_PORTMAP_FAILED);
    }
}

PV_TEST(it_is_renewed_from_half_its_life_on_and_then_lost)
{
    struct pv_portmap p;
    struct pv_portmap_event ev;
    uint8_t buf[60];
    pv_ns sent[64];
    size_t n = 0;
    hold(&p, 800, 5, PV_S(100));
    while (pv_portmap_poll_event(&p, &ev) == PV_ERR_AGAIN) {
        pv_portmap_handle_timeout(&p, pv_portmap_next_timeout(&p));
        while (pv_portmap_poll_transmit(&p, buf) == PV_OK) {
            assert_true(n < PV_ARRAY_LEN(sent));
            assert_memory_equal(buf + 56, GRANTED + 56, 4); /* it suggests what it had */
            assert_memory_equal(buf + 24, NONCE, 12);
            sent[n++] = p.now;
        }
    }
    assert_true(sent[0] >= PV_S(500) && sent[0] <= PV_S(600)); /* s11.2.1 */
    assert_true(sent[1] >= PV_S(700) && sent[1] <= PV_S(750));
    assert_true(sent[2] >= PV_S(800) && sent[2] <= PV_S(825));
    for (size_t i = 1; i < n; i++)
        assert_true(sent[i] - sent[i - 1] >= PV_S(4));
    assert_true(sent[n - 1] < PV_S(900));
    assert_int_equal(ev.status, PV_ERR_TIMEOUT);
    assert_true(p.now == PV_S(900));
}

/* A machine that was suspended for hours wakes up when the mapping is over. */
PV_TEST(one_that_expired_unasked_is_asked_for_before_it_counts_as_lost)
{
    struct pv_portmap p;
    struct pv_portmap_event ev;
    uint8_t buf[60], bytes[60];
    hold(&p, 800, 5, PV_S(100));
    pv_ns now = PV_S(100 + 3 * 3600);
    pv_portmap_handle_timeout(&p, now);
    assert_int_equal(pv_portmap_poll_event(&p, &ev), PV_ERR_AGAIN);
    assert_ok(pv_portmap_poll_transmit(&p, buf));
    assert_memory_equal(buf + 56, GRANTED + 56, 4); /* it suggests what it had */
    answer(bytes, 800, 5 + 3 * 3600);
    assert_ok(give(&p, bytes, 60, now));
    assert_int_equal(p.state, PV_PORTMAP_HELD);
    assert_ok(pv_portmap_poll_event(&p, &ev));
    assert_int_equal(ev.type, PV_PORTMAP_MAPPED);

    /* The router is silent: it ends after the usual four requests. */
    pv_portmap_handle_timeout(&p, now + PV_S(7200));
    for (int i = 0; i < 10 && pv_portmap_poll_event(&p, &ev) == PV_ERR_AGAIN; i++) {
        (void)!pv_portmap_poll_transmit(&p, buf);
        pv_portmap_handle_timeout(&p, pv_portmap_next_timeout(&p));
    }
    assert_int_equal(ev.type, PV_PORTMAP_FAILED);
    assert_int_equal(ev.status, PV_ERR_TIMEOUT);
    assert_int_equal(p.sends, 4);
}

PV_TEST(a_renewal_starts_the_life_anew)
{
    struct pv_portmap p;
    struct pv_portmap_event ev;
    uint8_t buf[60], bytes[60];
    hold(&p, 800, 5, PV_S(100));
    pv_portmap_handle_timeout(&p, pv_portmap_next_timeout(&p));
    assert_ok(pv_portmap_poll_transmit(&p, buf));
    answer(bytes, 4000000000u, 5 + (uint32_t)(p.now / PV_S(1)) - 100);
    pv_ns now = p.now;
    assert_ok(give(&p, bytes, 60, now));
    assert_int_equal(pv_portmap_poll_event(&p, &ev), PV_ERR_AGAIN);
    assert_true(p.expires == now + PV_S(86400)); /* s15: no absurd lifetimes */
}

PV_TEST(an_update_of_the_router_is_believed)
{
    struct pv_portmap p;
    struct pv_portmap_event ev;
    uint8_t bytes[60];
    hold(&p, 800, 5, PV_S(100));
    answer(bytes, 800, 15);
    bytes[59] = 99; /* s14.2: another outer address */
    assert_ok(give(&p, bytes, 60, PV_S(110)));
    assert_ok(pv_portmap_poll_event(&p, &ev));
    assert_int_equal(ev.type, PV_PORTMAP_MAPPED);
    assert_int_equal(ev.external.ip[3], 99);
}

PV_TEST(an_announced_restart_makes_it_ask_again)
{
    struct pv_portmap p;
    uint8_t announce[24] = {2, 128}, buf[60];
    hold(&p, 7200, 1000, PV_S(100));
    pv_store_be32(announce + 8, 1010);
    assert_ok(give(&p, announce, 24, PV_S(110)));
    assert_int_equal(p.state, PV_PORTMAP_HELD); /* the epoch is as expected */
    pv_store_be32(announce + 8, 1);
    assert_ok(give(&p, announce, 24, PV_S(111)));
    assert_int_equal(p.state, PV_PORTMAP_ASKING);
    assert_true(pv_portmap_next_timeout(&p) <= PV_S(116)); /* s14.1.3: 0 to 5 s */
    pv_portmap_handle_timeout(&p, pv_portmap_next_timeout(&p));
    assert_ok(pv_portmap_poll_transmit(&p, buf));
    assert_int_equal(pv_load_be16(buf + 42), 41641); /* the same port, please */
}

PV_TEST(asking_again_is_at_once)
{
    struct pv_portmap p;
    uint8_t buf[60];
    hold(&p, 7200, 1000, PV_S(100));
    pv_portmap_again(&p, PV_S(105));
    assert_ok(pv_portmap_poll_transmit(&p, buf));
    assert_memory_equal(buf + 24, NONCE, 12);
}

PV_TEST(a_mapping_is_given_back_with_its_own_nonce)
{
    struct pv_portmap p;
    struct pv_portmap_event ev;
    uint8_t buf[60];
    hold(&p, 7200, 1000, PV_S(100));
    pv_portmap_release(&p, PV_S(110));
    unsigned n = 0;
    for (; p.state != PV_PORTMAP_IDLE && n < 9; n++) {
        assert_ok(pv_portmap_poll_transmit(&p, buf));
        assert_memory_equal(buf + 24, NONCE, 12);
        assert_int_equal(pv_load_be32(buf + 4), 0);
        pv_portmap_handle_timeout(&p, pv_portmap_next_timeout(&p));
    }
    assert_int_equal(n, 3);
    assert_int_equal(pv_portmap_poll_event(&p, &ev), PV_ERR_AGAIN);
    pv_portmap_release(&p, PV_S(200)); /* nothing to give back */
    assert_int_equal(pv_portmap_poll_transmit(&p, buf), PV_ERR_AGAIN);
}
