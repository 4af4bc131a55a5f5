/* SPDX-License-Identifier: MIT */
/* Broadcast and multicast: who gets a copy, how much of it, and what it counts as. */
#include "daemon/core/packets/fp_many.h"
#include "fp_util.h"
#include "tests/unit/proto/group/group_packets.h"
#include "tests/unit/test_util.h"

enum {
    MEMBERS = 300,
};

/* Node 10.66.0.1 with members 10.66.0.100 and up, which have a path, keys and data lately. All
 * share one other end, b, which knows them as one member each. */
struct world {
    struct fp_node a, b;
    uint32_t ids[MEMBERS], at_b[MEMBERS];
    uint32_t n;
    pv_ns now;
};

static struct world *w; /* of the test that runs */

void test_before_each(void)
{
    w = test_alloc(sizeof(*w));
    w->now = PV_S(10000);
    fp_node_init(&w->a, 1);
    fp_node_init(&w->b, 2);
}

void test_after_each(void)
{
    fp_node_done(&w->a);
    fp_node_done(&w->b);
    free(w);
}

static struct pv_fp_live *live_of(uint32_t i)
{
    struct pv_fp_live *l = pv_fp_builder_live(w->a.b, w->ids[i]);
    assert_non_null(l);
    return l;
}

static void use(uint32_t i)
{
    atomic_store(&live_of(i)->last_rx_data, w->now);
}

static void add_members(uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t k = w->n++;
        w->ids[k] = fp_add_member(&w->a, 100 + k);
        fp_set_path(&w->a, w->ids[k], 100 + k, 0);
        assert_ok(pv_fp_builder_add_peer(w->b.b, PV_FP_MEMBER, &w->at_b[k]));
        fp_add_keys(&w->a, w->ids[k], &w->b, w->at_b[k], w->now, NULL);
        use(k);
    }
    fp_publish(&w->a);
    fp_publish(&w->b);
}

/* The members from first on want that group alone. */
static void want(const char *group, uint32_t first, uint32_t n, bool wakes)
{
    const struct pv_fp_group g = {
        .group = group_named(group), .wakes = wakes, .first = first, .n = n};
    assert_ok(pv_fp_builder_set_groups(w->a.b, &g, 1, w->ids, w->n));
    fp_publish(&w->a);
}

static struct pv_fp_results send(const char *dst, size_t len)
{
    static uint8_t p[9001];
    struct pv_addr to = test_ip(dst);
    fp_packet(p, to.family == PV_AF_INET ? fp_ip4(1) : fp_ip6(1), to, len, 7);
    return fp_tx_one(&w->a, p, len, w->now);
}

static uint64_t drops(enum pv_fp_drop reason)
{
    return pv_fp_drops(w->a.w, reason);
}

static size_t count_punts(const struct pv_fp_results *r, enum pv_fp_punt_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_punts; i++)
        n += r->punts[i].kind == kind;
    return n;
}

PV_TEST(a_copy_goes_to_each_who_wants_it)
{
    static const char *const groups[] = {"255.255.255.255", "224.0.0.251", "239.1.2.3",
                                         "ff02::fb",        "ff05::1",     "ff02::1"};
    add_members(5);
    for (size_t i = 0; i < PV_ARRAY_LEN(groups); i++) {
        want(groups[i], 1, 3, false);
        struct pv_fp_results r = send(groups[i], 100);
        assert_int_equal(r.n_sends, 3);
        assert_int_equal(r.n_writes, 0);
        for (uint32_t k = 0; k < 3; k++) {
            struct pv_carrier to = fp_carrier(101 + k);
            assert_true(pv_carrier_same(r.sends[k].to, &to));
        }
    }
    assert_int_equal(send("ff05::2", 100).n_sends, 0);
    assert_int_equal(drops(PV_FP_DROP_QUIET), 1);
    /* These are one group. */
    want("255.255.255.255", 0, 2, false);
    assert_int_equal(send("10.66.255.255", 100).n_sends, 2);
    assert_int_equal(send("224.0.0.1", 100).n_sends, 2);
}

/* A link changes nothing of a packet, its TTL neither. */
PV_TEST(the_packet_that_arrives_is_the_one_sent)
{
    static const uint8_t hops[] = {1, 2, 255};
    add_members(1);
    struct pv_prefix route = {.base = fp_ip4(1), .bits = 32};
    assert_ok(pv_fp_builder_set_routes(w->b.b, w->at_b[0], &route, 1));
    fp_publish(&w->b);
    want("224.0.0.251", 0, 1, false);
    for (size_t i = 0; i < PV_ARRAY_LEN(hops); i++) {
        uint8_t p[200];
        fp_packet(p, fp_ip4(1), pv_addr4(224, 0, 0, 251, 0), sizeof(p), (uint32_t)i);
        p[8] = hops[i];
        struct pv_fp_results r = fp_tx_one(&w->a, p, sizeof(p), w->now);
        assert_int_equal(r.n_sends, 1);
        r = fp_rx_one(&w->b, fp_carrier(1), (uint8_t *)(uintptr_t)r.sends[0].data, r.sends[0].len,
                      w->now);
        assert_int_equal(r.n_writes, 1);
        assert_int_equal(r.writes[0].len, sizeof(p));
        assert_memory_equal(r.writes[0].data, p, sizeof(p));
    }
}

PV_TEST(discovery_lets_idle_peers_sleep)
{
    add_members(3);
    want("224.0.0.251", 0, 3, false);
    uint32_t none = fp_add_member(&w->a, 9); /* never used: no path */
    w->ids[2] = none;
    want("224.0.0.251", 0, 3, false);
    w->now += PV_FP_IN_USE;
    use(1);
    struct pv_fp_results r = send("224.0.0.251", 100);
    /* Keys of ten minutes ago are too old: they are asked for, and the packet waits. */
    assert_int_equal(r.n_sends, 0);
    assert_int_equal(count_punts(&r, PV_FP_PUNT_NEED_KEYS), 1);
    assert_int_equal(count_punts(&r, PV_FP_PUNT_NEED_PATH), 0);
    assert_int_equal(pv_fp_queue_len(w->a.w->queue), 1);
    assert_int_equal(drops(PV_FP_DROP_IDLE), 2);
    pv_ns used = atomic_load(&live_of(1)->last_tx_data);

    /* A packet that waited is sent, and is no use even so. */
    fp_add_keys(&w->a, w->ids[1], &w->b, w->at_b[1], w->now, NULL);
    fp_publish(&w->a);
    assert_false(pv_fp_flush(w->a.w, w->a.snap, w->now + 1));
    r = pv_fp_results(w->a.w);
    assert_int_equal(r.n_sends, 1);
    assert_int_equal(count_punts(&r, PV_FP_PUNT_ACTIVE), 0);
    assert_int_equal(atomic_load(&live_of(1)->last_tx_data), used);
    assert_int_equal(atomic_load(&live_of(1)->last_tx_any), w->now + 1);
}

/* As by `p2pvpnctl ping`. */
PV_TEST(a_question_of_a_client_is_use)
{
    add_members(1);
    want("224.0.0.251", 0, 1, false);
    atomic_store(&live_of(0)->last_rx_data, 0);
    assert_int_equal(send("224.0.0.251", 100).n_sends, 0);
    atomic_store(&live_of(0)->last_asked, w->now - PV_FP_IN_USE + 1);
    assert_int_equal(send("224.0.0.251", 100).n_sends, 1);
}

PV_TEST(discovery_may_wake_who_is_asked_to)
{
    add_members(1);
    w->ids[w->n++] = fp_add_member(&w->a, 9);
    w->ids[w->n++] = fp_add_member(&w->a, 10);
    assert_ok(pv_fp_builder_set_offline(w->a.b, w->ids[2], true));
    want("239.255.255.250", 0, 3, true);
    struct pv_fp_results r = send("239.255.255.250", 100);
    assert_int_equal(r.n_sends, 1);
    assert_int_equal(count_punts(&r, PV_FP_PUNT_NEED_PATH), 1);
    assert_int_equal(pv_fp_queue_len(w->a.w->queue), 1);
    assert_int_equal(drops(PV_FP_DROP_OFFLINE), 1);
    assert_int_equal(r.n_writes, 0); /* no ICMP about a packet to many */
}

PV_TEST(a_group_that_programs_joined_is_data)
{
    add_members(1);
    w->ids[w->n++] = fp_add_member(&w->a, 9);
    want("239.66.0.1", 0, 2, false);
    w->now += PV_FP_IN_USE;
    fp_add_keys(&w->a, w->ids[0], &w->b, w->at_b[0], w->now, NULL);
    fp_publish(&w->a);
    struct pv_fp_results r = send("239.66.0.1", 100);
    assert_int_equal(r.n_sends, 1);
    assert_int_equal(count_punts(&r, PV_FP_PUNT_ACTIVE), 1);
    assert_int_equal(count_punts(&r, PV_FP_PUNT_NEED_PATH), 1);
    assert_int_equal(atomic_load(&live_of(0)->last_tx_data), w->now);
}

/* Data that was sent with it counts all the same. */
PV_TEST(data_beside_discovery_counts_as_use)
{
    static uint8_t p[3][100];
    add_members(1);
    want("224.0.0.251", 0, 1, false);
    fp_packet(p[0], fp_ip4(1), fp_ip4(100), 100, 0);
    fp_packet(p[1], fp_ip4(1), pv_addr4(224, 0, 0, 251, 0), 100, 1);
    memcpy(p[2], p[1], 100);
    const struct pv_fp_packet v[] = {
        {.data = p[0], .len = 100}, {.data = p[1], .len = 100}, {.data = p[2], .len = 100}};
    assert_int_equal(pv_fp_tx(w->a.w, w->a.snap, v, 3, w->now), 3);
    assert_int_equal(pv_fp_results(w->a.w).n_sends, 3);
    assert_int_equal(atomic_load(&live_of(0)->last_tx_data), w->now);
    assert_int_equal(atomic_load(&live_of(0)->tx_packets), 3);
    assert_int_equal(atomic_load(&live_of(0)->tx_bytes), 300);
    assert_int_equal(pv_fp_tx(w->a.w, w->a.snap, v + 1, 1, w->now + 5), 1);
    assert_int_equal(atomic_load(&live_of(0)->last_tx_data), w->now);
    assert_int_equal(pv_fp_tx(w->a.w, w->a.snap, v, 1, w->now + 6), 1);
    assert_int_equal(atomic_load(&live_of(0)->last_tx_data), w->now + 6);
}

PV_TEST(copies_go_behind_what_waits)
{
    add_members(1);
    assert_ok(pv_fp_builder_set_path(w->a.b, w->ids[0], NULL, 0));
    want("239.66.0.1", 0, 1, false);
    send("10.66.0.100", 100);
    assert_int_equal(pv_fp_queue_len(w->a.w->queue), 1);
    fp_set_path(&w->a, w->ids[0], 100, 0);
    fp_publish(&w->a);
    struct pv_fp_results r = send("239.66.0.1", 500);
    assert_int_equal(r.n_sends, 2);
    assert_true(r.sends[0].len < r.sends[1].len);
}

static size_t send_times(const char *dst, size_t len, size_t times)
{
    size_t n = 0;
    for (size_t i = 0; i < times; i++)
        n += send(dst, len).n_sends;
    return n;
}

PV_TEST(each_group_has_a_budget)
{
    add_members(1);
    const struct pv_fp_group two[] = {{.group = group_named("224.0.0.251"), .n = 1},
                                      {.group = group_named("239.66.0.1"), .n = 1},
                                      {.group = pv_group_broadcast(), .n = 1}};
    assert_ok(pv_fp_builder_set_groups(w->a.b, two, 3, w->ids, 1));
    fp_publish(&w->a);
    assert_int_equal(send_times("224.0.0.251", 100, 150), PV_FP_DISCOVERY_PACKETS);
    assert_int_equal(drops(PV_FP_DROP_RATE), 150 - PV_FP_DISCOVERY_PACKETS);
    assert_int_equal(send_times("255.255.255.255", 100, 50), 50);
    w->now += PV_MS(100);
    assert_int_equal(send_times("224.0.0.251", 100, 50), PV_FP_DISCOVERY_PACKETS / 10);

    /* Bytes, too: a burst, then so many a second. */
    w->now += PV_S(60);
    size_t burst = PV_FP_DISCOVERY_BURST / 8000;
    assert_int_equal(send_times("224.0.0.251", 8000, 90), burst);
    w->now += PV_S(1);
    assert_in_range(send_times("224.0.0.251", 8000, 90), PV_FP_DISCOVERY_BYTES / 8000,
                    PV_FP_DISCOVERY_BYTES / 8000 + 1);

    /* A film of 5 Mb/s goes on and on; ten of them do not. */
    size_t sent = 0, much = 0;
    for (int s = 0; s < 3; s++) {
        w->now += PV_S(1);
        sent += send_times("239.66.0.1", 1344, 475);
    }
    assert_int_equal(sent, 3 * 475);
    for (int s = 0; s < 3; s++) {
        w->now += PV_S(1);
        much += send_times("239.66.0.1", 1344, 4750);
    }
    assert_in_range(much, 3 * (PV_FP_STREAM_BYTES / 1344), 4 * (PV_FP_STREAM_BYTES / 1344));
}

/* n fragments of a UDP datagram of len bytes; returns how many were copied. */
static size_t send_fragments(uint16_t id, size_t n, size_t len)
{
    size_t sent = 0;
    for (size_t i = 0; i < n; i++) {
        uint8_t p[1420];
        fp_packet(p, fp_ip4(1), pv_addr4(255, 255, 255, 255, 0), sizeof(p), 0);
        pv_store_be16(p + 4, id);
        pv_store_be16(p + 6, (uint16_t)(i * 175 | (i + 1 < n ? 0x2000 : 0)));
        pv_store_be16(p + 24, (uint16_t)len);
        sent += fp_tx_one(&w->a, p, sizeof(p), w->now).n_sends;
    }
    return sent;
}

PV_TEST(fragments_go_all_or_none)
{
    size_t whole = 0;
    add_members(1);
    want("255.255.255.255", 0, 1, false);
    for (uint16_t id = 1; id < 30; id++) {
        size_t sent = send_fragments(id, 12, 16800);
        assert_true(sent == 0 || sent == 12);
        whole += sent / 12;
    }
    /* Each costs what it has in all, not what its first fragment has. */
    assert_in_range(whole, 2, PV_FP_DISCOVERY_PACKETS / 12);

    /* Fragments whose first was never seen go nowhere, of IPv6 neither. */
    uint8_t p[200];
    fp_packet(p, fp_ip6(1), fp_ip6(1), 200, 0);
    memcpy(p + 24, group_named("ff02::1").ip, 16);
    p[6] = 44;
    memcpy(p + 40, "\x11\x00\x00\x09\x00\x00\x00\x05", 8);
    want("ff02::1", 0, 1, false);
    w->now += PV_S(60);
    uint64_t before = drops(PV_FP_DROP_RATE);
    assert_int_equal(fp_tx_one(&w->a, p, 200, w->now).n_sends, 0);
    assert_int_equal(drops(PV_FP_DROP_RATE), before + 1);
    p[43] = 1; /* offset 0, more to come */
    p[42] = 0;
    assert_int_equal(fp_tx_one(&w->a, p, 200, w->now).n_sends, 1);
    p[43] = 9;
    assert_int_equal(fp_tx_one(&w->a, p, 200, w->now).n_sends, 1);
}

PV_TEST(a_packet_not_of_this_node_is_not_copied)
{
    uint8_t p[100];
    add_members(2);
    const struct pv_fp_group two[] = {{.group = group_named("239.66.0.1"), .n = 2},
                                      {.group = pv_group_broadcast(), .n = 2}};
    assert_ok(pv_fp_builder_set_groups(w->a.b, two, 2, w->ids, 2));
    fp_publish(&w->a);
    const struct pv_addr from[] = {fp_ip4(100), pv_addr4(192, 168, 1, 7, 0)};
    for (size_t i = 0; i < 2; i++) {
        fp_packet(p, from[i], pv_addr4(255, 255, 255, 255, 0), sizeof(p), 0);
        assert_int_equal(fp_tx_one(&w->a, p, sizeof(p), w->now).n_sends, 0);
        fp_packet(p, from[i], pv_addr4(239, 66, 0, 1, 0), sizeof(p), 0);
        assert_int_equal(fp_tx_one(&w->a, p, sizeof(p), w->now).n_sends, 0);
    }
    assert_int_equal(drops(PV_FP_DROP_LOOP), 4);
}

PV_TEST(reports_are_handed_up_and_go_nowhere)
{
    struct group_packet p[] = {group_report(IS_EX, "239.1.1.1", 0),
                               group_report(IS_EX, "ff05::c", 0), group_old(0x16, "239.1.1.1"),
                               group_old(131, "ff02::fb")};
    add_members(1);
    const struct pv_fp_group one = {.group = group_named("239.1.1.1"), .n = 1};
    assert_ok(pv_fp_builder_set_groups(w->a.b, &one, 1, w->ids, 1));
    fp_publish(&w->a);
    /* An IGMPv2 report goes to the group itself. */
    memcpy(p[2].bytes + 16, group_named("239.1.1.1").ip, 4);
    for (size_t i = 0; i < PV_ARRAY_LEN(p); i++) {
        struct pv_fp_results r = fp_tx_one(&w->a, p[i].bytes, p[i].len, w->now);
        assert_int_equal(r.n_sends, 0);
        assert_int_equal(r.n_punts, 1);
        assert_int_equal(r.punts[0].kind, PV_FP_PUNT_REPORT);
        assert_int_equal(r.punts[0].bytes.len, p[i].len);
        assert_memory_equal(r.punts[0].bytes.ptr, p[i].bytes, p[i].len);
    }
    size_t handed = 0;
    for (int i = 0; i < 500; i++)
        handed += fp_tx_one(&w->a, p[0].bytes, p[0].len, w->now).n_punts;
    assert_in_range(handed, 50, 100);
    assert_int_equal(drops(PV_FP_DROP_RATE), 500 - handed);
}

PV_TEST(housekeeping_stays_at_home)
{
    uint8_t p[60];
    struct pv_addr mcast6 = test_ip("ff02::2");
    add_members(1);
    const struct pv_fp_group two[] = {{.group = pv_group_broadcast(), .n = 1},
                                      {.group = group_named("ff02::2"), .n = 1}};
    assert_ok(pv_fp_builder_set_groups(w->a.b, two, 2, w->ids, 1));
    fp_publish(&w->a);
    size_t len = fp_packet(p, fp_ip4(1), pv_addr4(255, 255, 255, 255, 0), 40, 0);
    pv_store_be16(p + 22, 67);
    assert_int_equal(fp_tx_one(&w->a, p, len, w->now).n_sends, 0);
    len = fp_packet(p, fp_ip6(1), mcast6, 60, 0);
    p[6] = PV_IP_PROTO_ICMP6;
    p[40] = 133;
    struct pv_fp_results r = fp_tx_one(&w->a, p, len, w->now);
    assert_int_equal(r.n_sends + r.n_writes + r.n_punts, 0);
    assert_int_equal(drops(PV_FP_DROP_QUIET), 2);
    p[40] = 128;
    assert_int_equal(fp_tx_one(&w->a, p, len, w->now).n_sends, 1);
}

PV_TEST(a_range_of_two_addresses_has_no_broadcast)
{
    struct pv_fp_interface iface = {.n_own = 1, .own = {fp_ip4(1)}, .mtu = 1420};
    iface.nets[0] = test_prefix("10.66.0.100/31");
    assert_ok(pv_fp_builder_set_interface(w->a.b, &iface));
    add_members(2);
    /* RFC 3021: an address like any other. */
    assert_int_equal(send("10.66.0.101", 100).n_sends, 1);
}

/* 256 copies of a packet of 9000 bytes are more than one call holds. */
PV_TEST(copies_that_do_not_fit_follow)
{
    static uint8_t p[3][9000];
    static unsigned got[512];
    size_t calls = 0, after = 0;
    memset(got, 0, sizeof(got));
    add_members(MEMBERS);
    struct pv_fp_interface iface = {.n_own = 1, .own = {fp_ip4(1)}, .mtu = 9000};
    iface.nets[0] = test_prefix("10.66.0.0/16");
    assert_ok(pv_fp_builder_set_interface(w->a.b, &iface));
    want("239.66.0.1", 0, PV_FP_MAX_COPIES, false);
    struct pv_fp_packet v[3];
    for (size_t i = 0; i < 3; i++) {
        fp_packet(p[i], fp_ip4(1), i == 1 ? pv_addr4(239, 66, 0, 1, 0) : fp_ip4(100), 9000, 0);
        v[i] = (struct pv_fp_packet){.data = p[i], .len = 9000};
    }
    for (size_t i = 0; i < 3; calls++) {
        assert_true(calls < 20);
        i += pv_fp_tx(w->a.w, w->a.snap, v + i, 3 - i, w->now);
        struct pv_fp_results r = pv_fp_results(w->a.w);
        for (size_t k = 0; k < r.n_sends; k++)
            got[r.sends[k].to->remote.ip[3] | (r.sends[k].to->remote.ip[2] & 1u) << 8]++;
        after = r.n_sends;
    }
    assert_in_range(calls, 3, 6);
    assert_true(after > 0);
    size_t total = 0;
    for (size_t i = 0; i < PV_ARRAY_LEN(got); i++) {
        assert_true(got[i] <= 3);
        total += got[i];
    }
    assert_int_equal(total, PV_FP_MAX_COPIES + 2);
}

PV_TEST(a_packet_that_comes_as_discovery_is_no_use_and_may_be_unwanted)
{
    add_members(1);
    struct pv_prefix route = {.base = fp_ip4(1), .bits = 32};
    assert_ok(pv_fp_builder_set_routes(w->b.b, w->at_b[0], &route, 1));
    fp_publish(&w->b);
    const struct pv_fp_live *l = pv_fp_builder_live(w->b.b, w->at_b[0]);
    for (int i = 0; i < 3; i++) {
        const char *group = i == 2 ? "239.66.0.1" : "255.255.255.255";
        assert_ok(pv_fp_builder_take_discovery(w->b.b, w->at_b[0], i == 0));
        fp_publish(&w->b);
        want(group, 0, 1, false);
        struct pv_fp_results r = send(group, 100);
        assert_int_equal(r.n_sends, 1);
        r = fp_rx_one(&w->b, fp_carrier(1), (uint8_t *)(uintptr_t)r.sends[0].data, r.sends[0].len,
                      w->now);
        assert_int_equal(r.n_writes, i != 1);
        assert_int_equal(count_punts(&r, PV_FP_PUNT_ACTIVE), i == 2);
        assert_int_equal(atomic_load(&l->last_rx_data), i == 2 ? w->now : 0);
        assert_int_equal(atomic_load(&l->last_rx_any), w->now);
    }
    assert_int_equal(pv_fp_drops(w->b.w, PV_FP_DROP_UNWANTED), 1);
}

PV_TEST(a_static_peer_gets_what_its_routes_say)
{
    uint32_t at_b;
    add_members(1);
    uint32_t id = fp_add_static(&w->a, "224.0.0.0/4");
    fp_set_path(&w->a, id, 90, 0);
    assert_ok(pv_fp_builder_add_peer(w->b.b, PV_FP_STATIC, &at_b));
    fp_add_keys(&w->a, id, &w->b, at_b, w->now, NULL);
    fp_publish(&w->a);
    assert_int_equal(send("239.66.0.1", 100).n_sends, 1);
    want("239.66.0.1", 0, 1, false);
    assert_int_equal(send("239.66.0.1", 100).n_sends, 2);
    assert_int_equal(drops(PV_FP_DROP_QUIET), 0);
}

PV_TEST(control_writes_to_the_tun)
{
    uint8_t p[60];
    add_members(1);
    fp_packet(p, fp_ip4(1), pv_addr4(224, 0, 0, 1, 0), sizeof(p), 0);
    assert_ok(pv_fp_inject(w->a.w, w->a.snap, 0, pv_view(p, sizeof(p)), w->now));
    struct pv_fp_results r = pv_fp_results(w->a.w);
    assert_int_equal(r.n_sends, 0);
    assert_int_equal(r.n_writes, 1);
    assert_int_equal(r.writes[0].len, sizeof(p));
    assert_memory_equal(r.writes[0].data, p, sizeof(p));
}
