/* SPDX-License-Identifier: MIT */
/* Fair queueing between the TUN and tx (RFC 8290): fixed places for packets, a queue for each flow,
 * flows in deficit round robin, and CoDel on flows that have to wait. */
#include "daemon/core/packets/fp_fair.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "crypto/ct.h"
#include "daemon/core/packets/fp_codel.h"
#include "proto/ip/ippkt.h"

enum {
    PLACES = PV_FP_FAIR_LARGE + PV_FP_FAIR_SMALL,
    NONE = 0xffff, /* no place, no flow */
};

/* A packet that waits, or a free place. */
struct place {
    uint16_t
        next; /* the next place of the same flow, of the popped places, or of the free places */
    uint16_t head;
    uint32_t len;
    struct pv_offload offload;
    pv_ns since;
};

struct list {
    uint16_t first, last; /* last counts when there is a first */
};

struct flow {
    struct list packets;
    uint16_t next; /* in the list of flows it stands in */
    bool listed;   /* in one of the two */
    int32_t credit;
};

struct pv_fp_fair {
    uint64_t seed;
    uint8_t *memory; /* the large places */
    size_t bytes;
    struct list fresh, old; /* flows; the fresh ones go first */
    uint16_t free_large, free_small;
    uint16_t space;  /* the large place that was given out last */
    uint16_t popped; /* places that the last pop gave away */
    struct pv_fp_codel codel;
    struct flow flows[PV_FP_FAIR_FLOWS];
    struct place places[PLACES];
    uint8_t small[PV_FP_FAIR_SMALL][PV_FP_FAIR_SMALL_LEN];
};

int pv_fp_fair_new(struct pv_fp_fair **ret_fair, uint8_t *memory, uint64_t seed)
{
    struct pv_fp_fair *f = calloc(1, sizeof(*f));
    if (f == NULL)
        return PV_ERR_NOMEM;
    f->seed = seed;
    f->memory = memory;
    f->fresh.first = f->old.first = NONE;
    f->free_large = f->free_small = f->space = f->popped = NONE;
    for (uint16_t i = PLACES; i-- > 0;) {
        uint16_t *list = i < PV_FP_FAIR_LARGE ? &f->free_large : &f->free_small;
        f->places[i].next = *list;
        *list = i;
    }
    for (size_t i = 0; i < PV_FP_FAIR_FLOWS; i++)
        f->flows[i].packets.first = NONE;
    *ret_fair = f;
    return PV_OK;
}

struct pv_fp_fair *pv_fp_fair_free(struct pv_fp_fair *f)
{
    if (f != NULL)
        /* Inner packets lie here in clear text. */
        pv_wipe(f, sizeof(*f));
    free(f);
    return NULL;
}

/* --- places and lists ---------------------------------------------------------------------- */

static uint8_t *bytes_at(struct pv_fp_fair *f, uint16_t place)
{
    return place < PV_FP_FAIR_LARGE ? f->memory + (size_t)place * PV_FP_FAIR_LARGE_LEN
                                    : f->small[place - PV_FP_FAIR_LARGE];
}

static void give_back(struct pv_fp_fair *f, uint16_t place)
{
    uint16_t *list = place < PV_FP_FAIR_LARGE ? &f->free_large : &f->free_small;
    f->places[place].next = *list;
    *list = place;
}

static void append_packet(struct pv_fp_fair *f, struct list *list, uint16_t place)
{
    f->places[place].next = NONE;
    if (list->first == NONE)
        list->first = place;
    else
        f->places[list->last].next = place;
    list->last = place;
}

static void append_flow(struct pv_fp_fair *f, struct list *list, uint16_t flow)
{
    f->flows[flow].next = NONE;
    f->flows[flow].listed = true;
    if (list->first == NONE)
        list->first = flow;
    else
        f->flows[list->last].next = flow;
    list->last = flow;
}

static void take_first_flow(struct pv_fp_fair *f, struct list *list)
{
    struct flow *flow = &f->flows[list->first];
    flow->listed = false;
    list->first = flow->next;
}

/* --- in ------------------------------------------------------------------------------------ */

/* Seeded, so that nobody outside can choose ports that fall into the queue of a given flow. */
static uint64_t mix(uint64_t h, uint32_t word)
{
    h = (h ^ word) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

/* A datagram's fragments, of which only the first knows ports, must stay together. */
static bool has_ports(const struct pv_ippkt *ip)
{
    bool fragment = ip->version == 4 ? (pv_load_be16(ip->whole.ptr + 6) & 0x3fff) != 0
                                     : ip->later_fragment || ip->whole.ptr[6] == 44;
    return !fragment && (ip->proto == PV_IP_PROTO_TCP || ip->proto == PV_IP_PROTO_UDP) &&
           ip->l4.len >= 4;
}

static uint16_t flow_of(const struct pv_fp_fair *f, struct pv_view packet)
{
    struct pv_ippkt ip;
    if (pv_ippkt_parse(packet, &ip) < 0)
        /* Packets that are not IP share a queue; tx drops and counts it. */
        return 0;
    uint64_t h = mix(f->seed, ip.proto);
    for (size_t i = 0, n = ip.version == 4 ? 4 : 16; i < n; i += 4)
        h = mix(mix(h, pv_load_be32(ip.src + i)), pv_load_be32(ip.dst + i));
    if (has_ports(&ip))
        h = mix(h, pv_load_be32(ip.l4.ptr));
    return (uint16_t)((h >> 32) % PV_FP_FAIR_FLOWS);
}

/* Both kinds of place must be there before a read, for only the read tells how long the packet
 * is. */
uint8_t *pv_fp_fair_space(struct pv_fp_fair *f)
{
    if (f->space == NONE && f->free_large != NONE) {
        f->space = f->free_large;
        f->free_large = f->places[f->space].next;
    }
    return f->space == NONE || f->free_small == NONE ? NULL : bytes_at(f, f->space);
}

void pv_fp_fair_push(struct pv_fp_fair *f, size_t head, size_t len,
                     const struct pv_offload *offload, pv_ns since)
{
    uint16_t place = f->space;
    if (len <= PV_FP_FAIR_SMALL_LEN) {
        /* Copied, so that the large place takes the next read: else 64 acknowledgements would fill
         * all of them. */
        place = f->free_small;
        f->free_small = f->places[place].next;
        memcpy(bytes_at(f, place), bytes_at(f, f->space), len);
    } else {
        f->space = NONE;
    }
    f->places[place] = (struct place){
        .head = (uint16_t)head, .len = (uint32_t)len, .offload = *offload, .since = since};
    uint16_t at = flow_of(f, pv_view(bytes_at(f, place) + head, len - head));
    struct flow *flow = &f->flows[at];
    append_packet(f, &flow->packets, place);
    f->bytes += len;
    /* A flow in neither list had nothing waiting when its turn came; it goes first (RFC 8290 s4.1).
     */
    if (!flow->listed) {
        flow->credit = PV_FP_FAIR_QUANTUM;
        append_flow(f, &f->fresh, at);
    }
}

/* --- out ----------------------------------------------------------------------------------- */

/* The flow whose turn it is, at the head of *ret_list (RFC 8290 s4.2). NULL: nobody waits. */
static struct flow *next_flow(struct pv_fp_fair *f, struct list **ret_list)
{
    for (;;) {
        struct list *list = f->fresh.first != NONE ? &f->fresh : &f->old;
        uint16_t at = list->first;
        if (at == NONE)
            return NULL;
        struct flow *flow = &f->flows[at];
        if (flow->credit > 0 && flow->packets.first != NONE) {
            *ret_list = list;
            return flow;
        }
        take_first_flow(f, list);
        if (flow->credit <= 0) {
            flow->credit += PV_FP_FAIR_QUANTUM;
            append_flow(f, &f->old, at);
        } else if (list == &f->fresh && f->old.first != NONE) {
            /* Not forgotten yet: a flow that comes back at once does not go first again. */
            append_flow(f, &f->old, at);
        }
    }
}

/* A flow whose packets stand too long is told so: this packet is marked, or lost if it cannot be
 * marked. */
static void take_stock(struct pv_fp_fair *f, const struct place *p, struct pv_fp_packet *packet,
                       pv_ns now)
{
    struct pv_ippkt ip;
    if (!pv_fp_codel_leaves(&f->codel, now > p->since ? now - p->since : 0, now))
        return;
    uint8_t *bytes = bytes_at(f, (uint16_t)(p - f->places)) + p->head;
    if (pv_ippkt_parse(pv_view(packet->data, packet->len), &ip) == PV_OK)
        packet->lose_first = !pv_ippkt_take_ecn(&ip, bytes, PV_ECN_CE);
}

size_t pv_fp_fair_pop(struct pv_fp_fair *f, struct pv_fp_packet *ret_packets, size_t cap, pv_ns now)
{
    struct list *list;
    struct flow *flow;
    size_t n = 0, bytes = 0;
    /* The packets of the last pop were valid until now. */
    for (uint16_t next; f->popped != NONE; f->popped = next) {
        next = f->places[f->popped].next;
        give_back(f, f->popped);
    }
    while (n < cap && bytes < PV_FP_FAIR_BATCH && (flow = next_flow(f, &list)) != NULL) {
        uint16_t at = flow->packets.first;
        struct place *p = &f->places[at];
        flow->packets.first = p->next;
        flow->credit -= (int32_t)p->len;
        f->bytes -= p->len;
        bytes += p->len;
        ret_packets[n] = (struct pv_fp_packet){
            .data = bytes_at(f, at) + p->head, .len = p->len - p->head, .offload = p->offload};
        if (list == &f->old) /* one that goes first makes nobody wait */
            take_stock(f, p, &ret_packets[n], now);
        n++;
        p->next = f->popped;
        f->popped = at;
    }
    return n;
}

size_t pv_fp_fair_bytes(const struct pv_fp_fair *f)
{
    return f->bytes;
}
