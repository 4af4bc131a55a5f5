/* SPDX-License-Identifier: MIT */
#include "daemon/core/packets/fastpath.h"
#include "daemon/core/packets/fp_state.h"
#include "fp_pair.h"
#include "proto/ip/ippkt.h"

/* Node a = 10.66.0.1 and node b = 10.66.0.2, members, reachable, with keys. */
static struct fp_pair pair, *const p = &pair;

static int setup(void **state)
{
    fp_pair_connect(p);
    return 0;
}

/* A UDP packet of 60 bytes from node n to an address. */
static struct pv_fp_results tx_to(struct fp_node *n, struct pv_addr src, struct pv_addr dst,
                                  pv_ns now)
{
    static uint8_t packet[60];
    return fp_tx_one(n, packet, fp_packet(packet, src, dst, sizeof(packet), 1), now);
}

/* Receives one datagram from remote number `from`; the buffer is exact, so that reads beyond it
 * are seen, and lives until the next call. */
static struct pv_fp_results rx(struct fp_node *n, const uint8_t *data, size_t len, uint32_t from,
                               pv_ns now)
{
    static uint8_t *exact;
    free(exact);
    exact = malloc(len == 0 ? 1 : len);
    assert_non_null(exact);
    memcpy(exact, data, len);
    return fp_rx_one(n, fp_carrier(from), exact, len, now);
}

static struct pv_fp_live *live(struct fp_node *n, uint32_t id)
{
    return pv_fp_builder_live(n->b, id);
}

static const struct pv_fp_punt *punt(const struct pv_fp_results *r, enum pv_fp_punt_kind kind)
{
    for (size_t i = 0; i < r->n_punts; i++) {
        if (r->punts[i].kind == kind)
            return &r->punts[i];
    }
    return NULL;
}

/* Seals any content at a, as the control side could. */
static size_t sealed(const void *content, size_t len, uint8_t *out)
{
    assert_ok(pv_fp_inject(p->a.w, p->a.snap, p->b_at_a, pv_view(content, len), p->now));
    struct pv_fp_results r = pv_fp_results(p->a.w);
    memcpy(out, r.sends[0].data, r.sends[0].len);
    return r.sends[0].len;
}

/* --- the way there and back ------------------------------------------------------------------ */

PV_TEST_IN(a_packet_crosses_and_keeps_its_bytes, setup, NULL)
{
    uint8_t in[1420];

    for (size_t len = 60; len <= 1420; len += 85) {
        bool six = len % 2 == 0;
        fp_packet(in, six ? fp_ip6(1) : fp_ip4(1), six ? fp_ip6(2) : fp_ip4(2), len, 77);
        struct pv_fp_results r = fp_tx_one(&p->a, in, len, p->now);
        assert_int_equal(r.n_sends, 1);
        assert_int_equal(r.sends[0].peer, p->b_at_a);
        struct pv_carrier to = fp_carrier(2);
        assert_true(pv_carrier_same(r.sends[0].to, &to));
        size_t padded = (len + 15) / 16 * 16;
        assert_int_equal(r.sends[0].len, (padded > 1420 ? 1420 : padded) + 32);
        assert_memory_equal(r.sends[0].data, "\x04\0\0\0", 4); /* whitepaper s5.4.6 */
        assert_int_equal(pv_load_le32(r.sends[0].data + 4), p->b_index);

        r = rx(&p->b, r.sends[0].data, r.sends[0].len, 1, p->now);
        assert_int_equal(r.n_writes, 1);
        assert_int_equal(r.writes[0].len, len);
        assert_memory_equal(r.writes[0].data, in, len);
    }
    struct pv_fp_live *at_b = live(&p->b, p->a_at_b), *at_a = live(&p->a, p->b_at_a);
    assert_int_equal(atomic_load(&at_a->tx_packets), 17);
    assert_int_equal(atomic_load(&at_b->rx_packets), 17);
    assert_int_equal(atomic_load(&at_a->tx_bytes), atomic_load(&at_b->rx_bytes));
    assert_true(atomic_load(&at_a->last_tx_data) == p->now);
    assert_true(atomic_load(&at_b->last_rx_data) == p->now);
    assert_true(atomic_load(&at_b->last_rx_selected) == p->now);
}

PV_TEST_IN(counters_start_at_zero_and_rise_by_one, setup, NULL)
{

    for (uint64_t i = 0; i < 5; i++) {
        struct pv_fp_results r = tx_to(&p->a, fp_ip4(1), fp_ip4(2), p->now);
        assert_true(pv_load_le64(r.sends[0].data + 8) == i);
    }
}

PV_TEST_IN(a_large_batch_keeps_its_order, setup, NULL)
{
    enum {
        N = 5000
    };
    static uint8_t in[N][80], out[N][128];
    static struct pv_fp_packet packets[N];
    static struct pv_fp_datagram datagrams[N];
    size_t done = 0, got = 0, calls = 0;

    for (uint32_t i = 0; i < N; i++) {
        fp_packet(in[i], fp_ip4(1), fp_ip4(2), sizeof(in[i]), i);
        packets[i] = (struct pv_fp_packet){.data = in[i], .len = sizeof(in[i])};
    }
    for (size_t i = 0; i < N; calls++) {
        size_t n = pv_fp_tx(p->a.w, p->a.snap, packets + i, N - i, p->now);
        struct pv_fp_results r = pv_fp_results(p->a.w);
        assert_true(n > 0);
        assert_int_equal(r.n_sends, n);
        for (size_t k = 0; k < n; k++, done++) {
            memcpy(out[done], r.sends[k].data, r.sends[k].len);
            datagrams[done] = (struct pv_fp_datagram){
                .from = fp_carrier(1), .data = out[done], .len = r.sends[k].len};
        }
        i += n;
    }
    assert_true(calls > 1);
    for (size_t i = 0; i < N;) {
        size_t n = pv_fp_rx(p->b.w, p->b.snap, datagrams + i, N - i, p->now);
        struct pv_fp_results r = pv_fp_results(p->b.w);
        assert_true(n > 0);
        for (size_t k = 0; k < r.n_writes; k++, got++)
            assert_int_equal(pv_load_be32(r.writes[k].data + 76), got);
        i += n;
    }
    assert_int_equal(got, N);
}

PV_TEST_IN(merged_datagrams_are_taken_apart, setup, NULL)
{
    static uint8_t merged[10 * 112];
    size_t len = 0;

    for (uint32_t i = 0; i < 10; i++) {
        uint8_t in[80];
        size_t n = i < 9 ? 80 : 60; /* the last may be shorter */
        struct pv_fp_results r =
            fp_tx_one(&p->a, in, fp_packet(in, fp_ip4(1), fp_ip4(2), n, i), p->now);
        memcpy(merged + len, r.sends[0].data, r.sends[0].len);
        len += r.sends[0].len;
    }
    struct pv_fp_datagram d = {.from = fp_carrier(1), .data = merged, .len = len, .segment = 112};
    assert_int_equal(pv_fp_rx(p->b.w, p->b.snap, &d, 1, p->now), 1);
    assert_int_equal(pv_fp_results(p->b.w).n_writes, 10);
    d.segment = 1; /* more than the kernel ever merges */
    assert_int_equal(pv_fp_rx(p->b.w, p->b.snap, &d, 1, p->now), 1);
    assert_int_equal(pv_fp_drops(p->b.w, PV_FP_DROP_JUNK), 1);
}

/* --- rx: what is refused --------------------------------------------------------------------- */

PV_TEST_IN(a_replayed_packet_is_dropped, setup, NULL)
{
    uint8_t old[128], newer[128];
    uint8_t in[60];
    size_t in_len = fp_packet(in, fp_ip4(1), fp_ip4(2), 60, 0);

    size_t len = sealed(in, in_len, old);
    sealed(in, in_len, newer);
    assert_int_equal(rx(&p->b, newer, len, 1, p->now).n_writes, 1);
    assert_int_equal(rx(&p->b, newer, len, 1, p->now).n_writes, 0);
    assert_int_equal(rx(&p->b, old, len, 1, p->now).n_writes, 1); /* late, but new */
    assert_int_equal(rx(&p->b, old, len, 1, p->now).n_writes, 0);
    assert_int_equal(pv_fp_drops(p->b.w, PV_FP_DROP_REPLAY), 2);
    assert_int_equal(atomic_load(&live(&p->b, p->a_at_b)->drops[PV_FP_DROP_REPLAY]), 2);

    /* Twice in one batch: both pass the first look, one is written. */
    len = sealed(in, in_len, old);
    memcpy(newer, old, len);
    struct pv_fp_datagram d[2] = {{.from = fp_carrier(1), .data = old, .len = len},
                                  {.from = fp_carrier(1), .data = newer, .len = len}};
    assert_int_equal(pv_fp_rx(p->b.w, p->b.snap, d, 2, p->now), 2);
    assert_int_equal(pv_fp_results(p->b.w).n_writes, 1);
    assert_int_equal(pv_fp_drops(p->b.w, PV_FP_DROP_REPLAY), 3);
}

PV_TEST_IN(an_old_counter_is_dropped, setup, NULL)
{
    uint8_t first[128], last[128];
    uint8_t in[60];
    size_t in_len = fp_packet(in, fp_ip4(1), fp_ip4(2), 60, 0), len = sealed(in, in_len, first);

    for (int i = 0; i < PV_REPLAY_WINDOW; i++)
        sealed("", 0, last);
    assert_int_equal(rx(&p->b, last, 32, 1, p->now).n_writes, 0);
    assert_int_equal(rx(&p->b, first, len, 1, p->now).n_writes, 0);
    assert_int_equal(pv_fp_drops(p->b.w, PV_FP_DROP_REPLAY), 1);
}

PV_TEST_IN(every_truncation_and_every_flipped_byte_is_dropped, setup, NULL)
{
    uint8_t out[128], in[60];
    size_t len = sealed(in, fp_packet(in, fp_ip4(1), fp_ip4(2), 60, 0), out);

    for (size_t n = 0; n < len; n++) {
        struct pv_fp_results r = rx(&p->b, out, n, 1, p->now);
        assert_int_equal(r.n_writes + r.n_punts, 0);
    }
    for (size_t i = 0; i < len; i++) {
        out[i] ^= 0x10;
        struct pv_fp_results r = rx(&p->b, out, len, 1, p->now);
        assert_int_equal(r.n_writes + r.n_punts, 0);
        out[i] ^= 0x10;
    }
    assert_true(pv_fp_drops(p->b.w, PV_FP_DROP_AUTH) > 0);
    assert_true(pv_fp_drops(p->b.w, PV_FP_DROP_INDEX) == 4);
    assert_true(pv_fp_drops(p->b.w, PV_FP_DROP_JUNK) == 32 + 4);
    assert_true(atomic_load(&live(&p->b, p->a_at_b)->last_rx_any) == 0);
    assert_int_equal(rx(&p->b, out, len, 1, p->now).n_writes, 1); /* none of it did harm */
}

PV_TEST_IN(an_unknown_index_is_dropped, setup, NULL)
{
    uint8_t out[128];
    size_t len = sealed("", 0, out);

    pv_store_le32(out + 4, p->b_index ^ 0x100);
    assert_int_equal(rx(&p->b, out, len, 1, p->now).n_punts, 0);
    pv_store_le32(out + 4, 0);
    rx(&p->b, out, len, 1, p->now);
    pv_store_le32(out + 4, p->b_index);
    assert_ok(pv_fp_builder_remove_keys(p->b.b, p->a_at_b, p->b_index));
    fp_publish(&p->b);
    rx(&p->b, out, len, 1, p->now);
    assert_int_equal(pv_fp_drops(p->b.w, PV_FP_DROP_INDEX), 3);
    struct pv_fp_datagram d = {.from = fp_carrier(1), .data = out, .len = len};
    assert_int_equal(pv_fp_rx(p->b.w, NULL, &d, 1, p->now), 1);
    assert_int_equal(pv_fp_drops(p->b.w, PV_FP_DROP_INDEX), 4);
}

PV_TEST_IN(keys_expire_for_receiving_exactly_at_their_time, setup, NULL)
{
    uint8_t one[128], two[128];
    size_t len = sealed("", 0, one);

    sealed("", 0, two);
    rx(&p->b, one, len, 1, p->now + PV_FP_REJECT_TIME - 1);
    assert_int_equal(atomic_load(&live(&p->b, p->a_at_b)->rx_packets), 1);
    rx(&p->b, two, len, 1, p->now + PV_FP_REJECT_TIME);
    assert_int_equal(atomic_load(&live(&p->b, p->a_at_b)->rx_packets), 1);
    assert_int_equal(pv_fp_drops(p->b.w, PV_FP_DROP_EXPIRED_KEYS), 1);
    pv_store_le64(two + 8, PV_FP_REJECT_COUNT);
    rx(&p->b, two, len, 1, p->now);
    assert_int_equal(pv_fp_drops(p->b.w, PV_FP_DROP_EXPIRED_KEYS), 2);
}

PV_TEST_IN(a_member_may_only_speak_for_itself_to_this_node, setup, NULL)
{
    struct pv_addr bcast = fp_ip4(0xffff), all = pv_addr4(255, 255, 255, 255, 0);
    struct pv_addr mdns = pv_addr4(224, 0, 0, 251, 0), out = pv_addr4(192, 0, 2, 9, 0), mcast6, ll;
    mcast6 = test_ip("ff02::fb");
    ll = test_ip("fe80::1");
    fp_add_member(&p->b, 3);
    fp_publish(&p->b);
    const struct {
        struct pv_addr src, dst;
        enum pv_fp_drop drop; /* PV_FP_DROP_REASONS: accepted */
        const char *why;
    } rows[] = {
        {fp_ip4(1), fp_ip4(2), PV_FP_DROP_REASONS, "unicast"},
        {fp_ip6(1), fp_ip6(2), PV_FP_DROP_REASONS, "unicast, IPv6"},
        {fp_ip4(1), bcast, PV_FP_DROP_REASONS, "network broadcast"},
        {fp_ip4(1), all, PV_FP_DROP_REASONS, "limited broadcast"},
        {fp_ip4(1), mdns, PV_FP_DROP_REASONS, "multicast"},
        {fp_ip6(1), mcast6, PV_FP_DROP_REASONS, "multicast, IPv6"},
        {fp_ip4(3), fp_ip4(2), PV_FP_DROP_SOURCE, "another member's address"},
        {fp_ip6(3), fp_ip6(2), PV_FP_DROP_SOURCE, "another member's address, IPv6"},
        {fp_ip4(2), fp_ip4(2), PV_FP_DROP_SOURCE, "the receiver's own address"},
        {fp_ip4(99), fp_ip4(2), PV_FP_DROP_SOURCE, "nobody's address"},
        {out, fp_ip4(2), PV_FP_DROP_SOURCE, "an address outside"},
        {fp_ip4(3), bcast, PV_FP_DROP_SOURCE, "spoofed broadcast"},
        {fp_ip4(3), mdns, PV_FP_DROP_SOURCE, "spoofed multicast"},
        {bcast, fp_ip4(2), PV_FP_DROP_SOURCE, "broadcast as source"},
        {mdns, fp_ip4(2), PV_FP_DROP_SOURCE, "multicast as source"},
        {ll, fp_ip6(2), PV_FP_DROP_SOURCE, "link-local source"},
        {ll, mcast6, PV_FP_DROP_SOURCE, "link-local source to multicast"},
        {fp_ip4(1), fp_ip4(3), PV_FP_DROP_DESTINATION, "for another member"},
        {fp_ip4(1), pv_addr4(224, 0, 0, 22, 0), PV_FP_DROP_DESTINATION,
         "a group of its own machine"},
        {fp_ip6(1), pv_addr6((const uint8_t[16]){0xff, 0x01, [15] = 1}, 0), PV_FP_DROP_DESTINATION,
         "a group of its own machine, IPv6"},
        {fp_ip4(1), out, PV_FP_DROP_DESTINATION, "for outside: we are no router"},
        {fp_ip6(1), fp_ip6(3), PV_FP_DROP_DESTINATION, "for another member, IPv6"},
        {fp_ip4(1), fp_ip4(0), PV_FP_DROP_DESTINATION, "network address"},
        {fp_ip6(1), ll, PV_FP_DROP_DESTINATION, "link-local destination"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        uint8_t in[60], buf[128];
        uint64_t before =
            rows[i].drop == PV_FP_DROP_REASONS ? 0 : pv_fp_drops(p->b.w, rows[i].drop);
        size_t len = sealed(in, fp_packet(in, rows[i].src, rows[i].dst, 60, 0), buf);
        size_t written = rx(&p->b, buf, len, 1, p->now).n_writes;
        if (written != (rows[i].drop == PV_FP_DROP_REASONS))
            fail_msg("%s: %zu written", rows[i].why, written);
        if (written == 0 && pv_fp_drops(p->b.w, rows[i].drop) != before + 1)
            fail_msg("%s: not counted as %s", rows[i].why, pv_fp_drop_name(rows[i].drop));
    }
}

/* Merged datagrams are opened in one batch: whose packet came before must not matter. */
PV_TEST_IN(each_packet_of_a_batch_is_asked_for_its_own_source, setup, NULL)
{
    const struct pv_addr sources[] = {fp_ip4(1), fp_ip4(3), fp_ip6(1), fp_ip6(3),
                                      fp_ip4(3), fp_ip4(1), fp_ip4(2)};
    const bool taken[] = {true, false, true, false, false, true, false};
    uint8_t in[60], merged[128 * PV_ARRAY_LEN(sources)];
    size_t segment = 0, len = 0, expected = 0;

    fp_add_member(&p->b, 3);
    fp_publish(&p->b);
    for (size_t i = 0; i < PV_ARRAY_LEN(sources); i++) {
        struct pv_addr to = sources[i].family == PV_AF_INET ? fp_ip4(2) : fp_ip6(2);
        segment = sealed(in, fp_packet(in, sources[i], to, 60, (uint32_t)i), merged + len);
        len += segment;
        expected += taken[i];
    }
    struct pv_fp_datagram d = {
        .from = fp_carrier(1), .data = merged, .len = len, .segment = segment};
    assert_int_equal(pv_fp_rx(p->b.w, p->b.snap, &d, 1, p->now), 1);
    assert_int_equal(pv_fp_results(p->b.w).n_writes, expected);
    assert_int_equal(pv_fp_drops(p->b.w, PV_FP_DROP_SOURCE), PV_ARRAY_LEN(sources) - expected);
}

PV_TEST_IN(broken_inner_packets_are_dropped, setup, NULL)
{
    static const uint8_t rows[][24] = {{0x00},           {0x50, 0x01},     {0xff}, {0x45, 0, 0, 60},
                                       {0x44, 0, 0, 20}, {0x45, 0, 0, 19}, {0x60}};
    uint8_t buf[128];

    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        size_t len = sealed(rows[i], sizeof(rows[i]), buf);
        assert_int_equal(rx(&p->b, buf, len, 1, p->now).n_writes, 0);
        assert_int_equal(pv_fp_drops(p->b.w, PV_FP_DROP_INNER), i + 1);
    }
    /* They were authentic, so the path is alive. */
    assert_true(atomic_load(&live(&p->b, p->a_at_b)->last_rx_selected) == p->now);
    assert_true(atomic_load(&live(&p->b, p->a_at_b)->last_rx_data) == 0);
}

PV_TEST_IN(other_datagrams_are_punted_or_dropped_by_their_first_bytes, setup, NULL)
{
    static const struct {
        uint8_t head[8];
        size_t len;
        bool punt;
        enum pv_fp_drop drop;
        const char *why;
    } rows[] = {
        {{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, 20, true, 0, "Binding request"},
        {{1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, 20, true, 0, "Binding response"},
        {{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x43}, 20, false, PV_FP_DROP_JUNK, "no cookie"},
        {{0x40, 0, 0, 4}, 8, false, PV_FP_DROP_JUNK, "ChannelData of no server of ours"},
        {{0x4f, 0xff, 0, 0}, 4, false, PV_FP_DROP_JUNK, "the same, last channel"},
        {{0x50, 0, 0, 0}, 8, false, PV_FP_DROP_JUNK, "beyond ChannelData"},
        {{1, 0, 0, 0}, 148, true, 0, "message 1"},
        {{2, 0, 0, 0}, 92, true, 0, "message 2"},
        {{3, 0, 0, 0}, 64, true, 0, "message 3"},
        {{1, 0, 0, 1}, 148, true, 0, "message 1, suite 1"},
        {{2, 0, 0, 1}, 92, true, 0, "message 2, suite 1"},
        {{3, 0, 0, 1}, 64, false, PV_FP_DROP_JUNK, "message 3, byte 3"},
        {{1, 0, 0, 2}, 148, false, PV_FP_DROP_JUNK, "message 1, no such suite"},
        {{1, 0, 0, 0}, 147, false, PV_FP_DROP_JUNK, "message 1, short"},
        {{1, 0, 0, 0}, 149, false, PV_FP_DROP_JUNK, "message 1, long"},
        {{4, 0, 0, 1}, 48, false, PV_FP_DROP_JUNK, "message 4, byte 3"},
        {{4, 0, 0, 0}, 31, false, PV_FP_DROP_JUNK, "message 4, short"},
        {{4, 0, 0, 0}, 32, false, PV_FP_DROP_INDEX, "message 4"},
        {{5, 0, 0, 0}, 32, false, PV_FP_DROP_JUNK, "message 5"},
        {{0}, 0, false, PV_FP_DROP_JUNK, "nothing"},
    };

    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        uint8_t buf[160] = {0};
        memcpy(buf, rows[i].head, sizeof(rows[i].head));
        uint64_t before = pv_fp_drops(p->b.w, rows[i].drop);
        struct pv_fp_results r = rx(&p->b, buf, rows[i].len, 9, p->now);
        if (r.n_punts != rows[i].punt || r.n_writes != 0)
            fail_msg("%s: %zu punts", rows[i].why, r.n_punts);
        if (!rows[i].punt && pv_fp_drops(p->b.w, rows[i].drop) != before + 1)
            fail_msg("%s: not counted", rows[i].why);
        if (rows[i].punt) {
            struct pv_carrier from = fp_carrier(9);
            assert_int_equal(r.punts[0].kind, PV_FP_PUNT_DATAGRAM);
            assert_true(pv_carrier_same(&r.punts[0].from, &from));
            assert_int_equal(r.punts[0].bytes.len, rows[i].len);
            assert_int_equal(r.punts[0].peer, 0);
        }
    }
    /* They are punted before anything is published, too. */
    uint8_t buf[148] = {1};
    struct pv_fp_datagram d = {.from = fp_carrier(9), .data = buf, .len = sizeof(buf)};
    assert_int_equal(pv_fp_rx(p->b.w, NULL, &d, 1, p->now), 1);
    assert_int_equal(pv_fp_results(p->b.w).n_punts, 1);
}

/* --- rx: what control is told ---------------------------------------------------------------- */

PV_TEST_IN(the_first_packet_confirms_its_keys_once, setup, NULL)
{
    uint8_t one[64], lost[64], two[64];
    size_t len = sealed("", 0, one);

    sealed("", 0, lost);
    sealed("", 0, two);
    struct pv_fp_results r = rx(&p->b, one, len, 1, p->now);
    assert_int_equal(r.n_punts, 1); /* a keepalive makes nobody active */
    assert_int_equal(r.punts[0].kind, PV_FP_PUNT_KEYS_CONFIRMED);
    assert_int_equal(r.punts[0].index, p->b_index);
    assert_int_equal(r.punts[0].peer, p->a_at_b);
    pv_fp_punt_lost(&r.punts[0]); /* control has not heard of it: the next one tells it */
    r = rx(&p->b, lost, len, 1, p->now);
    assert_int_equal(r.n_punts, 1);
    assert_int_equal(r.punts[0].kind, PV_FP_PUNT_KEYS_CONFIRMED);
    assert_int_equal(rx(&p->b, two, len, 1, p->now).n_punts, 0);
    assert_true(atomic_load(&live(&p->b, p->a_at_b)->last_rx_any) == p->now);
    assert_true(atomic_load(&live(&p->b, p->a_at_b)->last_rx_data) == 0);
}

PV_TEST_IN(activity_is_told_once_until_rearmed, setup, NULL)
{
    struct pv_fp_results r = tx_to(&p->a, fp_ip4(1), fp_ip4(2), p->now);

    assert_int_equal(r.n_punts, 1);
    assert_int_equal(r.punts[0].kind, PV_FP_PUNT_ACTIVE);
    assert_int_equal(r.punts[0].peer, p->b_at_a);
    assert_int_equal(tx_to(&p->a, fp_ip4(1), fp_ip4(2), p->now).n_punts, 0);
    pv_fp_live_rearm_active(live(&p->a, p->b_at_a));
    r = tx_to(&p->a, fp_ip4(1), fp_ip4(2), p->now);
    assert_int_equal(r.n_punts, 1);
    r = rx(&p->b, r.sends[0].data, r.sends[0].len, 1, p->now);
    assert_non_null(punt(&r, PV_FP_PUNT_ACTIVE));
}

PV_TEST_IN(a_packet_from_elsewhere_is_delivered_and_told, setup, NULL)
{
    static uint8_t bufs[4][128];
    struct pv_fp_datagram d[4];
    uint8_t in[60];
    size_t in_len = fp_packet(in, fp_ip4(1), fp_ip4(2), 60, 0);

    for (size_t i = 0; i < 4; i++)
        d[i] = (struct pv_fp_datagram){.from = fp_carrier(i < 3 ? 77 : 78),
                                       .data = bufs[i],
                                       .len = sealed(in, in_len, bufs[i])};
    assert_int_equal(pv_fp_rx(p->b.w, p->b.snap, d, 4, p->now), 4);
    struct pv_fp_results r = pv_fp_results(p->b.w);
    assert_int_equal(r.n_writes, 4);
    size_t strays = 0;
    for (size_t i = 0; i < r.n_punts; i++) {
        if (r.punts[i].kind != PV_FP_PUNT_STRAY)
            continue;
        struct pv_carrier from = fp_carrier(strays == 0 ? 77 : 78);
        assert_int_equal(r.punts[i].peer, p->a_at_b);
        assert_false(r.punts[i].moves); /* only the agent moves a member's path, DESIGN 5 */
        assert_true(pv_carrier_same(&r.punts[i].from, &from));
        assert_int_equal(r.punts[i].count, (strays == 0 ? 3 : 1) * d[0].len);
        strays++;
    }
    assert_int_equal(strays, 2);
    assert_true(atomic_load(&live(&p->b, p->a_at_b)->last_rx_any) == p->now);
    assert_true(atomic_load(&live(&p->b, p->a_at_b)->last_rx_selected) == 0);
}

PV_TEST_IN(the_selected_path_is_socket_and_remote_and_local_if_known, setup, NULL)
{
    struct pv_carrier a = fp_carrier(1), b = fp_carrier(1);
    a.local = pv_addr4(10, 0, 0, 1, 1);
    assert_true(pv_carrier_same(&a, &b));
    b.local = pv_addr4(10, 0, 0, 1, 2);
    assert_true(pv_carrier_same(&a, &b)); /* its port says nothing */
    b.local = pv_addr4(10, 0, 0, 2, 1);
    assert_false(pv_carrier_same(&a, &b));
    b = fp_carrier(1);
    b.sock = 3;
    assert_false(pv_carrier_same(&a, &b));
    b = fp_carrier(1);
    b.remote.port++;
    assert_false(pv_carrier_same(&a, &b));
    a = b = fp_carrier(1);
    a.kind = b.kind = PV_CARRIER_CHANNEL;
    a.relay = b.relay = pv_addr4(192, 0, 2, 99, 3478);
    b.channel = 0x4000; /* how it came through the relay says nothing */
    b.local = pv_addr4(10, 0, 0, 2, 1);
    assert_true(pv_carrier_same(&a, &b));
    b.kind = PV_CARRIER_STREAM; /* nor how the relay itself is reached */
    b.sock = 9;
    assert_true(pv_carrier_same(&a, &b));
    b.via++;
    assert_false(pv_carrier_same(&a, &b));
    a = fp_carrier(1);
    b = fp_carrier(1);
    b.kind = PV_CARRIER_NONE;
    assert_false(pv_carrier_same(&a, &b));
}

PV_TEST_IN(inband_control_of_a_member_is_punted, setup, NULL)
{
    uint8_t buf[64], want[16] = {0xc1, 3, 0, 0};
    size_t len = sealed("\xc1\x03\0\0", 4, buf);
    struct pv_fp_results r = rx(&p->b, buf, len, 1, p->now);

    assert_int_equal(r.n_writes, 0);
    const struct pv_fp_punt *k = punt(&r, PV_FP_PUNT_INBAND);
    assert_non_null(k);
    assert_int_equal(k->peer, p->a_at_b);
    assert_int_equal(k->bytes.len, 16); /* with the session's padding */
    assert_memory_equal(k->bytes.ptr, want, 16);
    assert_null(punt(&r, PV_FP_PUNT_ACTIVE));
    assert_true(atomic_load(&live(&p->b, p->a_at_b)->last_rx_data) == 0);
}

/* A member that floods is bounded by itself, and is heard again a second later. */
PV_TEST_IN(a_flood_of_inband_control_does_not_reach_control, setup, NULL)
{
    size_t punts = 0;
    for (unsigned i = 0; i < 10000; i++) {
        uint8_t buf[64];
        size_t len = sealed("\xc1\x03\0\0", 4, buf);
        const struct pv_fp_results r = rx(&p->b, buf, len, 1, p->now);
        punts += punt(&r, PV_FP_PUNT_INBAND) != NULL;
    }
    assert_in_range(punts, 500, 2500);
    assert_int_equal(pv_fp_drops(p->b.w, PV_FP_DROP_INBAND_RATE), 10000 - punts);
    p->now += PV_S(1);
    uint8_t buf[64];
    size_t len = sealed("\xc1\x03\0\0", 4, buf);
    const struct pv_fp_results r = rx(&p->b, buf, len, 1, p->now);
    assert_non_null(punt(&r, PV_FP_PUNT_INBAND));
}

/* --- static peers ---------------------------------------------------------------------------- */

PV_TEST_IN(a_static_peer_is_held_to_its_allowed_ips_only, setup, NULL)
{
    uint8_t in[60], buf[128];

    assert_ok(pv_fp_builder_remove_peer(p->b.b, p->a_at_b));
    assert_ok(pv_fp_builder_remove_peer(p->a.b, p->b_at_a));
    p->b_at_a = fp_add_static(&p->a, "0.0.0.0/0");
    p->a_at_b = fp_add_static(&p->b, "192.168.7.0/24");
    fp_set_path(&p->a, p->b_at_a, 2, 0);
    fp_set_path(&p->b, p->a_at_b, 1, 0);
    fp_add_keys(&p->a, p->b_at_a, &p->b, p->a_at_b, p->now, NULL);
    fp_pair_publish(p);

    struct pv_addr in_net = pv_addr4(192, 168, 7, 9, 0), outside = pv_addr4(192, 168, 8, 9, 0);
    struct pv_addr anywhere = pv_addr4(8, 8, 8, 8, 0);
    size_t len = sealed(in, fp_packet(in, in_net, anywhere, 60, 0), buf);
    assert_int_equal(rx(&p->b, buf, len, 1, p->now).n_writes, 1); /* any destination */
    len = sealed(in, fp_packet(in, outside, fp_ip4(2), 60, 0), buf);
    assert_int_equal(rx(&p->b, buf, len, 1, p->now).n_writes, 0);
    len = sealed(in, fp_packet(in, fp_ip4(1), fp_ip4(2), 60, 0), buf);
    assert_int_equal(rx(&p->b, buf, len, 1, p->now).n_writes, 0);
    assert_int_equal(pv_fp_drops(p->b.w, PV_FP_DROP_SOURCE), 2);
    len = sealed("\xc1\x03\0\0", 4, buf);
    assert_int_equal(rx(&p->b, buf, len, 1, p->now).n_punts, 0);
    assert_int_equal(pv_fp_drops(p->b.w, PV_FP_DROP_INBAND), 1);

    /* From elsewhere: its path follows it. */
    len = sealed(in, fp_packet(in, in_net, anywhere, 60, 0), buf);
    struct pv_fp_results r = rx(&p->b, buf, len, 77, p->now);
    bool moves = false;
    for (size_t i = 0; i < r.n_punts; i++)
        moves = moves || (r.punts[i].kind == PV_FP_PUNT_STRAY && r.punts[i].moves);
    assert_true(moves);

    /* The default route does not swallow the network's range. */
    assert_int_equal(tx_to(&p->a, fp_ip4(1), anywhere, p->now).n_sends, 1);
    assert_int_equal(tx_to(&p->a, fp_ip4(1), fp_ip4(200), p->now).n_sends, 0);
    assert_int_equal(pv_fp_drops(p->a.w, PV_FP_DROP_NO_PEER), 1);
    /* Multicast goes to a static peer when its allowed-ips say so, as in WireGuard. */
    assert_int_equal(tx_to(&p->a, fp_ip4(1), pv_addr4(224, 0, 0, 251, 0), p->now).n_sends, 1);
}

PV_TEST(every_reason_for_a_drop_has_its_name)
{
    for (int i = 0; i < PV_FP_DROP_REASONS; i++) {
        if (pv_fp_drop_name((enum pv_fp_drop)i) == NULL)
            fail_msg("pv_fp_drop_name() lacks reason %d", i);
    }
}
