/* SPDX-License-Identifier: MIT */
/* Several workers of one fast path: whose a packet is, handing it over, sharing the counters. */
#include "daemon/core/packets/fp_state.h"
#include "fp_util.h"
#include "proto/stun/turn.h"
#include "tests/unit/test_util.h"

enum {
    WORKERS = 3,
    OWNER = 2, /* b's worker for a */
    CHANNEL = 0x4003,
    LEN = 100,
};

/* a sends with one worker or two, b receives with three. */
struct pair {
    struct fp_node a, b;
    uint32_t pa, pb;
    struct pv_fp_worker *more[WORKERS]; /* b's; [0] = b.w */
    struct pv_addr server, virtual_a;
    pv_ns now;
};

static struct pair *p; /* of the test that runs */

static void add_owned_keys(void)
{
    struct pv_fp_key_init at_a = {.birth = p->now}, at_b = {.birth = p->now};
    memset(at_a.send_key, 7, 32);
    memset(at_b.recv_key, 7, 32);
    at_a.local_index = at_b.remote_index = pv_fp_builder_draw_index(p->a.b, &p->a.rng, 0);
    at_b.local_index = at_a.remote_index = pv_fp_builder_draw_index(p->b.b, &p->b.rng, OWNER);
    FP_MUST(pv_fp_builder_add_keys(p->a.b, p->pa, &at_a) == PV_OK);
    FP_MUST(pv_fp_builder_add_keys(p->b.b, p->pb, &at_b) == PV_OK);
    FP_MUST(pv_fp_builder_send_with(p->a.b, p->pa, at_a.local_index) == PV_OK);
}

void test_before_each(void)
{
    p = calloc(1, sizeof(*p));
    p->now = PV_S(1000);
    fp_meet(&p->a, &p->b, &p->pa, &p->pb);
    add_owned_keys();
    fp_set_path(&p->a, p->pa, 2, 0);
    p->server = pv_addr4(192, 0, 2, 99, 3478);
    p->virtual_a = pv_addr4(192, 0, 2, 1, 3478);
    const struct pv_fp_relay_way way = {.server = p->server, .udp = true, .stream = 5};
    FP_MUST(pv_fp_builder_set_relay(p->b.b, 0, &way) == PV_OK);
    FP_MUST(pv_fp_builder_set_channel(p->b.b, 0, CHANNEL, &p->virtual_a) == PV_OK);
    fp_publish(&p->a);
    fp_publish(&p->b);
    p->more[0] = p->b.w;
    for (unsigned i = 1; i < WORKERS; i++)
        FP_MUST(pv_fp_worker_new(&p->more[i]) == PV_OK);
    for (unsigned i = 0; i < WORKERS; i++)
        pv_fp_worker_share(p->more[i], i, WORKERS);
}

void test_after_each(void)
{
    for (unsigned i = 1; i < WORKERS; i++)
        pv_fp_worker_free(p->more[i]);
    fp_node_done(&p->a);
    fp_node_done(&p->b);
    free(p);
}

/* One packet of a's, sealed. */
static size_t sealed(struct pv_fp_worker *w, uint32_t mark, uint8_t *ret)
{
    uint8_t packet[LEN];
    struct pv_fp_packet in = {.data = packet,
                              .len = fp_packet(packet, fp_ip4(1), fp_ip4(2), LEN, mark)};
    assert_int_equal(pv_fp_tx(w, p->a.snap, &in, 1, p->now), 1);
    struct pv_fp_results r = pv_fp_results(w);
    assert_int_equal(r.n_sends, 1);
    memcpy(ret, r.sends[0].data, r.sends[0].len);
    return r.sends[0].len;
}

/* d lives as long as the results are used: they point to where it came from. */
static struct pv_fp_results received(unsigned worker, struct pv_fp_datagram *d)
{
    assert_int_equal(pv_fp_rx(p->more[worker], p->b.snap, d, 1, p->now), 1);
    return pv_fp_results(p->more[worker]);
}

PV_TEST(the_owner_opens_it_and_others_hand_it_over)
{
    uint8_t bytes[WORKERS][256], copy[256];
    for (unsigned i = 0; i < WORKERS; i++) {
        size_t len = sealed(p->a.w, i, bytes[i]);
        struct pv_fp_datagram d = {.from = fp_carrier(1), .data = bytes[i], .len = len, .ecn = 1};
        struct pv_fp_results r = received(i, &d);
        if (i == OWNER) {
            assert_int_equal(r.n_writes, 1);
            assert_int_equal(r.n_handed, 0);
            continue;
        }
        assert_int_equal(r.n_writes + r.n_punts, 0);
        assert_int_equal(r.n_handed, 1);
        assert_int_equal(r.handed[0].to, OWNER);
        assert_int_equal(r.handed[0].ecn, 1);
        assert_true(pv_carrier_same(r.handed[0].from, &d.from));
        memcpy(copy, r.handed[0].data.ptr, r.handed[0].data.len);
        r = received(OWNER, &(struct pv_fp_datagram){.from = *r.handed[0].from,
                                                     .data = copy,
                                                     .len = r.handed[0].data.len,
                                                     .handed = true});
        assert_int_equal(r.n_writes, 1);
        assert_int_equal(pv_load_be32(r.writes[0].data + LEN - 4), i);
    }
    for (unsigned i = 0; i < WORKERS; i++)
        for (unsigned d = 0; d < PV_FP_DROP_REASONS; d++)
            assert_int_equal(pv_fp_drops(p->more[i], (enum pv_fp_drop)d), 0);
}

/* Both ways to the relay: a datagram and a stream. */
PV_TEST(a_datagram_that_a_relay_wrapped_is_handed_over_without_its_wrapping)
{
    const struct pv_carrier ways[] = {
        {.kind = PV_CARRIER_UDP, .remote = p->server},
        {.kind = PV_CARRIER_STREAM, .sock = 5},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(ways); i++) {
        uint8_t bytes[256], copy[256];
        size_t len = sealed(p->a.w, 0, bytes + PV_TURN_CHANNEL_HEADER);
        pv_turn_channel_header(bytes, CHANNEL, (uint16_t)len);
        struct pv_fp_datagram d = {
            .from = ways[i], .data = bytes, .len = len + PV_TURN_CHANNEL_HEADER};
        struct pv_fp_results r = received(0, &d);
        assert_int_equal(r.n_handed, 1);
        assert_int_equal(r.handed[0].data.len, len);
        assert_true(pv_carrier_is_relayed(r.handed[0].from));
        assert_true(pv_addr_equal(&r.handed[0].from->remote, &p->virtual_a));
        memcpy(copy, r.handed[0].data.ptr, len);
        d = (struct pv_fp_datagram){
            .from = *r.handed[0].from, .data = copy, .len = len, .handed = true};
        r = received(OWNER, &d);
        assert_int_equal(r.n_writes, 1);
    }
    struct pv_fp_live *live = pv_fp_builder_live(p->b.b, p->pb);
    assert_int_equal(atomic_load(&live->rx_packets), 2);
    assert_int_equal(atomic_load(&live->rx_relayed[0]), 2 * LEN);
}

PV_TEST(only_transport_data_is_handed_over)
{
    uint8_t unknown[32] = {4, 0, 0, 0, 1, 99}, message1[148] = {1}, stun[20] = {0, 1};
    pv_store_be32(stun + 4, PV_FP_COOKIE);
    struct pv_fp_results r = received(
        0, &(struct pv_fp_datagram){fp_carrier(1), unknown, sizeof(unknown), .handed = false});
    assert_int_equal(r.n_handed, 0);
    assert_int_equal(pv_fp_drops(p->more[0], PV_FP_DROP_INDEX), 1);
    r = received(
        1, &(struct pv_fp_datagram){fp_carrier(1), message1, sizeof(message1), .handed = false});
    assert_int_equal(r.n_handed, 0);
    assert_int_equal(r.n_punts, 1);

    /* From another worker nothing else can come. */
    r = received(
        1, &(struct pv_fp_datagram){fp_carrier(1), message1, sizeof(message1), .handed = true});
    assert_int_equal(r.n_punts, 0);
    r = received(1, &(struct pv_fp_datagram){fp_carrier(1), stun, sizeof(stun), .handed = true});
    assert_int_equal(r.n_punts, 0);
    assert_int_equal(pv_fp_drops(p->more[1], PV_FP_DROP_JUNK), 2);
}

PV_TEST(a_datagram_that_does_not_reach_its_owner_is_counted)
{
    uint8_t bytes[256];
    size_t len = sealed(p->a.w, 0, bytes);
    struct pv_fp_results r =
        received(0, &(struct pv_fp_datagram){fp_carrier(1), bytes, len, .handed = false});
    assert_int_equal(r.n_handed, 1);
    pv_fp_handed_lost(p->more[0], &r.handed[0]);
    assert_int_equal(pv_fp_drops(p->more[0], PV_FP_DROP_HANDOVER), 1);
    assert_string_equal(pv_fp_drop_name(PV_FP_DROP_HANDOVER), "handover");
}

PV_TEST(workers_that_send_never_use_a_counter_twice)
{
    struct pv_fp_worker *w[2] = {p->a.w, NULL};
    static uint8_t packets[PV_AEAD_BATCH_MAX * 2][LEN];
    struct pv_fp_packet in[PV_AEAD_BATCH_MAX * 2];
    uint64_t next = 0;
    assert_ok(pv_fp_worker_new(&w[1]));
    for (unsigned i = 0; i < 2; i++)
        pv_fp_worker_share(w[i], i, 2);
    for (size_t i = 0; i < PV_ARRAY_LEN(in); i++)
        in[i] = (struct pv_fp_packet){
            .data = packets[i],
            .len = fp_packet(packets[i], fp_ip4(1), fp_ip4(2), LEN, (uint32_t)i)};
    for (unsigned round = 0; round < 10; round++) {
        size_t n = round % 3 == 0 ? PV_ARRAY_LEN(in) : round;
        assert_int_equal(pv_fp_tx(w[round % 2], p->a.snap, in, n, p->now), n);
        struct pv_fp_results r = pv_fp_results(w[round % 2]);
        assert_int_equal(r.n_sends, n);
        for (size_t i = 0; i < n; i++)
            assert_true(pv_load_le64(r.sends[i].data + 8) == next++);
    }
    struct pv_fp_live *live = pv_fp_builder_live(p->a.b, p->pa);
    assert_true(atomic_load(&live->tx_packets) == next);
    assert_true(atomic_load(&live->tx_bytes) == next * LEN);

    /* Near the end of the keys the room that the other may still take is left. */
    struct pv_fp_keys *keys = pv_fp_snapshot_peer(p->a.snap, p->pa)->send;
    atomic_store(&keys->next_counter, PV_FP_REJECT_COUNT - PV_AEAD_BATCH_MAX - 1);
    assert_int_equal(pv_fp_tx(w[0], p->a.snap, in, 2, p->now), 2);
    assert_int_equal(pv_fp_results(w[0]).n_sends, 1);
    assert_true(atomic_load(&keys->next_counter) < PV_FP_REJECT_COUNT);
    pv_fp_worker_free(w[1]);
}
