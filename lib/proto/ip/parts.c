/* SPDX-License-Identifier: MIT */
/*
 * parts.c - takes inner packets apart for paths narrower than 1,280 bytes and puts them together
 * (DESIGN 7). The table of unfinished packets has a fixed size and is indexed by a hash of sender
 * and id. There is no list to keep and nothing to time out: a place is simply taken over, and what
 * it held is counted as lost.
 */
#include "proto/ip/parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "crypto/ct.h"
#include "proto/ip/ippkt.h"

/* --- sending ------------------------------------------------------------------------------- */

/* Parts of equal size instead of one full and one tiny: datagrams of one size leave in a single
 * system call (UDP_SEGMENT). */
int pv_parts_plan(size_t whole, size_t limit, struct pv_parts_plan *ret_plan)
{
    if (whole == 0 || whole > PV_PARTS_WHOLE || limit <= PV_PARTS_HEADER)
        return PV_ERR_LIMIT;
    size_t room = limit - PV_PARTS_HEADER, n = (whole + room - 1) / room;
    n = n < 2 ? 2 : n;
    if (n > PV_PARTS_MAX || n > whole)
        return PV_ERR_LIMIT;
    *ret_plan = (struct pv_parts_plan){
        .whole = (uint16_t)whole, .size = (uint16_t)((whole + n - 1) / n), .n = (uint8_t)n};
    return PV_OK;
}

/* Bytes of the packet in part i, which begin at i * size. */
static size_t part_payload(const struct pv_parts_plan *plan, uint8_t i)
{
    size_t at = (size_t)i * plan->size, rest = plan->whole - at;
    return rest < plan->size ? rest : plan->size;
}

size_t pv_parts_len(const struct pv_parts_plan *plan, uint8_t i)
{
    return PV_PARTS_HEADER + part_payload(plan, i);
}

void pv_parts_put(const struct pv_parts_plan *plan, const uint8_t *packet, uint8_t i, uint32_t id,
                  uint8_t *dst)
{
    size_t len = part_payload(plan, i);
    dst[0] = PV_INBAND_FIRST;
    dst[1] = PV_INBAND_PACKET;
    pv_store_be16(dst + 2, (uint16_t)(len + 2));
    pv_store_be32(dst + 4, id);
    dst[8] = i;
    dst[9] = plan->n;
    pv_store_be16(dst + 10, plan->whole);
    memcpy(dst + PV_PARTS_HEADER, packet + (size_t)i * plan->size, len);
}

/* --- receiving ----------------------------------------------------------------------------- */

/* A packet that is not whole yet. */
struct parts_place {
    uint32_t owner; /* 0 = the place is free */
    uint32_t id;
    struct pv_parts_plan plan;
    uint8_t have; /* bit i: part i is there */
    uint8_t ecn;
    pv_ns since;
    uint8_t bytes[PV_PARTS_WHOLE];
};

struct pv_parts {
    uint64_t lost;
    struct parts_place places[PV_PARTS_GROUPS][PV_PARTS_PLACES];
};

int pv_parts_new(struct pv_parts **ret_parts)
{
    struct pv_parts *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return PV_ERR_NOMEM;
    *ret_parts = t;
    return PV_OK;
}

struct pv_parts *pv_parts_free(struct pv_parts *t)
{
    if (t != NULL) {
        pv_wipe(t, sizeof(*t));
        free(t);
    }
    return NULL;
}

uint64_t pv_parts_take_lost(struct pv_parts *t)
{
    uint64_t lost = t->lost;
    t->lost = 0;
    return lost;
}

/* Ids of a single sender go up by 1, and ids of several senders that share keys by PV_PARTS_STEP.
 * Both use every place before they use one again. */
static struct parts_place *place_of(struct pv_parts *t, uint32_t owner, uint32_t id)
{
    uint32_t group = owner * 0x9e3779b1u >> 26;
    return &t->places[group][(id / PV_PARTS_STEP + id * PV_PARTS_STEP) % PV_PARTS_PLACES];
}
_Static_assert(PV_PARTS_PLACES == PV_PARTS_STEP * PV_PARTS_STEP, "every place is used");
_Static_assert(PV_PARTS_GROUPS == 64, "6 bits of the hash");

/* The plan of the whole follows from any part, so parts may arrive in any order; a part whose size
 * contradicts its own plan is malformed. */
static int parse_part(struct pv_view packet, struct pv_inband_part *ret_part,
                      struct pv_parts_plan *ret_plan)
{
    int r = pv_inband_parse(packet, ret_part);
    if (r < 0)
        return r;
    const struct pv_inband_part *p = ret_part;
    if (p->type != PV_INBAND_PACKET || p->parts < 2 || p->parts > PV_PARTS_MAX || p->body.len < 3)
        return PV_ERR_MALFORMED;
    size_t whole = pv_load_be16(p->body.ptr);
    if (whole > PV_PARTS_WHOLE || whole < p->parts)
        return PV_ERR_MALFORMED;
    size_t size = (whole + p->parts - 1) / p->parts;
    *ret_plan =
        (struct pv_parts_plan){.whole = (uint16_t)whole, .size = (uint16_t)size, .n = p->parts};
    /* Few bytes in many parts may leave the last without any. */
    if ((size_t)(p->parts - 1) * size >= whole ||
        p->body.len != 2 + part_payload(ret_plan, p->part))
        return PV_ERR_MALFORMED;
    return PV_OK;
}

static bool same_plan(const struct pv_parts_plan *a, const struct pv_parts_plan *b)
{
    return a->whole == b->whole && a->n == b->n;
}

/* A place that another packet holds is taken over: the newer packet is more likely to be completed.
 * Congestion marks of the parts are merged as RFC 3168 s5.3 says for fragments. */
int pv_parts_add(struct pv_parts *t, const struct pv_parts_in *in, pv_ns now, uint8_t *dst,
                 struct pv_parts_out *ret_out)
{
    struct pv_inband_part p;
    struct pv_parts_plan plan;
    int r = parse_part(in->packet, &p, &plan);
    if (r < 0)
        return r;
    struct parts_place *u = place_of(t, in->owner, p.id);
    bool old = u->owner != 0 && now > u->since && now - u->since > PV_PARTS_TIME;
    if (u->owner != in->owner || u->id != p.id || old) {
        t->lost += u->owner != 0;
        u->owner = in->owner;
        u->id = p.id;
        u->plan = plan;
        u->have = 0;
        u->ecn = in->ecn;
        u->since = now;
    } else if (!same_plan(&u->plan, &plan)) {
        return PV_ERR_MALFORMED;
    }
    if ((u->have & 1u << p.part) != 0)
        return PV_ERR_AGAIN;
    memcpy(u->bytes + (size_t)p.part * plan.size, p.body.ptr + 2, p.body.len - 2);
    u->have |= (uint8_t)(1u << p.part);
    if (u->ecn != in->ecn)
        u->ecn = u->ecn == PV_ECN_CE || in->ecn == PV_ECN_CE ? PV_ECN_CE : PV_ECN_NONE;
    if (u->have != (1u << plan.n) - 1)
        return PV_ERR_AGAIN;
    memcpy(dst, u->bytes, plan.whole);
    u->owner = 0;
    *ret_out = (struct pv_parts_out){.len = plan.whole, .ecn = u->ecn};
    return PV_OK;
}
