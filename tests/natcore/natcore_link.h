/* SPDX-License-Identifier: MIT */
/*
 * natcore_link.h - one direction of an imperfect line: rate and queue, delay, jitter, loss,
 * reordering, duplication, damage.
 *
 * Used by the NAT emulator for its outer line and by the simulator for every line. Carries blocks
 * of bytes with a small tag; what they mean is the owner's business. Pure, repeatable from the
 * seed; not thread-safe.
 */
#pragma once

#include "base/pv.h"

/* splitmix64, so that a run can be repeated from one number. */
struct pv_natrng {
    uint64_t state;
};

uint64_t pv_natrng_u64(struct pv_natrng *rng);
uint32_t pv_natrng_below(struct pv_natrng *rng, uint32_t bound); /* bound > 0 */
bool pv_natrng_chance(struct pv_natrng *rng, double p);          /* true with probability p */
double pv_natrng_unit(struct pv_natrng *rng);                    /* [0, 1) */

/* All zero = a perfect line. */
struct pv_link_config {
    double loss;       /* probability 0..1, each packet by itself */
    double duplicate;  /* probability that a packet comes twice */
    double reorder;    /* probability that a packet is held back by reorder_by */
    pv_ns delay;       /* one way */
    pv_ns jitter;      /* uniform 0..jitter on top; never changes the order */
    pv_ns reorder_by;  /* hold-back of a reordered packet */
    double damage;     /* probability that a few bytes of a packet are not what was sent */
    double mended;     /* share of damaged packets whose checksums are right again: by a router with
                          bad memory, or a line with an error that its checksum does not see */
    uint64_t rate_bps; /* bits a second; 0 = no limit */
    size_t queue;      /* bytes that may wait for the rate; 0 = PV_LINK_QUEUE; more is dropped */
};

enum {
    PV_LINK_QUEUE = 65536,   /* bytes before a rate limit, when not said otherwise */
    PV_LINK_PACKETS = 65536, /* packets in flight on one line; more are dropped and counted */
};

struct pv_link_stats {
    uint64_t packets, bytes; /* taken in */
    uint64_t lost;           /* by loss */
    uint64_t overflow;       /* queue, PV_LINK_PACKETS or no memory */
    uint64_t duplicated, reordered;
    uint64_t damaged, mended; /* the second are among the first */
};

struct pv_link_item; /* private */

struct pv_link {
    struct pv_link_config config; /* may be changed at any time */
    struct pv_link_stats stats;
    struct pv_natrng rng;
    struct pv_link_item *items; /* binary heap by (due, order) */
    size_t len, cap;
    uint64_t next_order;
    pv_ns last_due;  /* of packets in order */
    pv_ns line_free; /* when the rate limit has sent everything before */
    /* Makes the checksums of a damaged packet right; NULL: nobody does, whatever config.mended. */
    void (*mend)(uint8_t *data, size_t len);
};

void pv_link_init(struct pv_link *link, uint64_t seed);
void pv_link_done(struct pv_link *link);
/* Forgets what is in flight. */
void pv_link_clear(struct pv_link *link);

/* Puts data[0..len) on the line; it is copied. Loss and overflow are no failure: they are counted.
 */
void pv_link_send(struct pv_link *link, const uint8_t *data, size_t len, uint64_t tag, pv_ns now);

/* When the next packet arrives; PV_NEVER when the line is empty. */
pv_ns pv_link_next(const struct pv_link *link);

/* Takes the next packet that has arrived by now. The caller frees *ret_data with free().
 * ret_tag may be NULL. PV_ERR_AGAIN when none has. */
PV_MUST_CHECK int pv_link_receive(struct pv_link *link, pv_ns now, uint8_t **ret_data,
                                  size_t *ret_len, uint64_t *ret_tag);
