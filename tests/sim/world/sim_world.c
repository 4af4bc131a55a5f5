/* SPDX-License-Identifier: MIT */
#include "sim_world.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/jsonread.h"
#include "crypto/ct.h"
#include "tests/natcore/natcore_text.h"
#include "tests/test.h"

enum {
    EXPLAINED = 4, /* nodes whose memories are printed when a run fails */
};

struct sim_world sim;

uint32_t sim_draw(uint32_t bound)
{
    return pv_natrng_below(sim_net_rng(sim.net), bound);
}

static void end_world(void *ctx)
{
    for (size_t i = 0; i < sim.n_nodes; i++)
        sim_node_free(sim.nodes[i]);
    sim_coord_free(sim.coord);
    for (size_t i = 0; i < sim.n_coords; i++)
        sim_coord_free(sim.coords[i]);
    sim_net_free(sim.net);
    for (size_t i = 0; i < sim.n_tokens; i++)
        free(sim.tokens[i]);
    memset(&sim, 0, sizeof(sim));
}

/* Taps and hooks have their context in the scenario, which has returned. */
void sim_world_done(void)
{
    if (sim.net == NULL)
        return;
    sim_net_set_tap(sim.net, NULL, NULL);
    sim_coord_set_hook(sim.coord, NULL, NULL);
    test_end(&sim);
}

void sim_world_init(uint64_t seed, const struct pv_link_config *line)
{
    sim_world_done();
    test_defer(end_world, &sim);
    int r = pv_crypto_init();
    assert(r == PV_OK);
    json_object_seed(1); /* does nothing the second time */
    sim.net = sim_net_new(seed);
    struct pv_addr ip = pv_addr4(198, 51, 100, 10, 0);
    sim.coord = sim_coord_new(sim.net, &ip, line);
    struct pv_addr ip6;
    r = pv_addr_parse_ip("2001:db8::10", &ip6);
    assert(r == PV_OK);
    (void)r;
    sim_net_add_addr(sim.net, sim_coord_host(sim.coord), &ip6);
}

struct sim_coord *sim_world_coord(uint8_t last, const struct pv_link_config *line)
{
    assert(sim.n_coords < SIM_WORLD_COORDS);
    struct pv_addr ip = pv_addr4(198, 51, 100, last, 0);
    sim.coords[sim.n_coords] = sim_coord_new(sim.net, &ip, line);
    return sim.coords[sim.n_coords++];
}

unsigned sim_world_nat(unsigned outer, const char *profile, const struct pv_link_config *line)
{
    struct pv_nat_config c;
    pv_nat_config_init(&c);
    int r = pv_nat_set(&c, "profile", profile);
    assert(r == PV_OK);
    (void)r;
    if (line != NULL) {
        c.line_out = *line;
        c.line_in = *line;
    }
    unsigned zone = sim_net_add_nat(sim.net, outer, &c);
    struct pv_nat_config *config = pv_nat_config(sim_net_nat(sim.net, zone));
    config->public_ip[0] = outer == SIM_PUBLIC ? pv_addr4(203, 0, 113, (uint8_t)zone, 0)
                                               : pv_addr4(100, 64, 0, (uint8_t)zone, 0);
    config->n_public = 1;
    return zone;
}

struct sim_router *sim_world_router(unsigned zone)
{
    assert(sim.n_routers < SIM_WORLD_ROUTERS);
    struct sim_router *r = &sim.routers[sim.n_routers++];
    sim_router_init(r, sim.net, zone);
    return r;
}

struct sim_node *sim_world_node(unsigned zone, const char *name, bool ipv6)
{
    assert(sim.n_nodes < SIM_WORLD_NODES);
    unsigned host = sim_net_add_host(sim.net, zone, NULL);
    uint8_t last = (uint8_t)(20 + sim.n_nodes);
    struct pv_addr ip = zone == SIM_PUBLIC ? pv_addr4(198, 51, 100, last, 0)
                                           : pv_addr4(192, 168, (uint8_t)zone, last, 0);
    sim_net_add_addr(sim.net, host, &ip);
    if (ipv6) {
        uint8_t ip6[16] = {0x20, 0x01, 0x0d, 0xb8, 0, (uint8_t)zone, [15] = last};
        struct pv_addr a6 = pv_addr6(ip6, 0);
        sim_net_add_addr(sim.net, host, &a6);
    }
    uint16_t port = (uint16_t)(20000 + sim_draw(40000));
    sim.nodes[sim.n_nodes] = sim_node_new(sim.net, host, name, port);
    for (size_t i = 0; i < sim.n_routers; i++) {
        if (sim.routers[i].zone == zone)
            sim_node_set_router(sim.nodes[sim.n_nodes], &sim.routers[i].addr);
    }
    return sim.nodes[sim.n_nodes++];
}

void sim_world_two(uint64_t seed, const char *profile_a, const char *profile_b)
{
    static const struct pv_link_config line = {.delay = PV_MS(10)};
    const char *const profiles[] = {profile_a, profile_b}, *const names[] = {"a", "b"};
    unsigned zones[2];
    sim_world_init(seed, &line);
    for (unsigned i = 0; i < 2; i++)
        zones[i] = profiles[i] == NULL ? SIM_PUBLIC : sim_world_nat(SIM_PUBLIC, profiles[i], &line);
    for (unsigned i = 0; i < 2; i++)
        (void)sim_world_node(zones[i], names[i], false);
}

bool sim_world_step(pv_ns until)
{
    struct sim_event e;
    if (sim_net_next(sim.net, until, &e) < 0)
        return false;
    if (e.kind == SIM_AT)
        return true;
    if (e.host == sim_coord_host(sim.coord))
        sim_coord_handle(sim.coord, &e);
    for (size_t i = 0; i < sim.n_coords; i++) {
        if (sim_coord_host(sim.coords[i]) == e.host)
            sim_coord_handle(sim.coords[i], &e);
    }
    for (size_t i = 0; i < sim.n_routers; i++) {
        if (sim.routers[i].host == e.host)
            sim_router_handle(&sim.routers[i], &e);
    }
    for (size_t i = 0; i < sim.n_nodes; i++) {
        if (sim_node_host(sim.nodes[i]) == e.host)
            sim_node_handle(sim.nodes[i], &e);
    }
    return true;
}

void sim_world_run(pv_ns duration)
{
    pv_ns until = sim_net_now(sim.net) + duration;
    while (sim_world_step(until)) {
    }
}

bool sim_world_until(pv_ns timeout, bool (*is_true)(void *ctx), void *ctx)
{
    pv_ns until = sim_net_now(sim.net) + timeout;
    while (!is_true(ctx)) {
        if (!sim_world_step(until))
            return is_true(ctx);
    }
    return true;
}

const char *sim_world_traffic(pv_ns duration, pv_ns every, void (*send)(void *ctx),
                              const char *(*wrong)(void *ctx), void *ctx)
{
    pv_ns until = sim_net_now(sim.net) + duration;
    const char *failure = NULL;
    while (failure == NULL && sim_net_now(sim.net) < until) {
        send(ctx);
        sim_world_run(every);
        failure = wrong(ctx);
    }
    return failure;
}

struct asked {
    struct sim_node *node;
    unsigned id;
};

static bool is_answered(void *ctx)
{
    const struct asked *a = ctx;
    return sim_node_answer(a->node, a->id) != NULL;
}

static const char *ask(struct sim_node *n, pv_ns timeout, const char *format, va_list args)
{
    char fields[8192];
    vsnprintf(fields, sizeof(fields), format, args);
    struct asked a = {.node = n, .id = sim_node_ask(n, "%s", fields)};
    if (!sim_world_until(timeout, is_answered, &a)) {
        snprintf(sim.why, sizeof(sim.why), "%s: no answer to %.200s", sim_node_name(n), fields);
        return NULL;
    }
    const char *answer = sim_node_answer(n, a.id);
    if (strstr(answer, "\"ok\":true") == NULL) {
        snprintf(sim.why, sizeof(sim.why), "%s: %.200s: %.200s", sim_node_name(n), fields, answer);
        return NULL;
    }
    return answer;
}

const char *sim_world_ask(struct sim_node *n, pv_ns timeout, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *answer = ask(n, timeout, format, args);
    va_end(args);
    return answer;
}

bool sim_world_tell(struct sim_node *n, pv_ns timeout, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    bool done = ask(n, timeout, format, args) != NULL;
    va_end(args);
    return done;
}

bool sim_world_says(struct sim_node *n, const char *fields, const char *text)
{
    const char *answer = sim_world_ask(n, PV_S(5), "%s", fields);
    if (answer == NULL || sim_answer_has(answer, text))
        return answer != NULL;
    snprintf(sim.why, sizeof(sim.why), "%s does not say '%s' to %.80s: %.300s", sim_node_name(n),
             text, fields, answer);
    return false;
}

bool sim_world_path_is(struct sim_node *n, const char *type)
{
    return sim_world_says(n, "'cmd':'peers'", PV_STR("'type':'%s'", type));
}

bool sim_world_enter(struct sim_node *n, const char *room)
{
    for (int i = 0; i < 30; i++) {
        if (sim_world_tell(n, PV_S(5), "'cmd':'room_accept','room':'%s'", room))
            return true;
        sim_world_run(PV_S(1));
    }
    return false;
}

bool sim_world_field(const char *answer, const char *name, char *buf, size_t cap)
{
    const char *key = PV_STR("\"%s\":\"", name);
    const char *at = strstr(answer, key);
    if (at == NULL)
        return false;
    at += strlen(key);
    size_t len = strcspn(at, "\"");
    if (len >= cap)
        return false;
    memcpy(buf, at, len);
    buf[len] = '\0';
    return true;
}

const char *sim_world_invite(struct sim_node *n, const char *how)
{
    char token[4096];
    const char *answer = sim_world_ask(n, PV_S(40), "'cmd':'invite',%s", how);
    if (answer == NULL)
        return NULL;
    if (!sim_world_field(answer, "token", token, sizeof(token))) {
        snprintf(sim.why, sizeof(sim.why), "no token in %.200s", answer);
        return NULL;
    }
    assert(sim.n_tokens < SIM_WORLD_TOKENS);
    sim.tokens[sim.n_tokens] = strdup(token);
    return sim.tokens[sim.n_tokens++];
}

const char *sim_world_join(struct sim_node *n, const char *token, const char *name)
{
    if (name == NULL)
        return sim_world_ask(n, PV_S(60), "'cmd':'join','token':'%s'", token);
    return sim_world_ask(n, PV_S(60), "'cmd':'join','token':'%s','name':'%s'", token, name);
}

bool sim_world_pass_token(struct sim_node *from, struct sim_node *to)
{
    char token[4096];
    const char *answer = sim_world_ask(from, PV_S(40), "'cmd':'coordinator_token'");
    return answer != NULL && sim_world_field(answer, "token", token, sizeof(token)) &&
           sim_world_tell(to, PV_S(40), "'cmd':'coordinator_take','token':'%s'", token);
}

bool sim_world_join_all(void)
{
    if (!sim_world_tell(sim.nodes[0], PV_S(30), "'cmd':'create','url':'%s','name':'%s'",
                        sim_coord_url(sim.coord), sim_node_name(sim.nodes[0])))
        return false;
    for (size_t i = 1; i < sim.n_nodes; i++) {
        const char *token = sim_world_invite(sim.nodes[0], "'uses':1");
        if (token == NULL ||
            sim_world_join(sim.nodes[i], token, sim_node_name(sim.nodes[i])) == NULL)
            return false;
    }
    return true;
}

pv_ns sim_world_reach(struct sim_node *a, struct sim_node *b, pv_ns every, pv_ns timeout)
{
    pv_ns start = sim_net_now(sim.net);
    struct pv_addr to = sim_node_overlay(b, PV_AF_INET);
    unsigned before = sim_node_pings(a).answered;
    for (pv_ns next = start; sim_net_now(sim.net) < start + timeout; next += every) {
        sim_node_ping(a, &to, 32);
        while (sim_world_step(next + every)) {
            if (sim_node_pings(a).answered > before)
                return sim_node_pings(a).last_answer - start;
        }
    }
    return PV_NEVER;
}

unsigned sim_world_unanswered(pv_ns every, pv_ns duration)
{
    struct pv_addr to = sim_node_overlay(sim.nodes[1], PV_AF_INET);
    pv_ns end = sim_net_now(sim.net) + duration;
    while (sim_net_now(sim.net) < end) {
        sim_node_ping(sim.nodes[0], &to, 32);
        sim_world_run(every);
    }
    sim_world_run(PV_S(1));
    struct sim_pings p = sim_node_pings(sim.nodes[0]);
    return p.sent - p.answered;
}

void sim_world_explain(struct sim_node *n, const char *peer)
{
    double now = (double)sim_net_now(sim.net) / 1e9;
    if (!sim_node_runs(n))
        return;
    const char *answer = sim_world_ask(n, PV_S(1), "'cmd':'trace','peer':'%s'", peer);
    json_t *root = json_loads(answer == NULL ? "{}" : answer, 0, NULL);
    PV_EACH_JSON(json_object_get(root, "events"), event) {
        printf("  %.4f %s about %s: %s\n", now - pv_json_real(event, "t", 0), sim_node_name(n),
               peer, pv_json_text(event, "text", "?"));
    }
    json_decref(root);
}

void sim_must(bool is_so, const char *wrong)
{
    if (is_so)
        return;
    printf("%s%sseed %" PRIu64 " at %.3f s: %s %s\n", sim_case_name(),
           sim_case_name()[0] == '\0' ? "" : ", ", sim_seed(),
           (double)(sim_net_now(sim.net) - PV_S(3600)) / 1e9, wrong, sim.why);
    for (size_t i = 0; i < sim.n_nodes && i < EXPLAINED; i++) {
        for (size_t k = 0; k < sim.n_nodes && k < EXPLAINED; k++) {
            if (i != k)
                sim_world_explain(sim.nodes[i], sim_node_name(sim.nodes[k]));
        }
    }
    sim_fail();
}

void sim_must_take(pv_ns took, pv_ns bound, const char *wrong)
{
    snprintf(sim.why, sizeof(sim.why), "it took %.3f s",
             took == PV_NEVER ? -1 : (double)took / 1e9);
    sim_must(took <= bound, wrong);
}
