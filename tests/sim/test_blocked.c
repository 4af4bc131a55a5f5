/* SPDX-License-Identifier: MIT */
/* Networks that let no UDP out: the relay goes through a stream, and comes back to UDP, in virtual
 * time and with bounds. */

#include "tests/sim/world/sim_world.h"
#include "tests/unit/test_util.h"

enum {
    SEEDS = 2, /* PV_SIM_SEEDS sets another number */
};

static const struct pv_link_config good = {.delay = PV_MS(10)};

static void block(unsigned i, bool blocked)
{
    sim_net_block_datagrams(sim.net, sim_node_host(sim.nodes[i]), blocked);
}

/* Two nodes behind cone NATs, in one network, at rest. */
static bool begin(uint64_t seed, bool block_a, bool block_b)
{
    sim_world_two(seed, "port-restricted", "port-restricted");
    block(0, block_a);
    block(1, block_b);
    if (!sim_world_join_all())
        return false;
    sim_world_run(PV_S(5));
    return true;
}

static unsigned open_streams(const struct sim_node *n)
{
    unsigned now = 0;
    (void)sim_node_relay_streams(n, &now);
    return now;
}

struct sides {
    bool a, b;
};

/* --- from the start --------------------------------------------------------------------------- */

static void from_the_start(uint64_t seed, void *ctx)
{
    const struct sides *sides = ctx;
    sim_must(begin(seed, sides->a, sides->b), "joining:");
    /* The whole of it from a cold start: the daemon boots, finds out, and its pings get through. */
    sim_node_kill(sim.nodes[0]);
    sim_world_run(PV_S(1));
    sim_node_start(sim.nodes[0]);
    pv_ns took = sim_world_reach(sim.nodes[0], sim.nodes[1], PV_MS(50), PV_S(10));
    sim_must_take(took, PV_S(3), "not reached 3 s after the start");
    unsigned before = sim_world_unanswered(PV_MS(20), PV_MS(500));
    sim_must(sim_world_unanswered(PV_MS(20), PV_S(5)) == before,
             "pings through the stream were lost");
    for (unsigned i = 0; i < 2; i++) {
        bool blocked = i == 0 ? sides->a : sides->b;
        sim_must(sim_world_path_is(sim.nodes[i], "relay"), "the path is not relayed");
        sim_must((open_streams(sim.nodes[i]) > 0) == blocked, "the way to the relay is wrong");
        sim_must(sim_world_says(sim.nodes[i], "'cmd':'status'", "'udp':'blocked'") == blocked,
                 "status does not say so");
    }
    sim_must(sim_world_says(sim.nodes[0], "'cmd':'why','peer':'b'", "UDP is blocked here") ==
                 sides->a,
             "why does not say so");
}

PV_TEST(one_side_without_udp_is_reached_within_three_seconds)
{
    struct sides a = {.a = true}, b = {.b = true};
    sim_seeds(SEEDS, from_the_start, &a);
    sim_seeds(SEEDS, from_the_start, &b);
}

PV_TEST(two_sides_without_udp_meet_within_three_seconds)
{
    struct sides both = {.a = true, .b = true};
    sim_seeds(SEEDS, from_the_start, &both);
}

/* --- only one port ---------------------------------------------------------------------------- */

static void only_443(uint64_t seed, void *ctx)
{
    const bool *before = ctx; /* the coordinator offered TLS before the network was made */
    sim_world_init(seed, &good);
    sim_coord_offer_tls(sim.coord, 443);
    if (*before) {
        sim_coord_stop(sim.coord);
        sim_coord_start(sim.coord);
    }
    sim_world_node(sim_world_nat(SIM_PUBLIC, "port-restricted", &good), "a", false);
    sim_world_node(sim_world_nat(SIM_PUBLIC, "port-restricted", &good), "b", false);
    sim_must(sim_world_join_all(), "joining:");
    if (!*before) { /* they hear of it when they come back, and remember it */
        sim_coord_stop(sim.coord);
        sim_coord_start(sim.coord);
    }
    sim_world_run(PV_S(40));
    for (unsigned i = 0; i < 2; i++) {
        block(i, true);
        sim_net_only_port(sim.net, sim_node_host(sim.nodes[i]), 443);
        sim_node_kill(sim.nodes[i]);
    }
    sim_world_run(PV_S(1));
    sim_node_start(sim.nodes[1]);
    sim_world_run(PV_S(10));
    sim_node_start(sim.nodes[0]);
    pv_ns took = sim_world_reach(sim.nodes[0], sim.nodes[1], PV_MS(50), PV_S(10));
    sim_must_take(took, PV_S(3), "not reached through port 443 within 3 s");
    unsigned lost = sim_world_unanswered(PV_MS(20), PV_MS(500));
    sim_must(sim_world_unanswered(PV_MS(20), PV_S(5)) == lost, "pings through port 443 were lost");
    sim_must(sim_world_says(sim.nodes[0], "'cmd':'status'", "'transport':'tls'"),
             "status does not say TLS");
    sim_must(sim_world_says(sim.nodes[0], "'cmd':'why','peer':'b'",
                            "UDP is blocked here: everything goes through TLS on 443"),
             "why does not say so");
}

PV_TEST(only_port_443_is_enough)
{
    bool before = true, after = false;
    sim_seeds(SEEDS, only_443, &before);
    sim_seeds(SEEDS, only_443, &after);
}

/* --- in the middle of life, and the end of it ------------------------------------------------- */

PV_SIM(udp_that_is_blocked_under_traffic_and_opened_again_is_survived, SEEDS)
{
    sim_must(begin(seed, false, false), "joining:");
    sim_must(sim_world_reach(sim.nodes[0], sim.nodes[1], PV_MS(100), PV_S(5)) != PV_NEVER,
             "no path");
    unsigned before = sim_world_unanswered(PV_MS(20), PV_S(3));
    sim_must(sim_world_path_is(sim.nodes[0], "direct"), "not direct");
    block(0, true);
    unsigned after = sim_world_unanswered(PV_MS(20), PV_S(8));
    sim_must_take((after - before) * PV_MS(20), PV_S(3), "until the stream carried on:");
    sim_must(open_streams(sim.nodes[0]) == 1 && open_streams(sim.nodes[1]) == 0,
             "only the blocked side should use a stream");
    sim_must(sim_world_unanswered(PV_MS(20), PV_S(10)) == after,
             "pings through the stream were lost");

    /* UDP gets through again: found within a minute or so, nothing is lost on the way back. */
    block(0, false);
    pv_ns end = sim_net_now(sim.net) + PV_S(75);
    while (!sim_world_path_is(sim.nodes[0], "direct") && sim_net_now(sim.net) < end) {
        sim_must(sim_world_unanswered(PV_MS(20), PV_MS(500)) == after,
                 "pings were lost on the way back to UDP");
    }
    sim_must(sim_world_path_is(sim.nodes[0], "direct"), "UDP was not found again");
    sim_must(sim_world_unanswered(PV_MS(20), PV_S(5)) == after,
             "pings were lost after UDP was back");
    sim_must(open_streams(sim.nodes[0]) == 0, "the stream stayed open");
    sim_must(!sim_world_says(sim.nodes[0], "'cmd':'status'", "'udp':'blocked'"),
             "status says that UDP is blocked");
    sim_must(sim_node_pings(sim.nodes[0]).twice + sim_node_pings(sim.nodes[1]).twice == 0,
             "an inner packet was delivered twice");
}

/* A change of network is a reason to try UDP at once. */
PV_SIM(a_change_of_network_is_a_reason_to_try_udp_at_once, SEEDS)
{
    sim_must(begin(seed, true, false), "joining:");
    sim_must(sim_world_reach(sim.nodes[0], sim.nodes[1], PV_MS(100), PV_S(5)) != PV_NEVER,
             "no path");
    (void)sim_world_unanswered(PV_MS(100), PV_S(20));
    block(0, false);
    sim_node_links_changed(sim.nodes[0]);
    pv_ns end = sim_net_now(sim.net) + PV_S(8);
    while (!sim_world_path_is(sim.nodes[0], "direct") && sim_net_now(sim.net) < end)
        (void)sim_world_unanswered(PV_MS(20), PV_MS(200));
    sim_must(sim_world_path_is(sim.nodes[0], "direct"),
             "UDP was not tried when the network changed");
}

/* --- the coordinator -------------------------------------------------------------------------- */

PV_SIM(a_restarted_coordinator_relays_over_streams_within_three_seconds, SEEDS)
{
    sim_must(begin(seed, true, true), "joining:");
    sim_must(sim_world_reach(sim.nodes[0], sim.nodes[1], PV_MS(100), PV_S(5)) != PV_NEVER,
             "no path");
    sim_coord_stop(sim.coord);
    sim_world_run(PV_MS(50));
    sim_coord_start(sim.coord);
    pv_ns took = sim_world_reach(sim.nodes[0], sim.nodes[1], PV_MS(50), PV_S(20));
    sim_must_take(took, PV_S(3), "no traffic 3 s after its return");
}

/* Its machine is off, so neither TCP nor UDP is answered, and paths that are suspected ask. */
PV_SIM(a_coordinator_that_is_gone_does_not_block_udp, SEEDS)
{
    sim_must(begin(seed, false, false), "joining:");
    sim_must(sim_world_reach(sim.nodes[0], sim.nodes[1], PV_MS(100), PV_S(5)) != PV_NEVER,
             "no path");
    sim_coord_kill(sim.coord);
    for (unsigned zone = 1; zone <= 2; zone++) {
        pv_nat_config(sim_net_nat(sim.net, zone))->ports = PV_NAT_RANDOM;
        sim_net_reboot_nat(sim.net, zone);
    }
    for (unsigned i = 0; i < 60; i++) {
        (void)sim_world_unanswered(PV_MS(200), PV_MS(200));
        for (unsigned k = 0; k < 2; k++) {
            struct sim_node *n = sim.nodes[k];
            sim_must(
                !sim_world_says(n, "'cmd':'status'", "'udp':'blocked'") &&
                    !sim_world_says(n, k == 0 ? "'cmd':'why','peer':'b'" : "'cmd':'why','peer':'a'",
                                    "UDP is blocked"),
                "UDP is said to be blocked");
        }
    }
}

PV_SIM(a_removed_member_is_not_relayed_over_its_stream, SEEDS)
{
    sim_must(begin(seed, false, true), "joining:");
    sim_must(sim_world_reach(sim.nodes[0], sim.nodes[1], PV_MS(100), PV_S(5)) != PV_NEVER,
             "no path");
    sim_must(sim_world_tell(sim.nodes[0], PV_S(5), "'cmd':'remove','peer':'b'"), "remove:");
    sim_world_run(PV_MS(200));
    unsigned before = sim_node_pings(sim.nodes[0]).received;
    struct pv_addr to = sim_node_overlay(sim.nodes[0], PV_AF_INET);
    for (unsigned i = 0; i < 40; i++) {
        if (sim_node_runs(sim.nodes[1]))
            sim_node_ping(sim.nodes[1], &to, 32);
        sim_world_run(PV_MS(50));
    }
    sim_must(sim_node_pings(sim.nodes[0]).received == before, "a removed member still got through");
    sim_world_run(PV_S(60));
    sim_must(sim_node_relay_streams(sim.nodes[1], &before) <= 40,
             "a removed member hammers the relay");
}

/* The stream's way goes silent (a NAT forgot it): noticed, and another one is opened. */
PV_SIM(a_stream_that_goes_silent_is_replaced, SEEDS)
{
    sim_must(begin(seed, true, false), "joining:");
    sim_must(sim_world_reach(sim.nodes[0], sim.nodes[1], PV_MS(100), PV_S(5)) != PV_NEVER,
             "no path");
    sim_net_reboot_nat(sim.net, 1);
    pv_ns took = sim_world_reach(sim.nodes[0], sim.nodes[1], PV_MS(100), PV_S(60));
    sim_must_take(took, PV_S(15), "no traffic 15 s after the stream went silent");
}
