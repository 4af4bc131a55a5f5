/* SPDX-License-Identifier: MIT */
/*
 * relayaddrs.h - the addresses of one TURN server, and which of them is asked: those of its name in
 * their order, each until it does not answer, and the one a server has sent us to (300, RFC 8489
 * s10).
 *
 * In the first round those that are silent are left soon, for another waits; when all of them are,
 * each gets its full time. In caller's memory; zeroed is empty. No clock; not thread-safe.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"

enum {
    PV_RELAYADDRS_MAX = 16,  /* of one name: as many as a lookup gives */
    PV_RELAYADDRS_ASKED = 8, /* servers of a chain of 300s, ours; longer ones are not followed */
};
#define PV_RELAYADDRS_LOOP PV_S(300) /* no server is asked twice in this time, RFC 8489 s10 */

struct pv_relayaddrs {
    struct pv_addr list[PV_RELAYADDRS_MAX];
    size_t n, at;
    size_t silent;       /* how many in a row did not answer */
    struct pv_addr away; /* where the one at `at` has sent us; PV_AF_NONE = nowhere */
    struct {
        struct pv_addr addr;
        pv_ns until; /* 0 = unused */
    } asked[PV_RELAYADDRS_ASKED];
};

/* These are its addresses (n > 0; those beyond the limit are left out). The present one stays, if
 * it is among them. Returns whether they are others than before. */
bool pv_relayaddrs_set(struct pv_relayaddrs *a, const struct pv_addr *list, size_t n);
/* The present one; PV_AF_NONE: there is none. */
const struct pv_addr *pv_relayaddrs_now(const struct pv_relayaddrs *a);
/* Returns true if another address waits that has not been tried in vain. */
bool pv_relayaddrs_is_hasty(const struct pv_relayaddrs *a);
/* The present one does not answer: the next is the present one. True: it should be tried at once;
 * false: all of them are silent. */
bool pv_relayaddrs_next(struct pv_relayaddrs *a);
/* It has answered, or another way is tried from now on: none is known to be silent. */
void pv_relayaddrs_begin(struct pv_relayaddrs *a);
bool pv_relayaddrs_are_silent(const struct pv_relayaddrs *a);
/* The present one sends us to `to`, which is the present one from now on. False: we were there not
 * long ago, or have been sent about too often. */
bool pv_relayaddrs_redirect(struct pv_relayaddrs *a, const struct pv_addr *to, pv_ns now);
