/* SPDX-License-Identifier: MIT */
/*
 * bench_rules - what the rules of a network cost a packet: 1,000 of them about one pair of nodes,
 * ns a packet out and in, with and without them, in one flow and in many. Medians of the batches
 * of a round, and of several rounds, so that a batch in whose middle another program ran does not
 * count; not a test, nothing is asserted. Build it in the release preset (scripts/bench rules).
 */
#include <time.h>

#include "proto/rules/flow.h"
#include "proto/rules/ruletable.h"
#include "tests/unit/daemon/core/packets/fp_util.h"

enum {
    ROUNDS = 31,
    BATCH = 64,
    BATCHES = 100,
    RULES = 1000,
    LOOKS = 1000000,
};

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static double median(double *v, size_t n)
{
    qsort(v, n, sizeof(v[0]), by_value);
    return v[n / 2];
}

struct ends {
    struct fp_node a, b;
    uint32_t b_at_a, a_at_b;
    pv_ns now;
};

static void ends_init(struct ends *e)
{
    memset(e, 0, sizeof(*e));
    e->now = PV_S(1000);
    fp_meet(&e->a, &e->b, &e->b_at_a, &e->a_at_b);
    fp_set_path(&e->a, e->b_at_a, 2, 0);
    fp_set_path(&e->b, e->a_at_b, 1, 0);
    fp_add_keys(&e->a, e->b_at_a, &e->b, e->a_at_b, e->now, NULL);
    fp_publish(&e->a);
    fp_publish(&e->b);
}

/* Each rule is about a port of its own, and the last one about all that is left. */
static struct pv_ruletable *make_table(void)
{
    static struct pv_ports ports[RULES];
    static struct pv_ruleline lines[RULES];
    struct pv_ruletable *t;
    for (uint16_t i = 0; i < RULES; i++) {
        uint16_t port = (uint16_t)(60 * i + 7);
        ports[i] = (struct pv_ports){.v = {{PV_PORTS_UDP, port, port}}, .n = 1};
        lines[i] = (struct pv_ruleline){
            .rule = (uint16_t)(i + 1), .allow = i % 2 == 0, .ports = &ports[i]};
    }
    ports[RULES - 1].v[0] = (struct pv_port_range){PV_PORTS_UDP, 0, UINT16_MAX};
    lines[RULES - 1].allow = true;
    FP_MUST(pv_ruletable_new(lines, RULES, false, NULL, &t) == PV_OK);
    return t;
}

static void set_rules(struct fp_node *n, uint32_t peer, struct pv_ruletable *t)
{
    const struct pv_fp_doubt none = {.until = 0};
    if (t != NULL)
        FP_MUST(pv_fp_builder_set_guard(n->b, RULES, &none, &n->rng) == PV_OK);
    FP_MUST(pv_fp_builder_set_rules(n->b, peer, t) == PV_OK);
    fp_publish(n);
}

/* One round of datagrams in so many flows; the copy in between is not counted. */
static void round_trip(struct ends *e, size_t len, size_t flows, double *ret_tx, double *ret_rx)
{
    static uint8_t in[BATCH][1500], wire[BATCH][1600];
    struct pv_fp_packet packets[BATCH];
    struct pv_fp_datagram datagrams[BATCH];
    double tx[BATCHES], rx[BATCHES];
    for (size_t i = 0; i < BATCH; i++) {
        fp_packet(in[i], fp_ip4(1), fp_ip4(2), len, (uint32_t)i);
        in[i][9] = PV_PORTS_UDP;
        packets[i] = (struct pv_fp_packet){.data = in[i], .len = len};
    }
    for (size_t b = 0; b < BATCHES; b++) {
        for (size_t i = 0; i < BATCH; i++) {
            size_t flow = (b * BATCH + i) % flows;
            pv_store_be16(in[i] + 20, (uint16_t)(PV_FLOW_EPHEMERAL + flow)); /* a client's */
            pv_store_be16(in[i] + 22, (uint16_t)(60 * (flow % 500) * 2 + 7));
        }
        double t0 = seconds();
        FP_MUST(pv_fp_tx(e->a.w, e->a.snap, packets, BATCH, e->now) == BATCH);
        double t1 = seconds();
        struct pv_fp_results r = pv_fp_results(e->a.w);
        FP_MUST(r.n_sends == BATCH);
        for (size_t i = 0; i < BATCH; i++) {
            memcpy(wire[i], r.sends[i].data, r.sends[i].len);
            datagrams[i] = (struct pv_fp_datagram){
                .from = fp_carrier(1), .data = wire[i], .len = r.sends[i].len};
        }
        double t2 = seconds();
        FP_MUST(pv_fp_rx(e->b.w, e->b.snap, datagrams, BATCH, e->now) == BATCH);
        rx[b] = seconds() - t2;
        tx[b] = t1 - t0;
        FP_MUST(pv_fp_results(e->b.w).n_writes == BATCH);
    }
    *ret_tx = median(tx, BATCHES) * 1e9 / BATCH;
    *ret_rx = median(rx, BATCHES) * 1e9 / BATCH;
}

/* Rounds with and without rules take turns, so that a noisy neighbour hits both alike. */
static void bench_packets(struct pv_ruletable *table, size_t len, size_t flows)
{
    struct ends e;
    double tx[2][ROUNDS], rx[2][ROUNDS], more_tx[ROUNDS], more_rx[ROUNDS];
    ends_init(&e);
    for (size_t k = 0; k < ROUNDS; k++) {
        for (size_t with = 0; with < 2; with++) {
            set_rules(&e.a, e.b_at_a, with ? table : NULL);
            set_rules(&e.b, e.a_at_b, with ? table : NULL);
            round_trip(&e, len, flows, &tx[with][k], &rx[with][k]);
        }
        more_tx[k] = tx[1][k] - tx[0][k];
        more_rx[k] = rx[1][k] - rx[0][k];
    }
    printf("%5zu bytes, %5zu flows: out %4.0f ns + %3.0f, in %4.0f ns + %3.0f a packet\n", len,
           flows, median(tx[0], ROUNDS), median(more_tx, ROUNDS), median(rx[0], ROUNDS),
           median(more_rx, ROUNDS));
    fp_node_done(&e.a);
    fp_node_done(&e.b);
}

static void bench_looks(const struct pv_ruletable *table)
{
    double ns[ROUNDS];
    unsigned sum = 0;
    for (size_t k = 0; k < ROUNDS; k++) {
        uint32_t x = 1;
        double t = seconds();
        for (size_t i = 0; i < LOOKS; i++) {
            x = x * 1664525u + 1013904223u;
            sum += pv_ruletable_look(table, PV_PORTS_UDP, (uint16_t)(x >> 16)).rule;
        }
        ns[k] = (seconds() - t) * 1e9 / LOOKS;
    }
    printf("%d rules, any port: %.1f ns a question%s\n", RULES, median(ns, ROUNDS),
           sum == 0 ? "!" : "");
}

int main(void)
{
    struct pv_ruletable *table = make_table();
    FP_MUST(pv_crypto_init() == PV_OK);
    bench_looks(table);
    bench_packets(table, 1420, 1);
    bench_packets(table, 64, 1);
    bench_packets(table, 64, 500);
    bench_packets(table, 64, 4000);
    bench_packets(table, 64, 20000);
    pv_ruletable_unref(table);
    return 0;
}
