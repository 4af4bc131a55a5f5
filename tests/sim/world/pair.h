/* SPDX-License-Identifier: MIT */
/*
 * pair.h - two members behind NATs that use a path, numbered traffic between them, and what became
 * of it. For test_path.c and test_bindings.c.
 */
#pragma once

#include "sim_world.h"
#include "tests/unit/test_util.h"

enum {
    A_TO_B = 1,
    B_TO_A = 2,
};
#define SECOND PV_S(1) /* the bound of everything that breaks under traffic */

struct pair {
    struct sim_node *a, *b;
    unsigned za, zb;
    bool ipv6; /* they have it, too */
    uint64_t seed;
};

static inline unsigned nat(struct pair *p, const char *profile)
{
    struct pv_natrng *rng = sim_net_rng(sim.net);
    struct pv_link_config line = {.delay = PV_MS(5 + pv_natrng_below(rng, 36)),
                                  .jitter = PV_MS(pv_natrng_below(rng, 4))};
    unsigned zone = sim_world_nat(SIM_PUBLIC, profile, &line);
    if (strncmp(profile, "linux", 5) != 0) /* they keep ports, and forgetting is not seen */
        pv_nat_config(sim_net_nat(sim.net, zone))->ports = PV_NAT_RANDOM;
    return zone;
}

/* Traffic this often for so long; ways: A_TO_B, B_TO_A or both. */
static inline void load(struct pair *p, unsigned ways, pv_ns every, pv_ns duration)
{
    struct pv_addr to_a = sim_node_overlay(p->a, PV_AF_INET);
    struct pv_addr to_b = sim_node_overlay(p->b, PV_AF_INET);
    pv_ns end = sim_net_now(sim.net) + duration;
    while (sim_net_now(sim.net) < end) {
        if ((ways & A_TO_B) != 0 && sim_node_runs(p->a))
            sim_node_flow(p->a, &to_b);
        if ((ways & B_TO_A) != 0 && sim_node_runs(p->b))
            sim_node_flow(p->b, &to_a);
        sim_world_run(every);
    }
}

static inline bool both_use(struct pair *p, const char *type)
{
    return strcmp(sim_node_path(p->a, "b"), type) == 0 &&
           strcmp(sim_node_path(p->b, "a"), type) == 0;
}

/* Two members behind NATs of those kinds that use that type of path. */
static inline bool met_between(struct pair *p, uint64_t seed, const char *const profiles[2],
                               const char *type)
{
    static const struct pv_link_config good = {.delay = PV_MS(10)};
    p->seed = seed;
    sim_world_init(seed, &good);
    p->za = nat(p, profiles[0]);
    p->zb = nat(p, profiles[1]);
    p->a = sim_world_node(p->za, "a", p->ipv6);
    p->b = sim_world_node(p->zb, "b", p->ipv6);
    if (!sim_world_join_all())
        return false;
    sim_world_run(PV_S(2));
    for (int i = 0; i < 10; i++) {
        load(p, A_TO_B | B_TO_A, PV_MS(50), SECOND);
        if (both_use(p, type))
            return true;
    }
    return false;
}

static inline bool met(struct pair *p, uint64_t seed, const char *profile, const char *type)
{
    return met_between(p, seed, (const char *const[2]){profile, profile}, type);
}

static inline void begin_to_measure(struct pair *p)
{
    sim_node_flow_gap(p->a);
    sim_node_flow_gap(p->b);
}

/* Was the longest silence within the bound, in the directions in which there was traffic? */
static inline bool gap_within(struct pair *p, unsigned ways, pv_ns bound)
{
    pv_ns gap = 0;
    if ((ways & A_TO_B) != 0)
        gap = sim_node_flow_seen(p->b).gap;
    if ((ways & B_TO_A) != 0 && sim_node_flow_seen(p->a).gap > gap)
        gap = sim_node_flow_seen(p->a).gap;
    if (getenv("PV_SIM_TIMES") != NULL)
        printf("%s, seed %llu: %.3f s\n", sim_case_name(), (unsigned long long)p->seed,
               (double)gap / 1e9);
    snprintf(sim.why, sizeof(sim.why), "nothing arrived for %.3f s", (double)gap / 1e9);
    return gap <= bound;
}

static const struct {
    const char *text;
    unsigned ways;
} directions[] = {{"both ways", A_TO_B | B_TO_A}, {"to it", A_TO_B}, {"from it", B_TO_A}};

static inline void take_addrs(struct pair *p, struct sim_node *n, struct pv_addr *old,
                              size_t *ret_n)
{
    *ret_n = sim_net_addrs(sim.net, sim_node_host(n), old);
    for (size_t i = 0; i < *ret_n; i++)
        sim_net_del_addr(sim.net, sim_node_host(n), &old[i]);
}

static inline bool all_arrived(struct pair *p)
{
    bool ok = true;
    sim_world_run(SECOND); /* what is under way */
    for (int i = 0; i < 2; i++) {
        struct sim_flow from = sim_node_flow_seen(i == 0 ? p->a : p->b);
        struct sim_flow to = sim_node_flow_seen(i == 0 ? p->b : p->a);
        if (getenv("PV_SIM_TIMES") != NULL || to.received != from.sent || to.twice != 0)
            printf("%s: %llu, %llu, twice %llu late %llu, %llu\n", sim_case_name(),
                   (unsigned long long)from.sent, (unsigned long long)to.received,
                   (unsigned long long)to.twice, (unsigned long long)to.too_late,
                   (unsigned long long)to.disorder);
        /* A replay window of 8,192 packets would have dropped what came later than that. */
        ok = ok && to.received == from.sent && to.twice == 0 && to.disorder < 8192;
    }
    return ok;
}
