/* SPDX-License-Identifier: MIT */
/* Peers to which inner packets go under hybrid keys only: others wait, and are dropped when they
 * come; in-band control passes under any keys. */
#include "base/bytes.h"
#include "fp_pair.h"
#include "proto/ip/inband.h"
#include "proto/ip/ippkt.h"
#include "proto/rules/ports.h"

/* Keys that both send with from now on. */
static void add_keys(struct fp_pair *p, bool hybrid)
{
    struct pv_fp_key_init ia = {.birth = p->now, .hybrid = hybrid};
    struct pv_fp_key_init ib = {.birth = p->now, .hybrid = hybrid};
    pv_rng_fill(&p->a.rng, ia.send_key, 32);
    pv_rng_fill(&p->a.rng, ia.recv_key, 32);
    memcpy(ib.recv_key, ia.send_key, 32);
    memcpy(ib.send_key, ia.recv_key, 32);
    ia.local_index = ib.remote_index = pv_fp_builder_draw_index(p->a.b, &p->a.rng, 0);
    ib.local_index = ia.remote_index = pv_fp_builder_draw_index(p->b.b, &p->b.rng, 0);
    assert_ok(pv_fp_builder_add_keys(p->a.b, p->b_at_a, &ia));
    assert_ok(pv_fp_builder_add_keys(p->b.b, p->a_at_b, &ib));
    assert_ok(pv_fp_builder_send_with(p->a.b, p->b_at_a, ia.local_index));
    assert_ok(pv_fp_builder_send_with(p->b.b, p->a_at_b, ib.local_index));
    fp_pair_publish(p);
}

static struct fp_pair *make_pair(uint16_t mtu)
{
    static struct fp_pair pair, *const p = &pair;
    fp_pair_meet(p);
    fp_set_path(&p->a, p->b_at_a, 2, mtu);
    fp_set_path(&p->b, p->a_at_b, 1, 0);
    add_keys(p, false);
    return p;
}

static void set_strict(struct fp_node *n, uint32_t peer, enum pv_fp_strict strict)
{
    assert_ok(pv_fp_builder_set_strict(n->b, peer, strict));
    fp_publish(n);
}

static size_t send(struct fp_pair *p, size_t len, uint8_t *copy, size_t *ret_len)
{
    uint8_t packet[1500];
    fp_packet(packet, fp_ip4(1), fp_ip4(2), len, 7);
    struct pv_fp_results r = fp_tx_one(&p->a, packet, len, p->now);
    if (r.n_sends > 0) {
        memcpy(copy, r.sends[0].data, r.sends[0].len);
        *ret_len = r.sends[0].len;
    }
    return r.n_sends;
}

static struct pv_fp_results arrive(struct fp_pair *p, uint8_t *data, size_t len)
{
    return fp_rx_one(&p->b, fp_carrier(1), data, len, p->now);
}

PV_TEST(packets_wait_for_hybrid_keys_in_order)
{
    struct fp_pair *p = make_pair(0);
    uint8_t data[2000];
    size_t len;
    assert_int_equal(send(p, 100, data, &len), 1); /* nobody is strict */
    set_strict(&p->a, p->b_at_a, PV_FP_STRICT_ALL);
    for (int i = 0; i < 3; i++)
        assert_int_equal(send(p, 100, data, &len), 0);
    add_keys(p, true);
    assert_false(pv_fp_flush(p->a.w, p->a.snap, p->now));
    assert_int_equal(pv_fp_results(p->a.w).n_sends, 3);
    assert_int_equal(send(p, 100, data, &len), 1);
}

/* They ask for no keys either: what is missing is not a handshake. */
PV_TEST(a_peer_that_waits_asks_for_nothing)
{
    struct fp_pair *p = make_pair(0);
    uint8_t packet[100];
    set_strict(&p->a, p->b_at_a, PV_FP_STRICT_ALL);
    fp_packet(packet, fp_ip4(1), fp_ip4(2), sizeof(packet), 7);
    struct pv_fp_results r = fp_tx_one(&p->a, packet, sizeof(packet), p->now);
    for (size_t i = 0; i < r.n_punts; i++)
        assert_int_not_equal(r.punts[i].kind, PV_FP_PUNT_NEED_KEYS);
    set_strict(&p->a, p->b_at_a, PV_FP_STRICT_NONE);
    assert_false(pv_fp_flush(p->a.w, p->a.snap, p->now));
    assert_int_equal(pv_fp_results(p->a.w).n_sends, 1);
}

PV_TEST(packets_that_come_under_other_keys_are_dropped)
{
    struct fp_pair *p = make_pair(0);
    uint8_t data[2000];
    size_t len;
    set_strict(&p->b, p->a_at_b, PV_FP_STRICT_ALL);
    assert_int_equal(send(p, 100, data, &len), 1);
    assert_int_equal(arrive(p, data, len).n_writes, 0);
    assert_int_equal(pv_fp_drops(p->b.w, PV_FP_DROP_CLASSICAL), 1);
    assert_string_equal(pv_fp_drop_name(PV_FP_DROP_CLASSICAL), "classical");
    add_keys(p, true);
    assert_int_equal(send(p, 100, data, &len), 1);
    assert_int_equal(arrive(p, data, len).n_writes, 1);
}

/* A packet in parts is a packet. */
PV_TEST(parts_of_packets_are_dropped_too)
{
    struct fp_pair *p = make_pair(700);
    uint8_t data[2000];
    size_t len;
    set_strict(&p->b, p->a_at_b, PV_FP_STRICT_ALL);
    assert_true(send(p, 1200, data, &len) > 1);
    assert_int_equal(arrive(p, data, len).n_writes, 0);
    assert_int_equal(pv_fp_drops(p->b.w, PV_FP_DROP_CLASSICAL), 1);
}

PV_TEST(in_band_control_passes_under_any_keys)
{
    struct fp_pair *p = make_pair(0);
    uint8_t packet[PV_INBAND_PACKET_MAX], data[2000];
    size_t len;
    set_strict(&p->a, p->b_at_a, PV_FP_STRICT_ALL);
    set_strict(&p->b, p->a_at_b, PV_FP_STRICT_ALL);
    assert_ok(pv_inband_build(PV_INBAND_DESCRIPTION, 1, 0, pv_view("hello", 5), packet, &len));
    assert_ok(pv_fp_inject(p->a.w, p->a.snap, p->b_at_a, pv_view(packet, len), p->now));
    struct pv_fp_results r = pv_fp_results(p->a.w);
    assert_int_equal(r.n_sends, 1);
    len = r.sends[0].len;
    memcpy(data, r.sends[0].data, len);
    r = arrive(p, data, len);
    bool punted = false;
    for (size_t i = 0; i < r.n_punts; i++)
        punted |= r.punts[i].kind == PV_FP_PUNT_INBAND;
    assert_true(punted);
    assert_int_equal(pv_fp_drops(p->b.w, PV_FP_DROP_CLASSICAL), 0);
}

/* A packet of TCP from one port to another. */
static size_t send_tcp(struct fp_pair *p, uint16_t from, uint16_t to)
{
    uint8_t packet[100];
    fp_packet(packet, fp_ip4(1), fp_ip4(2), sizeof(packet), 7);
    packet[9] = PV_IP_PROTO_TCP;
    pv_store_be16(packet + 20, from);
    pv_store_be16(packet + 22, to);
    return fp_tx_one(&p->a, packet, sizeof(packet), p->now).n_sends;
}

PV_TEST(chat_and_files_wait_while_the_rest_passes)
{
    struct fp_pair *p = make_pair(0);
    uint8_t data[2000];
    size_t len;
    set_strict(&p->a, p->b_at_a, PV_FP_STRICT_OWN);
    assert_int_equal(send_tcp(p, 40000, PV_PORTS_CHAT), 0);
    assert_int_equal(send_tcp(p, PV_PORTS_CHAT, 40000), 0);
    assert_int_equal(send_tcp(p, 40000, PV_PORTS_FILES), 0);
    assert_int_equal(send_tcp(p, PV_PORTS_FILES, 40000), 0);
    assert_int_equal(send_tcp(p, 40000, 22), 1);
    assert_int_equal(send(p, 100, data, &len), 1);
    assert_false(pv_fp_flush(p->a.w, p->a.snap, p->now));
    assert_int_equal(pv_fp_results(p->a.w).n_sends, 0);
    assert_int_equal(send_tcp(p, 40000, 22), 1); /* also after packets that wait were looked at */
    add_keys(p, true);
    assert_false(pv_fp_flush(p->a.w, p->a.snap, p->now));
    assert_int_equal(pv_fp_results(p->a.w).n_sends, 4);
    assert_int_equal(send_tcp(p, 40000, PV_PORTS_CHAT), 1);
}

/* A peer sends chat under the keys it has: it is on the line already. */
PV_TEST(a_packet_that_is_only_to_wait_here_is_taken_from_others)
{
    struct fp_pair *p = make_pair(0);
    uint8_t data[2000];
    size_t len;
    set_strict(&p->b, p->a_at_b, PV_FP_STRICT_OWN);
    assert_int_equal(send(p, 100, data, &len), 1);
    assert_int_equal(arrive(p, data, len).n_writes, 1);
}
