/* SPDX-License-Identifier: MIT */
/*
 * appsigner.h - signatures by a node's identity key for programs that run over the overlay. Such a
 * program has no identity key: a function signs for it, under the domains below and no other.
 * No state; thread-safe.
 */
#pragma once

#include "base/pv.h"
#include "crypto/sign.h"

enum pv_appsigner_domain {
    PV_APPSIGNER_PARCEL, /* a message for a member that is away (chat/proto/parcel.h) */
    PV_APPSIGNER_ROOM,   /* a record of a room (chat/proto/room.h) */
};

struct pv_appsigner {
    /* Signs domain, head and body with this node's identity key. Errors: those of pv_sign(). */
    int (*sign)(const void *keeper, enum pv_appsigner_domain domain, struct pv_view head,
                struct pv_view body, uint8_t ret_sig[static PV_SIGN_LEN]);
    const void *keeper; /* borrowed */
};

/* Signs with sk, PV_SIGN_SK_LEN bytes, which is borrowed. */
struct pv_appsigner pv_appsigner_of(const uint8_t *sk);

/* Checks a signature of the node pk. Errors: those of pv_sign_verify(). */
PV_MUST_CHECK int pv_appsigner_verify(const uint8_t sig[static PV_SIGN_LEN],
                                      enum pv_appsigner_domain domain, struct pv_view head,
                                      struct pv_view body, const uint8_t pk[static PV_SIGN_PK_LEN]);
