/* SPDX-License-Identifier: MIT */
/*
 * test_beacon.c - a LAN without the coordinator: members that all have new addresses find each
 * other by beacons, in both families, whatever a neighbour sends; and none is sent while all is
 * well.
 */
#include "daemon/core/engine.h"
#include "daemon/core/peer/peers.h"
#include "proto/control/beacon.h"
#include "tests/sim/world/sim_node_i.h"
#include "tests/sim/world/sim_world.h"
#include "tests/unit/test_util.h"

enum {
    SEEDS = 4, /* per scenario; PV_SIM_SEEDS sets another number */
    MOST = 5,
    REPLAYS = 64,
};

static const struct pv_link_config line = {.delay = PV_MS(2), .jitter = PV_MS(3)};

static unsigned zone;
static struct sim_node *n[MOST];
static unsigned count;

/* All pairs talk, and are direct afterwards. */
static void meet(void)
{
    for (unsigned i = 0; i < count; i++) {
        for (unsigned k = 0; k < i; k++)
            sim_must_take(sim_world_reach(n[i], n[k], PV_MS(100), PV_S(20)), PV_S(20), "not met:");
    }
    sim_world_run(PV_S(3));
}

/* count members in one LAN, which have met. */
static void begin(uint64_t seed, unsigned members, bool ipv6)
{
    static const char *const names[MOST] = {"a", "b", "c", "d", "e"};
    sim_world_init(seed, &line);
    zone = sim_world_nat(SIM_PUBLIC, "port-restricted", &line);
    count = members;
    for (unsigned i = 0; i < count; i++)
        n[i] = sim_world_node(zone, names[i], ipv6);
    sim_must(sim_world_join_all(), "not joined:");
    sim_world_run(PV_S(2));
    meet();
}

/* The host has this address of its LAN alone from now on; its node hears of it when it is told. */
static void renumber(unsigned i, uint8_t last, bool ipv6)
{
    const unsigned host = sim_node_host(n[i]);
    struct pv_addr old[SIM_HOST_ADDRS];
    const size_t n_old = sim_net_addrs(sim.net, host, old);
    for (size_t k = 0; k < n_old; k++)
        sim_net_del_addr(sim.net, host, &old[k]);
    struct pv_addr ip = pv_addr4(192, 168, (uint8_t)zone, last, 0);
    if (ipv6) {
        ip = (struct pv_addr){.family = PV_AF_INET6,
                              .ip = {0x20, 0x01, 0x0d, 0xb8, 0, (uint8_t)zone, [15] = last}};
    }
    sim_net_add_addr(sim.net, host, &ip);
}

static void must_reach_all(pv_ns within)
{
    const pv_ns from = sim_net_now(sim.net);
    for (unsigned i = 0; i < count; i++) {
        for (unsigned k = 0; k < count; k++) {
            if (i != k)
                sim_must_take(sim_world_reach(n[i], n[k], PV_MS(50), within + PV_S(20)), within,
                              "not found:");
        }
        sim_must(sim_world_path_is(n[i], "direct"), "not direct:");
    }
    sim_must(sim_net_now(sim.net) <= from + within, "all pairs together took too long");
}

/* Has the node answered a beacon of anybody? */
static bool was_called(unsigned i)
{
    const struct pv_peers *peers = pv_engine_node(n[i]->engine)->peers;
    for (struct pv_peer *p = NULL; (p = pv_peers_next_member(peers, p)) != NULL;) {
        const struct pv_trace *t = pv_peer_trace(p);
        for (size_t k = 0; k < pv_trace_len(t); k++) {
            if (strstr(pv_trace_at(t, k)->text, "its beacon in the LAN") != NULL)
                return true;
        }
    }
    return false;
}

/* --- found ----------------------------------------------------------------------------------- */

PV_SIM(members_with_new_addresses_are_direct_within_five_seconds, SEEDS)
{
    const bool ipv6 = seed % 2 == 0;
    begin(seed, 2, ipv6);
    sim_coord_kill(sim.coord);
    sim_world_run(PV_MS(100) + PV_MS(sim_draw(30000)));
    renumber(0, 71, ipv6);
    renumber(1, 72, ipv6);
    sim_node_links_changed(n[0]);
    sim_world_run(PV_MS(sim_draw(500)));
    sim_node_links_changed(n[1]);
    must_reach_all(PV_S(5));
    sim_must(was_called(0) || was_called(1), "found by something else:");
}

/* A power cut: all come up with other addresses, and the way out is dead. */
PV_SIM(members_that_start_with_new_addresses_are_direct_within_five_seconds, SEEDS)
{
    const bool ipv6 = seed % 2 == 0;
    begin(seed, MOST, ipv6);
    sim_coord_kill(sim.coord);
    for (unsigned i = 0; i < count; i++) {
        sim_node_kill(n[i]);
        renumber(i, (uint8_t)(80 + i), ipv6);
    }
    sim_world_run(PV_S(10));
    for (unsigned i = 0; i < count; i++)
        sim_node_start(n[i]);
    must_reach_all(PV_S(5));
}

/* The coordinator still hears b, and not a, which has lost the internet and its address. */
PV_SIM(one_that_alone_lost_the_coordinator_is_found, SEEDS)
{
    begin(seed, 2, false);
    sim_net_block_streams(sim.net, sim_node_host(n[0]), true);
    sim_world_run(PV_S(40));
    sim_node_kill(n[0]);
    sim_node_kill(n[1]);
    renumber(0, 71, false);
    renumber(1, 72, false);
    sim_node_start(n[1]);
    sim_world_run(PV_S(5));
    sim_node_start(n[0]);
    must_reach_all(PV_S(5));
}

/* --- silence --------------------------------------------------------------------------------- */

static unsigned sent;

static bool tap_beacons(void *ctx, unsigned host, const struct pv_addr *dst, struct pv_view payload)
{
    sent += pv_addr_is_multicast(dst);
    return true;
}

PV_SIM(nothing_is_sent_while_all_is_well, 1)
{
    begin(seed, 3, true);
    sent = 0;
    sim_net_set_tap(sim.net, tap_beacons, NULL);
    sim_world_run(PV_S(1800));
    renumber(1, 99, false);
    sim_node_links_changed(n[1]);
    sim_world_run(PV_S(60));
    sim_must(sent == 0, "a beacon with the coordinator:");
    meet();
    sim_coord_kill(sim.coord);
    sim_world_run(PV_S(1500));
    sim_must(sent == 0, "a beacon with all paths direct:");
    meet();
    sim_node_kill(n[2]);
    sim_world_run(PV_S(900));
    sim_must(sent > 0 && sent <= 60, PV_STR("%u beacons for one that is gone", sent));
    sim_net_set_tap(sim.net, NULL, NULL);
}

/* --- a neighbour ----------------------------------------------------------------------------- */

/* The neighbour, and the datagrams that it has heard. */
static struct {
    unsigned host;
    struct pv_addr victim; /* who sent it */
    uint8_t heard[REPLAYS][PV_BEACON_LEN];
    unsigned n;
    unsigned lured; /* datagrams that were sent to the neighbour */
    struct pv_addr addr;
} evil;

static bool tap_neighbour(void *ctx, unsigned host, const struct pv_addr *dst,
                          struct pv_view payload)
{
    if (pv_addr_is_multicast(dst) && host != evil.host && evil.n < REPLAYS &&
        payload.len == PV_BEACON_LEN)
        memcpy(evil.heard[evil.n++], payload.ptr, payload.len);
    evil.lured += pv_addr_equal_ip(dst, &evil.addr);
    return true;
}

static void shout(const uint8_t *datagram)
{
    const struct pv_addr group = pv_beacon_group(PV_AF_INET);
    (void)sim_net_send(sim.net, evil.host, &evil.addr, &group, PV_BEACON_HOPS,
                       pv_view(datagram, PV_BEACON_LEN));
}

/* It forges and repeats 200 datagrams a second all the while. */
PV_SIM(a_neighbour_that_forges_and_repeats_gets_nothing_and_stops_nobody, SEEDS)
{
    uint8_t forged[PV_BEACON_LEN];
    begin(seed, 3, false);
    memset(&evil, 0, sizeof(evil));
    evil.host = sim_net_add_host(sim.net, zone, &line);
    evil.addr = pv_addr4(192, 168, (uint8_t)zone, 66, 51820);
    sim_net_add_addr(sim.net, evil.host, &evil.addr);
    sim_net_set_tap(sim.net, tap_neighbour, NULL);
    sim_coord_kill(sim.coord);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < count; i++) {
            renumber(i, (uint8_t)(100 + 10 * round + i), false);
            sim_node_links_changed(n[i]);
        }
        for (unsigned i = 0; i < 1000; i++) {
            const struct pv_rng rng = sim_rng(sim_net_rng(sim.net));
            pv_rng_fill(&rng, forged, sizeof(forged));
            shout(i % 2 == 0 || evil.n == 0 ? forged : evil.heard[i % evil.n]);
            sim_world_run(PV_MS(5));
        }
        must_reach_all(PV_MS(500)); /* 5 s have passed */
    }
    sim_must(evil.n > 0, "no beacons were heard:");
    sim_must(evil.lured == 0, PV_STR("%u datagrams to the neighbour", evil.lured));
    sim_net_set_tap(sim.net, NULL, NULL);
}
