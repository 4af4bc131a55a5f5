/* SPDX-License-Identifier: MIT */
/* The fast path over a TURN channel: framing both ways, Data indications, switching. */
#include "fp_util.h"
#include "proto/stun/turn.h"
#include "tests/unit/test_util.h"

enum {
    CHANNEL_A = 0x4001, /* a's channel to b */
    CHANNEL_B = 0x4000, /* b's channel to a */
    SWITCHES = 1000,
    PER_SWITCH = 20, /* packets each way between two switches */
    FLIGHT_MAX = 4096,
};

static const uint8_t TXID[PV_STUN_TXID_LEN] = {9};

/* Two nodes, and what the relay and the network between them would do. */
struct pair {
    struct fp_node a, b;
    uint32_t pa, pb; /* a's peer b, b's peer a */
    struct pv_addr server, va, vb;
};

static struct pv_carrier channel(const struct pair *p, uint16_t number, const struct pv_addr *to)
{
    return (struct pv_carrier){
        .kind = PV_CARRIER_CHANNEL, .channel = number, .remote = *to, .relay = p->server};
}

static void end(void *ctx)
{
    struct pair *p = ctx;
    fp_node_done(&p->a);
    fp_node_done(&p->b);
}

static void begin(struct pair *p)
{
    uint8_t coord[32] = {1}, na[32] = {2}, nb[32] = {3};
    memset(p, 0, sizeof(*p));
    test_defer(end, p);
    fp_meet(&p->a, &p->b, &p->pa, &p->pb);
    fp_add_keys(&p->a, p->pa, &p->b, p->pb, PV_S(1), NULL);
    p->server = pv_addr4(192, 0, 2, 99, 3478);
    p->va = pv_turn_virtual_addr(coord, na);
    p->vb = pv_turn_virtual_addr(coord, nb);
    const struct pv_fp_relay_way way = {.server = p->server, .udp = true};
    struct pv_carrier to_b = channel(p, CHANNEL_A, &p->vb), to_a = channel(p, CHANNEL_B, &p->va);
    assert_int_equal(pv_fp_builder_set_channel(p->a.b, 0, CHANNEL_A, &p->vb), PV_ERR_STATE);
    assert_ok(pv_fp_builder_set_relay(p->a.b, 0, &way));
    assert_ok(pv_fp_builder_set_relay(p->b.b, 0, &way));
    assert_ok(pv_fp_builder_set_channel(p->a.b, 0, CHANNEL_A, &p->vb));
    assert_ok(pv_fp_builder_set_channel(p->b.b, 0, CHANNEL_B, &p->va));
    assert_int_equal(pv_fp_builder_set_channel(p->a.b, 0, 0x3fff, &p->vb), PV_ERR_MALFORMED);
    assert_int_equal(pv_fp_builder_set_channel(p->a.b, 0, 0x5000, &p->vb), PV_ERR_MALFORMED);
    assert_ok(pv_fp_builder_set_path(p->a.b, p->pa, &to_b, 1472));
    assert_ok(pv_fp_builder_set_path(p->b.b, p->pb, &to_a, 1472));
    fp_publish(&p->a);
    fp_publish(&p->b);
}

/* One packet from a to b; the datagram as it leaves. */
static size_t sent(struct pair *p, size_t len, uint32_t mark, uint8_t *ret)
{
    uint8_t packet[1500];
    fp_packet(packet, fp_ip4(1), fp_ip4(2), len, mark);
    struct pv_fp_results r = fp_tx_one(&p->a, packet, len, PV_S(2));
    if (r.n_sends == 0)
        return 0;
    assert_int_equal(r.n_sends, 1);
    assert_true(pv_addr_equal(pv_carrier_dst(r.sends[0].to), &p->server));
    memcpy(ret, r.sends[0].data, r.sends[0].len);
    return r.sends[0].len;
}

static struct pv_fp_results received(struct fp_node *n, const struct pv_addr *from, uint8_t *data,
                                     size_t len)
{
    struct pv_carrier carrier = {.kind = PV_CARRIER_UDP, .remote = *from};
    return fp_rx_one(n, carrier, data, len, PV_S(2));
}

PV_TEST(packets_go_through_channels)
{
    static struct pair p;
    uint8_t buf[1600];
    uint16_t number;
    struct pv_view data;
    begin(&p);
    for (size_t size = 100; size <= 1420; size += 120) {
        size_t len = sent(&p, size, 7, buf);
        assert_ok(pv_turn_channel_parse(pv_view(buf, len), &number, &data));
        assert_int_equal(number, CHANNEL_A);
        assert_int_equal(data.len + PV_TURN_CHANNEL_HEADER, len); /* no padding over UDP */
        assert_true(len <= 1472);
        pv_turn_channel_header(buf, CHANNEL_B, (uint16_t)data.len); /* what the relay does */
        struct pv_fp_results r = received(&p.b, &p.server, buf, len);
        assert_int_equal(r.n_writes, 1);
        for (size_t i = 0; i < r.n_punts; i++)
            assert_int_not_equal(r.punts[i].kind, PV_FP_PUNT_STRAY); /* it is the selected path */
    }
}

PV_TEST(the_header_of_a_channel_counts_against_the_mtu)
{
    static struct pair p;
    uint8_t buf[1600];
    begin(&p);
    struct pv_carrier to_b = channel(&p, CHANNEL_A, &p.vb);
    for (uint16_t mtu = 1400; mtu < 1410; mtu++) {
        assert_ok(pv_fp_builder_set_path(p.a.b, p.pa, &to_b, mtu));
        fp_publish(&p.a);
        size_t largest = (size_t)mtu - PV_FP_OVERHEAD - PV_TURN_CHANNEL_HEADER;
        assert_int_equal(sent(&p, largest, 1, buf), mtu);
        assert_int_equal(sent(&p, largest + 1, 1, buf), 0);
    }
}

PV_TEST(data_is_received_by_indications_too)
{
    static struct pair p;
    uint8_t buf[1600], ind[1700];
    size_t ind_len;
    begin(&p);
    size_t len = sent(&p, 200, 7, buf);
    assert_ok(pv_turn_indication_build(
        PV_TURN_DATA, TXID, &p.va,
        pv_view(buf + PV_TURN_CHANNEL_HEADER, len - PV_TURN_CHANNEL_HEADER), ind, sizeof(ind),
        &ind_len));
    struct pv_fp_results r = received(&p.b, &p.server, ind, ind_len);
    assert_int_equal(r.n_writes, 1);
    for (size_t i = 0; i < r.n_punts; i++)
        assert_int_not_equal(r.punts[i].kind, PV_FP_PUNT_STRAY);
}

PV_TEST(control_messages_inside_come_from_the_virtual_address)
{
    static struct pair p;
    uint8_t buf[300] = {0};
    begin(&p);
    struct pv_carrier want = channel(&p, CHANNEL_B, &p.va);
    pv_turn_channel_header(buf, CHANNEL_B, 148);
    buf[4] = 1; /* a handshake's message 1 */
    struct pv_fp_results r = received(&p.b, &p.server, buf, 152);
    assert_int_equal(r.n_punts, 1);
    assert_int_equal(r.punts[0].kind, PV_FP_PUNT_DATAGRAM);
    assert_int_equal(r.punts[0].bytes.len, 148);
    assert_int_equal(r.punts[0].from.channel, CHANNEL_B);
    assert_true(pv_carrier_same(&r.punts[0].from, &want));
    assert_true(pv_addr_equal(&r.punts[0].from.remote, &p.va));
    /* An answer of the server itself is its own. */
    static const uint8_t answer[20] = {0x01, 0x03, 0, 0, 0x21, 0x12, 0xa4, 0x42};
    memcpy(buf, answer, sizeof(answer));
    r = received(&p.b, &p.server, buf, sizeof(answer));
    assert_int_equal(r.n_punts, 1);
    assert_int_equal(r.punts[0].from.kind, PV_CARRIER_UDP);
}

PV_TEST(a_message_not_of_our_server_is_dropped)
{
    static struct pair p;
    uint8_t buf[1600], copy[1600];
    struct pv_addr stranger = pv_addr4(192, 0, 2, 98, 3478);
    begin(&p);
    size_t len = sent(&p, 200, 7, buf);
    pv_turn_channel_header(buf, CHANNEL_B, (uint16_t)(len - 4));
    memcpy(copy, buf, len);
    struct pv_fp_results r = received(&p.b, &stranger, copy, len);
    assert_int_equal(r.n_writes + r.n_punts, 0);
    memcpy(copy, buf, len);
    copy[1] = 0x77; /* nobody's channel */
    r = received(&p.b, &p.server, copy, len);
    assert_int_equal(r.n_writes + r.n_punts, 0);
    memmove(copy + 4, buf, len); /* a channel in a channel */
    pv_turn_channel_header(copy, CHANNEL_B, (uint16_t)len);
    r = received(&p.b, &p.server, copy, len + 4);
    assert_int_equal(r.n_writes + r.n_punts, 0);
    assert_int_equal(pv_fp_drops(p.b.w, PV_FP_DROP_JUNK), 3);
    assert_ok(pv_fp_builder_set_relay(p.b.b, 0, NULL));
    fp_publish(&p.b);
    r = received(&p.b, &p.server, buf, len);
    assert_int_equal(r.n_writes + r.n_punts, 0);
}

/* The former server goes on relaying for a while, in channels of the same numbers. */
PV_TEST(a_message_of_the_former_server_is_received)
{
    static struct pair p;
    uint8_t buf[1600];
    begin(&p);
    struct pv_fp_relay_way way = {
        .server = pv_addr4(192, 0, 2, 97, 3478), .udp = true, .former = p.server};
    assert_ok(pv_fp_builder_set_relay(p.b.b, 0, &way));
    fp_publish(&p.b);
    const struct pv_addr both[] = {way.server, way.former};
    for (size_t i = 0; i < PV_ARRAY_LEN(both); i++) {
        size_t len = sent(&p, 200, 7, buf);
        pv_turn_channel_header(buf, CHANNEL_B, (uint16_t)(len - 4));
        struct pv_fp_results r = received(&p.b, &both[i], buf, len);
        assert_int_equal(r.n_writes, 1);
        for (size_t k = 0; k < r.n_punts; k++)
            assert_int_not_equal(r.punts[k].kind, PV_FP_PUNT_STRAY); /* it is the selected path */
    }
    way.former = (struct pv_addr){.family = PV_AF_NONE};
    assert_ok(pv_fp_builder_set_relay(p.b.b, 0, &way));
    fp_publish(&p.b);
    for (size_t i = 0; i < PV_ARRAY_LEN(both); i++) {
        size_t len = sent(&p, 200, 7, buf);
        pv_turn_channel_header(buf, CHANNEL_B, (uint16_t)(len - 4));
        assert_int_equal(received(&p.b, &both[i], buf, len).n_writes, i == 0 ? 1 : 0);
    }
}

/* --- switching ------------------------------------------------------------------------------- */

struct flight {
    pv_ns due;
    bool to_b, relayed;
    size_t len;
    uint8_t bytes[256];
};

struct world {
    struct pair p;
    struct flight *flights; /* a ring in no order: due decides */
    size_t n;
    uint8_t seen[2][SWITCHES * PER_SWITCH]; /* how often each packet came, by direction */
};

static void launch(struct world *w, bool to_b, pv_ns now)
{
    struct fp_node *n = to_b ? &w->p.a : &w->p.b;
    struct pv_fp_results r = pv_fp_results(n->w);
    for (size_t i = 0; i < r.n_sends; i++) {
        struct flight *f = &w->flights[w->n++];
        assert_true(w->n < FLIGHT_MAX && r.sends[i].len <= sizeof(f->bytes));
        bool relayed = r.sends[i].to->kind == PV_CARRIER_CHANNEL;
        *f = (struct flight){.due = now + (relayed ? PV_MS(60) : PV_MS(9)),
                             .to_b = to_b,
                             .relayed = relayed,
                             .len = r.sends[i].len};
        memcpy(f->bytes, r.sends[i].data, f->len);
    }
}

static void land(struct world *w, pv_ns now)
{
    for (size_t i = 0; i < w->n;) {
        struct flight *f = &w->flights[i];
        if (f->due > now) {
            i++;
            continue;
        }
        struct fp_node *n = f->to_b ? &w->p.b : &w->p.a;
        struct pv_addr from = f->relayed ? w->p.server : fp_carrier(f->to_b ? 1 : 2).remote;
        if (f->relayed)
            pv_turn_channel_header(f->bytes, f->to_b ? CHANNEL_B : CHANNEL_A,
                                   (uint16_t)(f->len - PV_TURN_CHANNEL_HEADER));
        struct pv_fp_results r = received(n, &from, f->bytes, f->len);
        for (size_t k = 0; k < r.n_writes; k++) {
            w->seen[f->to_b][pv_load_be32(r.writes[k].data + r.writes[k].len - 4)]++;
        }
        *f = w->flights[--w->n];
    }
}

/* 10,000 packets a second each way, the relay 60 ms long and the direct path 9 ms. */
PV_TEST(a_thousand_switches_lose_and_double_nothing)
{
    struct world *w = test_alloc(sizeof(*w));
    test_defer(free, w);
    w->flights = calloc(FLIGHT_MAX, sizeof(*w->flights));
    assert_non_null(w->flights);
    test_defer(free, w->flights);
    begin(&w->p);
    pv_ns now = PV_S(2);
    uint32_t mark = 0;
    for (unsigned s = 0; s < SWITCHES; s++) {
        bool relayed = s % 2 == 0;
        struct pv_carrier to_b = relayed ? channel(&w->p, CHANNEL_A, &w->p.vb) : fp_carrier(2);
        struct pv_carrier to_a = relayed ? channel(&w->p, CHANNEL_B, &w->p.va) : fp_carrier(1);
        assert_ok(pv_fp_builder_set_path(w->p.a.b, w->p.pa, &to_b, 0));
        assert_ok(pv_fp_builder_set_path(w->p.b.b, w->p.pb, &to_a, 0));
        fp_publish(&w->p.a);
        fp_publish(&w->p.b);
        for (unsigned i = 0; i < PER_SWITCH; i++, mark++) {
            uint8_t packet[100];
            fp_packet(packet, fp_ip4(1), fp_ip4(2), sizeof(packet), mark);
            fp_tx_one(&w->p.a, packet, sizeof(packet), now);
            launch(w, true, now);
            fp_packet(packet, fp_ip4(2), fp_ip4(1), sizeof(packet), mark);
            fp_tx_one(&w->p.b, packet, sizeof(packet), now);
            launch(w, false, now);
            now += PV_US(100);
            land(w, now);
        }
    }
    land(w, now + PV_S(1));
    for (unsigned d = 0; d < 2; d++)
        for (uint32_t i = 0; i < mark; i++)
            assert_int_equal(w->seen[d][i], 1);
}
