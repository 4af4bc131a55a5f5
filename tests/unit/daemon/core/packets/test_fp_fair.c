/* SPDX-License-Identifier: MIT */
#include "base/bytes.h"
#include "daemon/core/packets/fp_codel.h"
#include "daemon/core/packets/fp_fair.h"
#include "proto/ip/ippkt.h"
#include "tests/unit/test_util.h"

enum {
    CAP = 64
};

struct world {
    struct pv_fp_fair *f;
    uint8_t *memory;
    struct test_rng rng;
};

static struct world *w; /* of the test that runs */

void test_before_each(void)
{
    w = test_alloc(sizeof(*w));
    w->memory = malloc(PV_FP_FAIR_MEMORY);
    assert_non_null(w->memory);
    assert_ok(pv_fp_fair_new(&w->f, w->memory, 7));
    w->rng.state = 1;
}

void test_after_each(void)
{
    pv_fp_fair_free(w->f);
    free(w->memory);
    free(w);
}

/* --- packets ------------------------------------------------------------------------------- */

/* A datagram of flow (its source port) that carries a number. IPv6 when the flow is odd. */
static void make(uint8_t *p, uint16_t flow, uint32_t number, size_t len, uint8_t ecn)
{
    bool v6 = flow % 2 == 1;
    size_t l4 = v6 ? 40 : 20;
    memset(p, 0, l4 + 12);
    if (v6) {
        p[0] = 0x60;
        p[1] = (uint8_t)(ecn << 4);
        pv_store_be16(p + 4, (uint16_t)(len - 40));
        p[6] = 17;
        p[23] = 1;
        p[39] = 2;
    } else {
        p[0] = 0x45;
        p[1] = ecn;
        pv_store_be16(p + 2, (uint16_t)len);
        p[9] = 17;
        p[15] = 1;
        p[19] = 2;
        pv_store_be16(p + 10, (uint16_t)~pv_ippkt_sum(pv_view(p, 20), 0));
    }
    pv_store_be16(p + l4, flow);
    pv_store_be16(p + l4 + 2, 9);
    pv_store_be32(p + l4 + 8, number);
}

static uint16_t flow_of(const struct pv_fp_packet *p)
{
    return pv_load_be16(p->data + (p->data[0] == 0x60 ? 40 : 20));
}

static uint32_t number_of(const struct pv_fp_packet *p)
{
    return pv_load_be32(p->data + (p->data[0] == 0x60 ? 48 : 28));
}

static bool push(uint16_t flow, uint32_t number, size_t len, pv_ns since)
{
    static const struct pv_offload none = {.kind = PV_OFFLOAD_NONE};
    uint8_t *p = pv_fp_fair_space(w->f);
    if (p == NULL)
        return false;
    make(p + PV_VNET_LEN, flow, number, len, PV_ECN_NONE);
    pv_fp_fair_push(w->f, PV_VNET_LEN, PV_VNET_LEN + len, &none, since);
    return true;
}

/* --- tests --------------------------------------------------------------------------------- */

PV_TEST(each_packet_leaves_once_and_each_flow_in_its_order)
{
    enum {
        FLOWS = 300
    };
    static uint32_t in[FLOWS], out[FLOWS];
    struct pv_fp_packet p[CAP];
    size_t bytes = 0, full = 0;
    for (unsigned turn = 0; turn < 20000; turn++) {
        for (unsigned i = (unsigned)(test_rng_next(&w->rng) % 80); i > 0; i--) {
            uint64_t r = test_rng_next(&w->rng);
            uint16_t flow = (uint16_t)(r % 4 == 0 ? r / 4 % FLOWS : r / 4 % 3);
            size_t len = r >> 60 == 0 ? 60000 : 60 + (r >> 32) % 2500;
            if (!push(flow, in[flow], len, PV_S(1))) {
                full++;
                break;
            }
            in[flow]++;
            bytes += len + PV_VNET_LEN;
        }
        size_t cap = 1 + test_rng_next(&w->rng) % CAP;
        size_t n = pv_fp_fair_pop(w->f, p, cap, PV_S(1));
        assert_true(n <= cap);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(number_of(&p[i]), out[flow_of(&p[i])]++);
            assert_false(p[i].lose_first);
            bytes -= p[i].len + PV_VNET_LEN;
        }
        assert_int_equal(pv_fp_fair_bytes(w->f), bytes);
    }
    assert_true(full > 100);
    for (size_t n; (n = pv_fp_fair_pop(w->f, p, CAP, PV_S(1))) > 0;)
        for (size_t i = 0; i < n; i++)
            assert_int_equal(number_of(&p[i]), out[flow_of(&p[i])]++);
    assert_memory_equal(in, out, sizeof(in));
    assert_int_equal(pv_fp_fair_bytes(w->f), 0);
}

PV_TEST(places_are_so_many_and_come_back)
{
    struct pv_fp_packet p[CAP];
    for (unsigned round = 0; round < 3; round++) {
        unsigned large = 0, small = 0;
        while (push(2, 0, 60000, 0))
            large++;
        assert_int_equal(large, PV_FP_FAIR_LARGE);
        while (pv_fp_fair_pop(w->f, p, CAP, 0) > 0) {
        }
        while (push(2, 0, 1400, 0))
            small++;
        assert_int_equal(small, PV_FP_FAIR_SMALL);
        while (pv_fp_fair_pop(w->f, p, CAP, 0) > 0) {
        }
    }
}

PV_TEST(a_batch_has_so_many_bytes_and_a_packet_more)
{
    struct pv_fp_packet p[CAP];
    for (unsigned i = 0; i < 20; i++)
        assert_true(push(2, i, 60000, 0));
    assert_int_equal(pv_fp_fair_pop(w->f, p, CAP, 0), PV_FP_FAIR_BATCH / 60000 + 1);
    assert_int_equal(pv_fp_fair_pop(w->f, p, 2, 0), 2);
}

PV_TEST(a_flow_that_has_just_begun_goes_first)
{
    struct pv_fp_packet p[CAP];
    for (unsigned i = 0; i < 30; i++)
        assert_true(push(2, i, 60000, 0));
    assert_int_equal(pv_fp_fair_pop(w->f, p, 1, 0), 1); /* now it is known for what it is */
    for (unsigned i = 0; i < 100; i++) {
        assert_true(push(4, i, 100, 0));
        assert_true(pv_fp_fair_pop(w->f, p, 2, 0) >= 1);
        assert_int_equal(flow_of(&p[0]), 4);
        assert_int_equal(number_of(&p[0]), i);
        assert_true(push(2, 0, 60000, 0));
    }
}

PV_TEST(one_that_sends_more_than_its_turn_does_not_go_first)
{
    struct pv_fp_packet p[CAP];
    size_t bytes[2] = {0}, waiting[2] = {0};
    /* One keeps many packets waiting, the other super-packets: each gets half. */
    for (unsigned i = 0; i < 3000; i++) {
        for (; waiting[0] < 200; waiting[0]++)
            assert_true(push(2, i, 1200, 0));
        for (; waiting[1] < 20; waiting[1]++)
            assert_true(push(4, i, 50000, 0));
        size_t n = pv_fp_fair_pop(w->f, p, 8, 0);
        for (size_t k = 0; k < n; k++) {
            bytes[flow_of(&p[k]) / 2 - 1] += p[k].len;
            waiting[flow_of(&p[k]) / 2 - 1]--;
        }
    }
    assert_true(bytes[0] > 0 && bytes[1] > 0);
    assert_in_range(bytes[0] * 100 / (bytes[0] + bytes[1]), 48, 52);
}

PV_TEST(fragments_stay_behind_each_other)
{
    static const struct pv_offload none = {.kind = PV_OFFLOAD_NONE};
    struct pv_fp_packet p[CAP];
    /* Later fragments hold payload where the first has ports. */
    for (uint16_t i = 0; i < 40; i++) {
        uint8_t *at = pv_fp_fair_space(w->f);
        make(at, 2, i, 1400, PV_ECN_NONE);
        pv_store_be16(at + 6, i % 2 == 0 ? 0x2000 : 0x00ac); /* MF, or offset 1376 */
        if (i % 2 == 1)
            pv_store_be32(at + 20, (uint32_t)test_rng_next(&w->rng));
        pv_fp_fair_push(w->f, 0, 1400, &none, 0);
    }
    assert_int_equal(pv_fp_fair_pop(w->f, p, CAP, 0), 40);
    for (uint16_t i = 0; i < 40; i++)
        assert_int_equal(number_of(&p[i]), i);
}

PV_TEST(bytes_that_are_no_packet_are_passed_on)
{
    static const struct pv_offload none = {.kind = PV_OFFLOAD_NONE};
    struct pv_fp_packet p[CAP];
    for (size_t len = 0; len < 60; len++) {
        uint8_t *at = pv_fp_fair_space(w->f);
        make(at, 3, 0, 1400, PV_ECN_NONE); /* cut short */
        pv_fp_fair_push(w->f, 0, len, &none, 0);
    }
    assert_int_equal(pv_fp_fair_pop(w->f, p, CAP, 0), 60);
    for (size_t len = 0; len < 60; len++)
        assert_int_equal(p[len].len, len);
}

PV_TEST(random_bytes_do_no_harm)
{
    struct pv_fp_packet p[CAP];
    for (unsigned turn = 0; turn < 20000; turn++) {
        struct pv_offload offload;
        uint8_t *at = pv_fp_fair_space(w->f);
        size_t len = test_rng_next(&w->rng) % 200;
        test_rng_fill(&w->rng, at, len);
        if (len > 0 && turn % 2 == 0)
            at[0] = turn % 4 == 0 ? 0x45 : 0x60;
        test_rng_fill(&w->rng, (uint8_t *)&offload.size, sizeof(offload.size));
        offload = (struct pv_offload){.kind = PV_OFFLOAD_NONE, .size = offload.size};
        pv_fp_fair_push(w->f, len < 10 ? 0 : 10, len, &offload, 0);
        if (turn % 50 == 0)
            (void)pv_fp_fair_pop(w->f, p, CAP, turn * PV_MS(1));
    }
}

/* --- in virtual time ----------------------------------------------------------------------- */

/*
 * The TUN's own queue, a bulk sender with a window of bytes on their way, a ping each 10 ms, and a
 * lane that seals and sends at a rate.
 */
struct line {
    pv_ns now, per_kb;    /* time to send 1 KB */
    double window, flows; /* bytes on their way at most, of each flow */
    bool listens, ecn;
    uint16_t tun[8192]; /* flow, 0 = a ping */
    pv_ns since[8192];
    size_t head, tail, in_flight;
    pv_ns next_ping, worst_ping, empty;
    uint64_t lost, marked, sent;
};

enum {
    SUPER = 60000,
    PING = 98
};

static void arrive(struct line *l)
{
    while (l->now >= l->next_ping) {
        l->tun[l->tail % 8192] = 0;
        l->since[l->tail++ % 8192] = l->next_ping;
        l->next_ping += PV_MS(10);
    }
    while ((double)l->in_flight + SUPER <= l->window * l->flows) {
        assert_true(l->tail - l->head < 8192);
        uint16_t flow = (uint16_t)(2 + 2 * (l->tail % (size_t)l->flows));
        l->tun[l->tail++ % 8192] = flow;
        l->in_flight += SUPER;
    }
}

static void read_all(struct line *l)
{
    static const struct pv_offload none = {.kind = PV_OFFLOAD_NONE};
    for (unsigned i = 0; i < 64; i++) {
        uint8_t *p = pv_fp_fair_space(w->f);
        if (p == NULL)
            return;
        if (l->head == l->tail) {
            l->empty = l->now;
            return;
        }
        uint16_t flow = l->tun[l->head % 8192];
        size_t len = flow == 0 ? PING : SUPER;
        make(p, flow, 0, len, l->ecn ? PV_ECN_0 : PV_ECN_NONE);
        if (flow == 0)
            memcpy(p + 32, &l->since[l->head % 8192], sizeof(pv_ns));
        l->head++;
        pv_fp_fair_push(w->f, 0, len, &none, l->empty);
    }
}

static void send_some(struct line *l)
{
    struct pv_fp_packet p[CAP];
    size_t n = pv_fp_fair_pop(w->f, p, CAP, l->now);
    for (size_t i = 0; i < n; i++) {
        l->now += p[i].len * l->per_kb / 1000;
        if (flow_of(&p[i]) == 0) {
            pv_ns since;
            memcpy(&since, p[i].data + 32, sizeof(since));
            pv_ns waited = l->now - since;
            l->worst_ping = l->now > PV_S(2) && waited > l->worst_ping ? waited : l->worst_ping;
            continue;
        }
        bool marked = (p[i].data[1] & 3) == PV_ECN_CE;
        l->lost += p[i].lose_first;
        l->marked += marked;
        l->sent++;
        l->in_flight -= SUPER;
        if (!l->listens)
            continue;
        l->window += 1400.0 * SUPER / 1400 / (l->window * l->flows) * 1400 / l->flows;
        if (marked || p[i].lose_first)
            l->window -= l->window * 0.3 / l->flows;
    }
    if (n == 0)
        l->now += 10000;
}

static void drive(struct line *l)
{
    while (l->now < PV_S(5)) {
        arrive(l);
        read_all(l);
        send_some(l);
    }
}

PV_TEST(a_ping_does_not_stand_behind_a_file)
{
    /* 5.6 Gb/s; 3 MB on their way all the time, which alone would be more than 4 ms */
    struct line l = {.per_kb = 1430, .window = 3e6, .flows = 1};
    drive(&l);
    assert_true(l.sent > 50000);
    assert_true(l.worst_ping > 0);
    assert_true(l.worst_ping <= PV_MS(2));
}

PV_TEST(nor_behind_sixteen)
{
    struct line l = {.per_kb = 1430, .window = 200e3, .flows = 16};
    drive(&l);
    assert_true(l.sent > 50000);
    assert_true(l.worst_ping <= PV_MS(2));
}

PV_TEST(flows_that_listen_do_not_fill_the_tun)
{
    for (unsigned ecn = 0; ecn < 2; ecn++) {
        /* Far more than there are places: what does not fit waits in the TUN, first come first
         * served. */
        struct line l = {
            .per_kb = 1430, .window = 5e6, .flows = 4, .listens = true, .ecn = ecn == 1};
        drive(&l);
        assert_true(l.sent > 50000);
        assert_true(l.worst_ping <= PV_MS(2));
        assert_true(ecn == 1 ? l.lost == 0 && l.marked > 10 : l.lost > 10 && l.marked == 0);
        assert_true(l.lost + l.marked < l.sent / 100);
    }
}

PV_TEST(a_flow_that_is_no_trouble_is_never_told)
{
    struct line l = {.per_kb = 1430, .window = 1e6, .flows = 1}; /* 1.4 ms */
    drive(&l);
    assert_true(l.sent > 50000);
    assert_int_equal(l.lost + l.marked, 0);
}
