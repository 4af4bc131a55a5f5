/* SPDX-License-Identifier: MIT */
/* Networks that let no UDP out: the relay goes through a stream, and comes back to UDP, in virtual
 * time and with bounds. */
#include <stdio.h>

#include <jansson.h>

#include "tests/sim/world/sim_world.h"
#include "tests/unit/test_util.h"

enum {
    SEEDS = 2, /* PV_SIM_SEEDS sets another number */
};

static const struct pv_link_config good = {.delay = PV_MS(10)};

static void block(struct sim_world *w, unsigned i, bool blocked)
{
    sim_net_block_datagrams(w->net, sim_node_host(w->nodes[i]), blocked);
}

/* Two nodes behind cone NATs, in one network, at rest. */
static bool begin(struct sim_world *w, uint64_t seed, bool block_a, bool block_b)
{
    sim_world_init(w, seed, &good);
    sim_world_node(w, sim_world_nat(w, SIM_PUBLIC, "port-restricted", &good), "a", false);
    sim_world_node(w, sim_world_nat(w, SIM_PUBLIC, "port-restricted", &good), "b", false);
    block(w, 0, block_a);
    block(w, 1, block_b);
    if (!sim_world_join_all(w))
        return false;
    sim_world_run(w, PV_S(5));
    return true;
}

static bool path_is(struct sim_world *w, struct sim_node *n, const char *type)
{
    char want[64];
    const char *peers = sim_world_ask(w, n, PV_S(1), "\"cmd\":\"peers\"");
    snprintf(want, sizeof(want), "\"type\":\"%s\"", type);
    return peers != NULL && strstr(peers, want) != NULL;
}

/* a pings b this often for so long, then waits a moment. Returns how many were not answered, ever.
 */
static unsigned ping_for(struct sim_world *w, pv_ns every, pv_ns duration)
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

static unsigned open_streams(const struct sim_node *n)
{
    unsigned now = 0;
    (void)sim_node_relay_streams(n, &now);
    return now;
}

static bool says(struct sim_world *w, struct sim_node *n, const char *ask, const char *words)
{
    const char *answer = sim_world_ask(w, n, PV_S(1), ask);
    return answer != NULL && strstr(answer, words) != NULL;
}

struct sides {
    bool a, b;
};

/* --- from the start --------------------------------------------------------------------------- */

static int from_the_start(uint64_t seed, void *ctx)
{
    const struct sides *sides = ctx;
    struct sim_world w;
    if (!begin(&w, seed, sides->a, sides->b))
        return sim_world_failed(&w, seed, "joining:");
    /* The whole of it from a cold start: the daemon boots, finds out, and its pings get through. */
    sim_node_kill(w.nodes[0]);
    sim_world_run(&w, PV_S(1));
    sim_node_start(w.nodes[0]);
    pv_ns took = sim_world_reach(&w, w.nodes[0], w.nodes[1], PV_MS(50), PV_S(10));
    if (took > PV_S(3)) {
        printf("%.3f s\n", took == PV_NEVER ? -1.0 : (double)took / 1e9);
        return sim_world_failed(&w, seed, "not reached 3 s after the start");
    }
    unsigned before = ping_for(&w, PV_MS(20), PV_MS(500));
    if (ping_for(&w, PV_MS(20), PV_S(5)) != before)
        return sim_world_failed(&w, seed, "pings through the stream were lost");
    for (unsigned i = 0; i < 2; i++) {
        bool blocked = i == 0 ? sides->a : sides->b;
        if (!path_is(&w, w.nodes[i], "relay"))
            return sim_world_failed(&w, seed, "the path is not relayed");
        if ((open_streams(w.nodes[i]) > 0) != blocked)
            return sim_world_failed(&w, seed, "the way to the relay is not what it should be");
        if (says(&w, w.nodes[i], "\"cmd\":\"status\"", "\"udp\":\"blocked\"") != blocked)
            return sim_world_failed(&w, seed, "status does not say so");
    }
    if (says(&w, w.nodes[0], "\"cmd\":\"why\",\"peer\":\"b\"", "UDP is blocked here") != sides->a)
        return sim_world_failed(&w, seed, "why does not say so");
    sim_world_done(&w);
    return 0;
}

PV_TEST(one_side_without_udp_is_reached_within_three_seconds)
{
    struct sides a = {.a = true}, b = {.b = true};
    assert_int_equal(sim_seeds("blocked", SEEDS, from_the_start, &a), 0);
    assert_int_equal(sim_seeds("blocked", SEEDS, from_the_start, &b), 0);
}

PV_TEST(two_sides_without_udp_meet_within_three_seconds)
{
    struct sides both = {.a = true, .b = true};
    assert_int_equal(sim_seeds("blocked", SEEDS, from_the_start, &both), 0);
}

/* --- only one port ---------------------------------------------------------------------------- */

static int only_443(uint64_t seed, void *ctx)
{
    struct sim_world w;
    const bool *before = ctx; /* the coordinator offered TLS before the network was made */
    sim_world_init(&w, seed, &good);
    sim_coord_offer_tls(w.coord, 443);
    if (*before) {
        sim_coord_stop(w.coord);
        sim_coord_start(w.coord);
    }
    sim_world_node(&w, sim_world_nat(&w, SIM_PUBLIC, "port-restricted", &good), "a", false);
    sim_world_node(&w, sim_world_nat(&w, SIM_PUBLIC, "port-restricted", &good), "b", false);
    if (!sim_world_join_all(&w))
        return sim_world_failed(&w, seed, "joining:");
    if (!*before) { /* they hear of it when they come back, and remember it */
        sim_coord_stop(w.coord);
        sim_coord_start(w.coord);
    }
    sim_world_run(&w, PV_S(40));
    for (unsigned i = 0; i < 2; i++) {
        block(&w, i, true);
        sim_net_only_port(w.net, sim_node_host(w.nodes[i]), 443);
        sim_node_kill(w.nodes[i]);
    }
    sim_world_run(&w, PV_S(1));
    sim_node_start(w.nodes[1]);
    sim_world_run(&w, PV_S(10));
    sim_node_start(w.nodes[0]);
    pv_ns took = sim_world_reach(&w, w.nodes[0], w.nodes[1], PV_MS(50), PV_S(10));
    if (took > PV_S(3)) {
        printf("%.3f s\n", took == PV_NEVER ? -1.0 : (double)took / 1e9);
        return sim_world_failed(&w, seed, "not reached 3 s after the start through port 443");
    }
    unsigned lost = ping_for(&w, PV_MS(20), PV_MS(500));
    if (ping_for(&w, PV_MS(20), PV_S(5)) != lost)
        return sim_world_failed(&w, seed, "pings through port 443 were lost");
    if (!says(&w, w.nodes[0], "\"cmd\":\"status\"", "\"transport\":\"tls\""))
        return sim_world_failed(&w, seed, "status does not say TLS");
    if (!says(&w, w.nodes[0], "\"cmd\":\"why\",\"peer\":\"b\"",
              "UDP is blocked here: everything goes through TLS on 443"))
        return sim_world_failed(&w, seed, "why does not say so");
    sim_world_done(&w);
    return 0;
}

PV_TEST(only_port_443_is_enough)
{
    bool before = true, after = false;
    assert_int_equal(sim_seeds("blocked", SEEDS, only_443, &before), 0);
    assert_int_equal(sim_seeds("blocked", SEEDS, only_443, &after), 0);
}

/* --- in the middle of life, and the end of it ------------------------------------------------- */

static int mid_life(uint64_t seed, void *ctx)
{
    struct sim_world w;
    if (!begin(&w, seed, false, false))
        return sim_world_failed(&w, seed, "joining:");
    if (sim_world_reach(&w, w.nodes[0], w.nodes[1], PV_MS(100), PV_S(5)) == PV_NEVER)
        return sim_world_failed(&w, seed, "no path");
    unsigned before = ping_for(&w, PV_MS(20), PV_S(3));
    if (!path_is(&w, w.nodes[0], "direct"))
        return sim_world_failed(&w, seed, "not direct");
    block(&w, 0, true);
    unsigned after = ping_for(&w, PV_MS(20), PV_S(8));
    if ((after - before) * PV_MS(20) > PV_S(3)) {
        printf("%.3f s\n", (double)(after - before) * 0.02);
        return sim_world_failed(&w, seed, "the stream did not carry on within 3 s");
    }
    if (open_streams(w.nodes[0]) != 1 || open_streams(w.nodes[1]) != 0)
        return sim_world_failed(&w, seed, "the blocked side, and only that, should use a stream");
    if (ping_for(&w, PV_MS(20), PV_S(10)) != after)
        return sim_world_failed(&w, seed, "pings through the stream were lost");

    /* UDP gets through again: found within a minute or so, nothing is lost on the way back. */
    block(&w, 0, false);
    pv_ns end = sim_net_now(w.net) + PV_S(75);
    while (!path_is(&w, w.nodes[0], "direct") && sim_net_now(w.net) < end) {
        if (ping_for(&w, PV_MS(20), PV_MS(500)) != after)
            return sim_world_failed(&w, seed, "pings were lost on the way back to UDP");
    }
    if (!path_is(&w, w.nodes[0], "direct"))
        return sim_world_failed(&w, seed, "UDP was not found again");
    if (ping_for(&w, PV_MS(20), PV_S(5)) != after)
        return sim_world_failed(&w, seed, "pings were lost after UDP was back");
    if (open_streams(w.nodes[0]) != 0)
        return sim_world_failed(&w, seed, "the stream stayed open");
    if (says(&w, w.nodes[0], "\"cmd\":\"status\"", "\"udp\":\"blocked\""))
        return sim_world_failed(&w, seed, "status says that UDP is blocked");
    if (sim_node_pings(w.nodes[0]).twice + sim_node_pings(w.nodes[1]).twice > 0)
        return sim_world_failed(&w, seed, "an inner packet was delivered twice");
    sim_world_done(&w);
    return 0;
}

PV_TEST(udp_that_is_blocked_under_traffic_and_opened_again_is_survived)
{
    assert_int_equal(sim_seeds("blocked", SEEDS, mid_life, NULL), 0);
}

/* A change of network is a reason to try UDP at once. */
static int moved(uint64_t seed, void *ctx)
{
    struct sim_world w;
    if (!begin(&w, seed, true, false))
        return sim_world_failed(&w, seed, "joining:");
    if (sim_world_reach(&w, w.nodes[0], w.nodes[1], PV_MS(100), PV_S(5)) == PV_NEVER)
        return sim_world_failed(&w, seed, "no path");
    (void)ping_for(&w, PV_MS(100), PV_S(20));
    block(&w, 0, false);
    sim_node_links_changed(w.nodes[0]);
    pv_ns end = sim_net_now(w.net) + PV_S(8);
    while (!path_is(&w, w.nodes[0], "direct") && sim_net_now(w.net) < end)
        (void)ping_for(&w, PV_MS(20), PV_MS(200));
    if (!path_is(&w, w.nodes[0], "direct"))
        return sim_world_failed(&w, seed, "UDP was not tried when the network changed");
    sim_world_done(&w);
    return 0;
}

PV_TEST(a_change_of_network_is_a_reason_to_try_udp_at_once)
{
    assert_int_equal(sim_seeds("blocked", SEEDS, moved, NULL), 0);
}

/* --- the coordinator -------------------------------------------------------------------------- */

static int restarted(uint64_t seed, void *ctx)
{
    struct sim_world w;
    if (!begin(&w, seed, true, true))
        return sim_world_failed(&w, seed, "joining:");
    if (sim_world_reach(&w, w.nodes[0], w.nodes[1], PV_MS(100), PV_S(5)) == PV_NEVER)
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

PV_TEST(a_restarted_coordinator_relays_over_streams_within_three_seconds)
{
    assert_int_equal(sim_seeds("blocked", SEEDS, restarted, NULL), 0);
}

static int revoked(uint64_t seed, void *ctx)
{
    struct sim_world w;
    if (!begin(&w, seed, false, true))
        return sim_world_failed(&w, seed, "joining:");
    if (sim_world_reach(&w, w.nodes[0], w.nodes[1], PV_MS(100), PV_S(5)) == PV_NEVER)
        return sim_world_failed(&w, seed, "no path");
    if (sim_world_ask(&w, w.nodes[0], PV_S(5), "\"cmd\":\"remove\",\"peer\":\"b\"") == NULL)
        return sim_world_failed(&w, seed, "remove:");
    sim_world_run(&w, PV_MS(200));
    unsigned before = sim_node_pings(w.nodes[0]).received;
    struct pv_addr to = sim_node_overlay(w.nodes[0], PV_AF_INET);
    for (unsigned i = 0; i < 40; i++) {
        if (sim_node_runs(w.nodes[1]))
            sim_node_ping(w.nodes[1], &to, 32);
        sim_world_run(&w, PV_MS(50));
    }
    if (sim_node_pings(w.nodes[0]).received != before)
        return sim_world_failed(&w, seed, "a removed member still got through");
    sim_world_run(&w, PV_S(60));
    if (sim_node_relay_streams(w.nodes[1], &before) > 40)
        return sim_world_failed(&w, seed, "a removed member hammers the relay");
    sim_world_done(&w);
    return 0;
}

PV_TEST(a_removed_member_is_not_relayed_over_its_stream)
{
    assert_int_equal(sim_seeds("blocked", SEEDS, revoked, NULL), 0);
}

/* The stream's way goes silent (a NAT forgot it): noticed, and another one is opened. */
static int silent(uint64_t seed, void *ctx)
{
    struct sim_world w;
    if (!begin(&w, seed, true, false))
        return sim_world_failed(&w, seed, "joining:");
    if (sim_world_reach(&w, w.nodes[0], w.nodes[1], PV_MS(100), PV_S(5)) == PV_NEVER)
        return sim_world_failed(&w, seed, "no path");
    sim_net_reboot_nat(w.net, 1);
    pv_ns took = sim_world_reach(&w, w.nodes[0], w.nodes[1], PV_MS(100), PV_S(60));
    if (took > PV_S(15)) {
        printf("%.3f s\n", took == PV_NEVER ? -1.0 : (double)took / 1e9);
        return sim_world_failed(&w, seed, "no traffic 15 s after the stream went silent");
    }
    sim_world_done(&w);
    return 0;
}

PV_TEST(a_stream_that_goes_silent_is_replaced)
{
    assert_int_equal(sim_seeds("blocked", SEEDS, silent, NULL), 0);
}

void test_begin(void)
{
    json_object_seed(1);
}
