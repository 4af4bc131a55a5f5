/* SPDX-License-Identifier: MIT */
/* The members' relay in virtual time: who meets nowhere else, and how the relay is left. */
#include "tests/sim/world/sim_world.h"
#include "tests/unit/test_util.h"

enum {
    SEEDS = 2, /* PV_SIM_SEEDS sets another number */
    SEEDS_SOME = 2,
};

static bool begin(uint64_t seed, const char *profile_a, const char *profile_b)
{
    sim_world_two(seed, profile_a, profile_b);
    if (!sim_world_join_all())
        return false;
    sim_world_run(PV_S(2));
    return true;
}

/* Both wait for the type of path, a pinging b meanwhile. */
static bool until_path(const char *type, pv_ns timeout)
{
    struct pv_addr to = sim_node_overlay(sim.nodes[1], PV_AF_INET);
    pv_ns end = sim_net_now(sim.net) + timeout;
    while (sim_net_now(sim.net) < end) {
        sim_node_ping(sim.nodes[0], &to, 32);
        sim_world_run(PV_MS(20));
        if (sim_world_path_is(sim.nodes[0], type) && sim_world_path_is(sim.nodes[1], type))
            return true;
    }
    return false;
}

/* --- who meets nowhere else ------------------------------------------------------------------ */

PV_SIM(symmetric_nats_meet_over_the_relay_in_two_round_trips, SEEDS)
{
    sim_must(begin(seed, "symmetric", "symmetric"), "joining:");
    /* Message 1 and 2 by signal are two round trips to the coordinator, 40 ms each; then the ping
     * and its answer through the relay. */
    pv_ns took = sim_world_reach(sim.nodes[0], sim.nodes[1], PV_MS(500), PV_S(5));
    sim_must_take(took, PV_MS(2 * 40 + 2 * 40 + 5), "the relay did not answer the first ping");
    sim_must(sim_world_unanswered(PV_MS(10), PV_S(5)) == 0, "pings over the relay were lost");
    sim_must(sim_world_path_is(sim.nodes[0], "relay") && sim_world_path_is(sim.nodes[1], "relay"),
             "the path is not relayed");
    sim_must(sim_world_says(sim.nodes[0], "'cmd':'peers'", "'via':'198.51.100.10:3478'"), "peers:");
}

PV_SIM(a_wall_with_one_door_is_passed_and_its_fall_noticed, SEEDS)
{
    sim_must(begin(seed, NULL, "port-restricted"), "joining:");
    sim_net_set_wall(sim.net, sim_coord_host(sim.coord));
    sim_must(sim_world_reach(sim.nodes[0], sim.nodes[1], PV_MS(200), PV_S(1)) != PV_NEVER,
             "not reached through the wall");
    sim_must(sim_world_path_is(sim.nodes[0], "relay"), "the path is not relayed");
    const char *pong = sim_world_ask(
        sim.nodes[0], PV_S(5), "'cmd':'ping','peer':'b','count':2,'interval_ms':100,'size':0");
    sim_must(sim_answer_has(pong, "'received':2"), "p2pvpnctl ping");
    unsigned id = sim_node_ask(sim.nodes[0], "'cmd':'wait','peer':'b','direct':true");
    sim_world_run(PV_S(3));
    sim_must(sim_node_answer(sim.nodes[0], id) == NULL, "wait --direct ended on the relay");
    sim_net_set_wall(sim.net, SIM_NO_WALL);
    sim_must(until_path("direct", PV_S(20)), "the relay is used though the wall is down");
    sim_world_run(PV_MS(100));
    sim_must(sim_node_answer(sim.nodes[0], id) != NULL, "wait --direct did not end");
}

/* --- leaving and coming back ----------------------------------------------------------------- */

struct load {
    pv_ns every;
    unsigned rounds;
};

static void switching(uint64_t seed, void *ctx)
{
    const struct load *load = ctx;
    sim_must(begin(seed, "port-restricted", "port-restricted"), "joining:");
    sim_must(sim_world_reach(sim.nodes[0], sim.nodes[1], PV_MS(500), PV_S(5)) != PV_NEVER,
             "no path");
    /* From the first packets, over the relay, to the direct path. */
    sim_must(sim_world_unanswered(load->every, PV_S(1)) == 0, "leaving the relay lost packets");
    sim_must(sim_world_path_is(sim.nodes[0], "direct") && sim_world_path_is(sim.nodes[1], "direct"),
             "not direct within a second");
    for (unsigned i = 0; i < load->rounds; i++) {
        sim_net_set_wall(sim.net, sim_coord_host(sim.coord));
        unsigned before = sim_node_pings(sim.nodes[0]).sent - sim_node_pings(sim.nodes[0]).answered;
        unsigned after = sim_world_unanswered(load->every, PV_S(2));
        sim_must_take((after - before) * load->every, PV_S(1), "until the relay carried on:");
        sim_must(sim_world_path_is(sim.nodes[0], "relay") &&
                     sim_world_path_is(sim.nodes[1], "relay"),
                 "not relayed behind the wall");
        sim_net_set_wall(sim.net, SIM_NO_WALL);
        sim_must(sim_world_unanswered(load->every, PV_S(3)) == after,
                 "packets were lost when the relay was left");
        /* A path that failed is held down, ever longer. */
        sim_must(until_path("direct", PV_S(100)), "the relay was not left again");
        sim_must(sim_world_unanswered(load->every, PV_MS(500)) == after,
                 "packets were lost after the relay was left");
    }
    sim_must(sim_node_pings(sim.nodes[0]).twice + sim_node_pings(sim.nodes[1]).twice == 0,
             "an inner packet was delivered twice");
}

PV_TEST(the_relay_is_left_and_taken_again_without_loss)
{
    struct load often = {.every = PV_MS(2), .rounds = 3};
    sim_seeds(SEEDS, switching, &often);
}

PV_TEST_WHOLE(ten_thousand_packets_a_second_are_no_other_case)
{
    struct load heavy = {.every = PV_US(100), .rounds = 1};
    sim_seeds(1, switching, &heavy);
}

/* --- the coordinator -------------------------------------------------------------------------- */

PV_SIM(a_restarted_coordinator_relays_again_within_three_seconds, SEEDS)
{
    sim_must(begin(seed, "symmetric", "symmetric"), "joining:");
    sim_must(sim_world_reach(sim.nodes[0], sim.nodes[1], PV_MS(500), PV_S(5)) != PV_NEVER,
             "no path");
    sim_coord_stop(sim.coord);
    sim_world_run(PV_MS(50));
    sim_coord_start(sim.coord);
    pv_ns took = sim_world_reach(sim.nodes[0], sim.nodes[1], PV_MS(50), PV_S(20));
    sim_must_take(took, PV_S(3), "no traffic 3 s after its return");
}

/* Away for so long that nodes ask for it only now and then; but here packets wait all the time. */
PV_SIM(where_packets_wait_it_is_soon_noticed_that_the_coordinator_is_back, SEEDS_SOME)
{
    sim_must(begin(seed, "symmetric", "symmetric"), "joining:");
    sim_must(sim_world_reach(sim.nodes[0], sim.nodes[1], PV_MS(500), PV_S(5)) != PV_NEVER,
             "no path");
    sim_coord_stop(sim.coord);
    (void)sim_world_unanswered(PV_MS(500), PV_S(240));
    sim_coord_start(sim.coord);
    pv_ns took = sim_world_reach(sim.nodes[0], sim.nodes[1], PV_MS(50), PV_S(60));
    sim_must_take(took, PV_S(6), "no traffic 6 s after its return");
}

PV_SIM(a_removed_member_is_not_relayed, SEEDS_SOME)
{
    sim_must(begin(seed, "symmetric", "symmetric"), "joining:");
    sim_must(sim_world_reach(sim.nodes[0], sim.nodes[1], PV_MS(500), PV_S(5)) != PV_NEVER,
             "no path");
    sim_must(sim_world_tell(sim.nodes[0], PV_S(5), "'cmd':'remove','peer':'b'"), "remove:");
    sim_world_run(PV_MS(200));
    unsigned before = sim_node_pings(sim.nodes[0]).received;
    struct pv_addr to = sim_node_overlay(sim.nodes[0], PV_AF_INET);
    for (unsigned i = 0; i < 20; i++) {
        if (sim_node_runs(sim.nodes[1]))
            sim_node_ping(sim.nodes[1], &to, 32);
        sim_world_run(PV_MS(50));
    }
    sim_must(sim_node_pings(sim.nodes[0]).received == before, "a removed member still got through");
}

/* The own NAT forgets: the relay's mapping too. The allocation moves with the new one. */
PV_SIM(a_nat_that_forgets_is_survived, SEEDS)
{
    sim_must(begin(seed, "symmetric", "symmetric"), "joining:");
    sim_must(sim_world_reach(sim.nodes[0], sim.nodes[1], PV_MS(500), PV_S(5)) != PV_NEVER,
             "no path");
    sim_net_reboot_nat(sim.net, 2);
    pv_ns took = sim_world_reach(sim.nodes[0], sim.nodes[1], PV_MS(100), PV_S(40));
    sim_must_take(took, PV_S(1), "no traffic 1 s after the NAT's restart");
}
