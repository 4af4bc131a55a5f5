/* SPDX-License-Identifier: MIT */
/*
 * test_portmap.c - two nodes behind symmetric NATs of which one speaks PCP: direct through the port
 * that it maps, over rough lines too, and again after the router has rebooted, forgotten or moved
 * the mapping; routers that lie change nothing for the worse.
 */
#include "tests/sim/world/sim_world.h"
#include "tests/unit/test_util.h"

enum {
    SEEDS = 4, /* per case; PV_SIM_SEEDS sets another number */
};

struct pair {
    struct sim_node *a, *b;
    struct sim_router *router;
    uint64_t seed;
};

static bool both_direct(void *ctx)
{
    return strcmp(sim_node_path(sim.nodes[0], "b"), "direct") == 0 &&
           strcmp(sim_node_path(sim.nodes[1], "a"), "direct") == 0;
}

static bool is_mapped(void *ctx)
{
    struct pair *p = ctx;
    return sim_world_says(p->a, "'cmd':'status'", "'verified':true") &&
           sim_router_mapped(p->router) == 1;
}

static bool is_given_up(void *ctx)
{
    struct pair *p = ctx;
    return sim_world_says(p->a, "'cmd':'status'", "'waiting'");
}

/* A network of two behind symmetric NATs; the first one's router speaks PCP. */
static bool begin(struct pair *p, uint64_t seed, const char *profile, bool rough, bool lies)
{
    static const struct pv_link_config good = {.delay = PV_MS(10)};
    struct pv_link_config line = {.delay = PV_MS(15)};
    if (rough)
        line = (struct pv_link_config){
            .delay = PV_MS(25), .jitter = PV_MS(8), .loss = 0.05, .reorder = 0.05};
    p->seed = seed;
    sim_world_init(seed, &good);
    unsigned za = sim_world_nat(SIM_PUBLIC, profile, &line);
    unsigned zb = sim_world_nat(SIM_PUBLIC, "symmetric", &line);
    p->router = sim_world_router(za);
    p->router->lies = lies;
    p->a = sim_world_node(za, "a", false);
    p->b = sim_world_node(zb, "b", false);
    return sim_world_join_all();
}

static void ping(struct pair *p)
{
    struct pv_addr to = sim_node_overlay(p->b, PV_AF_INET);
    sim_node_ping(p->a, &to, 32);
}

static void meet(uint64_t seed, void *ctx)
{
    const bool *rough = ctx;
    struct pair p;
    sim_must(begin(&p, seed, "symmetric", *rough, false), "joining:");
    sim_must(sim_world_until(PV_S(*rough ? 8 : 2), is_mapped, &p), "no port is mapped");
    sim_world_run(PV_S(*rough ? 2 : 1));
    ping(&p);
    sim_must(sim_world_until(*rough ? PV_S(4) : PV_MS(700), both_direct, NULL),
             "not direct in time");
    sim_node_stop(p.a);
    sim_world_run(PV_S(1));
    /* One packet, which may be lost. */
    sim_must(sim_router_mapped(p.router) == 0 || *rough, "the port was not given back");
}

PV_TEST(symmetric_nats_are_direct_when_one_speaks_pcp)
{
    bool rough = false;
    sim_seeds(SEEDS, meet, &rough);
    rough = true;
    sim_seeds(SEEDS, meet, &rough);
}

enum fault {
    RESTART_TOLD,   /* a new epoch, announced */
    FORGETS,        /* forgotten without a word: seen from outside */
    LEASE_ENDS,     /* lives through ten renewals */
    ANOTHER_DAEMON, /* killed and started: the old mapping is in the way */
    FAULTS,
};
static const char *const FAULT_NAMES[] = {"an announced restart", "a silent loss", "short leases",
                                          "a killed daemon"};

static void heal(uint64_t seed, void *ctx)
{
    const enum fault *fault = ctx;
    struct pair p;
    struct pv_addr client;
    sim_must(begin(&p, seed, "symmetric", false, false), "joining:");
    if (*fault == LEASE_ENDS)
        p.router->lifetime = 120;
    sim_must(sim_world_until(PV_S(2), is_mapped, &p), "no port is mapped");
    client = pv_addr4(192, 168, 1, 20, SIM_ROUTER_PORT);
    pv_ns patience = PV_S(1);
    if (*fault == RESTART_TOLD) {
        sim_router_restart(p.router, &client);
        patience = PV_S(7);
    } else if (*fault == FORGETS) {
        sim_router_restart(p.router, NULL);
        patience = PV_S(110);
    } else if (*fault == LEASE_ENDS) {
        sim_world_run(PV_S(1200));
    } else {
        sim_node_kill(p.a);
        sim_world_run(PV_S(3));
        sim_node_start(p.a);
        patience = PV_S(5);
    }
    sim_must(sim_world_until(patience, is_mapped, &p), FAULT_NAMES[*fault]);
    sim_world_run(PV_S(3));
    ping(&p);
    sim_must(sim_world_until(PV_S(2), both_direct, NULL), FAULT_NAMES[*fault]);
}

PV_TEST_WHOLE(a_port_that_a_router_loses_is_mapped_again)
{
    for (enum fault f = 0; f < FAULTS; f++)
        sim_seeds(SEEDS, heal, &f);
}

PV_SIM(a_router_that_lies_harms_nobody, SEEDS)
{
    struct pair p;
    /* Many ports are tried. */
    sim_must(begin(&p, seed, "port-restricted", false, true), "joining:");
    sim_world_run(PV_S(2));
    ping(&p);
    sim_must(sim_world_until(PV_S(20), both_direct, NULL), "a lie stands in the way");
    sim_must(sim_world_until(PV_S(40), is_given_up, &p), "the lie was not noticed");
}
