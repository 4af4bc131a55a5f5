/* SPDX-License-Identifier: MIT */
/*
 * sacks.h - what a member has of the bytes that it has not acknowledged yet, by its selective
 * acknowledgements (RFC 2018). For lib/sys/stack only. Pure.
 *
 * Sequence numbers are compared as TCP does it: all of a table lie within 2^31 of each other.
 */
#pragma once

#include "base/pv.h"

enum {
    PV_STACK_SACKS = 64, /* ours: ranges of a connection; the highest is forgotten */
};

/* Zero is empty. */
struct pv_stack_sacks {
    struct pv_stack_range {
        uint32_t from, to;    /* the first byte, and the one behind the last */
    } ranges[PV_STACK_SACKS]; /* in order, with bytes that are missing between any two */
    unsigned n;
    uint32_t bytes; /* of all ranges */
};

/* Adds what lies between una, the first unacknowledged byte, and nxt, the next byte to be sent. A
 * range that does not lie there is ignored: members send what they like. */
void pv_stack_sacks_add(struct pv_stack_sacks *s, struct pv_stack_range range, uint32_t una,
                        uint32_t nxt);
/* Forgets what lies before una. A range that begins at una is forgotten wholly: a member that had
 * it would have acknowledged it, so it has dropped those bytes (RFC 2018 s8). */
void pv_stack_sacks_acked(struct pv_stack_sacks *s, uint32_t una);
void pv_stack_sacks_clear(struct pv_stack_sacks *s);
/* Returns true if the member has all bytes of the range. */
bool pv_stack_sacks_has(const struct pv_stack_sacks *s, struct pv_stack_range range);
/* Returns how many bytes of the range the member does not have. An empty range may end before it
 * begins. */
uint32_t pv_stack_sacks_missing(const struct pv_stack_sacks *s, struct pv_stack_range range);
