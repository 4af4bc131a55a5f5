/* SPDX-License-Identifier: MIT */
/* Runs for UDP_SEGMENT: datagrams of a batch are collected by destination, though they lie between
 * others. Each run is one system call's worth of work for the kernel instead of up to 64. */
#include "coordinator/relay/relayout.h"

#include <string.h>

enum {
    RUN_DATAGRAMS = 64, /* UDP_MAX_SEGMENTS of older kernels */
    SLOTS_MIN = 16,     /* slots of the hash table, which is as large as the batch */
};
#define NONE UINT16_MAX /* no run: a batch has at most PV_TURNS_BATCH of them */

/* Returns true if both can be in one run: same socket, DF, destination and source address. */
static bool same_way(const struct pv_turns_out *a, const struct pv_turns_out *b)
{
    return a->sock == b->sock && a->df == b->df && pv_addr_equal(&a->dst, &b->dst) &&
           a->local.family == b->local.family && pv_addr_equal_ip(&a->local, &b->local);
}

/* Returns where the search begins. An attacker who chose addresses to collide would slow down a
 * batch, which is bounded, and mostly of his own datagrams. */
static size_t hash_of(const struct pv_turns_out *out)
{
    uint32_t ip, ip6;
    memcpy(&ip, out->dst.ip, 4);
    memcpy(&ip6, out->dst.ip + 12, 4);
    uint32_t h = (ip ^ ip6 * 31 ^ out->dst.port ^ out->sock << 11) * 0x9e3779b1u;
    return h >> 16;
}

/* Returns the slot of the newest message that goes the same way, or a free one. */
static uint16_t *find_slot(struct pv_relayout *ro, const struct pv_turns_out *out, size_t mask)
{
    size_t i = hash_of(out) & mask;
    while (ro->slots[i] != NONE && !same_way(ro->runs[ro->slots[i]].first, out))
        i = (i + 1) & mask;
    return &ro->slots[i];
}

/* A run ends with a shorter datagram (UDP_SEGMENT cuts all but the last to one size), and so may
 * take one more only while all were as long as the first. */
static bool may_join(const struct pv_relayout_run *r, size_t len)
{
    return !r->closed && r->n < RUN_DATAGRAMS && len > 0 && len <= r->first->data.len &&
           r->bytes + len <= PV_RELAYOUT_RUN_MAX;
}

/* Only the newest run of a way may be joined: an older one would overtake the newer. The table is
 * at most half full. */
static void plan_runs(struct pv_relayout *ro, const struct pv_turns_out *out, size_t n)
{
    size_t slots = SLOTS_MIN;
    while (slots < 2 * n)
        slots *= 2;
    memset(ro->slots, 0xff, slots * sizeof(ro->slots[0]));
    ro->n = 0;
    for (size_t i = 0; i < n; i++) {
        ro->run_of[i] = NONE;
        if (out[i].stream != 0)
            continue;
        uint16_t *slot = find_slot(ro, &out[i], slots - 1);
        size_t len = out[i].data.len;
        if (*slot == NONE || !may_join(&ro->runs[*slot], len)) {
            *slot = (uint16_t)ro->n;
            ro->runs[ro->n++] = (struct pv_relayout_run){
                .first = &out[i], .closed = len == 0 || len > PV_RELAYOUT_SEGMENT_MAX};
        }
        struct pv_relayout_run *r = &ro->runs[*slot];
        ro->run_of[i] = *slot;
        r->closed = r->closed || len < r->first->data.len;
        r->bytes += (uint32_t)len;
        r->n++;
    }
}

/* First which datagram goes into which run, then the runs' parts in the order of the datagrams:
 * order between two addresses stays. */
void pv_relayout_make(struct pv_relayout *ro, const struct pv_turns_out *out, size_t n)
{
    size_t used = 0;
    if (n > PV_TURNS_BATCH)
        n = PV_TURNS_BATCH;
    plan_runs(ro, out, n);
    for (size_t k = 0; k < ro->n; k++) {
        const struct pv_relayout_run *r = &ro->runs[k];
        ro->socks[k] = r->first->sock;
        ro->df[k] = r->first->df;
        ro->msgs[k] = (struct pv_udp_out){
            .dst = r->first->dst, .local = r->first->local, .data = r->first->data};
        ro->next[k] = &ro->parts[used];
        if (r->n > 1) {
            ro->msgs[k].segment = (uint16_t)r->first->data.len;
            ro->msgs[k].parts = ro->next[k];
            ro->msgs[k].n_parts = r->n;
        }
        used += r->n;
    }
    for (size_t i = 0; i < n; i++) {
        if (ro->run_of[i] != NONE)
            *ro->next[ro->run_of[i]]++ = out[i].data;
    }
}
