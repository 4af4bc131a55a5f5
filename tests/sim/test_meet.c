/* SPDX-License-Identifier: MIT */
/* Coordinator and nodes behind simulated NATs in virtual time: create, join, meet, chat, come back.
 */
#include "tests/sim/world/sim_world.h"
#include "tests/unit/test_util.h"

enum {
    SEEDS = 3, /* per pair of NATs; PV_SIM_SEEDS sets another number */
    SEEDS_SOME = 2,
};

/* Reports why a seed failed; the return value of a scenario. */
/* A line drawn from the seed: 5 to 50 ms, up to 20 % loss, some reordering and duplication. */
static struct pv_link_config draw_line(void)
{
    struct pv_natrng *rng = sim_net_rng(sim.net);
    return (struct pv_link_config){
        .delay = PV_MS(5 + pv_natrng_below(rng, 46)),
        .jitter = PV_MS(pv_natrng_below(rng, 10)),
        .loss = pv_natrng_unit(rng) * 0.1, /* each way through two lines: up to 20 % */
        .duplicate = pv_natrng_unit(rng) * 0.05,
        .reorder = pv_natrng_unit(rng) * 0.05,
        .reorder_by = PV_MS(1 + pv_natrng_below(rng, 20)),
    };
}

struct pair {
    const char *a, *b; /* profiles; NULL = public */
};

static unsigned zone_of(const char *profile)
{
    if (profile == NULL)
        return SIM_PUBLIC;
    struct pv_link_config line = draw_line();
    return sim_world_nat(SIM_PUBLIC, profile, &line);
}

static bool both_reached(void *ctx)
{
    return sim_node_pings(sim.nodes[0]).answered > 0 && sim_node_pings(sim.nodes[1]).answered > 0;
}

/* Both ends start at once, each with one ping that must not be lost to the missing path. */
static void meet(uint64_t seed, void *ctx)
{
    const struct pair *pair = ctx;
    static const struct pv_link_config good = {.delay = PV_MS(10)};
    sim_case("%s x %s", pair->a == NULL ? "public" : pair->a, pair->b == NULL ? "public" : pair->b);
    sim_world_init(seed, &good);
    struct sim_node *a = sim_world_node(zone_of(pair->a), "a", false);
    struct sim_node *b = sim_world_node(zone_of(pair->b), "b", false);
    sim_must(sim_world_join_all(), "joining:");
    sim_world_run(PV_S(2));

    struct pv_addr to_b = sim_node_overlay(b, PV_AF_INET);
    struct pv_addr to_a = sim_node_overlay(a, PV_AF_INET);
    pv_ns start = sim_net_now(sim.net);
    for (unsigned i = 0; i < 50 && !both_reached(NULL); i++) {
        sim_node_ping(a, &to_b, 32);
        sim_node_ping(b, &to_a, 32);
        sim_world_until(PV_MS(200), both_reached, NULL);
    }
    sim_must(both_reached(NULL), "no path in 10 s");
    pv_ns took = sim_net_now(sim.net) - start;
    sim_must(took <= PV_S(6), "the path took longer than 6 s");
    /* The relay may have been quicker. */
    for (unsigned i = 0; i < 50 && !sim_world_path_is(a, "direct"); i++) {
        sim_node_ping(a, &to_b, 32);
        sim_world_run(PV_MS(200));
    }
    sim_must(sim_world_path_is(a, "direct") && sim_net_now(sim.net) - start <= PV_S(10),
             "the path is not direct");
    sim_must(sim_node_pings(a).twice + sim_node_pings(b).twice == 0,
             "an inner packet was delivered twice");
}

PV_TEST(cones_of_every_kind_meet)
{
    static const char *const kinds[] = {NULL, "full-cone", "address-restricted", "port-restricted",
                                        "linux"};
    for (size_t i = 0; i < PV_ARRAY_LEN(kinds); i++) {
        for (size_t k = i; k < PV_ARRAY_LEN(kinds); k++) {
            struct pair pair = {.a = kinds[i], .b = kinds[k]};
            sim_seeds(SEEDS, meet, &pair);
        }
    }
}

/* A perfect line: not one of 20 packets that wait for the path is lost, and they keep their order.
 */
PV_SIM(packets_that_wait_for_a_path_are_not_lost, SEEDS_SOME)
{
    static const struct pv_link_config good = {.delay = PV_MS(10)};
    sim_world_init(seed, &good);
    unsigned za = sim_world_nat(SIM_PUBLIC, "port-restricted", &good);
    unsigned zb = sim_world_nat(SIM_PUBLIC, "port-restricted", &good);
    struct sim_node *a = sim_world_node(za, "a", false);
    struct sim_node *b = sim_world_node(zb, "b", false);
    sim_must(sim_world_join_all(), "joining:");
    sim_world_run(PV_S(2));
    struct pv_addr to = sim_node_overlay(b, PV_AF_INET);
    for (unsigned i = 0; i < 20; i++)
        sim_node_ping(a, &to, 100);
    sim_world_run(PV_S(5));
    snprintf(sim.why, sizeof(sim.why), "%u of 20 answered", sim_node_pings(a).answered);
    sim_must(sim_node_pings(a).answered == 20, "packets that waited were lost:");
}

PV_SIM(a_node_that_restarts_is_found_again, SEEDS_SOME)
{
    static const struct pv_link_config good = {.delay = PV_MS(20), .jitter = PV_MS(5)};
    sim_world_init(seed, &good);
    unsigned za = sim_world_nat(SIM_PUBLIC, "port-restricted", &good);
    unsigned zb = sim_world_nat(SIM_PUBLIC, "address-restricted", &good);
    struct sim_node *a = sim_world_node(za, "a", false);
    struct sim_node *b = sim_world_node(zb, "b", false);
    sim_must(sim_world_join_all(), "joining:");
    sim_world_run(PV_S(2));
    sim_must(sim_world_reach(a, b, PV_MS(200), PV_S(10)) != PV_NEVER, "no path");

    sim_node_kill(b);
    sim_world_run(PV_MS(500) + sim_draw(3000) * PV_MS(1));
    sim_node_start(b);
    pv_ns took = sim_world_reach(a, b, PV_MS(50), PV_S(20));
    sim_must_take(took, PV_S(2), "a restarted peer was found late,");
    sim_net_reboot_nat(sim.net, zb);
    sim_world_run(PV_S(1)); /* what was under way says nothing */
    sim_must(sim_world_reach(a, b, PV_MS(100), PV_S(30)) != PV_NEVER,
             "not found again after the NAT forgot");
    /* The relay goes with the coordinator; a direct path does not. */
    struct pv_addr to = sim_node_overlay(b, PV_AF_INET);
    for (unsigned i = 0;
         i < 300 && !(sim_world_path_is(a, "direct") && sim_world_path_is(b, "direct")); i++) {
        sim_node_ping(a, &to, 32);
        sim_world_run(PV_MS(200));
    }
    sim_must(sim_world_path_is(a, "direct") && sim_world_path_is(b, "direct"),
             "not direct a minute after the NAT forgot");
    sim_coord_kill(sim.coord);
    sim_must(sim_world_reach(a, b, PV_MS(100), PV_S(5)) != PV_NEVER,
             "the session ended with the coordinator");
    sim_coord_start(sim.coord);
    sim_world_run(PV_S(40));
    const char *answer = sim_world_ask(a, PV_S(10), "'cmd':'invite','uses':1");
    sim_must(answer != NULL, "the node did not connect again:");
}

static bool has_text(struct sim_node *n, const char *text)
{
    return sim_world_says(n, "'cmd':'inbox','peek':true", text);
}

PV_SIM(messages_arrive_also_across_restarts, SEEDS_SOME)
{
    static const struct pv_link_config good = {.delay = PV_MS(20), .loss = 0.05};
    sim_world_init(seed, &good);
    unsigned za = sim_world_nat(SIM_PUBLIC, "port-restricted", &good);
    unsigned zb = sim_world_nat(SIM_PUBLIC, "port-restricted", &good);
    struct sim_node *a = sim_world_node(za, "a", false);
    struct sim_node *b = sim_world_node(zb, "b", false);
    sim_must(sim_world_join_all(), "joining:");
    sim_world_run(PV_S(2));
    sim_must(sim_world_tell(a, PV_S(5), "'cmd':'send','peer':'b','text':'one'"), "send:");
    sim_world_run(PV_S(20));
    sim_must(has_text(b, "'one'"), "a message to an online node did not arrive");
    sim_node_kill(b);
    sim_world_run(PV_S(40));
    sim_must(sim_world_tell(a, PV_S(5), "'cmd':'send','peer':'b','text':'two'"),
             "send to an absent node:");
    sim_node_kill(a);
    sim_world_run(PV_S(5));
    sim_node_start(a);
    sim_node_start(b);
    sim_world_run(PV_S(60));
    sim_must(has_text(b, "'two'"), "a queued message did not arrive");
}

static uint64_t hash_of(uint64_t seed)
{
    static const struct pv_link_config bad = {.delay = PV_MS(20), .loss = 0.1, .jitter = PV_MS(9)};
    sim_world_init(seed, &bad);
    unsigned za = sim_world_nat(SIM_PUBLIC, "port-restricted", &bad);
    struct sim_node *a = sim_world_node(za, "a", false);
    struct sim_node *b = sim_world_node(SIM_PUBLIC, "b", true);
    if (sim_world_join_all())
        sim_world_reach(a, b, PV_MS(200), PV_S(10));
    uint64_t hash = sim_net_hash(sim.net);
    return hash;
}

PV_TEST(a_seed_repeats_a_meeting_exactly)
{
    for (uint64_t seed = 1; seed <= 5; seed++)
        assert_int_equal(hash_of(seed), hash_of(seed));
    assert_int_not_equal(hash_of(1), hash_of(2));
}

/* --- the first packet to one that has just joined ----------------------------------------------
 */

static bool a_sees_b(void *ctx)
{
    (void)ctx;
    return sim_world_says(sim.nodes[0], "'cmd':'peers'", "'online':true");
}

static const char *draw_kind(void)
{
    static const char *const kinds[] = {NULL, "full-cone", "port-restricted", "symmetric"};
    return kinds[sim_draw(PV_ARRAY_LEN(kinds))];
}

/* One ping each way, or both at once, as soon as they see each other or up to two seconds later,
 * with disks and a coordinator that are slow: answered, by the relay or directly. */
PV_SIM(the_first_ping_to_one_that_has_just_joined_is_answered, SEEDS)
{
    sim_world_init(seed, &(struct pv_link_config){.delay = PV_MS(1)});
    struct pv_natrng *rng = sim_net_rng(sim.net);
    struct sim_node *nodes[2];
    for (unsigned i = 0; i < 2; i++) {
        struct pv_link_config line = {.delay = PV_MS(1 + pv_natrng_below(rng, 50)),
                                      .jitter = PV_MS(pv_natrng_below(rng, 10))};
        const char *kind = draw_kind();
        unsigned zone = kind == NULL ? SIM_PUBLIC : sim_world_nat(SIM_PUBLIC, kind, &line);
        sim_case("%s %s", sim_case_name(), kind == NULL ? "public" : kind);
        nodes[i] = sim_world_node(zone, i == 0 ? "a" : "b", false);
        sim_node_set_job_delay(nodes[i], PV_MS(1 + pv_natrng_below(rng, 200)));
        sim_node_set_iface(nodes[i], false, PV_MS(pv_natrng_below(rng, 500)));
    }
    sim_coord_set_store_delay(sim.coord, PV_MS(1 + pv_natrng_below(rng, 200)));
    sim_must(sim_world_join_all(), "joining:");
    unsigned who = 1 + pv_natrng_below(rng, 3);
    sim_must((who & 1) == 0 || sim_world_until(PV_S(5), a_sees_b, NULL), "b is not seen:");
    sim_world_run(PV_MS(pv_natrng_below(rng, 2) * pv_natrng_below(rng, 2000)));
    struct pv_addr to[] = {sim_node_overlay(nodes[1], PV_AF_INET),
                           sim_node_overlay(nodes[0], PV_AF_INET)};
    for (unsigned i = 0; i < 2; i++)
        sim_must((who & 1u << i) == 0 || sim_node_ping(nodes[i], &to[i], 32), "no interface");
    sim_world_run(PV_S(2));
    for (unsigned i = 0; i < 2; i++) {
        struct sim_pings seen = sim_node_pings(nodes[i]);
        snprintf(sim.why, sizeof(sim.why), "of %s, who %u", sim_node_name(nodes[i]), who);
        sim_must(seen.answered == (who >> i & 1), "the first ping was lost:");
    }
}
