/* SPDX-License-Identifier: MIT */
/* Packets larger than the path: in parts between members, in fragments, or answered. */
#include "daemon/core/packets/fp_state.h"
#include "fp_pair.h"
#include "proto/ip/ippkt.h"
#include "proto/ip/parts.h"

enum {
    NARROW = 1252, /* an underlay of 1280 over IPv4: leaves 1220 inside */
    WIRE = 1 << 20,
    MSS = 1380,
};

static struct fp_pair pair, *const w = &pair;
static uint8_t flight[WIRE], super[65535];

static void set_mtu(uint16_t mtu)
{
    fp_set_path(&w->a, w->b_at_a, 2, mtu);
    fp_publish(&w->a);
}

void test_before_each(void)
{
    fp_pair_connect(w);
    set_mtu(NARROW);
}

static struct pv_fp_results tx(const uint8_t *data, size_t len)
{
    return fp_tx_one(&w->a, data, len, w->now);
}

static size_t make(uint8_t *p, bool v6, size_t len, uint32_t mark)
{
    size_t n = v6 ? fp_packet(p, fp_ip6(1), fp_ip6(2), len, mark)
                  : fp_packet(p, fp_ip4(1), fp_ip4(2), len, mark);
    for (size_t i = 48; i + 4 < n; i++)
        p[i] = (uint8_t)(i * 5 + mark);
    return n;
}

/* The sends just made, in this order (NULL: as they are), to b in one batch. */
static struct pv_fp_results carry(const struct pv_fp_results *r, const size_t *order, uint8_t ecn)
{
    static struct pv_fp_datagram d[1024];
    size_t used = 0;
    for (size_t i = 0; i < r->n_sends; i++) {
        const struct pv_fp_send *s = &r->sends[order == NULL ? i : order[i]];
        assert_true(used + s->len <= WIRE);
        memcpy(flight + used, s->data, s->len);
        d[i] = (struct pv_fp_datagram){
            .from = fp_carrier(1), .data = flight + used, .len = s->len, .ecn = ecn};
        used += s->len;
    }
    assert_int_equal(pv_fp_rx(w->b.w, w->b.snap, d, r->n_sends, w->now), r->n_sends);
    return pv_fp_results(w->b.w);
}

/* --- in parts --------------------------------------------------------------------------------- */

PV_TEST(members_carry_1280_bytes_over_any_path)
{
    /* UDP payloads: underlays of 1280, 1300 and 576 bytes, IPv4 and IPv6. */
    static const uint16_t paths[] = {1252, 1272, 1232, 548, 528};
    uint8_t p[1500];

    for (size_t i = 0; i < PV_ARRAY_LEN(paths); i++) {
        set_mtu(paths[i]);
        for (size_t len = 1100; len <= 1281; len++) {
            bool v6 = len % 2 == 0;
            make(p, v6, len, (uint32_t)len);
            struct pv_fp_results r = tx(p, len);
            if (len > 1280) {
                assert_int_equal(r.n_sends, 0);
                assert_int_equal(r.n_writes, 1);
                assert_int_equal(pv_load_be16(r.writes[0].data + 26), 1280);
                continue;
            }
            size_t inside = paths[i] - (size_t)PV_FP_OVERHEAD;
            assert_int_equal(r.n_sends, len <= inside ? 1 : paths[i] < 600 ? 3 : 2);
            for (size_t k = 0; k < r.n_sends; k++)
                assert_true(r.sends[k].len <= paths[i]);
            assert_int_equal(r.sends[0].run, r.n_sends); /* one system call */
            r = carry(&r, NULL, PV_ECN_NONE);
            assert_int_equal(r.n_writes, 1);
            assert_int_equal(r.writes[0].len, len);
            assert_memory_equal(r.writes[0].data, p, len);
            assert_int_equal(r.n_punts, i == 0 && len == 1100 ? 2 : 0); /* confirmed, active */
        }
    }
    struct pv_fp_live *tx_live = pv_fp_builder_live(w->a.b, w->b_at_a);
    struct pv_fp_live *rx_live = pv_fp_builder_live(w->b.b, w->a_at_b);
    assert_int_equal(atomic_load(&tx_live->tx_bytes), atomic_load(&rx_live->rx_bytes));
    assert_int_equal(pv_fp_drops(w->b.w, PV_FP_DROP_PARTS), 0);
}

PV_TEST(parts_arrive_in_any_order_and_among_others)
{
    static const size_t order[] = {3, 0, 4, 1, 2, 5};
    uint8_t p[3][1280];
    struct pv_fp_packet packets[3];
    for (uint32_t i = 0; i < 3; i++)
        packets[i] = (struct pv_fp_packet){.data = p[i], .len = make(p[i], true, 1280 - i, i)};
    assert_int_equal(pv_fp_tx(w->a.w, w->a.snap, packets, 3, w->now), 3);
    struct pv_fp_results r = pv_fp_results(w->a.w);
    assert_int_equal(r.n_sends, 6);
    r = carry(&r, order, PV_ECN_NONE);
    assert_int_equal(r.n_writes, 3);
    static const uint32_t expected[] = {0, 1, 2};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(r.writes[i].len, 1280 - expected[i]);
        assert_memory_equal(r.writes[i].data, p[expected[i]], r.writes[i].len);
    }
}

PV_TEST(a_full_batch_of_parts_is_written)
{
    static uint8_t p[512][1280];
    struct pv_fp_packet packets[512];
    for (uint32_t i = 0; i < 512; i++)
        packets[i] = (struct pv_fp_packet){.data = p[i], .len = make(p[i], true, 1280, i)};
    size_t sent = 0;
    while (sent < 512) {
        size_t n = pv_fp_tx(w->a.w, w->a.snap, packets + sent, 512 - sent, w->now);
        struct pv_fp_results r = pv_fp_results(w->a.w);
        assert_true(n > 0);
        assert_int_equal(r.n_sends, 2 * n);
        r = carry(&r, NULL, PV_ECN_NONE);
        assert_int_equal(r.n_writes, n);
        for (size_t i = 0; i < n; i++)
            assert_memory_equal(r.writes[i].data, p[sent + i], 1280);
        sent += n;
    }
}

PV_TEST(the_whole_is_judged_as_any_packet)
{
    uint8_t p[1280];
    fp_packet(p, fp_ip6(3), fp_ip6(2), 1280, 1); /* not the sender's address */
    struct pv_fp_results r = tx(p, 1280);
    r = carry(&r, NULL, PV_ECN_NONE);
    assert_int_equal(r.n_writes, 0);
    assert_int_equal(pv_fp_drops(w->b.w, PV_FP_DROP_SOURCE), 1);
    /* Congestion was met, and the packet cannot say so. */
    make(p, true, 1280, 2);
    r = tx(p, 1280);
    r = carry(&r, NULL, PV_ECN_CE);
    assert_int_equal(r.n_writes, 0);
    assert_int_equal(pv_fp_drops(w->b.w, PV_FP_DROP_CONGESTION), 1);
    /* It can. */
    p[1] = PV_ECN_0 << 4;
    r = tx(p, 1280);
    assert_int_equal(r.sends[0].ecn, PV_ECN_0);
    assert_int_equal(r.sends[1].ecn, PV_ECN_0);
    r = carry(&r, NULL, PV_ECN_CE);
    assert_int_equal(r.n_writes, 1);
    assert_int_equal(r.writes[0].data[1], PV_ECN_CE << 4);
    /* Damaged inside: the length is another. */
    uint8_t part[1280];
    struct pv_parts_plan plan;
    assert_ok(pv_parts_plan(1280, 1220, &plan));
    p[5]++;
    for (uint8_t i = 0; i < 2; i++) {
        pv_parts_put(&plan, p, i, 77, part);
        struct pv_view inner = pv_view(part, pv_parts_len(&plan, i));
        assert_ok(pv_fp_inject(w->a.w, w->a.snap, w->b_at_a, inner, w->now));
        r = pv_fp_results(w->a.w);
        r = carry(&r, NULL, PV_ECN_NONE);
        assert_int_equal(r.n_writes + r.n_punts, 0);
    }
    assert_int_equal(pv_fp_drops(w->b.w, PV_FP_DROP_INNER), 1);
    /* And parts that are none. */
    part[9] = 9;
    assert_ok(pv_fp_inject(w->a.w, w->a.snap, w->b_at_a, pv_view(part, 600), w->now));
    r = pv_fp_results(w->a.w);
    r = carry(&r, NULL, PV_ECN_NONE);
    assert_int_equal(r.n_writes + r.n_punts, 0);
    assert_int_equal(pv_fp_drops(w->b.w, PV_FP_DROP_PARTS), 1);
}

/* One half of packet `id` from the member behind peer `at_a`, as a datagram in wire. */
static struct pv_fp_datagram half(uint32_t at_a, uint32_t from, uint8_t i, uint32_t id,
                                  uint8_t *wire)
{
    uint8_t p[1280], part[1280];
    struct pv_parts_plan plan;
    fp_packet(p, fp_ip6(from), fp_ip6(2), sizeof(p), id);
    assert_ok(pv_parts_plan(sizeof(p), 1220, &plan));
    pv_parts_put(&plan, p, i, id, part);
    struct pv_view inner = pv_view(part, pv_parts_len(&plan, i));
    assert_ok(pv_fp_inject(w->a.w, w->a.snap, at_a, inner, w->now));
    struct pv_fp_results r = pv_fp_results(w->a.w);
    memcpy(wire, r.sends[0].data, r.sends[0].len);
    return (struct pv_fp_datagram){.from = fp_carrier(from), .data = wire, .len = r.sends[0].len};
}

/* Members that together send first halves in one call and second halves in another: more than a
 * call has room for. */
PV_TEST(more_than_a_call_holds_is_dropped_and_counted)
{
    enum {
        MEMBERS = 16,
        EACH = 64,
        ALL = MEMBERS * EACH
    };
    static struct pv_fp_datagram d[ALL];
    uint32_t at_a[MEMBERS];
    for (uint32_t m = 0; m < MEMBERS; m++) {
        at_a[m] = fp_add_member(&w->a, 100 + m);
        uint32_t at_b = fp_add_member(&w->b, 100 + m);
        fp_set_path(&w->a, at_a[m], 2, NARROW);
        fp_add_keys(&w->a, at_a[m], &w->b, at_b, w->now, NULL);
    }
    fp_pair_publish(w);
    for (uint8_t part = 0; part < 2; part++) {
        for (uint32_t i = 0; i < ALL; i++)
            d[i] = half(at_a[i / EACH], 100 + i / EACH, part, 2 * (i % EACH), flight + i * 700);
        assert_int_equal(pv_fp_rx(w->b.w, w->b.snap, d, ALL, w->now), ALL);
    }
    struct pv_fp_results r = pv_fp_results(w->b.w);
    assert_true(r.n_writes >= 512 && r.n_writes <= (1 << 20) / 1280);
    for (size_t i = 0; i < r.n_writes; i++)
        assert_int_equal(r.writes[i].len, 1280);
    assert_true(r.n_writes + pv_fp_drops(w->b.w, PV_FP_DROP_PARTS) >= ALL);
}

/* --- in fragments ----------------------------------------------------------------------------- */

PV_TEST(a_sender_that_lets_routers_cut_gets_fragments)
{
    uint8_t p[9000], whole[9000];
    set_mtu(1372); /* 1340 inside */
    for (size_t len = 1341; len <= 9000; len += 997) {
        make(p, false, len, 5);
        p[6] = 0; /* DF clear */
        struct pv_fp_results r = tx(p, len);
        assert_int_equal(r.n_sends, (len - 20 + 1319) / 1320);
        assert_int_equal(r.n_writes, 0);
        r = carry(&r, NULL, PV_ECN_NONE);
        size_t got = 0;
        for (size_t i = 0; i < r.n_writes; i++) {
            const struct pv_join_out *f = &r.writes[i];
            memcpy(whole + (size_t)(pv_load_be16(f->data + 6) & 0x1fff) * 8, f->data + 20,
                   f->len - 20);
            got += f->len - 20;
        }
        assert_int_equal(got, len - 20);
        assert_memory_equal(whole, p + 20, len - 20);
    }
    assert_int_equal(pv_fp_drops(w->a.w, PV_FP_DROP_TOO_BIG), 0);
}

/* --- answered --------------------------------------------------------------------------------- */

/* A TCP super-packet from a to b as the TUN gives it, the L4 sums still to be made. */
static struct pv_fp_packet make_super(bool v6, size_t payload)
{
    uint8_t *p = super;
    size_t ip = v6 ? 40 : 20, len = ip + 20 + payload;
    memset(p, 7, len);
    fp_packet(p, v6 ? fp_ip6(1) : fp_ip4(1), v6 ? fp_ip6(2) : fp_ip4(2), len, 0);
    p[v6 ? 6 : 9] = 6;
    pv_store_be32(p + ip + 4, 0xfffffff0); /* sequence number */
    p[ip + 12] = 0x50;
    p[ip + 13] = 0x18;
    return (struct pv_fp_packet){.data = p,
                                 .len = len,
                                 .offload = {.kind = v6 ? PV_OFFLOAD_TCP6 : PV_OFFLOAD_TCP4,
                                             .needs_csum = true,
                                             .size = MSS,
                                             .csum_start = (uint16_t)ip,
                                             .csum_offset = 16}};
}

static bool is_sum_right(const struct pv_ippkt *ip)
{
    size_t n = ip->version == 4 ? 4 : 16;
    uint32_t pseudo = pv_ippkt_sum(pv_view(ip->src, 2 * n), ip->proto);
    return pv_ippkt_sum(ip->l4, pseudo + (uint32_t)ip->l4.len) == 0xffff;
}

/* The answer is about a packet as it would have gone on the wire. */
PV_TEST(the_first_packet_of_a_super_packet_is_quoted)
{
    struct pv_ippkt ip, quoted;
    for (int v6 = 0; v6 <= 1; v6++) {
        struct pv_fp_packet packet = make_super(v6 != 0, 40000);
        size_t ip_head = v6 ? 40 : 20, first = ip_head + 20 + MSS;
        uint8_t expected[1500];
        struct pv_ippkt whole;
        struct pv_cutter cut;
        assert_ok(pv_ippkt_parse(pv_view(packet.data, packet.len), &whole));
        assert_ok(pv_cutter_init(&cut, &whole, &packet.offload));
        assert_int_equal(pv_cutter_next(&cut), first);
        pv_cutter_cut(&cut, expected);
        assert_ok(pv_ippkt_parse(pv_view(expected, first), &quoted));
        assert_true(is_sum_right(&quoted));

        assert_int_equal(pv_fp_tx(w->a.w, w->a.snap, &packet, 1, w->now), 1);
        struct pv_fp_results r = pv_fp_results(w->a.w);
        assert_int_equal(r.n_sends, 0);
        assert_int_equal(r.n_writes, 1);
        assert_ok(pv_ippkt_parse(pv_view(r.writes[0].data, r.writes[0].len), &ip));
        assert_int_equal(ip.proto, v6 ? PV_IP_PROTO_ICMP6 : PV_IP_PROTO_ICMP);
        assert_int_equal(v6 ? ip.l4.ptr[0] : pv_load_be16(ip.l4.ptr), v6 ? 2 : 0x0304);
        assert_int_equal(pv_load_be16(ip.l4.ptr + 6), 1280);
        assert_memory_equal(ip.l4.ptr + 8, expected, ip.l4.len - 8);
        assert_true(ip.l4.len - 8 >= ip_head + 20);
        assert_true(v6 ? is_sum_right(&ip) : pv_ippkt_sum(ip.l4, 0) == 0xffff);
        assert_true(v6 || pv_ippkt_sum(pv_view(ip.whole.ptr, 20), 0) == 0xffff);
    }
    assert_int_equal(pv_fp_drops(w->a.w, PV_FP_DROP_TOO_BIG), 2 * 29);
}

PV_TEST(a_super_packet_of_1280_goes_in_parts_of_one_size)
{
    struct pv_fp_packet packet = make_super(true, 40 * 1220 + 100);
    packet.offload.size = 1220;
    assert_int_equal(pv_fp_tx(w->a.w, w->a.snap, &packet, 1, w->now), 1);
    struct pv_fp_results r = pv_fp_results(w->a.w);
    assert_int_equal(r.n_sends, 2 * 40 + 1); /* the last packet fits */
    assert_int_equal(r.sends[0].run, 64);
    assert_int_equal(r.sends[64].run, 17);
    pv_fp_worker_join(w->b.w, true, true);
    r = carry(&r, NULL, PV_ECN_NONE);
    assert_int_equal(r.n_writes, 1); /* and is one super-packet again */
    assert_int_equal(r.writes[0].n_more, 40);
}

/* A static peer over this path, known to carry so much; keys with b. */
static uint32_t add_static(struct pv_addr remote, uint16_t mtu)
{
    uint32_t at_a = fp_add_static(&w->a, "fd77::2/128"), at_b = fp_add_static(&w->b, "fd77::1/128");
    const struct pv_carrier path = {.kind = PV_CARRIER_UDP, .remote = remote};
    assert_ok(pv_fp_builder_set_path(w->a.b, at_a, &path, mtu));
    fp_add_keys(&w->a, at_a, &w->b, at_b, w->now, NULL);
    fp_pair_publish(w);
    return at_a;
}

PV_TEST(a_static_peer_gets_no_parts_and_sends_none)
{
    uint8_t p[1280], part[1280] = {0};
    uint32_t at_a = add_static(pv_addr4(192, 0, 2, 3, 4242), 0);
    struct pv_parts_plan plan;
    fp_packet(p, fp_ip6(1), fp_ip6(2), 1240, 1);
    assert_ok(pv_parts_plan(1240, 1220, &plan));
    pv_parts_put(&plan, p, 0, 1, part);
    struct pv_view inner = pv_view(part, pv_parts_len(&plan, 0));
    assert_ok(pv_fp_inject(w->a.w, w->a.snap, at_a, inner, w->now));
    struct pv_fp_results r = pv_fp_results(w->a.w);
    r = carry(&r, NULL, PV_ECN_NONE);
    assert_int_equal(pv_fp_drops(w->b.w, PV_FP_DROP_INBAND), 1);
}

static struct pv_fp_results to_static(size_t len)
{
    static uint8_t p[1500];
    struct pv_prefix to = test_prefix("fd77::2/128");
    fp_packet(p, fp_ip6(1), to.base, len, 1);
    return tx(p, len);
}

PV_TEST(datagrams_to_a_static_peer_over_ipv4_may_be_cut)
{
    add_static(pv_addr4(192, 0, 2, 3, 4242), 0);
    struct pv_fp_results r = to_static(1420);
    assert_int_equal(r.n_sends, 1);
    assert_true(r.sends[0].cut);
    assert_true(to_static(100).sends[0].cut); /* one way for all, so that order stays */
    uint8_t p[200];
    r = tx(p, make(p, false, 200, 0));
    assert_false(r.sends[0].cut); /* a member's path is probed */
}

PV_TEST(a_static_peer_over_ipv6_is_told_what_its_path_carries)
{
    const uint8_t ip[16] = {0x20, 1, 13, 0xb8};
    uint32_t id = add_static(pv_addr6(ip, 4242), 0);
    struct pv_fp_results r = to_static(1420);
    assert_int_equal(r.n_sends, 1);
    assert_false(r.sends[0].cut);
    /* It carries 1352 bytes: 1320 inside. */
    const struct pv_carrier path = {.kind = PV_CARRIER_UDP, .remote = pv_addr6(ip, 4242)};
    assert_ok(pv_fp_builder_set_path(w->a.b, id, &path, 1352));
    fp_publish(&w->a);
    assert_false(to_static(1320).sends[0].cut);
    r = to_static(1321);
    assert_int_equal(r.n_sends, 0);
    assert_int_equal(pv_load_be32(r.writes[0].data + 44), 1320);
    /* It carries 1232, as an underlay of 1280: never less than 1280 is said, and that passes. */
    assert_ok(pv_fp_builder_set_path(w->a.b, id, &path, 1232));
    fp_publish(&w->a);
    r = to_static(1281);
    assert_int_equal(r.n_sends, 0);
    assert_int_equal(pv_load_be32(r.writes[0].data + 44), 1280);
    r = to_static(1280);
    assert_int_equal(r.n_sends, 1);
    assert_int_equal(r.sends[0].len, 1280 + 32);
    assert_true(r.sends[0].cut);
    assert_false(to_static(1200).sends[0].cut);
    /* A packet that waited for keys goes so too. */
    assert_ok(pv_fp_builder_send_with(w->a.b, id, 0));
    fp_publish(&w->a);
    assert_int_equal(to_static(1280).n_sends, 0);
}

PV_TEST(only_what_was_just_sent_counts_as_quoted)
{
    uint32_t id = add_static(pv_addr4(192, 0, 2, 3, 4242), 0);
    uint8_t wire[16];
    for (int i = 0; i < 3; i++)
        memcpy(wire, to_static(100).sends[0].data, sizeof(wire));
    assert_true(pv_fp_builder_has_sent(w->a.b, id, pv_view(wire, 16)));
    assert_false(pv_fp_builder_has_sent(w->a.b, id, pv_view(wire, 15)));
    assert_false(pv_fp_builder_has_sent(w->a.b, w->b_at_a, pv_view(wire, 16)));
    for (size_t i = 0; i < sizeof(wire); i++) {
        wire[i] ^= 0x40; /* another type, receiver, a counter that is not yet */
        assert_false(pv_fp_builder_has_sent(w->a.b, id, pv_view(wire, 16)));
        wire[i] ^= 0x40;
    }
}

PV_TEST(a_packet_that_waited_goes_in_parts_too)
{
    uint8_t p[3][1280];
    assert_ok(pv_fp_builder_set_path(w->a.b, w->b_at_a, NULL, 0));
    fp_publish(&w->a);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(tx(p[i], make(p[i], i != 1, 1280, i)).n_sends, 0);
    set_mtu(NARROW);
    assert_false(pv_fp_flush(w->a.w, w->a.snap, w->now));
    struct pv_fp_results r = pv_fp_results(w->a.w);
    assert_int_equal(r.n_sends, 6);
    r = carry(&r, NULL, PV_ECN_NONE);
    assert_int_equal(r.n_writes, 3);
    for (size_t i = 0; i < 3; i++)
        assert_memory_equal(r.writes[i].data, p[i], 1280);
}

PV_TEST(broadcast_goes_in_parts_where_it_must)
{
    uint8_t p[1280];
    const struct pv_fp_group all = {.group = pv_group_broadcast(), .wakes = true, .n = 1};
    assert_ok(pv_fp_builder_set_groups(w->a.b, &all, 1, &w->b_at_a, 1));
    fp_publish(&w->a);
    fp_packet(p, fp_ip4(1), pv_addr4(10, 66, 255, 255, 0), 1280, 9);
    struct pv_fp_results r = tx(p, 1280);
    assert_int_equal(r.n_sends, 2);
    r = carry(&r, NULL, PV_ECN_NONE);
    assert_int_equal(r.n_writes, 1);
    assert_memory_equal(r.writes[0].data, p, 1280);
}
