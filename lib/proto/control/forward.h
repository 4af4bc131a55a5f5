/* SPDX-License-Identifier: MIT */
/*
 * forward.h - body of in-band type 5: a sealed signal (signal.h) that a common peer passes on
 * (DESIGN 7, docs/PROTOCOL-PEERS.md "Type 5: signals through a common peer").
 *
 *   0..31  32..63  64..
 *   to     from    box        identity keys; box as through the coordinator
 *
 * The codec only; who may ask for it is the owner's to decide. No state; thread-safe.
 */
#ifndef PV_FORWARD_H
#define PV_FORWARD_H

#include "proto/control/signal.h"
#include "proto/ip/inband.h"

enum {
    PV_FORWARD_HEADER = 64, /* bytes: both identity keys */
    PV_FORWARD_MAX = PV_FORWARD_HEADER + PV_SIGNAL_BOX_MAX,
};
_Static_assert((int)PV_FORWARD_MAX <= (int)PV_INBAND_WHOLE_MAX, "it fits an in-band message");

struct pv_forward {
    uint8_t to[PV_SIGN_PK_LEN];   /* identity key of the receiver */
    uint8_t from[PV_SIGN_PK_LEN]; /* identity key of the node that sealed the box */
    struct pv_view box;
};

/* PV_ERR_LIMIT (a box longer than any signal), PV_ERR_NO_SPACE. */
PV_MUST_CHECK int pv_forward_build(const struct pv_forward *f, void *buf, size_t cap,
                                   size_t *ret_len);
/* The box borrows from body. PV_ERR_TRUNCATED (shorter than an empty signal), PV_ERR_LIMIT,
 * PV_ERR_MALFORMED (from somebody to himself). */
PV_MUST_CHECK int pv_forward_parse(struct pv_view body, struct pv_forward *ret_forward);

#endif /* PV_FORWARD_H */
