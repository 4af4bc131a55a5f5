/* SPDX-License-Identifier: MIT */
/* The fast path over streams to relays (TURN by TCP or TLS), and what goes through each relay. */
#include "fp_util.h"
#include "proto/stun/turn.h"
#include "tests/unit/test_util.h"

enum {
    VIA = 3,       /* which relay */
    STREAM = 11,   /* number of its connection */
    TO_B = 0x4005, /* a's channel to b */
    TO_A = 0x4002, /* b's channel to a */
};

/* Two nodes whose relays are reached by streams. */
struct pair {
    struct fp_node a, b;
    uint32_t pa, pb; /* a's peer b, b's peer a */
    struct pv_addr server, at_a, at_b;
};

static struct pv_carrier stream(const struct pair *p, uint16_t channel, const struct pv_addr *to)
{
    return (struct pv_carrier){.kind = PV_CARRIER_STREAM,
                               .sock = STREAM,
                               .channel = channel,
                               .via = VIA,
                               .remote = *to,
                               .relay = p->server};
}

static void end(void *ctx)
{
    struct pair *p = ctx;
    fp_node_done(&p->a);
    fp_node_done(&p->b);
}

static void begin(struct pair *p, uint16_t mtu)
{
    memset(p, 0, sizeof(*p));
    test_defer(end, p);
    fp_meet(&p->a, &p->b, &p->pa, &p->pb);
    fp_add_keys(&p->a, p->pa, &p->b, p->pb, PV_S(1), NULL);
    p->server = pv_addr4(192, 0, 2, 99, 443);
    p->at_a = pv_addr4(192, 0, 2, 99, 50001);
    p->at_b = pv_addr4(192, 0, 2, 99, 50002);
    const struct pv_fp_relay_way way = {.server = p->server, .stream = STREAM};
    const struct pv_carrier to_b = stream(p, TO_B, &p->at_b), to_a = stream(p, TO_A, &p->at_a);
    struct pv_fp_builder *builders[] = {p->a.b, p->b.b};
    for (size_t i = 0; i < 2; i++)
        assert_ok(pv_fp_builder_set_relay(builders[i], VIA, &way));
    assert_ok(pv_fp_builder_set_channel(p->a.b, VIA, TO_B, &p->at_b));
    assert_ok(pv_fp_builder_set_channel(p->b.b, VIA, TO_A, &p->at_a));
    assert_ok(pv_fp_builder_set_path(p->a.b, p->pa, &to_b, mtu));
    assert_ok(pv_fp_builder_set_path(p->b.b, p->pb, &to_a, mtu));
    fp_publish(&p->a);
    fp_publish(&p->b);
}

/* One packet of len bytes from a to b; the message as it is handed to the stream. */
static size_t sent(struct pair *p, size_t len, uint8_t *ret)
{
    uint8_t packet[1500];
    fp_packet(packet, fp_ip4(1), fp_ip4(2), len, 7);
    struct pv_fp_results r = fp_tx_one(&p->a, packet, len, PV_S(2));
    assert_int_equal(r.n_sends, 1);
    assert_int_equal(r.sends[0].to->kind, PV_CARRIER_STREAM);
    assert_int_equal(r.sends[0].to->sock, STREAM);
    memcpy(ret, r.sends[0].data, r.sends[0].len);
    return r.sends[0].len;
}

static struct pv_fp_results received(struct pair *p, const struct pv_carrier *from, uint8_t *data,
                                     size_t len)
{
    return fp_rx_one(&p->b, *from, data, len, PV_S(2));
}

static const struct pv_carrier FROM_STREAM = {.kind = PV_CARRIER_STREAM, .sock = STREAM};

static struct pair p;

PV_TEST(packets_go_through_streams)
{
    uint8_t buf[1600];
    uint16_t number;
    struct pv_view data;
    begin(&p, 0); /* no size is probed: the largest packet of the interface fits */
    for (size_t size = 60; size <= 1420; size += 136) {
        size_t len = sent(&p, size, buf);
        assert_ok(pv_turn_channel_parse(pv_view(buf, len), &number, &data));
        assert_int_equal(number, TO_B);
        assert_int_equal(data.len + PV_TURN_CHANNEL_HEADER, len); /* who writes it pads it */
        pv_turn_channel_header(buf, TO_A, (uint16_t)data.len);    /* what the relay does */
        struct pv_fp_results r = received(&p, &FROM_STREAM, buf, len);
        assert_int_equal(r.n_writes, 1);
        for (size_t i = 0; i < r.n_punts; i++)
            assert_int_not_equal(r.punts[i].kind, PV_FP_PUNT_STRAY); /* it is the selected path */
    }
}

PV_TEST(a_batch_is_one_message_for_each_packet)
{
    static uint8_t bytes[8][1500];
    struct pv_fp_packet in[8];
    begin(&p, 0);
    for (size_t i = 0; i < 8; i++)
        in[i] = (struct pv_fp_packet){
            .data = bytes[i], .len = fp_packet(bytes[i], fp_ip4(1), fp_ip4(2), 500, (uint32_t)i)};
    assert_int_equal(pv_fp_tx(p.a.w, p.a.snap, in, 8, PV_S(2)), 8);
    struct pv_fp_results r = pv_fp_results(p.a.w);
    assert_int_equal(r.n_sends, 8);
    for (size_t i = 0; i < r.n_sends; i++) {
        uint16_t number;
        struct pv_view data;
        assert_int_equal(r.sends[i].to->sock, STREAM);
        assert_ok(pv_turn_channel_parse(pv_view(r.sends[i].data, r.sends[i].len), &number, &data));
    }
    /* A packet that the stream does not take is counted. */
    pv_fp_send_lost(p.a.w, &r.sends[0]);
    assert_int_equal(pv_fp_drops(p.a.w, PV_FP_DROP_STREAM), 1);
}

PV_TEST(data_is_received_by_indications_too)
{
    uint8_t buf[1600], ind[1700];
    static const uint8_t txid[PV_STUN_TXID_LEN] = {9};
    size_t ind_len;
    begin(&p, 0);
    size_t len = sent(&p, 200, buf);
    const struct pv_view inner =
        pv_view(buf + PV_TURN_CHANNEL_HEADER, len - PV_TURN_CHANNEL_HEADER);
    assert_ok(
        pv_turn_indication_build(PV_TURN_DATA, txid, &p.at_a, inner, ind, sizeof(ind), &ind_len));
    struct pv_fp_results r = received(&p, &FROM_STREAM, ind, ind_len);
    assert_int_equal(r.n_writes, 1);
    for (size_t i = 0; i < r.n_punts; i++)
        assert_int_not_equal(r.punts[i].kind, PV_FP_PUNT_STRAY);
}

PV_TEST(a_message_not_from_the_present_stream_is_dropped)
{
    uint8_t buf[1600], copy[1600];
    struct pv_carrier others[] = {
        {.kind = PV_CARRIER_STREAM, .sock = STREAM + 8}, /* one before or after it */
        {.kind = PV_CARRIER_STREAM, .sock = 0},
        {.kind = PV_CARRIER_UDP}, /* the relay is not used by datagrams */
    };
    begin(&p, 0);
    others[2].remote = p.server;
    size_t len = sent(&p, 200, buf);
    pv_turn_channel_header(buf, TO_A, (uint16_t)(len - PV_TURN_CHANNEL_HEADER));
    for (size_t i = 0; i < PV_ARRAY_LEN(others); i++) {
        memcpy(copy, buf, len);
        struct pv_fp_results r = received(&p, &others[i], copy, len);
        assert_int_equal(r.n_writes + r.n_punts, 0);
        assert_int_equal(pv_fp_drops(p.b.w, PV_FP_DROP_JUNK), i + 1);
    }
    /* WireGuard's bytes without a frame are nothing that a relay says. */
    memcpy(copy, buf + PV_TURN_CHANNEL_HEADER, len - PV_TURN_CHANNEL_HEADER);
    struct pv_fp_results r = received(&p, &FROM_STREAM, copy, len - PV_TURN_CHANNEL_HEADER);
    assert_int_equal(r.n_writes + r.n_punts, 0);
    /* Nor is a channel that is nobody's, or a cut or a padded frame of ours. */
    memcpy(copy, buf, len);
    copy[1] ^= 1;
    r = received(&p, &FROM_STREAM, copy, len);
    assert_int_equal(r.n_writes + r.n_punts, 0);
    for (size_t cut = 0; cut < len; cut++) {
        memcpy(copy, buf, cut);
        r = received(&p, &FROM_STREAM, copy, cut);
        assert_int_equal(r.n_writes + r.n_punts, 0);
    }
    memcpy(copy, buf, len);
    assert_int_equal(received(&p, &FROM_STREAM, copy, len).n_writes, 1);
}

/* The former server goes on relaying for a while, through its own connection. */
PV_TEST(a_message_of_the_former_stream_is_received)
{
    uint8_t buf[1600];
    begin(&p, 0);
    struct pv_fp_relay_way way = {.server = pv_addr4(192, 0, 2, 98, 443),
                                  .stream = STREAM + 8,
                                  .former = p.server,
                                  .former_stream = STREAM};
    const struct pv_carrier present = {.kind = PV_CARRIER_STREAM, .sock = STREAM + 8};
    for (int held = 1; held >= 0; held--) {
        assert_ok(pv_fp_builder_set_relay(p.b.b, VIA, &way));
        fp_publish(&p.b);
        size_t len = sent(&p, 200, buf);
        pv_turn_channel_header(buf, TO_A, (uint16_t)(len - PV_TURN_CHANNEL_HEADER));
        assert_int_equal(received(&p, &FROM_STREAM, buf, len).n_writes, held);
        len = sent(&p, 200, buf);
        pv_turn_channel_header(buf, TO_A, (uint16_t)(len - PV_TURN_CHANNEL_HEADER));
        assert_int_equal(received(&p, &present, buf, len).n_writes, 1);
        way.former.family = PV_AF_NONE;
        way.former_stream = 0;
    }
}

PV_TEST(the_servers_own_words_go_up_with_their_stream)
{
    uint8_t answer[20] = {0x01, 0x03, 0, 0, 0x21, 0x12, 0xa4, 0x42};
    uint8_t message1[152] = {0};
    begin(&p, 0);
    struct pv_fp_results r = received(&p, &FROM_STREAM, answer, sizeof(answer));
    assert_int_equal(r.n_punts, 1);
    assert_int_equal(r.punts[0].from.kind, PV_CARRIER_STREAM);
    assert_int_equal(r.punts[0].from.sock, STREAM);
    assert_int_equal(r.punts[0].from.channel, 0);
    pv_turn_channel_header(message1, TO_A, 148); /* a handshake of the peer's inside */
    message1[4] = 1;
    r = received(&p, &FROM_STREAM, message1, sizeof(message1));
    assert_int_equal(r.n_punts, 1);
    const struct pv_carrier want = stream(&p, TO_A, &p.at_a);
    assert_true(pv_carrier_same(&r.punts[0].from, &want));
    assert_int_equal(r.punts[0].from.via, VIA);
}

/* Each relay's bytes are its own, and what goes directly is nobody's. */
PV_TEST(bytes_are_counted_for_the_relay_they_went_through)
{
    uint8_t buf[1600];
    begin(&p, 0);
    const struct pv_fp_relay_way way = {.server = pv_addr4(192, 0, 2, 98, 3478), .udp = true};
    assert_ok(pv_fp_builder_set_relay(p.b.b, 0, &way));
    assert_ok(pv_fp_builder_set_channel(p.b.b, 0, TO_A, &p.at_a));
    fp_publish(&p.b);
    const struct pv_carrier sources[] = {
        FROM_STREAM,
        {.kind = PV_CARRIER_UDP, .remote = way.server},
        {.kind = PV_CARRIER_UDP, .remote = pv_addr4(203, 0, 113, 1, 1000)},
    };
    uint8_t batch[6][1600];
    struct pv_fp_datagram in[6];
    for (size_t i = 0; i < 6; i++) { /* of all ways in one batch, each another size */
        size_t len = sent(&p, 100 * (i + 1), buf);
        bool framed = i % 3 != 2;
        size_t skip = framed ? 0 : PV_TURN_CHANNEL_HEADER;
        pv_turn_channel_header(buf, TO_A, (uint16_t)(len - PV_TURN_CHANNEL_HEADER));
        memcpy(batch[i], buf + skip, len - skip);
        in[i] =
            (struct pv_fp_datagram){.from = sources[i % 3], .data = batch[i], .len = len - skip};
    }
    assert_int_equal(pv_fp_rx(p.b.w, p.b.snap, in, 6, PV_S(2)), 6);
    struct pv_fp_live *to = pv_fp_builder_live(p.a.b, p.pa), *at = pv_fp_builder_live(p.b.b, p.pb);
    assert_int_equal(atomic_load(&to->tx_bytes), 2100);
    assert_int_equal(atomic_load(&at->rx_bytes), 2100);
    for (size_t i = 0; i < PV_FP_MAX_RELAYS; i++) {
        assert_int_equal(atomic_load(&to->tx_relayed[i]), i == VIA ? 2100 : 0);
        assert_int_equal(atomic_load(&at->rx_relayed[i]), i == VIA ? 500 : i == 0 ? 700 : 0);
    }
}
