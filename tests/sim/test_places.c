/* SPDX-License-Identifier: MIT */
/*
 * test_places.c - where two nodes may stand: one LAN, two NATs deep, beside each other below one
 * NAT, with IPv6; and what must hold of the packets that waited for the path: all of them, once, in
 * order, and nobody else's.
 */
#include <jansson.h>

#include "base/bytes.h"
#include "base/jsonread.h"
#include "tests/sim/world/sim_world.h"
#include "tests/unit/test_util.h"

enum {
    SEEDS = 2, /* per place; PV_SIM_SEEDS sets another number */
    WAITING = 64,
};

enum kind {
    SAME_LAN,
    SAME_LAN_HAIRPIN,
    SAME_LAN_IPV6,
    DOUBLE_OPEN,
    DOUBLE_CONE,
    DOUBLE_DOUBLE,
    SIBLINGS, /* each behind a NAT of its own, both below one more that hairpins */
    CONES_IPV6,
    KINDS
};
static const char *const KIND_NAMES[] = {
    "same LAN",      "same LAN, the NAT hairpins", "same LAN with IPv6", "double NAT x open",
    "double x cone", "double NAT x double NAT",    "one NAT above two",  "cones with IPv6",
};

struct cell {
    enum kind kind;
    bool rough; /* lines that lose, repeat and reorder */
};

static struct pv_link_config draw_line(const struct cell *cell)
{
    struct pv_natrng *rng = sim_net_rng(sim.net);
    struct pv_link_config c = {.delay = PV_MS(5 + pv_natrng_below(rng, 46)),
                               .jitter = PV_MS(pv_natrng_below(rng, 10))};
    if (cell->rough) {
        c.loss = pv_natrng_unit(rng) * 0.1; /* two lines each way: up to 20 % */
        c.duplicate = pv_natrng_unit(rng) * 0.05;
        c.reorder = pv_natrng_unit(rng) * 0.1;
        c.reorder_by = PV_MS(1 + pv_natrng_below(rng, 20));
    }
    return c;
}

static unsigned nat(const struct cell *cell, unsigned outer, const char *what)
{
    struct pv_link_config line = draw_line(cell);
    return sim_world_nat(outer, what, &line);
}

static void place(const struct cell *cell, unsigned zone[static 2])
{
    switch (cell->kind) {
    case SAME_LAN:
    case SAME_LAN_HAIRPIN:
    case SAME_LAN_IPV6:
        zone[0] = zone[1] = nat(cell, SIM_PUBLIC, "port-restricted");
        if (cell->kind == SAME_LAN_HAIRPIN)
            pv_nat_config(sim_net_nat(sim.net, zone[0]))->hairpin = PV_NAT_HAIRPIN_EXTERNAL;
        break;
    case DOUBLE_OPEN:
        zone[0] = nat(cell, nat(cell, SIM_PUBLIC, "port-restricted"), "full-cone");
        zone[1] = SIM_PUBLIC;
        break;
    case DOUBLE_CONE:
        zone[0] = nat(cell, nat(cell, SIM_PUBLIC, "address-restricted"), "port-restricted");
        zone[1] = nat(cell, SIM_PUBLIC, "port-restricted");
        break;
    case DOUBLE_DOUBLE:
        zone[0] = nat(cell, nat(cell, SIM_PUBLIC, "port-restricted"), "port-restricted");
        zone[1] = nat(cell, nat(cell, SIM_PUBLIC, "port-restricted"), "address-restricted");
        break;
    case SIBLINGS: {
        unsigned above = nat(cell, SIM_PUBLIC, "port-restricted");
        pv_nat_config(sim_net_nat(sim.net, above))->hairpin = PV_NAT_HAIRPIN_EXTERNAL;
        zone[0] = nat(cell, above, "port-restricted");
        zone[1] = nat(cell, above, "port-restricted");
        break;
    }
    case CONES_IPV6:
    default:
        zone[0] = nat(cell, SIM_PUBLIC, "port-restricted");
        zone[1] = nat(cell, SIM_PUBLIC, "port-restricted");
        break;
    }
}

/* Each packet says from whom to whom it is, and which it is. */
static void send_all(unsigned from, unsigned to, uint32_t first, uint32_t n)
{
    struct pv_addr ip = sim_node_overlay(sim.nodes[to], PV_AF_INET);
    for (uint32_t i = first; i < first + n; i++) {
        uint8_t body[12];
        pv_store_be32(body, from);
        pv_store_be32(body + 4, to);
        pv_store_be32(body + 8, i);
        sim_node_send_udp(sim.nodes[from], &ip, 4000, pv_view(body, sizeof(body)));
    }
}

/* NULL, or what is wrong with what `to` has got from `from`. */
static const char *check_sink(unsigned from, unsigned to, bool rough)
{
    const struct sim_node *n = sim.nodes[to];
    struct pv_addr src = sim_node_overlay(sim.nodes[from], PV_AF_INET);
    struct pv_addr own = sim_node_overlay(n, PV_AF_INET);
    bool seen[2 * WAITING] = {false};
    uint32_t count = 0, waited = 0, last = 0;
    for (size_t i = 0; i < sim_node_n_sunk(n); i++) {
        const struct sim_sunk *s = sim_node_sunk(n, i);
        uint32_t seq = pv_load_be32(s->bytes + 8);
        if (s->len != 12 || pv_load_be32(s->bytes) != from || pv_load_be32(s->bytes + 4) != to ||
            !pv_addr_equal_ip(&s->src, &src) || !pv_addr_equal_ip(&s->dst, &own) ||
            seq >= PV_ARRAY_LEN(seen))
            return "a packet reached a node that it was not for";
        if (seen[seq])
            return "a packet was delivered twice";
        if (!rough && count > 0 && seq < last)
            return "packets changed their order";
        seen[seq] = true;
        last = seq;
        count++;
        waited += seq < WAITING ? 1 : 0;
    }
    if (!rough && waited != WAITING)
        return "packets that waited were lost";
    if (count < WAITING)
        return "most packets were lost";
    return NULL;
}

/* Does a's path to b go between the addresses of one LAN? */
static bool is_lan_path(void)
{
    const char *answer = sim_world_ask(sim.nodes[0], PV_S(1), "'cmd':'peers'");
    json_t *root = json_loads(answer == NULL ? "{}" : answer, 0, NULL);
    bool lan = false;
    PV_EACH_JSON(json_object_get(root, "peers"), peer) {
        json_t *path = json_object_get(peer, "path");
        const char *local = pv_json_text(path, "local", NULL);
        const char *remote = pv_json_text(path, "remote", NULL);
        struct pv_addr a, b;
        if (strcmp(pv_json_text(peer, "name", "?"), "b") != 0)
            continue;
        if (local == NULL || remote == NULL || pv_addr_parse(local, &a) != PV_OK ||
            pv_addr_parse(remote, &b) != PV_OK)
            continue;
        lan = a.family == PV_AF_INET ? memcmp(a.ip, b.ip, 3) == 0 : memcmp(a.ip, b.ip, 8) == 0;
    }
    json_decref(root);
    return lan;
}

static bool both_got_some(void *ctx)
{
    return sim_node_n_sunk(sim.nodes[0]) > 0 && sim_node_n_sunk(sim.nodes[1]) > 0;
}

static const char *meet(const struct cell *cell)
{
    if (!sim_world_join_all())
        return "joining:";
    sim_world_run(PV_S(2));
    pv_ns start = sim_net_now(sim.net);
    send_all(0, 1, 0, WAITING);
    send_all(1, 0, 0, WAITING);
    if (!sim_world_until(PV_S(10), both_got_some, NULL))
        return "no path in 10 s";
    pv_ns took = sim_net_now(sim.net) - start;
    if (took > (cell->rough ? PV_S(6) : PV_S(2)))
        return "the path took too long";
    sim_world_run(PV_S(1));
    send_all(0, 1, WAITING, WAITING);
    send_all(1, 0, WAITING, WAITING);
    sim_world_run(PV_S(1));
    const char *why = check_sink(0, 1, cell->rough);
    if (why == NULL)
        why = check_sink(1, 0, cell->rough);
    if (why != NULL)
        return why;
    for (unsigned i = 0; i < 3; i++) {
        if (sim_node_pings(sim.nodes[i]).strangers > 0)
            return "a node got a packet for another address";
    }
    if (sim_node_pings(sim.nodes[2]).received > 0 || sim_node_n_sunk(sim.nodes[2]) > 0)
        return "a third node was given a packet";
    sim_world_run(PV_S(5));
    if ((cell->kind == SAME_LAN || cell->kind == SAME_LAN_HAIRPIN || cell->kind == SAME_LAN_IPV6) &&
        !is_lan_path())
        return "two nodes on one LAN do not talk over it";
    return NULL;
}

static void run(uint64_t seed, void *ctx)
{
    const struct cell *cell = ctx;
    unsigned zone[2];
    static const struct pv_link_config good = {.delay = PV_MS(10)};
    bool ipv6 = cell->kind == SAME_LAN_IPV6 || cell->kind == CONES_IPV6;
    sim_case("%s%s", KIND_NAMES[cell->kind], cell->rough ? " (rough)" : "");
    sim_world_init(seed, &good);
    place(cell, zone);
    sim_world_node(zone[0], "a", ipv6);
    sim_world_node(zone[1], "b", ipv6);
    sim_world_node(SIM_PUBLIC, "c", false);
    const char *why = meet(cell);
    sim_must(why == NULL, why);
}

PV_TEST(nodes_meet_wherever_they_stand)
{
    for (int kind = 0; kind < KINDS; kind++) {
        struct cell cell = {.kind = (enum kind)kind};
        sim_seeds(SEEDS, run, &cell);
    }
}

PV_TEST_WHOLE(nodes_meet_over_rough_lines)
{
    for (int kind = 0; kind < KINDS; kind++) {
        struct cell cell = {.kind = (enum kind)kind, .rough = true};
        sim_seeds(SEEDS, run, &cell);
    }
}
