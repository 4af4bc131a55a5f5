/* SPDX-License-Identifier: MIT */
/* The NAT emulator behaves as it is configured: what the lab and the simulator stand on. */
#include "base/bytes.h"
#include "tests/natcore/natcore.h"
#include "tests/natcore/natcore_link.h"
#include "tests/natcore/natcore_pkt.h"
#include "tests/natcore/natcore_text.h"
#include "tests/unit/test_util.h"

struct world {
    struct pv_nat *nat;
    struct pv_nat_config *config;
    pv_ns now;
    /* the packet seen last */
    uint8_t data[4096];
    size_t len;
    struct pv_natpkt pkt;
    enum pv_nat_side side;
};

static const char *const host = "10.0.0.2:5000";
static const char *const server = "198.51.100.1:3478";
static const char *const server_port2 = "198.51.100.1:3479";
static const char *const other = "198.51.100.2:3478";

static struct pv_addr addr(const char *text)
{
    struct pv_addr a = {.family = PV_AF_NONE};
    int r = pv_addr_parse(text, &a);
    assert_ok(r);
    return a;
}

static void free_nat(void *ctx)
{
    pv_nat_free(ctx);
}

static struct world start(const char *settings)
{
    struct pv_nat_config config;
    pv_nat_config_init(&config);
    assert_ok(pv_nat_set(&config, "public", "203.0.113.7"));
    assert_ok(pv_nat_set(&config, "inside-ip", "10.0.0.1"));
    struct world w = {.now = PV_S(1000), .nat = pv_nat_new(&config, 7)};
    assert_non_null(w.nat);
    test_defer(free_nat, w.nat);
    w.config = pv_nat_config(w.nat);
    if (settings[0] != '\0') {
        struct pv_nattext reply = {.text = NULL};
        pv_nat_command(w.nat, PV_STR("set %s", settings), w.now, &reply);
        assert_string_equal(reply.text, "{\"ok\":true}");
        pv_nattext_done(&reply);
    }
    return w;
}

/* The next packet that leaves the box by now; false when there is none. */
static bool next_packet(struct world *w)
{
    uint8_t *data = NULL;
    if (pv_nat_output(w->nat, w->now, &w->side, &data, &w->len) < 0)
        return false;
    assert_true(w->len <= sizeof(w->data));
    memcpy(w->data, data, w->len);
    free(data);
    assert_ok(pv_natpkt_parse(w->data, w->len, &w->pkt));
    if (!w->pkt.fragment)
        assert_true(pv_natpkt_checksum_ok(&w->pkt));
    return true;
}

static bool push(struct world *w, enum pv_nat_side from, uint8_t *data, size_t len)
{
    pv_nat_input(w->nat, from, data, len, w->now);
    return next_packet(w);
}

/* Sends a datagram into the box; true when something came out of it. */
static bool send_udp(struct world *w, enum pv_nat_side from, const char *src, const char *dst)
{
    uint8_t buf[256];
    struct pv_addr s = addr(src);
    struct pv_addr d = addr(dst);
    size_t len = pv_natpkt_udp(buf, sizeof(buf), &s, &d, pv_view("hello", 5));
    assert_true(len > 0);
    return push(w, from, buf, len);
}

/* From inside; the public endpoint it got, as text in a static-free buffer of the caller. */
static const char *leaves_as(struct world *w, const char *src, const char *dst,
                             char buf[static PV_ADDR_TEXT])
{
    if (!send_udp(w, PV_NAT_INSIDE, src, dst))
        return "nothing";
    assert_int_equal(w->side, PV_NAT_OUTSIDE);
    return pv_addr_format(&w->pkt.src, buf);
}

static bool comes_in(struct world *w, const char *src, const char *dst)
{
    return send_udp(w, PV_NAT_OUTSIDE, src, dst) && w->side == PV_NAT_INSIDE;
}

static uint16_t port_of(struct world *w, const char *src, const char *dst)
{
    char text[PV_ADDR_TEXT];
    assert_string_not_equal(leaves_as(w, src, dst, text), "nothing");
    return w->pkt.src.port;
}

static uint64_t drops(const struct world *w, enum pv_nat_drop why)
{
    return pv_nat_stats(w->nat)->drops[why];
}

/* ---- mapping and filtering (RFC 4787 s4.1, s5) ---- */

PV_TEST(mapping_depends_on_what_it_is_told_to)
{
    static const struct {
        const char *settings;
        bool same_for_port, same_for_address;
    } rows[] = {
        {"mapping=ei ports=random", true, true},
        {"mapping=ad ports=random", true, false},
        {"mapping=apd ports=random", false, false},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct world w = start(rows[i].settings);
        uint16_t first = port_of(&w, host, server);
        assert_int_equal(first, port_of(&w, host, server));
        assert_int_equal(first == port_of(&w, host, server_port2), rows[i].same_for_port);
        assert_int_equal(first == port_of(&w, host, other), rows[i].same_for_address);
        assert_int_equal(first, port_of(&w, host, server));
        test_end(w.nat);
    }
}

PV_TEST(filtering_lets_in_whom_it_is_told_to)
{
    const struct {
        const char *settings;
        bool other_port, other_address;
    } rows[] = {
        {"filtering=ei", true, true},
        {"filtering=ad", true, false},
        {"filtering=apd", false, false},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct world w = start(rows[i].settings);
        assert_false(comes_in(&w, server, "203.0.113.7:5000"));
        assert_int_equal(drops(&w, PV_NAT_DROP_NO_MAPPING), 1);
        assert_int_equal(port_of(&w, host, server), 5000);
        assert_true(comes_in(&w, server, "203.0.113.7:5000"));
        assert_true(pv_addr_equal(&w.pkt.dst, &(struct pv_addr){PV_AF_INET, 5000, {10, 0, 0, 2}}));
        assert_int_equal(comes_in(&w, server_port2, "203.0.113.7:5000"), rows[i].other_port);
        assert_int_equal(comes_in(&w, other, "203.0.113.7:5000"), rows[i].other_address);
        assert_false(comes_in(&w, server, "203.0.113.7:5001"));
        assert_false(comes_in(&w, server, "203.0.113.8:5000"));
        assert_int_equal(drops(&w, PV_NAT_DROP_NOT_OURS), 1);
        test_end(w.nat);
    }
}

/* ---- ports and addresses ---- */

PV_TEST(a_preserved_port_goes_to_the_first_who_asks)
{
    struct world w = start("");
    char text[PV_ADDR_TEXT];
    assert_string_equal(leaves_as(&w, host, server, text), "203.0.113.7:5000");
    uint16_t second = port_of(&w, "10.0.0.3:5000", server);
    assert_int_not_equal(second, 5000);
    assert_int_equal(second, port_of(&w, "10.0.0.3:5000", other));
}

PV_TEST(sequential_ports_step_in_both_directions_and_wrap)
{
    struct world up = start("profile=symmetric-sequential step=2");
    uint16_t first = port_of(&up, host, server);
    assert_int_equal(port_of(&up, host, server_port2), first + 2);
    assert_int_equal(port_of(&up, host, other), first + 4);
    test_end(up.nat);

    struct world down = start(test_given("profile symmetric-sequential"));
    uint16_t last = port_of(&down, host, server);
    for (int i = 0; i < 3; i++) {
        const char *dst = PV_STR("198.51.100.9:%d", 100 + i);
        uint16_t want = last == 2000 ? 2003 : (uint16_t)(last - 1);
        last = port_of(&down, host, dst);
        assert_int_equal(last, want);
    }
}

PV_TEST(foreign_subscribers_move_the_sequence)
{
    struct world w = start(test_given("foreign 10 range 10000-60000"));
    uint16_t first = port_of(&w, host, server);
    w.now += PV_S(100);
    int moved = port_of(&w, host, other) - first;
    /* 1,000 expected; six sigma is 190. */
    assert_true(moved > 800 && moved < 1200);
}

PV_TEST(a_block_keeps_a_subscriber_inside_and_runs_out)
{
    struct world w = start(test_given("profile symmetric-block"));
    uint16_t base = 0;
    for (int i = 0; i < 16; i++) {
        uint16_t port = port_of(&w, host, PV_STR("198.51.100.9:%d", 100 + i));
        if (i == 0)
            base = (uint16_t)(port / 16 * 16);
        assert_int_equal(port / 16 * 16, base);
    }
    char text[PV_ADDR_TEXT];
    assert_string_equal(leaves_as(&w, host, "198.51.100.9:999", text), "nothing");
    assert_int_equal(drops(&w, PV_NAT_DROP_FULL), 1);
    assert_int_not_equal(port_of(&w, "10.0.0.3:5000", server) / 16 * 16, base);
}

PV_TEST(an_overloaded_port_serves_several_destinations)
{
    struct world w = start(test_given("profile symmetric range"));
    assert_int_equal(port_of(&w, host, server), 4000);
    assert_int_equal(port_of(&w, "10.0.0.3:6000", other), 4000);
    assert_true(comes_in(&w, other, "203.0.113.7:4000"));
    assert_int_equal(w.pkt.dst.port, 6000);
    assert_true(comes_in(&w, server, "203.0.113.7:4000"));
    assert_int_equal(w.pkt.dst.port, 5000);
    char text[PV_ADDR_TEXT];
    assert_string_equal(leaves_as(&w, "10.0.0.4:1", server, text), "nothing");
}

PV_TEST(pooling_is_paired_or_arbitrary)
{
    for (int arbitrary = 0; arbitrary < 2; arbitrary++) {
        struct world w = start(test_given("mapping apd ports random public"));
        w.config->pool_arbitrary = arbitrary == 1;
        unsigned seen = 0;
        for (int i = 0; i < 40; i++) {
            port_of(&w, host, PV_STR("198.51.100.9:%d", 100 + i));
            seen |= 1u << (w.pkt.src.ip[3] - 7);
        }
        assert_int_equal(seen, arbitrary == 1 ? 7 : 1);
        port_of(&w, "10.0.0.3:1", server);
        assert_true(arbitrary == 1 || w.pkt.src.ip[3] == 8);
        test_end(w.nat);
    }
}

/* ---- time ---- */

PV_TEST(a_mapping_dies_after_its_silence)
{
    const struct {
        const char *settings;
        bool reply;
        unsigned lives_s, dies_s;
    } rows[] = {
        {"udp-unreplied=30s udp-replied=120s", false, 29, 31},
        {"udp-unreplied=30s udp-replied=120s", true, 119, 121},
        {test_given("udp-unreplied 30s udp-replied"), true, 29, 31},
        {"udp-unreplied=30s absolute=20s", true, 19, 21},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        for (int over = 0; over < 2; over++) {
            struct world w = start(rows[i].settings);
            port_of(&w, host, server);
            if (rows[i].reply)
                assert_true(comes_in(&w, server, "203.0.113.7:5000"));
            w.now += PV_S(over == 0 ? rows[i].lives_s : rows[i].dies_s);
            assert_int_equal(comes_in(&w, server, "203.0.113.7:5000"), over == 0);
            test_end(w.nat);
        }
    }
}

PV_TEST(the_stream_timeout_needs_two_seconds_of_traffic)
{
    struct world w = start(test_given("udp-unreplied 30s udp-replied"));
    for (int i = 0; i < 3; i++) {
        port_of(&w, host, server);
        assert_true(comes_in(&w, server, "203.0.113.7:5000"));
        w.now += PV_S(1);
    }
    w.now += PV_S(110);
    assert_true(comes_in(&w, server, "203.0.113.7:5000"));
}

PV_TEST(an_absolute_lifetime_ends_a_busy_mapping)
{
    struct world w = start("absolute=50s ports=random");
    uint16_t first = port_of(&w, host, server);
    for (int i = 0; i < 9; i++) {
        w.now += PV_S(5);
        assert_int_equal(port_of(&w, host, server), first);
    }
    w.now += PV_S(5);
    assert_int_not_equal(port_of(&w, host, server), first);
}

PV_TEST(inbound_packets_refresh_only_when_told)
{
    for (int refresh = 0; refresh < 2; refresh++) {
        struct world w = start("udp-unreplied=30s udp-replied=30s");
        w.config->inbound_refresh = refresh == 1;
        port_of(&w, host, server);
        w.now += PV_S(20);
        assert_true(comes_in(&w, server, "203.0.113.7:5000"));
        w.now += PV_S(20);
        assert_int_equal(comes_in(&w, server, "203.0.113.7:5000"), refresh == 1);
        test_end(w.nat);
    }
}

PV_TEST(a_full_table_refuses_or_forgets_the_idlest)
{
    char text[PV_ADDR_TEXT];
    struct world w = start("max-mappings=2 full=refuse");
    port_of(&w, "10.0.0.2:1001", server);
    w.now += PV_S(1);
    port_of(&w, "10.0.0.2:1002", server);
    w.now += PV_S(1);
    assert_string_equal(leaves_as(&w, "10.0.0.2:1003", server, text), "nothing");
    assert_int_equal(drops(&w, PV_NAT_DROP_FULL), 1);
    w.config->full = PV_NAT_FULL_EVICT;
    port_of(&w, "10.0.0.2:1001", server);
    assert_int_equal(port_of(&w, "10.0.0.2:1003", server), 1003);
    assert_true(comes_in(&w, server, "203.0.113.7:1001"));
    assert_false(comes_in(&w, server, "203.0.113.7:1002"));
}

PV_TEST(a_reboot_and_a_dropped_flow_are_forgotten)
{
    struct world w = start("");
    port_of(&w, host, server);
    port_of(&w, "10.0.0.2:5001", server);
    struct pv_nattext reply = {.text = NULL};
    pv_nat_command(w.nat, "drop udp 203.0.113.7:5000\n", w.now, &reply);
    assert_string_equal(reply.text, "{\"dropped\":1}");
    pv_nattext_done(&reply);
    assert_false(comes_in(&w, server, "203.0.113.7:5000"));
    assert_true(comes_in(&w, server, "203.0.113.7:5001"));
    pv_nat_flush(w.nat);
    assert_false(comes_in(&w, server, "203.0.113.7:5001"));
    assert_int_equal(port_of(&w, host, server), 5000);
}

/* ---- hairpin, pollution, policy ---- */

PV_TEST(hairpin_shows_the_sender_as_configured)
{
    static const struct {
        const char *settings;
        const char *seen;
    } rows[] = {
        {"hairpin=off filtering=ei", NULL},
        {"hairpin=external filtering=ei", "203.0.113.7:6000"},
        {"hairpin=internal filtering=ei", "10.0.0.3:6000"},
        {"hairpin=external filtering=apd", NULL},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct world w = start(rows[i].settings);
        port_of(&w, host, server);
        bool came = send_udp(&w, PV_NAT_INSIDE, "10.0.0.3:6000", "203.0.113.7:5000");
        assert_int_equal(came, rows[i].seen != NULL);
        if (came) {
            assert_int_equal(w.side, PV_NAT_INSIDE);
            assert_string_equal(PV_ADDR_STR(&w.pkt.src), rows[i].seen);
            assert_string_equal(PV_ADDR_STR(&w.pkt.dst), host);
        }
        test_end(w.nat);
    }
    /* Strict filtering opens as soon as both have sent. */
    struct world w = start("hairpin=external filtering=apd");
    port_of(&w, host, server);
    assert_false(send_udp(&w, PV_NAT_INSIDE, "10.0.0.3:6000", "203.0.113.7:5000"));
    assert_true(send_udp(&w, PV_NAT_INSIDE, host, "203.0.113.7:6000"));
    assert_true(send_udp(&w, PV_NAT_INSIDE, "10.0.0.3:6000", "203.0.113.7:5000"));
}

PV_TEST(a_forwarded_port_lets_in_and_answers)
{
    char text[PV_ADDR_TEXT];
    struct world w = start("ports=random");
    leaves_as(&w, host, other, text); /* a mapping towards it by another port */
    assert_false(comes_in(&w, other, "203.0.113.7:4444"));
    w.config->forwards[0] = (struct pv_nat_forward){.port = 4444, .to = addr(host)};
    assert_true(comes_in(&w, other, "203.0.113.7:4444"));
    assert_string_equal(leaves_as(&w, host, other, text), "203.0.113.7:4444");
}

PV_TEST(an_early_inbound_packet_turns_the_cone_symmetric)
{
    struct world w = start("profile=linux");
    assert_int_equal(port_of(&w, host, server), 5000);
    assert_false(comes_in(&w, other, "203.0.113.7:5000"));
    uint16_t displaced = port_of(&w, host, other);
    assert_int_not_equal(displaced, 5000);
    assert_int_equal(pv_nat_stats(w.nat)->displaced, 1);
    assert_false(comes_in(&w, other, "203.0.113.7:5000"));
    assert_int_equal(port_of(&w, host, other), displaced);
    assert_int_equal(port_of(&w, host, server), 5000);
    /* A fresh local port helps at once, silence of both sides after 30 s. */
    assert_int_equal(port_of(&w, "10.0.0.2:5001", other), 5001);
    w.now += PV_S(31);
    assert_int_equal(port_of(&w, host, other), 5000);
    test_end(w.nat);

    struct world quiet = start("profile=linux-drop");
    assert_false(comes_in(&quiet, other, "203.0.113.7:5000"));
    assert_int_equal(port_of(&quiet, host, other), 5000);
}

PV_TEST(policy_blocks_udp_but_for_some_ports)
{
    char text[PV_ADDR_TEXT];
    struct world w = start("udp=53,443 reject=yes");
    assert_string_equal(leaves_as(&w, host, "198.51.100.1:443", text), "203.0.113.7:5000");
    assert_true(send_udp(&w, PV_NAT_INSIDE, host, server));
    assert_int_equal(w.side, PV_NAT_INSIDE);
    assert_int_equal(w.pkt.kind, PV_NATPKT_ERROR);
    assert_string_equal(pv_addr_format_ip(&w.pkt.src, text), "10.0.0.1");
    assert_int_equal(drops(&w, PV_NAT_DROP_BLOCKED), 1);
}

/* ---- hops, MTU, fragments, ICMP ---- */

PV_TEST(a_packet_out_of_hops_makes_no_mapping)
{
    uint8_t buf[256];
    struct world w = start("");
    struct pv_addr s = addr(host);
    struct pv_addr d = addr(server);
    size_t len = pv_natpkt_udp(buf, sizeof(buf), &s, &d, pv_view("x", 1));
    struct pv_natpkt pkt;
    assert_ok(pv_natpkt_parse(buf, len, &pkt));
    while (pkt.ttl > 1)
        pv_natpkt_hop(&pkt);
    assert_true(push(&w, PV_NAT_INSIDE, buf, len));
    assert_int_equal(w.side, PV_NAT_INSIDE);
    assert_int_equal(w.data[w.pkt.l4], 11); /* time exceeded */
    assert_int_equal(pv_nat_stats(w.nat)->mappings_made, 0);
}

static size_t big_packet(uint8_t *buf, size_t cap, const char *src, const char *dst, size_t payload)
{
    static const uint8_t zeros[2000];
    struct pv_addr s = addr(src);
    struct pv_addr d = addr(dst);
    size_t len = pv_natpkt_udp(buf, cap, &s, &d, pv_view(zeros, payload));
    pv_natpkt_set_df(buf, false);
    return len;
}

PV_TEST(a_packet_that_does_not_fit_is_cut_refused_or_swallowed)
{
    uint8_t buf[2048];
    struct world w = start("mtu-out=1300");
    size_t len = big_packet(buf, sizeof(buf), host, server, 1400);
    assert_true(push(&w, PV_NAT_INSIDE, buf, len));
    assert_true(w.len <= 1300 && w.pkt.fragment && w.pkt.kind == PV_NATPKT_FLOW);
    assert_int_equal(w.pkt.src.ip[3], 7);
    assert_true(next_packet(&w));
    assert_int_equal(w.pkt.kind, PV_NATPKT_REST);
    assert_false(next_packet(&w));

    /* Later fragments that arrive as such follow the first one. */
    struct world f = start("");
    len = big_packet(buf, sizeof(buf), host, server, 1400);
    struct pv_natpkt whole;
    assert_ok(pv_natpkt_parse(buf, len, &whole));
    uint8_t piece[1000];
    size_t n = 0;
    assert_ok(pv_natpkt_piece(&whole, sizeof(piece), 1, piece, &n));
    assert_false(push(&f, PV_NAT_INSIDE, piece, n));
    assert_int_equal(drops(&f, PV_NAT_DROP_FRAGMENT), 1);
    assert_ok(pv_natpkt_piece(&whole, sizeof(piece), 0, piece, &n));
    assert_true(push(&f, PV_NAT_INSIDE, piece, n));
    assert_ok(pv_natpkt_piece(&whole, sizeof(piece), 1, piece, &n));
    assert_true(push(&f, PV_NAT_INSIDE, piece, n));
    assert_int_equal(f.pkt.src.ip[0], 203);
    test_end(f.nat);

    len = big_packet(buf, sizeof(buf), host, server, 1400);
    pv_natpkt_set_df(buf, true);
    uint8_t again[2048];
    memcpy(again, buf, len);
    assert_true(push(&w, PV_NAT_INSIDE, buf, len));
    assert_int_equal(w.side, PV_NAT_INSIDE);
    assert_int_equal(w.data[w.pkt.l4], 3);
    assert_int_equal(w.data[w.pkt.l4 + 1], 4);
    assert_int_equal(pv_load_be16(w.data + w.pkt.l4 + 6), 1300);
    w.config->mtu_icmp = false;
    assert_false(push(&w, PV_NAT_INSIDE, again, len));
    assert_int_equal(drops(&w, PV_NAT_DROP_TOO_BIG), 2);
}

PV_TEST(icmp_errors_follow_their_flow)
{
    uint8_t error[PV_NATPKT_ICMP_MAX];
    size_t len = 0;
    struct world w = start("ports=random");
    struct pv_addr router = addr("192.0.2.1:0");
    port_of(&w, host, server);
    assert_ok(pv_natpkt_error(&w.pkt, PV_NATPKT_TOO_BIG, 1280, &router, error, &len));
    assert_true(push(&w, PV_NAT_OUTSIDE, error, len));
    assert_int_equal(w.side, PV_NAT_INSIDE);
    assert_string_equal(PV_IP_STR(&w.pkt.dst), "10.0.0.2");
    struct pv_natpkt quoted;
    assert_ok(pv_natpkt_quoted(&w.pkt, &quoted));
    assert_string_equal(PV_ADDR_STR(&quoted.src), host);
    assert_string_equal(PV_ADDR_STR(&quoted.dst), server);

    /* And outwards: the inner host has no such port any more. */
    char public[PV_ADDR_TEXT];
    leaves_as(&w, host, server, public);
    assert_true(comes_in(&w, server, public));
    struct pv_addr inner = addr("10.0.0.2:0");
    assert_ok(pv_natpkt_error(&w.pkt, PV_NATPKT_PORT_UNREACHABLE, 0, &inner, error, &len));
    assert_true(push(&w, PV_NAT_INSIDE, error, len));
    assert_int_equal(w.side, PV_NAT_OUTSIDE);
    assert_string_equal(PV_IP_STR(&w.pkt.src), "203.0.113.7");
    assert_ok(pv_natpkt_quoted(&w.pkt, &quoted));
    assert_string_equal(PV_ADDR_STR(&quoted.dst), public);

    /* One about a flow that does not exist goes nowhere. */
    struct pv_natpkt stranger;
    uint8_t buf[256];
    len = big_packet(buf, sizeof(buf), "203.0.113.7:9", "198.51.100.77:1", 8);
    assert_ok(pv_natpkt_parse(buf, len, &stranger));
    assert_ok(pv_natpkt_error(&stranger, PV_NATPKT_TOO_BIG, 1280, &router, error, &len));
    assert_false(push(&w, PV_NAT_OUTSIDE, error, len));
}

/* An echo request by hand: type, code, checksum, identifier, sequence. */
static size_t echo(uint8_t *buf, const char *src, const char *dst, uint16_t id)
{
    struct pv_addr s = addr(src);
    struct pv_addr d = addr(dst);
    size_t len = pv_natpkt_udp(buf, 64, &s, &d, pv_view("", 0));
    uint16_t sum = (uint16_t) ~(0x0800 + id);
    buf[9] = PV_NATPKT_ICMP;
    pv_store_be16(buf + 10, 0);
    uint32_t h = 0;
    for (size_t i = 0; i < 20; i += 2)
        h += pv_load_be16(buf + i);
    h = (h & 0xffff) + (h >> 16);
    h = (h & 0xffff) + (h >> 16);
    pv_store_be16(buf + 10, (uint16_t)~h);
    pv_store_be16(buf + 20, 0x0800);
    pv_store_be16(buf + 22, sum);
    pv_store_be16(buf + 24, id);
    pv_store_be16(buf + 26, 0);
    return len;
}

PV_TEST(pings_pass_and_are_answered_by_the_box)
{
    uint8_t buf[64];
    struct world w = start("ports=random");
    assert_true(push(&w, PV_NAT_INSIDE, buf, echo(buf, "10.0.0.2:0", "198.51.100.1:0", 77)));
    assert_int_equal(w.side, PV_NAT_OUTSIDE);
    assert_int_equal(w.pkt.kind, PV_NATPKT_ECHO);
    pv_natpkt_answer_echo(&w.pkt);
    assert_true(push(&w, PV_NAT_OUTSIDE, w.data, w.len));
    assert_int_equal(w.side, PV_NAT_INSIDE);
    assert_int_equal(w.pkt.kind, PV_NATPKT_ECHO_REPLY);
    assert_int_equal(w.pkt.dst.port, 77);
    assert_int_equal(w.pkt.dst.ip[3], 2);

    assert_true(push(&w, PV_NAT_OUTSIDE, buf, echo(buf, "198.51.100.1:0", "203.0.113.7:0", 5)));
    assert_int_equal(w.side, PV_NAT_OUTSIDE);
    assert_int_equal(w.pkt.kind, PV_NATPKT_ECHO_REPLY);
    assert_true(push(&w, PV_NAT_INSIDE, buf, echo(buf, "10.0.0.2:0", "10.0.0.1:0", 6)));
    assert_int_equal(w.side, PV_NAT_INSIDE);
}

static bool send_tcp(struct world *w, enum pv_nat_side from, const char *src, const char *dst,
                     uint8_t flags)
{
    uint8_t buf[128];
    struct pv_addr s = addr(src);
    struct pv_addr d = addr(dst);
    static const uint8_t zeros[12];
    size_t len = pv_natpkt_udp(buf, sizeof(buf), &s, &d, pv_view(zeros, 12));
    /* Turn it into a TCP header; the checksum is computed from scratch. */
    bool v6 = s.family == PV_AF_INET6;
    uint8_t *tcp = buf + (v6 ? 40 : 20);
    buf[v6 ? 6 : 9] = PV_NATPKT_TCP;
    memset(tcp + 4, 0, 16);
    tcp[12] = 0x50;
    tcp[13] = flags;
    pv_natpkt_mend(buf, len);
    return push(w, from, buf, len);
}

/* A segment to the server: is it let out? */
static bool says_tcp(struct world *w, struct pv_view payload)
{
    uint8_t buf[512], data[400] = {0};
    struct pv_addr s = addr(host);
    struct pv_addr d = addr(server);
    memcpy(data + 12, payload.ptr, payload.len); /* a datagram's header and 12 bytes are TCP's */
    size_t len = pv_natpkt_udp(buf, sizeof(buf), &s, &d, pv_view(data, 12 + payload.len));
    buf[9] = PV_NATPKT_TCP;
    memset(buf + 24, 0, 16);
    buf[32] = 0x50;
    buf[33] = 0x18;
    pv_natpkt_mend(buf, len);
    return push(w, PV_NAT_INSIDE, buf, len);
}

PV_TEST(a_hello_that_is_split_does_not_get_through)
{
    uint8_t hello[5 + 300] = {22, 3, 1, 300 >> 8, 300 & 255, 1};
    struct world w = start("whole-hello=yes"), any = start("");
    assert_true(says_tcp(&w, pv_view(hello, sizeof(hello))));
    for (size_t n = 2; n < sizeof(hello); n++) {
        assert_false(says_tcp(&w, pv_view(hello, n)));
        assert_true(says_tcp(&any, pv_view(hello, n)));
    }
    assert_int_equal(drops(&w, PV_NAT_DROP_SPLIT), sizeof(hello) - 2);
    assert_true(says_tcp(&w, pv_view(hello + 100, 200))); /* what follows */
    assert_true(says_tcp(&w, pv_view(hello, 1)));
    hello[5] = 2; /* another message */
    assert_true(says_tcp(&w, pv_view(hello, 200)));
    hello[0] = 23;
    assert_true(says_tcp(&w, pv_view(hello, 200)));
    assert_true(says_tcp(&w, pv_view("P\1", 2)));
    assert_true(says_tcp(&w, pv_view("", 0)));
}

PV_TEST(a_closed_connection_is_forgotten_soon)
{
    struct world w = start("");
    assert_true(send_tcp(&w, PV_NAT_INSIDE, host, server, PV_NATPKT_SYN));
    assert_true(send_tcp(&w, PV_NAT_OUTSIDE, server, "203.0.113.7:5000", PV_NATPKT_SYN | 0x10));
    w.now += PV_S(7000);
    assert_true(send_tcp(&w, PV_NAT_OUTSIDE, server, "203.0.113.7:5000", 0x10));
    assert_true(send_tcp(&w, PV_NAT_INSIDE, host, server, PV_NATPKT_FIN));
    assert_true(send_tcp(&w, PV_NAT_OUTSIDE, server, "203.0.113.7:5000", PV_NATPKT_FIN));
    w.now += PV_S(9);
    assert_true(send_tcp(&w, PV_NAT_OUTSIDE, server, "203.0.113.7:5000", 0x10));
    w.now += PV_S(11);
    assert_false(send_tcp(&w, PV_NAT_OUTSIDE, server, "203.0.113.7:5000", 0x10));
}

PV_TEST(ipv6_is_filtered_but_not_translated)
{
    const char *inner = "[2001:db8:1::2]:5000";
    const char *outer = "[2001:db8:2::1]:3478";
    char text[PV_ADDR_TEXT];
    struct world w = start("filtering=apd");
    assert_false(comes_in(&w, outer, inner));
    assert_string_equal(leaves_as(&w, inner, outer, text), inner);
    assert_true(comes_in(&w, outer, inner));
    assert_false(comes_in(&w, "[2001:db8:2::1]:3479", inner));
    w.config->ipv6 = PV_NAT_V6_FORWARD;
    assert_true(comes_in(&w, "[2001:db8:2::1]:3479", inner));
    w.config->ipv6 = PV_NAT_V6_OFF;
    assert_false(comes_in(&w, outer, inner));
    assert_int_equal(drops(&w, PV_NAT_DROP_FAMILY), 1);
}

PV_TEST(a_nat64_leads_to_ipv4_by_the_nat_behind_it)
{
    const char *inner = "[2001:db8:1::2]:5000", *there = "[64:ff9b::c633:6401]:3478";
    char text[PV_ADDR_TEXT];
    struct world w = start("nat64=64:ff9b:: ipv6=off filtering=apd");
    assert_string_equal(leaves_as(&w, inner, there, text), "203.0.113.7:5000");
    assert_string_equal(pv_addr_format(&w.pkt.dst, text), server);
    assert_true(comes_in(&w, server, "203.0.113.7:5000"));
    assert_string_equal(pv_addr_format(&w.pkt.src, text), there);
    assert_string_equal(pv_addr_format(&w.pkt.dst, text), inner);
    assert_false(comes_in(&w, other, "203.0.113.7:5000"));
    assert_true(send_tcp(&w, PV_NAT_INSIDE, inner, there, PV_NATPKT_SYN));
    assert_int_equal(w.side, PV_NAT_OUTSIDE);
    assert_false(send_udp(&w, PV_NAT_INSIDE, inner, "[2001:db8:2::1]:3478"));
    assert_string_not_equal(leaves_as(&w, host, server, text), "203.0.113.7:5000"); /* taken */
}

/* ---- both lines of the box, words, broken packets ---- */

PV_TEST(both_lines_of_the_box_are_bad_as_told)
{
    struct world w = start("out-delay=30ms in-delay=20ms");
    assert_false(send_udp(&w, PV_NAT_INSIDE, host, server));
    assert_int_equal(pv_nat_next(w.nat), w.now + PV_MS(30));
    w.now += PV_MS(30);
    assert_true(next_packet(&w));
    assert_false(comes_in(&w, server, "203.0.113.7:5000"));
    w.now += PV_MS(20);
    assert_true(next_packet(&w));
    assert_int_equal(w.side, PV_NAT_INSIDE);
    assert_int_equal(pv_nat_next(w.nat), PV_NEVER);
}

PV_TEST(both_lines_of_the_box_damage_packets)
{
    struct world w = start("damage=100% mended=100% delay=1s");
    for (unsigned i = 0; i < 100; i++)
        assert_false(send_udp(&w, i % 2 == 0 ? PV_NAT_INSIDE : PV_NAT_OUTSIDE, host, server));
    const struct pv_link_stats *out = pv_nat_line_stats(w.nat, PV_NAT_INSIDE);
    const struct pv_link_stats *in = pv_nat_line_stats(w.nat, PV_NAT_OUTSIDE);
    assert_int_equal(out->packets, 50);
    assert_int_equal(out->damaged, 50);
    assert_int_equal(out->mended, 50);
    assert_int_equal(in->packets, 50);
    assert_int_equal(in->damaged, 50);
    assert_int_equal(in->mended, 50);
}

PV_TEST(commands_answer_in_json)
{
    const struct {
        const char *line, *part;
    } rows[] = {
        {"stats", "\"mappings\":1,"},
        {"stats\n", "\"drops\":{\"malformed\":0,"},
        {"list", test_given("internal external")},
        {"get", "\"udp-replied\":120000000000"},
        {"set loss=1%", "{\"ok\":true}"},
        {"set loss", "{\"error\":"},
        {"set loss=1% bad=1", "{\"error\":\"unknown setting\"}"},
        {"drop udp x", "{\"error\":"},
        {"drop udp 203.0.113.7:5001", "{\"dropped\":0}"},
        {"", "{\"error\":"},
        {"flush", "{\"ok\":true}"},
        {"list", "{\"mappings\":[]}"},
    };
    struct world w = start("");
    port_of(&w, host, server);
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_nattext reply = {.text = NULL};
        pv_nat_command(w.nat, rows[i].line, w.now, &reply);
        if (strstr(reply.text, rows[i].part) == NULL)
            fail_msg("%s: %s", rows[i].line, reply.text);
        pv_nattext_done(&reply);
    }
}

PV_TEST(broken_packets_are_dropped)
{
    uint8_t buf[256];
    struct world w = start("");
    size_t len = big_packet(buf, sizeof(buf), host, server, 20);
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *exact = malloc(cut == 0 ? 1 : cut);
        memcpy(exact, buf, cut);
        assert_false(push(&w, PV_NAT_INSIDE, exact, cut));
        free(exact);
    }
    assert_int_equal(drops(&w, PV_NAT_DROP_MALFORMED), len);
    len = big_packet(buf, sizeof(buf), "[2001:db8::1]:1", "[2001:db8::2]:2", 20);
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *exact = malloc(cut == 0 ? 1 : cut);
        memcpy(exact, buf, cut);
        assert_false(push(&w, PV_NAT_OUTSIDE, exact, cut));
        free(exact);
    }
}

/* --- a bad line, and the words a NAT is configured with -------------------------------------- */

PV_TEST(the_line_delays_loses_and_repeats)
{
    struct pv_link link;
    pv_link_init(&link, 3);
    link.config = (struct pv_link_config){
        .loss = 0.2, .duplicate = 0.1, .delay = PV_MS(30), .jitter = PV_MS(10)};
    for (uint64_t i = 0; i < 10000; i++)
        pv_link_send(&link, (const uint8_t *)&i, sizeof(i), i, PV_MS(i));
    assert_true(link.stats.lost > 1800 && link.stats.lost < 2200);
    assert_true(link.stats.duplicated > 650 && link.stats.duplicated < 950);
    uint8_t *data = NULL;
    size_t len = 0;
    uint64_t tag = 0;
    uint64_t last = 0;
    uint64_t n = 0;
    while (link.len > 0) {
        pv_ns due = pv_link_next(&link);
        assert_int_equal(pv_link_receive(&link, due - 1, &data, &len, &tag), PV_ERR_AGAIN);
        assert_ok(pv_link_receive(&link, due, &data, &len, &tag));
        assert_true(due >= PV_MS(tag) + PV_MS(30) && due <= PV_MS(tag) + PV_MS(40));
        assert_true(tag >= last); /* jitter alone keeps the order */
        last = tag;
        n++;
        free(data);
    }
    assert_int_equal(n, 10000 - link.stats.lost + link.stats.duplicated);
    pv_link_done(&link);
}

PV_TEST(the_line_reorders_only_when_told)
{
    struct pv_link link;
    pv_link_init(&link, 3);
    link.config = (struct pv_link_config){.reorder = 0.3, .reorder_by = PV_MS(5)};
    unsigned swapped = 0;
    uint64_t last = 0;
    for (uint64_t i = 0; i < 1000; i++)
        pv_link_send(&link, (const uint8_t *)"x", 1, i, PV_MS(i));
    while (link.len > 0) {
        uint8_t *data = NULL;
        size_t len = 0;
        uint64_t tag = 0;
        assert_ok(pv_link_receive(&link, PV_NEVER - 1, &data, &len, &tag));
        swapped += tag < last ? 1 : 0;
        last = tag;
        free(data);
    }
    assert_true(swapped > 100);
    pv_link_done(&link);
}

PV_TEST(the_line_has_a_rate_and_a_queue)
{
    static const uint8_t kilobyte[1000];
    struct pv_link link;
    pv_link_init(&link, 3);
    link.config = (struct pv_link_config){.rate_bps = 8000000, .queue = 10000}; /* 1 ms a packet */
    for (int i = 0; i < 100; i++)
        pv_link_send(&link, kilobyte, sizeof(kilobyte), 0, PV_S(1));
    assert_true(link.len >= 10 && link.len <= 12);
    assert_int_equal(link.stats.overflow, 100 - link.len);
    assert_int_equal(pv_link_next(&link), PV_S(1) + PV_MS(1));
    pv_link_done(&link);
}

/* A packet over a line with this configuration, and what came out of it. */
static void cross(struct pv_link *link, uint8_t *packet, size_t len)
{
    uint8_t *data = NULL;
    size_t n = 0;
    pv_link_send(link, packet, len, 0, PV_MS(1));
    assert_ok(pv_link_receive(link, PV_MS(1), &data, &n, NULL));
    assert_int_equal(n, len);
    memcpy(packet, data, len);
    free(data);
}

PV_TEST(damage_falls_everywhere_and_checksums_see_it)
{
    struct pv_addr src, dst;
    src = test_addr("192.0.2.1:1000");
    dst = test_addr("198.51.100.2:53");
    static const uint8_t payload[100];
    struct pv_link link;
    pv_link_init(&link, 5);
    link.config = (struct pv_link_config){.damage = 1};
    bool fell[128] = {false};
    for (unsigned i = 0; i < 5000; i++) {
        uint8_t sent[128], packet[128];
        size_t len =
            pv_natpkt_udp(sent, sizeof(sent), &src, &dst, pv_view(payload, sizeof(payload)));
        assert_int_equal(len, sizeof(sent));
        memcpy(packet, sent, len);
        cross(&link, packet, len);
        unsigned others = 0;
        for (size_t at = 0; at < len; at++) {
            others += packet[at] != sent[at] ? 1 : 0;
            fell[at] = fell[at] || packet[at] != sent[at];
        }
        assert_true(others >= 1 && others <= 4);
        struct pv_natpkt pkt;
        if (memcmp(sent, packet, 28) == 0 && pv_natpkt_parse(packet, len, &pkt) == PV_OK)
            assert_false(pv_natpkt_checksum_ok(&pkt));
    }
    for (size_t at = 0; at < sizeof(fell); at++)
        assert_true(fell[at]);
    assert_int_equal(link.stats.damaged, 5000);
    pv_link_done(&link);
}

PV_TEST(mended_damage_is_seen_by_no_checksum)
{
    static const char *const ends[][2] = {{"192.0.2.1:1000", "198.51.100.2:53"},
                                          {"[2001:db8::1]:1000", "[2001:db8::2]:53"}};
    static const uint8_t payload[101];
    for (unsigned family = 0; family < 2; family++) {
        struct pv_addr src, dst;
        src = test_addr(ends[family][0]);
        dst = test_addr(ends[family][1]);
        struct pv_link link;
        pv_link_init(&link, 5);
        link.config = (struct pv_link_config){.damage = 1, .mended = 1};
        link.mend = pv_natpkt_mend;
        unsigned looked_at = 0;
        for (unsigned i = 0; i < 5000; i++) {
            uint8_t sent[256], packet[256];
            struct pv_natpkt pkt;
            size_t len = i % 2 == 0 ? pv_natpkt_udp(sent, sizeof(sent), &src, &dst,
                                                    pv_view(payload, sizeof(payload)))
                                    : pv_natpkt_echo(sent, sizeof(sent), &src, &dst, i,
                                                     pv_view(payload, sizeof(payload)));
            memcpy(packet, sent, len);
            cross(&link, packet, len);
            /* A damaged header may be that of anything: of no packet, of a fragment, of another
             * protocol. */
            if (pv_natpkt_parse(packet, len, &pkt) < 0 || pkt.fragment || pkt.proto == 6)
                continue;
            assert_true(pv_natpkt_checksum_ok(&pkt));
            looked_at++;
        }
        assert_true(looked_at > 4000);
        assert_int_equal(link.stats.mended, 5000);
        pv_link_done(&link);
    }
}

PV_TEST(settings_are_taken_whole_or_not_at_all)
{
    const struct {
        const char *key, *value;
        int status;
        const char *why;
    } rows[] = {
        {"mapping", "ad", PV_OK, "a word"},
        {"mapping", "a", PV_ERR_MALFORMED, "the beginning of a word"},
        {"mapping", "", PV_ERR_MALFORMED, "nothing"},
        {"nonsense", "1", PV_ERR_NOT_FOUND, "no such setting"},
        {"range", "1024-65535", PV_OK, "a range"},
        {"range", "1024-65536", PV_ERR_MALFORMED, "one over"},
        {"range", "2000-1999", PV_ERR_MALFORMED, "the wrong way round"},
        {"step", "0", PV_ERR_MALFORMED, "a step that goes nowhere"},
        {"loss", "5%", PV_OK, "percent, both lines"},
        {"in-loss", "0.5", PV_OK, "one line"},
        {"loss", "many", PV_ERR_MALFORMED, "not a number"},
        {"damage", "5%", PV_OK, "damage, both lines"},
        {"out-mended", "50%", PV_OK, "half of it unseen"},
        {"delay", "30", PV_OK, "milliseconds"},
        {"delay", "-1", PV_ERR_MALFORMED, "negative"},
        {"rate", "2M", PV_OK, "bits a second"},
        {"public", "1.2.3.4,5.6.7.8", PV_OK, "two addresses"},
        {"public", test_given("1 1"), PV_OK, "as many as there may be"},
        {"public", test_given("1.1.1.6 1.1.1.7 1.1.1.8 1.1.1.9"), PV_ERR_MALFORMED, "one over"},
        {"public", "::1", PV_ERR_MALFORMED, "IPv6"},
        {"udp", "53,443", PV_OK, "ports"},
        {"udp", "0", PV_ERR_MALFORMED, "no port"},
        {"udp", "1,2,3,4,5,6,7,8,9", PV_ERR_MALFORMED, "one over"},
        {"profile", "symmetric", PV_OK, "a profile"},
        {"profile", "cone", PV_ERR_MALFORMED, "no such profile"},
        {"block-size", "65536", PV_ERR_MALFORMED, "one over"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_nat_config before;
        pv_nat_config_init(&before);
        struct pv_nat_config after = before;
        int r = pv_nat_set(&after, rows[i].key, rows[i].value);
        if (r != rows[i].status)
            fail_msg("%s=%s (%s): %d", rows[i].key, rows[i].value, rows[i].why, r);
        if (r < 0)
            assert_memory_equal(&before, &after, sizeof(before));
    }
}
