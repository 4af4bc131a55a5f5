/* SPDX-License-Identifier: MIT */
/*
 * test_path.c - the life of a path under load: what breaks is healed within a second, no restart is
 * ever needed, a path that lies is left, and a change of path loses nothing. Time is virtual: every
 * bound is exact.
 */
#include <jansson.h>

#include "tests/sim/world/pair.h"

enum {
    SEEDS = 1, /* PV_SIM_SEEDS sets another number */
    LOOKS = 4, /* at what is told of a path, 32 checks apart */
};

/* --- what breaks under traffic ---------------------------------------------------------------- */

static void nat_reboots(uint64_t seed, const char *profile, const char *type, size_t direction)
{
    struct pair p = {.ipv6 = false};
    unsigned ways = directions[direction].ways;
    sim_case("%s: a NAT reboots, traffic %s", type, directions[direction].text);
    sim_must(met(&p, seed, profile, type), "not met");
    load(&p, ways, PV_MS(20), PV_S(12));
    begin_to_measure(&p);
    sim_net_reboot_nat(sim.net, p.zb);
    load(&p, ways, PV_MS(20), PV_S(5));
    sim_must(gap_within(&p, ways, SECOND), "not healed within a second:");
}

PV_SIM(a_nat_that_reboots_under_traffic_costs_a_second_at_most, SEEDS)
{
    for (size_t d = 0; d < PV_ARRAY_LEN(directions); d++) {
        nat_reboots(seed, "port-restricted", "direct", d);
        nat_reboots(seed, "full-cone", "direct", d);
        nat_reboots(seed, "symmetric", "relay", d);
    }
}

static void node_roams(uint64_t seed, const char *profile, const char *type, bool far)
{
    struct pair p = {.ipv6 = false};
    struct pv_addr old[SIM_HOST_ADDRS];
    size_t n;
    sim_case("%s: an address changes%s", type, far ? ", and the NAT" : "");
    sim_must(met(&p, seed, profile, type), "not met");
    unsigned zone = far ? nat(&p, profile) : p.zb;
    begin_to_measure(&p);
    take_addrs(&p, p.b, old, &n);
    struct pv_addr ip = pv_addr4(192, 168, (uint8_t)zone, 77, 0);
    sim_net_add_addr(sim.net, sim_node_host(p.b), &ip);
    sim_net_move(sim.net, sim_node_host(p.b), zone);
    sim_node_links_changed(p.b);
    load(&p, A_TO_B | B_TO_A, PV_MS(20), PV_S(5));
    sim_must(gap_within(&p, A_TO_B | B_TO_A, SECOND), "not healed within a second:");
}

/* The interface is gone for a while, longer or shorter than others believe in the node. */
static void link_flaps(uint64_t seed, const char *profile, const char *type)
{
    static const unsigned away_s[] = {1, 8, 45, 200};
    struct pair p = {.ipv6 = false};
    struct pv_addr old[SIM_HOST_ADDRS];
    size_t n;
    unsigned away = away_s[seed % PV_ARRAY_LEN(away_s)];
    sim_case("%s: an interface is down for %u s", type, away);
    sim_must(met(&p, seed, profile, type), "not met");
    take_addrs(&p, p.b, old, &n);
    sim_node_links_changed(p.b);
    load(&p, A_TO_B | B_TO_A, PV_MS(20), PV_S(away));
    for (size_t i = 0; i < n; i++)
        sim_net_add_addr(sim.net, sim_node_host(p.b), &old[i]);
    sim_node_links_changed(p.b);
    begin_to_measure(&p);
    load(&p, A_TO_B | B_TO_A, PV_MS(20), PV_S(5));
    sim_must(gap_within(&p, A_TO_B | B_TO_A, SECOND),
             "not healed within a second of the new link:");
}

static void machine_wakes(uint64_t seed, const char *profile, const char *type)
{
    static const unsigned away_s[] = {1, 10, 50, 700, 5000};
    struct pair p = {.ipv6 = false};
    unsigned away = away_s[seed % PV_ARRAY_LEN(away_s)];
    sim_case("%s: a machine sleeps for %u s", type, away);
    sim_must(met(&p, seed, profile, type), "not met");
    sim_node_sleep(p.b);
    load(&p, A_TO_B, PV_MS(away < 100 ? 20 : 200), PV_S(away));
    sim_node_wake(p.b);
    begin_to_measure(&p);
    load(&p, A_TO_B | B_TO_A, PV_MS(20), PV_S(5));
    sim_must(gap_within(&p, A_TO_B | B_TO_A, SECOND), "not healed within a second of waking:");
}

PV_SIM(roaming_heals_within_a_second_of_the_new_link, SEEDS)
{
    static const char *const kinds[][2] = {{"port-restricted", "direct"}, {"symmetric", "relay"}};
    for (size_t k = 0; k < PV_ARRAY_LEN(kinds); k++) {
        node_roams(seed, kinds[k][0], kinds[k][1], false);
        node_roams(seed, kinds[k][0], kinds[k][1], true);
        link_flaps(seed, kinds[k][0], kinds[k][1]);
        machine_wakes(seed, kinds[k][0], kinds[k][1]);
    }
}

/* --- the relay is left again ------------------------------------------------------------------ */

struct stuck {
    const char *text;
    const char *profile;
    bool ipv6;
    void (*happens)(struct pair *p);
    pv_ns bound; /* after it, under traffic, until both ends are direct again */
};

static void wall(struct pair *p, pv_ns duration, pv_ns every)
{
    sim_net_set_wall(sim.net, sim_coord_host(sim.coord));
    load(p, every == PV_NEVER ? 0 : A_TO_B | B_TO_A, every == PV_NEVER ? SECOND : every, duration);
    sim_net_set_wall(sim.net, SIM_NO_WALL);
}

static void blocked_for_a_moment(struct pair *p)
{
    wall(p, PV_S(5), PV_MS(50));
}

static void blocked_for_an_hour(struct pair *p)
{
    wall(p, PV_S(3600), PV_MS(500));
}

static void blocked_while_idle(struct pair *p)
{
    wall(p, PV_S(1200), PV_NEVER);
}

static void both_nats_reboot(struct pair *p)
{
    sim_net_reboot_nat(sim.net, p->za);
    sim_net_reboot_nat(sim.net, p->zb);
}

/* The next packets come from outside, so that the NAT takes them as unasked. */
static void a_nat_reboots(struct pair *p)
{
    sim_net_reboot_nat(sim.net, p->zb);
    load(p, A_TO_B, PV_MS(10), PV_MS(300));
}

/* Connections of TCP live through it, and the node gets the port of before: nobody is told. */
static void a_nat_forgets(struct pair *p)
{
    pv_nat_flush(sim_net_nat(sim.net, p->zb));
    load(p, A_TO_B, PV_MS(10), PV_MS(300));
}

static void both_nats_forget(struct pair *p)
{
    a_nat_forgets(p);
    pv_nat_flush(sim_net_nat(sim.net, p->za));
    load(p, B_TO_A, PV_MS(10), PV_MS(300));
}

static void a_nat_gets_another_address(struct pair *p)
{
    pv_nat_config(sim_net_nat(sim.net, p->zb))->public_ip[0] =
        pv_addr4(203, 0, 114, (uint8_t)p->zb, 0);
    sim_net_reboot_nat(sim.net, p->zb);
}

static void nats_reboot_one_after_the_other(struct pair *p)
{
    sim_net_reboot_nat(sim.net, p->za);
    load(p, A_TO_B | B_TO_A, PV_MS(50), PV_S(3));
    sim_net_reboot_nat(sim.net, p->zb);
}

static void coordinator_restarts_while_relayed(struct pair *p)
{
    sim_net_set_wall(sim.net, sim_coord_host(sim.coord));
    load(p, A_TO_B | B_TO_A, PV_MS(50), PV_S(20));
    sim_coord_kill(sim.coord);
    load(p, A_TO_B | B_TO_A, PV_MS(50), PV_S(5));
    sim_coord_start(sim.coord);
    sim_net_set_wall(sim.net, SIM_NO_WALL);
}

static void coordinator_goes_while_relayed(struct pair *p)
{
    sim_net_set_wall(sim.net, sim_coord_host(sim.coord));
    load(p, A_TO_B | B_TO_A, PV_MS(50), PV_S(20));
    sim_coord_kill(sim.coord); /* and does not come back for long */
    sim_net_set_wall(sim.net, SIM_NO_WALL);
    load(p, A_TO_B | B_TO_A, PV_MS(100), PV_S(300));
    sim_coord_start(sim.coord);
    load(p, A_TO_B | B_TO_A, PV_MS(100), PV_S(35)); /* nodes look for it every 30 s at least */
}

static void moved_while_the_other_sleeps(struct pair *p)
{
    struct pv_addr old[SIM_HOST_ADDRS];
    size_t n;
    sim_node_sleep(p->a);
    load(p, B_TO_A, PV_MS(100), PV_S(40));
    take_addrs(p, p->b, old, &n);
    struct pv_addr ip = pv_addr4(192, 168, (uint8_t)p->zb, 99, 0);
    sim_net_add_addr(sim.net, sim_node_host(p->b), &ip);
    sim_node_links_changed(p->b);
    load(p, B_TO_A, PV_MS(100), PV_S(60));
    sim_node_wake(p->a);
}

static void ipv6_is_lost(struct pair *p)
{
    struct pv_addr old[SIM_HOST_ADDRS];
    size_t n = sim_net_addrs(sim.net, sim_node_host(p->b), old);
    for (size_t i = 0; i < n; i++) {
        if (old[i].family == PV_AF_INET6)
            sim_net_del_addr(sim.net, sim_node_host(p->b), &old[i]);
    }
    sim_node_links_changed(p->b);
}

/* Nobody is told: the firewalls on the way drop IPv6 from now on. */
static void ipv6_goes_silent(struct pair *p)
{
    pv_nat_config(sim_net_nat(sim.net, p->za))->ipv6 = PV_NAT_V6_OFF;
    pv_nat_config(sim_net_nat(sim.net, p->zb))->ipv6 = PV_NAT_V6_OFF;
}

static const struct stuck stuck[] = {
    {"UDP is blocked for a moment", "port-restricted", false, blocked_for_a_moment, PV_S(15)},
    {"UDP is blocked for an hour", "port-restricted", false, blocked_for_an_hour, PV_S(65)},
    {"UDP is blocked while idle", "address-restricted", false, blocked_while_idle, PV_S(15)},
    {"both NATs reboot", "port-restricted", false, both_nats_reboot, PV_S(15)},
    {"both NATs reboot", "linux", false, both_nats_reboot, PV_S(8)},
    {"a NAT reboots", "linux", false, a_nat_reboots, PV_S(8)},
    {"a NAT forgets", "linux", false, a_nat_forgets, PV_S(8)},
    {"both NATs forget", "linux", false, both_nats_forget, PV_S(8)},
    {"a NAT gets another address", "linux", false, a_nat_gets_another_address, PV_S(8)},
    {"both NATs reboot, one after the other", "port-restricted", false,
     nats_reboot_one_after_the_other, PV_S(15)},
    {"the coordinator restarts while relayed", "port-restricted", false,
     coordinator_restarts_while_relayed, PV_S(65)},
    {"the coordinator goes, traffic is relayed", "port-restricted", false,
     coordinator_goes_while_relayed, PV_S(15)},
    {"one moves while the other sleeps", "port-restricted", false, moved_while_the_other_sleeps,
     PV_S(15)},
    {"IPv6 is lost", "port-restricted", true, ipv6_is_lost, PV_S(15)},
    {"IPv6 goes silent", "port-restricted", true, ipv6_goes_silent, PV_S(15)},
};

PV_SIM_WHOLE(no_restart_is_needed_to_leave_the_relay, 2)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(stuck); i++) {
        struct pair p = {.ipv6 = stuck[i].ipv6};
        sim_case("%s (%s)", stuck[i].text, stuck[i].profile);
        sim_must(met(&p, seed, stuck[i].profile, "direct"), "not met");
        stuck[i].happens(&p);
        pv_ns begin = sim_net_now(sim.net);
        pv_ns end = begin + stuck[i].bound + PV_S(200);
        /* A path that died unseen is direct in name only: something must have arrived besides. */
        uint64_t before = sim_node_flow_seen(p.b).received;
        do {
            load(&p, A_TO_B | B_TO_A, PV_MS(100), PV_MS(500));
        } while (sim_net_now(sim.net) < end &&
                 !(both_use(&p, "direct") && sim_node_flow_seen(p.b).received > before + 3 &&
                   sim_net_now(sim.net) > begin + PV_S(2)));
        pv_ns took = sim_net_now(sim.net) - begin;
        if (getenv("PV_SIM_TIMES") != NULL)
            printf("%s, seed %llu: direct after %.1f s\n", sim_case_name(),
                   (unsigned long long)seed, (double)took / 1e9);
        sim_must_take(took, stuck[i].bound, "direct again too late,");
    }
}

/* --- a path that lies ------------------------------------------------------------------------- */

/* Lets everything but transport data through: a firewall that knows WireGuard and not STUN. */
static bool no_data(void *ctx, unsigned host, const struct pv_addr *dst, struct pv_view payload)
{
    return payload.len == 0 || payload.ptr[0] != 4;
}

/* Its checks are answered, and not one packet of data arrives: it is left, held down for longer and
 * longer, and used again once it tells the truth. */
PV_SIM_WHOLE(a_path_that_lies_is_held_down, 3)
{
    struct pair p = {.ipv6 = false};
    size_t d = seed % PV_ARRAY_LEN(directions);
    unsigned ways = directions[d].ways;
    sim_case("a path lies, traffic %s", directions[d].text);
    sim_must(met(&p, seed, "port-restricted", "direct"), "not met");
    load(&p, ways, PV_MS(20), PV_S(12));
    sim_net_set_tap(sim.net, no_data, NULL);
    begin_to_measure(&p);
    load(&p, ways, PV_MS(20), PV_S(15));
    sim_must(gap_within(&p, ways, PV_S(5)), "it was not left within 5 s:");
    sim_node_flow_begin(p.a);
    sim_node_flow_begin(p.b);
    load(&p, ways, PV_MS(50), PV_S(900));
    sim_world_run(SECOND);
    for (int i = 0; i < 2; i++) {
        uint64_t sent = sim_node_flow_seen(i == 0 ? p.a : p.b).sent;
        uint64_t got = sim_node_flow_seen(i == 0 ? p.b : p.a).received;
        snprintf(sim.why, sizeof(sim.why), "%llu of %llu arrived in a quarter of an hour",
                 (unsigned long long)got, (unsigned long long)sent);
        if (getenv("PV_SIM_TIMES") != NULL)
            printf("%s, seed %llu: %s\n", sim_case_name(), (unsigned long long)seed, sim.why);
        sim_must(got * 100 >= sent * 95, "it is tried too often:");
    }
    sim_net_set_tap(sim.net, NULL, NULL);
    load(&p, ways, PV_MS(50), PV_S(400)); /* the longest hold and a minute */
    sim_must(both_use(&p, "direct"), "not used again although it carries data");
}

/* --- what is told about a path ---------------------------------------------------------------- */

static double path_number(struct pair *p, struct sim_node *n, const char *name)
{
    const char *answer = sim_world_ask(n, SECOND, "'cmd':'peers'");
    json_t *root = answer == NULL ? NULL : json_loads(answer, 0, NULL);
    const json_t *peer = json_array_get(json_object_get(root, "peers"), 0);
    const json_t *value = json_object_get(json_object_get(peer, "path"), name);
    double number = json_is_number(value) ? json_number_value(value) : -1;
    json_decref(root);
    return number;
}

/* Round trip and loss of `peers` are those of the lines, relayed or not. */
PV_SIM_WHOLE(round_trip_and_loss_are_told_as_they_are, 2)
{
    static const char *const kinds[][2] = {{"port-restricted", "direct"}, {"symmetric", "relay"}};
    const char *const *kind = kinds[seed % 2];
    static const struct pv_link_config bad = {.delay = PV_MS(25), .loss = 0.06};
    struct pair p = {.ipv6 = false};
    sim_case("%s: what is told", kind[1]);
    sim_must(met(&p, seed, kind[0], kind[1]), "not met");
    unsigned zones[] = {p.za, p.zb};
    for (unsigned i = 0; i < 2; i++) {
        pv_nat_config(sim_net_nat(sim.net, zones[i]))->line_out = bad;
        pv_nat_config(sim_net_nat(sim.net, zones[i]))->line_in = bad;
    }
    load(&p, A_TO_B | B_TO_A, PV_MS(100), PV_S(400)); /* 32 checks are looked back on */
    double told[2] = {0};
    for (int k = 0; k < LOOKS; k++) { /* one look alone would be 32 throws of dice */
        load(&p, A_TO_B | B_TO_A, PV_MS(100), PV_S(160));
        told[0] += path_number(&p, p.a, "loss") / LOOKS;
        told[1] += path_number(&p, p.b, "loss") / LOOKS;
    }
    /* Four lines of 25 ms; the relay adds the coordinator's line of 10 ms, four times. */
    double rtt = seed % 2 == 0 ? 100 : 140;
    double lost = 1 - 0.94 * 0.94 * 0.94 * 0.94;
    for (int i = 0; i < 2; i++) {
        struct sim_node *n = i == 0 ? p.a : p.b;
        double rtt_ms = path_number(&p, n, "rtt_ms"), loss = told[i];
        if (getenv("PV_SIM_TIMES") != NULL)
            printf("%s, seed %llu: %.1f ms, %.3f lost\n", sim_case_name(), (unsigned long long)seed,
                   rtt_ms, loss);
        snprintf(sim.why, sizeof(sim.why), "%.1f ms, %.3f lost; true: %.1f, %.3f", rtt_ms, loss,
                 rtt, lost);
        sim_must(rtt_ms >= rtt * 0.9 && rtt_ms <= rtt * 1.15 && loss >= lost / 2 &&
                     loss <= lost * 1.5,
                 "what is told is not so:");
    }
}

/* An outage of both paths is over: what did not pass meanwhile is not what they lose. */
PV_SIM(an_outage_is_not_told_as_loss, SEEDS)
{
    struct pair p = {.ipv6 = false};
    sim_case("loss after an outage");
    sim_must(met(&p, seed, "port-restricted", "direct"), "not met");
    sim_net_set_wall(sim.net, sim_coord_host(sim.coord));
    load(&p, A_TO_B | B_TO_A, PV_MS(50), PV_S(12));
    sim_net_set_wall(sim.net, SIM_NO_WALL);
    for (int i = 0; i < 120 && !both_use(&p, "direct"); i++)
        load(&p, A_TO_B | B_TO_A, PV_MS(50), SECOND);
    for (int i = 0; i < 2; i++) {
        double loss = path_number(&p, i == 0 ? p.a : p.b, "loss");
        snprintf(sim.why, sizeof(sim.why), "%.3f lost", loss);
        sim_must(both_use(&p, "direct") && loss >= 0 && loss <= 0.1,
                 "a line without loss, direct again:");
    }
}

/* --- changing the path ------------------------------------------------------------------------ */

/* Traffic until both use that type of path; the time it took, PV_NEVER after ten seconds. */
static pv_ns load_until(struct pair *p, const char *type)
{
    pv_ns begin = sim_net_now(sim.net);
    while (sim_net_now(sim.net) < begin + PV_S(10)) {
        load(p, A_TO_B | B_TO_A, PV_US(100), PV_MS(20));
        if (both_use(p, type))
            return sim_net_now(sim.net) - begin;
    }
    return PV_NEVER;
}

/*
 * Planned changes, by the candidates alone: one side's interface is taken away as far as the node
 * is told (as when another one is preferred), and given back; what is under way to it still
 * arrives. Both sides go to the relay and come back to a direct path, at 10,000 packets a second
 * each way. Not one is lost, none comes twice. (A path that dies loses what was under way; how soon
 * that ends is asserted above.)
 */
static void planned_switches(uint64_t seed, void *ctx)
{
    struct pair p = {.ipv6 = false};
    unsigned switches = *(const unsigned *)ctx;
    if (sim_is_long())
        switches = 1000;
    sim_case("%u planned switches", switches);
    sim_must(met(&p, seed, "port-restricted", "direct"), "not met");
    for (unsigned i = 0; i < switches; i++) {
        bool away = i % 2 == 0;
        sim_node_hide_links(i / 2 % 2 == 0 ? p.a : p.b, away);
        sim_must(load_until(&p, away ? "relay" : "direct") != PV_NEVER,
                 away ? "not on the relay" : "not direct again");
    }
    sim_must(all_arrived(&p), "packets were lost or came twice");
}

PV_TEST(planned_changes_of_path_lose_nothing)
{
    unsigned switches = 20;
    sim_seeds(1, planned_switches, &switches);
}

struct first {
    unsigned host;
    struct pv_addr coord;
    pv_ns data_at; /* when the first relayed transport data left; 0 = not yet */
};

static bool watch_data(void *ctx, unsigned host, const struct pv_addr *dst, struct pv_view payload)
{
    struct first *f = ctx;
    bool in_channel = payload.len > 8 && (payload.ptr[0] & 0xc0) == 0x40 && payload.ptr[4] == 4;
    /* A Send indication (0x0016) holds the packet as it is, in DATA. */
    bool in_send = payload.len > 120 && payload.ptr[0] == 0 && payload.ptr[1] == 0x16;
    if (host == f->host && f->data_at == 0 && pv_addr_equal_ip(dst, &f->coord) &&
        (in_channel || in_send))
        f->data_at = sim_net_now(sim.net);
    return true;
}

/* p2pvpnctl ping is use, too: nothing else is sent, and the path is dead. */
PV_SIM(pings_alone_find_out_that_a_path_is_dead, SEEDS)
{
    struct pair p = {.ipv6 = false};
    sim_case("only pings find a dead path");
    sim_must(met(&p, seed, "port-restricted", "direct"), "not met");
    sim_world_run(PV_S(30));
    sim_net_set_wall(sim.net, sim_coord_host(sim.coord)); /* nothing but the coordinator passes */
    const char *answer =
        sim_world_ask(p.a, PV_S(8), "'cmd':'ping','peer':'b','count':3,'interval_ms':1000");
    sim_must(sim_answer_has(answer, "'received':3"), "the relay did not take all three pings:");
}

/* The first packet to a peer never spoken to: its data leaves for the relay two round trips to the
 * coordinator later, at most (message 1 and 2 ride on the signals). */
PV_SIM(the_first_data_leaves_over_the_relay_within_two_round_trips, 16)
{
    static const char *const kinds[] = {"full-cone", "port-restricted", "symmetric", "linux"};
    static const struct pv_link_config line = {.delay = PV_MS(20)}, good = {.delay = PV_MS(10)};
    struct pair p = {.seed = seed};
    sim_case("first packet, %s", kinds[seed % 4]);
    sim_world_init(seed, &good);
    p.za = sim_world_nat(SIM_PUBLIC, kinds[seed % 4], &line);
    p.zb = sim_world_nat(SIM_PUBLIC, kinds[seed / 4 % 4], &line);
    p.a = sim_world_node(p.za, "a", false);
    p.b = sim_world_node(p.zb, "b", false);
    sim_must(sim_world_join_all(), "not joined");
    sim_world_run(PV_S(3));
    struct first f = {.host = sim_node_host(p.a), .coord = pv_addr4(198, 51, 100, 10, 0)};
    struct pv_addr to = sim_node_overlay(p.b, PV_AF_INET);
    sim_net_set_tap(sim.net, watch_data, &f);
    pv_ns begin = sim_net_now(sim.net);
    sim_node_flow(p.a, &to);
    sim_world_run(SECOND);
    sim_net_set_tap(sim.net, NULL, NULL);
    const pv_ns round_trip = 2 * PV_MS(20 + 10); /* through a NAT's line and the coordinator's */
    snprintf(sim.why, sizeof(sim.why), "after %.1f ms",
             f.data_at == 0 ? -1.0 : (double)(f.data_at - begin) / 1e6);
    sim_must(f.data_at != 0 && f.data_at - begin <= 2 * round_trip, "the first data left late:");
    sim_must(sim_node_flow_seen(p.b).received == 1, "and it did not arrive");
}
