/* SPDX-License-Identifier: MIT */
#include "base/bytes.h"
#include "coordinator/core/turn/regulars.h"
#include "coordinator/core/turn/stuns.h"
#include "proto/stun/stun.h"
#include "tests/unit/test_util.h"

static const uint8_t TXID[PV_STUN_TXID_LEN] = {9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 11, 22};
static const uint8_t IP6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 7};

static void free_stuns(void *ctx)
{
    pv_stuns_free(ctx);
}

static struct pv_stuns *server(void)
{
    struct test_rng seed;
    struct pv_rng rng = test_rng_make(&seed, 1);
    struct pv_stuns *s = NULL;
    assert_ok(pv_stuns_new(&s, &rng));
    test_defer(free_stuns, s);
    return s;
}

/* One address and one port, as most coordinators have. */
static const struct pv_stuns_place PLAIN = {
    .local = {.family = PV_AF_INET, .port = 3478, .ip = {192, 0, 2, 1}}};

static int answer(struct pv_stuns *s, const struct pv_addr *from, struct pv_view request,
                  struct pv_stuns_reply *reply)
{
    return pv_stuns_answer(s, from, &PLAIN, request, PV_S(1), reply);
}

/* A Binding request with up to four attributes of 4 zero bytes, and a fingerprint if asked. */
static struct pv_view request(uint8_t *buf, size_t cap, const uint16_t *types, size_t n, bool fp)
{
    struct pv_stun_writer w;
    size_t len;
    pv_stun_write_begin(&w, buf, cap, PV_STUN_REQUEST, PV_STUN_BINDING, TXID);
    for (size_t i = 0; i < n; i++)
        pv_stun_put_u32(&w, types[i], 0);
    if (fp)
        pv_stun_put_fingerprint(&w);
    assert_ok(pv_stun_write_end(&w, &len));
    return pv_view(buf, len);
}

PV_TEST(tells_both_families_their_address)
{
    struct pv_stuns *s = server();
    struct pv_addr from[] = {pv_addr4(198, 51, 100, 3, 1024), pv_addr6(IP6, 65535)};
    for (size_t i = 0; i < 2; i++) {
        for (int fp = 0; fp < 2; fp++) {
            uint8_t req[64];
            struct pv_stuns_reply a;
            struct pv_stun_msg msg;
            struct pv_addr addr;
            struct pv_view r = request(req, sizeof(req), NULL, 0, fp);
            assert_ok(answer(s, &from[i], r, &a));
            assert_int_equal(a.len, (i == 0 ? 44u : 56u) + (fp ? 8u : 0u));
            assert_ok(pv_stun_decode(pv_view(a.buf, a.len), &msg));
            assert_int_equal(msg.cls, PV_STUN_SUCCESS);
            assert_memory_equal(msg.txid, TXID, sizeof(TXID));
            assert_ok(pv_stun_get_xor_addr(&msg, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &addr));
            assert_true(pv_addr_equal(&addr, &from[i]));
            assert_int_equal(pv_stun_check_fingerprint(&msg), fp ? PV_OK : PV_ERR_NOT_FOUND);
        }
    }
}

PV_TEST(a_mapped_source_is_reported_as_ipv4)
{
    static const uint8_t MAPPED[16] = {[10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2, [15] = 1};
    struct pv_stuns *s = server();
    struct pv_addr from = pv_addr6(MAPPED, 99);
    uint8_t req[64];
    struct pv_stuns_reply a;
    assert_ok(answer(s, &from, request(req, sizeof(req), NULL, 0, false), &a));
    assert_int_equal(a.len, 44);
}

PV_TEST(unknown_attributes_are_named_in_a_420)
{
    static const uint16_t TYPES[] = {
        0x0101, PV_STUN_ATTR_PADDING, 0x0102, 0x0107, 0x0103, 0x0104, 0x0105, 0x0106, 0x8100};
    struct pv_stuns *s = server();
    struct pv_addr from = pv_addr4(198, 51, 100, 3, 1024);
    uint8_t req[128];
    struct pv_stuns_reply a;
    struct pv_stun_msg msg;
    struct pv_view v;
    unsigned code;

    struct pv_view r = request(req, sizeof(req), TYPES, PV_ARRAY_LEN(TYPES), true);
    assert_ok(answer(s, &from, r, &a));
    assert_int_equal(a.len, PV_STUNS_SHORT_ANSWER);
    assert_ok(pv_stun_decode(pv_view(a.buf, a.len), &msg));
    assert_int_equal(msg.cls, PV_STUN_ERROR);
    assert_ok(pv_stun_get_error(&msg, &code));
    assert_int_equal(code, 420);
    assert_ok(pv_stun_find(&msg, PV_STUN_ATTR_UNKNOWN_ATTRIBUTES, &v));
    assert_int_equal(v.len, 12);
    assert_int_equal(pv_load_be16(v.ptr), 0x0101);
    assert_int_equal(pv_load_be16(v.ptr + 4), 0x0107);
}

PV_TEST(a_change_request_is_refused_only_when_it_asks_for_something)
{
    struct pv_stuns *s = server();
    struct pv_addr from = pv_addr4(198, 51, 100, 3, 1024);
    for (unsigned flags = 0; flags <= 6; flags += 2) {
        uint8_t req[64];
        struct pv_stuns_reply a;
        struct pv_stun_writer w;
        struct pv_stun_msg msg;
        size_t len;
        pv_stun_write_begin(&w, req, sizeof(req), PV_STUN_REQUEST, PV_STUN_BINDING, TXID);
        pv_stun_put_u32(&w, PV_STUN_ATTR_CHANGE_REQUEST, flags);
        assert_ok(pv_stun_write_end(&w, &len));
        assert_ok(answer(s, &from, pv_view(req, len), &a));
        assert_ok(pv_stun_decode(pv_view(a.buf, a.len), &msg));
        assert_int_equal(msg.cls, flags == 0 ? PV_STUN_SUCCESS : PV_STUN_ERROR);
    }
}

PV_TEST(classic_requests_get_classic_answers)
{
    struct pv_stuns *s = server();
    struct pv_addr from[] = {pv_addr4(198, 51, 100, 3, 1024), pv_addr6(IP6, 65535)};
    uint8_t req[PV_STUN_HEADER_LEN + 8] = {0, 1, 0, 0, 1, 2, 3, 4, 5};
    struct pv_stuns_reply a;

    for (size_t i = 0; i < 2; i++) {
        struct pv_view r = pv_view(req, PV_STUN_HEADER_LEN);
        assert_ok(answer(s, &from[i], r, &a));
        assert_int_equal(a.len, 44); /* IPv4: with SOURCE-ADDRESS, all that RFC 3489 knows */
        assert_int_equal(pv_load_be16(a.buf), 0x0101);
        assert_memory_equal(a.buf + 4, req + 4, PV_STUN_CLASSIC_ID_LEN);
        assert_int_equal(pv_load_be16(a.buf + 20), PV_STUN_ATTR_MAPPED_ADDRESS);
        assert_int_equal(pv_load_be16(a.buf + 26), from[i].port);
        assert_memory_equal(a.buf + 28, from[i].ip, pv_addr_ip_len(&from[i]));
    }

    /* RESPONSE-ADDRESS would make a reflector; an odd list of unknowns repeats one. */
    pv_store_be16(req + 2, 8);
    pv_store_be16(req + 20, 0x0002);
    pv_store_be16(req + 22, 4);
    assert_ok(answer(s, &from[0], pv_view(req, sizeof(req)), &a));
    assert_int_equal(pv_load_be16(a.buf), 0x0111);
    assert_int_equal(a.len, 36);
    assert_int_equal(pv_load_be32(a.buf + 32), 0x00020002);
}

PV_TEST(everything_else_gets_no_answer)
{
    static const struct {
        uint16_t type;
        int status;
        const char *why;
    } ROWS[] = {
        {0x0011, PV_ERR_UNSUPPORTED, "Binding indication"},
        {0x0101, PV_ERR_UNSUPPORTED, "Binding response"},
        {0x0111, PV_ERR_UNSUPPORTED, "Binding error"},
        {0x0003, PV_ERR_UNSUPPORTED, "Allocate"},
        {0x0004, PV_ERR_UNSUPPORTED, "Refresh"},
        {0x0016, PV_ERR_UNSUPPORTED, "Send indication"},
        {0x4001, PV_ERR_MALFORMED, "not STUN"},
    };
    struct pv_stuns *s = server();
    struct pv_addr from = pv_addr4(198, 51, 100, 3, 1024);
    uint8_t req[64];
    struct pv_stuns_reply a;

    struct pv_view r = request(req, sizeof(req), NULL, 0, true);
    for (size_t i = 0; i < PV_ARRAY_LEN(ROWS); i++) {
        pv_store_be16(req, ROWS[i].type);
        int got = answer(s, &from, r, &a);
        if (got != ROWS[i].status)
            fail_msg("%s: %d", ROWS[i].why, got);
    }
    pv_store_be16(req, 1);
    for (size_t cut = 0; cut < r.len; cut++)
        assert_int_equal(answer(s, &from, pv_view(req, cut), &a), PV_ERR_TRUNCATED);
    req[r.len - 1] ^= 1;
    assert_int_equal(answer(s, &from, r, &a), PV_ERR_AUTH);
}

PV_TEST(unanswerable_sources_are_refused)
{
    struct pv_stuns *s = server();
    struct pv_addr from[] = {pv_addr4(198, 51, 100, 3, 0),
                             pv_addr4(0, 0, 0, 0, 5),
                             pv_addr4(224, 0, 0, 1, 5),
                             pv_addr4(255, 255, 255, 255, 5),
                             {.family = PV_AF_NONE, .port = 5}};
    uint8_t req[64];
    struct pv_stuns_reply a;
    struct pv_view r = request(req, sizeof(req), NULL, 0, false);
    for (size_t i = 0; i < PV_ARRAY_LEN(from); i++)
        assert_int_equal(answer(s, &from[i], r, &a), PV_ERR_REFUSED);
}

static unsigned flood(struct pv_stuns *s, struct pv_addr from, unsigned n, uint32_t step, pv_ns now)
{
    uint8_t req[64];
    struct pv_stuns_reply a;
    unsigned answered = 0;
    struct pv_view r = request(req, sizeof(req), NULL, 0, false);
    for (unsigned i = 0; i < n; i++) {
        struct pv_addr at = from;
        if (from.family == PV_AF_INET)
            at = pv_addr4_u32(pv_addr_u32(&from) + i * step, from.port);
        answered += pv_stuns_answer(s, &at, &PLAIN, r, now, &a) == PV_OK;
    }
    return answered;
}

/* Strangers from everywhere, and from the member's own network, leave it its answers. */
PV_TEST(members_have_answers_of_their_own_under_a_flood)
{
    struct pv_stuns *s = server();
    struct pv_addr member = pv_addr4(198, 51, 100, 7, 5000);
    struct pv_addr neighbour = pv_addr4(198, 51, 100, 8, 5000);
    struct pv_addr member6 = pv_addr6(IP6, 1024);
    const pv_ns now = PV_S(1);
    pv_stuns_note_member(s, &member, now);
    pv_stuns_note_member(s, &member6, now);
    assert_int_equal(flood(s, pv_addr4(11, 0, 0, 1, 9), 20000, 256, now), PV_STUNS_TOTAL_BURST);
    assert_int_equal(flood(s, neighbour, 1, 0, now), 0);
    assert_int_equal(flood(s, member, 1, 0, now), 1);
    assert_int_equal(flood(s, member6, 1, 0, now), 1);
    /* Its address, forged, is worth as many answers as any: a burst of its own, and no more while
     * those of strangers are used up. */
    assert_int_equal(flood(s, member, 1000, 0, now), PV_STUNS_SOURCE_BURST - 1);
    assert_int_equal(flood(s, member6, 1, 0, now), 1);
    /* After a week without it the address is a stranger's. */
    const pv_ns later = now + PV_S(PV_REGULARS_KEEP_S);
    assert_int_equal(flood(s, pv_addr4(11, 0, 0, 1, 9), 20000, 256, later), PV_STUNS_TOTAL_BURST);
    assert_int_equal(flood(s, member, 1, 0, later), 0);
}

/* A stranger who forges the addresses of all members takes nothing from strangers' answers beyond
 * theirs.
 */
PV_TEST(the_answers_of_members_are_bounded_in_all)
{
    struct pv_stuns *s = server();
    unsigned answered = 0;
    for (uint8_t i = 0; i < 60; i++) {
        const struct pv_addr at = pv_addr4(10, 0, i, 1, 9);
        pv_stuns_note_member(s, &at, PV_S(1));
        answered += flood(s, at, PV_STUNS_SOURCE_BURST, 0, PV_S(1));
    }
    assert_int_equal(answered, 60 * PV_STUNS_SOURCE_BURST);
    assert_int_equal(flood(s, pv_addr4(11, 0, 0, 0, 9), 20000, 256, PV_S(1)),
                     PV_STUNS_TOTAL_BURST - (answered - PV_STUNS_REGULARS_BURST));
}

PV_TEST(a_flood_is_bounded_per_network_and_in_all)
{
    struct pv_stuns *s = server();
    struct pv_addr net = pv_addr4(198, 51, 100, 0, 1024);
    struct pv_addr other = pv_addr4(198, 51, 101, 0, 1024);
    struct pv_addr v6 = pv_addr6(IP6, 1024);

    assert_int_equal(flood(s, net, 1000, 0, PV_S(1)), PV_STUNS_SOURCE_BURST);
    assert_int_equal(flood(s, net, 200, 1, PV_S(1)), 0); /* neighbours share the bucket */
    assert_int_equal(flood(s, other, 1, 0, PV_S(1)), 1);
    assert_int_equal(flood(s, v6, 1000, 0, PV_S(1)), PV_STUNS_SOURCE_BURST);
    v6.ip[7] ^= 1; /* inside the same /56 */
    assert_int_equal(flood(s, v6, 1000, 0, PV_S(1)), 0);
    v6.ip[6] ^= 1;
    assert_int_equal(flood(s, v6, 1000, 0, PV_S(1)), PV_STUNS_SOURCE_BURST);
    assert_int_equal(flood(s, net, 1000, 0, PV_S(2)), PV_STUNS_SOURCE_RATE);

    /* One request from each of many networks: the bucket of all decides. */
    assert_int_equal(flood(s, pv_addr4(11, 0, 0, 1, 9), 30000, 256, PV_S(60)),
                     PV_STUNS_TOTAL_BURST);
}

/* --- RFC 5780 --- */

static const uint8_t SERVER6[2][16] = {{0x20, 0x01, 0x0d, 0xb8, [15] = 1},
                                       {0x20, 0x01, 0x0d, 0xb8, [15] = 2}};

static struct pv_addr server_at(bool v6, unsigned ip, uint16_t port)
{
    return v6 ? pv_addr6(SERVER6[ip], port) : pv_addr4(192, 0, 2, (uint8_t)(ip + 1), port);
}

struct discovery {
    int change;        /* flags of CHANGE-REQUEST; negative: none */
    int response_port; /* negative: none */
    int padding;       /* bytes; negative: none */
    bool fp;
    bool classic;
};

static struct pv_view discovery_request(uint8_t *buf, size_t cap, const struct discovery *d)
{
    struct pv_stun_writer w;
    size_t len;
    pv_stun_write_begin(&w, buf, cap, PV_STUN_REQUEST, PV_STUN_BINDING, TXID);
    if (d->change >= 0)
        pv_stun_put_u32(&w, PV_STUN_ATTR_CHANGE_REQUEST, (uint32_t)d->change);
    if (d->response_port >= 0)
        pv_stun_put_u32(&w, PV_STUN_ATTR_RESPONSE_PORT, (uint32_t)d->response_port << 16);
    if (d->padding >= 0)
        pv_stun_put_padding(&w, (size_t)d->padding);
    if (d->fp)
        pv_stun_put_fingerprint(&w);
    assert_ok(pv_stun_write_end(&w, &len));
    if (d->classic)
        buf[4] ^= 0xff;
    return pv_view(buf, len);
}

PV_TEST(answers_come_from_where_the_change_request_says)
{
    struct pv_stuns *s = server();
    struct pv_addr from[] = {pv_addr4(198, 51, 100, 3, 1024), pv_addr6(IP6, 65535)};
    /* Every one of the four addresses, every flag, both families, both generations. */
    for (unsigned i = 0; i < 4 * 4 * 2 * 2; i++) {
        unsigned ip = i & 1, port = i >> 1 & 1, flags = i >> 2 & 3, v6 = i >> 4 & 1;
        struct discovery d = {.change = (int)flags << 1,
                              .response_port = -1,
                              .padding = -1,
                              .fp = i < 32,
                              .classic = i >= 32};
        const struct pv_stuns_place place = {.local = server_at(v6, ip, (uint16_t)(3478 + port)),
                                             .other =
                                                 server_at(v6, 1 - ip, (uint16_t)(3479 - port))};
        struct pv_addr want = server_at(v6, flags & 2 ? 1 - ip : ip,
                                        (uint16_t)(flags & 1 ? 3479 - port : 3478 + port));
        uint8_t req[64];
        struct pv_stuns_reply a;
        struct pv_stun_msg msg;
        struct pv_addr addr;
        struct pv_view r = discovery_request(req, sizeof(req), &d);
        assert_ok(pv_stuns_answer(s, &from[v6], &place, r, PV_S(1), &a));
        assert_true(pv_addr_equal(&a.from, &want));
        assert_true(pv_addr_equal(&a.to, &from[v6]));
        assert_true(a.len <= PV_STUNS_MAX_ANSWER);
        if (d.classic) {
            assert_int_equal(pv_load_be16(a.buf), 0x0101);
            assert_true(a.len <= PV_STUNS_PLAIN_ANSWER);
            continue;
        }
        assert_ok(pv_stun_decode(pv_view(a.buf, a.len), &msg));
        assert_ok(pv_stun_get_addr(&msg, PV_STUN_ATTR_RESPONSE_ORIGIN, &addr));
        assert_true(pv_addr_equal(&addr, &want));
        assert_ok(pv_stun_get_addr(&msg, PV_STUN_ATTR_OTHER_ADDRESS, &addr));
        assert_true(pv_addr_equal(&addr, &place.other));
    }
}

PV_TEST(plain_answers_stay_within_their_bounds)
{
    struct pv_stuns *s = server();
    struct pv_addr from[] = {pv_addr4(198, 51, 100, 3, 1024), pv_addr6(IP6, 65535)};
    for (unsigned i = 0; i < 8; i++) {
        unsigned v6 = i & 1;
        struct discovery d = {
            .change = -1, .response_port = -1, .padding = -1, .fp = true, .classic = i >> 1 & 1};
        struct pv_stuns_place place = {.local = server_at(v6, 0, 3478)};
        uint8_t req[64];
        struct pv_stuns_reply a;
        struct pv_stun_msg msg;
        if (i >> 2)
            place.other = server_at(v6, 1, 3479);
        struct pv_view r = discovery_request(req, sizeof(req), &d);
        assert_ok(pv_stuns_answer(s, &from[v6], &place, r, PV_S(1), &a));
        assert_true(a.len <= (size_t)(i >> 2 ? PV_STUNS_MAX_ANSWER : PV_STUNS_PLAIN_ANSWER));
        if (d.classic)
            continue;
        assert_ok(pv_stun_decode(pv_view(a.buf, a.len), &msg));
        struct pv_addr origin;
        assert_int_equal(pv_stun_has(&msg, PV_STUN_ATTR_OTHER_ADDRESS), i >> 2);
        int r2 = pv_stun_get_addr(&msg, PV_STUN_ATTR_RESPONSE_ORIGIN, &origin);
        assert_int_equal(r2, v6 && i >> 2 ? PV_ERR_NOT_FOUND : PV_OK); /* no room for both */
        assert_true(r2 != PV_OK || pv_addr_equal(&origin, &place.local));
    }
}

/* Any question by UDP, to a server that has all there is to tell: a stranger who forges the source
 * of a request has at most three times its bytes sent there. */
PV_TEST(no_answer_is_longer_than_three_times_its_request)
{
    static const uint16_t TYPES[] = {0x0101, 0x0102, PV_STUN_ATTR_USERNAME, 0x8100};
    struct pv_addr from[] = {pv_addr4(198, 51, 100, 3, 1024), pv_addr6(IP6, 65535)};
    unsigned answers = 0;
    for (unsigned i = 0; i < 2 * 2 * 5 * 2 * 3; i++) {
        unsigned v6 = i & 1, classic = i >> 1 & 1, more = i / 4 % 5, fp = i / 20 % 2;
        struct pv_stuns *s = server();
        struct pv_stuns_place place = {.local = server_at(v6, 0, 3478)};
        uint8_t req[64];
        struct pv_stuns_reply a;
        struct pv_view r = request(req, sizeof(req), TYPES, more, fp && !classic);
        if (classic)
            memset(req + 4, 0x77, 4); /* no cookie */
        if (i / 40 > 0)
            place.other = i / 40 == 1 ? server_at(v6, 1, 3479)
                                      : (struct pv_addr){.family = PV_AF_NONE, .port = 3479};
        if (pv_stuns_answer(s, &from[v6], &place, r, PV_S(1), &a) != PV_OK)
            continue;
        answers++;
        assert_true(a.len <= PV_STUNS_GAIN * r.len);
    }
    assert_int_equal(answers, 2 * 2 * 5 * 2 * 3);
}

/* By IPv4 there is always room for all. */
PV_TEST(by_ipv4_a_bare_request_is_told_everything)
{
    struct pv_addr from = pv_addr4(198, 51, 100, 3, 1024);
    const struct pv_stuns_place place = {.local = server_at(0, 0, 3478),
                                         .other = server_at(0, 1, 3479)};
    uint8_t req[64];
    struct pv_stuns_reply a;
    struct pv_stun_msg msg;
    struct pv_view r = request(req, sizeof(req), NULL, 0, false);
    assert_ok(pv_stuns_answer(server(), &from, &place, r, PV_S(1), &a));
    assert_ok(pv_stun_decode(pv_view(a.buf, a.len), &msg));
    assert_true(pv_stun_has(&msg, PV_STUN_ATTR_RESPONSE_ORIGIN));
    assert_true(pv_stun_has(&msg, PV_STUN_ATTR_OTHER_ADDRESS));
}

/* RFC 5780 s6.1: every answer names its origin; a port to answer to makes no sense on a
 * connection. */
PV_TEST(a_connection_is_told_its_origin_and_granted_nothing)
{
    struct pv_stuns *s = server();
    struct pv_addr from = pv_addr4(198, 51, 100, 3, 1024), origin;
    const struct pv_stuns_place place = {.local = server_at(0, 0, 443), .stream = true};
    struct discovery d = {.change = -1, .response_port = -1, .padding = -1};
    uint8_t req[64];
    struct pv_stuns_reply a;
    struct pv_stun_msg msg;
    struct pv_view r = discovery_request(req, sizeof(req), &d);
    assert_ok(pv_stuns_answer(s, &from, &place, r, PV_S(1), &a));
    assert_ok(pv_stun_decode(pv_view(a.buf, a.len), &msg));
    assert_int_equal(msg.cls, PV_STUN_SUCCESS);
    assert_ok(pv_stun_get_addr(&msg, PV_STUN_ATTR_RESPONSE_ORIGIN, &origin));
    assert_true(pv_addr_equal(&origin, &place.local));
    assert_false(pv_stun_has(&msg, PV_STUN_ATTR_OTHER_ADDRESS));
    d.response_port = 4000;
    r = discovery_request(req, sizeof(req), &d);
    assert_ok(pv_stuns_answer(s, &from, &place, r, PV_S(1), &a));
    assert_ok(pv_stun_decode(pv_view(a.buf, a.len), &msg));
    assert_int_equal(msg.cls, PV_STUN_ERROR);
    assert_int_equal(a.to.port, from.port);
}

PV_TEST(classic_answers_name_source_and_changed_address)
{
    struct pv_stuns *s = server();
    struct pv_addr from = pv_addr4(198, 51, 100, 3, 1024);
    struct discovery d = {.change = 6, .response_port = -1, .padding = -1, .classic = true};
    const struct pv_stuns_place place = {.local = server_at(false, 0, 3478),
                                         .other = server_at(false, 1, 3479)};
    static const uint8_t WANT[] = {0, 1, 0, 8, 0, 1, 4,    0,    198, 51, 100, 3,  /* MAPPED */
                                   0, 4, 0, 8, 0, 1, 0x0d, 0x97, 192, 0,  2,   2,  /* SOURCE */
                                   0, 5, 0, 8, 0, 1, 0x0d, 0x97, 192, 0,  2,   2}; /* CHANGED */
    uint8_t req[64];
    struct pv_stuns_reply a;
    struct pv_view r = discovery_request(req, sizeof(req), &d);
    assert_ok(pv_stuns_answer(s, &from, &place, r, PV_S(1), &a));
    assert_int_equal(a.len, PV_STUN_HEADER_LEN + sizeof(WANT));
    assert_memory_equal(a.buf + 4, req + 4, PV_STUN_CLASSIC_ID_LEN);
    assert_memory_equal(a.buf + PV_STUN_HEADER_LEN, WANT, sizeof(WANT));
}

PV_TEST(requests_of_behaviour_discovery_are_granted_or_refused)
{
    enum {
        NOTHING,
        PORT,
        ALL,
        STREAM
    };
    static const struct {
        int place;
        struct discovery d;
        unsigned error;
        uint16_t to_port;
        const char *why;
    } ROWS[] = {
        {NOTHING, {.change = 0, .response_port = -1, .padding = -1}, 0, 1024, "asks for nothing"},
        {NOTHING, {.change = 2, .response_port = -1, .padding = -1}, 420, 1024, "no second port"},
        {PORT, {.change = 2, .response_port = -1, .padding = -1}, 0, 1024, "a second port"},
        {PORT, {.change = 4, .response_port = -1, .padding = -1}, 420, 1024, "no second address"},
        {PORT, {.change = 6, .response_port = -1, .padding = -1}, 420, 1024, "not both"},
        {ALL, {.change = 6, .response_port = -1, .padding = -1}, 0, 1024, "both"},
        {ALL, {.change = 8, .response_port = -1, .padding = -1}, 420, 1024, "an unknown flag"},
        {NOTHING, {.change = -1, .response_port = 7, .padding = -1}, 0, 7, "another port"},
        {ALL, {.change = 6, .response_port = 7, .padding = -1}, 0, 7, "all of it"},
        {ALL, {.change = -1, .response_port = 0, .padding = -1}, 400, 1024, "no port"},
        {ALL, {.change = 6, .response_port = 7, .padding = 9}, 400, 1024, "port and padding"},
        {ALL, {.change = 6, .response_port = -1, .padding = 900}, 0, 1024, "padding"},
        {STREAM, {.change = 2, .response_port = -1, .padding = -1}, 420, 1024, "a stream"},
        {STREAM, {.change = -1, .response_port = 7, .padding = -1}, 420, 1024, "a stream"},
        {STREAM, {.change = -1, .response_port = -1, .padding = 9}, 0, 1024, "a stream"},
    };
    struct pv_stuns *s = server();
    struct pv_addr from = pv_addr4(198, 51, 100, 3, 1024);
    for (size_t i = 0; i < PV_ARRAY_LEN(ROWS); i++) {
        struct pv_stuns_place place = {.local = server_at(false, 0, 3478)};
        uint8_t req[1200];
        struct pv_stuns_reply a;
        struct pv_stun_msg msg;
        unsigned code = 0;
        if (ROWS[i].place == PORT)
            place.other.port = 3479;
        if (ROWS[i].place == ALL)
            place.other = server_at(false, 1, 3479);
        struct pv_view r = discovery_request(req, sizeof(req), &ROWS[i].d);
        if (pv_stuns_answer(s, &from, ROWS[i].place == STREAM ? NULL : &place, r, PV_S(1), &a) < 0)
            fail_msg("%s: no answer", ROWS[i].why);
        assert_ok(pv_stun_decode(pv_view(a.buf, a.len), &msg));
        if (pv_stun_get_error(&msg, &code) < 0)
            code = 0;
        if (code != ROWS[i].error || a.to.port != ROWS[i].to_port || msg.cls != (code ? 3 : 2))
            fail_msg("%s: code %u, to port %u", ROWS[i].why, code, a.to.port);
        if (code != 0 && ROWS[i].place != STREAM)
            assert_true(pv_addr_equal(&a.from, &place.local));
        assert_false(pv_stun_has(&msg, PV_STUN_ATTR_PADDING));
        assert_int_equal(pv_stun_has(&msg, PV_STUN_ATTR_OTHER_ADDRESS),
                         code == 0 && ROWS[i].place == ALL);
    }
}

PV_TEST(a_classic_client_is_not_served_at_another_port)
{
    struct pv_stuns *s = server();
    struct pv_addr from = pv_addr4(198, 51, 100, 3, 1024);
    struct discovery d = {.change = -1, .response_port = 7, .padding = -1, .classic = true};
    uint8_t req[64];
    struct pv_stuns_reply a;
    struct pv_view r = discovery_request(req, sizeof(req), &d);
    assert_ok(answer(s, &from, r, &a));
    assert_int_equal(pv_load_be16(a.buf), 0x0111);
    assert_true(pv_addr_equal(&a.to, &from));
}

PV_TEST(a_response_port_may_lack_its_padding_but_nothing_else)
{
    struct pv_stuns *s = server();
    struct pv_addr from = pv_addr4(198, 51, 100, 3, 1024);
    for (size_t n = 0; n < 8; n++) {
        static const uint8_t VALUE[8] = {0x12, 0x34};
        uint8_t req[64];
        struct pv_stuns_reply a;
        struct pv_stun_writer w;
        size_t len;
        pv_stun_write_begin(&w, req, sizeof(req), PV_STUN_REQUEST, PV_STUN_BINDING, TXID);
        pv_stun_put(&w, PV_STUN_ATTR_RESPONSE_PORT, pv_view(VALUE, n));
        assert_ok(pv_stun_write_end(&w, &len));
        assert_ok(answer(s, &from, pv_view(req, len), &a));
        assert_int_equal(a.to.port, n == 2 || n == 4 ? 0x1234 : 1024);
    }
}
