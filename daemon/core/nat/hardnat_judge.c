/* SPDX-License-Identifier: MIT */
/* The samples' verdict on a NAT, and the method that it calls for. */
#include <stdlib.h>
#include <string.h>

#include "daemon/core/nat/hardnat.h"

enum {
    BLOCK_MAX = 8192, /* ours: what looks larger is taken as the full range */
    BLOCK_MIN = 64,   /* ours: smaller ones are given to nobody */
    MEET_MAX = 2048,  /* ours: above, an attempt succeeds in less than an eighth of cases */
    PORT_LO = 1024,   /* RFC 6056 s3.2 */
    MAX_ASTRAY = 2,   /* ours: mappings out of order that are put down to the way there */
    RISING = 8,       /* ours: samples in a row; by chance 1 in 700 with one of them astray */
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
    case PV_HARDNAT_MEET:
        return "one port of the block";
    case PV_HARDNAT_BIRTHDAY:
        return "random ports";
    case PV_HARDNAT_FRESH:
        return "fresh ports";
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

/* Ports in order, and what their order says. */
struct series {
    size_t n;
    uint16_t sorted[PV_HARDNAT_SAMPLES + 1];
    unsigned spread;
    bool rises;
    size_t astray; /* mappings against the direction */
};

/* The direction is the one that most neighbours have; the rest was overtaken on its way. */
static struct series series_of(const uint16_t *ports, size_t n)
{
    struct series s = {.n = n};
    size_t up = 0;
    memcpy(s.sorted, ports, n * sizeof(s.sorted[0]));
    qsort(s.sorted, n, sizeof(s.sorted[0]), compare);
    for (size_t i = 0; i + 1 < n; i++)
        up += ports[i + 1] > ports[i] ? 1 : 0;
    s.spread = (unsigned)(s.sorted[n - 1] - s.sorted[0]);
    s.rises = 2 * up > n - 1;
    s.astray = s.rises ? n - 1 - up : up;
    return s;
}

/* The usual distance between neighbours: foreign mappings in between make some larger, packets that
 * overtook each other change the order only. */
static bool judge_sequence(const struct series *s, struct pv_desc_nat *nat)
{
    uint16_t gaps[PV_HARDNAT_SAMPLES];
    for (size_t i = 0; i + 1 < s->n; i++)
        gaps[i] = (uint16_t)(s->sorted[i + 1] - s->sorted[i]);
    qsort(gaps, s->n - 1, sizeof(gaps[0]), compare);
    uint16_t step = gaps[(s->n - 1) / 2];
    /* A small block can look like large steps by chance, but not in order as well. */
    if (step == 0 || step > PV_DESC_STEP_MAX || s->spread > 2u * step * s->n + 16 ||
        s->astray > MAX_ASTRAY)
        return false;
    nat->ports = PV_DESC_PORTS_SEQUENTIAL;
    nat->step = s->rises ? step : -(int)step;
    nat->last = s->rises ? s->sorted[s->n - 1] : s->sorted[0];
    return true;
}

/* One after the other, but in steps too large or too different to predict a port: the next ones lie
 * ahead, in a range twice as long as the one just seen. */
static bool judge_rising(const struct series *s, struct pv_desc_nat *nat)
{
    if (s->n < RISING || s->astray > 1 || s->spread > BLOCK_MAX / 2)
        return false;
    unsigned newest = s->rises ? s->sorted[s->n - 1] : s->sorted[0];
    unsigned reach = 2 * s->spread;
    nat->ports = PV_DESC_PORTS_BLOCK;
    if (s->rises) {
        nat->lo = (uint16_t)newest;
        nat->hi = (uint16_t)(newest + reach < UINT16_MAX ? newest + reach : UINT16_MAX);
    } else {
        nat->lo = (uint16_t)(newest > PORT_LO + reach ? newest - reach : PORT_LO);
        nat->hi = (uint16_t)(newest > nat->lo ? newest : nat->lo);
    }
    return true;
}

/* The spread of k samples is about R (k - 1) / (k + 1) (TRAVERSAL 6). Carriers cut the range into
 * blocks of a power of two: the nearest that holds them. Where it begins is not known, so the rest
 * is shared between both sides. */
static void judge_block(const struct series *s, struct pv_desc_nat *nat)
{
    unsigned estimate = s->spread * (unsigned)(s->n + 1) / (unsigned)(s->n - 1);
    unsigned lo = s->sorted[0], hi = s->sorted[s->n - 1];
    nat->ports = PV_DESC_PORTS_RANDOM;
    if (estimate > BLOCK_MAX)
        return;
    unsigned size = BLOCK_MIN;
    while (size + size / 2 < estimate || size < s->spread + 1)
        size *= 2;
    unsigned more = (size - s->spread - 1) / 2;
    nat->ports = PV_DESC_PORTS_BLOCK;
    nat->lo = (uint16_t)(lo > PORT_LO + more ? lo - more : lo < PORT_LO ? lo : PORT_LO);
    nat->hi = (uint16_t)(hi + more < UINT16_MAX ? hi + more : UINT16_MAX);
}

/* Returns true if most sockets keep their port. */
static bool is_preserving(const struct pv_hardnat_samples *s)
{
    size_t n = 0, kept = 0;
    for (size_t i = 0; i < PV_HARDNAT_SAMPLES; i++) {
        n += s->ports[i] != 0;
        kept += s->ports[i] != 0 && s->ports[i] == s->local[i];
    }
    return 2 * kept >= n;
}

bool pv_hardnat_keeps_first(const struct pv_hardnat_samples *samples)
{
    return samples->ports[0] != 0 && samples->second != 0 && samples->ports[0] != samples->second &&
           is_preserving(samples);
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
    /* A server with one address cannot show whether another address gets another port. Fresh
     * sockets that keep their port speak against it. */
    if (nat.mapping == PV_DESC_MAPPING_SAME && (!samples->one_address || is_preserving(samples)))
        return nat;
    if (n < 4)
        return nat;
    struct series s = series_of(ports, n);
    if (!judge_sequence(&s, &nat) && !judge_rising(&s, &nat))
        judge_block(&s, &nat);
    return nat;
}

/* --- planning -------------------------------------------------------------------------------- */

/* How a side counts in the choice. An unknown NAT is taken as the easy kind: its main socket then
 * probes, which costs least. */
static enum pv_desc_ports kind_of(const struct pv_desc_nat *nat, bool loose)
{
    if (nat->mapping == PV_DESC_MAPPING_SAME && loose)
        return nat->ports;
    if (nat->mapping != PV_DESC_MAPPING_VARIES)
        return PV_DESC_PORTS_UNKNOWN;
    return nat->ports == PV_DESC_PORTS_UNKNOWN ? PV_DESC_PORTS_RANDOM : nat->ports;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static unsigned size_of(const struct pv_desc_nat *nat)
{
    return (unsigned)(nat->hi - nat->lo) + 1;
}

/* The other side is easy: it shows one port to everybody, so only one of the two has ports to
 * find. */
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

/* Whether this side can be met at one port: all sockets of the other aim at a port that this side
 * gets with a fair chance, because its next port is predictable or its block is small. */
static bool can_meet(const struct pv_desc_nat *nat, enum pv_desc_ports kind)
{
    return kind == PV_DESC_PORTS_SEQUENTIAL ||
           (kind == PV_DESC_PORTS_BLOCK && size_of(nat) <= MEET_MAX);
}

/* Both sides open sockets. Both sides compute this from the same two descriptions, so the plan must
 * be the same seen from either side. */
static struct pv_hardnat_plan plan_hard(const struct pv_desc_nat *own, enum pv_desc_ports us,
                                        const struct pv_desc_nat *theirs, enum pv_desc_ports them)
{
    struct pv_hardnat_plan plan = {.method = PV_HARDNAT_NONE};
    if (us == PV_DESC_PORTS_SEQUENTIAL && them == PV_DESC_PORTS_SEQUENTIAL) {
        plan.method = PV_HARDNAT_RENDEZVOUS;
        plan.sockets = PV_HARDNAT_MAX_MAPPINGS;
    } else if (can_meet(own, us) && can_meet(theirs, them)) {
        plan.method = PV_HARDNAT_MEET;
        plan.sockets = us == PV_DESC_PORTS_SEQUENTIAL ? PV_HARDNAT_VOLLEY : PV_HARDNAT_MAX_MAPPINGS;
    }
    return plan;
}

static bool has_fresh(const struct pv_desc_nat *nat)
{
    return nat->mapping == PV_DESC_MAPPING_SAME && nat->last != 0;
}

/* Neither NAT is hard. A way between one port that is fresh and any other is one that no packet has
 * taken yet. */
static struct pv_hardnat_plan plan_fresh(const struct pv_desc_nat *own,
                                         const struct pv_desc_nat *theirs)
{
    struct pv_hardnat_plan plan = {.method = PV_HARDNAT_NONE};
    if (has_fresh(own) || has_fresh(theirs))
        plan.method = PV_HARDNAT_FRESH;
    plan.sockets = has_fresh(own) ? 1 : 0;
    return plan;
}

struct pv_hardnat_plan pv_hardnat_plan(const struct pv_desc_nat *own,
                                       const struct pv_desc_nat *theirs, bool loose,
                                       unsigned max_mappings)
{
    struct pv_hardnat_plan plan = {.method = PV_HARDNAT_NONE};
    enum pv_desc_ports us = kind_of(own, false), them = kind_of(theirs, false);
    if (us == PV_DESC_PORTS_UNKNOWN && them == PV_DESC_PORTS_UNKNOWN) {
        if (own->early || theirs->early)
            return plan_fresh(own, theirs);
        if (loose && own->ports == PV_DESC_PORTS_UNKNOWN && theirs->ports == PV_DESC_PORTS_UNKNOWN)
            return plan_fresh(own, theirs);
        us = kind_of(own, loose);
        them = kind_of(theirs, loose);
    }
    if (us == PV_DESC_PORTS_UNKNOWN) {
        plan.method = method_against(them);
        return plan;
    }
    if (them == PV_DESC_PORTS_UNKNOWN) {
        plan.method = method_against(us);
        plan.sockets = PV_HARDNAT_MAX_MAPPINGS;
    } else {
        plan = plan_hard(own, us, theirs, them);
    }
    plan.sockets = least(plan.sockets, max_mappings);
    if (us == PV_DESC_PORTS_BLOCK) /* a quarter of the subscriber's block is left to its user */
        plan.sockets = least(plan.sockets, size_of(own) * 3 / 4);
    if (plan.sockets == 0)
        plan.method = PV_HARDNAT_NONE;
    return plan;
}
