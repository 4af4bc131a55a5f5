/* SPDX-License-Identifier: MIT */
/*
 * test_thin.c - thin traffic over a direct path, in many rhythms: what it costs beside itself, in
 * packets through the relay and bytes on the wire, and that a path that dies is replaced as soon as
 * under any other load. Time is virtual: every bound is exact.
 */
#include "tests/sim/world/pair.h"

enum {
    BURST = 5,           /* packets */
    SEEDS = 1,           /* PV_SIM_SEEDS sets another number */
    UDP_HEADERS = 28,    /* bytes of IPv4 and UDP header, RFC 791, RFC 768 */
    DATA_MAX = 160,      /* bytes of UDP payload: none of this test's packets is larger, sealed */
    TRANSPORT_DATA = 4,  /* first byte of WireGuard's, DESIGN 8 */
    CHANNEL_FIRST = 0x40 /* of ChannelData, RFC 8656 s12; no other byte of ours is as large */
};

enum kind {
    ASKS,   /* a asks, b answers */
    SENDS,  /* a sends, b is silent */
    BOTH,   /* each sends, neither answers */
    BURSTS, /* a asks 5 times within 100 ms */
    TYPES,  /* a asks, after 50 to 195 % of the time */
};

struct rhythm {
    const char *text;
    enum kind kind;
    pv_ns every;
};

/* The datagrams that one node sent. */
struct tally {
    unsigned host;
    unsigned relayed, checks;
    uint64_t beside; /* bytes with headers: all but data */
};

static bool count(void *ctx, unsigned host, const struct pv_addr *dst, struct pv_view payload)
{
    struct tally *of = ctx;
    for (int i = 0; i < 2; i++) {
        if (of[i].host != host || payload.len == 0)
            continue;
        uint8_t first = payload.ptr[0];
        if (first == TRANSPORT_DATA && payload.len <= DATA_MAX)
            continue;
        of[i].relayed += (first & 0xc0) == CHANNEL_FIRST;
        of[i].checks += first < 2;
        of[i].beside += payload.len + UDP_HEADERS;
    }
    return true;
}

/* The accident in the middle of the traffic; PV_NEVER: nothing. */
struct accident {
    pv_ns at;
    void (*happens)(struct pair *p);
};

static void pass(struct pair *p, pv_ns time, struct accident *x)
{
    pv_ns end = sim_net_now(sim.net) + time;
    if (x->at <= end) {
        if (x->at > sim_net_now(sim.net))
            sim_world_run(x->at - sim_net_now(sim.net));
        x->happens(p);
        x->at = PV_NEVER;
    }
    sim_world_run(end - sim_net_now(sim.net));
}

static void send_in_rhythm(struct pair *p, const struct rhythm *r, pv_ns duration,
                           struct accident x)
{
    struct pv_addr to_a = sim_node_overlay(p->a, PV_AF_INET);
    struct pv_addr to_b = sim_node_overlay(p->b, PV_AF_INET);
    pv_ns end = sim_net_now(sim.net) + duration;
    while (sim_net_now(sim.net) < end) {
        pv_ns wait = r->every;
        if (r->kind == TYPES)
            wait = r->every / 100 * (50 + sim_draw(146));
        for (int i = 0; i < (r->kind == BURSTS ? BURST : 1); i++) {
            if (r->kind == SENDS || r->kind == BOTH)
                sim_node_flow(p->a, &to_b);
            else
                sim_node_ping(p->a, &to_b, 32);
            if (r->kind == BURSTS) {
                pass(p, PV_MS(25), &x);
                wait -= PV_MS(25);
            }
        }
        if (r->kind == BOTH) {
            pass(p, wait / 3, &x);
            sim_node_flow(p->b, &to_a);
            wait -= wait / 3;
        }
        pass(p, wait, &x);
    }
}

static const struct accident nothing = {.at = PV_NEVER};

static const struct rhythm rhythms[] = {
    {"asks every 0.2 s", ASKS, PV_MS(200)},
    {"asks every second", ASKS, PV_S(1)},
    {"asks every 3 s", ASKS, PV_S(3)},
    {"asks every 10 s", ASKS, PV_S(10)},
    {"asks every 20 s", ASKS, PV_S(20)},
    {"sends every 0.2 s", SENDS, PV_MS(200)},
    {"sends every second", SENDS, PV_S(1)},
    {"sends every 3 s", SENDS, PV_S(3)},
    {"sends every 10 s", SENDS, PV_S(10)},
    {"both send every second", BOTH, PV_S(1)},
    {"both send every 3 s", BOTH, PV_S(3)},
    {"bursts every second", BURSTS, PV_S(1)},
    {"bursts every 3 s", BURSTS, PV_S(3)},
    {"types, once a second", TYPES, PV_S(1)},
    {"types, four times a second", TYPES, PV_MS(250)},
};

static void tell(const struct pair *p)
{
    if (getenv("PV_SIM_TIMES") != NULL)
        printf("%-28s seed %llu: %s\n", sim_case_name(), (unsigned long long)p->seed, sim.why);
}

/* The bounds: a packet in 5 s through the relay, and where the path is silent between two of them
 * each as well (adr/0077), counted at both ends; of a packet a second and thinner 0.3 KB/s a node
 * beside it. Traffic sent more often into silence has its checks three times a second. */
static bool is_cheap(struct pair *p, const struct rhythm *r, const struct tally of[2], double took)
{
    double relayed = (of[0].relayed + of[1].relayed) / took;
    double beside[2] = {(double)of[0].beside / took, (double)of[1].beside / took};
    snprintf(sim.why, sizeof(sim.why), "relayed %.2f/s, checks %.2f/s, %.0f+%.0f B/s", relayed,
             (of[0].checks + of[1].checks) / took, beside[0], beside[1]);
    tell(p);
    double bound = r->kind == SENDS && r->every < PV_S(1) ? 450 : 300;
    double doubled = r->every > PV_FP_SURE_FOR ? 2e9 / (double)r->every : 0;
    return relayed <= 0.2 + doubled && beside[0] <= bound && beside[1] <= bound;
}

PV_SIM(thin_traffic_costs_little_beside_itself, SEEDS)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(rhythms); i++) {
        const struct rhythm *r = &rhythms[i];
        struct pair p = {.ipv6 = false};
        sim_case("%s", r->text);
        sim_must(met(&p, seed, "port-restricted", "direct"), "not met");
        struct tally of[2] = {{.host = sim_node_host(p.a)}, {.host = sim_node_host(p.b)}};
        send_in_rhythm(&p, r, PV_S(20), nothing);
        sim_net_set_tap(sim.net, count, of);
        pv_ns begin = sim_net_now(sim.net);
        send_in_rhythm(&p, r, PV_S(120), nothing);
        double took = (double)(sim_net_now(sim.net) - begin) / 1e9;
        sim_net_set_tap(sim.net, NULL, NULL);
        sim_must(is_cheap(&p, r, of, took), "it costs");
        sim_must(both_use(&p, "direct"), "the path was left");
    }
}

/* --- what breaks ------------------------------------------------------------------------------ */

static void wall_falls(struct pair *p)
{
    sim_net_set_wall(sim.net, sim_coord_host(sim.coord));
}

static void nat_of_a_reboots(struct pair *p)
{
    sim_net_reboot_nat(sim.net, p->za);
}

static void nat_of_b_reboots(struct pair *p)
{
    sim_net_reboot_nat(sim.net, p->zb);
}

static const struct {
    const char *text;
    void (*happens)(struct pair *p);
} breaks[] = {
    {"only the relay is left", wall_falls},
    {"the NAT of a reboots", nat_of_a_reboots},
    {"the NAT of b reboots", nat_of_b_reboots},
};

/* How many of a's questions had no answer, or of the data that a and b sent did not arrive. */
static unsigned lost(const struct pair *p, const struct rhythm *r)
{
    struct sim_pings pings = sim_node_pings(p->a);
    struct sim_flow a = sim_node_flow_seen(p->a), b = sim_node_flow_seen(p->b);
    if (r->kind != SENDS && r->kind != BOTH)
        return pings.sent - pings.answered;
    unsigned from_a = (unsigned)(a.sent - b.received), from_b = (unsigned)(b.sent - a.received);
    return from_a > from_b ? from_a : from_b;
}

/* Nothing is lost that is sent later than a second after the first loss. */
static void breaks_in_rhythm(uint64_t seed, const struct rhythm *r, size_t what)
{
    struct pair p = {.ipv6 = false};
    sim_case("%s, %s", r->text, breaks[what].text);
    sim_must(met(&p, seed, "port-restricted", "direct"), "not met");
    send_in_rhythm(&p, r, 10 * r->every > PV_S(20) ? 10 * r->every : PV_S(20), nothing);
    unsigned before = lost(&p, r);
    struct accident x = {.happens = breaks[what].happens};
    x.at = sim_net_now(sim.net) + r->every / 1000 * sim_draw(1000);
    send_in_rhythm(&p, r, 5 * r->every > PV_S(10) ? 5 * r->every : PV_S(10), x);
    sim_world_run(SECOND);
    unsigned gone = lost(&p, r) - before;
    unsigned burst = r->kind == BURSTS ? BURST : 1;
    unsigned bound = burst * (1 + (unsigned)(SECOND / r->every));
    snprintf(sim.why, sizeof(sim.why), "%u packets lost, up to %u allowed", gone, bound);
    tell(&p);
    sim_must(gone <= bound, "replaced too late:");
}

PV_SIM_WHOLE(a_path_that_dies_under_thin_traffic_costs_a_second_at_most, SEEDS)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(rhythms); i++)
        for (size_t what = 0; what < PV_ARRAY_LEN(breaks); what++)
            breaks_in_rhythm(seed, &rhythms[i], what);
}
