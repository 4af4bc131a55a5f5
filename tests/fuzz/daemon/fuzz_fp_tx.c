/* SPDX-License-Identifier: MIT */
/*
 * fuzz_fp_tx - inner packets into pv_fp_tx: the input is a list of {u16 length, u8 seconds to pass,
 * packet}. Members with and without path and keys, one offline, a static peer for the rest. Limits
 * must hold, answers must be packets, and what is sent must have left in whole.
 */
#include "daemon/core/packets/fp_worker.h"
#include "proto/ip/ippkt.h"
#include "tests/fuzz/fuzz_util.h"
#include "tests/unit/daemon/core/packets/fp_util.h"

static void node_init(struct fp_node *a, struct fp_node *b, pv_ns now)
{
    fp_node_init(a, 1);
    fp_node_init(b, 2);
    uint32_t full = fp_add_member(a, 2), no_keys = fp_add_member(a, 3),
             narrow = fp_add_member(a, 4);
    uint32_t offline = fp_add_member(a, 5), rest = fp_add_static(a, "0.0.0.0/0");
    fp_add_member(a, 6);
    fp_set_path(a, full, 2, 0);
    fp_set_path(a, no_keys, 3, 0);
    fp_set_path(a, narrow, 4, 700);
    fp_set_path(a, rest, 5, 1400);
    FP_MUST(pv_fp_builder_set_offline(a->b, offline, true) == PV_OK);
    fp_add_keys(a, full, b, fp_add_member(b, 1), now, NULL);
    fp_add_keys(a, narrow, b, fp_add_member(b, 7), now, NULL);
    fp_add_keys(a, rest, b, fp_add_member(b, 8), now, NULL);
    const uint32_t ids[] = {full, no_keys, narrow, offline, rest};
    struct pv_fp_group groups[3] = {
        {.group = pv_group_of(4, (const uint8_t[4]){239, 1, 1, 1}), .n = 5},
        {.group = pv_group_broadcast(), .n = 4, .wakes = true},
        {.group = pv_group_of(6, (const uint8_t[16]){0xff, 0x02, [15] = 0xfb}), .n = 3},
    };
    FP_MUST(pv_fp_builder_set_groups(a->b, groups, 3, ids, 5) == PV_OK);
    fp_publish(a);
    fp_publish(b);
}

static void check(const struct fp_node *a)
{
    struct pv_fp_results r = pv_fp_results(a->w);
    for (size_t i = 0; i < r.n_sends; i++) {
        FP_MUST(r.sends[i].len >= PV_FP_OVERHEAD && r.sends[i].data[0] == 4);
        FP_MUST(r.sends[i].to->remote.ip[3] != 4 || r.sends[i].len <= 700);
    }
    for (size_t i = 0; i < r.n_writes; i++) {
        struct pv_ippkt ip;
        FP_MUST(pv_ippkt_parse(pv_view(r.writes[i].data, r.writes[i].len), &ip) == PV_OK);
        FP_MUST(ip.proto == PV_IP_PROTO_ICMP || ip.proto == PV_IP_PROTO_ICMP6);
    }
    FP_MUST(pv_fp_queue_len(a->w->queue) <= 3 * PV_FP_QUEUE_PACKETS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct fp_node a, b; /* the workers stay; each run begins later than the last ended */
    static pv_ns now;
    struct pv_reader r = pv_reader(pv_view(data, len));

    FP_MUST(pv_crypto_init() == PV_OK);
    now += PV_S(1000);
    node_init(&a, &b, now);
    for (int steps = 0; steps < 64 && r.status == PV_OK && r.rest.len > 0; steps++) {
        size_t n = pv_get_u16(&r);
        now += PV_S(pv_get_u8(&r));
        struct pv_view v = pv_get_bytes(&r, n < r.rest.len ? n : r.rest.len);
        struct pv_fp_packet packet = {.data = v.ptr, .len = v.len};
        while (pv_fp_tx(a.w, a.snap, &packet, 1, now) == 0)
            check(&a);
        check(&a);
    }
    while (pv_fp_flush(a.w, a.snap, now))
        check(&a);
    check(&a);
    fp_node_reset(&a);
    fp_node_reset(&b);
    return 0;
}
