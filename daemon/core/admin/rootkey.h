/* SPDX-License-Identifier: MIT */
/*
 * rootkey.h - what the root key of the network is used for where this node has it: it makes admins,
 * and its word about them stands above theirs. The part makes admins of those who join by an invite
 * that root itself signed (adr 0022).
 */
#pragma once

#include "daemon/core/node/node.h"

extern const struct pv_part pv_part_rootkey;

/* Does this machine keep the root key of this network? One that is left over from another network
 * is of no use. */
bool pv_rootkey_is_here(const struct pv_node *n);
/* The key that signs an admin's word here: the root key where it is, since its word stands above
 * that of admins and outlives them (adr 0019), else this node's own key. */
struct pv_signer pv_rootkey_signer(const struct pv_node *n);

/* Makes a key an admin with all rights. PV_ERR_NOT_FOUND (no root key), PV_ERR_REFUSED (the roster
 * does not take it), PV_ERR_CLOSED (the keeper is gone), PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_rootkey_grant(struct pv_node *n, const uint8_t pk[static PV_SIGN_PK_LEN],
                                   pv_ns now);
