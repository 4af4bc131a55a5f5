/* SPDX-License-Identifier: MIT */
/*
 * fuzz_flow - any packet as a flow: reading it stays inside the packet, and a packet and the same
 * one with its ends swapped, seen from the other side, are one flow.
 */
#include "proto/rules/flow.h"
#include "tests/fuzz/fuzz_util.h"

/* Both addresses, and of TCP and UDP both ports, change places: the answer. */
static void swap_ends(uint8_t *p, const struct pv_ippkt *ip)
{
    uint8_t *src = p + (ip->version == 4 ? PV_IP4_ADDRS : PV_IP6_ADDRS), keep[16];
    size_t n = ip->version == 4 ? 4 : 16;
    memcpy(keep, src, n);
    memcpy(src, src + n, n);
    memcpy(src + n, keep, n);
    if (ip->proto != PV_PORTS_TCP && ip->proto != PV_PORTS_UDP)
        return;
    uint8_t *ports = p + (ip->l4.ptr - ip->whole.ptr);
    memcpy(keep, ports, 2);
    memcpy(ports, ports + 2, 2);
    memcpy(ports + 2, keep, 2);
}

static void check(const struct pv_flow *f)
{
    must(f->kind <= PV_FLOW_BAD);
    must(f->key[0] == 0 && f->piece[0] == 0 && (f->kind < PV_FLOW_PIECE || f->key[1] == 0));
    must(f->kind != PV_FLOW_PIECE || f->piece[1] != 0);
    must(!f->more || f->piece[1] != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pv_ippkt ip;
    struct pv_flow in, out;
    uint8_t *copy = malloc(len == 0 ? 1 : len); /* reads beyond it are seen */
    must(copy != NULL);
    if (len > 0)
        memcpy(copy, data, len);
    if (pv_ippkt_parse(pv_view(copy, len), &ip) == PV_OK) {
        pv_flow_read(&ip, true, &in);
        check(&in);
        pv_flow_read(&ip, false, &out);
        check(&out);
        bool ports = ip.proto == PV_PORTS_TCP || ip.proto == PV_PORTS_UDP;
        if (ports && (in.kind == PV_FLOW_FIRST || in.kind == PV_FLOW_LATER)) {
            swap_ends(copy, &ip);
            must(pv_ippkt_parse(pv_view(copy, len), &ip) == PV_OK);
            pv_flow_read(&ip, false, &out);
            must(memcmp(in.key, out.key, sizeof(in.key)) == 0);
        }
    }
    free(copy);
    return 0;
}
