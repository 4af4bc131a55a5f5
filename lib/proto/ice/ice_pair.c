/* SPDX-License-Identifier: MIT */
/*
 * ice_pair.c - tables of bases, remote candidates and pairs, and their ranking. All three have
 * fixed sizes, since a peer can name or provoke as many candidates as it likes; what is proven or
 * in use never gives way to what is merely named.
 */
#include <inttypes.h>
#include <stdio.h>

#include "proto/ice/ice_agent.h"
#include "proto/stun/turn.h"

/* Handicaps: how much faster a path of the lesser kind must be before it is preferred. */
#define HANDICAP_NAT      PV_MS(20)  /* ours: a NAT in the path; the same LAN must win */
#define HANDICAP_HAIRPIN  PV_MS(500) /* DESIGN 5: "hairpin is the last resort" */
#define HANDICAP_IPV4     PV_MS(3)   /* TRAVERSAL 8 rule 8 */
#define HANDICAP_RETIRING PV_S(2)    /* ours: any other direct path is preferred */
#define HANDICAP_RELAY    PV_S(10)   /* ours: any direct path is preferred */
#define RTT_UNKNOWN       PV_MS(500) /* ours: a pair that was never measured counts as slow */

enum {
    EXTRA_PREF = 1 /* local preference of an extra base: the sockets everybody knows come first */
};

/* Returns true if one of the new candidates still uses this local address. An extra base lives as
 * long as its machine's address does. */
static bool has_address(const struct pv_ice_cand *cands, size_t n, const struct pv_addr *local)
{
    for (size_t i = 0; i < n; i++)
        if (pv_addr_equal_ip(&cands[i].carrier.local, local))
            return true;
    return false;
}

static bool same_carrier(const struct pv_ice_carrier *a, const struct pv_ice_carrier *b)
{
    return a->kind == b->kind && a->sock == b->sock && pv_addr_equal(&a->local, &b->local);
}

/* Bases keep their slot over a change, because pairs name them by index. A base that no candidate
 * names now is freed, and pv_ice_pairs_form() then drops its pairs. */
void pv_ice_bases_set(struct pv_ice_agent *a, const struct pv_ice_cand *cands, size_t n)
{
    bool keep[PV_ICE_MAX_LOCAL] = {false};

    for (size_t i = 0; i < n; i++) {
        const struct pv_ice_cand *c = &cands[i];
        /* A relayed address of ours is a base of its own (RFC 8445 s5.1.1.2). */
        if ((c->type == PV_ICE_RELAY) != (c->carrier.kind != PV_ICE_CARRIER_UDP) ||
            c->carrier.local.family == PV_AF_NONE)
            continue;
        int slot = PV_ICE_NONE;
        for (int b = 0; b < PV_ICE_MAX_LOCAL; b++) {
            if (a->bases[b].used && same_carrier(&a->bases[b].carrier, &c->carrier)) {
                slot = b;
                break;
            }
            if (slot == PV_ICE_NONE && !a->bases[b].used)
                slot = b;
        }
        if (slot == PV_ICE_NONE)
            continue;
        struct pv_ice_base *base = &a->bases[slot];
        if (!base->used || base->extra || !keep[slot])
            *base = (struct pv_ice_base){.used = true, .carrier = c->carrier};
        if (c->priority > base->priority)
            base->priority = c->priority;
        keep[slot] = true;
    }
    for (int b = 0; b < PV_ICE_MAX_LOCAL; b++)
        if (!keep[b] && !(a->bases[b].extra && has_address(cands, n, &a->bases[b].carrier.local)))
            a->bases[b].used = false;
}

int pv_ice_base_add(struct pv_ice_agent *a, const struct pv_ice_carrier *carrier)
{
    for (int b = 0; b < PV_ICE_MAX_LOCAL; b++) {
        if (a->bases[b].used)
            continue;
        a->bases[b] = (struct pv_ice_base){.used = true,
                                           .extra = true,
                                           .carrier = *carrier,
                                           .priority = pv_ice_priority(PV_ICE_PRFLX, EXTRA_PREF)};
        return PV_OK;
    }
    return PV_ERR_LIMIT;
}

/* A datagram's local address is not always known (or belongs to an address added this second), so a
 * base of the same socket and family has to do. */
int pv_ice_base_find(const struct pv_ice_agent *a, const struct pv_ice_carrier *carrier,
                     uint16_t family)
{
    int any = PV_ICE_NONE;

    for (int i = 0; i < PV_ICE_MAX_LOCAL; i++) {
        const struct pv_ice_base *b = &a->bases[i];
        if (!b->used || b->carrier.kind != carrier->kind || b->carrier.sock != carrier->sock ||
            b->carrier.local.family != family)
            continue;
        if (pv_addr_equal_ip(&b->carrier.local, &carrier->local))
            return i;
        if (any == PV_ICE_NONE)
            any = i;
    }
    return any; /* the address is not known, or new: the socket is the same */
}

int pv_ice_remote_find(const struct pv_ice_agent *a, const struct pv_addr *addr)
{
    for (int i = 0; i < PV_ICE_MAX_REMOTE; i++)
        if (a->remotes[i].used && pv_addr_equal(&a->remotes[i].cand.addr, addr))
            return i;
    return PV_ICE_NONE;
}

/* A candidate that no description names may give way to a new one where no pair uses it that is
 * valid, selected or nominated: a peer that opens many ports of its NAT at once is seen at all of
 * them, and would else push out the one that it has settled on before this side's check of it is
 * answered. */
static bool is_expendable(const struct pv_ice_agent *a, int remote)
{
    if (a->remotes[remote].described)
        return false;
    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++) {
        const struct pv_ice_pair *p = &a->pairs[i];
        if (p->used && p->remote == remote &&
            (p->state == PV_ICE_PAIR_VALID || a->selected == i || a->nominated == i ||
             a->nominating == i))
            return false;
    }
    return true;
}

/* Every index that names the pair is cleared, or it would soon name another one. */
static void pair_remove(struct pv_ice_agent *a, int index)
{
    a->pairs[index].used = false;
    if (a->nominated == index || a->nominating == index)
        a->nominated = PV_ICE_NONE;
    if (a->nominating == index)
        a->nominating = PV_ICE_NONE;
    if (a->wanted == index)
        a->wanted = PV_ICE_NONE;
    if (a->notice == index)
        a->notice = PV_ICE_NONE;
    if (a->selected == index)
        pv_ice_choose_selected_gone(a);
}

static void remote_remove(struct pv_ice_agent *a, int remote)
{
    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++)
        if (a->pairs[i].used && a->pairs[i].remote == remote)
            pair_remove(a, i);
    a->remotes[remote].used = false;
}

/* Of a full table, or of one with many candidates that no description names, the expendable one
 * that was learnt first gives way: a peer behind a NAT that changes ports would fill the table with
 * its former addresses, and every search for a path would begin with them. */
static int remote_slot(struct pv_ice_agent *a, bool described)
{
    int unused = PV_ICE_NONE, oldest = PV_ICE_NONE;
    unsigned learnt = 0;

    for (int i = 0; i < PV_ICE_MAX_REMOTE; i++) {
        const struct pv_ice_remote *r = &a->remotes[i];
        if (!r->used) {
            unused = unused == PV_ICE_NONE ? i : unused;
            continue;
        }
        learnt += r->described ? 0 : 1;
        if (is_expendable(a, i) && (oldest == PV_ICE_NONE || r->learnt < a->remotes[oldest].learnt))
            oldest = i;
    }
    bool room = described || learnt < PV_ICE_MAX_LEARNT || oldest == PV_ICE_NONE;
    if (unused != PV_ICE_NONE && room)
        return unused;
    if (oldest != PV_ICE_NONE)
        remote_remove(a, oldest);
    return oldest;
}

/* The other side's word about itself replaces what was guessed from its packets; a guess never
 * replaces a description. */
int pv_ice_remote_add(struct pv_ice_agent *a, const struct pv_ice_cand *cand, bool described)
{
    int i = pv_ice_remote_find(a, &cand->addr);
    if (i == PV_ICE_NONE) {
        i = remote_slot(a, described);
        if (i == PV_ICE_NONE)
            return PV_ICE_NONE;
        a->remotes[i] = (struct pv_ice_remote){
            .used = true, .cand = *cand, .described = described, .learnt = a->now};
        return i;
    }
    if (described) { /* what the other side says about itself replaces what was guessed */
        a->remotes[i].cand = *cand;
        a->remotes[i].described = true;
    }
    return i;
}

int pv_ice_pair_find(const struct pv_ice_agent *a, int base, int remote)
{
    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++) {
        const struct pv_ice_pair *p = &a->pairs[i];
        if (p->used && p->base == base && p->remote == remote)
            return i;
    }
    return PV_ICE_NONE;
}

static uint64_t pair_priority(const struct pv_ice_agent *a, int base, int remote)
{
    uint32_t local = a->bases[base].priority;
    uint32_t other = a->remotes[remote].cand.priority;
    uint64_t g = a->cfg.controlling ? local : other;
    uint64_t d = a->cfg.controlling ? other : local;

    /* RFC 8445 s6.1.2.3 */
    return ((g < d ? g : d) << 32) + 2 * (g > d ? g : d) + (g > d ? 1 : 0);
}

/* Families must match; the members' relay pairs only with the same relay (DESIGN 6), since data
 * between two coordinators would need a path of its own. */
static bool may_pair(const struct pv_ice_agent *a, int base, int remote)
{
    const struct pv_ice_base *b = &a->bases[base];
    const struct pv_ice_remote *r = &a->remotes[remote];

    if (!b->used || !r->used || pv_addr_equal(&b->carrier.local, &r->cand.addr))
        return false;
    bool theirs = r->cand.type == PV_ICE_RELAY && pv_turn_is_virtual(&r->cand.addr);
    bool ours = b->carrier.kind != PV_ICE_CARRIER_UDP && pv_turn_is_virtual(&b->carrier.local);
    if (ours || theirs) /* the members' relay, with the same one only, DESIGN 6 */
        return ours && theirs && pv_turn_same_relay(&b->carrier.local, &r->cand.addr);
    return b->carrier.local.family == r->cand.addr.family;
}

bool pv_ice_base_is_relay(const struct pv_ice_agent *a, const struct pv_ice_pair *p)
{
    return a->bases[p->base].carrier.kind != PV_ICE_CARRIER_UDP;
}

bool pv_ice_pair_is_relayed(const struct pv_ice_agent *a, const struct pv_ice_pair *p)
{
    return pv_ice_base_is_relay(a, p) || a->remotes[p->remote].cand.type == PV_ICE_RELAY;
}

bool pv_ice_pair_is_members(const struct pv_ice_agent *a, const struct pv_ice_pair *p)
{
    return pv_ice_base_is_relay(a, p) && pv_turn_is_virtual(&a->bases[p->base].carrier.local);
}

int pv_ice_pair_relayed(const struct pv_ice_agent *a)
{
    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++) {
        const struct pv_ice_pair *p = &a->pairs[i];
        if (p->used && p->state != PV_ICE_PAIR_FAILED && pv_ice_pair_is_members(a, p))
            return i;
    }
    return PV_ICE_NONE;
}

/* Returns a free slot, or the slot of the least promising pair below priority: RFC 8445 s6.1.2.5
 * prunes from the bottom of the list, and pairs that are proven or in use are not on it. */
static int pair_slot(struct pv_ice_agent *a, uint64_t priority)
{
    int victim = PV_ICE_NONE;

    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++) {
        const struct pv_ice_pair *p = &a->pairs[i];
        if (!p->used)
            return i;
        if (p->state == PV_ICE_PAIR_VALID || pv_ice_pair_is_members(a, p) || i == a->selected ||
            i == a->nominated || i == a->nominating || p->priority >= priority)
            continue;
        if (victim == PV_ICE_NONE || p->priority < a->pairs[victim].priority)
            victim = i;
    }
    if (victim != PV_ICE_NONE)
        pair_remove(a, victim);
    return victim;
}

/* The members' relayed pair gets its place whatever else there is: it is the last resort. */
int pv_ice_pair_get(struct pv_ice_agent *a, int base, int remote)
{
    int i = pv_ice_pair_find(a, base, remote);
    if (i != PV_ICE_NONE || !may_pair(a, base, remote))
        return i;
    uint64_t priority = pair_priority(a, base, remote);
    /* The relayed pair is the last resort: it has its place whatever else there is. */
    bool members = a->bases[base].carrier.kind != PV_ICE_CARRIER_UDP &&
                   pv_turn_is_virtual(&a->bases[base].carrier.local);
    i = pair_slot(a, members ? UINT64_MAX : priority);
    if (i == PV_ICE_NONE)
        return PV_ICE_NONE;
    a->pairs[i] = (struct pv_ice_pair){
        .used = true,
        .state = PV_ICE_PAIR_WAITING,
        .base = (uint8_t)base,
        .remote = (uint8_t)remote,
        .priority = priority,
        .next_send = PV_NEVER,
        .check_end = PV_NEVER,
        .next_keep = PV_NEVER,
    };
    return i;
}

void pv_ice_pairs_form(struct pv_ice_agent *a)
{
    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++) {
        const struct pv_ice_pair *p = &a->pairs[i];
        if (p->used && !may_pair(a, p->base, p->remote))
            pair_remove(a, i);
    }
    for (int b = 0; b < PV_ICE_MAX_LOCAL; b++)
        for (int r = 0; r < PV_ICE_MAX_REMOTE && !a->bases[b].extra; r++)
            if (may_pair(a, b, r))
                (void)pv_ice_pair_get(a, b, r);
    pv_ice_pairs_reprioritise(a);
}

void pv_ice_pairs_reprioritise(struct pv_ice_agent *a)
{
    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++) {
        struct pv_ice_pair *p = &a->pairs[i];
        if (p->used)
            p->priority = pair_priority(a, p->base, p->remote);
    }
}

/* The type is derived from the address at which the peer saw us: a host candidate that was
 * translated on the way counts as what the NAT made of it. */
enum pv_ice_cand_type pv_ice_pair_local_type(const struct pv_ice_agent *a,
                                             const struct pv_ice_pair *p)
{
    const struct pv_addr *base = &a->bases[p->base].carrier.local;

    if (pv_ice_base_is_relay(a, p))
        return PV_ICE_RELAY;
    if (p->mapped.family == PV_AF_NONE || pv_addr_equal(&p->mapped, base))
        return PV_ICE_HOST;
    for (size_t i = 0; i < a->n_given; i++)
        if (pv_addr_equal(&a->locals[i].addr, &p->mapped))
            return a->locals[i].type;
    return PV_ICE_PRFLX;
}

/* The handicaps order kinds of paths where round trips hardly differ: the same LAN before IPv6
 * before IPv4 through NATs before hairpins before relays. */
pv_ns pv_ice_pair_handicap(const struct pv_ice_agent *a, const struct pv_ice_pair *p)
{
    const struct pv_ice_cand *remote = &a->remotes[p->remote].cand;
    pv_ns h = 0;

    if (pv_ice_pair_is_relayed(a, p))
        return HANDICAP_RELAY;
    /* Both ends look alike from outside: the datagrams turn round in a NAT we share. */
    if (pv_addr_equal_ip(&p->mapped, &remote->addr))
        h += HANDICAP_HAIRPIN;
    if (remote->type != PV_ICE_HOST || pv_ice_pair_local_type(a, p) != PV_ICE_HOST)
        h += HANDICAP_NAT;
    if (remote->addr.family == PV_AF_INET)
        h += HANDICAP_IPV4;
    if (a->bases[p->base].retiring)
        h += HANDICAP_RETIRING;
    return h;
}

pv_ns pv_ice_pair_cost(const struct pv_ice_agent *a, const struct pv_ice_pair *p)
{
    return (p->srtt == 0 ? RTT_UNKNOWN : p->srtt) + pv_ice_pair_handicap(a, p);
}

bool pv_ice_pair_is_better(const struct pv_ice_agent *a, const struct pv_ice_pair *p,
                           const struct pv_ice_pair *q)
{
    bool p_held = a->now < p->hold_until;
    bool q_held = a->now < q->hold_until;
    if (p_held != q_held)
        return q_held;
    pv_ns p_cost = pv_ice_pair_cost(a, p);
    pv_ns q_cost = pv_ice_pair_cost(a, q);
    if (p_cost != q_cost)
        return p_cost < q_cost;
    return p->priority > q->priority;
}

unsigned pv_ice_pair_rank(const struct pv_ice_agent *a, int index)
{
    unsigned rank = 0;

    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++) {
        const struct pv_ice_pair *p = &a->pairs[i];
        if (p->used && p->state == PV_ICE_PAIR_VALID && i != index && i != a->selected &&
            pv_ice_pair_is_better(a, p, &a->pairs[index]))
            rank++;
    }
    return rank;
}

int pv_ice_pair_best(const struct pv_ice_agent *a, enum pv_ice_pair_state state, int except)
{
    int best = PV_ICE_NONE;

    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++) {
        const struct pv_ice_pair *p = &a->pairs[i];
        if (!p->used || p->state != state || i == except)
            continue;
        if (best == PV_ICE_NONE || pv_ice_pair_is_better(a, p, &a->pairs[best]))
            best = i;
    }
    return best;
}

int pv_ice_pair_best_valid(const struct pv_ice_agent *a, int except)
{
    return pv_ice_pair_best(a, PV_ICE_PAIR_VALID, except);
}

const char *pv_ice_pair_text(const struct pv_ice_agent *a, int index,
                             char buf[static PV_ICE_PAIR_TEXT])
{
    const struct pv_ice_pair *p = &a->pairs[index];

    if (snprintf(buf, PV_ICE_PAIR_TEXT, "%s -> %s", PV_ADDR_STR(&a->bases[p->base].carrier.local),
                 PV_ADDR_STR(&a->remotes[p->remote].cand.addr)) < 0)
        buf[0] = '\0';
    return buf;
}

void pv_ice_trace_pair(struct pv_ice_agent *a, int index, const char *what)
{
    char text[PV_ICE_PAIR_TEXT];
    const struct pv_ice_pair *p = &a->pairs[index];

    PV_ICE_TRACE(a, "%s %s (%" PRIu64 ".%" PRIu64 " ms)", what, pv_ice_pair_text(a, index, text),
                 (uint64_t)(p->srtt / PV_MS(1)), (uint64_t)(p->srtt / PV_US(100) % 10));
}
