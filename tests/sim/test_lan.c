/* SPDX-License-Identifier: MIT */
/*
 * test_lan.c - broadcast and multicast between nodes in places of every kind: who joined gets it
 * once and in order, floods end at their budget, nothing goes in circles, and discovery wakes
 * nobody.
 */
#include "tests/sim/world/sim_world.h"
#include "tests/unit/test_util.h"

enum {
    SEEDS = 1, /* PV_SIM_SEEDS sets another number */
    NODES = 6,
};

static const struct pv_link_config line = {.delay = PV_MS(10)}; /* keeps the order */

/* sim_must() of something that has a number. */
static void must(bool is_so, const char *wrong, uint64_t number)
{
    if (!is_so)
        sim_case("%llu", (unsigned long long)number);
    sim_must(is_so, wrong);
}

/* Cones, an open host, and two symmetric NATs that need the relay with each other. */
static bool begin(uint64_t seed, unsigned n)
{
    static const char *const kinds[NODES] = {
        "port-restricted", "symmetric", "full-cone", NULL, "symmetric", "address-restricted"};
    sim_world_init(seed, &line);
    for (unsigned i = 0; i < n; i++) {
        const char *name = PV_STR("n%u", i);
        unsigned zone = kinds[i] == NULL ? SIM_PUBLIC : sim_world_nat(SIM_PUBLIC, kinds[i], &line);
        sim_world_node(zone, name, false);
    }
    if (!sim_world_join_all())
        return false;
    sim_world_run(PV_S(5));
    return true;
}

/* Everybody has data with node 0. */
static bool use_all(void)
{
    for (unsigned i = 1; i < sim.n_nodes; i++) {
        if (sim_world_reach(sim.nodes[0], sim.nodes[i], PV_S(1), PV_S(20)) == PV_NEVER)
            return false;
    }
    sim_world_run(PV_S(5));
    return true;
}

static void begin_flows(void)
{
    for (unsigned i = 0; i < sim.n_nodes; i++)
        sim_node_flow_begin(sim.nodes[i]);
}

/* n datagrams to a group, per_s a second. */
static void flow(unsigned from, const char *group, unsigned n, unsigned per_s)
{
    struct pv_addr to = test_ip(group);
    for (unsigned i = 0; i < n; i++) {
        sim_node_flow(sim.nodes[from], &to);
        sim_world_run(PV_S(1) / per_s);
    }
    sim_world_run(PV_S(2));
}

/* --- streams --------------------------------------------------------------------------------- */

/* Nobody was in use before: who joins is known to everybody online even so. */
static void stream(uint64_t seed, void *ctx)
{
    const char *group = ctx;
    must(begin(seed, NODES), "no network", 0);
    for (unsigned i = 1; i < NODES; i += 2)
        sim_node_join(sim.nodes[i], group, true);
    sim_world_run(PV_S(30));
    flow(0, group, 360, 2); /* paths are found, and better ones after them: these overtake */
    begin_flows();
    flow(0, group, 1000, 200);
    for (unsigned i = 1; i < NODES; i++) {
        struct sim_flow f = sim_node_flow_seen(sim.nodes[i]);
        snprintf(sim.why, sizeof(sim.why), "(%llu received, %llu twice, disorder %llu)",
                 (unsigned long long)f.received, (unsigned long long)f.twice,
                 (unsigned long long)f.disorder);
        must(f.received == (i % 2 == 1 ? 1000u : 0) && f.twice + f.too_late + f.disorder == 0,
             "not all, or not in order, at", i);
        must(sim_node_pings(sim.nodes[i]).strangers == 0, "a packet that it did not want, at", i);
    }
    sim_node_join(sim.nodes[3], group, false);
    sim_world_run(PV_S(2));
    begin_flows();
    flow(0, group, 100, 100);
    for (unsigned i = 1; i < NODES; i += 2) {
        must(sim_node_flow_seen(sim.nodes[i]).received == (i == 3 ? 0u : 100u),
             "after one had left, wrong at", i);
    }
    /* A sender that starts anew is told again. */
    sim_node_kill(sim.nodes[0]);
    sim_world_run(PV_S(5));
    sim_node_start(sim.nodes[0]);
    sim_world_run(PV_S(60));
    flow(0, group, 50, 10);
    begin_flows();
    flow(0, group, 100, 100);
    for (unsigned i = 1; i < NODES; i += 2) {
        must(sim_node_flow_seen(sim.nodes[i]).received == (i == 3 ? 0u : 100u),
             "after the sender's restart, wrong at", i);
    }
}

PV_TEST(a_member_that_joined_gets_all_of_it_once_and_in_order)
{
    sim_seeds(SEEDS, stream, (void *)(uintptr_t) "239.66.0.1");
    sim_seeds(1, stream, (void *)(uintptr_t) "ff05::66");
}

/* --- floods and circles ---------------------------------------------------------------------- */

/* A program sends 20,000 broadcasts as fast as it can; a connection beside it does not notice. */
PV_SIM(a_flood_ends_at_its_budget, SEEDS)
{
    must(begin(seed, NODES) && use_all(), "no network", 0);
    begin_flows();
    struct pv_addr all = test_ip("255.255.255.255");
    struct pv_addr one = sim_node_overlay(sim.nodes[2], PV_AF_INET);
    static const uint8_t text[32] = "beside";
    for (unsigned i = 0; i < 20000; i++) {
        sim_node_flow(sim.nodes[0], &all);
        if (i % 20 == 0)
            sim_node_send_udp(sim.nodes[0], &one, 4000, pv_view(text, sizeof(text)));
        if (i % 2 == 0)
            sim_world_run(PV_MS(1));
    }
    sim_world_run(PV_S(2));
    for (unsigned i = 1; i < NODES; i++) {
        /* A burst, and 100 a second for ten seconds. */
        uint64_t got = sim_node_flow_seen(sim.nodes[i]).received;
        must(got >= 1000 && got <= 1200, "of a flood arrived", got);
    }
    must(sim_node_n_sunk(sim.nodes[2]) == 1000, "of 1000 packets beside a flood arrived",
         sim_node_n_sunk(sim.nodes[2]));
    must(sim_node_drops(sim.nodes[0], PV_FP_DROP_RATE) >= 18000, "counted",
         sim_node_drops(sim.nodes[0], PV_FP_DROP_RATE));
}

/* Every host sends again what it hears, from everybody's addresses. */
PV_SIM(nothing_goes_in_circles, SEEDS)
{
    must(begin(seed, NODES) && use_all(), "no network", 0);
    for (unsigned i = 0; i < NODES; i++) {
        sim_node_set_reflects(sim.nodes[i], true);
        sim_node_join(sim.nodes[i], "239.66.0.1", true);
    }
    sim_world_run(PV_S(30));
    begin_flows();
    flow(0, "10.66.255.255", 50, 50);
    for (unsigned i = 0; i < NODES; i++) {
        struct sim_flow f = sim_node_flow_seen(sim.nodes[i]);
        must(f.received == (i == 0 ? 0u : 50u) && f.twice == 0, "a broadcast went in circles at",
             i);
        must(i == 0 || sim_node_drops(sim.nodes[i], PV_FP_DROP_LOOP) == 50, "not counted at", i);
    }
    begin_flows();
    flow(0, "239.66.0.1", 50, 50);
    for (unsigned i = 1; i < NODES; i++) {
        struct sim_flow f = sim_node_flow_seen(sim.nodes[i]);
        must(f.received == 50 && f.twice == 0, "a stream went in circles at", i);
    }
}

/* --- what it costs --------------------------------------------------------------------------- */

static uint64_t sent_by_all(void)
{
    uint64_t sent = 0;
    for (size_t i = 0; i < sim.n_nodes; i++)
        sent += sim_node_sent(sim.nodes[i]);
    return sent;
}

/* A program joins and leaves 100 times a second for 20 s, or does nothing. */
static uint64_t twenty_seconds(bool flaps)
{
    uint64_t before = sent_by_all();
    for (unsigned i = 0; i < 2000; i++) {
        if (flaps)
            sim_node_join(sim.nodes[1], "239.66.0.1", i % 2 == 0);
        sim_world_run(PV_MS(10));
    }
    return sent_by_all() - before;
}

PV_SIM(a_program_that_joins_and_leaves_all_the_time_costs_little, SEEDS)
{
    must(begin(seed, NODES) && use_all(), "no network", 0);
    sim_node_join(sim.nodes[1], "239.66.0.2", true); /* everybody is reached for that */
    sim_world_run(PV_S(60));
    uint64_t alone = twenty_seconds(false), with = twenty_seconds(true);
    /* To each of five two sets a second, and their answers; keepalives come back for both. */
    must(with <= alone + 5 * 20 * 2 * 4, "datagrams for a program that joins, leaves",
         with - alone);
    sim_node_join(sim.nodes[1], "239.66.0.1", true);
    sim_world_run(PV_S(30));
    begin_flows();
    flow(0, "239.66.0.1", 20, 10);
    must(sim_node_flow_seen(sim.nodes[1]).received == 20, "of 20 arrived in the end",
         sim_node_flow_seen(sim.nodes[1]).received);
}

/* The datagrams that all nodes send in an hour, from half an hour after their last packet on;
 * discovery: they look for each other every 20 s all the time. */
static uint64_t idle_hour(bool discovery)
{
    struct pv_addr mdns = test_ip("224.0.0.251"), all = test_ip("255.255.255.255");
    uint64_t sent = 0;
    for (unsigned i = 0; i < 90 * 3; i++) {
        for (unsigned k = 0; k < sim.n_nodes && discovery; k++) {
            sim_node_flow(sim.nodes[k], &mdns);
            sim_node_flow(sim.nodes[k], &all);
        }
        sim_world_run(PV_S(20));
        for (unsigned k = 0; k < sim.n_nodes && i == 30 * 3 - 1; k++)
            sent -= sim_node_sent(sim.nodes[k]);
    }
    for (unsigned k = 0; k < sim.n_nodes; k++)
        sent += sim_node_sent(sim.nodes[k]);
    return sent;
}

PV_SIM(discovery_wakes_nobody, SEEDS)
{
    uint64_t sent[2];
    for (int discovery = 0; discovery < 2; discovery++) {
        must(begin(seed, 3), "no network", 0);
        for (unsigned i = 0; i < 3; i++)
            sim_node_join(sim.nodes[i], "224.0.0.251", true);
        must(use_all(), "no path", 0);
        begin_flows();
        flow(0, "224.0.0.251", 5, 5);
        must(sim_node_flow_seen(sim.nodes[1]).received == 5, "of 5 arrived while in use",
             sim_node_flow_seen(sim.nodes[1]).received);
        begin_flows();
        sent[discovery] = idle_hour(discovery == 1);
        must(discovery != 1 || sim_node_drops(sim.nodes[0], PV_FP_DROP_IDLE) >= 300,
             "not counted as idle", 0);
        /* One packet, and they find each other again. */
        (void)sim_world_reach(sim.nodes[0], sim.nodes[1], PV_S(1), PV_S(20));
        begin_flows();
        flow(0, "224.0.0.251", 5, 5);
        must(sim_node_flow_seen(sim.nodes[1]).received == 5, "of 5 arrived in use again",
             sim_node_flow_seen(sim.nodes[1]).received);
    }
    if (sent[1] > sent[0] + sent[0] / 20) {
        printf("datagrams an hour: %llu, %llu without\n", (unsigned long long)sent[1],
               (unsigned long long)sent[0]);
        sim_fail();
    }
}
