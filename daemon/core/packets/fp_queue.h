/* SPDX-License-Identifier: MIT */
/*
 * fp_queue.h - packets that wait for a path or keys, per peer, in memory of a fixed size.
 *
 * Owned by one tx worker. Keyed by peer id and not by pointers, so it may outlive a peer. Nothing
 * is allocated per packet: a packet is a chain of blocks from one pool. It decides nothing: who
 * must give way, and when, is fp_tx.c's.
 */
#pragma once

#include "base/pv.h"

enum {
    PV_FP_QUEUE_MAX_PEERS = 2048, /* ours: as many as there are blocks of 2 KiB */
};

struct pv_fp_queue; /* opaque */

/* PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_fp_queue_new(struct pv_fp_queue **ret_queue);
struct pv_fp_queue *pv_fp_queue_free(struct pv_fp_queue *q); /* NULL is fine; returns NULL */

size_t pv_fp_queue_len(const struct pv_fp_queue *q); /* packets in all (tests) */
/* Returns true if packets of this peer wait. */
bool pv_fp_queue_has(const struct pv_fp_queue *q, uint32_t peer);
/* Returns true if one more packet of len bytes keeps this peer, and all together, within the
 * limits. */
bool pv_fp_queue_fits_peer(const struct pv_fp_queue *q, uint32_t peer, size_t len);
bool pv_fp_queue_fits_all(const struct pv_fp_queue *q, size_t len);

/* Divides the limit for all packets by n, the number of queues of which this is one; at first 1. */
void pv_fp_queue_share(struct pv_fp_queue *q, unsigned n);

/* Appends a copy. It must fit, and 0 < packet.len <= PV_FP_INNER_MAX. */
void pv_fp_queue_push(struct pv_fp_queue *q, uint32_t peer, struct pv_view packet, pv_ns now);
/* Length of the peer's oldest packet, 0 = none waits. */
size_t pv_fp_queue_front_len(const struct pv_fp_queue *q, uint32_t peer);
/* Copies the peer's oldest packet to dst (front_len bytes). */
void pv_fp_queue_front(const struct pv_fp_queue *q, uint32_t peer, uint8_t *dst);
/* Drops the peer's oldest packet; there must be one. */
void pv_fp_queue_pop(struct pv_fp_queue *q, uint32_t peer);

/* Whose packet has waited longest, and since when; 0 = none waits. */
uint32_t pv_fp_queue_oldest(const struct pv_fp_queue *q, pv_ns *ret_since);
/* The peers with packets waiting, in no order. Returns how many. */
size_t pv_fp_queue_peers(const struct pv_fp_queue *q,
                         uint32_t ret_peers[static PV_FP_QUEUE_MAX_PEERS]);
