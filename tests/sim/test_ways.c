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

static unsigned add_nat(const struct way *way, unsigned side)
{
    static const struct pv_link_config line = {.delay = PV_MS(10)};
    unsigned zone = sim_world_nat(SIM_PUBLIC, way->profile, &line);
    struct pv_nat_config *c = pv_nat_config(sim_net_nat(sim.net, zone));
    assert_ok(pv_nat_set(c, "ipv6", way->ipv6_of[side]));
    for (unsigned i = 1; i < way->n_public; i++)
        c->public_ip[i] = pv_addr4(203, 0, (uint8_t)(113 + i), (uint8_t)zone, 0);
    c->n_public = (uint8_t)way->n_public;
    c->pool_arbitrary = way->n_public > 1;
    return zone;
}

static bool is_direct(void *ctx)
{
    return strcmp(sim_node_path(sim.nodes[0], "b"), "direct") == 0 &&
           strcmp(sim_node_path(sim.nodes[1], "a"), "direct") == 0;
}

static void run(uint64_t seed, void *ctx)
{
    static const struct pv_link_config good = {.delay = PV_MS(10)};
    const struct way *way = ctx;
    sim_case("%s", way->name);
    sim_world_init(seed, &good);
    struct sim_node *a = sim_world_node(add_nat(way, 0), "a", way->ipv6);
    struct sim_node *b = sim_world_node(add_nat(way, 1), "b", way->ipv6);
    sim_must(sim_world_join_all(), "joining:");
    sim_world_run(PV_S(2));
    struct pv_addr to = sim_node_overlay(b, PV_AF_INET);
    sim_node_ping(a, &to, 32);
    sim_must(sim_world_until(way->within, is_direct, NULL), "it is not direct in time");
    sim_world_run(PV_S(1)); /* the best one is chosen by then */
    if (way->family != 0) {
        const char *peers = sim_world_ask(a, PV_S(1), "'cmd':'peers'");
        const char *remote = peers == NULL ? NULL : strstr(peers, "\"remote\":\"");
        snprintf(sim.why, sizeof(sim.why), "%.50s", remote == NULL ? "" : remote + 10);
        sim_must((sim.why[0] == '[') == (way->family == 6), "it goes by the wrong family:");
    }
}

PV_TEST(every_way_is_direct_and_soon)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(WAYS); i++) {
        struct way way = WAYS[i];
        sim_seeds(SEEDS, run, &way);
    }
}

/* --- IPv6 alone, and IPv4 alone ----------------------------------------------------------------
 */

struct translated {
    const char *name;
    const char *here; /* what the NAT64 is, towards IPv4 */
    const char *there;
    bool both;  /* the other side has IPv6 alone and a NAT64 as well */
    int within; /* s, direct, from the first packet on */
};

static const struct translated TRANSLATED[] = {
    {"NAT64 and a public address", "port-restricted", NULL, false, 1},
    {"NAT64 and a port-restricted NAT", "port-restricted", "port-restricted", false, 1},
    {"NAT64 and an address-restricted NAT", "linux-drop", "address-restricted", false, 1},
    {"two NAT64", "port-restricted", "port-restricted", true, 1},
};

static struct sim_node *add_side(const char *name, const char *profile, bool nat64)
{
    static const struct pv_link_config line = {.delay = PV_MS(10)};
    if (profile == NULL)
        return sim_world_node(SIM_PUBLIC, name, false);
    unsigned zone = sim_world_nat(SIM_PUBLIC, profile, &line);
    struct pv_nat_config *c = pv_nat_config(sim_net_nat(sim.net, zone));
    assert_ok(pv_nat_set(c, "ipv6", "off"));
    struct sim_node *n = sim_world_node(zone, name, nat64);
    if (!nat64)
        return n;
    assert_ok(pv_nat_set(c, "nat64", "64:ff9b::"));
    struct pv_addr addrs[SIM_HOST_ADDRS];
    size_t n_addrs = sim_net_addrs(sim.net, sim_node_host(n), addrs);
    for (size_t i = 0; i < n_addrs; i++)
        if (addrs[i].family == PV_AF_INET)
            sim_net_del_addr(sim.net, sim_node_host(n), &addrs[i]);
    sim_node_links_changed(n);
    return n;
}

/* The prefix is what DNS64 makes of a name (RFC 7050); coordinator and peer have IPv4 alone. */
static void translate(uint64_t seed, void *ctx)
{
    static const struct pv_link_config good = {.delay = PV_MS(10)};
    const struct translated *t = ctx;
    sim_case("%s", t->name);
    sim_world_init(seed, &good);
    struct sim_node *b = NULL, *a = NULL;
    if (seed % 2 == 0)
        b = add_side("b", t->there, t->both);
    a = add_side("a", t->here, true);
    if (b == NULL)
        b = add_side("b", t->there, t->both);
    sim_must(sim_world_join_all(), "joining:");
    sim_world_run(PV_S(2));
    struct sim_node *from = seed / 2 % 2 == 0 ? a : b, *to = from == a ? b : a;
    const struct pv_addr addr = sim_node_overlay(to, PV_AF_INET);
    sim_node_ping(from, &addr, 32);
    pv_ns until = sim_net_now(sim.net) + PV_S(t->within);
    while (sim_net_now(sim.net) < until &&
           !(sim_world_path_is(a, "direct") && sim_world_path_is(b, "direct")))
        sim_world_run(PV_MS(10));
    sim_must(sim_world_path_is(a, "direct") && sim_world_path_is(b, "direct"),
             "it is not direct in time");
    sim_world_run(PV_S(1));
    sim_must(sim_node_pings(from).answered == 1, "the first ping was not answered");
    /* The NAT64 forgets, and the path comes back. */
    sim_world_run(PV_S(150));
    sim_net_reboot_nat(sim.net, a == sim.nodes[0] || t->there == NULL ? 1 : 2);
    sim_world_run(PV_S(30));
    sim_must_take(sim_world_reach(a, b, PV_MS(100), PV_S(5)), PV_S(1), "after a reboot:");
    sim_must(sim_world_says(b, "'cmd':'status'", "64:ff9b") == t->both,
             "a translator's address is taken as own");
}

PV_TEST(a_host_with_ipv6_alone_meets_one_with_ipv4_alone)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(TRANSLATED); i++) {
        struct translated t = TRANSLATED[i];
        sim_seeds(SEEDS, translate, &t);
    }
}
