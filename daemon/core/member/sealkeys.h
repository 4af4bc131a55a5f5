/* SPDX-License-Identifier: MIT */
/*
 * sealkeys.h - the part that knows the sealing keys of members (proto/control/sealing.h), so that
 * signals and stored copies for them become hybrid boxes, and that has this node's own one.
 *
 * A member says in its signed statement (type 32) that it opens such boxes. Its key comes with its
 * descriptions, as a certificate, until it has shown in turn that it has ours: so two members have
 * each other's from their first meeting on. The learnt keys are stored, in rows of SEALKEYS_OF_ROW
 * keys: it is needed most when its owner is away, and this node may have started again by then.
 */
#pragma once

#include "daemon/core/node/config.h"
#include "daemon/core/node/node.h"
#include "daemon/core/node/part.h"
#include "daemon/core/peer/peer.h"
#include "proto/control/sealing.h"
#include "proto/wireguard/noise.h"

enum {
    PV_SEALKEYS_ROWS = 64,   /* ours: pv_sealkeys_row() says in which a key is */
    PV_SEALKEYS_OF_ROW = 16, /* ours: 1,024 in all; the oldest of a row makes way */
};

/* The fate of a box, for metrics. */
enum pv_sealkeys_kind {
    PV_SEALKEYS_SIGNAL,
    PV_SEALKEYS_COPY,
    PV_SEALKEYS_KINDS,
};

struct pv_sealkeys; /* opaque: the part itself */

extern const struct pv_part pv_part_sealkeys;

/* The row of a member's key, by a hash with a secret of this node: members choose their identities,
 * but not whose key is in the row that they fill. */
size_t pv_sealkeys_row(const struct pv_sealkeys *k, const uint8_t pk[static PV_SIGN_PK_LEN]);
/* How a box for p is sealed; NULL: not as a hybrid one, since this node or p does not do it, or the
 * key of p is not known. Until the next call about keys. */
const struct pv_sealing_to *pv_sealkeys_to(struct pv_node *n, const struct pv_peer *p);
/* p opens hybrid boxes and this node makes them, so that one without is second best. */
bool pv_sealkeys_expected(const struct pv_node *n, const struct pv_peer *p);
/* This node's certificate, for who lacks it; empty: it has none, or p has it or no use for it. */
struct pv_view pv_sealkeys_cert_for(const struct pv_node *n, struct pv_peer *p);
/* The news with a description of p: its certificate (empty: none), and whether it has ours. */
void pv_sealkeys_heard(struct pv_node *n, struct pv_peer *p, struct pv_view cert, bool sealed);
/* The secret of a hybrid box for this node (pv_sealing_secret()); wipe it. False: it is none, or
 * this node cannot open one. */
PV_MUST_CHECK bool pv_sealkeys_secret(const struct pv_node *n, struct pv_view box,
                                      uint8_t ret_psk[static PV_NOISE_PSK_LEN]);
/* A box was sealed. */
void pv_sealkeys_count(struct pv_node *n, enum pv_sealkeys_kind kind, bool hybrid);

/* The transport keys of this node, for who opens what others sealed: they may not have heard yet
 * that it uses another one. */

/* The key in use: what this node seals is sealed with it. Borrows the secret half. */
struct pv_noise_static pv_ownkeys_current(const struct pv_identity *id);
/* All that are answered, the one in use first; *iter = 0 before the first. False: no more. */
PV_MUST_CHECK bool pv_ownkeys_next(const struct pv_identity *id, size_t *iter,
                                   struct pv_noise_static *ret_key);
