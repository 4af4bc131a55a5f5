/* SPDX-License-Identifier: MIT */
/* The life of an attempt at a hard NAT: its sockets, measuring our own NAT with fresh ones,
 * building the checks, and recognizing the other side's; and its packets: what goes where and when,
 * within the budget of TRAVERSAL 8. */
#include "daemon/core/nat/hardnat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "proto/stun/stun.h"

enum {
    OUT = PV_HARDNAT_MAX_MAPPINGS, /* packets due at once */
    /* Questions to servers by place: each sample, the first socket to the second server, and two of
     * the second socket (an answer from another port, and the question to that port). */
    ASK_SECOND = PV_HARDNAT_SAMPLES,
    ASK_CHANGE,
    ASK_EARLY,
    /* Of a socket each, which has sent a packet of a short TTL there: an answer from another port.
     * OPENS plain ones with one TTL after the other, then as many openers. */
    ASK_OPEN,
    OPENS = 3,       /* TTLs from FIRST_TTL on: the way out of one NAT, of two, of three */
    FIRST_OPENS = 2, /* of these sockets: the first is the fresh one, the second asked ASK_CHANGE */
    ASKS = ASK_OPEN + 2 * OPENS,
    NEAR = 7, /* TTLs tried on the way to the other side */
};
_Static_assert((int)FIRST_OPENS + 2 * (int)OPENS <= (int)PV_HARDNAT_SAMPLES,
               "a socket for each way out");

/* what a packet that comes in early does to the port */
enum early {
    EARLY_OPEN,    /* not looked at yet */
    EARLY_WAITING, /* until such a packet must have come */
    EARLY_ASKED,   /* the server it came from which port we have towards it */
    EARLY_OPENING, /* it does: which packets open our NATs and reach nobody */
    EARLY_DECIDED, /* nat.early, or it cannot be told */
};

struct sock {
    uint16_t id;
    uint16_t port; /* local; 0 = not open yet */
    bool failed;
};

struct out {
    uint16_t sock; /* 0 = main */
    uint8_t ttl;   /* 0 = the system's */
    struct pv_addr dst;
    uint8_t txid[PV_STUN_TXID_LEN];
    bool plain;  /* a question to a STUN server, or without meaning */
    bool change; /* its answer is to come from the server's other port */
    bool opener; /* see struct pv_udp_out */
};

struct pv_hardnat {
    struct pv_rng rng;
    struct pv_hardnat_config cfg;
    enum pv_hardnat_phase phase;
    uint32_t peer;
    uint16_t next_id;
    struct sock socks[PV_HARDNAT_MAX_MAPPINGS];
    size_t n_socks;
    uint16_t kept[PV_HARDNAT_KEPT];
    size_t n_kept;

    /* measuring */
    struct pv_addr servers[2];
    uint8_t txid[ASKS][PV_STUN_TXID_LEN];
    struct pv_hardnat_samples samples;
    unsigned sends;
    bool asked_change;
    enum early early;
    unsigned opened; /* a bit for each ASK_OPEN that was answered */
    pv_ns measure_end;
    struct pv_desc_nat nat;
    pv_ns nat_at;  /* 0 = never measured */
    uint16_t wish; /* local port of the next socket, 0 = any: for a NAT that keeps the first one */
    unsigned used; /* mappings that measuring made in this attempt */

    /* running */
    struct pv_hardnat_target target;
    struct pv_hardnat_plan plan;
    uint64_t tie_breaker;
    pv_ns start;
    pv_ns over_at;
    unsigned stage, round;    /* where it is in the plan; rounds or single packets sent in it */
    unsigned first, in_use;   /* sockets that send: in_use of them from the first on */
    uint16_t aim;             /* the port they send to */
    unsigned ahead;           /* ports after the newest one that were walked through */
    uint8_t tried[65536 / 8]; /* ports */
    unsigned packets, attempts;
    pv_ns begun;                           /* the stage */
    uint16_t looker;                       /* socket that looks how far the other side is */
    uint8_t looks[NEAR][PV_STUN_TXID_LEN]; /* with TTL 2 and on */
    uint8_t expired, reached; /* the largest TTL that was used up, the smallest that reached them */
    /* Questions to servers[0] whether our NAT still makes mappings: how many were asked and how
     * many answered, and the one that is open while these differ. The measurement counts as the
     * first. */
    struct {
        unsigned asked, answered, sends;
        uint16_t sock;
        uint8_t txid[PV_STUN_TXID_LEN];
        pv_ns at; /* when it is repeated, or given up */
    } room;
    unsigned
        limit; /* mappings that an attempt may make since our NAT was full; 0 = no such limit */
    pv_ns now;
    pv_ns sent[PV_HARDNAT_MAX_PPS]; /* when the last max_pps packets went, in a ring */
    size_t sent_at;                 /* the oldest one's place */

    pv_ns next; /* when something is to be done */
    struct out out[OUT];
    size_t n_out, out_first;
    struct pv_fifo *ops; /* borrowed */
};

enum {
    ROUNDS = 6,
    FRESH_ROUNDS = 8,
    FRESH_OPENS = 3, /* the first rounds of these, which only open our own NATs */
    FAN_ROUNDS = 3,
    VOLLEYS = 3,
    MEET_ROUNDS = 10,
    PASSES = 3, /* how often every socket sends when there are many */
    PORT_LO = 1024,
    FIRST_TTL = 2,   /* the first router only makes it come */
    GUESSED_TTL = 5, /* ours: behind most carriers' NATs, before most peers */
    GROUP = 16,      /* ours: fresh mappings for each question whether the NAT still makes any */
    ROOM_SENDS = 3,
};
#define ROOM_FIRST PV_MS(150)  /* ours: before a question for room is repeated, doubling */
#define LINGER     PV_MS(1500) /* ours: for the last packets and their answers */
#define FAN_PAUSE  PV_MS(300)  /* ours: between the passes of a fan */
#define MEET_PAUSE PV_MS(300)  /* ours: the other side opens its sockets meanwhile */
#define LATER      PV_S(5)     /* ours: 1,000 ports have been tried then */
#define LONGEST    PV_S(15)    /* ours: with a low max_pps; the first mappings expire after 30 s */

/* When the few packets of a prediction are repeated: TRAVERSAL 8 rule 6. */
static const pv_ns rounds[ROUNDS] = {PV_MS(0),   PV_MS(20),  PV_MS(60),
                                     PV_MS(140), PV_MS(300), PV_MS(620)};
static const pv_ns fresh_rounds[FRESH_ROUNDS] = {PV_MS(0),   PV_MS(20),  PV_MS(60),   PV_MS(140),
                                                 PV_MS(300), PV_MS(620), PV_MS(1200), PV_MS(2000)};

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

/* --- sockets that are asked for, and datagrams that wait ------------------------------------- */

static bool is_kept(const struct pv_hardnat *h, uint16_t id)
{
    for (size_t i = 0; i < h->n_kept; i++)
        if (h->kept[i] == id)
            return true;
    return false;
}

/* Ids go round, so that a late datagram of a closed socket meets no new one. */
static uint16_t fresh_id(struct pv_hardnat *h)
{
    do {
        h->next_id++;
    } while (h->next_id == 0 || h->next_id >= PV_HARDNAT_END_ID || is_kept(h, h->next_id));
    return h->next_id;
}

/* Asks for sockets until there are that many. */
static void open_upto(struct pv_hardnat *h, size_t upto)
{
    while (h->n_socks < upto && h->n_socks < PV_HARDNAT_MAX_MAPPINGS) {
        uint16_t id = fresh_id(h);
        h->socks[h->n_socks++] = (struct sock){.id = id};
        pv_hardnat_ask(h->ops, PV_HARDNAT_OPEN, id, h->wish == 0 ? 0 : h->wish++);
    }
}

/* A datagram to be sent; NULL: too many wait. The waiting ones move to the front only when the end
 * of the array is reached, so that most pushes copy nothing. */
static struct out *push_out(struct pv_hardnat *h, uint16_t sock, const struct pv_addr *dst)
{
    if (h->out_first + h->n_out == OUT) {
        memmove(h->out, h->out + h->out_first, h->n_out * sizeof(h->out[0]));
        h->out_first = 0;
    }
    if (h->n_out == OUT)
        return NULL;
    struct out *o = &h->out[h->out_first + h->n_out++];
    *o = (struct out){.sock = sock, .dst = *dst};
    return o;
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

static void push_check(struct pv_hardnat *h, uint16_t sock, uint16_t port, uint8_t ttl, bool opener)
{
    struct pv_addr dst = h->target.addr;
    dst.port = port;
    struct out *o = may_send_at(h) <= h->now ? push_out(h, sock, &dst) : NULL;
    if (o == NULL)
        return;
    o->ttl = ttl;
    o->opener = opener;
    pv_rng_fill(&h->rng, o->txid, sizeof(o->txid));
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
    push_check(h, 0, (uint16_t)port, 0, false);
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
    unsigned first = pv_rng_below(&h->rng, size);
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
            push_check(h, h->socks[i].id, h->aim, 0, false);
}

/* Sockets [first, first + n) from now on. Sockets are opened when their turn comes: a mapping that
 * is made too early may have expired when it is needed. */
static void use_sockets(struct pv_hardnat *h, unsigned first, unsigned n)
{
    unsigned most = h->plan.sockets > first ? h->plan.sockets - first : 0;
    h->first = first;
    h->in_use = least(n, most);
    open_upto(h, h->first + h->in_use);
}

/*
 * A NAT that limits a host's mappings drops what needs one more, for every program of that host,
 * until old ones expire. So a socket that just got a mapping also asks the server: when no answer
 * comes, the NAT is full, and the attempt opens nothing more.
 */
static void ask_for_room(struct pv_hardnat *h, uint16_t sock)
{
    if (h->room.asked == h->room.answered) {
        h->room.asked++;
        h->room.sends = 0;
        h->room.sock = sock;
        pv_rng_fill(&h->rng, h->room.txid, sizeof(h->room.txid));
    }
    struct out *o = may_send_at(h) <= h->now ? push_out(h, h->room.sock, &h->servers[0]) : NULL;
    h->room.at = h->now + (ROOM_FIRST << h->room.sends++);
    if (o == NULL)
        return;
    o->plain = true;
    memcpy(o->txid, h->room.txid, sizeof(o->txid));
    count_packet(h);
}

/* Returns true if a question is open. A server that has answered nothing in this attempt says
 * nothing by its silence, so it is asked no further. */
static bool waits_for_room(struct pv_hardnat *h)
{
    if (h->room.asked > 0 && h->room.answered == 0 && h->room.sends >= ROOM_SENDS &&
        h->now >= h->room.at) {
        h->servers[0].family = PV_AF_NONE;
        h->room.asked = 0;
    }
    return h->room.asked != h->room.answered;
}

/* The next attempts behind this NAT leave half of its mappings to others. sockets: how many have
 * sent. */
static void note_full(struct pv_hardnat *h, unsigned sockets)
{
    h->limit = (h->used + (h->used > 0 ? PV_HARDNAT_SAMPLES : 0) + sockets + h->room.asked) / 2;
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
    if (h->in_use > 0 && h->servers[0].family != PV_AF_NONE && (h->round == 0 || waits_for_room(h)))
        ask_for_room(h, h->socks[h->first + h->in_use - 1].id);
    if (++h->round < n) {
        h->next = h->start + volleys[v].at + times[h->round];
    } else if (waits_for_room(h)) {
        note_full(h, h->first + h->in_use);
        h->next = PV_NEVER;
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

/* The TTL of packets that leave our NATs and reach nobody, as far as it was measured: the shortest
 * way out, which ends before their NAT wherever that is. */
static uint8_t way_out(const struct pv_hardnat *h, bool *ret_opener)
{
    *ret_opener = h->opened >> OPENS != 0 || h->opened == 0;
    for (unsigned i = 0; i < OPENS; i++)
        if ((h->opened >> i & 1) != 0 || (h->opened >> (OPENS + i) & 1) != 0)
            return (uint8_t)(FIRST_TTL + i);
    return FIRST_TTL;
}

/* First the own NATs are opened, so that what the other side sends then takes no port from us. */
static void send_fresh(struct pv_hardnat *h)
{
    bool opener = false;
    uint8_t ttl = h->round < FRESH_OPENS ? way_out(h, &opener) : 0;
    push_check(h, h->in_use > 0 ? h->socks[h->first].id : 0, h->aim, ttl, opener);
    h->next = ++h->round < FRESH_ROUNDS ? h->start + fresh_rounds[h->round] : PV_NEVER;
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
    return h->plan.method == PV_HARDNAT_MEET ||
           (h->target.nat.early && h->plan.method != PV_HARDNAT_FRESH);
}

static bool is_last_pass(const struct pv_hardnat *h, unsigned pass)
{
    return pass == PASSES - 1 && h->plan.sockets <= h->in_use;
}

/*
 * The TTL with which a packet leaves our NAT and does not reach theirs. One that comes in early
 * takes the port on some routers, and with it every way in (TRAVERSAL 5); a mapping of ours is
 * made all the same, and that is all they need to find it. 0: it need not be short.
 * Where no router told how far it is, the first pass is one that reaches nobody and leaves one NAT,
 * the second one that leaves most carriers'. The last reaches them, wherever they are: Linux then
 * has another port for all that they send from the same one, so it goes when they are through.
 */
static uint8_t ttl_of_pass(const struct pv_hardnat *h, unsigned pass)
{
    bool meets = h->plan.method == PV_HARDNAT_MEET;
    if (!wants_short_ttl(h) || is_last_pass(h, pass) || (meets && pass > 0))
        return 0;
    /* A neighbour takes in whatever reaches it with any TTL, unless it is an opener. */
    if (h->reached > 0)
        return h->reached > FIRST_TTL ? h->reached - 1 : FIRST_TTL;
    if (pass > 0)
        return h->expired > GUESSED_TTL ? h->expired : GUESSED_TTL;
    if (h->expired > 0)
        return h->expired;
    return meets ? GUESSED_TTL : FIRST_TTL;
}

/* One packet for each TTL to another port of theirs, from one socket: one mapping. */
static void hardnat_look(struct pv_hardnat *h, pv_ns now)
{
    struct pv_addr dst = h->target.addr;
    dst.port ^= 1;
    h->now = now;
    if (!wants_short_ttl(h))
        return;
    for (size_t i = 0; i < h->n_socks && h->looker == 0; i++)
        h->looker = h->socks[i].port != 0 ? h->socks[i].id : 0;
    for (unsigned i = 0; h->looker != 0 && i < NEAR; i++) {
        struct out *o = push_out(h, h->looker, &dst);
        if (o == NULL)
            return;
        o->plain = true;
        o->ttl = (uint8_t)(FIRST_TTL + i);
        pv_rng_fill(&h->rng, o->txid, sizeof(o->txid));
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
    for (unsigned i = 0; i < NEAR; i++) {
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

/* When the packets of a later pass go: at once where a prediction has to be met; else the second
 * when most ports have been tried, and the last at the end. */
static pv_ns pass_begins(const struct pv_hardnat *h, unsigned pass)
{
    pv_ns later = h->begun + LATER;
    if (!wants_short_ttl(h) || h->plan.method == PV_HARDNAT_MEET)
        return h->next;
    if (is_last_pass(h, pass))
        return h->over_at - LINGER - h->in_use * interval(h);
    return h->plan.sockets > h->in_use ? pv_min_ns(later, likely_end(h)) : later;
}

/* Returns true if the next socket is the last one of a group that gets its mappings now. */
static bool ends_group(const struct pv_hardnat *h)
{
    return h->servers[0].family != PV_AF_NONE && h->round < h->in_use &&
           h->round % GROUP == GROUP - 1;
}

/* Before a group ends, the server has to have answered for the group before it. Returns true while
 * it may still do so. */
static bool paused_for_room(struct pv_hardnat *h)
{
    if (!ends_group(h) || !waits_for_room(h))
        return false;
    if (h->now >= h->room.at && h->room.sends < ROOM_SENDS)
        ask_for_room(h, h->room.sock);
    h->next = h->room.at;
    if (h->now < h->room.at)
        return true;
    /* The sockets after the one that asked have no mapping. */
    note_full(h, h->round - GROUP + 1);
    h->plan.sockets = h->in_use = h->round = h->round - GROUP + 1;
    h->next = pass_begins(h, 1);
    return h->next > h->now;
}

/* False: this was the last one for now. */
static bool send_next_socket(struct pv_hardnat *h)
{
    const struct sock *s = &h->socks[h->first + h->round % h->in_use];
    uint8_t ttl = ttl_of_pass(h, h->round / h->in_use);
    if (s->port != 0)
        push_check(h, s->id, h->aim, ttl, ttl == FIRST_TTL);
    if (ends_group(h) && s->port != 0)
        ask_for_room(h, s->id);
    pv_ns begins = pass_begins(h, (h->round + 1) / h->in_use);
    if ((h->round + 1) % h->in_use == 0 && begins > h->next)
        h->next = begins;
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
        if (!probes && paused_for_room(h))
            return;
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

/* Returns true if this plan may run here: the user has not switched its kind off. Otherwise the
 * other side finds this node not ready. */
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
    case PV_HARDNAT_FRESH: /* the ports are known */
        return true;
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
    case PV_HARDNAT_FRESH:
        return nat->last != 0 ? nat->last : h->target.addr.port;
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
    case PV_HARDNAT_FRESH:
        return fresh_rounds[FRESH_ROUNDS - 1];
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
    case PV_HARDNAT_FRESH:
    case PV_HARDNAT_NONE:
        break;
    }
    return plan->sockets;
}

/* The number of mappings that one attempt may make. */
static unsigned may_make(const struct pv_hardnat *h)
{
    return h->limit == 0 ? h->cfg.max_mappings : least(h->cfg.max_mappings, h->limit);
}

/* The socket that measured the port which was announced goes first. */
static void use_fresh(struct pv_hardnat *h)
{
    h->first = h->in_use = 0;
    for (unsigned i = 0; i < h->n_socks && i < PV_HARDNAT_SAMPLES && h->plan.sockets > 0; i++)
        if (h->samples.ports[i] == h->nat.last && h->socks[i].port != 0) {
            h->first = i;
            h->in_use = 1;
        }
}

bool pv_hardnat_run(struct pv_hardnat *h, const struct pv_hardnat_target *target, pv_ns start,
                    pv_ns now)
{
    if (h->phase != PV_HARDNAT_READY)
        return false;
    h->target = *target;
    /* A socket that finds an opening is kept. */
    unsigned left = h->n_kept == PV_HARDNAT_KEPT ? h->used : may_make(h);
    left -= h->used;
    if (h->used >
        0) /* sockets that measured have a mapping to the server and get one to the peer */
        left -= least(left, PV_HARDNAT_SAMPLES);
    h->plan = pv_hardnat_plan(&h->nat, &target->nat, target->loose, left);
    if (wants_short_ttl(h) && left > 0) /* looking for routers takes one */
        h->plan.sockets = least(h->plan.sockets, left - 1);
    if (h->servers[0].family != PV_AF_NONE) /* each question for room takes one as well */
        h->plan.sockets = least(h->plan.sockets, left - left / (GROUP + 1));
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
    if (h->plan.method == PV_HARDNAT_FRESH)
        use_fresh(h);
    else
        use_sockets(h, 0, first_sockets(&h->plan));
    /* An announced start that has passed is now: the clocks differ, or the signal was slow. */
    h->start = start > now ? start : now;
    h->over_at = h->start + duration(h) + LINGER;
    enter(h, 0, h->start);
    h->looker = 0;
    h->expired = h->reached = 0;
    h->room.asked = h->room.answered = h->used > 0 && h->samples.ports[0] != 0;
    if (h->in_use > 0)
        hardnat_look(h, now);
    return true;
}

/* RUNNING: sends what is due, and ends the attempt when its time is over. */
static void go_on(struct pv_hardnat *h, pv_ns now)
{
    h->now = now;
    if (now >= h->next) {
        if (h->plan.method == PV_HARDNAT_RENDEZVOUS)
            send_volley(h);
        else if (h->plan.method == PV_HARDNAT_FAN && h->stage == 0)
            send_fan(h);
        else if (h->plan.method == PV_HARDNAT_MEET && h->in_use <= PV_HARDNAT_VOLLEY)
            send_meet(h);
        else if (h->plan.method == PV_HARDNAT_FRESH)
            send_fresh(h);
        else
            send_paced(h, now);
    }
    /* Last, so that what is due at the same time is still sent. */
    if (now >= h->over_at)
        h->phase = PV_HARDNAT_OVER;
}

enum {
    MEASURE_SENDS = 3,
    CHANGE_PORT = 2, /* RFC 5780 s7.2 */
    USERNAME_MAX = 2 * PV_ICE_UFRAG_MAX + 1,
};
#define MEASURE_FIRST PV_MS(150) /* ours: before the first repetition, doubling */
#define MEASURE_TIME  PV_S(1)
#define EARLY_WAIT    PV_MS(30) /* ours: the answer from the other port is that much later at most */
#define OPEN_WAIT     PV_MS(100) /* ours: so far apart are answers to what was sent at once */
#define EARLY_TIME    PV_MS(300) /* ours: then it cannot be told */
#define NAT_FRESH     PV_S(600)  /* ours: then it is measured again */

/* --- life ------------------------------------------------------------------------------------ */

/* The configuration may lower these limits, not raise them. */
int pv_hardnat_new(struct pv_hardnat **ret_hardnat, const struct pv_rng *rng,
                   const struct pv_hardnat_config *cfg, struct pv_fifo *ops)
{
    struct pv_hardnat *h = calloc(1, sizeof(*h));
    if (h == NULL)
        return PV_ERR_NOMEM;
    h->ops = ops;
    h->rng = *rng;
    h->cfg = *cfg;
    if (h->cfg.max_mappings == 0 || h->cfg.max_mappings > PV_HARDNAT_MAX_MAPPINGS)
        h->cfg.max_mappings = PV_HARDNAT_MAX_MAPPINGS;
    if (h->cfg.max_pps == 0 || h->cfg.max_pps > PV_HARDNAT_MAX_PPS)
        h->cfg.max_pps = PV_HARDNAT_MAX_PPS;
    h->next = PV_NEVER;
    h->tie_breaker = pv_rng_u64(&h->rng);
    *ret_hardnat = h;
    return PV_OK;
}

struct pv_hardnat *pv_hardnat_free(struct pv_hardnat *h)
{
    if (h != NULL)
        pv_wipe(h, sizeof(*h));
    free(h);
    return NULL;
}

/* --- sockets that are given back ------------------------------------------------------------- */

static size_t sock_index(const struct pv_hardnat *h, uint16_t id)
{
    size_t i = 0;
    while (i < h->n_socks && h->socks[i].id != id)
        i++;
    return i;
}

void pv_hardnat_release(struct pv_hardnat *h, uint16_t sock)
{
    for (size_t i = 0; i < h->n_kept; i++) {
        if (h->kept[i] != sock)
            continue;
        h->kept[i] = h->kept[--h->n_kept];
        pv_hardnat_ask(h->ops, PV_HARDNAT_CLOSE, sock, 0);
        return;
    }
}

/* --- sending --------------------------------------------------------------------------------- */

/* The checks look as the agent's own: the peer's agent answers them, and what comes back to us is
 * authenticated. They promise nothing: without USE-CANDIDATE no pair is nominated (RFC 8445
 * s7.1.2). */
static int build(const struct pv_hardnat *h, const struct out *o, struct pv_hardnat_transmit *tx)
{
    const struct pv_hardnat_target *t = &h->target;
    struct pv_stun_writer w;
    pv_stun_write_begin(&w, tx->buf, sizeof(tx->buf), PV_STUN_REQUEST, PV_STUN_BINDING, o->txid);
    if (!o->plain) {
        char username[USERNAME_MAX + 1];
        int n = snprintf(username, sizeof(username), "%s:%s", t->theirs.ufrag, t->own.ufrag);
        pv_stun_put(&w, PV_STUN_ATTR_USERNAME, pv_view(username, n < 0 ? 0 : (size_t)n));
        pv_stun_put_u32(&w, PV_STUN_ATTR_PRIORITY, pv_ice_priority(PV_ICE_PRFLX, 1));
        pv_stun_put_u64(&w,
                        t->controlling ? PV_STUN_ATTR_ICE_CONTROLLING : PV_STUN_ATTR_ICE_CONTROLLED,
                        h->tie_breaker);
        pv_stun_put_integrity(&w, pv_view(t->theirs.pwd, strlen(t->theirs.pwd)));
    }
    if (o->change)
        pv_stun_put_u32(&w, PV_STUN_ATTR_CHANGE_REQUEST, CHANGE_PORT);
    pv_stun_put_fingerprint(&w);
    tx->sock = o->sock;
    tx->ttl = o->ttl;
    tx->opener = o->opener;
    tx->dst = o->dst;
    return pv_stun_write_end(&w, &tx->len);
}

int pv_hardnat_poll_transmit(struct pv_hardnat *h, struct pv_hardnat_transmit *ret_tx)
{
    while (h->n_out > 0) {
        const struct out *o = &h->out[h->out_first++];
        if (--h->n_out == 0)
            h->out_first = 0;
        if (build(h, o, ret_tx) == PV_OK)
            return PV_OK;
    }
    return PV_ERR_AGAIN;
}

/* --- measuring ------------------------------------------------------------------------------- */

/* A socket that could not be opened counts as answered, or every measurement would take its whole
 * time on a node that is short of them. */
static bool all_answered(const struct pv_hardnat *h)
{
    for (size_t i = 0; i < PV_HARDNAT_SAMPLES; i++)
        if (h->samples.ports[i] == 0 && !h->socks[i].failed)
            return false;
    return h->samples.second != 0 || h->servers[1].family == PV_AF_NONE;
}

static void ask(struct pv_hardnat *h, size_t place, uint16_t sock, const struct pv_addr *server)
{
    struct out *o = server->family == PV_AF_NONE ? NULL : push_out(h, sock, server);
    if (o == NULL)
        return;
    o->plain = true;
    o->change = place == ASK_CHANGE || place >= ASK_OPEN;
    memcpy(o->txid, h->txid[place], sizeof(o->txid));
}

/* The first server answers and the second has had its time: it may be another address of the first
 * that does not lead there from here. The other port of the first has to do. */
static void leave_second(struct pv_hardnat *h)
{
    if (h->sends < MEASURE_SENDS - 1 || h->samples.ports[0] == 0 || h->samples.second != 0 ||
        h->servers[1].family == PV_AF_NONE || h->servers[0].port == UINT16_MAX)
        return;
    h->servers[1] = h->servers[0];
    h->servers[1].port++;
    h->samples.one_address = true;
}

/* Asks for what is not answered yet. */
static void ask_all(struct pv_hardnat *h, pv_ns now)
{
    leave_second(h);
    for (size_t i = 0; i < PV_HARDNAT_SAMPLES; i++) {
        if (h->socks[i].failed)
            continue;
        if (h->samples.ports[i] == 0)
            ask(h, i, h->socks[i].id, &h->servers[0]);
        if (i == 0 && h->samples.second == 0)
            ask(h, ASK_SECOND, h->socks[0].id, &h->servers[1]);
    }
    if (!h->asked_change && h->samples.one_address) {
        h->asked_change = true;
        ask(h, ASK_CHANGE, h->socks[1].id, &h->servers[0]);
    }
    h->next = now + (MEASURE_FIRST << h->sends++);
    if (h->sends >= MEASURE_SENDS || h->next > h->measure_end)
        h->next = h->measure_end;
}

/* The public port of a fresh socket will be its own: those we open next, and tell them as the block
 * where the other side finds them. */
static void choose_range(struct pv_hardnat *h)
{
    const unsigned lo = 20000, span = 12000; /* below what systems give to others, RFC 6056 s3.2 */
    h->wish = (uint16_t)(lo + pv_rng_below(&h->rng, span));
    h->nat.ports = PV_DESC_PORTS_BLOCK;
    h->nat.lo = h->wish;
    h->nat.hi = (uint16_t)(h->wish + PV_HARDNAT_OWN_RANGE - 1);
}

/* A NAT that is not hard keeps the port of the first socket, which has asked nobody else, for the
 * other side as well. Without room for another socket the main one has to do. */
static void offer_fresh(struct pv_hardnat *h)
{
    if (h->nat.mapping == PV_DESC_MAPPING_SAME && h->nat.ports != PV_DESC_PORTS_SEQUENTIAL &&
        h->n_kept < PV_HARDNAT_KEPT)
        h->nat.last = h->samples.ports[0];
}

static void measured(struct pv_hardnat *h, pv_ns now)
{
    /* Found by a question of its own, which the samples do not answer. */
    bool early = h->nat.early;
    for (size_t i = 0; i < PV_HARDNAT_SAMPLES; i++)
        h->samples.local[i] = h->socks[i].port;
    h->nat = pv_hardnat_judge(&h->samples);
    if (pv_hardnat_keeps_first(&h->samples))
        choose_range(h);
    h->nat.early = early;
    offer_fresh(h);
    h->nat_at = now;
    h->phase = PV_HARDNAT_READY;
    h->next = PV_NEVER;
}

/* All ports are known. A server with two ports has sent us a packet from the second by now: did it
 * take the port from us? That is asked for a NAT that gives all destinations one port. */
static void look_for_early(struct pv_hardnat *h, pv_ns now)
{
    bool same = h->samples.second != 0 && h->samples.second == h->samples.ports[0];
    if (h->early == EARLY_OPEN && h->samples.one_address && same && h->samples.ports[1] != 0) {
        h->early = EARLY_WAITING;
        h->next = now + EARLY_WAIT;
    } else if (h->early == EARLY_OPEN || h->early == EARLY_DECIDED) {
        measured(h, now);
    }
}

/* An early packet takes the port here, so packets of ours have to open our NATs and reach nobody.
 * Which do is told by answers from the server's other port, which they were sent to: such an answer
 * is let in where one of them got out. No ICMP is asked, which routers send some of only. */
static void look_for_opening(struct pv_hardnat *h, pv_ns now)
{
    h->early = EARLY_OPENING;
    h->next = now + EARLY_TIME;
    for (unsigned i = 0; i < 2 * OPENS; i++) {
        const struct sock *s = &h->socks[FIRST_OPENS + i];
        struct out *o = s->port == 0 ? NULL : push_out(h, s->id, &h->servers[1]);
        if (o == NULL)
            continue;
        o->plain = true;
        o->ttl = (uint8_t)(FIRST_TTL + i % OPENS);
        o->opener = i >= OPENS;
        pv_rng_fill(&h->rng, o->txid, sizeof(o->txid));
        ask(h, ASK_OPEN + i, s->id, &h->servers[0]);
    }
}

/* The first of both kinds is the shortest way out. Until OPEN_WAIT has passed the answers to them
 * may be behind others: a longer way would reach a neighbour's NAT, and so would a plain packet in
 * an opener's place. */
static void note_opened(struct pv_hardnat *h, unsigned i, pv_ns now)
{
    const unsigned first = 1u | 1u << OPENS;
    h->opened |= 1u << i;
    if ((h->opened & first) == first)
        h->early = EARLY_DECIDED;
    else
        h->next = pv_min_ns(h->next, now + OPEN_WAIT);
}

/* A measurement costs eight mappings and up to a second, so it is kept while it can still predict
 * something: not where a socket of it is to be used, nor a port near its own. */
static bool nat_is_good(const struct pv_hardnat *h, pv_ns now)
{
    return h->nat_at != 0 && now - h->nat_at < NAT_FRESH &&
           h->nat.mapping == PV_DESC_MAPPING_VARIES &&
           h->nat.ports != PV_DESC_PORTS_SEQUENTIAL && /* its next port is another one by now */
           !pv_hardnat_keeps_first(&h->samples);
}

int pv_hardnat_begin(struct pv_hardnat *h, uint32_t peer, const struct pv_addr servers[static 2],
                     pv_ns now)
{
    if (pv_hardnat_is_off(h) || h->phase != PV_HARDNAT_IDLE)
        return PV_ERR_STATE;
    h->peer = peer;
    h->used = 0;
    h->packets = 0;
    h->plan = (struct pv_hardnat_plan){.method = PV_HARDNAT_NONE};
    h->servers[0] = servers[0];
    h->servers[1] = servers[1];
    /* Without a server, or with too few mappings to spare, it goes on with what is known: the plan
     * treats "unknown" as the easy kind. */
    if (servers[0].family == PV_AF_NONE || nat_is_good(h, now) ||
        may_make(h) <= PV_HARDNAT_SAMPLES) {
        h->phase = PV_HARDNAT_READY;
        h->next = PV_NEVER;
        return PV_OK;
    }
    h->phase = PV_HARDNAT_MEASURING;
    h->samples =
        (struct pv_hardnat_samples){.one_address = pv_addr_equal_ip(&servers[0], &servers[1])};
    h->sends = 0;
    h->asked_change = false;
    h->early = EARLY_OPEN;
    h->opened = 0;
    h->nat.early = false;
    h->used = 1; /* towards the second server */
    h->measure_end = now + MEASURE_TIME;
    h->next = h->measure_end;
    /* One transaction id for each question and not for each packet: an answer to a repetition says
     * the same. */
    pv_rng_fill(&h->rng, h->txid, sizeof(h->txid));
    open_upto(h, PV_HARDNAT_SAMPLES);
    return PV_OK;
}

static void take_answer(struct pv_hardnat *h, unsigned place, uint16_t port, pv_ns now)
{
    if (place < PV_HARDNAT_SAMPLES) {
        h->samples.ports[place] = port;
    } else if (place == ASK_SECOND) {
        h->samples.second = port;
    } else if (place >= ASK_OPEN) {
        note_opened(h, place - ASK_OPEN, now);
    } else {
        h->nat.early = place == ASK_EARLY && port != h->samples.ports[1];
        if (h->nat.early)
            look_for_opening(h, now);
        else /* one from the other port that was let in takes nothing */
            h->early = EARLY_DECIDED;
    }
}

/* The answer must come from the server that was asked: a forged one could make us believe in a NAT
 * that needs hundreds of packets. */
static void take_sample(struct pv_hardnat *h, const struct pv_addr *src,
                        const struct pv_stun_msg *msg, pv_ns now)
{
    struct pv_addr mapped;
    if (msg->cls != PV_STUN_SUCCESS ||
        pv_stun_get_xor_addr(msg, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &mapped) != PV_OK)
        return;
    for (unsigned i = 0; i < ASKS; i++) {
        if (memcmp(msg->txid, h->txid[i], PV_STUN_TXID_LEN) != 0 ||
            !pv_addr_equal(src, &h->servers[i < PV_HARDNAT_SAMPLES ? 0 : 1]))
            continue;
        take_answer(h, i, mapped.port, now);
    }
    if (all_answered(h))
        look_for_early(h, now);
}

void pv_hardnat_opened(struct pv_hardnat *h, uint16_t sock, uint16_t port, pv_ns now)
{
    size_t i = sock_index(h, sock);
    if (i == h->n_socks)
        return;
    h->socks[i].port = port;
    h->socks[i].failed = port == 0;
    if (h->phase == PV_HARDNAT_RUNNING && h->looker == 0)
        hardnat_look(h, now);
    if (h->phase != PV_HARDNAT_MEASURING || h->sends > 0)
        return;
    /* All questions leave at once: foreign mappings between them would blur the NAT's sequence. */
    for (i = 0; i < h->n_socks; i++)
        if (h->socks[i].port == 0 && !h->socks[i].failed)
            return;
    ask_all(h, now);
}

void pv_hardnat_forget(struct pv_hardnat *h)
{
    h->nat_at = 0;
    h->limit = 0;
    h->nat = (struct pv_desc_nat){.mapping = PV_DESC_MAPPING_UNKNOWN};
}

/* --- time ------------------------------------------------------------------------------------ */

void pv_hardnat_handle_timeout(struct pv_hardnat *h, pv_ns now)
{
    if (h->phase == PV_HARDNAT_MEASURING && now >= h->next) {
        if (h->early == EARLY_WAITING) {
            ask(h, ASK_EARLY, h->socks[1].id, &h->servers[1]);
            h->early = EARLY_ASKED;
            h->next = now + EARLY_TIME;
        } else if (now >= h->measure_end || h->early == EARLY_ASKED || h->early == EARLY_OPENING) {
            measured(h, now);
        } else {
            ask_all(h, now);
        }
    }
    if (h->phase == PV_HARDNAT_RUNNING)
        go_on(h, now);
}

pv_ns pv_hardnat_next_timeout(const struct pv_hardnat *h)
{
    switch (h->phase) {
    case PV_HARDNAT_MEASURING:
        return h->next;
    case PV_HARDNAT_RUNNING:
        return pv_min_ns(h->next, h->over_at);
    case PV_HARDNAT_IDLE:
    case PV_HARDNAT_READY:
    case PV_HARDNAT_OVER:
        break;
    }
    return PV_NEVER;
}

/* --- answers --------------------------------------------------------------------------------- */

int pv_hardnat_handle_input(struct pv_hardnat *h, uint16_t sock, const struct pv_addr *src,
                            struct pv_view datagram, pv_ns now, uint16_t *ret_port)
{
    struct pv_stun_msg msg;
    size_t i = sock_index(h, sock);
    if (i == h->n_socks || pv_stun_decode(datagram, &msg) < 0 || msg.method != PV_STUN_BINDING)
        return PV_ERR_NOT_FOUND;
    if (h->phase == PV_HARDNAT_MEASURING) {
        take_sample(h, src, &msg, now);
        return PV_ERR_NOT_FOUND;
    }
    if (h->phase == PV_HARDNAT_RUNNING && msg.cls == PV_STUN_SUCCESS &&
        h->room.asked != h->room.answered && pv_addr_equal(src, &h->servers[0]) &&
        memcmp(msg.txid, h->room.txid, PV_STUN_TXID_LEN) == 0) {
        h->room.answered = h->room.asked;
        if (h->next == h->room.at)
            h->next = now;
        return PV_ERR_NOT_FOUND;
    }
    /* Only a check that proves the peer's knowledge of our password is an opening; anything else
     * may be from anybody. */
    if (h->phase != PV_HARDNAT_RUNNING || msg.cls != PV_STUN_REQUEST ||
        pv_stun_check_integrity(&msg, pv_view(h->target.own.pwd, strlen(h->target.own.pwd))) < 0)
        return PV_ERR_NOT_FOUND;
    *ret_port = h->socks[i].port;
    return PV_OK;
}

void pv_hardnat_end(struct pv_hardnat *h, uint16_t keep)
{
    /* An attempt that wins may end before it has asked as often as one that goes on. */
    if (h->phase == PV_HARDNAT_RUNNING && ends_group(h) && waits_for_room(h) && h->room.sends > 1)
        note_full(h, h->round - GROUP + 1);
    /* All others are closed: each holds a mapping of a NAT that many subscribers may share. */
    for (size_t i = 0; i < h->n_socks; i++) {
        uint16_t id = h->socks[i].id;
        if (id == keep && h->n_kept < PV_HARDNAT_KEPT) {
            h->kept[h->n_kept++] = id;
            pv_hardnat_ask(h->ops, PV_HARDNAT_ADOPT, id, 0);
        } else {
            pv_hardnat_ask(h->ops, PV_HARDNAT_CLOSE, id, 0);
        }
    }
    h->n_socks = 0;
    if (h->nat.ports != PV_DESC_PORTS_SEQUENTIAL)
        h->nat.last = 0; /* it is no longer fresh, or closed */
    h->wish = 0;
    h->n_out = 0;
    h->out_first = 0;
    h->phase = PV_HARDNAT_IDLE;
    h->next = PV_NEVER;
    pv_wipe(&h->target, sizeof(h->target));
}

/* --- questions ------------------------------------------------------------------------------- */

bool pv_hardnat_is_off(const struct pv_hardnat *h)
{
    return h->cfg.predict_off && h->cfg.birthday_off;
}

enum pv_hardnat_phase pv_hardnat_phase(const struct pv_hardnat *h)
{
    return h->phase;
}

uint32_t pv_hardnat_peer(const struct pv_hardnat *h)
{
    return h->peer;
}

const struct pv_desc_nat *pv_hardnat_nat(const struct pv_hardnat *h)
{
    return &h->nat;
}

struct pv_hardnat_counts pv_hardnat_counts(const struct pv_hardnat *h)
{
    return (struct pv_hardnat_counts){
        .plan = h->plan,
        .attempts = h->attempts,
        .packets = h->packets,
        .mappings = (unsigned)h->n_socks,
        .kept = (unsigned)h->n_kept,
        .max_mappings = may_make(h),
        .max_pps = h->cfg.max_pps,
        .predict = !h->cfg.predict_off,
        .birthday = !h->cfg.birthday_off,
    };
}
