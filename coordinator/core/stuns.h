/* SPDX-License-Identifier: MIT */
/*
 * stuns.h - the coordinator's STUN server: one Binding request in, at most one answer out
 * (RFC 8489 s6.3; requests of RFC 3489 are answered in their own form).
 *
 * A pure function over two token buckets: nothing is remembered about who asked. It knows neither
 * TURN nor the behaviour discovery of RFC 5780: their methods get no answer, CHANGE-REQUEST and
 * friends are refused as unknown attributes. One thread at a time.
 */
#ifndef PV_STUNS_H
#define PV_STUNS_H

#include "base/addr.h"
#include "base/pv.h"

enum {
    PV_STUNS_MAX_ANSWER = 52, /* bytes, DESIGN 6: no answer is larger */

    /* Ours: answers a second and at once to one source network (/24, /56) and to all. A network
     * of 1,000 nodes behind one address refreshes 40 times a second. */
    PV_STUNS_SOURCE_RATE = 100,
    PV_STUNS_SOURCE_BURST = 200,
    PV_STUNS_TOTAL_RATE = 10000,
    PV_STUNS_TOTAL_BURST = 10000,
    PV_STUNS_SOURCES = 4096, /* source networks remembered */
};

struct pv_stuns; /* opaque */

/* rng keys the table of sources; not kept. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_stuns_new(struct pv_stuns **ret_stuns, const struct pv_rng *rng);
struct pv_stuns *pv_stuns_free(struct pv_stuns *stuns); /* NULL is fine; returns NULL */

/*
 * A datagram came from src. Returns 0 when buf holds an answer to be sent back to src from the
 * address it came to, *ret_len bytes; else nothing is to be sent, and the status says why:
 *   PV_ERR_TRUNCATED, PV_ERR_MALFORMED, PV_ERR_LIMIT  not STUN, or broken (see stun.h)
 *   PV_ERR_AUTH         wrong FINGERPRINT
 *   PV_ERR_UNSUPPORTED  STUN, but not a Binding request
 *   PV_ERR_REFUSED      the source cannot be answered, or a token bucket is empty
 */
PV_MUST_CHECK int pv_stuns_answer(struct pv_stuns *stuns, const struct pv_addr *src,
                                  struct pv_view datagram, pv_ns now,
                                  uint8_t buf[static PV_STUNS_MAX_ANSWER], size_t *ret_len);

#endif /* PV_STUNS_H */
