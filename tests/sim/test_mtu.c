/* SPDX-License-Identifier: MIT */
/*
 * test_mtu.c - paths that become narrow in the middle of use, with routers that swallow what does
 * not fit and say nothing: found within a second, told to who sends inside, and 1280 bytes always
 * pass.
 */
#include "tests/sim/world/sim_world.h"
#include "tests/unit/test_util.h"

enum {
    SEEDS = 5,   /* per case; PV_SIM_SEEDS sets another number */
    FULL = 1420, /* bytes of inner packet */
};

struct narrowing {
    const char *name, *profile; /* of both NATs */
    const char *path;
    pv_ns delay;  /* one way of each line */
    uint32_t mtu; /* of a's NAT, both ways; where a has no UDP, of b's */
    uint16_t loss_percent;
    bool stream; /* a reaches the relay by a stream, which no NAT makes narrow */
};

static const struct narrowing CASES[] = {
    {"direct, 1300", "port-restricted", "direct", PV_MS(10), 1300, 0, false},
    {"direct, 1280", "port-restricted", "direct", PV_MS(10), 1280, 0, false},
    {"direct, 1000, far", "port-restricted", "direct", PV_MS(60), 1000, 0, false},
    {"direct, 1400, lossy", "port-restricted", "direct", PV_MS(10), 1400, 3, false},
    {"relay, 1300", "symmetric", "relay", PV_MS(10), 1300, 0, false},
    {"relay, 1200", "symmetric", "relay", PV_MS(20), 1200, 0, false},
    {"stream, 1480", "port-restricted", "relay", PV_MS(10), 1480, 0, true},
    {"stream, 1200", "port-restricted", "relay", PV_MS(20), 1200, 0, true},
};

/* A ping of so many bytes of inner packet; pings once. */
static void ping(uint16_t family, size_t inner)
{
    struct pv_addr to = sim_node_overlay(sim.nodes[1], family);
    sim_node_ping(sim.nodes[0], &to, inner - (family == PV_AF_INET ? 28 : 48));
}

/* So many in a row are answered. */
static bool pass(uint16_t family, size_t inner, unsigned n)
{
    sim_world_run(PV_MS(600)); /* what is under way arrives */
    struct sim_pings before = sim_node_pings(sim.nodes[0]);
    for (unsigned i = 0; i < n; i++) {
        ping(family, inner);
        sim_world_run(PV_MS(5));
    }
    sim_world_run(PV_MS(600));
    return sim_node_pings(sim.nodes[0]).answered - before.answered == n;
}

static void run(uint64_t seed, void *ctx)
{
    const struct narrowing *n = ctx;
    const struct pv_link_config line = {.delay = n->delay};
    sim_case("%s", n->name);
    sim_world_init(seed, &line);
    unsigned za = sim_world_nat(SIM_PUBLIC, n->profile, &line);
    unsigned zb = sim_world_nat(SIM_PUBLIC, n->profile, &line);
    struct sim_node *a = sim_world_node(za, "a", false);
    sim_world_node(zb, "b", false);
    sim_net_block_datagrams(sim.net, sim_node_host(a), n->stream);
    sim_must(sim_world_join_all(), "joining:");
    sim_world_run(PV_S(n->stream ? 5 : 2)); /* UDP is known to be blocked after a while */
    for (unsigned i = 0; i < 80 + seed % 7 * 5; i++) {
        ping(PV_AF_INET, FULL);
        sim_world_run(PV_MS(97));
    }
    sim_must(strcmp(sim_node_path(a, "b"), n->path) == 0, "it is another path");
    sim_must(pass(PV_AF_INET, FULL, 5) && pass(PV_AF_INET6, FULL, 5),
             "a full packet does not pass before");

    struct pv_nat_config *c = pv_nat_config(sim_net_nat(sim.net, n->stream ? zb : za));
    c->mtu_in = c->mtu_out = n->mtu;
    c->mtu_icmp = false;
    c->line_out.loss = (double)n->loss_percent / 100;
    unsigned told = sim_node_pings(a).unreachable;
    pv_ns start = sim_net_now(sim.net), limit = start + PV_S(1);
    while (sim_node_pings(a).unreachable == told && sim_net_now(sim.net) < limit) {
        ping(PV_AF_INET, FULL);
        sim_world_run(PV_MS(20));
    }
    sim_must(sim_node_pings(a).unreachable != told, "not noticed within 1 s");
    if (getenv("PV_SIM_TIMES") != NULL)
        printf("%s, seed %llu: noticed after %.3f s\n", n->name, (unsigned long long)seed,
               (double)(sim_net_now(sim.net) - start) / 1e9);
    c->line_out.loss = 0;
    sim_world_run(PV_S(3)); /* b finds out too, for its answers */
    sim_must(pass(PV_AF_INET6, 1280, 20) && pass(PV_AF_INET, 1280, 20), "1280 bytes do not pass");
    sim_must(sim_node_pings(a).twice == 0, "something came twice");
    if (strcmp(n->path, "direct") != 0 || n->loss_percent > 0)
        return;
    sim_must(sim_world_says(a, "'cmd':'why','peer':'b'", "'remedy':'larger_mtu'"), "no remedy");
    c->mtu_in = c->mtu_out = 1500; /* remedy: larger_mtu */
    for (unsigned i = 0; i < 620; i++) {
        ping(PV_AF_INET, 1280);
        sim_world_run(PV_S(1));
    }
    sim_must(!sim_world_says(a, "'cmd':'why','peer':'b'", "'remedy':'larger_mtu'") &&
                 pass(PV_AF_INET, FULL, 5),
             "a wider path is not found within ten minutes:");
}

PV_TEST(a_path_that_narrows_without_a_word_is_found_within_a_second)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(CASES); i++) {
        struct narrowing n = CASES[i];
        sim_seeds(SEEDS, run, &n);
    }
}

/* The other member's way to the relay is as narrow as a link of Ethernet with IPv6's header, and
 * neither side has been told. From the first packet on each is answered, or its sender hears that
 * it is too large. */
static void from_the_first_packet(uint64_t seed, void *ctx)
{
    const bool *stream = ctx;
    static const struct pv_link_config line = {.delay = PV_MS(10)};
    sim_world_init(seed, &line);
    unsigned za = sim_world_nat(SIM_PUBLIC, "symmetric", &line);
    unsigned zb = sim_world_nat(SIM_PUBLIC, "symmetric", &line);
    struct sim_node *a = sim_world_node(za, "a", false);
    sim_world_node(zb, "b", false);
    struct pv_nat_config *c = pv_nat_config(sim_net_nat(sim.net, zb));
    c->mtu_in = 1480; /* towards b */
    c->mtu_icmp = false;
    sim_net_block_datagrams(sim.net, sim_node_host(a), *stream);
    sim_must(sim_world_join_all(), "joining:");
    sim_world_run(PV_S(5));
    ping(PV_AF_INET, 100); /* makes the path */
    sim_world_run(PV_S(1));
    struct sim_pings before = sim_node_pings(a);
    for (unsigned i = 0; i < 60; i++) {
        ping(PV_AF_INET, FULL);
        sim_world_run(PV_MS(50));
    }
    sim_world_run(PV_S(1));
    struct sim_pings after = sim_node_pings(a);
    unsigned answered = after.answered - before.answered;
    unsigned told = after.unreachable - before.unreachable;
    sim_must(answered + told == 60, "full packets vanished");
}

PV_TEST(nothing_vanishes_where_the_other_side_of_the_relay_is_narrower)
{
    bool stream = true, udp = false;
    sim_seeds(SEEDS, from_the_first_packet, &stream);
    sim_seeds(SEEDS, from_the_first_packet, &udp);
}
