/* SPDX-License-Identifier: MIT */
/* The peers that get an attempt at a hard NAT, and its end. The steps of an attempt are in
 * test_hardnat.c, and whole ones in tests/sim. */
#include "daemon/core/peer/hardnat_part.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

static struct fake_peers x;
static struct pv_peer *bob;

/* A node whose peer bob is being reached: both know each other's description. */
void test_before_each(void)
{
    fake_peers_init(&x, &pv_part_hardnat);
    fake_node_enter(&x.f);
    fake_node_start(&x.f);
    x.f.node.coord_info.servers[0] = pv_addr4(192, 0, 2, 1, 3478);
    x.f.node.coord_info.n_servers = 1;
    x.f.node.common->signalling = true;
    x.f.node.ways.n_locals = 1;
    x.f.node.ways.locals[0] = (struct pv_ice_cand){
        .type = PV_ICE_HOST,
        .addr = pv_addr4(10, 0, 0, 1, 51820),
        .priority = pv_ice_priority(PV_ICE_HOST, 65535),
        .foundation = 1,
        .carrier = {.kind = PV_ICE_CARRIER_UDP, .local = pv_addr4(10, 0, 0, 1, 51820)},
    };
    bob = fake_peers_member(&x, 1, "bob", 2);
    pv_peer_want(bob, "test", x.f.now);
    bob->descx.theirs.gen = 1;
    bob->descx.acked = true;
}

/* Time passes in small steps; bob is looked at in each. */
static void wait_for(pv_ns t)
{
    for (pv_ns end = x.f.now + t; x.f.now < end;) {
        x.f.now += PV_MS(10);
        bob->descx.acked = true;
        pv_part_hardnat.handle_timeout(x.f.self, x.f.now);
        pv_peers_touch(x.f.node.peers, bob, x.f.now);
        fake_peers_settle(&x);
    }
}

static enum pv_hardnat_phase phase(void)
{
    return pv_hardnat_phase(pv_hardnat_of(&x.f.node));
}

static enum pv_hardnat_phase phase_after(pv_ns t)
{
    wait_for(t);
    return phase();
}

/* Sockets that the part wants opened are there; how many. */
static unsigned open_sockets(void)
{
    struct pv_hardnat_op op;
    unsigned n = 0;
    while (pv_fifo_take(&x.f.node.ways.sock_ops, &op) == PV_OK) {
        if (op.type != PV_HARDNAT_OPEN)
            continue;
        assert_true(op.sock > 0 && op.sock < PV_HARDNAT_END_ID);
        pv_part_hardnat.sock_opened(x.f.self, op.sock, (uint16_t)(40000 + n++), x.f.now);
    }
    return n;
}

PV_TEST(an_attempt_begins_when_ordinary_checks_had_their_time)
{
    assert_int_equal(phase_after(PV_MS(100)), PV_HARDNAT_IDLE);
    assert_int_equal(phase_after(PV_MS(150)), PV_HARDNAT_MEASURING);
    assert_true(open_sockets() > 0);
    struct pv_engine_transmit tx;
    assert_true(pv_part_hardnat.poll_transmit(x.f.self, &tx));
    assert_int_equal(tx.dst.port, 3478);
    assert_true(pv_addr_equal_ip(&tx.local, &x.f.node.ways.locals[0].addr));
}

PV_TEST(no_attempt_where_udp_does_not_pass)
{
    x.f.node.ways.udp_blocked = true;
    assert_int_equal(phase_after(PV_S(2)), PV_HARDNAT_IDLE);
}

/* Its NAT64 shows an address of IPv4. */
PV_TEST(no_attempt_from_a_host_with_ipv6_alone)
{
    struct pv_ice_cand *c = x.f.node.ways.locals;
    c[0].addr = c[0].carrier.local = test_addr("[2001:db8::1]:51820");
    c[1] = c[0];
    c[1].type = PV_ICE_SRFLX;
    c[1].addr = pv_addr4(198, 51, 100, 1, 5);
    x.f.node.ways.n_locals = 2;
    assert_int_equal(phase_after(PV_S(2)), PV_HARDNAT_IDLE);
}

PV_TEST(no_attempt_for_a_peer_that_is_offline)
{
    pv_peer_set_presence(bob, PV_PRESENCE_OFFLINE, 0, x.f.now);
    assert_int_equal(phase_after(PV_S(2)), PV_HARDNAT_IDLE);
}

PV_TEST(a_direct_path_ends_the_attempt)
{
    const struct pv_addr there = pv_addr4(198, 51, 100, 7, 4000);
    assert_int_equal(phase_after(PV_MS(300)), PV_HARDNAT_MEASURING);
    open_sockets();
    fake_peers_path(&x, bob, &there);
    assert_int_equal(phase(), PV_HARDNAT_IDLE);
    assert_int_equal(bob->hard.backoff, 0);
}

PV_TEST(our_description_announces_the_attempt_once_our_nat_is_measured)
{
    x.f.node.coord_info.clock = (struct pv_wall){.us = (uint64_t)T0 * 1000000, .at = x.f.now};
    wait_for(PV_MS(300));
    open_sockets();
    assert_int_equal(phase_after(PV_S(2)), PV_HARDNAT_READY);
    assert_true(bob->hard.announced);
    assert_int_equal(bob->hard.n, 1);
    assert_true(bob->hard.at_us > (uint64_t)T0 * 1000000);
}

PV_TEST(an_attempt_that_fails_is_backed_off_until_the_network_changes)
{
    wait_for(PV_MS(300));
    open_sockets();
    wait_for(PV_S(10)); /* the other side never gets ready */
    assert_true(bob->hard.tried);
    assert_true(bob->hard.backoff > 0);
    assert_true(bob->hard.not_before > x.f.now);
    pv_node_raise(&x.f.node, PV_FACT_MOVED);
    fake_peers_settle(&x);
    assert_int_equal(bob->hard.backoff, 0);
    assert_int_equal(bob->hard.not_before, 0);
}

/* bob is seen at this address from now on. */
static void bob_moves(uint8_t last)
{
    if (bob->remote == NULL)
        bob->remote = calloc(1, sizeof(*bob->remote));
    assert_non_null(bob->remote);
    bob->remote->n_cands = 1;
    bob->remote->cands[0] =
        (struct pv_ice_cand){.type = PV_ICE_SRFLX, .addr = pv_addr4(203, 0, 113, last, 4000)};
    pv_peers_touch(x.f.node.peers, bob, x.f.now);
    fake_peers_settle(&x);
}

/* An attempt that is under way with bob ends without his getting ready. */
static void fail_attempt(void)
{
    open_sockets();
    assert_int_equal(phase_after(PV_S(10)), PV_HARDNAT_IDLE);
    assert_true(bob->hard.not_before > x.f.now);
}

/* A member that says that it is elsewhere has us send packets there, so it counts a few times. */
PV_TEST(a_back_off_ends_when_the_other_side_is_elsewhere)
{
    bob_moves(7);
    wait_for(PV_MS(300));
    fail_attempt();
    bob_moves(7);
    assert_int_equal(phase(), PV_HARDNAT_IDLE);
    unsigned counted = 0;
    for (uint8_t last = 8; last < 20; last++) {
        bob_moves(last);
        if (phase() == PV_HARDNAT_IDLE)
            break;
        fail_attempt();
        counted++;
    }
    assert_in_range(counted, 6, 8);
}

PV_TEST(an_attempt_that_the_other_side_missed_is_made_up_for_when_it_begins)
{
    bob_moves(7);
    wait_for(PV_MS(300));
    open_sockets();
    wait_for(PV_S(10));
    assert_true(bob->hard.not_before > x.f.now + PV_S(30));
    const uint32_t missed = bob->hard.n;
    bob->remote->attempt.n = missed;
    pv_peers_touch(x.f.node.peers, bob, x.f.now);
    fake_peers_settle(&x);
    assert_true(phase() != PV_HARDNAT_IDLE);
    assert_int_equal(bob->hard.n, missed);
}

/* A fresh port of each side and some packets load no NAT. */
PV_TEST(a_light_attempt_that_fails_is_made_again_soon)
{
    bob_moves(7);
    bob->remote->nat =
        (struct pv_desc_nat){.mapping = PV_DESC_MAPPING_SAME, .last = 4001, .early = true};
    wait_for(PV_MS(300));
    open_sockets();
    assert_int_equal(phase_after(PV_S(2)), PV_HARDNAT_READY);
    bob->remote->attempt.n = bob->hard.n;
    assert_int_equal(phase_after(PV_MS(10)), PV_HARDNAT_RUNNING);
    for (int i = 0; i < 1000 && !bob->hard.tried; i++)
        wait_for(PV_MS(10));
    assert_true(bob->hard.tried);
    assert_int_equal(bob->hard.plan.method, PV_HARDNAT_FRESH);
    assert_true(bob->hard.not_before <= x.f.now + PV_S(4));
    assert_true(phase_after(PV_S(5)) != PV_HARDNAT_IDLE);
}

PV_TEST(an_attempt_ends_where_the_own_address_does)
{
    struct pv_ice_cand *seen = &x.f.node.ways.locals[x.f.node.ways.n_locals++];
    *seen = (struct pv_ice_cand){.type = PV_ICE_SRFLX,
                                 .addr = pv_addr4(198, 51, 100, 1, 5),
                                 .carrier = x.f.node.ways.locals[0].carrier};
    pv_node_raise(&x.f.node, PV_FACT_MOVED);
    fake_peers_settle(&x);
    wait_for(PV_MS(300));
    open_sockets();
    seen->addr.port = 6; /* another port of the same NAT */
    pv_node_raise(&x.f.node, PV_FACT_MOVED);
    fake_peers_settle(&x);
    assert_int_equal(phase(), PV_HARDNAT_MEASURING);
    seen->addr = pv_addr4(198, 51, 100, 2, 5);
    pv_node_raise(&x.f.node, PV_FACT_MOVED);
    fake_peers_settle(&x);
    assert_int_equal(phase(), PV_HARDNAT_IDLE);
    assert_int_equal(bob->hard.backoff, 0);
}

PV_TEST(an_attempt_ends_with_its_peer)
{
    wait_for(PV_MS(300));
    open_sockets();
    pv_peers_drop(x.f.node.peers, bob, x.f.now);
    assert_int_equal(phase(), PV_HARDNAT_IDLE);
}

PV_TEST(messages_on_other_sockets_are_for_others)
{
    struct pv_carrier from = {.kind = PV_CARRIER_UDP, .sock = 0};
    assert_false(pv_part_hardnat.handle_stun(x.f.self, &from, pv_view("x", 1), x.f.now));
    from.sock = PV_HARDNAT_END_ID;
    assert_false(pv_part_hardnat.handle_stun(x.f.self, &from, pv_view("x", 1), x.f.now));
    wait_for(PV_MS(300));
    assert_true(open_sockets() > 0);
    from.sock = 1;
    assert_true(pv_part_hardnat.handle_stun(x.f.self, &from, pv_view("x", 1), x.f.now));
}
