/* SPDX-License-Identifier: MIT */
/*
 * test_lan.c - broadcast and multicast between nodes in places of every kind: who joined gets it
 * once and in order, floods end at their budget, nothing goes in circles, and discovery wakes
 * nobody.
 */
#include <stdio.h>

#include "tests/sim/world/sim_world.h"
#include "tests/unit/test_util.h"

enum {
    SEEDS = 1, /* PV_SIM_SEEDS sets another number */
    NODES = 6,
};

static const struct pv_link_config line = {.delay = PV_MS(10)}; /* keeps the order */

static int failed(struct sim_world *w, uint64_t seed, const char *what, uint64_t number)
{
    printf("lan, seed %llu at %.3f s: %s: %llu %s\n", (unsigned long long)seed,
           (double)(sim_net_now(w->net) - PV_S(3600)) / 1e9, what, (unsigned long long)number,
           w->why);
    sim_world_done(w);
    return 1;
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

static struct pv_addr addr_of(const char *text)
{
    struct pv_addr a;
    assert_int_equal(pv_addr_parse_ip(text, &a), PV_OK);
    return a;
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
    struct pv_addr to = addr_of(group);
    for (unsigned i = 0; i < n; i++) {
        sim_node_flow(w->nodes[from], &to);
        sim_world_run(w, PV_S(1) / per_s);
    }
    sim_world_run(w, PV_S(2));
}

/* --- streams --------------------------------------------------------------------------------- */

/* Nobody was in use before: who joins is known to everybody online even so. */
static int stream(uint64_t seed, void *ctx)
{
    const char *group = ctx;
    struct sim_world w;
    if (!begin(&w, seed, NODES))
        return failed(&w, seed, "no network", 0);
    for (unsigned i = 1; i < NODES; i += 2)
        sim_node_join(w.nodes[i], group, true);
    sim_world_run(&w, PV_S(30));
    flow(&w, 0, group, 360, 2); /* paths are found, and better ones after them: these overtake */
    begin_flows(&w);
    flow(&w, 0, group, 1000, 200);
    for (unsigned i = 1; i < NODES; i++) {
        struct sim_flow f = sim_node_flow_seen(w.nodes[i]);
        if (f.received != (i % 2 == 1 ? 1000u : 0) || f.twice + f.too_late + f.disorder > 0) {
            snprintf(w.why, sizeof(w.why), "(%llu received, %llu twice, disorder %llu)",
                     (unsigned long long)f.received, (unsigned long long)f.twice,
                     (unsigned long long)f.disorder);
            return failed(&w, seed, "not all, or not in order, at", i);
        }
        if (sim_node_pings(w.nodes[i]).strangers > 0)
            return failed(&w, seed, "a packet that it did not want, at", i);
    }
    sim_node_join(w.nodes[3], group, false);
    sim_world_run(&w, PV_S(2));
    begin_flows(&w);
    flow(&w, 0, group, 100, 100);
    for (unsigned i = 1; i < NODES; i += 2) {
        if (sim_node_flow_seen(w.nodes[i]).received != (i == 3 ? 0u : 100u))
            return failed(&w, seed, "after one had left, wrong at", i);
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
        if (sim_node_flow_seen(w.nodes[i]).received != (i == 3 ? 0u : 100u))
            return failed(&w, seed, "after the sender's restart, wrong at", i);
    }
    sim_world_done(&w);
    return 0;
}

PV_TEST(a_member_that_joined_gets_all_of_it_once_and_in_order)
{
    assert_int_equal(sim_seeds("sim_lan", SEEDS, stream, (void *)(uintptr_t) "239.66.0.1"), 0);
    assert_int_equal(sim_seeds("sim_lan", 1, stream, (void *)(uintptr_t) "ff05::66"), 0);
}

/* --- floods and circles ---------------------------------------------------------------------- */

/* A program sends 20,000 broadcasts as fast as it can; a connection beside it does not notice. */
static int flood(uint64_t seed, void *ctx)
{
    struct sim_world w;
    if (!begin(&w, seed, NODES) || !use_all(&w))
        return failed(&w, seed, "no network", 0);
    begin_flows(&w);
    struct pv_addr all = addr_of("255.255.255.255");
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
        if (got < 1000 || got > 1200)
            return failed(&w, seed, "of a flood arrived", got);
    }
    if (sim_node_n_sunk(w.nodes[2]) != 1000)
        return failed(&w, seed, "of 1000 packets beside a flood arrived",
                      sim_node_n_sunk(w.nodes[2]));
    if (sim_node_drops(w.nodes[0], PV_FP_DROP_RATE) < 18000)
        return failed(&w, seed, "counted", sim_node_drops(w.nodes[0], PV_FP_DROP_RATE));
    sim_world_done(&w);
    return 0;
}

PV_TEST(a_flood_ends_at_its_budget)
{
    assert_int_equal(sim_seeds("sim_lan", SEEDS, flood, NULL), 0);
}

/* Every host sends again what it hears, from everybody's addresses. */
static int circles(uint64_t seed, void *ctx)
{
    struct sim_world w;
    if (!begin(&w, seed, NODES) || !use_all(&w))
        return failed(&w, seed, "no network", 0);
    for (unsigned i = 0; i < NODES; i++) {
        sim_node_set_reflects(w.nodes[i], true);
        sim_node_join(w.nodes[i], "239.66.0.1", true);
    }
    sim_world_run(&w, PV_S(30));
    begin_flows(&w);
    flow(&w, 0, "10.66.255.255", 50, 50);
    for (unsigned i = 0; i < NODES; i++) {
        struct sim_flow f = sim_node_flow_seen(w.nodes[i]);
        if (f.received != (i == 0 ? 0u : 50u) || f.twice > 0)
            return failed(&w, seed, "a broadcast went in circles at", i);
        if (i > 0 && sim_node_drops(w.nodes[i], PV_FP_DROP_LOOP) != 50)
            return failed(&w, seed, "not counted at", i);
    }
    begin_flows(&w);
    flow(&w, 0, "239.66.0.1", 50, 50);
    for (unsigned i = 1; i < NODES; i++) {
        struct sim_flow f = sim_node_flow_seen(w.nodes[i]);
        if (f.received != 50 || f.twice > 0)
            return failed(&w, seed, "a stream went in circles at", i);
    }
    sim_world_done(&w);
    return 0;
}

PV_TEST(nothing_goes_in_circles)
{
    assert_int_equal(sim_seeds("sim_lan", SEEDS, circles, NULL), 0);
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

static int flapping(uint64_t seed, void *ctx)
{
    struct sim_world w;
    if (!begin(&w, seed, NODES) || !use_all(&w))
        return failed(&w, seed, "no network", 0);
    sim_node_join(w.nodes[1], "239.66.0.2", true); /* everybody is reached for that */
    sim_world_run(&w, PV_S(60));
    uint64_t alone = twenty_seconds(&w, false), with = twenty_seconds(&w, true);
    /* To each of five two sets a second, and their answers; keepalives come back for both. */
    if (with > alone + 5 * 20 * 2 * 4)
        return failed(&w, seed, "datagrams because of a program that joins and leaves",
                      with - alone);
    sim_node_join(w.nodes[1], "239.66.0.1", true);
    sim_world_run(&w, PV_S(30));
    begin_flows(&w);
    flow(&w, 0, "239.66.0.1", 20, 10);
    if (sim_node_flow_seen(w.nodes[1]).received != 20)
        return failed(&w, seed, "of 20 arrived in the end",
                      sim_node_flow_seen(w.nodes[1]).received);
    sim_world_done(&w);
    return 0;
}

PV_TEST(a_program_that_joins_and_leaves_all_the_time_costs_little)
{
    assert_int_equal(sim_seeds("sim_lan", SEEDS, flapping, NULL), 0);
}

/* The datagrams that all nodes send in an hour, from half an hour after their last packet on;
 * discovery: they look for each other every 20 s all the time. */
static uint64_t idle_hour(struct sim_world *w, bool discovery)
{
    struct pv_addr mdns = addr_of("224.0.0.251"), all = addr_of("255.255.255.255");
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

static int silence(uint64_t seed, void *ctx)
{
    uint64_t sent[2];
    for (int discovery = 0; discovery < 2; discovery++) {
        struct sim_world w;
        if (!begin(&w, seed, 3))
            return failed(&w, seed, "no network", 0);
        for (unsigned i = 0; i < 3; i++)
            sim_node_join(w.nodes[i], "224.0.0.251", true);
        if (!use_all(&w))
            return failed(&w, seed, "no path", 0);
        begin_flows(&w);
        flow(&w, 0, "224.0.0.251", 5, 5);
        if (sim_node_flow_seen(w.nodes[1]).received != 5)
            return failed(&w, seed, "of 5 arrived while in use",
                          sim_node_flow_seen(w.nodes[1]).received);
        begin_flows(&w);
        sent[discovery] = idle_hour(&w, discovery == 1);
        if (discovery == 1 && sim_node_drops(w.nodes[0], PV_FP_DROP_IDLE) < 300)
            return failed(&w, seed, "not counted as idle", 0);
        /* One packet, and they find each other again. */
        (void)sim_world_reach(&w, w.nodes[0], w.nodes[1], PV_S(1), PV_S(20));
        begin_flows(&w);
        flow(&w, 0, "224.0.0.251", 5, 5);
        if (sim_node_flow_seen(w.nodes[1]).received != 5)
            return failed(&w, seed, "of 5 arrived in use again",
                          sim_node_flow_seen(w.nodes[1]).received);
        sim_world_done(&w);
    }
    if (sent[1] > sent[0] + sent[0] / 20) {
        printf("lan, seed %llu: %llu datagrams an hour with discovery, %llu without\n",
               (unsigned long long)seed, (unsigned long long)sent[1], (unsigned long long)sent[0]);
        return 1;
    }
    return 0;
}

PV_TEST(discovery_wakes_nobody)
{
    assert_int_equal(sim_seeds("sim_lan", SEEDS, silence, NULL), 0);
}
