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
static void must(struct sim_world *w, bool is_so, const char *wrong, uint64_t number)
{
    if (!is_so)
        sim_case("%llu", (unsigned long long)number);
    sim_must(w, is_so, wrong);
}

/* Cones, an open host, and two symmetric NATs that need the relay with each other. */
static bool begin(struct sim_world *w, uint64_t seed, unsigned n)
{
    static const char *const kinds[NODES] = {
        "port-restricted", "symmetric", "full-cone", NULL, "symmetric", "address-restricted"};
    sim_world_init(w, seed, &line);
    for (unsigned i = 0; i < n; i++) {
        char name[16];
        snprintf(name, sizeof(name), "n%u", i);
        unsigned zone =
            kinds[i] == NULL ? SIM_PUBLIC : sim_world_nat(w, SIM_PUBLIC, kinds[i], &line);
        sim_world_node(w, zone, name, false);
    }
    if (!sim_world_join_all(w))
        return false;
    sim_world_run(w, PV_S(5));
    return true;
}

/* Everybody has data with node 0. */
static bool use_all(struct sim_world *w)
{
    for (unsigned i = 1; i < w->n_nodes; i++) {
        if (sim_world_reach(w, w->nodes[0], w->nodes[i], PV_S(1), PV_S(20)) == PV_NEVER)
            return false;
    }
    sim_world_run(w, PV_S(5));
    return true;
}

static void begin_flows(struct sim_world *w)
{
    for (unsigned i = 0; i < w->n_nodes; i++)
        sim_node_flow_begin(w->nodes[i]);
}

/* n datagrams to a group, per_s a second. */
static void flow(struct sim_world *w, unsigned from, const char *group, unsigned n, unsigned per_s)
{
    struct pv_addr to = test_ip(group);
    for (unsigned i = 0; i < n; i++) {
        sim_node_flow(w->nodes[from], &to);
        sim_world_run(w, PV_S(1) / per_s);
    }
    sim_world_run(w, PV_S(2));
}

/* --- streams --------------------------------------------------------------------------------- */

/* Nobody was in use before: who joins is known to everybody online even so. */
static void stream(uint64_t seed, void *ctx)
{
    const char *group = ctx;
    struct sim_world w;
    must(&w, begin(&w, seed, NODES), "no network", 0);
    for (unsigned i = 1; i < NODES; i += 2)
        sim_node_join(w.nodes[i], group, true);
    sim_world_run(&w, PV_S(30));
    flow(&w, 0, group, 360, 2); /* paths are found, and better ones after them: these overtake */
    begin_flows(&w);
    flow(&w, 0, group, 1000, 200);
    for (unsigned i = 1; i < NODES; i++) {
        struct sim_flow f = sim_node_flow_seen(w.nodes[i]);
        snprintf(w.why, sizeof(w.why), "(%llu received, %llu twice, disorder %llu)",
                 (unsigned long long)f.received, (unsigned long long)f.twice,
                 (unsigned long long)f.disorder);
        must(&w, f.received == (i % 2 == 1 ? 1000u : 0) && f.twice + f.too_late + f.disorder == 0,
             "not all, or not in order, at", i);
        must(&w, sim_node_pings(w.nodes[i]).strangers == 0, "a packet that it did not want, at", i);
    }
    sim_node_join(w.nodes[3], group, false);
    sim_world_run(&w, PV_S(2));
    begin_flows(&w);
    flow(&w, 0, group, 100, 100);
    for (unsigned i = 1; i < NODES; i += 2) {
        must(&w, sim_node_flow_seen(w.nodes[i]).received == (i == 3 ? 0u : 100u),
             "after one had left, wrong at", i);
    }
    /* A sender that starts anew is told again. */
    sim_node_kill(w.nodes[0]);
    sim_world_run(&w, PV_S(5));
    sim_node_start(w.nodes[0]);
    sim_world_run(&w, PV_S(60));
    flow(&w, 0, group, 50, 10);
    begin_flows(&w);
    flow(&w, 0, group, 100, 100);
    for (unsigned i = 1; i < NODES; i += 2) {
        must(&w, sim_node_flow_seen(w.nodes[i]).received == (i == 3 ? 0u : 100u),
             "after the sender's restart, wrong at", i);
    }
    sim_world_done(&w);
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
    struct sim_world w;
    must(&w, begin(&w, seed, NODES) && use_all(&w), "no network", 0);
    begin_flows(&w);
    struct pv_addr all = test_ip("255.255.255.255");
    struct pv_addr one = sim_node_overlay(w.nodes[2], PV_AF_INET);
    static const uint8_t text[32] = "beside";
    for (unsigned i = 0; i < 20000; i++) {
        sim_node_flow(w.nodes[0], &all);
        if (i % 20 == 0)
            sim_node_send_udp(w.nodes[0], &one, 4000, pv_view(text, sizeof(text)));
        if (i % 2 == 0)
            sim_world_run(&w, PV_MS(1));
    }
    sim_world_run(&w, PV_S(2));
    for (unsigned i = 1; i < NODES; i++) {
        /* A burst, and 100 a second for ten seconds. */
        uint64_t got = sim_node_flow_seen(w.nodes[i]).received;
        must(&w, got >= 1000 && got <= 1200, "of a flood arrived", got);
    }
    must(&w, sim_node_n_sunk(w.nodes[2]) == 1000, "of 1000 packets beside a flood arrived",
         sim_node_n_sunk(w.nodes[2]));
    must(&w, sim_node_drops(w.nodes[0], PV_FP_DROP_RATE) >= 18000, "counted",
         sim_node_drops(w.nodes[0], PV_FP_DROP_RATE));
    sim_world_done(&w);
}

/* Every host sends again what it hears, from everybody's addresses. */
PV_SIM(nothing_goes_in_circles, SEEDS)
{
    struct sim_world w;
    must(&w, begin(&w, seed, NODES) && use_all(&w), "no network", 0);
    for (unsigned i = 0; i < NODES; i++) {
        sim_node_set_reflects(w.nodes[i], true);
        sim_node_join(w.nodes[i], "239.66.0.1", true);
    }
    sim_world_run(&w, PV_S(30));
    begin_flows(&w);
    flow(&w, 0, "10.66.255.255", 50, 50);
    for (unsigned i = 0; i < NODES; i++) {
        struct sim_flow f = sim_node_flow_seen(w.nodes[i]);
        must(&w, f.received == (i == 0 ? 0u : 50u) && f.twice == 0,
             "a broadcast went in circles at", i);
        must(&w, i == 0 || sim_node_drops(w.nodes[i], PV_FP_DROP_LOOP) == 50, "not counted at", i);
    }
    begin_flows(&w);
    flow(&w, 0, "239.66.0.1", 50, 50);
    for (unsigned i = 1; i < NODES; i++) {
        struct sim_flow f = sim_node_flow_seen(w.nodes[i]);
        must(&w, f.received == 50 && f.twice == 0, "a stream went in circles at", i);
    }
    sim_world_done(&w);
}

/* --- what it costs --------------------------------------------------------------------------- */

static uint64_t sent_by_all(const struct sim_world *w)
{
    uint64_t sent = 0;
    for (size_t i = 0; i < w->n_nodes; i++)
        sent += sim_node_sent(w->nodes[i]);
    return sent;
}

/* A program joins and leaves 100 times a second for 20 s, or does nothing. */
static uint64_t twenty_seconds(struct sim_world *w, bool flaps)
{
    uint64_t before = sent_by_all(w);
    for (unsigned i = 0; i < 2000; i++) {
        if (flaps)
            sim_node_join(w->nodes[1], "239.66.0.1", i % 2 == 0);
        sim_world_run(w, PV_MS(10));
    }
    return sent_by_all(w) - before;
}

PV_SIM(a_program_that_joins_and_leaves_all_the_time_costs_little, SEEDS)
{
    struct sim_world w;
    must(&w, begin(&w, seed, NODES) && use_all(&w), "no network", 0);
    sim_node_join(w.nodes[1], "239.66.0.2", true); /* everybody is reached for that */
    sim_world_run(&w, PV_S(60));
    uint64_t alone = twenty_seconds(&w, false), with = twenty_seconds(&w, true);
    /* To each of five two sets a second, and their answers; keepalives come back for both. */
    must(&w, with <= alone + 5 * 20 * 2 * 4, "datagrams because of a program that joins and leaves",
         with - alone);
    sim_node_join(w.nodes[1], "239.66.0.1", true);
    sim_world_run(&w, PV_S(30));
    begin_flows(&w);
    flow(&w, 0, "239.66.0.1", 20, 10);
    must(&w, sim_node_flow_seen(w.nodes[1]).received == 20, "of 20 arrived in the end",
         sim_node_flow_seen(w.nodes[1]).received);
    sim_world_done(&w);
}

/* The datagrams that all nodes send in an hour, from half an hour after their last packet on;
 * discovery: they look for each other every 20 s all the time. */
static uint64_t idle_hour(struct sim_world *w, bool discovery)
{
    struct pv_addr mdns = test_ip("224.0.0.251"), all = test_ip("255.255.255.255");
    uint64_t sent = 0;
    for (unsigned i = 0; i < 90 * 3; i++) {
        for (unsigned k = 0; k < w->n_nodes && discovery; k++) {
            sim_node_flow(w->nodes[k], &mdns);
            sim_node_flow(w->nodes[k], &all);
        }
        sim_world_run(w, PV_S(20));
        for (unsigned k = 0; k < w->n_nodes && i == 30 * 3 - 1; k++)
            sent -= sim_node_sent(w->nodes[k]);
    }
    for (unsigned k = 0; k < w->n_nodes; k++)
        sent += sim_node_sent(w->nodes[k]);
    return sent;
}

PV_SIM(discovery_wakes_nobody, SEEDS)
{
    uint64_t sent[2];
    for (int discovery = 0; discovery < 2; discovery++) {
        struct sim_world w;
        must(&w, begin(&w, seed, 3), "no network", 0);
        for (unsigned i = 0; i < 3; i++)
            sim_node_join(w.nodes[i], "224.0.0.251", true);
        must(&w, use_all(&w), "no path", 0);
        begin_flows(&w);
        flow(&w, 0, "224.0.0.251", 5, 5);
        must(&w, sim_node_flow_seen(w.nodes[1]).received == 5, "of 5 arrived while in use",
             sim_node_flow_seen(w.nodes[1]).received);
        begin_flows(&w);
        sent[discovery] = idle_hour(&w, discovery == 1);
        must(&w, discovery != 1 || sim_node_drops(w.nodes[0], PV_FP_DROP_IDLE) >= 300,
             "not counted as idle", 0);
        /* One packet, and they find each other again. */
        (void)sim_world_reach(&w, w.nodes[0], w.nodes[1], PV_S(1), PV_S(20));
        begin_flows(&w);
        flow(&w, 0, "224.0.0.251", 5, 5);
        must(&w, sim_node_flow_seen(w.nodes[1]).received == 5, "of 5 arrived in use again",
             sim_node_flow_seen(w.nodes[1]).received);
        sim_world_done(&w);
    }
    if (sent[1] > sent[0] + sent[0] / 20) {
        printf("%llu datagrams an hour with discovery, %llu without\n", (unsigned long long)sent[1],
               (unsigned long long)sent[0]);
        sim_fail();
    }
}
