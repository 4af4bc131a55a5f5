/* SPDX-License-Identifier: MIT */
#include "sim_world.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "crypto/ct.h"
#include "tests/natcore/natcore_text.h"

enum {
    EXPLAINED = 4, /* nodes whose memories are printed when a run fails */
};

void sim_world_init(struct sim_world *w, uint64_t seed, const struct pv_link_config *line)
{
    memset(w, 0, sizeof(*w));
    int r = pv_crypto_init();
    assert(r == PV_OK);
    json_object_seed(1); /* does nothing the second time */
    w->net = sim_net_new(seed);
    struct pv_addr ip = pv_addr4(198, 51, 100, 10, 0);
    w->coord = sim_coord_new(w->net, &ip, line);
    struct pv_addr ip6;
    r = pv_addr_parse_ip("2001:db8::10", &ip6);
    assert(r == PV_OK);
    (void)r;
    sim_net_add_addr(w->net, sim_coord_host(w->coord), &ip6);
}

void sim_world_done(struct sim_world *w)
{
    for (size_t i = 0; i < w->n_nodes; i++)
        sim_node_free(w->nodes[i]);
    sim_coord_free(w->coord);
    for (size_t i = 0; i < w->n_coords; i++)
        sim_coord_free(w->coords[i]);
    sim_net_free(w->net);
}

struct sim_coord *sim_world_coord(struct sim_world *w, uint8_t last,
                                  const struct pv_link_config *line)
{
    assert(w->n_coords < SIM_WORLD_COORDS);
    struct pv_addr ip = pv_addr4(198, 51, 100, last, 0);
    w->coords[w->n_coords] = sim_coord_new(w->net, &ip, line);
    return w->coords[w->n_coords++];
}

unsigned sim_world_nat(struct sim_world *w, unsigned outer, const char *profile,
                       const struct pv_link_config *line)
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
    unsigned zone = sim_net_add_nat(w->net, outer, &c);
    struct pv_nat_config *config = pv_nat_config(sim_net_nat(w->net, zone));
    config->public_ip[0] = outer == SIM_PUBLIC ? pv_addr4(203, 0, 113, (uint8_t)zone, 0)
                                               : pv_addr4(100, 64, 0, (uint8_t)zone, 0);
    config->n_public = 1;
    return zone;
}

struct sim_router *sim_world_router(struct sim_world *w, unsigned zone)
{
    assert(w->n_routers < SIM_WORLD_ROUTERS);
    struct sim_router *r = &w->routers[w->n_routers++];
    sim_router_init(r, w->net, zone);
    return r;
}

struct sim_node *sim_world_node(struct sim_world *w, unsigned zone, const char *name, bool ipv6)
{
    assert(w->n_nodes < SIM_WORLD_NODES);
    unsigned host = sim_net_add_host(w->net, zone, NULL);
    uint8_t last = (uint8_t)(20 + w->n_nodes);
    struct pv_addr ip = zone == SIM_PUBLIC ? pv_addr4(198, 51, 100, last, 0)
                                           : pv_addr4(192, 168, (uint8_t)zone, last, 0);
    sim_net_add_addr(w->net, host, &ip);
    if (ipv6) {
        uint8_t ip6[16] = {0x20, 0x01, 0x0d, 0xb8, 0, (uint8_t)zone, [15] = last};
        struct pv_addr a6 = pv_addr6(ip6, 0);
        sim_net_add_addr(w->net, host, &a6);
    }
    uint16_t port = (uint16_t)(20000 + pv_natrng_below(sim_net_rng(w->net), 40000));
    w->nodes[w->n_nodes] = sim_node_new(w->net, host, name, port);
    for (size_t i = 0; i < w->n_routers; i++) {
        if (w->routers[i].zone == zone)
            sim_node_set_router(w->nodes[w->n_nodes], &w->routers[i].addr);
    }
    return w->nodes[w->n_nodes++];
}

void sim_world_two(struct sim_world *w, uint64_t seed, const char *profile_a, const char *profile_b)
{
    static const struct pv_link_config line = {.delay = PV_MS(10)};
    const char *const profiles[] = {profile_a, profile_b}, *const names[] = {"a", "b"};
    unsigned zones[2];
    sim_world_init(w, seed, &line);
    for (unsigned i = 0; i < 2; i++)
        zones[i] =
            profiles[i] == NULL ? SIM_PUBLIC : sim_world_nat(w, SIM_PUBLIC, profiles[i], &line);
    for (unsigned i = 0; i < 2; i++)
        (void)sim_world_node(w, zones[i], names[i], false);
}

bool sim_world_step(struct sim_world *w, pv_ns until)
{
    struct sim_event e;
    if (sim_net_next(w->net, until, &e) < 0)
        return false;
    if (e.kind == SIM_AT)
        return true;
    if (e.host == sim_coord_host(w->coord))
        sim_coord_handle(w->coord, &e);
    for (size_t i = 0; i < w->n_coords; i++) {
        if (sim_coord_host(w->coords[i]) == e.host)
            sim_coord_handle(w->coords[i], &e);
    }
    for (size_t i = 0; i < w->n_routers; i++) {
        if (w->routers[i].host == e.host)
            sim_router_handle(&w->routers[i], &e);
    }
    for (size_t i = 0; i < w->n_nodes; i++) {
        if (sim_node_host(w->nodes[i]) == e.host)
            sim_node_handle(w->nodes[i], &e);
    }
    return true;
}

void sim_world_run(struct sim_world *w, pv_ns duration)
{
    pv_ns until = sim_net_now(w->net) + duration;
    while (sim_world_step(w, until)) {
    }
}

bool sim_world_until(struct sim_world *w, pv_ns timeout,
                     bool (*is_true)(struct sim_world *w, void *ctx), void *ctx)
{
    pv_ns until = sim_net_now(w->net) + timeout;
    while (!is_true(w, ctx)) {
        if (!sim_world_step(w, until))
            return is_true(w, ctx);
    }
    return true;
}

const char *sim_world_traffic(struct sim_world *w, pv_ns duration, pv_ns every,
                              void (*send)(void *ctx), const char *(*wrong)(void *ctx), void *ctx)
{
    pv_ns until = sim_net_now(w->net) + duration;
    const char *failure = NULL;
    while (failure == NULL && sim_net_now(w->net) < until) {
        send(ctx);
        sim_world_run(w, every);
        failure = wrong(ctx);
    }
    return failure;
}

struct asked {
    struct sim_node *node;
    unsigned id;
};

static bool is_answered(struct sim_world *w, void *ctx)
{
    const struct asked *a = ctx;
    return sim_node_answer(a->node, a->id) != NULL;
}

const char *sim_world_ask(struct sim_world *w, struct sim_node *n, pv_ns timeout,
                          const char *fields)
{
    struct asked a = {.node = n, .id = sim_node_ask(n, fields)};
    if (!sim_world_until(w, timeout, is_answered, &a)) {
        snprintf(w->why, sizeof(w->why), "%s: no answer to %.200s", sim_node_name(n), fields);
        return NULL;
    }
    const char *answer = sim_node_answer(n, a.id);
    if (strstr(answer, "\"ok\":true") == NULL) {
        snprintf(w->why, sizeof(w->why), "%s: %.200s: %.200s", sim_node_name(n), fields, answer);
        return NULL;
    }
    return answer;
}

bool sim_world_says(struct sim_world *w, struct sim_node *n, const char *fields, const char *text)
{
    const char *answer = sim_world_ask(w, n, PV_S(5), fields);
    if (answer == NULL || strstr(answer, text) != NULL)
        return answer != NULL;
    snprintf(w->why, sizeof(w->why), "%s does not say '%s' to %.80s: %.300s", sim_node_name(n),
             text, fields, answer);
    return false;
}

bool sim_world_path_is(struct sim_world *w, struct sim_node *n, const char *type)
{
    char want[64];
    snprintf(want, sizeof(want), "\"type\":\"%s\"", type);
    return sim_world_says(w, n, "\"cmd\":\"peers\"", want);
}

bool sim_world_enter(struct sim_world *w, struct sim_node *n, const char *room)
{
    char fields[128];
    snprintf(fields, sizeof(fields), "\"cmd\":\"room_accept\",\"room\":\"%s\"", room);
    for (int i = 0; i < 30; i++) {
        if (sim_world_ask(w, n, PV_S(5), fields) != NULL)
            return true;
        sim_world_run(w, PV_S(1));
    }
    return false;
}

bool sim_world_field(const char *answer, const char *name, char *buf, size_t cap)
{
    char key[64];
    snprintf(key, sizeof(key), "\"%s\":\"", name);
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

bool sim_world_pass_token(struct sim_world *w, struct sim_node *from, struct sim_node *to)
{
    char fields[6000], token[4096];
    const char *answer = sim_world_ask(w, from, PV_S(40), "\"cmd\":\"coordinator_token\"");
    if (answer == NULL || !sim_world_field(answer, "token", token, sizeof(token)))
        return false;
    snprintf(fields, sizeof(fields), "\"cmd\":\"coordinator_take\",\"token\":\"%s\"", token);
    return sim_world_ask(w, to, PV_S(40), fields) != NULL;
}

bool sim_world_join_all(struct sim_world *w)
{
    char fields[6000];
    char token[4096];
    snprintf(fields, sizeof(fields), "\"cmd\":\"create\",\"url\":\"%s\",\"name\":\"%s\"",
             sim_coord_url(w->coord), sim_node_name(w->nodes[0]));
    if (sim_world_ask(w, w->nodes[0], PV_S(30), fields) == NULL)
        return false;
    for (size_t i = 1; i < w->n_nodes; i++) {
        const char *answer =
            sim_world_ask(w, w->nodes[0], PV_S(30), "\"cmd\":\"invite\",\"uses\":1");
        if (answer == NULL)
            return false;
        if (!sim_world_field(answer, "token", token, sizeof(token))) {
            snprintf(w->why, sizeof(w->why), "no token in %.200s", answer);
            return false;
        }
        snprintf(fields, sizeof(fields), "\"cmd\":\"join\",\"token\":\"%s\",\"name\":\"%s\"", token,
                 sim_node_name(w->nodes[i]));
        if (sim_world_ask(w, w->nodes[i], PV_S(60), fields) == NULL)
            return false;
    }
    return true;
}

pv_ns sim_world_reach(struct sim_world *w, struct sim_node *a, struct sim_node *b, pv_ns every,
                      pv_ns timeout)
{
    pv_ns start = sim_net_now(w->net);
    struct pv_addr to = sim_node_overlay(b, PV_AF_INET);
    unsigned before = sim_node_pings(a).answered;
    for (pv_ns next = start; sim_net_now(w->net) < start + timeout; next += every) {
        sim_node_ping(a, &to, 32);
        while (sim_world_step(w, next + every)) {
            if (sim_node_pings(a).answered > before)
                return sim_node_pings(a).last_answer - start;
        }
    }
    return PV_NEVER;
}

unsigned sim_world_unanswered(struct sim_world *w, pv_ns every, pv_ns duration)
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

void sim_world_explain(struct sim_world *w, struct sim_node *n, const char *peer)
{
    char fields[256];
    size_t i;
    json_t *event;
    double now = (double)sim_net_now(w->net) / 1e9;
    snprintf(fields, sizeof(fields), "\"cmd\":\"trace\",\"peer\":\"%s\"", peer);
    if (!sim_node_runs(n))
        return;
    const char *answer = sim_world_ask(w, n, PV_S(1), fields);
    json_t *root = json_loads(answer == NULL ? "{}" : answer, 0, NULL);
    json_array_foreach(json_object_get(root, "events"), i, event)
    {
        printf("  %.4f %s about %s: %s\n", now - json_number_value(json_object_get(event, "t")),
               sim_node_name(n), peer, json_string_value(json_object_get(event, "text")));
    }
    json_decref(root);
}

void sim_must(struct sim_world *w, bool is_so, const char *wrong)
{
    if (is_so)
        return;
    printf("%s%sseed %" PRIu64 " at %.3f s: %s %s\n", sim_case_name(),
           sim_case_name()[0] == '\0' ? "" : ", ", sim_seed(),
           (double)(sim_net_now(w->net) - PV_S(3600)) / 1e9, wrong, w->why);
    for (size_t i = 0; i < w->n_nodes && i < EXPLAINED; i++) {
        for (size_t k = 0; k < w->n_nodes && k < EXPLAINED; k++) {
            if (i != k)
                sim_world_explain(w, w->nodes[i], sim_node_name(w->nodes[k]));
        }
    }
    sim_world_done(w);
    sim_fail();
}

void sim_must_take(struct sim_world *w, pv_ns took, pv_ns bound, const char *wrong)
{
    snprintf(w->why, sizeof(w->why), "it took %.3f s", took == PV_NEVER ? -1 : (double)took / 1e9);
    sim_must(w, took <= bound, wrong);
}
