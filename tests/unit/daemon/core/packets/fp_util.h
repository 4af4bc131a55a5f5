/* SPDX-License-Identifier: MIT */
/*
 * fp_util.h - two ends of a fast path for tests, fuzz targets and benchmarks: nodes with a builder,
 * a worker and a snapshot, keys between them, and inner packets. Aborts where a test would fail.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "crypto/ct.h"
#include "daemon/core/packets/fp_builder.h"

#define FP_MUST(cond)                                                  \
    do {                                                               \
        if (!(cond)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
            abort();                                                   \
        }                                                              \
    } while (0)

/* xorshift64: enough to draw indices and table keys. */
static inline void fp_rng_fill(void *ctx, uint8_t *dst, size_t len)
{
    uint64_t *s = ctx;
    for (size_t i = 0; i < len; i++) {
        *s ^= *s << 13;
        *s ^= *s >> 7;
        *s ^= *s << 17;
        dst[i] = (uint8_t)(*s >> 32);
    }
}

struct fp_node {
    uint64_t seed;
    struct pv_rng rng;
    struct pv_fp_builder *b;
    struct pv_fp_worker *w;
    struct pv_fp_snapshot *snap;
    enum pv_suite suite; /* of the keys that fp_add_keys() gives it */
};

static inline struct pv_addr fp_ip4(uint32_t last16)
{
    return pv_addr4_u32(0x0a420000u + last16, 0);
}

static inline struct pv_addr fp_ip6(uint32_t last32)
{
    uint8_t ip[16] = {0xfd};
    pv_store_be32(ip + 12, last32);
    return pv_addr6(ip, 0);
}

static inline struct pv_carrier fp_carrier(uint32_t n)
{
    return (struct pv_carrier){.kind = PV_CARRIER_UDP,
                               .remote = pv_addr4_u32(0xc0000200u + n, 4242)};
}

/* The node 10.66.0.last, fd00::last in 10.66.0.0/16 and fd00::/64. Keeps a worker it has. */
static inline void fp_node_init(struct fp_node *n, uint32_t last)
{
    n->seed = 0x1234567890abcdefu + last;
    n->rng = (struct pv_rng){.fill = fp_rng_fill, .ctx = &n->seed};
    n->snap = NULL;
    FP_MUST(pv_fp_builder_new(&n->b, &n->rng) == PV_OK);
    FP_MUST(n->w != NULL || pv_fp_worker_new(&n->w) == PV_OK);
    struct pv_fp_interface iface = {.n_own = 2, .mtu = 1420};
    iface.own[0] = fp_ip4(last);
    iface.own[1] = fp_ip6(last);
    FP_MUST(pv_prefix_parse("10.66.0.0/16", &iface.nets[0]) == PV_OK);
    FP_MUST(pv_prefix_parse("fd00::/64", &iface.nets[1]) == PV_OK);
    FP_MUST(pv_fp_builder_set_interface(n->b, &iface) == PV_OK);
}

/* All but the worker, which forgets what waits: making one costs more than a fuzzing run. */
static inline void fp_node_reset(struct fp_node *n)
{
    FP_MUST(!pv_fp_flush(n->w, NULL, PV_NEVER));
    pv_fp_snapshot_free(n->snap);
    n->snap = NULL;
    n->b = pv_fp_builder_free(n->b);
}

static inline void fp_node_done(struct fp_node *n)
{
    fp_node_reset(n);
    n->w = pv_fp_worker_free(n->w);
}

static inline void fp_publish(struct fp_node *n)
{
    pv_fp_snapshot_free(n->snap);
    FP_MUST(pv_fp_builder_snapshot(n->b, &n->snap) == PV_OK);
}

/* A member 10.66.0.last, fd00::last without path and keys. */
static inline uint32_t fp_add_member(struct fp_node *n, uint32_t last)
{
    uint32_t id;
    struct pv_prefix routes[2] = {{.base = fp_ip4(last), .bits = 32},
                                  {.base = fp_ip6(last), .bits = 128}};
    FP_MUST(pv_fp_builder_add_peer(n->b, PV_FP_MEMBER, &id) == PV_OK);
    FP_MUST(pv_fp_builder_set_routes(n->b, id, routes, 2) == PV_OK);
    return id;
}

static inline uint32_t fp_add_static(struct fp_node *n, const char *allowed)
{
    uint32_t id;
    struct pv_prefix route;
    FP_MUST(pv_prefix_parse(allowed, &route) == PV_OK);
    FP_MUST(pv_fp_builder_add_peer(n->b, PV_FP_STATIC, &id) == PV_OK);
    FP_MUST(pv_fp_builder_set_routes(n->b, id, &route, 1) == PV_OK);
    return id;
}

/* The nodes 1 and 2, each a member at the other, under the peer ids given back. */
static inline void fp_meet(struct fp_node *a, struct fp_node *b, uint32_t *ret_b_at_a,
                           uint32_t *ret_a_at_b)
{
    fp_node_init(a, 1);
    fp_node_init(b, 2);
    *ret_b_at_a = fp_add_member(a, 2);
    *ret_a_at_b = fp_add_member(b, 1);
}

static inline void fp_set_path(struct fp_node *n, uint32_t peer, uint32_t remote, uint16_t mtu)
{
    struct pv_carrier c = fp_carrier(remote);
    FP_MUST(pv_fp_builder_set_path(n->b, peer, &c, mtu) == PV_OK);
}

/* Keys between a (which knows the other as pa) and b (which knows a as pb), both sending with
 * them. Gives a's receiver index. */
static inline uint32_t fp_add_keys(struct fp_node *a, uint32_t pa, struct fp_node *b, uint32_t pb,
                                   pv_ns birth, uint32_t *ret_b_index)
{
    struct pv_fp_key_init ia = {.birth = birth, .suite = a->suite}, ib = ia;
    pv_rng_fill(&a->rng, ia.send_key, 32);
    pv_rng_fill(&a->rng, ia.recv_key, 32);
    memcpy(ib.recv_key, ia.send_key, 32);
    memcpy(ib.send_key, ia.recv_key, 32);
    ia.local_index = ib.remote_index = pv_fp_builder_draw_index(a->b, &a->rng, 0);
    ib.local_index = ia.remote_index = pv_fp_builder_draw_index(b->b, &b->rng, 0);
    FP_MUST(pv_fp_builder_add_keys(a->b, pa, &ia) == PV_OK);
    FP_MUST(pv_fp_builder_add_keys(b->b, pb, &ib) == PV_OK);
    FP_MUST(pv_fp_builder_send_with(a->b, pa, ia.local_index) == PV_OK);
    FP_MUST(pv_fp_builder_send_with(b->b, pb, ib.local_index) == PV_OK);
    if (ret_b_index != NULL)
        *ret_b_index = ib.local_index;
    return ia.local_index;
}

/* An inner UDP packet of len bytes in all; the last bytes carry mark. */
static inline size_t fp_packet(uint8_t *p, struct pv_addr src, struct pv_addr dst, size_t len,
                               uint32_t mark)
{
    memset(p, 0, len);
    size_t head = src.family == PV_AF_INET ? 20 : 40;
    FP_MUST(len >= head + 12);
    if (src.family == PV_AF_INET) {
        p[0] = 0x45;
        pv_store_be16(p + 2, (uint16_t)len);
        p[6] = 0x40; /* DF, as hosts send it */
        p[8] = 64;
        p[9] = 17;
        memcpy(p + 12, src.ip, 4);
        memcpy(p + 16, dst.ip, 4);
    } else {
        p[0] = 0x60;
        pv_store_be16(p + 4, (uint16_t)(len - 40));
        p[6] = 17;
        p[7] = 64;
        memcpy(p + 8, src.ip, 16);
        memcpy(p + 24, dst.ip, 16);
    }
    pv_store_be16(p + head, 5000);
    pv_store_be16(p + head + 2, 5001);
    pv_store_be16(p + head + 4, (uint16_t)(len - head));
    pv_store_be32(p + len - 4, mark);
    return len;
}

/* One inner packet through the node's worker; the results are good until its next call. */
static inline struct pv_fp_results fp_tx_one(struct fp_node *n, const uint8_t *data, size_t len,
                                             pv_ns now)
{
    struct pv_fp_packet packet = {.data = data, .len = len};
    FP_MUST(pv_fp_tx(n->w, n->snap, &packet, 1, now) == 1);
    return pv_fp_results(n->w);
}

/* One datagram, which is changed; else as fp_tx_one(). */
static inline struct pv_fp_results fp_rx_one(struct fp_node *n, struct pv_carrier from,
                                             uint8_t *data, size_t len, pv_ns now)
{
    struct pv_fp_datagram datagram = {.from = from, .data = data, .len = len};
    FP_MUST(pv_fp_rx(n->w, n->snap, &datagram, 1, now) == 1);
    return pv_fp_results(n->w);
}
