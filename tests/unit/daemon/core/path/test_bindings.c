/* SPDX-License-Identifier: MIT */
/* The part that measures how long the NAT keeps bindings. */
#include "daemon/core/nat/hardnat.h"
#include "daemon/core/path/bindings.h"
#include "proto/stun/natlife.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

static struct fake_peers peers;
static struct pv_addr server;

void test_before_each(void)
{
    fake_peers_init(&peers, &pv_part_bindings);
    fake_node_gather(&peers.f);
    server = pv_addr4(192, 0, 2, 1, 3478);
    peers.f.node.coord_info.servers[0] = server;
    peers.f.node.coord_info.n_servers = 1;
    peers.f.node.online = true;
    fake_node_start(&peers.f);
}

static bool is_measuring(void)
{
    return json_is_true(fake_node_value(&peers.f, PV_STATUS_NAT_BINDING, "measuring"));
}

/* A NAT shows itself: one more candidate, with another address than ours. */
static void see_nat(uint8_t last)
{
    struct pv_node_ways *ways = &peers.f.node.ways;
    ways->n_locals = 1;
    ways->locals[0] =
        (struct pv_ice_cand){.type = PV_ICE_SRFLX, .addr = pv_addr4(198, 51, 100, last, 4000)};
    ways->locals[0].carrier.local = pv_addr4(10, 0, 0, 2, 0);
    fake_node_raise(&peers.f, PV_FACT_CANDIDATES);
}

/* Takes all socket operations that wait; how many there were of that type. */
static unsigned take_ops(enum pv_hardnat_op_type type)
{
    struct pv_hardnat_op op;
    unsigned n = 0;
    while (pv_fifo_take(&peers.f.node.ways.sock_ops, &op) == PV_OK)
        n += op.type == type;
    return n;
}

/* How many sockets it has opened by then. */
static size_t opens_within(pv_ns time)
{
    fake_node_wait(&peers.f, time);
    return take_ops(PV_HARDNAT_OPEN);
}

PV_TEST(without_a_nat_nothing_is_measured)
{
    assert_int_equal(opens_within(PV_S(3600)), 0);
}

PV_TEST(a_nat_is_measured_once_after_a_minute)
{
    see_nat(1);
    assert_int_equal(opens_within(PV_S(59)), 0);
    assert_int_equal(opens_within(PV_S(2)), PV_NATLIFE_SOCKETS);
    see_nat(1); /* the same network */
    assert_int_equal(opens_within(PV_S(600)), 0);
}

PV_TEST(a_measurement_that_waits_for_the_coordinator_is_tried_again)
{
    peers.f.node.online = false;
    see_nat(1);
    assert_int_equal(opens_within(PV_S(120)), 0);
    peers.f.node.online = true;
    assert_int_equal(opens_within(PV_S(600)), PV_NATLIFE_SOCKETS);
}

PV_TEST(a_socket_that_fails_ends_the_measurement_for_ten_minutes)
{
    see_nat(1);
    assert_int_equal(opens_within(PV_S(61)), PV_NATLIFE_SOCKETS);
    peers.f.part->sock_opened(peers.f.self, PV_BINDINGS_SOCK, 0, peers.f.now);
    assert_int_equal(take_ops(PV_HARDNAT_CLOSE), PV_NATLIFE_SOCKETS);
    /* what comes late for a socket of that attempt changes nothing */
    peers.f.part->sock_opened(peers.f.self, PV_BINDINGS_SOCK + 1, 4001, peers.f.now);
    assert_int_equal(opens_within(PV_S(599)), 0);
    assert_int_equal(opens_within(PV_S(2)), PV_NATLIFE_SOCKETS);
}

static void measure(void)
{
    see_nat(1);
    assert_int_equal(opens_within(PV_S(61)), PV_NATLIFE_SOCKETS);
    for (uint16_t i = 0; i < PV_NATLIFE_SOCKETS; i++)
        peers.f.part->sock_opened(peers.f.self, (uint16_t)(PV_BINDINGS_SOCK + i),
                                  (uint16_t)(5000 + i), peers.f.now);
    assert_true(is_measuring());
}

PV_TEST(another_network_is_measured_anew)
{
    measure();
    see_nat(2);
    assert_false(is_measuring());
    assert_int_equal(take_ops(PV_HARDNAT_CLOSE), PV_NATLIFE_SOCKETS);
    assert_int_equal(opens_within(PV_S(61)), PV_NATLIFE_SOCKETS);
}

PV_TEST(a_measurement_that_slept_is_made_anew)
{
    measure();
    peers.f.now += PV_S(240);
    fake_node_raise(&peers.f, PV_FACT_RESUMED);
    assert_false(is_measuring());
    assert_int_equal(take_ops(PV_HARDNAT_CLOSE), PV_NATLIFE_SOCKETS);
    fake_node_raise(&peers.f, PV_FACT_RESUMED); /* nothing is being measured: nothing to void */
    assert_int_equal(opens_within(PV_S(61)), PV_NATLIFE_SOCKETS);
    assert_int_equal(take_ops(PV_HARDNAT_CLOSE), 0);
}

PV_TEST(a_measurement_asks_the_server_from_its_own_sockets)
{
    struct pv_engine_transmit tx;
    unsigned n = 0;
    see_nat(1);
    fake_node_wait(&peers.f, PV_S(61));
    for (uint16_t i = 0; i < PV_NATLIFE_SOCKETS; i++)
        peers.f.part->sock_opened(peers.f.self, (uint16_t)(PV_BINDINGS_SOCK + i),
                                  (uint16_t)(5000 + i), peers.f.now);
    peers.f.part->handle_timeout(peers.f.self, peers.f.now);
    while (peers.f.part->poll_transmit(peers.f.self, &tx)) {
        assert_in_range(tx.sock, PV_BINDINGS_SOCK, PV_STANDBY_SOCK - 1);
        assert_true(pv_addr_equal(&tx.dst, &server));
        assert_true(tx.len > 0);
        assert_false(tx.router);
        n++;
    }
    assert_true(n > 0);
}

PV_TEST(sockets_of_others_are_left_to_them)
{
    see_nat(1);
    assert_int_equal(opens_within(PV_S(61)), PV_NATLIFE_SOCKETS);
    peers.f.part->sock_opened(peers.f.self, 7, 0, peers.f.now);
    peers.f.part->sock_opened(peers.f.self, PV_STANDBY_SOCK, 0, peers.f.now);
    assert_int_equal(take_ops(PV_HARDNAT_CLOSE), 0); /* as when one of ours fails */
    const struct pv_carrier from = {.kind = PV_CARRIER_UDP, .sock = 7, .remote = server};
    assert_false(peers.f.part->handle_stun(peers.f.self, &from, pv_view("x", 1), peers.f.now));
}
