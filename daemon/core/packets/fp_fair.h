/* SPDX-License-Identifier: MIT */
/*
 * fp_fair.h - inner packets between the TUN and the fast path: each flow has a queue of its own, so
 * that a keystroke does not stand behind a file (in the spirit of FQ-CoDel, RFC 8290).
 *
 * Flows take turns by bytes (deficit round robin); one that has just begun, or sends less than its
 * turn allows, goes first. A flow that keeps packets waiting for too long is told, one packet at a
 * time: by ECN, or by losing that packet (fp_codel.h). Nothing else is lost here: when the places
 * are taken nothing more is read, and what the TUN's own queue holds is known by how long it has
 * not been empty. Packets of one flow leave in the order in which they came; all fragments between
 * two hosts are one flow. Places are fixed: 64 super-packets, and 256 packets of up to 2 KB.
 *
 * One thread; pure. The loop:
 *   while ((p = pv_fp_fair_space(f)) != NULL) { read a packet to p; pv_fp_fair_push(f, …); }
 *   n = pv_fp_fair_pop(f, packets, …); use them, which are valid until the next pop
 */
#pragma once

#include "base/pv.h"
#include "daemon/core/packets/fastpath.h"

enum {
    PV_FP_FAIR_READ = PV_VNET_LEN + 65535, /* bytes: the longest that a TUN gives in one read */
    PV_FP_FAIR_LARGE = 64,                 /* places of 64 KB, one of them for the next read */
    PV_FP_FAIR_LARGE_LEN = (PV_FP_FAIR_READ + 63) & ~63,         /* on cache lines of their own */
    PV_FP_FAIR_MEMORY = PV_FP_FAIR_LARGE * PV_FP_FAIR_LARGE_LEN, /* bytes, about 4 MB */
    PV_FP_FAIR_SMALL = 256, /* places of PV_FP_FAIR_SMALL_LEN bytes */
    PV_FP_FAIR_SMALL_LEN = 2048,
    PV_FP_FAIR_FLOWS = 256,        /* queues; flows are put into them by a hash */
    PV_FP_FAIR_QUANTUM = 16 << 10, /* bytes of a flow's turn: more than a game or a voice sends
                                    * between two turns */
    PV_FP_FAIR_BATCH = 256 << 10,  /* bytes taken at once: what comes meanwhile waits for them */
};

struct pv_fp_fair; /* opaque */

/*
 * memory: PV_FP_FAIR_MEMORY bytes for the large places, the caller's, who wipes them. Their
 * contents count for nothing between a pop that returned 0 and the next space: they may then be
 * given back to the system. seed: secret, so that nobody outside can choose addresses that share a
 * queue. PV_ERR_NOMEM.
 */
PV_MUST_CHECK int pv_fp_fair_new(struct pv_fp_fair **ret_fair, uint8_t *memory, uint64_t seed);
/* Wipes the small places. NULL is fine; returns NULL. */
struct pv_fp_fair *pv_fp_fair_free(struct pv_fp_fair *f);

/* PV_FP_FAIR_READ bytes for the next packet; NULL: all places are taken. */
uint8_t *pv_fp_fair_space(struct pv_fp_fair *f);
/*
 * A packet of len bytes lies in that space, head <= len bytes behind its beginning; offload as in
 * struct pv_fp_packet. since: it came later than that, as far as is known: when the TUN was last
 * found empty. A packet that is not IP is passed on as well, the fast path counts it.
 */
void pv_fp_fair_push(struct pv_fp_fair *f, size_t head, size_t len,
                     const struct pv_offload *offload, pv_ns since);
/*
 * The next packets, at most cap and about PV_FP_FAIR_BATCH bytes; returns how many, 0 = none wait.
 * Their places are free again with the next call.
 */
size_t pv_fp_fair_pop(struct pv_fp_fair *f, struct pv_fp_packet *ret_packets, size_t cap,
                      pv_ns now);

/* Bytes that wait. */
size_t pv_fp_fair_bytes(const struct pv_fp_fair *f);
