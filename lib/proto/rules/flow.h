/* SPDX-License-Identifier: MIT */
/*
 * flow.h - which flow an inner packet belongs to, and the flows that this node knows: whether it or
 * the other side began one, so that answers pass where no rule lets them in.
 *
 * Reading is a pure function of the packet. The table is bounded: a flow that finds no place takes
 * that of the one of its few which was used longest ago, of the same peer when that has two there
 * already; and it is known for a while whose flows were pushed out. Any number of threads may use a
 * table at once: each place is a mark and the second of its last use, and a race costs at most the
 * memory of one flow, never another one's permission. Marks are keyed hashes of 64 bits. Fuzz
 * target: fuzz_flow.
 */
#pragma once

#include "proto/ip/ippkt.h"
#include "proto/rules/ports.h"

enum {
    PV_FLOW_WORDS = 11,        /* of 32 bits: what makes a flow */
    PV_FLOW_SETS = 8192,       /* ours: sets of places */
    PV_FLOW_WAYS = 4,          /* places of each side in a set: one cache line */
    PV_FLOW_EPHEMERAL = 32768, /* Linux takes ports of its own choice from here on */
};
#define PV_FLOW_TCP_LIFE \
    (5 * 86400)                /* seconds without a packet; as Linux: sessions idle for days */
#define PV_FLOW_LIFE       180 /* seconds, of all others; RFC 4787 REQ-5: above 2 minutes */
#define PV_FLOW_PIECE_LIFE 30  /* seconds, of a packet in fragments; Linux joins as long */
#define PV_FLOW_MANY_LIFE  30  /* seconds in which what went to many is answered; ours */

/* The place of a packet in its flow. */
enum pv_flow_kind {
    PV_FLOW_FIRST,  /* it may begin one: TCP's SYN, any UDP, an echo request, other protocols */
    PV_FLOW_LATER,  /* TCP after the SYN */
    PV_FLOW_ANSWER, /* an echo reply: never the first of its flow */
    PV_FLOW_ERROR,  /* an ICMP error: about a packet that the other side of it sent */
    PV_FLOW_PIECE,  /* a later fragment: belongs to the first one of its packet */
    PV_FLOW_BAD,    /* its ports are not in it, or not to be relied on */
};

struct pv_flow {
    enum pv_flow_kind kind;
    uint8_t proto; /* as in sets of ports; of an ERROR that of the packet it is about */
    uint16_t port; /* the one that rules are about: where an incoming packet goes to */
    uint16_t own;  /* port of this node's side */
    bool more;     /* the first of several fragments: piece is valid */
    uint32_t key[PV_FLOW_WORDS];   /* the same in both directions; [0] is the caller's: the peer */
    uint32_t piece[PV_FLOW_WORDS]; /* of its fragments, or of the fragment that it is; else unset */
};

/* Reads an inner packet. incoming: this node's side is its destination. */
void pv_flow_read(const struct pv_ippkt *ip, bool incoming, struct pv_flow *ret_flow);

/* The side that began it. Each side has places of its own: a peer that begins many cannot push out
 * those that this node began. */
enum pv_flow_side {
    PV_FLOW_OURS,
    PV_FLOW_THEIRS,
    PV_FLOW_SIDES,
};

/* A packet to many (broadcast, multicast) is answered by one: the key that question and answer
 * share. asked: the side that sent it to many. */
void pv_flow_to_many(const struct pv_flow *f, enum pv_flow_side asked,
                     uint32_t key[static PV_FLOW_WORDS]);

struct pv_flowtable; /* opaque; 1 MiB */

/* PV_ERR_NOMEM. rng: keys of the marks. */
PV_MUST_CHECK int pv_flowtable_new(const struct pv_rng *rng, struct pv_flowtable **ret_table);
struct pv_flowtable *pv_flowtable_free(struct pv_flowtable *t); /* NULL is fine; returns NULL */

/* Where a flow stands in the table: found once for all that is asked of a packet. */
struct pv_flowspot {
    uint64_t mark;
    uint32_t set;
    uint32_t owner;
};
struct pv_flowspot pv_flowtable_spot(const struct pv_flowtable *t,
                                     const uint32_t key[static PV_FLOW_WORDS]);
/* It will be asked for: the line of the table is on its way when that happens. */
void pv_flowtable_prefetch(const struct pv_flowtable *t, enum pv_flow_side side,
                           struct pv_flowspot spot);
/* Was it used within its life? now_s: seconds of the node's clock, never 0. */
bool pv_flowtable_has(const struct pv_flowtable *t, enum pv_flow_side side, struct pv_flowspot spot,
                      uint32_t now_s);
/* The same, and if so it is used now. */
bool pv_flowtable_use(struct pv_flowtable *t, enum pv_flow_side side, struct pv_flowspot spot,
                      uint32_t now_s);
/* It is used now, and known for life_s seconds after its last use, below 2^22. */
void pv_flowtable_put(struct pv_flowtable *t, enum pv_flow_side side, struct pv_flowspot spot,
                      uint32_t now_s, uint32_t life_s);
void pv_flowtable_forget(struct pv_flowtable *t, enum pv_flow_side side, struct pv_flowspot spot);
/* Was a flow that this peer began, and that is not TCP's, pushed out within its life? Then one that
 * is not known may be that one. */
bool pv_flowtable_lost(const struct pv_flowtable *t, uint32_t peer, uint32_t now_s);
