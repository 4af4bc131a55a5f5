/* SPDX-License-Identifier: MIT */
/*
 * fuzz_offload - what the TUN hands out and what is joined for it. The input is a list of {u16
 * length, 10 bytes of virtio header, packet}. Each is cut; what was cut is joined and cut again,
 * which must give the same packets (UDP without a checksum may have one then), and no packet may be
 * longer than its super-packet allows.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "proto/ip/offload.h"
#include "tests/fuzz/fuzz_util.h"

#define MUST(cond)                                                     \
    do {                                                               \
        if (!(cond)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
            abort();                                                   \
        }                                                              \
    } while (0)

enum {
    PACKETS = PV_JOIN_PACKETS,
    BYTES = 1 << 20,
};

struct packets {
    uint8_t *bytes;
    size_t used, n;
    size_t at[PACKETS], len[PACKETS];
};

static void cut(struct packets *out, struct pv_view packet, const struct pv_offload *offload)
{
    struct pv_ippkt ip;
    struct pv_cutter c;
    if (pv_ippkt_parse(packet, &ip) < 0 || pv_cutter_init(&c, &ip, offload) < 0)
        return;
    size_t largest = pv_cutter_largest(&c), n = 0;
    for (size_t len; (len = pv_cutter_next(&c)) != 0; n++) {
        MUST(len <= largest && len <= packet.len);
        if (out->n == PACKETS || BYTES - out->used < len)
            return;
        pv_cutter_cut(&c, out->bytes + out->used);
        out->at[out->n] = out->used;
        out->len[out->n++] = len;
        out->used += len;
    }
    MUST(n == c.count);
}

/* Joins copies of all packets, and cuts the results into back. */
static void join_and_cut(const struct packets *in, struct pv_joiner *j, struct packets *back)
{
    uint8_t *copy = malloc(in->used + 1), *flat = malloc(PV_OFFLOAD_MAX);
    MUST(copy != NULL && flat != NULL);
    memcpy(copy, in->bytes, in->used);
    pv_joiner_reset(j);
    for (size_t i = 0; i < in->n; i++) {
        struct pv_ippkt ip;
        MUST(pv_ippkt_parse(pv_view(copy + in->at[i], in->len[i]), &ip) == PV_OK);
        pv_joiner_add(j, &ip, copy + in->at[i]);
    }
    pv_joiner_finish(j);
    for (size_t i = 0; i < j->n_outs; i++) {
        const struct pv_join_out *o = &j->outs[i];
        size_t len = o->len;
        MUST(len <= PV_OFFLOAD_MAX);
        memcpy(flat, o->data, len);
        for (const struct pv_join_piece *p = o->more; p != NULL; p = p->next) {
            MUST(len + p->bytes.len <= PV_OFFLOAD_MAX);
            memcpy(flat + len, p->bytes.ptr, p->bytes.len);
            len += p->bytes.len;
        }
        uint8_t header[PV_VNET_LEN];
        struct pv_offload again;
        pv_vnet_encode(header, &o->offload);
        MUST(pv_vnet_decode(header, &again) == PV_OK);
        cut(back, pv_view(flat, len), &again);
    }
    free(copy);
    free(flat);
}

/* Gives UDP that has no checksum and no IP options the checksum that it has after joining. */
static void add_checksum(uint8_t *p, size_t len)
{
    size_t l4 = p[0] == 0x45 ? 20 : 40;
    bool v4 = p[0] == 0x45, v6 = p[0] >> 4 == 6;
    if ((!v4 && !v6) || len < l4 + 8 || p[v4 ? 9 : 6] != PV_IP_PROTO_UDP ||
        (v4 && (pv_load_be16(p + 6) & 0x3fff) != 0) || pv_load_be16(p + l4 + 6) != 0)
        return;
    size_t n = len - l4;
    struct pv_view addrs = v4 ? pv_view(p + 12, 8) : pv_view(p + 8, 32);
    uint32_t pseudo = pv_ippkt_sum(addrs, PV_IP_PROTO_UDP) + (uint32_t)n;
    uint16_t sum = (uint16_t)~pv_ippkt_sum(pv_view(p + l4, n), pseudo);
    pv_store_be16(p + l4 + 6, sum == 0 ? 0xffff : sum);
}

static void add_checksums(struct packets *all)
{
    for (size_t i = 0; i < all->n; i++)
        add_checksum(all->bytes + all->at[i], all->len[i]);
}

/* Each packet comes back once; fields that mean nothing (identification beside DF) may differ. */
static void compare(const struct packets *in, const struct packets *back)
{
    MUST(in->n == back->n && in->used == back->used);
    bool *seen = calloc(in->n + 1, sizeof(*seen));
    MUST(seen != NULL);
    for (size_t i = 0; i < in->n; i++) {
        size_t k = 0;
        uint8_t *a = in->bytes + in->at[i];
        bool df = a[0] >> 4 == 4 && (pv_load_be16(a + 6) & 0x4000) != 0;
        for (; k < back->n; k++) {
            const uint8_t *b = back->bytes + back->at[k];
            if (seen[k] || back->len[k] != in->len[i] || a[0] != b[0])
                continue;
            if (df ? memcmp(a, b, 4) == 0 && memcmp(a + 6, b + 6, 4) == 0 &&
                         memcmp(a + 12, b + 12, in->len[i] - 12) == 0
                   : memcmp(a, b, in->len[i]) == 0)
                break;
        }
        MUST(k < back->n);
        seen[k] = true;
    }
    free(seen);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct pv_joiner j; /* large; reset by each run */
    static struct packets in, back;
    struct pv_reader r = pv_reader(pv_view(data, len));

    if (in.bytes == NULL) {
        in.bytes = malloc(BYTES);
        back.bytes = malloc(BYTES);
        MUST(in.bytes != NULL && back.bytes != NULL);
        j.tcp = j.udp = true;
    }
    in.n = in.used = back.n = back.used = 0;
    while (r.status == PV_OK && r.rest.len > 12) {
        size_t n = pv_get_u16(&r);
        struct pv_view header = pv_get_bytes(&r, PV_VNET_LEN);
        struct pv_view packet = pv_get_bytes(&r, n < r.rest.len ? n : r.rest.len);
        struct pv_offload offload;
        if (r.status == PV_OK && pv_vnet_decode(header.ptr, &offload) == PV_OK)
            cut(&in, packet, &offload);
    }
    join_and_cut(&in, &j, &back);
    add_checksums(&in);
    add_checksums(&back); /* of those that were not joined */
    compare(&in, &back);
    return 0;
}
