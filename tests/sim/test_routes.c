/* SPDX-License-Identifier: MIT */
/*
 * test_routes.c - prefixes change hands under traffic: an admin allows and denies, gateways offer
 * and withdraw two prefixes of which one lies in the other, they are killed and come back, and one
 * of them speaks for addresses behind it all the time, whether it may or not. Nothing arrives by a
 * gateway that did not offer that prefix, or that no admin allowed it, now and a moment before; and
 * what somebody may carry arrives.
 */
#include <stdio.h>

#include "tests/sim/world/sim_world.h"
#include "tests/unit/test_util.h"

enum {
    SEEDS = 3, /* PV_SIM_SEEDS sets another number */
    ADMIN = 0,
    USER = 1,
    FIRST = 2, /* of the gateways */
    NODES = 5,
    PREFIXES = 2, /* the second one lies in the first */
    ROUNDS = 40,
};
#define SETTLED PV_S(8) /* by then every node that runs knows a change, and has a path again */

static const struct pv_link_config line = {.delay = PV_MS(10), .jitter = PV_MS(2)};
static const char *const prefixes[PREFIXES] = {"172.20.0.0/16", "172.20.5.0/24"};
static const char *const targets[PREFIXES] = {"172.20.1.1", "172.20.5.5"};

struct scene {
    struct sim_world w;
    struct test_rng rng;
    bool offered[NODES][PREFIXES], allowed[NODES][PREFIXES];
    bool may[NODES][PREFIXES];      /* the target of this prefix goes by this gateway, or may */
    pv_ns changed[NODES][PREFIXES]; /* since when that is so */
    bool used;                      /* by the user */
    pv_ns used_at;                  /* when that changed */
    pv_ns arrived[PREFIXES];        /* by any gateway */
    pv_ns stable[PREFIXES];         /* since when the same gateways may carry it */
    size_t n_arrived;
};

static unsigned below(struct scene *s, unsigned n)
{
    return (unsigned)(test_rng_next(&s->rng) % n);
}

static struct pv_addr address(const char *text)
{
    struct pv_addr a;
    assert_int_equal(pv_addr_parse_ip(text, &a), PV_OK);
    return a;
}

static bool carries(const struct scene *s, unsigned g, unsigned p)
{
    return s->offered[g][p] && s->allowed[g][p];
}

/* Once anybody carries the longer prefix, the shorter one is not for what lies in both. */
static bool may_carry(const struct scene *s, unsigned g, unsigned p)
{
    bool somebody = false;
    for (unsigned k = FIRST; k < NODES; k++)
        somebody = somebody || carries(s, k, p);
    return carries(s, g, p == 1 && !somebody ? 0 : p);
}

/* --- what changes --------------------------------------------------------------------------- */

static bool ask(struct scene *s, unsigned node, const char *request)
{
    const char *answer = sim_world_ask(&s->w, s->w.nodes[node], PV_S(8), request);
    if (answer != NULL && strstr(answer, "\"ok\":true") != NULL)
        return true;
    snprintf(s->w.why, sizeof(s->w.why), "%.100s: %.150s", request,
             answer == NULL ? "no answer" : answer);
    return false;
}

/* It holds from when it is asked for, at the earliest. */
static void judge_all(struct scene *s)
{
    pv_ns now = sim_net_now(s->w.net);
    for (unsigned g = FIRST; g < NODES; g++) {
        for (unsigned p = 0; p < PREFIXES; p++) {
            bool may = may_carry(s, g, p);
            if (may != s->may[g][p])
                s->changed[g][p] = s->stable[p] = now;
            s->may[g][p] = may;
        }
    }
}

static bool change_something(struct scene *s)
{
    char request[120];
    unsigned what = below(s, 10), g = FIRST + below(s, NODES - FIRST), p = below(s, PREFIXES);
    struct sim_node *node = s->w.nodes[g];
    if (what < 4) {
        s->allowed[g][p] = !s->allowed[g][p];
        snprintf(request, sizeof(request),
                 "\"cmd\":\"route_%s\",\"peer\":\"n%u\",\"prefix\":\"%s\"",
                 s->allowed[g][p] ? "allow" : "deny", g, prefixes[p]);
        judge_all(s);
        return ask(s, ADMIN, request);
    }
    if (what < 7 && sim_node_runs(node)) {
        s->offered[g][p] = !s->offered[g][p];
        snprintf(request, sizeof(request), "\"cmd\":\"route_%s\",\"prefix\":\"%s\"%s",
                 s->offered[g][p] ? "offer" : "withdraw", prefixes[p],
                 s->offered[g][p] ? ",\"auto\":true" : "");
        judge_all(s);
        return ask(s, g, request);
    }
    if (what < 9) {
        if (sim_node_runs(node))
            sim_node_kill(node);
        else
            sim_node_start(node);
        s->stable[0] = s->stable[1] = sim_net_now(s->w.net);
        return true;
    }
    s->used = !s->used;
    s->used_at = sim_net_now(s->w.net);
    return ask(s, USER,
               s->used ? "\"cmd\":\"route_use\",\"peer\":\"auto\""
                       : "\"cmd\":\"route_use\",\"peer\":\"off\"");
}

/* --- traffic -------------------------------------------------------------------------------- */

/* The user sends to both prefixes; all gateways send to the user from both, and say who they are.
 */
static void send_all(void *ctx)
{
    struct scene *s = ctx;
    struct pv_addr user = sim_node_overlay(s->w.nodes[USER], PV_AF_INET);
    for (unsigned p = 0; p < PREFIXES; p++) {
        struct pv_addr to = address(targets[p]);
        (void)sim_node_send_udp(s->w.nodes[USER], &to, (uint16_t)(40000 + below(s, 4)),
                                pv_view("u", 1));
        for (uint8_t g = FIRST; g < NODES; g++) {
            if (sim_node_runs(s->w.nodes[g]))
                (void)sim_node_send_from(s->w.nodes[g], &to, &user, pv_view(&g, 1));
        }
    }
}

static bool was_forbidden(const struct scene *s, unsigned g, unsigned p, pv_ns at)
{
    return !s->may[g][p] && at > s->changed[g][p] + SETTLED;
}

static const char *judge(struct scene *s, unsigned g, unsigned p, pv_ns at)
{
    snprintf(s->w.why, sizeof(s->w.why), "n%u and %s", g, prefixes[p]);
    if (was_forbidden(s, g, p, at))
        return "a packet passed that was forbidden for long:";
    if (!s->used && at > s->used_at + SETTLED)
        return "a packet passed although the user wants no route:";
    return NULL;
}

static unsigned prefix_of(const struct pv_addr *ip)
{
    return ip->ip[2] == 5 ? 1 : 0;
}

/* What came to a gateway's network, and what the user got from one. */
static const char *look(struct scene *s)
{
    const char *failure = NULL;
    for (unsigned g = FIRST; g < NODES && failure == NULL; g++) {
        for (size_t i = 0; i < sim_node_n_sunk(s->w.nodes[g]) && failure == NULL; i++) {
            const struct sim_sunk *x = sim_node_sunk(s->w.nodes[g], i);
            unsigned p = prefix_of(&x->dst);
            failure = judge(s, g, p, x->at);
            s->arrived[p] = x->at;
            s->n_arrived++;
        }
        sim_node_forget_sunk(s->w.nodes[g]);
    }
    for (size_t i = 0; i < sim_node_n_sunk(s->w.nodes[USER]) && failure == NULL; i++) {
        const struct sim_sunk *x = sim_node_sunk(s->w.nodes[USER], i);
        failure = judge(s, x->bytes[0], prefix_of(&x->src), x->at);
    }
    sim_node_forget_sunk(s->w.nodes[USER]);
    return failure;
}

/* What somebody that runs has been allowed to carry for long arrives. */
static const char *miss(struct scene *s)
{
    pv_ns now = sim_net_now(s->w.net);
    for (unsigned p = 0; p < PREFIXES; p++) {
        bool somebody = false;
        for (unsigned g = FIRST; g < NODES; g++)
            somebody = somebody || (s->may[g][p] && sim_node_runs(s->w.nodes[g]));
        if (!somebody || !s->used || now < s->used_at + 3 * SETTLED ||
            now < s->stable[p] + 3 * SETTLED || s->arrived[p] + SETTLED > now)
            continue;
        snprintf(s->w.why, sizeof(s->w.why), "to %s", targets[p]);
        return "nothing passed that was allowed for long:";
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
    return sim_world_traffic(&s->w, duration, PV_MS(500), send_all, wrong, s);
}

static const char *walk(struct scene *s)
{
    if (!sim_world_join_all(&s->w))
        return "no network:";
    s->used = true;
    s->used_at = sim_net_now(s->w.net);
    const char *failure = traffic(s, PV_S(5));
    for (unsigned i = 0; failure == NULL && i < ROUNDS; i++) {
        if (!change_something(s))
            return "a request failed:";
        failure = traffic(s, below(s, 5) == 0 ? PV_S(40) : PV_MS(500 + below(s, 4000)));
    }
    return failure;
}

static int one(uint64_t seed, void *ctx)
{
    static struct scene s;
    (void)ctx;
    memset(&s, 0, sizeof(s));
    s.rng.state = seed;
    sim_world_init(&s.w, seed, &line);
    for (unsigned i = 0; i < NODES; i++) {
        char name[8];
        snprintf(name, sizeof(name), "n%u", i);
        unsigned zone = i == USER ? sim_world_nat(&s.w, 0, "full-cone", &line) : SIM_PUBLIC;
        (void)sim_world_node(&s.w, zone, name, false);
    }
    const char *failure = walk(&s);
    if (failure == NULL && s.n_arrived == 0)
        failure = "nothing ever arrived";
    if (failure != NULL)
        printf("routes, seed %llu at %.1f s: %s %s\n", (unsigned long long)seed,
               (double)(sim_net_now(s.w.net) - PV_S(3600)) / 1e9, failure, s.w.why);
    sim_world_done(&s.w);
    return failure != NULL ? 1 : 0;
}

static void nothing_passes_that_nobody_allowed(void **state)
{
    (void)state;
    assert_int_equal(sim_seeds("sim_routes", SEEDS, one, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_passes_that_nobody_allowed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
