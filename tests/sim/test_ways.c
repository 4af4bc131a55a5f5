/* SPDX-License-Identifier: MIT */
/*
 * test_ways.c - other ways through than one IPv4 NAT each: IPv6 beside NATs that cannot be crossed,
 * IPv6 that leads nowhere, NATs with several public addresses. Direct, and soon.
 */
#include "tests/natcore/natcore_text.h"
#include "tests/sim/world/sim_world.h"
#include "tests/unit/test_util.h"

enum {
    SEEDS = 5, /* per case; PV_SIM_SEEDS sets another number */
};

struct way {
    const char *name;
    const char *profile; /* of both NATs */
    bool ipv6;
    const char *ipv6_of[2]; /* what each NAT does with IPv6 */
    unsigned n_public;      /* addresses of each pool; mappings take any */
    pv_ns within; /* direct, from the first packet on; 20 ms between coordinator and NAT */
    int family;   /* of the path; 0 = any */
};

static const struct way WAYS[] = {
    {"IPv6 beside symmetric NATs", "symmetric", true, {"firewall", "firewall"}, 1, PV_MS(700), 6},
    {"IPv6 that one side's router drops",
     "port-restricted",
     true,
     {"off", "firewall"},
     1,
     PV_MS(700),
     4},
    {"IPv6 that both routers drop", "port-restricted", true, {"off", "off"}, 1, PV_MS(700), 4},
    {"pools of addresses", "port-restricted", false, {"off", "off"}, 4, PV_MS(700), 4},
    {"pools and IPv6", "address-restricted", true, {"forward", "firewall"}, 3, PV_MS(700), 0},
};

static unsigned add_nat(struct sim_world *w, const struct way *way, unsigned side)
{
    static const struct pv_link_config line = {.delay = PV_MS(10)};
    unsigned zone = sim_world_nat(w, SIM_PUBLIC, way->profile, &line);
    struct pv_nat_config *c = pv_nat_config(sim_net_nat(w->net, zone));
    assert_int_equal(pv_nat_set(c, "ipv6", way->ipv6_of[side]), PV_OK);
    for (unsigned i = 1; i < way->n_public; i++)
        c->public_ip[i] = pv_addr4(203, 0, (uint8_t)(113 + i), (uint8_t)zone, 0);
    c->n_public = (uint8_t)way->n_public;
    c->pool_arbitrary = way->n_public > 1;
    return zone;
}

static bool is_direct(struct sim_world *w, void *ctx)
{
    return strcmp(sim_node_path(w->nodes[0], "b"), "direct") == 0 &&
           strcmp(sim_node_path(w->nodes[1], "a"), "direct") == 0;
}

static void run(uint64_t seed, void *ctx)
{
    static const struct pv_link_config good = {.delay = PV_MS(10)};
    const struct way *way = ctx;
    struct sim_world w;
    sim_case("%s", way->name);
    sim_world_init(&w, seed, &good);
    struct sim_node *a = sim_world_node(&w, add_nat(&w, way, 0), "a", way->ipv6);
    struct sim_node *b = sim_world_node(&w, add_nat(&w, way, 1), "b", way->ipv6);
    sim_must(&w, sim_world_join_all(&w), "joining:");
    sim_world_run(&w, PV_S(2));
    struct pv_addr to = sim_node_overlay(b, PV_AF_INET);
    sim_node_ping(a, &to, 32);
    sim_must(&w, sim_world_until(&w, way->within, is_direct, NULL), "it is not direct in time");
    sim_world_run(&w, PV_S(1)); /* the best one is chosen by then */
    if (way->family != 0) {
        const char *peers = sim_world_ask(&w, a, PV_S(1), "\"cmd\":\"peers\"");
        const char *remote = peers == NULL ? NULL : strstr(peers, "\"remote\":\"");
        snprintf(w.why, sizeof(w.why), "%.50s", remote == NULL ? "" : remote + 10);
        sim_must(&w, (w.why[0] == '[') == (way->family == 6), "it goes by the wrong family:");
    }
    sim_world_done(&w);
}

PV_TEST(every_way_is_direct_and_soon)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(WAYS); i++) {
        struct way way = WAYS[i];
        sim_seeds(SEEDS, run, &way);
    }
}
