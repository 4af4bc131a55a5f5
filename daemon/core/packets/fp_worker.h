/* SPDX-License-Identifier: MIT */
/*
 * fp_worker.h - one worker's memory, shared by fp_tx.c and fp_rx.c. Internal to the fast path.
 */
#pragma once

#include "base/bucket.h"
#include "daemon/core/packets/fp_queue.h"
#include "daemon/core/packets/fp_state.h"
#include "proto/group/group.h"
#include "proto/ip/parts.h"
#include "proto/rules/flow.h"

enum {
    PV_FP_ARENA = 1 << 20,  /* bytes sealed per call, PERFORMANCE "Conclusions" */
    PV_FP_MAX_SENDS = 2048, /* per call: what is cut from one super-packet, and to spare */
    PV_FP_MAX_WRITES = PV_JOIN_PACKETS,
    PV_FP_MAX_PUNTS = 4096,   /* per call */
    PV_FP_MAX_RELAYED = 1024, /* carriers of relayed datagrams, per call */
    PV_FP_MAX_HANDED = 1024,  /* per call */
    PV_FP_MAX_SEGMENTS =
        128, /* datagrams merged into one, as received from Linux (PERFORMANCE "UDP sockets") */
};

/* A datagram that waits for its batch to be opened. */
struct pv_fp_opening {
    const struct pv_fp_peer *peer;
    struct pv_fp_keys *keys;
    const struct pv_carrier *from;
    uint8_t ecn; /* of the outer header */
};

/* A packet that waits for its batch to be sealed. */
struct pv_fp_sealing {
    size_t send; /* index in sends */
    struct pv_fp_keys *keys;
};

/* The packets to or from one peer in one run that are not yet in its live facts. */
struct pv_fp_tally {
    const struct pv_fp_peer *peer; /* NULL: nothing */
    const struct pv_carrier *from; /* received: by which way */
    uint64_t packets, bytes, relayed;
    bool first;    /* sent: it is among the first after silence or a rest */
    bool selected; /* received: by the selected path */
};

enum {
    PV_FP_BUDGETS = 64,    /* ours: groups are put into them by a hash */
    PV_FP_FRAGMENTED = 16, /* ours: packets whose fragments are still to come */
};

/* How much of a group may still be sent. */
struct pv_fp_budget {
    struct pv_bucket packets, bytes;
};

/* The verdict on the first fragment of a packet to many. */
struct pv_fp_fragment {
    struct pv_group group;
    uint32_t id;
    bool goes;
};

/* Packets to many (fp_many.h). */
struct pv_fp_many {
    struct pv_fp_budget budgets[PV_FP_BUDGETS];
    struct pv_bucket reports;
    struct pv_fp_fragment fragments[PV_FP_FRAGMENTED];
    unsigned next_fragment;
    const uint8_t *packet; /* whose copies are not all made; NULL = none */
    size_t next;           /* of those who get one */
    bool copying;          /* nobody is told that a copy does not arrive (RFC 1122 s3.2.2) */
};

/* Whom a packet is for. */
struct pv_fp_target {
    bool us;    /* DESIGN 7: overlay address, broadcast, multicast; or what this node carries */
    bool many;  /* broadcast or multicast */
    bool quiet; /* it is discovery, which counts as no use of the peer */
};

/* The last packet's inner addresses and what they mean: the next one of a flow asks for the same.
 */
struct pv_fp_ends {
    uint8_t ips[32];                /* source and destination, as in the header */
    uint8_t version;                /* 0: nothing is known */
    const struct pv_fp_peer *peer;  /* who sent it */
    const struct pv_fp_peer *owner; /* of the source, or who carries it; NULL: it is nobody's */
    struct pv_fp_target target;
};

enum {
    PV_FP_AHEAD = 8, /* ours: packets in struct pv_fp_ahead; a power of two */
};

/* A packet of a peer with rules, read before it is its turn, so that what the table of flows knows
 * of it is there by then. */
struct pv_fp_ahead {
    struct pv_ippkt ip;
    struct pv_flow flow;
    struct pv_verdict verdict;
    struct pv_flowspot spot; /* mark 0: nothing is read */
    uint32_t who;            /* the peer in whose name it comes */
    uint64_t run; /* packets with one number are of one flow, and alike to the rules; never 0 */
};

enum {
    PV_FP_FIRST_MARKS = 64,   /* ours: sends of one call that go twice */
    PV_FP_FIRST_KEPT = 32,    /* ours: datagrams kept for repetition; */
    PV_FP_FIRST_OF_PEER = 10, /* of one peer: what TCP sends at once after a pause, RFC 6928; */
    PV_FP_FIRST_LEN = 1500,   /* ours: none longer than that, bytes */
};

/* A sealed datagram that is repeated until its path is heard, or only when another path takes over
 * meanwhile. */
struct pv_fp_kept {
    uint32_t peer; /* 0 = the place is free */
    unsigned tries;
    pv_ns since, next;     /* first sent; sent again */
    bool doubted;          /* the path was silent then: it is repeated in any case */
    struct pv_carrier way; /* else: by which it went last */
    uint8_t ecn;
    uint16_t len;
    uint8_t msg[PV_FP_FIRST_LEN]; /* without a channel's header */
};

/* The first packets after silence (fp_first.h). */
struct pv_fp_first {
    uint16_t marks[PV_FP_FIRST_MARKS]; /* of sends */
    size_t n_marks;
    struct pv_fp_kept kept[PV_FP_FIRST_KEPT];
    size_t n_kept;
    struct pv_bucket bytes; /* by spare ways */
};

struct pv_fp_worker {
    unsigned number, of; /* this pair's number, and how many pairs there are */
    _Atomic uint64_t drops[PV_FP_DROP_REASONS];

    /* results of the last call */
    struct pv_fp_send sends[PV_FP_MAX_SENDS];
    struct pv_joiner writes; /* outs */
    struct pv_fp_punt punts[PV_FP_MAX_PUNTS];
    size_t n_sends, n_punts;

    /* the batch being collected */
    struct pv_aead_engine *aead;
    struct pv_aead_op ops[PV_AEAD_BATCH_MAX];
    union {
        struct pv_fp_sealing sealing[PV_AEAD_BATCH_MAX]; /* tx */
        struct pv_fp_opening opening[PV_AEAD_BATCH_MAX]; /* rx */
    } batch;
    size_t n_ops;

    struct pv_fp_tally tally;

    /* rx */
    struct pv_fp_ends ends; /* under the snapshot of this call */
    struct pv_fp_ahead
        ahead[PV_FP_AHEAD + 1]; /* the packet whose turn it is, the next one; one out of parts */
    uint64_t runs;              /* numbers given out */
    uint64_t run_let_in;        /* in this call: the last packet let in is of this run; 0: none */
    struct pv_fp_handed handed[PV_FP_MAX_HANDED];
    size_t n_handed;
    struct pv_parts *parts;                       /* NULL until the first part comes */
    struct pv_carrier relayed[PV_FP_MAX_RELAYED]; /* of what came through the relay, this call */
    size_t n_relayed;

    uint32_t wholes; /* packets sent in parts */
    uint8_t *arena;  /* PV_FP_ARENA bytes; what sends, ICMP answers and writes of packets that came
                      * in parts point into */
    size_t arena_used;

    /* tx */
    uint8_t whole[PV_FP_INNER_MAX]; /* a packet on its way into pieces */
    struct pv_fp_queue *queue;
    struct pv_fp_many many;
    struct pv_fp_first first;
    bool no_use;              /* what is sent now counts as no use of the peer */
    struct pv_bucket answers; /* ICMP errors */
    uint32_t waiting_peers[PV_FP_QUEUE_MAX_PEERS];
};

/* Empties the results: the beginning of every call. */
void pv_fp_worker_reset(struct pv_fp_worker *w);
/* Counts a dropped packet, for the worker and, unless peer is NULL, for the peer. */
void pv_fp_worker_drop(struct pv_fp_worker *w, const struct pv_fp_peer *peer,
                       enum pv_fp_drop reason);
/* The same of n packets. */
void pv_fp_worker_drops(struct pv_fp_worker *w, const struct pv_fp_peer *peer,
                        enum pv_fp_drop reason, size_t n);
/* Appends a punt; the caller has made sure that there is room. */
struct pv_fp_punt *pv_fp_worker_punt(struct pv_fp_worker *w, enum pv_fp_punt_kind kind,
                                     uint32_t peer);
/* Appends a punt of this kind unless flag says that it was punted already. */
void pv_fp_worker_punt_once(struct pv_fp_worker *w, enum pv_fp_punt_kind kind, uint32_t peer,
                            _Atomic bool *flag);

static inline void pv_fp_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* Without gaps: what is sent one after the other may leave in one system call. The caller has made
 * sure that there is room. */
static inline uint8_t *pv_fp_take_arena(struct pv_fp_worker *w, size_t len)
{
    uint8_t *p = w->arena + w->arena_used;
    w->arena_used += len;
    return p;
}

static inline void pv_fp_set(_Atomic pv_ns *when, pv_ns now)
{
    atomic_store_explicit(when, now, memory_order_relaxed);
}

/* Keys that may still be sent with (PV_FP_SEND_TIME), or received with (PV_FP_REJECT_TIME). */
static inline bool pv_fp_keys_young(const struct pv_fp_keys *keys, pv_ns limit, pv_ns now)
{
    return now < keys->birth || now - keys->birth < limit;
}

/* 255.255.255.255, multicast, or the network's own broadcast address. */
bool pv_fp_is_to_many(const struct pv_fp_snapshot *snap, uint8_t version, const uint8_t *dst);
