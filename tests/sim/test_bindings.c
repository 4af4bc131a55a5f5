/* SPDX-License-Identifier: MIT */
/*
 * test_bindings.c - what a path costs while nothing happens: idle pairs are silent, the lifetime of
 * the NAT's bindings is learnt, and where they end whatever passes another one is there before.
 */
#include <jansson.h>

#include "tests/sim/world/pair.h"

struct counted {
    unsigned coord_host;
    struct pv_addr coord;
    uint64_t to_coord, to_others;
};

static bool count(void *ctx, unsigned host, const struct pv_addr *dst, struct pv_view payload)
{
    struct counted *c = ctx;
    if (host == c->coord_host)
        return true; /* its answers */
    if (!pv_addr_equal_ip(dst, &c->coord)) {
        c->to_others++;
        return true;
    }
    /* Data for the peer through the relay counts as between the two. */
    bool relayed = payload.len > 0 && (payload.ptr[0] & 0xc0) == 0x40;
    c->to_coord += relayed ? 0 : 1;
    c->to_others += relayed ? 1 : 0;
    return true;
}

/* --- idle ------------------------------------------------------------------------------------- */

/* Ten minutes without traffic: from then on not one datagram passes between the two, and what goes
 * to the coordinator keeps one mapping open. The next ping is answered at once all the same. */
static void idle(uint64_t seed, void *ctx)
{
    static const char *const kinds[][2] = {{"port-restricted", "direct"}, {"symmetric", "relay"}};
    const char *const *kind = kinds[seed % 2];
    struct pair p = {.ipv6 = false};
    struct counted c = {.coord = pv_addr4(198, 51, 100, 10, 0)};
    sim_case("%s: idle", kind[1]);
    sim_must(met(&p, seed, kind[0], kind[1]), "not met");
    sim_world_run(PV_S(615));
    c.coord_host = sim_coord_host(sim.coord);
    sim_net_set_tap(sim.net, count, &c);
    sim_world_run(PV_S(3600));
    sim_net_set_tap(sim.net, NULL, NULL);
    if (getenv("PV_SIM_TIMES") != NULL)
        printf("%s, seed %llu: peers %llu, coordinator %llu\n", sim_case_name(),
               (unsigned long long)seed, (unsigned long long)c.to_others,
               (unsigned long long)c.to_coord);
    sim_must(c.to_others == 0, "an idle pair is not silent");
    if (seed % 4 >= 2) { /* and their NATs have forgotten all but that mapping */
        sim_net_reboot_nat(sim.net, p.za);
        sim_net_reboot_nat(sim.net, p.zb);
        sim_world_run(PV_S(130));
    }
    pv_ns took = sim_world_reach(p.a, p.b, PV_S(5), PV_S(10));
    snprintf(sim.why, sizeof(sim.why), "after %.3f s", took == PV_NEVER ? -1 : (double)took / 1e9);
    sim_must(took <= SECOND, "the first ping was answered late:");
}

PV_TEST(an_idle_pair_is_silent_and_its_first_ping_answered)
{
    sim_seeds(2, idle, NULL);
}

/* --- the lifetime of bindings ----------------------------------------------------------------- */

static double binding_number(struct pair *p, struct sim_node *n, const char *name)
{
    const char *status = sim_world_ask(n, SECOND, "'cmd':'status'");
    json_t *root = status == NULL ? NULL : json_loads(status, 0, NULL);
    const json_t *value = json_object_get(json_object_get(root, "nat_binding"), name);
    double number = json_is_number(value) ? json_number_value(value) : -1;
    json_decref(root);
    return number;
}

/* NATs that forget sooner, or later, than is assumed at first: it is learnt, and from then on no
 * binding is lost and none refreshed for nothing. */
PV_SIM(the_lifetime_of_bindings_is_learnt_and_kept_to, 3)
{
    static const unsigned lives_s[] = {20, 30, 60, 130, 300};
    struct pair p = {.ipv6 = false};
    struct counted c = {.coord = pv_addr4(198, 51, 100, 10, 0)};
    unsigned life = lives_s[seed % PV_ARRAY_LEN(lives_s)];
    sim_case("bindings live %u s", life);
    sim_must(met(&p, seed, "port-restricted", "direct"), "not met");
    unsigned zones[] = {p.za, p.zb};
    for (unsigned i = 0; i < 2; i++) {
        struct pv_nat_config *config = pv_nat_config(sim_net_nat(sim.net, zones[i]));
        config->udp_unreplied = PV_S(life < 30 ? life : 30);
        config->udp_replied = PV_S(life);
        config->stream_after = PV_S(2);
    }
    sim_world_run(PV_S(260));
    double idle = binding_number(&p, p.a, "idle_s"), most = binding_number(&p, p.a, "idle_max_s");
    double every = binding_number(&p, p.a, "refresh_s");
    snprintf(sim.why, sizeof(sim.why), "idle_s %.0f, idle_max_s %.0f, refresh_s %.0f", idle, most,
             every);
    sim_must(idle >= 0 && idle <= life && (most == 0 || most >= life) && every < life &&
                 every <= 110,
             "not learnt right:");
    /* Used again, then idle for as long as it is kept: both ways are open all the time. */
    load(&p, A_TO_B | B_TO_A, PV_MS(100), PV_S(5));
    sim_world_run(PV_S(30));
    uint64_t made[2];
    for (unsigned i = 0; i < 2; i++)
        made[i] = pv_nat_stats(sim_net_nat(sim.net, zones[i]))->mappings_made;
    c.coord_host = sim_coord_host(sim.coord);
    sim_net_set_tap(sim.net, count, &c);
    sim_world_run(PV_S(520));
    sim_net_set_tap(sim.net, NULL, NULL);
    for (unsigned i = 0; i < 2; i++)
        made[i] = pv_nat_stats(sim_net_nat(sim.net, zones[i]))->mappings_made - made[i];
    if (getenv("PV_SIM_TIMES") != NULL)
        printf(
            "%s, seed %llu: lives %.0f s, every %.0f s; %llu and %llu new bindings, %llu to each "
            "other, %llu to the coordinator\n",
            sim_case_name(), (unsigned long long)seed, idle, every, (unsigned long long)made[0],
            (unsigned long long)made[1], (unsigned long long)c.to_others,
            (unsigned long long)c.to_coord);
    sim_must(made[0] + made[1] == 0, "bindings of a known life were lost");
    sim_must((double)c.to_others <= 4 * 520 / (every * 2 / 3) + 4,
             "more was sent than keeps the bindings");
}

/* --- the first packets after silence -----------------------------------------------------------
 */

/* It forgets what was silent for so long; what comes in keeps a binding in a quarter of the runs,
 * what goes out in three quarters: the others end whatever passes. */
static void forget(struct pair *p, unsigned zone, unsigned life_s)
{
    struct pv_nat_config *c = pv_nat_config(sim_net_nat(sim.net, zone));
    uint32_t kind = sim_draw(4);
    c->udp_unreplied = c->udp_replied = PV_S(life_s);
    c->inbound_refresh = kind == 0;
    c->absolute = kind == 3 ? PV_S(life_s < 30 ? 30 : life_s) : 0;
    sim_case("%s %u s%s", sim_case_name(), life_s,
             kind == 0   ? " kept from outside"
             : kind == 3 ? " at most"
                         : "");
}

/* As much as TCP sends at once after a pause. */
static void burst(struct sim_node *from, struct sim_node *to)
{
    struct pv_addr addr = sim_node_overlay(to, PV_AF_INET);
    for (int i = 0; i < 10; i++)
        (void)sim_node_flow(from, &addr);
}

/* One ping, or a burst, of one of the two: all of it arrives, once and in time, and the path is
 * direct again soon, under little traffic. */
static const char *speak(struct pair *p, struct sim_node *from, struct sim_node *to, bool ping)
{
    pv_ns start = sim_net_now(sim.net), took = 0;
    uint64_t before = sim_node_flow_seen(to).received;
    if (ping)
        took = sim_world_reach(from, to, PV_S(20), PV_S(10));
    else
        burst(from, to);
    if (!ping)
        sim_world_run(SECOND + PV_MS(250));
    snprintf(sim.why, sizeof(sim.why), "%.3f s, %llu of 10",
             took == PV_NEVER ? -1 : (double)took / 1e9,
             (unsigned long long)(sim_node_flow_seen(to).received - before));
    if (getenv("PV_SIM_TIMES") != NULL && ping)
        printf("%s, seed %llu: %s\n", sim_case_name(), (unsigned long long)p->seed, sim.why);
    if (took > SECOND + PV_MS(250)) /* the relay's round trip */
        return "the first ping was not answered in time:";
    if (!ping && sim_node_flow_seen(to).received - before != 10)
        return "the first packets were lost:";
    while (sim_net_now(sim.net) < start + PV_S(3) && !both_use(p, "direct"))
        load(p, A_TO_B | B_TO_A, PV_MS(100), PV_MS(100));
    return both_use(p, "direct") ? NULL : "not direct again within 3 s,";
}

/* Two NATs of kinds and lives of their own. In half of the runs the life is measured by now. ctx:
 * NULL, or that there are many silences, all short: the peer has had many addresses in the end. */
static void silences(uint64_t seed, void *ctx)
{
    const bool *many = ctx;
    static const char *const kinds[] = {"port-restricted", "address-restricted"};
    static const unsigned lives_s[] = {12, 5, 30, 60};
    struct pair p = {.ipv6 = false};
    unsigned k = (unsigned)(seed / 4);
    const char *const profiles[2] = {kinds[k % 2], kinds[k / 2 % 2]};
    sim_case("%s and %s: lives", profiles[0], profiles[1]);
    sim_must(met_between(&p, seed, profiles, "direct"), "not met");
    struct pv_natrng *rng = sim_net_rng(sim.net);
    unsigned a = lives_s[seed % PV_ARRAY_LEN(lives_s)];
    unsigned b = lives_s[pv_natrng_below(rng, PV_ARRAY_LEN(lives_s))], least = a < b ? a : b;
    forget(&p, p.za, a);
    forget(&p, p.zb, b);
    if (pv_natrng_below(rng, 2) == 0)
        sim_world_run(PV_S(260)); /* its measurement is over */
    for (int i = 0; i < (many != NULL ? 40 : 4); i++) {
        /* Shorter than the keys live, longer, and longer than the path is kept. */
        static const unsigned most_s[] = {60, 170, 400, 900};
        unsigned most = many != NULL ? 10 : most_s[i];
        unsigned silence = least + 1 + pv_natrng_below(rng, most - 1);
        sim_world_run(PV_S(silence) + PV_MS(pv_natrng_below(rng, 1000)));
        bool by_a = pv_natrng_below(rng, 2) == 0;
        const char *why = speak(&p, by_a ? p.a : p.b, by_a ? p.b : p.a, i % 2 == 0);
        sim_case("%s, %u s", sim_case_name(), silence);
        sim_must(why == NULL, why);
    }
    sim_must(sim_node_flow_seen(p.a).twice + sim_node_flow_seen(p.b).twice == 0,
             "a packet came twice");
}

PV_TEST(the_first_packets_after_silence_arrive)
{
    sim_seeds(4, silences, NULL);
    assert_true(sim_run(214, silences, NULL)); /* speaks as the keys end */
}

PV_TEST_WHOLE(the_first_packets_after_each_of_many_silences_arrive)
{
    static const uint64_t ends_in_use[] = {25, 109, 112,
                                           121}; /* a binding, by its age, as both talk */
    bool many = true;
    sim_seeds(1, silences, &many);
    for (size_t i = 0; i < PV_ARRAY_LEN(ends_in_use); i++)
        assert_true(sim_run(ends_in_use[i], silences, &many));
}

/* Both NATs forget every UDP binding up to a second before the first ping of an idle pair, whose
 * last check may have been answered a moment before: neither the path nor the way in from the relay
 * is there. */
PV_SIM(the_first_ping_after_both_nats_forgot_is_answered, 4)
{
    static const char *const kinds[] = {"port-restricted", "address-restricted"};
    static const unsigned most_s[] = {60, 170, 400, 900};
    struct pair p = {.ipv6 = false};
    const char *const profiles[2] = {kinds[seed % 2], kinds[seed / 2 % 2]};
    sim_must(met_between(&p, seed, profiles, "direct"), "not met");
    struct pv_natrng *rng = sim_net_rng(sim.net);
    for (int i = 0; i < 4; i++) {
        unsigned silence = 10 + pv_natrng_below(rng, most_s[i]);
        sim_world_run(PV_S(silence));
        pv_nat_flush(sim_net_nat(sim.net, p.za));
        pv_nat_flush(sim_net_nat(sim.net, p.zb));
        sim_world_run(PV_MS(pv_natrng_below(rng, 1000)));
        bool by_a = pv_natrng_below(rng, 2) == 0;
        sim_case("%s and %s, %u s", profiles[0], profiles[1], silence);
        const char *why = speak(&p, by_a ? p.a : p.b, by_a ? p.b : p.a, true);
        sim_must(why == NULL, why);
    }
}

/* --- bindings that end whatever passes -------------------------------------------------------- */

/* Both NATs end every binding after a minute. Once that is known another socket is there before:
 * with traffic all the time not one packet is lost and none comes twice. ctx: whether the kernels
 * then draw ports again whose bindings still stand. */
static void absolute_end(uint64_t seed, void *ctx)
{
    static const char *const kinds[][2] = {
        {"port-restricted", "direct"}, {"full-cone", "direct"}, {"symmetric", "relay"}};
    static const unsigned ends_s[] = {45, 60, 75};
    const char *const *kind = kinds[seed % 3];
    struct pair p = {.ipv6 = false};
    unsigned end = ends_s[seed / 3 % 3];
    const bool *again = ctx;
    sim_case("%s: bindings end after %u s", kind[1], end);
    sim_must(met(&p, seed, kind[0], kind[1]), "not met");
    pv_nat_config(sim_net_nat(sim.net, p.za))->absolute = PV_S(end);
    pv_nat_config(sim_net_nat(sim.net, p.zb))->absolute = PV_S(end);
    sim_net_reboot_nat(sim.net, p.za); /* of those that were made before, too */
    sim_net_reboot_nat(sim.net, p.zb);
    load(&p, A_TO_B | B_TO_A, PV_MS(100), PV_S(330));
    double seen = binding_number(&p, p.a, "absolute_s");
    snprintf(sim.why, sizeof(sim.why), "absolute_s %.0f", seen);
    sim_must(seen >= 0 && seen <= end && binding_number(&p, p.b, "absolute_s") >= 0,
             "the end was not seen:");
    sim_node_set_draws_again(p.a, *again);
    sim_node_set_draws_again(p.b, *again);
    load(&p, A_TO_B | B_TO_A, PV_MS(100), PV_S(100)); /* the first change, out of what was */
    sim_world_run(SECOND);
    sim_node_flow_begin(p.a);
    sim_node_flow_begin(p.b);
    begin_to_measure(&p);
    load(&p, A_TO_B | B_TO_A, PV_MS(20), PV_S(test_takes_all() ? 300 : 120));
    bool quick = gap_within(&p, A_TO_B | B_TO_A, PV_MS(500));
    sim_must(all_arrived(&p) && quick, "packets were lost at a change of socket:");
    sim_must(both_use(&p, kind[1]), "another type of path");
}

PV_TEST(another_socket_is_there_before_a_binding_ends)
{
    bool again = false;
    sim_seeds(2, absolute_end, &again);
    if (test_takes_all())
        assert_true(sim_run(11, absolute_end, &again)); /* drew a port of an attempt by itself */
}

PV_TEST_WHOLE(a_standby_socket_takes_no_port_whose_binding_still_stands)
{
    bool again = true;
    sim_seeds(2, absolute_end, &again);
}
