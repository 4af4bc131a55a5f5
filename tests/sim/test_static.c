/* SPDX-License-Identifier: MIT */
/*
 * test_static.c - [peer NAME] without a network: two plain WireGuard nodes, one of them behind a
 * NAT, through rekeys, roaming, restarts and silence.
 */
#include "tests/sim/world/sim_world.h"
#include "tests/unit/test_util.h"

enum {
    SEEDS = 3, /* PV_SIM_SEEDS sets another number */
};

/* hub is public and has no endpoint for leaf; leaf stands behind a NAT. */
struct pair {
    struct sim_node *hub, *leaf;
    unsigned zone;
    uint64_t seed;
    bool ipv6;                             /* under it */
    struct pv_static_peer of_hub, of_leaf; /* entries about the other */
};

static void configure(struct pair *p, struct sim_node *n, const struct sim_node *other,
                      struct pv_static_peer *entry)
{
    bool is_hub = n == p->hub;
    struct pv_prefix own = {.base = pv_addr4(10, 9, 0, is_hub ? 1 : 2, 0), .bits = 24};
    memset(entry, 0, sizeof(*entry));
    snprintf(entry->name, sizeof(entry->name), "%s", sim_node_name(other));
    memcpy(entry->public_key, sim_node_wg_key(other), sizeof(entry->public_key));
    memset(entry->preshared_key, p->seed % 2 == 0 ? 0 : 0x55, sizeof(entry->preshared_key));
    entry->allowed[0] =
        (struct pv_prefix){.base = pv_addr4(10, 9, 0, is_hub ? 2 : 1, 0), .bits = 32};
    entry->n_allowed = 1;
    if (!is_hub) {
        struct pv_addr addrs[SIM_HOST_ADDRS];
        size_t i = 0, n_addrs = sim_net_addrs(sim.net, sim_node_host(other), addrs);
        while (p->ipv6 && i + 1 < n_addrs && addrs[i].family != PV_AF_INET6)
            i++;
        pv_addr_format_ip(&addrs[i], entry->endpoint_host);
        entry->endpoint_port = sim_node_port(other);
        entry->persistent_keepalive = p->seed % 3 == 0 ? 0 : 25;
    }
    sim_node_kill(n);
    sim_node_configure(n, &own, entry, 1);
    sim_node_start(n);
}

static void begin_over(struct pair *p, uint64_t seed, bool ipv6)
{
    static const struct pv_link_config good = {.delay = PV_MS(15), .jitter = PV_MS(5)};
    memset(p, 0, sizeof(*p));
    p->seed = seed;
    p->ipv6 = ipv6;
    sim_world_init(seed, &good);
    p->zone = sim_world_nat(SIM_PUBLIC, "port-restricted", &good);
    pv_nat_config(sim_net_nat(sim.net, p->zone))->ports = PV_NAT_RANDOM;
    p->hub = sim_world_node(SIM_PUBLIC, "hub", ipv6);
    p->leaf = sim_world_node(p->zone, "leaf", ipv6);
    configure(p, p->hub, p->leaf, &p->of_hub);
    configure(p, p->leaf, p->hub, &p->of_leaf);
    sim_world_run(PV_S(1));
}

static void begin(struct pair *p, uint64_t seed)
{
    begin_over(p, seed, false);
}

static bool reaches(struct pair *p, struct sim_node *from, pv_ns within)
{
    struct sim_node *to = from == p->hub ? p->leaf : p->hub;
    return sim_world_reach(from, to, PV_MS(200), within) != PV_NEVER;
}

PV_SIM(static_peers_live_through_what_happens, SEEDS)
{
    struct pair p;
    begin(&p, seed);
    sim_must(reaches(&p, p.leaf, PV_S(2)), "leaf does not reach hub");
    for (int i = 0; i < 400; i++) { /* three rekeys */
        sim_must(reaches(&p, i % 2 == 0 ? p.hub : p.leaf, PV_S(1)), "an outage without a reason");
        sim_world_run(PV_S(1));
    }
    struct sim_pings hub = sim_node_pings(p.hub), leaf = sim_node_pings(p.leaf);
    sim_must(hub.answered >= hub.sent && leaf.answered >= leaf.sent,
             "a packet was lost at a rekey");
    /* The NAT gives another port: hub learns it from the first packet. */
    sim_net_reboot_nat(sim.net, p.zone);
    sim_must(reaches(&p, p.leaf, PV_S(1)) && reaches(&p, p.hub, PV_S(1)), "the leaf has roamed");
    sim_node_kill(p.leaf);
    sim_world_run(PV_S(3));
    sim_node_start(p.leaf);
    sim_must(reaches(&p, p.leaf, PV_S(2)) && reaches(&p, p.hub, PV_S(1)), "the leaf was restarted");
    /* hub forgets where leaf is; leaf finds out by silence, 15 s as the whitepaper says. */
    sim_node_kill(p.hub);
    sim_world_run(PV_S(3));
    sim_node_start(p.hub);
    sim_must(reaches(&p, p.leaf, PV_S(25)) && reaches(&p, p.hub, PV_S(1)), "the hub was restarted");
}

PV_SIM(keepalives_keep_the_way_open_for_hours, SEEDS)
{
    struct pair p;
    begin(&p, 3 * seed + 1); /* with keepalives */
    pv_nat_config(sim_net_nat(sim.net, p.zone))->udp_replied = PV_S(30);
    sim_world_run(PV_S(2));
    for (int i = 0; i < 6; i++) {
        sim_world_run(PV_S(400));
        sim_must(reaches(&p, p.hub, PV_S(2)), "the hub cannot reach a leaf with a mapping");
    }
}

PV_SIM(another_preshared_key_gets_nowhere, SEEDS)
{
    struct pair p;
    begin(&p, seed);
    p.of_leaf.preshared_key[7] ^= 1;
    sim_node_restart(p.leaf);
    sim_node_restart(p.hub);
    sim_must(!reaches(&p, p.leaf, PV_S(30)), "another preshared key was accepted");
    uint64_t sent = sim_node_sent(p.leaf);
    sim_world_run(PV_S(600));
    sim_must(sim_node_sent(p.leaf) - sent <= 600 / 5 + 10, "it keeps shouting");
}

/* The last transport data that the leaf sent, as a router quotes it. */
struct seen {
    unsigned host;
    struct pv_addr dst;
    uint8_t bytes[16];
};

static bool see(void *ctx, unsigned host, const struct pv_addr *dst, struct pv_view payload)
{
    struct seen *s = ctx;
    if (host == s->host && payload.len >= sizeof(s->bytes) && payload.ptr[0] == 4) {
        s->dst = *dst;
        memcpy(s->bytes, payload.ptr, sizeof(s->bytes));
    }
    return true;
}

/* Is a ping of so many bytes told that it is too big? */
static bool is_told(struct pair *p, size_t inner)
{
    struct pv_addr to = sim_node_overlay(p->hub, PV_AF_INET);
    unsigned before = sim_node_pings(p->leaf).unreachable;
    sim_node_ping(p->leaf, &to, inner - 28);
    sim_world_run(PV_S(1));
    return sim_node_pings(p->leaf).unreachable > before;
}

PV_SIM(a_path_over_ipv6_that_is_too_narrow_is_told, SEEDS)
{
    struct pair p;
    struct seen seen = {.host = 0};
    begin_over(&p, 3 * seed + 1, true);
    seen.host = sim_node_host(p.leaf);
    sim_net_set_tap(sim.net, see, &seen);
    sim_must(reaches(&p, p.leaf, PV_S(3)) && seen.dst.family == PV_AF_INET6,
             "leaf does not reach hub over IPv6");
    sim_must(!is_told(&p, 1420), "told without a reason");
    struct seen forged = seen;
    forged.bytes[4] ^= 1; /* another receiver */
    sim_node_hint(p.leaf, &forged.dst, 1400, pv_view(forged.bytes, 16));
    sim_node_hint(p.leaf, &seen.dst, 1400, pv_view(seen.bytes, 15));
    sim_world_run(PV_S(1));
    sim_must(!is_told(&p, 1420), "what quotes nothing of ours was believed");
    sim_node_hint(p.leaf, &seen.dst, 1400, pv_view(seen.bytes, 16));
    sim_world_run(PV_S(1));
    sim_must(is_told(&p, 1420) && is_told(&p, 1321) && !is_told(&p, 1320),
             "1400 bytes under it are 1320 inside");
    sim_node_hint(p.leaf, &seen.dst, 600, pv_view(seen.bytes, 16));
    sim_world_run(PV_S(1));
    sim_must(is_told(&p, 1281) && !is_told(&p, 1280), "nobody is told less than 1280 bytes");
    sim_world_run(PV_S(600));
    sim_must(reaches(&p, p.leaf, PV_S(25)) && !is_told(&p, 1420),
             "an address outlived its 10 minutes");
}
