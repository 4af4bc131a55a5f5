/* SPDX-License-Identifier: MIT */
/*
 * bench_fastpath - what the fast path costs without system calls: ns per packet out and in, one by
 * one and in super-packets of one TCP flow, and the time of one snapshot after one change in a
 * large network. Medians of several rounds; not a test, nothing is asserted. Build it in the
 * release preset.
 *
 * usage: bench_fastpath                    all of it
 *        bench_fastpath chacha|aes N       N super-packets of one flow, for a program that counts
 *                                          instructions
 */
#include <time.h>

#include "tests/unit/daemon/core/packets/fp_util.h"

enum {
    ROUNDS = 15,
    BATCH = 64,
    BATCHES = 200,
    PEERS = 10000,
    SNAPSHOTS = 200,
    SEGMENTS = 44,  /* of a super-packet */
    PAYLOAD = 1368, /* bytes of each: 1,420 with headers and time stamps */
    TCP_HEAD = 32,
    IP_HEAD = 20,
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

static double median(double v[ROUNDS])
{
    qsort(v, ROUNDS, sizeof(v[0]), by_value);
    return v[ROUNDS / 2];
}

struct ends {
    struct fp_node a, b;
    pv_ns now;
};

static void ends_init(struct ends *e, enum pv_suite suite)
{
    memset(e, 0, sizeof(*e));
    e->now = PV_S(1000);
    fp_node_init(&e->a, 1);
    fp_node_init(&e->b, 2);
    uint32_t b_at_a = fp_add_member(&e->a, 2), a_at_b = fp_add_member(&e->b, 1);
    fp_set_path(&e->a, b_at_a, 2, 0);
    fp_set_path(&e->b, a_at_b, 1, 0);
    e->a.suite = suite;
    fp_add_keys(&e->a, b_at_a, &e->b, a_at_b, e->now, NULL);
    pv_fp_worker_join(e->b.w, true, true);
    fp_publish(&e->a);
    fp_publish(&e->b);
}

/* One round: seals and opens BATCHES batches; the copy in between is not counted. */
static void round_trip(struct ends *e, size_t len, double *ret_tx, double *ret_rx)
{
    static uint8_t in[BATCH][1500], wire[BATCH][1600];
    struct pv_fp_packet packets[BATCH];
    struct pv_fp_datagram datagrams[BATCH];
    double tx = 0, rx = 0;

    for (size_t i = 0; i < BATCH; i++) {
        fp_packet(in[i], fp_ip4(1), fp_ip4(2), len, (uint32_t)i);
        packets[i] = (struct pv_fp_packet){.data = in[i], .len = len};
    }
    for (int b = 0; b < BATCHES; b++) {
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
        rx += seconds() - t2;
        tx += t1 - t0;
        FP_MUST(pv_fp_results(e->b.w).n_writes == BATCH);
    }
    *ret_tx = tx * 1e9 / (BATCH * BATCHES);
    *ret_rx = rx * 1e9 / (BATCH * BATCHES);
}

/* A super-packet out of the TUN, and what the kernel makes of its datagrams: one, merged. */
static void flow(struct ends *e, unsigned n, double *ret_tx, double *ret_rx)
{
    static uint8_t in[IP_HEAD + TCP_HEAD + SEGMENTS * PAYLOAD], wire[SEGMENTS * 1500];
    struct pv_addr src = fp_ip4(1), dst = fp_ip4(2);
    double tx = 0, rx = 0;
    for (unsigned i = 0; i < n; i++) {
        uint8_t *tcp = in + IP_HEAD;
        in[0] = 0x45;
        pv_store_be16(in + 2, (uint16_t)sizeof(in));
        in[6] = 0x40;
        in[8] = 64;
        in[9] = 6;
        memcpy(in + 12, src.ip, 4);
        memcpy(in + 16, dst.ip, 4);
        pv_store_be16(tcp, 40000);
        pv_store_be16(tcp + 2, 5201);
        pv_store_be32(tcp + 4, i * SEGMENTS * PAYLOAD);
        tcp[12] = TCP_HEAD / 4 << 4;
        tcp[13] = 0x10;
        const struct pv_fp_packet packet = {.data = in,
                                            .len = sizeof(in),
                                            .offload = {.kind = PV_OFFLOAD_TCP4,
                                                        .needs_csum = true,
                                                        .size = PAYLOAD,
                                                        .head = IP_HEAD + TCP_HEAD,
                                                        .csum_start = IP_HEAD,
                                                        .csum_offset = 16}};
        double t0 = seconds();
        FP_MUST(pv_fp_tx(e->a.w, e->a.snap, &packet, 1, e->now) == 1);
        tx += seconds() - t0;
        struct pv_fp_results r = pv_fp_results(e->a.w);
        FP_MUST(r.n_sends == SEGMENTS && r.sends[0].run == SEGMENTS);
        memcpy(wire, r.sends[0].data, SEGMENTS * r.sends[0].len);
        const struct pv_fp_datagram merged = {.from = fp_carrier(1),
                                              .data = wire,
                                              .len = SEGMENTS * r.sends[0].len,
                                              .segment = r.sends[0].len};
        double t1 = seconds();
        FP_MUST(pv_fp_rx(e->b.w, e->b.snap, &merged, 1, e->now) == 1);
        rx += seconds() - t1;
        FP_MUST(pv_fp_results(e->b.w).n_writes == 1);
    }
    *ret_tx = tx * 1e9 / (n * (double)SEGMENTS);
    *ret_rx = rx * 1e9 / (n * (double)SEGMENTS);
}

static void bench_flow(enum pv_suite suite)
{
    struct ends e;
    double tx[ROUNDS], rx[ROUNDS];
    ends_init(&e, suite);
    for (int k = 0; k < ROUNDS; k++)
        flow(&e, BATCHES, &tx[k], &rx[k]);
    printf("one flow, %s: out %7.0f, in %7.0f ns\n", pv_suite_name(suite), median(tx), median(rx));
    fp_node_done(&e.a);
    fp_node_done(&e.b);
}

static void bench_packets(void)
{
    static const size_t lens[] = {64, 256, 1420};
    struct ends e;

    ends_init(&e, PV_SUITE_CHACHA);
    for (size_t i = 0; i < PV_ARRAY_LEN(lens); i++) {
        double tx[ROUNDS], rx[ROUNDS];
        for (int k = 0; k < ROUNDS; k++)
            round_trip(&e, lens[i], &tx[k], &rx[k]);
        printf("%5zu bytes: out %7.0f, in %7.0f ns\n", lens[i], median(tx), median(rx));
    }
    fp_node_done(&e.a);
    fp_node_done(&e.b);
}

static void bench_snapshots(void)
{
    static uint32_t ids[PEERS];
    struct fp_node n = {.w = NULL};
    double made[ROUNDS], rerouted[ROUNDS];

    fp_node_init(&n, 1);
    for (uint32_t i = 0; i < PEERS; i++) {
        struct pv_fp_key_init k = {.local_index = (i + 1) << 8, .birth = 1};
        ids[i] = fp_add_member(&n, 2 + i);
        FP_MUST(pv_fp_builder_add_keys(n.b, ids[i], &k) == PV_OK);
    }
    fp_publish(&n);
    for (int r = 0; r < ROUNDS; r++) {
        double t = seconds();
        for (uint32_t i = 0; i < SNAPSHOTS; i++) {
            fp_set_path(&n, ids[(i * 7919) % PEERS], i + (uint32_t)r * SNAPSHOTS, 0);
            fp_publish(&n);
        }
        made[r] = (seconds() - t) * 1e6 / SNAPSHOTS;
        t = seconds();
        for (uint32_t i = 0; i < SNAPSHOTS / 10; i++) {
            FP_MUST(pv_fp_builder_remove_peer(n.b, ids[i]) == PV_OK);
            ids[i] = fp_add_member(&n, 2 + i);
            fp_publish(&n);
        }
        rerouted[r] = (seconds() - t) * 1e6 / (SNAPSHOTS / 10);
    }
    printf("%d peers: snapshot after a change of path %.0f us, of members %.0f us\n", PEERS,
           median(made), median(rerouted));
    fp_node_done(&n);
}

int main(int argc, char **argv)
{
    FP_MUST(pv_crypto_init() == PV_OK);
    if (argc == 3) {
        struct ends e;
        double tx, rx;
        ends_init(&e, strcmp(argv[1], "aes") == 0 ? PV_SUITE_AES : PV_SUITE_CHACHA);
        flow(&e, (unsigned)strtoul(argv[2], NULL, 10), &tx, &rx);
        return 0;
    }
    bench_flow(PV_SUITE_CHACHA);
    bench_flow(PV_SUITE_AES);
    bench_packets();
    bench_snapshots();
    return 0;
}
