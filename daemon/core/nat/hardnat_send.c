/* SPDX-License-Identifier: MIT */
/* The packets of an attempt: what goes where and when, within the budget of TRAVERSAL 8. */
#include <string.h>

#include "daemon/core/nat/hardnat_int.h"

enum {
    ROUNDS = 6,
    FAN_ROUNDS = 3,
    VOLLEYS = 3,
    MEET_ROUNDS = 10,
    PASSES = 3, /* how often every socket sends when there are many */
    PORT_LO = 1024,
    FIRST_TTL = 2,   /* the first router only makes it come */
    GUESSED_TTL = 5, /* ours: behind most carriers' NATs, before most peers */
};
#define LINGER     PV_MS(1500) /* ours: for the last packets and their answers */
#define FAN_PAUSE  PV_MS(300)  /* ours: between the passes of a fan */
#define MEET_PAUSE PV_MS(300)  /* ours: the other side opens its sockets meanwhile */
#define LATER      PV_S(5)     /* ours: 1,000 ports have been tried then */
#define LONGEST    PV_S(15)    /* ours: with a low max_pps; the first mappings expire after 30 s */

/* When the few packets of a prediction are repeated: TRAVERSAL 8 rule 6. */
static const pv_ns rounds[ROUNDS] = {PV_MS(0),   PV_MS(20),  PV_MS(60),
                                     PV_MS(140), PV_MS(300), PV_MS(620)};

/*
 * Two sequential NATs: fresh sockets of both sides aim at one future port of the other (TRAVERSAL
 * 6). It works when the foreign mappings since the measurement, on each side, are between
 * `ahead` minus what we took ourselves and that minus the sockets of the volley: 0 to 20 for the
 * first, then up to 40 and up to 100, since they go on meanwhile. Times keep any second below 200
 * packets.
 */
static const struct {
    unsigned sockets, ahead;
    pv_ns at;
} volleys[VOLLEYS] = {
    {PV_HARDNAT_VOLLEY, PV_HARDNAT_VOLLEY_AHEAD, 0},
    {48, 65, PV_MS(1000)},
    {64, 173, PV_MS(2600)},
};
static const pv_ns again[] = {PV_MS(0), PV_MS(140), PV_MS(500)}; /* of the later volleys */

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static pv_ns interval(const struct pv_hardnat *h)
{
    return PV_S(1) / h->cfg.max_pps;
}

/* --- one packet ------------------------------------------------------------------------------ */

/* When the next packet may go, so that no second has more than max_pps. PV_NEVER: none is left. */
static pv_ns may_send_at(const struct pv_hardnat *h)
{
    pv_ns oldest = h->sent[h->sent_at];
    if (h->packets == PV_HARDNAT_MAX_PACKETS)
        return PV_NEVER;
    return oldest == 0 ? 0 : oldest + PV_S(1);
}

/* A ring as long as a second's budget: the slot that comes next is the packet sent max_pps packets
 * ago. */
static void count_packet(struct pv_hardnat *h)
{
    h->packets++;
    h->sent[h->sent_at] = h->now;
    h->sent_at = (h->sent_at + 1) % h->cfg.max_pps;
}

static void push_check(struct pv_hardnat *h, uint16_t sock, uint16_t port, uint8_t ttl)
{
    struct pv_addr dst = h->target.addr;
    dst.port = port;
    struct pv_hardnat_out *o = may_send_at(h) <= h->now ? pv_hardnat_push_out(h, sock, &dst) : NULL;
    if (o == NULL)
        return;
    o->ttl = ttl;
    pv_rng_fill(&h->cfg.rng, o->txid, sizeof(o->txid));
    count_packet(h);
}

/* The port n steps away from the newest mapping; ranges end somewhere, and begin again below. */
static uint16_t port_after(const struct pv_desc_nat *nat, int step, unsigned n)
{
    const int span = UINT16_MAX - PORT_LO + 1;
    int at = ((int)nat->last - PORT_LO + step * (int)n) % span;
    return (uint16_t)(PORT_LO + (at < 0 ? at + span : at));
}

static uint16_t predicted(const struct pv_desc_nat *nat, unsigned n)
{
    return port_after(nat, nat->step, n);
}

static bool is_tried(const struct pv_hardnat *h, unsigned port)
{
    return (h->tried[port / 8] >> (port % 8) & 1) != 0;
}

static void try_port(struct pv_hardnat *h, unsigned port)
{
    h->tried[port / 8] |= (uint8_t)(1u << (port % 8));
    push_check(h, 0, (uint16_t)port, 0);
}

/* --- the side that probes from its main socket ------------------------------------------------ */

static void round_of_ports(struct pv_hardnat *h)
{
    for (unsigned i = 1; i <= PV_HARDNAT_FAN_PORTS; i++)
        try_port(h, predicted(&h->target.nat, i));
}

/* Every port ahead of a sequential NAT's newest, for what the fan missed: steps of other sizes,
 * many foreign mappings. */
static bool try_ahead(struct pv_hardnat *h)
{
    int direction = h->target.nat.step < 0 ? -1 : 1;
    while (h->ahead < PV_HARDNAT_WALK) {
        unsigned port = port_after(&h->target.nat, direction, ++h->ahead);
        if (!is_tried(h, port)) {
            try_port(h, port);
            return true;
        }
    }
    return false;
}

/* A port of a range that was not tried; drawn, so that it says nothing about the others. */
static bool try_within(struct pv_hardnat *h, unsigned lo, unsigned hi)
{
    unsigned size = hi - lo + 1;
    unsigned first = pv_rng_below(&h->cfg.rng, size);
    for (unsigned i = 0; i < size; i++) {
        unsigned port = lo + (first + i) % size;
        if (!is_tried(h, port)) {
            try_port(h, port);
            return true;
        }
    }
    return false;
}

/* The likeliest port that is left: what was measured only orders them. */
static bool try_next_port(struct pv_hardnat *h)
{
    const struct pv_desc_nat *nat = &h->target.nat;
    if (h->plan.method == PV_HARDNAT_FAN && try_ahead(h))
        return true;
    if (h->plan.method == PV_HARDNAT_BLOCK && try_within(h, nat->lo, nat->hi))
        return true;
    return !h->cfg.birthday_off && try_within(h, PORT_LO, UINT16_MAX);
}

/* --- the side, or sides, that open sockets ---------------------------------------------------- */

static void round_of_sockets(struct pv_hardnat *h)
{
    for (size_t i = h->first; i < h->n_socks && i < h->first + h->in_use; i++)
        if (h->socks[i].port != 0)
            push_check(h, h->socks[i].id, h->aim, 0);
}

/* Sockets [first, first + n) from now on. Sockets are opened when their turn comes: a mapping that
 * is made too early may have expired when it is needed. */
static void use_sockets(struct pv_hardnat *h, unsigned first, unsigned n)
{
    unsigned most = h->plan.sockets > first ? h->plan.sockets - first : 0;
    h->first = first;
    h->in_use = least(n, most);
    pv_hardnat_open_upto(h, h->first + h->in_use);
}

/* --- few packets at once ---------------------------------------------------------------------- */

/* The next stage begins then. Stages begin at times counted from the common start, so that both
 * sides are in the same one. */
static void enter(struct pv_hardnat *h, unsigned stage, pv_ns at)
{
    h->stage = stage;
    h->round = 0;
    h->begun = at;
    h->next = at;
}

static pv_ns fan_end(const struct pv_hardnat *h)
{
    return h->start + FAN_ROUNDS * FAN_PAUSE;
}

static void send_volley(struct pv_hardnat *h)
{
    unsigned v = h->stage;
    const pv_ns *times = v == 0 ? rounds : again;
    unsigned n = v == 0 ? ROUNDS : (unsigned)PV_ARRAY_LEN(again);
    h->aim = predicted(&h->target.nat, volleys[v].ahead);
    round_of_sockets(h);
    if (++h->round < n) {
        h->next = h->start + volleys[v].at + times[h->round];
    } else if (v + 1 < VOLLEYS) {
        use_sockets(h, h->first + h->in_use, volleys[v + 1].sockets);
        enter(h, v + 1, h->start + volleys[v + 1].at);
    } else {
        h->next = PV_NEVER;
    }
}

static void send_fan(struct pv_hardnat *h)
{
    unsigned n = FAN_ROUNDS;
    if (h->in_use == 0) {
        round_of_ports(h);
        h->next = h->start + ++h->round * FAN_PAUSE;
    } else {
        round_of_sockets(h);
        n = ROUNDS;
        h->next = ++h->round < n ? h->start + rounds[h->round] : PV_NEVER;
    }
    if (h->round < n)
        return;
    /* The few likely ports were not enough: from here on it is a search through many, one packet at
     * a time. */
    if (h->in_use > 0)
        use_sockets(h, 0, PV_HARDNAT_BLOCK_SOCKETS);
    enter(h, 1, fan_end(h));
}

/* Repeated often, since either side may still be opening sockets when the other's first packets
 * come in. */
static void send_meet(struct pv_hardnat *h)
{
    round_of_sockets(h);
    h->next = ++h->round < MEET_ROUNDS ? h->start + h->round * MEET_PAUSE : PV_NEVER;
}

/* --- many packets, one at a time -------------------------------------------------------------- */

/* When the side that probes has been through what was likely: the other one opens all it may. */
static pv_ns likely_end(const struct pv_hardnat *h)
{
    const struct pv_desc_nat *nat = &h->nat;
    if (h->plan.method == PV_HARDNAT_FAN)
        return fan_end(h) + PV_HARDNAT_WALK * interval(h);
    return h->start + (pv_ns)(nat->hi - nat->lo + 1) * interval(h);
}

/* Where an early packet takes the port; of two NATs that both open it is not known. */
static bool wants_short_ttl(const struct pv_hardnat *h)
{
    return h->target.nat.early || h->plan.method == PV_HARDNAT_MEET;
}

/*
 * The TTL with which a packet leaves our NAT and does not reach theirs. One that comes in early
 * takes the port on some routers, and with it every way in (TRAVERSAL 5); a mapping of ours is
 * made all the same, and that is all they need to find it. 0: it need not be short.
 */
static uint8_t short_ttl(const struct pv_hardnat *h)
{
    if (!wants_short_ttl(h))
        return 0;
    if (h->reached > FIRST_TTL)
        return h->reached - 1;
    return h->expired > 0 ? h->expired : h->reached > 0 ? 0 : GUESSED_TTL;
}

/* One packet for each TTL to another port of theirs, from one socket: one mapping. */
void pv_hardnat_look(struct pv_hardnat *h, pv_ns now)
{
    struct pv_addr dst = h->target.addr;
    dst.port ^= 1;
    h->now = now;
    if (!wants_short_ttl(h))
        return;
    for (size_t i = 0; i < h->n_socks && h->looker == 0; i++)
        h->looker = h->socks[i].port != 0 ? h->socks[i].id : 0;
    for (unsigned i = 0; h->looker != 0 && i < PV_HARDNAT_NEAR; i++) {
        struct pv_hardnat_out *o = pv_hardnat_push_out(h, h->looker, &dst);
        if (o == NULL)
            return;
        o->plain = true;
        o->ttl = (uint8_t)(FIRST_TTL + i);
        pv_rng_fill(&h->cfg.rng, o->txid, sizeof(o->txid));
        memcpy(h->looks[i], o->txid, sizeof(h->looks[i]));
        count_packet(h);
    }
}

/* ICMP quotes the packet that it is about. Its transaction id tells which one that was, and so with
 * which TTL it went. */
void pv_hardnat_bounced(struct pv_hardnat *h, uint16_t sock, struct pv_view quoted, bool expired)
{
    if (h->phase != PV_HARDNAT_RUNNING || sock != h->looker || quoted.len < PV_STUN_HEADER_LEN)
        return;
    for (unsigned i = 0; i < PV_HARDNAT_NEAR; i++) {
        uint8_t ttl = (uint8_t)(FIRST_TTL + i);
        if (memcmp(quoted.ptr + PV_STUN_HEADER_LEN - PV_STUN_TXID_LEN, h->looks[i],
                   PV_STUN_TXID_LEN) != 0)
            continue;
        if (expired && ttl > h->expired)
            h->expired = ttl;
        if (!expired && (h->reached == 0 || ttl < h->reached))
            h->reached = ttl;
    }
}

/* When the packets of the second pass go, which reach their NAT: at once where a prediction has to
 * be met, else when most ports have been tried. */
static pv_ns second_pass(const struct pv_hardnat *h)
{
    pv_ns later = h->begun + LATER;
    if (short_ttl(h) == 0 || h->plan.method == PV_HARDNAT_MEET)
        return h->next;
    return h->plan.sockets > h->in_use ? pv_min_ns(later, likely_end(h)) : later;
}

/* False: this was the last one for now. */
static bool send_next_socket(struct pv_hardnat *h)
{
    const struct pv_hardnat_sock *s = &h->socks[h->first + h->round % h->in_use];
    if (s->port != 0)
        push_check(h, s->id, h->aim, h->round < h->in_use ? short_ttl(h) : 0);
    if (h->round + 1 == h->in_use && second_pass(h) > h->next)
        h->next = second_pass(h);
    return h->round + 1 < PASSES * h->in_use;
}

static void send_paced(struct pv_hardnat *h, pv_ns now)
{
    bool probes = h->in_use == 0;
    while (h->next <= now) {
        if (may_send_at(h) > now) {
            h->next = may_send_at(h);
            return;
        }
        h->next += interval(h);
        bool more = probes ? try_next_port(h) : send_next_socket(h);
        h->round++;
        if (more)
            continue;
        h->next = PV_NEVER;
        /* The likely ports are used up: all sockets of the plan take part, at the time when the
         * probing side turns to the rest. */
        if (!probes && h->stage < 2 && h->plan.sockets > h->in_use) {
            use_sockets(h, 0, h->plan.sockets);
            enter(h, 2, likely_end(h) > now ? likely_end(h) : now);
        }
    }
}

/* --- an attempt ------------------------------------------------------------------------------- */

/* May this plan run here? Not when the user switched its kind off; the other side then finds this
 * node not ready. */
static bool is_allowed(const struct pv_hardnat *h, const struct pv_hardnat_plan *plan)
{
    bool sequential =
        h->nat.ports == PV_DESC_PORTS_SEQUENTIAL || h->target.nat.ports == PV_DESC_PORTS_SEQUENTIAL;
    switch (plan->method) {
    case PV_HARDNAT_FAN:
    case PV_HARDNAT_RENDEZVOUS:
        return !h->cfg.predict_off;
    case PV_HARDNAT_MEET:
        return !h->cfg.birthday_off && !(sequential && h->cfg.predict_off);
    case PV_HARDNAT_BLOCK:
    case PV_HARDNAT_BIRTHDAY:
        return !h->cfg.birthday_off;
    case PV_HARDNAT_NONE:
        break;
    }
    return false;
}

/* Where our sockets aim. */
static uint16_t aim_of(const struct pv_hardnat *h)
{
    const struct pv_desc_nat *nat = &h->target.nat;
    switch (h->plan.method) {
    case PV_HARDNAT_RENDEZVOUS:
        return predicted(nat, PV_HARDNAT_VOLLEY_AHEAD);
    case PV_HARDNAT_MEET:
        return nat->ports == PV_DESC_PORTS_SEQUENTIAL
                   ? predicted(nat, PV_HARDNAT_VOLLEY_AHEAD)
                   : (uint16_t)(nat->lo + (nat->hi - nat->lo) / 2);
    case PV_HARDNAT_FAN:
    case PV_HARDNAT_BLOCK:
    case PV_HARDNAT_BIRTHDAY:
    case PV_HARDNAT_NONE:
        break;
    }
    return h->target.addr.port;
}

static pv_ns duration(const struct pv_hardnat *h)
{
    switch (h->plan.method) {
    case PV_HARDNAT_RENDEZVOUS:
        return volleys[VOLLEYS - 1].at + again[PV_ARRAY_LEN(again) - 1];
    case PV_HARDNAT_MEET:
        return pv_min_ns(PASSES * PV_HARDNAT_MAX_MAPPINGS * interval(h), LONGEST);
    case PV_HARDNAT_FAN:
    case PV_HARDNAT_BLOCK:
    case PV_HARDNAT_BIRTHDAY:
    case PV_HARDNAT_NONE:
        break;
    }
    return pv_min_ns(PV_HARDNAT_MAX_PACKETS * interval(h), LONGEST);
}

/* Those that begin; the others of the plan follow when these fail. */
static unsigned first_sockets(const struct pv_hardnat_plan *plan)
{
    switch (plan->method) {
    case PV_HARDNAT_FAN:
        return PV_HARDNAT_FAN_SOCKETS;
    case PV_HARDNAT_RENDEZVOUS:
        return PV_HARDNAT_VOLLEY;
    case PV_HARDNAT_BLOCK:
        return PV_HARDNAT_BLOCK_SOCKETS;
    case PV_HARDNAT_MEET:
    case PV_HARDNAT_BIRTHDAY:
    case PV_HARDNAT_NONE:
        break;
    }
    return plan->sockets;
}

bool pv_hardnat_run(struct pv_hardnat *h, const struct pv_hardnat_target *target, pv_ns start,
                    pv_ns now)
{
    if (h->phase != PV_HARDNAT_READY)
        return false;
    h->target = *target;
    unsigned left = h->cfg.max_mappings - h->used;
    if (h->used > 0) /* those that measured have a mapping to the server and get one to the peer */
        left -= PV_HARDNAT_SAMPLES;
    h->plan = pv_hardnat_plan(&h->nat, &target->nat, target->loose, left);
    if (wants_short_ttl(h) && left > 0) /* looking for routers takes one */
        h->plan.sockets = least(h->plan.sockets, left - 1);
    if (h->plan.method == PV_HARDNAT_FAN && h->cfg.birthday_off)
        h->plan.sockets = least(h->plan.sockets, PV_HARDNAT_BLOCK_SOCKETS);
    if (!is_allowed(h, &h->plan)) {
        h->plan = (struct pv_hardnat_plan){.method = PV_HARDNAT_NONE};
        h->phase = PV_HARDNAT_OVER;
        h->next = PV_NEVER;
        return false;
    }
    h->phase = PV_HARDNAT_RUNNING;
    h->attempts++;
    h->ahead = 0;
    memset(h->tried, 0, sizeof(h->tried));
    h->aim = aim_of(h);
    use_sockets(h, 0, first_sockets(&h->plan));
    /* An announced start that has passed is now: the clocks differ, or the signal was slow. */
    h->start = start > now ? start : now;
    h->over_at = h->start + duration(h) + LINGER;
    enter(h, 0, h->start);
    h->looker = 0;
    h->expired = h->reached = 0;
    if (h->in_use > 0)
        pv_hardnat_look(h, now);
    return true;
}

void pv_hardnat_go_on(struct pv_hardnat *h, pv_ns now)
{
    h->now = now;
    if (now >= h->next) {
        if (h->plan.method == PV_HARDNAT_RENDEZVOUS)
            send_volley(h);
        else if (h->plan.method == PV_HARDNAT_FAN && h->stage == 0)
            send_fan(h);
        else if (h->plan.method == PV_HARDNAT_MEET && h->in_use <= PV_HARDNAT_VOLLEY)
            send_meet(h);
        else
            send_paced(h, now);
    }
    /* Last, so that what is due at the same time is still sent. */
    if (now >= h->over_at)
        h->phase = PV_HARDNAT_OVER;
}
