/* SPDX-License-Identifier: MIT */
/*
 * stack_fair.h - packets on their way to lwIP, in a queue for each source address. For
 * lib/sys/stack only.
 *
 * lwIP's process has less time than members have packets. The queues take turns, one packet each,
 * so that a member that sends too much loses its own packets.
 */
#pragma once

#include "base/pv.h"

struct pbuf;
struct pv_stack_fair; /* opaque */

enum {
    PV_STACK_FAIR_QUEUES = 256, /* ours: sources share a queue when there are more, or by chance */
    PV_STACK_FAIR_DEPTH = 4096, /* ours: packets of a queue: more than the largest window holds */
    PV_STACK_FAIR_ALL = 8192,   /* ours: packets of all queues, but for */
    PV_STACK_FAIR_OWN = 32, /* ours: those that each queue may hold however full the others are */
};

/* seed: decides which sources share a queue. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_stack_fair_new(struct pv_stack_fair **ret_fair, uint32_t seed);
/* NULL is fine; returns NULL. */
struct pv_stack_fair *pv_stack_fair_free(struct pv_stack_fair *f);
/* Copies a welcome packet to the end of its source's queue. A packet without a place is lost. */
void pv_stack_fair_add(struct pv_stack_fair *f, struct pv_view packet);
/* Returns the next packet, the caller's, or NULL if all queues are empty. */
struct pbuf *pv_stack_fair_take(struct pv_stack_fair *f);
bool pv_stack_fair_is_empty(const struct pv_stack_fair *f);
/* Frees every packet. */
void pv_stack_fair_clear(struct pv_stack_fair *f);
