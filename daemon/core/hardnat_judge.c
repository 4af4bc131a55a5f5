/* SPDX-License-Identifier: MIT */
/* What the samples tell about a NAT, and which method that calls for. */
#include <stdlib.h>
#include <string.h>

#include "daemon/core/hardnat.h"

enum {
    FAN_SOCKETS = 8,         /* TRAVERSAL 3.6: PR x SS */
    FAN_PORTS = 32,          /* TRAVERSAL 3.6 */
    RENDEZVOUS_SOCKETS = 25, /* TRAVERSAL 3.6: SS x SS */
    BLOCK_SOCKETS = 64,      /* TRAVERSAL 3.6: inside a block */
    BLOCK_MAX = 8192,        /* ours: what looks larger is taken as the full range */
    BLOCK_MIN = 256,         /* ours: the smallest block carriers give out, halved */
    PORT_LO = 1024,          /* RFC 6056 s3.2 */
    MAX_ASTRAY = 2, /* ours: mappings out of their order that are put down to the way there */
};

const char *pv_hardnat_method_name(enum pv_hardnat_method method)
{
    switch (method) {
    case PV_HARDNAT_NONE:
        return "none";
    case PV_HARDNAT_FAN:
        return "predicted ports";
    case PV_HARDNAT_RENDEZVOUS:
        return "rendezvous port";
    case PV_HARDNAT_BLOCK:
        return "ports of the block";
    case PV_HARDNAT_BIRTHDAY:
        return "random ports";
    }
    return "unknown";
}

/* --- judging --------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

/* In the order in which the mappings were made. */
static size_t in_order(const struct pv_hardnat_samples *s, uint16_t *ret)
{
    size_t n = 0;
    for (size_t i = 0; i < PV_HARDNAT_SAMPLES; i++) {
        if (s->ports[i] != 0)
            ret[n++] = s->ports[i];
        if (i == 0 && s->second != 0)
            ret[n++] = s->second;
    }
    return n;
}

/* The usual distance between neighbours: foreign mappings in between make some larger, packets that
 * overtook each other change the order only. */
static bool judge_sequence(const uint16_t *ports, size_t n, struct pv_desc_nat *nat)
{
    uint16_t sorted[PV_HARDNAT_SAMPLES + 1];
    uint16_t gaps[PV_HARDNAT_SAMPLES];
    memcpy(sorted, ports, n * sizeof(sorted[0]));
    qsort(sorted, n, sizeof(sorted[0]), compare);
    unsigned up = 0;
    for (size_t i = 0; i + 1 < n; i++) {
        gaps[i] = (uint16_t)(sorted[i + 1] - sorted[i]);
        up += ports[i + 1] > ports[i] ? 1 : 0;
    }
    qsort(gaps, n - 1, sizeof(gaps[0]), compare);
    uint16_t step = gaps[(n - 1) / 2];
    unsigned spread = (unsigned)(sorted[n - 1] - sorted[0]);
    bool rises = 2 * up > n - 1;
    size_t astray = rises ? n - 1 - up : up;
    /* A small block can look like large steps by chance, but not in order as well. */
    if (step == 0 || step > PV_DESC_STEP_MAX || spread > 2u * step * n + 16 || astray > MAX_ASTRAY)
        return false;
    nat->ports = PV_DESC_PORTS_SEQUENTIAL;
    nat->step = rises ? step : -(int)step;
    nat->last = rises ? sorted[n - 1] : sorted[0];
    return true;
}

/* The spread of k samples is about R (k - 1) / (k + 1) (TRAVERSAL 3.6). Carriers cut the range into
 * blocks of a power of two; where they begin is not known, so half a gap is added on each side. */
static void judge_block(const uint16_t *ports, size_t n, struct pv_desc_nat *nat)
{
    unsigned lo = UINT16_MAX, hi = 0;
    for (size_t i = 0; i < n; i++) {
        lo = ports[i] < lo ? ports[i] : lo;
        hi = ports[i] > hi ? ports[i] : hi;
    }
    unsigned spread = hi - lo;
    nat->ports = PV_DESC_PORTS_RANDOM;
    if (spread * (n + 1) / (n - 1) > BLOCK_MAX)
        return;
    unsigned size = BLOCK_MIN;
    while (size < spread * (n + 1) / (n - 1))
        size *= 2;
    unsigned wider = spread / (unsigned)(n - 1);
    unsigned more = size > spread ? (size - spread) / 2 : 0;
    more = more > wider ? more : wider;
    nat->ports = PV_DESC_PORTS_BLOCK;
    nat->lo = (uint16_t)(lo > PORT_LO + more ? lo - more : PORT_LO);
    nat->hi = (uint16_t)(hi + more < UINT16_MAX ? hi + more : UINT16_MAX);
}

struct pv_desc_nat pv_hardnat_judge(const struct pv_hardnat_samples *samples)
{
    struct pv_desc_nat nat = {.mapping = PV_DESC_MAPPING_UNKNOWN};
    uint16_t ports[PV_HARDNAT_SAMPLES + 1];
    size_t n = in_order(samples, ports);
    if (samples->ports[0] == 0 || samples->second == 0)
        return nat;
    nat.mapping =
        samples->ports[0] == samples->second ? PV_DESC_MAPPING_SAME : PV_DESC_MAPPING_VARIES;
    if (nat.mapping == PV_DESC_MAPPING_VARIES && n >= 4 && !judge_sequence(ports, n, &nat))
        judge_block(ports, n, &nat);
    return nat;
}

/* --- planning -------------------------------------------------------------------------------- */

/* How a side counts in the choice. What is not known is taken as the easy kind: its main socket
 * then probes, which costs least. */
static enum pv_desc_ports kind_of(const struct pv_desc_nat *nat)
{
    if (nat->mapping != PV_DESC_MAPPING_VARIES)
        return PV_DESC_PORTS_UNKNOWN;
    return nat->ports == PV_DESC_PORTS_UNKNOWN ? PV_DESC_PORTS_RANDOM : nat->ports;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static enum pv_hardnat_method method_against(enum pv_desc_ports hard)
{
    switch (hard) {
    case PV_DESC_PORTS_SEQUENTIAL:
        return PV_HARDNAT_FAN;
    case PV_DESC_PORTS_BLOCK:
        return PV_HARDNAT_BLOCK;
    case PV_DESC_PORTS_RANDOM:
        return PV_HARDNAT_BIRTHDAY;
    case PV_DESC_PORTS_UNKNOWN:
        break;
    }
    return PV_HARDNAT_NONE;
}

struct pv_hardnat_plan pv_hardnat_plan(const struct pv_desc_nat *own,
                                       const struct pv_desc_nat *theirs, unsigned max_mappings)
{
    struct pv_hardnat_plan plan = {.method = PV_HARDNAT_NONE};
    enum pv_desc_ports us = kind_of(own), them = kind_of(theirs);
    if (us == PV_DESC_PORTS_SEQUENTIAL && them == PV_DESC_PORTS_SEQUENTIAL) {
        plan.method = PV_HARDNAT_RENDEZVOUS;
        plan.sockets = least(RENDEZVOUS_SOCKETS, max_mappings);
    } else if (us == PV_DESC_PORTS_UNKNOWN) {
        plan.method = method_against(them);
        plan.probes = plan.method == PV_HARDNAT_FAN ? FAN_PORTS : PV_HARDNAT_MAX_PROBES;
    } else if (them == PV_DESC_PORTS_UNKNOWN) {
        plan.method = method_against(us);
        plan.sockets = plan.method == PV_HARDNAT_FAN     ? FAN_SOCKETS
                       : plan.method == PV_HARDNAT_BLOCK ? BLOCK_SOCKETS
                                                         : PV_HARDNAT_MAX_MAPPINGS;
        plan.sockets = least(plan.sockets, max_mappings);
    }
    if (plan.method == PV_HARDNAT_NONE)
        plan.sockets = plan.probes = 0;
    return plan;
}
