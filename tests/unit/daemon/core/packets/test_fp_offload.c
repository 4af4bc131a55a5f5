/* SPDX-License-Identifier: MIT */
/* Super-packets through the fast path: cut and sealed in runs, opened and joined; and ECN. */
#include "daemon/core/packets/fp_worker.h"
#include "fp_pair.h"
#include "proto/ip/ippkt.h"

enum {
    SUPER = 60000, /* payload bytes of most super-packets here */
    MSS = 1380,
};

static struct fp_pair pair, *const w = &pair;
static uint8_t super[65535], wire[1 << 20];

void test_before_each(void)
{
    fp_pair_connect(w);
    pv_fp_worker_join(w->b.w, true, true);
}

/* A TCP super-packet from a to b as the TUN gives it, all L4 sums still to be made. */
static struct pv_fp_packet make_super(size_t payload, uint16_t mss)
{
    uint8_t *p = super;
    size_t len = 40 + payload;
    memset(p, 0, 40);
    p[0] = 0x45;
    p[1] = PV_ECN_0;
    pv_store_be16(p + 2, (uint16_t)len);
    pv_store_be16(p + 6, 0x4000);
    p[8] = 64;
    p[9] = 6;
    memcpy(p + 12, fp_ip4(1).ip, 4);
    memcpy(p + 16, fp_ip4(2).ip, 4);
    p[32] = 0x50;
    p[33] = 0x18;
    for (size_t i = 40; i < len; i++)
        p[i] = (uint8_t)(i * 7 + i / 256);
    return (struct pv_fp_packet){.data = p,
                                 .len = len,
                                 .offload = {.kind = PV_OFFLOAD_TCP4,
                                             .needs_csum = true,
                                             .size = mss,
                                             .csum_start = 20,
                                             .csum_offset = 16}};
}

static struct pv_fp_results tx(const struct pv_fp_packet *packet)
{
    assert_int_equal(pv_fp_tx(w->a.w, w->a.snap, packet, 1, w->now), 1);
    return pv_fp_results(w->a.w);
}

/* Runs as the kernel's GRO gives them: each one buffer. Returns what b writes. */
static struct pv_fp_results carry(const struct pv_fp_results *r, uint8_t ecn)
{
    static struct pv_fp_datagram d[256];
    size_t n = 0, used = 0;
    for (size_t i = 0; i < r->n_sends; i += r->sends[i].run, n++) {
        const struct pv_fp_send *s = &r->sends[i], *last = s + s->run - 1;
        size_t len = (size_t)(last->data - s->data) + last->len;
        assert_true(s->run >= 1 && s->run <= PV_FP_RUN_MAX && len <= PV_FP_RUN_BYTES);
        assert_true(used + len <= sizeof(wire));
        memcpy(wire + used, s->data, len);
        d[n] = (struct pv_fp_datagram){.from = fp_carrier(1),
                                       .data = wire + used,
                                       .len = len,
                                       .segment = s->run > 1 ? s->len : 0,
                                       .ecn = ecn};
        used += len;
    }
    assert_int_equal(pv_fp_rx(w->b.w, w->b.snap, d, n, w->now), n);
    return pv_fp_results(w->b.w);
}

static size_t payload_of(const struct pv_join_out *out, uint8_t *dst)
{
    size_t n = out->len - 40;
    memcpy(dst, out->data + 40, n);
    for (const struct pv_join_piece *p = out->more; p != NULL; p = p->next) {
        memcpy(dst + n, p->bytes.ptr, p->bytes.len);
        n += p->bytes.len;
    }
    return n;
}

PV_TEST(a_super_packet_leaves_in_runs_and_arrives_as_one)
{
    static uint8_t got[65536];
    struct pv_fp_packet packet = make_super(SUPER, MSS);
    struct pv_fp_results r = tx(&packet);
    assert_int_equal(r.n_sends, (SUPER + MSS - 1) / MSS);
    assert_true(r.sends[0].run * (size_t)(MSS + 72) > PV_FP_RUN_BYTES - 2 * (MSS + 72) ||
                r.sends[0].run == r.n_sends);
    for (size_t i = 0; i + 1 < r.n_sends; i++)
        assert_int_equal(r.sends[i].ecn, PV_ECN_0);
    r = carry(&r, PV_ECN_0);
    assert_int_equal(r.n_writes, 1);
    assert_int_equal(r.writes[0].offload.kind, PV_OFFLOAD_TCP4);
    assert_int_equal(r.writes[0].offload.size, MSS);
    assert_int_equal(payload_of(&r.writes[0], got), SUPER);
    assert_memory_equal(got, super + 40, SUPER);
    assert_int_equal(r.writes[0].data[33], 0x18); /* PSH of the last */
    assert_int_equal(pv_load_be16(r.writes[0].data + 2), SUPER + 40);
}

PV_TEST(a_flow_in_the_way_loses_the_first_packet_of_a_super_packet)
{
    static uint8_t got[65536];
    struct pv_fp_packet packet = make_super(SUPER, MSS);
    packet.lose_first = true;
    struct pv_fp_results r = tx(&packet);
    assert_int_equal(r.n_sends, (SUPER + MSS - 1) / MSS - 1);
    assert_int_equal(pv_fp_drops(w->a.w, PV_FP_DROP_CONGESTION), 1);
    r = carry(&r, PV_ECN_0);
    assert_int_equal(r.n_writes, 1);
    assert_int_equal(payload_of(&r.writes[0], got), SUPER - MSS);
    assert_memory_equal(got, super + 40 + MSS, SUPER - MSS);
    assert_int_equal(pv_load_be32(r.writes[0].data + 24), MSS); /* the number follows */

    packet = make_super(MSS, MSS);
    packet.lose_first = true;
    r = tx(&packet);
    assert_int_equal(r.n_sends, 0);
    assert_int_equal(pv_fp_drops(w->a.w, PV_FP_DROP_CONGESTION), 2);
}

PV_TEST(a_queue_that_stands_marks_one_of_those_merged_or_loses_it)
{
    static uint8_t got[65536];
    for (unsigned ect = 0; ect < 2; ect++) {
        struct pv_fp_packet packet = make_super(20 * MSS, MSS);
        super[1] = ect == 1 ? PV_ECN_0 : PV_ECN_NONE;
        struct pv_fp_results r = tx(&packet);
        size_t len = r.sends[0].len;
        memcpy(wire, r.sends[0].data, 20 * len);
        const struct pv_fp_datagram d = {.from = fp_carrier(1),
                                         .data = wire,
                                         .len = 20 * len,
                                         .segment = len,
                                         .ecn = super[1],
                                         .congested = true};
        assert_int_equal(pv_fp_rx(w->b.w, w->b.snap, &d, 1, w->now), 1);
        r = pv_fp_results(w->b.w);
        assert_int_equal(r.n_writes, 1 + ect);
        assert_int_equal(payload_of(&r.writes[ect], got), 19 * MSS);
        assert_memory_equal(got, super + 40 + MSS, 19 * MSS);
        assert_int_equal(pv_fp_drops(w->b.w, PV_FP_DROP_CONGESTION), 1);
        assert_int_equal(r.writes[ect].data[1] & 3, super[1]);
        if (ect == 1)
            assert_int_equal(r.writes[0].data[1] & 3, PV_ECN_CE);
    }
}

PV_TEST(runs_have_at_most_64_datagrams_and_65000_bytes)
{
    static const uint16_t sizes[] = {8, 48, 500, 984, 985, 1380, 8000};
    for (size_t i = 0; i < PV_ARRAY_LEN(sizes); i++) {
        struct pv_fp_packet packet = make_super(sizes[i] < 48 ? 1000 : SUPER, sizes[i]);
        struct pv_fp_results r = tx(&packet);
        size_t n = (packet.len - 40 + sizes[i] - 1) / sizes[i];
        assert_int_equal(r.n_sends, n);
        size_t most = PV_FP_RUN_BYTES / r.sends[0].len;
        most = most > PV_FP_RUN_MAX ? PV_FP_RUN_MAX : most;
        assert_int_equal(r.sends[0].run, n < most ? n : most);
    }
}

PV_TEST(a_run_ends_where_length_or_peer_changes)
{
    static const struct {
        uint32_t to;
        size_t len, run;
    } rows[] = {
        {2, 100, 3}, {2, 100, 2}, {2, 100, 1}, /* the next is longer */
        {2, 400, 2}, {2, 100, 1},              /* shorter: it ends the run */
        {2, 100, 1},                           /* to another */
        {3, 100, 2}, {3, 100, 1},              /* and back */
        {2, 100, 1},
    };
    static uint8_t in[16][500];
    struct pv_fp_packet packets[16] = {0};
    uint32_t c = fp_add_member(&w->a, 3), a_at_c = fp_add_member(&w->b, 9);
    fp_set_path(&w->a, c, 3, 0);
    fp_add_keys(&w->a, c, &w->b, a_at_c, w->now, NULL);
    fp_publish(&w->a);
    for (uint32_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        packets[i].data = in[i];
        packets[i].len = fp_packet(in[i], fp_ip4(1), fp_ip4(rows[i].to), rows[i].len, i);
    }
    assert_int_equal(pv_fp_tx(w->a.w, w->a.snap, packets, PV_ARRAY_LEN(rows), w->now),
                     PV_ARRAY_LEN(rows));
    struct pv_fp_results r = pv_fp_results(w->a.w);
    assert_int_equal(r.n_sends, PV_ARRAY_LEN(rows));
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++)
        assert_int_equal(r.sends[i].run, rows[i].run);
}

PV_TEST(a_run_has_one_ecn_and_one_way_with_routers)
{
    static const uint8_t ecn[] = {PV_ECN_0, PV_ECN_0, PV_ECN_NONE, PV_ECN_0};
    static const uint16_t runs[] = {2, 1, 1, 1};
    static uint8_t in[4][1280];
    struct pv_fp_packet packets[4] = {0};
    struct pv_fp_results r;
    for (uint32_t i = 0; i < 4; i++) {
        packets[i].data = in[i];
        packets[i].len = fp_packet(in[i], fp_ip4(1), fp_ip4(2), 100, i);
        in[i][1] = ecn[i];
    }
    assert_int_equal(pv_fp_tx(w->a.w, w->a.snap, packets, 4, w->now), 4);
    r = pv_fp_results(w->a.w);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(r.sends[i].run, runs[i]);

    /* To a static peer over IPv6: what does not fit may be cut by routers, the next may not. */
    const uint8_t ip[16] = {0x20, 1, 13, 0xb8};
    const struct pv_carrier path = {.kind = PV_CARRIER_UDP, .remote = pv_addr6(ip, 4242)};
    uint32_t c = fp_add_static(&w->a, "10.77.0.0/16"), a_at_c = fp_add_member(&w->b, 9);
    assert_ok(pv_fp_builder_set_path(w->a.b, c, &path, 1232));
    fp_add_keys(&w->a, c, &w->b, a_at_c, w->now, NULL);
    fp_publish(&w->a);
    for (uint32_t i = 0; i < 2; i++)
        packets[i].len =
            fp_packet(in[i], fp_ip4(1), pv_addr4(10, 77, 0, 1, 0), i == 0 ? 1280 : 1200, i);
    assert_int_equal(pv_fp_tx(w->a.w, w->a.snap, packets, 2, w->now), 2);
    r = pv_fp_results(w->a.w);
    assert_int_equal(r.n_sends, 2);
    assert_true(r.sends[0].cut && !r.sends[1].cut);
    assert_int_equal(r.sends[0].run, 1);
}

PV_TEST(a_super_packet_waits_as_the_packets_in_it)
{
    static uint8_t got[65536];
    assert_ok(pv_fp_builder_set_path(w->a.b, w->b_at_a, NULL, 0));
    fp_publish(&w->a);
    struct pv_fp_packet packet = make_super(SUPER, MSS);
    assert_int_equal(tx(&packet).n_sends, 0);
    assert_int_equal(pv_fp_queue_len(w->a.w->queue), (SUPER + MSS - 1) / MSS);
    fp_set_path(&w->a, w->b_at_a, 2, 0);
    fp_publish(&w->a);
    assert_false(pv_fp_flush(w->a.w, w->a.snap, w->now));
    struct pv_fp_results r = pv_fp_results(w->a.w);
    assert_int_equal(r.sends[0].ecn, PV_ECN_0);
    r = carry(&r, PV_ECN_0);
    assert_int_equal(r.n_writes, 1);
    assert_int_equal(payload_of(&r.writes[0], got), SUPER);
    assert_memory_equal(got, super + 40, SUPER);
}

PV_TEST(the_packets_in_it_must_fit_the_path_not_all_of_it)
{
    fp_set_path(&w->a, w->b_at_a, 2, MSS + 40 + PV_FP_OVERHEAD);
    fp_publish(&w->a);
    struct pv_fp_packet packet = make_super(SUPER, MSS);
    assert_int_equal(tx(&packet).n_sends, (SUPER + MSS - 1) / MSS);
    packet = make_super(SUPER, MSS + 1);
    struct pv_fp_results r = tx(&packet);
    assert_int_equal(r.n_sends, 0);
    assert_int_equal(pv_fp_drops(w->a.w, PV_FP_DROP_TOO_BIG), (SUPER + MSS) / (MSS + 1));
    assert_int_equal(r.n_writes, 1);
    assert_int_equal(pv_load_be16(r.writes[0].data + 20), 0x0304);
    assert_int_equal(pv_load_be16(r.writes[0].data + 26), MSS + 40);
}

PV_TEST(a_packet_that_the_offload_gets_wrong_is_dropped)
{
    struct pv_fp_packet packet = make_super(SUPER, MSS);
    packet.offload.kind = PV_OFFLOAD_UDP;
    assert_int_equal(tx(&packet).n_sends, 0);
    packet = make_super(SUPER, 9000); /* packets of 9040 bytes */
    assert_int_equal(tx(&packet).n_sends, 0);
    assert_int_equal(pv_fp_drops(w->a.w, PV_FP_DROP_INNER), 2);
}

PV_TEST(congestion_marks_travel_as_in_rfc_6040)
{
    enum {
        DROP = 9
    };
    /* [inner][outer]: RFC 6040 s4.2, figure 4 */
    static const uint8_t want[4][4] = {
        [PV_ECN_NONE] = {[0] = 0, [1] = 0, [2] = 0, [3] = DROP},
        [PV_ECN_1] = {[0] = 1, [1] = 1, [2] = 1, [3] = 3},
        [PV_ECN_0] = {[0] = 2, [1] = 1, [2] = 2, [3] = 3},
        [PV_ECN_CE] = {[0] = 3, [1] = 3, [2] = 3, [3] = 3},
    };
    uint8_t p[100];
    for (uint32_t i = 0; i < 32; i++) {
        bool v6 = i >= 16;
        uint8_t inner = i / 4 % 4, outer = i % 4;
        size_t len = fp_packet(p, v6 ? fp_ip6(1) : fp_ip4(1), v6 ? fp_ip6(2) : fp_ip4(2), 100, i);
        p[1] = (uint8_t)(v6 ? inner << 4 : 0xb8 | inner);
        if (!v6)
            pv_store_be16(p + 10, (uint16_t)~pv_ippkt_sum(pv_view(p, 20), 0));
        struct pv_fp_packet packet = {.data = p, .len = len};
        struct pv_fp_results r = tx(&packet);
        assert_int_equal(r.n_sends, 1);
        assert_int_equal(r.sends[0].ecn, inner);
        r = carry(&r, outer);
        assert_int_equal(r.n_writes, want[inner][outer] == DROP ? 0 : 1);
        if (r.n_writes == 0)
            continue;
        const uint8_t *got = r.writes[0].data;
        assert_int_equal(v6 ? got[1] >> 4 & 3 : got[1] & 3, want[inner][outer]);
        if (!v6) {
            assert_int_equal(got[1] & 0xfc, 0xb8); /* the rest is not the network's */
            assert_int_equal(pv_ippkt_sum(pv_view(got, 20), 0), 0xffff);
        }
    }
    assert_int_equal(pv_fp_drops(w->b.w, PV_FP_DROP_CONGESTION), 2);
}
