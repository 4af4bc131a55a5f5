/* SPDX-License-Identifier: MIT */
/* Every pair of NATs, also the symmetric ones: how often, how fast and with how many packets two
 * whole nodes find a direct path (TRAVERSAL 3.6). PV_SIM_SEEDS=1000 PV_HARD_TABLE=1 prints the
 * table of docs/NATS.md. */
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "../unit/test_util.h"
#include "crypto/ct.h"
#include "sim_world.h"

enum {
    MAX_RUNS = 2000,
    SEEDS = 12,
};

#define WAIT PV_S(12)

struct kind {
    const char *name, *profile; /* NULL = a public address */
};
static const struct kind kinds[] = {
    {"open", NULL},
    {"full cone", "full-cone"},
    {"address-restricted", "address-restricted"},
    {"port-restricted", "port-restricted"},
    {"symmetric sequential", "symmetric-sequential"},
    {"symmetric random", "symmetric"},
    {"symmetric block", "symmetric-block"},
};

struct cell {
    unsigned a, b; /* of kinds */
    unsigned runs, direct;
    double took[MAX_RUNS];    /* s, of the direct ones, from the first packet on */
    double started[MAX_RUNS]; /* s, from the start of the attempt on */
    size_t n_started;
    unsigned most_socks;
    uint64_t packets;
    unsigned most_probes;
};

static unsigned zone_of(struct sim_world *w, const struct kind *kind)
{
    static const struct pv_link_config line = {.delay = PV_MS(15)};
    if (kind->profile == NULL)
        return SIM_PUBLIC;
    unsigned zone = sim_world_nat(w, SIM_PUBLIC, kind->profile, &line);
    struct pv_nat_config *c = pv_nat_config(sim_net_nat(w->net, zone));
    c->foreign = 2;
    return zone;
}

static bool is_direct(struct sim_world *w, struct sim_node *n)
{
    const char *peers = sim_world_ask(w, n, PV_S(1), "\"cmd\":\"peers\"");
    return peers != NULL && strstr(peers, "\"type\":\"direct\"") != NULL;
}

/* Pings until a path is direct; the time it took, PV_NEVER when it never was. */
static pv_ns wait_direct(struct sim_world *w, struct sim_node *a, struct sim_node *b)
{
    pv_ns start = sim_net_now(w->net);
    pv_ns took = sim_world_reach(w, a, b, PV_MS(100), WAIT);
    while (!is_direct(w, a)) { /* over a relay first */
        if (sim_net_now(w->net) - start > WAIT)
            return PV_NEVER;
        sim_world_run(w, PV_MS(20));
        took = sim_net_now(w->net) - start;
    }
    return took;
}

/* When the trace of this node says that an attempt started, and with how many ports. */
static void read_trace(struct sim_world *w, struct sim_node *n, const char *peer, pv_ns answered,
                       struct cell *cell)
{
    char fields[128];
    size_t i;
    json_t *event;
    snprintf(fields, sizeof(fields), "\"cmd\":\"trace\",\"peer\":\"%s\"", peer);
    const char *answer = sim_world_ask(w, n, PV_S(1), fields);
    json_t *root = json_loads(answer == NULL ? "{}" : answer, 0, NULL);
    double now = (double)sim_net_now(w->net) / 1e9;
    json_array_foreach(json_object_get(root, "events"), i, event)
    {
        const char *text = json_string_value(json_object_get(event, "text"));
        double t = now - json_number_value(json_object_get(event, "t"));
        unsigned probes;
        unsigned wait;
        const char *began = strstr(text, "ports, in ");
        if (began != NULL && sscanf(began, "ports, in %u", &wait) == 1 &&
            cell->n_started < MAX_RUNS)
            cell->started[cell->n_started++] = (double)answered / 1e9 - t - wait / 1e3;
        const char *after = strstr(text, "found after ");
        if (after != NULL && sscanf(after, "found after %u", &probes) == 1 &&
            probes > cell->most_probes)
            cell->most_probes = probes;
    }
    json_decref(root);
}

static int meet(uint64_t seed, void *ctx)
{
    struct cell *cell = ctx;
    struct sim_world w;
    static const struct pv_link_config line = {.delay = PV_MS(15)};
    sim_world_init(&w, seed * 64 + cell->a * 8 + cell->b, &line);
    struct sim_node *a = sim_world_node(&w, zone_of(&w, &kinds[cell->a]), "a", false);
    struct sim_node *b = sim_world_node(&w, zone_of(&w, &kinds[cell->b]), "b", false);
    int bad = 1;
    if (!sim_world_join_all(&w)) {
        printf("seed %llu: joining: %s\n", (unsigned long long)seed, w.why);
    } else {
        sim_world_run(&w, PV_S(2));
        uint64_t sent = sim_node_sent(a) + sim_node_sent(b);
        pv_ns start = sim_net_now(w.net);
        pv_ns took = wait_direct(&w, a, b);
        cell->packets += sim_node_sent(a) + sim_node_sent(b) - sent;
        cell->runs++;
        bad = 0;
        if (took != PV_NEVER) {
            cell->took[cell->direct++] = (double)took / 1e9;
            read_trace(&w, a, "b", start + took, cell);
        } else if (getenv("PV_SIM_TRACE") != NULL) {
            sim_world_explain(&w, a, "b");
            sim_world_explain(&w, b, "a");
        }
    }
    sim_world_done(&w);
    return bad;
}

static int compare(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return a < b ? -1 : a > b ? 1 : 0;
}

static double quantile(double *v, size_t n, double q)
{
    if (n == 0)
        return -1;
    qsort(v, n, sizeof(v[0]), compare);
    return v[(size_t)((double)(n - 1) * q)];
}

static void print_time(double seconds)
{
    if (seconds < 0)
        printf(" – |");
    else
        printf(" %.2f |", seconds);
}

/* Runs one pair; how many runs came to no direct path in excess of what this share in percent
 * allows, and the median time in s of many runs. */
static double run_pair(unsigned a, unsigned b, double least, double *ret_median)
{
    struct cell *cell = calloc(1, sizeof(*cell));
    if (cell == NULL)
        abort();
    cell->a = a;
    cell->b = b;
    assert_int_equal(sim_seeds("hard", SEEDS, meet, cell), 0);
    double share = 100.0 * cell->direct / cell->runs;
    double started = quantile(cell->started, cell->n_started, 0.5);
    printf("| %s | %s | %.1f %% |", kinds[a].name, kinds[b].name, share);
    print_time(quantile(cell->took, cell->direct, 0.5));
    print_time(quantile(cell->took, cell->direct, 0.95));
    print_time(started);
    printf(" %llu |\n", (unsigned long long)(cell->packets / cell->runs));
    fflush(stdout);                               /* a table takes its time */
    *ret_median = cell->runs < 100 ? 0 : started; /* of a few runs it says nothing */
    double excess = cell->runs - cell->direct - cell->runs * (100 - least) / 100;
    free(cell);
    return excess;
}

static unsigned kind_of(const char *name)
{
    for (unsigned i = 0; i < PV_ARRAY_LEN(kinds); i++) {
        if (strcmp(kinds[i].name, name) == 0)
            return i;
    }
    abort();
}

static void expect(const char *a, const char *b, double least)
{
    double median;
    /* Of a dozen runs two may miss by chance (1 % of the time at a share of 98 %). */
    assert_true(run_pair(kind_of(a), kind_of(b), least, &median) <= 2);
    assert_true(median <= 1.6);
}

static void a_port_restricted_and_a_sequential_nat_are_crossed(void **state)
{
    (void)state;
    expect("port-restricted", "symmetric sequential", 99);
    expect("symmetric sequential", "port-restricted", 99);
}

static void two_sequential_nats_are_crossed(void **state)
{
    (void)state;
    expect("symmetric sequential", "symmetric sequential", 95);
}

static void a_port_restricted_and_a_random_nat_are_crossed(void **state)
{
    (void)state;
    expect("port-restricted", "symmetric random", 97);
    expect("symmetric block", "port-restricted", 99);
}

static int print_table(void)
{
    double median;
    printf("| one side | the other | direct | median s | p95 s | median s after the start of an "
           "attempt | datagrams of both in all |\n|---|---|---|---|---|---|---|\n");
    for (unsigned a = 0; a < PV_ARRAY_LEN(kinds); a++)
        for (unsigned b = a; b < PV_ARRAY_LEN(kinds); b++)
            (void)run_pair(a, b, 0, &median);
    return 0;
}

int main(void)
{
    if (getenv("PV_HARD_TABLE") != NULL)
        return print_table();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_port_restricted_and_a_sequential_nat_are_crossed),
        cmocka_unit_test(two_sequential_nats_are_crossed),
        cmocka_unit_test(a_port_restricted_and_a_random_nat_are_crossed),
    };
    if (pv_crypto_init() < 0)
        return 1;
    json_object_seed(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
