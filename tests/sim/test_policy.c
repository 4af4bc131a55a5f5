/* SPDX-License-Identifier: MIT */
/*
 * test_policy.c - rules change under traffic: every node sends to every other one all the time, and
 * to a group that programs join and leave; an admin makes, removes and reorders rules and tags at
 * random, nodes restart, one floods from ever new ports, one sends on what it hears. Nothing
 * arrives that the rules forbade now and a moment before, and all arrives that they allow for a
 * while.
 */
#include "tests/sim/world/sim_world.h"
#include "tests/unit/test_util.h"

enum {
    SEEDS = 2, /* PV_SIM_SEEDS sets another number */
    NODES = 4,
    RULES = 8,   /* at once */
    ROUNDS = 45, /* changes of one walk; two thirds of them without PV_TEST_WHOLE */
    ANY = NODES, /* whom a rule means, beside nodes: everybody, or who has the tag */
    TAGGED,
    WHOS,
    FLOOD = 100, /* datagrams a second */
};
static const char group[] = "239.66.0.1";
#define SETTLED PV_S(6) /* by then every node that runs knows a change, and has a path again */

static const struct pv_link_config line = {.delay = PV_MS(10), .jitter = PV_MS(2)};
static const char *const who_names[WHOS] = {"n0", "n1", "n2", "n3", "any", "tag:guest"};
static const char *const port_sets[] = {"all", "udp", "tcp,ping", "udp/1"};
static const bool has_sink[] = {true, true, false, false};

struct rule {
    bool allow;
    unsigned from, to, ports;
};

struct scene {
    struct test_rng rng;
    struct rule rules[RULES];
    size_t n_rules;
    bool deny_default;
    bool tagged[NODES];
    bool may[NODES][NODES];    /* by the rules of now */
    pv_ns since[NODES][NODES]; /* since when that is so */
    bool joined[NODES], reflects[NODES];
    unsigned flooder;            /* NODES: nobody floods */
    size_t cast;                 /* packets to the group that arrived */
    pv_ns arrived[NODES][NODES]; /* the last one */
    pv_ns restarted[NODES];
};

static unsigned below(struct scene *s, unsigned n)
{
    return (unsigned)(test_rng_next(&s->rng) % n);
}

/* --- what the rules say, read from the top ------------------------------------------------------
 */

static bool means(const struct scene *s, unsigned who, unsigned node)
{
    return who == ANY || who == node || (who == TAGGED && s->tagged[node]);
}

static bool may_send(const struct scene *s, unsigned from, unsigned to)
{
    for (size_t i = 0; i < s->n_rules; i++) {
        const struct rule *r = &s->rules[i];
        if (means(s, r->from, from) && means(s, r->to, to) && has_sink[r->ports])
            return r->allow;
    }
    return !s->deny_default;
}

static void judge_all(struct scene *s)
{
    pv_ns now = sim_net_now(sim.net);
    for (unsigned a = 0; a < NODES; a++) {
        for (unsigned b = 0; b < NODES; b++) {
            bool may = may_send(s, a, b);
            if (may == s->may[a][b])
                continue;
            s->may[a][b] = may;
            s->since[a][b] = now;
        }
    }
}

/* --- an admin's whims ---------------------------------------------------------------------------
 */

/* A rule behind one that says the same is not made. */
static bool is_said_before(const struct scene *s, const struct rule *r, size_t at)
{
    bool said = false;
    for (size_t i = 0; i < at; i++) {
        const struct rule *x = &s->rules[i];
        said = said || (x->allow == r->allow && x->from == r->from && x->to == r->to &&
                        x->ports == r->ports);
    }
    return said;
}

static bool add_rule(struct scene *s)
{
    struct rule r = {.allow = below(s, 2) == 0,
                     .from = below(s, WHOS),
                     .to = below(s, WHOS),
                     .ports = below(s, PV_ARRAY_LEN(port_sets))};
    size_t at = below(s, (unsigned)s->n_rules + 1), place = at == s->n_rules ? 0 : at + 1;
    if (!is_said_before(s, &r, at)) {
        memmove(&s->rules[at + 1], &s->rules[at], (s->n_rules - at) * sizeof(r));
        s->rules[at] = r;
        s->n_rules++;
    }
    judge_all(s); /* it holds from when it is asked for, at the earliest */
    return sim_world_tell(sim.nodes[0], PV_S(5),
                          "'cmd':'rule_add','verdict':'%s','from':'%s','to':'%s',"
                          "'ports':'%s','place':%zu",
                          r.allow ? "allow" : "deny", who_names[r.from], who_names[r.to],
                          port_sets[r.ports], place);
}

static bool remove_rule(struct scene *s)
{
    size_t at = below(s, (unsigned)s->n_rules);
    s->n_rules--;
    memmove(&s->rules[at], &s->rules[at + 1], (s->n_rules - at) * sizeof(s->rules[0]));
    judge_all(s);
    return sim_world_tell(sim.nodes[0], PV_S(5), "'cmd':'rule_remove','number':%zu", at + 1);
}

static bool change_something(struct scene *s)
{
    char request[100];
    unsigned what = below(s, 10), node = below(s, NODES);
    if (what < 4 && s->n_rules < RULES)
        return add_rule(s);
    if (what < 7 && s->n_rules > 0)
        return remove_rule(s);
    if (what < 8) {
        s->deny_default = !s->deny_default;
        snprintf(request, sizeof(request), "'cmd':'rules_default','verdict':'%s'",
                 s->deny_default ? "deny" : "allow");
    } else {
        s->tagged[node] = !s->tagged[node];
        snprintf(request, sizeof(request), "'cmd':'%s','peer':'n%u','tag':'guest'",
                 s->tagged[node] ? "tag" : "untag", node);
    }
    judge_all(s);
    return sim_world_tell(sim.nodes[0], PV_S(5), "%s", request);
}

/* The events that need no admin: programs, and machines that do what they should not. */
static void disturb(struct scene *s)
{
    unsigned node = below(s, NODES);
    s->joined[node] = !s->joined[node];
    sim_node_join(sim.nodes[node], group, s->joined[node]);
    if (below(s, 4) == 0) {
        node = below(s, NODES);
        s->reflects[node] = !s->reflects[node];
        sim_node_set_reflects(sim.nodes[node], s->reflects[node]);
    }
    if (below(s, 4) == 0)
        s->flooder = below(s, 2 * NODES);
}

/* --- traffic ------------------------------------------------------------------------------------
 */

/* Each from a port that no packet had before. */
static void flood(struct scene *s)
{
    struct pv_addr to = sim_node_overlay(sim.nodes[(s->flooder + 1) % NODES], PV_AF_INET);
    for (unsigned i = 0; i < FLOOD; i++)
        (void)sim_node_send_udp(sim.nodes[s->flooder], &to, (uint16_t)test_rng_next(&s->rng),
                                pv_view("x", 1));
}

static void send_all(void *ctx)
{
    struct scene *s = ctx;
    struct pv_addr many;
    if (s->flooder < NODES)
        flood(s);
    if (pv_addr_parse_ip(group, &many) == PV_OK) {
        for (unsigned a = 0; a < NODES; a++)
            (void)sim_node_send_udp(sim.nodes[a], &many, 40000, pv_view("x", 1));
    }
    for (unsigned a = 0; a < NODES; a++) {
        for (unsigned b = 0; b < NODES; b++) {
            struct pv_addr to =
                sim_node_overlay(sim.nodes[b], b % 2 == 0 ? PV_AF_INET : PV_AF_INET6);
            if (a != b)
                (void)sim_node_send_udp(sim.nodes[a], &to, (uint16_t)(40000 + b), pv_view("x", 1));
        }
    }
}

static unsigned sender_of(struct scene *s, const struct pv_addr *src)
{
    for (unsigned a = 0; a < NODES; a++) {
        struct pv_addr ip4 = sim_node_overlay(sim.nodes[a], PV_AF_INET);
        struct pv_addr ip6 = sim_node_overlay(sim.nodes[a], PV_AF_INET6);
        if (pv_addr_equal_ip(src, &ip4) || pv_addr_equal_ip(src, &ip6))
            return a;
    }
    return NODES;
}

/* The packets that arrived since the last look: was it allowed a moment ago? */
static const char *look(struct scene *s)
{
    for (unsigned b = 0; b < NODES; b++) {
        for (size_t i = 0; i < sim_node_n_sunk(sim.nodes[b]); i++) {
            const struct sim_sunk *x = sim_node_sunk(sim.nodes[b], i);
            unsigned a = sender_of(s, &x->src);
            if (a == NODES)
                return "a packet of nobody";
            if (pv_addr_is_multicast(&x->dst))
                s->cast++;
            else
                s->arrived[a][b] = x->at;
            if (s->may[a][b] || x->at < s->since[a][b] + SETTLED)
                continue;
            snprintf(sim.why, sizeof(sim.why), "from n%u to n%u", a, b);
            return "a packet passed that was forbidden for long:";
        }
        sim_node_forget_sunk(sim.nodes[b]);
    }
    return NULL;
}

/* A packet that has been allowed for long arrives. */
static const char *miss(struct scene *s)
{
    pv_ns now = sim_net_now(sim.net);
    for (unsigned a = 0; a < NODES; a++) {
        for (unsigned b = 0; b < NODES; b++) {
            bool long_since = now > s->since[a][b] + 2 * SETTLED &&
                              now > s->restarted[a] + 3 * SETTLED &&
                              now > s->restarted[b] + 3 * SETTLED;
            if (a == b || !s->may[a][b] || !long_since || s->arrived[a][b] + SETTLED > now)
                continue;
            snprintf(sim.why, sizeof(sim.why), "from n%u to n%u", a, b);
            return "nothing passed that was allowed for long:";
        }
    }
    return NULL;
}

static const char *wrong(void *ctx)
{
    const char *failure = look(ctx);
    return failure != NULL ? failure : miss(ctx);
}

static const char *traffic(struct scene *s, pv_ns duration)
{
    return sim_world_traffic(duration, PV_S(1), send_all, wrong, s);
}

static const char *walk(struct scene *s)
{
    if (!sim_world_join_all())
        return "no network:";
    judge_all(s);
    const char *failure = traffic(s, PV_S(20));
    const unsigned rounds = test_takes_all() ? ROUNDS : ROUNDS * 2 / 3;
    for (unsigned i = 0; failure == NULL && i < rounds; i++) {
        unsigned node = 1 + below(s, NODES - 1);
        if (!change_something(s))
            return "not done:";
        if (below(s, 12) == 0) {
            sim_node_restart(sim.nodes[node]);
            s->restarted[node] = sim_net_now(sim.net);
            s->joined[node] = false;
        }
        disturb(s);
        failure = traffic(s, PV_S(1 + below(s, 30)));
    }
    return failure == NULL && s->cast == 0 ? "nothing came to the group" : failure;
}

PV_SIM(nothing_passes_that_no_rule_allows, SEEDS)
{
    struct scene s;
    memset(&s, 0, sizeof(s));
    s.rng.state = seed;
    s.flooder = NODES;
    sim_world_init(seed, &line);
    for (unsigned i = 0; i < NODES; i++)
        sim_world_node(SIM_PUBLIC, who_names[i], false);
    const char *failure = walk(&s);
    sim_must(failure == NULL, failure);
}
