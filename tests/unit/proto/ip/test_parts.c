/* SPDX-License-Identifier: MIT */
/* Packets in parts: apart and together again is the identity, whatever the network does. */
#include "base/bytes.h"
#include "proto/ip/ippkt.h"
#include "proto/ip/parts.h"
#include "tests/unit/test_util.h"

enum {
    PACKETS = 400,
    OWNERS = 5,
    PADDED = PV_PARTS_HEADER + PV_PARTS_WHOLE + 16,
};

/* Receiver indices as they are drawn: in groups of their own. */
static const uint32_t owners[OWNERS] = {0x11111101, 0x2b5c7302, 0x3fa94203, 0x94aa0304, 0xc15e0505};

static struct pv_parts *parts;
static uint8_t packet[PV_PARTS_WHOLE], joined[PV_PARTS_WHOLE];

static int set_up(void **state)
{
    for (size_t i = 0; i < sizeof(packet); i++)
        packet[i] = (uint8_t)(i * 7 + i / 256);
    return pv_parts_new(&parts);
}

static int tear_down(void **state)
{
    parts = pv_parts_free(parts);
    return 0;
}

static struct pv_parts_plan plan_of(size_t whole, size_t limit)
{
    struct pv_parts_plan plan;
    assert_ok(pv_parts_plan(whole, limit, &plan));
    return plan;
}

static int add_bytes(uint32_t owner, const uint8_t *bytes, size_t len, uint8_t ecn, pv_ns now,
                     struct pv_parts_out *ret_out)
{
    const struct pv_parts_in in = {.owner = owner, .packet = pv_view(bytes, len), .ecn = ecn};
    return pv_parts_add(parts, &in, now, joined, ret_out);
}

/* Part i of the first bytes of `packet`, padded as a session does. */
static int add_part(uint32_t owner, const struct pv_parts_plan *plan, uint8_t i, uint32_t id,
                    pv_ns now)
{
    uint8_t buf[PADDED] = {0};
    struct pv_parts_out out = {.len = 0};
    pv_parts_put(plan, packet, i, id, buf);
    int r = add_bytes(owner, buf, (pv_parts_len(plan, i) + 15) / 16 * 16, PV_ECN_NONE, now, &out);
    if (r == PV_OK) {
        assert_int_equal(out.len, plan->whole);
        assert_memory_equal(joined, packet, out.len);
    }
    return r;
}

PV_TEST(a_plan_has_the_fewest_parts_that_fit)
{
    struct pv_parts_plan plan;
    for (size_t limit = 0; limit <= 1500; limit++) {
        for (size_t whole = 0; whole <= PV_PARTS_WHOLE + 1; whole += 1 + whole % 7) {
            size_t room = limit > PV_PARTS_HEADER ? limit - PV_PARTS_HEADER : 0, n = 2;
            while (n <= PV_PARTS_MAX && n * room < whole)
                n++;
            bool can = whole >= 2 && whole <= PV_PARTS_WHOLE && n <= PV_PARTS_MAX && n <= whole;
            assert_int_equal(pv_parts_plan(whole, limit, &plan), can ? PV_OK : PV_ERR_LIMIT);
            if (!can)
                continue;
            assert_int_equal(plan.n, n);
            size_t sum = 0;
            for (uint8_t i = 0; i < plan.n; i++) {
                size_t len = pv_parts_len(&plan, i);
                assert_true(len > PV_PARTS_HEADER && len <= limit);
                assert_true(i + 1 == plan.n || len == pv_parts_len(&plan, 0));
                sum += len - PV_PARTS_HEADER;
            }
            assert_int_equal(sum, whole);
        }
    }
    assert_int_equal(plan_of(1280, 1220).n, 2); /* underlay 1280 */
    assert_int_equal(plan_of(1280, 492).n, 3);  /* underlay 576, IPv6 and a channel */
}

PV_TEST_IN(parts_come_together_in_any_order_and_twice, set_up, tear_down)
{
    static const uint8_t orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                        {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    struct pv_parts_plan plan = plan_of(1279, 500);
    assert_int_equal(plan.n, 3);
    for (uint32_t i = 0; i < PV_ARRAY_LEN(orders); i++) {
        assert_int_equal(add_part(owners[0], &plan, orders[i][0], i, 1), PV_ERR_AGAIN);
        assert_int_equal(add_part(owners[0], &plan, orders[i][0], i, 1), PV_ERR_AGAIN);
        assert_int_equal(add_part(owners[0], &plan, orders[i][1], i, 1), PV_ERR_AGAIN);
        assert_ok(add_part(owners[0], &plan, orders[i][2], i, 1));
    }
    assert_int_equal(pv_parts_take_lost(parts), 0);
}

/* --- the property ----------------------------------------------------------------------------- */

struct flight {
    uint8_t bytes[PADDED];
    size_t len;
    uint32_t owner;
    unsigned packet; /* which one this is a part of */
    uint32_t at;     /* place in the order of arrival */
};

struct sent {
    uint8_t bytes[PV_PARTS_WHOLE];
    struct pv_parts_plan plan;
    uint32_t owner;
    unsigned arrived, came;
};

static int by_arrival(const void *a, const void *b)
{
    const struct flight *x = a, *y = b;
    return (x->at > y->at) - (x->at < y->at);
}

/* Packets of several senders in parts of many sizes, some of which are lost or late. */
static size_t send_packets(struct pv_rng *rng, struct sent *sent, struct flight *flight)
{
    uint32_t counter[OWNERS];
    size_t n = 0;
    for (size_t i = 0; i < OWNERS; i++)
        counter[i] = pv_rng_u32(rng);
    for (unsigned i = 0; i < PACKETS; i++) {
        struct sent *s = &sent[i];
        size_t from = pv_rng_below(rng, OWNERS), whole = 600 + pv_rng_below(rng, 681);
        s->plan = plan_of(whole, 400 + pv_rng_below(rng, 900));
        s->owner = owners[from];
        pv_rng_fill(rng, s->bytes, whole);
        for (uint8_t k = 0; k < s->plan.n; k++) {
            struct flight *f = &flight[n];
            *f = (struct flight){.owner = s->owner, .packet = i};
            f->len = (pv_parts_len(&s->plan, k) + 15) / 16 * 16;
            pv_parts_put(&s->plan, s->bytes, k, counter[from], f->bytes);
            f->at = (uint32_t)n * 4 + pv_rng_below(rng, 200); /* 50 datagrams late at most */
            if (pv_rng_below(rng, 10) == 0)
                continue; /* lost */
            s->arrived++;
            n++;
        }
        counter[from] += from % 2 == 0 ? 1 : PV_PARTS_STEP;
    }
    qsort(flight, n, sizeof(*flight), by_arrival);
    return n;
}

PV_TEST_IN(apart_and_together_is_the_identity_and_losses_take_whole_packets, set_up, tear_down)
{
    struct sent *sent = calloc(PACKETS, sizeof(*sent));
    struct flight *flight = calloc(PACKETS * PV_PARTS_MAX, sizeof(*flight));
    assert_true(sent != NULL && flight != NULL);
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct test_rng source;
        struct pv_rng rng = test_rng_make(&source, seed);
        memset(sent, 0, PACKETS * sizeof(*sent));
        size_t n = send_packets(&rng, sent, flight);
        for (size_t i = 0; i < n; i++) {
            struct pv_parts_out out;
            struct sent *s = &sent[flight[i].packet];
            int r = add_bytes(flight[i].owner, flight[i].bytes, flight[i].len, 0,
                              PV_S(10 * (seed + 1)), &out);
            assert_true(r == PV_OK || r == PV_ERR_AGAIN);
            if (r != PV_OK)
                continue;
            /* The joined packet is the one that this part was cut from, to the byte. */
            assert_int_equal(out.len, s->plan.whole);
            assert_memory_equal(joined, s->bytes, out.len);
            s->came++;
        }
        for (unsigned i = 0; i < PACKETS; i++)
            assert_int_equal(sent[i].came, sent[i].arrived == sent[i].plan.n ? 1 : 0);
    }
    free(sent);
    free(flight);
}

/* --- what must not come together -------------------------------------------------------------- */

PV_TEST_IN(parts_of_different_packets_never_mix, set_up, tear_down)
{
    struct pv_parts_plan plan = plan_of(1280, 1220), other = plan_of(1278, 1220);
    uint32_t id = 42;
    /* Of another sender, with the same id. */
    assert_int_equal(add_part(owners[0], &plan, 0, id, 1), PV_ERR_AGAIN);
    assert_int_equal(add_part(owners[1], &plan, 1, id, 1), PV_ERR_AGAIN);
    assert_ok(add_part(owners[0], &plan, 1, id, 1));
    /* With another length. */
    assert_int_equal(add_part(owners[2], &plan, 0, id, 1), PV_ERR_AGAIN);
    assert_int_equal(add_part(owners[2], &other, 1, id, 1), PV_ERR_MALFORMED);
    assert_ok(add_part(owners[2], &plan, 1, id, 1));
    /* Of another time: an id comes again after 2^32 packets, a part does not wait for that. */
    assert_int_equal(add_part(owners[3], &plan, 0, id, 1), PV_ERR_AGAIN);
    assert_int_equal(add_part(owners[3], &plan, 1, id, 1 + PV_PARTS_TIME + 1), PV_ERR_AGAIN);
    assert_ok(add_part(owners[3], &plan, 0, id, 1 + 2 * PV_PARTS_TIME));
    assert_int_equal(pv_parts_take_lost(parts), 1);
    /* In the same place. */
    assert_int_equal(add_part(owners[4], &plan, 0, id, 1), PV_ERR_AGAIN);
    assert_int_equal(add_part(owners[4], &plan, 1, id + PV_PARTS_STEP * PV_PARTS_PLACES, 1),
                     PV_ERR_AGAIN);
    assert_int_equal(pv_parts_take_lost(parts), 1);
    assert_int_equal(add_part(owners[4], &plan, 1, id, 1), PV_ERR_AGAIN);
    assert_int_equal(pv_parts_take_lost(parts), 1);
    assert_int_equal(pv_parts_take_lost(parts), 0);
}

PV_TEST_IN(a_sender_that_completes_nothing_does_not_hinder_others, set_up, tear_down)
{
    struct pv_parts_plan plan = plan_of(1280, 1220);
    for (uint32_t i = 0; i < 10000; i++) {
        for (size_t k = 1; k < OWNERS; k++)
            assert_int_equal(add_part(owners[k], &plan, 0, i * 3, 1), PV_ERR_AGAIN);
        if (i % 64 == 0)
            assert_int_equal(add_part(owners[0], &plan, 0, i, 1), PV_ERR_AGAIN);
        if (i % 64 == 63)
            assert_ok(add_part(owners[0], &plan, 1, i - 63, 1));
    }
}

PV_TEST_IN(every_truncation_and_bad_field_is_refused, set_up, tear_down)
{
    static const struct {
        uint8_t bytes[16];
        int status;
        const char *why;
    } rows[] = {
        {{0xc1, 6, 0, 4, 0, 0, 0, 1, 0, 2, 0, 4, 9, 9}, PV_ERR_AGAIN, "as it should be"},
        {{0xc1, 6, 0, 4, 0, 0, 0, 2, 0, 1, 0, 2, 9, 9}, PV_ERR_MALFORMED, "one part"},
        {{0xc1, 6, 0, 4, 0, 0, 0, 2, 0, 5, 0, 10, 9, 9}, PV_ERR_MALFORMED, "parts one over"},
        {{0xc1, 6, 0, 4, 0, 0, 0, 2, 2, 2, 0, 4, 9, 9}, PV_ERR_MALFORMED, "part = parts"},
        {{0xc1, 5, 0, 4, 0, 0, 0, 2, 0, 2, 0, 4, 9, 9}, PV_ERR_MALFORMED, "another type"},
        {{0xc0, 6, 0, 4, 0, 0, 0, 2, 0, 2, 0, 4, 9, 9}, PV_ERR_MALFORMED, "first byte"},
        {{0xc1, 6, 0, 4, 0, 0, 0, 2, 0, 2, 0, 5, 9, 9}, PV_ERR_MALFORMED, "part one short"},
        {{0xc1, 6, 0, 4, 0, 0, 0, 2, 0, 2, 0, 2, 9, 9}, PV_ERR_MALFORMED, "part one long"},
        {{0xc1, 6, 0, 4, 0, 0, 0, 2, 1, 2, 0, 3, 9, 9}, PV_ERR_MALFORMED, "last one long"},
        {{0xc1, 6, 0, 4, 0, 0, 0, 2, 1, 2, 0, 5, 9, 9}, PV_ERR_AGAIN, "last one shorter"},
        {{0xc1, 6, 0, 4, 0, 0, 0, 2, 0, 2, 5, 1, 9, 9}, PV_ERR_MALFORMED, "whole one over"},
        {{0xc1, 6, 0, 4, 0, 0, 0, 2, 0, 2, 0, 0, 9, 9}, PV_ERR_MALFORMED, "whole empty"},
        {{0xc1, 6, 0, 2, 0, 0, 0, 2, 0, 2, 0, 4, 0, 0}, PV_ERR_MALFORMED, "no bytes"},
        {{0xc1, 6, 0, 4, 0, 0, 0, 2, 2, 4, 0, 5, 9, 9}, PV_ERR_MALFORMED, "last would be empty"},
    };
    struct pv_parts_plan plan = plan_of(1280, 1220);
    struct pv_parts_out out;
    uint8_t buf[PADDED];
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        if (add_bytes(owners[0], rows[i].bytes, 14, 0, 1, &out) != rows[i].status)
            fail_msg("%s", rows[i].why);
    }
    pv_parts_put(&plan, packet, 0, 7, buf);
    for (size_t len = 0; len < pv_parts_len(&plan, 0); len++) {
        uint8_t *exact = malloc(len == 0 ? 1 : len);
        assert_non_null(exact);
        memcpy(exact, buf, len);
        assert_true(add_bytes(owners[1], exact, len, 0, 1, &out) < 0);
        assert_int_equal(pv_parts_take_lost(parts), 0);
        free(exact);
    }
    assert_int_equal(add_part(owners[1], &plan, 0, 7, 1), PV_ERR_AGAIN);
    assert_ok(add_part(owners[1], &plan, 1, 7, 1));
}

PV_TEST_IN(congestion_met_by_one_part_is_met_by_the_packet, set_up, tear_down)
{
    static const uint8_t rows[][3] = {
        {PV_ECN_0, PV_ECN_0, PV_ECN_0},          {PV_ECN_0, PV_ECN_CE, PV_ECN_CE},
        {PV_ECN_CE, PV_ECN_0, PV_ECN_CE},        {PV_ECN_CE, PV_ECN_NONE, PV_ECN_CE},
        {PV_ECN_NONE, PV_ECN_0, PV_ECN_NONE},    {PV_ECN_0, PV_ECN_1, PV_ECN_NONE},
        {PV_ECN_NONE, PV_ECN_NONE, PV_ECN_NONE}, {PV_ECN_1, PV_ECN_1, PV_ECN_1},
    };
    struct pv_parts_plan plan = plan_of(1280, 1220);
    for (uint32_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_parts_out out;
        uint8_t buf[PADDED];
        pv_parts_put(&plan, packet, 0, i, buf);
        assert_int_equal(add_bytes(owners[0], buf, pv_parts_len(&plan, 0), rows[i][0], 1, &out),
                         PV_ERR_AGAIN);
        pv_parts_put(&plan, packet, 1, i, buf);
        assert_ok(add_bytes(owners[0], buf, pv_parts_len(&plan, 1), rows[i][1], 1, &out));
        assert_int_equal(out.ecn, rows[i][2]);
    }
}
