/* SPDX-License-Identifier: MIT */
#include "daemon/core/packets/fastpath.h"
#include "daemon/core/packets/fp_state.h"
#include "daemon/core/packets/fp_worker.h"
#include "fp_util.h"
#include "proto/ip/inband.h"
#include "proto/ip/ippkt.h"
#include "proto/ip/parts.h"
#include "tests/unit/test_util.h"

/* Node 10.66.0.1 with the member 10.66.0.2, which has no path and no keys yet. */
struct world {
    struct fp_node a, b;
    uint32_t id; /* the member at a */
    pv_ns now;
};

static struct world *w; /* of the test that runs */

void test_before_each(void)
{
    w = test_alloc(sizeof(*w));
    w->now = PV_S(1000);
    fp_node_init(&w->a, 1);
    fp_node_init(&w->b, 2);
    w->id = fp_add_member(&w->a, 2);
    fp_publish(&w->a);
}

void test_after_each(void)
{
    fp_node_done(&w->a);
    fp_node_done(&w->b);
    free(w);
}

static struct pv_fp_results tx(const uint8_t *data, size_t len)
{
    return fp_tx_one(&w->a, data, len, w->now);
}

static struct pv_fp_results tx_to(struct pv_addr dst, size_t len, uint32_t mark)
{
    static uint8_t p[9001];
    return tx(p, fp_packet(p, dst.family == PV_AF_INET ? fp_ip4(1) : fp_ip6(1), dst, len, mark));
}

static void give_path(uint16_t mtu)
{
    fp_set_path(&w->a, w->id, 2, mtu);
    fp_publish(&w->a);
}

static void give_keys(pv_ns birth)
{
    uint32_t at_b = fp_add_member(&w->b, 1);
    fp_add_keys(&w->a, w->id, &w->b, at_b, birth, NULL);
    fp_publish(&w->a);
    fp_publish(&w->b);
}

/* The packets that the receiver gets of the sends just made: their marks, in order. */
static size_t receive_marks(const struct pv_fp_results *r, uint32_t *marks)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_sends; i++) {
        uint8_t *copy = malloc(r->sends[i].len);
        assert_non_null(copy);
        memcpy(copy, r->sends[i].data, r->sends[i].len);
        struct pv_fp_results got = fp_rx_one(&w->b, fp_carrier(1), copy, r->sends[i].len, w->now);
        for (size_t k = 0; k < got.n_writes; k++)
            marks[n++] = pv_load_be32(got.writes[k].data + got.writes[k].len - 4);
        free(copy);
    }
    return n;
}

static struct pv_fp_live *live(void)
{
    return pv_fp_builder_live(w->a.b, w->id);
}

/* As control does when it hears of the first packet. */
static void use_peer(void)
{
    assert_ok(pv_fp_builder_use_peer(w->a.b, w->id));
    fp_publish(&w->a);
}

/* --- waiting --------------------------------------------------------------------------------- */

PV_TEST(packets_wait_for_a_path_then_keys_and_leave_in_order)
{
    uint32_t marks[16];

    struct pv_fp_results r = tx_to(fp_ip4(2), 100, 0);
    assert_int_equal(r.n_sends, 0);
    assert_int_equal(r.n_punts, 1);
    assert_int_equal(r.punts[0].kind, PV_FP_PUNT_NEED_PATH);
    assert_int_equal(r.punts[0].peer, w->id);
    assert_int_equal(tx_to(fp_ip4(2), 100, 1).n_punts, 1); /* control has not heard of it yet */
    use_peer();
    assert_int_equal(tx_to(fp_ip4(2), 100, 2).n_punts, 1);
    assert_int_equal(tx_to(fp_ip6(2), 100, 3).n_punts, 0); /* once */
    pv_fp_live_rearm_path(live());
    assert_int_equal(tx_to(fp_ip4(2), 100, 4).n_punts, 1);
    assert_int_equal(pv_fp_queue_len(w->a.w->queue), 5);

    give_path(0);
    assert_false(pv_fp_flush(w->a.w, w->a.snap, w->now));
    r = pv_fp_results(w->a.w);
    assert_int_equal(r.n_punts, 1);
    assert_int_equal(r.punts[0].kind, PV_FP_PUNT_NEED_KEYS);
    assert_int_equal(tx_to(fp_ip4(2), 100, 5).n_punts, 0);

    give_keys(w->now);
    assert_false(pv_fp_flush(w->a.w, w->a.snap, w->now));
    r = pv_fp_results(w->a.w);
    assert_int_equal(r.n_sends, 6);
    assert_int_equal(receive_marks(&r, marks), 6);
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(marks[i], i);
    assert_int_equal(pv_fp_queue_len(w->a.w->queue), 0);
    assert_true(pv_fp_next_timeout(w->a.w) == PV_NEVER);
}

PV_TEST(a_packet_that_waits_goes_before_newer_packets_without_a_flush_too)
{
    uint32_t marks[80];

    for (uint32_t i = 0; i < PV_FP_QUEUE_PACKETS; i++)
        tx_to(fp_ip4(2), 100, i);
    fp_set_path(&w->a, w->id, 2, 0);
    give_keys(w->now);
    struct pv_fp_results r = tx_to(fp_ip4(2), 100, PV_FP_QUEUE_PACKETS);
    assert_int_equal(receive_marks(&r, marks), PV_FP_QUEUE_PACKETS + 1);
    for (uint32_t i = 0; i <= PV_FP_QUEUE_PACKETS; i++)
        assert_int_equal(marks[i], i);
}

PV_TEST(the_oldest_gives_way_when_the_queue_is_full)
{
    uint32_t marks[80];

    use_peer();
    for (uint32_t i = 0; i < PV_FP_QUEUE_PACKETS + 5; i++)
        tx_to(fp_ip4(2), 100, i);
    assert_int_equal(pv_fp_queue_len(w->a.w->queue), PV_FP_QUEUE_PACKETS);
    assert_int_equal(pv_fp_drops(w->a.w, PV_FP_DROP_QUEUE_FULL), 5);
    assert_int_equal(atomic_load(&live()->drops[PV_FP_DROP_QUEUE_FULL]), 5);
    fp_set_path(&w->a, w->id, 2, 0);
    give_keys(w->now);
    assert_false(pv_fp_flush(w->a.w, w->a.snap, w->now));
    struct pv_fp_results r = pv_fp_results(w->a.w);
    assert_int_equal(receive_marks(&r, marks), PV_FP_QUEUE_PACKETS);
    assert_int_equal(marks[0], 5);
    assert_int_equal(marks[63], 68);
}

PV_TEST(the_queues_of_all_peers_share_one_limit)
{
    enum {
        PEERS = 40
    };

    for (uint32_t i = 0; i < PEERS; i++)
        fp_add_member(&w->a, 100 + i);
    fp_publish(&w->a);
    for (uint32_t k = 0; k < PV_FP_QUEUE_PACKETS; k++) {
        for (uint32_t i = 0; i < PEERS; i++)
            tx_to(fp_ip4(100 + i), 1400, k);
    }
    assert_int_equal(pv_fp_queue_len(w->a.w->queue), PV_FP_QUEUE_TOTAL / 2048);
    assert_int_equal(pv_fp_drops(w->a.w, PV_FP_DROP_QUEUE_FULL),
                     PEERS * PV_FP_QUEUE_PACKETS - PV_FP_QUEUE_TOTAL / 2048);
}

PV_TEST(packets_wait_for_30_seconds_at_most)
{

    tx_to(fp_ip4(2), 100, 0);
    pv_ns first = w->now;
    w->now += PV_S(1);
    tx_to(fp_ip4(2), 100, 1);
    assert_true(pv_fp_next_timeout(w->a.w) == first + PV_FP_QUEUE_TIME);
    assert_false(pv_fp_flush(w->a.w, w->a.snap, first + PV_FP_QUEUE_TIME - 1));
    assert_int_equal(pv_fp_queue_len(w->a.w->queue), 2);
    assert_false(pv_fp_flush(w->a.w, w->a.snap, first + PV_FP_QUEUE_TIME));
    assert_int_equal(pv_fp_queue_len(w->a.w->queue), 1);
    w->now = first + PV_FP_QUEUE_TIME + PV_S(1); /* any call does it */
    assert_int_equal(pv_fp_tx(w->a.w, w->a.snap, NULL, 0, w->now), 0);
    assert_int_equal(pv_fp_queue_len(w->a.w->queue), 0);
    assert_int_equal(pv_fp_drops(w->a.w, PV_FP_DROP_QUEUE_OLD), 2);
}

PV_TEST(a_packet_for_a_peer_that_went_is_answered)
{
    struct pv_ippkt ip;

    tx_to(fp_ip4(2), 100, 0);
    assert_ok(pv_fp_builder_set_offline(w->a.b, w->id, true));
    fp_publish(&w->a);
    assert_false(pv_fp_flush(w->a.w, w->a.snap, w->now));
    struct pv_fp_results r = pv_fp_results(w->a.w);
    assert_int_equal(r.n_writes, 1);
    assert_ok(pv_ippkt_parse(pv_view(r.writes[0].data, r.writes[0].len), &ip));
    assert_memory_equal(ip.l4.ptr, "\x03\x01", 2);
    assert_int_equal(pv_fp_drops(w->a.w, PV_FP_DROP_OFFLINE), 1);

    assert_ok(pv_fp_builder_set_offline(w->a.b, w->id, false));
    fp_publish(&w->a);
    tx_to(fp_ip4(2), 100, 0);
    assert_ok(pv_fp_builder_remove_peer(w->a.b, w->id));
    fp_publish(&w->a);
    assert_false(pv_fp_flush(w->a.w, w->a.snap, w->now));
    assert_int_equal(pv_fp_queue_len(w->a.w->queue), 0);
    assert_int_equal(pv_fp_results(w->a.w).n_writes, 1);
    assert_int_equal(pv_fp_drops(w->a.w, PV_FP_DROP_NO_PEER), 1);
}

PV_TEST(a_long_flush_comes_in_pieces_and_loses_nothing)
{
    enum {
        PEERS = 30
    };
    size_t sent = 0, calls = 0;

    for (uint32_t i = 0; i < PEERS; i++) {
        uint32_t id = fp_add_member(&w->a, 100 + i), at_b;
        fp_set_path(&w->a, id, 100 + i, 0);
        assert_ok(pv_fp_builder_add_peer(w->b.b, PV_FP_MEMBER, &at_b));
        fp_publish(&w->a);
        for (uint32_t k = 0; k < PV_FP_QUEUE_PACKETS; k++)
            tx_to(fp_ip4(100 + i), 1400, k);
        fp_add_keys(&w->a, id, &w->b, at_b, w->now, NULL);
    }
    fp_publish(&w->a);
    for (bool more = true; more; calls++) {
        more = pv_fp_flush(w->a.w, w->a.snap, w->now);
        sent += pv_fp_results(w->a.w).n_sends;
    }
    assert_int_equal(sent, PEERS * PV_FP_QUEUE_PACKETS);
    assert_true(calls > 1);
}

/* --- keys ------------------------------------------------------------------------------------ */

PV_TEST(keys_expire_for_sending_exactly_at_their_time)
{
    pv_ns birth = w->now;

    give_path(0);
    give_keys(birth);
    w->now = birth + PV_FP_SEND_TIME - 1;
    assert_int_equal(tx_to(fp_ip4(2), 100, 0).n_sends, 1);
    w->now = birth + PV_FP_SEND_TIME;
    struct pv_fp_results r = tx_to(fp_ip4(2), 100, 1);
    assert_int_equal(r.n_sends, 0);
    assert_int_equal(r.n_punts, 1);
    assert_int_equal(r.punts[0].kind, PV_FP_PUNT_NEED_KEYS);
    assert_int_equal(pv_fp_queue_len(w->a.w->queue), 1);
    assert_int_equal(tx_to(fp_ip4(2), 100, 1).n_punts, 0);
    pv_fp_live_rearm_keys(live());
    assert_int_equal(tx_to(fp_ip4(2), 100, 1).n_punts, 1);
}

PV_TEST(a_used_up_counter_stops_sending)
{

    give_path(0);
    give_keys(w->now);
    struct pv_fp_keys *keys = pv_fp_snapshot_peer(w->a.snap, w->id)->send;
    atomic_store(&keys->next_counter, PV_FP_REJECT_COUNT - 1);
    struct pv_fp_results r = tx_to(fp_ip4(2), 100, 0);
    assert_int_equal(r.n_sends, 1);
    assert_true(pv_load_le64(r.sends[0].data + 8) == PV_FP_REJECT_COUNT - 1);
    r = tx_to(fp_ip4(2), 100, 0);
    assert_int_equal(r.n_sends, 0);
    assert_int_equal(r.punts[0].kind, PV_FP_PUNT_NEED_KEYS);
    assert_int_equal(pv_fp_inject(w->a.w, w->a.snap, w->id, pv_view(NULL, 0), w->now),
                     PV_ERR_STATE);
}

/* --- nobody there ---------------------------------------------------------------------------- */

PV_TEST(an_address_without_member_is_unreachable)
{
    struct pv_ippkt ip;

    struct pv_fp_results r = tx_to(fp_ip4(99), 100, 0);
    assert_int_equal(r.n_sends + r.n_punts, 0);
    assert_int_equal(r.n_writes, 1);
    assert_ok(pv_ippkt_parse(pv_view(r.writes[0].data, r.writes[0].len), &ip));
    struct pv_addr dst = pv_ippkt_dst(&ip), self = fp_ip4(1);
    assert_true(pv_addr_equal(&dst, &self));
    r = tx_to(fp_ip6(99), 100, 0);
    assert_int_equal(r.n_writes, 1);
    assert_memory_equal(r.writes[0].data + 40, "\x01\x03", 2);
    assert_int_equal(pv_fp_drops(w->a.w, PV_FP_DROP_NO_PEER), 2);
    assert_int_equal(tx_to(fp_ip4(1), 100, 0).n_writes, 1); /* nor does it send to itself */

    struct pv_fp_packet none = {.data = NULL, .len = 0};
    assert_int_equal(pv_fp_tx(w->a.w, NULL, &none, 1, w->now), 1);
    assert_int_equal(pv_fp_drops(w->a.w, PV_FP_DROP_INNER), 1);
}

PV_TEST(a_member_known_to_be_offline_is_unreachable_unless_it_has_a_path)
{

    assert_ok(pv_fp_builder_set_offline(w->a.b, w->id, true));
    fp_publish(&w->a);
    struct pv_fp_results r = tx_to(fp_ip4(2), 100, 0);
    assert_int_equal(r.n_writes, 1);
    assert_int_equal(r.n_punts, 0);
    assert_int_equal(pv_fp_queue_len(w->a.w->queue), 0);
    assert_int_equal(pv_fp_drops(w->a.w, PV_FP_DROP_OFFLINE), 1);
    give_path(0);
    give_keys(w->now);
    assert_int_equal(tx_to(fp_ip4(2), 100, 0).n_sends, 1);
}

PV_TEST(icmp_answers_have_a_rate)
{
    size_t answers = 0;

    for (int i = 0; i < 3 * PV_FP_ICMP_RATE; i++)
        answers += tx_to(fp_ip4(99), 100, 0).n_writes;
    assert_int_equal(answers, PV_FP_ICMP_RATE);
    w->now += PV_S(1) / PV_FP_ICMP_RATE;
    assert_int_equal(tx_to(fp_ip4(99), 100, 0).n_writes, 1);
    assert_int_equal(tx_to(fp_ip4(99), 100, 0).n_writes, 0);
}

/* --- MTU ------------------------------------------------------------------------------------- */

PV_TEST(the_paths_mtu_bounds_packets_and_padding)
{
    struct pv_ippkt ip;

    give_path(1400); /* leaves 1368 inside, not a multiple of 16 */
    give_keys(w->now);
    struct pv_fp_results r = tx_to(fp_ip4(2), 1368, 0);
    assert_int_equal(r.n_sends, 1);
    assert_int_equal(r.sends[0].len, 1400);
    assert_int_equal(tx_to(fp_ip4(2), 1367, 0).sends[0].len, 1400);
    assert_int_equal(tx_to(fp_ip4(2), 1360, 0).sends[0].len, 1392);
    r = tx_to(fp_ip4(2), 1369, 0);
    assert_int_equal(r.n_sends, 0);
    assert_int_equal(r.n_writes, 1);
    assert_ok(pv_ippkt_parse(pv_view(r.writes[0].data, r.writes[0].len), &ip));
    assert_memory_equal(ip.l4.ptr, "\x03\x04", 2);
    assert_int_equal(pv_load_be16(ip.l4.ptr + 6), 1368);
    r = tx_to(fp_ip6(2), 1369, 0);
    assert_memory_equal(r.writes[0].data + 40, "\x02\x00", 2);
    assert_int_equal(pv_load_be32(r.writes[0].data + 44), 1368);
    assert_int_equal(pv_fp_drops(w->a.w, PV_FP_DROP_TOO_BIG), 2);

    give_path(20); /* nonsense: nothing fits */
    assert_int_equal(tx_to(fp_ip4(2), 60, 0).n_sends, 0);
    give_path(0);
    assert_int_equal(tx_to(fp_ip4(2), 1420, 0).sends[0].len, 1452);
    assert_int_equal(tx_to(fp_ip4(2), 9000, 0).sends[0].len, 9032);
    static uint8_t big[9001];
    fp_packet(big, fp_ip4(1), fp_ip4(2), 9001, 0);
    assert_int_equal(tx(big, 9001).n_sends, 0);
    assert_int_equal(pv_fp_drops(w->a.w, PV_FP_DROP_INNER), 1);
}

PV_TEST(a_packet_that_waited_and_does_not_fit_the_path_is_answered)
{

    tx_to(fp_ip4(2), 1400, 0);
    tx_to(fp_ip4(2), 100, 1);
    fp_set_path(&w->a, w->id, 2, 1300);
    give_keys(w->now);
    assert_false(pv_fp_flush(w->a.w, w->a.snap, w->now));
    struct pv_fp_results r = pv_fp_results(w->a.w);
    assert_int_equal(r.n_sends, 1);
    assert_int_equal(r.n_writes, 1);
    assert_memory_equal(r.writes[0].data + 20, "\x03\x04", 2);
    assert_int_equal(pv_load_be16(r.writes[0].data + 26), PV_PARTS_WHOLE);
    assert_int_equal(pv_fp_drops(w->a.w, PV_FP_DROP_TOO_BIG), 1);
}

/* --- control --------------------------------------------------------------------------------- */

PV_TEST(control_injects_keepalives_and_inband_packets)
{
    struct pv_fp_results r;

    assert_int_equal(pv_fp_inject(w->a.w, NULL, w->id, pv_view("", 0), w->now), PV_ERR_NOT_FOUND);
    assert_int_equal(pv_fp_inject(w->a.w, w->a.snap, w->id + 1, pv_view("", 0), w->now),
                     PV_ERR_NOT_FOUND);
    assert_int_equal(pv_fp_inject(w->a.w, w->a.snap, w->id, pv_view("", 0), w->now), PV_ERR_STATE);
    give_path(0);
    assert_int_equal(pv_fp_inject(w->a.w, w->a.snap, w->id, pv_view("", 0), w->now), PV_ERR_STATE);
    give_keys(w->now);
    assert_ok(pv_fp_inject(w->a.w, w->a.snap, w->id, pv_view("", 0), w->now));
    r = pv_fp_results(w->a.w);
    assert_int_equal(r.n_sends, 1);
    assert_int_equal(r.sends[0].len, 32);
    assert_int_equal(r.n_punts, 0);
    assert_true(atomic_load(&live()->last_tx_any) == w->now);
    assert_true(atomic_load(&live()->last_tx_data) == 0);
    static uint8_t body[PV_FP_INNER_MAX + 1] = {0xc1};
    assert_ok(pv_fp_inject(w->a.w, w->a.snap, w->id, pv_view(body, 1210), w->now));
    assert_int_equal(pv_fp_results(w->a.w).sends[0].len, 1216 + 32);
    assert_int_equal(
        pv_fp_inject(w->a.w, w->a.snap, w->id, pv_view(body, PV_FP_INNER_MAX + 1), w->now),
        PV_ERR_NO_SPACE);
    assert_true(atomic_load(&live()->last_tx_data) == 0);
}

/* Padded, one for a link of 576 bytes would not fit it, and no other size is smaller. */
PV_TEST(a_probe_is_as_long_as_the_datagram_it_asks_about)
{
    static uint8_t probe[PV_INBAND_PROBE_MAX];
    give_path(0);
    give_keys(w->now);
    for (size_t len = 500; len < 533; len++) {
        assert_ok(pv_inband_probe_build(7, len, probe));
        assert_ok(pv_fp_inject(w->a.w, w->a.snap, w->id, pv_view(probe, len), w->now));
        assert_int_equal(pv_fp_results(w->a.w).sends[0].len, len + 32);
    }
}

PV_TEST(every_drop_has_a_name)
{
    for (int i = 0; i < PV_FP_DROP_REASONS; i++) {
        assert_non_null(pv_fp_drop_name((enum pv_fp_drop)i));
        for (int k = 0; k < i; k++)
            assert_string_not_equal(pv_fp_drop_name((enum pv_fp_drop)i),
                                    pv_fp_drop_name((enum pv_fp_drop)k));
    }
    assert_string_equal(pv_fp_drop_name(PV_FP_DROP_REASONS), "?");
}

PV_TEST(the_kernels_packets_of_a_probe_go_to_control_and_to_nobody_else)
{
    struct pv_ipprobe probe = {.here = fp_ip4(1), .there = fp_ip4(2), .proto = PV_IP_PROTO_UDP};
    const struct pv_ipprobe from_here = {
        .here = fp_ip4(2), .there = fp_ip4(1), .proto = PV_IP_PROTO_UDP};
    uint8_t packet[PV_IPPROBE_MAX];
    size_t len = pv_ipprobe_write(&from_here, PV_IPPROBE_BEGIN, 0, packet);
    give_keys(w->now);
    give_path(0);
    pv_fp_builder_set_probe(w->a.b, &probe);
    fp_publish(&w->a);
    struct pv_fp_results r = tx(packet, len);
    assert_int_equal(r.n_sends, 0);
    assert_int_equal(r.n_punts, 1);
    assert_int_equal(r.punts[0].kind, PV_FP_PUNT_PROBE);
    assert_int_equal(r.punts[0].bytes.len, len);
    /* Other packets to that member, and those after the probe, are sent. */
    assert_int_equal(tx_to(fp_ip4(2), 100, 1).n_sends, 1);
    pv_fp_builder_set_probe(w->a.b, NULL);
    fp_publish(&w->a);
    assert_int_equal(tx(packet, len).n_sends, 1);
}
