/* SPDX-License-Identifier: MIT */
/*
 * cookie.h - defence of the handshake against floods (whitepaper s5.3, s5.4.7): what a responder
 * does before it spends a DH, and the cookie an initiator keeps.
 *
 * Whether this node is under load is the caller's decision. Not for messages out of signals: those
 * are never answered by a cookie (DESIGN 7); check their mac1 alone. Not thread-safe.
 */
#pragma once

#include "base/addr.h"
#include "proto/wireguard/wgmsg.h"

#define PV_COOKIE_SECRET_AGE PV_S(120) /* the responder's secret, whitepaper s5.4.7 */
#define PV_COOKIE_LATENCY    PV_S(5) /* a kept cookie is given up that much earlier, as in Linux */

enum {
    PV_COOKIE_RATE = 20,    /* handshake messages a second and source under load, as in Linux */
    PV_COOKIE_BURST = 5,    /* as in Linux */
    PV_COOKIE_SLOTS = 8192, /* sources remembered; the least recently used goes first */
};

enum pv_cookie_verdict {
    PV_COOKIE_DROP,   /* no mac1 of ours, or the source has had its share */
    PV_COOKIE_ACCEPT, /* go on and spend a DH */
    PV_COOKIE_REPLY,  /* answer with pv_cookie_reply() and forget it */
};

/* Responder: one for all keys of this node. */
struct pv_cookie_checker; /* opaque */
/* rng is copied. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_cookie_checker_new(struct pv_cookie_checker **ret_checker,
                                        const struct pv_rng *rng);
struct pv_cookie_checker *pv_cookie_checker_free(struct pv_cookie_checker *checker);

/* The verdict on a message 1 or 2 (type and length already checked by pv_wgmsg_type()) to the key
 * dev of ours from src: over a relay the peer address that TURN reports. */
enum pv_cookie_verdict pv_cookie_check(struct pv_cookie_checker *checker,
                                       const struct pv_wg_device *dev, struct pv_view msg,
                                       const struct pv_addr *src, bool under_load, pv_ns now);
/* The answer to msg from src: smaller than any message it answers. */
void pv_cookie_reply(struct pv_cookie_checker *checker, const struct pv_wg_device *dev,
                     struct pv_view msg, const struct pv_addr *src, pv_ns now,
                     uint8_t ret_msg[static PV_WGMSG_COOKIE_LEN]);

/* Initiator: the cookie of one peer. A zeroed jar is empty. */
struct pv_cookie_jar {
    uint8_t cookie[PV_WGMSG_MAC_LEN];
    pv_ns expires; /* 0: no cookie */
    uint8_t mac1[PV_WGMSG_MAC_LEN];
    bool sent; /* mac1 belongs to our last message, which no cookie has answered yet */
};
/* Before one of our messages 1 or 2 leaves: writes mac2 when there is a cookie and remembers mac1.
 * with_cookie false (message in a signal): mac2 stays zero. */
void pv_cookie_jar_stamp(struct pv_cookie_jar *jar, uint8_t *msg, size_t len, bool with_cookie,
                         pv_ns now);
/* A message 3 came. PV_ERR_STATE when nothing was sent that it could answer, PV_ERR_AUTH,
 * PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_cookie_jar_put(struct pv_cookie_jar *jar, const struct pv_wg_remote *remote,
                                    struct pv_view msg, pv_ns now);
