/* SPDX-License-Identifier: MIT */
/*
 * ring.h - a bounded ring of variable-size records between two threads (one writer, one reader).
 *
 * Lock-free, C11 acquire/release. Records are copied in and read in place. Full is an answer, not
 * growth: the writer counts what it drops. Waking the reader is the caller's business (eventfd).
 */
#pragma once

#include "base/pv.h"

struct pv_ring; /* opaque */

/* bytes: capacity, rounded up to a power of two, 4 KiB .. 64 MiB. PV_ERR_NOMEM, PV_ERR_LIMIT. */
PV_MUST_CHECK int pv_ring_new(struct pv_ring **ret_ring, size_t bytes);
struct pv_ring *pv_ring_free(struct pv_ring *ring); /* wipes the memory: records may hold secrets */

/* Writer: copies the two parts as one record. PV_ERR_NO_SPACE when it does not fit now,
 * PV_ERR_LIMIT when it never will (more than half the ring less 8 bytes).
 * *ret_was_empty (may be NULL): true when the reader had nothing before, so wake it. */
PV_MUST_CHECK int pv_ring_push(struct pv_ring *ring, struct pv_view head, struct pv_view body,
                               bool *ret_was_empty);
/* Writer: bytes not in use; the reader may free more at any time. A record takes its length, up to
 * 15 bytes beside it, and at the end of the ring what is left there. */
size_t pv_ring_room(const struct pv_ring *ring);
/* Reader: the oldest record, in place (8-byte aligned), valid until pv_ring_pop(). PV_ERR_AGAIN. */
PV_MUST_CHECK int pv_ring_peek(struct pv_ring *ring, struct pv_view *ret_record);
void pv_ring_pop(struct pv_ring *ring); /* drops the record that peek gave */
