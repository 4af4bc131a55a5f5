/* SPDX-License-Identifier: MIT */
/*
 * test_mesh.c - many nodes in places of every kind all begin to talk to all others at once, and go
 * on while some leave and others come: every pair finds its path, nobody hears what is not for it.
 */
#include "tests/sim/world/sim_world.h"
#include "tests/unit/test_util.h"

enum {
    SEEDS = 1,  /* PV_SIM_SEEDS sets another number */
    NODES = 18, /* at most */
};

static unsigned n_nodes;

static void place(unsigned i, unsigned *last_zone)
{
    static const char *const kinds[] = {"full-cone", "address-restricted", "port-restricted"};
    struct pv_natrng *rng = sim_net_rng(sim.net);
    struct pv_link_config line = {.delay = PV_MS(2 + pv_natrng_below(rng, 40)),
                                  .jitter = PV_MS(pv_natrng_below(rng, 8)),
                                  .loss = pv_natrng_below(rng, 4) == 0 ? 0.03 : 0};
    const char *name = PV_STR("n%u", i);
    /* Of five one is open, two stand behind NATs of their own, and two behind one. */
    if (i % 5 > 0 && i % 5 < 4)
        *last_zone = sim_world_nat(SIM_PUBLIC, kinds[pv_natrng_below(rng, 3)], &line);
    sim_world_node(i % 5 == 0 ? SIM_PUBLIC : *last_zone, name, i % 3 == 0);
}

/* Everybody pings everybody that has not answered it yet. Returns how many pairs are missing. */
static unsigned ping_missing(bool answered[NODES][NODES])
{
    unsigned missing = 0;
    for (unsigned i = 0; i < n_nodes; i++) {
        for (unsigned k = 0; k < n_nodes; k++) {
            struct pv_addr to = sim_node_overlay(sim.nodes[k], PV_AF_INET);
            if (i == k || answered[i][k] || !sim_node_runs(sim.nodes[i]) ||
                !sim_node_runs(sim.nodes[k]))
                continue;
            missing++;
            uint8_t who[2] = {(uint8_t)i, (uint8_t)k};
            sim_node_send_udp(sim.nodes[i], &to, 4000, pv_view(who, sizeof(who)));
        }
    }
    return missing;
}

/* Notes the packets that came to everybody's sink; false when something came to the wrong place. */
static bool note_sinks(bool answered[NODES][NODES], size_t seen[NODES])
{
    for (unsigned k = 0; k < n_nodes; k++) {
        for (; seen[k] < sim_node_n_sunk(sim.nodes[k]); seen[k]++) {
            const struct sim_sunk *s = sim_node_sunk(sim.nodes[k], seen[k]);
            if (s->len != 2 || s->bytes[0] >= n_nodes || s->bytes[1] != k)
                return false;
            answered[s->bytes[0]][k] = true;
        }
        if (sim_node_pings(sim.nodes[k]).strangers > 0)
            return false;
    }
    return true;
}

static const char *everybody_meets(bool answered[NODES][NODES], size_t seen[NODES],
                                   unsigned seconds)
{
    for (unsigned i = 0; i < seconds; i++) {
        if (ping_missing(answered) == 0)
            return NULL;
        sim_world_run(PV_S(1));
        if (!note_sinks(answered, seen))
            return "a packet reached a node that it was not for";
    }
    unsigned missing = ping_missing(answered);
    snprintf(sim.why, sizeof(sim.why), "%u of %u", missing, n_nodes * (n_nodes - 1));
    return missing == 0 ? NULL : "pairs without a path:";
}

static void all_meet_at_once(uint64_t seed, unsigned n)
{
    static const struct pv_link_config good = {.delay = PV_MS(10)};
    static bool answered[NODES][NODES];
    static size_t seen[NODES];
    memset(answered, 0, sizeof(answered));
    memset(seen, 0, sizeof(seen));
    n_nodes = n;
    sim_world_init(seed, &good);
    unsigned last_zone = SIM_PUBLIC;
    for (unsigned i = 0; i < n_nodes; i++)
        place(i, &last_zone);
    sim_must(sim_world_join_all(), "joining:");
    sim_world_run(PV_S(2));
    const char *why = everybody_meets(answered, seen, 15);
    sim_must(why == NULL, why);
    /* A third of them restarts, all at once. */
    for (unsigned i = 0; i < n_nodes; i += 3)
        sim_node_kill(sim.nodes[i]);
    sim_world_run(PV_S(1));
    for (unsigned i = 0; i < n_nodes; i += 3)
        sim_node_start(sim.nodes[i]);
    for (unsigned i = 0; i < n_nodes; i++) {
        for (unsigned k = 0; k < n_nodes; k++)
            answered[i][k] = answered[i][k] && i % 3 != 0 && k % 3 != 0;
    }
    sim_world_run(PV_S(1));
    why = everybody_meets(answered, seen, 15);
    sim_must(why == NULL, why);
}

PV_SIM(ten_nodes_all_meet_at_once, SEEDS)
{
    all_meet_at_once(seed, 10);
}

PV_SIM_WHOLE(eighteen_nodes_all_meet_at_once, SEEDS)
{
    all_meet_at_once(seed, NODES);
}
