/* SPDX-License-Identifier: MIT */
/*
 * sealkeys.h - the part that seals signals and stored copies as hybrid boxes
 * (proto/control/sealing.h) to members whose cards show a sealing key, and that has this node's own
 * key.
 */
#pragma once

#include "daemon/core/node/config.h"
#include "daemon/core/node/node.h"
#include "daemon/core/node/part.h"
#include "daemon/core/peer/peer.h"
#include "proto/control/sealing.h"
#include "proto/wireguard/noise.h"

/* The fate of a box, for metrics. */
enum pv_sealkeys_kind {
    PV_SEALKEYS_SIGNAL,
    PV_SEALKEYS_COPY,
    PV_SEALKEYS_KINDS,
};

extern const struct pv_part pv_part_sealkeys;

/* This node's sealing key, for its card; empty: it has none, or its user does not want it. */
struct pv_view pv_sealkeys_own(const struct pv_node *n);
/* How a box for p is sealed; NULL: not as a hybrid one, since this node does not do it, or the card
 * of p shows no key. Until the next call, and until the roster changes. */
const struct pv_sealing_to *pv_sealkeys_to(struct pv_node *n, const struct pv_peer *p);
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
