/* SPDX-License-Identifier: MIT */
/*
 * stuns.h - the coordinator's STUN server: one Binding request in, at most one answer out
 * (RFC 8489 s6.3), with the behaviour discovery of RFC 5780. Clients of RFC 3489 get their
 * answers in the form of that RFC.
 *
 * A pure function over token buckets: nothing is remembered about who asked. It does not know TURN:
 * its methods get no answer. Deviations, so that nobody gains by asking (DESIGN 6): OTHER-ADDRESS
 * and RESPONSE-ORIGIN only while the answer has PV_STUNS_GAIN times the request's bytes at most (by
 * IPv4 always), MAPPED-ADDRESS only for old clients, PADDING is never echoed, RESPONSE-ADDRESS (RFC
 * 3489) is unknown. One thread at a time.
 */
#pragma once

#include "base/addr.h"
#include "base/bucket.h"
#include "base/pv.h"

enum {
    /* Bytes of the longest answer, DESIGN 6. By IPv4 the first has 12 less, the second 24. */
    PV_STUNS_PLAIN_ANSWER = 76, /* the server has one address */
    PV_STUNS_MAX_ANSWER = 100,  /* it has two and names the other */
    PV_STUNS_SHORT_ANSWER = 52, /* errors, and answers by a stream */
    /* Ours: so many times its request has an answer by UDP at most (RFC 9000 s8 has the same). */
    PV_STUNS_GAIN = 3,

    /* Ours: answers a second and at once to one source network (/24, /56) and to all. A network
     * of 1,000 nodes behind one address refreshes 40 times a second. */
    PV_STUNS_SOURCE_RATE = 100,
    PV_STUNS_SOURCE_BURST = 200,
    PV_STUNS_TOTAL_RATE = 10000,
    PV_STUNS_TOTAL_BURST = 10000,
    /* Ours: beside them, to 5-tuples from which members relay, in all and to each. */
    PV_STUNS_MEMBERS_RATE = 5000,
    PV_STUNS_MEMBERS_BURST = 10000,
    PV_STUNS_MEMBER_RATE = 2,
    PV_STUNS_MEMBER_BURST = 10,
    /* Ours: beside both, to addresses from which members came lately, in all; to the network of
     * each as many as to any source. */
    PV_STUNS_REGULARS_RATE = 5000,
    PV_STUNS_REGULARS_BURST = 10000,
    PV_STUNS_SOURCES = 4096, /* ours: source networks remembered */
};

struct pv_stuns; /* opaque */

/* Where a request came to, and where else the server is (RFC 5780 s6.1). */
struct pv_stuns_place {
    struct pv_addr local; /* Da:Dp, the request's destination */
    struct pv_addr other; /* Ca:Cp; no family: there is no second address, no change of address is
                             granted and none told; port 0: no second port either */
    bool stream;          /* a connection: its answers go back on it, to no other port */
};

struct pv_stuns_reply {
    struct pv_addr from; /* where to send it from: place.local, or as CHANGE-REQUEST asked */
    struct pv_addr to;   /* the source, with the port that RESPONSE-PORT named, if it did */
    size_t len;
    uint8_t buf[PV_STUNS_MAX_ANSWER];
};

/* rng keys the table of sources; not kept. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_stuns_new(struct pv_stuns **ret_stuns, const struct pv_rng *rng);
struct pv_stuns *pv_stuns_free(struct pv_stuns *stuns); /* NULL is fine; returns NULL */

/*
 * A request came from src, by UDP to place, or by a stream when place is NULL (then nothing of
 * RFC 5780 is granted, and reply.from has no family). Returns 0 when there is a reply to send;
 * else nothing is to be sent, and the status says why:
 *   PV_ERR_TRUNCATED, PV_ERR_MALFORMED, PV_ERR_LIMIT  not STUN, or broken (see stun.h)
 *   PV_ERR_AUTH         wrong FINGERPRINT
 *   PV_ERR_UNSUPPORTED  STUN, but not a Binding request
 *   PV_ERR_REFUSED      the source cannot be answered, or a token bucket is empty
 */
PV_MUST_CHECK int pv_stuns_answer(struct pv_stuns *stuns, const struct pv_addr *src,
                                  const struct pv_stuns_place *place, struct pv_view request,
                                  pv_ns now, struct pv_stuns_reply *ret_reply);

/* A member has shown from here who it is: from now on its address has a share of the answers that
 * strangers cannot use up (regulars.h). */
void pv_stuns_note_member(struct pv_stuns *stuns, const struct pv_addr *src, pv_ns now);

/* Takes a token for an answer to src. An address from which members came lately has a bucket of its
 * own; all other unauthenticated answers, and its own when that bucket is empty, share one (DESIGN
 * 6). Returns false if no token is left, or if nothing may be sent there. */
PV_MUST_CHECK bool pv_stuns_may_answer(struct pv_stuns *stuns, const struct pv_addr *src,
                                       pv_ns now);
/* The same for a 5-tuple from which a member relays. It first takes from buckets that no stranger
 * can empty: the member's own, and the one of all members. */
PV_MUST_CHECK bool pv_stuns_may_answer_member(struct pv_stuns *stuns, struct pv_bucket *own,
                                              const struct pv_addr *src, pv_ns now);
