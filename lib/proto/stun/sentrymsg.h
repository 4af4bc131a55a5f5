/* SPDX-License-Identifier: MIT */
/*
 * sentrymsg.h - the attribute SENTRY of ours, by which a node keeps a binding to a coordinator that
 * it is not connected to, its sentry, and hears from it when the one in use falls silent
 * (docs/PROTOCOL-COORDINATOR.md "Sentries").
 *
 * In a Binding request the node says at which coordinator it is, and shows the ticket of the last
 * answer. The answer brings the next ticket, and says that the node is known when its ticket was
 * good: so nobody can be made known who does not get what is sent to his address. The alarm is an
 * indication with the ticket that the node has shown, which only those on the way have seen.
 */
#ifndef PV_SENTRYMSG_H
#define PV_SENTRYMSG_H

#include "base/pv.h"
#include "proto/stun/stun.h"

enum {
    PV_SENTRY_ALARM_LEN = 48,   /* bytes of an alarm: header, SENTRY, FINGERPRINT */
    PV_SENTRY_REQUEST_LEN = 72, /* bytes of a node's request, and at most of its answer */
    /* bytes of PADDING in a request: beside it are header, SENTRY and FINGERPRINT */
    PV_SENTRY_PADDING = PV_SENTRY_REQUEST_LEN - PV_SENTRY_ALARM_LEN - 4,
};

struct pv_sentry_word {
    /* Number of a coordinator. In a request: the node is there; in an answer: the same, when the
     * node is known from now on, else 0; in an alarm: it has fallen silent. */
    uint64_t coordinator;
    /* In a request: of the last answer, 0: there was none; in an answer: the next one; in an alarm:
     * of the request by which the node became known. */
    uint64_t ticket;
};

/* PV_ERR_NOT_FOUND; PV_ERR_MALFORMED: of another size. */
PV_MUST_CHECK int pv_sentry_get(const struct pv_stun_msg *msg, struct pv_sentry_word *ret_word);
void pv_sentry_put(struct pv_stun_writer *w, const struct pv_sentry_word *word);

/* txid: PV_STUN_TXID_LEN bytes, random. */
void pv_sentry_write_alarm(uint8_t buf[static PV_SENTRY_ALARM_LEN],
                           const struct pv_sentry_word *word, const uint8_t *txid);
/* PV_ERR_NOT_FOUND: it is something else; PV_ERR_AUTH: no FINGERPRINT, or a wrong one; a decoder's
 * status. */
PV_MUST_CHECK int pv_sentry_read_alarm(struct pv_view datagram, struct pv_sentry_word *ret_word);

#endif /* PV_SENTRYMSG_H */
