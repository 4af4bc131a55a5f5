/* SPDX-License-Identifier: MIT */
/* The members' relay in virtual time: who meets nowhere else, and how the relay is left. */
#include <stdio.h>

#include <jansson.h>

#include "tests/sim/world/sim_world.h"
#include "tests/unit/test_util.h"

enum {
    SEEDS = 2, /* PV_SIM_SEEDS sets another number */
    SEEDS_SOME = 2,
};

static const struct pv_link_config good = {.delay = PV_MS(10)};

static bool begin(struct sim_world *w, uint64_t seed, const char *profile_a, const char *profile_b)
{
    sim_world_init(w, seed, &good);
    unsigned za = profile_a == NULL ? SIM_PUBLIC : sim_world_nat(w, SIM_PUBLIC, profile_a, &good);
    unsigned zb = profile_b == NULL ? SIM_PUBLIC : sim_world_nat(w, SIM_PUBLIC, profile_b, &good);
    sim_world_node(w, za, "a", false);
    sim_world_node(w, zb, "b", false);
    if (!sim_world_join_all(w))
        return false;
    sim_world_run(w, PV_S(2));
    return true;
}

static bool path_is(struct sim_world *w, struct sim_node *n, const char *type)
{
    char want[64];
    const char *peers = sim_world_ask(w, n, PV_S(1), "\"cmd\":\"peers\"");
    snprintf(want, sizeof(want), "\"type\":\"%s\"", type);
    return peers != NULL && strstr(peers, want) != NULL;
}

/* Both wait for the type of path, a pinging b meanwhile. */
static bool until_path(struct sim_world *w, const char *type, pv_ns timeout)
{
    struct pv_addr to = sim_node_overlay(w->nodes[1], PV_AF_INET);
    pv_ns end = sim_net_now(w->net) + timeout;
    while (sim_net_now(w->net) < end) {
        sim_node_ping(w->nodes[0], &to, 32);
        sim_world_run(w, PV_MS(20));
        if (path_is(w, w->nodes[0], type) && path_is(w, w->nodes[1], type))
            return true;
    }
    return false;
}

/* a pings b this often for so long; what is under way then has time to come. Returns how many were
 * not answered. */
static unsigned stream(struct sim_world *w, pv_ns every, pv_ns duration)
{
    struct pv_addr to = sim_node_overlay(w->nodes[1], PV_AF_INET);
    pv_ns end = sim_net_now(w->net) + duration;
    while (sim_net_now(w->net) < end) {
        sim_node_ping(w->nodes[0], &to, 32);
        sim_world_run(w, every);
    }
    sim_world_run(w, PV_S(1));
    struct sim_pings p = sim_node_pings(w->nodes[0]);
    return p.sent - p.answered;
}

/* --- who meets nowhere else ------------------------------------------------------------------ */

static int behind_symmetric(uint64_t seed, void *ctx)
{
    struct sim_world w;
    if (!begin(&w, seed, "symmetric", "symmetric"))
        return sim_world_failed(&w, seed, "joining:");
    /* Message 1 and 2 by signal are two round trips to the coordinator, 40 ms each; then the ping
     * and its answer through the relay. */
    pv_ns took = sim_world_reach(&w, w.nodes[0], w.nodes[1], PV_MS(500), PV_S(5));
    if (took > PV_MS(2 * 40 + 2 * 40 + 5)) {
        printf("%.3f s\n", took == PV_NEVER ? -1.0 : (double)took / 1e9);
        return sim_world_failed(&w, seed, "the first ping was not answered over the relay at once");
    }
    if (stream(&w, PV_MS(10), PV_S(5)) > 0)
        return sim_world_failed(&w, seed, "pings over the relay were lost");
    if (!path_is(&w, w.nodes[0], "relay") || !path_is(&w, w.nodes[1], "relay"))
        return sim_world_failed(&w, seed, "the path is not relayed");
    const char *peers = sim_world_ask(&w, w.nodes[0], PV_S(1), "\"cmd\":\"peers\"");
    if (peers == NULL || strstr(peers, "\"via\":\"198.51.100.10:3478\"") == NULL)
        return sim_world_failed(&w, seed, peers);
    sim_world_done(&w);
    return 0;
}

PV_TEST(symmetric_nats_meet_over_the_relay_in_two_round_trips)
{
    assert_int_equal(sim_seeds("relay", SEEDS, behind_symmetric, NULL), 0);
}

static int behind_a_wall(uint64_t seed, void *ctx)
{
    struct sim_world w;
    if (!begin(&w, seed, NULL, "port-restricted"))
        return sim_world_failed(&w, seed, "joining:");
    sim_net_set_wall(w.net, sim_coord_host(w.coord));
    if (sim_world_reach(&w, w.nodes[0], w.nodes[1], PV_MS(200), PV_S(1)) == PV_NEVER)
        return sim_world_failed(&w, seed, "not reached through the wall");
    if (!path_is(&w, w.nodes[0], "relay"))
        return sim_world_failed(&w, seed, "the path is not relayed");
    const char *pong =
        sim_world_ask(&w, w.nodes[0], PV_S(5),
                      "\"cmd\":\"ping\",\"peer\":\"b\",\"count\":2,\"interval_ms\":100,\"size\":0");
    if (pong == NULL || strstr(pong, "\"received\":2") == NULL)
        return sim_world_failed(&w, seed, "p2pvpnctl ping");
    unsigned id = sim_node_ask(w.nodes[0], "\"cmd\":\"wait\",\"peer\":\"b\",\"direct\":true");
    sim_world_run(&w, PV_S(3));
    if (sim_node_answer(w.nodes[0], id) != NULL)
        return sim_world_failed(&w, seed, "wait --direct ended on the relay");
    sim_net_set_wall(w.net, SIM_NO_WALL);
    if (!until_path(&w, "direct", PV_S(20)))
        return sim_world_failed(&w, seed, "the relay was not left when the wall was down");
    sim_world_run(&w, PV_MS(100));
    if (sim_node_answer(w.nodes[0], id) == NULL)
        return sim_world_failed(&w, seed, "wait --direct did not end");
    sim_world_done(&w);
    return 0;
}

PV_TEST(a_wall_with_one_door_is_passed_and_its_fall_noticed)
{
    assert_int_equal(sim_seeds("relay", SEEDS, behind_a_wall, NULL), 0);
}

/* --- leaving and coming back ----------------------------------------------------------------- */

struct load {
    pv_ns every;
    unsigned rounds;
};

static int switching(uint64_t seed, void *ctx)
{
    const struct load *load = ctx;
    struct sim_world w;
    if (!begin(&w, seed, "port-restricted", "port-restricted"))
        return sim_world_failed(&w, seed, "joining:");
    if (sim_world_reach(&w, w.nodes[0], w.nodes[1], PV_MS(500), PV_S(5)) == PV_NEVER)
        return sim_world_failed(&w, seed, "no path");
    /* From the first packets, over the relay, to the direct path. */
    if (stream(&w, load->every, PV_S(1)) > 0)
        return sim_world_failed(&w, seed,
                                "packets were lost when the relay was left the first time");
    if (!path_is(&w, w.nodes[0], "direct") || !path_is(&w, w.nodes[1], "direct"))
        return sim_world_failed(&w, seed, "not direct within a second");
    for (unsigned i = 0; i < load->rounds; i++) {
        sim_net_set_wall(w.net, sim_coord_host(w.coord));
        unsigned before = sim_node_pings(w.nodes[0]).sent - sim_node_pings(w.nodes[0]).answered;
        unsigned after = stream(&w, load->every, PV_S(2));
        pv_ns gap = (after - before) * load->every;
        if (gap > PV_S(1)) {
            printf("%.3f s\n", (double)gap / 1e9);
            return sim_world_failed(&w, seed, "the relay did not carry on within a second");
        }
        if (!path_is(&w, w.nodes[0], "relay") || !path_is(&w, w.nodes[1], "relay"))
            return sim_world_failed(&w, seed, "not relayed behind the wall");
        sim_net_set_wall(w.net, SIM_NO_WALL);
        if (stream(&w, load->every, PV_S(3)) != after)
            return sim_world_failed(&w, seed, "packets were lost when the relay was left");
        /* A path that failed is held down, ever longer. */
        if (!until_path(&w, "direct", PV_S(100)))
            return sim_world_failed(&w, seed, "the relay was not left again");
        if (stream(&w, load->every, PV_MS(500)) != after)
            return sim_world_failed(&w, seed, "packets were lost after the relay was left");
    }
    if (sim_node_pings(w.nodes[0]).twice + sim_node_pings(w.nodes[1]).twice > 0)
        return sim_world_failed(&w, seed, "an inner packet was delivered twice");
    sim_world_done(&w);
    return 0;
}

PV_TEST(the_relay_is_left_and_taken_again_without_loss)
{
    struct load often = {.every = PV_MS(2), .rounds = 3};
    assert_int_equal(sim_seeds("relay", SEEDS, switching, &often), 0);
}

PV_TEST(ten_thousand_packets_a_second_are_no_other_case)
{
    struct load heavy = {.every = PV_US(100), .rounds = 1};
    assert_int_equal(sim_seeds("relay", 1, switching, &heavy), 0);
}

/* --- the coordinator -------------------------------------------------------------------------- */

static int restarted(uint64_t seed, void *ctx)
{
    struct sim_world w;
    if (!begin(&w, seed, "symmetric", "symmetric"))
        return sim_world_failed(&w, seed, "joining:");
    if (sim_world_reach(&w, w.nodes[0], w.nodes[1], PV_MS(500), PV_S(5)) == PV_NEVER)
        return sim_world_failed(&w, seed, "no path");
    sim_coord_stop(w.coord);
    sim_world_run(&w, PV_MS(50));
    sim_coord_start(w.coord);
    pv_ns took = sim_world_reach(&w, w.nodes[0], w.nodes[1], PV_MS(50), PV_S(20));
    if (took > PV_S(3)) {
        printf("%.3f s\n", took == PV_NEVER ? -1.0 : (double)took / 1e9);
        return sim_world_failed(&w, seed, "no traffic 3 s after the coordinator came back");
    }
    sim_world_done(&w);
    return 0;
}

/* Away for so long that nodes ask for it only now and then; but here packets wait all the time. */
static int back_after_minutes(uint64_t seed, void *ctx)
{
    struct sim_world w;
    if (!begin(&w, seed, "symmetric", "symmetric"))
        return sim_world_failed(&w, seed, "joining:");
    if (sim_world_reach(&w, w.nodes[0], w.nodes[1], PV_MS(500), PV_S(5)) == PV_NEVER)
        return sim_world_failed(&w, seed, "no path");
    sim_coord_stop(w.coord);
    (void)stream(&w, PV_MS(500), PV_S(240));
    sim_coord_start(w.coord);
    pv_ns took = sim_world_reach(&w, w.nodes[0], w.nodes[1], PV_MS(50), PV_S(60));
    if (took > PV_S(6)) {
        printf("%.3f s\n", took == PV_NEVER ? -1.0 : (double)took / 1e9);
        return sim_world_failed(&w, seed, "no traffic 6 s after the coordinator came back");
    }
    sim_world_done(&w);
    return 0;
}

PV_TEST(where_packets_wait_it_is_soon_noticed_that_the_coordinator_is_back)
{
    assert_int_equal(sim_seeds("relay", SEEDS_SOME, back_after_minutes, NULL), 0);
}

PV_TEST(a_restarted_coordinator_relays_again_within_three_seconds)
{
    assert_int_equal(sim_seeds("relay", SEEDS, restarted, NULL), 0);
}

static int revoked(uint64_t seed, void *ctx)
{
    struct sim_world w;
    if (!begin(&w, seed, "symmetric", "symmetric"))
        return sim_world_failed(&w, seed, "joining:");
    if (sim_world_reach(&w, w.nodes[0], w.nodes[1], PV_MS(500), PV_S(5)) == PV_NEVER)
        return sim_world_failed(&w, seed, "no path");
    if (sim_world_ask(&w, w.nodes[0], PV_S(5), "\"cmd\":\"remove\",\"peer\":\"b\"") == NULL)
        return sim_world_failed(&w, seed, "remove:");
    sim_world_run(&w, PV_MS(200));
    unsigned before = sim_node_pings(w.nodes[0]).received;
    struct pv_addr to = sim_node_overlay(w.nodes[0], PV_AF_INET);
    for (unsigned i = 0; i < 20; i++) {
        if (sim_node_runs(w.nodes[1]))
            sim_node_ping(w.nodes[1], &to, 32);
        sim_world_run(&w, PV_MS(50));
    }
    if (sim_node_pings(w.nodes[0]).received != before)
        return sim_world_failed(&w, seed, "a removed member still got through");
    sim_world_done(&w);
    return 0;
}

PV_TEST(a_removed_member_is_not_relayed)
{
    assert_int_equal(sim_seeds("relay", SEEDS_SOME, revoked, NULL), 0);
}

/* The own NAT forgets: the relay's mapping too. The allocation moves with the new one. */
static int remapped(uint64_t seed, void *ctx)
{
    struct sim_world w;
    if (!begin(&w, seed, "symmetric", "symmetric"))
        return sim_world_failed(&w, seed, "joining:");
    if (sim_world_reach(&w, w.nodes[0], w.nodes[1], PV_MS(500), PV_S(5)) == PV_NEVER)
        return sim_world_failed(&w, seed, "no path");
    sim_net_reboot_nat(w.net, 2);
    pv_ns took = sim_world_reach(&w, w.nodes[0], w.nodes[1], PV_MS(100), PV_S(40));
    if (took > PV_S(1)) {
        printf("%.3f s\n", took == PV_NEVER ? -1.0 : (double)took / 1e9);
        return sim_world_failed(&w, seed, "no traffic 1 s after the peer's NAT forgot everything");
    }
    sim_world_done(&w);
    return 0;
}

PV_TEST(a_nat_that_forgets_is_survived)
{
    assert_int_equal(sim_seeds("relay", SEEDS, remapped, NULL), 0);
}

void test_begin(void)
{
    json_object_seed(1);
}
