/* SPDX-License-Identifier: MIT */
/*
 * test_path.c - the life of a path under load: what breaks is healed within a second, what is idle
 * is silent, and a change of path loses nothing. Time is virtual: every bound is exact.
 */
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "../unit/test_util.h"
#include "crypto/ct.h"
#include "sim_world.h"

enum {
    SEEDS = 3, /* PV_SIM_SEEDS sets another number */
    A_TO_B = 1,
    B_TO_A = 2,
};
#define SECOND PV_S(1) /* the bound of everything that breaks under traffic */

struct pair {
    struct sim_world w;
    struct sim_node *a, *b;
    unsigned za, zb;
    uint64_t seed;
    char what[160];
};

static int failed(struct pair *p, const char *why)
{
    printf("%s, seed %llu at %.3f s: %s %s\n", p->what, (unsigned long long)p->seed,
           (double)(sim_net_now(p->w.net) - PV_S(3600)) / 1e9, why, p->w.why);
    sim_world_explain(&p->w, p->a, "b");
    sim_world_explain(&p->w, p->b, "a");
    sim_world_done(&p->w);
    return 1;
}

static int passed(struct pair *p)
{
    sim_world_done(&p->w);
    return 0;
}

static unsigned nat(struct pair *p, const char *profile)
{
    struct pv_natrng *rng = sim_net_rng(p->w.net);
    struct pv_link_config line = {.delay = PV_MS(5 + pv_natrng_below(rng, 36)),
                                  .jitter = PV_MS(pv_natrng_below(rng, 4))};
    unsigned zone = sim_world_nat(&p->w, SIM_PUBLIC, profile, &line);
    pv_nat_config(sim_net_nat(p->w.net, zone))->ports = PV_NAT_RANDOM; /* forgetting is seen */
    return zone;
}

/* Traffic this often for so long; ways: A_TO_B, B_TO_A or both. */
static void load(struct pair *p, unsigned ways, pv_ns every, pv_ns duration)
{
    struct pv_addr to_a = sim_node_overlay(p->a, PV_AF_INET);
    struct pv_addr to_b = sim_node_overlay(p->b, PV_AF_INET);
    pv_ns end = sim_net_now(p->w.net) + duration;
    while (sim_net_now(p->w.net) < end) {
        if ((ways & A_TO_B) != 0 && sim_node_runs(p->a))
            sim_node_flow(p->a, &to_b);
        if ((ways & B_TO_A) != 0 && sim_node_runs(p->b))
            sim_node_flow(p->b, &to_a);
        sim_world_run(&p->w, every);
    }
}

static bool path_is(struct pair *p, struct sim_node *n, const char *type)
{
    char want[64];
    const char *peers = sim_world_ask(&p->w, n, SECOND, "\"cmd\":\"peers\"");
    snprintf(want, sizeof(want), "\"type\":\"%s\"", type);
    return peers != NULL && strstr(peers, want) != NULL;
}

/* Two members behind NATs of that kind that use that type of path. */
static bool met(struct pair *p, uint64_t seed, const char *profile, const char *type)
{
    static const struct pv_link_config good = {.delay = PV_MS(10)};
    p->seed = seed;
    sim_world_init(&p->w, seed, &good);
    p->za = nat(p, profile);
    p->zb = nat(p, profile);
    p->a = sim_world_node(&p->w, p->za, "a", false);
    p->b = sim_world_node(&p->w, p->zb, "b", false);
    if (!sim_world_join_all(&p->w))
        return false;
    sim_world_run(&p->w, PV_S(2));
    for (int i = 0; i < 10; i++) {
        load(p, A_TO_B | B_TO_A, PV_MS(50), SECOND);
        if (path_is(p, p->a, type) && path_is(p, p->b, type))
            return true;
    }
    return false;
}

static void begin_to_measure(struct pair *p)
{
    sim_node_flow_gap(p->a);
    sim_node_flow_gap(p->b);
}

/* Was the longest silence within the bound, in the directions in which there was traffic? */
static bool gap_within(struct pair *p, unsigned ways, pv_ns bound)
{
    pv_ns gap = 0;
    if ((ways & A_TO_B) != 0)
        gap = sim_node_flow_seen(p->b).gap;
    if ((ways & B_TO_A) != 0 && sim_node_flow_seen(p->a).gap > gap)
        gap = sim_node_flow_seen(p->a).gap;
    if (getenv("PV_SIM_TIMES") != NULL)
        printf("%s, seed %llu: %.3f s\n", p->what, (unsigned long long)p->seed, (double)gap / 1e9);
    snprintf(p->w.why, sizeof(p->w.why), "nothing arrived for %.3f s", (double)gap / 1e9);
    return gap <= bound;
}

/* --- what breaks under traffic ---------------------------------------------------------------- */

static const struct {
    const char *text;
    unsigned ways;
} directions[] = {{"both ways", A_TO_B | B_TO_A}, {"to it", A_TO_B}, {"from it", B_TO_A}};

static int nat_reboots(uint64_t seed, const char *profile, const char *type, size_t direction)
{
    struct pair p;
    unsigned ways = directions[direction].ways;
    snprintf(p.what, sizeof(p.what), "%s: a NAT reboots, traffic %s", type,
             directions[direction].text);
    if (!met(&p, seed, profile, type))
        return failed(&p, "not met");
    load(&p, ways, PV_MS(20), PV_S(12));
    begin_to_measure(&p);
    sim_net_reboot_nat(p.w.net, p.zb);
    load(&p, ways, PV_MS(20), PV_S(5));
    if (!gap_within(&p, ways, SECOND))
        return failed(&p, "not healed within a second:");
    return passed(&p);
}

static int nats_reboot(uint64_t seed, void *ctx)
{
    int bad = 0;
    (void)ctx;
    for (size_t d = 0; d < PV_ARRAY_LEN(directions); d++) {
        bad += nat_reboots(seed, "port-restricted", "direct", d);
        bad += nat_reboots(seed, "full-cone", "direct", d);
        bad += nat_reboots(seed, "symmetric", "relay", d);
    }
    return bad;
}

static void a_nat_that_reboots_under_traffic_costs_a_second_at_most(void **state)
{
    (void)state;
    assert_int_equal(sim_seeds("path", SEEDS, nats_reboot, NULL), 0);
}

static void take_addrs(struct pair *p, struct sim_node *n, struct pv_addr *old, size_t *ret_n)
{
    *ret_n = sim_net_addrs(p->w.net, sim_node_host(n), old);
    for (size_t i = 0; i < *ret_n; i++)
        sim_net_del_addr(p->w.net, sim_node_host(n), &old[i]);
}

static int node_roams(uint64_t seed, const char *profile, const char *type, bool far)
{
    struct pair p;
    struct pv_addr old[SIM_HOST_ADDRS];
    size_t n;
    snprintf(p.what, sizeof(p.what), "%s: an address changes%s", type, far ? ", and the NAT" : "");
    if (!met(&p, seed, profile, type))
        return failed(&p, "not met");
    unsigned zone = far ? nat(&p, profile) : p.zb;
    begin_to_measure(&p);
    take_addrs(&p, p.b, old, &n);
    struct pv_addr ip = pv_addr4(192, 168, (uint8_t)zone, 77, 0);
    sim_net_add_addr(p.w.net, sim_node_host(p.b), &ip);
    sim_net_move(p.w.net, sim_node_host(p.b), zone);
    sim_node_links_changed(p.b);
    load(&p, A_TO_B | B_TO_A, PV_MS(20), PV_S(5));
    if (!gap_within(&p, A_TO_B | B_TO_A, SECOND))
        return failed(&p, "not healed within a second:");
    return passed(&p);
}

/* The interface is gone for a while, longer or shorter than others believe in the node. */
static int link_flaps(uint64_t seed, const char *profile, const char *type)
{
    static const unsigned away_s[] = {1, 8, 45, 200};
    struct pair p;
    struct pv_addr old[SIM_HOST_ADDRS];
    size_t n;
    unsigned away = away_s[seed % PV_ARRAY_LEN(away_s)];
    snprintf(p.what, sizeof(p.what), "%s: an interface is down for %u s", type, away);
    if (!met(&p, seed, profile, type))
        return failed(&p, "not met");
    take_addrs(&p, p.b, old, &n);
    sim_node_links_changed(p.b);
    load(&p, A_TO_B | B_TO_A, PV_MS(20), PV_S(away));
    for (size_t i = 0; i < n; i++)
        sim_net_add_addr(p.w.net, sim_node_host(p.b), &old[i]);
    sim_node_links_changed(p.b);
    begin_to_measure(&p);
    load(&p, A_TO_B | B_TO_A, PV_MS(20), PV_S(5));
    if (!gap_within(&p, A_TO_B | B_TO_A, SECOND))
        return failed(&p, "not healed within a second of the new link:");
    return passed(&p);
}

static int machine_wakes(uint64_t seed, const char *profile, const char *type)
{
    static const unsigned away_s[] = {1, 10, 50, 700, 5000};
    struct pair p;
    unsigned away = away_s[seed % PV_ARRAY_LEN(away_s)];
    snprintf(p.what, sizeof(p.what), "%s: a machine sleeps for %u s", type, away);
    if (!met(&p, seed, profile, type))
        return failed(&p, "not met");
    sim_node_sleep(p.b);
    load(&p, A_TO_B, PV_MS(away < 100 ? 20 : 200), PV_S(away));
    sim_node_wake(p.b);
    begin_to_measure(&p);
    load(&p, A_TO_B | B_TO_A, PV_MS(20), PV_S(5));
    if (!gap_within(&p, A_TO_B | B_TO_A, SECOND))
        return failed(&p, "not healed within a second of waking:");
    return passed(&p);
}

static int roams(uint64_t seed, void *ctx)
{
    static const char *const kinds[][2] = {{"port-restricted", "direct"}, {"symmetric", "relay"}};
    int bad = 0;
    (void)ctx;
    for (size_t k = 0; k < PV_ARRAY_LEN(kinds); k++) {
        bad += node_roams(seed, kinds[k][0], kinds[k][1], false);
        bad += node_roams(seed, kinds[k][0], kinds[k][1], true);
        bad += link_flaps(seed, kinds[k][0], kinds[k][1]);
        bad += machine_wakes(seed, kinds[k][0], kinds[k][1]);
    }
    return bad;
}

static void roaming_heals_within_a_second_of_the_new_link(void **state)
{
    (void)state;
    assert_int_equal(sim_seeds("path", SEEDS, roams, NULL), 0);
}

/* --- idle ------------------------------------------------------------------------------------- */

struct counted {
    unsigned coord_host;
    struct pv_addr coord;
    uint64_t to_coord, to_others;
};

static void count(void *ctx, unsigned host, const struct pv_addr *dst, struct pv_view payload)
{
    struct counted *c = ctx;
    if (host == c->coord_host)
        return; /* its answers */
    if (!pv_addr_equal_ip(dst, &c->coord)) {
        c->to_others++;
        return;
    }
    /* Data for the peer through the relay counts as between the two. */
    bool relayed = payload.len > 0 && (payload.ptr[0] & 0xc0) == 0x40;
    c->to_coord += relayed ? 0 : 1;
    c->to_others += relayed ? 1 : 0;
}

/* Ten minutes without traffic: from then on not one datagram passes between the two, and what goes
 * to the coordinator keeps one mapping open. The next ping is answered at once all the same. */
static int idle(uint64_t seed, void *ctx)
{
    static const char *const kinds[][2] = {{"port-restricted", "direct"}, {"symmetric", "relay"}};
    const char *const *kind = kinds[seed % 2];
    struct pair p;
    struct counted c = {.coord = pv_addr4(198, 51, 100, 10, 0)};
    (void)ctx;
    snprintf(p.what, sizeof(p.what), "%s: idle", kind[1]);
    if (!met(&p, seed, kind[0], kind[1]))
        return failed(&p, "not met");
    sim_world_run(&p.w, PV_S(615));
    c.coord_host = sim_coord_host(p.w.coord);
    sim_net_set_tap(p.w.net, count, &c);
    sim_world_run(&p.w, PV_S(3600));
    sim_net_set_tap(p.w.net, NULL, NULL);
    if (getenv("PV_SIM_TIMES") != NULL)
        printf("%s, seed %llu: %llu to each other, %llu to the coordinator in an hour\n", p.what,
               (unsigned long long)seed, (unsigned long long)c.to_others,
               (unsigned long long)c.to_coord);
    if (c.to_others != 0)
        return failed(&p, "an idle pair is not silent");
    if (seed % 4 >= 2) { /* and their NATs have forgotten all but that mapping */
        sim_net_reboot_nat(p.w.net, p.za);
        sim_net_reboot_nat(p.w.net, p.zb);
        sim_world_run(&p.w, PV_S(130));
    }
    pv_ns took = sim_world_reach(&p.w, p.a, p.b, PV_S(5), PV_S(10));
    snprintf(p.w.why, sizeof(p.w.why), "after %.3f s", took == PV_NEVER ? -1 : (double)took / 1e9);
    if (took > SECOND)
        return failed(&p, "the first ping after it was not answered within a second, but");
    return passed(&p);
}

static void an_idle_pair_is_silent_and_its_first_ping_answered(void **state)
{
    (void)state;
    assert_int_equal(sim_seeds("path", 4, idle, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_nat_that_reboots_under_traffic_costs_a_second_at_most),
        cmocka_unit_test(roaming_heals_within_a_second_of_the_new_link),
        cmocka_unit_test(an_idle_pair_is_silent_and_its_first_ping_answered),
    };
    if (pv_crypto_init() < 0)
        return 1;
    json_object_seed(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
