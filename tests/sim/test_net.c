/* SPDX-License-Identifier: MIT */
/* The simulated world itself: what the scenarios stand on. */
#include "tests/sim/world/sim_faults.h"
#include "tests/sim/world/sim_net.h"
#include "tests/unit/test_util.h"

static const struct pv_link_config wan = {.delay = PV_MS(10)};

static struct sim_net *net;
static struct sim_event e; /* the newest */

void test_before_each(void)
{
    net = sim_net_new(1);
}

void test_after_each(void)
{
    sim_net_free(net);
}

static unsigned add_host(unsigned zone, const char *address)
{
    struct pv_addr a = test_ip(address);
    unsigned host = sim_net_add_host(net, zone, zone == SIM_PUBLIC ? &wan : NULL);
    sim_net_add_addr(net, host, &a);
    return host;
}

static unsigned add_nat(unsigned outer, const char *profile, const char *public)
{
    struct pv_nat_config c;
    pv_nat_config_init(&c);
    c.public_ip[0] = test_ip(public);
    c.n_public = 1;
    c.line_out = wan;
    c.line_in = wan;
    if (strcmp(profile, "symmetric") == 0) {
        c.mapping = PV_NAT_APD;
        c.ports = PV_NAT_RANDOM;
    }
    return sim_net_add_nat(net, outer, &c);
}

static void send_text(unsigned host, uint16_t port, const char *dst, uint8_t ttl)
{
    struct pv_addr src = {.family = PV_AF_NONE, .port = port};
    struct pv_addr d = test_addr(dst);
    assert_true(sim_net_send(net, host, &src, &d, ttl, pv_view("hi", 2)));
}

static bool next_event(void)
{
    return sim_net_next(net, sim_net_now(net) + PV_S(1), &e) == PV_OK;
}

/* The next event is of this kind; */
static void expect(enum sim_event_kind kind)
{
    assert_true(next_event());
    assert_int_equal(e.kind, kind);
}

/* and this host has it. */
static void expect_at(unsigned host, enum sim_event_kind kind)
{
    expect(kind);
    assert_int_equal(e.host, host);
}

PV_TEST(two_cones_meet_and_the_clock_is_exact)
{
    unsigned za = add_nat(SIM_PUBLIC, "cone", "203.0.113.1");
    unsigned zb = add_nat(SIM_PUBLIC, "cone", "203.0.113.2");
    unsigned a = add_host(za, "192.168.1.2");
    unsigned b = add_host(zb, "192.168.1.2");
    pv_ns start = sim_net_now(net);
    send_text(a, 5000, "203.0.113.2:6000", 0);
    assert_false(next_event()); /* filtered */
    start = sim_net_now(net);
    send_text(b, 6000, "203.0.113.1:5000", 0);
    expect_at(a, SIM_DATAGRAM);
    assert_int_equal(e.now, start + PV_MS(20));
    assert_int_equal(e.remote.port, 6000);
    assert_int_equal(e.remote.ip[3], 2);
    assert_memory_equal(e.data.ptr, "hi", 2);
    sim_net_reboot_nat(net, za);
    send_text(b, 6000, "203.0.113.1:5000", 0);
    assert_false(next_event());
}

PV_TEST(the_same_lan_and_ipv6_need_no_translation)
{
    unsigned zone = add_nat(SIM_PUBLIC, "cone", "203.0.113.1");
    unsigned a = add_host(zone, "192.168.1.2");
    unsigned b = add_host(zone, "192.168.1.3");
    unsigned far = add_host(SIM_PUBLIC, "2001:db8::1");
    struct pv_addr a6 = test_ip("2001:db8:1::2");
    sim_net_add_addr(net, a, &a6);
    send_text(a, 1, "192.168.1.3:2", 0);
    expect_at(b, SIM_DATAGRAM);
    assert_int_equal(e.remote.ip[0], 192);
    send_text(far, 1, "[2001:db8:1::2]:9", 0);
    assert_false(next_event());
    send_text(a, 9, "[2001:db8::1]:1", 0);
    expect_at(far, SIM_DATAGRAM);
    assert_true(pv_addr_equal_ip(&e.remote, &a6));
    send_text(far, 1, "[2001:db8:1::2]:9", 0);
    expect_at(a, SIM_DATAGRAM);
}

PV_TEST(a_low_ttl_opens_the_own_nat_only)
{
    unsigned zone = add_nat(SIM_PUBLIC, "cone", "203.0.113.1");
    unsigned a = add_host(zone, "192.168.1.2");
    unsigned far = add_host(SIM_PUBLIC, "198.51.100.1");
    send_text(a, 5000, "198.51.100.1:1", 2);
    expect_at(a, SIM_EXPIRED); /* a router says so to the sender, and quotes it */
    assert_int_equal(e.local.port, 5000);
    assert_true(e.data.len > 0);
    assert_false(next_event());
    send_text(far, 1, "203.0.113.1:5000", 0);
    expect_at(a, SIM_DATAGRAM);
}

PV_TEST(double_nat_shows_the_outer_address)
{
    unsigned outer = add_nat(SIM_PUBLIC, "cone", "203.0.113.1");
    unsigned inner = add_nat(outer, "cone", "100.64.0.2");
    unsigned a = add_host(inner, "192.168.1.2");
    unsigned far = add_host(SIM_PUBLIC, "198.51.100.1");
    send_text(a, 5000, "198.51.100.1:1", 0);
    assert_true(next_event());
    assert_int_equal(e.remote.ip[0], 203);
    send_text(far, 1, "203.0.113.1:5000", 0);
    expect_at(a, SIM_DATAGRAM);
}

PV_TEST(streams_connect_carry_and_end)
{
    unsigned zone = add_nat(SIM_PUBLIC, "cone", "203.0.113.1");
    unsigned a = add_host(zone, "192.168.1.2");
    unsigned server = add_host(SIM_PUBLIC, "198.51.100.1");
    struct pv_addr to = test_addr("198.51.100.1:3478");
    uint32_t s = sim_net_connect(net, a, &to);
    expect(SIM_CLOSED);
    assert_int_equal(e.status, PV_ERR_REFUSED);

    sim_net_listen(net, server, 3478);
    s = sim_net_connect(net, a, &to);
    expect_at(server, SIM_ACCEPTED);
    assert_int_equal(e.remote.ip[0], 203);
    uint32_t other = e.stream;
    expect(SIM_CONNECTED);
    assert_int_equal(e.stream, s);
    sim_net_write(net, s, pv_view("abc", 3));
    expect(SIM_BYTES);
    assert_int_equal(e.data.len, 3);
    sim_net_write(net, other, pv_view("xyz", 3));
    sim_net_close(net, other);
    expect(SIM_BYTES);
    expect(SIM_CLOSED);
    assert_false(next_event());
}

PV_TEST(a_power_cut_is_silent_until_the_host_is_back)
{
    unsigned a = add_host(SIM_PUBLIC, "198.51.100.2");
    unsigned server = add_host(SIM_PUBLIC, "198.51.100.1");
    struct pv_addr to = test_addr("198.51.100.1:3478");
    sim_net_listen(net, server, 3478);
    uint32_t s = sim_net_connect(net, a, &to);
    assert_true(next_event() && next_event());
    sim_net_power(net, server, false);
    sim_net_write(net, s, pv_view("abc", 3));
    assert_false(next_event());
    sim_net_power(net, server, true);
    sim_net_write(net, s, pv_view("abc", 3));
    expect_at(a, SIM_CLOSED);
}

PV_TEST(a_stream_is_short_or_reset_where_that_was_planned)
{
    unsigned a = add_host(SIM_PUBLIC, "198.51.100.2");
    unsigned server = add_host(SIM_PUBLIC, "198.51.100.1");
    struct pv_addr to = test_addr("198.51.100.1:3478");
    sim_net_listen(net, server, 3478);
    uint32_t s = sim_net_connect(net, a, &to);
    assert_true(next_event() && next_event());
    sim_faults_plan(SIM_FAULT_SHORT, 2, 1);
    assert_int_equal(sim_net_write(net, s, pv_view("abcd", 4)), 4);
    assert_int_equal(sim_net_write(net, s, pv_view("abcd", 4)), 2);
    assert_int_equal(sim_net_write(net, s, pv_view("cd", 2)), 0);
    bool writable = false;
    size_t n = 0;
    while (next_event()) {
        writable = writable || (e.kind == SIM_WRITABLE && e.host == a && e.stream == s);
        n += e.kind == SIM_BYTES ? e.data.len : 0;
    }
    assert_true(writable);
    assert_int_equal(n, 6);
    assert_int_equal(sim_net_write(net, s, pv_view("cd", 2)), 2);
    sim_faults_plan(SIM_FAULT_STREAM, 1, 1);
    assert_int_equal(sim_net_write(net, s, pv_view("abcd", 4)), 4);
    for (unsigned i = 0; i < 2; i++) {
        expect(SIM_CLOSED);
    }
    assert_false(next_event());
    sim_faults_plan(SIM_FAULT_STREAM, 0, 0);
}

PV_TEST(an_overlay_address_is_reached_through_any_nat)
{
    unsigned a = add_host(add_nat(SIM_PUBLIC, "cone", "203.0.113.1"), "192.168.1.2");
    unsigned b = add_host(add_nat(SIM_PUBLIC, "cone", "203.0.113.2"), "192.168.1.2");
    struct pv_addr a_ip = test_ip("10.66.0.1");
    struct pv_addr b_ip = test_ip("10.66.0.2");
    struct pv_addr to = test_addr("10.66.0.2:2047");
    sim_net_add_overlay(net, a, &a_ip);
    sim_net_add_overlay(net, b, &b_ip);
    sim_net_listen(net, b, 2047);
    sim_net_connect(net, a, &to);
    expect(SIM_ACCEPTED);
    assert_true(pv_addr_equal_ip(&e.remote, &a_ip));
}

PV_TEST(timers_come_in_order)
{
    unsigned a = add_host(SIM_PUBLIC, "198.51.100.2");
    pv_ns now = sim_net_now(net);
    sim_net_timer(net, a, now + PV_MS(20));
    sim_net_at(net, now + PV_MS(10), 7);
    sim_net_at(net, now + PV_MS(30), 8);
    assert_true(next_event() && e.kind == SIM_AT && e.tag == 7);
    assert_true(next_event() && e.kind == SIM_TIMER && e.host == a);
    assert_int_equal(sim_net_now(net), now + PV_MS(20)); /* one is still to come */
}

/* A noisy exchange; the hash stands for everything that happened. */
static uint64_t noisy_run(uint64_t seed)
{
    test_after_each();
    net = sim_net_new(seed);
    struct pv_link_config bad = {
        .delay = PV_MS(10), .jitter = PV_MS(5), .loss = 0.1, .duplicate = 0.1, .reorder = 0.1};
    unsigned za = add_nat(SIM_PUBLIC, "symmetric", "203.0.113.1");
    unsigned a = add_host(za, "192.168.1.2");
    unsigned far = add_host(SIM_PUBLIC, "198.51.100.1");
    sim_net_set_line(net, far, &bad);
    for (unsigned i = 0; i < 200; i++)
        send_text(a, (uint16_t)(5000 + i % 7), "198.51.100.1:1", 0);
    while (next_event()) {
        if (e.host == far)
            sim_net_send(net, far, &e.local, &e.remote, 0, pv_view("yo", 2));
    }
    return sim_net_hash(net);
}

static void same_twice(uint64_t seed, void *ctx)
{
    uint64_t *last = ctx;
    uint64_t hash = noisy_run(seed);
    if (hash != noisy_run(seed) || hash == *last)
        sim_fail();
    *last = hash;
}

PV_TEST(a_seed_repeats_a_run_exactly)
{
    uint64_t last = 0;
    sim_seeds(20, same_twice, &last);
}
