/* SPDX-License-Identifier: MIT */
/* The first packets after silence go by the relay as well, and are repeated until they are heard
 * of (adr/0077). */
#include "daemon/core/packets/fp_state.h"
#include "fp_pair.h"
#include "proto/ip/inband.h"
#include "proto/stun/turn.h"

enum {
    CHANNEL = 0x4007,
    LEN = 100,
};

static struct fp_pair pair, *const w = &pair;
static struct pv_fp_live *live; /* of b at a */
static uint8_t wire[4][256];    /* datagrams as they left */

static struct pv_carrier spare(void)
{
    return (struct pv_carrier){.kind = PV_CARRIER_CHANNEL,
                               .channel = CHANNEL,
                               .remote = pv_addr4_u32(0xf0000001u, 9),
                               .relay = pv_addr4_u32(0xc6336401u, 3478)};
}

void test_before_each(void)
{
    fp_pair_connect(w);
    const struct pv_carrier c = spare();
    assert_ok(pv_fp_builder_set_spare(w->a.b, w->b_at_a, &c));
    fp_publish(&w->a);
    live = pv_fp_builder_live(w->a.b, w->b_at_a);
    pv_fp_live_set_alive(live, w->now);
}

static struct pv_fp_results send_one(uint32_t mark)
{
    uint8_t p[LEN];
    fp_packet(p, fp_ip4(1), fp_ip4(2), LEN, mark);
    struct pv_fp_results r = fp_tx_one(&w->a, p, LEN, w->now);
    for (size_t i = 0; i < r.n_sends && i < PV_ARRAY_LEN(wire); i++)
        memcpy(wire[i], r.sends[i].data, r.sends[i].len);
    return r;
}

static void fall_silent(void)
{
    w->now += PV_FP_SURE_FOR;
}

PV_TEST(a_path_that_was_heard_lately_is_sent_by_alone)
{
    w->now += PV_FP_SURE_FOR - 1;
    assert_int_equal(send_one(1).n_sends, 1);
    assert_true(pv_fp_next_timeout(w->a.w) == PV_NEVER);
}

PV_TEST(a_path_that_was_never_heard_is_new_and_not_silent)
{
    atomic_store(&live->alive_at, 0);
    fall_silent();
    assert_int_equal(send_one(1).n_sends, 1);
}

PV_TEST(after_silence_the_same_datagram_goes_by_the_relay_too)
{
    fall_silent();
    struct pv_fp_results r = send_one(1);
    assert_int_equal(r.n_sends, 2);
    assert_int_equal(r.sends[0].to->kind, PV_CARRIER_UDP);
    assert_int_equal(r.sends[1].to->kind, PV_CARRIER_CHANNEL);
    assert_int_equal(r.sends[1].len, r.sends[0].len + PV_TURN_CHANNEL_HEADER);
    assert_int_equal(pv_load_be16(wire[1]), CHANNEL);
    assert_memory_equal(wire[1] + PV_TURN_CHANNEL_HEADER, wire[0], r.sends[0].len);
}

/* The stream to the relay may be full, or gone: the copy is counted where the packet is. */
PV_TEST(a_copy_that_the_stream_to_the_relay_does_not_take_is_counted)
{
    struct pv_carrier c = spare();
    c.kind = PV_CARRIER_STREAM;
    assert_ok(pv_fp_builder_set_spare(w->a.b, w->b_at_a, &c));
    fp_publish(&w->a);
    fall_silent();
    struct pv_fp_results r = send_one(1);
    assert_int_equal(r.n_sends, 2);
    assert_int_equal(r.sends[1].to->kind, PV_CARRIER_STREAM);
    pv_fp_send_lost(w->a.w, &r.sends[1]);
    assert_int_equal(pv_fp_drops(w->a.w, PV_FP_DROP_STREAM), 1);
    assert_int_equal(atomic_load(&live->drops[PV_FP_DROP_STREAM]), 1);
}

PV_TEST(a_datagram_that_comes_twice_is_delivered_once)
{
    fall_silent();
    size_t len = send_one(1).sends[0].len;
    uint8_t *second = wire[1] + PV_TURN_CHANNEL_HEADER;
    assert_int_equal(fp_rx_one(&w->b, fp_carrier(3), second, len, w->now).n_writes, 1);
    assert_int_equal(fp_rx_one(&w->b, fp_carrier(1), wire[0], len, w->now).n_writes, 0);
    assert_int_equal(pv_fp_drops(w->b.w, PV_FP_DROP_REPLAY), 1);
}

PV_TEST(it_is_repeated_as_it_was_until_the_path_is_heard)
{
    fall_silent();
    size_t len = send_one(1).sends[0].len;
    unsigned times = 0, before_tcp = 0;
    pv_ns began = w->now;
    while (pv_fp_next_timeout(w->a.w) != PV_NEVER) {
        w->now = pv_fp_next_timeout(w->a.w);
        assert_false(pv_fp_flush(w->a.w, w->a.snap, w->now));
        struct pv_fp_results r = pv_fp_results(w->a.w);
        assert_int_equal(r.n_sends, 2);
        assert_memory_equal(r.sends[0].data, wire[0], len);
        times++;
        before_tcp += w->now - began < PV_MS(240) ? 1 : 0; /* over a path of 40 ms */
    }
    assert_int_equal(times, 8);
    assert_int_equal(before_tcp, 3);
    assert_true(w->now - began == PV_MS(1200));
}

PV_TEST(a_path_whose_check_is_answered_gets_it_once_more)
{
    fall_silent();
    send_one(1);
    pv_fp_live_set_alive(live, ++w->now);
    assert_false(pv_fp_flush(w->a.w, w->a.snap, w->now));
    assert_int_equal(pv_fp_results(w->a.w).n_sends, 1);
    assert_true(pv_fp_next_timeout(w->a.w) == PV_NEVER);
}

PV_TEST(repetitions_go_by_the_path_of_then)
{
    fall_silent();
    send_one(1);
    fp_set_path(&w->a, w->b_at_a, 9, 0);
    fp_publish(&w->a);
    w->now = pv_fp_next_timeout(w->a.w);
    assert_false(pv_fp_flush(w->a.w, w->a.snap, w->now));
    const struct pv_carrier there = fp_carrier(9);
    assert_true(pv_carrier_same(pv_fp_results(w->a.w).sends[0].to, &there));
}

PV_TEST(an_answer_over_the_path_ends_it_at_once)
{
    fall_silent();
    send_one(1);
    uint8_t p[LEN], answer[256];
    fp_packet(p, fp_ip4(2), fp_ip4(1), LEN, 1);
    struct pv_fp_results r = fp_tx_one(&w->b, p, LEN, ++w->now);
    memcpy(answer, r.sends[0].data, r.sends[0].len);
    assert_int_equal(fp_rx_one(&w->a, fp_carrier(2), answer, r.sends[0].len, w->now).n_writes, 1);
    assert_int_equal(send_one(2).n_sends, 1);
    assert_false(pv_fp_flush(w->a.w, w->a.snap, w->now));
    assert_int_equal(pv_fp_results(w->a.w).n_sends, 0);
    assert_true(pv_fp_next_timeout(w->a.w) == PV_NEVER);
}

/* A peer that is heard later may have let us in only after the datagram and its repetition. */
PV_TEST(one_that_was_repeated_goes_once_more_when_the_path_is_heard)
{
    fall_silent();
    send_one(1);
    w->now = pv_fp_next_timeout(w->a.w);
    assert_false(pv_fp_flush(w->a.w, w->a.snap, w->now));
    assert_int_equal(pv_fp_results(w->a.w).n_sends, 2);
    uint8_t p[LEN], data[256];
    fp_packet(p, fp_ip4(2), fp_ip4(1), LEN, 1);
    struct pv_fp_results r = fp_tx_one(&w->b, p, LEN, w->now);
    memcpy(data, r.sends[0].data, r.sends[0].len);
    assert_int_equal(fp_rx_one(&w->a, fp_carrier(2), data, r.sends[0].len, w->now).n_writes, 1);
    assert_false(pv_fp_flush(w->a.w, w->a.snap, w->now));
    assert_int_equal(pv_fp_results(w->a.w).n_sends, 1);
    assert_true(pv_fp_next_timeout(w->a.w) == PV_NEVER);
}

/* A check was answered so long ago, and no data was sent for a while. */
static void rest_since(pv_ns answer)
{
    send_one(100);
    w->now += PV_FP_SURE_FOR;
    pv_fp_live_set_alive(live, w->now - answer);
}

static void rest(void)
{
    rest_since(PV_MS(900));
}

/* A NAT that ends bindings at some age may have ended one since the answer. */
PV_TEST(after_a_rest_it_goes_both_ways_unless_a_check_was_just_answered)
{
    rest_since(PV_S(1));
    struct pv_fp_results r = send_one(1);
    assert_int_equal(r.n_sends, 2);
    assert_int_equal(r.sends[1].to->kind, PV_CARRIER_CHANNEL);
    assert_int_equal(send_one(2).n_sends, 2);
    pv_fp_live_set_alive(live, ++w->now);
    assert_int_equal(send_one(3).n_sends, 1);
}

PV_TEST(after_a_rest_it_goes_again_only_by_a_path_that_takes_over)
{
    rest();
    size_t len = send_one(1).sends[0].len;
    w->now = pv_fp_next_timeout(w->a.w);
    assert_false(pv_fp_flush(w->a.w, w->a.snap, w->now));
    assert_int_equal(pv_fp_results(w->a.w).n_sends, 0);
    for (uint8_t host = 8; host < 10; host++) {
        const struct pv_carrier there = fp_carrier(host);
        fp_set_path(&w->a, w->b_at_a, host, 0);
        fp_publish(&w->a);
        w->now += PV_MS(1);
        assert_false(pv_fp_flush(w->a.w, w->a.snap, w->now));
        struct pv_fp_results r = pv_fp_results(w->a.w);
        assert_int_equal(r.n_sends, 2);
        assert_true(pv_carrier_same(r.sends[0].to, &there));
        assert_memory_equal(r.sends[0].data, wire[0], len);
        assert_int_equal(r.sends[1].to->kind, PV_CARRIER_CHANNEL);
    }
    unsigned times = 0;
    for (; pv_fp_next_timeout(w->a.w) != PV_NEVER; times++) {
        w->now = pv_fp_next_timeout(w->a.w);
        assert_false(pv_fp_flush(w->a.w, w->a.snap, w->now));
        assert_int_equal(pv_fp_results(w->a.w).n_sends, 0);
    }
    assert_int_equal(times, 7);
}

/* The talk leaves the relay, which has the datagram already. */
PV_TEST(after_a_rest_on_the_relay_it_goes_once_more_by_the_direct_path)
{
    const struct pv_carrier relay = spare(), none = {.kind = PV_CARRIER_NONE};
    assert_ok(pv_fp_builder_set_path(w->a.b, w->b_at_a, &relay, 0));
    assert_ok(pv_fp_builder_set_spare(w->a.b, w->b_at_a, &none));
    fp_publish(&w->a);
    rest();
    assert_int_equal(send_one(1).n_sends, 1);
    fp_set_path(&w->a, w->b_at_a, 2, 0);
    assert_ok(pv_fp_builder_set_spare(w->a.b, w->b_at_a, &relay));
    fp_publish(&w->a);
    assert_false(pv_fp_flush(w->a.w, w->a.snap, ++w->now));
    struct pv_fp_results r = pv_fp_results(w->a.w);
    assert_int_equal(r.n_sends, 1);
    assert_int_equal(r.sends[0].to->kind, PV_CARRIER_UDP);
    assert_false(pv_fp_flush(w->a.w, w->a.snap, ++w->now));
    assert_int_equal(pv_fp_results(w->a.w).n_sends, 0);
}

PV_TEST(after_a_rest_it_goes_by_the_relay_as_well_when_the_check_is_late)
{
    rest();
    size_t len = send_one(1).sends[0].len;
    pv_fp_live_doubt(live);
    assert_true(pv_fp_live_is_silent(live, w->now));
    w->now = pv_fp_next_timeout(w->a.w);
    assert_false(pv_fp_flush(w->a.w, w->a.snap, w->now));
    struct pv_fp_results r = pv_fp_results(w->a.w);
    assert_int_equal(r.n_sends, 2);
    assert_memory_equal(r.sends[0].data, wire[0], len);
    assert_int_equal(r.sends[1].to->kind, PV_CARRIER_CHANNEL);
    pv_fp_live_set_alive(live, w->now);
    assert_false(pv_fp_live_is_silent(live, w->now));
}

PV_TEST(one_that_was_heard_of_after_a_rest_is_forgotten)
{
    rest();
    assert_int_equal(send_one(1).n_sends, 1);
    assert_true(pv_fp_next_timeout(w->a.w) != PV_NEVER);
    atomic_store(&live->last_rx_selected, ++w->now);
    assert_false(pv_fp_flush(w->a.w, w->a.snap, w->now));
    assert_true(pv_fp_next_timeout(w->a.w) == PV_NEVER);
    send_one(2); /* in use */
    assert_true(pv_fp_next_timeout(w->a.w) == PV_NEVER);
}

/* The packet that came by the path in the same instant is the one answered, not the answer. */
PV_TEST(an_answer_after_a_rest_is_kept_as_a_first_packet_is)
{
    rest();
    atomic_store(&live->last_rx_selected, w->now);
    assert_int_equal(send_one(1).n_sends, 1);
    assert_true(pv_fp_next_timeout(w->a.w) != PV_NEVER);
    fp_set_path(&w->a, w->b_at_a, 9, 0);
    fp_publish(&w->a);
    assert_false(pv_fp_flush(w->a.w, w->a.snap, ++w->now));
    assert_int_equal(pv_fp_results(w->a.w).n_sends, 2);
}

PV_TEST(a_burst_after_a_rest_is_kept_whole)
{
    rest();
    for (uint32_t i = 0; i < 12; i++)
        assert_int_equal(send_one(i).n_sends, 1);
    fp_set_path(&w->a, w->b_at_a, 9, 0);
    fp_publish(&w->a);
    assert_false(pv_fp_flush(w->a.w, w->a.snap, ++w->now));
    assert_int_equal(pv_fp_results(w->a.w).n_sends, 20);
}

PV_TEST(a_stream_that_begins_is_doubled_within_a_limit)
{
    unsigned twice = 0;
    uint8_t p[1400];
    fall_silent();
    for (uint32_t i = 0; i < 1000; i++) {
        fp_packet(p, fp_ip4(1), fp_ip4(2), sizeof(p), i);
        twice += fp_tx_one(&w->a, p, sizeof(p), w->now).n_sends == 2 ? 1 : 0;
    }
    assert_in_range(twice, 50, 100); /* 128 KiB */
}

PV_TEST(control_and_probes_are_not_doubled_unless_somebody_asked)
{
    static const uint8_t inner[] = {PV_INBAND_FIRST, 1, 2, 3};
    const struct pv_view in = pv_view(inner, sizeof(inner));
    fall_silent();
    assert_ok(pv_fp_inject(w->a.w, w->a.snap, w->b_at_a, in, w->now));
    assert_int_equal(pv_fp_results(w->a.w).n_sends, 1);
    atomic_store(&live->last_asked, w->now);
    assert_ok(pv_fp_inject(w->a.w, w->a.snap, w->b_at_a, in, w->now));
    assert_int_equal(pv_fp_results(w->a.w).n_sends, 2);
    assert_ok(pv_fp_inject(w->a.w, w->a.snap, w->b_at_a, pv_view(NULL, 0), w->now));
    assert_int_equal(pv_fp_results(w->a.w).n_sends, 1);
}
