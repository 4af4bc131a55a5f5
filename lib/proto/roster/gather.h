/* SPDX-License-Identifier: MIT */
/*
 * gather.h - entries of a log that come in several messages, until the head over the last of them
 * is there: then they are one piece for pv_netlog_take() (adr/0132).
 *
 * Each entry has to name the one before it, so that nobody fills memory with what can never count.
 * No I/O. One thread.
 */
#pragma once

#include "proto/roster/netlog.h"

struct pv_gather {       /* zeroed: empty */
    size_t max;          /* bytes of all entries; set by the owner */
    uint64_t first;      /* n of the first entry */
    struct pv_view *raw; /* owned, each with its bytes */
    size_t n, cap, bytes;
    uint8_t last[PV_LOGST_HASH_LEN]; /* hash of the last entry */
};

/* Lets go of what was gathered; max stays. */
void pv_gather_clear(struct pv_gather *g);
/*
 * Adds entries from number first on; the first ones go behind prev, the hash of entry first - 1 of
 * the owner's log.
 *   PV_ERR_STATE  they do not go on from those that are here
 *   PV_ERR_AUTH   one does not name the entry before it
 *   PV_ERR_LIMIT  more bytes than max
 *   PV_ERR_NOMEM, and the errors of pv_entry_decode(); after any error nothing is here any more
 */
PV_MUST_CHECK int pv_gather_add(struct pv_gather *g, uint64_t first, const struct pv_view *entries,
                                size_t n, const uint8_t prev[static PV_LOGST_HASH_LEN]);
/* What is gathered, under this head. Valid until the next call that is not const. */
struct pv_netlog_piece pv_gather_piece(const struct pv_gather *g, struct pv_view head);
