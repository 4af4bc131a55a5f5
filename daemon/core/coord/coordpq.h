/* SPDX-License-Identifier: MIT */
/*
 * coordpq.h - the coordinators whose control channel has been hybrid once (lib/proto/control's
 * control.h), by their identity keys: one of them that is no more has lost something that its
 * operator should hear of, and [security] pq = require does without it.
 *
 * Nobody on the way can take the offer or its answer out, as both are sealed by the handshake: what
 * is found out here is a coordinator that was set back, or whose keys somebody else has.
 */
#ifndef PV_COORDPQ_H
#define PV_COORDPQ_H

#include "base/pv.h"
#include "crypto/sign.h"

enum {
    PV_COORDPQ_MAX = 8, /* ours: more than a network names; the oldest makes way */
};

struct pv_coordpq {
    uint8_t keys[PV_COORDPQ_MAX][PV_SIGN_PK_LEN]; /* oldest first */
    size_t n;
};

/* The bytes that view() gave at an earlier start. Something else is taken for nothing. */
void pv_coordpq_load(struct pv_coordpq *x, struct pv_view stored);
struct pv_view pv_coordpq_view(const struct pv_coordpq *x);
bool pv_coordpq_knows(const struct pv_coordpq *x, const uint8_t pk[static PV_SIGN_PK_LEN]);
/* Its channel is hybrid. True: that is new and is to be stored. */
bool pv_coordpq_note(struct pv_coordpq *x, const uint8_t pk[static PV_SIGN_PK_LEN]);

#endif /* PV_COORDPQ_H */
