/* SPDX-License-Identifier: MIT */
/*
 * parts.h - inner packets in parts (in-band type 6, DESIGN 7): however narrow a path between
 * members is, the network inside carries packets of 1280 bytes, which IPv6 asks for (RFC 8200 s5)
 * and which QUIC needs over IPv4 too (RFC 9000 s14.1).
 *
 *   byte 0     1  2..3         4..7  8     9      10..11           12..
 *        0xC1  6  body length  id    part  parts  bytes in all     bytes of the packet
 *
 * All parts have the same number of bytes, the last the rest: datagrams of one size leave in one
 * system call. They leave one after the other, under the same keys. Id: new for each packet under
 * these keys; senders that share keys count up by PV_PARTS_STEP, each from a number of its own.
 *
 * The receiver's table has a fixed size and no list of senders. Those who share a part of it are
 * drawn by receiver indices, which we choose: a member that sends what it never completes takes
 * places from itself, and from few others for as long as two parts are apart. No allocation after
 * the first, no timers. Safe on any input: fuzz target tests/fuzz/proto/fuzz_parts.c. Not
 * thread-safe.
 */
#pragma once

#include "base/pv.h"
#include "proto/ip/inband.h"

enum {
    PV_PARTS_WHOLE = 1280,                  /* bytes of the largest packet, RFC 8200 s5 */
    PV_PARTS_MAX = 4,                       /* ours: a path of 576 bytes needs 3 */
    PV_PARTS_HEADER = PV_INBAND_HEADER + 2, /* bytes */
    PV_PARTS_STEP = 8,                      /* ours: senders that share keys */
    PV_PARTS_GROUPS = 64,                   /* ours: shares of the table, one for each sender */
    PV_PARTS_PLACES = 64,                   /* ours: packets a sender may have unfinished */
};
#define PV_PARTS_TIME PV_S(2) /* from the first part to the last, DESIGN 7 */

/* --- sending ------------------------------------------------------------------------------- */

/* How a packet is taken apart. */
struct pv_parts_plan {
    uint16_t whole; /* bytes */
    uint16_t size;  /* bytes of each part but the last, headers not counted */
    uint8_t n;      /* number of parts */
};

/* The fewest parts of a packet of `whole` bytes for a path that carries `limit` bytes inside.
 * PV_ERR_LIMIT: the packet is empty or above PV_PARTS_WHOLE, or the path too narrow for
 * PV_PARTS_MAX. */
PV_MUST_CHECK int pv_parts_plan(size_t whole, size_t limit, struct pv_parts_plan *ret_plan);
/* Bytes of part number i < plan->n, header included. */
size_t pv_parts_len(const struct pv_parts_plan *plan, uint8_t i);
/* Writes that part of the packet at `packet`, pv_parts_len() bytes, to dst. */
void pv_parts_put(const struct pv_parts_plan *plan, const uint8_t *packet, uint8_t i, uint32_t id,
                  uint8_t *dst);

/* --- receiving ----------------------------------------------------------------------------- */

struct pv_parts; /* opaque; about 5 MB of address space, resident only as used */

PV_MUST_CHECK int pv_parts_new(struct pv_parts **ret_parts);
/* Wipes what it holds. NULL is fine; returns NULL. */
struct pv_parts *pv_parts_free(struct pv_parts *t);

struct pv_parts_in {
    uint32_t owner;        /* the receiver index it came under; not 0 */
    struct pv_view packet; /* of type 6 as it came, padding included */
    uint8_t ecn;           /* of the outer header */
};

struct pv_parts_out {
    size_t len; /* bytes written to dst */
    /* ECN of the whole (RFC 3168 s5.3): congestion met by any part counts; parts that differ
     * otherwise give PV_ECN_NONE. */
    uint8_t ecn;
};

/*
 * One part. PV_OK: the packet is whole, and lies at dst, which has room for PV_PARTS_WHOLE bytes.
 * PV_ERR_AGAIN: wait for the others (also for a part that came before). Else dropped: as
 * pv_inband_parse(); PV_ERR_MALFORMED also for sizes that do not fit and for what contradicts an
 * earlier part.
 */
PV_MUST_CHECK int pv_parts_add(struct pv_parts *t, const struct pv_parts_in *in, pv_ns now,
                               uint8_t *dst, struct pv_parts_out *ret_out);
/* Packets given up since the last call, because their places were needed. */
uint64_t pv_parts_take_lost(struct pv_parts *t);
